//! What is this content, if it is no secrets file? Recognised by its beginning, and only after it has turned out to be wrong.

use std::fmt;

/// How many bytes of the beginning are looked at.
pub(super) const HEAD: usize = 512;

/// What a file holds in place of lines of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Text in UTF-16.
    Utf16,
    /// Text in UTF-32.
    Utf32,
    /// A zip file, which an `.xlsx` table is too.
    Zip,
    /// An `.xls` table, or another file of older office programs.
    OldOffice,
    /// Compressed data.
    Compressed,
    /// NUL bytes, as files have after a crash of the machine.
    Nuls,
    /// A certificate or a key in PEM.
    Pem,
    /// XML or HTML.
    Markup,
    /// JSON, as the platform's API answers.
    Json,
    /// A table with commas, semicolons or tabs.
    Csv,
    /// A `password_file` of Mosquitto's.
    PasswordFile,
    /// Bytes that are no text.
    Binary,
}

/// Beginnings that no secrets file has.
const BEGINNINGS: [(&[u8], Foreign); 14] = [
    // The first two bytes are UTF-16's.
    (b"\xFF\xFE\0\0", Foreign::Utf32),
    (b"\0\0\xFE\xFF", Foreign::Utf32),
    (b"\xFF\xFE", Foreign::Utf16),
    (b"\xFE\xFF", Foreign::Utf16),
    (b"PK\x03\x04", Foreign::Zip),
    (b"\xD0\xCF\x11\xE0", Foreign::OldOffice),
    (b"\x1F\x8B", Foreign::Compressed),
    (b"\xFD7zXZ", Foreign::Compressed),
    (b"\x28\xB5\x2F\xFD", Foreign::Compressed),
    (b"BZh", Foreign::Compressed),
    (b"-----BEGIN ", Foreign::Pem),
    (b"<", Foreign::Markup),
    (b"{", Foreign::Json),
    (b"[", Foreign::Json),
];

impl Foreign {
    /// What a file is in which not one device was found, by its beginning.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let text =
            head.strip_prefix(super::read::BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
        let begins = |beginning: &[u8]| head.starts_with(beginning) || text.starts_with(beginning);
        let known = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning));
        known
            .map(|(_, content)| *content)
            .or_else(|| Self::of_bytes(head))
            .or_else(|| Self::of_line(text))
    }

    /// By the bytes that no text has.
    fn of_bytes(head: &[u8]) -> Option<Self> {
        let nuls = head.iter().filter(|byte| **byte == 0).count();
        if nuls == head.len() {
            return (nuls > 0).then_some(Self::Nuls);
        }
        // A mark is often missing. Letters and digits of ASCII have a NUL on one side, and always on the same.
        let pairs = head.chunks_exact(2).len();
        let on_side = |side| head.chunks_exact(2).filter(|pair| pair.get(side) == Some(&0)).count();
        let most = on_side(0).max(on_side(1));
        if most > 1 && most > pairs * 3 / 4 && nuls < most + most / 4 {
            return Some(Self::Utf16);
        }
        let is_odd = |byte: &u8| *byte < b' ' && !byte.is_ascii_whitespace();
        let odd = head.iter().filter(|byte| is_odd(byte)).count();
        (odd >= 4 && odd > head.len() / 10).then_some(Self::Binary)
    }

    /// By the first line that says something.
    fn of_line(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"))?;
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            // How mosquitto_passwd marks its hashes (PBKDF2, SHA-512 and argon2id).
            let marks: [&[u8]; 3] = [b":$7$", b":$6$", b":$argon2id$"];
            let rest = line.get(colon..).unwrap_or_default();
            return marks.iter().any(|mark| rest.starts_with(mark)).then_some(Self::PasswordFile);
        }
        line.iter().any(|byte| matches!(byte, b',' | b';' | b'\t')).then_some(Self::Csv)
    }

    /// What was found, and what to do.
    fn words(self) -> (&'static str, &'static str) {
        const OTHER_FILE: &str = "is it the right file?";
        const IMPORT: &str = "iotda-auth import makes a secrets file of it";
        const EXPORT: &str =
            "save the table as CSV, and iotda-auth import makes a secrets file of that";
        match self {
            Self::Utf16 => ("text in UTF-16", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
            Self::Utf32 => ("text in UTF-32", "save it as UTF-8 (iconv -f UTF-32 -t UTF-8)"),
            Self::Zip => ("a zip file, such as an .xlsx table", EXPORT),
            Self::OldOffice => ("an .xls table or the like", EXPORT),
            Self::Compressed => ("compressed data", "unpack it first"),
            Self::Nuls => ("only NUL bytes", "has the machine crashed, or was its disk full?"),
            Self::Pem => ("a certificate or a key (PEM)", OTHER_FILE),
            Self::Markup => ("XML or HTML", OTHER_FILE),
            Self::Json => ("JSON", IMPORT),
            Self::Csv => ("a table (CSV)", IMPORT),
            Self::PasswordFile => ("a password_file of Mosquitto", OTHER_FILE),
            Self::Binary => ("binary data", OTHER_FILE),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, advice) = self.words();
        write!(f, "expected lines like device_id:secret, found {found}: {advice}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text in UTF-16, without a mark.
    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn each_content_is_recognised() {
        let devices = "lamp-1:5f2b9c0e7d\nlamp-2:5f2b9c0e7e\n";
        let chinese = "# 设备\nlamp-1:5f2b9c0e7d\n";
        for (content, expected) in [
            ([&b"\xFF\xFE"[..], &utf16(devices, u16::to_le_bytes)].concat(), Some(Foreign::Utf16)),
            ([&b"\xFE\xFF"[..], &utf16(chinese, u16::to_be_bytes)].concat(), Some(Foreign::Utf16)),
            (utf16(devices, u16::to_le_bytes), Some(Foreign::Utf16)),
            (utf16(devices, u16::to_be_bytes), Some(Foreign::Utf16)),
            (utf16(chinese, u16::to_be_bytes), Some(Foreign::Utf16)),
            (b"\xFF\xFE\0\0l\0\0\0".to_vec(), Some(Foreign::Utf32)),
            (b"PK\x03\x04\x14\0\x06\0".to_vec(), Some(Foreign::Zip)),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec(), Some(Foreign::OldOffice)),
            (b"\x1F\x8B\x08\0".to_vec(), Some(Foreign::Compressed)),
            (vec![0; 100], Some(Foreign::Nuls)),
            (b"-----BEGIN CERTIFICATE-----\nMIIB".to_vec(), Some(Foreign::Pem)),
            (b"<?xml version=\"1.0\"?>".to_vec(), Some(Foreign::Markup)),
            (
                b"{\"device_id\": \"dev_1\", \"secret\": \"abcdefgh1\"}".to_vec(),
                Some(Foreign::Json),
            ),
            (b"\xEF\xBB\xBF\r\n [\n  {\"device_id\": 1}]".to_vec(), Some(Foreign::Json)),
            (b"device_id,secret\ndev_1,abcdefgh1\n".to_vec(), Some(Foreign::Csv)),
            (b"\xEF\xBB\xBFdev_1;abcdefgh1\r\n".to_vec(), Some(Foreign::Csv)),
            (b"# a comment\n\ndev_1\tabcdefgh1\n".to_vec(), Some(Foreign::Csv)),
            (b"alice:$7$101$salt$hash==\n".to_vec(), Some(Foreign::PasswordFile)),
            (b"\x7FELF\x02\x01\x01\0\0\0\0\0\0".to_vec(), Some(Foreign::Binary)),
            // A mistake in a secrets file is one, with its line.
            (b"".to_vec(), None),
            (b"\0".to_vec(), Some(Foreign::Nuls)),
            (b"a:5f2b9c0e7d\0\n".to_vec(), None),
            (b"la\0mp:5f2b9c0e7d\n".to_vec(), None),
            (b"lamp".to_vec(), None),
            (b"lamp:short\n".to_vec(), None),
            (b"lamp:sec,ret\n".to_vec(), None),
            ("l\u{e4}mp:5f2b9c0e7d".into(), None),
            (vec![b'x'; HEAD], None),
        ] {
            let head = content.get(..HEAD).unwrap_or(&content);
            assert_eq!(Foreign::of(head), expected, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn each_message_says_what_was_found_and_what_to_do() {
        for (content, found, advice) in [
            (Foreign::Utf16, "UTF-16", "UTF-8"),
            (Foreign::Zip, ".xlsx", "iotda-auth import"),
            (Foreign::OldOffice, ".xls", "iotda-auth import"),
            (Foreign::Json, "JSON", "iotda-auth import"),
            (Foreign::Csv, "CSV", "iotda-auth import"),
            (Foreign::Compressed, "compressed", "unpack"),
            (Foreign::Nuls, "NUL", "crashed"),
            (Foreign::PasswordFile, "password_file", "right file?"),
            (Foreign::Binary, "binary", "right file?"),
        ] {
            let text = content.to_string();
            assert!(text.starts_with("expected lines like device_id:secret, found "), "{text}");
            assert!(text.contains(found) && text.contains(advice), "{text}");
        }
    }
}
