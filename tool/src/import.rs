//! Which devices does a CSV file add or change? All of them, or none if a line is wrong.

use crate::{
    args, csv,
    edit::{open, save, say_reload},
    secret, secrets_file,
    terminal::{self, Answer, Failure, Progress, say, shown},
};
use iotda_core::registry::edit::{self, Change, Order, Orders, Problem, Problems, Proof, Settings};
use std::{collections::HashMap, fs::File, io::Write, path::Path};
use zeroize::Zeroizing;

/// The most wrong lines that are reported one by one; the rest is a count.
const MAX_ERRORS: usize = edit::MAX_PROBLEMS;

/// Imports a CSV file, or reports which lines are wrong.
pub(crate) fn run(args: &args::Import) -> Result<Answer, Failure> {
    let file = &secrets_file::named(args.file.as_deref(), "FILE")?;
    let content = read(&args.csv)?;
    let mut progress = Progress::new();
    let (rows, errors) = Rows::read(&content, args.update, &mut progress)
        .map_err(|reason| Failure::new(format!("{}: {reason}", shown(&args.csv))))?;
    progress.step("reading the secrets file");
    let editing = open(file, args.create)?;
    progress.step("putting the devices in");
    // The other lines are checked even if some are wrong, so that all errors are reported together.
    let edited = match edit::apply(editing.content(), &rows) {
        Ok(edited) if errors.total == 0 => edited,
        wrong => {
            drop(progress);
            return refuse(&args.csv, &rows, errors, wrong.err().unwrap_or_default());
        }
    };
    if !args.dry_run {
        progress.step("writing the secrets file");
        save(file, editing, &edited)?;
    }
    drop(progress);
    let did = if args.dry_run { "would be " } else { "" };
    let (name, added, changed) = (shown(file), edited.added, edited.changed);
    terminal::write(|out| writeln!(out, "{name}: {added} {did}added, {changed} {did}changed"))?;
    if !args.dry_run && !edited.is_unchanged() && edited.devices > 0 {
        say_reload(file, "the import is done", args.say);
    }
    Ok(Answer::Yes)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let content = if path == Path::new("-") {
        secret::stdin()
    } else {
        File::open(path).and_then(|mut file| {
            let size = usize::try_from(file.metadata()?.len()).unwrap_or(0);
            secret::to_end(&mut file, size)
        })
    };
    content.map_err(|error| Failure::new(format!("{}: cannot be read: {error}", shown(path))))
}

/// Reports the wrong lines on standard error, in the format of compilers.
fn refuse(
    csv: &Path,
    rows: &Rows<'_>,
    Errors { first: mut errors, total }: Errors,
    problems: Problems,
) -> Result<Answer, Failure> {
    let lines = rows.numbers(&problems);
    let number = |at: usize| lines.get(&at).copied().unwrap_or(0);
    let total = total + problems.total;
    for (at, problem) in problems.first {
        let order = rows.get(at);
        let device = order.map_or(&[][..], |order| order.device_id);
        errors.push((number(at), describe(device, problem, number)));
    }
    errors.sort_by_key(|(line, _)| *line);
    errors.truncate(MAX_ERRORS);
    terminal::write_errors(|out| {
        for (line, error) in &errors {
            writeln!(out, "iotda-auth: {}:{line}: {error}", shown(csv))?;
        }
        Ok(())
    });
    let more = total - errors.len();
    if more > 0 {
        say(format_args!("{}: and {more} more", shown(csv)));
    }
    let s = if total == 1 { "" } else { "s" };
    say(format_args!("{}: {total} error{s}: nothing is imported", shown(csv)));
    Ok(Answer::No)
}

fn describe(device_id: &[u8], problem: Problem, line: impl Fn(usize) -> u64) -> String {
    let device = String::from_utf8_lossy(device_id);
    match problem {
        // If the device id itself is wrong, it is not repeated.
        Problem::Line(fault) => fault.to_string(),
        Problem::Twice { first } => {
            format!("device {device}: given on line {} already", line(first))
        }
        Problem::Present => format!("device {device}: {problem} (--update changes it)"),
        Problem::Absent | Problem::Certificate | Problem::Secret => {
            format!("device {device}: {problem}")
        }
    }
}

/// The columns that a CSV file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    DeviceId,
    Secret,
    Secondary,
    Frozen,
    X509,
}

impl Column {
    const ALL: [Self; 5] =
        [Self::DeviceId, Self::Secret, Self::Secondary, Self::Frozen, Self::X509];

    fn name(self) -> &'static str {
        match self {
            Self::DeviceId => "device_id",
            Self::Secret => "secret",
            Self::Secondary => "secondary",
            Self::Frozen => "frozen",
            Self::X509 => "x509",
        }
    }
}

/// The lines of a CSV file that are wrong.
#[derive(Debug, Default)]
struct Errors {
    /// The first of them, with their line numbers.
    first: Vec<(u64, String)>,
    /// The number of all wrong lines.
    total: usize,
}

/// The orders of a CSV file. Only the offset of each line is kept; its values are parsed again when they are needed.
#[derive(Debug)]
struct Rows<'a> {
    content: &'a [u8],
    columns: Vec<Column>,
    update: bool,
    /// The offsets of the lines that are orders, in bytes. 32 bits are enough: a larger file would not fit a secrets file.
    starts: Vec<u32>,
}

impl<'a> Rows<'a> {
    /// Reads the lines of a CSV file; an error is about its header or the whole file.
    fn read(
        content: &'a [u8],
        update: bool,
        progress: &mut Progress,
    ) -> Result<(Self, Errors), String> {
        let size = content.len();
        u32::try_from(size).map_err(|_| format!("expected less than 4 GiB, found {size} bytes"))?;
        let mut lines = csv::lines(content);
        let (number, _, header) = lines.next().ok_or("expected a header line, found nothing")?;
        let columns = columns(header).map_err(|reason| format!("line {number}: {reason}"))?;
        let mut rows = Self { content, columns, update, starts: Vec::new() };
        let mut errors = Errors::default();
        let mut values = Vec::new();
        for (number, start, line) in lines {
            progress.lines(number);
            match (u32::try_from(start), rows.order(line, &mut values)) {
                (Ok(start), Ok(_)) => rows.starts.push(start),
                (_, Err(error)) if errors.first.len() < MAX_ERRORS => {
                    errors.total += 1;
                    errors.first.push((number, error));
                }
                _ => errors.total += 1,
            }
        }
        Ok((rows, errors))
    }

    fn order(&self, line: &'a [u8], values: &mut Vec<&'a [u8]>) -> Result<Order<'a>, String> {
        csv::values(line, values).map_err(|fault| fault.text().to_owned())?;
        let (device_id, settings) = row(&self.columns, values)?;
        let change = if self.update { Change::Put(settings) } else { Change::Add(settings) };
        Ok(Order { device_id, change })
    }

    /// The line numbers of problems, by the numbers of the orders.
    fn numbers(&self, problems: &Problems) -> HashMap<usize, u64> {
        let both = |(at, problem): &(usize, Problem)| match problem {
            Problem::Twice { first } => [Some(*at), Some(*first)],
            _ => [Some(*at), None],
        };
        let mut starts: Vec<(u32, usize)> = problems
            .first
            .iter()
            .flat_map(both)
            .flatten()
            .filter_map(|at| Some((*self.starts.get(at)?, at)))
            .collect();
        starts.sort_unstable();
        let mut lines = csv::lines(self.content);
        let (mut last, mut number) = (None, 0);
        let mut numbers = HashMap::new();
        for (start, at) in starts {
            if last.replace(start) != Some(start) {
                number = lines
                    .find(|(_, at, _)| *at == start as usize)
                    .map_or(0, |(number, _, _)| number);
            }
            numbers.insert(at, number);
        }
        numbers
    }
}

impl Orders for Rows<'_> {
    fn count(&self) -> usize {
        self.starts.len()
    }

    fn get(&self, at: usize) -> Option<Order<'_>> {
        let text = self.content.get(*self.starts.get(at)? as usize..)?;
        self.order(csv::line(text), &mut Vec::with_capacity(self.columns.len())).ok()
    }
}

/// The columns that a header names. An error repeats nothing of the header: if it is missing, the first line holds a secret.
fn columns(header: &[u8]) -> Result<Vec<Column>, String> {
    let mut names = Vec::new();
    csv::values(header, &mut names).map_err(|fault| fault.text())?;
    let mut columns = Vec::new();
    for (position, name) in (1..).zip(names) {
        let column = Column::ALL.into_iter().find(|column| column.name().as_bytes() == name);
        let known = "device_id, secret, secondary, frozen and x509";
        let column = column.ok_or_else(|| {
            format!("column {position}: expected one of {known}, found something else")
        })?;
        if columns.contains(&column) {
            return Err(format!("column {position}: {} is there already", column.name()));
        }
        columns.push(column);
    }
    let has = |column| columns.contains(&column);
    if !has(Column::DeviceId) {
        return Err("expected a column device_id, found none".into());
    }
    if !has(Column::Secret) && !has(Column::X509) {
        return Err("expected a column secret or x509, found neither".into());
    }
    Ok(columns)
}

/// The values of a line for its device.
fn row<'a>(columns: &[Column], values: &[&'a [u8]]) -> Result<(&'a [u8], Settings<'a>), String> {
    if values.len() != columns.len() {
        let (expected, found) = (columns.len(), values.len());
        return Err(format!("expected {expected} values, found {found}"));
    }
    let (mut device_id, mut secret, mut x509) = (&[][..], &[][..], &[][..]);
    let mut settings = Settings::default();
    for (column, value) in columns.iter().zip(values.iter().copied()) {
        match column {
            Column::DeviceId => device_id = value,
            Column::Secret => secret = value,
            Column::X509 => x509 = value,
            Column::Secondary => settings.secondary = Some(Some(value).filter(|v| !v.is_empty())),
            Column::Frozen => settings.frozen = Some(frozen(value)?),
        }
    }
    settings.proof = Some(match (secret, x509) {
        (secret, []) => Proof::Secret(secret),
        ([], x509) => Proof::Certificate(x509),
        _ => return Err("expected a secret or x509, found both".into()),
    });
    Ok((device_id, settings))
}

fn frozen(value: &[u8]) -> Result<bool, String> {
    let is = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    if is(&["true", "yes", "1"]) {
        Ok(true)
    } else if is(&["", "false", "no", "0"]) {
        Ok(false)
    } else {
        Err("frozen: expected true, false, yes, no, 1, 0 or nothing, found something else".into())
    }
}
