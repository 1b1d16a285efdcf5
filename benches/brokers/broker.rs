//! How is a broker run that is measured? As for the tests, but timed from its first moment, with any of the subjects,
//! and with no line in its log for each client.

use super::{
    files::{self, Content, Files},
    process::Process,
    support::{
        broker::{free_port, installation, spawn, user_line, wait},
        c, library,
        mqtt::Connect,
        scratch::Scratch,
    },
};
use once_cell::sync::OnceCell;
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// What lets clients in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Nothing,
    Ours,
    PasswordFile,
}

impl Subject {
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Ours, Self::PasswordFile];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "plugin that does nothing",
            Self::Ours => "ours",
            Self::PasswordFile => "password_file",
        }
    }

    /// The file that it reads.
    pub fn file(self, files: &Files, version: &str, devices: usize) -> Option<PathBuf> {
        match self {
            Self::Nothing => None,
            Self::Ours => Some(files.secrets(devices, Content::Plain)),
            Self::PasswordFile => Some(files.passwords(version, devices)),
        }
    }

    /// The login of a client that it knows.
    pub fn login(self, n: usize) -> Connect {
        if self == Self::PasswordFile { files::user(n) } else { files::device(n) }
    }

    fn config(self, file: Option<&Path>) -> String {
        let file = file.map(|file| file.display().to_string()).unwrap_or_default();
        match self {
            Self::Nothing => format!("plugin {}\n", noop().display()),
            Self::Ours => {
                let library = library::release().display();
                format!("plugin {library}\nplugin_opt_secrets_file {file}\n")
            }
            Self::PasswordFile => format!("password_file {file}\n"),
        }
    }
}

/// The plugin that does nothing.
fn noop() -> &'static Path {
    static PATH: OnceCell<PathBuf> = OnceCell::new();
    PATH.get_or_init(|| {
        let root = library::crate_directory();
        let include = format!("-I{}", root.join("include").display());
        let result = library::target_directory().join("noop.so");
        let source = root.join("benches/brokers/noop.c");
        c::build(&source, result, ["-shared", "-fPIC", "-O2", &include])
    })
}

/// A running broker, killed with the value.
pub struct Broker {
    pub subject: Subject,
    child: Child,
    port: u16,
    scratch: Scratch,
}

/// What its start took.
#[derive(Clone, Copy)]
pub struct Started {
    /// From the fork to the first CONNACK that says yes.
    pub time: Duration,
    /// The process's, until then.
    pub cpu: Duration,
    /// In bytes, then.
    pub memory: u64,
}

impl Broker {
    pub fn start(version: &str, subject: Subject, file: Option<&Path>) -> (Self, Started) {
        let (scratch, port) = (Scratch::new(), free_port());
        let config = format!(
            "{}connection_messages false\nallow_anonymous false\nlistener {port} 127.0.0.1\n{}",
            user_line(),
            subject.config(file)
        );
        let config = scratch.file("mosquitto.conf", config);
        let login = subject.login(0);
        let begin = Instant::now();
        let child = spawn(&installation(version), &config, &scratch.path().join("log"));
        let mut broker = Self { subject, child, port, scratch };
        let client = broker.first_login(&login);
        let time = begin.elapsed();
        thread::sleep(Duration::from_millis(20)); // until it waits for the next
        let started =
            Started { time, cpu: broker.process().cpu(), memory: broker.process().memory() };
        drop(client);
        (broker, started)
    }

    fn first_login(&mut self, login: &Connect) -> TcpStream {
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => return logged_in(stream, login),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    let ended = self.child.try_wait().unwrap();
                    assert!(ended.is_none(), "the broker ended: {ended:?}\n{}", self.log());
                    thread::sleep(Duration::from_micros(500));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A client that is logged in.
    pub fn login(&self, n: usize) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the broker listens");
        logged_in(stream, &self.subject.login(n))
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap()
    }

    /// SIGHUP. Gives back what tells when it is through.
    pub fn hang_up(&self) -> HangUp<'_> {
        let log = self.log();
        let count = |text| log.matches(text).count() + 1;
        let hang_up = HangUp {
            broker: self,
            seen: count("Reloading config"),
            reloaded: count("reloaded in"),
        };
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "HUP", &id]).status().unwrap().success());
        hang_up
    }
}

/// A SIGHUP that is under way.
pub struct HangUp<'a> {
    broker: &'a Broker,
    seen: usize,
    reloaded: usize,
}

impl HangUp<'_> {
    /// Waits until the broker has seen to it, which is when it answers again; and ours has a new table.
    pub fn wait(self, client: &mut TcpStream) {
        self.wait_for_log("Reloading config", self.seen);
        ping(client);
        if self.broker.subject == Subject::Ours {
            self.wait_for_log("reloaded in", self.reloaded);
        }
    }

    fn wait_for_log(&self, text: &str, count: usize) {
        wait(|| self.broker.log().matches(text).count() >= count)
            .unwrap_or_else(|| panic!("no {text:?} in the log:\n{}", self.broker.log()));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}:\n{}", self.subject.name(), self.log());
        }
    }
}

fn logged_in(mut stream: TcpStream, login: &Connect) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(&login.packet()).unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("a CONNACK");
    assert_eq!(connack, [0x20, 2, 0, 0], "the login is refused");
    stream
}

/// Waits for the answer to a PINGREQ.
pub fn ping(client: &mut TcpStream) {
    let mut pingresp = [0; 2];
    client.write_all(&[0xC0, 0]).unwrap();
    client.read_exact(&mut pingresp).expect("a PINGRESP");
    assert_eq!(pingresp, [0xD0, 0]);
}
