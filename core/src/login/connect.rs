//! What a client sent in its CONNECT packet, as far as a login depends on it.

use std::fmt;

/// The longest ClientId, Username and Password that the platform takes, each in bytes.
///
/// Source: "Device Connection Authentication" of the IoTDA API reference.
pub const MAX_FIELD: usize = 256;

/// The fields of one CONNECT packet, borrowed from the broker, and the certificate that came before it.
///
/// Each field may be missing. The broker has made sure of UTF-8 in the ClientId and the user name; the password is any
/// bytes, cut at the first NUL.
#[derive(Clone, Copy, Default)]
pub struct Connect<'a> {
    /// The ClientId as sent, at most 65,535 bytes.
    pub client_id: Option<&'a [u8]>,
    /// The user name, at most 65,535 bytes.
    pub username: Option<&'a [u8]>,
    /// The password, at most 65,535 bytes.
    pub password: Option<&'a [u8]>,
    /// The TLS client certificate in DER, where the client has shown one and the broker has found it good.
    pub certificate: Option<&'a [u8]>,
    /// Keep alive, the platform's "heartbeat", in seconds; 0 means none.
    pub keep_alive: u16,
}

impl fmt::Debug for Connect<'_> {
    /// Shows everything but the password and the certificate, of which it says only whether there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("client_id", &self.client_id.map(String::from_utf8_lossy))
            .field("username", &self.username.map(String::from_utf8_lossy))
            .field("password", &self.password.map(|_| "***"))
            .field("certificate", &self.certificate.map(|_| "***"))
            .field("keep_alive", &self.keep_alive)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_password() {
        let connect = Connect { password: Some(b"hunter2hunter2"), ..Connect::default() };
        assert!(!format!("{connect:?}").contains("hunter2"));
    }
}
