//! How long is a message under way? A client that publishes to itself each millisecond, at QoS 0.

use std::{
    io::{BufReader, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use support::mqtt::{packet, string};

const TOPIC: &[u8] = b"echo";

/// A client at work.
pub struct Echo {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<()>,
    reader: JoinHandle<Vec<RoundTrip>>,
}

/// One message.
#[derive(Clone, Copy)]
pub struct RoundTrip {
    pub sent: Instant,
    pub took: Duration,
}

impl Echo {
    /// Starts with a client that is logged in.
    pub fn start(mut client: TcpStream) -> Self {
        let subscribe = [[0, 1].as_slice(), &string(TOPIC), &[0]].concat();
        client.write_all(&packet(0x82, &subscribe)).unwrap();
        let mut suback = [0; 5];
        client.read_exact(&mut suback).expect("a SUBACK");
        assert_eq!(suback, [0x90, 3, 0, 1, 0]);

        let stop = Arc::new(AtomicBool::new(false));
        let begin = Instant::now();
        let (stopped, reading) = (Arc::clone(&stop), client.try_clone().unwrap());
        Self {
            stop,
            sender: thread::spawn(move || send(client, begin, &stopped)),
            reader: thread::spawn(move || read(reading, begin)),
        }
    }

    /// Stops, and gives back all messages. None may be lost.
    pub fn stop(self) -> Vec<RoundTrip> {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().unwrap();
        self.reader.join().unwrap()
    }
}

/// The longest time of the messages that were sent from one moment to another.
pub fn longest(trips: &[RoundTrip], from: Instant, to: Instant) -> Duration {
    let during = trips.iter().filter(|trip| trip.sent >= from && trip.sent < to);
    during.map(|trip| trip.took).max().expect("a message")
}

fn send(mut client: TcpStream, begin: Instant, stop: &AtomicBool) {
    let mut next = begin;
    while !stop.load(Ordering::Relaxed) {
        let now = begin.elapsed();
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap().to_be_bytes();
        client
            .write_all(&packet(0x30, &[&string(TOPIC), nanoseconds.as_slice()].concat()))
            .unwrap();
        next = (next + Duration::from_millis(1)).max(begin + now);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    client.write_all(&[0xC0, 0]).unwrap(); // the PINGRESP is the last that the reader waits for
}

fn read(client: TcpStream, begin: Instant) -> Vec<RoundTrip> {
    let mut client = BufReader::new(client);
    let mut trips = Vec::new();
    loop {
        let mut head = [0; 2];
        client.read_exact(&mut head).expect("the broker answers");
        if head == [0xD0, 0] {
            return trips;
        }
        let mut body = [0; 2 + TOPIC.len() + 8];
        assert_eq!(head, [0x30, u8::try_from(body.len()).unwrap()]);
        client.read_exact(&mut body).expect("the broker answers");
        let now = begin.elapsed();
        let sent = u64::from_be_bytes(*body.last_chunk().unwrap());
        let sent = Duration::from_nanos(sent);
        trips.push(RoundTrip { sent: begin + sent, took: now.saturating_sub(sent) });
    }
}
