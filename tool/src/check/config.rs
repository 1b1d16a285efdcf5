//! What is wrong with a broker's configuration and all that it names?

use super::{
    conf::{self, Config, Place, Version, broker},
    files,
    finding::{Finding, Severity},
    instances, library, report, secrets,
    traps::{self, Seen},
    user::{self, Opener},
};
use crate::{
    args::{self, ReportFormat},
    terminal::{Answer, Failure, say, shown},
};
use iotda_core::log::Count;
use iotda_files::why_not;
use serde_json::json;
use std::path::Path;

/// What one broker would find.
struct Examined {
    findings: Vec<Finding>,
    instances: Vec<Loaded>,
    opener: Opener,
}

/// An instance, for the summary.
#[derive(Debug)]
struct Loaded {
    at: Place,
    plugin: String,
    secrets_file: String,
    listeners: Vec<String>,
    devices: Option<usize>,
}

/// Prints all that is found.
pub(super) fn run(file: &Path, args: &args::Check) -> Result<Answer, Failure> {
    let version = version(args.broker.as_deref())?;
    let Examined { findings, instances, opener } = match version {
        Some(version) => examine(file, version, args.user.as_deref())?,
        None => both(file, args.user.as_deref())?,
    };
    let broker = version.map(|version| version.to_string());
    match args.format {
        ReportFormat::Text => {
            let broker =
                broker.as_deref().unwrap_or("2.0 and 2.1 (none is installed; --broker says which)");
            report::text(&findings, &summary(file, broker, &opener, &findings, &instances))?;
        }
        ReportFormat::Json => {
            let instances: Vec<_> = instances.iter().map(Loaded::json).collect();
            report::json(
                &findings,
                json!({ "broker": broker, "user": opener.name, "instances": instances }),
            )?;
        }
    }
    if let Some(note) = opener.note() {
        say(format_args!("{note}"));
    }
    Ok(report::answer(&findings, args.strict))
}

/// The broker that is meant; `None` if that is not known.
fn version(given: Option<&str>) -> Result<Option<Version>, Failure> {
    let Some(given) = given else { return Ok(broker::installed()) };
    if let Ok(version) = given.parse() {
        return Ok(Some(version));
    }
    broker::of_program(Path::new(given)).map(Some).ok_or_else(|| {
        let found = shown(Path::new(given)).to_string();
        Failure::new(format!(
            "--broker: expected a version like 2.0.21 or the path of a broker, found {found}"
        ))
    })
}

/// What a broker of this version would find.
fn examine(file: &Path, version: Version, user: Option<&str>) -> Result<Examined, Failure> {
    let config = conf::read(file, version).map_err(|error| {
        let why = why_not(file).map_or_else(|| error.to_string(), |obstacle| obstacle.to_string());
        Failure::new(format!("{}: cannot be read: {why}", shown(file)))
    })?;
    let mut findings = Vec::new();
    let opener = user::opener(user, Some(&config), &mut findings)?;
    let (instances, wrong) = instances::of(&config, version);
    findings.extend(wrong);
    let own = library::own_header();
    let (found, counts) = opener.call(|| {
        let mut findings = Vec::new();
        library::check(&config, own, &mut findings);
        files::check(&config, version, &mut findings);
        let check = |instance| secrets::check(instance, opener.uid, &mut findings);
        let counts: Vec<_> = instances.iter().map(check).collect();
        (findings, counts)
    })?;
    findings.extend(found);
    for instance in &instances {
        secrets::check_mount(instance, &mut findings);
    }
    traps::check(
        Seen { config: &config, version, instances: &instances, counts: &counts, main: file },
        &mut findings,
    );
    sort(&mut findings, file);
    let loaded = instances.iter().zip(&counts).map(|(instance, counts)| Loaded {
        at: instance.plugin.at.clone(),
        plugin: instance.plugin.path.clone(),
        secrets_file: instance.options.secrets_file.to_string_lossy().into_owned(),
        listeners: listeners(&config, &instance.serves),
        devices: counts.map(|counts| counts.devices),
    });
    let instances = loaded.collect();
    Ok(Examined { findings, instances, opener })
}

/// Without a known version: what both series find stays; what only one finds is said of that, and an error is a warning.
fn both(file: &Path, user: Option<&str>) -> Result<Examined, Failure> {
    let [older, newer] = broker::SERIES;
    let mut examined = examine(file, newer, user)?;
    let of_older = examine(file, older, user)?.findings;
    let mut findings: Vec<_> = Vec::new();
    let only = |finding: &Finding, version: Version| Finding {
        severity: Severity::Warning,
        found: format!("with Mosquitto {}: {}", version.series(), finding.found),
        ..finding.clone()
    };
    for finding in &of_older {
        let is_shared = examined.findings.contains(finding);
        findings.push(if is_shared { finding.clone() } else { only(finding, older) });
    }
    let newly = examined.findings.iter().filter(|finding| !of_older.contains(finding));
    findings.extend(newly.map(|finding| only(finding, newer)));
    sort(&mut findings, file);
    examined.findings = findings;
    Ok(examined)
}

/// The main file first, each file by its lines.
fn sort(findings: &mut [Finding], main: &Path) {
    findings.sort_by(|one, other| {
        let key = |finding: &Finding| (*finding.at.file != *main, finding.at.clone());
        key(one).cmp(&key(other))
    });
}

fn listeners(config: &Config, served: &[usize]) -> Vec<String> {
    let found = served.iter().filter_map(|position| config.listeners.get(*position));
    found.map(ToString::to_string).collect()
}

impl Loaded {
    fn json(&self) -> serde_json::Value {
        json!({
            "file": self.at.file.to_string_lossy(),
            "line": self.at.line,
            "plugin": self.plugin,
            "secrets_file": self.secrets_file,
            "listeners": self.listeners,
            "devices": self.devices,
        })
    }
}

/// `mosquitto.conf: 1 error, 2 warnings, 1 plugin line, 12 devices; as Mosquitto 2.0.21, as user mosquitto`.
fn summary(
    file: &Path,
    broker: &str,
    opener: &Opener,
    findings: &[Finding],
    instances: &[Loaded],
) -> String {
    let [errors, warnings] = [(Severity::Error, "error"), (Severity::Warning, "warning")]
        .map(|(severity, name)| Count(report::count(findings, severity) as u64, name));
    let lines = Count(instances.len() as u64, "line");
    let devices =
        Count(instances.iter().filter_map(|loaded| loaded.devices).sum::<usize>() as u64, "device");
    let (file, user) = (shown(file), &opener.name);
    format!(
        "{file}: {errors}, {warnings}; {lines} with this plugin, {devices}; as Mosquitto {broker}, as user {user}"
    )
}
