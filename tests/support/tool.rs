//! The command line tool, run as its users run it.

use super::library;
use assert_cmd::assert::Assert;
use std::{
    ffi::OsStr,
    process::{Command, Output},
};

/// The output of the tool.
#[derive(Debug)]
pub struct Said {
    /// The exit status; -1 if a signal ended the tool.
    pub status: i32,
    pub out: String,
    pub err: String,
    output: Output,
}

/// The tool with arguments, in an environment that names no secrets file.
pub fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(library::tool());
    command.args(args).env_remove("IOTDA_SECRETS_FILE");
    command
}

/// Runs the tool to its end, with nothing on standard input.
pub fn tool<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Said {
    run(command(args), b"")
}

/// Runs a command, which is the tool or executes it, with a text on standard input. A tool that refuses before it reads may
/// close its input.
pub fn run(command: Command, input: &[u8]) -> Said {
    let output = assert_cmd::Command::from_std(command).write_stdin(input).output();
    Said::of(output.expect("the tool runs"))
}

impl Said {
    /// Checks every output of the tool: no panic, and each line on standard error begins with the tool's name.
    ///
    /// # Panics
    ///
    /// If that is not so, or the output is not UTF-8.
    pub fn of(output: Output) -> Self {
        let said = Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout.clone()).expect("UTF-8 on standard output"),
            err: String::from_utf8(output.stderr.clone()).expect("UTF-8 on standard error"),
            output,
        };
        assert!(!said.err.contains("panicked"), "{said:?}");
        assert!(said.err.is_empty() || said.err.starts_with("iotda-auth: "), "{said:?}");
        said
    }

    /// None of these texts is on standard error, where secrets must never be.
    #[must_use]
    pub fn without_on_stderr(self, secrets: &[&str]) -> Self {
        for secret in secrets {
            assert!(!self.err.contains(secret), "{self:?}");
        }
        self
    }

    /// None of these texts is in the tool's output.
    #[must_use]
    pub fn without(self, secrets: &[&str]) -> Self {
        for secret in secrets {
            assert!(!self.out.contains(secret), "{self:?}");
        }
        self.without_on_stderr(secrets)
    }

    /// The exit status, and all of both outputs.
    #[track_caller]
    pub fn is(&self, status: i32, out: &str, err: &str) {
        self.assert().code(status).stdout(out.to_owned()).stderr(err.to_owned());
    }

    /// The exit status, all of standard output, and a part of standard error; an empty part means that standard error is
    /// empty.
    #[track_caller]
    pub fn tells(&self, status: i32, out: &str, err: &str) {
        self.assert().code(status).stdout(out.to_owned());
        assert!(self.err.contains(err) && self.err.is_empty() == err.is_empty(), "{self:?}");
    }

    /// Wrong usage: exit status 2, nothing on standard output, and a reason.
    #[track_caller]
    pub fn is_misuse(&self, reason: &str) {
        assert_eq!((self.status, self.out.as_str()), (2, ""), "{self:?}");
        assert!(self.err.contains(reason), "expected {reason:?}: {self:?}");
    }

    fn assert(&self) -> Assert {
        Assert::new(self.output.clone())
    }
}
