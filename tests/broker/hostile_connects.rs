//! Thousands of hostile connections, to a broker that serves its devices all the time.
//!
//! `IOTDA_HOSTILE_CONNECTS` says how many there are for each broker, `IOTDA_HOSTILE_SEED` which; a failure names both.

use crate::{hostile_packets::Hostile, hostile_texts::FORGED, reload::connect};
use iotda_core::log::read;
use std::{
    collections::VecDeque,
    env, fs,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};
use support::{
    broker::{Broker, Setup, free_port},
    device::{Device, LAMP, METER, now, secrets},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(hostile_connects_harm_nobody);

/// The default number of connections, enough for every listed one.
const ENOUGH: u32 = 24_000;
/// How many connections are open at once.
const AT_ONCE: usize = 32;
/// After this number, the test waits until a device has logged in, so the broker is never further behind than this.
const BETWEEN_LOGINS: usize = 16;

/// Devices that nobody attacks.
const NEIGHBOURS: [Device; 3] = [
    Device { id: "64a1f0c2_lamp-11", secret: "elevenelevenele" },
    Device { id: "64a1f0c2_lamp-12", secret: "twelvetwelvetwe" },
    Device { id: "64a1f0c2_lamp-13", secret: "thirteenthirtee" },
];

fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value}: expected a number")),
        Err(_) => default,
    }
}

fn hostile_connects_harm_nobody(version: Version) {
    let count = usize::try_from(number("IOTDA_HOSTILE_CONNECTS", ENOUGH.into())).unwrap();
    let seed = number("IOTDA_HOSTILE_SEED", now().unsigned_abs());
    eprintln!("IOTDA_HOSTILE_CONNECTS={count} IOTDA_HOSTILE_SEED={seed} on {version}");

    let neighbours: String =
        NEIGHBOURS.iter().map(|device| format!("{}:{}\n", device.id, device.secret)).collect();
    let port = free_port();
    let mut broker = Setup::new(version)
        .secrets(format!("{}{neighbours}", secrets()))
        .line(&format!("listener {port} 0.0.0.0"))
        .start();
    let (mut meter, answer) = Client::connect(&broker, &connect(METER));
    assert_eq!(answer, ACCEPTED);

    let right = connect(LAMP);
    // 2.0.11 never frees the will of a refused CONNECT, so its memory would say nothing about the plugin.
    let hostile = Hostile::of(&right, version.frees_refused_wills(), seed);
    assert!(hostile.lists_no_more_than_come_in(ENOUGH as usize));
    let mut under_way = VecDeque::new();
    let (mut logins, mut quarter) = (0, 0);
    for number in 0..count {
        if number % BETWEEN_LOGINS == 0 {
            log_in(&mut broker, logins, number);
            logins += 1;
        }
        if number == count / 4 {
            quarter = broker.resident();
        }
        let bytes = hostile.connection(number);
        // A different address for each: a pair of ports cannot be reused for a minute.
        let host = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(number / 64 % 200).unwrap());
        under_way.push_back((number, send((host, port).into(), &bytes), bytes));
        if under_way.len() > AT_ONCE {
            end(under_way.pop_front().unwrap(), &right);
        }
    }
    for connection in under_way {
        end(connection, &right);
    }
    log_in(&mut broker, logins, count);
    let at_end = broker.resident();
    eprintln!("{version}: {logins} logins, {quarter} KiB after a quarter, {at_end} KiB at the end");
    // Not exactly: a heap has holes, which take a while to be reused.
    assert!(at_end < quarter + 4096, "resident memory grew from {quarter} to {at_end} KiB");
    assert!(meter.is_alive(), "{}", broker.log());

    broker.stop();
    let log = fs::read(broker.scratch().path().join("log")).unwrap();
    check_log(&String::from_utf8_lossy(&log));
    let [accepted, refused] = ["accepted=", "refused="].map(|name| counter(&log, name));
    eprintln!("{version}: {accepted} accepted, {refused} refused");
    assert!(accepted > logins, "{accepted} of {logins} logins were accepted");
    assert!(refused > count / 20, "of {count}, {refused} came as far as the plugin");
}

/// A device that is right is let in, by the broker that was started.
fn log_in(broker: &mut Broker, login: usize, number: usize) {
    assert!(broker.is_running(), "the broker ended at {number}");
    let device = NEIGHBOURS[login % NEIGHBOURS.len()];
    let right = connect(device).level(VERSIONS[login / NEIGHBOURS.len() % VERSIONS.len()]);
    assert_eq!(Client::connect(broker, &right).1, ACCEPTED, "at {number}");
}

/// Sends all bytes; the broker may rightly hang up in between.
fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = transport::tcp(address);
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    match stream.write_all(bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the broker neither reads nor hangs up")
        }
        _ => stream,
    }
}

/// Hangs up. A client that did not send a complete login must not have been let in.
fn end((number, mut stream, bytes): (usize, TcpStream, Vec<u8>), right: &Connect) {
    stream.set_nonblocking(true).unwrap();
    let mut answer = [0; 4];
    if !matches!(stream.read(&mut answer), Ok(4)) || answer[0] != 0x20 || answer[3] != 0 {
        return;
    }
    let texts = [Some(&right.client_id), right.username.as_ref(), right.password.as_ref()];
    for text in texts.into_iter().flatten() {
        let sent = bytes.windows(text.len()).any(|window| window == text);
        assert!(sent, "{number} was let in: {:02x?}", &bytes[..bytes.len().min(400)]);
    }
}

/// Each line was begun by the broker or the plugin, and each of the plugin's lines has the client's real address.
fn check_log(log: &str) {
    for line in log.split('\n').filter(|line| !line.is_empty()) {
        if is_rest_of_a_protocol_name(line) {
            continue;
        }
        let (stamp, text) = line.split_once(": ").unwrap_or_else(|| panic!("no time: {line:?}"));
        assert!(stamp.len() == 10 && stamp.bytes().all(|byte| byte.is_ascii_digit()), "{line:?}");
        assert!(!text.starts_with(FORGED), "{line}");
        if text.starts_with("iotda-auth: refused client=") {
            let refusal = read::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(refusal.address, Some("127.0.0.1"), "{line}");
        } else {
            // A broker's own line may quote a ClientId; it must not pass for one of the plugin's.
            assert!(read::parse(line).is_err(), "{line}");
        }
    }
}

/// Brokers repeat the name of a protocol that they do not know, newlines and all. It has at most six bytes.
fn is_rest_of_a_protocol_name(line: &str) -> bool {
    let ends = ["\".", "\" in CONNECT from 127.0.0.1."];
    ends.iter().any(|end| line.strip_suffix(end).is_some_and(|name| name.chars().count() < 6))
}

/// A counter, from the plugin's last log line.
fn counter(log: &[u8], name: &str) -> usize {
    let log = String::from_utf8_lossy(log);
    let (_, last) = log.rsplit_once("iotda-auth: since the start: ").expect("the counters");
    let value = last.split([' ', '\n']).find_map(|word| word.strip_prefix(name));
    value.expect("the counter").parse().unwrap()
}
