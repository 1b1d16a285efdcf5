//! Does the file become the table?

use crate::insert;
use fleet::{
    follower::{PATIENCE, Place},
    server::{Release, Server},
};
use std::{fs, os::unix::fs::MetadataExt, process::Command};
use support::{broker::wait_within, scratch::set_mode, tool::tool};

on_each_server!(
    each_kind_of_change_arrives,
    whole_snapshots_where_the_log_is_not_logical,
    a_view_is_followed_by_snapshots,
    once_reads_the_table_and_ends,
    the_file_keeps_its_owner_and_mode_and_is_not_edited,
    the_second_follower_of_a_file_ends,
    a_file_that_is_equal_is_not_written,
    a_file_that_others_change_is_written_again,
    a_table_in_partitions_is_followed,
    the_log_can_be_json,
);

const SHA1: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";

fn each_kind_of_change_arrives(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 5));
    let place = Place::new(&server.dsn());
    let follower = place.start();
    place.wait_until_equal(&server);
    place.wait_for_log("each change is taken as it comes");
    for statements in [
        insert(6, 30).as_str(),
        "UPDATE iotda.device SET frozen = true WHERE device_id = 'dev-2'",
        "UPDATE iotda.device SET secondary_secret = 'secret-99' WHERE device_id IN ('dev-2', 'dev-3')",
        // Of the same length, and longer.
        "UPDATE iotda.device SET secret = 'SECRET-00000004' WHERE device_id = 'dev-4'",
        "UPDATE iotda.device SET secret = 'SECRET-000000000005' WHERE device_id = 'dev-5'",
        &format!("UPDATE iotda.device SET secret = NULL, fingerprint = '{SHA1}' WHERE device_id = 'dev-6'"),
        &format!("UPDATE iotda.device SET secondary_fingerprint = '{SHA1}', frozen = true WHERE device_id = 'dev-6'"),
        // The key itself, also into one that was just given up.
        "UPDATE iotda.device SET device_id = 'other-7' WHERE device_id = 'dev-7'",
        "UPDATE iotda.device SET device_id = 'dev-7' WHERE device_id = 'dev-8'",
        "BEGIN; UPDATE iotda.device SET device_id = 'tmp' WHERE device_id = 'dev-9';
         UPDATE iotda.device SET device_id = 'dev-9' WHERE device_id = 'dev-10';
         UPDATE iotda.device SET device_id = 'dev-10' WHERE device_id = 'tmp'; COMMIT",
        "BEGIN; DELETE FROM iotda.device WHERE device_id = 'dev-11';
         INSERT INTO iotda.device (device_id, secret) VALUES ('dev-11', 'new-secret'); COMMIT",
        "BEGIN; DELETE FROM iotda.device WHERE device_id = 'dev-12';
         INSERT INTO iotda.device (device_id, secret) VALUES ('dev-12', 'new-secret');
         DELETE FROM iotda.device WHERE device_id = 'dev-12'; COMMIT",
        "BEGIN; DELETE FROM iotda.device WHERE device_id < 'dev-2'; ROLLBACK",
        "BEGIN; SAVEPOINT a; DELETE FROM iotda.device WHERE device_id = 'dev-13'; ROLLBACK TO a;
         DELETE FROM iotda.device WHERE device_id = 'dev-14'; COMMIT",
        "TRUNCATE iotda.device; BEGIN; TRUNCATE iotda.device",
        "ALTER TABLE iotda.device ADD COLUMN note text DEFAULT 'x'; UPDATE iotda.device SET note = repeat('y', 100000)
         WHERE device_id = 'dev-3'; UPDATE iotda.device SET frozen = true WHERE device_id = 'dev-3'",
        "ALTER TABLE iotda.device REPLICA IDENTITY FULL; DELETE FROM iotda.device WHERE device_id = 'dev-15'",
    ]
    .map(|statements| match statements.starts_with("TRUNCATE") {
        // Emptied and filled again in one transaction.
        true => "BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM iotda.device; TRUNCATE iotda.device;
                 INSERT INTO iotda.device SELECT * FROM kept WHERE device_id <> 'dev-16'; COMMIT",
        false => statements,
    }) {
        server.sql(statements);
        place.wait_until_equal(&server);
    }
    place.wait_for_status("state", "streaming");
    place.wait_for_status("devices", server.lines().len());
    follower.signal("TERM");
    assert_eq!(follower.wait(), 0);
    assert_eq!(place.status()["state"], "ended");
    server.wait_for_no_slot();
    assert_eq!(place.litter(), [""; 0]);
}

fn whole_snapshots_where_the_log_is_not_logical(release: Release) {
    let server = Server::bare(release, "wal_level = replica\n");
    server.sql(&fleet::server::setup());
    server.sql(&insert(1, 20));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_for_log("the whole table is read every 1 s: the server's wal_level is not logical");
    place.wait_until_equal(&server);
    server.sql("UPDATE iotda.device SET frozen = true WHERE device_id = 'dev-3'");
    place.wait_until_equal(&server);
    server.sql("DELETE FROM iotda.device WHERE device_id = 'dev-3'");
    place.wait_until_equal(&server);
    place.wait_for_status("state", "snapshots");
    assert_eq!(server.slots(), 0);
}

fn a_view_is_followed_by_snapshots(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    server.sql(
        "CREATE TABLE iotda.mine (name text, key text, blocked int);
         INSERT INTO iotda.mine VALUES ('lamp', 'lamp-secret', 0), ('door', 'door-secret', 1);
         CREATE VIEW iotda.view AS SELECT name AS device_id, key AS secret, NULL::text AS secondary_secret,
             NULL::text AS fingerprint, NULL::text AS secondary_fingerprint, blocked > 0 AS frozen FROM iotda.mine;
         GRANT SELECT ON iotda.view TO iotda_follow",
    );
    let place = Place::new(&server.dsn()).with(&["--table", "iotda.view"]);
    let _follower = place.start();
    place.wait_for_log("the whole table is read every 1 s: it is not a table");
    let expect = |lines: &[&str]| {
        wait_within(PATIENCE, || place.lines() == lines)
            .unwrap_or_else(|| panic!("{:?}", place.lines()));
    };
    expect(&["door:door-secret:frozen", "lamp:lamp-secret"]);
    // A view may have a device twice: a broker would not load that.
    server
        .sql("INSERT INTO iotda.mine VALUES ('lamp', 'lamp-other', 0), ('bell', 'bell-secret', 0)");
    place.wait_for_log(
        "device \"lamp\": expected one row for each device, found another with its id",
    );
    expect(&["door:door-secret:frozen", "lamp:lamp-secret"]);
    place.wait_for_status("wrong_rows", 1);
    server.sql("DELETE FROM iotda.mine WHERE key = 'lamp-secret'");
    expect(&["bell:bell-secret", "door:door-secret:frozen", "lamp:lamp-other"]);
    place.wait_for_status("error", serde_json::Value::Null);
}

fn once_reads_the_table_and_ends(release: Release) {
    let mut server = Server::new(release);
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn()).with(&["--once"]);
    assert_eq!(place.run(), 0);
    assert_eq!(place.lines(), server.lines());
    assert_eq!(server.slots(), 0);
    // The password may be in it.
    set_mode(&place.files().join("../dsn"), 0o644);
    assert_eq!(place.run(), 0);
    let said = "dsn: can be read by every user of this machine (chmod o-r)";
    assert!(place.log().contains(said), "{}", place.log());
    server.stop("INT");
    assert_eq!(place.run(), 2);
    server.start();
    server.sql("DROP TABLE iotda.device");
    assert_eq!(place.run(), 1);
    assert!(place.log().contains("there is no table \"iotda\".\"device\""), "{}", place.log());
    assert_eq!(place.lines().len(), 3);
}

fn the_file_keeps_its_owner_and_mode_and_is_not_edited(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn()).with(&["--once"]);
    let file = place.file();
    // One that an operator has made is not lost.
    fs::write(&file, "old:old-secret\n").unwrap();
    set_mode(&file, 0o640);
    assert_eq!(place.run(), 2);
    assert!(
        place.log().contains("expected a file that iotda-auth follow has made"),
        "{}",
        place.log()
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "old:old-secret\n");
    let place = place.with(&["--adopt"]);
    assert_eq!(place.run(), 0);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(place.lines(), server.lines());
    for edit in [
        vec!["add", "--secret-stdin"],
        vec!["remove"],
        vec!["freeze"],
        vec!["reset-secret", "--secret-stdin"],
    ] {
        let mut arguments = vec![edit[0], file.to_str().unwrap(), "dev-1"];
        arguments.extend(&edit[1..]);
        let mut command = support::tool::command(&arguments);
        let said = support::tool::run(
            std::mem::replace(&mut command, Command::new("true")),
            b"new-secret\n",
        );
        assert_eq!(said.status, 2, "{said:?}");
        assert!(said.err.contains("is kept by iotda-auth follow: nothing is done"), "{said:?}");
    }
    assert_eq!(place.lines(), server.lines());
}

fn the_second_follower_of_a_file_ends(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn());
    let first = place.start();
    place.wait_until_equal(&server);
    assert_eq!(place.run(), 2);
    let expected = format!("is followed into by process {}", first.pid());
    assert!(place.log().contains(&expected), "{}", place.log());
    server.sql(&insert(4, 5));
    place.wait_until_equal(&server);
    // The lock ends with the process.
    drop(first);
    let _second = place.start();
    server.sql(&insert(6, 7));
    place.wait_until_equal(&server);
}

fn a_file_that_is_equal_is_not_written(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn());
    let inode = || fs::metadata(place.file()).unwrap().ino();
    let first = place.start();
    place.wait_until_equal(&server);
    let before = inode();
    drop(first);
    let _second = place.start();
    place.wait_for_status("state", "streaming");
    // A change that changes nothing, and one of another table.
    server.sql("UPDATE iotda.device SET frozen = false; CREATE TABLE other (n int); INSERT INTO other VALUES (1)");
    wait_within(PATIENCE, || place.status()["last_change"].is_string()).unwrap();
    assert_eq!(inode(), before);
    server.sql(&insert(4, 5));
    place.wait_until_equal(&server);
    assert_ne!(inode(), before);
}

fn a_file_that_others_change_is_written_again(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_until_equal(&server);
    fs::write(place.file(), "# iotda-auth follow: mine\nmine:my-secret\n").unwrap();
    place.wait_until_equal(&server);
    place.wait_for_log("was changed by somebody else, and is written again");
    fs::remove_file(place.file()).unwrap();
    place.wait_until_equal(&server);
}

fn a_table_in_partitions_is_followed(release: Release) {
    let server = Server::with_partitions(
        release,
        "HASH",
        "CREATE TABLE iotda.p0 PARTITION OF iotda.device FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE iotda.p1 PARTITION OF iotda.device FOR VALUES WITH (MODULUS 2, REMAINDER 1);",
    );
    server.sql(&insert(1, 20));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_until_equal(&server);
    place.wait_for_log("each change is taken as it comes");
    server
        .sql("UPDATE iotda.device SET device_id = 'new-' || device_id WHERE device_id < 'dev-15'");
    place.wait_until_equal(&server);
}

fn the_log_can_be_json(release: Release) {
    let server = Server::new(release);
    let place = Place::new(&server.dsn()).with(&["--once", "--log-format", "json"]);
    assert_eq!(place.run(), 0);
    for line in place.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            line["time"].is_string() && line["level"] == "info" && line["message"].is_string(),
            "{line}"
        );
    }
    assert!(tool(["follow", "--once"]).err.contains("--dsn-file"));
}
