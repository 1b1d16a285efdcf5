//! `iotda-auth probe` against real brokers: whom they let in, what their codes mean, and what TLS keeps out.

use std::path::Path;
use support::{
    authority::{Authority, Issued},
    broker::{Broker, Setup, free_port},
    device::{LAMP, now, stamp},
    mqtt::{Answer, refusal, refused},
    on_every_broker,
    tool::{Said, command, run},
    transport,
    version::Version,
};

on_every_broker!(
    a_device_is_let_in_and_leaves_nothing_behind,
    each_refusal_has_its_exact_code_and_words,
    a_stock_listener_says_not_authorized,
    a_broker_that_cannot_be_asked_has_no_answer,
    tls_is_spoken_with_the_right_authority,
    what_is_wrong_with_a_brokers_certificate_is_told,
    a_device_shows_its_certificate,
    a_port_of_the_other_kind_is_told,
    ; from 2.1:
    a_device_that_is_thrown_out_at_once_was_not_let_in,
);

/// The versions of MQTT as the tool names them, and their levels.
const VERSIONS: [(&str, u8); 3] = [("3.1", 3), ("3.1.1", 4), ("5", 5)];

/// Runs the probe with the secret of the lamp on standard input.
fn probe_with_secret(port: u16, secret: &str, words: &str) -> Said {
    probe(port, LAMP.id, &format!("--secret-stdin {words}"), secret)
}

/// Runs the probe; no secret is ever in its output.
fn probe(port: u16, device_id: &str, words: &str, input: &str) -> Said {
    let port = port.to_string();
    let fixed = ["probe", device_id, "--host", "127.0.0.1", "--timeout", "20s", "--port", &port];
    let said = run(command(fixed.into_iter().chain(words.split_whitespace())), input.as_bytes());
    said.without(&[LAMP.secret, "icesecret1", "wrong-secret"])
}

fn line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The line of the log that the probe announces.
fn announced(said: &Said) -> &str {
    let before = "the broker's log has the reason: ";
    said.out.lines().find_map(|line| line.strip_prefix(before)).expect("where the reason is told")
}

fn a_device_is_let_in_and_leaves_nothing_behind(version: Version) {
    let setup = Setup::new(version).secrets(format!("{}:{}\n", LAMP.id, LAMP.secret));
    let broker = setup.line("log_type all").start();
    let port = broker.port();
    for (number, (mqtt, _)) in (1..).zip(VERSIONS) {
        for sign_type in 0..=2 {
            let words = format!("--mqtt {mqtt} --sign-type {sign_type}");
            let said = probe_with_secret(port, LAMP.secret, &words);
            let start = format!(
                "accepted: device {} logged in at 127.0.0.1:{port} (MQTT {mqtt}, ",
                LAMP.id
            );
            assert!(said.status == 0 && said.out.starts_with(&start), "{said:?}");
            assert!(said.err.is_empty(), "{said:?}");
        }
        // It says DISCONNECT, so that the broker notes no fault and publishes no will.
        broker.wait_for_log_count("Received DISCONNECT from ", 3 * number);
    }
    assert_eq!(broker.refusals(), Vec::<String>::new());
    for line in broker.log().lines().filter(|line| line.contains(LAMP.id)) {
        let is_rough = ["Socket error", "closed its connection", "already connected"]
            .iter()
            .any(|words| line.contains(words));
        assert!(!is_rough, "{line}");
    }

    let file = broker.secrets().display().to_string();
    let quiet = probe(port, LAMP.id, &format!("--secrets-file {file} --quiet"), "");
    quiet.is(0, "", "");
    let unknown = probe(port, "nobody", &format!("--secrets-file {file}"), "");
    unknown.is(2, "", &format!("iotda-auth: {file}: device nobody not found\n"));
}

/// Each reason that a probe can meet, on a listener with the exact codes.
fn each_refusal_has_its_exact_code_and_words(version: Version) {
    let authority_less = "0".repeat(64);
    let secrets = format!(
        "{}:{}\nice:icesecret1:frozen\nmeter:x509={authority_less}\n",
        LAMP.id, LAMP.secret
    );
    let setup = Setup::new(version).secrets(secrets).option("sign_types", "0,1");
    let port = free_port();
    let broker = setup.port(port).option("exact_connack_ports", &port.to_string()).start();
    let old = stamp(now() - 30 * 86_400);
    let ahead = stamp(now() + 30 * 86_400);
    let (lamp, right, wrong) = (LAMP.id, LAMP.secret, "wrong-secret");
    for (mqtt, level) in VERSIONS {
        for (device, secret, words, id) in [
            ("nobody", right, "", "unknown_device"),
            (lamp, wrong, "", "wrong_password"),
            (lamp, right, &*format!("--sign-type 1 --timestamp {old}"), "stale_timestamp"),
            (lamp, right, &format!("--sign-type 1 --timestamp {ahead}"), "future_timestamp"),
            (lamp, right, "--keepalive 0", "bad_keepalive"),
            (lamp, right, "--sign-type 2", "bad_sign_type"),
            ("meter", right, "", "no_certificate"),
            ("ice", "icesecret1", "", "frozen"),
        ] {
            let words = format!("--secret-stdin --mqtt {mqtt} {words}");
            let said = probe(port, device, &words, secret);
            let reason = refusal(id);
            let (code, told) = match (level, reason.connack()) {
                (5, code) => (u32::from(code.v5), format!("CONNACK 0x{:02X}, ", code.v5)),
                (_, code) => (u32::from(code.v3), format!("CONNACK {}, ", code.v3)),
            };
            assert_eq!((said.status, said.err.as_str()), (1, ""), "{said:?}");
            let first = line(&said.out);
            assert!(first.starts_with("refused: ") && first.contains(&told), "{id}: {said:?}");
            // Each reason with its words, one a line.
            let listed = format!("  {id:<17} {reason}\n");
            assert!(said.out.contains(&listed), "{id}: {said:?}");
            // What is announced is in the log, with the reason.
            let logged = broker.refusals().pop().unwrap();
            assert!(logged.starts_with(announced(&said)), "{logged}: {said:?}");
            assert!(logged.contains(&format!(" reason={id}")), "{logged}");

            let json = probe(port, device, &format!("{words} --format json"), secret);
            let object: serde_json::Value = serde_json::from_str(&json.out).unwrap();
            assert_eq!((json.status, &object["result"]), (1, &"refused".into()), "{json:?}");
            assert_eq!(object["connack"], code, "{json:?}");
            assert_eq!(object["message"].as_str().unwrap(), first);
            let reasons = object["reasons"].as_array().unwrap();
            assert!(reasons.contains(&id.into()), "{json:?}");
        }
    }
    // With sign type 0 no clock is compared, and with one that is given neither.
    let said = probe_with_secret(port, wrong, "");
    assert!(!said.out.contains("_timestamp") && !said.out.contains("clock"), "{said:?}");
    let said = probe_with_secret(port, wrong, "--sign-type 1");
    assert!(said.out.contains("this machine's clock says 20"), "{said:?}");
    // In one line, on standard error.
    let said = probe_with_secret(port, wrong, "--quiet");
    let told = format!(
        "iotda-auth: refused: 127.0.0.1:{port} answers device {lamp} with CONNACK 4, bad user name or password (MQTT 3.1.1)\n"
    );
    said.is(1, "", &told);
}

fn a_stock_listener_says_not_authorized(version: Version) {
    let secrets = format!("{}:{}\n", LAMP.id, LAMP.secret);
    let broker = Setup::new(version).secrets(secrets).start();
    for (mqtt, level) in VERSIONS {
        let said = probe_with_secret(broker.port(), "wrong-secret", &format!("--mqtt {mqtt}"));
        assert_eq!(said.status, 1, "{said:?}");
        let Answer::Connack(code) = refused(version, level, "wrong_password") else { panic!() };
        let shown = if level == 5 { format!("0x{code:02X}") } else { code.to_string() };
        assert!(line(&said.out).contains(&format!("CONNACK {shown}, ")), "{said:?}");
        let stock = !(level == 5 && version.sends_reason_codes());
        let any = "possible reasons: rate_limited, bad_client_id, bad_sign_type, ";
        assert_eq!(said.out.contains(any), stock, "{said:?}");
        assert_eq!(said.out.contains("not authorized"), stock, "{said:?}");
        assert!(said.out.contains("wrong_password"), "{said:?}");
        assert!(broker.log().contains(announced(&said)), "{said:?}");
    }
}

fn a_broker_that_cannot_be_asked_has_no_answer(version: Version) {
    let mut broker = Setup::new(version).secrets("lamp:5f2b9c0e7d\n").start();
    let port = broker.port();
    broker.signal("STOP");
    let said = run(
        command([
            "probe",
            "lamp",
            "--secret-stdin",
            "--timeout",
            "1s",
            "--port",
            &port.to_string(),
        ]),
        b"5f2b9c0e7d",
    );
    broker.signal("CONT");
    assert!(
        said.err.contains("timed out: the connection was made, but no CONNACK came"),
        "{said:?}"
    );
    assert_eq!(said.status, 2);
    broker.stop();
    let said = probe(port, "lamp", "--secret-stdin", "5f2b9c0e7d");
    let told = "connection refused: nothing listens there";
    said.tells(2, "", &format!("iotda-auth: 127.0.0.1:{port}: {told}"));
}

/// A broker with TLS.
struct Door {
    broker: Broker,
    authority: Authority,
    stranger: Authority,
    port: u16,
}

impl Door {
    fn open(version: Version, server: impl FnOnce(&Authority) -> Issued, lines: &str) -> Self {
        Self::open_with(version, server, lines, |_| String::new())
    }

    fn open_with(
        version: Version,
        server: impl FnOnce(&Authority) -> Issued,
        lines: &str,
        secrets: impl FnOnce(&Authority) -> String,
    ) -> Self {
        let port = free_port();
        let setup = Setup::new(version);
        let authority = Authority::new(setup.scratch(), "authority");
        let stranger = Authority::new(setup.scratch(), "stranger");
        let Issued { certificate, key } = server(&authority);
        let cafile = &authority.own().certificate;
        let secrets = format!("{}:{}\n{}", LAMP.id, LAMP.secret, secrets(&authority));
        let listener = format!(
            "listener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\ncafile {cafile}\n{lines}"
        );
        let broker = setup.secrets(secrets).line(&listener).start();
        Self { broker, authority, stranger, port }
    }

    fn probe(&self, authority: &Authority, words: &str) -> Said {
        let cafile = &authority.own().certificate;
        probe_with_secret(self.port, LAMP.secret, &format!("--cafile {cafile} {words}"))
    }

    /// No answer of the broker, because of TLS.
    fn fails(&self, authority: &Authority, words: &str, fault: &str, told: &str) {
        let said = self.probe(authority, words);
        said.tells(2, "", &format!("iotda-auth: 127.0.0.1:{}: {told}", self.port));
        let json = self.probe(authority, &format!("{words} --format json"));
        let object: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((json.status, &object["fault"]), (2, &fault.into()), "{json:?}");
        assert_eq!(object["result"], "failed");
        assert_eq!(json.err, said.err);
    }
}

fn tls_is_spoken_with_the_right_authority(version: Version) {
    for lines in ["", "tls_version tlsv1.2"] {
        let door = Door::open(version, |authority| authority.issue_server("server"), lines);
        for (mqtt, _) in VERSIONS {
            let said = door.probe(&door.authority, &format!("--mqtt {mqtt}"));
            let told = format!("(MQTT {mqtt} over TLS, ");
            assert!(said.status == 0 && said.out.contains(&told), "{said:?}");
        }
        let refused = door.probe(&door.authority, "--sign-type 1 --timestamp 2020010100");
        assert_eq!(refused.status, 1, "{refused:?}");
        let told = "the broker's certificate is not signed by an authority that is trusted here";
        door.fails(&door.stranger, "", "wrong_ca", told);
        // The system does not know the tests' authority, if it knows any.
        let said = probe_with_secret(door.port, LAMP.secret, "--tls");
        assert!(said.err.contains(told) || said.err.contains("no certificates of"), "{said:?}");
        assert_eq!(said.status, 2);
        // The name in place of the host.
        let said = door.probe(&door.authority, "--tls-name localhost");
        assert_eq!(said.status, 0, "{said:?}");
        let told = "the broker's certificate is not for this host (it is for localhost, 127.0.0.1)";
        door.fails(&door.authority, "--tls-name other.example", "wrong_host", told);
    }
}

fn what_is_wrong_with_a_brokers_certificate_is_told(version: Version) {
    type Issue = fn(&Authority) -> Issued;
    let cases: [(Issue, &str, &str); 4] = [
        (
            |authority| authority.issue_server_elsewhere("server"),
            "wrong_host",
            "the broker's certificate is not for this host (it is for elsewhere.example)",
        ),
        (
            |authority| authority.issue("127.0.0.1"),
            "wrong_host",
            "the broker's certificate is not for this host (it has no subjectAltName;",
        ),
        (
            |authority| authority.issue_expired("server"),
            "certificate_expired",
            "the broker's certificate has expired",
        ),
        (
            |authority| authority.own().clone(),
            "ca_as_server",
            "the broker shows the certificate of an authority (CA:TRUE) as its own",
        ),
    ];
    for (issue, fault, told) in cases {
        let door = Door::open(version, issue, "");
        door.fails(&door.authority, "", fault, told);
    }
}

fn a_device_shows_its_certificate(version: Version) {
    for lines in ["require_certificate true\n", "require_certificate true\ntls_version tlsv1.2\n"] {
        let door = Door::open_with(
            version,
            |authority| authority.issue_server("server"),
            lines,
            |authority| {
                let [meter, _other] = ["meter", "other"].map(|name| authority.issue(name));
                format!("meter:x509={}\n", meter.fingerprint("-sha256"))
            },
        );
        let cafile = &door.authority.own().certificate;
        let as_meter = |issued: &Issued, words: &str| {
            let Issued { certificate, key } = issued;
            let words = format!("--cafile {cafile} --cert {certificate} --key {key} {words}");
            probe(door.port, "meter", &words, "")
        };
        let meter = door.authority.issued("meter");
        for words in [String::new(), format!("--secrets-file {}", door.broker.secrets().display())]
        {
            let said = as_meter(&meter, &words);
            assert!(said.status == 0 && said.out.starts_with("accepted: device meter"), "{said:?}");
        }
        let other = as_meter(&door.authority.issued("other"), "");
        assert!(other.status == 1 && other.out.contains("wrong_certificate"), "{other:?}");
        assert!(door.broker.log().contains(announced(&other)), "{other:?}");

        let told =
            "the broker asks for a client certificate; give the device's with --cert and --key";
        door.fails(&door.authority, "", "client_certificate_wanted", told);
        for (issued, told) in [
            (door.stranger.issue("meter"), "its authority is not known there"),
            (door.authority.issue_expired("late"), "it has expired"),
        ] {
            let said = as_meter(&issued, "");
            let told = format!("the broker refuses the client certificate: {told};");
            said.tells(2, "", &told);
        }
        let mixed = Issued { key: door.authority.issued("other").key, ..meter };
        let said = as_meter(&mixed, "");
        said.tells(2, "", &format!("{}: expected the key of the certificate ", mixed.key));
    }
}

fn a_port_of_the_other_kind_is_told(version: Version) {
    let door = Door::open(version, |authority| authority.issue_server("server"), "");
    let said = probe_with_secret(door.port, LAMP.secret, "");
    said.tells(2, "", "this port speaks TLS; give the authority's certificate with --cafile");
    let cafile = &door.authority.own().certificate;
    let said = probe_with_secret(door.broker.port(), LAMP.secret, &format!("--cafile {cafile}"));
    let told = "expected TLS, found a connection that was closed, which is what a listener without TLS does";
    said.tells(2, "", told);
}

/// 2.1 tells the plugin of a client that was let in without asking it.
fn a_device_that_is_thrown_out_at_once_was_not_let_in(version: Version) {
    let lines = "require_certificate true\nuse_identity_as_username true\n";
    let door = Door::open(version, |authority| authority.issue_server("server"), lines);
    let Issued { certificate, key } = door.authority.issue("service");
    for (mqtt, _) in VERSIONS {
        let words = format!("--cert {certificate} --key {key} --mqtt {mqtt}");
        let said = door.probe(&door.authority, &words);
        assert_eq!((said.status, said.err.as_str()), (1, ""), "{said:?}");
        let told = format!("let device {} in, and disconnected it at once", LAMP.id);
        assert!(line(&said.out).contains(&told) && said.out.contains("not_asked"), "{said:?}");
    }
}

/// The authority that a listener's own lines name is no use to a client that is not told of it.
#[test]
fn a_file_without_a_certificate_is_told() {
    let scratch = support::scratch::Scratch::new();
    transport::tls_lines(&scratch);
    let key = scratch.path().join("key.pem");
    for file in [key.as_path(), Path::new("/dev/null")] {
        let words = format!("--cafile {}", file.display());
        let said = probe_with_secret(1, LAMP.secret, &words);
        said.tells(2, "", &format!("{}: expected a certificate in PEM", file.display()));
    }
    let said = probe_with_secret(1, LAMP.secret, "--cafile /no/such/file");
    said.tells(2, "", "iotda-auth: /no/such/file: cannot be read: No such file or directory");
}
