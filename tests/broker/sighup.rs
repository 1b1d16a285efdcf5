//! SIGHUP, as logrotate sends it every night: logged-in devices stay connected, although their hour is long over.

use iotda_core::login::SignType::Sha256Timestamp;
use std::{thread::sleep, time::Duration};
use support::{
    broker::{Broker, Setup},
    device::{LAMP, METER, now, secrets, stamp},
    mqtt::{ACCEPTED, Client, VERSIONS, not_authorized, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    a_session_outlives_its_hour,
    a_session_outlives_its_hour_with_per_listener_settings,
    persistent_sessions_keep_their_queue,
    other_plugins_and_files_are_read_again,
);

/// How long a login of these tests stays fresh, in seconds: long enough to be made on a slow machine.
const FRESH: i64 = 4;

/// Starts a broker for which this hour's timestamp will be too old in a few seconds; returns the timestamp.
fn start_before_the_hour_passes(setup: Setup) -> (Broker, String) {
    let start = now();
    let max_age = start % 3600 + FRESH;
    let broker =
        setup.secrets(secrets()).option("timestamp_max_age", &format!("{max_age}s")).start();
    (broker, stamp(start))
}

fn let_the_hour_pass() {
    sleep(Duration::from_secs(FRESH.unsigned_abs() + 1));
}

fn outlives(version: Version, per_listener_settings: bool) {
    let setup =
        Setup::new(version).line_before(&format!("per_listener_settings {per_listener_settings}"));
    let (broker, stamp) = start_before_the_hour_passes(setup);
    let mut clients = Vec::new();
    for device in [LAMP, METER] {
        let (client, answer) = Client::connect(&broker, &device.connect(Sha256Timestamp, &stamp));
        assert_eq!(answer, ACCEPTED);
        clients.push(client);
    }
    let_the_hour_pass();
    for _ in 0..3 {
        broker.reload();
        assert!(clients.iter_mut().all(Client::is_alive), "{}", broker.log());
    }
    assert!(broker.refusals().is_empty(), "{}", broker.log());
    // The hour is over: no CONNECT is accepted with it, not even right after a SIGHUP.
    for level in VERSIONS {
        broker.reload();
        let stale = LAMP.connect(Sha256Timestamp, &stamp).level(level);
        assert_eq!(Client::connect(&broker, &stale).1, refused(version, level, "stale_timestamp"));
        assert!(broker.refusals().last().unwrap().contains("reason=stale_timestamp"));
    }
    assert!(clients.iter_mut().all(Client::is_alive));
}

fn a_session_outlives_its_hour(version: Version) {
    outlives(version, false);
}

/// 2.0.11 sends no TICK then, so no event marks the end of the sweep.
fn a_session_outlives_its_hour_with_per_listener_settings(version: Version) {
    outlives(version, true);
}

fn persistent_sessions_keep_their_queue(version: Version) {
    let setup = Setup::new(version);
    let folder = setup.scratch().path().display().to_string();
    let setup = setup.line("persistence true").line(&format!("persistence_location {folder}/"));
    let (mut broker, stamp) = start_before_the_hour_passes(setup);
    let lamp = LAMP.connect(Sha256Timestamp, &stamp).persistent();
    let (mut client, answer) = Client::connect(&broker, &lamp);
    assert_eq!(answer, ACCEPTED);
    assert_eq!(client.subscribe(4, "news"), 1);
    client.disconnect();
    let_the_hour_pass();
    broker.reload();

    // The sender uses sign type 0, which has no expiry.
    let sender = METER.connect(iotda_core::login::SignType::Sha256, "2999010100");
    Client::connect(&broker, &sender).0.publish(4, "news", b"first");
    broker.reload();

    // Restored from its file, a session has no address, no password and no keep alive.
    broker.restart();
    broker.reload();
    Client::connect(&broker, &sender).0.publish(4, "news", b"second");
    broker.reload();
    assert!(broker.refusals().is_empty(), "{}", broker.log());

    // The device comes back with its old ClientId, which would be stale for sign type 1. So after one more start, with wider
    // rules, the device fetches its queue.
    let config = std::fs::read_to_string(broker.scratch().path().join("mosquitto.conf")).unwrap();
    let wider: String = config
        .lines()
        .map(|line| {
            if line.contains("timestamp_max_age") {
                "plugin_opt_timestamp_max_age 2d\n".into()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    broker.scratch().file("mosquitto.conf", wider);
    broker.restart();
    broker.reload();
    let (mut client, answer) = Client::connect(&broker, &lamp);
    assert_eq!(answer, ACCEPTED);
    for expected in ["first", "second"] {
        let publish = client.receive().expect("a queued message");
        assert!(publish.ends_with(expected.as_bytes()), "{publish:02x?}");
    }
}

/// Our answer to RELOAD must not keep the broker from reading its password file again (on 2.0 a wrong answer does), and must
/// not end the broker.
fn other_plugins_and_files_are_read_again(version: Version) {
    let setup = Setup::new(version).secrets(secrets()).option("other_clients", "defer");
    let passwords = setup.scratch().file("passwords", "");
    let mut broker = setup.line(&format!("password_file {}", passwords.display())).start();
    let backend = support::mqtt::Connect::new("backend").username("backend").password("p");
    assert_eq!(Client::connect(&broker, &backend).1, not_authorized(4));
    let made =
        std::process::Command::new(support::broker::installation(version).join("mosquitto_passwd"))
            .arg("-b")
            .arg(&passwords)
            .args(["backend", "p"])
            .output()
            .unwrap();
    assert!(made.status.success(), "{made:?}");
    broker.reload();
    assert_eq!(Client::connect(&broker, &backend).1, ACCEPTED, "{}", broker.log());
    for _ in 0..20 {
        broker.reload();
    }
    assert!(broker.is_running());
    assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED);
}
