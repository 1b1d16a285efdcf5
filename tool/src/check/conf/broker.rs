//! Which Mosquitto is meant, and what does that one do differently?
//!
//! Read in the sources of 2.0.11, 2.0.21 and 2.1.2. A later version is taken for the newest of these.

use std::{fmt, path::Path, process::Command, str::FromStr};

/// A version of Mosquitto.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// What all of 2.0 and all of 2.1 are checked as if no version is known.
pub(crate) const SERIES: [Version; 2] = [Version::new(2, 0, 22), V2_1];

const V2_0_12: Version = Version::new(2, 0, 12);
const V2_0_13: Version = Version::new(2, 0, 13);
const V2_0_15: Version = Version::new(2, 0, 15);
const V2_0_16: Version = Version::new(2, 0, 16);
const V2_0_21: Version = Version::new(2, 0, 21);
const V2_1: Version = Version::new(2, 1, 0);

impl Version {
    const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// 2.1 and later: `plugin_load`, `global_plugin`, numbers that are read to their end, a plugin that names sessions.
    pub(crate) fn is_2_1(self) -> bool {
        self >= V2_1
    }

    /// The name of its series.
    pub(crate) fn series(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// The smallest `max_keepalive` (`conf.c`: 10 in 2.0.11, none since 2.0.13).
    pub(crate) fn least_max_keepalive(self) -> i64 {
        if self >= V2_0_13 { 0 } else { 10 }
    }

    /// Whether `max_keepalive` also turns away MQTT 3.x clients (ChangeLog of 2.0.12).
    pub(crate) fn keepalive_holds_for_mqtt_3(self) -> bool {
        self >= V2_0_12
    }

    /// Whether the broker listens on this machine's own addresses only, unless there is a line with a listener, a port or an
    /// address. 2.0.11 looks whether there is a listener at all (`listeners__start`).
    pub(crate) fn opens_only_what_is_written(self) -> bool {
        self >= V2_0_12
    }

    /// `retain_expiry_interval` (ChangeLog of 2.0.21).
    pub(crate) fn expires_retained(self) -> bool {
        self >= V2_0_21
    }

    /// Whether `acl_file` and its like must be regular files (`mosquitto__fopen`; ChangeLog of 2.0.16).
    pub(crate) fn wants_regular_files(self) -> bool {
        self >= V2_0_16
    }

    /// Whether a line that begins with a NUL byte is skipped; earlier versions look for its end in the rest of the file
    /// (`fgets_extending`; ChangeLog of 2.0.16).
    pub(crate) fn skips_empty_strings(self) -> bool {
        self >= V2_0_16
    }

    /// Whether a certificate without its key stops the broker (ChangeLog of 2.0.21).
    pub(crate) fn wants_certificate_and_key(self) -> bool {
        self >= V2_0_21
    }

    /// Whether a plugin is sent no TICK with `per_listener_settings true` (`plugin__handle_tick`, before 2.0.15).
    pub(crate) fn ticks_no_listener(self) -> bool {
        self < V2_0_15
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
        let mut numbers = text.split('.').map(|part| part.parse().map_err(|_| ()));
        let mut next = || numbers.next().unwrap_or(Err(()));
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        if numbers.next().is_some() || version.major < 2 { Err(()) } else { Ok(version) }
    }
}

/// The version that a broker's program says it has.
pub(crate) fn of_program(program: &Path) -> Option<Version> {
    // 2.0 has no --version, and ends with status 3 after -h.
    let output = Command::new(program).arg("-h").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rest = text.split("mosquitto version ").nth(1)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The version of the broker that is installed. Its folder is often not in the PATH of ordinary users.
pub(crate) fn installed() -> Option<Version> {
    ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .iter()
        .find_map(|program| of_program(Path::new(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers() {
        assert_eq!("2.0.11".parse(), Ok(Version::new(2, 0, 11)));
        for text in ["", "2", "2.1", "2.1.2.3", "2.x.1", "1.6.9", "2.1.-1", "/usr/sbin/mosquitto"] {
            assert_eq!(text.parse::<Version>(), Err(()), "{text}");
        }
        let [older, newer] = SERIES;
        assert!(!older.is_2_1() && newer.is_2_1());
    }
}
