//! For any line of a secrets file, any options and any login, the plugin's answer and the verdict of `iotda-auth explain`
//! are the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use base64::prelude::{BASE64_STANDARD, Engine};
use iotda_core::{
    log::Origin,
    login::{
        ClientId, Connect, Refusal, SignType, certificate::Digests, signature::HourKey,
        steps::Step, timestamp::HOUR,
    },
};
use iotda_plugin::{
    plugin::{Answer, Asked, Login, Plugin},
    sessions::ClientHandle,
};
use proptest::prelude::*;
use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, sync::Mutex};
use support::{
    device::{now, stamp},
    scratch::Scratch,
    silent::Silent,
    tool::{command, run},
};

/// In place of two certificates: `explain` wants a SEQUENCE that holds another.
const CERTIFICATES: [&[u8]; 2] = [&[0x30, 3, 0x30, 1, 7], &[0x30, 3, 0x30, 1, 8]];

fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[derive(Clone, Debug)]
struct Device {
    /// The text after the first colon.
    proof: String,
    frozen: bool,
}

fn devices() -> impl Strategy<Value = Option<Device>> {
    let [one, two] = CERTIFICATES.map(|der| {
        let digests = Digests::of(der);
        (hex::encode(digests.sha1), hex::encode_upper(digests.sha256))
    });
    let proof = prop::sample::select(vec![
        "first-secret".to_string(),
        "other-secret:secondary=first-secret".into(),
        "other-secret".into(),
        format!("x509={}", one.0),
        format!("x509={}", one.1),
        format!("x509={},{}", two.1, one.0),
        format!("x509={}", two.1),
    ]);
    let device =
        (proof, prop::bool::weighted(0.2)).prop_map(|(proof, frozen)| Device { proof, frozen });
    prop::option::weighted(0.9, device)
}

#[derive(Clone, Debug)]
struct Sent {
    client_id: Option<String>,
    username: Option<String>,
    password: Option<Vec<u8>>,
    certificate: Option<usize>,
    keep_alive: u16,
}

/// Valid logins in which nothing, one thing or several things are changed.
fn logins() -> impl Strategy<Value = Sent> {
    let right = (
        prop::sample::select(vec![
            SignType::Sha256,
            SignType::Sha256Timestamp,
            SignType::Sm3Timestamp,
        ]),
        prop::sample::select(
            vec![0, 0, 0, -1, -2, -30, 1, 2, 30].into_iter().collect::<Vec<i64>>(),
        ),
        prop::sample::select(vec!["first-secret", "first-secret", "other-secret", "third-secret"]),
        prop::option::of(0..2usize),
    );
    let text = || {
        prop::option::weighted(0.1, prop::option::of("[^\0]{0,20}|lamp|lamp_0_[0-9]_20[0-9]{8}"))
    };
    let odd = (
        text(),
        text(),
        prop::option::weighted(0.1, prop::option::of(prop::collection::vec(1..=255u8, 0..70))),
        prop_oneof![4 => Just(120u16), 1 => any::<u16>()],
    );
    (right, odd).prop_map(
        |((sign_type, hours, secret, certificate), (id, name, word, keep_alive))| {
            let stamp = stamp(now() + hours * HOUR);
            let password = HourKey::new(sign_type, stamp.as_bytes().try_into().unwrap())
                .password(secret.as_bytes());
            Sent {
                client_id: id.unwrap_or_else(|| Some(ClientId::format("lamp", sign_type, &stamp))),
                username: name.unwrap_or_else(|| Some("lamp".into())),
                password: word.unwrap_or_else(|| Some(password.into_bytes())),
                certificate,
                keep_alive,
            }
        },
    )
}

/// Whole hours, so that a second that passes between the two makes no difference.
fn options() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop::sample::subsequence(
        vec![
            ("timestamp_max_age", "2h"),
            ("timestamp_max_ahead", "1h"),
            ("sign_types", "0,2"),
            ("keepalive", "any"),
            ("other_clients", "defer"),
            ("one_connection", "no"),
        ],
        0..4,
    )
}

/// What the plugin answers.
fn answer(options: &[(&str, &str)], secrets: &str, sent: &Sent) -> String {
    let given = options.iter().copied().chain([("secrets_file", secrets)]);
    let plugin = Plugin::start(given, &Silent).unwrap();
    let login = Login {
        asked: Asked::Connect,
        client: ClientHandle(1),
        connect: Connect {
            client_id: sent.client_id.as_deref().map(str::as_bytes),
            username: sent.username.as_deref().map(str::as_bytes),
            password: sent.password.as_deref(),
            certificate: sent.certificate.map(|n| CERTIFICATES[n]),
            keep_alive: sent.keep_alive,
        },
        origin: Origin { address: Some(b"203.0.113.7"), ..Origin::default() },
        protocol_version: 4,
    };
    match plugin.login(&Silent, &login) {
        Answer::Accept { .. } => "accepted".into(),
        Answer::Defer => "deferred".into(),
        Answer::Refuse(reason) => format!("refused: {}", reason.id()),
        Answer::End => panic!("not in a sweep"),
    }
}

/// What the tool says.
fn explanation(options: &[(&str, &str)], secrets: &str, certificate: &str, sent: &Sent) -> String {
    let keep_alive = sent.keep_alive.to_string();
    let mut tool = command(["explain", "--secrets-file", secrets, "--keepalive", &keep_alive]);
    let mut give = |name: &str, value: Option<&[u8]>| {
        if let Some(value) = value {
            tool.arg(name).arg(OsStr::from_bytes(value));
        }
    };
    give("--client-id", sent.client_id.as_deref().map(str::as_bytes));
    give("--username", sent.username.as_deref().map(str::as_bytes));
    give("--password", sent.password.as_deref());
    give("--certificate", sent.certificate.map(|_| certificate.as_bytes()));
    tool.args(options.iter().map(|(name, value)| format!("{name}={value}")));
    let said = run(tool, b"");
    let mut verdicts = said.out.lines().filter(|line| {
        ["accepted", "deferred", "refused"].iter().any(|word| line.starts_with(word))
    });
    let (Some(verdict), None) = (verdicts.next(), verdicts.next()) else { panic!("{said:?}") };
    let accepted = verdict == "accepted";
    assert_eq!(said.status, i32::from(!accepted), "{said:?}");
    let words = if verdict.starts_with("refused") { 2 } else { 1 };
    verdict.split(' ').take(words).collect::<Vec<_>>().join(" ")
}

/// The answers that occurred, to check that none was left out.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

#[test]
fn plugin_and_explain_agree() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let scratch = Scratch::new();
    runner
        .run(&(devices(), options(), logins()), |(device, options, sent)| {
            let line = device.map(|Device { proof, frozen }| {
                format!("lamp:{proof}{}\n", if frozen { ":frozen" } else { "" })
            });
            let secrets =
                scratch.file("secrets", line.unwrap_or_else(|| "other:12345678\n".into()));
            let certificate =
                scratch.file("cert.pem", pem(CERTIFICATES[sent.certificate.unwrap_or(0)]));
            let (secrets, certificate) = (secrets.to_str().unwrap(), certificate.to_str().unwrap());
            let hour = now() / HOUR;
            let expected = answer(&options, secrets, &sent);
            let found = explanation(&options, secrets, certificate, &sent);
            // If an hour ends in between, it is one hour later for the second of the two.
            prop_assume!(now() / HOUR == hour);
            prop_assert_eq!(&found, &expected);
            SEEN.lock().unwrap().insert(found);
            Ok(())
        })
        .unwrap();
    let seen = SEEN.lock().unwrap();
    for reason in Refusal::ALL {
        // These depend on other logins, on the broker, or on a fault.
        let never = matches!(reason.step(), None | Some(Step::Rate));
        let id = format!("refused: {}", reason.id());
        assert_eq!(seen.contains(&id), !never, "{id}: {seen:?}");
    }
    assert!(seen.contains("accepted") && seen.contains("deferred"), "{seen:?}");
}
