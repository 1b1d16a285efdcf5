//! Work that may be called off: a broker that ends does not wait for ten million devices to be read.

use std::sync::atomic::{AtomicBool, Ordering};

/// Says whether the work is still wanted. Looking costs next to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Cancel<'a>(Option<&'a AtomicBool>);

/// The work was called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl<'a> Cancel<'a> {
    /// The work is wanted to its end.
    pub const NEVER: Self = Self(None);

    /// The work is wanted until this is true.
    #[must_use]
    pub fn when(flag: &'a AtomicBool) -> Self {
        Self(Some(flag))
    }

    /// An error once the work is no longer wanted.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    pub fn check(self) -> Result<(), Cancelled> {
        if self.0.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }
}
