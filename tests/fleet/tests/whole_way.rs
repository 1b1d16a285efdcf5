//! Does a device that is registered by INSERT log in, and through which broker?

use fleet::{
    Folder,
    brokers::Fleet,
    follower::Place,
    router::{RELEASES, haproxy, shipped},
    server::{Release, Server},
};
use iotda_core::login::{SignType, timestamp::HOUR};
use std::{
    fs,
    time::{Duration, Instant},
};
use support::{
    broker::wait_within,
    device::{Device, now, stamp},
    library::root,
    mqtt::{ACCEPTED, Client, not_authorized},
    version::Version,
};

/// All that the plugin is for: 2.1 is told the devices' addresses, 2.0 is not.
const BROKERS: [Version; 3] =
    [Version::new(2, 1, 2), Version::new(2, 0, 21), Version::new(2, 0, 11)];

fn fleet(release: Release) -> (Server, Fleet) {
    let server = Server::new(release);
    let fleet = Fleet::start(&server, &BROKERS, || Place::new(&server.dsn()), None);
    (server, fleet)
}

fn device(number: usize) -> Device {
    Device {
        id: format!("64a1f0c2_lamp-{number}").leak(),
        secret: format!("5f2b9c0e7d-{number}").leak(),
    }
}

fn register(server: &Server, devices: &[Device]) {
    let values: Vec<String> =
        devices.iter().map(|Device { id, secret }| format!("('{id}', '{secret}')")).collect();
    server
        .sql(&format!("INSERT INTO iotda.device (device_id, secret) VALUES {}", values.join(", ")));
}

/// Whether the broker ends the connection within some seconds.
fn is_ended(client: &mut Client, within: Duration) -> bool {
    wait_within(within, || !client.is_alive()).is_some()
}

#[test]
fn a_device_is_registered_moves_and_is_frozen_everywhere() {
    let (mut server, mut fleet) = fleet(Release::V17);
    let devices: Vec<Device> = (0..24).map(device).collect();
    let (_, answer) = fleet.connect(&devices[0].connect_now());
    assert_eq!(answer, not_authorized(4));
    register(&server, &devices);
    let mut clients: Vec<Client> = Vec::new();
    for device in &devices {
        let connect = device.connect_now();
        clients.push(
            fleet.wait_for_login(&connect).unwrap_or_else(|| panic!("{} is not let in", device.id)),
        );
    }
    // Each device's hours go to one broker, and the devices are spread. All brokers have them by now.
    let mut counts = [0; BROKERS.len()];
    let mut homes = Vec::new();
    for device in &devices {
        let mut brokers = Vec::new();
        for hour in -1..2 {
            // Type 0, whose timestamp is any.
            let connect = device.connect(SignType::Sha256, &stamp(now() + hour * HOUR));
            assert!(fleet.wait_for_login(&connect).is_some());
            let client_id = connect.client_id.clone();
            wait_within(Duration::from_secs(5), || !fleet.brokers_of(&client_id).is_empty());
            brokers.extend(fleet.brokers_of(&client_id));
        }
        brokers.dedup();
        assert_eq!(brokers.len(), 1, "{}: {brokers:?}", device.id);
        counts[brokers[0]] += 1;
        homes.push(brokers[0]);
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // 2.1 knows the address from the PROXY header, and 2.0 sees the router's; here both are this machine's.
    for version in [3, 5] {
        let connect = device(0).connect_now().level(version);
        assert_eq!(fleet.connect(&connect).1, ACCEPTED, "{version}");
    }

    // Frozen: disconnected on each broker, and refused there.
    let frozen = devices[5];
    let mut connected: Vec<Client> = fleet
        .nodes
        .iter()
        .map(|node| {
            let (client, answer) = fleet.connect_to(node, &frozen.connect_now());
            assert_eq!(answer, ACCEPTED);
            client
        })
        .collect();
    let begin = Instant::now();
    server.sql(&format!("UPDATE iotda.device SET frozen = true WHERE device_id = '{}'", frozen.id));
    for client in &mut connected {
        assert!(is_ended(client, Duration::from_secs(20)));
    }
    eprintln!("frozen and disconnected everywhere after {:?}", begin.elapsed());
    for node in &fleet.nodes {
        assert_eq!(fleet.connect_to(node, &frozen.connect_now()).1, not_authorized(4));
    }

    // A broker dies: its devices come back on another, the others stay where they are.
    let gone = homes[0];
    let mut stay: Vec<(usize, Client)> = (0..devices.len())
        .filter(|number| homes[*number] != gone && *number != 5)
        .map(|number| (number, fleet.wait_for_login(&devices[number].connect_now()).unwrap()))
        .collect();
    let mut home = fleet.wait_for_login(&devices[0].connect_now()).unwrap();
    fleet.nodes[gone].broker.signal("KILL");
    assert!(is_ended(&mut home, Duration::from_secs(20)));
    let before: usize =
        fleet.nodes.iter().map(|node| node.logins(&devices[0].connect_now().client_id)).sum();
    assert!(fleet.wait_for_login(&devices[0].connect_now()).is_some());
    let after: usize =
        fleet.nodes.iter().map(|node| node.logins(&devices[0].connect_now().client_id)).sum();
    assert!(after > before);
    for (number, client) in &mut stay {
        assert!(client.is_alive(), "{}", devices[*number].id);
    }
    // It comes back with the file that it had, also if the database is gone.
    server.stop("QUIT");
    fleet.nodes[gone].broker.start_again();
    wait_within(Duration::from_secs(20), || {
        let connect = devices[0].connect_now();
        fleet.connect(&connect);
        fleet.nodes[gone].logins(&connect.client_id) > 0
    });
    let node = &fleet.nodes[gone];
    assert_eq!(fleet.connect_to(node, &devices[0].connect_now()).1, ACCEPTED);
    assert_eq!(fleet.connect_to(node, &frozen.connect_now()).1, not_authorized(4));
}

/// What is no CONNECT does not come to a broker.
#[test]
fn what_is_no_connect_is_turned_away() {
    let (_server, fleet) = fleet(Release::V17);
    let mut client =
        Client::over(support::transport::tcp(support::transport::local(fleet.router.port())));
    client.send(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n");
    assert_eq!(client.receive(), None);
    let mut client =
        Client::over(support::transport::tcp(support::transport::local(fleet.router.port())));
    client.send(&[0xC0, 0]);
    assert_eq!(client.receive(), None);
}

#[test]
fn the_shipped_configuration_is_valid() {
    let folder = Folder::new();
    let config = folder.path().join("haproxy.cfg");
    fs::write(&config, shipped()).unwrap();
    for release in RELEASES {
        let output = haproxy(release, &config).arg("-c").output().expect("haproxy runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("WARNING"), "{release}: {said}");
    }
}

/// The unit names options that there are, and what it names is consistent.
#[test]
fn the_unit_starts_the_tool_as_it_is() {
    let unit =
        fs::read_to_string(root().join("packaging/systemd/iotda-auth-follow.service")).unwrap();
    let help = support::tool::tool(["follow", "--help"]).out;
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let mut words = start.split(' ');
    assert_eq!(words.next(), Some("/usr/bin/iotda-auth"));
    assert_eq!(words.next(), Some("follow"));
    for word in words.filter(|word| word.starts_with("--")) {
        assert!(help.contains(&format!("{word} ")), "{word}");
    }
    for (directory, variable) in
        [("StateDirectory=", "STATE_DIRECTORY"), ("LoadCredential=dsn:", "CREDENTIALS_DIRECTORY")]
    {
        assert!(unit.contains(directory) && start.contains(variable), "{directory}");
    }
}
