//! Each behaviour over each kind of listener, in each version of MQTT, with one instance of the plugin for all listeners and
//! with one for each. support/matrix.rs has the list, and tests/docs.rs compares the README's table with it.

use iotda_core::login::SignType::Sha256;
use std::{
    fmt::Write,
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};
use support::{
    authority::{Authority, Issued},
    broker::{Broker, NEWEST, Setup, free_port, wait},
    device::{Device, LAMP},
    library,
    matrix::{LISTENERS, MATRIX, Row},
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS, refusal, refused},
    on_every_broker,
    scratch::Scratch,
    transport,
    version::Version,
};

on_every_broker!(
    devices_log_in_by_their_passwords,
    refusals_have_their_codes_and_lines,
    refusals_have_exact_codes,
    devices_log_in_by_their_certificates,
    a_sighup_disconnects_nobody,
    a_reload_disconnects_the_devices_that_were_removed,
    a_login_ends_the_earlier_connection,
    a_command_reaches_a_device_that_never_subscribed,
);

/// A broker with a listener of each kind.
struct Ground {
    version: Version,
    broker: Broker,
    ports: [u16; LISTENERS.len()],
    socket: PathBuf,
    device: Issued,
}

/// What is played: over a kind of listener, in a version of MQTT.
#[derive(Clone, Copy, Debug)]
struct Way {
    listener: usize,
    level: u8,
}

impl Ground {
    fn new(version: Version, an_instance_each: bool, exact: bool) -> Self {
        let setup = Setup::new(version);
        let scratch = setup.scratch();
        let authority = Authority::new(scratch, "authority");
        let [server, device] = ["127.0.0.1", "device"].map(|name| authority.issue(name));
        let secrets = scratch.file("secrets", secrets(&device));
        let ports = [(); LISTENERS.len()].map(|()| free_port());
        let socket = scratch.path().join("s");
        let plugin = Plugin {
            version,
            an_instance_each,
            options: format!(
                "plugin_opt_secrets_file {}\n{}",
                secrets.display(),
                if exact {
                    format!(
                        "plugin_opt_exact_connack_ports {},{},{}\n",
                        ports[0], ports[1], ports[6]
                    )
                } else {
                    String::new()
                }
            ),
        };
        let tls = format!("certfile {}\nkeyfile {}\n", server.certificate, server.key);
        let (port, authority) = (|n: usize| ports[n], &authority.own().certificate);
        let mut listeners = vec![
            format!("listener {} 127.0.0.1\n", port(0)),
            format!("listener {} ::1\n", port(1)),
            format!("listener 0 {}\n", socket.display()),
            format!("listener {} 127.0.0.1\n{tls}", port(3)),
            format!(
                "listener {} 127.0.0.1\n{tls}cafile {authority}\nrequire_certificate true\n",
                port(4)
            ),
            format!("listener {} 127.0.0.1\nprotocol websockets\n", port(5)),
        ];
        if exists(6, version) {
            listeners.push(format!("listener {} 127.0.0.1\nenable_proxy_protocol 2\n", port(6)));
        }
        let config = plugin.config(&listeners);
        let broker = setup.whole_config(&config, ports[0]).secrets_file(&secrets).start();
        Self { version, broker, ports, socket, device }
    }

    fn dial(&self, listener: usize) -> Client {
        let port = self.ports[listener];
        match LISTENERS[listener] {
            "IPv4" => Client::over(transport::tcp(transport::local(port))),
            "IPv6" => Client::over(transport::tcp((Ipv6Addr::LOCALHOST, port))),
            "Unix socket" => Client::over(transport::unix(&self.socket)),
            "TLS" => Client::over(transport::tls(port, &[])),
            "TLS with certificates" => Client::over(transport::tls(port, &self.device.shown())),
            "WebSocket" => Client::over(transport::web_socket(port)),
            "PROXY v2, on 2.1" => {
                let device = SocketAddr::from(([203, 0, 113, 9], 50_000));
                let header = transport::proxy_header_from(device, transport::local(port));
                Client::over(transport::by_proxy(port, &header))
            }
            other => panic!("no way to {other}"),
        }
    }

    fn knock(&self, way: Way, connect: &Connect) -> (Client, Answer) {
        let mut client = self.dial(way.listener);
        client.send(&connect.clone().level(way.level).packet());
        let answer = client.answer();
        (client, answer)
    }

    fn login(&self, way: Way, connect: &Connect) -> Client {
        let (client, answer) = self.knock(way, connect);
        assert_eq!(answer, ACCEPTED, "{} {way:?}\n{}", LISTENERS[way.listener], self.broker.log());
        client
    }

    /// The address that the broker has for a client of a listener.
    fn address(&self, listener: usize) -> String {
        match LISTENERS[listener] {
            "IPv6" => "::1".into(),
            "Unix socket" => self.socket.display().to_string(),
            "WebSocket" => format!("{}127.0.0.1", self.version.web_socket_prefix()),
            "PROXY v2, on 2.1" => "203.0.113.9".into(),
            _ => "127.0.0.1".into(),
        }
    }

    /// Whether a WebSocket's refusal may be lost: 2.0 may close it before it has sent the CONNACK.
    fn may_lose(&self, way: Way) -> bool {
        LISTENERS[way.listener] == "WebSocket" && !self.version.finishes_web_sockets()
    }
}

/// The lines that load the plugin, once or for each listener.
struct Plugin {
    version: Version,
    an_instance_each: bool,
    options: String,
}

impl Plugin {
    fn config(&self, listeners: &[String]) -> String {
        let Self { version, an_instance_each, options } = self;
        let library = library::release().display();
        let mut config = String::new();
        if !an_instance_each {
            let listeners: String = listeners.concat();
            return format!("plugin {library}\n{options}{listeners}");
        }
        if !version.names_plugins() {
            config.push_str("per_listener_settings true\n");
        }
        for (n, listener) in listeners.iter().enumerate() {
            if version.names_plugins() {
                write!(config, "plugin_load p{n} {library}\n{options}{listener}plugin_use p{n}\n")
                    .unwrap();
            } else {
                write!(config, "{listener}plugin {library}\n{options}").unwrap();
            }
        }
        config
    }
}

/// A device for each way, by password and by certificate, and the lamp.
fn secrets(device: &Issued) -> String {
    let mut file = format!(
        "{}:{}\nby-certificate:x509={}\n",
        LAMP.id,
        LAMP.secret,
        device.fingerprint("-sha256")
    );
    for way in ways(&[true; LISTENERS.len()], NEWEST) {
        let Device { id, secret } = device_of(way);
        writeln!(file, "{id}:{secret}").unwrap();
    }
    file
}

fn device_of(way: Way) -> Device {
    let Way { listener, level } = way;
    Device { id: format!("lamp-{listener}-{level}").leak(), secret: "a-secret-of-its-own" }
}

fn connect(device: Device, hour: u8) -> Connect {
    device.connect(Sha256, &format!("29990101{hour:02}"))
}

/// Whether a broker has such a listener.
fn exists(listener: usize, version: Version) -> bool {
    !LISTENERS[listener].ends_with(" 2.1") || version.has_proxy_protocol()
}

fn ways(listeners: &[bool], version: Version) -> Vec<Way> {
    let chosen =
        (0..LISTENERS.len()).filter(|listener| listeners[*listener] && exists(*listener, version));
    chosen.flat_map(|listener| VERSIONS.map(|level| Way { listener, level })).collect()
}

/// Plays a row of the matrix on both kinds of ground, over all its ways.
fn play(version: Version, behaviour: &str, exact: bool, play: impl Fn(&Ground, &[Way])) {
    let row: &Row =
        MATRIX.iter().find(|row| row.behaviour == behaviour).expect("a row of the matrix");
    for an_instance_each in [false, true] {
        play(&Ground::new(version, an_instance_each, exact), &ways(&row.listeners, version));
    }
}

fn devices_log_in_by_their_passwords(version: Version) {
    play(version, "a device logs in by its password", false, |ground, ways| {
        for way in ways {
            assert!(ground.login(*way, &connect(LAMP, 0)).is_alive());
        }
    });
}

fn refusals_have_their_codes_and_lines(version: Version) {
    let behaviour = "a refusal has its code, and its line with the address";
    play(version, behaviour, false, |ground, ways| {
        for way in ways {
            // Only ten refusals of a reason are logged each minute, so each version gets another reason.
            let (wrong, id) = match way.level {
                3 => (connect(LAMP, 0).password("0".repeat(64)), "wrong_password"),
                4 => (connect(Device { id: "stranger", ..LAMP }, 0), "unknown_device"),
                _ => (connect(LAMP, 0).keep_alive(0), "bad_keepalive"),
            };
            let before = ground.broker.refusals().len();
            let (_, answer) = ground.knock(*way, &wrong);
            let expected = refused(version, way.level, id);
            let lost = answer == Answer::Closed && ground.may_lose(*way);
            assert!(answer == expected || lost, "{way:?} {answer:?}\n{}", ground.broker.log());
            let lines = ground.broker.refusals();
            assert_eq!(lines.len(), before + 1, "{lines:#?}");
            let told = format!(" address={} reason={id}", ground.address(way.listener));
            assert!(lines[before].contains(&told), "{}", lines[before]);
        }
    });
}

fn refusals_have_exact_codes(version: Version) {
    play(version, "a refusal has the platform's exact code", true, |ground, ways| {
        for way in ways {
            let wrong = connect(LAMP, 0).password("0".repeat(64));
            let code = refusal("wrong_password").connack();
            let code = if way.level == 5 { code.v5 } else { code.v3 };
            assert_eq!(ground.knock(*way, &wrong).1, Answer::Connack(code), "{way:?}");
        }
    });
}

fn devices_log_in_by_their_certificates(version: Version) {
    play(version, "a device logs in by its certificate", false, |ground, ways| {
        let device = Device { id: "by-certificate", secret: "" };
        let connect = Connect { password: None, ..connect(device, 0) };
        for way in ways {
            assert!(ground.login(*way, &connect).is_alive());
        }
        let elsewhere = Way { listener: 0, level: 4 };
        assert_eq!(ground.knock(elsewhere, &connect).1, refused(version, 4, "no_certificate"));
    });
}

fn a_sighup_disconnects_nobody(version: Version) {
    play(version, "a SIGHUP disconnects nobody", false, |ground, ways| {
        let mut clients: Vec<Client> =
            ways.iter().map(|way| ground.login(*way, &connect(device_of(*way), 0))).collect();
        for _ in 0..2 {
            ground.broker.reload();
            assert!(clients.iter_mut().all(Client::is_alive), "{}", ground.broker.log());
        }
    });
}

fn a_reload_disconnects_the_devices_that_were_removed(version: Version) {
    let behaviour = "a reload disconnects the devices that were removed";
    play(version, behaviour, false, |ground, ways| {
        let mut clients: Vec<(Way, Client)> = ways
            .iter()
            .map(|way| (*way, ground.login(*way, &connect(device_of(*way), 0))))
            .collect();
        let scratch: &Scratch = ground.broker.scratch();
        scratch.file("secrets", format!("{}:{}\n", LAMP.id, LAMP.secret));
        ground.broker.reload();
        for (way, client) in &mut clients {
            let ended = wait(|| {
                // If a broker sends no TICK, the next login puts the new table in force.
                ground.login(*way, &connect(LAMP, 0));
                !client.is_alive()
            });
            assert!(ended.is_some(), "{way:?}\n{}", ground.broker.log());
        }
    });
}

fn a_login_ends_the_earlier_connection(version: Version) {
    let behaviour = "a login ends the device's earlier connection";
    play(version, behaviour, false, |ground, ways| {
        for way in ways {
            let mut first = ground.login(*way, &connect(LAMP, 1));
            let mut second = ground.login(*way, &connect(LAMP, 2));
            first.rest();
            assert!(second.is_alive(), "{way:?}\n{}", ground.broker.log());
            // If each listener has an instance, the next instance knows nothing of this connection.
            second.disconnect();
        }
    });
}

fn a_command_reaches_a_device_that_never_subscribed(version: Version) {
    let behaviour = "a command reaches a device that never subscribed";
    play(version, behaviour, false, |ground, ways| {
        for way in ways {
            let mut lamp = ground.login(*way, &connect(LAMP, 0));
            // The sender is on another listener, which may have another instance of the plugin.
            let elsewhere = Way { listener: usize::from(way.listener == 0), level: 4 };
            let mut sender = ground.login(elsewhere, &connect(device_of(*way), 0));
            let topic = format!("$oc/devices/{}/sys/commands/request_id=1", LAMP.id);
            sender.publish(4, &topic, b"on");
            let publish = lamp.receive().expect("a PUBLISH");
            assert_eq!(publish[0], 0x30, "{way:?} {publish:02x?}");
            assert!(publish.ends_with(b"on") && lamp.is_alive(), "{way:?} {publish:02x?}");
            lamp.disconnect();
        }
    });
}
