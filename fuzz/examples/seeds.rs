//! Makes the inputs that the fuzzer begins with: the logins that real clients have sent (`tests/data`), and the options of
//! `mosquitto.conf.example`. To be run where it lies when an input comes to mean something else:
//!
//!     cargo run --example seeds

use iotda_core::options::OPTIONS;
use mosquitto_iotda_auth_fuzz::{
    answer::{Answer, answer},
    input::Input,
    rules::Rules,
    secrets,
    sent::Sent,
};
use reference_model::{is_name, reference_date, reference_file};
use std::{collections::BTreeSet, fs, path::Path};

/// A login of `tests/data/device-connects.json`.
struct Login {
    device_id: String,
    secret: String,
    client_id: String,
    username: String,
    password: Option<String>,
    keep_alive: u16,
    level: u8,
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join("..").join(name)).expect(name);
    let logins = logins(&read("tests/data/device-connects.json"));
    let put = |target: &str, seeds: Vec<Vec<u8>>| {
        let folder = root.join("seeds").join(target);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let seeds: BTreeSet<Vec<u8>> = seeds.into_iter().collect();
        for (number, seed) in (1..).zip(seeds) {
            fs::write(folder.join(format!("{number:02}")), seed).expect("room for a file");
        }
    };
    put("client_id", logins.iter().map(|login| login.client_id.clone().into()).collect());
    put("options", options(&read("mosquitto.conf.example")));
    let mut files: Vec<Vec<u8>> = logins
        .iter()
        .map(|login| format!("\0\0{}:{}\n", login.device_id, login.secret).into())
        .collect();
    files.push(format!("\0\0{}", vectors(&read("tests/data/vectors.txt"))).into());
    put("secrets_file", files);
    put("verify", logins.iter().map(verify).collect());
    let mut plugins: Vec<Vec<u8>> = logins.iter().flat_map(plugin).collect();
    let registered = logins.iter().find(|login| is_registered(login));
    plugins.extend(registered.into_iter().flat_map(options_and_kinds));
    plugins.extend(registered.into_iter().flat_map(sessions));
    plugins.extend(registered.into_iter().flat_map(messages));
    put("plugin", plugins);
}

fn logins(json: &str) -> Vec<Login> {
    let list: Vec<serde_json::Value> = serde_json::from_str(json).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().map(String::from);
    list.iter()
        .filter_map(|login| {
            Some(Login {
                device_id: text(&login["device_id"])?,
                secret: text(&login["secret"])?,
                client_id: text(&login["client_id"])?,
                username: text(&login["username"])?,
                password: text(&login["password"]),
                keep_alive: login["keepalive"].as_u64()?.try_into().ok()?,
                level: login["level"].as_u64()?.try_into().ok()?,
            })
        })
        .collect()
}

/// All options with their defaults, and each alone, with its default and with another value.
fn options(example: &str) -> Vec<Vec<u8>> {
    let pair = |line: &str| {
        let (name, value) =
            line.trim_start_matches('#').strip_prefix("plugin_opt_")?.split_once(' ')?;
        Some(format!("{name}={value}"))
    };
    let mut pairs: Vec<String> = example.lines().filter_map(pair).collect();
    pairs.push(pairs.join("\0"));
    let others = OPTIONS.iter().filter(|option| option.default.is_some());
    pairs.extend(others.map(|option| format!("{}={}", option.name, option.example)));
    pairs.into_iter().map(String::into_bytes).collect()
}

/// A device for each secret of the golden vectors.
fn vectors(text: &str) -> String {
    text.lines()
        .filter(|line| line.starts_with("good"))
        .enumerate()
        .map(|(number, line)| {
            format!("d{number}:{}\n", line.split_whitespace().nth(3).expect("a secret"))
        })
        .collect()
}

fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    [&[length], text.as_bytes()].concat()
}

/// Whether the login is that of a device which the secrets file can hold.
fn is_registered(login: &Login) -> bool {
    let (id, secret) = (login.device_id.as_bytes(), login.secret.as_bytes());
    let ends = login
        .client_id
        .strip_prefix(&login.device_id)
        .is_some_and(|end| end.starts_with("_0_") && end.len() == 15);
    is_name(id, 1, 128) && is_name(secret, 8, 32) && login.password.is_some() && ends
}

/// A file with the device, as `secrets::file` chooses it, and the login, as `Sent::choose` does.
fn device_and_login(login: &Login) -> (Vec<u8>, Vec<u8>) {
    let mut parts = login.client_id.rsplitn(3, '_');
    let (stamp, sign) = (parts.next().expect("a timestamp"), parts.next().expect("a sign type"));
    let sign = sign.as_bytes()[0] - b'0';
    let [high, low] = login.keep_alive.to_be_bytes();
    let keep_alive = if login.keep_alive == 120 { vec![0] } else { vec![1, high, low] };
    if is_registered(login) {
        let file = [vec![0, 0], text(&login.device_id), text(&login.secret), vec![0]].concat();
        let sent = [vec![0, sign], text(stamp), vec![0; 4], keep_alive].concat();
        return (file, sent);
    }
    let password = match &login.password {
        Some(password) => [vec![3], text(password)].concat(),
        None => vec![4],
    };
    let sent = [
        vec![1, 0, sign],
        text(stamp),
        [vec![3], text(&login.client_id), vec![3], text(&login.username)].concat(),
        password,
        vec![3],
        keep_alive,
    ];
    (vec![0; 5], sent.concat())
}

fn verify(login: &Login) -> Vec<u8> {
    let (file, sent) = device_and_login(login);
    let seed = [vec![0], file, sent, vec![0; 3]].concat();

    let mut input = Input::new(&seed);
    let rules = Rules::choose(&mut input);
    let (devices, wrong) = reference_file(&secrets::file(&mut input));
    let (sent, stamp) = Sent::choose(&mut input, &devices);
    assert!(wrong.is_empty());
    assert_eq!(sent.client_id.as_deref(), Some(login.client_id.as_bytes()));
    assert_eq!(sent.username.as_deref(), Some(login.username.as_bytes()));
    assert_eq!(sent.password.as_deref(), login.password.as_ref().map(String::as_bytes));
    assert_eq!(sent.keep_alive, login.keep_alive);
    let now = reference_date(&stamp).unwrap_or_default();
    let said = answer(&sent, &devices, &rules, now);
    assert_eq!(said == Answer::Accept, is_registered(login), "{said:?}");
    seed
}

/// The login; with a SIGHUP and an end; and on another broker, and with another file after it.
fn plugin(login: &Login) -> [Vec<u8>; 3] {
    let (file, sent) = device_and_login(login);
    let begin = |is_2_0: u8| [vec![is_2_0, 0, 0], file.clone(), vec![0; 4]].concat();
    // What `World::login` chooses: the event, the client, and what the broker knows of it.
    let version = if login.level == 3 { 3 } else { 0 };
    let ask = [vec![0, 0], sent, vec![0, 0, 0, version], vec![0; 7]].concat();
    [
        [begin(0), ask.clone()].concat(),
        [begin(0), ask.clone(), vec![11, 0, 7, 5, 0, 0, 14]].concat(),
        [begin(1), ask.clone(), vec![15, 0, 0, 0, 0, 0, 0, 0], ask, vec![11]].concat(),
    ]
}

/// What can become of the login's session on both kinds of broker, with each of the broker's builds: it waits, is restored, is
/// taken over from another address, and is asked about in sweeps of which the plugin is told, or is not; and the device comes
/// unasked, over TCP and WebSocket.
fn sessions(login: &Login) -> Vec<Vec<u8>> {
    let (file, sent) = device_and_login(login);
    let mut seeds = Vec::new();
    let builds: [(u8, &[u8]); 5] = [(0, &[0]), (1, &[0]), (1, &[6]), (1, &[12, 0]), (1, &[12, 5])];
    for (is_2_0, build) in builds {
        for protocol in 0..2 {
            let begin = [&[is_2_0, 0], build, &file, &[0; 4]].concat();
            let come = |event: u8, slot: u8| {
                let around = [vec![1, 0, protocol], vec![0; 4], vec![1, 0, 0]].concat();
                let call = if event == 0 { vec![0] } else { vec![] };
                [vec![event, slot], sent.clone(), around, call].concat()
            };
            for story in [
                vec![5, 0, 1, 11, 0],
                vec![5, 0, 0, 11, 3],
                vec![18, 0, 17, 0, 7],
                [come(0, 1), vec![11, 48], come(0, 0)].concat(),
                [come(16, 1), vec![5, 1, 0]].concat(),
            ] {
                seeds.push([begin.clone(), vec![7], come(0, 0), story].concat());
            }
        }
    }
    seeds
}

/// What comes of the login's session's filters: the device's own, which cover one another or are just the plugin's; the same
/// when it waits and is gone on with; and messages in between.
fn messages(login: &Login) -> Vec<Vec<u8>> {
    let (file, sent) = device_and_login(login);
    let mut seeds = Vec::new();
    for is_2_0 in 0..2 {
        let begin = [&[is_2_0, 0, 0], &file[..], &[0; 4]].concat();
        let come = |slot: u8| {
            let around = [vec![1, 0, 0], vec![0; 4], vec![1, 0, 0]].concat();
            [vec![0, slot], sent.clone(), around, vec![0]].concat()
        };
        // By their places among the fuzzer's choices.
        let subscribe = |slot: u8, filter: u8| vec![20, 0, slot, filter, 0, 0];
        let unsubscribe = |slot: u8, filter: u8| vec![20, 1, slot, filter, 0, 0];
        let message = |topic: u8| vec![22, 0, 0, topic, 0, 1, b'x'];
        let (tick, goes_offline) = (vec![7], vec![5, 0, 1]);
        let filters = [
            message(0),
            subscribe(0, 1),
            subscribe(0, 4),
            unsubscribe(0, 1),
            message(0),
            unsubscribe(0, 4),
            subscribe(0, 0),
            unsubscribe(0, 0),
            tick.clone(),
            message(0),
        ];
        let resumed = [
            subscribe(0, 3),
            unsubscribe(0, 2),
            goes_offline,
            message(1),
            come(1),
            subscribe(1, 4),
            message(1),
            unsubscribe(1, 4),
            tick,
        ];
        for story in [filters.concat(), resumed.concat()] {
            seeds.push([begin.clone(), come(0), story].concat());
        }
    }
    seeds
}

/// The login with each option but the first at a value that is no default, on a connection of its own; once more without
/// its password; and by a certificate instead.
fn options_and_kinds(login: &Login) -> Vec<Vec<u8>> {
    let (file, sent) = device_and_login(login);
    let (event, around) = (vec![0, 0], [vec![0; 10], vec![7]].concat());
    let begin = |file: &[u8], option: u8| [&[0, 0, 0], file, &[0, 0, 1, option, 0, 0]].concat();
    let logs_in = [event.clone(), sent.clone(), around.clone()].concat();
    let mut without = sent;
    let password = without.len() - 3;
    without[password] = 4;
    let fails = [event.clone(), without, around.clone()].concat();
    let options = 1..u8::try_from(OPTIONS.len()).expect("a few");
    let mut seeds: Vec<Vec<u8>> = options
        .map(|option| [begin(&file, option), logs_in.clone(), fails.clone(), vec![11, 0]].concat())
        .collect();
    // By SHA-256 and SHA-1, two, and frozen.
    for (kind, fingerprints) in
        [(4, vec![0, 0]), (4, vec![0, 1]), (5, vec![1, 0, 0, 1]), (6, vec![0, 0])]
    {
        let file = [vec![0, kind], text(&login.device_id), fingerprints, vec![0]].concat();
        seeds.push([begin(&file, 0), logs_in.clone(), vec![15, 0, 0, 0, 0, 0, 0, 0, 11]].concat());
    }
    seeds
}
