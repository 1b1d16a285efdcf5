//! The types and functions of `host.c`, and those of the plugin.

use super::head::Head;
use std::{
    ffi::{c_char, c_int, c_uchar, c_uint, c_void},
    ptr,
};

// The plugin's entry points are in there.
use iotda_plugin as _;

pub type Callback = unsafe extern "C" fn(c_int, *mut c_void, *mut c_void) -> c_int;

#[repr(C)]
pub struct Host {
    pub register: extern "C" fn(c_int, Callback, *mut c_void) -> c_int,
    pub unregister: extern "C" fn(c_int, Callback) -> c_int,
    pub log: extern "C" fn(c_int, *const c_char),
    pub kick: extern "C" fn(*const c_char, c_int),
    pub set_clientid: extern "C" fn(*mut Client, *const c_char) -> c_int,
    pub client: extern "C" fn(*const c_char) -> *mut Client,
    pub filters: extern "C" fn(*const Client) -> c_int,
    pub add: extern "C" fn(*const c_char, *const c_char) -> c_int,
    pub remove: extern "C" fn(*const c_char, *const c_char) -> c_int,
    pub message: extern "C" fn(*const c_char, *const c_char, *const c_uchar, c_int),
}

/// `struct mosquitto`.
#[repr(C)]
pub struct Client {
    pub head: Head,
    pub id: *mut c_char,
    pub address: *mut c_char,
    pub username: *mut c_char,
    pub keepalive: c_int,
    pub protocol: c_int,
    pub protocol_version: c_int,
    pub port: c_int,
    pub certificate: *mut Certificate,
}

impl Default for Client {
    /// What a client is outside of a call: nothing that could be mistaken for one.
    fn default() -> Self {
        Self {
            head: [u64::MAX; 12],
            id: ptr::null_mut(),
            address: ptr::null_mut(),
            username: ptr::null_mut(),
            keepalive: -1,
            protocol: -1,
            protocol_version: -1,
            port: -1,
            certificate: ptr::null_mut(),
        }
    }
}

/// `struct x509`.
#[repr(C)]
pub struct Certificate {
    pub der: *const c_uchar,
    pub length: c_int,
    pub failure: c_int,
    pub references: c_int,
}

/// `struct iotda_opt`.
#[repr(C)]
pub struct Opt {
    pub key: *mut c_char,
    pub value: *mut c_char,
}

/// `struct iotda_evt_basic_auth`.
#[repr(C)]
pub struct BasicAuth {
    pub future: *mut c_void,
    pub client: *mut Client,
    pub username: *mut c_char,
    pub password: *mut c_char,
    pub future2: [*mut c_void; 4],
}

impl Default for BasicAuth {
    fn default() -> Self {
        Self {
            future: ptr::null_mut(),
            client: ptr::null_mut(),
            username: ptr::null_mut(),
            password: ptr::null_mut(),
            future2: [ptr::null_mut(); 4],
        }
    }
}

/// `struct iotda_evt_disconnect`.
#[repr(C)]
pub struct Gone {
    pub future: *mut c_void,
    pub client: *mut Client,
    pub reason: c_int,
    pub future2: [*mut c_void; 4],
}

impl Default for Gone {
    fn default() -> Self {
        Self {
            future: ptr::null_mut(),
            client: ptr::null_mut(),
            reason: 0,
            future2: [ptr::null_mut(); 4],
        }
    }
}

/// `struct iotda_evt_connect`.
#[repr(C)]
pub struct Connected {
    pub future: *mut c_void,
    pub client: *mut Client,
    pub future2: [*mut c_void; 4],
}

/// `struct iotda_evt_subscribe`, with the subscription in it.
#[repr(C)]
pub struct Subscribe {
    pub future: *mut c_void,
    pub client: *mut Client,
    pub client_id: *mut c_char,
    pub filter: *mut c_char,
    pub properties: *mut c_void,
    pub identifier: c_uint,
    pub options: c_uchar,
    pub future2: [*mut c_void; 16],
}

/// `struct iotda_evt_message`.
#[repr(C)]
pub struct Message {
    pub future: *mut c_void,
    pub client: *mut Client,
    pub topic: *mut c_char,
    pub payload: *mut c_void,
    pub properties: *mut c_void,
    pub reason: *mut c_char,
    pub length: c_uint,
    pub qos: c_uchar,
    pub reason_code: c_uchar,
    pub retain: bool,
    pub future2: [*mut c_void; 4],
}

unsafe extern "C" {
    pub fn host_install(host: *const Host);
    pub fn host_become(is_2_1: c_int, has_tls: c_int);
    pub fn host_set_clock(wall: i64, steady: i64);
    pub fn host_enter(inside: c_int);
    pub fn host_file() -> c_int;

    pub fn mosquitto_plugin_version(count: c_int, versions: *const c_int) -> c_int;
    pub fn mosquitto_plugin_init(
        identifier: *mut c_void,
        userdata: *mut *mut c_void,
        options: *mut Opt,
        count: c_int,
    ) -> c_int;
    pub fn mosquitto_plugin_cleanup(
        userdata: *mut c_void,
        options: *mut Opt,
        count: c_int,
    ) -> c_int;
}
