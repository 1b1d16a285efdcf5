//! What logins and devices cost a real broker: ours beside the broker's own `password_file` and dynamic-security, and
//! beside a plugin that does nothing.
//!
//! `./dev bench` runs all of it, in about twelve minutes, prints one document, and writes it to `benches/RESULTS.md`. Words
//! choose less, which is printed only: `quick` has small numbers, too small for some targets; `micro`, `logins`, `start`,
//! `reload`, `sweep`, `lookup` and `load` are the topics.
//!
//! ```text
//! ./dev bench quick logins reload
//! ```
//!
//! Machines flip between fast and slow, and others work on them. So rounds of all subjects take turns, and what is
//! compared comes from the same run. CPU time is the kernel's own count for each thread, in nanoseconds.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`micro`] | what does the check of a login cost by itself, in time and in instructions? |
//! | [`logins`] | what does a login cost a broker? |
//! | [`start`] | what does a start cost, and how much memory is taken? |
//! | [`reload`] | how long do clients wait while the file is read again? |
//! | [`sweep`] | what does it cost that a SIGHUP asks again about every session? |
//! | [`lookup`] | what does it take to find a device among millions? |
//! | [`load`] | what does it take to make a table of a file? |
//! | [`plan`] | how many devices, how many rounds? |
//! | [`subject`] | what lets clients in? |
//! | [`files`] | which devices and users? |
//! | [`random`] | which of many? |
//! | [`operations`] | what is a login made of? |
//! | [`broker`] | how is a broker run that is measured? |
//! | [`process`] | what does a process take? |
//! | [`echo`] | how long is a message under way? |
//! | [`report`] | how is it told? |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_debug_implementations
)]

mod broker;
mod echo;
mod files;
mod load;
mod logins;
mod lookup;
mod micro;
mod operations;
mod plan;
mod process;
mod publish;
mod random;
mod reload;
mod report;
mod start;
mod subject;
mod sweep;

use files::Files;
use plan::Plan;
use report::Report;
use std::{env, fs, time::Instant};
use support::{
    broker::{NEWEST, OLDEST},
    version::Version,
};

/// The oldest and the newest that we support.
const VERSIONS: [Version; 2] = [OLDEST, NEWEST];

/// Measures a topic, and tells what was found.
type Topic = fn(&Plan, &Files, &mut Report);

const TOPICS: [(&str, Topic); 8] = [
    ("micro", micro::measure),
    ("logins", logins::measure),
    ("publish", publish::measure),
    ("start", start::measure),
    ("reload", reload::measure),
    ("sweep", sweep::measure),
    ("lookup", lookup::measure),
    ("load", load::measure),
];

/// Where the part of the document begins that is not measured here, and stays.
const BY_HAND: &str = "\n## The follower's memory\n";

fn main() {
    let begin = Instant::now();
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if micro::was_started_for(&words) {
        return;
    }
    let quick = words.iter().any(|word| word == "quick");
    let chosen: Vec<_> =
        TOPICS.iter().filter(|(name, _)| words.iter().any(|word| word == name)).collect();
    let known = chosen.len() + usize::from(quick);
    assert_eq!(words.len(), known, "expected quick and topics, found {words:?}");
    let all = chosen.is_empty();

    let plan = if quick { Plan::quick() } else { Plan::full() };
    let files = Files::new();
    let mut report = Report::begin(&VERSIONS.map(support::broker::real_version));
    for (name, measure) in if all { TOPICS.iter().collect() } else { chosen } {
        let begin = Instant::now();
        measure(&plan, &files, &mut report);
        eprintln!("{name}: {:.0} s", begin.elapsed().as_secs_f64());
    }
    report.targets();
    eprintln!("{:.0} s in all", begin.elapsed().as_secs_f64());
    if all && !quick {
        let path = support::library::root().join("benches/RESULTS.md");
        let old = fs::read_to_string(&path).unwrap_or_default();
        let by_hand = old.find(BY_HAND).and_then(|at| old.get(at..)).unwrap_or_default();
        fs::write(path, report.document() + by_hand).expect("benches/RESULTS.md can be written");
    }
}
