//! What several tests need: the library under test, brokers to load it, and clients to speak to them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod authority;
pub mod broker;
pub mod c;
pub mod device;
pub mod library;
pub mod matrix;
pub mod memory;
pub mod mqtt;
pub mod random;
pub mod scratch;
pub mod silent;
pub mod transport;
pub mod version;

include!(concat!(env!("OUT_DIR"), "/brokers.rs"));
