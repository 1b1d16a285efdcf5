//! `failure_limit`: the logins of an address that fails too often are not checked for a while, and others are unaffected.

use iotda_core::login::SignType::Sha256Timestamp;
use std::{
    net::{Ipv4Addr, SocketAddr},
    thread::sleep,
    time::Duration,
};
use support::{
    broker::{Broker, Setup, free_port},
    device::{Device, LAMP, METER, now, secrets, stamp},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS, refused},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(
    an_address_that_fails_is_limited_and_forgiven,
    a_loud_device_does_not_lock_its_neighbours_out,
    a_guesser_is_limited_beside_one_that_repeats_itself,
    a_login_that_proves_its_secret_is_not_a_failure,
    the_sweep_is_exempt,
);

/// The reason in the last line about a refusal: most brokers give one code for all.
fn last_reason(broker: &Broker) -> String {
    let line = broker.refusals().pop().expect("a refusal");
    let (_, reason) = line.rsplit_once(" reason=").expect("a reason");
    reason.split(' ').next().unwrap().to_string()
}

/// A wrong login, another one for each number.
fn wrong(number: u32) -> Connect {
    LAMP.connect_now().password(format!("{number:064}"))
}

fn an_address_that_fails_is_limited_and_forgiven(version: Version) {
    let port = free_port();
    let broker = Setup::new(version)
        .secrets(secrets())
        .option("failure_limit", "5/10s")
        .line(&format!("listener {port}"))
        .start();
    // A device that is right is let in however often it comes.
    for _ in 0..20 {
        assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED);
    }
    for (number, level) in (0..).zip([3, 4, 5, 4, 4]) {
        assert_eq!(
            Client::connect(&broker, &wrong(number).level(level)).1,
            refused(version, level, "wrong_password")
        );
    }
    for level in VERSIONS {
        let right = METER.connect_now().level(level);
        assert_eq!(Client::connect(&broker, &right).1, refused(version, level, "rate_limited"));
    }
    assert!(broker.refusals().last().unwrap().ends_with(" address=127.0.0.1 reason=rate_limited"));
    // Other addresses are unaffected: the limit is not on the device.
    let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1), port));
    let other = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, other.port()));
    let mut client = Client::over(transport::tcp(other));
    client.send(&LAMP.connect_now().packet());
    assert_eq!(client.answer(), ACCEPTED, "{}", broker.log());
    // After a fifth of the time, one more try is allowed.
    sleep(Duration::from_millis(2500));
    assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED, "{}", broker.log());
}

/// The same login again and again is one failure: four more are left for the others.
fn a_loud_device_does_not_lock_its_neighbours_out(version: Version) {
    let spare = Device { id: "64a1f0c2_spare", secret: "0123456789" };
    let iron = Device { id: "64a1f0c2_iron", secret: "9876543210" };
    let file = [spare, iron].map(|device| format!("{}:{}\n", device.id, device.secret)).concat();
    let broker = Setup::new(version)
        .secrets(format!("{}{file}", secrets()))
        .option("failure_limit", "5/1m")
        .start();
    // Signed once, as some SDKs do for the lifetime of their process.
    let loud = wrong(0);
    for _ in 0..20 {
        for level in VERSIONS {
            let answer = Client::connect(&broker, &loud.clone().level(level)).1;
            assert_eq!(answer, refused(version, level, "wrong_password"), "{}", broker.log());
        }
        for right in [METER, spare, iron] {
            let answer = Client::connect(&broker, &right.connect_now()).1;
            assert_eq!(answer, ACCEPTED, "{}", broker.log());
        }
    }
}

fn a_guesser_is_limited_beside_one_that_repeats_itself(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("failure_limit", "5/1h").start();
    for number in [0, 0, 0, 1, 0, 2, 1, 3, 3, 0] {
        Client::connect(&broker, &wrong(number));
        assert_eq!(last_reason(&broker), "wrong_password", "{number}: {}", broker.log());
    }
    assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED, "{}", broker.log());
    Client::connect(&broker, &wrong(4));
    assert_eq!(last_reason(&broker), "wrong_password");
    for connect in [wrong(5), wrong(0), METER.connect_now()] {
        assert_eq!(Client::connect(&broker, &connect).1, refused(version, 4, "rate_limited"));
        assert_eq!(last_reason(&broker), "rate_limited");
    }
}

/// A device with a wrong clock, and a frozen one: neither learns anything by trying.
fn a_login_that_proves_its_secret_is_not_a_failure(version: Version) {
    let iced = Device { id: "iced", secret: "frozensecret" };
    let broker = Setup::new(version)
        .secrets(format!("{}iced:frozensecret:frozen\n", secrets()))
        .option("failure_limit", "2/1h")
        .start();
    let stale = |hours: i64| LAMP.connect(Sha256Timestamp, &stamp(now() - hours * 3600));
    for hours in 3..8 {
        let ahead = LAMP.connect(Sha256Timestamp, &stamp(now() + (30 + hours) * 3600));
        for (connect, id) in [
            (stale(hours), "stale_timestamp"),
            (ahead, "future_timestamp"),
            (iced.connect(Sha256Timestamp, &stamp(now() + hours * 3600)), "frozen"),
        ] {
            assert_eq!(Client::connect(&broker, &connect).1, refused(version, 4, id));
            assert_eq!(last_reason(&broker), id);
        }
    }
    assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED, "{}", broker.log());
    // With a wrong password, a wrong clock counts as a failure.
    for hours in 3..5 {
        Client::connect(&broker, &stale(hours).password("0".repeat(64)));
        assert_eq!(last_reason(&broker), "stale_timestamp");
    }
    let answer = Client::connect(&broker, &METER.connect_now()).1;
    assert_eq!(answer, refused(version, 4, "rate_limited"), "{}", broker.log());
}

fn the_sweep_is_exempt(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("failure_limit", "1/1h").start();
    let (mut meter, _) = Client::connect(&broker, &METER.connect_now());
    Client::connect(&broker, &wrong(0));
    assert_eq!(
        Client::connect(&broker, &METER.connect_now()).1,
        refused(version, 4, "rate_limited")
    );
    broker.reload();
    broker.reload();
    assert!(meter.is_alive(), "{}", broker.log());
}
