//! What if the table is emptied, changed or has wrong rows? Then nothing is published, and the log says so.

use crate::insert;
use fleet::{
    follower::Place,
    server::{Release, Server},
};
use std::{thread, time::Duration};

on_each_server!(
    a_truncate_is_not_published,
    a_dropped_column_is_not_published,
    a_table_that_is_gone_is_not_published,
    a_table_that_is_written_anew_is_read_again,
    partitions_come_and_go,
    a_table_that_leaves_the_publication_is_read_again,
    a_table_that_is_filled_anew_is_read_whole,
    too_many_wrong_rows_are_named,
    a_table_that_takes_the_name_is_read,
    wrong_rows_keep_the_last_good_file,
);

fn a_truncate_is_not_published(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 20));
    let place = Place::new(&server.dsn());
    for statements in ["TRUNCATE iotda.device", "DELETE FROM iotda.device"] {
        let follower = place.start();
        place.wait_until_equal(&server);
        place.wait_for_status("state", "streaming");
        let before = place.lines();
        server.sql(statements);
        assert_eq!(follower.wait(), 1);
        assert!(
            place
                .log()
                .contains("nothing is published: the table is empty, and the file has 20 devices")
        );
        assert_eq!(place.run(), 1);
        assert_eq!(place.lines(), before);
        server.wait_for_no_slot();
        // By itself, once the table is right again.
        server.sql(&insert(1, 20));
    }
    let _follower = place.start();
    place.wait_until_equal(&server);
}

fn a_dropped_column_is_not_published(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 20));
    server.sql("UPDATE iotda.device SET frozen = true WHERE device_id = 'dev-1'");
    let place = Place::new(&server.dsn());
    let mut follower = place.start();
    place.wait_until_equal(&server);
    let before = place.lines();
    // A change of the same transaction, and one after it.
    server.sql("BEGIN; ALTER TABLE iotda.device DROP COLUMN frozen; DELETE FROM iotda.device WHERE device_id = 'dev-5'; COMMIT");
    assert_eq!(follower.wait(), 1);
    assert!(place.log().contains("column frozen"), "{}", place.log());
    assert_eq!(place.lines(), before);
    // A column of the same name has other values, and no row has changed.
    server.sql("ALTER TABLE iotda.device ADD COLUMN frozen boolean NOT NULL DEFAULT false");
    follower = place.start();
    place.wait_until_equal(&server);
    place.wait_for_status("state", "streaming");
    server.sql(
        "BEGIN; ALTER TABLE iotda.device DROP COLUMN frozen;
        ALTER TABLE iotda.device ADD COLUMN frozen boolean NOT NULL DEFAULT true; COMMIT",
    );
    place.wait_until_equal(&server);
    drop(follower);
}

fn a_table_that_is_gone_is_not_published(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 20));
    let place = Place::new(&server.dsn());
    let follower = place.start();
    place.wait_until_equal(&server);
    let before = place.lines();
    server.sql("DROP TABLE iotda.device");
    assert_eq!(follower.wait(), 1);
    assert!(place.log().contains("there is no table \"iotda\".\"device\""), "{}", place.log());
    assert_eq!(place.lines(), before);
}

/// Such a statement changes rows, and the change feed does not tell of it.
fn a_table_that_is_written_anew_is_read_again(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 20));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_until_equal(&server);
    place.wait_for_status("state", "streaming");
    server.sql(
        "ALTER TABLE iotda.device ALTER COLUMN secret TYPE text COLLATE \"C\" USING upper(secret)",
    );
    place.wait_until_equal(&server);
    place.wait_for_log("the table is read again");
    server.sql("VACUUM FULL iotda.device");
    server.sql(&insert(21, 22));
    place.wait_until_equal(&server);
}

/// The change feed by the partitions' root does not tell of what happens to a partition as a whole.
fn partitions_come_and_go(release: Release) {
    let server = Server::with_partitions(
        release,
        "LIST",
        "CREATE TABLE iotda.p0 PARTITION OF iotda.device DEFAULT;
         CREATE TABLE iotda.p1 PARTITION OF iotda.device FOR VALUES IN ('dev-1') PARTITION BY LIST (device_id);
         CREATE TABLE iotda.p11 PARTITION OF iotda.p1 FOR VALUES IN ('dev-1');
         CREATE TABLE iotda.p2 PARTITION OF iotda.device FOR VALUES IN ('dev-2');
         CREATE TABLE iotda.p3 PARTITION OF iotda.device FOR VALUES IN ('dev-3');",
    );
    server.sql(&insert(1, 20));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_until_equal(&server);
    for (number, statement) in (1..).zip([
        "TRUNCATE iotda.p11",
        "DROP TABLE iotda.p2",
        "ALTER TABLE iotda.device DETACH PARTITION iotda.p3",
        "UPDATE iotda.p3 SET frozen = true; ALTER TABLE iotda.device ATTACH PARTITION iotda.p3 FOR VALUES IN ('dev-3')",
    ]) {
        place.wait_for_status("state", "streaming");
        server.sql(statement);
        place.wait_until_equal(&server);
        let read = place.log().matches("the table is read again").count();
        assert!(read >= number, "{read} {}", place.log());
    }
    place.wait_for_status("state", "streaming");
    // What is written without the log cannot be followed.
    server.sql("CREATE UNLOGGED TABLE iotda.p4 PARTITION OF iotda.device FOR VALUES IN ('lamp')");
    place.wait_for_log(
        "the whole table is read every 1 s: a part of it is a foreign table, or unlogged",
    );
    server.sql("INSERT INTO iotda.device (device_id, secret) VALUES ('lamp', 'lamp-secret')");
    place.wait_until_equal(&server);
}

/// The change feed does not tell what was changed meanwhile.
fn a_table_that_leaves_the_publication_is_read_again(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 20));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    for (leave, come) in [
        ("DROP TABLE iotda.device", "ADD TABLE iotda.device"),
        ("SET (publish = 'insert')", "SET (publish = 'insert, update, delete, truncate')"),
    ] {
        place.wait_until_equal(&server);
        place.wait_for_status("state", "streaming");
        let mut client = server.client();
        client
            .batch_execute(&format!(
                "ALTER PUBLICATION iotda_auth {leave}; UPDATE iotda.device SET frozen = NOT frozen; ALTER PUBLICATION iotda_auth {come}"
            ))
            .unwrap();
    }
    place.wait_until_equal(&server);
}

/// Who waits for its lock sees what it is afterwards.
fn a_table_that_is_filled_anew_is_read_whole(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 20));
    // The server locks the tables of a publication when it is asked for them.
    server.sql("ALTER PUBLICATION iotda_auth DROP TABLE iotda.device");
    let mut client = server.client();
    let mut open = client.transaction().unwrap();
    open.batch_execute(
        "CREATE TEMP TABLE kept AS SELECT * FROM iotda.device; LOCK TABLE iotda.device IN ACCESS EXCLUSIVE MODE",
    )
    .unwrap();
    let place = Place::new(&server.dsn()).with(&["--once", "--answer-timeout", "20s"]);
    let follower = place.start();
    thread::sleep(Duration::from_secs(1));
    open.batch_execute("TRUNCATE iotda.device; INSERT INTO iotda.device SELECT * FROM kept")
        .unwrap();
    open.commit().unwrap();
    assert_eq!(follower.wait(), 0, "{}", place.log());
    place.wait_until_equal(&server);
}

fn too_many_wrong_rows_are_named(release: Release) {
    let server = Server::new(release);
    server.sql(
        "CREATE VIEW iotda.view AS SELECT 'dev-' || n AS device_id, 'short' AS secret, NULL::text AS secondary_secret,
             NULL::text AS fingerprint, NULL::text AS secondary_fingerprint, false AS frozen FROM generate_series(1, 10001) n;
         GRANT SELECT ON iotda.view TO iotda_follow",
    );
    let place = Place::new(&server.dsn()).with(&["--once", "--table", "iotda.view"]);
    assert_eq!(place.run(), 1);
    for said in ["device \"dev-1\": ", "and 9981 more wrong rows", "more than 10000 rows are wrong"]
    {
        assert!(place.log().contains(said), "{said}: {}", place.log());
    }
}

fn a_table_that_takes_the_name_is_read(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 20));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_until_equal(&server);
    place.wait_for_status("state", "streaming");
    server.sql(
        "BEGIN; CREATE TABLE iotda.next (LIKE iotda.device INCLUDING ALL); INSERT INTO iotda.next SELECT * FROM iotda.device
             WHERE device_id <> 'dev-7'; GRANT SELECT ON iotda.next TO iotda_follow;
         ALTER TABLE iotda.device RENAME TO before; ALTER TABLE iotda.next RENAME TO device;
         ALTER PUBLICATION iotda_auth SET TABLE iotda.device; COMMIT",
    );
    place.wait_until_equal(&server);
    server.sql(&insert(21, 22));
    place.wait_until_equal(&server);
}

fn wrong_rows_keep_the_last_good_file(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 20));
    server.sql("DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = 'iotda.device'::regclass AND contype = 'c'
        LOOP EXECUTE format('ALTER TABLE iotda.device DROP CONSTRAINT %I', name); END LOOP; END $$");
    let place = Place::new(&server.dsn());
    let follower = place.start();
    place.wait_until_equal(&server);
    place.wait_for_status("state", "streaming");
    let before = place.lines();
    server.sql("UPDATE iotda.device SET secret = 'topsecret:frozen' WHERE device_id IN ('dev-1', 'dev-2', 'dev-3');
        UPDATE iotda.device SET secondary_secret = 'topsecret ' WHERE device_id IN ('dev-4', 'dev-5');
        UPDATE iotda.device SET fingerprint = 'topsecret' WHERE device_id IN ('dev-6', 'dev-7', 'dev-8');
        INSERT INTO iotda.device (device_id, secret) VALUES ('a lamp', 'topsecret-1'), (E'a\\nlamp', 'topsecret-2')");
    place.wait_for_status("wrong_rows", 10);
    // A right change waits too.
    server.sql("DELETE FROM iotda.device WHERE device_id = 'dev-9'");
    place.wait_for_status("rows", 11);
    assert_eq!(place.lines(), before);
    let log = place.log();
    for number in 1..=8 {
        assert!(log.contains(&format!("error: device \"dev-{number}\": ")), "{log}");
    }
    assert!(log.contains("device \"a lamp\": device id: expected only A-Z a-z 0-9 _ -"), "{log}");
    assert!(log.contains("device \"a\\nlamp\": "), "{log}");
    let status = place.status().to_string();
    assert!(!log.contains("topsecret") && !status.contains("topsecret"), "{log} {status}");
    // A new follower finds the same.
    drop(follower);
    let _follower = place.start();
    place.wait_for_status("wrong_rows", 10);
    assert_eq!(place.lines(), before);
    server.sql("UPDATE iotda.device SET secret = 'good-secret', secondary_secret = NULL, fingerprint = NULL
        WHERE device_id LIKE 'dev-_'; DELETE FROM iotda.device WHERE device_id LIKE 'a%'");
    place.wait_until_equal(&server);
    place.wait_for_status("error", serde_json::Value::Null);
}
