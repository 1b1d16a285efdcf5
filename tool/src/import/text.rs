//! A file as text: decoded while it is read, with the number of the line that is read next.

use super::{
    intake::Stop,
    sniff::{self, Encoding, NotText},
};
use encoding_rs::{Decoder, DecoderResult};
use std::{
    cell::Cell,
    io::{self, BufRead, ErrorKind, Read},
    rc::Rc,
};
use zeroize::Zeroizing;

/// The size of a piece that is read at once, in bytes.
const PIECE: usize = 1 << 16;

/// Where the next byte of a text is; both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) line: u64,
    /// In bytes of UTF-8.
    pub(super) column: u64,
}

/// A text in UTF-8, from a file in any of the encodings. Its buffers are wiped.
pub(super) struct Text<R> {
    input: R,
    decoder: Decoder,
    encoding: Encoding,
    raw: Buffer,
    /// The input has no more bytes than those in `raw`.
    ended: bool,
    /// The decoder has had its last byte, and may not be called again.
    finished: bool,
    text: Buffer,
    /// Shared with those who read the text through a parser that tells no lines.
    spot: Rc<Cell<Spot>>,
    fault: Option<NotText>,
}

/// Bytes in a memory of fixed size.
struct Buffer {
    memory: Zeroizing<Vec<u8>>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { memory: Zeroizing::new(vec![0; PIECE]), start: 0, end: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl<R: Read> Text<R> {
    /// Reads the first bytes of an input. The inner result says why it is no text.
    pub(super) fn open(input: R) -> io::Result<Result<Self, NotText>> {
        let (mut input, mut raw) = (input, Buffer::new());
        let ended = fill(&mut input, &mut raw)?;
        let encoding = match sniff::encoding(raw.bytes()) {
            Ok(encoding) => encoding,
            Err(fault) => return Ok(Err(fault)),
        };
        raw.start = encoding.mark().min(raw.end);
        Ok(Ok(Self {
            input,
            decoder: encoding.decoding().new_decoder_without_bom_handling(),
            encoding,
            raw,
            ended,
            finished: false,
            text: Buffer::new(),
            spot: Rc::new(Cell::new(Spot { line: 1, column: 1 })),
            fault: None,
        }))
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Where the next byte is, also later.
    pub(super) fn spot(&self) -> Rc<Cell<Spot>> {
        Rc::clone(&self.spot)
    }

    /// What is decoded and not read yet, and whether that is the rest of the text.
    pub(super) fn peek(&self) -> (&[u8], bool) {
        (self.text.bytes(), self.finished)
    }

    /// Why the last read failed, if it was not the system.
    pub(super) fn fault(&self) -> Option<NotText> {
        self.fault
    }

    /// Why a read failed.
    pub(super) fn failure(&self, error: io::Error) -> Stop {
        self.fault.map_or(Stop::Io(error), Stop::NotText)
    }

    /// Decodes some of what has been read.
    fn decode(&mut self) -> io::Result<()> {
        let last = self.ended;
        let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
            self.raw.bytes(),
            &mut self.text.memory,
            last,
        );
        self.finished = last && matches!(result, DecoderResult::InputEmpty);
        let before = self.raw.start;
        self.raw.start += read;
        (self.text.start, self.text.end) = (0, written);
        if matches!(result, DecoderResult::Malformed(..)) {
            let line = self.spot.get().line + count(self.text.bytes());
            let fault = match self.encoding {
                Encoding::Utf16Le | Encoding::Utf16Be => NotText::BadUtf16(line),
                Encoding::Utf8 | Encoding::Utf8Marked => {
                    let begin = self.raw.memory.get(..self.raw.start).unwrap_or_default();
                    let begin =
                        memchr::memrchr(b'\n', begin).map_or(before.min(begin.len()), |at| at + 1);
                    let rest = self.raw.memory.get(begin..self.raw.end).unwrap_or_default();
                    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                    let is_gbk = sniff::is_gbk(rest.get(..end).unwrap_or_default());
                    if is_gbk { NotText::Gbk(line) } else { NotText::BadUtf8(line) }
                }
            };
            self.fault = Some(fault);
            return Err(io::Error::new(ErrorKind::InvalidData, "not the encoding of the text"));
        }
        Ok(())
    }
}

/// Fills a buffer from its beginning; whether the input has ended.
fn fill(input: &mut impl Read, buffer: &mut Buffer) -> io::Result<bool> {
    (buffer.start, buffer.end) = (0, 0);
    while let Some(room) = buffer.memory.get_mut(buffer.end..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) => return Ok(true),
            Ok(read) => buffer.end += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// The number of newlines.
fn count(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).map(|_| 1).sum()
}

impl<R: Read> BufRead for Text<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.text.is_empty() && !self.finished && self.fault.is_none() {
            if self.raw.is_empty() && !self.ended {
                self.ended = fill(&mut self.input, &mut self.raw)?;
            }
            self.decode()?;
        }
        Ok(self.text.bytes())
    }

    fn consume(&mut self, bytes: usize) {
        let read = self.text.bytes();
        let read = read.get(..bytes).unwrap_or(read);
        let Spot { mut line, mut column } = self.spot.get();
        match memchr::memrchr(b'\n', read) {
            Some(last) => {
                line += count(read);
                column = read.len().saturating_sub(last) as u64;
            }
            None => column += read.len() as u64,
        }
        self.text.start += read.len();
        self.spot.set(Spot { line, column });
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let text = self.fill_buf()?;
        let length = text.len().min(out.len());
        if let (Some(out), Some(text)) = (out.get_mut(..length), text.get(..length)) {
            out.copy_from_slice(text);
        }
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::GBK;

    fn text(bytes: &[u8]) -> Text<&[u8]> {
        Text::open(bytes).unwrap().unwrap()
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn every_encoding_gives_the_same_text() {
        let long = "设备ID,密钥 𝄞\r\n".repeat(20_000);
        for said in ["", "d", "a\nb", &long] {
            let marked = [&b"\xEF\xBB\xBF"[..], said.as_bytes()].concat();
            for bytes in [said.as_bytes().to_vec(), marked, utf16(said, false), utf16(said, true)] {
                if bytes.is_empty() {
                    continue;
                }
                let mut found = String::new();
                let mut text = text(&bytes);
                text.read_to_string(&mut found).unwrap();
                assert!(found == said, "{:?}", text.encoding());
                assert_eq!(text.fill_buf().unwrap(), b"");
                let lines = said.matches('\n').count() as u64 + 1;
                assert_eq!(text.spot().get().line, lines);
            }
        }
    }

    #[test]
    fn tells_where_the_next_byte_is() {
        let mut text = text(b"ab\n\ncde");
        for (bytes, line, column) in [(1, 1, 2), (2, 2, 1), (1, 3, 1), (2, 3, 3), (1, 3, 4)] {
            text.fill_buf().unwrap();
            text.consume(bytes);
            assert_eq!(text.spot().get(), Spot { line, column });
        }
    }

    #[test]
    fn what_is_no_text_is_named_with_its_line() {
        let (gbk, _, _) = GBK.encode("\u{8bbe}\u{5907}");
        let half = [&utf16("a\nb", false)[..], b"c"].concat();
        let padding = "x\n".repeat(PIECE);
        for (bytes, fault) in [
            ([b"device_id\n", &gbk[..], b",x"].concat(), NotText::Gbk(2)),
            ([padding.as_bytes(), &gbk[..]].concat(), NotText::Gbk(PIECE as u64 + 1)),
            (b"a\n\nL\xE4mpchen".to_vec(), NotText::BadUtf8(3)),
            (b"\xEF\xBB\xBFa\n\xC3".to_vec(), NotText::BadUtf8(2)),
            (half, NotText::BadUtf16(2)),
            (b"\xFF\xFE\x00\xD8d\0".to_vec(), NotText::BadUtf16(1)),
        ] {
            let mut text = text(&bytes);
            assert!(text.read_to_end(&mut Vec::new()).is_err());
            assert_eq!(text.fault(), Some(fault));
        }
    }
}
