//! Does a device exist twice? How often a login of a device has ended a live connection of the same device.
//!
//! Two programs with one device's secret disconnect each other for as long as they run, and real SDKs reconnect at once,
//! many times a second. The limit makes the later one wait, and the earlier one keeps its connection. Only a login that
//! has proved itself counts, and only one that ends a live connection. So nobody can lock a device out by failing in its
//! name, and a device that connects, publishes and leaves takes nothing over.
//!
//! The state of a device is stored in its session and moves to the session that takes it over, so the memory is bounded by
//! the number of logged-in devices.

use crate::bucket::Bucket;
use iotda_core::options::Limit;
use std::time::Duration;

/// How many logins of a device that each ended a live connection are logged one by one, each minute. A device with more of
/// them is logged once, with their number.
pub const IN_FULL: u32 = 4;

/// The take-overs of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takeovers {
    /// When all of them are forgotten: this one number says how full the bucket is.
    forgiven: u64,
    /// Which minute since the start `logins` belongs to.
    minute: u64,
    /// Logins of that minute, the first one included.
    logins: u32,
    /// The last address of the device that is not its session's address.
    other_address: Box<[u8]>,
}

impl Takeovers {
    /// Whether one more take-over is over the limit. `now` counts from any fixed point.
    #[must_use]
    pub fn are_too_many(&self, limit: Limit, now: Duration) -> bool {
        Bucket::from(limit).is_full(self.forgiven, now)
    }

    /// Notes a take-over of a connection from one address by a login from another.
    pub fn note(&mut self, limit: Option<Limit>, now: Duration, from: &[u8], to: &[u8]) {
        if let Some(limit) = limit {
            self.forgiven = Bucket::from(limit).after_one_more(self.forgiven, now);
        }
        let minute = minute(now);
        if self.minute != minute || self.logins == 0 {
            // The login that is now taken over was an earlier one.
            (self.minute, self.logins) = (minute, 1);
        }
        self.logins = self.logins.saturating_add(1);
        if from != to {
            self.other_address = from.into();
        }
    }

    /// How often the device has logged in during a minute, by [`minute`].
    #[must_use]
    pub fn logins(&self, minute: u64) -> u32 {
        if self.minute == minute { self.logins } else { 0 }
    }

    /// The other address from which the device has logged in lately; empty if there is none.
    #[must_use]
    pub fn other_address(&self) -> &[u8] {
        &self.other_address
    }
}

/// Which minute since the start a time is in.
#[must_use]
pub fn minute(now: Duration) -> u64 {
    now.as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { count: 20, within: Duration::from_secs(60) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(600 + seconds)
    }

    #[test]
    fn so_many_are_free_and_then_forgiven_one_by_one() {
        let mut device = Takeovers::default();
        for takeover in 0..20 {
            assert!(!device.are_too_many(LIMIT, at(0)), "after {takeover}");
            device.note(Some(LIMIT), at(0), b"a", b"b");
        }
        assert!(device.are_too_many(LIMIT, at(0)) && device.are_too_many(LIMIT, at(2)));
        assert!(!device.are_too_many(LIMIT, at(3)));
        device.note(Some(LIMIT), at(3), b"a", b"b");
        assert!(device.are_too_many(LIMIT, at(3)) && !device.are_too_many(LIMIT, at(63)));
    }

    #[test]
    fn one_is_a_limit_and_the_largest_is_one() {
        let one = Limit { count: 1, within: Duration::from_secs(60) };
        let mut device = Takeovers::default();
        assert!(!device.are_too_many(one, at(0)));
        device.note(Some(one), at(0), b"a", b"b");
        assert!(device.are_too_many(one, at(59)) && !device.are_too_many(one, at(60)));

        let most = Limit { count: u32::MAX, within: Duration::MAX };
        for _ in 0..100 {
            device.note(Some(most), Duration::MAX, b"a", b"b");
        }
        assert!(!device.are_too_many(most, Duration::MAX));
    }

    #[test]
    fn a_minutes_logins_are_counted_with_the_first() {
        let mut device = Takeovers::default();
        for _ in 0..5 {
            device.note(None, at(10), b"a", b"b");
        }
        assert_eq!(device.logins(minute(at(10))), 6);
        assert_eq!(device.logins(minute(at(70))), 0);
        device.note(None, at(70), b"b", b"b");
        assert_eq!((device.logins(minute(at(70))), device.logins(minute(at(10)))), (2, 0));
        assert_eq!(device.other_address(), b"a");
        assert!(!device.are_too_many(LIMIT, at(70)));
    }
}
