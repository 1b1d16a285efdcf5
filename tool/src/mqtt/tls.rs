//! Whom does TLS trust, and why did it fail? The protocol is rustls's, with ring's cryptography.

use super::{Fault, fault::Stage};
use crate::{
    secret,
    terminal::{Failure, shown},
};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, InconsistentKeys,
    OtherError, RootCertStore, SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// How TLS is spoken with a broker.
pub(crate) struct Tls {
    config: ClientConfig,
    name: ServerName<'static>,
    shows_certificate: bool,
}

/// The files of a client certificate, in PEM.
pub(crate) struct Identity<'a> {
    pub(crate) certificate: &'a Path,
    pub(crate) key: &'a Path,
}

/// Whether the broker has asked for a client certificate that there is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Arc<AtomicBool>);

impl Tls {
    /// Trusts the authorities of a PEM file, or else the system's, and expects a certificate for this name.
    pub(crate) fn new(
        authorities: Option<&Path>,
        name: &str,
        identity: Option<Identity<'_>>,
    ) -> Result<Self, Failure> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Failure::new("--tls-name: expected a host name or an address, found something else")
        })?;
        let trusted = match authorities {
            Some(file) => authorities_of(file)?,
            None => system_authorities()?,
        };
        let builder = versions()?.with_root_certificates(trusted);
        let shows_certificate = identity.is_some();
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key: file }) => {
                let chain = certificates(certificate)?;
                let key = key(file)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                    Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        Failure::new(format!(
                            "{}: expected the key of the certificate {}, found another key",
                            shown(file),
                            shown(certificate)
                        ))
                    }
                    error => Failure::new(format!("{}: cannot be used: {error}", shown(file))),
                })?
            }
        };
        Ok(Self { config, name, shows_certificate })
    }

    /// Begins a connection.
    pub(crate) fn start(&self) -> Result<(ClientConnection, Asked), Fault> {
        let asked = Asked::default();
        let mut config = self.config.clone();
        if !self.shows_certificate {
            config.client_auth_cert_resolver = Arc::new(asked.clone());
        }
        ClientConnection::new(Arc::new(config), self.name.clone())
            .map(|connection| (connection, asked))
            .map_err(|error| Fault::Tls(error.to_string()))
    }
}

/// The first bytes of a TLS handshake, for a look at what answers them.
pub(crate) fn hello() -> Option<Vec<u8>> {
    let config = versions().ok()?.with_root_certificates(RootCertStore::empty());
    let name = ServerName::try_from("localhost").ok()?;
    let mut connection =
        ClientConnection::new(Arc::new(config.with_no_client_auth()), name).ok()?;
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether an answer to [`hello`] begins like TLS: a handshake or an alert of version 3.
pub(crate) fn is_tls(answer: &[u8]) -> bool {
    matches!(answer, [0x15 | 0x16, 3, ..])
}

impl Asked {
    /// Whether it has.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Why TLS failed; `None` if it did not.
pub(crate) fn fault(error: &io::Error, asked: &Asked, stage: Stage) -> Option<Fault> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(error) => certificate_fault(error),
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate,
        ) if asked.is_set() => Fault::ClientCertificateWanted,
        Error::AlertReceived(alert) => match refusal_of_ours(*alert) {
            Some(words) => Fault::ClientCertificateRefused(words),
            None => Fault::Tls(error.to_string()),
        },
        Error::InvalidMessage(_) if stage == Stage::Handshake => {
            Fault::NotTls("an answer that is not TLS")
        }
        error => Fault::Tls(error.to_string()),
    })
}

fn certificate_fault(error: &CertificateError) -> Fault {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Fault::WrongAuthority,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Fault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Fault::NotYetValid
        }
        CertificateError::NotValidForName => Fault::WrongHost(String::new()),
        CertificateError::NotValidForNameContext { presented, .. } => {
            Fault::WrongHost(names(presented))
        }
        CertificateError::Other(OtherError(error)) if is_an_authoritys(error.as_ref()) => {
            Fault::AuthorityAsServer
        }
        error => Fault::Certificate(error.to_string()),
    }
}

/// For whom a certificate is, in words.
fn names(presented: &[String]) -> String {
    const MAX: usize = 5;
    let named = |name: &String| {
        // rustls writes DnsName("…") and IpAddress(…).
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    let shown: Vec<String> = presented.iter().take(MAX).map(named).collect();
    match presented.len() {
        0 => " (it has no subjectAltName; a name in the subject alone counts neither here nor for many clients)".into(),
        count @ ..=MAX if count > 0 => format!(" (it is for {})", shown.join(", ")),
        count => format!(" (it is for {} and {} more)", shown.join(", "), count - MAX),
    }
}

/// Whether webpki says that a server's certificate is an authority's.
fn is_an_authoritys(error: &(dyn std::error::Error + 'static)) -> bool {
    error.to_string().contains("CaUsedAsEndEntity")
}

/// What the broker says of the client certificate.
fn refusal_of_ours(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateRequired => "it wants one, and was shown none that it takes",
        AlertDescription::UnknownCA => "its authority is not known there",
        AlertDescription::CertificateExpired => "it has expired",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::BadCertificate => "it is bad",
        AlertDescription::UnsupportedCertificate => "it is of a kind that is not supported",
        AlertDescription::CertificateUnknown => "it cannot be checked",
        AlertDescription::AccessDenied => "it may not be used there",
        _ => return None,
    })
}

/// TLS 1.2 and 1.3.
fn versions() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Failure> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(format!("TLS: cannot be had: {error}")))
}

fn authorities_of(file: &Path) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store
            .add(certificate)
            .map_err(|error| Failure::new(format!("{}: cannot be used: {error}", shown(file))))?;
    }
    Ok(store)
}

fn system_authorities() -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let hint = "install ca-certificates, or give the broker's authority with --cafile";
        return Err(Failure::new(format!(
            "--tls: this system has no certificates of authorities ({hint})"
        )));
    }
    Ok(store)
}

/// The certificates of a PEM file.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let content = content(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(expected(file, "a certificate in PEM")),
    }
}

/// The private key of a PEM file.
fn key(file: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let content = content(file)?;
    PrivateKeyDer::from_pem_slice(&content).map_err(|_| {
        let is_encrypted = memchr::memmem::find(&content, b"ENCRYPTED").is_some();
        let found = if is_encrypted { "one without a passphrase" } else { "a private key in PEM" };
        expected(file, found)
    })
}

/// All of a file, which may hold a key.
fn content(file: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
    File::open(file)
        .and_then(|mut file| secret::to_end(&mut file, 0))
        .map_err(|error| Failure::new(format!("{}: cannot be read: {error}", shown(file))))
}

/// The content is not repeated: it may be a key.
fn expected(file: &Path, what: &str) -> Failure {
    Failure::new(format!("{}: expected {what}, found something else", shown(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_people_write_them() {
        let presented = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(names(&[]).contains("no subjectAltName"));
        let two = presented(&["DnsName(\"broker.example\")", "IpAddress(10.0.0.1)"]);
        assert_eq!(names(&two), " (it is for broker.example, 10.0.0.1)");
        let seven = presented(&["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(names(&seven), " (it is for a, b, c, d, e and 2 more)");
    }

    #[test]
    fn tls_is_known_by_its_first_bytes() {
        let hello = hello().unwrap();
        assert!(is_tls(&hello) && is_tls(&[0x15, 3, 3, 0, 2]));
        for other in [&b""[..], &[0x16], &[0x20, 2, 0, 0], b"HTTP/1.1"] {
            assert!(!is_tls(other), "{other:02x?}");
        }
    }
}
