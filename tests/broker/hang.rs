//! A secrets file that does not answer, because its disk or network is gone; and one that grows whenever it is read.

use crate::reload::{reload, write};
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};
use support::{
    broker::{Broker, Setup, wait, wait_within},
    c,
    device::{Device, LAMP, METER, secrets},
    library::root,
    mqtt::{ACCEPTED, Client, not_authorized},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    a_broker_ends_although_its_file_hangs,
    a_file_that_hangs_is_logged,
    a_file_that_grows_is_not_read_without_end,
);

const NEW: Device = Device { id: "64a1f0c2_lamp-02", secret: "brandnewsecret" };

/// A broker whose secrets file can be made to hang.
fn with_a_file_that_hangs(version: Version, how: &str) -> Setup {
    let setup = Setup::new(version).secrets(secrets());
    let source = root().join("tests/broker/hang.c");
    let library = setup.scratch().path().join("hang.so");
    let library = c::build(&source, library, ["-shared", "-fPIC", "-nostdlib"]);
    let hang = setup.scratch().file("hang", how);
    let file = fs::canonicalize(setup.scratch().path()).unwrap().join("secrets");
    setup
        .environment("LD_PRELOAD", library)
        .environment("HANG", hang)
        .environment("HANG_FILE", file.clone())
        .secrets_file(&file)
}

fn let_it(broker: &Broker, how: &str) {
    let new = broker.scratch().file("hang.new", how);
    fs::rename(new, broker.scratch().path().join("hang")).unwrap();
}

fn with_a_new_device() -> String {
    format!("{}{}:{}\n", secrets(), NEW.id, NEW.secret)
}

/// What starts a load: a SIGHUP, or the interval.
fn ask(broker: &Broker, by_signal: bool) {
    write(broker, &with_a_new_device());
    if by_signal {
        broker.reload();
    }
    // By now it is waited for.
    sleep(Duration::from_millis(1500));
}

fn a_broker_ends_although_its_file_hangs(version: Version) {
    for (how, by_signal) in [("read", true), ("stat", true), ("read", false), ("stat", false)] {
        let setup = with_a_file_that_hangs(version, "");
        let setup = if by_signal { setup } else { setup.option("reload_interval", "1s") };
        let mut broker = setup.start();
        let_it(&broker, how);
        ask(&broker, by_signal);
        // Known devices are served meanwhile, and the table in force stays.
        assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED);
        assert_eq!(Client::connect(&broker, &NEW.connect_now()).1, not_authorized(4));
        let begin = Instant::now();
        broker.stop();
        let time = begin.elapsed();
        assert!(time < Duration::from_secs(3), "{how}: {time:?}\n{}", broker.log());
        let told = "still being read at the end, without an answer";
        assert!(broker.log().contains(told), "{how}: {}", broker.log());
    }
}

fn a_file_that_hangs_is_logged(version: Version) {
    let long = Duration::from_secs(60);
    // At the start, in parallel with the rest, because it takes half a minute.
    let mut at_start = ["read", "stat"].map(|how| with_a_file_that_hangs(version, how).launch());
    let broker = with_a_file_that_hangs(version, "").start();
    let_it(&broker, "read");
    ask(&broker, true);
    let told = "being read for more than 30 s: do its disk and its network answer?";
    let is_told = wait_within(long, || {
        assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED);
        sleep(Duration::from_millis(200));
        broker.log().contains(told)
    });
    assert!(is_told.is_some(), "{}", broker.log());
    let_it(&broker, "");
    let accepted = wait(|| Client::connect(&broker, &NEW.connect_now()).1 == ACCEPTED);
    assert!(accepted.is_some(), "{}", broker.log());
    broker.wait_for_log("3 devices, 1 added");
    assert_eq!(broker.log().matches(told).count(), 1, "{}", broker.log());

    for broker in &mut at_start {
        let ended = wait_within(long, || !broker.is_running());
        assert!(ended.is_some(), "{}", broker.log());
        let told = "cannot be read: no answer for 30 s: is its disk or network there?";
        assert!(broker.log().contains(told), "{}", broker.log());
        assert!(!broker.wait_for_exit().success());
    }
}

fn a_file_that_grows_is_not_read_without_end(version: Version) {
    let told = "was written to while it was read";
    let log = with_a_file_that_hangs(version, "grow").fail();
    assert!(log.contains("not started: secrets_file ") && log.contains(told), "{log}");

    let broker = with_a_file_that_hangs(version, "").start();
    let_it(&broker, "grow");
    let begin = Instant::now();
    let line = reload(&broker);
    assert!(line.contains("not reloaded, 2 devices stay") && line.contains(told), "{line}");
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    let_it(&broker, "");
    assert!(reload(&broker).contains("iotda-auth: reloaded"));

    // This load was not requested, and is logged once.
    let broker = with_a_file_that_hangs(version, "").option("reload_interval", "1s").start();
    let_it(&broker, "grow");
    write(&broker, &with_a_new_device());
    let is_told = wait_within(Duration::from_secs(60), || {
        let _ = Client::connect(&broker, &METER.connect_now());
        sleep(Duration::from_millis(200));
        broker.log().contains("not reloaded, 2 devices stay")
    });
    assert!(is_told.is_some(), "{}", broker.log());
    let_it(&broker, "");
    let accepted = wait(|| Client::connect(&broker, &NEW.connect_now()).1 == ACCEPTED);
    assert!(accepted.is_some(), "{}", broker.log());
    assert_eq!(broker.log().matches("not reloaded").count(), 1, "{}", broker.log());
}
