//! `iotda-auth simulate` against real brokers: a fleet that stays, comes back, answers, and is counted.

use crate::other_clients::with_password_file;
use serde_json::Value;
use std::{
    fmt::Write,
    process::{Command, Stdio},
    time::Duration,
};
use support::{
    authority::Authority,
    broker::{Broker, Setup, free_port},
    device::LAMP,
    mqtt::{ACCEPTED, Client, Connect},
    on_every_broker,
    scratch::Scratch,
    tool::{Said, command, run},
    version::Version,
};

on_every_broker!(
    a_thousand_devices_log_in_stay_and_leave,
    a_device_answers_a_command_that_it_never_subscribed_to,
    refusals_are_counted_by_their_code,
    a_fleet_comes_back_after_a_restart,
    an_interrupted_fleet_reports,
    a_fleet_speaks_tls,
);

const SECRET: &str = "a-secret-of-a-fleet";

/// A secrets file of so many devices.
fn fleet(count: usize) -> String {
    (0..count).fold(String::new(), |mut file, number| {
        writeln!(file, "fleet_{number}:{SECRET}").unwrap();
        file
    })
}

fn simulate(port: u16, words: &str) -> Command {
    let port = port.to_string();
    let fixed = ["simulate", "--host", "127.0.0.1", "--port", &port];
    command(fixed.into_iter().chain(words.split_whitespace()))
}

/// Runs a fleet to its end; the secret is never in its output.
fn ran(port: u16, words: &str) -> Said {
    run(simulate(port, words), b"").without(&[SECRET, LAMP.secret])
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// A fleet that runs beside a test.
fn beside(port: u16, words: &str) -> std::process::Child {
    let mut command = simulate(port, words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn online(broker: &Broker, count: usize) {
    // A device reports as soon as it is in.
    broker.wait_for_log_count("'$oc/devices/fleet_", count);
}

fn a_thousand_devices_log_in_stay_and_leave(version: Version) {
    let count = 1000;
    // Only the first thousand log in.
    let broker = Setup::new(version).secrets(fleet(count + 1)).line("log_type all").start();
    let file = broker.secrets().display();
    let words = format!(
        "--devices {file} --count {count} --rate 500 --sign-type 0,1,2 --report-every 4s --duration 12s --format json"
    );
    let said = ran(broker.port(), &words);
    let object = json(&said);
    assert_eq!((said.status, &object["result"]), (0, &"good".into()), "{said:?}");
    for (name, expected) in
        [("devices", 1000), ("let_in", 1000), ("accepted", 1000), ("refused", 0), ("lost", 0)]
    {
        assert_eq!(object[name], expected, "{name}: {said:?}");
    }
    assert!(object["reports"].as_u64().unwrap() >= 2000, "{said:?}");
    assert!(object["login_milliseconds"]["slowest"].is_u64(), "{said:?}");
    assert!(said.err.contains(" of 1000 online, "), "{said:?}");
    assert_eq!(broker.refusals(), Vec::<String>::new());
    assert_eq!(broker.log().matches("Received DISCONNECT from fleet_").count(), count);
    for digit in 0..3 {
        assert!(broker.log().contains(&format!("_0_{digit}_")), "{digit}");
    }
    assert!(!broker.log().contains("fleet_1000_"));
}

fn a_device_answers_a_command_that_it_never_subscribed_to(version: Version) {
    let secrets = format!("{}:{}\n", LAMP.id, LAMP.secret);
    let broker = with_password_file(version, "defer").secrets(secrets).line("log_type all").start();
    let login = Connect::new("backend").username("backend.service").password("backendpassword");
    for mqtt in ["3.1", "3.1.1", "5"] {
        let (mut backend, answer) = Client::connect(&broker, &login);
        assert_eq!(answer, ACCEPTED);
        let below = format!("$oc/devices/{}/sys/", LAMP.id);
        for filter in ["properties/report", "commands/response/+"] {
            backend.subscribe(4, &format!("{below}{filter}"));
        }
        let file = broker.secrets().display();
        let device =
            beside(broker.port(), &format!("--devices {file} --once --mqtt {mqtt} --duration 30s"));
        let topic = |client: &mut Client| {
            let packet = client.receive().unwrap();
            String::from_utf8_lossy(&packet).into_owned()
        };
        assert!(topic(&mut backend).contains("sys/properties/report{\"services\""));
        backend.publish(
            4,
            &format!("{below}commands/request_id=7-{mqtt}"),
            b"{\"command_name\":\"on\"}",
        );
        // Reports may come before.
        let answered = (0..20).find_map(|_| {
            let topic = topic(&mut backend);
            topic.contains("commands/response/").then_some(topic)
        });
        let answered = answered.expect("an answer");
        assert!(
            answered.contains(&format!("request_id=7-{mqtt}{{"))
                && answered.contains("\"result_code\":0"),
            "{answered}"
        );
        let said = Said::of(device.wait_with_output().unwrap());
        assert_eq!(said.status, 0, "{said:?}");
        assert!(
            said.out.contains("1 of 1 devices were let in")
                && said.out.contains(" 1 requests answered"),
            "{said:?}"
        );
    }
    assert!(!broker.log().contains(&format!("Received SUBSCRIBE from {}", LAMP.id)));

    // Nobody sends a command.
    let file = broker.secrets().display();
    let said = ran(broker.port(), &format!("--devices {file} --once --duration 3s"));
    assert!(said.status == 1 && said.out.contains(" 0 requests answered"), "{said:?}");
}

fn refusals_are_counted_by_their_code(version: Version) {
    let port = free_port();
    let setup = Setup::new(version).port(port).option("exact_connack_ports", &port.to_string());
    let broker = setup.secrets("fleet_0:another-secret\nfleet_1:a-secret-of-a-fleet\n").start();
    let devices = broker.scratch().file("devices", fleet(3));
    let words = format!("--devices {} --duration 3s", devices.display());
    let said = ran(port, &words);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.out.contains("1 of 3 devices were let in at 127.0.0.1:"), "{said:?}");
    assert!(
        said.out
            .contains(" with CONNACK 4, bad user name or password (sign type 1): unknown_device, "),
        "{said:?}"
    );
    // The first refusal of a kind is told at once, the others are counted.
    assert_eq!(said.err.matches("refused: CONNACK 4").count(), 1, "{said:?}");
    let object = json(&ran(port, &format!("{words} --format json --quiet")));
    assert_eq!(object["result"], "bad");
    let refusals = object["refusals"].as_array().unwrap();
    assert!(refusals.len() == 1 && refusals[0]["connack"] == 4, "{object}");
    assert!(
        refusals[0]["reasons"].as_array().unwrap().contains(&"wrong_password".into()),
        "{object}"
    );
    // Both try again, but not at once.
    let count = refusals[0]["count"].as_u64().unwrap();
    assert!((2..=6).contains(&count), "{object}");
    // With --once they do not.
    let object = json(&ran(port, &format!("{words} --once --count 1 --format json --quiet")));
    assert!(object["refused"] == 1 && object["milliseconds"].as_u64().unwrap() < 3000, "{object}");
}

fn a_fleet_comes_back_after_a_restart(version: Version) {
    let count = 50;
    let mut broker = Setup::new(version).secrets(fleet(count)).line("log_type all").start();
    let words =
        format!("--devices {} --rate 200 --duration 12s --format json", broker.secrets().display());
    let devices = beside(broker.port(), &words);
    online(&broker, count);
    broker.restart();
    let said = Said::of(devices.wait_with_output().unwrap());
    let object = json(&said);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(
        object["lost"].as_u64().unwrap() >= 50 && object["accepted"].as_u64().unwrap() >= 100,
        "{said:?}"
    );
    assert_eq!(object["let_in"], count);
}

fn an_interrupted_fleet_reports(version: Version) {
    let broker = Setup::new(version).secrets(fleet(20)).line("log_type all").start();
    for signal in ["INT", "TERM"] {
        let before = broker.log().matches("'$oc/devices/fleet_").count();
        let devices = beside(broker.port(), &format!("--devices {}", broker.secrets().display()));
        online(&broker, before + 20);
        let killed = Command::new("kill").args(["-s", signal, &devices.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let said = Said::of(devices.wait_with_output().unwrap());
        assert!(said.status == 0 && said.out.contains("20 of 20 devices were let in"), "{said:?}");
    }
}

fn a_fleet_speaks_tls(version: Version) {
    let (port, setup) = (free_port(), Setup::new(version));
    let authority = Authority::new(setup.scratch(), "authority");
    let server = authority.issue_server("server");
    let stranger = Authority::new(setup.scratch(), "stranger");
    let listener = format!(
        "listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}",
        server.certificate, server.key
    );
    let broker = setup.secrets(fleet(20)).line(&listener).start();
    let file = broker.secrets().display();
    let with = |authority: &Authority| {
        let cafile = &authority.own().certificate;
        ran(port, &format!("--devices {file} --duration 3s --cafile {cafile} --keepalive 30"))
    };
    let said = with(&authority);
    assert!(said.status == 0 && said.out.contains("20 of 20 devices were let in"), "{said:?}");
    // That will not get better by itself.
    let begin = std::time::Instant::now();
    let said = with(&stranger);
    assert!(begin.elapsed() < Duration::from_secs(3), "{said:?}");
    assert_eq!(said.status, 2, "{said:?}");
    assert!(said.err.contains("is not signed by an authority that is trusted here"), "{said:?}");
}

#[test]
fn a_broker_that_is_not_there_is_waited_for() {
    let scratch = Scratch::new();
    let devices = scratch.file("devices", fleet(2));
    let port = free_port();
    let words = format!("--devices {} --duration 2s", devices.display());
    let said = ran(port, &words);
    assert_eq!(said.status, 2, "{said:?}");
    assert!(
        said.err.contains(&format!("127.0.0.1:{port}: connection refused: nothing listens there")),
        "{said:?}"
    );
    let object = json(&ran(port, &format!("{words} --format json")));
    assert_eq!(object["faults"][0]["fault"], "connection_refused");
    assert!(object["no_answer"].as_u64().unwrap() >= 2, "{object}");
}

/// The limit of open files is raised as far as it may be.
#[test]
fn too_few_open_files_are_told() {
    let scratch = Scratch::new();
    let devices = scratch.file("devices", fleet(100));
    let words =
        ["simulate", "--devices", devices.to_str().unwrap(), "--duration", "1s", "--port", "1"];
    let limited = |limits: &str| {
        let mut command = Command::new("prlimit");
        command.arg(limits).arg(support::library::tool()).args(words);
        run(command, b"")
    };
    let said = limited("--nofile=100:120");
    said.tells(2, "", "100 devices: expected 164 open files to be allowed, found 120; raise the limit (ulimit -n)");
    let said = limited("--nofile=100:200");
    assert!(said.err.contains("connection refused"), "{said:?}");
}
