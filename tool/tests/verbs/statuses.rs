//! One rule for the exit status: 0 yes, 1 no, 2 wrong usage or a file that cannot be used. What decides is the situation, not
//! the verb.

use crate::place::{FILE, Place, run};
use rustix::fs::FlockOperation;
use std::{fs, os::unix::fs::symlink, path::Path};
use support::scratch::set_mode;

/// A command that succeeds with [`FILE`]; `FILE` in it stands for the file.
const VERBS: [&[&str]; 11] = [
    &["check", "FILE"],
    &["list", "FILE"],
    &["connect-params", "lamp", "--secrets-file", "FILE", "--format", "json"],
    &[
        "explain",
        "--secrets-file",
        "FILE",
        "--certificate",
        "CERT",
        "--client-id",
        "DOOR",
        "--username",
        "door",
    ],
    &["add", "FILE", "new"],
    &["remove", "FILE", "lamp"],
    &["reset-secret", "FILE", "lamp"],
    &["set-certificate", "FILE", "door", "--drop-secondary"],
    &["freeze", "FILE", "lamp"],
    &["unfreeze", "FILE", "lamp"],
    &["import", "FILE", "devices.csv"],
];

/// The certificate of the device `door`.
const CERTIFICATE: &str = include_str!("../../../tests/data/certificate.pem");
const FINGERPRINT: &str = "9617500bd0634db250b815591b2eb42f9a70b57b9713aa7d7899917e7ad103fe";

/// The exit status of each verb in a situation, with a file that `prepare` has changed.
fn statuses(prepare: impl Fn(&Place)) -> Vec<(&'static str, i32)> {
    VERBS
        .iter()
        .map(|verb| {
            let place = Place::new(format!("{FILE}\n").replace(
                "x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
                &format!("x509={FINGERPRINT}"),
            ));
            let certificate = place.other("cert.pem", CERTIFICATE);
            place.other("devices.csv", "device_id,secret\nimported,topsecret\n");
            prepare(&place);
            let args = verb.iter().map(|arg| match *arg {
                "FILE" => place.file(),
                "CERT" => &certificate,
                "DOOR" => "door_0_0_2026112209",
                other => other,
            });
            (verb[0], run(place.command(args), b"").status)
        })
        .collect()
}

#[track_caller]
fn all_say(expected: i32, prepare: impl Fn(&Place)) {
    for (verb, status) in statuses(prepare) {
        assert_eq!(status, expected, "{verb}");
    }
}

#[test]
fn a_file_in_order_is_a_yes() {
    all_say(0, |_| {});
}

#[test]
fn a_file_that_could_be_read_and_is_not_in_order_is_a_no() {
    all_say(1, |place| set_mode(&place.path, 0o666));
    all_say(1, |place| fs::write(&place.path, "lamp:lamp-secret\nlamp2\n").unwrap());
    all_say(1, |place| fs::write(&place.path, "lamp:lamp-secret\nlamp:topsecret\n").unwrap());
    all_say(1, |place| fs::write(&place.path, "x".repeat(2 << 20)).unwrap());
    all_say(1, |place| {
        fs::remove_file(&place.path).unwrap();
        fs::create_dir(&place.path).unwrap();
    });
    all_say(1, |place| {
        fs::remove_file(&place.path).unwrap();
        symlink("/dev/null", &place.path).unwrap();
    });
}

#[test]
fn a_file_that_cannot_be_read_is_neither() {
    all_say(2, |place| fs::remove_file(&place.path).unwrap());
    all_say(2, |place| {
        fs::remove_file(&place.path).unwrap();
        symlink("nowhere", &place.path).unwrap();
    });
    all_say(2, |place| {
        fs::remove_file(&place.path).unwrap();
        symlink("iotda.secrets", &place.path).unwrap();
    });
}

/// Only edits lock a file, and they do not wait for ever.
#[test]
fn a_locked_file_is_neither() {
    let place = Place::new(FILE);
    let holder = fs::File::open(&place.path).unwrap();
    rustix::fs::flock(&holder, FlockOperation::LockShared).unwrap();
    let edits = VERBS.iter().filter(|verb| verb[1] == "FILE").skip(2);
    place.other("devices.csv", "device_id,secret\nimported,topsecret\n");
    std::thread::scope(|scope| {
        for verb in edits {
            let place = &place;
            scope.spawn(move || {
                let args = verb.iter().map(|arg| if *arg == "FILE" { place.file() } else { arg });
                assert_eq!(run(place.command(args), b"").status, 2, "{verb:?}");
            });
        }
    });
    assert_eq!(place.text(), FILE);
}

#[test]
fn a_device_that_is_not_as_it_would_have_to_be_is_a_no() {
    let place = Place::new(FILE);
    let file = place.file();
    for args in [
        &["add", file, "lamp"][..],
        &["remove", file, "none"],
        &["reset-secret", file, "none"],
        &["reset-secret", file, "door"],
        &["reset-secret", file, "door", "--drop-secondary"],
        &["set-certificate", file, "none", "--drop-secondary"],
        &["set-certificate", file, "lamp", "--drop-secondary"],
        &["freeze", file, "none"],
        &["unfreeze", file, "none"],
        &["connect-params", "none", "--secrets-file", file],
        &["explain", "--secrets-file", file, "--client-id", "none_0_0_2026112209"],
    ] {
        assert_eq!(run(place.command(args), b"").status, 1, "{args:?}");
    }
    assert_eq!(place.text(), FILE);
}

#[test]
fn wrong_usage_is_neither() {
    let place = Place::new(FILE);
    for verb in VERBS {
        let more = [verb, &["--unknown"]].concat();
        run(place.command(more), b"").is_misuse("unexpected argument '--unknown'");
    }
    for (verb, _) in statuses(|_| {}) {
        if let "add" | "remove" | "reset-secret" | "freeze" | "unfreeze" = verb {
            let said = run(place.command([verb, place.file(), "not a device id"]), b"");
            said.is_misuse("device id: expected 1 to 128");
        }
    }
    assert!(Path::new(place.file()).exists());
}
