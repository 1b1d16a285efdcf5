//! A secrets file of any bytes: what is loaded, what is told of an error, and what an edit makes of it.
//!
//! The input has the orders for the edit, and then the file.

#![no_main]

use iotda_core::registry::{
    Cancel, Changes, LoadError, Table,
    edit::{self, Change, Order, Problem, Proof, Settings},
    line::LineFault,
    read::{Content, read as read_file},
};
use libfuzzer_sys::fuzz_target;
use mosquitto_iotda_auth_fuzz::{input::Input, secrets};
use reference_model::{
    ReferenceDevice, ReferenceFile, ReferenceLine, ReferenceProof, is_name, reference_file,
    reference_line,
};
use std::{
    collections::BTreeSet,
    io::{self, Read},
};

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let step = usize::from(input.byte());
    let wishes: Vec<Wish> = (0..input.below(4)).map(|_| Wish::choose(&mut input)).collect();
    let file = input.rest();

    let (devices, wrong) = reference_file(file);
    let loaded = read(file);
    assert_eq!(format!("{:?}", loaded), format!("{:?}", load_by_steps(file, step)));
    match loaded {
        Ok(Content { table, ends_in_newline }) => {
            assert!(wrong.is_empty(), "lines {wrong:?} went unnoticed");
            assert_eq!(reference_of(&table), devices);
            let text = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
            assert_eq!(ends_in_newline, text.is_empty() || text.ends_with(b"\n"));
            edit(file, &table, &devices, &wishes);
        }
        Err(LoadError::Lines(errors)) => {
            let told: Vec<u64> = errors.first.iter().map(|(line, _)| *line).collect();
            assert_eq!((told, errors.total), (wrong.clone(), wrong.len() as u64));
            // Nobody promises what becomes of such a file, but that nothing breaks.
            let _ = edit::apply(file, &orders(&wishes, &devices));
        }
        Err(error) => panic!("{error}"),
    }
    if let Some(other) = disguise(file) {
        assert_eq!(words(file), words(&other), "an error depends on what is secret");
    }
});

fn read(file: &[u8]) -> Result<Content, LoadError> {
    read_file(file, file.len() as u64, usize::MAX, Cancel::NEVER)
}

/// Gives so many bytes at a time.
struct Steps<'a>(&'a [u8], usize);

impl Read for Steps<'_> {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        let length = self.0.len().min(place.len()).min(self.1);
        place[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

fn load_by_steps(file: &[u8], step: usize) -> Result<Content, LoadError> {
    read_file(Steps(file, step.max(1)), file.len() as u64, usize::MAX, Cancel::NEVER)
}

fn reference_of(table: &Table) -> ReferenceFile {
    let devices: ReferenceFile =
        table.iter().map(|(id, device)| (id.to_vec(), ReferenceDevice::of(&device))).collect();
    assert_eq!(table.len(), devices.len());
    for (id, device) in &devices {
        assert_eq!(ReferenceDevice::of(&table.find(id).expect("the device")), *device);
    }
    devices
}

/// All that is told of a file's errors.
fn words(file: &[u8]) -> String {
    match read(file) {
        Ok(_) => String::new(),
        Err(LoadError::Lines(errors)) => {
            errors.first.iter().map(|(line, fault)| format!("{line}: {fault}\n")).collect()
        }
        Err(error) => error.to_string(),
    }
}

/// The same file with other letters and digits in it, of the same kinds. `None` where one of its texts would become a word
/// of the format.
fn disguise(file: &[u8]) -> Option<Vec<u8>> {
    let lines = file.split(|byte| *byte == b'\n').map(|line| {
        let fields = line.split(|byte| *byte == b':').enumerate().map(|(number, field)| {
            let word: &[u8] = match number {
                0 => b"",
                1 => b"x509=",
                _ => b"secondary=",
            };
            let trimmed = field.trim_ascii_end();
            if number > 1 && trimmed == b"frozen" {
                return Some(field.to_vec());
            }
            match field.strip_prefix(word) {
                Some(value) => Some([word, &other_letters(value)].concat()),
                None => Some(other_letters(field)).filter(|other| {
                    !other.starts_with(word) && other.trim_ascii_end() != b"frozen"
                }),
            }
        });
        Some(fields.collect::<Option<Vec<_>>>()?.join(&b':'))
    });
    Some(lines.collect::<Option<Vec<_>>>()?.join(&b'\n'))
}

fn other_letters(text: &[u8]) -> Vec<u8> {
    let next = |byte: u8, first: u8, last: u8| if byte == last { first } else { byte + 1 };
    text.iter()
        .map(|byte| match *byte {
            b'0'..=b'9' => next(*byte, b'0', b'9'),
            b'a'..=b'f' => next(*byte, b'a', b'f'),
            b'g'..=b'z' => next(*byte, b'g', b'z'),
            b'A'..=b'F' => next(*byte, b'A', b'F'),
            b'G'..=b'Z' => next(*byte, b'G', b'Z'),
            other => other,
        })
        .collect()
}

/// A change that is asked for.
struct Wish {
    which: u8,
    name: Vec<u8>,
    kind: u8,
    proof: Option<Either>,
    secondary: Option<Option<Vec<u8>>>,
    frozen: Option<bool>,
}

/// A secret, or fingerprints: their text, and what it says.
enum Either {
    Secret(Vec<u8>),
    Certificate(Vec<u8>, Option<Vec<Vec<u8>>>),
}

impl Wish {
    fn choose(input: &mut Input<'_>) -> Self {
        Self {
            which: input.byte(),
            name: input.text_or(b"64a1f0c2_new"),
            kind: input.below(4),
            proof: match input.below(3) {
                0 => Some(Either::Secret(input.text_or(b"s3cr3t-new"))),
                1 => {
                    let (text, digests) = secrets::fingerprints(input);
                    Some(Either::Certificate(text, digests))
                }
                _ => None,
            },
            secondary: match input.below(3) {
                0 => None,
                1 => Some(Some(input.text_or(b"s3cr3t-second"))),
                _ => Some(None),
            },
            frozen: input.pick([None, Some(true), Some(false)]),
        }
    }

    fn device_id<'a>(&'a self, devices: &'a ReferenceFile) -> &'a [u8] {
        devices.keys().nth(usize::from(self.which) % (devices.len() + 1)).unwrap_or(&self.name)
    }

    fn settings(&self) -> Settings<'_> {
        Settings {
            proof: self.proof.as_ref().map(|proof| match proof {
                Either::Secret(secret) => Proof::Secret(secret),
                Either::Certificate(text, _) => Proof::Certificate(text),
            }),
            secondary: self.secondary.as_ref().map(Option::as_deref),
            frozen: self.frozen,
        }
    }

    /// What the device is to be; `None` if that cannot be.
    fn device(&self, before: Option<&ReferenceDevice>) -> Option<ReferenceDevice> {
        let old = before.map(|device| &device.proof);
        let second = self.secondary.as_ref().and_then(Option::as_ref);
        let good = |secret: &Vec<u8>| is_name(secret, 8, 32);
        if !second.is_none_or(good) {
            return None;
        }
        let first = match (&self.proof, old) {
            (Some(Either::Secret(secret)), _) => Some(secret),
            (None, Some(ReferenceProof::Secrets(secrets))) => secrets.first(),
            _ => None,
        };
        let proof = match (&self.proof, old) {
            (Some(Either::Certificate(_, digests)), _) => {
                ReferenceProof::Certificates(digests.clone()?)
            }
            (None, Some(ReferenceProof::Certificates(digests))) => {
                ReferenceProof::Certificates(digests.clone())
            }
            _ => {
                let kept = match old {
                    Some(ReferenceProof::Secrets(secrets)) => secrets.get(1),
                    _ => None,
                };
                let second = if self.secondary.is_some() { second } else { kept };
                ReferenceProof::Secrets(
                    [Some(first.filter(|secret| good(secret))?), second]
                        .into_iter()
                        .flatten()
                        .cloned()
                        .collect(),
                )
            }
        };
        if matches!(proof, ReferenceProof::Certificates(_)) && second.is_some() {
            return None;
        }
        let was_frozen = before.is_some_and(|device| device.frozen);
        Some(ReferenceDevice { proof, frozen: self.frozen.unwrap_or(was_frozen) })
    }
}

fn orders<'a>(wishes: &'a [Wish], devices: &'a ReferenceFile) -> Vec<Order<'a>> {
    let order = |wish: &'a Wish| Order {
        device_id: wish.device_id(devices),
        change: match wish.kind {
            0 => Change::Add(wish.settings()),
            1 => Change::Set(wish.settings()),
            2 => Change::Put(wish.settings()),
            _ => Change::Remove,
        },
    };
    wishes.iter().map(order).collect()
}

/// The devices after all changes; `None` if one of them cannot be.
fn changed(devices: &ReferenceFile, wishes: &[Wish]) -> Option<ReferenceFile> {
    let mut after = devices.clone();
    let mut asked = BTreeSet::new();
    for wish in wishes {
        let id = wish.device_id(devices);
        if !is_name(id, 1, 128) || !asked.insert(id) {
            return None;
        }
        let before = devices.get(id);
        let has_certificate =
            before.is_some_and(|device| matches!(device.proof, ReferenceProof::Certificates(_)));
        let asks_secret = matches!(wish.proof, Some(Either::Secret(_))) || wish.secondary.is_some();
        match wish.kind {
            0 if before.is_some() => return None,
            1 if before.is_none() || has_certificate && asks_secret => return None,
            3 => drop(after.remove(id)?),
            _ => drop(after.insert(id.to_vec(), wish.device(before)?)),
        }
    }
    Some(after)
}

/// Edits a file without wrong lines.
fn edit(file: &[u8], table: &Table, devices: &ReferenceFile, wishes: &[Wish]) {
    let orders = orders(wishes, devices);
    let expected = changed(devices, wishes);
    let edited = match edit::apply(file, &orders) {
        Ok(edited) => edited,
        Err(problems) => {
            let too_long =
                |(_, problem): &(usize, Problem)| *problem == Problem::Line(LineFault::TooLong);
            // Blanks count, and the reference model does not know how many a line has.
            assert!(expected.is_none() || problems.first.iter().any(too_long), "{problems:?}");
            return;
        }
    };
    let expected = expected.expect("a change that cannot be");
    let content = edited.content.as_ref();
    let loaded = read(content).unwrap_or_else(|error| panic!("made a file that {error}"));
    assert_eq!(reference_of(&loaded.table), expected);
    assert_eq!((edited.devices, edited.is_unchanged()), (expected.len(), content == file));
    if content != file {
        assert!(content.is_empty() || content == b"\xEF\xBB\xBF" || content.ends_with(b"\n"));
    }
    let mark = b"\xEF\xBB\xBF";
    assert_eq!(file.starts_with(mark), content.starts_with(mark));
    let asked: BTreeSet<&[u8]> = orders.iter().map(|order| order.device_id).collect();
    assert_eq!(other_lines(file, &asked), other_lines(content, &asked));

    let mut new = loaded.table;
    let same = |id: &Vec<u8>| devices.get(id) == expected.get(id);
    let kept = devices.keys().filter(|id| expected.contains_key(*id)).count();
    let changes = Changes {
        added: expected.len() - kept,
        removed: devices.len() - kept,
        changed: devices.keys().filter(|id| expected.contains_key(*id) && !same(id)).count(),
    };
    assert_eq!(new.compare(table, Cancel::NEVER), Ok(changes));
    for (id, device) in new.iter() {
        assert_eq!(device.changed, devices.contains_key(id) && !same(&id.to_vec()));
    }
}

/// The lines that no order is about. The last may have been without an end.
fn other_lines<'a>(file: &'a [u8], asked: &BTreeSet<&[u8]>) -> Vec<&'a [u8]> {
    let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
    let mut lines: Vec<&[u8]> = file.split(|byte| *byte == b'\n').collect();
    if lines.last() == Some(&b"".as_slice()) {
        lines.pop();
    }
    lines.retain(|line| match reference_line(line) {
        ReferenceLine::Device(id, _) => !asked.contains(id.as_slice()),
        _ => true,
    });
    lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect()
}
