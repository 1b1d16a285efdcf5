//! Which files does an `include_dir` add, in which order? (`conf_includedir.c`)

use std::{
    cmp::Ordering,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// The files whose names end in `.conf`, and are longer than that.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().into_vec();
        if name.len() > 5 && name.ends_with(b".conf") {
            names.push(name);
        }
    }
    names.sort_by(|one, other| order(one, other));
    Ok(names.iter().map(|name| folder.join(std::ffi::OsStr::from_bytes(name))).collect())
}

/// By letters without their case, where these differ first; bytes are signed numbers.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let signed = |byte: u8| i8::from_ne_bytes([byte]);
    let key = |byte: &u8| (signed(byte.to_ascii_uppercase()), signed(*byte));
    one.iter().map(key).cmp(other.iter().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_the_brokers_order() {
        let mut names =
            ["b.conf", "A.conf", "a.conf", "B.conf", "a1.conf", "\u{e4}.conf", "a-.conf"];
        names.sort_by(|one, other| order(one.as_bytes(), other.as_bytes()));
        assert_eq!(
            names,
            ["\u{e4}.conf", "A.conf", "a-.conf", "a.conf", "a1.conf", "B.conf", "b.conf"]
        );
    }
}
