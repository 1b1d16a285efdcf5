//! A fault inside the plugin refuses one login and does no other harm.

use support::{
    broker::Setup,
    device::{LAMP, secrets},
    library,
    mqtt::{ACCEPTED, Client, Connect, VERSIONS, refused},
    on_every_broker,
    version::Version,
};

on_every_broker!(a_panic_is_a_refusal);

fn a_panic_is_a_refusal(version: Version) {
    let broker = Setup::new(version)
        .plugin(library::with_fault_injection())
        .secrets(secrets())
        // With anonymous access, a fault must not let the client in.
        .option("other_clients", "defer")
        .line("allow_anonymous true")
        .start();
    for level in VERSIONS {
        let fault = Connect::new("fault-injection: panic").level(level);
        assert_eq!(Client::connect(&broker, &fault).1, refused(version, level, "internal_error"));
        assert_eq!(Client::connect(&broker, &LAMP.connect_now().level(level)).1, ACCEPTED);
    }
    let lines = broker.refusals();
    assert_eq!(lines.len(), VERSIONS.len());
    assert!(lines[0].ends_with(
        "client=\"fault-injection: panic\" user=- address=127.0.0.1 reason=internal_error"
    ));
    assert!(broker.log().contains("iotda-auth: internal error at src/plugin/"), "{}", broker.log());
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
}
