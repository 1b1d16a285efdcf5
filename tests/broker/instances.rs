//! Several instances of the plugin in one broker, and configurations that make it useless.

use support::{
    broker::{Setup, free_port},
    device::{Device, LAMP, METER, secrets},
    library,
    mqtt::{ACCEPTED, Client, not_authorized},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(
    instances_keep_apart,
    a_second_line_for_all_listeners_is_explained,
    replaced_client_ids_are_named_once,
);

const LOADED_TWICE: &str =
    "iotda-auth: the plugin is loaded twice for one listener, and the instance with secrets_file ";

fn only(device: Device) -> String {
    format!("{}:{}\n", device.id, device.secret)
}

fn instances_keep_apart(version: Version) {
    let (first, second) = (free_port(), free_port());
    let library = library::release().display();
    let setup = Setup::new(version);
    let (lamps, meters) =
        (setup.scratch().file("lamps", only(LAMP)), setup.scratch().file("meters", only(METER)));
    let options = |file: &std::path::Path, more: &str| {
        format!("plugin_opt_secrets_file {}\n{more}", file.display())
    };
    let meters_options = options(&meters, "plugin_opt_keepalive any\n");
    let config = if version.names_plugins() {
        format!(
            "plugin_load lamps {library}\n{}plugin_load meters {library}\n{meters_options}\
             listener {first} 127.0.0.1\nplugin_use lamps\nlistener {second} 127.0.0.1\nplugin_use meters\n",
            options(&lamps, "")
        )
    } else {
        format!(
            "per_listener_settings true\nlistener {first} 127.0.0.1\nplugin {library}\n{}\
             listener {second} 127.0.0.1\nplugin {library}\n{meters_options}",
            options(&lamps, "")
        )
    };
    let mut broker = setup.whole_config(&config, first).start();
    let connect = |port, connect: &support::mqtt::Connect| {
        let mut client = Client::over(transport::tcp(transport::local(port)));
        client.send(&connect.packet());
        let answer = client.answer();
        (client, answer)
    };
    let (mut lamp, answer) = connect(first, &LAMP.connect_now());
    assert_eq!(answer, ACCEPTED, "{}", broker.log());
    let (mut meter, answer) = connect(second, &METER.connect_now().keep_alive(5));
    assert_eq!(answer, ACCEPTED, "{}", broker.log());
    assert_eq!(connect(first, &METER.connect_now()).1, not_authorized(4));
    assert_eq!(connect(second, &LAMP.connect_now()).1, not_authorized(4));
    assert_eq!(connect(first, &LAMP.connect_now().keep_alive(5)).1, not_authorized(4));
    broker.reload();
    assert!(lamp.is_alive() && meter.is_alive(), "{}", broker.log());
    assert!(!broker.log().contains(LOADED_TWICE), "{}", broker.log());
    broker.stop();
}

/// 2.0 registers a library's callbacks only once for all listeners.
fn a_second_line_for_all_listeners_is_explained(version: Version) {
    let setup = Setup::new(version).secrets(secrets());
    let secrets = setup.scratch().path().join("secrets").display().to_string();
    let setup = setup.line(&format!(
        "plugin {}\nplugin_opt_secrets_file {secrets}",
        library::release().display()
    ));
    if version.names_plugins() {
        let broker = setup.start();
        // After one instance has accepted, the other is not asked. It is told of the client, and leaves the device alone.
        let (mut lamp, answer) = Client::connect(&broker, &LAMP.connect_now());
        assert_eq!(answer, ACCEPTED);
        broker.reload();
        assert!(lamp.is_alive() && broker.refusals().is_empty(), "{}", broker.log());
        assert_eq!(Client::connect(&broker, &METER.connect_now()).1, ACCEPTED);
        assert_eq!(broker.log().matches(LOADED_TWICE).count(), 1, "{}", broker.log());
        return;
    }
    let log = setup.fail();
    let expected = "iotda-auth: not started: found a second plugin line for all listeners, Mosquitto 2.0 takes one; for an \
                    instance a listener, set per_listener_settings true";
    assert!(log.contains(expected), "{log}");
}

fn replaced_client_ids_are_named_once(version: Version) {
    let broker =
        Setup::new(version).secrets(secrets()).line("use_username_as_clientid true").start();
    for _ in 0..3 {
        assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, not_authorized(4));
    }
    let told = broker
        .log()
        .matches(
            "iotda-auth: a device's ClientId is its user name: take use_username_as_clientid out",
        )
        .count();
    assert_eq!(told, 1, "{}", broker.log());
    assert_eq!(broker.refusals().len(), 3);
}
