//! How a broker begins its structure of a client (`struct mosquitto` in `mosquitto_internal.h`), byte by byte.

use super::{Around, Known, Stands};
use std::ffi::c_int;

/// The first bytes of the structure.
pub type Head = [u64; 12];

/// How a broker is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// A 2.0 as Debian builds it.
    WithAdns,
    Plain,
    /// The socket comes first then, and nothing says what the structure is.
    WithoutEpoll,
    /// Something else than one expects stands in one of the places.
    Wrong(Place),
}

/// What a head is proved by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Ident,
    Protocol,
    KeepAlive,
    Address,
    Id,
    Username,
}

impl Build {
    pub const ALL: [Self; 9] = [
        Self::WithAdns,
        Self::Plain,
        Self::WithoutEpoll,
        Self::Wrong(Place::Ident),
        Self::Wrong(Place::Protocol),
        Self::Wrong(Place::KeepAlive),
        Self::Wrong(Place::Address),
        Self::Wrong(Place::Id),
        Self::Wrong(Place::Username),
    ];

    /// Whether it begins as a 2.0 is known to.
    pub fn is_known(self) -> bool {
        matches!(self, Self::WithAdns | Self::Plain)
    }

    /// Whether the structure begins by saying that it is a client.
    pub fn says_client(self) -> bool {
        !matches!(self, Self::WithoutEpoll | Self::Wrong(Place::Ident))
    }
}

/// Where the texts of a client lie.
pub struct Texts {
    pub address: usize,
    pub id: usize,
    pub username: usize,
}

/// The socket, the state, and whether there is a WebSocket, as the broker's own numbers.
pub fn facts(stands: Stands, around: &Around, is_2_1: bool) -> (c_int, u32, c_int) {
    match stands {
        Stands::New => (around.socket, 0, around.protocol),
        Stands::Online => (around.socket, around.state, around.protocol),
        Stands::Closing => (-1, 6, around.protocol),
        // A 2.0 has nothing that says what it was once.
        Stands::Offline => (-1, 7, if is_2_1 { around.protocol } else { 0 }),
        Stands::Restored => (-1, 0, 0),
    }
}

/// The head of a client.
pub fn head(known: &Known, is_2_1: bool, texts: &Texts) -> Head {
    let Known { sent, around, stands, .. } = known;
    let (socket, state, _) = facts(*stands, around, is_2_1);
    let mut bytes = [0; 96];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let wrong = |place| around.build == Build::Wrong(place);
    if around.build == Build::WithoutEpoll {
        put(0, &socket.to_ne_bytes());
        put(4, &around.ident.to_ne_bytes());
    } else {
        let ident = if wrong(Place::Ident) { around.ident } else { 2 };
        put(0, &ident.to_ne_bytes());
        put(4, &socket.to_ne_bytes());
    }
    // Nothing more of a 2.1's is known.
    if !is_2_1 && around.build != Build::WithoutEpoll {
        let version = match around.protocol_version {
            3 => 1u32,
            4 => 2,
            5 => 5,
            _ => 0,
        };
        let other = |is: bool, value: usize| if is { value ^ 0x10 } else { value };
        let keep_alive = sent.keep_alive ^ u16::from(wrong(Place::KeepAlive));
        let at = if around.build == Build::Plain { 12 } else { 24 };
        put(at, &(version ^ u32::from(wrong(Place::Protocol))).to_ne_bytes());
        // A pointer comes after the number, and is aligned.
        let at = if around.build == Build::Plain { 16 } else { 32 };
        put(at, &other(wrong(Place::Address), texts.address).to_ne_bytes());
        put(at + 8, &other(wrong(Place::Id), texts.id).to_ne_bytes());
        put(at + 16, &other(wrong(Place::Username), texts.username).to_ne_bytes());
        put(at + 32, &keep_alive.to_ne_bytes());
        put(at + 36, &state.to_ne_bytes());
    }
    let mut words = bytes.chunks_exact(8);
    [(); 12]
        .map(|()| u64::from_ne_bytes(words.next().unwrap_or_default().try_into().expect("eight")))
}
