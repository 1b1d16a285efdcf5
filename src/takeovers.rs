//! Does a device exist twice? How often a login of a device has ended a live connection of the same device.
//!
//! Two programs with one device's secret throw each other out for as long as they run: real SDKs come back 75 to 990 times
//! a second. The limit makes the later one wait, and the earlier one keep its connection. Only a login that has proved
//! itself counts, and only one that ends a live connection: nobody can lock a device out by failing in its name, and a
//! device that connects, publishes and leaves takes nothing over.
//!
//! What is known of a device lies in its session and moves on to the session that takes it over, so the memory is bounded
//! by the devices that are logged in.

use std::time::Duration;

/// After so many take-overs within so long, a device's next logins are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeoverLimit {
    /// How many take-overs are free, at least 1.
    pub takeovers: u32,
    /// How long it takes until all of them are forgiven.
    pub within: Duration,
}

/// So many logins of a device that each ended a live connection are told one by one, each minute. A device that has more
/// of them is told once, with their number.
pub const IN_FULL: u32 = 4;

/// The take-overs of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takeovers {
    /// When all of them are forgiven, in microseconds: each puts that off by an equal share of the limit's time.
    forgiven: u64,
    /// Which minute since the start `logins` belongs to.
    minute: u64,
    /// Logins of that minute, the first one included.
    logins: u32,
    /// The last address of the device that is not the one of its session.
    other_address: Box<[u8]>,
}

impl Takeovers {
    /// Whether one more take-over is one too many. `now` counts from any fixed point.
    #[must_use]
    pub fn are_too_many(&self, limit: TakeoverLimit, now: Duration) -> bool {
        let (share, full) = limit.in_micros();
        self.forgiven > micros(now).saturating_add(full - share)
    }

    /// Notes a take-over of a connection from one address by a login from another.
    pub fn note(&mut self, limit: Option<TakeoverLimit>, now: Duration, from: &[u8], to: &[u8]) {
        if let Some(limit) = limit {
            let (share, _) = limit.in_micros();
            self.forgiven = self.forgiven.max(micros(now)).saturating_add(share);
        }
        let minute = minute(now);
        if self.minute != minute || self.logins == 0 {
            // The login that is taken over now came before.
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

    /// Where else the device has logged in from lately; empty if from nowhere.
    #[must_use]
    pub fn other_address(&self) -> &[u8] {
        &self.other_address
    }
}

impl TakeoverLimit {
    /// A take-over's share of the time, and the whole time, in microseconds.
    fn in_micros(self) -> (u64, u64) {
        let full = micros(self.within).min(u64::MAX >> 1);
        ((full / u64::from(self.takeovers.max(1))).max(1), full)
    }
}

/// Which minute since the start a time is in.
#[must_use]
pub fn minute(now: Duration) -> u64 {
    now.as_secs() / 60
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: TakeoverLimit = TakeoverLimit { takeovers: 20, within: Duration::from_secs(60) };

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
        let one = TakeoverLimit { takeovers: 1, within: Duration::from_secs(60) };
        let mut device = Takeovers::default();
        assert!(!device.are_too_many(one, at(0)));
        device.note(Some(one), at(0), b"a", b"b");
        assert!(device.are_too_many(one, at(59)) && !device.are_too_many(one, at(60)));

        let most = TakeoverLimit { takeovers: u32::MAX, within: Duration::MAX };
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
