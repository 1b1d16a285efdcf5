//! What does it cost to find a device among millions?

use super::{
    files::{Content, Files, device_id},
    load::loaded,
    plan::Plan,
    random::random,
    report::{Bound, Report, least, median, short},
};
use iotda_core::registry::Table;
use std::{hint::black_box, time::Instant};

const HOW: &str = "In this process, in random order, wall time: the least and the median of nine rounds. Build is the \
time from the file, in the page cache, to the table.";

const ROUNDS: usize = 9;
const QUERIES: usize = 500_000;

pub fn measure(plan: &Plan, files: &Files, report: &mut Report) {
    let devices = plan.lookup;
    let path = files.secrets(devices, Content::Plain);
    let begin = Instant::now();
    let table = loaded(&path).table;
    let build = begin.elapsed();
    let ids = |from: usize| -> Vec<String> {
        random(1, devices).take(QUERIES).map(|n| device_id(from + n)).collect()
    };
    let (known, unknown) = (ids(0), ids(devices));
    let rounds: Vec<[f64; 2]> =
        (0..ROUNDS).map(|_| [time(&table, &known, true), time(&table, &unknown, false)]).collect();

    let rows = ["found", "not found"].iter().enumerate().map(|(n, words)| {
        let times = || rounds.iter().map(|round| round[n]);
        let what = format!("look-up, {words}, {devices} devices");
        report.target(what, median(times()), Bound::AtMost(1000.0), "ns");
        vec![
            devices.to_string(),
            (*words).into(),
            short(least(times())),
            short(median(times())),
            short(build.as_secs_f64()),
        ]
    });
    let rows: Vec<_> = rows.collect();
    report.topic("Look-up", HOW, &["devices", "", "ns", "median, ns", "build, s"], &rows);
}

/// Nanoseconds a look-up.
#[allow(clippy::cast_precision_loss)]
fn time(table: &Table, ids: &[String], there: bool) -> f64 {
    let begin = Instant::now();
    for id in ids {
        assert_eq!(table.find(black_box(id.as_bytes())).is_some(), there);
    }
    begin.elapsed().as_secs_f64() * 1e9 / ids.len() as f64
}
