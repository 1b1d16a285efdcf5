//! What the broker's sessions have subscribed to, and what is published.

use super::{
    Broker, Seen, Stands, deliver,
    ffi::{Client, Message, Subscribe},
    inside, slot_of, string, with_client, world,
};
use crate::check;
use std::{
    ffi::{CStr, c_char, c_int, c_uchar},
    fmt, ptr,
};

/// A filter of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    pub text: Vec<u8>,
    /// Whether the client has subscribed to it by itself.
    pub is_own: bool,
}

/// What the plugin has had done to a session's filters.
#[derive(Clone)]
pub struct Change {
    pub name: Vec<u8>,
    pub filter: Vec<u8>,
    pub is_added: bool,
    /// Whether what was there before was the client's own; `None` if there was nothing.
    pub was_own: Option<bool>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.is_own { "its own" } else { "ours" };
        write!(f, "{} ({whose})", self.text.escape_ascii())
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, filter, is_added, was_own } = self;
        let sign = if *is_added { '+' } else { '-' };
        let (name, filter) = (name.escape_ascii(), filter.escape_ascii());
        write!(f, "{name}: {sign}{filter} (its own before: {was_own:?})")
    }
}

impl Broker {
    /// The session of this name begins anew, if its client does not go on with the one before.
    pub fn begin(&mut self, name: &[u8], is_resumed: bool) {
        if !is_resumed {
            world(|world| world.filters.remove(name));
        }
    }

    /// What the plugin has had done since this was asked last.
    pub fn take_changes(&mut self) -> Vec<Change> {
        world(|world| std::mem::take(&mut world.changes))
    }

    /// The filters of the session of this name.
    pub fn filters(&self, name: &[u8]) -> Vec<Filter> {
        world(|world| world.filters.get(name).cloned().unwrap_or_default())
    }

    /// SUBSCRIBE or UNSUBSCRIBE of one filter, by a client or by none. The broker does it when it has told of it.
    pub fn change(&mut self, event: c_int, slot: Option<usize>, filter: &Option<Vec<u8>>) -> Seen {
        let known = slot.and_then(|slot| self.listed(slot));
        let text = string(filter);
        let tell = |client| {
            let mut data = Subscribe {
                future: ptr::null_mut(),
                client,
                client_id: ptr::null_mut(),
                filter: text.as_ref().map_or(ptr::null_mut(), |text| text.as_ptr().cast_mut()),
                properties: ptr::null_mut(),
                identifier: 0,
                options: 0,
                future2: [ptr::null_mut(); 16],
            };
            inside(|| deliver(event, ptr::from_mut(&mut data).cast()))
        };
        let seen = match slot {
            Some(slot) => with_client(slot, known.as_ref(), tell),
            None => tell(ptr::null_mut()),
        };
        let name = known.and_then(|known| known.sent.client_id);
        if let (Some(name), Some(filter)) = (name, filter) {
            set(&name, filter, (event == super::SUBSCRIBE).then_some(true));
        }
        seen
    }

    /// MESSAGE, from nobody in particular.
    pub fn publish(&mut self, topic: &Option<Vec<u8>>, payload: Option<&[u8]>) -> Seen {
        let topic = string(topic);
        // A block of its own.
        let payload: Option<Box<[u8]>> = payload.map(Into::into);
        let length = payload.as_ref().map_or(0, |payload| payload.len());
        let mut data = Message {
            future: ptr::null_mut(),
            client: ptr::null_mut(),
            topic: topic.as_ref().map_or(ptr::null_mut(), |topic| topic.as_ptr().cast_mut()),
            payload: payload
                .as_ref()
                .map_or(ptr::null_mut(), |payload| payload.as_ptr().cast_mut().cast()),
            properties: ptr::null_mut(),
            reason: ptr::null_mut(),
            length: length.try_into().expect("a short one"),
            qos: 0,
            reason_code: 0,
            retain: false,
            future2: [ptr::null_mut(); 4],
        };
        inside(|| deliver(super::MESSAGE, ptr::from_mut(&mut data).cast()))
    }
}

/// Sets whose a filter of a session is, or takes it out. Says whose it was.
fn set(name: &[u8], filter: &[u8], is_own: Option<bool>) -> Option<bool> {
    world(|world| {
        let filters = world.filters.entry(name.to_vec()).or_default();
        let at = filters.iter().position(|known| known.text == filter);
        let before = at.map(|at| filters.swap_remove(at).is_own);
        filters.extend(is_own.map(|is_own| Filter { text: filter.to_vec(), is_own }));
        before
    })
}

/// How many filters a client has. A broker reads that in the client's own memory.
pub(super) extern "C" fn count(client: *const Client) -> c_int {
    let count = world(|world| {
        let slot = world.clients.iter().position(|known| ptr::eq(*known, client))?;
        let known = world.listed[slot].as_ref();
        let is_there = known
            .is_some_and(|known| matches!(known.stands, Stands::Online | Stands::Closing))
            || world.unsaid[slot];
        is_there.then(|| {
            let name = known.and_then(|known| known.sent.client_id.as_ref());
            name.and_then(|name| world.filters.get(name)).map_or(0, Vec::len)
        })
    });
    check!(count.is_some(), "a client is asked about that is gone");
    c_int::try_from(count.unwrap_or_default()).expect("a few")
}

/// Whose session it is about, and which filter.
fn change(id: *const c_char, filter: *const c_char, is_added: bool) -> c_int {
    // SAFETY: the plugin gives strings.
    let [name, filter] =
        [id, filter].map(|text| unsafe { CStr::from_ptr(text) }.to_bytes().to_vec());
    let is_there = world(|world| slot_of(world, &name).is_some());
    let was_own = if is_there { set(&name, &filter, is_added.then_some(false)) } else { None };
    world(|world| world.changes.push(Change { name, filter, is_added, was_own }));
    if is_there { super::SUCCESS } else { NOT_FOUND }
}

/// The broker's number for a session that it does not have.
const NOT_FOUND: c_int = 6;

pub(super) extern "C" fn add(id: *const c_char, filter: *const c_char) -> c_int {
    change(id, filter, true)
}

pub(super) extern "C" fn remove(id: *const c_char, filter: *const c_char) -> c_int {
    change(id, filter, false)
}

pub(super) extern "C" fn message(
    id: *const c_char,
    topic: *const c_char,
    payload: *const c_uchar,
    length: c_int,
) {
    // SAFETY: the plugin gives strings.
    let [name, topic] = [id, topic].map(|text| unsafe { CStr::from_ptr(text) }.to_bytes().to_vec());
    let length = usize::try_from(length).expect("a length");
    let payload = match length {
        0 => Vec::new(),
        // SAFETY: the plugin gives so many bytes.
        _ => unsafe { std::slice::from_raw_parts(payload, length) }.to_vec(),
    };
    world(|world| world.seen.sent.push([name, topic, payload]));
}
