//! A device's connection to a broker: over TCP or TLS, with deadlines, and with a word for each way in which it can fail.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`packets`] | which bytes are these packets? |
//! | [`link`] | how is the broker reached, and until when? |
//! | [`tls`] | whom does TLS trust, and why did it fail? |
//! | [`target`] | where is the broker, as the command line says? |
//! | [`client`] | what do broker and device say to each other? |
//! | [`fault`] | why is there no answer, and what can be done? |

pub(crate) mod client;
pub(crate) mod fault;
pub(crate) mod link;
pub(crate) mod packets;
mod target;
pub(crate) mod tls;

pub(crate) use client::Client;
pub(crate) use fault::Fault;
pub(crate) use link::Target;
pub(crate) use packets::{Connack, Connect, Packet, Version};
