//! What happens on one connection: the table is read, then followed.

use super::{
    database::{Database, Shape, Slot, Trouble},
    dsn::Target,
    journal::{Journal, Level, now},
    output::{Moment, NotPublished, Output},
    pace::{Attempts, Pace},
    rows::{Reader, Rows},
    sql::TableName,
    status::{State, Status},
    table::Table,
    tls::Tls,
    watchdog,
};
use crate::terminal::shown;
use std::{
    path::PathBuf,
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
    status: Status,
    pace: Pace,
    /// The failure to write a file that was told last.
    failure: Option<String>,
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
        let rows = Rows::new(table);
        let pace = Pace::new(min_interval);
        Self {
            settings,
            journal,
            rows,
            output,
            status,
            pace,
            failure: None,
            unwritten: None,
            told: None,
            published: 0,
            is_ready: false,
        }
    }

    pub(crate) fn once(&self) -> bool {
        self.settings.once
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
        self.status.facts.state = state;
        self.status.facts.error = Some(reason.into());
        self.tell();
    }

    /// Waits, and keeps the status file fresh.
    pub(crate) async fn rest(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            self.tell();
            let rest = end.saturating_duration_since(Instant::now());
            tokio::time::sleep(rest.min(Duration::from_secs(1))).await;
        }
    }

    /// The process ends, perhaps because it was told to.
    pub(crate) fn end(&mut self, is_told: bool) {
        watchdog::stopping();
        if is_told {
            self.journal.write(Level::Info, "ended; the file stays as it is");
        }
        if self.status.facts.state != State::Refused {
            self.status.facts.state = State::Ended;
        }
        self.tell_now(true);
    }

    fn tell(&mut self) {
        self.tell_now(false);
    }

    fn tell_now(&mut self, is_due: bool) {
        let facts = &mut self.status.facts;
        facts.devices = self.output.devices();
        facts.rows = self.rows.table.devices();
        facts.wrong_rows = self.rows.wrong.count();
        let said = self.status.write(is_due);
        self.failed(said.err());
        let facts = &self.status.facts;
        let (state, devices) = (facts.state.name(), facts.devices);
        let error = facts.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        watchdog::status(&format!("{state}, {devices} devices{error}"));
    }

    /// Tells of a failure to write, once.
    fn failed(&mut self, failure: Option<String>) {
        if let Some(failure) = failure {
            if self.failure.as_ref() != Some(&failure) {
                self.journal.write(Level::Error, &failure);
                self.failure = Some(failure);
            }
        }
    }

    /// Follows on one connection. Ends without trouble only if the table is to be read once.
    pub(crate) async fn session(
        &mut self,
        target: &Target,
        tls: Option<&Tls>,
        attempts: &mut Attempts,
    ) -> Result<(), Trouble> {
        self.status.facts.state = State::Connecting;
        self.tell();
        // What is known of the table is in the file; a new connection reads it anew.
        self.rows.clear();
        let Settings { table, publication, patience, .. } = &self.settings;
        let database = Database::connect(target, tls, table, publication, *patience).await?;
        let server = database.server().await?;
        let moment = database.moment().await?;
        self.compare_history(&moment, server.is_standby)?;
        let shape = database.shape().await?;
        self.status.contact();
        let hindrance = if self.settings.once || self.settings.only_snapshots {
            Some("as was asked for".into())
        } else if server.is_standby {
            Some("the server is a standby".into())
        } else if !server.is_logical {
            Some("the server's wal_level is not logical".into())
        } else {
            shape.hindrance(publication)
        };
        let may_change = hindrance.is_none();
        let slot = match hindrance {
            Some(hindrance) => Err(hindrance),
            None => database.make_slot(|| self.say_what_it_waits_for()).await?,
        };
        attempts.succeeded();
        let version = &server.version;
        match slot {
            Ok(slot) => {
                let text = format!(
                    "{}: PostgreSQL {version}: each change is taken as it comes",
                    target.name
                );
                self.journal.write(Level::Info, &text);
                self.stream(&database, shape, &slot).await
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
                self.snapshots(&database, shape, may_change).await
            }
        }
    }

    fn say_what_it_waits_for(&self) {
        let text = "the change feed begins when all transactions that are open in the server have ended: \
                    SELECT pid, xact_start, state FROM pg_stat_activity WHERE backend_xid IS NOT NULL";
        self.journal.write(Level::Warning, text);
    }

    /// Refuses a server that lacks what is in the file already: a standby that has become the primary without the last
    /// transactions, or one that is far behind.
    fn compare_history(&self, now: &Moment, is_standby: bool) -> Result<(), Trouble> {
        let Some(before) = self.output.moment() else { return Ok(()) };
        if before.server != now.server || before.server.is_empty() {
            let text = "the file was made from another server, whose history cannot be compared";
            self.journal.write(Level::Warning, text);
            return Ok(());
        }
        if now.wal < before.wal && !self.settings.accept_older {
            let (then, now) = (before.wal, now.wal);
            if is_standby {
                return Err(Trouble::Lost(format!(
                    "the standby is at WAL {now}, the file at {then}"
                )));
            }
            return Err(Trouble::Refused(format!(
                "the server's history ends at WAL {now}, and the file was made at {then}: the last changes are lost there, perhaps \
                 in a failover. Compare the table, and then run the follower once with --once --accept-older"
            )));
        }
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
    ) -> Result<(), Trouble> {
        self.read(database, &shape).await?;
        database.mark().await?;
        // What is taken now reaches beyond the mark, and so beyond all that the table held when it was read.
        let mut position = database.flushed().await?;
        self.take(database, &shape, slot).await?;
        self.status.facts.state = State::Streaming;
        let mut looked = Instant::now();
        self.publish_checked(database, &shape, position).await?;
        loop {
            self.tell();
            tokio::time::sleep(self.pace.wait()).await;
            let begin = Instant::now();
            let now = database.flushed().await?;
            self.status.contact();
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
                self.status.facts.wal_position = Some(position.to_string());
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
        database.take(slot, |message| reader.message(message)).await?;
        let has_changed = reader.changes > 0;
        if has_changed {
            self.status.facts.last_change = Some(now());
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
    ) -> Result<(), Trouble> {
        let (mut shape, start) = (shape, Instant::now());
        let before = shape.hindrance(&self.settings.publication);
        loop {
            let begin = Instant::now();
            self.snapshot(database, &shape).await?;
            self.status.facts.state = State::Snapshots;
            let pause = self.settings.snapshot_interval.max(begin.elapsed() * 5);
            self.rest(pause).await;
            shape = database.shape().await?;
            let is_mended =
                before.is_some() && shape.hindrance(&self.settings.publication).is_none();
            let is_time = may_change && start.elapsed() >= TRY_AGAIN;
            if (is_mended || is_time) && !self.settings.only_snapshots {
                return Err(Trouble::Again("there may be a change feed of it now".into()));
            }
        }
    }

    async fn snapshot(&mut self, database: &Database, shape: &Shape) -> Result<(), Trouble> {
        // The moment before: what is read later is not older.
        let moment = database.moment().await?;
        self.read(database, shape).await?;
        self.publish(&moment)?;
        match &self.status.facts.error {
            Some(error) if self.settings.once && self.rows.wrong.count() == 0 => {
                Err(Trouble::Lost(error.clone()))
            }
            Some(error) if self.settings.once => Err(Trouble::Refused(error.clone())),
            _ => Ok(()),
        }
    }

    async fn read(&mut self, database: &Database, shape: &Shape) -> Result<(), Trouble> {
        self.status.facts.state = State::Reading;
        self.tell();
        self.rows.clear();
        let rows = &mut self.rows;
        database.copy(shape, |row| rows.read(row)).await?;
        self.status.contact();
        Ok(())
    }

    /// Says which rows are wrong; returns whether there are any. Without any, a file that could not be written is still not up
    /// to date.
    fn tell_wrong(&mut self) -> bool {
        let wrong = self.rows.wrong.tell(self.journal);
        let is_wrong = wrong.is_some();
        self.status.facts.error = wrong.or_else(|| self.unwritten.clone());
        is_wrong
    }

    /// The file is the table.
    fn is_equal(&mut self) {
        self.failure = None;
        self.unwritten = None;
        self.status.facts.error = None;
        self.ready();
    }

    /// Makes the file equal to the table, unless it is, or a row is wrong.
    fn publish(&mut self, moment: &Moment) -> Result<(), Trouble> {
        if self.tell_wrong() {
            self.tell();
            return Ok(());
        }
        let table = &self.rows.table;
        self.status.facts.wal_position = Some(moment.wal.to_string());
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
                self.status.facts.error = Some(reason.clone());
                self.unwritten = Some(reason.clone());
                self.failed(Some(reason));
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
        self.status.facts.last_published = Some(now());
        self.is_equal();
    }
}
