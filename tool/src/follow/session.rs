//! What happens on one connection: the table is read, then followed.

use super::{
    database::{Database, SLOT_PATIENCE, Shape, Slot, Trouble},
    dsn::Target,
    journal::{Journal, Level, now},
    output::{Moment, NotPublished, Output},
    pace::{Attempts, Pace},
    rows::{Reader, Rows},
    sql::TableName,
    status::{Facts, State, Status},
    table::Table,
    tls::Tls,
    watchdog,
};
use crate::terminal::shown;
use futures_util::pin_mut;
use std::{
    cell::{RefCell, RefMut},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio_postgres::types::PgLsn;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) table: TableName,
    pub(crate) publication: String,
    /// How long an answer of the database may take.
    pub(crate) patience: Duration,
    pub(crate) snapshot_interval: Duration,
    pub(crate) only_snapshots: bool,
    /// Publish from a server whose history ends before the file's.
    pub(crate) accept_older: bool,
    /// Read the table once.
    pub(crate) once: bool,
}

/// What is followed, and how far.
pub(crate) struct Followed {
    settings: Settings,
    pub(crate) journal: Journal,
    rows: Rows,
    output: Output,
    /// Written at the same time by who keeps it fresh.
    status: Rc<RefCell<Status>>,
    pace: Pace,
    /// Why the file could not be written the last time that it was tried.
    unwritten: Option<String>,
    /// When the log last told that the file was written, and how often it has been since.
    told: Option<Instant>,
    published: u64,
    is_ready: bool,
}

/// How long a change that the feed does not tell of may stay unseen, while there are others.
const LOOK: Duration = Duration::from_secs(1);

/// How often a change feed is tried again that the server could not make.
const TRY_AGAIN: Duration = Duration::from_secs(600);

/// How often it is looked, between two snapshots, whether there may be a change feed. The server ends a session that is idle for
/// longer than the session has asked for.
const LOOK_FOR_FEED: Duration = Duration::from_secs(30);

/// How long a new slot may wait for open transactions before that is said, and the file is kept by snapshots.
const QUIET_WAIT: Duration = Duration::from_secs(10);

/// Why the file is kept by snapshots for now.
const WAITS: &str =
    "the change feed begins when all transactions that are open in the server have ended";

/// How often the log tells at most that the file was written.
const TELL: Duration = Duration::from_secs(60);

impl Followed {
    pub(crate) fn new(
        settings: Settings,
        journal: Journal,
        table: Table,
        output: Output,
        min_interval: Duration,
        status: Option<PathBuf>,
    ) -> Self {
        let mut status = Status::new(status);
        status.facts.devices = output.devices();
        let status = Rc::new(RefCell::new(status));
        let rows = Rows::new(table);
        let pace = Pace::new(min_interval);
        Self {
            settings,
            journal,
            rows,
            output,
            status,
            pace,
            unwritten: None,
            told: None,
            published: 0,
            is_ready: false,
        }
    }

    pub(crate) fn once(&self) -> bool {
        self.settings.once
    }

    /// The status, for who keeps it fresh.
    pub(crate) fn status(&self) -> Rc<RefCell<Status>> {
        Rc::clone(&self.status)
    }

    /// What is told. Not to be kept across a wait.
    fn facts(&self) -> RefMut<'_, Facts> {
        RefMut::map(self.status.borrow_mut(), |status| &mut status.facts)
    }

    /// The database has answered.
    fn contact(&self) {
        self.status.borrow_mut().contact();
    }

    /// Says what begins. A file that is there serves until the database answers.
    pub(crate) fn begin(&mut self, database: &str) {
        let file = shown(self.output.path()).to_string();
        let (table, devices) = (&self.settings.table, self.output.devices());
        let text = match self.output.is_there() {
            true => format!("{file}: {devices} devices, from the table {table} of {database}"),
            false => {
                format!("{file}: is not there yet, comes from the table {table} of {database}")
            }
        };
        self.journal.write(Level::Info, &text);
        if self.output.is_there() {
            self.ready();
        }
        self.tell();
    }

    fn ready(&mut self) {
        if !self.is_ready {
            self.is_ready = true;
            watchdog::ready();
        }
    }

    /// Says what keeps the file from being up to date.
    pub(crate) fn trouble(&mut self, state: State, reason: &str) {
        self.facts().state = state;
        self.facts().error = Some(reason.into());
        self.tell();
    }

    /// Tells the state, and waits.
    pub(crate) async fn rest(&mut self, pause: Duration) {
        self.tell();
        tokio::time::sleep(pause).await;
    }

    /// The process ends, perhaps because it was told to.
    pub(crate) fn end(&mut self, is_told: bool) {
        watchdog::stopping();
        if is_told {
            self.journal.write(Level::Info, "ended; the file stays as it is");
        }
        let was_refused = self.facts().state == State::Refused;
        if !was_refused {
            self.facts().state = State::Ended;
        }
        self.tell_now(true);
    }

    fn tell(&mut self) {
        self.tell_now(false);
    }

    fn tell_now(&mut self, is_due: bool) {
        let mut status = self.status.borrow_mut();
        status.facts.devices = self.output.devices();
        status.facts.rows = self.rows.table.devices();
        status.facts.wrong_rows = self.rows.wrong.count();
        status.tell(self.journal, is_due);
    }

    /// Follows on one connection. Ends without trouble only if the table is to be read once.
    pub(crate) async fn session(
        &mut self,
        target: &Target,
        tls: Option<&Tls>,
        attempts: &mut Attempts,
    ) -> Result<(), Trouble> {
        self.facts().state = State::Connecting;
        self.tell();
        // What is known of the table is in the file; a new connection reads it anew.
        self.rows.clear();
        let database = self.connect(target, tls).await?;
        let server = database.server().await?;
        let moment = database.moment().await?;
        self.compare_history(&moment)?;
        let shape = database.shape().await?;
        self.contact();
        let hindrance = if self.settings.once || self.settings.only_snapshots {
            Some("as was asked for".into())
        } else if server.is_standby {
            Some("the server is a standby".into())
        } else if !server.is_logical {
            Some("the server's wal_level is not logical".into())
        } else {
            shape.hindrance(&self.settings.publication)
        };
        let may_change = hindrance.is_none();
        let slot = match hindrance {
            Some(hindrance) => Err(hindrance),
            None => self.make_slot(&database, target, tls, attempts).await?,
        };
        let version = &server.version;
        match slot {
            Ok(slot) => {
                let text = format!(
                    "{}: PostgreSQL {version}: each change is taken as it comes",
                    target.name
                );
                self.journal.write(Level::Info, &text);
                self.stream(&database, shape, &slot, attempts).await
            }
            Err(_) if self.settings.once => self.snapshot(&database, &shape).await,
            Err(reason) => {
                let seconds = self.settings.snapshot_interval.as_secs();
                let text = format!(
                    "{}: PostgreSQL {version}: the whole table is read every {seconds} s: {reason}",
                    target.name
                );
                let level = if self.settings.only_snapshots { Level::Info } else { Level::Warning };
                self.journal.write(level, &text);
                self.snapshots(&database, shape, may_change, attempts).await
            }
        }
    }

    async fn connect(&self, target: &Target, tls: Option<&Tls>) -> Result<Database, Trouble> {
        let Settings { table, publication, patience, .. } = &self.settings;
        Database::connect(target, tls, table, publication, *patience).await
    }

    /// Makes a slot, which waits until the transactions that are open now have ended. If that takes long, the file is kept by
    /// snapshots meanwhile. The inner error says why the server cannot make one.
    async fn make_slot(
        &mut self,
        database: &Database,
        target: &Target,
        tls: Option<&Tls>,
        attempts: &mut Attempts,
    ) -> Result<Result<Slot, String>, Trouble> {
        let make = database.make_slot();
        pin_mut!(make);
        let begin = Instant::now();
        let mut pause = QUIET_WAIT.min(self.settings.patience);
        let mut is_said = false;
        loop {
            if let Ok(made) = tokio::time::timeout(pause, make.as_mut()).await {
                return made;
            }
            if begin.elapsed() >= SLOT_PATIENCE {
                let seconds = SLOT_PATIENCE.as_secs();
                return Err(Trouble::Lost(format!("no change feed for {seconds} s: {WAITS}")));
            }
            if !is_said {
                self.say_what_it_waits_for();
                is_said = true;
            }
            let begin = Instant::now();
            match self.snapshot_beside(target, tls).await {
                Ok(()) => attempts.succeeded(),
                Err(Trouble::Refused(reason)) => return Err(Trouble::Refused(reason)),
                Err(Trouble::Lost(reason) | Trouble::Again(reason)) => {
                    let text = format!("{}: {reason}; the file stays as it is", target.name);
                    self.journal.write(Level::Error, &text);
                    self.facts().state = State::Connecting;
                    self.facts().error = Some(reason);
                }
            }
            // Wrong rows matter more.
            self.facts().error.get_or_insert_with(|| WAITS.into());
            self.tell();
            pause = self.settings.snapshot_interval.max(begin.elapsed() * 5);
        }
    }

    fn say_what_it_waits_for(&self) {
        let text = format!(
            "{WAITS}: SELECT pid, xact_start, state FROM pg_stat_activity WHERE backend_xid IS NOT NULL; SELECT gid, prepared \
             FROM pg_prepared_xacts. Until then the whole table is read every {} s",
            self.settings.snapshot_interval.as_secs()
        );
        self.journal.write(Level::Warning, &text);
    }

    /// Publishes a snapshot by a connection of its own. What is read by the other connection later is not older.
    async fn snapshot_beside(&mut self, target: &Target, tls: Option<&Tls>) -> Result<(), Trouble> {
        let database = self.connect(target, tls).await?;
        let shape = database.shape().await?;
        self.snapshot(&database, &shape).await?;
        self.facts().state = State::Snapshots;
        Ok(())
    }

    /// Refuses a server that lacks what is in the file already: a standby that has become the primary without the last
    /// transactions, or one that is far behind.
    fn refuse_older(&self, now: &Moment) -> Result<(), Trouble> {
        match self.output.moment() {
            Some(before) if before.server == now.server && !before.server.is_empty() => {
                self.refuse_before(before, now)
            }
            _ => Ok(()),
        }
    }

    fn refuse_before(&self, before: &Moment, now: &Moment) -> Result<(), Trouble> {
        if now.wal >= before.wal || self.settings.accept_older {
            return Ok(());
        }
        let (then, wal) = (before.wal, now.wal);
        if now.is_of_standby() {
            return Err(Trouble::Lost(format!("the standby is at WAL {wal}, the file at {then}")));
        }
        Err(Trouble::Refused(format!(
            "the server's history ends at WAL {wal}, and the file was made at {then}: the last changes are lost there, perhaps \
             in a failover. Compare the table, and then run the follower once with --once --accept-older"
        )))
    }

    /// Compares the histories of the server and the file, and says how they differ.
    fn compare_history(&self, now: &Moment) -> Result<(), Trouble> {
        let Some(before) = self.output.moment() else { return Ok(()) };
        if before.server != now.server || before.server.is_empty() {
            let text = "the file was made from another server, whose history cannot be compared";
            self.journal.write(Level::Warning, text);
            return Ok(());
        }
        self.refuse_before(before, now)?;
        if before.timeline != now.timeline
            && !before.timeline.is_empty()
            && !now.timeline.is_empty()
        {
            let text = format!(
                "the server's timeline is {}, and was {}: changes that had not been replicated before the failover are lost",
                now.timeline, before.timeline
            );
            self.journal.write(Level::Warning, &text);
        }
        Ok(())
    }

    /// Reads the table, then takes changes.
    async fn stream(
        &mut self,
        database: &Database,
        shape: Shape,
        slot: &Slot,
        attempts: &mut Attempts,
    ) -> Result<(), Trouble> {
        // A snapshot may have been published while the slot was made.
        self.refuse_older(&database.moment().await?)?;
        self.read(database, &shape).await?;
        database.mark().await?;
        // What is taken now reaches beyond the mark, and so beyond all that the table held when it was read.
        let mut position = database.flushed().await?;
        self.take(database, &shape, slot).await?;
        self.facts().state = State::Streaming;
        let mut looked = Instant::now();
        self.publish_checked(database, &shape, position).await?;
        attempts.succeeded();
        loop {
            self.tell();
            tokio::time::sleep(self.pace.wait()).await;
            let begin = Instant::now();
            let now = database.flushed().await?;
            self.contact();
            if now != position {
                if self.take(database, &shape, slot).await? {
                    self.tell_wrong();
                }
                position = now;
            }
            let is_right = self.rows.wrong.count() == 0;
            let is_stale = is_right && !self.output.holds(&self.rows.table);
            if is_stale && self.pace.may_write() {
                self.publish_checked(database, &shape, position).await?;
            } else if looked.elapsed() >= LOOK {
                self.check(database, &shape).await?;
                looked = Instant::now();
            }
            if !is_stale {
                self.facts().wal_position = Some(position.to_string());
            }
            // A change that could not be written, and was undone.
            if is_right && !is_stale && self.unwritten.is_some() {
                self.is_equal();
            }
            self.pace.has_asked(begin.elapsed());
        }
    }

    /// Takes changes into the rows; returns whether there were any.
    async fn take(
        &mut self,
        database: &Database,
        shape: &Shape,
        slot: &Slot,
    ) -> Result<bool, Trouble> {
        let mut reader = Reader::new(&mut self.rows, shape.oid());
        let taken = database.take(slot, |message| reader.message(message)).await;
        let has_changed = reader.changes > 0;
        self.tell_before_refusing(taken)?;
        if has_changed {
            self.facts().last_change = Some(now());
        }
        Ok(has_changed)
    }

    /// Whether the table is still what it was: a statement that writes it anew is not in the change feed.
    async fn check(&self, database: &Database, shape: &Shape) -> Result<(), Trouble> {
        if database.shape().await? == *shape {
            return Ok(());
        }
        Err(Trouble::Again("its definition, its publication or its storage has changed".into()))
    }

    async fn publish_checked(
        &mut self,
        database: &Database,
        shape: &Shape,
        position: PgLsn,
    ) -> Result<(), Trouble> {
        self.check(database, shape).await?;
        let moment = Moment { wal: position, ..database.moment().await? };
        self.publish(&moment)
    }

    /// Reads the table again and again. If it had a change feed but for something that may pass, that is tried again.
    async fn snapshots(
        &mut self,
        database: &Database,
        shape: Shape,
        may_change: bool,
        attempts: &mut Attempts,
    ) -> Result<(), Trouble> {
        let (mut shape, start) = (shape, Instant::now());
        let before = shape.hindrance(&self.settings.publication);
        let was_standby = database.server().await?.is_standby;
        loop {
            let begin = Instant::now();
            self.snapshot(database, &shape).await?;
            attempts.succeeded();
            self.facts().state = State::Snapshots;
            let end = Instant::now() + self.settings.snapshot_interval.max(begin.elapsed() * 5);
            loop {
                let pause = end.saturating_duration_since(Instant::now());
                self.rest(pause.min(LOOK_FOR_FEED)).await;
                shape = database.shape().await?;
                let is_standby = database.server().await?.is_standby;
                self.contact();
                let is_mended =
                    before.is_some() && shape.hindrance(&self.settings.publication).is_none();
                let is_time = may_change && start.elapsed() >= TRY_AGAIN;
                if (is_mended || is_time || was_standby && !is_standby)
                    && !self.settings.only_snapshots
                {
                    return Err(Trouble::Again("there may be a change feed of it now".into()));
                }
                if Instant::now() >= end {
                    break;
                }
            }
        }
    }

    async fn snapshot(&mut self, database: &Database, shape: &Shape) -> Result<(), Trouble> {
        // The moment before: what is read later is not older.
        let moment = database.moment().await?;
        self.refuse_older(&moment)?;
        self.read(database, shape).await?;
        if !moment.is_of_standby() {
            // What was read is on disk: a crash of the server does not undo it.
            database.mark_if_allowed().await?;
        }
        self.publish(&moment)?;
        let error = self.facts().error.clone();
        match error {
            Some(error) if self.settings.once && self.rows.wrong.count() == 0 => {
                Err(Trouble::Lost(error))
            }
            Some(error) if self.settings.once => Err(Trouble::Refused(error)),
            _ => Ok(()),
        }
    }

    async fn read(&mut self, database: &Database, shape: &Shape) -> Result<(), Trouble> {
        self.facts().state = State::Reading;
        self.tell();
        self.rows.clear();
        let rows = &mut self.rows;
        let copied = database.copy(shape, |row| rows.read(row)).await;
        self.tell_before_refusing(copied)?;
        self.contact();
        Ok(())
    }

    /// If the table is refused because of its rows, the wrong ones are told before.
    fn tell_before_refusing<T>(&mut self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if let Err(Trouble::Refused(_)) = &result {
            self.rows.wrong.tell(self.journal);
        }
        result
    }

    /// Says which rows are wrong; returns whether there are any. Without any, a file that could not be written is still not up
    /// to date.
    fn tell_wrong(&mut self) -> bool {
        let wrong = self.rows.wrong.tell(self.journal);
        let is_wrong = wrong.is_some();
        self.facts().error = wrong.or_else(|| self.unwritten.clone());
        is_wrong
    }

    /// The file is the table.
    fn is_equal(&mut self) {
        self.unwritten = None;
        self.facts().error = None;
        self.ready();
    }

    /// Makes the file equal to the table, unless it is, or a row is wrong.
    fn publish(&mut self, moment: &Moment) -> Result<(), Trouble> {
        if self.tell_wrong() {
            self.tell();
            return Ok(());
        }
        let table = &self.rows.table;
        self.facts().wal_position = Some(moment.wal.to_string());
        if self.output.holds(table) && !self.output.is_ahead_of(moment) {
            self.is_equal();
            return Ok(());
        }
        if self.output.is_tampered() {
            let file = shown(self.output.path());
            let text = format!("{file}: was changed by somebody else, and is written again");
            self.journal.write(Level::Warning, &text);
        }
        match self.output.publish(table, &self.settings.table.to_string(), moment) {
            Ok(took) => self.has_published(took),
            Err(NotPublished::Refused(reason)) => return Err(Trouble::Refused(reason)),
            Err(NotPublished::Failed(reason)) => {
                self.pace.has_failed();
                if self.unwritten.as_ref() != Some(&reason) {
                    self.journal.write(Level::Error, &reason);
                }
                self.facts().error = Some(reason.clone());
                self.unwritten = Some(reason);
            }
        }
        self.tell();
        Ok(())
    }

    fn has_published(&mut self, took: Duration) {
        let file = shown(self.output.path()).to_string();
        let devices = self.rows.table.devices();
        self.pace.has_written(took, devices);
        self.published += 1;
        // With many changes the file is written every second or so.
        if self.told.is_none_or(|told| told.elapsed() >= TELL) {
            let times = match self.published {
                1 => String::new(),
                times => format!(", {times} times since the last such line"),
            };
            let text =
                format!("{file}: {devices} devices, written in {} ms{times}", took.as_millis());
            self.journal.write(Level::Info, &text);
            self.told = Some(Instant::now());
            self.published = 0;
        }
        self.facts().last_published = Some(now());
        self.is_equal();
    }
}
