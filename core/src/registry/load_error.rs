//! Why does a file make no table?

use super::{
    cancel::Cancelled,
    foreign::Foreign,
    line::{LineFault, MAX_LINE},
    table::{IndexError, MAX_ARENA, NoMemory},
};
use crate::log::Count;
use std::{fmt, io};

/// A line of this length, in bytes, means that the file is not a secrets file: it is not read further.
pub(super) const ENDLESS: u64 = 1 << 20;

/// What there is in place of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device, such as `/dev/null`.
    Device,
    /// None of these.
    Other,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Pipe => "a named pipe (FIFO)",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Other => "something else",
        })
    }
}

/// Why a file makes no table.
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be opened or read.
    Io(io::Error),
    /// It is a directory, a pipe or a device.
    NotAFile(FileKind),
    /// Every user of the machine may write to it.
    WritableByOthers {
        /// The file's permission bits.
        mode: u32,
    },
    /// It is larger than a table can be.
    TooLarge {
        /// The file's size in bytes.
        size: u64,
    },
    /// A line of it is so long that it cannot be a secrets file. It was not read further.
    Endless {
        /// The line's number, counted from 1.
        line: u64,
        /// What the file seems to be.
        foreign: Option<Foreign>,
    },
    /// The system has no memory for its devices.
    NoMemory,
    /// It was written to while it was read.
    Changing,
    /// The file does not answer: a read returns neither data nor an error.
    NoAnswer {
        /// How long it has not answered, in seconds.
        seconds: u64,
    },
    /// The load was cancelled.
    Cancelled,
    /// Some of its lines are wrong.
    Lines(LineErrors),
}

/// The lines that are wrong, in order.
#[derive(Debug, Default)]
pub struct LineErrors {
    /// The first of them, with their line numbers, from 1.
    pub first: Vec<(u64, LineFault)>,
    /// The number of all wrong lines, those that are not in `first` included.
    pub total: u64,
    /// Whether the last line of the file is one of them, and has no newline.
    pub ends_in_the_middle: bool,
    /// What the file seems to be, if no line of it has a device. Its lines are not worth telling then.
    pub foreign: Option<Foreign>,
}

impl fmt::Display for LoadError {
    /// One line of text; the wrong lines themselves are in [`LoadError::Lines`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::NotAFile(found) => write!(f, "expected a regular file, found {found}"),
            Self::WritableByOthers { mode } => {
                write!(
                    f,
                    "expected a file that others cannot write, found mode {mode:04o} (chmod o-w)"
                )
            }
            Self::TooLarge { size } => {
                write!(f, "expected at most {MAX_ARENA} bytes, found {size}")
            }
            Self::Endless { foreign: Some(foreign), .. } => foreign.fmt(f),
            Self::Endless { line, foreign: None } => write!(
                f,
                "line {line}: expected at most {MAX_LINE} bytes, found more than {ENDLESS}: is it a secrets file?"
            ),
            Self::NoMemory => f.write_str("there is no memory for its devices"),
            Self::Changing => f.write_str("was written to while it was read"),
            Self::NoAnswer { seconds } => {
                write!(
                    f,
                    "cannot be read: no answer for {seconds} s: is its disk or network there?"
                )
            }
            Self::Cancelled => f.write_str("is no longer read"),
            Self::Lines(LineErrors { foreign: Some(foreign), .. }) => foreign.fmt(f),
            Self::Lines(errors) => {
                write!(f, "{}", Count(errors.total, "wrong line"))?;
                f.write_str(match (errors.ends_in_the_middle, errors.total) {
                    (false, _) => "",
                    (true, 1) => ", the last, which has no newline: is the file cut off?",
                    (true, _) => {
                        ", among them the last, which has no newline: is the file cut off?"
                    }
                })
            }
        }
    }
}

impl std::error::Error for LoadError {}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Cancelled> for LoadError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl From<NoMemory> for LoadError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<IndexError> for LoadError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Cancelled => Self::Cancelled,
            IndexError::NoMemory => Self::NoMemory,
        }
    }
}
