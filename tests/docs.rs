//! Compares the documents, the example and `./dev` with the code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iotda_core::{
    login::{Kind, Refusal},
    options::{OPTIONS, Options},
};
use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};
use support::{
    BROKERS,
    matrix::{LISTENERS, MATRIX},
    tool::tool,
};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The documents for users: the README and docs/.
fn documents() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().into_string().unwrap()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    names.insert(0, "README.md".into());
    names
}

/// All documents, CONTRIBUTING.md too, as one text.
fn prose() -> String {
    documents().iter().map(String::as_str).chain(["CONTRIBUTING.md"]).map(file).collect()
}

/// The cells of each row of the documents' only table with this header.
fn table(header: &str) -> Vec<Vec<String>> {
    let prose = prose();
    assert_eq!(prose.lines().filter(|line| *line == header).count(), 1, "{header}");
    let lines = prose.lines().skip_while(|line| *line != header).skip(1);
    lines
        .skip(1)
        .map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").map(String::from).collect())
        .collect()
}

/// The text in backticks, or else the text itself: backticks keep an underscore from being read as emphasis.
fn plain(cell: &str) -> &str {
    cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or(cell)
}

/// The words that come right after each occurrence of a text.
fn words_after(text: &str, before: &str) -> BTreeSet<String> {
    let word = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
        rest[..end].to_string()
    };
    text.match_indices(before).map(|(at, _)| word(&text[at + before.len()..])).collect()
}

/// What a program prints on standard output.
fn output_of(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(output.status.success(), "{program:?} {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The verbs that `./dev` lists: the first words of the indented lines.
fn listed_verbs() -> Vec<String> {
    let indented = |line: &str| line.strip_prefix("  ")?.split(' ').next().map(String::from);
    output_of("./dev", &[]).lines().filter_map(indented).collect()
}

/// Conflict marks are easy to overlook in prose.
#[test]
fn documents_hold_no_marks_of_a_merge() {
    let others = [
        "CHANGELOG.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "mosquitto.conf.example",
        "mosquitto.acl.example",
    ];
    for name in documents().into_iter().chain(others.map(String::from)) {
        for (number, line) in (1..).zip(file(&name).lines()) {
            let is_mark =
                ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark));
            assert!(!is_mark, "{name}:{number}: {line}");
        }
    }
}

/// A link within the repository leads somewhere.
#[test]
fn links_of_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let others = ["SECURITY.md", "CONTRIBUTING.md"].map(String::from);
    let mut found = 0;
    for name in documents().into_iter().chain(others) {
        let text = file(&name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !path.is_empty() && !link.contains("://") {
                let target = root.join(&name).parent().unwrap().join(path);
                assert!(target.exists(), "{name}: {link}");
                found += 1;
            }
        }
    }
    assert!(found > 5);
}

#[test]
fn documents_have_every_refusal_in_order() {
    let rows = table("| reason | meaning | MQTT 3.1, 3.1.1 | MQTT 5 |");
    assert_eq!(rows.len(), Refusal::ALL.len());
    for (row, refusal) in rows.iter().zip(Refusal::ALL) {
        let code = refusal.connack();
        let [id, meaning, v3, v5] = &row[..] else { panic!("{row:?}") };
        assert_eq!(*id, format!("`{}`", refusal.id()));
        assert_eq!(plain(meaning), refusal.to_string());
        assert_eq!(*v3, code.v3.to_string(), "{id}");
        assert_eq!(*v5, format!("0x{:02X}", code.v5), "{id}");
    }
}

/// What a client gets, by listener and broker: tests/broker/connack.rs plays the same, byte for byte.
#[test]
fn documents_say_what_each_broker_answers() {
    let rows = table("| listener | MQTT | Mosquitto 2.0 | Mosquitto 2.1 |");
    let answers: Vec<[&str; 3]> =
        rows.iter().map(|row| [plain(&row[1]), plain(&row[2]), plain(&row[3])]).collect();
    let same = "as in the table";
    // "Not authorized" is the code of a frozen device too.
    let stock = Refusal::Frozen.connack();
    let (v3, v5) = (stock.v3.to_string(), format!("0x{:02X}", stock.v5));
    let expected =
        [["3.1, 3.1.1", same, same], ["5", same, same], ["3.1, 3.1.1", &v3, &v3], ["5", &v5, same]];
    assert_eq!(answers, expected);
}

#[test]
fn documents_say_what_to_do_about_every_refusal() {
    let found = table("| reason | what to do |");
    let expected: Vec<_> = Refusal::ALL
        .iter()
        .map(|refusal| vec![format!("`{}`", refusal.id()), refusal.advice().to_owned()])
        .collect();
    assert_eq!(found, expected);
}

/// Each kind has a row in the README, and no other.
#[test]
fn readme_has_every_kind() {
    let found = table("| reason | recognised as | meaning | what to do |");
    let row = |kind: &Kind| {
        let field = format!("`{}={}`", kind.field(), kind.id());
        vec![format!("`{}`", kind.reason().id()), field, kind.to_string(), kind.advice().to_owned()]
    };
    assert_eq!(found, Kind::ALL.iter().map(row).collect::<Vec<_>>());
}

/// The commands and options that the advice names exist.
#[test]
fn advice_names_what_there_is() {
    let help = tool(["--help"]).out;
    let advice = Refusal::ALL.map(Refusal::advice).into_iter().chain(Kind::ALL.map(Kind::advice));
    for advice in advice {
        for verb in words_after(advice, "iotda-auth ") {
            assert!(help.contains(&format!("\n  {verb} ")), "{verb}");
        }
        for (at, prefix) in advice.match_indices("plugin_opt_") {
            let rest = &advice[at + prefix.len()..];
            assert!(Options::names().any(|name| rest.starts_with(name)), "{rest}");
        }
    }
}

/// The CSV file of docs/tool.md is valid.
#[test]
fn a_csv_file_is_shown_that_can_be_imported() {
    let text = file("docs/tool.md");
    let (_, csv) = text.split_once("```\ndevice_id,").unwrap();
    let csv = format!("device_id,{}", csv.split_once("```").unwrap().0);
    let folder = support::library::temporary_directory();
    let (secrets, path) = (folder.join("docs-none.secrets"), folder.join("docs-readme.csv"));
    fs::write(&path, csv).unwrap();
    let arguments =
        ["import", secrets.to_str().unwrap(), path.to_str().unwrap(), "--create", "--dry-run"];
    let said = tool(arguments);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.out.ends_with(": 2 would be added, 0 would be changed\n"), "{said:?}");
}

#[test]
fn documents_have_every_option_in_order() {
    let rows = table("| option (`plugin_opt_…`) | default | meaning |");
    assert_eq!(rows.len(), OPTIONS.len());
    for (row, option) in rows.iter().zip(OPTIONS) {
        let [name, default, meaning] = &row[..] else { panic!("{row:?}") };
        assert_eq!(plain(name), option.name);
        assert_eq!(plain(default), option.default.unwrap_or("required"), "{name}");
        assert_eq!(meaning, option.help, "{name}");
    }
}

/// Each option is in the example once, with its default, and commented out unless it is required.
#[test]
fn example_has_every_option_in_order() {
    let example = file("mosquitto.conf.example");
    let option = |line: &&str| line.trim_start_matches('#').starts_with("plugin_opt_");
    let lines: Vec<_> = example.lines().filter(option).collect();
    assert_eq!(lines.len(), OPTIONS.len());
    for (line, option) in lines.iter().zip(OPTIONS) {
        match option.default {
            None => assert!(line.starts_with(&format!("plugin_opt_{} ", option.name)), "{line}"),
            Some(default) => assert_eq!(*line, format!("#plugin_opt_{} {default}", option.name)),
        }
    }
}

/// The defaults that the example and the README name are the code's.
#[test]
fn documented_defaults_are_the_codes() {
    let rows = table("| option (`plugin_opt_…`) | default | meaning |");
    let required = [("secrets_file", "/s")];
    let given: Vec<_> = rows
        .iter()
        .map(|row| (plain(&row[0]), plain(&row[1])))
        .filter(|(_, default)| *default != "required")
        .chain(required)
        .collect();
    assert_eq!(Options::parse(given).unwrap(), Options::parse(required).unwrap());
}

/// The README says which brokers it was tested on: those of tests/support/brokers.
#[test]
fn readme_names_every_broker() {
    let readme = file("README.md");
    for version in BROKERS {
        let named = readme.matches(&format!("{version} (Debian ")).count();
        assert_eq!(named, 1, "{version}");
    }
}

#[test]
fn readme_shows_the_example() {
    let example = file("mosquitto.conf.example");
    let in_force: Vec<_> =
        example.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(file("README.md").contains(&format!("```\n{}\n```", in_force.join("\n"))));
}

#[test]
fn dev_lists_its_verbs() {
    let verbs = [
        "demo",
        "test",
        "fleet",
        "bench",
        "fuzz",
        "mutants",
        "bindings",
        "page",
        "page-test",
        "package",
        "package-test",
        "docker-test",
        "release",
        "lint",
    ];
    assert_eq!(listed_verbs(), verbs);
}

#[test]
fn documents_name_verbs_of_dev() {
    let listed: BTreeSet<_> = listed_verbs().into_iter().collect();
    let named = words_after(&prose(), "./dev ");
    // "`./dev` lists" and options are no verbs.
    let named: BTreeSet<_> =
        named.into_iter().filter(|verb| !verb.is_empty() && verb != "VERB").collect();
    assert!(named.contains("demo") && named.contains("test"), "{named:?}");
    assert!(named.is_subset(&listed), "{named:?}");
}

/// Runs `./dev` without a cache, and with an `apt-get`, `sudo` and `cargo` that only note that they were called. Returns its
/// output, and whether one of them was called.
fn dev_that_can_do_nothing(arguments: &[&str]) -> (Output, bool) {
    let folder =
        support::library::temporary_directory().join(format!("docs-dev-{}", arguments.join("")));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("bin")).unwrap();
    for name in ["apt-get", "sudo", "cargo"] {
        let path = folder.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n: >'{}'\nexit 1\n", folder.join("called").display()))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = env::join_paths(
        [folder.join("bin")].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())),
    );
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("dev"))
        .args(arguments)
        .env("PATH", path.unwrap())
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env_remove("IOTDA_BROKERS")
        .output()
        .unwrap();
    let called = folder.join("called").exists() || folder.join("cache").exists();
    (output, called)
}

/// `--help` must not run the verb.
#[test]
fn help_of_dev_only_helps() {
    let verbs = listed_verbs();
    assert!(verbs.len() >= 7, "{verbs:?}");
    for verb in &verbs {
        for option in ["--help", "-h"] {
            let (output, called) = dev_that_can_do_nothing(&[verb, option]);
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && !called, "{verb} {option}: {said}");
            assert!(said.starts_with(&format!("usage: ./dev {verb}")), "{verb} {option}: {said}");
        }
    }
    // The check works: without the option something is called.
    assert!(dev_that_can_do_nothing(&["bench"]).1);
}

#[test]
fn dev_refuses_arguments_that_it_has_no_use_for() {
    for verb in ["demo", "bindings", "package", "package-test", "docker-test", "release", "lint"] {
        let (output, called) = dev_that_can_do_nothing(&[verb, "frobnicate"]);
        assert!(output.status.code() == Some(2) && !called, "{verb}");
    }
}

#[test]
fn dev_refuses_an_unknown_verb() {
    let dev = Path::new(env!("CARGO_MANIFEST_DIR")).join("dev");
    let output = Command::new(dev).arg("frobnicate").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[test]
fn documents_name_verbs_of_the_tool() {
    let help = tool(["--help"]).out;
    let known: BTreeSet<_> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .map(String::from)
        .collect();
    for name in documents() {
        // As a command, at the start of a line or in backticks.
        let text = file(&name);
        let mut named = words_after(&text, "`iotda-auth ");
        named.append(&mut words_after(&text, "\niotda-auth "));
        named.retain(|word| !word.is_empty() && !word.starts_with('-'));
        assert!(named.is_subset(&known), "{name}: {named:?}\n--help: {known:?}");
    }
    assert!(words_after(&file("docs/tool.md"), "\niotda-auth ").len() > 8);
}

/// The table of what `check --config` can find is the tool's own.
#[test]
fn the_findings_of_check_are_documented() {
    let documented: Vec<String> = table("| id | | what is found | what to do |")
        .iter()
        .map(|row| format!("{}: {}", plain(&row[0]), row[1..].join(": ")))
        .collect();
    let listed: Vec<String> = tool(["check", "--list"]).out.lines().map(String::from).collect();
    assert!(listed.len() > 30);
    assert_eq!(documented, listed);
}

/// The tests' own list of what is played over which listener: tests/broker/matrix.rs plays it.
#[test]
fn documents_say_what_is_tested_where() {
    let rows = table(&format!("| on each broker | {} |", LISTENERS.join(" | ")));
    let expected: Vec<Vec<String>> = MATRIX
        .iter()
        .map(|row| {
            let cells = row.listeners.map(|played| if played { "yes" } else { "–" });
            [row.behaviour].into_iter().chain(cells).map(String::from).collect()
        })
        .collect();
    assert_eq!(rows, expected);
    // The list is played: each row is named by a test.
    let played = file("tests/broker/matrix.rs");
    for row in MATRIX {
        assert_eq!(
            played.matches(&format!("\"{}\"", row.behaviour)).count(),
            1,
            "{}",
            row.behaviour
        );
    }
}

/// Each test that SECURITY.md names for a threat exists, and each threat has one.
#[test]
fn security_names_tests_that_exist() {
    let security = file("SECURITY.md");
    let rows = security.lines().skip_while(|line| !line.starts_with("| who |")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let shown = row.split(" | ").last().unwrap();
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            let (path, test) = name.split_once("::").unwrap_or((name, ""));
            let source = file(path);
            // A scenario of the C host is a line of a list.
            let there = source.contains(&format!("fn {test}("))
                || source.lines().any(|line| line.trim() == test)
                || test.is_empty();
            assert!(there, "{name}");
        }
    }
}

/// The documents name the reasons that are counted together.
#[test]
fn documents_say_which_reasons_are_one_number() {
    let rows = table("| topic below `$SYS/broker/iotda-auth/` | value |");
    let row = rows.iter().find(|row| plain(&row[0]) == "refused/device").unwrap();
    for reason in Refusal::ALL {
        let named = row[1].contains(&format!("`{}`", reason.id()));
        assert_eq!(named, reason.tells_of_devices(), "{reason:?}");
    }
}

/// Each topic that the plugin publishes has a row, and no other.
#[test]
fn documents_have_every_topic() {
    let source = file("src/plugin/stats.rs");
    let list =
        source.split("let fixed = [").nth(1).and_then(|rest| rest.split("];").next()).unwrap();
    let mut topics: BTreeSet<_> = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next())
        .map(String::from)
        .collect();
    topics.extend(["refused/REASON".into(), "refused/REASON/KIND".into()]);
    let rows = table("| topic below `$SYS/broker/iotda-auth/` | value |");
    assert_eq!(rows.iter().map(|row| plain(&row[0]).to_string()).collect::<BTreeSet<_>>(), topics);
}
