//! The library under test, built as it ships.

use once_cell::sync::OnceCell;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The release library: what an operator loads.
pub fn release() -> &'static Path {
    static PATH: OnceCell<PathBuf> = OnceCell::new();
    PATH.get_or_init(|| build(&target_directory(), &[]))
}

/// The same library, but with ClientIds that make it panic.
pub fn with_fault_injection() -> &'static Path {
    static PATH: OnceCell<PathBuf> = OnceCell::new();
    PATH.get_or_init(|| {
        build(&target_directory().join("fault"), &["--features", "fault-injection"])
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
fn build(target: &Path, extra: &[&str]) -> PathBuf {
    let output = Command::new(env!("CARGO"))
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
        .args(extra)
        .arg("--target-dir")
        .arg(target)
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let library = target.join("release/libmosquitto_iotda_auth.so");
    assert!(library.is_file(), "{}", library.display());
    library
}
