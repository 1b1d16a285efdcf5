//! What several fuzz targets need.
//!
//! A target reads its input by choices ([`input`]): a zero, which also follows the end of the input, always chooses what
//! is right, so that a short input is a plain login, and each byte more makes it stranger.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`input`] | what does the fuzzer choose? |
//! | [`rules`] | what do the options mean? |
//! | [`secrets`] | what may a secrets file look like? |
//! | [`sent`] | what may a client send, right or nearly? |
//! | [`answer`] | may it log in, by the contract's table? |
//! | [`broker`] | what does a broker do with the plugin? |
//! | [`model`] | what should the plugin do with that? |

pub mod answer;
#[allow(unsafe_code)] // the border to C
pub mod broker;
pub mod input;
pub mod model;
pub mod rules;
pub mod secrets;
pub mod sent;
