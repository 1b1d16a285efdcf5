//! What the verbs of the tool have in common: each rule is tested on all verbs that it is for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod certificates;
mod completions;
mod list;
mod manual;
mod new_files;
mod place;
mod said;
mod secrets_file;
mod statuses;
mod test_certificates;
mod unwritable;
