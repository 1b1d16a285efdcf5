//! One line of the secrets file.
//!
//! ```text
//! device_id:secret[:secondary=secret][:frozen]
//! device_id:x509=fingerprint[,fingerprint][:frozen]
//! # a comment
//! ```
//!
//! No error here holds a byte of the line. If a colon is missing or two fields are swapped, a secret stands where a device
//! id or an attribute is expected, and errors end up in logs.

use std::fmt;

/// The longest device id, in bytes.
pub const MAX_DEVICE_ID: usize = 128;
/// The shortest and the longest secret, in bytes.
pub const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 8..=32;
/// The longest line in bytes, more than the format needs. A longer one is an error and is not kept in memory.
pub const MAX_LINE: usize = 1024;

/// What a line of the secrets file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing: a blank line or a comment.
    Nothing,
    /// A device.
    Device(Entry<'a>),
}

/// A device as its line describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// 1 to 128 of `A–Z a–z 0–9 _ -`.
    pub device_id: &'a [u8],
    /// What proves the device.
    pub credential: Credential<'a>,
    /// Whether the device may not log in for now.
    pub frozen: bool,
}

/// What proves a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// A secret, from which the password is made, and perhaps a second one that is just as valid.
    Secret {
        /// 8 to 32 of `A–Z a–z 0–9 _ -`.
        primary: &'a [u8],
        /// The second secret, in the same form.
        secondary: Option<&'a [u8]>,
    },
    /// A TLS client certificate.
    Certificate(Fingerprints),
}

impl fmt::Debug for Credential<'_> {
    /// Shows the kind, never a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { secondary: None, .. } => f.write_str("Secret(***)"),
            Self::Secret { secondary: Some(_), .. } => f.write_str("Secret(***, ***)"),
            Self::Certificate(fingerprints) => fingerprints.fmt(f),
        }
    }
}

/// The fingerprints of a device's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprints {
    /// The first fingerprint.
    pub primary: Fingerprint,
    /// A second fingerprint, which is just as valid.
    pub secondary: Option<Fingerprint>,
}

/// The digest of a certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// SHA-1, 40 hex digits.
    Sha1([u8; 20]),
    /// SHA-256, 64 hex digits.
    Sha256([u8; 32]),
}

/// The fields of a line, as errors name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The first field, before the first colon.
    DeviceId,
    /// The secret.
    Secret,
    /// The value of `secondary=`.
    Secondary,
    /// A value of `x509=`.
    Fingerprint,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeviceId => "device id",
            Self::Secret => "secret",
            Self::Secondary => "secondary secret",
            Self::Fingerprint => "certificate fingerprint",
        })
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// It is longer than any line may be.
    TooLong,
    /// There is no colon.
    NoSecret,
    /// A field is too short or too long.
    Length {
        /// The field that is wrong.
        field: Field,
        /// The field's length in bytes.
        found: usize,
    },
    /// A field has a byte that is not allowed in it.
    Charset {
        /// The field that is wrong.
        field: Field,
        /// Where the byte is, counted from 1.
        position: usize,
    },
    /// It has a NUL byte, as no text has.
    Nul {
        /// Where in the line the first one is, counted from 1.
        position: usize,
    },
    /// `x509=` has more than two fingerprints.
    ThreeFingerprints,
    /// Something after the secret is not an attribute.
    UnknownAttribute {
        /// Which of the attributes, counted from 1.
        number: usize,
    },
    /// An attribute is given twice.
    RepeatedAttribute {
        /// Which of the attributes, counted from 1.
        number: usize,
    },
    /// `secondary=` on a line that has `x509=`.
    SecondaryOfCertificate,
    /// The device is on an earlier line already.
    Duplicate {
        /// The earlier line, counted from 1.
        first: u64,
    },
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong => write!(f, "expected at most {MAX_LINE} bytes, found more"),
            Self::NoSecret => f.write_str("expected device_id:secret, found no colon"),
            Self::Length { field, found } => {
                let expected = match field {
                    Field::DeviceId => "1 to 128 characters",
                    Field::Secret | Field::Secondary => "8 to 32 characters",
                    Field::Fingerprint => "40 (SHA-1) or 64 (SHA-256) hex digits without colons",
                };
                write!(f, "{field}: expected {expected}, found {found}")
            }
            Self::Charset { field, position } => {
                let expected = match field {
                    Field::Fingerprint => "hex digits without colons",
                    _ => "only A-Z a-z 0-9 _ -",
                };
                write!(
                    f,
                    "{field}: expected {expected}, found something else at position {position}"
                )
            }
            Self::Nul { position } => write!(
                f,
                "expected text, found a NUL byte at position {position}: is it UTF-16, or has the machine crashed?"
            ),
            Self::ThreeFingerprints => {
                f.write_str("expected one or two certificate fingerprints, found more")
            }
            Self::UnknownAttribute { number } => write!(
                f,
                "attribute {number} after the secret: expected secondary=SECRET or frozen, found something else"
            ),
            Self::RepeatedAttribute { number } => {
                write!(f, "attribute {number} after the secret: given before already")
            }
            Self::SecondaryOfCertificate => {
                f.write_str("expected no secondary= beside x509=, found one")
            }
            Self::Duplicate { first } => write!(f, "device: given on line {first} already"),
        }
    }
}

/// Reads one line, without its newline.
///
/// # Errors
///
/// [`LineFault`], with the first thing that is wrong; a NUL byte before anything else.
pub fn parse(line: &[u8]) -> Result<Line<'_>, LineFault> {
    parse_text(line).map_err(|fault| match memchr::memchr(0, line) {
        Some(at) => LineFault::Nul { position: at + 1 },
        None => fault,
    })
}

fn parse_text(line: &[u8]) -> Result<Line<'_>, LineFault> {
    if line.first() == Some(&b'#') {
        return Ok(Line::Nothing);
    }
    // This check comes before blanks are cut off: the reader keeps only the beginning of a longer line.
    if line.len() > MAX_LINE {
        return Err(LineFault::TooLong);
    }
    let line = trim_end(line);
    if line.is_empty() {
        return Ok(Line::Nothing);
    }
    let mut fields = split(line);
    let device_id = name(fields.next().unwrap_or_default(), Field::DeviceId, 1..=MAX_DEVICE_ID)?;
    let secret = fields.next().ok_or(LineFault::NoSecret)?;
    let fingerprints = secret.strip_prefix(b"x509=").map(fingerprints).transpose()?;
    if fingerprints.is_none() {
        name(secret, Field::Secret, SECRET_LENGTHS)?;
    }

    let mut secondary = None;
    let mut frozen = false;
    for (number, attribute) in (1..).zip(fields) {
        if let Some(value) = attribute.strip_prefix(b"secondary=") {
            if fingerprints.is_some() {
                return Err(LineFault::SecondaryOfCertificate);
            }
            let value = name(value, Field::Secondary, SECRET_LENGTHS)?;
            if secondary.replace(value).is_some() {
                return Err(LineFault::RepeatedAttribute { number });
            }
        } else if attribute == b"frozen" {
            if frozen {
                return Err(LineFault::RepeatedAttribute { number });
            }
            frozen = true;
        } else {
            return Err(LineFault::UnknownAttribute { number });
        }
    }

    let credential = match fingerprints {
        Some(fingerprints) => Credential::Certificate(fingerprints),
        None => Credential::Secret { primary: secret, secondary },
    };
    Ok(Line::Device(Entry { device_id, credential, frozen }))
}

/// What lies between the colons of a line.
fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr(b':', text);
        rest = end.and_then(|end| text.get(end + 1..));
        text.get(..end.unwrap_or(text.len()))
    })
}

/// A line without the blanks and the carriage return at its end.
pub(super) fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    end.and_then(|last| line.get(..=last)).unwrap_or_default()
}

/// A device id or a secret: a number of `A–Z a–z 0–9 _ -` within the given range.
pub(super) fn name(
    bytes: &[u8],
    field: Field,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<&[u8], LineFault> {
    // No early exit: so the compiler can check many bytes at once. For a large file, much of the time is spent here.
    if !bytes.iter().fold(true, |good, byte| good & is_allowed(*byte)) {
        let at = bytes.iter().position(|byte| !is_allowed(*byte)).unwrap_or_default();
        return Err(LineFault::Charset { field, position: at + 1 });
    }
    if !lengths.contains(&bytes.len()) {
        return Err(LineFault::Length { field, found: bytes.len() });
    }
    Ok(bytes)
}

/// Whether a device id or a secret may have this byte.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Whether a text can be a device id.
#[must_use]
pub fn is_device_id(bytes: &[u8]) -> bool {
    name(bytes, Field::DeviceId, 1..=MAX_DEVICE_ID).is_ok()
}

/// Whether a text can be a secret.
///
/// # Errors
///
/// [`LineFault`], which says what is wrong and does not repeat the text.
pub fn check_secret(bytes: &[u8]) -> Result<(), LineFault> {
    name(bytes, Field::Secret, SECRET_LENGTHS).map(|_| ())
}

/// Whether a text can be the value of a field.
///
/// # Errors
///
/// [`LineFault`], which says what is wrong and does not repeat the text.
pub fn check_field(bytes: &[u8], field: Field) -> Result<(), LineFault> {
    match field {
        Field::DeviceId => name(bytes, field, 1..=MAX_DEVICE_ID).map(|_| ()),
        Field::Secret | Field::Secondary => name(bytes, field, SECRET_LENGTHS).map(|_| ()),
        Field::Fingerprint => fingerprint(bytes).map(|_| ()),
    }
}

/// The value of `x509=`.
pub(super) fn fingerprints(value: &[u8]) -> Result<Fingerprints, LineFault> {
    let mut values = value.split(|byte| *byte == b',').map(fingerprint);
    let primary =
        values.next().unwrap_or(Err(LineFault::Length { field: Field::Fingerprint, found: 0 }))?;
    let secondary = values.next().transpose()?;
    match values.next() {
        Some(_) => Err(LineFault::ThreeFingerprints),
        None => Ok(Fingerprints { primary, secondary }),
    }
}

/// One fingerprint: SHA-1 or SHA-256 by its length.
pub(super) fn fingerprint(digits: &[u8]) -> Result<Fingerprint, LineFault> {
    let field = Field::Fingerprint;
    if let Some(at) = digits.iter().position(|byte| !byte.is_ascii_hexdigit()) {
        return Err(LineFault::Charset { field, position: at + 1 });
    }
    let (mut sha1, mut sha256) = ([0; 20], [0; 32]);
    if hex::decode_to_slice(digits, &mut sha1).is_ok() {
        Ok(Fingerprint::Sha1(sha1))
    } else if hex::decode_to_slice(digits, &mut sha256).is_ok() {
        Ok(Fingerprint::Sha256(sha256))
    } else {
        Err(LineFault::Length { field, found: digits.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(line: &str) -> Entry<'_> {
        match parse(line.as_bytes()) {
            Ok(Line::Device(entry)) => entry,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn reads_every_kind_of_line() {
        let plain = device("64a1f0c2_lamp-01:5f2b9c0e7d");
        assert_eq!(plain.device_id, b"64a1f0c2_lamp-01");
        assert!(!plain.frozen);
        assert_eq!(
            plain.credential,
            Credential::Secret { primary: b"5f2b9c0e7d", secondary: None }
        );

        let both = device("lamp-02:newsecret1:frozen:secondary=oldsecret1 \t\r");
        assert!(both.frozen);
        assert_eq!(
            both.credential,
            Credential::Secret { primary: b"newsecret1", secondary: Some(b"oldsecret1") }
        );

        let sha1 = "9F86d081884c7d659a2feaa0c55ad015a3bf4f1b";
        let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let line = format!("meter-7:x509={sha1},{sha256}:frozen");
        let Credential::Certificate(fingerprints) = device(&line).credential else { panic!() };
        assert!(matches!(fingerprints.primary, Fingerprint::Sha1([0x9F, 0x86, ..])));
        assert!(matches!(fingerprints.secondary, Some(Fingerprint::Sha256(_))));

        for nothing in ["", " ", "\t\r", "\r", "#", "# device:secret", "#lamp:5f2b9c0e7d"] {
            assert_eq!(parse(nothing.as_bytes()), Ok(Line::Nothing), "{nothing:?}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        use Field::{DeviceId, Fingerprint, Secondary, Secret};
        let long_id = format!("{}:5f2b9c0e7d", "d".repeat(129));
        let long_line = format!("d:5f2b9c0e7d:{}", "x".repeat(2000));
        let sha1 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
        for (line, fault) in [
            ("lamp", LineFault::NoSecret),
            ("la mp:5f2b9c0e7d", LineFault::Charset { field: DeviceId, position: 3 }),
            (" # not a comment", LineFault::Charset { field: DeviceId, position: 1 }),
            ("lämp:5f2b9c0e7d", LineFault::Charset { field: DeviceId, position: 2 }),
            ("la\0mp:5f2b9c0e7d", LineFault::Nul { position: 3 }),
            (":5f2b9c0e7d", LineFault::Length { field: DeviceId, found: 0 }),
            (long_id.as_str(), LineFault::Length { field: DeviceId, found: 129 }),
            (long_line.as_str(), LineFault::TooLong),
            ("d:", LineFault::Length { field: Secret, found: 0 }),
            ("d:1234567", LineFault::Length { field: Secret, found: 7 }),
            ("d:123456789012345678901234567890123", LineFault::Length { field: Secret, found: 33 }),
            ("d:12345678!", LineFault::Charset { field: Secret, position: 9 }),
            ("d:12345678\0", LineFault::Nul { position: 11 }),
            ("d!:12345678\0", LineFault::Nul { position: 12 }),
            ("d:5f2b9c0e7d:", LineFault::UnknownAttribute { number: 1 }),
            ("d:5f2b9c0e7d:Frozen", LineFault::UnknownAttribute { number: 1 }),
            ("d:5f2b9c0e7d:frozen:oldsecret1", LineFault::UnknownAttribute { number: 2 }),
            ("d:5f2b9c0e7d:frozen:frozen", LineFault::RepeatedAttribute { number: 2 }),
            (
                "d:5f2b9c0e7d:secondary=5f2b9c0e7d:secondary=5f2b9c0e7d",
                LineFault::RepeatedAttribute { number: 2 },
            ),
            ("d:5f2b9c0e7d:secondary=short", LineFault::Length { field: Secondary, found: 5 }),
            ("d:5f2b9c0e7d:secondary=", LineFault::Length { field: Secondary, found: 0 }),
            ("d:x509=", LineFault::Length { field: Fingerprint, found: 0 }),
            ("d:x509=9f86", LineFault::Length { field: Fingerprint, found: 4 }),
            ("d:x509=9f:86", LineFault::Length { field: Fingerprint, found: 2 }),
            ("d:x509=9g86", LineFault::Charset { field: Fingerprint, position: 2 }),
            (&format!("d:x509={sha1},{sha1},{sha1}"), LineFault::ThreeFingerprints),
            (&format!("d:x509={sha1},"), LineFault::Length { field: Fingerprint, found: 0 }),
            (&format!("d:x509={sha1}:secondary=5f2b9c0e7d"), LineFault::SecondaryOfCertificate),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(fault), "{line}");
        }
    }

    #[test]
    fn no_message_repeats_a_byte_of_the_line() {
        for line in [
            "topsecret1",
            "a:b:topsecret1",
            "d:5f2b9c0e7d:topsecret1",
            "d:topsecret1!",
            "d:x509=topsecret1",
        ] {
            let message = parse(line.as_bytes()).unwrap_err().to_string();
            assert!(!message.contains("topsecret1"), "{line}: {message}");
        }
    }

    #[test]
    fn debug_hides_secrets() {
        let entry = device("lamp:topsecret1:secondary=topsecret2");
        assert!(!format!("{entry:?}").contains("topsecret"));
    }

    #[test]
    fn a_message_names_the_field_and_what_was_found() {
        use Field::{DeviceId, Fingerprint, Secondary, Secret};
        let length = |field, found| LineFault::Length { field, found };
        let charset = |field, position| LineFault::Charset { field, position };
        for (fault, parts) in [
            (LineFault::TooLong, &["1024"][..]),
            (LineFault::NoSecret, &["device_id:secret", "no colon"]),
            (length(DeviceId, 129), &["device id: ", "1 to 128", "found 129"]),
            (length(Secret, 7), &["secret: ", "8 to 32", "found 7"]),
            (length(Secondary, 33), &["secondary secret: ", "8 to 32", "found 33"]),
            (length(Fingerprint, 39), &["certificate fingerprint: ", "40", "64", "found 39"]),
            (charset(DeviceId, 3), &["device id: ", "A-Z a-z 0-9 _ -", "position 3"]),
            (charset(Fingerprint, 4), &["certificate fingerprint: ", "hex digits", "position 4"]),
            (LineFault::Nul { position: 7 }, &["NUL byte", "position 7", "UTF-16"]),
            (LineFault::ThreeFingerprints, &["one or two", "more"]),
            (LineFault::UnknownAttribute { number: 2 }, &["attribute 2", "something else"]),
            (LineFault::RepeatedAttribute { number: 3 }, &["attribute 3", "already"]),
            (LineFault::SecondaryOfCertificate, &["secondary=", "x509="]),
            (LineFault::Duplicate { first: 5 }, &["line 5"]),
        ] {
            let message = fault.to_string();
            for part in parts {
                assert!(message.contains(part), "{fault:?}: {message}");
            }
        }
    }

    #[test]
    fn a_device_id_and_a_secret_have_their_lengths_and_their_characters() {
        for (text, is_id, is_secret) in [
            ("", false, false),
            ("a", true, false),
            ("1234567", true, false),
            ("12345678", true, true),
            ("azAZ09_-", true, true),
            ("1234567 ", false, false),
            ("1234567\u{e9}", false, false),
            (&"x".repeat(32), true, true),
            (&"x".repeat(33), true, false),
            (&"x".repeat(128), true, false),
            (&"x".repeat(129), false, false),
        ] {
            assert_eq!(is_device_id(text.as_bytes()), is_id, "{text:?}");
            assert_eq!(check_secret(text.as_bytes()).is_ok(), is_secret, "{text:?}");
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_it_says() {
        for (length, expected) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
            let line = format!("{:length$}", "d:5f2b9c0e7d");
            assert_eq!(parse(line.as_bytes()).is_ok(), expected, "{length}");
            assert!(parse(format!("#{line}").as_bytes()).is_ok());
        }
    }
}
