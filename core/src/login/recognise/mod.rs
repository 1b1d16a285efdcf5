//! What is wrong with the ClientId or the password of a refused login?
//!
//! The check of a login says no at the first fault that it finds, and no more. This looks again at a refused login, compares
//! it with the mistakes that devices make, and gives the [`Kind`] for the log and for `iotda-auth explain`.
//!
//! # Time
//!
//! The time must not tell a stranger which devices exist. So a login whose device was looked up costs the same for any
//! reason, for a device that is not there too, and with any secret: each comparison is made, in constant time, and only what
//! the client itself has sent decides which ones. That is at most 32 HMACs for each secret. The caller limits how often it
//! is done, by a rule that does not depend on the reason.

mod password;
mod shape;

use super::{
    connect::Connect,
    kind::Kind,
    refusal::Refusal,
    verify::{Detail, Refused},
};
use crate::registry::Table;
use std::hint::black_box;

/// Adds to a refusal what its ClientId or password was recognised as. Allocates nothing.
///
/// For a refusal that [tells of devices](Refusal::tells_of_devices), this takes many times as long as the check itself.
#[must_use]
pub fn recognise(refused: Refused, connect: &Connect<'_>, registry: &Table) -> Refused {
    if refused.reason == Refusal::BadClientId {
        return Refused { detail: Detail::Kind(client_id(connect)), ..refused };
    }
    if !refused.reason.tells_of_devices() {
        return refused;
    }
    // The result counts as used for every reason, so that the compiler leaves the work out for none.
    match black_box(password::kind(connect, registry)) {
        Some(kind) if refused.reason == Refusal::WrongPassword => {
            Refused { detail: Detail::Kind(kind), ..refused }
        }
        _ => refused,
    }
}

/// What a ClientId is that is not a device's. Takes less time than an HMAC, and looks at what was sent only.
#[must_use]
pub fn client_id(connect: &Connect<'_>) -> Kind {
    shape::kind(connect.client_id.unwrap_or_default(), connect.username)
}

/// A text without a quote at its beginning and one at its end.
fn unquoted(text: &[u8]) -> &[u8] {
    let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b'`');
    let text =
        text.split_first().filter(|(first, _)| is_quote(first)).map_or(text, |(_, rest)| rest);
    text.split_last().filter(|(last, _)| is_quote(last)).map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrong_password_and_a_bad_client_id_are_told_of() {
        let login = |client_id| Connect { client_id, ..Connect::default() };
        for reason in Refusal::ALL {
            for connect in
                [login(Some(&b"lamp_0_1_2026112209"[..])), login(Some(b"lamp")), login(None)]
            {
                let found = recognise(reason.into(), &connect, &Table::empty());
                assert_eq!(found.reason, reason);
                let kind = found.kind();
                match reason {
                    Refusal::BadClientId => assert_eq!(kind.map(Kind::reason), Some(reason)),
                    // There is no password to look at with a ClientId of no device.
                    Refusal::WrongPassword if connect.client_id.is_some_and(|id| id.len() > 4) => {
                        assert_eq!(kind, Some(Kind::Missing));
                    }
                    _ => assert_eq!(found, reason.into()),
                }
            }
        }
    }

    #[test]
    fn what_the_check_itself_has_found_stays() {
        let connect = Connect { client_id: Some(b"lamp_0_1_2026112209"), ..Connect::default() };
        for (reason, kind) in [
            (Refusal::StaleTimestamp, Kind::RightButStale),
            (Refusal::FutureTimestamp, Kind::RightButAhead),
        ] {
            for (password_right, kind) in [(true, Some(kind)), (false, None)] {
                let refused = Refused { reason, detail: Detail::Clock { age: 0, password_right } };
                assert_eq!(recognise(refused, &connect, &Table::empty()), refused);
                assert_eq!(refused.kind(), kind);
                assert_eq!(refused.advice(), kind.map_or(reason.advice(), Kind::advice));
            }
        }
        assert_eq!(
            recognise(Kind::Takeovers.into(), &connect, &Table::empty()),
            Kind::Takeovers.into()
        );
    }

    /// The words in the log are those of the table.
    #[test]
    fn each_kind_is_a_field_of_the_log() {
        for kind in Kind::ALL {
            let detail = match kind {
                Kind::RightButStale => Detail::Clock { age: 7200, password_right: true },
                Kind::RightButAhead => Detail::Clock { age: -7200, password_right: true },
                kind => Detail::Kind(kind),
            };
            let refused = Refused { reason: kind.reason(), detail };
            assert_eq!(refused.kind(), Some(kind));
            let field = format!(" {}={}", kind.field(), kind.id());
            assert!(detail.to_string().ends_with(&field), "{detail}");
        }
    }
}
