//! What is told of an import: how the files were read, what came of it, and what is wrong.

use super::{
    field::quoted,
    intake::{Kind, Shape, Skipped},
    orders::Place,
};
use crate::{
    args::{self, ReportFormat},
    terminal::{self, Failure, say, shown},
};
use iotda_core::registry::edit::Tally;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

/// Files that were read in the same way.
struct Group {
    shape: Shape,
    /// The first of them.
    first: PathBuf,
    files: usize,
}

/// All that is told.
pub(super) struct Report<'a> {
    secrets: &'a Path,
    input: &'a Path,
    dry_run: bool,
    /// Whether nothing is told that is no fault.
    quiet: bool,
    groups: Vec<Group>,
    pub(super) skipped: Skipped,
    passed_over: &'a [String],
}

/// The wrong devices, in their sequence: the first ones, and the number of all.
pub(super) struct Refusal<'a> {
    pub(super) files: &'a [PathBuf],
    pub(super) first: &'a [(Place, String)],
    pub(super) total: usize,
}

/// The most ways to be read that are told one by one.
const MAX_GROUPS: usize = 20;
/// The most names in a line.
const MAX_NAMES: usize = 12;

impl<'a> Report<'a> {
    pub(super) fn new(
        secrets: &'a Path,
        args: &'a args::Import,
        passed_over: &'a [String],
    ) -> Self {
        let (groups, skipped) = Default::default();
        let (input, dry_run, quiet) = (args.from.as_path(), args.dry_run, args.say.quiet);
        Self { secrets, input, dry_run, quiet, groups, skipped, passed_over }
    }

    /// A file was read.
    pub(super) fn add(&mut self, file: &Path, shape: Shape) {
        match self.groups.iter_mut().find(|group| group.shape == shape) {
            Some(group) => group.files += 1,
            None => self.groups.push(Group { shape, first: file.into(), files: 1 }),
        }
    }

    /// Tells that the devices are imported, or could be.
    pub(super) fn success(&self, format: ReportFormat, tally: Tally) -> Result<(), Failure> {
        let Tally { added, changed, .. } = tally;
        match format {
            ReportFormat::Text => {
                if !self.quiet {
                    self.tell_reading();
                }
                let did = if self.dry_run { "would be " } else { "" };
                let file = shown(self.secrets);
                terminal::write(|out| {
                    writeln!(out, "{file}: {added} {did}added, {changed} {did}changed")
                })
            }
            ReportFormat::Json => {
                let none = Refusal { files: &[], first: &[], total: 0 };
                self.write_json(added, changed, &none)
            }
        }
    }

    /// Tells which devices are wrong: on standard error, as compilers do, or in the JSON report.
    pub(super) fn refusal(
        &self,
        format: ReportFormat,
        refusal: &Refusal<'_>,
    ) -> Result<(), Failure> {
        if format == ReportFormat::Json {
            return self.write_json(0, 0, refusal);
        }
        self.tell_reading();
        let Refusal { first, total, .. } = *refusal;
        terminal::write_errors(|out| {
            for (place, error) in first {
                let (file, path) = (refusal.file(place), place.to_string());
                let path = if path.is_empty() { path } else { path + ": " };
                writeln!(out, "iotda-auth: {}:{}: {path}{error}", shown(file), place.line)?;
            }
            Ok(())
        });
        let (input, more) = (shown(self.input), total - first.len().min(total));
        if more > 0 {
            say(format_args!("{input}: and {more} more"));
        }
        let errors = counted(total as u64, "error");
        say(format_args!("{input}: {errors}: nothing is imported"));
        Ok(())
    }

    /// Tells how the files were read: nothing is guessed in silence.
    fn tell_reading(&self) {
        for Group { shape, first, files } in self.groups.iter().take(MAX_GROUPS) {
            let how = described(shape);
            match files {
                1 => say(format_args!("{}: read as {how}", shown(first))),
                _ => say(format_args!("{}: {files} files read as {how}", shown(self.input))),
            }
        }
        let input = shown(self.input);
        if let Some(more @ 1..) = self.groups.len().checked_sub(MAX_GROUPS) {
            say(format_args!("{input}: files read in {more} other ways"));
        }
        let Skipped { sub_devices, empty_rows, other_pages } = self.skipped;
        if sub_devices > 0 {
            let devices = counted(sub_devices, "sub-device");
            say(format_args!("{input}: skipped {devices} behind a gateway"));
        }
        if empty_rows > 0 {
            say(format_args!("{input}: skipped {}", counted(empty_rows, "empty row")));
        }
        if other_pages > 0 {
            let devices = counted(other_pages, "device");
            say(format_args!(
                "warning: {input}: one page of an answer: {devices} of other pages are not in it"
            ));
        }
        if !self.passed_over.is_empty() {
            let names = listed(self.passed_over.iter(), false);
            say(format_args!("{input}: passed over {names}"));
        }
    }

    fn write_json(
        &self,
        added: usize,
        changed: usize,
        refusal: &Refusal<'_>,
    ) -> Result<(), Failure> {
        let read: Vec<Value> = self.groups.iter().map(Group::json).collect();
        let errors: Vec<Value> =
            refusal.first.iter().map(|(place, error)| refusal.json(place, error)).collect();
        let skipped: Value = [
            ("subDevices", Value::from(self.skipped.sub_devices)),
            ("emptyRows", self.skipped.empty_rows.into()),
            ("otherPages", self.skipped.other_pages.into()),
            ("files", self.passed_over.to_vec().into()),
        ]
        .into_iter()
        .collect();
        let report: Value = [
            ("secretsFile", Value::from(self.secrets.to_string_lossy())),
            ("dryRun", self.dry_run.into()),
            ("added", added.into()),
            ("changed", changed.into()),
            ("read", read.into()),
            ("skipped", skipped),
            ("errors", errors.into()),
            ("errorCount", refusal.total.into()),
        ]
        .into_iter()
        .collect();
        terminal::write(|out| writeln!(out, "{report}"))
    }
}

impl Refusal<'_> {
    fn file(&self, place: &Place) -> &Path {
        self.files.get(place.source).map_or(Path::new(""), PathBuf::as_path)
    }

    fn json(&self, place: &Place, error: &str) -> Value {
        [
            ("file", Value::from(self.file(place).to_string_lossy())),
            ("line", place.line.into()),
            ("path", place.to_string().into()),
            ("error", error.into()),
        ]
        .into_iter()
        .collect()
    }
}

impl Group {
    fn json(&self) -> Value {
        let Shape { kind, encoding, used, aside, .. } = &self.shape;
        let (format, separator) = match kind {
            Kind::Csv(separator) => ("csv", Value::from(char::from(separator.0).to_string())),
            Kind::Json => ("json", Value::Null),
        };
        let names = |names: &BTreeSet<String>| Value::from_iter(names.iter().map(String::as_str));
        let columns: Value = used.iter().map(|(field, used)| (field.name(), names(used))).collect();
        [
            ("file", Value::from(self.first.to_string_lossy())),
            ("files", self.files.into()),
            ("format", format.into()),
            ("encoding", encoding.name().into()),
            ("separator", separator),
            ("columns", columns),
            ("leftAside", names(aside)),
        ]
        .into_iter()
        .collect()
    }
}

/// How a file was read, in words.
pub(super) fn described(shape: &Shape) -> String {
    let Shape { kind, encoding, used, aside, more_aside } = shape;
    let mut text = match kind {
        Kind::Csv(separator) => format!("CSV in {}, separated by {separator}", encoding.name()),
        Kind::Json => format!("JSON in {}", encoding.name()),
    };
    let used: Vec<String> = used
        .iter()
        .map(|(field, names)| match names.first() {
            Some(name) if names.len() == 1 && name == field.name() => name.clone(),
            _ => format!("{} from {}", field.name(), listed(names.iter(), false)),
        })
        .collect();
    if !used.is_empty() {
        text = format!("{text}: {}", used.join(", "));
    }
    match (aside.is_empty(), more_aside) {
        (true, false) => text,
        (true, true) => {
            format!(
                "{text}; left aside: columns that no row has (does the header's line end too late?)"
            )
        }
        (false, more) => format!("{text}; left aside: {}", listed(aside.iter(), *more)),
    }
}

/// Names out of a file, with commas; the first of them, if they are many.
fn listed<'n>(names: impl ExactSizeIterator<Item = &'n String>, has_more: bool) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let quoted: Vec<String> = names
        .take(MAX_NAMES)
        .map(|name| if name.is_empty() { "one without a name".into() } else { quoted(name) })
        .collect();
    let text = quoted.join(", ");
    match more {
        0 if !has_more => text,
        _ if has_more => format!("{text} and more"),
        more => format!("{text} and {more} more"),
    }
}

/// A number with its noun.
fn counted(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{s}")
}
