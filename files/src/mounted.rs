//! Is a file mounted by itself, as `docker run -v FILE` does, and not with its folder?
//!
//! Such a file cannot be replaced: a program outside that renames a new file over it leaves the old one mounted, without a name,
//! and a program inside cannot rename anything onto it.

use std::{
    ffi::OsString,
    fs::{self, Metadata},
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::Path,
};

/// What to say where a rename onto a file fails with `EBUSY`, behind `cannot be written: `.
pub const CANNOT_BE_REPLACED: &str = "the file is mounted by itself, so it cannot be replaced here: mount its folder, or edit the file outside";

/// Whether a path is a mount point, as far as `/proc` tells.
#[must_use]
pub fn is_mount_point(path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    fs::read("/proc/self/mountinfo").is_ok_and(|mounts| is_mounted(&mounts, &path))
}

/// Whether the file at a path was replaced or removed outside, and what is mounted here is the old one.
pub(crate) fn is_replaced(path: &Path, metadata: &Metadata) -> bool {
    // A file that was opened just before another took its place has no name left either, and some network file systems count
    // no names at all.
    let is_still_there = || {
        fs::metadata(path).is_ok_and(|now| {
            (now.dev(), now.ino(), now.nlink()) == (metadata.dev(), metadata.ino(), 0)
        })
    };
    metadata.nlink() == 0 && is_still_there() && is_mount_point(path)
}

/// Whether a path is among the mount points of `/proc/self/mountinfo`: the fifth word of each line (proc_pid_mountinfo(5)).
fn is_mounted(mounts: &[u8], path: &Path) -> bool {
    mounts.split(|byte| *byte == b'\n').any(|line| {
        let point = line.split(|byte| *byte == b' ').nth(4);
        point.is_some_and(|point| unescaped(point) == path.as_os_str())
    })
}

/// A path in which blanks and the like are written as three octal digits behind a backslash.
fn unescaped(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) if *first == b'\\' => {
                bytes.push(code);
                rest = others.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_whatever_their_names() {
        let mounts = br"22 1 254:0 / / rw - ext4 /dev/vda rw
65 44 254:0 /srv/a//deleted /etc/mosquitto/iotda\040and\134more rw,relatime - ext4 /dev/vda rw
66 44 0:5 / /proc rw";
        for (path, expected) in [
            ("/", true),
            ("/proc", true),
            (r"/etc/mosquitto/iotda and\more", true),
            ("/etc/mosquitto", false),
            ("/srv/a", false),
        ] {
            assert_eq!(is_mounted(mounts, Path::new(path)), expected, "{path}");
        }
        assert_eq!(unescaped(br"\04"), r"\04");
        assert!(is_mount_point(Path::new("/proc")) && !is_mount_point(Path::new("/proc/self")));
        assert!(!is_mount_point(Path::new("/missing")));
    }
}
