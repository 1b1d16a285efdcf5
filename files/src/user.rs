//! As which user does this thread open files?
//!
//! Names come from `/etc/passwd` and `/etc/group` alone: asking the system's name service needs unsafe code, and may wait for
//! a network.

use std::{fmt, fs};

/// The user and the groups that decide what the calling thread may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The user's name, if `/etc/passwd` has it.
    pub name: Option<String>,
    /// The id of the first group.
    pub gid: u32,
    /// The first group's name, if `/etc/group` has it.
    pub group: Option<String>,
    /// The ids of the other groups.
    pub groups: Vec<u32>,
}

impl User {
    /// The user of the calling thread; `None` without `/proc`.
    #[must_use]
    pub fn current() -> Option<Self> {
        // A thread may have other ids than its process; the last id of each line is the one that files are opened with.
        Self::of_status(&fs::read_to_string("/proc/thread-self/status").ok()?)
    }

    fn of_status(status: &str) -> Option<Self> {
        let ids = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        };
        let (uid, gid) = (*ids("Uid:")?.last()?, *ids("Gid:")?.last()?);
        let groups = ids("Groups:").unwrap_or_default();
        Some(Self { uid, name: user_name(uid), gid, group: group_name(gid), groups })
    }

    /// Whether the user belongs to a group.
    #[must_use]
    pub fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// The first group as a command such as `chgrp` takes it: its name, or its id.
    #[must_use]
    pub fn group_or_id(&self) -> String {
        self.group.clone().unwrap_or_else(|| self.gid.to_string())
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "user {name} (uid {}, ", self.uid)?,
            None => write!(f, "the user with uid {} (", self.uid)?,
        }
        write!(f, "group {})", self.group_or_id())
    }
}

/// The name of a user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    name_in(&fs::read("/etc/passwd").ok()?, uid)
}

/// The name of a group, escaped, if `/etc/group` has it.
#[must_use]
pub fn group_name(gid: u32) -> Option<String> {
    name_in(&fs::read("/etc/group").ok()?, gid)
}

/// The name with this id, in a file whose lines begin with `name:password:id`.
fn name_in(file: &[u8], id: u32) -> Option<String> {
    file.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
        (number == id).then(|| String::from_utf8_lossy(name).escape_debug().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_id() {
        let file = b"root:x:0:0:root:/root:/bin/sh\nbroken\nmosquitto:x:110:118::/var/lib:\nodd\x1b:x:7:7\n\xff:x:8:";
        assert_eq!(name_in(file, 0).as_deref(), Some("root"));
        assert_eq!(name_in(file, 110).as_deref(), Some("mosquitto"));
        assert_eq!(name_in(file, 7).as_deref(), Some("odd\\u{1b}"));
        assert_eq!(name_in(file, 8).as_deref(), Some("\u{fffd}"));
        assert_eq!(name_in(file, 118), None);
        let groups = b"root:x:0:\nodd\nmosquitto:x:114:\nlater:x:114:\n";
        assert_eq!(name_in(groups, 114).as_deref(), Some("mosquitto"));
        assert_eq!(name_in(groups, 11), None);
    }

    #[test]
    fn a_thread_has_the_ids_that_its_files_are_opened_with() {
        let status = "Name:\tmosquitto\nUid:\t0\t0\t0\t4000000110\nGid:\t0\t0\t0\t4000000118\nGroups:\t4000000118 27 \n";
        let user = User::of_status(status).unwrap();
        assert_eq!((user.uid, user.gid), (4_000_000_110, 4_000_000_118));
        assert!(user.is_in(27) && user.is_in(4_000_000_118) && !user.is_in(0));
        assert_eq!(user.to_string(), "the user with uid 4000000110 (group 4000000118)");
        let named = User { name: Some("mosquitto".into()), group: Some("iot".into()), ..user };
        assert_eq!(named.to_string(), "user mosquitto (uid 4000000110, group iot)");
        assert_eq!(User::of_status("Uid:\n"), None);
        assert!(User::current().is_some());
    }
}
