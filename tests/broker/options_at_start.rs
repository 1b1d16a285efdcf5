//! Options are read at the start only: a reload says so, where the configuration has changed.

use crate::reload::reload;
use std::fs;
use support::{
    broker::{Broker, Setup},
    device::secrets,
    on_every_broker,
    version::Version,
};

on_every_broker!(a_reload_says_that_options_are_not_read_again);

const TOLD: &str = "has changed since the broker's start: a reload reads the secrets file and not the plugin's options; if you \
                    have changed those, restart the broker";

/// Reloads a number of times, and returns the lines about the configuration so far.
fn told(broker: &Broker, reloads: usize) -> Vec<String> {
    for _ in 0..reloads {
        reload(broker);
        // What the first reload has to say is said before the second one is done.
        reload(broker);
    }
    let log = broker.log();
    log.lines().filter(|line| line.contains(TOLD)).map(String::from).collect()
}

fn a_reload_says_that_options_are_not_read_again(version: Version) {
    let setup = Setup::new(version).secrets(secrets());
    let folder = setup.scratch().path().join("conf.d");
    fs::create_dir(&folder).unwrap();
    let included = setup.scratch().file("conf.d/more.conf", "max_queued_messages 10\n");
    let other = setup.scratch().file("conf.d/more.conf.dpkg-old", "");
    let mut broker = setup.line(&format!("include_dir {}", folder.display())).start();
    let main = broker.scratch().path().join("mosquitto.conf");
    assert_eq!(told(&broker, 1), [""; 0]);
    // An operator adds an option, and sends SIGHUP.
    let content = fs::read_to_string(&main).unwrap();
    fs::write(&main, format!("{content}plugin_opt_keepalive any\n")).unwrap();
    let lines = told(&broker, 1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(&format!("iotda-auth: {main:?} has changed")), "{lines:?}");
    // And then in another file, as packages do.
    fs::write(&other, "changed").unwrap();
    assert_eq!(told(&broker, 1).len(), 1);
    fs::write(&included, "max_queued_messages 11\n").unwrap();
    let lines = told(&broker, 1);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains(&format!("{included:?} has changed")), "{lines:?}");
    // It is said also where the secrets file is wrong.
    fs::write(folder.join("new.conf"), "").unwrap();
    fs::write(broker.secrets(), "broken\n").unwrap();
    let lines = told(&broker, 1);
    assert!(lines.len() == 3 && lines[2].contains("new.conf\" has changed"), "{lines:?}");
    fs::write(broker.secrets(), secrets()).unwrap();
    // After a restart they are in force.
    broker.restart();
    assert_eq!(told(&broker, 1).len(), 3);
    assert!(broker.log().contains("options: keepalive=any else the defaults"), "{}", broker.log());
}
