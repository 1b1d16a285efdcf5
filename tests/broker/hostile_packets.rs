//! What hostile clients send: CONNECTs with an error, made from a valid one.
//!
//! Each is a function of a seed and a number, so a crash can be reproduced.

use crate::hostile_texts::{other_packet, properties, text};
use fastrand::Rng;
use support::mqtt::{Connect, VERSIONS, packet, string};

/// Everything that is sent, in its order.
pub(crate) struct Hostile {
    seed: u64,
    right: Vec<Packet>,
    listed: Vec<Vec<u8>>,
}

impl Hostile {
    /// Variations of a valid login, with a will or without.
    pub(crate) fn of(login: &Connect, will: bool, seed: u64) -> Self {
        let right: Vec<Packet> =
            VERSIONS.map(|level| Packet::of(&login.clone().level(level), will)).into();
        let listed = right.iter().flat_map(|packet| packet.cuts().chain(packet.values())).collect();
        Self { seed, right, listed }
    }

    /// Whether this number of connections is enough for all listed variations: cut off at each place, each value in each
    /// field.
    pub(crate) fn lists_no_more_than_come_in(&self, connections: usize) -> bool {
        self.listed.len() <= connections / 3 * 2
    }

    /// The bytes of a connection. Two of three are listed ones, as long as there are any.
    pub(crate) fn connection(&self, number: usize) -> Vec<u8> {
        if number % 3 > 0 {
            if let Some(listed) = self.listed.get(number / 3 * 2 + number % 3 - 1) {
                return listed.clone();
            }
        }
        let mut random = Rng::with_seed(self.seed ^ (number as u64) << 20);
        let mut packet = random.choice(&self.right).unwrap().clone();
        for _ in 0..=random.usize(..2) {
            packet.spoil(&mut random);
        }
        let mut bytes = packet.bytes();
        if random.usize(..12) == 0 {
            let at = 1 + random.usize(..4);
            let length: Vec<u8> = WRONG_LENGTHS[random.usize(..WRONG_LENGTHS.len())].into();
            bytes.splice(1..at.min(bytes.len()), length);
        }
        if random.usize(..16) == 0 {
            bytes = [other_packet(&mut random), bytes].concat();
        }
        while random.usize(..4) == 0 {
            let more =
                if random.usize(..4) == 0 { bytes.clone() } else { other_packet(&mut random) };
            bytes.extend(more);
        }
        bytes
    }
}

const WRONG_LENGTHS: [&[u8]; 10] = [
    &[0],
    &[1],
    &[127],
    &[0x80, 1],
    &[0x80, 0],
    &[0x80, 0x80, 0x80, 0],
    &[0xFF, 0xFF, 0x7F],
    &[0xFF, 0xFF, 0xFF, 0x7F],
    &[0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
    &[0xFF; 8],
];

/// A CONNECT in parts: what is before its length, and then each field.
#[derive(Clone)]
struct Packet {
    first: u8,
    fields: Vec<Vec<u8>>,
}

// The fields that there always are; texts come behind them.
const LEVEL: usize = 1;
const FLAGS: usize = 2;
const PROPERTIES: usize = 4;

impl Packet {
    fn of(connect: &Connect, will: bool) -> Self {
        let mut fields = vec![
            string(if connect.level == 3 { b"MQIsdp" } else { b"MQTT" }),
            vec![connect.level],
            // User name, password, clean, and perhaps a will of QoS 0.
            vec![if will { 0b1100_0110 } else { 0b1100_0010 }],
            connect.keep_alive.to_be_bytes().into(),
        ];
        if connect.level == 5 {
            // Session expiry, receive maximum, and a pair of texts.
            let pair = [&[0x26][..], &string(b"name"), &string(b"value")].concat();
            fields.push([&[8 + 11], &[0x11, 0, 0, 0, 0, 0x21, 0, 20][..], &pair].concat());
        }
        fields.push(string(&connect.client_id));
        if will && connect.level == 5 {
            fields.push(vec![5, 0x18, 0, 0, 0, 1]); // will delay interval
        }
        if will {
            fields.extend([string(b"will/topic"), string(b"payload")]);
        }
        for text in [&connect.username, &connect.password].into_iter().flatten() {
            fields.push(string(text));
        }
        Self { first: 0x10, fields }
    }

    fn bytes(&self) -> Vec<u8> {
        packet(self.first, &self.fields.concat())
    }

    /// Cut off after each byte, with the old length and with the correct new length.
    fn cuts(&self) -> impl Iterator<Item = Vec<u8>> {
        let (whole, body, first) = (self.bytes(), self.fields.concat(), self.first);
        let short: Vec<_> = (0..body.len()).map(|end| packet(first, &body[..end])).collect();
        (0..whole.len()).map(move |end| whole[..end].to_vec()).chain(short)
    }

    /// Each value of each field's last byte, of the first byte, and of the length. The last byte of a text's own length
    /// is a field too.
    fn values(&self) -> impl Iterator<Item = Vec<u8>> {
        let whole = self.bytes();
        let mut places = vec![0, 1, 2];
        let mut end = whole.len() - self.fields.concat().len();
        for field in &self.fields {
            if field.len() > 2 {
                places.push(end + 1);
            }
            end += field.len();
            places.push(end - 1);
        }
        places.into_iter().flat_map(move |place| {
            let whole = whole.clone();
            (0..=u8::MAX).map(move |value| {
                let mut bytes = whole.clone();
                bytes[place] = value;
                bytes
            })
        })
    }

    /// Adds one more error.
    fn spoil(&mut self, random: &mut Rng) {
        let any = random.usize(..self.fields.len());
        let last = self.fields.len() - 1;
        match random.usize(..20) {
            0 => self.first = random.u8(..),
            1 => self.set(
                LEVEL,
                vec![*random.choice(&[0, 1, 2, 3, 4, 5, 6, 0x83, 0x84, 0x85, 255]).unwrap()],
            ),
            2 => self.set(FLAGS, vec![random.u8(..)]),
            3 => self.set(PROPERTIES, properties(random)),
            4 if any > 0 => self.fields.swap(any, any - 1),
            5 => self.fields[any] = Vec::new(),
            6 => {
                let field = self.fields[any].clone();
                self.fields.insert(any, field);
            }
            7 => {
                // A text whose length field is too large or too small.
                if let Some([high, low]) = self.fields[any].first_chunk_mut() {
                    (*high, *low) =
                        *random.choice(&[(0, 0), (0, 1), (0, 255), (255, 255), (1, 0)]).unwrap();
                }
            }
            8 => {
                for _ in 0..=random.usize(..8) {
                    let field = &mut self.fields[any];
                    let place = random.usize(..field.len().max(1));
                    if let Some(byte) = field.get_mut(place) {
                        *byte = random.u8(..);
                    }
                }
            }
            // The ClientId, the user name, the password: what the plugin gets to see.
            9..12 => self.set(if self.fields[LEVEL] == [5] { 5 } else { 4 }, string(&text(random))),
            12..15 => self.set(last.saturating_sub(1), string(&text(random))),
            _ => self.set(last, string(&text(random))),
        }
    }

    fn set(&mut self, field: usize, value: Vec<u8>) {
        if let Some(field) = self.fields.get_mut(field) {
            *field = value;
        }
    }
}
