//! Why is there no answer, and what can be done?

use crate::terminal::Harmless;
use std::fmt;

/// How long to wait for what; each has its own cause if it does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The name's addresses.
    Name,
    /// The TCP connection.
    Connection,
    /// The TLS handshake.
    Handshake,
    /// The answer to the CONNECT.
    Connack,
    /// The answer to the PINGREQ.
    Pingresp,
    /// Anything, of a device that has been let in.
    Session,
}

/// Makes [`Fault`] of the rows below: for each its id and what is said.
macro_rules! faults {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $(($bound:ident: $type:ty))? => $id:literal, $words:literal $(, $argument:expr)*;
    )+) => {
        /// Why a broker did not answer.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($(#[doc = $doc])+ $name $(($type))?,)+
        }

        impl Fault {
            /// Every id, in the order of the documentation.
            #[cfg(test)]
            pub(crate) const IDS: &[&str] = &[$($id),+];

            /// Its name for programs: lower-case letters and underscores. It never changes.
            pub(crate) fn id(&self) -> &'static str {
                match self { $(faults!(@pattern $name $(, $bound)?) => $id,)+ }
            }
        }

        impl fmt::Display for Fault {
            /// What was found, and what to do, in one line.
            // Not each message shows all that its fault holds.
            #[allow(unused_variables)]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$name $(($bound))? => write!(f, $words $(, $argument)*),)+ }
            }
        }
    };
    (@pattern $name:ident) => { Self::$name };
    (@pattern $name:ident, $bound:ident) => { Self::$name(_) };
}

faults! {
    /// The name has no address.
    NameNotResolved(error: String) => "name_not_resolved",
        "the name cannot be resolved: {}; check --host, and this machine's DNS", Harmless(error);

    /// Nothing listens at the port.
    ConnectionRefused => "connection_refused",
        "connection refused: nothing listens there; check that the broker runs, and --host and --port";

    /// The network says that there is no way.
    Unreachable(error: String) => "unreachable",
        "cannot be reached: {}; check the network and firewalls", Harmless(error);

    /// Nothing came in time.
    Timeout(stage: Stage) => "timeout",
        "timed out: {}", stage.words();

    /// No trusted authority has signed the certificate.
    WrongAuthority => "wrong_ca",
        "the broker's certificate is not signed by an authority that is trusted here; give its authority's own certificate \
         with --cafile";

    /// The certificate is that of an authority, used as a server's.
    AuthorityAsServer => "ca_as_server",
        "the broker shows the certificate of an authority (CA:TRUE) as its own: many clients refuse that; sign a certificate \
         for the server with it";

    /// The certificate is for other names.
    WrongHost(names: String) => "wrong_host",
        "the broker's certificate is not for this host{}; connect by one of its names, or tell the name with --tls-name",
        Harmless(names);

    /// The certificate's time is over.
    Expired => "certificate_expired",
        "the broker's certificate has expired; renew it, or set this machine's clock";

    /// The certificate's time has not come yet.
    NotYetValid => "certificate_not_yet_valid",
        "the broker's certificate is not valid yet; set this machine's clock, or the one that the certificate was made with";

    /// Something else is wrong with the certificate.
    Certificate(error: String) => "certificate",
        "the broker's certificate is refused: {}", Harmless(error);

    /// The listener has `require_certificate true`.
    ClientCertificateWanted => "client_certificate_wanted",
        "the broker asks for a client certificate; give the device's with --cert and --key";

    /// The broker does not want this certificate.
    ClientCertificateRefused(error: &'static str) => "client_certificate_refused",
        "the broker refuses the client certificate: {error}; check --cert against the listener's cafile and crlfile";

    /// A plain listener, or no broker at all.
    NotTls(found: &'static str) => "not_tls",
        "expected TLS, found {found}; leave --tls and --cafile out for a listener without TLS, or give the port of one with \
         TLS";

    /// TLS on both sides, and still no connection.
    Tls(error: String) => "tls",
        "the TLS handshake failed: {}", Harmless(error);

    /// A listener with TLS was spoken to without it.
    SpeaksTls => "speaks_tls",
        "this port speaks TLS; give the authority's certificate with --cafile, or --tls to trust the system's";

    /// It hung up before it had answered.
    Closed(stage: Stage) => "closed",
        "the connection was closed {}", stage.closed();

    /// It answers, but not as a broker does.
    NotMqtt(found: Vec<u8>) => "not_mqtt",
        "expected an MQTT broker's answer, found {}; check --host and --port", Excerpt(found);

    /// Anything else.
    Broken(error: String) => "broken",
        "the connection broke: {}", Harmless(error);
}

impl Fault {
    /// Whether it may be over by itself: the broker is restarted, the network comes back. All else is as it is until somebody
    /// changes the broker or the command.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NameNotResolved(_)
            | Self::ConnectionRefused
            | Self::Unreachable(_)
            | Self::Timeout(_)
            | Self::Closed(_)
            | Self::Broken(_) => true,
            Self::WrongAuthority
            | Self::AuthorityAsServer
            | Self::WrongHost(_)
            | Self::Expired
            | Self::NotYetValid
            | Self::Certificate(_)
            | Self::ClientCertificateWanted
            | Self::ClientCertificateRefused(_)
            | Self::NotTls(_)
            | Self::Tls(_)
            | Self::SpeaksTls
            | Self::NotMqtt(_) => false,
        }
    }
}

impl Stage {
    fn words(self) -> &'static str {
        match self {
            Self::Name => "the name was not resolved; check this machine's DNS",
            Self::Connection => {
                "nothing answers there; check --host and --port, the network and firewalls"
            }
            Self::Handshake => {
                "the connection was made, but no TLS handshake came; check that this is a listener with TLS, and not one with \
                 the PROXY protocol"
            }
            Self::Connack => {
                "the connection was made, but no CONNACK came; check that this is an MQTT listener without TLS or the PROXY \
                 protocol, and that the broker does not hang"
            }
            Self::Pingresp => {
                "the device was let in, but no PINGRESP came; check that the broker does not hang"
            }
            Self::Session => "the broker took or sent nothing more; check that it does not hang",
        }
    }

    fn closed(self) -> &'static str {
        match self {
            Self::Pingresp => {
                "right after the device was let in: another plugin or the broker has thrown it out (iotda-auth: refused … \
                 reason=not_asked in its log), or another program logs in as this device"
            }
            Self::Session => {
                "while the device was logged in: the broker was stopped or has thrown the device out, or another program logs \
                 in as this device; the broker's log says which"
            }
            _ => {
                "without a CONNACK; check that this is an MQTT listener and not one for WebSockets, and look into the \
                 broker's log (its max_connections may be reached)"
            }
        }
    }
}

/// The beginning of an answer, as far as it can be read.
struct Excerpt<'a>(&'a [u8]);

impl Excerpt<'_> {
    /// So many characters tell what it is.
    const MAX: usize = 40;
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0);
        let line = text.lines().next().unwrap_or_default();
        let is_text =
            !line.is_empty() && line.chars().all(|char| !char.is_control() && char != '\u{FFFD}');
        if is_text {
            let start: String = line.chars().take(Self::MAX).collect();
            write!(f, "\"{}\"", Harmless(start))
        } else {
            let start = self.0.get(..Self::MAX.min(self.0.len())).unwrap_or_default();
            write!(f, "the bytes {}", hex::encode(start))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        for (found, shown) in [
            (&b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n"[..], "\"HTTP/1.1 400 Bad Request\""),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "\"SSH-2.0-OpenSSH_9.2\""),
            (b"\x1b[31mred", "the bytes 1b5b33316d726564"),
            (&[0x15, 3, 3], "the bytes 150303"),
            (b"", "the bytes "),
            (b"\n", "the bytes 0a"),
        ] {
            assert_eq!(Excerpt(found).to_string(), shown);
        }
        assert_eq!(Excerpt(&[b'x'; 999]).to_string().len(), 42);
        assert_eq!(Excerpt(&[0; 999]).to_string().len(), "the bytes ".len() + 80);
    }

    #[test]
    fn ids_are_fit_for_programs() {
        for id in Fault::IDS {
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{id}");
            assert_eq!(Fault::IDS.iter().filter(|other| *other == id).count(), 1, "{id}");
        }
    }

    /// The documents' table of faults, wherever it is.
    #[test]
    fn the_documents_have_every_fault_in_order() {
        let header = "| `fault` | what it is |\n";
        let mut tables = Vec::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = fs::read_to_string(path).unwrap_or_default();
                let rows = text.split_once(header).map(|(_, rest)| rest.to_owned());
                tables.extend(rows);
            }
        }
        let [table] = &tables[..] else { panic!("expected one table, found {}", tables.len()) };
        let rows =
            table.lines().skip(1).map_while(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.collect::<Vec<_>>(), Fault::IDS);
    }

    #[test]
    fn a_fault_is_one_harmless_line() {
        for fault in [
            Fault::NameNotResolved("a\nb\x1b[0m".into()),
            Fault::Certificate("a\nb".into()),
            Fault::Timeout(Stage::Connack),
            Fault::Closed(Stage::Pingresp),
            Fault::NotMqtt(b"\x1b]0;x\x07".to_vec()),
        ] {
            let text = fault.to_string();
            assert!(!text.chars().any(char::is_control) && !text.contains("  "), "{text}");
        }
    }
}
