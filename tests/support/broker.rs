//! Real brokers: Debian's Mosquittos, each on a separate port.

use super::{BROKERS, library, scratch::Scratch, version::Version};
use std::{
    env,
    ffi::OsString,
    fs,
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long a broker may take for anything before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first and the last of [`BROKERS`].
pub const OLDEST: Version = BROKERS[0];
/// The tests' name for the newest broker. Debian may have a later version in its place.
pub const NEWEST: Version = BROKERS[BROKERS.len() - 1];

/// The unpacked broker of a version; its folder has the version's name. For the newest, this is the newest one in the cache,
/// of its series or a later one.
///
/// # Panics
///
/// If it is not there: a test must not pass without its broker.
pub fn installation(version: Version) -> PathBuf {
    let brokers = cache_folder("IOTDA_BROKERS", "brokers");
    let folder = if version == NEWEST {
        newest_below(&brokers)
    } else {
        Some(brokers.join(version.to_string()))
    };
    folder.filter(|folder| folder.join("mosquitto").is_file()).unwrap_or_else(|| {
        panic!("no Mosquitto {version} in {}: ./dev test brings it", brokers.display())
    })
}

/// The folder with the highest version, of the newest's series or a later one.
fn newest_below(brokers: &Path) -> Option<PathBuf> {
    let found = fs::read_dir(brokers).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: Version = path.file_name()?.to_str()?.parse().ok()?;
        (version >= NEWEST.series()).then_some((version, path))
    });
    found.max().map(|(_, path)| path)
}

/// The real version of the broker with that name.
pub fn real_version(version: Version) -> Version {
    installation(version).file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// A version's dynamic-security plugin, which Debian has put into more than one place.
pub fn dynamic_security(version: Version) -> PathBuf {
    let folder =
        installation(version).join(format!("root/usr/lib/{}-linux-gnu", env::consts::ARCH));
    ["mosquitto/mosquitto_dynamic_security.so", "mosquitto_dynamic_security.so"]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .expect("dynamic-security")
}

/// A folder that `./dev` uses: the one that an environment variable names, or one in the user's cache.
pub fn cache_folder(variable: &str, name: &str) -> PathBuf {
    let default = || {
        let cache = env::var_os("XDG_CACHE_HOME").map_or_else(
            || PathBuf::from(env::var_os("HOME").expect("a home folder")).join(".cache"),
            PathBuf::from,
        );
        cache.join("mosquitto-iotda-auth").join(name)
    };
    env::var_os(variable).map_or_else(default, PathBuf::from)
}

/// A broker's configuration.
pub struct Setup {
    /// The program.
    mosquitto: PathBuf,
    /// The plugin. If it is not set, the library that ships is built and used.
    plugin: Option<PathBuf>,
    scratch: Scratch,
    secrets: Option<PathBuf>,
    before: String,
    after: String,
    port: u16,
    /// A program that starts the broker, and its arguments; the broker's own command follows them.
    starter: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// A whole configuration, which replaces all other settings.
    whole: Option<String>,
}

impl Setup {
    /// A broker with our plugin and a listener, and no other settings.
    pub fn new(version: Version) -> Self {
        Self::of(installation(version).join("mosquitto"))
    }

    /// The same for any Mosquitto binary.
    pub fn of(mosquitto: PathBuf) -> Self {
        Self {
            mosquitto,
            plugin: None,
            scratch: Scratch::new(),
            secrets: None,
            before: String::new(),
            after: String::new(),
            port: free_port(),
            starter: Vec::new(),
            environment: Vec::new(),
            whole: None,
        }
    }

    /// The port of the first listener, where a test must know it before.
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// A whole configuration; its first listener has this port. If it does not begin with the user, that is added.
    pub fn whole_config(self, config: &str, port: u16) -> Self {
        Self { port, whole: Some(config.into()), ..self }
    }

    /// Another library than the one that ships.
    pub fn plugin(mut self, library: &Path) -> Self {
        self.plugin = Some(library.into());
        self
    }

    /// The content of the secrets file.
    pub fn secrets(mut self, content: impl AsRef<[u8]>) -> Self {
        self.secrets = Some(self.scratch.file("secrets", content));
        self
    }

    /// A secrets file elsewhere.
    pub fn secrets_file(mut self, path: &Path) -> Self {
        self.secrets = Some(path.into());
        self
    }

    /// An option of the plugin.
    pub fn option(self, name: &str, value: &str) -> Self {
        self.line(&format!("plugin_opt_{name} {value}"))
    }

    /// A line after the plugin's.
    pub fn line(mut self, line: &str) -> Self {
        self.after.push_str(line);
        self.after.push('\n');
        self
    }

    /// A line before the listener.
    pub fn line_before(mut self, line: &str) -> Self {
        self.before.push_str(line);
        self.before.push('\n');
        self
    }

    /// A program that executes the broker: `prlimit`, `setpriv`, `valgrind`.
    pub fn started_by<T: Into<OsString>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.starter = words.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of the broker's environment.
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Starts the broker and waits until it listens.
    pub fn start(self) -> Broker {
        let mut broker = self.launch();
        broker.wait_until_listening();
        broker
    }

    /// Starts a broker that must fail to start, and returns its log.
    pub fn fail(self) -> String {
        let mut broker = self.launch();
        let status = broker.wait_for_exit();
        assert!(!status.success(), "the broker ended as if nothing was wrong:\n{}", broker.log());
        broker.log()
    }

    fn config(&self) -> String {
        if let Some(whole) = &self.whole {
            // 2.0 takes no second line with a user.
            let user = if whole.starts_with("user ") { "" } else { user_line() };
            return format!("{user}{whole}");
        }
        let port = self.port;
        let plugin = self.plugin.as_deref().unwrap_or_else(|| library::release()).display();
        let secrets = self
            .secrets
            .as_ref()
            .map(|path| format!("plugin_opt_secrets_file {}\n", path.display()));
        format!(
            "{}{}listener {port} 127.0.0.1\nplugin {plugin}\n{}{}",
            user_line(),
            self.before,
            secrets.unwrap_or_default(),
            self.after
        )
    }

    /// Starts the broker without waiting.
    pub fn launch(self) -> Broker {
        let port = self.port;
        let config = self.scratch.file("mosquitto.conf", self.config());
        let log = self.scratch.path().join("log");
        let begin = Instant::now();
        let child = self.spawn(&config, &log);
        Broker { child, begin, port, config, log, starts: 0, setup: self }
    }

    fn spawn(&self, config: &Path, log: &Path) -> Child {
        let mosquitto = self.mosquitto.clone().into_os_string();
        let mut words = self.starter.iter().chain([&mosquitto]);
        let program = words.next().unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        Command::new(program)
            .args(words)
            .arg("-c")
            .arg(config)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.to_string_lossy()))
    }
}

/// Started by root, the broker would change to another user, who may not read a test's files.
pub fn user_line() -> &'static str {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    if id.stdout == b"0\n" { "user root\n" } else { "" }
}

/// A port that is free now, and that this process has not been given before.
///
/// It lies below the range from which Linux gives ports to outgoing connections (32768 and up): another test's client could
/// otherwise take it before the broker listens.
pub fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let is_free = |host: &str, port: u16| match TcpListener::bind((host, port)) {
        Ok(_) => true,
        // A machine without IPv6 has no such address.
        Err(error) => error.kind() != ErrorKind::AddrInUse,
    };
    loop {
        // Processes begin at different places.
        let number =
            std::process::id().wrapping_mul(97).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + number % COUNT).unwrap();
        if is_free("127.0.0.1", port) && is_free("::1", port) {
            return port;
        }
    }
}

/// A running broker, killed with the value.
pub struct Broker {
    child: Child,
    begin: Instant,
    port: u16,
    config: PathBuf,
    log: PathBuf,
    starts: usize,
    setup: Setup,
}

impl Broker {
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The time of its first start.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn scratch(&self) -> &Scratch {
        &self.setup.scratch
    }

    /// The secrets file.
    pub fn secrets(&self) -> &Path {
        self.setup.secrets.as_deref().expect("a secrets file")
    }

    /// The broker's whole log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// The plugin's lines about refused logins, from the plugin's name on.
    pub fn refusals(&self) -> Vec<String> {
        let log = self.log();
        let from = |line: &str| line.find("iotda-auth: refused").map(|at| line[at..].to_string());
        log.lines().filter_map(from).collect()
    }

    /// Waits for a text in the log.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_for_log_count(text, 1);
    }

    /// Waits until a text is in the log a number of times.
    pub fn wait_for_log_count(&self, text: &str, count: usize) {
        wait(|| self.log().matches(text).count() >= count).unwrap_or_else(|| {
            panic!("the broker's log does not come to hold {text:?}:\n{}", self.log())
        });
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Sends SIGHUP, and waits until the broker has handled it completely.
    pub fn reload(&self) {
        let count = self.log().matches("Reloading config").count();
        self.signal("HUP");
        self.wait_for_log_count("Reloading config", count + 1);
        // The line is written first, and a second SIGHUP that comes before the rest is done is lost (flag_reload in loop.c).
        // The rest is done when the broker accepts a connection.
        let probe = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let port = probe.local_addr().unwrap().port();
        self.wait_for_log(&format!("New connection from 127.0.0.1:{port} "));
    }

    /// Ends the broker as an operator would, and starts it again with the same files.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Starts a broker that has ended, with the same files.
    pub fn start_again(&mut self) {
        self.child = self.setup.spawn(&self.config, &self.log);
        self.wait_until_listening();
    }

    /// Ends the broker as an operator would.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let status = self.wait_for_exit();
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// Whether the broker still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn wait_for_exit(&mut self) -> ExitStatus {
        wait(|| self.child.try_wait().unwrap())
            .unwrap_or_else(|| panic!("the broker does not end:\n{}", self.log()))
    }

    fn wait_until_listening(&mut self) {
        let port = self.port;
        let listening = wait(|| {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the broker ended with {status}:\n{}", self.log());
            }
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => false,
                Err(error) => panic!("{error}"),
            }
        });
        assert!(listening.is_some(), "the broker does not listen:\n{}", self.log());
        // It listens before it handles signals.
        self.starts += 1;
        self.wait_for_log_count(" running\n", self.starts);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let mosquitto = self.setup.mosquitto.display();
            eprintln!("{mosquitto} on port {}:\n{}", self.port, self.log());
        }
    }
}

/// A condition to wait for.
pub trait Ready {
    type Value;
    fn ready(self) -> Option<Self::Value>;
}

impl Ready for bool {
    type Value = ();
    fn ready(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Ready for Option<T> {
    type Value = T;
    fn ready(self) -> Self {
        self
    }
}

/// Checks again and again, with a deadline.
pub fn wait<R: Ready>(ask: impl FnMut() -> R) -> Option<R::Value> {
    wait_within(PATIENCE, ask)
}

/// Checks again and again, for a given time.
pub fn wait_within<R: Ready>(patience: Duration, mut ask: impl FnMut() -> R) -> Option<R::Value> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = ask().ready() {
            return Some(value);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
