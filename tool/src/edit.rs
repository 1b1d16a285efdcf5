//! How is one device of a secrets file changed?

use crate::{
    args::{self, Say},
    certificate,
    editing::{CANNOT_MAKE, CANNOT_WRITE, EditError, Editing},
    secret,
    secrets_file::{Device, device, unusable},
    terminal::{self, Answer, Failure, say, shown},
    unwritable::Fault,
};
use iotda_core::registry::{
    LoadError,
    edit::{self, Change, Edited, Order, Proof, Settings},
};
use std::{
    ffi::OsStr,
    io::{self, ErrorKind, Write},
    path::Path,
};

/// What is said of a device behind `device ID `.
struct Words {
    /// After a change.
    done: &'static str,
    /// If it was so before.
    unchanged: &'static str,
}

const ADDED: Words = Words { done: "is added", unchanged: "is there already" };
const REMOVED: Words = Words { done: "is removed", unchanged: "is not there" };
const FROZEN: Words = Words { done: "is frozen", unchanged: "is frozen already" };
const UNFROZEN: Words = Words { done: "is unfrozen", unchanged: "is not frozen" };

/// Adds a device.
pub(crate) fn add(args: &args::Add) -> Result<Answer, Failure> {
    let edit = Edit::of(args.target.device()?, args.say).which_may_make_the_file(args.create);
    if !args.x509.is_empty() {
        return add_by_certificate(args, &edit);
    }
    let new = secret::new(edit.device.id, args.secret)?;
    let change = Change::Add(settings(Proof::Secret(&new.secret)));
    let otherwise = "the device is added, but nobody has seen its secret";
    edit.carry_out(change, &ADDED, || show(&new, otherwise))
}

/// Adds a device that logs in by one of these certificates, and shows their fingerprints.
fn add_by_certificate(args: &args::Add, edit: &Edit<'_>) -> Result<Answer, Failure> {
    if args.x509.len() > 2 {
        let found = args.x509.len();
        return Err(Failure::new(format!(
            "--x509: expected it once or twice, found it {found} times"
        )));
    }
    let fingerprints = args.x509.iter().map(|given| certificate::fingerprint(given));
    let fingerprints = fingerprints.collect::<Result<Vec<_>, _>>()?;
    let value = fingerprints.join(",");
    let change = Change::Add(settings(Proof::Certificate(value.as_bytes())));
    edit.carry_out(change, &ADDED, || {
        terminal::write(|out| fingerprints.iter().try_for_each(|digits| writeln!(out, "{digits}")))
    })
}

/// Removes a device.
pub(crate) fn remove(args: &args::Device) -> Result<Answer, Failure> {
    Edit::of(args.target.device()?, args.say).carry_out(Change::Remove, &REMOVED, nothing)
}

/// Freezes a device, or unfreezes it.
pub(crate) fn freeze(args: &args::Device, frozen: bool) -> Result<Answer, Failure> {
    let change = Change::Set(Settings { frozen: Some(frozen), ..Settings::default() });
    let words = if frozen { &FROZEN } else { &UNFROZEN };
    Edit::of(args.target.device()?, args.say).carry_out(change, words, nothing)
}

/// Gives a device a new secret, or takes its second one away.
pub(crate) fn reset_secret(args: &args::ResetSecret) -> Result<Answer, Failure> {
    let edit = Edit::of(args.target.device()?, args.say);
    if args.drop_secondary {
        let change = Change::Set(Settings { secondary: Some(None), ..Settings::default() });
        let words =
            Words { done: "has no second secret any more", unchanged: "has no second secret" };
        return edit.carry_out(change, &words, nothing);
    }
    let new = secret::new(edit.device.id, args.secret)?;
    let (settings, words) = if args.secondary {
        let words =
            Words { done: "has a new second secret", unchanged: "has this second secret already" };
        (Settings { secondary: Some(Some(&new.secret)), ..Settings::default() }, words)
    } else {
        let words = Words { done: "has a new secret", unchanged: "has this secret already" };
        (settings(Proof::Secret(&new.secret)), words)
    };
    let otherwise = "the secret is changed, but nobody has seen it";
    edit.carry_out(Change::Set(settings), &words, || show(&new, otherwise))
}

/// Gives a device a new certificate, or takes its second one away.
pub(crate) fn set_certificate(args: &args::SetCertificate) -> Result<Answer, Failure> {
    let (device, certificate) = names(args)?;
    let edit = Edit::of(device, args.say);
    let Some(certificate) = certificate else {
        let words = Words {
            done: "has no second certificate any more",
            unchanged: "has no second certificate",
        };
        let change = Change::Set(settings(Proof::SecondCertificate(None)));
        return edit.carry_out(change, &words, nothing);
    };
    let fingerprint = certificate::fingerprint(certificate)?;
    let (proof, words) = if args.secondary {
        let words = Words {
            done: "has a new second certificate",
            unchanged: "has this second certificate already",
        };
        (Proof::SecondCertificate(Some(fingerprint.as_bytes())), words)
    } else {
        let words =
            Words { done: "has a new certificate", unchanged: "has this certificate already" };
        (Proof::FirstCertificate(fingerprint.as_bytes()), words)
    };
    edit.carry_out(Change::Set(settings(proof)), &words, || {
        terminal::write(|out| writeln!(out, "{fingerprint}"))
    })
}

/// Which device is meant by `[FILE] DEVICE_ID CERT`, and which certificate; none with `--drop-secondary`.
fn names(args: &args::SetCertificate) -> Result<(Device<'_>, Option<&OsStr>), Failure> {
    let given = [&args.first, &args.second, &args.third].map(Option::as_deref);
    let (file, id, certificate) = match (given, args.drop_secondary) {
        ([Some(id), None, _], true) => (None, id, None),
        ([Some(file), Some(id), None], true) => (Some(file), id, None),
        ([Some(id), Some(certificate), None], false) => (None, id, Some(certificate)),
        ([Some(file), Some(id), Some(certificate)], false) => (Some(file), id, Some(certificate)),
        (given, dropping) => {
            let found = given.iter().flatten().count();
            let expected = if dropping {
                "[FILE] DEVICE_ID --drop-secondary"
            } else {
                "[FILE] DEVICE_ID CERT"
            };
            let s = if found == 1 { "" } else { "s" };
            return Err(Failure::new(format!("expected {expected}, found {found} name{s}")));
        }
    };
    let id = id.to_str().unwrap_or_default();
    Ok((device(file.map(Path::new), id)?, certificate))
}

fn settings(proof: Proof<'_>) -> Settings<'_> {
    Settings { proof: Some(proof), ..Settings::default() }
}

/// Shows a secret that was generated here, after it was written to the file.
fn show(new: &secret::New, otherwise: &str) -> Result<(), Failure> {
    if !new.is_made {
        return Ok(());
    }
    secret::show(&new.secret).map_err(|error| {
        let hint = "iotda-auth reset-secret makes another";
        Failure::new(format!("standard output: cannot be written: {error}: {otherwise}; {hint}"))
    })
}

/// For a change of which nothing is shown.
fn nothing() -> Result<(), Failure> {
    Ok(())
}

/// A change of one device that is asked for.
struct Edit<'a> {
    device: Device<'a>,
    say: Say,
    /// Whether the file is made if it is missing; `None` if the command cannot do that.
    create: Option<bool>,
}

impl<'a> Edit<'a> {
    fn of(device: Device<'a>, say: Say) -> Self {
        Self { device, say, create: None }
    }

    fn which_may_make_the_file(self, create: bool) -> Self {
        Self { create: Some(create), ..self }
    }

    /// Changes the device, shows what is new and says what was done. The answer is no if the device should be there and is
    /// not, or should not be there and is.
    fn carry_out(
        &self,
        change: Change<'_>,
        words: &Words,
        show: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Answer, Failure> {
        let Device { file, id } = &self.device;
        let editing = match self.create {
            Some(create) => open(file, create)?,
            None => start(file, false, "")?,
        };
        let order = Order { device_id: id.as_bytes(), change };
        let edited = match edit::apply(editing.content(), &[order]) {
            Ok(edited) => edited,
            Err(problems) => {
                for (_, problem) in problems.first {
                    say(format_args!("{}: device {id}: {problem}", shown(file)));
                }
                return Ok(Answer::No);
            }
        };
        save(file, editing, &edited)?;
        show()?;
        if edited.is_unchanged() {
            self.say(format_args!("device {id} {}: nothing is changed", words.unchanged));
        } else if edited.devices == 0 {
            // There is a warning that a reload would not change anything.
            self.say(format_args!("device {id} {}", words.done));
        } else {
            say_reload(file, &format!("device {id} {}", words.done), self.say);
        }
        Ok(Answer::Yes)
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        if !self.say.quiet {
            say(format_args!("{}: {text}", shown(&self.device.file)));
        }
    }
}

/// Says what was done to a file, and what remains to be done. Whether the broker looks by itself is in its configuration.
pub(crate) fn say_reload(file: &Path, done: &str, Say { quiet }: Say) {
    if !quiet {
        say(format_args!(
            "{}: {done}: reload the broker (systemctl reload mosquitto), unless it has reload_interval",
            shown(file)
        ));
    }
}

/// Opens a secrets file for an edit by a command that makes it if told to.
pub(crate) fn open(file: &Path, create: bool) -> Result<Editing, Failure> {
    start(file, create, ": --create makes it")
}

/// Opens a secrets file for an edit. The hint is for a file that is missing in a folder that is there.
fn start(file: &Path, create: bool, hint: &str) -> Result<Editing, Failure> {
    let waiting = || say(format_args!("{}: waiting for another edit", shown(file)));
    let editing = Editing::open(file, create, waiting).map_err(|error| match &error {
        EditError::Load(error) if is_missing(file, error) => unusable(file, error, hint),
        _ => failure(file, &error),
    })?;
    secret::warn_of_others(file, &editing.exposure());
    Ok(editing)
}

/// Whether there is a folder for the file, and nothing in it under its name: not even a link that leads nowhere.
fn is_missing(file: &Path, error: &LoadError) -> bool {
    let folder = match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return false,
    };
    matches!(error, LoadError::Io(error) if error.kind() == ErrorKind::NotFound)
        && folder.is_dir()
        && !file.is_symlink()
}

/// Replaces the file's content, if it has changed.
fn save(file: &Path, editing: Editing, edited: &Edited) -> Result<(), Failure> {
    if edited.is_unchanged() {
        return Ok(());
    }
    save_by(file, editing, |_, out| out.write_all(edited.content.as_ref()))?;
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
    let admitted = editing.admitted().cloned();
    editing.replace(write).map_err(|error| failure(file, &error))?;
    if let Some(group) = admitted {
        let file = shown(file);
        say(format_args!(
            "{file}: is made, and {group} may read it (mode 0640), so that the broker can"
        ));
    }
    Ok(())
}

fn failure(file: &Path, error: &EditError) -> Failure {
    match error {
        EditError::Load(error) => {
            let hint = match error {
                LoadError::Lines(_) => ": it is not edited (iotda-auth check tells which)",
                _ => "",
            };
            unusable(file, error, hint)
        }
        EditError::Io { what: what @ (CANNOT_WRITE | CANNOT_MAKE), error } => {
            Failure::new(format!("{}: {what}: {}", shown(file), Fault::of(file, error)))
        }
        error => Failure::new(format!("{}: {error}", shown(file))),
    }
}
