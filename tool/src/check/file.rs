//! Is this secrets file in order?

use super::{
    conf::Place,
    finding::Finding,
    report, secrets,
    user::{self, Opener},
};
use crate::{
    args::{self, ReportFormat},
    secret,
    secrets_file::{could_be_read, unusable},
    terminal::{self, Answer, Failure, say, shown},
};
use iotda_core::{
    log::Count,
    registry::{
        Cancel, LoadError, Table,
        read::{Content, LineErrors, read},
    },
};
use iotda_files::{Warning, load};
use std::{io::Write, path::Path};

/// A secrets file without errors.
struct Good {
    table: Table,
    warnings: Vec<Warning>,
}

/// Prints the number of devices, or everything that is wrong.
pub(super) fn run(file: &Path, args: &args::Check) -> Result<Answer, Failure> {
    let (name, result) = if file == Path::new("-") {
        (Path::new("standard input"), of_stdin())
    } else {
        // Without --as, the caller's rights decide.
        let named = args.user.as_deref();
        let opener =
            named.map(|user| user::opener(Some(user), None, &mut Vec::new())).transpose()?;
        if let Some(note) = opener.as_ref().and_then(Opener::note) {
            say(format_args!("{note}"));
        }
        (file, of_file(file, opener.as_ref())?)
    };
    // There is nothing to report of a file that could not be read.
    if let Some(error) = result.as_ref().err().filter(|error| !could_be_read(error)) {
        return Err(unusable(name, error, ""));
    }
    match args.format {
        ReportFormat::Text => text(name, result),
        ReportFormat::Json => json(name, result),
    }
}

fn of_file(file: &Path, opener: Option<&Opener>) -> Result<Result<Good, LoadError>, Failure> {
    let uid = opener.map(|opener| opener.uid);
    let load = || {
        load(file, usize::MAX, Cancel::NEVER)
            .map(|loaded| Good { warnings: loaded.warnings(uid), table: loaded.table })
    };
    match opener {
        Some(opener) => opener.call(load),
        None => Ok(load()),
    }
}

fn of_stdin() -> Result<Good, LoadError> {
    let content = secret::input().and_then(|mut input| secret::to_end(&mut input, 0))?;
    let size = content.len() as u64;
    let Content { table, ends_in_newline } =
        read(content.as_slice(), size, usize::MAX, Cancel::NEVER)?;
    let warning = if table.is_empty() {
        Some(Warning::NoDevice)
    } else {
        (!ends_in_newline).then_some(Warning::NoNewline)
    };
    Ok(Good { table, warnings: warning.into_iter().collect() })
}

fn text(file: &Path, result: Result<Good, LoadError>) -> Result<Answer, Failure> {
    match result {
        Ok(Good { table, warnings }) => {
            for warning in warnings {
                say(format_args!("warning: {}: {warning}", shown(file)));
            }
            let devices = Count(table.len() as u64, "device");
            terminal::write(|out| writeln!(out, "{}: {devices}", shown(file)))?;
            Ok(Answer::Yes)
        }
        Err(LoadError::Lines(errors)) => list(file, errors),
        Err(error) => Err(unusable(file, &error, "")),
    }
}

/// Lists the wrong lines as compilers do, for editors and grep.
fn list(file: &Path, errors: LineErrors) -> Result<Answer, Failure> {
    terminal::write(|out| {
        // Not of a file that has no lines of devices at all.
        for (line, fault) in errors.first.iter().filter(|_| errors.foreign.is_none()) {
            writeln!(out, "{}:{line}: {fault}", shown(file))?;
        }
        Ok(())
    })?;
    say(format_args!("{}: {}", shown(file), LoadError::Lines(errors)));
    Ok(Answer::No)
}

fn json(file: &Path, result: Result<Good, LoadError>) -> Result<Answer, Failure> {
    let at = Place::of(file);
    let (findings, devices): (Vec<Finding>, _) = match result {
        Ok(Good { table, warnings }) => {
            let told = warnings.iter().map(|warning| secrets::warned(file, &at, warning));
            (told.collect(), Some(table.len()))
        }
        Err(error) => (secrets::refused(file, &at, error), None),
    };
    let answer = report::answer(&findings, false);
    report::json(&findings, serde_json::json!({ "devices": devices }))?;
    Ok(answer)
}
