//! What goes down to devices, and what they are subscribed to for that?

use super::Model;
use crate::{
    broker::{Broker, NOT_ASKED_FOR, SUCCESS, Seen, Stands, UNSUBSCRIBE},
    check,
};
use std::collections::BTreeSet;

/// What the platform subscribes a device to, by what stands behind `$oc/devices/{device_id}/sys/`.
const TOPICS: [&str; 7] = [
    "messages/down",
    "events/down",
    "bootstrap/down",
    "commands/+",
    "properties/set/+",
    "properties/get/+",
    "shadow/get/response/+",
];
/// What the plugin has for several of them.
const GROUPS: [&str; 2] = ["+/down", "properties/+/+"];

const DEBUG: i32 = 16;

/// What is known of that.
#[derive(Debug, Default)]
pub struct Down {
    /// The names of sessions that had no filter when they came, so the plugin knows all that they have.
    begun: BTreeSet<Vec<u8>>,
    /// Names of which the plugin was told something that no broker says.
    doubtful: BTreeSet<Vec<u8>>,
    /// Names of sessions that may lack a filter until the next TICK.
    short: BTreeSet<Vec<u8>>,
    /// The client and the filter that the event is about.
    asked: Option<(Vec<u8>, Vec<u8>)>,
    /// The minute since the start of the last message that reached nobody, and how many were told in it.
    told: (i64, u32),
    undelivered: u64,
}

impl Down {
    /// It is not certain any more what the plugin knows of a session.
    pub fn doubt(&mut self, name: &Option<Vec<u8>>) {
        self.doubtful.extend(name.clone());
    }

    pub(super) fn connected(&mut self, name: &[u8], has_logged_in: bool, filters: usize) {
        self.short.remove(name);
        if !has_logged_in {
            self.begun.remove(name);
        } else if filters == 0 {
            self.begun.insert(name.to_vec());
        }
    }

    pub(super) fn tick(&mut self) {
        self.short.clear();
    }
}

impl Model {
    /// SUBSCRIBE or UNSUBSCRIBE.
    pub fn changes(&mut self, event: i32, slot: usize, name: &[u8], filter: &[u8], seen: &Seen) {
        let code = if self.is_2_1 { SUCCESS } else { NOT_ASKED_FOR };
        check!(seen.code == code && seen.kicks.is_empty() && seen.log.is_empty(), "{seen:?}");
        self.down.asked = Some((name.to_vec(), filter.to_vec()));
        let device_id = self.sessions.get(&slot).map(|session| &session.device_id);
        let is_ours =
            |rest: &&str| device_id.is_some_and(|device_id| below_sys(device_id, rest) == filter);
        if event == UNSUBSCRIBE && TOPICS.iter().chain(&GROUPS).any(is_ours) {
            self.down.short.insert(name.to_vec());
        }
    }

    /// After each event: what the plugin has had done is what it may do, and all are subscribed as they should be.
    pub fn check_filters(&mut self, broker: &mut Broker) {
        let asked = self.down.asked.take();
        let changes = broker.take_changes();
        if !self.is_2_1 || self.wanted.leaves_subscribing {
            check!(changes.is_empty(), "nobody is to be subscribed: {changes:?}");
            return;
        }
        for change in &changes {
            if self.down.doubtful.contains(&change.name) {
                continue;
            }
            if self.down.begun.contains(&change.name) {
                check!(change.was_own != Some(true), "it was the client's own: {change:?}");
                continue;
            }
            let is_covered = asked.as_ref().is_some_and(|(name, filter)| {
                *name == change.name && covers(filter, &change.filter) && *filter != change.filter
            });
            check!(!change.is_added && is_covered, "of an unknown session: {change:?} {asked:?}");
        }
        for (slot, session) in self.sessions.iter().filter(|(_, session)| session.is_live) {
            let name = &session.name;
            let is_there = broker.listed(*slot).is_some_and(|known| {
                known.stands == Stands::Online && known.sent.client_id.as_ref() == Some(name)
            });
            let is_known = self.down.begun.contains(name) && !self.down.doubtful.contains(name);
            if !is_there || !is_known {
                continue;
            }
            let filters = broker.filters(name);
            for topic in TOPICS.map(|rest| below_sys(&session.device_id, rest)) {
                let count = |is_own: bool| {
                    let covering = filters
                        .iter()
                        .filter(|filter| filter.is_own == is_own && covers(&filter.text, &topic));
                    covering.count()
                };
                let (count, should) = (count(false), usize::from(count(true) == 0));
                let is_short = self.down.short.contains(name);
                check!(
                    count == should || is_short && count < should,
                    "{count} filters for {}, not {should}: {filters:?} {changes:?}",
                    topic.escape_ascii()
                );
            }
        }
    }

    /// MESSAGE.
    pub fn published(&mut self, broker: &Broker, topic: &[u8], payload: &[u8], mut seen: Seen) {
        check!(seen.code == SUCCESS && seen.kicks.is_empty(), "{seen:?}");
        self.log.allow(topic);
        let mut sent = std::mem::take(&mut seen.sent);
        self.log.check(&seen);
        let Some(device_id) = device_of(topic) else {
            check!(sent.is_empty() && seen.log.is_empty(), "{sent:?} {seen:?}");
            return;
        };
        let receivers: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_live && session.device_id == device_id)
            .collect();
        let hands_on = !self.is_2_1 && !self.wanted.leaves_subscribing;
        let has_none = |slot: usize| {
            let name = broker.listed(slot).and_then(|known| known.sent.client_id);
            name.is_none_or(|name| broker.filters(&name).is_empty())
        };
        let mut should: Vec<[Vec<u8>; 3]> = receivers
            .iter()
            .filter(|(slot, _)| hands_on && has_none(**slot))
            .map(|(_, session)| [session.name.clone(), topic.to_vec(), payload.to_vec()])
            .collect();
        sent.sort();
        should.sort();
        check!(sent == should, "{sent:?} is sent, not {should:?}");
        let mut is_told = false;
        if receivers.is_empty() {
            self.down.undelivered += 1;
            let minute = (self.steady - self.started) / 60_000_000;
            let (last, told) = self.down.told;
            let told = if last == minute { told } else { 0 };
            is_told = told < 10;
            self.down.told = (minute, told + 1);
        }
        let lines = super::lines(&seen, "undelivered device=\"");
        check!(
            seen.log.len() == usize::from(is_told)
                && lines.len() == seen.log.len()
                && lines.iter().all(|(level, _)| *level == DEBUG),
            "{is_told}: {seen:?}"
        );
    }

    /// The end of the plugin, which tells the counters.
    pub fn stopped(&self, seen: &Seen) {
        self.log.check(seen);
        check!(seen.kicks.is_empty(), "{seen:?}");
        let count = format!(" undelivered={} ", self.down.undelivered);
        let lines = super::lines(seen, "since the start: ");
        check!(lines.len() == 1 && lines[0].1.contains(&count), "{count}: {seen:?}");
    }
}

fn below_sys(device_id: &[u8], rest: &str) -> Vec<u8> {
    [b"$oc/devices/", device_id, b"/sys/", rest.as_bytes()].concat()
}

/// Which device a message goes down to.
fn device_of(topic: &[u8]) -> Option<&[u8]> {
    let device_id = topic.split(|byte| *byte == b'/').nth(2).filter(|id| !id.is_empty())?;
    TOPICS.iter().any(|rest| matches(&below_sys(device_id, rest), topic)).then_some(device_id)
}

/// Whether a filter matches a topic, as MQTT has it.
fn matches(filter: &[u8], topic: &[u8]) -> bool {
    let mut levels = topic.split(|byte| *byte == b'/');
    let is_hidden = topic.starts_with(b"$") && !filter.starts_with(b"$");
    for level in filter.split(|byte| *byte == b'/') {
        match (level, levels.next()) {
            (b"#", _) => return !is_hidden,
            (b"+", Some(_)) => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    levels.next().is_none() && !is_hidden
}

/// Whether a filter matches all that another one does. There is nothing special about the levels that are tried.
fn covers(filter: &[u8], other: &[u8]) -> bool {
    [1, 2].into_iter().all(|level| {
        let topic: Vec<u8> =
            other.iter().map(|byte| if *byte == b'+' { level } else { *byte }).collect();
        matches(filter, &topic)
    })
}
