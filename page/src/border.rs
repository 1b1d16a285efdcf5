//! How do requests and answers cross between JavaScript and this?
//!
//! JavaScript asks for room ([`input`]), writes the request there, calls [`answer`], reads that many bytes at [`output`], and
//! calls [`wipe`]. WebAssembly in a page has one thread.

// Exporting a name is unsafe only because two libraries could export the same one.
#![allow(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroize;

static REQUEST: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static ANSWER: Mutex<String> = Mutex::new(String::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Room for a request of this many bytes of UTF-8.
#[unsafe(no_mangle)]
extern "C" fn input(length: usize) -> *mut u8 {
    let mut request = lock(&REQUEST);
    request.zeroize();
    request.resize(length, 0);
    request.as_mut_ptr()
}

/// Answers the request, and returns how many bytes the answer has.
#[unsafe(no_mangle)]
extern "C" fn answer() -> usize {
    let request = lock(&REQUEST);
    let mut answer = lock(&ANSWER);
    *answer = crate::answer::answer(&String::from_utf8_lossy(&request));
    answer.len()
}

/// Where the answer is, in UTF-8.
#[unsafe(no_mangle)]
extern "C" fn output() -> *const u8 {
    lock(&ANSWER).as_ptr()
}

/// Overwrites request and answer, which may hold a secret or a password.
#[unsafe(no_mangle)]
extern "C" fn wipe() {
    lock(&REQUEST).zeroize();
    lock(&ANSWER).zeroize();
}
