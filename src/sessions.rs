//! Who is logged in?
//!
//! At SIGHUP the broker asks for each session again, with the password that it logged in with
//! (`mosquitto_security_apply` in `security_default.c`, 2.0 and 2.1). By then the hour of most passwords is over. A session
//! that is remembered here has logged in properly, and need not be checked again.
//!
//! # What is found how fast
//!
//! A login looks for one other session: the one that it ends. With `one_connection yes` that is the session of the same
//! device, otherwise the session of the same name, which the broker itself takes over. The index has just this key, so
//! there is one entry for each key, however many sessions a device has.

use crate::takeovers::{self, Takeovers, minute};
use hashbrown::HashTable;
use iotda_core::{
    log::Often,
    login::{
        Connect,
        certificate::Digests,
        signature::{MAC_LENGTH, Password},
        verify::Proofs,
    },
    options::{Limit, SessionId},
};
use rustc_hash::FxBuildHasher;
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The broker's handle of a client connection: an address that the broker uses again once the client is gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientHandle(pub usize);

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The devices that are logged in, by the broker's handle.
///
/// Its memory is bounded by the number of connections: a handle is forgotten when the broker reports that its client is
/// gone, and replaced when the broker uses it for another client.
#[derive(Debug)]
pub struct Sessions {
    known_by: SessionId,
    one_connection: bool,
    sessions: HashMap<ClientHandle, Session, FxBuildHasher>,
    /// The sessions that are not being ended, by a hash that is unique among them: of the device, or of the name.
    index: HashTable<(u64, ClientHandle)>,
    /// The same sessions by the hash of their device, if that is a different key.
    by_device: Option<HashTable<(u64, ClientHandle)>>,
    /// Keyed SipHash: device ids may come from strangers. Nobody chooses the handles.
    hasher: RandomState,
    /// The keys of devices that logged in too often during a minute, and which minute that was.
    often: Vec<u64>,
    often_in: u64,
}

/// One login: who, and what proved it. It holds no secret, and is worth nothing after its hour.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The ClientId, which begins with the device id, then the password as it was sent, if it has the length of one, then
    /// the address.
    texts: Box<[u8]>,
    client_id_length: usize,
    device_id_length: usize,
    has_password: bool,
    /// The hash of the device or the name.
    key: u64,
    known_by: SessionId,
    /// It was told to end, or another session has its name. The broker has not yet reported it as gone.
    is_leaving: bool,
    /// A kick only marks it, and its will comes when it closes: so it is with a WebSocket on 2.0.
    closes_late: bool,
    certificate: Option<Box<Digests>>,
    takeovers: Option<Box<Takeovers>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("client_id", &self.client_id().escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

/// Where a login comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whence<'a> {
    /// The address, as the log shows it.
    pub address: &'a [u8],
    /// Whether a kick only marks the connection: it closes when the client reads or hangs up.
    pub closes_late: bool,
}

/// What a new session has done to another.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// It replaces no session.
    Alone,
    /// It replaces a live connection, which has to be ended unless it has the same name.
    TookOver(Replaced),
    /// It was not noted: the device has taken itself over too often.
    TooOften,
}

/// A session that another one replaces.
#[derive(Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The broker's handle of the old connection.
    pub client: ClientHandle,
    /// The old session, as it was noted.
    pub session: Session,
    /// Whether the broker takes it over by itself, because the new one has the same name.
    pub by_the_broker: bool,
    /// How often the device has logged in during this minute.
    pub logins: u32,
}

/// How many devices that log in too often are logged by name, each minute.
pub const MOST_OFTEN: usize = 50;

impl Session {
    /// Whether what the broker knows of a session is what this one began with.
    #[must_use]
    pub fn began_with(&self, connect: &Connect<'_>) -> bool {
        connect.client_id == Some(self.id()) && sent(connect.password) == self.password()
    }

    /// The ClientId as it was sent.
    #[must_use]
    pub fn client_id(&self) -> &[u8] {
        self.texts.get(..self.client_id_length).unwrap_or_default()
    }

    /// The device id.
    #[must_use]
    pub fn device_id(&self) -> &[u8] {
        self.texts.get(..self.device_id_length).unwrap_or_default()
    }

    fn password(&self) -> Option<&[u8]> {
        let rest = self.texts.get(self.client_id_length..)?;
        if self.has_password { rest.get(..2 * MAC_LENGTH) } else { None }
    }

    /// The address that it came from, as the log shows it.
    #[must_use]
    pub fn address(&self) -> &[u8] {
        let before = self.client_id_length + if self.has_password { 2 * MAC_LENGTH } else { 0 };
        self.texts.get(before..).unwrap_or_default()
    }

    /// The broker's name for the session: the ClientId, or the device id in it.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        match self.known_by {
            SessionId::Client => self.client_id(),
            SessionId::Device => self.device_id(),
        }
    }

    /// Whether a kick only marks it, and its will comes when it closes.
    #[must_use]
    pub fn closes_late(&self) -> bool {
        self.closes_late
    }

    /// The credentials that it began with.
    #[must_use]
    pub fn proofs(&self) -> Proofs<'_> {
        Proofs {
            mac: Password::parse(self.password()).mac().copied(),
            certificate: self.certificate.as_deref(),
        }
    }
}

/// A text of another length is not a password, and a client may send 65,535 bytes.
fn sent(password: Option<&[u8]>) -> Option<&[u8]> {
    password.filter(|text| text.len() == 2 * MAC_LENGTH)
}

impl Sessions {
    /// No sessions yet, for a broker that names sessions in this way; with `one_connection`, a device has at most one.
    #[must_use]
    pub fn new(known_by: SessionId, one_connection: bool) -> Self {
        Self {
            known_by,
            one_connection,
            sessions: HashMap::default(),
            index: HashTable::new(),
            by_device: (!one_connection && known_by == SessionId::Client).then(HashTable::new),
            hasher: RandomState::new(),
            often: Vec::new(),
            often_in: 0,
        }
    }

    /// The session of a CONNECT whose ClientId begins with this device id; `None` if it does not.
    #[must_use]
    pub fn session_of(
        &self,
        connect: &Connect<'_>,
        device_id: &[u8],
        whence: Whence<'_>,
    ) -> Option<Session> {
        let client_id = connect.client_id.filter(|id| id.starts_with(device_id))?;
        let password = sent(connect.password);
        let only_one = match (self.one_connection, self.known_by) {
            (true, _) | (false, SessionId::Device) => device_id,
            (false, SessionId::Client) => client_id,
        };
        Some(Session {
            texts: [client_id, password.unwrap_or_default(), whence.address].concat().into(),
            client_id_length: client_id.len(),
            device_id_length: device_id.len(),
            has_password: password.is_some(),
            key: self.hasher.hash_one(only_one),
            known_by: self.known_by,
            is_leaving: false,
            closes_late: whence.closes_late,
            certificate: connect.certificate.map(|der| Box::new(Digests::of(der))),
            takeovers: None,
        })
    }

    /// Notes a login that was accepted, unless it is one take-over too many. `now` counts from any fixed point, and is
    /// called only for a take-over.
    ///
    /// The session that it replaces counts as leaving from here on.
    pub fn begin(
        &mut self,
        client: ClientHandle,
        mut new: Session,
        limit: Option<Limit>,
        now: impl FnOnce() -> Duration,
    ) -> Begun {
        let rival = self.rival_of(&new).filter(|rival| *rival != client);
        let Some((rival, session)) = rival.and_then(|at| Some((at, self.sessions.get(&at)?)))
        else {
            self.insert(client, new);
            return Begun::Alone;
        };
        let now = now();
        let known = session.takeovers.as_deref();
        let too_many = |limit| known.is_some_and(|takeovers| takeovers.are_too_many(limit, now));
        if limit.is_some_and(too_many) {
            return Begun::TooOften;
        }
        let session = session.clone();
        let mut takeovers = session.takeovers.clone().unwrap_or_default();
        takeovers.note(limit, now, session.address(), new.address());
        let logins = takeovers.logins(minute(now));
        if logins == takeovers::IN_FULL + 2 {
            self.note_often(new.key, now);
        }
        let by_the_broker = session.id() == new.id();
        new.takeovers = Some(takeovers);
        self.leave(rival);
        self.insert(client, new);
        Begun::TookOver(Replaced { client: rival, session, by_the_broker, logins })
    }

    /// The session that a new one replaces.
    fn rival_of(&self, new: &Session) -> Option<ClientHandle> {
        let same = |(key, client): &(u64, ClientHandle)| {
            *key == new.key
                && self.sessions.get(client).is_some_and(|other| {
                    if self.one_connection {
                        other.device_id() == new.device_id()
                    } else {
                        other.id() == new.id()
                    }
                })
        };
        self.index.find(new.key, same).map(|(_, client)| *client)
    }

    fn insert(&mut self, client: ClientHandle, session: Session) {
        let key = session.key;
        self.forget(client);
        self.sessions.insert(client, session);
        self.index.insert_unique(key, (key, client), |(key, _)| *key);
        if let Some(device) = self.device_hash(client) {
            if let Some(by_device) = &mut self.by_device {
                by_device.insert_unique(device, (device, client), |(device, _)| *device);
            }
        }
    }

    /// The hash of a session's device, where there is an index of those.
    fn device_hash(&self, client: ClientHandle) -> Option<u64> {
        self.by_device.as_ref()?;
        Some(self.hasher.hash_one(self.sessions.get(&client)?.device_id()))
    }

    /// Calls a function with each session of a device that is not being ended.
    pub fn each_of_device(&self, device_id: &[u8], mut call: impl FnMut(ClientHandle, &Session)) {
        let hash = self.hasher.hash_one(device_id);
        for (_, client) in self.by_device.as_ref().unwrap_or(&self.index).iter_hash(hash) {
            let session = self.sessions.get(client);
            if let Some(session) = session.filter(|session| session.device_id() == device_id) {
                call(*client, session);
            }
        }
    }

    /// Marks a session as being ended: the broker will report when it is gone.
    pub fn leave(&mut self, client: ClientHandle) {
        if let Some(session) = self.sessions.get_mut(&client) {
            session.is_leaving = true;
            self.remove_from_index(client);
        }
    }

    /// Forgets a client that is gone. Returns whether it was there.
    pub fn forget(&mut self, client: ClientHandle) -> bool {
        self.remove_from_index(client);
        self.sessions.remove(&client).is_some()
    }

    fn remove_from_index(&mut self, client: ClientHandle) {
        let Some(key) = self.sessions.get(&client).map(|session| session.key) else { return };
        if let Ok(entry) = self.index.find_entry(key, |(_, other)| *other == client) {
            entry.remove();
        }
        let device = self.device_hash(client);
        if let (Some(device), Some(by_device)) = (device, &mut self.by_device) {
            if let Ok(entry) = by_device.find_entry(device, |(_, other)| *other == client) {
                entry.remove();
            }
        }
    }

    /// Whether there is a session, being ended or not, behind this handle and under this id.
    #[must_use]
    pub fn knows(&self, client: ClientHandle, id: &[u8]) -> bool {
        self.sessions.get(&client).is_some_and(|session| session.id() == id)
    }

    /// Whether this is the login that was accepted, and not another one with the same handle.
    #[must_use]
    pub fn holds(&self, client: ClientHandle, connect: &Connect<'_>) -> bool {
        self.sessions.get(&client).is_some_and(|session| session.began_with(connect))
    }

    /// The session behind a handle, unless it is being ended.
    #[must_use]
    pub fn live(&self, client: ClientHandle) -> Option<&Session> {
        self.sessions.get(&client).filter(|session| !session.is_leaving)
    }

    /// The broker's name for a session, whether it is being ended or not.
    #[must_use]
    pub fn id_of(&self, client: ClientHandle) -> Option<&[u8]> {
        self.sessions.get(&client).map(Session::id)
    }

    /// The handles of all sessions that are not being ended.
    #[must_use]
    pub fn handles(&self) -> Vec<ClientHandle> {
        self.index.iter().map(|(_, client)| *client).collect()
    }

    /// How many sessions there are, without those that are being ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn note_often(&mut self, key: u64, now: Duration) {
        if self.often.is_empty() {
            self.often_in = minute(now);
        }
        if self.often.len() < MOST_OFTEN {
            self.often.push(key);
        }
    }

    /// The devices that logged in too often, once their minute is over. `now` is called only if there are any.
    pub fn often(&mut self, now: impl FnOnce() -> Duration) -> Vec<Often> {
        if self.often.is_empty() || minute(now()) == self.often_in {
            return Vec::new();
        }
        let keys = std::mem::take(&mut self.often);
        let often = |key: u64| {
            let (_, client) = self.index.find(key, |(other, _)| *other == key)?;
            let session = self.sessions.get(client)?;
            let takeovers = session.takeovers.as_deref()?;
            Some(Often {
                device_id: session.device_id().into(),
                logins: takeovers.logins(self.often_in),
                addresses: [session.address().into(), takeovers.other_address().into()],
            })
        };
        keys.into_iter().filter_map(often).filter(|often| often.logins > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(6000);
    const P: [u8; 64] = [b'a'; 64];
    const Q: [u8; 64] = [b'b'; 64];

    fn connect<'a>(client_id: &'a [u8], password: &'a [u8]) -> Connect<'a> {
        Connect { client_id: Some(client_id), password: Some(password), ..Connect::default() }
    }

    fn sessions(one_connection: bool) -> Sessions {
        Sessions::new(SessionId::Client, one_connection)
    }

    /// Logs in a device whose ClientId is an underscore and a letter longer than its id.
    fn log_in(sessions: &mut Sessions, client: usize, client_id: &[u8], password: &[u8]) -> Begun {
        let device_id = &client_id[..client_id.len() - 2];
        let whence = Whence { address: b"192.0.2.1", closes_late: false };
        let session = sessions.session_of(&connect(client_id, password), device_id, whence);
        sessions.begin(ClientHandle(client), session.unwrap(), None, || NOW)
    }

    fn replaced(begun: Begun) -> Option<(usize, bool)> {
        match begun {
            Begun::TookOver(replaced) => Some((replaced.client.0, replaced.by_the_broker)),
            Begun::Alone => None,
            Begun::TooOften => panic!("there is no limit"),
        }
    }

    #[test]
    fn knows_a_login_and_no_other() {
        let (one, two) = (ClientHandle(1), ClientHandle(2));
        let mut sessions = sessions(true);
        log_in(&mut sessions, 1, b"a_1", &P);
        assert!(sessions.holds(one, &connect(b"a_1", &P)) && sessions.knows(one, b"a_1"));
        assert!(!sessions.holds(two, &connect(b"a_1", &P)) && !sessions.knows(two, b"a_1"));
        assert!(!sessions.holds(one, &connect(b"a_2", &P)) && !sessions.knows(one, b"a_2"));
        assert!(!sessions.holds(one, &connect(b"a_1", &Q)));
        assert!(!sessions.holds(one, &Connect::default()));
        assert_eq!(sessions.live(one).unwrap().address(), b"192.0.2.1");

        log_in(&mut sessions, 1, b"b_1", &Q);
        assert!(
            sessions.holds(one, &connect(b"b_1", &Q)) && !sessions.holds(one, &connect(b"a_1", &P))
        );

        sessions.forget(one);
        sessions.forget(two);
        assert!(sessions.is_empty() && sessions.sessions.is_empty());
    }

    #[test]
    fn a_password_of_another_length_is_none() {
        let mut sessions = sessions(true);
        log_in(&mut sessions, 1, b"a_1", b"short");
        let one = ClientHandle(1);
        assert!(sessions.holds(one, &connect(b"a_1", b"another")));
        assert!(!sessions.holds(one, &connect(b"a_1", &P)));
        assert_eq!(sessions.live(one).unwrap().address(), b"192.0.2.1");
    }

    #[test]
    fn a_device_has_one_connection() {
        let mut sessions = sessions(true);
        assert_eq!(replaced(log_in(&mut sessions, 1, b"a_1", &P)), None);
        assert_eq!(replaced(log_in(&mut sessions, 3, b"b_1", &P)), None);
        assert_eq!(replaced(log_in(&mut sessions, 2, b"a_2", &P)), Some((1, false)));
        // The first one is being ended, and is still known.
        assert!(sessions.holds(ClientHandle(1), &connect(b"a_1", &P)));
        assert!(sessions.live(ClientHandle(1)).is_none());
        assert_eq!(sessions.len(), 2);
        // The same name: the broker takes it over.
        assert_eq!(replaced(log_in(&mut sessions, 4, b"a_2", &P)), Some((2, true)));
        // The same handle: the client was gone, but that was not reported.
        assert_eq!(replaced(log_in(&mut sessions, 4, b"a_3", &P)), None);
        for client in 1..=4 {
            sessions.forget(ClientHandle(client));
        }
        assert!(sessions.is_empty() && sessions.sessions.is_empty());
    }

    #[test]
    fn or_as_many_as_it_has_names() {
        let mut sessions = sessions(false);
        for client in 0..5000 {
            let client_id = format!("{client:05}_0");
            assert_eq!(replaced(log_in(&mut sessions, client, client_id.as_bytes(), &P)), None);
        }
        assert_eq!(replaced(log_in(&mut sessions, 9000, b"00007_0", &P)), Some((7, true)));
        assert_eq!(sessions.len(), 5000);
        let keys: std::collections::HashSet<u64> =
            sessions.index.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys.len(), 5000, "no two names share a place");
    }

    #[test]
    fn is_known_by_the_device_where_it_shall_be() {
        let connect = |client_id| connect(client_id, &P);
        let login = connect(b"lamp_0_1_2026112209");
        for one_connection in [true, false] {
            let mut sessions = Sessions::new(SessionId::Device, one_connection);
            let of = |sessions: &Sessions, login, device| {
                sessions.session_of(login, device, Whence::default())
            };
            let session = of(&sessions, &login, b"lamp").unwrap();
            assert_eq!(
                (session.id(), session.client_id()),
                (&b"lamp"[..], &b"lamp_0_1_2026112209"[..])
            );
            assert!(session.began_with(&connect(b"lamp")));
            assert!(!session.began_with(&login));
            assert_eq!(of(&sessions, &login, b"tree"), None);
            sessions.begin(ClientHandle(1), session, None, || NOW);
            let next = of(&sessions, &connect(b"lamp_0_1_2026112210"), b"lamp").unwrap();
            let begun = sessions.begin(ClientHandle(2), next, None, || NOW);
            assert_eq!(replaced(begun), Some((1, true)));
        }
    }

    #[test]
    fn a_device_that_takes_itself_over_is_limited_and_told() {
        let limit = Limit { count: 6, within: Duration::from_secs(60) };
        let mut sessions = sessions(true);
        let mut log_in = |client: usize, now| {
            let (client_id, address) = if client % 2 == 0 {
                (&b"a_0"[..], &b"192.0.2.1"[..])
            } else {
                (&b"a_1"[..], &b"192.0.2.2"[..])
            };
            let whence = Whence { address, closes_late: false };
            let session = sessions.session_of(&connect(client_id, &P), b"a", whence).unwrap();
            let begun = sessions.begin(ClientHandle(client), session, Some(limit), || now);
            (begun, sessions.often(|| now))
        };
        assert_eq!(log_in(0, NOW).0, Begun::Alone);
        for client in 1..=6 {
            let (begun, often) = log_in(client, NOW);
            assert!(matches!(begun, Begun::TookOver(_)), "{client}: {begun:?}");
            assert!(often.is_empty());
        }
        assert_eq!(log_in(7, NOW).0, Begun::TooOften);
        let (begun, often) = log_in(8, NOW + Duration::from_secs(30));
        assert!(matches!(begun, Begun::TookOver(_)) && often.is_empty());
        let next = NOW + Duration::from_secs(60);
        let often = sessions.often(|| next);
        assert_eq!(
            often,
            [Often {
                device_id: b"a"[..].into(),
                logins: 8,
                addresses: [b"192.0.2.1"[..].into(), b"192.0.2.2"[..].into()],
            }]
        );
        assert!(sessions.often(|| next).is_empty());
        assert_eq!(sessions.live(ClientHandle(6)), None);
        assert!(sessions.live(ClientHandle(8)).is_some());
    }

    #[test]
    fn lists_those_that_are_not_being_ended() {
        let mut sessions = sessions(true);
        let listed = |sessions: &Sessions| {
            let mut handles: Vec<usize> =
                sessions.handles().iter().map(|client| client.0).collect();
            handles.sort_unstable();
            assert_eq!(handles.len(), sessions.len());
            assert_eq!(handles.is_empty(), sessions.is_empty());
            handles
        };
        assert_eq!(listed(&sessions), []);
        log_in(&mut sessions, 1, b"a_1", &P);
        log_in(&mut sessions, 2, b"b_1", &P);
        assert_eq!(listed(&sessions), [1, 2]);
        log_in(&mut sessions, 3, b"b_2", &P);
        assert_eq!(listed(&sessions), [1, 3]);
        sessions.leave(ClientHandle(1));
        assert_eq!(listed(&sessions), [3]);
        for client in 1..=3 {
            assert!(sessions.forget(ClientHandle(client)), "{client} is there until it is gone");
            assert!(!sessions.forget(ClientHandle(client)));
        }
        assert_eq!(listed(&sessions), []);
    }

    #[test]
    fn keeps_what_proved_a_login_and_how_it_closes() {
        let sessions = sessions(true);
        let der = Digests::of(b"der");
        for (password, certificate, mac, digests) in [
            (&P[..], None, Some([0xAA; MAC_LENGTH]), None),
            (&Q, Some(&b"der"[..]), Some([0xBB; MAC_LENGTH]), Some(der)),
            (b"short", Some(b"der"), None, Some(der)),
            (&[b'x'; 64], None, None, None),
        ] {
            for closes_late in [false, true] {
                let connect = Connect { certificate, ..connect(b"a_1", password) };
                let whence = Whence { address: b"192.0.2.1", closes_late };
                let session = sessions.session_of(&connect, b"a", whence).unwrap();
                assert_eq!(session.proofs().mac, mac, "{connect:?}");
                assert_eq!(session.proofs().certificate.copied(), digests, "{connect:?}");
                assert_eq!(session.closes_late(), closes_late);
                assert_eq!(session.address(), b"192.0.2.1");
            }
        }
    }

    #[test]
    fn a_device_is_told_from_one_login_more_than_is_told_in_full() {
        for takeovers in 1..=2 * takeovers::IN_FULL {
            let mut sessions = sessions(true);
            for login in 0..=takeovers {
                let client_id = if login % 2 == 0 { b"a_0" } else { b"a_1" };
                log_in(&mut sessions, login as usize, client_id, &P);
            }
            // Nothing is reported before the minute is over.
            assert_eq!(sessions.often(|| NOW + Duration::from_secs(59)), []);
            let logins: Vec<u32> = sessions
                .often(|| NOW + Duration::from_secs(60))
                .iter()
                .map(|often| often.logins)
                .collect();
            let told = takeovers > takeovers::IN_FULL;
            assert_eq!(logins, if told { vec![takeovers + 1] } else { vec![] }, "{takeovers}");
        }
    }

    #[test]
    fn so_many_devices_are_told_and_only_those_of_the_minute_that_is_over() {
        let mut sessions = sessions(true);
        let mut log_in = |device: usize, login: usize, now| {
            let client_id = format!("{device:03}_{login}");
            let client = ClientHandle(device * 10 + login);
            let whence = Whence { address: b"192.0.2.1", closes_late: false };
            let connect = connect(client_id.as_bytes(), &P);
            let session = sessions.session_of(&connect, &client_id.as_bytes()[..3], whence);
            sessions.begin(client, session.unwrap(), None, || now);
        };
        let next = NOW + Duration::from_secs(60);
        for device in 0..=MOST_OFTEN {
            for login in 0..6 {
                log_in(device, login, NOW);
            }
        }
        // What the first device did in the minute before is no longer known.
        log_in(0, 6, next);
        let told = sessions.often(|| next);
        assert_eq!(told.len(), MOST_OFTEN - 1);
        assert!(told.iter().all(|often| often.logins == 6 && *often.device_id != *b"000"));
    }

    #[test]
    fn shows_no_password() {
        let mut sessions = sessions(true);
        log_in(&mut sessions, 1, b"a_1", &[b'c'; 64]);
        let shown = format!("{sessions:?}");
        assert!(!shown.contains("204") && !shown.contains("cccc"), "{shown}");
    }
}
