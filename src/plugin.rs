//! What happens now? The one place with effects: the clock, the log, the table in force, who is logged in.
//!
//! Everything here runs on the broker's only thread. Nothing waits, and every method takes `&self`: the broker may call
//! back while one of them calls the broker, so no borrow is held across such a call.

use crate::{
    journal::{self, Line},
    login::{
        Connect, HourKeys, Occasion, Refusal, Verdict,
        timestamp::UnixSeconds,
        verify,
        verify::{Detail, Refused, must_end},
    },
    options::{OptionError, Options},
    registry::{self, Cancel, Changes, LoadError, Loaded, Table, load::LineErrors},
    reloader::{NewTable, News, ReloadError, Reloader, Source},
    sessions::{ClientHandle, Session, Sessions},
};
use std::{
    cell::{Cell, RefCell},
    ffi::CStr,
    fmt, io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// What the plugin needs of its broker.
pub trait Host {
    /// Writes a line to the broker's log.
    fn log(&self, level: Level, line: &Line);

    /// Ends the connection of a client, as if it had broken: its will is published. The broker may say that the client
    /// is gone before this returns.
    fn disconnect(&self, client_id: &CStr);

    /// Calls a function with all signals blocked, so that a thread which it starts does not take the broker's.
    fn with_signals_blocked(&self, call: &mut dyn FnMut());
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The broker or the operator must act.
    Error,
    /// Something the operator should mend.
    Warning,
    /// A refused login.
    Notice,
    /// What was done.
    Info,
    /// What only a developer reads.
    Debug,
}

/// A login that the broker asks about.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The broker's handle of the connection.
    pub client: ClientHandle,
    /// What the client sent.
    pub connect: Connect<'a>,
    /// Where it comes from; `None` for a session that was restored from the persistence file.
    pub address: Option<&'a [u8]>,
    /// The MQTT version that the connection speaks: 3, 4 or 5; 0 for a session that was restored from the persistence
    /// file and has not been connected since.
    pub protocol_version: i32,
    /// How many subscriptions the session has; a CONNECT that is being answered has none yet.
    pub subscriptions: i32,
}

/// What is said back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The device may log in.
    Accept,
    /// Others decide.
    Defer,
    /// The login is refused.
    Refuse(Refusal),
}

/// Why the plugin does not start.
#[derive(Debug)]
pub enum StartError {
    /// The options are wrong.
    Options(OptionError),
    /// The secrets file makes no table.
    Secrets {
        /// The file, escaped for the log.
        file: String,
        /// What is wrong with it.
        error: LoadError,
    },
    /// There is no thread to look after the file.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Secrets { file, error } => write!(f, "secrets_file {file}: {error}"),
            Self::Thread(error) => write!(f, "no thread for plugin_opt_reload_interval: {error}"),
        }
    }
}

impl StartError {
    /// Tells the log: what is wrong in one line, and then the wrong lines of the file.
    pub fn report(&self, host: &dyn Host) {
        host.log(Level::Error, &Line::of(format_args!("not started: {self}")));
        if let Self::Secrets { file, error: LoadError::Lines(errors) } = self {
            report_lines(host, file, errors);
        }
    }
}

/// Tells the log which lines of a file are wrong.
fn report_lines(host: &dyn Host, file: &str, errors: &LineErrors) {
    for (line, fault) in &errors.first {
        host.log(Level::Error, &Line::of(format_args!("{file} line {line}: {fault}")));
    }
    let untold = errors.total - errors.first.len() as u64;
    if untold > 0 {
        host.log(Level::Error, &Line::of(format_args!("{file}: and {untold} more")));
    }
}

/// One instance of the plugin.
#[derive(Debug)]
pub struct Plugin {
    options: Options,
    table: RefCell<Arc<Table>>,
    keys: RefCell<HourKeys>,
    sessions: RefCell<Sessions>,
    sweep: Cell<Sweep>,
    /// Whether this broker sends TICKs at all: 2.0 does not with `per_listener_settings true`.
    ticks: Cell<bool>,
    reloader: RefCell<Reloading>,
}

/// The broker's second look at all sessions, which follows a SIGHUP: RELOAD, then BASIC_AUTH for each session, then
/// TICK, and nothing else in between (`mosquitto_main_loop` in `loop.c`, 2.0 and 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sweep {
    No,
    /// Since the RELOAD.
    Running(Instant),
}

/// Longer than any sweep, which takes microseconds a session.
const SWEEP_AT_MOST: Duration = Duration::from_secs(2);

/// The thread that reads the file again. It is there from the first time on that it is wanted.
#[derive(Debug)]
enum Reloading {
    NotYet { identity: registry::Identity, ends_in_newline: bool },
    By(Reloader),
}

impl Plugin {
    /// Reads the options and the secrets file.
    ///
    /// # Errors
    ///
    /// [`StartError`]; the broker must not run then.
    pub fn start<'a>(
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
        host: &dyn Host,
    ) -> Result<Self, StartError> {
        let options = Options::parse(options).map_err(StartError::Options)?;
        let file = shown(&options.secrets_file);
        let Loaded { table, world_readable, ends_in_newline, identity } =
            load_at_start(&options.secrets_file)
                .map_err(|error| StartError::Secrets { file: file.clone(), error })?;
        if world_readable {
            warn_of_readers(host, &file);
        }
        if table.is_empty() {
            host.log(
                Level::Warning,
                &Line::of(format_args!("secrets_file {file} holds no device")),
            );
        }
        let (version, devices) = (env!("CARGO_PKG_VERSION"), table.len());
        host.log(
            Level::Info,
            &Line::of(format_args!("version {version}, {devices} devices from {file}")),
        );
        let plugin = Self {
            options,
            table: RefCell::new(Arc::new(table)),
            keys: RefCell::default(),
            sessions: RefCell::default(),
            sweep: Cell::new(Sweep::No),
            ticks: Cell::new(false),
            reloader: RefCell::new(Reloading::NotYet { identity, ends_in_newline }),
        };
        if plugin.options.reload_interval.is_some() {
            plugin.with_reloader(host, |_| ()).map_err(StartError::Thread)?;
        }
        Ok(plugin)
    }

    /// Answers a login.
    pub fn login(&self, host: &dyn Host, login: &Login<'_>) -> Answer {
        #[cfg(feature = "fault-injection")]
        fault(&login.connect);

        let Some(occasion) = self.occasion(login) else { return Answer::Accept };
        if occasion == Occasion::Connect && !self.ticks.get() && !self.may_be_swept() {
            self.look_for_news(host);
        }
        let now = unix_now();
        let verdict = {
            let Ok(table) = self.table.try_borrow() else { return self.login_failed(host, login) };
            // The keys only save time: should they be in use, which they never are, the login pays for its own.
            let mut spare = HourKeys::default();
            let mut kept = self.keys.try_borrow_mut();
            let keys = kept.as_deref_mut().unwrap_or(&mut spare);
            verify(&login.connect, &table, &self.options.policy, now, occasion, keys)
        };
        match verdict {
            Verdict::Accept(_) => {
                if occasion == Occasion::Connect {
                    self.remember(login);
                }
                Answer::Accept
            }
            Verdict::Defer => Answer::Defer,
            Verdict::Refuse(refused) => self.refuse(host, login, refused),
        }
    }

    /// Answers a login during which the plugin failed.
    pub fn login_failed(&self, host: &dyn Host, login: &Login<'_>) -> Answer {
        self.refuse(host, login, Refused { reason: Refusal::InternalError, detail: Detail::None })
    }

    fn refuse(&self, host: &dyn Host, login: &Login<'_>, refused: Refused) -> Answer {
        self.gone(login.client);
        host.log(Level::Notice, &journal::refusal(&login.connect, login.address, refused));
        Answer::Refuse(refused.reason)
    }

    /// The broker was told to reload, and will now ask about every session again.
    pub fn reload(&self, host: &dyn Host) {
        // What is new already comes into force before the sweep.
        self.look_for_news(host);
        self.sweep.set(Sweep::Running(Instant::now()));
        if let Err(error) = self.with_reloader(host, Reloader::request) {
            self.report(host, &ReloadError::Load(LoadError::Io(error)));
        }
    }

    /// The broker has a moment.
    pub fn tick(&self, host: &dyn Host) {
        self.sweep.set(Sweep::No);
        self.ticks.set(true);
        self.look_for_news(host);
    }

    /// A client is gone.
    pub fn gone(&self, client: ClientHandle) {
        if let Ok(mut sessions) = self.sessions.try_borrow_mut() {
            sessions.forget(client);
        }
    }

    /// Why the broker asks; `None` where the session is known to have logged in properly.
    fn occasion(&self, login: &Login<'_>) -> Option<Occasion> {
        if self.sweep.get() == Sweep::No {
            return Some(Occasion::Connect);
        }
        if self
            .sessions
            .try_borrow()
            .is_ok_and(|sessions| sessions.holds(login.client, &login.connect))
        {
            return None;
        }
        // Without an address there is no connection: every socket has one, a Unix socket its path.
        if login.address.is_none()
            && login.connect.password.is_none()
            && login.protocol_version == 0
        {
            return Some(Occasion::Restored);
        }
        // A session that is offline and waits for its device. Where no TICK tells that the sweep is over, it must have
        // subscriptions to be told from a CONNECT that comes after it.
        if self.ticks.get() || login.subscriptions > 0 {
            return Some(Occasion::Recheck);
        }
        Some(Occasion::Connect)
    }

    /// Whether the broker may be walking through its sessions just now, so that none of them should be ended.
    fn may_be_swept(&self) -> bool {
        matches!(self.sweep.get(), Sweep::Running(since) if since.elapsed() < SWEEP_AT_MOST)
    }

    fn remember(&self, login: &Login<'_>) {
        if let (Some(session), Ok(mut sessions)) =
            (Session::of(&login.connect), self.sessions.try_borrow_mut())
        {
            sessions.remember(login.client, session);
        }
    }

    /// Calls a function with the thread that reads the file; starts it if need be.
    fn with_reloader(&self, host: &dyn Host, call: impl FnOnce(&Reloader)) -> io::Result<()> {
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
        if let Reloading::By(reloader) = &*reloading {
            call(reloader);
        }
        Ok(())
    }

    /// Puts a new table in force, if there is one, and tells what went wrong.
    fn look_for_news(&self, host: &dyn Host) {
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
        // Many devices take a while to wipe: the thread does that.
        let _ = self.with_reloader(host, |reloader| reloader.taken(before));
        if world_readable {
            warn_of_readers(host, &shown(&self.options.secrets_file));
        }
        let ended =
            if changes.removed + changes.changed > 0 { self.end_sessions(host, &table) } else { 0 };
        let Changes { added, removed, changed } = changes;
        // Nobody asked, and nothing came of it.
        let level =
            if requested || changes != Changes::default() { Level::Info } else { Level::Debug };
        host.log(
            level,
            &Line::of(format_args!(
                "reloaded in {:.3}s: {} devices, {added} added, {removed} removed, {changed} changed; \
                 {} logged in, {ended} disconnected",
                time.as_secs_f64(),
                table.len(),
                self.sessions.try_borrow().map_or(0, |sessions| sessions.len()),
            )),
        );
    }

    /// Ends the sessions that another table has no place for. Says how many.
    fn end_sessions(&self, host: &dyn Host, table: &Table) -> usize {
        let doomed: Vec<(ClientHandle, Session, Refusal)> = match self.sessions.try_borrow() {
            Ok(sessions) => sessions
                .iter()
                .filter_map(|(client, session)| {
                    let reason = must_end(session.client_id().to_bytes(), session.proof(), table)?;
                    Some((client, session.clone(), reason))
                })
                .collect(),
            Err(_) => return 0,
        };
        for (client, session, reason) in &doomed {
            host.log(
                Level::Notice,
                &journal::disconnection(session.client_id().to_bytes(), *reason),
            );
            // The broker tells us that the client is gone while it is at it, so nothing is borrowed here.
            host.disconnect(session.client_id());
            self.gone(*client);
        }
        doomed.len()
    }

    /// Tells why the table in force stays.
    fn report(&self, host: &dyn Host, error: &ReloadError) {
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

/// A path as it is shown in the log.
fn shown(path: &Path) -> String {
    format!("{path:?}")
}

fn warn_of_readers(host: &dyn Host, file: &str) {
    let advice = "can be read by every user of this machine (chmod o-r)";
    host.log(Level::Warning, &Line::of(format_args!("secrets_file {file} {advice}")));
}

/// Reads the file for the first time. A file that is just being written is waited for, for a second: nobody is connected
/// yet.
fn load_at_start(path: &Path) -> Result<Loaded, LoadError> {
    for _ in 0..10 {
        match registry::load(path, registry::load::MAX_ERRORS, Cancel::NEVER) {
            Err(LoadError::Changing) => thread::sleep(Duration::from_millis(100)),
            result => return result,
        }
    }
    Err(LoadError::Changing)
}

/// The time, in Unix seconds.
fn unix_now() -> UnixSeconds {
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()),
    }
}

/// Fails where a test asks for it.
#[cfg(feature = "fault-injection")]
#[allow(clippy::panic)]
fn fault(connect: &Connect<'_>) {
    if connect.client_id == Some(b"fault-injection: panic") {
        panic!("a test asked for this");
    }
}
