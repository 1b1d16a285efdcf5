//! What is wrong only when all is read, and which listeners does the broker open?

use super::{Attached, Config, Listener, Place, Problem, ProblemKind, Settings, broker::Version};

/// Settings with which 2.0 opens the default listener, and the value that does not count (the condition at the end of
/// `config__parse_args`).
const OPENS: &[(&str, &str)] = &[
    ("bind_address", ""),
    ("bind_interface", ""),
    ("cafile", ""),
    ("capath", ""),
    ("certfile", ""),
    ("keyfile", ""),
    ("tls_engine", ""),
    ("tls_engine_kpass_sha1", "-"),
    ("tls_keyform", "pem"),
    ("ciphers", ""),
    ("ciphers_tls1.3", ""),
    ("dhparamfile", ""),
    ("psk_hint", ""),
    ("require_certificate", "false"),
    ("crlfile", ""),
    ("use_identity_as_username", "false"),
    ("use_subject_as_username", "false"),
    ("use_username_as_clientid", "false"),
    ("port", ""),
    ("max_connections", "-1"),
    ("max_qos", "2"),
    ("mount_point", ""),
    ("protocol", "mqtt"),
    ("socket_domain", ""),
    ("password_file", ""),
    ("psk_file", ""),
    ("allow_zero_length_clientid", "true"),
];

impl Config {
    /// Judges what has been read.
    pub(super) fn finish(&mut self, version: Version) {
        if !version.is_2_1() {
            self.decide_default_listener();
            self.forget_what_is_per_listener();
        }
        // 2.0.11 looks whether there is a listener; later ones whether there was a line with one (`listeners__start`).
        if self.listeners.is_empty() || self.is_local_only && version.opens_only_what_is_written() {
            let (port, settings) = (1883, Settings::default());
            let address = Some("127.0.0.1".into());
            self.default = None;
            self.listeners = vec![Listener { at: None, port, address, settings }];
            for plugin in &mut self.plugins {
                plugin.uses.iter_mut().for_each(|(attached, _)| {
                    if matches!(attached, Attached::To(_)) {
                        *attached = Attached::Nowhere;
                    }
                });
            }
        }
        self.check_listeners(version);
        self.check_bridges();
    }

    /// Where `per_listener_settings` was true and is false in the end, 2.0 loads no plugin that was given to a listener
    /// meanwhile (`mosquitto_security_module_init` in `security.c`).
    fn forget_what_is_per_listener(&mut self) {
        if self.per_listener {
            return;
        }
        for (attached, _) in self.plugins.iter_mut().flat_map(|plugin| &mut plugin.uses) {
            if matches!(attached, Attached::To(_)) {
                *attached = Attached::NotLoaded;
            }
        }
    }

    /// The default listener of 2.0 is the first; it is opened if something is set for it.
    fn decide_default_listener(&mut self) {
        let Some(Listener { settings, .. }) = self.listeners.first() else { return };
        let is_set = |(name, default): &(&str, &str)| {
            settings.get(name).is_some_and(|given| given.text != *default)
        };
        let has_plugin = |(attached, _): &(Attached, Place)| *attached == Attached::To(0);
        let opens = OPENS.iter().any(is_set)
            || self.plugins.iter().flat_map(|plugin| &plugin.uses).any(has_plugin);
        if opens {
            return;
        }
        self.listeners.remove(0);
        self.default = None;
        for (attached, _) in self.plugins.iter_mut().flat_map(|plugin| &mut plugin.uses) {
            if let Attached::To(listener) = attached {
                *listener = listener.saturating_sub(1);
            }
        }
    }

    fn check_listeners(&mut self, version: Version) {
        let mut problems = Vec::new();
        for Listener { settings, .. } in &self.listeners {
            let mut tell = |name: &str, text: &str| {
                if let Some(given) = settings.get(name) {
                    let text = format!("{name}: {text}");
                    problems.push(Problem {
                        kind: ProblemKind::Together,
                        at: given.at.clone(),
                        text,
                    });
                }
            };
            let has = |name: &str| settings.has(name);
            if version.wants_certificate_and_key() {
                match (has("certfile"), has("keyfile")) {
                    (true, false) => tell("certfile", "expected keyfile too, found none"),
                    (false, true) => tell("keyfile", "expected certfile too, found none"),
                    (false, false) => {
                        for name in ["cafile", "capath"] {
                            tell(name, "expected certfile and keyfile too, found none");
                        }
                    }
                    (true, true) => {}
                }
            }
            if settings.get("enable_proxy_protocol").is_some_and(|given| given.text == "2") {
                let with = "expected none of it with enable_proxy_protocol 2, found both";
                if settings.where_true("use_subject_as_username").is_some() {
                    tell("use_subject_as_username", with);
                }
                for name in ["certfile", "keyfile"] {
                    tell(name, with);
                }
            }
        }
        self.problems.extend(problems);
    }

    fn check_bridges(&mut self) {
        let pairs = [("bridge_psk", "bridge_identity"), ("bridge_identity", "bridge_psk")];
        for bridge in &self.bridges {
            let has = |name: &str| bridge.settings.has(name);
            let missing = ["addresses", "topic"].into_iter().filter(|name| !has(name));
            let halves = pairs.iter().filter(|(one, other)| has(one) && !has(other));
            for name in missing.chain(halves.map(|(_, other)| *other)) {
                let text =
                    format!("connection {}: expected {name} below it, found none", bridge.name);
                let (kind, at) = (ProblemKind::Together, bridge.at.clone());
                self.problems.push(Problem { kind, at, text });
            }
        }
    }
}
