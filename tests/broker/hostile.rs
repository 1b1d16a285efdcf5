//! Clients that are malicious or just broken.

use support::{
    broker::Setup,
    device::{LAMP, secrets},
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(odd_fields_are_refused_and_the_broker_lives, the_log_cannot_be_forged);

fn odd_fields_are_refused_and_the_broker_lives(version: Version) {
    let right = LAMP.connect_now();
    for level in VERSIONS {
        // A broker for each MQTT version: only ten refusals a minute of one reason are logged in full.
        let broker = Setup::new(version).secrets(secrets()).start();
        let odd = [
            (right.clone().password([0xFF, 0xFE, 0x80, b'"', b'\n']), "wrong_password"),
            (right.clone().password([0x80; 64]), "wrong_password"),
            (right.clone().password(vec![b'a'; 60_000]), "wrong_password"),
            (right.clone().password(vec![0xFF; 65_535]), "wrong_password"),
            // The right password, then a NUL and more text: the broker cuts it at the NUL.
            (right.clone().password(vec![0; 64]), "wrong_password"),
            (Connect::new(vec![b'x'; 300]), "bad_client_id"),
            (Connect { client_id: long_device(300), ..right.clone() }, "bad_client_id"),
            (Connect { client_id: long_device(60_000), ..right.clone() }, "bad_client_id"),
            (Connect { username: None, password: None, ..right.clone() }, "user_mismatch"),
            (right.clone().username(vec![b'u'; 60_000]), "user_mismatch"),
        ];
        for (connect, id) in odd {
            let before = broker.refusals().len();
            let (_, answer) = Client::connect(&broker, &connect.level(level));
            assert_eq!(answer, refused(version, level, id), "{id}");
            let lines = broker.refusals();
            assert_eq!(lines.len(), before + 1, "{lines:?}");
            assert!(lines[before].contains(&format!("reason={id}")), "{id}: {}", lines[before]);
            assert!(lines[before].len() < 700);
        }
        // An empty ClientId is replaced by the broker, or refused by it: not a device in either case.
        let (_, answer) = Client::connect(&broker, &Connect::new("").username("u").level(level));
        assert_ne!(answer, ACCEPTED);
        // A password without a user name is for MQTT 5 only; earlier versions hang up on it.
        let (_, answer) =
            Client::connect(&broker, &Connect { username: None, ..right.clone() }.level(level));
        assert!(matches!(answer, Answer::Closed | Answer::Connack(1..)), "{answer:?}");
        // The device itself is unaffected.
        assert_eq!(Client::connect(&broker, &right.clone().level(level)).1, ACCEPTED);
    }
}

/// A ClientId of the right shape, and of a length that is not.
fn long_device(length: usize) -> Vec<u8> {
    [vec![b'd'; length - 15], b"_0_0_2026112209".to_vec()].concat()
}

fn the_log_cannot_be_forged(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let forged = "a\" user=\"b\" address=203.0.113.9 reason=wrong_password \\";
    for level in VERSIONS {
        Client::connect(&broker, &Connect::new(forged).username(forged).level(level));
        Client::connect(
            &broker,
            &Connect::new(format!("{forged}_0_0_2026112209")).username("%s%n%d").level(level),
        );
    }
    let lines = broker.refusals();
    assert_eq!(lines.len(), 6);
    for line in lines {
        let fields = outside_quotes(&line);
        assert_eq!(fields.matches("address=").count(), 1, "{line}");
        assert!(fields.contains(" address=127.0.0.1 reason="), "{line}");
    }
}

/// A line without what is in quotes.
fn outside_quotes(line: &str) -> String {
    let (mut outside, mut quoted, mut escaped) = (String::new(), false, false);
    for character in line.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if !quoted => outside.push(character),
            _ => {}
        }
    }
    outside
}
