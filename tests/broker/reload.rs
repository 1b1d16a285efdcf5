//! A changed secrets file comes into force while the broker runs, and after it exactly the right devices are connected.

use iotda_core::login::{SignType::Sha256, signature::HourKey};
use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};
use support::{
    broker::{Broker, Setup, wait},
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client, Connect, not_authorized},
    on_every_broker,
    scratch::set_mode,
    version::Version,
};

on_every_broker!(
    new_devices_log_in,
    devices_that_no_longer_belong_are_disconnected,
    a_wrong_file_changes_nothing,
    the_last_content_wins,
    a_changed_file_is_noticed,
    a_changed_file_is_noticed_with_per_listener_settings,
    a_file_that_is_being_written_is_waited_for,
    a_file_that_is_moved_into_place_is_not_waited_for,
    odd_files_cost_no_more_than_they_hold,
    sessions_are_forgotten,
    offline_sessions_of_removed_devices_cannot_come_back,
    a_client_is_served_throughout,
    a_broker_ends_in_the_middle_of_a_load,
    a_thousand_reloads,
    thousands_are_disconnected_a_portion_at_a_time,
);

const NEW: Device = Device { id: "64a1f0c2_lamp-02", secret: "brandnewsecret" };

/// A device whose timestamp never becomes too old: these tests change the file, not the hour.
pub(super) fn connect(device: Device) -> Connect {
    device.connect(Sha256, "2999010100")
}

pub(super) fn write(broker: &Broker, content: &str) {
    // Written to a new file and renamed, as careful programs do.
    let path = broker.scratch().file("secrets.new", content);
    fs::rename(path, broker.secrets()).unwrap();
}

/// Sends SIGHUP, and waits until the plugin has logged the result.
pub(super) fn reload(broker: &Broker) -> String {
    let told = || {
        let log = broker.log();
        log.lines()
            .filter(|line| {
                line.contains("iotda-auth: reloaded") || line.contains("iotda-auth: not reloaded")
            })
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let before = told().len();
    broker.signal("HUP");
    wait(|| told().get(before).cloned())
        .unwrap_or_else(|| panic!("no word of a reload:\n{}", broker.log()))
}

fn new_devices_log_in(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let (mut lamp, answer) = Client::connect(&broker, &connect(LAMP));
    assert_eq!(answer, ACCEPTED);
    assert_eq!(Client::connect(&broker, &connect(NEW)).1, not_authorized(4));
    write(&broker, &format!("{}{}:{}\n", secrets(), NEW.id, NEW.secret));
    let line = reload(&broker);
    assert!(
        line.contains(": 3 devices, 1 added, 0 removed, 0 changed; 1 logged in, 0 disconnected"),
        "{line}"
    );
    assert_eq!(Client::connect(&broker, &connect(NEW)).1, ACCEPTED);
    assert!(lamp.is_alive());
}

fn devices_that_no_longer_belong_are_disconnected(version: Version) {
    let device = |id, secret| Device { id, secret };
    let same = device("same", "samesecret");
    let removed = device("removed", "removedsecret");
    let frozen = device("frozen-later", "frozensecret");
    let renewed = device("renewed", "beforesecret");
    let rotated = device("rotated", "rotatedsecret");
    let dropped = device("dropped", "secondsecret");
    let thawed = device("thawed", "thawedsecret");
    let broker = Setup::new(version)
        .secrets(
            "same:samesecret\nremoved:removedsecret\nfrozen-later:frozensecret\nrenewed:beforesecret\n\
             rotated:rotatedsecret\ndropped:firstsecret:secondary=secondsecret\nthawed:thawedsecret:frozen\n",
        )
        .start();
    let mut clients: Vec<_> = [same, removed, frozen, renewed, rotated, dropped]
        .iter()
        .map(|device| (device.id, Client::connect(&broker, &connect(*device))))
        .collect();
    assert!(clients.iter().all(|(_, (_, answer))| *answer == ACCEPTED), "{}", broker.log());
    assert_eq!(Client::connect(&broker, &connect(thawed)).1, not_authorized(4));
    write(
        &broker,
        "thawed:thawedsecret\nsame:samesecret\nfrozen-later:frozensecret:frozen\nrenewed:aftersecret\n\
         rotated:freshsecret:secondary=rotatedsecret\ndropped:firstsecret\n",
    );
    let line = reload(&broker);
    assert!(
        line.contains(": 6 devices, 0 added, 1 removed, 5 changed; 2 logged in, 4 disconnected"),
        "{line}"
    );
    for (id, (client, _)) in &mut clients {
        let stays = ["same", "rotated"].contains(id);
        assert_eq!(client.is_alive(), stays, "{id}:\n{}", broker.log());
    }
    for (id, reason) in [
        ("removed", "unknown_device"),
        ("frozen-later", "frozen"),
        ("renewed", "wrong_password"),
        ("dropped", "wrong_password"),
    ] {
        let line =
            format!("iotda-auth: disconnected client=\"{id}_0_0_2999010100\" reason={reason}");
        assert_eq!(broker.log().matches(&line).count(), 1, "{line}\n{}", broker.log());
    }
    assert_eq!(Client::connect(&broker, &connect(thawed)).1, ACCEPTED);
    for device in [removed, frozen, renewed, dropped] {
        assert_eq!(
            Client::connect(&broker, &connect(device)).1,
            not_authorized(4),
            "{}",
            device.id
        );
    }
    assert_eq!(
        Client::connect(&broker, &connect(Device { secret: "aftersecret", ..renewed })).1,
        ACCEPTED
    );
}

fn a_wrong_file_changes_nothing(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    let (mut lamp, _) = Client::connect(&broker, &connect(LAMP));
    let path = broker.secrets();
    let only_new = format!("{}:{}\n", NEW.id, NEW.secret);
    let mut check = |expected: &str| {
        let line = reload(&broker);
        assert!(
            line.contains("not reloaded, 2 devices stay: secrets_file \"")
                && line.contains(expected),
            "{line}"
        );
        assert!(lamp.is_alive(), "{expected}: {}", broker.log());
        assert_eq!(Client::connect(&broker, &connect(METER)).1, ACCEPTED, "{expected}");
        assert_eq!(Client::connect(&broker, &connect(NEW)).1, not_authorized(4), "{expected}");
    };

    write(&broker, &format!("{only_new}broken\n{only_new}"));
    check("2 wrong lines");
    broker.wait_for_log("line 2: expected device_id:secret, found no colon");
    broker.wait_for_log("line 3: device: given on line 1 already");
    for empty in ["", "# all gone\n", "\n"] {
        write(&broker, empty);
        check("expected devices, as before, found none");
    }
    let cut = secrets();
    write(&broker, &cut[..cut.len() - 5]);
    check("expected a newline behind the last line, as before, found none: is the file cut off?");
    write(&broker, &only_new);
    set_mode(path, 0o606);
    check("expected a file that others cannot write, found mode 0606");
    fs::remove_file(path).unwrap();
    check("cannot be read: No such file or directory");
    fs::create_dir(path).unwrap();
    check("expected a regular file, found a directory");
    fs::remove_dir(path).unwrap();

    // Earlier errors are forgotten after the file is right again.
    write(&broker, &format!("{}{only_new}", secrets()));
    assert!(reload(&broker).contains("3 devices, 1 added, 0 removed, 0 changed"));
    assert_eq!(Client::connect(&broker, &connect(NEW)).1, ACCEPTED);
    for secret in [LAMP.secret, METER.secret, NEW.secret] {
        assert!(!broker.log().contains(secret));
    }
}

/// Enough devices for a load to take a while, and one more.
pub(super) fn many(count: usize, last: Device) -> String {
    let mut file: String =
        (0..count).map(|n| format!("5fdb75cccbfe2f02ce81d4bf_dev{n:07}:{n:032}\n")).collect();
    file.push_str(&format!("{}:{}\n", last.id, last.secret));
    file
}

fn the_last_content_wins(version: Version) {
    let broker = Setup::new(version).secrets(many(200_000, LAMP)).start();
    // Prepared first, because writing them takes longer than a load.
    let almost_new = Device { id: NEW.id, secret: "almostnewsecret" };
    let [one, two, three] = [("one", METER), ("two", almost_new), ("three", NEW)]
        .map(|(name, last)| broker.scratch().file(name, many(200_000, last)));
    let put = |content: PathBuf| fs::rename(content, broker.secrets()).unwrap();
    // Three contents, a SIGHUP after each, without waiting for any of them.
    put(one);
    broker.signal("HUP");
    sleep(Duration::from_millis(10));
    put(two);
    broker.signal("HUP");
    broker.signal("HUP");
    // One more content without a SIGHUP: it is there before the load is done.
    put(three);
    let accepted = wait(|| Client::connect(&broker, &connect(NEW)).1 == ACCEPTED);
    assert!(accepted.is_some(), "{}", broker.log());
    sleep(Duration::from_millis(500));
    for (device, answer) in [(NEW, ACCEPTED), (LAMP, not_authorized(4)), (METER, not_authorized(4))]
    {
        assert_eq!(
            Client::connect(&broker, &connect(device)).1,
            answer,
            "{}:\n{}",
            device.id,
            broker.log()
        );
    }
    assert!(!broker.log().contains("not reloaded"), "{}", broker.log());
}

/// Changes are noticed without a SIGHUP.
fn notices(version: Version, per_listener_settings: bool) {
    let setup =
        Setup::new(version).line_before(&format!("per_listener_settings {per_listener_settings}"));
    let with = |device: Device| format!("{}{}:{}\n", secrets(), device.id, device.secret);
    // A mounted secret of Kubernetes: the file is a link into a folder that is itself a link, and the latter is changed.
    let root = setup.scratch().path().to_path_buf();
    for (folder, content) in [("one", secrets()), ("two", with(NEW))] {
        fs::create_dir(root.join(folder)).unwrap();
        setup.scratch().file(&format!("{folder}/secrets"), content);
    }
    symlink("one", root.join("data")).unwrap();
    symlink("data/secrets", root.join("link")).unwrap();
    let broker = setup.secrets_file(&root.join("link")).option("reload_interval", "1s").start();
    let logs_in = |device: Device| {
        wait(|| Client::connect(&broker, &connect(device)).1 == ACCEPTED).is_some()
    };
    let (mut lamp, _) = Client::connect(&broker, &connect(LAMP));
    assert_eq!(Client::connect(&broker, &connect(NEW)).1, not_authorized(4));

    symlink("two", root.join("turned")).unwrap();
    fs::rename(root.join("turned"), root.join("data")).unwrap();
    assert!(logs_in(NEW), "{}", broker.log());

    // An editor that writes a new file and renames it.
    let second = Device { id: NEW.id, secret: "secondsecret" };
    let beside = broker.scratch().file("two/beside", with(second));
    fs::rename(beside, root.join("two/secrets")).unwrap();
    assert!(logs_in(second), "{}", broker.log());

    // One that writes into the file, without changing its length.
    let third = Device { id: NEW.id, secret: "third_secret" };
    assert_eq!(with(second).len(), with(third).len());
    fs::write(root.join("two/secrets"), with(third)).unwrap();
    assert!(logs_in(third), "{}", broker.log());

    // A wrong file is logged once, and not once a second.
    fs::write(root.join("two/secrets"), "broken\n").unwrap();
    let told = wait(|| {
        // Without TICKs the new table waits for the next login.
        let _ = Client::connect(&broker, &connect(METER));
        broker.log().contains("not reloaded, 3 devices stay")
    });
    assert!(told.is_some(), "{}", broker.log());
    sleep(Duration::from_millis(5500));
    let _ = Client::connect(&broker, &connect(METER));
    assert_eq!(broker.log().matches("not reloaded").count(), 1, "{}", broker.log());

    // A device that is removed is disconnected.
    assert!(lamp.is_alive());
    fs::write(root.join("two/secrets"), format!("{}:{}\n", METER.id, METER.secret)).unwrap();
    let gone = wait(|| {
        let _ = Client::connect(&broker, &connect(METER));
        broker.log().contains("1 device, 0 added, 2 removed")
    });
    assert!(gone.is_some(), "{}", broker.log());
    assert!(!lamp.is_alive(), "{}", broker.log());
}

fn a_changed_file_is_noticed(version: Version) {
    notices(version, false);
}

fn a_changed_file_is_noticed_with_per_listener_settings(version: Version) {
    notices(version, true);
}

/// A slow program that writes into the file itself. It pauses at the end of a line, which looks like a complete file.
fn a_file_that_is_being_written_is_waited_for(version: Version) {
    let all = many(2000, LAMP);
    let broker = Setup::new(version)
        .secrets(&all)
        .option("reload_interval", "1s")
        .line("log_type all")
        .start();
    set_mode(broker.secrets(), 0o644);
    let (mut lamp, answer) = Client::connect(&broker, &connect(LAMP));
    assert_eq!(answer, ACCEPTED);
    let count = |text: &str| broker.log().matches(text).count();
    // A change of the mode counts too.
    broker.wait_for_log("iotda-auth: reloaded");
    assert_eq!(count("chmod o-r"), 1);
    let slowly = |content: &str| {
        let lines: Vec<&str> = content.split_inclusive('\n').collect();
        let mut file = fs::File::create(broker.secrets()).unwrap();
        for part in lines.chunks(lines.len().div_ceil(4)) {
            file.write_all(part.concat().as_bytes()).unwrap();
            sleep(Duration::from_millis(1200));
        }
    };
    slowly(&all.replacen("dev0000000:", "dev_another:", 1));
    let told = "2001 devices, 1 added, 1 removed, 0 changed; 1 logged in, 0 disconnected";
    broker.wait_for_log(told);
    sleep(Duration::from_secs(5));
    // One change gives one line and each warning once, and no other content was in force in between.
    assert_eq!((count("iotda-auth: reloaded"), count("chmod o-r")), (2, 2), "{}", broker.log());
    assert!(!broker.log().contains("not reloaded") && lamp.is_alive(), "{}", broker.log());

    slowly(&all.replacen(':', "?", 1));
    broker.wait_for_log("not reloaded, 2001 devices stay");
    sleep(Duration::from_secs(5));
    assert_eq!((count("not reloaded"), count(" line 1: ")), (1, 1), "{}", broker.log());
    assert_eq!(count("iotda-auth: reloaded"), 2, "{}", broker.log());
    assert!(lamp.is_alive(), "{}", broker.log());
}

fn a_file_that_is_moved_into_place_is_not_waited_for(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).option("reload_interval", "1s").start();
    // A busy machine may be late once.
    let in_time = (1..=5).any(|round| {
        let begin = Instant::now();
        write(&broker, &format!("{}new-{round}:a-new-secret\n", secrets()));
        broker.wait_for_log_count("iotda-auth: reloaded", round);
        begin.elapsed() < Duration::from_secs(2)
    });
    assert!(in_time, "{}", broker.log());
}

/// The most memory that a broker has had, in KiB.
fn peak(broker: &Broker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn odd_files_cost_no_more_than_they_hold(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    // A sparse file, which takes no room on the disk; alone, and after devices.
    for (content, line) in [(String::new(), 1), (many(1000, LAMP), 1002)] {
        let before = peak(&broker);
        let path = broker.scratch().file("secrets.new", content);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3 << 30).unwrap();
        fs::rename(path, broker.secrets()).unwrap();
        let told = reload(&broker);
        // A file that has a device is a secrets file, whatever else it holds.
        let expected = match line {
            1 => "expected lines like device_id:secret, found only NUL bytes".into(),
            _ => format!(
                "line {line}: expected at most 1024 bytes, found more than 1048576: is it a secrets file?"
            ),
        };
        assert!(told.contains(&expected), "{told}");
        assert!(peak(&broker) - before < 8 << 10, "{before} {}", peak(&broker));
    }
    // One device very often: allowed are the file and the index of a table of as many devices.
    let file = format!("{}:{}\n", LAMP.id, LAMP.secret).repeat(1_000_000);
    let before = peak(&broker);
    write(&broker, &file);
    assert!(reload(&broker).contains(": 999999 wrong lines"), "{}", broker.log());
    let (size, taken) = (file.len() as u64 >> 10, peak(&broker) - before);
    assert!(taken < size + (20 << 10), "{taken} KiB for a file of {size} KiB");
}

fn sessions_are_forgotten(version: Version) {
    let broker = Setup::new(version).secrets(secrets()).start();
    for round in 0..50 {
        for level in [3, 4, 5] {
            // A clean session that ends well, one that breaks off, one that is taken over, persistent ones, refused ones.
            Client::connect(&broker, &connect(LAMP).level(level)).0.disconnect();
            drop(Client::connect(&broker, &connect(LAMP).level(level)).0);
            let (first, _) = Client::connect(&broker, &connect(METER).level(level));
            let (second, answer) = Client::connect(&broker, &connect(METER).level(level));
            assert_eq!(answer, ACCEPTED, "round {round}");
            drop((first, second));
            Client::connect(&broker, &connect(LAMP).level(level).persistent()).0.disconnect();
            drop(Client::connect(&broker, &connect(LAMP).level(level).persistent()).0);
            Client::connect(&broker, &connect(NEW).level(level));
        }
    }
    let (_stays, _) = Client::connect(&broker, &connect(LAMP));
    let forgotten = wait(|| reload(&broker).contains("; 1 logged in, 0 disconnected"));
    assert!(forgotten.is_some(), "{}", broker.log());
}

fn offline_sessions_of_removed_devices_cannot_come_back(version: Version) {
    let setup = Setup::new(version);
    let folder = setup.scratch().path().display().to_string();
    let setup = setup.line("persistence true").line(&format!("persistence_location {folder}/"));
    let mut broker = setup.secrets(format!("{}{}:{}\n", secrets(), NEW.id, NEW.secret)).start();
    for device in [LAMP, NEW] {
        let (mut client, answer) = Client::connect(&broker, &connect(device).persistent());
        assert_eq!(answer, ACCEPTED);
        client.subscribe(4, "news");
        client.disconnect();
    }
    broker.restart();
    write(&broker, &secrets());
    reload(&broker);
    // The second sweep is checked against the new table.
    reload(&broker);
    let refused = broker.refusals();
    assert!(
        refused.iter().all(|line| line.contains(NEW.id) && line.contains("reason=unknown_device")),
        "{refused:?}"
    );
    assert_eq!(Client::connect(&broker, &connect(NEW).persistent()).1, not_authorized(4));
    Client::connect(&broker, &connect(METER)).0.publish(4, "news", b"kept");
    let (mut lamp, _) = Client::connect(&broker, &connect(LAMP).persistent());
    assert!(lamp.receive().expect("a queued message").ends_with(b"kept"));
}

fn a_client_is_served_throughout(version: Version) {
    let broker =
        Setup::new(version).secrets(many(200_000, LAMP)).line("set_tcp_nodelay true").start();
    let (mut lamp, answer) = Client::connect(&broker, &connect(LAMP));
    assert_eq!(answer, ACCEPTED);
    write(&broker, &many(200_001, LAMP));
    broker.signal("HUP");
    let (mut pings, begin) = (0, Instant::now());
    while !broker.log().contains("iotda-auth: reloaded") {
        assert!(lamp.is_alive(), "{}", broker.log());
        pings += 1;
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", broker.log());
    }
    assert!(pings > 10, "{pings} pings were answered during the load");
}

fn a_broker_ends_in_the_middle_of_a_load(version: Version) {
    let mut broker = Setup::new(version).secrets(many(200_000, LAMP)).start();
    for pause in [0, 2, 5, 15] {
        write(&broker, &many(200_001, LAMP));
        broker.signal("HUP");
        sleep(Duration::from_millis(pause));
        let begin = Instant::now();
        broker.stop();
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "the broker took {:?} to end",
            begin.elapsed()
        );
        broker.start_again();
    }
}

fn a_thousand_reloads(version: Version) {
    let broker = Setup::new(version).secrets(many(2_000, LAMP)).start();
    let (mut lamp, _) = Client::connect(&broker, &connect(LAMP));
    let mut after_warm_up = 0;
    for round in 0..1000 {
        let extra = if round % 2 == 0 { NEW } else { METER };
        write(&broker, &format!("{}{}:{}\n", many(2_000, LAMP), extra.id, extra.secret));
        broker.signal("HUP");
        let (client, _) = Client::connect(&broker, &connect(extra));
        if round % 3 == 0 {
            client.disconnect();
        }
        assert!(lamp.is_alive(), "round {round}");
        if round == 200 {
            after_warm_up = broker.resident();
        }
    }
    let line = reload(&broker);
    assert!(line.contains("2002 devices"), "{line}");
    let at_end = broker.resident();
    assert!(
        at_end < after_warm_up + 2048,
        "resident memory grew from {after_warm_up} to {at_end} KiB"
    );
}

fn thousands_are_disconnected_a_portion_at_a_time(version: Version) {
    const COUNT: usize = 4000;
    let file = |count| -> String {
        let devices = (0..count).map(|n| format!("device-{n}:a-secret-of-its-own\n"));
        format!("{}:{}\n{}", LAMP.id, LAMP.secret, devices.collect::<String>())
    };
    let broker = Setup::new(version)
        .secrets(file(COUNT))
        .line("set_tcp_nodelay true")
        .line("log_type notice\nlog_type information\nlog_type error")
        .start();
    let (mut lamp, answer) = Client::connect(&broker, &connect(LAMP));
    assert_eq!(answer, ACCEPTED);
    let key = HourKey::new(Sha256, b"2999010100");
    let password = key.password(b"a-secret-of-its-own");
    let clients: Vec<Client> = (0..COUNT)
        .map(|n| {
            let id = format!("device-{n}");
            let login = Connect::new(format!("{id}_0_0_2999010100"))
                .username(id)
                .password(password.as_str());
            let (client, answer) = Client::connect(&broker, &login);
            assert_eq!(answer, ACCEPTED);
            client
        })
        .collect();
    write(&broker, &file(0));
    broker.signal("HUP");
    let (mut answered_meanwhile, begin) = (0, Instant::now());
    let mut before = String::new();
    loop {
        assert!(lamp.is_alive(), "{}", broker.log());
        let log = broker.log();
        if log.contains("iotda-auth: reloaded") {
            assert!(log.contains(&format!("1 logged in, {COUNT} disconnected")), "{log}");
            break;
        }
        // The ping was sent after some were disconnected, and answered before all were.
        answered_meanwhile += usize::from(before.contains("iotda-auth: disconnected client="));
        before = log;
        assert!(begin.elapsed() < Duration::from_secs(30), "{before}");
    }
    assert!(answered_meanwhile > 0, "the broker did nothing else meanwhile");
    drop(clients);
}
