//! A real broker with the plugin, a device that logs in, and what the broker answers to others.
//!
//! `./dev demo` builds what this needs and runs it: `demo MOSQUITTO PLUGIN TOOL`, each of them a path.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iotda_core::login::{SignType, timestamp::HOUR};
use std::{
    env,
    fmt::{Display, Write as _},
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};
use support::{
    broker::{Broker, Setup, user_line, wait_within},
    device::{Device, now, stamp},
    mqtt::{Answer, Client, Connect},
};

const DEVICE: &str = "64a1f0c2_lamp-01";
const BACK_END: &str = "64a1f0c2_back-end";
const STRANGER: &str = "64a1f0c2_lamp-99";

/// How long a line of the log may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [mosquitto, plugin, tool] = paths.try_into().expect("MOSQUITTO PLUGIN TOOL");
    // The broker knows this one, and not the other.
    let device = Device { id: DEVICE, secret: random_secret().leak() };
    let stranger = Device { id: STRANGER, secret: random_secret().leak() };

    let setup = Setup::of(mosquitto.clone()).plugin(&plugin);
    // A device stands in for the back end, since nothing else logs in here.
    let back_end = Device { id: BACK_END, secret: random_secret().leak() };
    let lines = [device, back_end].map(|Device { id, secret }| format!("{id}:{secret}\n"));
    let secrets = setup.scratch().file("iotda.secrets", lines.concat());
    let broker = setup.secrets_file(&secrets).start();
    let mut demo = Demo { broker, tool, colours: Colours::new(), surprises: 0 };
    demo.show_configuration();
    let login = demo.show_registration();
    let stale = device.connect(SignType::Sha256Timestamp, &stamp(now() - 5 * HOUR));
    demo.show_logins(&login, &stale, &stranger.connect_now());
    demo.show_command(&login, &back_end.connect_now());
    demo.show_explanation(&stale);
    demo.broker.stop();
    demo.show_how_to_go_on(&mosquitto, &plugin);
    if demo.surprises > 0 {
        eprintln!("dev: {} of the answers above were not the expected ones", demo.surprises);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What is put before and behind words to colour them; empty where nobody looks.
struct Colours {
    heading: &'static str,
    good: &'static str,
    bad: &'static str,
    plain: &'static str,
}

impl Colours {
    fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted && io::stdout().is_terminal() {
            Self { heading: "\x1b[1m", good: "\x1b[32m", bad: "\x1b[31m", plain: "\x1b[0m" }
        } else {
            Self { heading: "", good: "", bad: "", plain: "" }
        }
    }
}

struct Demo {
    broker: Broker,
    tool: PathBuf,
    colours: Colours,
    surprises: usize,
}

impl Demo {
    fn show_configuration(&self) {
        self.heading("A broker with the plugin");
        let log = self.broker.log();
        let version = log.split_once("mosquitto version ").expect("a version").1;
        let version = version.split_whitespace().next().unwrap();
        println!("  mosquitto version {version} with this mosquitto.conf:");
        let config = fs::read_to_string(self.broker.scratch().path().join("mosquitto.conf"));
        indented(&config.unwrap());
    }

    /// Shows what the device is to the broker, and the login that the tool makes of it.
    fn show_registration(&self) -> Connect {
        let secrets = self.broker.secrets();
        let mut tool = Command::new(&self.tool);
        tool.args(["connect-params", DEVICE, "--sign-type", "1", "--secrets-file"]).arg(secrets);
        let said = String::from_utf8(tool.output().unwrap().stdout).unwrap();
        let field = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("iotda-auth connect-params told no {name}"))
        };
        let [client_id, username, password] = ["ClientId: ", "Username: ", "Password: "].map(field);
        self.heading("A device");
        println!("  One line in the secrets file registers it:");
        indented(fs::read_to_string(secrets).unwrap().lines().next().unwrap());
        println!("  From this and the hour it makes its login (iotda-auth connect-params):");
        println!(
            "      ClientId  {client_id}\n      Username  {username}\n      Password  {password}"
        );
        Connect::new(client_id).username(username).password(password)
    }

    fn show_logins(&mut self, right: &Connect, stale: &Connect, unknown: &Connect) {
        self.heading("Logins, and what the broker's log says about those that it refuses");
        println!(
            "  (A stock broker answers every refusal with \"not authorized\"; its log has the reason.)"
        );
        self.login("the device", right, Answer::Connack(0), None);

        let mut password = right.password.clone().unwrap();
        let digit = password.last_mut().unwrap();
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        let wrong = right.clone().password(password);
        let malformed = Connect { client_id: DEVICE.into(), ..unknown.clone() }.username(DEVICE);
        for (who, connect, reason) in [
            ("a wrong password", &wrong, "wrong_password"),
            ("a stale timestamp", stale, "stale_timestamp"),
            ("an unknown device", unknown, "unknown_device"),
            ("a malformed ClientId", &malformed, "bad_client_id"),
        ] {
            self.login(who, connect, Answer::Connack(5), Some(reason));
        }
    }

    /// Logs in, and shows what comes back and why.
    fn login(&mut self, who: &str, connect: &Connect, expected: Answer, reason: Option<&str>) {
        let (_, answer) = Client::connect(&self.broker, connect);
        let colour = if answer == expected { self.colours.good } else { self.colours.bad };
        let code = match answer {
            Answer::Connack(code) => code.to_string(),
            Answer::Closed => "none".into(),
        };
        println!("  {who:<24} CONNACK {code}, {colour}{}{}", words(answer), self.colours.plain);
        if answer != expected {
            self.surprise(format_args!("the code is not {expected:?}"));
        }
        let Some(reason) = reason else { return };
        let reason = format!("reason={reason}");
        let is_it = |line: &String| line.split(' ').any(|word| word == reason);
        match wait_within(PATIENCE, || self.broker.refusals().into_iter().find(is_it)) {
            Some(line) => println!("      {line}"),
            None => self.surprise(format_args!("no line of the broker's log says {reason}")),
        }
    }

    /// A command goes down to the device, which has never subscribed, and its answer comes up.
    fn show_command(&mut self, login: &Connect, back_end: &Connect) {
        self.heading("A command to the device, which has never subscribed to anything");
        let (mut device, answer) = Client::connect(&self.broker, login);
        let (mut service, other) = Client::connect(&self.broker, back_end);
        if [answer, other] != [Answer::Connack(0); 2] {
            return self.surprise("a login was refused");
        }
        let topic = |rest: &str| format!("$oc/devices/{DEVICE}/sys/commands/{rest}");
        service.subscribe(4, &topic("response/#"));
        let (command, answer) = ("{\"command_name\":\"ON\"}", "{\"result_code\":0}");
        self.pass("the back end", &mut service, &mut device, &topic("request_id=1"), command);
        self.pass("the device", &mut device, &mut service, &topic("response/request_id=1"), answer);
    }

    /// One publishes, and it comes to the other.
    fn pass(&mut self, who: &str, from: &mut Client, to: &mut Client, topic: &str, payload: &str) {
        println!("  {who} publishes to {topic}: {payload}");
        from.publish(4, topic, payload.as_bytes());
        match to.receive() {
            Some(packet) if packet.ends_with(payload.as_bytes()) => {
                println!("      {}it has come{}", self.colours.good, self.colours.plain);
            }
            _ => self.surprise("it has not come"),
        }
    }

    fn show_explanation(&mut self, stale: &Connect) {
        self.heading("The same without a broker: iotda-auth explain, on the stale timestamp");
        let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
        let output = Command::new(&self.tool)
            .args(["explain", "--client-id", &text(&stale.client_id)])
            .args(["--username", &text(stale.username.as_deref().unwrap())])
            .args(["--password", &text(stale.password.as_deref().unwrap())])
            .arg("--secrets-file")
            .arg(self.broker.secrets())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        indented(&said);
        if output.status.code() != Some(1) || !said.contains("stale_timestamp") {
            self.surprise(format_args!("expected status 1 and stale_timestamp"));
        }
    }

    fn show_how_to_go_on(&self, mosquitto: &Path, plugin: &Path) {
        let (tool, mosquitto) = (self.tool.display(), mosquitto.display());
        let plugin = format!("plugin {}", plugin.display());
        // As root the broker would become a user who may not read the folder.
        let user = user_line().trim_end();
        let lines = [user, "listener 1883", &plugin, "plugin_opt_secrets_file iotda.secrets"];
        let lines = lines.iter().filter(|line| !line.is_empty());
        let lines: Vec<String> = lines.map(|line| format!("'{line}'")).collect();
        let lines = lines.join(" ");
        self.heading("How to go on");
        println!(
            "  The demo's broker is stopped and its files are gone. For one that stays, with a device of your own:
      mkdir -m 700 iotda-broker && cd iotda-broker
      {tool} add iotda.secrets my_device-01 --create
      printf '%s\\n' {lines} >mosquitto.conf
      {mosquitto} -c mosquitto.conf
  The second line prints the device's secret. Give the device that, its id, this machine's address and port 1883. For
  any other MQTT client, this prints what the device would send (in that folder, in a second terminal):
      {tool} connect-params my_device-01 --secrets-file iotda.secrets
  Ctrl-C ends the broker. Its log has the reason of each refusal, and docs/operator.md says what to do about
  it; README.md says how to install; mosquitto.conf.example is a whole configuration.
"
        );
    }

    fn heading(&self, text: &str) {
        println!("\n{}{text}{}", self.colours.heading, self.colours.plain);
    }

    fn surprise(&mut self, what: impl Display) {
        println!("  {}Not as expected:{} {what}", self.colours.bad, self.colours.plain);
        self.surprises += 1;
    }
}

fn indented(text: &str) {
    text.lines().for_each(|line| println!("      {line}"));
}

/// What the code of a CONNACK says, up to MQTT 3.1.1.
fn words(answer: Answer) -> &'static str {
    match answer {
        Answer::Connack(0) => "accepted",
        Answer::Connack(1) => "unacceptable protocol version",
        Answer::Connack(2) => "identifier rejected",
        Answer::Connack(3) => "server unavailable",
        Answer::Connack(4) => "bad user name or password",
        Answer::Connack(5) => "not authorized",
        Answer::Connack(_) => "unknown",
        Answer::Closed => "the connection was closed without one",
    }
}

fn random_secret() -> String {
    let mut bytes = [0; 12];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).unwrap();
    bytes.iter().fold(String::new(), |mut secret, byte| {
        let _ = write!(secret, "{byte:02x}");
        secret
    })
}
