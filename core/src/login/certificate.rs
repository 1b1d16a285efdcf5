//! Is the client certificate one of the device's? Its fingerprint is the digest of its DER, SHA-1 or SHA-256.
//!
//! The broker's TLS has already checked that the client holds the certificate's key, that a known authority issued the
//! certificate, and that it is neither expired nor revoked.

use crate::registry::{Fingerprint, Fingerprints};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Both fingerprints of one certificate. They are not secret: anyone who sees a handshake can compute them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// SHA-1 of the DER, which old registrations have.
    pub sha1: [u8; 20],
    /// SHA-256 of the DER.
    pub sha256: [u8; 32],
}

impl Digests {
    /// The fingerprints of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self { sha1: Sha1::digest(der).into(), sha256: Sha256::digest(der).into() }
    }

    /// Whether it is one of a device's certificates.
    #[must_use]
    pub fn is_one_of(&self, device: &Fingerprints) -> bool {
        let is = |fingerprint: &Fingerprint| match fingerprint {
            Fingerprint::Sha1(digest) => *digest == self.sha1,
            Fingerprint::Sha256(digest) => *digest == self.sha256,
        };
        is(&device.primary) || device.secondary.as_ref().is_some_and(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with openssl dgst: the digests of "abc".
    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn sha1(digits: &str) -> Fingerprint {
        Fingerprint::Sha1(hex::decode(digits).unwrap().try_into().unwrap())
    }

    fn sha256(digits: &str) -> Fingerprint {
        Fingerprint::Sha256(hex::decode(digits).unwrap().try_into().unwrap())
    }

    #[test]
    fn digests_are_those_of_the_der() {
        let digests = Digests::of(b"abc");
        assert_eq!(hex::encode(digests.sha1), SHA1);
        assert_eq!(hex::encode(digests.sha256), SHA256);
    }

    #[test]
    fn either_kind_and_either_place_counts_and_nothing_else() {
        let digests = Digests::of(b"abc");
        let other = sha256(&SHA256.replace("ad", "ae"));
        for (primary, secondary, expected) in [
            (sha1(SHA1), None, true),
            (sha256(SHA256), None, true),
            (other, Some(sha256(SHA256)), true),
            (other, Some(sha1(SHA1)), true),
            (sha256(SHA256), Some(other), true),
            (other, None, false),
            (other, Some(other), false),
            (sha1(&SHA1.replace("9d", "9e")), None, false),
            // Neither is a prefix of the other.
            (sha1(&SHA256[..40]), Some(sha256(&format!("{SHA1}{}", "0".repeat(24)))), false),
        ] {
            let device = Fingerprints { primary, secondary };
            assert_eq!(digests.is_one_of(&device), expected, "{device:?}");
        }
    }
}
