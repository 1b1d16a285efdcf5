//! Everything that a broker does, under valgrind, which finds leaks and invalid reads of our library.
//!
//! The C host plays more cases, but it is not a broker: here the pointers are a real broker's, with their real lifetimes.

use crate::reload::{connect, reload, write};
use iotda_core::login::SignType::{Sha256, Sha256Timestamp};
use std::{fs, path::Path};
use support::{
    broker::{Broker, Setup, free_port},
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS, refusal, refused},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(nothing_is_found_under_valgrind);

const NEW: Device = Device { id: "64a1f0c2_lamp-02", secret: "brandnewsecret" };

fn nothing_is_found_under_valgrind(version: Version) {
    let exact = free_port();
    let setup = Setup::new(version).secrets(secrets());
    let found = setup.scratch().path().join("valgrind");
    let mut broker = setup
        .option("exact_connack_ports", &exact.to_string())
        .option("other_clients", "defer")
        .option("failure_limit", "1000/1m")
        .option("reload_interval", "1s")
        .option("stats_interval", "1s")
        .line(&format!("listener {exact} 127.0.0.1"))
        .started_by(words(&found))
        .start();

    play_logins(version, &broker, exact);
    play_connections(&broker);
    play_reloads(&broker);
    broker.reload();
    broker.stop();

    nothing_was_found(&found);
}

/// Valgrind's command, which writes its report into a file.
pub(crate) fn words(found: &Path) -> [String; 7] {
    [
        "valgrind".into(),
        // A script starts the broker.
        "--trace-children=yes".into(),
        "--trace-children-skip=*/dirname,*/readlink".into(),
        "--leak-check=full".into(),
        "--show-leak-kinds=definite,indirect,possible".into(),
        // 2.0 unloads the library before valgrind looks for leaks at the end.
        "--keep-debuginfo=yes".into(),
        format!("--log-file={}", found.display()),
    ]
}

pub(crate) fn nothing_was_found(found: &Path) {
    let found = fs::read_to_string(found).unwrap();
    assert!(found.contains("ERROR SUMMARY: "), "valgrind did not come to its end:\n{found}");
    // Errors of the broker itself, or of its libraries, do not count.
    let ours: Vec<&str> =
        paragraphs(&found).filter(|text| text.contains("libmosquitto_iotda_auth")).collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));
}

/// The paragraphs of valgrind's report, one for each error. A line with only valgrind's mark separates them.
fn paragraphs(report: &str) -> impl Iterator<Item = &str> {
    let mark = report.split_whitespace().next().expect("a report");
    let mut rest = Some(report);
    std::iter::from_fn(move || {
        let (paragraph, after) = match rest?.split_once(&format!("\n{mark} \n")) {
            Some((paragraph, after)) => (paragraph, Some(after)),
            None => (rest?, None),
        };
        rest = after;
        Some(paragraph)
    })
}

/// Every answer that a login can get, on either listener and in each version of MQTT.
fn play_logins(version: Version, broker: &Broker, exact: u16) {
    let right = LAMP.connect_now();
    let wrong = [
        (right.clone().password("0".repeat(64)), "wrong_password"),
        (right.clone().password(vec![0xFF; 65_535]), "wrong_password"),
        (LAMP.connect(Sha256Timestamp, "2020010100"), "stale_timestamp"),
        (NEW.connect_now(), "unknown_device"),
        (right.clone().username(METER.id), "user_mismatch"),
        (right.clone().username(vec![b'"'; 60_000]), "user_mismatch"),
        (Connect { username: None, password: None, ..right.clone() }, "user_mismatch"),
        (right.clone().keep_alive(0), "bad_keepalive"),
        (Connect { client_id: b"lamp_0_9_2026112209".to_vec(), ..right.clone() }, "bad_sign_type"),
    ];
    for level in VERSIONS {
        for (connect, id) in &wrong {
            let connect = connect.clone().level(level);
            assert_eq!(
                Client::connect(broker, &connect).1,
                refused(version, level, id),
                "{id}: {}",
                broker.log()
            );
            let codes = refusal(id).connack();
            let code = if level == 5 { codes.v5 } else { codes.v3 };
            assert_eq!(on(exact, &connect), Answer::Connack(code), "{id}");
        }
        assert_eq!(Client::connect(broker, &right.clone().level(level)).1, ACCEPTED);
        assert_eq!(on(exact, &right.clone().level(level)), ACCEPTED);
        // One that is neither a device nor another known client.
        Client::connect(broker, &Connect::new("service").username("service").level(level));
    }
}

fn on(port: u16, connect: &Connect) -> Answer {
    let mut client = Client::over(transport::tcp(transport::local(port)));
    client.send(&connect.packet());
    client.answer()
}

/// Connections that end in every possible way.
fn play_connections(broker: &Broker) {
    for level in VERSIONS {
        let (mut first, _) = Client::connect(broker, &connect(LAMP).level(level).persistent());
        first.subscribe(level, "news");
        // Another hour, another ClientId: the plugin ends the first one. Then the broker takes over the second.
        let later = LAMP.connect(Sha256, "2999010101").level(level).persistent();
        let (mut second, _) = Client::connect(broker, &later);
        first.rest();
        let (third, answer) = Client::connect(broker, &later);
        assert_eq!(answer, ACCEPTED);
        second.rest();
        drop(third);
        let (fourth, _) = Client::connect(broker, &later);
        fourth.disconnect();
    }
}

/// Files of each kind, while devices are connected.
fn play_reloads(broker: &Broker) {
    let (mut meter, _) = Client::connect(broker, &connect(METER));
    let (mut lamp, _) = Client::connect(broker, &connect(LAMP).persistent());
    write(broker, &format!("{}{}:{}\n", secrets(), NEW.id, NEW.secret));
    assert!(reload(broker).contains("3 devices, 1 added"));
    let (mut new, answer) = Client::connect(broker, &connect(NEW).level(5));
    assert_eq!(answer, ACCEPTED);

    for wrong in [&"wrong\n".repeat(30), "", "cut:off"] {
        write(broker, wrong);
        assert!(reload(broker).contains("not reloaded, 3 devices stay"));
    }
    fs::remove_file(broker.secrets()).unwrap();
    assert!(reload(broker).contains("not reloaded, 3 devices stay"));

    let others = format!("{}:another-secret\n{}:{}:frozen\n", METER.id, NEW.id, NEW.secret);
    write(broker, &others);
    assert!(reload(broker).contains("0 added, 1 removed, 2 changed; 0 logged in, 3 disconnected"));
    for client in [&mut meter, &mut lamp, &mut new] {
        client.rest();
    }
    write(broker, &secrets());
    broker.wait_for_log("2 devices, 1 added, 1 removed, 1 changed");
    assert_eq!(Client::connect(broker, &LAMP.connect_now()).1, ACCEPTED);
}
