//! The rows of a CSV file.

use super::{
    columns::{self, Columns, HeaderFault, Separator},
    field::{Choices, Given},
    intake::{Intake, Kind, Shape, Stop},
    orders::{List, Place},
    text::Text,
};
use csv_core::ReadRecordResult;
use std::io::{self, BufRead, Read};
use zeroize::Zeroizing;

/// The longest row in bytes: a quote that is not closed must not take the whole file into memory.
const MAX_ROW: usize = 1 << 20;
/// The most values of a row.
const MAX_VALUES: usize = 1 << 14;
/// The longest header in bytes: it is looked at before it is read.
const MAX_HEADER: usize = 1 << 14;

/// Reads a CSV file from its header on.
pub(super) fn read<R: Read>(text: &mut Text<R>, intake: &mut Intake<'_>) -> Result<Shape, Stop> {
    let named = first_lines(text)?;
    let line = text.spot().get().line;
    let (separator, columns) =
        header(text, named, intake.choices)?.map_err(|fault| Stop::Header(line, fault))?;
    let mut shape = Shape::new(Kind::Csv(separator), text.encoding());
    let names = || columns.names.iter().zip(&columns.fields);
    names().filter(|(_, field)| field.is_some()).for_each(|(name, field)| shape.note(name, *field));
    shape.more_aside = columns.fields.iter().any(Option::is_none);
    let mut rows = Rows::new(separator);
    rows.next(text)?;
    while let Some(row) = rows.next(text)? {
        let place = Place { source: intake.source, line: row.first, list: List::None, element: 0 };
        match row.fault.map_or_else(|| given(&rows, &columns), Err) {
            Ok(None) => intake.skipped.empty_rows += 1,
            Ok(Some(given)) => {
                // If the end of its line is lost, the header has a row's secret among its names. So the names are shown only
                // if there is a row that is as long.
                if shape.more_aside && rows.count >= columns.fields.len() {
                    shape.more_aside = false;
                    names().for_each(|(name, field)| shape.note(name, *field));
                }
                intake.take(place, &given)?;
            }
            Err(fault) => intake.errors.add(place, || {
                let reason = fault.text(columns.fields.len());
                if row.first == row.last {
                    return reason;
                }
                let hint = "a quote opens a value, which goes on to line";
                format!("{reason} ({hint} {}: is a closing quote missing?)", row.last)
            }),
        }
    }
    Ok(shape)
}

/// Passes over the lines before the header; gives the separator that one of them names.
fn first_lines<R: Read>(text: &mut Text<R>) -> Result<Option<Separator>, Stop> {
    let mut named = None;
    loop {
        let (seen, _) = peek(text)?;
        let end = memchr::memchr(b'\n', seen);
        let line = end.and_then(|end| seen.get(..end)).unwrap_or(seen);
        let length = end.map_or(line.len(), |end| end + 1);
        if length == 0 {
            return Ok(named);
        }
        let separator = Separator::of_line(line).filter(|_| named.is_none());
        named = named.or(separator);
        // Excel writes empty rows as commas alone.
        let is_empty = line.iter().all(|byte| b",;\t \r\"".contains(byte));
        if !is_empty && separator.is_none() {
            return Ok(named);
        }
        text.consume(length);
    }
}

/// The separator and the columns, from the header, which is not consumed.
fn header<R: Read>(
    text: &mut Text<R>,
    named: Option<Separator>,
    choices: Choices<'_>,
) -> Result<Result<(Separator, Columns), HeaderFault>, Stop> {
    let (seen, is_all) = peek(text)?;
    let (seen, is_all) = seen.get(..MAX_HEADER).map_or((seen, is_all), |seen| (seen, false));
    if seen.is_empty() {
        return Err(Stop::NotText(super::sniff::NotText::Empty));
    }
    let first = memchr::memchr(b'\n', seen).and_then(|end| seen.get(..end)).unwrap_or(seen);
    let found = match named {
        Some(separator) => names(seen, is_all, separator)
            .and_then(|names| Columns::of(names, choices))
            .map(|columns| (separator, columns)),
        None => columns::separated(choices, |separator| names(seen, is_all, separator)),
    };
    let is_secrets = matches!(
        iotda_core::registry::line::parse(first),
        Ok(iotda_core::registry::line::Line::Device(_))
    );
    Ok(found.map_err(|fault| match fault {
        HeaderFault::Unknown if is_secrets => HeaderFault::SecretsFile,
        fault => fault,
    }))
}

/// What is read next, without consuming it, and whether that is all.
fn peek<R: Read>(text: &mut Text<R>) -> Result<(&[u8], bool), Stop> {
    if let Err(error) = text.fill_buf() {
        return Err(text.failure(error));
    }
    Ok(text.peek())
}

/// The values of a header.
fn names(seen: &[u8], is_all: bool, separator: Separator) -> Result<Vec<String>, HeaderFault> {
    let mut rows = Rows::new(separator);
    let mut rest = seen;
    match rows.next(&mut rest) {
        Ok(Some(Row { fault: None, .. })) => {}
        Ok(Some(Row { fault: Some(RowFault::Unclosed), .. })) => return Err(HeaderFault::Unclosed),
        _ => return Err(HeaderFault::Unknown),
    }
    if rest.is_empty() && !is_all && !seen.ends_with(b"\n") {
        return Err(HeaderFault::TooLong);
    }
    Ok(rows.values().map(|value| String::from_utf8_lossy(value).into_owned()).collect())
}

/// The values of a row by their fields; `None` if the row is empty.
fn given<'r>(rows: &'r Rows, columns: &Columns) -> Result<Option<Given<'r>>, RowFault> {
    let (mut given, mut found) = (Given::default(), 0);
    let mut is_empty = true;
    for value in rows.values() {
        match columns.fields.get(found) {
            Some(Some(field)) => given.set(*field, value),
            Some(None) => {}
            None if value.is_empty() => continue,
            None => return Err(RowFault::Count(rows.count)),
        }
        is_empty &= value.is_empty();
        found += 1;
    }
    // Excel leaves out separators at the end of some rows. It does not matter where no column is used.
    let missing = columns.fields.get(found..).unwrap_or_default();
    match missing.iter().any(Option::is_some) {
        _ if is_empty => Ok(None),
        true => Err(RowFault::Count(found)),
        false => Ok(Some(given)),
    }
}

/// A row, whose values are in the [`Rows`].
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Its first line, from 1.
    first: u64,
    /// Its last line: a value in quotes may have newlines in it.
    last: u64,
    fault: Option<RowFault>,
}

/// What is wrong with a row. It may hold a secret, so nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowFault {
    /// A quote opens a value and is not closed in the rest of the file.
    Unclosed,
    /// There is text between a closing quote and the next separator.
    BehindQuote,
    TooLong,
    /// It has another number of values than the header.
    Count(usize),
}

impl RowFault {
    fn text(self, expected: usize) -> String {
        match self {
            Self::Unclosed => {
                "expected a closing quote, found the end of the file: nothing behind the opening quote is read".into()
            }
            Self::BehindQuote => {
                "expected a separator behind a closing quote, found something else".into()
            }
            Self::TooLong => {
                "expected a row of at most 1 MiB, found more (is a closing quote missing?): nothing behind it is read"
                    .into()
            }
            Self::Count(found) => format!("expected {expected} values, found {found}"),
        }
    }
}

/// A text whose lines are counted.
trait Lines: BufRead {
    fn line(&self) -> u64;
    fn failure(&self, error: io::Error) -> Stop;
}

impl<R: Read> Lines for Text<R> {
    fn line(&self) -> u64 {
        self.spot().get().line
    }

    fn failure(&self, error: io::Error) -> Stop {
        Text::failure(self, error)
    }
}

impl Lines for &[u8] {
    fn line(&self) -> u64 {
        1
    }

    fn failure(&self, error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

/// Reads rows into a memory that is wiped.
struct Rows {
    reader: csv_core::Reader,
    quotes: Quotes,
    row: Zeroizing<Vec<u8>>,
    ends: Vec<usize>,
    /// The number of values.
    count: usize,
    /// Nothing more can be read.
    is_over: bool,
}

impl Rows {
    fn new(separator: Separator) -> Self {
        Self {
            reader: csv_core::ReaderBuilder::new().delimiter(separator.0).build(),
            quotes: Quotes { separator: separator.0, state: State::Begin, stray: false },
            row: Zeroizing::new(vec![0; 1 << 12]),
            ends: vec![0; 64],
            count: 0,
            is_over: false,
        }
    }

    /// Reads the next row that is not an empty line.
    fn next(&mut self, text: &mut impl Lines) -> Result<Option<Row>, Stop> {
        if self.is_over || !skip_line_ends(text)? {
            return Ok(None);
        }
        let first = text.line();
        (self.quotes.state, self.quotes.stray) = (State::Begin, false);
        let (mut length, mut count) = (0, 0);
        let last = loop {
            let input = match text.fill_buf() {
                Ok(input) => input,
                Err(error) => return Err(text.failure(error)),
            };
            let (out, ends) = (self.row.get_mut(length..), self.ends.get_mut(count..));
            let (result, read, written, ended) =
                self.reader.read_record(input, out.unwrap_or_default(), ends.unwrap_or_default());
            let input = input.get(..read).unwrap_or_default();
            self.quotes.feed(input);
            let is_line = input.ends_with(b"\n");
            text.consume(read);
            (length, count) = (length + written, count + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.row.len() < MAX_ROW => self.grow(),
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_VALUES => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.is_over = true;
                    return Ok(Some(Row { first, last: first, fault: Some(RowFault::TooLong) }));
                }
                ReadRecordResult::Record | ReadRecordResult::End => {
                    self.count = count;
                    // The newline that ends a row is read with it.
                    break text.line() - u64::from(is_line);
                }
            }
        };
        let fault = match self.quotes {
            Quotes { state: State::Quoted, .. } => Some(RowFault::Unclosed),
            Quotes { stray: true, .. } => Some(RowFault::BehindQuote),
            _ => None,
        };
        Ok(Some(Row { first, last: last.max(first), fault }))
    }

    fn grow(&mut self) {
        let mut larger = Zeroizing::new(vec![0; self.row.len() * 2]);
        if let Some(room) = larger.get_mut(..self.row.len()) {
            room.copy_from_slice(&self.row);
        }
        self.row = larger;
    }

    /// The values of the last row. Blanks around a value do not count.
    fn values(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().take(self.count).map(move |end| {
            let value = self.row.get(start..*end).unwrap_or_default();
            start = *end;
            trimmed(value)
        })
    }
}

/// A value without blanks around it, those of other scripts too.
fn trimmed(value: &[u8]) -> &[u8] {
    std::str::from_utf8(value).map_or(value, |text| text.trim().as_bytes())
}

/// Passes over the ends of lines; whether something follows.
fn skip_line_ends(text: &mut impl Lines) -> Result<bool, Stop> {
    loop {
        let input = match text.fill_buf() {
            Ok(input) => input,
            Err(error) => return Err(text.failure(error)),
        };
        let Some(first) = input.first() else { return Ok(false) };
        if !matches!(first, b'\r' | b'\n') {
            return Ok(true);
        }
        let length = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        text.consume(length);
    }
}

/// Watches the quotes of a row: the reader takes what is wrong with them as part of a value.
#[derive(Clone, Copy, Debug)]
struct Quotes {
    separator: u8,
    state: State,
    /// There was text behind a closing quote.
    stray: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the begin of a value.
    Begin,
    Plain,
    Quoted,
    /// Behind a quote in quotes: it ends the value, or is the first of two that mean one.
    Closed,
}

impl Quotes {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let is_end = *byte == self.separator || matches!(byte, b'\r' | b'\n');
            self.state = match (self.state, byte) {
                (State::Begin | State::Closed, b'"') => State::Quoted,
                (State::Quoted, b'"') => State::Closed,
                (State::Quoted, _) => State::Quoted,
                _ if is_end => State::Begin,
                (State::Closed, b' ' | b'\t') => State::Closed,
                (State::Closed, _) => {
                    self.stray = true;
                    State::Plain
                }
                (State::Begin | State::Plain, _) => State::Plain,
            };
        }
    }
}
