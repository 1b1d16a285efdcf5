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
        verify::{Detail, Refused},
    },
    options::{OptionError, Options},
    registry::{self, LoadError, Loaded, Table},
    sessions::{ClientHandle, Sessions},
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    time::SystemTime,
};

/// What the plugin needs of its broker.
pub trait Host {
    /// Writes a line to the broker's log.
    fn log(&self, level: Level, line: &Line);
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
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Secrets { file, error } => write!(f, "secrets_file {file}: {error}"),
        }
    }
}

impl StartError {
    /// Tells the log: what is wrong in one line, and then the wrong lines of the file.
    pub fn report(&self, host: &dyn Host) {
        host.log(Level::Error, &Line::of(format_args!("not started: {self}")));
        if let Self::Secrets { file, error: LoadError::Lines(errors) } = self {
            for (line, fault) in &errors.first {
                host.log(Level::Error, &Line::of(format_args!("{file} line {line}: {fault}")));
            }
            let untold = errors.total - errors.first.len() as u64;
            if untold > 0 {
                host.log(Level::Error, &Line::of(format_args!("{file}: and {untold} more")));
            }
        }
    }
}

/// One instance of the plugin.
#[derive(Debug)]
pub struct Plugin {
    options: Options,
    table: Table,
    keys: RefCell<HourKeys>,
    sessions: RefCell<Sessions>,
    sweep: Cell<Sweep>,
    /// Whether this broker sends TICKs at all: 2.0 does not with `per_listener_settings true`.
    ticks: Cell<bool>,
}

/// The broker's second look at all sessions, which follows a SIGHUP: RELOAD, then BASIC_AUTH for each session, then
/// TICK, and nothing else in between (`mosquitto_main_loop` in `loop.c`, 2.0 and 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sweep {
    No,
    Running,
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
        let file = format!("{:?}", options.secrets_file);
        let Loaded { table, world_readable } =
            registry::load(&options.secrets_file, registry::load::MAX_ERRORS)
                .map_err(|error| StartError::Secrets { file: file.clone(), error })?;
        if world_readable {
            let advice = "can be read by every user of this machine (chmod o-r)";
            host.log(Level::Warning, &Line::of(format_args!("secrets_file {file} {advice}")));
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
        Ok(Self {
            options,
            table,
            keys: RefCell::default(),
            sessions: RefCell::default(),
            sweep: Cell::new(Sweep::No),
            ticks: Cell::new(false),
        })
    }

    /// Answers a login.
    pub fn login(&self, host: &dyn Host, login: &Login<'_>) -> Answer {
        #[cfg(feature = "fault-injection")]
        fault(&login.connect);

        let Some(occasion) = self.occasion(login) else { return Answer::Accept };
        let now = unix_now();
        let verdict = {
            // The keys only save time: should they be in use, which they never are, the login pays for its own.
            let mut spare = HourKeys::default();
            let mut kept = self.keys.try_borrow_mut();
            let keys = kept.as_deref_mut().unwrap_or(&mut spare);
            verify(&login.connect, &self.table, &self.options.policy, now, occasion, keys)
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
    pub fn reload(&self) {
        self.sweep.set(Sweep::Running);
    }

    /// The broker has a moment.
    pub fn tick(&self) {
        self.sweep.set(Sweep::No);
        self.ticks.set(true);
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
        let Connect { client_id, password, .. } = login.connect;
        let known = self.sessions.try_borrow().is_ok_and(|sessions| {
            sessions.holds(
                login.client,
                client_id.unwrap_or_default(),
                password.unwrap_or_default(),
            )
        });
        if known {
            return None;
        }
        // Without an address there is no connection: every socket has one, a Unix socket its path.
        if login.address.is_none() && password.is_none() && login.protocol_version == 0 {
            return Some(Occasion::Restored);
        }
        // A session that is offline and waits for its device. Where no TICK tells that the sweep is over, it must have
        // subscriptions to be told from a CONNECT that comes after it.
        if self.ticks.get() || login.subscriptions > 0 {
            return Some(Occasion::Recheck);
        }
        Some(Occasion::Connect)
    }

    fn remember(&self, login: &Login<'_>) {
        let Connect { client_id, password, .. } = login.connect;
        if let Ok(mut sessions) = self.sessions.try_borrow_mut() {
            sessions.remember(
                login.client,
                client_id.unwrap_or_default(),
                password.unwrap_or_default(),
            );
        }
    }
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
