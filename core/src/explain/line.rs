//! What came of the login that this line of the log tells of? Without the password nothing can be checked again, so the
//! outcome of each step is taken from the line.

use super::{Answer, Explanation, Fact, Logged, Outcome, not_refused};
use crate::{
    log::read::{RefusalLine, Sent},
    login::{ClientId, Connect, Kind, Refusal, recognise, steps::Step},
};
use std::cmp::Ordering;

impl Explanation {
    /// Explains a line of the log.
    #[must_use]
    pub fn of_line(line: &RefusalLine<'_>) -> Self {
        let RefusalLine { client, user, address, reason, detail } = line;
        let text = client.as_ref().map_or(&[][..], |sent| &sent.text);
        let client_id = ClientId::parse(text).ok();
        let outcome = |step: Step| match Some(step).cmp(&reason.step()) {
            // A fault of the plugin does not belong to a step, and may have come before all of them.
            _ if reason.step().is_none() => Outcome::NotKnown,
            Ordering::Less => not_refused(step, client_id, has_secret(*reason)),
            Ordering::Equal => Outcome::Failed { reason: *reason, facts: Fact::of_fields(detail) },
            Ordering::Greater => Outcome::NotReached,
        };
        let logged = Logged {
            client: client.clone(),
            user: user.clone(),
            address: address.map(String::from),
        };
        Self {
            logged: Some(logged),
            steps: Step::ALL.into_iter().map(|step| (step, outcome(step))).collect(),
            verdict: Answer::Refused { reason: *reason, kind: kind(line) },
        }
    }
}

/// What the login was recognised as. A line of an earlier release does not tell, but has the ClientId.
fn kind(line: &RefusalLine<'_>) -> Option<Kind> {
    let told = line.kind();
    if told.is_some() || line.reason != Refusal::BadClientId {
        return told;
    }
    let whole = |sent: &Option<Sent>| sent.as_ref().is_none_or(|sent| !sent.cut);
    let text = |sent: &'_ Option<Sent>| sent.as_ref().map(|sent| sent.text.clone());
    if !whole(&line.client) || !whole(&line.user) {
        return None;
    }
    let (client, user) = (text(&line.client), text(&line.user));
    let connect =
        Connect { client_id: client.as_deref(), username: user.as_deref(), ..Connect::default() };
    Some(recognise::client_id(&connect))
}

/// Whether a device that gets this refusal has a secret, and not a certificate; `None` if that cannot be told.
fn has_secret(reason: Refusal) -> Option<bool> {
    match reason.step() {
        Some(Step::Timestamp | Step::Password) => Some(true),
        Some(Step::Certificate) => Some(false),
        _ => None,
    }
}
