//! The ways to a broker: TCP, a Unix socket, TLS, a WebSocket, a proxy.

use super::scratch::Scratch;
#[cfg(feature = "tests")]
pub use super::web_socket::{upgrade_and, web_socket, web_socket_over, web_socket_with};
use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::fd::OwnedFd,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that carries bytes.
pub trait Transport: Read + Write + Send {}

impl<T: Read + Write + Send> Transport for T {}

pub fn tcp(address: impl Into<SocketAddr>) -> TcpStream {
    try_tcp(address).expect("the broker listens")
}

/// The same, if the broker may not listen yet.
pub fn try_tcp(address: impl Into<SocketAddr>) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address.into())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

pub fn unix(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("the broker listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The command of a PROXY v2 header: the low half of its 13th byte.
#[derive(Clone, Copy)]
pub enum ProxyCommand {
    /// LOCAL: the proxy's own connection, a health check.
    Local = 0,
    /// PROXY: a client's connection.
    Proxy = 1,
}

/// The family byte of a PROXY v2 header.
pub const UNSPEC: u8 = 0x00;
pub const TCP_IPV4: u8 = 0x11;
pub const UDP_IPV4: u8 = 0x12;
pub const TCP_IPV6: u8 = 0x21;
pub const UNIX_STREAM: u8 = 0x31;

/// A PROXY v2 header: signature, version and command, family, length, and the rest.
pub fn proxy_header(command: ProxyCommand, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command as u8, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

/// The header for a client at an address, with nothing after the addresses and ports.
pub fn proxy_header_from(client: SocketAddr, listener: SocketAddr) -> Vec<u8> {
    let (family, mut rest) = match (client.ip(), listener.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (TCP_IPV4, [from.octets(), to.octets()].concat()),
        (IpAddr::V6(from), IpAddr::V6(to)) => (TCP_IPV6, [from.octets(), to.octets()].concat()),
        _ => panic!("addresses of two families"),
    };
    rest.extend([client.port(), listener.port()].map(u16::to_be_bytes).concat());
    proxy_header(ProxyCommand::Proxy, family, &rest)
}

/// A proxy's connection, after its header was sent.
pub fn by_proxy(port: u16, header: &[u8]) -> TcpStream {
    let mut stream = tcp(local(port));
    stream.write_all(header).unwrap();
    stream
}

/// TLS, spoken by openssl's own client.
pub struct Tls {
    client: Child,
    input: ChildStdin,
    output: UnixStream,
}

pub fn tls(port: u16, extra: &[&str]) -> Tls {
    // Not a pipe, which cannot be read with a deadline.
    let (output, theirs) = UnixStream::pair().unwrap();
    output.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_quiet", "-connect", &format!("127.0.0.1:{port}")])
        .args(extra)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs: ./dev test brings it");
    let input = client.stdin.take().unwrap();
    Tls { client, input, output }
}

impl Tls {
    /// How long to wait for what comes.
    pub fn set_patience(&self, patience: Option<Duration>) {
        self.output.set_read_timeout(patience).unwrap();
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.flush()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// A self-signed certificate for a broker at 127.0.0.1: the lines of a listener that uses it.
pub fn tls_lines(scratch: &Scratch) -> String {
    let (key, certificate) =
        (scratch.path().join("key.pem"), scratch.path().join("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-days", "2", "-subj", "/CN=127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl runs: ./dev test brings it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!("certfile {}\nkeyfile {}\n", certificate.display(), key.display())
}
