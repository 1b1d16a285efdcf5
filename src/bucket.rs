//! How full is a leaky bucket? One number says it: the time when it will be empty.

use iotda_core::options::Limit;
use std::time::Duration;

/// The limit of a bucket. Times are in microseconds from any fixed point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// How long one event takes to leak: an equal share of the limit's time.
    share: u64,
    /// How long a full bucket takes.
    full: u64,
}

impl From<Limit> for Bucket {
    fn from(limit: Limit) -> Self {
        let full = micros(limit.within).min(u64::MAX >> 1);
        Self { share: (full / u64::from(limit.count.max(1))).max(1), full }
    }
}

impl Bucket {
    /// Whether one more event would overflow a bucket that is empty at this time.
    pub(crate) fn is_full(self, empty_at: u64, now: Duration) -> bool {
        empty_at > micros(now).saturating_add(self.full - self.share)
    }

    /// When a bucket will be empty after one more event.
    pub(crate) fn after_one_more(self, empty_at: u64, now: Duration) -> u64 {
        empty_at.max(micros(now)).saturating_add(self.share)
    }

    /// When a bucket that is full now will be empty.
    pub(crate) fn full_at(self, now: Duration) -> u64 {
        micros(now).saturating_add(self.full)
    }
}

/// A duration in microseconds; the largest number if it does not fit.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_as_many_as_the_limit_says_and_leaks_one_by_one() {
        let far = Duration::from_micros(u64::MAX / 4);
        for (count, within, now) in [
            (1, Duration::from_secs(60), Duration::ZERO),
            (3, Duration::from_secs(60), Duration::from_secs(7)),
            (20, Duration::from_secs(60), Duration::from_secs(1_000_000)),
            (7, Duration::MAX, Duration::ZERO),
            // A sum that stops at the largest time would forget what is in the bucket.
            (7, Duration::MAX, far),
        ] {
            let bucket = Bucket::from(Limit { count, within });
            let mut empty_at = 0;
            for event in 0..count {
                assert!(!bucket.is_full(empty_at, now), "{count} in {within:?}: {event}");
                empty_at = bucket.after_one_more(empty_at, now);
            }
            assert!(bucket.is_full(empty_at, now), "{count} in {within:?}");
            let share = Duration::from_micros(bucket.share);
            assert!(bucket.is_full(empty_at, now + share - Duration::from_micros(1)));
            assert!(!bucket.is_full(empty_at, now + share));
        }
    }

    #[test]
    fn is_empty_after_its_time_however_full_it_was() {
        let bucket = Bucket::from(Limit { count: 3, within: Duration::from_secs(60) });
        let now = Duration::from_secs(100);
        assert_eq!(bucket.full_at(now), 160_000_000);
        assert_eq!(bucket.after_one_more(0, now), 120_000_000);
        assert_eq!(bucket.after_one_more(150_000_000, now), 170_000_000);
        // More events than microseconds: each event takes at least one.
        let fine = Bucket::from(Limit { count: u32::MAX, within: Duration::from_secs(1) });
        assert_eq!(fine.after_one_more(0, now), 100_000_001);
    }
}
