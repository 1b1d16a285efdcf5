//! `failure_limit`: who fails too often is not looked at for a while, and nobody else suffers.

use crate::support::{
    broker::{Setup, free_port, on_every_broker},
    device::{LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client, VERSIONS, refused},
    transport,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    thread::sleep,
    time::Duration,
};

on_every_broker!(an_address_that_fails_is_limited_and_forgiven, the_sweep_is_exempt);

fn wrong() -> crate::support::mqtt::Connect {
    LAMP.connect_now().password("0".repeat(64))
}

fn an_address_that_fails_is_limited_and_forgiven(version: &str) {
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
    for level in [3, 4, 5, 4, 4] {
        assert_eq!(
            Client::connect(&broker, &wrong().level(level)).1,
            refused(version, level, "wrong_password")
        );
    }
    for level in VERSIONS {
        let right = METER.connect_now().level(level);
        assert_eq!(Client::connect(&broker, &right).1, refused(version, level, "rate_limited"));
    }
    assert!(broker.refusals().last().unwrap().ends_with(" address=127.0.0.1 reason=rate_limited"));
    // Another address is none of it: the limit is on no device.
    let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1), port));
    let other = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, other.port()));
    let mut client = Client::over(transport::tcp(other));
    client.send(&LAMP.connect_now().packet());
    assert_eq!(client.answer(), ACCEPTED, "{}", broker.log());
    // A fifth of the time is one more try.
    sleep(Duration::from_millis(2500));
    assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED, "{}", broker.log());
}

fn the_sweep_is_exempt(version: &str) {
    let broker = Setup::new(version).secrets(secrets()).option("failure_limit", "1/1h").start();
    let (mut meter, _) = Client::connect(&broker, &METER.connect_now());
    Client::connect(&broker, &wrong());
    assert_eq!(
        Client::connect(&broker, &METER.connect_now()).1,
        refused(version, 4, "rate_limited")
    );
    broker.reload();
    broker.reload();
    assert!(meter.is_alive(), "{}", broker.log());
}
