//! A wall clock that is set back and forth: only the hour of a login depends on it.

use crate::reload::write;
use iotda_core::login::SignType::Sha256Timestamp;
use std::fs;
use support::{
    broker::{Broker, Setup, wait},
    c,
    device::{Device, LAMP, METER, now, secrets, stamp},
    library::root,
    mqtt::{ACCEPTED, Client, Connect, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    the_hour_goes_by_the_wall_clock,
    the_window_is_65_minutes_and_a_day,
    a_changed_file_is_noticed_at_any_hour,
    a_flood_is_thinned_by_another_clock,
    failures_are_forgiven_by_another_clock,
    a_session_of_the_last_hour_ends_nobody,
);

const HOUR: i64 = 3600;
/// Offsets from the real time, in hours: an hour, a day and a year ahead, the same back, and then the real time.
const JUMPS: [i64; 7] = [1, 24, 366 * 24, -1, -24, -366 * 24, 0];

/// A broker whose clock can be set.
fn with_a_clock(version: Version) -> Setup {
    let setup = Setup::new(version).secrets(secrets());
    let source = root().join("tests/broker/clock_shift.c");
    let library = setup.scratch().path().join("clock_shift.so");
    let library = c::build(&source, library, ["-shared", "-fPIC", "-nostdlib"]);
    let shift = setup.scratch().file("shift", "0");
    setup
        .environment("LD_PRELOAD", library)
        .environment("CLOCK_SHIFT", shift)
        .option("keepalive", "any")
}

/// Sets the clock to an offset from the real time, in hours, and waits until the broker has seen it.
///
/// 2.0.21 uses this clock for all times: a client that connects while it jumps seems to have been silent for hours.
fn set(broker: &Broker, hours: i64) {
    set_by_seconds(broker, hours * HOUR);
}

fn set_by_seconds(broker: &Broker, seconds: i64) {
    let new = broker.scratch().file("shift.new", seconds.to_string());
    fs::rename(new, broker.scratch().path().join("shift")).unwrap();
    let mut nobody = Client::dial(broker);
    nobody.send(&[0xC0, 0]);
    nobody.rest();
}

/// A login for an hour at an offset from the real one. It has no keep alive, because 2.0.21 would use this clock for it.
fn login(device: Device, hours: i64) -> Connect {
    device.connect(Sha256Timestamp, &stamp(now() + hours * HOUR)).keep_alive(0)
}

fn the_hour_goes_by_the_wall_clock(version: Version) {
    let broker = with_a_clock(version).option("timestamp_max_ahead", "1h").start();
    let (mut lamp, answer) = Client::connect(&broker, &login(LAMP, 0));
    assert_eq!(answer, ACCEPTED);
    for hours in JUMPS {
        set(&broker, hours);
        let answer = |ahead| Client::connect(&broker, &login(METER, hours + ahead)).1;
        assert_eq!(answer(0), ACCEPTED, "{hours}: {}", broker.log());
        assert_eq!(answer(-3), refused(version, 4, "stale_timestamp"), "{hours}");
        assert_eq!(answer(3), refused(version, 4, "future_timestamp"), "{hours}");
        // By now the hour of this one is no longer valid.
        broker.reload();
        assert!(lamp.is_alive(), "{hours}: {}", broker.log());
        // A new login is checked in full even if the broker never signals the end of the sweep.
        assert_eq!(answer(-3), refused(version, 4, "stale_timestamp"), "{hours}, after a SIGHUP");
    }
    assert!(!broker.log().contains("iotda-auth: disconnected client=\"64a1f0c2_lamp-01"));
    broker.reload();
    let (stale, future) = (2 * JUMPS.len(), JUMPS.len());
    broker.wait_for_log(&format!(" stale_timestamp={stale} future_timestamp={future} "));
}

/// The defaults: at the end of an hour, a device that has just signed is not refused, and a password for another year is
/// not accepted.
fn the_window_is_65_minutes_and_a_day(version: Version) {
    let broker = with_a_clock(version).start();
    // Seconds after the beginning of an hour; the clock goes on during the test.
    let hour = now() / HOUR * HOUR + HOUR;
    let set_to = |seconds: i64| set_by_seconds(&broker, hour + seconds - now());
    let answer = |hours| {
        let connect = METER.connect(Sha256Timestamp, &stamp(hour + hours * HOUR));
        Client::connect(&broker, &connect.keep_alive(0)).1
    };
    let stale = refused(version, 4, "stale_timestamp");
    let future = refused(version, 4, "future_timestamp");
    for (seconds, answers) in [
        (240, [stale, ACCEPTED, ACCEPTED, ACCEPTED, future]),
        (301, [stale, stale, ACCEPTED, ACCEPTED, future]),
        (HOUR - 60, [stale, stale, ACCEPTED, ACCEPTED, future]),
    ] {
        set_to(seconds);
        assert_eq!([-2, -1, 0, 24, 25].map(answer), answers, "{seconds} {}", broker.log());
    }
    let year_2999 = METER.connect(Sha256Timestamp, "2999010100").keep_alive(0);
    assert_eq!(Client::connect(&broker, &year_2999).1, future);
    assert!(broker.refusals().last().unwrap().contains(" reason=future_timestamp ahead="));
}

fn a_changed_file_is_noticed_at_any_hour(version: Version) {
    let broker = with_a_clock(version).option("reload_interval", "1s").start();
    let (mut lamp, _) = Client::connect(&broker, &login(LAMP, 0));
    for (round, hours) in [0, 24, -24, -366 * 24, 366 * 24].into_iter().enumerate() {
        set(&broker, hours);
        write(&broker, &format!("{}new-{round}:a-new-secret\n", secrets()));
        let noticed = wait(|| {
            // A broker that sends no TICK until its clock has caught up still passes logins on.
            assert_eq!(Client::connect(&broker, &login(METER, hours)).1, ACCEPTED);
            broker.log().matches("iotda-auth: reloaded").count() > round
        });
        assert!(noticed.is_some(), "{hours}: {}", broker.log());
        assert!(lamp.is_alive(), "{hours}: {}", broker.log());
    }
}

/// A wrong login, another one for each number.
fn wrong(number: u32) -> Connect {
    LAMP.connect_now().password(format!("{number:064}"))
}

fn a_flood_is_thinned_by_another_clock(version: Version) {
    let mut broker = with_a_clock(version).start();
    for hours in JUMPS {
        set(&broker, hours);
        for _ in 0..5 {
            Client::connect(&broker, &login(LAMP, hours).password("0".repeat(64)));
        }
    }
    // A minute is a minute, whatever the clock says meanwhile.
    let told = broker.refusals();
    // With each hour the device has another ClientId: seven for the first time, and ten again.
    assert_eq!(told.len(), JUMPS.len() + 10, "{told:?}");
    broker.stop();
    broker.wait_for_log("iotda-auth: refused 18 more, not shown: wrong_password=18");
}

fn failures_are_forgiven_by_another_clock(version: Version) {
    let broker = with_a_clock(version).option("failure_limit", "2/1h").start();
    for number in 0..2 {
        Client::connect(&broker, &wrong(number));
    }
    for hours in JUMPS {
        set(&broker, hours);
        let answer = Client::connect(&broker, &login(METER, hours)).1;
        assert_eq!(answer, refused(version, 4, "rate_limited"), "{hours}");
    }
    // Setting the clock back does not lock anyone out for that time.
    let broker = with_a_clock(version).option("failure_limit", "2/2s").start();
    for hours in [-24, 24] {
        for number in 0..3 {
            Client::connect(&broker, &wrong(number));
        }
        set(&broker, hours);
        let forgiven = wait(|| Client::connect(&broker, &login(METER, hours)).1 == ACCEPTED);
        assert!(forgiven.is_some(), "{hours}: {}", broker.log());
    }
}

/// 2.1.2 sends no tick after its clock was set back: nothing tells then that the second look at the sessions is over.
fn a_session_of_the_last_hour_ends_nobody(version: Version) {
    let broker = with_a_clock(version).start();
    for (hours, level) in [(0, 4), (-2, 5)] {
        set(&broker, hours);
        Client::connect(&broker, &login(LAMP, hours).level(level).persistent()).0.disconnect();
        set(&broker, hours - 1);
        let now = login(LAMP, hours - 1).level(level);
        let (mut lamp, answer) = Client::connect(&broker, &now);
        assert_eq!(answer, ACCEPTED, "{}", broker.log());
        for _ in 0..3 {
            broker.reload();
            assert!(lamp.is_alive(), "{}", broker.log());
        }
        lamp.disconnect();
    }
    assert!(!broker.log().contains("reason=new_login"), "{}", broker.log());
    assert!(broker.refusals().is_empty(), "{:?}", broker.refusals());
}
