//! The broker's types, as bindgen reads them from `include/iotda_broker.h`.

#![allow(
    non_camel_case_types,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::restriction,
    clippy::pedantic
)]

include!(concat!(env!("OUT_DIR"), "/broker_types.rs"));
