//! Who is logged in?
//!
//! At SIGHUP the broker asks for each session again, with the password that it logged in with
//! (`mosquitto_security_apply` in `security_default.c`, 2.0 and 2.1). By then the hour of most has passed. A session that
//! is remembered here is known to have logged in properly, and the question need not be asked again.

use crate::{
    login::{
        Connect,
        certificate::Digests,
        signature::{MAC_LENGTH, Password},
        verify::Proofs,
    },
    options::SessionId,
};
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
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
/// Its memory is bounded by the number of connections: a handle is forgotten when the broker says that its client is
/// gone, and replaced when it comes back as another.
#[derive(Debug, Default)]
pub struct Sessions {
    sessions: HashMap<ClientHandle, Session, FxBuildHasher>,
    /// The handles by the hash of the device id: each is there once, and several may have the same.
    devices: HashTable<(u64, ClientHandle)>,
    /// Keyed SipHash: device ids may come from strangers. Nobody chooses the handles.
    hasher: RandomState,
}

/// One login: who, and what proved it. It holds no secret, and proves nothing once its hour has passed.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The ClientId, which begins with the device id, and then the password as it was sent, if it has the length of one.
    texts: Box<[u8]>,
    client_id_length: usize,
    device_id_length: usize,
    /// The hash of the device id.
    device: u64,
    known_by: SessionId,
    certificate: Option<Box<Digests>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("client_id", &self.client_id().escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

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

    fn device_id(&self) -> &[u8] {
        self.texts.get(..self.device_id_length).unwrap_or_default()
    }

    fn password(&self) -> Option<&[u8]> {
        sent(self.texts.get(self.client_id_length..))
    }

    /// What the broker knows the session by: the ClientId, or the device id in it.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        match self.known_by {
            SessionId::Client => self.client_id(),
            SessionId::Device => self.device_id(),
        }
    }

    /// What it began with.
    #[must_use]
    pub fn proofs(&self) -> Proofs<'_> {
        Proofs {
            mac: Password::parse(self.password()).mac().copied(),
            certificate: self.certificate.as_deref(),
        }
    }
}

/// Nothing of another length is a password, and a client may send 65,535 bytes.
fn sent(password: Option<&[u8]>) -> Option<&[u8]> {
    password.filter(|text| text.len() == 2 * MAC_LENGTH)
}

impl Sessions {
    /// The session of a CONNECT whose ClientId begins with this device id; `None` if it does not.
    #[must_use]
    pub fn session_of(
        &self,
        connect: &Connect<'_>,
        device_id: &[u8],
        known_by: SessionId,
    ) -> Option<Session> {
        let client_id = connect.client_id.filter(|id| id.starts_with(device_id))?;
        Some(Session {
            texts: [client_id, sent(connect.password).unwrap_or_default()].concat().into(),
            client_id_length: client_id.len(),
            device_id_length: device_id.len(),
            device: self.hasher.hash_one(device_id),
            known_by,
            certificate: connect.certificate.map(|der| Box::new(Digests::of(der))),
        })
    }

    /// Notes a login that was accepted.
    pub fn remember(&mut self, client: ClientHandle, session: Session) {
        let device = session.device;
        if let Some(before) = self.sessions.insert(client, session) {
            self.forget_device(&before, client);
        }
        self.devices.insert_unique(device, (device, client), |(device, _)| *device);
    }

    /// The client is gone.
    pub fn forget(&mut self, client: ClientHandle) {
        if let Some(session) = self.sessions.remove(&client) {
            self.forget_device(&session, client);
        }
    }

    fn forget_device(&mut self, session: &Session, client: ClientHandle) {
        if let Ok(entry) = self.devices.find_entry(session.device, |(_, other)| *other == client) {
            entry.remove();
        }
    }

    /// Whether this is a login that was accepted, and not another one behind the same handle.
    #[must_use]
    pub fn holds(&self, client: ClientHandle, connect: &Connect<'_>) -> bool {
        self.sessions.get(&client).is_some_and(|session| session.began_with(connect))
    }

    /// The sessions that the device of this one has under other names.
    pub fn others_of<'a>(
        &'a self,
        session: &'a Session,
    ) -> impl Iterator<Item = (ClientHandle, &'a Session)> {
        self.devices
            .iter_hash(session.device)
            .filter_map(|(_, client)| Some((*client, self.sessions.get(client)?)))
            .filter(|(_, other)| {
                other.device_id() == session.device_id() && other.id() != session.id()
            })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ClientHandle, &Session)> {
        self.sessions.iter().map(|(client, session)| (*client, session))
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect<'a>(client_id: &'a [u8], password: &'a [u8]) -> Connect<'a> {
        Connect { client_id: Some(client_id), password: Some(password), ..Connect::default() }
    }

    /// Remembers the login of a device whose ClientId is an underscore and a letter longer than its id.
    fn remember(sessions: &mut Sessions, client: usize, client_id: &[u8], password: &[u8]) {
        let device_id = &client_id[..client_id.len() - 2];
        let session =
            sessions.session_of(&connect(client_id, password), device_id, SessionId::Client);
        sessions.remember(ClientHandle(client), session.unwrap());
    }

    #[test]
    fn knows_a_login_and_no_other() {
        let (p, q) = ([b'a'; 64], [b'b'; 64]);
        let (one, two) = (ClientHandle(1), ClientHandle(2));
        let mut sessions = Sessions::default();
        remember(&mut sessions, 1, b"a_1", &p);
        assert!(sessions.holds(one, &connect(b"a_1", &p)));
        assert!(!sessions.holds(two, &connect(b"a_1", &p)));
        assert!(!sessions.holds(one, &connect(b"a_2", &p)));
        assert!(!sessions.holds(one, &connect(b"a_1", &q)));
        assert!(!sessions.holds(one, &Connect::default()));

        remember(&mut sessions, 1, b"b_1", &q);
        assert!(
            sessions.holds(one, &connect(b"b_1", &q)) && !sessions.holds(one, &connect(b"a_1", &p))
        );

        sessions.forget(one);
        sessions.forget(two);
        assert!(sessions.is_empty() && sessions.devices.is_empty());
    }

    #[test]
    fn knows_the_other_sessions_of_a_device() {
        let p = [b'a'; 64];
        let others = |sessions: &Sessions, client_id: &[u8], device_id: &[u8]| {
            let new = sessions.session_of(&connect(client_id, &p), device_id, SessionId::Client);
            let new = new.unwrap();
            let mut handles: Vec<usize> =
                sessions.others_of(&new).map(|(client, _)| client.0).collect();
            handles.sort_unstable();
            handles
        };
        let mut sessions = Sessions::default();
        remember(&mut sessions, 1, b"a_1", &p);
        remember(&mut sessions, 2, b"a_2", &p);
        remember(&mut sessions, 3, b"b_1", &p);
        assert_eq!(others(&sessions, b"a_3", b"a"), [1, 2]);
        assert_eq!(others(&sessions, b"a_2", b"a"), [1]);
        remember(&mut sessions, 1, b"b_2", &p);
        assert_eq!(others(&sessions, b"a_3", b"a"), [2]);
        assert_eq!(others(&sessions, b"b_3", b"b"), [1, 3]);
        for client in 1..=3 {
            sessions.forget(ClientHandle(client));
        }
        assert!(sessions.is_empty() && sessions.devices.is_empty());
    }

    #[test]
    fn is_known_by_the_device_where_it_shall_be() {
        let p = [b'a'; 64];
        let connect = |client_id| connect(client_id, &p);
        let login = connect(b"lamp_0_1_2026112209");
        let sessions = Sessions::default();
        let session = sessions.session_of(&login, b"lamp", SessionId::Device).unwrap();
        assert_eq!(
            (session.id(), session.client_id()),
            (&b"lamp"[..], &b"lamp_0_1_2026112209"[..])
        );
        assert!(session.began_with(&connect(b"lamp")));
        assert!(!session.began_with(&login));
        assert_eq!(sessions.session_of(&login, b"tree", SessionId::Device), None);
    }

    #[test]
    fn shows_no_password() {
        let mut sessions = Sessions::default();
        remember(&mut sessions, 1, b"a_1", &[b'c'; 64]);
        let shown = format!("{sessions:?}");
        assert!(!shown.contains("204") && !shown.contains("cccc"), "{shown}");
    }
}
