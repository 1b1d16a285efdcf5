//! What is in this file, by its first bytes? What is not text that can be read is named, with what to do.

use encoding_rs::{Encoding as Decoding, GBK, UTF_8, UTF_16BE, UTF_16LE};
use std::fmt;

/// How the characters of a text are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Encoding {
    Utf8,
    /// With a byte order mark.
    Utf8Marked,
    /// Little-endian, with a byte order mark, as Windows writes it.
    Utf16Le,
    /// Big-endian, with a byte order mark.
    Utf16Be,
}

impl Encoding {
    /// Its name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf8Marked => "UTF-8 with a byte order mark",
            Self::Utf16Le => "UTF-16 (little-endian)",
            Self::Utf16Be => "UTF-16 (big-endian)",
        }
    }

    /// The length of its byte order mark.
    pub(super) fn mark(self) -> usize {
        match self {
            Self::Utf8 => 0,
            Self::Utf8Marked => 3,
            Self::Utf16Le | Self::Utf16Be => 2,
        }
    }

    pub(super) fn decoding(self) -> &'static Decoding {
        match self {
            Self::Utf8 | Self::Utf8Marked => UTF_8,
            Self::Utf16Le => UTF_16LE,
            Self::Utf16Be => UTF_16BE,
        }
    }
}

/// Why a file is not read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotText {
    Empty,
    Workbook,
    OldWorkbook,
    Archive,
    Gzip,
    Utf32,
    Utf16WithoutMark,
    Binary,
    Markup,
    /// In this line, counted from 1.
    Gbk(u64),
    /// In this line.
    BadUtf8(u64),
    /// In this line.
    BadUtf16(u64),
}

const EXCEL: &str = "in Excel, save it as \"CSV UTF-8\" and import that";

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("expected CSV or JSON, found nothing"),
            Self::Workbook => {
                write!(f, "expected a text, found an Excel workbook (.xlsx): {EXCEL}")
            }
            Self::OldWorkbook => {
                write!(f, "expected a text, found an old Excel workbook (.xls): {EXCEL}")
            }
            Self::Archive => f.write_str(
                "expected a text, found a ZIP archive: unpack it and import the files in it",
            ),
            Self::Gzip => f.write_str(
                "expected a text, found a gzip file: gunzip it first, or use zcat FILE | iotda-auth import … -",
            ),
            Self::Utf32 => f.write_str("expected UTF-8 or UTF-16, found UTF-32: save it as UTF-8"),
            Self::Utf16WithoutMark => f.write_str(
                "expected UTF-8, found what looks like UTF-16 without a byte order mark: save it as UTF-8",
            ),
            Self::Binary => f.write_str("expected a text, found NUL bytes: it is another kind of file"),
            Self::Markup => f.write_str(
                "expected CSV or JSON, found HTML or XML: perhaps a page to log in was saved",
            ),
            Self::Gbk(line) => write!(
                f,
                "line {line}: expected UTF-8 or UTF-16, found GBK (Chinese Windows): {EXCEL}, or use iconv -f GBK -t UTF-8"
            ),
            Self::BadUtf8(line) => write!(
                f,
                "line {line}: expected UTF-8, found other bytes: save it as UTF-8 (in Excel \"CSV UTF-8\"), or use iconv"
            ),
            Self::BadUtf16(line) => write!(
                f,
                "line {line}: expected UTF-16, found half a character: the file is damaged or cut off"
            ),
        }
    }
}

/// Finds out the encoding by the first bytes of a file; all of them, if it is short.
pub(super) fn encoding(head: &[u8]) -> Result<Encoding, NotText> {
    let has = |part: &[u8]| memchr::memmem::find(head, part).is_some();
    match head {
        [] => Err(NotText::Empty),
        [b'P', b'K', 3, 4, ..] if has(b"[Content_Types].xml") || has(b"xl/") => {
            Err(NotText::Workbook)
        }
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Err(NotText::Archive),
        [0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1, ..] => Err(NotText::OldWorkbook),
        [0x1F, 0x8B, ..] => Err(NotText::Gzip),
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Err(NotText::Utf32),
        [0xEF, 0xBB, 0xBF, ..] => Ok(Encoding::Utf8Marked),
        [0xFF, 0xFE, ..] => Ok(Encoding::Utf16Le),
        [0xFE, 0xFF, ..] => Ok(Encoding::Utf16Be),
        _ if !head.contains(&0) => Ok(Encoding::Utf8),
        // ASCII in UTF-16: every other byte is NUL, and no other is.
        _ if is_every_other_zero(head) => Err(NotText::Utf16WithoutMark),
        _ => Err(NotText::Binary),
    }
}

fn is_every_other_zero(head: &[u8]) -> bool {
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).take(64).all(|byte| *byte == 0);
    head.len() > 1 && (zeros(0) != zeros(1))
}

/// Whether bytes that are not UTF-8 are Chinese in GBK. Many bytes are in some way; here all characters must be of its older
/// part, GB 2312, which other texts hardly are by chance.
pub(super) fn is_gbk(line: &[u8]) -> bool {
    let mut runs = line.split(u8::is_ascii).filter(|run| !run.is_empty()).peekable();
    runs.peek().is_some()
        && runs.all(|run| run.len() % 2 == 0 && run.iter().all(|byte| *byte >= 0xA1))
        && GBK.decode_without_bom_handling_and_without_replacement(line).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_it_is() {
        for (head, found) in [
            (&b""[..], Err(NotText::Empty)),
            (b"device_id,secret\n", Ok(Encoding::Utf8)),
            (b"\xEF\xBB\xBFdevice_id", Ok(Encoding::Utf8Marked)),
            (b"\xFF\xFEd\0", Ok(Encoding::Utf16Le)),
            (b"\xFE\xFF\0d", Ok(Encoding::Utf16Be)),
            (b"\xFF\xFE", Ok(Encoding::Utf16Le)),
            (b"\xFF\xFE\0\0d\0\0\0", Err(NotText::Utf32)),
            (b"PK\x03\x04\x14\0\x06\0[Content_Types].xml", Err(NotText::Workbook)),
            (b"PK\x03\x04\x14\0\0\0keys/DEVICES-KEY-1.txt", Err(NotText::Archive)),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0", Err(NotText::OldWorkbook)),
            (b"\x1F\x8B\x08\0", Err(NotText::Gzip)),
            (b"d\0e\0v\0i\0c\0e\0", Err(NotText::Utf16WithoutMark)),
            (b"\0d\0e\0v\0i\0c\0e", Err(NotText::Utf16WithoutMark)),
            (b"\x7FELF\x02\x01\x01\0\0\0", Err(NotText::Binary)),
            (b"\0", Err(NotText::Binary)),
            (b"\0\0\0", Err(NotText::Binary)),
        ] {
            assert_eq!(encoding(head), found, "{head:02x?}");
        }
    }

    #[test]
    fn chinese_in_gbk_is_told_from_other_bytes() {
        let (gbk, _, _) = GBK.encode("设备ID,密钥,名称");
        assert!(is_gbk(&gbk));
        for other in
            [&b""[..], b"device_id", b"L\xE4mpchen,Fl\xFCr", b"caf\xE9, \xE9t\xE9", b"\xFF\xFF"]
        {
            assert!(!is_gbk(other), "{other:02x?}");
        }
    }
}
