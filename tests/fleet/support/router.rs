//! HAProxy in front of the brokers, with the configuration that is shipped.

use crate::{Folder, part};
use std::{
    fs::{self, File},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use support::{
    broker::{free_port, wait_within},
    library::root,
};

/// A broker behind the router.
#[derive(Clone, Copy, Debug)]
pub struct Behind {
    pub port: u16,
    /// Whether it is told the client's address, by PROXY.
    pub has_proxy_protocol: bool,
}

/// A running HAProxy, stopped with the value.
pub struct Router {
    folder: Folder,
    port: u16,
    child: Child,
}

/// The configuration that is shipped, without the user and group that HAProxy becomes: a machine that only unpacked it has none.
pub fn shipped() -> String {
    let text = fs::read_to_string(root().join("packaging/haproxy/haproxy.cfg")).unwrap();
    let is_kept = |line: &&str| !["user haproxy", "group haproxy"].contains(&line.trim());
    let kept: Vec<_> = text.lines().filter(is_kept).collect();
    assert_eq!(text.lines().count() - kept.len(), 2, "HAProxy becomes a user and a group");
    kept.join("\n") + "\n"
}

/// The configuration that is shipped, with these addresses in place of its own.
fn configuration(shipped: &str, port: u16, brokers: &[Behind]) -> String {
    let mut lines = Vec::new();
    let mut shipped_servers = 0;
    for line in shipped.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("bind ") {
            lines.push(format!("    bind 127.0.0.1:{port}"));
        } else if trimmed.starts_with("server ") {
            shipped_servers += 1;
            if shipped_servers > 1 {
                continue;
            }
            for (number, broker) in (1..).zip(brokers) {
                let proxy = if broker.has_proxy_protocol { " send-proxy-v2" } else { "" };
                lines.push(format!("    server broker-{number} 127.0.0.1:{}{proxy}", broker.port));
            }
        } else {
            lines.push(line.into());
        }
    }
    assert_eq!(shipped_servers, 3, "the servers of the configuration");
    lines.join("\n") + "\n"
}

impl Router {
    /// Starts HAProxy, and waits until it listens.
    pub fn start(release: &str, brokers: &[Behind]) -> Self {
        let (folder, port) = (Folder::new(), free_port());
        let config = folder.path().join("haproxy.cfg");
        fs::write(&config, configuration(&shipped(), port, brokers)).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = haproxy(release, &config)
            .arg("-db")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("haproxy runs");
        let router = Self { folder, port, child };
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        wait_within(Duration::from_secs(20), listens).unwrap_or_else(|| panic!("{}", router.log()));
        router
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("HAProxy:\n{}", self.log());
        }
    }
}

/// The releases of HAProxy that the shipped configuration is for: those of Debian 12 and 13.
pub const RELEASES: [&str; 2] = ["haproxy-2.6", "haproxy-3.0"];

/// HAProxy with a configuration.
pub fn haproxy(release: &str, config: &Path) -> Command {
    let mut command = Command::new(part(release, "haproxy"));
    command.arg("-f").arg(config);
    command
}
