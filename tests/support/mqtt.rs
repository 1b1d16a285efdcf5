//! MQTT by hand: packets as bytes, so that a test can send what a client library refuses to.

use super::{
    broker::Broker,
    transport::{self, Transport},
    version::Version,
};
use iotda_core::login::{self, Refusal};
use std::io::ErrorKind;

/// MQTT 3.1, 3.1.1 and 5, as the protocol level of CONNECT.
pub const VERSIONS: [u8; 3] = [3, 4, 5];

/// A CONNECT packet.
#[derive(Clone)]
pub struct Connect {
    pub level: u8,
    pub client_id: Vec<u8>,
    pub username: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
    pub keep_alive: u16,
    pub clean: bool,
    pub will: Option<Will>,
}

/// The will, at QoS 0: topic and payload.
#[derive(Clone)]
pub struct Will {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
}

impl Connect {
    /// A CONNECT of MQTT 3.1.1 with a clean session and the platform's usual keep alive.
    pub fn new(client_id: impl Into<Vec<u8>>) -> Self {
        Self {
            level: 4,
            client_id: client_id.into(),
            username: None,
            password: None,
            keep_alive: 120,
            clean: true,
            will: None,
        }
    }

    pub fn level(self, level: u8) -> Self {
        Self { level, ..self }
    }

    pub fn username(self, username: impl Into<Vec<u8>>) -> Self {
        Self { username: Some(username.into()), ..self }
    }

    pub fn password(self, password: impl Into<Vec<u8>>) -> Self {
        Self { password: Some(password.into()), ..self }
    }

    pub fn keep_alive(self, keep_alive: u16) -> Self {
        Self { keep_alive, ..self }
    }

    /// Asks for a session that outlives its connection.
    pub fn persistent(self) -> Self {
        Self { clean: false, ..self }
    }

    pub fn will(self, topic: &str, payload: &[u8], retain: bool) -> Self {
        let will = Will { topic: topic.into(), payload: payload.into(), retain };
        Self { will: Some(will), ..self }
    }

    /// The CONNECT as the plugin sees it.
    pub fn borrowed(&self) -> login::Connect<'_> {
        login::Connect {
            client_id: Some(&self.client_id),
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            certificate: None,
            keep_alive: self.keep_alive,
        }
    }

    pub fn packet(&self) -> Vec<u8> {
        let mut body = string(if self.level == 3 { b"MQIsdp" } else { b"MQTT" });
        let flag = |on: bool, bit: u8| u8::from(on) << bit;
        body.push(self.level);
        body.push(
            flag(self.username.is_some(), 7)
                | flag(self.password.is_some(), 6)
                | flag(self.will.as_ref().is_some_and(|will| will.retain), 5)
                | flag(self.will.is_some(), 2)
                | flag(self.clean, 1),
        );
        body.extend(self.keep_alive.to_be_bytes());
        if self.level == 5 {
            // Session expiry interval: an hour, if the session should outlive the connection.
            body.extend(if self.clean { vec![0] } else { vec![5, 0x11, 0, 0, 0x0E, 0x10] });
        }
        body.extend(string(&self.client_id));
        if let Some(will) = &self.will {
            // The will has no properties.
            body.extend((self.level == 5).then_some(0));
            body.extend(string(will.topic.as_bytes()));
            body.extend(string(&will.payload));
        }
        for text in [&self.username, &self.password].into_iter().flatten() {
            body.extend(string(text));
        }
        packet(0x10, &body)
    }
}

/// A length of two bytes, and the bytes.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a string of MQTT has at most 65,535 bytes");
    [length.to_be_bytes().as_slice(), bytes].concat()
}

/// A packet: its first byte, its length, its body.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let digit = u8::try_from(length % 128).unwrap();
        length /= 128;
        bytes.push(digit | if length > 0 { 0x80 } else { 0 });
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// What a broker answers to a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A CONNACK with its code.
    Connack(u8),
    /// The connection is closed without a CONNACK.
    Closed,
}

/// A stock broker's answer to a refusal with this id: 2.1 gives MQTT 5 clients the contract's code,
/// everybody else gets "not authorized".
pub fn refused(version: Version, level: u8, id: &str) -> Answer {
    if level == 5 && version.sends_reason_codes() {
        Answer::Connack(refusal(id).connack().v5)
    } else {
        not_authorized(level)
    }
}

/// The refusal with this id.
pub fn refusal(id: &str) -> Refusal {
    *Refusal::ALL.iter().find(|refusal| refusal.id() == id).expect("an id of a refusal")
}

/// "Not authorized", the broker's own refusal.
pub fn not_authorized(level: u8) -> Answer {
    Answer::Connack(if level == 5 { 0x87 } else { 5 })
}

pub const ACCEPTED: Answer = Answer::Connack(0);

/// A connection to a broker.
pub struct Client {
    stream: Box<dyn Transport>,
}

impl Client {
    pub fn over(stream: impl Transport + 'static) -> Self {
        Self { stream: Box::new(stream) }
    }

    pub fn dial(broker: &Broker) -> Self {
        Self::over(transport::tcp(transport::local(broker.port())))
    }

    /// Connects, sends a CONNECT, and waits for what comes back.
    pub fn connect(broker: &Broker, connect: &Connect) -> (Self, Answer) {
        let mut client = Self::dial(broker);
        client.send(&connect.packet());
        let answer = client.answer();
        (client, answer)
    }

    /// Sends bytes. If the broker has closed the connection, only the next read notices it.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    pub fn answer(&mut self) -> Answer {
        match self.receive() {
            Some(packet) if packet[0] == 0x20 => Answer::Connack(packet[3]),
            Some(packet) => panic!("expected a CONNACK, found {packet:02x?}"),
            None => Answer::Closed,
        }
    }

    /// The next packet, whole; `None` when the connection is over.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 2];
        self.read(&mut bytes)?;
        // A length has up to four digits, and all but the last have the highest bit.
        while bytes.len() < 5 && bytes[bytes.len() - 1] & 0x80 != 0 {
            let mut digit = [0];
            self.read(&mut digit)?;
            bytes.extend(digit);
        }
        let length = bytes[1..].iter().rfold(0, |sum, digit| sum << 7 | usize::from(digit & 0x7F));
        let start = bytes.len();
        bytes.resize(start + length, 0);
        self.read(&mut bytes[start..])?;
        Some(bytes)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the broker neither answers nor hangs up")
            }
            Err(_) => None,
        }
    }

    /// Whether the broker still answers a PINGREQ on this connection.
    pub fn is_alive(&mut self) -> bool {
        self.send(&[0xC0, 0]);
        self.receive().is_some_and(|packet| packet == [0xD0, 0])
    }

    /// Subscribes at QoS 1 and waits for the SUBACK; its code.
    pub fn subscribe(&mut self, level: u8, filter: &str) -> u8 {
        let properties: &[u8] = if level == 5 { &[0] } else { &[] };
        let body = [&[0, 1], properties, &string(filter.as_bytes()), &[1]].concat();
        self.send(&packet(0x82, &body));
        let suback = self.receive().expect("a SUBACK");
        assert_eq!(suback[0], 0x90, "{suback:02x?}");
        *suback.last().unwrap()
    }

    /// Publishes at QoS 1 and waits for the PUBACK.
    pub fn publish(&mut self, level: u8, topic: &str, payload: &[u8]) {
        let properties: &[u8] = if level == 5 { &[0] } else { &[] };
        let body = [&string(topic.as_bytes()), [0, 7].as_slice(), properties, payload].concat();
        self.send(&packet(0x32, &body));
        let puback = self.receive().expect("a PUBACK");
        assert_eq!(puback[0], 0x40, "{puback:02x?}");
    }

    /// Publishes at QoS 1 a message that is kept for later subscribers, and waits for the PUBACK.
    pub fn publish_retained(&mut self, topic: &str, payload: &[u8]) {
        self.send(&packet(0x33, &[&string(topic.as_bytes()), [0, 7].as_slice(), payload].concat()));
        let puback = self.receive().expect("a PUBACK");
        assert_eq!(puback[0], 0x40, "{puback:02x?}");
    }

    /// Publishes at QoS 0, and reads nothing.
    pub fn publish_unread(&mut self, level: u8, topic: &str) {
        let properties: &[u8] = if level == 5 { &[0] } else { &[] };
        self.send(&packet(0x30, &[&string(topic.as_bytes()), properties, b"x"].concat()));
    }

    /// Acknowledges a PUBLISH of QoS 1 that is shorter than 128 bytes.
    pub fn acknowledge(&mut self, publish: &[u8]) {
        let topic_end = 4 + usize::from(publish[3]);
        self.send(&packet(0x40, &publish[topic_end..topic_end + 2]));
    }

    /// Acknowledges a PUBLISH of QoS 1, and does nothing for one of QoS 0.
    pub fn acknowledge_if_asked(&mut self, publish: &[u8]) {
        if publish[0] & 0b110 == 0b010 {
            self.acknowledge(publish);
        }
    }

    /// Ends the connection as a client should.
    pub fn disconnect(mut self) {
        self.send(&[0xE0, 0]);
        while self.receive().is_some() {}
    }

    /// All bytes until the connection is over.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the broker does not hang up")
            }
            // A reset after the answer counts as a normal end.
            _ => bytes,
        }
    }
}
