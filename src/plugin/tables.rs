//! Which table is in force? Read at start, read again on a thread, put in force on the broker's.

use super::{Host, Level, Plugin, stack::wiped_after};
use crate::{
    flood::Flood,
    journal::{self, Line},
    login::{Refusal, verify::must_end},
    registry::{self, Cancel, Changes, Identity, LoadError, Loaded, load::LineErrors},
    reloader::{NewTable, News, ReloadError, Reloader, Source},
    sessions::{ClientHandle, Session},
};
use std::{
    io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// The thread that reads the file again. It is there from the first time on that it is wanted.
#[derive(Debug)]
pub(super) enum Reloading {
    NotYet { identity: Identity, ends_in_newline: bool },
    By(Reloader),
}

/// Sessions that are held against the table that came into force, a portion at a time, and what is told once all are.
#[derive(Debug)]
pub(super) struct Ending {
    /// Those that are still to be looked at.
    clients: Vec<ClientHandle>,
    /// A file that has lost half a fleet makes no more lines than any other.
    flood: Flood,
    ended: usize,
    changes: Changes,
    devices: usize,
    time: Duration,
    level: Level,
}

/// How long a turn of the broker's loop may take for ending sessions. To end one takes some 20 µs.
const PORTION: Duration = Duration::from_millis(5);

impl Plugin {
    /// Calls a function with the thread that reads the file; starts it if need be.
    pub(super) fn with_reloader<T>(
        &self,
        host: &dyn Host,
        call: impl FnOnce(&Reloader) -> T,
    ) -> io::Result<T> {
        let mut reloading = self.reloader.try_borrow_mut().map_err(io::Error::other)?;
        if let Reloading::NotYet { identity, ends_in_newline } = *reloading {
            let source = Source {
                path: self.options.secrets_file.clone(),
                table: self
                    .table
                    .try_borrow()
                    .map(|table| Arc::clone(&table))
                    .map_err(io::Error::other)?,
                identity,
                ends_in_newline,
                interval: self.options.reload_interval,
            };
            let (mut source, mut started) = (Some(source), None);
            host.with_signals_blocked(&mut || started = source.take().map(Reloader::start));
            *reloading =
                Reloading::By(started.unwrap_or_else(|| Err(io::ErrorKind::Other.into()))?);
        }
        match &*reloading {
            Reloading::By(reloader) => Ok(call(reloader)),
            Reloading::NotYet { .. } => Err(io::ErrorKind::Other.into()),
        }
    }

    /// Puts a new table in force, if there is one, and tells what went wrong. As long as sessions are held against the table
    /// in force, another one waits: what it says of changed devices is said of that table.
    pub(super) fn look_for_news(&self, host: &dyn Host) {
        if self.go_on_ending(host) {
            return;
        }
        let news = match self.reloader.try_borrow().as_deref() {
            Ok(Reloading::By(reloader)) => reloader.take(),
            _ => None,
        };
        let Some(News { table, errors }) = news else { return };
        for error in &errors {
            self.report(host, error);
        }
        if let Some(new) = table {
            self.put_in_force(host, new);
        }
    }

    fn put_in_force(&self, host: &dyn Host, new: NewTable) {
        let NewTable { table, changes, world_readable, time, requested } = new;
        let Ok(before) = self
            .table
            .try_borrow_mut()
            .map(|mut place| std::mem::replace(&mut *place, Arc::clone(&table)))
        else {
            return;
        };
        self.counters.reloads.add();
        self.table_since.set(Instant::now());
        // Many devices take a while to wipe: the thread does that.
        let _ = self.with_reloader(host, |reloader| reloader.taken(before));
        if world_readable {
            warn_of_readers(host, &shown(&self.options.secrets_file));
        }
        let clients = match self.sessions.try_borrow() {
            Ok(sessions) if changes.removed + changes.changed > 0 => sessions.handles(),
            _ => Vec::new(),
        };
        // Nobody asked, and nothing came of it.
        let level =
            if requested || changes != Changes::default() { Level::Info } else { Level::Debug };
        let devices = table.len();
        let flood = Flood::default();
        let ending = Ending { clients, flood, ended: 0, changes, devices, time, level };
        if let Ok(mut place) = self.ending.try_borrow_mut() {
            *place = Some(ending);
        }
        self.go_on_ending(host);
    }

    /// Ends the next sessions that the table in force has no place for. Says whether there are more to be looked at.
    fn go_on_ending(&self, host: &dyn Host) -> bool {
        // The broker may call back while one is ended.
        let Some(mut ending) = self.ending.try_borrow_mut().ok().and_then(|mut place| place.take())
        else {
            return false;
        };
        let begin = Instant::now();
        while let Some(client) = ending.clients.pop() {
            if let Some((session, reason)) = wiped_after(|| self.must_end(client)) {
                if ending.flood.tell(reason, Some(session.client_id()), Duration::ZERO) {
                    let line = journal::disconnection(session.client_id(), reason.slug());
                    host.log(Level::Notice, &line);
                }
                self.end(host, &session, true);
                ending.ended += 1;
            }
            if begin.elapsed() >= PORTION && !ending.clients.is_empty() {
                if let Ok(mut place) = self.ending.try_borrow_mut() {
                    *place = Some(ending);
                }
                return true;
            }
        }
        self.tell_reload(host, ending);
        false
    }

    fn tell_reload(&self, host: &dyn Host, ending: Ending) {
        let Ending { mut flood, ended, changes, devices, time, level, .. } = ending;
        if let Some(left_out) = flood.end() {
            host.log(Level::Notice, &Line::of(format_args!("disconnected {left_out}")));
        }
        let Changes { added, removed, changed } = changes;
        host.log(
            level,
            &Line::of(format_args!(
                "reloaded in {:.3}s: {devices} devices, {added} added, {removed} removed, {changed} changed; \
                 {} logged in, {ended} disconnected",
                time.as_secs_f64(),
                self.sessions.try_borrow().map_or(0, |sessions| sessions.len()),
            )),
        );
    }

    /// A session that the table in force has no place for, and why. It counts as leaving from here on.
    fn must_end(&self, client: ClientHandle) -> Option<(Session, Refusal)> {
        let table = self.table.try_borrow().ok()?;
        let mut sessions = self.sessions.try_borrow_mut().ok()?;
        let session = sessions.live(client)?;
        let reason = must_end(session.client_id(), session.proofs(), &table)?;
        let session = session.clone();
        sessions.leave(client);
        Some((session, reason))
    }

    /// Tells why the table in force stays.
    pub(super) fn report(&self, host: &dyn Host, error: &ReloadError) {
        self.counters.failed_reloads.add();
        let file = shown(&self.options.secrets_file);
        let devices = self.table.try_borrow().map_or(0, |table| table.len());
        let line = Line::of(format_args!(
            "not reloaded, {devices} devices stay: secrets_file {file}: {error}"
        ));
        host.log(Level::Error, &line);
        if let ReloadError::Load(LoadError::Lines(errors)) = error {
            report_lines(host, &file, errors);
        }
    }
}

/// Reads the file for the first time. A file that is just being written is waited for, for a second: nobody is connected
/// yet.
pub(super) fn load_at_start(path: &Path) -> Result<Loaded, LoadError> {
    for _ in 0..10 {
        match registry::load(path, registry::load::MAX_ERRORS, Cancel::NEVER) {
            Err(LoadError::Changing) => thread::sleep(Duration::from_millis(100)),
            result => return result,
        }
    }
    Err(LoadError::Changing)
}

/// Tells the log which lines of a file are wrong.
pub(super) fn report_lines(host: &dyn Host, file: &str, errors: &LineErrors) {
    for (line, fault) in &errors.first {
        host.log(Level::Error, &Line::of(format_args!("{file} line {line}: {fault}")));
    }
    let untold = errors.total - errors.first.len() as u64;
    if untold > 0 {
        host.log(Level::Error, &Line::of(format_args!("{file}: and {untold} more")));
    }
}

/// A path as it is shown in the log.
pub(super) fn shown(path: &Path) -> String {
    format!("{path:?}")
}

pub(super) fn warn_of_readers(host: &dyn Host, file: &str) {
    let advice = "can be read by every user of this machine (chmod o-r)";
    host.log(Level::Warning, &Line::of(format_args!("secrets_file {file} {advice}")));
}
