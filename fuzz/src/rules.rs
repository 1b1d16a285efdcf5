//! What the options mean, by splitting and with numbers that have no end.

use crate::input::Input;
use iotda_core::{
    login::{
        Policy, SignType,
        policy::{KeepAlive, OtherClients, SignTypes},
    },
    options::{Options, SessionId},
};

/// The rules that a login is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub max_age: i64,
    pub max_ahead: Option<i64>,
    /// Their digits.
    pub sign_types: Vec<u8>,
    pub keep_alive: Option<(u16, u16)>,
    pub defers_others: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_age: 3900,
            max_ahead: Some(86_400),
            sign_types: b"012".to_vec(),
            keep_alive: Some((30, 1200)),
            defers_others: false,
        }
    }
}

impl Rules {
    pub fn choose(input: &mut Input<'_>) -> Self {
        if !input.flag() {
            return Self::default();
        }
        let seconds = |input: &mut Input<'_>| {
            let unit = input.pick([1, 60, 3600, 86_400]);
            let few = i64::from(input.byte());
            unit * if input.flag() { i64::from(input.long()) } else { few }
        };
        let max_age = seconds(input);
        let max_ahead = input.flag().then(|| seconds(input));
        let set = input.byte();
        let sign_types = (0..3).filter(|bit| set >> bit & 1 == 1).map(|bit| b'0' + bit).collect();
        let (one, other) = (input.short().max(1), input.short().max(1));
        let keep_alive = input.flag().then(|| (one.min(other), one.max(other)));
        Self { max_age, max_ahead, sign_types, keep_alive, defers_others: input.flag() }
    }

    /// The same for the crate.
    pub fn policy(&self) -> Policy {
        let sign_types = self.sign_types.iter().filter_map(|digit| SignType::from_digit(*digit));
        Policy {
            timestamp_max_age: self.max_age,
            timestamp_max_ahead: self.max_ahead,
            sign_types: sign_types.fold(SignTypes::NONE, SignTypes::with),
            keep_alive: match self.keep_alive {
                None => KeepAlive::Any,
                Some((lowest, highest)) => KeepAlive::Within { lowest, highest },
            },
            other_clients: match self.defers_others {
                true => OtherClients::Defer,
                false => OtherClients::Refuse,
            },
        }
    }
}

/// All options, as the operator means them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub secrets_file: String,
    pub rules: Rules,
    pub many_connections: bool,
    pub sessions_by_device: bool,
    pub exact_ports: Vec<u16>,
    pub reload_seconds: Option<u64>,
    pub failure_limit: Option<(u32, u64)>,
    pub takeover_limit: Option<(u32, u64)>,
    /// Devices get what they have subscribed to themselves, and no more.
    pub leaves_subscribing: bool,
    pub stats_seconds: Option<u64>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            secrets_file: String::new(),
            rules: Rules::default(),
            many_connections: false,
            sessions_by_device: false,
            exact_ports: Vec::new(),
            reload_seconds: None,
            failure_limit: None,
            takeover_limit: Some((20, 60)),
            leaves_subscribing: false,
            stats_seconds: None,
        }
    }
}

impl Wanted {
    /// `None` if something is wrong with the options.
    pub fn from(given: &[(String, String)]) -> Option<Self> {
        let mut wanted = Self::default();
        for (at, (name, value)) in given.iter().enumerate() {
            if given[..at].iter().any(|(earlier, _)| earlier == name) {
                return None;
            }
            wanted.set(name, value.trim())?;
        }
        (!wanted.secrets_file.is_empty()).then_some(wanted)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let off_or_seconds = |value| match value {
            "off" => Some(None),
            _ => seconds(value).filter(|seconds| *seconds > 0).map(Some),
        };
        let rules = &mut self.rules;
        match name {
            "secrets_file" => {
                self.secrets_file = Some(value.to_string()).filter(|path| !path.is_empty())?;
            }
            "timestamp_max_age" => rules.max_age = i64::try_from(seconds(value)?).ok()?,
            "timestamp_max_ahead" if value == "unlimited" => rules.max_ahead = None,
            "timestamp_max_ahead" => rules.max_ahead = Some(i64::try_from(seconds(value)?).ok()?),
            "sign_types" => {
                let digits: Option<Vec<u8>> = value
                    .split(',')
                    .map(|item| {
                        ["0", "1", "2"].contains(&item.trim()).then(|| item.trim().as_bytes()[0])
                    })
                    .collect();
                rules.sign_types = digits?;
            }
            "keepalive" if value == "any" => rules.keep_alive = None,
            "keepalive" => {
                let (lowest, highest) = value.split_once('-')?;
                let bound =
                    |text: &str| number(text.trim(), 65_535).and_then(|n| u16::try_from(n).ok());
                let range = (bound(lowest)?, bound(highest)?);
                rules.keep_alive =
                    Some(range).filter(|(lowest, highest)| 0 < *lowest && lowest <= highest);
                rules.keep_alive?;
            }
            "other_clients" => rules.defers_others = either(value, "refuse", "defer")?,
            "one_connection" => self.many_connections = either(value, "yes", "no")?,
            "session_id" => self.sessions_by_device = either(value, "client", "device")?,
            "exact_connack_ports" if value == "none" => self.exact_ports = Vec::new(),
            "exact_connack_ports" => {
                let port = |item: &str| {
                    let port = number(item.trim(), 65_535).filter(|port| *port > 0)?;
                    u16::try_from(port).ok()
                };
                self.exact_ports = value.split(',').map(port).collect::<Option<_>>()?;
            }
            "reload_interval" => self.reload_seconds = off_or_seconds(value)?,
            "failure_limit" => self.failure_limit = off_or_limit(value)?,
            "takeover_limit" => self.takeover_limit = off_or_limit(value)?,
            "implicit_subscriptions" => self.leaves_subscribing = either(value, "yes", "no")?,
            "stats_interval" => self.stats_seconds = off_or_seconds(value)?,
            // An option that changes nothing here is right where the crate says so.
            _ => {
                Options::parse([("secrets_file", "/s"), (name, value)]).ok()?;
            }
        }
        Some(())
    }

    /// What the crate has read, in these terms.
    pub fn of(options: &Options) -> Self {
        let policy = &options.policy;
        let digits = [SignType::Sha256, SignType::Sha256Timestamp, SignType::Sm3Timestamp]
            .into_iter()
            .filter(|sign_type| policy.sign_types.contains(*sign_type))
            .map(SignType::digit);
        Self {
            secrets_file: options.secrets_file.to_string_lossy().into(),
            rules: Rules {
                max_age: policy.timestamp_max_age,
                max_ahead: policy.timestamp_max_ahead,
                sign_types: digits.collect(),
                keep_alive: match policy.keep_alive {
                    KeepAlive::Any => None,
                    KeepAlive::Within { lowest, highest } => Some((lowest, highest)),
                },
                defers_others: policy.other_clients == OtherClients::Defer,
            },
            many_connections: !options.one_connection,
            sessions_by_device: options.session_id == SessionId::Device,
            exact_ports: options.exact_connack_ports.clone(),
            reload_seconds: options.reload_interval.map(|interval| interval.as_secs()),
            failure_limit: options.failure_limit.map(|limit| (limit.count, limit.within.as_secs())),
            takeover_limit: options
                .takeover_limit
                .map(|limit| (limit.count, limit.within.as_secs())),
            leaves_subscribing: !options.implicit_subscriptions,
            stats_seconds: options.stats_interval.map(|interval| interval.as_secs()),
        }
    }

    /// With each sign type once, and in order: an operator may write them as he likes.
    pub fn in_order(mut self) -> Self {
        self.rules.sign_types.sort_unstable();
        self.rules.sign_types.dedup();
        self
    }
}

fn either(value: &str, usual: &str, other: &str) -> Option<bool> {
    [usual, other].contains(&value).then_some(value == other)
}

/// `None` where the value is no limit, `Some(None)` where there shall be none.
#[allow(clippy::option_option)]
fn off_or_limit(value: &str) -> Option<Option<(u32, u64)>> {
    if value == "off" {
        return Some(None);
    }
    let (count, time) = value.split_once('/')?;
    let count = u32::try_from(number(count.trim(), u32::MAX.into())?).ok()?;
    let time = seconds(time.trim())?;
    (count > 0 && time > 0).then_some(Some((count, time)))
}

/// Digits and nothing else, up to a limit.
fn number(text: &str, limit: u64) -> Option<u64> {
    if text.is_empty() || !text.chars().all(|c| "0123456789".contains(c)) {
        return None;
    }
    match text.trim_start_matches('0') {
        "" => Some(0),
        digits if digits.len() > 15 => None,
        digits => digits.parse().ok().filter(|number| *number <= limit),
    }
}

/// A number of seconds, or of what the letter behind it says.
fn seconds(text: &str) -> Option<u64> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let unit = units.into_iter().find(|(letter, _)| text.ends_with(letter));
    let (letter, factor) = unit.unwrap_or(("", 1));
    Some(number(text.strip_suffix(letter)?, u32::MAX.into())? * factor)
}
