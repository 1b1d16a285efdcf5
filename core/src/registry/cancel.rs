//! Work that can be cancelled, and whose progress can be watched. So a broker that ends need not wait until millions of
//! devices are read, and one that starts does not wait forever for a file that does not answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the working thread and the waiting thread share.
#[derive(Debug, Default)]
pub struct Watch {
    called_off: AtomicBool,
    /// How often the work has checked whether it is still wanted.
    steps: AtomicU64,
}

impl Watch {
    /// Says that the work is no longer wanted.
    pub fn call_off(&self) {
        self.called_off.store(true, Ordering::Relaxed);
    }

    /// A number that grows while the work makes progress.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

/// Tells whether the work is still wanted. Checking it is cheap.
#[derive(Clone, Copy, Debug)]
pub struct Cancel<'a>(Option<&'a Watch>);

/// The work was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl<'a> Cancel<'a> {
    /// Work that is never cancelled.
    pub const NEVER: Self = Self(None);

    /// Work that this watch may cancel.
    #[must_use]
    pub fn when(watch: &'a Watch) -> Self {
        Self(Some(watch))
    }

    /// Returns an error once the work is no longer wanted.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    pub fn check(self) -> Result<(), Cancelled> {
        let Some(watch) = self.0 else { return Ok(()) };
        watch.steps.fetch_add(1, Ordering::Relaxed);
        if watch.called_off.load(Ordering::Relaxed) { Err(Cancelled) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_goes_on_until_it_is_called_off_and_shows_that_it_does() {
        let watch = Watch::default();
        let cancel = Cancel::when(&watch);
        for step in 1..=3 {
            assert_eq!(cancel.check(), Ok(()));
            assert_eq!(watch.steps(), step);
        }
        watch.call_off();
        assert_eq!(cancel.check(), Err(Cancelled));
        assert_eq!(Cancel::NEVER.check(), Ok(()));
    }
}
