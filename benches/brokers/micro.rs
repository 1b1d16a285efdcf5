//! What does the check of a login cost by itself, in time and in instructions?
//!
//! Instruction counts do not depend on the machine's other work. Each operation runs in a separate process under
//! callgrind, once with few rounds and once with many; the difference leaves out everything that is done once.

use super::{
    files::Files,
    operations::{ALIKE, Bench, CLIENTS, DEVICES, NO_DEVICE, OPERATIONS, Operation},
    plan::Plan,
    process::own_cpu,
    report::{Bound, Report, least, median, short},
};
use std::{env, process::Command};

const HOW: &str = "In this process, with a table of 10000 devices, 100 of which take turns. CPU time: the least and the \
median of the rounds. Instructions are counted by callgrind, whose CPU has no SHA extensions. The last rows are all that happens \
in the plugin but the calls of the broker's functions.";

/// The word before the name of an operation and a number of rounds, for a process under callgrind.
const CHILD: &str = "operation";
const FEW: usize = 1;
const MANY: usize = 21;

pub fn measure(plan: &Plan, files: &Files, report: &mut Report) {
    let bench = Bench::new(files);
    let times = times(plan, &bench);
    let counts: Vec<usize> = OPERATIONS
        .iter()
        .map(|(name, _)| {
            (instructions(name, MANY) - instructions(name, FEW)) / ((MANY - FEW) * CLIENTS)
        })
        .collect();
    let rows = OPERATIONS.iter().enumerate().map(|(n, (name, _))| {
        vec![
            DEVICES.to_string(),
            (*name).into(),
            short(least(times[n].iter().copied())),
            short(median(times[n].iter().copied())),
            counts[n].to_string(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    tell_spread(&counts, report);
    report.topic("Checks", HOW, &["devices", "", "ns", "median, ns", "instructions"], &rows);
}

/// The nanoseconds of each operation in each round; operations take turns.
#[allow(clippy::cast_precision_loss)]
fn times(plan: &Plan, bench: &Bench) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); OPERATIONS.len()];
    for _ in 0..plan.micro.1 {
        for ((_, operation), times) in OPERATIONS.iter().zip(&mut times) {
            let before = own_cpu();
            repeat(bench, *operation, plan.micro.0);
            times.push((own_cpu() - before).as_secs_f64() * 1e9 / (plan.micro.0 * CLIENTS) as f64);
        }
    }
    times
}

fn repeat(bench: &Bench, operation: Operation, rounds: usize) {
    for _ in 0..rounds {
        (0..CLIENTS).for_each(|client| operation(bench, client));
    }
}

/// Whether the time tells a stranger which devices exist, or which of them have a second secret.
#[allow(clippy::cast_precision_loss)]
fn tell_spread(counts: &[usize], report: &mut Report) {
    for alike in ALIKE {
        let checks = || {
            let which = OPERATIONS.iter().zip(counts);
            which
                .filter(move |((name, _), _)| name.starts_with(alike) && *name != NO_DEVICE)
                .map(|(_, count)| *count as f64)
        };
        let most = checks().fold(0.0, f64::max);
        let what = format!("instructions, {alike}most to least");
        report.target(what, most / least(checks()), Bound::AtMost(1.02), "times");
    }
}

/// Runs an operation and nothing else, if that is what the process was started for.
pub fn was_started_for(words: &[String]) -> bool {
    let [word, name, rounds] = words else { return false };
    if word != CHILD {
        return false;
    }
    let (_, operation) = OPERATIONS.iter().find(|(known, _)| known == name).expect("an operation");
    repeat(&Bench::new(&Files::new()), *operation, rounds.parse().expect("a number of rounds"));
    true
}

/// The instructions of a process that runs an operation a number of times.
fn instructions(name: &str, rounds: usize) -> usize {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .args([CHILD, name, &rounds.to_string()])
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
