//! A secrets file that is mounted by itself, as `docker run -v FILE:FILE` does, cannot be replaced. The log says so, where all
//! else looks as if nothing had changed.

use crate::reload::reload;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};
use support::{
    broker::{Setup, user_line},
    device::secrets,
    library, on_every_broker,
    scratch::Scratch,
    tool,
    version::Version,
};

on_every_broker!(a_file_that_was_replaced_outside_is_named, a_change_outside_is_said_once_each);

const TOLD: &str = "is the old file, which was replaced or removed outside a bind mount: mount its folder, not the file alone, \
                    and start the container again";

/// Starts a program that sees one file in another's place.
fn mounting(outside: &Path, inside: &Path) -> Vec<String> {
    // Who is not root may mount as root of a namespace of their own.
    let unshare: &[&str] = match user_line() {
        "" => &["unshare", "--map-root-user", "--mount"],
        _ => &["unshare", "--mount"],
    };
    let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
    let words = ["sh", "-c", script, "sh"].into_iter().chain([outside, inside].map(text));
    unshare.iter().copied().chain(words).map(String::from).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A configuration whose secrets file is mounted by itself, and the file outside.
fn mounted(version: Version) -> (Setup, PathBuf) {
    let setup = Setup::new(version).secrets("");
    let outside = setup.scratch().file("outside", secrets());
    let inside = setup.scratch().path().join("secrets");
    let setup = setup.started_by(mounting(&outside, &inside));
    let setup = if user_line().is_empty() { setup.line_before("user root") } else { setup };
    (setup, outside)
}

fn a_file_that_was_replaced_outside_is_named(version: Version) {
    let (setup, outside) = mounted(version);
    let broker = setup.start();
    let count = || broker.log().matches(TOLD).count();
    assert!(reload(&broker).contains("2 devices, 0 added") && count() == 0, "{}", broker.log());
    // Written in place, it changes inside too.
    fs::write(&outside, format!("{}new:a-new-secret\n", secrets())).unwrap();
    assert!(reload(&broker).contains("3 devices, 1 added") && count() == 0, "{}", broker.log());
    let beside = broker.scratch().file("beside", secrets());
    fs::rename(beside, &outside).unwrap();
    for round in 1..=2 {
        assert!(reload(&broker).contains("3 devices, 0 added, 0 removed"), "{}", broker.log());
        assert_eq!(count(), round, "{}", broker.log());
    }
    let line = format!("iotda-auth: secrets_file {:?} {TOLD}", broker.secrets());
    assert!(broker.log().contains(&line), "{}", broker.log());
}

/// With `reload_interval` nobody asks, and it is said all the same.
fn a_change_outside_is_said_once_each(version: Version) {
    let (setup, outside) = mounted(version);
    let broker = setup.option("reload_interval", "1s").start();
    let beside = broker.scratch().file("beside", secrets());
    fs::rename(beside, &outside).unwrap();
    broker.wait_for_log(TOLD);
    sleep(Duration::from_secs(5));
    assert_eq!(broker.log().matches(TOLD).count(), 1, "{}", broker.log());
}

#[test]
fn the_tool_says_the_same() {
    let scratch = Scratch::new();
    let (outside, inside) = (scratch.file("outside", secrets()), scratch.file("inside", ""));
    let beside = scratch.file("beside", "");
    let starter = mounting(&outside, &inside);
    let script = "mv -f \"$1\" \"$2\" && shift 2 && exec \"$@\"";
    let mut command = Command::new(&starter[0]);
    command.args(&starter[1..]).args(["sh", "-c", script, "sh"]).args([&beside, &outside]);
    command.arg(library::tool()).arg("check").arg(&inside);
    let inside = inside.display();
    tool::run(command, b"").is(
        0,
        &format!("{inside}: 2 devices\n"),
        &format!("iotda-auth: warning: {inside}: {TOLD}\n"),
    );
}
