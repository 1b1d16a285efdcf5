//! Where does the next table come from? A thread that reads the secrets file while the broker goes on.
//!
//! The broker's thread asks for a load ([`Reloader::request`]), checks at every event for a result ([`Reloader::take`],
//! which never waits), and puts it in force. Old tables are wiped and freed on the reloader's thread.
//!
//! The last complete content wins: a file that changes while it is read is read again, requests that come during a load lead
//! to one more load, and a table that was not taken yet is replaced by the next good one.
//!
//! A request has the file read at once. A file that was only seen to have changed may be half written, so it is read after
//! it has not changed for [`STILL`]. A file that was moved into place is complete, and is read at once.

use iotda_core::registry::{Cancel, Changes, LoadError, Table, Watch, read::MAX_ERRORS};
use iotda_files::{Configuration, Exposure, Identity, Loaded, PAUSE, TRIES, load};
use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

/// How long a file that is being written is tried again, after a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a file must not have changed before it is read without a request. This is longer than the resolution of any file
/// system's timestamps, two seconds on FAT, within which two writes look alike.
pub const STILL: Duration = Duration::from_millis(2100);

/// How often to check whether it still changes.
const GLANCE: Duration = Duration::from_millis(300);

/// After this time the log reports a load that still runs, or a file that keeps changing.
pub const LONG: Duration = Duration::from_secs(30);

/// A table that may come into force.
#[derive(Debug)]
pub struct NewTable {
    /// The devices.
    pub table: Arc<Table>,
    /// How they differ from the table in force; [`Device::changed`](iotda_core::registry::Device::changed) marks the changed
    /// ones.
    pub changes: Changes,
    /// Who else may read or change the secrets.
    pub exposure: Exposure,
    /// How long it took to make.
    pub time: Duration,
    /// Whether it was requested; otherwise the file was seen to have changed.
    pub requested: bool,
}

/// Why the table in force stays.
#[derive(Debug)]
pub enum ReloadError {
    /// The file has errors or cannot be read.
    Load(LoadError),
    /// There is no thread to read it.
    Thread(io::Error),
    /// The file holds no device, and the table in force does.
    Empty,
    /// The file's last line has no newline, but had one before: the file was probably cut off.
    CutOff,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "no thread to read it: {error}"),
            Self::Empty => f.write_str("expected devices, as before, found none"),
            Self::CutOff => {
                f.write_str("expected a newline behind the last line, as before, found none: is the file cut off?")
            }
        }
    }
}

/// Its text includes the cause's text, so `source` returns nothing.
impl std::error::Error for ReloadError {}

impl From<LoadError> for ReloadError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

/// What the thread has to report.
#[derive(Debug, Default)]
pub struct News {
    /// A table that may come into force.
    pub table: Option<NewTable>,
    /// What went wrong since the last report, newest last. Bounded, in case the broker does not look for long.
    pub errors: Vec<ReloadError>,
    /// A file of the broker's configuration that has changed since the last report, or since the start.
    pub configuration: Option<PathBuf>,
}

/// The most errors that wait to be reported.
const MAX_WAITING_ERRORS: usize = 8;

/// The secrets file and its table when the thread starts.
#[derive(Debug)]
pub struct Source {
    /// The path of the secrets file.
    pub path: PathBuf,
    /// The table in force.
    pub table: Arc<Table>,
    /// The content that the table was made from.
    pub identity: Identity,
    /// Whether that content ends in a newline.
    pub ends_in_newline: bool,
    /// The broker's configuration at the start.
    pub configuration: Configuration,
    /// How often to check whether the file has changed; `None` for never.
    pub interval: Option<Duration>,
}

/// The broker's side of the thread. Dropping it cancels the thread's work, and waits for its end; [`Reloader::stop`] waits
/// only for a limited time.
#[derive(Debug)]
pub struct Reloader {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    /// The broker's thread requests a load.
    Load,
    /// The table that was offered is in force; this is the previous one, to be freed.
    Taken(Arc<Table>),
    /// The thread must end.
    Stop,
}

#[derive(Debug)]
struct Shared {
    /// Whether there is a report. The broker's thread checks this at every event.
    fresh: AtomicBool,
    news: Mutex<News>,
    watch: Watch,
    started: Instant,
    /// Since when the thread has been reading the file, in milliseconds from the start and at least 1; 0 while it is not
    /// reading, and after the log has reported that it takes long.
    at_the_file: AtomicU64,
    /// Whether the thread has ended. A channel would also do, but it leaves data behind on the waiting thread.
    has_ended: Mutex<bool>,
    end: Condvar,
}

/// Reports the thread's end, also after a panic.
struct AtEnd(Arc<Shared>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        *self.0.has_ended.lock().unwrap_or_else(|poison| poison.into_inner()) = true;
        self.0.end.notify_all();
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            fresh: AtomicBool::new(false),
            news: Mutex::default(),
            watch: Watch::default(),
            started: Instant::now(),
            at_the_file: AtomicU64::new(0),
            has_ended: Mutex::new(false),
            end: Condvar::new(),
        }
    }

    /// Calls a function that may take as long as a disk or a network takes.
    fn at_the_file<T>(&self, work: impl FnOnce(Cancel<'_>) -> T) -> T {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_the_file.store(now.saturating_add(1), Ordering::Relaxed);
        let result = work(Cancel::when(&self.watch));
        self.at_the_file.store(0, Ordering::Relaxed);
        result
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

impl Reloader {
    /// Starts the thread. Signals must be blocked while this is called: a signal that the thread receives would not reach
    /// the broker's loop.
    ///
    /// # Errors
    ///
    /// The system's error, if it cannot start a thread.
    pub fn start(source: Source) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let shared = Arc::new(Shared::new());
        let Source { path, table, identity, ends_in_newline, configuration, interval } = source;
        let worker = Worker {
            path,
            interval,
            ends_in_newline,
            configuration,
            last_read: Some(identity),
            look_again: look_again(&identity),
            moving: None,
            last_error: None,
            in_force: table,
            offered: None,
            shared: Arc::clone(&shared),
            orders: received,
        };
        let at_end = AtEnd(Arc::clone(&shared));
        let run = move || {
            // The last to go.
            let _at_end = at_end;
            worker.run();
        };
        let thread = thread::Builder::new().name("iotda-reload".into()).spawn(run)?;
        Ok(Self { orders, shared, thread: Some(thread) })
    }

    /// Asks for the file to be loaded.
    ///
    /// # Errors
    ///
    /// [`ReloadError::Thread`], if the thread has ended, which happens only by a fault.
    pub fn request(&self) -> Result<(), ReloadError> {
        self.orders
            .send(Order::Load)
            .map_err(|_| ReloadError::Thread(io::ErrorKind::BrokenPipe.into()))
    }

    /// The report, if there is one. The caller must put a table that it takes in force.
    #[must_use]
    pub fn take(&self) -> Option<News> {
        if !self.shared.fresh.load(Ordering::Relaxed) {
            return None;
        }
        // Both sides hold the lock only briefly. If it is held just now, the next event is soon enough.
        let mut news = self.shared.news.try_lock().ok()?;
        self.shared.fresh.store(false, Ordering::Relaxed);
        let news = std::mem::take(&mut *news);
        Some(news)
    }

    /// Tells the thread that the taken table is in force, and passes the previous one to it, to be freed there.
    pub fn taken(&self, before: Arc<Table>) {
        let _ = self.orders.send(Order::Taken(before));
    }
}

impl Reloader {
    /// Whether the thread has been reading the file for longer than [`LONG`]; true only once for each load.
    #[must_use]
    pub fn takes_long(&self) -> bool {
        let since = self.shared.at_the_file.load(Ordering::Relaxed);
        let long = || {
            let begin = self.shared.started.checked_add(Duration::from_millis(since));
            begin.is_some_and(|begin| begin.elapsed() >= LONG)
        };
        // The next load may have begun meanwhile.
        let told = |from| {
            let (set, order) = (0, Ordering::Relaxed);
            self.shared.at_the_file.compare_exchange(from, set, order, order).is_ok()
        };
        since != 0 && long() && told(since)
    }

    /// Cancels the thread's work, waits a limited time for its end, and returns whether it has ended. A file that does not
    /// answer can hold the thread for any time. A caller that goes on while the thread runs must keep the thread's code in
    /// memory.
    #[must_use]
    pub fn stop(mut self, patience: Duration) -> bool {
        self.call_off();
        let has_ended = self.shared.has_ended.lock().unwrap_or_else(|poison| poison.into_inner());
        let waited = self.shared.end.wait_timeout_while(has_ended, patience, |ended| !*ended);
        let has_ended = waited.map_or_else(|poison| *poison.into_inner().0, |(ended, _)| *ended);
        if !has_ended {
            self.thread = None;
        }
        has_ended
    }

    fn call_off(&self) {
        self.shared.watch.call_off();
        let _ = self.orders.send(Order::Stop);
    }
}

impl Drop for Reloader {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.call_off();
            let _ = thread.join();
        }
    }
}

/// The state of the thread that reads the file.
struct Worker {
    path: PathBuf,
    interval: Option<Duration>,
    /// Whether the content in force, or the one offered, ends in a newline.
    ends_in_newline: bool,
    /// The broker's configuration as it was reported last.
    configuration: Configuration,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    /// The table that the broker uses, as far as the thread knows.
    in_force: Arc<Table>,
    /// The table that was offered last, until it is known to be in force.
    offered: Option<Arc<Table>>,
    /// The content that was read last, good or bad; `None` if there was none.
    last_read: Option<Identity>,
    /// When to read that content once more: two writes within a tick of the file system's clock look alike.
    look_again: Option<Instant>,
    /// The content that was seen since then, and may not be complete yet.
    moving: Option<Moving>,
    /// What was wrong with the content that was read last, as reported.
    last_error: Option<String>,
}

/// A file that has changed since it was read.
struct Moving {
    /// Its content when it was looked at last; `None` if there was none.
    identity: Option<Identity>,
    /// Since when it has that content.
    since: Instant,
    /// Since when it keeps changing; `None` once that was reported.
    untold: Option<Instant>,
}

/// Why a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It was requested.
    Request,
    /// Another file is in its place.
    Moved,
    /// It has changed, and no longer changes.
    Still,
    /// It may have changed within the resolution of its timestamp.
    Again,
}

impl Worker {
    fn run(mut self) {
        loop {
            match self.next_order() {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Order::Taken(before)) => self.settle(before),
                Ok(Order::Load) => {
                    if self.drop_repeated_orders() {
                        return;
                    }
                    self.load(Why::Request);
                    self.look_at_the_configuration();
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(why) = self.look() {
                        self.load(why);
                    }
                }
            }
        }
    }

    fn next_order(&self) -> Result<Order, RecvTimeoutError> {
        match self.interval {
            Some(interval) if self.moving.is_none() && self.look_again.is_none() => {
                self.orders.recv_timeout(interval)
            }
            Some(interval) => self.orders.recv_timeout(interval.min(GLANCE)),
            None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Takes all requests that wait: one load answers them all. Returns whether the order to end was among them.
    fn drop_repeated_orders(&mut self) -> bool {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Load => {}
                Order::Taken(before) => self.settle(before),
                Order::Stop => return true,
            }
        }
        false
    }

    /// The broker has changed tables: the previous one is freed here and now.
    fn settle(&mut self, before: Arc<Table>) {
        drop(before);
        self.catch_up();
    }

    /// Notes that the offered table is in force, unless it still waits. Returns whether it still waits.
    fn catch_up(&mut self) -> bool {
        let waits = self.shared.news().table.is_some();
        if !waits {
            if let Some(taken) = self.offered.take() {
                self.in_force = taken;
            }
        }
        waits
    }

    /// Checks the file without a request. Returns why it should be read, if it should.
    fn look(&mut self) -> Option<Why> {
        let now = self.shared.at_the_file(|_| Identity::of(&self.path));
        if now == self.last_read {
            self.moving = None;
            return self.look_again.is_some_and(|at| Instant::now() >= at).then_some(Why::Again);
        }
        let before = self.moving.take();
        let (known, untold) = match &before {
            Some(moving) => (moving.identity, moving.untold),
            None => (self.last_read, Some(Instant::now())),
        };
        let since = match &before {
            Some(moving) if now == known => moving.since,
            _ => Instant::now(),
        };
        let moving = self.moving.insert(Moving { identity: now, since, untold });
        let is_same_file = match (&now, &known) {
            (Some(now), Some(known)) => now.is_same_file(known),
            // It may be gone only for a moment.
            (found, _) => found.is_none(),
        };
        if !is_same_file {
            return Some(Why::Moved);
        }
        if moving.since.elapsed() >= STILL {
            return Some(Why::Still);
        }
        if moving.untold.is_some_and(|since| since.elapsed() >= LONG) {
            moving.untold = None;
            self.report(LoadError::Changing.into());
        }
        None
    }

    fn load(&mut self, why: Why) {
        let begin = Instant::now();
        let loaded = match self.read(why) {
            Err(ReloadError::Load(LoadError::Cancelled)) => return,
            // A file that is being written, or not complete yet, is read after it no longer changes.
            Err(ReloadError::Load(LoadError::Changing)) if why != Why::Request => {
                if let Some(moving) = &mut self.moving {
                    moving.since = Instant::now();
                }
                return;
            }
            Err(_) if why == Why::Moved => return,
            result => result,
        };
        self.moving = None;
        match loaded {
            Ok(mut loaded) => {
                self.last_error = None;
                if why != Why::Again || self.is_news(&mut loaded) {
                    self.offer(loaded, begin, why == Why::Request);
                }
            }
            Err(error) => {
                // The whole report counts, line numbers included.
                let told = Some(format!("{error:?}"));
                if why != Why::Again || told != self.last_error {
                    self.report(error);
                }
                self.last_error = told;
            }
        }
    }

    /// Whether a content differs from the one that was offered last or is in force.
    fn is_news(&self, loaded: &mut Loaded) -> bool {
        let known = self.offered.as_ref().unwrap_or(&self.in_force);
        let changes = loaded.table.compare(known, Cancel::when(&self.shared.watch));
        changes.is_ok_and(|changes| changes != Changes::default())
    }

    /// Reads the file. After a request, it is tried again until the content does not change, for a limited time.
    fn read(&mut self, why: Why) -> Result<Loaded, ReloadError> {
        let begin = Instant::now();
        let mut tries = 1;
        loop {
            let (before, loaded, after) = self.shared.at_the_file(|cancel| {
                let before = Identity::of(&self.path);
                (before, load(&self.path, MAX_ERRORS, cancel), Identity::of(&self.path))
            });
            let moves = before != after || matches!(loaded, Err(LoadError::Changing));
            let ends = tries >= TRIES && begin.elapsed() >= PATIENCE
                || matches!(loaded, Err(LoadError::Cancelled));
            if !moves || why != Why::Request || ends {
                let identity = loaded.as_ref().map_or(before, |loaded| Some(loaded.identity));
                let result = loaded.map_err(ReloadError::from).and_then(|new| self.accept(new));
                // An incomplete file is checked again after it no longer changes, and so is one that has changed since.
                let is_done = result.is_ok() || why != Why::Moved && !moves || ends;
                if is_done {
                    self.last_read = identity;
                    let is_first = why != Why::Again;
                    self.look_again = identity.as_ref().filter(|_| is_first).and_then(look_again);
                }
                return result;
            }
            tries += 1;
            drop(loaded);
            thread::sleep(PAUSE);
        }
    }

    /// Compares a content with the table in force.
    fn accept(&mut self, loaded: Loaded) -> Result<Loaded, ReloadError> {
        if loaded.table.is_empty() && !self.in_force.is_empty() {
            return Err(ReloadError::Empty);
        }
        if self.ends_in_newline && !loaded.ends_in_newline {
            return Err(ReloadError::CutOff);
        }
        self.ends_in_newline = loaded.ends_in_newline;
        Ok(loaded)
    }

    /// Compares a table with the one in force, and offers it.
    fn offer(&mut self, loaded: Loaded, begin: Instant, requested: bool) {
        let Loaded { mut table, exposure, .. } = loaded;
        loop {
            // A table that still waits is replaced, and then the table in force has not changed.
            let waits = self.catch_up();
            let Ok(changes) = table.compare(&self.in_force, Cancel::when(&self.shared.watch))
            else {
                return;
            };
            let mut news = self.shared.news();
            if news.table.is_some() != waits {
                continue;
            }
            let table = Arc::new(table);
            self.offered = Some(Arc::clone(&table));
            let replaced = news.table.replace(NewTable {
                table,
                changes,
                exposure,
                time: begin.elapsed(),
                requested,
            });
            self.shared.fresh.store(true, Ordering::Relaxed);
            drop(news);
            drop(replaced);
            return;
        }
    }

    /// Reports a change of the broker's configuration, whose plugin options are read at the start only. After a request, the
    /// operator may think otherwise.
    fn look_at_the_configuration(&mut self) {
        let now = self.shared.at_the_file(|_| Configuration::current());
        if let Some(changed) = now.changed_since(&self.configuration) {
            self.configuration = now;
            self.shared.news().configuration = Some(changed);
            self.shared.fresh.store(true, Ordering::Relaxed);
        }
    }

    fn report(&self, error: ReloadError) {
        let mut news = self.shared.news();
        if news.errors.len() == MAX_WAITING_ERRORS {
            news.errors.remove(0);
        }
        news.errors.push(error);
        self.shared.fresh.store(true, Ordering::Relaxed);
    }
}

/// When to read a content once more, if it was just written.
fn look_again(identity: &Identity) -> Option<Instant> {
    let is_fresh = unix_seconds() <= identity.modified().saturating_add(2);
    is_fresh.then(|| Instant::now().checked_add(STILL)).flatten()
}

/// Seconds since 1970, for comparing with what files say.
fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs, os::unix::fs::PermissionsExt, process};

    fn wait<T>(mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(value) = ask() {
                return value;
            }
            assert!(Instant::now() < deadline, "nothing comes");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn no_table_stays_in_memory_that_is_not_in_force() {
        let path = env::temp_dir().join(format!("iotda-reloader-{}", process::id()));
        fs::write(&path, "lamp:5f2b9c0e7d\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let Loaded { table, identity, ends_in_newline, .. } =
            load(&path, MAX_ERRORS, Cancel::NEVER).unwrap();
        let mut in_force = Arc::new(table);
        let table = Arc::clone(&in_force);
        let configuration = Configuration::default();
        let path_too = path.clone();
        let source = Source {
            path: path_too,
            table,
            identity,
            ends_in_newline,
            configuration,
            interval: None,
        };
        let reloader = Reloader::start(source).unwrap();
        for _ in 0..3 {
            reloader.request().unwrap();
            let new = wait(|| reloader.take()?.table).table;
            let before = std::mem::replace(&mut in_force, new);
            let weak = Arc::downgrade(&before);
            reloader.taken(before);
            wait(|| (weak.strong_count() == 0).then_some(()));
        }
        fs::remove_file(&path).unwrap();
    }
}
