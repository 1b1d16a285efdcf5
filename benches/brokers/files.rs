//! Which devices and users? The same names in all kinds of files.

use iotda_core::login::{
    ClientId, SignType,
    signature::HourKey,
    timestamp::{HOUR, UnixSeconds},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use support::{
    broker::installation,
    c::text_of,
    device::{now, stamp},
    mqtt::Connect,
    scratch::Scratch,
    version::Version,
};

/// The password of all users.
const PASSWORD: &str = "a-password-of-32-characters-0123";

/// In seconds.
const A_MINUTE: UnixSeconds = 60;

/// The files of a run, made on first use.
pub struct Files(Scratch);

/// The variants of a secrets file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// In order.
    Plain,
    /// In reverse order, and with another secret for each device except the first two, which are logged in.
    AllOther,
}

impl Files {
    pub fn new() -> Self {
        Self(Scratch::new())
    }

    /// A folder for other files of a topic.
    pub fn scratch(&self) -> &Scratch {
        &self.0
    }

    /// A secrets file.
    pub fn secrets(&self, devices: usize, content: Content) -> PathBuf {
        let name = match content {
            Content::Plain => format!("secrets-{devices}"),
            Content::AllOther => format!("other-secrets-{devices}"),
        };
        self.written(&name, devices, |n, file| match content {
            Content::Plain => writeln!(file, "{}:{}", device_id(n), secret(n)),
            Content::AllOther => {
                let n = devices - 1 - n;
                let secret = if n < 2 { secret(n) } else { secret(n + devices) };
                writeln!(file, "{}:{secret}", device_id(n))
            }
        })
    }

    /// A secrets file in which some devices have a second secret.
    pub fn in_a_change(&self, devices: usize) -> PathBuf {
        self.written(&format!("secrets-in-a-change-{devices}"), devices, |n, file| {
            write!(file, "{}:{}", device_id(n), secret(n))?;
            if has_two_secrets(n) {
                write!(file, ":secondary={}", secret(n + devices))?;
            }
            writeln!(file)
        })
    }

    /// A password file as a version makes it. All users share one password and one salt, because making a million salted
    /// hashes takes too long; reading the file costs the same.
    pub fn passwords(&self, version: Version, users: usize) -> PathBuf {
        let one = self.0.path().join(format!("one-password-{version}"));
        if !one.exists() {
            let tool = installation(version).join("mosquitto_passwd");
            text_of(Command::new(tool).args(["-b", "-c"]).arg(&one).args(["one", PASSWORD]));
        }
        let line = fs::read_to_string(&one).unwrap();
        let hash = line.trim_end().strip_prefix("one:").expect("the line of a user").to_owned();
        self.written(&format!("passwords-{version}-{users}"), users, |n, file| {
            writeln!(file, "{}:{hash}", device_id(n))
        })
    }

    /// A configuration of dynamic-security, as a version makes it. Here too, all clients share one password and one salt.
    pub fn dynamic_security(&self, version: Version, clients: usize) -> PathBuf {
        let path = self.0.path().join(format!("dynamic-security-{version}-{clients}"));
        if !path.exists() {
            let tool = installation(version).join("mosquitto_ctrl");
            let init = ["one", PASSWORD];
            text_of(Command::new(tool).args(["dynsec", "init"]).arg(&path).args(init));
            let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let mut client = config["clients"][0].clone();
            client["roles"] = json!([]);
            let client = |n| {
                let mut client = client.clone();
                client["username"] = json!(device_id(n));
                client
            };
            config["clients"] = (0..clients).map(client).collect();
            fs::write(&path, config.to_string()).unwrap();
        }
        path
    }

    fn written(
        &self,
        name: &str,
        lines: usize,
        line: impl Fn(usize, &mut dyn Write) -> std::io::Result<()>,
    ) -> PathBuf {
        let path = self.0.path().join(name);
        if !path.exists() {
            let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
            let mut file = BufWriter::with_capacity(1 << 20, file.unwrap());
            (0..lines).for_each(|n| line(n, &mut file).unwrap());
            file.flush().unwrap();
        }
        path
    }
}

/// The size of a file.
pub fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// 35 characters: a product's 24, and a name, as the platform makes them.
pub fn device_id(n: usize) -> String {
    format!("5fdb75cccbfe2f02ce81d4bf_dev{n:07}")
}

/// Whether a device has two secrets while they are changed.
pub fn has_two_secrets(n: usize) -> bool {
    n % 2 == 1
}

/// 32 hex digits.
pub fn secret(n: usize) -> String {
    // An odd factor: different numbers have different secrets.
    format!("{:032x}", (n as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}

/// The login of a device for this hour, or for the next hour if that is about to begin, so that it does not become stale
/// on the way.
pub fn device(n: usize) -> Connect {
    signed(n, secret(n), now() + A_MINUTE)
}

/// The same, two hours later than it was made.
pub fn stale_device(n: usize) -> Connect {
    signed(n, secret(n), now() - 2 * HOUR)
}

/// The same, made with another device's secret.
pub fn device_with_wrong_secret(n: usize) -> Connect {
    signed(n, secret(n + 1), now() + A_MINUTE)
}

fn signed(n: usize, secret: String, at: UnixSeconds) -> Connect {
    let (id, stamp) = (device_id(n), stamp(at));
    let key =
        HourKey::new(SignType::Sha256Timestamp, stamp.as_bytes().try_into().expect("ten digits"));
    Connect::new(ClientId::format(&id, SignType::Sha256Timestamp, &stamp))
        .username(id)
        .password(key.password(secret.as_bytes()))
        .keep_alive(1200)
}

/// The login of a user.
pub fn user(n: usize) -> Connect {
    Connect::new(device_id(n)).username(device_id(n)).password(PASSWORD).keep_alive(1200)
}

/// The same, with another password that is as long.
pub fn user_with_wrong_password(n: usize) -> Connect {
    user(n).password(PASSWORD.to_uppercase())
}
