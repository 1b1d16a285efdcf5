//! The border to the broker, and the only unsafe code.
//!
//! Each function here does four things: it guards against panics, turns pointers into borrowed values, calls one safe
//! function of [`Plugin`], and turns its answer into a code. No policy, no words.
//!
//! # Promises
//!
//! * No panic crosses the border. A login during which one happens is refused; a start fails; other events succeed and
//!   leave a line in the log.
//! * Null is a value, wherever the broker may give one.
//! * All state belongs to the instance whose address is the user data. A cleanup of an instance that is gone, or never
//!   was, does nothing.

mod bindings;
mod broker;
mod connack;
mod event;
mod guard;
mod layout;
mod standing;

use crate::{
    plugin::{Answer, Host, Level, Login, Plugin},
    sessions::ClientHandle,
};
use bindings as c;
use broker::{Broker, Client};
use event::Down;
use guard::{Failure, guarded};
use iotda_core::{
    log::Line,
    login::{Refusal, policy::OtherClients, refusal::ConnackCode},
};
use standing::Head;
use std::{
    cell::Cell,
    ffi::{CString, c_int, c_void},
    sync::Mutex,
};

/// One loaded plugin: what the broker's user data points to.
struct Instance {
    broker: Broker,
    plugin: Plugin,
    identifier: *mut c::mosquitto_plugin_id_t,
    /// Whether it was told that refusals are not exact where they should be.
    has_doubted: Cell<bool>,
    /// The thread that started it: the broker's only one.
    thread: libc::pthread_t,
}

/// The thread that this is called on.
fn this_thread() -> libc::pthread_t {
    // SAFETY: it has no conditions.
    unsafe { libc::pthread_self() }
}

/// The addresses of the instances that live. A broker may load the library for several listeners, and may clean up what
/// did not start.
static INSTANCES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// The events that we ask for.
const EVENTS: [(c_int, c::iotda_callback); 9] = [
    (c::IOTDA_EVT_DISCONNECT, Some(on_gone)),
    (c::IOTDA_EVT_CLIENT_OFFLINE, Some(on_gone)),
    (c::IOTDA_EVT_CONNECT, Some(on_connect)),
    (c::IOTDA_EVT_SUBSCRIBE, Some(on_filter)),
    (c::IOTDA_EVT_UNSUBSCRIBE, Some(on_filter)),
    (c::IOTDA_EVT_MESSAGE, Some(on_message)),
    (c::IOTDA_EVT_RELOAD, Some(on_reload)),
    (c::IOTDA_EVT_TICK, Some(on_tick)),
    // The last, so that no login is answered by half an instance.
    (c::IOTDA_EVT_BASIC_AUTH, Some(on_basic_auth)),
];

/// The events that a 2.0 does not know. It sends DISCONNECT where 2.1 sends CLIENT_OFFLINE, and says nothing of a CONNECT or a
/// SUBSCRIBE.
const SINCE_2_1: [c_int; 4] = [
    c::IOTDA_EVT_CLIENT_OFFLINE,
    c::IOTDA_EVT_CONNECT,
    c::IOTDA_EVT_SUBSCRIBE,
    c::IOTDA_EVT_UNSUBSCRIBE,
];

// The entry points have the types that tests/abi holds against the broker's own header.
const _: c::iotda_plugin_version = Some(mosquitto_plugin_version);
const _: c::iotda_plugin_init = Some(mosquitto_plugin_init);
const _: c::iotda_plugin_cleanup = Some(mosquitto_plugin_cleanup);

/// Chooses the interface version: 5 if the broker speaks it, -1 if not.
///
/// # Safety
///
/// `supported` must be null or point to `count` numbers.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mosquitto_plugin_version(
    count: c_int,
    supported: *const c_int,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    if supported.is_null() {
        return -1;
    }
    // SAFETY: just what the caller promises.
    let supported = unsafe { std::slice::from_raw_parts(supported, count) };
    if supported.contains(&c::IOTDA_PLUGIN_VERSION) { c::IOTDA_PLUGIN_VERSION } else { -1 }
}

/// Starts an instance.
///
/// # Safety
///
/// `identifier` must be the broker's, `userdata` null or a place for a pointer, and `options` null or `count` options
/// whose names and values are null or NUL-terminated.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mosquitto_plugin_init(
    identifier: *mut c::mosquitto_plugin_id_t,
    userdata: *mut *mut c_void,
    options: *mut c::iotda_opt,
    count: c_int,
) -> c_int {
    // SAFETY: null, or a place for a pointer, as the caller promises.
    let Some(place) = (unsafe { userdata.as_mut() }) else {
        // Without user data there are no events and no cleanup.
        return c::IOTDA_ERR_INVAL;
    };
    let started = guarded(|| {
        guard::note_panics();
        // SAFETY: just what the caller promises; the options live until this function returns.
        let options = unsafe { event::options(options, count) };
        start(identifier, &options)
    });
    match started {
        Ok(Ok(instance)) => {
            *place = instance.cast();
            c::IOTDA_SUCCESS
        }
        Ok(Err(code)) => code,
        Err(failure) => failed(None, &failure, c::IOTDA_ERR_UNKNOWN),
    }
}

/// Ends an instance.
///
/// # Safety
///
/// `userdata` must be null, or what [`mosquitto_plugin_init`] put into its `userdata`. The broker must not be inside one
/// of its callbacks.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mosquitto_plugin_cleanup(
    userdata: *mut c_void,
    _options: *mut c::iotda_opt,
    _count: c_int,
) -> c_int {
    let ended = guarded(|| {
        let mut instances = INSTANCES.lock().unwrap_or_else(|poison| poison.into_inner());
        let Some(at) = instances.iter().position(|address| *address == userdata.addr()) else {
            return;
        };
        instances.swap_remove(at);
        if instances.is_empty() {
            guard::stop_noting_panics();
            *instances = Vec::new();
        }
        drop(instances);
        // SAFETY: the address is in the list, so it is an instance that `start` has leaked and nobody has taken back.
        let instance = unsafe { Box::from_raw(userdata.cast::<Instance>()) };
        instance.plugin.stop(&instance.broker);
        for (event, callback) in EVENTS {
            instance.broker.unregister(instance.identifier, event, callback);
        }
    });
    // A fault while memory is given back is no reason to keep the broker from ending.
    ended.map_or(c::IOTDA_SUCCESS, |()| c::IOTDA_SUCCESS)
}

/// Builds an instance and registers its callbacks.
fn start(
    identifier: *mut c::mosquitto_plugin_id_t,
    options: &[(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)],
) -> Result<*mut Instance, c_int> {
    let broker = Broker::find().map_err(|missing| {
        // The function that is missing may be the one that logs.
        eprintln!("iotda-auth: not started: {missing}");
        c::IOTDA_ERR_UNKNOWN
    })?;
    broker.set_info(identifier);
    let options = options.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let plugin = Plugin::start(options, &broker).map_err(|error| {
        error.report(&broker);
        c::IOTDA_ERR_INVAL
    })?;
    let has_doubted = Cell::new(false);
    let instance =
        Instance { broker: broker.clone(), plugin, identifier, has_doubted, thread: this_thread() };
    let instance = Box::into_raw(Box::new(instance));
    INSTANCES
        .lock()
        .unwrap_or_else(|poison| poison.into_inner())
        .push(instance.expose_provenance());
    for (event, callback) in EVENTS {
        match broker.register(identifier, event, callback, instance.cast()) {
            Ok(()) => {}
            Err(_) if SINCE_2_1.contains(&event) => {}
            Err(code) => {
                let line = match code {
                    // A 2.0 knows a callback by its address, and a library has one however often it is loaded.
                    c::IOTDA_ERR_ALREADY_EXISTS => Line::of(format_args!(
                        "not started: found a second plugin line for all listeners, Mosquitto 2.0 takes one; for an \
                         instance a listener, set per_listener_settings true and put the plugin lines below the listeners"
                    )),
                    _ => Line::of(format_args!(
                        "not started: the broker answers {code} to a callback for event {event}"
                    )),
                };
                broker.log(Level::Error, &line);
                // SAFETY: the instance was leaked above, its address is listed, and no event has reached it.
                unsafe { mosquitto_plugin_cleanup(instance.cast(), std::ptr::null_mut(), 0) };
                return Err(code);
            }
        }
    }
    Ok(instance)
}

/// Leaves a line about a fault; gives back the code to answer with.
fn failed(instance: Option<&Instance>, failure: &Failure, code: c_int) -> c_int {
    let told = guarded(|| match instance {
        Some(instance) => instance.broker.log(Level::Error, &failure.line()),
        None => {
            if let Ok(broker) = Broker::find() {
                broker.log(Level::Error, &failure.line());
            }
        }
    });
    told.map_or(code, |()| code)
}

/// Whether something is so of any instance in this process: one that has let a device in answers for it, and the broker tells
/// all of them of it (2.1, which asks no further instance once one has accepted).
fn any_instance(mut is_so: impl FnMut(&Plugin) -> bool) -> bool {
    let instances = INSTANCES.lock().unwrap_or_else(|poison| poison.into_inner());
    instances.iter().any(|address| {
        let instance = std::ptr::with_exposed_provenance::<Instance>(*address);
        // SAFETY: an address in the list is an instance that `start` has leaked and nobody has taken back; both happen on this
        // thread, the broker's.
        unsafe { instance.as_ref() }.is_some_and(|instance| is_so(&instance.plugin))
    })
}

/// The instance behind a callback's user data.
///
/// # Safety
///
/// The pointer must be null, or the user data that a callback was registered with, in that callback.
unsafe fn instance<'a>(userdata: *mut c_void) -> Option<&'a Instance> {
    // SAFETY: callbacks are registered with the address of an instance, which lives until they are unregistered.
    unsafe { userdata.cast::<Instance>().as_ref() }
}

/// BASIC_AUTH: a login. Whatever goes wrong, it is refused.
///
/// # Safety
///
/// The broker's alone to call, with the event's data and our user data.
unsafe extern "C" fn on_basic_auth(
    _event: c_int,
    data: *mut c_void,
    userdata: *mut c_void,
) -> c_int {
    // SAFETY: we are in a callback that was registered with this user data.
    let Some(instance) = (unsafe { instance(userdata) }) else { return c::IOTDA_ERR_AUTH };
    let Instance { broker, plugin, .. } = instance;
    if instance.thread != this_thread() {
        // A listener with `protocol http_api` asks on a thread of its own (check_access in http_api.c, 2.1.2), for a user of
        // its pages and not for a device. Nothing of ours may be touched there but what never changes.
        return match plugin.options().policy.other_clients {
            OtherClients::Defer => c::IOTDA_ERR_PLUGIN_DEFER,
            OtherClients::Refuse => c::IOTDA_ERR_AUTH,
        };
    }
    let answered = guarded(|| {
        // SAFETY: this is the data of a BASIC_AUTH event, and what comes of it does not outlive the callback.
        let Some(event) = (unsafe { event::basic_auth(data, broker) }) else {
            return c::IOTDA_ERR_AUTH;
        };
        let login = event.login();
        give(plugin.login(broker, &login), instance, &event.client, &login)
    });
    answered.unwrap_or_else(|failure| {
        failed(Some(instance), &failure, 0);
        let refused = guarded(|| {
            // SAFETY: as above.
            let Some(event) = (unsafe { event::basic_auth(data, broker) }) else {
                return c::IOTDA_ERR_AUTH;
            };
            let login = event.login();
            give(plugin.login_failed(broker, &login), instance, &event.client, &login)
        });
        refused.unwrap_or(c::IOTDA_ERR_AUTH)
    })
}

/// Gives an answer: what has to be done for it, and the broker's code.
///
/// A refusal is AUTH wherever the broker does not understand more: 2.0 closes the socket without a CONNACK for any other
/// code, and PLUGIN_IGNORE would let a wrong login in where anonymous clients are allowed.
fn give(answer: Answer<'_>, instance: &Instance, client: &Client<'_>, login: &Login<'_>) -> c_int {
    let Instance { broker, plugin, .. } = instance;
    match answer {
        Answer::Accept { session_id: None } => c::IOTDA_SUCCESS,
        Answer::Accept { session_id: Some(id) } => {
            if CString::new(id).is_ok_and(|id| client.set_session_id(&id)) {
                return c::IOTDA_SUCCESS;
            }
            // The login would go by a name that the plugin does not expect.
            give(plugin.login_failed(broker, login), instance, client, login)
        }
        Answer::Defer => c::IOTDA_ERR_PLUGIN_DEFER,
        Answer::End => c::IOTDA_ERR_AUTH,
        Answer::Refuse(reason) => refuse(reason, instance, client, login),
    }
}

/// Refuses a CONNECT with as exact a code as the client can be given.
fn refuse(reason: Refusal, instance: &Instance, client: &Client<'_>, login: &Login<'_>) -> c_int {
    let ConnackCode { v5, .. } = reason.connack();
    match (login.protocol_version, v5) {
        // 2.1 sends these to an MQTT 5 client as they are (connect__on_authorised in handle_connect.c); AUTH is 0x87.
        (5, 0x87) => c::IOTDA_ERR_AUTH,
        (5, _) if instance.broker.is_2_1() => c_int::from(v5),
        _ => {
            let ports = &instance.plugin.options().exact_connack_ports;
            if !ports.is_empty() {
                // Where that cannot be done, the broker's own answer follows.
                let sent = connack::send(client, &login.connect, reason.connack(), ports);
                if let Err(doubt) = sent {
                    if !instance.has_doubted.replace(true) {
                        instance.broker.log(Level::Warning, &doubt.line());
                    }
                }
            }
            c::IOTDA_ERR_AUTH
        }
    }
}

/// DISCONNECT and CLIENT_OFFLINE: a client is gone.
///
/// # Safety
///
/// The broker's alone to call, with the event's data and our user data.
unsafe extern "C" fn on_gone(event: c_int, data: *mut c_void, userdata: *mut c_void) -> c_int {
    // SAFETY: we are in a callback that was registered with this user data.
    let instance = unsafe { instance(userdata) };
    quietly(instance, |plugin, broker| {
        // SAFETY: this is the data of one of these events, and what comes of it does not outlive the callback.
        let Some(client) = (unsafe { event::gone(data, broker) }) else { return };
        let handle = ClientHandle(client.handle());
        if !client.is_of_2_0() {
            plugin.disconnected(handle, event == c::IOTDA_EVT_CLIENT_OFFLINE);
        }
        // 2.1 has said so when the client came.
        let was_let_in =
            || client.is_of_2_0() && Head::of(&client).is_some_and(|h| h.was_connected());
        if plugin.gone(handle) {
            plugin.left(broker, &event::peer(&client));
        } else if was_let_in() {
            plugin.left_unasked(broker, &event::peer(&client));
        }
    })
}

/// CONNECT, which only 2.1 has: a client has been let in.
///
/// # Safety
///
/// The broker's alone to call, with the event's data and our user data.
unsafe extern "C" fn on_connect(_event: c_int, data: *mut c_void, userdata: *mut c_void) -> c_int {
    // SAFETY: we are in a callback that was registered with this user data.
    let instance = unsafe { instance(userdata) };
    quietly(instance, |plugin, broker| {
        // SAFETY: this is the data of a CONNECT event, and what comes of it does not outlive the callback.
        let Some(client) = (unsafe { event::connected(data, broker) }) else { return };
        let peer = event::peer(&client);
        plugin.was_let_in(peer.client);
        if plugin.remembers(&peer) {
            plugin.connected(broker, peer.client, client.subscription_count());
        } else if plugin.is_stranger(&peer) {
            if any_instance(|plugin| plugin.remembers(&peer)) {
                plugin.was_not_asked(broker);
            } else {
                plugin.throw_out(broker, &peer);
            }
        }
    })
}

/// SUBSCRIBE and UNSUBSCRIBE, which only 2.1 has: a client is about to have a filter more, or less.
///
/// # Safety
///
/// The broker's alone to call, with the event's data and our user data.
unsafe extern "C" fn on_filter(event: c_int, data: *mut c_void, userdata: *mut c_void) -> c_int {
    // SAFETY: we are in a callback that was registered with this user data.
    let instance = unsafe { instance(userdata) };
    quietly(instance, |plugin, broker| {
        // SAFETY: this is the data of one of these events, and what comes of it does not outlive the callback.
        let Some((client, filter)) = (unsafe { event::filter(data) }) else { return };
        if event == c::IOTDA_EVT_SUBSCRIBE {
            plugin.subscribing(broker, client, filter);
        } else {
            plugin.unsubscribing(broker, client, filter);
        }
    })
}

/// MESSAGE: a client publishes something, which it may.
///
/// The event goes by the listener of who publishes (`plugin__handle_message` in `plugin.c`, 2.0), so the device may be with
/// another instance than this one.
///
/// # Safety
///
/// The broker's alone to call, with the event's data and our user data.
unsafe extern "C" fn on_message(_event: c_int, data: *mut c_void, userdata: *mut c_void) -> c_int {
    // SAFETY: this is the data of a MESSAGE event, and what comes of it does not outlive the callback.
    let Some(message) = (unsafe { event::message(data) }) else { return c::IOTDA_SUCCESS };
    let Down { device_id, topic, payload } = message;
    // SAFETY: we are in a callback that was registered with this user data.
    let instance = unsafe { instance(userdata) };
    quietly(instance, |plugin, broker| {
        let mut connections = 0;
        any_instance(|plugin| {
            connections += plugin.goes_down(broker, device_id, topic, payload);
            false
        });
        if connections == 0 {
            plugin.reached_nobody(broker, device_id, topic.to_bytes());
        }
    })
}

/// RELOAD: SIGHUP.
///
/// # Safety
///
/// The broker's alone to call, with the event's data and our user data.
unsafe extern "C" fn on_reload(_event: c_int, _data: *mut c_void, userdata: *mut c_void) -> c_int {
    // SAFETY: we are in a callback that was registered with this user data.
    let instance = unsafe { instance(userdata) };
    quietly(instance, |plugin, broker| plugin.reload(broker));
    match instance {
        // 2.0 tells the plugins after us only if we defer; anything but 0 and DEFER also keeps it from reading its own
        // password and ACL files again, after it has freed them (mosquitto_security_init in security_default.c).
        Some(instance) if !instance.broker.is_2_1() => c::IOTDA_ERR_PLUGIN_DEFER,
        // 2.1 leaves its main loop if this is anything but 0 (loop.c).
        _ => c::IOTDA_SUCCESS,
    }
}

/// TICK: once in each turn of the broker's loop.
///
/// # Safety
///
/// The broker's alone to call, with the event's data and our user data.
unsafe extern "C" fn on_tick(_event: c_int, _data: *mut c_void, userdata: *mut c_void) -> c_int {
    // SAFETY: we are in a callback that was registered with this user data.
    let instance = unsafe { instance(userdata) };
    quietly(instance, |plugin, broker| plugin.tick(broker))
}

/// Handles an event that has no answer: a fault leaves a line in the log, and the broker goes on.
fn quietly(instance: Option<&Instance>, handle: impl FnOnce(&Plugin, &Broker)) -> c_int {
    let Some(instance) = instance else { return c::IOTDA_SUCCESS };
    match guarded(|| handle(&instance.plugin, &instance.broker)) {
        Ok(()) => c::IOTDA_SUCCESS,
        Err(failure) => failed(Some(instance), &failure, c::IOTDA_SUCCESS),
    }
}
