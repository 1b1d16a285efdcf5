//! Where does the next table come from? A thread that reads the secrets file while the broker goes on.
//!
//! The broker's thread asks ([`Reloader::request`]), looks at every event whether there is something new
//! ([`Reloader::take`], which waits for nothing), and puts it in force. Old tables are freed, and wiped, on this thread.
//!
//! The last complete content wins: what changes while it is read is read again, requests that come during a load lead to
//! one more, and a table that nobody has taken is replaced by the next good one.

use crate::registry::{
    self, Cancel, Changes, Identity, LoadError, Loaded, Table, load::MAX_ERRORS,
};
use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

/// How often a file that is being written is tried again, and how long apart.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// A table that may come into force.
#[derive(Debug)]
pub struct NewTable {
    /// The devices.
    pub table: Arc<Table>,
    /// How they differ from those of the table in force; [`registry::Device::changed`] marks the changed ones.
    pub changes: Changes,
    /// Whether every user of the machine may read the secrets.
    pub world_readable: bool,
    /// How long it took to make.
    pub time: Duration,
    /// Whether somebody asked for it; otherwise the file was seen to have changed.
    pub requested: bool,
}

/// Why the table in force stays.
#[derive(Debug)]
pub enum ReloadError {
    /// The file makes no table.
    Load(LoadError),
    /// There is no thread to read it.
    Thread(io::Error),
    /// The file holds no device, and the table in force does.
    Empty,
    /// The file's last line has no newline, and before it had one: somebody has cut it off.
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

impl From<LoadError> for ReloadError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

/// What the thread has to say.
#[derive(Debug, Default)]
pub struct News {
    /// A table that may come into force.
    pub table: Option<NewTable>,
    /// What went wrong since the last news, newest last. Bounded: a broker that has no time to look must not pay for it.
    pub errors: Vec<ReloadError>,
}

/// The most errors that wait to be told.
const MAX_WAITING_ERRORS: usize = 8;

/// The secrets file as it is in force when the thread starts.
#[derive(Debug)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The table in force.
    pub table: Arc<Table>,
    /// Which content of the file it was made from.
    pub identity: Identity,
    /// Whether that content ends in a newline.
    pub ends_in_newline: bool,
    /// How often to look whether the file has changed.
    pub interval: Option<Duration>,
}

/// The broker's side of the thread. Dropping it calls off what the thread does, and joins it.
#[derive(Debug)]
pub struct Reloader {
    orders: Sender<Order>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    /// Load the file.
    Load,
    /// The table that was offered is in force, and this one no longer is.
    Taken(Arc<Table>),
    /// End.
    Stop,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether there is news: what the broker's thread looks at, at every event.
    fresh: AtomicBool,
    news: Mutex<News>,
    stop: AtomicBool,
}

impl Shared {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

impl Reloader {
    /// Starts the thread. Signals must be blocked while this is called: they are the broker's, and a thread that takes
    /// one keeps it from the loop that waits for it.
    ///
    /// # Errors
    ///
    /// Those of the system, when it gives no thread.
    pub fn start(source: Source) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let Source { path, table, identity, ends_in_newline, interval } = source;
        let worker = Worker {
            path,
            interval,
            ends_in_newline,
            last_seen: Some(identity),
            fresh_until: fresh_until(Some(&identity)),
            in_force: table,
            offered: None,
            shared: Arc::clone(&shared),
            orders: received,
        };
        let thread =
            thread::Builder::new().name("iotda-reload".into()).spawn(move || worker.run())?;
        Ok(Self { orders, shared, thread: Some(thread) })
    }

    /// Asks for the file to be loaded.
    ///
    /// # Errors
    ///
    /// [`ReloadError::Thread`], if the thread has ended, which it does only by a fault.
    pub fn request(&self) -> Result<(), ReloadError> {
        self.orders
            .send(Order::Load)
            .map_err(|_| ReloadError::Thread(io::ErrorKind::BrokenPipe.into()))
    }

    /// What is new, if anything. Who takes a table puts it in force.
    #[must_use]
    pub fn take(&self) -> Option<News> {
        if !self.shared.fresh.load(Ordering::Relaxed) {
            return None;
        }
        // The lock is held for a few moves at a time on either side; should it be so just now, the next event will do.
        let mut news = self.shared.news.try_lock().ok()?;
        self.shared.fresh.store(false, Ordering::Relaxed);
        let news = std::mem::take(&mut *news);
        Some(news)
    }

    /// Says that a table which was taken is in force, and gives back the one before, to be freed by the thread.
    pub fn taken(&self, before: Arc<Table>) {
        let _ = self.orders.send(Order::Taken(before));
    }
}

impl Drop for Reloader {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Worker {
    path: PathBuf,
    interval: Option<Duration>,
    /// Whether the content in force, or the one offered, ends in a newline.
    ends_in_newline: bool,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    /// The table that the broker uses, as far as is known here.
    in_force: Arc<Table>,
    /// The table that was offered last, until it is known to be in force.
    offered: Option<Arc<Table>>,
    /// The content that was looked at last, good or bad; `None` if there was none.
    last_seen: Option<Identity>,
    /// Until when that content counts as just written, in Unix seconds.
    fresh_until: Option<i64>,
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
                    self.load(true);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.has_changed() {
                        self.load(false);
                    }
                }
            }
        }
    }

    fn next_order(&self) -> Result<Order, RecvTimeoutError> {
        match self.interval {
            Some(interval) => self.orders.recv_timeout(interval),
            None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// One load answers all requests that have come until it begins. Says whether the order to end was among them.
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

    /// The broker has changed tables: the one before is freed, here and now.
    fn settle(&mut self, before: Arc<Table>) {
        drop(before);
        self.catch_up();
    }

    /// Notes that the offered table is in force, unless it still waits. Says whether it does.
    fn catch_up(&mut self) -> bool {
        let waits = self.shared.news().table.is_some();
        if !waits {
            if let Some(taken) = self.offered.take() {
                self.in_force = taken;
            }
        }
        waits
    }

    fn has_changed(&mut self) -> bool {
        let now = Identity::of(&self.path);
        if now != self.last_seen {
            return true;
        }
        // Two writes within a tick of the file system's clock look alike; so what was fresh when it was read is read
        // once more when it no longer is.
        let settled = self.fresh_until.is_some_and(|end| unix_seconds() > end);
        if settled {
            self.fresh_until = None;
        }
        settled
    }

    fn load(&mut self, requested: bool) {
        let begin = Instant::now();
        match self.read() {
            Ok(loaded) => self.offer(loaded, begin, requested),
            Err(ReloadError::Load(LoadError::Cancelled)) => {}
            Err(error) => self.report(error),
        }
    }

    /// Reads the file until a content has stood still.
    fn read(&mut self) -> Result<Loaded, ReloadError> {
        let mut tries = 1;
        loop {
            let before = Identity::of(&self.path);
            let loaded = registry::load(&self.path, MAX_ERRORS, Cancel::when(&self.shared.stop));
            self.last_seen = Identity::of(&self.path);
            self.fresh_until = fresh_until(self.last_seen.as_ref());
            let moved = before != self.last_seen || matches!(loaded, Err(LoadError::Changing));
            if !moved || tries == TRIES || matches!(loaded, Err(LoadError::Cancelled)) {
                return self.accept(loaded?);
            }
            tries += 1;
            drop(loaded);
            thread::sleep(PAUSE);
        }
    }

    /// Holds a content against the table in force.
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
        let Loaded { mut table, world_readable, .. } = loaded;
        loop {
            // A table that waits is replaced, and then the one in force is still the one before it.
            let waits = self.catch_up();
            let Ok(changes) = table.compare(&self.in_force, Cancel::when(&self.shared.stop)) else {
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
                world_readable,
                time: begin.elapsed(),
                requested,
            });
            self.shared.fresh.store(true, Ordering::Relaxed);
            drop(news);
            drop(replaced);
            return;
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

/// Until when a content counts as just written: no file system's clock ticks less often than every two seconds (FAT).
fn fresh_until(identity: Option<&Identity>) -> Option<i64> {
    let end = identity?.modified().saturating_add(2);
    (unix_seconds() <= end).then_some(end)
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
            registry::load(&path, MAX_ERRORS, Cancel::NEVER).unwrap();
        let mut in_force = Arc::new(table);
        let table = Arc::clone(&in_force);
        let source =
            Source { path: path.clone(), table, identity, ends_in_newline, interval: None };
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
