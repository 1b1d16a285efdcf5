//! The devices to import, packed: millions of them must take no more memory than their file.

use iotda_core::registry::edit::{Change, Order, Orders, Proof, Settings};
use std::{collections::HashMap, fmt};
use zeroize::Zeroizing;

/// Where a device stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the files, from 0.
    pub(super) source: usize,
    /// From 1.
    pub(super) line: u64,
    pub(super) list: List,
    /// The number in the list, from 0; 0 outside of lists.
    pub(super) element: u64,
}

/// In which list of a JSON text a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    /// None: the line is enough.
    None,
    /// The text itself is a list.
    Whole,
    /// The list `devices` of an answer.
    Devices,
}

impl fmt::Display for Place {
    /// The path in the JSON text; nothing if the line is enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list {
            List::None => Ok(()),
            List::Whole => write!(f, "[{}]", self.element),
            List::Devices => write!(f, "devices[{}]", self.element),
        }
    }
}

/// How much memory is taken at once: what is packed does not move, so that no copy stays behind.
const CHUNK: usize = 1 << 20;
/// The most bytes of one order: a device id, a proof and a second secret, each with its length, the kind, and two numbers.
const MOST: usize = 1 + 3 * 256 + 2 * 10;

const SECRET: u8 = 1;
const CERTIFICATE: u8 = 2;
const SECONDARY: u8 = 4;
const FROZEN: u8 = 8;
const UNFROZEN: u8 = 16;

/// The orders of an import.
#[derive(Default)]
pub(super) struct Packed {
    update: bool,
    chunks: Vec<Zeroizing<Vec<u8>>>,
    /// Where each order begins. 32 bits are enough: a larger file would not fit a secrets file.
    starts: Vec<u32>,
    stretches: Vec<Stretch>,
    last: Option<Place>,
}

/// Orders from one list. The places of the first and the following ones are numbers since the one before.
struct Stretch {
    first: usize,
    source: usize,
    list: List,
}

/// The devices need more than 4 GiB, which no secrets file may have.
#[derive(Debug)]
pub(super) struct TooMany;

impl Packed {
    pub(super) fn new(update: bool) -> Self {
        Self { update, ..Self::default() }
    }

    /// Adds an order whose values have been checked, behind those of earlier places.
    pub(super) fn push(
        &mut self,
        place: Place,
        device_id: &[u8],
        settings: &Settings<'_>,
    ) -> Result<(), TooMany> {
        let follows = |last: &Place| {
            (last.source, last.list) == (place.source, place.list)
                && last.line <= place.line
                && last.element <= place.element
        };
        let last = self.last.filter(follows).unwrap_or_else(|| {
            let Place { source, list, .. } = place;
            self.stretches.push(Stretch { first: self.starts.len(), source, list });
            Place { line: 0, element: 0, ..place }
        });
        if self.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < MOST) {
            self.chunks.push(Zeroizing::new(Vec::with_capacity(CHUNK)));
        }
        let number = self.chunks.len() - 1;
        let Some(chunk) = self.chunks.last_mut() else { return Ok(()) };
        let start = u32::try_from(number * CHUNK + chunk.len()).map_err(|_| TooMany)?;
        self.starts.push(start);
        pack(chunk, device_id, settings);
        number_to(chunk, place.line - last.line);
        number_to(chunk, place.element - last.element);
        self.last = Some(place);
        Ok(())
    }

    /// An order, and what follows its values.
    fn at(&self, at: usize) -> Option<(&[u8], Settings<'_>, &[u8])> {
        let start = *self.starts.get(at)? as usize;
        unpack(self.chunks.get(start / CHUNK)?.get(start % CHUNK..)?)
    }

    /// The places of some orders, by the orders' numbers.
    pub(super) fn places(&self, wanted: impl IntoIterator<Item = usize>) -> HashMap<usize, Place> {
        let mut wanted: Vec<usize> = wanted.into_iter().collect();
        wanted.sort_unstable();
        let mut wanted = wanted.into_iter().peekable();
        let mut stretches = self.stretches.iter().peekable();
        let mut place = Place { source: 0, line: 0, list: List::None, element: 0 };
        let mut places = HashMap::new();
        for at in 0..self.starts.len() {
            if let Some(Stretch { source, list, .. }) = stretches.next_if(|next| next.first == at) {
                place = Place { source: *source, line: 0, list: *list, element: 0 };
            }
            let Some((_, _, mut rest)) = self.at(at) else { continue };
            place.line += number_of(&mut rest);
            place.element += number_of(&mut rest);
            while wanted.next_if_eq(&at).is_some() {
                places.insert(at, place);
            }
            if wanted.peek().is_none() {
                break;
            }
        }
        places
    }
}

impl Orders for Packed {
    fn count(&self) -> usize {
        self.starts.len()
    }

    fn get(&self, at: usize) -> Option<Order<'_>> {
        let (device_id, settings, _) = self.at(at)?;
        let change = if self.update { Change::Put(settings) } else { Change::Add(settings) };
        Some(Order { device_id, change })
    }
}

fn pack(out: &mut Vec<u8>, device_id: &[u8], settings: &Settings<'_>) {
    let (kind, proof) = match settings.proof {
        Some(Proof::Secret(secret)) => (SECRET, secret),
        Some(Proof::Certificate(value)) => (CERTIFICATE, value),
        // No import asks for another.
        _ => (0, &[][..]),
    };
    let secondary = if settings.secondary.is_some() { SECONDARY } else { 0 };
    let frozen = match settings.frozen {
        Some(true) => FROZEN,
        Some(false) => UNFROZEN,
        None => 0,
    };
    out.push(kind | secondary | frozen);
    for value in [device_id, proof, settings.secondary.flatten().unwrap_or_default()] {
        // The values have been checked: none is as long as this.
        let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
        out.push(length);
        out.extend_from_slice(value.get(..usize::from(length)).unwrap_or_default());
    }
}

fn unpack(bytes: &[u8]) -> Option<(&[u8], Settings<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (device_id, rest) = value(rest)?;
    let (proof, rest) = value(rest)?;
    let (secondary, rest) = value(rest)?;
    let has = |flag| kind & flag != 0;
    let settings = Settings {
        proof: if has(SECRET) {
            Some(Proof::Secret(proof))
        } else {
            has(CERTIFICATE).then_some(Proof::Certificate(proof))
        },
        secondary: has(SECONDARY).then_some(Some(secondary).filter(|value| !value.is_empty())),
        frozen: (has(FROZEN) || has(UNFROZEN)).then_some(has(FROZEN)),
    };
    Some((device_id, settings, rest))
}

fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Writes a number, mostly a small one: seven bits a byte, the lowest first.
fn number_to(out: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

fn number_of(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: u64) -> Place {
        Place { source: 0, line, list: List::None, element: 0 }
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let long = "x".repeat(255);
        let some = |bytes: &'static str| Some(bytes.as_bytes());
        let cases = [
            Settings::default(),
            Settings { proof: Some(Proof::Secret(b"topsecret")), ..Settings::default() },
            Settings { proof: Some(Proof::Certificate(long.as_bytes())), ..Settings::default() },
            Settings { secondary: Some(None), frozen: Some(false), ..Settings::default() },
            Settings { secondary: Some(some("topsecret")), frozen: Some(true), proof: None },
        ];
        let mut packed = Packed::new(true);
        for at in 0..10_000_usize {
            let device_id = format!("{at:0128}");
            packed.push(line(at as u64), device_id.as_bytes(), &cases[at % cases.len()]).unwrap();
        }
        assert!(packed.count() == 10_000 && packed.chunks.len() > 1);
        for at in 0..10_000 {
            let Order { device_id, change } = packed.get(at).unwrap();
            assert_eq!(device_id, format!("{at:0128}").as_bytes());
            let (Change::Put(found), expected) = (change, cases[at % cases.len()]) else {
                panic!()
            };
            let proof = |settings: Settings<'_>| match settings.proof {
                None => None,
                Some(Proof::Secret(value)) => Some((false, value.to_vec())),
                Some(Proof::Certificate(value)) => Some((true, value.to_vec())),
                Some(_) => panic!("an import has no such order"),
            };
            assert_eq!(proof(found), proof(expected));
            assert_eq!((found.secondary, found.frozen), (expected.secondary, expected.frozen));
        }
        assert!(packed.get(10_000).is_none());
    }

    #[test]
    fn places_come_out_again() {
        let in_list = |source, list, line, element| Place { source, line, list, element };
        let places = [
            line(2),
            line(3),
            line(300),
            line(u64::from(u32::MAX) + 7),
            in_list(1, List::Devices, 1, 0),
            in_list(1, List::Devices, 1, 5),
            in_list(1, List::Devices, 9, 1000),
            // Another list in the same file.
            in_list(1, List::Devices, 10, 0),
            in_list(1, List::Whole, 11, 3),
            in_list(2, List::Whole, 1, 0),
        ];
        let mut packed = Packed::new(false);
        for place in places {
            packed.push(place, b"d", &Settings::default()).unwrap();
        }
        assert!(matches!(packed.get(0).unwrap().change, Change::Add(_)));
        let found = packed.places([9, 0, 3, 7, 7, 8, 1, 2, 4, 5, 6, 100]);
        assert_eq!(found.len(), places.len());
        for (at, place) in places.iter().enumerate() {
            assert_eq!(found.get(&at), Some(place), "{at}");
        }
        assert_eq!(place_text(&places), ["", "devices[5]", "[3]"]);
    }

    fn place_text(places: &[Place]) -> [String; 3] {
        [places[0], places[5], places[8]].map(|place| place.to_string())
    }
}
