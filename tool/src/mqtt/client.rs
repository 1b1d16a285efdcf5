//! What do broker and device say to each other?

use super::{
    Connack, Connect, Fault, Packet, Target, Version,
    fault::Stage,
    link::Link,
    packets::{self, CONNACK},
};
use mqtt_proto::{Error, VarBytes};
use std::time::Instant;

/// A device's connection.
pub(crate) struct Client {
    link: Link,
    version: Version,
    /// What has come and is not a whole packet yet.
    received: Vec<u8>,
}

impl Client {
    /// Connects, sends the CONNECT, and waits for the answer to it. A refusal is an answer.
    pub(crate) fn log_in(
        target: &Target,
        connect: &Connect<'_>,
        deadline: Instant,
    ) -> Result<(Self, Connack), Fault> {
        let link = Link::open(target, deadline)?;
        let mut client = Self { link, version: connect.version, received: Vec::new() };
        let connack = client.send(connect.encode(), deadline, Stage::Connack);
        match connack.and_then(|()| client.connack(deadline)) {
            // Not every broker says so when it expected TLS, and a silent listener may wait for more of it.
            Err(Fault::Closed(_)) if client.link.has_tls_port(deadline) => Err(Fault::SpeaksTls),
            answer => answer.map(|connack| (client, connack)),
        }
    }

    /// Whether the broker keeps the connection: it answers a PINGREQ. `Err` holds the code if it says why not.
    pub(crate) fn ping(&mut self, deadline: Instant) -> Result<Result<(), u8>, Fault> {
        self.send(packets::ping(), deadline, Stage::Pingresp)?;
        loop {
            match self.receive(deadline, Stage::Pingresp)? {
                Packet::Pingresp => return Ok(Ok(())),
                Packet::Disconnect(code) => return Ok(Err(code)),
                Packet::Connack(_) | Packet::Publish(_) | Packet::Other => {}
            }
        }
    }

    /// Publishes a message at QoS 0.
    pub(crate) fn publish(
        &mut self,
        topic: &str,
        payload: Vec<u8>,
        deadline: Instant,
    ) -> Result<(), Fault> {
        self.send(packets::publish(self.version, topic, payload), deadline, Stage::Session)
    }

    /// Sends a PINGREQ; [`Client::next`] finds the answer.
    pub(crate) fn send_ping(&mut self, deadline: Instant) -> Result<(), Fault> {
        self.send(packets::ping(), deadline, Stage::Session)
    }

    /// The next packet; `None` if none comes until then.
    pub(crate) fn next(&mut self, until: Instant) -> Result<Option<Packet>, Fault> {
        match self.receive(until, Stage::Session) {
            Err(Fault::Timeout(_)) => Ok(None),
            packet => packet.map(Some),
        }
    }

    /// Ends the connection as a device should, so that the broker publishes no will and keeps nothing.
    pub(crate) fn leave(mut self, deadline: Instant) {
        if self.send(packets::disconnect(), deadline, Stage::Pingresp).is_ok() {
            self.link.close(deadline);
        }
    }

    fn send(
        &mut self,
        packet: Result<VarBytes, Error>,
        deadline: Instant,
        stage: Stage,
    ) -> Result<(), Fault> {
        let packet = packet.map_err(|error| Fault::Broken(error.to_string()))?;
        self.link.write(packet.as_ref(), deadline, stage)
    }

    fn connack(&mut self, deadline: Instant) -> Result<Connack, Fault> {
        self.link.read(&mut self.received, deadline, Stage::Connack)?;
        // Before anything is taken for the length of a packet: most protocols answer with a text.
        if self.received.first() != Some(&CONNACK) {
            return Err(self.stranger());
        }
        match self.receive(deadline, Stage::Connack)? {
            Packet::Connack(connack) => Ok(connack),
            _ => Err(self.stranger()),
        }
    }

    /// The next packet.
    fn receive(&mut self, deadline: Instant, stage: Stage) -> Result<Packet, Fault> {
        loop {
            match packets::decode(self.version, &self.received) {
                Ok(Some((packet, length))) => {
                    self.received.drain(..length.min(self.received.len()));
                    return Ok(packet);
                }
                Ok(None) => self.link.read(&mut self.received, deadline, stage)?,
                Err(packets::Malformed) => return Err(self.stranger()),
            }
        }
    }

    /// What answers is no broker.
    fn stranger(&self) -> Fault {
        if super::tls::is_tls(&self.received) {
            return Fault::SpeaksTls;
        }
        Fault::NotMqtt(self.received.clone())
    }
}
