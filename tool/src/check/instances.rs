//! Where is our plugin loaded, with which options, for which listeners?

use super::{
    conf::{Attached, Config, Plugin, Version},
    finding::{Finding, Id},
};
use iotda_core::options::{OptionError, Options, SessionId};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One loaded copy of the plugin.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    /// Its line and what belongs to it.
    pub(crate) plugin: &'a Plugin,
    /// Its options, as far as they are right.
    pub(crate) options: Options,
    /// The listeners it is asked about, by their positions.
    pub(crate) serves: Vec<usize>,
}

/// The plugin's names, without what follows the first dot.
const NAMES: [&str; 2] = ["mosquitto_iotda_auth", "libmosquitto_iotda_auth"];

/// Whether a library is ours: by its name, or by that of the file that a link leads to.
pub(crate) fn is_ours(path: &str) -> bool {
    let is_named = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        NAMES.contains(&name.trim().split('.').next().unwrap_or_default())
    };
    is_named(Path::new(path)) || fs::canonicalize(path).is_ok_and(|path| is_named(&path))
}

/// Our instances, and what is wrong with their options.
pub(crate) fn of<'a>(config: &'a Config, version: Version) -> (Vec<Instance<'a>>, Vec<Finding>) {
    let mut findings = Vec::new();
    let ours = config.plugins.iter().filter(|plugin| is_ours(&plugin.path));
    let (forgotten, loaded): (Vec<_>, Vec<_>) = ours.partition(|plugin| plugin.is_forgotten());
    findings.extend(forgotten.iter().map(|plugin| {
        let found = "this plugin is never loaded: per_listener_settings was true here, and is false in the end";
        Finding::new(Id::PluginIdle, &plugin.at, found)
    }));
    let instances = loaded.into_iter().map(|plugin| {
        let given = plugin.options.iter().map(|(name, value, _)| (name.as_str(), value.as_str()));
        let (options, errors) = Options::parse_all(given);
        let at = |position: Option<usize>| {
            let option = position.and_then(|position| plugin.options.get(position));
            option.map_or(&plugin.at, |(_, _, at)| at)
        };
        findings.extend(errors.into_iter().map(|(position, error)| {
            let id = match error {
                OptionError::Unknown { .. } => Id::OptionUnknown,
                OptionError::Repeated { .. } => Id::OptionRepeated,
                OptionError::Missing { .. } => Id::OptionMissing,
                OptionError::Malformed { .. } => Id::OptionMalformed,
            };
            Finding::new(id, at(position), error)
        }));
        if options.session_id == SessionId::Device && !version.is_2_1() {
            let found = "plugin_opt_session_id: device is for Mosquitto 2.1 and later";
            let position = plugin.options.iter().position(|(name, ..)| name == "session_id");
            findings.push(Finding::new(Id::SessionIdDevice, at(position), found));
        }
        Instance { plugin, options, serves: served(config, plugin) }
    });
    (instances.collect(), findings)
}

/// The listeners that a plugin is asked about.
fn served(config: &Config, plugin: &Plugin) -> Vec<usize> {
    let is_attached = |position| {
        plugin.uses.iter().any(|(attached, _)| match attached {
            Attached::Everywhere => true,
            Attached::To(listener) => *listener == position,
            Attached::Nowhere | Attached::NotLoaded | Attached::Refused => false,
        })
    };
    let positions = config.listeners.iter().enumerate();
    let mqtt = positions.filter(|(_, listener)| listener.protocol() != "http_api");
    mqtt.map(|(position, _)| position).filter(|position| is_attached(*position)).collect()
}

/// Where the loader finds a library without a folder. It has no list of names that do not begin with `lib`.
pub(crate) fn found_by_name(name: &str) -> Option<PathBuf> {
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let usual = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let more = usual.iter().map(|folder| folder.join(&machine));
    let armhf = usual.iter().map(|folder| folder.join("arm-linux-gnueabihf"));
    let folders = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let set = std::env::split_paths(&folders).filter(|folder| folder.is_absolute());
    set.chain(more)
        .chain(armhf)
        .chain(usual.iter().cloned())
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_plugin_is_known_by_its_name() {
        for (path, expected) in [
            ("/usr/lib/mosquitto_iotda_auth.so", true),
            ("libmosquitto_iotda_auth.so", true),
            ("/x/mosquitto_iotda_auth.so.1", true),
            // 2.1 takes the blank into the name, and does not find it; it is meant for ours all the same.
            (" /x/mosquitto_iotda_auth.so ", true),
            ("/usr/lib/mosquitto_iotda_authority.so", false),
            ("/mosquitto_iotda_auth/other.so", false),
            ("", false),
        ] {
            assert_eq!(is_ours(path), expected, "{path}");
        }
    }
}
