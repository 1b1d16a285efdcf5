//! The platform's own answers, to the byte: each row of the contract's table, in each version of MQTT, over each kind of
//! listener, and what the broker says of it.

use super::login::{refusals, secrets_of_all, slug};
use crate::support::{
    broker::{Broker, Setup, free_port, on_every_broker, wait},
    device::{LAMP, METER},
    library,
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS, refusal, refused},
    transport,
};
use std::net::{Ipv6Addr, SocketAddr};

on_every_broker!(
    every_refusal_is_exact_on_a_listed_port,
    every_refusal_is_the_brokers_elsewhere,
    tls_is_left_alone_even_where_its_port_is_listed,
    web_sockets_are_left_alone,
    unix_sockets_are_left_alone,
    addresses_of_either_family_are_proved,
    a_fault_has_a_code_of_its_own,
    only_the_refused_client_is_written_to,
    a_sweep_writes_to_nobody,
);

/// The bytes of a CONNACK.
fn connack(level: u8, code: u8) -> Vec<u8> {
    if level == 5 { vec![0x20, 3, 0, code, 0] } else { vec![0x20, 2, 0, code] }
}

/// The contract's CONNACK for a refusal.
fn exact(level: u8, slug: &str) -> Vec<u8> {
    let code = refusal(slug).connack();
    connack(level, if level == 5 { code.v5 } else { code.v3 })
}

/// What a stock broker sends for a refusal.
fn stock(version: &str, level: u8, slug: &str) -> Vec<u8> {
    match refused(version, level, slug) {
        Answer::Connack(code) => connack(level, code),
        Answer::Closed => Vec::new(),
    }
}

/// All that a client gets for a CONNECT, to the end of the connection.
fn answer(mut client: Client, connect: &Connect) -> Vec<u8> {
    client.send(&connect.packet());
    client.rest()
}

/// Plays all refusals, in all versions, over connections of some kind.
fn play(dial: impl Fn() -> Client, expected: impl Fn(u8, &str) -> Vec<u8>) {
    for level in VERSIONS {
        for (connect, reason) in refusals() {
            let found = answer(dial(), &connect.level(level));
            assert_eq!(found, expected(level, slug(reason)), "MQTT level {level}, {reason}");
        }
        let mut client = dial();
        client.send(&LAMP.connect_now().level(level).packet());
        assert_eq!(client.answer(), ACCEPTED);
        assert!(client.is_alive());
    }
}

fn start(version: &str, ports: &str) -> Setup {
    Setup::new(version).secrets(secrets_of_all()).option("exact_connack_ports", ports)
}

fn every_refusal_is_exact_on_a_listed_port(version: &str) {
    let port = free_port();
    let broker = start(version, &format!("1, {port}")).port(port).start();
    play(|| Client::dial(&broker), exact);
    // The broker's log is as ever.
    let count = VERSIONS.len() * refusals().len();
    let own = if version == "2.1.2" { "disconnected: " } else { "disconnected, not authorised." };
    assert!(broker.log().matches(own).count() >= count, "{}", broker.log());
}

fn every_refusal_is_the_brokers_elsewhere(version: &str) {
    let broker = start(version, "1").start();
    play(|| Client::dial(&broker), |level, slug| stock(version, level, slug));
    let broker = Setup::new(version).secrets(secrets_of_all()).start();
    play(|| Client::dial(&broker), |level, slug| stock(version, level, slug));
}

fn tls_is_left_alone_even_where_its_port_is_listed(version: &str) {
    let port = free_port();
    let setup = start(version, &port.to_string());
    let lines = transport::tls_lines(setup.scratch());
    let _broker = setup.line(&format!("listener {port} 127.0.0.1\n{lines}")).start();
    for level in VERSIONS {
        for (connect, reason) in refusals() {
            let found = answer(Client::over(transport::tls(port, &[])), &connect.level(level));
            assert_eq!(found, stock(version, level, slug(reason)), "MQTT level {level}, {reason}");
        }
        let mut client = Client::over(transport::tls(port, &[]));
        client.send(&LAMP.connect_now().level(level).packet());
        assert_eq!(client.answer(), ACCEPTED);
    }
}

fn web_sockets_are_left_alone(version: &str) {
    let port = free_port();
    let _broker = start(version, &port.to_string())
        .line(&format!("listener {port} 127.0.0.1\nprotocol websockets"))
        .start();
    for level in VERSIONS {
        for (connect, reason) in refusals() {
            let found = answer(Client::over(transport::web_socket(port)), &connect.level(level));
            // 2.0 closes a WebSocket before it has sent the CONNACK that it has for it.
            let stock = stock(version, level, slug(reason));
            assert!(
                found == stock || (version != "2.1.2" && found.is_empty()),
                "{found:02x?} MQTT level {level}, {reason}"
            );
        }
        let mut client = Client::over(transport::web_socket(port));
        client.send(&LAMP.connect_now().level(level).packet());
        assert_eq!(client.answer(), ACCEPTED);
    }
}

fn unix_sockets_are_left_alone(version: &str) {
    let setup = start(version, "1883");
    let path = setup.scratch().path().join("s");
    let broker = setup.line(&format!("listener 0 {}", path.display())).start();
    play(|| Client::over(transport::unix(&path)), |level, slug| stock(version, level, slug));
    assert!(
        broker.refusals()[0].contains(&format!(" address={} reason=", path.display())),
        "{:?}",
        broker.refusals()[0]
    );
}

fn addresses_of_either_family_are_proved(version: &str) {
    let port = free_port();
    let _broker = start(version, &port.to_string()).line(&format!("listener {port}")).start();
    let addresses: [SocketAddr; 2] = [transport::local(port), (Ipv6Addr::LOCALHOST, port).into()];
    for address in addresses {
        play(|| Client::over(transport::tcp(address)), exact);
    }
}

fn a_fault_has_a_code_of_its_own(version: &str) {
    let port = free_port();
    let broker = start(version, &port.to_string())
        .port(port)
        .plugin(library::with_fault_injection())
        .start();
    for level in VERSIONS {
        let found =
            answer(Client::dial(&broker), &Connect::new("fault-injection: panic").level(level));
        assert_eq!(found, exact(level, "internal_error"));
    }
}

/// Many clients at one address: what is for one is written to no other.
fn only_the_refused_client_is_written_to(version: &str) {
    let port = free_port();
    let broker =
        start(version, &port.to_string()).option("one_connection", "no").port(port).start();
    let mut stay: Vec<Client> = (0..20)
        .map(|n| {
            let connect = METER
                .connect(mosquitto_iotda_auth::login::SignType::Sha256, &format!("29990101{n:02}"));
            let (client, answer) = Client::connect(&broker, &connect);
            assert_eq!(answer, ACCEPTED);
            client
        })
        .collect();
    // Some that have connected, and sent nothing.
    let mut silent: Vec<Client> = (0..20).map(|_| Client::dial(&broker)).collect();
    for level in VERSIONS {
        for (connect, reason) in refusals() {
            assert_eq!(
                answer(Client::dial(&broker), &connect.level(level)),
                exact(level, slug(reason))
            );
        }
    }
    assert!(stay.iter_mut().all(Client::is_alive));
    for client in &mut silent {
        client.send(&LAMP.connect_now().packet());
        assert_eq!(client.answer(), ACCEPTED);
    }
}

fn a_sweep_writes_to_nobody(version: &str) {
    let port = free_port();
    let broker: Broker = start(version, &port.to_string()).port(port).start();
    let (mut lamp, _) = Client::connect(&broker, &LAMP.connect_now());
    let (mut meter, _) = Client::connect(&broker, &METER.connect_now());
    broker.scratch().file("secrets", format!("{}:{}\n", LAMP.id, LAMP.secret));
    broker.reload();
    let told = wait(|| broker.log().contains("1 disconnected"));
    assert!(told.is_some(), "{}", broker.log());
    assert_eq!(meter.rest(), b"", "{}", broker.log());
    assert!(lamp.is_alive());
}
