//! The plugin in a broker that does anything: starts with any options, logins right and nearly, clients that come back at
//! the same address or leave unseen, SIGHUPs with other files, time that passes, and ends. What is in `src/model` says
//! what should come of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mosquitto_iotda_auth::options::Options;
use mosquitto_iotda_auth_fuzz::{
    broker::{
        AUTH, Around, BASIC_AUTH, Broker, CLIENT_OFFLINE, Call, DISCONNECT, INVAL, NOT_ASKED_FOR,
        RELOAD, RawOption, SLOTS, SUCCESS, TICK, Wire,
    },
    check,
    input::Input,
    model::{Content, Model},
    rules::Wanted,
    secrets,
    sent::Sent,
};
use std::{
    cell::RefCell,
    ffi::CString,
    thread,
    time::{Duration, Instant},
};

/// 2026-11-22T09:00:00Z.
const NOW: i64 = 1_795_338_000;

/// What is there once for all inputs.
struct World {
    broker: Broker,
    wire: Wire,
}

thread_local! {
    static WORLD: RefCell<World> =
        RefCell::new(World { broker: Broker::new(), wire: Wire::new() });
}

fuzz_target!(|bytes: &[u8]| {
    WORLD.with_borrow_mut(|world| world.play(&mut Input::new(bytes)));
});

impl World {
    fn play(&mut self, input: &mut Input<'_>) {
        let (is_2_1, has_tls) = (!input.flag(), !input.flag());
        self.broker.reset(is_2_1, has_tls);
        let mut last: [Option<(Sent, Around)>; SLOTS] = Default::default();
        let (mut wall, mut steady) = (NOW, 0);
        for _ in 0..3 {
            let Some(mut model) = self.start(input, is_2_1, wall, steady) else { continue };
            for _ in 0..60 {
                if input.is_over() || !self.event(input, &mut model, has_tls, &mut last) {
                    break;
                }
            }
            let seen = self.broker.stop();
            model.log.check(&seen);
            check!(seen.kicks.is_empty(), "{seen:?}");
            (wall, steady) = (model.wall, model.steady);
            if input.is_over() {
                break;
            }
        }
        check!(self.wire.is_silent(), "something is sent where nothing may be");
    }

    /// Starts the plugin, if it should start.
    fn start(
        &mut self,
        input: &mut Input<'_>,
        is_2_1: bool,
        wall: i64,
        steady: i64,
    ) -> Option<Model> {
        self.broker.set_clock(wall, steady);
        let content = Content::new(secrets::file(input), input.pick([0o600, 0o640, 0o604, 0o602]));
        self.broker.write_file(&content.bytes, content.mode);
        let options = self.options(input);
        let refused = match input.below(16) {
            15 => Some((input.pick([BASIC_AUTH, RELOAD, TICK, DISCONNECT]), input.pick([31, 1]))),
            _ => None,
        };
        let given: Vec<(String, String)> =
            options.iter().map(|(name, value)| (text(name), text(value))).collect();
        let wanted = Wanted::from(&given).map(Wanted::in_order);
        let path = self.broker.path();
        let wanted = wanted.filter(|wanted| {
            content.is_good && wanted.secrets_file == path && (is_2_1 || !wanted.sessions_by_device)
        });
        // A file that is looked at every few seconds would be read in the middle of a change.
        if wanted
            .as_ref()
            .and_then(|wanted| wanted.reload_seconds)
            .is_some_and(|seconds| seconds < 3600)
        {
            return None;
        }
        let seen = self.broker.start(&options, refused);
        drop(options);
        let code = match (&wanted, refused) {
            (None, _) => INVAL,
            (Some(_), Some((_, code))) => code,
            (Some(_), None) => SUCCESS,
        };
        check!(seen.code == code && seen.kicks.is_empty(), "{given:?} {content:?}: {seen:?}");
        let says_why =
            seen.log.iter().any(|(_, line)| line.starts_with(b"iotda-auth: not started: "));
        check!(says_why == (code != SUCCESS), "{seen:?}");
        let mut model = Model::new(is_2_1, wanted?, content, wall, steady);
        for (name, value) in &given {
            model.log.allow(name.as_bytes());
            model.log.allow(value.as_bytes());
        }
        model.content.devices.keys().for_each(|id| model.log.allow(id));
        model.log.check(&seen);
        (code == SUCCESS).then_some(model)
    }

    /// A few options, most of them right.
    fn options(&self, input: &mut Input<'_>) -> Vec<RawOption> {
        let some = |text: &[u8]| {
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(CString::new(text).expect("no NUL"))
        };
        let path = match input.below(16) {
            15 => input.pick(["", " ", "/nonexistent/file", "/dev/null", "/"]).to_string(),
            _ => self.broker.path(),
        };
        let mut options = vec![(some(b"secrets_file"), some(path.as_bytes()))];
        let ports = format!("1883, {}", self.wire.port());
        for _ in 0..input.below(8) {
            let names: Vec<&str> = Options::names().collect();
            let which = usize::from(input.byte());
            let Some(name) =
                names.get(which % (names.len() + 1)).filter(|name| **name != "secrets_file")
            else {
                let name = input.text();
                if name != b"secrets_file" {
                    options.push((some(name).filter(|_| which < 128), some(input.text())));
                }
                continue;
            };
            let values: [&str; 4] = match *name {
                "timestamp_max_age" => ["2d", "0", "90s", "1h"],
                "timestamp_max_ahead" => ["15m", "0", "2d", "unlimited"],
                "sign_types" => ["0,1,2", "1, 2", "0", "2"],
                "keepalive" => ["any", "60-60", "1-65535", "30-1200"],
                "other_clients" => ["defer", "refuse", "defer", " defer"],
                "one_connection" => ["no", "yes", "no", "yes\t"],
                "session_id" => ["device", "client", "device", "device"],
                "exact_connack_ports" => [&ports, "none", &ports, "1883"],
                "reload_interval" => ["1h", "off", "2d", "60m"],
                "failure_limit" => ["1/1m", "off", "3/10s", "20/1h"],
                "stats_interval" => ["1s", "off", "10s", "1h"],
                _ => ["", "x", " ", "off"],
            };
            let value = match input.below(8) {
                few @ 0..4 => some(values[usize::from(few)].as_bytes()),
                4 => None,
                5 => some(input.text()),
                _ => some(values[0].as_bytes()),
            };
            options.push((some(name.as_bytes()), value));
        }
        options
    }

    /// Something happens. Says whether the plugin goes on.
    fn event(
        &mut self,
        input: &mut Input<'_>,
        model: &mut Model,
        has_tls: bool,
        last: &mut [Option<(Sent, Around)>; SLOTS],
    ) -> bool {
        match input.below(16) {
            0..=4 => self.login(input, model, has_tls, last),
            5 => {
                let slot = usize::from(input.below(SLOTS as u8));
                let event = input.pick([DISCONNECT, CLIENT_OFFLINE]);
                let seen = self.broker.gone(event, Some(slot));
                let unknown = event == CLIENT_OFFLINE && !model.is_2_1;
                check!(seen.code == if unknown { NOT_ASKED_FOR } else { SUCCESS }, "{seen:?}");
                check!(seen.log.is_empty() && seen.kicks.is_empty(), "{seen:?}");
                if !unknown {
                    model.gone(slot);
                }
            }
            6 => self.reload(model),
            7 => drop(self.tick(model)),
            8 => {
                let seconds = input.pick([1, 3, 60, 3600]) * i64::from(input.byte());
                model.steady += seconds * 1_000_000;
                // The wall's clock may be set by somebody.
                model.wall = match input.below(8) {
                    7 => i64::from(input.long()) * input.pick([1, 64, -1, 1]),
                    _ => model.wall + seconds,
                };
                self.broker.set_clock(model.wall, model.steady);
            }
            9 | 10 => self.rewrite(input, model),
            11 => self.hang_up(model, has_tls, last),
            12 => self.events_about_nobody(input, model),
            13 => {
                // The same once more, at the same address or at another.
                let slot = usize::from(input.below(SLOTS as u8));
                let to = (slot + usize::from(input.below(2))) % SLOTS;
                if let Some((sent, around)) = last[slot].clone() {
                    self.ask(model, to, &sent, &around, None, has_tls);
                    last[to] = Some((sent, around));
                }
            }
            14 => return false,
            _ => {
                // Another file, read and in force.
                self.rewrite(input, model);
                self.reload(model);
                self.settle(model);
            }
        }
        true
    }

    fn login(
        &mut self,
        input: &mut Input<'_>,
        model: &mut Model,
        has_tls: bool,
        last: &mut [Option<(Sent, Around)>; SLOTS],
    ) {
        let slot = usize::from(input.below(SLOTS as u8));
        let (mut sent, _) = Sent::choose(input, &model.devices);
        // The broker gives C's strings.
        for text in
            [&mut sent.client_id, &mut sent.username, &mut sent.password].into_iter().flatten()
        {
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            text.truncate(end);
        }
        let port = self.wire.port();
        let mut around = Around {
            address: match input.below(8) {
                0..=2 => Some(b"127.0.0.1".to_vec()),
                3 => Some(b"2001:db8::1".to_vec()),
                4 => Some(b"203.0.113.7".to_vec()),
                5 => {
                    Some(input.text().split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
                }
                _ => None,
            },
            protocol: input.pick([0, 0, 0, 1]),
            protocol_version: match input.below(8) {
                0..=2 => 4,
                3 => 3,
                4 | 5 => 5,
                6 => 0,
                _ => i32::from_be_bytes([input.byte(), 0, 0, input.byte()]),
            },
            subscriptions: input.pick([0, 0, 1, i32::MIN]),
            port: input.pick([port.into(), port.into(), 1883, -1]),
            numbers: {
                let numbers = self.wire.wrong_numbers();
                [input.pick(numbers), input.pick(numbers)]
            },
            certificate_failure: input.pick([0, 0, 0, 0, 0, -1, 0, i32::MIN]),
            // Nobody could tell whether a login was refused for this, or because there were too many.
            naming: match model.wanted.failure_limit {
                None => input.pick([SUCCESS, SUCCESS, SUCCESS, 1]),
                Some(_) => SUCCESS,
            },
        };
        let call = match input.below(8) {
            7 => {
                let call = self.wire.dial();
                around.numbers[usize::from(input.below(2))] = call.number();
                Some(call)
            }
            _ => None,
        };
        self.ask(model, slot, &sent, &around, call, has_tls);
        // What it had for a socket is closed.
        around.numbers = [-1; 2];
        last[slot] = Some((sent, around));
    }

    fn ask(
        &mut self,
        model: &mut Model,
        slot: usize,
        sent: &Sent,
        around: &Around,
        call: Option<Call>,
        has_tls: bool,
    ) {
        let seen = self.broker.ask(slot, sent, around);
        let mut sent = sent.clone();
        sent.certificate = sent
            .certificate
            .filter(|der| has_tls && around.certificate_failure == 0 && !der.is_empty());
        let exact = model.asked(slot, &sent, around, &seen);
        let Some(mut call) = call else { return };
        let port = self.wire.port();
        let proved = around.protocol == 0
            && around.address.as_deref() == Some(b"127.0.0.1")
            && model.wanted.exact_ports.contains(&port)
            && (!model.is_2_1 || around.port == i32::from(port));
        if proved && !exact.is_empty() {
            let received = call.received();
            check!(
                exact.contains(&received),
                "{received:?}, not {exact:?}: {sent:?} {around:?} {seen:?}"
            );
        } else {
            check!(call.is_silent(), "something is sent: {sent:?} {around:?} {seen:?}");
        }
    }

    fn reload(&mut self, model: &mut Model) {
        let seen = self.broker.event(RELOAD);
        model.reload(&seen);
    }

    fn tick(&mut self, model: &mut Model) -> bool {
        let seen = self.broker.event(TICK);
        model.tick(&seen)
    }

    /// Waits until the file is read.
    fn settle(&mut self, model: &mut Model) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while model.requests == 1 && !self.tick(model) {
            check!(Instant::now() < deadline, "nothing comes of a reload");
            thread::sleep(Duration::from_micros(20));
        }
    }

    /// Writes another file, once nobody reads it: one that is written into while it is read waits for its writer.
    fn rewrite(&mut self, input: &mut Input<'_>, model: &mut Model) {
        let content = match input.below(4) {
            3 => Vec::new(),
            2 => model.content.bytes.iter().copied().take(usize::from(input.byte())).collect(),
            _ => secrets::file(input),
        };
        let content = Content::new(content, input.pick([0o600, 0o600, 0o604, 0o602]));
        self.settle(model);
        // More than one request may still be on its way.
        if model.requests == 0 {
            self.broker.write_file(&content.bytes, content.mode);
            content.devices.keys().for_each(|id| model.log.allow(id));
            model.content = content;
        }
    }

    /// SIGHUP, as a broker does it: RELOAD, every session, TICK.
    fn hang_up(
        &mut self,
        model: &mut Model,
        has_tls: bool,
        last: &[Option<(Sent, Around)>; SLOTS],
    ) {
        self.reload(model);
        for (slot, login) in last.iter().enumerate() {
            if let Some((sent, around)) = login {
                self.ask(model, slot, sent, around, None, has_tls);
            }
        }
        self.tick(model);
    }

    fn events_about_nobody(&mut self, input: &mut Input<'_>, model: &mut Model) {
        let seen = match input.below(4) {
            0 => self.broker.event(BASIC_AUTH),
            1 => self.broker.gone(DISCONNECT, None),
            2 => self.broker.event(DISCONNECT),
            _ => self.broker.event(CLIENT_OFFLINE),
        };
        check!([AUTH, SUCCESS, NOT_ASKED_FOR].contains(&seen.code), "{seen:?}");
        check!(seen.log.is_empty() && seen.kicks.is_empty(), "{seen:?}");
        model.log.check(&seen);
    }
}

/// A text of C's, as it is read.
fn text(text: &Option<CString>) -> String {
    text.as_ref().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
