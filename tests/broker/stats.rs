//! The counters below `$SYS/broker/iotda-auth/`, as a subscriber reads them.

use crate::support::{
    broker::{Setup, on_every_broker},
    device::{LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client},
};
use mosquitto_iotda_auth::login::{Refusal, SignType::Sha256};
use std::collections::BTreeMap;

on_every_broker!(counters_are_published_and_retained, nothing_is_published_unless_asked);

/// The topic and the payload of a PUBLISH of QoS 0 that is shorter than 128 bytes.
fn message(publish: &[u8]) -> (String, String) {
    assert_eq!(publish[0] & 0xF6, 0x30, "{publish:02x?}");
    let end = 4 + usize::from(publish[3]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&publish[4..end]), text(&publish[end..]))
}

fn counters_are_published_and_retained(version: &str) {
    let broker = Setup::new(version).secrets(secrets()).option("stats_interval", "1s").start();
    Client::connect(&broker, &LAMP.connect_now().password("0".repeat(64)));
    let (mut meter, answer) = Client::connect(&broker, &METER.connect(Sha256, "2999010100"));
    assert_eq!(answer, ACCEPTED);
    meter.subscribe(4, "$SYS/broker/iotda-auth/#");
    let mut found = BTreeMap::new();
    let expected = [
        ("devices", "2"),
        ("accepted", "1"),
        ("refused", "1"),
        ("refused/wrong_password", "1"),
        ("logged_in", "1"),
    ];
    let full = |name: &str| format!("$SYS/broker/iotda-auth/{name}");
    while !expected
        .iter()
        .all(|(name, value)| found.get(&full(name)).is_some_and(|found| found == value))
    {
        let (topic, value) = message(&meter.receive().expect("a message"));
        assert!(value.parse::<u64>().is_ok(), "{topic} {value}");
        found.insert(topic, value);
    }
    for reason in Refusal::ALL {
        assert!(found.contains_key(&full(&format!("refused/{}", reason.slug()))), "{found:?}");
    }
    // Who comes later finds them too.
    let (mut lamp, _) = Client::connect(&broker, &LAMP.connect_now());
    lamp.subscribe(4, "$SYS/broker/iotda-auth/devices");
    let publish = lamp.receive().expect("a retained message");
    assert_eq!(publish[0], 0x31, "{publish:02x?}");
    assert_eq!(message(&publish).1, "2");
}

fn nothing_is_published_unless_asked(version: &str) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let (mut meter, _) = Client::connect(&broker, &METER.connect_now());
    meter.subscribe(4, "$SYS/broker/iotda-auth/#");
    assert!(meter.is_alive());
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(meter.is_alive());
}
