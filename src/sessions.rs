//! Who is logged in?
//!
//! At SIGHUP the broker asks for each session again, with the password that it logged in with
//! (`mosquitto_security_apply` in `security_default.c`, 2.0 and 2.1). By then the hour of most has passed. A session that
//! is remembered here is known to have logged in properly, and the question need not be asked again.

use crate::login::{
    Connect,
    signature::{MAC_LENGTH, Password},
};
use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    fmt,
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
pub struct Sessions(HashMap<ClientHandle, Session>);

/// One login: who, and what proved it. It holds no secret, and proves nothing once its hour has passed.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    client_id: Box<CStr>,
    proof: Option<[u8; MAC_LENGTH]>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Session {
    /// The session of a CONNECT; `None` if its ClientId cannot be one of C's strings, which it then did not come from.
    #[must_use]
    pub fn of(connect: &Connect<'_>) -> Option<Self> {
        let client_id = CString::new(connect.client_id?).ok()?.into_boxed_c_str();
        Some(Self { client_id, proof: Password::parse(connect.password).mac().copied() })
    }

    /// Whether a CONNECT is the one that the session began with.
    #[must_use]
    pub fn began_with(&self, connect: &Connect<'_>) -> bool {
        connect.client_id == Some(self.client_id.to_bytes())
            && Password::parse(connect.password).mac() == self.proof.as_ref()
    }

    /// The ClientId.
    #[must_use]
    pub fn client_id(&self) -> &CStr {
        &self.client_id
    }

    /// What the password stood for.
    #[must_use]
    pub fn proof(&self) -> Option<&[u8; MAC_LENGTH]> {
        self.proof.as_ref()
    }
}

impl Sessions {
    /// Notes a login that was accepted.
    pub fn remember(&mut self, client: ClientHandle, session: Session) {
        self.0.insert(client, session);
    }

    /// The client is gone.
    pub fn forget(&mut self, client: ClientHandle) {
        self.0.remove(&client);
    }

    /// Whether this is a login that was accepted, and not another one behind the same handle.
    #[must_use]
    pub fn holds(&self, client: ClientHandle, connect: &Connect<'_>) -> bool {
        self.0.get(&client).is_some_and(|session| session.began_with(connect))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ClientHandle, &Session)> {
        self.0.iter().map(|(client, session)| (*client, session))
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect<'a>(client_id: &'a [u8], password: &'a [u8]) -> Connect<'a> {
        Connect { client_id: Some(client_id), password: Some(password), ..Connect::default() }
    }

    fn session(client_id: &[u8], password: &[u8]) -> Session {
        Session::of(&connect(client_id, password)).unwrap()
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
        assert!(sessions.is_empty());
    }

    #[test]
    fn shows_no_password() {
        let mut sessions = Sessions::default();
        sessions.remember(ClientHandle(1), session(b"a", &[b'c'; 64]));
        assert_eq!(format!("{sessions:?}"), "Sessions({0x1: Session { client_id: \"a\", .. }})");
    }
}
