//! Which files has the broker read its configuration from, and have they changed since?

use crate::{Identity, obstacle::open_for_reading};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Read,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// No more of a file is read, in bytes.
const MAX_READ: u64 = 1 << 20;

/// No more files of a folder are looked at.
const MAX_FILES: usize = 1000;

/// The files of a configuration, as they were at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration(Vec<(PathBuf, Option<Identity>)>);

impl Configuration {
    /// The configuration of this process, if it is a broker: the file behind `-c`, and those of its `include_dir`. None that
    /// cannot be read is an error.
    #[must_use]
    pub fn current() -> Self {
        fs::read("/proc/self/cmdline")
            .ok()
            .and_then(|words| file_of(&words))
            .map_or_else(Self::default, |file| Self::of(&file))
    }

    /// The configuration in a file.
    fn of(file: &Path) -> Self {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
        let mut files: Vec<PathBuf> =
            included(&file).iter().flat_map(|dir| files_in(dir)).collect();
        files.sort();
        files.insert(0, file);
        let with_identity = |file: PathBuf| (Identity::of(&file), file);
        Self(
            files.into_iter().map(with_identity).map(|(identity, file)| (file, identity)).collect(),
        )
    }

    /// A file that is new, gone, or not as it was before.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Option<PathBuf> {
        let changed = self.0.iter().find(|file| !before.0.contains(file));
        let gone = before.0.iter().find(|(old, _)| !self.0.iter().any(|(now, _)| now == old));
        changed.or(gone).map(|(path, _)| path.clone())
    }
}

/// The configuration file in a command line (`config__parse_args` in `conf.c`, 2.0.21 and 2.1.2).
fn file_of(words: &[u8]) -> Option<PathBuf> {
    let mut words = words.split(|byte| *byte == 0);
    words.find(|word| matches!(*word, b"-c" | b"--config-file"))?;
    words.next().filter(|word| !word.is_empty()).map(|word| PathBuf::from(OsStr::from_bytes(word)))
}

/// The folders that a file includes. Included files cannot include more (`config__read_file_core` in `conf.c`).
fn included(file: &Path) -> Vec<PathBuf> {
    let is_file = fs::metadata(file).is_ok_and(|metadata| metadata.is_file());
    let mut content = Vec::new();
    if is_file {
        // It is not the plugin's to tell if this fails: the broker has read the file.
        let _ =
            open_for_reading(file).and_then(|file| file.take(MAX_READ).read_to_end(&mut content));
    }
    let folder = |line: &[u8]| {
        let value = line.strip_prefix(b"include_dir")?;
        let value = value.strip_prefix(b" ").or_else(|| value.strip_prefix(b"\t"))?.trim_ascii();
        (!value.is_empty()).then(|| PathBuf::from(OsString::from_vec(value.to_vec())))
    };
    content
        .split(|byte| *byte == b'\n')
        .filter_map(|line| folder(line.trim_ascii_start()))
        .collect()
}

/// The files of a folder that the broker reads: those whose names end in `.conf`.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_FILES);
    let path = entries.map(|entry| entry.path());
    path.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_in_the_command_line() {
        for (words, expected) in [
            (
                &b"mosquitto\0-c\0/etc/mosquitto/mosquitto.conf\0"[..],
                Some("/etc/mosquitto/mosquitto.conf"),
            ),
            (b"mosquitto\0-v\0--config-file\0a b.conf\0-d\0", Some("a b.conf")),
            (b"mosquitto\0-p\0", None),
            (b"mosquitto\0-c\0", None),
            (b"", None),
        ] {
            assert_eq!(file_of(words), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn a_change_of_each_file_is_seen() {
        let folder =
            std::env::temp_dir().join(format!("iotda-configuration-{}", std::process::id()));
        let included = folder.join("conf.d");
        fs::create_dir_all(&included).unwrap();
        let (main, one) = (folder.join("mosquitto.conf"), included.join("one.conf"));
        fs::write(&main, format!("#include_dir /none\ninclude_dir  {}\r\n", included.display()))
            .unwrap();
        fs::write(&one, "listener 1883\n").unwrap();
        let before = Configuration::of(&main);
        assert_eq!(before.0.len(), 2);
        assert_eq!(Configuration::of(&main).changed_since(&before), None);
        let mut known = before;
        let mut changed = |expected: &Path| {
            let now = Configuration::of(&main);
            assert_eq!(now.changed_since(&known), Some(expected.into()));
            known = now;
        };
        let two = included.join("two.conf");
        fs::write(included.join("one.conf.dpkg-new"), "").unwrap();
        fs::write(&two, "").unwrap();
        changed(&two);
        fs::write(&one, "listener 1884 127.0.0.1\n").unwrap();
        changed(&one);
        fs::remove_file(&two).unwrap();
        changed(&two);
        fs::write(&main, "").unwrap();
        changed(&main);
        fs::remove_file(&main).unwrap();
        changed(&main);
        fs::remove_dir_all(folder).unwrap();
    }
}
