//! How are results shown? As Markdown tables, one for each topic, and a table of the targets.

use std::{fmt::Write, fs, thread, time::Duration};
use support::version::Version;

/// What has been found. It is printed as it comes.
pub struct Report {
    text: String,
    targets: Vec<Vec<String>>,
}

impl Report {
    /// Begins with the day, the machine and the brokers' versions: the newest broker may be later than its name here says.
    pub fn begin(versions: &[Version]) -> Self {
        let mut report = Self { text: String::new(), targets: Vec::new() };
        report.tell(&format!(
            "# What logins and devices cost a broker\n\nWritten by `./dev bench` on {}, on {}, with Mosquitto {}. Figures of \
             different runs or machines do not compare; those of one run do.\n\n",
            jiff::Timestamp::now().strftime("%Y-%m-%d"),
            machine(),
            versions.iter().map(Version::to_string).collect::<Vec<_>>().join(" and "),
        ));
        report
    }

    fn tell(&mut self, text: &str) {
        print!("{text}");
        self.text.push_str(text);
    }

    /// Adds a topic: its title, how it was measured, and its table.
    pub fn topic(&mut self, title: &str, how: &str, columns: &[&str], rows: &[Vec<String>]) {
        self.tell(&format!("## {title}\n\n{how}\n\n{}\n", table(columns, rows)));
    }

    /// Adds a target and what was measured.
    pub fn target(&mut self, what: String, found: f64, bound: Bound, unit: &str) {
        let (words, met) = match bound {
            Bound::AtMost(limit) => (format!("≤ {limit}"), found <= limit),
            Bound::AtLeast(limit) => (format!("≥ {limit}"), found >= limit),
        };
        let met = if met { "yes" } else { "**no**" };
        self.targets.push(vec![what, format!("{words} {unit}"), short(found), met.into()]);
    }

    /// Prints the targets, at the end.
    pub fn targets(&mut self) {
        let rows = std::mem::take(&mut self.targets);
        self.topic("Targets", "Of ours.", &["target", "aim", "found", "met"], &rows);
    }

    /// The whole report.
    pub fn document(&self) -> String {
        self.text.trim_end().to_owned() + "\n"
    }
}

/// The bound of a target.
#[derive(Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A table, with its numbers to the right.
fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let is_number = |cell: &str| cell == "–" || cell.parse::<f64>().is_ok();
    let mut text = line(&columns.iter().map(ToString::to_string).collect::<Vec<_>>());
    for column in 0..columns.len() {
        text.push_str(if rows.iter().all(|row| is_number(&row[column])) {
            "|---:"
        } else {
            "|---"
        });
    }
    text.push_str("|\n");
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut words = String::new();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    write!(words, "{cores} cores").unwrap();
    let cpu = read("/proc/cpuinfo");
    if let Some((_, name)) = cpu.lines().find_map(|line| line.split_once("model name\t: ")) {
        write!(words, " ({name})").unwrap();
    }
    write!(words, ", Linux {}", read("/proc/sys/kernel/osrelease").trim()).unwrap();
    write!(words, ", Debian {}", read("/etc/debian_version").trim()).unwrap();
    words
}

/// With three significant digits.
pub fn short(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// In milliseconds.
pub fn ms(time: Duration) -> String {
    short(time.as_secs_f64() * 1e3)
}

/// In megabytes, of a million bytes.
#[allow(clippy::cast_precision_loss)] // for the eye
pub fn mb(bytes: f64) -> String {
    short(bytes / 1e6)
}

/// The median.
pub fn median<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> T {
    let values = sorted(values);
    values[values.len() / 2]
}

/// The tenth percentile.
pub fn tenth<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> T {
    let values = sorted(values);
    values[values.len() / 10]
}

/// The minimum.
pub fn least<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> T {
    sorted(values)[0]
}

fn sorted<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    values
}
