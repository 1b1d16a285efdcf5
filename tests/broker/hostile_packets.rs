//! What hostile clients send: CONNECTs of which something is wrong, made from one that is right.
//!
//! Each is a function of a seed and a number, so a broker that falls can be made to fall again.

use crate::support::mqtt::{Connect, VERSIONS, packet, string};

/// What stands in forged text, and in nothing that a broker says of itself.
pub(crate) const FORGED: &str = "FORGED";

/// Numbers in no order that anyone could know (SplitMix64).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// Everything that is sent, in its order.
pub(crate) struct Hostile {
    seed: u64,
    right: Vec<Packet>,
    listed: Vec<Vec<u8>>,
}

impl Hostile {
    /// Variations of a login that is right, with a will or without.
    pub(crate) fn of(login: &Connect, will: bool, seed: u64) -> Self {
        let right: Vec<Packet> =
            VERSIONS.map(|level| Packet::of(&login.clone().level(level), will)).into();
        let listed = right.iter().flat_map(|packet| packet.cuts().chain(packet.values())).collect();
        Self { seed, right, listed }
    }

    /// Whether so many connections are enough for all that are listed: cut off at each place, each value in each field.
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
        let mut random = Random::new(self.seed ^ (number as u64) << 20);
        let mut packet = random.pick(&self.right).clone();
        for _ in 0..=random.below(2) {
            packet.spoil(&mut random);
        }
        let mut bytes = packet.bytes();
        if random.one_in(12) {
            let at = 1 + random.below(4);
            let length: Vec<u8> = WRONG_LENGTHS[random.below(WRONG_LENGTHS.len())].into();
            bytes.splice(1..at.min(bytes.len()), length);
        }
        if random.one_in(16) {
            bytes = [other_packet(&mut random), bytes].concat();
        }
        while random.one_in(4) {
            let more = if random.one_in(4) { bytes.clone() } else { other_packet(&mut random) };
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

    /// Cut off behind each byte, with the length that it had, and with the one that it then has.
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

    /// Makes one thing wrong, or what is wrong already more so.
    fn spoil(&mut self, random: &mut Random) {
        let any = random.below(self.fields.len());
        let last = self.fields.len() - 1;
        match random.below(20) {
            0 => self.first = random.byte(),
            1 => self.set(LEVEL, vec![*random.pick(&[0, 1, 2, 3, 4, 5, 6, 0x83, 0x84, 0x85, 255])]),
            2 => self.set(FLAGS, vec![random.byte()]),
            3 => self.set(PROPERTIES, properties(random)),
            4 if any > 0 => self.fields.swap(any, any - 1),
            5 => self.fields[any] = Vec::new(),
            6 => {
                let field = self.fields[any].clone();
                self.fields.insert(any, field);
            }
            7 => {
                // A text that says to be longer, or shorter, than it is.
                if let Some([high, low]) = self.fields[any].first_chunk_mut() {
                    (*high, *low) = *random.pick(&[(0, 0), (0, 1), (0, 255), (255, 255), (1, 0)]);
                }
            }
            8 => {
                for _ in 0..=random.below(8) {
                    let field = &mut self.fields[any];
                    let place = random.below(field.len().max(1));
                    if let Some(byte) = field.get_mut(place) {
                        *byte = random.byte();
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

/// Properties of MQTT 5, few of which belong into a CONNECT.
fn properties(random: &mut Random) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..random.below(6) {
        body.push(
            *random.pick(&[0x01, 0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27, 0x7F]),
        );
        match random.below(4) {
            0 => body.extend(string(&text(random))),
            1 => body.extend(random.bytes(4)),
            2 => body.push(random.byte()),
            _ => {
                let length = random.below(64);
                body.extend(random.bytes(length));
            }
        }
    }
    match random.below(4) {
        0 => [random.bytes(2), body].concat(),
        // As a packet has its length: right.
        _ => packet(0, &body).split_off(1),
    }
}

/// A text of a client's that means harm.
fn text(random: &mut Random) -> Vec<u8> {
    let forged = [
        format!(
            "{FORGED}\n{FORGED}: iotda-auth: refused client=\"a\" user=\"b\" address=203.0.113.9 reason=frozen"
        ),
        format!("{FORGED}\" user=\"b\" address=203.0.113.9 reason=wrong_password"),
        format!(
            "{FORGED} iotda-auth: refused client=\"a\" user=\"b\" address=203.0.113.9 reason=wrong_password"
        ),
        format!("{FORGED}\\\" address=203.0.113.9 reason=frozen\r\n1795533405: {FORGED}"),
        format!("{FORGED}\\x0a\\\\\" address=203.0.113.9 reason=frozen_0_0_2999010100"),
        format!("{FORGED}\u{85}{FORGED}\u{2028}{FORGED}\u{202E}\u{1B}[2J\u{7F}"),
        format!("{FORGED}%s%n%d%99999999s%{}", "n".repeat(99)),
        format!("{FORGED}... reason=frozen_0_1_2026112209"),
    ];
    let odd: [&[u8]; 22] = [
        b"",
        b"\0",
        b"64a1f0c2_lamp-01\0_0_0_2999010100",
        b"64a1f0c2_lamp-01_0_0_2999010100\0",
        b"_0_0_2999010100",
        b"64a1f0c2_lamp-01_0_9_2999010100",
        b"64a1f0c2_lamp-01_0_0_29990101",
        b"64a1f0c2_lamp-01_0_1_9999999999",
        b"64a1f0c2_lamp-01_0_1_2026023000",
        b"64a1f0c2_lamp-01_0_2_2026112209",
        b"64a1f0c2_lamp-02_0_0_2999010100",
        b"64A1F0C2_LAMP-01",
        b"64a1f0c2_lamp-01 ",
        b"\xFF\xFE\x80",
        b"a\xC0\x80",
        b"a\xED\xA0\x80",
        b"a\xF4\x90\x80\x80",
        b"a\xE2\x82",
        b"a\xEF\xBF\xBF",
        b"a\x01\x1F",
        b"$SYS/#",
        b"+/#",
    ];
    match random.below(6) {
        0 | 1 => random.pick(&forged).clone().into_bytes(),
        2 | 3 => random.pick(&odd).to_vec(),
        4 => {
            let length = *random.pick(&[1, 63, 64, 65, 128, 129, 256, 257, 1000, 60_000, 65_535]);
            let byte = *random.pick(b"a0\"\\%_\x80\xFF\0");
            vec![byte; length]
        }
        _ => {
            let length = random.below(300);
            random.bytes(length)
        }
    }
}

/// What no client sends before its CONNECT, and few send right after it.
fn other_packet(random: &mut Random) -> Vec<u8> {
    let publish = [&string(b"news")[..], b"hello"].concat();
    let subscribe = [&[0, 1], &string(b"#")[..], &[0]].concat();
    match random.below(8) {
        0 => packet(0xC0, &[]),
        1 => packet(0xE0, &[]),
        2 => packet(0x30, &publish),
        3 => packet(0x82, &subscribe),
        4 => packet(0xF0, &[0x18, 0]),
        5 => packet(0x20, &[0, 0]),
        6 => packet(random.byte() & 0xF0, &text(random)),
        _ => {
            let length = random.below(200);
            random.bytes(length)
        }
    }
}
