//! How a 2.0 begins its private structure of a client (`struct mosquitto` in `mosquitto_internal.h`).
//!
//! Two layouts of 2.0.11 to 2.0.22, built with epoll as they are on Linux: Debian builds with ADNS, others do not.
//! `standing` has the proof that one of them is true of a client.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The beginning without ADNS.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Plain {
    /// The kind of structure, for epoll's events: 2 is a client (`mosquitto_broker_internal.h`).
    pub(super) ident: c_int,
    /// Below 0 if there is no socket.
    pub(super) sock: c_int,
    maximum_packet_size: u32,
    pub(super) protocol: c_uint,
    pub(super) address: *const c_char,
    pub(super) id: *const c_char,
    pub(super) username: *const c_char,
    password: *const c_char,
    pub(super) keepalive: u16,
    last_mid: u16,
    pub(super) state: c_uint,
}

/// The same, built with ADNS.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct WithAdns {
    pub(super) ident: c_int,
    pub(super) sock: c_int,
    maximum_packet_size: u32,
    adns: *const c_void,
    pub(super) protocol: c_uint,
    pub(super) address: *const c_char,
    pub(super) id: *const c_char,
    pub(super) username: *const c_char,
    password: *const c_char,
    pub(super) keepalive: u16,
    last_mid: u16,
    pub(super) state: c_uint,
}

/// The beginning of a client's structure, in bytes that may be either.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union Head {
    pub(super) plain: Plain,
    pub(super) with_adns: WithAdns,
}
