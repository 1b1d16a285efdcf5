//! What the tests, the demo and the measurements of a fleet share: a PostgreSQL, followers, a network that can be cut, a router.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod brokers;
pub mod follower;
pub mod network;
pub mod router;
pub mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};
use support::broker::cache_folder;

/// A folder below the system's folder for temporary files, whose path is short enough for a Unix socket. It is removed on
/// drop, unless the test has failed.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("iotda-fleet-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A program of what tests/fleet/fetch-parts unpacks.
///
/// # Panics
///
/// If it is not there: a test must not pass without it.
pub fn part(name: &str, program: &str) -> PathBuf {
    let path = cache_folder("IOTDA_PARTS", "parts").join(name).join("bin").join(program);
    assert!(path.exists(), "no {}: ./dev fleet brings it", path.display());
    path
}

/// Sends a signal to a process.
pub fn signal(name: &str, process: u32) {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(status.expect("kill runs").success(), "SIG{name}");
}

/// A command that runs a program as somebody who is not root: PostgreSQL refuses root, and root may write anywhere. The
/// files stay those of the user who runs the tests.
#[must_use]
pub fn as_nobody(program: &Path) -> Command {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    if id.stdout != b"0\n" {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=1000", "--map-group=1000"]).arg(program);
    command
}
