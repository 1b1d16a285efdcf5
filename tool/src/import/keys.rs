//! What the keys of JSON objects mean. The same keys come again with each device, so their meaning is kept.

use super::{
    field::{Choices, Field},
    intake::Shape,
};
use serde_core::de::{DeserializeSeed, Deserializer, Error, Visitor};
use std::{collections::HashMap, fmt};

/// What a key of an object stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A field; and which of the [`Keys`] it is.
    Field(Field, usize),
    /// The object that says how a device proves itself.
    AuthInfo,
    /// The devices of an answer.
    Devices,
    /// Which part of all devices an answer has.
    Page,
    Aside,
}

/// The keys of one kind of object.
pub(super) struct Keys {
    /// What is written before a key when it is shown.
    prefix: &'static str,
    known: HashMap<String, Key>,
    names: Vec<String>,
}

impl Keys {
    /// The most keys that are kept: a text may have others in each object.
    const MOST: usize = 256;

    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, known: HashMap::new(), names: Vec::new() }
    }

    /// How a key is written, the prefix included.
    pub(super) fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    fn key(&mut self, name: &str, choices: Choices<'_>, shape: &mut Shape) -> Key {
        if let Some(key) = self.known.get(name) {
            return *key;
        }
        let shown = format!("{}{name}", self.prefix);
        let field = choices.field(name);
        let key = match (name, field) {
            ("auth_info" | "authInfo", _) => Key::AuthInfo,
            ("devices", None) => Key::Devices,
            ("page", None) => Key::Page,
            (_, None) => Key::Aside,
            (_, Some(field)) => Key::Field(field, self.names.len()),
        };
        if matches!(key, Key::Field(..) | Key::Aside) {
            shape.note(&shown, field);
        }
        if self.known.len() < Self::MOST {
            self.known.insert(name.to_owned(), key);
            if matches!(key, Key::Field(..)) {
                self.names.push(shown);
            }
        }
        key
    }
}

/// Reads a key.
pub(super) struct KeySeed<'a> {
    pub(super) keys: &'a mut Keys,
    pub(super) choices: Choices<'a>,
    pub(super) shape: &'a mut Shape,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Key, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        Ok(self.keys.key(name, self.choices, self.shape))
    }
}
