//! A certificate's fingerprint as people have it: from OpenSSL it has colons, and may have its name before it.

use super::line::{self, LineFault};
use std::borrow::Cow;

/// What `openssl x509 -fingerprint` writes before the digits, in lower case. Older versions write it in upper case.
const NAMES: [&[u8]; 2] = [b"sha256 fingerprint=", b"sha1 fingerprint="];

/// Fingerprints separated by commas, as a secrets file has them: without colons and names. A text that is no fingerprint
/// stays as it is.
#[must_use]
pub fn bare(list: &[u8]) -> Cow<'_, [u8]> {
    if !list.iter().any(|byte| matches!(byte, b':' | b'=')) {
        return Cow::Borrowed(list);
    }
    let digits: Vec<Cow<'_, [u8]>> = list.split(|byte| *byte == b',').map(digits).collect();
    Cow::Owned(digits.join(&b','))
}

/// One fingerprint, as a secrets file has it.
///
/// # Errors
///
/// [`LineFault`]: it is no fingerprint.
pub fn fingerprint(text: &[u8]) -> Result<Vec<u8>, LineFault> {
    let digits = digits(text);
    line::fingerprint(&digits)?;
    Ok(digits.to_ascii_lowercase())
}

fn digits(text: &[u8]) -> Cow<'_, [u8]> {
    let name = NAMES
        .into_iter()
        .find(|name| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
    let text = text.get(name.map_or(0, <[u8]>::len)..).unwrap_or_default();
    let are_pairs = text.split(|byte| *byte == b':').all(|pair| pair.len() == 2);
    if are_pairs {
        let digits = text.iter().filter(|byte| **byte != b':');
        return Cow::Owned(digits.copied().collect());
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::{super::line::Field, *};

    const SHA1: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
    const COLONS: &str = "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B";

    #[test]
    fn takes_what_openssl_writes() {
        for text in [
            SHA1.into(),
            SHA1.to_uppercase(),
            COLONS.into(),
            COLONS.to_lowercase(),
            format!("sha1 Fingerprint={COLONS}"),
            format!("SHA1 Fingerprint={COLONS}"),
            format!("SHA256 fingerprint={SHA1}"),
        ] {
            assert_eq!(fingerprint(text.as_bytes()).unwrap(), SHA1.as_bytes(), "{text}");
            let bare = bare(text.as_bytes());
            assert!(bare.eq_ignore_ascii_case(SHA1.as_bytes()), "{text}");
        }
        let list = format!("{COLONS},{SHA1},sha1 Fingerprint={COLONS}");
        let expected = [&COLONS.replace(':', ""), SHA1, &COLONS.replace(':', "")].join(",");
        assert_eq!(&*bare(list.as_bytes()), expected.as_bytes());
    }

    #[test]
    fn takes_nothing_else() {
        let charset = |position| LineFault::Charset { field: Field::Fingerprint, position };
        let length = |found| LineFault::Length { field: Field::Fingerprint, found };
        for (text, fault) in [
            (String::new(), length(0)),
            (COLONS.replacen("9F:", "9:", 1), charset(2)),
            (format!("{COLONS}:"), charset(3)),
            (format!(":{COLONS}"), charset(1)),
            (COLONS[..56].into(), length(38)),
            (COLONS.replacen('F', "G", 1), charset(2)),
            (COLONS.replace(':', "-"), charset(3)),
            (format!("md5 Fingerprint={COLONS}"), charset(1)),
            (format!("sha1 Fingerprint={COLONS},{SHA1}"), charset(3)),
        ] {
            assert_eq!(fingerprint(text.as_bytes()), Err(fault), "{text}");
        }
        for same in ["", ",", "a:b", "9F8", SHA1] {
            assert_eq!(&*bare(same.as_bytes()), same.as_bytes());
        }
    }
}
