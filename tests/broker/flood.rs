//! The log when there are very many refusals: one line for each client, a few more for each reason, then a count; and the
//! last lines when the broker ends.

use iotda_core::login::SignType::Sha256;
use std::fs;
use support::{
    broker::Setup,
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    a_flood_is_thinned,
    a_loud_client_hides_nobody,
    a_flood_of_client_ids_is_thinned,
    many_disconnections_are_thinned,
    acceptances_are_for_debugging
);

fn a_flood_is_thinned(version: Version) {
    let mut broker = Setup::new(version).secrets(secrets()).start();
    let stranger = Device { id: "stranger", secret: "strangersecret" };
    for _ in 0..50 {
        Client::connect(&broker, &LAMP.connect_now().password("0".repeat(64)));
        Client::connect(&broker, &stranger.connect_now());
    }
    Client::connect(&broker, &METER.connect_now().keep_alive(0));
    assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED);
    let lines = broker.refusals();
    for (reason, count) in [("wrong_password", 11), ("unknown_device", 11), ("bad_keepalive", 1)] {
        let found = lines.iter().filter(|line| line.contains(&format!("reason={reason}"))).count();
        assert_eq!(found, count, "{reason}");
    }
    broker.reload();
    let counters = "iotda-auth: since the start: accepted=1 deferred=0 refused=101 bad_keepalive=1 unknown_device=50 \
                    wrong_password=50 rechecked=";
    broker.wait_for_log(counters);
    broker.wait_for_log("iotda-auth: recognised so far: wrong_password: 50 other");
    // The rest of a minute is logged when the minute is over, or at the end.
    broker.stop();
    let left_out = "iotda-auth: refused 78 more, not shown: unknown_device=39 wrong_password=39";
    assert_eq!(broker.log().matches(left_out).count(), 1, "{}", broker.log());
    assert!(broker.log().matches(counters).count() >= 2, "{}", broker.log());
}

/// The device with this number, and a secrets file with a number of them.
fn numbered(number: usize) -> Device {
    Device { id: format!("lamp-{number}").leak(), secret: "secretsecret" }
}

fn many(count: usize) -> String {
    (0..count).map(|n| format!("lamp-{n}:secretsecret\n")).collect()
}

fn a_loud_client_hides_nobody(version: Version) {
    let broker = Setup::new(version).secrets(format!("{}{}", secrets(), many(40))).start();
    let wrong = |device: Device| device.connect_now().password("0".repeat(64));
    let (loud, quiet): (_, Vec<_>) = (wrong(LAMP), (0..40).map(|n| wrong(numbered(n))).collect());
    for _ in 0..20 {
        Client::connect(&broker, &loud);
    }
    for _ in 0..2 {
        for connect in &quiet {
            Client::connect(&broker, connect);
            Client::connect(&broker, &loud);
            Client::connect(&broker, &loud);
        }
    }
    let lines = broker.refusals();
    for connect in &quiet {
        let client = format!(" client={:?} ", String::from_utf8_lossy(&connect.client_id));
        assert!(lines.iter().any(|line| line.contains(&client)), "{client}: {lines:#?}");
    }
    assert_eq!(lines.len(), 41 + 10, "{lines:#?}");
}

fn a_flood_of_client_ids_is_thinned(version: Version) {
    let mut broker = Setup::new(version).secrets(secrets()).start();
    for n in 0..300 {
        Client::connect(&broker, &numbered(n).connect_now());
    }
    assert_eq!(broker.refusals().len(), 110, "{:#?}", broker.refusals());
    // Refusals for another reason are still logged.
    Client::connect(&broker, &LAMP.connect_now().password("0".repeat(64)));
    assert!(broker.refusals().last().unwrap().ends_with(" reason=wrong_password password=other"));
    broker.stop();
    broker.wait_for_log("iotda-auth: refused 190 more, not shown: unknown_device=190");
}

fn many_disconnections_are_thinned(version: Version) {
    let file = many(130);
    let broker = Setup::new(version).secrets(format!("{}{file}", secrets())).start();
    let clients: Vec<Client> = (0..130)
        .map(|n| Client::connect(&broker, &numbered(n).connect(Sha256, "2999010100")).0)
        .collect();
    fs::write(broker.secrets(), secrets()).unwrap();
    broker.reload();
    broker.wait_for_log("0 logged in, 130 disconnected");
    assert_eq!(broker.log().matches("iotda-auth: disconnected client=").count(), 110);
    broker.wait_for_log("iotda-auth: disconnected 20 more, not shown: unknown_device=20");
    for mut client in clients {
        client.rest();
    }
}

fn acceptances_are_for_debugging(version: Version) {
    let quiet = Setup::new(version).secrets(secrets()).start();
    let loud = Setup::new(version).secrets(secrets()).line("log_type all").start();
    for broker in [&quiet, &loud] {
        assert_eq!(Client::connect(broker, &LAMP.connect_now()).1, ACCEPTED);
    }
    loud.wait_for_log("iotda-auth: accepted client=\"64a1f0c2_lamp-01_0_1_");
    assert!(!quiet.log().contains("iotda-auth: accepted"), "{}", quiet.log());
    assert!(!loud.log().contains(LAMP.secret));
}
