//! A wall clock that is set, back and forth: the hour of a login goes by it, and nothing else does.

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
/// From the real time on, in hours: an hour, a day and a year on, back by as much, and the truth again.
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

/// Sets the clock, so many hours from the real time, and waits until the broker has seen it.
///
/// 2.0.21 keeps all time by this clock: who connects while it jumps is taken for one who has said nothing for hours.
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

/// A login of so many hours from the real one. Without a keep alive, which 2.0.21 would count by this clock.
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
        // By now the hour of this one lies anywhere.
        broker.reload();
        assert!(lamp.is_alive(), "{hours}: {}", broker.log());
        // A broker that looks again at its sessions does not mean a new login, whatever it says of the end of that look.
        assert_eq!(answer(-3), refused(version, 4, "stale_timestamp"), "{hours}, after a SIGHUP");
    }
    assert!(!broker.log().contains("iotda-auth: disconnected client=\"64a1f0c2_lamp-01"));
    broker.reload();
    let (stale, future) = (2 * JUMPS.len(), JUMPS.len());
    broker.wait_for_log(&format!(" stale_timestamp={stale} future_timestamp={future} "));
}

/// What holds where the operator says nothing: at the turn of the hour nobody is refused who has just signed, and nobody
/// comes with a password for another year.
fn the_window_is_65_minutes_and_a_day(version: Version) {
    let broker = with_a_clock(version).start();
    // So many seconds after the turn of the hour; they run on while this is played.
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
            // A broker that gives no tick until its clock has caught up gives a login.
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
    // Nor is anyone locked out for as long as the clock was set back.
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
