//! Several brokers with one registry: each has a follower, and HAProxy is in front of them.

use crate::{
    follower::{Follower, Place},
    router::{Behind, RELEASES, Router},
    server::Server,
};
use std::{path::Path, time::Duration};
use support::{
    broker::{Broker, Setup, installation, wait_within},
    mqtt::{Answer, Client, Connect},
    transport,
    version::Version,
};

/// How long a device may take to be let in, or thrown out.
const PATIENCE: Duration = Duration::from_secs(40);

/// A broker, its follower and their file.
pub struct Node {
    pub version: Version,
    pub broker: Broker,
    pub follower: Follower,
    pub place: Place,
}

/// The brokers and what is in front of them.
pub struct Fleet {
    pub nodes: Vec<Node>,
    pub router: Router,
}

impl Node {
    /// Starts a follower, waits for its file, and starts a broker with it.
    pub fn start(version: Version, place: Place, plugin: Option<&Path>) -> Self {
        let follower = place.start();
        place.wait_for_status("state", "streaming");
        let mut setup = Setup::new(version)
            .secrets_file(&place.file())
            .option("reload_interval", "1s")
            .line_before("set_tcp_nodelay true");
        if let Some(plugin) = plugin {
            setup = setup.plugin(plugin);
        }
        if version.has_proxy_protocol() {
            // A line of the listener.
            setup = setup.line("enable_proxy_protocol 2");
        }
        let broker = setup.launch();
        broker.wait_for_log(" running\n");
        Self { version, broker, follower, place }
    }

    /// How often a client with this ClientId has connected here.
    pub fn logins(&self, client_id: &[u8]) -> usize {
        let client_id = format!(" as {} ", String::from_utf8_lossy(client_id));
        let log = self.broker.log();
        let is_login =
            |line: &&str| line.contains("New client connected from") && line.contains(&client_id);
        log.lines().filter(is_login).count()
    }

    /// The broker's own log line for its end, and its version.
    pub fn name(&self) -> String {
        let real = installation(self.version);
        format!("Mosquitto {}", real.file_name().unwrap_or_default().to_string_lossy())
    }
}

impl Fleet {
    /// Starts a broker for each version, with a follower of the server's table each.
    pub fn start(
        server: &Server,
        versions: &[Version],
        place: impl Fn() -> Place,
        plugin: Option<&Path>,
    ) -> Self {
        assert!(!server.dsn().is_empty());
        let nodes: Vec<Node> =
            versions.iter().map(|version| Node::start(*version, place(), plugin)).collect();
        let behind = |node: &Node| Behind {
            port: node.broker.port(),
            has_proxy_protocol: node.version.has_proxy_protocol(),
        };
        let router = Router::start(RELEASES[0], &nodes.iter().map(behind).collect::<Vec<_>>());
        Self { nodes, router }
    }

    /// Connects by way of the router.
    pub fn connect(&self, connect: &Connect) -> (Client, Answer) {
        let mut client = Client::over(transport::tcp(transport::local(self.router.port())));
        client.send(&connect.packet());
        let answer = client.answer();
        (client, answer)
    }

    /// Tries again and again, until the device is let in.
    pub fn wait_for_login(&self, connect: &Connect) -> Option<Client> {
        wait_within(PATIENCE, || {
            let (client, answer) = self.connect(connect);
            (answer == Answer::Connack(0)).then_some(client)
        })
    }

    /// Connects to one broker by itself, as if by way of the router.
    pub fn connect_to(&self, node: &Node, connect: &Connect) -> (Client, Answer) {
        let port = node.broker.port();
        let stream = if node.version.has_proxy_protocol() {
            let here = transport::local(port);
            transport::by_proxy(
                port,
                &transport::proxy_header_from(([203, 0, 113, 7], 5000).into(), here),
            )
        } else {
            transport::tcp(transport::local(port))
        };
        let mut client = Client::over(stream);
        client.send(&connect.packet());
        let answer = client.answer();
        (client, answer)
    }

    /// Which brokers have let a client with this ClientId in.
    pub fn brokers_of(&self, client_id: &[u8]) -> Vec<usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(|(_, node)| node.logins(client_id) > 0).map(|(number, _)| number).collect()
    }
}
