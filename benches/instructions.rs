//! What a login costs in instructions, counted by callgrind: `./dev bench`.
//!
//! Instruction counts do not depend on what else the machine does. Each operation runs in a process of its own, once
//! with few rounds and once with many; the difference leaves out everything that is done once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use mosquitto_iotda_auth::{
    login::{
        Connect, HourKeys, Occasion, Policy, SignType, Verdict,
        signature::{HourKey, Password},
        timestamp::Hour,
        verify,
    },
    registry::{Cancel, Table, load},
};
use std::{env, hint::black_box, process::Command};

const STAMP: &[u8; 10] = b"2026112209";
const DEVICES: usize = 10_000;
const FEW: u64 = 100;
const MANY: u64 = 1_100;

/// Does something so many times.
type Operation = fn(&Bench, u64);

/// The operations, by the names under which they are run.
const OPERATIONS: [(&str, Operation); 9] = [
    ("HMAC, key kept from the login before", Bench::hmac_kept),
    ("HMAC, fresh key", Bench::hmac_fresh),
    ("table look-up, found", Bench::found),
    ("table look-up, not found", Bench::not_found),
    ("login accepted", Bench::accepted),
    ("login refused: wrong_password", Bench::wrong_password),
    ("login refused: unknown_device", Bench::unknown_device),
    ("login refused: stale_timestamp", Bench::stale),
    ("login refused: bad_client_id", Bench::bad_client_id),
];

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    match (arguments.next(), arguments.next()) {
        (Some(name), Some(rounds)) => {
            let (_, operation) =
                OPERATIONS.iter().find(|(known, _)| *known == name).expect("an operation");
            operation(&Bench::new(), rounds.parse().expect("a number of rounds"));
        }
        _ => table(),
    }
}

/// Counts all operations and prints them.
fn table() {
    let counts: Vec<u64> = OPERATIONS
        .iter()
        .map(|(name, _)| (instructions(name, MANY) - instructions(name, FEW)) / (MANY - FEW))
        .collect();
    let floor = counts[0] + counts[2];
    println!("| operation | instructions | ratio to HMAC with a kept key + look-up |");
    println!("|---|---:|---:|");
    for ((name, _), count) in OPERATIONS.iter().zip(&counts) {
        #[allow(clippy::cast_precision_loss)] // a ratio of small numbers
        let ratio = *count as f64 / floor as f64;
        println!("| {name} | {count} | {ratio:.3} |");
    }
}

/// The instructions of a process that runs an operation so many times.
fn instructions(name: &str, rounds: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .args([name, &rounds.to_string()])
        .output()
        .expect("valgrind runs");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    let count = report
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .expect("a count of callgrind's");
    count.1.trim().parse().expect("a number")
}

struct Bench {
    table: Table,
    policy: Policy,
    client_id: String,
    device_id: String,
    secret: String,
    password: String,
}

impl Bench {
    fn new() -> Self {
        let device = |n: usize| format!("5fdb75cccbfe2f02ce81d4bf_dev{n:07}");
        let secret = |n: usize| format!("{n:032}");
        let file: String = (0..DEVICES).map(|n| format!("{}:{}\n", device(n), secret(n))).collect();
        let (device_id, secret) = (device(DEVICES / 2), secret(DEVICES / 2));
        Self {
            table: load::read(file.as_bytes(), file.len() as u64, 1, Cancel::NEVER)
                .expect("a table")
                .table,
            policy: Policy::default(),
            client_id: format!("{device_id}_0_1_2026112209"),
            password: HourKey::new(SignType::Sha256, STAMP).password(secret.as_bytes()),
            device_id,
            secret,
        }
    }

    fn connect(&self) -> Connect<'_> {
        Connect {
            client_id: Some(self.client_id.as_bytes()),
            username: Some(self.device_id.as_bytes()),
            password: Some(self.password.as_bytes()),
            certificate: None,
            keep_alive: 120,
        }
    }

    fn hmac_kept(&self, rounds: u64) {
        let (key, password) = (
            HourKey::new(SignType::Sha256, STAMP),
            Password::parse(Some(self.password.as_bytes())),
        );
        for _ in 0..rounds {
            assert!(
                black_box(&key).proves(black_box(&password), black_box(self.secret.as_bytes()))
            );
        }
    }

    fn hmac_fresh(&self, rounds: u64) {
        let password = Password::parse(Some(self.password.as_bytes()));
        for _ in 0..rounds {
            assert!(
                HourKey::new(SignType::Sha256, black_box(STAMP))
                    .proves(black_box(&password), black_box(self.secret.as_bytes()))
            );
        }
    }

    fn found(&self, rounds: u64) {
        for _ in 0..rounds {
            assert!(self.table.find(black_box(self.device_id.as_bytes())).is_some());
        }
    }

    fn not_found(&self, rounds: u64) {
        for _ in 0..rounds {
            assert!(self.table.find(black_box(b"5fdb75cccbfe2f02ce81d4bf_dev9999999")).is_none());
        }
    }

    fn logins(&self, rounds: u64, connect: &Connect<'_>, age: i64, accepted: bool) {
        let now = Hour::parse(STAMP).expect("a date").start() + age;
        let mut keys = HourKeys::default();
        for _ in 0..rounds {
            let verdict = verify(
                black_box(connect),
                &self.table,
                &self.policy,
                now,
                Occasion::Connect,
                &mut keys,
            );
            assert_eq!(matches!(verdict, Verdict::Accept(_)), accepted);
        }
    }

    fn accepted(&self, rounds: u64) {
        self.logins(rounds, &self.connect(), 60, true);
    }

    fn wrong_password(&self, rounds: u64) {
        let password = "0".repeat(64);
        self.logins(
            rounds,
            &Connect { password: Some(password.as_bytes()), ..self.connect() },
            60,
            false,
        );
    }

    fn unknown_device(&self, rounds: u64) {
        let connect = Connect {
            client_id: Some(b"5fdb75cccbfe2f02ce81d4bf_dev9999999_0_1_2026112209"),
            username: Some(b"5fdb75cccbfe2f02ce81d4bf_dev9999999"),
            ..self.connect()
        };
        self.logins(rounds, &connect, 60, false);
    }

    fn stale(&self, rounds: u64) {
        self.logins(rounds, &self.connect(), 7200, false);
    }

    fn bad_client_id(&self, rounds: u64) {
        self.logins(rounds, &Connect { client_id: Some(b"backend"), ..self.connect() }, 60, false);
    }
}
