//! Which devices does a CSV file bring? All of them come in, or none.

use crate::{
    args, csv,
    edit::{open, save},
    secret,
    terminal::{self, Answer, Failure, Progress, say, shown},
};
use mosquitto_iotda_auth::registry::edit::{self, Change, Order, Problem, Proof, Settings};
use std::{fs::File, io::Write, path::Path};
use zeroize::Zeroizing;

/// Imports a CSV file, or tells every line that is wrong.
pub(crate) fn run(args: &args::Import) -> Result<Answer, Failure> {
    let content = read(&args.csv)?;
    let mut progress = Progress::new();
    let rows = Rows::read(&content, args.update, &mut progress)
        .map_err(|reason| Failure::new(format!("{}: {reason}", shown(&args.csv))))?;
    progress.step("reading the secrets file");
    let editing = open(&args.file, args.create)?;
    progress.step("putting the devices in");
    // With wrong lines, the others are looked at all the same: every error is told at once.
    let edited = match edit::apply(editing.content(), &rows.orders) {
        Ok(edited) if rows.errors.is_empty() => edited,
        wrong => {
            drop(progress);
            return refuse(&args.csv, rows, wrong.err().unwrap_or_default());
        }
    };
    if !args.dry_run {
        progress.step("writing the secrets file");
        save(&args.file, editing, &edited)?;
    }
    drop(progress);
    let did = if args.dry_run { "would be " } else { "" };
    let (file, added, changed) = (shown(&args.file), edited.added, edited.changed);
    terminal::write(|out| writeln!(out, "{file}: {added} {did}added, {changed} {did}changed"))?;
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

/// Tells every wrong line, as compilers do, on standard error.
fn refuse(csv: &Path, rows: Rows<'_>, problems: Vec<(usize, Problem)>) -> Result<Answer, Failure> {
    let Rows { orders, numbers, mut errors } = rows;
    let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
    for (at, problem) in problems {
        let device = orders.get(at).map_or(&[][..], |order| order.device_id);
        errors.push((number(at), describe(device, problem, number)));
    }
    errors.sort_by_key(|(line, _)| *line);
    terminal::write_errors(|out| {
        for (line, error) in &errors {
            writeln!(out, "iotda-auth: {}:{line}: {error}", shown(csv))?;
        }
        Ok(())
    });
    let s = if errors.len() == 1 { "" } else { "s" };
    say(format_args!("{}: {} error{s}: nothing is imported", shown(csv), errors.len()));
    Ok(Answer::No)
}

fn describe(device_id: &[u8], problem: Problem, line: impl Fn(usize) -> u64) -> String {
    let device = String::from_utf8_lossy(device_id);
    match problem {
        // The device id itself may be what is wrong, and is not repeated then.
        Problem::Line(fault) => fault.to_string(),
        Problem::Twice { first } => {
            format!("device {device}: given on line {} already", line(first))
        }
        Problem::Present => format!("device {device}: {problem} (--update changes it)"),
        Problem::Absent | Problem::Certificate => format!("device {device}: {problem}"),
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

/// What a CSV file asks for.
#[derive(Debug)]
struct Rows<'a> {
    orders: Vec<Order<'a>>,
    /// The line of each order.
    numbers: Vec<u64>,
    /// What is wrong with the other lines.
    errors: Vec<(u64, String)>,
}

impl<'a> Rows<'a> {
    /// Reads the lines of a CSV file; an error is about its header.
    fn read(content: &'a [u8], update: bool, progress: &mut Progress) -> Result<Self, String> {
        let mut lines = csv::lines(content);
        let (number, header) = lines.next().ok_or("expected a header line, found nothing")?;
        let columns = columns(header).map_err(|reason| format!("line {number}: {reason}"))?;
        let mut rows = Self { orders: Vec::new(), numbers: Vec::new(), errors: Vec::new() };
        let mut values = Vec::new();
        for (number, line) in lines {
            progress.lines(number);
            let settings = csv::values(line, &mut values)
                .map_err(|fault| fault.text().to_owned())
                .and_then(|()| row(&columns, &values));
            match settings {
                Ok((device_id, settings)) => {
                    let change = if update { Change::Put(settings) } else { Change::Add(settings) };
                    rows.orders.push(Order { device_id, change });
                    rows.numbers.push(number);
                }
                Err(error) => rows.errors.push((number, error)),
            }
        }
        Ok(rows)
    }
}

/// The columns that a header names. What it names is repeated nowhere: without a header, the first line is a secret's.
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

/// What a line says of its device.
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
