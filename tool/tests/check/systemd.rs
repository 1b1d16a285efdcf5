//! The check before each start of the broker.

use crate::{Folder, RIGHT, user, whole};
use std::{fs, process::Command};
use support::{library::tool_path, tool::Said};

/// The systemd drop-in's own line, with this tool and a configuration of ours in place of the installed ones.
#[test]
fn the_systemd_drop_in_works() {
    let path =
        support::library::root().join("packaging/systemd/mosquitto.service.d/iotda-auth.conf");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStartPre=")).unwrap();
    let script =
        line.strip_prefix("/bin/sh -c '").and_then(|rest| rest.strip_suffix('\'')).unwrap();
    // systemd would take these for its own.
    assert!(!script.contains(['\'', '%', '$', '\\']), "{script}");
    let sections: Vec<_> = text.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(sections, ["[Service]"]);
    for line in text.lines() {
        assert!(line.is_empty() || line.starts_with(['#', '[']) || line.contains('='), "{line}");
    }
    let folder = Folder::new();
    for (config, expected) in [(RIGHT.to_string(), 0), (whole("plugin_opt_x_y 1"), 1)] {
        let config =
            folder.0.file("mosquitto.conf", folder.fill(&format!("user {}\n{config}", user())));
        let script = script.replace("/etc/mosquitto/mosquitto.conf", config.to_str().unwrap());
        // Where the tool was removed, the broker starts all the same.
        for (tool, expected) in [(tool_path(), expected), ("/none/iotda-auth", 0)] {
            let script = script.replace("/usr/bin/iotda-auth", tool);
            let output = Command::new("/bin/sh").args(["-c", &script]).output();
            assert_eq!(Said::of(output.unwrap()).status, expected, "{script}");
        }
    }
    // systemd's own opinion, where it is installed.
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else { return };
    assert!(version.status.success());
    let drop_ins = folder.0.path().join("mosquitto.service.d");
    fs::create_dir(&drop_ins).unwrap();
    fs::write(drop_ins.join("iotda-auth.conf"), text.replace("/usr/bin/iotda-auth", tool_path()))
        .unwrap();
    let unit = folder.0.file("mosquitto.service", "[Service]\nExecStart=/bin/true\n");
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.0.path().display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("iotda"), "{said}");
}
