//! The file that is kept: how is it replaced, and when must it not be?
//!
//! Each content is written beside the file, brought to disk, and renamed. A lock on a file beside it, for as long as the
//! process lives, keeps others from following into the same file.

use super::{
    journal,
    table::{Fingerprint, Table},
};
use crate::{
    editing::{self, Beside, FOLLOWED},
    terminal::{Failure, shown},
};
use iotda_files::Identity;
use rustix::fs::FlockOperation;
use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    hash::RandomState,
    io::{self, BufRead, BufReader, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio_postgres::types::PgLsn;

/// A moment in the history of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// What identifies the server and its copies.
    pub(crate) server: String,
    /// Grows with each failover; a standby does not say it.
    pub(crate) timeline: String,
    /// The position in the write-ahead log.
    pub(crate) wal: PgLsn,
}

impl Moment {
    /// Whether it is what a standby has replayed.
    pub(crate) fn is_of_standby(&self) -> bool {
        self.timeline.is_empty()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}, timeline {}, WAL {}", self.server, self.timeline, self.wal)
    }
}

/// Reads what [`Moment`]'s `Display` wrote, in a comment.
fn moment(line: &str) -> Option<Moment> {
    let (_, line) = line.split_once("server ")?;
    let (server, line) = line.split_once(", timeline ")?;
    let (timeline, line) = line.split_once(", WAL ")?;
    let wal = line.split(',').next()?.trim().parse().ok()?;
    Some(Moment { server: server.into(), timeline: timeline.into(), wal })
}

/// What is in the file.
#[derive(Clone, Debug)]
struct Content {
    /// Whether a follower has made it.
    is_followed: bool,
    fingerprint: Fingerprint,
    identity: Option<Identity>,
    moment: Option<Moment>,
}

/// What may be published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How far the number of devices may fall at once, in percent.
    pub(crate) max_shrink: u64,
}

/// So many devices may go at once from a table of any size.
const FEW: u64 = 10;

impl Limits {
    fn allow(self, from: u64, to: u64) -> bool {
        let gone = from.saturating_sub(to);
        gone <= FEW.max(from.saturating_mul(self.max_shrink) / 100) && (to > 0 || from == 0)
    }
}

/// Why a content was not published. The file is as it was.
#[derive(Debug)]
pub(crate) enum NotPublished {
    /// It must not be.
    Refused(String),
    /// The system returned an error; it may pass.
    Failed(String),
}

/// The file and its lock.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    content: Option<Content>,
    limits: Limits,
    _lock: File,
}

impl Output {
    /// Locks the file, and reads what it holds. `hasher` makes the fingerprints. A file that was not made by a follower is
    /// replaced only if it is adopted.
    pub(crate) fn open(
        path: &Path,
        adopt: bool,
        limits: Limits,
        hasher: &RandomState,
    ) -> Result<Self, Failure> {
        let failure = |error: &dyn fmt::Display| Failure::new(format!("{}: {error}", shown(path)));
        let path = resolved(path).map_err(|error| failure(&error))?;
        let lock = lock(&path).map_err(|error| failure(&error))?;
        let content = match File::open(&path) {
            Ok(file) => Some(survey(&file, hasher).map_err(|error| failure(&error))?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failure(&error)),
        };
        if !adopt && content.as_ref().is_some_and(|content| !content.is_followed) {
            return Err(failure(
                &"expected a file that iotda-auth follow has made, found another: put its devices into the table (iotda-auth \
                  follow --print-rows), and replace it with --adopt",
            ));
        }
        Ok(Self { path, content, limits, _lock: lock })
    }

    /// Whether there is a file that serves the broker.
    pub(crate) fn is_there(&self) -> bool {
        self.content.is_some()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of devices in the file.
    pub(crate) fn devices(&self) -> u64 {
        self.content.as_ref().map_or(0, |content| content.fingerprint.lines)
    }

    /// The moment of the database that the file was made from.
    pub(crate) fn moment(&self) -> Option<&Moment> {
        self.content.as_ref()?.moment.as_ref()
    }

    /// Whether the file is the one that was written or read last.
    fn is_untouched(&self) -> bool {
        let known = self.content.as_ref().and_then(|content| content.identity);
        known.is_some() && Identity::of(&self.path) == known
    }

    /// Whether the file holds this table.
    pub(crate) fn holds(&self, table: &Table) -> bool {
        let is_equal =
            |content: &Content| content.is_followed && content.fingerprint == table.fingerprint();
        self.content.as_ref().is_some_and(is_equal) && self.is_untouched()
    }

    /// Whether the file was made from a later moment.
    pub(crate) fn is_ahead_of(&self, moment: &Moment) -> bool {
        self.moment().is_some_and(|made| made.server == moment.server && made.wal > moment.wal)
    }

    /// Whether somebody else has changed or removed what was published.
    pub(crate) fn is_tampered(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content.is_followed) && !self.is_untouched()
    }

    /// Makes the file equal to the table, and returns how long that took.
    pub(crate) fn publish(
        &mut self,
        table: &Table,
        name: &str,
        moment: &Moment,
    ) -> Result<Duration, NotPublished> {
        let begin = Instant::now();
        let (from, to) = (self.devices(), table.devices());
        if !self.limits.allow(from, to) {
            return Err(NotPublished::Refused(refusal(from, to, self.limits)));
        }
        let identity = self
            .write(table, name, moment)
            .map_err(|error| NotPublished::Failed(format!("{}: {error}", shown(&self.path))))?;
        let (fingerprint, moment) = (table.fingerprint(), Some(moment.clone()));
        self.content = Some(Content { is_followed: true, fingerprint, identity, moment });
        Ok(begin.elapsed())
    }

    fn write(&self, table: &Table, name: &str, moment: &Moment) -> io::Result<Option<Identity>> {
        let beside = Beside::make(&self.path)?;
        let mut file = &beside.file;
        file.write_all(FOLLOWED)?;
        writeln!(file, " do not edit, this file is written anew from the database")?;
        writeln!(file, "# table {name}, {moment}, {}", journal::now())?;
        table.write(&mut file)?;
        match File::open(&self.path) {
            Ok(old) => editing::take_after(file, &old, &old.metadata()?)
                .map_err(|error| io::Error::other(error.to_string()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        file.sync_all()?;
        beside.rename(&self.path)?;
        let identity = Identity::of(&self.path);
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()?;
        Ok(identity)
    }
}

fn refusal(from: u64, to: u64, limits: Limits) -> String {
    let most = limits.max_shrink;
    if to == 0 {
        return format!(
            "the table is empty, and the file has {from} devices: an emptied file is never published"
        );
    }
    format!(
        "the table has {to} devices, and the file {from}: expected at most {most} % fewer. If that is right, end the follower, \
         run it with --once --max-shrink 100, and start it again"
    )
}

/// The path with links resolved; the file itself need not be there.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = path.file_name().ok_or(error)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(fs::canonicalize(folder.unwrap_or(Path::new(".")))?.join(name))
        }
        result => result,
    }
}

/// Locks the file beside. It is never removed: who waits for it would hold a lock on a file that is gone.
fn lock(path: &Path) -> io::Result<File> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".follow");
    let beside = path.with_file_name(name);
    let lock = match File::open(&beside) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&beside)?
        }
        result => result?,
    };
    let how = FlockOperation::NonBlockingLockExclusive;
    match rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, how)) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let who = match editing::locked_by(&lock)? {
                Some(process) => format!("process {process}"),
                None => "another process".into(),
            };
            Err(io::Error::other(format!("is followed into by {who}: one follower for each file")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads what a file holds.
fn survey(file: &File, hasher: &RandomState) -> io::Result<Content> {
    let identity = Some(Identity::from(&file.metadata()?));
    let fingerprint = Fingerprint::default();
    let mut content = Content { is_followed: false, fingerprint, identity, moment: None };
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = zeroize::Zeroizing::new(Vec::with_capacity(1 << 10));
    for number in 0u64.. {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = line.trim_ascii();
        if number == 0 {
            content.is_followed = text.starts_with(FOLLOWED);
        } else if number == 1 && content.is_followed {
            content.moment = std::str::from_utf8(text).ok().and_then(moment);
        }
        if !text.is_empty() && !text.starts_with(b"#") {
            content.fingerprint.add(hasher, text);
        }
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_may_shrink_a_little_and_never_to_nothing() {
        let limits = Limits { max_shrink: 10 };
        for (from, to, allowed) in [
            (0, 0, true),
            (0, 5, true),
            (5, 1, true),
            (5, 0, false),
            (10, 0, false),
            (100, 90, true),
            (100, 89, false),
            (1000, 900, true),
            (1000, 899, false),
            (1000, 0, false),
        ] {
            assert_eq!(limits.allow(from, to), allowed, "{from} {to}");
        }
        let all = Limits { max_shrink: 100 };
        assert!(all.allow(1000, 1) && !all.allow(1000, 0));
    }

    #[test]
    fn a_moment_is_read_again() {
        let said = Moment {
            server: "7".into(),
            timeline: "00000001".into(),
            wal: PgLsn::from(0x1_0000_00AB),
        };
        assert_eq!(moment(&format!("# table \"a\".\"b\", {said}, 2026")), Some(said));
        assert_eq!(moment("# table"), None);
    }
}
