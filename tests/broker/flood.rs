//! The log in a flood: the first refusals of each reason in full, then a number; and what is said at the end.

use crate::support::{
    broker::{Setup, on_every_broker},
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client},
};
use mosquitto_iotda_auth::login::SignType::Sha256;
use std::fs;

on_every_broker!(
    a_flood_is_thinned,
    many_disconnections_are_thinned,
    acceptances_are_for_debugging
);

fn a_flood_is_thinned(version: &str) {
    let mut broker = Setup::new(version).secrets(secrets()).start();
    let stranger = Device { id: "stranger", secret: "strangersecret" };
    for _ in 0..50 {
        Client::connect(&broker, &LAMP.connect_now().password("0".repeat(64)));
        Client::connect(&broker, &stranger.connect_now());
    }
    Client::connect(&broker, &METER.connect_now().keep_alive(0));
    assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED);
    let lines = broker.refusals();
    for (reason, count) in [("wrong_password", 10), ("unknown_device", 10), ("bad_keepalive", 1)] {
        let found = lines.iter().filter(|line| line.contains(&format!("reason={reason}"))).count();
        assert_eq!(found, count, "{reason}");
    }
    broker.reload();
    let counters = "iotda-auth: since the start: accepted=1 deferred=0 refused=101 bad_keepalive=1 unknown_device=50 \
                    wrong_password=50 rechecked=";
    broker.wait_for_log(counters);
    // The rest of a minute is told when the minute is over, or at the end.
    broker.stop();
    let left_out = "iotda-auth: refused 80 more, not shown: unknown_device=40 wrong_password=40";
    assert_eq!(broker.log().matches(left_out).count(), 1, "{}", broker.log());
    assert!(broker.log().matches(counters).count() >= 2, "{}", broker.log());
}

fn many_disconnections_are_thinned(version: &str) {
    let file: String = (0..30).map(|n| format!("lamp-{n}:secretsecret\n")).collect();
    let broker = Setup::new(version).secrets(format!("{}{file}", secrets())).start();
    let clients: Vec<Client> = (0..30)
        .map(|n| {
            let id: &'static str = format!("lamp-{n}").leak();
            let device = Device { id, secret: "secretsecret" };
            Client::connect(&broker, &device.connect(Sha256, "2999010100")).0
        })
        .collect();
    fs::write(broker.secrets(), secrets()).unwrap();
    broker.reload();
    broker.wait_for_log("0 logged in, 30 disconnected");
    assert_eq!(broker.log().matches("iotda-auth: disconnected client=").count(), 10);
    broker.wait_for_log("iotda-auth: disconnected 20 more, not shown: unknown_device=20");
    for mut client in clients {
        client.rest();
    }
}

fn acceptances_are_for_debugging(version: &str) {
    let quiet = Setup::new(version).secrets(secrets()).start();
    let loud = Setup::new(version).secrets(secrets()).line("log_type all").start();
    for broker in [&quiet, &loud] {
        assert_eq!(Client::connect(broker, &LAMP.connect_now()).1, ACCEPTED);
    }
    loud.wait_for_log("iotda-auth: accepted client=\"64a1f0c2_lamp-01_0_1_");
    assert!(!quiet.log().contains("iotda-auth: accepted"), "{}", quiet.log());
    assert!(!loud.log().contains(LAMP.secret));
}
