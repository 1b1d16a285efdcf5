//! All checks of a login, in the contract's order, top to bottom, once.

use super::{
    certificate::Digests,
    client_id::{ClientId, ClientIdError, SignType},
    connect::{Connect, MAX_FIELD},
    kind::Kind,
    policy::{OtherClients, Policy},
    refusal::Refusal,
    signature::{HourKey, HourKeys, MAC_LENGTH, Password},
    timestamp::{Hour, UnixSeconds},
};
use crate::registry::{Credential, Device, Fingerprints, Table};

/// The answer to a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The device is the one it says it is.
    Accept(ClientId<'a>),
    /// Not a device: the broker's password file and other plugins decide.
    Defer,
    /// The login is refused.
    Refuse(Refused),
}

/// A refusal with what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The first check that failed.
    pub reason: Refusal,
    /// The value that decided it, if it helps a reader of the log.
    pub detail: Detail,
}

impl From<Kind> for Refused {
    /// A refusal of a known kind, without further detail.
    fn from(kind: Kind) -> Self {
        Self { reason: kind.reason(), detail: Detail::Kind(kind) }
    }
}

impl From<Refusal> for Refused {
    /// A refusal without further detail.
    fn from(reason: Refusal) -> Self {
        Self { reason, detail: Detail::None }
    }
}

impl Refused {
    /// Whether it counts as a failure of the address it came from: the login was checked and did not prove its secret.
    #[must_use]
    pub fn is_failure(self) -> bool {
        self.reason.is_failure()
            && !matches!(self.detail, Detail::Clock { password_right: true, .. })
    }

    /// What the login was recognised as; `None` if nothing is known but the reason.
    #[must_use]
    pub fn kind(self) -> Option<Kind> {
        match (self.detail, self.reason) {
            (Detail::Kind(kind), _) => Some(kind),
            (Detail::Clock { password_right: true, .. }, Refusal::StaleTimestamp) => {
                Some(Kind::RightButStale)
            }
            (Detail::Clock { password_right: true, .. }, Refusal::FutureTimestamp) => {
                Some(Kind::RightButAhead)
            }
            _ => None,
        }
    }

    /// What an operator can do about it: about the kind, if that is known.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.kind().map_or(self.reason.advice(), Kind::advice)
    }
}

/// The value that decided a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The reason says everything.
    None,
    /// The keep alive, in seconds.
    KeepAlive(u16),
    /// The sign type's digit.
    SignType(u8),
    /// How far off the timestamp is.
    Clock {
        /// Seconds since the timestamp; negative when it lies ahead.
        age: i64,
        /// Whether the password is right: if so, a registered device has a wrong clock.
        password_right: bool,
    },
    /// What the login was recognised as. The check itself does not say that: see [`recognise`](super::recognise).
    Kind(Kind),
    /// The SHA-256 fingerprint of the certificate that was shown, which an operator may want to register.
    Certificate([u8; 32]),
}

/// Stands in for a secret that is not there, so that "unknown" takes as long as "wrong". It proves nothing.
pub(super) const NO_SECRET: &[u8; 32] = b"no device has this secret: 33+ !";

/// Stands in for a device that is not in the table. The login is refused whatever the check says.
const NOBODY: Device<'static> = Device {
    credential: Credential::Secret { primary: NO_SECRET, secondary: None },
    frozen: false,
    changed: false,
};

/// Checks a login.
///
/// `now` is the platform's time, in Unix seconds. `keys` only saves time: the verdict does not depend on what is in it.
pub fn verify<'a>(
    connect: &Connect<'a>,
    registry: &Table,
    policy: &Policy,
    now: UnixSeconds,
    keys: &mut HourKeys,
) -> Verdict<'a> {
    let client_id = match ClientId::parse(connect.client_id.unwrap_or_default()) {
        Ok(client_id) => client_id,
        Err(ClientIdError::OtherClient) if policy.other_clients == OtherClients::Defer => {
            return Verdict::Defer;
        }
        Err(_) => return refuse(Refusal::BadClientId),
    };

    let sign_type = SignType::from_digit(client_id.sign_digit)
        .filter(|sign_type| policy.sign_types.contains(*sign_type));
    let Some(sign_type) = sign_type else {
        return refuse_because(Refusal::BadSignType, Detail::SignType(client_id.sign_digit));
    };

    if !policy.keep_alive.accepts(connect.keep_alive) {
        return refuse_because(Refusal::BadKeepAlive, Detail::KeepAlive(connect.keep_alive));
    }

    if !connect.username.is_some_and(|name| name.len() <= MAX_FIELD && name == client_id.device_id)
    {
        return refuse(Refusal::UserMismatch);
    }

    let found = registry.find(client_id.device_id);
    // From here on every login takes the same time: whether or not its device is known, has one secret, two secrets or a
    // certificate, and whether or not its timestamp is fresh. So the time reveals nothing. It is one HMAC, or two while any
    // device has two secrets.
    let password = Password::parse(connect.password);
    let device = found.unwrap_or(NOBODY);
    let (primary, secondary) = match device.credential {
        Credential::Secret { primary, secondary } => (Some(primary), secondary),
        Credential::Certificate(_) => (None, None),
    };
    let key = keys.key(sign_type, client_id.stamp);
    let proves = |secret: Option<&[u8]>| {
        key.proves(&password, secret.unwrap_or(NO_SECRET)) & secret.is_some()
    };
    // The second secret, which most devices do not have, is checked first: its HMAC fills the time in which the CPU fetches
    // the first secret from memory.
    let password_right = (registry.has_second_secrets() && proves(secondary)) | proves(primary);
    let refused = match device.credential {
        Credential::Secret { .. } => check_timestamp(client_id.hour, policy, now, password_right)
            .or_else(|| (!password_right).then_some(Refusal::WrongPassword.into())),
        Credential::Certificate(fingerprints) => {
            check_certificate(connect.certificate, &fingerprints)
        }
    };
    match (found, refused) {
        (None, _) => refuse(Refusal::UnknownDevice),
        (Some(_), Some(refused)) => Verdict::Refuse(refused),
        (Some(device), None) if device.frozen => refuse(Refusal::Frozen),
        (Some(_), None) => Verdict::Accept(client_id),
    }
}

/// Why a timestamp is refused. Only a sign type that looks at its hour is asked for it.
fn check_timestamp(
    hour: Option<Hour>,
    policy: &Policy,
    now: UnixSeconds,
    password_right: bool,
) -> Option<Refused> {
    let age = hour?.age(now);
    let reason = if age > policy.timestamp_max_age {
        Refusal::StaleTimestamp
    } else if policy.timestamp_max_ahead.is_some_and(|limit| age < -limit) {
        Refusal::FutureTimestamp
    } else {
        return None;
    };
    Some(Refused { reason, detail: Detail::Clock { age, password_right } })
}

/// Why a certificate is refused.
fn check_certificate(der: Option<&[u8]>, fingerprints: &Fingerprints) -> Option<Refused> {
    let Some(der) = der else { return Some(Refusal::NoCertificate.into()) };
    let digests = Digests::of(der);
    let refused =
        Refused { reason: Refusal::WrongCertificate, detail: Detail::Certificate(digests.sha256) };
    (!digests.is_one_of(fingerprints)).then_some(refused)
}

/// What a login has proved itself with, as it is remembered. Neither field reveals the secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proofs<'a> {
    /// The password, decoded, if it had the shape of one.
    pub mac: Option<[u8; MAC_LENGTH]>,
    /// The certificate, if one was shown.
    pub certificate: Option<&'a Digests>,
}

/// Why a session that began with this ClientId and these proofs must end, now that another table is in force; `None` if it
/// may go on.
///
/// This checks only what a new table can change, and so not the hour.
#[must_use]
pub fn must_end(client_id: &[u8], proofs: Proofs<'_>, registry: &Table) -> Option<Refusal> {
    let Ok(client_id) = ClientId::parse(client_id) else { return Some(Refusal::BadClientId) };
    let Some(device) = registry.find(client_id.device_id) else {
        return Some(Refusal::UnknownDevice);
    };
    if device.frozen {
        return Some(Refusal::Frozen);
    }
    if !device.changed {
        return None;
    }
    match device.credential {
        Credential::Certificate(fingerprints) => match proofs.certificate {
            None => Some(Refusal::NoCertificate),
            Some(shown) => (!shown.is_one_of(&fingerprints)).then_some(Refusal::WrongCertificate),
        },
        Credential::Secret { primary, secondary } => {
            let Some(sign_type) = SignType::from_digit(client_id.sign_digit) else {
                return Some(Refusal::BadSignType);
            };
            let key = HourKey::new(sign_type, client_id.stamp);
            let proves = |secret| proofs.mac.is_some_and(|mac| key.makes(&mac, secret));
            let proved = proves(primary) || secondary.is_some_and(proves);
            (!proved).then_some(Refusal::WrongPassword)
        }
    }
}

fn refuse<'a>(reason: Refusal) -> Verdict<'a> {
    Verdict::Refuse(reason.into())
}

fn refuse_because<'a>(reason: Refusal, detail: Detail) -> Verdict<'a> {
    Verdict::Refuse(Refused { reason, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        login::{policy::SignTypes, timestamp::Stamp},
        registry::{Cancel, read::read},
    };

    const STAMP: &Stamp = b"2026112209";

    fn table(file: &str) -> Table {
        read(file.as_bytes(), file.len() as u64, usize::MAX, Cancel::NEVER).unwrap().table
    }

    /// What comes of a login, with the time given as seconds since the hour of [`STAMP`]; `None` if it is accepted.
    fn refused(connect: &Connect<'_>, file: &str, policy: &Policy, age: i64) -> Option<Refused> {
        let now = Hour::parse(STAMP).unwrap().start() + age;
        match verify(connect, &table(file), policy, now, &mut HourKeys::default()) {
            Verdict::Accept(_) => None,
            Verdict::Refuse(refused) => Some(refused),
            Verdict::Defer => panic!("a device's ClientId"),
        }
    }

    /// What comes of a login with the password of this secret.
    fn refusal(file: &str, device: &str, secret: &[u8]) -> Option<Refusal> {
        let client_id = format!("{device}_0_0_2026112209");
        let password = HourKey::new(SignType::Sha256, STAMP).password(secret);
        let connect = Connect {
            client_id: Some(client_id.as_bytes()),
            username: Some(device.as_bytes()),
            password: Some(password.as_bytes()),
            certificate: None,
            keep_alive: 120,
        };
        refused(&connect, file, &Policy::default(), 0).map(|refused| refused.reason)
    }

    #[test]
    fn each_check_refuses_with_what_decided_it() {
        use Refusal::{BadClientId, BadKeepAlive, BadSignType, UserMismatch, WrongPassword};
        let password = HourKey::new(SignType::Sha256, STAMP).password(b"s3cr3t-1");
        let right = Connect {
            client_id: Some(b"lamp_0_0_2026112209"),
            username: Some(b"lamp"),
            password: Some(password.as_bytes()),
            certificate: None,
            keep_alive: 120,
        };
        let of = |client_id: &'static [u8]| Connect { client_id: Some(client_id), ..right };
        let sign_type = |digit| Detail::SignType(digit);
        for (connect, expected) in [
            (right, None),
            // A device with a secret may show a certificate.
            (Connect { certificate: Some(b"der"), ..right }, None),
            (Connect { client_id: None, ..right }, Some((BadClientId, Detail::None))),
            (of(b"lamp"), Some((BadClientId, Detail::None))),
            (of(b"_0_0_2026112209"), Some((BadClientId, Detail::None))),
            (of(b"lamp_0_1_2026112209"), Some((BadSignType, sign_type(b'1')))),
            (of(b"lamp_0_7_2026112209"), Some((BadSignType, sign_type(b'7')))),
            (Connect { keep_alive: 29, ..right }, Some((BadKeepAlive, Detail::KeepAlive(29)))),
            (Connect { username: None, ..right }, Some((UserMismatch, Detail::None))),
            (Connect { username: Some(b"lamp2"), ..right }, Some((UserMismatch, Detail::None))),
            (of(b"lamp2_0_0_2026112209"), Some((UserMismatch, Detail::None))),
            (Connect { password: None, ..right }, Some((WrongPassword, Detail::None))),
            (of(b"lamp_0_0_2026112210"), Some((WrongPassword, Detail::None))),
        ] {
            let policy =
                Policy { sign_types: SignTypes::NONE.with(SignType::Sha256), ..Policy::default() };
            let expected = expected.map(|(reason, detail)| Refused { reason, detail });
            assert_eq!(refused(&connect, "lamp:s3cr3t-1\n", &policy, 0), expected, "{connect:?}");
        }
    }

    #[test]
    fn only_a_client_id_of_another_shape_is_left_to_others_and_only_if_asked_for() {
        let defer = Policy { other_clients: OtherClients::Defer, ..Policy::default() };
        for (client_id, may_be_deferred) in [
            (&b"backend"[..], true),
            (b"", true),
            (b"_0_0_2026112209", false),
            (b"lamp_0_1_2026023103", false),
            (&[[b'd'; 300].as_slice(), b"_0_0_2026112209"].concat(), false),
        ] {
            let connect = Connect { client_id: Some(client_id), ..Connect::default() };
            for (policy, deferred) in [(&defer, may_be_deferred), (&Policy::default(), false)] {
                let verdict =
                    verify(&connect, &Table::empty(), policy, 0, &mut HourKeys::default());
                let expected = if deferred { Verdict::Defer } else { refuse(Refusal::BadClientId) };
                assert_eq!(verdict, expected, "{connect:?}");
            }
        }
    }

    #[test]
    fn both_edges_of_the_window_lie_in_it() {
        let bounded =
            Policy { timestamp_max_age: 60, timestamp_max_ahead: Some(3600), ..Policy::default() };
        let unlimited = Policy { timestamp_max_ahead: None, ..bounded.clone() };
        for (policy, age, outside) in [
            (&bounded, 0, None),
            (&bounded, 60, None),
            (&bounded, 61, Some(Refusal::StaleTimestamp)),
            (&bounded, -3600, None),
            (&bounded, -3601, Some(Refusal::FutureTimestamp)),
            (&unlimited, 60, None),
            (&unlimited, 61, Some(Refusal::StaleTimestamp)),
            (&unlimited, -30_000_000_000, None),
        ] {
            for sign_type in [SignType::Sha256, SignType::Sha256Timestamp, SignType::Sm3Timestamp] {
                for password_right in [true, false] {
                    let client_id = ClientId::format("lamp", sign_type, "2026112209");
                    let secret: &[u8] = if password_right { b"s3cr3t-1" } else { b"s3cr3t-2" };
                    let password = HourKey::new(sign_type, STAMP).password(secret);
                    let connect = Connect {
                        client_id: Some(client_id.as_bytes()),
                        username: Some(b"lamp"),
                        password: Some(password.as_bytes()),
                        certificate: None,
                        keep_alive: 120,
                    };
                    let found = refused(&connect, "lamp:s3cr3t-1\n", policy, age);
                    let expected = match outside.filter(|_| sign_type != SignType::Sha256) {
                        Some(reason) => {
                            Some(Refused { reason, detail: Detail::Clock { age, password_right } })
                        }
                        None => (!password_right).then_some(Refusal::WrongPassword.into()),
                    };
                    assert_eq!(found, expected, "{sign_type:?} at {age} s, {password_right}");
                }
            }
        }
    }

    #[test]
    fn only_who_has_proved_themselves_is_told_that_the_device_is_frozen() {
        let file = "lamp:s3cr3t-1:frozen\n";
        assert_eq!(refusal(file, "lamp", b"s3cr3t-1"), Some(Refusal::Frozen));
        assert_eq!(refusal(file, "lamp", b"s3cr3t-2"), Some(Refusal::WrongPassword));
    }

    #[test]
    fn either_secret_proves_the_device_and_so_does_one_that_is_there_twice() {
        let file = "lamp:s3cr3t-1:secondary=s3cr3t-2\ntree:s3cr3t-1:secondary=s3cr3t-1\n";
        assert_eq!(refusal(file, "lamp", b"s3cr3t-1"), None);
        assert_eq!(refusal(file, "lamp", b"s3cr3t-2"), None);
        assert_eq!(refusal(file, "lamp", b"s3cr3t-3"), Some(Refusal::WrongPassword));
        assert_eq!(refusal(file, "tree", b"s3cr3t-1"), None);
        assert_eq!(refusal(file, "tree", b"s3cr3t-2"), Some(Refusal::WrongPassword));
    }

    #[test]
    fn a_device_with_a_certificate_is_asked_for_nothing_else() {
        let shown = Digests::of(b"its own");
        let other = Detail::Certificate(Digests::of(b"another").sha256);
        let file = format!("lamp:x509={}\n", hex::encode(shown.sha1));
        let frozen = file.replace('\n', ":frozen\n");
        for (file, certificate, expected) in [
            (&file, Some(&b"its own"[..]), None),
            (&file, None, Some((Refusal::NoCertificate, Detail::None))),
            (&file, Some(b"another"), Some((Refusal::WrongCertificate, other))),
            (&frozen, Some(b"its own"), Some((Refusal::Frozen, Detail::None))),
            (&frozen, Some(b"another"), Some((Refusal::WrongCertificate, other))),
        ] {
            let connect = Connect {
                // Its timestamp, which is a month old, does not count either.
                client_id: Some(b"lamp_0_1_2026102209"),
                username: Some(b"lamp"),
                password: None,
                certificate,
                keep_alive: 120,
            };
            let expected = expected.map(|(reason, detail)| Refused { reason, detail });
            assert_eq!(refused(&connect, file, &Policy::default(), 0), expected, "{connect:?}");
        }
    }

    #[test]
    fn a_session_ends_when_its_device_is_gone_or_frozen_or_has_another_secret() {
        use Refusal::{
            BadClientId, BadSignType, Frozen, NoCertificate, UnknownDevice, WrongCertificate,
            WrongPassword,
        };
        let mac = |sign_type, secret| {
            let password = HourKey::new(sign_type, STAMP).password(secret);
            Password::parse(Some(password.as_bytes())).mac().copied()
        };
        let shown = Digests::of(b"its own");
        let by_secret =
            Proofs { mac: mac(SignType::Sha256Timestamp, b"s3cr3t-1"), certificate: None };
        let by_sm3 = Proofs { mac: mac(SignType::Sm3Timestamp, b"s3cr3t-1"), certificate: None };
        let by_certificate = Proofs { mac: None, certificate: Some(&shown) };
        let (id, sm3) = (&b"lamp_0_1_2026112209"[..], &b"lamp_0_2_2026112209"[..]);
        let its_own = format!("lamp:x509={}", hex::encode(shown.sha256));
        let another = format!("lamp:x509={}", hex::encode(Digests::of(b"another").sha256));
        let (its_own, another) = (its_own.as_str(), another.as_str());
        for (client_id, proofs, line, expected) in [
            // The device's line has not changed, so what the session began with is not checked.
            (id, by_secret, "lamp:s3cr3t-0", None),
            (id, Proofs::default(), "lamp:s3cr3t-0", None),
            (id, by_secret, "", Some(UnknownDevice)),
            (id, by_secret, "lamp2:s3cr3t-1", Some(UnknownDevice)),
            (b"lamp", by_secret, "lamp:s3cr3t-1", Some(BadClientId)),
            (id, by_secret, "lamp:s3cr3t-1:frozen", Some(Frozen)),
            (id, by_secret, "lamp:s3cr3t-1", None),
            (id, by_secret, "lamp:s3cr3t-2", Some(WrongPassword)),
            (id, by_secret, "lamp:s3cr3t-2:secondary=s3cr3t-1", None),
            (id, by_secret, "lamp:s3cr3t-1:secondary=s3cr3t-2", None),
            (id, by_secret, "lamp:s3cr3t-2:secondary=s3cr3t-3", Some(WrongPassword)),
            (sm3, by_sm3, "lamp:s3cr3t-1", None),
            (sm3, by_secret, "lamp:s3cr3t-1", Some(WrongPassword)),
            (id, by_sm3, "lamp:s3cr3t-1", Some(WrongPassword)),
            (b"lamp_0_1_2026112210", by_secret, "lamp:s3cr3t-1", Some(WrongPassword)),
            (b"lamp_0_7_2026112209", by_secret, "lamp:s3cr3t-1", Some(BadSignType)),
            (id, Proofs::default(), "lamp:s3cr3t-1", Some(WrongPassword)),
            (id, by_certificate, "lamp:s3cr3t-1", Some(WrongPassword)),
            (id, by_certificate, its_own, None),
            (id, by_certificate, another, Some(WrongCertificate)),
            (id, by_secret, its_own, Some(NoCertificate)),
        ] {
            let mut now_in_force = table(line);
            now_in_force.compare(&table("lamp:s3cr3t-0"), Cancel::NEVER).unwrap();
            let found = must_end(client_id, proofs, &now_in_force);
            assert_eq!(found, expected, "{} {proofs:?} {line}", client_id.escape_ascii());
        }
    }

    #[test]
    fn who_has_proved_a_secret_or_was_not_looked_at_has_not_failed() {
        for reason in Refusal::ALL {
            let not_looked_at =
                [Refusal::RateLimited, Refusal::NotAsked, Refusal::InternalError].contains(&reason);
            let fails = !not_looked_at && reason != Refusal::Frozen;
            assert_eq!(Refused::from(reason).is_failure(), fails, "{reason:?}");
        }
        for reason in [Refusal::StaleTimestamp, Refusal::FutureTimestamp] {
            for password_right in [false, true] {
                let detail = Detail::Clock { age: 86_400, password_right };
                assert_eq!(Refused { reason, detail }.is_failure(), !password_right);
            }
        }
    }

    #[test]
    fn what_stands_in_for_a_secret_proves_nothing() {
        let one = format!("one:s3cr3t-1\nx:x509={}\n", "0".repeat(40));
        let two = format!("{one}two:s3cr3t-1:secondary=s3cr3t-2\n");
        for file in [&one, &two] {
            let refusal = |device, secret| refusal(file, device, secret);
            assert_eq!(refusal("one", b"s3cr3t-1"), None);
            assert_eq!(refusal("one", b"s3cr3t-2"), Some(Refusal::WrongPassword));
            assert_eq!(refusal("one", NO_SECRET), Some(Refusal::WrongPassword));
            assert_eq!(refusal("none", NO_SECRET), Some(Refusal::UnknownDevice));
            assert_eq!(refusal("x", NO_SECRET), Some(Refusal::NoCertificate));
        }
        assert_eq!(refusal(&two, "two", b"s3cr3t-1"), None);
        assert_eq!(refusal(&two, "two", b"s3cr3t-2"), None);
        assert_eq!(refusal(&two, "two", NO_SECRET), Some(Refusal::WrongPassword));
    }
}
