//! Which settings does the broker know, where do they belong, and what do they take? One row each.
//!
//! From `config__read_file_core` in `conf.c` of 2.0.11, 2.0.21 and 2.1.2, as Debian and the official images build them.

use super::broker::Version;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directive {
    /// The name under which its value is kept.
    pub(crate) name: &'static str,
    /// Other names for the same value.
    aliases: &'static [&'static str],
    /// To what it belongs.
    pub(crate) scope: Scope,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Which brokers know it.
    known: Known,
}

/// To what a setting belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The broker.
    Global,
    /// The broker; with `per_listener_settings true`, the listener.
    Security,
    /// The listener above it, or the default one.
    Listener,
    /// Like [`Scope::Listener`], but 2.1 wants a listener to be there.
    DefinedListener,
    /// The bridge above it.
    Bridge,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A number within these bounds.
    Number(i64, i64),
    /// Text to the end of the line.
    Text(Repeat),
    /// Text to the end of the line, of at most so many bytes in 2.1.
    Short(usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Like [`Kind::Word`]; 2.0 goes on if there is none.
    WordOrNothing(&'static [&'static str]),
    /// Exactly one of these texts, to the end of the line.
    Exactly(&'static [&'static str]),
    /// It is not read.
    Ignored,
    /// With rules of its own.
    Special(Special),
}

/// What a second line with the same setting does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It stops the broker.
    Never,
    /// It stops 2.0, and replaces the value in 2.1.
    In21,
    /// It replaces the value.
    Always,
}

/// The settings with rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    AcceptedProtocols,
    Address,
    BindAddress,
    BridgeKeepalive,
    Connection,
    DenySpecialChars,
    Expiration,
    GlobalPlugin,
    HttpDir,
    IncludeDir,
    Kpass,
    Listener,
    LogDest,
    MaxConnections,
    MaxKeepalive,
    MountPoint,
    PerListener,
    Plugin,
    PluginLoad,
    PluginUse,
    Port,
    RestartTimeout,
    RetainExpiry,
    Topic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Everywhere,
    /// 2.0 only.
    Before21,
    /// 2.1 and later.
    Since21,
    /// 2.0.21 and later.
    Since2021,
}

impl Directive {
    /// Whether this broker knows it.
    pub(crate) fn is_known_to(&self, version: Version) -> bool {
        match self.known {
            Known::Everywhere => true,
            Known::Before21 => !version.is_2_1(),
            Known::Since21 => version.is_2_1(),
            Known::Since2021 => version.expires_retained(),
        }
    }

    /// Which brokers know it, if not all do.
    pub(crate) fn known_to(&self) -> &'static str {
        match self.known {
            Known::Everywhere => "all",
            Known::Before21 => "Mosquitto 2.0",
            Known::Since21 => "Mosquitto 2.1 and later",
            Known::Since2021 => "Mosquitto 2.0.21 and later",
        }
    }

    const fn new(name: &'static str, scope: Scope, kind: Kind) -> Self {
        Self { name, aliases: &[], scope, kind, known: Known::Everywhere }
    }

    const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn before_2_1(self) -> Self {
        Self { known: Known::Before21, ..self }
    }

    const fn since_2_1(self) -> Self {
        Self { known: Known::Since21, ..self }
    }
}

/// The setting of that name, which `version` knows; else one that other versions know.
pub(crate) fn find(name: &[u8], version: Version) -> Option<&'static Directive> {
    let is_named = |directive: &&Directive| {
        directive.name.as_bytes() == name
            || directive.aliases.iter().any(|alias| alias.as_bytes() == name)
    };
    let named = || DIRECTIVES.iter().filter(is_named);
    named().find(|directive| directive.is_known_to(version)).or_else(|| named().next())
}

use Kind::{Boolean, Exactly, Ignored, Number, Short, Text, Word, WordOrNothing};
use Repeat::{Always, In21, Never};
use Scope::{Bridge, DefinedListener, Global, Listener, Security};

const ANY: Kind = Number(i64::MIN, i64::MAX);
const TWO_BYTES: Kind = Number(0, 65_535);

const fn row(name: &'static str, scope: Scope, kind: Kind) -> Directive {
    Directive::new(name, scope, kind)
}

const fn special(name: &'static str, scope: Scope, special: Special) -> Directive {
    Directive::new(name, scope, Kind::Special(special))
}

/// Every setting, by what it belongs to.
pub(crate) const DIRECTIVES: &[Directive] = &[
    // The broker.
    row("allow_duplicate_messages", Global, Boolean),
    row("autosave_interval", Global, ANY),
    row("autosave_on_changes", Global, Boolean),
    row("check_retain_source", Global, Boolean),
    row("clientid_prefixes", Global, Text(In21)),
    row("connection_messages", Global, Boolean),
    row("enable_control_api", Global, Boolean).since_2_1(),
    row("global_max_clients", Global, ANY).since_2_1(),
    row("global_max_connections", Global, ANY).since_2_1(),
    special("include_dir", Global, Special::IncludeDir),
    special("log_dest", Global, Special::LogDest),
    row("log_facility", Global, Number(0, 7)),
    row("log_timestamp", Global, Boolean),
    row("log_timestamp_format", Global, Text(Never)),
    row(
        "log_type",
        Global,
        WordOrNothing(&[
            "none",
            "information",
            "notice",
            "warning",
            "error",
            "debug",
            "subscribe",
            "unsubscribe",
            "internal",
            "websockets",
            "all",
        ]),
    ),
    row("max_inflight_bytes", Global, ANY),
    row("max_inflight_messages", Global, Number(i64::MIN, 65_535)),
    special("max_keepalive", Global, Special::MaxKeepalive),
    row("max_packet_size", Global, Number(20, i64::MAX)),
    row("max_queued_bytes", Global, ANY),
    row("max_queued_messages", Global, ANY),
    row("memory_limit", Global, Number(0, i64::MAX)),
    row("message_size_limit", Global, Number(0, 268_435_455)),
    row("packet_buffer_size", Global, TWO_BYTES).since_2_1(),
    special("per_listener_settings", Global, Special::PerListener),
    row("persistence", Global, Boolean).or(&["retained_persistence"]),
    row("persistence_file", Global, Text(Never)),
    row("persistence_location", Global, Text(Never)),
    special("persistent_client_expiration", Global, Special::Expiration),
    row("pid_file", Global, Text(Never)),
    row("queue_qos0_messages", Global, Boolean),
    row("retain_available", Global, Boolean),
    Directive {
        known: Known::Since2021,
        ..special("retain_expiry_interval", Global, Special::RetainExpiry)
    },
    row("retry_interval", Global, Ignored),
    row("set_tcp_nodelay", Global, Boolean),
    row("sys_interval", Global, TWO_BYTES),
    row("upgrade_outgoing_qos", Global, Boolean),
    // 2.0 frees the earlier value, and refuses it all the same.
    row("user", Global, Text(In21)),
    row("websockets_headers_size", Global, TWO_BYTES),
    row("websockets_log_level", Global, ANY).before_2_1(),
    row("websockets_log_level", Global, Ignored).since_2_1(),
    // Who may do what.
    row("acl_file", Security, Text(In21)),
    row("allow_anonymous", Security, Boolean),
    row("allow_zero_length_clientid", Security, Boolean),
    row("auto_id_prefix", Security, Short(50)),
    row("password_file", Security, Text(In21)),
    row("psk_file", Security, Text(In21)),
    // Plugins.
    special("plugin", Security, Special::Plugin).or(&["auth_plugin"]),
    special("auth_plugin_deny_special_chars", Global, Special::DenySpecialChars),
    special("global_plugin", Global, Special::GlobalPlugin).since_2_1(),
    special("plugin_load", Global, Special::PluginLoad).since_2_1(),
    special("plugin_use", DefinedListener, Special::PluginUse).since_2_1(),
    // Listeners.
    special("listener", Global, Special::Listener),
    special("port", Global, Special::Port),
    special("bind_address", Global, Special::BindAddress),
    special("accept_protocol_versions", DefinedListener, Special::AcceptedProtocols).since_2_1(),
    row("bind_interface", Listener, Text(Never)),
    row("cafile", DefinedListener, Text(In21)),
    row("capath", Listener, Text(In21)),
    row("certfile", Listener, Text(In21)),
    row("ciphers", Listener, Text(In21)),
    row("ciphers_tls1.3", Listener, Text(In21)),
    row("crlfile", Listener, Text(In21)),
    row("dhparamfile", Listener, Text(Never)).before_2_1(),
    row("dhparamfile", Global, Ignored).since_2_1(),
    row("disable_client_cert_date_checks", DefinedListener, Boolean).since_2_1(),
    row("enable_proxy_protocol", DefinedListener, Number(1, 2)).since_2_1(),
    special("http_dir", DefinedListener, Special::HttpDir),
    row("keyfile", Listener, Text(In21)),
    row("listener_allow_anonymous", DefinedListener, Boolean).since_2_1(),
    row("listener_auto_id_prefix", DefinedListener, Short(50)).since_2_1(),
    special("max_connections", Listener, Special::MaxConnections),
    row("max_qos", Listener, Number(0, 2)).or(&["maximum_qos"]),
    row("max_topic_alias", DefinedListener, TWO_BYTES),
    row("max_topic_alias_broker", DefinedListener, TWO_BYTES).since_2_1(),
    special("mount_point", DefinedListener, Special::MountPoint),
    row("protocol", Listener, WordOrNothing(&["mqtt", "websockets"])).before_2_1(),
    row("protocol", Listener, Word(&["mqtt", "websockets", "http_api"])).since_2_1(),
    row("proxy_protocol_v2_require_tls", DefinedListener, Boolean).since_2_1(),
    row("psk_hint", Listener, Text(Never)),
    row("require_certificate", Listener, Boolean),
    row("socket_domain", Listener, Word(&["ipv4", "ipv6"])),
    row("tls_engine", Listener, Text(Never)),
    special("tls_engine_kpass_sha1", Listener, Special::Kpass),
    row("tls_keyform", Listener, Text(Always)),
    row("tls_version", DefinedListener, Text(Never)),
    row("use_identity_as_username", Listener, Boolean),
    row("use_subject_as_username", Listener, Boolean),
    row("use_username_as_clientid", Listener, Boolean),
    row("websockets_origin", DefinedListener, Text(Always)).since_2_1(),
    // Bridges.
    special("connection", Global, Special::Connection),
    special("addresses", Bridge, Special::Address).or(&["address"]),
    row("bridge_alpn", Bridge, Text(Never)),
    row("bridge_attempt_unsubscribe", Bridge, Boolean),
    row("bridge_bind_address", Bridge, Text(Never)),
    row("bridge_cafile", Bridge, Text(Never)),
    row("bridge_capath", Bridge, Text(Never)),
    row("bridge_certfile", Bridge, Text(Never)),
    row("bridge_ciphers", Bridge, Text(Never)).since_2_1(),
    row("bridge_ciphers_tls1.3", Bridge, Text(Never)).since_2_1(),
    row("bridge_identity", Bridge, Text(Never)),
    row("bridge_insecure", Bridge, Boolean),
    row("bridge_keyfile", Bridge, Text(In21)),
    row("bridge_max_packet_size", Bridge, ANY),
    row("bridge_max_topic_alias", Bridge, TWO_BYTES).since_2_1(),
    row("bridge_outgoing_retain", Bridge, Boolean),
    row("bridge_protocol_version", Bridge, Exactly(&["mqttv31", "mqttv311", "mqttv50"])),
    row("bridge_psk", Bridge, Text(Never)),
    row("bridge_receive_maximum", Bridge, Number(1, 65_535)).since_2_1(),
    row("bridge_reload_type", Bridge, Word(&["lazy", "immediate"])).since_2_1(),
    row("bridge_require_ocsp", Bridge, Boolean),
    row("bridge_session_expiry_interval", Bridge, Number(0, i64::MAX)).since_2_1(),
    special("bridge_tcp_keepalive", Bridge, Special::BridgeKeepalive).since_2_1(),
    row("bridge_tcp_user_timeout", Bridge, Number(0, i64::MAX)).since_2_1(),
    row("bridge_tls_use_os_certs", Bridge, Boolean).since_2_1(),
    row("bridge_tls_version", Bridge, Text(Never)),
    row("cleansession", Bridge, Boolean),
    row("idle_timeout", Bridge, ANY),
    row("keepalive_interval", Bridge, Number(i64::MIN, 65_535)),
    row("local_cleansession", Bridge, Boolean),
    row("local_clientid", Bridge, Text(Never)),
    row("local_password", Bridge, Text(Never)),
    row("local_username", Bridge, Text(Never)),
    row("notification_topic", Bridge, Text(Never)),
    row("notifications", Bridge, Boolean),
    row("notifications_local_only", Bridge, Boolean),
    row("remote_clientid", Bridge, Text(Never)).or(&["clientid"]),
    row("remote_password", Bridge, Text(Never)).or(&["password"]),
    row("remote_username", Bridge, Text(Never)).or(&["username"]),
    special("restart_timeout", Bridge, Special::RestartTimeout),
    row("round_robin", Bridge, Boolean),
    row("start_type", Bridge, Word(&["automatic", "lazy", "once"])),
    row("threshold", Bridge, ANY),
    special("topic", Bridge, Special::Topic),
    row("try_private", Bridge, Boolean),
];

/// Settings that cannot stand together: on a line with the first, one of the others may not be set already.
pub(crate) const CONFLICTS: &[(&str, &[&str])] = &[
    ("cafile", &["psk_hint"]),
    ("certfile", &["psk_hint"]),
    ("bridge_cafile", PSK),
    ("bridge_capath", PSK),
    ("bridge_certfile", PSK),
    ("bridge_keyfile", PSK),
    ("bridge_identity", X509),
    ("bridge_psk", X509),
];
const PSK: &[&str] = &["bridge_identity", "bridge_psk"];
const X509: &[&str] = &["bridge_cafile", "bridge_capath", "bridge_certfile", "bridge_keyfile"];

#[cfg(test)]
mod tests {
    use super::{super::broker::SERIES, *};

    #[test]
    fn each_broker_knows_a_name_once() {
        let names = |directive: &'static Directive| {
            [directive.name].into_iter().chain(directive.aliases.iter().copied())
        };
        for version in SERIES {
            let mut known: Vec<_> =
                DIRECTIVES.iter().filter(|row| row.is_known_to(version)).flat_map(names).collect();
            let count = known.len();
            known.sort_unstable();
            known.dedup();
            assert_eq!(known.len(), count);
        }
    }
}
