//! What is a login made of? Operations that can be repeated, in a process that has nothing else to do.

use super::{
    files::{self, Content, Files, secret},
    load::loaded,
    random::random,
};
use iotda_core::{
    log::{Origin, budget::RECOGNISED},
    login::{
        HourKeys, Policy, Refusal, SignType, Verdict,
        recognise::recognise,
        signature::{HourKey, Password},
        timestamp::{Stamp, UnixSeconds},
        verify,
    },
    registry::Table,
};
use iotda_plugin::{
    plugin::{Answer, Asked, Login, Plugin},
    sessions::ClientHandle,
};
use std::{cell::RefCell, hint::black_box};
use support::{
    device::{now, stamp},
    mqtt,
    silent::Silent,
};

/// Devices in the table.
pub const DEVICES: usize = 10_000;

/// How many of them log in, in turn: a device's place in the table is random, so one device is not typical of all.
pub const CLIENTS: usize = 100;

/// Does something once, with one of the clients.
pub type Operation = fn(&Bench, usize);

pub const OPERATIONS: [(&str, Operation); 21] = [
    ("HMAC, key kept from the login before", Bench::hmac_kept),
    ("HMAC, fresh key", Bench::hmac_fresh),
    ("look-up, found", Bench::found),
    ("look-up, not found", Bench::not_found),
    ("verify, right password", Bench::accepted),
    ("verify, wrong password", Bench::wrong_password),
    ("verify, unknown device", Bench::unknown_device),
    ("verify, stale timestamp", Bench::stale),
    ("verify in a change of secrets, right password", Bench::accepted_in_a_change),
    ("verify in a change of secrets, right password, two secrets", Bench::accepted_of_two),
    ("verify in a change of secrets, wrong password", Bench::wrong_password_in_a_change),
    ("verify in a change of secrets, wrong password, two secrets", Bench::wrong_password_of_two),
    ("verify in a change of secrets, unknown device", Bench::unknown_device_in_a_change),
    (NO_DEVICE, Bench::bad_client_id),
    ("recognise, wrong password", Bench::recognise_wrong_password),
    ("recognise, unknown device", Bench::recognise_unknown_device),
    ("recognise, stale timestamp", Bench::recognise_stale),
    ("recognise in a change of secrets, unknown device", Bench::recognise_in_a_change),
    ("plugin, right password, and the end of the session", Bench::plugin_accepts),
    ("plugin, wrong password", Bench::plugin_refuses_wrong_password),
    ("plugin, unknown device", Bench::plugin_refuses_unknown_device),
];

/// Operations that must not be distinguishable by their time: the prefixes of their names.
pub const ALIKE: [&str; 3] = ["verify, ", "verify in a change of secrets, ", "recognise, "];

/// The exception among them: it needs no device's secret.
pub const NO_DEVICE: &str = "verify, no device's ClientId";

/// All that the operations need, made beforehand.
pub struct Bench {
    table: Table,
    /// The same, but one device in two has a second secret.
    in_a_change: Table,
    plugin: Plugin,
    policy: Policy,
    now: UnixSeconds,
    stamp: Stamp,
    key: HourKey,
    keys: RefCell<HourKeys>,
    secrets: Vec<String>,
    /// Those of the clients that have a second secret during a change, and those that have none.
    of_two: Vec<usize>,
    of_one: Vec<usize>,
    right: Vec<mqtt::Connect>,
    wrong: Vec<mqtt::Connect>,
    unknown: Vec<mqtt::Connect>,
    stale: Vec<mqtt::Connect>,
    backend: mqtt::Connect,
}

impl Bench {
    pub fn new(files: &Files) -> Self {
        let path = files.secrets(DEVICES, Content::Plain);
        let options = [("secrets_file", path.to_str().expect("a path in UTF-8"))];
        let clients: Vec<usize> = random(1, DEVICES).take(CLIENTS).collect();
        let connects = |connect: fn(usize) -> mqtt::Connect, from: usize| {
            clients.iter().map(|n| connect(from + n)).collect()
        };
        let (of_two, of_one) = (0..CLIENTS).partition(|n| files::has_two_secrets(clients[*n]));
        let now = now();
        let plugin = Plugin::start(options, &Silent).expect("a good file");
        let stamp = *stamp(now).as_bytes().first_chunk().expect("ten digits");
        let bench = Self {
            table: loaded(&path).table,
            in_a_change: loaded(&files.in_a_change(DEVICES)).table,
            plugin,
            policy: Policy::default(),
            now,
            key: HourKey::new(SignType::Sha256, &stamp),
            keys: RefCell::default(),
            stamp,
            of_two,
            of_one,
            secrets: clients.iter().map(|n| secret(*n)).collect(),
            right: connects(files::device, 0),
            wrong: connects(files::device_with_wrong_secret, 0),
            unknown: connects(files::device, DEVICES),
            stale: connects(files::stale_device, 0),
            backend: mqtt::Connect::new("backend"),
        };
        // The plugin looks again at so many refusals a minute: those are measured separately.
        for _ in 0..RECOGNISED {
            bench.plugin_refuses_unknown_device(0);
        }
        bench
    }

    fn hmac_kept(&self, n: usize) {
        let password = Password::parse(self.right[n].password.as_deref());
        assert!(black_box(&self.key).proves(&password, self.secrets[n].as_bytes()));
    }

    fn hmac_fresh(&self, n: usize) {
        let password = Password::parse(self.right[n].password.as_deref());
        let key = HourKey::new(SignType::Sha256, black_box(&self.stamp));
        assert!(key.proves(&password, self.secrets[n].as_bytes()));
    }

    fn found(&self, n: usize) {
        let id = self.right[n].username.as_deref().expect("a device id");
        assert!(self.table.find(black_box(id)).is_some());
    }

    fn not_found(&self, n: usize) {
        let id = self.unknown[n].username.as_deref().expect("a device id");
        assert!(self.table.find(black_box(id)).is_none());
    }

    fn verify(&self, connect: &mqtt::Connect, accepted: bool) {
        self.verify_in(&self.table, connect, accepted);
    }

    fn verify_in(&self, table: &Table, connect: &mqtt::Connect, accepted: bool) {
        let mut keys = self.keys.borrow_mut();
        let connect = black_box(connect.borrowed());
        let verdict = verify(&connect, table, &self.policy, self.now, &mut keys);
        assert_eq!(matches!(black_box(verdict), Verdict::Accept(_)), accepted);
    }

    fn accepted(&self, n: usize) {
        self.verify(&self.right[n], true);
    }

    fn wrong_password(&self, n: usize) {
        self.verify(&self.wrong[n], false);
    }

    fn unknown_device(&self, n: usize) {
        self.verify(&self.unknown[n], false);
    }

    fn stale(&self, n: usize) {
        self.verify(&self.stale[n], false);
    }

    fn recognise(&self, reason: Refusal, connect: &mqtt::Connect) {
        self.recognise_in(&self.table, reason, connect);
    }

    fn recognise_in(&self, table: &Table, reason: Refusal, connect: &mqtt::Connect) {
        let connect = black_box(connect.borrowed());
        black_box(recognise(black_box(reason).into(), &connect, table));
    }

    fn recognise_wrong_password(&self, n: usize) {
        self.recognise(Refusal::WrongPassword, &self.wrong[n]);
    }

    fn recognise_unknown_device(&self, n: usize) {
        self.recognise(Refusal::UnknownDevice, &self.unknown[n]);
    }

    fn recognise_stale(&self, n: usize) {
        self.recognise(Refusal::StaleTimestamp, &self.stale[n]);
    }

    fn recognise_in_a_change(&self, n: usize) {
        self.recognise_in(&self.in_a_change, Refusal::UnknownDevice, &self.unknown[n]);
    }

    fn in_a_change(&self, connect: &mqtt::Connect, accepted: bool) {
        self.verify_in(&self.in_a_change, connect, accepted);
    }

    fn accepted_in_a_change(&self, n: usize) {
        self.in_a_change(&self.right[one_of(&self.of_one, n)], true);
    }

    fn accepted_of_two(&self, n: usize) {
        self.in_a_change(&self.right[one_of(&self.of_two, n)], true);
    }

    fn wrong_password_in_a_change(&self, n: usize) {
        self.in_a_change(&self.wrong[one_of(&self.of_one, n)], false);
    }

    fn wrong_password_of_two(&self, n: usize) {
        self.in_a_change(&self.wrong[one_of(&self.of_two, n)], false);
    }

    fn unknown_device_in_a_change(&self, n: usize) {
        self.in_a_change(&self.unknown[n], false);
    }

    fn bad_client_id(&self, _: usize) {
        self.verify(&self.backend, false);
    }

    fn plugin(&self, n: usize, connect: &mqtt::Connect, accepted: bool) {
        let client = ClientHandle(n);
        let login = Login {
            asked: Asked::Connect,
            client,
            connect: black_box(connect.borrowed()),
            origin: Origin { address: Some(b"127.0.0.1"), ..Origin::default() },
            protocol_version: 4,
        };
        let answer = self.plugin.login(&Silent, &login);
        assert_eq!(matches!(black_box(answer), Answer::Accept { .. }), accepted);
        self.plugin.gone(client);
    }

    fn plugin_accepts(&self, n: usize) {
        self.plugin(n, &self.right[n], true);
    }

    fn plugin_refuses_wrong_password(&self, n: usize) {
        self.plugin(n, &self.wrong[n], false);
    }

    fn plugin_refuses_unknown_device(&self, n: usize) {
        self.plugin(n, &self.unknown[n], false);
    }
}

/// They take turns.
fn one_of(clients: &[usize], n: usize) -> usize {
    clients[n % clients.len()]
}
