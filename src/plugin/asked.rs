//! Why does the broker ask? Decided from facts about the client, never from the order of events.
//!
//! BASIC_AUTH comes for a CONNECT, and after a SIGHUP once for every session that the broker has, with the credentials that
//! it logged in with (the sweep). The broker does not say which of the two it is. The order of its events does not either:
//! on 2.0, CONNECTs of WebSocket clients may come between the sweep and its TICK (`lws_service` in `loop.c`), a plugin that
//! is loaded before ours may keep RELOAD from us (`plugin__handle_reload` in `security.c`, 2.0), and a TICK may never come.
//!
//! What tells them apart is that a session is in the broker's table of sessions and a CONNECT is not yet
//! (`connect__on_authorised` in `handle_connect.c` puts it there, after the answer):
//!
//! * 2.1 gives its plugins a look into that table (`mosquitto_client`).
//! * 2.0 does not. There a CONNECT is a client that is new and has a socket; `ffi` reads both from the head of the broker's
//!   structure, after it has proved that the head is what it takes it for.

use std::fmt;

/// Why the broker asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// For a CONNECT: the client is not yet one of the broker's sessions.
    Connect,
    /// For a session that is connected, or whose connection is about to close.
    Online,
    /// For a session that waits for its client.
    Offline,
    /// Nothing is proved: the layout of the broker's structures is not known. Only a session that is remembered counts as
    /// one.
    Unproved,
}

/// What the plugin does with the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Everything is checked, and a login that is accepted is remembered.
    Checked,
    /// The session goes on: it has logged in properly.
    GoesOn,
    /// The session stays. A refusal would gain nothing: the session would stay anyway, and its client is checked in full
    /// when it comes back. And 2.0 would add the session to its expiry list a second time, which leads to a use of freed
    /// memory (`session_expiry__add`, called through `do_disconnect` in `mosquitto_security_apply_default`).
    Stays,
    /// Other plugins and the password file decide, as they did when it logged in.
    Deferred,
    /// It is not a client. It is refused or deferred as any other client, and nothing is checked or noted.
    LeftAlone,
}

/// A shape that a call of BASIC_AUTH can have.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The client, and where it stands.
    pub client: &'static str,
    /// How it is recognised on 2.0 (2.0.11 to 2.0.22).
    pub on_2_0: &'static str,
    /// How it is recognised on 2.1.
    pub on_2_1: &'static str,
    /// Why the broker asks.
    pub asked: Asked,
    /// What the plugin does.
    pub treatment: Treatment,
}

/// All shapes; tests/broker/shapes.rs plays each of them on real brokers.
///
/// "new" is the state of a client whose CONNECT has not been answered (`mosq_cs_new` in `mosquitto_internal.h`); "listed"
/// means that `mosquitto_client` gives this very client for its id.
pub const SHAPES: [Shape; 17] = [
    Shape::new("CONNECT over TCP", "new, socket", "not listed", Asked::Connect, Treatment::Checked),
    Shape::new("CONNECT over TLS", "new, socket", "not listed", Asked::Connect, Treatment::Checked),
    Shape::new(
        "CONNECT over a Unix socket",
        "new, socket",
        "not listed",
        Asked::Connect,
        Treatment::Checked,
    ),
    Shape::new(
        "CONNECT over WebSocket",
        "new, socket, WebSocket",
        "not listed",
        Asked::Connect,
        Treatment::Checked,
    ),
    Shape::new(
        "CONNECT behind PROXY",
        "does not exist",
        "not listed",
        Asked::Connect,
        Treatment::Checked,
    ),
    Shape::new(
        "CONNECT over WebSocket between the sweep and the TICK",
        "new, socket, WebSocket",
        "does not exist",
        Asked::Connect,
        Treatment::Checked,
    ),
    Shape::new(
        "device online over TCP, TLS or a Unix socket",
        "not new, socket",
        "listed, socket",
        Asked::Online,
        Treatment::GoesOn,
    ),
    Shape::new(
        "device online over WebSocket",
        "not new, WebSocket",
        "listed, socket",
        Asked::Online,
        Treatment::GoesOn,
    ),
    Shape::new(
        "device online behind PROXY",
        "does not exist",
        "listed, socket",
        Asked::Online,
        Treatment::GoesOn,
    ),
    Shape::new(
        "device over WebSocket, kicked and not yet closed",
        "not new, no socket, WebSocket",
        "does not exist",
        Asked::Online,
        Treatment::GoesOn,
    ),
    Shape::new(
        "device online, known by its device id",
        "does not exist",
        "listed, socket",
        Asked::Online,
        Treatment::GoesOn,
    ),
    Shape::new(
        "other client online",
        "not new, socket or WebSocket",
        "listed, socket",
        Asked::Online,
        Treatment::Deferred,
    ),
    Shape::new(
        "device offline",
        "no socket, no WebSocket",
        "listed, no socket",
        Asked::Offline,
        Treatment::Stays,
    ),
    Shape::new(
        "device offline, removed or frozen or with another secret",
        "no socket, no WebSocket",
        "listed, no socket",
        Asked::Offline,
        Treatment::Stays,
    ),
    Shape::new(
        "device restored from the persistence file",
        "new, no socket, no WebSocket, no address",
        "listed, no socket, no address",
        Asked::Offline,
        Treatment::Stays,
    ),
    Shape::new(
        "other client offline or restored",
        "no socket, no WebSocket",
        "listed, no socket",
        Asked::Offline,
        Treatment::Stays,
    ),
    Shape::new(
        "user of the broker's pages (protocol http_api)",
        "does not exist",
        "on another thread",
        Asked::Unproved,
        Treatment::LeftAlone,
    ),
];

impl Shape {
    const fn new(
        client: &'static str,
        on_2_0: &'static str,
        on_2_1: &'static str,
        asked: Asked,
        treatment: Treatment,
    ) -> Self {
        Self { client, on_2_0, on_2_1, asked, treatment }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::Online => "online session",
            Self::Offline => "offline session",
            Self::Unproved => "not proved",
        })
    }
}
