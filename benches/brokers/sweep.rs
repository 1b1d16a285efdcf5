//! What does it cost that a SIGHUP asks again about every session?

use super::{
    VERSIONS,
    broker::{Broker, ping},
    files::Files,
    plan::Plan,
    report::{Bound, Report, least, median, short},
    subject::Subject,
};
use std::{
    thread,
    time::{Duration, Instant},
};
use support::{mqtt::Client, version::Version};

const HOW: &str = "SIGHUP with devices logged in, and a file of as many lines. CPU over the SIGHUP above what the same \
broker took before, by session, the least and the median of the rounds; ours reads its file on another thread, which is \
not in the last column.";

/// A broker with its sessions.
struct Held {
    broker: Broker,
    clients: Vec<Client>,
    /// CPU a session, in microseconds: in all, and on the broker's thread.
    found: Vec<[f64; 2]>,
}

pub fn measure(plan: &Plan, files: &Files, report: &mut Report) {
    let mut rows = Vec::new();
    for version in VERSIONS {
        let mut all = Subject::BY_NUMBER.map(|subject| hold(plan, version, subject, files));
        for _ in 0..plan.sweep.1 {
            all.iter_mut().for_each(sweep);
        }
        rows.extend(all.iter().map(|held| row(version, held)));
        let [nothing, ours, _] = all.map(|held| least(held.found.iter().map(|cpu| cpu[0])));
        let what = format!("sweep, CPU a session above the floor's, {version}");
        report.target(what, ours - nothing, Bound::AtMost(2.0), "µs");
    }
    let columns =
        ["broker", "subject", "sessions", "CPU, µs", "median, µs", "on the broker's thread, µs"];
    report.topic("Sweep", HOW, &columns, &rows);
}

fn hold(plan: &Plan, version: Version, subject: Subject, files: &Files) -> Held {
    let sessions = match subject {
        Subject::PasswordFile => plan.password_file_sessions,
        _ => plan.sweep.0,
    };
    let file = subject.file(files, version, sessions);
    let broker = Broker::start(version, subject, file.as_deref()).0;
    let clients = (0..sessions).map(|n| broker.login(n)).collect();
    Held { broker, clients, found: Vec::new() }
}

#[allow(clippy::cast_precision_loss)] // thousands of sessions
fn sweep(held: &mut Held) {
    let process = held.broker.process();
    let cpu = || [process.cpu(), process.main_cpu()];
    let client = held.clients.last_mut().unwrap();
    ping(client);
    let (begin, cpu_at_begin) = (Instant::now(), cpu());
    thread::sleep(Duration::from_millis(300));
    let (signal, cpu_at_signal) = (Instant::now(), cpu());
    held.broker.hang_up().wait(client);
    thread::sleep(Duration::from_millis(100)); // until all threads wait
    let (end, cpu_at_end) = (Instant::now(), cpu());

    let share = (end - signal).div_duration_f64(signal - begin);
    held.found.push([0, 1].map(|n| {
        let usual = (cpu_at_signal[n] - cpu_at_begin[n]).mul_f64(share).as_secs_f64();
        let taken = (cpu_at_end[n] - cpu_at_signal[n]).as_secs_f64() - usual;
        taken * 1e6 / held.clients.len() as f64
    }));
}

fn row(version: Version, held: &Held) -> Vec<String> {
    vec![
        version.to_string(),
        held.broker.subject.name().into(),
        held.clients.len().to_string(),
        short(least(held.found.iter().map(|cpu| cpu[0]))),
        short(median(held.found.iter().map(|cpu| cpu[0]))),
        short(least(held.found.iter().map(|cpu| cpu[1]))),
    ]
}
