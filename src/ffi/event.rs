//! Raw events and options as borrowed Rust values.

use super::{
    bindings as c,
    broker::{Broker, Client},
};
use crate::{login::Connect, plugin::Login, sessions::ClientHandle};
use std::{
    borrow::Cow,
    ffi::{CStr, c_char, c_int, c_void},
    ptr::NonNull,
};

/// The bytes of a C string, without its NUL; `None` for a null pointer.
///
/// # Safety
///
/// The pointer must be null or point to a NUL-terminated string that does not change for `'a`.
pub(super) unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: just what the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// What a BASIC_AUTH event is about.
pub(super) struct BasicAuth<'a> {
    pub(super) client: Client<'a>,
    username: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    /// In DER.
    certificate: Option<Vec<u8>>,
}

impl BasicAuth<'_> {
    /// The login that is asked about.
    pub(super) fn login(&self) -> Login<'_> {
        let Self { client, username, password, certificate } = self;
        Login {
            client: ClientHandle(client.handle()),
            connect: Connect {
                client_id: client.id(),
                username: *username,
                password: *password,
                certificate: certificate.as_deref(),
                keep_alive: client.keep_alive(),
            },
            address: client.address(),
            protocol_version: client.protocol_version(),
            subscriptions: client.subscriptions(),
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
    Some(BasicAuth { client, username, password, certificate })
}

/// The client that a DISCONNECT or CLIENT_OFFLINE event is about.
///
/// # Safety
///
/// The pointer must be null or the event data of such a callback.
pub(super) unsafe fn gone(data: *mut c_void) -> Option<ClientHandle> {
    // SAFETY: the broker gives both events this structure (struct mosquitto_evt_disconnect, and
    // mosquitto_evt_client_offline in 2.1, which begins alike); tests/abi holds the layouts against its headers.
    let event = unsafe { data.cast::<c::iotda_evt_disconnect>().as_ref() }?;
    NonNull::new(event.client).map(|client| ClientHandle(client.as_ptr().addr()))
}

/// The plugin's options, names and values. What is not UTF-8 is made so, to be shown in an error; null is empty.
///
/// # Safety
///
/// The pointer must be null or point to so many options that do not change for `'a`.
pub(super) unsafe fn options<'a>(
    options: *const c::iotda_opt,
    count: c_int,
) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let count = usize::try_from(count).unwrap_or(0);
    if options.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: just what the caller promises.
    let options = unsafe { std::slice::from_raw_parts(options, count) };
    let text = |text: *mut c_char| {
        // SAFETY: the broker's options are NUL-terminated strings (config__read in conf.c).
        let bytes = unsafe { bytes(text) };
        String::from_utf8_lossy(bytes.unwrap_or_default())
    };
    options.iter().map(|option| (text(option.key), text(option.value))).collect()
}
