//! Does the password prove the secret? Password = lower-case hex of HMAC(key = timestamp, message = secret), with SHA-256
//! or, for sign type 2, SM3.
//!
//! The key is the timestamp, which a whole fleet shares for an hour, so the keyed state is kept and cloned: two SHA-256
//! compressions a login instead of four. The states are kept by timestamp, so the end of an hour needs no special case.

use super::{client_id::SignType, timestamp::Stamp};
use constant_time_eq::constant_time_eq_32;
use hmac::{Hmac, Mac, digest::KeyInit};
use sha2::Sha256;
use sm3::Sm3;
use std::fmt;

/// The length of an HMAC-SHA256 and of an HMAC-SM3, in bytes.
pub const MAC_LENGTH: usize = 32;

/// A password, decoded.
///
/// A password that cannot be right is kept too, so that checking it takes the same time.
#[derive(Clone, Copy)]
pub struct Password {
    mac: [u8; MAC_LENGTH],
    well_formed: bool,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").field("well_formed", &self.well_formed).finish_non_exhaustive()
    }
}

impl Password {
    /// Reads a password: 64 hex digits, lower case as the platform's example and every official SDK have them.
    #[must_use]
    pub fn parse(bytes: Option<&[u8]>) -> Self {
        let mut mac = [0; MAC_LENGTH];
        // The length is checked first: a client may send 65,535 bytes, and they must not cost anything.
        let well_formed = bytes.is_some_and(|bytes| {
            bytes.len() == 2 * MAC_LENGTH && base16ct::lower::decode(bytes, &mut mac).is_ok()
        });
        Self { mac, well_formed }
    }

    /// The bytes that the password stands for; `None` if it cannot be right.
    #[must_use]
    pub fn mac(&self) -> Option<&[u8; MAC_LENGTH]> {
        self.well_formed.then_some(&self.mac)
    }
}

/// The HMAC of one timestamp, ready for a secret.
#[derive(Clone)]
pub struct HourKey(Keyed);

#[derive(Clone)]
enum Keyed {
    Sha256(Hmac<Sha256>),
    Sm3(Hmac<Sm3>),
}

impl fmt::Debug for HourKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HourKey")
    }
}

impl HourKey {
    /// Keys the HMAC of a sign type with a timestamp.
    #[must_use]
    pub fn new(sign_type: SignType, stamp: &Stamp) -> Self {
        Self::of(sign_type, stamp)
    }

    /// Keys the HMAC of a sign type with any key.
    pub(super) fn of(sign_type: SignType, key: &[u8]) -> Self {
        Self(match sign_type {
            SignType::Sha256 | SignType::Sha256Timestamp => Keyed::Sha256(keyed(key)),
            SignType::Sm3Timestamp => Keyed::Sm3(keyed(key)),
        })
    }

    /// Whether the sign type signs with this HMAC.
    fn is_of(&self, sign_type: SignType) -> bool {
        matches!(self.0, Keyed::Sm3(_)) == (sign_type == SignType::Sm3Timestamp)
    }

    /// Whether a password proves a secret, in a time that does not depend on either.
    #[must_use]
    pub fn proves(&self, password: &Password, secret: &[u8]) -> bool {
        self.makes(&password.mac, secret) & password.well_formed
    }

    /// Whether this is the HMAC of a secret, in a time that does not depend on either.
    #[must_use]
    pub fn makes(&self, mac: &[u8; MAC_LENGTH], secret: &[u8]) -> bool {
        constant_time_eq_32(&self.mac(secret), mac)
    }

    /// The password of a device: 64 lower-case hex digits.
    #[must_use]
    pub fn password(&self, secret: &[u8]) -> String {
        hex::encode(self.mac(secret))
    }

    /// The HMAC of a message with this key.
    pub(super) fn mac(&self, secret: &[u8]) -> [u8; MAC_LENGTH] {
        match &self.0 {
            Keyed::Sha256(key) => key.clone().chain_update(secret).finalize().into_bytes().into(),
            Keyed::Sm3(key) => key.clone().chain_update(secret).finalize().into_bytes().into(),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    // HMAC takes a key of any length (RFC 2104), so this cannot fail. If it could, a key that nobody has would be the safe
    // answer.
    <M as Mac>::new_from_slice(key).unwrap_or_else(|_| <M as Mac>::new(&Default::default()))
}

/// The keyed states of the timestamps seen last, each for the HMAC that it was signed with.
///
/// It holds several, because devices do not all send the same hour: some clocks are ahead, some devices keep their first
/// credentials, the C SDK shifts the hour, and a device of sign type 0 may send any digits.
#[derive(Debug, Default)]
pub struct HourKeys {
    /// The one that was asked for last comes first.
    slots: [Option<(Stamp, HourKey)>; 4],
}

impl HourKeys {
    /// The keyed state of a timestamp for a sign type.
    pub fn key(&mut self, sign_type: SignType, stamp: &Stamp) -> &HourKey {
        let is_wanted = |(at, key): &(Stamp, HourKey)| at == stamp && key.is_of(sign_type);
        let mut slots = self.slots.iter();
        match slots.position(|slot| slot.as_ref().is_some_and(is_wanted)) {
            Some(at) => {
                if let Some(used) = self.slots.get_mut(..=at) {
                    used.rotate_right(1);
                }
            }
            None => {
                self.slots.rotate_right(1);
                self.slots[0] = None;
            }
        }
        &self.slots[0].get_or_insert_with(|| (*stamp, HourKey::new(sign_type, stamp))).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use SignType::{Sha256 as Type0, Sha256Timestamp as Type1, Sm3Timestamp as Type2};

    const RIGHT: &str = "c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a";
    const RIGHT_SM3: &str = "a110c9e1536980a2ca572e7d5b82542a20a04e144937385f224d587fa1d0e862";

    fn proves(password: &[u8]) -> bool {
        HourKey::new(Type0, b"2025041401").proves(&Password::parse(Some(password)), b"12345678")
    }

    #[test]
    fn signs_and_verifies_the_documented_example() {
        assert_eq!(HourKey::new(Type0, b"2025041401").password(b"12345678"), RIGHT);
        assert_eq!(HourKey::new(Type1, b"2025041401").password(b"12345678"), RIGHT);
        assert_eq!(HourKey::new(Type2, b"2025041401").password(b"12345678"), RIGHT_SM3);
        assert!(proves(RIGHT.as_bytes()) && !proves(RIGHT_SM3.as_bytes()));
    }

    #[test]
    fn sm3_proves_what_sm3_signs() {
        let key = HourKey::new(Type2, b"2025041401");
        let proves =
            |password: &str| key.proves(&Password::parse(Some(password.as_bytes())), b"12345678");
        assert!(proves(RIGHT_SM3) && !proves(RIGHT) && !proves(&RIGHT_SM3.to_uppercase()));
    }

    #[test]
    fn refuses_every_other_password() {
        assert!(!proves(RIGHT.to_uppercase().as_bytes()));
        assert!(!proves(RIGHT.replacen('c', "C", 1).as_bytes()));
        assert!(!proves(&RIGHT.as_bytes()[..63]));
        assert!(!proves(format!("{RIGHT}0").as_bytes()));
        assert!(!proves(format!(" {RIGHT}").as_bytes()));
        assert!(!proves(b""));
        assert!(!proves(&[0xFF; 64]));
        assert!(!proves("é".repeat(32).as_bytes()));
        assert!(!HourKey::new(Type0, b"2025041401").proves(&Password::parse(None), b"12345678"));
        for at in 0..64 {
            let mut wrong = RIGHT.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            assert!(!proves(&wrong), "digit {at}");
        }
    }

    #[test]
    fn a_password_that_cannot_be_right_does_not_pass_as_zeroes() {
        // An ill-formed password is compared as 32 zero bytes; it must lose even where the HMAC were just that.
        assert!(Password::parse(Some(&[b'x'; 64])).mac().is_none());
        assert!(Password::parse(Some(&[b'0'; 64])).mac().is_some());
    }

    #[test]
    fn kept_states_are_those_of_their_hour() {
        let mut keys = HourKeys::default();
        for round in 0..3 {
            for hour in 0..10u8 {
                let mut stamp = *b"2025041400";
                stamp[9] += hour;
                // Each of them twice: made, and kept.
                for sign_type in [Type0, Type2, Type1, Type2] {
                    let fresh = HourKey::new(sign_type, &stamp).password(b"12345678");
                    let kept = keys.key(sign_type, &stamp).password(b"12345678");
                    assert_eq!(kept, fresh, "round {round} hour {hour} {sign_type:?}");
                }
            }
        }
    }

    #[test]
    fn a_state_is_made_once_for_an_hour_and_its_hash() {
        let mut keys = HourKeys::default();
        for _ in 0..3 {
            for (sign_type, stamp) in [
                (Type0, b"2025041401"),
                // The same HMAC.
                (Type1, b"2025041401"),
                (Type2, b"2025041401"),
                (Type2, b"2025041402"),
            ] {
                let made = keys.key(sign_type, stamp).password(b"12345678");
                assert_eq!(made, HourKey::new(sign_type, stamp).password(b"12345678"));
            }
        }
        // If one were made each time, it would have filled all the slots.
        assert_eq!(keys.slots.iter().flatten().count(), 3);
    }
}
