//! Raw events and options as borrowed Rust values.

use super::standing::{self, Head};
use super::{
    bindings as c,
    broker::{Broker, Client, bytes},
};
use crate::{
    plugin::{Asked, Login, Peer},
    sessions::ClientHandle,
};
use iotda_core::{log::Origin, login::Connect, topics};
use std::{
    borrow::Cow,
    ffi::{CStr, c_char, c_int, c_void},
    net::IpAddr,
    ptr::NonNull,
};

/// The data of a BASIC_AUTH event.
pub(super) struct BasicAuth<'a> {
    pub(super) client: Client<'a>,
    username: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    /// In DER.
    certificate: Option<Vec<u8>>,
    asked: Asked,
    origin: Origin<'a>,
}

impl BasicAuth<'_> {
    /// The login that is asked about.
    pub(super) fn login(&self) -> Login<'_> {
        let Self { client, username, password, certificate, asked, origin } = self;
        Login {
            asked: *asked,
            client: ClientHandle(client.handle()),
            connect: Connect {
                client_id: client.id(),
                username: *username,
                password: *password,
                certificate: certificate.as_deref(),
                keep_alive: client.keep_alive(),
            },
            origin: *origin,
            protocol_version: client.protocol_version(),
        }
    }
}

/// The data of a BASIC_AUTH event; `None` if it names no client.
///
/// # Safety
///
/// The pointer must be null or the event data of a BASIC_AUTH callback that does not return before `'a` ends.
pub(super) unsafe fn basic_auth<'a>(
    data: *mut c_void,
    broker: &'a Broker,
) -> Option<BasicAuth<'a>> {
    // SAFETY: the broker gives a BASIC_AUTH callback this structure; its layout is held against the broker's own header
    // by tests/abi.
    let event = unsafe { data.cast::<c::iotda_evt_basic_auth>().as_ref() }?;
    // SAFETY: the client is valid until the callback returns.
    let client = unsafe { broker.client(NonNull::new(event.client)?) };
    // SAFETY: null or a NUL-terminated string that the broker keeps until the callback returns.
    let username = unsafe { bytes(event.username) };
    // SAFETY: likewise.
    let password = unsafe { bytes(event.password) };
    let certificate = client.certificate();
    let (asked, origin) = (standing::asked(&client), origin(&client));
    Some(BasicAuth { client, username, password, certificate, asked, origin })
}

/// Where a client comes from.
///
/// 2.0.15 to 2.0.22 take the address of a WebSocket client from the header X-Forwarded-For of its upgrade, which any client
/// may send (`callback_mqtt` in `websockets.c`). So there the address counts only if it is the connection's own.
fn origin<'a>(client: &Client<'a>) -> Origin<'a> {
    let address = client.address();
    let is_2_0_web_socket = client.is_of_2_0() && client.speaks_web_socket();
    let is_hearsay = is_2_0_web_socket && address.is_some() && !is_the_peers(client, address);
    Origin { address, is_hearsay, closes_late: is_2_0_web_socket }
}

/// Whether an address is the one that the client's socket has at its other end.
fn is_the_peers(client: &Client<'_>, address: Option<&[u8]>) -> bool {
    let said = address.and_then(|text| std::str::from_utf8(text).ok()?.parse::<IpAddr>().ok());
    let is = Head::of(client).and_then(|head| super::connack::peer_of(head.socket()?));
    said.is_some() && said.map(|said| said.to_canonical()) == is.map(|is| is.to_canonical())
}

/// The client that a CONNECT event is about.
///
/// # Safety
///
/// The pointer must be null or the event data of such a callback that does not return before `'a` ends.
pub(super) unsafe fn connected<'a>(data: *mut c_void, broker: &'a Broker) -> Option<Client<'a>> {
    // SAFETY: the broker gives the event this structure; tests/abi holds its layout against the broker's own header.
    let event = unsafe { data.cast::<c::iotda_evt_connect>().as_ref() }?;
    // SAFETY: the client is valid until the callback returns.
    Some(unsafe { broker.client(NonNull::new(event.client)?) })
}

/// The client that a DISCONNECT or CLIENT_OFFLINE event is about.
///
/// # Safety
///
/// The pointer must be null or the event data of such a callback that does not return before `'a` ends.
pub(super) unsafe fn gone<'a>(data: *mut c_void, broker: &'a Broker) -> Option<Client<'a>> {
    // SAFETY: the broker gives both events this structure (struct mosquitto_evt_disconnect, and
    // mosquitto_evt_client_offline in 2.1, which begins alike); tests/abi holds the layouts against its headers.
    let event = unsafe { data.cast::<c::iotda_evt_disconnect>().as_ref() }?;
    // SAFETY: the client is valid until the callback returns.
    Some(unsafe { broker.client(NonNull::new(event.client)?) })
}

/// A client, and a filter that it is about to subscribe to, or to unsubscribe from.
///
/// # Safety
///
/// The pointer must be null or the event data of a SUBSCRIBE or UNSUBSCRIBE callback that does not return before `'a` ends.
pub(super) unsafe fn filter<'a>(data: *mut c_void) -> Option<(ClientHandle, &'a [u8])> {
    // SAFETY: the broker gives both events this structure; tests/abi holds its layout against the broker's own header.
    let event = unsafe { data.cast::<c::iotda_evt_subscribe>().as_ref() }?;
    // SAFETY: null or a NUL-terminated string that the broker keeps until the callback returns.
    let filter = unsafe { bytes(event.data.topic_filter) }?;
    Some((ClientHandle(event.client.addr()), filter))
}

/// A message for a device.
pub(super) struct Down<'a> {
    pub(super) device_id: &'a [u8],
    pub(super) topic: &'a CStr,
    pub(super) payload: &'a [u8],
}

/// The message of an event, if it is for a device.
///
/// Every message of the broker comes here, and most are not for a device. So this does nothing before that is known, and
/// nothing here can fail.
///
/// # Safety
///
/// The pointer must be null or the event data of a MESSAGE callback that does not return before `'a` ends.
pub(super) unsafe fn message<'a>(data: *mut c_void) -> Option<Down<'a>> {
    // SAFETY: the broker gives the event this structure; tests/abi holds its layout against the broker's own header.
    let event = unsafe { data.cast::<c::iotda_evt_message>().as_ref() }?;
    if event.topic.is_null() {
        return None;
    }
    // SAFETY: a NUL-terminated string has a first byte.
    if unsafe { event.topic.read() } != b'$' as c_char {
        return None;
    }
    // SAFETY: the broker keeps the string until the callback returns.
    let topic = unsafe { CStr::from_ptr(event.topic) };
    let device_id = topics::device_of(topic.to_bytes())?;
    let length =
        if event.payload.is_null() { 0 } else { usize::try_from(event.payloadlen).ok()? };
    let payload = match length {
        0 => &[],
        // SAFETY: the broker keeps this number of bytes there until the callback returns.
        _ => unsafe { std::slice::from_raw_parts(event.payload.cast::<u8>(), length) },
    };
    Some(Down { device_id, topic, payload })
}

/// A client at an event that is not a login.
pub(super) fn peer<'a>(client: &Client<'a>) -> Peer<'a> {
    Peer {
        client: ClientHandle(client.handle()),
        client_id: client.id(),
        username: client.username(),
        origin: origin(client),
    }
}

/// The plugin's options, as names and values. What is not UTF-8 is converted with losses, to be shown in an error; null
/// counts as empty.
///
/// # Safety
///
/// The pointer must be null, or point to this number of options, which must not change for `'a`.
pub(super) unsafe fn options<'a>(
    options: *const c::iotda_opt,
    count: c_int,
) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let count = usize::try_from(count).unwrap_or(0);
    if options.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: as the caller promises.
    let options = unsafe { std::slice::from_raw_parts(options, count) };
    let text = |text: *mut c_char| {
        // SAFETY: the broker's options are NUL-terminated strings (config__read in conf.c).
        let bytes = unsafe { bytes(text) };
        String::from_utf8_lossy(bytes.unwrap_or_default())
    };
    options.iter().map(|option| (text(option.key), text(option.value))).collect()
}
