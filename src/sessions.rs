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
    ffi::{CStr, CString},
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
    /// Each with the hash of its device id.
    sessions: HashMap<ClientHandle, (u64, Session), FxBuildHasher>,
    /// The handles by that hash: each is there once, and several may have the same.
    devices: HashTable<(u64, ClientHandle)>,
    /// Keyed SipHash: device ids may come from strangers. Nobody chooses the handles.
    hasher: RandomState,
}

/// One login: who, and what proved it. It holds no secret, and proves nothing once its hour has passed.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// It begins with the device id.
    client_id: Box<CStr>,
    device_id_length: usize,
    known_by: SessionId,
    password: Option<SentPassword>,
    certificate: Option<Box<Digests>>,
}

/// A password as it was sent, if it has the length of one.
type SentPassword = [u8; 2 * MAC_LENGTH];

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Session {
    /// The session of a CONNECT whose ClientId begins with this device id; `None` if it cannot be one of C's strings, which
    /// it then did not come from.
    #[must_use]
    pub fn of(connect: &Connect<'_>, device_id: &[u8], known_by: SessionId) -> Option<Self> {
        let client_id = connect.client_id.filter(|id| id.starts_with(device_id))?;
        Some(Self {
            client_id: CString::new(client_id).ok()?.into_boxed_c_str(),
            device_id_length: device_id.len(),
            known_by,
            password: sent(connect.password),
            certificate: connect.certificate.map(|der| Box::new(Digests::of(der))),
        })
    }

    /// Whether what the broker knows of a session is what this one began with.
    #[must_use]
    pub fn began_with(&self, connect: &Connect<'_>) -> bool {
        connect.client_id == Some(self.id()) && sent(connect.password) == self.password
    }

    /// The ClientId as it was sent.
    #[must_use]
    pub fn client_id(&self) -> &CStr {
        &self.client_id
    }

    fn device_id(&self) -> &[u8] {
        self.client_id.to_bytes().get(..self.device_id_length).unwrap_or_default()
    }

    /// What the broker knows the session by: the ClientId, or the device id in it, so it has no NUL.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        match self.known_by {
            SessionId::Client => self.client_id.to_bytes(),
            SessionId::Device => self.device_id(),
        }
    }

    /// What it began with.
    #[must_use]
    pub fn proofs(&self) -> Proofs<'_> {
        let password = Password::parse(self.password.as_ref().map(|text| text.as_slice()));
        Proofs { mac: password.mac().copied(), certificate: self.certificate.as_deref() }
    }
}

/// Nothing of another length is a password, and a client may send 65,535 bytes.
fn sent(password: Option<&[u8]>) -> Option<SentPassword> {
    password?.try_into().ok()
}

impl Sessions {
    /// Notes a login that was accepted.
    pub fn remember(&mut self, client: ClientHandle, session: Session) {
        let hash = self.hash(session.device_id());
        if let Some((before, _)) = self.sessions.insert(client, (hash, session)) {
            self.forget_hash(before, client);
        }
        self.devices.insert_unique(hash, (hash, client), |(hash, _)| *hash);
    }

    /// The client is gone.
    pub fn forget(&mut self, client: ClientHandle) {
        if let Some((hash, _)) = self.sessions.remove(&client) {
            self.forget_hash(hash, client);
        }
    }

    fn forget_hash(&mut self, hash: u64, client: ClientHandle) {
        if let Ok(entry) = self.devices.find_entry(hash, |(_, other)| *other == client) {
            entry.remove();
        }
    }

    fn hash(&self, device_id: &[u8]) -> u64 {
        self.hasher.hash_one(device_id)
    }

    /// Whether this is a login that was accepted, and not another one behind the same handle.
    #[must_use]
    pub fn holds(&self, client: ClientHandle, connect: &Connect<'_>) -> bool {
        self.sessions.get(&client).is_some_and(|(_, session)| session.began_with(connect))
    }

    /// The sessions of a device.
    pub fn of_device<'a>(
        &'a self,
        device_id: &'a [u8],
    ) -> impl Iterator<Item = (ClientHandle, &'a Session)> {
        self.devices
            .iter_hash(self.hash(device_id))
            .filter_map(|(_, client)| Some((*client, &self.sessions.get(client)?.1)))
            .filter(move |(_, session)| session.device_id() == device_id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ClientHandle, &Session)> {
        self.sessions.iter().map(|(client, (_, session))| (*client, session))
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

    fn session(client_id: &[u8], password: &[u8]) -> Session {
        Session::of(&connect(client_id, password), client_id, SessionId::Client).unwrap()
    }

    #[test]
    fn knows_a_login_and_no_other() {
        let (p, q) = ([b'a'; 64], [b'b'; 64]);
        let (one, two) = (ClientHandle(1), ClientHandle(2));
        let mut sessions = Sessions::default();
        sessions.remember(one, session(b"a", &p));
        assert!(sessions.holds(one, &connect(b"a", &p)));
        assert!(!sessions.holds(two, &connect(b"a", &p)));
        assert!(!sessions.holds(one, &connect(b"b", &p)));
        assert!(!sessions.holds(one, &connect(b"a", &q)));
        assert!(!sessions.holds(one, &Connect::default()));

        sessions.remember(one, session(b"b", &q));
        assert!(
            sessions.holds(one, &connect(b"b", &q)) && !sessions.holds(one, &connect(b"a", &p))
        );

        sessions.forget(one);
        sessions.forget(two);
        assert!(sessions.is_empty() && sessions.devices.is_empty());
    }

    #[test]
    fn knows_the_sessions_of_a_device() {
        let p = [b'a'; 64];
        let of = |id: &[u8], device: &[u8]| {
            Session::of(&connect(id, &p), device, SessionId::Client).unwrap()
        };
        let handles = |sessions: &Sessions, device: &[u8]| {
            let mut handles: Vec<usize> =
                sessions.of_device(device).map(|(client, _)| client.0).collect();
            handles.sort_unstable();
            handles
        };
        let mut sessions = Sessions::default();
        sessions.remember(ClientHandle(1), of(b"a_1", b"a"));
        sessions.remember(ClientHandle(2), of(b"a_2", b"a"));
        sessions.remember(ClientHandle(3), of(b"b_1", b"b"));
        assert_eq!(handles(&sessions, b"a"), [1, 2]);
        sessions.remember(ClientHandle(1), of(b"b_2", b"b"));
        assert_eq!((handles(&sessions, b"a"), handles(&sessions, b"b")), (vec![2], vec![1, 3]));
        for client in 1..=3 {
            sessions.forget(ClientHandle(client));
        }
        assert!(sessions.is_empty() && sessions.devices.is_empty());
    }

    #[test]
    fn is_known_by_the_device_where_it_shall_be() {
        let p = [b'a'; 64];
        let session =
            Session::of(&connect(b"lamp_0_1_2026112209", &p), b"lamp", SessionId::Device).unwrap();
        assert_eq!((session.id(), session.client_id()), (&b"lamp"[..], c"lamp_0_1_2026112209"));
        assert!(session.began_with(&connect(b"lamp", &p)));
        assert!(!session.began_with(&connect(b"lamp_0_1_2026112209", &p)));
    }

    #[test]
    fn shows_no_password() {
        let mut sessions = Sessions::default();
        sessions.remember(ClientHandle(1), session(b"a", &[b'c'; 64]));
        let shown = format!("{sessions:?}");
        assert!(!shown.contains("204") && !shown.contains("cccc"), "{shown}");
    }
}
