//! The plugin in real brokers, spoken to in raw MQTT. One file a behaviour; each test runs once for each broker version.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod acl;
mod certificates;
mod checked;
mod clock;
mod company;
mod connack;
mod downstream;
mod example;
mod fail2ban;
mod failure_limit;
mod fault;
mod firmware;
mod flood;
mod forwarded;
mod hang;
mod hostile;
mod hostile_connects;
mod hostile_packets;
mod hostile_texts;
mod http_api;
mod instances;
mod login;
mod machine;
mod matrix;
mod not_asked;
mod offline;
mod one_connection;
mod other_clients;
mod proxy;
mod recorded;
mod reload;
mod reload_unheard;
mod rotation;
mod secrets_in_memory;
mod session_id;
mod shapes;
mod sighup;
mod start;
mod stats;
mod strangers;
mod twice;
mod valgrind;
mod wills;
