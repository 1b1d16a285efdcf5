//! Small configurations, and what is found in each.

use crate::{Folder, RIGHT, TLS, whole};
use std::collections::BTreeSet;
use support::tool::tool;

/// For which versions; what is added to [`RIGHT`], or a whole configuration (if it has a listener of its own); what is found.
const FOUND: &[(&str, &str, &[&str])] = &[
    ("2.0.11 2.0.21 2.1.2", "", &[]),
    ("2.0.11 2.0.21 2.1.2", "#plugin_opt_x\n\nmax_qos 1\nallow_anonymous false # not true", &[]),
    // The broker's own syntax.
    (
        "2.0.11 2.1.2",
        "nonsense 1\nallow_anonymous yes\nmax_qos 3",
        &["6 config-line", "7 config-line", "8 config-line"],
    ),
    ("2.0.11 2.1.2", "max_qos\t1", &["6 config-line"]),
    ("2.0.11 2.1.2", " # indented", &["6 config-line"]),
    ("2.0.11", "max_qos 1x", &[]),
    ("2.1.2", "max_qos 1x", &["6 config-line"]),
    ("2.0.11 2.0.21", "global_max_clients 1", &["6 config-line"]),
    ("2.1.2", "global_max_clients 1", &[]),
    ("2.0.11", "retain_expiry_interval 1", &["6 config-line"]),
    ("2.0.11", "max_keepalive 0", &["6 config-line"]),
    ("2.0.21 2.1.2", "max_keepalive 0\nretain_expiry_interval 1", &[]),
    ("2.0.11 2.0.21", "password_file $/file\npassword_file $/file", &["7 config-line"]),
    ("2.1.2", "password_file $/file\npassword_file $/file", &[]),
    ("2.0.11 2.1.2", "per_listener_settings true", &["6 config-line"]),
    ("2.0.11 2.1.2", "plugin_opt_keepalive", &["6 config-line"]),
    // Two blanks: 2.1 takes an empty value, and the plugin does not.
    ("2.0.11", "plugin_opt_keepalive  ", &["6 config-line"]),
    ("2.1.2", "plugin_opt_keepalive  ", &["6 option-malformed"]),
    ("2.0.11 2.1.2", "include_dir $/missing", &["6 config-file"]),
    ("2.0.11 2.1.2", "include_dir $/bad.d", &["6 config-file"]),
    ("2.0.11 2.1.2", "include_dir $/conf.d", &[]),
    ("2.0.11 2.1.2", "include_dir $/conf.d\nmax_qos 1", &["7 config-lost"]),
    ("2.0.11 2.1.2", "include_dir $/conf.d \nmax_qos 1", &["6 config-file"]),
    ("2.0.11", "certfile $/file", &[]),
    ("2.0.21 2.1.2", "certfile $/file", &["6 config-together"]),
    (
        "2.1.2",
        "enable_proxy_protocol 2\ncertfile $/file\nkeyfile $/file",
        &["7 config-together", "8 config-together"],
    ),
    ("2.0.11 2.1.2", "key\0file 1\nnonsense", &["6 config-not-read"]),
    // Files of the broker.
    ("2.0.11 2.1.2", "password_file $/missing", &["6 broker-file"]),
    ("2.0.11", "password_file $/conf.d", &[]),
    ("2.0.21 2.1.2", "password_file $/conf.d", &["6 broker-file"]),
    ("2.0.11 2.0.21", "password_file $/link", &[]),
    ("2.1.2", "password_file $/link", &["6 broker-file-link"]),
    (
        "2.0.21 2.1.2",
        "certfile $/missing\nkeyfile $/file\ncrlfile $/missing",
        &["6 broker-file", "8 broker-file"],
    ),
    // The plugin.
    ("2.0.11 2.1.2", "listener 1883", &["0 plugin-absent"]),
    (
        "2.0.11 2.1.2",
        "persistent_client_expiration 2h\nacl_file $/file\nlistener 1883\nplugin $/link.so\n\
                      plugin_opt_secrets_file $/right",
        &[],
    ),
    (
        "2.0.11 2.1.2",
        "persistent_client_expiration 2h\nlistener 1883\nplugin $/other.so\nplugin_opt_more 1\n\
                      plugin $/libmosquitto_iotda_auth.so\nplugin_opt_secrets_file $/right",
        &["5 plugin-file"],
    ),
    ("2.0.11 2.1.2", "plugin $/missing.so", &["6 plugin-file"]),
    ("2.0.11 2.1.2", "plugin $/text", &["6 plugin-file"]),
    ("2.0.11", "plugin  $/other.so", &[]),
    ("2.1.2", "plugin  $/other.so", &["6 plugin-file"]),
    ("2.0.11", "plugin $/other.so ", &[]),
    ("2.1.2", "plugin $/other.so ", &["6 plugin-file"]),
    ("2.0.11 2.1.2", "plugin iotda_in_no_folder.so", &["6 plugin-by-name"]),
    ("2.1.2", "plugin_load a $/other.so", &["6 plugin-unused"]),
    ("2.1.2", "plugin_load a $/other.so\nplugin_use a\nplugin_use b", &["8 config-line"]),
    (
        "2.1.2",
        "persistent_client_expiration 2h\nacl_file $/file\nplugin_load a $/mosquitto_iotda_auth.so\n\
               plugin_opt_secrets_file $/right\nlistener 1883\nplugin_use a\nplugin_use a",
        &["7 plugin-twice"],
    ),
    (
        "2.0.11 2.0.21",
        "plugin $/mosquitto_iotda_auth.so\nplugin_opt_secrets_file $/right",
        &["6 plugin-twice"],
    ),
    ("2.0.11 2.0.21", "plugin $/link.so\nplugin_opt_secrets_file $/right", &["6 plugin-twice"]),
    ("2.1.2", "plugin $/link.so\nplugin_opt_secrets_file $/right", &["6 plugin-again"]),
    (
        "2.0.11 2.0.21",
        "per_listener_settings true\npersistent_client_expiration 2h\nlistener 1883\nacl_file $/file\n\
                       plugin $/link.so\nplugin_opt_secrets_file $/right\nlistener 1884\nacl_file $/file\n\
                       plugin $/link.so\nplugin_opt_secrets_file $/right",
        &[],
    ),
    (
        "2.0.11 2.0.21",
        "per_listener_settings true\npersistent_client_expiration 2h\nplugin $/link.so\n\
                       plugin_opt_secrets_file $/right\nacl_file $/file\nlistener 1884\n",
        &["3 plugin-above-listener"],
    ),
    (
        "2.0.11 2.0.21",
        "per_listener_settings true\npersistent_client_expiration 2h\nport 1883\nplugin $/link.so\n\
                       plugin_opt_secrets_file $/right\nacl_file $/file\nlistener 1884\n",
        &[],
    ),
    // Its options are checked all the same.
    (
        "2.1.2",
        "per_listener_settings true\nplugin $/link.so\nplugin_opt_secrets_file $/missing\nplugin_opt_x_y 1\n\
               listener 1884\n",
        &["2 config-line", "3 secrets-unreadable", "4 option-unknown"],
    ),
    (
        "2.0.21 2.1.2",
        "persistent_client_expiration 2h\nplugin $/link.so\nplugin_opt_secrets_file $/right\nacl_file $/file",
        &[],
    ),
    // With no listener line, 2.0.21 opens its own, without the plugin.
    (
        "2.0.21",
        "per_listener_settings true\npersistent_client_expiration 2h\nplugin $/link.so\n\
                plugin_opt_secrets_file $/right",
        &["3 plugin-idle"],
    ),
    (
        "2.0.11 2.1.2",
        "plugin_opt_secret_file x\nplugin_opt_keepalive 0\nplugin_opt_sign_types 1\nauth_opt_sign_types 2",
        &["6 option-unknown", "7 option-malformed", "9 option-repeated"],
    ),
    (
        "2.0.21 2.1.2",
        "acl_file $/file\npersistent_client_expiration 2h\nlistener 1883\nplugin $/link.so",
        &["4 option-missing"],
    ),
    ("2.0.11 2.0.21", "plugin_opt_session_id device", &["6 session-id-device"]),
    ("2.1.2", "plugin_opt_session_id device", &[]),
    // Devices that are kept out, and others that are let in.
    ("2.0.11 2.1.2", "use_username_as_clientid true", &["6 username-as-clientid"]),
    ("2.0.11 2.1.2", "use_identity_as_username true\nuse_subject_as_username true", &[]),
    (
        "2.0.11 2.1.2",
        "certfile $/file\nkeyfile $/file\nuse_identity_as_username true\nuse_subject_as_username 1",
        &["8 identity-as-username", "9 identity-as-username"],
    ),
    ("2.0.11 2.1.2", "allow_anonymous true", &["6 allow-anonymous"]),
    ("2.1.2", "listener_allow_anonymous true", &["6 allow-anonymous"]),
    ("2.0.11 2.1.2", "plugin_opt_exact_connack_ports 1883, 1884", &["6 connack-no-listener"]),
    (
        "2.0.11 2.1.2",
        "plugin_opt_exact_connack_ports 1883\ncertfile $/file\nkeyfile $/file",
        &["6 connack-tls"],
    ),
    (
        "2.0.11 2.1.2",
        "plugin_opt_exact_connack_ports 1883\nprotocol websockets",
        &["6 connack-websockets"],
    ),
    // Exact codes work behind PROXY.
    ("2.1.2", "plugin_opt_exact_connack_ports 1883\nenable_proxy_protocol 2", &[]),
    (
        "2.0.11 2.0.21",
        "protocol websockets\ncertfile $/file\nkeyfile $/file\ncrlfile $/file",
        &["9 crl-websockets"],
    ),
    ("2.1.2", "protocol websockets\ncertfile $/file\nkeyfile $/file\ncrlfile $/file", &[]),
    ("2.0.11 2.1.2", "mount_point a/", &["6 mount-point"]),
    ("2.0.11 2.1.2", "max_keepalive 600", &["6 max-keepalive"]),
    ("2.0.11 2.1.2", "max_keepalive 1200", &[]),
    ("2.0.11 2.1.2", "max_keepalive 600\nplugin_opt_keepalive 30-600", &[]),
    ("2.0.11 2.1.2", "max_keepalive 65534\nplugin_opt_keepalive any", &["6 max-keepalive"]),
    (
        "2.0.11 2.0.21",
        "listener 1883\nplugin $/link.so\nplugin_opt_secrets_file $/right",
        &["2 no-acl", "2 sessions-no-expiry"],
    ),
    ("2.1.2", "listener 1883\nplugin $/link.so\nplugin_opt_secrets_file $/right", &["2 no-acl"]),
    (
        "2.1.2",
        "listener 1883\nplugin $/link.so\nplugin_opt_secrets_file $/right\nplugin $/other.so",
        &[],
    ),
    (
        "2.0.11",
        "per_listener_settings true\npersistent_client_expiration 2h\nlistener 1883\nacl_file $/file\n\
                plugin $/link.so\nplugin_opt_secrets_file $/right\nplugin_opt_stats_interval 10s\n\
                plugin_opt_reload_interval off",
        &["7 no-tick"],
    ),
    // Secrets files.
    ("2.0.11 2.1.2", "SECRETS $/missing", &["5 secrets-unreadable"]),
    ("2.0.11 2.1.2", "SECRETS $/wrong", &["wrong:2 secrets-line", "wrong:3 secrets-line"]),
    ("2.0.11 2.1.2", "SECRETS $/conf.d", &["5 secrets-file"]),
    ("2.0.11 2.1.2", "SECRETS $/utf16", &["5 secrets-file"]),
    ("2.0.11 2.1.2", "SECRETS $/empty", &["5 secrets-empty"]),
    ("2.0.11 2.1.2", "SECRETS $/cut", &["5 secrets-no-newline"]),
    ("2.0.11 2.1.2", "SECRETS $/open", &["5 secrets-exposed"]),
    ("2.0.11 2.1.2", "SECRETS $/certs", &["4 x509-no-certificate"]),
    ("2.0.11 2.1.2", "SECRETS iotda-no-such-file", &["5 relative-path", "5 secrets-unreadable"]),
];

#[test]
fn each_kind_of_finding_is_found() {
    let folder = Folder::new();
    let mut seen = BTreeSet::new();
    for (versions, text, expected) in FOUND {
        for version in versions.split(' ') {
            let found = folder.findings(&whole(text), version);
            assert_eq!(found, *expected, "{version}:\n{}", whole(text));
            seen.extend(
                found.iter().map(|found| found.split(' ').next_back().unwrap().to_string()),
            );
        }
    }
    // These are found below.
    seen.extend(["user-unknown", "secrets-mount"].map(String::from));
    let listed = tool(["check", "--list"]).out;
    let listed: BTreeSet<_> =
        listed.lines().map(|line| line.split(':').next().unwrap().to_string()).collect();
    assert_eq!(seen, listed);
}

#[test]
fn certificates_have_their_listener() {
    let folder = Folder::new();
    let config = format!(
        "{}listener 8884\n{TLS}cafile $/file\nrequire_certificate true\n",
        RIGHT.replace("$/right", "$/certs")
    );
    assert_eq!(folder.findings(&config, "2.0.21"), [""; 0]);
    // Not if it is another plugin line's.
    let config = format!("per_listener_settings true\n{}", config.replace("acl_file $/file\n", ""));
    assert_eq!(folder.findings(&config, "2.0.21"), ["4 x509-no-certificate", "4 no-acl"]);
}
