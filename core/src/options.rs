//! What did the operator ask for? The `plugin_opt_…` lines of `mosquitto.conf` as values.
//!
//! Every error is one line that names the option, what was found and what was expected.

use crate::login::{
    Policy, SignType,
    policy::{KeepAlive, OtherClients, SignTypes},
};
use std::{fmt, path::PathBuf, time::Duration};

/// A number of events within a time, such as `20/1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many events are allowed at once; at least 1.
    pub count: u32,
    /// The time after which all of them are forgotten.
    pub within: Duration,
}

/// The options of one instance of the plugin, as values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `secrets_file`: the path as given, relative to the broker's working directory.
    pub secrets_file: PathBuf,
    /// The options that a login is checked against.
    pub policy: Policy,
    /// `one_connection`: whether a login ends the device's earlier connection.
    pub one_connection: bool,
    /// `session_id`: how sessions are named.
    pub session_id: SessionId,
    /// `exact_connack_ports`, in the operator's order.
    pub exact_connack_ports: Vec<u16>,
    /// `reload_interval`, at least one second; `None` is `off`.
    pub reload_interval: Option<Duration>,
    /// `failure_limit`, for each address; `None` is `off`.
    pub failure_limit: Option<Limit>,
    /// `takeover_limit`, for each device; `None` is `off`.
    pub takeover_limit: Option<Limit>,
    /// `implicit_subscriptions`: whether devices get downstream messages without a SUBSCRIBE.
    pub implicit_subscriptions: bool,
    /// `stats_interval`, at least one second; `None` is `off`.
    pub stats_interval: Option<Duration>,
}

impl Default for Options {
    /// The default values. There is no default for the secrets file.
    fn default() -> Self {
        Self {
            secrets_file: PathBuf::new(),
            policy: Policy::default(),
            one_connection: true,
            session_id: SessionId::Client,
            exact_connack_ports: Vec::new(),
            reload_interval: None,
            failure_limit: None,
            takeover_limit: Some(Limit { count: 20, within: Duration::from_secs(60) }),
            implicit_subscriptions: true,
            stats_interval: None,
        }
    }
}

/// What the broker keys a device's session by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionId {
    /// The ClientId as sent, which changes every hour.
    Client,
    /// The device id: subscriptions and queued messages survive the hour.
    Device,
}

/// What is wrong with the options: the first error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionError {
    /// There is no such option.
    Unknown {
        /// The option's name, without `plugin_opt_`.
        name: String,
    },
    /// The option is given twice.
    Repeated {
        /// The option's name, without `plugin_opt_`.
        name: &'static str,
    },
    /// A required option is not given.
    Missing {
        /// The option's name, without `plugin_opt_`.
        name: &'static str,
    },
    /// The option does not take this value.
    Malformed {
        /// The option's name, without `plugin_opt_`.
        name: &'static str,
        /// The value as given, without surrounding blanks.
        found: String,
        /// What the option takes, as in [`Row::expected`].
        expected: &'static str,
    },
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => {
                write!(f, "plugin_opt_{}: unknown option, expected one of", Shown(name))?;
                for (n, rule) in RULES.iter().enumerate() {
                    write!(f, "{} {}", if n == 0 { "" } else { "," }, rule.name)?;
                }
                Ok(())
            }
            Self::Repeated { name } => write!(f, "plugin_opt_{name}: found twice, expected once"),
            Self::Missing { name } => write!(f, "plugin_opt_{name}: not found, but required"),
            Self::Malformed { name, found, expected } => {
                write!(
                    f,
                    "plugin_opt_{name}: expected {expected}, found \"{}\"",
                    found.escape_debug()
                )
            }
        }
    }
}

impl std::error::Error for OptionError {}

/// A text of the operator's, shown on one line and cut to a readable length.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LENGTH: usize = 100;
        for character in self.0.chars().take(LENGTH) {
            write!(f, "{}", character.escape_debug())?;
        }
        f.write_str(if self.0.chars().nth(LENGTH).is_some() { "..." } else { "" })
    }
}

/// One option: its texts, and how its value is read.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The option's name, without `plugin_opt_`.
    pub name: &'static str,
    /// The default value, as text; `None` if the option is required.
    pub default: Option<&'static str>,
    /// A valid value that is not the default.
    pub example: &'static str,
    /// The valid values, in an error's words.
    pub expected: &'static str,
    /// What the option does, for the README's table.
    pub help: &'static str,
    /// Reads a value into the options; `None` if it is not valid.
    read: fn(&str, &mut Options) -> Option<()>,
}

/// Every option, in the documents' order. [`Options::parse`], the tests of the README and of `mosquitto.conf.example`, and
/// the fuzzer's inputs use these rows. CONTRIBUTING.md lists what else a new option needs.
pub const OPTIONS: &[Row] = &[
    Row {
        name: "secrets_file",
        default: None,
        example: "/etc/mosquitto/iotda.secrets",
        expected: "the path of a file",
        help: "the devices and their secrets, see below",
        read: |value, options| {
            options.secrets_file = some_text(value)?.into();
            Some(())
        },
    },
    Row {
        name: "timestamp_max_age",
        default: Some("65m"),
        example: "15m",
        expected: "a duration like 90, 90s, 15m, 1h or 2d",
        help: "sign types 1 and 2: a login is refused when its timestamp is older; see \"The \
            hour\"",
        read: |value, options| {
            options.policy.timestamp_max_age = duration(value)?;
            Some(())
        },
    },
    Row {
        name: "timestamp_max_ahead",
        default: Some("1d"),
        example: "2d",
        expected: "unlimited, or a duration like 90, 90s, 15m, 1h or 2d",
        help: "sign types 1 and 2: a login is refused when its timestamp lies further ahead than \
            this, or `unlimited`",
        read: |value, options| {
            options.policy.timestamp_max_ahead = no_or("unlimited", value, duration)?;
            Some(())
        },
    },
    Row {
        name: "sign_types",
        default: Some("0,1,2"),
        example: "1, 2",
        expected: "some of 0, 1 and 2, separated by commas",
        help: "the sign types that may log in: 0 (HMAC-SHA256, no expiry), 1 (the timestamp must \
            be fresh), 2 (HMAC-SM3, likewise)",
        read: |value, options| {
            options.policy.sign_types = sign_types(value)?;
            Some(())
        },
    },
    Row {
        name: "keepalive",
        default: Some("30-1200"),
        example: "any",
        expected: "any, or a range of seconds like 30-1200, from 1 to 65535",
        help: "the accepted keep alive in seconds, or `any`; 0, which means none, is outside any \
            range",
        read: |value, options| {
            options.policy.keep_alive = keep_alive(value)?;
            Some(())
        },
    },
    Row {
        name: "other_clients",
        default: Some("refuse"),
        example: "defer",
        expected: "refuse or defer",
        help: "a client whose ClientId has not the IoTDA shape: `refuse`, or `defer` to the \
            broker's password file and other plugins",
        read: |value, options| {
            options.policy.other_clients = match value {
                "refuse" => OtherClients::Refuse,
                "defer" => OtherClients::Defer,
                _ => return None,
            };
            Some(())
        },
    },
    Row {
        name: "one_connection",
        default: Some("yes"),
        example: "no",
        expected: "yes or no",
        help: "a login of a device ends that device's earlier connection, although its ClientId \
            changes every hour; the will of that one is published, as when a broker takes a \
            session over",
        read: |value, options| {
            options.one_connection = yes_or_no(value)?;
            Some(())
        },
    },
    Row {
        name: "session_id",
        default: Some("client"),
        example: "device",
        expected: "client or device",
        help: "what the broker keys a device's session by: `client`, the ClientId as sent, or \
            `device`, the device id (Mosquitto 2.1 or later), so that queued messages and \
            subscriptions survive the hour",
        read: |value, options| {
            options.session_id = match value {
                "client" => SessionId::Client,
                "device" => SessionId::Device,
                _ => return None,
            };
            Some(())
        },
    },
    Row {
        name: "exact_connack_ports",
        default: Some("none"),
        example: "1883, 1884",
        expected: "none, or ports from 1 to 65535, separated by commas",
        help: "comma-separated ports of plain MQTT listeners: there every refusal carries the \
            platform's own code",
        read: |value, options| {
            options.exact_connack_ports = no_or("none", value, ports)?.unwrap_or_default();
            Some(())
        },
    },
    Row {
        name: "reload_interval",
        default: Some("off"),
        example: "10s",
        expected: "off, or a duration from 1s on, like 10s or 5m",
        help: "look this often whether the secrets file has changed, and load it again; from \
            `1s` on",
        read: |value, options| {
            options.reload_interval = no_or("off", value, interval)?;
            Some(())
        },
    },
    Row {
        name: "failure_limit",
        default: Some("off"),
        example: "20/1m",
        expected: "off, or a number and a duration like 20/1m",
        help: "`N/TIME`, like `20/1m`: after N different failed logins from one address within \
            TIME, its logins are answered `rate_limited` without being looked at; see \
            \"Limiting failures\"",
        read: |value, options| {
            options.failure_limit = no_or("off", value, limit)?;
            Some(())
        },
    },
    Row {
        name: "takeover_limit",
        default: Some("20/1m"),
        example: "5/10s",
        expected: "off, or a number and a duration like 20/1m",
        help: "`N/TIME` or `off`: after N logins of a device within TIME that each ended its own \
            live connection, its next ones are answered `rate_limited` and the live \
            connection stays: the device exists twice",
        read: |value, options| {
            options.takeover_limit = no_or("off", value, limit)?;
            Some(())
        },
    },
    Row {
        name: "implicit_subscriptions",
        default: Some("yes"),
        example: "no",
        expected: "yes or no",
        help: "a device that is logged in gets what is published to its downstream system topics, as \
            from the platform, without a SUBSCRIBE; see \"Topics\"",
        read: |value, options| {
            options.implicit_subscriptions = yes_or_no(value)?;
            Some(())
        },
    },
    Row {
        name: "stats_interval",
        default: Some("off"),
        example: "90",
        expected: "off, or a duration from 1s on, like 10s or 5m",
        help: "publish the counters below `$SYS/broker/iotda-auth/` this often; from `1s` on",
        read: |value, options| {
            options.stats_interval = no_or("off", value, interval)?;
            Some(())
        },
    },
];

/// What [`Options::parse`] needs of a row.
#[derive(Clone, Copy)]
struct Rule {
    name: &'static str,
    expected: &'static str,
    read: fn(&str, &mut Options) -> Option<()>,
}

/// Computed at compile time, so the other columns are not in the library.
#[allow(clippy::indexing_slicing)] // an index too large does not compile
static RULES: [Rule; OPTIONS.len()] = {
    let mut rules = [OPTIONS[0].rule(); OPTIONS.len()];
    let mut n = 1;
    while n < rules.len() {
        rules[n] = OPTIONS[n].rule();
        n += 1;
    }
    rules
};

impl Row {
    const fn rule(&self) -> Rule {
        Rule { name: self.name, expected: self.expected, read: self.read }
    }
}

impl Options {
    /// Reads the options: names without `plugin_opt_`, and values, whose surrounding blanks do not count.
    ///
    /// # Errors
    ///
    /// The first [`OptionError`].
    pub fn parse<'a>(
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, OptionError> {
        let mut reading = Reading::default();
        for (name, value) in given {
            reading.take(name, value)?;
        }
        reading.end()
    }

    /// Reads the options like [`Options::parse`], and goes on after an error.
    ///
    /// # Errors
    ///
    /// Every [`OptionError`], each with the position of the option among the given ones; `None` for one that is missing.
    /// Without the options that are wrong, the others are still read.
    pub fn parse_all<'a>(
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (Self, Vec<(Option<usize>, OptionError)>) {
        let mut reading = Reading::default();
        let mut errors = Vec::new();
        for (position, (name, value)) in given.into_iter().enumerate() {
            if let Err(error) = reading.take(name, value) {
                errors.push((Some(position), error));
            }
        }
        let options = reading.options.clone();
        if let Err(error) = reading.end() {
            // An option that is given with a wrong value is not missing too.
            let is_given = |(_, told): &(_, OptionError)| match (told, &error) {
                (OptionError::Malformed { name, .. }, OptionError::Missing { name: missing }) => {
                    name == missing
                }
                _ => false,
            };
            if !errors.iter().any(is_given) {
                errors.push((None, error));
            }
        }
        (options, errors)
    }

    /// Whether a value, which must be valid, is another one than the option's default. A required option has none, and is not
    /// asked about.
    #[must_use]
    pub fn differs(name: &str, value: &str) -> bool {
        let rule = RULES.iter().find(|rule| rule.name == name && name != "secrets_file");
        rule.is_some_and(|rule| {
            let mut options = Self::default();
            (rule.read)(value.trim(), &mut options);
            options != Self::default()
        })
    }

    /// Reads options as people write them: `timestamp_max_age=2h`, or `plugin_opt_timestamp_max_age` and then `2h`.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line.
    pub fn parse_words<'a>(
        secrets_file: &'a str,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let mut given = vec![("secrets_file", secrets_file)];
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let pair = word.split_once('=').or_else(|| Some((word, words.next()?)));
            let (name, value) = pair
                .ok_or_else(|| format!("{}: expected a value, found none", word.escape_debug()))?;
            given.push((name.strip_prefix("plugin_opt_").unwrap_or(name), value));
        }
        Self::parse(given).map_err(|error| error.to_string())
    }

    /// The names of all options, without `plugin_opt_`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        RULES.iter().map(|rule| rule.name)
    }
}

/// The options that have been read so far.
#[derive(Default)]
struct Reading {
    options: Options,
    /// Which options were given, in the order of [`OPTIONS`].
    seen: [bool; OPTIONS.len()],
}

impl Reading {
    fn take(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        let found = RULES.iter().zip(&mut self.seen).find(|(rule, _)| rule.name == name);
        let Some((&Rule { name, expected, read }, seen)) = found else {
            return Err(OptionError::Unknown { name: name.into() });
        };
        if std::mem::replace(seen, true) {
            return Err(OptionError::Repeated { name });
        }
        let value = value.trim();
        read(value, &mut self.options).ok_or_else(|| OptionError::Malformed {
            name,
            found: value.into(),
            expected,
        })
    }

    fn end(self) -> Result<Options, OptionError> {
        if self.options.secrets_file.as_os_str().is_empty() {
            return Err(OptionError::Missing { name: "secrets_file" });
        }
        Ok(self.options)
    }
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn some_text(value: &str) -> Option<&str> {
    (!value.is_empty()).then_some(value)
}

/// A word that switches something off (then the inner `None`), or a value; the outer `None` if it is neither.
fn no_or<T>(no: &str, value: &str, read: fn(&str) -> Option<T>) -> Option<Option<T>> {
    if value == no { Some(None) } else { read(value).map(Some) }
}

/// A number of ASCII digits, without a sign.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `90`, `90s`, `15m`, `1h` or `2d`, in seconds; `None` for any other text.
#[must_use]
pub fn duration(text: &str) -> Option<i64> {
    let (digits, unit) = match text.bytes().last()? {
        b's' => (text.strip_suffix('s')?, 1),
        b'm' => (text.strip_suffix('m')?, 60),
        b'h' => (text.strip_suffix('h')?, 3600),
        b'd' => (text.strip_suffix('d')?, 86_400),
        _ => (text, 1),
    };
    // More than 32 bits of a unit is a typo; larger values could overflow.
    i64::from(number::<u32>(digits)?).checked_mul(unit)
}

/// `N/TIME`: N events within a time.
fn limit(text: &str) -> Option<Limit> {
    let (count, within) = text.split_once('/')?;
    let count = number(count.trim()).filter(|count| *count > 0)?;
    Some(Limit { count, within: interval(within.trim())? })
}

/// The interval at which something is done: one second or more.
fn interval(text: &str) -> Option<Duration> {
    let seconds = u64::try_from(duration(text)?).ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn ports(text: &str) -> Option<Vec<u16>> {
    text.split(',').map(|item| number(item.trim()).filter(|port| *port > 0)).collect()
}

fn sign_types(text: &str) -> Option<SignTypes> {
    text.split(',').try_fold(SignTypes::NONE, |set, item| match item.trim().as_bytes() {
        [digit] => Some(set.with(SignType::from_digit(*digit)?)),
        _ => None,
    })
}

fn keep_alive(text: &str) -> Option<KeepAlive> {
    if text == "any" {
        return Some(KeepAlive::Any);
    }
    let (lowest, highest) = text.split_once('-')?;
    let (lowest, highest) = (number(lowest.trim())?, number(highest.trim())?);
    (1 <= lowest && lowest <= highest).then_some(KeepAlive::Within { lowest, highest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[(&str, &str)]) -> Result<Options, OptionError> {
        Options::parse([("secrets_file", "/s")].into_iter().chain(given.iter().copied()))
    }

    #[test]
    fn the_operator_need_name_no_more_than_the_file() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.secrets_file, PathBuf::from("/s"));
        assert_eq!(options.policy, Policy::default());
        assert_eq!(Some(options.policy.timestamp_max_age), duration("65m"));
        assert_eq!(options.policy.timestamp_max_ahead, duration("1d"));
    }

    #[test]
    fn the_defaults_are_those_of_the_table() {
        for row in OPTIONS {
            let Some(default) = row.default else { continue };
            assert_eq!(parse(&[(row.name, default)]), parse(&[]), "{}", row.name);
        }
    }

    #[test]
    fn an_option_that_is_given_may_be_the_default() {
        for row in OPTIONS.iter().filter(|row| row.default.is_some()) {
            assert!(!Options::differs(row.name, row.default.unwrap()), "{}", row.name);
            assert!(Options::differs(row.name, row.example), "{}", row.name);
        }
        for (name, value, expected) in [
            ("sign_types", "2, 1,0 ", false),
            ("timestamp_max_age", "3900s", false),
            ("keepalive", " 30 - 1200\t", false),
            ("takeover_limit", "20/60", false),
            ("takeover_limit", "20/61", true),
            ("secrets_file", "/s", false),
            ("unknown", "1", false),
        ] {
            assert_eq!(Options::differs(name, value), expected, "{name} {value}");
        }
    }

    #[test]
    fn the_examples_are_other_values() {
        for row in OPTIONS {
            let given = [("secrets_file", "/s"), (row.name, row.example)];
            let given = if row.default.is_none() { &given[1..] } else { &given[..] };
            let with = Options::parse(given.iter().copied());
            assert_ne!(with.unwrap(), parse(&[]).unwrap(), "{}", row.name);
        }
    }

    #[test]
    fn reads_every_option() {
        let policy = parse(&[
            ("timestamp_max_age", " 2h\t"),
            ("timestamp_max_ahead", "15m"),
            ("sign_types", "1, 0"),
            ("keepalive", "10 - 20"),
            ("other_clients", "defer"),
        ])
        .unwrap()
        .policy;
        assert_eq!(
            parse(&[("reload_interval", "5m")]).unwrap().reload_interval,
            Some(Duration::from_secs(300))
        );
        assert_eq!(parse(&[("reload_interval", "off")]).unwrap().reload_interval, None);
        let options = parse(&[
            ("one_connection", "no"),
            ("session_id", "device"),
            ("exact_connack_ports", "1883, 1884"),
        ])
        .unwrap();
        let limit = parse(&[("failure_limit", "20 / 1m")]).unwrap().failure_limit.unwrap();
        assert_eq!((limit.count, limit.within), (20, Duration::from_secs(60)));
        let limit = parse(&[("takeover_limit", "5/10s")]).unwrap().takeover_limit.unwrap();
        assert_eq!((limit.count, limit.within), (5, Duration::from_secs(10)));
        assert_eq!(parse(&[("takeover_limit", "off")]).unwrap().takeover_limit, None);
        let limit = parse(&[]).unwrap().takeover_limit.unwrap();
        assert_eq!((limit.count, limit.within), (20, Duration::from_secs(60)));
        assert_eq!(
            parse(&[("stats_interval", "10s")]).unwrap().stats_interval,
            Some(Duration::from_secs(10))
        );
        assert!(!options.one_connection);
        assert_eq!(options.session_id, SessionId::Device);
        assert_eq!(options.exact_connack_ports, [1883, 1884]);
        assert_eq!(policy.timestamp_max_age, 7200);
        assert_eq!(policy.timestamp_max_ahead, Some(900));
        assert!(
            policy.sign_types.contains(SignType::Sha256)
                && !policy.sign_types.contains(SignType::Sm3Timestamp)
        );
        assert_eq!(policy.keep_alive, KeepAlive::Within { lowest: 10, highest: 20 });
        assert_eq!(policy.other_clients, OtherClients::Defer);
        for (text, seconds) in
            [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172_800)]
        {
            assert_eq!(duration(text), Some(seconds), "{text}");
        }
        assert_eq!(keep_alive("any"), Some(KeepAlive::Any));
        assert_eq!(keep_alive("1-65535"), Some(KeepAlive::Within { lowest: 1, highest: 65535 }));
    }

    #[test]
    fn refuses_every_other_value() {
        for (name, values) in [
            (
                "timestamp_max_age",
                &[
                    "",
                    "h",
                    "1w",
                    "1 h",
                    "-1h",
                    "+1h",
                    "1.5h",
                    "1h30m",
                    "unlimited",
                    "4294967296",
                    "1H",
                    "１h",
                    "ٱ",
                ][..],
            ),
            ("timestamp_max_ahead", &["", "none", "-1", "1y"]),
            ("sign_types", &["", ",", "0,", "3", "01", "0 1", "a", "0,1,2,3"]),
            (
                "keepalive",
                &[
                    "",
                    "0-1200",
                    "30",
                    "30-",
                    "-30",
                    "1200-30",
                    "30-65536",
                    "30-1200s",
                    "Any",
                    "+30-1200",
                    "30–1200",
                ],
            ),
            ("other_clients", &["", "allow", "Refuse"]),
            (
                "failure_limit",
                &["", "20", "20/", "/1m", "0/1m", "20/0", "-1/1m", "20/1m/1m", "twenty/1m"],
            ),
            ("takeover_limit", &["", "20", "20/", "/1m", "0/1m", "20/0", "yes", "20:1m"]),
            ("stats_interval", &["", "0", "on"]),
            ("one_connection", &["", "true", "Yes", "1"]),
            ("session_id", &["", "device_id", "Client"]),
            (
                "exact_connack_ports",
                &["", "0", "all", "1883,", "65536", "1883 1884", "-1", "+1883", "1883,x"],
            ),
            ("reload_interval", &["", "0", "0s", "on", "Off", "-1s", "10 s"]),
        ] {
            for value in values {
                match parse(&[(name, value)]) {
                    Err(error @ OptionError::Malformed { .. }) => {
                        let message = error.to_string();
                        assert!(
                            message.contains(name) && message.contains("expected"),
                            "{message}"
                        );
                        assert!(!message.contains('\n'), "{message}");
                    }
                    other => panic!("{name} {value:?}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn refuses_unknown_repeated_and_missing_options() {
        let unknown = parse(&[("secret_file", "/s")]).unwrap_err();
        assert!(
            unknown.to_string().starts_with("plugin_opt_secret_file: unknown option"),
            "{unknown}"
        );
        assert!(unknown.to_string().contains("secrets_file, timestamp_max_age"), "{unknown}");
        let repeated = parse(&[("secrets_file", "/t")]).unwrap_err();
        let long = parse(&[("x".repeat(60_000).as_str(), "/s")]).unwrap_err().to_string();
        assert!(long.contains("xxx...: unknown option") && long.len() < 400, "{long}");
        assert_eq!(repeated.to_string(), "plugin_opt_secrets_file: found twice, expected once");
        let missing = Options::parse([]).unwrap_err();
        assert_eq!(missing.to_string(), "plugin_opt_secrets_file: not found, but required");
        assert!(matches!(
            Options::parse([("secrets_file", " ")]),
            Err(OptionError::Malformed { .. })
        ));
    }

    #[test]
    fn all_that_is_wrong_is_told_in_order() {
        let given =
            [("keepalive", "0"), ("sign_type", "1"), ("sign_types", "1"), ("sign_types", "2")];
        let (options, errors) = Options::parse_all(given);
        let expected = Options::parse(given[..1].iter().copied()).unwrap_err();
        assert_eq!(errors[0], (Some(0), expected));
        assert_eq!(errors[1], (Some(1), OptionError::Unknown { name: "sign_type".into() }));
        assert_eq!(errors[2], (Some(3), OptionError::Repeated { name: "sign_types" }));
        assert_eq!(errors[3], (None, OptionError::Missing { name: "secrets_file" }));
        assert_eq!(errors.len(), 4);
        assert!(!options.policy.sign_types.contains(SignType::Sha256));
        // A wrong value is not a missing one.
        let (_, errors) = Options::parse_all([("secrets_file", " ")]);
        assert!(matches!(errors[..], [(Some(0), OptionError::Malformed { .. })]), "{errors:?}");
    }

    proptest::proptest! {
        /// The first error is that of [`Options::parse`], and without an error the options are the same.
        #[test]
        fn parse_all_agrees_with_parse(
            given in proptest::collection::vec(
                (proptest::sample::select(vec!["secrets_file", "keepalive", "sign_types", "stats"]),
                 proptest::sample::select(vec!["any", "0,1", "", " /x "])), 0..5)
        ) {
            let (options, errors) = Options::parse_all(given.iter().copied());
            match Options::parse(given.iter().copied()) {
                Ok(parsed) => proptest::prop_assert_eq!((parsed, errors), (options, vec![])),
                Err(error) => proptest::prop_assert_eq!(&errors[0].1, &error),
            }
        }
    }

    #[test]
    fn a_word_stands_for_no_bound_and_for_no_limit() {
        for word in ["unlimited", " unlimited "] {
            let options = parse(&[("timestamp_max_ahead", word)]).unwrap();
            assert_eq!(options.policy.timestamp_max_ahead, None);
        }
        assert_eq!(parse(&[("takeover_limit", "off")]).unwrap().takeover_limit, None);
        for (name, word) in [("timestamp_max_ahead", "off"), ("takeover_limit", "unlimited")] {
            assert!(parse(&[(name, word)]).is_err(), "{name} {word}");
        }
    }

    #[test]
    fn an_unknown_name_is_shown_on_one_line_and_cut_only_if_it_is_long() {
        for (name, shown) in [
            ("x".into(), "x".into()),
            ("a\nb".into(), "a\\nb".into()),
            ("x".repeat(100), "x".repeat(100)),
            ("x".repeat(101), "x".repeat(100) + "..."),
        ] {
            let message = parse(&[(&name, "1")]).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("plugin_opt_{shown}: unknown option")),
                "{message}"
            );
            assert!(
                message.contains("expected one of secrets_file, timestamp_max_age"),
                "{message}"
            );
        }
    }
}
