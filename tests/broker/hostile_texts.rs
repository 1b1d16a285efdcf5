//! What hostile clients put into the fields of a packet, and what else they send.

use fastrand::Rng;
use std::iter;
use support::mqtt::{packet, string};

/// A mark that forged texts have, and that no line of a broker has.
pub(crate) const FORGED: &str = "FORGED";

fn bytes(random: &mut Rng, count: usize) -> Vec<u8> {
    iter::repeat_with(|| random.u8(..)).take(count).collect()
}

/// Properties of MQTT 5, few of which are allowed in a CONNECT.
pub(crate) fn properties(random: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..random.usize(..6) {
        body.push(
            *random
                .choice(&[0x01, 0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27, 0x7F])
                .unwrap(),
        );
        match random.usize(..4) {
            0 => body.extend(string(&text(random))),
            1 => body.extend(bytes(random, 4)),
            2 => body.push(random.u8(..)),
            _ => {
                let length = random.usize(..64);
                body.extend(bytes(random, length));
            }
        }
    }
    match random.usize(..4) {
        0 => [bytes(random, 2), body].concat(),
        // As a packet has its length: right.
        _ => packet(0, &body).split_off(1),
    }
}

/// A malicious text.
pub(crate) fn text(random: &mut Rng) -> Vec<u8> {
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
    match random.usize(..6) {
        0 | 1 => random.choice(&forged).unwrap().clone().into_bytes(),
        2 | 3 => random.choice(&odd).unwrap().to_vec(),
        4 => {
            let length =
                *random.choice(&[1, 63, 64, 65, 128, 129, 256, 257, 1000, 60_000, 65_535]).unwrap();
            let byte = *random.choice(b"a0\"\\%_\x80\xFF\0").unwrap();
            vec![byte; length]
        }
        _ => {
            let length = random.usize(..300);
            bytes(random, length)
        }
    }
}

/// What no client sends before its CONNECT, and few send right after it.
pub(crate) fn other_packet(random: &mut Rng) -> Vec<u8> {
    let publish = [&string(b"news")[..], b"hello"].concat();
    let subscribe = [&[0, 1], &string(b"#")[..], &[0]].concat();
    match random.usize(..8) {
        0 => packet(0xC0, &[]),
        1 => packet(0xE0, &[]),
        2 => packet(0x30, &publish),
        3 => packet(0x82, &subscribe),
        4 => packet(0xF0, &[0x18, 0]),
        5 => packet(0x20, &[0, 0]),
        6 => packet(random.u8(..) & 0xF0, &text(random)),
        _ => {
            let length = random.usize(..200);
            bytes(random, length)
        }
    }
}
