//! What does a message of the change feed say? PostgreSQL's plugin pgoutput, protocol version 1.
//!
//! Only what concerns the followed table is read; the format is in PostgreSQL's manual, "Logical Replication Message
//! Formats".

use super::row::{COLUMNS, Row};

/// A change of the followed table.
pub(crate) enum Change<'a> {
    /// Nothing of interest.
    Nothing,
    /// The columns of the table, before its first change.
    Columns(Columns),
    /// A new row.
    Insert(Row<'a>),
    /// A row has changed. Its device id before, if that is known.
    Update(Option<&'a [u8]>, Row<'a>),
    /// The row of this device is gone.
    Delete(&'a [u8]),
    /// All rows are gone.
    Truncate,
}

/// Where the columns are in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns([usize; COLUMNS.len()]);

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The table no longer has this column.
    NoColumn(&'static str),
    /// A value is left out: it has not changed, and is too large to be sent again.
    LeftOut,
    /// It is not in the expected format.
    Format,
}

/// A message, as far as it is not read yet.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Format)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Unreadable> {
        self.take(LENGTH)?.try_into().map_err(|_| Unreadable::Format)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.array().map(|[byte]| byte)
    }

    fn short(&mut self) -> Result<u16, Unreadable> {
        self.array().map(u16::from_be_bytes)
    }

    fn long(&mut self) -> Result<u32, Unreadable> {
        self.array().map(u32::from_be_bytes)
    }

    /// A text that ends with a NUL.
    fn text(&mut self) -> Result<&'a [u8], Unreadable> {
        let end = memchr::memchr(0, self.0).ok_or(Unreadable::Format)?;
        let text = self.take(end)?;
        self.byte()?;
        Ok(text)
    }

    /// A row, with the followed columns alone.
    fn row(&mut self, columns: Columns) -> Result<Row<'a>, Unreadable> {
        let mut row = Row::default();
        for number in 0..usize::from(self.short()?) {
            let value = match self.byte()? {
                b'n' => None,
                b't' | b'b' => {
                    let length = usize::try_from(self.long()?).map_err(|_| Unreadable::Format)?;
                    Some(self.take(length)?)
                }
                b'u' if !columns.0.contains(&number) => None,
                b'u' => return Err(Unreadable::LeftOut),
                _ => return Err(Unreadable::Format),
            };
            for (place, at) in row.0.iter_mut().zip(columns.0) {
                if at == number {
                    *place = value;
                }
            }
        }
        Ok(row)
    }

    fn columns(&mut self) -> Result<Columns, Unreadable> {
        // Schema, name and replica identity.
        self.text()?;
        self.text()?;
        self.byte()?;
        let count = usize::from(self.short()?);
        let mut names = Vec::with_capacity(count);
        for _ in 0..count {
            // Whether it is part of the key, and after the name its type and what modifies that.
            self.byte()?;
            names.push(self.text()?);
            self.long()?;
            self.long()?;
        }
        let mut columns = [0; COLUMNS.len()];
        for (place, name) in columns.iter_mut().zip(COLUMNS) {
            let found = names.iter().position(|found| *found == name.as_bytes());
            *place = found.ok_or(Unreadable::NoColumn(name))?;
        }
        Ok(Columns(columns))
    }
}

/// Reads a message. `table` is the object id of the followed table, and `columns` what its last [`Change::Columns`] said.
///
/// # Errors
///
/// [`Unreadable`].
pub(crate) fn read(
    message: &[u8],
    table: u32,
    columns: Option<Columns>,
) -> Result<Change<'_>, Unreadable> {
    let mut message = Message(message);
    let kind = message.byte()?;
    if kind == b'T' {
        let count = message.long()?;
        message.byte()?;
        for _ in 0..count {
            if message.long()? == table {
                return Ok(Change::Truncate);
            }
        }
        return Ok(Change::Nothing);
    }
    if !matches!(kind, b'R' | b'I' | b'U' | b'D') || message.long()? != table {
        return Ok(Change::Nothing);
    }
    if kind == b'R' {
        return message.columns().map(Change::Columns);
    }
    let columns = columns.ok_or(Unreadable::Format)?;
    let mut old = None;
    loop {
        match message.byte()? {
            // The old key, or the whole old row.
            b'K' | b'O' => {
                old = Some(message.row(columns)?.device_id());
                if kind == b'D' {
                    return old.map(Change::Delete).ok_or(Unreadable::Format);
                }
            }
            b'N' => {
                let row = message.row(columns)?;
                return Ok(match kind {
                    b'I' => Change::Insert(row),
                    _ => Change::Update(old, row),
                });
            }
            _ => return Err(Unreadable::Format),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: u32 = 77;

    fn text(text: &str) -> Vec<u8> {
        [text.as_bytes(), &[0]].concat()
    }

    fn relation(names: &[&str]) -> Vec<u8> {
        let mut message = [b"R", TABLE.to_be_bytes().as_slice()].concat();
        message.extend([text("iotda"), text("device"), vec![b'd']].concat());
        message.extend(u16::try_from(names.len()).unwrap().to_be_bytes());
        for name in names {
            message
                .extend([&[1], text(name).as_slice(), &[0, 0, 0, 25, 255, 255, 255, 255]].concat());
        }
        message
    }

    fn row(values: &[Option<&str>]) -> Vec<u8> {
        let mut bytes = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                Some("unchanged") => bytes.push(b'u'),
                Some(value) => {
                    bytes.push(b't');
                    bytes.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                    bytes.extend(value.as_bytes());
                }
                None => bytes.push(b'n'),
            }
        }
        bytes
    }

    fn columns(names: &[&str]) -> Result<Columns, Unreadable> {
        match read(&relation(names), TABLE, None)? {
            Change::Columns(columns) => Ok(columns),
            _ => panic!("columns"),
        }
    }

    #[test]
    fn rows_are_read_by_the_names_of_columns() {
        let names = [
            "frozen",
            "note",
            "device_id",
            "secret",
            "secondary_secret",
            "fingerprint",
            "secondary_fingerprint",
        ];
        let columns = columns(&names).unwrap();
        let values =
            row(&[Some("f"), Some("unchanged"), Some("lamp"), Some("secret-1"), None, None, None]);
        let head = |kind: &[u8]| [kind, &TABLE.to_be_bytes()].concat();
        let insert = [head(b"I"), b"N".to_vec(), values.clone()].concat();
        let Change::Insert(found) = read(&insert, TABLE, Some(columns)).unwrap() else { panic!() };
        assert_eq!(
            found.0,
            [Some(b"lamp".as_slice()), Some(b"secret-1"), None, None, None, Some(b"f")]
        );
        let key = row(&[None, None, Some("old"), None, None, None, None]);
        let update =
            [head(b"U"), b"K".to_vec(), key.clone(), b"N".to_vec(), values.clone()].concat();
        let Change::Update(old, _) = read(&update, TABLE, Some(columns)).unwrap() else { panic!() };
        assert_eq!(old, Some(b"old".as_slice()));
        let delete = [head(b"D"), b"K".to_vec(), key].concat();
        let Change::Delete(old) = read(&delete, TABLE, Some(columns)).unwrap() else { panic!() };
        assert_eq!(old, b"old");
        // Another table's, or before the columns are known.
        assert!(matches!(read(&insert, 78, Some(columns)), Ok(Change::Nothing)));
        assert!(matches!(read(&insert, TABLE, None), Err(Unreadable::Format)));
        // Every message that is cut off.
        for message in [insert, update, delete, relation(&names)] {
            for length in 0..message.len() {
                assert!(read(&message[..length], TABLE, Some(columns)).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn a_column_that_is_gone_is_named() {
        assert_eq!(columns(&COLUMNS[..5]), Err(Unreadable::NoColumn("frozen")));
    }

    #[test]
    fn a_value_that_is_left_out_is_noticed() {
        let columns = columns(&COLUMNS).unwrap();
        let values = row(&[Some("lamp"), Some("unchanged"), None, None, None, Some("f")]);
        let message = [b"U".as_slice(), &TABLE.to_be_bytes(), b"N", &values].concat();
        assert!(matches!(read(&message, TABLE, Some(columns)), Err(Unreadable::LeftOut)));
    }

    #[test]
    fn a_truncate_may_be_of_several_tables() {
        let message = |tables: &[u32]| {
            let count = u32::try_from(tables.len()).unwrap().to_be_bytes();
            let tables = tables.iter().flat_map(|table| table.to_be_bytes());
            [b"T".as_slice(), &count, &[0]].concat().into_iter().chain(tables).collect::<Vec<u8>>()
        };
        assert!(matches!(read(&message(&[5, TABLE]), TABLE, None), Ok(Change::Truncate)));
        assert!(matches!(read(&message(&[5, 6]), TABLE, None), Ok(Change::Nothing)));
        assert!(matches!(read(b"B", TABLE, None), Ok(Change::Nothing)));
    }
}
