//! Each shape that a call of BASIC_AUTH can have, as listed in `plugin::asked`, on a real broker that produces it.

use crate::{
    http_api,
    other_clients::{backend, with_password_file},
};
use iotda_core::login::SignType::{Sha256, Sha256Timestamp};
use iotda_plugin::plugin::asked::SHAPES;
use std::{collections::BTreeSet, path::PathBuf, thread::sleep, time::Duration};
use support::{
    authority::Authority,
    broker::{Broker, free_port},
    device::{Device, now, stamp},
    mqtt::{ACCEPTED, Answer, Client, Connect, packet, string},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(each_shape_comes_to_what_the_table_says);

/// How long the logins of this test stay fresh, in seconds.
const FRESH: i64 = 8;

const WAYS: [&str; 5] = ["tcp", "tls", "unix", "web-socket", "proxy"];

struct Ground {
    broker: Broker,
    is_2_1: bool,
    tls: u16,
    web_socket: u16,
    proxy: u16,
    pages: u16,
    socket: PathBuf,
    stamp: String,
    played: BTreeSet<&'static str>,
}

/// A device for each kind of listener, and some that are offline.
fn device(id: &'static str) -> Device {
    Device { id, secret: "a-secret-of-its-own" }
}

impl Ground {
    fn new(version: Version) -> Self {
        let [tls, web_socket, proxy, pages] = [(); 4].map(|()| free_port());
        let is_2_1 = version >= Version::new(2, 1, 0);
        let setup = with_password_file(version, "defer");
        let folder = setup.scratch().path().to_path_buf();
        let server = Authority::new(setup.scratch(), "authority").issue("127.0.0.1");
        let socket = folder.join("s");
        let begin = now();
        let mut file = String::new();
        let waiting = ["offline", "removed", "kicked", "writer"];
        for id in WAYS.iter().chain(&waiting) {
            file.push_str(&format!("{id}:{}\n", device(id).secret));
        }
        let mut setup = setup
            .secrets(file)
            .option("timestamp_max_age", &format!("{}s", begin % 3600 + FRESH))
            .line("persistence true")
            .line(&format!("persistence_location {}/", folder.display()))
            .line(&format!("listener 0 {}", socket.display()))
            .line(&format!("listener {web_socket} 127.0.0.1\nprotocol websockets"))
            .line(&format!(
                "listener {tls} 127.0.0.1\ncertfile {}\nkeyfile {}",
                server.certificate, server.key
            ));
        if is_2_1 {
            setup = setup
                .line(&format!("listener {proxy} 127.0.0.1\nenable_proxy_protocol 2"))
                .line(&format!("listener {pages} 127.0.0.1\nprotocol http_api"));
        }
        let (broker, stamp, played) = (setup.start(), stamp(begin), BTreeSet::new());
        Self { broker, is_2_1, tls, web_socket, proxy, pages, socket, stamp, played }
    }

    fn dial(&self, way: &str) -> Client {
        match way {
            "tcp" => Client::dial(&self.broker),
            "tls" => Client::over(transport::tls(self.tls, &[])),
            "unix" => Client::over(transport::unix(&self.socket)),
            "web-socket" => Client::over(transport::web_socket(self.web_socket)),
            "proxy" => {
                let from = ([203, 0, 113, 9], 50_000).into();
                let header = transport::proxy_header_from(from, transport::local(self.proxy));
                Client::over(transport::by_proxy(self.proxy, &header))
            }
            other => panic!("no way to {other}"),
        }
    }

    fn ways(&self) -> impl Iterator<Item = &'static str> {
        let is_2_1 = self.is_2_1;
        WAYS.into_iter().filter(move |way| is_2_1 || *way != "proxy")
    }

    fn connect(&self, id: &'static str) -> Connect {
        device(id).connect(Sha256Timestamp, &self.stamp)
    }

    fn log_in(&self, way: &str, connect: &Connect) -> Client {
        let mut client = self.dial(way);
        client.send(&connect.packet());
        assert_eq!(client.answer(), ACCEPTED, "{way}\n{}", self.broker.log());
        client
    }

    fn counter(&self, name: &str) -> u32 {
        let log = self.broker.log();
        let line = log.lines().rev().find(|line| line.contains("since the start: ")).unwrap();
        let value = line.split(' ').find_map(|word| word.strip_prefix(&format!("{name}=")));
        value.expect("a counter").parse().unwrap()
    }

    /// Runs a sweep. Returns how many sessions it was about, and how many of them were refused.
    fn look_again(&self) -> (u32, u32) {
        self.broker.reload();
        let before = (self.counter("rechecked"), self.counter("refused"));
        self.broker.reload();
        (self.counter("rechecked") - before.0, self.counter("refused") - before.1)
    }

    fn plays(&mut self, client: &'static str) {
        assert!(SHAPES.iter().any(|shape| shape.client == client), "no row has {client:?}");
        self.played.insert(client);
    }
}

fn each_shape_comes_to_what_the_table_says(version: Version) {
    let mut ground = Ground::new(version);

    // CONNECTs are checked and remembered.
    let ways: Vec<&str> = ground.ways().collect();
    let mut online: Vec<Client> =
        ways.iter().map(|way| ground.log_in(way, &ground.connect(way))).collect();
    ground.plays("CONNECT over TCP");
    ground.plays("CONNECT over TLS");
    ground.plays("CONNECT over a Unix socket");
    ground.plays("CONNECT over WebSocket");
    if ground.is_2_1 {
        ground.plays("CONNECT behind PROXY");
    }
    for id in ["offline", "removed"] {
        ground.log_in("tcp", &ground.connect(id).persistent()).disconnect();
    }
    let mut service = ground.log_in("tcp", &backend());
    let waiting = Connect { client_id: b"waiting".to_vec(), ..backend() }.persistent();
    ground.log_in("tcp", &waiting).disconnect();
    let mut sessions = ways.len() + 4;

    let mut kicked = (!ground.is_2_1).then(|| {
        let mut kicked = ground.log_in("web-socket", &ground.connect("kicked"));
        kicked.send(&packet(0x82, &[&[0, 1], string(b"news").as_slice(), &[0]].concat()));
        kicked.receive().expect("a SUBACK");
        kicked
    });

    // One whose device was removed, and one whose hour is over.
    let file = std::fs::read_to_string(ground.broker.secrets()).unwrap();
    let file = file.replace("removed:a-secret-of-its-own\n", "");
    std::fs::write(ground.broker.secrets(), file).unwrap();
    ground.broker.reload();
    ground.broker.wait_for_log("1 removed");
    sleep(Duration::from_secs(FRESH.unsigned_abs() + 1));

    // A WebSocket that is disconnected and does not read: 2.0 cannot close it.
    let kicker = kicked.is_some().then(|| {
        let always = |id| device(id).connect(Sha256, "2999010100");
        let mut writer = ground.log_in("tcp", &always("writer"));
        for _ in 0..300 {
            writer.publish(4, "news", &[b'x'; 60_000]);
        }
        writer.disconnect();
        ground.log_in("tcp", &always("kicked"))
    });
    if kicked.is_some() {
        ground.plays("device over WebSocket, kicked and not yet closed");
        sessions += 2;
    }
    let (rechecked, refused) = ground.look_again();
    assert_eq!((rechecked as usize, refused), (sessions, 0), "{}", ground.broker.log());
    assert!(online.iter_mut().all(Client::is_alive) && service.is_alive());
    for client in [
        "device online over TCP, TLS or a Unix socket",
        "device online over WebSocket",
        "other client online",
        "device offline",
        "device offline, removed or frozen or with another secret",
        "other client offline or restored",
    ] {
        ground.plays(client);
    }
    if ground.is_2_1 {
        ground.plays("device online behind PROXY");
        assert!(http_api::get(ground.pages).starts_with("HTTP/1.1 401 "));
        ground.plays("user of the broker's pages (protocol http_api)");
    }
    assert!(ground.broker.refusals().is_empty(), "{:?}", ground.broker.refusals());

    // CONNECTs with an hour that is over, at any time.
    for way in &ways {
        for pause in [None, Some(0), Some(1), Some(3)] {
            if let Some(pause) = pause {
                ground.broker.signal("HUP");
                sleep(Duration::from_millis(pause));
            }
            let mut stranger = ground.dial(way);
            stranger.send(&ground.connect("offline").packet());
            assert_ne!(stranger.answer(), ACCEPTED, "{way}: {}", ground.broker.log());
        }
    }
    if !ground.is_2_1 {
        ground.plays("CONNECT over WebSocket between the sweep and the TICK");
    }

    // Sessions that the broker has from its file.
    drop((online, service, kicked.take(), kicker));
    ground.broker.restart();
    let (rechecked, refused) = ground.look_again();
    assert_eq!((rechecked, refused), (3, 0), "{}", ground.broker.log());
    ground.plays("device restored from the persistence file");

    if ground.is_2_1 {
        known_by_its_device_id(version);
        ground.plays("device online, known by its device id");
    }
    let there: BTreeSet<&str> = SHAPES
        .iter()
        .filter(|shape| {
            let how = if ground.is_2_1 { shape.on_2_1 } else { shape.on_2_0 };
            how != "does not exist"
        })
        .map(|shape| shape.client)
        .collect();
    assert_eq!(ground.played, there, "each row is played");
}

fn known_by_its_device_id(version: Version) {
    let begin = now();
    let broker = with_password_file(version, "refuse")
        .secrets("tcp:a-secret-of-its-own\n")
        .option("session_id", "device")
        .option("timestamp_max_age", &format!("{}s", begin % 3600 + 2))
        .start();
    let login = device("tcp").connect(Sha256Timestamp, &stamp(begin));
    let (mut client, answer) = Client::connect(&broker, &login);
    assert_eq!(answer, ACCEPTED);
    sleep(Duration::from_secs(3));
    broker.reload();
    assert!(client.is_alive() && broker.refusals().is_empty(), "{}", broker.log());
    // The name alone lets no client in.
    let thief = Connect::new("tcp").username("tcp");
    assert_eq!(Client::connect(&broker, &thief).1, Answer::Connack(5));
}
