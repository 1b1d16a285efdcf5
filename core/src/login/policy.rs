//! The rules that an operator may change, as values.

use super::{client_id::SignType, timestamp::HOUR};

/// The rules that [`verify`](super::verify()) checks a login against, in addition to the device table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `timestamp_max_age`, in seconds.
    pub timestamp_max_age: i64,
    /// `timestamp_max_ahead`, in seconds; `None` is `unlimited`.
    pub timestamp_max_ahead: Option<i64>,
    /// `sign_types`: those that may log in.
    pub sign_types: SignTypes,
    /// `keepalive`: the accepted values.
    pub keep_alive: KeepAlive,
    /// `other_clients`: what to do with clients that are not devices.
    pub other_clients: OtherClients,
}

impl Default for Policy {
    /// What the platform itself does, as far as it is documented, except for the timestamp. For that the platform documents
    /// one hour of age and no bound on the future.
    ///
    /// A device that signs in the last minutes of an hour has only those minutes to reach the broker, and none if its clock
    /// is slow; so the limit is five minutes longer. Real firmware is less than a day ahead (the C SDK increments the hour
    /// to avoid a zero byte, other devices send local time). One day keeps out a password made for the year 2999, which
    /// would otherwise be valid until then.
    fn default() -> Self {
        Self {
            timestamp_max_age: 65 * 60,
            timestamp_max_ahead: Some(24 * HOUR),
            sign_types: SignTypes::ALL,
            keep_alive: KeepAlive::Within { lowest: 30, highest: 1200 },
            other_clients: OtherClients::Refuse,
        }
    }
}

/// A set of sign types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignTypes(u8);

impl SignTypes {
    /// No sign type at all.
    pub const NONE: Self = Self(0);
    /// Every sign type there is.
    pub const ALL: Self = Self(0b111);

    /// This set, with one sign type added.
    #[must_use]
    pub fn with(self, sign_type: SignType) -> Self {
        Self(self.0 | Self::bit(sign_type))
    }

    /// Whether a sign type is in the set.
    #[must_use]
    pub fn contains(self, sign_type: SignType) -> bool {
        self.0 & Self::bit(sign_type) != 0
    }

    fn bit(sign_type: SignType) -> u8 {
        1 << (sign_type.digit() - b'0')
    }
}

/// The heartbeats that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// Any, none included.
    Any,
    /// From `lowest` to `highest` seconds. 0, which means no keep alive, is never in the range.
    Within {
        /// The shortest, in seconds, at least 1.
        lowest: u16,
        /// The longest, in seconds.
        highest: u16,
    },
}

impl KeepAlive {
    /// Whether a CONNECT's keep alive is accepted.
    #[must_use]
    pub fn accepts(self, seconds: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Within { lowest, highest } => (lowest..=highest).contains(&seconds),
        }
    }
}

/// What happens to a client whose ClientId does not have a device's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherClients {
    /// It is refused.
    Refuse,
    /// It is left to the broker's password file and other plugins.
    Defer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_sign_types_holds_what_was_put_in_however_often() {
        use SignType::{Sha256, Sha256Timestamp, Sm3Timestamp};
        for (put_in, expected) in [
            (&[][..], [false, false, false]),
            (&[Sha256], [true, false, false]),
            (&[Sha256Timestamp, Sha256Timestamp], [false, true, false]),
            (&[Sm3Timestamp, Sha256, Sm3Timestamp], [true, false, true]),
            (&[Sha256, Sha256Timestamp, Sm3Timestamp], [true, true, true]),
        ] {
            let set = put_in.iter().fold(SignTypes::NONE, |set, one| set.with(*one));
            let found = [Sha256, Sha256Timestamp, Sm3Timestamp].map(|one| set.contains(one));
            assert_eq!(found, expected, "{put_in:?}");
            assert_eq!(set == SignTypes::ALL, expected == [true; 3]);
        }
    }

    #[test]
    fn the_bounds_of_the_keep_alive_are_accepted_and_none_is_only_where_any_is() {
        let within = KeepAlive::Within { lowest: 30, highest: 1200 };
        assert_eq!(Policy::default().keep_alive, within);
        for (seconds, expected) in
            [(0, false), (29, false), (30, true), (1200, true), (1201, false), (u16::MAX, false)]
        {
            assert_eq!(within.accepts(seconds), expected, "{seconds}");
            assert!(KeepAlive::Any.accepts(seconds), "{seconds}");
        }
    }
}
