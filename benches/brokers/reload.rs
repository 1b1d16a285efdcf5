//! How long do clients wait while the file is read again?

use super::{
    VERSIONS,
    broker::{Broker, ping},
    echo::{Echo, longest},
    files::{self, Content, Files},
    plan::Plan,
    report::{Bound, Report, least, median, ms, short},
    subject::Subject,
};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use support::version::Version;

const HOW: &str = "SIGHUP while a client publishes to itself each millisecond at QoS 0. The longest round trip of the \
second before and of the reload: medians of the rounds, and the worst. Time is that of ours from its log, of the others \
the longest round trip. CPU is above what the same broker took before, the least of the rounds; what it takes on the \
broker's own thread is what clients wait for. Memory is above the plugin that does nothing, as a multiple of the file's \
size and 16 bytes a device: the most during the reload, and what is left after it; at few devices the library itself \
counts in it.";

/// A subject, and which content it is told to read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Case {
    subject: Subject,
    words: &'static str,
    other: bool,
}

const CASES: [Case; 4] = [
    Case { subject: Subject::Nothing, words: "plugin that does nothing", other: false },
    Case { subject: Subject::Ours, words: "ours, the same file", other: false },
    Case { subject: Subject::Ours, words: "ours, all secrets and the order changed", other: true },
    Case { subject: Subject::PasswordFile, words: "password_file", other: false },
];

/// One reload.
#[derive(Clone, Copy)]
struct Round {
    before: Duration,
    during: Duration,
    cpu: Duration,
    main_cpu: Duration,
    /// The time that our log line gives.
    time: Option<f64>,
    /// In bytes.
    peak: u64,
    after: u64,
}

pub fn measure(plan: &Plan, files: &Files, report: &mut Report) {
    let mut rows = Vec::new();
    for version in VERSIONS {
        for &(devices, rounds, of_password_file) in &plan.reloads {
            let size = Size { version, devices };
            let rounds = reload_all(&size, rounds, of_password_file, files);
            rows.extend(tell(&size, &rounds, files, report));
        }
    }
    let columns = [
        "devices",
        "broker",
        "subject",
        "before, ms",
        "during, ms",
        "worst, ms",
        "time, ms",
        "CPU, ms",
        "on the broker's thread, ms",
        "memory, most",
        "memory, after",
    ];
    report.topic("Reload", HOW, &columns, &rows);
}

struct Size {
    version: Version,
    devices: usize,
}

/// The reloads of each case, which take turns.
fn reload_all(
    size: &Size,
    rounds: usize,
    of_password_file: usize,
    files: &Files,
) -> Vec<Vec<Round>> {
    let &Size { version, devices } = size;
    let rounds_of = |subject| match subject {
        Subject::PasswordFile => of_password_file,
        _ => rounds,
    };
    let in_force = files.scratch().file("in-force", "");
    let contents =
        [Content::AllOther, Content::Plain].map(|content| files.secrets(devices, content));
    fs::copy(&contents[1], &in_force).unwrap();
    let subjects = Subject::BY_NUMBER.into_iter().filter(|subject| rounds_of(*subject) > 0);
    let brokers: Vec<Broker> = subjects
        .map(|subject| {
            let file = match subject {
                Subject::Ours => Some(in_force.clone()),
                _ => subject.file(files, version, devices),
            };
            Broker::start(version, subject, file.as_deref()).0
        })
        .collect();
    let mut found = vec![Vec::new(); CASES.len()];
    for round in 0..rounds {
        for (n, case) in CASES.iter().enumerate() {
            if round >= rounds_of(case.subject) {
                continue;
            }
            if case.other {
                change(&contents[round % 2], &in_force);
            }
            let broker = brokers.iter().find(|broker| broker.subject == case.subject).unwrap();
            found[n].push(reload(broker));
        }
    }
    fs::remove_file(&in_force).unwrap();
    found
}

/// Puts another content into a file, as an editor does.
fn change(content: &Path, file: &PathBuf) {
    let beside = file.with_extension("new");
    fs::copy(content, &beside).unwrap();
    fs::rename(beside, file).unwrap();
}

fn reload(broker: &Broker) -> Round {
    let process = broker.process();
    let mut other = broker.login(1);
    let echo = Echo::start(&broker.login_over_tcp(0));
    thread::sleep(Duration::from_millis(200));
    process.forget_peak();
    let cpu = || [process.cpu(), process.main_cpu()];

    let (begin, cpu_at_begin) = (Instant::now(), cpu());
    thread::sleep(Duration::from_secs(1));
    let (reload, cpu_at_reload) = (Instant::now(), cpu());
    broker.hang_up().wait(&mut other);
    thread::sleep(Duration::from_millis(500)); // old tables are wiped, and 2.0 is done with the messages that waited
    ping(&mut other);
    let (end, cpu_at_end) = (Instant::now(), cpu());

    let trips = echo.stop();
    let share = (end - reload).div_duration_f64(reload - begin);
    let [cpu, main_cpu] = [0, 1].map(|n| {
        let usual = (cpu_at_reload[n] - cpu_at_begin[n]).mul_f64(share);
        (cpu_at_end[n] - cpu_at_reload[n]).saturating_sub(usual)
    });
    Round {
        before: longest(&trips, begin, reload),
        during: longest(&trips, reload, end),
        cpu,
        main_cpu,
        time: last_time(&broker.log()),
        peak: process.peak(),
        after: process.memory(),
    }
}

/// The seconds in the plugin's last log line about a reload.
fn last_time(log: &str) -> Option<f64> {
    let (_, rest) = log.rsplit_once("reloaded in ")?;
    rest.split_once('s')?.0.parse().ok()
}

#[allow(clippy::cast_precision_loss)] // bytes and devices are far below 2^53
fn tell(
    size: &Size,
    rounds: &[Vec<Round>],
    files: &Files,
    report: &mut Report,
) -> Vec<Vec<String>> {
    let &Size { version, devices } = size;
    let floor = median(rounds[0].iter().map(|round| round.after)) as f64;
    let stall = |n: usize| median(rounds[n].iter().map(|round| round.during)).as_secs_f64() * 1e3;
    let mut rows = Vec::new();
    let cases = CASES.iter().zip(rounds).enumerate();
    for (n, (case, rounds)) in cases.filter(|(_, (_, rounds))| !rounds.is_empty()) {
        let during = rounds.iter().map(|round| round.during);
        let mut row = vec![
            devices.to_string(),
            version.to_string(),
            case.words.into(),
            ms(median(rounds.iter().map(|round| round.before))),
            short(stall(n)),
            ms(during.clone().max().unwrap()),
            match rounds[0].time {
                Some(_) => short(1e3 * median(rounds.iter().filter_map(|round| round.time))),
                None => short(stall(n)),
            },
            ms(least(rounds.iter().map(|round| round.cpu))),
            ms(least(rounds.iter().map(|round| round.main_cpu))),
        ];
        match case.subject.file(files, version, devices) {
            None => row.extend(["–".to_string(), "–".into()]),
            Some(file) => {
                let unit = (files::size(&file) + 16 * devices as u64) as f64;
                let multiple = |bytes: u64| (bytes as f64 - floor) / unit;
                let peak = multiple(rounds.iter().map(|round| round.peak).max().unwrap());
                let after = multiple(rounds.iter().map(|round| round.after).max().unwrap());
                row.extend([short(peak), short(after)]);
                if case.subject == Subject::Ours {
                    let what = |what| {
                        format!("reload of {devices} devices, {what}, {}, {version}", case.words)
                    };
                    let above = stall(n) - stall(0);
                    report.target(
                        what("longest round trip above the floor's"),
                        above,
                        Bound::AtMost(5.0),
                        "ms",
                    );
                    // With few devices it is the library's own.
                    if devices >= 100_000 {
                        report.target(what("memory, most"), peak, Bound::AtMost(2.0), "times");
                    }
                }
            }
        }
        rows.push(row);
    }
    rows
}
