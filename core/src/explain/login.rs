//! What comes of this login? Runs the plugin's own check, and then looks again at what it refuses.

use super::{Answer, Explanation, Fact, Outcome, not_refused};
use crate::{
    log::Span,
    login::{
        ClientId, Connect, HourKeys, Kind, Policy, Refusal, Verdict,
        policy::KeepAlive,
        recognise::{self, recognise},
        steps::Step,
        timestamp::UnixSeconds,
        verify,
        verify::Refused,
    },
    registry::{Credential, Table},
};
use std::cmp::Ordering;

impl Explanation {
    /// Explains a login. `now` is the broker's time.
    #[must_use]
    pub fn of_login(
        connect: &Connect<'_>,
        registry: &Table,
        policy: &Policy,
        now: UnixSeconds,
    ) -> Self {
        let client_id = ClientId::parse(connect.client_id.unwrap_or_default()).ok();
        let device = client_id.and_then(|id| registry.find(id.device_id));
        let has_secret =
            device.map(|device| matches!(device.credential, Credential::Secret { .. }));
        let (verdict, refused) =
            match verify(connect, registry, policy, now, &mut HourKeys::default()) {
                Verdict::Accept(_) => (Answer::Accepted, None),
                Verdict::Refuse(refused) => {
                    let refused = recognise(refused, connect, registry);
                    (refused.into(), Some(refused))
                }
                // Only a client whose ClientId is not a device's is left to others.
                Verdict::Defer => {
                    let kind = recognise::client_id(connect);
                    let nearly = Some(kind).filter(|kind| is_nearly_a_devices(*kind));
                    (Answer::Deferred { nearly }, Some(kind.into()))
                }
            };
        let outcome = |step: Step| {
            let passed = || not_refused(step, client_id, has_secret.or(Some(true)));
            match (step, refused) {
                (Step::Rate, _) => Outcome::NotChecked,
                (_, None) => passed(),
                (_, Some(refused)) => match Some(step).cmp(&refused.reason.step()) {
                    Ordering::Less => passed(),
                    Ordering::Equal => {
                        let facts = facts(refused, connect, client_id, policy);
                        Outcome::Failed { reason: refused.reason, facts }
                    }
                    Ordering::Greater => Outcome::NotReached,
                },
            }
        };
        let steps = Step::ALL.into_iter().map(|step| (step, outcome(step))).collect();
        Self { logged: None, steps, verdict }
    }
}

/// Whether a client that is left to others may be a device with a mistake.
fn is_nearly_a_devices(kind: Kind) -> bool {
    !matches!(kind, Kind::OtherClient | Kind::Empty | Kind::Invented | Kind::DeviceId)
}

/// The values that decided a refusal.
fn facts(
    refused: Refused,
    connect: &Connect<'_>,
    client_id: Option<ClientId<'_>>,
    policy: &Policy,
) -> Vec<Fact> {
    let device = || Fact::sent("device", client_id.map(|id| id.device_id));
    let (before, behind) = match refused.reason {
        Refusal::BadClientId => (Some(Fact::sent("client", connect.client_id)), None),
        Refusal::BadKeepAlive => match policy.keep_alive {
            KeepAlive::Any => (None, None),
            KeepAlive::Within { lowest, highest } => {
                (None, Some(Fact::new("accepted", format!("{lowest}-{highest}"))))
            }
        },
        Refusal::UserMismatch => (Some(Fact::sent("user", connect.username)), Some(device())),
        Refusal::UnknownDevice
        | Refusal::NoCertificate
        | Refusal::WrongCertificate
        | Refusal::Frozen => (None, Some(device())),
        Refusal::StaleTimestamp => {
            (None, Some(Fact::new("max_age", limit(Some(policy.timestamp_max_age)))))
        }
        Refusal::FutureTimestamp => {
            (None, Some(Fact::new("max_ahead", limit(policy.timestamp_max_ahead))))
        }
        _ => (None, None),
    };
    let detail = Fact::of_fields(&refused.detail.to_string());
    before.into_iter().chain(detail).chain(behind).collect()
}

fn limit(seconds: Option<i64>) -> String {
    match seconds {
        Some(seconds) => Span(seconds.unsigned_abs()).to_string(),
        None => "unlimited".into(),
    }
}
