//! What is played over which listener: tests/broker/matrix.rs plays it, and tests/docs.rs compares the README's table with
//! it.

/// The kinds of listener. A name that ends in a version number is only for those brokers.
pub const LISTENERS: [&str; 7] = [
    "IPv4",
    "IPv6",
    "Unix socket",
    "TLS",
    "TLS with certificates",
    "WebSocket",
    "PROXY v2, on 2.1",
];

/// A behaviour, and the [`LISTENERS`] over which it is played.
pub struct Row {
    pub behaviour: &'static str,
    pub listeners: [bool; LISTENERS.len()],
}

const ALL: [bool; LISTENERS.len()] = [true; LISTENERS.len()];

pub const MATRIX: [Row; 8] = [
    Row { behaviour: "a device logs in by its password", listeners: ALL },
    Row { behaviour: "a refusal has its code, and its line with the address", listeners: ALL },
    Row {
        behaviour: "a refusal has the platform's exact code",
        listeners: [true, true, false, false, false, false, true],
    },
    Row {
        behaviour: "a device logs in by its certificate",
        listeners: [false, false, false, false, true, false, false],
    },
    Row { behaviour: "a SIGHUP disconnects nobody", listeners: ALL },
    Row { behaviour: "a reload disconnects the devices that were removed", listeners: ALL },
    Row { behaviour: "a login ends the device's earlier connection", listeners: ALL },
    Row { behaviour: "a command reaches a device that never subscribed", listeners: ALL },
];
