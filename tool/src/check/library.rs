//! Can the broker load this library?

use super::{
    conf::{Attached, Config, Plugin},
    finding::{Finding, Id},
    instances,
};
use iotda_files::why_not;
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// What a library for the broker has one of.
const ENTRIES: [&[u8]; 2] = [b"mosquitto_plugin_version\0", b"mosquitto_auth_plugin_version\0"];

/// The beginning of a program or library (ELF).
pub(crate) type Header = [u8; 20];

/// That of this program. Another user may not look at it.
pub(crate) fn own_header() -> Option<Header> {
    let mut header = Header::default();
    File::open("/proc/self/exe").and_then(|mut file| file.read_exact(&mut header)).ok()?;
    Some(header)
}

/// What keeps the broker from loading its plugins. As the broker's user.
pub(crate) fn check(config: &Config, own: Option<Header>, findings: &mut Vec<Finding>) {
    // 2.1 does not open a library that no plugin_use names, and says so elsewhere.
    let is_opened = |plugin: &&Plugin| {
        plugin
            .uses
            .iter()
            .any(|(attached, _)| !matches!(attached, Attached::Refused | Attached::NotLoaded))
    };
    for plugin in config.plugins.iter().filter(is_opened) {
        let Plugin { path, at, .. } = plugin;
        let file = if path.contains('/') {
            PathBuf::from(path)
        } else if let Some(found) = instances::found_by_name(path) {
            found
        } else {
            let found = format!("plugin \"{path}\": not found where the system has its libraries");
            findings.push(Finding::new(Id::PluginByName, at, found));
            continue;
        };
        if let Some(fault) = fault(&file, own) {
            let blanks = if path.trim() == path {
                ""
            } else {
                "; Mosquitto 2.1 takes a second blank before a path, and one behind it, into the name"
            };
            let found = format!("plugin \"{path}\": {fault}{blanks}");
            findings.push(Finding::new(Id::PluginFile, at, found));
        }
    }
}

fn fault(file: &Path, own: Option<Header>) -> Option<String> {
    if let Some(obstacle) = why_not(file) {
        return Some(format!("cannot be read: {obstacle}"));
    }
    let content = match fs::read(file) {
        Ok(content) => content,
        Err(error) => return Some(format!("cannot be read: {error}")),
    };
    if content.get(..4) != Some(b"\x7FELF") || content.get(16..18) != shared_object(&content) {
        return Some("expected a library (ELF), found something else".into());
    }
    // The tool comes in the same package as the plugin. A 32-bit tool may be beside a 64-bit broker, but hardly by design.
    let kind = |header: &[u8]| Some((header.get(4..6)?.to_vec(), header.get(18..20)?.to_vec()));
    if own.is_some_and(|own| kind(&own) != kind(&content)) {
        return Some("is a library for another kind of processor".into());
    }
    let is_there = |entry: &[u8]| memchr::memmem::find(&content, entry).is_some();
    if !ENTRIES.iter().any(|entry| is_there(entry)) {
        return Some("expected a library with mosquitto_plugin_version, found one without".into());
    }
    None
}

/// The file type "shared object", in the file's own byte order.
fn shared_object(content: &[u8]) -> Option<&'static [u8]> {
    match content.get(5)? {
        1 => Some(&[3, 0]),
        2 => Some(&[0, 3]),
        _ => None,
    }
}
