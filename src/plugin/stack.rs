//! What work with secrets leaves on the stack is wiped.
//!
//! The hashes keep the block that they work on, which holds the secret, and do not wipe it. It would stay on the stack
//! until something else comes to lie there, and std's channels copy whatever lies on the stack to the heap, as the
//! padding of what they hold: half a secret was found there, of a device that was no longer in the file.

use zeroize::Zeroize;

/// Deeper than a check of a login reaches, by half, in words of eight bytes.
const DEPTH: usize = 256;

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

#[inline(never)]
fn wipe() {
    [0u64; DEPTH].zeroize();
}
