//! May this CONNECT log in? Bytes in, verdict out: no clock, no log, no file.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`connect`] | what did the client send? |
//! | [`client_id`] | which device does it say it is, signed how, at which hour? |
//! | [`timestamp`] | which instant is `YYYYMMDDHH`, and how old is it? |
//! | [`signature`] | does the password prove the secret? |
//! | [`certificate`] | is the client certificate one of the device's? |
//! | [`policy`] | which of the rules has the operator changed? |
//! | [`mod@verify`] | all checks, in the contract's order |
//! | [`refusal`] | why not, in every form in which that is told |
//! | [`kind`] | what is wrong with the ClientId or the password, in every form in which that is told |
//! | [`recognise`] | of which kind is this one? |
//! | [`steps`] | how far did a login come? |

pub mod certificate;
pub mod client_id;
pub mod connect;
pub mod kind;
pub mod policy;
pub mod recognise;
pub mod refusal;
pub mod signature;
pub mod steps;
pub mod timestamp;
pub mod verify;

pub use client_id::{ClientId, SignType};
pub use connect::Connect;
pub use kind::Kind;
pub use policy::Policy;
pub use refusal::Refusal;
pub use signature::HourKeys;
pub use verify::{Verdict, verify};
