//! What several tests need: the library under test, brokers that load it, and clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(feature = "tests")]
pub mod authority;
pub mod broker;
#[cfg(feature = "tests")]
pub mod c;
pub mod device;
pub mod library;
pub mod matrix;
#[cfg(feature = "tests")]
pub mod memory;
pub mod mqtt;
pub mod scratch;
#[cfg(feature = "tests")]
pub mod silent;
#[cfg(feature = "tests")]
pub mod tool;
pub mod transport;
pub mod version;
#[cfg(feature = "tests")]
mod web_socket;

include!(concat!(env!("OUT_DIR"), "/brokers.rs"));
