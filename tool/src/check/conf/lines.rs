//! What are the lines of a configuration file, as the broker reads them?
//!
//! The broker's functions work on C strings, so a NUL byte ends more than its line (`fgets_extending` in `misc_mosq.c`, 2.0.21;
//! `mosquitto_fgets` in `file_common.c`, 2.1.2).

use super::broker::Version;

/// The size of the broker's first buffer for a line, in bytes, and by how much it grows.
const BUFFER: usize = 1000;

/// The lines of a file, as far as the broker reads them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lines<'a> {
    /// Each line that says something, with its number from 1, without its end.
    pub(crate) lines: Vec<(usize, &'a [u8])>,
    /// Why some of the file is not read.
    pub(crate) lost: Option<Lost>,
}

/// A part of a file that the broker does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// A NUL byte in this line: nothing is read from here on.
    Nul(usize),
    /// The last line has no newline, and just fills the buffer.
    LastLine(usize),
}

/// Splits a file as a version does.
pub(crate) fn of(content: &[u8], version: Version) -> Lines<'_> {
    let mut lines = Vec::new();
    let mut lost = None;
    let mut buffer = BUFFER;
    let ends_in_newline = content.last() == Some(&b'\n');
    for (number, line) in (1..).zip(content.split_inclusive(|byte| *byte == b'\n')) {
        let is_last_and_open = line.last() != Some(&b'\n');
        match memchr::memchr(0, line) {
            // An empty string is skipped.
            Some(0) if version.skips_empty_strings() => continue,
            Some(nul) => {
                lost = Some(Lost::Nul(number));
                // At the end of the file the beginning of the line is passed on; 2.0 reads on until then.
                let is_passed_on =
                    if version.is_2_1() { is_last_and_open } else { !ends_in_newline };
                if is_passed_on {
                    lines.push((number, line.get(..nul).unwrap_or_default()));
                }
                break;
            }
            None => {}
        }
        while line.len() > buffer - 1 {
            buffer += BUFFER;
        }
        if is_last_and_open && line.len() == buffer - 1 {
            // The broker finds no end of the line, reads on, and finds nothing.
            lost = Some(Lost::LastLine(number));
            break;
        }
        lines.push((number, line));
    }
    let said = lines.into_iter().filter_map(|(number, line)| Some((number, text(line)?)));
    Lines { lines: said.collect(), lost }
}

/// A line without its end; `None` for a comment or an empty line. A comment begins in the first column.
fn text(line: &[u8]) -> Option<&[u8]> {
    if matches!(line.first(), None | Some(b'#' | b'\n' | b'\r')) {
        return None;
    }
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'))?;
    line.get(..=end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn told(content: &[u8], text: &str) -> (Vec<usize>, Option<Lost>) {
        let Lines { lines, lost } = of(content, version(text));
        (lines.iter().map(|(number, _)| *number).collect(), lost)
    }

    #[test]
    fn comments_begin_in_the_first_column_and_ends_are_cut() {
        let content = b"# no\nuser a\r\n\n\r\n #x\n\r never\nport 1 ";
        let lines: &[(usize, &[u8])] = &[(2, b"user a"), (5, b" #x"), (7, b"port 1 ")];
        assert_eq!(of(content, version("2.1.2")), Lines { lines: lines.to_vec(), lost: None });
    }

    #[test]
    fn nothing_is_read_after_a_nul() {
        for version in ["2.0.11", "2.0.21", "2.1.2"] {
            let content = b"a 1\nb\x002\nc 3\n";
            assert_eq!(told(content, version), (vec![1], Some(Lost::Nul(2))));
            // The beginning of the line counts if the file ends without a newline.
            assert_eq!(told(b"a 1\nb 2\0", version), (vec![1, 2], Some(Lost::Nul(2))));
        }
        assert_eq!(told(b"b\x002\nc 3", "2.0.21"), (vec![1], Some(Lost::Nul(1))));
        assert_eq!(told(b"b\x002\nc 3", "2.1.2"), (vec![], Some(Lost::Nul(1))));
        // At the beginning of a line.
        for (version, expected) in [
            ("2.0.11", (vec![], Some(Lost::Nul(1)))),
            ("2.0.21", (vec![2], None)),
            ("2.1.2", (vec![2], None)),
        ] {
            assert_eq!(told(b"\0a 1\nb 2\n", version), expected, "{version}");
        }
    }

    #[test]
    fn a_last_line_that_fills_the_buffer_is_lost() {
        let line = |length| "x".repeat(length);
        for (length, is_lost) in
            [(998, false), (999, true), (1000, false), (1999, true), (2000, false)]
        {
            let lost = is_lost.then_some(Lost::LastLine(1));
            assert_eq!(told(line(length).as_bytes(), "2.1.2").1, lost, "{length}");
            assert_eq!(told(format!("{}\n", line(length)).as_bytes(), "2.1.2").1, None);
        }
        // The buffer never shrinks.
        let content = format!("{}\n{}", line(1500), line(999));
        assert_eq!(told(content.as_bytes(), "2.1.2"), (vec![1, 2], None));
    }
}
