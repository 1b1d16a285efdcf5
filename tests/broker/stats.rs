//! The counters below `$SYS/broker/iotda-auth/`, as a subscriber reads them.

use iotda_core::login::{
    Kind, Refusal,
    SignType::{Sha256, Sha256Timestamp},
};
use std::collections::BTreeMap;
use support::{
    broker::Setup,
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    counters_are_published_and_retained,
    counters_do_not_tell_which_devices_there_are,
    nothing_is_published_unless_asked,
);

/// The topic and the payload of a PUBLISH of QoS 0 that is shorter than 128 bytes.
fn message(publish: &[u8]) -> (String, String) {
    assert_eq!(publish[0] & 0xF6, 0x30, "{publish:02x?}");
    let end = 4 + usize::from(publish[3]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&publish[4..end]), text(&publish[end..]))
}

fn counters_are_published_and_retained(version: Version) {
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
        ("refused/device", "1"),
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
        let is_there = found.contains_key(&full(&format!("refused/{}", reason.id())));
        assert_eq!(is_there, !reason.tells_of_devices(), "{reason:?} {found:?}");
    }
    for kind in Kind::ALL {
        let (reason, id) = (kind.reason(), kind.id());
        let is_there = found.contains_key(&full(&format!("refused/{}/{id}", reason.id())));
        assert_eq!(is_there, !reason.tells_of_devices(), "{kind:?} {found:?}");
    }
    // A later subscriber gets them too.
    let (mut lamp, _) = Client::connect(&broker, &LAMP.connect_now());
    lamp.subscribe(4, "$SYS/broker/iotda-auth/devices");
    let publish = lamp.receive().expect("a retained message");
    assert_eq!(publish[0], 0x31, "{publish:02x?}");
    assert_eq!(message(&publish).1, "2");
}

/// A device that may read the counters sends one wrong login for each id that it wants to know about.
fn counters_do_not_tell_which_devices_there_are(version: Version) {
    let file = format!("{}cold:coldsecret:frozen\ndoor:x509={}\n", secrets(), "0".repeat(40));
    let broker = Setup::new(version).secrets(file).option("stats_interval", "1s").start();
    let (mut meter, _) = Client::connect(&broker, &METER.connect(Sha256, "2999010100"));
    meter.subscribe(4, "$SYS/broker/iotda-auth/refused/#");
    let next = |client: &mut Client| message(&client.receive().expect("a message"));
    // The separate counts that exist from the start, each of them 0.
    let parts = Refusal::ALL.iter().filter(|reason| !reason.tells_of_devices()).count();
    let kinds = Kind::ALL.iter().filter(|kind| !kind.reason().tells_of_devices()).count();
    for _ in 0..parts + kinds + 2 {
        assert_eq!(next(&mut meter).1, "0");
    }
    let device = |id| Device { id, secret: "another-secret" };
    let guesses = [
        (device("none").connect_now(), "unknown_device"),
        (LAMP.connect_now().password("0".repeat(64)), "wrong_password"),
        (device("cold").connect_now(), "wrong_password"),
        (Device { id: "cold", secret: "coldsecret" }.connect_now(), "frozen"),
        (device("door").connect_now(), "no_certificate"),
        (LAMP.connect(Sha256Timestamp, "2020010100"), "stale_timestamp"),
        (device("none").connect(Sha256Timestamp, "2020010100"), "unknown_device"),
    ];
    for (count, (guess, reason)) in (1..).zip(guesses) {
        Client::connect(&broker, &guess);
        broker.wait_for_log_count(" reason=", count);
        assert!(broker.refusals()[count - 1].contains(reason), "{:?}", broker.refusals());
        let mut seen = [next(&mut meter), next(&mut meter)];
        seen.sort();
        let expected = ["refused", "refused/device"]
            .map(|topic| (format!("$SYS/broker/iotda-auth/{topic}"), count.to_string()));
        assert_eq!(seen, expected, "{reason}");
    }
    // A reason that does not depend on a device has its own counter.
    Client::connect(&broker, &LAMP.connect_now().username("meter"));
    let seen = [next(&mut meter).0, next(&mut meter).0];
    assert!(seen.iter().any(|topic| topic.ends_with("refused/user_mismatch")), "{seen:?}");
    // And so has what a ClientId was recognised as.
    Client::connect(&broker, &LAMP.connect(Sha256Timestamp, "2026023103"));
    let seen = [next(&mut meter).0, next(&mut meter).0, next(&mut meter).0];
    assert!(seen.iter().any(|topic| topic.ends_with("refused/bad_client_id/nodate")), "{seen:?}");
}

fn nothing_is_published_unless_asked(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let (mut meter, _) = Client::connect(&broker, &METER.connect_now());
    meter.subscribe(4, "$SYS/broker/iotda-auth/#");
    assert!(meter.is_alive());
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(meter.is_alive());
}
