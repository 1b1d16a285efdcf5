//! How is a measured broker run? As in the tests, but timed from its start, with any of the subjects, and without a log
//! line for each client.

use super::{process::Process, subject::Subject};
use std::{io::ErrorKind, net::TcpStream, path::Path, thread, time::Duration};
use support::{
    broker::{self, Setup, free_port, wait},
    mqtt::{Answer, Client},
    transport,
    version::Version,
};

/// How long an answer may take; with very many devices that is longer than in a test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running broker, killed with the value.
pub struct Broker {
    pub subject: Subject,
    broker: broker::Broker,
}

/// The cost of its start.
#[derive(Clone, Copy)]
pub struct Started {
    /// From the fork to the first CONNACK.
    pub time: Duration,
    /// CPU time of the process until then.
    pub cpu: Duration,
    /// Memory then, in bytes.
    pub memory: u64,
}

impl Broker {
    pub fn start(version: Version, subject: Subject, file: Option<&Path>) -> (Self, Started) {
        let port = free_port();
        let config = format!(
            // Otherwise an acknowledgement may wait for the client's system, which delays its own.
            "connection_messages false\nset_tcp_nodelay true\nlistener {port} 127.0.0.1\n{}",
            subject.config(version, file)
        );
        let setup = Setup::new(version).whole_config(&config, port);
        let login = subject.login(0).packet();
        let mut broker = Self { subject, broker: setup.launch() };
        let client = broker.first_login(&login);
        let time = broker.broker.begin().elapsed();
        thread::sleep(Duration::from_millis(20)); // until it waits for the next
        let started =
            Started { time, cpu: broker.process().cpu(), memory: broker.process().memory() };
        drop(client);
        (broker, started)
    }

    fn first_login(&mut self, login: &[u8]) -> Client {
        loop {
            match transport::try_tcp(transport::local(self.broker.port())) {
                Ok(stream) => {
                    let mut client = sent(stream, login);
                    answered(&mut client, self.subject.answer());
                    return client;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    assert!(self.broker.is_running(), "the broker ended:\n{}", self.log());
                    thread::sleep(Duration::from_micros(500));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A client that is logged in.
    pub fn login(&self, n: usize) -> Client {
        Client::over(self.login_over_tcp(n))
    }

    /// The connection of a client that is logged in.
    pub fn login_over_tcp(&self, n: usize) -> TcpStream {
        let stream = transport::tcp(transport::local(self.broker.port()));
        let mut client = sent(stream.try_clone().unwrap(), &self.subject.login(n).packet());
        answered(&mut client, 0);
        stream
    }

    /// A client that has sent its CONNECT.
    pub fn send(&self, login: &[u8]) -> Client {
        sent(transport::tcp(transport::local(self.broker.port())), login)
    }

    pub fn process(&self) -> Process {
        Process(self.broker.pid())
    }

    pub fn log(&self) -> String {
        self.broker.log()
    }

    /// Sends SIGHUP. The value that it returns tells when the reload is done.
    pub fn hang_up(&self) -> HangUp<'_> {
        let log = self.log();
        let count = |text| log.matches(text).count() + 1;
        let hang_up = HangUp {
            broker: self,
            seen: count("Reloading config"),
            reloaded: count("reloaded in"),
        };
        self.broker.signal("HUP");
        hang_up
    }
}

/// A reload in progress.
pub struct HangUp<'a> {
    broker: &'a Broker,
    seen: usize,
    reloaded: usize,
}

impl HangUp<'_> {
    /// Waits until the broker has handled it: it answers again, and ours has a new table.
    pub fn wait(self, client: &mut Client) {
        self.wait_for_log("Reloading config", self.seen);
        ping(client);
        if self.broker.subject == Subject::Ours {
            self.wait_for_log("reloaded in", self.reloaded);
        }
    }

    fn wait_for_log(&self, text: &str, count: usize) {
        let is_there = || self.broker.log().matches(text).count() >= count;
        // With very many devices this takes longer than a test may wait.
        (0..6)
            .find_map(|_| wait(is_there))
            .unwrap_or_else(|| panic!("no {text:?} in the log:\n{}", self.broker.log()));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}:", self.subject.name());
        }
    }
}

fn sent(stream: TcpStream, login: &[u8]) -> Client {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client::over(stream);
    client.send(login);
    client
}

/// Waits for the CONNACK, which must have this code.
pub fn answered(client: &mut Client, code: u8) {
    assert_eq!(client.answer(), Answer::Connack(code), "not the answer to this login");
}

/// Waits for the answer to a PINGREQ.
pub fn ping(client: &mut Client) {
    assert!(client.is_alive(), "no PINGRESP");
}
