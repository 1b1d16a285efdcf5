//! Which devices are there? Their kind and state, never a secret.

use crate::{
    args, secret, secrets_file,
    terminal::{self, Answer, Failure},
};
use iotda_core::registry::{Credential, Device, Table};
use std::io::{self, Write};

/// Prints a line for each device, in the order of the file.
pub(crate) fn run(args: &args::List) -> Result<Answer, Failure> {
    let table = secret::table(&secrets_file::named(args.file.as_deref(), "FILE")?)?;
    terminal::write(|out| write(&table, out))?;
    Ok(Answer::Yes)
}

fn write(table: &Table, out: &mut impl Write) -> io::Result<()> {
    let width = table.iter().map(|(id, _)| id.len()).max().unwrap_or(0);
    for (id, Device { credential, frozen, .. }) in table.iter() {
        let id = String::from_utf8_lossy(id);
        let (kind, has_secondary) = match credential {
            Credential::Secret { secondary, .. } => ("secret", secondary.is_some()),
            Credential::Certificate(fingerprints) => {
                ("certificate", fingerprints.secondary.is_some())
            }
        };
        let (secondary, frozen) = (yes_or_no(has_secondary), yes_or_no(frozen));
        writeln!(out, "{id:<width$}  {kind:<11}  secondary={secondary:<3}  frozen={frozen}")?;
    }
    Ok(())
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
