//! A Mosquitto plugin that lets devices built for Huawei Cloud IoTDA log in, unchanged.
//!
//! # The flow
//!
//! ```text
//! broker ──► ffi ──► plugin ──► core: login::verify ──► Verdict
//!                      │                   │
//!                      │                   └── registry::Table (one look-up)
//!                      └── clock, log, sessions, the table in force, the return code
//!
//! iotda-auth (the command line) ──► core: the same code, no broker
//! ```
//!
//! Data flows one way: nothing on the right depends on anything to its left. Four packages enforce that:
//!
//! | package | what it is | stands on |
//! |---|---|---|
//! | [`iotda_core`] in `core/` | what a login is: no file, no clock, no unsafe code | nothing |
//! | [`iotda_files`] in `files/` | how a secrets file is opened and read | core |
//! | this one, in `src/` | the plugin | both |
//! | `iotda-auth` in `tool/` | the command line tool | both |
//!
//! The modules of the plugin:
//!
//! | module | the question it answers |
//! |---|---|
//! | `ffi` | what does the broker say, in Rust's terms, and what is said back? The only unsafe code |
//! | [`plugin`] | what happens now? The one place with effects |
//! | [`reloader`] | where does the next table come from? |
//! | [`sessions`] | who is logged in? |
//! | [`takeovers`] | does a device exist twice? |
//! | [`subscriptions`] | what has a device subscribed to by itself? |
//! | [`limiter`] | who has failed too often lately? |
//! | [`counters`] | how often has what happened? |

#[allow(unsafe_code)] // the border to the broker, and nothing else
mod ffi;

mod bucket;
pub mod counters;
pub mod limiter;
pub mod plugin;
pub mod reloader;
pub mod sessions;
pub mod subscriptions;
pub mod takeovers;
