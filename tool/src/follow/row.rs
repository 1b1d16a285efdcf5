//! Which line does a row of the database make, or what is wrong with it?

use crate::terminal::Harmless;
use iotda_core::registry::line::{Field, LineFault, check_field};
use std::fmt;

/// The columns that are followed, in the order of [`Row`].
pub(crate) const COLUMNS: [&str; 6] =
    ["device_id", "secret", "secondary_secret", "fingerprint", "secondary_fingerprint", "frozen"];

/// A row's values as PostgreSQL writes them; `None` is NULL.
#[derive(Clone, Copy, Default)]
pub(crate) struct Row<'a>(pub(crate) [Option<&'a [u8]>; COLUMNS.len()]);

/// Why a row makes no line. No value of the row is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowFault {
    /// A value is not what the secrets file may hold.
    Value(LineFault),
    /// `device_id` is NULL.
    NoDevice,
    /// Neither a secret nor a fingerprint.
    NoProof,
    /// Both a secret and a fingerprint.
    BothProofs,
    /// A second secret or fingerprint without the first.
    NoFirst,
    /// `frozen` is neither true nor false.
    Frozen,
    /// Another row has the same device id.
    Twice,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value(fault) => return fault.fmt(f),
            Self::NoDevice => "device_id: expected a device id, found NULL",
            Self::NoProof => "expected a secret or a fingerprint, found NULL for both",
            Self::BothProofs => "expected either a secret or a fingerprint, found both",
            Self::NoFirst => {
                "expected a secondary_secret only beside a secret, and a secondary_fingerprint only beside a fingerprint"
            }
            Self::Frozen => "frozen: expected true or false, found something else",
            Self::Twice => "expected one row for each device, found another with its id",
        })
    }
}

impl<'a> Row<'a> {
    /// The device id; empty if it is NULL.
    pub(crate) fn device_id(&self) -> &'a [u8] {
        self.0[0].unwrap_or_default()
    }

    /// Writes the row's line, without a newline, into an empty buffer.
    ///
    /// # Errors
    ///
    /// [`RowFault`]; the buffer may hold a part of the line then.
    pub(crate) fn write_line(&self, line: &mut Vec<u8>) -> Result<(), RowFault> {
        let [device_id, secret, secondary, fingerprint, secondary_fingerprint, frozen] = self.0;
        let device_id = device_id.ok_or(RowFault::NoDevice)?;
        let mut put = |before: &str, value: &[u8], field| {
            // Each value is checked by itself: a colon in a secret would begin an attribute.
            check_field(value, field).map_err(RowFault::Value)?;
            line.extend_from_slice(before.as_bytes());
            line.extend_from_slice(value);
            Ok(())
        };
        put("", device_id, Field::DeviceId)?;
        match (secret, fingerprint) {
            (Some(secret), None) => {
                put(":", secret, Field::Secret)?;
                if let Some(secret) = secondary {
                    put(":secondary=", secret, Field::Secondary)?;
                }
            }
            (None, Some(fingerprint)) => {
                put(":x509=", fingerprint, Field::Fingerprint)?;
                if let Some(fingerprint) = secondary_fingerprint {
                    put(",", fingerprint, Field::Fingerprint)?;
                }
            }
            (None, None) => return Err(RowFault::NoProof),
            (Some(_), Some(_)) => return Err(RowFault::BothProofs),
        }
        if secret.is_none() && secondary.is_some()
            || fingerprint.is_none() && secondary_fingerprint.is_some()
        {
            return Err(RowFault::NoFirst);
        }
        match frozen {
            Some(b"t" | b"true") => line.extend_from_slice(b":frozen"),
            Some(b"f" | b"false") => {}
            _ => return Err(RowFault::Frozen),
        }
        Ok(())
    }
}

/// The most characters of a device id that are shown; a valid one has no more.
const MOST_SHOWN: usize = 128;

/// A device id from the database, as it is shown: it may be any text.
pub(crate) fn shown(device_id: &[u8]) -> String {
    let text = String::from_utf8_lossy(device_id);
    let cut: String = text.chars().take(MOST_SHOWN).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", Harmless(cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use iotda_core::registry::{
        Credential,
        line::{Line, parse},
    };
    use proptest::prelude::*;

    const SHA1: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";

    fn line(values: [Option<&str>; 6]) -> Result<String, RowFault> {
        let mut line = Vec::new();
        Row(values.map(|value| value.map(str::as_bytes))).write_line(&mut line)?;
        Ok(String::from_utf8(line).unwrap())
    }

    #[test]
    fn a_row_makes_a_line() {
        for (row, expected) in [
            ([Some("lamp"), Some("secret-1"), None, None, None, Some("f")], "lamp:secret-1"),
            (
                [Some("lamp"), Some("secret-1"), Some("secret-2"), None, None, Some("t")],
                "lamp:secret-1:secondary=secret-2:frozen",
            ),
            (
                [Some("lamp"), None, None, Some(SHA1), None, Some("true")],
                &format!("lamp:x509={SHA1}:frozen"),
            ),
            (
                [Some("lamp"), None, None, Some(SHA1), Some(SHA1), Some("false")],
                &format!("lamp:x509={SHA1},{SHA1}"),
            ),
        ] {
            assert_eq!(line(row).unwrap(), expected);
        }
    }

    #[test]
    fn a_wrong_row_makes_none() {
        let good = [Some("lamp"), Some("secret-1"), None, None, None, Some("f")];
        let with = |at: usize, value| {
            let mut row = good;
            row[at] = value;
            line(row).unwrap_err()
        };
        assert_eq!(with(0, None), RowFault::NoDevice);
        assert_eq!(with(1, None), RowFault::NoProof);
        assert_eq!(with(3, Some(SHA1)), RowFault::BothProofs);
        assert_eq!(with(4, Some(SHA1)), RowFault::NoFirst);
        assert_eq!(with(5, None), RowFault::Frozen);
        assert_eq!(with(5, Some("maybe")), RowFault::Frozen);
        for (at, value) in [(0, ""), (0, "a lamp"), (1, "short"), (1, "secret-1:frozen"), (2, "")] {
            assert!(matches!(with(at, Some(value)), RowFault::Value(_)), "{at} {value}");
        }
        let mut row = [Some("lamp"), None, Some("secret-2"), Some(SHA1), None, Some("f")];
        assert_eq!(line(row), Err(RowFault::NoFirst));
        row[2] = None;
        row[3] = Some("9f86");
        assert!(matches!(line(row), Err(RowFault::Value(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// Whatever is in a row, its line says the same or there is none.
        #[test]
        fn a_line_says_what_its_row_says(
            values in prop::array::uniform5(prop::option::of("[a:=,\n#-]{0,9}|[a-z0-9]{8,40}")), frozen: bool
        ) {
            let [id, secret, secondary, fingerprint, other] = &values;
            let row = [
                id.as_deref(), secret.as_deref(), secondary.as_deref(), fingerprint.as_deref(), other.as_deref(),
                Some(if frozen { "t" } else { "f" }),
            ];
            if let Ok(line) = line(row) {
                let Ok(Line::Device(entry)) = parse(line.as_bytes()) else { panic!("{line}") };
                prop_assert_eq!(Some(entry.device_id), id.as_deref().map(str::as_bytes));
                prop_assert_eq!(entry.frozen, frozen);
                match entry.credential {
                    Credential::Secret { primary, secondary: second } => {
                        prop_assert_eq!(Some(primary), secret.as_deref().map(str::as_bytes));
                        prop_assert_eq!(second, secondary.as_deref().map(str::as_bytes));
                    }
                    Credential::Certificate(found) => {
                        prop_assert_eq!(found.secondary.is_some(), other.is_some());
                        prop_assert!(fingerprint.is_some());
                    }
                }
            }
        }
    }

    #[test]
    fn a_device_id_is_shown_without_harm() {
        assert_eq!(shown(b"lamp"), "\"lamp\"");
        assert_eq!(shown(b"a\x1b[31m\n\xff"), "\"a\\u{1b}[31m\\n\u{fffd}\"");
        assert_eq!(shown("é".repeat(200).as_bytes()), format!("\"{}…\"", "é".repeat(128)));
    }
}
