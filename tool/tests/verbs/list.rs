//! `list` for programs, and of what a program has.

use crate::place::{FILE, Place, run, tool};
use serde_json::{Value, json};

const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn parsed(out: &str) -> Value {
    serde_json::from_str(out).unwrap()
}

#[test]
fn json_has_everything_but_secrets() {
    let place = Place::new(format!("{FILE}gate:x509={},{SHA256}:frozen\n", SHA256.to_uppercase()));
    let said =
        tool(&["list", place.file(), "--format", "json"]).without(&["lamp-secret", "cold-secret"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    let device = |id: &str, credential: &str, secondary: bool, frozen: bool| json!({ "device_id": id, "credential": credential, "secondary": secondary, "frozen": frozen });
    let mut door = device("door", "certificate", false, false);
    door["fingerprints"] = json!(["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"]);
    let mut gate = device("gate", "certificate", true, true);
    gate["fingerprints"] = json!([SHA256, SHA256]);
    let devices =
        [device("lamp", "secret", false, false), device("cold", "secret", true, true), door, gate];
    assert_eq!(parsed(&said.out), json!(devices));
    // A line for each device, for programs that read lines.
    assert_eq!(said.out.lines().count(), devices.len() + 2);
    let place = Place::new("# none\n");
    tool(&["list", place.file(), "--format", "json"]).tells(0, "[]\n", "");
    tool(&["list", place.file(), "--format", "yaml"]).is_misuse("invalid value 'yaml'");
}

#[test]
fn a_list_is_made_of_standard_input() {
    let place = Place::new(FILE);
    let said = |content: &str, more: &[&str]| {
        run(place.command([&["list", "-"], more].concat()), content.as_bytes())
    };
    assert_eq!(said(FILE, &[]).out, tool(&["list", place.file()]).out);
    assert_eq!(parsed(&said(FILE, &["--format", "json"]).out).as_array().unwrap().len(), 3);
    said("", &[]).tells(0, "", "");
    said("x\n", &[]).tells(1, "", "standard input: 1 wrong line (iotda-auth check tells which)");
}
