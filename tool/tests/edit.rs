//! Edits of the secrets file by the command line tool: each command, several at once, and when one is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iotda_core::registry::{Cancel, Credential, Table};
use iotda_files::{Identity, load};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use support::{
    authority::Authority,
    library::tool_path,
    scratch::{Scratch, set_mode},
    tool::{self, Said, command},
};

const SHA1: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
/// Parts of all secrets that are given to the tool here.
const SECRETS: [&str; 3] = ["lamp-secret", "cold-secret", "topsecret"];
/// A file with everything that an edit has to leave alone.
const FILE: &str = "\u{feff}# first\r\n\r\nlamp:lamp-secret \t\r\n# lamp2:no-device\r\ncold:cold-secret:frozen:secondary=cold-secret2\n\
                    door:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b\r\n\n# last\r\n";

/// Checks that no error of the tool holds a secret.
fn run(command: Command, input: &[u8]) -> Said {
    tool::run(command, input).without_on_stderr(&SECRETS)
}

fn tool(args: &[&str]) -> Said {
    tool_with(args, b"")
}

/// Runs the tool. What it says of a success is tested in tests/verbs.
fn tool_with(args: &[&str], input: &[u8]) -> Said {
    const EDITS: [&str; 5] = ["add", "remove", "reset-secret", "freeze", "unfreeze"];
    let mut args = args.to_vec();
    if args.first().is_some_and(|verb| EDITS.contains(verb)) {
        args.insert(1, "--quiet");
    }
    run(command(args), input)
}

/// A folder with a secrets file.
struct Place {
    scratch: Scratch,
    path: PathBuf,
}

impl Place {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let scratch = Scratch::new();
        let path = scratch.file("iotda.secrets", content);
        Self { scratch, path }
    }

    fn file(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// Reads the file as the broker does.
    #[track_caller]
    fn table(&self) -> Table {
        load(&self.path, 1, Cancel::NEVER).unwrap().table
    }

    /// Writes a CSV file and gives its path.
    fn csv(&self, content: impl AsRef<[u8]>) -> String {
        self.scratch.file("devices.csv", content).into_os_string().into_string().unwrap()
    }

    /// The files in the folder, except those that the test put there.
    fn litter(&self) -> Vec<String> {
        fs::read_dir(self.scratch.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('.'))
            .collect()
    }
}

fn is_hex_secret(secret: &str) -> bool {
    secret.len() == 32 && secret.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

// --- each verb

#[test]
fn add_makes_a_secret_and_shows_it_once() {
    let place = Place::new(FILE);
    let said = tool(&["add", place.file(), "new-1"]);
    let secret = said.out.strip_suffix('\n').unwrap();
    assert!(said.status == 0 && said.err.is_empty() && is_hex_secret(secret), "{said:?}");
    assert_eq!(place.text(), format!("{FILE}new-1:{secret}\r\n"));
    let other = tool(&["add", place.file(), "new-2"]).out;
    assert_ne!(other, said.out);
    assert_eq!(place.litter(), [""; 0]);
}

#[test]
fn add_takes_a_secret_from_standard_input_and_does_not_show_it() {
    let place = Place::new(FILE);
    let args = ["add", place.file(), "new", "--secret-stdin"];
    tool_with(&args, b"topsecret\r\n").tells(0, "", "");
    assert_eq!(place.text(), format!("{FILE}new:topsecret\r\n"));
    tool_with(&args, b"topsecret\n").tells(1, "", "device new: is there already");
    for (input, reason) in [
        (&b""[..], "secret: expected 8 to 32 characters, found 0"),
        (b"topsecret:frozen", "secret: expected only A-Z a-z 0-9 _ -"),
        (b"topsecret topsecret", "secret: expected only A-Z a-z 0-9 _ -"),
    ] {
        let args = ["add", place.file(), "other", "--secret-stdin"];
        tool_with(&args, input).tells(2, "", reason);
    }
    assert_eq!(place.table().len(), 4);
}

/// Types lines at a terminal, each when it is asked for.
fn at_a_terminal(command: &str, lines: &[&str]) -> (bool, String) {
    let mut child = Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) makes a terminal");
    let mut out = child.stdout.take().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut shown = Vec::new();
    for line in lines {
        let mut byte = [0];
        while !shown.ends_with(b": ") && out.read(&mut byte).unwrap() == 1 {
            shown.push(byte[0]);
        }
        shown.push(b'|');
        // The prompt is written before the echo is switched off.
        thread::sleep(Duration::from_millis(500));
        keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    out.read_to_end(&mut shown).unwrap();
    (child.wait().unwrap().success(), String::from_utf8(shown).unwrap())
}

#[test]
fn add_asks_twice_at_a_terminal() {
    let place = Place::new("lamp:lamp-secret\n");
    let command = |device| {
        format!("'{TOOL}' add '{}' {device} --secret-prompt", place.file(), TOOL = tool_path())
    };
    let (yes, shown) = at_a_terminal(&command("new"), &["topsecret", "topsecret"]);
    assert!(yes && !shown.contains("topsecret"), "{shown}");
    assert!(shown.starts_with("Secret of new: |"), "{shown}");
    assert_eq!(place.text(), "lamp:lamp-secret\nnew:topsecret\n");
    let (yes, shown) = at_a_terminal(&command("newer"), &["topsecret", "topsecreT"]);
    assert!(!yes && shown.contains("the two are not the same"), "{shown}");
    assert_eq!(place.table().len(), 2);
}

#[test]
fn add_makes_a_file_only_when_told_to() {
    let place = Place::new("");
    fs::remove_file(&place.path).unwrap();
    let args = ["add", place.file(), "new", "--secret-stdin"];
    tool_with(&args, b"topsecret").tells(
        2,
        "",
        "No such file or directory (os error 2): --create makes it",
    );
    assert!(!place.path.exists());
    tool_with(&[&args[..], &["--create"]].concat(), b"topsecret").tells(0, "", "");
    assert_eq!(place.text(), "new:topsecret\n");
    assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o7777, 0o600);
    // One that is there is kept.
    let args = ["add", place.file(), "newer", "--secret-stdin", "--create"];
    tool_with(&args, b"topsecret").tells(0, "", "");
    assert_eq!(place.table().len(), 2);
}

#[test]
fn a_file_is_not_made_for_nothing() {
    let place = Place::new("");
    fs::remove_file(&place.path).unwrap();
    let csv = place.csv("device_id,secret\nx,short\n");
    tool(&["import", place.file(), &csv, "--create"]).tells(1, "", "devices.csv:2: secret:");
    assert!(!place.path.exists());
    let csv = place.csv("device_id,secret\nx,topsecret\n");
    let said = tool(&["import", place.file(), &csv, "--create", "--dry-run"]);
    said.tells(
        0,
        &format!("{}: 1 would be added, 0 would be changed\n", place.file()),
        "read as CSV",
    );
    assert!(!place.path.exists());
}

#[test]
fn remove_takes_one_line_away() {
    let place = Place::new(FILE);
    tool(&["remove", place.file(), "lamp"]).tells(0, "", "");
    assert_eq!(place.text(), FILE.replace("lamp:lamp-secret \t\r\n", ""));
    tool(&["remove", place.file(), "lamp"]).tells(1, "", "device lamp: not found");
    tool(&["remove", place.file(), "lamp2"]).tells(1, "", "device lamp2: not found");
    tool(&["remove", place.file(), "cold"]).tells(0, "", "");
    tool(&["remove", place.file(), "door"]).tells(0, "", "warning: ");
    assert_eq!(place.text(), "\u{feff}# first\r\n\r\n# lamp2:no-device\r\n\n# last\r\n");
}

#[test]
fn reset_secret_changes_one_of_two() {
    let place = Place::new(FILE);
    let said = tool(&["reset-secret", place.file(), "cold"]);
    let primary = said.out.trim_end();
    assert!(said.status == 0 && is_hex_secret(primary), "{said:?}");
    let changed = FILE.replace("cold:cold-secret:", &format!("cold:{primary}:"));
    assert_eq!(place.text(), changed);

    let said = tool(&["reset-secret", place.file(), "cold", "--secondary"]);
    let secondary = said.out.trim_end();
    assert!(said.status == 0 && is_hex_secret(secondary) && secondary != primary, "{said:?}");
    assert_eq!(place.text(), changed.replace("cold-secret2", secondary));

    let args = ["reset-secret", place.file(), "lamp", "--secondary", "--secret-stdin"];
    tool_with(&args, b"topsecret\n").tells(0, "", "");
    assert!(place.text().contains("\nlamp:lamp-secret:secondary=topsecret \t\r\n"));
    let args = ["reset-secret", place.file(), "lamp", "--secret-stdin"];
    tool_with(&args, b"topsecret2\n").tells(0, "", "");
    assert!(place.text().contains("\nlamp:topsecret2:secondary=topsecret \t\r\n"));

    tool(&["reset-secret", place.file(), "door"]).tells(1, "", "logs in by its certificate");
    tool(&["reset-secret", place.file(), "door", "--secondary"]).tells(1, "", "certificate");
    tool(&["reset-secret", place.file(), "none"]).tells(1, "", "device none: not found");
}

#[test]
fn freeze_and_unfreeze() {
    let place = Place::new(FILE);
    tool(&["freeze", place.file(), "lamp"]).tells(0, "", "");
    assert_eq!(place.text(), FILE.replace("lamp-secret \t", "lamp-secret:frozen \t"));
    tool(&["unfreeze", place.file(), "lamp"]).tells(0, "", "");
    assert_eq!(place.text(), FILE);
    tool(&["freeze", place.file(), "door"]).tells(0, "", "");
    tool(&["unfreeze", place.file(), "door"]).tells(0, "", "");
    assert_eq!(place.text(), FILE);
    // A file that would not change is not written again, so that no broker loads it for nothing.
    let before = Identity::of(&place.path);
    tool(&["freeze", place.file(), "cold"]).tells(0, "", "");
    tool(&["unfreeze", place.file(), "lamp"]).tells(0, "", "");
    assert_eq!(Identity::of(&place.path), before);
    tool(&["freeze", place.file(), "none"]).tells(1, "", "device none: not found");
    tool(&["unfreeze", place.file(), "none"]).tells(1, "", "device none: not found");
}

#[test]
fn list_shows_no_secret() {
    let place = Place::new(FILE);
    tool(&["list", place.file()]).tells(
        0,
        "lamp  secret       secondary=no   frozen=no\n\
         cold  secret       secondary=yes  frozen=yes\n\
         door  certificate  secondary=no   frozen=no\n",
        "",
    );
    let place = Place::new("# none\n");
    tool(&["list", place.file()]).tells(0, "", "");
    let place = Place::new("x\n");
    tool(&["list", place.file()]).tells(1, "", "1 wrong line (iotda-auth check tells which)");
}

#[test]
fn misuse() {
    let place = Place::new(FILE);
    let file = place.file();
    for verb in ["add", "remove", "reset-secret", "freeze", "unfreeze"] {
        tool(&[verb]).tells(2, "", "<DEVICE_ID>");
        tool(&[verb, file]).tells(2, "", "found a file alone: expected FILE DEVICE_ID");
        for device in ["", "a b", "a:topsecret", "ä", "a\nb:12345678"] {
            tool(&[verb, file, device]).tells(2, "", "device id: expected 1 to 128");
        }
        let said = tool(&[verb, file, "lamp", "topsecret"]);
        said.tells(2, "", "unexpected argument '***' found");
        let missing = place.scratch.path().join("missing");
        tool(&[verb, missing.to_str().unwrap(), "d"]).tells(2, "", "cannot be read: No such file");
        tool(&[verb, "/dev/null", "d"]).tells(1, "", "expected a regular file");
        tool(&[verb, place.scratch.path().to_str().unwrap(), "d"]).tells(1, "", "regular file");
    }
    tool(&["add", file, "d", "--secret", "topsecret"]).tells(
        2,
        "",
        "unexpected argument '--secret'",
    );
    tool(&["add", file, "d", "--secret-stdin", "--secret-prompt"]).tells(
        2,
        "",
        "cannot be used with",
    );
    tool(&["freeze", file, "lamp", "--secondary"]).tells(2, "", "unexpected argument");
    tool(&["list"]).tells(2, "", "FILE: expected a secrets file");
    tool(&["import", file]).tells(2, "", "FILE: expected a secrets file");
    tool(&["import", file, "missing.csv"]).tells(
        2,
        "",
        "missing.csv: cannot be read: No such file",
    );
    assert_eq!(place.text(), FILE);
}

/// A certificate that openssl made, and its SHA-256 fingerprint according to openssl.
fn certificate(place: &Place, name: &str) -> (String, String) {
    let issued = Authority::new(&place.scratch, name).issue("device");
    let fingerprint = issued.fingerprint("-sha256").to_lowercase();
    (issued.certificate, fingerprint)
}

#[test]
fn add_takes_certificates() {
    let place = Place::new(FILE);
    let ((one, first), (two, second)) = (certificate(&place, "one"), certificate(&place, "two"));
    let file = place.file();
    tool(&["add", file, "new-1", "--x509", &one]).tells(0, &format!("{first}\n"), "");
    let said = tool(&["add", file, "new-2", "--x509", &one, "--x509", &two]);
    said.tells(0, &format!("{first}\n{second}\n"), "");
    let expected = format!("{FILE}new-1:x509={first}\r\nnew-2:x509={first},{second}\r\n");
    assert_eq!(place.text(), expected);

    // A key in the same file, and the rest of the chain, are skipped.
    let key = fs::read_to_string(one.replace(".pem", ".key")).unwrap();
    let text = |path: &str| fs::read_to_string(path).unwrap();
    let bundle = place.scratch.file("bundle", format!("{key}{}{}", text(&one), text(&two)));
    tool(&["add", file, "new-3", "--x509", bundle.to_str().unwrap()]).tells(
        0,
        &format!("{first}\n"),
        "",
    );

    let before = place.text();
    tool(&["add", file, "new-1", "--x509", &two]).tells(1, "", "device new-1: is there already");
    tool(&["reset-secret", file, "new-1"]).tells(1, "", "logs in by its certificate");
    let three = ["add", file, "d", "--x509", &one, "--x509", &two, "--x509", &one];
    tool(&three).tells(2, "", "--x509: expected it once or twice, found it 3 times");
    tool(&["add", file, "d", "--x509", &one, "--secret-stdin"]).tells(2, "", "cannot be used with");
    let der = place.scratch.path().join("der");
    let made = Command::new("openssl")
        .args(["x509", "-outform", "der", "-in", &one, "-out"])
        .arg(&der)
        .status()
        .unwrap();
    assert!(made.success());
    let cut = text(&one).replacen("MII", "MIA", 1);
    for (content, reason) in [
        (fs::read(&der).unwrap(), "something like DER (openssl x509 -inform der"),
        (key.into_bytes(), "found none"),
        (b"topsecret".to_vec(), "found none"),
        (Vec::new(), "found none"),
        (cut.into_bytes(), "found one that is cut off"),
    ] {
        let path = place.scratch.file("odd", content);
        tool(&["add", file, "d", "--x509", path.to_str().unwrap()]).tells(2, "", reason);
    }
    let missing = place.scratch.path().join("missing");
    tool(&["add", file, "d", "--x509", missing.to_str().unwrap()]).tells(
        2,
        "",
        "cannot be read: No such file",
    );
    assert_eq!(place.text(), before);

    // Certificates are changed by an import.
    let csv = place.csv(format!("device_id,x509\nnew-1,{second}\nlamp,{first}\n"));
    tool(&["import", file, &csv, "--update"]).tells(
        0,
        &format!("{file}: 0 added, 2 changed\n"),
        "the import is done: reload the broker",
    );
    assert!(matches!(place.table().find(b"lamp").unwrap().credential, Credential::Certificate(_)));
}

#[test]
fn a_file_with_wrong_lines_is_not_edited() {
    for content in ["lamp:lamp-secret\nlamp2\n", "lamp:lamp-secret\nlamp:lamp-secret\n"] {
        let place = Place::new(content);
        let csv = place.csv("device_id,secret\nx,topsecret\n");
        for args in [
            &["add", place.file(), "new"][..],
            &["remove", place.file(), "lamp"],
            &["freeze", place.file(), "lamp"],
            &["import", place.file(), &csv],
        ] {
            tool(args).tells(
                1,
                "",
                "1 wrong line: it is not edited (iotda-auth check tells which)",
            );
        }
        assert_eq!(place.text(), content);
    }
    let place = Place::new(FILE);
    set_mode(&place.path, 0o602);
    tool(&["freeze", place.file(), "lamp"]).tells(
        1,
        "",
        "expected a file that others cannot write",
    );
}

// --- import

#[test]
fn import_takes_columns_in_any_order() {
    let place = Place::new(FILE);
    let csv = place.csv(format!(
        "\u{feff}frozen,\"x509\",secret,device_id,secondary\r\nyes,,topsecret,a,\r\n\r\n,\"{SHA1},{SHA1}\",,b,\r\nFalse,,\"topsecret\" , c ,topsecret2"
    ));
    let done = |did: &str| format!("{}: 3 {did}added, 0 {did}changed\n", place.file());
    let how = format!(
        "iotda-auth: {csv}: read as CSV in UTF-8 with a byte order mark, separated by commas: device_id, secret, secondary, \
         x509, frozen\n"
    );
    tool(&["import", place.file(), &csv, "--dry-run"]).is(0, &done("would be "), &how);
    assert_eq!(place.text(), FILE);
    tool(&["import", place.file(), &csv]).tells(0, &done(""), how.trim_end());
    assert_eq!(
        place.text(),
        format!(
            "{FILE}a:topsecret:frozen\r\nb:x509={SHA1},{SHA1}\r\nc:topsecret:secondary=topsecret2\r\n"
        )
    );
    // From standard input; an import of no devices is not an error.
    let args = ["import", place.file(), "-"];
    tool_with(&args, b"device_id,secret\nd,topsecret").tells(
        0,
        &format!("{}: 1 added, 0 changed\n", place.file()),
        "-: read as CSV in UTF-8",
    );
    tool_with(&args, b"device_id,secret\n").tells(
        0,
        &format!("{}: 0 added, 0 changed\n", place.file()),
        "-: read as CSV in UTF-8",
    );
}

#[test]
fn import_tells_every_wrong_line_and_does_nothing() {
    let place = Place::new(FILE);
    let csv = place.csv(
        "device_id,secret,frozen\nok,topsecret,\nlamp,topsecret,\nx y,topsecret,\nz,short,\nok,topsecret,\n\
         w,topsecret\nv,topsecret,perhaps\nu,\"topsecret,\nt,\"topsecret\"x,\ns,,\nr,topsecret:frozen,\n",
    );
    let said = tool(&["import", place.file(), &csv]);
    let expected: String = [
        "3: device lamp: is there already (--update changes it)",
        "4: device id: expected only A-Z a-z 0-9 _ -, found something else at position 2",
        "5: secret: expected 8 to 32 characters, found 5",
        "6: device ok: given on line 2 already",
        "7: expected 3 values, found 2",
        "8: frozen: expected true, false, yes, no, 1, 0 or nothing, found something else",
        "9: expected a separator behind a closing quote, found something else (a quote opens a value, which goes on to line 10: \
         is a closing quote missing?)",
        "11: device s: expected a secret or a fingerprint, found neither",
        "12: secret: expected only A-Z a-z 0-9 _ -, found something else at position 10",
    ]
    .iter()
    .map(|error| format!("iotda-auth: {csv}:{error}\n"))
    .collect();
    let how = "read as CSV in UTF-8, separated by commas: device_id, secret, frozen";
    let end = format!("iotda-auth: {csv}: 9 errors: nothing is imported\n");
    said.is(1, "", &format!("iotda-auth: {csv}: {how}\n{expected}{end}"));
    assert_eq!(place.text(), FILE);
}

#[test]
fn import_refuses_headers_that_it_does_not_know() {
    let place = Place::new(FILE);
    for (header, reason) in [
        ("", "expected CSV or JSON, found nothing"),
        ("\n\n,;", "expected CSV or JSON, found nothing"),
        ("lamp,topsecret", "line 1: expected a header like device_id,secret"),
        (
            "lamp:topsecret",
            "line 1: expected a header like device_id,secret or JSON, found a line of a secrets file",
        ),
        ("\ndevice_id,product", "line 2: expected a column secret or x509, found neither"),
        (
            "device_id,secret,secret",
            "line 1: expected one column secret, found column 2 (\"secret\") and column 3",
        ),
        ("device_id,frozen", "line 1: expected a column secret or x509, found neither"),
        ("secret", "line 1: expected a column device_id, found none"),
        ("\"device_id,secret", "line 1: expected a closing quote"),
    ] {
        let csv = place.csv(format!("{header}\n"));
        tool(&["import", place.file(), &csv]).tells(2, "", reason);
    }
    assert_eq!(place.text(), FILE);
}

#[test]
fn import_updates_when_told_to() {
    let place = Place::new(FILE);
    let csv = place.csv("device_id,secret\ncold,topsecret\nnew,topsecret\nlamp,lamp-secret\n");
    let said = tool(&["import", place.file(), &csv, "--update"]);
    said.tells(0, &format!("{}: 1 added, 1 changed\n", place.file()), "read as CSV");
    // A column that is missing changes nothing.
    let changed = FILE.replace("cold:cold-secret:", "cold:topsecret:") + "new:topsecret\r\n";
    assert_eq!(place.text(), changed);
    let csv = place.csv(format!(
        "device_id,secret,secondary,frozen,x509\ncold,topsecret,,,\ndoor,topsecret,,,\nlamp,,,1,{SHA1}\n"
    ));
    let said = tool(&["import", place.file(), &csv, "--update"]);
    said.tells(0, &format!("{}: 0 added, 3 changed\n", place.file()), "read as CSV");
    let text = place.text();
    assert!(text.contains("\ncold:topsecret\n") && text.contains("\ndoor:topsecret\r\n"), "{text}");
    assert!(text.contains(&format!("\nlamp:x509={SHA1}:frozen \t\r\n")), "{text}");
}

// --- the file

#[test]
fn owner_and_mode_are_kept() {
    let place = Place::new(FILE);
    for mode in [0o600, 0o640, 0o440, 0o660] {
        set_mode(&place.path, mode);
        // Only root may give a file away.
        let given = std::os::unix::fs::chown(&place.path, Some(12345), Some(23456)).is_ok();
        let before = fs::metadata(&place.path).unwrap();
        assert_eq!(given, before.uid() == 12345);
        let warned = if mode & 0o020 != 0 { "can be changed by its group (chmod g-w)" } else { "" };
        tool(&["remove", place.file(), "door"]).tells(0, "", warned);
        // Written to a new file, and renamed.
        assert_ne!(fs::metadata(&place.path).unwrap().ino(), before.ino());
        let args = ["add", place.file(), "door", "--secret-stdin"];
        tool_with(&args, b"topsecret").tells(0, "", warned);
        let after = fs::metadata(&place.path).unwrap();
        assert_eq!(
            (after.uid(), after.gid(), after.mode()),
            (before.uid(), before.gid(), before.mode())
        );
    }
    set_mode(&place.path, 0o644);
    tool(&["freeze", place.file(), "door"]).tells(0, "", "can be read by every user");
}

/// An access list as Linux keeps it: the owner reads and writes, one more user reads, nobody else does anything.
fn access_list(user: u32) -> Vec<u8> {
    const ANY: u32 = u32::MAX;
    let entries = [(0x01, 6, ANY), (0x02, 4, user), (0x04, 0, ANY), (0x10, 4, ANY), (0x20, 0, ANY)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(u16::to_le_bytes(tag));
        list.extend(u16::to_le_bytes(permissions));
        list.extend(u32::to_le_bytes(id));
    }
    list
}

const ACCESS: &str = "system.posix_acl_access";
const HANDED_DOWN: &str = "system.posix_acl_default";

/// Gives a path an access list; says whether its file system has such lists.
fn set_list(path: &Path, name: &str, user: u32) -> bool {
    let how = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(path, name, &access_list(user), how).is_ok()
}

fn list_of(path: &Path) -> Option<Vec<u8>> {
    let mut list = vec![0; 1024];
    let length = rustix::fs::getxattr(path, ACCESS, &mut *list).ok()?;
    list.truncate(length);
    Some(list)
}

#[test]
fn access_lists_are_kept_and_not_handed_down_by_the_folder() {
    let place = Place::new(FILE);
    if !set_list(place.scratch.path(), HANDED_DOWN, 54321) {
        return;
    }
    set_mode(&place.path, 0o640);
    tool(&["freeze", place.file(), "lamp"]).tells(0, "", "");
    assert_eq!(list_of(&place.path), None);
    assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o7777, 0o640);

    assert!(set_list(&place.path, ACCESS, 12345));
    tool(&["unfreeze", place.file(), "lamp"]).tells(0, "", "");
    assert_eq!(list_of(&place.path), Some(access_list(12345)));
    assert_eq!(place.text(), FILE);
}

#[test]
fn links_stay_and_what_they_lead_to_is_edited() {
    let place = Place::new(FILE);
    let elsewhere = Scratch::new();
    let (first, second) = (elsewhere.path().join("first"), elsewhere.path().join("second"));
    symlink(&place.path, &first).unwrap();
    symlink("first", &second).unwrap();
    tool(&["freeze", second.to_str().unwrap(), "lamp"]).tells(0, "", "");
    assert_eq!(fs::read_link(&first).unwrap(), place.path);
    assert_eq!(fs::read_link(&second).unwrap(), Path::new("first"));
    assert!(place.table().find(b"lamp").unwrap().frozen);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 2);

    let dangling = elsewhere.path().join("dangling");
    symlink("nowhere", &dangling).unwrap();
    for more in [&[][..], &["--create"]] {
        let args = [&["add", dangling.to_str().unwrap(), "d"], more].concat();
        tool(&args).tells(2, "", "cannot be read: No such file");
    }
}

#[test]
fn a_relative_path_is_taken_from_where_the_tool_runs() {
    let place = Place::new(FILE);
    let mut command = command(["freeze", "iotda.secrets", "lamp"]);
    command.current_dir(place.scratch.path());
    run(command, b"").tells(0, "", "iotda.secrets: device lamp is frozen");
    assert!(place.table().find(b"lamp").unwrap().frozen);
}

/// The tool without some of root's capabilities; `None` if they cannot be dropped.
fn without_powers(powers: &str, args: &[&str]) -> Option<Said> {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        return Some(tool(args));
    }
    let drop = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", powers]).args(args);
        command
    };
    drop(&["true"]).status().is_ok_and(|status| status.success()).then_some(())?;
    Some(run(drop(&[&[tool_path()], args].concat()), b""))
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let place = Place::new(FILE);
    set_mode(place.scratch.path(), 0o500);
    let said =
        without_powers("-dac_override,-dac_read_search,-fowner", &["freeze", place.file(), "lamp"]);
    set_mode(place.scratch.path(), 0o700);
    if let Some(said) = said {
        said.tells(2, "", "cannot be written: user ");
        let folder = place.scratch.path().display();
        let what = format!("may not write to its folder {folder}, where an edit puts a new file");
        assert!(said.err.contains(&what), "{said:?}");
    }
    assert_eq!(place.text(), FILE);
}

#[test]
fn an_owner_that_cannot_be_kept_is_an_error() {
    let place = Place::new(FILE);
    if std::os::unix::fs::chown(&place.path, Some(12345), Some(23456)).is_err() {
        return;
    }
    if let Some(said) = without_powers("-chown", &["freeze", place.file(), "lamp"]) {
        said.tells(2, "", "cannot keep its owner and group: Operation not permitted");
    }
    assert_eq!(place.text(), FILE);
    assert_eq!(place.litter(), [""; 0]);
}

#[test]
fn a_full_disk_changes_nothing() {
    let mut content = String::new();
    for number in 0..1000 {
        writeln!(content, "lamp-{number}:lamp-secret").unwrap();
    }
    let place = Place::new(&content);
    // A limit on the size of files stands for the full disk. Where the signal is ignored, the write fails; where it is
    // not, the tool dies of it.
    for (trap, expected) in [("trap '' XFSZ;", 2), ("", -1)] {
        let script = format!(r#"{trap} ulimit -c 0; ulimit -f 8; exec "$@""#);
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", tool_path(), "freeze", place.file(), "lamp-1"]);
        let said = run(command, b"");
        assert_eq!(said.status, expected, "{said:?}");
        if expected == 2 {
            said.tells(2, "", "cannot be written: File too large");
            assert_eq!(place.litter(), [""; 0]);
        }
        assert_eq!(place.text(), content);
    }
    // The next edit removes what a killed one has left behind.
    assert_eq!(place.litter().len(), 1);
    tool(&["freeze", place.file(), "lamp-1"]).tells(0, "", "");
    assert_eq!(place.litter(), [""; 0]);
}

#[test]
fn only_leftovers_are_taken_away() {
    let place = Place::new(FILE);
    for name in [
        ".iotda.secrets.swp",
        ".iotda.secrets.iotda-auth-",
        ".iotda.secrets.iotda-auth-0123456",
        ".other.iotda-auth-01234567",
    ] {
        place.scratch.file(name, "");
    }
    place.scratch.file(".iotda.secrets.iotda-auth-01234567", "lamp:lamp-secret\n");
    tool(&["freeze", place.file(), "lamp"]).tells(0, "", "");
    assert_eq!(place.litter().len(), 4);
}

#[test]
fn a_secret_that_nobody_reads_is_an_error() {
    let place = Place::new(FILE);
    for (device, target) in [("one", "/dev/full"), ("two", "pipe")] {
        let stdout: Stdio = if target == "pipe" {
            // One end of a pipe whose other end was closed when its process ended.
            let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
            let pipe = reader.stdin.take().unwrap();
            reader.wait().unwrap();
            pipe.into()
        } else {
            OpenOptions::new().write(true).open(target).unwrap().into()
        };
        let output = command(["add", place.file(), device]).stdout(stdout).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        let said = "the device is added, but nobody has seen its secret; iotda-auth reset-secret makes another";
        assert!(err.contains("standard output: cannot be written") && err.contains(said), "{err}");
        assert!(place.table().find(device.as_bytes()).is_some());
    }
}

#[test]
fn a_file_with_other_names_is_not_edited() {
    let place = Place::new(FILE);
    let other = place.scratch.path().join("other");
    fs::hard_link(&place.path, &other).unwrap();
    let said = tool(&["freeze", place.file(), "lamp"]);
    said.tells(
        2,
        "",
        "has 2 names (hard links), and an edit would change one of them alone: nothing is done",
    );
    assert_eq!(place.text(), FILE);
    let names = [&place.path, &other].map(|path| fs::metadata(path).unwrap().ino());
    assert_eq!(names[0], names[1]);
    fs::remove_file(other).unwrap();
    tool(&["freeze", place.file(), "lamp"]).tells(0, "", "");
}

#[test]
fn names_of_files_are_shown_without_what_a_terminal_obeys() {
    let place = Place::new("x\n");
    let name = "evil\x1b]0;title\x07\n\u{9b}2J\u{202e}";
    let odd = place.scratch.file(name, "x\n");
    let odd = odd.to_str().unwrap();
    let shown = "evil\\u{1b}]0;title\\u{7}\\n\\u{9b}2J\\u{202e}";
    let missing = format!("{odd}-missing");
    for args in [
        &["check", odd][..],
        &["list", odd],
        &["add", odd, "d"],
        &["freeze", &missing, "d"],
        &["check", &missing],
        &["import", place.file(), odd],
        &["import", place.file(), &missing],
        &["add", place.file(), "d", "--x509", odd],
        &["connect-params", "d", "--secrets-file", odd],
        &["explain", "--secrets-file", odd, "--client-id", "d"],
        &["explain", "--secrets-file", odd, &format!("--{name}")],
        &[&format!("verb{name}")],
        &[
            "explain",
            "--log-line",
            &format!(
                "iotda-auth: refused client=- user=- address={} reason=frozen",
                name.replace('\n', "")
            ),
        ],
    ] {
        let said = tool(args);
        let text = format!("{}{}", said.out, said.err);
        let plain = |char: char| char == '\n' || !char.is_control() && char != '\u{202e}';
        assert!(text.chars().all(plain), "{args:?} {text:?}");
        assert!(
            text.contains(shown) || text.replace('\n', "").contains(&shown.replace("\\n", "")),
            "{args:?} {text}"
        );
    }
}

// --- several at once, and none at all

/// A user who may read the file can lock it too.
#[test]
fn a_lock_that_is_not_given_back_is_told_of() {
    let place = Place::new(FILE);
    let reader = fs::File::open(&place.path).unwrap();
    rustix::fs::flock(&reader, rustix::fs::FlockOperation::LockShared).unwrap();
    let begin = Instant::now();
    let said = tool(&["freeze", place.file(), "lamp"]);
    let holder =
        format!("is locked by process {}, for 10 s and more: nothing is done", std::process::id());
    assert_eq!(said.status, 2, "{said:?}");
    assert!(
        said.err.contains("waiting for another edit") && said.err.contains(&holder),
        "{said:?}"
    );
    assert!((10..20).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    assert_eq!(place.text(), FILE);
    // The edit waits for a lock that is released in time.
    thread::scope(|scope| {
        let editor = scope.spawn(|| tool(&["freeze", place.file(), "lamp"]));
        thread::sleep(Duration::from_secs(1));
        drop(reader);
        assert_eq!(editor.join().unwrap().status, 0);
    });
    assert!(place.table().find(b"lamp").unwrap().frozen);
}

/// What the tool says, and the most memory that it was seen to have, in bytes.
fn with_its_peak(args: &[&str]) -> (Said, u64) {
    let mut child = command(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let mut peak = 0;
    thread::scope(|scope| {
        scope.spawn(|| out.read_to_end(&mut said).unwrap());
        scope.spawn(|| err.read_to_end(&mut complained).unwrap());
        while child.try_wait().unwrap().is_none() {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
            let status = status.unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.map(|line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap());
            peak = peak.max(kib.unwrap_or(0) << 10);
            thread::sleep(Duration::from_millis(1));
        }
    });
    let status = child.wait().unwrap();
    (Said::of(Output { status, stdout: said, stderr: complained }), peak)
}

#[test]
fn an_import_takes_less_memory_than_twice_its_file() {
    const MEGABYTE: u64 = 1 << 20;
    let place = Place::new("");
    let mut right = String::from("device_id,secret\n");
    for number in 0..600_000 {
        writeln!(right, "5fdb75cccbfe2f02ce81d4bf_{number:07},{number:032}").unwrap();
    }
    let size = right.len() as u64;
    let csv = place.csv(right);
    let (said, peak) = with_its_peak(&["import", "--quiet", place.file(), &csv]);
    said.tells(0, &format!("{}: 600000 added, 0 changed\n", place.file()), "");
    assert!(peak < 2 * size, "{peak} for {size}");

    // Wrong lines must not need more memory: neither malformed lines nor devices that are there already.
    let (said, peak) = with_its_peak(&["import", place.file(), &csv]);
    assert_eq!(said.status, 1);
    assert!(said.err.contains("devices.csv:2: device 5fdb75cccbfe2f02ce81d4bf_0000000: is there"));
    assert!(said.err.contains(": and 599000 more\n"));
    assert!(
        said.err.ends_with(": 600000 errors: nothing is imported\n")
            && said.err.lines().count() == 1003
    );
    let both = size + fs::metadata(&place.path).unwrap().len();
    assert!(peak < 2 * both, "{peak} for {both}");

    let wrong = format!("device_id,secret\n{}", "x,short\n".repeat(1_000_000));
    let size = wrong.len() as u64;
    let csv = place.csv(wrong);
    let before = place.text();
    let (said, peak) = with_its_peak(&["import", place.file(), &csv]);
    assert!(said.status == 1 && said.err.contains(": and 999000 more\n"));
    assert_eq!(place.text(), before);
    assert!(peak < 2 * (size + before.len() as u64) + 16 * MEGABYTE, "{peak} for {size}");
}

#[test]
fn edits_at_once_all_land() {
    let place = Place::new("");
    fs::remove_file(&place.path).unwrap();
    thread::scope(|scope| {
        for editor in 0..8 {
            let file = place.file();
            scope.spawn(move || {
                for number in 0..12 {
                    let device = format!("lamp-{editor}-{number}");
                    let said = tool(&["add", file, &device, "--create"]);
                    assert_eq!(said.status, 0, "{said:?}");
                    if number % 3 == 0 {
                        assert_eq!(tool(&["remove", file, &device]).status, 0);
                    }
                }
            });
        }
    });
    assert_eq!(place.table().len(), 8 * 8);
    assert_eq!(place.litter(), [""; 0]);
}

/// Kills edits at random times. After each, the file must still have every device.
#[test]
fn killed_edits_lose_no_device() {
    const EDITS: u64 = 500;
    let mut content = String::from("# devices\n");
    for number in 0..3000 {
        writeln!(content, "base-{number}:base-secret").unwrap();
    }
    let place = Place::new(&content);
    let start = Instant::now();
    tool(&["freeze", place.file(), "base-0"]).tells(0, "", "");
    let usual = u64::try_from(start.elapsed().as_micros()).unwrap();

    let mut added = BTreeSet::new();
    let mut killed = 0;
    for edit in 0..EDITS {
        let device = format!("new-{edit}");
        let mut child = command(["add", place.file(), &device])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_micros(fastrand::u64(..usual * 3 / 2)));
        child.kill().unwrap();
        let finished = child.wait().unwrap().success();
        killed += u64::from(!finished);

        let text = place.text();
        assert!(text.starts_with("# devices\n") && text.ends_with('\n'));
        let table = place.table();
        let found: BTreeSet<String> = table
            .iter()
            .map(|(id, device)| {
                assert!(matches!(device.credential, Credential::Secret { .. }));
                String::from_utf8(id.to_vec()).unwrap()
            })
            .filter(|id| id.starts_with("new-"))
            .collect();
        if finished || found.contains(&device) {
            added.insert(device);
        }
        assert_eq!(found, added);
        assert_eq!(table.len(), 3000 + added.len());
        assert!(place.litter().len() <= 1, "{:?}", place.litter());
    }
    assert!(killed > 0, "no edit was killed");
    tool(&["remove", place.file(), "base-1"]).tells(0, "", "");
    assert_eq!(place.litter(), [""; 0]);
}

#[test]
fn a_file_of_a_million_lines_is_edited() {
    let mut content = String::with_capacity(30_000_000);
    for number in 0..1_000_000 {
        writeln!(content, "lamp-{number:06}:lamp-secret").unwrap();
    }
    let place = Place::new(&content);
    tool(&["freeze", place.file(), "lamp-999999"]).tells(0, "", "");
    tool(&["remove", place.file(), "lamp-000000"]).tells(0, "", "");
    let text = place.text();
    assert!(text.ends_with("\nlamp-999999:lamp-secret:frozen\n"));
    assert_eq!(text.len(), content.len() + ":frozen".len() - "lamp-000000:lamp-secret\n".len());
}

#[test]
fn many_devices_are_imported() {
    let place = Place::new(FILE);
    let mut csv = String::from("device_id,secret\n");
    for number in 0..100_000 {
        writeln!(csv, "many-{number},topsecret").unwrap();
    }
    let args = ["import", place.file(), "-"];
    let done = format!("{}: 100000 added, 0 changed\n", place.file());
    tool_with(&args, csv.as_bytes()).tells(0, &done, "read as CSV");
    assert_eq!(place.table().len(), 100_003);
}

#[test]
fn progress_of_a_long_import_is_told_at_a_terminal() {
    let place = Place::new(FILE);
    let mut csv = String::from("device_id,secret\n");
    for number in 0..100_000 {
        writeln!(csv, "many-{number},topsecret").unwrap();
    }
    let csv = place.csv(csv);
    let command = format!("'{TOOL}' import '{}' '{csv}'", place.file(), TOOL = tool_path());
    let (yes, shown) = at_a_terminal(&command, &[]);
    assert!(yes && shown.contains("100001 lines read, writing the secrets file"), "{shown}");
    let last = shown.rsplit("\x1b[K").next().unwrap();
    assert!(last.contains("devices.csv: read as CSV"), "{last}");
    assert!(last.contains(&format!("\n{}: 100000 added, 0 changed\r\n", place.file())), "{last}");
}

/// Errors while standard error is closed.
#[test]
fn a_broken_pipe_of_errors_does_no_harm() {
    let place = Place::new(FILE);
    let mut csv = String::from("device_id,secret\n");
    csv.push_str(&"x,short\n".repeat(50_000));
    let csv = place.csv(csv);
    let script = r#"{ "$1" import "$2" "$3"; echo $? >&3; } 2>&1 | head -1"#;
    let output = Command::new("sh")
        .args(["-c", &format!("exec 3>&2; {script}"), "sh", tool_path(), place.file(), &csv])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "1\n");
    assert_eq!(place.text(), FILE);
}
