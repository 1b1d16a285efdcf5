//! Is this secrets file in order?

use crate::{
    args, secret, secrets_file,
    terminal::{self, Answer, Failure, say, shown},
};
use iotda_core::{
    log::Count,
    registry::{Cancel, LoadError, read::LineErrors},
};
use iotda_files::{Loaded, load};
use std::{io::Write, path::Path};

/// Prints the number of devices, or everything that is wrong.
pub(crate) fn run(args: &args::Check) -> Result<Answer, Failure> {
    let file = &secrets_file::named(args.file.as_deref(), "FILE")?;
    match load(file, usize::MAX, Cancel::NEVER) {
        Ok(loaded) => accept(file, &loaded),
        Err(LoadError::Lines(errors)) => list(file, errors),
        Err(error) => Err(secrets_file::unusable(file, &error, "")),
    }
}

fn accept(file: &Path, loaded: &Loaded) -> Result<Answer, Failure> {
    secret::warn(file, &loaded.warnings(None));
    let devices = Count(loaded.table.len(), "device");
    terminal::write(|out| writeln!(out, "{}: {devices}", shown(file)))?;
    Ok(Answer::Yes)
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
