//! When is the file written, and when is the database asked?

use std::time::{Duration, Instant};

/// How often the database is asked for changes.
pub(crate) const ASK: Duration = Duration::from_millis(200);

/// Asking may take one part of the time in this many.
const ASKING: u32 = 5;

/// Writing may take one part of the time in this many.
const WRITING: u32 = 10;

/// Each broker reads the whole file again: so long a pause for each device keeps it to a part of one core.
const FOR_EACH_DEVICE: Duration = Duration::from_nanos(1200);

/// After a failure to write.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A change after a quiet time is published at once, and the next after a pause that grows with the table.
#[derive(Debug)]
pub(crate) struct Pace {
    least: Duration,
    next_write: Instant,
    next_ask: Instant,
}

impl Pace {
    pub(crate) fn new(least: Duration) -> Self {
        let now = Instant::now();
        Self { least, next_write: now, next_ask: now }
    }

    /// Whether the file may be written now.
    pub(crate) fn may_write(&self) -> bool {
        Instant::now() >= self.next_write
    }

    /// The file was written in a time.
    pub(crate) fn has_written(&mut self, took: Duration, devices: u64) {
        let devices = u32::try_from(devices).unwrap_or(u32::MAX);
        let pause = self.least.max(FOR_EACH_DEVICE * devices).max(took * (WRITING - 1));
        self.next_write = Instant::now() + pause;
    }

    pub(crate) fn has_failed(&mut self) {
        self.next_write = Instant::now() + AFTER_FAILURE;
    }

    /// The database has answered after a time.
    pub(crate) fn has_asked(&mut self, took: Duration) {
        self.next_ask = Instant::now() + ASK.max(took * (ASKING - 1));
    }

    /// How long to wait before the database is asked again.
    pub(crate) fn wait(&self) -> Duration {
        self.next_ask.saturating_duration_since(Instant::now())
    }
}

/// The pauses between attempts to connect: they grow, and differ among many followers.
#[derive(Debug, Default)]
pub(crate) struct Attempts(u32);

impl Attempts {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(20);

    pub(crate) fn succeeded(&mut self) {
        self.0 = 0;
    }

    /// Whether nothing has failed since the last success.
    pub(crate) fn is_first(&self) -> bool {
        self.0 == 0
    }

    /// How long to wait before the next attempt.
    pub(crate) fn failed(&mut self) -> Duration {
        let pause = (Self::FIRST * 2u32.saturating_pow(self.0.min(16))).min(Self::LONGEST);
        self.0 += 1;
        // The clock's nanoseconds are as good as random numbers for this.
        let share = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs() % 1000;
        pause.mul_f64(0.75 + f64::from(share) / 2000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_table() {
        let mut pace = Pace::new(Duration::from_millis(300));
        assert!(pace.may_write());
        for (took, devices, least) in [(0, 10, 300), (100, 10, 900), (10, 1_000_000, 1200)] {
            pace.has_written(Duration::from_millis(took), devices);
            let pause = pace.next_write.saturating_duration_since(Instant::now());
            assert!(
                pause > Duration::from_millis(least - 50) && pause <= Duration::from_millis(least)
            );
            assert!(!pace.may_write());
        }
    }

    #[test]
    fn attempts_become_rarer() {
        let mut attempts = Attempts::default();
        for most in [1, 2, 3, 5, 10, 20, 25, 25, 25] {
            assert!(attempts.failed() <= Duration::from_secs(most));
        }
        assert!(attempts.failed() >= Duration::from_secs(15));
        attempts.succeeded();
        assert!(attempts.failed() < Duration::from_secs(1));
    }
}
