//! What a success says: what has changed, and what remains to be done.

use crate::place::{FILE, Place, run, tool};

const RELOAD: &str =
    "reload the broker (systemctl reload mosquitto), unless it has reload_interval";
const SHA1: &str = "0123456789012345678901234567890123456789";

/// What is said of a device, and whether that is a change. The commands are run one after the other.
const CASES: [(&[&str], &str, bool); 17] = [
    (&["add", "FILE", "new", "--secret-stdin"], "new is added", true),
    (&["freeze", "FILE", "new"], "new is frozen", true),
    (&["freeze", "FILE", "new"], "new is frozen already", false),
    (&["unfreeze", "FILE", "new"], "new is unfrozen", true),
    (&["unfreeze", "FILE", "new"], "new is not frozen", false),
    (&["reset-secret", "FILE", "new", "--secret-stdin"], "new has this secret already", false),
    (&["reset-secret", "FILE", "lamp", "--secret-stdin"], "lamp has a new secret", true),
    (
        &["reset-secret", "FILE", "new", "--secondary", "--secret-stdin"],
        "new has a new second secret",
        true,
    ),
    (
        &["reset-secret", "FILE", "new", "--secondary", "--secret-stdin"],
        "new has this second secret already",
        false,
    ),
    (
        &["reset-secret", "FILE", "new", "--drop-secondary"],
        "new has no second secret any more",
        true,
    ),
    (&["reset-secret", "FILE", "new", "--drop-secondary"], "new has no second secret", false),
    (&["set-certificate", "FILE", "door", SHA1], "door has a new certificate", true),
    (&["set-certificate", "FILE", "door", SHA1], "door has this certificate already", false),
    (
        &["set-certificate", "FILE", "door", SHA1, "--secondary"],
        "door has a new second certificate",
        true,
    ),
    (
        &["set-certificate", "FILE", "door", "--drop-secondary"],
        "door has no second certificate any more",
        true,
    ),
    (
        &["set-certificate", "FILE", "door", "--drop-secondary"],
        "door has no second certificate",
        false,
    ),
    (&["remove", "FILE", "new"], "new is removed", true),
];

#[test]
fn a_success_says_what_has_changed_and_that_a_reload_is_due() {
    for quiet in [None, Some("--quiet"), Some("-q")] {
        let place = Place::new(FILE);
        for (args, said, is_change) in CASES {
            let before = place.text();
            let args = args.iter().map(|arg| if *arg == "FILE" { place.file() } else { arg });
            let result = run(place.command(args.chain(quiet)), b"topsecret\n");
            let end = if is_change { RELOAD } else { "nothing is changed" };
            let line = format!("iotda-auth: {}: device {said}: {end}\n", place.file());
            let expected = if quiet.is_some() { "" } else { &line };
            assert_eq!((result.status, result.err.as_str()), (0, expected), "{said}");
            assert_eq!(place.text() != before, is_change, "{said}");
        }
    }
}

/// A reload would not take a file without a device.
#[test]
fn the_last_device_needs_no_reload() {
    let place = Place::new("lamp:lamp-secret\n");
    let said = tool(&["remove", place.file(), "lamp"]);
    let file = place.file();
    said.is(
        0,
        "",
        &format!(
            "iotda-auth: warning: {file}: no device is left: a running broker keeps those it has\n\
             iotda-auth: {file}: device lamp is removed\n"
        ),
    );
}

#[test]
fn an_import_says_that_a_reload_is_due() {
    let place = Place::new(FILE);
    let csv = place.other("devices.csv", "device_id,secret\nnew,topsecret\n");
    let args = ["import", place.file(), &csv];
    let numbers = format!("{}: 1 would be added, 0 would be changed\n", place.file());
    tool(&[&args[..], &["--dry-run"]].concat()).tells(0, &numbers, "read as CSV");
    tool(&args).tells(0, &numbers.replace("would be ", ""), RELOAD);
    let args = [&args[..], &["--update"]].concat();
    tool(&args).tells(0, &format!("{}: 0 added, 0 changed\n", place.file()), "read as CSV");
    let quiet = [&args[..], &["--quiet"]].concat();
    tool(&quiet).is(0, &format!("{}: 0 added, 0 changed\n", place.file()), "");
}

#[test]
fn a_refusal_says_nothing_of_a_reload() {
    let place = Place::new(FILE);
    for args in [["add", place.file(), "lamp"], ["freeze", place.file(), "none"]] {
        let said = tool(&args);
        assert!(said.status == 1 && !said.err.contains("reload"), "{said:?}");
    }
}

#[test]
fn connection_parameters_for_ever_are_told_to_people() {
    let place = Place::new(FILE);
    let params = |more: &[&str]| {
        let args = [&["connect-params", "lamp", "--secrets-file", place.file()], more].concat();
        let said = tool(&args);
        assert_eq!(said.status, 0, "{said:?}");
        said.err
    };
    let note = "this password is of sign type 0 and valid for ever";
    assert!(params(&[]).contains(note));
    assert!(params(&["--sign-type", "0", "--timestamp", "2026112209"]).contains(note));
    for more in [
        &["--sign-type", "1"][..],
        &["--sign-type", "2"],
        &["--format", "json"],
        &["--format", "shell"],
        &["--quiet"],
    ] {
        assert_eq!(params(more), "", "{more:?}");
    }
}
