//! What happens to a login: the check, and everything that follows from it.

use super::{
    Answer, Asked, Host, Level, Login, Peer, Plugin, downstream::TOLD_A_MINUTE, stack::wiped_after,
    tables::shown,
};
use crate::{
    limiter::Limiter,
    sessions::{Begun, ClientHandle, Replaced, Session, Whence},
    takeovers::{self, minute},
};
use iotda_core::{
    log::{self, Acceptance, Line, Origin},
    login::{
        ClientId, Connect, Kind, Refusal, Verdict, client_id::ClientIdError, recognise::recognise,
        timestamp::UnixSeconds, verify, verify::Refused,
    },
    options::SessionId,
};
use std::{
    ffi::CString,
    time::{Duration, SystemTime},
};

impl Plugin {
    /// Answers a login. [`asked::SHAPES`](super::asked::SHAPES) has the result for each shape.
    pub fn login<'a>(&self, host: &dyn Host, login: &Login<'a>) -> Answer<'a> {
        #[cfg(feature = "fault-injection")]
        fault(&login.connect);

        match login.asked {
            Asked::Connect => self.connect(host, login),
            Asked::Unproved if !self.is_remembered(login) => self.connect(host, login),
            Asked::Online | Asked::Unproved => self.ask_again(host, login),
            Asked::Offline => {
                self.begin_sweep(host);
                self.counters.rechecked.add();
                // Also if it is not a device's session: see `Treatment::Stays`.
                Answer::Accept { session_id: None }
            }
        }
    }

    /// Answers a login during which the plugin failed.
    pub fn login_failed<'a>(&self, host: &dyn Host, login: &Login<'_>) -> Answer<'a> {
        self.refuse(host, login, Refusal::InternalError)
    }

    /// Answers a CONNECT.
    fn connect<'a>(&self, host: &dyn Host, login: &Login<'a>) -> Answer<'a> {
        let now = SystemTime::now();
        self.sweep_is_known.set(false);
        if !self.ticks(now) {
            self.look_for_news(host);
            self.end_of_minute(host);
        }
        if self.is_limited(login) {
            return self.refuse(host, login, Refusal::RateLimited);
        }
        match self.verdict(login, now) {
            Some(Verdict::Accept(client_id)) => self.accept(host, login, client_id),
            Some(Verdict::Defer) if self.is_name_of_a_session(login) => {
                self.refuse(host, login, Refusal::BadClientId)
            }
            Some(Verdict::Defer) => {
                self.counters.deferred.add();
                Answer::Defer
            }
            Some(Verdict::Refuse(refused)) => {
                self.name_trap(host, login, refused.reason);
                if refused.is_failure() {
                    self.note_failure(login);
                }
                self.refuse(host, login, refused)
            }
            None => self.login_failed(host, login),
        }
    }

    /// Answers for a connected session that the broker asks about once more.
    ///
    /// A session that is not remembered was let in by others: a client that this plugin leaves to them, or a device that
    /// another plugin accepted before this one was asked. It is checked in full, but no session begins or ends here: the
    /// broker is iterating over its sessions.
    fn ask_again<'a>(&self, host: &dyn Host, login: &Login<'a>) -> Answer<'a> {
        self.begin_sweep(host);
        self.counters.rechecked.add();
        if self.is_remembered(login) {
            return Answer::Accept { session_id: None };
        }
        match self.verdict(login, SystemTime::now()) {
            Some(Verdict::Accept(_)) => Answer::Accept { session_id: None },
            Some(Verdict::Defer) => Answer::Defer,
            Some(Verdict::Refuse(refused)) => {
                self.refuse(host, login, refused);
                Answer::End
            }
            None => {
                self.login_failed(host, login);
                Answer::End
            }
        }
    }

    /// The broker asks about a session: so it was told to reload, even if no RELOAD event came.
    fn begin_sweep(&self, host: &dyn Host) {
        if self.sweep_is_known.replace(true) {
            return;
        }
        if !self.missed_reload_told.replace(true) {
            host.log(
                Level::Warning,
                &Line::of(format_args!(
                    "the broker reloads and has not said so: another plugin has kept that from this one; put this plugin's line \
                     above the other's in mosquitto.conf"
                )),
            );
        }
        self.tell_counters(host);
        self.ask_for_the_file(host);
    }

    /// Whether a client that the broker has let in has a device's name but has not logged in here.
    #[must_use]
    pub fn is_stranger(&self, peer: &Peer<'_>) -> bool {
        let is_named = peer.client_id.is_some_and(|id| self.is_a_devices_name(id));
        is_named && !self.remembers(peer)
    }

    /// Whether a client has logged in here.
    #[must_use]
    pub fn remembers(&self, peer: &Peer<'_>) -> bool {
        let id = peer.client_id.unwrap_or_default();
        self.sessions.try_borrow().is_ok_and(|sessions| sessions.knows(peer.client, id))
    }

    /// Disconnects a client that the broker, a 2.1, has let in unasked under a device's name.
    pub fn throw_out(&self, host: &dyn Host, peer: &Peer<'_>) {
        self.disconnect(host, peer.client_id.unwrap_or_default(), false);
        self.tell_refusal(host, &peer.connect(), peer.origin, Refusal::NotAsked.into());
    }

    /// The broker, a 2.1, has let a client in.
    pub fn was_let_in(&self, client: ClientHandle) {
        if self.awaited.get() == Some(client) {
            self.awaited.set(None);
        }
    }

    /// A client that has logged in here has left. If a 2.1 has not let it in before, the broker has turned it away although the
    /// log says that it was accepted: for `global_max_clients`, or for its will (`connect__on_authorised` in
    /// `handle_connect.c`, 2.1.2), and its own log does not say why.
    pub fn left(&self, host: &dyn Host, peer: &Peer<'_>) {
        if self.awaited.get() != Some(peer.client) {
            return;
        }
        self.awaited.set(None);
        let minute = minute(self.started.elapsed());
        let (last, told) = self.turned_away_told.get();
        let told = if last == minute { told } else { 0 };
        if told < TOLD_A_MINUTE {
            self.turned_away_told.set((minute, told + 1));
            let id = peer.client_id.unwrap_or_default();
            host.log(Level::Notice, &log::write::turned_away(id, peer.origin));
        }
    }

    /// A device is let in on a listener that this instance serves, and another instance has accepted it: a 2.1 asks no further
    /// one then.
    pub fn was_not_asked(&self, host: &dyn Host) {
        if !self.second_told.replace(true) {
            let file = shown(&self.options.secrets_file);
            host.log(
                Level::Warning,
                &Line::of(format_args!(
                    "the plugin is loaded twice for one listener, and the instance with secrets_file {file} is not asked about \
                     devices that the other accepts: take one of the two out of mosquitto.conf"
                )),
            );
        }
    }

    /// A client that 2.0 had let in has left, and was not remembered.
    pub fn left_unasked(&self, host: &dyn Host, peer: &Peer<'_>) {
        let Some(id) = peer.client_id.filter(|_| self.is_stranger(peer)) else { return };
        if !self.unasked_told.replace(true) {
            host.log(Level::Error, &log::write::unasked(id, peer.origin));
        }
    }

    /// Whether a device's session could have this name.
    fn is_a_devices_name(&self, id: &[u8]) -> bool {
        has_the_shape_of_a_device(Some(id))
            || self.options.session_id == SessionId::Device && self.is_device_id(Some(id))
    }

    /// Runs the check; `None` if the table is not accessible, which does not happen.
    fn verdict<'a>(&self, login: &Login<'a>, now: SystemTime) -> Option<Verdict<'a>> {
        let table = self.table.try_borrow().ok()?;
        let mut keys = self.keys.try_borrow_mut().ok()?;
        let (policy, now) = (&self.options.policy, unix_seconds(now));
        Some(wiped_after(|| verify(&login.connect, &table, policy, now, &mut keys)))
    }

    /// Whether this is a session that logged in here.
    fn is_remembered(&self, login: &Login<'_>) -> bool {
        let sessions = self.sessions.try_borrow();
        sessions.is_ok_and(|sessions| sessions.holds(login.client, &login.connect))
    }

    fn accept<'a>(
        &self,
        host: &dyn Host,
        login: &Login<'a>,
        client_id: ClientId<'a>,
    ) -> Answer<'a> {
        let device_id = client_id.device_id;
        let replaced = match self.begin_session(login, device_id) {
            Some(Begun::TooOften) => {
                return self.refuse(host, login, Kind::Takeovers);
            }
            Some(Begun::TookOver(replaced)) => Some(replaced),
            Some(Begun::Alone) | None => None,
        };
        self.counters.accepted.add();
        match Acceptance::of(&login.connect, login.origin) {
            Some(acceptance) => host.log_acceptance(acceptance),
            None => host.log(Level::Debug, &log::write::acceptance(&login.connect, login.origin)),
        }
        if let Some(replaced) = replaced {
            self.take_over(host, login, &replaced);
        }
        // A 2.1 sends CONNECT next, before anything else of this client's.
        self.awaited.set(host.names_sessions().then_some(login.client));
        let by_device = self.options.session_id == SessionId::Device;
        Answer::Accept { session_id: by_device.then_some(device_id) }
    }

    /// Notes a session. `None` if the sessions are not accessible, which does not happen.
    fn begin_session(&self, login: &Login<'_>, device_id: &[u8]) -> Option<Begun> {
        let whence = Whence {
            address: login.origin.certain().unwrap_or_default(),
            closes_late: login.origin.closes_late,
        };
        let mut sessions = self.sessions.try_borrow_mut().ok()?;
        let new = sessions.session_of(&login.connect, device_id, whence)?;
        let (limit, now) = (self.options.takeover_limit, || self.started.elapsed());
        Some(sessions.begin(login.client, new, limit, now))
    }

    /// Ends the connection that a new login replaces. If it has the same name, the broker itself takes it over, right after
    /// this.
    fn take_over(&self, host: &dyn Host, login: &Login<'_>, replaced: &Replaced) {
        self.counters.takeovers.add();
        if replaced.by_the_broker {
            return;
        }
        if replaced.logins <= takeovers::IN_FULL + 1 {
            let Replaced { session, .. } = replaced;
            let line =
                log::write::replacement(session.client_id(), session.address(), login.origin);
            host.log(Level::Info, &line);
        }
        // If it closes late, its will would come after the new session's messages.
        self.end(host, &replaced.session, !replaced.session.closes_late());
    }

    /// Ends a connection that is marked as leaving. During this call the broker reports that the client is gone, so nothing
    /// may be borrowed here.
    pub(super) fn end(&self, host: &dyn Host, session: &Session, with_will: bool) {
        self.disconnect(host, session.id(), with_will);
    }

    fn disconnect(&self, host: &dyn Host, id: &[u8], with_will: bool) {
        if CString::new(id).is_ok_and(|id| host.disconnect(&id, with_will)) {
            self.counters.disconnected.add();
        } else {
            host.log(Level::Error, &log::write::not_found(id));
        }
    }

    /// Refuses a login, and logs it.
    fn refuse<'a>(
        &self,
        host: &dyn Host,
        login: &Login<'_>,
        refused: impl Into<Refused>,
    ) -> Answer<'a> {
        let refused = refused.into();
        self.gone(login.client);
        self.tell_refusal(host, &login.connect, login.origin, refused);
        Answer::Refuse(refused.reason)
    }

    /// Counts a refusal, and logs it.
    fn tell_refusal(
        &self,
        host: &dyn Host,
        connect: &Connect<'_>,
        origin: Origin<'_>,
        refused: Refused,
    ) {
        let now = self.started.elapsed();
        let refused = self.recognised(connect, refused, now);
        self.counters.add_refusal(refused.reason);
        if let Some(kind) = refused.kind() {
            self.counters.add_kind(kind);
        }
        let client = connect.client_id;
        let told = self.log_budget.try_borrow_mut();
        if told.is_ok_and(|mut log_budget| log_budget.tell(refused.reason, client, now)) {
            host.log(Level::Notice, &log::write::refusal(connect, origin, refused));
        }
    }

    /// Adds to a refusal what is wrong with its ClientId or password.
    fn recognised(&self, connect: &Connect<'_>, refused: Refused, now: Duration) -> Refused {
        let Ok(table) = self.table.try_borrow() else { return refused };
        if !refused.reason.tells_of_devices() {
            return recognise(refused, connect, &table);
        }
        let may_be = self.log_budget.try_borrow_mut().map(|mut budget| budget.may_recognise(now));
        match may_be {
            Ok(true) => wiped_after(|| recognise(refused, connect, &table)),
            _ => refused,
        }
    }

    /// Whether too many logins from the client's address were refused lately.
    fn is_limited(&self, login: &Login<'_>) -> bool {
        if login.origin.is_hearsay {
            return false;
        }
        let limiter = self.limiter.try_borrow();
        let limited = |limiter: &Limiter| {
            limiter.is_limited(login.origin.address.unwrap_or_default(), self.started.elapsed())
        };
        limiter.is_ok_and(|limiter| limiter.as_ref().is_some_and(limited))
    }

    fn note_failure(&self, login: &Login<'_>) {
        if login.origin.is_hearsay {
            return;
        }
        let limiter = self.limiter.try_borrow_mut();
        if let Some(limiter) = limiter.ok().as_mut().and_then(|limiter| limiter.as_mut()) {
            let address = login.origin.address.unwrap_or_default();
            limiter.note_failure(address, &login.connect, self.started.elapsed());
        }
    }

    /// Whether a client that is not a device uses a device id as its ClientId while sessions are named by device ids. The
    /// broker would take it for the device, and give it the device's subscriptions and messages.
    fn is_name_of_a_session(&self, login: &Login<'_>) -> bool {
        self.options.session_id == SessionId::Device && self.is_device_id(login.connect.client_id)
    }

    fn is_device_id(&self, id: Option<&[u8]>) -> bool {
        id.is_some_and(|id| self.table.try_borrow().is_ok_and(|table| table.find(id).is_some()))
    }

    /// Logs once that the broker's configuration keeps every device out.
    fn name_trap(&self, host: &dyn Host, login: &Login<'_>, reason: Refusal) {
        let replaced = reason == Refusal::BadClientId
            && login.connect.client_id == login.connect.username
            && self.is_device_id(login.connect.username);
        if replaced && !self.trap_told.replace(true) {
            host.log(
                Level::Warning,
                &Line::of(format_args!(
                    "a device's ClientId is its user name: take use_username_as_clientid out of mosquitto.conf, if it \
                     is there, for with it no device can log in"
                )),
            );
        }
    }

    /// Whether the broker will send a TICK soon.
    ///
    /// 2.0.11 sends none at all with `per_listener_settings true`. 2.1 schedules the next one by the wall clock: after that
    /// is set back, none comes until it has caught up (`plugin__handle_tick` in `plugin_callbacks.c`).
    fn ticks(&self, now: SystemTime) -> bool {
        self.last_tick.get().is_some_and(|last| now >= last)
    }
}

impl Peer<'_> {
    /// What is known of its CONNECT.
    fn connect(&self) -> Connect<'_> {
        Connect { client_id: self.client_id, username: self.username, ..Connect::default() }
    }
}

/// Whether a ClientId ends like a device's, even if its parts are wrong.
fn has_the_shape_of_a_device(id: Option<&[u8]>) -> bool {
    let error = id.map(|id| ClientId::parse(id).err());
    error.is_some_and(|error| error != Some(ClientIdError::OtherClient))
}

/// A time in Unix seconds.
fn unix_seconds(time: SystemTime) -> UnixSeconds {
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()),
    }
}

/// Panics if a test asks for it.
#[cfg(feature = "fault-injection")]
#[allow(clippy::panic)]
fn fault(connect: &Connect<'_>) {
    if connect.client_id == Some(b"fault-injection: panic") {
        panic!("a test asked for this");
    }
}
