//! What goes down to a device that never subscribed? What the platform would send it, at QoS 0.
//!
//! # On a 2.1
//!
//! The device's session is subscribed when it connects, by the broker's own function: so its messages come whoever sends them,
//! with all their properties. Where its own filters cover one of ours, ours is taken back, so that nothing comes twice. The
//! broker tells of a SUBSCRIBE before it adds the filter (`handle_subscribe.c`, 2.1.2), and of an UNSUBSCRIBE before it removes
//! it (`handle_unsubscribe.c`): a filter that is just the one which the device takes back is added at the next TICK.
//!
//! # On a 2.0
//!
//! Nothing public subscribes a session there, and nothing tells what one has subscribed to but their number. A message is handed
//! to the device's connection as it comes, if the device has subscribed to nothing at all.

use super::{Host, Level, Plugin};
use crate::{sessions::ClientHandle, takeovers::minute};
use iotda_core::{
    log,
    topics::{self, Set},
};
use std::ffi::{CStr, CString};

/// So many messages that reach nobody are told, each minute.
pub(super) const TOLD_A_MINUTE: u32 = 10;

/// What is still to be done, and what was told.
#[derive(Debug, Default)]
pub(super) struct Downstream {
    /// Sessions with a filter that is to be added again.
    again: Vec<ClientHandle>,
    /// The minute since the start in which the last undelivered message was told, and how many were in it.
    told: (u64, u32),
}

/// A filter as the broker takes it.
struct Filter {
    bytes: [u8; Self::CAPACITY],
}

impl Filter {
    /// The prefix, the longest device id, `/sys/`, the longest of our filters and a NUL.
    const CAPACITY: usize = 192;

    /// `None` if it does not fit, which the filter of no device's does.
    fn new(device_id: &[u8], filter: &str) -> Option<Self> {
        let mut bytes = [0; Self::CAPACITY];
        let mut end = 0;
        for part in [topics::PREFIX, device_id, b"/sys/", filter.as_bytes()] {
            bytes.get_mut(end..end + part.len())?.copy_from_slice(part);
            end += part.len();
        }
        (end < Self::CAPACITY).then_some(Self { bytes })
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

/// A session of a device, as the broker knows it.
struct Subscriber {
    session_id: CString,
    device_id: Vec<u8>,
}

impl Subscriber {
    fn filter(&self, filter: &str) -> Option<Filter> {
        Filter::new(&self.device_id, filter)
    }

    /// Has the broker keep other filters of ours than before. `own` is a filter that the device has the broker remove next. Says
    /// whether that one is to be added again once it is gone: it is one of ours too, whoever has subscribed to it.
    fn change(&self, host: &dyn Host, before: Set, after: Set, own: &[u8]) -> bool {
        for filter in
            topics::wanted(before).filter(|old| topics::wanted(after).all(|new| new != *old))
        {
            if let Some(filter) = self.filter(filter) {
                host.unsubscribe(&self.session_id, filter.as_c_str());
            }
        }
        let mut is_ours = false;
        for filter in topics::wanted(after) {
            let is_there = topics::wanted(before).any(|old| old == filter);
            let Some(filter) = self.filter(filter) else { continue };
            if filter.as_c_str().to_bytes() == own {
                is_ours = true;
            } else if !is_there {
                host.subscribe(&self.session_id, filter.as_c_str());
            }
        }
        is_ours
    }

    /// Has the broker keep all filters of ours but those that the device's own cover. Those that are there stay as they are.
    fn subscribe(&self, host: &dyn Host, covered: Set) {
        for filter in topics::wanted(covered) {
            if let Some(filter) = self.filter(filter) {
                host.subscribe(&self.session_id, filter.as_c_str());
            }
        }
    }
}

impl Plugin {
    /// Whether devices are subscribed by the broker.
    fn subscribes(&self, host: &dyn Host) -> bool {
        self.options.implicit_subscriptions && host.subscribes_sessions()
    }

    /// A session that has logged in here, if it is that of a connection which is not being ended.
    fn subscriber(&self, client: ClientHandle) -> Option<Subscriber> {
        let sessions = self.sessions.try_borrow().ok()?;
        let session = sessions.live(client)?;
        Some(Subscriber {
            session_id: CString::new(session.id()).ok()?,
            device_id: session.device_id().to_vec(),
        })
    }

    /// A session of a 2.1 has connected, with so many filters that the broker has of it already.
    pub fn connected(&self, host: &dyn Host, client: ClientHandle, filters: usize) {
        if !self.subscribes(host) {
            return;
        }
        let Some(subscriber) = self.subscriber(client) else { return };
        let id = subscriber.session_id.as_bytes();
        let Ok(mut known) = self.subscriptions.try_borrow_mut() else { return };
        let covered = known.connected(client, id, filters);
        drop(known);
        if let Some(covered) = covered {
            subscriber.subscribe(host, covered);
        }
    }

    /// A client is about to subscribe to a filter.
    pub fn subscribing(&self, host: &dyn Host, client: ClientHandle, filter: &[u8]) {
        // No other filter covers a topic of ours.
        if !filter.starts_with(b"$oc/") || !self.subscribes(host) {
            return;
        }
        let Some(subscriber) = self.subscriber(client) else { return };
        let covers = topics::covered_by(filter, &subscriber.device_id);
        if covers.is_empty() {
            return;
        }
        let Ok(mut known) = self.subscriptions.try_borrow_mut() else { return };
        let covered = known.subscribed(client, filter, covers);
        drop(known);
        match covered {
            Some(covered) => {
                subscriber.change(host, covered.before, covered.after, &[]);
            }
            // Ours are there, or are not: what this one covers is taken back, and nothing is added, for that might put QoS 0
            // in the place of the device's own.
            None => {
                for ours in topics::all().filter(|(_, set)| set.is_within(covers)) {
                    let Some(ours) = subscriber.filter(ours.0) else { continue };
                    if ours.as_c_str().to_bytes() != filter {
                        host.unsubscribe(&subscriber.session_id, ours.as_c_str());
                    }
                }
            }
        }
    }

    /// A client is about to take a filter back.
    pub fn unsubscribing(&self, host: &dyn Host, client: ClientHandle, filter: &[u8]) {
        if !filter.starts_with(b"$oc/") || !self.subscribes(host) {
            return;
        }
        let Some(subscriber) = self.subscriber(client) else { return };
        let Ok(mut known) = self.subscriptions.try_borrow_mut() else { return };
        let covered = known.unsubscribed(client, filter);
        drop(known);
        let Some(covered) = covered else { return };
        if subscriber.change(host, covered.before, covered.after, filter) {
            // Once until the next TICK, however often it is taken back.
            let known = self.subscriptions.try_borrow_mut();
            if known.is_ok_and(|mut known| known.falls_short(client)) {
                if let Ok(mut downstream) = self.downstream.try_borrow_mut() {
                    downstream.again.push(client);
                }
            }
        }
    }

    /// A session of a 2.1 has no connection any more, which [`Plugin::gone`] is told next: it has ended, or stays without one.
    pub fn disconnected(&self, client: ClientHandle, stays: bool) {
        if !self.options.implicit_subscriptions {
            return;
        }
        let Ok(sessions) = self.sessions.try_borrow() else { return };
        let Some(id) = sessions.id_of(client) else { return };
        if let Ok(mut known) = self.subscriptions.try_borrow_mut() {
            if stays {
                known.went_offline(client, id);
            } else {
                known.ended(client, id);
            }
        }
    }

    /// Adds the filters that could not be added while the device's own were there, and forgets sessions that are no more.
    pub(super) fn go_on_subscribing(&self, host: &dyn Host) {
        if !self.subscribes(host) {
            return;
        }
        let again = self.downstream.try_borrow_mut();
        for client in
            again.map(|mut downstream| std::mem::take(&mut downstream.again)).unwrap_or_default()
        {
            let Some(subscriber) = self.subscriber(client) else { continue };
            let Ok(mut known) = self.subscriptions.try_borrow_mut() else { continue };
            let covered = known.make_up(client);
            drop(known);
            if let Some(covered) = covered {
                subscriber.subscribe(host, covered);
            }
        }
        if let Ok(mut known) = self.subscriptions.try_borrow_mut() {
            known.tidy(|id| CString::new(id).is_ok_and(|id| host.has_session(&id)));
        }
    }

    /// A message goes down to a device. Says how many live connections of it are here; a 2.0 hands it to those that have
    /// subscribed to nothing.
    pub fn goes_down(
        &self,
        host: &dyn Host,
        device_id: &[u8],
        topic: &CStr,
        payload: &[u8],
    ) -> usize {
        let mut connections = 0;
        let mut receivers = Vec::new();
        if let Ok(sessions) = self.sessions.try_borrow() {
            sessions.each_of_device(device_id, |client, session| {
                connections += 1;
                if self.options.implicit_subscriptions && !host.subscribes_sessions() {
                    receivers.extend(CString::new(session.id()).ok().map(|id| (client, id)));
                }
            });
        }
        for (client, session_id) in receivers {
            if host.subscription_count(client) == 0 {
                host.send(&session_id, topic, payload);
            }
        }
        connections
    }

    /// A message that went down to a device has found no connection of it.
    pub fn reached_nobody(&self, host: &dyn Host, device_id: &[u8], topic: &[u8]) {
        self.counters.undelivered.add();
        let minute = minute(self.started.elapsed());
        let Ok(mut downstream) = self.downstream.try_borrow_mut() else { return };
        let (last, told) = downstream.told;
        let told = if last == minute { told } else { 0 };
        if told < TOLD_A_MINUTE {
            downstream.told = (minute, told + 1);
            drop(downstream);
            host.log(Level::Debug, &log::write::undelivered(device_id, topic));
        }
    }
}
