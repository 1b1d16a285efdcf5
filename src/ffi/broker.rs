//! The broker's functions as a table, looked up by name when the plugin is loaded.
//!
//! A library that refers to a function by name is refused as a whole by a broker that lacks it (both 2.0 and 2.1 load
//! with `RTLD_NOW`, `lib_load.h`). Looked up at run time, a newer function can be missing.

use super::{bindings as c, layout::Head};
use crate::{
    plugin::{Host, Level},
    sessions::ClientHandle,
};
use iotda_core::log::{Acceptance, Line};
use std::{
    ffi::{CStr, c_char, c_int, c_uchar, c_void},
    fmt,
    ptr::NonNull,
};

/// The functions of the broker that has loaded us.
#[derive(Clone)]
pub(super) struct Broker {
    callback_register: c::iotda_callback_register,
    callback_unregister: c::iotda_callback_unregister,
    log_printf: c::iotda_log_printf,
    client_id: c::iotda_client_string,
    client_address: c::iotda_client_string,
    client_username: c::iotda_client_string,
    client_keepalive: c::iotda_client_int,
    client_protocol_version: c::iotda_client_int,
    kick_client_by_clientid: c::iotda_kick_client_by_clientid,
    client_protocol: c::iotda_client_int,
    broker_publish_copy: c::iotda_broker_publish_copy,
    client_certificate: c::iotda_client_certificate,
    i2d_x509: c::iotda_i2d_x509,
    x509_free: c::iotda_x509_free,
    plugin_set_info: c::iotda_plugin_set_info,
    set_clientid: c::iotda_set_clientid,
    client: c::iotda_client,
    client_port: c::iotda_client_int,
    client_sub_count: c::iotda_client_int,
    subscription_add: c::iotda_subscription_add,
    subscription_delete: c::iotda_subscription_delete,
}

/// A function that every supported broker has, and this one lacks.
#[derive(Debug)]
pub(super) struct MissingFunction(&'static CStr);

impl fmt::Display for MissingFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker has no function {}", self.0.to_string_lossy())
    }
}

impl Broker {
    /// Looks the functions up.
    ///
    /// # Errors
    ///
    /// [`MissingFunction`] names the first required one that is not there.
    pub(super) fn find() -> Result<Self, MissingFunction> {
        macro_rules! required {
            ($name:literal as $type:ident) => {{
                let function = look_up($name).ok_or(MissingFunction($name))?;
                // SAFETY: tests/abi holds the type against the broker's own header; a pointer to a function and an
                // `Option` of one have the same representation.
                unsafe { std::mem::transmute::<NonNull<c_void>, c::$type>(function) }
            }};
        }
        macro_rules! optional {
            ($name:literal as $type:ident) => {
                look_up($name).and_then(|function| {
                    // SAFETY: as above.
                    unsafe { std::mem::transmute::<NonNull<c_void>, c::$type>(function) }
                })
            };
        }
        Ok(Self {
            callback_register: required!(c"mosquitto_callback_register" as iotda_callback_register),
            callback_unregister: required!(
                c"mosquitto_callback_unregister" as iotda_callback_unregister
            ),
            log_printf: required!(c"mosquitto_log_printf" as iotda_log_printf),
            client_id: required!(c"mosquitto_client_id" as iotda_client_string),
            client_address: required!(c"mosquitto_client_address" as iotda_client_string),
            client_username: required!(c"mosquitto_client_username" as iotda_client_string),
            client_keepalive: required!(c"mosquitto_client_keepalive" as iotda_client_int),
            client_protocol_version: required!(
                c"mosquitto_client_protocol_version" as iotda_client_int
            ),
            kick_client_by_clientid: required!(
                c"mosquitto_kick_client_by_clientid" as iotda_kick_client_by_clientid
            ),
            client_protocol: required!(c"mosquitto_client_protocol" as iotda_client_int),
            broker_publish_copy: required!(
                c"mosquitto_broker_publish_copy" as iotda_broker_publish_copy
            ),
            // A broker that was built without TLS has no libcrypto, and no client of it has a certificate.
            client_certificate: optional!(
                c"mosquitto_client_certificate" as iotda_client_certificate
            ),
            i2d_x509: optional!(c"i2d_X509" as iotda_i2d_x509),
            x509_free: optional!(c"X509_free" as iotda_x509_free),
            plugin_set_info: optional!(c"mosquitto_plugin_set_info" as iotda_plugin_set_info),
            set_clientid: optional!(c"mosquitto_set_clientid" as iotda_set_clientid),
            client: optional!(c"mosquitto_client" as iotda_client),
            client_port: optional!(c"mosquitto_client_port" as iotda_client_int),
            client_sub_count: required!(c"mosquitto_client_sub_count" as iotda_client_int),
            subscription_add: optional!(c"mosquitto_subscription_add" as iotda_subscription_add),
            subscription_delete: optional!(
                c"mosquitto_subscription_delete" as iotda_subscription_delete
            ),
        })
    }

    /// Whether this is 2.1 or later.
    pub(super) fn is_2_1(&self) -> bool {
        self.plugin_set_info.is_some()
    }

    /// Tells the broker, where it wants to know, who we are.
    pub(super) fn set_info(&self, identifier: *mut c::mosquitto_plugin_id_t) {
        const VERSION: &CStr =
            match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
                Ok(version) => version,
                Err(_) => c"",
            };
        if let Some(set_info) = self.plugin_set_info {
            // SAFETY: the identifier is the one that the broker gave to init; the broker copies the strings
            // (mosquitto_plugin_set_info in plugin_public.c, 2.1.2).
            unsafe { set_info(identifier, c"iotda-auth".as_ptr(), VERSION.as_ptr()) };
        }
    }

    /// Has an event delivered to a callback; the broker's error code if it will not.
    pub(super) fn register(
        &self,
        identifier: *mut c::mosquitto_plugin_id_t,
        event: c_int,
        callback: c::iotda_callback,
        userdata: *mut c_void,
    ) -> Result<(), c_int> {
        let Some(register) = self.callback_register else { return Err(c::IOTDA_ERR_UNKNOWN) };
        // SAFETY: the identifier is the one that the broker gave to init; the user data lives until cleanup, which
        // unregisters first.
        match unsafe { register(identifier, event, callback, std::ptr::null(), userdata) } {
            c::IOTDA_SUCCESS => Ok(()),
            error => Err(error),
        }
    }

    /// Ends what [`Broker::register`] began.
    pub(super) fn unregister(
        &self,
        identifier: *mut c::mosquitto_plugin_id_t,
        event: c_int,
        callback: c::iotda_callback,
    ) {
        if let Some(unregister) = self.callback_unregister {
            // SAFETY: the identifier is the one that the broker gave to init, and is valid until cleanup returns.
            unsafe { unregister(identifier, event, callback, std::ptr::null()) };
        }
    }

    /// A client of the broker's.
    ///
    /// # Safety
    ///
    /// The pointer must be one that the broker gave to a callback which has not returned, and stay so for `'a`.
    pub(super) unsafe fn client<'a>(&'a self, client: NonNull<c::mosquitto>) -> Client<'a> {
        Client { broker: self, client }
    }
}

impl Host for Broker {
    fn log(&self, level: Level, line: &Line) {
        let level = match level {
            Level::Error => c::IOTDA_LOG_ERR,
            Level::Warning => c::IOTDA_LOG_WARNING,
            Level::Notice => c::IOTDA_LOG_NOTICE,
            Level::Info => c::IOTDA_LOG_INFO,
            Level::Debug => c::IOTDA_LOG_DEBUG,
        };
        if let Some(log_printf) = self.log_printf {
            // SAFETY: the format takes exactly one string, which is NUL-terminated and outlives the call. We are on the
            // broker's thread: a `Host` is only lent to the plugin for the time of a callback.
            unsafe { log_printf(level, c"%s".as_ptr(), line.as_c_str().as_ptr()) };
        }
    }

    fn log_acceptance(&self, acceptance: Acceptance<'_>) {
        let Acceptance { client_id, address } = acceptance;
        let (Some(log_printf), Ok(client_id_length), Ok(address_length)) =
            (self.log_printf, c_int::try_from(client_id.len()), c_int::try_from(address.len()))
        else {
            return;
        };
        // SAFETY: the format takes two ints and two texts, each behind its length, beyond which nothing is read. Both
        // brokers ask for the level before they look at the texts (log__vprintf in logging.c). We are on the broker's
        // thread, as above.
        unsafe {
            log_printf(
                c::IOTDA_LOG_DEBUG,
                Acceptance::FORMAT.as_ptr(),
                client_id_length,
                client_id.as_ptr(),
                address_length,
                address.as_ptr(),
            );
        }
    }

    fn disconnect(&self, client_id: &CStr, with_will: bool) -> bool {
        self.kick_client_by_clientid.is_some_and(|kick| {
            // SAFETY: the id is NUL-terminated and outlives the call; we are on the broker's thread, as above.
            unsafe { kick(client_id.as_ptr(), with_will) == c::IOTDA_SUCCESS }
        })
    }

    fn publish(&self, topic: &CStr, payload: &[u8]) {
        let (Some(publish), Ok(length)) =
            (self.broker_publish_copy, c_int::try_from(payload.len()))
        else {
            return;
        };
        let (everyone, properties) = (std::ptr::null(), std::ptr::null_mut());
        // SAFETY: the topic is NUL-terminated, the payload as long as it is said to be, and the broker copies both
        // (mosquitto_broker_publish_copy in plugin_public.c). We are on the broker's thread, as above.
        unsafe {
            publish(everyone, topic.as_ptr(), length, payload.as_ptr().cast(), 0, true, properties)
        };
    }

    fn subscribes_sessions(&self) -> bool {
        self.subscription_add.is_some() && self.subscription_delete.is_some()
    }

    fn subscribe(&self, session_id: &CStr, filter: &CStr) {
        let Some(add) = self.subscription_add else { return };
        let subscription = c::iotda_subscription {
            clientid: session_id.as_ptr().cast_mut(),
            topic_filter: filter.as_ptr().cast_mut(),
            properties: std::ptr::null_mut(),
            identifier: 0,
            options: 0,
            padding: [0; 3],
            future2: [std::ptr::null_mut(); 8],
        };
        // SAFETY: the broker copies what it keeps of it (mosquitto_subscription_add in plugin_public.c and sub__add_leaf in
        // subs.c, 2.1.2).
        unsafe { add(&subscription) };
    }

    fn unsubscribe(&self, session_id: &CStr, filter: &CStr) {
        if let Some(delete) = self.subscription_delete {
            // SAFETY: both are NUL-terminated, and the broker only compares them (mosquitto_subscription_delete in
            // plugin_public.c, 2.1.2).
            unsafe { delete(session_id.as_ptr(), filter.as_ptr()) };
        }
    }

    fn has_session(&self, session_id: &CStr) -> bool {
        // SAFETY: the id is NUL-terminated; the broker only compares it (mosquitto_client in plugin_public.c, 2.1.2).
        self.client.is_some_and(|find| !unsafe { find(session_id.as_ptr()) }.is_null())
    }

    fn subscription_count(&self, client: ClientHandle) -> usize {
        let client = std::ptr::with_exposed_provenance_mut::<c::mosquitto>(client.0);
        let count = self.client_sub_count.map_or(0, |count| {
            // SAFETY: a client that was accepted, and that is not gone: both brokers say so before they free it
            // (context__disconnect in context.c, 2.0.11, 2.0.21 and 2.1.2), and then it is no longer among the sessions.
            unsafe { count(client) }
        });
        usize::try_from(count).unwrap_or_default()
    }

    fn send(&self, session_id: &CStr, topic: &CStr, payload: &[u8]) {
        let (Some(publish), Ok(length)) =
            (self.broker_publish_copy, c_int::try_from(payload.len()))
        else {
            return;
        };
        // SAFETY: the broker copies the id, the topic and the payload, and sends in its next turn
        // (mosquitto_broker_publish_copy in plugin_public.c, 2.0.11 and 2.0.21).
        unsafe {
            publish(
                session_id.as_ptr(),
                topic.as_ptr(),
                length,
                payload.as_ptr().cast(),
                0,
                false,
                std::ptr::null_mut(),
            );
        }
    }

    fn names_sessions(&self) -> bool {
        self.set_clientid.is_some()
    }

    fn stay_loaded(&self) {
        pin();
    }

    fn user(&self) -> u32 {
        // SAFETY: it only answers a number, and cannot fail.
        unsafe { libc::geteuid() }
    }

    fn with_signals_blocked(&self, call: &mut dyn FnMut()) {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is ours to fill.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: the first set was filled by the call above, the second is ours to be filled. The mask is this
        // thread's alone.
        let blocked =
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) }
                == 0;
        call();
        if blocked {
            // SAFETY: the set was filled by the call that succeeded.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut())
            };
        }
    }
}

/// Counts the library once more among those that are loaded, for good.
fn pin() {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    let here: fn() = pin;
    // SAFETY: the address is that of a function of ours, and the place is ours to be filled.
    if unsafe { libc::dladdr(here as *const c_void, found.as_mut_ptr()) } == 0 {
        return;
    }
    // SAFETY: the call has filled it, for it has found something.
    let found = unsafe { found.assume_init() };
    // SAFETY: the name is the loader's own, NUL-terminated, and lives as long as the library. Nothing is loaded that is
    // not loaded already; where that is no library, as in a test, there is nothing to keep.
    unsafe {
        libc::dlopen(found.dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE)
    };
}

/// Where a function of this name is in the process.
fn look_up(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: the name is NUL-terminated. The broker's functions are exported by its executable, so the default scope
    // has them, also where a plugin is loaded with RTLD_LOCAL (2.1).
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

/// An X509 of libcrypto's in DER.
fn der(
    certificate: NonNull<c_void>,
    i2d: unsafe extern "C" fn(*const c_void, *mut *mut c_uchar) -> c_int,
) -> Option<Vec<u8>> {
    // SAFETY: the certificate is one. Without a place, the length is all that is told.
    let length = unsafe { i2d(certificate.as_ptr(), std::ptr::null_mut()) };
    let mut der = vec![0; usize::try_from(length).ok()?];
    let mut place = der.as_mut_ptr();
    // SAFETY: the place is as long as the function has just said that it will write, and it writes the same again: the
    // certificate does not change in between.
    let written = unsafe { i2d(certificate.as_ptr(), &mut place) };
    (written == length && length > 0).then_some(der)
}

/// The bytes of a C string, without its NUL; `None` for a null pointer.
///
/// # Safety
///
/// The pointer must be null or point to a NUL-terminated string that does not change for `'a`.
pub(super) unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: just what the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A client connection, for the time of a callback.
pub(super) struct Client<'a> {
    broker: &'a Broker,
    client: NonNull<c::mosquitto>,
}

impl<'a> Client<'a> {
    /// The address of the broker's structure, which is all that we know it by.
    pub(super) fn handle(&self) -> usize {
        self.client.as_ptr().expose_provenance()
    }

    /// How many filters it has subscribed to, or is subscribed to.
    pub(super) fn subscription_count(&self) -> usize {
        usize::try_from(self.number(self.broker.client_sub_count)).unwrap_or_default()
    }

    pub(super) fn id(&self) -> Option<&'a [u8]> {
        self.string(self.broker.client_id)
    }

    pub(super) fn address(&self) -> Option<&'a [u8]> {
        self.string(self.broker.client_address)
    }

    pub(super) fn username(&self) -> Option<&'a [u8]> {
        self.string(self.broker.client_username)
    }

    /// In seconds.
    pub(super) fn keep_alive(&self) -> u16 {
        u16::try_from(self.number(self.broker.client_keepalive)).unwrap_or_default()
    }

    pub(super) fn protocol_version(&self) -> i32 {
        self.number(self.broker.client_protocol_version)
    }

    /// Whether the client speaks MQTT over TCP, with TLS or without; not over a WebSocket.
    pub(super) fn speaks_plain_mqtt(&self) -> bool {
        self.number(self.broker.client_protocol) == c::IOTDA_PROTOCOL_MQTT
    }

    /// Whether the client speaks MQTT over a WebSocket; on a 2.0, whether it has one that is not closed.
    pub(super) fn speaks_web_socket(&self) -> bool {
        self.number(self.broker.client_protocol) == c::IOTDA_PROTOCOL_WEBSOCKETS
    }

    /// Whether the broker is a 2.0.
    pub(super) fn is_of_2_0(&self) -> bool {
        !self.broker.is_2_1()
    }

    /// Whether the broker has this client among its sessions, under its id; `None` where the broker does not tell (2.0).
    pub(super) fn is_session(&self) -> Option<bool> {
        let (find, id) = (self.broker.client?, self.broker.client_id?);
        // SAFETY: the client is valid for 'a.
        let id = unsafe { id(self.client.as_ptr()) };
        // SAFETY: null, or the client's own id, which is NUL-terminated; the broker only compares it (mosquitto_client in
        // plugin_public.c, 2.1.2).
        Some(!id.is_null() && unsafe { find(id) } == self.client.as_ptr())
    }

    /// Where the broker has the client's address, ClientId and user name.
    pub(super) fn texts(&self) -> [*const c_char; 3] {
        let Broker { client_address, client_id, client_username, .. } = self.broker;
        [client_address, client_id, client_username].map(|function| {
            // SAFETY: the client is valid for 'a; what comes back is not looked at here.
            function.map_or(std::ptr::null(), |function| unsafe { function(self.client.as_ptr()) })
        })
    }

    /// What stands at the beginning of the broker's private structure.
    pub(super) fn head(&self) -> Head {
        // SAFETY: the structure has several hundred bytes in every version (struct mosquitto in mosquitto_internal.h), and
        // any bytes are a head. What they mean is for the caller to prove; the pointers are compared, and never followed.
        unsafe { self.client.as_ptr().cast::<Head>().read() }
    }

    /// The port that the client connected to (so 2.1.2 answers, not the client's own), where the broker tells it.
    pub(super) fn listener_port(&self) -> Option<i32> {
        self.broker.client_port.map(|_| self.number(self.broker.client_port))
    }

    /// The certificate that the client has shown in a TLS handshake, in DER. The broker gives it on a listener with
    /// `require_certificate true` only.
    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        let Broker { client_certificate: get, i2d_x509: i2d, x509_free: free, .. } = self.broker;
        let (Some(get), Some(i2d), Some(free)) = (get, i2d, free) else {
            return None;
        };
        // SAFETY: the client is valid for 'a. What comes back is null, or an X509 of libcrypto's that is ours to free
        // (SSL_get_peer_certificate, in mosquitto_client_certificate of plugin_public.c).
        let certificate = NonNull::new(unsafe { get(self.client.as_ptr()) })?;
        let der = der(certificate, *i2d);
        // SAFETY: it is ours, and not used any more.
        unsafe { free(certificate.as_ptr()) };
        der
    }

    /// Has the broker know the session by another name. Says whether it does.
    pub(super) fn set_session_id(&self, id: &CStr) -> bool {
        // SAFETY: the client is valid for 'a, and the broker copies the id (mosquitto_set_clientid in
        // plugin_public.c, 2.1.2). What `id` gave before is not used any more.
        self.broker.set_clientid.is_some_and(
            |set| unsafe { set(self.client.as_ptr(), id.as_ptr()) } == c::IOTDA_SUCCESS,
        )
    }

    /// The first two numbers of the broker's private structure, one of which is the client's socket.
    pub(super) fn first_numbers(&self) -> [c_int; 2] {
        // SAFETY: the structure begins with an int, or two, and pointers follow further on (struct mosquitto in
        // mosquitto_internal.h, 2.0 and 2.1), so it is at least that long, and aligned for both. What the numbers mean
        // is for the caller to prove.
        unsafe { self.client.as_ptr().cast::<[c_int; 2]>().read() }
    }

    /// Whether the broker's private structure has the client's address and its ClientId near its beginning, side by side
    /// and in this order, as it is in 2.0 and 2.1, however they are built.
    pub(super) fn has_known_structure(&self) -> bool {
        /// What comes before them depends on the build: at most 12 words, in 2.1 with ADNS and its own WebSockets.
        const WORDS: usize = 14;
        let (Some(address), Some(id)) = (self.address(), self.id()) else { return false };
        // SAFETY: the structure is far longer than that (struct mosquitto in mosquitto_internal.h, 2.0 and 2.1), aligned
        // for the pointers in it, and made by calloc (context__init in context.c).
        let words = unsafe { self.client.as_ptr().cast::<[usize; WORDS]>().read() };
        words.windows(2).any(|pair| pair == [address.as_ptr().addr(), id.as_ptr().addr()])
    }

    fn string(&self, function: c::iotda_client_string) -> Option<&'a [u8]> {
        // SAFETY: the client is valid for 'a, which `Broker::client` was promised.
        let text = unsafe { function?(self.client.as_ptr()) };
        // SAFETY: a string of the client's own, null or NUL-terminated, which the broker changes only after the
        // callback.
        unsafe { bytes(text) }
    }

    fn number(&self, function: c::iotda_client_int) -> i32 {
        // SAFETY: the client is valid for 'a, which `Broker::client` was promised.
        function.map_or(0, |function| unsafe { function(self.client.as_ptr()) })
    }
}
