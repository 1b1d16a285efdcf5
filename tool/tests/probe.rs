//! `iotda-auth probe` where no broker is: listeners that stay silent, hang up, or speak something else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};
use support::{
    broker::free_port,
    scratch::Scratch,
    tool::{Said, command, run},
};

const SECRET: &str = "5f2b9c0e7d";

/// Runs the probe with a secret on standard input, which is never in its output.
fn probe(words: &[&str]) -> Said {
    run(command(["probe", "lamp", "--secret-stdin"].iter().chain(words)), SECRET.as_bytes())
        .without(&[SECRET])
}

/// A listener that handles one connection at a time; its port.
fn listener(handle: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    // Ends with the test's process.
    thread::spawn(move || listener.incoming().flatten().for_each(handle));
    port
}

/// A listener that answers the first packet with these bytes, and the next with others, and then hangs up.
fn answers(answers: &'static [&'static [u8]]) -> String {
    listener(move |mut stream| {
        for answer in answers {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        }
        // Closed with nothing unread, so that no reset overtakes the answer.
        let _ = stream.read(&mut [0; 1024]);
    })
}

fn at(port: &str, words: &[&str]) -> Said {
    probe(&[&["--host", "127.0.0.1", "--port", port][..], words].concat())
}

#[test]
fn a_silent_listener_is_waited_for_until_the_time_is_over() {
    let silent = || {
        listener(|mut stream| {
            let _ = stream.read_to_end(&mut Vec::new());
        })
    };
    for (words, told) in [
        (&[][..], "but no CONNACK came"),
        (&["--tls-name", "localhost", "--tls"], "but no TLS handshake came"),
    ] {
        let start = Instant::now();
        let said = at(&silent(), &[words, &["--timeout", "1s"]].concat());
        assert!((1..10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        if said.err.contains("no certificates of authorities") {
            continue;
        }
        said.tells(2, "", told);
    }
    // One that answers the CONNECT and then no more.
    let port = listener(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(&[0x20, 2, 0, 0]);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    at(&port, &["--timeout", "1s"]).tells(2, "", "the device was let in, but no PINGRESP came");
    // One that sends a byte now and then does not make it wait longer.
    let port = listener(|mut stream| {
        let _ = stream.write_all(&[0x20]);
        while stream.write_all(&[0xFF]).is_ok() {
            thread::sleep(Duration::from_millis(300));
        }
    });
    let start = Instant::now();
    let said = at(&port, &["--timeout", "1s"]);
    assert!(said.status == 2 && start.elapsed().as_secs() < 10, "{said:?}");
}

#[test]
fn what_is_no_broker_is_told() {
    for (answer, found) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"[..],
            "found \"HTTP/1.1 400 Bad Request\";",
        ),
        (b"220 mail.example ESMTP\r\n", "found \"220 mail.example ESMTP\";"),
        (b"\x1b]0;title\x07\r\n", "found the bytes 1b5d303b7469746c65070d0a;"),
        (&[0x20, 2, 9, 0], "found the bytes 20020900;"),
        (&[0x20, 0xFF, 0xFF, 0xFF, 0xFF], "found the bytes 20ffffffff;"),
        (&[0x15, 3, 3, 0, 2, 2, 70], "this port speaks TLS;"),
    ] {
        for version in ["3.1", "3.1.1", "5"] {
            let port = listener(move |mut stream| {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer);
            });
            let said = at(&port, &["--mqtt", version]);
            said.tells(2, "", found);
            assert_eq!(said.err.lines().count(), 1, "{said:?}");
        }
    }
    let port = listener(drop);
    at(&port, &[]).tells(2, "", "the connection was closed without a CONNACK;");
}

#[test]
fn each_code_is_told() {
    for (version, connack, told) in [
        ("3.1.1", &[0x20, 2, 0, 1][..], "with CONNACK 1, protocol version not supported"),
        ("3.1.1", &[0x20, 2, 0, 77], "with CONNACK 77, a code that the standard does not name"),
        ("5", &[0x20, 3, 0, 0x8A, 0], "with CONNACK 0x8A, banned"),
        ("5", &[0x20, 3, 0, 0xFE, 0], "with CONNACK 0xFE, a code that the standard does not name"),
        // A broker of MQTT 3.1.1.
        ("5", &[0x20, 2, 0, 1], "with CONNACK 1, protocol version not supported"),
        ("5", b"\x20\x09\0\x86\x06\x1F\0\x03a\x1bb", "bad user name or password, \"a\\u{1b}b\""),
    ] {
        let port = listener(move |mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(connack);
            let _ = stream.read(&mut [0; 1024]);
        });
        let said = at(&port, &["--mqtt", version]);
        assert!(said.status == 1 && said.out.contains(told), "{said:?}");
        assert!(!said.out.contains('\x1b'), "{said:?}");
    }
    let said = at(&answers(&[&[0x20, 2, 0, 1]]), &[]);
    assert!(said.out.contains("the broker itself refuses, and its log says why"), "{said:?}");
    let said = at(&answers(&[&[0x20, 3, 0, 0x9F, 0]]), &["--mqtt", "5"]);
    let advice = iotda_core::login::Refusal::RateLimited.advice();
    assert!(said.out.contains(&format!("what to do: {advice}\n")), "{said:?}");
}

#[test]
fn a_device_that_is_thrown_out_at_once_is_refused() {
    let hangs_up = listener(|mut stream| {
        for answer in [&[0x20, 2, 0, 0][..], &[]] {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        }
    });
    let said = at(&hangs_up, &[]);
    assert_eq!((said.status, said.err.as_str()), (1, ""), "{said:?}");
    assert!(said.out.contains("let device lamp in, and disconnected it at once (MQTT"), "{said:?}");
    let said = at(&answers(&[&[0x20, 3, 0, 0, 0], &[0xE0, 2, 0x8E, 0]]), &["--mqtt", "5"]);
    assert!(
        said.out.contains("disconnected it at once with 0x8E, session taken over (MQTT 5)"),
        "{said:?}"
    );
    let said = at(
        &answers(&[&[0x20, 3, 0, 0, 0], &[0xE0, 2, 0x8E, 0]]),
        &["--mqtt", "5", "--format", "json"],
    );
    let object: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.status, &object["disconnected"]), (1, &true.into()), "{said:?}");
    assert_eq!((&object["connack"], &object["result"]), (&0.into(), &"refused".into()));
    // What else comes before the PINGRESP, like a command, is no fault.
    let said = at(&answers(&[&[0x20, 2, 0, 0], &[0x30, 4, 0, 1, b't', b'x', 0xD0, 0]]), &[]);
    assert!(said.status == 0 && said.out.starts_with("accepted: device lamp "), "{said:?}");
}

#[test]
fn a_host_is_a_name_or_an_address() {
    let said = probe(&["--host", "no-such-host.invalid", "--timeout", "20s"]);
    let is_told = ["the name cannot be resolved", "the name was not resolved"]
        .iter()
        .any(|told| said.err.contains(told));
    assert!(said.status == 2 && is_told, "{said:?}");
    for host in ["mqtt://localhost", "localhost:1883", "me@localhost", "", "[]", "a b"] {
        let expected = "--host: expected a name or an address alone, and the port with --port";
        probe(&["--host", host]).is_misuse(expected);
    }
    let port = free_port().to_string();
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        for host in ["::1", "[::1]"] {
            let said = probe(&["--host", host, "--port", &port]);
            said.tells(2, "", &format!("iotda-auth: [::1]:{port}: connection refused"));
        }
    }
    probe(&["--port", &port]).tells(
        2,
        "",
        &format!("iotda-auth: localhost:{port}: connection refused"),
    );
    let json = probe(&["--port", &port, "--format", "json"]);
    let object: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.status, &object["fault"]), (2, &"connection_refused".into()), "{json:?}");
    assert_eq!(
        object["message"].as_str().map(|text| format!("iotda-auth: {text}\n")),
        Some(json.err)
    );
}

#[test]
fn wrong_usage_is_told() {
    for (words, reason) in [
        (&["--timeout", "0"][..], "expected a time of 1s to 1h"),
        (&["--timeout", "2h"], "expected a time of 1s to 1h"),
        (&["--timeout", "soon"], "expected a time of 1s to 1h"),
        (&["--mqtt", "4"], "3.1.1"),
        (&["--port", "0"], "--port"),
        (&["--cert", "c.pem"], "--key"),
        (&["--key", "k.pem"], "--cert"),
        (&["--tls", "--cafile", "c.pem"], "--cafile"),
        (&["--quiet", "--format", "json"], "--format"),
        (&["--tls-name", "a b"], "--tls-name: expected a host name or an address"),
        (&["--cafile", "/no/such"], "/no/such: cannot be read: No such file or directory"),
    ] {
        probe(words).is_misuse(reason);
    }
    // Pasted from a secrets file.
    let said = run(command(["probe", "lamp:5f2b9c0e7d", "--secret-stdin"]), SECRET.as_bytes());
    said.without(&[SECRET]).is_misuse("device id: expected 1 to 128");
}

#[test]
fn a_key_with_a_passphrase_is_told() {
    let folder = Scratch::new();
    let certificate = folder.file("c.pem", include_str!("../../tests/data/certificate.pem"));
    for (key, found) in [
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "without a passphrase",
        ),
        ("hunter22hunter22", "expected a private key in PEM, found something else"),
    ] {
        let key = folder.file("k.pem", key);
        let said = probe(&[
            "--cafile",
            certificate.to_str().unwrap(),
            "--cert",
            certificate.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ]);
        said.without(&["hunter22"]).is_misuse(found);
    }
}
