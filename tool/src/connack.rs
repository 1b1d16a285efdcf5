//! What does a broker's code mean? The standards' words, and the plugin's reasons that have this code.

use crate::mqtt::Version;
use iotda_core::login::{Refusal, SignType};

/// The words of MQTT 3.1 and 3.1.1, by code.
const V3: [&str; 6] = [
    "accepted",
    "protocol version not supported",
    "ClientId rejected",
    "server unavailable",
    "bad user name or password",
    "not authorized",
];

/// The words of MQTT 5.
const V5: [(u8, &str); 23] = [
    (0x00, "accepted"),
    (0x80, "unspecified error"),
    (0x81, "malformed packet"),
    (0x82, "protocol error"),
    (0x83, "implementation specific error"),
    (0x84, "protocol version not supported"),
    (0x85, "ClientId not valid"),
    (0x86, "bad user name or password"),
    (0x87, "not authorized"),
    (0x88, "server unavailable"),
    (0x89, "server busy"),
    (0x8A, "banned"),
    (0x8C, "bad authentication method"),
    (0x8E, "session taken over"),
    (0x90, "topic name invalid"),
    (0x95, "packet too large"),
    (0x97, "quota exceeded"),
    (0x98, "administrative action"),
    (0x99, "payload format invalid"),
    (0x9A, "retain not supported"),
    (0x9B, "QoS not supported"),
    (0x9C, "use another server"),
    (0x9F, "connection rate exceeded"),
];

/// A code of a CONNACK or a DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) version: Version,
    pub(crate) code: u8,
}

/// Which of the plugin's reasons a code may stand for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reasons {
    /// These, or none: the broker refuses by itself.
    Some(Vec<Refusal>),
    /// Any of these: the code is all that a stock listener sends. On one with the exact codes it is one of the second list.
    Any(Vec<Refusal>, Vec<Refusal>),
}

impl Code {
    /// The standard's words.
    pub(crate) fn words(self) -> &'static str {
        let found = if self.is_v5() {
            V5.iter().find(|(code, _)| *code == self.code).map(|(_, words)| *words)
        } else {
            V3.get(usize::from(self.code)).copied()
        };
        found.unwrap_or("a code that the standard does not name")
    }

    /// The code as it is written: codes of MQTT 5 are known by their hex digits.
    pub(crate) fn shown(self) -> String {
        if self.is_v5() {
            format!("{:#04X}", self.code).replace('X', "x")
        } else {
            self.code.to_string()
        }
    }

    /// The plugin's reasons for it, to a login that has the right form and was signed in this way.
    pub(crate) fn reasons(self, sign_type: SignType) -> Reasons {
        let possible =
            || Refusal::ALL.into_iter().filter(|refusal| is_possible(*refusal, sign_type));
        let exact = possible().filter(|refusal| {
            let connack = refusal.connack();
            self.code == if self.is_v5() { connack.v5 } else { connack.v3 }
        });
        if self.is_stock() {
            Reasons::Any(possible().collect(), exact.collect())
        } else {
            Reasons::Some(exact.collect())
        }
    }

    /// Whether it is "not authorized", which a broker sends for all reasons where it can send no other code.
    fn is_stock(self) -> bool {
        let stock = Refusal::Frozen.connack();
        self.code == if self.is_v5() { stock.v5 } else { stock.v3 }
    }

    /// Whether the code is one of MQTT 5. A broker that does not know MQTT 5 answers it with one of 3.1.1.
    fn is_v5(self) -> bool {
        self.version == Version::V5 && !(1..=5).contains(&self.code)
    }
}

/// Whether a login that was made here can be refused for this reason.
fn is_possible(refusal: Refusal, sign_type: SignType) -> bool {
    match refusal {
        // The user name is the ClientId's device id.
        Refusal::UserMismatch => false,
        // The timestamp of type 0 is not looked at.
        Refusal::StaleTimestamp | Refusal::FutureTimestamp => sign_type != SignType::Sha256,
        // Comes after the CONNACK.
        Refusal::NotAsked => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3_1_1: fn(u8) -> Code = |code| Code { version: Version::V3_1_1, code };
    const V5: fn(u8) -> Code = |code| Code { version: Version::V5, code };

    #[test]
    fn every_refusal_has_words_in_each_version() {
        for refusal in Refusal::ALL {
            let code = refusal.connack();
            for code in [V3_1_1(code.v3), V5(code.v5)] {
                assert!(!code.words().contains("does not name"), "{code:?}");
            }
        }
        assert!(V3_1_1(6).words().contains("does not name"));
        assert!(V5(0xFF).words().contains("does not name"));
    }

    #[test]
    fn codes_are_written_as_people_know_them() {
        assert_eq!(V3_1_1(4).shown(), "4");
        assert_eq!(V5(0x86).shown(), "0x86");
        assert_eq!(V5(0x8A).shown(), "0x8A");
        // From a broker of MQTT 3.1.1.
        assert_eq!(
            (V5(1).shown().as_str(), V5(1).words()),
            ("1", "protocol version not supported")
        );
    }

    #[test]
    fn a_code_has_the_reasons_of_the_table() {
        use Refusal::{BadClientId, BadKeepAlive, BadSignType, FutureTimestamp, InternalError};
        use Refusal::{NoCertificate, RateLimited, StaleTimestamp, UnknownDevice, WrongPassword};
        let (plain, dated) = (SignType::Sha256, SignType::Sm3Timestamp);
        let form = vec![BadClientId, BadSignType, BadKeepAlive];
        let proof = vec![UnknownDevice, WrongPassword, NoCertificate];
        let dated_proof =
            vec![UnknownDevice, StaleTimestamp, FutureTimestamp, WrongPassword, NoCertificate];
        for (code, sign_type, reasons) in [
            (V3_1_1(2), plain, form.clone()),
            (V3_1_1(3), plain, vec![RateLimited, InternalError]),
            (V3_1_1(4), plain, proof.clone()),
            (V3_1_1(4), dated, dated_proof.clone()),
            (V3_1_1(1), plain, vec![]),
            (V5(0x85), plain, form),
            (V5(0x86), dated, dated_proof),
            (V5(0x86), plain, proof),
            (V5(0x9F), plain, vec![RateLimited]),
            (V5(0x88), plain, vec![InternalError]),
            (V5(0x95), plain, vec![]),
        ] {
            assert_eq!(code.reasons(sign_type), Reasons::Some(reasons), "{code:?} {sign_type:?}");
        }
    }

    #[test]
    fn not_authorized_may_be_any_reason() {
        let exact = vec![Refusal::WrongCertificate, Refusal::Frozen];
        for code in [V3_1_1(5), V5(0x87)] {
            for (sign_type, fewer) in [(SignType::Sha256, 4), (SignType::Sha256Timestamp, 2)] {
                let Reasons::Any(all, found) = code.reasons(sign_type) else { panic!("{code:?}") };
                assert_eq!((all.len(), &found), (Refusal::ALL.len() - fewer, &exact));
            }
        }
    }
}
