//! What a login is: the rules of the plugin, the tool and the page, and nothing of the system that they run on.
//!
//! Here is no file, no clock, no broker and no unsafe code; what is needed of those is a parameter.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`login`] | may this CONNECT log in? |
//! | [`registry`] | which devices are there, and what proves each of them? |
//! | [`options`] | what did the operator ask for? |
//! | [`topics`] | which topics is a device subscribed to without asking? |
//! | [`log`] | how does it look in the log? |

#![forbid(unsafe_code)]

pub mod log;
pub mod login;
pub mod options;
pub mod registry;
pub mod topics;
