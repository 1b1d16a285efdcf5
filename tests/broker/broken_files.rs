//! What is wrong with a secrets file, in the words of a broker that does not start and of `iotda-auth check`: the same.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
};
use support::{
    broker::{Setup, user_line},
    device::secrets,
    on_every_broker,
    scratch::{Scratch, set_mode},
    tool::{self, Said},
    version::Version,
};

on_every_broker!(each_broken_file_has_its_message);

/// A file with which no broker starts.
struct Broken {
    name: &'static str,
    /// Makes it in a folder, and returns its path; `None` where this user cannot.
    make: Make,
    /// How the message begins.
    before: &'static str,
    /// What is said behind that. FOLDER stands for the folder, USER for who reads.
    message: &'static str,
    /// The wrong lines that are told.
    lines: &'static [(u64, &'static str)],
    /// The exit status of `iotda-auth check`: 1 for a file that is wrong, 2 for one that cannot be read.
    status: i32,
}

const TABLE: [Broken; 31] = [
    Broken::unread(
        "missing",
        |folder| Some(folder.path().join("secrets")),
        "No such file or directory: there is no \"secrets\" in the folder \"FOLDER\"",
    ),
    Broken::unread(
        "missing folder",
        |folder| Some(folder.path().join("mosquito/secrets")),
        "No such file or directory: there is no folder \"FOLDER/mosquito\"",
    ),
    Broken::unread(
        "dangling link",
        |folder| link(folder, "../gone/secrets"),
        "No such file or directory: \"FOLDER/secrets\" is a symbolic link to \"../gone/secrets\", and there is no folder \"PARENT/gone\"",
    ),
    Broken::unread(
        "link to itself",
        |folder| link(folder, "secrets"),
        "Too many levels of symbolic links: \"FOLDER/secrets\" is a symbolic link that leads back to itself",
    ),
    Broken::unread(
        "file in the place of a folder",
        |folder| Some(folder.file("mosquitto", "").join("secrets")),
        "Not a directory: \"FOLDER/mosquitto\" is not a folder",
    ),
    Broken::unread(
        "unreadable",
        |folder| with_mode(folder.file("secrets", secrets()), 0o000),
        "Permission denied: USER may not read the file (OWN, mode 0000): chmod u+r",
    ),
    Broken::unread(
        "another user's",
        |folder| {
            chown(folder.file("secrets", secrets()), Some(12345), Some(54321))
                .ok()
                .map(|()| folder.path().join("secrets"))
        },
        "Permission denied: USER may not read the file (12345:54321, mode 0600): chgrp GROUP and chmod 640",
    ),
    Broken::unread(
        "behind a link, unreadable",
        |folder| {
            link(folder, "real")
                .filter(|_| with_mode(folder.file("real", secrets()), 0o000).is_some())
        },
        "Permission denied: \"FOLDER/secrets\" is a symbolic link to \"real\", and USER may not read the file \"FOLDER/real\" \
         (OWN, mode 0000): chmod u+r",
    ),
    Broken::unread(
        "shut folder",
        |folder| in_folder(folder, |path| with_mode(path.to_path_buf(), 0o600).is_some()),
        "Permission denied: USER may not enter the folder \"FOLDER/private\" (OWN, mode 0600): chmod u+x",
    ),
    Broken::unread(
        "another user's folder",
        |folder| {
            in_folder(folder, |path| {
                set_mode(path, 0o700);
                chown(path, Some(12345), Some(54321)).is_ok()
            })
        },
        "Permission denied: USER may not enter the folder \"FOLDER/private\" (12345:54321, mode 0700): chgrp GROUP and chmod \
         g+x, or keep the file elsewhere",
    ),
    Broken::whole(
        "directory",
        |folder| Some(folder.path().into()),
        "expected a regular file, found a directory",
    ),
    Broken::whole(
        "pipe",
        |folder| {
            let path = folder.path().join("pipe");
            Command::new("mkfifo").arg(&path).status().unwrap().success().then_some(path)
        },
        "expected a regular file, found a named pipe (FIFO)",
    ),
    Broken::whole(
        "socket",
        |folder| {
            let path = folder.path().join("socket");
            // The socket stays when nobody listens any more.
            UnixListener::bind(&path).unwrap();
            Some(path)
        },
        "expected a regular file, found a socket",
    ),
    Broken::whole(
        "device",
        |_| Some("/dev/null".into()),
        "expected a regular file, found a device",
    ),
    Broken::whole(
        "writable by all",
        |folder| with_mode(folder.file("secrets", secrets()), 0o602),
        "expected a file that others cannot write, found mode 0602 (chmod o-w)",
    ),
    Broken::lines(
        "cut off",
        |folder| content(folder, b"lamp-1:5f2b9c0e7d\nlamp-2:5f2b"),
        "1 wrong line, the last, which has no newline: is the file cut off?",
        &[(2, "secret: expected 8 to 32 characters, found 4")],
    ),
    Broken::lines(
        "cut off in a device id",
        |folder| content(folder, b"lamp-1:5f2b9c0e7d\n\nlamp-1:5f2b9c0e7d\nlamp"),
        "2 wrong lines, among them the last, which has no newline: is the file cut off?",
        &[(3, "device: given on line 1 already"), (4, "expected device_id:secret, found no colon")],
    ),
    Broken::lines(
        "NUL byte",
        |folder| content(folder, b"lamp-1:5f2b9c0e7d\nlamp-2:5f2b9c0e7d\0\nlamp-3:5f2b9c0e7d\n"),
        "1 wrong line",
        &[(
            2,
            "expected text, found a NUL byte at position 18: is it UTF-16, or has the machine crashed?",
        )],
    ),
    Broken::lines(
        "not a letter",
        |folder| content(folder, b"lamp 1:5f2b9c0e7d\nlamp-2:5f2b9c0e7d\n"),
        "1 wrong line",
        &[(1, "device id: expected only A-Z a-z 0-9 _ -, found something else at position 5")],
    ),
    Broken::whole(
        "a line without an end",
        |folder| content(folder, &[b'x'; 3 << 20]),
        "line 1: expected at most 1024 bytes, found more than 1048576: is it a secrets file?",
    ),
    Broken::foreign(
        "UTF-16",
        |folder| content(folder, &[b"\xFF\xFE", utf16().as_slice()].concat()),
        "text in UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
    ),
    Broken::foreign(
        "UTF-16, no mark",
        |folder| content(folder, &utf16()),
        "text in UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
    ),
    Broken::foreign(
        "table",
        |folder| content(folder, b"PK\x03\x04\x14\0\x06\0\x08\0\0\0\x21\0"),
        "a zip file, such as an .xlsx table: save the table as CSV, and iotda-auth import makes a secrets file of that",
    ),
    Broken::foreign(
        "old table",
        |folder| content(folder, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0\0\0"),
        "an .xls table or the like: save the table as CSV, and iotda-auth import makes a secrets file of that",
    ),
    Broken::foreign(
        "key file of the console",
        |folder| content(folder, b"{\"device_id\": \"dev_1\", \"secret\": \"abcdefgh1\"}"),
        "JSON: iotda-auth import makes a secrets file of it",
    ),
    Broken::foreign(
        "CSV",
        |folder| content(folder, b"device_id;secret\r\ndev_1;abcdefgh1\r\n"),
        "a table (CSV): iotda-auth import makes a secrets file of it",
    ),
    Broken::foreign(
        "gzip",
        |folder| content(folder, b"\x1F\x8B\x08\0\0\0\0\0\0\x03"),
        "compressed data: unpack it first",
    ),
    Broken::foreign(
        "after a crash",
        |folder| content(folder, &[0; 4096]),
        "only NUL bytes: has the machine crashed, or was its disk full?",
    ),
    Broken::foreign(
        "certificate",
        |folder| content(folder, b"-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n"),
        "a certificate or a key (PEM): is it the right file?",
    ),
    Broken::foreign(
        "password_file",
        |folder| content(folder, b"alice:$7$101$bm90IGEgc2FsdA==$bm90IGEgaGFzaA==\n"),
        "a password_file of Mosquitto: is it the right file?",
    ),
    Broken::foreign(
        "program",
        |folder| content(folder, &fs::read("/bin/true").unwrap()),
        "binary data: is it the right file?",
    ),
];

type Make = fn(&Scratch) -> Option<PathBuf>;

impl Broken {
    /// One that cannot be read.
    const fn unread(name: &'static str, make: Make, message: &'static str) -> Self {
        Self { name, make, before: "cannot be read: ", message, lines: &[], status: 2 }
    }

    /// One that is wrong as a whole.
    const fn whole(name: &'static str, make: Make, message: &'static str) -> Self {
        Self { name, make, before: "", message, lines: &[], status: 1 }
    }

    /// One of another kind.
    const fn foreign(name: &'static str, make: Make, message: &'static str) -> Self {
        let before = "expected lines like device_id:secret, found ";
        Self { name, make, before, message, lines: &[], status: 1 }
    }

    /// One with wrong lines.
    const fn lines(
        name: &'static str,
        make: Make,
        message: &'static str,
        lines: &'static [(u64, &'static str)],
    ) -> Self {
        Self { name, make, before: "", message, lines, status: 1 }
    }

    /// The whole message, for a file in this folder.
    fn message(&self, folder: &Path) -> String {
        let [user, uid, group] = [["-u", "-n"], ["-u", "-r"], ["-g", "-n"]].map(id);
        let parent = folder.parent().unwrap();
        format!("{}{}", self.before, self.message)
            .replace("FOLDER", folder.to_str().unwrap())
            .replace("PARENT", parent.to_str().unwrap())
            .replace("USER", &format!("user {user} (uid {uid}, group {group})"))
            .replace("OWN", &format!("{user}:{group}"))
            .replace("GROUP", &group)
    }
}

fn content(folder: &Scratch, content: &[u8]) -> Option<PathBuf> {
    Some(folder.file("secrets", content))
}

fn with_mode(path: PathBuf, mode: u32) -> Option<PathBuf> {
    set_mode(&path, mode);
    Some(path)
}

fn link(folder: &Scratch, target: &str) -> Option<PathBuf> {
    let path = folder.path().join("secrets");
    symlink(target, &path).unwrap();
    Some(path)
}

/// A right file in a folder that something is done to.
fn in_folder(scratch: &Scratch, shut: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let folder = scratch.path().join("private");
    fs::create_dir(&folder).unwrap();
    let path = scratch.file("private/secrets", secrets());
    shut(&folder).then_some(path)
}

fn utf16() -> Vec<u8> {
    secrets().encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Root may read everything, unless it drops that capability.
fn starter() -> Vec<&'static str> {
    match user_line() {
        "" => Vec::new(),
        _ => vec!["setpriv", "--bounding-set", "-dac_override,-dac_read_search"],
    }
}

/// What `id` says of this user.
fn id(options: [&str; 2]) -> String {
    let output = Command::new("id").args(options).output().expect("id runs");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// Runs `iotda-auth check` as the broker is run.
fn check(path: &Path) -> Said {
    let check = tool::command([Path::new("check"), path]);
    let starter = starter();
    let Some((program, words)) = starter.split_first() else { return tool::run(check, b"") };
    let mut command = Command::new(program);
    command.args(words).arg(check.get_program()).args(check.get_args());
    tool::run(command, b"")
}

fn each_broken_file_has_its_message(version: Version) {
    for broken in &TABLE {
        let scratch = Scratch::new();
        let name = broken.name;
        let Some(path) = (broken.make)(&scratch) else {
            assert!(!user_line().is_empty() || name.contains("another user"), "{name}");
            continue;
        };
        let message = broken.message(&fs::canonicalize(scratch.path()).unwrap());

        let log = Setup::new(version).secrets_file(&path).started_by(starter()).fail();
        let told: Vec<&str> =
            log.lines().filter_map(|line| Some(line.split_once("iotda-auth: ")?.1)).collect();
        let lines =
            broken.lines.iter().map(|(line, fault)| format!("{path:?} line {line}: {fault}"));
        let expected: Vec<_> = [format!("not started: secrets_file {path:?}: {message}")]
            .into_iter()
            .chain(lines)
            .collect();
        assert_eq!(told, expected, "{name}");

        let path = path.display();
        let lines = broken.lines.iter().map(|(line, fault)| format!("{path}:{line}: {fault}\n"));
        check(Path::new(&path.to_string())).is(
            broken.status,
            &lines.collect::<String>(),
            &format!("iotda-auth: {path}: {message}\n"),
        );
        let _ =
            fs::set_permissions(scratch.path().join("private"), fs::Permissions::from_mode(0o700));
    }
}
