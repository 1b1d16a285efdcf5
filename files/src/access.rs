//! Who owns a file or a folder, what its mode is, and what would let a user in.

use crate::user::{User, group_name, user_name};
use std::{fmt, fs::Metadata, os::unix::fs::MetadataExt};

/// Who owns a file or a folder, and its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The owner's user id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
}

impl From<&Metadata> for Access {
    fn from(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & 0o7777 }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_id = |name: Option<String>, id: u32| name.unwrap_or_else(|| id.to_string());
        let owner = or_id(user_name(self.uid), self.uid);
        let group = or_id(group_name(self.gid), self.gid);
        write!(f, "{owner}:{group}, mode {:04o}", self.mode)
    }
}

impl Access {
    /// What lets a user who was refused read the file, or enter the folder.
    pub(crate) fn advice(&self, user: &User, is_the_file: bool) -> String {
        let (bit, name) = if is_the_file { (0o4, 'r') } else { (0o1, 'x') };
        let (class, shift) = if self.uid == user.uid {
            ('u', 6)
        } else if user.is_in(self.gid) {
            ('g', 3)
        } else {
            ('o', 0)
        };
        if self.mode & (bit << shift) != 0 {
            return "the mode allows it, so look for an access list, SELinux, AppArmor or a sandbox of systemd".into();
        }
        let group = user.group_or_id();
        match (class, is_the_file) {
            ('o', true) => format!("chgrp {group} and chmod 640"),
            ('o', false) => format!("chgrp {group} and chmod g+x, or keep the file elsewhere"),
            (class, _) => format!("chmod {class}+{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_for_the_bits_that_count() {
        let user = User { uid: 7, name: None, gid: 8, group: Some("mqtt".into()), groups: vec![9] };
        let its_mode = "the mode allows it, so look for an access list, SELinux, AppArmor or a sandbox of systemd";
        for (uid, gid, mode, is_the_file, expected) in [
            (0, 0, 0o600, true, "chgrp mqtt and chmod 640"),
            (0, 8, 0o600, true, "chmod g+r"),
            (0, 9, 0o600, true, "chmod g+r"),
            (7, 0, 0o000, true, "chmod u+r"),
            // The owner's bits count for the owner alone.
            (7, 8, 0o044, true, "chmod u+r"),
            (0, 0, 0o644, true, its_mode),
            (0, 8, 0o640, true, its_mode),
            (0, 0, 0o700, false, "chgrp mqtt and chmod g+x, or keep the file elsewhere"),
            (0, 0, 0o704, false, "chgrp mqtt and chmod g+x, or keep the file elsewhere"),
            (0, 8, 0o700, false, "chmod g+x"),
            (7, 8, 0o600, false, "chmod u+x"),
            (0, 0, 0o711, false, its_mode),
        ] {
            let found = Access { uid, gid, mode }.advice(&user, is_the_file);
            assert_eq!(found, expected, "{uid} {gid} {mode:o} {is_the_file}");
        }
    }
}
