//! With the operator's tool, a device gets another secret without going offline, and is frozen and unfrozen.

use iotda_core::login::SignType::Sha256Timestamp;
use support::{
    broker::{Broker, Setup, free_port},
    device::{Device, METER, now, secrets, stamp},
    mqtt::{ACCEPTED, Answer, Client, Connect, refused},
    on_every_broker,
    tool::tool,
    version::Version,
};

on_every_broker!(a_secret_is_changed_without_a_gap, a_device_is_frozen_and_thawed);

/// Runs a verb of the tool on the broker's secrets file, and has the broker read it.
fn edit(broker: &Broker, verb: &str, id: &str, more: &[&str]) -> String {
    let args = [&[verb, broker.secrets().to_str().unwrap(), id], more].concat();
    let said = tool(args);
    assert_eq!(said.status, 0, "{said:?}");
    let count = broker.log().matches("iotda-auth: reloaded").count();
    broker.reload();
    broker.wait_for_log_count("iotda-auth: reloaded", count + 1);
    said.out
}

/// A login with a secret that was made a moment ago.
fn connect(id: &'static str, secret: &str) -> Connect {
    let secret: &'static str = secret.to_string().leak();
    Device { id, secret }.connect(Sha256Timestamp, &stamp(now()))
}

fn a_secret_is_changed_without_a_gap(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let (id, old) = ("door-7", "first-secret");
    let mut watcher = Client::connect(&broker, &METER.connect_now()).0;
    let made = edit(&broker, "add", id, &[]);
    let (mut device, answer) = Client::connect(&broker, &connect(id, made.trim()));
    assert_eq!(answer, ACCEPTED);

    // A second secret is added: the device goes on with the first, connected or not.
    let new = edit(&broker, "reset-secret", id, &["--secondary"]);
    assert!(device.is_alive() && new.trim() != made.trim(), "{}", broker.log());
    assert_eq!(Client::connect(&broker, &connect(id, made.trim())).1, ACCEPTED);
    // The device changes to the second secret.
    let (mut device, answer) = Client::connect(&broker, &connect(id, new.trim()));
    assert_eq!(answer, ACCEPTED);
    // The first one is removed: it is no longer accepted, and the device stays connected.
    let third = edit(&broker, "reset-secret", id, &[]);
    assert!(device.is_alive(), "{}", broker.log());
    assert_eq!(
        Client::connect(&broker, &connect(id, made.trim())).1,
        refused(version, 4, "wrong_password")
    );
    for secret in [&new, &third] {
        assert_eq!(Client::connect(&broker, &connect(id, secret.trim())).1, ACCEPTED);
    }
    // A connection that still uses the removed secret is ended.
    let (mut device, _) = Client::connect(&broker, &connect(id, new.trim()));
    edit(&broker, "reset-secret", id, &["--secondary"]);
    assert_eq!(device.rest(), b"");
    assert!(watcher.is_alive(), "{}", broker.log());
    for secret in [&made, &new, &third] {
        assert!(!broker.log().contains(secret.trim()), "the log holds a secret");
    }
    assert!(!broker.log().contains(old));
}

fn a_device_is_frozen_and_thawed(version: Version) {
    let port = free_port();
    let broker = Setup::new(version)
        .port(port)
        .secrets(secrets())
        .option("exact_connack_ports", &port.to_string())
        .start();
    let (mut meter, _) = Client::connect(&broker, &METER.connect_now());
    edit(&broker, "freeze", METER.id, &[]);
    assert_eq!(meter.rest(), b"", "{}", broker.log());
    broker.wait_for_log("reason=frozen");
    // 5 with the right password, 4 with a wrong one: a stranger does not learn that the device is frozen.
    assert_eq!(Client::connect(&broker, &METER.connect_now()).1, Answer::Connack(5));
    let wrong = METER.connect_now().password("0".repeat(64));
    assert_eq!(Client::connect(&broker, &wrong).1, Answer::Connack(4));
    let stale = METER.connect(Sha256Timestamp, "2020010100");
    assert_eq!(Client::connect(&broker, &stale).1, Answer::Connack(4));
    edit(&broker, "unfreeze", METER.id, &[]);
    assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED);
}
