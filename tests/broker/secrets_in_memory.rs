//! A secret that is no longer in force is not in the broker's memory, whole or in part.

use crate::reload::{connect, reload, write};
use iotda_core::login::SignType::{Sha256, Sm3Timestamp};
use support::{
    broker::{Broker, Setup, wait},
    device::Device,
    memory::places_of,
    mqtt::{ACCEPTED, Client, not_authorized},
    on_every_broker,
    version::Version,
};

on_every_broker!(secrets_are_wiped);

// No part of these occurs in anything else in a broker's memory.
const STAYS: Device = Device { id: "stays", secret: "c4pYwQm29ZrTk8Vh" };
const UNUSED: Device = Device { id: "unused", secret: "uN7hVx31LkEsQp6d" };
const OFFLINE: Device = Device { id: "offline", secret: "Gz5rXb2tWq9LfYc7" };
const ONLINE: Device = Device { id: "online", secret: "jH3nTd8vRm6sKx4B" };
const BEFORE: Device = Device { id: "renewed", secret: "Pw7yCf4gZb2qNe9S" };
const AFTER: Device = Device { id: "renewed", secret: "dM6kUv3xJt8hRa5L" };
const SECOND: Device = Device { id: "rotated", secret: "xQ9bFs4wHc7nVg2Y" };
const IN_A_WRONG_FILE: Device = Device { id: "wrong", secret: "tE8mLp5jXd3zKr6W" };

/// Where the halves of a device's secret are: a spilled register holds half a secret.
fn places(broker: &Broker, device: Device) -> Vec<String> {
    let (first, last) = device.secret.as_bytes().split_at(8);
    // As the key of an HMAC, a secret is kept with all its bits turned in one of two ways (RFC 2104).
    let half = |half: &[u8], pad: u8| half.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
    let halves =
        [first, last].into_iter().flat_map(|text| [0, 0x36, 0x5C].map(|pad| half(text, pad)));
    halves.flat_map(|half| places_of(broker.pid(), &half)).collect()
}

fn line(device: Device) -> String {
    format!("{}:{}\n", device.id, device.secret)
}

fn secrets_are_wiped(version: Version) {
    let rotated = "rotated:Zs2vGk7pMn4cBt9x";
    let before = [STAYS, UNUSED, OFFLINE, ONLINE, BEFORE].map(line).concat();
    let broker = Setup::new(version)
        .secrets(format!("{before}{rotated}:secondary={}\n", SECOND.secret))
        .option("timestamp_max_ahead", "unlimited")
        .start();

    for device in [STAYS, UNUSED, OFFLINE, ONLINE, BEFORE, SECOND] {
        // Both halves of each are found while they are in force, so they would also be found later.
        assert!(places(&broker, device).len() >= 2, "{}", device.id);
    }

    // A login leaves no copy behind, neither on the stack nor where part of a stack was copied to.
    for device in [STAYS, OFFLINE, BEFORE, SECOND] {
        let before = places(&broker, device);
        for sign_type in [Sha256, Sm3Timestamp] {
            let connect = device.connect(sign_type, "2999010100");
            assert_eq!(Client::connect(&broker, &connect).1, ACCEPTED);
            assert_eq!(places(&broker, device), before, "{} {sign_type:?}", device.id);
            // Neither does a refused one, which is compared with what the device may have done wrong.
            for password in ["0", "A"].map(|digit| digit.repeat(64)) {
                assert_ne!(
                    Client::connect(&broker, &connect.clone().password(password)).1,
                    ACCEPTED
                );
                assert_eq!(places(&broker, device), before, "{} {sign_type:?}", device.id);
            }
        }
    }
    let (mut online, answer) = Client::connect(&broker, &connect(ONLINE));
    assert_eq!(answer, ACCEPTED);
    write(&broker, &format!("{}{}{rotated}\n", line(STAYS), line(AFTER)));
    let told = reload(&broker);
    assert!(told.contains("3 devices, 0 added, 3 removed, 2 changed"), "{told}");
    online.rest();

    for device in [UNUSED, OFFLINE, ONLINE, BEFORE, SECOND] {
        // The thread wipes the previous table a little later.
        let wiped = wait(|| places(&broker, device).is_empty());
        assert!(wiped.is_some(), "{}: {:#?}", device.id, places(&broker, device));
        assert_eq!(Client::connect(&broker, &connect(device)).1, not_authorized(4));
    }

    // A file that never came into force leaves nothing either.
    write(&broker, &format!("{}{}wrong\n", line(STAYS), line(IN_A_WRONG_FILE)));
    assert!(reload(&broker).contains("not reloaded, 3 devices stay"));
    for device in [IN_A_WRONG_FILE, UNUSED, OFFLINE, ONLINE, BEFORE, SECOND] {
        assert_eq!(places(&broker, device), [""; 0], "{}", device.id);
    }
    for device in [STAYS, AFTER] {
        assert!(places(&broker, device).len() >= 2, "{}", device.id);
        assert_eq!(Client::connect(&broker, &connect(device)).1, ACCEPTED);
    }
}
