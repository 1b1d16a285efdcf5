//! What does a start cost, and how much memory is taken?

use super::{
    VERSIONS,
    broker::{Broker, Started},
    files::{self, Files},
    plan::Plan,
    report::{Bound, Report, least, mb, median, ms, short},
    subject::Subject,
};
use support::version::Version;

const HOW: &str = "From the fork to the first CONNACK that says yes: the least CPU of the rounds, and the median time. \
Memory is the resident set above that of the same broker with the plugin that does nothing, by then; at few devices the \
library itself counts in it.";

pub fn measure(plan: &Plan, files: &Files, report: &mut Report) {
    let mut rows = Vec::new();
    let large = plan.large_start.map(|devices| (devices, 2));
    for version in VERSIONS {
        for (devices, rounds) in plan.starts.iter().copied().chain(large) {
            let is_large = Some(devices) == plan.large_start;
            let subjects: Vec<Subject> = Subject::BY_NUMBER
                .into_iter()
                .filter(|subject| !is_large || *subject != Subject::PasswordFile)
                .collect();
            let starts = start_all(version, devices, rounds, &subjects, files);
            let size = Size { version, devices, is_largest_of_all: devices == largest(plan) };
            rows.extend(tell(&size, &subjects, &starts, files, report));
        }
    }
    let columns = [
        "devices",
        "broker",
        "subject",
        "CPU, ms",
        "CPU, times ours",
        "time, ms",
        "memory, MB",
        "bytes a device",
        "less the file's",
    ];
    report.topic("Start", HOW, &columns, &rows);
}

/// The largest that all subjects start with.
fn largest(plan: &Plan) -> usize {
    plan.starts.iter().map(|(devices, _)| *devices).max().unwrap_or_default()
}

struct Size {
    version: Version,
    devices: usize,
    is_largest_of_all: bool,
}

/// The starts of each subject, which take turns.
fn start_all(
    version: Version,
    devices: usize,
    rounds: usize,
    subjects: &[Subject],
    files: &Files,
) -> Vec<Vec<Started>> {
    let paths: Vec<_> =
        subjects.iter().map(|subject| subject.file(files, version, devices)).collect();
    let mut starts = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (n, subject) in subjects.iter().enumerate() {
            starts[n].push(Broker::start(version, *subject, paths[n].as_deref()).1);
        }
    }
    starts
}

#[allow(clippy::cast_precision_loss)] // bytes and devices are far below 2^53
fn tell(
    size: &Size,
    subjects: &[Subject],
    starts: &[Vec<Started>],
    files: &Files,
    report: &mut Report,
) -> Vec<Vec<String>> {
    let cpu = |n: usize| least(starts[n].iter().map(|start| start.cpu)).as_secs_f64();
    let memory = |n: usize| median(starts[n].iter().map(|start| start.memory)) as f64;
    let ours = subjects.iter().position(|subject| *subject == Subject::Ours).unwrap();
    let mut rows = Vec::new();
    for (n, subject) in subjects.iter().enumerate() {
        let mut row = vec![
            size.devices.to_string(),
            size.version.to_string(),
            subject.name().into(),
            short(cpu(n) * 1e3),
            short(cpu(n) / cpu(ours)),
            ms(median(starts[n].iter().map(|start| start.time))),
        ];
        match subject.file(files, size.version, size.devices) {
            None => row.extend(["–".to_string(), "–".into(), "–".into()]),
            Some(file) => {
                // The first subject is the plugin that does nothing.
                let above = memory(n) - memory(0);
                let rest = (above - files::size(&file) as f64) / size.devices as f64;
                row.extend([mb(above), short(above / size.devices as f64), short(rest)]);
                if n == ours && size.devices >= 100_000 {
                    let what =
                        format!("memory less the file, {} devices, {}", size.devices, size.version);
                    report.target(what, rest, Bound::AtMost(16.0), "bytes a device");
                }
            }
        }
        if *subject == Subject::PasswordFile && size.is_largest_of_all {
            let what = format!("start, CPU of password_file to ours, {}", size.version);
            report.target(what, cpu(n) / cpu(ours), Bound::AtLeast(10.0), "times");
        }
        rows.push(row);
    }
    rows
}
