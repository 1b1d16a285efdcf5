//! Which secrets file a command means: the one given, or else the one in the environment.

use crate::place::{FILE, Place, run, tool};
use support::tool::Said;

/// What the tool says in the folder, with a file named in the environment.
fn by_environment(place: &Place, file: &str, args: &[&str]) -> Said {
    let mut command = place.command(args);
    command.env("IOTDA_SECRETS_FILE", file);
    run(command, b"device_id,secret\nimported,topsecret\n")
}

const CONNECT: &str = "connect-params";

#[test]
fn each_verb_takes_the_file_of_the_environment() {
    let place = Place::new(FILE);
    place.other("devices.csv", "device_id,secret\nimported,topsecret\n");
    let said = |args: &[&str]| by_environment(&place, place.file(), args);
    let yes = |args: &[&str]| {
        let said = said(args);
        assert_eq!(said.status, 0, "{args:?} {said:?}");
        said.out
    };
    assert!(yes(&["check"]).contains("iotda.secrets: 3 devices"));
    assert!(yes(&["list"]).starts_with("lamp "));
    assert!(yes(&[CONNECT, "lamp"]).starts_with("ClientId: lamp_0_0_"));
    let login = ["explain", "--client-id", "lamp_0_0_2026112209", "--username", "lamp"];
    assert!(said(&login).out.contains("wrong_password"));
    yes(&["add", "new"]);
    yes(&["freeze", "new"]);
    assert!(place.text().contains(":frozen\n"));
    yes(&["unfreeze", "new"]);
    yes(&["reset-secret", "new"]);
    yes(&["remove", "new"]);
    assert_eq!(place.text(), FILE);
    yes(&["import", "devices.csv"]);
    yes(&["remove", "imported"]);
    yes(&["import", "-"]);
    assert_eq!(place.text(), format!("{FILE}imported:topsecret\n"));
}

#[test]
fn a_file_on_the_command_line_comes_first() {
    let place = Place::new(FILE);
    let other = place.other("other", "other:topsecret\n");
    for args in [&["check", &other][..], &["list", &other], &["freeze", &other, "other"]] {
        let said = by_environment(&place, place.file(), args);
        assert_eq!(said.status, 0, "{args:?} {said:?}");
    }
    let args = [CONNECT, "other", "--secrets-file", &other];
    assert_eq!(by_environment(&place, place.file(), &args).status, 0);
    // A secret that is given needs no file.
    let mut command = place.command([CONNECT, "other", "--secret-stdin"]);
    command.env("IOTDA_SECRETS_FILE", place.at("missing"));
    assert_eq!(run(command, b"topsecret\n").status, 0);
    assert_eq!(place.text(), FILE);
}

#[test]
fn no_file_at_all_is_misuse() {
    let place = Place::new(FILE);
    let expected = "expected a secrets file, here or in the environment as IOTDA_SECRETS_FILE";
    for args in [
        &["check"][..],
        &["list"],
        &["explain"],
        &["import", "devices.csv"],
        &["add", "lamp"],
        &["remove", "lamp"],
        &["reset-secret", "lamp"],
        &["freeze", "lamp"],
        &["unfreeze", "lamp"],
    ] {
        run(place.command(args), b"").is_misuse(expected);
        // An empty variable is like none.
        by_environment(&place, "", args).is_misuse(expected);
    }
    run(place.command([CONNECT, "lamp"]), b"").is_misuse("expected --secrets-file FILE");
}

const ONE_DEVICE: [&str; 5] = ["add", "remove", "reset-secret", "freeze", "unfreeze"];

#[test]
fn file_and_device_turned_round_are_recognised() {
    let place = Place::new(FILE);
    let missing = place.at("missing/file");
    let file = place.file();
    for verb in ONE_DEVICE {
        for (device, file) in [("lamp", file), ("lamp", &missing), ("lamp", "other.secrets")] {
            let said = run(place.command([verb, device, file]), b"");
            said.is_misuse(
                "FILE and DEVICE_ID: found them the other way round: expected FILE DEVICE_ID",
            );
        }
        // A device may have the name of a file, and a file that of a device.
        place.other("lamp", "iotda:topsecret\n");
        let said = run(place.command([verb, "lamp", file]), b"");
        said.is_misuse("device id: expected 1 to 128 of");
        std::fs::remove_file(place.at("lamp")).unwrap();
    }
    assert_eq!(place.text(), FILE);
}

/// With a file in the environment, one name is a device's; it must not be a file that was meant to be edited.
#[test]
fn one_name_that_may_be_two_things_is_misuse() {
    let place = Place::new(FILE);
    place.other("lamp", "iotda:topsecret\n");
    for verb in ONE_DEVICE {
        for (file, reason) in [
            ("", "found a file alone"),
            (place.file(), "found one name, which is a device id's and a file's here"),
        ] {
            by_environment(&place, file, &[verb, "lamp"]).is_misuse(reason);
            by_environment(&place, file, &[verb, "iotda.secrets"])
                .is_misuse("found a file alone: expected FILE DEVICE_ID");
            by_environment(&place, file, &[verb, "./missing"]).is_misuse("found a file alone");
        }
        by_environment(&place, place.file(), &[verb, "lamp:topsecret"]).is_misuse("device id:");
    }
    assert_eq!(place.text(), FILE);
    // Both names leave no doubt.
    tool(&["freeze", place.file(), "lamp"]);
    assert!(place.text().contains("lamp:lamp-secret:frozen\n"));
}
