//! What the broker's user may open, and what is mounted.

use crate::{Folder, RIGHT, is_root};
use std::{fs, process::Command};
use support::{library::tool_path, scratch::set_mode, tool::tool};

#[test]
fn the_files_are_opened_as_the_brokers_user() {
    let folder = Folder::new();
    if !is_root() {
        // Then nothing can be tried as another user, and that is said.
        let said = folder.check(RIGHT, &["--broker", "2.1.2", "--as", "root"]);
        assert!(
            said.err.contains("not as the broker's user root: run it as root (sudo)"),
            "{said:?}"
        );
        assert_eq!(said.status, 0);
        return;
    }
    // The folder of this test may be in one that others cannot enter.
    let place = std::env::temp_dir().join(format!("iotda-check-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let secrets = place.join("iotda.secrets");
    fs::write(&secrets, "lamp:5f2b9c0e7d\n").unwrap();
    set_mode(&secrets, 0o600);
    fs::copy(
        folder.0.path().join("mosquitto_iotda_auth.so"),
        place.join("mosquitto_iotda_auth.so"),
    )
    .unwrap();
    set_mode(&place.join("mosquitto_iotda_auth.so"), 0o644);
    let config = format!(
        "user nobody\nlistener 1883\nplugin {0}/mosquitto_iotda_auth.so\nplugin_opt_secrets_file {0}/iotda.secrets\n",
        place.display()
    );
    let check = |config: &str, more: &[&str]| {
        let said = folder.check(config, &[&["--broker", "2.1.2"], more].concat());
        said.out
            .lines()
            .filter(|line| line.contains(": error: "))
            .map(String::from)
            .collect::<Vec<_>>()
    };
    set_mode(&place, 0o755);
    let found = check(&config, &[]);
    assert!(
        found.len() == 1
            && found[0].contains(":4: error: secrets_file")
            && found[0].contains("user nobody (uid 65534")
            && found[0].contains(
                "may not read the file (root:root, mode 0600): chgrp nogroup and chmod 640"
            ),
        "{found:?}"
    );
    assert_eq!(check(&config, &["--as", "root"]), [""; 0]);
    // The group alone is enough.
    std::os::unix::fs::chown(&secrets, Some(0), Some(65_534)).unwrap();
    set_mode(&secrets, 0o640);
    assert_eq!(check(&config, &[]), [""; 0]);
    // A folder that is shut keeps the plugin out too.
    set_mode(&place, 0o700);
    let found = check(&config, &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].contains("may not enter the folder"), "{found:?}");
    // `check FILE` knows it too.
    let file = secrets.to_str().unwrap();
    let said = tool(["check", file, "--as", "nobody"]);
    assert_eq!(said.status, 2, "{said:?}");
    assert!(said.err.contains("may not enter the folder"), "{said:?}");
    tool(["check", file]).is(0, &format!("{file}: 1 device\n"), "");
    fs::remove_dir_all(&place).unwrap();

    let found = check(&config.replace("user nobody", "user iotda-nobody"), &[]);
    assert!(found[0].contains(":1: error: user: there is no user \"iotda-nobody\""), "{found:?}");
    folder
        .check(&config, &["--as", "iotda-nobody"])
        .is_misuse("--as: there is no user \"iotda-nobody\"");
}

#[test]
fn a_file_that_is_mounted_alone_is_named() {
    let folder = Folder::new();
    let secrets = folder.0.path().join("right");
    let config = folder.0.file("mosquitto.conf", folder.fill(RIGHT));
    let script = format!(
        "mount --bind {0} {0} && exec {1} check --broker 2.1.2 --as root --config {2}",
        secrets.display(),
        tool_path(),
        config.display()
    );
    let mut command = Command::new("unshare");
    let flags: &[&str] = if is_root() { &["--mount"] } else { &["--mount", "--map-root-user"] };
    command.args(flags).args(["sh", "-c", &script]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("this plugin") && std::env::var_os("CI").is_none() {
        eprintln!(
            "not tested: nothing can be mounted here: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    assert!(
        said.contains(":5: warning: secrets_file") && said.contains("[secrets-mount]"),
        "{said}"
    );
}
