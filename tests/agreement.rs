//! For any line of a secrets file, any options and any login, the plugin's answer and the verdict of `iotda-auth explain`
//! are the same, and so is what they say is wrong. For the plugin's log line, `explain --log-line` gives the same advice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use base64::prelude::{BASE64_STANDARD, Engine};
use iotda_core::{
    log::{Origin, read},
    login::{
        ClientId, Connect, Kind, Refusal, SignType,
        certificate::Digests,
        signature::HourKey,
        steps::Step,
        timestamp::{HOUR, Hour},
    },
};
use iotda_plugin::{
    plugin::{Answer, Asked, Login, Plugin},
    sessions::ClientHandle,
};
use proptest::prelude::*;
use reference_model::reference_hmac;
use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, sync::Mutex};
use support::{
    device::{now, stamp},
    scratch::Scratch,
    silent::{Listening, Silent},
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

/// ClientIds of devices that make a mistake.
const IDS: [&str; 17] = [
    "",
    "auto-5628DEB3-25A5-4E5F-8F6C-0123456789AB",
    "lamp_0_1_1795669993",
    "lamp_0_1_2026023103",
    "_0_SIGN_HOUR",
    "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
     dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd_HOUR",
    " lamp_0_SIGN_HOUR",
    "\"lamp_0_SIGN_HOUR\"",
    "lamp-0-SIGN-HOUR",
    "lamp_2_SIGN_HOUR",
    "lamp_0_SIGN_HOUR_1720423123000",
    "lamp_0_SIGN_HOUR30",
    "lamp_0_scope_SIGN_HOUR",
    "lamp",
    "lamp_HOUR",
    "mqttx_0a1b2c3d",
    "lamp_0_SIGN_HOUR ",
];

/// The ClientId of a device that makes a mistake, or none.
fn client_id(how: Option<usize>, sign_type: SignType, stamp: &str) -> String {
    let right = ClientId::format("lamp", sign_type, stamp);
    let sign = char::from(sign_type.digit()).to_string();
    how.map_or(right, |how| IDS[how].replace("SIGN", &sign).replace("HOUR", stamp))
}

/// In how many ways [`made`] spoils a password.
const WAYS: usize = 12;

/// The password of a device that makes a mistake, or none.
fn made(how: Option<usize>, sign_type: SignType, stamp: &str, secret: &str) -> String {
    let by = |sign_type, stamp: &str| {
        HourKey::new(sign_type, stamp.as_bytes().try_into().unwrap()).password(secret.as_bytes())
    };
    let right = by(sign_type, stamp);
    let at: i64 = Hour::parse(stamp.as_bytes().try_into().unwrap()).unwrap().start();
    let hour = |hours: i64| support::device::stamp(at + hours * HOUR);
    let other_type =
        if sign_type == SignType::Sm3Timestamp { SignType::Sha256 } else { SignType::Sm3Timestamp };
    match how {
        None => right,
        Some(0) => String::new(),
        Some(1) => right[..20].into(),
        Some(2) => right.to_uppercase(),
        Some(3) => format!("\"{right}\""),
        Some(4) => format!("{right}\r\n"),
        Some(5) => right[..63].into(),
        Some(6) => format!("{right}00"),
        Some(7) => secret.into(),
        Some(8) => by(other_type, stamp),
        Some(9) => by(sign_type, &hour(-1)),
        Some(10) => by(sign_type, &hour(8)),
        Some(_) => reference_hmac(sign_type.digit(), secret.as_bytes(), stamp.as_bytes()),
    }
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
    let mistakes =
        (prop::option::weighted(0.3, 0..IDS.len()), prop::option::weighted(0.3, 0..WAYS));
    let odd = (
        text(),
        text(),
        prop::option::weighted(0.1, prop::option::of(prop::collection::vec(1..=255u8, 0..70))),
        prop_oneof![4 => Just(120u16), 1 => any::<u16>()],
    );
    (right, odd, mistakes).prop_map(
        |(
            (sign_type, hours, secret, certificate),
            (id, name, word, keep_alive),
            (how_id, how_word),
        )| {
            let stamp = stamp(now() + hours * HOUR);
            let right_id = client_id(how_id, sign_type, &stamp);
            let password = made(how_word, sign_type, &stamp, secret);
            Sent {
                client_id: id.unwrap_or(Some(right_id)),
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

/// What the plugin answers, with what it says is wrong; and its log line, if it refuses.
fn answer(options: &[(&str, &str)], secrets: &str, sent: &Sent) -> (String, Option<String>) {
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
    let host = Listening::default();
    match plugin.login(&host, &login) {
        Answer::Accept { .. } => ("accepted".into(), None),
        Answer::Defer => ("deferred".into(), None),
        Answer::Refuse(reason) => {
            let line = host.0.borrow().last().expect("a line").clone();
            let told = read::parse(&line).unwrap();
            assert_eq!(told.reason, reason);
            let kind = told.kind().map_or(String::new(), |kind| said_of(kind, reason));
            (format!("refused: {}{kind}", reason.id()), Some(line))
        }
        Answer::End => panic!("not in a sweep"),
    }
}

/// A kind in the words of the tool.
fn said_of(kind: Kind, reason: Refusal) -> String {
    assert_eq!(kind.reason(), reason);
    format!(" recognised: {}={}", kind.field(), kind.id())
}

/// The last lines of an explanation of a refusal: what was recognised, and what to do.
fn advice(said: &str) -> Vec<&str> {
    let of_interest =
        |line: &&str| line.starts_with("recognised: ") || line.starts_with("what to do: ");
    said.lines().filter(of_interest).collect()
}

/// What the tool says, in short and in full.
fn explanation(
    options: &[(&str, &str)],
    secrets: &str,
    certificate: &str,
    sent: &Sent,
) -> (String, String) {
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
    let mut short = verdict.split(' ').take(words).collect::<Vec<_>>().join(" ");
    if let Some(kind) = advice(&said.out).first().filter(|line| line.starts_with("recognised: ")) {
        if words == 2 {
            short = format!("{short} {}", kind.split(" (").next().unwrap());
        }
    }
    (short, said.out)
}

/// Plays a login to both. `None` if an hour ends in between: it is one hour later for the second of the two.
fn play(
    scratch: &Scratch,
    device: Option<Device>,
    options: &[(&str, &str)],
    sent: &Sent,
) -> Option<String> {
    let line = device.map(|Device { proof, frozen }| {
        format!("lamp:{proof}{}\n", if frozen { ":frozen" } else { "" })
    });
    let secrets = scratch.file("secrets", line.unwrap_or_else(|| "other:12345678\n".into()));
    let certificate = scratch.file("cert.pem", pem(CERTIFICATES[sent.certificate.unwrap_or(0)]));
    let (secrets, certificate) = (secrets.to_str().unwrap(), certificate.to_str().unwrap());
    let hour = now() / HOUR;
    let (expected, line) = answer(options, secrets, sent);
    let (found, said) = explanation(options, secrets, certificate, sent);
    if now() / HOUR != hour {
        return None;
    }
    assert_eq!(found, expected, "{sent:?}");
    if let Some(line) = line {
        let of_line = run(command(["explain", "--log-line", &line]), b"").out;
        assert_eq!(advice(&of_line), advice(&said), "{line}");
    }
    Some(found)
}

#[test]
fn plugin_and_explain_agree() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let scratch = Scratch::new();
    // The answers that occurred, to check that none was left out.
    let seen = Mutex::new(BTreeSet::new());
    runner
        .run(&(devices(), options(), logins()), |(device, options, sent)| {
            let found = play(&scratch, device, &options, &sent);
            prop_assume!(found.is_some());
            seen.lock().unwrap().extend(found);
            Ok(())
        })
        .unwrap();
    let seen = seen.into_inner().unwrap();
    for reason in Refusal::ALL {
        // These depend on other logins, on the broker, or on a fault.
        let never = matches!(reason.step(), None | Some(Step::Rate));
        let id = format!("refused: {}", reason.id());
        let is_it = |seen: &String| *seen == id || seen.starts_with(&format!("{id} "));
        assert_eq!(seen.iter().any(is_it), !never, "{id}: {seen:?}");
    }
    assert!(seen.contains("accepted") && seen.contains("deferred"), "{seen:?}");
}

#[test]
fn plugin_and_explain_agree_on_each_kind() {
    let scratch = Scratch::new();
    let sign_type = SignType::Sha256Timestamp;
    let login = |id: Option<usize>, word: Option<usize>, hours: i64| {
        let stamp = stamp(now() + hours * HOUR);
        let client_id = client_id(id, sign_type, &stamp);
        let password = made(word, sign_type, &stamp, "first-secret").into_bytes();
        let (username, password) = (Some("lamp".into()), Some(password));
        Sent { client_id: Some(client_id), username, password, certificate: None, keep_alive: 120 }
    };
    let ids = (0..IDS.len()).map(|n| login(Some(n), None, 0));
    let words = (0..WAYS).map(|n| login(None, Some(n), 0));
    let other = Sent { password: Some(vec![b'0'; 64]), ..login(None, None, 0) };
    let sent = ids.chain(words).chain([login(None, None, -30), login(None, None, 30), other]);
    let device = Device { proof: "other-secret:secondary=first-secret".into(), frozen: false };
    let play = |sent: Sent| play(&scratch, Some(device.clone()), &[], &sent);
    let seen: BTreeSet<String> = sent.filter_map(play).collect();
    for kind in Kind::ALL {
        // It takes several logins.
        let never = kind == Kind::Takeovers;
        let id = format!("refused: {}{}", kind.reason().id(), said_of(kind, kind.reason()));
        assert_eq!(seen.contains(&id), !never, "{id}: {seen:?}");
    }
}
