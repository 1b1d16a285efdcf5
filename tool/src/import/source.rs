//! Which files are imported? One, all of a folder, or standard input.

use super::{
    csv,
    intake::{Intake, Shape, Stop},
    json,
    sniff::NotText,
    text::Text,
};
use crate::{
    secret,
    terminal::{Failure, shown},
};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufRead, Read},
    path::{Path, PathBuf},
};

/// The endings of the files of a folder that are read.
const ENDINGS: [&str; 4] = ["csv", "json", "jsonl", "txt"];

/// The files of an import.
pub(super) struct Sources {
    pub(super) files: Vec<PathBuf>,
    /// The other names in the folder, if it is one.
    pub(super) passed_over: Vec<String>,
}

impl Sources {
    /// The files that a path stands for.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") || !path.is_dir() {
            return Ok(Self { files: vec![path.to_owned()], passed_over: Vec::new() });
        }
        let cannot =
            |error: io::Error| Failure::new(format!("{}: cannot be read: {error}", shown(path)));
        let mut entries = fs::read_dir(path)
            .and_then(|entries| {
                entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
            })
            .map_err(cannot)?;
        entries.sort_unstable();
        let (files, others): (Vec<PathBuf>, Vec<PathBuf>) =
            entries.into_iter().partition(|path| has_ending(path) && path.is_file());
        if files.is_empty() {
            let folder = shown(path);
            return Err(Failure::new(format!(
                "{folder}: expected a folder with .csv, .json, .jsonl or .txt files, found none of them in it"
            )));
        }
        let names = others.iter().filter_map(|path| path.file_name());
        let passed_over = names.map(|name| name.to_string_lossy().into_owned()).collect();
        Ok(Self { files, passed_over })
    }
}

fn has_ending(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    !is_hidden && ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path, intake: &mut Intake<'_>) -> Result<Shape, Failure> {
    let input = if path == Path::new("-") { secret::input() } else { File::open(path) };
    let shape = match input {
        Ok(input) => read_from(input, intake),
        Err(error) => Err(Stop::Io(error)),
    };
    shape.map_err(|stop| Failure::new(format!("{}: {stop}", shown(path))))
}

/// Reads an input, by what it is.
pub(super) fn read_from(input: impl Read, intake: &mut Intake<'_>) -> Result<Shape, Stop> {
    let mut text = Text::open(input).map_err(Stop::Io)?.map_err(Stop::NotText)?;
    if let Err(error) = text.fill_buf() {
        return Err(text.failure(error));
    }
    let (seen, _) = text.peek();
    match seen.trim_ascii_start().first() {
        None if seen.is_empty() => Err(Stop::NotText(NotText::Empty)),
        Some(b'{' | b'[') => json::read(&mut text, intake),
        Some(b'<') => Err(Stop::NotText(NotText::Markup)),
        _ => csv::read(&mut text, intake),
    }
}
