//! What is a client's standing with the broker: is it one of the broker's sessions, and is it connected?
//!
//! 2.1 answers that by its public functions. 2.0 does not, so there the beginning ("head") of its private structure is read.
//!
//! # The proof
//!
//! The layout of `struct mosquitto` is not guaranteed. In 2.0.11 to 2.0.22, built with epoll as on Linux, it begins as one
//! of the two heads in `layout` (`mosquitto_internal.h`): Debian builds with ADNS, others do not. What is read there is used
//! only if it agrees with all that the broker's public functions say of the same client: the protocol, the keep alive, and
//! the pointers to the address, the ClientId and the user name, of which the ClientId is not null. A client chooses these
//! texts but not their pointers. Otherwise nothing is proved, and the client counts as one that has just sent its CONNECT.

use super::broker::Client;
use crate::plugin::Asked;
use std::ffi::{c_int, c_uint};

/// What is read from a head that is proved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    sock: c_int,
    state: c_uint,
}

/// `id_client`.
const CLIENT: c_int = 2;

/// `mosq_cs_new`: the CONNECT has not been answered.
const NEW: c_uint = 0;
/// `mosq_cs_active`: the CONNECT was accepted.
const ACTIVE: c_uint = 3;

impl Head {
    /// The head of a client of a 2.0; `None` if it is not proved to be one.
    pub(super) fn of(client: &Client<'_>) -> Option<Self> {
        let [address, id, username] = client.texts();
        if id.is_null() {
            return None;
        }
        let (protocol, keep_alive) = (protocol_of(client), client.keep_alive());
        macro_rules! proved {
            ($head:expr) => {{
                let head = $head;
                let proved = head.ident == CLIENT
                    && head.protocol == protocol
                    && head.keepalive == keep_alive
                    && head.address == address
                    && head.id == id
                    && head.username == username;
                proved.then_some(Self { sock: head.sock, state: head.state })
            }};
        }
        let raw = client.head();
        // SAFETY: any bytes are valid for this structure; their meaning is proved before it is used.
        let plain = unsafe { raw.plain };
        // SAFETY: likewise.
        let with_adns = unsafe { raw.with_adns };
        proved!(with_adns).or_else(|| proved!(plain))
    }

    /// The socket, if there is one.
    pub(super) fn socket(&self) -> Option<c_int> {
        (self.sock >= 0).then_some(self.sock)
    }

    /// Whether this client has had a CONNACK that accepted it, and is connected, or was until just now.
    ///
    /// When 2.0 takes over or refuses a session, it also reports a disconnect if the session has long been offline. And a
    /// WebSocket that is about to close (`mosq_cs_disconnect_ws`) may be one whose CONNECT was refused (`websockets.c`,
    /// 2.0.21).
    pub(super) fn was_connected(&self) -> bool {
        self.state != NEW && (self.socket().is_some() || self.state == ACTIVE)
    }
}

/// The broker's number for the MQTT version of a client (`enum mosquitto__protocol`).
fn protocol_of(client: &Client<'_>) -> c_uint {
    match client.protocol_version() {
        3 => 1,
        4 => 2,
        5 => 5,
        _ => 0,
    }
}

/// Why the broker asks about a client; `plugin::asked` has the table.
pub(super) fn asked(client: &Client<'_>) -> Asked {
    if let Some(is_session) = client.is_session() {
        return match is_session {
            false => Asked::Connect,
            true if is_offline_on_2_1(client) => Asked::Offline,
            true => Asked::Online,
        };
    }
    match Head::of(client) {
        None => Asked::Unproved,
        Some(head) if head.socket().is_none() && !client.speaks_web_socket() => Asked::Offline,
        Some(head) if head.state == NEW => Asked::Connect,
        Some(_) => Asked::Online,
    }
}

/// Whether a session of a 2.1 is offline: the number after the mark of a client, its socket, is none.
///
/// No public function tells: the port, for example, stays that of the listener to which the client last connected. Either
/// way it is a session that the broker has let in, so no login depends on this.
fn is_offline_on_2_1(client: &Client<'_>) -> bool {
    let [ident, sock] = client.first_numbers();
    ident == CLIENT && sock < 0
}
