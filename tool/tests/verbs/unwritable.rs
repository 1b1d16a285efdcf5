//! What is at fault when a file cannot be written, on real file systems.

use crate::place::{FILE, Place};
use std::process::{Command, Output};
use support::{library::tool_path, tool::Said};

/// Runs a shell script in its own mount namespace, with the tool, the file and its folder; `None` if the system lets nobody
/// mount.
fn where_one_can_mount(place: &Place, script: &str) -> Option<Said> {
    let run = |script: &str| -> Output {
        let mut command = Command::new("unshare");
        let args = ["--mount", "--map-root-user", "sh", "-ec", script, tool_path(), place.file()];
        command.args(args).arg(place.folder()).output().expect("unshare(1)")
    };
    let can = run("mount -t tmpfs none \"$2\"").status.success();
    can.then(|| Said::of(run(script)))
}

#[test]
fn a_file_that_is_mounted_alone_is_named() {
    let place = Place::new(FILE);
    let script = r#"mount --bind "$1" "$1"; exec "$0" freeze "$1" lamp"#;
    let Some(said) = where_one_can_mount(&place, script) else { return };
    said.is_misuse("cannot be written: it is mounted alone, as containers can mount a file");
    assert!(said.err.contains("mount its folder"), "{said:?}");
    assert_eq!(place.text(), FILE);
}

#[test]
fn a_file_system_that_is_read_only_is_named() {
    let place = Place::new(FILE);
    let script =
        r#"mount --bind "$2" "$2"; mount -o remount,bind,ro "$2"; exec "$0" freeze "$1" lamp"#;
    let Some(said) = where_one_can_mount(&place, script) else { return };
    let folder = place.folder().display();
    said.is_misuse(&format!(
        "cannot be written: the file system of its folder {folder} is mounted read-only"
    ));
    let script = r#"mount --bind "$2" "$2"; mount -o remount,bind,ro "$2"; exec "$0" add "$2/new" lamp --create"#;
    let said = where_one_can_mount(&place, script).unwrap();
    said.is_misuse("cannot be made: the file system of its folder");
}

#[test]
fn a_full_file_system_is_named() {
    let place = Place::new(format!("{FILE}#{}\n", "x".repeat(100_000)));
    let script = r#"cp "$1" /proc/self/fd/3 3>"$2.copy"; mount -t tmpfs -o size=148k none "$2"
        cp "$2.copy" "$1"; chmod 600 "$1"; rm "$2.copy"; exec "$0" freeze "$1" lamp"#;
    let Some(said) = where_one_can_mount(&place, script) else { return };
    let folder = place.folder().display();
    said.is_misuse(&format!("cannot be written: the file system of its folder {folder} is full"));
}
