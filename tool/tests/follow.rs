//! `iotda-auth follow` without a database: what is wrong is said, and nothing is lost. tests/fleet has the rest.

#![cfg(feature = "follow")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::Path};
use support::{
    scratch::{Scratch, set_mode},
    tool::{Said, tool},
};

fn follow(dsn: &Path, out: &Path, more: &[&str]) -> Said {
    let (dsn, out) = (dsn.to_str().unwrap(), out.to_str().unwrap());
    tool([&["follow", "--dsn-file", dsn, "--out", out, "--once"], more].concat())
        .without(&["topsecret"])
}

#[test]
fn wrong_usage_is_told() {
    for (arguments, reason) in [
        (&["follow"][..], "--dsn-file"),
        (&["follow", "--dsn-file", "x"], "--out"),
        (&["follow", "--print-sql", "--table", "device"], "expected SCHEMA.TABLE"),
        (&["follow", "--print-sql", "--table", "a.b; DROP"], "expected 1 to 63 of A-Z a-z 0-9 _ -"),
        (&["follow", "--print-sql", "--publication", "a\"b"], "expected 1 to 63"),
        (
            &["follow", "--print-sql", "--min-interval", "fast"],
            "expected a time like 90s, 15m or 1h",
        ),
        (&["follow", "--print-sql", "--max-shrink", "101"], "101"),
        (&["follow", "--print-sql", "--print-rows", "x"], "--print-rows"),
    ] {
        tool(arguments).is_misuse(reason);
    }
}

#[test]
fn the_connection_string_is_not_repeated() {
    let scratch = Scratch::new();
    let out = scratch.path().join("iotda.secrets");
    for (text, reason) in [
        ("topsecret", "expected key=value, found a word without ="),
        ("host=db user=u password='topsecret", "expected a quote at the end"),
        ("host=db user=u topsecret=1", "expected a connection string"),
        ("user=u password=topsecret", "expected host=, found none"),
        ("host=db user=u password=topsecret sslmode=require", "sslmode: expected verify-full"),
        ("host=db user=u password=topsecret sslrootcert=/none.pem", "/none.pem: certificates: "),
        ("postgresql://u:topsecret@127.0.0.1:1/d", "127.0.0.1/d: error connecting to server"),
    ] {
        let dsn = scratch.file("dsn", text);
        follow(&dsn, &out, &[]).is_misuse(reason);
        assert!(!out.exists());
    }
    follow(&scratch.path().join("none"), &out, &[]).is_misuse("none: No such file");
    let dsn = scratch.file("dsn", "host=127.0.0.1 port=1 user=u dbname=d password=topsecret");
    set_mode(&dsn, 0o644);
    follow(&dsn, &out, &[]).is_misuse("warning: ");
}

#[test]
fn a_file_stays_as_it_is_without_a_database() {
    let scratch = Scratch::new();
    let dsn = scratch.file("dsn", "host=127.0.0.1 port=1 user=u dbname=d");
    let own = "lamp:lamp-secret\n";
    let out = scratch.file("iotda.secrets", own);
    follow(&dsn, &out, &[])
        .is_misuse("expected a file that iotda-auth follow has made, found another");
    follow(&dsn, &out, &["--adopt"]).is_misuse("error connecting to server");
    assert_eq!(fs::read_to_string(&out).unwrap(), own);
    let missing = scratch.path().join("none/iotda.secrets");
    follow(&dsn, &missing, &[]).is_misuse("none/iotda.secrets: No such file");
    let status = scratch.path().join("status.json");
    follow(&dsn, &out, &["--adopt", "--status", status.to_str().unwrap()]).is_misuse("connecting");
    let status = fs::read_to_string(&status).unwrap();
    assert!(
        status.contains("\"state\": \"ended\"") && status.contains("\"devices\": 1"),
        "{status}"
    );
}

#[test]
fn a_followed_file_is_not_edited() {
    let scratch = Scratch::new();
    let text = "# iotda-auth follow: do not edit\nlamp:lamp-secret\n";
    let file = scratch.file("iotda.secrets", text);
    let csv = scratch.file("devices.csv", "device_id,secret\ndoor,door-secret\n");
    let (file, csv) = (file.to_str().unwrap(), csv.to_str().unwrap());
    for arguments in [
        &["add", file, "door"][..],
        &["remove", file, "lamp"],
        &["freeze", file, "lamp"],
        &["unfreeze", file, "lamp"],
        &["reset-secret", file, "lamp"],
        &["import", file, csv],
    ] {
        tool(arguments).is_misuse(
            "is kept by iotda-auth follow: nothing is done; change the device in the database",
        );
    }
    assert_eq!(fs::read_to_string(file).unwrap(), text);
    // It is a secrets file like any other to those who read it.
    assert_eq!(tool(["check", file]).status, 0);
    assert!(tool(["list", file]).out.starts_with("lamp "));
}

#[test]
fn what_is_printed_for_a_database_names_what_is_asked_for() {
    let said = tool(["follow", "--print-sql", "--table", "Plant.Lamps", "--publication", "lamps"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    for text in [
        "CREATE TABLE \"Plant\".\"Lamps\" (",
        "CREATE PUBLICATION \"lamps\" FOR TABLE \"Plant\".\"Lamps\";",
    ] {
        assert!(said.out.contains(text), "{}", said.out);
    }
    let scratch = Scratch::new();
    let file = scratch.file("iotda.secrets", "# a\nlamp:lamp-secret:frozen\n");
    let said = tool(["follow", "--print-rows", file.to_str().unwrap()]);
    let columns = "device_id, secret, secondary_secret, fingerprint, secondary_fingerprint, frozen";
    let rows = "lamp\tlamp-secret\t\\N\t\\N\t\\N\tt\n\\.\n";
    said.is(0, &format!("COPY \"iotda\".\"device\" ({columns}) FROM STDIN;\n{rows}"), "");
    let wrong = scratch.file("wrong.secrets", "lamp:short\n");
    tool(["follow", "--print-rows", wrong.to_str().unwrap()]).tells(1, "", "1 wrong line");
}
