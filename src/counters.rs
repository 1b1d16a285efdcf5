//! What has happened since the start, in numbers.

use iotda_core::login::Refusal;
use std::{cell::Cell, fmt};

/// The counters of one instance of the plugin. They only grow, and stop at the largest number.
#[derive(Debug, Default)]
pub struct Counters {
    /// CONNECTs that were accepted.
    pub accepted: Counter,
    /// CONNECTs that were left to the password file and other plugins.
    pub deferred: Counter,
    /// CONNECTs that were refused, by reason.
    refused: [Counter; Refusal::ALL.len()],
    /// Sessions that the broker asked about again.
    pub rechecked: Counter,
    /// Connections that were ended: by a reload, by a new login of the device, or because the plugin was not asked about
    /// them.
    pub disconnected: Counter,
    /// Logins that replaced a live connection of the same device, with the same ClientId or another.
    pub takeovers: Counter,
    /// Messages to a device that was not connected.
    pub undelivered: Counter,
    /// Reloads that put a table in force.
    pub reloads: Counter,
    /// Reloads that failed.
    pub failed_reloads: Counter,
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl Counters {
    /// Counts a refusal.
    pub fn add_refusal(&self, reason: Refusal) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.add();
        }
    }

    /// CONNECTs that were refused for a reason.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused.get(reason as usize).map_or(0, Counter::get)
    }

    /// All CONNECTs that were refused.
    #[must_use]
    pub fn refused_in_all(&self) -> u64 {
        self.refused.iter().map(Counter::get).fold(0, u64::saturating_add)
    }
}

impl fmt::Display for Counters {
    /// All counters in one line; of the reasons, only those that occurred.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            deferred,
            rechecked,
            disconnected,
            takeovers,
            undelivered,
            reloads,
            failed_reloads,
            ..
        } = self;
        write!(
            f,
            "accepted={} deferred={} refused={}",
            accepted.get(),
            deferred.get(),
            self.refused_in_all()
        )?;
        for (reason, counter) in Refusal::ALL.iter().zip(&self.refused) {
            if counter.get() > 0 {
                write!(f, " {}={}", reason.id(), counter.get())?;
            }
        }
        write!(
            f,
            " rechecked={} disconnected={} takeovers={} undelivered={} reloads={} failed_reloads={}",
            rechecked.get(),
            disconnected.get(),
            takeovers.get(),
            undelivered.get(),
            reloads.get(),
            failed_reloads.get()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for (count, reason) in (1u64..).zip(Refusal::ALL) {
            for _ in 0..count {
                counters.add_refusal(reason);
            }
        }
        let mut sum = 0;
        for (count, reason) in (1u64..).zip(Refusal::ALL) {
            assert_eq!(counters.refused(reason), count);
            sum += count;
        }
        assert_eq!(counters.refused_in_all(), sum);
    }

    #[test]
    fn are_told_in_one_line() {
        let counters = Counters::default();
        counters.accepted.add();
        counters.add_refusal(Refusal::WrongPassword);
        assert_eq!(
            counters.to_string(),
            "accepted=1 deferred=0 refused=1 wrong_password=1 rechecked=0 disconnected=0 takeovers=0 undelivered=0 reloads=0 failed_reloads=0"
        );
    }
}
