//! Which devices are there, and what proves each of them?
//!
//! | module | the question it answers |
//! |---|---|
//! | [`mod@line`] | what does one line of the secrets file say? |
//! | [`table`] | what proves this device? |
//! | [`mod@load`] | which table does this file make, or what is wrong with it? |

pub mod line;
pub mod load;
pub mod table;

pub use line::{Credential, Fingerprints};
pub use load::{LoadError, Loaded, load};
pub use table::{Device, Table};
