//! The content of a process's memory.

use crate::broker::wait;
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

/// The places of a text in the memory of a process: a line of its memory map for each.
///
/// # Panics
///
/// If the system does not show the memory: without a search, a text must not count as absent. Nor after a search during which the
/// memory was mapped anew, which may have missed what it looked for: such a search is made again.
pub fn places_of(pid: u32, text: &[u8]) -> Vec<String> {
    let maps = || fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    wait(|| {
        let before = maps();
        let places = search(pid, &before, text);
        (maps() == before).then_some(places)
    })
    .expect("the memory of a broker stays as it is for the time of a search")
}

fn search(pid: u32, maps: &str, text: &[u8]) -> Vec<String> {
    const CHUNK: usize = 1 << 20;
    let memory = File::open(format!("/proc/{pid}/mem")).expect("the memory of a child");
    let finder = memchr::memmem::Finder::new(text);
    let mut buffer = vec![0; CHUNK + text.len() - 1];
    let mut places = Vec::new();
    let mut seen = 0;
    for map in maps.lines() {
        let mut words = map.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        // The kernel's own pages cannot be read, and hold no data of the program.
        if !rights.starts_with('r') || map.ends_with("[vvar]") || map.ends_with("[vsyscall]") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        for at in (start..end).step_by(CHUNK) {
            let length = buffer.len().min(usize::try_from(end - at).unwrap());
            let Ok(read) = memory.read_at(&mut buffer[..length], at) else { continue };
            seen += read;
            places.extend(
                finder
                    .find_iter(&buffer[..read])
                    .map(|offset| format!("{:x} in {map}", at + offset as u64)),
            );
        }
    }
    assert!(seen > 1 << 20, "of a broker's memory, {seen} bytes could be read");
    places
}
