//! A login that the plugin accepts and the broker turns away: the log does not end with `accepted`.

use support::{
    broker::{Setup, wait},
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    max_connections_comes_before_the_login
    ; from 2.1: a_login_beyond_the_most_clients_is_told
);

/// Each broker counts connections when it takes them, before any plugin is asked: so nothing is accepted that is turned away.
fn max_connections_comes_before_the_login(version: Version) {
    let broker = Setup::new(version)
        .secrets(secrets())
        .line_before("log_type all")
        .line("max_connections 1")
        .start();
    let mut accepted = 0;
    let mut come = |device: Device| {
        let (client, answer) = Client::connect(&broker, &device.connect_now());
        accepted += usize::from(answer == ACCEPTED);
        (answer == ACCEPTED).then_some(client)
    };
    // The connection that has found out that the broker listens may still be counted.
    let lamp = wait(|| come(LAMP));
    assert!(lamp.is_some(), "{}", broker.log());
    // 2.0.11 counts one too few after it has turned one away.
    let meters: Vec<_> = (0..4).map(|_| come(METER)).collect();
    broker.wait_for_log("max_connections exceeded");
    assert_eq!(broker.log().matches("iotda-auth: accepted").count(), accepted, "{}", broker.log());
    drop(meters);
}

fn a_login_beyond_the_most_clients_is_told(version: Version) {
    let broker = Setup::new(version)
        .secrets(secrets())
        .line_before("log_type all\nglobal_max_clients 1")
        .start();
    let (mut lamp, answer) = Client::connect(&broker, &LAMP.connect_now());
    assert_eq!(answer, ACCEPTED);
    let told = "iotda-auth: turned away by the broker client=";
    for round in 1..=12 {
        let mut meter = Client::dial(&broker);
        meter.send(&METER.connect_now().packet());
        assert_eq!(meter.rest(), b"");
        broker.wait_for_log_count("iotda-auth: accepted", round + 1);
    }
    // A device that tries for ever fills no log.
    assert_eq!(broker.log().matches(told).count(), 10, "{}", broker.log());
    let line = format!("{told}\"{}_0_", METER.id);
    assert!(broker.log().contains(&line), "{}", broker.log());
    assert!(broker.log().contains(": it was accepted here; is global_max_clients reached?"));
    // Who was let in leaves without such a line.
    assert!(lamp.is_alive());
    lamp.disconnect();
    let (meter, answer) = Client::connect(&broker, &METER.connect_now());
    assert_eq!(answer, ACCEPTED);
    drop(meter);
    broker.wait_for_log("disconnected: connection closed by client");
    assert_eq!(broker.log().matches(told).count(), 10, "{}", broker.log());
}
