//! The devices of a JSON text: one object, objects one after the other, a list of them, or an answer with a list `devices`.
//!
//! They come out one by one, so that a text of any size needs little memory.

use super::{
    intake::{Intake, Kind, Shape, Stop},
    keeper::{BOOL, Keeper, LIST, NULL, NUMBER, OBJECT, TEXT},
    keys::{Key, KeySeed, Keys},
    orders::{List, Place, TooMany},
    text::{Spot, Text},
};
use serde_core::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use std::{
    cell::Cell,
    fmt,
    io::{BufRead, Read},
    rc::Rc,
};

/// Reads a JSON text to its end.
pub(super) fn read<R: Read>(text: &mut Text<R>, intake: &mut Intake<'_>) -> Result<Shape, Stop> {
    let mut reading = Reading {
        spot: text.spot(),
        shape: Shape::new(Kind::Json, text.encoding()),
        keys: Keys::new(""),
        auth_keys: Keys::new("auth_info."),
        spare: Vec::new(),
        intake,
        too_many: false,
    };
    while has_more(text)? {
        let value = Value { reading: &mut reading, place: (List::None, 0) };
        let mut json = serde_json::Deserializer::from_reader(&mut *text);
        let result = value.deserialize(&mut json);
        if reading.too_many {
            return Err(Stop::TooMany);
        }
        let Err(error) = result else { continue };
        if let Some(fault) = text.fault() {
            return Err(Stop::NotText(fault));
        }
        if error.is_io() {
            return Err(Stop::Io(error.into()));
        }
        reading.is_broken(error.classify() == Category::Eof);
        break;
    }
    Ok(reading.shape)
}

/// Passes over blanks; whether something follows.
fn has_more<R: Read>(text: &mut Text<R>) -> Result<bool, Stop> {
    loop {
        let input = match text.fill_buf() {
            Ok(input) => input,
            Err(error) => return Err(text.failure(error)),
        };
        let blanks = input.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if blanks == 0 {
            return Ok(!input.is_empty());
        }
        text.consume(blanks);
    }
}

/// What is kept while a text is read.
struct Reading<'r, 'i> {
    spot: Rc<Cell<Spot>>,
    shape: Shape,
    keys: Keys,
    auth_keys: Keys,
    /// For the next objects, so that each need not be made anew.
    spare: Vec<Keeper>,
    intake: &'r mut Intake<'i>,
    too_many: bool,
}

impl Reading<'_, '_> {
    /// The place of what is read now.
    fn place(&self, (list, element): (List, u64)) -> Place {
        Place { source: self.intake.source, line: self.spot.get().line, list, element }
    }

    fn take(&mut self, place: Place, keeper: &Keeper) -> Result<(), TooMany> {
        let given = keeper.given();
        let Some(fault) = keeper.fault() else { return self.intake.take(place, &given) };
        self.intake.wrong(place, &given, fault);
        Ok(())
    }

    /// The text is no JSON from here on.
    fn is_broken(&mut self, is_cut: bool) {
        let place = self.place((List::None, 0));
        let column = self.spot.get().column.saturating_sub(1).max(1);
        self.intake.errors.add(place, || {
            if is_cut {
                "expected more JSON, found the end of the file: it is cut off".into()
            } else {
                format!(
                    "column {column}: expected JSON, found something else: nothing behind it is read"
                )
            }
        });
    }
}

/// A value where a device is expected, or devices.
struct Value<'v, 'r, 'i> {
    reading: &'v mut Reading<'r, 'i>,
    place: (List, u64),
}

impl Value<'_, '_, '_> {
    fn not_a_device<E>(self, found: &'static str) -> Result<(), E> {
        let place = self.reading.place(self.place);
        let text = || format!("expected an object with a device_id, found {found}");
        self.reading.intake.errors.add(place, text);
        Ok(())
    }

    /// Reads the members of an object.
    fn members<'de, A: MapAccess<'de>>(
        self,
        keeper: &mut Keeper,
        mut map: A,
    ) -> Result<(), A::Error> {
        let Self { reading, place } = self;
        let may_have_list = place.0 != List::Devices;
        let place = reading.place(place);
        let (mut listed, mut all) = (None, 0);
        loop {
            let key = map.next_key_seed(KeySeed {
                keys: &mut reading.keys,
                choices: reading.intake.choices,
                shape: &mut reading.shape,
            })?;
            match key {
                None => break,
                Some(Key::Field(field, key)) => {
                    let found = map.next_value_seed(keeper.incoming())?;
                    keeper.put(field, found, &reading.keys, key);
                }
                Some(Key::AuthInfo) => {
                    map.next_value_seed(AuthInfo { reading: &mut *reading, keeper: &mut *keeper })?;
                }
                Some(Key::Devices) if may_have_list => {
                    let list = List::Devices;
                    let found = map.next_value_seed(Elements { reading: &mut *reading, list })?;
                    listed = Some(listed.unwrap_or(0) + found);
                }
                Some(Key::Page) if may_have_list => all = map.next_value_seed(Page)?,
                Some(Key::Devices | Key::Page | Key::Aside) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let taken = match listed {
            Some(listed) => {
                reading.intake.skipped.other_pages += all.saturating_sub(listed);
                Ok(())
            }
            None => reading.take(place, keeper),
        };
        taken.map_err(|TooMany| {
            reading.too_many = true;
            A::Error::custom("too many devices")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

/// Visits of values that are none of those that are expected; `$is` gets the visitor and what was found.
macro_rules! others {
    ($is:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("another value")
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            $is(self, TEXT)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            $is(self, NULL)
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            $is(self, BOOL)
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            $is(self, NUMBER)
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            $is(self, NUMBER)
        }
    };
}

/// The number of a list's element, or of the devices in all pages.
macro_rules! number {
    ($is:expr) => {
        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            $is(self, number)
        }
    };
}

/// A list where none is expected.
macro_rules! no_list {
    ($is:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            $is(self, LIST)
        }
    };
}

impl<'de> Visitor<'de> for Value<'_, '_, '_> {
    type Value = ();

    others!(Self::not_a_device);
    number!(|value: Self, _| value.not_a_device(NUMBER));

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.place.0 == List::None {
            let elements = Elements { reading: self.reading, list: List::Whole };
            return elements.visit_seq(list).map(|_| ());
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.not_a_device(LIST)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let mut keeper = self.reading.spare.pop().unwrap_or_default();
        keeper.clear();
        let Self { reading, place } = self;
        let result = Value { reading: &mut *reading, place }.members(&mut keeper, map);
        reading.spare.push(keeper);
        result
    }
}

/// The list of an answer, or the text itself as a list. Gives the number of its elements.
struct Elements<'v, 'r, 'i> {
    reading: &'v mut Reading<'r, 'i>,
    list: List,
}

impl Elements<'_, '_, '_> {
    fn not_a_list<E>(self, found: &'static str) -> Result<u64, E> {
        let place = self.reading.place((List::None, 0));
        let text = || format!("devices: expected a list, found {found}");
        self.reading.intake.errors.add(place, text);
        Ok(0)
    }
}

impl<'de> DeserializeSeed<'de> for Elements<'_, '_, '_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<u64, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, '_> {
    type Value = u64;

    others!(Self::not_a_list);
    number!(|value: Self, _| value.not_a_list(NUMBER));

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let mut element = 0;
        loop {
            let value = Value { reading: &mut *self.reading, place: (self.list, element) };
            if list.next_element_seed(value)?.is_none() {
                return Ok(element);
            }
            element += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.not_a_list(OBJECT)
    }
}

/// The object that says how a device proves itself; `null` says nothing.
struct AuthInfo<'v, 'k, 'r, 'i> {
    reading: &'v mut Reading<'r, 'i>,
    keeper: &'k mut Keeper,
}

impl AuthInfo<'_, '_, '_, '_> {
    fn ignored<E>(self, _: &'static str) -> Result<(), E> {
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for AuthInfo<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AuthInfo<'_, '_, '_, '_> {
    type Value = ();

    others!(Self::ignored);
    number!(|value: Self, _| value.ignored(NUMBER));
    no_list!(Self::ignored);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { reading, keeper } = self;
        loop {
            let key = map.next_key_seed(KeySeed {
                keys: &mut reading.auth_keys,
                choices: reading.intake.choices,
                shape: &mut reading.shape,
            })?;
            match key {
                None => return Ok(()),
                Some(Key::Field(field, key)) => {
                    let found = map.next_value_seed(keeper.incoming())?;
                    keeper.put(field, found, &reading.auth_keys, key);
                }
                Some(_) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
    }
}

/// What an answer says of its pages: the number of the devices in all of them, 0 if it does not say.
struct Page;

impl Page {
    fn unknown<E>(self, _: &'static str) -> Result<u64, E> {
        Ok(0)
    }
}

impl<'de> DeserializeSeed<'de> for Page {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<u64, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Page {
    type Value = u64;

    others!(Self::unknown);
    number!(|_, number| Ok(number));
    no_list!(Self::unknown);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut count = 0;
        while let Some(key) = map.next_key::<String>()? {
            if key == "count" {
                count = map.next_value_seed(Self)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(count)
    }
}
