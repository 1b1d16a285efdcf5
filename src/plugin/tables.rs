//! Which table is in force? It is read at start, read again on a separate thread, and put in force on the broker's thread.

use super::{Host, Level, Plugin, stack::wiped_after};
use crate::{
    reloader::{LONG, NewTable, News, ReloadError, Reloader, Source},
    sessions::{ClientHandle, Session},
};
use iotda_core::{
    log::{self, Count, Line, LogBudget},
    login::{Refusal, verify::must_end},
    registry::{Cancel, Changes, LoadError, Watch, read::LineErrors},
};
use iotda_files::{Configuration, Identity, Loaded, Warning, load_patiently};
use once_cell::unsync::OnceCell;
use std::{
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a file that is being written is waited for at start: nobody is connected yet.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often to check for its progress.
const GLANCE: Duration = Duration::from_millis(500);

/// How long a broker that ends waits for threads whose files do not answer. It has to end within a few seconds.
const PATIENCE_AT_END: Duration = Duration::from_secs(2);

/// The least time for each of several instances: their files may be in other places.
const LEAST_PATIENCE_AT_END: Duration = Duration::from_millis(100);

/// How long this process has waited for such threads, in milliseconds: the limit is for all instances together.
static WAITED_AT_END: AtomicU64 = AtomicU64::new(0);

/// The thread that reads the file again: started on first use.
#[derive(Debug)]
pub(super) struct Reloading {
    thread: OnceCell<Reloader>,
    /// What the thread needs to know of the file that was read at the start.
    identity: Identity,
    ends_in_newline: bool,
    /// The broker's configuration at the start.
    configuration: Configuration,
    /// The plugin is ending: a thread is no longer started.
    is_over: bool,
}

impl Reloading {
    /// No thread yet, only the file that was read at the start.
    pub(super) fn of(
        identity: Identity,
        ends_in_newline: bool,
        configuration: Configuration,
    ) -> Self {
        Self { thread: OnceCell::new(), identity, ends_in_newline, configuration, is_over: false }
    }
}

/// The sessions that are being checked against the new table, a portion at a time, and what to log when all are checked.
#[derive(Debug)]
pub(super) struct Ending {
    /// The sessions that are still to be checked.
    clients: Vec<ClientHandle>,
    /// Limits the lines: a file that has lost half a fleet must not flood the log.
    log_budget: LogBudget,
    ended: usize,
    changes: Changes,
    devices: usize,
    time: Duration,
    level: Level,
}

/// How long ending sessions may take in one turn of the broker's loop.
const PORTION: Duration = Duration::from_millis(5);

impl Plugin {
    /// Calls a function with the thread that reads the file; starts it if need be.
    pub(super) fn with_reloader<T>(
        &self,
        host: &dyn Host,
        call: impl FnOnce(&Reloader) -> T,
    ) -> io::Result<T> {
        let reloading = self.reloader.try_borrow().map_err(io::Error::other)?;
        if reloading.is_over {
            return Err(io::ErrorKind::Other.into());
        }
        reloading.thread.get_or_try_init(|| self.start_reloader(host, &reloading)).map(call)
    }

    fn start_reloader(&self, host: &dyn Host, reloading: &Reloading) -> io::Result<Reloader> {
        let table = self.table.try_borrow().map_err(io::Error::other)?;
        let source = Source {
            path: self.options.secrets_file.clone(),
            table: Arc::clone(&table),
            identity: reloading.identity,
            ends_in_newline: reloading.ends_in_newline,
            configuration: reloading.configuration.clone(),
            interval: self.options.reload_interval,
        };
        let (mut source, mut started) = (Some(source), None);
        host.with_signals_blocked(&mut || started = source.take().map(Reloader::start));
        started.unwrap_or_else(|| Err(io::ErrorKind::Other.into()))
    }

    /// Ends the thread that reads the file. If its file does not answer, the thread is left running, and the library is kept
    /// in memory: otherwise 2.0 would unmap it after this (`mosquitto_security_module_cleanup` in `security.c`).
    pub(super) fn end_reloader(&self, host: &dyn Host) {
        let Ok(mut reloading) = self.reloader.try_borrow_mut() else { return };
        reloading.is_over = true;
        let Some(reloader) = reloading.thread.take() else { return };
        drop(reloading);
        let waited = Duration::from_millis(WAITED_AT_END.load(Ordering::Relaxed));
        let patience = PATIENCE_AT_END.saturating_sub(waited).max(LEAST_PATIENCE_AT_END);
        if !reloader.stop(patience) {
            let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
            WAITED_AT_END.fetch_add(patience, Ordering::Relaxed);
            host.stay_loaded();
            let file = shown(&self.options.secrets_file);
            let line = Line::of(format_args!(
                "secrets_file {file}: still being read at the end, without an answer"
            ));
            host.log(Level::Warning, &line);
        }
    }

    /// Puts a new table in force, if there is one, and logs what went wrong. While sessions are being checked against the
    /// table in force, another table waits: its marks of changed devices compare it with that table.
    pub(super) fn look_for_news(&self, host: &dyn Host) {
        if self.go_on_ending(host) {
            return;
        }
        let Ok(reloading) = self.reloader.try_borrow() else { return };
        let Some(reloader) = reloading.thread.get() else { return };
        let (news, takes_long) = (reloader.take(), reloader.takes_long());
        drop(reloading);
        if takes_long {
            warn_of_a_long_load(host, &shown(&self.options.secrets_file));
        }
        let Some(News { table, errors, configuration }) = news else { return };
        for error in &errors {
            self.report(host, error);
        }
        if let Some(new) = table {
            self.put_in_force(host, new);
        }
        if let Some(changed) = configuration {
            let file = shown(&changed);
            let line = Line::of(format_args!(
                "{file} has changed since the broker's start: a reload reads the secrets file and not the plugin's options; if you \
                 have changed those, restart the broker"
            ));
            host.log(Level::Warning, &line);
        }
    }

    fn put_in_force(&self, host: &dyn Host, new: NewTable) {
        let NewTable { table, changes, exposure, time, requested } = new;
        let Ok(before) = self
            .table
            .try_borrow_mut()
            .map(|mut place| std::mem::replace(&mut *place, Arc::clone(&table)))
        else {
            return;
        };
        self.counters.reloads.add();
        self.table_since.set(Instant::now());
        // Wiping many devices takes a while, so the thread does it.
        let _ = self.with_reloader(host, |reloader| reloader.taken(before));
        warn_of(host, &shown(&self.options.secrets_file), &exposure.warnings(Some(host.user())));
        let clients = match self.sessions.try_borrow() {
            Ok(sessions) if changes.removed + changes.changed > 0 => sessions.handles(),
            _ => Vec::new(),
        };
        // Nobody asked for this load, and it changed nothing.
        let level =
            if requested || changes != Changes::default() { Level::Info } else { Level::Debug };
        let devices = table.len();
        let log_budget = LogBudget::default();
        let ending = Ending { clients, log_budget, ended: 0, changes, devices, time, level };
        if let Ok(mut place) = self.ending.try_borrow_mut() {
            *place = Some(ending);
        }
        self.go_on_ending(host);
    }

    /// Ends the next sessions that do not belong to the table in force. Returns whether there are more to check.
    fn go_on_ending(&self, host: &dyn Host) -> bool {
        // The broker may call back while a session is ended.
        let Some(mut ending) = self.ending.try_borrow_mut().ok().and_then(|mut place| place.take())
        else {
            return false;
        };
        let begin = Instant::now();
        while let Some(client) = ending.clients.pop() {
            if let Some((session, reason)) = wiped_after(|| self.must_end(client)) {
                if ending.log_budget.tell(reason, Some(session.client_id()), Duration::ZERO) {
                    let line = log::write::disconnection(session.client_id(), reason.id());
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
        let Ending { mut log_budget, ended, changes, devices, time, level, .. } = ending;
        if let Some(left_out) = log_budget.end() {
            host.log(Level::Notice, &Line::of(format_args!("disconnected {left_out}")));
        }
        let Changes { added, removed, changed } = changes;
        host.log(
            level,
            &Line::of(format_args!(
                "reloaded in {:.3}s: {}, {added} added, {removed} removed, {changed} changed; \
                 {} logged in, {ended} disconnected",
                time.as_secs_f64(),
                Count(devices, "device"),
                self.sessions.try_borrow().map_or(0, |sessions| sessions.len()),
            )),
        );
    }

    /// A session that does not belong to the table in force, and why. It counts as leaving from here on.
    fn must_end(&self, client: ClientHandle) -> Option<(Session, Refusal)> {
        let table = self.table.try_borrow().ok()?;
        let mut sessions = self.sessions.try_borrow_mut().ok()?;
        let session = sessions.live(client)?;
        let reason = must_end(session.client_id(), session.proofs(), &table)?;
        let session = session.clone();
        sessions.leave(client);
        Some((session, reason))
    }

    /// Logs why the table in force stays.
    pub(super) fn report(&self, host: &dyn Host, error: &ReloadError) {
        self.counters.failed_reloads.add();
        let file = shown(&self.options.secrets_file);
        let devices = self.table.try_borrow().map_or(0, |table| table.len());
        let (devices, stay) =
            (Count(devices, "device"), if devices == 1 { "stays" } else { "stay" });
        let line =
            Line::of(format_args!("not reloaded, {devices} {stay}: secrets_file {file}: {error}"));
        host.log(Level::Error, &line);
        if let ReloadError::Load(LoadError::Lines(errors)) = error {
            report_lines(host, &file, errors);
        }
    }
}

/// What is read at the start.
pub(super) struct AtStart {
    pub(super) loaded: Loaded,
    pub(super) configuration: Configuration,
}

impl AtStart {
    fn read(path: &Path, cancel: Cancel<'_>) -> Result<Self, LoadError> {
        let loaded = load_patiently(path, PATIENCE, cancel)?;
        Ok(Self { loaded, configuration: Configuration::current() })
    }
}

/// Reads the file for the first time, on a separate thread, so that the broker can report a file that does not answer. If
/// no thread can be started, the file is read here.
pub(super) fn load_at_start(host: &dyn Host, path: &Path) -> Result<AtStart, LoadError> {
    let shared = Arc::new((Watch::default(), Mutex::new(None), Condvar::new()));
    let (its_path, its_shared) = (path.to_path_buf(), Arc::clone(&shared));
    let mut work = Some(move || {
        let (watch, place, done) = &*its_shared;
        let loaded = AtStart::read(&its_path, Cancel::when(watch));
        *place.lock().unwrap_or_else(|poison| poison.into_inner()) = Some(loaded);
        done.notify_all();
    });
    let mut started = None;
    host.with_signals_blocked(&mut || {
        started = work
            .take()
            .and_then(|work| thread::Builder::new().name("iotda-load".into()).spawn(work).ok());
    });
    let Some(thread) = started else { return AtStart::read(path, Cancel::NEVER) };
    let (watch, place, done) = &*shared;
    let begin = Instant::now();
    let (mut steps, mut last_step, mut is_told) = (0, begin, false);
    loop {
        // This is checked first: the thread may end at any moment, and then the result is there.
        let is_finished = thread.is_finished();
        let place = place.lock().unwrap_or_else(|poison| poison.into_inner());
        let waited = done.wait_timeout_while(place, GLANCE, |loaded| loaded.is_none());
        let loaded = waited
            .map_or_else(|poison| poison.into_inner().0.take(), |(mut place, _)| place.take());
        if let Some(loaded) = loaded {
            let _ = thread.join();
            return loaded;
        }
        // No result: a fault of the plugin.
        if is_finished {
            return Err(io::Error::from(io::ErrorKind::Other).into());
        }
        // A large file on a slow disk takes long, but there is progress.
        if watch.steps() != steps {
            (steps, last_step) = (watch.steps(), Instant::now());
        } else if last_step.elapsed() >= LONG {
            watch.call_off();
            host.stay_loaded();
            return Err(LoadError::NoAnswer { seconds: LONG.as_secs() });
        }
        if !is_told && begin.elapsed() >= LONG {
            is_told = true;
            warn_of_a_long_load(host, &shown(path));
        }
    }
}

/// Logs which lines of a file are wrong, if it has lines of devices at all.
pub(super) fn report_lines(host: &dyn Host, file: &str, errors: &LineErrors) {
    if errors.foreign.is_some() {
        return;
    }
    for (line, fault) in &errors.first {
        host.log(Level::Error, &Line::of(format_args!("{file} line {line}: {fault}")));
    }
    let untold = errors.total - errors.first.len() as u64;
    if untold > 0 {
        host.log(Level::Error, &Line::of(format_args!("{file}: and {untold} more")));
    }
}

/// A path as it is shown in the log. The middle of a very long one is left out, so that the rest of the line has room.
pub(super) fn shown(path: &Path) -> String {
    const SIDE: usize = 200;
    let text = format!("{path:?}");
    let cut = |(at, _)| at;
    let begin = text.char_indices().nth(SIDE).map(cut);
    let end = text.char_indices().rev().nth(SIDE).map(cut);
    match (begin.and_then(|at| text.get(..at)), end.and_then(|at| text.get(at..))) {
        (Some(begin), Some(end)) if begin.len() + end.len() < text.len() => {
            format!("{begin}...{end}")
        }
        _ => text,
    }
}

/// Logs what should be fixed about the file.
pub(super) fn warn_of(host: &dyn Host, file: &str, warnings: &[Warning]) {
    for warning in warnings {
        host.log(Level::Warning, &Line::of(format_args!("secrets_file {file} {warning}")));
    }
}

fn warn_of_a_long_load(host: &dyn Host, file: &str) {
    let seconds = LONG.as_secs();
    host.log(
        Level::Warning,
        &Line::of(format_args!(
            "secrets_file {file}: being read for more than {seconds} s: do its disk and its network answer?"
        )),
    );
}
