//! Whatever the shape of an export, the same devices come out; and whatever the bytes, an answer.

use super::{
    field::{Choice, Choices},
    intake::{Errors, Intake, Shape, Skipped, Stop},
    orders::Packed,
    report::described,
    source::read_from,
};
use crate::terminal::Progress;
use iotda_core::registry::edit::{self, Orders};
use proptest::prelude::*;
use serde_json::Value;

/// What came out of an input.
struct Out {
    shape: Result<Shape, Stop>,
    packed: Packed,
    errors: Errors,
    skipped: Skipped,
}

fn import(input: &[u8], choices: &[Choice]) -> Out {
    let mut progress = Progress::new();
    let mut intake = Intake::new(Choices(choices), false, &mut progress);
    let shape = read_from(input, &mut intake);
    let Intake { packed, errors, skipped, .. } = intake;
    Out { shape, packed, errors, skipped }
}

impl Out {
    /// The lines of a new secrets file with these devices.
    fn lines(&self) -> String {
        assert!(self.shape.is_ok() && self.errors.total == 0, "{:?} {:?}", self.shape, self.errors);
        let edited = edit::apply(b"", &self.packed).unwrap();
        String::from_utf8(edited.content.as_ref().to_vec()).unwrap()
    }

    /// All that is told.
    fn told(&self) -> String {
        let stop = self.shape.as_ref().map_or_else(ToString::to_string, described);
        let errors = self.errors.first.iter().map(|(place, error)| format!("{place} {error}\n"));
        stop + "\n" + &errors.collect::<String>()
    }
}

/// A device of an export.
#[derive(Clone, Debug)]
struct Device {
    id: String,
    secret: Option<String>,
    fingerprints: Vec<String>,
    secondary: String,
    frozen: bool,
}

impl Device {
    /// Its line in a secrets file.
    fn line(&self) -> String {
        let Self { id, secret, fingerprints, secondary, frozen } = self;
        let proof = match secret {
            Some(secret) if secondary.is_empty() => secret.clone(),
            Some(secret) => format!("{secret}:secondary={secondary}"),
            None => format!("x509={}", fingerprints.join(",")),
        };
        format!("{id}:{proof}{}\n", if *frozen { ":frozen" } else { "" })
    }
}

fn device() -> impl Strategy<Value = Device> {
    let secret = "[A-Za-z0-9_-]{8,32}";
    let by_secret = (secret, prop_oneof![Just(String::new()), secret])
        .prop_map(|(secret, secondary)| (Some(secret), Vec::new(), secondary));
    let fingerprints = proptest::collection::vec("[0-9a-f]{40}|[0-9A-F]{64}", 1..=2);
    let by_certificate = fingerprints.prop_map(|all| (None, all, String::new()));
    ("[A-Za-z0-9_-]{1,20}", prop_oneof![3 => by_secret, 1 => by_certificate], any::<bool>())
        .prop_map(|(id, (secret, fingerprints, secondary), frozen)| Device {
            id,
            secret,
            fingerprints,
            secondary,
            frozen,
        })
}

/// Some devices, each with its own id.
fn devices() -> impl Strategy<Value = Vec<Device>> {
    proptest::collection::vec(device(), 1..20).prop_map(|mut devices| {
        for (at, device) in devices.iter_mut().enumerate() {
            device.id.push_str(&format!("-{at}"));
        }
        devices
    })
}

/// How an export looks.
#[derive(Clone, Debug)]
struct Look {
    separator: char,
    says_separator: bool,
    /// 0: only where it is needed; else every value that the mask says.
    quotes: u8,
    line_end: &'static str,
    encoding: u8,
    /// Which of the usual names the columns have.
    names: usize,
    has_others: bool,
    empty_rows: bool,
    colons: bool,
    /// CSV, or one of the shapes of JSON.
    format: u8,
    pretty: bool,
}

fn look() -> impl Strategy<Value = Look> {
    let csv = (prop_oneof![Just(','), Just(';'), Just('\t')], any::<bool>(), any::<u8>());
    let text = (prop_oneof![Just("\n"), Just("\r\n")], 0..4_u8, 0..4_usize);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (csv, text, flags, 0..6_u8).prop_map(|(csv, text, flags, format)| Look {
        separator: csv.0,
        says_separator: csv.1,
        quotes: csv.2,
        line_end: text.0,
        encoding: text.1,
        names: text.2,
        has_others: flags.0,
        empty_rows: flags.1,
        colons: flags.2,
        format,
        pretty: flags.3,
    })
}

const NAMES: [[&str; 6]; 4] = [
    ["device_id", "secret", "secondary", "x509", "secondary_fingerprint", "frozen"],
    ["Device_ID", "Device Secret", "SECONDARY_SECRET", "Fingerprint", "Secondary X509", "Frozen"],
    ["deviceId", "deviceSecret", "secondarySecret", "x509", "secondaryFingerprint", "status"],
    ["设备ID", "密钥", "辅密钥", "指纹", "辅指纹", "状态"],
];

impl Look {
    fn encoded(&self, text: &str) -> Vec<u8> {
        let units = || std::iter::once(0xFEFF).chain(text.encode_utf16());
        match self.encoding {
            0 => text.as_bytes().to_vec(),
            1 => [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
            2 => units().flat_map(u16::to_le_bytes).collect(),
            _ => units().flat_map(u16::to_be_bytes).collect(),
        }
    }

    fn fingerprint(&self, digits: &str) -> String {
        if !self.colons {
            return digits.to_owned();
        }
        let pairs: Vec<String> =
            digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into()).collect();
        pairs.join(":")
    }

    /// The six values of a device.
    fn values(&self, device: &Device) -> [String; 6] {
        let fingerprint =
            |at: usize| device.fingerprints.get(at).map(|digits| self.fingerprint(digits));
        let frozen = match (self.names, device.frozen) {
            (0 | 1, true) => "yes",
            (0 | 1, false) => "",
            (_, true) => "FROZEN",
            (_, false) => "INACTIVE",
        };
        [
            device.id.clone(),
            device.secret.clone().unwrap_or_default(),
            device.secondary.clone(),
            fingerprint(0).unwrap_or_default(),
            fingerprint(1).unwrap_or_default(),
            frozen.into(),
        ]
    }

    fn csv(&self, devices: &[Device]) -> String {
        let mut text = String::new();
        if self.says_separator {
            text += &format!("sep={}{}", self.separator, self.line_end);
        }
        self.row(&mut text, NAMES[self.names].map(str::to_owned).into(), "名称, \"kurz\"");
        for device in devices {
            if self.empty_rows {
                text += &format!(
                    "{}{end}{end}",
                    self.separator.to_string().repeat(7),
                    end = self.line_end
                );
            }
            self.row(&mut text, self.values(device).into(), "two\nlines; \t,\"\"");
        }
        text
    }

    fn row(&self, text: &mut String, mut values: Vec<String>, other: &str) {
        if self.has_others {
            values.insert(usize::from(self.quotes) % 7, other.into());
        }
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                text.push(self.separator);
            }
            let needs = value.contains(['"', '\n', ',', ';', '\t']);
            if needs || self.quotes >> (at % 8) & 1 == 1 {
                *text += &format!("\"{}\"", value.replace('"', "\"\""));
            } else {
                *text += value;
            }
        }
        if self.empty_rows {
            text.push(self.separator);
        }
        *text += self.line_end;
    }

    fn json(&self, devices: &[Device]) -> String {
        let objects: Vec<Value> = devices.iter().map(|device| self.object(device)).collect();
        let one = |value: &Value| {
            if self.pretty { format!("{value:#}") } else { value.to_string() }
        };
        match self.format {
            1 => one(&Value::from(objects)),
            2 | 3 => {
                let page: Value = [("count", devices.len())].into_iter().collect();
                let members = [("devices", Value::from(objects)), ("page", page)];
                one(&members.into_iter().collect())
            }
            _ => objects.iter().map(|object| one(object) + self.line_end).collect(),
        }
    }

    fn object(&self, device: &Device) -> Value {
        let values = self.values(device);
        let names = NAMES[self.names];
        let (mut members, mut auth) = (Vec::new(), Vec::new());
        for (at, (name, value)) in names.into_iter().zip(&values).enumerate() {
            // An object of the API has the proofs in auth_info, and null for what is not there.
            let level =
                if (1..5).contains(&at) && self.format % 2 == 1 { &mut auth } else { &mut members };
            let value = if value.is_empty() { Value::Null } else { value.clone().into() };
            level.push((name, value));
        }
        if self.format % 2 == 1 {
            let auth_type = if device.secret.is_some() { "SECRET" } else { "CERTIFICATES" };
            auth.push(("auth_type", auth_type.into()));
            auth.push(("timeout", 0.into()));
            members.push(("auth_info", auth.into_iter().collect()));
        }
        if self.has_others {
            members.push(("gateway_id", device.id.clone().into()));
            members.push(("tags", Value::from(vec![Value::from("{\"device_id\":1}")])));
        }
        members.into_iter().collect()
    }

    fn export(&self, devices: &[Device]) -> Vec<u8> {
        let text = if self.format == 0 { self.csv(devices) } else { self.json(devices) };
        self.encoded(&text)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_export_of_any_shape_gives_the_same_devices(devices in devices(), look in look()) {
        let out = import(&look.export(&devices), &[]);
        let expected: String = devices.iter().map(Device::line).collect();
        prop_assert_eq!(out.lines(), expected);
        prop_assert_eq!(out.skipped.sub_devices + out.skipped.other_pages, 0);
    }

    /// A byte that is lost, changed or added: an answer, and no secret in it.
    #[test]
    fn a_damaged_export_gives_an_answer_without_secrets(
        devices in devices(),
        look in look(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = look.export(&devices);
        for (at, byte, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let out = import(&bytes, &[]);
        let told = out.told();
        for device in &devices {
            let secret = device.secret.as_deref().unwrap_or("x.x");
            prop_assert!(!told.contains(secret) || device.id.contains(secret), "{told}");
        }
        // Whatever is read is in order, or is found to be wrong.
        let _ = edit::apply(b"", &out.packed);
    }

    #[test]
    fn any_bytes_give_an_answer(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..20),
                prop::sample::select(vec![
                    "{", "}", "[", "]", "\"", ",", ";", "\t", "\r", "\n", ":", "sep=", "null", "1e9", "\\u00", "device_id",
                    "secret", "devices", "page", "count", "auth_info", "设备ID", "device_id,secret\n", "{\"devices\":[",
                    "{\"device_id\":\"d\",\"secret\":", "\u{feff}", "PK\x03\x04", "=",
                ])
                .prop_map(|piece| piece.as_bytes().to_vec()),
            ],
            0..40,
        )
    ) {
        let out = import(&pieces.concat(), &["x509=count".parse().unwrap()]);
        let _ = (out.told(), out.packed.count());
    }
}

#[test]
fn a_quote_that_is_not_closed_takes_no_memory() {
    let rows = "x,topsecret\n".repeat(1 << 18);
    let out = import(format!("device_id,secret\na,topsecret\nb,\"{rows}").as_bytes(), &[]);
    assert_eq!((out.packed.count(), out.errors.total), (1, 1));
    assert!(out.told().contains("expected a row of at most 1 MiB"), "{}", out.told());
    let out = import(b"device_id,secret\na,topsecret\nb,\"topsecret\nc,topsecret\n", &[]);
    assert_eq!(out.errors.first.first().map(|(place, _)| place.line), Some(3));
    assert!(out.told().contains("expected a closing quote"), "{}", out.told());
}

#[test]
fn a_header_behind_many_empty_rows_is_read_whole_or_not_at_all() {
    for padding in [0, 1000, 65_000, 65_510, 65_520, 65_530, 65_535, 70_000] {
        let text = format!("{}device_id,secret,frozen\nd,topsecret,yes\n", "\n".repeat(padding));
        let out = import(text.as_bytes(), &[]);
        match &out.shape {
            Ok(_) => assert_eq!(out.lines(), "d:topsecret:frozen\n", "{padding}"),
            Err(stop) => {
                assert!(stop.to_string().contains("expected a header, found a line"), "{stop}");
            }
        }
    }
    let long = format!("device_id,secret,{}frozen\n", "x,".repeat(20_000));
    assert!(import(long.as_bytes(), &[]).told().contains("more than 16 KiB"));
}

#[test]
fn a_header_that_has_lost_its_line_end_shows_no_secret() {
    for rows in ["", "e,topsecret\n", "e,topsecret,\n\nf,topsecret\n"] {
        let out = import(format!("device_id,secret,noted,topsecret,\n{rows}").as_bytes(), &[]);
        let told = out.told();
        assert!(
            told.contains("left aside: columns that no row has") && !told.contains("topsecret"),
            "{told}"
        );
    }
    let out = import(b"device_id,secret,note\nd,topsecret\ne,topsecret,x\n", &[]);
    assert!(out.told().contains("left aside: \"note\""), "{}", out.told());
}
