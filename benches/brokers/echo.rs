//! How long does a message take? A client publishes to itself each millisecond, at QoS 0.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use support::mqtt::{Client, packet, string};

const TOPIC: &str = "echo";

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
    pub fn start(connection: &TcpStream) -> Self {
        // One thread writes and one reads, at the same time.
        let [mut sender, reader] = [(); 2].map(|()| Client::over(connection.try_clone().unwrap()));
        assert_eq!(sender.subscribe(4, TOPIC), 1);

        let stop = Arc::new(AtomicBool::new(false));
        let begin = Instant::now();
        let stopped = Arc::clone(&stop);
        Self {
            stop,
            sender: thread::spawn(move || send(sender, begin, &stopped)),
            reader: thread::spawn(move || read(reader, begin)),
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

fn send(mut client: Client, begin: Instant, stop: &AtomicBool) {
    let mut next = begin;
    while !stop.load(Ordering::Relaxed) {
        let now = begin.elapsed();
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap().to_be_bytes();
        let body = [&string(TOPIC.as_bytes()), nanoseconds.as_slice()].concat();
        client.send(&packet(0x30, &body));
        next = (next + Duration::from_millis(1)).max(begin + now);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    client.send(&[0xC0, 0]); // the PINGRESP is the last that the reader waits for
}

fn read(mut client: Client, begin: Instant) -> Vec<RoundTrip> {
    let mut trips = Vec::new();
    loop {
        let packet = client.receive().expect("the broker answers");
        if packet == [0xD0, 0] {
            return trips;
        }
        let now = begin.elapsed();
        assert_eq!(packet[..2], [0x30, u8::try_from(2 + TOPIC.len() + 8).unwrap()]);
        let sent = Duration::from_nanos(u64::from_be_bytes(*packet.last_chunk().unwrap()));
        trips.push(RoundTrip { sent: begin + sent, took: now.saturating_sub(sent) });
    }
}
