//! The values of one JSON object, until it is complete.

use super::{
    field::{Field, Given, quoted},
    keys::Keys,
    rows::Fault,
};
use serde_core::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The longest value in bytes that is kept: two SHA-256 fingerprints with colons are shorter.
const MAX_VALUE: usize = 256;

/// A value of a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A text or `null`, which is in the buffer.
    Text,
    Other(&'static str),
}

/// The values of one device, in a memory that is wiped.
#[derive(Default)]
pub(super) struct Keeper {
    slots: [Slot; Field::COUNT],
    /// The first thing that is wrong with the values.
    fault: Option<Fault>,
    /// The value that is being read.
    incoming: Zeroizing<Vec<u8>>,
}

#[derive(Default)]
struct Slot {
    is_given: bool,
    value: Zeroizing<Vec<u8>>,
    /// The key that it had.
    key: String,
}

impl Keeper {
    pub(super) fn clear(&mut self) {
        self.fault = None;
        for slot in &mut self.slots {
            slot.is_given = false;
            slot.value.zeroize();
            slot.key.clear();
        }
    }

    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    pub(super) fn given(&self) -> Given<'_> {
        let mut given = Given::default();
        for (field, slot) in Field::all().zip(&self.slots) {
            if slot.is_given {
                given.set(field, &slot.value);
            }
        }
        given
    }

    /// For the next value.
    pub(super) fn incoming(&mut self) -> ValueSeed<'_> {
        ValueSeed(&mut self.incoming)
    }

    /// Puts the value that was read to its field.
    pub(super) fn put(&mut self, field: Field, found: Found, keys: &Keys, key: usize) {
        let Some(slot) = self.slots.get_mut(field as usize) else { return };
        if let Found::Other(found) = found {
            self.fault.get_or_insert(Fault::Kind { field, found });
            return;
        }
        let value = self.incoming.trim_ascii();
        if slot.is_given && !slot.value.is_empty() {
            // An answer may have the secret twice.
            if !value.is_empty() && slot.value.as_slice() != value {
                let keys = [slot.key.as_str(), keys.name(key)].map(quoted);
                self.fault.get_or_insert(Fault::Twice { field, keys });
            }
            return;
        }
        slot.is_given = true;
        slot.value.zeroize();
        slot.value.reserve_exact(MAX_VALUE);
        slot.value.extend_from_slice(value);
        slot.key.clear();
        slot.key.push_str(keys.name(key));
    }
}

/// Reads a value of a field into a buffer.
pub(super) struct ValueSeed<'a>(&'a mut Zeroizing<Vec<u8>>);

impl ValueSeed<'_> {
    fn text(self, text: &str) -> Found {
        self.0.zeroize();
        if text.len() > MAX_VALUE {
            return Found::Other("a text that is too long");
        }
        self.0.reserve_exact(MAX_VALUE);
        self.0.extend_from_slice(text.as_bytes());
        Found::Text
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Found, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found, E> {
        Ok(self.text(text))
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(self.text(""))
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Found, E> {
        // For `frozen`; no other field has such words.
        Ok(self.text(if is { "true" } else { "false" }))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Other(NUMBER))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Other(NUMBER))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Other(NUMBER))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Other(LIST))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Other(OBJECT))
    }
}

// The kinds of values, for messages.
pub(super) const TEXT: &str = "a text";
pub(super) const NUMBER: &str = "a number";
pub(super) const NULL: &str = "null";
pub(super) const BOOL: &str = "true or false";
pub(super) const LIST: &str = "a list";
pub(super) const OBJECT: &str = "an object";
