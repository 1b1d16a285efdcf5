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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::read;

    fn of(line: &str) -> Explanation {
        let line = format!("iotda-auth: refused {line}");
        Explanation::of_line(&read::parse(&line).unwrap())
    }

    #[test]
    fn each_step_has_the_outcome_that_the_line_tells() {
        for (sign, reason, expected) in [
            (0, "rate_limited", "F---------"),
            (0, "wrong_password", "ppppppnF--"),
            (1, "wrong_password", "pppppppF--"),
            (1, "stale_timestamp", "ppppppF---"),
            (1, "no_certificate", "ppppppnnF-"),
            (0, "frozen", "ppppppnooF"),
            (1, "frozen", "ppppppoooF"),
            (1, "unknown_device", "pppppF----"),
            (1, "internal_error", "??????????"),
            (1, "not_asked", "??????????"),
        ] {
            let line =
                format!("client=\"d_0_{sign}_2026112209\" user=\"d\" address=- reason={reason}");
            let steps = of(&line).steps;
            let letters = steps.iter().map(|(_, outcome)| match outcome {
                Outcome::Passed => 'p',
                Outcome::NotApplicable => 'n',
                Outcome::PassedOrNotApplicable => 'o',
                Outcome::NotReached => '-',
                Outcome::NotKnown => '?',
                Outcome::Failed { .. } => 'F',
                Outcome::NotChecked => 'c',
            });
            assert_eq!(letters.collect::<String>(), expected, "{line}");
        }
    }

    #[test]
    fn the_kind_is_the_lines_or_else_that_of_the_client_id_that_it_has() {
        for (line, kind) in [
            ("client=\"d\" user=\"d\" address=- reason=bad_client_id shape=tail", Some(Kind::Tail)),
            ("client=\"d\" user=\"d\" address=- reason=bad_client_id", Some(Kind::DeviceId)),
            ("client=\"d\" user=- address=- reason=bad_client_id", Some(Kind::OtherClient)),
            ("client=- user=- address=- reason=bad_client_id shape=later", Some(Kind::Empty)),
            ("client=\"d\"... user=\"d\" address=- reason=bad_client_id", None),
            ("client=\"d\" user=\"d\"... address=- reason=bad_client_id", None),
            ("client=\"d\" user=\"d\" address=- reason=wrong_password", None),
            (
                "client=\"d\" user=\"d\" address=- reason=wrong_password password=hour",
                Some(Kind::Hour),
            ),
        ] {
            let verdict = of(line).verdict;
            assert_eq!((verdict.id(), verdict.kind()), ("refused", kind), "{line}");
            let advice = kind.map(Kind::advice).or(verdict.reason().map(Refusal::advice));
            assert_eq!(verdict.advice(), advice);
        }
    }
}
