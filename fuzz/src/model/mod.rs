//! What the plugin should do: who is logged in, and what that means for each event.

mod failures;
mod log;
mod reload;

pub use log::Log;
pub use reload::Content;

use crate::{
    answer::{Answer, answer},
    broker::{AUTH, Around, DEFER, Kick, SUCCESS, Seen},
    check,
    rules::Wanted,
    secrets::is_certificate_of,
    sent::{Sent, password},
    twins::{ClientIdTwin, FileTwin, ProofTwin, client_id_twin},
};
use failures::Failures;
use mosquitto_iotda_auth::login::{Occasion, verify::Detail};
use std::collections::BTreeMap;

/// No sweep takes as long, in microseconds.
const SWEEP_AT_MOST: i64 = 2_000_000;

/// A running plugin.
pub struct Model {
    pub is_2_1: bool,
    pub wanted: Wanted,
    /// The devices in force.
    pub devices: FileTwin,
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
    /// When the RELOAD came that was not yet followed by a TICK, in microseconds that only go on.
    sweeps_since: Option<i64>,
    failures: Failures,
}

/// A login that was accepted.
#[derive(Clone, Debug)]
pub struct Session {
    client_id: Vec<u8>,
    device_id: Vec<u8>,
    /// What the broker knows it by.
    name: Vec<u8>,
    /// If it had the length of one.
    password: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
}

/// What a session should come to.
enum Outcome {
    /// It is known, and goes on.
    Known,
    Connects(Answer),
    /// A second look at a session that is not known.
    Again(Answer),
}

/// The codes of a refusal, as the contract's table has them.
fn codes(slug: &str) -> (u8, u8) {
    match slug {
        "rate_limited" => (3, 0x9F),
        "bad_client_id" | "bad_sign_type" | "bad_keepalive" => (2, 0x85),
        "user_mismatch" | "unknown_device" | "stale_timestamp" | "future_timestamp"
        | "wrong_password" | "no_certificate" => (4, 0x86),
        "wrong_certificate" | "frozen" => (5, 0x87),
        "internal_error" => (3, 0x88),
        _ => panic!("{slug}"),
    }
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
            sweeps_since: None,
            failures: Failures::default(),
        }
    }

    /// A client is gone, if it was there.
    pub fn gone(&mut self, slot: usize) {
        self.sessions.remove(&slot);
    }

    /// RELOAD.
    pub fn reload(&mut self, seen: &Seen) {
        let code = if self.is_2_1 { SUCCESS } else { DEFER };
        check!(seen.code == code, "RELOAD: {seen:?}");
        self.news(seen, &mut seen.kicks.iter());
        self.sweeps_since = Some(self.steady);
        self.requests += 1;
    }

    /// TICK. Says whether there was news of the file.
    pub fn tick(&mut self, seen: &Seen) -> bool {
        check!(seen.code == SUCCESS, "TICK: {seen:?}");
        self.sweeps_since = None;
        self.last_tick = Some(self.wall);
        let mut kicks = seen.kicks.iter();
        let news = self.news(seen, &mut kicks);
        check!(kicks.next().is_none(), "{seen:?}");
        news
    }

    /// BASIC_AUTH. Gives what the client's connection is sent, if it is one on which that may be: as a rule there is one
    /// thing that it may be.
    pub fn asked(
        &mut self,
        slot: usize,
        sent: &Sent,
        around: &Around,
        seen: &Seen,
    ) -> Vec<Vec<u8>> {
        let mut kicks = seen.kicks.iter();
        self.log.note_what_was_sent(sent, around, self.steady);
        self.news(seen, &mut kicks);
        let outcome = self.outcome(slot, sent, around);
        let limited = self
            .wanted
            .failure_limit
            .is_some_and(|(free, _)| self.failures.count() >= u64::from(free));
        let mut exact = Vec::new();
        match outcome {
            Outcome::Known => {
                check!(seen.code == SUCCESS && seen.names.is_empty(), "{sent:?}: {seen:?}");
            }
            Outcome::Again(answer) => {
                let code = match &answer {
                    Answer::Accept => SUCCESS,
                    Answer::Defer => DEFER,
                    Answer::Refuse(..) => AUTH,
                };
                check!(seen.code == code && seen.names.is_empty(), "{answer:?} {sent:?}: {seen:?}");
                if let Answer::Refuse(slug, detail) = &answer {
                    self.gone(slot);
                    self.log.check_refusal(seen, slug, detail, sent, around);
                }
            }
            // Which it is, the limiter of the plugin's own knows; this one merely counts.
            Outcome::Connects(answer) if limited && !self.is_answer(&answer, around, seen) => {
                exact.extend(self.refused(slot, "rate_limited", &Detail::None, sent, around, seen));
            }
            Outcome::Connects(Answer::Accept) => {
                exact.extend(self.accepted(slot, sent, around, seen, &mut kicks));
            }
            Outcome::Connects(Answer::Defer) => check!(seen.code == DEFER, "{sent:?}: {seen:?}"),
            Outcome::Connects(Answer::Refuse(slug, detail)) => {
                exact.extend(self.refused(slot, slug, &detail, sent, around, seen));
                if limited && !self.log.says_any_reason(seen) {
                    exact.extend(self.connack("rate_limited", around));
                }
            }
        }
        check!(kicks.next().is_none(), "more are ended than should be: {seen:?}");
        exact
    }

    /// Whether this is the answer that was given, and not that there were too many before it.
    fn is_answer(&self, answer: &Answer, around: &Around, seen: &Seen) -> bool {
        let limited = "rate_limited";
        match answer {
            Answer::Accept => seen.code == SUCCESS,
            Answer::Defer => seen.code == DEFER,
            Answer::Refuse(slug, _) => {
                if self.log.says_any_reason(seen) {
                    !self.log.says_reason(seen, limited)
                } else if self.log.is_thinned(slug) && self.log.is_thinned(limited) {
                    // Where the code does not tell either, it may be this.
                    seen.code != self.code(limited, around) || seen.code == self.code(slug, around)
                } else {
                    self.log.is_thinned(slug)
                }
            }
        }
    }

    /// The code that the broker is given for a refusal.
    fn code(&self, slug: &str, around: &Around) -> i32 {
        match codes(slug) {
            (_, v5) if v5 != 0x87 && self.is_2_1 && around.protocol_version == 5 => i32::from(v5),
            _ => AUTH,
        }
    }

    fn outcome(&self, slot: usize, sent: &Sent, around: &Around) -> Outcome {
        // A broker that keeps by a clock which was set back when the next TICK is due does not send it in time.
        let ticks = self.last_tick.is_some_and(|last| last <= self.wall);
        let Some(since) = self.sweeps_since else {
            return self.outcome_of(sent, Occasion::Connect);
        };
        let occasion = if self.sessions.get(&slot).is_some_and(|session| session.began_with(sent)) {
            return Outcome::Known;
        } else if around.address.is_none()
            && sent.password.is_none()
            && around.protocol_version == 0
        {
            Occasion::Restored
        } else if around.subscriptions > 0 || ticks && self.steady - since < SWEEP_AT_MOST {
            Occasion::Recheck
        } else {
            Occasion::Connect
        };
        self.outcome_of(sent, occasion)
    }

    fn outcome_of(&self, sent: &Sent, occasion: Occasion) -> Outcome {
        let said = answer(sent, &self.devices, &self.wanted.rules, self.wall, occasion);
        let name = sent.client_id.as_deref().unwrap_or_default();
        let is_device = self.devices.get(name).filter(|_| self.wanted.sessions_by_device);
        let is_client_id = matches!(client_id_twin(name), ClientIdTwin::Device { .. });
        match (occasion, is_device) {
            // It would be taken for the device.
            (Occasion::Connect, Some(_)) if said == Answer::Defer => {
                Outcome::Connects(Answer::Refuse("bad_client_id", Detail::None))
            }
            (Occasion::Connect, _) => Outcome::Connects(said),
            // A session that is known by its device's id.
            (_, Some(device)) if !is_client_id => {
                let refuse = |slug| Outcome::Again(Answer::Refuse(slug, Detail::None));
                if sent.username.as_deref() != Some(name) {
                    refuse("user_mismatch")
                } else if device.frozen {
                    refuse("frozen")
                } else {
                    Outcome::Again(Answer::Accept)
                }
            }
            _ => Outcome::Again(said),
        }
    }

    fn accepted<'a>(
        &mut self,
        slot: usize,
        sent: &Sent,
        around: &Around,
        seen: &Seen,
        kicks: &mut impl Iterator<Item = &'a Kick>,
    ) -> Option<Vec<u8>> {
        let new = Session::of(sent, self.wanted.sessions_by_device);
        // What was at the same address is gone, whether or not anybody has said so.
        self.gone(slot);
        if !self.wanted.many_connections {
            let others =
                |session: &Session| session.device_id == new.device_id && session.name != new.name;
            let ended: Vec<usize> = self
                .sessions
                .iter()
                .filter(|(_, session)| others(session))
                .map(|(at, _)| *at)
                .collect();
            self.ended(&ended, kicks);
        }
        if self.wanted.sessions_by_device && around.naming != SUCCESS {
            return self.refused(slot, "internal_error", &Detail::None, sent, around, seen);
        }
        check!(seen.code == SUCCESS, "{sent:?}: {seen:?}");
        let names: Vec<&Vec<u8>> =
            self.wanted.sessions_by_device.then_some(&new.device_id).into_iter().collect();
        check!(seen.names.iter().collect::<Vec<_>>() == names, "{seen:?}");
        self.sessions.insert(slot, new);
        None
    }

    /// These sessions are ended, in any order.
    fn ended<'a>(&mut self, slots: &[usize], kicks: &mut impl Iterator<Item = &'a Kick>) {
        let mut names: Vec<Vec<u8>> =
            slots.iter().map(|slot| self.sessions[slot].name.clone()).collect();
        let kicks: Vec<&Kick> = kicks.by_ref().take(names.len()).collect();
        let mut kicked: Vec<&Vec<u8>> = kicks.iter().map(|kick| &kick.name).collect();
        names.sort();
        kicked.sort();
        check!(
            names.iter().eq(kicked.iter().copied()),
            "{names:?} should be ended, not {kicked:?}"
        );
        for slot in slots.iter().copied().chain(kicks.iter().filter_map(|kick| kick.gone)) {
            self.gone(slot);
        }
    }

    /// A CONNECT that is refused. Gives what an exact CONNACK is, where one may be sent.
    fn refused(
        &mut self,
        slot: usize,
        slug: &'static str,
        detail: &Detail,
        sent: &Sent,
        around: &Around,
        seen: &Seen,
    ) -> Option<Vec<u8>> {
        let code = self.code(slug, around);
        check!(seen.code == code, "{slug} {detail:?} {sent:?} {around:?}: {seen:?}");
        check!(seen.names.is_empty(), "{seen:?}");
        self.gone(slot);
        let is_told = self.log.says_any_reason(seen);
        if let Some((_, seconds)) = self.wanted.failure_limit {
            self.failures.note(slug, detail, sent, around, self.steady, seconds, is_told);
        }
        self.log.check_refusal(seen, slug, detail, sent, around);
        self.connack(slug, around)
    }

    /// The CONNACK that the broker cannot be had to send.
    fn connack(&self, slug: &str, around: &Around) -> Option<Vec<u8>> {
        let (v3, v5) = codes(slug);
        match around.protocol_version {
            5 if self.is_2_1 || v5 == 0x87 => None,
            3 | 4 => Some(vec![0x20, 2, 0, v3]),
            5 => Some(vec![0x20, 3, 0, v5, 0]),
            _ => None,
        }
    }
}

impl Session {
    fn of(sent: &Sent, by_device: bool) -> Self {
        let client_id = sent.client_id.clone().unwrap_or_default();
        let ClientIdTwin::Device { device_id, .. } = client_id_twin(&client_id) else {
            panic!("accepted {sent:?}")
        };
        let device_id = device_id.to_vec();
        Self {
            name: if by_device { device_id.clone() } else { client_id.clone() },
            client_id,
            device_id,
            password: sent.password.clone().filter(|text| has_length(text)),
            certificate: sent.certificate.clone(),
        }
    }

    fn began_with(&self, sent: &Sent) -> bool {
        sent.client_id.as_ref() == Some(&self.name)
            && sent.password.as_ref().filter(|text| has_length(text)) == self.password.as_ref()
    }

    /// Whether it may go on, now that its device is changed.
    fn is_proved_by(&self, proof: &ProofTwin) -> bool {
        let ClientIdTwin::Device { sign_digit, stamp, .. } = client_id_twin(&self.client_id) else {
            return false;
        };
        match proof {
            ProofTwin::Secrets(secrets) => secrets.iter().any(|secret| {
                let right = password(sign_digit, stamp, secret);
                self.password.as_deref() == Some(right.as_bytes())
            }),
            proof => self.certificate.as_deref().is_some_and(|der| is_certificate_of(der, proof)),
        }
    }
}
