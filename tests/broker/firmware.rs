//! Unexpected things that real firmware sends. The passwords of devices with certificates are in certificates.rs, recorded
//! packets in recorded.rs.

use iotda_core::login::{
    SignType::{Sha256, Sha256Timestamp, Sm3Timestamp},
    timestamp::HOUR,
};
use support::{
    broker::Setup,
    device::{LAMP, METER, now, secrets, stamp},
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    the_c_sdk_shifts_the_hour,
    the_go_sdk_sends_local_time,
    luat_os_lives_in_2999,
    a_refused_sdk_comes_twice,
    a_device_comes_back_with_old_credentials,
);

const DAY: i64 = 24 * HOUR;

/// It adds 1 to the whole timestamp, as a number, while the HMAC holds a zero byte: at 23h the hour becomes 24, and later
/// ones when it has to go on.
fn the_c_sdk_shifts_the_hour(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    // The same hour, written as an hour of the day before.
    let yesterday = |at: i64| {
        let stamp = stamp(at - DAY);
        format!("{}{}", &stamp[..8], stamp[8..].parse::<u8>().unwrap() + 24)
    };
    for sign_type in [Sha256, Sha256Timestamp, Sm3Timestamp] {
        for ahead in 0..3 {
            let connect = LAMP.connect(sign_type, &stamp(now() + ahead * HOUR));
            assert_eq!(Client::connect(&broker, &connect).1, ACCEPTED, "{ahead} {}", broker.log());
        }
        let connect = LAMP.connect(sign_type, &yesterday(now()));
        assert_eq!(Client::connect(&broker, &connect).1, ACCEPTED, "{}", broker.log());
    }
    let stale = LAMP.connect(Sha256Timestamp, &yesterday(now() - 3 * HOUR));
    assert_eq!(Client::connect(&broker, &stale).1, refused(version, 4, "stale_timestamp"));
}

/// In China that is 8 hours ahead, elsewhere up to 12 behind. Its sign type is 0.
fn the_go_sdk_sends_local_time(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("timestamp_max_ahead", "1h").start();
    for hours in [8, -12, 14] {
        let connect = LAMP.connect(Sha256, &stamp(now() + hours * HOUR));
        assert_eq!(Client::connect(&broker, &connect).1, ACCEPTED, "{hours}");
        // With type 1 the same timestamp is refused, with the reason.
        let id = if hours > 0 { "future_timestamp" } else { "stale_timestamp" };
        let connect = LAMP.connect(Sha256Timestamp, &stamp(now() + hours * HOUR));
        assert_eq!(Client::connect(&broker, &connect).1, refused(version, 4, id));
        assert!(broker.refusals().last().unwrap().ends_with(" password=right"));
    }
}

fn luat_os_lives_in_2999(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    for level in VERSIONS {
        let connect = METER.connect(Sha256, "2999010100").level(level);
        assert_eq!(Client::connect(&broker, &connect).1, ACCEPTED);
    }
}

/// The MQTT library of the C, Java and Go SDKs tries 3.1.1, and on any refusal 3.1 at once: two lines, but one failure.
fn a_refused_sdk_comes_twice(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("failure_limit", "3/1h").start();
    for word in ["0", "1", "2"] {
        let wrong = LAMP.connect_now().password(word.repeat(64));
        for level in [4, 3] {
            let answer = Client::connect(&broker, &wrong.clone().level(level)).1;
            // At the third time, the limit refuses the second half.
            let id = if (word, level) == ("2", 3) { "rate_limited" } else { "wrong_password" };
            assert_eq!(answer, refused(version, level, id));
        }
    }
    let lines = broker.refusals();
    let limited = |line: &String| line.ends_with(" reason=rate_limited");
    assert_eq!(lines.iter().position(limited), Some(5), "{lines:#?}");
}

/// Three SDKs keep their first credentials for the life of the process, and come back with them after an outage. With
/// type 1 that ends soon after the hour, unless the operator allows more.
fn a_device_comes_back_with_old_credentials(version: Version) {
    let old = LAMP.connect(Sha256Timestamp, &stamp(now() - 30 * HOUR));
    for (max_age, expected) in [("1h", refused(version, 4, "stale_timestamp")), ("2d", ACCEPTED)] {
        let broker =
            Setup::new(version).secrets(secrets()).option("timestamp_max_age", max_age).start();
        let answer: Answer = Client::connect(&broker, &Connect { level: 4, ..old.clone() }).1;
        assert_eq!(answer, expected, "{max_age}");
    }
}
