//! What is to be done in a database, and what of it is checked?

use crate::insert;
use fleet::{
    Folder,
    follower::{PATIENCE, Place},
    server::{Release, Server, setup},
};
use std::{fs, path::Path, process::Command};
use support::{broker::wait_within, scratch::set_mode, tool::tool};

on_each_server!(
    what_is_printed_is_enough,
    the_checks_are_the_rules_of_the_file,
    the_rows_of_a_file_are_those_of_the_table,
    the_role_may_be_there,
    what_is_missing_is_said,
    tls_verifies_the_server,
    hidden_rows_are_noticed,
);

/// `--print-sql` on a server that is as it was installed, the line about wal_level included.
fn what_is_printed_is_enough(release: Release) {
    let mut server = Server::bare(release, "");
    let text = setup();
    server.sql(&text);
    let alter = text.lines().find_map(|line| line.strip_prefix("-- ALTER SYSTEM")).unwrap();
    server.sql(&format!("ALTER SYSTEM{alter}"));
    server.stop("INT");
    server.start();
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_for_log("each change is taken as it comes");
    place.wait_until_equal(&server);
    // The role can do no more than it must.
    let mut config = postgres::Client::configure();
    config.host("127.0.0.1").port(server.port()).user("iotda_follow").dbname("iot");
    let mut follower = config.connect(postgres::NoTls).unwrap();
    for statement in ["DELETE FROM iotda.device", "CREATE TABLE iotda.mine ()", "CREATE ROLE other"]
    {
        assert!(follower.batch_execute(statement).is_err(), "{statement}");
    }
}

/// Random rows, most of them wrong in one place: the database takes exactly those that make a line.
fn the_checks_are_the_rules_of_the_file(release: Release) {
    let server = Server::new(release);
    server.sql("CREATE TABLE iotda.loose (LIKE iotda.device); ALTER TABLE iotda.loose ALTER device_id DROP NOT NULL;
        ALTER TABLE iotda.loose ALTER frozen DROP NOT NULL; GRANT SELECT ON iotda.loose TO iotda_follow");
    let mut client = server.client();
    let mut random = fastrand::Rng::with_seed(7);
    let texts = [
        "lamp",
        "a:b",
        "",
        "é",
        "secret-1",
        "short",
        "x\n",
        "UPPER_low-1",
        &"a".repeat(32),
        &"a".repeat(33),
        &"b".repeat(128),
        &"b".repeat(129),
        &"0f".repeat(20),
        &"0F".repeat(32),
        &"0f".repeat(21),
        &"0g".repeat(20),
    ]
    .map(String::from);
    let value = |likely: usize, random: &mut fastrand::Rng| match random.u8(0..10) {
        0..5 => None,
        5..8 => Some(texts[likely].clone()),
        _ => Some(texts[random.usize(0..texts.len())].clone()),
    };
    let mut right = 0;
    for number in 0..1500 {
        let id = match random.u8(0..20) {
            0 => value(0, &mut random),
            _ => Some(format!("dev-{number}")),
        };
        let row = [
            id,
            value(4, &mut random),
            value(8, &mut random),
            value(12, &mut random),
            value(13, &mut random),
        ];
        let frozen = [Some(true), Some(false), None]
            [if random.u8(0..20) == 0 { 2 } else { random.usize(0..2) }];
        let [id, secret, secondary, fingerprint, other] = &row;
        let parameters: [&(dyn postgres::types::ToSql + Sync); 6] =
            [id, secret, secondary, fingerprint, other, &frozen];
        client.execute("DELETE FROM iotda.loose", &[]).unwrap();
        client
            .execute("INSERT INTO iotda.loose VALUES ($1, $2, $3, $4, $5, $6)", &parameters)
            .unwrap();
        client.execute("DELETE FROM iotda.device", &[]).unwrap();
        let taken =
            client.execute("INSERT INTO iotda.device VALUES ($1, $2, $3, $4, $5, $6)", &parameters);
        // A follower for each row would take long: the rows that are taken are read together below.
        if taken.is_ok() {
            right += 1;
        }
        client
            .execute(
                &format!(
                    "CREATE TABLE IF NOT EXISTS iotda.{0} (LIKE iotda.loose)",
                    if taken.is_ok() { "good" } else { "bad" }
                ),
                &[],
            )
            .unwrap();
        let into = if taken.is_ok() { "good" } else { "bad" };
        client
            .execute(&format!("INSERT INTO iotda.{into} SELECT * FROM iotda.loose"), &[])
            .unwrap();
    }
    assert!(right > 100, "{right}");
    client.batch_execute("GRANT SELECT ON ALL TABLES IN SCHEMA iotda TO iotda_follow").unwrap();
    // All that the database has taken make lines.
    client.batch_execute("DELETE FROM iotda.good a USING iotda.good b WHERE a.device_id = b.device_id AND a.ctid < b.ctid").unwrap();
    let place = Place::new(&server.dsn()).with(&["--once", "--table", "iotda.good"]);
    assert_eq!(place.run(), 0);
    // None of the others does; those without an id, and those with the same, are one.
    let place = Place::new(&server.dsn()).with(&["--once", "--table", "iotda.bad"]);
    assert_eq!(place.run(), 1);
    let ids = "SELECT count(DISTINCT coalesce(device_id, '')) FROM iotda.bad";
    let bad: i64 = client.query_one(ids, &[]).unwrap().get(0);
    assert_eq!(place.status()["wrong_rows"], bad);
    assert_eq!(place.status()["rows"], 0);
    for text in texts.iter().filter(|text| text.len() > 7) {
        assert!(!place.log().contains(&format!("{text}:")), "{}", place.log());
    }
}

/// The way from one broker to several: the rows of its file make the same file.
fn the_rows_of_a_file_are_those_of_the_table(release: Release) {
    let server = Server::new(release);
    let place = Place::new(&server.dsn()).with(&["--once", "--adopt"]);
    let lines = format!(
        "# mine\nlamp:lamp-secret\ndoor:door-secret:frozen:secondary=door-other\nmeter:x509={0}\ngate:x509={0},{1}:frozen\n",
        "0f".repeat(20),
        "a0".repeat(32)
    );
    fs::write(place.file(), lines).unwrap();
    let said = tool(["follow", "--print-rows", place.file().to_str().unwrap()]);
    assert_eq!(said.status, 0, "{said:?}");
    let sql = place.files().join("rows.sql");
    fs::write(&sql, &said.out).unwrap();
    let socket = server.folder().to_str().unwrap();
    let psql = Command::new(release.program("psql"))
        .args([
            "-h",
            socket,
            "-p",
            &server.port().to_string(),
            "-U",
            "postgres",
            "-v",
            "ON_ERROR_STOP=1",
            "-q",
            "-f",
        ])
        .arg(&sql)
        .arg("iot")
        .output()
        .expect("psql runs");
    assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
    assert_eq!(place.run(), 0);
    assert_eq!(
        place.lines(),
        [
            "door:door-secret:secondary=door-other:frozen".to_owned(),
            format!("gate:x509={},{}:frozen", "0f".repeat(20), "a0".repeat(32)),
            "lamp:lamp-secret".into(),
            format!("meter:x509={}", "0f".repeat(20)),
        ]
    );
}

/// A second registry, in another database of the same server.
fn the_role_may_be_there(release: Release) {
    let server = Server::new(release);
    server.sql(&format!("DROP SCHEMA iotda CASCADE; DROP PUBLICATION iotda_auth; {}", setup()));
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_until_equal(&server);
}

fn what_is_missing_is_said(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    // What keeps from the change feed: the file follows by snapshots.
    for (break_it, mend, said) in [
        (
            "ALTER ROLE iotda_follow NOREPLICATION",
            "ALTER ROLE iotda_follow REPLICATION",
            "SQLSTATE 42501",
        ),
        (
            "ALTER PUBLICATION iotda_auth RENAME TO other",
            "ALTER PUBLICATION other RENAME TO iotda_auth",
            "it is not in the publication \"iotda_auth\"",
        ),
        (
            "ALTER PUBLICATION iotda_auth SET (publish = 'insert, update')",
            "ALTER PUBLICATION iotda_auth SET (publish = 'insert, update, delete, truncate')",
            "leaves out inserts, updates, deletes or truncates",
        ),
        (
            "ALTER PUBLICATION iotda_auth SET TABLE iotda.device WHERE (device_id > 'dev-1')",
            "ALTER PUBLICATION iotda_auth SET TABLE iotda.device",
            "has a row filter",
        ),
        (
            "ALTER TABLE iotda.device REPLICA IDENTITY NOTHING",
            "ALTER TABLE iotda.device REPLICA IDENTITY DEFAULT",
            "its replica identity is not device_id alone",
        ),
        (
            "ALTER TABLE iotda.device DROP CONSTRAINT device_pkey, ADD PRIMARY KEY (device_id, frozen)",
            "ALTER TABLE iotda.device DROP CONSTRAINT device_pkey, ADD PRIMARY KEY (device_id)",
            "its replica identity is not device_id alone",
        ),
        (
            "ALTER PUBLICATION iotda_auth SET TABLE iotda.device (device_id, secret, frozen)",
            "ALTER PUBLICATION iotda_auth SET TABLE iotda.device",
            "the publication \"iotda_auth\" leaves out columns",
        ),
        (
            "ALTER TABLE iotda.device DROP COLUMN frozen,
                 ADD COLUMN frozen boolean NOT NULL GENERATED ALWAYS AS (device_id = 'dev-2') STORED",
            "ALTER TABLE iotda.device ALTER COLUMN frozen DROP EXPRESSION",
            "the change feed leaves out generated columns: frozen",
        ),
    ] {
        server.sql(break_it);
        let place = Place::new(&server.dsn());
        let _follower = place.start();
        place.wait_for_log(said);
        place.wait_for_log("the whole table is read every 1 s");
        place.wait_until_equal(&server);
        server.sql(mend);
        if !said.starts_with("SQLSTATE") {
            // It is noticed that there is a change feed now.
            place.wait_for_log("each change is taken as it comes");
        }
    }
    // What keeps from reading.
    for (break_it, mend, status, said) in [
        (
            "REVOKE SELECT ON iotda.device FROM iotda_follow",
            "GRANT SELECT ON iotda.device TO iotda_follow",
            2,
            "permission denied for table device",
        ),
        (
            "ALTER TABLE iotda.device DROP CONSTRAINT device_secret_check, ALTER secret TYPE char(32)",
            "ALTER TABLE iotda.device ALTER secret TYPE text",
            1,
            "column secret: expected type text, found character",
        ),
        (
            "ALTER ROLE iotda_follow NOLOGIN",
            "ALTER ROLE iotda_follow LOGIN",
            2,
            "is not permitted to log in",
        ),
    ] {
        server.sql(break_it);
        let place = Place::new(&server.dsn()).with(&["--once"]);
        assert_eq!(place.run(), status, "{}", place.log());
        assert!(place.log().contains(said), "{}", place.log());
        server.sql(mend);
    }
}

/// Rows that a policy hides would be missing in the file.
fn hidden_rows_are_noticed(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    server.sql(
        "ALTER TABLE iotda.device ENABLE ROW LEVEL SECURITY;
        CREATE POLICY a ON iotda.device FOR SELECT USING (device_id = 'dev-1')",
    );
    let place = Place::new(&server.dsn()).with(&["--once"]);
    assert_eq!(place.run(), 2);
    assert!(place.log().contains("row-level security"), "{}", place.log());
}

/// Makes an authority, and a certificate of it for a name.
fn certificates(folder: &Path, name: &str) {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output();
        let output = output.expect("openssl runs: ./dev fleet brings it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let curve =
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let ca = ["req", "-x509", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&ca[..], &curve].concat());
    let subject = format!("/CN={name}");
    let alternative = format!("subjectAltName=DNS:{name}");
    let leaf = [
        "req",
        "-x509",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-keyout",
        "server.key",
        "-out",
        "server.pem",
    ];
    let names =
        ["-subj", &subject, "-addext", &alternative, "-addext", "basicConstraints=CA:FALSE"];
    openssl(&[&leaf[..], &names, &curve].concat());
    set_mode(&folder.join("server.key"), 0o600);
}

fn tls_verifies_the_server(release: Release) {
    let files = Folder::new();
    certificates(files.path(), "localhost");
    let mut server = Server::new(release);
    server.sql(&insert(1, 3));
    server.sql("ALTER ROLE iotda_follow PASSWORD 'a b''c'");
    let folder = files.path().display();
    server.configure(&format!(
        "wal_level = logical\nssl = on\nssl_cert_file = '{folder}/server.pem'\nssl_key_file = '{folder}/server.key'\n"
    ));
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.data().join("pg_hba.conf"), rules).unwrap();
    server.stop("INT");
    server.start();

    let port = server.port();
    let dsn = |host: &str, rest: &str| {
        format!(
            "host={host} hostaddr=127.0.0.1 port={} user=iotda_follow dbname=iot password='a b\\'c' {rest}",
            port
        )
    };
    let roots = format!("sslrootcert={folder}/ca.pem");
    let place = Place::new(&dsn("localhost", &format!("sslmode=verify-full {roots}")));
    let follower = place.start();
    place.wait_until_equal(&server);
    server.sql(&insert(4, 5));
    place.wait_until_equal(&server);
    drop(follower);
    let url = format!(
        "postgresql://iotda_follow:a%20b'c@localhost:{}/iot?sslmode=verify-full&sslrootcert={folder}/ca.pem",
        server.port()
    );
    let place = Place::new(&url);
    let _follower = place.start();
    place.wait_until_equal(&server);
    for (dsn, said) in [
        // Another name than the certificate's; by default it is checked, because the host is not local.
        (dsn("db.example", &roots), "not valid for name"),
        // An authority that nobody here knows.
        (dsn("localhost", "sslmode=verify-full"), "UnknownIssuer"),
        (dsn("localhost", "sslmode=disable"), "no encryption"),
        (
            dsn("localhost", &format!("sslmode=verify-full {roots}")).replace("a b", "wrong"),
            "password authentication failed",
        ),
    ] {
        let place = Place::new(&dsn).with(&["--once"]);
        assert_eq!(place.run(), 2, "{}", place.log());
        assert!(place.log().contains(said), "{said}: {}", place.log());
        assert!(
            !place.log().contains("a b") && !place.log().contains("wrong\\'"),
            "{}",
            place.log()
        );
    }
    // A server without TLS.
    server.configure("wal_level = logical\nssl = off\n");
    fs::write(
        server.data().join("pg_hba.conf"),
        "local all all trust\nhost all all 127.0.0.1/32 trust\n",
    )
    .unwrap();
    server.stop("INT");
    server.start();
    let bare = Place::new(&dsn("db.example", &roots)).with(&["--once"]);
    assert_eq!(bare.run(), 2);
    assert!(bare.log().contains("server does not support TLS"), "{}", bare.log());
    wait_within(PATIENCE, || place.log().contains("server does not support TLS")).unwrap();
}
