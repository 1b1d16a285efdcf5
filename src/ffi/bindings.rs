//! The broker's types, as bindgen reads them from `include/iotda_broker.h`.
//!
//! `./dev bindings` makes the files below `bindings/`, so that a build needs neither bindgen nor libclang. `./dev lint`
//! makes them again and fails if they differ; tests/abi.rs fails if the header has changed since.
//!
//! The two files have the same types. They differ in what bindgen asserts of sizes and offsets.

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

#[cfg(target_pointer_width = "64")]
include!("bindings/64_bit.rs");
#[cfg(target_pointer_width = "32")]
include!("bindings/32_bit.rs");
