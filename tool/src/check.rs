//! Is this secrets file in order?

use crate::{
    args, secret,
    terminal::{self, Answer, Failure, say, shown},
};
use iotda_core::registry::{Cancel, LoadError, read::LineErrors};
use iotda_files::{Loaded, load};
use std::{io::Write, path::Path};

/// Prints the number of devices, or everything that is wrong.
pub(crate) fn run(args: &args::Check) -> Result<Answer, Failure> {
    let file = args.file.as_path();
    match load(file, usize::MAX, Cancel::NEVER) {
        Ok(loaded) => accept(file, &loaded),
        Err(LoadError::Lines(errors)) => list(file, errors),
        // The file has errors, or could not be read.
        Err(error @ (LoadError::Io(_) | LoadError::Changing)) => {
            Err(Failure::new(format!("{}: {error}", shown(file))))
        }
        Err(error) => {
            say(format_args!("{}: {error}", shown(file)));
            Ok(Answer::No)
        }
    }
}

fn accept(file: &Path, loaded: &Loaded) -> Result<Answer, Failure> {
    secret::warn_of_others(file, &loaded.exposure);
    terminal::write(|out| writeln!(out, "{}: {} devices", shown(file), loaded.table.len()))?;
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
