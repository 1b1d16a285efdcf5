//! How is one device of a secrets file changed?

use crate::{
    args, certificate,
    editing::{EditError, Editing},
    secret,
    terminal::{self, Answer, Failure, say, shown},
};
use iotda_core::{
    login::certificate::Digests,
    registry::{
        LoadError,
        edit::{self, Change, Edited, Order, Problem, Proof, Settings},
        line,
    },
};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Adds a device.
pub(crate) fn add(args: &args::Add) -> Result<Answer, Failure> {
    check_device_id(&args.device_id)?;
    if !args.x509.is_empty() {
        return add_by_certificate(args);
    }
    let new = secret::new(&args.device_id, args.secret)?;
    let proof = Some(Proof::Secret(&new.secret));
    let change = Change::Add(Settings { proof, ..Settings::default() });
    change_device(&args.file, &args.device_id, args.create, change).and_then(|answer| {
        show(&new, answer, "the device is added, but nobody has seen its secret")
    })
}

/// Adds a device that logs in by one of these certificates, and shows their fingerprints.
fn add_by_certificate(args: &args::Add) -> Result<Answer, Failure> {
    if args.x509.len() > 2 {
        let found = args.x509.len();
        return Err(Failure::new(format!(
            "--x509: expected it once or twice, found it {found} times"
        )));
    }
    let fingerprints =
        args.x509.iter().map(PathBuf::as_path).map(fingerprint).collect::<Result<Vec<_>, _>>()?;
    let value = fingerprints.join(",");
    let proof = Some(Proof::Certificate(value.as_bytes()));
    let change = Change::Add(Settings { proof, ..Settings::default() });
    let answer = change_device(&args.file, &args.device_id, args.create, change)?;
    if answer == Answer::Yes {
        terminal::write(|out| {
            fingerprints.iter().try_for_each(|digits| writeln!(out, "{digits}"))
        })?;
    }
    Ok(answer)
}

/// The SHA-256 fingerprint of the certificate in a file.
fn fingerprint(path: &Path) -> Result<String, Failure> {
    certificate::der(path).map(|der| hex::encode(Digests::of(&der).sha256))
}

/// Removes a device.
pub(crate) fn remove(args: &args::Device) -> Result<Answer, Failure> {
    change_device(&args.file, &args.device_id, false, Change::Remove)
}

/// Freezes a device, or unfreezes it.
pub(crate) fn freeze(args: &args::Device, frozen: bool) -> Result<Answer, Failure> {
    let change = Change::Set(Settings { frozen: Some(frozen), ..Settings::default() });
    change_device(&args.file, &args.device_id, false, change)
}

/// Gives a device a new secret.
pub(crate) fn reset_secret(args: &args::ResetSecret) -> Result<Answer, Failure> {
    check_device_id(&args.device_id)?;
    let new = secret::new(&args.device_id, args.secret)?;
    let settings = if args.secondary {
        Settings { secondary: Some(Some(&new.secret)), ..Settings::default() }
    } else {
        Settings { proof: Some(Proof::Secret(&new.secret)), ..Settings::default() }
    };
    change_device(&args.file, &args.device_id, false, Change::Set(settings))
        .and_then(|answer| show(&new, answer, "the secret is changed, but nobody has seen it"))
}

/// Shows a secret that was generated here, after it was written to the file.
fn show(new: &secret::New, answer: Answer, otherwise: &str) -> Result<Answer, Failure> {
    if new.is_made && answer == Answer::Yes {
        secret::show(&new.secret).map_err(|error| {
            let hint = "iotda-auth reset-secret makes another";
            Failure::new(format!(
                "standard output: cannot be written: {error}: {otherwise}; {hint}"
            ))
        })?;
    }
    Ok(answer)
}

/// Refuses a text that cannot be a device id, before the user is asked for a secret.
fn check_device_id(device_id: &str) -> Result<(), Failure> {
    if line::is_device_id(device_id.as_bytes()) {
        return Ok(());
    }
    // Not repeated: `id:secret` may have been pasted from a secrets file.
    let expected = "expected 1 to 128 of A-Z a-z 0-9 _ -, found something else";
    Err(Failure::new(format!("device id: {expected}")))
}

/// Changes one device; the answer is no if it should be there and is not, or should not be there and is.
fn change_device(
    file: &Path,
    device_id: &str,
    create: bool,
    change: Change<'_>,
) -> Result<Answer, Failure> {
    check_device_id(device_id)?;
    let editing = open(file, create)?;
    let order = Order { device_id: device_id.as_bytes(), change };
    match edit::apply(editing.content(), &[order]) {
        Ok(edited) => save(file, editing, &edited).map(|()| Answer::Yes),
        Err(problems) => problems
            .first
            .first()
            .map_or(Ok(Answer::No), |(_, problem)| refuse(file, device_id, *problem)),
    }
}

fn refuse(file: &Path, device_id: &str, problem: Problem) -> Result<Answer, Failure> {
    let said = format!("{}: device {device_id}: {problem}", shown(file));
    match problem {
        Problem::Line(_) | Problem::Twice { .. } => Err(Failure::new(said)),
        Problem::Present | Problem::Absent | Problem::Certificate => {
            say(format_args!("{said}"));
            Ok(Answer::No)
        }
    }
}

/// Opens a secrets file for an edit.
pub(crate) fn open(file: &Path, create: bool) -> Result<Editing, Failure> {
    let waiting = || say(format_args!("{}: waiting for another edit", shown(file)));
    let editing = Editing::open(file, create, waiting).map_err(|error| failure(file, &error))?;
    secret::warn_of_others(file, &editing.exposure());
    Ok(editing)
}

/// Replaces the file's content, if it has changed.
fn save(file: &Path, editing: Editing, edited: &Edited) -> Result<(), Failure> {
    if edited.is_unchanged() {
        return Ok(());
    }
    editing.replace(&edited.content).map_err(|error| failure(file, &error))?;
    if edited.devices == 0 {
        let file = shown(file);
        say(format_args!(
            "warning: {file}: no device is left: a running broker keeps those it has"
        ));
    }
    Ok(())
}

/// Replaces the file's content by what is written, from the old content.
pub(crate) fn save_by(
    file: &Path,
    editing: Editing,
    write: impl FnOnce(&[u8], &mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    editing.replace_by(write).map_err(|error| failure(file, &error))
}

fn failure(file: &Path, error: &EditError) -> Failure {
    let hint = match error {
        EditError::Load(LoadError::Lines(_)) => ": it is not edited (iotda-auth check tells which)",
        _ => "",
    };
    Failure::new(format!("{}: {error}{hint}", shown(file)))
}
