//! Why was the login of this line of the log refused? Without the password nothing can be checked again, so the outcome of
//! each step is taken from the line.

use crate::{
    steps::{write_refusal, write_step},
    terminal::{self, Answer, Failure, Harmless},
};
use iotda_core::{
    log::read::{self, RefusalLine, Sent},
    login::{ClientId, Refusal, steps::Step},
};
use std::{
    cmp::Ordering,
    fmt,
    io::{self, Write},
};

/// Prints what the line of a refusal says, and what to do.
pub(crate) fn run(line: &str) -> Result<Answer, Failure> {
    // The text is not repeated: anything may have been pasted, also a secret.
    let refusal =
        read::parse(line).map_err(|error| Failure::new(format!("--log-line: {error}")))?;
    terminal::write(|out| write(&refusal, out))?;
    Ok(Answer::No)
}

fn write(refusal: &RefusalLine<'_>, out: &mut impl Write) -> io::Result<()> {
    let RefusalLine { client, user, address, reason, detail } = refusal;
    writeln!(out, "ClientId: {}", Told(client.as_ref()))?;
    writeln!(out, "Username: {}", Told(user.as_ref()))?;
    writeln!(out, "address: {}", Harmless(address.unwrap_or("not known")))?;
    for step in Step::ALL {
        write_step(out, step)?;
        match Some(step).cmp(&reason.step()) {
            // A fault of the plugin does not belong to a step, and may have come before all of them.
            _ if reason.step().is_none() => writeln!(out, "not known"),
            Ordering::Less => writeln!(out, "{}", before(refusal, step)),
            Ordering::Equal => writeln!(out, "failed: {}{}", reason.id(), Harmless(detail)),
            Ordering::Greater => writeln!(out, "not reached"),
        }?;
    }
    writeln!(out, "not checked again: the log has no password")?;
    write_refusal(out, *reason)
}

/// The outcome of a step before the one that refused.
fn before(refusal: &RefusalLine<'_>, step: Step) -> &'static str {
    let client = refusal.client.as_ref().map_or(&[][..], |sent| &sent.text);
    let Ok(ClientId { sign_digit, .. }) = ClientId::parse(client) else { return "passed" };
    let applies = |has_secret| step.applies_to(sign_digit, has_secret);
    // If the line does not tell whether the device has a secret or a certificate, the step is judged for both.
    let known = has_secret(refusal.reason);
    match (applies(known.unwrap_or(true)), applies(known.unwrap_or(false))) {
        (true, true) => "passed",
        (false, false) => "not applicable",
        _ => "passed or not applicable",
    }
}

/// Whether a device that gets this refusal has a secret, and not a certificate; `None` if that cannot be told.
fn has_secret(reason: Refusal) -> Option<bool> {
    match reason.step() {
        Some(Step::Timestamp | Step::Password) => Some(true),
        Some(Step::Certificate) => Some(false),
        _ => None,
    }
}

/// A text that a client sent, in quotes and escaped.
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
