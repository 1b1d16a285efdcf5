//! Does an instance's secrets file make a table, as the broker's user would find it?

use super::{
    conf::Place,
    finding::{Finding, Id},
    instances::Instance,
};
use iotda_core::{
    log::Count,
    registry::{Cancel, Credential, LoadError, read::LineErrors},
};
use iotda_files::{Obstacle, Reason, Warning, is_mount_point, load_patiently};
use std::{io, path::Path, time::Duration};

/// How long the plugin waits at start for a file that is being written.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a file has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// All devices.
    pub(crate) devices: usize,
    /// Those with certificates.
    pub(crate) x509: usize,
}

/// Checks a file. As the broker's user, whose id is given.
pub(crate) fn check(
    instance: &Instance<'_>,
    uid: u32,
    findings: &mut Vec<Finding>,
) -> Option<Counts> {
    let file = instance.options.secrets_file.as_path();
    let options = &instance.plugin.options;
    let given = options.iter().find(|(name, ..)| name == "secrets_file");
    let (_, _, at) = given.filter(|_| !file.as_os_str().is_empty())?;
    if file.is_relative() {
        let found = format!("secrets_file {file:?}: a relative path");
        findings.push(Finding::new(Id::RelativePath, at, found));
    }
    match load_patiently(file, PATIENCE, Cancel::NEVER) {
        Ok(loaded) => {
            findings
                .extend(loaded.warnings(Some(uid)).iter().map(|warning| warned(file, at, warning)));
            let is_x509 =
                |credential: &Credential<'_>| matches!(credential, Credential::Certificate(_));
            let x509 =
                loaded.table.iter().filter(|(_, device)| is_x509(&device.credential)).count();
            Some(Counts { devices: loaded.table.len(), x509 })
        }
        Err(error) => {
            findings.extend(refused(file, at, error));
            None
        }
    }
}

/// A warning about a file that is in order.
pub(crate) fn warned(file: &Path, at: &Place, warning: &Warning) -> Finding {
    let id = match warning {
        Warning::NoDevice => Id::SecretsEmpty,
        Warning::NoNewline => Id::SecretsNoNewline,
        Warning::Replaced => Id::SecretsMount,
        Warning::Readable
        | Warning::Owner { .. }
        | Warning::GroupWritable
        | Warning::Folder { .. } => Id::SecretsExposed,
    };
    Finding::new(id, at, format_args!("secrets_file {file:?} {warning}"))
}

/// A file that is mounted by itself. As the caller, who may see where the links lead.
pub(crate) fn check_mount(instance: &Instance<'_>, findings: &mut Vec<Finding>) {
    let file = instance.options.secrets_file.as_path();
    let given = instance.plugin.options.iter().find(|(name, ..)| name == "secrets_file");
    if let (Some((_, _, at)), true) = (given, is_mount_point(file)) {
        let is_told = |finding: &Finding| finding.id == Id::SecretsMount && finding.at == *at;
        if !findings.iter().any(is_told) {
            let found = format!("secrets_file {file:?}: mounted by itself, without its folder");
            findings.push(Finding::new(Id::SecretsMount, at, found));
        }
    }
}

/// What is said of a file that makes no table.
pub(crate) fn refused(file: &Path, at: &Place, error: LoadError) -> Vec<Finding> {
    let about =
        |id, text: &str| Finding::new(id, at, format_args!("secrets_file {file:?}: {text}"));
    match error {
        LoadError::Io(error) => vec![unreadable(about, &error)],
        LoadError::Lines(errors) if errors.foreign.is_none() => lines(file, errors),
        error => vec![about(Id::SecretsFile, &error.to_string())],
    }
}

fn unreadable(about: impl Fn(Id, &str) -> Finding, error: &io::Error) -> Finding {
    let text = format!("cannot be read: {error}");
    let obstacle = error.get_ref().and_then(|inner| inner.downcast_ref::<Obstacle>());
    match obstacle.map(|obstacle| &obstacle.reason) {
        // The text ends in what to do.
        Some(Reason::Shut { user: Some(_), .. }) => match text.rsplit_once(": ") {
            Some((found, advice)) => about(Id::SecretsUnreadable, found).advising(advice),
            None => about(Id::SecretsUnreadable, &text),
        },
        _ => about(Id::SecretsUnreadable, &text),
    }
}

fn lines(file: &Path, errors: LineErrors) -> Vec<Finding> {
    let told = errors.first.len() as u64;
    let mut findings: Vec<_> = errors
        .first
        .into_iter()
        .map(|(line, fault)| {
            let line = usize::try_from(line).unwrap_or(usize::MAX);
            Finding::new(Id::SecretsLine, &Place { file: file.into(), line }, fault)
        })
        .collect();
    if let Some(more) = errors.total.checked_sub(told).filter(|more| *more > 0) {
        let found = Count(more, "more wrong line").to_string();
        let advice = format!("iotda-auth check {} lists all", file.display());
        findings.push(Finding::new(Id::SecretsLine, &Place::of(file), found).advising(advice));
    } else if let (true, Some(last)) = (errors.ends_in_the_middle, findings.last_mut()) {
        last.found.push_str("; the file ends here without a newline: is it cut off?");
    }
    findings
}
