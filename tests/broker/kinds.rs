//! What the log says is wrong with a ClientId or a password, by the mistakes that devices make.

use hmac::{Hmac, Mac};
use iotda_core::login::{
    Kind,
    SignType::{Sha256, Sha256Timestamp, Sm3Timestamp},
    timestamp::HOUR,
};
use sha2::Sha256 as Digest;
use std::collections::BTreeSet;
use support::{
    broker::{Broker, Setup},
    device::{LAMP, METER, now, secrets, stamp},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    each_mistake_is_named,
    each_mistake_is_counted,
    an_empty_client_id_is_told_as_what_the_broker_made_of_it,
    nothing_more_is_said_to_the_client,
    a_flood_is_not_looked_at_again,
);

/// Every mistake that reaches a plugin, and its kind.
fn mistakes() -> Vec<(Connect, Kind)> {
    let hour = stamp(now());
    let right = LAMP.connect_now();
    let password = String::from_utf8(right.password.clone().unwrap()).unwrap();
    let id = |text: String| Connect { client_id: text.into(), ..right.clone() };
    let sent = |text: &str| right.clone().password(text);
    let made = |sign_type, hours: i64| {
        LAMP.connect(sign_type, &stamp(now() + hours * HOUR)).password.unwrap()
    };
    let swapped = Hmac::<Digest>::new_from_slice(LAMP.secret.as_bytes()).unwrap();
    let swapped = hex::encode(swapped.chain_update(&hour).finalize().into_bytes());
    let lamp = LAMP.id;
    vec![
        (id(format!("{lamp}_0_1_{hour}_1720423123000")), Kind::Tail),
        (id(format!("{lamp}_0_1_1970000100")), Kind::NoDate),
        (id(format!("{lamp}_0_1_1795669993")), Kind::Epoch),
        (id(format!("{lamp}_0_0_1795669993123")), Kind::Epoch),
        (id(format!("node_2_0_{hour}")), Kind::Identity),
        (id(format!("{lamp}_0_1_{hour} ")), Kind::Blanks),
        (id(format!("\"{lamp}_0_1_{hour}\"")), Kind::Quotes),
        (id(format!("_0_1_{hour}")), Kind::NoDevice),
        (id(format!("{}_0_1_{hour}", "d".repeat(250))), Kind::Long),
        (id(format!("{lamp}-0-1-{hour}")), Kind::Separators),
        (id(format!("{lamp}_0_1_{hour}30")), Kind::Digits),
        (id(format!("{lamp}_0_5f052ac5_1_{hour}")), Kind::Provisioning),
        (id(lamp.into()), Kind::DeviceId),
        (id(format!("{lamp}_{hour}")), Kind::Parts),
        (id("mqttx_0a1b2c3d".into()), Kind::OtherClient),
        (Connect { password: None, ..right.clone() }, Kind::Missing),
        (sent(""), Kind::Missing),
        (sent("hunter2"), Kind::Malformed),
        (sent(&password.to_uppercase()), Kind::UpperCase),
        (sent(&format!("\"{password}\"")), Kind::QuotedPassword),
        (sent(&format!("{password}\r\n")), Kind::BlankPassword),
        (sent(&password[..63]), Kind::Cut),
        (sent(&format!("{password}{hour}")), Kind::PasswordTail),
        (sent(LAMP.secret), Kind::Secret),
        (sent(&swapped), Kind::Swapped),
        (right.clone().password(made(Sm3Timestamp, 0)), Kind::SignType),
        (right.clone().password(made(Sha256, -1)), Kind::Hour),
        (right.clone().password(made(Sha256, 1)), Kind::Hour),
        (right.clone().password(made(Sha256, 8)), Kind::LocalTime),
        (right.clone().password(made(Sha256, -12)), Kind::LocalTime),
        (right.clone().password(METER.connect_now().password.unwrap()), Kind::Other),
        (LAMP.connect(Sha256Timestamp, &stamp(now() - 3 * HOUR)), Kind::RightButStale),
        (LAMP.connect(Sha256Timestamp, &stamp(now() + 30 * HOUR)), Kind::RightButAhead),
    ]
}

/// The end of a line that tells of a kind.
fn field(kind: Kind) -> String {
    format!(" {}={}", kind.field(), kind.id())
}

fn last_line(broker: &Broker) -> String {
    broker.refusals().last().cloned().unwrap_or_default()
}

fn each_mistake_is_named(version: Version) {
    for level in VERSIONS {
        let mut seen = BTreeSet::new();
        // A broker for each few: of one client, eleven refusals a minute for one reason are logged.
        for mistakes in mistakes().chunks(10) {
            let broker = Setup::new(version).secrets(secrets()).start();
            for (count, (connect, kind)) in (1..).zip(mistakes) {
                let (_, answer) = Client::connect(&broker, &connect.clone().level(level));
                assert_ne!(answer, ACCEPTED, "{kind:?}");
                broker.wait_for_log_count(" reason=", count);
                let (line, reason) = (last_line(&broker), kind.reason().id());
                assert!(line.contains(&format!(" reason={reason} ")), "{kind:?}: {line}");
                assert!(line.ends_with(&field(*kind)), "{kind:?}: {line}");
                seen.insert(*kind);
            }
            assert!(!broker.log().contains(LAMP.secret), "{}", broker.log());
        }
        // The broker makes up a ClientId in place of an empty one, and a take-over takes accepted logins.
        let others = [Kind::Takeovers, Kind::Empty, Kind::Invented];
        assert_eq!(seen.len() + others.len(), Kind::ALL.len());
    }
}

/// Also those whose lines are left out.
fn each_mistake_is_counted(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    for (connect, _) in mistakes() {
        Client::connect(&broker, &connect);
    }
    broker.reload();
    broker.wait_for_log(
        "iotda-auth: recognised so far: bad_client_id: 2 epoch, 1 nodate, 1 nodevice, 1 long, 1 blanks, 1 quotes, \
         1 separators, 1 identity, 1 tail, 1 digits, 1 provisioning, 1 deviceid, 1 parts, 1 other; stale_timestamp: 1 right; \
         future_timestamp: 1 right; wrong_password: 2 missing, 1 malformed, 1 uppercase, 1 quotes, 1 blanks, 1 cut, 1 tail, \
         1 secret, 1 swapped, 1 signtype, 2 hour, 2 localtime, 1 other",
    );
}

fn an_empty_client_id_is_told_as_what_the_broker_made_of_it(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    for (count, level) in (1..).zip([4, 5]) {
        let empty = Connect { client_id: Vec::new(), ..LAMP.connect_now() };
        assert_ne!(Client::connect(&broker, &empty.level(level)).1, ACCEPTED);
        broker.wait_for_log_count(" reason=bad_client_id", count);
        let line = last_line(&broker);
        assert!(line.contains(" client=\"auto-") && line.ends_with(" shape=invented"), "{line}");
    }
}

/// What a client gets does not depend on what is wrong with its password.
fn nothing_more_is_said_to_the_client(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    for level in VERSIONS {
        let mut answers = Vec::new();
        for (connect, kind) in mistakes() {
            let (mut client, answer) = Client::connect(&broker, &connect.level(level));
            answers.push((kind.reason(), answer));
            assert_eq!(client.rest(), b"", "{kind:?}");
        }
        answers.sort_by_key(|(reason, _)| *reason);
        answers.dedup();
        assert_eq!(answers.len(), 4, "{answers:?}");
    }
}

/// The time that a flood may take is limited. The lines are still written.
fn a_flood_is_not_looked_at_again(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let cut = || {
        let right = LAMP.connect_now();
        let cut = right.password.clone().unwrap()[..63].to_vec();
        right.password(cut)
    };
    assert_ne!(Client::connect(&broker, &cut()).1, ACCEPTED);
    assert!(last_line(&broker).ends_with(" reason=wrong_password password=cut"));
    // Of another reason: it counts too.
    for _ in 0..600 {
        Client::connect(
            &broker,
            &Connect { client_id: "x_0_0_2026112209".into(), ..cut() }.username("x"),
        );
    }
    assert_ne!(Client::connect(&broker, &cut()).1, ACCEPTED);
    assert!(last_line(&broker).ends_with(" reason=wrong_password"), "{}", last_line(&broker));
}
