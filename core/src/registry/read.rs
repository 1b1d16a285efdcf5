//! Makes a table from the content of a file, or a list of all that is wrong with it; never half a table.

pub use super::load_error::{LineErrors, LoadError};

use super::{
    cancel::Cancel,
    foreign::{Foreign, HEAD},
    line::{self, Line, LineFault, MAX_LINE},
    load_error::ENDLESS,
    table::{Arena, MAX_ARENA, Table, Twice},
};
use std::io::{self, Read};
use zeroize::Zeroizing;

/// How many errors of a file are written to the log one by one; the rest is a count.
pub const MAX_ERRORS: usize = 20;

/// The size of the read buffer, in bytes.
const MAX_CHUNK: usize = 1 << 18;

/// The byte order mark that some editors put at the beginning of a file.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What was read from a content.
#[derive(Debug)]
pub struct Content {
    /// The table of all devices.
    pub table: Table,
    /// Whether the last line ends in a newline.
    pub ends_in_newline: bool,
}

/// Reads the content of a secrets file of a known size, in bytes.
///
/// # Errors
///
/// [`LoadError`], and then there is no table.
pub fn read(
    content: impl Read,
    size: u64,
    max_errors: usize,
    cancel: Cancel<'_>,
) -> Result<Content, LoadError> {
    let capacity = usize::try_from(size).ok().filter(|size| *size < MAX_ARENA);
    let capacity = capacity.ok_or(LoadError::TooLarge { size })?;
    let mut reader = Reader {
        // A record is no longer than its line with the newline, which the last line may lack.
        arena: Arena::with_capacity(capacity + 1)?,
        lines: LineCount::default(),
        errors: LineErrors::default(),
        is_last_wrong: false,
        max_errors,
    };
    let mut content = Headed { content, head: Zeroizing::new([0; HEAD]), length: 0 };
    // A small file takes two reads: one for the content, one that finds its end.
    let chunk = MAX_CHUNK.min(capacity.saturating_add(MAX_LINE + 2));
    let lines = each_line(&mut content, chunk, cancel, |line| reader.line(line));
    let has_devices = reader.lines.devices > 0;
    let foreign = || Foreign::of(content.head()).filter(|_| !has_devices);
    let finished = lines.and_then(|ends_in_newline| {
        reader.errors.ends_in_the_middle = reader.is_last_wrong && !ends_in_newline;
        Ok(Content { table: reader.finish(cancel)?, ends_in_newline })
    });
    finished.map_err(|error| match error {
        LoadError::Lines(errors) => LoadError::Lines(LineErrors { foreign: foreign(), ..errors }),
        LoadError::Endless { line, .. } => LoadError::Endless { line, foreign: foreign() },
        error => error,
    })
}

/// A content whose beginning is kept, in case it turns out not to be a secrets file.
struct Headed<R> {
    content: R,
    head: Zeroizing<[u8; HEAD]>,
    length: usize,
}

impl<R: Read> Read for Headed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        let room = self.head.get_mut(self.length..).unwrap_or_default();
        let kept = count.min(room.len());
        for (place, byte) in room.iter_mut().zip(buffer.iter().take(count)) {
            *place = *byte;
        }
        self.length += kept;
        Ok(count)
    }
}

impl<R> Headed<R> {
    fn head(&self) -> &[u8] {
        self.head.get(..self.length).unwrap_or_default()
    }
}

/// What is known of a file while it is read.
struct Reader {
    arena: Arena,
    lines: LineCount,
    errors: LineErrors,
    is_last_wrong: bool,
    max_errors: usize,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), LoadError> {
        let parsed = line::parse(line);
        self.is_last_wrong = parsed.is_err();
        match parsed {
            Ok(Line::Device(entry)) => {
                self.lines.devices += 1;
                self.arena.push(&entry).map_err(|_| LoadError::Changing)
            }
            Ok(Line::Nothing) => {
                self.lines.skip();
                Ok(())
            }
            Err(fault) => {
                self.lines.skip();
                self.error(self.lines.current(), fault);
                Ok(())
            }
        }
    }

    fn error(&mut self, line: u64, fault: LineFault) {
        self.errors.total += 1;
        if self.errors.first.len() < self.max_errors {
            self.errors.first.push((line, fault));
        }
    }

    fn finish(mut self, cancel: Cancel<'_>) -> Result<Table, LoadError> {
        let arena = std::mem::take(&mut self.arena);
        let (table, Twice { first, total }) = arena.index(self.max_errors, cancel)?;
        let LineErrors { first: mut errors, total: others, ends_in_the_middle, foreign } =
            self.errors;
        if others + total == 0 {
            return Ok(table);
        }
        errors.extend(first.into_iter().map(|(later, earlier)| {
            let first = self.lines.of_device(earlier);
            (self.lines.of_device(later), LineFault::Duplicate { first })
        }));
        errors.sort_unstable_by_key(|(line, _)| *line);
        errors.truncate(self.max_errors);
        let total = others + total;
        Err(LoadError::Lines(LineErrors { first: errors, total, ends_in_the_middle, foreign }))
    }
}

/// Tells on which line the n-th device is, without storing a number for each device: it notes only the runs of lines
/// between devices.
#[derive(Default)]
struct LineCount {
    devices: u64,
    skipped: u64,
    /// For each run: the number of devices before it, and of skipped lines up to its end. A file has fewer lines than
    /// bytes, and so fewer than 32 bits can count.
    runs: Vec<(u32, u32)>,
}

impl LineCount {
    fn skip(&mut self) {
        self.skipped += 1;
        let count = |lines: u64| u32::try_from(lines).unwrap_or(u32::MAX);
        let run = (count(self.devices), count(self.skipped));
        match self.runs.last_mut() {
            Some(last) if last.0 == run.0 => *last = run,
            _ => self.runs.push(run),
        }
    }

    /// The number of the line that was counted last, from 1.
    fn current(&self) -> u64 {
        self.devices + self.skipped
    }

    /// The line of a device, from 1; devices are numbered from 0.
    fn of_device(&self, ordinal: u64) -> u64 {
        let runs = self.runs.partition_point(|(devices, _)| u64::from(*devices) <= ordinal);
        let skipped = runs
            .checked_sub(1)
            .and_then(|last| self.runs.get(last))
            .map_or(0, |(_, skipped)| u64::from(*skipped));
        ordinal + skipped + 1
    }
}

/// Passes on each line of a content, without its newline. Of a line that is too long it keeps just enough to see that it is
/// too long, or that it is a comment; a chunk must be larger than that. Returns whether the last line had a newline.
fn each_line(
    content: &mut impl Read,
    chunk: usize,
    cancel: Cancel<'_>,
    mut line: impl FnMut(&[u8]) -> Result<(), LoadError>,
) -> Result<bool, LoadError> {
    let mut buffer = Zeroizing::new(vec![0; chunk]);
    let mut kept = 0; // bytes of an unfinished line, at the buffer's beginning
    let mut dropped = 0u64; // bytes of that line which were not kept
    let mut lines = 0u64; // that have ended
    let mut start_of_file = true;
    loop {
        cancel.check()?;
        let count = match content.read(buffer.get_mut(kept..).unwrap_or_default()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let filled = kept + count;
        let mut rest = buffer.get(..filled).unwrap_or_default();
        if start_of_file {
            if count > 0 && rest.len() < BYTE_ORDER_MARK.len() {
                kept = filled;
                continue;
            }
            start_of_file = false;
            rest = rest.strip_prefix(BYTE_ORDER_MARK).unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (whole, newline) = rest.split_at(end);
            line(whole)?;
            lines += 1;
            dropped = 0;
            rest = newline.get(1..).unwrap_or_default();
        }
        if count == 0 {
            return if rest.is_empty() { Ok(true) } else { line(rest).map(|()| false) };
        }
        let unfinished = filled - rest.len();
        buffer.copy_within(unfinished..filled, 0);
        kept = (filled - unfinished).min(MAX_LINE + 1);
        dropped = dropped.saturating_add((filled - unfinished - kept) as u64);
        if dropped > ENDLESS {
            return Err(LoadError::Endless { line: lines + 1, foreign: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{
        FileKind, Watch,
        table::{IndexError, NoMemory},
    };

    fn table(content: &[u8]) -> Result<Table, LoadError> {
        read(content, content.len() as u64, MAX_ERRORS, Cancel::NEVER).map(|content| content.table)
    }

    fn errors(content: &[u8]) -> LineErrors {
        match table(content) {
            Err(LoadError::Lines(errors)) => errors,
            other => panic!("{other:?}"),
        }
    }

    /// Gives one byte at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn reads_marks_line_ends_and_a_last_line_without_one() {
        let content = b"\xEF\xBB\xBFlamp-1:5f2b9c0e7d\r\n\r\n# lamp-9:5f2b9c0e7d\nlamp-2:5f2b9c0e7e  \n\nlamp-3:5f2b9c0e7f";
        for table in [
            table(content).unwrap(),
            read(Drip(content), content.len() as u64, 1, Cancel::NEVER).unwrap().table,
        ] {
            assert_eq!(table.len(), 3);
            assert!(table.find(b"lamp-1").is_some() && table.find(b"lamp-3").is_some());
            assert!(table.find(b"lamp-9").is_none());
        }
        for nothing in ["", "\n", "\n\n", "#", "#\n", " \n"] {
            assert!(table(nothing.as_bytes()).unwrap().is_empty(), "{nothing:?}");
        }
        assert!(table(b"\xEF\xBB\xBF").unwrap().is_empty());
        assert!(table(b"\n\xEF\xBB\xBFlamp-1:5f2b9c0e7d").is_err());
    }

    #[test]
    fn counts_lines() {
        let found = errors(b"# one\n\nlamp-1:5f2b9c0e7d\nlamp-2\n\nlamp-3:5f2b9c0e7d\nlamp-4:no\nlamp-3:5f2b9c0e7d\nlamp-1:5f2b9c0e7d\n");
        let lines: Vec<u64> = found.first.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 7, 8, 9]);
        assert_eq!(found.first[2].1, LineFault::Duplicate { first: 6 });
        assert_eq!(found.first[3].1, LineFault::Duplicate { first: 3 });
    }

    #[test]
    fn tells_twenty_errors_and_counts_the_rest() {
        let found = errors("x\n".repeat(1000).as_bytes());
        assert_eq!((found.first.len(), found.total), (20, 1000));
        let found = errors("lamp:5f2b9c0e7d\n".repeat(1000).as_bytes());
        assert_eq!((found.first.len(), found.total), (20, 999));
        assert_eq!(found.first[19], (21, LineFault::Duplicate { first: 1 }));
    }

    #[test]
    fn long_lines_are_errors_or_comments_wherever_they_lie() {
        // The fourth one ends where a chunk does.
        for length in [MAX_LINE + 1, 2000, 1 << 18, MAX_CHUNK - 13, 1_000_000] {
            let long = "d".repeat(length);
            let content = format!("a:5f2b9c0e7d\n{long}\n#{long}\nb:5f2b9c0e7d\n{long}");
            let found = errors(content.as_bytes());
            assert_eq!(found.first, [(2, LineFault::TooLong), (5, LineFault::TooLong)], "{length}");
            let blanks = format!("a:5f2b9c0e7d{}\n", " ".repeat(length));
            assert_eq!(errors(blanks.as_bytes()).first, [(1, LineFault::TooLong)], "{length}");
        }
    }

    #[test]
    fn the_first_errors_are_told_of_whatever_kind() {
        let content = "a:5f2b9c0e7d\na:5f2b9c0e7d\nx\na:5f2b9c0e7d\ny\n";
        for most in 0..6 {
            let error = read(content.as_bytes(), content.len() as u64, most, Cancel::NEVER);
            let Err(LoadError::Lines(found)) = error else { panic!("{error:?}") };
            let lines: Vec<u64> = found.first.iter().map(|(line, _)| *line).collect();
            assert_eq!((lines.as_slice(), found.total), (&[2, 3, 4, 5][..most.min(4)], 4));
        }
    }

    #[test]
    fn a_file_that_ends_in_the_middle_of_a_line_is_named_so() {
        for (content, expected) in [
            (
                "a:5f2b9c0e7d\nb:5f2b",
                Some("1 wrong line, the last, which has no newline: is the file cut off?"),
            ),
            (
                "x\nb",
                Some(
                    "2 wrong lines, among them the last, which has no newline: is the file cut off?",
                ),
            ),
            ("a:5f2b9c0e7d\nb:5f2b\n", Some("1 wrong line")),
            ("x\nb:5f2b9c0e7d", Some("1 wrong line")),
            ("a:5f2b9c0e7d\na:5f2b9c0e7d", Some("1 wrong line")),
            ("a:5f2b9c0e7d\nb:5f2b9c0e", None),
        ] {
            let found = table(content.as_bytes()).err().map(|error| error.to_string());
            assert_eq!(found.as_deref(), expected, "{content:?}");
        }
    }

    #[test]
    fn a_file_of_another_kind_is_named_once() {
        let utf16: Vec<u8> = "lamp-1:5f2b9c0e7d\nlamp-2:5f2b9c0e7e\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let error = table(&utf16).unwrap_err();
        assert!(error.to_string().contains("found text in UTF-16"), "{error}");
        for content in [vec![0; 4096], vec![0; 2 << 20]] {
            let error = table(&content).unwrap_err();
            assert!(error.to_string().contains("found only NUL bytes"), "{error}");
        }
        // One device, and it is a secrets file with mistakes.
        let mixed = [b"a:5f2b9c0e7d\n", utf16.as_slice()].concat();
        assert_eq!(errors(&mixed).first[0], (2, LineFault::Nul { position: 2 }));
        let table = table(b"a,b,c\na:5f2b9c0e7d\n").unwrap_err();
        assert_eq!(table.to_string(), "1 wrong line");
    }

    /// Gives a number of equal bytes, and counts them.
    struct Endless(u64);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(0);
            self.0 += buffer.len() as u64;
            Ok(buffer.len())
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_read_to_its_end() {
        for start in ["", "# ", "a:5f2b9c0e7d\n\n#\n"] {
            let mut zeros = Endless(0);
            let read = read(start.as_bytes().chain(&mut zeros), 3 << 30, 20, Cancel::NEVER);
            let line = 1 + start.matches('\n').count() as u64;
            assert!(matches!(read, Err(LoadError::Endless { line: found, .. }) if found == line));
            assert!(zeros.0 < 2 << 20, "{}", zeros.0);
        }
    }

    #[test]
    fn a_file_that_grows_is_not_read_past_its_size() {
        let content = b"lamp-1:5f2b9c0e7d\nlamp-2:5f2b9c0e7d\n";
        assert!(matches!(
            read(content.as_slice(), 18, MAX_ERRORS, Cancel::NEVER),
            Err(LoadError::Changing)
        ));
    }

    #[test]
    fn a_long_line_is_told_however_it_comes() {
        let long = "d".repeat(2000);
        let content = format!("{long}\n#{long}\na:{long}");
        let errors = |size, drips| {
            let bytes = content.as_bytes();
            let found = if drips {
                read(Drip(bytes), size, MAX_ERRORS, Cancel::NEVER)
            } else {
                read(bytes, size, MAX_ERRORS, Cancel::NEVER)
            };
            match found {
                Err(LoadError::Lines(errors)) => errors.first,
                other => panic!("{other:?}"),
            }
        };
        let expected = [(1, LineFault::TooLong), (3, LineFault::TooLong)];
        // The same for a file that has grown meanwhile.
        for size in [content.len() as u64, 0] {
            for drips in [false, true] {
                assert_eq!(errors(size, drips), expected, "{size} {drips}");
            }
        }
    }

    #[test]
    fn a_line_is_endless_from_a_certain_length_on() {
        for (more, is_endless) in [(0, false), (1, true)] {
            // This much of the line is kept.
            let line = vec![b'd'; MAX_LINE + 1 + (1 << 20) + more];
            match table(&line) {
                Err(LoadError::Endless { line: 1, .. }) => assert!(is_endless),
                Err(LoadError::Lines(errors)) => {
                    assert!(!is_endless);
                    assert_eq!(errors.first, [(1, LineFault::TooLong)]);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn says_whether_the_last_line_ends() {
        for (content, expected) in [
            ("", true),
            ("\n", true),
            ("a:5f2b9c0e7d\n", true),
            ("a:5f2b9c0e7d", false),
            ("a:5f2b9c0e7d\n#", false),
        ] {
            let bytes = content.as_bytes();
            for drips in [false, true] {
                let found = if drips {
                    read(Drip(bytes), bytes.len() as u64, 1, Cancel::NEVER)
                } else {
                    read(bytes, bytes.len() as u64, 1, Cancel::NEVER)
                };
                assert_eq!(found.unwrap().ends_in_newline, expected, "{content:?} {drips}");
            }
        }
    }

    #[test]
    fn is_given_up_once_it_is_no_longer_wanted() {
        let content = b"a:5f2b9c0e7d\n";
        let watch = Watch::default();
        assert!(read(content.as_slice(), 13, 1, Cancel::when(&watch)).is_ok());
        assert!(watch.steps() > 0);
        watch.call_off();
        let read = read(content.as_slice(), 13, 1, Cancel::when(&watch));
        assert!(matches!(read, Err(LoadError::Cancelled)), "{read:?}");
    }

    /// Is interrupted before each byte, and fails at the end.
    struct Unsteady<'a>(&'a [u8], bool);

    impl Read for Unsteady<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            match (self.1, self.0) {
                (true, _) => Err(io::ErrorKind::Interrupted.into()),
                (false, []) => Err(io::ErrorKind::ConnectionReset.into()),
                (false, [byte, rest @ ..]) => {
                    buffer[0] = *byte;
                    self.0 = rest;
                    Ok(1)
                }
            }
        }
    }

    #[test]
    fn an_interruption_is_no_error_and_an_error_makes_no_table() {
        let content = b"a:5f2b9c0e7d\n";
        let steady = Unsteady(content, false).take(13);
        assert_eq!(read(steady, 13, 1, Cancel::NEVER).unwrap().table.len(), 1);
        match read(Unsteady(content, false), 13, 1, Cancel::NEVER) {
            Err(LoadError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_run_of_comments_takes_one_place() {
        let mut lines = LineCount::default();
        for _ in 0..1000 {
            lines.skip();
        }
        lines.devices += 1;
        lines.skip();
        lines.skip();
        assert_eq!(lines.runs, [(0, 1000), (1, 1002)]);
        assert_eq!((lines.of_device(0), lines.current()), (1001, 1003));
    }

    #[test]
    fn an_error_says_what_was_found() {
        let too_large = read(b"".as_slice(), MAX_ARENA as u64, 1, Cancel::NEVER).unwrap_err();
        let lines = |total| LoadError::Lines(LineErrors { total, ..LineErrors::default() });
        for (error, found) in [
            (too_large, "4294967295"),
            (io::Error::other("gone fishing").into(), "gone fishing"),
            (LoadError::NotAFile(FileKind::Directory), "found a directory"),
            (LoadError::WritableByOthers { mode: 0o666 }, "mode 0666"),
            (LoadError::Endless { line: 7, foreign: None }, "line 7"),
            (NoMemory.into(), "no memory"),
            (IndexError::NoMemory.into(), "no memory"),
            (LoadError::Changing, "written to"),
            (LoadError::NoAnswer { seconds: 30 }, "30 s"),
            (IndexError::Cancelled.into(), "no longer"),
            (lines(1), "1 wrong line"),
            (lines(2), "2 wrong lines"),
        ] {
            let message = error.to_string();
            assert!(message.contains(found) && !message.contains('\n'), "{error:?}: {message}");
            assert!(!message.ends_with("1 wrong lines"), "{message}");
        }
    }
}
