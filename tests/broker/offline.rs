//! Offline sessions: the sweep harms neither them nor other clients.
//!
//! If the plugin refuses such a session, 2.0 adds it to its expiry list a second time, which leads to a use of freed memory:
//! other clients were thrown out, and the broker aborted at its end. So the plugin never refuses one.

use crate::other_clients::with_password_file;
use iotda_core::login::SignType::Sha256;
use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};
use support::{
    broker::{Broker, Setup, wait},
    device::{Device, LAMP, METER},
    mqtt::{ACCEPTED, Client, Connect, not_authorized, packet},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    no_neighbour_is_harmed_by_a_removed_device,
    no_neighbour_is_harmed_by_a_removed_device_of_mqtt_3,
    no_neighbour_is_harmed_by_a_frozen_device,
    no_neighbour_is_harmed_by_a_device_with_another_secret,
    nothing_is_found_under_valgrind,
    nothing_is_found_with_restored_services,
    a_sweep_logs_and_counts_no_refusals,
);

/// What is done to the lamp while its session is offline.
#[derive(Clone, Copy)]
enum Change {
    Removed,
    Frozen,
    Another,
}

impl Change {
    fn file(self) -> String {
        let meter = format!("{}:{}\n", METER.id, METER.secret);
        match self {
            Self::Removed => meter,
            Self::Frozen => format!("{meter}{}:{}:frozen\n", LAMP.id, LAMP.secret),
            Self::Another => format!("{meter}{}:anothersecret\n", LAMP.id),
        }
    }
}

fn both() -> String {
    format!("{}:{}\n{}:{}\n", METER.id, METER.secret, LAMP.id, LAMP.secret)
}

fn login(device: Device) -> Connect {
    device.connect(Sha256, "2999010100")
}

fn service(number: u8) -> Connect {
    Connect::new(format!("service-{number}"))
        .username("backend.service")
        .password("backendpassword")
        .level(5)
        .persistent()
}

fn connect(broker: &Broker, connect: &Connect) -> Client {
    let (client, answer) = Client::connect(broker, connect);
    assert_eq!(answer, ACCEPTED, "{}", broker.log());
    client
}

fn write(broker: &Broker, content: &str) {
    fs::write(broker.secrets(), content).unwrap();
}

/// SIGHUP, and waits until the file is in force.
fn reload(broker: &Broker) {
    let count = broker.log().matches("iotda-auth: reloaded").count();
    broker.reload();
    broker.wait_for_log_count("iotda-auth: reloaded", count + 1);
}

fn setup(version: Version) -> Setup {
    with_password_file(version, "defer").secrets(both())
}

/// This once ended in "Expiring client … due to timeout" for another client.
fn play(broker: &mut Broker, level: u8, change: Change, patience: Duration) {
    let lamp = login(LAMP).level(level).persistent();
    connect(broker, &lamp).disconnect();
    write(broker, &change.file());
    for _ in 0..3 {
        reload(broker);
    }
    assert!(broker.refusals().is_empty(), "{:?}", broker.refusals());
    // Its session is there, but the device is refused.
    let (_, answer) = Client::connect(broker, &lamp);
    assert_ne!(answer, ACCEPTED);
    assert_eq!(broker.refusals().len(), 1, "{:?}", broker.refusals());
    write(broker, &both());
    reload(broker);
    connect(broker, &login(LAMP).level(level)).disconnect();

    // Five other clients: two that are offline, with a message each, and three that are online.
    let mut services: Vec<Client> = (1..=5).map(|n| connect(broker, &service(n))).collect();
    for client in &mut services {
        assert_eq!(client.subscribe(5, "news"), 1);
    }
    services.drain(..2).for_each(Client::disconnect);
    let mut meter = connect(broker, &login(METER));
    meter.publish(4, "news", b"kept");
    for client in &mut services {
        let message = client.receive().expect("a message");
        client.send(&packet(0x40, &message[2 + 2 + 4..][..2]));
    }
    for _ in 0..3 {
        reload(broker);
        sleep(patience / 3);
    }
    assert!(services.iter_mut().all(Client::is_alive) && meter.is_alive(), "{}", broker.log());
    for number in 1..=2 {
        let message = connect(broker, &service(number)).receive().expect("a queued message");
        assert!(message.ends_with(b"kept"), "{message:02x?}");
    }
    let log = broker.log();
    assert!(!log.contains("Expiring client"), "{log}");
    // The broker ends normally.
    broker.stop();
}

fn is_unharmed(version: Version, level: u8, change: Change) {
    let setup = match level {
        5 => setup(version),
        _ => setup(version).line("persistent_client_expiration 2h"),
    };
    play(&mut setup.start(), level, change, Duration::from_secs(3));
}

fn no_neighbour_is_harmed_by_a_removed_device(version: Version) {
    is_unharmed(version, 5, Change::Removed);
}

fn no_neighbour_is_harmed_by_a_removed_device_of_mqtt_3(version: Version) {
    is_unharmed(version, 4, Change::Removed);
}

fn no_neighbour_is_harmed_by_a_frozen_device(version: Version) {
    is_unharmed(version, 5, Change::Frozen);
}

fn no_neighbour_is_harmed_by_a_device_with_another_secret(version: Version) {
    is_unharmed(version, 4, Change::Another);
}

/// A broker under valgrind, and the path of valgrind's report.
fn under_valgrind(setup: Setup) -> (Broker, PathBuf) {
    let found = setup.scratch().path().join("valgrind");
    let broker = setup
        .line("persistent_client_expiration 2h")
        .started_by([
            "valgrind",
            "--trace-children=yes",
            "--trace-children-skip=*/dirname,*/readlink",
            "--keep-debuginfo=yes",
            &format!("--log-file={}", found.display()),
        ])
        .start();
    (broker, found)
}

/// The broker's expiry list was read and written after it was freed.
fn has_found_nothing(broker: &mut Broker, found: &Path) {
    broker.stop();
    let found = fs::read_to_string(found).unwrap();
    assert!(found.contains("ERROR SUMMARY: "), "valgrind did not come to its end:\n{found}");
    for function in ["session_expiry__", "Invalid read", "Invalid write"] {
        assert!(!found.contains(function), "{found}");
    }
}

fn nothing_is_found_under_valgrind(version: Version) {
    let (mut broker, found) = under_valgrind(setup(version));
    for (level, change) in [(5, Change::Removed), (4, Change::Frozen)] {
        let lamp = login(LAMP).level(level).persistent();
        connect(&broker, &lamp).disconnect();
        write(&broker, &change.file());
        reload(&broker);
        reload(&broker);
        write(&broker, &both());
        reload(&broker);
        connect(&broker, &login(LAMP).level(level)).disconnect();
    }
    let mut services: Vec<Client> = (1..=5).map(|n| connect(&broker, &service(n))).collect();
    reload(&broker);
    assert!(services.iter_mut().all(Client::is_alive), "{}", broker.log());
    drop(services);
    has_found_nothing(&mut broker, &found);
}

/// A session that is restored from the broker's file has no password, so the `password_file` would refuse it.
fn nothing_is_found_with_restored_services(version: Version) {
    let setup = setup(version);
    let folder = setup.scratch().path().display().to_string();
    let setup = setup.line("persistence true").line(&format!("persistence_location {folder}/"));
    let (mut broker, found) = under_valgrind(setup);
    for number in 1..=3 {
        connect(&broker, &service(number)).disconnect();
    }
    broker.restart();
    for _ in 0..3 {
        reload(&broker);
    }
    for number in 1..=2 {
        let mut back = connect(&broker, &service(number));
        reload(&broker);
        assert!(back.is_alive(), "{}", broker.log());
    }
    reload(&broker);
    has_found_nothing(&mut broker, &found);
}

/// No client connected, so no refusal is logged or counted, and no address is banned.
fn a_sweep_logs_and_counts_no_refusals(version: Version) {
    let setup = setup(version).option("failure_limit", "3/1h").option("keepalive", "60-1200");
    let broker = setup.start();
    for level in [3, 4, 5] {
        let device = Device { id: LAMP.id, secret: LAMP.secret };
        let stamp = format!("299901010{level}");
        let connect_packet = device.connect(Sha256, &stamp).level(level).persistent();
        connect(&broker, &connect_packet).disconnect();
    }
    write(&broker, &Change::Removed.file());
    for _ in 0..4 {
        reload(&broker);
    }
    assert!(broker.refusals().is_empty(), "{:?}", broker.refusals());
    let counters = wait(|| {
        broker.log().lines().rev().find_map(|line| {
            line.split_once("since the start: ").map(|(_, counters)| counters.to_string())
        })
    });
    let counters = counters.expect("counters");
    assert!(counters.contains("refused=0 rechecked="), "{counters}");
    assert!(!counters.contains("rechecked=0"), "{counters}");
    // Nothing counts against the address: a device from there is let in.
    assert_eq!(Client::connect(&broker, &login(METER)).1, ACCEPTED, "{}", broker.log());
    assert_eq!(Client::connect(&broker, &login(LAMP)).1, not_authorized(4));
}
