//! Messages to a device that never subscribed, and to one that did: each message once, and nothing to others.

use crate::other_clients::with_password_file;
use iotda_core::login::SignType::Sha256;
use std::{fs, thread::sleep, time::Duration};
use support::{
    broker::{Broker, Setup, free_port},
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS, packet, string},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(
    a_device_that_never_subscribes_gets_what_goes_down,
    a_device_that_subscribes_gets_each_message_once,
    a_resumed_session_keeps_its_own,
    a_restart_doubles_nothing,
    nobody_else_gets_anything,
    a_frozen_device_gets_nothing,
    nothing_is_kept_for_an_absent_device,
    a_device_with_two_connections_gets_it_on_both,
    nothing_comes_when_switched_off,
    a_message_to_nobody_is_told_and_counted,
    a_back_end_on_another_listener_reaches_devices,
    many_commands_arrive_exactly_once,
    nothing_is_found_under_valgrind;
    // 2.0 does not tell a plugin when a client unsubscribes.
    from 2.1: after_an_unsubscribe_messages_come_as_before,
    a_session_that_goes_by_the_device_gets_each_message_once
);

/// Topics of messages to a device, after `$oc/devices/{id}/sys/`.
const DOWN: [&str; 7] = [
    "messages/down",
    "commands/request_id=7",
    "properties/set/request_id=7",
    "properties/get/request_id=7",
    "shadow/get/response/request_id=7",
    "events/down",
    "bootstrap/down",
];

/// Topics that a device publishes to; no device gets these messages.
const UP: [&str; 8] = [
    "messages/up",
    "properties/report",
    "commands/response/request_id=7",
    "properties/set/response/request_id=7",
    "properties/get/response/request_id=7",
    "shadow/get/request_id=7",
    "events/up",
    "gateway/sub_devices/properties/report",
];

/// What the C SDK and its like subscribe to.
const OF_THE_C_SDK: [&str; 6] = [
    "messages/down",
    "commands/#",
    "properties/set/#",
    "properties/get/#",
    "shadow/get/response/#",
    "events/down",
];

fn setup(version: Version) -> Setup {
    with_password_file(version, "defer")
}

fn topic(device: Device, rest: &str) -> String {
    format!("$oc/devices/{}/sys/{rest}", device.id)
}

fn login(device: Device) -> Connect {
    device.connect(Sha256, "2999010100")
}

fn connect(broker: &Broker, connect: &Connect) -> Client {
    let (client, answer) = Client::connect(broker, connect);
    assert_eq!(answer, ACCEPTED, "{}", broker.log());
    client
}

fn service(broker: &Broker) -> Client {
    let service = Connect::new("service").username("backend.service").password("backendpassword");
    connect(broker, &service)
}

/// A PUBLISH that came: its topic, QoS and payload, and whether it was a retained one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Got {
    topic: String,
    qos: u8,
    payload: String,
    retained: bool,
}

fn got(topic: &str, qos: u8, payload: &str) -> Got {
    Got { topic: topic.into(), qos, payload: payload.into(), retained: false }
}

/// All messages that have come so far, in order of topics. Those of QoS 1 are acknowledged.
fn all_that_came(client: &mut Client, level: u8) -> Vec<Got> {
    client.send(&[0xC0, 0]);
    let mut came = Vec::new();
    loop {
        let packet = client.receive().expect("a PINGRESP");
        if packet == [0xD0, 0] {
            came.sort();
            return came;
        }
        assert_eq!(packet[0] & 0xF0, 0x30, "{packet:02x?}");
        let qos = packet[0] >> 1 & 3;
        let body = &packet[1 + packet[1..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1..];
        let (length, rest) = body.split_at(2);
        let (topic, rest) = rest.split_at(usize::from(length[0]) << 8 | usize::from(length[1]));
        let (id, rest) = rest.split_at(if qos > 0 { 2 } else { 0 });
        let rest = if level == 5 { &rest[1 + usize::from(rest[0])..] } else { rest };
        if qos == 1 {
            client.send(&[&[0x40, 2], id].concat());
        }
        came.push(Got {
            topic: String::from_utf8(topic.to_vec()).unwrap(),
            qos,
            payload: String::from_utf8(rest.to_vec()).unwrap(),
            retained: packet[0] & 1 == 1,
        });
    }
}

/// Publishes one message to each topic for a device; its payload is the number of the round.
fn send_down(service: &mut Client, device: Device, round: &str) {
    for rest in DOWN {
        service.publish(4, &topic(device, rest), round.as_bytes());
    }
}

fn expected(device: Device, round: &str, qos_of: impl Fn(&str) -> Option<u8>) -> Vec<Got> {
    let mut all: Vec<_> = DOWN
        .iter()
        .filter_map(|rest| Some(got(&topic(device, rest), qos_of(rest)?, round)))
        .collect();
    all.sort();
    all
}

fn unsubscribe(client: &mut Client, level: u8, filter: &str) {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    client.send(&packet(0xA2, &[&[0, 2], properties, &string(filter.as_bytes())].concat()));
    let unsuback = client.receive().expect("an UNSUBACK");
    assert_eq!(unsuback[0], 0xB0, "{unsuback:02x?}");
}

fn a_device_that_never_subscribes_gets_what_goes_down(version: Version) {
    let broker = setup(version).start();
    let mut service = service(&broker);
    for level in VERSIONS {
        for keeps in [false, true] {
            let login = login(LAMP).level(level);
            let login = if keeps { login.persistent() } else { login };
            let mut lamp = connect(&broker, &login);
            let mut meter = connect(&broker, &self::login(METER));
            for round in ["one", "two"] {
                send_down(&mut service, LAMP, round);
                for rest in UP {
                    service.publish(4, &topic(LAMP, rest), b"up");
                }
                let came = all_that_came(&mut lamp, level);
                assert_eq!(came, expected(LAMP, round, |_| Some(0)), "{level} {keeps}");
                assert_eq!(all_that_came(&mut meter, 4), []);
            }
            // Nor does what it sends itself come back.
            for rest in UP {
                lamp.publish_unread(level, &topic(LAMP, rest));
            }
            assert_eq!(all_that_came(&mut lamp, level), []);
            lamp.disconnect();
        }
    }
}

fn a_device_that_subscribes_gets_each_message_once(version: Version) {
    let broker = setup(version).start();
    let mut service = service(&broker);
    let filters: [&[&str]; 8] = [
        &OF_THE_C_SDK,
        &["#"],
        &["+/down", "commands/+"],
        &["messages/down"],
        &["commands/#", "commands/+"],
        &["properties/#"],
        &["properties/set/+", "shadow/#", "events/down", "events/down"],
        &["bootstrap/down", "messages/#"],
    ];
    for (level, own) in VERSIONS.into_iter().cycle().zip(filters) {
        let mut lamp = connect(&broker, &login(LAMP).level(level));
        for filter in own {
            lamp.subscribe(level, &topic(LAMP, filter));
        }
        send_down(&mut service, LAMP, "one");
        let is_covered = |rest: &str| own.iter().any(|filter| covers(filter, rest));
        // On 2.0, a device that subscribes gets only what it has subscribed to.
        let other = version.subscribes_sessions().then_some(0);
        let qos = |rest: &str| if is_covered(rest) { Some(1) } else { other };
        let mut came = all_that_came(&mut lamp, level);
        let wanted = expected(LAMP, "one", qos);
        // A broker may deliver a message once for each of a device's own filters.
        came.dedup();
        assert_eq!(came, wanted, "{own:?} {level}");
        lamp.disconnect();
    }
}

/// Whether a filter matches a topic, for the shapes that these tests have.
fn covers(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(other)) if level == other => {}
            _ => return false,
        }
    }
}

fn after_an_unsubscribe_messages_come_as_before(version: Version) {
    let broker = setup(version).start();
    let mut service = service(&broker);
    for (level, own) in VERSIONS.into_iter().cycle().zip([
        &["messages/down"][..],
        &["commands/#"],
        &["commands/+"],
        &["#", "commands/#"],
        &["properties/set/+", "+/down"],
        &OF_THE_C_SDK,
    ]) {
        let mut lamp = connect(&broker, &login(LAMP).level(level));
        for filter in own {
            lamp.subscribe(level, &topic(LAMP, filter));
        }
        for filter in own {
            unsubscribe(&mut lamp, level, &topic(LAMP, filter));
        }
        // A filter that is just one of ours comes again at the broker's next TICK.
        sleep(Duration::from_millis(1500));
        send_down(&mut service, LAMP, "one");
        let came = all_that_came(&mut lamp, level);
        assert_eq!(came, expected(LAMP, "one", |_| Some(0)), "{own:?} {level}");
        lamp.disconnect();
    }
}

fn a_resumed_session_keeps_its_own(version: Version) {
    let broker = setup(version).start();
    let mut service = service(&broker);
    let own = |rest: &str| ["messages/down", "commands/request_id=7"].contains(&rest);
    let other = version.subscribes_sessions().then_some(0);
    let qos = |rest: &str| if own(rest) { Some(1) } else { other };
    for level in [4, 5] {
        let login = login(LAMP).level(level).persistent();
        let mut lamp = connect(&broker, &login);
        lamp.subscribe(level, &topic(LAMP, "messages/down"));
        lamp.subscribe(level, &topic(LAMP, "commands/#"));
        lamp.disconnect();
        // First it comes back by itself, then it takes itself over.
        let mut lamp = connect(&broker, &login);
        for round in ["one", "two"] {
            send_down(&mut service, LAMP, round);
            assert_eq!(all_that_came(&mut lamp, level), expected(LAMP, round, qos), "{level}");
            lamp = connect(&broker, &login);
        }
        // It may still subscribe to more, and take it back.
        lamp.subscribe(level, &topic(LAMP, "#"));
        send_down(&mut service, LAMP, "three");
        let mut came = all_that_came(&mut lamp, level);
        came.dedup();
        assert_eq!(came, expected(LAMP, "three", |_| Some(1)), "{level}");
        lamp.disconnect();
        connect(&broker, &self::login(LAMP)).disconnect();
    }
}

fn a_restart_doubles_nothing(version: Version) {
    let setup = setup(version);
    let folder = setup.scratch().path().display().to_string();
    let mut broker =
        setup.line("persistence true").line(&format!("persistence_location {folder}/")).start();
    let login = login(LAMP).persistent();
    let mut lamp = connect(&broker, &login);
    lamp.subscribe(4, &topic(LAMP, "commands/#"));
    drop(connect(&broker, &self::login(METER).persistent()));
    drop(lamp);
    broker.restart();
    let mut service = service(&broker);
    let (mut lamp, mut meter) =
        (connect(&broker, &login), connect(&broker, &self::login(METER).persistent()));
    for round in ["one", "two"] {
        send_down(&mut service, LAMP, round);
        send_down(&mut service, METER, round);
        let other = version.subscribes_sessions().then_some(0);
        let qos = |rest: &str| if rest.starts_with("commands/") { Some(1) } else { other };
        assert_eq!(all_that_came(&mut lamp, 4), expected(LAMP, round, qos));
        assert_eq!(all_that_came(&mut meter, 4), expected(METER, round, |_| Some(0)));
        // As it does at each connection.
        lamp.subscribe(4, &topic(LAMP, "commands/#"));
    }
}

fn nobody_else_gets_anything(version: Version) {
    let broker = setup(version).start();
    let mut service = service(&broker);
    let other = Connect::new(LAMP.id).username("backend.service").password("backendpassword");
    let mut other = connect(&broker, &other);
    let mut former = connect(&broker, &LAMP.connect(Sha256, "2999010100"));
    let mut lamp = connect(&broker, &LAMP.connect(Sha256, "2999010101"));
    let refused = Connect { password: Some(b"no".to_vec()), ..login(LAMP) };
    assert_ne!(Client::connect(&broker, &refused).1, ACCEPTED);
    send_down(&mut service, LAMP, "one");
    assert_eq!(all_that_came(&mut lamp, 4), expected(LAMP, "one", |_| Some(0)));
    assert_eq!(all_that_came(&mut other, 4), []);
    assert!(former.rest().is_empty());
    // A sweep changes nothing.
    broker.reload();
    broker.wait_for_log_count("iotda-auth: reloaded", 1);
    send_down(&mut service, LAMP, "two");
    assert_eq!(all_that_came(&mut lamp, 4), expected(LAMP, "two", |_| Some(0)));
}

fn a_frozen_device_gets_nothing(version: Version) {
    let broker = setup(version).start();
    let mut service = service(&broker);
    let mut lamp = connect(&broker, &login(LAMP));
    let frozen = secrets().replace(LAMP.secret, &format!("{}:frozen", LAMP.secret));
    fs::write(broker.secrets(), frozen).unwrap();
    broker.reload();
    assert!(lamp.rest().is_empty(), "{}", broker.log());
    assert_ne!(Client::connect(&broker, &login(LAMP)).1, ACCEPTED);
    send_down(&mut service, LAMP, "while it was frozen");
    fs::write(broker.secrets(), secrets()).unwrap();
    broker.reload();
    broker.wait_for_log_count("iotda-auth: reloaded", 2);
    let mut lamp = connect(&broker, &login(LAMP));
    send_down(&mut service, LAMP, "one");
    assert_eq!(all_that_came(&mut lamp, 4), expected(LAMP, "one", |_| Some(0)));
}

fn nothing_is_kept_for_an_absent_device(version: Version) {
    let broker = setup(version).start();
    let mut service = service(&broker);
    for level in [4, 5] {
        let login = login(LAMP).level(level).persistent();
        connect(&broker, &login).disconnect();
        send_down(&mut service, LAMP, "while it was away");
        for rest in DOWN {
            service.publish_retained(&topic(LAMP, rest), b"retained");
        }
        let mut lamp = connect(&broker, &login);
        assert_eq!(all_that_came(&mut lamp, level), []);
        send_down(&mut service, LAMP, "one");
        let came = all_that_came(&mut lamp, level);
        assert_eq!(came, expected(LAMP, "one", |_| Some(0)));
        lamp.disconnect();
        let mut lamp = connect(&broker, &self::login(LAMP).level(level));
        assert_eq!(all_that_came(&mut lamp, level), []);
        lamp.disconnect();
        for rest in DOWN {
            service.publish_retained(&topic(LAMP, rest), b"");
        }
    }
}

fn a_device_with_two_connections_gets_it_on_both(version: Version) {
    let broker = setup(version).option("one_connection", "no").start();
    let mut service = service(&broker);
    let mut first = connect(&broker, &LAMP.connect(Sha256, "2999010100"));
    let mut second = connect(&broker, &LAMP.connect(Sha256, "2999010101"));
    send_down(&mut service, LAMP, "one");
    for lamp in [&mut first, &mut second] {
        assert_eq!(all_that_came(lamp, 4), expected(LAMP, "one", |_| Some(0)));
    }
    first.disconnect();
    send_down(&mut service, LAMP, "two");
    assert_eq!(all_that_came(&mut second, 4), expected(LAMP, "two", |_| Some(0)));
}

fn nothing_comes_when_switched_off(version: Version) {
    let broker = setup(version).option("implicit_subscriptions", "no").start();
    let mut service = service(&broker);
    let mut lamp = connect(&broker, &login(LAMP));
    send_down(&mut service, LAMP, "one");
    assert_eq!(all_that_came(&mut lamp, 4), []);
    lamp.subscribe(4, &topic(LAMP, "commands/#"));
    send_down(&mut service, LAMP, "two");
    let qos = |rest: &str| rest.starts_with("commands/").then_some(1);
    assert_eq!(all_that_came(&mut lamp, 4), expected(LAMP, "two", qos));
}

fn a_message_to_nobody_is_told_and_counted(version: Version) {
    let mut broker = setup(version).line("log_type all").start();
    let mut service = service(&broker);
    let lamp = connect(&broker, &login(LAMP));
    service.publish(4, &topic(LAMP, "messages/down"), b"x");
    lamp.disconnect();
    for _ in 0..30 {
        service.publish(4, &topic(LAMP, "messages/down"), b"x");
    }
    service.publish(4, &topic(LAMP, "messages/up"), b"x");
    let line = format!(
        "iotda-auth: undelivered device=\"{}\" topic=\"{}\": it is not logged in here",
        LAMP.id,
        topic(LAMP, "messages/down")
    );
    broker.wait_for_log(&line);
    broker.stop();
    let log = broker.log();
    // A minute may have ended between.
    assert!((10..=20).contains(&log.matches(&line).count()), "{log}");
    assert!(log.contains(" undelivered=30 "), "{log}");
}

fn a_back_end_on_another_listener_reaches_devices(version: Version) {
    let other = free_port();
    let library = support::library::release().display().to_string();
    let setup = Setup::new(version);
    let port = free_port();
    let file = setup.scratch().file("lamps", secrets());
    let options = format!("plugin_opt_secrets_file {}\n", file.display());
    let deferring = format!("{options}plugin_opt_other_clients defer\nallow_anonymous true\n");
    // 2.0 calls only the plugins of the publisher's listener, so the back end's listener needs one too.
    let config = if version.names_plugins() {
        format!(
            "plugin_load devices {library}\n{options}listener {port} 127.0.0.1\nplugin_use devices\n\
             listener {other} 127.0.0.1\nlistener_allow_anonymous true\n"
        )
    } else {
        format!(
            "per_listener_settings true\nlistener {port} 127.0.0.1\nplugin {library}\n{options}\
             listener {other} 127.0.0.1\nplugin {library}\n{deferring}"
        )
    };
    let broker = setup.whole_config(&config, port).start();
    let mut lamp = connect(&broker, &login(LAMP));
    let mut service = Client::over(transport::tcp(transport::local(other)));
    service.send(&Connect::new("service").packet());
    assert_eq!(service.answer(), ACCEPTED, "{}", broker.log());
    send_down(&mut service, LAMP, "one");
    assert_eq!(all_that_came(&mut lamp, 4), expected(LAMP, "one", |_| Some(0)));
}

fn a_session_that_goes_by_the_device_gets_each_message_once(version: Version) {
    let broker = setup(version).option("session_id", "device").start();
    let mut service = service(&broker);
    let at_hour = |hour: u8| LAMP.connect(Sha256, &format!("20990101{hour:02}")).persistent();
    let mut lamp = connect(&broker, &at_hour(0));
    send_down(&mut service, LAMP, "one");
    assert_eq!(all_that_came(&mut lamp, 4), expected(LAMP, "one", |_| Some(0)));
    lamp.subscribe(4, &topic(LAMP, "commands/#"));
    let qos = |rest: &str| Some(u8::from(rest.starts_with("commands/")));
    // Another hour's ClientId takes the session over, and later comes back to it.
    let mut next = connect(&broker, &at_hour(1));
    send_down(&mut service, LAMP, "two");
    assert_eq!(all_that_came(&mut next, 4), expected(LAMP, "two", qos));
    assert!(lamp.rest().is_empty());
    next.disconnect();
    let mut last = connect(&broker, &at_hour(2));
    unsubscribe(&mut last, 4, &topic(LAMP, "commands/#"));
    send_down(&mut service, LAMP, "three");
    assert_eq!(all_that_came(&mut last, 4), expected(LAMP, "three", |_| Some(0)));
}

/// How many devices are sent commands at once.
const MANY: usize = 200;

fn fleet() -> Vec<Device> {
    let device = |n: usize| Device { id: format!("fleet-{n:03}").leak(), secret: "fleet-secret" };
    (0..MANY).map(device).collect()
}

/// For some seconds, or as many as IOTDA_SOAK_SECONDS says.
fn many_commands_arrive_exactly_once(version: Version) {
    let seconds = std::env::var("IOTDA_SOAK_SECONDS").map_or(3, |text| text.parse().unwrap());
    let devices = fleet();
    let file: String = devices.iter().map(|d| format!("{}:{}\n", d.id, d.secret)).collect();
    let broker = setup(version).secrets(file).start();
    let mut service = service(&broker);
    let level = |n: usize| VERSIONS[n % 3];
    let login = |n: usize, hour: u8| {
        devices[n].connect(Sha256, &format!("20990101{hour:02}")).level(level(n))
    };
    let mut clients: Vec<Client> = (0..MANY).map(|n| connect(&broker, &login(n, 0))).collect();
    // One in four subscribes as the C SDK does.
    for n in (0..MANY).step_by(4) {
        for filter in OF_THE_C_SDK {
            clients[n].subscribe(level(n), &topic(devices[n], filter));
        }
    }
    let begin = std::time::Instant::now();
    let mut round = 0;
    while begin.elapsed() < Duration::from_secs(seconds) {
        round += 1;
        for (n, device) in devices.iter().enumerate() {
            for part in 0..3 {
                let name = format!("commands/request_id={part}");
                if (n + part) % 2 == 0 {
                    service.publish(4, &topic(*device, &name), b"x");
                } else {
                    service.publish_unread(4, &topic(*device, &name));
                }
            }
        }
        assert!(service.is_alive());
        for (n, client) in clients.iter_mut().enumerate() {
            let came = all_that_came(client, level(n));
            let topics: Vec<&str> = came.iter().map(|got| got.topic.as_str()).collect();
            let expected: Vec<_> = (0..3)
                .map(|part| topic(devices[n], &format!("commands/request_id={part}")))
                .collect();
            assert_eq!(topics, expected, "{} in round {round}", devices[n].id);
            // Sometimes a device takes itself over, with the ClientId of another hour.
            if n % 4 > 0 && (n + round) % 50 == 0 {
                let hour = u8::try_from(round % 24).unwrap();
                *client = connect(&broker, &login(n, hour));
            }
        }
        if round % 5 == 0 {
            broker.reload();
        }
    }
    println!("{round} rounds of {} commands on {version}", 3 * MANY);
}

fn nothing_is_found_under_valgrind(version: Version) {
    let setup = setup(version);
    let found = setup.scratch().path().join("valgrind");
    let words = crate::valgrind::words(&found);
    let mut broker = setup.started_by(words).start();
    let mut service = service(&broker);
    for level in VERSIONS {
        let login = login(LAMP).level(level).persistent();
        let mut lamp = connect(&broker, &login);
        send_down(&mut service, LAMP, "one");
        assert_eq!(all_that_came(&mut lamp, level), expected(LAMP, "one", |_| Some(0)));
        lamp.subscribe(level, &topic(LAMP, "commands/#"));
        lamp.subscribe(level, &topic(LAMP, "messages/down"));
        unsubscribe(&mut lamp, level, &topic(LAMP, "commands/#"));
        send_down(&mut service, LAMP, "two");
        all_that_came(&mut lamp, level);
        lamp = connect(&broker, &login);
        send_down(&mut service, LAMP, "three");
        all_that_came(&mut lamp, level);
        lamp.disconnect();
        send_down(&mut service, LAMP, "four");
        connect(&broker, &self::login(LAMP).level(level)).disconnect();
    }
    broker.stop();
    crate::valgrind::nothing_was_found(&found);
}
