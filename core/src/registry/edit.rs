//! What is in a secrets file after some of its devices have changed?
//!
//! Only the lines of the devices that are asked for change; comments, order, blank lines and the ends of lines stay.

use super::{
    given,
    line::{self, Field, LineFault, MAX_DEVICE_ID, SECRET_LENGTHS},
    read::{BYTE_ORDER_MARK, LoadError},
};
use hashbrown::{HashTable, hash_table};
use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
};
use zeroize::Zeroize;

/// A change to one device.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The device id.
    pub device_id: &'a [u8],
    /// What to change.
    pub change: Change<'a>,
}

/// A change of one device.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Add it; it must not be there yet.
    Add(Settings<'a>),
    /// Change it; it must be there. Neither a secret nor one of two certificates can be given to a device of the other kind.
    Set(Settings<'a>),
    /// Add it, or change it if it is there.
    Put(Settings<'a>),
    /// Remove it; it must be there.
    Remove,
}

/// The new values of a device's line. A field that is `None` stays as it is; a new device does not get it.
#[derive(Clone, Copy, Default)]
pub struct Settings<'a> {
    /// The new secret or certificate.
    pub proof: Option<Proof<'a>>,
    /// The second secret; the inner `None` removes it.
    pub secondary: Option<Option<&'a [u8]>>,
    /// `true` freezes the device, `false` unfreezes it.
    pub frozen: Option<bool>,
}

/// What proves a device, as its line has it.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// A secret, 8 to 32 bytes if it is valid.
    Secret(&'a [u8]),
    /// The text after `x509=`: one or two fingerprints, also as OpenSSL writes them.
    Certificate(&'a [u8]),
    /// A fingerprint in place of the first one; the second one stays.
    FirstCertificate(&'a [u8]),
    /// A fingerprint in place of the second one, or none; the first one stays.
    SecondCertificate(Option<&'a [u8]>),
}

impl fmt::Debug for Settings<'_> {
    /// Never shows a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proof, secondary, frozen } = self;
        let secondary = secondary.map(|secret| secret.map(|_| "***"));
        write!(f, "Settings({proof:?}, {secondary:?}, {frozen:?})")
    }
}

impl fmt::Debug for Proof<'_> {
    /// Shows the kind, never a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(***)",
            Self::Certificate(_) => "Certificate",
            Self::FirstCertificate(_) => "FirstCertificate",
            Self::SecondCertificate(_) => "SecondCertificate",
        })
    }
}

impl Settings<'_> {
    /// Each value is checked by itself: in a line, a colon in a secret would begin an attribute.
    fn check(&self) -> Result<(), LineFault> {
        match self.proof {
            Some(Proof::Secret(secret)) => line::check_secret(secret)?,
            Some(Proof::Certificate(value)) => {
                line::fingerprints(&given::bare(value)).map(|_| ())?;
            }
            Some(Proof::FirstCertificate(value) | Proof::SecondCertificate(Some(value))) => {
                given::fingerprint(value).map(|_| ())?;
            }
            Some(Proof::SecondCertificate(None)) | None => {}
        }
        match self.secondary.flatten() {
            Some(secret) => line::name(secret, Field::Secondary, SECRET_LENGTHS).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The most bytes that a line of the device may have more than before.
    fn growth(&self) -> usize {
        let proof = match self.proof {
            Some(
                Proof::Secret(value)
                | Proof::Certificate(value)
                | Proof::FirstCertificate(value)
                | Proof::SecondCertificate(Some(value)),
            ) => value.len(),
            Some(Proof::SecondCertificate(None)) | None => 0,
        };
        let secondary = self.secondary.flatten().map_or(0, <[u8]>::len);
        proof + secondary + ":x509=,:secondary=:frozen".len()
    }
}

impl Order<'_> {
    /// Checks the device id and each value by itself, without the file.
    ///
    /// # Errors
    ///
    /// [`LineFault`], with the first thing that is wrong.
    pub fn check(&self) -> Result<(), LineFault> {
        line::name(self.device_id, Field::DeviceId, 1..=MAX_DEVICE_ID)?;
        match self.change {
            Change::Add(settings) | Change::Set(settings) | Change::Put(settings) => {
                settings.check()
            }
            Change::Remove => Ok(()),
        }
    }

    fn growth(&self) -> usize {
        match self.change {
            Change::Add(settings) | Change::Set(settings) | Change::Put(settings) => {
                self.device_id.len() + settings.growth() + "\r\n".len()
            }
            Change::Remove => 0,
        }
    }
}

/// Why an order cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The device is to be added, but is there already.
    Present,
    /// The device is not there.
    Absent,
    /// The device is to get a secret, but logs in by its certificate.
    Certificate,
    /// One of the device's certificates is to change, but it logs in by its secret.
    Secret,
    /// An earlier order changes the same device.
    Twice {
        /// The number of that order, from 0.
        first: usize,
    },
    /// The device's new line would be wrong.
    Line(LineFault),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("is there already"),
            Self::Absent => f.write_str("not found"),
            Self::Certificate => f.write_str("logs in by its certificate: it has no secret"),
            Self::Secret => f.write_str("logs in by its secret: it has no certificate"),
            Self::Twice { .. } => f.write_str("is asked for twice"),
            Self::Line(fault) => fault.fmt(f),
        }
    }
}

/// Orders, by their number. There may be millions, so they need not all be in memory at once.
pub trait Orders {
    /// The number of orders.
    fn count(&self) -> usize;

    /// The order with this number, from 0; the same each time.
    fn get(&self, at: usize) -> Option<Order<'_>>;
}

impl Orders for [Order<'_>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn get(&self, at: usize) -> Option<Order<'_>> {
        <[Order<'_>]>::get(self, at).copied()
    }
}

impl<const COUNT: usize> Orders for [Order<'_>; COUNT] {
    fn count(&self) -> usize {
        COUNT
    }

    fn get(&self, at: usize) -> Option<Order<'_>> {
        <[Order<'_>]>::get(self, at).copied()
    }
}

impl Orders for Vec<Order<'_>> {
    fn count(&self) -> usize {
        self.len()
    }

    fn get(&self, at: usize) -> Option<Order<'_>> {
        <[Order<'_>]>::get(self, at).copied()
    }
}

/// The orders that cannot be carried out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first [`MAX_PROBLEMS`] of them, in the sequence of the orders, each with its order's number from 0.
    pub first: Vec<(usize, Problem)>,
    /// The number of all of them, those that are not in `first` included.
    pub total: usize,
}

/// The most orders that cannot be carried out that are reported one by one.
pub const MAX_PROBLEMS: usize = 1000;

/// Collects problems: the first [`MAX_PROBLEMS`] in the sequence of their orders, whatever the sequence in which they are
/// found.
#[derive(Default)]
struct Found(BTreeMap<usize, Problem>);

impl Found {
    fn add(&mut self, at: usize, problem: Problem) {
        self.0.insert(at, problem);
        if self.0.len() > MAX_PROBLEMS {
            self.0.pop_last();
        }
    }
}

/// The new content of a secrets file.
#[derive(Debug)]
pub struct Edited {
    /// The whole content, also where nothing has changed.
    pub content: Content,
    /// The number of devices added.
    pub added: usize,
    /// The number of existing devices changed or removed.
    pub changed: usize,
    /// The number of devices in the new content.
    pub devices: usize,
}

impl Edited {
    /// Whether the content is the same as before.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.added + self.changed == 0
    }
}

/// What is new in a content that was written elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The number of devices added.
    pub added: usize,
    /// The number of existing devices changed or removed.
    pub changed: usize,
    /// The number of devices in the new content.
    pub devices: usize,
}

impl Tally {
    /// Whether the content is the same as before.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.added + self.changed == 0
    }
}

/// The content of a secrets file, which is wiped when it is dropped.
#[derive(Default)]
pub struct Content(Vec<u8>);

impl Content {
    /// Reads a content of a known length, in bytes. No copy of it is left behind.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: it cannot be read, has another length, or there is no memory for it.
    pub fn read(source: impl Read, size: u64) -> Result<Self, LoadError> {
        let length = usize::try_from(size).map_err(|_| LoadError::TooLarge { size })?;
        // Room for one more byte: so a file that grows is noticed, and the vector does not move.
        let mut content = Self::default();
        content.0.try_reserve_exact(length.saturating_add(1)).map_err(|_| LoadError::NoMemory)?;
        source.take(size.saturating_add(1)).read_to_end(&mut content.0)?;
        if content.0.len() == length { Ok(content) } else { Err(LoadError::Changing) }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // Only what was written: the vector neither moves nor shrinks, so the rest of its room has never held anything, and
        // writing there would make the system find memory for it.
        self.0.as_mut_slice().zeroize();
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("bytes", &self.0.len()).finish_non_exhaustive()
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Carries out all orders on the content of a file without wrong lines, or none. New devices come last, in the sequence of
/// the orders. A content that changes gets a newline at its end: without one, the plugin takes a file for cut off.
///
/// # Errors
///
/// [`Problems`]. An order that is wrong in two ways is reported for the first.
pub fn apply(content: &[u8], orders: &(impl Orders + ?Sized)) -> Result<Edited, Problems> {
    let mut draft = Draft::new(content, orders, None);
    draft.run(content);
    let (Tally { added, changed, devices }, content) = draft.finish()?;
    Ok(Edited { content, added, changed, devices })
}

/// The same, for many orders: the new content is written piece by piece and is never in memory as a whole. Problems are known
/// only at the end, so write it to [`io::sink`] first.
///
/// # Errors
///
/// The outer result has the error of `out`, the inner one [`Problems`] as from [`apply`].
pub fn apply_to(
    content: &[u8],
    orders: &(impl Orders + ?Sized),
    out: &mut dyn Write,
) -> io::Result<Result<Tally, Problems>> {
    let mut draft = Draft::new(content, orders, Some(out));
    draft.run(content);
    std::mem::replace(&mut draft.written, Ok(()))?;
    Ok(draft.finish().map(|(tally, _)| tally))
}

/// How much of a new content is collected before it is written, in bytes.
const PIECE: usize = 1 << 16;

/// What is known of an order.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Its device is in the file.
    is_met: bool,
    /// The order cannot be carried out.
    is_wrong: bool,
}

/// A new content while it is written.
struct Draft<'a, 'w, O: ?Sized> {
    orders: &'a O,
    /// The numbers of the orders, by their devices.
    index: HashTable<u32>,
    hasher: RandomState,
    states: Vec<State>,
    problems: Found,
    wrong: usize,
    /// Has its full size from the start: a vector that grows leaves copies behind.
    out: Content,
    /// Where `out` goes piece by piece, if it is not kept.
    writer: Option<&'w mut dyn Write>,
    /// The first error of the writer; nothing is written after it.
    written: io::Result<()>,
    line_end: &'static [u8],
    added: usize,
    changed: usize,
    devices: usize,
}

impl<'a, 'w, O: Orders + ?Sized> Draft<'a, 'w, O> {
    fn new(content: &[u8], orders: &'a O, writer: Option<&'w mut dyn Write>) -> Self {
        let count = orders.count();
        let mut draft = Self {
            orders,
            index: HashTable::with_capacity(count),
            hasher: RandomState::new(),
            states: vec![State::default(); count],
            problems: Found::default(),
            wrong: 0,
            out: Content::default(),
            writer,
            written: Ok(()),
            line_end: line_end(content),
            added: 0,
            changed: 0,
            devices: 0,
        };
        let mut growth = 0;
        for (at, number) in (0..count).zip(0..) {
            let Some(order) = orders.get(at) else { continue };
            growth += order.growth();
            if let Err(fault) = order.check() {
                draft.is_wrong(at, Problem::Line(fault));
            }
            let hash = |number: &u32| draft.hasher.hash_one(id_of(orders, *number));
            let same = |other: &u32| id_of(orders, *other) == order.device_id;
            match draft.index.entry(draft.hasher.hash_one(order.device_id), same, hash) {
                hash_table::Entry::Vacant(place) => {
                    place.insert(number);
                }
                hash_table::Entry::Occupied(first) => {
                    let first = *first.get() as usize;
                    draft.is_wrong(at, Problem::Twice { first });
                }
            }
        }
        let whole = content.len() + growth;
        let size = if draft.writer.is_some() { whole.min(PIECE) } else { whole };
        draft.out.0.reserve_exact(size + "\r\n".len());
        draft
    }

    /// Writes the new content.
    fn run(&mut self, content: &[u8]) {
        let (mark, text) = match content.strip_prefix(BYTE_ORDER_MARK) {
            Some(text) => (BYTE_ORDER_MARK, text),
            None => (&[][..], content),
        };
        self.out.0.extend_from_slice(mark);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            self.line(line);
        }
        self.new_devices();
        if self.changed > 0 {
            self.end_last_line();
        }
        self.write_piece();
    }

    /// Makes room for a number of bytes in `out`, which does not move: a vector that does leaves copies behind.
    fn make_room(&mut self, bytes: usize) {
        // The end of the last line decides what comes behind it, so only whole lines are written.
        if self.out.0.len() + bytes > PIECE && self.out.0.ends_with(b"\n") {
            self.write_piece();
        }
    }

    /// Writes what is collected, if it is not kept.
    fn write_piece(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        if self.written.is_ok() {
            self.written = writer.write_all(&self.out.0);
        }
        self.out.0.zeroize();
    }

    /// A line that does not change.
    fn copy(&mut self, line: &[u8]) {
        self.make_room(line.len());
        self.out.0.extend_from_slice(line);
    }

    /// Notes why an order cannot be carried out. Only once for each order: a wrong value also makes a wrong line.
    fn is_wrong(&mut self, at: usize, problem: Problem) {
        if let Some(state) = self.states.get_mut(at).filter(|state| !state.is_wrong) {
            state.is_wrong = true;
            self.wrong += 1;
            self.problems.add(at, problem);
        }
    }

    /// The first order about a device.
    fn about(&self, device_id: &[u8]) -> Option<usize> {
        let same = |number: &u32| id_of(self.orders, *number) == device_id;
        let number = self.index.find(self.hasher.hash_one(device_id), same)?;
        Some(*number as usize)
    }

    /// A line of the old content, with its newline.
    fn line(&mut self, line: &[u8]) {
        let body = line::trim_end(line.strip_suffix(b"\n").unwrap_or(line));
        let Some(device_id) = device_id(body) else { return self.copy(line) };
        self.devices += 1;
        let orders = self.orders;
        let order = self.about(device_id).and_then(|at| Some((at, orders.get(at)?)));
        let Some((at, order)) = order else { return self.copy(line) };
        if let Some(state) = self.states.get_mut(at) {
            state.is_met = true;
        }
        match order.change {
            Change::Add(_) => self.is_wrong(at, Problem::Present),
            Change::Remove => {
                self.devices -= 1;
                self.changed += 1;
            }
            Change::Set(settings) if asks_certificate_for_secret(body, &settings) => {
                self.is_wrong(at, Problem::Certificate);
            }
            Change::Set(settings) | Change::Put(settings)
                if asks_secret_for_certificate(body, &settings) =>
            {
                self.is_wrong(at, Problem::Secret);
            }
            Change::Set(settings) | Change::Put(settings) => {
                let end = line.get(body.len()..).unwrap_or_default();
                let start = self.write(at, body, &settings, end);
                self.changed += usize::from(self.out.0.get(start..) != Some(line));
            }
        }
    }

    /// Writes a line of a device and gives its beginning.
    fn write(&mut self, at: usize, body: &[u8], settings: &Settings<'_>, end: &[u8]) -> usize {
        self.make_room(body.len() + settings.growth() + end.len());
        let start = self.out.0.len();
        render(&mut self.out.0, body, settings);
        self.out.0.extend_from_slice(end);
        let line = self.out.0.get(start..).unwrap_or_default();
        if let Err(fault) = line::parse(line.strip_suffix(b"\n").unwrap_or(line)) {
            self.is_wrong(at, Problem::Line(fault));
        }
        start
    }

    /// Adds the devices that are not in the old content.
    fn new_devices(&mut self) {
        let orders = self.orders;
        for at in 0..orders.count() {
            let Some(order) = orders.get(at) else { continue };
            // Of two orders about one device, the second is a problem already.
            let own = self.about(order.device_id) == Some(at);
            if !own || self.states.get(at).is_some_and(|state| state.is_met) {
                continue;
            }
            match order.change {
                Change::Add(settings) | Change::Put(settings) => {
                    self.end_last_line();
                    self.write(at, order.device_id, &settings, self.line_end);
                    self.added += 1;
                    self.devices += 1;
                }
                Change::Set(_) | Change::Remove => self.is_wrong(at, Problem::Absent),
            }
        }
    }

    /// The result: the numbers, and the new content if it is kept.
    fn finish(self) -> Result<(Tally, Content), Problems> {
        if self.wrong > 0 {
            return Err(Problems {
                first: self.problems.0.into_iter().collect(),
                total: self.wrong,
            });
        }
        let Self { out, added, changed, devices, .. } = self;
        Ok((Tally { added, changed, devices }, out))
    }

    fn end_last_line(&mut self) {
        let out = &mut self.out.0;
        match out.as_slice() {
            [] | [.., b'\n'] | BYTE_ORDER_MARK => {}
            // The old content ends in the first half of a CRLF.
            [.., b'\r'] => out.push(b'\n'),
            _ => out.extend_from_slice(self.line_end),
        }
    }
}

/// The device of an order.
fn id_of(orders: &(impl Orders + ?Sized), number: u32) -> &[u8] {
    orders.get(number as usize).map_or(&[], |order| order.device_id)
}

/// The end of a content's last line (CRLF or newline); `None` if it has none.
fn line_end(content: &[u8]) -> &'static [u8] {
    let before = memchr::memrchr(b'\n', content).and_then(|end| content.get(..end));
    match before {
        Some([.., b'\r']) => b"\r\n",
        _ => b"\n",
    }
}

/// The device of a line, which has no blanks at its end; `None` for a comment or a blank line.
fn device_id(body: &[u8]) -> Option<&[u8]> {
    match body.first() {
        None | Some(b'#') => None,
        Some(_) => body.split(|byte| *byte == b':').next(),
    }
}

fn asks_certificate_for_secret(body: &[u8], settings: &Settings<'_>) -> bool {
    let asked = matches!(settings.proof, Some(Proof::Secret(_))) || settings.secondary.is_some();
    asked && has_certificate(body)
}

fn asks_secret_for_certificate(body: &[u8], settings: &Settings<'_>) -> bool {
    let asked =
        matches!(settings.proof, Some(Proof::FirstCertificate(_) | Proof::SecondCertificate(_)));
    asked && !has_certificate(body)
}

fn has_certificate(body: &[u8]) -> bool {
    body.split(|byte| *byte == b':').nth(1).is_some_and(|proof| proof.starts_with(CERTIFICATE))
}

/// What stands before fingerprints.
const CERTIFICATE: &[u8] = b"x509=";

/// Rewrites a device's line: each field stays in its place, and a new one is put where the README's format has it.
fn render(out: &mut Vec<u8>, body: &[u8], settings: &Settings<'_>) {
    let mut fields = body.split(|byte| *byte == b':');
    out.extend_from_slice(fields.next().unwrap_or_default());
    out.push(b':');
    let proof = fields.next().unwrap_or_default();
    match settings.proof {
        None => out.extend_from_slice(proof),
        Some(Proof::Secret(secret)) => out.extend_from_slice(secret),
        Some(Proof::Certificate(value)) => write_certificates(out, value, None),
        Some(Proof::FirstCertificate(value)) => {
            write_certificates(out, value, certificates(proof).1);
        }
        Some(Proof::SecondCertificate(value)) => {
            write_certificates(out, certificates(proof).0, value);
        }
    }
    let is_certificate = match settings.proof {
        None => proof.starts_with(CERTIFICATE),
        Some(new) => !matches!(new, Proof::Secret(_)),
    };
    let mut secondary = settings.secondary.flatten();
    let mut frozen = settings.frozen == Some(true);
    let has_secondary = fields.clone().any(|field| field.starts_with(b"secondary="));
    if !has_secondary {
        write_secondary(out, secondary.take());
    }
    for field in fields {
        if field.starts_with(b"secondary=") {
            // When a certificate replaces the secret, the second secret goes too.
            match settings.secondary {
                None if !is_certificate => write_field(out, field),
                _ => write_secondary(out, secondary.take()),
            }
        } else if settings.frozen != Some(false) {
            write_field(out, field);
            frozen = false;
        }
    }
    if frozen {
        write_field(out, b"frozen");
    }
}

/// The first and the second fingerprint of `x509=…`.
fn certificates(proof: &[u8]) -> (&[u8], Option<&[u8]>) {
    let value = proof.strip_prefix(CERTIFICATE).unwrap_or_default();
    let mut values = value.splitn(2, |byte| *byte == b',');
    (values.next().unwrap_or_default(), values.next())
}

fn write_certificates(out: &mut Vec<u8>, first: &[u8], second: Option<&[u8]>) {
    out.extend_from_slice(CERTIFICATE);
    out.extend_from_slice(&given::bare(first));
    if let Some(second) = second {
        out.push(b',');
        out.extend_from_slice(&given::bare(second));
    }
}

fn write_field(out: &mut Vec<u8>, field: &[u8]) {
    out.push(b':');
    out.extend_from_slice(field);
}

fn write_secondary(out: &mut Vec<u8>, secret: Option<&[u8]>) {
    if let Some(secret) = secret {
        write_field(out, b"secondary=");
        out.extend_from_slice(secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Cancel, read::read};

    const OLD: &[u8] = b"old-secret";
    const NEW: &[u8] = b"new-secret";

    fn secret(secret: &[u8]) -> Settings<'_> {
        Settings { proof: Some(Proof::Secret(secret)), ..Settings::default() }
    }

    fn secondary(secret: Option<&[u8]>) -> Settings<'_> {
        Settings { secondary: Some(secret), ..Settings::default() }
    }

    fn frozen<'a>(frozen: bool) -> Settings<'a> {
        Settings { frozen: Some(frozen), ..Settings::default() }
    }

    fn edited(content: &str, device: &str, change: Change<'_>) -> Result<String, Problem> {
        let order = Order { device_id: device.as_bytes(), change };
        match apply(content.as_bytes(), &[order]) {
            Ok(edited) => {
                let text = String::from_utf8(edited.content.as_ref().to_vec()).unwrap();
                assert_eq!(edited.is_unchanged(), text == content, "{text}");
                let table =
                    read(text.as_bytes(), text.len() as u64, 1, Cancel::NEVER).unwrap().table;
                assert_eq!(table.len(), edited.devices);
                Ok(text)
            }
            Err(problems) => Err(problems.first[0].1),
        }
    }

    #[test]
    fn adds_behind_the_last_line() {
        for (before, after) in [
            ("", "n:new-secret\n"),
            ("\u{feff}", "\u{feff}n:new-secret\n"),
            ("a:old-secret\n", "a:old-secret\nn:new-secret\n"),
            ("a:old-secret", "a:old-secret\nn:new-secret\n"),
            ("a:old-secret\r\n# end\r\n", "a:old-secret\r\n# end\r\nn:new-secret\r\n"),
            ("a:old-secret\r\nb:old-secret", "a:old-secret\r\nb:old-secret\r\nn:new-secret\r\n"),
            ("a:old-secret\r\nb:old-secret\r", "a:old-secret\r\nb:old-secret\r\nn:new-secret\r\n"),
            ("a:old-secret\r", "a:old-secret\r\nn:new-secret\n"),
            ("\n# n:old-secret\n\n", "\n# n:old-secret\n\nn:new-secret\n"),
        ] {
            assert_eq!(edited(before, "n", Change::Add(secret(NEW))).unwrap(), after, "{before:?}");
        }
        let all = Settings { frozen: Some(true), secondary: Some(Some(OLD)), ..secret(NEW) };
        let line = "n:new-secret:secondary=old-secret:frozen\n";
        assert_eq!(edited("", "n", Change::Add(all)).unwrap(), line);
    }

    #[test]
    fn changes_one_line_and_nothing_in_it_but_what_is_asked_for() {
        let around = |line: &str| format!("\u{feff}# d\r\n\r\n{line}dd:old-secret\n#");
        for (before, change, after) in [
            ("d:old-secret", secret(NEW), "d:new-secret"),
            (
                "d:old-secret:frozen:secondary=x-x-x-x-x",
                secret(NEW),
                "d:new-secret:frozen:secondary=x-x-x-x-x",
            ),
            (
                "d:old-secret:frozen",
                secondary(Some(NEW)),
                "d:old-secret:secondary=new-secret:frozen",
            ),
            (
                "d:old-secret:frozen:secondary=x-x-x-x-x",
                secondary(Some(NEW)),
                "d:old-secret:frozen:secondary=new-secret",
            ),
            ("d:old-secret:secondary=x-x-x-x-x:frozen", secondary(None), "d:old-secret:frozen"),
            ("d:old-secret", frozen(true), "d:old-secret:frozen"),
            ("d:old-secret:frozen", frozen(true), "d:old-secret:frozen"),
            (
                "d:old-secret:frozen:secondary=x-x-x-x-x",
                frozen(false),
                "d:old-secret:secondary=x-x-x-x-x",
            ),
            (
                "d:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
                frozen(true),
                "d:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b:frozen",
            ),
        ] {
            for end in ["\n", "\r\n", " \t\n", "  \r\n"] {
                let (before, after) =
                    (around(&format!("{before}{end}")), around(&format!("{after}{end}")));
                let found = edited(&before, "d", Change::Set(change)).unwrap();
                // A changed content ends in a newline.
                let after = if before == after { after } else { after + "\n" };
                assert_eq!(found, after, "{before:?}");
            }
        }
    }

    const ONE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
    const TWO: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const NEW_ONE: &str = "0123456789012345678901234567890123456789";
    const COLONS: &str = "01:23:45:67:89:01:23:45:67:89:01:23:45:67:89:01:23:45:67:89";

    fn proof(proof: Proof<'_>) -> Settings<'_> {
        Settings { proof: Some(proof), ..Settings::default() }
    }

    #[test]
    fn changes_one_of_two_certificates() {
        let second = |value| proof(Proof::SecondCertificate(value));
        let first = proof(Proof::FirstCertificate(COLONS.as_bytes()));
        let new = Some(COLONS.as_bytes());
        for (before, change, after) in [
            (ONE.into(), first, NEW_ONE.into()),
            (format!("{ONE},{TWO}"), first, format!("{NEW_ONE},{TWO}")),
            (ONE.into(), second(new), format!("{ONE},{NEW_ONE}")),
            (format!("{TWO},{ONE}"), second(new), format!("{TWO},{NEW_ONE}")),
            (format!("{TWO},{ONE}"), second(None), TWO.into()),
            (TWO.into(), second(None), TWO.into()),
            (
                ONE.into(),
                proof(Proof::Certificate(format!("{TWO},{COLONS}").leak().as_bytes())),
                format!("{TWO},{NEW_ONE}"),
            ),
        ] {
            for rest in ["\n", ":frozen \r\n"] {
                let before = format!("d:x509={before}{rest}");
                for change in [Change::Set(change), Change::Put(change)] {
                    let found = edited(&before, "d", change).unwrap();
                    assert_eq!(found, format!("d:x509={after}{rest}"), "{before}");
                }
            }
        }
        let both = Settings { frozen: Some(true), ..first };
        let found = edited("", "d", Change::Add(both)).unwrap();
        assert_eq!(found, format!("d:x509={NEW_ONE}:frozen\n"));
    }

    #[test]
    fn one_of_two_certificates_is_for_a_device_with_certificates() {
        let short = LineFault::Length { field: Field::Fingerprint, found: 4 };
        let none = LineFault::Length { field: Field::Fingerprint, found: 0 };
        let certificate = format!("d:x509={ONE}\n");
        for (content, settings, problem) in [
            ("d:old-secret\n", Proof::FirstCertificate(ONE.as_bytes()), Problem::Secret),
            ("d:old-secret\n", Proof::SecondCertificate(None), Problem::Secret),
            (&certificate, Proof::FirstCertificate(b"x509"), Problem::Line(short_charset())),
            (&certificate, Proof::FirstCertificate(b"12:34"), Problem::Line(short)),
            (&certificate, Proof::SecondCertificate(Some(b"1234")), Problem::Line(short)),
            (&certificate, Proof::SecondCertificate(Some(b"")), Problem::Line(none)),
        ] {
            for change in [Change::Set(proof(settings)), Change::Put(proof(settings))] {
                assert_eq!(edited(content, "d", change), Err(problem), "{content}");
            }
        }
        // The first one must not be missing.
        let second = proof(Proof::SecondCertificate(Some(ONE.as_bytes())));
        assert_eq!(edited("", "d", Change::Add(second)), Err(Problem::Line(none)));
    }

    fn short_charset() -> LineFault {
        LineFault::Charset { field: Field::Fingerprint, position: 1 }
    }

    #[test]
    fn removes_a_line_with_its_end() {
        for (before, after) in [
            ("d:old-secret\n", ""),
            ("d:old-secret", ""),
            ("# d\nd:old-secret \r\n\r\ndd:old-secret\r\n", "# d\n\r\ndd:old-secret\r\n"),
            ("a:old-secret\nd:old-secret", "a:old-secret\n"),
        ] {
            assert_eq!(edited(before, "d", Change::Remove).unwrap(), after, "{before:?}");
        }
    }

    #[test]
    fn puts_in_or_over() {
        let certificate = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
        let x509 = Settings { proof: Some(Proof::Certificate(certificate)), ..Settings::default() };
        let line = format!("d:x509={}", std::str::from_utf8(certificate).unwrap());
        let cases = [
            ("".into(), x509, line.clone()),
            ("d:old-secret:secondary=x-x-x-x-x:frozen\n".into(), x509, format!("{line}:frozen")),
            (format!("{line}\n"), secret(NEW), "d:new-secret".into()),
        ];
        for (before, settings, after) in cases {
            let found = edited(&before, "d", Change::Put(settings)).unwrap();
            assert_eq!(found, format!("{after}\n"));
        }
    }

    #[test]
    fn says_why_not() {
        let x509 = "d:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b\n";
        let plain = "d:old-secret\n";
        let padded = format!("d:old-secret{}\n", " ".repeat(line::MAX_LINE - 12));
        for (content, device, change, problem) in [
            (plain, "d", Change::Add(secret(NEW)), Problem::Present),
            (plain, "D", Change::Remove, Problem::Absent),
            (
                plain,
                "# d",
                Change::Remove,
                Problem::Line(LineFault::Charset { field: Field::DeviceId, position: 1 }),
            ),
            (plain, "dd", Change::Set(frozen(true)), Problem::Absent),
            (x509, "d", Change::Set(secret(NEW)), Problem::Certificate),
            (x509, "d", Change::Set(secondary(Some(NEW))), Problem::Certificate),
            (
                x509,
                "d",
                Change::Put(secondary(Some(NEW))),
                Problem::Line(LineFault::SecondaryOfCertificate),
            ),
            (padded.as_str(), "d", Change::Set(frozen(true)), Problem::Line(LineFault::TooLong)),
            (
                plain,
                "n",
                Change::Add(secret(b"new-secret:frozen")),
                Problem::Line(LineFault::Charset { field: Field::Secret, position: 11 }),
            ),
            (
                plain,
                "n",
                Change::Add(secret(b"x509=new-secret")),
                Problem::Line(LineFault::Charset { field: Field::Secret, position: 5 }),
            ),
            (
                plain,
                "n",
                Change::Add(secret(b"new-secret\nx:x")),
                Problem::Line(LineFault::Charset { field: Field::Secret, position: 11 }),
            ),
            (
                plain,
                "n",
                Change::Add(Settings::default()),
                Problem::Line(LineFault::Length { field: Field::Secret, found: 0 }),
            ),
            (
                plain,
                "d",
                Change::Set(secondary(Some(b"short"))),
                Problem::Line(LineFault::Length { field: Field::Secondary, found: 5 }),
            ),
        ] {
            assert_eq!(edited(content, device, change), Err(problem), "{content} {device}");
        }
    }

    #[test]
    fn all_or_nothing_with_every_problem_in_order() {
        let add = |device_id: &'static str| Order {
            device_id: device_id.as_bytes(),
            change: Change::Add(secret(NEW)),
        };
        let orders = [add("b"), add("a"), add("c"), add("b"), add("x y"), add("a")];
        let problems = apply(b"a:old-secret\n", &orders).unwrap_err();
        let fault = LineFault::Charset { field: Field::DeviceId, position: 2 };
        assert_eq!(
            problems.first,
            [
                (1, Problem::Present),
                (3, Problem::Twice { first: 0 }),
                (4, Problem::Line(fault)),
                (5, Problem::Twice { first: 1 })
            ]
        );
        assert_eq!(problems.total, 4);
        let edited = apply(b"a:old-secret\n", &orders[2..3]).unwrap();
        assert_eq!((edited.added, edited.changed, edited.devices), (1, 0, 2));
    }

    #[test]
    fn the_first_problems_are_told_and_the_rest_counted() {
        let ids: Vec<String> = (0..3000).map(|n| format!("d{n:04}")).collect();
        let add = |id: &'_ String| -> (Vec<u8>, bool) { (id.clone().into_bytes(), true) };
        let named: Vec<_> = ids.iter().map(add).collect();
        let orders: Vec<Order<'_>> = named
            .iter()
            .map(|(id, _)| Order { device_id: id, change: Change::Add(secret(NEW)) })
            .collect();
        // In the file they are in the opposite order.
        let content: String = ids.iter().rev().map(|id| format!("{id}:old-secret\n")).collect();
        let problems = apply(content.as_bytes(), &orders).unwrap_err();
        assert_eq!(problems.total, 3000);
        let first: Vec<usize> = problems.first.iter().map(|(at, _)| *at).collect();
        assert_eq!(first, (0..MAX_PROBLEMS).collect::<Vec<_>>());
    }

    #[test]
    fn the_new_content_does_not_move() {
        let orders: Vec<_> = ["lamp-a", "lamp-b", "lamp-c"]
            .into_iter()
            .map(|device| Order {
                device_id: device.as_bytes(),
                change: Change::Put(Settings {
                    secondary: Some(Some(NEW)),
                    frozen: Some(true),
                    ..secret(NEW)
                }),
            })
            .collect();
        let long = format!("#{}\nlamp-a:old-secret", "x".repeat(1000));
        for content in [
            &b""[..],
            b"lamp-a:old-secret",
            b"lamp-a:old-secret\r\nlamp-b:old-secret",
            long.as_bytes(),
        ] {
            let mut draft = Draft::new(content, &orders, None);
            let before = draft.out.0.as_ptr();
            // Lines are at most 64 bytes long here.
            assert!(draft.out.0.capacity() <= content.len() + 3 * 64);
            draft.run(content);
            let (_, after) = draft.finish().unwrap();
            assert_eq!(before, after.0.as_ptr());
        }
    }

    #[test]
    fn a_content_that_is_written_in_pieces_is_the_same() {
        let many: Vec<String> = (0..4000).map(|n| format!("new-{n}")).collect();
        let long = "x".repeat(3 * PIECE);
        let device = "lamp-a:old-secret\r\n";
        for content in [
            String::new(),
            "\u{feff}".into(),
            device.into(),
            device.trim_end().into(),
            device.to_owned() + &"# comment\n".repeat(20_000),
            format!("\u{feff}#{long}\n{device}#{long}"),
            format!("#{long}\n#{long}\r"),
        ] {
            for count in [0, 1, many.len()] {
                let changed = ["lamp-a".to_owned()];
                let ids = changed.iter().filter(|_| count > 0).chain(many.iter().take(count));
                let put = Change::Put(secret(NEW));
                let orders: Vec<Order<'_>> =
                    ids.map(|id| Order { device_id: id.as_bytes(), change: put }).collect();
                let kept = apply(content.as_bytes(), &orders).unwrap();
                let mut written = Vec::new();
                let tally = apply_to(content.as_bytes(), &orders, &mut written).unwrap().unwrap();
                assert!(written == kept.content.as_ref(), "{} {count}", content.len());
                let Edited { added, changed, devices, .. } = kept;
                assert_eq!(tally, Tally { added, changed, devices });
                assert_eq!(tally.is_unchanged(), count == 0);
            }
        }
        let twice = [Order { device_id: b"d", change: Change::Remove }; 2];
        let problems = apply_to(b"", &twice, &mut Vec::new()).unwrap().unwrap_err();
        assert_eq!(problems, apply(b"", &twice).unwrap_err());
    }

    #[test]
    fn a_write_that_fails_is_told() {
        let order = Order { device_id: b"d", change: Change::Add(secret(NEW)) };
        let mut room = [0; 4];
        let written = apply_to(b"", &[order], &mut &mut room[..]);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_content_has_the_length_that_it_is_said_to_have() {
        let text = &b"a:old-secret\n"[..];
        let length = text.len() as u64;
        assert_eq!(Content::read(text, length).unwrap().as_ref(), text);
        assert_eq!(Content::read(&b""[..], 0).unwrap().as_ref(), b"");
        for said in [0, length - 1, length + 1] {
            let read = Content::read(text, said);
            assert!(matches!(read, Err(LoadError::Changing)), "{said}: {read:?}");
        }
        let read = Content::read(text, u64::MAX);
        assert!(matches!(read, Err(LoadError::NoMemory | LoadError::TooLarge { .. })), "{read:?}");
    }

    #[test]
    fn counts_what_came_in_what_changed_and_what_is_there() {
        let orders = |changes: &[(&'static str, Change<'static>)]| -> Vec<Order<'static>> {
            let order = |(device, change): &(&'static str, _)| Order {
                device_id: device.as_bytes(),
                change: *change,
            };
            changes.iter().map(order).collect()
        };
        let put = Change::Put(secret(NEW));
        let content = b"# two\na:old-secret\nb:new-secret";
        for (changes, counts, unchanged) in [
            (&[][..], (0, 0, 2), true),
            (&[("b", put)], (0, 0, 2), true),
            (&[("a", put), ("b", put)], (0, 1, 2), false),
            (&[("c", put), ("d", put)], (2, 0, 4), false),
            (&[("a", Change::Remove), ("b", Change::Remove)], (0, 2, 0), false),
            (&[("a", Change::Remove), ("c", put)], (1, 1, 2), false),
        ] {
            let orders = orders(changes);
            let edited = apply(content, orders.as_slice()).unwrap();
            assert_eq!((edited.added, edited.changed, edited.devices), counts, "{changes:?}");
            assert_eq!(edited.is_unchanged(), unchanged, "{changes:?}");
            assert_eq!(edited.content.as_ref() == content, unchanged, "{changes:?}");
        }
    }

    #[test]
    fn a_problem_is_told_in_words() {
        for (problem, part) in [
            (Problem::Present, "there already"),
            (Problem::Absent, "not found"),
            (Problem::Certificate, "logs in by its certificate"),
            (Problem::Secret, "logs in by its secret"),
            (Problem::Twice { first: 3 }, "twice"),
            (Problem::Line(LineFault::TooLong), "1024"),
        ] {
            assert!(problem.to_string().contains(part), "{problem}");
        }
    }

    #[test]
    fn debug_hides_secrets() {
        let order = Order {
            device_id: b"d",
            change: Change::Add(Settings { secondary: Some(Some(OLD)), ..secret(NEW) }),
        };
        let shown = format!("{order:?} {:?}", apply(b"", &[order]).unwrap());
        assert!(!shown.contains("secret") && shown.contains("***"), "{shown}");
        for (kind, shown) in [
            (Proof::Certificate(OLD), "Certificate"),
            (Proof::FirstCertificate(OLD), "FirstCertificate"),
            (Proof::SecondCertificate(Some(OLD)), "SecondCertificate"),
        ] {
            assert_eq!(format!("{kind:?}"), shown);
        }
    }
}
