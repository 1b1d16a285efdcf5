//! Is each file the table of some moment, whatever happens? Random transactions, kills and cuts; every file that is seen is compared
//! with the table after the transaction that it claims to be from.

use fleet::{
    follower::{PATIENCE, Place},
    network::Network,
    server::{Release, Server},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::broker::wait_within;

on_each_server!(every_file_is_the_table_of_some_moment);

/// How long the random part takes; `IOTDA_FLEET_SECONDS` and `IOTDA_FLEET_SEED` set others.
const SECONDS: u64 = 25;

/// The device whose secret is the number of the transaction.
const CLOCK: &str = "clock";

/// A device of the model: its secret and whether it is frozen.
type Devices = BTreeMap<String, (String, bool)>;

/// The tables after each transaction: what was committed, and what may have been when the server was killed.
#[derive(Default)]
struct History(BTreeMap<u64, Vec<String>>);

fn lines(devices: &Devices) -> Vec<String> {
    let line = |(id, (secret, frozen)): (&String, &(String, bool))| {
        format!("{id}:{secret}{}", if *frozen { ":frozen" } else { "" })
    };
    let mut lines: Vec<String> = devices.iter().map(line).collect();
    lines.sort();
    lines
}

/// The number of the transaction that a table is from.
fn number(lines: &[String]) -> u64 {
    let clock = lines.iter().find_map(|line| line.strip_prefix("clock:tick-"));
    clock.unwrap_or_else(|| panic!("no clock: {lines:?}")).parse().unwrap()
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// A random transaction on the model, as statements.
fn transaction(random: &mut fastrand::Rng, devices: &mut Devices, number: u64) -> String {
    let mut statements = vec!["BEGIN".to_string()];
    for _ in 0..random.usize(1..6) {
        let ids: Vec<String> = devices.keys().filter(|id| *id != CLOCK).cloned().collect();
        let some = ids[random.usize(0..ids.len())].clone();
        let new = format!("dev-{}", random.u16(0..400));
        let secret = format!("secret-{}", "x".repeat(random.usize(1..20)));
        match random.u8(0..12) {
            0..4 => {
                let frozen = random.bool();
                statements.push(format!(
                    "INSERT INTO iotda.device (device_id, secret, frozen) VALUES ('{new}', '{secret}', {frozen})
                     ON CONFLICT (device_id) DO UPDATE SET secret = excluded.secret, frozen = excluded.frozen"
                ));
                devices.insert(new, (secret, frozen));
            }
            4..6 if ids.len() > 40 => {
                statements.push(format!("DELETE FROM iotda.device WHERE device_id = '{some}'"));
                devices.remove(&some);
            }
            6 => {
                statements.push(format!(
                    "DELETE FROM iotda.device WHERE device_id = '{some}';
                     INSERT INTO iotda.device (device_id, secret) VALUES ('{some}', '{secret}')"
                ));
                devices.insert(some, (secret, false));
            }
            7 if !devices.contains_key(&new) => {
                statements.push(format!(
                    "UPDATE iotda.device SET device_id = '{new}' WHERE device_id = '{some}'"
                ));
                let device = devices.remove(&some).unwrap();
                devices.insert(new, device);
            }
            8 if random.u8(0..4) == 0 => {
                // Emptied and filled again.
                statements.push(
                    "CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM iotda.device; TRUNCATE iotda.device;
                     INSERT INTO iotda.device SELECT * FROM kept; DROP TABLE kept"
                        .into(),
                );
            }
            9 if random.u8(0..4) == 0 => {
                // Written anew, which the change feed does not tell.
                statements.push(
                    "ALTER TABLE iotda.device ALTER COLUMN secret TYPE text COLLATE \"C\"
                     USING translate(secret, 'xy', 'yx')"
                        .into(),
                );
                for (id, (secret, _)) in devices.iter_mut() {
                    if id != CLOCK {
                        let swap = |char| match char {
                            'x' => 'y',
                            'y' => 'x',
                            char => char,
                        };
                        *secret = secret.chars().map(swap).collect();
                    }
                }
            }
            10 => statements.push("SAVEPOINT a; DELETE FROM iotda.device; ROLLBACK TO a".into()),
            _ => {
                statements.push(format!(
                    "UPDATE iotda.device SET frozen = NOT frozen WHERE device_id = '{some}'"
                ));
                devices.get_mut(&some).unwrap().1 ^= true;
            }
        }
    }
    statements.push(format!(
        "UPDATE iotda.device SET secret = 'tick-{number:08}' WHERE device_id = '{CLOCK}'"
    ));
    devices.insert(CLOCK.into(), (format!("tick-{number:08}"), false));
    statements.push("COMMIT".into());
    statements.join(";\n")
}

fn every_file_is_the_table_of_some_moment(release: Release) {
    let seed = variable("IOTDA_FLEET_SEED", u64::from(std::process::id()));
    eprintln!("IOTDA_FLEET_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Mutex::new(Server::new(release));
    let port = server.lock().unwrap().port();
    let network = Network::to(port);
    let place = Place::new(&server.lock().unwrap().dsn_by(network.port()))
        .with(&["--answer-timeout", "1s"]);

    let mut devices = Devices::from([(CLOCK.into(), ("tick-00000000".into(), false))]);
    let mut begin =
        "INSERT INTO iotda.device (device_id, secret) VALUES ('clock', 'tick-00000000')"
            .to_string();
    for number in 0..60 {
        begin += &format!(", ('dev-{number}', 'secret-x')");
        devices.insert(format!("dev-{number}"), ("secret-x".into(), false));
    }
    server.lock().unwrap().sql(&begin);
    // From here on: the first test of all builds the tool.
    let end = Instant::now() + Duration::from_secs(variable("IOTDA_FLEET_SECONDS", SECONDS));
    let history = Mutex::new(History(BTreeMap::from([(0, lines(&devices))])));
    let (is_over, seen, kills) =
        (AtomicBool::new(false), Mutex::new(BTreeSet::new()), AtomicUsize::new(0));

    thread::scope(|scope| {
        // Looks at the file all the time.
        scope.spawn(|| {
            let mut last = 0;
            while !is_over.load(Ordering::Relaxed) {
                let found = place.lines();
                if !found.is_empty() {
                    let number = number(&found);
                    let history = history.lock().unwrap();
                    assert_eq!(
                        history.0.get(&number),
                        Some(&found),
                        "the table of transaction {number}"
                    );
                    // Not back in time.
                    assert!(number >= last, "{number} after {last}");
                    last = number;
                    seen.lock().unwrap().insert(number);
                }
                thread::sleep(Duration::from_millis(3));
            }
        });
        // Kills the follower, cuts the network, and kills the server.
        let mut chaos = fastrand::Rng::with_seed(random.u64(..));
        let (network, place, server, is_over, kills) =
            (&network, &place, &server, &is_over, &kills);
        scope.spawn(move || {
            let mut follower = place.start();
            while Instant::now() < end {
                thread::sleep(Duration::from_millis(chaos.u64(0..1500)));
                match chaos.u8(0..10) {
                    0..5 => {
                        follower.kill();
                        follower = place.start();
                    }
                    5..7 => network.cut_after(chaos.i64(0..20_000), chaos.bool()),
                    7 => network.shut(),
                    8 => {
                        let mut server = server.lock().unwrap();
                        server.stop("QUIT");
                        thread::sleep(Duration::from_millis(chaos.u64(0..300)));
                        server.start();
                    }
                    _ => network.mend(),
                }
                if chaos.bool() {
                    network.mend();
                }
                kills.fetch_add(1, Ordering::Relaxed);
            }
            network.mend();
            let server = server.lock().unwrap();
            let expected = server.lines();
            let equal = wait_within(PATIENCE, || place.lines() == expected);
            is_over.store(true, Ordering::Relaxed);
            assert!(equal.is_some(), "the table of now does not come:\n{}", place.log());
            assert!(follower.is_running());
            drop(follower);
            network.close();
            server.wait_for_no_slot();
        });
        for number in 1.. {
            if Instant::now() >= end {
                break;
            }
            let statements = transaction(&mut random, &mut devices, number);
            // Known before it is committed: a follower may be quick.
            history.lock().unwrap().0.insert(number, lines(&devices));
            server.lock().unwrap().sql(&statements);
            thread::sleep(Duration::from_millis(random.u64(0..60)));
        }
    });
    assert_eq!(server.lock().unwrap().lines(), lines(&devices));
    let (seen, kills) = (seen.lock().unwrap().len(), kills.load(Ordering::Relaxed));
    eprintln!(
        "{} transactions, {seen} different files, {kills} failures",
        history.lock().unwrap().0.len()
    );
    assert!(seen > 5);
}
