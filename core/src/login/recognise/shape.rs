//! What is a ClientId that is not a device's?

use super::unquoted;
use crate::{
    login::{
        client_id::{ClientId, ClientIdError},
        connect::MAX_FIELD,
        kind::Kind,
    },
    registry::line::is_device_id,
};

/// What is wrong with a ClientId, of which [`ClientId::parse`] has said no.
pub(super) fn kind(text: &[u8], username: Option<&[u8]>) -> Kind {
    if text.len() > MAX_FIELD {
        // Nothing of it is looked at: a client may send 65,535 bytes.
        return Kind::Long;
    }
    match ClientId::parse(text) {
        Err(ClientIdError::NoDeviceId) => Kind::NoDevice,
        Err(ClientIdError::NoDate) => match text.last_chunk::<10>() {
            Some(stamp) if is_epoch(stamp) => Kind::Epoch,
            _ => Kind::NoDate,
        },
        _ => other(text, username),
    }
}

/// What is wrong with a ClientId that does not end like a device's.
fn other(text: &[u8], username: Option<&[u8]>) -> Kind {
    if text.is_empty() {
        Kind::Empty
    } else if is_invented(text) {
        Kind::Invented
    } else if ends_like_a_devices(text.trim_ascii()) {
        Kind::Blanks
    } else if ends_like_a_devices(unquoted(text)) {
        Kind::Quotes
    } else if let Some(kind) = by_its_parts(text) {
        kind
    } else if has_a_tail(text) {
        Kind::Tail
    } else if has_other_separators(text) {
        Kind::Separators
    } else if Some(text) == username && is_device_id(text) {
        Kind::DeviceId
    } else if is_incomplete(text) {
        Kind::Parts
    } else {
        Kind::OtherClient
    }
}

/// Whether it ends in `_0_{digit}_{ten digits}`, whatever else may be wrong.
#[inline(never)]
fn ends_like_a_devices(text: &[u8]) -> bool {
    !matches!(ClientId::parse(text), Err(ClientIdError::OtherClient))
}

/// Whether digits look like Unix seconds, or with three more digits milliseconds, of a device with a good clock: from 2017 to
/// 2033. Years of clocks that were never set are none. From 2033 on, Unix seconds look like years from 2000 on, and are told
/// as a wrong date.
fn is_epoch(digits: &[u8]) -> bool {
    let is_time = matches!(digits, [b'1', b'5'..=b'9', ..]) && matches!(digits.len(), 10 | 13);
    let unset = [b"1900", b"1970", b"1980"];
    is_time && (digits.len() == 13 || !unset.into_iter().any(|year| digits.starts_with(year)))
}

/// Whether it ends in a UUID as Mosquitto writes it (`client_id_gen` in `handle_connect.c`), behind any `auto_id_prefix`.
fn is_invented(text: &[u8]) -> bool {
    const GROUPS: &[u8; 36] = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let fits = |(byte, group): (&u8, &u8)| match group {
        b'-' => *byte == b'-',
        _ => is_digit(*byte),
    };
    text.last_chunk::<36>().is_some_and(|uuid| uuid.iter().zip(GROUPS).all(fits))
}

/// What is wrong with one of the parts between underscores, if all others are right.
fn by_its_parts(text: &[u8]) -> Option<Kind> {
    let mut parts = text.rsplitn(4, |byte| *byte == b'_');
    let (stamp, [b'0'..=b'9'], third) = (parts.next()?, parts.next()?, parts.next()?) else {
        return None;
    };
    let before = parts.next().filter(|part| !part.is_empty())?;
    if stamp.is_empty() || !stamp.iter().all(u8::is_ascii_digit) {
        return None;
    }
    match (third, before) {
        ([b'0'], _) if is_epoch(stamp) => Some(Kind::Epoch),
        ([b'0'], _) => Some(Kind::Digits),
        _ if stamp.len() != 10 => None,
        ([b'1'..=b'9'], _) => Some(Kind::Identity),
        ([_, ..], [_, .., b'_', b'0']) => Some(Kind::Provisioning),
        _ => None,
    }
}

/// Whether a device's ClientId comes first, and then something that is not a further digit of its timestamp.
fn has_a_tail(text: &[u8]) -> bool {
    let ends_at = |(at, byte): (usize, &u8)| {
        !byte.is_ascii_digit() && text.get(..at).is_some_and(ends_like_a_devices)
    };
    text.iter().enumerate().any(ends_at)
}

/// Whether it would end like a device's with underscores in place of other marks.
fn has_other_separators(text: &[u8]) -> bool {
    let Some((device_id, [one, b'0', two, b'0'..=b'9', three, stamp @ ..])) =
        text.split_last_chunk::<15>()
    else {
        return false;
    };
    let are_marks = [one, two, three].into_iter().all(u8::is_ascii_punctuation);
    !device_id.is_empty() && are_marks && stamp.iter().all(u8::is_ascii_digit)
}

/// Whether it has a part of what a device's ClientId ends in, behind an underscore.
fn is_incomplete(text: &[u8]) -> bool {
    let without_stamp = text.strip_suffix(b"_").unwrap_or(text);
    let has_types = matches!(without_stamp, [.., b'_', b'0', b'_', b'0'..=b'9']);
    let has_stamp = text.split_last_chunk::<11>().is_some_and(|(_, [mark, stamp @ ..])| {
        *mark == b'_' && stamp.iter().all(u8::is_ascii_digit)
    });
    has_types || has_stamp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Kind {
        kind(text.as_bytes(), Some(b"dev"))
    }

    #[test]
    fn tells_what_is_wrong() {
        for (text, expected) in [
            ("", Kind::Empty),
            ("auto-5628DEB3-25A5-4E5F-8F6C-0123456789AB", Kind::Invented),
            ("5628DEB3-25A5-4E5F-8F6C-0123456789AB", Kind::Invented),
            ("gw5628DEB3-25A5-4E5F-8F6C-0123456789AB", Kind::Invented),
            ("5628deb3-25a5-4e5f-8f6c-0123456789ab", Kind::OtherClient),
            ("auto-5628DEB3-25A5-4E5F-8F6C_0123456789AB", Kind::OtherClient),
            ("dev_0_1_1795669993", Kind::Epoch),
            ("dev_0_2_1500000000", Kind::Epoch),
            ("dev_0_1_1999999999", Kind::Epoch),
            ("dev_0_1_1795669993123", Kind::Epoch),
            ("dev_0_0_1970669993123", Kind::Epoch),
            ("dev_0_1_1970000100", Kind::NoDate),
            ("dev_0_1_1900000000", Kind::NoDate),
            ("dev_0_1_1980000000", Kind::NoDate),
            ("dev_0_1_1499999999", Kind::NoDate),
            ("dev_0_1_2026023103", Kind::NoDate),
            ("dev_0_2_0000000000", Kind::NoDate),
            ("_0_0_2026112209", Kind::NoDevice),
            ("_0_1_2026023103", Kind::NoDevice),
            ("dev_0_1_2026112209 ", Kind::Blanks),
            (" dev_0_1_2026112209", Kind::Blanks),
            ("\tdev_0_1_2026023103\r\n", Kind::Blanks),
            ("\"dev_0_1_2026112209\"", Kind::Quotes),
            ("dev_0_1_2026112209'", Kind::Quotes),
            ("`dev_0_1_2026112209`", Kind::Quotes),
            ("node_2_0_2026112209", Kind::Identity),
            ("node_3_1_2026112209", Kind::Identity),
            ("node_1_1_2026023103", Kind::Identity),
            ("dev_0_1_2026112209_1720423123000", Kind::Tail),
            ("dev_0_1_2026112209_0", Kind::Tail),
            ("dev_0_1_2026112209-a1b2", Kind::Tail),
            ("dev_0_1_2026112209 x", Kind::Tail),
            ("x_0_1_2020010100_0_1_2026112209mqtt", Kind::Tail),
            ("dev_0_1_202611220", Kind::Digits),
            ("dev_0_1_20261122090", Kind::Digits),
            ("dev_0_1_202611220930", Kind::Digits),
            ("dev_0_1_20261122", Kind::Digits),
            ("a__0_1_20261122", Kind::Digits),
            ("dev_0_1_2695669993123", Kind::Digits),
            ("dev_0_scope5f_0_2026112209", Kind::Provisioning),
            ("dev_0_12_0_2026112209", Kind::Provisioning),
            ("dev-0-1-2026112209", Kind::Separators),
            ("dev_0_1-2026112209", Kind::Separators),
            ("dev:0:1:2026112209", Kind::Separators),
            ("dev", Kind::DeviceId),
            ("dev_2026112209", Kind::Parts),
            ("dev_0_2026112209", Kind::Parts),
            ("dev_0_10_2026112209", Kind::Parts),
            ("dev_0_x_2026112209", Kind::Parts),
            ("dev_00_0_2026112209", Kind::Parts),
            ("dev_0__2026112209", Kind::Parts),
            ("_2_0_2026112209", Kind::Parts),
            ("dev_0_1", Kind::Parts),
            ("dev_0_1_", Kind::Parts),
            ("dev_0_1_2026-11-22", Kind::OtherClient),
            ("dev.0.x.2026112209", Kind::OtherClient),
            ("dev20261122090", Kind::OtherClient),
            ("0_0_2026112209", Kind::Parts),
            ("backend", Kind::OtherClient),
            ("_", Kind::OtherClient),
            ("设备", Kind::OtherClient),
        ] {
            assert_eq!(of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_user_name_counts_where_it_is_a_device_id_and_nothing_else_is_seen() {
        for (text, username, expected) in [
            ("dev", Some("dev"), Kind::DeviceId),
            ("dev", Some("dev2"), Kind::OtherClient),
            ("dev", None, Kind::OtherClient),
            ("back.end", Some("back.end"), Kind::OtherClient),
            ("dev_0_1", Some("dev_0_1"), Kind::DeviceId),
            ("dev_0_1_2026112209_1", Some("dev_0_1_2026112209_1"), Kind::Tail),
            ("", Some(""), Kind::Empty),
        ] {
            let username = username.map(str::as_bytes);
            assert_eq!(kind(text.as_bytes(), username), expected, "{text:?} {username:?}");
        }
    }

    #[test]
    fn a_long_one_is_not_looked_at() {
        for length in [257, 65_535] {
            for byte in [b'"', b'_', b'0', b' '] {
                assert_eq!(kind(&vec![byte; length], None), Kind::Long);
            }
        }
        assert_eq!(kind(&[b' '; 256], None), Kind::OtherClient);
        assert_eq!(kind(&[&[b'd'; 242][..], b"_0_0_2026112209"].concat(), None), Kind::Long);
    }
}
