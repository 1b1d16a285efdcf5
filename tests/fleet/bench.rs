//! What several brokers with one registry take: time from the database to the brokers, CPU, memory, write-ahead log.
//!
//! `./dev bench fleet` builds what this needs and runs it: `fleet-bench PLUGIN TOOL whole|quick|10m`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unreachable_pub, missing_debug_implementations, dead_code)]

#[path = "../../benches/brokers/process.rs"]
mod process;

use fleet::{
    brokers::{Fleet, Node},
    follower::Place,
    server::{Release, Server},
};
use process::Process;
use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use support::{
    broker::wait_within,
    device::Device,
    mqtt::{ACCEPTED, Client, Connect},
    version::Version,
};

const BROKERS: [Version; 2] = [Version::new(2, 1, 2), Version::new(2, 0, 21)];
const PATIENCE: Duration = Duration::from_secs(120);

/// How much is measured.
struct Plan {
    devices: Vec<u32>,
    rounds: usize,
    /// For each number of changes a second.
    busy: Duration,
}

impl Plan {
    fn of(word: &str) -> Self {
        let whole =
            Self { devices: vec![10_000, 1_000_000], rounds: 100, busy: Duration::from_secs(30) };
        match word {
            "quick" => Self { rounds: 15, busy: Duration::from_secs(10), ..whole },
            "10m" => Self { devices: vec![10_000_000], rounds: 15, busy: Duration::from_secs(60) },
            _ => whole,
        }
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [plugin, tool, word] = &arguments[..] else { panic!("PLUGIN TOOL whole|quick|10m") };
    let plan = Plan::of(word);
    println!("| devices | what | median | worst |\n|---:|---|---:|---:|");
    let mut rest = String::new();
    for devices in &plan.devices {
        rest += &measure(*devices, &plan, Path::new(plugin), Path::new(tool));
    }
    println!(
        "\n| devices | changes a second | follower, % of a core | broker 2.1, % | broker 2.0, % | files a minute | WAL held, MB |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n{rest}"
    );
}

fn measure(devices: u32, plan: &Plan, plugin: &Path, tool: &Path) -> String {
    let server = Server::new(Release::V17);
    server.sql(&format!(
        "INSERT INTO iotda.device (device_id, secret) SELECT 'device-' || lpad(n::text, 10, '0'), md5(n::text)
         FROM generate_series(1, {devices}) n; ANALYZE; CHECKPOINT"
    ));
    // As an operator has it, not in a hurry like a test.
    let place = || {
        Place::new(&server.dsn()).with_tool(tool).with(&[
            "--min-interval",
            "1s",
            "--answer-timeout",
            "60s",
        ])
    };
    let fleet = Fleet::start(&server, &BROKERS, place, Some(plugin));
    let mut bench = Bench { fleet, server, devices, next: 0, random: fastrand::Rng::with_seed(1) };
    bench.let_settle();
    bench.insert_to_login(plan.rounds);
    bench.update_to_disconnect(plan.rounds);
    bench.memory();
    [1, 10, 100].iter().map(|rate| bench.busy(*rate, plan.busy)).collect()
}

struct Bench {
    // Before the server: it ends first.
    fleet: Fleet,
    server: Server,
    devices: u32,
    next: u32,
    random: fastrand::Rng,
}

fn cpu_of(node: &Node) -> [Duration; 2] {
    [Process(node.follower.pid()).cpu(), Process(node.broker.pid()).cpu()]
}

impl Bench {
    /// Waits until nothing is on its way any more.
    fn let_settle(&self) {
        for node in &self.fleet.nodes {
            Process(node.broker.pid()).cpu_at_rest();
        }
        // A broker reads a file once more some seconds after it has changed.
        thread::sleep(Duration::from_secs(4) + Duration::from_micros(u64::from(self.devices)));
    }

    fn new_device(&mut self) -> Device {
        self.next += 1;
        let id = format!("new-{}", self.next).leak();
        Device { id, secret: "0123456789abcdef" }
    }

    fn insert(&self, device: &Device) {
        let Device { id, secret } = device;
        self.server.sql(&format!(
            "INSERT INTO iotda.device (device_id, secret) VALUES ('{id}', '{secret}')"
        ));
    }

    fn pause(&mut self) {
        // Longer than the pause between two files, and anywhere in the broker's second.
        let rest = Duration::from_nanos(1300) * self.devices + Duration::from_millis(2500);
        thread::sleep(rest + Duration::from_millis(self.random.u64(0..1000)));
    }

    fn row(&self, what: &str, times: &mut [Duration]) {
        times.sort();
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!("| {} | {what} | {} | {} |", self.devices, seconds(median), seconds(worst));
    }

    fn insert_to_login(&mut self, rounds: usize) {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let device = self.new_device();
            let connect = device.connect_now();
            self.insert(&device);
            let begin = Instant::now();
            wait_within(PATIENCE, || {
                thread::sleep(Duration::from_millis(5));
                self.fleet.connect(&connect).1 == ACCEPTED
            })
            .expect("a login");
            times.push(begin.elapsed());
            self.pause();
        }
        self.row("INSERT to first login", &mut times);
    }

    fn login_everywhere(&self, connect: &Connect) -> Vec<Client> {
        let nodes = self.fleet.nodes.iter();
        let clients = nodes.map(|node| {
            wait_within(PATIENCE, || {
                let (client, answer) = self.fleet.connect_to(node, connect);
                (answer == ACCEPTED).then_some(client)
            })
        });
        clients.map(|client| client.expect("a login")).collect()
    }

    fn update_to_disconnect(&mut self, rounds: usize) {
        let mut times = Vec::new();
        for number in 1..=rounds.min(usize::try_from(self.next).unwrap()) {
            let device = Device { id: format!("new-{number}").leak(), secret: "0123456789abcdef" };
            let clients = self.login_everywhere(&device.connect_now());
            self.server.sql(&format!(
                "UPDATE iotda.device SET frozen = true WHERE device_id = '{}'",
                device.id
            ));
            let begin = Instant::now();
            // Each client waits for the end of its connection.
            let ends = clients.into_iter().map(|mut client| {
                thread::spawn(move || {
                    while client.is_alive() {
                        thread::sleep(Duration::from_millis(5));
                    }
                    begin.elapsed()
                })
            });
            let ends: Vec<_> = ends.collect();
            times.push(ends.into_iter().map(|end| end.join().unwrap()).max().unwrap());
            self.pause();
        }
        self.row("UPDATE to disconnect on every broker", &mut times);
    }

    fn memory(&self) {
        let node = &self.fleet.nodes[0];
        let process = Process(node.follower.pid());
        let file = fs::metadata(node.place.file()).unwrap().len();
        let most = file + 32 * u64::from(self.devices);
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        println!(
            "| {} | file {}, follower's memory | {} | {} (aim: {}) |",
            self.devices,
            megabytes(file),
            megabytes(process.memory()),
            megabytes(process.peak()),
            megabytes(most)
        );
    }

    /// Changes so many rows a second.
    fn busy(&mut self, rate: u32, time: Duration) -> String {
        self.let_settle();
        let mut client = self.server.client();
        let before: Vec<_> = self.fleet.nodes.iter().map(cpu_of).collect();
        let writes = || -> PathBuf { self.fleet.nodes[0].place.file() };
        let identity = || {
            fs::metadata(writes()).map(|found| std::os::unix::fs::MetadataExt::ino(&found)).unwrap()
        };
        let (begin, mut last, mut files, mut held) = (Instant::now(), identity(), 0, 0i64);
        let mut changes = 0;
        while begin.elapsed() < time {
            let device = self.random.u32(1..=self.devices);
            client
                .execute(
                    &format!(
                        "UPDATE iotda.device SET frozen = NOT frozen WHERE device_id = 'device-{device:010}'"
                    ),
                    &[],
                )
                .unwrap();
            changes += 1;
            let next = begin + Duration::from_secs(1) * changes / rate;
            while Instant::now() < next {
                thread::sleep(
                    Duration::from_millis(5).min(next.saturating_duration_since(Instant::now())),
                );
                let now = identity();
                if now != last {
                    last = now;
                    files += 1;
                }
            }
            if changes % rate == 0 {
                let query = "SELECT max(pg_current_wal_lsn() - restart_lsn)::int8 FROM pg_replication_slots";
                held = held.max(client.query_one(query, &[]).unwrap().get(0));
            }
        }
        let took = begin.elapsed().as_secs_f64();
        let after: Vec<_> = self.fleet.nodes.iter().map(cpu_of).collect();
        let percent = |node: usize, which: usize| {
            let used = after[node][which] - before[node][which];
            format!("{:.1}", 100.0 * used.as_secs_f64() / took)
        };
        format!(
            "| {} | {rate} | {} | {} | {} | {:.0} | {:.1} |\n",
            self.devices,
            percent(0, 0),
            percent(0, 1),
            percent(1, 1),
            f64::from(files) * 60.0 / took,
            held as f64 / 1e6
        )
    }
}
