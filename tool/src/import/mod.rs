//! Which devices do files from elsewhere add or change? All of them, or none if one is wrong.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`source`] | which files are read? |
//! | [`sniff`] | what is in this file, by its first bytes? |
//! | [`text`] | how does it look in UTF-8? |
//! | [`field`] | what does a column or a key say of a device? |
//! | [`columns`] | which column of a CSV file is which? |
//! | [`csv`] | which rows does it have? |
//! | [`json`], [`keys`], [`keeper`] | which devices does a JSON text have? |
//! | [`rows`] | what do the values of one device ask for? |
//! | [`orders`] | how are millions of devices kept? |
//! | [`intake`] | what came out of the files? |
//! | [`report`] | what is told of it? |

mod columns;
mod csv;
mod field;
mod intake;
mod json;
mod keeper;
mod keys;
mod orders;
mod report;
mod rows;
mod sniff;
mod source;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use field::Choice;

use crate::{
    args::{self, ReportFormat},
    edit::{open, save_by, say_reload},
    secrets_file,
    terminal::{Answer, Failure, Progress},
};
use field::Choices;
use intake::{Errors, Intake, MAX_ERRORS};
use iotda_core::registry::{
    edit::{self, Orders, Problem, Problems},
    line::{Field, LineFault},
};
use orders::{Packed, Place};
use report::{Refusal, Report};
use source::Sources;
use std::{collections::HashMap, io};

/// Imports files, or reports which of their devices are wrong.
pub(crate) fn run(args: &args::Import) -> Result<Answer, Failure> {
    let file = &secrets_file::named(args.file.as_deref(), "FILE")?;
    let sources = Sources::of(&args.from)?;
    let mut report = Report::new(file, args, &sources.passed_over);
    let mut progress = Progress::new();
    let mut intake = Intake::new(Choices(&args.column), args.update, &mut progress);
    for (number, path) in sources.files.iter().enumerate() {
        intake.source = number;
        report.add(path, source::read(path, &mut intake)?);
    }
    let Intake { packed, errors, skipped, .. } = intake;
    report.skipped = skipped;
    progress.step("reading the secrets file");
    let editing = open(file, args.create)?;
    progress.step("putting the devices in");
    // The other devices are checked even if some are wrong, so that all errors are reported together.
    let tried = edit::apply_to(editing.content(), &packed, &mut io::sink());
    let tally = match tried.map_err(|error| Failure::new(error.to_string()))? {
        Ok(tally) if errors.total == 0 => tally,
        wrong => {
            drop(progress);
            let errors = all(errors, wrong.err().unwrap_or_default(), &packed);
            let Errors { first, total } = &errors;
            let refusal = Refusal { files: &sources.files, first, total: *total };
            report.refusal(args.format, &refusal)?;
            return Ok(Answer::No);
        }
    };
    if !args.dry_run && !tally.is_unchanged() {
        progress.step("writing the secrets file");
        save_by(file, editing, |content, out| {
            edit::apply_to(content, &packed, out).map(|_: Result<_, _>| ())
        })?;
    }
    drop(progress);
    report.success(args.format, tally)?;
    if !args.dry_run && !tally.is_unchanged() && args.format == ReportFormat::Text {
        say_reload(file, "the import is done", args.say);
    }
    Ok(Answer::Yes)
}

/// All that is wrong, in the sequence of the files.
fn all(mut errors: Errors, problems: Problems, packed: &Packed) -> Errors {
    let both = |(at, problem): &(usize, Problem)| match problem {
        Problem::Twice { first } => [Some(*at), Some(*first)],
        _ => [Some(*at), None],
    };
    let places = packed.places(problems.first.iter().flat_map(both).flatten());
    for (at, problem) in problems.first {
        let Some(place) = places.get(&at) else { continue };
        errors.first.push((*place, described(packed, at, problem, &places)));
    }
    errors.total += problems.total;
    errors.first.sort_by_key(|(place, _)| (place.source, place.line, place.element));
    errors.first.truncate(MAX_ERRORS);
    errors
}

fn described(
    packed: &Packed,
    at: usize,
    problem: Problem,
    places: &HashMap<usize, Place>,
) -> String {
    let order = packed.get(at);
    let device = String::from_utf8_lossy(order.map_or(&[][..], |order| order.device_id));
    match problem {
        // A second secret alone, for a device that is not there.
        Problem::Line(LineFault::Length { field: Field::Secret, found: 0 }) => {
            format!("device {device}: {} and has a second secret alone here", Problem::Absent)
        }
        // If the device id itself is wrong, it is not repeated.
        Problem::Line(fault) => fault.to_string(),
        Problem::Twice { first } => {
            let earlier = match (places.get(&at), places.get(&first)) {
                (Some(place), Some(first)) => earlier(place, first),
                _ => String::new(),
            };
            format!("device {device}: given{earlier} already")
        }
        Problem::Present => format!("device {device}: {problem} (--update changes it)"),
        problem => format!("device {device}: {problem}"),
    }
}

/// Where a device was given before.
fn earlier(place: &Place, first: &Place) -> String {
    let path = first.to_string();
    match (path.is_empty(), place.source == first.source) {
        (true, true) => format!(" on line {}", first.line),
        (false, true) => format!(" at {path}"),
        (true, false) => format!(" in an earlier file, on line {}", first.line),
        (false, false) => format!(" in an earlier file, at {path}"),
    }
}
