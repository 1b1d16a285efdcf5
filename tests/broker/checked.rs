//! `iotda-auth check --config` against the brokers: what it calls an error keeps the broker from starting, and nothing else does.
//!
//! Configurations and secrets files are made at random, right ones and broken ones. A failure prints the seed; with
//! IOTDA_CHECK_SEED=SEED only that one is played.

use fastrand::Rng;
use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};
use support::{
    broker::{Setup, free_port, user_line, wait},
    library, on_every_broker,
    tool::tool,
    version::Version,
};

on_every_broker!(an_error_is_what_keeps_the_broker_from_starting,);

/// How long each broker is tried.
const TIME: Duration = Duration::from_secs(25);

fn an_error_is_what_keeps_the_broker_from_starting(version: Version) {
    let place = Place::new();
    if let Ok(seed) = env::var("IOTDA_CHECK_SEED") {
        place.play(version, seed.parse().expect("a number"));
        return;
    }
    // The tool is built on its first use.
    library::tool();
    let begin = Instant::now();
    // CI plays the same ones each time: a new finding there would stop a change that has nothing to do with it.
    let first = if env::var_os("CI").is_some() { 1 } else { fastrand::u64(..) };
    let (mut started, mut refused) = (0, 0);
    for seed in (0..).map(|n| first.wrapping_add(n)) {
        // A slow machine gets more time, so that it tries something at all.
        let is_enough = started >= 10 && refused >= 10;
        if begin.elapsed() > if is_enough { TIME } else { 4 * TIME } {
            break;
        }
        if place.play(version, seed) {
            started += 1;
        } else {
            refused += 1;
        }
    }
    println!("{version}: {started} started, {refused} refused, from IOTDA_CHECK_SEED={first}");
    assert!(started >= 10 && refused >= 10, "{started} started, {refused} refused");
}

/// A folder that the broker's user can enter, with the plugin in it.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Place {
    fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = env::temp_dir().join(format!("iotda-checked-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        set_mode(&path, 0o755);
        fs::copy(library::release(), path.join("mosquitto_iotda_auth.so")).unwrap();
        Self(path)
    }

    /// Makes a configuration, and asks the tool and the broker. Returns whether the broker starts.
    fn play(&self, version: Version, seed: u64) -> bool {
        let folder = self.0.join(seed.to_string());
        fs::create_dir(&folder).unwrap();
        let maker = Maker {
            rng: Rng::with_seed(seed),
            folder: folder.clone(),
            plugin: self.0.join("mosquitto_iotda_auth.so"),
            is_root: !user_line().is_empty(),
        };
        let (config, port) = maker.config();
        let mut broker = Setup::new(version).whole_config(&config, port).launch();
        let file = broker.scratch().path().join("mosquitto.conf");
        let version = version.to_string();
        let said = tool(["check", "--config", file.to_str().unwrap(), "--broker", &version]);
        let says_yes = match said.status {
            0 => true,
            1 => false,
            _ => panic!("IOTDA_CHECK_SEED={seed}: {said:?}\n{config}"),
        };
        let starts = wait(|| {
            if broker.log().contains(" running\n") {
                Some(true)
            } else {
                (!broker.is_running()).then_some(false)
            }
        });
        // 2.0.11 reads a folder as a password_file for ever: that is no start either.
        let starts = starts.unwrap_or(false);
        assert_eq!(
            says_yes,
            starts,
            "IOTDA_CHECK_SEED={seed} on {version}\n--- the tool says\n{}{}--- the broker says\n{}--- the configuration\n{config}",
            said.out,
            said.err,
            broker.log()
        );
        let _ = fs::remove_dir_all(&folder);
        starts
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Settings of some broker, whose value is nothing that other processes could be in the way of.
const SETTINGS: &str = "\
    allow_anonymous allow_zero_length_clientid autosave_interval check_retain_source clientid_prefixes \
    connection_messages max_inflight_messages max_keepalive max_packet_size max_queued_messages \
    message_size_limit per_listener_settings persistent_client_expiration queue_qos0_messages \
    retain_available retain_expiry_interval retry_interval sys_interval upgrade_outgoing_qos \
    websockets_headers_size websockets_log_level enable_control_api global_max_clients packet_buffer_size \
    auto_id_prefix max_connections max_qos maximum_qos max_topic_alias mount_point psk_hint \
    require_certificate use_identity_as_username use_subject_as_username use_username_as_clientid \
    accept_protocol_versions enable_proxy_protocol listener_allow_anonymous listener_auto_id_prefix \
    max_topic_alias_broker dhparamfile tls_keyform log_facility start_type keepalive_interval \
    auth_plugin_deny_special_chars plugin_use plugin_opt_session_id plugin_opt_keepalive plugin_opt_stats \
    plugin_opt_x auth_opt_takeover_limit acl_file password_file certfile keyfile include_dir nonsense \
    http_dir ciphers";

/// Makes one configuration.
struct Maker {
    rng: Rng,
    folder: PathBuf,
    plugin: PathBuf,
    is_root: bool,
}

impl Maker {
    /// The text, and the port of its first listener.
    fn config(mut self) -> (String, u16) {
        let port = free_port();
        let mut lines = self.skeleton(port);
        // Half of them are right, as far as chance allows.
        let changes = if self.rng.bool() { 0 } else { self.rng.usize(1..3) };
        for _ in 0..changes {
            self.spoil(&mut lines);
        }
        if self.is_root {
            lines.insert(0, "user nobody".into());
        }
        let end = self.pick(&["\n", "\n", "\n", "\r\n"]);
        let text: String = lines.iter().flat_map(|line| [line.as_str(), end]).collect();
        let cut = if self.rng.u8(..) < 50 { end.len() } else { 0 };
        (text[..text.len() - cut].into(), port)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.usize(..from.len())]
    }

    /// A right configuration for some broker.
    fn skeleton(&mut self, port: u16) -> Vec<String> {
        let listener = format!("listener {port} 127.0.0.1");
        let plugin = format!("plugin {}", self.plugin());
        let options = self.options();
        let mut lines = Vec::new();
        match self.rng.u8(..10) {
            0 => {
                lines.extend([plugin]);
                lines.extend(options);
                lines.push(listener);
            }
            1 => {
                lines.extend(["per_listener_settings true".into(), listener, plugin]);
                lines.extend(options);
                let second = self.options();
                lines.push(format!("listener {} 127.0.0.1", free_port()));
                lines.push(format!("auth_plugin {}", self.plugin()));
                lines.extend(second);
            }
            2 => {
                lines.push(format!("plugin_load a {}", self.plugin()));
                lines.extend(options);
                lines.extend([listener, "plugin_use a".into()]);
            }
            3 => {
                lines.push(format!("global_{plugin}"));
                lines.extend(options);
                lines.push(listener);
            }
            4 => {
                let folder = self.folder.join("conf.d");
                fs::create_dir(&folder).unwrap();
                let included = [plugin].into_iter().chain(options).collect::<Vec<_>>().join("\n");
                fs::write(folder.join("iotda.conf"), included).unwrap();
                fs::write(folder.join("not-read"), "nonsense").unwrap();
                lines.extend([listener, format!("include_dir {}", folder.display())]);
            }
            5 => {
                lines.extend([format!("port {port}"), "bind_address 127.0.0.1".into(), plugin]);
                lines.extend(options);
            }
            _ => {
                lines.extend(["# a comment".into(), listener, String::new(), plugin]);
                lines.extend(options);
            }
        }
        lines
    }

    /// The path of the plugin, or of something that is none.
    fn plugin(&mut self) -> String {
        let link = self.folder.join("libmosquitto_iotda_auth.so");
        let text = self.folder.join("mosquitto_iotda_auth.so");
        match self.rng.u8(..40) {
            0 => "/missing/mosquitto_iotda_auth.so".into(),
            1 => {
                fs::write(&text, "not a library").unwrap();
                text.display().to_string()
            }
            2 => self.folder.display().to_string(),
            3 => format!(" {}", self.plugin.display()),
            4 => format!("{} ", self.plugin.display()),
            5 if self.is_root => {
                fs::copy(&self.plugin, &text).unwrap();
                set_mode(&text, 0o700);
                text.display().to_string()
            }
            6..10 => {
                let _ = symlink(&self.plugin, &link);
                link.display().to_string()
            }
            _ => self.plugin.display().to_string(),
        }
    }

    fn options(&mut self) -> Vec<String> {
        let mut options = vec![format!("plugin_opt_secrets_file {}", self.secrets().display())];
        for _ in 0..self.rng.usize(..3) {
            options.push(
                self.pick(&[
                    "plugin_opt_keepalive any",
                    "plugin_opt_sign_types 0, 1",
                    "plugin_opt_exact_connack_ports 1883",
                    "auth_opt_failure_limit 20/1m",
                    "plugin_opt_one_connection   no \t",
                    "plugin_opt_reload_interval\t10s",
                    "plugin_opt_other_clients defer",
                ])
                .into(),
            );
        }
        options
    }

    /// A secrets file, or something that is none.
    fn secrets(&mut self) -> PathBuf {
        let folder = self.folder.join(format!("secrets-{}", self.rng.u32(..)));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("iotda.secrets");
        let right = "lamp:5f2b9c0e7d\nmeter:newsecret1:secondary=oldsecret1\n";
        let content: &[u8] = match self.rng.u8(..30) {
            0 => b"",
            1 => b"# nobody yet\n",
            2 => b"lamp:5f2b9c0e7d",
            3 => b"lamp:5f2b9c0e7d\nlamp:5f2b9c0e7d\n",
            4 => b"lamp-5f2b9c0e7d\n",
            5 => b"lamp:5f2b9c0e7d\nmeter:5f2",
            6 => b"l\0a\0m\0p\0",
            7 => b"\xEF\xBB\xBFlamp:5f2b9c0e7d\r\n",
            8 => b"lamp:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n",
            9 => b"{\"device_id\": \"dev_1\", \"secret\": \"abcdefgh1\"}",
            _ => right.as_bytes(),
        };
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
        if self.is_root {
            chown(&path, Some(0), Some(65_534)).unwrap();
            set_mode(&path, 0o640);
        }
        match self.rng.u8(..40) {
            0 => set_mode(&path, 0o602),
            1 => set_mode(&path, 0),
            2 => set_mode(&folder, 0),
            3 => set_mode(&path, 0o644),
            4 => return folder,
            5 => return folder.join("missing"),
            6 => return "/dev/null".into(),
            7 if self.is_root => chown(&path, Some(0), Some(0)).unwrap(),
            8 if self.is_root => {
                chown(&path, Some(65_534), Some(0)).unwrap();
                set_mode(&path, 0o600);
            }
            9 | 10 => {
                let link = self.folder.join(format!("link-{}", self.rng.u32(..)));
                symlink(&path, &link).unwrap();
                if self.rng.bool() {
                    fs::remove_file(&path).unwrap();
                }
                return link;
            }
            _ => {}
        }
        path
    }

    /// Adds, changes or takes out a line.
    fn spoil(&mut self, lines: &mut Vec<String>) {
        let at = self.rng.usize(..=lines.len());
        let there = at.min(lines.len().saturating_sub(1));
        match self.rng.u8(..10) {
            0 if lines.len() > 1 && !lines[there].starts_with("listener") => {
                lines.remove(there);
            }
            1 => {
                let line = lines[there].clone();
                // A second listener on the same port is not ours to judge.
                if !line.starts_with("listener") && !line.starts_with("port") {
                    lines.insert(at, line);
                }
            }
            2 if !is_listener(&lines[there]) => {
                let odd = self.pick(&[" ", "\t", "\u{FEFF}", " # "]);
                lines[there].insert_str(0, odd);
            }
            3 if !is_listener(&lines[there]) => {
                let odd = self.pick(&[" ", "\t", " # comment", "\u{1}", "x"]);
                lines[there].push_str(odd);
            }
            4 => {
                // Behind the listener, so that the broker still has one.
                let first = lines.iter().position(|line| is_listener(line));
                if first.is_some_and(|first| at > first) {
                    lines.insert(at, format!("#{}", "x".repeat(self.rng.usize(990..1010))));
                    lines.insert(at + 1, self.pick(&["keep\0alive 1", "\0", "user\0"]).into());
                }
            }
            _ => {
                let line = self.setting();
                lines.insert(at, line);
            }
        }
    }

    /// A line for some broker, right or wrong.
    fn setting(&mut self) -> String {
        let file = self.some_file();
        let settings: Vec<_> = SETTINGS.split_whitespace().collect();
        let name = self.pick(&settings);
        let value = match name {
            "acl_file" | "password_file" | "certfile" | "keyfile" | "include_dir" | "http_dir" => {
                &file
            }
            // A hint opens a TLS listener, which is refused where there is no key for it.
            "persistent_client_expiration" => self.pick(&["2h", "1s", "0d", "h", "2", "3w x", ""]),
            "plugin_opt_session_id" => self.pick(&["device", "client", "Device"]),
            "plugin_use" => self.pick(&["a", "b", ""]),
            "accept_protocol_versions" => self.pick(&["3,4", "5", " ", "x"]),
            _ => self.pick(&[
                "true",
                "false",
                "1",
                "0",
                "yes",
                "",
                " true",
                "true # comment",
                "true\t",
                "10",
                "-1",
                "2x",
                "0x10",
                "010",
                "09",
                "65535",
                "65536",
                "70000",
                "text",
                "a\tb",
                "99999999999",
                "+/x",
                "2",
            ]),
        };
        if value.is_empty() { name.into() } else { format!("{name} {value}") }
    }

    /// A file or folder that the broker's user can read, or not.
    fn some_file(&mut self) -> String {
        let path = self.folder.join(format!("file-{}", self.rng.u32(..)));
        match self.rng.u8(..6) {
            0 => return format!("{}-missing", path.display()),
            1 => {
                fs::create_dir(&path).unwrap();
                if self.rng.bool() {
                    fs::create_dir(path.join("folder.conf")).unwrap();
                }
                return path.display().to_string();
            }
            2 => {
                let target = path.with_extension("target");
                fs::write(&target, "").unwrap();
                symlink(target, &path).unwrap();
                return path.display().to_string();
            }
            3 => {
                fs::write(&path, "").unwrap();
                set_mode(&path, 0);
            }
            _ => {
                fs::write(&path, "").unwrap();
                set_mode(&path, 0o644);
            }
        }
        path.display().to_string()
    }
}

fn is_listener(line: &str) -> bool {
    ["listener", "port", "bind_address"].iter().any(|name| line.starts_with(name))
}
