//! What has a device subscribed to by itself, of what it is subscribed to without asking? On a 2.1, whose broker keeps both.
//!
//! The broker's own list cannot be read. What a session subscribes to is noted as it comes, and kept while the session is
//! offline: a resumed one has its filters still.
//!
//! # Limits
//!
//! A filter is known by a 64-bit hash. Of more than [`MOST`] filters of one session, which no device has, the others count
//! as never taken back.

use crate::sessions::ClientHandle;
use iotda_core::topics::Set;
use rustc_hash::FxBuildHasher;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::BuildHasher,
};

/// So many of a session's own filters are told apart.
pub const MOST: usize = 64;

/// So many offline sessions are looked at in one turn, whether the broker still has them.
const AT_A_TIME: usize = 32;

/// A session's own filters that cover any of those which it is subscribed to without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFilters {
    known: Vec<(u64, Set)>,
    for_good: Set,
    /// Whether a filter that the session is to have without asking is still to be added again.
    is_short: bool,
}

impl OwnFilters {
    /// What they cover together.
    #[must_use]
    pub fn covered(&self) -> Set {
        self.known.iter().fold(self.for_good, |set, (_, covers)| set.and(*covers))
    }

    fn add(&mut self, filter: u64, covers: Set) {
        if self.known.iter().any(|(known, _)| *known == filter) {
            return;
        }
        if self.known.len() < MOST {
            self.known.push((filter, covers));
        } else {
            self.for_good = self.for_good.and(covers);
        }
    }

    fn remove(&mut self, filter: u64) {
        self.known.retain(|(known, _)| *known != filter);
    }
}

/// What is known of the sessions of one broker.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// Those of connected sessions that have any.
    live: HashMap<ClientHandle, OwnFilters, FxBuildHasher>,
    /// Connected sessions of which nothing is known: they are older than this process, or their filters are not ours to
    /// know. They are left as they are.
    unknown: HashSet<ClientHandle, FxBuildHasher>,
    /// Those of the session that has ended last, by the hash of its id: a session that another connection takes over
    /// ends right before it goes on.
    ended: Option<(u64, OwnFilters)>,
    /// Those of sessions without a connection, by id; `None` for one that has come back and is still in `to_ask`.
    offline: HashMap<Box<[u8]>, Option<OwnFilters>>,
    /// The keys of `offline`, each once, in the order in which the broker is asked about them.
    to_ask: VecDeque<Box<[u8]>>,
}

/// What a change of a session's own filters covers, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Before.
    pub before: Set,
    /// After.
    pub after: Set,
}

impl Subscriptions {
    /// A session has connected, and the broker has so many filters of it already. Where it is to be subscribed, since it
    /// begins anew or something was still to be added, says what its own filters cover.
    pub fn connected(&mut self, client: ClientHandle, id: &[u8], filters: usize) -> Option<Set> {
        self.forget(client);
        let ended = self.ended.take();
        let offline = if self.offline.is_empty() { None } else { self.offline.get_mut(id) };
        let offline = offline.and_then(Option::take);
        if filters == 0 {
            return Some(Set::NONE);
        }
        let ended = ended.filter(|(hash, _)| *hash == hash_of(id)).map(|(_, own)| own);
        match ended.or(offline) {
            Some(own) if own == OwnFilters::default() => None,
            Some(mut own) => {
                let is_short = std::mem::take(&mut own.is_short);
                let covered = own.covered();
                self.live.insert(client, own);
                is_short.then_some(covered)
            }
            None => {
                self.unknown.insert(client);
                None
            }
        }
    }

    /// A session has subscribed to a filter. `None` if it is one of which nothing is known.
    pub fn subscribed(
        &mut self,
        client: ClientHandle,
        filter: &[u8],
        covers: Set,
    ) -> Option<Covered> {
        if self.unknown.contains(&client) {
            return None;
        }
        let own = self.live.entry(client).or_default();
        let before = own.covered();
        own.add(hash_of(filter), covers);
        Some(Covered { before, after: own.covered() })
    }

    /// A session has taken back a filter. `None` if it is one of which nothing is known.
    pub fn unsubscribed(&mut self, client: ClientHandle, filter: &[u8]) -> Option<Covered> {
        if self.unknown.contains(&client) {
            return None;
        }
        let Some(own) = self.live.get_mut(&client) else {
            return Some(Covered { before: Set::NONE, after: Set::NONE });
        };
        let before = own.covered();
        own.remove(hash_of(filter));
        Some(Covered { before, after: own.covered() })
    }

    /// A filter of a connected session is to be added again, once the broker has removed it; also if the session goes on with
    /// another connection. Says whether that is new.
    pub fn falls_short(&mut self, client: ClientHandle) -> bool {
        !std::mem::replace(&mut self.live.entry(client).or_default().is_short, true)
    }

    /// What is to be added again is, now. Says what the session's own filters cover; `None` if there is nothing to be added.
    pub fn make_up(&mut self, client: ClientHandle) -> Option<Set> {
        let own = self.live.get_mut(&client)?;
        std::mem::take(&mut own.is_short).then(|| own.covered())
    }

    /// What a connected session's own filters cover; `None` if nothing is known of it.
    #[cfg(test)]
    #[must_use]
    pub fn covered(&self, client: ClientHandle) -> Option<Set> {
        if self.unknown.contains(&client) {
            return None;
        }
        Some(self.live.get(&client).map(OwnFilters::covered).unwrap_or_default())
    }

    /// A session has ended, or is about to go on with another connection.
    pub fn ended(&mut self, client: ClientHandle, id: &[u8]) {
        if let Some(own) = self.forget(client) {
            self.ended = Some((hash_of(id), own));
        }
    }

    /// A session has no connection any more, and stays.
    pub fn went_offline(&mut self, client: ClientHandle, id: &[u8]) {
        if let Some(own) = self.forget(client) {
            if self.offline.insert(id.into(), Some(own)).is_none() {
                self.to_ask.push_back(id.into());
            }
        }
    }

    /// Forgets offline sessions that the broker no longer has, a few in each turn.
    pub fn tidy(&mut self, mut is_there: impl FnMut(&[u8]) -> bool) {
        for _ in 0..AT_A_TIME.min(self.to_ask.len()) {
            let Some(id) = self.to_ask.pop_front() else { return };
            let is_offline = self.offline.get(&id).is_some_and(Option::is_some);
            if is_offline && is_there(&id) {
                self.to_ask.push_back(id);
            } else {
                self.offline.remove(&id);
            }
        }
    }

    /// What was known of a connected session; `None` if nothing was.
    fn forget(&mut self, client: ClientHandle) -> Option<OwnFilters> {
        if self.unknown.remove(&client) {
            return None;
        }
        Some(self.live.remove(&client).unwrap_or_default())
    }
}

/// Only a device itself could make two of its own filters alike, and only to its own harm.
fn hash_of(text: &[u8]) -> u64 {
    FxBuildHasher.hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iotda_core::topics::covered_by;

    const A: ClientHandle = ClientHandle(1);
    const B: ClientHandle = ClientHandle(2);
    const COMMANDS: &[u8] = b"$oc/devices/lamp/sys/commands/#";
    const ALL: &[u8] = b"$oc/devices/lamp/sys/#";

    fn set(filter: &[u8]) -> Set {
        covered_by(filter, b"lamp")
    }

    fn subscribe(to: &mut Subscriptions, client: ClientHandle, filter: &[u8]) -> Option<Set> {
        to.subscribed(client, filter, set(filter)).map(|covered| covered.after)
    }

    #[test]
    fn what_is_subscribed_twice_is_taken_back_at_once() {
        let mut all = Subscriptions::default();
        assert_eq!(all.connected(A, b"a", 0), Some(Set::NONE));
        assert_eq!(all.covered(A), Some(Set::NONE));
        assert_eq!(subscribe(&mut all, A, COMMANDS), Some(set(COMMANDS)));
        assert_eq!(subscribe(&mut all, A, COMMANDS), Some(set(COMMANDS)));
        assert_eq!(subscribe(&mut all, A, ALL), Some(set(ALL)));
        let covered = all.unsubscribed(A, ALL).unwrap();
        assert_eq!(covered, Covered { before: set(ALL), after: set(COMMANDS) });
        assert_eq!(all.unsubscribed(A, COMMANDS).unwrap().after, Set::NONE);
        assert_eq!(all.unsubscribed(A, COMMANDS).unwrap().before, Set::NONE);
        let none = Covered { before: Set::NONE, after: Set::NONE };
        assert_eq!(all.unsubscribed(B, COMMANDS), Some(none));
    }

    #[test]
    fn what_is_to_be_added_again_is_not_lost_with_the_connection() {
        let mut all = Subscriptions::default();
        all.connected(A, b"a", 0);
        assert!(all.falls_short(A) && !all.falls_short(A));
        all.went_offline(A, b"a");
        assert_eq!(all.connected(B, b"a", 3), Some(Set::NONE));
        assert_eq!(all.make_up(B), None);
        subscribe(&mut all, B, COMMANDS);
        all.falls_short(B);
        all.ended(B, b"a");
        assert_eq!(all.connected(A, b"a", 3), Some(set(COMMANDS)));
        all.falls_short(A);
        assert_eq!((all.make_up(A), all.make_up(A)), (Some(set(COMMANDS)), None));
        all.ended(A, b"a");
        assert_eq!(all.connected(B, b"a", 4), None);
    }

    #[test]
    fn a_resumed_session_has_its_filters_still() {
        let mut all = Subscriptions::default();
        assert_eq!(all.connected(A, b"a", 0), Some(Set::NONE));
        subscribe(&mut all, A, COMMANDS);
        all.went_offline(A, b"a");
        assert_eq!(all.connected(B, b"a", 4), None);
        assert_eq!(all.covered(B), Some(set(COMMANDS)));
        // Taken over: the broker ends the one before the other comes.
        all.ended(B, b"a");
        assert_eq!(all.connected(A, b"a", 4), None);
        assert_eq!(all.covered(A), Some(set(COMMANDS)));
        // One that begins anew has none.
        all.ended(A, b"a");
        assert_eq!(all.connected(B, b"a", 0), Some(Set::NONE));
        assert_eq!(all.covered(B), Some(Set::NONE));
    }

    #[test]
    fn a_session_that_is_older_than_the_process_is_left_alone() {
        let mut all = Subscriptions::default();
        assert_eq!(all.connected(A, b"a", 5), None);
        assert_eq!((all.covered(A), subscribe(&mut all, A, COMMANDS)), (None, None));
        // And stays so, until it begins anew.
        all.went_offline(A, b"a");
        assert_eq!(all.connected(B, b"a", 5), None);
        assert_eq!(all.covered(B), None);
        all.ended(B, b"a");
        assert_eq!(all.connected(B, b"a", 0), Some(Set::NONE));
        assert_eq!(all.covered(B), Some(Set::NONE));
        // What another session has left is not its own.
        all.ended(B, b"a");
        assert_eq!(all.connected(A, b"b", 1), None);
        assert_eq!(all.covered(A), None);
    }

    #[test]
    fn what_the_broker_no_longer_has_is_forgotten() {
        let mut all = Subscriptions::default();
        for number in 0..100u8 {
            let client = ClientHandle(number.into());
            all.connected(client, &[number], 0);
            subscribe(&mut all, client, COMMANDS);
            all.went_offline(client, &[number]);
        }
        all.connected(A, &[7], 4);
        for _ in 0..8 {
            all.tidy(|id| id[0] % 2 == 0);
        }
        assert_eq!((all.offline.len(), all.to_ask.len()), (50, 50));
        for _ in 0..8 {
            all.tidy(|_| false);
        }
        assert_eq!((all.offline.len(), all.to_ask.len()), (0, 0));
        assert_eq!(all.covered(A), Some(set(COMMANDS)));
    }

    #[test]
    fn a_session_that_comes_and_goes_takes_no_more_memory() {
        let mut all = Subscriptions::default();
        all.connected(A, b"a", 0);
        for _ in 0..1000 {
            all.went_offline(A, b"a");
            all.connected(A, b"a", 4);
        }
        assert_eq!((all.offline.len(), all.to_ask.len()), (1, 1));
        all.tidy(|_| true);
        assert_eq!((all.offline.len(), all.to_ask.len()), (0, 0));
    }

    #[test]
    fn a_session_with_very_many_filters_takes_no_more_memory() {
        let mut own = OwnFilters::default();
        for filter in 0..1000 {
            own.add(filter, set(COMMANDS));
        }
        assert_eq!(own.known.len(), MOST);
        for filter in 0..1000 {
            own.remove(filter);
        }
        assert_eq!(own.covered(), set(COMMANDS));
    }
}
