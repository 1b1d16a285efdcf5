//! Keeps panics from unwinding into the broker.

use iotda_core::log::Line;
use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
};

thread_local! {
    /// Where this thread last panicked. Plain bytes, which need no drop after the library is unloaded.
    static FAILED_AT: RefCell<Line> = const { RefCell::new(Line::new()) };
}

/// A call that failed on this thread.
pub(super) struct Failure;

impl Failure {
    /// The place in the source; the last one, if there were several panics.
    pub(super) fn line(&self) -> Line {
        FAILED_AT.with(|line| line.try_borrow().map(|line| line.clone()).unwrap_or_default())
    }
}

/// Calls a function and turns a panic into a [`Failure`].
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Failure> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        // Dropping a payload may panic again; that second payload is leaked.
        if let Err(another) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(another);
        }
        Failure
    })
}

/// Keeps the place of a panic for the log. The message is not kept: it may quote what a client sent, or a secret.
pub(super) fn note_panics() {
    panic::set_hook(Box::new(note));
}

/// Undoes [`note_panics`].
pub(super) fn stop_noting_panics() {
    drop(panic::take_hook());
}

fn note(info: &PanicHookInfo<'_>) {
    let line = match info.location() {
        Some(at) => Line::of(format_args!(
            "internal error at {}:{}, please report it",
            at.file(),
            at.line()
        )),
        None => Line::of(format_args!("internal error, please report it")),
    };
    FAILED_AT.with(|place| {
        if let Ok(mut place) = place.try_borrow_mut() {
            *place = line;
        }
    });
}
