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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        login::{SignType, policy::OtherClients, signature::HourKey, timestamp::Hour},
        registry::{Cancel, read::read},
    };

    const FILE: &str =
        "lamp:s3cr3t-1\nice:s3cr3t-1:frozen\ndoor:x509=0000000000000000000000000000000000000000\n";

    /// Explains a login of nine o'clock, this many seconds later, and gives the outcomes from step 2 on in letters, the
    /// facts of the step that failed, and the answer.
    fn explained(connect: &Connect<'_>, policy: &Policy, age: i64) -> (String, String, Answer) {
        let table = read(FILE.as_bytes(), FILE.len() as u64, 1, Cancel::NEVER).unwrap().table;
        let now = Hour::parse(b"2026112209").unwrap().start() + age;
        let Explanation { logged, steps, verdict } =
            Explanation::of_login(connect, &table, policy, now);
        assert_eq!((logged, &steps[0].1), (None, &Outcome::NotChecked));
        assert!(steps.iter().map(|(step, _)| *step).eq(Step::ALL));
        let mut told = String::new();
        let letters = steps[1..].iter().map(|(_, outcome)| match outcome {
            Outcome::Passed => 'p',
            Outcome::NotApplicable => 'n',
            Outcome::NotReached => '-',
            Outcome::Failed { reason, facts } => {
                assert!(verdict.reason().is_none_or(|refused| refused == *reason));
                told = facts.iter().map(|fact| format!(" {fact}")).collect();
                'F'
            }
            other => panic!("{other:?}"),
        });
        (letters.collect(), told, verdict)
    }

    #[test]
    fn each_step_has_its_outcome_and_its_facts() {
        let made = |sign_type| HourKey::new(sign_type, b"2026112209").password(b"s3cr3t-1");
        let (right, sm3) = (made(SignType::Sha256), made(SignType::Sm3Timestamp));
        let login = |id: &'static str, name: &'static str| Connect {
            client_id: Some(id.as_bytes()),
            username: Some(name.as_bytes()),
            password: Some(right.as_bytes()),
            certificate: None,
            keep_alive: 120,
        };
        let lamp = login("lamp_0_1_2026112209", "lamp");
        let standard = Policy::default();
        let any = Policy { keep_alive: KeepAlive::Any, ..Policy::default() };
        let unlimited = Policy { timestamp_max_ahead: None, ..Policy::default() };
        let refused = |kind: Kind| Answer::Refused { reason: kind.reason(), kind: Some(kind) };
        let for_reason = |reason| Answer::Refused { reason, kind: None };
        let door = login("door_0_1_2026112209", "door");
        for (connect, policy, age, letters, facts, answer) in [
            (lamp, &standard, 0, "pppppppnp", "", Answer::Accepted),
            (
                login("lamp_0_0_2026112209", "lamp"),
                &any,
                -999_999,
                "pppppnpnp",
                "",
                Answer::Accepted,
            ),
            (lamp, &unlimited, -999_999, "pppppppnp", "", Answer::Accepted),
            (
                Connect { client_id: None, ..lamp },
                &standard,
                0,
                "F--------",
                " client=- shape=empty",
                refused(Kind::Empty),
            ),
            (
                login("lamp", "lamp"),
                &standard,
                0,
                "F--------",
                " client=\"lamp\" shape=deviceid",
                refused(Kind::DeviceId),
            ),
            (
                login("lamp_0_7_2026112209", "lamp"),
                &standard,
                0,
                "pF-------",
                " sign_type=7",
                for_reason(Refusal::BadSignType),
            ),
            (
                Connect { keep_alive: 0, ..lamp },
                &standard,
                0,
                "ppF------",
                " keepalive=0 accepted=30-1200",
                for_reason(Refusal::BadKeepAlive),
            ),
            (
                login("lamp_0_1_2026112209", "l\n"),
                &standard,
                0,
                "pppF-----",
                " user=\"l\\n\" device=\"lamp\"",
                for_reason(Refusal::UserMismatch),
            ),
            (
                login("lump_0_1_2026112209", "lump"),
                &standard,
                0,
                "ppppF----",
                " device=\"lump\"",
                for_reason(Refusal::UnknownDevice),
            ),
            (
                lamp,
                &standard,
                7200,
                "pppppF---",
                " age=2h password=right max_age=1h5m",
                refused(Kind::RightButStale),
            ),
            (
                Connect { password: None, ..lamp },
                &standard,
                7200,
                "pppppF---",
                " age=2h max_age=1h5m",
                for_reason(Refusal::StaleTimestamp),
            ),
            (
                lamp,
                &standard,
                -90_000,
                "pppppF---",
                " ahead=1d1h password=right max_ahead=1d",
                refused(Kind::RightButAhead),
            ),
            (
                Connect { password: Some(sm3.as_bytes()), ..lamp },
                &standard,
                0,
                "ppppppF--",
                " password=signtype",
                refused(Kind::SignType),
            ),
            (
                door,
                &standard,
                99_999,
                "pppppnnF-",
                " device=\"door\"",
                for_reason(Refusal::NoCertificate),
            ),
            (
                login("ice_0_0_2026112209", "ice"),
                &standard,
                0,
                "pppppnpnF",
                " device=\"ice\"",
                for_reason(Refusal::Frozen),
            ),
        ] {
            let found = explained(&connect, policy, age);
            assert_eq!(found, (letters.into(), facts.into(), answer), "{connect:?}");
        }
        let shown = Connect { certificate: Some(b"der"), ..door };
        let (letters, facts, answer) = explained(&shown, &standard, 0);
        assert_eq!(
            (letters.as_str(), answer),
            ("pppppnnF-", for_reason(Refusal::WrongCertificate))
        );
        assert!(
            facts.starts_with(" certificate=") && facts.ends_with(" device=\"door\""),
            "{facts}"
        );
    }

    #[test]
    fn who_is_left_to_others_is_told_of_a_mistake_only_if_it_is_nearly_a_device() {
        let defer = Policy { other_clients: OtherClients::Defer, ..Policy::default() };
        for (id, nearly) in [
            ("backend", None),
            ("", None),
            ("auto-5628DEB3-25A5-4E5F-8F6C-0123456789AB", None),
            ("lamp", None),
            ("lamp_0_1_2026112209_7", Some(Kind::Tail)),
            ("lamp-0-1-2026112209", Some(Kind::Separators)),
        ] {
            let (client_id, username) = (Some(id.as_bytes()), Some(&b"lamp"[..]));
            let connect = Connect { client_id, username, ..Connect::default() };
            let (letters, _, answer) = explained(&connect, &defer, 0);
            assert_eq!(
                (letters.as_str(), answer),
                ("F--------", Answer::Deferred { nearly }),
                "{id}"
            );
            assert_eq!(answer.advice(), nearly.map(Kind::advice));
        }
    }
}
