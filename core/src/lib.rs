//! What a login is: the rules of the plugin, the tool and the page, and nothing of the system that they run on.
//!
//! This package has no file access, no clock, no broker and no unsafe code. What it needs of those, it takes as parameters.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`login`] | may this CONNECT log in? |
//! | [`registry`] | which devices are there, and what proves each of them? |
//! | [`options`] | what did the operator ask for? |
//! | [`topics`] | which topics is a device subscribed to without asking? |
//! | [`log`] | how does it look in the log? |
//! | [`explain`] | why is a login accepted or refused, and what is to be done? |
//! | [`harmless`] | how is a text from elsewhere shown to people? |

#![forbid(unsafe_code)]

pub mod explain;
pub mod harmless;
pub mod log;
pub mod login;
pub mod options;
pub mod registry;
pub mod topics;

/// The version, and the commit if `./dev package` made this: `0.1.0 (1a2b3c4d5e6f)`.
///
/// The commit comes from the environment, because a build from an archive has no git to ask.
pub const VERSION: &str = match option_env!("IOTDA_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};
