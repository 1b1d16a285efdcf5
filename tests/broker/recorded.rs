//! CONNECT packets that real clients sent (our own recording, `tests/data/device-connects.json`), byte for byte.

use iotda_core::login::{ClientId, Policy};
use std::collections::HashMap;
use support::{
    broker::{Broker, Setup},
    mqtt::{Answer, Client},
    on_every_broker,
    version::Version,
};

on_every_broker!(recorded_devices_get_the_answers_of_the_contract);

/// One packet and its metadata.
struct Recorded {
    client: String,
    note: String,
    device_id: String,
    secret: String,
    level: u64,
    packet: Vec<u8>,
    client_id: String,
    /// When it was sent, in Unix seconds.
    sent: i64,
}

fn recorded() -> Vec<Recorded> {
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../data/device-connects.json"))
            .expect("the recording is JSON");
    let text =
        |entry: &serde_json::Value, field: &str| entry[field].as_str().expect(field).to_string();
    entries
        .iter()
        .map(|entry| Recorded {
            client: text(entry, "client"),
            note: text(entry, "note"),
            device_id: text(entry, "device_id"),
            secret: text(entry, "secret"),
            level: entry["level"].as_u64().expect("a protocol level"),
            packet: hex::decode(text(entry, "raw")).expect("the packet is in hex"),
            client_id: text(entry, "client_id"),
            sent: instant(&text(entry, "clock")),
        })
        .collect()
}

/// An instant like `2026-11-22T22:48:27Z`, or `2026-11-22 22:10:00 UTC (faked)`.
fn instant(clock: &str) -> i64 {
    let clock = format!("{}Z", &clock[..19]);
    clock.parse::<jiff::Timestamp>().expect("an instant").as_second()
}

/// When they were sent, all of them were within the default window, also the hour 24 and the device that signs with local
/// time.
#[test]
fn each_hour_lay_in_the_window_when_it_was_sent() {
    let Policy { timestamp_max_age, timestamp_max_ahead, .. } = Policy::default();
    let mut hours = 0;
    for Recorded { client, note, client_id, sent, .. } in recorded() {
        // Sign type 0, and a ClientId that is not a device's, have no window.
        let id = ClientId::parse(client_id.as_bytes()).ok();
        let Some(hour) = id.and_then(|id| id.hour) else { continue };
        let age = hour.age(sent);
        let window = -timestamp_max_ahead.unwrap()..=timestamp_max_age;
        assert!(window.contains(&age), "{client} {note:?}: {age} s");
        hours += 1;
    }
    assert_eq!(hours, 13);
}

impl Recorded {
    /// Whether a secrets file can hold the device: the platform's own charset has neither UTF-8 nor blanks.
    fn is_registrable(&self) -> bool {
        let allowed =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        allowed(&self.device_id) && allowed(&self.secret)
    }

    /// The refusal by the contract; `None` if the login is accepted.
    fn expected(&self) -> Option<&'static str> {
        match self.note.as_str() {
            "bridge: identity type 3" | "registration group (scope id)" => Some("bad_client_id"),
            // Java's SDK asks a security provider for SM3, and where there is none it sends nothing.
            note if note.starts_with("SM3 without a provider") => Some("wrong_password"),
            _ if !self.is_registrable() => Some("unknown_device"),
            _ => None,
        }
    }
}

fn recorded_devices_get_the_answers_of_the_contract(version: Version) {
    // The same device was recorded with several secrets, so each secret has a separate broker.
    let mut brokers: HashMap<String, Broker> = HashMap::new();
    let recorded = recorded();
    assert_eq!(recorded.len(), 48);
    let mut logins = 0;
    for recorded in recorded {
        let broker = brokers.entry(recorded.secret.clone()).or_insert_with(|| {
            let known = format!("{}:{}\n", recorded.device_id, recorded.secret);
            let file = if recorded.is_registrable() { known } else { "other:5f2b9c0e7d\n".into() };
            // Works at any time of day.
            Setup::new(version)
                .secrets(file)
                .option("timestamp_max_age", "36500d")
                .option("timestamp_max_ahead", "36500d")
                .start()
        });
        let before = broker.refusals().len();
        let mut client = Client::dial(broker);
        client.send(&recorded.packet);
        let answer = client.answer();
        let refusals = broker.refusals();
        let name = format!("{} {:?}", recorded.client, recorded.note);
        match recorded.expected() {
            None => {
                assert_eq!(answer, Answer::Connack(0), "{name} level {}", recorded.level);
                assert!(client.is_alive(), "{name}");
                logins += 1;
            }
            Some(id) => {
                assert_eq!(answer, Answer::Connack(5), "{name}");
                assert_eq!(refusals.len(), before + 1, "{name}");
                assert!(
                    refusals[before].ends_with(&format!("reason={id}"))
                        || refusals[before].contains(&format!("reason={id} ")),
                    "{name}: {}",
                    refusals[before]
                );
            }
        }
    }
    assert_eq!(logins, 33);
}
