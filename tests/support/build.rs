//! Makes `BROKERS` and `on_every_broker!` of the list of brokers.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{env, fmt::Write, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=brokers");
    let list = fs::read_to_string("brokers").unwrap();
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let versions: Vec<[u32; 3]> = lines
        .map(|line| {
            let version = line.split(' ').next().unwrap();
            let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
            numbers.try_into().unwrap_or_else(|_| panic!("{line}: expected MAJOR.MINOR.PATCH"))
        })
        .collect();
    assert!(versions.is_sorted(), "tests/support/brokers: expected the oldest first");
    let (mut all, mut modules) = (String::new(), String::new());
    for [major, minor, patch] in &versions {
        let version = format!("$crate::version::Version::new({major}, {minor}, {patch})");
        write!(all, "{},", version.replace('$', "")).unwrap();
        let test = |name| format!("$(#[test] fn ${name}() {{ super::${name}({version}); }})");
        // Twice optional: the part, and what is in it.
        let newer = if [*major, *minor] >= [2, 1] {
            format!("$({}+)?", test("newer"))
        } else {
            String::new()
        };
        writeln!(modules, "mod on_{major}_{minor}_{patch} {{ {}* {newer} }}", test("name"))
            .unwrap();
    }
    let code = format!(
        "/// The brokers that the tests run on, oldest first.
        pub const BROKERS: [version::Version; {}] = [{all}];

        /// Makes of each named function, which takes a broker's [`Version`](version::Version), a test for each broker; of those
        /// behind `from 2.1:`, for each of 2.1 or later.
        #[macro_export]
        macro_rules! on_every_broker {{
            (from 2.1: $($newer:ident),+ $(,)?) => {{ $crate::on_every_broker!(; from 2.1: $($newer),+); }};
            ($($name:ident),* $(,)? $(; from 2.1: $($newer:ident),+ $(,)?)?) => {{ {modules} }};
        }}",
        versions.len()
    );
    fs::write(Path::new(&env::var_os("OUT_DIR").unwrap()).join("brokers.rs"), code).unwrap();
}
