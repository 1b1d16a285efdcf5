//! The wills of devices that are disconnected: the ACL applies to them, and they do not come after messages of the device's
//! next connection.

use iotda_core::login::SignType::Sha256;
use std::{fs, thread::sleep, time::Duration};
use support::{
    broker::{Broker, Setup, free_port, wait},
    device::{Device, LAMP, METER},
    mqtt::{ACCEPTED, Client, Connect, packet, string},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(
    a_removed_devices_will_passes_no_acl,
    a_removed_devices_will_passes_no_acl_with_per_listener_settings,
    a_will_does_not_come_after_the_next_connection,
);

const EVIL: Device = Device { id: "evil", secret: "evilsecret1" };

fn login(device: Device, hour: u8) -> Connect {
    device.connect(Sha256, &format!("29990101{hour:02}"))
}

fn line(device: Device) -> String {
    format!("{}:{}\n", device.id, device.secret)
}

fn connect(broker: &Broker, connect: &Connect) -> Client {
    let (client, answer) = Client::connect(broker, connect);
    assert_eq!(answer, ACCEPTED, "{}", broker.log());
    client
}

/// The broker removes its ACLs before it sends RELOAD: a device disconnected at that moment could publish any will.
fn passes_no_acl(version: Version, per_listener_settings: bool) {
    let setup = Setup::new(version)
        .line_before(&format!("per_listener_settings {per_listener_settings}"))
        .secrets([line(LAMP), line(METER), line(EVIL)].concat());
    let acl = setup.scratch().file("acl", "pattern readwrite $oc/devices/%u/#\n");
    let broker = setup.line(&format!("acl_file {}", acl.display())).start();
    let topic = format!("$oc/devices/{}/sys/commands/request_id=1", LAMP.id);
    let mut lamp = connect(&broker, &login(LAMP, 1));
    lamp.subscribe(4, &format!("$oc/devices/{}/#", LAMP.id));
    // 2.0 checks for signals when a connection wakes it, or each 100 ms.
    for (round, pause) in (0u8..).zip([0, 30, 60, 90, 100, 110, 120, 140]) {
        let mut evil = connect(&broker, &login(EVIL, round).will(&topic, b"evil", false));
        fs::write(broker.secrets(), [line(LAMP), line(METER)].concat()).unwrap();
        // The second finds the new table waiting.
        broker.signal("HUP");
        sleep(Duration::from_millis(pause));
        broker.signal("HUP");
        let ended = wait(|| {
            // If a broker sends no TICK, the next login puts the new table in force.
            connect(&broker, &login(METER, round)).disconnect();
            !evil.is_alive()
        });
        assert!(ended.is_some(), "{}", broker.log());
        fs::write(broker.secrets(), [line(LAMP), line(METER), line(EVIL)].concat()).unwrap();
        let back = wait(|| {
            broker.reload();
            Client::connect(&broker, &login(EVIL, 20)).1 == ACCEPTED
        });
        assert!(back.is_some(), "{}", broker.log());
    }
    // The first message that the lamp gets is its own.
    lamp.publish_unread(4, &format!("$oc/devices/{}/user/own", LAMP.id));
    let first = lamp.receive().expect("a message");
    assert!(first.ends_with(b"user/ownx"), "{}", String::from_utf8_lossy(&first));
}

fn a_removed_devices_will_passes_no_acl(version: Version) {
    passes_no_acl(version, false);
}

fn a_removed_devices_will_passes_no_acl_with_per_listener_settings(version: Version) {
    passes_no_acl(version, true);
}

/// 2.0 only marks a kicked WebSocket, and publishes its will when it closes: `offline`, although the device has long
/// published `online`.
fn a_will_does_not_come_after_the_next_connection(version: Version) {
    let port = free_port();
    let broker = Setup::new(version)
        .secrets([line(LAMP), line(METER)].concat())
        .line(&format!("listener {port} 127.0.0.1\nprotocol websockets"))
        .start();
    let mut observer = connect(&broker, &login(METER, 0));
    observer.subscribe(4, "state");
    let connect = |hour| {
        let mut client = Client::over(transport::web_socket(port));
        client.send(&login(LAMP, hour).will("state", b"offline", true).packet());
        assert_eq!(client.answer(), ACCEPTED, "{}", broker.log());
        client
    };
    let mut first = connect(1);
    // It does not read, so the broker cannot close it.
    first.send(&packet(0x82, &[&[0, 1], string(b"news").as_slice(), &[0]].concat()));
    first.receive().expect("a SUBACK");
    for _ in 0..300 {
        observer.publish(4, "news", &[b'x'; 60_000]);
    }
    let mut second = connect(2);
    second.publish_retained("state", b"online");
    let mut last = Vec::new();
    while !last.ends_with(b"online") {
        last = observer.receive().expect("a message");
        observer.acknowledge_if_asked(&last);
    }
    drop(first);
    assert!(second.is_alive());
    sleep(Duration::from_millis(500));
    observer.publish_unread(4, "state");
    let next = observer.receive().expect("a message");
    assert!(next.ends_with(b"statex"), "{}", String::from_utf8_lossy(&next));
    assert!(second.is_alive(), "{}", broker.log());
}
