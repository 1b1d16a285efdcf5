//! Which rows are there? The right ones as a table, and the wrong ones, changed by what the database sends.

use super::{
    database::Trouble,
    pgoutput::{self, Change, Columns, Unreadable},
    row::{Row, RowFault},
    table::{Full, Table},
    wrong::{TooMany, Wrong},
};

/// The rows of the table: right ones and wrong ones.
pub(crate) struct Rows {
    pub(crate) table: Table,
    pub(crate) wrong: Wrong,
    line: Vec<u8>,
}

impl From<Full> for Trouble {
    fn from(Full: Full) -> Self {
        Self::Refused("the table has more than 4 GB, which no broker can load".into())
    }
}

impl From<TooMany> for Trouble {
    fn from(TooMany: TooMany) -> Self {
        Self::Refused("more than 10000 rows are wrong: is it the right table?".into())
    }
}

impl Rows {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, wrong: Wrong::default(), line: Vec::with_capacity(512) }
    }

    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.wrong.clear();
    }

    /// A row of a table that is being read: each device comes once, with a right row or a wrong one.
    pub(crate) fn read(&mut self, row: Row<'_>) -> Result<(), Trouble> {
        let was_wrong = self.wrong.has(row.device_id());
        let had_line = self.put(row)?;
        // Those that have no id have not the same.
        if (was_wrong || had_line) && row.0[0].is_some() {
            self.wrong.add(row.device_id(), RowFault::Twice)?;
        }
        Ok(())
    }

    /// The row of a device; returns whether the device had a right one.
    fn put(&mut self, row: Row<'_>) -> Result<bool, Trouble> {
        self.line.clear();
        match row.write_line(&mut self.line) {
            Ok(()) => {
                self.wrong.remove(row.device_id());
                Ok(self.table.put(&self.line)?)
            }
            Err(fault) => {
                let had_line = self.table.remove(row.device_id())?;
                self.wrong.add(row.device_id(), fault)?;
                Ok(had_line)
            }
        }
    }

    fn remove(&mut self, device_id: &[u8]) -> Result<(), Trouble> {
        self.wrong.remove(device_id);
        self.table.remove(device_id)?;
        Ok(())
    }

    /// Makes a change of the feed.
    fn change(&mut self, change: Change<'_>) -> Result<(), Trouble> {
        match change {
            Change::Nothing | Change::Columns(_) => Ok(()),
            Change::Insert(row) | Change::Update(None, row) => self.put(row).map(|_| ()),
            Change::Update(Some(before), row) => {
                if before != row.device_id() {
                    self.remove(before)?;
                }
                self.put(row).map(|_| ())
            }
            Change::Delete(device_id) => self.remove(device_id),
            Change::Truncate => {
                self.clear();
                Ok(())
            }
        }
    }
}

/// Reads the messages of a feed into the rows.
pub(crate) struct Reader<'a> {
    rows: &'a mut Rows,
    table: u32,
    columns: Option<Columns>,
    /// The number of changes so far.
    pub(crate) changes: u64,
}

impl<'a> Reader<'a> {
    /// A reader for the table with this object id.
    pub(crate) fn new(rows: &'a mut Rows, table: u32) -> Self {
        Self { rows, table, columns: None, changes: 0 }
    }

    pub(crate) fn message(&mut self, message: &[u8]) -> Result<(), Trouble> {
        let change =
            pgoutput::read(message, self.table, self.columns).map_err(|error| match error {
                Unreadable::NoColumn(name) => {
                    Trouble::Refused(format!("the table no longer has the column {name}"))
                }
                Unreadable::LeftOut => Trouble::Again("a value was left out of a change".into()),
                Unreadable::Format => Trouble::Lost("a change cannot be read".into()),
            })?;
        match change {
            Change::Nothing => return Ok(()),
            Change::Columns(columns) => self.columns = Some(columns),
            change => {
                self.changes += 1;
                self.rows.change(change)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::row::COLUMNS;

    fn row<'a>(id: Option<&'a str>, secret: &'a str) -> Row<'a> {
        let mut row = Row([None; COLUMNS.len()]);
        (row.0[0], row.0[1], row.0[5]) =
            (id.map(str::as_bytes), Some(secret.as_bytes()), Some(b"f".as_slice()));
        row
    }

    /// A view may have a device twice, in any sequence of right and wrong rows.
    #[test]
    fn a_device_that_comes_twice_is_wrong() {
        let (right, other, wrong) = ("secret-1", "secret-2", "short");
        for secrets in [
            &[right, other][..],
            &[right, right],
            &[wrong, right],
            &[right, wrong],
            &[wrong, wrong],
            &[wrong, right, right],
            &[right, wrong, right],
        ] {
            let mut rows = Rows::new(Table::new());
            for secret in secrets {
                rows.read(row(Some("lamp"), secret)).unwrap();
                rows.read(row(None, secret)).unwrap();
            }
            assert_eq!(rows.wrong.fault(b"lamp"), Some(RowFault::Twice), "{secrets:?}");
            assert_eq!(rows.wrong.fault(b""), Some(RowFault::NoDevice), "{secrets:?}");
            rows.clear();
            rows.read(row(Some("lamp"), right)).unwrap();
            assert_eq!((rows.wrong.count(), rows.table.devices()), (0, 1));
        }
    }

    #[test]
    fn a_change_mends_a_row() {
        let mut rows = Rows::new(Table::new());
        rows.read(row(Some("lamp"), "short")).unwrap();
        rows.change(Change::Update(None, row(Some("lamp"), "secret-1"))).unwrap();
        rows.change(Change::Insert(row(Some("lamp"), "secret-1"))).unwrap();
        assert_eq!((rows.wrong.count(), rows.table.devices()), (0, 1));
    }
}
