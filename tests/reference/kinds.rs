//! What a refused ClientId or password was recognised as, by trying each mistake in turn: the word that the log has.

use crate::{ReferenceClientId, reference_client_id, reference_date};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sm3::Sm3;

/// The word for a ClientId that is not a device's.
pub fn reference_shape(text: &[u8], username: Option<&[u8]>) -> &'static str {
    let ends_like_a_devices =
        |text: &[u8]| !matches!(reference_client_id(text), ReferenceClientId::Other);
    if text.len() > 256 {
        return "long";
    }
    if ends_like_a_devices(text) {
        let stamp = &text[text.len() - 10..];
        return match text.len() {
            15 => "nodevice",
            _ if is_epoch(stamp) => "epoch",
            _ => "nodate",
        };
    }
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'_').collect();
    let by_parts = match &parts[..] {
        [id @ .., identity, [sign], stamp] if digits(&[*sign]) && digits(stamp) => {
            match (id.join(&b'_'), *identity) {
                (id, _) if id.is_empty() => None,
                (_, b"0") if is_epoch(stamp) => Some("epoch"),
                (_, b"0") => Some("digits"),
                (_, [identity]) if stamp.len() == 10 && digits(&[*identity]) => Some("identity"),
                (id, [_, ..]) if stamp.len() == 10 && id.len() > 2 && id.ends_with(b"_0") => {
                    Some("provisioning")
                }
                _ => None,
            }
        }
        _ => None,
    };
    let has_tail =
        (0..text.len()).any(|end| !digits(&text[end..=end]) && ends_like_a_devices(&text[..end]));
    let mut with_underscores = text.to_vec();
    for back in [11, 13, 15] {
        match text.len().checked_sub(back).map(|at| &mut with_underscores[at]) {
            Some(mark) if mark.is_ascii_punctuation() => *mark = b'_',
            _ => {}
        }
    }
    let ends_in_stamp = matches!(parts.last(), Some(stamp) if stamp.len() == 10 && digits(stamp));
    let ends_in_types =
        |parts: &[&[u8]]| matches!(parts, [_, .., b"0", [sign]] if digits(&[*sign]));
    match text {
        b"" => "empty",
        _ if ends_in_uuid(text) => "invented",
        _ if ends_like_a_devices(trimmed(text)) => "blanks",
        _ if ends_like_a_devices(unquoted(text)) => "quotes",
        _ if by_parts.is_some() => by_parts.unwrap_or_default(),
        _ if has_tail => "tail",
        _ if text.len() > 15 && ends_like_a_devices(&with_underscores) => "separators",
        _ if Some(text) == username && crate::is_name(text, 1, 128) => "deviceid",
        _ if ends_in_stamp && parts.len() > 1 => "parts",
        _ if ends_in_types(&parts) => "parts",
        _ if parts.last() == Some(&&b""[..]) && ends_in_types(&parts[..parts.len() - 1]) => "parts",
        _ => "other",
    }
}

/// The word for a password that does not prove any of a device's secrets. The ClientId is that of a device.
pub fn reference_password(
    client_id: &[u8],
    sent: Option<&[u8]>,
    secrets: &[Vec<u8>],
) -> &'static str {
    let ReferenceClientId::Device { sign_digit, stamp, .. } = reference_client_id(client_id) else {
        panic!("no device's ClientId")
    };
    let sent = match sent {
        None | Some(b"") => return "missing",
        Some(sent) => sent,
    };
    let is_by = |sign_digit, key: &[u8], text: &[u8]| {
        secrets.iter().any(|secret| reference_hmac(sign_digit, key, secret).as_bytes() == text)
    };
    if sent.len() == 64 && sent.iter().all(|byte| b"0123456789abcdef".contains(byte)) {
        let other_digit = if sign_digit == b'2' { b'1' } else { b'2' };
        let swapped = secrets
            .iter()
            .any(|secret| reference_hmac(sign_digit, secret, stamp).as_bytes() == sent);
        let distance = (-14..=14).find(|hours| {
            let begin = reference_date(stamp).map(|begin| begin + 3600 * hours);
            begin
                .and_then(reference_stamp)
                .is_some_and(|other| other != stamp && is_by(sign_digit, &other, sent))
        });
        return match distance {
            Some(-1..=1) => "hour",
            Some(_) => "localtime",
            None if is_by(other_digit, stamp, sent) => "signtype",
            None if swapped => "swapped",
            None => "other",
        };
    }
    if sent.len() > 256 {
        return "malformed";
    }
    let (without_blanks, text) = (trimmed(sent), unquoted(trimmed(sent)));
    if secrets.iter().any(|secret| secret == text) {
        return "secret";
    }
    let is_right = secrets.iter().any(|secret| {
        let right = reference_hmac(sign_digit, stamp, secret);
        let length = text.len().min(64);
        length >= 32 && text[..length].eq_ignore_ascii_case(&right.as_bytes()[..length])
    });
    match text.len() {
        _ if !is_right => "malformed",
        _ if without_blanks != sent => "blanks",
        _ if text != without_blanks => "quotes",
        ..64 => "cut",
        65.. => "tail",
        64 => "uppercase",
    }
}

/// An HMAC in hex, of the hash function of a sign type.
pub fn reference_hmac(sign_digit: u8, key: &[u8], message: &[u8]) -> String {
    let takes = "a key of any length is taken";
    match sign_digit {
        b'2' => {
            let hmac = Hmac::<Sm3>::new_from_slice(key).expect(takes);
            hex::encode(hmac.chain_update(message).finalize().into_bytes())
        }
        _ => {
            let hmac = Hmac::<Sha256>::new_from_slice(key).expect(takes);
            hex::encode(hmac.chain_update(message).finalize().into_bytes())
        }
    }
}

/// The hour that begins at this second, by a calendar library.
fn reference_stamp(begin: i64) -> Option<Vec<u8>> {
    let (days, hour) = (begin.div_euclid(86_400), begin.rem_euclid(86_400) / 3600);
    let first = jiff::civil::date(1970, 1, 1);
    let date = first.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
    let (year, month, day) = (date.year(), date.month(), date.day());
    (year >= 0).then(|| format!("{year:04}{month:02}{day:02}{hour:02}").into_bytes())
}

/// Unix seconds or milliseconds from 2017 to 2033, but for the years of clocks that were never set.
fn is_epoch(stamp: &[u8]) -> bool {
    let number: u64 =
        std::str::from_utf8(stamp).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let year = number / 1_000_000;
    match stamp.len() {
        10 => (1500..2000).contains(&year) && ![1900, 1970, 1980].contains(&year),
        13 => (1500..2000).contains(&(year / 1000)),
        _ => false,
    }
}

fn ends_in_uuid(text: &[u8]) -> bool {
    let Some(start) = text.len().checked_sub(36) else { return false };
    let groups: Vec<&[u8]> = text[start..].split(|byte| *byte == b'-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().iter().all(|byte| b"0123456789ABCDEF".contains(byte))
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\x0C' | b'\r', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\n' | b'\x0C' | b'\r'] = text {
        text = rest;
    }
    text
}

fn unquoted(text: &[u8]) -> &[u8] {
    let text = match text {
        [b'"' | b'\'' | b'`', rest @ ..] => rest,
        text => text,
    };
    match text {
        [rest @ .., b'"' | b'\'' | b'`'] => rest,
        text => text,
    }
}

/// At least one digit, and nothing else.
fn digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
