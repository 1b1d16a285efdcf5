//! Clients that are not devices: refused, or left to the broker's password file.

use std::process::Command;
use support::{
    broker::{Setup, installation},
    device::{LAMP, secrets},
    mqtt::{ACCEPTED, Client, Connect, VERSIONS, not_authorized, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(
    others_are_refused,
    others_are_left_to_the_password_file,
    anonymous_access_lets_no_refused_device_in
);

pub(crate) fn backend() -> Connect {
    Connect::new("backend").username("backend.service").password("backendpassword")
}

/// A broker that knows `backend` from its password file.
pub(crate) fn with_password_file(version: Version, other_clients: &str) -> Setup {
    let setup = Setup::new(version).secrets(secrets()).option("other_clients", other_clients);
    let file = setup.scratch().path().join("passwords");
    let made = Command::new(installation(version).join("mosquitto_passwd"))
        .args(["-b", "-c"])
        .arg(&file)
        .args(["backend.service", "backendpassword"])
        .output()
        .expect("mosquitto_passwd runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    setup.line(&format!("password_file {}", file.display()))
}

fn others_are_refused(version: Version) {
    let broker = with_password_file(version, "refuse").start();
    for level in VERSIONS {
        let (_, answer) = Client::connect(&broker, &backend().level(level));
        assert_eq!(answer, refused(version, level, "bad_client_id"));
    }
    assert!(broker.refusals()[0].contains(
        "client=\"backend\" user=\"backend.service\" address=127.0.0.1 reason=bad_client_id"
    ));
}

fn others_are_left_to_the_password_file(version: Version) {
    let broker = with_password_file(version, "defer").start();
    for level in VERSIONS {
        assert_eq!(Client::connect(&broker, &backend().level(level)).1, ACCEPTED);
        assert_eq!(Client::connect(&broker, &LAMP.connect_now().level(level)).1, ACCEPTED);
        let wrong = backend().password("wrong").level(level);
        assert_eq!(Client::connect(&broker, &wrong).1, not_authorized(level));
        // The plugin decides about a login with a device's ClientId, even if its user name is in the password file.
        for (client_id, id) in [
            ("x_0_0_2026112209", "user_mismatch"),
            ("x_0_1_2026023103", "bad_client_id"),
            ("x_0_7_2026112209", "bad_sign_type"),
            ("_0_0_2026112209", "bad_client_id"),
        ] {
            let shaped = Connect { client_id: client_id.into(), ..backend() }.level(level);
            assert_eq!(
                Client::connect(&broker, &shaped).1,
                refused(version, level, id),
                "{client_id}"
            );
        }
    }
    assert_eq!(broker.refusals().len(), 4 * VERSIONS.len());
}

fn anonymous_access_lets_no_refused_device_in(version: Version) {
    for other_clients in ["refuse", "defer"] {
        let broker = Setup::new(version)
            .secrets(secrets())
            .option("other_clients", other_clients)
            .line("allow_anonymous true")
            .start();
        for level in VERSIONS {
            let wrong = LAMP.connect_now().password("0".repeat(64)).level(level);
            assert_eq!(
                Client::connect(&broker, &wrong).1,
                refused(version, level, "wrong_password")
            );
            let nameless =
                Connect { username: None, password: None, ..LAMP.connect_now() }.level(level);
            assert_eq!(
                Client::connect(&broker, &nameless).1,
                refused(version, level, "user_mismatch")
            );
            assert_eq!(Client::connect(&broker, &LAMP.connect_now().level(level)).1, ACCEPTED);
        }
    }
}
