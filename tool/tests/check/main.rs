//! `iotda-auth check --config`: small configurations, and what is found in each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod found;
mod systemd;
mod user;

use serde_json::Value;
use std::{
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    process::Command,
};
use support::{
    scratch::{Scratch, set_mode},
    tool::{Said, command, run, tool},
};

const FINGERPRINT: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A folder with what a configuration names.
struct Folder(Scratch);

impl Folder {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.file("right", "lamp:5f2b9c0e7d\n");
        scratch.file("certs", format!("lamp:5f2b9c0e7d\nmeter:x509={FINGERPRINT}\n"));
        scratch.file("empty", "");
        scratch.file("cut", "lamp:5f2b9c0e7d");
        scratch.file("wrong", "lamp:5f2b9c0e7d\nmeter\nlamp:5f2b9c0e7d\n");
        scratch.file("utf16", b"\xFF\xFEl\0a\0m\0p\0:\0x\0\n\0");
        set_mode(&scratch.file("open", "lamp:5f2b9c0e7d\n"), 0o644);
        scratch.file("text", "not a library");
        scratch.file("nul", b"user a\0\n");
        scratch.file("file", "");
        // As much of a plugin as can be seen without loading it.
        let mut library = [0; 20];
        fs::File::open("/proc/self/exe").unwrap().read_exact(&mut library).unwrap();
        library[16] = 3;
        let library = [&library[..], b"\0mosquitto_plugin_version\0"].concat();
        let path = scratch.file("mosquitto_iotda_auth.so", &library);
        scratch.file("other.so", &library);
        library_of_other_kind(&scratch, &library);
        symlink(&path, scratch.path().join("link.so")).unwrap();
        symlink("file", scratch.path().join("link")).unwrap();
        fs::create_dir(scratch.path().join("conf.d")).unwrap();
        scratch.file("conf.d/more.conf", "listener 1884\n");
        fs::create_dir(scratch.path().join("bad.d")).unwrap();
        fs::create_dir(scratch.path().join("bad.d/x.conf")).unwrap();
        Self(scratch)
    }

    /// In a text `$` stands for the folder.
    fn fill(&self, text: &str) -> String {
        text.replace('$', self.0.path().to_str().unwrap())
    }

    fn check(&self, config: &str, arguments: &[&str]) -> Said {
        let config = self.0.file("mosquitto.conf", self.fill(config));
        tool(["check", "--config", config.to_str().unwrap()].iter().chain(arguments))
    }

    /// Each finding: file without the folder, line, severity, id.
    fn findings(&self, config: &str, version: &str) -> Vec<String> {
        let said = self.check(config, &["--broker", version, "--as", &user(), "--format", "json"]);
        let object: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
        let list = object["findings"].as_array().unwrap();
        let errors = list.iter().filter(|finding| finding["severity"] == "error").count();
        assert_eq!(object["errors"], errors, "{said:?}");
        assert_eq!(object["warnings"], list.len() - errors, "{said:?}");
        assert_eq!(said.status, i32::from(errors > 0), "{said:?}");
        for finding in list {
            assert!(!finding["found"].as_str().unwrap().is_empty(), "{said:?}");
            assert!(!finding["advice"].as_str().unwrap().is_empty(), "{said:?}");
        }
        let shown = |finding: &Value| {
            let name = Path::new(finding["file"].as_str().unwrap()).file_name().unwrap();
            let line = finding["line"].as_u64().unwrap_or_default();
            format!("{}:{line} {}", name.to_string_lossy(), finding["id"].as_str().unwrap())
                .replace("mosquitto.conf:", "")
        };
        list.iter().map(shown).collect()
    }
}

fn library_of_other_kind(scratch: &Scratch, library: &[u8]) {
    let mut other = library.to_vec();
    other[18] ^= 0xFF;
    scratch.file("libmosquitto_iotda_auth.so", other);
}

/// Who runs this test.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A right configuration, to which others add. Its plugin is on line 4, the file on line 5.
const RIGHT: &str = "acl_file $/file\npersistent_client_expiration 2h\nlistener 1883\nplugin $/mosquitto_iotda_auth.so\n\
                     plugin_opt_secrets_file $/right\n";
/// With TLS, below a listener.
const TLS: &str = "certfile $/file\nkeyfile $/file\n";

/// The whole configuration of a row.
fn whole(text: &str) -> String {
    match text.strip_prefix("SECRETS ") {
        Some(file) => RIGHT.replace("$/right", file),
        None if ["listener 18", "listener.18", "plugin_opt_secrets_file"]
            .iter()
            .any(|own| text.contains(own))
            && !text.starts_with("plugin $/") =>
        {
            text.into()
        }
        None => format!("{RIGHT}{text}\n"),
    }
}

#[test]
fn a_finding_is_a_line_as_from_a_compiler() {
    let folder = Folder::new();
    let said = folder
        .check(&whole("max_qos 3\nplugin_opt_x_y 1"), &["--broker", "2.0.21", "--as", &user()]);
    let expected = "$/mosquitto.conf:6: error: max_qos: expected a number from 0 to 2, found \"3\": correct the line: the broker \
                    ends at the first such line [config-line]\n\
                    $/mosquitto.conf:7: error: plugin_opt_x_y: unknown option, expected one of ";
    assert!(said.out.starts_with(&folder.fill(expected)), "{said:?}");
    let summary = format!(
        "$/mosquitto.conf: 2 errors, 0 warnings; 1 line with this plugin, 1 device; as Mosquitto 2.0.21, as user {}\n",
        user()
    );
    assert!(said.out.ends_with(&folder.fill(&summary)), "{said:?}");
    assert_eq!((said.status, said.err.as_str()), (1, ""));
}

#[test]
fn warnings_count_only_with_strict() {
    let folder = Folder::new();
    let config = whole("allow_anonymous true");
    let user = user();
    assert_eq!(folder.check(&config, &["--broker", "2.1.2", "--as", &user]).status, 0);
    assert_eq!(folder.check(&config, &["--broker", "2.1.2", "--as", &user, "--strict"]).status, 1);
    assert_eq!(folder.check(RIGHT, &["--broker", "2.1.2", "--as", &user, "--strict"]).status, 0);
}

/// A stand-in for the installed broker.
fn program(folder: &Folder, version: &str) -> String {
    let script = format!("#!/bin/sh\necho 'mosquitto version {version}'\nexit 3\n");
    let path = folder.0.file("mosquitto", script);
    set_mode(&path, 0o755);
    path.to_str().unwrap().into()
}

#[test]
fn the_broker_that_is_meant_is_named_or_asked() {
    let folder = Folder::new();
    let config = whole("plugin_opt_session_id device");
    let user = user();
    let older = program(&folder, "2.0.18");
    assert_eq!(folder.check(&config, &["--as", &user, "--broker", &older]).status, 1);
    let newer = program(&folder, "2.1.2");
    assert_eq!(folder.check(&config, &["--as", &user, "--broker", &newer]).status, 0);
    for broker in ["2", "1.6.9", "/missing/mosquitto", "$"] {
        folder
            .check(&config, &["--broker", broker])
            .is_misuse("--broker: expected a version like 2.0.21 or the path of a broker");
    }
    // The one that is installed: the first in the PATH.
    let mut command = command(["check", "--as", &user, "--config"]);
    command.arg(folder.0.file("mosquitto.conf", folder.fill(&config)));
    command.env("PATH", folder.0.path());
    assert!(run(command, b"").out.contains("as Mosquitto 2.1.2"));
}

/// What only one series finds is said of that, and does not stop the start of the other.
#[test]
fn without_a_broker_both_series_are_told() {
    if ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .iter()
        .any(|path| Path::new(path).exists())
    {
        return;
    }
    let folder = Folder::new();
    let text = whole(
        "plugin_opt_session_id device\nplugin_opt_keepalive 0\nglobal_max_clients 1\nmax_qos 1x",
    );
    let mut command = command(["check", "--as", &user(), "--config"]);
    command.arg(folder.0.file("mosquitto.conf", folder.fill(&text))).env("PATH", "/nowhere");
    let said = run(command, b"");
    let lines: Vec<_> =
        said.out.lines().map(|line| line.split_once("mosquitto.conf").unwrap().1).collect();
    for (line, expected) in lines.iter().zip([
        ":6: warning: with Mosquitto 2.0: plugin_opt_session_id",
        ":7: error: plugin_opt_keepalive",
        ":8: warning: with Mosquitto 2.0: global_max_clients",
        ":9: warning: with Mosquitto 2.1: max_qos",
        ": 1 error, 3 warnings; ",
    ]) {
        assert!(line.starts_with(expected), "expected {expected}: {said:?}");
    }
    assert_eq!((lines.len(), said.status), (5, 1), "{said:?}");
}

#[test]
fn misuse_is_told() {
    let folder = Folder::new();
    let path = folder.0.path().to_str().unwrap().to_string();
    tool(["check"]).is_misuse("--config or FILE: expected a secrets file");
    tool(["check", "--strict", "file"]).is_misuse("--strict and --broker are for --config");
    tool(["check", "--config", "x", "file"]).is_misuse("cannot be used with");
    tool(["check", "--config", &format!("{path}/missing")])
        .is_misuse("there is no \"missing\" in the folder");
    tool(["check", "--config", &path]).is_misuse("is a directory, not a regular file");
}

/// Text of a file may hold control sequences for the terminal.
#[test]
fn texts_of_the_files_are_harmless() {
    let folder = Folder::new();
    let said = folder.check("list\x1b[31mener\nplugin_opt_\x1b \x1b\n", &["--broker", "2.1.2"]);
    assert!(!said.out.contains('\x1b') && said.out.contains("\\u{1b}[31m"), "{said:?}");
}

#[test]
fn a_secrets_file_comes_from_standard_input_too() {
    let check = |input: &str, more: &[&str]| {
        run(command(["check", "-"].iter().chain(more)), input.as_bytes())
    };
    check("lamp:5f2b9c0e7d\n", &[]).is(0, "standard input: 1 device\n", "");
    let said = check("lamp:5f2b9c0e7d\nlamp\n", &[]).without(&["5f2b9c0e7d"]);
    said.tells(
        1,
        "standard input:2: expected device_id:secret, found no colon\n",
        "standard input: 1 wrong line",
    );
    let said = check("lamp", &["--format", "json"]);
    let object: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (said.status, &object["findings"][0]["id"]),
        (1, &"secrets-line".into()),
        "{said:?}"
    );
    assert_eq!((&object["errors"], &object["devices"]), (&1.into(), &Value::Null));
    let said = check("lamp:5f2b9c0e7d", &["--format", "json"]);
    let object: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (said.status, &object["findings"][0]["id"]),
        (0, &"secrets-no-newline".into()),
        "{said:?}"
    );
    assert_eq!((&object["errors"], &object["devices"]), (&0.into(), &1.into()));
}
