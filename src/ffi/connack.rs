//! An exact CONNACK on a plain TCP connection.
//!
//! No return code makes Mosquitto answer 2, 3 or 4 to an MQTT 3.x client, and 2.0 knows no other refusal than "not
//! authorized" at all. On the ports that the operator has listed, the plugin writes the CONNACK itself: the four or five
//! bytes, and then the end of what is sent, so that the broker's own CONNACK, which follows, goes nowhere. The broker's
//! log says "not authorised" as ever.
//!
//! # The proof
//!
//! The socket is taken from the broker's private structure, whose layout nobody promises. So a number found there is
//! used only when all of this holds: it is an open, connected TCP socket; its peer is the address that the broker's
//! public functions report; its own port is one of the listed, and the one that the broker reports, where it does;
//! something has been received on it, and nothing has been sent yet, which is so of no client that has had its CONNACK,
//! of none that speaks TLS (a handshake has been sent) and of none behind a WebSocket (a response has). Otherwise the
//! broker's own refusal is all there is.

use super::broker::Client;
use crate::login::refusal::ConnackCode;
use std::{
    ffi::{c_int, c_void},
    io::Write,
    mem::ManuallyDrop,
    net::{IpAddr, Shutdown, TcpStream},
    os::fd::FromRawFd,
};

/// Sends a CONNACK with a code, and that nothing more comes. Says whether it was sent.
pub(super) fn send(
    client: &Client<'_>,
    protocol_version: i32,
    code: ConnackCode,
    ports: &[u16],
) -> bool {
    let Some(socket) = prove(client, ports) else { return false };
    let mut stream = &*socket;
    let sent = match protocol_version {
        3 | 4 => stream.write(&[0x20, 2, 0, code.v3]).is_ok_and(|count| count == 4),
        5 => stream.write(&[0x20, 3, 0, code.v5, 0]).is_ok_and(|count| count == 5),
        _ => return false,
    };
    sent && stream.shutdown(Shutdown::Write).is_ok()
}

/// The client's socket, if it can be told for certain. It stays the broker's, who closes it.
fn prove(client: &Client<'_>, ports: &[u16]) -> Option<ManuallyDrop<TcpStream>> {
    if !client.speaks_plain_mqtt() {
        return None;
    }
    let address: IpAddr = std::str::from_utf8(client.address()?).ok()?.parse().ok()?;
    // Since epoll is used, an int that says what the structure is comes first.
    let [first, second] = client.first_numbers();
    [second, first].into_iter().find_map(|number| {
        let socket = tcp_socket(number)?;
        let own = socket.local_addr().ok()?.port();
        let proved = socket.peer_addr().ok()?.ip() == address
            && ports.contains(&own)
            && client.listener_port().is_none_or(|port| port == i32::from(own))
            && Traffic::of(number).is_some_and(Traffic::is_a_first_packet);
        proved.then_some(socket)
    })
}

/// The address at the other end of a socket; `None` if the number is no connected TCP socket.
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
    // SAFETY: the descriptor is open, which the system has just said, and nobody closes it during this callback: the
    // broker has one thread, and ours opens and closes its own descriptors only. It is never closed through this value.
    Some(ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(number) }))
}

/// An option of a socket that is an int; `None` if the number is no socket.
fn socket_option(number: c_int, level: c_int, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<c_int>()).ok()?;
    let place: *mut c_int = &mut value;
    // SAFETY: the place is as long as the length says; a number that is no socket is an error.
    let result =
        unsafe { libc::getsockopt(number, level, name, place.cast::<c_void>(), &mut length) };
    (result == 0).then_some(value)
}

/// What has gone over a connection so far.
#[derive(Clone, Copy)]
struct Traffic {
    /// Bytes that the peer has acknowledged.
    acknowledged: u64,
    /// Bytes that were received.
    received: u64,
    /// Bytes that wait to be sent or acknowledged.
    waiting: c_int,
}

impl Traffic {
    /// Asks the system; `None` where it does not tell (Linux before 4.1).
    fn of(number: c_int) -> Option<Self> {
        // struct tcp_info of linux/tcp.h; the system only ever adds to its end.
        const ACKNOWLEDGED: usize = 120;
        const RECEIVED: usize = 128;
        let mut info = [0u8; 136];
        let mut length = libc::socklen_t::try_from(info.len()).ok()?;
        let place = info.as_mut_ptr().cast::<c_void>();
        // SAFETY: the place is as long as the length says.
        let result = unsafe {
            libc::getsockopt(number, libc::IPPROTO_TCP, libc::TCP_INFO, place, &mut length)
        };
        if result != 0 || usize::try_from(length).ok()? < info.len() {
            return None;
        }
        let counter = |at: usize| info.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
        let mut waiting: c_int = 0;
        let place: *mut c_int = &mut waiting;
        // SAFETY: TIOCOUTQ (SIOCOUTQ for a socket) writes an int.
        let result = unsafe { libc::ioctl(number, libc::TIOCOUTQ, place) };
        (result == 0).then_some(Self {
            acknowledged: counter(ACKNOWLEDGED)?,
            received: counter(RECEIVED)?,
            waiting,
        })
    }

    /// Whether a packet has come in and nothing has gone out. The handshake may count as one byte.
    fn is_a_first_packet(self) -> bool {
        self.received > 1 && self.acknowledged <= 1 && self.waiting == 0
    }
}
