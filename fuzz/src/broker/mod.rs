//! What a broker does with the plugin: its events, its clients and its log.
//!
//! Every text that the plugin gets lies in a block of its own, and is gone after the call, so that AddressSanitizer
//! sees each byte that is read beyond its end or after its time.

mod ffi;
mod filters;
mod head;
mod wire;

pub use filters::{Change, Filter};
pub use head::Build;
pub use wire::{Call, Wire};

use crate::sent::Sent;
use ffi::{BasicAuth, Certificate, Client, Connected, Gone, Host, Opt};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::{CStr, CString, c_char, c_int, c_void},
    fmt,
    fs::{File, Permissions},
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::fs::{FileExt, PermissionsExt},
    },
    ptr,
};

pub const SUCCESS: c_int = 0;
pub const INVAL: c_int = 3;
pub const AUTH: c_int = 11;
pub const DEFER: c_int = 17;
/// What is said here of an event that nobody has asked for.
pub const NOT_ASKED_FOR: c_int = -1000;

pub const RELOAD: c_int = 1;
pub const BASIC_AUTH: c_int = 3;
pub const MESSAGE: c_int = 7;
pub const TICK: c_int = 9;
pub const DISCONNECT: c_int = 10;
pub const CONNECT: c_int = 11;
pub const SUBSCRIBE: c_int = 12;
pub const UNSUBSCRIBE: c_int = 13;
pub const CLIENT_OFFLINE: c_int = 28;

/// Says what is wrong, and ends. While the plugin runs, a panic would say nothing: the hook is the plugin's.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($words:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            let condition = stringify!($condition);
            eprintln!("{}:{}: not so: {condition}: {}", file!(), line!(), format_args!($($words)+));
            std::process::abort();
        }
    }};
}

/// So many clients there are, each at an address that is used again and again.
pub const SLOTS: usize = 4;

/// What the plugin has done during one call.
#[derive(Default)]
pub struct Seen {
    pub code: c_int,
    /// Levels and lines.
    pub log: Vec<(c_int, Vec<u8>)>,
    pub kicks: Vec<Kick>,
    /// The names that it has given to sessions.
    pub names: Vec<Vec<u8>>,
    /// The messages that it has handed to sessions: name, topic and payload.
    pub sent: Vec<[Vec<u8>; 3]>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.log.iter().map(|(level, line)| (level, line.escape_ascii().to_string()));
        f.debug_struct("Seen")
            .field("code", &self.code)
            .field("log", &log.collect::<Vec<_>>())
            .field("kicks", &self.kicks)
            .field("names", &self.names)
            .field("sent", &self.sent)
            .finish()
    }
}

/// A client that the plugin has ended.
#[derive(Debug)]
pub struct Kick {
    pub name: Vec<u8>,
    pub with_will: bool,
    /// Which client had that name, and what it was, if the plugin has been told that it is gone: a WebSocket of a 2.0 closes
    /// later.
    pub gone: Option<(usize, Known)>,
}

/// Where a client stands with the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Its CONNECT has not been answered.
    New,
    Online,
    /// A WebSocket of a 2.0 that was told to close, and has not.
    Closing,
    /// A session that waits for its client.
    Offline,
    /// One that has come back from the persistence file, and waits.
    Restored,
}

/// A client that the broker knows.
#[derive(Clone, Debug)]
pub struct Known {
    /// With the name that it goes by for a ClientId.
    pub sent: Sent,
    pub around: Around,
    pub stands: Stands,
}

/// What the broker knows of a client besides what it sent.
#[derive(Clone, Debug)]
pub struct Around {
    pub address: Option<Vec<u8>>,
    /// 2 is a WebSocket.
    pub protocol: c_int,
    pub protocol_version: c_int,
    pub port: c_int,
    /// How the broker is built.
    pub build: Build,
    /// The number in the socket's place, as long as the client is connected.
    pub socket: c_int,
    /// Whether that is a connection from the loopback interface.
    pub is_from_here: bool,
    /// What stands where one expects the mark of a client, in a build that has none.
    pub ident: c_int,
    /// The broker's number for the state, once the client is let in.
    pub state: u32,
    /// Whether the session stays when the connection ends.
    pub persistent: bool,
    /// Where libcrypto fails.
    pub certificate_failure: c_int,
    /// What `mosquitto_set_clientid` answers.
    pub naming: c_int,
}

/// What `mosquitto_client_protocol` says of a WebSocket.
pub const WEB_SOCKET: c_int = 2;

/// What the C side is called back with. The broker has one thread.
#[derive(Default)]
struct World {
    callbacks: Vec<(c_int, ffi::Callback, *mut c_void)>,
    refused: Option<(c_int, c_int)>,
    /// One for each slot.
    clients: &'static [*mut Client],
    /// The broker's sessions, each with a name of its own.
    listed: [Option<Known>; SLOTS],
    /// Whose structure holds something, since a call is about it.
    filled: [bool; SLOTS],
    /// Who is gone, or was never told to be a client, without a word to the plugin.
    unsaid: [bool; SLOTS],
    /// The filters of each name that has ever been a session's.
    filters: BTreeMap<Vec<u8>, Vec<Filter>>,
    changes: Vec<Change>,
    naming: c_int,
    is_2_1: bool,
    seen: Seen,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

fn world<T>(call: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(call)
}

/// A broker, of which a process has one.
pub struct Broker {
    file: File,
    userdata: *mut c_void,
    identifier: *mut c_void,
}

impl Broker {
    #[allow(clippy::new_without_default)] // it is more than a value
    pub fn new() -> Self {
        let host = Host {
            register,
            unregister,
            log,
            kick,
            set_clientid,
            client,
            filters: filters::count,
            add: filters::add,
            remove: filters::remove,
            message: filters::message,
        };
        // SAFETY: the C side copies the table.
        unsafe { ffi::host_install(&host) };
        world(|world| {
            let clients: Vec<_> =
                (0..SLOTS).map(|_| Box::into_raw(Box::<Client>::default())).collect();
            // They stay until the process ends, and so does what points to them.
            world.clients = clients.leak();
        });
        // SAFETY: it is a new descriptor, and nobody else's.
        let file = unsafe { File::from_raw_fd(ffi::host_file()) };
        let identifier = Box::into_raw(Box::new(0u64)).cast();
        Self { file, userdata: ptr::null_mut(), identifier }
    }

    /// Becomes another one, that nobody is connected to.
    pub fn reset(&mut self, is_2_1: bool, has_tls: bool) {
        // SAFETY: the C side has one thread, this one.
        unsafe { ffi::host_become(is_2_1.into(), has_tls.into()) };
        world(|world| {
            world.listed = Default::default();
            world.unsaid = Default::default();
            world.filters.clear();
            world.is_2_1 = is_2_1;
        });
    }

    /// Sets the clock that the plugin sees: Unix seconds, and microseconds that only go on.
    pub fn set_clock(&self, wall: i64, steady: i64) {
        // SAFETY: the C side has one thread that looks at it, this one.
        unsafe { ffi::host_set_clock(wall, steady) };
    }

    /// Where the secrets file is.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    pub fn write_file(&self, content: &[u8], mode: u32) {
        self.file.set_len(0).expect("an empty file");
        self.file.write_all_at(content, 0).expect("room for a file");
        self.file.set_permissions(Permissions::from_mode(mode)).expect("our own file");
    }

    pub fn is_running(&self) -> bool {
        !self.userdata.is_null()
    }

    /// Starts the plugin. A name or a value may be null; `refused` is the event whose callback the broker does not take,
    /// and its answer.
    pub fn start(&mut self, options: &[RawOption], refused: Option<(c_int, c_int)>) -> Seen {
        let raw = |text: &Option<CString>| {
            text.as_ref().map_or(ptr::null_mut(), |text| text.as_ptr().cast_mut())
        };
        let mut list: Vec<Opt> =
            options.iter().map(|(name, value)| Opt { key: raw(name), value: raw(value) }).collect();
        world(|world| world.refused = refused);
        let (versions, count) = ([2, 3, 4, 5], c_int::try_from(list.len()).expect("a few options"));
        let (identifier, mut userdata) = (self.identifier, ptr::null_mut());
        let seen = inside(|| {
            // SAFETY: there are so many numbers; the options live until the call is over, and the user data has a place.
            unsafe {
                check!(ffi::mosquitto_plugin_version(4, versions.as_ptr()) == 5, "5 is spoken");
                ffi::mosquitto_plugin_init(identifier, &mut userdata, list.as_mut_ptr(), count)
            }
        });
        check!((seen.code == SUCCESS) != userdata.is_null(), "{seen:?}");
        let callbacks = world(|world| world.callbacks.len());
        let all = if world(|world| world.is_2_1) { 9 } else { 5 };
        check!(callbacks == if userdata.is_null() { 0 } else { all }, "{callbacks} callbacks");
        self.userdata = userdata;
        seen
    }

    /// Ends the plugin, and once more, as a broker may.
    pub fn stop(&mut self) -> Seen {
        let userdata = std::mem::replace(&mut self.userdata, ptr::null_mut());
        // SAFETY: it is what the start gave.
        let seen =
            inside(|| unsafe { ffi::mosquitto_plugin_cleanup(userdata, ptr::null_mut(), 0) });
        check!(world(|world| world.callbacks.is_empty()), "a callback is left");
        // SAFETY: what is gone is not looked at.
        let again =
            inside(|| unsafe { ffi::mosquitto_plugin_cleanup(userdata, ptr::null_mut(), 0) });
        check!(seen.code == SUCCESS && again.code == SUCCESS, "{seen:?} {again:?}");
        check!(again.log.is_empty() && again.kicks.is_empty(), "{again:?}");
        seen
    }

    /// BASIC_AUTH, for a CONNECT or for one of the broker's sessions. A CONNECT that is let in is not yet a session after this.
    /// Gives the name that the client goes by.
    pub fn ask(&mut self, slot: usize, known: &Known) -> (Seen, Option<Vec<u8>>) {
        let username = string(&known.sent.username);
        let password = string(&known.sent.password);
        world(|world| {
            world.naming = known.around.naming;
            if known.stands == Stands::New {
                // What was at its address is gone.
                world.listed[slot] = None;
                world.unsaid[slot] = false;
            }
        });
        let raw = |text: &Option<CString>| {
            text.as_ref().map_or(ptr::null_mut(), |text| text.as_ptr().cast_mut())
        };
        with_client(slot, Some(known), |client| {
            let mut event = BasicAuth {
                client,
                username: raw(&username),
                password: raw(&password),
                ..BasicAuth::default()
            };
            let seen = inside(|| deliver(BASIC_AUTH, ptr::from_mut(&mut event).cast()));
            // SAFETY: the texts of a client are null, or what `into_raw` gave.
            let name = unsafe {
                (!(*client).id.is_null()).then(|| CStr::from_ptr((*client).id).to_bytes().to_vec())
            };
            (seen, name)
        })
    }

    /// The broker has a session from here on. It has none that goes by the same name, or by no name.
    pub fn list(&mut self, slot: usize, known: Known) {
        check!(
            self.namesakes(slot, &known.sent.client_id).is_empty(),
            "two of one name: {known:?}"
        );
        world(|world| {
            world.listed[slot] = Some(known).filter(|known| known.sent.client_id.is_some());
        });
    }

    /// The broker has no session there any more, and says nothing of it, or does that next.
    pub fn forget(&mut self, slot: usize) -> Option<Known> {
        world(|world| {
            world.unsaid[slot] = true;
            world.listed[slot].take()
        })
    }

    /// The session that the broker has there.
    pub fn listed(&self, slot: usize) -> Option<Known> {
        world(|world| world.listed[slot].clone())
    }

    /// The other sessions of this name.
    pub fn namesakes(&self, slot: usize, name: &Option<Vec<u8>>) -> Vec<usize> {
        let is = |known: &Option<Known>| {
            known.as_ref().is_some_and(|known| known.sent.client_id == *name)
        };
        world(|world| (0..SLOTS).filter(|at| *at != slot && is(&world.listed[*at])).collect())
    }

    /// DISCONNECT or CLIENT_OFFLINE, of a client, of one that is not looked at, or of none.
    pub fn gone(&mut self, event: c_int, slot: Option<usize>, known: Option<&Known>) -> Seen {
        let Some(slot) = slot else {
            return inside(|| deliver(event, ptr::from_mut(&mut Gone::default()).cast()));
        };
        with_client(slot, known, |client| {
            let mut data = Gone { client, ..Gone::default() };
            let seen = inside(|| deliver(event, ptr::from_mut(&mut data).cast()));
            world(|world| world.unsaid[slot] &= seen.code == NOT_ASKED_FOR);
            seen
        })
    }

    /// CONNECT, of a client that has been let in, or of none.
    pub fn connected(&mut self, slot: Option<usize>) -> Seen {
        let deliver = |client| {
            let mut data =
                Connected { future: ptr::null_mut(), client, future2: [ptr::null_mut(); 4] };
            inside(|| deliver(CONNECT, ptr::from_mut(&mut data).cast()))
        };
        let Some(slot) = slot else { return deliver(ptr::null_mut()) };
        let known = self.listed(slot);
        with_client(slot, known.as_ref(), deliver)
    }

    /// An event whose data nobody looks at, or that has none.
    pub fn event(&mut self, event: c_int) -> Seen {
        inside(|| deliver(event, ptr::null_mut()))
    }
}

/// An option as it is given: either may be null.
pub type RawOption = (Option<CString>, Option<CString>);

fn string(text: &Option<Vec<u8>>) -> Option<CString> {
    text.as_ref().map(|text| CString::new(text.as_slice()).expect("no NUL"))
}

/// Calls a function with the structure of a client that holds what is known of it, in blocks of their own. Where a call about
/// the same client is going on, it holds that already.
fn with_client<T>(slot: usize, known: Option<&Known>, call: impl FnOnce(*mut Client) -> T) -> T {
    let (client, is_2_1) = world(|world| (world.clients[slot], world.is_2_1));
    let Some(known) =
        known.filter(|_| !world(|world| std::mem::replace(&mut world.filled[slot], true)))
    else {
        return call(client);
    };
    let give = |text: &Option<Vec<u8>>| string(text).map_or(ptr::null_mut(), CString::into_raw);
    let Known { sent, around, stands } = known;
    let mut certificate = sent.certificate.as_ref().map(|der| Certificate {
        der: der.as_ptr(),
        length: der.len().try_into().expect("a short one"),
        failure: around.certificate_failure,
        references: 0,
    });
    let (id, address, username) =
        (give(&sent.client_id), give(&around.address), give(&sent.username));
    let texts = head::Texts { address: address.addr(), id: id.addr(), username: username.addr() };
    let (_, _, protocol) = head::facts(*stands, around, is_2_1);
    let filled = Client {
        head: head::head(known, is_2_1, &texts),
        id,
        address,
        username,
        keepalive: sent.keep_alive.into(),
        protocol,
        protocol_version: around.protocol_version,
        port: around.port,
        certificate: certificate.as_mut().map_or(ptr::null_mut(), ptr::from_mut),
    };
    // SAFETY: the place is ours, and nobody looks at it outside of a call.
    unsafe { client.write(filled) };
    let result = call(client);
    // SAFETY: as above; the texts are what was given, or what a name was replaced with, by `into_raw` each.
    unsafe {
        let client = client.replace(Client::default());
        for text in [client.id, client.address, client.username] {
            drop((!text.is_null()).then(|| CString::from_raw(text)));
        }
    }
    world(|world| world.filled[slot] = false);
    check!(
        certificate.is_none_or(|certificate| certificate.references == 0),
        "a certificate leaks"
    );
    result
}

fn inside(call: impl FnOnce() -> c_int) -> Seen {
    world(|world| world.seen = Seen::default());
    // SAFETY: the C side notes it for this thread.
    unsafe { ffi::host_enter(1) };
    let code = call();
    // SAFETY: as above.
    unsafe { ffi::host_enter(0) };
    let seen = world(|world| std::mem::take(&mut world.seen));
    Seen { code, ..seen }
}

fn deliver(event: c_int, data: *mut c_void) -> c_int {
    let callback =
        world(|world| world.callbacks.iter().find(|(asked, ..)| *asked == event).copied());
    match callback {
        // SAFETY: the callback is registered, with this user data, and the data is that of its event, or null.
        Some((_, callback, userdata)) => unsafe { callback(event, data, userdata) },
        None => NOT_ASKED_FOR,
    }
}

extern "C" fn register(event: c_int, callback: ffi::Callback, userdata: *mut c_void) -> c_int {
    world(|world| match world.refused {
        Some((refused, code)) if refused == event => code,
        _ if [CLIENT_OFFLINE, CONNECT, SUBSCRIBE, UNSUBSCRIBE].contains(&event)
            && !world.is_2_1 =>
        {
            10
        }
        _ => {
            world.callbacks.push((event, callback, userdata));
            SUCCESS
        }
    })
}

extern "C" fn unregister(event: c_int, callback: ffi::Callback) -> c_int {
    world(|world| {
        let same = |known: &(c_int, ffi::Callback, *mut c_void)| {
            known.0 == event && ptr::fn_addr_eq(known.1, callback)
        };
        match world.callbacks.iter().position(same) {
            Some(at) => {
                world.callbacks.remove(at);
                SUCCESS
            }
            None => 10,
        }
    })
}

extern "C" fn log(level: c_int, text: *const c_char) {
    // SAFETY: the C side has made a string of it.
    let text = unsafe { CStr::from_ptr(text) }.to_bytes().to_vec();
    world(|world| world.seen.log.push((level, text)));
}

/// As a broker does, it says that the client is gone before it returns; but of a WebSocket of a 2.0, which only closes when
/// its client reads or hangs up (`do_disconnect` in `loop.c`).
extern "C" fn kick(id: *const c_char, with_will: c_int) {
    // SAFETY: the plugin gives a string, and keeps it until this returns.
    let id = unsafe { CStr::from_ptr(id) };
    let name = id.to_bytes().to_vec();
    let gone = world(|world| {
        let slot = slot_of(world, &name)?;
        let known = world.listed[slot].as_mut()?;
        let before = known.clone();
        match known.stands {
            Stands::Online | Stands::Closing
                if !world.is_2_1 && known.around.protocol == WEB_SOCKET =>
            {
                known.stands = Stands::Closing;
                return None;
            }
            // It is disconnected already.
            Stands::Offline => return None,
            _ if known.around.persistent => known.stands = Stands::Offline,
            _ => world.listed[slot] = None,
        }
        Some((slot, before))
    });
    if let Some((slot, known)) = &gone {
        let event = if known.around.persistent && world(|world| world.is_2_1) {
            CLIENT_OFFLINE
        } else {
            DISCONNECT
        };
        let code = with_client(*slot, Some(known), |client| {
            let mut data = Gone { client, ..Gone::default() };
            deliver(event, ptr::from_mut(&mut data).cast())
        });
        check!(code == SUCCESS, "a client that is gone");
    }
    world(|world| {
        world.seen.kicks.push(Kick { name: name.clone(), with_will: with_will != 0, gone });
    });
    // A broker still logs the name.
    check!(id.to_bytes() == name, "the name is gone");
}

/// Which session goes by a name.
fn slot_of(world: &World, name: &[u8]) -> Option<usize> {
    let is = |known: &Known| known.sent.client_id.as_deref() == Some(name);
    world.listed.iter().position(|known| known.as_ref().is_some_and(is))
}

/// The session of a name, as only a 2.1 tells it.
extern "C" fn client(id: *const c_char) -> *mut Client {
    // SAFETY: the plugin gives a string.
    let name = unsafe { CStr::from_ptr(id) }.to_bytes();
    world(|world| slot_of(world, name).map_or(ptr::null_mut(), |slot| world.clients[slot]))
}

/// As a broker does, it frees the ClientId.
extern "C" fn set_clientid(client: *mut Client, id: *const c_char) -> c_int {
    // SAFETY: the plugin gives a string.
    let id = unsafe { CStr::from_ptr(id) }.to_owned();
    world(|world| {
        if world.naming == SUCCESS {
            world.seen.names.push(id.to_bytes().to_vec());
            // SAFETY: the client is the one that is asked about, and its id was given by `into_raw`.
            unsafe {
                let before = std::mem::replace(&mut (*client).id, id.into_raw());
                drop((!before.is_null()).then(|| CString::from_raw(before)));
            }
        }
        world.naming
    })
}
