//! C, compiled in a test.

use super::library::machine;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The machine's C compiler, with the flags for all our C code.
pub fn compiler() -> Command {
    let machine = machine();
    let mut command = cc::Build::new()
        .target(&machine)
        .host(&machine)
        .opt_level(0)
        .cargo_metadata(false)
        .get_compiler()
        .to_command();
    command.args(["-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror"]).env("LC_ALL", "C");
    command
}

/// Runs a program to its end.
///
/// # Panics
///
/// If the program is not there: a check that was not made must not pass.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        let tool = command.get_program().to_string_lossy().into_owned();
        match error.kind() {
            ErrorKind::NotFound => panic!("{tool} is not installed: ./dev test brings it"),
            _ => panic!("{tool}: {error}"),
        }
    })
}

/// The standard output of a program.
///
/// # Panics
///
/// If the program is not there, or fails.
pub fn text_of(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{}: {}\n{}",
        command.get_program().to_string_lossy(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("a tool that prints UTF-8")
}

/// Compiles and links one source file.
pub fn build<'a>(
    source: &Path,
    result: PathBuf,
    flags: impl IntoIterator<Item = &'a str>,
) -> PathBuf {
    text_of(compiler().arg("-o").arg(&result).arg(source).args(flags));
    result
}
