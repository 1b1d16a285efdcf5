//! Logins that the broker never asks about: with `use_identity_as_username` or `use_subject_as_username`, any client with a
//! certificate of the listener's authority is let in under any ClientId.

use iotda_core::login::SignType::Sha256;
use support::{
    authority::{Authority, Issued},
    broker::{Broker, Setup, free_port},
    device::{Device, LAMP, METER, secrets},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(
    a_client_with_a_devices_client_id_is_disconnected,
    services_with_other_names_stay,
    other_disconnects_are_not_logged,
    ; from 2.1:
    a_client_with_a_device_id_is_disconnected_where_sessions_have_it,
);

struct Ground {
    broker: Broker,
    port: u16,
    service: Issued,
}

fn ground(version: Version, which: &str, option: Option<(&str, &str)>) -> Ground {
    let mut setup = Setup::new(version).secrets(secrets());
    if let Some((name, value)) = option {
        setup = setup.option(name, value);
    }
    let authority = Authority::new(setup.scratch(), "authority");
    let [server, service] = ["127.0.0.1", "service"].map(|name| authority.issue(name));
    let port = free_port();
    let broker = setup
        .line(&format!(
            "listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}\ncafile {}\nrequire_certificate true\n{which} true",
            server.certificate,
            server.key,
            authority.own().certificate
        ))
        .start();
    Ground { broker, port, service }
}

impl Ground {
    fn knock(&self, connect: &Connect) -> Client {
        let mut client = Client::over(transport::tls(self.port, &self.service.shown()));
        client.send(&connect.packet());
        assert_eq!(client.answer(), ACCEPTED, "{}", self.broker.log());
        client
    }
}

fn a_client_with_a_devices_client_id_is_disconnected(version: Version) {
    for which in ["use_identity_as_username", "use_subject_as_username"] {
        let ground = ground(version, which, None);
        for level in VERSIONS {
            for device in [LAMP, Device { id: "no_such_device", ..LAMP }] {
                let mut thief = ground.knock(&device.connect(Sha256, "2999010100").level(level));
                if version.tells_of_connects() {
                    thief.rest();
                } else {
                    assert!(thief.is_alive());
                    thief.disconnect();
                }
            }
        }
        let log = ground.broker.log();
        if version.tells_of_connects() {
            let told = "user=\"service\"";
            let told = if which.contains("identity") { told } else { "user=\"CN=service\"" };
            let refusals = ground.broker.refusals();
            assert!(refusals.len() >= 2, "{log}");
            assert!(
                refusals
                    .iter()
                    .all(|line| line.contains(told) && line.ends_with("reason=not_asked")),
                "{refusals:#?}"
            );
            assert!(!log.contains("not asked about"), "{log}");
        } else {
            ground.broker.wait_for_log(
                "iotda-auth: not asked about client=\"64a1f0c2_lamp-01_0_0_2999010100\"",
            );
            assert_eq!(ground.broker.log().matches("not asked about").count(), 1, "{log}");
        }
        assert_eq!(Client::connect(&ground.broker, &METER.connect_now()).1, ACCEPTED);
    }
}

fn a_client_with_a_device_id_is_disconnected_where_sessions_have_it(version: Version) {
    let ground = ground(version, "use_identity_as_username", Some(("session_id", "device")));
    ground.knock(&Connect::new(LAMP.id)).rest();
    assert!(ground.broker.refusals()[0].ends_with("reason=not_asked"), "{}", ground.broker.log());
    assert!(ground.knock(&Connect::new("lamp-02")).is_alive(), "{}", ground.broker.log());
    // The device itself is asked about, and stays.
    let (mut lamp, answer) = Client::connect(&ground.broker, &LAMP.connect_now());
    assert_eq!(answer, ACCEPTED);
    assert!(lamp.is_alive(), "{}", ground.broker.log());
}

fn services_with_other_names_stay(version: Version) {
    let ground = ground(version, "use_identity_as_username", None);
    for level in VERSIONS {
        let mut service = ground.knock(&Connect::new("service-1").level(level));
        let (mut lamp, _) = Client::connect(&ground.broker, &LAMP.connect_now().level(level));
        ground.broker.reload();
        assert!(service.is_alive() && lamp.is_alive(), "{}", ground.broker.log());
        service.disconnect();
        lamp.disconnect();
    }
    assert!(!ground.broker.log().contains("not asked about"), "{}", ground.broker.log());
}

/// 2.0 also reports a disconnect for sessions that have long been offline, and for clients that it has just refused.
fn other_disconnects_are_not_logged(version: Version) {
    let setup = Setup::new(version).secrets(secrets());
    let folder = setup.scratch().path().display().to_string();
    let web_socket = free_port();
    let mut broker = setup
        .line("persistence true")
        .line(&format!("persistence_location {folder}/"))
        .line("persistent_client_expiration 2h")
        .line(&format!("listener {web_socket} 127.0.0.1\nprotocol websockets"))
        .start();
    for _ in 0..2 {
        for level in VERSIONS {
            let lamp = LAMP.connect(Sha256, "2999010100").level(level);
            // Clean and persistent, ended well and broken off, taken over online and offline, refused.
            Client::connect(&broker, &lamp).0.disconnect();
            drop(Client::connect(&broker, &lamp.clone().persistent()).0);
            Client::connect(&broker, &lamp.clone().persistent()).0.disconnect();
            let (first, _) = Client::connect(&broker, &lamp.clone().persistent());
            let (second, _) = Client::connect(&broker, &lamp);
            let (third, _) = Client::connect(&broker, &LAMP.connect(Sha256, "2999010101"));
            Client::connect(&broker, &lamp.clone().password("0".repeat(64)));
            for connect in
                [lamp.clone(), lamp.clone().persistent(), LAMP.connect(Sha256, "2999010102")]
            {
                let mut client = Client::over(transport::web_socket(web_socket));
                client.send(&connect.level(level).packet());
                assert_eq!(client.answer(), ACCEPTED);
                broker.reload();
            }
            let wrong = lamp.clone().password("1".repeat(64));
            let mut refused = Client::over(transport::web_socket(web_socket));
            refused.send(&wrong.packet());
            refused.rest();
            drop((first, second, third));
            Client::connect(&broker, &lamp.persistent()).0.disconnect();
        }
        broker.restart();
    }
    let log = broker.log();
    assert!(!log.contains("not asked about") && !log.contains("not_asked"), "{log}");
}
