//! What can be found in a configuration? One row each, which the documentation repeats.

use super::conf::Place;
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The broker does not start.
    Error,
    /// The broker starts, and does not do what is meant.
    Warning,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! findings {
    ($($name:ident $severity:ident $id:literal $what:literal => $advice:literal;)*) => {
        /// Which finding it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Id { $($name,)* }

        /// All of them, in the documentation's order.
        pub(crate) const ROWS: &[Row] = &[
            $(Row { name: $id, severity: Severity::$severity, what: $what, advice: $advice },)*
        ];
    };
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The id, as it is printed.
    pub(crate) name: &'static str,
    pub(crate) severity: Severity,
    /// What is found, in general.
    pub(crate) what: &'static str,
    /// What to do.
    pub(crate) advice: &'static str,
}

findings! {
    ConfigLine Error "config-line" "a line that the broker does not accept"
        => "correct the line: the broker ends at the first such line";
    ConfigFile Error "config-file" "a folder or file of `include_dir` that cannot be read"
        => "make it readable, or take the include_dir out";
    ConfigTogether Error "config-together" "settings that do not go together"
        => "correct the settings";
    UserUnknown Error "user-unknown" "a `user` that does not exist"
        => "make the user, or correct the name";
    BrokerFile Error "broker-file" "a file of the broker, such as `acl_file` or `certfile`, that its user cannot open"
        => "correct the path, or let the broker's user read the file";
    BrokerFileLink Error "broker-file-link" "a symbolic link as `acl_file`, `password_file` or `psk_file` of 2.1"
        => "name the file itself, or set MOSQUITTO_UNSAFE_ALLOW_SYMLINKS in the broker's environment";
    PluginFile Error "plugin-file" "a library that cannot be loaded: missing, unreadable, not a plugin"
        => "correct the path of the plugin, or install it";
    PluginUnused Error "plugin-unused" "a `plugin_load` whose name no `plugin_use` has (2.1 does not start)"
        => "add plugin_use with its name below the listeners that devices come to, or take the plugin_load out";
    PluginTwice Error "plugin-twice" "this plugin twice for the same listeners, where the broker takes it once"
        => "keep one of the lines, or put each below its listener: with per_listener_settings true on 2.0, by plugin_use on 2.1";
    OptionUnknown Error "option-unknown" "an option that the plugin does not have"
        => "correct its name, or take the line out";
    OptionRepeated Error "option-repeated" "an option that is given twice"
        => "take one of the two lines out";
    OptionMalformed Error "option-malformed" "an option with a value that it does not take"
        => "correct the value";
    OptionMissing Error "option-missing" "a plugin without a required option"
        => "add plugin_opt_secrets_file with the path of the secrets file below the plugin's line";
    SessionIdDevice Error "session-id-device" "`session_id device` on 2.0"
        => "take Mosquitto 2.1 or later, or set it to client";
    SecretsUnreadable Error "secrets-unreadable" "a secrets file that the broker's user cannot read"
        => "correct the path, or make the file with iotda-auth add --create";
    SecretsFile Error "secrets-file" "a secrets file that cannot be used as a whole: not a file, writable by others, too large"
        => "give a regular file that only its owner may write to";
    SecretsLine Error "secrets-line" "a line of the secrets file that is wrong"
        => "correct the line: the broker does not start as long as one line is wrong";
    ConfigNotRead Warning "config-not-read" "a part of a file that the broker does not read: behind a NUL byte"
        => "write the file again as plain UTF-8 text, with a newline at its end";
    ConfigLost Warning "config-lost" "a listener's setting below an `include_dir` that adds listeners"
        => "move the include_dir below all settings of the listener";
    PluginAbsent Warning "plugin-absent" "a configuration that does not load this plugin"
        => "add plugin and plugin_opt_secrets_file below a listener, or check the file that does";
    PluginByName Warning "plugin-by-name" "a plugin without a folder, which is in none of the usual folders of libraries"
        => "give the whole path of the plugin";
    PluginIdle Warning "plugin-idle" "a plugin that serves no listener"
        => "put a listener line above the plugin's line";
    PluginAboveListener Warning "plugin-above-listener"
        "`plugin` above the first `listener` with `per_listener_settings true` on 2.0"
        => "move the plugin and its options below the listener that devices come to";
    PluginAgain Warning "plugin-again" "this plugin twice for one listener, where the broker takes it (2.1)"
        => "keep one of the lines: the first instance alone decides, and each counts for itself";
    UsernameAsClientid Warning "username-as-clientid" "`use_username_as_clientid` where devices log in"
        => "take it out: the ClientId that the plugin checks is gone, and every device is refused";
    IdentityAsUsername Warning "identity-as-username"
        "`use_identity_as_username` or `use_subject_as_username` where devices log in"
        => "take it out: the broker asks no plugin then, and any certificate of its cafile gets in under any ClientId";
    AllowAnonymous Warning "allow-anonymous" "`allow_anonymous true`"
        => "set it to false, or take it out";
    ConnackNoListener Warning "connack-no-listener" "a port of `exact_connack_ports` that no listener of this plugin has"
        => "correct the port, or take it out";
    ConnackTls Warning "connack-tls" "a port of `exact_connack_ports` with TLS"
        => "take it out: exact codes are for plain MQTT";
    ConnackWebsockets Warning "connack-websockets" "a port of `exact_connack_ports` with WebSocket or HTTP"
        => "take it out: exact codes are for plain MQTT";
    X509NoCertificate Warning "x509-no-certificate"
        "devices with `x509=`, and no listener of this plugin that requires certificates"
        => "add a listener with certfile, keyfile, cafile and require_certificate true; without one these devices are refused";
    NoAcl Warning "no-acl" "no `acl_file`, and no other plugin that could decide about topics"
        => "add acl_file: without one every device may read and write every other's topics (mosquitto.acl.example)";
    MountPoint Warning "mount-point" "`mount_point` where devices log in"
        => "take it out: commands to devices do not arrive below it";
    SessionsNoExpiry Warning "sessions-no-expiry" "persistent sessions that never expire, on 2.0"
        => "add persistent_client_expiration 2h: a device that asks for a session leaves one behind every hour";
    MaxKeepalive Warning "max-keepalive" "`max_keepalive` below the range of `keepalive`"
        => "raise max_keepalive, or lower the range: the broker itself turns the devices above it away, or shortens it";
    NoTick Warning "no-tick" "`stats_interval` or `reload_interval` with `per_listener_settings true` before 2.0.15"
        => "take a later Mosquitto, or per_listener_settings out: the broker gives the plugin no time there";
    CrlWebsockets Warning "crl-websockets" "`crlfile` on a WebSocket listener of 2.0"
        => "use TLS without WebSocket there: 2.0 ignores the list, and lets revoked certificates in";
    RelativePath Warning "relative-path" "a secrets file whose path is relative"
        => "give the whole path: it is relative to the folder that the broker is started in, / with systemd";
    SecretsEmpty Warning "secrets-empty" "a secrets file without a device"
        => "add a device: nobody can log in";
    SecretsNoNewline Warning "secrets-no-newline" "a secrets file whose last line has no newline"
        => "compare its last device with the original, and add the newline";
    SecretsMount Warning "secrets-mount" "a secrets file that is mounted by itself"
        => "mount its folder: a file that is renamed over it outside is not seen here";
    SecretsExposed Warning "secrets-exposed" "a secrets file that others may read, change or replace"
        => "take the right away";
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) id: Id,
    pub(crate) severity: Severity,
    pub(crate) at: Place,
    /// What was found.
    pub(crate) found: String,
    /// What to do.
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn new(id: Id, at: &Place, found: impl fmt::Display) -> Self {
        let row = id.row();
        let (found, advice) = (found.to_string(), row.advice.into());
        Self { id, severity: row.severity, at: at.clone(), found, advice }
    }

    /// With better advice than the table's.
    pub(crate) fn advising(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }
}

impl Id {
    pub(crate) fn row(self) -> &'static Row {
        // The macro writes rows and variants in the same order.
        ROWS.get(self as usize).unwrap_or(&FALLBACK)
    }
}

/// What no id has.
const FALLBACK: Row = Row { name: "", severity: Severity::Error, what: "", advice: "" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_says_what_and_what_to_do() {
        assert_eq!(Id::SecretsExposed.row().name, "secrets-exposed");
        for row in ROWS {
            assert!(!row.advice.is_empty() && !row.what.is_empty(), "{}", row.name);
            assert!(
                row.name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            );
        }
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
