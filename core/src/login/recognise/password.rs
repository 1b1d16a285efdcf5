//! What is a wrong password?

use super::unquoted;
use crate::{
    login::{
        client_id::{ClientId, SignType},
        connect::{Connect, MAX_FIELD},
        kind::Kind,
        signature::{HourKey, MAC_LENGTH, Password},
        timestamp::{Hour, Stamp},
        verify::NO_SECRET,
    },
    registry::{Credential, Table},
};

/// A password's digits.
const DIGITS: usize = 2 * MAC_LENGTH;

/// With fewer digits, a password is not told as one that was cut off: who can read the log could find the right one piece by
/// piece.
const FEWEST_DIGITS: usize = DIGITS / 2;

/// How many hours local time may lie ahead of UTC or behind it: UTC-12 to UTC+14, and either of the two times may be in the
/// ClientId.
const FARTHEST: i64 = 14;

/// What a password is that does not prove its device. `None` if no password is looked at for such a login.
///
/// It makes the same comparisons for any device, and for none.
pub(super) fn kind(connect: &Connect<'_>, registry: &Table) -> Option<Kind> {
    let id = ClientId::parse(connect.client_id?).ok()?;
    let sign_type = SignType::from_digit(id.sign_digit)?;
    let (primary, secondary) = match registry.find(id.device_id).map(|device| device.credential) {
        Some(Credential::Secret { primary, secondary }) => (Some(primary), secondary),
        Some(Credential::Certificate(_)) | None => (None, None),
    };
    let secrets = Secrets { primary, secondary, has_second: registry.has_second_secrets() };
    let sent = connect.password.filter(|password| !password.is_empty());
    let Some(sent) = sent else { return Some(Kind::Missing) };
    Some(match Password::parse(Some(sent)).mac() {
        Some(mac) => secrets.other_hmac(mac, sign_type, id.stamp),
        // Nothing of it is looked at: a client may send 65,535 bytes.
        None if sent.len() > MAX_FIELD => Kind::Malformed,
        None => secrets.other_text(sent, &HourKey::new(sign_type, id.stamp)),
    })
}

/// The secrets of a device.
struct Secrets<'a> {
    primary: Option<&'a [u8]>,
    secondary: Option<&'a [u8]>,
    /// Whether any device has two.
    has_second: bool,
}

impl Secrets<'_> {
    /// Whether it is so for one of the secrets. It is asked for each that a device may have, and in place of one that is not
    /// there for another.
    fn any(&self, is_so: impl Fn(&[u8]) -> bool) -> bool {
        let asked = |secret: Option<&[u8]>| is_so(secret.unwrap_or(NO_SECRET)) & secret.is_some();
        (self.has_second && asked(self.secondary)) | asked(self.primary)
    }

    /// What a password of the right shape is.
    fn other_hmac(&self, mac: &[u8; MAC_LENGTH], sign_type: SignType, stamp: &Stamp) -> Kind {
        let makes = |key: &HourKey| self.any(|secret| key.makes(mac, secret));
        let swapped = self.any(|secret| HourKey::of(sign_type, secret).makes(mac, stamp));
        let other_type = match sign_type {
            SignType::Sha256 | SignType::Sha256Timestamp => SignType::Sm3Timestamp,
            SignType::Sm3Timestamp => SignType::Sha256Timestamp,
        };
        let by_other_type = makes(&HourKey::new(other_type, stamp));
        let mut kind = Kind::Other;
        for (is_so, found) in [(swapped, Kind::Swapped), (by_other_type, Kind::SignType)] {
            if is_so {
                kind = found;
            }
        }
        // Without a date there is no other hour: that depends on the client alone.
        for hours in -FARTHEST..=FARTHEST {
            // An hour past 23 is the same one as an hour of the next day, but another key.
            let other = Hour::parse(stamp).and_then(|hour| hour.plus(hours).stamp());
            let Some(other) = other.filter(|other| other != stamp) else { continue };
            if makes(&HourKey::new(sign_type, &other)) {
                kind = if hours.abs() <= 1 { Kind::Hour } else { Kind::LocalTime };
            }
        }
        kind
    }

    /// What a password of another shape is.
    fn other_text(&self, sent: &[u8], key: &HourKey) -> Kind {
        let trimmed = sent.trim_ascii();
        let text = unquoted(trimmed);
        let is_secret = self.any(|secret| is_same(text, secret));
        let beginning = text.get(..DIGITS).unwrap_or(text);
        let is_right = self.any(|secret| begins_with(&key.mac(secret), beginning));
        if is_secret {
            Kind::Secret
        } else if !is_right || beginning.len() < FEWEST_DIGITS {
            Kind::Malformed
        } else if trimmed.len() < sent.len() {
            Kind::BlankPassword
        } else if text.len() < trimmed.len() {
            Kind::QuotedPassword
        } else if text.len() < DIGITS {
            Kind::Cut
        } else if text.len() > DIGITS {
            Kind::PasswordTail
        } else {
            Kind::UpperCase
        }
    }
}

/// Whether a text is a secret, in a time that does not depend on the secret.
fn is_same(text: &[u8], secret: &[u8]) -> bool {
    // Longer than any secret, and than what stands in for one.
    const LONGEST: usize = 40;
    let at = |text: &[u8], place: usize| text.get(place).copied().unwrap_or_default();
    let differ =
        (0..LONGEST).fold(0, |differ, place| differ | (at(text, place) ^ at(secret, place)));
    (differ == 0) & (text.len() == secret.len())
}

/// Whether hex digits, in either case, are the first ones of an HMAC, in a time that does not depend on it.
fn begins_with(mac: &[u8; MAC_LENGTH], digits: &[u8]) -> bool {
    let mut right = [0; DIGITS];
    let is_written = base16ct::lower::encode(mac, &mut right).is_ok();
    let pairs = digits.iter().zip(right);
    is_written
        & pairs.fold(true, |same, (digit, right)| same & (digit.to_ascii_lowercase() == right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Cancel, read::read};
    use SignType::{Sha256, Sha256Timestamp, Sm3Timestamp};

    const SECRET: &str = "s3cr3t-1";
    const SECOND: &str = "s3cr3t-two-0123456789-0123456789";

    fn password(sign_type: SignType, stamp: &str, secret: &str) -> String {
        let stamp = stamp.as_bytes().try_into().unwrap();
        HourKey::new(sign_type, stamp).password(secret.as_bytes())
    }

    fn of(file: &str, sign_type: SignType, stamp: &str, sent: Option<&[u8]>) -> Option<Kind> {
        let table = read(file.as_bytes(), file.len() as u64, 1, Cancel::NEVER).unwrap().table;
        let client_id = ClientId::format("lamp", sign_type, stamp);
        let connect = Connect {
            client_id: Some(client_id.as_bytes()),
            username: Some(b"lamp"),
            password: sent,
            ..Connect::default()
        };
        kind(&connect, &table)
    }

    /// What a text is, sent at nine o'clock with sign type 1, for a device that has the first secret, that has both, and
    /// that is not there.
    #[track_caller]
    fn check(sent: impl AsRef<[u8]>, expected: Kind) {
        let (one, both) =
            (format!("lamp:{SECRET}\n"), format!("lamp:{SECOND}:secondary={SECRET}\n"));
        let sent = sent.as_ref();
        let shown = sent.escape_ascii();
        let kind = |file: &str| of(file, Sha256Timestamp, "2026112209", Some(sent));
        assert_eq!(kind(&one), Some(expected), "{shown}");
        assert_eq!(kind(&both), Some(expected), "{shown}");
        let has_its_length = Password::parse(Some(sent)).mac().is_some();
        let unknown = match expected {
            Kind::Missing => Kind::Missing,
            _ if has_its_length => Kind::Other,
            _ => Kind::Malformed,
        };
        let digest = "0".repeat(40);
        for file in ["", &both.replace("lamp", "tree"), &format!("lamp:x509={digest}\n")] {
            assert_eq!(kind(file), Some(unknown), "{shown}");
        }
    }

    #[test]
    fn tells_what_is_wrong_with_the_text() {
        let right = password(Sha256Timestamp, "2026112209", SECRET);
        assert!(right.bytes().any(|byte| byte.is_ascii_lowercase()));
        let upper = right.to_uppercase();
        check("", Kind::Missing);
        check(&upper, Kind::UpperCase);
        for blank in ["{}\r\n", " {}", "{}\t", "\n{} "] {
            check(blank.replace("{}", &right), Kind::BlankPassword);
        }
        for quote in ["\"{}\"", "'{}'", "{}\"", "`{}"] {
            check(quote.replace("{}", &right), Kind::QuotedPassword);
        }
        for length in [63, 62, 48, 33, 32] {
            check(&right[..length], Kind::Cut);
            check(&upper[..length], Kind::Cut);
        }
        for tail in ["0", "\u{fffd}\u{1}", "_2026112209"] {
            check(format!("{right}{tail}"), Kind::PasswordTail);
        }
        check(format!("\"{upper}\"\n"), Kind::BlankPassword);
        check(SECRET, Kind::Secret);
        check(format!("\"{SECRET}\"\r\n"), Kind::Secret);
        for malformed in [
            &right[..31],
            &right[..1],
            &right[1..],
            &upper.replace(|digit| digit == upper.as_bytes()[40].into(), "G"),
            "s3cr3t-2",
            "s3cr3t-",
            "s3cr3t-1\u{1}",
            "S3CR3T-1",
            "hunter2",
            " ",
            "\"",
            "\"\"",
            &"é".repeat(32),
            &right.repeat(5),
            &format!("{right}{}", " ".repeat(300)),
        ] {
            check(malformed, Kind::Malformed);
        }
        check([0xFF; 64], Kind::Malformed);
        check(vec![b' '; 65_535], Kind::Malformed);
    }

    #[test]
    fn tells_how_a_password_was_made_wrongly() {
        let made = |stamp| password(Sha256Timestamp, stamp, SECRET);
        let swapped = HourKey::of(Sha256, SECRET.as_bytes()).password(b"2026112209");
        check(swapped, Kind::Swapped);
        check(password(Sm3Timestamp, "2026112209", SECRET), Kind::SignType);
        check(made("2026112208"), Kind::Hour);
        check(made("2026112210"), Kind::Hour);
        check(made("2026112207"), Kind::LocalTime);
        check(made("2026112217"), Kind::LocalTime);
        check(made("2026112223"), Kind::LocalTime);
        check(made("2026112119"), Kind::LocalTime);
        check(made("2026112300"), Kind::Other);
        check(made("2026112118"), Kind::Other);
        check(made("2026112224"), Kind::Other);
        check(password(Sha256, "2026112209", "s3cr3t-2"), Kind::Other);
        check("0".repeat(64), Kind::Other);
        // What stands in for a secret is none.
        let no_secret = std::str::from_utf8(NO_SECRET).unwrap();
        check(password(Sha256, "2026112209", no_secret), Kind::Other);
        check(no_secret, Kind::Malformed);
    }

    #[test]
    fn each_sign_type_and_each_hour_is_looked_at_in_its_own_way() {
        for (sign_type, stamp, made, expected) in [
            (Sha256, "2026112209", password(Sm3Timestamp, "2026112209", SECRET), Kind::SignType),
            (Sm3Timestamp, "2026112209", password(Sha256, "2026112209", SECRET), Kind::SignType),
            (Sm3Timestamp, "2026112209", password(Sm3Timestamp, "2026112210", SECRET), Kind::Hour),
            (Sm3Timestamp, "2026112209", password(Sha256, "2026112210", SECRET), Kind::Other),
            // The hour 24 is the next day's first, and the key as it is written.
            (Sha256, "2026112224", password(Sha256, "2026112300", SECRET), Kind::Hour),
            (Sha256, "2026112224", password(Sha256, "2026112301", SECRET), Kind::Hour),
            (Sha256, "2026112224", password(Sha256, "2026112302", SECRET), Kind::LocalTime),
            // No date, and so no other hour.
            (Sha256, "2026023103", password(Sha256, "2026023104", SECRET), Kind::Other),
            (Sha256, "2026023103", password(Sm3Timestamp, "2026023103", SECRET), Kind::SignType),
            (Sha256, "0000010100", password(Sha256, "0000010101", SECRET), Kind::Hour),
            (Sha256, "9999123123", password(Sha256, "9999123122", SECRET), Kind::Hour),
        ] {
            let file = format!("lamp:{SECRET}\n");
            let found = of(&file, sign_type, stamp, Some(made.as_bytes()));
            assert_eq!(found, Some(expected), "{sign_type:?} {stamp}");
        }
        assert_eq!(of("", Sha256, "2026112209", None), Some(Kind::Missing));
    }

    #[test]
    fn no_password_is_looked_at_where_the_check_ends_before() {
        let connect = Connect { client_id: Some(b"lamp"), ..Connect::default() };
        assert_eq!(kind(&connect, &Table::empty()), None);
        let connect = Connect { client_id: Some(b"lamp_0_7_2026112209"), ..Connect::default() };
        assert_eq!(kind(&connect, &Table::empty()), None);
        assert_eq!(kind(&Connect::default(), &Table::empty()), None);
    }
}
