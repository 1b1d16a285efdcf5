//! What the verbs of the tool have in common: each rule is tested on all verbs that it is for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod place;
mod secrets_file;
