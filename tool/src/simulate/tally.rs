//! What has happened? All devices count here.

use crate::{connack::Code, mqtt::Fault};
use iotda_core::login::SignType;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Numbers that only grow, but for the two that say how many there are now.
#[derive(Default)]
pub(super) struct Tally {
    /// Devices that have not ended yet.
    running: AtomicU64,
    /// Devices that are logged in now.
    online: AtomicU64,
    /// Devices that were let in at least once.
    let_in: AtomicU64,
    reports: AtomicU64,
    answers: AtomicU64,
    messages: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
    times: Mutex<Times>,
    refusals: Mutex<BTreeMap<(u8, u8), Refused>>,
    faults: Mutex<BTreeMap<&'static str, Failed>>,
    fatal: Mutex<Option<Fault>>,
    /// What should be told soon: the first refusal and the first fault of each kind.
    news: Mutex<Vec<String>>,
}

/// The refusals with one code, of one sign type.
#[derive(Clone, Copy)]
pub(super) struct Refused {
    pub(super) code: Code,
    pub(super) sign_type: SignType,
    pub(super) count: u64,
}

/// The logins without an answer, or the connections that were lost, for one cause.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) first: Fault,
    pub(super) count: u64,
}

/// The numbers at one time.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) online: u64,
    pub(super) let_in: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) failures: u64,
    pub(super) lost: u64,
    pub(super) reports: u64,
    pub(super) answers: u64,
    pub(super) messages: u64,
}

impl Tally {
    pub(super) fn starts(&self) {
        add(&self.running);
    }

    pub(super) fn ends(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many devices have not ended yet.
    pub(super) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// A login took so long; is it the device's first?
    pub(super) fn accepted(&self, took: Duration, is_first: bool) {
        add(&self.online);
        if is_first {
            add(&self.let_in);
        }
        held(&self.times).add(took);
    }

    /// A device was refused.
    pub(super) fn refused(&self, code: Code, sign_type: SignType) {
        let mut refusals = held(&self.refusals);
        let refused = refusals.entry((code.code, sign_type.digit())).or_insert(Refused {
            code,
            sign_type,
            count: 0,
        });
        refused.count += 1;
        if refused.count == 1 {
            self.tell(format!("refused: CONNACK {}, {}", code.shown(), code.words()));
        }
    }

    /// A login had no answer. One that can have none ends everything.
    pub(super) fn failed(&self, fault: &Fault) {
        add(&self.failures);
        if fault.may_pass() {
            self.note(fault);
        } else {
            held(&self.fatal).get_or_insert_with(|| fault.clone());
        }
    }

    /// A device left as it should.
    pub(super) fn left(&self) {
        self.online.fetch_sub(1, Ordering::Relaxed);
    }

    /// A device was disconnected.
    pub(super) fn lost(&self, fault: &Fault) {
        self.left();
        add(&self.lost);
        self.note(fault);
    }

    /// Counts a fault. The first one of its kind is told.
    fn note(&self, fault: &Fault) {
        let mut faults = held(&self.faults);
        let failed =
            faults.entry(fault.id()).or_insert_with(|| Failed { first: fault.clone(), count: 0 });
        failed.count += 1;
        if failed.count == 1 {
            self.tell(fault.to_string());
        }
    }

    fn tell(&self, line: String) {
        held(&self.news).push(line);
    }

    /// What has happened for the first time since this was asked.
    pub(super) fn news(&self) -> Vec<String> {
        std::mem::take(&mut *held(&self.news))
    }

    pub(super) fn reported(&self) {
        add(&self.reports);
    }

    pub(super) fn answered(&self) {
        add(&self.answers);
    }

    pub(super) fn got_message(&self) {
        add(&self.messages);
    }

    /// Why there is no use in going on.
    pub(super) fn fatal(&self) -> Option<Fault> {
        held(&self.fatal).clone()
    }

    pub(super) fn refusals(&self) -> Vec<Refused> {
        held(&self.refusals).values().copied().collect()
    }

    pub(super) fn faults(&self) -> Vec<Failed> {
        held(&self.faults).values().cloned().collect()
    }

    /// The time within which so many of 100 logins were answered, in milliseconds.
    pub(super) fn milliseconds(&self, percent: u64) -> u64 {
        held(&self.times).within(percent)
    }

    pub(super) fn now(&self) -> Now {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Now {
            online: read(&self.online),
            let_in: read(&self.let_in),
            accepted: held(&self.times).count,
            refused: held(&self.refusals).values().map(|refused| refused.count).sum(),
            failures: read(&self.failures),
            lost: read(&self.lost),
            reports: read(&self.reports),
            answers: read(&self.answers),
            messages: read(&self.messages),
        }
    }
}

fn add(number: &AtomicU64) {
    number.fetch_add(1, Ordering::Relaxed);
}

/// A thread that panicked has left a number as it was, at worst.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many logins took so many milliseconds. A fleet may log in for days.
#[derive(Default)]
struct Times {
    count: u64,
    counts: BTreeMap<u64, u64>,
}

impl Times {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        *self.counts.entry(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).or_default() += 1;
    }

    fn within(&self, percent: u64) -> u64 {
        let mut left = self.count.saturating_mul(percent).div_ceil(100);
        for (time, count) in &self.counts {
            if left <= *count {
                return *time;
            }
            left -= count;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_share() {
        let mut times = Times::default();
        assert_eq!(times.within(50), 0);
        for took in (1..=100).rev() {
            times.add(Duration::from_millis(took));
        }
        assert_eq!([1, 50, 95, 100].map(|percent| times.within(percent)), [1, 50, 95, 100]);
        times.add(Duration::from_millis(5000));
        assert_eq!([50, 100].map(|percent| times.within(percent)), [51, 5000]);
    }
}
