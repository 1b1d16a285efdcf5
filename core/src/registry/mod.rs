//! Which devices are there, and what proves each of them?
//!
//! | module | the question it answers |
//! |---|---|
//! | [`mod@line`] | what does one line of the secrets file say? |
//! | [`table`] | what proves this device? |
//! | [`cancel`] | is the work still wanted? |
//! | [`mod@read`] | which table does this content make, or what is wrong with it? |
//! | [`load_error`] | why does a file make no table? |
//! | [`foreign`] | what is this content, if it is no secrets file? |
//! | [`given`] | which fingerprint is meant by a text from OpenSSL? |
//! | [`edit`] | what does the content say once some devices have changed? |

pub mod cancel;
pub mod edit;
pub mod foreign;
pub mod given;
pub mod line;
pub mod load_error;
pub mod read;
pub mod table;

pub use cancel::{Cancel, Cancelled, Watch};
pub use foreign::Foreign;
pub use line::{Credential, Fingerprint, Fingerprints};
pub use load_error::{FileKind, LoadError};
pub use table::{Changes, Device, Table};
