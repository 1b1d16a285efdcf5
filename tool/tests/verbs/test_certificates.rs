//! What `test-certificates` makes, as OpenSSL sees it; the brokers' tests log in over TLS with it.

use crate::place::{Place, tool};
use std::{fs, os::unix::fs::MetadataExt, process::Command};

const NAMES: [&str; 3] = ["ca.crt", "server.crt", "server.key"];

fn openssl(place: &Place, words: &str) -> String {
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(place.folder())
        .output()
        .expect("openssl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn openssl_verifies_what_is_made() {
    let place = Place::new("");
    let folder = place.folder().to_str().unwrap();
    let said = tool(&["test-certificates", folder, "broker", "10.0.0.1", "::1", "--days", "30"]);
    said.is(
        0,
        "",
        &format!(
            "iotda-auth: made ca.crt, server.crt and server.key in {folder}, for broker, 10.0.0.1, ::1, valid for 30 days\n"
        ),
    );
    for (flag, name) in [("hostname", "broker"), ("ip", "10.0.0.1"), ("ip", "::1")] {
        let words = format!(
            "verify -x509_strict -purpose sslserver -CAfile ca.crt -verify_{flag} {name} server.crt"
        );
        assert_eq!(openssl(&place, &words), "server.crt: OK\n");
    }
    openssl(&place, "x509 -in server.crt -noout -checkend 2505600");
    let pem = |words| openssl(&place, words);
    // The key is the certificate's, and the two keys differ.
    assert_eq!(pem("pkey -in server.key -pubout"), pem("x509 -in server.crt -noout -pubkey"));
    assert_ne!(pem("x509 -in ca.crt -noout -pubkey"), pem("x509 -in server.crt -noout -pubkey"));
    let modes = NAMES.map(|name| fs::metadata(place.at(name)).unwrap().mode() & 0o777);
    assert_eq!(modes, [0o644, 0o644, 0o600]);
}

#[test]
fn nothing_is_written_over() {
    for name in NAMES {
        let place = Place::new("");
        let there = place.other(name, "mine");
        let said = tool(&["test-certificates", place.folder().to_str().unwrap(), "--quiet"]);
        said.is(
            2,
            "",
            &format!(
                "iotda-auth: {there}: is there already (to make new ones, remove ca.crt, server.crt and server.key)\n"
            ),
        );
        assert_eq!(fs::read_to_string(there).unwrap(), "mine");
        assert_eq!(fs::read_dir(place.folder()).unwrap().count(), 2);
    }
}

#[test]
fn what_is_wrong_is_told() {
    let place = Place::new("");
    let folder = place.folder().to_str().unwrap();
    let said = tool(&["test-certificates", folder, "https://broker"]);
    said.is_misuse("NAME: expected a host name or an address, found https://broker");
    let said = tool(&["test-certificates", &place.at("nowhere")]);
    said.is_misuse("nowhere/ca.crt: cannot be written: No such file or directory");
    assert_eq!(fs::read_dir(place.folder()).unwrap().count(), 1);
}
