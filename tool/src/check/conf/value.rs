//! What does the rest of a line say? Words and numbers as the broker reads them.
//!
//! A word ends at a blank; a tab belongs to the word, as in the broker's `strtok_r(…, " ", …)`.

/// What is left of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest<'a>(pub(crate) &'a [u8]);

impl<'a> Rest<'a> {
    /// The next word. The one blank behind it is consumed too.
    pub(crate) fn word(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| *byte != b' ')?;
        let text = self.0.get(start..)?;
        let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        self.0 = text.get(end + 1..).unwrap_or_default();
        text.get(..end)
    }

    /// All that is left, if it is not empty.
    pub(crate) fn text(self) -> Option<&'a [u8]> {
        (!self.0.is_empty()).then_some(self.0)
    }

    /// All that is left, without blanks and tabs before it.
    pub(crate) fn without_leading_blanks(self) -> &'a [u8] {
        let start = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        start.and_then(|start| self.0.get(start..)).unwrap_or_default()
    }
}

/// Why a value is not accepted, in an error's words.
pub(crate) type Fault = String;

/// `true`, `false`, `1` or `0`.
pub(crate) fn boolean(word: Option<&[u8]>) -> Result<bool, Fault> {
    match word {
        Some(b"true" | b"1") => Ok(true),
        Some(b"false" | b"0") => Ok(false),
        found => Err(unexpected("true or false", found)),
    }
}

/// A number. 2.0 reads the digits at the beginning and nothing else (`atoi`); 2.1 reads all, also `0x10` and `010`.
pub(crate) fn number(word: Option<&[u8]>, is_2_1: bool) -> Result<i64, Fault> {
    let Some(text) = word else { return Err(unexpected("a number", None)) };
    let (value, is_whole) = if is_2_1 { strtol(text) } else { (atoi(text), true) };
    if !is_whole {
        return Err(unexpected("a number", word));
    }
    match i32::try_from(value) {
        Ok(value) => Ok(value.into()),
        // What atoi makes of it is not defined; glibc cuts the number to 32 bits.
        Err(_) if !is_2_1 => Ok(value << 32 >> 32),
        Err(_) => Err(unexpected("a number of 32 bits", word)),
    }
}

/// A number within bounds.
pub(crate) fn number_within(
    word: Option<&[u8]>,
    (least, most): (i64, i64),
    is_2_1: bool,
) -> Result<i64, Fault> {
    let value = number(word, is_2_1)?;
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let expected = if most == i64::MAX {
        format!("a number from {least} on")
    } else {
        format!("a number from {least} to {most}")
    };
    Err(unexpected(&expected, word))
}

/// A text to the end of the line, a comment included, without surrounding white space (`conf__parse_string`).
pub(crate) fn text(rest: Rest<'_>) -> Result<String, Fault> {
    let trimmed = trimmed(rest.0);
    if trimmed.is_empty() {
        return Err(unexpected("a value", None));
    }
    if trimmed.len() > usize::from(u16::MAX) {
        return Err(format!("expected at most {} bytes, found {}", u16::MAX, trimmed.len()));
    }
    match std::str::from_utf8(trimmed) {
        Ok(text) if text.chars().all(is_allowed) => Ok(text.into()),
        _ => Err(unexpected("UTF-8 without control characters, also without a tab", Some(trimmed))),
    }
}

/// What `isspace` of C says.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t'..=b'\r');
    let Some(start) = text.iter().position(is_text) else { return &[] };
    let end = text.iter().rposition(is_text).unwrap_or(start);
    text.get(start..=end).unwrap_or_default()
}

/// What `mosquitto_validate_utf8` says of a character.
fn is_allowed(character: char) -> bool {
    let code = u32::from(character);
    !(character.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE)
}

/// "expected …, found …".
pub(crate) fn unexpected(expected: &str, found: Option<&[u8]>) -> Fault {
    match found {
        None => format!("expected {expected}, found nothing"),
        Some(found) => format!("expected {expected}, found \"{}\"", shown(found)),
    }
}

/// A text of the file, cut to a readable length. It is made harmless where it is printed.
pub(crate) fn shown(text: &[u8]) -> String {
    const LENGTH: usize = 100;
    let text = String::from_utf8_lossy(text);
    let mut shown: String = text.chars().take(LENGTH).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

/// The sign, and what follows it and white space.
fn signed(text: &[u8]) -> (i64, &[u8]) {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'));
    let text = start.and_then(|start| text.get(start..)).unwrap_or_default();
    match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    }
}

/// The digits at the beginning, and how many there are.
fn digits(text: &[u8], radix: u32) -> (i64, usize) {
    let digits = text.iter().map_while(|byte| char::from(*byte).to_digit(radix));
    digits.fold((0, 0), |(value, count): (i64, usize), digit| {
        (value.saturating_mul(radix.into()).saturating_add(digit.into()), count + 1)
    })
}

fn atoi(text: &[u8]) -> i64 {
    let (sign, text) = signed(text);
    sign * digits(text, 10).0
}

/// `strtol` with base 0; the second value tells whether it read all, and anything.
fn strtol(text: &[u8]) -> (i64, bool) {
    let (sign, text) = signed(text);
    let (radix, text) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', _, ..] => (8, text),
        _ => (10, text),
    };
    let (value, count) = digits(text, radix);
    (sign * value, count > 0 && count == text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_blanks_and_not_at_tabs() {
        let mut rest = Rest(b"  a\tb  c ");
        assert_eq!(rest.word(), Some(&b"a\tb"[..]));
        assert_eq!(rest.0, b" c ");
        assert_eq!(rest.word(), Some(&b"c"[..]));
        assert_eq!((rest.word(), rest.text()), (None, None));
        assert_eq!(Rest(b" \t x ").without_leading_blanks(), b"x ");
    }

    #[test]
    fn numbers_are_read_as_each_series_reads_them() {
        for (word, in_2_0, in_2_1) in [
            ("1883", Ok(1883), Ok(1883)),
            ("-1", Ok(-1), Ok(-1)),
            ("1883x", Ok(1883), Err("a number")),
            ("x", Ok(0), Err("a number")),
            ("0x10", Ok(0), Ok(16)),
            ("010", Ok(10), Ok(8)),
            ("08", Ok(8), Err("a number")),
            ("0", Ok(0), Ok(0)),
            ("4294967297", Ok(1), Err("32 bits")),
        ] {
            for (is_2_1, expected) in [(false, in_2_0), (true, in_2_1)] {
                let found = number(Some(word.as_bytes()), is_2_1);
                match (found, expected) {
                    (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{word} {is_2_1}"),
                    (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                    (found, expected) => panic!("{word} {is_2_1}: {found:?} {expected:?}"),
                }
            }
        }
        assert!(number(None, false).is_err());
    }

    #[test]
    fn texts_have_no_control_characters() {
        assert_eq!(text(Rest(b" \t/a b # c \t")), Ok("/a b # c".into()));
        for bad in
            [&b"a\tb"[..], b"a\x7f", b"\xff", b"\xC2\x85x", b" \t", b"", "\u{FDD0}".as_bytes()]
        {
            assert!(text(Rest(bad)).is_err(), "{bad:?}");
        }
    }
}
