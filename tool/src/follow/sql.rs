//! What is to be done in the database, and the names of what is there.

use super::row::COLUMNS;
use crate::{
    secret,
    terminal::{self, Answer, Failure},
};
use iotda_core::registry::{
    Credential, Device,
    line::{Fingerprint, MAX_DEVICE_ID, SECRET_LENGTHS},
};
use std::{
    fmt::{self, Display},
    io::{self, Write},
    path::Path,
};

/// The name of a table: `schema.table`, each a plain word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    schema: String,
    table: String,
}

impl Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Name(&self.schema), Name(&self.table))
    }
}

/// Reads the name of a table.
pub(crate) fn table_name(text: &str) -> Result<TableName, &'static str> {
    let names: Vec<String> = text.split('.').map(|part| name(part)).collect::<Result<_, _>>()?;
    match <[String; 2]>::try_from(names) {
        Ok([schema, table]) => Ok(TableName { schema, table }),
        Err(_) => Err("expected SCHEMA.TABLE"),
    }
}

/// Reads a name that needs no escapes; PostgreSQL cuts off what is longer.
pub(crate) fn name(text: &str) -> Result<String, &'static str> {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    if (1..=63).contains(&text.len()) && text.chars().all(is_allowed) {
        Ok(text.into())
    } else {
        Err("expected 1 to 63 of A-Z a-z 0-9 _ - for each name")
    }
}

/// A name in quotes, so that case and reserved words do not matter.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The role that the followers log in as.
pub(crate) const ROLE: &str = "iotda_follow";

/// Prints the statements that set the database up.
pub(crate) fn print_setup(table: &TableName, publication: &str) -> Result<Answer, Failure> {
    terminal::write(|out| write_setup(out, table, publication))?;
    Ok(Answer::Yes)
}

fn write_setup(out: &mut impl Write, table: &TableName, publication: &str) -> io::Result<()> {
    let (schema, publication, role) = (Name(&table.schema), Name(publication), Name(ROLE));
    let id = format!("'^[A-Za-z0-9_-]{{1,{MAX_DEVICE_ID}}}$'");
    let secret =
        format!("'^[A-Za-z0-9_-]{{{},{}}}$'", SECRET_LENGTHS.start(), SECRET_LENGTHS.end());
    let digits = "'^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$'";
    let [device_id, primary, secondary, fingerprint, other, frozen] = COLUMNS;
    writeln!(
        out,
        "-- What `iotda-auth follow` needs, to be run in the database that holds the devices:
--     iotda-auth follow --print-sql | psql -v ON_ERROR_STOP=1 DATABASE
-- It needs a superuser, or on a managed service its administrator.

BEGIN;

-- The devices. The checks are the rules of the secrets file: a row that breaks them would keep the file from changing.
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE {table} (
    {device_id} text COLLATE \"C\" PRIMARY KEY CHECK ({device_id} ~ {id}),
    {primary} text COLLATE \"C\" CHECK ({primary} ~ {secret}),
    {secondary} text COLLATE \"C\" CHECK ({secondary} ~ {secret}),
    {fingerprint} text COLLATE \"C\" CHECK ({fingerprint} ~ {digits}),
    {other} text COLLATE \"C\" CHECK ({other} ~ {digits}),
    {frozen} boolean NOT NULL DEFAULT false,
    CHECK (({primary} IS NULL) <> ({fingerprint} IS NULL)),
    CHECK ({secondary} IS NULL OR {primary} IS NOT NULL),
    CHECK ({other} IS NULL OR {fingerprint} IS NOT NULL)
);

-- Whom the followers log in as. They read this table and nothing else. REPLICATION is for the change feed; no line of
-- pg_hba.conf may let this role reach the database \"replication\", where it could copy the whole server.
-- The role may be there already, for another table or another database. Give it a password: \\password {ROLE}
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {role} LOGIN REPLICATION;
    END IF;
END $$;
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON {table} TO {role};

-- What the change feed tells of.
CREATE PUBLICATION {publication} FOR TABLE {table};

COMMIT;

-- Each look at the change feed would be two lines in the server's log.
ALTER ROLE {role} SET log_min_messages = fatal;

-- The change feed needs wal_level = logical, and a slot for each follower (max_replication_slots). If \"SHOW wal_level\" says
-- something else, run this and restart the server. Without it, the whole table is read again and again.
-- ALTER SYSTEM SET wal_level = 'logical';"
    )
}

/// Prints the devices of a secrets file as rows, for psql.
pub(crate) fn print_rows(file: &Path, table: &TableName) -> Result<Answer, Failure> {
    let devices = secret::table(file)?;
    terminal::write(|out| {
        writeln!(out, "COPY {table} ({}) FROM STDIN;", COLUMNS.join(", "))?;
        devices.iter().try_for_each(|(id, device)| write_row(out, id, device))?;
        writeln!(out, "\\.")
    })?;
    Ok(Answer::Yes)
}

/// Writes a device in the text format of COPY; no value has a character that needs an escape.
fn write_row(out: &mut impl Write, id: &[u8], device: Device<'_>) -> io::Result<()> {
    let hex = |fingerprint| match fingerprint {
        Fingerprint::Sha1(digest) => hex::encode(digest),
        Fingerprint::Sha256(digest) => hex::encode(digest),
    };
    out.write_all(id)?;
    let null = b"\\N".as_slice();
    match device.credential {
        Credential::Secret { primary, secondary } => {
            for value in [primary, secondary.unwrap_or(null), null, null] {
                out.write_all(b"\t")?;
                out.write_all(value)?;
            }
        }
        Credential::Certificate(fingerprints) => {
            let secondary = fingerprints.secondary.map_or("\\N".into(), hex);
            write!(out, "\t\\N\t\\N\t{}\t{secondary}", hex(fingerprints.primary))?;
        }
    }
    writeln!(out, "\t{}", if device.frozen { "t" } else { "f" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_escapes() {
        assert_eq!(table_name("iotda.device").unwrap().to_string(), "\"iotda\".\"device\"");
        for text in ["device", "a.b.c", "a.", ".b", "a.b\"", "a.b;", ""] {
            assert!(table_name(text).is_err(), "{text}");
        }
        assert!(name(&"a".repeat(63)).is_ok() && name(&"a".repeat(64)).is_err());
    }
}
