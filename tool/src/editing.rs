//! How is a secrets file replaced without losing anything?
//!
//! Under a lock, a new file is written in the same folder and then renamed, so that a crash leaves the old file or the new
//! one.

use crate::readers::{Group, admit_broker};
use iotda_core::registry::{Cancel, LoadError, edit::Content, read::read};
use iotda_files::{Exposure, Identity};
use rustix::fs::{FlockOperation, XattrFlags};
use std::{
    fmt,
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Why a file was not edited. It has not changed then.
#[derive(Debug)]
pub(crate) enum EditError {
    /// It cannot be read, or has errors.
    Load(LoadError),
    /// Another program has changed it meanwhile.
    Changed,
    /// Another process has held the lock for too long.
    Locked {
        /// The process id, if the system tells it.
        process: Option<u32>,
    },
    /// `iotda-auth follow` keeps it equal to a table of a database.
    Followed,
    /// It has other names (hard links), which would keep the old content.
    Linked {
        /// How many names it has.
        names: u64,
    },
    /// The system returned an error.
    Io {
        /// What could not be done, in words.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Changed => f.write_str("was changed by somebody else meanwhile: nothing is done"),
            Self::Locked { process } => {
                let seconds = LOCK_PATIENCE.as_secs();
                match process {
                    Some(process) => write!(f, "is locked by process {process}")?,
                    None => f.write_str("is locked by another process")?,
                }
                write!(f, ", for {seconds} s and more: nothing is done")
            }
            Self::Followed => f.write_str(
                "is kept by iotda-auth follow: nothing is done; change the device in the database. To edit the file again, end \
                 the follower and remove the file's first line",
            ),
            Self::Linked { names } => write!(
                f,
                "has {names} names (hard links), and an edit would change one of them alone: nothing is done; make the \
                 others symbolic links"
            ),
            Self::Io { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for EditError {}

impl From<LoadError> for EditError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

/// How a file begins that `iotda-auth follow` keeps: an edit would be overwritten.
pub(crate) const FOLLOWED: &[u8] = b"# iotda-auth follow:";

/// Adds to a system error what could not be done.
fn failing(what: &'static str) -> impl Fn(io::Error) -> EditError {
    move |error| EditError::Io { what, error }
}

/// A file that is being edited, under its lock.
#[derive(Debug)]
pub(crate) struct Editing {
    /// Its path, with symbolic links resolved: the links stay, and their target is edited.
    path: PathBuf,
    /// Held until the file is replaced: the lock is on it.
    file: File,
    metadata: Metadata,
    identity: Identity,
    content: Content,
    /// It was created for this edit, and is still empty.
    is_fresh: bool,
    /// It was created for this edit, and this group may read it.
    admitted: Option<Group>,
}

impl Editing {
    /// Waits until no other process edits the file, and reads it. With `create`, a missing file is created, with access for
    /// its owner only or also for the broker's group. `waiting` is called if it has to wait.
    ///
    /// # Errors
    ///
    /// [`EditError`]; also when the file has a wrong line.
    pub(crate) fn open(
        path: &Path,
        create: bool,
        waiting: impl FnOnce(),
    ) -> Result<Self, EditError> {
        let created = if create { make(path)? } else { None };
        let mut waiting = Some(waiting);
        let (path, file) = loop {
            let path = fs::canonicalize(path).map_err(LoadError::Io)?;
            let (file, _) = iotda_files::open(&path)?;
            lock(&file, &mut waiting)?;
            // The process that had the lock before has replaced the file.
            if is_at(&file, &path).map_err(LoadError::Io)? {
                break (path, file);
            }
        };
        let metadata = file.metadata().map_err(LoadError::Io)?;
        if metadata.nlink() > 1 {
            return Err(EditError::Linked { names: metadata.nlink() });
        }
        let identity = Identity::from(&metadata);
        let content = Content::read(&file, metadata.len())?;
        if content.as_ref().starts_with(FOLLOWED) {
            return Err(EditError::Followed);
        }
        let is_fresh = created.is_some() && content.as_ref().is_empty();
        let admitted = created.flatten();
        let editing = Self { path, file, metadata, identity, content, is_fresh, admitted };
        read(editing.content.as_ref(), editing.metadata.len(), 0, Cancel::NEVER)?;
        editing.check_unchanged()?;
        Ok(editing)
    }

    /// What the file holds.
    #[must_use]
    pub(crate) fn content(&self) -> &[u8] {
        self.content.as_ref()
    }

    /// Which other users may read or change it.
    #[must_use]
    pub(crate) fn exposure(&self) -> Exposure {
        Exposure::of(&self.path, &self.metadata)
    }

    /// Which group may read it, if it was created for this edit and one may.
    pub(crate) fn admitted(&self) -> Option<&Group> {
        self.admitted.as_ref()
    }

    /// Replaces its content by what is written to the given file, from the old content. Owner, mode and access list stay the
    /// same.
    ///
    /// # Errors
    ///
    /// [`EditError`]; also if `write` returns an error.
    pub(crate) fn replace(
        mut self,
        write: impl FnOnce(&[u8], &mut dyn Write) -> io::Result<()>,
    ) -> Result<(), EditError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let beside = Beside::make(&self.path).map_err(failing(CANNOT_WRITE))?;
        write(self.content.as_ref(), &mut &beside.file).map_err(failing(CANNOT_WRITE))?;
        take_after(&beside.file, &self.file, &self.metadata)?;
        beside.file.sync_all().map_err(failing(CANNOT_WRITE))?;
        self.check_unchanged()?;
        beside.rename(&self.path).map_err(failing(CANNOT_WRITE))?;
        self.is_fresh = false;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failing("is replaced, but a crash of the machine may undo it"))
    }

    /// Do not overwrite changes made without the lock, by a text editor for example.
    fn check_unchanged(&self) -> Result<(), EditError> {
        match Identity::of(&self.path) {
            Some(identity) if identity == self.identity => Ok(()),
            _ => Err(EditError::Changed),
        }
    }
}

/// What comes before an error about the file's folder, mostly.
pub(crate) const CANNOT_WRITE: &str = "cannot be written";
/// The same for a new file.
pub(crate) const CANNOT_MAKE: &str = "cannot be made";

impl Drop for Editing {
    /// Removes a file that was created in vain. The lock is still held.
    fn drop(&mut self) {
        if self.is_fresh {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Creates an empty file, with access for its owner and for the group that is returned; the outer `None` means that the file
/// is there already.
fn make(path: &Path) -> Result<Option<Option<Group>>, EditError> {
    let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(failing(CANNOT_MAKE)(error)),
    };
    let admitted = admit_broker(&file, path).inspect_err(|_| {
        let _ = fs::remove_file(path);
    });
    admitted.map(Some).map_err(failing("cannot be given to the broker's group"))
}

/// How long to wait for another edit: one of a very large file takes a few seconds. The wait is limited because users who
/// may only read the file can lock it too, and never release the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How often to try again.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Locks a file against other edits. The lock ends with the process.
fn lock(file: &File, waiting: &mut Option<impl FnOnce()>) -> Result<(), EditError> {
    let cannot = failing("cannot be locked");
    let begin = Instant::now();
    loop {
        let how = FlockOperation::NonBlockingLockExclusive;
        match rustix::io::retry_on_intr(|| rustix::fs::flock(file, how)) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(cannot(error.into())),
        }
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        if begin.elapsed() >= LOCK_PATIENCE {
            return Err(EditError::Locked { process: locked_by(file).map_err(cannot)? });
        }
        thread::sleep(LOCK_PAUSE);
    }
}

/// Which process holds a lock of this kind on a file; `None` if the system does not tell.
pub(crate) fn locked_by(file: &File) -> io::Result<Option<u32>> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    Ok(holder(&locks, file.metadata()?.ino()))
}

/// Which process holds a lock of this kind on a file, from proc_locks(5). Device numbers are not compared: file systems
/// with subvolumes show a different one there.
fn holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        // A waiting process has an arrow there.
        let ("FLOCK", Some(_), Some(_)) = (words.next()?, words.next(), words.next()) else {
            return None;
        };
        let process = words.next()?.parse().ok().filter(|process| *process > 0);
        let its_inode = words.next()?.rsplit(':').next()?;
        process.filter(|_| its_inode.parse() == Ok(inode))
    })
}

/// Whether a path leads to an open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A new file that is to replace another one in the same folder. It is removed on drop if it did not.
pub(crate) struct Beside {
    path: PathBuf,
    /// The file, open for writing.
    pub(crate) file: File,
    renamed: bool,
}

impl Beside {
    /// Creates it, with access for its owner only.
    pub(crate) fn make(target: &Path) -> io::Result<Self> {
        let prefix = prefix(target);
        let folder = target.parent().unwrap_or(Path::new("/"));
        remove_leftovers(folder, &prefix)?;
        let mut name = prefix;
        name.extend_from_slice(random_hex::<8>()?.as_slice());
        let path = folder.join(std::ffi::OsStr::from_bytes(&name));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file, renamed: false })
    }

    /// Moves it into the other file's place.
    pub(crate) fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The prefix of the names of such new files.
fn prefix(target: &Path) -> Vec<u8> {
    // A name of the greatest length has no room for more.
    let name = target.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    let name = name.get(..name.len().min(200)).unwrap_or_default();
    [b".", name, b".iotda-auth-"].concat()
}

/// Removes new files that killed edits have left behind, because they hold secrets. Only the process with the lock writes
/// such files. At worst, if another file was moved into place meanwhile, the other edit cannot rename and says so.
fn remove_leftovers(folder: &Path, prefix: &[u8]) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let random = name.as_bytes().strip_prefix(prefix);
        if random.is_some_and(|hex| hex.len() == 8 && hex.iter().all(u8::is_ascii_hexdigit)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// A number of random lower-case hex digits, from the system.
///
/// # Errors
///
/// The system's error, if it has no random numbers.
pub(crate) fn random_hex<const DIGITS: usize>() -> io::Result<Zeroizing<[u8; DIGITS]>> {
    let mut digits = Zeroizing::new([0; DIGITS]);
    let mut random = Zeroizing::new(vec![0; DIGITS / 2]);
    let mut filled = 0;
    while let Some(room) = random.get_mut(filled..).filter(|room| !room.is_empty()) {
        filled += rustix::io::retry_on_intr(|| {
            rustix::rand::getrandom(&mut *room, rustix::rand::GetRandomFlags::empty())
        })?;
    }
    hex::encode_to_slice(random.as_slice(), digits.as_mut_slice()).map_err(io::Error::other)?;
    Ok(digits)
}

/// Gives a new file the owner, the mode and the extended attributes of an old one.
///
/// # Errors
///
/// [`EditError::Io`].
pub(crate) fn take_after(new: &File, old: &File, was: &Metadata) -> Result<(), EditError> {
    let is = new.metadata().map_err(failing(CANNOT_WRITE))?;
    if (is.uid(), is.gid()) != (was.uid(), was.gid()) {
        std::os::unix::fs::fchown(new, Some(was.uid()), Some(was.gid()))
            .map_err(failing("cannot keep its owner and group"))?;
    }
    // A new file inherits the folder's default list, which may differ from the old file's list. Many file systems have no
    // lists.
    let _ = rustix::fs::fremovexattr(new, ACCESS_LIST);
    new.set_permissions(Permissions::from_mode(was.mode() & 0o7777))
        .map_err(failing("cannot keep its mode"))?;
    copy_attributes(new, old).map_err(failing("cannot keep its access list"))
}

/// Where the system keeps what setfacl(1) sets.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Copies the extended attributes. Only the access list must not be lost: it may be what lets the broker read the file. The
/// system itself sets labels.
fn copy_attributes(new: &File, old: &File) -> io::Result<()> {
    // The largest size that Linux allows, for the list and for a value.
    let mut names = vec![0; 1 << 16];
    let Ok(length) = rustix::fs::flistxattr(old, &mut *names) else { return Ok(()) };
    let mut value = vec![0; 1 << 16];
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        let copied = rustix::fs::fgetxattr(old, name, &mut *value).and_then(|length| {
            let value = value.get(..length).unwrap_or_default();
            rustix::fs::fsetxattr(new, name, value, XattrFlags::empty())
        });
        if name == ACCESS_LIST.as_bytes() {
            copied?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use iotda_core::registry::line;

    #[test]
    fn the_holder_of_a_lock_is_found() {
        let locks = "1: FLOCK  ADVISORY  WRITE 111 fd:01:77 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 222 fd:01:7 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 333 fd:01:7 0 EOF\n\
                     3: FLOCK  ADVISORY  READ 0 fd:01:7 0 EOF\n\
                     4: FLOCK  ADVISORY  READ 444 fd:01:7 0 EOF\n";
        assert_eq!(holder(locks, 7), Some(444));
        assert_eq!(holder(locks, 77), Some(111));
        assert_eq!(holder(locks, 8), None);
        assert_eq!(holder("", 7), None);
    }

    #[test]
    fn random_digits_differ() {
        let (one, other) = (random_hex::<32>().unwrap(), random_hex::<32>().unwrap());
        assert_ne!(one, other);
        assert!(line::check_secret(one.as_slice()).is_ok());
    }
}
