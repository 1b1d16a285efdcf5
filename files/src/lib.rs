//! Secrets files: how one is found, opened and read, why it cannot be, and who else may read or change it. The plugin and the
//! tool both use this.

#![forbid(unsafe_code)]

mod access;
mod configuration;
mod exposure;
mod mounted;
mod obstacle;
mod user;

pub use access::Access;
pub use configuration::Configuration;
pub use exposure::{Exposure, Warning, Who};
pub use mounted::{CANNOT_BE_REPLACED, is_mount_point};
pub use obstacle::{Link, Obstacle, Reason, why_not};
pub use user::{User, group_name};

use iotda_core::registry::{
    Cancel, LoadError, Table,
    read::{Content, MAX_ERRORS, read},
};
use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// The pause before a file that is being written is tried again.
pub const PAUSE: Duration = Duration::from_millis(100);
/// How often it is tried at least, because one try of a large file may take long.
pub const TRIES: u32 = 3;

/// A file that was read without an error.
#[derive(Debug)]
pub struct Loaded {
    /// The devices.
    pub table: Table,
    /// Who else may read or change the secrets.
    pub exposure: Exposure,
    /// Whether the last line ends in a newline.
    pub ends_in_newline: bool,
    /// What identifies this content of the file.
    pub identity: Identity,
}

impl Loaded {
    /// What an operator should fix, for a broker that runs as this user. Without a user id, owners are not checked.
    #[must_use]
    pub fn warnings(&self, user: Option<u32>) -> Vec<Warning> {
        let mut warnings = self.exposure.warnings(user);
        if self.table.is_empty() {
            warnings.push(Warning::NoDevice);
        } else if !self.ends_in_newline {
            warnings.push(Warning::NoNewline);
        }
        warnings
    }
}

/// What distinguishes two contents of a path without reading them. Symbolic links are followed: Kubernetes changes a mounted
/// secret by changing a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Also changes with the owner and the mode: a file that becomes readable counts as changed.
    status_changed: (i64, i64),
}

impl Identity {
    /// The content that a path holds now; `None` if no file can be examined there.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::from)
    }

    /// Whether the two are of the same file, which may have been written to in between. A file that was moved into place is
    /// a different file.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// When it was written, in Unix seconds.
    #[must_use]
    pub fn modified(&self) -> i64 {
        self.modified.0
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            status_changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a secrets file. The error keeps the first `max_errors` of its wrong lines.
///
/// # Errors
///
/// [`LoadError`]; there is no table then.
pub fn load(path: &Path, max_errors: usize, cancel: Cancel<'_>) -> Result<Loaded, LoadError> {
    cancel.check()?;
    let (file, metadata) = open(path)?;
    let identity = Identity::from(&metadata);
    // Without this limit, a file that grows as fast as it is read would be read forever.
    let mut bounded = (&file).take(metadata.len().saturating_add(1));
    let content = read(&mut bounded, metadata.len(), max_errors, cancel);
    // A program that writes into the file itself, and does not replace it, may have been half-way.
    if bounded.limit() == 0 || Identity::from(&file.metadata()?) != identity {
        return Err(LoadError::Changing);
    }
    let Content { table, ends_in_newline } = content?;
    let exposure = Exposure::of(path, &metadata);
    Ok(Loaded { table, exposure, ends_in_newline, identity })
}

/// Reads a secrets file, and tries again while it is being written, for a limited time. A file that keeps changing is an
/// error, [`LoadError::Changing`].
///
/// # Errors
///
/// [`LoadError`]; there is no table then.
pub fn load_patiently(
    path: &Path,
    patience: Duration,
    cancel: Cancel<'_>,
) -> Result<Loaded, LoadError> {
    let begin = Instant::now();
    for tries in 1.. {
        match load(path, MAX_ERRORS, cancel) {
            Err(LoadError::Changing) if tries < TRIES || begin.elapsed() < patience => {
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
    Err(LoadError::Changing)
}

/// Opens a secrets file, if it is one that may be trusted.
///
/// # Errors
///
/// [`LoadError`].
pub fn open(path: &Path) -> Result<(File, Metadata), LoadError> {
    let file = obstacle::open_for_reading(path).map_err(|error| explained(path, error))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile(obstacle::kind_of(&metadata)));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(LoadError::WritableByOthers { mode });
    }
    Ok((file, metadata))
}

/// The error of a file that could not be opened: with the [`Obstacle`] in it, if one is found. So it says which folder, link or
/// mode is at fault.
#[must_use]
pub fn explained(path: &Path, error: io::Error) -> LoadError {
    match why_not(path) {
        Some(Obstacle { reason: Reason::NotAFile(found), .. }) => LoadError::NotAFile(found),
        // The system's own error says as much.
        Some(Obstacle { reason: Reason::Other(other), .. })
            if other.kind() != ErrorKind::PermissionDenied =>
        {
            LoadError::Io(error)
        }
        Some(obstacle) => LoadError::Io(io::Error::new(obstacle.kind(), obstacle)),
        None => LoadError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        os::unix::fs::PermissionsExt,
        sync::atomic::{AtomicBool, Ordering},
    };

    #[test]
    fn a_file_that_grows_as_fast_as_it_is_read_is_not_read_without_end() {
        const MOST: u64 = 1 << 30;
        let path = std::env::temp_dir().join(format!("iotda-growing-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        let more = "# more\n".repeat(1 << 17);
        file.write_all(more.as_bytes()).unwrap();
        let is_read = AtomicBool::new(false);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut size = 0;
                while !is_read.load(Ordering::Relaxed) && size < MOST {
                    file.write_all(more.as_bytes()).unwrap();
                    size += more.len() as u64;
                }
                size
            });
            // It may happen not to change during one read.
            let mut loaded = load(&path, 1, Cancel::NEVER);
            for _ in 0..3 {
                if loaded.is_ok() {
                    loaded = load(&path, 1, Cancel::NEVER);
                }
            }
            is_read.store(true, Ordering::Relaxed);
            fs::remove_file(&path).unwrap();
            assert!(matches!(loaded, Err(LoadError::Changing)), "{loaded:?}");
            assert!(writer.join().unwrap() < MOST);
        });
    }
}
