//! Is this secrets file in order?

use crate::{
    args, secret,
    terminal::{self, Answer, Failure, say},
};
use mosquitto_iotda_auth::registry::{self, Cancel, LoadError, Loaded, load::LineErrors};
use std::{io::Write, path::Path};

/// Prints the number of devices, or everything that is wrong.
pub(crate) fn run(args: &args::Check) -> Result<Answer, Failure> {
    let file = args.file.as_path();
    match registry::load(file, usize::MAX, Cancel::NEVER) {
        Ok(loaded) => accept(file, &loaded),
        Err(LoadError::Lines(errors)) => list(file, errors),
        // The file is not in order, or there is no telling.
        Err(error @ (LoadError::Io(_) | LoadError::Changing)) => {
            Err(Failure::new(format!("{}: {error}", file.display())))
        }
        Err(error) => {
            say(format_args!("{}: {error}", file.display()));
            Ok(Answer::No)
        }
    }
}

fn accept(file: &Path, loaded: &Loaded) -> Result<Answer, Failure> {
    secret::warn_if_world_readable(file, loaded.world_readable);
    terminal::write(|out| writeln!(out, "{}: {} devices", file.display(), loaded.table.len()))?;
    Ok(Answer::Yes)
}

/// Lists the wrong lines as compilers do, for editors and grep.
fn list(file: &Path, errors: LineErrors) -> Result<Answer, Failure> {
    terminal::write(|out| {
        for (line, fault) in &errors.first {
            writeln!(out, "{}:{line}: {fault}", file.display())?;
        }
        Ok(())
    })?;
    say(format_args!("{}: {}", file.display(), LoadError::Lines(errors)));
    Ok(Answer::No)
}
