//! Behind PROXY (2.1) a device's address is the one in the proxy's header, everywhere.

use std::net::SocketAddr;
use support::{
    broker::{Setup, free_port},
    device::{LAMP, METER, secrets},
    mqtt::{ACCEPTED, Answer, Client, Connect, refused},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(from 2.1: a_limit_is_on_the_address_that_the_proxy_says);

fn a_limit_is_on_the_address_that_the_proxy_says(version: Version) {
    let port = free_port();
    let broker = Setup::new(version)
        .secrets(secrets())
        .option("failure_limit", "3/1h")
        .line(&format!("listener {port} 127.0.0.1\nenable_proxy_protocol 2"))
        .start();
    let knock = |last: u8, connect: &Connect| -> Answer {
        let device = SocketAddr::from(([203, 0, 113, last], 50_000));
        let header = transport::proxy_header_from(device, transport::local(port));
        let mut client = Client::over(transport::by_proxy(port, &header));
        client.send(&connect.packet());
        client.answer()
    };
    for number in 0..3 {
        let wrong = LAMP.connect_now().password(format!("{number:064}"));
        assert_eq!(knock(9, &wrong), refused(version, 4, "wrong_password"));
    }
    assert_eq!(knock(9, &METER.connect_now()), refused(version, 4, "rate_limited"));
    let told = broker.refusals();
    assert!(told[3].ends_with(" address=203.0.113.9 reason=rate_limited"), "{told:?}");
    assert_eq!(knock(10, &METER.connect_now()), ACCEPTED, "{}", broker.log());
    // The limit is not on the proxy either.
    assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED, "{}", broker.log());
}
