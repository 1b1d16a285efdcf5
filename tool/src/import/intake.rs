//! What comes out of the files: devices to import, wrong ones, and how the files were read.

use super::{
    columns::{HeaderFault, Separator},
    field::{Choices, Field, Given},
    orders::{Packed, Place, TooMany},
    rows::{self, Asked, Fault},
    sniff::{Encoding, NotText},
};
use crate::terminal::Progress;
use iotda_core::registry::{
    edit::{Change, MAX_PROBLEMS, Order},
    line,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
};
use zeroize::Zeroizing;

/// The most wrong devices that are told one by one; the rest is a count.
pub(super) const MAX_ERRORS: usize = MAX_PROBLEMS;

/// Why the reading of a file ends without a result.
#[derive(Debug)]
pub(super) enum Stop {
    Io(io::Error),
    NotText(NotText),
    /// In this line.
    Header(u64, HeaderFault),
    TooMany,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::NotText(fault) => fault.fmt(f),
            Self::Header(line, fault) => write!(f, "line {line}: {fault}"),
            Self::TooMany => f.write_str("expected devices for less than 4 GiB, found more"),
        }
    }
}

impl From<TooMany> for Stop {
    fn from(_: TooMany) -> Self {
        Self::TooMany
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Csv(Separator),
    Json,
}

/// How one file was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) encoding: Encoding,
    /// The columns or keys that are used, each with the names that it has.
    pub(super) used: BTreeMap<Field, BTreeSet<String>>,
    /// The columns or keys that are left aside.
    pub(super) aside: BTreeSet<String>,
    /// There were more than are in `aside`.
    pub(super) more_aside: bool,
}

impl Shape {
    /// The most names that are kept for each purpose: a file may have a new key in each line.
    const NAMES: usize = 32;

    pub(super) fn new(kind: Kind, encoding: Encoding) -> Self {
        let (used, aside) = Default::default();
        Self { kind, encoding, used, aside, more_aside: false }
    }

    /// A column or key is used as a field, or else left aside.
    pub(super) fn note(&mut self, name: &str, field: Option<Field>) {
        let names = match field {
            Some(field) => self.used.entry(field).or_default(),
            None => &mut self.aside,
        };
        if names.contains(name) {
            return;
        }
        if names.len() < Self::NAMES {
            // No more of it is ever shown.
            names.insert(name.chars().take(64).collect());
        } else if field.is_none() {
            self.more_aside = true;
        }
    }
}

/// What was passed over without being wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    /// Devices behind a gateway.
    pub(super) sub_devices: u64,
    /// Rows without a value.
    pub(super) empty_rows: u64,
    /// Devices of answers that were cut into pages, and are not in the files.
    pub(super) other_pages: u64,
}

/// The devices that are wrong.
#[derive(Debug, Default)]
pub(super) struct Errors {
    /// The first of them.
    pub(super) first: Vec<(Place, String)>,
    /// The number of all of them.
    pub(super) total: usize,
}

impl Errors {
    pub(super) fn add(&mut self, place: Place, text: impl FnOnce() -> String) {
        self.total += 1;
        if self.first.len() < MAX_ERRORS {
            self.first.push((place, text()));
        }
    }
}

/// Takes in the devices of all files.
pub(super) struct Intake<'a> {
    pub(super) choices: Choices<'a>,
    pub(super) packed: Packed,
    pub(super) errors: Errors,
    pub(super) skipped: Skipped,
    /// Which of the files is being read.
    pub(super) source: usize,
    update: bool,
    progress: &'a mut Progress,
    devices: u64,
    x509: Zeroizing<Vec<u8>>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(choices: Choices<'a>, update: bool, progress: &'a mut Progress) -> Self {
        Self {
            choices,
            packed: Packed::new(update),
            errors: Errors::default(),
            skipped: Skipped::default(),
            source: 0,
            update,
            progress,
            devices: 0,
            x509: Zeroizing::default(),
        }
    }

    /// Takes a device.
    pub(super) fn take(&mut self, place: Place, given: &Given<'_>) -> Result<(), TooMany> {
        self.devices += 1;
        self.progress.lines(self.devices.max(place.line));
        self.x509.clear();
        let fault = match rows::asked(given, self.update, &mut self.x509) {
            Ok(Asked::SubDevice) => {
                self.skipped.sub_devices += 1;
                return Ok(());
            }
            Ok(Asked::Line { device_id, settings }) => {
                match (Order { device_id, change: Change::Put(settings) }).check() {
                    Ok(()) => return self.packed.push(place, device_id, &settings),
                    Err(fault) => Fault::Line(fault),
                }
            }
            Err(fault) => fault,
        };
        self.wrong(place, given, &fault);
        Ok(())
    }

    /// A device is wrong.
    pub(super) fn wrong(&mut self, place: Place, given: &Given<'_>, fault: &Fault) {
        self.errors.add(place, || match given.get(Field::DeviceId) {
            Some(device_id) if !fault.is_of_one_value() && line::is_device_id(device_id) => {
                format!("device {}: {fault}", String::from_utf8_lossy(device_id))
            }
            _ => fault.to_string(),
        });
    }
}
