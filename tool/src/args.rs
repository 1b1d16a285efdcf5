//! What was asked? The single definition of the command line: parsing, help, man page and completions all use it.

#[cfg(feature = "follow")]
use crate::follow::{
    journal::LogFormat,
    sql::{TableName, name as sql_name, table_name},
};
use crate::{
    completion,
    import::Choice,
    manual, mqtt,
    secrets_file::VARIABLE,
    terminal::{Answer, Failure, Harmless},
};
use clap::{
    CommandFactory, Parser, Subcommand, ValueEnum, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate, Shell};
use iotda_core::{
    login::{SignType, timestamp::Stamp},
    options::duration,
};
use jiff::Timestamp;
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Makes and checks the logins of devices that were built for Huawei Cloud IoTDA.
#[derive(Debug, Parser)]
#[command(
    name = "iotda-auth",
    version = iotda_core::VERSION,
    after_help = after_help()
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
    /// Log in at a broker as a device, and say what it answers.
    Probe(Probe),
    /// Log many devices in at a broker and keep them there, as a fleet does, and count what happens.
    Simulate(Simulate),
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
    /// Give a device that logs in by certificate a new one, whose fingerprint is printed.
    SetCertificate(SetCertificate),
    /// Keep a device out, until it is unfrozen.
    Freeze(Device),
    /// Let a frozen device in again.
    Unfreeze(Device),
    /// List the devices, without their secrets.
    List(List),
    /// Add the devices of a CSV or JSON file, all or none.
    Import(Import),
    /// Keep the secrets file equal to a table in PostgreSQL.
    #[cfg(feature = "follow")]
    Follow(Follow),
    /// Say where the web page is that makes and explains logins, or open it.
    Page(Page),
    /// Make an authority for tests of TLS, and a certificate for the broker that it signs.
    TestCertificates(TestCertificates),
    /// Print the man page of the tool, of one of its commands, or of the secrets file.
    Man(Man),
    /// Print the completions for a shell.
    Completions(Completions),
}

/// The arguments of `connect-params`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --secret-stdin and a secrets file the secret is asked for at the terminal."
)]
pub(crate) struct ConnectParams {
    #[command(flatten)]
    pub(crate) login: Login,
    /// How the parameters are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Do not say that a password of sign type 0 is valid for ever
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// What a device's connection parameters are made of.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The device id: 1 to 128 of A-Z a-z 0-9 _ -
    #[arg(add = ArgValueCompleter::new(completion::device))]
    pub(crate) device_id: String,
    /// Take the secret from this secrets file [default: IOTDA_SECRETS_FILE]
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
}

/// The arguments of `probe`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 the device is let in, 1 it is refused, 2 no broker answers, or wrong usage.\n\
                  It logs in, waits for the answer to a PINGREQ, and leaves. While it is logged in, the device's other \
                  connection is ended (one_connection): give a health check a device of its own.\n\
                  Without a secrets file, --secret-stdin and --cert the secret is asked for at the terminal."
)]
pub(crate) struct Probe {
    #[command(flatten)]
    pub(crate) login: Login,
    #[command(flatten)]
    pub(crate) broker: Broker,
    /// The device's certificate, in PEM, for a listener with require_certificate
    #[arg(long, value_name = "CERT", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, value_name = "KEY", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// How long all of it may take, like 5s or 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = timeout)]
    pub(crate) timeout: Duration,
    /// How the result is printed; in JSON, one object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Print nothing if the device is let in, and one line on standard error if not
    #[arg(long, short, conflicts_with = "format")]
    pub(crate) quiet: bool,
}

/// The arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 every device was let in and none was refused, and with --once each has answered a command; 1 \
                  not so; 2 no broker ever answered, or wrong usage.\n\
                  A device reports a property, answers commands, property sets and property gets, which it gets without a \
                  SUBSCRIBE, and comes back after 1 to 30 seconds if it is refused or disconnected. Devices that are frozen or \
                  log in by a certificate are left out. For your own broker: each login ends the device's other connection \
                  (one_connection). Ctrl-C ends it with the report, a second one at once."
)]
pub(crate) struct Simulate {
    /// The secrets file with the devices, or - for standard input [default: IOTDA_SECRETS_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) devices: Option<PathBuf>,
    /// How many log in, from the first of the file on [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_FLEET))]
    pub(crate) count: Option<u32>,
    /// How many log in each second, counting those that come back
    #[arg(long, value_name = "R", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// How the passwords are made: 0, 1 or 2, or several, which the devices take in turn
    #[arg(
        long,
        value_name = "TYPES",
        default_value = "1",
        value_delimiter = ',',
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(["0", "1", "2"]).try_map(sign_type)
    )]
    pub(crate) sign_type: Vec<SignType>,
    /// How often each device reports a property [default: 30s; with --once 2s]
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    pub(crate) report_every: Option<Duration>,
    /// How long it takes [default: until it is interrupted; with --once 1m]
    #[arg(long, value_name = "TIME", value_parser = long_time)]
    pub(crate) duration: Option<Duration>,
    /// Each device leaves once it has answered a command
    ///
    /// A device that is refused does not try again.
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) broker: Broker,
    /// How the report is printed; in JSON, one object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Tell no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// The largest fleet: each device has a thread and a port of this machine.
pub(crate) const MAX_FLEET: i64 = 20_000;

/// Where a broker is, and how it is spoken to.
#[derive(Debug, clap::Args)]
pub(crate) struct Broker {
    /// The broker's name or address
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    pub(crate) host: String,
    /// The listener's port [default: 1883, or 8883 with TLS]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Speak TLS, and trust the authorities that this system trusts
    #[arg(long)]
    pub(crate) tls: bool,
    /// Speak TLS, and trust the authorities of this PEM file alone
    #[arg(long, value_name = "FILE", conflicts_with = "tls")]
    pub(crate) cafile: Option<PathBuf>,
    /// The name that the broker's certificate must have [default: the host]
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,
    /// The version of MQTT
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = mqtt::Version::V3_1_1)]
    pub(crate) mqtt: mqtt::Version,
    /// The keep alive that is sent, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) keepalive: u16,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Lines for people
    Text,
    /// JSON, for programs
    Json,
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
    /// The secrets file, or - for standard input [default: IOTDA_SECRETS_FILE]
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
    ///
    /// As text, a line for each, as compilers do; in JSON, one object with findings, errors, warnings and devices.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
}

/// The arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is not given counts as not sent by the client. The password is the HMAC that a device sends: who \
                        reads it can log in as the device until its hour is over, and for ever if it is of sign type 0. So \
                        take it with --password-stdin."
)]
pub(crate) struct Explain {
    /// The secrets file [default: IOTDA_SECRETS_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets_file: Option<PathBuf>,
    /// A refusal's line from the broker's log, in place of all else; - reads it from standard input
    ///
    /// The log has no password, so nothing is checked again: the steps are told as the line has them.
    #[arg(
        long,
        value_name = "LINE",
        allow_hyphen_values = true,
        conflicts_with_all = [
            "secrets_file", "client_id", "username", "password", "password_stdin", "certificate", "keepalive", "at",
            "options",
        ]
    )]
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
    /// How the explanation is printed; in JSON, one object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Options as in mosquitto.conf: plugin_opt_timestamp_max_age 2h, or timestamp_max_age=2h
    #[arg(value_name = "OPTION")]
    pub(crate) options: Vec<String>,
}

/// A device of a secrets file, for the commands that change one.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Target {
    /// The secrets file [default: IOTDA_SECRETS_FILE]
    #[arg(add = ArgValueCompleter::new(completion::file_or_device))]
    pub(crate) file: Option<PathBuf>,
    /// The device id: 1 to 128 of A-Z a-z 0-9 _ -
    #[arg(add = ArgValueCompleter::new(completion::device))]
    pub(crate) device_id: String,
}

/// The arguments of `remove`, `freeze` and `unfreeze`.
#[derive(Debug, clap::Args)]
#[command(after_help = AT_ONCE)]
pub(crate) struct Device {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) say: Say,
}

/// How much is said.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Say {
    /// Do not say what was done and what remains to be done
    #[arg(long, short)]
    pub(crate) quiet: bool,
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
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) secret: NewSecret,
    /// Have the device log in by a certificate, and not by a secret: a PEM file, or a fingerprint
    ///
    /// Given twice, either certificate will do. The fingerprints are put into the file, and printed: SHA-256 of a file, and
    /// SHA-256 or SHA-1, with or without colons, if given.
    #[arg(
        long,
        value_name = "CERT",
        value_hint = ValueHint::FilePath,
        conflicts_with_all = ["secret_stdin", "secret_prompt"]
    )]
    pub(crate) x509: Vec<OsString>,
    /// Make the secrets file if there is none
    ///
    /// It is for its owner alone, unless root makes it in a folder of the broker's configuration: then the broker's group may
    /// read it.
    #[arg(long)]
    pub(crate) create: bool,
    #[command(flatten)]
    pub(crate) say: Say,
}

/// The arguments of `reset-secret`.
#[derive(Debug, clap::Args)]
#[command(after_help = MADE)]
pub(crate) struct ResetSecret {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Set the second secret, and keep the first
    #[arg(long)]
    pub(crate) secondary: bool,
    /// Take the second secret away, and keep the first
    #[arg(long, conflicts_with_all = ["secondary", "secret_stdin", "secret_prompt"])]
    pub(crate) drop_secondary: bool,
    #[command(flatten)]
    pub(crate) secret: NewSecret,
    #[command(flatten)]
    pub(crate) say: Say,
}

/// The arguments of `set-certificate`. Of its names, the first may be left out; the definition of a command line can say that
/// of one of two names, but not of three.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "iotda-auth set-certificate [OPTIONS] [FILE] <DEVICE_ID> <CERT>\n       \
                      iotda-auth set-certificate [OPTIONS] [FILE] <DEVICE_ID> --drop-secondary",
    after_help = "A certificate is a PEM file, or a fingerprint: SHA-256 or SHA-1, with or without colons. The other of the \
                  device's two certificates stays. The broker takes the change at its next reload."
)]
pub(crate) struct SetCertificate {
    /// The secrets file [default: IOTDA_SECRETS_FILE]
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(completion::file_or_device))]
    pub(crate) first: Option<OsString>,
    /// The device id: 1 to 128 of A-Z a-z 0-9 _ -
    #[arg(value_name = "DEVICE_ID", add = ArgValueCompleter::new(completion::device_or_certificate))]
    pub(crate) second: Option<OsString>,
    /// The certificate
    #[arg(value_name = "CERT", value_hint = ValueHint::FilePath)]
    pub(crate) third: Option<OsString>,
    /// Set the second certificate, and keep the first
    #[arg(long)]
    pub(crate) secondary: bool,
    /// Take the second certificate away, and keep the first
    #[arg(long, conflicts_with = "secondary")]
    pub(crate) drop_secondary: bool,
    #[command(flatten)]
    pub(crate) say: Say,
}

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A line for each device, in the order of the file: device id, secret or certificate, secondary=yes \
                  or no, frozen=yes or no. As JSON, an array with an object for each device: device_id, credential (secret \
                  or certificate), secondary, frozen, and the fingerprints of a certificate."
)]
pub(crate) struct List {
    /// The secrets file, or - for standard input [default: IOTDA_SECRETS_FILE]
    pub(crate) file: Option<PathBuf>,
    /// How the devices are printed
    ///
    /// As text, a line for each; in JSON, an array with an object for each.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
}

/// The arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Takes CSV whose first line names the columns (commas, semicolons or tabs; UTF-8, or UTF-16 with a byte \
                  order mark), the console's key files, and the platform's answers in JSON: one object, a list, devices: \
                  [...], or one object after the other. Columns: device_id; secret or x509 (one or two fingerprints, in \
                  place of the secret); where wanted secondary, secondary_fingerprint, frozen (true, false, yes, no, 1, 0 \
                  or empty), status, auth_type, gateway_id. Their usual names are known, in any case and in Chinese; \
                  other columns are left aside. How the file was read is told on standard error. With --update a column \
                  that is not there changes nothing, and an empty secondary or frozen takes the second secret or the \
                  freeze away. If any device is wrong, all wrong ones are told and nothing is changed."
)]
pub(crate) struct Import {
    /// The secrets file [default: IOTDA_SECRETS_FILE]
    pub(crate) file: Option<PathBuf>,
    /// A CSV or JSON file, a folder of them, or - for standard input
    #[arg(value_name = "DEVICES")]
    pub(crate) from: PathBuf,
    /// Change the devices that are there already, which else are errors
    #[arg(long)]
    pub(crate) update: bool,
    /// Check everything and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make the secrets file if there is none
    ///
    /// It is for its owner alone, unless root makes it in a folder of the broker's configuration: then the broker's group may
    /// read it.
    #[arg(long)]
    pub(crate) create: bool,
    /// Take this column, or key of JSON, as NAME: secret=psk; or leave it aside: ignore=psk
    #[arg(long, value_name = "NAME=COLUMN")]
    pub(crate) column: Vec<Choice>,
    /// How the result is printed
    ///
    /// As text, a line with the numbers, and all else on standard error; in JSON, one object, with the errors and how the files
    /// were read.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) say: Say,
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

/// The arguments of `page`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The page is one HTML file that works without a network: it makes ClientId, Username and Password, and explains \
                  logins and lines of the log. What is typed there stays there."
)]
pub(crate) struct Page {
    /// Open it in the browser that this system prefers
    #[arg(long)]
    pub(crate) open: bool,
}

/// The arguments of `test-certificates`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "In the folder: ca.crt, which clients trust; server.crt and server.key, for certfile and keyfile of a listener. \
                  The keys are of P-256, and the authority's own is not kept. For tests, not for the field."
)]
pub(crate) struct TestCertificates {
    /// The folder, which must be there
    pub(crate) folder: PathBuf,
    /// The names and addresses that clients connect to
    #[arg(value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    pub(crate) names: Vec<String>,
    /// How long they are valid
    #[arg(long, value_name = "DAYS", default_value_t = 825)]
    pub(crate) days: u16,
    #[command(flatten)]
    pub(crate) say: Say,
}

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// One of the commands, or iotda.secrets for the file's format [default: the tool]
    #[arg(value_name = "PAGE", add = ArgValueCandidates::new(pages))]
    pub(crate) page: Option<String>,
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

/// What each exit status means, for every command.
pub(crate) const EXIT_STATUS: [(&str, &str); 3] = [
    ("0", "yes, or the change is made"),
    (
        "1",
        "no: a device that is not there or is there already, a login that is refused, a secrets file or an import that is not in order",
    ),
    ("2", "wrong usage, or a file that cannot be read, written or locked"),
];

fn after_help() -> String {
    let statuses = EXIT_STATUS.map(|(status, meaning)| format!("  {status}  {meaning}\n")).concat();
    format!(
        "Exit status of every command:\n{statuses}\n\
         A secret is never taken from the command line or the environment.\n\
         Where no secrets file is given, it is the one that {VARIABLE} in the environment names."
    )
}

/// The names of the man pages, for completions.
fn pages() -> Vec<CompletionCandidate> {
    manual::pages().into_iter().map(CompletionCandidate::new).collect()
}

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

fn timeout(text: &str) -> Result<Duration, &'static str> {
    match duration(text).and_then(|seconds| u64::try_from(seconds).ok()) {
        Some(seconds @ 1..=MAX_TIMEOUT) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a time of 1s to 1h, like 5s or 1m"),
    }
}

fn long_time(text: &str) -> Result<Duration, &'static str> {
    match duration(text).and_then(|seconds| u64::try_from(seconds).ok()) {
        Some(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a time, like 90s, 15m or 2d"),
    }
}

/// The longest time to wait, in seconds.
const MAX_TIMEOUT: u64 = 3600;

#[cfg(feature = "follow")]
fn time(text: &str) -> Result<Duration, &'static str> {
    let seconds = duration(text).and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map(Duration::from_secs).ok_or("expected a time like 90s, 15m or 1h")
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    text.parse().map_err(|_| "expected an instant like 2026-11-22T09:00:00Z")
}

/// The arguments of `simulate`, as the command line has them.
#[cfg(test)]
pub(crate) fn simulate(words: &[&str]) -> Simulate {
    let words = ["iotda-auth", "simulate"].into_iter().chain(words.iter().copied());
    match CommandLine::try_parse_from(words).map(|line| line.verb) {
        Ok(Verb::Simulate(args)) => args,
        other => panic!("{other:?}"),
    }
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
