//! The library that ships: what it exports to the broker, and what it needs from the system.
//!
//! Each check reads the output of `nm` or `readelf`, and is tested to fail on a wrong library.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use support::{c, library, scratch::Scratch};

const ENTRY_POINTS: [&str; 3] =
    ["mosquitto_plugin_cleanup", "mosquitto_plugin_init", "mosquitto_plugin_version"];
const MAX_SIZE: u64 = 1_000_000;
/// The libc of Debian 12, the oldest system with a broker that we support.
const OLDEST_LIBC: (u32, u32) = (2, 36);

/// The symbols that `nm --dynamic` lists, without their versions.
fn symbols(nm: &str) -> BTreeSet<&str> {
    let names = nm.lines().filter_map(|line| line.split_whitespace().last());
    names.map(|name| name.split('@').next().unwrap_or(name)).collect()
}

/// Only the entry points are exported: on 2.0, every other plugin would see any further symbol.
fn check_exports(nm_of_defined: &str) -> Result<(), String> {
    let found = symbols(nm_of_defined);
    if found == BTreeSet::from(ENTRY_POINTS) { Ok(()) } else { Err(format!("exports {found:?}")) }
}

/// No function of the broker is linked by name: a broker that lacks it could not load the library.
fn check_undefined(nm_of_undefined: &str) -> Result<(), String> {
    let found = symbols(nm_of_undefined);
    match found.iter().find(|name| name.starts_with("mosquitto_")) {
        None if !found.is_empty() => Ok(()),
        None => Err("refers to nothing at all, not even libc".into()),
        Some(name) => Err(format!("refers to {name}")),
    }
}

/// The library needs nothing that a system with a broker and gcc's run time may lack.
fn check_needed(readelf_dynamic: &str) -> Result<(), String> {
    let needed: Vec<&str> = readelf_dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    let expected = |name: &&&str| {
        // The dynamic loader is part of libc.
        ["libc.so.6", "libgcc_s.so.1"].contains(name) || name.starts_with("ld-linux")
    };
    match needed.iter().find(|name| !expected(name)) {
        None if needed.contains(&"libc.so.6") => Ok(()),
        None => Err(format!("needs no libc: {needed:?}")),
        Some(name) => Err(format!("needs {name}")),
    }
}

/// The versions of glibc's symbols that are needed.
fn libc_versions(readelf_versions: &str) -> BTreeSet<(u32, u32)> {
    let names = readelf_versions.split("Name: GLIBC_").skip(1);
    names.filter_map(|rest| version(rest.split_whitespace().next()?)).collect()
}

/// No symbol is newer than a libc.
fn check_libc(readelf_versions: &str, libc: (u32, u32)) -> Result<(), String> {
    match libc_versions(readelf_versions).last() {
        None => Err("no version of libc is asked for".into()),
        Some(newest) if *newest > libc => Err(format!("needs glibc {newest:?}, found {libc:?}")),
        Some(_) => Ok(()),
    }
}

fn check_size(size: u64) -> Result<(), String> {
    if size < MAX_SIZE { Ok(()) } else { Err(format!("{size} bytes")) }
}

/// `2.36`, `2.2.5`: the first two numbers.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn nm(library: &Path, which: &str) -> String {
    c::text_of(Command::new("nm").args(["--dynamic", which]).arg(library).env("LC_ALL", "C"))
}

fn readelf(library: &Path, what: &str) -> String {
    c::text_of(Command::new("readelf").args(["--wide", what]).arg(library).env("LC_ALL", "C"))
}

fn exports(library: &Path) -> Result<(), String> {
    check_exports(&nm(library, "--defined-only"))
}

fn undefined(library: &Path) -> Result<(), String> {
    check_undefined(&nm(library, "--undefined-only"))
}

fn needed(library: &Path) -> Result<(), String> {
    check_needed(&readelf(library, "--dynamic"))
}

#[test]
fn exports_the_entry_points_and_nothing_else() {
    exports(library::release()).unwrap();
}

#[test]
fn refers_to_no_function_of_the_broker() {
    undefined(library::release()).unwrap();
}

#[test]
fn needs_libc_and_gccs_run_time_alone() {
    needed(library::release()).unwrap();
}

#[test]
fn needs_no_newer_libc_than_the_oldest_broker_has() {
    let versions = readelf(library::release(), "--version-info");
    let here = c::text_of(Command::new("getconf").arg("GNU_LIBC_VERSION"));
    let here = here.split_whitespace().last().and_then(version).expect("glibc 2.x");
    if here <= OLDEST_LIBC {
        check_libc(&versions, OLDEST_LIBC).unwrap();
    } else {
        // A library's needs depend on where it is built; the one that ships is built on the oldest system.
        println!("built with glibc {here:?}, needs {:?}", libc_versions(&versions).last());
        check_libc(&versions, here).unwrap();
    }
}

#[test]
fn is_small() {
    check_size(fs::metadata(library::release()).unwrap().len()).unwrap();
}

/// A library in C, with the given code instead of the plugin's.
fn build(scratch: &Scratch, code: &str, flags: &[&str]) -> PathBuf {
    let source = scratch.file("plugin.c", code);
    let flags = ["-shared", "-fPIC", "-Wl,--no-as-needed"].into_iter().chain(flags.iter().copied());
    c::build(&source, scratch.path().join("plugin.so"), flags)
}

const PLUGIN: &str = "#include <stdio.h>\n\
    int mosquitto_plugin_version(void) { return 5; }\n\
    int mosquitto_plugin_init(void) { return puts(\"init\"); }\n\
    int mosquitto_plugin_cleanup(void) { return 0; }\n";

#[test]
fn the_checks_pass_a_good_library() {
    let scratch = Scratch::new();
    let good = build(&scratch, PLUGIN, &[]);
    exports(&good).unwrap();
    undefined(&good).unwrap();
    needed(&good).unwrap();
}

#[test]
fn a_fourth_symbol_is_noticed() {
    let scratch = Scratch::new();
    let code = format!("{PLUGIN}int helper = 1;\n");
    assert!(exports(&build(&scratch, &code, &[])).unwrap_err().contains("helper"));
    let code = format!("{PLUGIN}__attribute__((weak)) int helper(void) {{ return 1; }}\n");
    assert!(exports(&build(&scratch, &code, &[])).unwrap_err().contains("helper"));
}

#[test]
fn a_symbol_that_is_not_there_is_noticed() {
    for name in ENTRY_POINTS {
        let scratch = Scratch::new();
        let code = PLUGIN.replace(&format!("int {name}"), &format!("static int {name}"));
        let library = build(&scratch, &code, &["-Wno-unused-function"]);
        assert!(!exports(&library).unwrap_err().contains(name), "{name}");
    }
}

#[test]
fn a_function_of_the_brokers_is_noticed() {
    for attribute in ["", "__attribute__((weak)) "] {
        let scratch = Scratch::new();
        let code = format!(
            "{attribute}void mosquitto_log_printf(int, const char *, ...);\n{}",
            PLUGIN.replace("return 0", "mosquitto_log_printf(1, \"end\"); return 0")
        );
        let message = undefined(&build(&scratch, &code, &[])).unwrap_err();
        assert_eq!(message, "refers to mosquitto_log_printf");
    }
}

#[test]
fn another_library_is_noticed() {
    let scratch = Scratch::new();
    assert_eq!(needed(&build(&scratch, PLUGIN, &["-lm"])).unwrap_err(), "needs libm.so.6");
}

#[test]
fn no_libc_is_noticed() {
    let scratch = Scratch::new();
    let library = build(&scratch, "int nothing;", &["-nostdlib"]);
    assert!(needed(&library).unwrap_err().contains("no libc"));
    assert!(undefined(&library).unwrap_err().contains("not even libc"));
    assert!(check_libc(&readelf(&library, "--version-info"), OLDEST_LIBC).is_err());
}

#[test]
fn a_newer_libc_is_noticed() {
    let versions = readelf(library::release(), "--version-info");
    let newest = *libc_versions(&versions).last().unwrap();
    assert!(check_libc(&versions, newest).is_ok());
    let older = (newest.0, newest.1 - 1);
    assert!(check_libc(&versions, older).unwrap_err().contains("needs glibc"));
    // Numbers, not texts.
    assert!(check_libc("Name: GLIBC_2.4  Flags: none\n", (2, 36)).is_ok());
    assert!(check_libc("Name: GLIBC_2.4\n Name: GLIBC_2.100\n", (2, 36)).is_err());
}

#[test]
fn a_large_library_is_noticed() {
    assert!(check_size(MAX_SIZE - 1).is_ok());
    assert!(check_size(MAX_SIZE).is_err());
}
