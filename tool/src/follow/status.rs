//! What does a monitoring system see? One JSON object in a file, which is replaced at each change and every few seconds.

use super::{
    journal::{self, Journal, Level},
    watchdog,
};
use crate::terminal::shown;
use serde_json::json;
use std::{
    cell::RefCell,
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

/// How the database is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no connection to the database.
    #[default]
    Connecting,
    /// The table is being read.
    Reading,
    /// Each change is taken as it comes.
    Streaming,
    /// The whole table is read at an interval.
    Snapshots,
    /// The table must not be published.
    Refused,
    /// The follower has ended.
    Ended,
}

impl State {
    /// Its name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Reading => "reading",
            Self::Streaming => "streaming",
            Self::Snapshots => "snapshots",
            Self::Refused => "refused",
            Self::Ended => "ended",
        }
    }
}

/// What is told. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) state: State,
    /// The devices in the file.
    pub(crate) devices: u64,
    /// The devices in the table, which may differ from the file for a moment.
    pub(crate) rows: u64,
    pub(crate) wrong_rows: usize,
    /// Up to where the write-ahead log is in the file.
    pub(crate) wal_position: Option<String>,
    /// When the database answered last.
    pub(crate) last_contact: Option<String>,
    /// When the table was last seen to change.
    pub(crate) last_change: Option<String>,
    /// When the file was written last, by this process.
    pub(crate) last_published: Option<String>,
    /// What keeps the file from being up to date.
    pub(crate) error: Option<String>,
}

/// How often the file is written while nothing happens.
const PAUSE: Duration = Duration::from_secs(5);

/// How often it is looked whether the file is to be written.
const LOOK: Duration = Duration::from_secs(1);

/// The file.
#[derive(Debug)]
pub(crate) struct Status {
    path: Option<PathBuf>,
    written: Option<(Instant, String)>,
    /// Why it could not be written the last time that it was tried.
    failure: Option<String>,
    pub(crate) facts: Facts,
}

impl Status {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, written: None, failure: None, facts: Facts::default() }
    }

    /// The database has answered.
    pub(crate) fn contact(&mut self) {
        self.facts.last_contact = Some(journal::now());
    }

    /// Tells systemd, and writes the file if it is time for that. A failure is told once.
    pub(crate) fn tell(&mut self, journal: Journal, is_due: bool) {
        match self.write(is_due) {
            Ok(false) => {}
            Ok(true) => self.failure = None,
            Err(failure) => {
                if self.failure.as_ref() != Some(&failure) {
                    journal.write(Level::Error, &failure);
                    self.failure = Some(failure);
                }
            }
        }
        let Facts { state, devices, error, .. } = &self.facts;
        let error = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        watchdog::status(&format!("{}, {devices} devices{error}", state.name()));
    }

    /// Writes the file if something other than the times has changed, or some seconds are over. Returns whether it was
    /// written.
    fn write(&mut self, is_due: bool) -> Result<bool, String> {
        let Some(path) = &self.path else { return Ok(false) };
        let Facts { state, devices, rows, wrong_rows, wal_position, error, .. } = &self.facts;
        let essence = format!("{} {devices} {rows} {wrong_rows} {error:?}", state.name());
        let is_fresh = self.written.as_ref().is_some_and(|(at, before)| {
            at.elapsed() < if *before == essence { PAUSE } else { Duration::ZERO }
        });
        if is_fresh && !is_due {
            return Ok(false);
        }
        let object = json!({
            "state": state.name(),
            "devices": devices,
            "rows": rows,
            "wrong_rows": wrong_rows,
            "wal_position": wal_position,
            "last_contact": self.facts.last_contact,
            "last_change": self.facts.last_change,
            "last_published": self.facts.last_published,
            "written": journal::now(),
            "error": error,
        });
        replace(path, &format!("{object:#}\n"))
            .map_err(|error| format!("{}: the status cannot be written: {error}", shown(path)))?;
        self.written = Some((Instant::now(), essence));
        Ok(true)
    }
}

/// Keeps the file fresh, also while the database does not answer.
pub(crate) async fn keep_fresh(status: Rc<RefCell<Status>>, journal: Journal) -> Infallible {
    loop {
        tokio::time::sleep(LOOK).await;
        status.borrow_mut().tell(journal, false);
    }
}

/// A reader finds a whole object at any time. After a crash of the machine it may be an old one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}
