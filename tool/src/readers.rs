//! Who may read a secrets file that is made here?
//!
//! A file that root makes beside the broker's configuration is for the broker, which does not run as root: its group gets to
//! read the file. Any other is for its owner alone.

use crate::terminal::Harmless;
use iotda_files::group_name;
use rustix::fs::{Gid, Mode};
use std::{
    fmt,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Where packages, and the broker's container, have its configuration.
const FOLDERS: [&str; 2] = ["/etc/mosquitto", "/mosquitto/config"];
/// The user that packages make for the broker, and that it changes to by default.
const USER: &str = "mosquitto";
const ROOT: u32 = 0;

/// A group that may read a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    id: u32,
    /// Its name, if it has one.
    name: Option<String>,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "group {}", Harmless(name)),
            None => write!(f, "group {}", self.id),
        }
    }
}

/// Lets the broker's group read a new file that is beside the broker's configuration and belongs to root. Its mode is 0640
/// then. Returns the group.
///
/// # Errors
///
/// The system's error.
pub(crate) fn admit_broker(file: &File, path: &Path) -> io::Result<Option<Group>> {
    if file.metadata()?.uid() != ROOT {
        return Ok(None);
    }
    let path = fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let Some(id) = brokers_group(folder, &fs::metadata(folder)?, &users) else { return Ok(None) };
    rustix::fs::fchown(file, None, Some(Gid::from_raw(id)))?;
    rustix::fs::fchmod(file, Mode::RUSR | Mode::WUSR | Mode::RGRP)?;
    Ok(Some(Group { id, name: group_name(id) }))
}

/// The group of a broker whose configuration is in this folder: that of its user, or else the folder's. `None` if the folder
/// is no broker's, or the group is not known.
fn brokers_group(folder: &Path, metadata: &Metadata, users: &str) -> Option<u32> {
    let is_brokers = FOLDERS.iter().any(|its| folder.starts_with(its))
        || folder.join("mosquitto.conf").is_file();
    let of_folder = || Some(metadata.gid()).filter(|gid| *gid != ROOT);
    is_brokers.then(|| group_of(USER, users).or_else(of_folder)).flatten()
}

/// The first group of a user, from passwd(5).
fn group_of(user: &str, users: &str) -> Option<u32> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then(|| fields.nth(2)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nmosquitto-old:x:1:5:::\nodd\n\
                         mosquitto:x:108:114::/var/lib/mosquitto:/usr/sbin/nologin\n";

    #[test]
    fn users_and_groups_are_found() {
        assert_eq!(group_of("mosquitto", USERS), Some(114));
        assert_eq!(group_of("root", USERS), Some(0));
        assert_eq!(group_of("x", USERS), None);
        assert_eq!(group_of("odd", USERS), None);
        assert_eq!(group_of("mosquitto", "mosquitto:x:1:many:"), None);
        assert_eq!(Group { id: 7, name: None }.to_string(), "group 7");
        assert_eq!(Group { id: 7, name: Some("x\x1b".into()) }.to_string(), "group x\\u{1b}");
    }

    #[test]
    fn a_folder_is_a_brokers_by_its_place_or_by_what_is_in_it() {
        let root = fs::metadata("/").unwrap();
        assert_eq!(root.gid(), ROOT);
        let group = |folder: &str, users| brokers_group(Path::new(folder), &root, users);
        assert_eq!(group("/etc/mosquitto", USERS), Some(114));
        assert_eq!(group("/etc/mosquitto/devices", USERS), Some(114));
        assert_eq!(group("/mosquitto/config", USERS), Some(114));
        assert_eq!(group("/etc/mosquitto2", USERS), None);
        assert_eq!(group("/root", USERS), None);
        // Neither the user nor the folder tells the group.
        assert_eq!(group("/etc/mosquitto", ""), None);
    }
}
