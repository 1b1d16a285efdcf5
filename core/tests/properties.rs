//! Properties that hold for any input: no panic, the same answer as an obviously correct reference model, and what the tool
//! makes the plugin takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use iotda_core::{
    login::{
        ClientId, Connect, HourKeys, Kind, Policy, Refusal, SignType, Verdict,
        client_id::ClientIdError,
        recognise::{self, recognise},
        signature::HourKey,
        timestamp::Hour,
        verify,
        verify::Refused,
    },
    options::Options,
    registry::{Cancel, LoadError, Table, line, read::read},
};
use proptest::prelude::*;
use reference_model::{
    ReferenceClientId, ReferenceDevice, reference_client_id, reference_date, reference_file,
    reference_hmac, reference_password, reference_shape,
};

/// Bytes that are sometimes random, sometimes close to a ClientId.
fn client_ids() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[a-z_0-9-]{0,20}(_[0-3]){0,3}(_[0-9]{9,11}){0,2}".prop_map(String::into_bytes),
        "[a-z_0-9]{1,250}_0_[0-9]_[0-9]{10}".prop_map(String::into_bytes),
    ]
}

/// ClientIds of a device, with a mistake or two.
fn bad_client_ids() -> impl Strategy<Value = String> {
    prop_oneof![
        "(auto-|x)?[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}",
        "[ \"'\t]{0,2}[a-c_]{0,3}_0_[0-2]_[12][0-9]{8,12}[ \"'_x0-9]{0,3}",
        "[a-c_]{0,3}_[0-3]{0,2}_[0-3]{0,2}_20261122[0-9]{0,3}",
        "[a-c_]{0,2}(_0_[a-c0-9]{0,2})?_[0-9]_2026112209",
        "[a-c]{0,2}[_.:-][0-3][_.:-][0-3][_.:-]2026112209",
        "[a-c]{0,2}(_0)?(_[0-3])?_?",
    ]
}

/// What may be done to a password on its way from the device.
fn spoilt(right: &str, how: usize) -> String {
    let spoilt = match how / 8 {
        0 => right.to_string(),
        1 => right[..how % 8 * 8].to_string(),
        2 => right[..64 - how % 8].to_string(),
        3 => format!("{right}{}", "0a \n".get(..how % 5).unwrap_or("_2026112209")),
        4 => format!("\"{right}\""),
        _ => format!(" {right}"),
    };
    if how % 2 == 0 { spoilt } else { spoilt.to_uppercase() }
}

/// The lines of a secrets file: sometimes right, sometimes almost right, sometimes random.
fn secrets_files() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => "[a-c]{1,2}:[a-z0-9_-]{8,32}".prop_map(String::into_bytes),
        2 => "[a-zA-Z0-9_-]{1,130}:[a-z]{7,33}(:frozen|:secondary=[a-z]{7,33}){0,3}".prop_map(String::into_bytes),
        1 => "[a-c]:x509=([0-9a-fA-F]{40}|[0-9a-f]{64}|[0-9a-g]{39,41})(,[0-9a-f]{40}){0,2}(:frozen)?".prop_map(String::into_bytes),
        1 => "#.{0,40}|[ \t]{0,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    let end = prop_oneof![8 => Just(b"\n".to_vec()), 1 => Just(b"\r\n".to_vec()), 1 => Just(b" \n".to_vec())];
    let mark = prop_oneof![3 => Just(b"".to_vec()), 1 => Just(b"\xEF\xBB\xBF".to_vec())];
    (mark, prop::collection::vec((line, end), 0..30), any::<bool>()).prop_map(
        |(mark, lines, closed)| {
            let mut file = mark;
            for (line, end) in lines {
                file.extend(line);
                file.extend(end);
            }
            if !closed && file.last() == Some(&b'\n') {
                file.pop();
            }
            file
        },
    )
}

fn table_of(file: &[u8]) -> Result<Table, LoadError> {
    read(file, file.len() as u64, usize::MAX, Cancel::NEVER).map(|content| content.table)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_client_id_is_what_the_reference_model_says(bytes in client_ids()) {
        match (ClientId::parse(&bytes), reference_client_id(&bytes)) {
            (Ok(id), expected) => {
                let ClientId { device_id, sign_digit, stamp, .. } = id;
                prop_assert_eq!(ReferenceClientId::Device { device_id, sign_digit, stamp }, expected);
            }
            (Err(ClientIdError::OtherClient), expected) => prop_assert_eq!(ReferenceClientId::Other, expected),
            (Err(_), expected) => prop_assert_eq!(ReferenceClientId::Spoilt, expected),
        }
    }

    #[test]
    fn a_timestamp_is_what_the_calendar_says(stamp in prop_oneof!["[0-9]{10}", "(19|20)[0-9]{2}(0[1-9]|1[0-2])([0-2][0-9]|3[01])[0-9]{2}"]) {
        let found = Hour::parse(stamp.as_bytes().try_into().unwrap()).map(Hour::start);
        prop_assert_eq!(found, reference_date(stamp.as_bytes()));
    }

    #[test]
    fn an_hour_is_written_as_it_is_read(hours in -17_268_000..=70_389_000i64) {
        let hour = Hour::parse(b"1970010100").unwrap().plus(hours);
        let stamp = hour.stamp();
        prop_assert_eq!(stamp.and_then(|stamp| Hour::parse(&stamp)), stamp.map(|_| hour));
        prop_assert_eq!(stamp.and_then(|stamp| reference_date(&stamp)), stamp.map(|_| hour.start()));
        prop_assert_eq!(stamp.is_some(), (-62_167_219_200..=253_402_297_200).contains(&hour.start()));
    }

    #[test]
    fn any_ten_bytes_are_a_timestamp_or_not(stamp: [u8; 10], now: i64) {
        if let Some(hour) = Hour::parse(&stamp) {
            prop_assert_eq!(hour.age(now), now.saturating_sub(hour.start()));
        }
    }

    #[test]
    fn any_line_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        if let Err(fault) = line::parse(&bytes) {
            prop_assert!(!fault.to_string().is_empty());
        }
    }

    #[test]
    fn any_option_is_read_or_refused(name in "[a-z_]{0,20}|timestamp_max_age|keepalive|sign_types", value in ".{0,20}") {
        if let Err(error) = Options::parse([("secrets_file", "/s"), (name.as_str(), value.as_str())]) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn what_a_device_sends_is_accepted(
        device_id in "[A-Za-z0-9_-]{1,128}",
        secret in "[A-Za-z0-9_-]{8,32}",
        other in "[A-Za-z0-9_-]{8,32}",
        sign_type in prop_oneof![
            Just(SignType::Sha256),
            Just(SignType::Sha256Timestamp),
            Just(SignType::Sm3Timestamp),
        ],
        since in -86_400..=3900i64,
    ) {
        let stamp = "2026112209";
        let now = Hour::parse(b"2026112209").unwrap().start() + since;
        let client_id = ClientId::format(&device_id, sign_type, stamp);
        let password = HourKey::new(sign_type, b"2026112209").password(secret.as_bytes());
        let connect = Connect {
            client_id: Some(client_id.as_bytes()),
            username: Some(device_id.as_bytes()),
            password: Some(password.as_bytes()),
            certificate: None,
            keep_alive: 120,
        };
        let answer = |file: &str, connect: &Connect<'_>, now| {
            let table = table_of(file.as_bytes()).unwrap();
            let verdict = verify(connect, &table, &Policy::default(), now, &mut HourKeys::default());
            match verdict {
                Verdict::Accept(_) => None,
                Verdict::Refuse(Refused { reason, .. }) => Some(reason),
                Verdict::Defer => panic!("deferred"),
            }
        };
        let registered = format!("{device_id}:{secret}\n");
        prop_assert_eq!(answer(&registered, &connect, now), None);
        prop_assert_eq!(answer("", &connect, now), Some(Refusal::UnknownDevice));
        if sign_type != SignType::Sha256 {
            let hour = Hour::parse(b"2026112209").unwrap().start();
            let (past, early) = (hour + 3901, hour - 86_401);
            prop_assert_eq!(answer(&registered, &connect, past), Some(Refusal::StaleTimestamp));
            prop_assert_eq!(answer(&registered, &connect, early), Some(Refusal::FutureTimestamp));
        }
        if other != secret {
            prop_assert_eq!(answer(&format!("{device_id}:{other}\n"), &connect, now), Some(Refusal::WrongPassword));
        }
        // Either of two secrets will do.
        prop_assert_eq!(answer(&format!("{device_id}:{other}:secondary={secret}\n"), &connect, now), None);
    }

    #[test]
    fn a_bad_client_id_is_recognised_as_the_reference_model_does(
        text in prop_oneof![bad_client_ids().prop_map(String::into_bytes), client_ids()],
        username in prop_oneof![Just(None), Just(Some(true)), Just(Some(false))],
    ) {
        if ClientId::parse(&text).is_ok() {
            return Ok(());
        }
        let username = username.map(|is_same| if is_same { &text[..] } else { b"abc" });
        let connect = Connect { client_id: Some(&text), username, ..Connect::default() };
        let kind = recognise::client_id(&connect);
        prop_assert_eq!((kind.reason(), kind.field()), (Refusal::BadClientId, "shape"));
        prop_assert_eq!(kind.id(), reference_shape(&text, username), "{}", text.escape_ascii());
    }

    #[test]
    fn a_wrong_password_is_recognised_as_the_reference_model_does(
        sign_type in prop::sample::select(vec![SignType::Sha256, SignType::Sha256Timestamp, SignType::Sm3Timestamp]),
        stamp in prop::sample::select(vec!["2026112209", "2026112224", "2027010100", "0000010103", "9999123120"]),
        hours in -16..=16i64,
        secret in prop::sample::select(vec!["s3cr3t-1", "s3cr3t-2", "s3cr3t-3"]),
        made in 0..8usize,
        how in 0..48usize,
    ) {
        let file = "lamp:s3cr3t-1:secondary=s3cr3t-2\n";
        let secrets = [b"s3cr3t-1".to_vec(), b"s3cr3t-2".to_vec()];
        let client_id = ClientId::format("lamp", sign_type, stamp);
        let other_hour = Hour::parse(stamp.as_bytes().try_into().unwrap()).unwrap().plus(hours).stamp();
        let (digit, key) = (sign_type.digit(), other_hour.unwrap_or(*b"2026112209"));
        let right = match made {
            0..4 => reference_hmac(digit, stamp.as_bytes(), secret.as_bytes()),
            4 => reference_hmac(digit, secret.as_bytes(), stamp.as_bytes()),
            5 => reference_hmac(digit ^ 3, stamp.as_bytes(), secret.as_bytes()),
            _ => reference_hmac(digit, &key, secret.as_bytes()),
        };
        let sent = if made == 0 { spoilt(&right, how).replace(&right, secret) } else { spoilt(&right, how) };
        let connect = Connect {
            client_id: Some(client_id.as_bytes()),
            username: Some(b"lamp"),
            password: Some(sent.as_bytes()),
            ..Connect::default()
        };
        let found = recognise(Refusal::WrongPassword.into(), &connect, &table_of(file.as_bytes()).unwrap());
        let expected = reference_password(client_id.as_bytes(), Some(sent.as_bytes()), &secrets);
        // The right one is not wrong.
        if sent != reference_hmac(digit, stamp.as_bytes(), b"s3cr3t-1") && sent != reference_hmac(digit, stamp.as_bytes(), b"s3cr3t-2") {
            prop_assert_eq!(found.kind().map(Kind::id), Some(expected), "{}", sent);
        }
    }

    #[test]
    fn any_login_has_a_verdict(
        client_id in prop::option::of(client_ids()),
        username in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
        password in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
        certificate in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
        keep_alive: u16,
        now: i64,
    ) {
        let table = Table::empty();
        let connect = Connect {
            client_id: client_id.as_deref(),
            username: username.as_deref(),
            password: password.as_deref(),
            certificate: certificate.as_deref(),
            keep_alive,
        };
        let mut keys = HourKeys::default();
        let verdict = verify(&connect, &table, &Policy::default(), now, &mut keys);
        // The table has no devices, so no login is accepted.
        prop_assert!(matches!(verdict, Verdict::Refuse(_)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_what_the_reference_model_says(file in secrets_files()) {
        let (devices, wrong) = reference_file(&file);
        match table_of(&file) {
            Ok(table) => {
                prop_assert!(wrong.is_empty(), "lines {:?} went unnoticed", wrong);
                prop_assert_eq!(table.len(), devices.len());
                for (id, device) in devices {
                    prop_assert_eq!(ReferenceDevice::of(&table.find(&id).unwrap()), device);
                }
            }
            Err(LoadError::Lines(errors)) => {
                let lines: Vec<u64> = errors.first.iter().map(|(line, _)| *line).collect();
                prop_assert_eq!(lines, wrong);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

/// Found by the fuzzer: the reference model's library has timestamps up to the day before the last of its calendar.
#[test]
fn the_calendar_has_its_first_and_its_last_day() {
    for stamp in [b"0000010100", b"9999123023", b"9999123123", b"9999123199"] {
        let found = Hour::parse(stamp).map(Hour::start);
        assert!(found.is_some() && found == reference_date(stamp), "{stamp:?}: {found:?}");
    }
}
