//! Which devices are there? The table in memory, as the lines of the file that it becomes.
//!
//! The lines stand one after another in chunks, so that the file is written without copying; an index of 32-bit positions
//! finds a device's line. A line that is no longer valid is overwritten by newlines, which are left out of the file. A chunk with
//! many of them is emptied, so that the memory is at most a third more than the file, and the index.

use hashbrown::HashTable;
use memchr::{memchr, memmem};
use std::{
    hash::{BuildHasher, RandomState},
    io::{self, Write},
};
use zeroize::{Zeroize, Zeroizing};

/// The size of a chunk, as a power of two. 4096 of them are what 32-bit positions, and the plugin's own table, can have.
const CHUNK_BITS: u32 = 20;
const CHUNK: usize = 1 << CHUNK_BITS;

/// One in this many bytes of a full chunk may be unused.
const MOST_UNUSED: usize = 4;

/// The table has more bytes than 32-bit positions can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The devices and their lines.
pub(crate) struct Table {
    chunks: Vec<Chunk>,
    /// The chunk that new lines are added to; there may be none yet.
    last: usize,
    /// Chunks that were emptied.
    free: Vec<usize>,
    index: HashTable<u32>,
    hasher: RandomState,
    fingerprint: Fingerprint,
    bytes: u64,
}

/// A sum over the lines, whatever their sequence: two tables with the same sum have the same lines. The hash is keyed, so
/// sums can be compared only within a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    sum: u64,
    /// The number of lines.
    pub(crate) lines: u64,
}

impl Fingerprint {
    /// Adds a line, without its newline.
    pub(crate) fn add(&mut self, hasher: &RandomState, line: &[u8]) {
        self.sum = self.sum.wrapping_add(hasher.hash_one(line));
        self.lines = self.lines.wrapping_add(1);
    }

    fn subtract(&mut self, hasher: &RandomState, line: &[u8]) {
        self.sum = self.sum.wrapping_sub(hasher.hash_one(line));
        self.lines = self.lines.wrapping_sub(1);
    }
}

struct Chunk {
    bytes: Zeroizing<Vec<u8>>,
    unused: usize,
}

impl Chunk {
    fn new() -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(CHUNK)), unused: 0 }
    }

    /// The line at a place, without its newline.
    fn line(&self, at: usize) -> &[u8] {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.get(..memchr(b'\n', rest).unwrap_or(rest.len())).unwrap_or_default()
    }

    fn is_wasteful(&self) -> bool {
        self.unused * MOST_UNUSED > CHUNK
    }

    /// Writes the lines that are valid.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut rest = self.bytes.as_slice();
        if self.unused == 0 {
            return out.write_all(rest);
        }
        while let Some(start) = rest.iter().position(|byte| *byte != b'\n') {
            rest = rest.get(start..).unwrap_or_default();
            // Up to the newline of the last line before unused bytes.
            let end = memmem::find(rest, b"\n\n").map_or(rest.len(), |end| end + 1);
            out.write_all(rest.get(..end).unwrap_or_default())?;
            rest = rest.get(end..).unwrap_or_default();
        }
        Ok(())
    }
}

fn position(chunk: usize, at: usize) -> Option<u32> {
    u32::try_from(chunk << CHUNK_BITS | at).ok()
}

fn place(position: u32) -> (usize, usize) {
    let position = position as usize;
    (position >> CHUNK_BITS, position & (CHUNK - 1))
}

/// The line at a position.
fn line(chunks: &[Chunk], position: u32) -> &[u8] {
    let (chunk, at) = place(position);
    chunks.get(chunk).map_or(&[], |chunk| chunk.line(at))
}

/// The device id of a line: what stands before the first colon.
fn id(line: &[u8]) -> &[u8] {
    line.get(..memchr(b':', line).unwrap_or(line.len())).unwrap_or_default()
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            last: 0,
            free: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            fingerprint: Fingerprint::default(),
            bytes: 0,
        }
    }

    /// The number of devices.
    pub(crate) fn devices(&self) -> u64 {
        self.fingerprint.lines
    }

    /// The size of all lines in bytes, their newlines included.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What fingerprints that can be compared with this table's are made with.
    pub(crate) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// Removes all devices and frees the memory.
    pub(crate) fn clear(&mut self) {
        self.chunks = Vec::new();
        self.free = Vec::new();
        self.index = HashTable::new();
        self.last = 0;
        self.fingerprint = Fingerprint::default();
        self.bytes = 0;
    }

    /// Puts a device's line, without its newline, in the place of the one that it may have; returns whether it had one.
    pub(crate) fn put(&mut self, new: &[u8]) -> Result<bool, Full> {
        let hash = self.hasher.hash_one(id(new));
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let found = self.index.find_entry(hash, |at| id(line(chunks, *at)) == id(new)).ok();
        let before = found.as_ref().map(|entry| *entry.get());
        if let Some(at) = before {
            let old = line(&self.chunks, at);
            self.fingerprint.subtract(hasher, old);
            self.fingerprint.add(hasher, new);
            if old.len() == new.len() {
                self.overwrite(at, new);
                return Ok(true);
            }
        } else {
            self.fingerprint.add(hasher, new);
        }
        // The index never has a position whose line is gone: the chunk may be used again.
        if let Some(entry) = found {
            entry.remove();
        }
        if let Some(at) = before {
            self.strike(at);
        }
        let at = self.append(new)?;
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        self.index.insert_unique(hash, at, |at| hasher.hash_one(id(line(chunks, *at))));
        if let Some(at) = before {
            self.tidy(place(at).0)?;
        }
        Ok(before.is_some())
    }

    /// Puts a line into the place of one of the same length.
    fn overwrite(&mut self, position: u32, new: &[u8]) {
        let (chunk, at) = place(position);
        let chunk = self.chunks.get_mut(chunk);
        if let Some(old) = chunk.and_then(|chunk| chunk.bytes.get_mut(at..at + new.len())) {
            old.copy_from_slice(new);
        }
    }

    /// Removes a device; returns whether it was there.
    pub(crate) fn remove(&mut self, device_id: &[u8]) -> Result<bool, Full> {
        let hash = self.hasher.hash_one(device_id);
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let found = self.index.find_entry(hash, |at| id(line(chunks, *at)) == device_id);
        let Ok(entry) = found else { return Ok(false) };
        let (at, _) = entry.remove();
        self.fingerprint.subtract(hasher, line(&self.chunks, at));
        self.strike(at);
        self.tidy(place(at).0)?;
        Ok(true)
    }

    /// Writes all lines.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.chunks.iter().try_for_each(|chunk| chunk.write(out))
    }

    /// Overwrites a line by newlines.
    fn strike(&mut self, position: u32) {
        let (chunk, at) = place(position);
        let Some(chunk) = self.chunks.get_mut(chunk) else { return };
        let length = chunk.line(at).len();
        if let Some(line) = chunk.bytes.get_mut(at..at + length) {
            line.fill(b'\n');
        }
        chunk.unused += length + 1;
        self.bytes -= length as u64 + 1;
    }

    /// Adds a line to the last chunk.
    fn append(&mut self, line: &[u8]) -> Result<u32, Full> {
        let has_room = |chunk: &Chunk| chunk.bytes.len() + line.len() < CHUNK;
        if !self.chunks.get(self.last).is_some_and(has_room) {
            let before = self.last;
            self.last = match self.free.pop() {
                Some(free) => free,
                None if self.chunks.len() << CHUNK_BITS > u32::MAX as usize => return Err(Full),
                None => {
                    self.chunks.push(Chunk::new());
                    self.chunks.len() - 1
                }
            };
            self.tidy(before)?;
        }
        let at = self.chunks.get(self.last).map_or(0, |chunk| chunk.bytes.len());
        if let Some(chunk) = self.chunks.get_mut(self.last) {
            chunk.bytes.extend_from_slice(line);
            chunk.bytes.push(b'\n');
        }
        self.bytes += line.len() as u64 + 1;
        position(self.last, at).ok_or(Full)
    }

    /// A line has moved.
    fn point(&mut self, hash: u64, from: u32, to: u32) {
        if let Some(at) = self.index.find_mut(hash, |at| *at == from) {
            *at = to;
        }
    }

    /// Moves the lines of a chunk to the last one, if too much of it is unused.
    fn tidy(&mut self, number: usize) -> Result<(), Full> {
        if number == self.last || !self.chunks.get(number).is_some_and(Chunk::is_wasteful) {
            return Ok(());
        }
        let Some(chunk) = self.chunks.get_mut(number) else { return Ok(()) };
        let mut old = std::mem::replace(chunk, Chunk { bytes: Zeroizing::default(), unused: 0 });
        let mut at = 0;
        while at < old.bytes.len() {
            let line = old.line(at);
            if !line.is_empty() {
                let hash = self.hasher.hash_one(id(line));
                let from = position(number, at).ok_or(Full)?;
                self.bytes -= line.len() as u64 + 1;
                let to = self.append(line)?;
                self.point(hash, from, to);
            }
            at += line.len() + 1;
        }
        // Its memory is used again.
        old.bytes.zeroize();
        old.unused = 0;
        if let Some(chunk) = self.chunks.get_mut(number) {
            *chunk = old;
        }
        self.free.push(number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn written(table: &Table) -> Vec<String> {
        let mut bytes = Vec::new();
        table.write(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, table.bytes());
        let text = String::from_utf8(bytes).unwrap();
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        lines.sort();
        lines
    }

    /// The table has the lines of a map, and the fingerprint of these.
    fn check(table: &Table, model: &BTreeMap<u16, String>) {
        let mut lines: Vec<String> = model.values().cloned().collect();
        lines.sort();
        assert_eq!(written(table), lines);
        let mut fingerprint = Fingerprint::default();
        lines.iter().for_each(|line| fingerprint.add(table.hasher(), line.as_bytes()));
        assert_eq!(table.fingerprint(), fingerprint);
        assert_eq!(table.devices(), model.len() as u64);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn it_is_a_map(changes in prop::collection::vec((0..40u16, 0..3u8), 0..300)) {
            let (mut table, mut model) = (Table::new(), BTreeMap::new());
            for (number, (key, kind)) in changes.into_iter().enumerate() {
                let line = match kind {
                    0 => {
                        let had = table.remove(key.to_string().as_bytes()).unwrap();
                        assert_eq!(had, model.remove(&key).is_some());
                        continue;
                    }
                    1 => format!("{key}:s{number:03}"),
                    _ => format!("{key}:{}", "s".repeat(1 + number % 50)),
                };
                let had = table.put(line.as_bytes()).unwrap();
                assert_eq!(had, model.insert(key, line).is_some());
            }
            check(&table, &model);
        }
    }

    /// Lines of changing length leave unused bytes behind in each chunk.
    #[test]
    fn memory_stays_near_the_size_of_the_lines() {
        let (mut table, mut model) = (Table::new(), BTreeMap::new());
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..120_000 {
            let key = random.u16(0..30_000);
            if random.u8(0..10) == 0 {
                table.remove(key.to_string().as_bytes()).unwrap();
                model.remove(&key);
            } else {
                let line = format!("{key}:{}", "s".repeat(random.usize(8..100)));
                table.put(line.as_bytes()).unwrap();
                model.insert(key, line);
            }
        }
        check(&table, &model);
        let held: usize = table.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        assert!(
            held as u64 <= table.bytes() * 4 / 3 + 2 * CHUNK as u64,
            "{held} {}",
            table.bytes()
        );
        assert!(table.chunks.len() * CHUNK <= held * 2 + 4 * CHUNK);
        for key in 0..30_000u16 {
            table.remove(key.to_string().as_bytes()).unwrap();
        }
        check(&table, &BTreeMap::new());
        table.clear();
        check(&table, &BTreeMap::new());
    }

    #[test]
    fn struck_lines_are_wiped() {
        let mut table = Table::new();
        table.put(b"lamp:topsecret").unwrap();
        table.put(b"lamp:longersecret").unwrap();
        let bytes = &table.chunks[0].bytes;
        assert!(memmem::find(bytes, b"topsecret").is_none());
    }
}
