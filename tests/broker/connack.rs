//! The platform's own answers, byte for byte: each row of the contract's table, in each version of MQTT, over each kind of
//! listener, and the broker's log of it.

use super::login::{id, refusals, secrets_of_all};
use std::net::{Ipv6Addr, SocketAddr};
use support::{
    broker::{Broker, Setup, free_port, wait},
    device::{LAMP, METER},
    library,
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS, refusal, refused},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(
    every_refusal_is_exact_on_a_listed_port,
    every_refusal_is_the_brokers_elsewhere,
    tls_is_left_alone_even_where_its_port_is_listed,
    web_sockets_are_left_alone,
    unix_sockets_are_left_alone,
    addresses_of_either_family_are_proved,
    a_fault_has_its_own_code,
    only_the_refused_client_is_written_to,
    a_sweep_writes_to_nobody,
    an_answer_that_is_not_exact_is_warned_of_once,
    ; from 2.1:
    every_refusal_is_exact_behind_a_proxy,
    every_refusal_is_exact_behind_a_proxy_that_speaks_v1,
    health_checks_do_not_reach_the_plugin,
    web_sockets_behind_a_proxy_are_left_alone,
    only_the_refused_client_behind_a_proxy_is_written_to,
);

/// The bytes of a CONNACK.
fn connack(level: u8, code: u8) -> Vec<u8> {
    if level == 5 { vec![0x20, 3, 0, code, 0] } else { vec![0x20, 2, 0, code] }
}

/// The contract's CONNACK for a refusal.
fn exact(level: u8, id: &str) -> Vec<u8> {
    let code = refusal(id).connack();
    connack(level, if level == 5 { code.v5 } else { code.v3 })
}

/// What a stock broker sends for a refusal.
fn stock(version: Version, level: u8, id: &str) -> Vec<u8> {
    match refused(version, level, id) {
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
            assert_eq!(found, expected(level, id(reason)), "MQTT level {level}, {reason}");
        }
        let mut client = dial();
        client.send(&LAMP.connect_now().level(level).packet());
        assert_eq!(client.answer(), ACCEPTED);
        assert!(client.is_alive());
    }
}

fn start(version: Version, ports: &str) -> Setup {
    Setup::new(version).secrets(secrets_of_all()).option("exact_connack_ports", ports)
}

fn every_refusal_is_exact_on_a_listed_port(version: Version) {
    let port = free_port();
    let broker = start(version, &format!("1, {port}")).port(port).start();
    play(|| Client::dial(&broker), exact);
    // The broker's log is as usual.
    let count = VERSIONS.len() * refusals().len();
    assert!(broker.log().matches(version.disconnected()).count() >= count, "{}", broker.log());
}

fn every_refusal_is_the_brokers_elsewhere(version: Version) {
    let broker = start(version, "1").start();
    play(|| Client::dial(&broker), |level, id| stock(version, level, id));
    let broker = Setup::new(version).secrets(secrets_of_all()).start();
    play(|| Client::dial(&broker), |level, id| stock(version, level, id));
}

fn tls_is_left_alone_even_where_its_port_is_listed(version: Version) {
    let port = free_port();
    let setup = start(version, &port.to_string());
    let lines = transport::tls_lines(setup.scratch());
    let _broker = setup.line(&format!("listener {port} 127.0.0.1\n{lines}")).start();
    for level in VERSIONS {
        for (connect, reason) in refusals() {
            let found = answer(Client::over(transport::tls(port, &[])), &connect.level(level));
            assert_eq!(found, stock(version, level, id(reason)), "MQTT level {level}, {reason}");
        }
        let mut client = Client::over(transport::tls(port, &[]));
        client.send(&LAMP.connect_now().level(level).packet());
        assert_eq!(client.answer(), ACCEPTED);
    }
}

fn web_sockets_are_left_alone(version: Version) {
    let port = free_port();
    let _broker = start(version, &port.to_string())
        .line(&format!("listener {port} 127.0.0.1\nprotocol websockets"))
        .start();
    for level in VERSIONS {
        for (connect, reason) in refusals() {
            let found = answer(Client::over(transport::web_socket(port)), &connect.level(level));
            // 2.0 may close a WebSocket before it has sent the CONNACK.
            let stock = stock(version, level, id(reason));
            assert!(
                found == stock || (!version.finishes_web_sockets() && found.is_empty()),
                "{found:02x?} MQTT level {level}, {reason}"
            );
        }
        let mut client = Client::over(transport::web_socket(port));
        client.send(&LAMP.connect_now().level(level).packet());
        assert_eq!(client.answer(), ACCEPTED);
    }
}

fn unix_sockets_are_left_alone(version: Version) {
    let setup = start(version, "1883");
    let path = setup.scratch().path().join("s");
    let broker = setup.line(&format!("listener 0 {}", path.display())).start();
    play(|| Client::over(transport::unix(&path)), |level, id| stock(version, level, id));
    assert!(
        broker.refusals()[0].contains(&format!(" address={} reason=", path.display())),
        "{:?}",
        broker.refusals()[0]
    );
}

fn addresses_of_either_family_are_proved(version: Version) {
    let port = free_port();
    let _broker = start(version, &port.to_string()).line(&format!("listener {port}")).start();
    let addresses: [SocketAddr; 2] = [transport::local(port), (Ipv6Addr::LOCALHOST, port).into()];
    for address in addresses {
        play(|| Client::over(transport::tcp(address)), exact);
    }
}

fn a_fault_has_its_own_code(version: Version) {
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

/// Many clients at one address: each answer is written only to its client.
fn only_the_refused_client_is_written_to(version: Version) {
    let port = free_port();
    let broker =
        start(version, &port.to_string()).option("one_connection", "no").port(port).start();
    let mut stay: Vec<Client> = (0..20)
        .map(|n| {
            let connect =
                METER.connect(iotda_core::login::SignType::Sha256, &format!("29990101{n:02}"));
            let (client, answer) = Client::connect(&broker, &connect);
            assert_eq!(answer, ACCEPTED);
            client
        })
        .collect();
    // Some have connected and sent nothing.
    let mut silent: Vec<Client> = (0..20).map(|_| Client::dial(&broker)).collect();
    for level in VERSIONS {
        for (connect, reason) in refusals() {
            assert_eq!(
                answer(Client::dial(&broker), &connect.level(level)),
                exact(level, id(reason))
            );
        }
    }
    assert!(stay.iter_mut().all(Client::is_alive));
    for client in &mut silent {
        client.send(&LAMP.connect_now().packet());
        assert_eq!(client.answer(), ACCEPTED);
    }
}

fn a_sweep_writes_to_nobody(version: Version) {
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

/// The plugin's warnings that refusals on a listed port are not exact.
fn doubts(broker: &Broker) -> Vec<String> {
    let log = broker.log();
    let doubts =
        log.lines().filter(|line| line.contains("plugin_opt_exact_connack_ports: on port "));
    doubts.map(String::from).collect()
}

fn an_answer_that_is_not_exact_is_warned_of_once(version: Version) {
    let [plain, tls, web, other] = [(); 4].map(|()| free_port());
    let wrong = LAMP.connect_now().password("0".repeat(64));
    for (listed, reason) in [(tls, "as TLS does"), (web, "for it is a WebSocket listener")] {
        let setup = start(version, &format!("{plain}, {listed}")).port(plain);
        let lines = transport::tls_lines(setup.scratch());
        let path = setup.scratch().path().join("s");
        let broker = setup
            .line(&format!("listener {tls} 127.0.0.1\n{lines}"))
            .line(&format!("listener {web} 127.0.0.1\nprotocol websockets"))
            .line(&format!("listener {other} 127.0.0.1\nlistener 0 {}", path.display()))
            .start();
        let dial = |port: u16| match port {
            port if port == tls => Client::over(transport::tls(port, &[])),
            port if port == web => Client::over(transport::web_socket(port)),
            0 => Client::over(transport::unix(&path)),
            port => Client::over(transport::tcp(transport::local(port))),
        };
        let not_listed = if listed == tls { web } else { tls };
        for port in [plain, not_listed, other, 0] {
            answer(dial(port), &wrong);
        }
        assert_eq!(doubts(&broker), [""; 0]);
        for _ in 0..3 {
            answer(dial(listed), &wrong);
        }
        let told = doubts(&broker);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains(&format!(" port {listed} ")) && told[0].contains(reason),
            "{told:?}"
        );
    }
}

/// PROXY headers, and the address that the broker then has for the client.
fn headers(listener: SocketAddr) -> Vec<(Vec<u8>, &'static str)> {
    use transport::{
        ProxyCommand, TCP_IPV4, TCP_IPV6, UNIX_STREAM, proxy_header, proxy_header_from,
    };
    let v4 = proxy_header_from(([203, 0, 113, 9], 50_000).into(), listener);
    let to = SocketAddr::from((Ipv6Addr::LOCALHOST, listener.port()));
    let v6 = proxy_header_from("[2001:db8::9]:50000".parse().unwrap(), to);
    // What HAProxy adds with unique-id and ssl-cn: a type, a length, a value.
    let more = [&v4[16..], &[5, 0, 100], &[b'u'; 100], &[0x20, 0, 12, 1, 0, 0, 0, 0, 0x22, 0, 4]];
    // 2.1.2 takes what follows the path for more of these, and their lengths must come out even.
    let path = [b"/run/apps.sock".as_slice(), &[0; 216 - 14]].concat();
    vec![
        (
            proxy_header(ProxyCommand::Proxy, TCP_IPV4, &[&more.concat()[..], b"lamp"].concat()),
            "203.0.113.9",
        ),
        // The client may be on the proxy's own host, or have no address.
        (proxy_header_from(([127, 0, 0, 1], 50_000).into(), listener), "127.0.0.1"),
        (proxy_header(ProxyCommand::Proxy, UNIX_STREAM, &path), "/run/apps.sock"),
        // The broker treats LOCAL with addresses as a client.
        (proxy_header(ProxyCommand::Local, TCP_IPV4, &v4[16..]), "203.0.113.9"),
        (proxy_header(ProxyCommand::Local, TCP_IPV6, &v6[16..]), "2001:db8::9"),
        (v4, "203.0.113.9"),
        (v6, "2001:db8::9"),
    ]
}

/// A broker with a listener that takes PROXY, and the port of that.
fn start_behind_a_proxy(version: Version, protocol: u8, lines: &str) -> (Broker, u16) {
    let port = free_port();
    let broker = start(version, &port.to_string())
        .line(&format!("listener {port} 127.0.0.1\nenable_proxy_protocol {protocol}\n{lines}"))
        .start();
    (broker, port)
}

fn every_refusal_is_exact_behind_a_proxy(version: Version) {
    let (broker, port) = start_behind_a_proxy(version, 2, "");
    for (header, address) in headers(transport::local(port)) {
        play(|| Client::over(transport::by_proxy(port, &header)), exact);
        let told = broker.refusals();
        assert!(told[0].contains("address=203.0.113.9 reason="), "{told:?}");
        let accepted = LAMP.connect_now();
        let mut client = Client::over(transport::by_proxy(port, &header));
        client.send(&accepted.packet());
        assert_eq!(client.answer(), ACCEPTED);
        let seen = format!("New client connected from {address}:");
        assert!(broker.log().contains(&seen), "{seen}\n{}", broker.log());
    }
    assert_eq!(doubts(&broker), [""; 0]);
    // A ClientId that the broker generates is longer than the one that was sent.
    for header in headers(transport::local(port)) {
        let nameless = Client::over(transport::by_proxy(port, &header.0));
        assert_eq!(answer(nameless, &Connect::new("")), exact(4, "bad_client_id"));
    }
}

fn every_refusal_is_exact_behind_a_proxy_that_speaks_v1(version: Version) {
    let (broker, port) = start_behind_a_proxy(version, 1, "");
    for header in [
        "PROXY TCP4 203.0.113.9 127.0.0.1 50000 1883\r\n",
        "PROXY TCP6 2001:db8::9 ::1 50000 1883\r\n",
        "PROXY TCP6 :: :: 1 1\r\n",
        // 2.1.2 wants text after the word, and then uses the peer's address.
        "PROXY UNKNOWN \r\n",
    ] {
        play(|| Client::over(transport::by_proxy(port, header.as_bytes())), exact);
    }
    assert_eq!(doubts(&broker), [""; 0]);
}

/// The proxy's own connections, and headers that the broker does not accept, do not reach the plugin.
fn health_checks_do_not_reach_the_plugin(version: Version) {
    use transport::{ProxyCommand, UDP_IPV4, UNSPEC, proxy_header};
    let (broker, port) = start_behind_a_proxy(version, 2, "");
    for header in [
        proxy_header(ProxyCommand::Local, UNSPEC, &[]),
        proxy_header(ProxyCommand::Local, UNSPEC, &[0; 12]),
        proxy_header(ProxyCommand::Proxy, UNSPEC, &[]),
        proxy_header(ProxyCommand::Proxy, UDP_IPV4, &[0; 12]),
        proxy_header(ProxyCommand::Proxy, transport::TCP_IPV4, &[]),
        // No header at all.
        Vec::new(),
    ] {
        let wrong = LAMP.connect_now().password("0".repeat(64));
        let client = Client::over(transport::by_proxy(port, &header));
        assert_eq!(answer(client, &wrong), b"", "{header:02x?}");
    }
    assert_eq!(broker.refusals(), [""; 0]);
    assert_eq!(doubts(&broker), [""; 0]);
}

fn web_sockets_behind_a_proxy_are_left_alone(version: Version) {
    let (broker, port) = start_behind_a_proxy(version, 2, "protocol websockets");
    let (header, _) = headers(transport::local(port)).pop().unwrap();
    play(
        || Client::over(transport::web_socket_over(transport::by_proxy(port, &header), &[])),
        |level, id| stock(version, level, id),
    );
    let told = doubts(&broker);
    assert!(told.len() == 1 && told[0].contains("for it is a WebSocket listener"), "{told:?}");
}

/// All clients come from the proxy: each answer is written only to its client, however much of their first packet the others
/// have sent.
fn only_the_refused_client_behind_a_proxy_is_written_to(version: Version) {
    let port = free_port();
    let broker = start(version, &port.to_string())
        .option("one_connection", "no")
        .line(&format!("listener {port} 127.0.0.1\nenable_proxy_protocol 2"))
        .start();
    let (header, _) = headers(transport::local(port)).pop().unwrap();
    let dial = || Client::over(transport::by_proxy(port, &header));
    let mut waiting: Vec<(Client, Connect, usize)> = (0..60)
        .map(|n| {
            let stamp = format!("299901{:02}{:02}", 1 + n / 24, n % 24);
            let connect = METER.connect(iotda_core::login::SignType::Sha256, &stamp);
            let packet = connect.packet();
            // Nothing, half, and everything except the last byte.
            let sent = [0, packet.len() / 2, packet.len() - 1][n % 3];
            let mut client = dial();
            client.send(&packet[..sent]);
            (client, connect, sent)
        })
        .collect();
    for level in VERSIONS {
        for (connect, reason) in refusals() {
            assert_eq!(answer(dial(), &connect.level(level)), exact(level, id(reason)));
        }
    }
    for (client, connect, sent) in &mut waiting {
        client.send(&connect.packet()[*sent..]);
        assert_eq!(client.answer(), ACCEPTED);
    }
    assert_eq!(doubts(&broker), [""; 0]);
}
