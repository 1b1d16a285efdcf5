//! Who else may read or change a secrets file, and is it still the one that was meant?
//!
//! The broker checks its own files in the same way: whether everybody may read them, and whether they belong to its user and
//! group (`mosquitto__fopen` in `misc_mosq.c`, 2.0.21). A user who may write to the folder may replace the file.

use crate::{access::Access, mounted};
use std::{
    fmt,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

const ROOT: u32 = 0;
const OTHERS_READ: u32 = 0o004;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// In a folder: only its owner, and a file's, may replace the file.
const STICKY: u32 = 0o1000;

/// Where Docker and its like mount secrets: each as a file of its own, which the container alone has. Swarm makes them readable by
/// all (0444), and compose leaves owner and mode as they are outside; nobody in the container can change either.
const GIVEN: &str = "/run/secrets";

/// Who may read or change a file.
#[derive(Clone, Debug)]
pub struct Exposure {
    file: Access,
    /// The folder that the path names, and the one that it leads to through links.
    folders: Vec<(PathBuf, Access)>,
    /// Whether the file was replaced outside the place where it is mounted.
    is_replaced: bool,
    /// Whether a container's engine mounts it, see [`GIVEN`].
    is_given: bool,
}

/// What an operator should fix, in the words of a log line that begins with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Every user of the machine may read the file.
    Readable,
    /// The file belongs neither to root nor to the broker's user.
    Owner {
        /// The owner's user id.
        uid: u32,
    },
    /// The file's group may write to it.
    GroupWritable,
    /// Others may write to the file's folder, and so replace the file.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Who may write to it.
        who: Who,
    },
    /// The file was replaced or removed outside a bind mount, and this is the old one.
    Replaced,
    /// The file has no device.
    NoDevice,
    /// The last line has no newline.
    NoNewline,
}

/// Who may write to a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Its owner, who is neither root nor the broker's user.
    Owner {
        /// The owner's user id.
        uid: u32,
    },
    /// Its group.
    Group,
    /// Every user of the machine.
    Everybody,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced => f.write_str(
                "is the old file, which was replaced or removed outside a bind mount: mount its folder, not the file alone, and \
                 start the container again",
            ),
            Self::NoDevice => f.write_str("holds no device"),
            Self::NoNewline => {
                f.write_str("has no newline behind its last line: if it was cut off, its last device is wrong")
            }
            Self::Readable => f.write_str("can be read by every user of this machine (chmod o-r)"),
            Self::Owner { uid } => write!(
                f,
                "belongs to user {uid}, who can read and change it (chown root, and let the broker's group read it)"
            ),
            Self::GroupWritable => f.write_str("can be changed by its group (chmod g-w)"),
            Self::Folder { path, who } => {
                write!(f, "can be replaced by ")?;
                match who {
                    Who::Owner { uid } => {
                        write!(f, "user {uid}, whose folder {path:?} is (chown root)")
                    }
                    Who::Group => write!(f, "the group of its folder {path:?} (chmod g-w)"),
                    Who::Everybody => {
                        write!(
                            f,
                            "every user of this machine, who may write to {path:?} (chmod o-w)"
                        )
                    }
                }
            }
        }
    }
}

impl Exposure {
    /// Looks at a file that is open, and at the folders that its path leads to.
    #[must_use]
    pub fn of(path: &Path, metadata: &Metadata) -> Self {
        let mut folders = Vec::new();
        let target = fs::canonicalize(path).ok();
        for path in [Some(path), target.as_deref()].into_iter().flatten() {
            // The folder of a bare name is the working directory.
            let folder = match path.parent() {
                Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
                Some(folder) => folder,
                None => continue,
            };
            // Compared by the system's own number: a folder may have many names.
            let Ok(found) = fs::metadata(folder) else { continue };
            let number = (found.dev(), found.ino());
            if !folders.iter().any(|(_, _, known)| *known == number) {
                folders.push((folder.to_path_buf(), Access::from(&found), number));
            }
        }
        let folders = folders.into_iter().map(|(path, access, _)| (path, access)).collect();
        let is_replaced = mounted::is_replaced(path, metadata);
        let is_given = target.is_some_and(|target| target.starts_with(GIVEN));
        Self { file: Access::from(metadata), folders, is_replaced, is_given }
    }

    /// What should be fixed for a broker that runs as this user. Without a user id, owners are not checked.
    #[must_use]
    pub fn warnings(&self, user: Option<u32>) -> Vec<Warning> {
        let stranger = |owner| user.filter(|user| owner != *user && owner != ROOT).map(|_| owner);
        let Access { uid: owner, mode, .. } = self.file;
        let mut warnings = Vec::new();
        if self.is_replaced {
            warnings.push(Warning::Replaced);
        }
        // A warning that nobody can follow hides the others.
        if self.is_given {
            return warnings;
        }
        if mode & OTHERS_READ != 0 {
            warnings.push(Warning::Readable);
        }
        if let Some(uid) = stranger(owner) {
            warnings.push(Warning::Owner { uid });
        }
        if mode & GROUP_WRITES != 0 {
            warnings.push(Warning::GroupWritable);
        }
        for (path, Access { uid: owner, mode, .. }) in &self.folders {
            let writable_by = |who| mode & STICKY == 0 && mode & who != 0;
            let who = match stranger(*owner) {
                _ if writable_by(OTHERS_WRITE) => Who::Everybody,
                Some(uid) => Who::Owner { uid },
                None if writable_by(GROUP_WRITES) => Who::Group,
                None => continue,
            };
            warnings.push(Warning::Folder { path: path.clone(), who });
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(file: (u32, u32), folder: (u32, u32), user: Option<u32>) -> Vec<Warning> {
        let access = |(uid, mode)| Access { uid, gid: 0, mode };
        let folders = vec![(PathBuf::from("/f"), access(folder))];
        let mut exposure =
            Exposure { file: access(file), folders, is_replaced: false, is_given: false };
        let warnings = exposure.warnings(user);
        exposure.is_given = true;
        assert_eq!(exposure.warnings(user), []);
        warnings
    }

    #[test]
    fn a_secret_of_a_container_is_given() {
        let folder = Path::new(GIVEN).join("iotda-auth-test");
        // Only root may make one.
        if fs::create_dir_all(&folder).is_err() {
            return;
        }
        let file = folder.join("iotda.secrets");
        fs::write(&file, "").unwrap();
        let metadata = fs::metadata(&file).unwrap();
        let beside = std::env::temp_dir().join(format!("iotda-auth-given-{}", std::process::id()));
        std::os::unix::fs::symlink(&file, &beside).unwrap();
        let given = [&file, &beside].map(|path| Exposure::of(path, &metadata).is_given);
        fs::remove_dir_all(&folder).unwrap();
        fs::remove_file(&beside).unwrap();
        assert_eq!(given, [true, true]);
        assert!(!Exposure::of(Path::new("/etc/passwd"), &metadata).is_given);
    }

    #[test]
    fn says_who_may_read_or_change_it() {
        let folder = |who| Warning::Folder { path: "/f".into(), who };
        let good = (0, 0o755);
        for (file, its_folder, expected) in [
            ((0, 0o600), good, vec![]),
            ((0, 0o640), (0, 0o700), vec![]),
            ((7, 0o600), (7, 0o755), vec![]),
            ((0, 0o644), good, vec![Warning::Readable]),
            ((9, 0o600), good, vec![Warning::Owner { uid: 9 }]),
            ((0, 0o660), good, vec![Warning::GroupWritable]),
            (
                (9, 0o664),
                good,
                vec![Warning::Readable, Warning::Owner { uid: 9 }, Warning::GroupWritable],
            ),
            ((0, 0o600), (0, 0o777), vec![folder(Who::Everybody)]),
            ((0, 0o600), (0, 0o1777), vec![]),
            ((0, 0o600), (0, 0o775), vec![folder(Who::Group)]),
            ((0, 0o600), (0, 0o3775), vec![]),
            ((0, 0o600), (9, 0o755), vec![folder(Who::Owner { uid: 9 })]),
            ((0, 0o600), (9, 0o1777), vec![folder(Who::Owner { uid: 9 })]),
        ] {
            assert_eq!(warnings(file, its_folder, Some(7)), expected, "{file:?} {its_folder:?}");
        }
        // Who owns the file matters only to a broker.
        assert_eq!(warnings((9, 0o600), (9, 0o755), None), []);
        assert_eq!(warnings((9, 0o660), (9, 0o755), None), [Warning::GroupWritable]);
    }
}
