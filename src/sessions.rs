//! Who is logged in?
//!
//! At SIGHUP the broker asks for each session again, with the password that it logged in with
//! (`mosquitto_security_apply` in `security_default.c`, 2.0 and 2.1). By then the hour of most has passed. A session that
//! is remembered here is known to have logged in properly, and the question need not be asked again.

use std::{collections::HashMap, fmt};

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

/// One login.
struct Session {
    client_id: Box<[u8]>,
    password: Box<[u8]>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("client_id", &String::from_utf8_lossy(&self.client_id))
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Notes a login that was accepted.
    pub fn remember(&mut self, client: ClientHandle, client_id: &[u8], password: &[u8]) {
        self.0.insert(client, Session { client_id: client_id.into(), password: password.into() });
    }

    /// The client is gone.
    pub fn forget(&mut self, client: ClientHandle) {
        self.0.remove(&client);
    }

    /// Whether this is a login that was accepted, and not another one behind the same handle.
    #[must_use]
    pub fn holds(&self, client: ClientHandle, client_id: &[u8], password: &[u8]) -> bool {
        self.0.get(&client).is_some_and(|session| {
            *session.client_id == *client_id && *session.password == *password
        })
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

    #[test]
    fn knows_a_login_and_no_other() {
        let (one, two) = (ClientHandle(1), ClientHandle(2));
        let mut sessions = Sessions::default();
        sessions.remember(one, b"a", b"p");
        assert!(sessions.holds(one, b"a", b"p"));
        assert!(!sessions.holds(two, b"a", b"p"));
        assert!(!sessions.holds(one, b"b", b"p"));
        assert!(!sessions.holds(one, b"a", b"q"));

        sessions.remember(one, b"b", b"q");
        assert!(sessions.holds(one, b"b", b"q") && !sessions.holds(one, b"a", b"p"));

        sessions.forget(one);
        sessions.forget(two);
        assert!(sessions.is_empty());
    }

    #[test]
    fn shows_no_password() {
        let mut sessions = Sessions::default();
        sessions.remember(ClientHandle(1), b"a", b"hunter2");
        assert!(!format!("{sessions:?}").contains("hunter2"));
    }
}
