//! Where does a client stand with the broker: is it one of its sessions, and has it a connection?
//!
//! 2.1 answers that by its public functions. 2.0 does not, so there the head of its private structure is read.
//!
//! # The proof
//!
//! Nobody promises the layout of `struct mosquitto`. In 2.0.11 to 2.0.22, built with epoll as it is on Linux, it begins as one
//! of the two heads in `layout` (`mosquitto_internal.h`): Debian builds with ADNS, others do not. What is read there is used only
//! when all that the broker's public functions say of the same client stands in its place: the protocol, the keep alive, and
//! where in memory the address, the ClientId and the user name lie, of which the ClientId is not null. A client chooses the
//! texts and not where they lie. Otherwise nothing is proved, and the client counts as one that has just sent its CONNECT.

use super::broker::Client;
use crate::plugin::Asked;
use std::ffi::{c_int, c_uint};

/// What is taken from a head that is proved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    sock: c_int,
    state: c_uint,
}

/// `id_client`.
const CLIENT: c_int = 2;

/// `mosq_cs_new`: the CONNECT has not been answered.
const NEW: c_uint = 0;
/// `mosq_cs_active`: it has, and it was a yes.
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
        // SAFETY: any bytes are such a structure; what they mean is proved before it is used.
        let plain = unsafe { raw.plain };
        // SAFETY: likewise.
        let with_adns = unsafe { raw.with_adns };
        proved!(with_adns).or_else(|| proved!(plain))
    }

    /// The socket, if there is one.
    pub(super) fn socket(&self) -> Option<c_int> {
        (self.sock >= 0).then_some(self.sock)
    }

    /// Whether this client has had a CONNACK that said yes, and is connected, or has just been.
    ///
    /// 2.0 also says of a session that has long been offline that it is disconnected, when it is taken over or refused; and a
    /// WebSocket that is to close (`mosq_cs_disconnect_ws`) may be one whose CONNECT was refused (`websockets.c`, 2.0.21).
    pub(super) fn was_connected(&self) -> bool {
        self.state != NEW && (self.socket().is_some() || self.state == ACTIVE)
    }
}

/// The broker's number for the version that a client speaks (`enum mosquitto__protocol`).
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

/// Whether a session of a 2.1 has no connection: no socket, by the number in its place behind the mark of a client.
///
/// No public function tells: the port, for one, stays that of the listener which the client came to last. It is a session that
/// the broker has let in either way, so no login depends on this.
fn is_offline_on_2_1(client: &Client<'_>) -> bool {
    let [ident, sock] = client.first_numbers();
    ident == CLIENT && sock < 0
}
