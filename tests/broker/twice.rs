//! A device that exists twice: two programs with one secret, each of which reconnects at once when the other has ended its
//! connection.

use iotda_core::login::SignType::{Sha256, Sha256Timestamp};
use std::time::{Duration, Instant};
use support::{
    broker::{Broker, Setup},
    device::{LAMP, METER, secrets},
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS, not_authorized, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    two_with_two_client_ids_back_off,
    two_with_one_client_id_back_off,
    without_a_limit_they_go_on_and_are_told_once,
    a_device_that_leaves_takes_nothing_over,
    nobody_is_locked_out_by_logins_that_fail,
);

/// One of the two.
fn twin(number: usize, same: bool) -> Connect {
    match number % 2 {
        1 if !same => {
            LAMP.connect(Sha256Timestamp, &support::device::stamp(support::device::now()))
        }
        _ => LAMP.connect(Sha256, "2999010100"),
    }
}

/// Both connect in turn for a while. Returns how often each was let in, and how often refused.
fn fight(broker: &Broker, same: bool, time: Duration) -> (usize, usize) {
    let (mut let_in, mut refused) = (0, 0);
    let mut live: Option<Client> = None;
    let begin = Instant::now();
    for number in 0.. {
        if begin.elapsed() > time {
            break;
        }
        let (client, answer) = Client::connect(broker, &twin(number, same));
        if answer == ACCEPTED {
            let_in += 1;
            if let Some(mut thrown_out) = live.replace(client) {
                thrown_out.rest();
            }
        } else {
            refused += 1;
            assert!(live.as_mut().is_some_and(Client::is_alive), "{}", broker.log());
        }
    }
    (let_in, refused)
}

/// The plugin's lines about the device.
fn lines(broker: &Broker) -> Vec<String> {
    let about = |line: &&str| line.contains("iotda-auth: ") && line.contains(LAMP.id);
    broker.log().lines().filter(about).map(String::from).collect()
}

fn counter(broker: &Broker, name: &str) -> usize {
    broker.reload();
    let log = broker.log();
    let counters = log.lines().rev().find(|line| line.contains("since the start: ")).unwrap();
    let value = counters.split(' ').find_map(|word| word.strip_prefix(&format!("{name}=")));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn backs_off(version: Version, same: bool) {
    // Like the default, but with a shorter time.
    let broker = Setup::new(version).secrets(secrets()).option("takeover_limit", "10/10s").start();
    let (mut meter, _) = Client::connect(&broker, &METER.connect_now());
    let (let_in, refused) = fight(&broker, same, Duration::from_secs(5));
    // Ten at once, then one a second, and the first login, which took nothing over.
    assert!((11..=17).contains(&let_in), "{let_in} were let in");
    assert!(refused > 50, "{refused} were refused");
    assert!(meter.is_alive());
    assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED);
    let lines = lines(&broker);
    assert!(lines.len() < 20, "{} lines: {lines:#?}", lines.len());
    assert!(lines.iter().any(|line| line.ends_with("reason=rate_limited limit=takeovers")));
    // The meter has taken itself over once.
    assert_eq!(counter(&broker, "takeovers"), let_in);
    assert_eq!(counter(&broker, "disconnected") > 0, !same);
}

fn two_with_two_client_ids_back_off(version: Version) {
    backs_off(version, false);
}

fn two_with_one_client_id_back_off(version: Version) {
    backs_off(version, true);
}

fn without_a_limit_they_go_on_and_are_told_once(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("takeover_limit", "off").start();
    let (let_in, refused) = fight(&broker, false, Duration::from_secs(2));
    assert!(let_in > 100 && refused == 0, "{let_in} were let in, {refused} refused");
    let lines = lines(&broker);
    // The minute may be over in between.
    assert!(lines.len() < 12, "{lines:#?}");
    let told = lines.iter().find(|line| line.contains("reason=new_login")).expect("a line");
    assert!(told.ends_with("reason=new_login address=127.0.0.1 new_address=127.0.0.1"), "{told}");
    assert_eq!(counter(&broker, "takeovers"), let_in - 1);
}

fn a_device_that_leaves_takes_nothing_over(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("takeover_limit", "1/1h").start();
    for number in 0..30 {
        let (client, answer) = Client::connect(&broker, &twin(number, false));
        assert_eq!(answer, ACCEPTED, "{}", broker.log());
        client.disconnect();
    }
    assert_eq!(counter(&broker, "takeovers"), 0);
    // One take-over is allowed, and only one.
    let (_first, answer) = Client::connect(&broker, &twin(0, false));
    assert_eq!(answer, ACCEPTED);
    let (mut second, answer) = Client::connect(&broker, &twin(1, false));
    assert_eq!(answer, ACCEPTED);
    for level in VERSIONS {
        let answer = Client::connect(&broker, &twin(0, false).level(level)).1;
        assert_eq!(answer, refused(version, level, "rate_limited"));
    }
    assert!(second.is_alive());
    // The limit ends with the connection.
    second.disconnect();
    assert_eq!(Client::connect(&broker, &twin(0, false)).1, ACCEPTED);
}

fn nobody_is_locked_out_by_logins_that_fail(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("takeover_limit", "1/1h").start();
    let (mut lamp, answer) = Client::connect(&broker, &LAMP.connect_now());
    assert_eq!(answer, ACCEPTED);
    for number in 0..50 {
        let wrong = LAMP.connect(Sha256, "2999010100").password(format!("{number:064}"));
        assert_eq!(Client::connect(&broker, &wrong).1, not_authorized(4));
    }
    assert!(lamp.is_alive());
    assert_eq!(Client::connect(&broker, &twin(0, false)).1, Answer::Connack(0), "{}", broker.log());
}
