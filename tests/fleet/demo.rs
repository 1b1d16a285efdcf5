//! Three brokers with one registry: what happens to their devices when a table changes, and when a broker dies.
//!
//! `./dev demo fleet` builds what this needs and runs it: `fleet-demo PLUGIN TOOL`, each of them a path.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fleet::{
    brokers::Fleet,
    follower::Place,
    server::{Release, Server},
};
use iotda_core::login::{SignType, timestamp::HOUR};
use std::{
    env,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use support::{
    broker::wait_within,
    device::{Device, now, stamp},
    mqtt::{Answer, Client, Connect},
    version::Version,
};

const BROKERS: [Version; 3] =
    [Version::new(2, 1, 2), Version::new(2, 1, 2), Version::new(2, 0, 21)];
const PATIENCE: Duration = Duration::from_secs(30);

struct Demo {
    // Before the server: it ends first.
    fleet: Fleet,
    server: Server,
    surprises: usize,
}

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [plugin, tool] = <[PathBuf; 2]>::try_from(paths).expect("PLUGIN TOOL");
    heading("A PostgreSQL with an empty table, as iotda-auth follow --print-sql makes it");
    let server = Server::new(Release::V15);
    println!("  on port {} of this machine", server.port());
    heading("Three brokers, a follower beside each, and HAProxy in front");
    let place = || Place::new(&server.dsn()).with_tool(&tool);
    let fleet = Fleet::start(&server, &BROKERS, place, Some(&plugin));
    for (number, node) in (1..).zip(&fleet.nodes) {
        let how = if node.version.has_proxy_protocol() {
            "told the devices' addresses by PROXY"
        } else {
            "without PROXY"
        };
        println!("  broker {number}: {}, port {}, {how}", node.name(), node.broker.port());
    }
    println!("  HAProxy with packaging/haproxy/haproxy.cfg, port {}", fleet.router.port());
    let mut demo = Demo { fleet, server, surprises: 0 };
    demo.play();
    if demo.surprises > 0 {
        eprintln!("dev: {} of the answers above were not the expected ones", demo.surprises);
        return ExitCode::FAILURE;
    }
    println!(
        "\nAll of it is stopped, and its files are gone. docs/fleet.md says how to set this up."
    );
    ExitCode::SUCCESS
}

fn heading(text: &str) {
    println!("\n{text}");
}

fn device(number: usize) -> Device {
    Device {
        id: format!("64a1f0c2_lamp-{number:02}").leak(),
        secret: format!("5f2b9c0e7d-{number:02}").leak(),
    }
}

impl Demo {
    fn play(&mut self) {
        let devices: Vec<Device> = (1..=6).map(device).collect();
        self.register(&devices);
        let homes = self.spread(&devices);
        self.freeze(&devices[2]);
        self.kill(&devices, &homes);
        self.lose_the_database(&devices[5]);
    }

    fn sql(&self, statements: &str) {
        println!("  SQL: {statements}");
        self.server.sql(statements);
    }

    fn register(&mut self, devices: &[Device]) {
        heading("A device is registered by INSERT");
        let first = devices[0].connect_now();
        let (_, answer) = self.fleet.connect(&first);
        self.expect("before, it is refused", answer == Answer::Connack(5));
        let values: Vec<String> =
            devices.iter().map(|Device { id, secret }| format!("('{id}', '{secret}')")).collect();
        self.sql(&format!(
            "INSERT INTO iotda.device (device_id, secret) VALUES {}",
            values.join(", ")
        ));
        let begin = Instant::now();
        let client = self.fleet.wait_for_login(&first);
        self.expect(
            &format!(
                "{} logs in through HAProxy {:.1} s later",
                devices[0].id,
                begin.elapsed().as_secs_f64()
            ),
            client.is_some(),
        );
    }

    /// Where each device's hours go; each device's broker.
    fn spread(&mut self, devices: &[Device]) -> Vec<usize> {
        heading("Three hours of each device, whose ClientId is another each time");
        let mut homes = Vec::new();
        for device in devices {
            let mut brokers = Vec::new();
            for hour in 0..3 {
                let connect = device.connect(SignType::Sha256, &stamp(now() + hour * HOUR));
                let _client = self.fleet.wait_for_login(&connect);
                wait_within(PATIENCE, || !self.fleet.brokers_of(&connect.client_id).is_empty());
                brokers.extend(self.fleet.brokers_of(&connect.client_id));
            }
            brokers.dedup();
            let names: Vec<String> =
                brokers.iter().map(|number| format!("broker {}", number + 1)).collect();
            self.expect(&format!("{}: {}", device.id, names.join(", ")), brokers.len() == 1);
            homes.push(brokers[0]);
        }
        homes
    }

    fn freeze(&mut self, device: &Device) {
        heading("A device is frozen by UPDATE while it is connected");
        let connect = device.connect_now();
        let Some(mut client) = self.fleet.wait_for_login(&connect) else {
            return self.expect("it is connected", false);
        };
        self.sql(&format!(
            "UPDATE iotda.device SET frozen = true WHERE device_id = '{}'",
            device.id
        ));
        let begin = Instant::now();
        let ended = is_ended(&mut client);
        self.expect(
            &format!("it is disconnected {:.1} s later", begin.elapsed().as_secs_f64()),
            ended,
        );
        for number in 0..self.fleet.nodes.len() {
            let refused =
                wait_within(PATIENCE, || self.answer_of(number, &connect) == Answer::Connack(5));
            self.expect(&format!("broker {} refuses it", number + 1), refused.is_some());
        }
    }

    fn answer_of(&self, number: usize, connect: &Connect) -> Answer {
        self.fleet.connect_to(&self.fleet.nodes[number], connect).1
    }

    fn kill(&mut self, devices: &[Device], homes: &[usize]) {
        let gone = homes[0];
        heading(&format!("Broker {} is killed, the one of {}", gone + 1, devices[0].id));
        let connect = devices[0].connect_now();
        let Some(mut client) = self.fleet.wait_for_login(&connect) else {
            return self.expect("it is connected", false);
        };
        let other = (1..devices.len()).find(|number| homes[*number] != gone && *number != 2);
        let mut other = other.and_then(|number| {
            Some((number, self.fleet.wait_for_login(&devices[number].connect_now())?))
        });
        self.fleet.nodes[gone].broker.signal("KILL");
        let ended = is_ended(&mut client);
        self.expect("its connection ends", ended);
        let begin = Instant::now();
        let again = self.fleet.wait_for_login(&connect);
        let home = (0..self.fleet.nodes.len()).find(|number| {
            *number != gone && self.fleet.nodes[*number].logins(&connect.client_id) > 0
        });
        let text = format!(
            "it is in again {:.1} s later, on broker {}",
            begin.elapsed().as_secs_f64(),
            home.map_or("?".into(), |number| (number + 1).to_string())
        );
        self.expect(&text, again.is_some() && home.is_some());
        if let Some((number, client)) = &mut other {
            let text =
                format!("{} stays connected to broker {}", devices[*number].id, homes[*number] + 1);
            let is_alive = client.is_alive();
            self.expect(&text, is_alive);
        }
        self.fleet.nodes[gone].broker.start_again();
    }

    fn lose_the_database(&mut self, device: &Device) {
        heading("The database is stopped");
        self.server.stop("INT");
        let told =
            wait_within(PATIENCE, || self.fleet.nodes[0].place.status()["state"] == "connecting");
        println!("  the follower's status file: {}", self.fleet.nodes[0].place.status());
        self.expect("the followers say so", told.is_some());
        let again = self.fleet.wait_for_login(&device.connect_now());
        self.expect(&format!("{} logs in all the same", device.id), again.is_some());
    }

    fn expect(&mut self, what: &str, is_so: bool) {
        if is_so {
            println!("      {what}");
        } else {
            println!("      Not as expected: {what}");
            self.surprises += 1;
        }
    }
}

fn is_ended(client: &mut Client) -> bool {
    wait_within(PATIENCE, || !client.is_alive()).is_some()
}
