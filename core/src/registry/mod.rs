//! Which devices are there, and what proves each of them?
//!
//! | module | the question it answers |
//! |---|---|
//! | [`mod@line`] | what does one line of the secrets file say? |
//! | [`table`] | what proves this device? |
//! | [`cancel`] | is the work still wanted? |
//! | [`mod@read`] | which table does this content make, or what is wrong with it? |
//! | [`given`] | which fingerprint is meant by a text from OpenSSL? |
//! | [`edit`] | what does the content say once some devices have changed? |

pub mod cancel;
pub mod edit;
pub mod given;
pub mod line;
pub mod read;
pub mod table;

pub use cancel::{Cancel, Cancelled, Watch};
pub use line::{Credential, Fingerprint, Fingerprints};
pub use read::LoadError;
pub use table::{Changes, Device, Table};
