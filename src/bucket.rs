//! How full is a bucket that leaks? One number says it: when all that is in it will have leaked.

use iotda_core::options::Limit;
use std::time::Duration;

/// A limit as buckets have it. Times are in microseconds from any fixed point.
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

/// In microseconds, as far as they go.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
