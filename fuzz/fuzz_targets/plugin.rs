//! The plugin in a broker that does anything: starts with any options, logins right and nearly, clients that come back at
//! the same address, leave unseen or are let in unasked, sessions that wait or have been restored, SIGHUPs with other files
//! and logins in between, RELOADs that are kept from the plugin and TICKs that never come, time that passes, and ends. What
//! is in `src/model` says what should come of it.

#![no_main]

use iotda_core::options::OPTIONS;
use libfuzzer_sys::fuzz_target;
use mosquitto_iotda_auth_fuzz::{
    broker::{
        AUTH, Around, BASIC_AUTH, Broker, Build, CLIENT_OFFLINE, CONNECT, Call, DEFER, DISCONNECT,
        INVAL, Known, MESSAGE, NOT_ASKED_FOR, RELOAD, RawOption, SLOTS, SUBSCRIBE, SUCCESS, Seen,
        Stands, TICK, UNSUBSCRIBE, WEB_SOCKET, Wire,
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

/// The CONNECTs that came last, by slot.
type Last = [Option<(Sent, Around)>; SLOTS];

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
        let build = match input.below(16) {
            0..6 => Build::WithAdns,
            6..12 => Build::Plain,
            _ => Build::ALL[2 + usize::from(input.below(7))],
        };
        self.broker.reset(is_2_1, has_tls);
        let mut last = Last::default();
        let (mut wall, mut steady) = (NOW, 0);
        for _ in 0..3 {
            let Some(mut model) = self.start(input, is_2_1, wall, steady) else { continue };
            for _ in 0..60 {
                if input.is_over() || !self.event(input, &mut model, (build, has_tls), &mut last) {
                    break;
                }
            }
            let seen = self.broker.stop();
            model.stopped(&seen);
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
            15 => Some((
                input.pick([BASIC_AUTH, RELOAD, TICK, DISCONNECT, MESSAGE]),
                input.pick([31, 1]),
            )),
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
            let which = usize::from(input.byte());
            let option = OPTIONS.get(which % (OPTIONS.len() + 1));
            let Some(option) = option.filter(|option| option.name != "secrets_file") else {
                let name = input.text();
                if name != b"secrets_file" {
                    options.push((some(name).filter(|_| which < 128), some(input.text())));
                }
                continue;
            };
            let values: [&str; 4] = match option.name {
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
                "takeover_limit" => ["1/1m", "off", "3/10s", "20/1h"],
                "stats_interval" => ["1s", "off", "10s", "1h"],
                _ => [option.example, option.default.unwrap_or_default(), option.example, "x"],
            };
            let value = match input.below(8) {
                few @ 0..4 => some(values[usize::from(few)].as_bytes()),
                4 => None,
                5 => some(input.text()),
                _ => some(values[0].as_bytes()),
            };
            options.push((some(option.name.as_bytes()), value));
        }
        options
    }

    /// Something happens. Says whether the plugin goes on.
    fn event(
        &mut self,
        input: &mut Input<'_>,
        model: &mut Model,
        kind: (Build, bool),
        last: &mut Last,
    ) -> bool {
        match input.below(24) {
            0..=4 => self.login(input, model, kind, last),
            5 => {
                let slot = usize::from(input.below(SLOTS as u8));
                let event = input.pick([DISCONNECT, CLIENT_OFFLINE]);
                self.leave(model, event, slot, last);
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
            11 => self.hang_up(input, model, kind, last),
            12 => self.events_about_nobody(input, model),
            13 => self.log_in_again(input, model, kind, last),
            14 => return false,
            15 => {
                // Another file, read and in force.
                self.rewrite(input, model);
                self.reload(model);
                self.settle(model);
            }
            16 => self.let_in_unasked(input, model, kind, last),
            17 => {
                let slot = usize::from(input.below(SLOTS as u8));
                self.ask_again(model, slot, kind);
            }
            18 => {
                // A broker that has ended, and begun again with what it had written down.
                let slot = usize::from(input.below(SLOTS as u8));
                model.doubt(slot);
                if let Some(Known { mut sent, mut around, .. }) = self.broker.forget(slot) {
                    (sent.password, sent.certificate, sent.keep_alive) = (None, None, 0);
                    (around.address, around.protocol_version) = (None, 0);
                    self.broker.list(slot, Known { sent, around, stands: Stands::Restored });
                }
            }
            19 => {
                // Nobody says that it is gone.
                let slot = usize::from(input.below(SLOTS as u8));
                model.doubt(slot);
                self.broker.forget(slot);
            }
            20 | 21 => self.change_filter(input, model),
            _ => self.publish(input, model),
        }
        model.check_filters(&mut self.broker);
        true
    }

    /// A client subscribes to a filter, or takes one back.
    fn change_filter(&mut self, input: &mut Input<'_>, model: &mut Model) {
        let event = input.pick([SUBSCRIBE, UNSUBSCRIBE]);
        let slot = usize::from(input.below(SLOTS as u8));
        let Some(filter) = filter(input, model.device_of(slot)) else { return };
        let known = self.broker.listed(slot).filter(|known| known.stands == Stands::Online);
        let Some(name) = known.and_then(|known| known.sent.client_id) else { return };
        let seen = self.broker.change(event, Some(slot), &Some(filter.clone()));
        model.changes(event, slot, &name, &filter, &seen);
    }

    /// Somebody publishes something.
    fn publish(&mut self, input: &mut Input<'_>, model: &mut Model) {
        let slot = usize::from(input.below(SLOTS as u8));
        let device_id = match input.below(8) {
            7 => input.text().to_vec(),
            _ => model.device_of(slot).to_vec(),
        };
        let rest = input.pick([
            "commands/request_id=1",
            "messages/down",
            "events/down",
            "bootstrap/down",
            "properties/set/request_id=1",
            "properties/get/",
            "shadow/get/response/+",
            "messages/up",
            "commands/response/request_id=1",
            "properties/report",
        ]);
        let mut topic = [b"$oc/devices/", device_id.as_slice(), b"/sys/", rest.as_bytes()].concat();
        input.edit(&mut topic);
        topic.truncate(topic.iter().position(|byte| *byte == 0).unwrap_or(topic.len()));
        let payload = input.text();
        let seen = self.broker.publish(&Some(topic.clone()), Some(payload));
        model.published(&self.broker, &topic, payload, seen);
    }

    /// What a client sends, and the client.
    fn choose(
        &mut self,
        input: &mut Input<'_>,
        model: &Model,
        build: Build,
    ) -> (usize, Sent, Around) {
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
        let socket = input.pick(self.wire.sockets());
        let around = Around {
            address: match input.below(8) {
                0..=2 => Some(b"127.0.0.1".to_vec()),
                3 => Some(b"2001:db8::1".to_vec()),
                4 => Some(b"203.0.113.7".to_vec()),
                5 => {
                    Some(input.text().split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
                }
                6 => Some(b"::ffff:127.0.0.1".to_vec()),
                _ => None,
            },
            protocol: input.pick([0, WEB_SOCKET, 0, 1]),
            protocol_version: match input.below(8) {
                0..=2 => 4,
                3 => 3,
                4 | 5 => 5,
                6 => 0,
                _ => i32::from_be_bytes([input.byte(), 0, 0, input.byte()]),
            },
            port: input.pick([port.into(), port.into(), 1883, -1]),
            build,
            socket,
            is_from_here: self.wire.is_connection(socket),
            ident: input.pick(self.wire.wrong_numbers()),
            // Let in, told to end, and told to end with its will.
            state: input.pick([3, 2, 18, 3]),
            persistent: input.flag(),
            certificate_failure: input.pick([0, 0, 0, 0, 0, -1, 0, i32::MIN]),
            // Nobody could tell whether a login was refused for this, or because there were too many.
            naming: match model.wanted.failure_limit {
                None => input.pick([SUCCESS, SUCCESS, SUCCESS, 1]),
                Some(_) => SUCCESS,
            },
        };
        (slot, sent, around)
    }

    fn login(
        &mut self,
        input: &mut Input<'_>,
        model: &mut Model,
        (build, has_tls): (Build, bool),
        last: &mut Last,
    ) {
        let (slot, sent, mut around) = self.choose(input, model, build);
        let call = match input.below(8) {
            7 => {
                let call = self.wire.dial();
                (around.socket, around.is_from_here) = (call.number(), true);
                Some(call)
            }
            _ => None,
        };
        self.connect(model, slot, &sent, &around, call, has_tls);
        // What it had for a socket is closed.
        (around.socket, around.is_from_here) = (1_000_000, false);
        last[slot] = Some((sent, around));
    }

    /// The same CONNECT once more, at the same address or at another, or over a WebSocket.
    fn log_in_again(
        &mut self,
        input: &mut Input<'_>,
        model: &mut Model,
        (_, has_tls): (Build, bool),
        last: &mut Last,
    ) {
        let slot = usize::from(input.below(SLOTS as u8));
        let to = (slot + usize::from(input.below(2))) % SLOTS;
        let Some((sent, mut around)) = last[slot].clone() else { return };
        if input.flag() {
            around.protocol = WEB_SOCKET;
        }
        self.connect(model, to, &sent, &around, None, has_tls);
        last[to] = Some((sent, around));
    }

    /// A CONNECT, and what follows where it is accepted, or left to others, who accept it.
    fn connect(
        &mut self,
        model: &mut Model,
        slot: usize,
        sent: &Sent,
        around: &Around,
        call: Option<Call>,
        has_tls: bool,
    ) {
        let known = Known { sent: sent.clone(), around: around.clone(), stands: Stands::New };
        let (seen, name) = self.broker.ask(slot, &known);
        let exact = model.asked(slot, &as_the_plugin_sees(&known, has_tls), &seen);
        if seen.code == SUCCESS || seen.code == DEFER {
            let mut known = Known { stands: Stands::Online, ..known };
            known.sent.client_id = name;
            if call.is_some() {
                (known.around.socket, known.around.is_from_here) = (1_000_000, false);
            }
            self.let_in(model, slot, known);
        }
        if let Some(call) = call {
            self.check_call(model, around, call, &exact, &seen);
        }
    }

    /// What a client got over its connection.
    fn check_call(
        &mut self,
        model: &Model,
        around: &Around,
        mut call: Call,
        exact: &[Vec<u8>],
        seen: &Seen,
    ) {
        let port = self.wire.port();
        let proved = around.protocol == 0
            && around.address.as_deref() == Some(b"127.0.0.1")
            && model.wanted.exact_ports.contains(&port)
            && (!model.is_2_1 || around.port == i32::from(port));
        if proved && !exact.is_empty() {
            let received = call.received();
            check!(exact.contains(&received), "{received:?}, not {exact:?}: {around:?} {seen:?}");
        } else {
            check!(call.is_silent(), "something is sent: {around:?} {seen:?}");
        }
    }

    /// A client becomes a session: one of the same name has to go.
    fn let_in(&mut self, model: &mut Model, slot: usize, known: Known) {
        let mut is_resumed = false;
        for other in self.broker.namesakes(slot, &known.sent.client_id) {
            let Some(before) = self.broker.forget(other) else { continue };
            is_resumed = before.around.persistent && known.around.persistent;
            // A WebSocket of a 2.0 has lost its name, and closes later.
            if model.is_2_1 || before.around.protocol != WEB_SOCKET {
                let seen = self.broker.gone(DISCONNECT, Some(other), Some(&before));
                model.gone(other, Some(&before), &seen);
            }
        }
        let name = known.sent.client_id.clone().unwrap_or_default();
        self.broker.begin(&name, is_resumed);
        self.broker.list(slot, known.clone());
        if model.is_2_1 && known.sent.client_id.is_some() {
            let filters = self.broker.filters(&name).len();
            let seen = self.broker.connected(Some(slot));
            model.connected(slot, &known, filters, &seen);
        }
    }

    /// A client that a broker lets in without asking any plugin, since its certificate says who it is.
    fn let_in_unasked(
        &mut self,
        input: &mut Input<'_>,
        model: &mut Model,
        (build, _): (Build, bool),
        last: &Last,
    ) {
        let (slot, mut sent, around) = self.choose(input, model, build);
        sent.password = None;
        self.leave(model, DISCONNECT, slot, last);
        model.log.note_what_was_sent(&sent, &around, model.steady);
        model.down.doubt(&sent.client_id);
        self.let_in(model, slot, Known { sent, around, stands: Stands::Online });
    }

    /// A connection ends, or a session that waits.
    fn leave(&mut self, model: &mut Model, event: i32, slot: usize, last: &Last) {
        let refused = || {
            let (sent, around) = last[slot].clone()?;
            Some(Known { sent, around, stands: Stands::New })
        };
        let known = self.broker.forget(slot).or_else(refused);
        let seen = self.broker.gone(event, Some(slot), known.as_ref());
        if event == CLIENT_OFFLINE && !model.is_2_1 {
            check!(seen.code == NOT_ASKED_FOR && seen.log.is_empty(), "{seen:?}");
        } else {
            model.gone(slot, known.as_ref(), &seen);
        }
        // A 2.1 says which it is.
        let is_said = !model.is_2_1 || event == CLIENT_OFFLINE;
        let stays = |known: &Known| {
            is_said
                && known.around.persistent
                && matches!(known.stands, Stands::Online | Stands::Closing)
        };
        if let Some(known) = known.filter(stays) {
            self.broker.list(slot, Known { stands: Stands::Offline, ..known });
        }
    }

    /// The broker asks about one of its sessions, as it does after a SIGHUP. One that is refused has to go.
    fn ask_again(&mut self, model: &mut Model, slot: usize, (_, has_tls): (Build, bool)) {
        let Some(mut known) = self.broker.listed(slot) else { return };
        let waits = matches!(known.stands, Stands::Offline | Stands::Restored);
        if waits {
            known.sent.certificate = None;
        }
        let (seen, _) = self.broker.ask(slot, &known);
        model.asked(slot, &as_the_plugin_sees(&known, has_tls), &seen);
        if seen.code != SUCCESS && seen.code != DEFER {
            check!(!waits || !model.is_known(&known), "a session that waits is refused: {known:?}");
            self.leave(model, DISCONNECT, slot, &Last::default());
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

    /// SIGHUP, as a broker does it: RELOAD, which another plugin may keep from this one, every session, CONNECTs that come
    /// before the broker's loop has come round, and TICK, which not every broker sends.
    fn hang_up(
        &mut self,
        input: &mut Input<'_>,
        model: &mut Model,
        kind: (Build, bool),
        last: &mut Last,
    ) {
        let choice = input.byte();
        if choice & 3 != 3 {
            self.reload(model);
        }
        for slot in 0..SLOTS {
            self.ask_again(model, slot, kind);
        }
        for _ in 0..choice >> 2 & 3 {
            match input.flag() {
                false => self.log_in_again(input, model, kind, last),
                true => self.login(input, model, kind, last),
            }
        }
        if choice >> 4 & 3 != 3 {
            self.tick(model);
        }
    }

    fn events_about_nobody(&mut self, input: &mut Input<'_>, model: &mut Model) {
        let seen = match input.below(12) {
            0 => self.broker.event(BASIC_AUTH),
            1 => self.broker.gone(DISCONNECT, None, None),
            4 => self.broker.event(CONNECT),
            5 => self.broker.connected(None),
            2 => self.broker.event(DISCONNECT),
            6 => self.broker.event(SUBSCRIBE),
            7 => self.broker.event(UNSUBSCRIBE),
            8 => self.broker.change(SUBSCRIBE, None, &filter(input, b"lamp")),
            9 => self.broker.change(UNSUBSCRIBE, Some(0), &None),
            10 => self.broker.event(MESSAGE),
            11 => self.broker.publish(&None, None),
            _ => self.broker.event(CLIENT_OFFLINE),
        };
        check!([AUTH, SUCCESS, NOT_ASKED_FOR].contains(&seen.code), "{seen:?}");
        check!(seen.log.is_empty() && seen.kicks.is_empty(), "{seen:?}");
        model.log.check(&seen);
    }
}

/// A filter, most of them of a device's; `None` where no broker takes it for one.
fn filter(input: &mut Input<'_>, device_id: &[u8]) -> Option<Vec<u8>> {
    let rest = input.pick([
        "commands/+",
        "commands/#",
        "+/down",
        "messages/down",
        "#",
        "properties/+/+",
        "properties/set/+",
        "shadow/get/response/+",
        "events/down",
        "bootstrap/down",
        "properties/get/+",
        "+/+",
        "commands/request_id=1",
        "messages/up",
        "properties/#",
        "commands/+/#",
    ]);
    let mut filter = match input.below(8) {
        0..5 => [b"$oc/devices/", device_id, b"/sys/", rest.as_bytes()].concat(),
        5 => format!("$oc/devices/another/sys/{rest}").into_bytes(),
        6 => {
            let others = ["$oc/#", "#", "$oc/devices/+/sys/#", "$oc/+/+/sys/commands/+", "+/+/+/#"];
            input.pick(others).as_bytes().to_vec()
        }
        _ => input.text().to_vec(),
    };
    input.edit(&mut filter);
    let wild = |level: &[u8]| level.contains(&b'+') || level.contains(&b'#');
    let mut levels = filter.split(|byte| *byte == b'/').rev();
    let is_right = levels.next().is_some_and(|last| last.len() == 1 || !wild(last))
        && levels.all(|level| level == b"+" || !wild(level));
    (is_right && !filter.is_empty() && !filter.contains(&0)).then_some(filter)
}

/// A client with the certificate that the plugin can have of it.
fn as_the_plugin_sees(known: &Known, has_tls: bool) -> Known {
    let mut known = known.clone();
    let has_der = has_tls && known.around.certificate_failure == 0;
    known.sent.certificate = known.sent.certificate.filter(|der| has_der && !der.is_empty());
    known
}

/// A text of C's, as it is read.
fn text(text: &Option<CString>) -> String {
    text.as_ref().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
