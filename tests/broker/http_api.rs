//! The web pages of 2.1: a listener with `protocol http_api` asks the plugins on a separate thread.

use std::{
    io::{Read, Write},
    thread,
};
use support::{
    broker::{Setup, free_port, wait},
    device::{LAMP, secrets},
    mqtt::{ACCEPTED, Client},
    on_every_broker, transport,
    version::Version,
};

on_every_broker!(from 2.1: another_thread_touches_nothing);

/// As many users of the pages as devices that log in, at the same time: they must not disturb each other, and no line of the
/// plugin is about the users.
fn another_thread_touches_nothing(version: Version) {
    for others in ["refuse", "defer"] {
        let port = free_port();
        let broker = Setup::new(version)
            .secrets(secrets())
            .option("other_clients", others)
            .option("takeover_limit", "off")
            .line(&format!("listener {port} 127.0.0.1\nprotocol http_api"))
            .start();
        wait(|| std::net::TcpStream::connect(transport::local(port)).is_ok()).expect("the pages");
        thread::scope(|scope| {
            let visitors: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            assert!(get(port).starts_with("HTTP/1.1 401 "), "let in");
                        }
                    })
                })
                .collect();
            while !visitors.iter().all(|visitor| visitor.is_finished()) {
                assert_eq!(Client::connect(&broker, &LAMP.connect_now()).1, ACCEPTED);
            }
        });
        assert!(broker.refusals().is_empty(), "{:?}", broker.refusals());
        assert!(!broker.log().contains("internal error"), "{}", broker.log());
    }
}

/// What a page answers to the user name and password of a device.
pub(crate) fn get(port: u16) -> String {
    let mut stream = transport::tcp(transport::local(port));
    // 64a1f0c2_lamp-01:5f2b9c0e7d
    let request = "GET /api/v1/version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
                   Authorization: Basic NjRhMWYwYzJfbGFtcC0wMTo1ZjJiOWMwZTdk\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}
