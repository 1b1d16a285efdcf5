//! What happens now? The one place with side effects: the clock, the log, the table in force, who is logged in.
//!
//! Everything here runs on the broker's only thread. Nothing waits, and every method takes `&self`: the broker may call
//! back while one of them calls the broker, so no borrow is held across such a call.

pub mod asked;
mod downstream;
mod logins;
mod stack;
mod stats;
mod tables;

pub use asked::Asked;

use crate::{
    counters::Counters,
    limiter::Limiter,
    reloader::{ReloadError, Reloader},
    sessions::{ClientHandle, Sessions},
    subscriptions::Subscriptions,
};
use downstream::Downstream;
use iotda_core::{
    log::{Acceptance, Count, Line, LogBudget, Origin},
    login::{Connect, HourKeys, Refusal},
    options::{OptionError, Options, SessionId},
    registry::{LoadError, Table},
};
use iotda_files::Loaded;
use stats::Stats;
use std::{
    cell::{Cell, RefCell},
    ffi::CStr,
    fmt, io,
    sync::Arc,
    time::{Instant, SystemTime},
};
use tables::{AtStart, Ending, Reloading, load_at_start, report_lines, shown, warn_of};

/// What the plugin needs of its broker.
pub trait Host {
    /// Writes a line to the broker's log.
    fn log(&self, level: Level, line: &Line);

    /// Has the broker write a line at DEBUG, if its log has those.
    fn log_acceptance(&self, acceptance: Acceptance<'_>);

    /// Ends the connection of a client, with its will (as if the connection had broken) or without. The broker may report
    /// that the client is gone before this returns. Returns whether there was a client with this id.
    fn disconnect(&self, client_id: &CStr, with_will: bool) -> bool;

    /// Publishes a retained message of the broker's own, at QoS 0.
    fn publish(&self, topic: &CStr, payload: &[u8]);

    /// Whether a plugin can subscribe sessions: since 2.1.
    fn subscribes_sessions(&self) -> bool;

    /// Subscribes a session to a filter, at QoS 0.
    fn subscribe(&self, session_id: &CStr, filter: &CStr);

    /// Unsubscribes a session from a filter.
    fn unsubscribe(&self, session_id: &CStr, filter: &CStr);

    /// Whether the broker has a session of this id. Only 2.1 and later can tell.
    fn has_session(&self, session_id: &CStr) -> bool;

    /// How many filters a connected client has subscribed to. The broker must not have reported the client as gone.
    fn subscription_count(&self, client: ClientHandle) -> usize;

    /// Sends a message to a session, at QoS 0, in the broker's next turn.
    fn send(&self, session_id: &CStr, topic: &CStr, payload: &[u8]);

    /// Whether the broker can know a session by another name than its ClientId: since 2.1.
    fn names_sessions(&self) -> bool;

    /// Calls a function with all signals blocked, so that a thread which it starts does not receive the broker's signals.
    fn with_signals_blocked(&self, call: &mut dyn FnMut());

    /// Keeps the library in memory until the process ends, because a thread is left running in its code.
    fn stay_loaded(&self);

    /// The user id that the broker runs as.
    fn user(&self) -> u32;
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The broker or the operator must act.
    Error,
    /// Something that the operator should fix.
    Warning,
    /// A refused login.
    Notice,
    /// Something that the plugin did.
    Info,
    /// For developers.
    Debug,
}

/// A question of the broker about a login.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Why the broker asks, as far as facts about the client prove it.
    pub asked: Asked,
    /// The broker's handle of the connection.
    pub client: ClientHandle,
    /// The fields of the CONNECT and the client's certificate.
    pub connect: Connect<'a>,
    /// Where it comes from.
    pub origin: Origin<'a>,
    /// The MQTT version that the connection speaks: 3, 4 or 5; 0 for a session that was restored from the persistence
    /// file and has not been connected since.
    pub protocol_version: i32,
}

/// A client that the broker has let in, at an event that is not a login.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// The broker's handle of the connection.
    pub client: ClientHandle,
    /// The name of its session: its ClientId, or the device id with `session_id device`.
    pub client_id: Option<&'a [u8]>,
    /// The user name; `None` if it has none.
    pub username: Option<&'a [u8]>,
    /// Where it comes from.
    pub origin: Origin<'a>,
}

/// The answer to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The device may log in, or stay.
    Accept {
        /// The session's name, if it is not the ClientId.
        session_id: Option<&'a [u8]>,
    },
    /// Other plugins and the password file decide.
    Defer,
    /// The CONNECT is refused.
    Refuse(Refusal),
    /// A session that is checked again must end. It has had its CONNACK long ago.
    End,
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
        /// Whether it was given as a relative path.
        is_relative: bool,
        /// What is wrong with it.
        error: LoadError,
    },
    /// The thread that reads the file could not be started.
    Thread(io::Error),
    /// `session_id device` with a broker that cannot do that.
    SessionId,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Secrets { file, is_relative, error } => {
                write!(f, "secrets_file {file}: {error}")?;
                f.write_str(if *is_relative { RELATIVE } else { "" })
            }
            Self::Thread(error) => write!(f, "no thread for plugin_opt_reload_interval: {error}"),
            Self::SessionId => f.write_str(
                "plugin_opt_session_id: device is for Mosquitto 2.1 and later, found an earlier one, expected client: \
                 it has no mosquitto_set_clientid",
            ),
        }
    }
}

/// What is added to the error of a file whose path is relative.
const RELATIVE: &str =
    "; plugin_opt_secrets_file is relative to the folder that the broker was started in";

/// Its text includes the cause's text, so `source` returns nothing.
impl std::error::Error for StartError {}

impl StartError {
    /// Logs one line that says what is wrong, and then the wrong lines of the file.
    pub fn report(&self, host: &dyn Host) {
        host.log(Level::Error, &Line::of(format_args!("not started: {self}")));
        if let Self::Secrets { file, error: LoadError::Lines(errors), .. } = self {
            report_lines(host, file, errors);
        }
    }
}

/// The options that the operator has given and that differ from their defaults, in their order and words; [`Options::parse`]
/// has accepted them. The secrets file has a separate line.
struct InForce<'a>(&'a [(&'a str, &'a str)]);

impl fmt::Display for InForce<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut others =
            self.0.iter().filter(|(name, value)| Options::differs(name, value)).peekable();
        if others.peek().is_none() {
            return f.write_str("the defaults");
        }
        others.try_for_each(|(name, value)| write!(f, "{name}={} ", value.trim()))?;
        f.write_str("else the defaults")
    }
}

/// One instance of the plugin.
#[derive(Debug)]
pub struct Plugin {
    options: Options,
    table: RefCell<Arc<Table>>,
    keys: RefCell<HourKeys>,
    sessions: RefCell<Sessions>,
    /// Whether the broker is known to be checking its sessions again: from the RELOAD or the first session that it asked
    /// about to the next CONNECT or TICK.
    sweep_is_known: Cell<bool>,
    /// Whether the log has been told that another plugin keeps RELOAD from us.
    missed_reload_told: Cell<bool>,
    /// Whether the log has been told that the broker lets devices' ClientIds in without asking.
    unasked_told: Cell<bool>,
    /// A client that was accepted and that the broker, a 2.1, has not let in yet.
    awaited: Cell<Option<ClientHandle>>,
    /// The minute since the start in which the last client was told that the broker turned away, and how many were in it.
    turned_away_told: Cell<(u64, u32)>,
    /// Whether the log has been told that another instance serves the same listener.
    second_told: Cell<bool>,
    /// The sessions that are being checked against a new table.
    ending: RefCell<Option<Ending>>,
    /// When the broker sent its last TICK, by the wall clock.
    last_tick: Cell<Option<SystemTime>>,
    /// Whether the log has been told that the broker replaces ClientIds.
    trap_told: Cell<bool>,
    reloader: RefCell<Reloading>,
    counters: Counters,
    log_budget: RefCell<LogBudget>,
    limiter: RefCell<Option<Limiter>>,
    subscriptions: RefCell<Subscriptions>,
    downstream: RefCell<Downstream>,
    stats: RefCell<Stats>,
    /// When the plugin started: all counts of time start here.
    started: Instant,
    /// When the table came into force.
    table_since: Cell<Instant>,
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
        let given: Vec<_> = options.into_iter().collect();
        let mut options = Options::parse(given.iter().copied()).map_err(StartError::Options)?;
        if options.session_id == SessionId::Device && !host.names_sessions() {
            return Err(StartError::SessionId);
        }
        // Every message says which file is meant.
        let is_relative = options.secrets_file.is_relative();
        if let Ok(absolute) = std::path::absolute(&options.secrets_file) {
            options.secrets_file = absolute;
        }
        let file = shown(&options.secrets_file);
        let AtStart { loaded, configuration } = load_at_start(host, &options.secrets_file)
            .map_err(|error| StartError::Secrets { file: file.clone(), is_relative, error })?;
        if is_relative {
            host.log(
                Level::Warning,
                &Line::of(format_args!(
                    "plugin_opt_secrets_file is relative to the folder that the broker was started in, so it is {file}: better \
                     give this whole path"
                )),
            );
        }
        warn_of(host, &file, &loaded.warnings(Some(host.user())));
        let Loaded { table, ends_in_newline, identity, .. } = loaded;
        let (version, devices) = (iotda_core::VERSION, Count(table.len(), "device"));
        host.log(Level::Info, &Line::of(format_args!("version {version}, {devices} from {file}")));
        host.log(Level::Info, &Line::of(format_args!("options: {}", InForce(&given))));
        let now = Instant::now();
        let sessions = Sessions::new(options.session_id, options.one_connection);
        let plugin = Self {
            sessions: RefCell::new(sessions),
            limiter: RefCell::new(options.failure_limit.map(Limiter::new)),
            counters: Counters::default(),
            subscriptions: RefCell::default(),
            downstream: RefCell::default(),
            log_budget: RefCell::default(),
            stats: RefCell::default(),
            started: now,
            table_since: Cell::new(now),
            options,
            table: RefCell::new(Arc::new(table)),
            keys: RefCell::default(),
            sweep_is_known: Cell::new(false),
            missed_reload_told: Cell::new(false),
            unasked_told: Cell::new(false),
            awaited: Cell::new(None),
            turned_away_told: Cell::new((0, 0)),
            second_told: Cell::new(false),
            ending: RefCell::default(),
            last_tick: Cell::new(None),
            trap_told: Cell::new(false),
            reloader: RefCell::new(Reloading::of(identity, ends_in_newline, configuration)),
        };
        if plugin.options.reload_interval.is_some() {
            plugin.with_reloader(host, |_| ()).map_err(StartError::Thread)?;
        }
        Ok(plugin)
    }

    /// What the operator asked for.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The broker was told to reload, and will now ask about every session again.
    ///
    /// No table comes into force here, and nobody is disconnected: 2.0 has removed its ACLs before it sends RELOAD
    /// (`mosquitto_security_cleanup` in `security_default.c`), so a will that is published now would pass every ACL.
    pub fn reload(&self, host: &dyn Host) {
        self.tell_counters(host);
        self.sweep_is_known.set(true);
        self.ask_for_the_file(host);
    }

    /// A TICK: periodic work.
    pub fn tick(&self, host: &dyn Host) {
        self.sweep_is_known.set(false);
        self.awaited.set(None);
        self.last_tick.set(Some(SystemTime::now()));
        self.look_for_news(host);
        self.end_of_minute(host);
        self.publish_stats(host);
        self.go_on_subscribing(host);
    }

    /// Requests that the file be read.
    fn ask_for_the_file(&self, host: &dyn Host) {
        let requested = self.with_reloader(host, Reloader::request);
        if let Err(error) = requested.map_err(ReloadError::Thread).and_then(|requested| requested) {
            self.report(host, &error);
        }
    }

    /// The broker ends.
    pub fn stop(&self, host: &dyn Host) {
        let left_out =
            self.log_budget.try_borrow_mut().ok().and_then(|mut log_budget| log_budget.end());
        self.tell_left_out(host, left_out);
        self.tell_counters(host);
        self.end_reloader(host);
    }

    /// A client is gone. Returns whether it had logged in here.
    pub fn gone(&self, client: ClientHandle) -> bool {
        self.sessions.try_borrow_mut().is_ok_and(|mut sessions| sessions.forget(client))
    }
}
