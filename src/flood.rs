//! How much of a flood is told? The first few refusals of each reason a minute in full, the rest as a number.

use crate::login::Refusal;
use std::{fmt, time::Duration};

/// So many refusals of each reason are told in full, each minute.
pub const IN_FULL: u64 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// The refusals of the minute that runs.
#[derive(Debug, Default)]
pub struct Flood {
    began: Option<Duration>,
    counts: [u64; Refusal::ALL.len()],
}

/// How many refusals were left out, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut([u64; Refusal::ALL.len()]);

impl Flood {
    /// Counts a refusal, and says whether it is to be told. `now` counts from any fixed point; what an earlier minute
    /// left out is to be asked for first.
    pub fn tell(&mut self, reason: Refusal, now: Duration) -> bool {
        self.began.get_or_insert(now);
        self.counts.get_mut(reason as usize).is_none_or(|count| {
            *count = count.saturating_add(1);
            *count <= IN_FULL
        })
    }

    /// What was left out, once the minute is over. The time is asked for only while a minute runs: 2.0 has a TICK for each
    /// turn of its loop.
    pub fn minute_over(&mut self, now: impl FnOnce() -> Duration) -> Option<LeftOut> {
        let over = self.began.is_some_and(|began| now().saturating_sub(began) >= MINUTE);
        if over { self.end() } else { None }
    }

    /// What was left out so far; a new minute begins with the next refusal.
    pub fn end(&mut self) -> Option<LeftOut> {
        let Self { counts, .. } = std::mem::take(self);
        let left_out = counts.map(|count| count.saturating_sub(IN_FULL));
        left_out.iter().any(|count| *count > 0).then_some(LeftOut(left_out))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} more, not shown:",
            self.0.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))
        )?;
        for (reason, count) in Refusal::ALL.iter().zip(self.0) {
            if count > 0 {
                write!(f, " {}={count}", reason.slug())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(5 + seconds)
    }

    #[test]
    fn ten_of_each_reason_are_told_each_minute() {
        let mut flood = Flood::default();
        for minute in [0, 60, 120] {
            let mut told = 0;
            for _ in 0..1000 {
                told += u32::from(flood.tell(Refusal::WrongPassword, at(minute)));
            }
            assert_eq!(told, 10);
            assert!(flood.tell(Refusal::UnknownDevice, at(minute + 1)));
            assert_eq!(flood.minute_over(|| at(minute + 59)), None);
            let left_out = flood.minute_over(|| at(minute + 60)).unwrap().to_string();
            assert_eq!(left_out, "990 more, not shown: wrong_password=990");
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_was_left_out() {
        let mut flood = Flood::default();
        assert_eq!(flood.minute_over(|| at(600)), None);
        for _ in 0..10 {
            flood.tell(Refusal::Frozen, at(0));
        }
        assert_eq!(flood.minute_over(|| at(60)), None);
        assert_eq!(flood.end(), None);
    }
}
