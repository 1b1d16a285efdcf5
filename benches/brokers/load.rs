//! What does it cost to make a table from a file?

use super::{
    files::{Content, Files},
    plan::Plan,
    process::own_cpu,
    report::{Bound, Report, least, median, ms, short},
};
use iotda_core::registry::{Cancel, read::MAX_ERRORS};
use iotda_files::{Loaded, load};
use std::path::Path;

const HOW: &str =
    "In this process, from a file in the page cache, CPU: the least and the median of the rounds.";

pub fn measure(plan: &Plan, files: &Files, report: &mut Report) {
    let (devices, rounds) = plan.load;
    let path = files.secrets(devices, Content::Plain);
    let rounds: Vec<_> = (0..rounds)
        .map(|_| {
            let before = own_cpu();
            let loaded = loaded(&path);
            let load = own_cpu() - before;
            drop(loaded);
            (load, own_cpu() - before - load)
        })
        .collect();
    let load = || rounds.iter().map(|(load, _)| *load);
    let free = || rounds.iter().map(|(_, free)| *free);
    #[allow(clippy::cast_precision_loss)]
    let each = least(load()).as_secs_f64() * 1e9 / devices as f64;
    let row = vec![
        devices.to_string(),
        ms(least(load())),
        ms(median(load())),
        short(each),
        ms(least(free())),
    ];
    let what = format!("load of {devices} devices, CPU");
    report.target(what, median(load()).as_secs_f64(), Bound::AtMost(0.5), "s");
    let columns = ["devices", "load, ms", "median, ms", "ns a device", "wipe and free, ms"];
    report.topic("Load", HOW, &columns, &[row]);
}

/// The table of a file that has no errors.
pub fn loaded(path: &Path) -> Loaded {
    load(path, MAX_ERRORS, Cancel::NEVER).expect("a good file")
}
