//! Which certificate is in this file?

use crate::{
    secret,
    terminal::{Failure, shown},
};
use iotda_core::{login::certificate::Digests, registry::given};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{ffi::OsStr, fs::File, os::unix::ffi::OsStrExt, path::Path};

/// The fingerprint of a certificate, in lower-case hex digits: SHA-256 of a PEM file, or one that is given in its place.
pub(crate) fn fingerprint(given: &OsStr) -> Result<String, Failure> {
    let path = Path::new(given);
    let digits = given::fingerprint(given.as_bytes());
    // A file may have any name.
    let is_meant = digits.is_ok() || given.as_bytes().contains(&b':');
    if is_meant && !path.exists() {
        let digits = digits.map_err(|fault| Failure::new(fault.to_string()))?;
        return Ok(String::from_utf8_lossy(&digits).into_owned());
    }
    der(path).map(|der| hex::encode(Digests::of(&der).sha256))
}

/// The certificate of a PEM file, in DER. In a chain it is the first one, the client's own, as in the handshake. Keys in the
/// same file are skipped.
pub(crate) fn der(path: &Path) -> Result<Vec<u8>, Failure> {
    let failure = |reason: String| Failure::new(format!("{}: {reason}", shown(path)));
    // There may be a key in the file.
    let content = File::open(path)
        .and_then(|mut file| {
            let size = usize::try_from(file.metadata()?.len()).unwrap_or(0);
            secret::to_end(&mut file, size)
        })
        .map_err(|error| failure(format!("cannot be read: {error}")))?;
    let expected = "expected a certificate in PEM, found";
    match CertificateDer::from_pem_slice(&content) {
        Ok(certificate) if is_a_sequence(&certificate) => Ok(certificate.to_vec()),
        Ok(_) => Err(failure(format!("{expected} one that is cut off or no certificate at all"))),
        // The content is not repeated in the error.
        Err(_) if content.starts_with(&[0x30]) => {
            let hint = "openssl x509 -inform der -in FILE -out FILE.pem makes PEM of it";
            Err(failure(format!("{expected} something like DER ({hint})")))
        }
        Err(_) => Err(failure(format!("{expected} none"))),
    }
}

/// Whether this is one complete DER SEQUENCE that begins with another SEQUENCE, as a certificate does and a key does not.
fn is_a_sequence(der: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = der else { return false };
    let digits = usize::from(length.wrapping_sub(0x80));
    let (length, content) = match (*length, rest.split_at_checked(digits)) {
        (short @ ..0x80, _) => (usize::from(short), rest),
        (_, Some((digits, content))) if digits.len() <= size_of::<u32>() => {
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), content)
        }
        _ => return false,
    };
    content.len() == length && content.first() == Some(&0x30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_whole_and_holds_another() {
        let long = [&[0x30, 0x82, 1, 0, 0x30][..], &[0; 255]].concat();
        for good in [&[0x30, 2, 0x30, 0][..], &[0x30, 0x81, 2, 0x30, 0], &long] {
            assert!(is_a_sequence(good), "{good:02x?}");
        }
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 0],
            &[0x30, 3, 0x30, 0],
            &[0x30, 1, 0x30, 0],
            &[0x30, 3, 2, 1, 0],
            &[0x31, 2, 0x30, 0],
            &[0x30, 0x80, 0x30, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 2, 0x30, 0],
            &[0x30, 0xFF, 0x30, 0],
            &long[..259],
        ] {
            assert!(!is_a_sequence(bad), "{bad:02x?}");
        }
    }
}
