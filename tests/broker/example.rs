//! The example that an operator copies: as it is, and with each of its blocks. Only what differs between machines is
//! replaced: the ports and the paths of files.

use iotda_core::login::SignType::Sha256;
use std::{fs, process::Command};
use support::{
    authority::{Authority, Issued},
    broker::{Broker, Setup, free_port, installation},
    c::text_of,
    device::{Device, LAMP, METER, now, secrets, stamp},
    library::{release, root},
    mqtt::{ACCEPTED, Answer, Client, Connect},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(
    the_example_works_as_it_is,
    devices_over_tls,
    devices_with_certificates,
    services_with_a_password,
    services_with_a_certificate,
);

/// The example on this machine, with one of its blocks in force or none.
struct Example {
    setup: Setup,
    config: String,
    port: u16,
}

impl Example {
    fn new(version: Version, block: Option<&str>) -> Self {
        let setup = Setup::new(version);
        let port = free_port();
        let config = fs::read_to_string(root().join("mosquitto.conf.example")).unwrap();
        let config = match block {
            Some(title) => in_force(&config, title),
            None => config,
        };
        let example = Self { setup, config, port };
        let library = release().display().to_string();
        let acl = fs::read_to_string(root().join("mosquitto.acl.example")).unwrap();
        let acl = example.setup.scratch().file("acl", acl).display().to_string();
        example
            .replace("/etc/mosquitto/mosquitto.acl", &acl)
            .replace("listener 1883", &format!("listener {port} 127.0.0.1"))
            .replace("plugin mosquitto_iotda_auth.so", &format!("plugin {library}"))
    }

    /// Replaces the value of one line that is not commented out.
    fn replace(self, theirs: &str, ours: &str) -> Self {
        let holds = |line: &&str| !line.starts_with('#') && line.contains(theirs);
        let count = self.config.lines().filter(holds).count();
        assert_eq!(count, 1, "one line of the example holds {theirs}");
        let line = |line: &str| {
            if holds(&line) { line.replace(theirs, ours) } else { line.to_string() }
        };
        let config = self.config.lines().map(|text| line(text) + "\n").collect();
        Self { config, ..self }
    }

    /// A TLS listener's port, and its certificate.
    fn tls(self, theirs: u16, server: &Issued) -> (Self, u16) {
        let port = free_port();
        let example = self
            .replace(&format!("listener {theirs}"), &format!("listener {port} 127.0.0.1"))
            .replace("/etc/mosquitto/certs/server.crt", &server.certificate)
            .replace("/etc/mosquitto/certs/server.key", &server.key);
        (example, port)
    }

    fn authority(&self, name: &str) -> Authority {
        Authority::new(self.setup.scratch(), name)
    }

    fn start(self, secrets: &str) -> Broker {
        let path = self.setup.scratch().file("iotda.secrets", secrets);
        let example = self.replace("/etc/mosquitto/iotda.secrets", &path.display().to_string());
        example.setup.whole_config(&example.config, example.port).start()
    }
}

/// The example with the lines of one block in force.
fn in_force(config: &str, title: &str) -> String {
    let heading = format!("# --- {title} ---");
    assert_eq!(config.lines().filter(|line| *line == heading).count(), 1, "{heading}");
    let mut inside = false;
    let line = |line: &str| {
        inside = if line.starts_with("# --- ") { line == heading } else { inside };
        // Comments for people have a blank after the #.
        match line.strip_prefix('#') {
            Some(setting) if inside && !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        }
    };
    config.lines().map(line).collect()
}

fn the_example_works_as_it_is(version: Version) {
    let broker = Example::new(version, None).start(&secrets());
    let (mut lamp, answer) = Client::connect(&broker, &LAMP.connect_now());
    assert_eq!(answer, ACCEPTED, "{}", broker.log());
    // A device may use its own topics, but neither another device's nor the broker's.
    let own = format!("$oc/devices/{}/user/x", LAMP.id);
    let of_another = format!("$oc/devices/{}/user/x", METER.id);
    for filter in ["$SYS/#", &own, &of_another] {
        lamp.subscribe(4, filter);
    }
    lamp.publish_unread(4, &of_another);
    lamp.publish_unread(4, &own);
    let publish = lamp.receive().expect("a message");
    assert!(publish.windows(own.len()).any(|part| part == own.as_bytes()), "{publish:02x?}");
    assert!(lamp.is_alive());
}

fn devices_over_tls(version: Version) {
    let example = Example::new(version, Some("Devices over TLS, with their secrets"));
    let server = example.authority("authority").issue("127.0.0.1");
    let (example, port) = example.tls(8883, &server);
    let broker = example.start(&secrets());
    // What the SDKs of Python and Java speak, and what the others do.
    for protocol in ["-tls1_2", "-tls1_3"] {
        let mut client = Client::over(transport::tls(port, &[protocol]));
        client.send(&LAMP.connect_now().packet());
        assert_eq!(client.answer(), ACCEPTED, "{protocol} {}", broker.log());
    }
    assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED, "{}", broker.log());
}

fn devices_with_certificates(version: Version) {
    let title = "Devices with certificates, on a separate listener";
    let example = Example::new(version, Some(title));
    let authority = example.authority("authority");
    let [server, device, lost] = ["127.0.0.1", "device", "lost"].map(|name| authority.issue(name));
    let (example, port) = example.tls(8884, &server);
    let file = format!(
        "{}device:x509={}\nlost:x509={}\n",
        secrets(),
        device.fingerprint("-sha256"),
        lost.fingerprint("-sha256")
    );
    let broker = example
        .replace("/etc/mosquitto/certs/devices-ca.crt", &authority.own().certificate)
        .replace("/etc/mosquitto/certs/devices-ca.crl", &authority.revoke(&lost))
        .start(&file);
    let knock = |connect: &Connect, shown: &Issued| {
        let mut client = Client::over(transport::tls(port, &shown.shown()));
        client.send(&connect.packet());
        client.answer()
    };
    let by_certificate = |id| {
        let connect = Device { id, secret: "" }.connect(Sha256, &stamp(now()));
        Connect { password: None, ..connect }
    };
    assert_eq!(knock(&by_certificate("device"), &device), ACCEPTED, "{}", broker.log());
    assert_eq!(knock(&LAMP.connect_now(), &device), ACCEPTED, "{}", broker.log());
    assert_eq!(knock(&by_certificate("lost"), &lost), Answer::Closed, "{}", broker.log());
}

/// The example with a block of services in force, and a service that has a password.
fn with_services(version: Version, titles: &[&str]) -> Example {
    let mut example = Example::new(version, Some(titles[0]));
    for title in &titles[1..] {
        example.config = in_force(&example.config, title);
    }
    let config = example
        .config
        .replace("#plugin_opt_other_clients refuse", "plugin_opt_other_clients defer");
    assert_ne!(config, example.config);
    let passwords = example.setup.scratch().path().join("passwd");
    let tool = installation(version).join("mosquitto_passwd");
    text_of(
        Command::new(tool)
            .arg("-c")
            .arg("-b")
            .arg(&passwords)
            .args(["backend.service", "pass-word"]),
    );
    Example { config, ..example }.replace("/etc/mosquitto/passwd", &passwords.display().to_string())
}

fn services_with_a_password(version: Version) {
    let broker = with_services(version, &["Back-end services, with a password"]).start(&secrets());
    let service = Connect::new("service-1").username("backend.service").password("pass-word");
    assert_eq!(Client::connect(&broker, &service).1, ACCEPTED, "{}", broker.log());
    let wrong = service.password("another");
    assert_eq!(Client::connect(&broker, &wrong).1, Answer::Connack(5), "{}", broker.log());
    assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED, "{}", broker.log());
}

/// A service with a certificate and a password may use its own ClientIds, but not a device's: neither its ClientId nor, with
/// `session_id device`, its device id.
fn services_with_a_certificate(version: Version) {
    let title = "Back-end services, with a certificate and a password, on a separate listener";
    for by_device in [false, true] {
        if by_device && !version.names_sessions() {
            continue;
        }
        let mut example = with_services(version, &["Back-end services, with a password", title]);
        if by_device {
            let config = example
                .config
                .replace("#plugin_opt_session_id client", "plugin_opt_session_id device");
            assert_ne!(config, example.config);
            example.config = config;
        }
        let authority = example.authority("authority");
        let [server, service] = ["127.0.0.1", "backend.service"].map(|name| authority.issue(name));
        let (example, port) = example.tls(8885, &server);
        let broker = example
            .replace("/etc/mosquitto/certs/services-ca.crt", &authority.own().certificate)
            .start(&secrets());
        let knock = |connect: &Connect| {
            let mut client = Client::over(transport::tls(port, &service.shown()));
            client.send(&connect.packet());
            client.answer()
        };
        let as_service = |client_id: &[u8]| {
            Connect::new(client_id).username("backend.service").password("pass-word")
        };
        assert_eq!(knock(&as_service(b"service-1")), ACCEPTED, "{}", broker.log());
        assert_ne!(knock(&Connect::new("service-1")), ACCEPTED, "{}", broker.log());
        let (mut lamp, answer) = Client::connect(&broker, &LAMP.connect_now().persistent());
        assert_eq!(answer, ACCEPTED, "{}", broker.log());
        lamp.subscribe(4, "news");
        // A device's session, online and then offline.
        let thief = as_service(&LAMP.connect_now().client_id);
        assert_ne!(knock(&thief), ACCEPTED, "{}", broker.log());
        assert_ne!(knock(&thief.clone().persistent()), ACCEPTED, "{}", broker.log());
        if by_device {
            assert_ne!(knock(&as_service(LAMP.id.as_bytes()).persistent()), ACCEPTED);
        }
        assert!(lamp.is_alive(), "{}", broker.log());
        lamp.disconnect();
        assert_ne!(knock(&thief.persistent()), ACCEPTED, "{}", broker.log());
        assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED);
    }
}
