//! Which devices are there? Their kind and state, never a secret.

use crate::{
    args::{self, ReportFormat},
    secrets_file,
    terminal::{self, Answer, Failure},
};
use iotda_core::registry::{Credential, Device, Fingerprint, Table};
use std::io::{self, Write};

/// Prints each device, in the order of the file.
pub(crate) fn run(args: &args::List) -> Result<Answer, Failure> {
    let table = secrets_file::table(&secrets_file::named(args.file.as_deref(), "FILE")?)?;
    terminal::write(|out| match args.format {
        ReportFormat::Text => write_lines(&table, out),
        ReportFormat::Json => write_json(&table, out),
    })?;
    Ok(Answer::Yes)
}

/// What is told of a device's credential: its kind, and whether there are two.
fn kind(credential: &Credential<'_>) -> (&'static str, bool) {
    match credential {
        Credential::Secret { secondary, .. } => ("secret", secondary.is_some()),
        Credential::Certificate(fingerprints) => ("certificate", fingerprints.secondary.is_some()),
    }
}

fn write_lines(table: &Table, out: &mut impl Write) -> io::Result<()> {
    let width = table.iter().map(|(id, _)| id.len()).max().unwrap_or(0);
    for (id, Device { credential, frozen, .. }) in table.iter() {
        let id = String::from_utf8_lossy(id);
        let (kind, has_secondary) = kind(&credential);
        let (secondary, frozen) = (yes_or_no(has_secondary), yes_or_no(frozen));
        writeln!(out, "{id:<width$}  {kind:<11}  secondary={secondary:<3}  frozen={frozen}")?;
    }
    Ok(())
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// An array with a line for each device, so that neither this tool nor its reader needs all of it at once.
fn write_json(table: &Table, out: &mut impl Write) -> io::Result<()> {
    let mut before = "[\n";
    for (id, Device { credential, frozen, .. }) in table.iter() {
        let (kind, has_secondary) = kind(&credential);
        let mut object = serde_json::json!({
            "device_id": String::from_utf8_lossy(id),
            "credential": kind,
            "secondary": has_secondary,
            "frozen": frozen,
        });
        if let (Some(object), Credential::Certificate(fingerprints)) =
            (object.as_object_mut(), credential)
        {
            let digits = [Some(fingerprints.primary), fingerprints.secondary];
            let digits: Vec<String> = digits.into_iter().flatten().map(hex_digits).collect();
            object.insert("fingerprints".into(), digits.into());
        }
        write!(out, "{before}{object}")?;
        before = ",\n";
    }
    out.write_all(if before.starts_with('[') { b"[]\n" } else { b"\n]\n" })
}

fn hex_digits(fingerprint: Fingerprint) -> String {
    match fingerprint {
        Fingerprint::Sha1(digest) => hex::encode(digest),
        Fingerprint::Sha256(digest) => hex::encode(digest),
    }
}
