//! Strangers who try to log in during a sweep: their CONNECTs are checked like any other, over every kind of listener.
//!
//! 2.0 takes CONNECTs from its WebSocket listeners between the sweep and the TICK that follows it, so an earlier version of
//! the plugin let one waiting connection in unchecked at each SIGHUP. `IOTDA_STORM_SECONDS=60` makes the attacks longer than
//! the few seconds of a usual run.

use iotda_core::login::SignType::{Sha256, Sha256Timestamp};
use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};
use support::{
    broker::{Broker, Setup, free_port},
    device::{Device, LAMP, METER, now, secrets, stamp},
    library,
    mqtt::{ACCEPTED, Client, Connect, VERSIONS},
    on_every_broker,
    scratch::Scratch,
    transport,
    version::Version,
};

on_every_broker!(
    nobody_slips_in_at_a_sighup,
    nobody_slips_in_where_each_listener_has_an_instance,
    nobody_slips_in_where_others_are_let_in,
    nobody_slips_in_over_a_tls_web_socket,
    ; from 2.1:
    nobody_slips_in_by_a_device_id,
);

const ICE: Device = Device { id: "ice", secret: "icesecret1" };
const CONNECTIONS: usize = 8;

fn how_long() -> Duration {
    let seconds = env::var("IOTDA_STORM_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// A listener and how to connect to it.
#[derive(Clone, Debug)]
enum Door {
    Tcp(u16),
    Unix(PathBuf),
    WebSocket(u16),
    TlsWebSocket(u16),
}

/// What strangers send: the id of a device with a certificate, without showing one; passwords that are old, wrong, another
/// device's or a frozen device's; unknown devices; no keep alive; and ids that are names of sessions.
fn attempts() -> Vec<Vec<u8>> {
    let old = stamp(now() - 30 * 86_400);
    let certificate = Connect::new("meter_0_1_2020010100").username("meter").keep_alive(0);
    let mut attempts = Vec::new();
    for level in VERSIONS {
        for connect in [
            certificate.clone(),
            certificate.clone().keep_alive(120),
            LAMP.connect(Sha256Timestamp, &old),
            LAMP.connect(Sha256Timestamp, &old).keep_alive(0),
            LAMP.connect_now().password("0".repeat(64)),
            Connect { password: None, ..LAMP.connect_now() },
            Device { secret: METER.secret, ..LAMP }.connect_now(),
            ICE.connect(Sha256, "2999010100"),
            Device { id: "stranger", secret: LAMP.secret }.connect_now(),
            Connect::new(LAMP.id).username(LAMP.id),
            Connect::new("meter").username("meter"),
            Connect::new("backend").username("backend.service").password("guess"),
        ] {
            attempts.push(connect.level(level).packet());
        }
    }
    attempts
}

/// Reads until a CONNACK, the end, or a short timeout. Returns whether the client was let in.
fn is_let_in(mut stream: impl Read, frames: bool) -> bool {
    let (mut received, mut buffer) = (Vec::new(), [0; 512]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return false,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
        let packet = if frames {
            let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            received.get(end + 6..).unwrap_or_default()
        } else {
            &received
        };
        if packet.len() >= 4 {
            return packet[0] == 0x20 && packet[3] == 0;
        }
    }
}

impl Door {
    fn try_with(&self, packet: &[u8]) -> bool {
        let patience = Some(Duration::from_millis(300));
        match self {
            Self::Tcp(port) | Self::WebSocket(port) => {
                let Ok(mut stream) = TcpStream::connect(transport::local(*port)) else {
                    return false;
                };
                stream.set_read_timeout(patience).unwrap();
                let frames = matches!(self, Self::WebSocket(_));
                let bytes = if frames { transport::upgrade_and(packet) } else { packet.to_vec() };
                // In one segment, so that the broker reads both at once.
                stream.write_all(&bytes).is_ok() && is_let_in(stream, frames)
            }
            Self::Unix(path) => {
                let Ok(mut stream) = UnixStream::connect(path) else { return false };
                stream.set_read_timeout(patience).unwrap();
                stream.write_all(packet).is_ok() && is_let_in(stream, false)
            }
            Self::TlsWebSocket(port) => {
                let mut stream = transport::tls(*port, &[]);
                stream.set_patience(patience);
                let sent =
                    stream.write_all(&transport::upgrade_and(packet)).and_then(|()| stream.flush());
                sent.is_ok() && is_let_in(stream, true)
            }
        }
    }
}

/// A broker with several listeners, and two devices that are logged in.
struct Ground {
    broker: Broker,
    doors: Vec<Door>,
    live: Vec<Client>,
}

/// How a broker is set up.
#[derive(Clone, Copy, Default)]
struct Plan {
    an_instance_each: bool,
    others: bool,
    by_device: bool,
    tls: bool,
}

impl Ground {
    fn new(version: Version, plan: Plan) -> Self {
        let setup = Setup::new(version);
        let scratch: &Scratch = setup.scratch();
        let [tcp, web_socket, tls] = [(); 3].map(|()| free_port());
        let socket = scratch.path().join("s");
        let file = format!(
            "{}meter:x509={}\n{}:{}:frozen\n",
            secrets(),
            "0".repeat(64),
            ICE.id,
            ICE.secret
        );
        let secrets = scratch.file("secrets", file);
        let mut options = format!("plugin_opt_secrets_file {}\n", secrets.display());
        if plan.others {
            options.push_str("plugin_opt_other_clients defer\n");
        }
        if plan.by_device {
            options.push_str("plugin_opt_session_id device\n");
        }
        let mut listeners = vec![
            format!("listener {tcp} 127.0.0.1\n"),
            format!("listener 0 {}\n", socket.display()),
            format!("listener {web_socket} 127.0.0.1\nprotocol websockets\n"),
        ];
        let mut doors = vec![Door::WebSocket(web_socket), Door::Tcp(tcp), Door::Unix(socket)];
        if plan.tls {
            let lines = transport::tls_lines(scratch);
            listeners.push(format!("listener {tls} 127.0.0.1\nprotocol websockets\n{lines}"));
            doors = vec![Door::TlsWebSocket(tls)];
        }
        let library = library::release().display();
        let mut config: String = match (plan.an_instance_each, version.names_plugins()) {
            (false, _) => format!("plugin {library}\n{options}{}", listeners.concat()),
            (true, true) => {
                let load = |n| format!("plugin_load p{n} {library}\n{options}");
                let listener =
                    |(n, text): (usize, &String)| format!("{}{text}plugin_use p{n}\n", load(n));
                listeners.iter().enumerate().map(listener).collect()
            }
            (true, _) => {
                let listener = |text: &String| format!("{text}plugin {library}\n{options}");
                let each: String = listeners.iter().map(listener).collect();
                format!("per_listener_settings true\n{each}")
            }
        };
        if plan.others {
            config.push_str("allow_anonymous true\n");
        }
        let broker = setup.whole_config(&config, tcp).secrets_file(&secrets).start();
        // Sessions for the sweep: two online, and some offline.
        let mut live = Vec::new();
        for (port, device) in [(tcp, LAMP), (web_socket, METER)] {
            let mut client = match port == tcp {
                true => Client::over(transport::tcp(transport::local(port))),
                false => Client::over(transport::web_socket(port)),
            };
            client.send(&device.connect_now().packet());
            assert_eq!(client.answer(), ACCEPTED, "{}", broker.log());
            live.push(client);
        }
        Self { broker, doors, live }
    }

    /// Strangers at every listener, and a SIGHUP each half second. Returns the number of tries.
    fn storm(&mut self) -> usize {
        let (tries, let_in, over) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let attempts = attempts();
        thread::scope(|scope| {
            for number in 0..CONNECTIONS {
                let (doors, attempts, tries, let_in, over) =
                    (&self.doors, &attempts, &tries, &let_in, &over);
                scope.spawn(move || {
                    // Half of them at the first listener.
                    let door = &doors[if number % 2 == 0 { 0 } else { number / 2 % doors.len() }];
                    for attempt in attempts.iter().cycle().skip(number * 5) {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let_in.fetch_add(usize::from(door.try_with(attempt)), Ordering::Relaxed);
                        tries.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let begin = Instant::now();
            while begin.elapsed() < how_long() {
                self.broker.signal("HUP");
                thread::sleep(Duration::from_millis(500));
            }
            over.store(true, Ordering::Relaxed);
        });
        let tries = tries.into_inner();
        assert_eq!(let_in.into_inner(), 0, "of {tries}\n{}", self.broker.log());
        eprintln!("{tries} tries");
        tries
    }
}

fn storm(version: Version, plan: Plan) {
    let mut ground = Ground::new(version, plan);
    let tries = ground.storm();
    assert!(tries > if plan.tls { 20 } else { 500 }, "{tries} tries");
    assert!(ground.live.iter_mut().all(Client::is_alive), "{}", ground.broker.log());
    // Only clients that were let in are remembered.
    let log = ground.broker.log();
    let logged_in = |line: &str| {
        line.split_once("changed; ")
            .and_then(|(_, rest)| rest.split_once(" logged in")?.0.parse().ok())
    };
    let most: u32 = log.lines().filter_map(logged_in).max().expect("reloads");
    assert!(most <= 2, "{log}");
}

fn nobody_slips_in_at_a_sighup(version: Version) {
    storm(version, Plan::default());
}

fn nobody_slips_in_where_each_listener_has_an_instance(version: Version) {
    storm(version, Plan { an_instance_each: true, ..Plan::default() });
}

fn nobody_slips_in_where_others_are_let_in(version: Version) {
    storm(version, Plan { others: true, ..Plan::default() });
}

fn nobody_slips_in_by_a_device_id(version: Version) {
    storm(version, Plan { by_device: true, others: true, ..Plan::default() });
}

fn nobody_slips_in_over_a_tls_web_socket(version: Version) {
    storm(version, Plan { tls: true, ..Plan::default() });
}
