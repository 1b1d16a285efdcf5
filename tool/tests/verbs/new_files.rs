//! Who may read a secrets file that the tool makes.

use crate::place::{Place, run, tool};
use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
};

/// A group that no system has.
const NOBODYS: u32 = 23456;

/// The group of the broker's user on this system.
fn mosquitto() -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("mosquitto:"))?;
    Some(line.split(':').nth(3).unwrap().parse().unwrap())
}

/// Each command that makes a secrets file.
fn makers(place: &Place) -> [Vec<String>; 3] {
    let csv = place.other("devices.csv", "device_id,secret\nnew,topsecret\n");
    let made = place.at("made");
    let owned = |args: &[&str]| args.iter().map(ToString::to_string).collect();
    [
        owned(&["add", &made, "new", "--create"]),
        owned(&["add", &made, "new", "--create", "--x509", &"0123456789".repeat(4)]),
        owned(&["import", &made, &csv, "--create"]),
    ]
}

#[test]
fn a_file_beside_the_brokers_configuration_is_for_the_broker() {
    let place = Place::new("");
    // Only root may give a file to a group that is not its own.
    if chown(place.folder(), None, Some(NOBODYS)).is_err() {
        return;
    }
    let group = mosquitto().unwrap_or(NOBODYS);
    place.other("mosquitto.conf", "");
    for args in makers(&place) {
        let said = run(place.command(&args), b"");
        let metadata = fs::metadata(place.at("made")).unwrap();
        let found = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        assert_eq!((said.status, found), (0, (0, group, 0o640)), "{said:?}");
        let told: Vec<_> = said.err.lines().filter(|line| line.contains("is made")).collect();
        assert_eq!(told.len(), 1, "{said:?}");
        assert!(told[0].contains("may read it (mode 0640), so that the broker can"), "{told:?}");
        // The next edit keeps that, and does not tell it again.
        let said = tool(&["add", &place.at("made"), "newer", "--create"]);
        let metadata = fs::metadata(place.at("made")).unwrap();
        assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (group, 0o640));
        assert!(!said.err.contains("is made"), "{said:?}");
        fs::remove_file(place.at("made")).unwrap();
    }
}

#[test]
fn a_file_elsewhere_is_for_its_owner_alone() {
    let place = Place::new("");
    let _ = chown(place.folder(), None, Some(NOBODYS));
    let own = fs::metadata("/proc/self").unwrap().gid();
    for args in makers(&place) {
        let said = run(place.command(&args), b"");
        let metadata = fs::metadata(place.at("made")).unwrap();
        let found = (metadata.gid(), metadata.mode() & 0o7777);
        assert_eq!((said.status, found), (0, (own, 0o600)), "{said:?}");
        assert!(!said.err.contains("is made"), "{said:?}");
        fs::remove_file(place.at("made")).unwrap();
    }
}

/// The hint is for whom it helps.
#[test]
fn create_is_named_where_it_is_missing() {
    let place = Place::new("");
    let csv = place.other("devices.csv", "device_id,secret\nnew,topsecret\n");
    let (made, deep) = (place.at("made"), place.at("missing/made"));
    tool(&["add", &made, "d"]).is_misuse(": --create makes it");
    run(place.command(["add", "made", "d"]), b"").is_misuse(": --create makes it");
    tool(&["import", &made, &csv]).is_misuse(": --create makes it");
    for args in [&["remove", &made, "d"][..], &["freeze", &made, "d"], &["add", &deep, "d"]] {
        let said = tool(args);
        said.is_misuse("cannot be read: ");
        assert!(!said.err.contains("--create"), "{said:?}");
    }
    let said = tool(&["add", &deep, "d", "--create"]);
    let folder = place.at("missing");
    said.is_misuse(&format!("cannot be made: its folder {folder} is not there"));
}
