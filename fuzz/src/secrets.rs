//! Secrets files that are right, nearly, or not at all.

use crate::input::Input;
use reference_model::{ReferenceProof, reference_certificates};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What stands for certificates in DER; the targets look into none.
pub const CERTIFICATES: [&[u8]; 3] = [b"abc", b"abd", b"\x30\x82\x00\xff\x00abc"];

const DEVICES: [&[u8]; 4] = [b"64a1f0c2_lamp-01", b"d", b"x_0_1_2020010100", b"lamp_0"];
/// Each is marked, see [`is_marked`].
const SECRETS: [&[u8]; 3] =
    [b"s3cr3t-0123456789", b"s3cr3t00", b"s3cr3t_789012345678901234567890X"];

/// Whether a text holds the mark of our secrets. A secret of the fuzzer's own may be a word that the log has anyway.
pub fn is_marked(text: &[u8]) -> bool {
    text.windows(6).any(|part| part == b"s3cr3t")
}

/// A few lines, most of them right.
pub fn file(input: &mut Input<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let lines = input.below(6);
    for number in 0..=lines {
        file.extend(line(input, usize::from(number)));
        let last = number == lines;
        file.extend_from_slice(input.pick([
            b"\n".as_slice(),
            b"\r\n",
            b" \n",
            if last { b"" } else { b"\n" },
        ]));
    }
    file
}

fn line(input: &mut Input<'_>, number: usize) -> Vec<u8> {
    let kind = input.below(8);
    if kind == 7 {
        return input.text().to_vec();
    }
    let mut line = input.text_or(DEVICES[number % DEVICES.len()]);
    line.push(b':');
    if kind < 4 {
        line.extend(input.text_or(SECRETS[number % SECRETS.len()]));
    } else {
        line.extend_from_slice(b"x509=");
        line.extend(fingerprint(input));
        if kind == 5 {
            line.push(b',');
            line.extend(fingerprint(input));
        }
    }
    let second = [b":secondary=".as_slice(), &input_secret(input, kind, number)].concat();
    let frozen = b":frozen".as_slice();
    let attributes: [&[u8]; 2] = match kind {
        1 => [&second, b""],
        2 => [&second, frozen],
        3 => [frozen, &second],
        6 => [frozen, b""],
        _ => [b"", b""],
    };
    line.extend(attributes.concat());
    line
}

/// A second secret, where the kind of line has one.
fn input_secret(input: &mut Input<'_>, kind: u8, number: usize) -> Vec<u8> {
    match kind {
        1..=3 => input.text_or(SECRETS[(number + 1) % SECRETS.len()]),
        _ => Vec::new(),
    }
}

fn fingerprint(input: &mut Input<'_>) -> Vec<u8> {
    let certificate = input.pick(CERTIFICATES);
    match input.below(5) {
        0 => hex::encode(Sha256::digest(certificate)).into(),
        1 => hex::encode(Sha1::digest(certificate)).into(),
        2 => hex::encode_upper(Sha256::digest(certificate)).into(),
        3 => hex::encode_upper(Sha1::digest(certificate)).into(),
        _ => input.text().to_vec(),
    }
}

/// Whether a certificate is one of a device's.
pub fn is_certificate_of(der: &[u8], proof: &ReferenceProof) -> bool {
    let ReferenceProof::Certificates(digests) = proof else { return false };
    let own = [Sha1::digest(der).to_vec(), Sha256::digest(der).to_vec()];
    own.iter().any(|digest| digests.contains(digest))
}

/// A certificate's fingerprints as people give them, right or not, and what they say.
pub fn fingerprints(input: &mut Input<'_>) -> (Vec<u8>, Option<Vec<Vec<u8>>>) {
    let mut list = fingerprint(input);
    if input.flag() {
        list.push(b',');
        list.extend(fingerprint(input));
    }
    if input.flag() {
        list = as_openssl_has_them(&list);
    }
    let plain: Vec<Vec<u8>> = list.split(|byte| *byte == b',').map(without_colons).collect();
    (list, reference_certificates(&plain.join(&b',')))
}

/// `AB:CD:EF,…` of `ABCDEF,…`.
fn as_openssl_has_them(list: &[u8]) -> Vec<u8> {
    let pairs = |text: &[u8]| text.chunks(2).collect::<Vec<_>>().join(&b':');
    let texts: Vec<Vec<u8>> = list.split(|byte| *byte == b',').map(pairs).collect();
    texts.join(&b',')
}

/// A text of pairs with colons between them, without the colons; any other text as it is. What OpenSSL writes before the
/// digits counts for nothing.
fn without_colons(text: &[u8]) -> Vec<u8> {
    let lower = text.to_ascii_lowercase();
    let name = ["sha256 fingerprint=", "sha1 fingerprint="]
        .into_iter()
        .find(|name| lower.starts_with(name.as_bytes()));
    let digits = &text[name.map_or(0, str::len)..];
    let pairs: Vec<&[u8]> = digits.split(|byte| *byte == b':').collect();
    if pairs.iter().all(|pair| pair.len() == 2) { pairs.concat() } else { digits.to_vec() }
}
