//! What was asked? The single definition of the command line: parsing, help, man page and completions all use it.

#[cfg(feature = "follow")]
use crate::follow::{
    journal::LogFormat,
    sql::{TableName, name as sql_name, table_name},
};
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
#[cfg(feature = "follow")]
use {iotda_core::options::duration, std::time::Duration};

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
    /// Check a secrets file: every error with its line, or the number of devices.
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
    /// Keep the secrets file equal to a table in PostgreSQL.
    #[cfg(feature = "follow")]
    Follow(Follow),
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
pub(crate) struct Check {
    /// The secrets file
    pub(crate) file: PathBuf,
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

/// The arguments of `follow`.
#[cfg(feature = "follow")]
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The connection string is PostgreSQL's own, with the password: postgresql://USER:PASSWORD@HOST/DATABASE, or \
                  host=… user=… password=…; several hosts are tried in turn. sslmode is verify-full, or disable; \
                  verify-full is the default for a host that is not this machine. sslrootcert names the authority's \
                  file, and else the system's authorities count. TIME is 90, 90s, 15m or 1h.\n\
                  Exit status: 1 if the table must not be published until somebody has looked at it."
)]
pub(crate) struct Follow {
    /// The file with the connection string
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["print_sql", "print_rows"]
    )]
    pub(crate) dsn_file: Option<PathBuf>,
    /// The secrets file that is kept
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["print_sql", "print_rows"]
    )]
    pub(crate) out: Option<PathBuf>,
    /// The table or view with the devices
    #[arg(long, value_name = "SCHEMA.TABLE", default_value = "iotda.device", value_parser = table_name)]
    pub(crate) table: TableName,
    /// The publication that the table is in
    #[arg(long, value_name = "NAME", default_value = "iotda_auth", value_parser = sql_name)]
    pub(crate) publication: String,
    /// Read the table once, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Read the whole table at an interval, although the changes could be had
    #[arg(long)]
    pub(crate) snapshots: bool,
    /// Where only the whole table can be had: how often it is read
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    pub(crate) snapshot_interval: Duration,
    /// The least pause between two writes of the file
    ///
    /// The pause grows with the table, so that the brokers are not kept busy: 1.2 s at a million devices.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) min_interval: Duration,
    /// How far the number of devices may fall at once, in percent
    ///
    /// Ten devices may always go. Nothing is published if more do, or all.
    #[arg(
        long,
        value_name = "PERCENT",
        default_value = "10",
        value_parser = clap::value_parser!(u64).range(0..=100)
    )]
    pub(crate) max_shrink: u64,
    /// Give a connection up if the database does not answer for this long
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    pub(crate) answer_timeout: Duration,
    /// Replace a secrets file that a follower has not made
    #[arg(long)]
    pub(crate) adopt: bool,
    /// Publish from a server whose history ends before that of the file
    #[arg(long)]
    pub(crate) accept_older: bool,
    /// Keep this file equal to the state of the follower, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) status: Option<PathBuf>,
    /// How the lines of the log look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Print the SQL that sets a database up
    #[arg(long, conflicts_with = "print_rows")]
    pub(crate) print_sql: bool,
    /// Print the devices of a secrets file as SQL, for psql
    #[arg(long, value_name = "FILE")]
    pub(crate) print_rows: Option<PathBuf>,
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

#[cfg(feature = "follow")]
fn time(text: &str) -> Result<Duration, &'static str> {
    let seconds = duration(text).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map(Duration::from_secs).ok_or("expected a time like 90s, 15m or 1h")
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
