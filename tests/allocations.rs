//! A login allocates nothing before the verdict, so very many logins cannot make the broker's heap grow.

#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used)]

use iotda_core::{
    log::Origin,
    login::{HourKeys, Policy, SignType, Verdict, verify},
    registry::{Cancel, read::read},
};
use iotda_plugin::{
    plugin::{Answer, Asked, Login, Plugin},
    sessions::ClientHandle,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use support::{
    device::{LAMP, METER, now, secrets, stamp},
    mqtt,
    scratch::Scratch,
    silent::Silent,
};

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local!(static COUNT: Cell<usize> = const { Cell::new(0) });

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = COUNT.get();
    let value = call();
    (value, COUNT.get() - before)
}

/// Logins of every kind, with a right one first.
fn connects() -> Vec<mqtt::Connect> {
    let right = LAMP.connect_now();
    vec![
        right.clone(),
        METER.connect(SignType::Sha256, "2999010100"),
        LAMP.connect(SignType::Sha256Timestamp, &stamp(now() - 7200)),
        right.clone().password("0".repeat(64)),
        right.clone().password(vec![0xFF; 60_000]),
        right.clone().username("other"),
        right.clone().keep_alive(0),
        support::device::Device { id: "stranger", secret: LAMP.secret }.connect_now(),
        mqtt::Connect::new(vec![b'"'; 60_000]),
        mqtt::Connect::new(""),
    ]
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| Box::new(1)).1, 1);
    assert_eq!(allocations(|| 1).1, 0);
}

#[test]
fn a_verdict_allocates_nothing() {
    let file = secrets();
    let table = read(file.as_bytes(), file.len() as u64, 1, Cancel::NEVER).unwrap().table;
    let mut keys = HourKeys::default();
    for connect in connects() {
        let connect = connect.borrowed();
        let (_, count) = allocations(|| {
            matches!(
                verify(&connect, &table, &Policy::default(), now(), &mut keys),
                Verdict::Accept(_)
            )
        });
        assert_eq!(count, 0, "{connect:?}");
    }
}

#[test]
fn a_refusal_and_its_log_line_allocate_nothing() {
    let scratch = Scratch::new();
    let file = scratch.file("secrets", secrets());
    let options = [("secrets_file", file.to_str().unwrap()), ("failure_limit", "1000/1m")];
    let plugin = Plugin::start(options, &Silent).unwrap();
    for (number, connect) in connects().iter().enumerate() {
        let login = Login {
            asked: Asked::Connect,
            client: ClientHandle(number),
            connect: connect.borrowed(),
            origin: Origin { address: Some(b"203.0.113.7"), ..Origin::default() },
            protocol_version: 4,
        };
        let (answer, count) = allocations(|| plugin.login(&Silent, &login));
        if answer == (Answer::Accept { session_id: None }) {
            // The login is remembered, after the verdict.
            assert!(number < 2 && count > 0, "{connect:?}", connect = login.connect);
        } else {
            assert_eq!(count, 0, "{connect:?}", connect = login.connect);
        }
    }
}
