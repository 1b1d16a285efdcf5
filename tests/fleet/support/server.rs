//! A real PostgreSQL on a port of its own.

use crate::{Folder, as_nobody, part as part_of, signal};
use postgres::{Client, NoTls};
use std::{
    env, fs,
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::Duration,
};
use support::{
    broker::{free_port, wait_within},
    tool::tool,
};

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// That of Debian 12.
    V15,
    /// That of Debian 13.
    V17,
}

impl Release {
    /// One of its programs.
    pub fn program(self, name: &str) -> PathBuf {
        let part = match self {
            Self::V15 => "postgres-15",
            Self::V17 => "postgres-17",
        };
        part_of(part, name)
    }
}

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The table of `--print-sql`, as lines of the secrets file: written in SQL, to be compared with what the follower makes.
const LINES: &str = "SELECT device_id
    || coalesce(':' || secret, ':x509=' || fingerprint || coalesce(',' || secondary_fingerprint, ''))
    || coalesce(':secondary=' || secondary_secret, '') || CASE WHEN frozen THEN ':frozen' ELSE '' END
    FROM iotda.device";

/// A server, stopped with the value.
pub struct Server {
    release: Release,
    folder: Folder,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with the settings and an empty table, as `iotda-auth follow --print-sql` makes it.
    #[must_use]
    pub fn new(release: Release) -> Self {
        let server = Self::bare(release, "wal_level = logical\n");
        server.client().batch_execute(&setup()).unwrap();
        server
    }

    /// Starts a server with nothing but an empty database.
    #[must_use]
    pub fn bare(release: Release, settings: &str) -> Self {
        let folder = Folder::new();
        let mut server = Self { release, port: free_port(), folder, child: None };
        let copied =
            Command::new("cp").arg("-a").arg(template(release)).arg(server.data()).status();
        assert!(copied.unwrap().success());
        server.configure(settings);
        server.start();
        server.client_of("postgres").batch_execute("CREATE DATABASE iot").unwrap();
        server
    }

    /// Starts a server whose table of devices is in partitions, with the role and the publication: BY, and the statements that
    /// make the partitions.
    #[must_use]
    pub fn with_partitions(release: Release, by: &str, partitions: &str) -> Self {
        let server = Self::bare(release, "wal_level = logical\n");
        server.sql(&format!(
            "CREATE SCHEMA iotda; CREATE TABLE iotda.device (device_id text PRIMARY KEY, secret text, secondary_secret text,
                 fingerprint text, secondary_fingerprint text, frozen bool NOT NULL DEFAULT false) PARTITION BY {by} (device_id);
             {partitions}
             CREATE ROLE iotda_follow LOGIN REPLICATION; GRANT USAGE ON SCHEMA iotda TO iotda_follow;
             GRANT SELECT ON iotda.device TO iotda_follow;
             CREATE PUBLICATION iotda_auth FOR TABLE iotda.device WITH (publish_via_partition_root = true)"
        ));
        server
    }

    /// Starts a server that writes its log late where `synchronous_commit` is off.
    #[must_use]
    pub fn with_late_log(release: Release) -> Self {
        let mut server = Self::new(release);
        server.configure("wal_level = logical\nwal_writer_delay = 10s\n");
        server.stop("INT");
        server.start();
        server
    }

    /// Starts a standby of it, by streaming replication.
    #[must_use]
    pub fn standby(&mut self) -> Self {
        let (release, port) = (self.release, free_port());
        let mut standby = Self { release, port, folder: Folder::new(), child: None };
        self.stop("INT");
        let copied = Command::new("cp").arg("-a").arg(self.data()).arg(standby.data()).status();
        assert!(copied.unwrap().success());
        self.start();
        standby.configure(&format!(
            "wal_level = logical\nprimary_conninfo = 'host=127.0.0.1 port={} user=postgres'\n",
            self.port
        ));
        fs::write(standby.data().join("standby.signal"), "").unwrap();
        standby.start();
        standby
    }

    /// Waits until a standby has all that is in the log of this one now.
    pub fn wait_for_standby(&self, standby: &Self) {
        let value = |server: &Self, query: &str| -> String {
            server.client().query_one(query, &[]).unwrap().get(0)
        };
        let here = value(self, "SELECT pg_current_wal_flush_lsn()::text");
        let has = format!("SELECT (pg_last_wal_replay_lsn() >= '{here}')::text");
        wait_within(PATIENCE, || value(standby, &has) == "true").expect("the standby has it");
    }

    /// Writes the settings, which take effect at the next start.
    pub fn configure(&self, settings: &str) {
        let (port, folder) = (self.port, self.folder.path().display());
        let text = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\nfsync = off\n\
             shared_buffers = 32MB\nmax_connections = 40\nmax_wal_size = 512MB\n{settings}"
        );
        fs::write(self.data().join("postgresql.conf"), text).unwrap();
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, and waits until it answers.
    pub fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.path().join("log"));
        let log = log.unwrap();
        let child = as_nobody(&self.release.program("postgres"))
            .arg("-D")
            .arg(self.data())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let answers = || self.try_client("postgres").is_ok();
        wait_within(PATIENCE, answers).unwrap_or_else(|| panic!("{}", self.log()));
    }

    /// Stops it: INT ends all connections, QUIT is as good as a crash.
    pub fn stop(&mut self, how: &str) {
        if let Some(mut child) = self.child.take() {
            signal(how, child.id());
            child.wait().unwrap();
        }
    }

    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A connection of the superuser to the database of the devices.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_of("iot")
    }

    fn client_of(&self, database: &str) -> Client {
        self.try_client(database).unwrap_or_else(|error| panic!("{error}:\n{}", self.log()))
    }

    fn try_client(&self, database: &str) -> Result<Client, postgres::Error> {
        let mut config = Client::configure();
        config.host_path(self.folder.path()).port(self.port).user("postgres").dbname(database);
        config.connect(NoTls)
    }

    /// Executes statements as the superuser.
    pub fn sql(&self, statements: &str) {
        self.client()
            .batch_execute(statements)
            .unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// The connection string of the followers, by way of a port.
    #[must_use]
    pub fn dsn_by(&self, port: u16) -> String {
        format!("host=127.0.0.1 port={port} user=iotda_follow dbname=iot\n")
    }

    #[must_use]
    pub fn dsn(&self) -> String {
        self.dsn_by(self.port)
    }

    /// The table, as sorted lines of a secrets file.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let rows = self.client().query(LINES, &[]).unwrap();
        let mut lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        lines.sort();
        lines
    }

    /// How many slots there are.
    #[must_use]
    pub fn slots(&self) -> i64 {
        self.client().query_one("SELECT count(*) FROM pg_replication_slots", &[]).unwrap().get(0)
    }

    /// Waits until no slot is left.
    pub fn wait_for_no_slot(&self) {
        wait_within(PATIENCE, || self.slots() == 0).expect("no slot is left behind");
    }

    /// Waits until a follower has a slot: it has begun to follow.
    pub fn wait_for_slot(&self) {
        wait_within(PATIENCE, || self.slots() > 0).expect("a slot");
    }
}

impl Drop for Server {
    /// Whatever a test did: once its followers have ended, no slot is left behind. So they must end before the server.
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("PostgreSQL {:?}:\n{}", self.release, self.log());
        } else if self.child.is_some() {
            self.wait_for_no_slot();
        }
        self.stop("QUIT");
    }
}

/// What `--print-sql` prints.
#[must_use]
pub fn setup() -> String {
    let said = tool(["follow", "--print-sql"]);
    assert_eq!(said.status, 0, "{said:?}");
    said.out
}

/// An initialised folder of data, made once and copied.
fn template(release: Release) -> PathBuf {
    static MADE: Mutex<Vec<(Release, PathBuf)>> = Mutex::new(Vec::new());
    // The folder stays until the process ends.
    static FOLDERS: OnceLock<PathBuf> = OnceLock::new();
    let mut made = MADE.lock().unwrap_or_else(|poison| poison.into_inner());
    if let Some((_, path)) = made.iter().find(|(which, _)| *which == release) {
        return path.clone();
    }
    let base = FOLDERS.get_or_init(|| {
        let path = env::temp_dir().join(format!("iotda-fleet-{}-template", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    });
    let path = base.join(format!("{release:?}"));
    let output = as_nobody(&release.program("initdb"))
        .arg("-D")
        .arg(&path)
        .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    made.push((release, path.clone()));
    path
}
