//! A Mosquitto plugin that lets the devices that were built for Huawei Cloud IoTDA log in, unchanged.
//!
//! # The flow
//!
//! ```text
//! broker ──► ffi ──► plugin ──► login::verify ──► Verdict
//!                      │             │
//!                      │             └── registry::Table (one look-up)
//!                      └── clock, log, sessions, the table in force, the return code
//!
//! iotda-auth (the command line) ──► login, registry, options: the same code, no broker
//! ```
//!
//! Data goes one way; nothing on the right knows anything to its left.
//!
//! | module | the question it answers |
//! |---|---|
//! | `ffi` | what does the broker say, in Rust's terms, and what is said back? The only unsafe code |
//! | [`plugin`] | what happens now? The one place with effects |
//! | [`options`] | what did the operator ask for? |
//! | [`login`] | may this CONNECT log in? Pure: no clock, no log, no file |
//! | [`registry`] | which devices are there, and what proves each of them? |
//! | [`reloader`] | where does the next table come from? |
//! | [`sessions`] | who is logged in? |
//! | [`takeovers`] | does a device exist twice? |
//! | [`limiter`] | who has failed too often lately? |
//! | [`counters`] | how often has what happened? |
//! | [`journal`] | how does it look in the log? |
//! | [`flood`] | how much of a flood is told? |
//! | [`log_line`] | what did a line of the log say? |

#[allow(unsafe_code)] // the border to the broker, and nothing else
mod ffi;

pub mod counters;
pub mod flood;
pub mod journal;
pub mod limiter;
pub mod log_line;
pub mod login;
pub mod options;
pub mod plugin;
pub mod registry;
pub mod reloader;
pub mod sessions;
pub mod takeovers;
