//! What do the values of one device ask for?

use super::field::{Field, Given};
use iotda_core::registry::{
    edit::{Proof, Settings},
    given,
    line::LineFault,
};
use std::fmt;

/// What is to happen with a device.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    /// Its line is to be so.
    Line { device_id: &'a [u8], settings: Settings<'a> },
    /// It connects through its gateway, and never by itself.
    SubDevice,
}

/// What is wrong with the values of a device. No value is repeated: it may be a secret in the wrong column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// One of the values by itself.
    Line(LineFault),
    NoDeviceId,
    /// Neither a secret nor a fingerprint.
    NoProof,
    /// `auth_type` asks for one that is not there.
    NoSecret,
    NoFingerprint,
    /// Both a secret and a fingerprint, and nothing says which.
    BothProofs,
    /// A second fingerprint, and no first one.
    SecondFingerprintOnly,
    /// A second secret alone is to be added.
    SecondSecretOnly,
    /// The same field from two keys.
    Twice {
        field: Field,
        keys: [String; 2],
    },
    /// A value that is not one of the words of its field.
    Word(Field),
    /// A value of JSON that is not a text.
    Kind {
        field: Field,
        found: &'static str,
    },
    /// A number as Excel shows it, which lacks digits.
    Rounded(Field),
}

impl Fault {
    /// Whether a value is wrong by itself. Then the values may be in the wrong columns, and what should be the device id may be
    /// a secret.
    pub(super) fn is_of_one_value(&self) -> bool {
        matches!(self, Self::Line(_) | Self::Word(_) | Self::Kind { .. } | Self::Rounded(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(fault) => fault.fmt(f),
            Self::NoDeviceId => f.write_str("expected a device_id, found none"),
            Self::NoProof => f.write_str("expected a secret or a fingerprint, found neither"),
            Self::NoSecret => f.write_str("expected a secret as auth_type says, found none"),
            Self::NoFingerprint => f.write_str(
                "expected a fingerprint as auth_type says, found none (the platform takes the first certificate that it \
                 sees; the plugin does not)",
            ),
            Self::BothProofs => f.write_str("expected a secret or x509, found both"),
            Self::SecondFingerprintOnly => {
                f.write_str("expected a fingerprint beside the second one, found none")
            }
            Self::SecondSecretOnly => f.write_str(
                "expected its first secret, found a second one alone (--update gives it to a device that is there)",
            ),
            Self::Twice { field, keys: [first, second] } => {
                write!(f, "expected one {}, found two that differ: {first} and {second}", field.name())
            }
            Self::Word(field) => {
                let expected = match field {
                    Field::Frozen => "true, false, yes, no, 1, 0 or nothing",
                    Field::Status => "ONLINE, OFFLINE, ABNORMAL, INACTIVE, FROZEN or nothing",
                    Field::AuthType => "SECRET, CERTIFICATES or nothing",
                    _ => "PRIMARY, SECONDARY or nothing",
                };
                write!(f, "{}: expected {expected}, found something else", field.name())
            }
            Self::Kind { field, found } => {
                write!(f, "{}: expected a text, found {found}", field.name())
            }
            Self::Rounded(field) => write!(
                f,
                "{}: expected all its digits, found a number that Excel has rounded: import the original, or make the \
                 column a text before it is filled",
                field.name()
            ),
        }
    }
}

/// Decides what is asked for. The fingerprints are put together in `x509`, which is empty.
pub(super) fn asked<'a>(
    given: &Given<'a>,
    update: bool,
    x509: &'a mut Vec<u8>,
) -> Result<Asked<'a>, Fault> {
    if is_sub_device(given) {
        return Ok(Asked::SubDevice);
    }
    for field in [Field::DeviceId, Field::Secret, Field::Secondary] {
        if given.get(field).is_some_and(is_rounded) {
            return Err(Fault::Rounded(field));
        }
    }
    let device_id = given.filled(Field::DeviceId).ok_or(Fault::NoDeviceId)?;
    let mut settings = Settings { frozen: frozen(given)?, ..Settings::default() };
    let by = auth_type(given)?;
    let is_second =
        word(given, Field::SecretType, &[(&["primary"], false), (&["secondary"], true)])?;
    let has_fingerprint =
        [Field::X509, Field::SecondaryX509].into_iter().any(|field| given.filled(field).is_some());
    let secret = given.filled(Field::Secret);
    let is_certificate = match (by, secret, has_fingerprint) {
        (Some(By::Certificate), _, true) | (None, None, true) => true,
        (Some(By::Certificate), _, false) => return Err(Fault::NoFingerprint),
        (Some(By::Secret), None, _) => return Err(Fault::NoSecret),
        (Some(By::Secret), Some(_), _) | (None, Some(_), false) => false,
        (None, Some(_), true) => return Err(Fault::BothProofs),
        (None, None, false) => return Err(Fault::NoProof),
    };
    if is_certificate {
        fingerprints(given, x509)?;
        settings.proof = Some(Proof::Certificate(x509));
        // auth_type says that the secrets beside it are not used.
        settings.secondary = match by {
            Some(By::Certificate) => None,
            _ => second_secret(given),
        };
    } else if is_second == Some(true) {
        if !update {
            return Err(Fault::SecondSecretOnly);
        }
        settings.secondary = Some(secret);
    } else {
        settings.proof = secret.map(Proof::Secret);
        settings.secondary = second_secret(given);
    }
    Ok(Asked::Line { device_id, settings })
}

/// The second secret, if there is a column for it; an empty one takes it away.
fn second_secret<'a>(given: &Given<'a>) -> Option<Option<&'a [u8]>> {
    given.get(Field::Secondary).map(|value| Some(value).filter(|value| !value.is_empty()))
}

/// Whether a device connects through a gateway. By the gateway's id where it is known: a device that is its own gateway
/// connects itself.
fn is_sub_device(given: &Given<'_>) -> bool {
    match given.filled(Field::GatewayId) {
        Some(gateway) => given.get(Field::DeviceId) != Some(gateway),
        None => given
            .filled(Field::NodeType)
            .is_some_and(|node_type| node_type.eq_ignore_ascii_case(b"ENDPOINT")),
    }
}

/// How a device proves itself, as `auth_type` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Secret,
    Certificate,
}

fn auth_type(given: &Given<'_>) -> Result<Option<By>, Fault> {
    let words: [Words<By>; 2] =
        [(&["secret"], By::Secret), (&["certificates", "certificate"], By::Certificate)];
    word(given, Field::AuthType, &words)
}

/// `None` if nothing is said about it.
fn frozen(given: &Given<'_>) -> Result<Option<bool>, Fault> {
    let is: [Words<bool>; 2] =
        [(&["true", "yes", "1", "是"], true), (&["", "false", "no", "0", "否"], false)];
    if given.get(Field::Frozen).is_some() {
        return word(given, Field::Frozen, &is);
    }
    let states: [Words<bool>; 2] = [
        (&["frozen", "冻结", "已冻结"], true),
        (&["online", "offline", "abnormal", "inactive", "在线", "离线", "异常", "未激活"], false),
    ];
    word(given, Field::Status, &states)
}

/// Some words with one meaning, in lower case.
type Words<T> = (&'static [&'static str], T);

/// The meaning of a field's value; `None` if it has none, or an empty one without a meaning.
fn word<T: Copy>(given: &Given<'_>, field: Field, words: &[Words<T>]) -> Result<Option<T>, Fault> {
    let Some(value) = given.get(field) else { return Ok(None) };
    let is = |word: &&str| value.eq_ignore_ascii_case(word.as_bytes());
    match words.iter().find(|(words, _)| words.iter().any(is)) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None if value.is_empty() => Ok(None),
        None => Err(Fault::Word(field)),
    }
}

/// The fingerprints as a secrets file has them: without colons, blanks and OpenSSL's names, separated by a comma.
fn fingerprints(given: &Given<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let first = given.filled(Field::X509).ok_or(Fault::SecondFingerprintOnly)?;
    let digits = |value: &'_ [u8], out: &mut Vec<u8>| {
        for (number, one) in value.split(|byte| matches!(byte, b',' | b';')).enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let bare = given::bare(one.trim_ascii());
            out.extend(bare.iter().filter(|byte| !matches!(byte, b':' | b' ')));
        }
    };
    digits(first, out);
    if let Some(second) = given.filled(Field::SecondaryX509) {
        out.push(b',');
        digits(second, out);
    }
    Ok(())
}

/// Whether a value is a number like `1.23457E+15`.
fn is_rounded(value: &[u8]) -> bool {
    let Some(at) = value.windows(2).position(|pair| matches!(pair, b"E+" | b"e+")) else {
        return false;
    };
    let (digits, exponent) = value.split_at_checked(at).unwrap_or_default();
    let exponent = exponent.get(2..).unwrap_or_default();
    let is_number = digits.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
    is_number
        && !digits.is_empty()
        && !exponent.is_empty()
        && exponent.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
    const COLONS: &str = "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B";

    /// What is asked for, as a text.
    fn of(values: &[(Field, &str)], update: bool) -> Result<String, Fault> {
        let mut given = Given::default();
        for (field, value) in values {
            given.set(*field, value.as_bytes());
        }
        let mut x509 = Vec::new();
        let (device_id, settings) = match asked(&given, update, &mut x509)? {
            Asked::SubDevice => return Ok("sub-device".into()),
            Asked::Line { device_id, settings } => (device_id, settings),
        };
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let proof = match settings.proof {
            Some(Proof::Secret(secret)) => text(secret).to_owned(),
            Some(Proof::Certificate(value)) => format!("x509={}", text(value)),
            _ => "-".into(),
        };
        let secondary = settings.secondary.map(|value| value.map(text));
        Ok(format!("{} {proof} {secondary:?} {:?}", text(device_id), settings.frozen))
    }

    #[test]
    fn the_values_of_a_device_are_put_together() {
        use Field::*;
        let id = (DeviceId, "d");
        let secret = (Secret, "topsecret");
        let two = format!("{SHA1}, {COLONS}");
        for (values, update, expected) in [
            (&[id, secret][..], false, "d topsecret None None"),
            (&[id, secret, (Secondary, "")], false, "d topsecret Some(None) None"),
            (
                &[id, secret, (Secondary, "second-one")],
                false,
                "d topsecret Some(Some(\"second-one\")) None",
            ),
            (&[id, secret, (Frozen, "")], false, "d topsecret None Some(false)"),
            (&[id, secret, (Frozen, "Yes")], false, "d topsecret None Some(true)"),
            (&[id, secret, (Frozen, "是")], false, "d topsecret None Some(true)"),
            (&[id, secret, (Status, "FROZEN")], false, "d topsecret None Some(true)"),
            (&[id, secret, (Status, "Inactive")], false, "d topsecret None Some(false)"),
            (&[id, secret, (Status, "")], false, "d topsecret None None"),
            (&[id, (X509, SHA1), (Secret, "")], false, &format!("d x509={SHA1} None None")),
            (
                &[id, (X509, COLONS), (SecondaryX509, SHA1)],
                false,
                &format!("d x509={},{SHA1} None None", COLONS.replace(':', "")),
            ),
            (
                &[id, (X509, &two)],
                false,
                &format!("d x509={SHA1},{} None None", COLONS.replace(':', "")),
            ),
            // auth_type decides, whatever else is there.
            (&[id, secret, (X509, SHA1), (AuthType, "SECRET")], false, "d topsecret None None"),
            (
                &[id, secret, (Secondary, "second-one"), (X509, SHA1), (AuthType, "CERTIFICATES")],
                false,
                &format!("d x509={SHA1} None None"),
            ),
            (&[id, secret, (SecretType, "PRIMARY")], false, "d topsecret None None"),
            (&[id, secret, (SecretType, "SECONDARY")], true, "d - Some(Some(\"topsecret\")) None"),
            // Sub-devices; a gateway is not one.
            (&[id, (GatewayId, "g")], false, "sub-device"),
            (&[id, (NodeType, "ENDPOINT")], false, "sub-device"),
            (
                &[id, secret, (GatewayId, "d"), (NodeType, "ENDPOINT")],
                false,
                "d topsecret None None",
            ),
            (&[id, secret, (GatewayId, ""), (NodeType, "GATEWAY")], false, "d topsecret None None"),
        ] {
            assert_eq!(of(values, update).as_deref(), Ok(expected), "{values:?}");
        }
    }

    #[test]
    fn values_that_do_not_go_together_are_faults() {
        use Field::*;
        let id = (DeviceId, "d");
        let secret = (Secret, "topsecret");
        for (values, fault) in [
            (&[][..], Fault::NoDeviceId),
            (&[secret], Fault::NoDeviceId),
            (&[id], Fault::NoProof),
            (&[id, (Secret, ""), (X509, "")], Fault::NoProof),
            (&[id, secret, (X509, SHA1)], Fault::BothProofs),
            (&[id, (X509, SHA1), (AuthType, "SECRET")], Fault::NoSecret),
            (&[id, secret, (AuthType, "CERTIFICATES")], Fault::NoFingerprint),
            (&[id, (SecondaryX509, SHA1)], Fault::SecondFingerprintOnly),
            (&[id, secret, (SecretType, "SECONDARY")], Fault::SecondSecretOnly),
            (&[id, secret, (Frozen, "perhaps")], Fault::Word(Frozen)),
            (&[id, secret, (Status, "1")], Fault::Word(Status)),
            (&[id, secret, (AuthType, "PSK")], Fault::Word(AuthType)),
            (&[id, secret, (SecretType, "THIRD")], Fault::Word(SecretType)),
            (&[(DeviceId, "1.23457E+15"), secret], Fault::Rounded(DeviceId)),
            (&[id, (Secret, "1,5E+10")], Fault::Rounded(Secret)),
        ] {
            assert_eq!(of(values, false), Err(fault), "{values:?}");
        }
        for not in ["E+", "1E+", "E+5", "1E-5", "x1E+5", "12345678"] {
            assert!(!is_rounded(not.as_bytes()), "{not}");
        }
    }
}
