//! Which column of a CSV file is which, and what separates them? The header tells, or the file is not read.

use super::field::{Choices, Field, quoted};
use std::fmt;

/// What separates values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Separator(pub(super) u8);

impl Separator {
    pub(super) const USUAL: [Self; 3] = [Self(b','), Self(b';'), Self(b'\t')];

    /// The separator that a first line like `sep=;` names, as Excel has it.
    pub(super) fn of_line(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii_end();
        let line =
            line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
        // The tab of `sep=` and a tab is a blank too.
        match line.strip_prefix(b"sep=").or_else(|| line.strip_prefix(b"SEP="))? {
            [] => Some(Self(b'\t')),
            [byte] if byte.is_ascii_punctuation() && *byte != b'"' => Some(Self(*byte)),
            _ => None,
        }
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b',' => f.write_str("commas"),
            b';' => f.write_str("semicolons"),
            b'\t' => f.write_str("tabs"),
            byte => write!(f, "'{}'", char::from(byte)),
        }
    }
}

/// The columns of a CSV file.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    /// What each is; `None` if it is left aside.
    pub(super) fields: Vec<Option<Field>>,
    /// Their names, as the header has them.
    pub(super) names: Vec<String>,
}

/// Why a header is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// No name is known. Nothing of the line is repeated: if the header is missing, it holds a secret.
    Unknown,
    /// The line is one of a secrets file.
    SecretsFile,
    NoDeviceId,
    NoProof,
    /// Two columns could be the same field.
    Twice {
        field: Field,
        columns: [(usize, String); 2],
    },
    /// Both say whether a device is frozen.
    FrozenAndStatus([(usize, String); 2]),
    /// A column that `--column` names is not there.
    Absent(String),
    Unclosed,
    TooLong,
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column =
            |(number, name): &(usize, String)| format!("column {number} ({})", quoted(name));
        match self {
            Self::Unknown => f.write_str(
                "expected a header like device_id,secret (with commas, semicolons or tabs) or JSON, found something else",
            ),
            Self::SecretsFile => f.write_str(
                "expected a header like device_id,secret or JSON, found a line of a secrets file, which needs no import",
            ),
            Self::NoDeviceId => f.write_str(
                "expected a column device_id, found none (--column device_id=COLUMN says which it is)",
            ),
            Self::NoProof => f.write_str(
                "expected a column secret or x509, found neither (--column secret=COLUMN says which it is)",
            ),
            Self::Twice { field, columns: [first, second] } => {
                let (one, other) = (column(first), column(second));
                write!(f, "expected one column {}, found {one} and {other}: ", field.name())?;
                if first.1 == second.1 {
                    f.write_str("give one of them another name")
                } else {
                    write!(f, "--column {}=COLUMN says which it is", field.name())
                }
            }
            Self::FrozenAndStatus([first, second]) => write!(
                f,
                "expected one column that says which devices are frozen, found {} and {}: --column ignore=COLUMN leaves \
                 one aside",
                column(first),
                column(second)
            ),
            Self::Absent(name) => write!(f, "expected the column {} of --column, found none", quoted(name)),
            Self::Unclosed => f.write_str("expected a closing quote, found the end of the file"),
            Self::TooLong => f.write_str("expected a header, found a line of more than 16 KiB"),
        }
    }
}

impl Columns {
    /// Finds out what the columns of a header are.
    pub(super) fn of(names: Vec<String>, choices: Choices<'_>) -> Result<Self, HeaderFault> {
        let fields: Vec<Option<Field>> = names.iter().map(|name| choices.field(name)).collect();
        if fields.iter().all(Option::is_none) {
            return Err(HeaderFault::Unknown);
        }
        let columns = Self { fields, names };
        if let Some(name) = choices.absent(&columns.names) {
            return Err(HeaderFault::Absent(name.into()));
        }
        for field in columns.fields.iter().flatten() {
            let mut found = columns.with(*field);
            if let (Some(first), Some(second)) = (found.next(), found.next()) {
                return Err(HeaderFault::Twice { field: *field, columns: [first, second] });
            }
        }
        let first = |field| columns.with(field).next();
        if let (Some(frozen), Some(status)) = (first(Field::Frozen), first(Field::Status)) {
            return Err(HeaderFault::FrozenAndStatus([frozen, status]));
        }
        if first(Field::DeviceId).is_none() {
            return Err(HeaderFault::NoDeviceId);
        }
        if first(Field::Secret).is_none() && first(Field::X509).is_none() {
            return Err(HeaderFault::NoProof);
        }
        Ok(columns)
    }

    /// The columns that are a field, each with its number from 1.
    fn with(&self, field: Field) -> impl Iterator<Item = (usize, String)> + '_ {
        let columns = (1..).zip(&self.fields).zip(&self.names);
        columns
            .filter(move |((_, its), _)| **its == Some(field))
            .map(|((number, _), name)| (number, name.clone()))
    }
}

/// The separator with which the header makes sense. `read` splits the header.
pub(super) fn separated(
    choices: Choices<'_>,
    read: impl Fn(Separator) -> Result<Vec<String>, HeaderFault>,
) -> Result<(Separator, Columns), HeaderFault> {
    let mut fault = HeaderFault::Unknown;
    for separator in Separator::USUAL {
        match read(separator).and_then(|names| Columns::of(names, choices)) {
            Ok(columns) => return Ok((separator, columns)),
            // With another separator, the whole line is one name that is not known.
            Err(HeaderFault::Unknown) => {}
            Err(other) if fault == HeaderFault::Unknown => fault = other,
            Err(_) => {}
        }
    }
    Err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &'static str) -> impl Fn(Separator) -> Result<Vec<String>, HeaderFault> {
        move |separator| Ok(line.split(char::from(separator.0)).map(str::to_owned).collect())
    }

    #[test]
    fn the_header_tells_separator_and_columns() {
        use Field::*;
        for (line, separator, fields) in [
            ("device_id,secret", b',', &[Some(DeviceId), Some(Secret)][..]),
            ("Device_ID;名称, kurz;密钥;", b';', &[Some(DeviceId), None, Some(Secret), None]),
            ("x509\tdeviceId\tstatus", b'\t', &[Some(X509), Some(DeviceId), Some(Status)]),
        ] {
            let (found, columns) = separated(Choices(&[]), split(line)).unwrap();
            assert_eq!(
                (found, columns.fields.as_slice()),
                (Separator(separator), fields),
                "{line}"
            );
        }
    }

    #[test]
    fn a_header_that_leaves_a_question_is_not_taken() {
        for (line, part) in [
            ("", "expected a header like device_id,secret"),
            ("lamp,topsecret", "found something else"),
            ("id|key", "found something else"),
            ("device_id;secret,x", "expected a column secret or x509, found neither"),
            ("device_id,frozen", "expected a column secret or x509, found neither"),
            ("secret", "expected a column device_id, found none"),
            (
                "device_id,secret,deviceSecret",
                "found column 2 (\"secret\") and column 3 (\"deviceSecret\"): --column secret=COLUMN says which it is",
            ),
            ("device_id,secret,secret", "give one of them another name"),
            ("device_id,secret,x509,fingerprint", "expected one column x509"),
            ("device_id,secret,frozen,status", "--column ignore=COLUMN leaves one aside"),
        ] {
            let said = separated(Choices(&[]), split(line)).unwrap_err().to_string();
            assert!(said.contains(part) && !said.contains("topsecret"), "{line}: {said}");
        }
        let choices = ["secret=psk".parse().unwrap()];
        let said = separated(Choices(&choices), split("device_id,secret")).unwrap_err();
        assert_eq!(said, HeaderFault::Absent("psk".into()));
        let (_, columns) = separated(Choices(&choices), split("device_id,secret,PSK")).unwrap();
        assert_eq!(columns.fields, [Some(Field::DeviceId), None, Some(Field::Secret)]);
    }

    #[test]
    fn excel_names_its_separator() {
        for (line, byte) in [
            ("sep=;", b';'),
            ("sep=,\r", b','),
            ("\"sep=;\"", b';'),
            ("sep=\t", b'\t'),
            ("SEP=|", b'|'),
        ] {
            assert_eq!(Separator::of_line(line.as_bytes()), Some(Separator(byte)), "{line}");
        }
        for line in ["", "sep", "sep=x", "sep=;;", "separator=;", "sep=\""] {
            assert_eq!(Separator::of_line(line.as_bytes()), None, "{line}");
        }
    }
}
