//! How many devices, how many rounds?

use std::{fs, process::Command};

/// The sizes of a run.
pub struct Plan {
    /// Logins: so many in a round, and rounds.
    pub logins: (usize, usize),
    /// The same of logins that cost a password hash; there are a multiple of these rounds of the others.
    pub hashed_logins: (usize, usize),
    /// Messages: so many in a round, and rounds.
    pub messages: (usize, usize),
    /// Checks: how often all clients take their turn in a round, and rounds.
    pub micro: (usize, usize),
    /// Starts: so many devices, in so many rounds.
    pub starts: Vec<(usize, usize)>,
    /// A start that only ours is asked to make, for `password_file` would take minutes.
    pub large_start: Option<usize>,
    /// Reloads: so many devices, in so many rounds, and how many of those `password_file` takes part in: each of its own
    /// may be seconds long.
    pub reloads: Vec<(usize, usize, usize)>,
    /// Sweeps: sessions, and rounds.
    pub sweep: (usize, usize),
    /// Sessions with `password_file`, each of which costs a password hash.
    pub password_file_sessions: usize,
    /// The table for look-ups.
    pub lookup: usize,
    /// The file that is loaded, and how often.
    pub load: (usize, usize),
}

impl Plan {
    pub fn full() -> Self {
        let large = enough_room(4 << 30).then_some(10_000_000);
        Self {
            logins: (500, 120),
            hashed_logins: (200, 20),
            messages: (2_000, 30),
            micro: (200, 30),
            starts: vec![(10_000, 7), (100_000, 5), (1_000_000, 3)],
            large_start: large,
            reloads: [(10_000, 3, 3), (100_000, 3, 2), (1_000_000, 5, 2)]
                .into_iter()
                .chain(large.map(|devices| (devices, 2, 0)))
                .collect(),
            sweep: (sessions(8_000), 10),
            password_file_sessions: 1_000,
            lookup: large.unwrap_or(1_000_000),
            load: (1_000_000, 9),
        }
    }

    pub fn quick() -> Self {
        Self {
            logins: (200, 4),
            hashed_logins: (40, 2),
            messages: (2_000, 6),
            micro: (20, 3),
            starts: vec![(1_000, 2), (10_000, 2)],
            large_start: Some(100_000),
            reloads: vec![(1_000, 1, 1), (20_000, 2, 1), (100_000, 1, 0)],
            sweep: (sessions(500), 2),
            password_file_sessions: 100,
            lookup: 100_000,
            load: (100_000, 3),
        }
    }
}

/// So many sessions on two brokers at once, or as many as there may be open files.
fn sessions(wanted: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let limit = line.split_whitespace().nth(3).and_then(|limit| limit.parse().ok());
    // Those of password_file, and whatever else is open.
    let rest = limit.unwrap_or(usize::MAX).saturating_sub(1_500);
    wanted.min(rest / 2)
}

/// Whether so many bytes are free, in memory and where the files go.
fn enough_room(bytes: u64) -> bool {
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available.and_then(|kb| kb.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let folder = support::library::target_directory();
    let disk = Command::new("df").args(["--output=avail", "-B1"]).arg(folder).output().unwrap();
    let disk = String::from_utf8_lossy(&disk.stdout).lines().last().map(str::trim).map(str::parse);
    available.is_some_and(|kb| kb * 1024 >= bytes)
        && disk.is_some_and(|free: Result<u64, _>| free.is_ok_and(|free| free >= bytes))
}
