//! What becomes of the table in force, and of who is logged in, when the file is read again.

use super::Model;
use crate::{
    broker::{Kick, Seen},
    check,
};
use reference_model::{ReferenceFile, reference_file};

/// A secrets file.
#[derive(Clone, Debug)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub mode: u32,
    pub devices: ReferenceFile,
    /// Whether a table can be made of it.
    pub is_good: bool,
    pub ends_in_newline: bool,
}

impl Content {
    pub fn new(bytes: Vec<u8>, mode: u32) -> Self {
        let (devices, wrong) = reference_file(&bytes);
        let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        let ends_in_newline = text.is_empty() || text.ends_with(b"\n");
        let is_good = wrong.is_empty() && mode & 0o002 == 0;
        Self { devices, is_good, ends_in_newline, bytes, mode }
    }
}

/// No table has come into force, and none was found wrong.
pub(super) fn check_no_news(seen: &Seen) {
    let is_news = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        ["reloaded in ", "not reloaded, ", "disconnected client="].iter().any(|begin| {
            line.strip_prefix("iotda-auth: ").is_some_and(|line| line.starts_with(begin))
        }) && !line.contains(" reason=new_login ")
    };
    check!(!seen.log.iter().any(|(_, line)| is_news(line)), "no time for another table: {seen:?}");
}

impl Model {
    /// Takes in what the log says of the file. Says whether that is anything.
    pub(super) fn news<'a>(
        &mut self,
        seen: &Seen,
        kicks: &mut impl Iterator<Item = &'a Kick>,
    ) -> bool {
        let mut news = false;
        for (_, line) in &seen.log {
            let line = String::from_utf8_lossy(line);
            if let Some(words) = line.strip_prefix("iotda-auth: reloaded in ") {
                self.check_is_taken(true, &line);
                self.put_in_force(words, kicks);
                news = true;
            } else if line.starts_with("iotda-auth: not reloaded, ") {
                self.check_is_taken(false, &line);
                news = true;
            }
        }
        if news && self.requests == 1 {
            self.requests = 0;
        }
        news
    }

    fn check_is_taken(&mut self, found: bool, line: &str) {
        let empties = self.content.devices.is_empty() && !self.devices.is_empty();
        let cut_off = self.ends_in_newline && !self.content.ends_in_newline;
        let expected = self.content.is_good && !empties && !cut_off;
        check!(self.requests > 0 && found == expected, "{line}: {:?}", self.content);
        if found {
            self.ends_in_newline = self.content.ends_in_newline;
        }
    }

    fn put_in_force<'a>(&mut self, words: &str, kicks: &mut impl Iterator<Item = &'a Kick>) {
        let before = std::mem::replace(&mut self.devices, self.content.devices.clone());
        let (now, before) = (self.devices.clone(), &before);
        let kept = now.keys().filter(|id| before.contains_key(*id)).count();
        let changed =
            now.iter().filter(|(id, device)| before.get(*id).is_some_and(|was| was != *device));
        let ended: Vec<usize> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_live)
            .filter(|(_, session)| match now.get(&session.device_id) {
                Some(device) => {
                    let is_changed = before.get(&session.device_id) != Some(device);
                    device.frozen || is_changed && !session.is_proved_by(&device.proof)
                }
                None => true,
            })
            .map(|(slot, _)| *slot)
            .collect();
        let count = ended.len();
        self.ended(&ended, kicks);
        let numbers = [
            now.len(),
            now.len() - kept,
            before.len() - kept,
            changed.count(),
            self.sessions.values().filter(|session| session.is_live).count(),
            count,
        ];
        let told: Vec<usize> =
            words.split([' ', ',', ';', ':']).filter_map(|word| word.parse().ok()).collect();
        check!(told == numbers, "{words}: {numbers:?}");
    }
}
