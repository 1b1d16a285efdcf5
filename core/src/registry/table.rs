//! All devices: one arena of records, and a hash table of offsets into it.
//!
//! A record takes no more bytes than its line in the file. So a table takes at most the file's size plus the index, which is
//! 6 to 12 bytes a device.
//!
//! ```text
//! record:  id (1 byte)  shape (1 byte)  id  secret  [secondary: length (1 byte), bytes]
//! id:      bits 0–6  id length − 1
//!          bit 7     differs from the table before
//! shape:   bits 0–4  secret length − 8      (certificate: bits 0–3, which digests)
//!          bit 5     frozen
//!          bit 6     has a second secret or fingerprint
//!          bit 7     certificate, not secret
//! ```

use super::cancel::{Cancel, Cancelled};
use super::line::{Credential, Entry, Fingerprint, Fingerprints};
use hashbrown::{HashTable, hash_table};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    hint::black_box,
};
use zeroize::Zeroize;

const ID_LENGTH: u8 = 0b111_1111;
const CHANGED: u8 = 1 << 7;
const FROZEN: u8 = 1 << 5;
const SECONDARY: u8 = 1 << 6;
const CERTIFICATE: u8 = 1 << 7;
const SHORTEST_SECRET: u8 = 8;
const SECRET_LENGTH: u8 = 0b1_1111;
const PRIMARY_SHA256: u8 = 1;
const SECONDARY_SHA256: u8 = 1 << 1;

/// How many records are hashed before the first of them is looked up.
const BATCH: usize = 256;

/// The size of a CPU's cache line, in bytes.
const CACHE_LINE: usize = 64;

/// The largest arena, in bytes: offsets are 32 bits wide.
pub const MAX_ARENA: usize = u32::MAX as usize;

/// The devices, by device id.
///
/// The memory that held secrets is wiped when the table is dropped.
pub struct Table {
    arena: Arena,
    index: HashTable<u32>,
    hasher: RandomState,
}

/// A device that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// What proves the device.
    pub credential: Credential<'a>,
    /// Whether the device is kept out.
    pub frozen: bool,
    /// Whether the device differs from the previous table, as [`Table::compare`] found.
    pub changed: bool,
}

/// How a table differs from the previous one, in numbers of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Devices that the previous table did not have.
    pub added: usize,
    /// Devices that only the previous table had.
    pub removed: usize,
    /// Devices that were frozen or unfrozen, or have another secret or fingerprint.
    pub changed: usize,
}

impl Table {
    /// A table without devices.
    #[must_use]
    pub fn empty() -> Self {
        Self { arena: Arena::default(), index: HashTable::new(), hasher: RandomState::new() }
    }

    /// How many devices there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no device.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether any device has two secrets.
    #[must_use]
    pub fn has_second_secrets(&self) -> bool {
        self.arena.has_second_secrets
    }

    /// Finds a device. Allocates nothing. It touches as much memory for a device that is not there: a cache miss takes a
    /// good part of a look-up's time, and its absence would reveal that there is no such device.
    #[must_use]
    pub fn find(&self, device_id: &[u8]) -> Option<Device<'_>> {
        let hash = self.hash(device_id);
        let Some(at) = self.offset(device_id, hash) else {
            self.arena.feign_a_hit(hash, self.index.capacity().saturating_mul(size_of::<u32>()));
            return None;
        };
        Some(self.arena.record(at)?.1)
    }

    /// Keyed SipHash: device ids may come from strangers, who must not be able to choose ids that make the table slow.
    fn hash(&self, device_id: &[u8]) -> u64 {
        self.hasher.hash_one(device_id)
    }

    fn offset(&self, device_id: &[u8], hash: u64) -> Option<u32> {
        self.index.find(hash, |at| self.arena.device_id(*at) == Some(device_id)).copied()
    }

    /// Counts how the table differs from the previous one, and marks the devices that differ.
    ///
    /// Most edits change few lines, so the two tables are walked in parallel; a device is looked up only where they differ.
    ///
    /// # Errors
    ///
    /// [`Cancelled`].
    pub fn compare(&mut self, before: &Self, cancel: Cancel<'_>) -> Result<Changes, Cancelled> {
        let mut changes = Changes::default();
        let mut kept = 0;
        let mut next = 0; // in the arena before
        let mut at = 0;
        while let Some((id, device)) = self.arena.record(at) {
            let was = match before.arena.record(next) {
                Some((same, was)) if same == id => Some((next, was)),
                _ => before
                    .offset(id, before.hash(id))
                    .and_then(|at| Some((at, before.arena.record(at)?.1))),
            };
            let length = record_length(id, &device);
            let mut changed = false;
            match was {
                None => changes.added += 1,
                Some((found, was)) => {
                    kept += 1;
                    next = found.saturating_add(record_length(id, &was));
                    changed = was.credential != device.credential || was.frozen != device.frozen;
                    changes.changed += usize::from(changed);
                }
            }
            self.arena.mark_changed(at, changed);
            at = at.saturating_add(length);
            check_now_and_then(kept + changes.added, cancel)?;
        }
        changes.removed = before.len() - kept;
        Ok(changes)
    }

    /// Every device with its id, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Device<'_>)> {
        self.arena.offsets().filter_map(|at| self.arena.record(at))
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("devices", &self.len()).finish_non_exhaustive()
    }
}

/// The records of a table that is being built.
#[derive(Default)]
pub struct Arena {
    bytes: Vec<u8>,
    records: usize,
    has_second_secrets: bool,
}

impl Drop for Arena {
    fn drop(&mut self) {
        // Only what was pushed: the vector neither moves nor shrinks, so the rest of its room has never held anything, and
        // writing there would make the system find memory for it.
        self.bytes.as_mut_slice().zeroize();
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// The arena has no room left: the file holds more than it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaFull;

/// The system has no room for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Why an arena makes no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// The work was cancelled.
    Cancelled,
    /// The system has no room for it.
    NoMemory,
}

impl From<Cancelled> for IndexError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// The devices that are in an arena twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Twice {
    /// The first of them, in no order: the ordinals, from 0, of the later and the earlier record.
    pub first: Vec<(u64, u64)>,
    /// The number of all devices that are in the arena twice.
    pub total: u64,
}

impl Arena {
    /// An arena with a fixed capacity in bytes: it does not move, so no copy of a secret is left behind.
    ///
    /// # Errors
    ///
    /// [`NoMemory`]: a file that claims to be larger than the memory must not end the broker.
    pub fn with_capacity(bytes: usize) -> Result<Self, NoMemory> {
        let mut arena = Self::default();
        arena.bytes.try_reserve_exact(bytes.min(MAX_ARENA)).map_err(|_| NoMemory)?;
        Ok(arena)
    }

    /// Adds a device. [`Arena::index`] later finds devices that are there twice.
    ///
    /// # Errors
    ///
    /// [`ArenaFull`], when the capacity is used up.
    pub fn push(&mut self, entry: &Entry<'_>) -> Result<(), ArenaFull> {
        let Some(id_length) = stored_id_length(entry.device_id) else { return Err(ArenaFull) };
        let mut shape = if entry.frozen { FROZEN } else { 0 };
        match entry.credential {
            Credential::Secret { primary, secondary } => {
                let Some(length) = stored_length(primary) else { return Err(ArenaFull) };
                shape |= length;
                let second_length = match secondary {
                    None => None,
                    Some(secondary) => {
                        shape |= SECONDARY;
                        Some(stored_length(secondary).ok_or(ArenaFull)?)
                    }
                };
                let head = [id_length, shape];
                let parts = [
                    head.as_slice(),
                    entry.device_id,
                    primary,
                    second_length.as_slice(),
                    secondary.unwrap_or_default(),
                ];
                self.append(&parts)?;
                self.has_second_secrets |= secondary.is_some();
                Ok(())
            }
            Credential::Certificate(Fingerprints { primary, secondary }) => {
                shape |= CERTIFICATE;
                if matches!(primary, Fingerprint::Sha256(_)) {
                    shape |= PRIMARY_SHA256;
                }
                if matches!(secondary, Some(Fingerprint::Sha256(_))) {
                    shape |= SECONDARY_SHA256;
                }
                if secondary.is_some() {
                    shape |= SECONDARY;
                }
                let second = secondary.as_ref().map(Fingerprint::bytes).unwrap_or_default();
                self.append(&[&[id_length, shape], entry.device_id, primary.bytes(), second])
            }
        }
    }

    fn append(&mut self, parts: &[&[u8]]) -> Result<(), ArenaFull> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.bytes.capacity() - self.bytes.len() < length {
            return Err(ArenaFull);
        }
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.records += 1;
        Ok(())
    }

    /// Makes the table, and lists the first `max_twice` devices that are in the arena twice.
    ///
    /// # Errors
    ///
    /// [`IndexError`].
    pub fn index(self, max_twice: usize, cancel: Cancel<'_>) -> Result<(Table, Twice), IndexError> {
        let hasher = RandomState::new();
        let hash = |at: &u32| hasher.hash_one(self.device_id(*at).unwrap_or_default());
        let mut index = HashTable::new();
        index.try_reserve(self.records, hash).map_err(|_| IndexError::NoMemory)?;
        let (mut twice, mut total) = (Vec::new(), 0);
        let mut records = (0..).zip(self.offsets());
        // Each access to the index is a cache miss. The CPU waits for several of them at once if no hash is computed in
        // between.
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            cancel.check()?;
            batch.clear();
            batch
                .extend(records.by_ref().take(BATCH).map(|(ordinal, at)| (ordinal, at, hash(&at))));
            if batch.is_empty() {
                break;
            }
            for &(ordinal, at, its_hash) in &batch {
                let same = |known: &u32| self.device_id(*known) == self.device_id(at);
                match index.entry(its_hash, same, hash) {
                    hash_table::Entry::Vacant(place) => {
                        place.insert(at);
                    }
                    hash_table::Entry::Occupied(known) => {
                        total += 1;
                        if twice.len() < max_twice {
                            twice.push((ordinal, *known.get()));
                        }
                    }
                }
            }
        }
        drop(records);
        let first = self.number(twice);
        Ok((Table { index, hasher, arena: self }, Twice { first, total }))
    }

    /// Replaces the offsets of the earlier records with their ordinals.
    fn number(&self, mut twice: Vec<(u64, u32)>) -> Vec<(u64, u64)> {
        let mut records = (0..).zip(self.offsets());
        let mut number = 0;
        // In one walk: errors are rare, and storing a number for each record would take as much memory as the table.
        twice.sort_unstable_by_key(|(_, earlier)| *earlier);
        let mut numbered: Vec<(u64, u64)> = Vec::with_capacity(twice.len());
        let mut last = None;
        for (later, earlier) in twice {
            if last.replace(earlier) != Some(earlier) {
                number = records.find(|(_, at)| *at == earlier).map_or(0, |(number, _)| number);
            }
            numbered.push((later, number));
        }
        numbered
    }

    /// Touches the memory that finding a device would have touched: a place in the index, of a given size in bytes, and then
    /// a record, which takes two cache lines. Which places depends on the id that was looked up, as with a device that is
    /// there. A third place, for the tags, would be too much: alternating logins could then be told apart again.
    fn feign_a_hit(&self, hash: u64, index: usize) {
        let length = self.bytes.len();
        let byte = |at: usize| black_box(self.bytes.get(at).copied().unwrap_or_default());
        let place = byte(scaled(hash, length.min(index)));
        // The CPU cannot fetch the record before it knows where it is.
        let record = scaled(hash.rotate_left(32) ^ u64::from(place), length);
        byte(record);
        byte(record.saturating_add(CACHE_LINE).min(length.saturating_sub(1)));
    }

    /// Where each record begins.
    fn offsets(&self) -> impl Iterator<Item = u32> {
        let mut next = 0u32;
        std::iter::from_fn(move || {
            let at = next;
            let (id, device) = self.record(at)?;
            next = at.saturating_add(record_length(id, &device));
            Some(at)
        })
    }

    fn bytes(&self, at: u32) -> Option<&[u8]> {
        self.bytes.get(at as usize..)
    }

    fn device_id(&self, at: u32) -> Option<&[u8]> {
        let [head, _, rest @ ..] = self.bytes(at)? else { return None };
        rest.get(..id_length(*head))
    }

    fn record(&self, at: u32) -> Option<(&[u8], Device<'_>)> {
        let [head, shape, rest @ ..] = self.bytes(at)? else { return None };
        let (device_id, rest) = rest.split_at_checked(id_length(*head))?;
        let credential = if shape & CERTIFICATE != 0 {
            let (primary, rest) = Fingerprint::split_off(rest, shape & PRIMARY_SHA256 != 0)?;
            let secondary = match shape & SECONDARY != 0 {
                true => Some(Fingerprint::split_off(rest, shape & SECONDARY_SHA256 != 0)?.0),
                false => None,
            };
            Credential::Certificate(Fingerprints { primary, secondary })
        } else {
            let (primary, rest) = rest.split_at_checked(secret_length(*shape))?;
            let secondary = match (shape & SECONDARY != 0, rest) {
                (true, [length, rest @ ..]) => Some(rest.get(..secret_length(*length))?),
                _ => None,
            };
            Credential::Secret { primary, secondary }
        };
        let device =
            Device { credential, frozen: shape & FROZEN != 0, changed: head & CHANGED != 0 };
        Some((device_id, device))
    }

    fn mark_changed(&mut self, at: u32, changed: bool) {
        if let Some(head) = self.bytes.get_mut(at as usize) {
            *head = if changed { *head | CHANGED } else { *head & !CHANGED };
        }
    }
}

/// The place that a hash chooses, below a limit.
fn scaled(hash: u64, places: usize) -> usize {
    let places = u64::try_from(places).unwrap_or(u64::MAX);
    usize::try_from((u128::from(hash) * u128::from(places)) >> 64).unwrap_or_default()
}

/// The length of a device's record.
fn record_length(id: &[u8], device: &Device<'_>) -> u32 {
    let credential = match device.credential {
        Credential::Secret { primary, secondary } => {
            primary.len() + secondary.map_or(0, |s| 1 + s.len())
        }
        Credential::Certificate(Fingerprints { primary, secondary }) => {
            primary.bytes().len() + secondary.map_or(0, |s| s.bytes().len())
        }
    };
    u32::try_from(2 + id.len() + credential).unwrap_or(u32::MAX)
}

/// Checks every few thousand records whether the work is still wanted.
fn check_now_and_then(count: usize, cancel: Cancel<'_>) -> Result<(), Cancelled> {
    if count % 4096 == 0 { cancel.check() } else { Ok(()) }
}

/// A device id's length as it is stored: minus one, in seven bits.
fn stored_id_length(device_id: &[u8]) -> Option<u8> {
    let length = u8::try_from(device_id.len()).ok()?.checked_sub(1)?;
    (length <= ID_LENGTH).then_some(length)
}

fn id_length(head: u8) -> usize {
    usize::from(head & ID_LENGTH) + 1
}

/// A secret's length as it is stored: minus the shortest length, in five bits.
fn stored_length(secret: &[u8]) -> Option<u8> {
    let length = u8::try_from(secret.len()).ok()?.checked_sub(SHORTEST_SECRET)?;
    (length <= SECRET_LENGTH).then_some(length)
}

fn secret_length(shape: u8) -> usize {
    usize::from((shape & SECRET_LENGTH) + SHORTEST_SECRET)
}

impl Fingerprint {
    /// The digest.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha1(digest) => digest,
            Self::Sha256(digest) => digest,
        }
    }

    fn split_off(bytes: &[u8], sha256: bool) -> Option<(Self, &[u8])> {
        if sha256 {
            let (digest, rest) = bytes.split_first_chunk()?;
            Some((Self::Sha256(*digest), rest))
        } else {
            let (digest, rest) = bytes.split_first_chunk()?;
            Some((Self::Sha1(*digest), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{
        Watch,
        line::{self, Line},
    };

    fn arena(lines: &[&str]) -> Arena {
        let mut arena =
            Arena::with_capacity(lines.iter().map(|line| line.len() + 1).sum()).unwrap();
        for line in lines {
            let Ok(Line::Device(entry)) = line::parse(line.as_bytes()) else { panic!("{line}") };
            arena.push(&entry).unwrap();
        }
        arena
    }

    #[test]
    fn gives_back_what_went_in() {
        let sha1 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
        let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let mut lines = vec![
            format!("a:{}", "s".repeat(8)),
            format!("b:{}:frozen", "s".repeat(32)),
            format!("c:{}:secondary={}", "s".repeat(9), "t".repeat(32)),
            format!("d:{}:secondary={}:frozen", "s".repeat(31), "t".repeat(8)),
            format!("e:x509={sha1}"),
            format!("f:x509={sha256}:frozen"),
            format!("g:x509={sha1},{sha256}"),
            format!("h:x509={sha256},{sha1}"),
            format!("i:x509={sha256},{sha256}:frozen"),
            format!("{}:{}", "j".repeat(128), "s".repeat(20)),
        ];
        lines.extend((0..500).map(|n| format!("lamp-{n}:secret-of-lamp-{n}")));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (table, twice) = arena(&lines).index(1, Cancel::NEVER).unwrap();
        assert_eq!(twice, Twice::default());
        assert_eq!(table.len(), lines.len());
        for (line, (id, device)) in lines.iter().zip(table.iter()) {
            let Ok(Line::Device(entry)) = line::parse(line.as_bytes()) else { panic!("{line}") };
            assert_eq!(id, entry.device_id, "{line}");
            assert_eq!(
                device,
                Device { credential: entry.credential, frozen: entry.frozen, changed: false },
                "{line}"
            );
            assert_eq!(table.find(id), Some(device), "{line}");
        }
        for absent in
            [b"".as_slice(), b"lamp", b"lamp-500", b"A", &[b'j'; 127], &[b'j'; 129], &[0xFF; 300]]
        {
            assert_eq!(table.find(absent), None);
        }
    }

    #[test]
    fn knows_whether_any_device_has_two_secrets() {
        let sha1 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
        let certificate = format!("b:x509={sha1},{sha1}");
        let has = |lines: &[&str]| table(lines).has_second_secrets();
        assert!(!Table::empty().has_second_secrets() && !has(&["a:12345678", &certificate]));
        assert!(has(&["a:12345678:secondary=12345678", "c:12345678", &certificate]));
    }

    #[test]
    fn a_record_is_no_longer_than_its_line() {
        for line in [
            "a:12345678",
            "a:12345678:secondary=12345678:frozen",
            "a:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        ] {
            assert!(arena(&[line]).bytes.len() <= line.len() + 1, "{line}");
        }
    }

    #[test]
    fn lists_devices_that_are_there_twice() {
        let lines =
            ["a:12345678", "b:12345678", "a:12345679", "c:12345678", "b:12345678", "a:12345678"];
        let twice = |most| {
            let mut twice = arena(&lines).index(most, Cancel::NEVER).unwrap().1;
            twice.first.sort_unstable();
            twice
        };
        let all = [(2, 0), (4, 1), (5, 0)];
        for most in 0..4 {
            assert_eq!(twice(most), Twice { first: all[..most].to_vec(), total: 3 });
        }
    }

    /// The most memory that this process has ever had, in KiB.
    fn peak() -> u64 {
        #[allow(clippy::disallowed_methods)] // a test may
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn what_was_never_used_is_not_wiped() {
        let mut arena = Arena::with_capacity(1 << 30).unwrap();
        let Ok(Line::Device(entry)) = line::parse(b"lamp:topsecret1") else { panic!() };
        arena.push(&entry).unwrap();
        let before = peak();
        drop(arena);
        // Other tests run at the same time, and none of them takes as much. The system updates its counts late: they may
        // also shrink a little.
        let more = peak().saturating_sub(before);
        assert!(more < 1 << 19, "{more} KiB");
    }

    #[test]
    fn a_missing_device_touches_varying_places() {
        for length in [0, 1, 2, 63, 64, 65, 1000] {
            let most = length.max(1);
            let mut touched = vec![false; most];
            for n in 0..20_000u64 {
                touched[scaled(RandomState::new().hash_one(n), length)] = true;
            }
            assert!(touched.iter().all(|touched| *touched), "{length}");
        }
    }

    #[test]
    fn shows_no_secret() {
        let table = arena(&["lamp:topsecret1"]).index(1, Cancel::NEVER).unwrap().0;
        assert!(!format!("{table:?} {:?}", table.find(b"lamp")).contains("topsecret"));
    }

    fn table(lines: &[&str]) -> Table {
        arena(lines).index(1, Cancel::NEVER).unwrap().0
    }

    fn changed(table: &Table) -> Vec<String> {
        let ids = table.iter().filter(|(_, device)| device.changed).map(|(id, _)| id.to_vec());
        ids.map(|id| String::from_utf8(id).unwrap()).collect()
    }

    #[test]
    fn tells_what_has_changed() {
        let before =
            table(&["a:12345678", "b:12345678", "c:12345678", "d:12345678", "e:12345678:frozen"]);
        for (after, added, removed, marked) in [
            (
                &["a:12345678", "b:12345678", "c:12345678", "d:12345678", "e:12345678:frozen"][..],
                0,
                0,
                &[][..],
            ),
            (
                &["e:12345678:frozen", "d:12345678", "c:12345678", "b:12345678", "a:12345678"],
                0,
                0,
                &[],
            ),
            (
                &["x:12345678", "a:12345678", "c:12345678", "d:12345678", "e:12345678:frozen"],
                1,
                1,
                &[],
            ),
            (
                &["b:12345678", "c:12345679", "d:12345678:frozen", "e:12345678", "f:12345678"],
                1,
                1,
                &["c", "d", "e"],
            ),
            (&["a:12345678:secondary=12345678"], 0, 4, &["a"]),
            (&["a:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"], 0, 4, &["a"]),
            (&["x:12345678"], 1, 5, &[]),
        ] {
            let mut after = table(after);
            let expected = Changes { added, removed, changed: marked.len() };
            assert_eq!(
                after.compare(&before, Cancel::NEVER),
                Ok(expected),
                "{:?}",
                changed(&after)
            );
            assert_eq!(changed(&after), marked);
            // Comparing them again changes nothing.
            assert_eq!(after.compare(&before, Cancel::NEVER), Ok(expected));
            assert_eq!(changed(&after), marked);
            // The mark is not part of the device: a marked device is found and compared as before.
            let found: Vec<_> =
                after.iter().map(|(id, device)| after.find(id) == Some(device)).collect();
            assert!(found.iter().all(|same| *same));
            let mut same = table(&["a:12345678"]);
            let _ = same.compare(&after, Cancel::NEVER);
        }
    }

    #[test]
    fn comparing_looks_now_and_then_whether_it_is_still_wanted() {
        let before = table(&["a:12345678"]);
        for (devices, steps) in [(4095, 0), (4096, 1), (8192, 2), (8193, 2)] {
            let lines: Vec<String> = (0..devices).map(|n| format!("lamp-{n}:12345678")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let watch = Watch::default();
            let mut after = table(&lines);
            assert!(after.compare(&before, Cancel::when(&watch)).is_ok());
            assert_eq!(watch.steps(), steps, "{devices}");
            // Devices of the previous table count too.
            let same = table(&lines);
            watch.call_off();
            let compared = after.compare(&same, Cancel::when(&watch));
            assert_eq!(compared.is_err(), steps > 0, "{devices}");
        }
    }

    #[test]
    fn making_the_index_may_be_called_off() {
        let watch = Watch::default();
        assert!(arena(&["a:12345678"]).index(1, Cancel::when(&watch)).is_ok());
        watch.call_off();
        let made = arena(&["a:12345678"]).index(1, Cancel::when(&watch));
        assert_eq!(made.map(|_| ()), Err(IndexError::Cancelled));
    }

    #[test]
    fn an_arena_takes_what_it_has_room_for_and_nothing_of_another_length() {
        let secret = |device_id, primary, secondary| Entry {
            device_id,
            credential: Credential::Secret { primary, secondary },
            frozen: false,
        };
        let (short, long) = ([b's'; 7], [b's'; 40]);
        let id = [b'd'; 129];
        for (entry, is_taken) in [
            (secret(b"d", &[b's'; 8], None), true),
            (secret(&id[..128], &long[..39], Some(&long[..39])), true),
            (secret(b"", &[b's'; 8], None), false),
            (secret(&id, &[b's'; 8], None), false),
            (secret(b"d", &short, None), false),
            (secret(b"d", &long, None), false),
            (secret(b"d", &[b's'; 8], Some(&short)), false),
            (secret(b"d", &[b's'; 8], Some(&long)), false),
        ] {
            let mut arena = Arena::with_capacity(1000).unwrap();
            assert_eq!(arena.push(&entry).is_ok(), is_taken, "{entry:?}");
            let table = arena.index(1, Cancel::NEVER).unwrap().0;
            assert_eq!((table.len(), table.is_empty()), (usize::from(is_taken), !is_taken));
            assert_eq!(table.find(entry.device_id).is_some(), is_taken, "{entry:?}");
        }
        // Two bytes, the id and the secret.
        for (room, is_taken) in [(10, false), (11, true), (21, true)] {
            let mut arena = Arena::with_capacity(room).unwrap();
            assert_eq!(arena.push(&secret(b"d", b"12345678", None)).is_ok(), is_taken, "{room}");
            assert!(arena.push(&secret(b"e", b"12345678", None)).is_err());
            assert_eq!(arena.bytes.capacity(), room, "it does not grow");
        }
    }
}
