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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::read,
        login::{Connect, Kind, Policy, policy::OtherClients, steps::Step},
        registry::Table,
    };

    #[test]
    fn shows_a_line_of_the_log() {
        let line = "iotda-auth: refused client=\"a\\\"\\x1b\"... user=- address=- reason=rate_limited limit=takeovers \
                    forwarded_for=\u{202e}";
        let shown = Explanation::of_line(&read::parse(line).unwrap()).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "ClientId: \"a\\\"\\u{1b}\" and more, which the log has cut",
                "Username: not sent",
                "address: not known"
            ]
        );
        let failed = "failed: rate_limited limit=takeovers forwarded_for=\\u{202e}";
        assert_eq!(lines[3], format!(" 1  {:<52}{failed}", Step::Rate.title()));
        assert_eq!(lines[12], format!("10  {:<52}not reached", Step::NotFrozen.title()));
        let (kind, advice) = (Kind::Takeovers, Kind::Takeovers.advice());
        assert_eq!(lines[13], "not checked again: the log has no password");
        assert!(
            lines[14].starts_with("refused: rate_limited (")
                && lines[14].ends_with("), CONNACK 3, MQTT 5 0x9F")
        );
        assert_eq!(lines[15], format!("recognised: limit=takeovers ({kind})"));
        assert_eq!(lines[16..], [format!("what to do: {advice}")]);
    }

    #[test]
    fn shows_a_login() {
        let connect = Connect { client_id: Some(b"backend"), ..Connect::default() };
        let policy = Policy { other_clients: OtherClients::Defer, ..Policy::default() };
        let shown = Explanation::of_login(&connect, &Table::empty(), &policy, 0).to_string();
        let (first, end) = shown.split_once('\n').unwrap();
        assert!(
            first.ends_with("  not checked here: depends on earlier logins at the broker"),
            "{first}"
        );
        assert!(end.contains("failed: bad_client_id client=\"backend\" shape=other\n"), "{end}");
        assert!(
            end.ends_with(
                "  not reached\ndeferred to the broker's password file and other plugins\n"
            ),
            "{end}"
        );
    }

    #[test]
    fn each_outcome_has_its_own_words_and_id() {
        let reason = crate::login::Refusal::Frozen;
        let outcomes = [
            (Outcome::Passed, "passed", "passed"),
            (Outcome::Failed { reason, facts: Vec::new() }, "failed", "failed: frozen"),
            (Outcome::NotReached, "not_reached", "not reached"),
            (Outcome::NotApplicable, "not_applicable", "not applicable"),
            (
                Outcome::PassedOrNotApplicable,
                "passed_or_not_applicable",
                "passed or not applicable",
            ),
            (
                Outcome::NotChecked,
                "not_checked",
                "not checked here: depends on earlier logins at the broker",
            ),
            (Outcome::NotKnown, "not_known", "not known"),
        ];
        for (outcome, id, words) in outcomes {
            assert_eq!((outcome.id(), outcome.to_string().as_str()), (id, words));
        }
        let answers = [Answer::Accepted, Answer::Deferred { nearly: None }].map(Answer::id);
        assert_eq!(answers, ["accepted", "deferred"]);
        assert_eq!(Answer::Accepted.advice(), None);
    }
}
