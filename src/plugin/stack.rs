//! Wipes what work with secrets leaves on the stack.
//!
//! The hash functions keep their current block, which holds the secret, on the stack and do not wipe it. It would stay there
//! until something overwrites it. And std's channels copy such bytes from the stack to the heap, as padding of their
//! elements: half a secret was found there, of a device that was no longer in the file.

use std::hint::black_box;

/// The depth that is wiped, in bytes: half as much again as a check of a login uses.
const DEPTH: usize = 2048;

/// Calls a function, and wipes the part of the stack that it used.
pub(super) fn wiped_after<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    wipe();
    result
}

/// Neither may be inlined into its caller: their stack frames must be in the same place, one after the other.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// The zeroes count as used, so the compiler writes them, and as a block. Volatile writes would be one for each word, which
/// took longer than an HMAC.
#[inline(never)]
fn wipe() {
    black_box(&mut [0u8; DEPTH]);
}
