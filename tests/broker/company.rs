//! Back-end services on the devices' broker, in every way that a broker has for them (the password file is in
//! other_clients.rs): dynamic-security on the same listener, certificates on a separate listener.

use std::process::Command;
use support::{
    broker::{Setup, dynamic_security, free_port, installation},
    device::{LAMP, secrets},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS, not_authorized, refused},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(dynamic_security_has_its_own_clients, certificates_have_a_listener_of_their_own);

fn dynamic_security_has_its_own_clients(version: Version) {
    let setup = Setup::new(version).secrets(secrets()).option("other_clients", "defer");
    let config = setup.scratch().path().join("dynamic-security.json");
    let made = Command::new(installation(version).join("mosquitto_ctrl"))
        .args(["dynsec", "init"])
        .arg(&config)
        .args(["service", "servicepassword"])
        .output()
        .expect("mosquitto_ctrl runs");
    assert!(made.status.success(), "{made:?}");
    let broker = setup
        .line(&format!(
            "plugin {}\nplugin_opt_config_file {}",
            dynamic_security(version).display(),
            config.display()
        ))
        .start();
    let service = Connect::new("service-1").username("service").password("servicepassword");
    for level in VERSIONS {
        assert_eq!(
            Client::connect(&broker, &service.clone().level(level)).1,
            ACCEPTED,
            "{}",
            broker.log()
        );
        let wrong = service.clone().password("wrong").level(level);
        assert_eq!(Client::connect(&broker, &wrong).1, not_authorized(level));
        assert_eq!(
            Client::connect(&broker, &LAMP.connect_now().level(level)).1,
            ACCEPTED,
            "{}",
            broker.log()
        );
        let wrong = LAMP.connect_now().password("0".repeat(64)).level(level);
        assert_eq!(Client::connect(&broker, &wrong).1, refused(version, level, "wrong_password"));
    }
    let (mut lamp, _) = Client::connect(&broker, &LAMP.connect_now());
    broker.reload();
    assert!(lamp.is_alive(), "{}", broker.log());
}

/// With `use_identity_as_username` the broker asks no plugin.
fn certificates_have_a_listener_of_their_own(version: Version) {
    let port = free_port();
    let setup = Setup::new(version).secrets(secrets());
    let lines = transport::tls_lines(setup.scratch());
    let (certificate, key) =
        (setup.scratch().path().join("certificate.pem"), setup.scratch().path().join("key.pem"));
    let (certificate, key) =
        (certificate.to_str().unwrap().to_string(), key.to_str().unwrap().to_string());
    let broker = setup
        .line(&format!(
            "listener {port} 127.0.0.1\n{lines}cafile {certificate}\nrequire_certificate true\n\
             use_identity_as_username true"
        ))
        .start();
    for level in VERSIONS {
        let mut service =
            Client::over(transport::tls(port, &["-cert", &certificate, "-key", &key]));
        service.send(&Connect::new("service-1").level(level).packet());
        assert_eq!(service.answer(), ACCEPTED, "{}", broker.log());
        assert!(service.is_alive());
        let mut nobody = Client::over(transport::tls(port, &[]));
        nobody.send(&Connect::new("service-1").level(level).packet());
        assert_eq!(nobody.rest(), b"", "{}", broker.log());
        assert_eq!(Client::connect(&broker, &LAMP.connect_now().level(level)).1, ACCEPTED);
        let service_elsewhere = Connect::new("service-1").username("127.0.0.1").level(level);
        assert_eq!(
            Client::connect(&broker, &service_elsewhere).1,
            refused(version, level, "bad_client_id")
        );
    }
}
