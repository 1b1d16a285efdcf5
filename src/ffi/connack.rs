//! An exact CONNACK on a plain TCP connection.
//!
//! No return code makes Mosquitto answer 2, 3 or 4 to an MQTT 3.x client, and 2.0 knows no refusal but "not authorized".
//! On the ports that the operator has listed, the plugin writes the CONNACK itself: the four or five bytes. Then it shuts
//! down the sending side, so that the broker's own CONNACK, which follows, is not sent. The broker's log says "not
//! authorised" as usual.
//!
//! # The proof
//!
//! The socket is taken from the broker's private structure, whose layout is not guaranteed. So a number found there is
//! used only if all of this is true: it is an open, connected TCP socket; its peer has the address that the broker's
//! public functions report; its own port is one of the listed, and the one that the broker reports, if it reports one;
//! something has been received on it, and nothing has been sent yet. The last point rules out a client that has had its
//! CONNACK, one that speaks TLS (a handshake has been sent) and one behind a WebSocket (a response has been sent). If any
//! of this is not true, the client gets only the broker's own refusal.
//!
//! # Behind PROXY
//!
//! On a listener with `enable_proxy_protocol` (2.1) the peer is the proxy, and the address is what its header says
//! (proxy_v2__read in proxy_v2.c, 2.1.2). So instead of the peer, the structure itself is checked: it begins with the
//! broker's mark of a client, the address and the ClientId are next to each other in it, where the public functions say
//! that they are, and its second number is the socket. The other order, of a broker built without epoll, is ruled out:
//! there the first number is the socket, so 2, the mark, must not be a socket here. In addition, the broker must report
//! the port, and it must have read at least as many bytes as a header and this CONNECT have.
//!
//! The system itself cannot tell one client of a proxy from another. Only the structure keeps the CONNACK from another
//! client that is also sending its first packet. For the number to be that client's, the broker's structure would have to
//! look the same up to there, and have, in the socket's place, another number that happens to be such a socket.
//!
//! # Doubts
//!
//! If the port is listed and the socket cannot be proved, a [`Doubt`] says why. A client that has hung up gives no doubt.

use super::broker::Client;
use iotda_core::{
    log::Line,
    login::{Connect, refusal::ConnackCode},
};
use std::{
    ffi::{c_int, c_void},
    fmt,
    io::Write,
    mem::ManuallyDrop,
    net::{IpAddr, Shutdown, TcpStream},
    os::fd::FromRawFd,
};

/// Sends a CONNACK with a code, and shuts down the sending side.
///
/// # Errors
///
/// A [`Doubt`] that an operator should know of. It is not reported whether the bytes were sent.
pub(super) fn send(
    client: &Client<'_>,
    connect: &Connect<'_>,
    code: ConnackCode,
    ports: &[u16],
) -> Result<(), Doubt> {
    let (bytes, length) = match client.protocol_version() {
        3 | 4 => ([0x20, 2, 0, code.v3, 0], 4),
        5 => ([0x20, 3, 0, code.v5, 0], 5),
        _ => return Ok(()),
    };
    if let (Some(socket), Some(bytes)) = (prove(client, connect, ports)?, bytes.get(..length)) {
        let mut stream = &*socket;
        if stream.write(bytes).is_ok_and(|count| count == length) {
            // If that fails, the peer is gone.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
    Ok(())
}

/// Why the refusals on a listed port are not exact.
pub(super) struct Doubt {
    port: u16,
    reason: Reason,
}

enum Reason {
    WebSocket,
    Tls,
    Proxy { peer: IpAddr },
    Untold,
    Unfound,
}

impl Doubt {
    /// The line for the log.
    pub(super) fn line(&self) -> Line {
        let Self { port, reason } = self;
        Line::of(format_args!(
            "plugin_opt_exact_connack_ports: on port {port} the broker's own codes go out, {reason} (told once)"
        ))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WebSocket => f.write_str(
                "for it is a WebSocket listener; take the port off the list, which is for plain MQTT",
            ),
            Self::Tls => f.write_str(
                "for something was sent before the CONNACK, as TLS does; take the port off the list, which is for plain MQTT",
            ),
            Self::Proxy { peer } => write!(
                f,
                "for the client comes by a proxy at {peer} and its socket cannot be proved in this broker; take the port \
                 off the list, or let devices connect without the proxy"
            ),
            Self::Untold => f.write_str(
                "for this system does not tell what was sent on a connection; Linux 4.1 or later does",
            ),
            Self::Unfound => f.write_str(
                "for the client's socket is not where Mosquitto 2.0 and 2.1 have it; take the port off the list, and \
                 report the broker's version",
            ),
        }
    }
}

/// The client's socket, if it is certain. The broker still owns it and closes it.
///
/// `None` if there was nothing to prove: the port is not listed, or the client is gone.
fn prove(
    client: &Client<'_>,
    connect: &Connect<'_>,
    ports: &[u16],
) -> Result<Option<ManuallyDrop<TcpStream>>, Doubt> {
    // With epoll, the structure begins with an int that says what it is.
    let [first, second] = client.first_numbers();
    let reported = client.listener_port();
    let (mut is_found, mut doubt) = (false, None);
    for number in [second, first] {
        let Some(socket) = tcp_socket(number) else { continue };
        is_found = true;
        let Ok(own) = socket.local_addr().map(|address| address.port()) else { continue };
        if !ports.contains(&own) || reported.is_some_and(|port| port != i32::from(own)) {
            continue;
        }
        match judge(client, connect, number, &socket) {
            Ok(true) => return Ok(Some(socket)),
            Ok(false) => {}
            Err(reason) => doubt = doubt.or(Some(Doubt { port: own, reason })),
        }
    }
    // A Unix socket has the port 0.
    let reported = reported.and_then(|port| u16::try_from(port).ok());
    match (doubt, reported.filter(|port| ports.contains(port))) {
        (Some(doubt), _) => Err(doubt),
        (None, Some(port)) if !is_found => Err(Doubt { port, reason: Reason::Unfound }),
        _ => Ok(None),
    }
}

/// Whether a socket on a listed port is the client's. `false` if the client is gone, or nothing has been received.
fn judge(
    client: &Client<'_>,
    connect: &Connect<'_>,
    number: c_int,
    socket: &TcpStream,
) -> Result<bool, Reason> {
    let Ok(peer) = socket.peer_addr().map(|address| address.ip()) else { return Ok(false) };
    if !client.speaks_plain_mqtt() {
        return Err(Reason::WebSocket);
    }
    let Some(traffic) = Traffic::of(number) else { return Err(Reason::Untold) };
    if !traffic.nothing_went_out() {
        return Err(Reason::Tls);
    }
    if !traffic.something_came_in() {
        return Ok(false);
    }
    let address = client.address().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    if address == Some(peer) || is_proxied(client, connect, number, traffic) {
        return Ok(true);
    }
    Err(Reason::Proxy { peer })
}

/// Whether a socket on a port that the broker reports is the client's, although its peer has another address.
fn is_proxied(client: &Client<'_>, connect: &Connect<'_>, number: c_int, traffic: Traffic) -> bool {
    /// What marks a client's structure, where epoll is used (id_client in mosquitto_broker_internal.h, 2.0 and 2.1).
    const MARK: c_int = 2;
    /// The fixed part of a PROXY v2 header. A v1 header that has addresses is longer.
    const HEADER: usize = 16;
    /// CONNECT of MQTT 3.1.1 without its texts: two bytes of header, "MQTT", level, flags, keep alive, and the length of
    /// the ClientId. Not the ClientId, which the broker makes up where there is none.
    const CONNECT: usize = 14;
    let text = |text: Option<&[u8]>| text.map_or(0, |text| 2 + text.len());
    let least = HEADER + CONNECT + text(connect.username) + text(connect.password);
    client.listener_port().is_some()
        && client.first_numbers() == [MARK, number]
        && tcp_socket(MARK).is_none()
        && client.has_known_structure()
        && u64::try_from(least).is_ok_and(|least| traffic.was_read() >= least)
}

/// The address at the other end of a socket; `None` if the number is not a connected TCP socket.
pub(super) fn peer_of(number: c_int) -> Option<IpAddr> {
    Some(tcp_socket(number)?.peer_addr().ok()?.ip())
}

/// An open TCP socket that does not listen, if the number is one.
fn tcp_socket(number: c_int) -> Option<ManuallyDrop<TcpStream>> {
    if number < 0
        || socket_option(number, libc::SOL_SOCKET, libc::SO_TYPE)? != libc::SOCK_STREAM
        || socket_option(number, libc::SOL_SOCKET, libc::SO_PROTOCOL)? != libc::IPPROTO_TCP
        || socket_option(number, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0
    {
        return None;
    }
    // SAFETY: the descriptor is open, as the system has just said, and nothing closes it during this callback: the broker
    // has one thread, and ours opens and closes only its own descriptors. It is never closed through this value.
    Some(ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(number) }))
}

/// An option of a socket that is an int; `None` if the number is not a socket.
fn socket_option(number: c_int, level: c_int, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<c_int>()).ok()?;
    let place: *mut c_int = &mut value;
    // SAFETY: the buffer is as long as the length says; a number that is not a socket is an error.
    let result =
        unsafe { libc::getsockopt(number, level, name, place.cast::<c_void>(), &mut length) };
    (result == 0).then_some(value)
}

/// What a connection has carried so far, in bytes.
#[derive(Clone, Copy)]
struct Traffic {
    /// Sent, and acknowledged by the peer.
    acknowledged: u64,
    /// Received.
    received: u64,
    /// Received, but not yet read by the broker.
    unread: c_int,
    /// Not yet sent or not yet acknowledged.
    waiting: c_int,
}

impl Traffic {
    /// Asks the system; `None` if it does not say (Linux before 4.1).
    fn of(number: c_int) -> Option<Self> {
        // struct tcp_info of linux/tcp.h; new kernels only add fields at its end.
        const ACKNOWLEDGED: usize = 120;
        const RECEIVED: usize = 128;
        let mut info = [0u8; 136];
        let mut length = libc::socklen_t::try_from(info.len()).ok()?;
        let place = info.as_mut_ptr().cast::<c_void>();
        // SAFETY: the buffer is as long as the length says.
        let result = unsafe {
            libc::getsockopt(number, libc::IPPROTO_TCP, libc::TCP_INFO, place, &mut length)
        };
        if result != 0 || usize::try_from(length).ok()? < info.len() {
            return None;
        }
        let counter = |at: usize| info.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
        Some(Self {
            acknowledged: counter(ACKNOWLEDGED)?,
            received: counter(RECEIVED)?,
            unread: bytes_in_queue(number, libc::FIONREAD)?,
            waiting: bytes_in_queue(number, libc::TIOCOUTQ)?,
        })
    }

    /// Whether nothing has been sent. The handshake may count as one byte.
    fn nothing_went_out(self) -> bool {
        self.acknowledged <= 1 && self.waiting == 0
    }

    /// Whether a packet has come in. The handshake may count as one byte.
    fn something_came_in(self) -> bool {
        self.received > 1
    }

    /// How many bytes the broker has read.
    fn was_read(self) -> u64 {
        self.received.saturating_sub(self.unread.unsigned_abs().into())
    }
}

/// How many bytes wait in a socket: to be read (FIONREAD) or to be sent and acknowledged (TIOCOUTQ).
fn bytes_in_queue(number: c_int, which: libc::Ioctl) -> Option<c_int> {
    let mut count: c_int = 0;
    let place: *mut c_int = &mut count;
    // SAFETY: both (SIOCINQ and SIOCOUTQ, for a socket) write an int.
    let result = unsafe { libc::ioctl(number, which, place) };
    (result == 0).then_some(count)
}
