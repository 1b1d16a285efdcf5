//! The reference model: a second, simple implementation of ClientId, timestamp and secrets file, by splitting and by maps,
//! that shares no code with the core. The property tests and the fuzz targets compare the core with it.

mod kinds;

pub use kinds::{reference_hmac, reference_password, reference_shape};

use iotda_core::registry::{Credential, Device, Fingerprint};
use std::collections::{BTreeMap, btree_map::Entry};

/// What a ClientId is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceClientId<'a> {
    /// A device's: `{device_id}_0_{sign type}_{YYYYMMDDHH}`.
    Device { device_id: &'a [u8], sign_digit: u8, stamp: &'a [u8] },
    /// It ends like a device's, but is not one.
    Spoilt,
    /// Another client's.
    Other,
}

/// Split at the last three underscores.
pub fn reference_client_id(text: &[u8]) -> ReferenceClientId<'_> {
    let mut parts = text.rsplitn(4, |byte| *byte == b'_');
    let (Some(stamp), Some(&[sign_digit]), Some(b"0"), Some(device_id)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return ReferenceClientId::Other;
    };
    if stamp.len() != 10 || !digits(stamp) || !digits(&[sign_digit]) {
        return ReferenceClientId::Other;
    }
    let dated = !matches!(sign_digit, b'1' | b'2') || reference_date(stamp).is_some();
    if device_id.is_empty() || text.len() > 256 || !dated {
        return ReferenceClientId::Spoilt;
    }
    ReferenceClientId::Device { device_id, sign_digit, stamp }
}

/// The first second of an hour, by a calendar library.
pub fn reference_date(stamp: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(stamp).ok().filter(|_| stamp.len() == 10 && digits(stamp))?;
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let month = i8::try_from(number(4..6)?).ok()?;
    let day = i8::try_from(number(6..8)?).ok()?;
    let date = jiff::civil::Date::new(number(0..4)?, month, day).ok()?;
    // By days: the library's timestamps end a day before its calendar does.
    let days = jiff::civil::date(1970, 1, 1).until(date).ok()?.get_days();
    Some(86_400 * i64::from(days) + 3600 * i64::from(number(8..10)?))
}

fn digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

/// A device as its line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceDevice {
    pub proof: ReferenceProof,
    pub frozen: bool,
}

/// What proves a device: one or two secrets, or one or two fingerprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceProof {
    Secrets(Vec<Vec<u8>>),
    /// Digests: 20 bytes for SHA-1, 32 for SHA-256.
    Certificates(Vec<Vec<u8>>),
}

impl ReferenceDevice {
    /// A device of the crate's table, in these terms.
    pub fn of(device: &Device<'_>) -> Self {
        let proof = match device.credential {
            Credential::Secret { primary, secondary } => ReferenceProof::Secrets(
                [Some(primary), secondary].into_iter().flatten().map(Vec::from).collect(),
            ),
            Credential::Certificate(fingerprints) => ReferenceProof::Certificates(
                [Some(fingerprints.primary), fingerprints.secondary]
                    .into_iter()
                    .flatten()
                    .map(|fingerprint| match fingerprint {
                        Fingerprint::Sha1(digest) => digest.to_vec(),
                        Fingerprint::Sha256(digest) => digest.to_vec(),
                    })
                    .collect(),
            ),
        };
        Self { proof, frozen: device.frozen }
    }
}

/// What a line of a secrets file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceLine {
    Nothing,
    Device(Vec<u8>, ReferenceDevice),
    Wrong,
}

/// Split at the colons.
pub fn reference_line(line: &[u8]) -> ReferenceLine {
    if line.starts_with(b"#") {
        return ReferenceLine::Nothing;
    }
    if line.len() > 1024 {
        return ReferenceLine::Wrong;
    }
    let mut line = line;
    while let [start @ .., b' ' | b'\t' | b'\r'] = line {
        line = start;
    }
    if line.is_empty() {
        return ReferenceLine::Nothing;
    }
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let [device_id, proof, attributes @ ..] = &fields[..] else { return ReferenceLine::Wrong };
    let frozen = attributes.iter().filter(|attribute| **attribute == b"frozen").count();
    let seconds: Vec<&[u8]> =
        attributes.iter().filter_map(|attribute| attribute.strip_prefix(b"secondary=")).collect();
    let attributes_are_good =
        frozen + seconds.len() == attributes.len() && frozen < 2 && seconds.len() < 2;
    let proof = match proof.strip_prefix(b"x509=") {
        Some(_) if !seconds.is_empty() => None,
        Some(list) => reference_certificates(list).map(ReferenceProof::Certificates),
        None => {
            let secrets: Vec<Vec<u8>> =
                [*proof].iter().chain(&seconds).map(|secret| secret.to_vec()).collect();
            secrets
                .iter()
                .all(|secret| is_name(secret, 8, 32))
                .then_some(ReferenceProof::Secrets(secrets))
        }
    };
    match proof {
        Some(proof) if attributes_are_good && is_name(device_id, 1, 128) => ReferenceLine::Device(
            device_id.to_vec(),
            ReferenceDevice { proof, frozen: frozen == 1 },
        ),
        _ => ReferenceLine::Wrong,
    }
}

/// One or two fingerprints, split at the comma.
pub fn reference_certificates(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let digests: Option<Vec<Vec<u8>>> = list
        .split(|byte| *byte == b',')
        .map(|text| hex::decode(text).ok().filter(|digest| matches!(digest.len(), 20 | 32)))
        .collect();
    digests.filter(|digests| digests.len() <= 2)
}

/// A number of `A–Z a–z 0–9 _ -` in the given range.
pub fn is_name(text: &[u8], shortest: usize, longest: usize) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
    (shortest..=longest).contains(&text.len()) && text.iter().all(allowed)
}

/// The devices of a file.
pub type ReferenceFile = BTreeMap<Vec<u8>, ReferenceDevice>;

/// The devices of a file and the numbers of its wrong lines, by splitting and a map.
pub fn reference_file(file: &[u8]) -> (ReferenceFile, Vec<u64>) {
    let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
    let (mut devices, mut wrong) = (ReferenceFile::new(), Vec::new());
    for (number, line) in (1..).zip(file.split(|byte| *byte == b'\n')) {
        match reference_line(line) {
            ReferenceLine::Nothing => {}
            ReferenceLine::Device(id, device) => {
                // The first stays.
                match devices.entry(id) {
                    Entry::Vacant(place) => _ = place.insert(device),
                    Entry::Occupied(_) => wrong.push(number),
                }
            }
            ReferenceLine::Wrong => wrong.push(number),
        }
    }
    (devices, wrong)
}
