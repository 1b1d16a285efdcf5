//! What is asked of the database? Each question has a deadline, because a connection may die without a word.

use super::{
    dsn::Target,
    journal::cut,
    output::Moment,
    row::{COLUMNS, Row},
    sql::{Name, TableName},
    tls::{Security, Tls},
};
use futures_util::{StreamExt, TryStreamExt, pin_mut};
use std::{
    collections::hash_map::RandomState, error::Error as _, fmt::Write as _, future::Future,
    hash::BuildHasher, time::Duration,
};
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Connection, NoTls, Socket, Statement,
    binary_copy::BinaryCopyOutStream,
    error::SqlState,
    tls::TlsStream,
    types::{PgLsn, ToSql, Type},
};

/// Why the table is not followed any more on this connection.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection is lost, or the database cannot do now what it was asked; it is tried again.
    Lost(String),
    /// The table has changed in a way that the change feed does not tell: it must be read again.
    Again(String),
    /// It must not be published, until somebody has looked at it.
    Refused(String),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Lost(said(&error))
    }
}

/// An error in one line. The details of the database's errors may hold values of rows.
pub(crate) fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => cut(&format!("{} (SQLSTATE {})", error.message(), error.code().code())),
        None => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            let text = error.to_string();
            cut(&if text.ends_with(&cause) { text } else { format!("{text}{cause}") })
        }
    }
}

/// What the table is, as far as the change feed does not tell of its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    oid: u32,
    kind: String,
    identity: Option<String>,
    key: bool,
    columns: String,
    /// The files that the rows are in, of all partitions; they change with a statement that writes the table anew, and with
    /// partitions that come and go.
    storage: Option<String>,
    /// Whether a part of it is written without the write-ahead log, or elsewhere.
    is_outside: bool,
    /// The followed columns that are generated.
    generated: Option<String>,
    publication: Option<String>,
    publishes: bool,
    published: Option<String>,
    has_filter: bool,
    leaves_out: bool,
}

impl Shape {
    /// The table's number in the change feed.
    pub(crate) fn oid(&self) -> u32 {
        self.oid
    }

    /// Why there is no change feed of it, if so.
    pub(crate) fn hindrance(&self, publication: &str) -> Option<String> {
        Some(match self.kind.as_str() {
            "r" | "p" if self.published.is_none() => {
                format!("it is not in the publication {}", Name(publication))
            }
            "r" | "p" if !self.publishes => {
                format!(
                    "the publication {} leaves out inserts, updates, deletes or truncates, or is not by the partitions' root",
                    Name(publication)
                )
            }
            "r" | "p" if self.has_filter => {
                format!("the publication {} has a row filter", Name(publication))
            }
            "r" | "p" if self.is_outside => {
                "a part of it is a foreign table, or unlogged".into()
            }
            "r" | "p" if self.generated.is_some() => format!(
                "the change feed leaves out generated columns: {}",
                self.generated.as_deref().unwrap_or_default()
            ),
            "r" | "p" if self.leaves_out => {
                format!("the publication {} leaves out columns", Name(publication))
            }
            "r" | "p" if !self.key => {
                "its replica identity is not device_id alone, as it is with the primary key (device_id)".into()
            }
            "r" | "p" => return None,
            _ => "it is not a table".into(),
        })
    }
}

/// What a server says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) version: String,
    pub(crate) is_standby: bool,
    pub(crate) is_logical: bool,
}

/// A slot of the change feed, and how to take from it.
pub(crate) struct Slot {
    name: String,
    publication: String,
    take: Statement,
}

/// A connection.
pub(crate) struct Database {
    client: Client,
    /// What runs the connection. It ends with this value, also if the server no longer answers.
    task: JoinHandle<()>,
    table: TableName,
    publication: String,
    patience: Duration,
}

/// What a session needs: names of functions and operators are not to be looked up elsewhere, a dead follower's slot must not
/// hold back the write-ahead log, rows must not be hidden, and the commit that marks a position waits for no standby.
const SETTINGS: &str = "SET search_path = pg_catalog;
    SET row_security = off;
    SET synchronous_commit = local;
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 30000;
    SELECT set_config(name, '600000', false) FROM pg_settings WHERE name = 'idle_session_timeout'";

/// A server that waits for a lock, or for the end of a transaction, does not hear that the follower is gone, unless it looks.
/// PostgreSQL 14 and later can, where their system can.
const LOOK_FOR_CLIENT: &str = "SELECT set_config(name, '10000', false) FROM pg_settings
    WHERE name = 'client_connection_check_interval'";

/// For how long the server goes on with a statement, and how long that may wait for a lock; zero is for ever.
fn time_limits(statement: Duration, lock: Duration) -> String {
    let milliseconds = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let (statement, lock) = (milliseconds(statement), milliseconds(lock));
    format!("SET statement_timeout = {statement}; SET lock_timeout = {lock}")
}

const SERVER: &str = "SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('wal_level') = 'logical'";

/// The moment now: what is on disk, so that a crash does not make the server older. What a standby has replayed is its present.
const MOMENT: &str = "SELECT (SELECT system_identifier::text FROM pg_control_system()),
    CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END,
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END";

/// The columns of [`Shape`]. `$1` is the table, `$2` the publication, `$3` are the followed columns. What was taken out of the
/// publication and put into it again has another row there. pg_partition_tree would wait for locks.
const SHAPE: &str = "SELECT c.oid, c.relkind::text, c.relreplident::text,
    EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'device_id'
        WHERE i.indrelid = c.oid AND i.indkey::text = a.attnum::text AND i.indisunique AND i.indimmediate AND i.indisvalid
        AND i.indpred IS NULL AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
            ELSE c.relreplident = 'f' END),
    (SELECT string_agg(a.attnum || ' ' || a.attname || ' ' || a.atttypid::regtype, ',' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    parts.storage, parts.is_outside,
    (SELECT string_agg(a.attname, ', ') FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname = ANY ($3::text[]) AND a.attgenerated <> ''),
    (SELECT p.xmin::text || to_jsonb(p)::text || coalesce((SELECT string_agg(r.oid || ' ' || r.xmin::text, ',' ORDER BY r.oid)
            FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid), '')
        FROM pg_publication p WHERE p.pubname = $2),
    coalesce((SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND coalesce((to_jsonb(p)->>'pubtruncate')::bool, true)
        AND (c.relkind <> 'p' OR coalesce((to_jsonb(p)->>'pubviaroot')::bool, false))
        FROM pg_publication p WHERE p.pubname = $2), false),
    (SELECT to_jsonb(t)::text FROM pg_publication_tables t
        WHERE t.pubname = $2 AND t.schemaname = n.nspname AND t.tablename = c.relname),
    (SELECT to_jsonb(t)->>'rowfilter' FROM pg_publication_tables t
        WHERE t.pubname = $2 AND t.schemaname = n.nspname AND t.tablename = c.relname) IS NOT NULL,
    coalesce((SELECT NOT to_jsonb(t)->'attnames' @> to_jsonb($3::text[]) FROM pg_publication_tables t
        WHERE t.pubname = $2 AND t.schemaname = n.nspname AND t.tablename = c.relname), false)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (
        WITH RECURSIVE tree AS (SELECT c.oid UNION ALL
            SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid WHERE c.relkind = 'p')
        SELECT string_agg(t.oid || ' ' || coalesce(pg_relation_filenode(t.oid)::text, ''), ',' ORDER BY t.oid) AS storage,
            bool_or(t.relkind = 'f' OR t.relpersistence <> 'p') AS is_outside
        FROM tree JOIN pg_class t ON t.oid = tree.oid) parts
    WHERE c.oid = to_regclass($1)";

const TAKE: &str =
    "SELECT lsn, data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1',
    'publication_names', $2)";

const MARK: &str = "SELECT pg_logical_emit_message(true, 'iotda-auth', '')";

/// How long an open transaction may hold up a new slot before the connection is given up.
pub(crate) const SLOT_PATIENCE: Duration = Duration::from_secs(600);

/// Runs to the end of the connection.
async fn run<T: TlsStream + Unpin>(connection: Connection<Socket, T>) {
    // Its error reaches the one who waits for an answer.
    let _ = connection.await;
}

impl Drop for Database {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Database {
    /// Connects to the first host that answers, and prepares the session.
    pub(crate) async fn connect(
        target: &Target,
        tls: Option<&Tls>,
        table: &TableName,
        publication: &str,
        patience: Duration,
    ) -> Result<Self, Trouble> {
        let mut failed = Trouble::Lost("expected a host, found none".into());
        for config in target.in_turn() {
            let connect = async {
                match (&target.security, tls) {
                    (Security::Verify(_), Some(tls)) => {
                        let (client, connection) = config.connect(tls.clone()).await?;
                        Ok::<_, tokio_postgres::Error>((client, tokio::spawn(run(connection))))
                    }
                    _ => {
                        let (client, connection) = config.connect(NoTls).await?;
                        Ok((client, tokio::spawn(run(connection))))
                    }
                }
            };
            match within(patience, connect).await {
                Ok((client, task)) => {
                    let (table, publication) = (table.clone(), publication.to_owned());
                    let database = Self { client, task, table, publication, patience };
                    match database.prepare().await {
                        Ok(()) => return Ok(database),
                        Err(trouble) => failed = trouble,
                    }
                }
                Err(trouble) => failed = trouble,
            }
        }
        Err(failed)
    }

    async fn prepare(&self) -> Result<(), Trouble> {
        self.ask(self.client.batch_execute(SETTINGS)).await?;
        self.limit_time(Duration::ZERO, self.patience).await?;
        // Not every system can look.
        self.run_if_allowed(LOOK_FOR_CLIENT).await
    }

    /// A statement that the session can do without, if the server refuses it.
    async fn run_if_allowed(&self, statement: &str) -> Result<(), Trouble> {
        let run = async {
            match self.client.batch_execute(statement).await {
                Err(error) if error.as_db_error().is_some() => Ok(()),
                result => result,
            }
        };
        self.ask(run).await
    }

    async fn limit_time(&self, statement: Duration, lock: Duration) -> Result<(), Trouble> {
        self.ask(self.client.batch_execute(&time_limits(statement, lock))).await
    }

    /// Waits for an answer, with the usual patience.
    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        within(self.patience, question).await
    }

    pub(crate) async fn server(&self) -> Result<Server, Trouble> {
        let row = self.ask(self.client.query_one(SERVER, &[])).await?;
        let version: String = row.try_get(0)?;
        let version = version.split(' ').next().unwrap_or_default().to_owned();
        Ok(Server { version, is_standby: row.try_get(1)?, is_logical: row.try_get(2)? })
    }

    pub(crate) async fn moment(&self) -> Result<Moment, Trouble> {
        let row = self.ask(self.client.query_one(MOMENT, &[])).await?;
        let server: Option<String> = row.try_get(0)?;
        let (timeline, wal): (String, Option<PgLsn>) = (row.try_get(1)?, row.try_get(2)?);
        let wal = wal.unwrap_or(PgLsn::from(0));
        Ok(Moment { server: server.unwrap_or_default(), timeline, wal })
    }

    /// What the table is now.
    pub(crate) async fn shape(&self) -> Result<Shape, Trouble> {
        let (table, publication) = (self.table.to_string(), &self.publication);
        let columns = COLUMNS.as_slice();
        let row = self.ask(self.client.query_opt(SHAPE, &[&table, publication, &columns])).await?;
        let Some(row) = row else {
            return Err(Trouble::Refused(format!(
                "there is no table {table}, or this role may not see it: iotda-auth follow --print-sql has what is needed"
            )));
        };
        let shape = Shape {
            oid: row.try_get(0)?,
            kind: row.try_get(1)?,
            identity: row.try_get(2)?,
            key: row.try_get(3)?,
            columns: row.try_get::<_, Option<String>>(4)?.unwrap_or_default(),
            storage: row.try_get(5)?,
            is_outside: row.try_get(6)?,
            generated: row.try_get(7)?,
            publication: row.try_get(8)?,
            publishes: row.try_get(9)?,
            published: row.try_get(10)?,
            has_filter: row.try_get(11)?,
            leaves_out: row.try_get(12)?,
        };
        check_columns(&table, &shape.columns)?;
        Ok(shape)
    }

    /// Makes a slot, which ends with this connection. It waits until the transactions that are open now have ended. The inner
    /// error says why the server cannot make one.
    pub(crate) async fn make_slot(&self) -> Result<Result<Slot, String>, Trouble> {
        // Letters and digits, at random, so that no two followers have the same.
        let name = format!("iotda_auth_{:016x}", RandomState::new().hash_one(std::process::id()));
        let statement = "SELECT pg_create_logical_replication_slot($1, 'pgoutput', true)";
        let parameters: [&(dyn ToSql + Sync); 1] = [&name];
        // To wait for a transaction is to wait for its lock. The server gives up after the follower has, which may be gone.
        self.limit_time(SLOT_PATIENCE + self.patience, Duration::ZERO).await?;
        let made = self.client.query(statement, &parameters).await;
        let hindrances = [
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            SqlState::CONFIGURATION_LIMIT_EXCEEDED,
            SqlState::FEATURE_NOT_SUPPORTED,
        ];
        let hindrance = match made {
            Ok(_) => None,
            Err(error) if error.code().is_some_and(|code| hindrances.contains(code)) => {
                Some(said(&error))
            }
            Err(error) => return Err(error.into()),
        };
        self.limit_time(Duration::ZERO, self.patience).await?;
        if let Some(hindrance) = hindrance {
            return Ok(Err(hindrance));
        }
        let take = self.ask(self.client.prepare(TAKE)).await?;
        // The option's value is a list of names.
        let publication = Name(&self.publication).to_string();
        Ok(Ok(Slot { name: name.clone(), publication, take }))
    }

    /// Reads the whole table, row by row.
    pub(crate) async fn copy(
        &self,
        shape: &Shape,
        mut each: impl FnMut(Row<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut columns = String::new();
        for (number, name) in COLUMNS.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            let _ = write!(columns, "{comma}{name}::text");
        }
        // The rows of other tables that inherit from it have a change feed of their own.
        let only = if shape.kind == "r" { "ONLY " } else { "" };
        let table = &self.table;
        let is_locked = self.lock(shape, &format!("{only}{table}")).await?;
        let statement =
            format!("COPY (SELECT {columns} FROM {only}{table}) TO STDOUT (FORMAT binary)");
        let copy = self.ask(self.client.copy_out(statement.as_str())).await?;
        // A text is in this format what it is in memory.
        let rows = BinaryCopyOutStream::new(copy, &[Type::BYTEA; COLUMNS.len()]);
        pin_mut!(rows);
        while let Some(found) = self.ask(rows.try_next()).await? {
            let mut row = Row::default();
            for (number, place) in row.0.iter_mut().enumerate() {
                *place = found.try_get(number)?;
            }
            each(row)?;
        }
        if is_locked {
            self.ask(self.client.batch_execute("COMMIT")).await?;
        }
        Ok(())
    }

    /// Begins a transaction that locks the table as a reader does; returns whether that is possible. COPY by itself decides what
    /// it sees before it waits for the lock: of a table that is emptied and filled meanwhile it would see nothing.
    async fn lock(&self, shape: &Shape, table: &str) -> Result<bool, Trouble> {
        if !matches!(shape.kind.as_str(), "r" | "p" | "v") {
            return Ok(false);
        }
        let lock = async {
            let statements = format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; LOCK TABLE {table} IN ACCESS SHARE MODE"
            );
            match self.client.batch_execute(&statements).await {
                Ok(()) => Ok(true),
                // PostgreSQL 12 asks for rights on each partition. Whether the rows may be read, their reading will tell.
                Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    self.client.batch_execute("ROLLBACK").await.map(|()| false)
                }
                Err(error) => Err(error),
            }
        };
        self.ask(lock).await
    }

    /// Writes a mark into the write-ahead log, and waits until it is on disk: every transaction that was seen before has
    /// been written before it.
    pub(crate) async fn mark(&self) -> Result<(), Trouble> {
        self.ask(self.client.batch_execute(MARK)).await
    }

    /// The same, where the server allows it: a snapshot can do without.
    pub(crate) async fn mark_if_allowed(&self) -> Result<(), Trouble> {
        self.run_if_allowed(MARK).await
    }

    /// The position up to which the write-ahead log is on disk.
    pub(crate) async fn flushed(&self) -> Result<PgLsn, Trouble> {
        let row = self.ask(self.client.query_one("SELECT pg_current_wal_flush_lsn()", &[])).await?;
        Ok(row.try_get(0)?)
    }

    /// Takes the changes of all transactions that have ended by now.
    pub(crate) async fn take(
        &self,
        slot: &Slot,
        mut each: impl FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let changes =
            self.ask(self.client.query_raw(&slot.take, [&slot.name, &slot.publication])).await?;
        pin_mut!(changes);
        loop {
            match tokio::time::timeout(self.patience, changes.next()).await {
                Ok(Some(row)) => each(row?.try_get(1)?)?,
                Ok(None) => return Ok(()),
                Err(_) => return Err(no_answer(self.patience)),
            }
        }
    }
}

async fn within<T>(
    patience: Duration,
    question: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(patience, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(no_answer(patience)),
    }
}

fn no_answer(patience: Duration) -> Trouble {
    Trouble::Lost(format!("no answer for {} s", patience.as_secs()))
}

/// Whether all columns are there, with types whose texts are the same in a COPY and in the change feed.
fn check_columns(table: &str, columns: &str) -> Result<(), Trouble> {
    for name in COLUMNS {
        let found = columns.split(',').find_map(|column| {
            let (_, column) = column.split_once(' ')?;
            column.strip_prefix(name)?.strip_prefix(' ')
        });
        let expected = if name == "frozen" { "boolean" } else { "text" };
        let is_right = match found {
            None => {
                return Err(Trouble::Refused(format!("the table {table} has no column {name}")));
            }
            Some(found) if name == "frozen" => found == expected,
            Some(found) => matches!(found, "text" | "character varying" | "uuid"),
        };
        if !is_right {
            let found = found.unwrap_or_default();
            return Err(Trouble::Refused(cut(&format!(
                "the table {table}: column {name}: expected type {expected}, found {found}"
            ))));
        }
    }
    Ok(())
}
