//! May a client log in? The contract's table, row by row.

use crate::{
    rules::Rules,
    secrets::is_certificate_of,
    sent::{Sent, password},
};
use iotda_core::login::verify::Detail;
use reference_model::{
    ReferenceClientId, ReferenceFile, ReferenceProof, reference_client_id, reference_date,
};
use sha2::{Digest, Sha256};

/// What is said to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Accept,
    Defer,
    Refuse(&'static str, Detail),
}

/// What the contract says to a login.
pub fn answer(sent: &Sent, devices: &ReferenceFile, rules: &Rules, now: i64) -> Answer {
    let refuse = |reason| Answer::Refuse(reason, Detail::None);
    let (device_id, sign_digit, stamp) =
        match reference_client_id(sent.client_id.as_deref().unwrap_or_default()) {
            ReferenceClientId::Device { device_id, sign_digit, stamp } => {
                (device_id, sign_digit, stamp)
            }
            ReferenceClientId::Other if rules.defers_others => return Answer::Defer,
            _ => return refuse("bad_client_id"),
        };
    if !rules.sign_types.contains(&sign_digit) {
        return Answer::Refuse("bad_sign_type", Detail::SignType(sign_digit));
    }
    let in_range = |(lowest, highest)| lowest <= sent.keep_alive && sent.keep_alive <= highest;
    if !rules.keep_alive.is_none_or(in_range) {
        return Answer::Refuse("bad_keepalive", Detail::KeepAlive(sent.keep_alive));
    }
    if sent.username.as_deref() != Some(device_id) || device_id.len() > 256 {
        return refuse("user_mismatch");
    }
    let Some(device) = devices.get(device_id) else { return refuse("unknown_device") };
    match &device.proof {
        ReferenceProof::Secrets(secrets) => {
            let right = secrets
                .iter()
                .map(|secret| password(sign_digit, stamp, secret).into_bytes())
                .any(|right| sent.password.as_ref() == Some(&right));
            if sign_digit != b'0' {
                let begin = i128::from(reference_date(stamp).expect("a date"));
                let now = i128::from(now);
                let age = i64::try_from(now - begin).unwrap_or(if now < begin {
                    i64::MIN
                } else {
                    i64::MAX
                });
                let detail = Detail::Clock { age, password_right: right };
                if begin + i128::from(rules.max_age) < now {
                    return Answer::Refuse("stale_timestamp", detail);
                }
                if rules.max_ahead.is_some_and(|limit| begin - i128::from(limit) > now) {
                    return Answer::Refuse("future_timestamp", detail);
                }
            }
            if !right {
                return refuse("wrong_password");
            }
        }
        proof => match &sent.certificate {
            None => return refuse("no_certificate"),
            Some(der) if is_certificate_of(der, proof) => {}
            Some(der) => {
                let digest = Sha256::digest(der).into();
                return Answer::Refuse("wrong_certificate", Detail::Certificate(digest));
            }
        },
    }
    if device.frozen { refuse("frozen") } else { Answer::Accept }
}

/// The codes of a refusal, as the contract's table has them.
pub fn codes(reason: &str) -> (u8, u8) {
    match reason {
        "rate_limited" => (3, 0x9F),
        "bad_client_id" | "bad_sign_type" | "bad_keepalive" => (2, 0x85),
        "user_mismatch" | "unknown_device" | "stale_timestamp" | "future_timestamp"
        | "wrong_password" | "no_certificate" => (4, 0x86),
        "wrong_certificate" | "frozen" => (5, 0x87),
        "internal_error" => (3, 0x88),
        _ => panic!("{reason}"),
    }
}

/// Whether a refusal is held against an address, unless the password was right.
pub fn is_failure(reason: &str) -> bool {
    !["rate_limited", "frozen", "internal_error"].contains(&reason)
}
