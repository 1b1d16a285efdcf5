//! A broker starts with a working plugin, or it does not start and says why.

use iotda_core::options::Options;
use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};
use support::{
    broker::Setup,
    device::{LAMP, secrets},
    mqtt::{ACCEPTED, Client},
    on_every_broker,
    scratch::set_mode,
    version::Version,
};

on_every_broker!(
    option_errors_stop_the_broker,
    files_that_cannot_be_read_stop_the_broker,
    wrong_lines_stop_the_broker,
    odd_but_right_files_are_read,
    a_world_readable_file_is_warned_of,
    other_users_who_may_change_the_file_are_warned_of,
    a_broker_that_starts_says_what_it_has,
);

/// The plugin's own lines of a log.
fn lines(log: &str) -> Vec<&str> {
    log.lines().filter_map(|line| line.find("iotda-auth: ").map(|at| &line[at + 12..])).collect()
}

fn option_errors_stop_the_broker(version: Version) {
    let names: Vec<&str> = Options::names().collect();
    let duration = "expected a duration like 90, 90s, 15m, 1h or 2d, found";
    for (name, value, expected) in [
        ("secret_file", "/x", format!("plugin_opt_secret_file: unknown option, expected one of {}", names.join(", "))),
        ("stats", "10s", "plugin_opt_stats: unknown option".into()),
        ("reload_interval", "0", "plugin_opt_reload_interval: expected off, or a duration from 1s on, like 10s or 5m, found \"0\"".into()),
        ("secrets_file", "/x", "plugin_opt_secrets_file: found twice, expected once".into()),
        ("timestamp_max_age", "1 hour", format!("plugin_opt_timestamp_max_age: {duration} \"1 hour\"")),
        ("timestamp_max_age", "-1", format!("plugin_opt_timestamp_max_age: {duration} \"-1\"")),
        ("timestamp_max_ahead", "never", "plugin_opt_timestamp_max_ahead: expected unlimited, or a duration".into()),
        ("sign_types", "0,3", "plugin_opt_sign_types: expected some of 0, 1 and 2, separated by commas, found \"0,3\"".into()),
        ("keepalive", "0-1200", "plugin_opt_keepalive: expected any, or a range of seconds like 30-1200, from 1 to 65535, found \"0-1200\"".into()),
        ("other_clients", "accept", "plugin_opt_other_clients: expected refuse or defer, found \"accept\"".into()),
    ] {
        let log = Setup::new(version).secrets(secrets()).option(name, value).fail();
        let found = lines(&log);
        assert_eq!(found.len(), 1, "{log}");
        assert!(found[0].starts_with(&format!("not started: {expected}")), "expected {expected}, found {}", found[0]);
    }
    let log = Setup::new(version).fail();
    assert_eq!(lines(&log), ["not started: plugin_opt_secrets_file: not found, but required"]);
}

fn files_that_cannot_be_read_stop_the_broker(version: Version) {
    let setup = Setup::new(version);
    let missing = setup.scratch().path().join("missing");
    let log = setup.secrets_file(&missing).fail();
    assert_eq!(lines(&log).len(), 1, "{log}");
    assert!(
        log.contains(&format!(
            "not started: secrets_file {missing:?}: cannot be read: No such file"
        )),
        "{log}"
    );

    let setup = Setup::new(version);
    let folder = setup.scratch().path().to_path_buf();
    let log = setup.secrets_file(&folder).fail();
    assert!(log.contains("expected a regular file, found something else"), "{log}");

    // Nobody writes to the pipe, so a reader would wait forever.
    let setup = Setup::new(version);
    let pipe = setup.scratch().path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let log = setup.secrets_file(&pipe).fail();
    assert!(log.contains("expected a regular file, found something else"), "{log}");

    let setup = Setup::new(version).secrets(secrets());
    set_mode(&setup.scratch().path().join("secrets"), 0o602);
    let log = setup.fail();
    assert!(log.contains("expected a file that others cannot write, found mode 0602"), "{log}");
}

fn wrong_lines_stop_the_broker(version: Version) {
    let one = "good:5f2b9c0e7d\nbad-but-secret\n";
    let log = Setup::new(version).secrets(one).fail();
    let found = lines(&log);
    assert!(
        found[0].starts_with("not started: secrets_file \"")
            && found[0].ends_with("secrets\": 1 wrong line"),
        "{log}"
    );
    assert!(found[1].ends_with("line 2: expected device_id:secret, found no colon"), "{log}");
    assert_eq!(found.len(), 2, "{log}");

    let many: String = (0..50)
        .map(|n| format!("lamp-{n}:topsecret{n}\nlamp-{n}:topsecret{n}:topsecret\n"))
        .collect();
    let log = Setup::new(version).secrets(many).fail();
    let found = lines(&log);
    assert_eq!(found.len(), 22, "{log}");
    assert!(found[0].ends_with(": 50 wrong lines"), "{log}");
    assert!(found[1].contains("line 2: attribute 1 after the secret: expected"), "{log}");
    assert!(found[21].ends_with(": and 30 more"), "{log}");
    assert!(!log.contains("topsecret"), "{log}");

    let log = Setup::new(version).secrets("a:5f2b9c0e7d\n\nb:5f2b9c0e7d\na:5f2b9c0e7e\n").fail();
    assert!(log.contains("line 4: device: given on line 1 already"), "{log}");

    for (content, expected) in [
        (vec![b'x'; 1_000_000], "line 1: expected at most 1024 bytes, found more"),
        (b"a:5f2b9c0e7d\0\n".to_vec(), "line 1: secret: expected only A-Z a-z 0-9 _ -"),
        (vec![0; 4096], "line 1: expected at most 1024 bytes"),
        (
            b"a:5f2b9c0e7d\nb\xFF:5f2b9c0e7d\n".to_vec(),
            "line 2: device id: expected only A-Z a-z 0-9 _ -",
        ),
    ] {
        let log = Setup::new(version).secrets(&content).fail();
        assert!(log.contains(expected), "{log}");
    }
}

fn odd_but_right_files_are_read(version: Version) {
    let plain = secrets();
    let windows = plain.replace('\n', " \t\r\n");
    let marked = format!("\u{FEFF}{plain}");
    let open_end = plain.trim_end().to_string();
    let long_comment = format!("#{}\n{plain}", "x".repeat(1_000_000));
    for content in [plain, windows, marked, open_end, long_comment] {
        let broker = Setup::new(version).secrets(&content).start();
        assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED, "{content:.60}");
    }
    // A file without devices is valid; the log says that nobody can log in.
    let broker = Setup::new(version).secrets("# none yet\n").start();
    assert!(broker.log().contains("holds no device"), "{}", broker.log());
}

fn a_world_readable_file_is_warned_of(version: Version) {
    let setup = Setup::new(version).secrets(secrets());
    let path = setup.scratch().path().join("secrets");
    set_mode(&path, 0o644);
    let broker = setup.start();
    assert!(
        broker.log().contains("can be read by every user of this machine (chmod o-r)"),
        "{}",
        broker.log()
    );
    assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED);

    set_mode(&path, 0o640);
    let mut broker = broker;
    broker.restart();
    assert_eq!(broker.log().matches("every user").count(), 1, "{}", broker.log());
}

fn other_users_who_may_change_the_file_are_warned_of(version: Version) {
    let setup = Setup::new(version).secrets(secrets());
    let folder = setup.scratch().path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = setup.scratch().file("folder/secrets", secrets());
    let link = setup.scratch().path().join("link");
    std::os::unix::fs::symlink("folder/secrets", &link).unwrap();
    // The user who runs this test can be the broker's user, but cannot always change the owner of files.
    let give = |path: &Path, uid| std::os::unix::fs::chown(path, Some(uid), None).is_ok();
    let own = fs::metadata(&path).unwrap().uid();
    let mut broker = setup.secrets_file(&link).start();
    let warnings = |log: &str| -> Vec<String> {
        let told = |line: &&str| line.starts_with("secrets_file \"");
        lines(log)
            .into_iter()
            .filter(told)
            .map(|line| line.replace(link.to_str().unwrap(), "F"))
            .collect()
    };
    assert_eq!(warnings(&broker.log()), [""; 0]);
    let strange = give(&path, 12345) && give(&folder, 12345);
    for (file, folder_mode, expected) in [
        (0o660, 0o755, "can be changed by its group (chmod g-w)"),
        (0o664, 0o755, "can be read by every user of this machine (chmod o-r)"),
        (0o600, 0o777, "can be replaced by every user of this machine, who may write to "),
        (0o600, 0o775, "can be replaced by the group of its folder "),
        (0o600, 0o1777, ""),
        (0o600, 0o755, "belongs to user 12345, who can read and change it (chown root, "),
        (0o600, 0o755, "can be replaced by user 12345, whose folder "),
    ] {
        let is_strange = expected.contains("12345");
        if is_strange && !strange {
            continue;
        }
        for path in [&path, &folder] {
            give(path, if is_strange { 12345 } else { own });
        }
        set_mode(&path, file);
        set_mode(&folder, folder_mode);
        // At a reload that puts a table in force, and at the start.
        for start in [false, true] {
            let before = warnings(&broker.log()).len();
            if start {
                broker.restart();
            } else {
                crate::reload::reload(&broker);
            }
            let found = warnings(&broker.log()).split_off(before);
            let holds = |line: &String| line.starts_with(&format!("secrets_file \"F\" {expected}"));
            if expected.is_empty() {
                assert_eq!(found, [""; 0], "{file:o} {folder_mode:o}");
            } else {
                assert_eq!(found.iter().filter(|line| holds(line)).count(), 1, "{found:?}");
            }
        }
    }
}

fn a_broker_that_starts_says_what_it_has(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let expected = format!("version {}, 2 devices from \"", support::library::version());
    let log = broker.log();
    assert!(lines(&log)[0].starts_with(&expected), "{log}");
    assert_eq!(lines(&log)[1], "options: the defaults");
    let broker = Setup::new(version)
        .option("keepalive", "any \t")
        .secrets(secrets())
        .option("failure_limit", "20 / 1m")
        .start();
    let log = broker.log();
    assert_eq!(lines(&log)[1], "options: keepalive=any failure_limit=20 / 1m else the defaults");
}
