//! How many refusals are logged when there are very many? Each minute: one for each client, a few more for each reason,
//! and the rest as a count.
//!
//! There are two budgets, so that one noisy client cannot hide the others. A client's first line for a reason is written
//! while fewer than [`FIRST`] such lines were written in the minute. Its further lines for that reason use the reason's own
//! [`AGAIN`], so they take nothing from other clients. When the first budget is used up, new clients use the second one
//! too: each reason always gets its first lines.
//!
//! A third budget limits how many refusals a minute are looked at again, to say what is wrong with their passwords. It counts
//! those whose device was looked up, whatever the reason and whether or not their line is written: otherwise the time of an
//! answer would tell which devices exist.
//!
//! # Limits
//!
//! A client is identified by the ClientId that it sent. One that changes it each time counts as many clients, and may use
//! up the first budget. Two clients whose keyed 64-bit hashes are equal count as one.

use crate::login::{Refusal, connect::MAX_FIELD};
use hashbrown::{HashTable, hash_table::Entry};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// How many first lines of clients are written each minute, for all reasons together. A client that is refused for two
/// reasons counts twice.
pub const FIRST: usize = 100;
/// How many further lines are written each minute for each reason.
pub const AGAIN: u64 = 10;
/// How many refusals are looked at again each minute, for all reasons together: a small part of the broker's time, also on a
/// CPU without instructions for SHA-256.
pub const RECOGNISED: u64 = 600;
const MINUTE: Duration = Duration::from_secs(60);

/// The refusals of the current minute.
pub struct LogBudget {
    began: Option<Duration>,
    /// Hashes of reason and client, one for each first line that was written: never more than [`FIRST`].
    seen: HashTable<u64>,
    hasher: RandomState,
    /// Further lines that were written, by reason.
    others: [u64; Refusal::ALL.len()],
    /// Refusals that were looked at again, and those that were not.
    recognised: u64,
}

/// How many refusals were left out, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut([u64; Refusal::ALL.len()]);

impl Default for LogBudget {
    /// A minute that has not begun. All the memory that is ever needed is allocated here.
    fn default() -> Self {
        Self {
            began: None,
            seen: HashTable::with_capacity(FIRST),
            hasher: RandomState::new(),
            others: Default::default(),
            recognised: 0,
        }
    }
}

impl fmt::Debug for LogBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBudget")
            .field("began", &self.began)
            .field("seen", &self.seen.len())
            .field("others", &self.others)
            .field("recognised", &self.recognised)
            .finish_non_exhaustive()
    }
}

impl LogBudget {
    /// Counts a refusal of a client, given by the ClientId that it sent, and says whether to log it. `now` counts from any
    /// fixed point. The caller must first ask for what an earlier minute left out.
    pub fn tell(&mut self, reason: Refusal, client: Option<&[u8]>, now: Duration) -> bool {
        self.began.get_or_insert(now);
        // No line shows more than that, and a client may send 65,535 bytes.
        let client = client.unwrap_or_default();
        let client = client.get(..MAX_FIELD).unwrap_or(client);
        let hash = self.hasher.hash_one((reason, client));
        let is_full = self.seen.len() >= FIRST;
        if let Entry::Vacant(place) = self.seen.entry(hash, |seen| *seen == hash, |seen| *seen) {
            if !is_full {
                place.insert(hash);
                return true;
            }
        }
        self.others.get_mut(reason as usize).is_none_or(|count| {
            *count = count.saturating_add(1);
            *count <= AGAIN
        })
    }

    /// Whether to look again at a refusal of a client whose device was looked up. `now` as in [`LogBudget::tell`].
    pub fn may_recognise(&mut self, now: Duration) -> bool {
        self.began.get_or_insert(now);
        self.recognised = self.recognised.saturating_add(1);
        self.recognised <= RECOGNISED
    }

    /// What was left out, once the minute is over. The time is asked for only while a minute runs: 2.0 has a TICK for each
    /// turn of its loop.
    pub fn minute_over(&mut self, now: impl FnOnce() -> Duration) -> Option<LeftOut> {
        let over = self.began.is_some_and(|began| now().saturating_sub(began) >= MINUTE);
        if over { self.end() } else { None }
    }

    /// What was left out so far; a new minute begins with the next refusal.
    pub fn end(&mut self) -> Option<LeftOut> {
        self.began = None;
        self.seen.clear();
        self.recognised = 0;
        let left_out = std::mem::take(&mut self.others).map(|count| count.saturating_sub(AGAIN));
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
                write!(f, " {}={count}", reason.id())?;
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
    fn a_client_is_told_once_and_ten_times_again_each_minute() {
        let mut budget = LogBudget::default();
        for minute in [0, 60, 120] {
            let mut told = 0;
            for _ in 0..1000 {
                told += u32::from(budget.tell(Refusal::WrongPassword, Some(b"a"), at(minute)));
            }
            assert_eq!(told, 11);
            assert!(budget.tell(Refusal::UnknownDevice, Some(b"a"), at(minute + 1)));
            assert_eq!(budget.minute_over(|| at(minute + 59)), None);
            let left_out = budget.minute_over(|| at(minute + 60)).unwrap().to_string();
            assert_eq!(left_out, "989 more, not shown: wrong_password=989");
        }
    }

    #[test]
    fn a_loud_client_hides_nobody() {
        let mut budget = LogBudget::default();
        for n in 0..99u8 {
            for _ in 0..100 {
                budget.tell(Refusal::WrongPassword, Some(b"loud"), at(0));
            }
            assert!(budget.tell(Refusal::WrongPassword, Some(&[b'c', n]), at(0)), "{n}");
            assert!(!budget.tell(Refusal::WrongPassword, Some(&[b'c', n]), at(0)), "{n}");
        }
    }

    #[test]
    fn a_flood_of_clients_stays_within_the_bound() {
        let mut budget = LogBudget::default();
        let room = budget.seen.allocation_size();
        let mut told = 0;
        for n in 0..100_000u32 {
            let client = n.to_be_bytes();
            told += usize::from(budget.tell(Refusal::UnknownDevice, Some(&client), at(0)));
        }
        assert_eq!(told, 110);
        assert_eq!((budget.seen.len(), budget.seen.allocation_size()), (100, room));
        // It does not hide refusals for another reason either, which has ten separate lines.
        for n in 0..11u8 {
            assert_eq!(budget.tell(Refusal::WrongPassword, Some(&[n]), at(1)), n < 10, "{n}");
        }
        let left_out = budget.minute_over(|| at(60)).unwrap().to_string();
        assert_eq!(left_out, "99891 more, not shown: unknown_device=99890 wrong_password=1");
        assert!(budget.tell(Refusal::UnknownDevice, Some(b"a"), at(60)));
    }

    #[test]
    fn no_client_id_is_an_empty_one_and_a_long_one_is_what_the_log_shows_of_it() {
        let mut budget = LogBudget::default();
        let (none, empty): (Option<&[u8]>, &[u8]) = (None, b"");
        let (short, long) = ([b'a'; 256], [b'a'; 60_000]);
        for (client, other) in [(none, empty), (Some(&short), &long)] {
            assert!(budget.tell(Refusal::BadClientId, client, at(0)));
            for _ in 0..5 {
                assert!(budget.tell(Refusal::BadClientId, Some(other), at(0)));
            }
        }
        assert!(!budget.tell(Refusal::BadClientId, None, at(0)));
        assert!(budget.tell(Refusal::BadClientId, Some(&[b'a'; 255]), at(0)));
    }

    #[test]
    fn as_many_are_looked_at_again_each_minute_whether_or_not_they_are_told() {
        let mut budget = LogBudget::default();
        for minute in [0, 60] {
            let mut count = 0;
            for n in 0..10_000 {
                let second = minute + n / 200;
                count += u64::from(budget.may_recognise(at(second)));
                budget.tell(Refusal::WrongPassword, Some(b"a"), at(second));
            }
            assert_eq!(count, RECOGNISED);
            assert!(budget.minute_over(|| at(minute + 60)).is_some());
        }
        // A minute begins with the first.
        assert!(budget.may_recognise(at(200)));
        assert_eq!(budget.minute_over(|| at(259)), None);
        assert_eq!(budget.recognised, 1);
        assert_eq!(budget.minute_over(|| at(260)), None);
        assert_eq!(budget.recognised, 0);
    }

    #[test]
    fn nothing_is_said_where_nothing_was_left_out() {
        let mut budget = LogBudget::default();
        assert_eq!(budget.minute_over(|| at(600)), None);
        for _ in 0..11 {
            budget.tell(Refusal::Frozen, Some(b"a"), at(0));
        }
        assert_eq!(budget.minute_over(|| at(60)), None);
        assert_eq!(budget.end(), None);
    }
}
