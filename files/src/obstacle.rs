//! Why can a file not be opened, and what is to be done?
//!
//! Decided by trying: each folder of the path, each link and the file itself, as the user of the calling thread. The mode bits
//! only choose the advice. They alone would be wrong where an access list, a capability or a sandbox has the last word.

use crate::{access::Access, user::User};
use iotda_core::registry::FileKind;
use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
};

/// More links than this in one path are taken for a loop, as Linux does.
const MAX_LINKS: usize = 40;

/// What keeps the calling thread from opening a file, and where.
///
/// Shown, it follows `cannot be read: ` behind the file's name.
#[derive(Debug)]
pub struct Obstacle {
    /// Where the way ends: the file, or a folder on the way to it. An absolute path without links.
    pub at: PathBuf,
    /// Whether that is the file, and not a folder on the way.
    pub is_the_file: bool,
    /// The last symbolic link on the way there.
    pub link: Option<Link>,
    /// What is wrong there.
    pub reason: Reason,
}

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it is.
    pub path: PathBuf,
    /// What it says, which may be relative to its folder.
    pub target: PathBuf,
}

/// What is wrong with a file, or with a folder on the way to it.
#[derive(Debug)]
pub enum Reason {
    /// It does not exist.
    Missing,
    /// The user may not read the file, or not enter the folder.
    Shut {
        /// Who tried; `None` if that is not known.
        user: Option<User>,
        /// Who owns it, and its mode.
        access: Access,
    },
    /// Something that is not a folder is used as one.
    NotAFolder,
    /// A symbolic link leads back to itself.
    Loop,
    /// It is there, but it is not a file.
    NotAFile(FileKind),
    /// The system says something else.
    Other(io::Error),
}

/// What keeps the calling thread from opening a file for reading; `None` if nothing does.
#[must_use]
pub fn why_not(path: &Path) -> Option<Obstacle> {
    let way = match walk(path) {
        Ok(way) => way,
        Err(obstacle) => return Some(*obstacle),
    };
    let obstacle = |reason| {
        Some(Obstacle { at: way.here.clone(), is_the_file: true, link: way.link.clone(), reason })
    };
    // What is not a file is not opened: that could wake a program at the other end of a pipe.
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(metadata) => return obstacle(Reason::NotAFile(kind_of(&metadata))),
        Err(error) => return obstacle(Reason::Other(error)),
    };
    let error = open_for_reading(path).err()?;
    // The path itself may be forbidden although its end is not: a rule about links.
    if error.kind() == ErrorKind::PermissionDenied && open_for_reading(&way.here).is_err() {
        return obstacle(Reason::Shut { user: User::current(), access: Access::from(&metadata) });
    }
    obstacle(Reason::Other(error))
}

/// Opens a file without waiting, in case it is a pipe (O_NONBLOCK has no meaning for a regular file).
pub(crate) fn open_for_reading(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// What there is in place of a file.
pub(crate) fn kind_of(metadata: &Metadata) -> FileKind {
    let kind = metadata.file_type();
    if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_fifo() {
        FileKind::Pipe
    } else if kind.is_socket() {
        FileKind::Socket
    } else if kind.is_char_device() || kind.is_block_device() {
        FileKind::Device
    } else {
        FileKind::Other
    }
}

/// Where a path leads to.
struct Way {
    here: PathBuf,
    link: Option<Link>,
}

/// Goes along a path, one name after the other, and through its links.
fn walk(path: &Path) -> Result<Way, Box<Obstacle>> {
    let mut way = Way { here: PathBuf::from("/"), link: None };
    let absolute = match std::path::absolute(path) {
        Ok(absolute) => absolute,
        Err(error) => return Err(way.end(path.into(), true, Reason::Other(error))),
    };
    let mut names = names_of(&absolute);
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        if name == ".." {
            // There is no link in it, so this is the folder that the system goes back to.
            way.here.pop();
            continue;
        }
        let next = way.here.join(&name);
        let is_last = names.is_empty();
        let metadata = match fs::symlink_metadata(&next) {
            Ok(metadata) => metadata,
            Err(error) => {
                return Err(match error.kind() {
                    ErrorKind::NotFound => way.end(next, is_last, Reason::Missing),
                    ErrorKind::PermissionDenied => way.shut(error),
                    _ => way.end(next, is_last, Reason::Other(error)),
                });
            }
        };
        if metadata.is_symlink() {
            links += 1;
            let target = match fs::read_link(&next) {
                Ok(target) => target,
                Err(error) => return Err(way.end(next, is_last, Reason::Other(error))),
            };
            if target.is_absolute() {
                way.here = PathBuf::from("/");
            }
            for name in names_of(&target).into_iter().rev() {
                names.push_front(name);
            }
            way.link = Some(Link { path: next.clone(), target });
            if links > MAX_LINKS {
                return Err(way.end(next, is_last, Reason::Loop));
            }
        } else if is_last || metadata.is_dir() {
            way.here = next;
        } else {
            return Err(way.end(next, false, Reason::NotAFolder));
        }
    }
    Ok(way)
}

impl Way {
    fn end(self, at: PathBuf, is_the_file: bool, reason: Reason) -> Box<Obstacle> {
        Box::new(Obstacle { at, is_the_file, link: self.link, reason })
    }

    /// The folder does not let anything in it be looked at.
    fn shut(self, error: io::Error) -> Box<Obstacle> {
        let here = self.here.clone();
        match fs::metadata(&here) {
            Ok(metadata) => {
                let reason =
                    Reason::Shut { user: User::current(), access: Access::from(&metadata) };
                self.end(here, false, reason)
            }
            Err(_) => self.end(here, false, Reason::Other(error)),
        }
    }
}

/// The names in a path, `..` included.
fn names_of(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

impl Obstacle {
    /// The kind of the system's error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.reason {
            Reason::Missing => ErrorKind::NotFound,
            Reason::Shut { .. } => ErrorKind::PermissionDenied,
            Reason::Other(error) => error.kind(),
            _ => ErrorKind::Other,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, is_the_file, link, reason } = self;
        f.write_str(match reason {
            Reason::Missing => "No such file or directory: ",
            Reason::Shut { .. } => "Permission denied: ",
            Reason::NotAFolder => "Not a directory: ",
            Reason::Loop => "Too many levels of symbolic links: ",
            Reason::NotAFile(_) | Reason::Other(_) => "",
        })?;
        match link {
            Some(Link { path, .. }) if matches!(reason, Reason::Loop) => {
                return write!(f, "{path:?} is a symbolic link that leads back to itself");
            }
            Some(Link { path, target }) => {
                write!(f, "{path:?} is a symbolic link to {target:?}, and ")?;
            }
            None => {}
        }
        match reason {
            Reason::Missing if *is_the_file => {
                let (name, folder) = (at.file_name().unwrap_or_default(), at.parent());
                let folder = folder.unwrap_or(Path::new("/"));
                write!(f, "there is no {name:?} in the folder {folder:?}")
            }
            Reason::Missing => write!(f, "there is no folder {at:?}"),
            Reason::Shut { user, access } => {
                match user {
                    Some(user) => user.fmt(f)?,
                    None => f.write_str("this user")?,
                }
                match (is_the_file, link) {
                    (true, None) => write!(f, " may not read the file ({access})")?,
                    (true, Some(_)) => write!(f, " may not read the file {at:?} ({access})")?,
                    (false, _) => write!(f, " may not enter the folder {at:?} ({access})")?,
                }
                match user {
                    Some(user) => write!(f, ": {}", access.advice(user, *is_the_file)),
                    None => Ok(()),
                }
            }
            Reason::NotAFolder => write!(f, "{at:?} is not a folder"),
            Reason::Loop => write!(f, "{at:?} leads back to itself"),
            Reason::NotAFile(found) => write!(f, "{at:?} is {found}, not a regular file"),
            Reason::Other(error) => {
                error.fmt(f)?;
                // Each part of the way was passed, and the whole was not.
                let is_forbidden = error.kind() == ErrorKind::PermissionDenied;
                f.write_str(if is_forbidden {
                    ": is it SELinux, AppArmor or a rule about links?"
                } else {
                    ""
                })
            }
        }
    }
}

/// Its text includes the cause's text, so `source` returns nothing.
impl std::error::Error for Obstacle {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::symlink, net::UnixListener};

    #[test]
    fn the_part_of_the_way_that_is_at_fault_is_named() {
        let folder = std::env::temp_dir().join(format!("iotda-obstacle-{}", std::process::id()));
        fs::create_dir_all(folder.join("real")).unwrap();
        let folder = fs::canonicalize(folder).unwrap();
        fs::write(folder.join("real/file"), "").unwrap();
        for (name, target) in [
            ("good", "real/file"),
            ("up", "real/../real/file"),
            ("dangling", "real/gone"),
            ("chain", "dangling"),
            ("lost", "/nowhere/iotda/file"),
            ("inner", "real"),
            ("loop", "pool"),
            ("pool", "loop"),
        ] {
            symlink(target, folder.join(name)).unwrap();
        }
        let _socket = UnixListener::bind(folder.join("socket")).unwrap();
        let in_folder = |text: &str| text.replace("F/", &format!("{}/", folder.display()));
        for (path, expected) in [
            ("F/real/file", None),
            ("F/good", None),
            ("F/up", None),
            ("F/inner/../real/./file", None),
            (
                "F/missing",
                Some(format!(
                    "No such file or directory: there is no \"missing\" in the folder {folder:?}"
                )),
            ),
            (
                "F/mising/file",
                Some(in_folder("No such file or directory: there is no folder \"F/mising\"")),
            ),
            (
                "F/real/more/file",
                Some(in_folder("No such file or directory: there is no folder \"F/real/more\"")),
            ),
            (
                "F/dangling",
                Some(in_folder(
                    "No such file or directory: \"F/dangling\" is a symbolic link to \"real/gone\", and there is no \"gone\" in \
                     the folder \"F/real\"",
                )),
            ),
            (
                "F/chain",
                Some(in_folder(
                    "No such file or directory: \"F/dangling\" is a symbolic link to \"real/gone\", and there is no \"gone\" in \
                     the folder \"F/real\"",
                )),
            ),
            (
                "F/lost",
                Some(in_folder(
                    "No such file or directory: \"F/lost\" is a symbolic link to \"/nowhere/iotda/file\", and there is no \
                     folder \"/nowhere\"",
                )),
            ),
            (
                "F/inner/x",
                Some(in_folder(
                    "No such file or directory: \"F/inner\" is a symbolic link to \"real\", and there is no \"x\" in the folder \
                     \"F/real\"",
                )),
            ),
            ("F/real/file/x", Some(in_folder("Not a directory: \"F/real/file\" is not a folder"))),
            ("F/real", Some(in_folder("\"F/real\" is a directory, not a regular file"))),
            ("F/socket", Some(in_folder("\"F/socket\" is a socket, not a regular file"))),
            ("/dev/null", Some("\"/dev/null\" is a device, not a regular file".into())),
        ] {
            let path = PathBuf::from(in_folder(path));
            assert_eq!(why_not(&path).map(|why| why.to_string()), expected, "{path:?}");
        }
        let text = why_not(&folder.join("loop")).unwrap().to_string();
        assert!(text.starts_with("Too many levels of symbolic links: \""), "{text}");
        assert!(text.ends_with("\" is a symbolic link that leads back to itself"), "{text}");
        let here = std::env::current_dir().unwrap();
        let text = why_not(Path::new("missing")).unwrap().to_string();
        assert!(
            text.ends_with(&format!("there is no \"missing\" in the folder {here:?}")),
            "{text}"
        );
        assert!(why_not(Path::new("")).is_some());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_shut_folder_and_a_shut_file_are_told_with_their_user_and_the_way_out() {
        let user = || {
            let (name, group) = (Some("mosquitto".into()), Some("mosquitto".into()));
            Some(User { uid: 110, name, gid: 118, group, groups: Vec::new() })
        };
        let shut = |at: &str, is_the_file, link, user, mode| Obstacle {
            at: at.into(),
            is_the_file,
            link,
            reason: Reason::Shut { user, access: Access { uid: 0, gid: 0, mode } },
        };
        let link = || Some(Link { path: "/l".into(), target: "t/f".into() });
        for (obstacle, expected) in [
            (
                shut("/t/f", true, None, user(), 0o600),
                "Permission denied: user mosquitto (uid 110, group mosquitto) may not read the file (root:root, mode 0600): \
                 chgrp mosquitto and chmod 640",
            ),
            (
                shut("/t", false, None, user(), 0o700),
                "Permission denied: user mosquitto (uid 110, group mosquitto) may not enter the folder \"/t\" (root:root, \
                 mode 0700): chgrp mosquitto and chmod g+x, or keep the file elsewhere",
            ),
            (
                shut("/t/f", true, link(), None, 0o600),
                "Permission denied: \"/l\" is a symbolic link to \"t/f\", and this user may not read the file \"/t/f\" \
                 (root:root, mode 0600)",
            ),
        ] {
            assert_eq!(obstacle.to_string(), expected);
            assert_eq!(obstacle.kind(), ErrorKind::PermissionDenied);
        }
    }
}
