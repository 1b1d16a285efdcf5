//! A plugin that is loaded before ours and keeps RELOAD from us: after one plugin has answered 0, 2.0 calls no other, but
//! still checks its sessions again.

use iotda_core::login::SignType::Sha256Timestamp;
use std::{fs, thread::sleep, time::Duration};
use support::{
    broker::{Broker, Setup},
    c,
    device::{LAMP, METER, now, secrets, stamp},
    library,
    mqtt::{ACCEPTED, Client, Connect, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(nobody_is_dropped_and_the_file_is_read);

/// A broker with a plugin before ours that answers 0 to RELOAD and does nothing else.
fn start(version: Version, options: &str) -> Broker {
    let setup = Setup::new(version);
    let scratch = setup.scratch();
    let source = library::root().join("tests/broker/answers_reload.c");
    let include = library::root().join("include");
    let other = c::build(
        &source,
        scratch.path().join("answers_reload.so"),
        ["-shared", "-fPIC", "-I", include.to_str().unwrap()],
    );
    let secrets = scratch.file("secrets", secrets());
    let port = support::broker::free_port();
    let config = format!(
        "listener {port} 127.0.0.1\nplugin {}\nplugin {}\nplugin_opt_secrets_file {}\n{options}",
        other.display(),
        library::release().display(),
        secrets.display()
    );
    setup.whole_config(&config, port).secrets_file(&secrets).start()
}

fn nobody_is_dropped_and_the_file_is_read(version: Version) {
    const FRESH: u64 = 3;
    let begin = now();
    let max_age = begin % 3600 + i64::try_from(FRESH).unwrap();
    let broker = start(version, &format!("plugin_opt_timestamp_max_age {max_age}\n"));
    let login = |device: support::device::Device| -> Connect {
        device.connect(Sha256Timestamp, &stamp(begin))
    };
    let mut clients: Vec<Client> = [LAMP, METER]
        .map(|device| {
            let (client, answer) = Client::connect(&broker, &login(device));
            assert_eq!(answer, ACCEPTED, "{}", broker.log());
            client
        })
        .into();
    sleep(Duration::from_secs(FRESH + 1));
    for round in 1..=3 {
        let added = format!("{}new-{round}:a-new-secret\n", secrets());
        fs::write(broker.secrets(), added).unwrap();
        broker.reload();
        broker.wait_for_log_count("1 added", round.min(1));
        assert!(clients.iter_mut().all(Client::is_alive), "{}", broker.log());
        // A client that comes with the old hour right after that is refused.
        let stale = Client::connect(&broker, &login(LAMP)).1;
        assert_eq!(stale, refused(version, 4, "stale_timestamp"), "{}", broker.log());
        assert!(clients.iter_mut().all(Client::is_alive), "{}", broker.log());
    }
    // Removed devices are disconnected here too.
    fs::write(broker.secrets(), format!("{}:{}\n", METER.id, METER.secret)).unwrap();
    broker.reload();
    broker.wait_for_log("1 logged in, 1 disconnected");
    clients.remove(0).rest();
    assert!(clients[0].is_alive(), "{}", broker.log());
    let warnings = broker.log().matches("put this plugin's line above the other's").count();
    assert_eq!(warnings, usize::from(!version.names_plugins()), "{}", broker.log());
}
