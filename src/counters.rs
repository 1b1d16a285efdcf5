//! What has happened since the start, in numbers.

use iotda_core::login::{Kind, Refusal};
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
    /// Those of them of which more is known, by kind.
    recognised: [Counter; Kind::ALL.len()],
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

    /// Counts what a refusal was recognised as.
    pub fn add_kind(&self, kind: Kind) {
        if let Some(counter) = self.recognised.get(kind as usize) {
            counter.add();
        }
    }

    /// CONNECTs that were refused and recognised as this.
    #[must_use]
    pub fn recognised(&self, kind: Kind) -> u64 {
        self.recognised.get(kind as usize).map_or(0, Counter::get)
    }

    /// What the refusals were recognised as, in a text for the log; `None` if nothing was.
    #[must_use]
    pub fn kinds(&self) -> Option<Kinds<'_>> {
        self.recognised.iter().any(|counter| counter.get() > 0).then_some(Kinds(self))
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

/// The kinds that occurred, by reason: `wrong_password: 1 cut, 7 other; …`. A count stands before its word, so that it is not
/// taken for a counter, such as `takeovers=1`.
#[derive(Debug)]
pub struct Kinds<'a>(&'a Counters);

impl fmt::Display for Kinds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reason = None;
        for kind in Kind::ALL.into_iter().filter(|kind| self.0.recognised(*kind) > 0) {
            let last = reason.replace(kind.reason());
            if last == reason {
                f.write_str(",")?;
            } else {
                f.write_str(if last.is_some() { "; " } else { "" })?;
                write!(f, "{}:", kind.reason().id())?;
            }
            write!(f, " {} {}", self.0.recognised(kind), kind.id())?;
        }
        Ok(())
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

    #[test]
    fn kinds_are_told_by_reason() {
        let counters = Counters::default();
        assert!(counters.kinds().is_none());
        counters.add_kind(Kind::Other);
        let told = || counters.kinds().unwrap().to_string();
        assert_eq!(told(), "wrong_password: 1 other");
        for kind in [Kind::Cut, Kind::Tail, Kind::Epoch, Kind::Tail] {
            counters.add_kind(kind);
        }
        assert_eq!(told(), "bad_client_id: 1 epoch, 2 tail; wrong_password: 1 cut, 1 other");
    }

    /// However large the numbers are.
    #[test]
    fn all_kinds_fit_into_a_line() {
        let counters = Counters::default();
        for kind in Kind::ALL {
            counters.add_kind(kind);
            assert_eq!(counters.recognised(kind), 1);
        }
        let digits = Kind::ALL.len() * "9999999999".len();
        assert!(counters.kinds().unwrap().to_string().len() + digits < 900);
    }
}
