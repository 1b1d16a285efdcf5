//! What does this device send in its CONNECT?

use crate::{
    args::{self, Format},
    secret, secrets_file,
    terminal::{self, Answer, Failure, say, shown},
};
use iotda_core::{
    login::{
        ClientId, SignType,
        signature::HourKey,
        timestamp::{Hour, Stamp},
    },
    registry::{Credential, Device, line},
};
use jiff::Timestamp;
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// What a device sends.
pub(crate) struct Params<'a> {
    pub(crate) client_id: String,
    pub(crate) username: &'a str,
    /// Empty if the device logs in by its certificate.
    pub(crate) password: String,
}

/// Prints the connection parameters of a device; the answer is no if the device is not in the secrets file.
pub(crate) fn run(args: &args::ConnectParams) -> Result<Answer, Failure> {
    let Some(params) = Params::of(&args.login)? else {
        say(format_args!("{}", not_found(&args.login)));
        return Ok(Answer::No);
    };
    terminal::write(|out| params.write(args.format, out))?;
    // For people: a program that asks for another format knows what it asks for.
    let is_for_ever = args.login.sign_type == SignType::Sha256 && !params.password.is_empty();
    if is_for_ever && matches!(args.format, Format::Text) && !args.quiet {
        say(format_args!(
            "this password is of sign type 0 and valid for ever; with --sign-type 1 or 2 it is valid for about an hour"
        ));
    }
    Ok(Answer::Yes)
}

/// What is said of a device that the secrets file does not have.
pub(crate) fn not_found(args: &args::Login) -> String {
    let file = args.file().unwrap_or_default();
    format!("{}: device {} not found", shown(&file), args.device_id)
}

/// The timestamp to sign: the one given, or this hour's, if the sign type takes it.
fn stamp(sign_type: SignType, given: Option<Stamp>) -> Result<Stamp, Failure> {
    let Some(stamp) = given else { return this_hour() };
    if sign_type != SignType::Sha256 && Hour::parse(&stamp).is_none() {
        let (digit, found) = (char::from(sign_type.digit()), String::from_utf8_lossy(&stamp));
        return Err(Failure::new(format!(
            "--timestamp: expected a date of the calendar for sign type {digit}, found {found}"
        )));
    }
    Ok(stamp)
}

/// The hour that it is, which a device signs with.
pub(crate) fn this_hour() -> Result<Stamp, Failure> {
    let hour = Timestamp::now().strftime("%Y%m%d%H").to_string();
    hour.as_bytes()
        .try_into()
        .map_err(|_| Failure::new(format!("clock: expected a year of four digits, found {hour}")))
}

/// The password of a device of the secrets file, with warnings about the device.
fn password_of(device_id: &str, device: Device<'_>, key: &HourKey) -> String {
    if device.frozen {
        say(format_args!("warning: device {device_id} is frozen: its login will be refused"));
    }
    match device.credential {
        Credential::Secret { primary, .. } => key.password(primary),
        Credential::Certificate(_) => {
            say(format_args!("device {device_id} logs in by its certificate: it has no password"));
            String::new()
        }
    }
}

impl args::Login {
    /// The secrets file to take the secret from: the one given, or else that of the environment, unless the secret comes from
    /// standard input.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let by_environment = || secrets_file::by_environment().filter(|_| !self.secret_stdin);
        self.secrets_file.clone().or_else(by_environment)
    }
}

impl<'a> Params<'a> {
    /// The connection parameters of a device, with its secret from wherever it comes; `None` if the device is not in the
    /// secrets file.
    pub(crate) fn of(args: &'a args::Login) -> Result<Option<Self>, Failure> {
        let (unsigned, key) = Self::unsigned(args)?;
        let username = unsigned.username;
        let password = match &args.file() {
            None => key.password(&secret::given(username, args.secret_stdin)?),
            Some(file) => match secret::table(file)?.find(username.as_bytes()) {
                Some(device) => password_of(username, device, &key),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { password, ..unsigned }))
    }

    /// The connection parameters without a password, and the key that makes it.
    pub(crate) fn unsigned(args: &'a args::Login) -> Result<(Self, HourKey), Failure> {
        let username = args.device_id.as_str();
        if !line::is_device_id(username.as_bytes()) {
            // The text is not repeated: it may be `id:secret`, pasted from a secrets file.
            let expected = "expected 1 to 128 of A-Z a-z 0-9 _ -, found something else";
            return Err(Failure::new(format!("device id: {expected}")));
        }
        let stamp = stamp(args.sign_type, args.timestamp)?;
        let key = HourKey::new(args.sign_type, &stamp);
        let stamp = String::from_utf8_lossy(&stamp);
        let client_id = ClientId::format(username, args.sign_type, &stamp);
        Ok((Self { client_id, username, password: String::new() }, key))
    }

    /// Writes the parameters. None of them holds a quote: a device id has none, and the rest is made here.
    fn write(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        let Self { client_id, username, password } = self;
        match format {
            Format::Text => {
                writeln!(out, "ClientId: {client_id}\nUsername: {username}\nPassword: {password}")
            }
            Format::Json => writeln!(out, "{}", self.json()),
            Format::Shell => {
                writeln!(out, "MQTT_CLIENT_ID='{client_id}'")?;
                writeln!(out, "MQTT_USERNAME='{username}'")?;
                writeln!(out, "MQTT_PASSWORD='{password}'")
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        [
            ("clientId", self.client_id.as_str()),
            ("username", self.username),
            ("password", &self.password),
        ]
        .into_iter()
        .collect()
    }
}
