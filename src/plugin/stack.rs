//! What work with secrets leaves on the stack is wiped.
//!
//! The hashes keep the block that they work on, which holds the secret, and do not wipe it. It would stay on the stack
//! until something else comes to lie there, and std's channels copy whatever lies on the stack to the heap, as the
//! padding of what they hold: half a secret was found there, of a device that was no longer in the file.

use std::hint::black_box;

/// Deeper than a check of a login reaches, by half, in bytes.
const DEPTH: usize = 2048;

/// Does something, and wipes the part of the stack that it was done on.
pub(super) fn wiped_after<T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    wipe();
    result
}

/// Neither may become a part of its caller: then they would not lie in the same place, one after the other.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// The zeroes count as used, so they are written: as a block, where a volatile write would be one for each word, which took
/// longer than an HMAC.
#[inline(never)]
fn wipe() {
    black_box(&mut [0u8; DEPTH]);
}
