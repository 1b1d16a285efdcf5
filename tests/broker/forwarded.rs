//! X-Forwarded-For: Mosquitto 2.0.15 to 2.0.22 take a WebSocket client's address from it, and any client may send it. The
//! plugin uses such an address for nothing.

use support::{
    broker::{Broker, Setup, free_port},
    device::{LAMP, METER, secrets},
    mqtt::{ACCEPTED, Answer, Client, Connect},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(
    nobody_is_held_to_an_address_that_a_client_chose,
    an_address_that_is_certain_counts
);

struct Ground {
    broker: Broker,
    web_socket: u16,
    tls: u16,
}

fn start(version: Version) -> Ground {
    let [web_socket, tls] = [(); 2].map(|()| free_port());
    let setup = Setup::new(version).secrets(secrets()).option("failure_limit", "4/1h");
    let lines = transport::tls_lines(setup.scratch());
    let broker = setup
        .line(&format!("listener {web_socket} 127.0.0.1\nprotocol websockets"))
        .line(&format!("listener {tls} 127.0.0.1\n{lines}"))
        .start();
    Ground { broker, web_socket, tls }
}

fn knock(port: u16, headers: &[(&str, &str)], connect: &Connect) -> Answer {
    let mut client = Client::over(transport::web_socket_with(port, headers));
    client.send(&connect.packet());
    client.answer()
}

fn wrong(number: u32) -> Connect {
    LAMP.connect_now().password(format!("{number:064}"))
}

fn nobody_is_held_to_an_address_that_a_client_chose(version: Version) {
    let Ground { broker, web_socket: port, tls } = start(version);
    for number in 0..8 {
        knock(port, &[("X-Forwarded-For", "127.0.0.9")], &wrong(number));
    }
    let refusals = broker.refusals();
    if version.takes_forwarded_for() {
        assert_eq!(refusals.len(), 8, "{refusals:#?}");
        let told = " address=- reason=wrong_password";
        assert!(
            refusals
                .iter()
                .all(|line| line.contains(told) && line.ends_with(" forwarded_for=127.0.0.9")),
            "{refusals:#?}"
        );
    } else {
        // These brokers know the address of the connection, and the limit uses it.
        assert!(refusals.iter().all(|line| !line.contains("127.0.0.9")), "{refusals:#?}");
        assert!(refusals.last().unwrap().contains("reason=rate_limited"), "{refusals:#?}");
    }
    // The client that really has that address is unaffected.
    let mut neighbour = Client::over(transport::tls(tls, &["-bind", "127.0.0.9"]));
    neighbour.send(&METER.connect_now().packet());
    assert_eq!(neighbour.answer(), ACCEPTED, "{}", broker.log());
}

fn an_address_that_is_certain_counts(version: Version) {
    let Ground { broker, web_socket: port, .. } = start(version);
    for number in 0..8 {
        knock(port, &[], &wrong(number));
    }
    let refusals = broker.refusals();
    let address = format!("{}127.0.0.1", version.web_socket_prefix());
    assert!(refusals[0].contains(&format!(" address={address} reason=wrong_password")));
    assert!(refusals.last().unwrap().ends_with("reason=rate_limited"), "{refusals:#?}");
}
