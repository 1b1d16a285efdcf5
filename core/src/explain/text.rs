//! How is an explanation shown? As lines for a terminal: what a client sent is in quotes and escaped.

use super::{Answer, Explanation, Fact, Logged, Outcome};
use crate::{harmless::Harmless, log::read::Sent};
use std::fmt;

impl fmt::Display for Explanation {
    /// All lines, each with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(logged) = &self.logged {
            logged.fmt(f)?;
        }
        for (step, outcome) in &self.steps {
            writeln!(f, "{:>2}  {:<52}{outcome}", step.number(), step.title())?;
        }
        if self.logged.is_some() {
            writeln!(f, "not checked again: the log has no password")?;
        }
        self.verdict.fmt(f)
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ClientId: {}", Told(self.client.as_ref()))?;
        writeln!(f, "Username: {}", Told(self.user.as_ref()))?;
        writeln!(f, "address: {}", Harmless(self.address.as_deref().unwrap_or("not known")))
    }
}

/// A text of a line that a client sent.
struct Told<'a>(Option<&'a Sent>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("not sent"),
            Some(Sent { text, cut }) => {
                write!(f, "{:?}", String::from_utf8_lossy(text))?;
                f.write_str(if *cut { " and more, which the log has cut" } else { "" })
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed { reason, facts } => {
                write!(f, "failed: {}", reason.id())?;
                facts.iter().try_for_each(|fact| write!(f, " {fact}"))
            }
            Self::NotReached => f.write_str("not reached"),
            Self::NotApplicable => f.write_str("not applicable"),
            Self::PassedOrNotApplicable => f.write_str("passed or not applicable"),
            Self::NotChecked => {
                f.write_str("not checked here: depends on earlier logins at the broker")
            }
            Self::NotKnown => f.write_str("not known"),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", Harmless(&self.name))?;
        match &self.value {
            None => f.write_str("-"),
            Some(text) if self.is_sent => write!(f, "{text:?}"),
            Some(value) => Harmless(value).fmt(f),
        }
    }
}

impl fmt::Display for Answer {
    /// The verdict, what was recognised, and what to do: lines with their newlines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => writeln!(f, "accepted")?,
            Self::Deferred { .. } => {
                writeln!(f, "deferred to the broker's password file and other plugins")?;
            }
            Self::Refused { reason, .. } => {
                let (id, code) = (reason.id(), reason.connack());
                let (v3, v5) = (code.v3, code.v5);
                writeln!(f, "refused: {id} ({reason}), CONNACK {v3}, MQTT 5 {v5:#04X}")?;
            }
        }
        if let Some(kind) = self.kind() {
            writeln!(f, "recognised: {}={} ({kind})", kind.field(), kind.id())?;
        }
        match self.advice() {
            Some(advice) => writeln!(f, "what to do: {advice}"),
            None => Ok(()),
        }
    }
}
