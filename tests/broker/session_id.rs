//! `session_id device`: a device's session outlives the hour, on brokers that can do that.

use iotda_core::login::SignType::Sha256;
use std::fs;
use support::{
    broker::Setup,
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    earlier_brokers_say_why_they_do_not_start,
    ; from 2.1:
    subscriptions_and_messages_survive_the_hour,
    a_new_login_takes_the_session_over,
    removed_devices_are_disconnected,
    no_other_client_takes_a_devices_name,
);

fn at_hour(device: Device, hour: u8) -> Connect {
    device.connect(Sha256, &format!("20990101{hour:02}"))
}

fn setup(version: Version) -> Setup {
    let setup = Setup::new(version).secrets(secrets()).option("session_id", "device");
    let folder = setup.scratch().path().display().to_string();
    setup.line("persistence true").line(&format!("persistence_location {folder}/"))
}

fn earlier_brokers_say_why_they_do_not_start(version: Version) {
    let setup = Setup::new(version).secrets(secrets()).option("session_id", "device");
    if version.names_sessions() {
        setup.start();
        return;
    }
    let log = setup.fail();
    assert!(
        log.contains(
            "iotda-auth: not started: plugin_opt_session_id: device is for Mosquitto 2.1 and later"
        ),
        "{log}"
    );
}

fn subscriptions_and_messages_survive_the_hour(version: Version) {
    let setup = setup(version);
    let mut broker = setup.start();
    for (round, level) in VERSIONS.into_iter().enumerate() {
        let hour = u8::try_from(3 * round).unwrap();
        let topic = format!("news/{level}");
        let (mut lamp, _) =
            Client::connect(&broker, &at_hour(LAMP, hour).level(level).persistent());
        lamp.subscribe(level, &topic);
        drop(lamp);
        broker.reload();
        Client::connect(&broker, &at_hour(METER, 0)).0.publish(4, &topic, b"first");
        // In the broker's file the session has the device id too.
        broker.restart();
        broker.reload();
        Client::connect(&broker, &at_hour(METER, 1)).0.publish(4, &topic, b"second");

        let mut lamp = Client::dial(&broker);
        lamp.send(&at_hour(LAMP, hour + 1).level(level).persistent().packet());
        let connack = lamp.receive().unwrap();
        // MQTT 3.1 has no flag for this.
        assert_eq!(
            (connack[2], connack[3]),
            (u8::from(level > 3), 0),
            "the session is there: {connack:02x?}"
        );
        for expected in ["first", "second"] {
            let publish = lamp.receive().expect("a queued message");
            assert!(publish.ends_with(expected.as_bytes()), "{publish:02x?}");
            lamp.acknowledge(&publish);
        }
        broker.reload();
        assert!(lamp.is_alive(), "{}", broker.log());
    }
    assert!(broker.refusals().is_empty(), "{:?}", broker.refusals());
}

fn a_new_login_takes_the_session_over(version: Version) {
    let setup = setup(version);
    let broker = setup.start();
    for level in VERSIONS {
        let (mut first, _) = Client::connect(&broker, &at_hour(LAMP, 1).level(level));
        let (mut second, answer) = Client::connect(&broker, &at_hour(LAMP, 2).level(level));
        assert_eq!(answer, ACCEPTED);
        first.rest();
        assert!(second.is_alive(), "{}", broker.log());
        broker.reload();
        assert!(second.is_alive(), "{}", broker.log());
    }
    assert!(!broker.log().contains("iotda-auth: disconnected"), "{}", broker.log());
}

fn removed_devices_are_disconnected(version: Version) {
    let setup = setup(version);
    let broker = setup.start();
    let (mut lamp, _) = Client::connect(&broker, &at_hour(LAMP, 1).persistent());
    let (mut meter, _) = Client::connect(&broker, &at_hour(METER, 1));
    fs::write(broker.secrets(), format!("{}:{}\n", METER.id, METER.secret)).unwrap();
    broker.reload();
    broker.wait_for_log("1 logged in, 1 disconnected");
    lamp.rest();
    assert!(meter.is_alive());
    broker.reload();
    assert!(meter.is_alive());
}

/// A back-end service with a device id as its ClientId would get the device's messages.
fn no_other_client_takes_a_devices_name(version: Version) {
    let setup = setup(version);
    let broker = setup.option("other_clients", "defer").line("allow_anonymous true").start();
    let (mut lamp, _) = Client::connect(&broker, &at_hour(LAMP, 1));
    let thief = Connect::new(LAMP.id);
    assert_eq!(Client::connect(&broker, &thief).1, Answer::Connack(5));
    assert!(broker.refusals()[0].contains("reason=bad_client_id"));
    assert_eq!(Client::connect(&broker, &Connect::new("backend")).1, ACCEPTED);
    assert!(lamp.is_alive());
}
