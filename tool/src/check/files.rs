//! Can the broker's user open the other files that the broker needs at start? Their content is the broker's affair.

use super::{
    conf::{Config, Given, Version},
    finding::{Finding, Id},
};
use iotda_files::why_not;
use std::{env, fs, os::unix::fs::FileTypeExt, path::Path};

/// Files of who may do what. 2.1 opens them without following a link (`mosquitto_fopen` in `file_common.c`, 2.1.2).
const SECURITY: [&str; 3] = ["acl_file", "password_file", "psk_file"];
/// Files of a TLS listener.
const TLS: [&str; 4] = ["cafile", "certfile", "keyfile", "crlfile"];

/// Checks them all. As the broker's user.
pub(crate) fn check(config: &Config, version: Version, findings: &mut Vec<Finding>) {
    let listeners = &config.listeners;
    for name in SECURITY {
        let given: Vec<&Given> = if config.per_listener {
            listeners.iter().filter_map(|listener| listener.settings.get(name)).collect()
        } else {
            config.settings.get(name).into_iter().collect()
        };
        for given in given {
            let is_link =
                || fs::symlink_metadata(&given.text).is_ok_and(|found| found.is_symlink());
            let may_be_link =
                !version.is_2_1() || env::var_os("MOSQUITTO_UNSAFE_ALLOW_SYMLINKS").is_some();
            if !may_be_link && is_link() {
                let found = format!(
                    "{name} {}: a symbolic link, which Mosquitto 2.1 does not open",
                    given.text
                );
                findings.push(Finding::new(Id::BrokerFileLink, &given.at, found));
            } else if version.wants_regular_files()
                || !opens(&given.text)
                || (name != "acl_file" && Path::new(&given.text).is_dir())
            {
                file(name, given, findings);
            }
        }
    }
    for listener in listeners.iter().filter(|listener| listener.is_tls()) {
        for name in TLS {
            if let Some(given) = listener.settings.get(name) {
                file(name, given, findings);
            }
        }
    }
}

/// Whether `fopen` succeeds, also with a directory. As an acl_file that is as good as an empty file; of any other, 2.0.11 waits for
/// the end for ever (`pwfile__parse` in `security_default.c`). A pipe is not opened.
fn opens(path: &str) -> bool {
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    !is_pipe && fs::File::open(path).is_ok()
}

fn file(name: &str, given: &Given, findings: &mut Vec<Finding>) {
    if let Some(obstacle) = why_not(Path::new(&given.text)) {
        let found = format!("{name} {}: cannot be read: {obstacle}", given.text);
        findings.push(Finding::new(Id::BrokerFile, &given.at, found));
    }
}
