//! When may the next device log in, and is it time to end?

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Gives each login its turn, so many a second.
pub(super) struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// So many a second, the first one at `begin`.
    pub(super) fn new(rate: u32, begin: Instant) -> Self {
        Self { gap: Duration::from_secs(1) / rate.max(1), next: Mutex::new(begin) }
    }

    /// Waits until that time, and then for the next turn; false if it is time to end before.
    pub(super) fn wait(&self, earliest: Instant, stop: &Stop) -> bool {
        // A turn that was taken before would keep all others waiting as long.
        stop.wait_until(earliest) && stop.wait_until(self.turn(Instant::now()))
    }

    /// The next turn, not before now. It is used up.
    fn turn(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(now);
        *next = turn + self.gap;
        turn
    }
}

/// Whether it is time to end.
#[derive(Default)]
pub(super) struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// It is.
    pub(super) fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether it is.
    pub(super) fn is_set(&self) -> bool {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until then; false if it is time to end before.
    pub(super) fn wait_until(&self, then: Instant) -> bool {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let left = then.saturating_duration_since(Instant::now());
        let (is_set, _) = self
            .changed
            .wait_timeout_while(is_set, left, |is_set| !*is_set)
            .unwrap_or_else(PoisonError::into_inner);
        !*is_set
    }
}

/// How long a device waits before it logs in again: twice as long each time, up to a limit, as SDKs do. Devices that were
/// disconnected together do not come back together: each has its own share of a quarter of the time.
pub(super) fn pause(failures: u32, number: usize) -> Duration {
    const LONGEST: Duration = Duration::from_secs(30);
    let pause = Duration::from_secs(1 << failures.saturating_sub(1).min(5)).min(LONGEST);
    let share = u32::try_from(number.wrapping_mul(7) % 16).unwrap_or_default();
    pause - pause / 4 * share / 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_the_rate_and_are_not_saved_up() {
        let begin = Instant::now();
        let pace = Pace::new(10, begin);
        let tenths = |turn: Instant| (turn - begin).as_millis() / 100;
        let turns: Vec<_> = [0, 0, 0, 10, 0]
            .into_iter()
            .map(|now| tenths(pace.turn(begin + Duration::from_millis(100 * now))))
            .collect();
        assert_eq!(turns, [0, 1, 2, 10, 11]);
    }

    #[test]
    fn who_waits_long_keeps_nobody_waiting() {
        let (begin, stop) = (Instant::now(), Stop::default());
        let pace = Pace::new(10, begin);
        std::thread::scope(|scope| {
            let refused = scope.spawn(|| pace.wait(begin + Duration::from_secs(600), &stop));
            // Whether the other thread has begun or not, these have their turns at once.
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(20));
                assert!(pace.wait(Instant::now(), &stop));
            }
            stop.set();
            assert!(!refused.join().unwrap());
        });
        assert!(begin.elapsed() < Duration::from_secs(300));
    }

    #[test]
    fn a_pause_doubles_up_to_a_limit() {
        let seconds: Vec<_> = (1..8).map(|failures| pause(failures, 0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        for number in 0..100 {
            let pause = pause(3, number);
            assert!((3000..=4000).contains(&pause.as_millis()), "{pause:?}");
        }
    }

    #[test]
    fn an_end_is_not_waited_for() {
        let stop = Stop::default();
        let soon = Instant::now() + Duration::from_millis(10);
        assert!(stop.wait_until(soon) && Instant::now() >= soon);
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| stop.wait_until(Instant::now() + Duration::from_secs(600)));
            stop.set();
            assert!(!waiting.join().unwrap());
        });
        assert!(stop.is_set());
    }
}
