//! The example that an operator copies.

use crate::support::{
    broker::{free_port, installation, on_every_broker, spawn, user_line, wait},
    device::{LAMP, now, secrets, stamp},
    library::{crate_directory, release},
    mqtt::{ACCEPTED, Connect},
    scratch::Scratch,
};
use mosquitto_iotda_auth::login::SignType;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

on_every_broker!(the_example_works_as_it_is);

/// Only what differs between two machines is replaced: the port, and where the two files lie.
fn the_example_works_as_it_is(version: &str) {
    let scratch = Scratch::new();
    let secrets = scratch.file("iotda.secrets", secrets());
    let port = free_port();
    let mut config = fs::read_to_string(crate_directory().join("mosquitto.conf.example")).unwrap();
    for (theirs, ours) in [
        ("listener 1883", format!("listener {port} 127.0.0.1")),
        ("/usr/lib/x86_64-linux-gnu/mosquitto_iotda_auth.so", release().display().to_string()),
        ("/etc/mosquitto/iotda.secrets", secrets.display().to_string()),
    ] {
        let lines =
            config.lines().filter(|line| !line.starts_with('#') && line.contains(theirs)).count();
        assert_eq!(lines, 1, "one line of the example holds {theirs}");
        config = config.replace(theirs, &ours);
    }
    let config = scratch.file("mosquitto.conf", format!("{}{config}", user_line()));
    let log = scratch.path().join("log");
    let mut child = spawn(&installation(version), &config, &log);
    let stream = wait(|| TcpStream::connect(("127.0.0.1", port)).ok());
    let answer = stream.map(|mut stream| {
        let connect: Connect = LAMP.connect(SignType::Sha256Timestamp, &stamp(now()));
        stream.write_all(&connect.packet()).unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).unwrap();
        connack
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer, Some([0x20, 2, 0, 0]), "{}", fs::read_to_string(log).unwrap());
    assert_eq!(ACCEPTED, crate::support::mqtt::Answer::Connack(0));
}
