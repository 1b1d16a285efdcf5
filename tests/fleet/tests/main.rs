//! Several brokers with one registry, with real parts: PostgreSQL, `iotda-auth follow`, HAProxy, Mosquitto.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`following`] | does the file become the table? |
//! | [`database`] | what is to be done in a database, and what of it is checked? |
//! | [`failures`] | what if the network, the server, the disk or the follower fails? |
//! | [`changes`] | what if the table is emptied, changed or has wrong rows? |
//! | [`random`] | is each file the table of some moment, whatever happens? |
//! | [`whole_way`] | does a device that is registered by INSERT log in, and through which broker? |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

/// A module for each PostgreSQL, with a test for each function.
macro_rules! on_each_server {
    ($($name:ident),* $(,)?) => {
        mod on_15 {
            $(#[test] fn $name() { super::$name(fleet::server::Release::V15); })*
        }
        mod on_17 {
            $(#[test] fn $name() { super::$name(fleet::server::Release::V17); })*
        }
    };
}

mod changes;
mod database;
mod failures;
mod following;
mod random;
mod whole_way;

/// Devices with a secret, as an INSERT.
fn insert(from: u32, to: u32) -> String {
    format!(
        "INSERT INTO iotda.device (device_id, secret) SELECT 'dev-' || n, 'secret-' || lpad(n::text, 8, '0')
         FROM generate_series({from}, {to}) n"
    )
}
