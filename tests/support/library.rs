//! The library under test, built like the one that ships.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The release library: what an operator loads. `IOTDA_LIBRARY` names one that is built already, such as a package's.
pub fn release() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        named("IOTDA_LIBRARY")
            .unwrap_or_else(|| built(&mut cargo(target_directory()), target_directory()))
    })
}

/// The same library, but with ClientIds that make it panic. `IOTDA_FAULT_LIBRARY` names one that is built already.
pub fn with_fault_injection() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        named("IOTDA_FAULT_LIBRARY").unwrap_or_else(|| {
            let target = target_directory().join("fault");
            built(cargo(&target).args(["--features", "fault-injection"]), &target)
        })
    })
}

/// The version that the library says it is; `IOTDA_LIBRARY_VERSION` is that of `IOTDA_LIBRARY`.
pub fn version() -> String {
    env::var("IOTDA_LIBRARY_VERSION").unwrap_or_else(|_| iotda_core::VERSION.into())
}

/// The library that a variable of the environment names.
fn named(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable)?);
    assert!(path.is_file(), "{variable}: expected a library, found none at {}", path.display());
    Some(path)
}

/// The library with the checks of AddressSanitizer in its code, and with the same ClientIds that make it panic.
///
/// A stable compiler has them too, but only with RUSTC_BOOTSTRAP. The functions that they call are in the C compiler's own
/// library, with which the program that loads this library must be linked.
pub fn with_address_sanitizer() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let mut command = cargo(&target_directory().join("asan"));
        // With a target, so that build scripts are built without the checks.
        let target = machine();
        command.args(["--features", "fault-injection", "--target", &target]);
        // Link-time optimisation would take most of the time, and a report needs function names.
        command.args(["--config", "profile.release.lto=false"]);
        command.args(["--config", "profile.release.strip=false"]);
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
        built(&mut command, &target_directory().join("asan").join(target))
    })
}

/// The command line tool, in a debug build.
pub fn tool() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let mut command = toolchain();
        command.args(["build", "--quiet", "--package", "iotda-auth"]);
        run(command.arg("--target-dir").arg(target_directory()));
        target_directory().join("debug/iotda-auth")
    })
}

/// The same, as a text.
pub fn tool_path() -> &'static str {
    tool().to_str().expect("a folder whose name is UTF-8")
}

/// The compiler's name for this machine (the target triple).
pub fn machine() -> String {
    format!("{}-unknown-linux-gnu", env::consts::ARCH)
}

/// The folder of the whole project.
pub fn root() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap())
}

/// Cargo's target folder: the running test is in it. It has cargo's marker file, unless `./dev package` has made the folder: then it
/// is the one that holds the profile's, which has a folder `deps`.
pub fn target_directory() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let test = env::current_exe().unwrap();
        let is_marked = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
        let has_deps = |folder: &&Path| folder.join("deps").is_dir();
        let unmarked = || test.ancestors().find(has_deps).and_then(Path::parent);
        test.ancestors().find(is_marked).or_else(unmarked).unwrap().into()
    })
}

/// A folder in it for the files of tests.
pub fn temporary_directory() -> PathBuf {
    let folder = target_directory().join("tmp");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The cargo, and the compiler beside it, that have built this program. Outside of cargo, rustup would take the compiler that a
/// crate's own rust-toolchain file names.
fn toolchain() -> Command {
    let cargo = Path::new(env!("CARGO"));
    let mut command = Command::new(cargo);
    let rustc = cargo.with_file_name("rustc");
    if rustc.is_file() {
        command.env("RUSTC", rustc);
    }
    command.current_dir(root());
    command
}

fn cargo(target: &Path) -> Command {
    let mut command = toolchain();
    command
        .args(["build", "--release", "--package", "mosquitto-iotda-auth", "--quiet"])
        .arg("--target-dir")
        .arg(target)
        .env_remove("RUSTFLAGS");
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn built(command: &mut Command, target: &Path) -> PathBuf {
    run(command);
    let library = target.join("release/libmosquitto_iotda_auth.so");
    assert!(library.is_file(), "{}", library.display());
    library
}
