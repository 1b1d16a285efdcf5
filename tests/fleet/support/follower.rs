//! A running `iotda-auth follow`, and the file that it keeps.

use crate::{Folder, server::Server, signal};
use iotda_core::registry::Cancel;
use serde_json::Value;
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};
use support::{broker::wait_within, library, scratch::set_mode};

/// How long a follower may take for anything.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// What is needed for a follower: a folder, a connection string and arguments.
pub struct Place {
    folder: Folder,
    tool: PathBuf,
    arguments: Vec<OsString>,
}

impl Place {
    /// A place for a follower that uses this connection string. It is in a hurry, so that a test does not take long.
    #[must_use]
    pub fn new(dsn: &str) -> Self {
        let folder = Folder::new();
        let place = Self { folder, tool: library::tool().into(), arguments: Vec::new() };
        fs::create_dir(place.folder.path().join("files")).unwrap();
        place.set_dsn(dsn);
        place.with(&["--min-interval", "0", "--answer-timeout", "2s", "--snapshot-interval", "1s"])
    }

    pub fn set_dsn(&self, dsn: &str) {
        let path = self.folder.path().join("dsn");
        fs::write(&path, dsn).unwrap();
        set_mode(&path, 0o600);
    }

    /// More arguments; of one that is given twice the last counts.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        for argument in arguments {
            let known = argument
                .starts_with("--")
                .then(|| self.arguments.iter().position(|known| known.to_str() == Some(argument)));
            if let Some(Some(at)) = known {
                // Both have a value.
                self.arguments.drain(at..at + 2);
            }
            self.arguments.push(argument.into());
        }
        self
    }

    /// Another build of the tool.
    #[must_use]
    pub fn with_tool(mut self, tool: &Path) -> Self {
        self.tool = tool.into();
        self
    }

    /// The folder of the file.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// The file that is kept.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.files().join("iotda.secrets")
    }

    #[must_use]
    pub fn status_file(&self) -> PathBuf {
        self.folder.path().join("status.json")
    }

    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The words of the command.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            vec![self.tool.clone().into(), "follow".into(), "--dsn-file".into()];
        words.push(self.folder.path().join("dsn").into());
        words.extend(["--out".into(), self.file().into()]);
        words.extend(["--status".into(), self.status_file().into()]);
        words.extend(self.arguments.iter().cloned());
        words
    }

    /// Starts a follower.
    #[must_use]
    pub fn start(&self) -> Follower {
        self.start_by(&[])
    }

    /// Starts a follower by a program that executes the words behind its own.
    #[must_use]
    pub fn start_by(&self, starter: &[&str]) -> Follower {
        let words: Vec<OsString> = starter.iter().map(OsString::from).chain(self.words()).collect();
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        // What it says is to be this follower's.
        let _ = fs::remove_file(self.status_file());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Follower { log: self.log_file(), child }
    }

    /// Runs a follower to its end; its exit status.
    #[must_use]
    pub fn run(&self) -> i32 {
        self.start().wait()
    }

    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The devices' lines of the file, sorted; the file is read as a broker would read it. Without a file there are none.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lines_of(&self.file())
    }

    #[must_use]
    pub fn status(&self) -> Value {
        match fs::read(self.status_file()) {
            Ok(text) => serde_json::from_slice(&text).unwrap(),
            Err(_) => Value::Null,
        }
    }

    /// Waits until the status file says something.
    pub fn wait_for_status(&self, key: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        wait_within(PATIENCE, || self.status().get(key) == Some(&expected))
            .unwrap_or_else(|| panic!("expected {key} {expected}: {}", self.status()));
    }

    /// Waits for a text in the log.
    pub fn wait_for_log(&self, text: &str) {
        wait_within(PATIENCE, || self.log().contains(text))
            .unwrap_or_else(|| panic!("the log does not come to hold {text:?}:\n{}", self.log()));
    }

    /// Waits until the file is equal to the table.
    pub fn wait_until_equal(&self, server: &Server) {
        let expected = server.lines();
        wait_within(PATIENCE, || self.lines() == expected).unwrap_or_else(|| {
            panic!("expected {expected:?}\nfound {:?}\n{}", self.lines(), self.log())
        });
    }

    /// Which files are in the folder of the kept file, besides itself and its lock.
    #[must_use]
    pub fn litter(&self) -> Vec<String> {
        let names = fs::read_dir(self.files()).unwrap().map(|entry| entry.unwrap().file_name());
        names
            .map(|name| name.into_string().unwrap())
            .filter(|name| name != "iotda.secrets" && name != ".iotda.secrets.follow")
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the follower's log:\n{}", self.log());
        }
    }
}

/// The devices' lines of a secrets file, sorted.
///
/// # Panics
///
/// If a broker would not load the file.
#[must_use]
pub fn lines_of(file: &Path) -> Vec<String> {
    if !file.exists() {
        return Vec::new();
    }
    // Both read the same file, although another may be moved into its place meanwhile.
    let text = fs::read_to_string(file).unwrap();
    let content =
        iotda_core::registry::read::read(text.as_bytes(), text.len() as u64, 9, Cancel::NEVER);
    let content = content.unwrap_or_else(|error| panic!("{error:?}:\n{text}"));
    assert!(content.ends_in_newline, "{text}");
    assert!(text.starts_with("# iotda-auth follow: "), "{text}");
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect();
    lines.sort();
    lines
}

/// A running follower, killed with the value.
pub struct Follower {
    log: PathBuf,
    child: Child,
}

impl Follower {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, name: &str) {
        signal(name, self.pid());
    }

    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; the exit status.
    #[must_use]
    pub fn wait(mut self) -> i32 {
        let begin = Instant::now();
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "the follower does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        };
        status.code().unwrap_or(-1)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        assert!(thread::panicking() || !self.log().contains("panicked"), "{}", self.log());
    }
}
