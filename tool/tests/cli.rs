//! The command line tool, run as its users run it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iotda_core::login::{Kind, Refusal, SignType, signature::HourKey};
use proptest::prelude::*;
use std::{
    fs,
    io::{Read, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use support::{
    library::tool_path,
    scratch::{Scratch, set_mode},
    tool::{Said, command, run},
};

const V1: &str = "c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a";
const V2: &str = "5888ea6f4631ce76d621f452e8823507c36dd68a61f6e08518c8935e280c3c72";
/// HMAC-SM3 of the first one.
const SM3: &str = "a110c9e1536980a2ca572e7d5b82542a20a04e144937385f224d587fa1d0e862";
const V3: &str = "1c05cd54cb1b9585d40f10581aa2c84bf8c93c418eceff2f55f55dbc396c5b32";
/// The device of the vectors 2 and 3.
const DEVICE: &str = "6203cc94c7fb24029b110408_88888888";
const FINGERPRINT: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// A certificate that openssl has made, and its SHA-256 fingerprint.
const OTHER_CERTIFICATE: &str = include_str!("../../tests/data/certificate.pem");
const OTHER_FINGERPRINT: &str = "9617500bd0634db250b815591b2eb42f9a70b57b9713aa7d7899917e7ad103fe";
const SECRETS: [&str; 4] = ["123456789", "old-secret-1", "frozen-secret", "meter_secret_2"];

/// A separate folder for each test.
struct Folder(Scratch);

impl Folder {
    fn new() -> Self {
        Self(Scratch::new())
    }

    /// Writes a file, with a mode, and gives its path.
    fn file(&self, content: impl AsRef<[u8]>, mode: u32) -> String {
        let path = self.0.file("iotda.secrets", content);
        set_mode(&path, mode);
        path.into_os_string().into_string().unwrap()
    }

    /// Writes a PEM file, and gives its path.
    fn pem(&self, content: impl AsRef<[u8]>) -> String {
        self.0.file("file.pem", content).into_os_string().into_string().unwrap()
    }

    /// Writes a secrets file with a device of each kind.
    fn secrets(&self) -> String {
        let content = format!(
            "# device_id:secret\n{DEVICE}:{}:secondary={}\ncold:{}:frozen\nmeter:{}\ndoor:x509={FINGERPRINT}\n",
            SECRETS[0], SECRETS[1], SECRETS[2], SECRETS[3]
        );
        self.file(content, 0o600)
    }
}

fn tool(args: &[&str]) -> Said {
    tool_with(args, b"")
}

/// Checks every output of the tool: it holds no secret, and no signal ended the tool. The note on passwords that are valid
/// for ever is tested in tests/verbs.
fn tool_with(args: &[&str], input: &[u8]) -> Said {
    let mut args = args.to_vec();
    if args.first() == Some(&"connect-params") {
        args.insert(1, "--quiet");
    }
    let said = run(command(args), input).without(&SECRETS);
    assert!(said.status >= 0, "{said:?}");
    said
}

fn text(client_id: &str, username: &str, password: &str) -> String {
    format!("ClientId: {client_id}\nUsername: {username}\nPassword: {password}\n")
}

// --- connect-params

#[test]
fn golden_vectors() {
    for (device, secret, sign_type, stamp, password) in [
        ("lamp", "12345678", "0", "2025041401", V1),
        ("lamp", "12345678", "1", "2025041401", V1),
        (DEVICE, "123456789", "0", "2999010100", V2),
        (DEVICE, "123456789", "1", "2023111506", V3),
        ("lamp", "12345678", "2", "2025041401", SM3),
    ] {
        let client_id = format!("{device}_0_{sign_type}_{stamp}");
        let expected = text(&client_id, device, password);
        let params = ["connect-params", device, "--sign-type", sign_type, "--timestamp", stamp];
        for end in ["", "\n", "\r\n"] {
            let input = format!("{secret}{end}");
            let args = [&params[..], &["--secret-stdin"]].concat();
            tool_with(&args, input.as_bytes()).is(0, &expected, "");
        }
        let folder = Folder::new();
        let file = folder.file(format!("{device}:{secret}\n"), 0o600);
        tool(&[&params[..], &["--secrets-file", &file]].concat()).is(0, &expected, "");
    }
}

#[test]
fn formats() {
    let args = ["connect-params", DEVICE, "--timestamp", "2999010100", "--secret-stdin"];
    let client_id = format!("{DEVICE}_0_0_2999010100");
    let format = |format| {
        let said = tool_with(&[&args[..], &["--format", format]].concat(), b"123456789\n");
        assert_eq!((said.status, said.err.as_str()), (0, ""));
        said.out
    };
    assert_eq!(format("text"), text(&client_id, DEVICE, V2));
    assert_eq!(
        format("shell"),
        format!("MQTT_CLIENT_ID='{client_id}'\nMQTT_USERNAME='{DEVICE}'\nMQTT_PASSWORD='{V2}'\n")
    );
    let json = format("json");
    assert_eq!(json.lines().count(), 1);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap(),
        serde_json::json!({ "clientId": client_id, "username": DEVICE, "password": V2 })
    );
}

#[test]
fn shell_format_is_what_a_shell_takes() {
    let folder = Folder::new();
    let file = folder.secrets();
    let script = r#"eval "$("$1" connect-params meter --secrets-file "$2" --format shell)" &&
        "$1" explain --secrets-file "$2" --client-id "$MQTT_CLIENT_ID" --username "$MQTT_USERNAME" --password "$MQTT_PASSWORD""#;
    let output =
        Command::new("sh").args(["-c", script, "sh", tool_path(), &file]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.ends_with(b"\naccepted\n"), "{output:?}");
}

#[test]
fn default_timestamp_is_this_hour() {
    let hour = || jiff::Timestamp::now().strftime("%Y%m%d%H").to_string();
    let before = hour();
    let said = tool_with(&["connect-params", "lamp", "--secret-stdin"], b"12345678");
    let client_id = |hour: &str| format!("ClientId: lamp_0_0_{hour}\n");
    assert!(
        said.out.starts_with(&client_id(&before)) || said.out.starts_with(&client_id(&hour())),
        "{said:?}"
    );
}

#[test]
fn sign_type_0_takes_any_ten_digits() {
    let args = ["connect-params", "lamp", "--secret-stdin", "--timestamp", "2026023103"];
    assert_eq!(tool_with(&args, b"12345678").status, 0);
    for sign_type in ["1", "2"] {
        let dated = [&args[..], &["--sign-type", sign_type]].concat();
        tool_with(&dated, b"12345678").is_misuse(&format!(
            "--timestamp: expected a date of the calendar for sign type {sign_type}, found 2026023103"
        ));
    }
    // The C SDK's hour 24 is valid.
    let rolled = ["connect-params", "lamp", "--secret-stdin", "--timestamp", "2026022824"];
    assert_eq!(tool_with(&[&rolled[..], &["--sign-type", "1"]].concat(), b"12345678").status, 0);
}

#[test]
fn devices_of_every_kind() {
    let folder = Folder::new();
    let file = folder.secrets();
    let params = |device: &str| {
        tool(&["connect-params", device, "--secrets-file", &file, "--timestamp", "2999010100"])
    };
    // The primary secret makes the password.
    params(DEVICE).is(0, &text(&format!("{DEVICE}_0_0_2999010100"), DEVICE, V2), "");

    let cold = params("cold");
    assert_eq!(cold.status, 0);
    assert!(cold.out.starts_with("ClientId: cold_0_0_2999010100\nUsername: cold\nPassword: "));
    assert_eq!(cold.err, "iotda-auth: warning: device cold is frozen: its login will be refused\n");

    params("door").is(
        0,
        &text("door_0_0_2999010100", "door", ""),
        "iotda-auth: device door logs in by its certificate: it has no password\n",
    );

    params("nobody").is(1, "", &format!("iotda-auth: {file}: device nobody not found\n"));
}

#[test]
fn secret_comes_from_a_file_standard_input_or_a_terminal() {
    tool(&["connect-params", "lamp"])
        .is_misuse("--secrets-file FILE, --secret-stdin or a terminal");
    let folder = Folder::new();
    let file = folder.secrets();
    tool_with(&["connect-params", "meter", "--secrets-file", &file, "--secret-stdin"], b"12345678")
        .is_misuse("cannot be used with");
    // Never the environment.
    let mut command = command(["connect-params", "lamp"]);
    command.envs([("SECRET", "12345678"), ("IOTDA_SECRET", "12345678")]);
    assert_eq!(run(command, b"").status, 2);
}

#[test]
fn secret_is_asked_for_at_a_terminal_and_not_shown() {
    let command =
        format!("'{TOOL}' connect-params {DEVICE} --timestamp 2999010100", TOOL = tool_path());
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) makes a terminal");
    let mut out = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    while !shown.ends_with(b": ") {
        let mut byte = [0];
        assert_eq!(out.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    // The prompt is written before the echo is switched off.
    thread::sleep(Duration::from_secs(1));
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(b"123456789\n").unwrap();
    out.read_to_end(&mut shown).unwrap();
    drop(keyboard);
    assert!(child.wait().unwrap().success());
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.starts_with(&format!("Secret of {DEVICE}: ")), "{shown}");
    assert!(shown.contains(&format!("Password: {V2}")), "{shown}");
    assert!(!shown.contains("123456789"), "{shown}");
}

#[test]
fn secret_is_never_taken_from_the_command_line() {
    let secret = SECRETS[3];
    for (args, reason) in [
        (&["connect-params", "lamp", secret][..], "unexpected argument '***' found"),
        (&["connect-params", "lamp", "--secret", secret], "unexpected argument '--secret' found"),
        (&["connect-params", "lamp", "--secret=meter_secret_2"], "unexpected argument '--secret'"),
        (&["connect-params", "lamp", "--secret-stdin=meter_secret_2"], "unexpected value '***'"),
        (&["connect-params", "lamp", "-smeter_secret_2"], "unexpected argument '-s' found"),
        (&["connect-params", "lamp:meter_secret_2", "--secret-stdin"], "device id: expected"),
        (&["check", "secrets", secret], "unexpected argument '***' found"),
    ] {
        tool_with(args, b"12345678").is_misuse(reason);
    }
}

#[test]
fn malformed_secrets_are_refused_and_not_repeated() {
    let length = "secret: expected 8 to 32 characters, found";
    let charset = "secret: expected only A-Z a-z 0-9 _ -, found something else at position";
    for (input, reason) in [
        (String::new(), format!("{length} 0")),
        ("\n".into(), format!("{length} 0")),
        ("\nqwertyui\n".into(), format!("{length} 0")),
        ("qwertyu".into(), format!("{length} 7")),
        ("qwertyuiopqwertyuiopqwertyuiopqwe".into(), format!("{length} 33")),
        ("qwerty uiop".into(), format!("{charset} 7")),
        ("qwertyuiop ".into(), format!("{charset} 11")),
        ("qwertyuiop\r\r\n".into(), format!("{charset} 11")),
        ("qwertyuüop".into(), format!("{charset} 8")),
        ("qwerty\0uiop".into(), format!("{charset} 7")),
        ("qwertyui".repeat(8191), format!("{length} 65528")),
        ("qwertyui".repeat(8192), "expected a line of at most 65535 bytes, found more".into()),
        ("qwertyui".repeat(100_000), "expected a line of at most 65535 bytes".into()),
    ] {
        let said = tool_with(&["connect-params", "lamp", "--secret-stdin"], input.as_bytes());
        said.is_misuse(&reason);
        assert!(!said.err.contains("qwerty"), "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
}

#[test]
fn malformed_parameters_are_misuse() {
    let too_long = "d".repeat(129);
    for device in ["", "a b", "a:b", "a'b", "设备", "a\nb", "x.y", &too_long] {
        tool_with(&["connect-params", device, "--secret-stdin"], b"12345678")
            .is_misuse("device id: expected 1 to 128 of A-Z a-z 0-9 _ -");
    }
    for (option, value, reason) in [
        ("--timestamp", "202611220", "expected ten digits"),
        ("--timestamp", "20261122090", "expected ten digits"),
        ("--timestamp", "2026-11-22", "expected ten digits"),
        ("--timestamp", "+026112209", "expected ten digits"),
        ("--timestamp", "", "expected ten digits"),
        ("--sign-type", "3", "invalid value '3'"),
        ("--sign-type", "", "--sign-type"),
        ("--sign-type", "01", "invalid value '01'"),
        ("--format", "yaml", "invalid value 'yaml'"),
        ("--unknown", "x", "unexpected argument '--unknown'"),
    ] {
        tool_with(&["connect-params", "lamp", "--secret-stdin", option, value], b"12345678")
            .is_misuse(reason);
    }
    // The user is not asked for a secret in vain: the other arguments are checked first.
    tool(&["connect-params", "a b"]).is_misuse("device id");
    tool(&["connect-params", "lamp", "--sign-type", "2", "--timestamp", "2026023103"])
        .is_misuse("--timestamp");
}

#[test]
fn longest_device_id_and_secret() {
    let (device, secret) = ("d".repeat(128), "s".repeat(32));
    let said = tool_with(&["connect-params", &device, "--secret-stdin"], secret.as_bytes());
    assert_eq!(said.status, 0, "{said:?}");
}

// --- check

#[test]
fn counts_devices() {
    let folder = Folder::new();
    let file = folder.secrets();
    tool(&["check", &file]).is(0, &format!("{file}: 4 devices\n"), "");
    let file = folder.file("# none\n", 0o640);
    let none = format!("iotda-auth: warning: {file}: holds no device\n");
    tool(&["check", &file]).is(0, &format!("{file}: 0 devices\n"), &none);
    let file = folder.file("lamp:12345678\nmeter:12345678", 0o640);
    let cut = "has no newline behind its last line: if it was cut off, its last device is wrong";
    let cut = format!("iotda-auth: warning: {file}: {cut}\n");
    tool(&["check", &file]).is(0, &format!("{file}: 2 devices\n"), &cut);
    let file = folder.file("lamp:12345678\n", 0o644);
    tool(&["check", &file]).is(
        0,
        &format!("{file}: 1 device\n"),
        &format!(
            "iotda-auth: warning: {file}: can be read by every user of this machine (chmod o-r)\n"
        ),
    );
}

#[test]
fn tells_every_wrong_line() {
    let folder = Folder::new();
    let content = "lamp:meter_secret_2\nlamp-2 old-secret-1\n\nmeter:short\nlamp:old-secret-1\nd:12345678:cold\n";
    let file = folder.file(content, 0o600);
    let expected = format!(
        "{file}:2: device id: expected only A-Z a-z 0-9 _ -, found something else at position 7\n\
         {file}:4: secret: expected 8 to 32 characters, found 5\n\
         {file}:5: device: given on line 1 already\n\
         {file}:6: attribute 1 after the secret: expected secondary=SECRET or frozen, found something else\n"
    );
    tool(&["check", &file]).is(1, &expected, &format!("iotda-auth: {file}: 4 wrong lines\n"));

    let file = folder.file("x\n".repeat(1000), 0o600);
    let said = tool(&["check", &file]);
    assert_eq!((said.status, said.out.lines().count()), (1, 1000));
    assert_eq!(said.err, format!("iotda-auth: {file}: 1000 wrong lines\n"));
}

#[test]
fn file_must_be_the_operators() {
    let folder = Folder::new();
    let file = folder.file("lamp:12345678\n", 0o602);
    let reason = "expected a file that others cannot write, found mode 0602 (chmod o-w)";
    tool(&["check", &file]).is(1, "", &format!("iotda-auth: {file}: {reason}\n"));
    tool(&["connect-params", "lamp", "--secrets-file", &file]).tells(1, "", reason);
    tool(&["explain", "--secrets-file", &file]).tells(1, "", reason);

    let path = folder.0.path().to_str().unwrap();
    for (path, found) in [(path, "a directory"), ("/dev/null", "a device")] {
        let reason = format!("expected a regular file, found {found}");
        tool(&["check", path]).is(1, "", &format!("iotda-auth: {path}: {reason}\n"));
    }

    let missing = folder.0.path().join("missing");
    let missing = missing.to_str().unwrap();
    for args in [
        &["check", missing][..],
        &["connect-params", "lamp", "--secrets-file", missing],
        &["explain", "--secrets-file", missing],
    ] {
        tool(args).is_misuse(&format!("iotda-auth: {missing}: cannot be read: No such file"));
    }
}

#[test]
fn wrong_lines_are_told_by_check_alone() {
    let folder = Folder::new();
    let file = folder.file("lamp:12345678\nmeter_secret_2\n", 0o600);
    let reason = "1 wrong line (iotda-auth check tells which)";
    tool(&["connect-params", "lamp", "--secrets-file", &file]).tells(1, "", reason);
    tool(&["explain", "--secrets-file", &file]).tells(1, "", reason);
}

// --- explain

/// The login of vector 3, of sign type 1; its hour is long past.
const LATE: [&str; 6] = [
    "--client-id",
    "6203cc94c7fb24029b110408_88888888_0_1_2023111506",
    "--username",
    DEVICE,
    "--password",
    V3,
];

fn explain(args: &[&str], more: &[&str]) -> Said {
    let folder = Folder::new();
    let file = folder.secrets();
    tool(&[&["explain", "--secrets-file", &file][..], args, more].concat())
}

/// The outcomes of the ten steps, and the verdict.
#[track_caller]
fn told(said: &Said) -> (Vec<String>, String) {
    assert_eq!(said.err, "", "{said:?}");
    let mut lines: Vec<&str> = said.out.lines().collect();
    if let Some(advice) = lines.last().and_then(|line| line.strip_prefix("what to do: ")) {
        lines.pop();
        // The advice is that of the kind, if the login was recognised, or else that of the reason.
        let recognised = lines.last().and_then(|line| line.strip_prefix("recognised: "));
        let kind = recognised.map(|told| {
            lines.pop();
            let told_as = |kind: &Kind| format!("{}={} ({kind})", kind.field(), kind.id()) == told;
            Kind::ALL.into_iter().find(|k| told_as(k) && k.advice() == advice).expect(told)
        });
        let refusal = Refusal::ALL.into_iter().find(|r| advice == r.advice());
        let reason = kind.map(Kind::reason).or(refusal).unwrap();
        let verdict = lines.last().unwrap();
        let refused = verdict.starts_with(&format!("refused: {} ", reason.id()));
        assert!(refused || verdict.starts_with("deferred "), "{said:?}");
    }
    let verdict = lines.pop().unwrap().to_owned();
    assert!(!verdict.starts_with("refused: ") || said.out.contains("\nwhat to do: "), "{said:?}");
    assert_eq!(lines.len(), 10, "{said:?}");
    let outcomes = (1..).zip(lines).map(|(number, line)| {
        assert!(line.starts_with(&format!("{number:>2}  ")), "{line}");
        line[56..].to_owned()
    });
    (outcomes.collect(), verdict)
}

/// Expects an outcome for each step from 2 on: `p`assed, `n`ot applicable, `-` not reached, `F`ailed for a reason.
#[track_caller]
fn expect(said: &Said, steps: &str, failure: &str, verdict: &str) {
    let (outcomes, told_verdict) = told(said);
    assert_eq!(told_verdict, verdict, "{said:?}");
    assert_eq!(said.status, i32::from(verdict != "accepted"), "{said:?}");
    assert_eq!(outcomes[0], "not checked here: depends on earlier logins at the broker");
    let expected: Vec<&str> = steps
        .chars()
        .map(|step| match step {
            'p' => "passed",
            'n' => "not applicable",
            '-' => "not reached",
            _ => failure,
        })
        .collect();
    assert_eq!(outcomes[1..], expected, "{said:?}");
}

#[test]
fn explains_what_is_accepted() {
    expect(&explain(&LATE, &["--at", "2023-11-15T07:05:00Z"]), "pppppppnp", "", "accepted");
    expect(&explain(&LATE, &["--at", "2023-11-15T15:00:00+08:00"]), "pppppppnp", "", "accepted");
    // Sign type 0: the timestamp is not looked at.
    let any_time = ["--client-id", &format!("{DEVICE}_0_0_2999010100"), "--username", DEVICE];
    expect(&explain(&any_time, &["--password", V2]), "pppppnpnp", "", "accepted");
}

#[test]
fn explains_every_refusal() {
    let client_id =
        |client_id: &'static str| [&["--client-id", client_id][..], &LATE[2..]].concat();
    let username = |name: &'static str| [&LATE[..2], &["--username", name], &LATE[4..]].concat();
    let password = |word: &'static str| [&LATE[..4], &["--password", word]].concat();
    let in_time = &["--at", "2023-11-15T06:30:00Z"][..];

    let shape = "refused: bad_client_id (the ClientId is not {device_id}_0_{sign type}_{YYYYMMDDHH}), \
                 CONNACK 2, MQTT 5 0x85";
    for (id, shown) in [
        ("backend", r#""backend" shape=other"#),
        ("_0_0_2999010100", r#""_0_0_2999010100" shape=nodevice"#),
        ("d_0_1_2026023103", r#""d_0_1_2026023103" shape=nodate"#),
        ("a\"\n\x1b[31m", r#""a\"\n\u{1b}[31m" shape=other"#),
        ("", r#""" shape=empty"#),
    ] {
        let failure = format!("failed: bad_client_id client={shown}");
        expect(&explain(&client_id(id), in_time), "F--------", &failure, shape);
    }
    expect(&explain(&[], &[]), "F--------", "failed: bad_client_id client=- shape=empty", shape);

    let sign_type = "refused: bad_sign_type (the sign type in the ClientId is not accepted here), \
                     CONNACK 2, MQTT 5 0x85";
    expect(
        &explain(&client_id("d_0_7_2023111506"), in_time),
        "pF-------",
        "failed: bad_sign_type sign_type=7",
        sign_type,
    );
    let only_0 = [in_time, &["plugin_opt_sign_types", "0"]].concat();
    expect(&explain(&LATE, &only_0), "pF-------", "failed: bad_sign_type sign_type=1", sign_type);

    let keep_alive = "refused: bad_keepalive (the keep alive is outside the accepted range), \
                      CONNACK 2, MQTT 5 0x85";
    for seconds in ["0", "29", "1201"] {
        let args = [in_time, &["--keepalive", seconds]].concat();
        let failure = format!("failed: bad_keepalive keepalive={seconds} accepted=30-1200");
        expect(&explain(&LATE, &args), "ppF------", &failure, keep_alive);
    }

    let user = "refused: user_mismatch (the user name is not the device id in the ClientId), \
                CONNACK 4, MQTT 5 0x86";
    let failure = format!("failed: user_mismatch user=\"lamp\" device=\"{DEVICE}\"");
    expect(&explain(&username("lamp"), in_time), "pppF-----", &failure, user);
    let failure = format!("failed: user_mismatch user=- device=\"{DEVICE}\"");
    expect(&explain(&LATE[..2], in_time), "pppF-----", &failure, user);

    let unknown = ["--client-id", "lamp_0_0_2999010100", "--username", "lamp", "--password", V2];
    expect(
        &explain(&unknown, &[]),
        "ppppF----",
        "failed: unknown_device device=\"lamp\"",
        "refused: unknown_device (the device is not in the secrets file), CONNACK 4, MQTT 5 0x86",
    );

    let stale = "refused: stale_timestamp (the timestamp is too old), CONNACK 4, MQTT 5 0x86";
    expect(
        &explain(&LATE, &["--at", "2023-11-15T07:30:00Z"]),
        "pppppF---",
        "failed: stale_timestamp age=1h30m password=right max_age=1h5m",
        stale,
    );
    expect(
        &explain(&password(V1), &["--at", "2023-11-16T06:00:00Z", "timestamp_max_age=90m"]),
        "pppppF---",
        "failed: stale_timestamp age=1d max_age=1h30m",
        stale,
    );
    expect(
        &explain(&LATE, &["--at", "2023-11-15T04:00:00Z", "timestamp_max_ahead", "1h"]),
        "pppppF---",
        "failed: future_timestamp ahead=2h password=right max_ahead=1h",
        "refused: future_timestamp (the timestamp is too far ahead), CONNACK 4, MQTT 5 0x86",
    );

    let wrong = "refused: wrong_password (the password does not match the device's secret and the timestamp), \
                 CONNACK 4, MQTT 5 0x86";
    for (args, failure) in [
        (password(V1), "failed: wrong_password password=other"),
        (password("C75150E6"), "failed: wrong_password password=malformed"),
        (password(""), "failed: wrong_password password=missing"),
        (LATE[..4].to_vec(), "failed: wrong_password password=missing"),
    ] {
        expect(&explain(&args, in_time), "ppppppF--", failure, wrong);
    }

    let door = ["--client-id", "door_0_1_2023111506", "--username", "door"];
    expect(
        &explain(&door, &[]),
        "pppppnnF-",
        "failed: no_certificate device=\"door\"",
        "refused: no_certificate (the device logs in by certificate and showed none), CONNACK 4, MQTT 5 0x86",
    );
    let other = Folder::new();
    let shown = other.pem(OTHER_CERTIFICATE);
    expect(
        &explain(&door, &["--certificate", &shown]),
        "pppppnnF-",
        &format!("failed: wrong_certificate certificate={OTHER_FINGERPRINT} device=\"door\""),
        "refused: wrong_certificate (the certificate is not one of the device's), CONNACK 5, MQTT 5 0x87",
    );
}

#[test]
fn explains_a_frozen_device() {
    let folder = Folder::new();
    let file = folder.secrets();
    let params = tool(&["connect-params", "cold", "--secrets-file", &file]).out;
    expect(
        &explain_params(&file, &params, &[]),
        "pppppnpnF",
        "failed: frozen device=\"cold\"",
        "refused: frozen (the device is frozen), CONNACK 5, MQTT 5 0x87",
    );
}

#[test]
fn explains_what_is_left_to_others() {
    for options in [&["other_clients=defer"][..], &["plugin_opt_other_clients", "defer"]] {
        expect(
            &explain(&["--client-id", "backend"], options),
            "F--------",
            "failed: bad_client_id client=\"backend\" shape=other",
            "deferred to the broker's password file and other plugins",
        );
    }
}

/// A device with a mistake, where others are let through: what is wrong is told all the same.
#[test]
fn explains_what_is_left_to_others_by_mistake() {
    let id = format!("{DEVICE}_0_1_2023111506_1720423123000");
    let said = explain(&["--client-id", &id], &["other_clients=defer"]);
    expect(
        &said,
        "F--------",
        &format!("failed: bad_client_id client=\"{id}\" shape=tail"),
        "deferred to the broker's password file and other plugins",
    );
    assert!(said.out.ends_with(&format!("\nwhat to do: {}\n", Kind::Tail.advice())), "{said:?}");
}

/// Each mistake gets the advice for just that.
#[test]
fn advises_on_what_is_wrong_with_a_password() {
    let made = |sign_type, stamp| HourKey::new(sign_type, stamp).password(b"123456789");
    let hour = *b"2023111506";
    let sha = SignType::Sha256Timestamp;
    assert_eq!(made(sha, &hour), V3);
    for (sent, kind) in [
        (None, Kind::Missing),
        (Some(String::new()), Kind::Missing),
        (Some("hunter2".into()), Kind::Malformed),
        (Some(V3.to_uppercase()), Kind::UpperCase),
        (Some(format!("\"{V3}\"")), Kind::QuotedPassword),
        (Some(format!("{V3} ")), Kind::BlankPassword),
        (Some(V3[..63].into()), Kind::Cut),
        (Some(format!("{V3}0")), Kind::PasswordTail),
        (Some("123456789".into()), Kind::Secret),
        (Some(made(SignType::Sm3Timestamp, &hour)), Kind::SignType),
        (Some(made(sha, b"2023111507")), Kind::Hour),
        (Some(made(sha, b"2023111514")), Kind::LocalTime),
        (Some(V1.into()), Kind::Other),
    ] {
        let mut args = LATE[..4].to_vec();
        if let Some(sent) = &sent {
            args.extend(["--password", sent]);
        }
        let said = explain(&args, &["--at", "2023-11-15T06:30:00Z"]);
        let told = format!(
            "\nrecognised: password={} ({kind})\nwhat to do: {}\n",
            kind.id(),
            kind.advice()
        );
        assert!(said.out.ends_with(&told), "{kind:?}: {said:?}");
        assert_eq!(said.out.contains("reset-secret"), kind == Kind::Other, "{said:?}");
    }
    // A right password for an old hour: the device repeats it.
    let said = explain(&LATE, &["--at", "2023-11-16T06:30:00Z"]);
    assert!(said.out.contains("\nrecognised: password=right ("), "{said:?}");
    assert!(said.out.contains("plugin_opt_timestamp_max_age"), "{said:?}");
}

fn json_of(said: &Said) -> serde_json::Value {
    assert_eq!((said.err.as_str(), said.out.matches('\n').count()), ("", 1), "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

/// The names and values of the object are a promise to programs.
#[test]
fn explains_as_json() {
    let in_time = ["--at", "2023-11-15T06:30:00Z", "--format", "json"];
    let outcomes = |object: &serde_json::Value| -> Vec<String> {
        let steps = object["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 10);
        steps.iter().map(|step| step["outcome"].as_str().unwrap().to_string()).collect()
    };
    let said = explain(&LATE, &in_time);
    assert_eq!(said.status, 0);
    let object = json_of(&said);
    let names: Vec<_> = object.as_object().unwrap().keys().collect();
    let expected = [
        "advice",
        "connack",
        "connack_mqtt5",
        "kind",
        "kind_in_words",
        "log_line",
        "reason",
        "reason_in_words",
        "steps",
        "verdict",
    ];
    assert_eq!(names, expected);
    assert_eq!(object["verdict"], "accepted");
    for name in expected.iter().filter(|name| !["steps", "verdict"].contains(name)) {
        assert!(object[name].is_null(), "{name}: {object}");
    }
    let passed = ["passed"; 7];
    assert_eq!(
        outcomes(&object),
        [&["not_checked"][..], &passed, &["not_applicable", "passed"]].concat()
    );

    let upper = V3.to_uppercase();
    let said = explain(&[&LATE[..4], &["--password", &upper]].concat(), &in_time);
    assert_eq!(said.status, 1);
    let object = json_of(&said);
    for (name, value) in [
        ("verdict", "refused"),
        ("reason", "wrong_password"),
        ("reason_in_words", &Refusal::WrongPassword.to_string()),
        ("kind", "uppercase"),
        ("kind_in_words", &Kind::UpperCase.to_string()),
        ("advice", Kind::UpperCase.advice()),
    ] {
        assert_eq!(object[name], value, "{name}");
    }
    assert_eq!((&object["connack"], &object["connack_mqtt5"]), (&4.into(), &0x86.into()));
    assert_eq!(
        object["steps"][7],
        serde_json::json!({
            "number": 8,
            "title": "password matches secret and timestamp",
            "outcome": "failed",
            "facts": {"password": "uppercase"},
        })
    );
    assert!(!said.out.to_lowercase().contains(V3) && !said.out.contains("123456789"), "{said:?}");

    let said = explain(&["--client-id", "a\"\x1b", "other_clients=defer"], &["--format", "json"]);
    let object = json_of(&said);
    assert_eq!((&object["verdict"], &object["reason"]), (&"deferred".into(), &().into()));
    assert_eq!(object["steps"][1]["facts"]["client"], "a\"\x1b");

    let line = r#"iotda-auth: refused client="d\"\x1b"... user=- address=- reason=bad_client_id shape=quotes"#;
    let said = tool(&["explain", "--log-line", line, "--format", "json"]);
    assert_eq!(said.status, 1);
    let object = json_of(&said);
    assert_eq!(object["kind"], "quotes");
    assert_eq!(
        object["log_line"],
        serde_json::json!({
            "client_id": "d\"\x1b", "client_id_is_cut": true, "username": null, "username_is_cut": false, "address": null,
        })
    );
}

#[test]
fn both_secrets_are_accepted() {
    let folder = Folder::new();
    let file = folder.secrets();
    let args = ["connect-params", DEVICE, "--secret-stdin"];
    let params = tool_with(&args, SECRETS[1].as_bytes()).out;
    expect(&explain_params(&file, &params, &[]), "pppppnpnp", "", "accepted");
}

#[test]
fn options_are_read_as_the_plugin_reads_them() {
    let at = ["--at", "2023-11-15T07:59:00Z"];
    for options in [
        &["plugin_opt_timestamp_max_age", "2h"][..],
        &["timestamp_max_age", "2h"],
        &["timestamp_max_age=2h"],
        &["plugin_opt_timestamp_max_age=2h"],
        &["keepalive", "any", "timestamp_max_age=120m", "plugin_opt_sign_types", "0, 1"],
    ] {
        assert_eq!(explain(&LATE, &[&at[..], options].concat()).status, 0, "{options:?}");
    }
    for (options, reason) in [
        (&["timestamp_max_age"][..], "timestamp_max_age: expected a value, found none"),
        (&["timestamp_max_age", "soon"], "plugin_opt_timestamp_max_age: expected a duration"),
        (&["timestamp_max_age="], "plugin_opt_timestamp_max_age: expected a duration"),
        (&["colour=red"], "plugin_opt_colour: unknown option, expected one of secrets_file"),
        (&["keepalive=any", "keepalive=any"], "plugin_opt_keepalive: found twice, expected once"),
        (&["secrets_file=other"], "plugin_opt_secrets_file: found twice, expected once"),
    ] {
        explain(&LATE, options).is_misuse(reason);
    }
}

#[test]
fn misuse_of_explain() {
    tool(&["explain"]).is_misuse("--secrets-file: expected a secrets file");
    for (args, reason) in [
        (&["--keepalive", "65536"][..], "65536"),
        (&["--keepalive", "-1"], "unexpected argument '-1'"),
        (&["--at", "yesterday"], "expected an instant like"),
        (&["--at", "2023-11-15T06:00:00"], "expected an instant like"),
        (&["--password-stdin", "--password", V3], "cannot be used with"),
        (&["--unknown"], "unexpected argument '--unknown'"),
    ] {
        explain(args, &[]).is_misuse(reason);
    }
}

#[test]
fn password_comes_from_standard_input() {
    let folder = Folder::new();
    let file = folder.secrets();
    let args =
        [
            &[
                "explain",
                "--secrets-file",
                &file,
                "--at",
                "2023-11-15T06:30:00Z",
                "--password-stdin",
            ][..],
            &LATE[..4],
        ]
        .concat();
    expect(&tool_with(&args, format!("{V3}\n").as_bytes()), "pppppppnp", "", "accepted");
    assert_eq!(tool_with(&args, V1.as_bytes()).status, 1);
    // Bytes that are not UTF-8 are just a wrong password.
    assert_eq!(tool_with(&args, &[0xFF; 64]).status, 1);
}

#[test]
fn explain_never_shows_a_password() {
    for at in ["2023-11-15T06:30:00Z", "2033-11-15T06:30:00Z"] {
        let said = explain(&LATE, &["--at", at]);
        assert!(!said.out.contains(V3) && !said.err.contains(V3), "{said:?}");
    }
}

/// Explains what `connect-params` printed.
fn explain_params(file: &str, params: &str, more: &[&str]) -> Said {
    let values: Vec<&str> = params.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    let [client_id, username, password] = values[..] else { panic!("{params}") };
    let login = ["--client-id", client_id, "--username", username, "--password", password];
    tool(&[&["explain", "--secrets-file", file][..], &login, more].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn what_is_made_is_accepted(
        device in "[A-Za-z0-9_-]{1,128}",
        secret in "[A-Za-z0-9_-]{8,32}",
        sign_type in "[012]",
        stamp in proptest::option::of("20[0-9]{2}(0[1-9]|1[0-2])([01][1-9]|2[0-8])([01][0-9]|2[0-4])"),
    ) {
        let folder = Folder::new();
        let file = folder.file(format!("{device}:{secret}\n"), 0o600);
        let mut args = vec!["connect-params", "--secrets-file", &file, "--sign-type", &sign_type];
        if let Some(stamp) = &stamp {
            args.extend(["--timestamp", stamp]);
        }
        // A device id may begin with a hyphen, as an option does.
        args.extend(["--", &device]);
        let made = tool(&args);
        prop_assert_eq!(made.status, 0, "{:?}", made);
        prop_assert_eq!(&made.err, "");
        let any_time = ["timestamp_max_age=4294967295d", "timestamp_max_ahead=unlimited"];
        let said = explain_params(&file, &made.out, &any_time);
        prop_assert_eq!(said.status, 0, "{:?}", said);
        prop_assert!(said.out.ends_with("\naccepted\n"), "{:?}", said);
    }
}

// --- explain --log-line

fn explain_line(line: &str) -> Said {
    tool(&["explain", "--log-line", line])
}

#[test]
fn explains_a_line_of_the_log() {
    let said = explain_line(
        "1795338000: iotda-auth: refused client=\"lamp_0_1_2026112209\" user=\"lamp\" address=203.0.113.7 \
         reason=stale_timestamp age=3h password=right",
    );
    let (kind, advice) = (Kind::RightButStale, Kind::RightButStale.advice());
    let expected = format!(
        "ClientId: \"lamp_0_1_2026112209\"
Username: \"lamp\"
address: 203.0.113.7
 1  few failed logins from the address                  passed
 2  ClientId is {{device_id}}_0_{{sign type}}_{{YYYYMMDDHH}}  passed
 3  sign type is accepted                               passed
 4  keep alive is accepted                              passed
 5  user name is the ClientId's device id               passed
 6  device is in the secrets file                       passed
 7  timestamp is within the window                      failed: stale_timestamp age=3h password=right
 8  password matches secret and timestamp               not reached
 9  certificate is the device's                         not reached
10  device is not frozen                                not reached
not checked again: the log has no password
refused: stale_timestamp (the timestamp is too old), CONNACK 4, MQTT 5 0x86
recognised: password=right ({kind})
what to do: {advice}
"
    );
    said.is(1, &expected, "");
}

/// A log line has the same advice as the login itself.
#[test]
fn explains_the_kind_that_a_line_of_the_log_has() {
    let line = |reason: Refusal, detail: &str| {
        format!(
            "iotda-auth: refused client=\"d_0_1_2026112209\" user=\"d\" address=::1 reason={}{detail}",
            reason.id()
        )
    };
    for kind in Kind::ALL {
        let said = explain_line(&line(kind.reason(), &format!(" {}={}", kind.field(), kind.id())));
        let told = format!("\nwhat to do: {}\n", kind.advice());
        assert!(said.out.ends_with(&told) && said.out.contains("\nrecognised: "), "{said:?}");
    }
    // A line of a later release, and one of an earlier one.
    let said = explain_line(&line(Refusal::WrongPassword, " password=later"));
    assert!(said.out.ends_with(&format!("{}\n", Refusal::WrongPassword.advice())), "{said:?}");
    let earlier =
        "iotda-auth: refused client=\"d_0_1_1795669993\" user=\"d\" address=- reason=bad_client_id";
    let said = explain_line(earlier);
    assert!(said.out.ends_with(&format!("{}\n", Kind::Epoch.advice())), "{said:?}");
}

#[test]
fn explains_a_line_from_standard_input() {
    let line = "1795338000: iotda-auth: refused client=- user=- address=- reason=wrong_password password=cut";
    let given = explain_line(line);
    for end in ["", "\n", "\r\n", "\nNew client connected\n"] {
        let said = tool_with(&["explain", "--log-line", "-"], format!("{line}{end}").as_bytes());
        said.is(1, &given.out, "");
    }
    tool(&["explain", "--log-line", "-"]).is_misuse("--log-line: expected a line with");
    // What is not text is no line, and is not repeated.
    let said = tool_with(&["explain", "--log-line", "-"], b"\xFF\x1bsecret\n");
    assert!(said.status == 2 && !said.err.contains("secret"), "{said:?}");
}

#[test]
fn explains_what_a_line_of_the_log_escapes_and_cuts() {
    let said = explain_line(
        r#"iotda-auth: refused client="a\"b\\\x1b[31m\xff"... user=- address=- reason=bad_client_id"#,
    );
    assert_eq!(said.status, 1);
    assert!(said.out.starts_with("ClientId: \"a\\\"b\\\\\\u{1b}[31m\u{fffd}\" and more, which the log has cut\nUsername: not sent\naddress: not known\n"), "{said:?}");
    assert!(!said.out.contains('\x1b'), "{said:?}");
}

#[test]
fn explains_the_steps_of_each_reason() {
    for (sign, reason, steps) in [
        (0, "rate_limited", "F---------"),
        (0, "wrong_password", "ppppppnF--"),
        (1, "wrong_password", "pppppppF--"),
        (1, "no_certificate", "ppppppnnF-"),
        (0, "frozen", "ppppppnooF"),
        (1, "frozen", "ppppppoooF"),
        (1, "unknown_device", "pppppF----"),
        (1, "internal_error", "??????????"),
    ] {
        let line = format!(
            "iotda-auth: refused client=\"d_0_{sign}_2026112209\" user=\"d\" address=- reason={reason}"
        );
        let said = explain_line(&line);
        let outcomes: String = said
            .out
            .lines()
            .skip(3)
            .take(10)
            .map(|line| match &line[56..] {
                "passed" => 'p',
                "not applicable" => 'n',
                "passed or not applicable" => 'o',
                "not reached" => '-',
                "not known" => '?',
                failed => {
                    assert_eq!(failed, format!("failed: {reason}"));
                    'F'
                }
            })
            .collect();
        assert_eq!(outcomes, steps, "{said:?}");
        let advice = Refusal::from_id(reason).unwrap().advice();
        assert!(said.out.ends_with(&format!("\nwhat to do: {advice}\n")), "{said:?}");
    }
}

#[test]
fn misuse_of_a_line_of_the_log() {
    explain_line("").is_misuse("--log-line: expected a line with `iotda-auth: refused`");
    explain_line("New client connected").is_misuse("--log-line: expected a line with");
    explain_line("iotda-auth: refused client=x").is_misuse("--log-line: expected client=");
    tool(&["explain"]).is_misuse("--secrets-file");
    let folder = Folder::new();
    let file = folder.secrets();
    tool(&["explain", "--log-line", "x", "--secrets-file", &file]).is_misuse("cannot be used with");
    tool(&["explain", "--log-line", "x", "--username", "d"]).is_misuse("cannot be used with");
}

// --- man and completions

#[test]
fn man_pages_and_completions_name_everything() {
    let man = tool(&["man"]);
    assert_eq!((man.status, man.err.as_str()), (0, ""));
    let plain = man.out.replace("\\-", "-");
    for verb in ["connect-params", "check", "explain", "add", "reset-secret", "list", "import"] {
        assert!(plain.contains(&format!("iotda-auth-{verb}(1)")), "{verb}: {plain}");
        let page = tool(&["man", verb]);
        assert_eq!((page.status, page.err.as_str()), (0, ""), "{verb}");
        assert!(page.out.replace("\\-", "-").contains(&format!("iotda-auth {verb}")), "{page:?}");
    }
    tool(&["man", "iron"]).is_misuse("expected one of the commands");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = tool(&["completions", shell]);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{shell}");
        assert!(said.out.contains("IOTDA_AUTH_COMPLETE"), "{shell}");
    }
    tool(&["completions", "csh"]).is_misuse("invalid value 'csh'");
    tool(&["completions"]).is_misuse("<SHELL>");
}

// --- everything

#[test]
fn help_and_version_are_answers() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["connect-params", "--help"],
        &["check", "-h"],
        &["explain", "--help"],
    ] {
        let said = tool(args);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{args:?}");
        assert!(said.out.contains("Usage: iotda-auth"), "{said:?}");
    }
    tool(&["--version"]).is(0, &format!("iotda-auth {}\n", env!("CARGO_PKG_VERSION")), "");
}

#[test]
fn unknown_verbs_and_options_are_misuse() {
    tool(&[]).is_misuse("expected a command, found none");
    tool(&["chekc"]).is_misuse("unrecognized subcommand 'chekc'");
    tool(&["--quiet"]).is_misuse("unexpected argument '--quiet'");
    tool(&["check"]).is_misuse("--config or FILE: expected a secrets file");
    tool(&["check", "--all", "file"]).is_misuse("unexpected argument '--all'");
    tool(&["connect-params"]).is_misuse("<DEVICE_ID>");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = Folder::new();
    let good = folder.secrets();
    for (args, status) in [
        (&["check", &good][..], 0),
        (&["connect-params", "-q", "meter", "--secrets-file", &good], 0),
        (&["explain", "--secrets-file", &good], 1),
        (&["--help"], 0),
        (&["list", &good], 0),
        (&["man"], 0),
        (&["completions", "bash"], 0),
    ] {
        assert_eq!(unread(args), (status, String::new()), "{args:?}");
    }
    // More than a pipe holds: the reader leaves in the middle.
    let folder = Folder::new();
    let bad = folder.file("x\n".repeat(100_000), 0o600);
    let (status, err) = unread(&["check", &bad]);
    assert_eq!((status, err), (1, format!("iotda-auth: {bad}: 100000 wrong lines\n")));
}

/// Runs the tool with a closed standard output.
fn unread(args: &[&str]) -> (i32, String) {
    // One end of a pipe whose other end was closed when its process ended.
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    let output = command(args).stdin(Stdio::null()).stdout(pipe).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_full_disk_is_an_error() {
    let folder = Folder::new();
    let file = folder.secrets();
    for args in [
        &["check", &file][..],
        &["connect-params", "meter", "--secrets-file", &file],
        &["list", &file],
        &["man"],
        &["completions", "fish"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.starts_with("iotda-auth: standard output: cannot be written"), "{err}");
    }
}

#[test]
fn closed_standard_streams_do_no_harm() {
    let folder = Folder::new();
    let file = folder.secrets();
    for (closed, status) in [(">&-", 0), ("2>&-", 0), ("<&-", 0), ("<&- >&- 2>&-", 0)] {
        let script = format!(r#""$1" check "$2" {closed}"#);
        let output =
            Command::new("sh").args(["-c", &script, "sh", tool_path(), &file]).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{closed}: {output:?}");
    }
    let script = r#""$1" connect-params lamp --secret-stdin <&-"#;
    let output = Command::new("sh").args(["-c", script, "sh", tool_path()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
