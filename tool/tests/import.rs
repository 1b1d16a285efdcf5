//! The files that operators have, imported by the command line tool: from the field reports, each with what is told of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
};
use support::{
    scratch::Scratch,
    tool::{self, Said, command},
};

const SHA1: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
/// Parts of all secrets that are in the files here.
const SECRETS: [&str; 2] = ["abcdefgh", "topsecret"];
/// What most files say.
const TWO: &str = "dev_1:abcdefgh1\ndev_2:abcdefgh2\n";

/// A folder for the files of a test.
struct Place {
    scratch: Scratch,
    secrets: PathBuf,
}

impl Place {
    fn new() -> Self {
        let scratch = Scratch::new();
        let secrets = scratch.path().join("iotda.secrets");
        Self { scratch, secrets }
    }

    /// Imports a path into a new secrets file.
    fn import(&self, from: &Path, more: &[&str]) -> Said {
        let _ = fs::remove_file(&self.secrets);
        self.import_also(from, &[&["--create"], more].concat())
    }

    /// Imports a path into the secrets file that is there.
    fn import_also(&self, from: &Path, more: &[&str]) -> Said {
        let mut command = command(["import"]);
        command.arg(&self.secrets).arg(from).args(more);
        tool::run(command, b"").without(&SECRETS)
    }

    /// Imports a file with this name and content into a new secrets file.
    fn import_file(&self, name: &str, content: impl AsRef<[u8]>, more: &[&str]) -> Said {
        let path = self.scratch.file(name, content);
        self.import(&path, more)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.secrets).unwrap_or_default()
    }

    /// The file is read and gives these lines; `how` is told of it.
    #[track_caller]
    fn gives(&self, name: &str, content: impl AsRef<[u8]>, lines: &str, how: &str) {
        let said = self.import_file(name, content, &[]);
        let added = format!(": {} added, 0 changed\n", lines.lines().count());
        assert!(said.status == 0 && said.out.ends_with(&added), "{said:?}");
        assert!(said.err.contains(how), "expected {how:?}: {said:?}");
        assert_eq!(self.text(), lines);
    }

    /// The file is not read, for a reason.
    #[track_caller]
    fn refuses(&self, name: &str, content: impl AsRef<[u8]>, reason: &str) {
        let said = self.import_file(name, content, &[]);
        said.is_misuse(reason);
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
        assert!(!self.secrets.exists());
    }

    /// The file has wrong devices: these lines about them are told, without the path.
    #[track_caller]
    fn finds(&self, name: &str, content: impl AsRef<[u8]>, more: &[&str], errors: &[&str]) {
        let said = self.import_file(name, content, more);
        let path = self.scratch.path().join(name);
        let prefix = format!("iotda-auth: {}:", path.display());
        let lines = said.err.lines().filter_map(|line| line.strip_prefix(&prefix));
        let found: Vec<&str> =
            lines.filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
        assert_eq!(found, errors, "{said:?}");
        assert!(said.status == 1 && said.out.is_empty(), "{said:?}");
        assert!(!self.secrets.exists());
    }
}

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(to_bytes).collect()
}

// --- D30: the console's key files

#[test]
fn a_key_file_of_the_console_is_imported() {
    let place = Place::new();
    let content = r#"{"device_id": "dev_1", "secret": "abcdefgh1"}"#;
    let how = "DEVICES-KEY-1.txt: read as JSON in UTF-8: device_id, secret\n";
    place.gives("DEVICES-KEY-1.txt", content, "dev_1:abcdefgh1\n", how);
}

#[test]
fn a_folder_of_key_files_is_imported() {
    let place = Place::new();
    let folder = place.scratch.path().join("keys");
    fs::create_dir_all(folder.join("old")).unwrap();
    for number in 1..=3 {
        let content = format!(r#"{{"device_id": "dev_{number}", "secret": "abcdefgh{number}"}}"#);
        fs::write(folder.join(format!("DEVICES-KEY-{number}.txt")), content).unwrap();
    }
    fs::write(folder.join("more.CSV"), "device_id,secret\ndev_4,abcdefgh4\n").unwrap();
    fs::write(folder.join("photo.png"), "\0").unwrap();
    fs::write(folder.join(".hidden.txt"), "\0").unwrap();
    let said = place.import(&folder, &[]);
    assert!(said.status == 0 && said.out.ends_with(": 4 added, 0 changed\n"), "{said:?}");
    let name = folder.display();
    for told in [
        format!("iotda-auth: {name}: 3 files read as JSON in UTF-8: device_id, secret\n"),
        format!("iotda-auth: {name}/more.CSV: read as CSV in UTF-8"),
        format!("iotda-auth: {name}: passed over \".hidden.txt\", \"old\", \"photo.png\"\n"),
    ] {
        assert!(said.err.contains(&told), "{told}: {said:?}");
    }
    assert_eq!(place.text(), format!("{TWO}dev_3:abcdefgh3\ndev_4:abcdefgh4\n"));

    // An error names its file; a device in two files is an error.
    fs::write(folder.join("a.txt"), r#"{"device_id": "dev_2", "secret": "abcdefgh2"}"#).unwrap();
    fs::write(folder.join("b.json"), "[1]").unwrap();
    let said = place.import(&folder, &[]);
    assert_eq!(said.status, 1);
    let error =
        format!("{name}/b.json:1: [0]: expected an object with a device_id, found a number\n");
    assert!(said.err.contains(&error), "{said:?}");
    let error = format!("{name}/DEVICES-KEY-2.txt:1: device dev_2: given already\n");
    assert!(!said.err.contains(&error), "{said:?}");
    let error =
        format!("{name}/a.txt:1: device dev_2: given in an earlier file, on line 1 already\n");
    assert!(said.err.contains(&error), "{said:?}");
    assert!(said.err.ends_with(&format!("iotda-auth: {name}: 2 errors: nothing is imported\n")));
}

#[test]
fn a_folder_without_such_files_is_named() {
    let place = Place::new();
    let folder = place.scratch.path().join("keys");
    fs::create_dir(&folder).unwrap();
    place
        .import(&folder, &[])
        .is_misuse("keys: expected a folder with .csv, .json, .jsonl or .txt files");
}

// --- D31: the API's answers

/// What ShowDevice answers.
fn device(id: &str, auth_info: &str, more: &str) -> String {
    format!(
        r#"{{"app_id": "jeQDJQZl", "device_id": "{id}", "node_id": "n-{id}", "gateway_id": "{id}",
            "device_name": "lamp", "node_type": "GATEWAY", "status": "INACTIVE", {more}
            "auth_info": {{{auth_info}"secure_access": true, "timeout": 0}}, "tags": []}}"#
    )
}

fn by_secret(id: &str, secret: &str) -> String {
    device(id, &format!(r#""auth_type": "SECRET", "secret": "{secret}", "#), "")
}

#[test]
fn answers_of_the_api_are_imported_in_each_form() {
    let place = Place::new();
    let (one, two) = (by_secret("dev_1", "abcdefgh1"), by_secret("dev_2", "abcdefgh2"));
    let how = "read as JSON in UTF-8: device_id, secret from \"auth_info.secret\", status, auth_type from \
               \"auth_info.auth_type\", gateway_id, node_type; left aside: \"app_id\", \"auth_info.secure_access\", \
               \"auth_info.timeout\", \"device_name\", \"node_id\", \"tags\"\n";
    place.gives("show.json", &one, "dev_1:abcdefgh1\n", how);
    let lines = |text: &str| text.replace('\n', "") + "\n";
    for content in [
        format!("[{one},{two}]"),
        format!("{{\"devices\": [{one}, {two}]}}"),
        format!("{{\"page\": {{\"count\": 2, \"marker\": \"x\"}}, \"devices\": [{one}, {two}]}}"),
        format!("{one}{two}"),
        lines(&one) + &lines(&two),
    ] {
        place.gives("answer.json", content, TWO, how);
    }
    place.gives(
        "answer.json",
        utf16(&one, u16::to_le_bytes),
        "dev_1:abcdefgh1\n",
        "UTF-16 (little-endian)",
    );
}

#[test]
fn the_kind_of_a_device_is_taken_from_auth_type() {
    let place = Place::new();
    let colons = "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B";
    let content = [
        device("a", r#""auth_type": "SECRET", "secret": "abcdefgh1", "secondary_secret": "abcdefgh2", "#, ""),
        device("b", &format!(r#""auth_type": "CERTIFICATES", "secret": "", "fingerprint": "{SHA1}", "#), ""),
        device(
            "c",
            &format!(
                r#""auth_type": "CERTIFICATES", "fingerprint": "{colons}", "secondary_fingerprint": "{SHA1}", "secret": "abcdefgh3", "#
            ),
            "",
        ),
        device("d", r#""secret": "abcdefgh4", "fingerprint": null, "#, "").replace("INACTIVE", "FROZEN"),
    ]
    .join("\n");
    let lines = format!(
        "a:abcdefgh1:secondary=abcdefgh2\nb:x509={SHA1}\nc:x509={},{SHA1}\nd:abcdefgh4:frozen\n",
        colons.replace(':', "")
    );
    place.gives("all.jsonl", content, &lines, "secondary_fingerprint from");
}

#[test]
fn sub_devices_are_skipped_and_counted() {
    let place = Place::new();
    let sub = |id: &str| {
        format!(r#"{{"device_id": "{id}", "gateway_id": "dev_1", "node_type": "ENDPOINT"}}"#)
    };
    let content = format!("[{},{},{}]", sub("s1"), by_secret("dev_1", "abcdefgh1"), sub("s2"));
    place.gives(
        "all.json",
        content,
        "dev_1:abcdefgh1\n",
        "all.json: skipped 2 sub-devices behind a gateway\n",
    );
    let csv = "device_id,gateway_id,secret\ndev_1,,abcdefgh1\ns1,dev_1,\n";
    place.gives(
        "all.csv",
        csv,
        "dev_1:abcdefgh1\n",
        "all.csv: skipped 1 sub-device behind a gateway\n",
    );
}

#[test]
fn a_device_without_a_proof_is_named() {
    let place = Place::new();
    // ListDevices gives no auth_info.
    let content = r#"{"devices": [
        {"device_id": "dev_1", "status": "ONLINE"},
        {"device_id": "dev_2", "auth_info": {"auth_type": "CERTIFICATES"}},
        {"device_id": "dev_3", "auth_info": {"auth_type": "SECRET"}},
        {"status": "ONLINE"}], "page": {"count": 70}}"#;
    let nothing = "expected a secret or a fingerprint, found neither";
    place.finds(
        "list.json",
        content,
        &[],
        &[
            &format!("2: devices[0]: device dev_1: {nothing}"),
            "3: devices[1]: device dev_2: expected a fingerprint as auth_type says, found none (the platform takes the first \
             certificate that it sees; the plugin does not)",
            "4: devices[2]: device dev_3: expected a secret as auth_type says, found none",
            "5: devices[3]: expected a device_id, found none",
        ],
    );
    let said = place.import_file("list.json", content, &[]);
    let page = "warning: FILE: one page of an answer: 66 devices of other pages are not in it\n";
    let path = place.scratch.path().join("list.json");
    assert!(said.err.contains(&page.replace("FILE", path.to_str().unwrap())), "{said:?}");
    place.finds(
        "dev.csv",
        "device_id,secret\ndev_1,\n",
        &[],
        &[&format!("2: device dev_1: {nothing}")],
    );
}

#[test]
fn the_answer_to_a_reset_changes_the_secret_that_it_names() {
    let place = Place::new();
    let reset = |secret: &str, kind: &str| {
        let content =
            format!(r#"{{"device_id": "dev_1", "secret": "{secret}", "secret_type": "{kind}"}}"#);
        place.scratch.file("reset.json", content)
    };
    place.import(&reset("abcdefgh1", "PRIMARY"), &[]).tells(
        0,
        &format!("{}: 1 added, 0 changed\n", place.secrets.display()),
        "secret_type",
    );
    let second = reset("abcdefgh2", "SECONDARY");
    place.import_also(&second, &[]).tells(
        1,
        "",
        "device dev_1: expected its first secret, found a second one alone",
    );
    assert_eq!(place.import_also(&second, &["--update"]).status, 0);
    assert_eq!(place.text(), "dev_1:abcdefgh1:secondary=abcdefgh2\n");
    let said = place.import(&second, &["--update"]);
    said.tells(1, "", "device dev_1: not found and has a second secret alone here");
}

#[test]
fn json_that_leaves_a_question_is_an_error() {
    let place = Place::new();
    for (content, error) in [
        ("{}", "1: expected a device_id, found none"),
        ("[]x", "1: column 3: expected JSON, found something else: nothing behind it is read"),
        (
            "{\"device_id\": \"a\", \"secret\": \"abcdefgh1\"},\n{}",
            "1: column 42: expected JSON, found something else: nothing behind it is read",
        ),
        (
            "{\n\n\"device_id\": topsecret}",
            "3: column 16: expected JSON, found something else: nothing behind it is read",
        ),
        (
            "[{\"device_id\": \"a\",",
            "1: expected more JSON, found the end of the file: it is cut off",
        ),
        ("[[{\"device_id\": \"a\"}]]", "1: [0]: expected an object with a device_id, found a list"),
        ("{\"devices\": {}}", "1: devices: expected a list, found an object"),
        (r#"{"device_id": "a", "secret": 12345678}"#, "1: secret: expected a text, found a number"),
        (
            r#"{"device_id": "a", "secret": "abcdefgh1", "auth_info": {"secret": "abcdefgh2"}}"#,
            "1: device a: expected one secret, found two that differ: \"secret\" and \"auth_info.secret\"",
        ),
        (
            r#"{"device_id": "a b", "secret": "abcdefgh1"}"#,
            "1: device id: expected only A-Z a-z 0-9 _ -, found something else at position 2",
        ),
        (
            r#"{"device_id": "a", "secret": "abcdefgh1", "status": "SOLD"}"#,
            "1: status: expected ONLINE, OFFLINE, ABNORMAL, INACTIVE, FROZEN or nothing, found something else",
        ),
        (
            r#"[{"device_id": "a", "secret": "abcdefgh1"}, {"device_id": "a", "secret": "abcdefgh1"}]"#,
            "1: [1]: device a: given at [0] already",
        ),
    ] {
        place.finds("x.json", content, &[], &[error]);
    }
    // The same secret twice leaves no question.
    let same =
        r#"{"device_id": "dev_1", "secret": "abcdefgh1", "auth_info": {"secret": "abcdefgh1"}}"#;
    place.gives(
        "x.json",
        same,
        "dev_1:abcdefgh1\n",
        "secret from \"auth_info.secret\", \"secret\"",
    );
}

// --- D32: CSV

#[test]
fn csv_of_any_usual_shape_is_imported() {
    let place = Place::new();
    let semicolons = "设备ID;设备名称;密钥\r\ndev_1;灯;abcdefgh1\r\ndev_2;;abcdefgh2\r\n";
    let chinese = "separated by semicolons: device_id from \"设备ID\", secret from \"密钥\"; left aside: \"设备名称\"\n";
    for (content, how) in [
        (
            "device_id,secret\ndev_1,abcdefgh1\ndev_2,abcdefgh2",
            "CSV in UTF-8, separated by commas: device_id, secret\n",
        ),
        (
            "device_id;secret\ndev_1;abcdefgh1\ndev_2;abcdefgh2\n",
            "separated by semicolons: device_id, secret\n",
        ),
        (
            "device_id\tsecret\ndev_1\tabcdefgh1\ndev_2\tabcdefgh2\n",
            "separated by tabs: device_id, secret\n",
        ),
        (
            "sep=;\r\ndevice_id;secret\r\ndev_1;abcdefgh1\r\ndev_2;abcdefgh2\r\n",
            "separated by semicolons",
        ),
        (
            "sep=|\ndevice_id|secret\ndev_1|abcdefgh1\ndev_2|abcdefgh2\n",
            "separated by '|': device_id, secret\n",
        ),
        (
            "Device_ID,Secret\ndev_1,abcdefgh1\ndev_2,abcdefgh2\n",
            "device_id from \"Device_ID\", secret from \"Secret\"\n",
        ),
        (
            "deviceSecret,deviceId\nabcdefgh1,dev_1\nabcdefgh2,dev_2\n",
            "secret from \"deviceSecret\"\n",
        ),
        (
            "DeviceID,device_secret\ndev_1,abcdefgh1\ndev_2,abcdefgh2\n",
            "device_id from \"DeviceID\"",
        ),
        (
            "device_name,device_id,secret\n\"a, \"\"b\"\"\nc\",dev_1,abcdefgh1\n,dev_2,abcdefgh2\n",
            "device_id, secret; left aside: \"device_name\"\n",
        ),
        // Excel's empty rows and trailing commas.
        (
            "\n,,,\ndevice_id,secret,,\ndev_1,abcdefgh1,,\n,,,\n,\n\ndev_2,abcdefgh2,,,,,\n,,,\n",
            "devices.csv: skipped 3 empty rows\n",
        ),
        // It leaves out the commas at the end of some rows.
        ("device_id,secret,note\ndev_1,abcdefgh1\ndev_2,abcdefgh2,x\n", "left aside: \"note\""),
        (semicolons, chinese),
    ] {
        place.gives("devices.csv", content, TWO, how);
    }
    for (bytes, how) in [
        (utf16(semicolons, u16::to_le_bytes), "CSV in UTF-16 (little-endian)"),
        (utf16(semicolons, u16::to_be_bytes), "CSV in UTF-16 (big-endian)"),
        ([b"\xEF\xBB\xBF", semicolons.as_bytes()].concat(), "CSV in UTF-8 with a byte order mark"),
    ] {
        place.gives("devices.csv", &bytes, TWO, how);
        place.gives("devices.csv", &bytes, TWO, chinese);
    }
    let colons = "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B";
    let lines = format!("a:x509={},{SHA1}:frozen\n", colons.replace(':', ""));
    let csv =
        format!("device_id,fingerprint,secondary fingerprint,status\na,{colons},{SHA1},FROZEN\n");
    place.gives("devices.csv", csv, &lines, "x509 from \"fingerprint\"");
}

#[test]
fn a_file_of_another_kind_is_named_with_what_to_do() {
    let place = Place::new();
    // 设备ID,密钥 in GBK.
    let gbk = b"\xC9\xE8\xB1\xB8ID,\xC3\xDC\xD4\xBF\ndev_1,abcdefgh1\n";
    for (name, content, reason) in [
        (
            "devices.xlsx",
            &b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0[Content_Types].xml"[..],
            "devices.xlsx: expected a text, found an Excel workbook (.xlsx): in Excel, save it as \"CSV UTF-8\"",
        ),
        (
            "devices.csv",
            b"PK\x03\x04\x14\0\0\0\x08\0\0\0!\0xl/workbook.xml",
            "found an Excel workbook (.xlsx)",
        ),
        (
            "devices.xls",
            b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0\0\0",
            "found an old Excel workbook (.xls)",
        ),
        (
            "keys.zip",
            b"PK\x03\x04\x14\0\0\0\x08\0\0\0!\0DEVICES-KEY-1.txt",
            "found a ZIP archive: unpack it",
        ),
        ("keys.csv.gz", b"\x1F\x8B\x08\0\0\0\0\0", "found a gzip file: gunzip it first"),
        ("gbk.csv", gbk, "gbk.csv: line 1: expected UTF-8 or UTF-16, found GBK (Chinese Windows)"),
        (
            "latin.csv",
            b"device_id,secret,name\ndev_1,abcdefgh1,L\xE4mpchen\n",
            "line 2: expected UTF-8, found other bytes",
        ),
        ("no-mark.csv", b"d\0e\0v\0i\0c\0e\0_\0i\0d\0", "UTF-16 without a byte order mark"),
        ("page.html", b"<!DOCTYPE html>\n", "found HTML or XML"),
        ("empty.csv", b"", "expected CSV or JSON, found nothing"),
    ] {
        place.refuses(name, content, reason);
    }
}

#[test]
fn columns_that_leave_a_question_need_a_choice() {
    let place = Place::new();
    let content =
        "device_id,secret,device_secret\ndev_1,topsecret,abcdefgh1\ndev_2,topsecret,abcdefgh2\n";
    place.refuses(
        "two.csv",
        content,
        "two.csv: line 1: expected one column secret, found column 2 (\"secret\") and column 3 (\"device_secret\"): \
         --column secret=COLUMN says which it is",
    );
    let said = place.import_file("two.csv", content, &["--column", "secret=device_secret"]);
    assert!(said.status == 0 && place.text() == TWO, "{said:?}");
    assert!(
        said.err.contains("secret from \"device_secret\"; left aside: \"secret\"\n"),
        "{said:?}"
    );
    let said = place.import_file("two.csv", content, &["--column", "ignore=secret"]);
    assert!(said.status == 0 && place.text() == TWO, "{said:?}");

    let content = "id,psk\ndev_1,abcdefgh1\ndev_2,abcdefgh2\n";
    place.refuses("other.csv", content, "expected a header like device_id,secret");
    let choices = ["--column", "device_id=ID", "--column", "secret=psk"];
    let said = place.import_file("other.csv", content, &choices);
    assert!(said.status == 0 && place.text() == TWO, "{said:?}");
    let json = r#"{"id": "dev_1", "psk": "abcdefgh1"} {"id": "dev_2", "psk": "abcdefgh2"}"#;
    let said = place.import_file("other.json", json, &choices);
    assert!(said.status == 0 && place.text() == TWO, "{said:?}");

    place
        .import_file("other.csv", content, &[&choices[..], &["--column", "x509=cert"]].concat())
        .is_misuse("expected the column \"cert\" of --column, found none");
    for wrong in ["psk", "psk=", "password=psk"] {
        place.import_file("other.csv", content, &["--column", wrong]).is_misuse("--column");
    }
}

#[test]
fn the_line_of_a_wrong_row_is_told_also_behind_rows_of_several_lines() {
    let place = Place::new();
    place.finds(
        "devices.csv",
        "name,device_id,secret\r\n\"a\r\nb\r\nc\",dev_1,abcdefgh1\r\nx,dev_2,short\r\n\"two\r\nlines\",dev_1,abcdefgh1\r\n\
         1,1.23457E+15,abcdefgh1\r\n\r\n\"x\r\n\",dev_3,\"abcdefgh3\r\n",
        &[],
        &[
            "5: secret: expected 8 to 32 characters, found 5",
            "6: device dev_1: given on line 2 already",
            "8: device_id: expected all its digits, found a number that Excel has rounded: import the original, or make the \
             column a text before it is filled",
            "10: expected a closing quote, found the end of the file: nothing behind the opening quote is read (a quote opens \
             a value, which goes on to line 12: is a closing quote missing?)",
        ],
    );
}

#[test]
fn a_dry_run_tells_how_the_file_was_read_and_changes_nothing() {
    let place = Place::new();
    let content = "device_id;name;secret\ndev_1;x;abcdefgh1\n;;\n";
    let said = place.import_file("devices.csv", content, &["--dry-run"]);
    let (file, path) = (place.secrets.display(), place.scratch.path().join("devices.csv"));
    let path = path.display();
    said.is(
        0,
        &format!("{file}: 1 would be added, 0 would be changed\n"),
        &format!(
            "iotda-auth: {path}: read as CSV in UTF-8, separated by semicolons: device_id, secret; left aside: \"name\"\n\
             iotda-auth: {path}: skipped 1 empty row\n"
        ),
    );
    assert!(!place.secrets.exists());
}

#[test]
fn the_report_in_json_has_all_that_is_told() {
    let place = Place::new();
    let content = "Device_ID;name;secret;gateway_id\ndev_1;x;abcdefgh1;\n;;;\ns;x;;dev_1\n";
    let said = place.import_file("devices.csv", content, &["--format", "json"]);
    assert!(said.status == 0 && said.err.is_empty(), "{said:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let path = place.scratch.path().join("devices.csv");
    let expected = serde_json::json!({
        "secretsFile": place.secrets, "dryRun": false, "added": 1, "changed": 0, "errorCount": 0, "errors": [],
        "read": [{
            "file": path, "files": 1, "format": "csv", "encoding": "UTF-8", "separator": ";", "leftAside": ["name"],
            "columns": {"device_id": ["Device_ID"], "secret": ["secret"], "gateway_id": ["gateway_id"]},
        }],
        "skipped": {"subDevices": 1, "emptyRows": 1, "otherPages": 0, "files": []},
    });
    assert_eq!(report, expected);

    let said =
        place.import_file("devices.json", "[{\"device_id\": \"dev_1\"}]", &["--format", "json"]);
    assert!(said.status == 1 && said.err.is_empty(), "{said:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let error = "device dev_1: expected a secret or a fingerprint, found neither";
    let path = place.scratch.path().join("devices.json");
    assert_eq!(
        report["errors"],
        serde_json::json!([{"file": path, "line": 1, "path": "[0]", "error": error}])
    );
    assert_eq!((&report["errorCount"], &report["added"]), (&1.into(), &0.into()));
}

#[test]
fn names_out_of_a_file_are_shown_harmless() {
    let place = Place::new();
    let content = "device_id,\x1b[2J,secret\ndev_1,x,abcdefgh1\n";
    place.gives("devices.csv", content, "dev_1:abcdefgh1\n", "left aside: \"\\u{1b}[2J\"\n");
    let content = format!(
        r#"{{"device_id": "dev_1", "secret": "abcdefgh1", "\u001b{}": 1}}"#,
        "x".repeat(1000)
    );
    place.gives(
        "devices.json",
        content,
        "dev_1:abcdefgh1\n",
        &format!("\"\\u{{1b}}{}…\"\n", "x".repeat(39)),
    );
}

#[test]
fn standard_input_may_be_any_of_them() {
    let place = Place::new();
    for input in [
        r#"[{"device_id": "dev_1", "secret": "abcdefgh1"}, {"device_id": "dev_2", "secret": "abcdefgh2"}]"#.as_bytes(),
        b"device_id\tsecret\ndev_1\tabcdefgh1\ndev_2\tabcdefgh2\n",
        &utf16("device_id;secret\ndev_1;abcdefgh1\ndev_2;abcdefgh2", u16::to_le_bytes),
    ] {
        let _ = fs::remove_file(&place.secrets);
        let mut command = command(["import"]);
        command.arg(&place.secrets).args(["-", "--create"]);
        let said = tool::run(command, input).without(&SECRETS);
        assert!(said.status == 0 && said.err.starts_with("iotda-auth: -: read as "), "{said:?}");
        assert_eq!(place.text(), TWO);
    }
}
