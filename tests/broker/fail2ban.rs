//! `packaging/fail2ban`, with Debian's own fail2ban and the log of a real broker: which addresses it would ban, and that no
//! client can have it ban another address.

use iotda_core::login::SignType::Sha256Timestamp;
use std::{
    fs,
    net::Ipv6Addr,
    path::{Path, PathBuf},
    process::Command,
};
use support::{
    broker::{Broker, Setup, cache_folder, free_port},
    c::text_of,
    device::{Device, LAMP, METER, now, stamp},
    library::root,
    mqtt::{ACCEPTED, Client, Connect, VERSIONS, packet, string},
    on_every_broker,
    scratch::Scratch,
    transport,
    version::Version,
};

on_every_broker!(bans_only_addresses_that_the_broker_has_seen, reads_other_dates);

/// The address that a forger wants to have banned.
const VICTIM: &str = "203.0.113.9";
/// The frozen device.
const SPARE: Device = Device { id: "64a1f0c2_spare", secret: "0123456789" };

/// A tool of the fail2ban that `./dev test` has unpacked.
fn fail2ban(tool: &str) -> Command {
    let folder = cache_folder("IOTDA_FAIL2BAN", "fail2ban").join("root");
    let program = folder.join("usr/bin").join(tool);
    assert!(program.is_file(), "no fail2ban in {}: ./dev test brings it", folder.display());
    // Debian's own Python, for which that fail2ban was packaged.
    let mut command = Command::new("/usr/bin/python3");
    command.env("PYTHONPATH", folder.join("usr/lib/python3/dist-packages")).arg(program);
    command
}

/// fail2ban's configuration with our files in it.
fn configuration(scratch: &Scratch, log: &Path) -> PathBuf {
    let theirs = cache_folder("IOTDA_FAIL2BAN", "fail2ban").join("root/etc/fail2ban");
    let ours = root().join("packaging/fail2ban");
    let folder = scratch.path().join("fail2ban");
    text_of(Command::new("cp").arg("-r").arg(theirs).arg(&folder));
    let name = "mosquitto-iotda-auth.conf";
    // Debian turns on a jail for the machine's own ssh.
    fs::remove_dir_all(folder.join("jail.d")).unwrap();
    fs::create_dir(folder.join("jail.d")).unwrap();
    fs::copy(ours.join("filter.d").join(name), folder.join("filter.d").join(name)).unwrap();
    let jail = fs::read_to_string(ours.join("jail.d").join(name)).unwrap();
    let path = "logpath = /var/log/mosquitto/mosquitto.log";
    assert_eq!(jail.matches(path).count(), 1);
    let jail = jail.replace(path, &format!("logpath = {}", log.display()));
    fs::write(folder.join("jail.d").join(name), jail).unwrap();
    folder
}

/// The addresses that fail2ban finds in a broker's log, in order.
fn found(broker: &Broker) -> Vec<String> {
    found_in(broker, &broker.log())
}

fn found_in(broker: &Broker, log: &str) -> Vec<String> {
    let log = broker.scratch().file("log-of-now", log);
    let folder = configuration(broker.scratch(), &log);
    let checked = text_of(fail2ban("fail2ban-client").arg("-c").arg(&folder).arg("-t"));
    assert!(checked.contains("configuration test is successful"), "{checked}");
    let filter = folder.join("filter.d/mosquitto-iotda-auth.conf");
    let mut regex = fail2ban("fail2ban-regex");
    let said = text_of(regex.arg("-c").arg(&folder).args(["-o", "ip"]).arg(log).arg(filter));
    said.lines().filter(|line| !line.is_empty()).map(String::from).collect()
}

fn secrets() -> String {
    let Device { id, secret } = SPARE;
    format!("{}{id}:{secret}:frozen\n", support::device::secrets())
}

/// A client that is let in chooses topics, and a broker that logs everything has lines that are nothing but a topic
/// (`handle__unsubscribe` in `handle_unsubscribe.c`, 2.0 and 2.1), or have one after a ClientId.
fn name_forged_topics(client: &mut Client) {
    for start in ["iotda-auth: refused ", " iotda-auth: refused ", ": iotda-auth: refused "] {
        let topic = format!("{start}client=- user=- address={VICTIM} reason=wrong_password");
        client.subscribe(4, &topic);
        client.send(&packet(0xA2, &[&[0, 2][..], &string(topic.as_bytes())].concat()));
        assert_eq!(client.receive().expect("an UNSUBACK")[0], 0xB0);
    }
}

/// ClientIds and user names that would have the victim banned.
fn forgeries() -> Vec<Connect> {
    let line = format!("address={VICTIM} reason=wrong_password");
    let texts = [
        line.clone(),
        format!("x\" user=\"y\" {line}"),
        format!("x\\\" user=\"y\" {line}"),
        format!("iotda-auth: refused client=\"x\" user=\"y\" {line}"),
        format!("1795338000: iotda-auth: refused client=- user=- {line}"),
        format!("{line} \\"),
        format!("{}\" user=- {line}", "x".repeat(240)),
    ];
    let connect = |text: &String| {
        [
            Connect::new(text.as_str()),
            Connect::new("x").username(text.as_str()),
            Connect::new(text.as_str()).username(text.as_str()),
            Connect::new(format!("{text}_0_0_2026112209")).username(text.as_str()),
        ]
    };
    texts.iter().flat_map(connect).collect()
}

fn bans_only_addresses_that_the_broker_has_seen(version: Version) {
    let port = free_port();
    let setup = Setup::new(version).secrets(secrets());
    let path = setup.scratch().path().join("s");
    // The broker's own lines have the names of clients that are let in.
    let broker = setup
        .option("other_clients", "defer")
        .line(&format!("allow_anonymous true\nlistener {port} ::1\nlistener 0 {}", path.display()))
        .line("log_type all")
        .start();
    for level in VERSIONS {
        let mut other = Client::over(transport::tcp((Ipv6Addr::LOCALHOST, port)));
        other.send(&LAMP.connect_now().password("0".repeat(64)).level(level).packet());
        other.rest();
        let mut local = Client::over(transport::unix(&path));
        local.send(&METER.connect_now().password("0").level(level).packet());
        local.rest();
        // Registered devices: one that is frozen, one with a wrong clock, and one that works.
        Client::connect(&broker, &SPARE.connect_now().level(level)).0.rest();
        let stale = LAMP.connect(Sha256Timestamp, &stamp(now() - 5 * 3600)).level(level);
        Client::connect(&broker, &stale).0.rest();
        assert_eq!(Client::connect(&broker, &METER.connect_now().level(level)).1, ACCEPTED);
    }
    // One whose name looks like what a syslog puts before a line.
    for connect in [METER.connect_now(), Connect::new("mosquitto[7]:")] {
        let (mut client, answer) = Client::connect(&broker, &connect);
        assert_eq!(answer, ACCEPTED);
        name_forged_topics(&mut client);
    }
    for connect in forgeries() {
        Client::connect(&broker, &connect.clone());
        Client::connect(&broker, &connect.level(5));
    }
    let refused: Vec<String> = broker.refusals();
    let from = |address: &str| {
        let text = format!(" address={address} reason=");
        let theirs = refused.iter().filter(|line| line.contains(&text));
        theirs.filter(|line| !line.ends_with("right") && !line.ends_with("frozen")).count()
    };
    let (four, six) = (from("127.0.0.1"), from("::1"));
    assert!(four >= 10 && six == 3 && from(&path.display().to_string()) == 3, "{refused:#?}");
    assert!(refused.iter().any(|line| line.contains(VICTIM)), "{refused:#?}");
    assert!(broker.log().contains(&format!(" as address={VICTIM}")), "{}", broker.log());

    let banned = found(&broker);
    let count = |address: &str| banned.iter().filter(|found| *found == address).count();
    assert_eq!((count("127.0.0.1"), count("::1")), (four, six), "{banned:?}");
    assert_eq!(banned.len(), four + six, "{banned:?}");
}

/// The broker's own date format, which most operators choose, and those of a syslog.
fn reads_other_dates(version: Version) {
    let broker = Setup::new(version)
        .secrets(secrets())
        .line_before("log_timestamp_format %Y-%m-%dT%H:%M:%S")
        .start();
    Client::connect(&broker, &LAMP.connect_now().password("0"));
    Client::connect(&broker, &Connect::new("stranger"));
    assert_eq!(found(&broker), ["127.0.0.1", "127.0.0.1"], "{}", broker.log());
    // The prefix of a syslog, with and without the broker's own time.
    let refused = broker.refusals();
    for before in [
        "Nov 24 09:00:00 host mosquitto[7]: ",
        "2026-11-24T09:00:00.123456+00:00 host mosquitto[7]: ",
        "Nov 24 09:00:00 host mosquitto: 1795338000: ",
    ] {
        let log: String = refused.iter().map(|line| format!("{before}{line}\n")).collect();
        assert_eq!(found_in(&broker, &log), ["127.0.0.1", "127.0.0.1"], "{before}");
    }
}
