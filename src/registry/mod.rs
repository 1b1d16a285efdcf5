//! Which devices are there, and what proves each of them?
//!
//! | module | the question it answers |
//! |---|---|
//! | [`mod@line`] | what does one line of the secrets file say? |
//! | [`table`] | what proves this device? |
//! | [`cancel`] | is the work still wanted? |
//! | [`exposure`] | who else may read or change the file? |
//! | [`mod@load`] | which table does this file make, or what is wrong with it? |
//! | `edit` | how is it changed, and nothing lost? For the command line tool only |

pub mod cancel;
#[cfg(feature = "edit")]
pub mod edit;
pub mod exposure;
pub mod line;
pub mod load;
pub mod table;

pub use cancel::{Cancel, Cancelled, Watch};
pub use exposure::Exposure;
pub use line::{Credential, Fingerprint, Fingerprints};
pub use load::{Identity, LoadError, Loaded, load};
pub use table::{Changes, Device, Table};
