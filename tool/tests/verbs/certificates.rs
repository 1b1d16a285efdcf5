//! Certificates of devices: set, dropped, and given by their fingerprints.

use crate::place::{FILE, Place, run, tool};
use std::process::Command;
use support::authority::Authority;

const SHA1: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
const OTHER: &str = "0123456789012345678901234567890123456789";
const COLONS: &str = "01:23:45:67:89:01:23:45:67:89:01:23:45:67:89:01:23:45:67:89";

/// The line of a device.
fn line(place: &Place, device: &str) -> String {
    let text = place.text();
    let line = text.lines().find(|line| line.starts_with(&format!("{device}:")));
    line.unwrap_or_default().to_owned()
}

#[test]
fn one_of_two_certificates_is_set_or_dropped() {
    let place = Place::new(FILE);
    let issued = Authority::new(&place.scratch, "one").issue("device");
    let fingerprint = issued.fingerprint("-sha256").to_lowercase();
    let set = |more: &[&str]| {
        let said = tool(&[&["set-certificate", place.file(), "door"], more].concat());
        assert_eq!(said.status, 0, "{said:?}");
        said.out
    };
    assert_eq!(set(&[&issued.certificate, "--secondary"]), format!("{fingerprint}\n"));
    assert_eq!(line(&place, "door"), format!("door:x509={SHA1},{fingerprint}"));
    assert_eq!(set(&[COLONS]), format!("{OTHER}\n"));
    assert_eq!(line(&place, "door"), format!("door:x509={OTHER},{fingerprint}"));
    assert_eq!(set(&[&format!("sha1 Fingerprint={COLONS}"), "--secondary"]), format!("{OTHER}\n"));
    assert_eq!(line(&place, "door"), format!("door:x509={OTHER},{OTHER}"));
    assert_eq!(set(&["--drop-secondary"]), "");
    assert_eq!(line(&place, "door"), format!("door:x509={OTHER}"));
    assert_eq!(place.text(), FILE.replace(SHA1, OTHER));

    for args in
        [&["lamp", OTHER][..], &["lamp", "--drop-secondary"], &["lamp", OTHER, "--secondary"]]
    {
        let said = tool(&[&["set-certificate", place.file()], args].concat());
        said.tells(1, "", "device lamp: logs in by its secret: it has no certificate");
    }
}

#[test]
fn names_of_set_certificate() {
    let place = Place::new(FILE);
    let said = |file: &str, args: &[&str]| {
        let mut command = place.command([&["set-certificate"], args].concat());
        command.env("IOTDA_SECRETS_FILE", file);
        run(command, b"")
    };
    let file = place.file();
    for args in [&["door", OTHER][..], &["door", "--drop-secondary"], &[file, "door", OTHER]] {
        assert_eq!(said(file, args).status, 0, "{args:?}");
    }
    let none = "expected a secrets file, here or in the environment";
    for (env, args, reason) in [
        (file, &[][..], "expected [FILE] DEVICE_ID CERT, found 0 names"),
        (file, &["door"], "expected [FILE] DEVICE_ID CERT, found 1 name\n"),
        (file, &["--drop-secondary"], "expected [FILE] DEVICE_ID --drop-secondary, found 0 names"),
        (
            file,
            &[file, "door", OTHER, "--drop-secondary"],
            "expected [FILE] DEVICE_ID --drop-secondary, found 3 names",
        ),
        (file, &[file, "door"], "found a file alone"),
        (file, &["door", file, OTHER], "found them the other way round"),
        ("", &["door", OTHER], none),
        ("", &["door", "--drop-secondary"], none),
        (file, &[file, "door", OTHER, "topsecret"], "unexpected argument '***'"),
        (file, &["door", "missing.pem"], "missing.pem: cannot be read: No such file"),
        (file, &["door", &COLONS[3..]], "certificate fingerprint: expected 40 (SHA-1) or 64"),
        (file, &["door", &format!("{COLONS}:topsecret")], "certificate fingerprint: expected hex"),
        (file, &["door", OTHER, "--secondary", "--drop-secondary"], "cannot be used with"),
    ] {
        said(env, args).is_misuse(reason);
    }
    assert_eq!(place.text(), FILE.replace(SHA1, OTHER));
}

/// What openssl prints can be given to each command that takes a fingerprint.
#[test]
fn fingerprints_are_taken_as_openssl_prints_them() {
    let place = Place::new("");
    let issued = Authority::new(&place.scratch, "one").issue("device");
    for digest in ["-sha256", "-sha1"] {
        let plain = issued.fingerprint(digest).to_lowercase();
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", digest, "-in", &issued.certificate])
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let printed = printed.trim_end();
        assert!(printed.contains(':') && printed.contains('='), "{printed}");
        let colons = printed.split_once('=').unwrap().1;

        for given in [printed, colons, &plain] {
            let said = tool(&["add", place.file(), "d", "--x509", given, "--x509", given]);
            assert_eq!((said.status, said.out), (0, format!("{plain}\n{plain}\n")), "{given}");
            assert_eq!(line(&place, "d"), format!("d:x509={plain},{plain}"));
            tool(&["remove", place.file(), "d"]);
            let csv = format!("device_id,x509\nd,\"{given},{given}\"\n");
            let csv = place.other("devices.csv", csv);
            assert_eq!(tool(&["import", place.file(), &csv]).status, 0);
            let found = line(&place, "d").to_lowercase();
            assert_eq!(found, format!("d:x509={plain},{plain}"), "{given}");
            tool(&["remove", place.file(), "d"]);
        }
    }
}

/// In the secrets file itself a colon ends a field.
#[test]
fn colons_in_the_file_are_named() {
    let place = Place::new(format!("door:x509={COLONS}\n"));
    let said = tool(&["check", place.file()]);
    assert!(said.status == 1 && said.out.contains("hex digits without colons"), "{said:?}");
    let place = Place::new(format!("door:x509=sha1 Fingerprint={COLONS}\n"));
    let said = tool(&["check", place.file()]);
    assert!(said.status == 1 && said.out.contains("hex digits without colons"), "{said:?}");
}

#[test]
fn a_file_with_the_name_of_a_fingerprint_is_a_file() {
    let place = Place::new(FILE);
    place.other(OTHER, "no certificate");
    let said = run(place.command(["set-certificate", place.file(), "door", OTHER]), b"");
    said.is_misuse("expected a certificate in PEM, found none");
}
