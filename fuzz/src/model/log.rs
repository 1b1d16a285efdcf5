//! What the log may say.

use crate::{
    broker::{Around, Seen},
    check,
    secrets::is_marked,
    sent::Sent,
};
use iotda_core::{
    log::read::{self, Sent as Told},
    login::verify::Detail,
};
use std::collections::{BTreeMap, BTreeSet};

const NOTICE: i32 = 2;
/// So long counts what was told, in microseconds.
const MINUTE: i64 = 60_000_000;

/// What is known of the log.
#[derive(Debug, Default)]
pub struct Log {
    /// When the minute began whose refusals are counted, by the clock that only goes on.
    began: Option<i64>,
    /// The reasons and clients that were told for the first time in it, a hundred at the most.
    told: BTreeSet<(&'static str, Vec<u8>)>,
    /// How often each reason was given besides: ten times it is told.
    again: BTreeMap<&'static str, u32>,
    /// Who is asked about now, and when.
    client: Vec<u8>,
    now: i64,
    /// Whether somebody has sent, or is called, what looks like one of our secrets.
    marked_by_others: bool,
}

impl Log {
    /// Something that is no secret, and may be told.
    pub fn allow(&mut self, text: &[u8]) {
        self.marked_by_others |= is_marked(text);
    }

    /// What a client sends may be told, but for its password. `now` is by the clock that only goes on.
    pub fn note_what_was_sent(&mut self, sent: &Sent, around: &Around, now: i64) {
        let client = sent.client_id.as_deref().unwrap_or_default();
        self.client = client.iter().take(256).copied().collect();
        self.now = now;
        if self.began.is_some_and(|began| now - began >= MINUTE) {
            (self.began, self.told, self.again) = Default::default();
        }
        let texts = [&sent.client_id, &sent.username, &around.address];
        texts.into_iter().flatten().for_each(|text| self.allow(text));
    }

    /// Every line is one of ours, and fit for a log.
    pub fn check(&self, seen: &Seen) {
        check!(seen.sent.is_empty(), "a message from nowhere: {seen:?}");
        for (level, line) in &seen.log {
            let text = String::from_utf8_lossy(line);
            check!([1, 2, 4, 8, 16].contains(level), "{level}: {text}");
            check!(line.starts_with(b"iotda-auth: ") && line.len() < 1000, "{text}");
            check!(line.iter().all(|byte| *byte >= b' ' && *byte != 0x7F), "{text:?}");
            check!(!text.contains("internal error") && !text.contains("no thread"), "{text}");
            check!(self.marked_by_others || !is_marked(line), "a secret is told: {text}");
        }
    }

    /// The line about a refusal, which is there or not as the minute's budgets have it.
    pub fn check_refusal(
        &mut self,
        seen: &Seen,
        reason: &'static str,
        detail: &Detail,
        sent: &Sent,
        around: &Around,
        is_hearsay: bool,
    ) {
        let lines: Vec<&Vec<u8>> = refusals(seen).collect();
        check!(lines.len() == usize::from(!self.is_thinned(reason)), "{reason}: {seen:?}");
        self.began.get_or_insert(self.now);
        if self.is_first(reason) {
            self.told.insert((reason, self.client.clone()));
        } else {
            *self.again.entry(reason).or_default() += 1;
        }
        let Some(line) = lines.first() else { return };
        check!(line.len() < 700 && line.is_ascii(), "{line:?}");
        // A line is read back, and each field of it is what it should be: so it has no password.
        let text = std::str::from_utf8(line).expect("ASCII");
        let told = read::parse(text);
        check!(told.is_ok(), "{told:?}: {text}");
        let Ok(told) = told else { return };
        let (address, said) = match is_hearsay {
            true => (None, log_field(" forwarded_for=", &around.address)),
            false => (shown(&around.address), String::new()),
        };
        check!(
            told.reason.id() == reason && told.detail == format!("{detail}{said}"),
            "{reason} {detail:?} {said}: {text}"
        );
        check!(is_told(&told.client, &sent.client_id), "{sent:?}: {text}");
        check!(is_told(&told.user, &sent.username), "{sent:?}: {text}");
        check!(told.address == address.as_deref(), "{around:?}: {text}");
    }

    pub fn says_reason(&self, seen: &Seen, reason: &str) -> bool {
        let field = format!(" reason={reason}");
        let field = field.as_bytes();
        refusals(seen).any(|line| line.windows(field.len()).any(|part| part == field))
    }

    pub fn says_any_reason(&self, seen: &Seen) -> bool {
        refusals(seen).next().is_some()
    }

    /// Whether a refusal of the client that is asked about is left out, if it is for this reason.
    pub fn is_thinned(&self, reason: &'static str) -> bool {
        !self.is_first(reason) && self.again.get(reason).is_some_and(|count| *count >= 10)
    }

    /// Whether a refusal of that client for this reason is told for the first time.
    fn is_first(&self, reason: &'static str) -> bool {
        self.told.len() < 100 && !self.told.contains(&(reason, self.client.clone()))
    }
}

/// An address as a line has it; a dash stands for none.
pub fn shown(address: &Option<Vec<u8>>) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/.:%_-".contains(byte);
    let one = |byte: &u8| if plain(byte) { char::from(*byte) } else { '?' };
    let text: String = address.iter().flatten().take(108).map(one).collect();
    Some(text).filter(|text| !["", "-"].contains(&text.as_str()))
}

/// What a WebSocket says of where it comes from.
fn log_field(name: &str, address: &Option<Vec<u8>>) -> String {
    let text = shown(address).unwrap_or("-".into());
    name.chars().chain(text.chars().take(64)).collect()
}

/// The lines about refused logins, without those about how many were left out.
fn refusals(seen: &Seen) -> impl Iterator<Item = &Vec<u8>> {
    seen.log
        .iter()
        .filter(|(level, line)| {
            *level == NOTICE && line.starts_with(b"iotda-auth: refused client=")
        })
        .map(|(_, line)| line)
}

fn is_told(told: &Option<Told>, sent: &Option<Vec<u8>>) -> bool {
    match (told, sent) {
        (Some(Told { text, cut: true }), Some(sent)) => sent.starts_with(text),
        (Some(Told { text, cut: false }), Some(sent)) => text == sent,
        (None, None) => true,
        _ => false,
    }
}
