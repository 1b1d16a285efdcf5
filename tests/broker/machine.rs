//! Troubles of the machine: no file descriptors, a file that cannot be read, a process that is stopped in the middle.

use crate::reload::{connect, many, reload, write};
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};
use support::{
    broker::{Broker, Setup, user_line, wait},
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client, not_authorized},
    on_every_broker,
    scratch::set_mode,
    version::Version,
};

on_every_broker!(
    a_reload_without_file_descriptors_changes_nothing,
    a_file_that_cannot_be_read_changes_nothing,
    a_load_goes_on_after_a_stop,
);

const NEW: Device = Device { id: "64a1f0c2_lamp-02", secret: "brandnewsecret" };

/// Two devices and a new one.
fn with_new() -> String {
    format!("{}{}:{}\n", secrets(), NEW.id, NEW.secret)
}

fn a_reload_without_file_descriptors_changes_nothing(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let (mut lamp, answer) = Client::connect(&broker, &connect(LAMP));
    assert_eq!(answer, ACCEPTED);
    write(&broker, &with_new());
    let before = fs::read_to_string(format!("/proc/{}/limits", broker.pid())).unwrap();
    let before = before.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let before = before.split_whitespace().next().unwrap();
    limit_files(&broker, &first_free_descriptor(&broker).to_string());
    // As with very many connections: new clients are turned away.
    assert_eq!(Client::dial(&broker).rest(), b"");

    let line = reload(&broker);
    let expected = "iotda-auth: not reloaded, 2 devices stay: secrets_file ";
    assert!(line.contains(expected), "{line}");
    // musl has other words for it.
    assert!(line.contains("cannot be read: ") && line.ends_with(" (os error 24)"), "{line}");
    assert_eq!(broker.log().matches("not reloaded").count(), 1, "{}", broker.log());
    assert!(lamp.is_alive(), "{}", broker.log());

    limit_files(&broker, before);
    assert!(reload(&broker).contains("3 devices, 1 added"), "{}", broker.log());
    assert!(lamp.is_alive(), "{}", broker.log());
    assert_eq!(Client::connect(&broker, &connect(NEW)).1, ACCEPTED);
}

/// From this number on, a running broker gets no more file descriptors.
fn limit_files(broker: &Broker, number: &str) {
    let (pid, limit) = (broker.pid().to_string(), format!("--nofile={number}:"));
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(status.expect("prlimit runs").success());
}

fn first_free_descriptor(broker: &Broker) -> usize {
    let used = |number: &usize| {
        fs::symlink_metadata(format!("/proc/{}/fd/{number}", broker.pid())).is_ok()
    };
    (0..).find(|number| !used(number)).unwrap()
}

fn a_file_that_cannot_be_read_changes_nothing(version: Version) {
    let mut setup = Setup::new(version).secrets(secrets()).option("reload_interval", "1s");
    if !user_line().is_empty() {
        // Root may read everything, unless it drops that capability.
        setup = setup.started_by(["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]);
    }
    let broker = setup.start();
    let (mut lamp, answer) = Client::connect(&broker, &connect(LAMP));
    assert_eq!(answer, ACCEPTED);
    write(&broker, &with_new());
    set_mode(broker.secrets(), 0);
    let expected = "cannot be read: Permission denied (os error 13)";
    broker.wait_for_log(expected);
    let line = reload(&broker);
    assert!(line.contains("not reloaded, 2 devices stay: secrets_file "), "{line}");
    assert!(line.ends_with(expected), "{line}");
    assert!(lamp.is_alive(), "{}", broker.log());
    assert_eq!(Client::connect(&broker, &connect(METER)).1, ACCEPTED);
    assert_eq!(Client::connect(&broker, &connect(NEW)).1, not_authorized(4));
    // Its mode is watched too, so no SIGHUP is needed after it is readable again.
    set_mode(broker.secrets(), 0o600);
    broker.wait_for_log("3 devices, 1 added, 0 removed, 0 changed; 1 logged in, 0 disconnected");
    assert_eq!(Client::connect(&broker, &connect(NEW)).1, ACCEPTED);
}

/// Enough devices for a load to take a while.
const MANY: usize = 1_000_000;

fn a_load_goes_on_after_a_stop(version: Version) {
    let setup = Setup::new(version).secrets(secrets());
    let folder = setup.scratch().path().display().to_string();
    let mut broker =
        setup.line("persistence true").line(&format!("persistence_location {folder}/")).start();
    let (mut meter, answer) = Client::connect(&broker, &connect(METER));
    assert_eq!(answer, ACCEPTED);
    write(&broker, &(many(MANY, LAMP) + &format!("{}:{}\n", METER.id, METER.secret)));

    stop_in_the_middle_of_a_load(&broker);
    // A device that connects now waits, but only until the process goes on.
    let mut lamp = Client::dial(&broker);
    lamp.send(&connect(LAMP).persistent().packet());
    let devices = format!(": {} devices, {MANY} added, 0 removed, 0 changed;", MANY + 2);
    assert!(!broker.log().contains(&devices));
    broker.signal("CONT");
    assert_eq!(lamp.answer(), ACCEPTED, "{}", broker.log());
    broker.wait_for_log(&devices);
    assert!(meter.is_alive() && lamp.is_alive(), "{}", broker.log());
    assert!(!broker.log().contains("not reloaded"), "{}", broker.log());
    lamp.subscribe(4, "news");
    lamp.disconnect();
    meter.publish(4, "news", b"kept");

    // A broker that is told to end while stopped ends at once, and keeps its persistent data.
    stop_in_the_middle_of_a_load(&broker);
    broker.signal("TERM");
    let begin = Instant::now();
    broker.signal("CONT");
    let status = broker.wait_for_exit();
    assert!(status.success(), "{status}: {}", broker.log());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?} to end", begin.elapsed());
    assert!(broker.log().trim_end().ends_with("failed_reloads=0"), "{}", broker.log());
    broker.start_again();
    let version = support::library::version();
    broker.wait_for_log(&format!("iotda-auth: version {version}, {} devices from ", MANY + 2));
    let (mut lamp, answer) = Client::connect(&broker, &connect(LAMP).persistent());
    assert_eq!(answer, ACCEPTED);
    assert!(lamp.receive().expect("a queued message").ends_with(b"kept"));
}

/// Has the broker load its file again, and stops it while it has that open.
fn stop_in_the_middle_of_a_load(broker: &Broker) {
    let stopped = wait(|| {
        broker.signal("HUP");
        let reads = wait(|| is_reading(broker));
        broker.signal("STOP");
        let stopped = wait(|| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", broker.pid())).unwrap();
            stat.rsplit(") ").next().is_some_and(|state| state.starts_with('T'))
        });
        assert!(stopped.is_some() && reads.is_some(), "{}", broker.log());
        // The load may have ended before the signal came.
        let in_the_middle = is_reading(broker);
        if !in_the_middle {
            broker.signal("CONT");
        }
        in_the_middle
    });
    assert!(stopped.is_some(), "{}", broker.log());
}

/// Whether the broker has its secrets file open.
fn is_reading(broker: &Broker) -> bool {
    let files = fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap();
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to == broker.secrets()))
}
