//! What becomes of a login: the check, and everything that follows from it.

use super::{Answer, Host, Level, Login, Plugin, Sweep, stack::wiped_after};
#[cfg(feature = "fault-injection")]
use crate::login::Connect;
use crate::{
    journal::{self, Acceptance, Line},
    limiter::Limiter,
    login::{
        ClientId, Occasion, Refusal, Verdict, timestamp::UnixSeconds, verify, verify::Refused,
    },
    options::SessionId,
    sessions::{ClientHandle, Session},
};
use std::{
    ffi::CString,
    time::{Duration, SystemTime},
};

/// Longer than any sweep, which takes microseconds a session.
const SWEEP_AT_MOST: Duration = Duration::from_secs(2);

impl Plugin {
    /// Answers a login.
    pub fn login<'a>(&self, host: &dyn Host, login: &Login<'a>) -> Answer<'a> {
        #[cfg(feature = "fault-injection")]
        fault(&login.connect);

        match self.occasion(login) {
            None => {
                self.counters.rechecked.add();
                Answer::Accept { session_id: None }
            }
            Some(Occasion::Connect) => self.connect(host, login),
            Some(occasion) => {
                self.counters.rechecked.add();
                self.check_again(host, login, occasion)
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
        if !self.ticks(now) && !self.may_be_swept() {
            self.look_for_news(host);
        }
        if self.is_limited(login) {
            return self.refuse(host, login, Refusal::RateLimited);
        }
        match self.verdict(login, Occasion::Connect, now) {
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

    /// Answers for a session that the broker asks about once more.
    fn check_again<'a>(
        &self,
        host: &dyn Host,
        login: &Login<'a>,
        occasion: Occasion,
    ) -> Answer<'a> {
        let verdict = match self.verdict_by_device_id(login) {
            Some(verdict) => Some(verdict),
            None => self.verdict(login, occasion, SystemTime::now()),
        };
        match verdict {
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

    /// Runs the check; `None` where the table cannot be had, which does not happen.
    fn verdict<'a>(
        &self,
        login: &Login<'a>,
        occasion: Occasion,
        now: SystemTime,
    ) -> Option<Verdict<'a>> {
        let table = self.table.try_borrow().ok()?;
        let mut keys = self.keys.try_borrow_mut().ok()?;
        let (policy, now) = (&self.options.policy, unix_seconds(now));
        Some(wiped_after(|| verify(&login.connect, &table, policy, now, occasion, &mut keys)))
    }

    /// The verdict on a session that is known by its device id, and so has no ClientId to go by: it is one of ours if
    /// its user name is the same, and its device in the table.
    ///
    /// This is asked in a sweep only; a CONNECT with such a ClientId is no device's.
    fn verdict_by_device_id<'a>(&self, login: &Login<'a>) -> Option<Verdict<'a>> {
        let id = login.connect.client_id?;
        if self.options.session_id != SessionId::Device || ClientId::parse(id).is_ok() {
            return None;
        }
        let table = self.table.try_borrow().ok()?;
        let device = table.find(id)?;
        let refuse = |reason| Some(Verdict::Refuse(Refused::from(reason)));
        if login.connect.username != Some(id) {
            return refuse(Refusal::UserMismatch);
        }
        if device.frozen {
            return refuse(Refusal::Frozen);
        }
        Some(Verdict::Accept(ClientId {
            device_id: id,
            sign_digit: b'0',
            stamp: b"0000000000",
            hour: None,
        }))
    }

    fn accept<'a>(
        &self,
        host: &dyn Host,
        login: &Login<'a>,
        client_id: ClientId<'a>,
    ) -> Answer<'a> {
        self.counters.accepted.add();
        match Acceptance::of(&login.connect, login.address) {
            Some(acceptance) => host.log_acceptance(acceptance),
            None => host.log(Level::Debug, &journal::acceptance(&login.connect, login.address)),
        }
        let device_id = client_id.device_id;
        self.begin_session(host, login, device_id);
        let by_device = self.options.session_id == SessionId::Device;
        Answer::Accept { session_id: by_device.then_some(device_id) }
    }

    /// Notes a session, and ends the connections that its device has under other names. One under the same name is taken
    /// over by the broker itself, right after this.
    fn begin_session(&self, host: &dyn Host, login: &Login<'_>, device_id: &[u8]) {
        let known_by = self.options.session_id;
        let others: Vec<(ClientHandle, Session)> = {
            let Ok(mut sessions) = self.sessions.try_borrow_mut() else { return };
            let Some(new) = sessions.session_of(&login.connect, device_id, known_by) else {
                return;
            };
            let others = sessions
                .others_of(&new)
                .filter(|(client, _)| self.options.one_connection && *client != login.client)
                .map(|(client, session)| (client, session.clone()))
                .collect();
            sessions.remember(login.client, new);
            others
        };
        for (client, session) in others {
            host.log(Level::Info, &journal::disconnection(session.client_id(), "new_login"));
            self.end(host, client, &session);
        }
    }

    /// Ends a connection. The broker tells us that the client is gone while it is at it, so nothing may be borrowed here.
    pub(super) fn end(&self, host: &dyn Host, client: ClientHandle, session: &Session) {
        if let Ok(id) = CString::new(session.id()) {
            host.disconnect(&id);
        }
        self.gone(client);
        self.counters.disconnected.add();
    }

    /// Refuses a login, and says so in the log.
    fn refuse<'a>(
        &self,
        host: &dyn Host,
        login: &Login<'_>,
        refused: impl Into<Refused>,
    ) -> Answer<'a> {
        let refused = refused.into();
        self.gone(login.client);
        self.counters.add_refusal(refused.reason);
        self.end_of_minute(host);
        let now = self.started.elapsed();
        let client = login.connect.client_id;
        if self
            .flood
            .try_borrow_mut()
            .is_ok_and(|mut flood| flood.tell(refused.reason, client, now))
        {
            host.log(Level::Notice, &journal::refusal(&login.connect, login.address, refused));
        }
        Answer::Refuse(refused.reason)
    }

    /// Whether too many logins from the client's address were refused lately.
    fn is_limited(&self, login: &Login<'_>) -> bool {
        let limiter = self.limiter.try_borrow();
        let limited = |limiter: &Limiter| {
            limiter.is_limited(login.address.unwrap_or_default(), self.started.elapsed())
        };
        limiter.is_ok_and(|limiter| limiter.as_ref().is_some_and(limited))
    }

    fn note_failure(&self, login: &Login<'_>) {
        let limiter = self.limiter.try_borrow_mut();
        if let Some(limiter) = limiter.ok().as_mut().and_then(|limiter| limiter.as_mut()) {
            let address = login.address.unwrap_or_default();
            limiter.note_failure(address, &login.connect, self.started.elapsed());
        }
    }

    /// Whether a client that is no device comes with a device id for its ClientId, while sessions are known by those:
    /// the broker would take it for the device, and give it the device's subscriptions and messages.
    fn is_name_of_a_session(&self, login: &Login<'_>) -> bool {
        self.options.session_id == SessionId::Device && self.is_device_id(login.connect.client_id)
    }

    fn is_device_id(&self, id: Option<&[u8]>) -> bool {
        id.is_some_and(|id| self.table.try_borrow().is_ok_and(|table| table.find(id).is_some()))
    }

    /// Says, once, that the broker's configuration keeps every device out.
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

    /// Why the broker asks; `None` where the session is known to have logged in properly.
    fn occasion(&self, login: &Login<'_>) -> Option<Occasion> {
        if self.sweep.get() == Sweep::No {
            return Some(Occasion::Connect);
        }
        if self
            .sessions
            .try_borrow()
            .is_ok_and(|sessions| sessions.holds(login.client, &login.connect))
        {
            return None;
        }
        // Without an address there is no connection: every socket has one, a Unix socket its path.
        if login.address.is_none()
            && login.connect.password.is_none()
            && login.protocol_version == 0
        {
            return Some(Occasion::Restored);
        }
        // A session that is offline and waits for its device. Where no TICK tells that the sweep is over, it must have
        // subscriptions to be told from a CONNECT that comes after it: for that one, the hour counts.
        if login.subscriptions > 0 || (self.ticks(SystemTime::now()) && self.may_be_swept()) {
            return Some(Occasion::Recheck);
        }
        Some(Occasion::Connect)
    }

    /// Whether the broker will send a TICK before anything else.
    ///
    /// 2.0 sends none at all with `per_listener_settings true`. 2.1 keeps by the wall clock when the next one is due: when
    /// that is set back, none comes until it has caught up (`plugin__handle_tick` in `plugin_callbacks.c`).
    fn ticks(&self, now: SystemTime) -> bool {
        self.last_tick.get().is_some_and(|last| now >= last)
    }

    /// Whether the broker may be walking through its sessions just now, so that none of them should be ended.
    fn may_be_swept(&self) -> bool {
        matches!(self.sweep.get(), Sweep::Running(since) if since.elapsed() < SWEEP_AT_MOST)
    }
}

/// A time in Unix seconds.
fn unix_seconds(time: SystemTime) -> UnixSeconds {
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()),
    }
}

/// Fails where a test asks for it.
#[cfg(feature = "fault-injection")]
#[allow(clippy::panic)]
fn fault(connect: &Connect<'_>) {
    if connect.client_id == Some(b"fault-injection: panic") {
        panic!("a test asked for this");
    }
}
