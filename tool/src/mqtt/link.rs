//! How is the broker reached, and until when? A stream of bytes over TCP or TLS, each of whose steps has a deadline.

use super::{
    Fault,
    fault::Stage,
    tls::{self, Asked, Tls},
};
use rustls::ClientConnection;
use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Where a broker is, and whether it is spoken to over TLS.
pub(crate) struct Target {
    /// A name or an address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Option<Tls>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A connection.
pub(crate) struct Link {
    tcp: TcpStream,
    /// The broker's, which a connection that was reset no longer knows.
    address: SocketAddr,
    tls: Option<(ClientConnection, Asked)>,
}

impl Link {
    /// Connects, and ends the TLS handshake if there is one.
    pub(crate) fn open(target: &Target, deadline: Instant) -> Result<Self, Fault> {
        let (tcp, address) = connect(&addresses(target, deadline)?, deadline)?;
        // The packets are small, and each waits for an answer.
        tcp.set_nodelay(true).map_err(|error| Fault::Broken(error.to_string()))?;
        let tls = target.tls.as_ref().map(Tls::start).transpose()?;
        let mut link = Self { tcp, address, tls };
        link.shake_hands(deadline)?;
        Ok(link)
    }

    fn shake_hands(&mut self, deadline: Instant) -> Result<(), Fault> {
        let Some((tls, _)) = &mut self.tls else { return Ok(()) };
        let mut tcp = Timed { tcp: &self.tcp, deadline };
        while tls.is_handshaking() {
            if let Err(error) = tls.complete_io(&mut tcp) {
                return Err(self.fault(&error, Stage::Handshake));
            }
        }
        Ok(())
    }

    /// Waits for bytes, and appends them; the other side's end is a fault.
    pub(crate) fn read(
        &mut self,
        bytes: &mut Vec<u8>,
        deadline: Instant,
        stage: Stage,
    ) -> Result<(), Fault> {
        let mut piece = [0; 4096];
        let read = self.with_stream(deadline, |stream| stream.read(&mut piece));
        match read {
            Ok(0) => Err(self.closed(stage)),
            Ok(read) => {
                bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
                Ok(())
            }
            Err(error) => Err(self.fault(&error, stage)),
        }
    }

    /// Sends all of these bytes.
    pub(crate) fn write(
        &mut self,
        bytes: &[u8],
        deadline: Instant,
        stage: Stage,
    ) -> Result<(), Fault> {
        let written = self.with_stream(deadline, |stream| {
            stream.write_all(bytes)?;
            stream.flush()
        });
        match written {
            // What the broker has said before it hung up tells more: an alert.
            Err(error) if is_end(&error) => match self.read(&mut Vec::new(), deadline, stage) {
                Err(fault) => Err(fault),
                Ok(()) => Err(self.closed(stage)),
            },
            Err(error) => Err(self.fault(&error, stage)),
            Ok(()) => Ok(()),
        }
    }

    /// Says that nothing more comes, and waits until the broker has noticed.
    pub(crate) fn close(mut self, deadline: Instant) {
        if let Some((tls, _)) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut Timed { tcp: &self.tcp, deadline });
        }
        if self.tcp.shutdown(Shutdown::Write).is_ok() {
            let mut rest = Timed { tcp: &self.tcp, deadline };
            let _ = io::copy(&mut rest, &mut io::sink());
        }
    }

    /// Whether this port speaks TLS, although this connection does not: by a second connection.
    pub(crate) fn has_tls_port(&self, deadline: Instant) -> bool {
        let look = || -> Option<bool> {
            let (tcp, _) = connect(&[self.address], deadline).ok()?;
            let mut stream = Timed { tcp: &tcp, deadline };
            stream.write_all(&tls::hello()?).ok()?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).ok()?;
            Some(tls::is_tls(&answer))
        };
        self.tls.is_none() && look().unwrap_or(false)
    }

    fn with_stream<T>(
        &mut self,
        deadline: Instant,
        work: impl FnOnce(&mut dyn ReadWrite) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut tcp = Timed { tcp: &self.tcp, deadline };
        match &mut self.tls {
            Some((tls, _)) => work(&mut rustls::Stream::new(tls, &mut tcp)),
            None => work(&mut tcp),
        }
    }

    fn fault(&self, error: &io::Error, stage: Stage) -> Fault {
        let by_tls = self.tls.as_ref().and_then(|(_, asked)| tls::fault(error, asked, stage));
        match error.kind() {
            _ if by_tls.is_some() => by_tls.unwrap_or(Fault::Closed(stage)),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Fault::Timeout(stage),
            _ if is_end(error) => self.closed(stage),
            _ => Fault::Broken(error.to_string()),
        }
    }

    /// What it means that the broker hung up without a word.
    fn closed(&self, stage: Stage) -> Fault {
        match &self.tls {
            // Its alert was lost: it closes with the CONNECT unread.
            Some((_, asked))
                if asked.is_set() && !matches!(stage, Stage::Pingresp | Stage::Session) =>
            {
                Fault::ClientCertificateWanted
            }
            Some(_) if stage == Stage::Handshake => Fault::NotTls(
                "a connection that was closed, which is what a listener without TLS does",
            ),
            _ => Fault::Closed(stage),
        }
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

/// Whether the other side has hung up.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
    )
}

/// A stream that waits no longer than until a deadline.
struct Timed<'a> {
    tcp: &'a TcpStream,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(left(self.deadline)?))?;
        self.tcp.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(left(self.deadline)?))?;
        self.tcp.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// The time until a deadline, which must not be over.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// The addresses of the host. The system's resolver knows no deadline, so another thread waits for it.
fn addresses(target: &Target, deadline: Instant) -> Result<Vec<SocketAddr>, Fault> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![(address, target.port).into()]);
    }
    let (answer, answered) = mpsc::channel();
    let host = (target.host.clone(), target.port);
    let resolve = move || {
        let found = host.to_socket_addrs().map(Vec::from_iter);
        // If nobody waits any more, it was too late.
        let _ = answer.send(found);
    };
    thread::Builder::new().spawn(resolve).map_err(|error| Fault::Broken(error.to_string()))?;
    let left = left(deadline).map_err(|_| Fault::Timeout(Stage::Name))?;
    match answered.recv_timeout(left) {
        Ok(Ok(addresses)) if addresses.is_empty() => {
            Err(Fault::NameNotResolved("it has no address".into()))
        }
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(Fault::NameNotResolved(error.to_string())),
        Err(_) => Err(Fault::Timeout(Stage::Name)),
    }
}

/// Connects to the first address that answers. Each gets its share of the time that is left.
fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<(TcpStream, SocketAddr), Fault> {
    let mut fault = Fault::ConnectionRefused;
    for (address, others) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let share = left(deadline).map_err(|_| Fault::Timeout(Stage::Connection))?
            / u32::try_from(others).unwrap_or(u32::MAX);
        let error = match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(tcp) => return Ok((tcp, *address)),
            Err(error) => error,
        };
        match error.kind() {
            // An address where nothing listens must not hide what was found at another.
            ErrorKind::ConnectionRefused => {}
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                fault = Fault::Timeout(Stage::Connection);
            }
            _ => fault = Fault::Unreachable(error.to_string()),
        }
    }
    Err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use support::{broker::free_port, transport};

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn an_ipv6_address_has_brackets() {
        for (host, shown) in [("broker", "broker:1883"), ("::1", "[::1]:1883")] {
            let target = Target { host: host.into(), port: 1883, tls: None };
            assert_eq!(target.to_string(), shown);
        }
    }

    #[test]
    fn tries_each_address() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let good = listener.local_addr().unwrap();
        let refusing = transport::local(free_port());
        assert_eq!(connect(&[refusing, good], soon()).unwrap().1, good);
        assert_eq!(connect(&[refusing], soon()).unwrap_err(), Fault::ConnectionRefused);
        assert_eq!(
            connect(&[good], Instant::now()).unwrap_err(),
            Fault::Timeout(Stage::Connection)
        );
    }

    #[test]
    fn a_name_that_does_not_exist_has_no_address() {
        let target = Target { host: "no-such-host.invalid".into(), port: 1883, tls: None };
        let fault = addresses(&target, soon()).unwrap_err();
        assert!(
            matches!(fault, Fault::NameNotResolved(_) | Fault::Timeout(Stage::Name)),
            "{fault}"
        );
    }
}
