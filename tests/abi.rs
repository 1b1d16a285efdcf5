//! Compares our declarations of the broker's interface, `include/iotda_broker.h`, with the headers of Debian's mosquitto-dev
//! of each supported version.
//!
//! `abi/check.c` compares them; here it is compiled, and tested to notice differences. Bindgen's code and the types in
//! `src/ffi` assert that the Rust types are those of our header.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
};
use support::{broker, c, library::root, on_every_broker, scratch::Scratch, version::Version};

on_every_broker!(agrees; from 2.1: notices_a_difference);

const HEADERS: [&str; 3] = ["mosquitto.h", "mosquitto_broker.h", "mosquitto_plugin.h"];

/// Where a version's headers are, and the version number in them, if known.
struct Headers {
    folder: PathBuf,
    number: Option<u32>,
}

fn of_version(version: Version) -> Headers {
    let number = broker::real_version(version).header_number();
    Headers { folder: broker::installation(version).join("root/usr/include"), number }
}

/// Compiles the check with our header from a folder; returns the compiler's output if it does not compile.
fn check(headers: &Headers, ours: &Path) -> Result<(), String> {
    for name in HEADERS {
        // Otherwise the compiler would also search where another version may be installed.
        let header = headers.folder.join(name);
        assert!(header.is_file(), "no {}: ./dev test brings it", header.display());
    }
    let mut command = c::compiler();
    // 2.1 warns of the names that its headers had in 2.0.
    command.args(["-fsyntax-only", "-Wno-cpp", "-I"]).arg(ours);
    command.arg("-isystem").arg(&headers.folder);
    command.args(headers.number.map(|number| format!("-DEXPECTED_VERSION={number}")));
    let output = c::run(command.arg(root().join("tests/abi/check.c")));
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn our_folder() -> PathBuf {
    root().join("include")
}

fn our_header() -> String {
    fs::read_to_string(our_folder().join("iotda_broker.h")).unwrap()
}

fn agrees(version: Version) {
    if let Err(message) = check(&of_version(version), &our_folder()) {
        panic!("{message}");
    }
}

/// A header that has changed needs new bindings. `./dev lint` checks with bindgen that they are right.
#[test]
fn bindings_were_made_from_our_header() {
    let sum = hex::encode(Sha256::digest(our_header()));
    for bits in ["64", "32"] {
        let path = root().join(format!("src/ffi/bindings/{bits}_bit.rs"));
        let bindings = fs::read_to_string(&path).unwrap();
        assert!(
            bindings.contains(&format!("SHA-256 of include/iotda_broker.h: {sum}\n")),
            "{} was made from another header: ./dev bindings makes it anew",
            path.display()
        );
    }
}

/// Changes to our header, and the name that the compiler's error must have.
const MUTATIONS: [(&str, &str, &str); 16] = [
    ("#define IOTDA_PLUGIN_VERSION 5", "#define IOTDA_PLUGIN_VERSION 4", "IOTDA_PLUGIN_VERSION"),
    ("#define IOTDA_ERR_AUTH 11", "#define IOTDA_ERR_AUTH 12", "IOTDA_ERR_AUTH"),
    ("#define IOTDA_EVT_TICK 9", "#define IOTDA_EVT_TICK 10", "IOTDA_EVT_TICK"),
    ("OFFLINE 28", "OFFLINE 27", "IOTDA_EVT_CLIENT_OFFLINE"),
    ("#define IOTDA_LOG_ERR 8", "#define IOTDA_LOG_ERR 4", "IOTDA_LOG_ERR"),
    ("\tchar *key;\n\tchar *value;", "\tchar *value;\n\tchar *key;", "offset of key"),
    ("\tchar *value;\n", "\tchar *value;\n\tint more;\n", "struct iotda_opt has not the size"),
    (
        "\tchar *username;\n\tchar *password;",
        "\tchar *password;\n\tchar *username;",
        "offset of password",
    ),
    ("\tchar *password;", "\tconst char *password;", "type of password"),
    ("\tint reason;", "\tunsigned reason;", "type of reason"),
    ("\tint reason;\n\tvoid *future2[4];", "\tint reason;", "struct iotda_evt_disconnect has not"),
    ("(int event, void *event_data", "(long event, void *event_data", "iotda_callback is not"),
    ("\t\tconst void *event_data, void *userdata)", "\t\tvoid *userdata)", "callback_register"),
    ("(int level, const char *format, ...)", "(int level, const char *format)", "log_printf"),
    ("(*iotda_client_int)(const struct", "(*iotda_client_int)(struct", "client_keepalive"),
    ("const char *plugin_name", "char *plugin_name", "plugin_set_info"),
];

fn notices_a_difference(version: Version) {
    let headers = of_version(version);
    for (original, changed, named) in MUTATIONS {
        let header = our_header();
        assert_eq!(header.matches(original).count(), 1, "{original:?} is to be found once");
        let scratch = Scratch::new();
        scratch.file("iotda_broker.h", header.replace(original, changed));
        let message = check(&headers, scratch.path())
            .expect_err(&format!("{changed:?} in place of {original:?} was not noticed"));
        assert!(message.contains("static assertion failed"), "{changed:?}: {message}");
        assert!(message.contains(named), "{changed:?}: {message}");
    }
}

#[test]
fn notices_another_entry_point_on_2_0_11() {
    let headers = of_version(Version::new(2, 0, 11));
    for (original, changed, named) in [
        ("int supported_version_count, ", "", "iotda_plugin_version"),
        ("void **userdata", "void *userdata", "iotda_plugin_init"),
        ("(void *userdata, struct iotda_opt *options,", "(void *userdata,", "iotda_plugin_cleanup"),
    ] {
        let header = our_header();
        assert_eq!(header.matches(original).count(), 1, "{original:?} is to be found once");
        let scratch = Scratch::new();
        scratch.file("iotda_broker.h", header.replace(original, changed));
        let message = check(&headers, scratch.path()).expect_err(changed);
        assert!(message.contains(named), "{changed:?}: {message}");
    }
}

#[test]
fn notices_another_versions_headers_on_2_0_21() {
    let mut headers = of_version(Version::new(2, 0, 21));
    headers.number = Some(2_000_011);
    let message = check(&headers, &our_folder()).unwrap_err();
    assert!(message.contains("another version's headers"), "{message}");
}

/// The names that our header declares.
fn declared(header: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in header.lines() {
        let name = if let Some(constant) = line.strip_prefix("#define IOTDA_") {
            let (name, value) = constant.split_once(' ').unwrap_or((constant, ""));
            if value.is_empty() {
                continue;
            } // the include guard
            format!("IOTDA_{name}")
        } else if let Some(structure) = line.strip_prefix("struct iotda_") {
            format!("struct iotda_{}", structure.trim_end_matches(" {"))
        } else if let Some((_, function)) = line.split_once("(*iotda_") {
            format!("iotda_{}", function.split(')').next().unwrap())
        } else {
            continue;
        };
        names.push(name);
    }
    names
}

#[test]
fn leaves_nothing_of_our_header_out() {
    let check = fs::read_to_string(root().join("tests/abi/check.c")).unwrap();
    let names = declared(&our_header());
    assert!(names.len() >= 30, "{names:?}");
    // Libcrypto's, not the broker's: tests/broker/certificates.rs has real brokers call them.
    let of_libcrypto = ["iotda_i2d_x509", "iotda_x509_free"];
    assert!(of_libcrypto.iter().all(|name| names.iter().any(|declared| declared == name)));
    for name in names.iter().filter(|name| !of_libcrypto.contains(&name.as_str())) {
        let checked = ["(", ","].iter().any(|before| {
            [",", ")"].iter().any(|after| check.contains(&format!("{before}{name}{after}")))
        });
        assert!(checked, "{name} is not held against the broker's header");
    }
}

#[test]
fn looks_up_only_functions_that_are_held_against_the_header() {
    let source = fs::read_to_string(root().join("src/ffi/broker.rs")).unwrap();
    let check = fs::read_to_string(root().join("tests/abi/check.c")).unwrap();
    let names: Vec<&str> = source
        .split("c\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| name.starts_with("mosquitto_"))
        .collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(check.contains(&format!(", {name})")), "{name} is not held against the header");
    }
}
