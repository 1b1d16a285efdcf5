//! What is a login made of? Operations that can be repeated, in a process that has nothing else to do.

use super::{
    files::{self, Content, Files, secret},
    load::loaded,
    random::random,
    support::{
        device::{now, stamp},
        mqtt,
        silent::Silent,
    },
};
use mosquitto_iotda_auth::{
    login::{
        HourKeys, Occasion, Policy, SignType, Verdict,
        signature::{HourKey, Password},
        timestamp::{Stamp, UnixSeconds},
        verify,
    },
    plugin::{Answer, Login, Plugin},
    registry::Table,
    sessions::ClientHandle,
};
use std::{cell::RefCell, hint::black_box};

/// Devices in the table.
pub const DEVICES: usize = 10_000;

/// So many of them log in, by turns: where in the table a device lies is chance, and no one device stands for all.
pub const CLIENTS: usize = 100;

/// Does something once, with one of the clients.
pub type Operation = fn(&Bench, usize);

pub const OPERATIONS: [(&str, Operation); 13] = [
    ("HMAC, key kept from the login before", Bench::hmac_kept),
    ("HMAC, fresh key", Bench::hmac_fresh),
    ("look-up, found", Bench::found),
    ("look-up, not found", Bench::not_found),
    (ACCEPTED, Bench::accepted),
    (WRONG_PASSWORD, Bench::wrong_password),
    (UNKNOWN_DEVICE, Bench::unknown_device),
    (WRONG_PASSWORD_OF_TWO, Bench::wrong_password_of_two),
    ("verify, stale timestamp", Bench::stale),
    ("verify, no device's ClientId", Bench::bad_client_id),
    ("plugin, right password, and the end of the session", Bench::plugin_accepts),
    ("plugin, wrong password", Bench::plugin_refuses_wrong_password),
    ("plugin, unknown device", Bench::plugin_refuses_unknown_device),
];

pub const ACCEPTED: &str = "verify, right password";
pub const WRONG_PASSWORD: &str = "verify, wrong password";
pub const WRONG_PASSWORD_OF_TWO: &str = "verify, wrong password, two secrets";
pub const UNKNOWN_DEVICE: &str = "verify, unknown device";

/// All that the operations need, made beforehand.
pub struct Bench {
    table: Table,
    two_secrets: Table,
    plugin: Plugin,
    policy: Policy,
    now: UnixSeconds,
    stamp: Stamp,
    key: HourKey,
    keys: RefCell<HourKeys>,
    secrets: Vec<String>,
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
        let now = now();
        let stamp = *stamp(now).as_bytes().first_chunk().expect("ten digits");
        Self {
            table: loaded(&path).table,
            two_secrets: loaded(&files.two_secrets(DEVICES)).table,
            plugin: Plugin::start(options, &Silent).expect("a good file"),
            policy: Policy::default(),
            now,
            key: HourKey::new(SignType::Sha256, &stamp),
            keys: RefCell::default(),
            stamp,
            secrets: clients.iter().map(|n| secret(*n)).collect(),
            right: connects(files::device, 0),
            wrong: connects(files::device_with_wrong_secret, 0),
            unknown: connects(files::device, DEVICES),
            stale: connects(files::stale_device, 0),
            backend: mqtt::Connect::new("backend"),
        }
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
        let at = Occasion::Connect;
        let verdict = verify(&connect, table, &self.policy, self.now, at, &mut keys);
        assert_eq!(matches!(black_box(verdict), Verdict::Accept(_)), accepted);
    }

    fn accepted(&self, n: usize) {
        self.verify(&self.right[n], true);
    }

    fn wrong_password(&self, n: usize) {
        self.verify(&self.wrong[n], false);
    }

    fn wrong_password_of_two(&self, n: usize) {
        self.verify_in(&self.two_secrets, &self.wrong[n], false);
    }

    fn unknown_device(&self, n: usize) {
        self.verify(&self.unknown[n], false);
    }

    fn stale(&self, n: usize) {
        self.verify(&self.stale[n], false);
    }

    fn bad_client_id(&self, _: usize) {
        self.verify(&self.backend, false);
    }

    fn plugin(&self, n: usize, connect: &mqtt::Connect, accepted: bool) {
        let client = ClientHandle(n);
        let login = Login {
            client,
            connect: black_box(connect.borrowed()),
            address: Some(b"127.0.0.1"),
            protocol_version: 4,
            subscriptions: 0,
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
