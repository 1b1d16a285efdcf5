//! What is on the lines of a CSV file? Each record is one line: no value here can have a newline in it.

/// What is wrong with a line of CSV. The line may hold a secret, so nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A quote opens a value and is not closed on the line.
    Unclosed,
    /// There is text between a closing quote and the next comma.
    BehindQuote,
}

impl Fault {
    /// The fault in words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Unclosed => "expected a closing quote, found the end of the line",
            Self::BehindQuote => "expected a comma behind the closing quote, found something else",
        }
    }
}

/// The lines of a content that are not blank, without their ends and without a byte order mark; each with its number from 1
/// and the offset in bytes where it begins.
pub(crate) fn lines(content: &[u8]) -> impl Iterator<Item = (u64, usize, &[u8])> {
    let mark: &[u8] = b"\xEF\xBB\xBF";
    let mut start = if content.starts_with(mark) { mark.len() } else { 0 };
    let mut number = 0;
    std::iter::from_fn(move || {
        loop {
            let text = content.get(start..).filter(|text| !text.is_empty())?;
            let begin = start;
            number += 1;
            start += memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
            let line = line(text);
            if !line.trim_ascii().is_empty() {
                return Some((number, begin, line));
            }
        }
    })
}

/// The first line of a text, without its end.
pub(crate) fn line(text: &[u8]) -> &[u8] {
    let line = memchr::memchr(b'\n', text).and_then(|end| text.get(..end)).unwrap_or(text);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads the values of a line into a vector that is reused. Blanks around a value do not count. A doubled quote inside
/// quotes stays doubled, which does no harm: no valid value has a quote.
pub(crate) fn values<'a>(line: &'a [u8], values: &mut Vec<&'a [u8]>) -> Result<(), Fault> {
    values.clear();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (value, after) = value(text)?;
        values.push(value);
        rest = after;
    }
    Ok(())
}

/// The first value of a text, and what follows the comma after it.
fn value(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), Fault> {
    if let Some(quoted) = text.trim_ascii_start().strip_prefix(b"\"") {
        let (value, after) = split(quoted, closing_quote(quoted).ok_or(Fault::Unclosed)?);
        return match after.trim_ascii_start() {
            [] => Ok((value, None)),
            [b',', rest @ ..] => Ok((value, Some(rest))),
            _ => Err(Fault::BehindQuote),
        };
    }
    Ok(match text.iter().position(|byte| *byte == b',') {
        Some(comma) => {
            let (value, rest) = split(text, comma);
            (value.trim_ascii(), Some(rest))
        }
        None => (text.trim_ascii(), None),
    })
}

/// The parts of a text before and after a byte.
fn split(text: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (before, after) = text.split_at_checked(at).unwrap_or((text, &[]));
    (before, after.get(1..).unwrap_or_default())
}

/// The position of the first quote that is not doubled.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let quote = at + text.get(at..)?.iter().position(|byte| *byte == b'"')?;
        if text.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        at = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<&str>, Fault> {
        let mut found = Vec::new();
        values(line.as_bytes(), &mut found)?;
        Ok(found.into_iter().map(|value| std::str::from_utf8(value).unwrap()).collect())
    }

    #[test]
    fn reads_values() {
        for (line, expected) in [
            ("a", &["a"][..]),
            ("a,b", &["a", "b"]),
            ("a,,b,", &["a", "", "b", ""]),
            (" a ,\tb ", &["a", "b"]),
            ("\"a\",\"b,c\"", &["a", "b,c"]),
            (" \"a\" , b", &["a", "b"]),
            ("\"\",\"\"", &["", ""]),
            ("\" a \"", &[" a "]),
            ("\"a\"\"b\",c", &["a\"\"b", "c"]),
            ("a\"b", &["a\"b"]),
            ("a;b", &["a;b"]),
        ] {
            assert_eq!(read(line).as_deref(), Ok(expected), "{line}");
        }
        for line in ["\"", "\"a", "a,\"b", "\"a\"\"", "\"\"\""] {
            assert_eq!(read(line), Err(Fault::Unclosed), "{line}");
        }
        assert_eq!(read("\"a\"b"), Err(Fault::BehindQuote));
    }

    #[test]
    fn counts_lines() {
        let content = "\u{feff}a\r\n\r\n \nb\n\nc";
        let found: Vec<_> = lines(content.as_bytes()).collect();
        assert_eq!(found, [(1, 3, &b"a"[..]), (4, 10, b"b"), (6, 13, b"c")]);
        assert_eq!(lines(b"").count(), 0);
    }
}
