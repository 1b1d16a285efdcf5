//! How is a broker run that is measured? As for the tests, but timed from its first moment, with any of the subjects,
//! and with no line in its log for each client.

use super::{process::Process, subject::Subject};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};
use support::{
    broker::{free_port, installation, spawn, user_line, wait},
    scratch::Scratch,
    version::Version,
};

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
    /// From the fork to the first CONNACK.
    pub time: Duration,
    /// The process's, until then.
    pub cpu: Duration,
    /// In bytes, then.
    pub memory: u64,
}

impl Broker {
    pub fn start(version: Version, subject: Subject, file: Option<&Path>) -> (Self, Started) {
        let (scratch, port) = (Scratch::new(), free_port());
        let config = format!(
            "{}connection_messages false\nlistener {port} 127.0.0.1\n{}",
            user_line(),
            subject.config(version, file)
        );
        let config = scratch.file("mosquitto.conf", config);
        let login = subject.login(0).packet();
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

    fn first_login(&mut self, login: &[u8]) -> TcpStream {
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => {
                    let mut client = sent(stream, login);
                    answered(&mut client, self.subject.answer());
                    return client;
                }
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
        let mut client = self.send(&self.subject.login(n).packet());
        answered(&mut client, 0);
        client
    }

    /// A client that has sent its CONNECT.
    pub fn send(&self, login: &[u8]) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the broker listens");
        sent(stream, login)
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
        let is_there = || self.broker.log().matches(text).count() >= count;
        // Ten million devices may take longer than a test has patience for.
        (0..6)
            .find_map(|_| wait(is_there))
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

fn sent(mut client: TcpStream, login: &[u8]) -> TcpStream {
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client.write_all(login).unwrap();
    client
}

/// Waits for the CONNACK, which must have this code.
pub fn answered(client: &mut TcpStream, code: u8) {
    let mut connack = [0; 4];
    client.read_exact(&mut connack).expect("a CONNACK");
    assert_eq!(connack, [0x20, 2, 0, code], "not the answer to this login");
}

/// Waits for the answer to a PINGREQ.
pub fn ping(client: &mut TcpStream) {
    let mut pingresp = [0; 2];
    client.write_all(&[0xC0, 0]).unwrap();
    client.read_exact(&mut pingresp).expect("a PINGRESP");
    assert_eq!(pingresp, [0xD0, 0]);
}
