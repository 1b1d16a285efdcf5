//! Which logins are accepted, which are refused, and what the log says.

use iotda_core::login::SignType::{Sha256, Sha256Timestamp, Sm3Timestamp};
use support::{
    broker::Setup,
    device::{Device, LAMP, METER, now, secrets, stamp},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    devices_log_in,
    every_refusal_has_its_answer_and_its_line,
    a_wrong_clock_is_told_from_a_wrong_password,
    options_change_the_rules,
    the_next_device_is_served_after_each_refusal,
);

fn devices_log_in(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    for level in VERSIONS {
        for device in [LAMP, METER] {
            for connect in [
                device.connect_now(),
                device.connect(Sha256, &stamp(now())),
                device.connect(Sha256, "1970000100"),
                device.connect(Sha256, "2999010100"),
                device.connect(Sha256Timestamp, &stamp(now() + 23 * 3600)),
                device.connect(Sm3Timestamp, &stamp(now())),
                device.connect(Sm3Timestamp, &stamp(now() + 23 * 3600)),
                device.connect_now().keep_alive(30),
                device.connect_now().keep_alive(1200),
            ] {
                let (mut client, answer) = Client::connect(&broker, &connect.level(level));
                assert_eq!(answer, ACCEPTED);
                assert!(client.is_alive());
            }
        }
    }
    assert!(broker.refusals().is_empty());
}

/// Refused CONNECTs, and what is at the end of their log lines.
pub(crate) fn refusals() -> Vec<(Connect, &'static str)> {
    let fresh = stamp(now());
    let id = format!("{}_0_1_{fresh}", LAMP.id);
    let right = LAMP.connect_now();
    let stranger = Device { id: "64a1f0c2_lamp-99", secret: LAMP.secret };
    let lamp_with_secret = |secret| Device { id: LAMP.id, secret }.connect_now();
    vec![
        (
            Connect { client_id: LAMP.id.into(), ..right.clone() },
            "reason=bad_client_id shape=deviceid",
        ),
        (
            Connect { client_id: format!("{}_1_0_{fresh}", LAMP.id).into(), ..right.clone() },
            "reason=bad_client_id shape=identity",
        ),
        (LAMP.connect(Sha256Timestamp, "2026023103"), "reason=bad_client_id shape=nodate"),
        (
            Connect { client_id: format!("{}_0_3_{fresh}", LAMP.id).into(), ..right.clone() },
            "reason=bad_sign_type sign_type=3",
        ),
        (LAMP.connect(Sm3Timestamp, "2026023103"), "reason=bad_client_id shape=nodate"),
        (LAMP.connect(Sm3Timestamp, &stamp(now() - 3 * 3600)), "reason=stale_timestamp"),
        (
            // Signed with SHA-256, but sent as SM3.
            Connect { client_id: format!("{}_0_2_{fresh}", LAMP.id).into(), ..right.clone() },
            "reason=wrong_password password=signtype",
        ),
        (right.clone().keep_alive(0), "reason=bad_keepalive keepalive=0"),
        (right.clone().keep_alive(29), "reason=bad_keepalive keepalive=29"),
        (right.clone().keep_alive(1201), "reason=bad_keepalive keepalive=1201"),
        (right.clone().keep_alive(65535), "reason=bad_keepalive keepalive=65535"),
        (right.clone().username(METER.id), "reason=user_mismatch"),
        (right.clone().username(id.as_str()), "reason=user_mismatch"),
        (right.clone().username(""), "reason=user_mismatch"),
        (right.clone().username("d".repeat(1000)), "reason=user_mismatch"),
        (stranger.connect_now(), "reason=unknown_device"),
        (
            Device { id: "lamp_a", secret: LAMP.secret }.connect(Sha256Timestamp, "2020010100"),
            "reason=unknown_device",
        ),
        (LAMP.connect(Sha256Timestamp, &stamp(now() - 3 * 3600)), "reason=stale_timestamp"),
        (LAMP.connect(Sha256Timestamp, "1970010100"), "reason=stale_timestamp"),
        (LAMP.connect(Sha256Timestamp, "2999010100"), "reason=future_timestamp"),
        (LAMP.connect(Sm3Timestamp, "2999010100"), "reason=future_timestamp"),
        (lamp_with_secret("wrongsecret"), "reason=wrong_password password=other"),
        (lamp_with_secret(METER.secret), "reason=wrong_password password=other"),
        (right.clone().password(""), "reason=wrong_password password=missing"),
        (right.clone().password(LAMP.secret), "reason=wrong_password password=secret"),
        (
            right.clone().password(
                String::from_utf8(right.password.clone().unwrap()).unwrap().to_uppercase(),
            ),
            "reason=wrong_password password=uppercase",
        ),
        (right.clone().password("0".repeat(64)), "reason=wrong_password password=other"),
        (right.clone().password("0".repeat(257)), "reason=wrong_password password=malformed"),
        (Connect { password: None, ..right.clone() }, "reason=wrong_password password=missing"),
        (Device { id: "iced", secret: "frozensecret" }.connect_now(), "reason=frozen"),
        (
            Device { id: "iced", secret: "wrongsecret1" }.connect_now(),
            "reason=wrong_password password=other",
        ),
        (Device { id: "cert", secret: "somesecret" }.connect_now(), "reason=no_certificate"),
    ]
}

/// The reason's id in the rest of a log line.
pub(crate) fn id(reason: &str) -> &str {
    reason.trim_start_matches("reason=").split(' ').next().unwrap()
}

/// The secrets file for [`refusals`].
pub(crate) fn secrets_of_all() -> String {
    let fingerprint = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
    format!("{}iced:frozensecret:frozen\ncert:x509={fingerprint}\n", secrets())
}

fn every_refusal_has_its_answer_and_its_line(version: Version) {
    for level in VERSIONS {
        // A broker for each MQTT version: only ten refusals a minute of one reason are logged in full.
        let broker = Setup::new(version).secrets(secrets_of_all()).start();
        let mut count = 0;
        for (connect, reason) in refusals() {
            // MQTT 3.1 and 3.1.1 have no password without a user name, so no broker passes such a CONNECT on.
            let (_, answer) = Client::connect(&broker, &connect.clone().level(level));
            assert_eq!(answer, refused(version, level, id(reason)), "{reason}");
            count += 1;
            let lines = broker.refusals();
            assert_eq!(lines.len(), count, "{lines:?}");
            let line = &lines[count - 1];
            let client_id = String::from_utf8_lossy(&connect.client_id).into_owned();
            assert!(
                line.starts_with(&format!("iotda-auth: refused client=\"{client_id}\" user=")),
                "{line}"
            );
            assert!(line.contains(" address=127.0.0.1 "), "{line}");
            // Nothing comes behind what was recognised.
            let whole = !reason.contains("password=") || line.ends_with(reason);
            assert!(whole && line.contains(reason), "expected {reason}, found {line}");
            assert!(line.len() < 700, "{line}");
        }
        for secret in [LAMP.secret, METER.secret, "frozensecret"] {
            assert!(!broker.log().contains(secret), "the log holds a secret");
        }
    }
}

fn a_wrong_clock_is_told_from_a_wrong_password(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let three_hours_ago = stamp(now() - 3 * 3600);
    Client::connect(&broker, &LAMP.connect(Sha256Timestamp, &three_hours_ago));
    Client::connect(
        &broker,
        &LAMP.connect(Sha256Timestamp, &three_hours_ago).password("0".repeat(64)),
    );
    let lines = broker.refusals();
    assert!(
        lines[0].contains("reason=stale_timestamp age=3h") && lines[0].ends_with("password=right"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("reason=stale_timestamp age=3h") && !lines[1].contains("password"),
        "{lines:?}"
    );
}

fn options_change_the_rules(version: Version) {
    let strict = Setup::new(version)
        .secrets(secrets())
        .option("timestamp_max_age", "3h")
        .option("timestamp_max_ahead", "90m")
        .option("sign_types", "1")
        .option("keepalive", "any")
        .start();
    let mut answers = Vec::new();
    for connect in [
        LAMP.connect(Sha256Timestamp, &stamp(now() - 2 * 3600)),
        LAMP.connect(Sha256Timestamp, &stamp(now() + 3600)),
        LAMP.connect_now().keep_alive(0),
        LAMP.connect_now().keep_alive(65535),
        LAMP.connect(Sha256Timestamp, &stamp(now() - 4 * 3600)),
        LAMP.connect(Sha256Timestamp, &stamp(now() + 3 * 3600)),
        LAMP.connect(Sha256, &stamp(now())),
    ] {
        answers.push(Client::connect(&strict, &connect).1 == ACCEPTED);
    }
    assert_eq!(answers, [true, true, true, true, false, false, false], "{}", strict.log());
    let lines = strict.refusals();
    assert!(lines[0].contains("reason=stale_timestamp age=4h"), "{lines:?}");
    assert!(lines[1].contains("reason=future_timestamp ahead=2h"), "{lines:?}");
    assert!(lines[2].contains("reason=bad_sign_type sign_type=0"), "{lines:?}");
}

fn the_next_device_is_served_after_each_refusal(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let (mut first, answer) = Client::connect(&broker, &METER.connect_now());
    assert_eq!(answer, ACCEPTED);
    for (connect, reason) in refusals() {
        Client::connect(&broker, &connect);
        assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED, "after {reason}");
    }
    assert!(first.is_alive());
}
