//! Which Mosquitto is it, and what can it do?
//!
//! Each capability of a broker has a name. A version that these tests do not know yet has the newest one's capabilities.

use std::{fmt, str::FromStr};

/// A version of Mosquitto, in the order of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

const V2_0_11: Version = Version::new(2, 0, 11);
const V2_1: Version = Version::new(2, 1, 0);

impl Version {
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// The first version of the same series.
    pub fn series(self) -> Self {
        Self { patch: 0, ..self }
    }

    /// Its number in the headers, `LIBMOSQUITTO_VERSION_NUMBER`; `None` for versions that are later than these tests.
    pub fn header_number(self) -> Option<u32> {
        let Self { major, minor, patch } = self;
        match (major, minor, patch) {
            (2, 0, _) => Some(major * 1_000_000 + minor * 1000 + patch),
            (2, 1, 2) => Some(2_001_000), // so it says
            _ => None,
        }
    }

    // --- Since 2.1 ---

    /// A plugin may give a client another id: `session_id device`.
    pub fn names_sessions(self) -> bool {
        self >= V2_1
    }

    /// A plugin may subscribe a session, and is told what the client itself subscribes to.
    pub fn subscribes_sessions(self) -> bool {
        self >= V2_1
    }

    /// A refusal has the plugin's reason code in MQTT 5.
    pub fn sends_reason_codes(self) -> bool {
        self >= V2_1
    }

    /// A refusal's CONNACK is sent over a WebSocket before the close; earlier versions may close first.
    pub fn finishes_web_sockets(self) -> bool {
        self >= V2_1
    }

    /// A plugin is told of a client that was let in without asking it.
    pub fn tells_of_connects(self) -> bool {
        self >= V2_1
    }

    /// `plugin_load` and `plugin_use`: a plugin has a name, and a listener names its plugins. Earlier versions have
    /// `per_listener_settings`, and register a library's callbacks only once.
    pub fn names_plugins(self) -> bool {
        self >= V2_1
    }

    /// Listeners can have the PROXY protocol.
    pub fn has_proxy_protocol(self) -> bool {
        self >= V2_1
    }

    /// How the log line begins that says that a refused client was disconnected.
    pub fn disconnected(self) -> &'static str {
        if self >= V2_1 { "disconnected: " } else { "disconnected, not authorised." }
    }

    // --- Since 2.0.12 or later ---

    /// The will of a refused CONNECT is freed.
    pub fn frees_refused_wills(self) -> bool {
        self > V2_0_11
    }

    /// The password file's hashes have many iterations.
    pub fn stretches_passwords(self) -> bool {
        self > V2_0_11
    }

    /// The prefix of a WebSocket's IPv4 address.
    pub fn web_socket_prefix(self) -> &'static str {
        if self > V2_0_11 { "" } else { "::ffff:" }
    }

    /// The address of a WebSocket is taken from `X-Forwarded-For`: in versions after 2.0.11 and before 2.1.
    pub fn takes_forwarded_for(self) -> bool {
        self > V2_0_11 && self < V2_1
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some([major, minor, patch]) => Ok(Self::new(*major, *minor, *patch)),
            _ => Err(()),
        }
    }
}
