//! Which settings let the broker start, and then keep devices out, or let others in?

use super::{
    conf::{Attached, Config, Given, Listener, Place, ProblemKind, Version},
    finding::{Finding, Id},
    instances::Instance,
    secrets::Counts,
};
use iotda_core::{
    log::Count,
    login::policy::{KeepAlive, OtherClients},
    options::SessionId,
};
use iotda_files::Identity;
use std::path::Path;

/// What the traps are looked for in.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) config: &'a Config,
    pub(crate) version: Version,
    pub(crate) instances: &'a [Instance<'a>],
    /// Of each instance; `None` if its file cannot be read.
    pub(crate) counts: &'a [Option<Counts>],
    /// The file that was given.
    pub(crate) main: &'a Path,
}

impl<'a> Seen<'a> {
    /// The listeners of an instance.
    fn served(self, instance: &'a Instance<'a>) -> impl Iterator<Item = &'a Listener> {
        instance.serves.iter().filter_map(move |position| self.config.listeners.get(*position))
    }

    /// Each listener that some instance serves, once.
    fn all_served(self) -> impl Iterator<Item = &'a Listener> {
        let is_served = move |position: &usize| {
            self.instances.iter().any(|instance| instance.serves.contains(position))
        };
        let listeners = self.config.listeners.iter().enumerate();
        listeners.filter(move |(position, _)| is_served(position)).map(|(_, listener)| listener)
    }
}

/// One kind of trap.
type Trap = fn(Seen<'_>, &mut Vec<Finding>);

const TRAPS: &[Trap] = &[
    problems,
    absent,
    idle,
    unused,
    twice,
    client_ids,
    anonymous,
    connack_ports,
    certificates,
    acl,
    mounts,
    sessions,
    keepalive,
    ticks,
    revocations,
];

/// Looks for all of them.
pub(crate) fn check(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    TRAPS.iter().for_each(|trap| trap(seen, findings));
}

/// What the broker itself says no to, or does not read.
fn problems(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    findings.extend(seen.config.problems.iter().map(|problem| {
        let id = match problem.kind {
            ProblemKind::Refused => Id::ConfigLine,
            ProblemKind::Unreadable => Id::ConfigFile,
            ProblemKind::Together => Id::ConfigTogether,
            ProblemKind::NotRead => Id::ConfigNotRead,
            ProblemKind::Lost => Id::ConfigLost,
        };
        Finding::new(id, &problem.at, &problem.text)
    }));
}

fn absent(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    if seen.instances.is_empty() {
        let found = "no line loads mosquitto_iotda_auth.so";
        findings.push(Finding::new(Id::PluginAbsent, &Place::of(seen.main), found));
    }
}

fn idle(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    for Instance { plugin, serves, .. } in seen.instances {
        let above = plugin.uses.iter().find(|(attached, _)| seen.config.is_default(*attached));
        let listeners = seen.config.listeners.len();
        let is_refused = plugin.uses.iter().any(|(attached, _)| *attached == Attached::Refused);
        match above {
            _ if plugin.uses.is_empty() || is_refused => {}
            _ if serves.is_empty() => {
                let found = "this plugin is loaded, and is asked about no listener";
                findings.push(Finding::new(Id::PluginIdle, &plugin.at, found));
            }
            Some((_, at)) if !seen.version.is_2_1() && listeners > 1 => {
                let found = "with per_listener_settings true, a plugin above the first listener belongs to a default listener \
                             on 1883, which the broker opens for it";
                findings.push(Finding::new(Id::PluginAboveListener, at, found));
            }
            _ => {}
        }
    }
}

/// 2.1 does not load such a plugin, asks it all the same, and ends (`mosquitto_security_init` in `plugin_init.c`, 2.1.2).
fn unused(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    for plugin in seen.config.plugins.iter().filter(|plugin| plugin.uses.is_empty()) {
        let name = plugin.name.as_deref().unwrap_or_default();
        let found = format!("plugin_load {name}: no plugin_use {name} below any listener");
        findings.push(Finding::new(Id::PluginUnused, &plugin.at, found));
    }
}

/// Two lines with one library. 2.0 knows a library's callbacks by their address, which is one however often it is loaded; 2.1
/// knows them by plugin line too.
fn twice(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    let mut earlier: Vec<(usize, Option<Identity>, Attached, &Place)> = Vec::new();
    for (number, Instance { plugin, .. }) in seen.instances.iter().enumerate() {
        let library = Identity::of(Path::new(&plugin.path));
        for (attached, at) in &plugin.uses {
            let is_same_library = |known: &Option<Identity>| match (known, &library) {
                (Some(known), Some(library)) => known.is_same_file(library),
                _ => true,
            };
            let overlaps = |known: &Attached| match (known, attached) {
                (Attached::To(one), Attached::To(other)) => one == other,
                (Attached::Everywhere, other) | (other, Attached::Everywhere) => {
                    matches!(other, Attached::Everywhere | Attached::To(_))
                }
                _ => false,
            };
            let known =
                earlier.iter().find(|(_, file, known, _)| overlaps(known) && is_same_library(file));
            if let Some((before, _, _, first)) = known {
                let is_refused = !seen.version.is_2_1() || *before == number;
                let id = if is_refused { Id::PluginTwice } else { Id::PluginAgain };
                let found =
                    format!("this plugin serves the same listener as that of line {}", first.line);
                findings.push(Finding::new(id, at, found));
            }
            earlier.push((number, library, *attached, at));
        }
    }
}

fn client_ids(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    for listener in seen.all_served() {
        let settings = &listener.settings;
        for (name, id) in [
            ("use_username_as_clientid", Id::UsernameAsClientid),
            ("use_identity_as_username", Id::IdentityAsUsername),
            ("use_subject_as_username", Id::IdentityAsUsername),
        ] {
            // Without TLS there is no certificate to take a name from, and the plugin is asked.
            let counts = id == Id::UsernameAsClientid || listener.is_tls();
            if let (Some(at), true) = (settings.where_true(name), counts) {
                findings.push(Finding::new(id, at, format_args!("{name} on {listener}")));
            }
        }
    }
}

fn anonymous(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    let mut told: Vec<&Place> = Vec::new();
    for (position, listener) in seen.config.listeners.iter().enumerate() {
        let own = listener.settings.get("listener_allow_anonymous");
        let given = own.or_else(|| seen.config.security(listener, "allow_anonymous"));
        let Some(Given { at, .. }) = given.filter(|given| given.text == "true") else { continue };
        if told.contains(&at) {
            continue;
        }
        told.push(at);
        let serving = seen.instances.iter().filter(|instance| instance.serves.contains(&position));
        let defers =
            |instance: &Instance<'_>| instance.options.policy.other_clients == OtherClients::Defer;
        let mut serving = serving.peekable();
        let effect = if serving.peek().is_none() {
            "every client is let in there, and this plugin is not asked"
        } else if serving.all(defers) {
            "with other_clients defer, every client without a user name is let in"
        } else {
            "it has no effect where this plugin refuses other clients, and lets in whoever has no user name once it does not"
        };
        findings.push(Finding::new(
            Id::AllowAnonymous,
            at,
            format_args!("allow_anonymous true on {listener}: {effect}"),
        ));
    }
}

fn connack_ports(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    for instance in seen.instances {
        let options = &instance.plugin.options;
        let Some((_, _, at)) = options.iter().find(|(name, ..)| name == "exact_connack_ports")
        else {
            continue;
        };
        for port in &instance.options.exact_connack_ports {
            let mut found = false;
            for listener in seen.served(instance).filter(|listener| listener.port == *port) {
                found = true;
                for (is_so, id, what) in [
                    (listener.is_tls(), Id::ConnackTls, "TLS"),
                    (listener.protocol() != "mqtt", Id::ConnackWebsockets, "WebSocket"),
                ] {
                    if is_so {
                        let text = format!(
                            "plugin_opt_exact_connack_ports: port {port} is of a listener with {what}"
                        );
                        findings.push(Finding::new(id, at, text));
                    }
                }
            }
            if !found {
                let text = format!(
                    "plugin_opt_exact_connack_ports: port {port} is of no listener of this plugin"
                );
                findings.push(Finding::new(Id::ConnackNoListener, at, text));
            }
        }
    }
}

fn certificates(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    for (instance, counts) in seen.instances.iter().zip(seen.counts) {
        let devices = counts.unwrap_or_default().x509;
        let asks = |listener: &Listener| {
            listener.is_tls() && listener.settings.where_true("require_certificate").is_some()
        };
        if devices > 0 && !seen.served(instance).any(asks) {
            let devices = Count(devices as u64, "device");
            let found = format!(
                "{devices} with x509=, and no listener of this plugin with require_certificate true"
            );
            findings.push(Finding::new(Id::X509NoCertificate, &instance.plugin.at, found));
        }
    }
}

fn acl(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    for instance in seen.instances {
        // Another plugin may decide about topics.
        let decides = |position: usize| {
            seen.config.plugins.iter().any(|plugin| {
                let is_there = |attached: &Attached| match attached {
                    Attached::Everywhere => true,
                    Attached::To(listener) => *listener == position,
                    Attached::Nowhere | Attached::NotLoaded | Attached::Refused => false,
                };
                !super::instances::is_ours(&plugin.path)
                    && plugin.uses.iter().any(|(attached, _)| is_there(attached))
            })
        };
        let open = instance.serves.iter().filter_map(|position| {
            let listener = seen.config.listeners.get(*position)?;
            let has_file = seen.config.security(listener, "acl_file").is_some();
            (!has_file && !decides(*position)).then(|| listener.to_string())
        });
        let open: Vec<_> = open.collect();
        if !open.is_empty() {
            let found = format!("no acl_file for {}", open.join(", "));
            findings.push(Finding::new(Id::NoAcl, &instance.plugin.at, found));
        }
    }
}

fn mounts(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    for listener in seen.all_served() {
        if let Some(Given { text, at }) = listener.settings.get("mount_point") {
            findings.push(Finding::new(
                Id::MountPoint,
                at,
                format_args!("mount_point {text} on {listener}"),
            ));
        }
    }
}

fn sessions(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    let expires = seen.config.settings.get("persistent_client_expiration").is_some();
    let by_client = |instance: &&Instance<'_>| instance.options.session_id == SessionId::Client;
    if let (Some(instance), false, false) =
        (seen.instances.iter().find(by_client), seen.version.is_2_1(), expires)
    {
        let found = "no persistent_client_expiration, so persistent sessions stay for ever";
        findings.push(Finding::new(Id::SessionsNoExpiry, &instance.plugin.at, found));
    }
}

fn keepalive(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    let Some(Given { text, at }) = seen.config.settings.get("max_keepalive") else { return };
    let Some(most) = text.parse::<u16>().ok().filter(|most| *most > 0) else { return };
    let widest = seen.instances.iter().map(|instance| match instance.options.policy.keep_alive {
        KeepAlive::Any => u16::MAX,
        KeepAlive::Within { highest, .. } => highest,
    });
    if let Some(highest) = widest.max().filter(|highest| most < *highest) {
        let effect = if seen.version.keepalive_holds_for_mqtt_3() {
            "MQTT 3.x devices above it are refused with CONNACK 2"
        } else {
            "MQTT 5 devices above it are given a shorter one"
        };
        let found = format!(
            "max_keepalive {most} is below {highest}, the longest of plugin_opt_keepalive: {effect}"
        );
        findings.push(Finding::new(Id::MaxKeepalive, at, found));
    }
}

fn ticks(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    if !seen.config.per_listener || !seen.version.ticks_no_listener() {
        return;
    }
    for Instance { plugin, options, .. } in seen.instances {
        for (name, effect, is_on) in [
            ("stats_interval", "nothing is published", options.stats_interval.is_some()),
            (
                "reload_interval",
                "a new file is used from the next login on",
                options.reload_interval.is_some(),
            ),
        ] {
            let given = plugin.options.iter().find(|(option, ..)| option == name);
            if let (Some((_, _, at)), true) = (given, is_on) {
                let found = format!("plugin_opt_{name} with per_listener_settings true: {effect}");
                findings.push(Finding::new(Id::NoTick, at, found));
            }
        }
    }
}

fn revocations(seen: Seen<'_>, findings: &mut Vec<Finding>) {
    for listener in seen.all_served() {
        let given = listener.settings.get("crlfile");
        if let (Some(Given { at, .. }), false, "websockets") =
            (given, seen.version.is_2_1(), listener.protocol())
        {
            findings.push(Finding::new(
                Id::CrlWebsockets,
                at,
                format_args!("crlfile on {listener}, a WebSocket listener"),
            ));
        }
    }
}
