//! One connection a device, although its ClientId changes every hour.

use iotda_core::login::SignType::Sha256;
use support::{
    broker::{Broker, Setup, wait},
    device::{LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS, packet, string},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    a_new_login_ends_the_earlier_connection,
    a_new_login_ends_the_earlier_connection_with_per_listener_settings,
    the_same_client_id_is_left_to_the_broker,
    both_connections_stay_without_one_connection,
    the_will_of_the_earlier_connection_is_published,
    a_refused_login_ends_nothing,
);

fn at_hour(hour: u8) -> Connect {
    LAMP.connect(Sha256, &format!("20990101{hour:02}"))
}

fn login(broker: &Broker, connect: &Connect) -> Client {
    let (client, answer) = Client::connect(broker, connect);
    assert_eq!(answer, ACCEPTED, "{}", broker.log());
    client
}

/// How often the plugin's log says that a connection was ended for a new login.
fn ended(broker: &Broker) -> usize {
    broker.log().matches("iotda-auth: disconnected client=\"64a1f0c2_lamp-01_0_0_20990101").count()
}

fn ends(version: Version, per_listener_settings: bool) {
    let broker = Setup::new(version)
        .line_before(&format!("per_listener_settings {per_listener_settings}"))
        .secrets(secrets())
        .start();
    let mut meter = login(&broker, &METER.connect(Sha256, "2099010100"));
    for level in VERSIONS {
        let mut first = login(&broker, &at_hour(1).level(level));
        let mut second = login(&broker, &at_hour(2).level(level));
        first.rest();
        assert!(second.is_alive(), "{}", broker.log());
        let mut third = login(&broker, &at_hour(3).level(level).persistent());
        second.rest();
        broker.reload();
        assert!(third.is_alive() && meter.is_alive(), "{}", broker.log());
        third.disconnect();
    }
    assert_eq!(ended(&broker), 2 * VERSIONS.len(), "{}", broker.log());
}

fn a_new_login_ends_the_earlier_connection(version: Version) {
    ends(version, false);
}

fn a_new_login_ends_the_earlier_connection_with_per_listener_settings(version: Version) {
    ends(version, true);
}

fn the_same_client_id_is_left_to_the_broker(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let mut last = login(&broker, &at_hour(1));
    for level in VERSIONS {
        let mut next = login(&broker, &at_hour(1).level(level));
        last.rest();
        assert!(next.is_alive());
        last = next;
    }
    assert_eq!(ended(&broker), 0, "{}", broker.log());
}

fn both_connections_stay_without_one_connection(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("one_connection", "no").start();
    let mut clients: Vec<Client> = (0..5).map(|hour| login(&broker, &at_hour(hour))).collect();
    assert!(clients.iter_mut().all(Client::is_alive), "{}", broker.log());
    assert_eq!(ended(&broker), 0);
}

/// As at a take-over by the broker itself: the earlier connection has not sent DISCONNECT.
fn the_will_of_the_earlier_connection_is_published(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let mut meter = login(&broker, &METER.connect(Sha256, "2099010100"));
    meter.subscribe(4, "wills");
    let plain = at_hour(1);
    let fields = [
        string(&plain.client_id),
        string(b"wills"),
        string(b"gone"),
        string(LAMP.id.as_bytes()),
        string(plain.password.as_ref().unwrap()),
    ];
    let body = [string(b"MQTT"), vec![4, 0xC6, 0, 120], fields.concat()].concat();
    let mut first = Client::dial(&broker);
    first.send(&packet(0x10, &body));
    assert_eq!(first.answer(), ACCEPTED);
    let _second = login(&broker, &at_hour(2));
    let will = meter.receive().expect("the will");
    assert!(will.ends_with(b"gone"), "{will:02x?}");
}

fn a_refused_login_ends_nothing(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let mut lamp = login(&broker, &at_hour(1));
    for wrong in [
        at_hour(2).password("0".repeat(64)),
        at_hour(2).keep_alive(0),
        at_hour(2).username(METER.id),
    ] {
        assert_ne!(Client::connect(&broker, &wrong).1, ACCEPTED);
    }
    assert!(lamp.is_alive());
    // An incomplete login ends nothing either.
    let mut half = Client::dial(&broker);
    half.send(&at_hour(2).packet()[..60]);
    drop(half);
    assert!(wait(|| lamp.is_alive()).is_some());
}
