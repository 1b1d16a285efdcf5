//! What was asked? The single definition of the command line: parsing, help, man page and completions all use it.

use crate::terminal::{Answer, Failure, Harmless};
use clap::{
    CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;
use iotda_core::login::{SignType, timestamp::Stamp};
use jiff::Timestamp;
use std::{ffi::OsString, path::PathBuf};

/// Makes and checks the logins of devices that were built for Huawei Cloud IoTDA.
#[derive(Debug, Parser)]
#[command(
    name = "iotda-auth",
    version,
    after_help = "Exit status: 0 yes, 1 no, 2 wrong usage or a file that cannot be read or written.\n\
                  A secret is never taken from the command line or the environment."
)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Print what a device sends in its CONNECT: ClientId, user name and password.
    ConnectParams(ConnectParams),
    /// Check a secrets file, or a broker's configuration with all that belongs to it.
    Check(Check),
    /// Show how the plugin answers a login, check by check, and what to do.
    Explain(Explain),
    /// Add a device with a new secret, which is shown once.
    Add(Add),
    /// Remove a device.
    Remove(Device),
    /// Give a device a new secret, which is shown once.
    ResetSecret(ResetSecret),
    /// Keep a device out, until it is unfrozen.
    Freeze(Device),
    /// Let a frozen device in again.
    Unfreeze(Device),
    /// List the devices, without their secrets.
    List(List),
    /// Add the devices of a CSV file, all or none.
    Import(Import),
    /// Print the man page of the tool, or of one of its commands.
    Man(Man),
    /// Print the completions for a shell.
    Completions(Completions),
}

/// The arguments of `connect-params`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --secrets-file and --secret-stdin the secret is asked for at the terminal."
)]
pub(crate) struct ConnectParams {
    /// The device id: 1 to 128 of A-Z a-z 0-9 _ -
    pub(crate) device_id: String,
    /// Take the secret from this secrets file
    #[arg(long, value_name = "FILE", conflicts_with = "secret_stdin")]
    pub(crate) secrets_file: Option<PathBuf>,
    /// Take the secret from the first line of standard input
    #[arg(long)]
    pub(crate) secret_stdin: bool,
    /// How the password is made: 0, 1 or 2
    ///
    /// 0 is what Huawei's own generator makes: HMAC-SHA256, and the timestamp is not looked at. 1 is the same, but the
    /// timestamp must be fresh when the device logs in. 2 is HMAC-SM3 with a fresh timestamp.
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "0",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(["0", "1", "2"]).try_map(sign_type)
    )]
    pub(crate) sign_type: SignType,
    /// The hour that the password is made with, in UTC [default: this hour]
    #[arg(long, value_name = "YYYYMMDDHH", value_parser = stamp)]
    pub(crate) timestamp: Option<Stamp>,
    /// How the parameters are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// How connection parameters are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Three lines: ClientId, Username and Password
    Text,
    /// One object with clientId, username and password
    Json,
    /// Assignments of MQTT_CLIENT_ID, MQTT_USERNAME and MQTT_PASSWORD
    Shell,
}

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --config, each finding is a line FILE:LINE: error or warning: what was found: what to do [id]. An error \
                  keeps the broker from starting. Exit status 1 for errors, 0 for warnings alone. The configuration is read as \
                  that version of the broker reads it; without --broker and without an installed broker as 2.0 and as 2.1, and \
                  what is an error in one of them only is a warning.\n\
                  Files are opened as the broker's user, if root runs this: that of --as, or else of user in the \
                  configuration, or else mosquitto."
)]
pub(crate) struct Check {
    /// The secrets file, or - for standard input
    #[arg(conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    /// Check a broker's configuration, and the secrets files that it names, as the broker would find them
    #[arg(long, value_name = "MOSQUITTO.CONF")]
    pub(crate) config: Option<PathBuf>,
    /// Open the files as this user
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// For which broker: a version like 2.0.21, or the path of the program [default: the one that is installed]
    #[arg(long, value_name = "VERSION")]
    pub(crate) broker: Option<String>,
    /// Count warnings as errors in the exit status
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print what --config can find, and what to do about each
    #[arg(long, exclusive = true)]
    pub(crate) list: bool,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    pub(crate) format: CheckFormat,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// A line for each, as compilers do
    Text,
    /// One object with findings, errors, warnings and devices
    Json,
}

/// The arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is not given counts as not sent by the client. The password is the HMAC that a device sends: who \
                        reads it can log in as the device until its hour is over, and for ever if it is of sign type 0. So \
                        take it with --password-stdin."
)]
pub(crate) struct Explain {
    /// The secrets file
    #[arg(long, value_name = "FILE", required_unless_present = "log_line")]
    pub(crate) secrets_file: Option<PathBuf>,
    /// A refusal's line from the broker's log, in place of all else
    ///
    /// The log has no password, so nothing is checked again: the steps are told as the line has them.
    #[arg(long, value_name = "LINE", exclusive = true)]
    pub(crate) log_line: Option<String>,
    /// The ClientId that is sent
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) client_id: Option<String>,
    /// The user name that is sent
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) username: Option<String>,
    /// The password that is sent; seen by every user of this machine and kept by the shell, unlike --password-stdin
    #[arg(long, value_name = "HEX", allow_hyphen_values = true, conflicts_with = "password_stdin")]
    pub(crate) password: Option<OsString>,
    /// Take the password from the first line of standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The client certificate that is shown in the TLS handshake, in PEM
    #[arg(long, value_name = "CERT")]
    pub(crate) certificate: Option<PathBuf>,
    /// The keep alive that is sent, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) keepalive: u16,
    /// When the login comes, like 2026-11-22T09:00:00Z [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    pub(crate) at: Option<Timestamp>,
    /// Options as in mosquitto.conf: plugin_opt_timestamp_max_age 2h, or timestamp_max_age=2h
    #[arg(value_name = "OPTION")]
    pub(crate) options: Vec<String>,
}

/// The arguments of `remove`, `freeze` and `unfreeze`.
#[derive(Debug, clap::Args)]
#[command(after_help = AT_ONCE)]
pub(crate) struct Device {
    /// The secrets file
    pub(crate) file: PathBuf,
    /// The device id
    pub(crate) device_id: String,
}

/// Where a new secret comes from.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct NewSecret {
    /// Take the secret from the first line of standard input
    #[arg(long)]
    pub(crate) secret_stdin: bool,
    /// Ask for the secret at the terminal, twice
    #[arg(long, conflicts_with = "secret_stdin")]
    pub(crate) secret_prompt: bool,
}

/// The arguments of `add`.
#[derive(Debug, clap::Args)]
#[command(after_help = ADDED)]
pub(crate) struct Add {
    /// The secrets file
    pub(crate) file: PathBuf,
    /// The device id: 1 to 128 of A-Z a-z 0-9 _ -
    pub(crate) device_id: String,
    #[command(flatten)]
    pub(crate) secret: NewSecret,
    /// Have the device log in by a certificate, in PEM, and not by a secret
    ///
    /// Given twice, either certificate will do. The SHA-256 fingerprints are put into the file, and printed.
    #[arg(long, value_name = "CERT", conflicts_with_all = ["secret_stdin", "secret_prompt"])]
    pub(crate) x509: Vec<PathBuf>,
    /// Make the secrets file if there is none, for its owner alone
    #[arg(long)]
    pub(crate) create: bool,
}

/// The arguments of `reset-secret`.
#[derive(Debug, clap::Args)]
#[command(after_help = MADE)]
pub(crate) struct ResetSecret {
    /// The secrets file
    pub(crate) file: PathBuf,
    /// The device id
    pub(crate) device_id: String,
    /// Set the second secret, and keep the first
    #[arg(long)]
    pub(crate) secondary: bool,
    #[command(flatten)]
    pub(crate) secret: NewSecret,
}

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A line for each device, in the order of the file: device id, secret or certificate, secondary=yes \
                  or no, frozen=yes or no."
)]
pub(crate) struct List {
    /// The secrets file
    pub(crate) file: PathBuf,
}

/// The arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The first line of the CSV file names its columns, in any order: device_id, and secret or x509 (one \
                  or two fingerprints, in place of the secret) or both, and where wanted secondary and frozen (true, \
                  false, yes, no, 1, 0 or empty). Separators are commas. With --update a column that is not there changes \
                  nothing, and an empty secondary or frozen takes the second secret or the freeze away. If any line \
                  is wrong, all wrong lines are told and nothing is changed."
)]
pub(crate) struct Import {
    /// The secrets file
    pub(crate) file: PathBuf,
    /// The CSV file, or - for standard input
    pub(crate) csv: PathBuf,
    /// Change the devices that are there already, which else are errors
    #[arg(long)]
    pub(crate) update: bool,
    /// Check everything and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make the secrets file if there is none, for its owner alone
    #[arg(long)]
    pub(crate) create: bool,
}

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// One of the commands [default: the tool]
    pub(crate) command: Option<String>,
}

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

const AT_ONCE: &str = "The broker takes the change at its next reload.";
const ADDED: &str = "Without --secret-stdin, --secret-prompt and --x509 a secret of 32 characters is made, and printed on \
                     standard output once. The broker takes the change at its next reload.";
const MADE: &str = "Without --secret-stdin and --secret-prompt a secret of 32 characters is made, and printed on standard \
                    output once. The broker takes the change at its next reload.";

/// The definition itself.
pub(crate) fn definition() -> clap::Command {
    CommandLine::command()
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Verb, clap::Error> {
    CommandLine::try_parse().map(|line| line.verb)
}

/// The answer to a command line that asks for help or cannot be parsed.
pub(crate) fn answer(mut error: clap::Error) -> Result<Answer, Failure> {
    if !error.use_stderr() {
        // It is not an error if nobody reads the help.
        let _ = error.print();
        return Ok(Answer::Yes);
    }
    hide_stray_values(&mut error);
    let text = error.render().to_string();
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("expected a command, found none\n\n{text}")
        }
        _ => text.strip_prefix("error: ").unwrap_or(&text).into(),
    };
    // An argument may hold control sequences for the terminal; the line breaks are clap's.
    let lines: Vec<String> =
        text.trim_end().split('\n').map(|line| Harmless(line).to_string()).collect();
    Err(Failure::new(lines.join("\n")))
}

/// Removes a superfluous argument from an error: it may be a secret, and errors end up in logs.
fn hide_stray_values(error: &mut clap::Error) {
    let hidden = || ContextValue::String("***".into());
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(argument)))
            if !argument.starts_with('-') =>
        {
            error.insert(ContextKind::InvalidArg, hidden());
        }
        (ErrorKind::TooManyValues, _) => {
            error.insert(ContextKind::InvalidValue, hidden());
        }
        _ => {}
    }
}

fn sign_type(text: String) -> Result<SignType, &'static str> {
    let expected = "expected 0, 1 or 2";
    match text.as_bytes() {
        [digit] => SignType::from_digit(*digit).ok_or(expected),
        _ => Err(expected),
    }
}

fn stamp(text: &str) -> Result<Stamp, &'static str> {
    match text.as_bytes().try_into() {
        Ok(stamp) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(stamp),
        _ => Err("expected ten digits, YYYYMMDDHH"),
    }
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    text.parse().map_err(|_| "expected an instant like 2026-11-22T09:00:00Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn no_argument_takes_a_secret() {
        for verb in CommandLine::command().get_subcommands() {
            for argument in verb.get_arguments() {
                let name = argument.get_id().as_str();
                let takes_a_value = argument.get_action().takes_values();
                assert!(!(name == "secret" || name == "secret_stdin" && takes_a_value), "{name}");
                assert!(!argument.is_global_set(), "{name}");
            }
        }
    }
}
