//! Which bytes are these packets? The codec is mqtt-proto's; here MQTT 3.x and 5 become one.

use clap::ValueEnum;
use mqtt_proto::{Error, Protocol, QosPid, TopicName, VarBytes, total_len, v3, v5};
use std::sync::Arc;

/// The largest packet that is read, in bytes: the platform's largest message, and room for its topic.
const MAX_PACKET: usize = (1 << 20) + (1 << 17);

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    /// MQTT 3.1, of 2010
    #[value(name = "3.1")]
    V3_1,
    /// MQTT 3.1.1, which most devices speak
    #[value(name = "3.1.1")]
    V3_1_1,
    /// MQTT 5, whose codes say more
    #[value(name = "5")]
    V5,
}

impl Version {
    /// Its number.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5",
        }
    }
}

/// What a device sends first. It asks for a clean session, as all of Huawei's SDKs do.
pub(crate) struct Connect<'a> {
    pub(crate) version: Version,
    pub(crate) client_id: &'a str,
    pub(crate) username: &'a str,
    /// A device that has a certificate sends none.
    pub(crate) password: Option<&'a str>,
    /// In seconds.
    pub(crate) keep_alive: u16,
}

/// The broker's answer to a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connack {
    /// The code as it was sent; 0 if the client is let in.
    pub(crate) code: u8,
    /// What the broker adds in words, which only MQTT 5 has.
    pub(crate) reason: Option<Arc<str>>,
}

/// A packet that a broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connack(Connack),
    Pingresp,
    /// A message, at whatever QoS: a device that subscribes to nothing gets each at QoS 0, which wants no answer.
    Publish(Message),
    /// The broker ends the connection, with a code; only MQTT 5 has it.
    Disconnect(u8),
    /// Anything else.
    Other,
}

/// A message that comes to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

/// These bytes are no packet of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Message {
    fn new(topic: &str, payload: &[u8]) -> Self {
        Self { topic: topic.to_owned(), payload: payload.to_vec() }
    }
}

impl Connect<'_> {
    /// The packet.
    pub(crate) fn encode(&self) -> Result<VarBytes, Error> {
        let (client_id, username) = (self.client_id.into(), Some(self.username.into()));
        let password = self.password.map(|password| password.as_bytes().to_vec().into());
        let protocol = match self.version {
            Version::V3_1 => Protocol::V310,
            Version::V3_1_1 => Protocol::V311,
            Version::V5 => {
                let mut connect = v5::Connect::new(client_id, self.keep_alive);
                (connect.username, connect.password) = (username, password);
                return v5::Packet::from(connect).encode();
            }
        };
        let connect = v3::Connect {
            protocol,
            clean_session: true,
            keep_alive: self.keep_alive,
            client_id,
            last_will: None,
            username,
            password,
        };
        v3::Packet::from(connect).encode()
    }
}

/// A message of a device, at QoS 0 and not retained.
pub(crate) fn publish(version: Version, topic: &str, payload: Vec<u8>) -> Result<VarBytes, Error> {
    let topic = TopicName::try_from(topic)?;
    match version {
        Version::V5 => {
            v5::Packet::from(v5::Publish::new(QosPid::Level0, topic, payload.into())).encode()
        }
        Version::V3_1 | Version::V3_1_1 => {
            v3::Packet::from(v3::Publish::new(QosPid::Level0, topic, payload.into())).encode()
        }
    }
}

/// A PINGREQ, the same in each version.
pub(crate) fn ping() -> Result<VarBytes, Error> {
    v3::Packet::Pingreq.encode()
}

/// A DISCONNECT that says that all is well; in MQTT 5 this short form is allowed too.
pub(crate) fn disconnect() -> Result<VarBytes, Error> {
    v3::Packet::Disconnect.encode()
}

/// The packet at the beginning of these bytes, and its length; `None` if it has not come whole yet.
pub(crate) fn decode(version: Version, bytes: &[u8]) -> Result<Option<(Packet, usize)>, Malformed> {
    let Some(length) = length(version, bytes)? else { return Ok(None) };
    let Some(whole) = bytes.get(..length) else { return Ok(None) };
    let packet = match version {
        Version::V5 => packet_v5(whole),
        Version::V3_1 | Version::V3_1_1 => packet_v3(whole),
    }?;
    Ok(Some((packet, length)))
}

/// The first byte of a CONNACK.
pub(crate) const CONNACK: u8 = 0x20;

/// The length of the packet that begins here, once it can be told.
fn length(version: Version, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let rest = match version {
        Version::V5 => match v5::Header::decode(bytes) {
            Ok(header) => header.remaining_len,
            Err(error) if error.is_eof() => return Ok(None),
            Err(_) => return Err(Malformed),
        },
        Version::V3_1 | Version::V3_1_1 => match v3::Header::decode(bytes) {
            Ok(header) => header.remaining_len,
            Err(error) if error.is_eof() => return Ok(None),
            Err(_) => return Err(Malformed),
        },
    };
    match usize::try_from(rest).ok().and_then(|rest| total_len(rest).ok()) {
        Some(length @ ..=MAX_PACKET) => Ok(Some(length)),
        _ => Err(Malformed),
    }
}

fn packet_v3(whole: &[u8]) -> Result<Packet, Malformed> {
    let connack = |code| Ok(Packet::Connack(Connack { code, reason: None }));
    match v3::Packet::decode(whole) {
        Ok(Some(v3::Packet::Connack(packet))) => connack(packet.code as u8),
        // Codes that the standard does not name are told too.
        Err(Error::InvalidConnectReturnCode(code)) => connack(code),
        Ok(Some(v3::Packet::Pingresp)) => Ok(Packet::Pingresp),
        Ok(Some(v3::Packet::Publish(packet))) => {
            Ok(Packet::Publish(Message::new(&packet.topic_name, &packet.payload)))
        }
        Ok(Some(_)) => Ok(Packet::Other),
        Ok(None) | Err(_) => Err(Malformed),
    }
}

fn packet_v5(whole: &[u8]) -> Result<Packet, Malformed> {
    match v5::Packet::decode(whole) {
        Ok(Some(v5::Packet::Connack(packet))) => Ok(Packet::Connack(Connack {
            code: packet.reason_code as u8,
            reason: packet.properties.reason_string,
        })),
        // Also the codes of MQTT 3.1.1, from a broker that does not know MQTT 5.
        Err(v5::ErrorV5::InvalidReasonCode(v5::PacketType::Connack, code)) => {
            Ok(Packet::Connack(Connack { code, reason: None }))
        }
        Ok(Some(v5::Packet::Pingresp)) => Ok(Packet::Pingresp),
        Ok(Some(v5::Packet::Publish(packet))) => {
            Ok(Packet::Publish(Message::new(&packet.topic_name, &packet.payload)))
        }
        Ok(Some(v5::Packet::Disconnect(packet))) => {
            Ok(Packet::Disconnect(packet.reason_code as u8))
        }
        Ok(Some(_)) => Ok(Packet::Other),
        Ok(None) | Err(_) => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use support::mqtt;

    const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

    fn connack(code: u8, reason: Option<&str>) -> Packet {
        Packet::Connack(Connack { code, reason: reason.map(Into::into) })
    }

    fn message(topic: &str, payload: &[u8]) -> Packet {
        Packet::Publish(Message::new(topic, payload))
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for version in VERSIONS {
            let bytes = publish(version, "$oc/devices/lamp/sys/properties/report", b"{}".to_vec());
            let bytes = bytes.unwrap();
            let read = message("$oc/devices/lamp/sys/properties/report", b"{}");
            assert_eq!(decode(version, bytes.as_ref()), Ok(Some((read, bytes.as_ref().len()))));
            assert!(publish(version, "lamp/#", Vec::new()).is_err());
        }
    }

    /// The tests' own encoder is a second opinion.
    #[test]
    fn a_connect_is_the_one_that_devices_send() {
        for (version, level) in VERSIONS.into_iter().zip(mqtt::VERSIONS) {
            let (client_id, username) = ("lamp_0_0_2026112209", "lamp");
            for password in [None, Some("0f")] {
                let keep_alive = 120;
                let made = Connect { version, client_id, username, password, keep_alive }.encode();
                let mut expected = mqtt::Connect::new(client_id).level(level).username(username);
                expected.password = password.map(|password| password.as_bytes().to_vec());
                assert_eq!(made.unwrap().as_ref(), expected.packet(), "{version:?}");
            }
        }
    }

    #[test]
    fn reads_the_code_of_each_version() {
        for (version, bytes, expected) in [
            (Version::V3_1, &[0x20, 2, 0, 4][..], connack(4, None)),
            (Version::V3_1_1, &[0x20, 2, 1, 0], connack(0, None)),
            (Version::V3_1_1, &[0x20, 2, 0, 77], connack(77, None)),
            (Version::V5, &[0x20, 3, 0, 0x86, 0], connack(0x86, None)),
            (Version::V5, &[0x20, 3, 0, 0xFE, 0], connack(0xFE, None)),
            (
                Version::V5,
                &[0x20, 8, 0, 0x87, 5, 0x1F, 0, 2, b'n', b'o'],
                connack(0x87, Some("no")),
            ),
            // From a broker of MQTT 3.1.1.
            (Version::V5, &[0x20, 2, 0, 1], connack(1, None)),
            (Version::V5, &[0xE0, 2, 0x8E, 0], Packet::Disconnect(0x8E)),
            (Version::V3_1_1, &[0xD0, 0], Packet::Pingresp),
            (Version::V3_1_1, &[0x30, 4, 0, 1, b't', b'x'], message("t", b"x")),
            (Version::V3_1_1, &[0x32, 6, 0, 1, b't', 0, 9, b'x'], message("t", b"x")),
            (Version::V5, &[0x30, 5, 0, 1, b't', 0, b'x'], message("t", b"x")),
            (Version::V3_1_1, &[0x40, 2, 0, 1], Packet::Other),
        ] {
            assert_eq!(decode(version, bytes), Ok(Some((expected, bytes.len()))), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert_eq!(decode(version, &bytes[..end]), Ok(None), "{bytes:02x?} {end}");
            }
        }
    }

    #[test]
    fn refuses_what_no_broker_sends() {
        for version in VERSIONS {
            for bytes in [
                &b"HTTP/1.1 400 Bad Request\r\n"[..],
                b"SSH-2.0-OpenSSH\r\n",
                &[0x15, 3, 3, 0, 2, 2, 70],
                &[0x20, 1, 0],
                &[0x20, 2, 9, 0],
                &[0x20, 0xFF, 0xFF, 0xFF, 0xFF, 1],
                &[0x30, 0xFF, 0xFF, 0xFF, 0x7F],
                &[0, 0],
            ] {
                assert_eq!(decode(version, bytes), Err(Malformed), "{version:?} {bytes:02x?}");
            }
        }
    }

    proptest! {
        /// Neither a panic nor an endless loop, whatever comes.
        #[test]
        fn takes_any_bytes(first in 0..=255_u8, rest in prop::collection::vec(any::<u8>(), 0..64)) {
            let framed = [&[first, u8::try_from(rest.len()).unwrap()], &rest[..]].concat();
            for version in VERSIONS {
                for bytes in [&rest, &framed] {
                    if let Ok(Some((_, length))) = decode(version, bytes) {
                        prop_assert!((2..=bytes.len()).contains(&length));
                    }
                }
            }
        }
    }
}
