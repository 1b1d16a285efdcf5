//! `mosquitto.acl.example`: each device has its own topics, by direction, and nobody else's.

use super::other_clients::{backend, with_password_file};
use iotda_core::login::SignType::Sha256;
use std::fs;
use support::{
    broker::{Broker, installation},
    device::{Device, LAMP, METER},
    library::root,
    mqtt::{ACCEPTED, Client, Connect},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    devices_have_their_own_topics,
    topics_outside_oc_are_open_once_the_line_is_in_force;
    from 2.1: the_acl_plugin_reads_the_same_file
);

/// From a device to the platform, below `$oc/devices/{device id}/`.
const UP: [&str; 17] = [
    "sys/messages/up",
    "sys/messages/up?request_id=42",
    "sys/properties/report?request_id=42",
    "sys/gateway/sub_devices/properties/report?request_id=42",
    "sys/bootstrap/up",
    "sys/messages/up?encoding=gzip",
    "sys/properties/report",
    "sys/properties/report?encoding=gzip",
    "sys/gateway/sub_devices/properties/report",
    "sys/gateway/sub_devices/properties/report?encoding=gzip",
    "sys/commands/response/request_id=1",
    "sys/properties/set/response/request_id=1",
    "sys/properties/get/response/request_id=1",
    "sys/shadow/get/request_id=1",
    "sys/events/up",
    "user/telemetry/x",
    "user/telemetry/x?request_id=42",
];

/// From the platform to a device.
const DOWN: [&str; 8] = [
    "sys/messages/down",
    "sys/commands/request_id=1",
    "sys/properties/set/request_id=1",
    "sys/properties/get/request_id=1",
    "sys/shadow/get/response/request_id=1",
    "sys/events/down",
    "sys/bootstrap/down",
    "user/setpoint",
];

/// What the SDKs subscribe to, and then what a curious device would.
const FILTERS: [&str; 8] = [
    "sys/messages/down",
    "sys/commands/#",
    "sys/properties/set/#",
    "sys/properties/get/#",
    "sys/shadow/get/response/#",
    "sys/events/down",
    "user/#",
    "#",
];

fn topic(device: Device, below: &str) -> String {
    format!("$oc/devices/{}/{below}", device.id)
}

fn login(broker: &Broker, connect: &Connect) -> Client {
    let (client, answer) = Client::connect(broker, connect);
    assert_eq!(answer, ACCEPTED, "{}", broker.log());
    client
}

fn connect(device: Device) -> Connect {
    device.connect(Sha256, "2999010100")
}

/// The topics that have come to a client, up to the one that ends a test.
fn topics_until(client: &mut Client, end: &str) -> Vec<String> {
    let mut topics = Vec::new();
    loop {
        let publish = client.receive().expect("a message");
        assert_eq!(publish[0] & 0xF0, 0x30, "{publish:02x?}");
        // The lengths are short: one byte of remaining length, one of the topic's.
        let length = usize::from(publish[3]);
        let topic = String::from_utf8_lossy(&publish[4..4 + length]).into_owned();
        if publish[0] & 0x06 != 0 {
            client.acknowledge(&publish);
        }
        if topic == end {
            return topics;
        }
        topics.push(topic);
    }
}

fn play(broker: &Broker) {
    let mut service = login(broker, &backend());
    service.subscribe(4, "$oc/#");
    service.subscribe(4, "#");
    let mut lamp = login(broker, &connect(LAMP));
    for filter in FILTERS {
        lamp.subscribe(4, &topic(LAMP, filter));
        lamp.subscribe(4, &topic(METER, filter));
    }
    for filter in ["#", "+/#", "$oc/#", "$oc/devices/+/#", "$oc/devices/+/sys/commands/#"] {
        lamp.subscribe(4, filter);
    }

    // Up: messages to its own topics arrive, those to the other device's and the platform's do not.
    for (device, below) in
        UP.iter().map(|below| (LAMP, below)).chain(UP.iter().map(|below| (METER, below)))
    {
        lamp.publish_unread(4, &topic(device, below));
    }
    for below in DOWN.iter().filter(|below| !below.starts_with("user/")) {
        // The pattern that takes any ending of messages/up takes this too.
        if *below != "sys/messages/down" {
            lamp.publish_unread(4, &topic(LAMP, below));
        }
        lamp.publish_unread(4, &topic(METER, below));
    }
    lamp.publish_unread(4, "elsewhere");
    let end = topic(LAMP, "user/last");
    lamp.publish_unread(4, &end);
    let mut expected: Vec<String> = UP.iter().map(|below| topic(LAMP, below)).collect();
    let mut found = topics_until(&mut service, &end);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    // Down: its own arrive, the other's do not; nor does what it has sent itself, but for its product's own topics.
    for below in DOWN {
        service.publish_unread(4, &topic(LAMP, below));
        service.publish_unread(4, &topic(METER, below));
    }
    for below in UP.iter().filter(|below| !below.starts_with("user/")) {
        service.publish_unread(4, &topic(METER, below));
    }
    service.publish_unread(4, "elsewhere");
    let end = topic(LAMP, "user/end");
    service.publish_unread(4, &end);
    let found: std::collections::BTreeSet<String> =
        topics_until(&mut lamp, &end).into_iter().collect();
    let expected: std::collections::BTreeSet<String> = DOWN
        .iter()
        .map(|below| topic(LAMP, below))
        .chain(UP.iter().filter(|below| below.starts_with("user/")).map(|below| topic(LAMP, below)))
        .chain([topic(LAMP, "user/last")])
        .collect();
    assert_eq!(found, expected);
}

fn devices_have_their_own_topics(version: Version) {
    let example = root().join("mosquitto.acl.example");
    let setup = with_password_file(version, "defer");
    let file = setup.scratch().file("acl", fs::read(example).unwrap());
    play(&setup.line(&format!("acl_file {}", file.display())).start());
}

/// 2.1 has a plugin for it.
fn the_acl_plugin_reads_the_same_file(version: Version) {
    let plugin =
        installation(version).join("root/usr/lib/x86_64-linux-gnu/mosquitto/mosquitto_acl_file.so");
    let example = fs::read_to_string(root().join("mosquitto.acl.example")).unwrap();
    assert!(example.contains("mosquitto_acl_file.so\n") && example.contains("plugin_opt_acl_file"));
    let setup = with_password_file(version, "defer");
    let file = setup.scratch().file("acl", example);
    play(
        &setup
            .line(&format!("plugin {}\nplugin_opt_acl_file {}", plugin.display(), file.display()))
            .start(),
    );
}

/// As on the platform by default.
fn topics_outside_oc_are_open_once_the_line_is_in_force(version: Version) {
    let example = fs::read_to_string(root().join("mosquitto.acl.example")).unwrap();
    assert_eq!(example.matches("\n#pattern readwrite #\n").count(), 1);
    for (open, expected) in [(false, vec![]), (true, vec!["/test/M2M/01".to_string()])] {
        let content =
            if open { example.replace("\n#pattern", "\npattern") } else { example.clone() };
        let setup = with_password_file(version, "defer");
        let file = setup.scratch().file("acl", content);
        let broker = setup.line(&format!("acl_file {}", file.display())).start();
        let (mut lamp, mut meter) =
            (login(&broker, &connect(LAMP)), login(&broker, &connect(METER)));
        let end = topic(METER, "user/end");
        meter.subscribe(4, "#");
        meter.subscribe(4, &end);
        lamp.publish_unread(4, "/test/M2M/01");
        // Nothing of $oc goes with it, and one round trip shows that the broker has seen both.
        lamp.publish_unread(4, &topic(METER, "sys/commands/request_id=1"));
        assert!(lamp.is_alive());
        meter.publish_unread(4, &end);
        assert_eq!(topics_until(&mut meter, &end), expected);
    }
}
