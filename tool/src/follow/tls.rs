//! TLS to the database, by rustls: the client library offers a place for it.

use crate::terminal::{Failure, shown};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    fmt::Display,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Socket,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::{TlsConnector, client};

/// How the connection is protected.
#[derive(Clone, Debug)]
pub(crate) enum Security {
    /// Not at all.
    None,
    /// By TLS; the server's certificate must be of a known authority and for the name that is connected to.
    Verify(Verify),
}

/// The files of TLS.
#[derive(Clone, Debug)]
pub(crate) struct Verify {
    /// The authorities' certificates; those that the system trusts, if there is no such file.
    pub(crate) roots: Option<PathBuf>,
    /// The client's own certificate, and its chain.
    pub(crate) certificate: Option<PathBuf>,
    /// That certificate's key.
    pub(crate) key: Option<PathBuf>,
}

/// Makes TLS connections.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the files.
    pub(crate) fn new(verify: &Verify) -> Result<Self, Failure> {
        let other = |error: &dyn Display| Failure::new(format!("TLS: {error}"));
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| other(&error))?
            .with_root_certificates(roots(verify.roots.as_deref())?);
        let config = match (&verify.certificate, &verify.key) {
            (None, None) => config.with_no_client_auth(),
            (Some(chain), Some(key)) => {
                let (chain, key) = (certificates(chain)?, private_key(key)?);
                config.with_client_auth_cert(chain, key).map_err(|error| other(&error))?
            }
            _ => return Err(other(&"expected sslcert and sslkey, found one of them")),
        };
        Ok(Self(Arc::new(config)))
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    let (found, place) = match file {
        Some(file) => (certificates(file)?, shown(file).to_string()),
        None => (rustls_native_certs::load_native_certs().certs, "this system".into()),
    };
    let (added, _) = store.add_parsable_certificates(found);
    if added == 0 {
        let hint = "install ca-certificates, or name the authority's file by sslrootcert";
        return Err(Failure::new(format!(
            "{place}: expected certificates of authorities, found none: {hint}"
        )));
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    read().map_err(|error| Failure::new(format!("{}: certificates: {error}", shown(file))))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| Failure::new(format!("{}: private key: {error}", shown(file))))
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Connect;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connect, Self::Error> {
        let name = ServerName::try_from(host)?.to_owned();
        Ok(Connect { connector: TlsConnector::from(Arc::clone(&self.0)), name })
    }
}

/// A connection to be made.
pub(crate) struct Connect {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for Connect {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = self.connector.connect(self.name, socket).await?;
            Ok(Stream(Box::new(stream)))
        })
    }
}

/// A connection.
pub(crate) struct Stream(Box<client::TlsStream<Socket>>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        // The server has proved its name by its certificate already.
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
