//! `cargo build --release` leaves the library that is shipped, and the tool.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use support::{
    c::text_of,
    library::{release, root, target_directory},
};

/// Cargo in the project's folder, as an operator runs it.
fn cargo<T: AsRef<OsStr>>(arguments: impl IntoIterator<Item = T>, target: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).env_remove("RUSTFLAGS").arg("--quiet").args(arguments);
    text_of(cargo.arg("--target-dir").arg(target));
}

/// The library is the same whether it is built alone or with the tool, and whichever came first.
#[test]
fn one_command_builds_the_library_and_the_tool() {
    let alone = fs::read(release()).unwrap();
    cargo(["build", "--release"], target_directory());
    assert!(fs::read(release()).unwrap() == alone, "built with the tool it is another");
    let tool = target_directory().join("release/iotda-auth");
    assert!(text_of(Command::new(tool).arg("--version")).starts_with("iotda-auth "));
    cargo(["build", "--release", "--package", "mosquitto-iotda-auth"], target_directory());
    assert!(fs::read(release()).unwrap() == alone, "built after the tool it is another");
}

/// Link-time optimisation makes it much smaller. Cargo silently leaves that out if a Rust crate may link the same library.
#[test]
fn the_library_is_optimised_as_a_whole() {
    let target = target_directory().join("no-lto");
    let off = "profile.release.lto=\"off\"";
    cargo(["build", "--release", "--package", "mosquitto-iotda-auth", "--config", off], &target);
    let size = |path: PathBuf| fs::metadata(path).unwrap().len();
    let (with, without) =
        (size(release().into()), size(target.join("release/libmosquitto_iotda_auth.so")));
    assert!(with * 100 < without * 95, "{with} bytes, and {without} without LTO");
}

/// Two users build the same bytes: no path of theirs is in them.
#[test]
fn no_folder_of_the_builders_is_left() {
    cargo(["build", "--release"], target_directory());
    let home = env::var("HOME").unwrap_or_else(|_| "/root".into());
    let folders = [home, root().display().to_string(), "/registry/src/".into()];
    for file in [release(), &target_directory().join("release/iotda-auth")] {
        let bytes = fs::read(file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for folder in folders.iter().filter(|folder| folder.len() > 1) {
            let found = text
                .find(folder.as_str())
                .map(|at| text[at..].split(char::from(0)).next().unwrap());
            assert_eq!(found, None, "{}", file.display());
        }
    }
}
