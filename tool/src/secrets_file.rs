//! Which secrets file, and which of its devices, does a command mean?
//!
//! A file on the command line comes first, then the one that the environment names.

use crate::{
    args, secret,
    terminal::{Failure, shown},
};
use iotda_core::registry::{Cancel, LoadError, Table, line, read::read};
use std::{
    env,
    path::{Path, PathBuf},
};

/// The environment variable that names a secrets file. The name of a file is no secret.
pub(crate) const VARIABLE: &str = "IOTDA_SECRETS_FILE";

/// The file that the environment names. An empty value counts as none.
pub(crate) fn by_environment() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The file given, or else the one that the environment names. `what` is how the command line has it, such as `FILE`.
pub(crate) fn named(given: Option<&Path>, what: &str) -> Result<PathBuf, Failure> {
    given.map(Path::to_path_buf).or_else(by_environment).ok_or_else(|| {
        let expected = "expected a secrets file, here or in the environment as";
        Failure::new(format!("{what}: {expected} {VARIABLE}, found none"))
    })
}

/// Why a secrets file is of no use; `hint` comes behind the reason. One that could be read and is not in order is a no, for
/// every command: only `check` is asked nothing else, but the others cannot do what they should either.
pub(crate) fn unusable(file: &Path, error: &LoadError, hint: &str) -> Failure {
    let reason = format!("{}: {error}{hint}", shown(file));
    if could_be_read(error) { Failure::no(reason) } else { Failure::new(reason) }
}

/// Whether the file was read, and is not in order.
pub(crate) fn could_be_read(error: &LoadError) -> bool {
    !matches!(
        error,
        LoadError::Io(_)
            | LoadError::NoMemory
            | LoadError::Changing
            | LoadError::NoAnswer { .. }
            | LoadError::Cancelled
    )
}

/// The devices of a secrets file, or of standard input if the file is `-`.
pub(crate) fn table(file: &Path) -> Result<Table, Failure> {
    if file != Path::new("-") {
        return secret::table(file);
    }
    let file = Path::new("standard input");
    let content =
        secret::input().and_then(|mut input| secret::to_end(&mut input, 0)).map_err(LoadError::Io);
    content
        .and_then(|content| read(content.as_slice(), content.len() as u64, 0, Cancel::NEVER))
        .map(|content| content.table)
        .map_err(|error| unusable(file, &error, check_hint(&error)))
}

/// Where wrong lines are told.
pub(crate) fn check_hint(error: &LoadError) -> &'static str {
    match error {
        LoadError::Lines(_) => " (iotda-auth check tells which)",
        _ => "",
    }
}

/// A device of a secrets file.
#[derive(Debug)]
pub(crate) struct Device<'a> {
    /// The secrets file.
    pub(crate) file: PathBuf,
    /// The device id, which has a device id's shape.
    pub(crate) id: &'a str,
}

impl args::Target {
    /// Which device of which file is meant.
    pub(crate) fn device(&self) -> Result<Device<'_>, Failure> {
        device(self.file.as_deref(), &self.device_id)
    }
}

/// Which device of which file is meant by `[FILE] DEVICE_ID`. No text is repeated in an error: `id:secret` may have been
/// pasted from a secrets file.
pub(crate) fn device<'a>(given: Option<&Path>, id: &'a str) -> Result<Device<'a>, Failure> {
    let is_id = line::is_device_id(id.as_bytes());
    let may_be_file = Path::new(id).is_file() || !is_id && id.contains(['/', '.']);
    let problem = match given {
        None if !may_be_file => None,
        None if !is_id || by_environment().is_none() => {
            Some("found a file alone: expected FILE DEVICE_ID")
        }
        None => Some(
            "found one name, which is a device id's and a file's here: expected FILE DEVICE_ID",
        ),
        Some(file) if may_be_file && is_lone_id(file) => {
            Some("found them the other way round: expected FILE DEVICE_ID")
        }
        Some(_) => None,
    };
    if let Some(problem) = problem {
        return Err(Failure::new(format!("FILE and DEVICE_ID: {problem}")));
    }
    if !is_id {
        let expected = "expected 1 to 128 of A-Z a-z 0-9 _ -, found something else";
        return Err(Failure::new(format!("device id: {expected}")));
    }
    Ok(Device { file: named(given, "FILE")?, id })
}

/// Whether what was given as a file is none, and has a device id's shape.
fn is_lone_id(file: &Path) -> bool {
    file.to_str().is_some_and(|text| line::is_device_id(text.as_bytes())) && !file.exists()
}
