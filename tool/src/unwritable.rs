//! Why can a secrets file not be written, and what is at fault?
//!
//! An edit puts a new file in the old one's place, so it is mostly not the file that is at fault, but its folder.

use crate::terminal::Harmless;
use rustix::io::Errno;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// What is at fault, in words that come after `cannot be written: `.
#[derive(Debug)]
pub(crate) struct Fault<'a> {
    error: &'a io::Error,
    /// The folder where the new file would be.
    folder: PathBuf,
}

impl<'a> Fault<'a> {
    /// What is at fault when the file at this path, or the new one that is to replace it, cannot be written.
    pub(crate) fn of(path: &Path, error: &'a io::Error) -> Self {
        // Where a link leads to, since that is what an edit replaces.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
            Some(folder) => folder.to_path_buf(),
            None => PathBuf::from("/"),
        };
        Self { error, folder }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = Harmless(self.folder.to_string_lossy());
        let user = rustix::process::geteuid().as_raw();
        match Errno::from_io_error(self.error) {
            Some(Errno::ACCESS) => write!(
                f,
                "user {user} may not write to its folder {folder}, where an edit puts a new file in the old one's place (sudo, \
                 or chown)"
            ),
            Some(Errno::ROFS) => write!(
                f,
                "the file system of its folder {folder} is mounted read-only (a container's volume: without :ro)"
            ),
            Some(Errno::NOSPC) => write!(f, "the file system of its folder {folder} is full"),
            Some(Errno::DQUOT) => {
                write!(f, "user {user} may have no more on the file system of its folder {folder}")
            }
            Some(Errno::BUSY) => f.write_str(
                "it is mounted alone, as containers can mount a file, and so cannot be replaced: mount its folder",
            ),
            Some(Errno::NOENT) => write!(f, "its folder {folder} is not there"),
            Some(Errno::PERM) => write!(
                f,
                "the system forbids it, also to its owner: is it or its folder {folder} immutable (lsattr, chattr -i)?"
            ),
            _ => write!(f, "{}", self.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_names_what_is_at_fault() {
        for (errno, words) in [
            (Errno::ACCESS, "may not write to its folder /nowhere/x\\u{1b}, where"),
            (Errno::ROFS, "file system of its folder /nowhere/x\\u{1b} is mounted read-only"),
            (Errno::NOSPC, "file system of its folder /nowhere/x\\u{1b} is full"),
            (Errno::DQUOT, "may have no more on the file system of its folder"),
            (Errno::BUSY, "mount its folder"),
            (Errno::NOENT, "its folder /nowhere/x\\u{1b} is not there"),
            (Errno::PERM, "immutable"),
            (Errno::FBIG, "File too large (os error 27)"),
        ] {
            let error = io::Error::from(errno);
            let said = Fault::of(Path::new("/nowhere/x\x1b/file"), &error).to_string();
            assert!(said.contains(words), "{said}");
        }
        let error = io::Error::from(Errno::NOSPC);
        for (path, folder) in [("missing", "."), ("/missing", "/"), ("/", "/")] {
            let said = Fault::of(Path::new(path), &error).to_string();
            assert_eq!(said, format!("the file system of its folder {folder} is full"));
        }
    }
}
