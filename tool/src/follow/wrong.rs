//! Which rows are wrong? While there is one, nothing is published: a file without the device would lock it out, and one with
//! its old line might let in who is no longer to come in.

use super::{
    journal::{Journal, Level},
    row::{RowFault, shown},
};
use std::collections::BTreeMap;

/// So many wrong rows are told one by one.
const MOST_TOLD: usize = 20;
/// With more wrong rows than this it is the wrong table.
const MOST: usize = 10_000;
/// A longer device id is known by its beginning: it is wrong anyway.
const MOST_KEPT: usize = 256;

/// There are so many wrong rows that it must be the wrong table.
#[derive(Debug)]
pub(crate) struct TooMany;

/// The wrong rows, by device id.
#[derive(Debug, Default)]
pub(crate) struct Wrong {
    rows: BTreeMap<Vec<u8>, RowFault>,
    /// Those that the log has told of, on earlier connections too.
    told: BTreeMap<Vec<u8>, RowFault>,
}

fn key(device_id: &[u8]) -> &[u8] {
    device_id.get(..device_id.len().min(MOST_KEPT)).unwrap_or_default()
}

impl Wrong {
    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Whether the device has a wrong row. Not of a longer device id, whose beginning others may have too.
    pub(crate) fn has(&self, device_id: &[u8]) -> bool {
        !self.rows.is_empty() && device_id.len() <= MOST_KEPT && self.rows.contains_key(device_id)
    }

    #[cfg(test)]
    pub(crate) fn fault(&self, device_id: &[u8]) -> Option<RowFault> {
        self.rows.get(device_id).copied()
    }

    /// The device's row is wrong.
    pub(crate) fn add(&mut self, device_id: &[u8], fault: RowFault) -> Result<(), TooMany> {
        self.rows.insert(key(device_id).to_vec(), fault);
        if self.rows.len() > MOST { Err(TooMany) } else { Ok(()) }
    }

    /// The device's row is right, or gone.
    pub(crate) fn remove(&mut self, device_id: &[u8]) {
        if !self.rows.is_empty() {
            self.rows.remove(key(device_id));
        }
    }

    /// The table is read again.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Writes to the log which rows are wrong that were not before. Returns a summary, if any row is wrong.
    pub(crate) fn tell(&mut self, journal: Journal) -> Option<String> {
        self.told.retain(|id, fault| self.rows.get(id) == Some(fault));
        let fresh = self.rows.iter().filter(|(id, _)| !self.told.contains_key(*id));
        let fresh: Vec<_> = fresh.map(|(id, fault)| (id.clone(), *fault)).collect();
        for (id, fault) in fresh.iter().take(MOST_TOLD) {
            journal.write(Level::Error, &format!("device {}: {fault}", shown(id)));
        }
        if let Some(more) = fresh.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
            journal.write(Level::Error, &format!("and {more} more wrong rows"));
        }
        self.told.extend(fresh);
        let (id, fault) = self.rows.first_key_value()?;
        let count = self.rows.len();
        let (rows, are) = if count == 1 { ("row", "is") } else { ("rows", "are") };
        Some(format!(
            "{count} {rows} {are} wrong, and nothing is published until that is mended: device {}: {fault}",
            shown(id)
        ))
    }
}
