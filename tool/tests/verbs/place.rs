//! A folder with a secrets file, and the tool that runs in it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use support::{
    scratch::Scratch,
    tool::{self, Said},
};

/// Parts of all secrets that are given to the tool here.
const SECRETS: [&str; 3] = ["lamp-secret", "cold-secret", "topsecret"];
/// A device of each kind.
pub(crate) const FILE: &str = "# devices\nlamp:lamp-secret\ncold:cold-secret:secondary=cold-secret2:frozen\n\
                               door:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b\n";

pub(crate) struct Place {
    pub(crate) scratch: Scratch,
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new(content: impl AsRef<[u8]>) -> Self {
        let scratch = Scratch::new();
        let path = scratch.file("iotda.secrets", content);
        Self { scratch, path }
    }

    pub(crate) fn file(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The path of something in the folder, whether it is there or not.
    pub(crate) fn at(&self, name: &str) -> String {
        self.folder().join(name).into_os_string().into_string().unwrap()
    }

    /// Writes another file, and gives its path.
    pub(crate) fn other(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        self.scratch.file(name, content);
        self.at(name)
    }

    /// The tool, to run in the folder.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = command(args);
        command.current_dir(self.folder());
        command
    }
}

pub(crate) use support::tool::command;

/// Runs the tool to its end, and checks that no error of it holds a secret.
pub(crate) fn run(command: Command, input: &[u8]) -> Said {
    tool::run(command, input).without_on_stderr(&SECRETS)
}

pub(crate) fn tool(args: &[&str]) -> Said {
    run(command(args), b"")
}
