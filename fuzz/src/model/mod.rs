//! What the plugin should do: who is logged in, and what that means for each event.

mod down;
mod failures;
mod log;
mod reload;
mod takeovers;

pub use log::Log;
pub use reload::Content;

use crate::{
    answer::{Answer, answer, codes},
    broker::{AUTH, Around, DEFER, Kick, Known, SUCCESS, Seen, Stands, WEB_SOCKET},
    check,
    rules::Wanted,
    secrets::is_certificate_of,
    sent::{Sent, password},
};
use down::Down;
use failures::Failures;
use iotda_core::login::{Kind, verify::Detail};
use reference_model::{ReferenceClientId, ReferenceFile, ReferenceProof, reference_client_id};
use reload::check_no_news;
use std::{collections::BTreeMap, net::IpAddr};
use takeovers::Takeovers;

/// A running plugin.
pub struct Model {
    pub is_2_1: bool,
    pub wanted: Wanted,
    /// The devices in force.
    pub devices: ReferenceFile,
    /// What the file holds now.
    pub content: Content,
    /// Whether the content that was read last and found good ends in a newline.
    pub ends_in_newline: bool,
    /// How many times it was told to read the file, since it was known to have done so.
    pub requests: u32,
    /// By the broker's clients.
    pub sessions: BTreeMap<usize, Session>,
    pub log: Log,
    /// Unix seconds, and microseconds that only go on.
    pub wall: i64,
    pub steady: i64,
    /// When the last TICK came, by the wall's clock.
    last_tick: Option<i64>,
    /// Whether it is known that the broker asks for its sessions: since RELOAD, or since it was asked for the first of them,
    /// until the next CONNECT or TICK.
    sweep_is_known: bool,
    /// Whether the log has been told that RELOAD was kept from the plugin.
    missed_reload_told: bool,
    /// Whether the log has been told that a broker lets devices in without asking.
    unasked_told: bool,
    /// When the plugin started, in microseconds that only go on.
    started: i64,
    failures: Failures,
    /// Whether a device has taken itself over so often that it is told.
    often: bool,
    pub down: Down,
    /// Clients that are to be told during this call, for nobody was asked about them.
    unasked: usize,
}

/// A login that was accepted, and whose client is not known to be gone.
#[derive(Clone, Debug)]
pub struct Session {
    client_id: Vec<u8>,
    device_id: Vec<u8>,
    /// What the broker knows it by.
    name: Vec<u8>,
    /// If it had the length of one.
    password: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    /// Where it came from, if that is certain.
    address: Option<Vec<u8>>,
    /// Neither told to end nor taken over.
    is_live: bool,
    /// Whether a kick only marks it.
    closes_late: bool,
    takeovers: Takeovers,
}

/// Why the broker asks, as far as the plugin can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Connect,
    Online,
    Offline,
}

/// Whether it is as long as a password is.
fn has_length(text: &[u8]) -> bool {
    text.len() == 64
}

impl Model {
    /// A plugin that has started with these options and this file.
    pub fn new(is_2_1: bool, wanted: Wanted, content: Content, wall: i64, steady: i64) -> Self {
        Self {
            is_2_1,
            wanted,
            devices: content.devices.clone(),
            ends_in_newline: content.ends_in_newline,
            content,
            requests: 0,
            sessions: BTreeMap::new(),
            log: Log::default(),
            wall,
            steady,
            last_tick: None,
            sweep_is_known: false,
            missed_reload_told: false,
            unasked_told: false,
            started: steady,
            failures: Failures::default(),
            often: false,
            down: Down::default(),
            unasked: 0,
        }
    }

    /// DISCONNECT or CLIENT_OFFLINE, of which the plugin was told.
    pub fn gone(&mut self, slot: usize, known: Option<&Known>, seen: &Seen) {
        check!(seen.code == SUCCESS && seen.kicks.is_empty(), "a client that is gone: {seen:?}");
        self.log.check(seen);
        self.leaves(slot, known);
        check!(seen.log.len() == self.unasked, "a client that is gone: {seen:?}");
        self.check_unasked(seen);
    }

    /// A client is gone, if it was there. If nobody had checked it, that should be told: a 2.0 says nothing when it comes.
    fn leaves(&mut self, slot: usize, known: Option<&Known>) {
        let was_there = self.sessions.remove(&slot).is_some();
        let Some(known) = known.filter(|_| !was_there && !self.is_2_1) else { return };
        let was_let_in = matches!(known.stands, Stands::Online | Stands::Closing);
        let is_told = was_let_in
            && is_proved(known)
            && self.is_name_of_a_device(&known.sent.client_id)
            && !self.unasked_told;
        self.unasked_told |= is_told;
        self.unasked += usize::from(is_told);
    }

    fn check_unasked(&mut self, seen: &Seen) {
        let told = std::mem::take(&mut self.unasked);
        let lines = lines(seen, "not asked about client=");
        check!(lines.len() == told, "{told} clients that were let in unasked: {seen:?}");
        check!(lines.iter().all(|(level, _)| *level == ERROR), "{seen:?}");
    }

    /// Those whose ends the plugin was told of while it was at something else.
    fn were_kicked<'a>(&mut self, kicks: impl IntoIterator<Item = &'a Kick>) {
        for (slot, known) in kicks.into_iter().filter_map(|kick| kick.gone.as_ref()) {
            self.leaves(*slot, Some(known));
        }
    }

    /// Whether a device's session would go by this name.
    fn is_name_of_a_device(&self, name: &Option<Vec<u8>>) -> bool {
        let Some(name) = name else { return false };
        reference_client_id(name) != ReferenceClientId::Other
            || self.wanted.sessions_by_device && self.devices.contains_key(name)
    }

    /// RELOAD. Nothing comes into force, and nobody is ended.
    pub fn reload(&mut self, seen: &Seen) {
        let code = if self.is_2_1 { SUCCESS } else { DEFER };
        check!(seen.code == code && seen.kicks.is_empty(), "RELOAD: {seen:?}");
        self.log.check(seen);
        check_no_news(seen);
        self.sweep_is_known = true;
        self.requests += 1;
    }

    /// TICK. Says whether there was news of the file.
    pub fn tick(&mut self, seen: &Seen) -> bool {
        check!(seen.code == SUCCESS, "TICK: {seen:?}");
        self.log.check(seen);
        self.sweep_is_known = false;
        self.down.tick();
        self.last_tick = Some(self.wall);
        let mut kicks = seen.kicks.iter();
        let news = self.news(seen, &mut kicks);
        check!(kicks.next().is_none(), "{seen:?}");
        self.check_unasked(seen);
        news
    }

    /// CONNECT, of a client that a 2.1 has let in, with so many filters.
    pub fn connected(&mut self, slot: usize, known: &Known, filters: usize, seen: &Seen) {
        let name = &known.sent.client_id;
        let has_logged_in = self.sessions.get(&slot).map(|session| &session.name) == name.as_ref();
        check!(seen.code == SUCCESS, "{seen:?}");
        self.down.connected(name.as_deref().unwrap_or_default(), has_logged_in, filters);
        self.log.note_what_was_sent(&known.sent, &known.around, self.steady);
        self.log.check(seen);
        if has_logged_in || !self.is_name_of_a_device(name) {
            check!(seen.kicks.is_empty() && seen.log.is_empty(), "{known:?}: {seen:?}");
            return;
        }
        let kicked: Vec<_> =
            seen.kicks.iter().map(|kick| (Some(&kick.name), kick.with_will)).collect();
        check!(kicked == [(name.as_ref(), false)], "nobody was asked about {known:?}: {seen:?}");
        self.were_kicked(&seen.kicks);
        self.unasked = 0;
        self.log.check_refusal(seen, "not_asked", &Detail::None, &known.sent, &known.around, false);
    }

    /// BASIC_AUTH. Gives what the client's connection is sent, if it is one on which that may be: as a rule there is one
    /// thing that it may be.
    pub fn asked(&mut self, slot: usize, known: &Known, seen: &Seen) -> Vec<Vec<u8>> {
        let Known { sent, around, .. } = known;
        self.log.note_what_was_sent(sent, around, self.steady);
        self.log.check(seen);
        let remembered = self.sessions.get(&slot).is_some_and(|session| session.began_with(sent));
        let why = self.why(known, remembered);
        let mut exact = Vec::new();
        if why == Why::Connect {
            exact = self.connect(slot, known, seen);
        } else {
            self.session(slot, known, why, remembered, seen);
        }
        // Below a session that goes on or waits there is nothing to be told.
        self.often(seen);
        exact
    }

    /// Why the broker asks. What is no CONNECT is proved to be none, or remembered.
    fn why(&self, known: &Known, remembered: bool) -> Why {
        let facts_are_known = self.is_known(known);
        match known.stands {
            // In a broker whose inside is not known, one with the very credentials of the session that was at its address, and
            // of which nobody has said that it is gone, counts as that session.
            Stands::New if !facts_are_known && remembered => Why::Online,
            Stands::New => Why::Connect,
            _ if !facts_are_known && (self.is_2_1 || remembered) => Why::Online,
            _ if !facts_are_known => Why::Connect,
            Stands::Online | Stands::Closing => Why::Online,
            Stands::Offline | Stands::Restored => Why::Offline,
        }
    }

    /// A session that the broker asks about once more. Nothing begins or ends with it, and no table comes into force.
    fn session(&mut self, slot: usize, known: &Known, why: Why, remembered: bool, seen: &Seen) {
        let Known { sent, around, .. } = known;
        check!(
            seen.kicks.is_empty() && seen.names.is_empty(),
            "inside of a sweep: {known:?}: {seen:?}"
        );
        check_no_news(seen);
        let is_missed = !self.sweep_is_known;
        let is_told = is_missed && !self.missed_reload_told;
        check!(
            lines(seen, "the broker reloads and has not said so").len() == usize::from(is_told),
            "{is_missed} {seen:?}"
        );
        self.missed_reload_told |= is_told;
        self.requests += u32::from(is_missed);
        self.sweep_is_known = true;
        let name = sent.client_id.as_deref().unwrap_or_default();
        let rules = &self.wanted.rules;
        let said = match why {
            Why::Offline => Answer::Accept,
            _ if remembered => Answer::Accept,
            _ => answer(sent, &self.devices, rules, self.wall),
        };
        let code = match &said {
            Answer::Accept => SUCCESS,
            Answer::Defer => DEFER,
            Answer::Refuse(..) => AUTH,
        };
        check!(seen.code == code, "{why:?} {said:?} {name:?} {known:?}: {seen:?}");
        if let Answer::Refuse(reason, detail) = &said {
            self.sessions.remove(&slot);
            let is_hearsay = self.is_hearsay(known);
            let told = sent.told(reason, detail, &self.devices);
            self.log.check_refusal(seen, reason, &told, sent, around, is_hearsay);
        } else {
            check!(!self.log.says_any_reason(seen), "{known:?}: {seen:?}");
        }
    }

    /// Whether the plugin can tell what this client is to the broker.
    pub fn is_known(&self, known: &Known) -> bool {
        if self.is_2_1 {
            // It is asked which sessions there are, and what it begins with says whether one has a connection.
            known.stands == Stands::New || known.around.build.says_client()
        } else {
            is_proved(known)
        }
    }

    fn connect(&mut self, slot: usize, known: &Known, seen: &Seen) -> Vec<Vec<u8>> {
        let Known { sent, around, .. } = known;
        self.sweep_is_known = false;
        check!(lines(seen, "the broker reloads").is_empty(), "{seen:?}");
        let mut kicks = seen.kicks.iter();
        // A broker that keeps by a clock which was set back when the next TICK is due does not send it in time.
        if self.last_tick.is_some_and(|last| last <= self.wall) {
            check_no_news(seen);
        } else {
            self.news(seen, &mut kicks);
        }
        let is_hearsay = self.is_hearsay(known);
        let limited = !is_hearsay
            && self
                .wanted
                .failure_limit
                .is_some_and(|(free, _)| self.failures.count() >= u64::from(free));
        let mut exact = Vec::new();
        let said = self.answer_to_connect(slot, known);
        // This above all: nobody is let in whom the contract's table refuses, whenever the CONNECT comes.
        check!(
            said == Answer::Accept || seen.code != SUCCESS,
            "a CONNECT is let in that should not be: {said:?} {known:?}: {seen:?}"
        );
        let mut refuse = |model: &mut Self, reason, detail: &Detail| {
            exact.extend(model.refused(slot, reason, detail, known, seen));
        };
        match said {
            // Which it is, the limiter of the plugin's own knows; this one merely counts.
            said if limited && !self.is_answer(&said, around, seen) => {
                refuse(self, "rate_limited", &Detail::None);
            }
            Answer::Accept => self.accepted(slot, known, seen, &mut kicks, &mut refuse),
            Answer::Defer => {
                check!(seen.code == DEFER, "{sent:?}: {seen:?}");
                // The plugin may still take it for what was at its address.
                self.doubt(slot);
                self.down.doubt(&sent.client_id);
            }
            Answer::Refuse(reason, detail) => {
                refuse(self, reason, &detail);
                if limited && !self.log.says_any_reason(seen) {
                    exact.extend(self.connack("rate_limited", around));
                }
            }
        }
        check!(kicks.next().is_none(), "more are ended than should be: {seen:?}");
        self.check_unasked(seen);
        exact
    }

    /// The plugin was not told what has become of the session here.
    pub fn doubt(&mut self, slot: usize) {
        self.down.doubt(&self.sessions.get(&slot).map(|session| session.name.clone()));
    }

    /// The device that is logged in here, or any.
    pub fn device_of(&self, slot: usize) -> &[u8] {
        let session = self.sessions.get(&slot).map(|session| session.device_id.as_slice());
        session.or(self.devices.keys().next().map(Vec::as_slice)).unwrap_or(b"lamp")
    }

    /// What is said to a CONNECT, but for the limit of failures.
    fn answer_to_connect(&self, slot: usize, known: &Known) -> Answer {
        let sent = &known.sent;
        let said = answer(sent, &self.devices, &self.wanted.rules, self.wall);
        let name = sent.client_id.as_deref().unwrap_or_default();
        let by_device = self.wanted.sessions_by_device;
        match said {
            // It would be taken for the device.
            Answer::Defer if by_device && self.devices.contains_key(name) => {
                Answer::Refuse("bad_client_id", Detail::None)
            }
            Answer::Accept => {
                let new = self.session_of(known);
                let rival = self.rival_of(slot, &new).map(|rival| &self.sessions[&rival].takeovers);
                let now = self.steady - self.started;
                match (rival, self.wanted.takeover_limit) {
                    (Some(takeovers), Some(limit)) if takeovers.are_too_many(limit, now) => {
                        Answer::Refuse("rate_limited", Detail::Kind(Kind::Takeovers))
                    }
                    _ => Answer::Accept,
                }
            }
            said => said,
        }
    }

    /// The session that a new one takes the place of.
    fn rival_of(&self, slot: usize, new: &Session) -> Option<usize> {
        let is_rival = |other: &Session| match self.wanted.many_connections {
            true => other.name == new.name,
            false => other.device_id == new.device_id,
        };
        let mut rivals = self
            .sessions
            .iter()
            .filter(|(at, other)| **at != slot && other.is_live && is_rival(other))
            .map(|(at, _)| *at);
        let rival = rivals.next();
        check!(rivals.next().is_none(), "there is one at most: {:?}", self.sessions);
        rival
    }

    /// Devices that have logged in often may be told at the end of a minute, and no others.
    fn often(&self, seen: &Seen) {
        check!(self.often || lines(seen, "device \"").is_empty(), "{seen:?}");
    }

    /// Whether the client may have chosen its address: a WebSocket of a 2.0 whose socket does not show it.
    fn is_hearsay(&self, known: &Known) -> bool {
        is_hearsay(known, self.is_2_1)
    }

    /// Whether this is the answer that was given, and not that there were too many before it.
    fn is_answer(&self, answer: &Answer, around: &Around, seen: &Seen) -> bool {
        let limited = "rate_limited";
        match answer {
            Answer::Accept => seen.code == SUCCESS,
            Answer::Defer => seen.code == DEFER,
            // Two limits, of which the line says which it is.
            Answer::Refuse("rate_limited", detail) => {
                let detail = detail.to_string();
                !self.log.says_any_reason(seen)
                    || lines(seen, "refused client=")
                        .iter()
                        .any(|(_, line)| line.ends_with(&detail))
            }
            Answer::Refuse(reason, _) => {
                if self.log.says_any_reason(seen) {
                    !self.log.says_reason(seen, limited)
                } else if self.log.is_thinned(reason) && self.log.is_thinned(limited) {
                    // Where the code does not tell either, it may be this.
                    seen.code != self.code(limited, around)
                        || seen.code == self.code(reason, around)
                } else {
                    self.log.is_thinned(reason)
                }
            }
        }
    }

    /// The code that the broker is given for a refusal.
    fn code(&self, reason: &str, around: &Around) -> i32 {
        match codes(reason) {
            (_, v5) if v5 != 0x87 && self.is_2_1 && around.protocol_version == 5 => i32::from(v5),
            _ => AUTH,
        }
    }

    fn accepted<'a>(
        &mut self,
        slot: usize,
        known: &Known,
        seen: &Seen,
        kicks: &mut impl Iterator<Item = &'a Kick>,
        refuse: &mut impl FnMut(&mut Self, &'static str, &Detail),
    ) {
        let mut new = self.session_of(known);
        let now = self.steady - self.started;
        let (mut told, mut kicked) = (Vec::new(), None);
        if let Some(rival) = self.rival_of(slot, &new) {
            let old = self.sessions.get_mut(&rival).expect("a session");
            old.is_live = false;
            new.takeovers = old.takeovers.clone();
            let logins = new.takeovers.note(self.wanted.takeover_limit, now);
            self.often |= logins >= 6;
            // One of the same name is taken over by the broker itself.
            if old.name != new.name {
                kicked = Some((old.name.clone(), !old.closes_late));
                let shown = |address: &Option<Vec<u8>>| log::shown(address).unwrap_or("-".into());
                let (from, to) = (shown(&old.address), shown(&new.address));
                told.extend(
                    (logins <= 5)
                        .then(|| format!("reason=new_login address={from} new_address={to}")),
                );
            }
        }
        let lines: Vec<_> = lines(seen, "disconnected client=")
            .into_iter()
            .filter(|(_, line)| line.contains(" reason=new_login "))
            .collect();
        check!(
            lines.len() == told.len() && told.iter().all(|end| lines[0].1.ends_with(end)),
            "{told:?}: {seen:?}"
        );
        let ended = kicked.is_some().then(|| kicks.next()).flatten();
        check!(
            ended.map(|kick| (kick.name.clone(), kick.with_will)) == kicked,
            "{kicked:?} should be ended: {seen:?}"
        );
        let names: Vec<&Vec<u8>> = self
            .wanted
            .sessions_by_device
            .then_some(&new.device_id)
            .filter(|_| known.around.naming == SUCCESS)
            .into_iter()
            .collect();
        check!(seen.names.iter().collect::<Vec<_>>() == names, "{seen:?}");
        // What was at the same address is gone, whether or not anybody has said so.
        self.sessions.insert(slot, new);
        self.were_kicked(ended);
        if self.wanted.sessions_by_device && known.around.naming != SUCCESS {
            refuse(self, "internal_error", &Detail::None);
        } else {
            check!(seen.code == SUCCESS, "{known:?}: {seen:?}");
        }
    }

    /// These sessions are ended, with their wills, in any order. The broker says of some that they are gone.
    fn ended<'a>(&mut self, slots: &[usize], kicks: &mut impl Iterator<Item = &'a Kick>) {
        let mut names: Vec<(Vec<u8>, bool)> =
            slots.iter().map(|slot| (self.sessions[slot].name.clone(), true)).collect();
        let kicks: Vec<&Kick> = kicks.by_ref().take(names.len()).collect();
        let mut kicked: Vec<(Vec<u8>, bool)> =
            kicks.iter().map(|kick| (kick.name.clone(), kick.with_will)).collect();
        names.sort();
        kicked.sort();
        check!(names == kicked, "{names:?} should be ended, not {kicked:?}");
        for slot in slots {
            self.sessions.get_mut(slot).expect("a session").is_live = false;
        }
        self.were_kicked(kicks);
    }

    /// A CONNECT that is refused. Gives what an exact CONNACK is, where one may be sent.
    fn refused(
        &mut self,
        slot: usize,
        reason: &'static str,
        detail: &Detail,
        known: &Known,
        seen: &Seen,
    ) -> Option<Vec<u8>> {
        let Known { sent, around, .. } = known;
        let code = self.code(reason, around);
        check!(seen.code == code, "{reason} {detail:?} {sent:?} {around:?}: {seen:?}");
        check!(seen.names.is_empty(), "{seen:?}");
        self.sessions.remove(&slot);
        let is_told = self.log.says_any_reason(seen);
        let is_hearsay = self.is_hearsay(known);
        if let Some((_, seconds)) = self.wanted.failure_limit.filter(|_| !is_hearsay) {
            self.failures.note(reason, detail, sent, around, self.steady, seconds, is_told);
        }
        // There are fewer events than the plugin looks at again in a minute.
        let told = sent.told(reason, detail, &self.devices);
        self.log.check_refusal(seen, reason, &told, sent, around, is_hearsay);
        self.connack(reason, around)
    }

    /// The CONNACK that the broker cannot be had to send.
    fn connack(&self, reason: &str, around: &Around) -> Option<Vec<u8>> {
        let (v3, v5) = codes(reason);
        match around.protocol_version {
            5 if self.is_2_1 || v5 == 0x87 => None,
            3 | 4 => Some(vec![0x20, 2, 0, v3]),
            5 => Some(vec![0x20, 3, 0, v5, 0]),
            _ => None,
        }
    }
}

/// The broker's number for an error.
const ERROR: i32 = 8;

/// The lines that begin so, and their levels.
fn lines(seen: &Seen, begin: &str) -> Vec<(i32, String)> {
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let begins =
        |line: &str| line.strip_prefix("iotda-auth: ").is_some_and(|line| line.starts_with(begin));
    seen.log
        .iter()
        .map(|(level, line)| (*level, text(line)))
        .filter(|(_, line)| begins(line))
        .collect()
}

/// Whether a 2.0's own structure can be told to be what one takes it for.
fn is_proved(known: &Known) -> bool {
    known.around.build.is_known() && known.sent.client_id.is_some()
}

fn is_hearsay(known: &Known, is_2_1: bool) -> bool {
    let around = &known.around;
    let has_web_socket = around.protocol == WEB_SOCKET
        && !matches!(known.stands, Stands::Offline | Stands::Restored);
    let is_loopback = |address: &[u8]| {
        let address =
            std::str::from_utf8(address).ok().and_then(|text| text.parse::<IpAddr>().ok());
        address.is_some_and(|address| address.to_canonical() == IpAddr::from([127, 0, 0, 1]))
    };
    let is_shown = is_proved(known)
        && around.is_from_here
        && known.stands != Stands::Closing
        && around.address.as_deref().is_some_and(is_loopback);
    !is_2_1 && has_web_socket && around.address.is_some() && !is_shown
}

impl Model {
    fn session_of(&self, known: &Known) -> Session {
        let Known { sent, around, .. } = known;
        let client_id = sent.client_id.clone().unwrap_or_default();
        let ReferenceClientId::Device { device_id, .. } = reference_client_id(&client_id) else {
            panic!("accepted {sent:?}")
        };
        let device_id = device_id.to_vec();
        let by_device = self.wanted.sessions_by_device;
        Session {
            name: if by_device { device_id.clone() } else { client_id.clone() },
            client_id,
            device_id,
            password: sent.password.clone().filter(|text| has_length(text)),
            certificate: sent.certificate.clone(),
            address: around.address.clone().filter(|_| !self.is_hearsay(known)),
            is_live: true,
            closes_late: !self.is_2_1 && around.protocol == WEB_SOCKET,
            takeovers: Takeovers::default(),
        }
    }
}

impl Session {
    fn began_with(&self, sent: &Sent) -> bool {
        sent.client_id.as_ref() == Some(&self.name)
            && sent.password.as_ref().filter(|text| has_length(text)) == self.password.as_ref()
    }

    /// Whether it may go on, now that its device is changed.
    fn is_proved_by(&self, proof: &ReferenceProof) -> bool {
        let ReferenceClientId::Device { sign_digit, stamp, .. } =
            reference_client_id(&self.client_id)
        else {
            return false;
        };
        match proof {
            ReferenceProof::Secrets(secrets) => secrets.iter().any(|secret| {
                let right = password(sign_digit, stamp, secret);
                self.password.as_deref() == Some(right.as_bytes())
            }),
            proof => self.certificate.as_deref().is_some_and(|der| is_certificate_of(der, proof)),
        }
    }
}
