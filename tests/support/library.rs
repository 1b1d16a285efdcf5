//! The library under test, built as it ships.

use super::c;
use once_cell::sync::OnceCell;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The release library: what an operator loads.
pub fn release() -> &'static Path {
    static PATH: OnceCell<PathBuf> = OnceCell::new();
    PATH.get_or_init(|| built(&mut cargo(&target_directory()), &target_directory()))
}

/// The same library, but with ClientIds that make it panic.
pub fn with_fault_injection() -> &'static Path {
    static PATH: OnceCell<PathBuf> = OnceCell::new();
    PATH.get_or_init(|| {
        let target = target_directory().join("fault");
        built(cargo(&target).args(["--features", "fault-injection"]), &target)
    })
}

/// The library with the checks of AddressSanitizer in its code, and with the same ClientIds that make it panic.
///
/// A stable compiler has them too, and says so when it is told to take itself for an unstable one. What they call is in
/// the C compiler's own library, which whoever loads this one must have been linked with.
pub fn with_address_sanitizer() -> &'static Path {
    static PATH: OnceCell<PathBuf> = OnceCell::new();
    PATH.get_or_init(|| {
        let mut command = cargo(&target_directory().join("asan"));
        // For a target, so that build scripts are none of it.
        let target = c::machine();
        command.args(["--features", "fault-injection", "--target", &target]);
        // Link-time optimisation would take most of the time, and a report needs names.
        command.args(["--config", "profile.release.lto=false"]);
        command.args(["--config", "profile.release.strip=false"]);
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
        built(&mut command, &target_directory().join("asan").join(target))
    })
}

/// The crate's own folder.
pub fn crate_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo builds; `CARGO_TARGET_TMPDIR` is a folder in it.
pub fn target_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_path_buf()
}

/// Builds the library alone, for link-time optimisation is silently left out where an rlib is built with it.
fn cargo(target: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(crate_directory())
        .args([
            "rustc",
            "--release",
            "--lib",
            "--crate-type",
            "cdylib",
            "--no-default-features",
            "--quiet",
        ])
        .arg("--target-dir")
        .arg(target)
        .env_remove("RUSTFLAGS");
    command
}

fn built(command: &mut Command, target: &Path) -> PathBuf {
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let library = target.join("release/libmosquitto_iotda_auth.so");
    assert!(library.is_file(), "{}", library.display());
    library
}
