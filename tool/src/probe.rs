//! Does a broker let this device in? Logs in as the device, and tells what comes.

use crate::{
    args::{self, ReportFormat},
    connack::{Code, Reasons},
    connect_params::{self, Params},
    mqtt::{Client, Connect, Fault, Target, tls::Identity},
    terminal::{self, Answer, Failure, Harmless, say},
};
use iotda_core::login::Refusal;
use serde_json::{Map, Value};
use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long to wait, once all is known, for the broker to close the connection.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much of a broker's own words is shown, in characters.
const MAX_WORDS: usize = 200;

/// Logs in; the answer is whether the device is let in. No broker is a failure.
pub(crate) fn run(args: &args::Probe) -> Result<Answer, Failure> {
    let identity = args.cert.as_deref().zip(args.key.as_deref());
    let target =
        args.broker.target(identity.map(|(certificate, key)| Identity { certificate, key }))?;
    let params = params(args)?;
    let start = Instant::now();
    let outcome = log_in(args, &target, &params, start + args.timeout);
    let report = Report { args, target: &target, params: &params, outcome, took: start.elapsed() };
    report.tell()
}

/// How it went.
enum Outcome {
    /// Let in, and still there.
    Accepted,
    /// Refused in the CONNACK, with what the broker adds in words.
    Refused(Code, Option<Arc<str>>),
    /// Let in, and thrown out at once; with a code if the broker says one.
    ThrownOut(Option<Code>),
    /// No answer of a broker.
    Failed(Fault),
}

fn log_in(args: &args::Probe, target: &Target, params: &Params<'_>, deadline: Instant) -> Outcome {
    let connect = Connect {
        version: args.broker.mqtt,
        client_id: &params.client_id,
        username: params.username,
        password: Some(params.password.as_str()).filter(|password| !password.is_empty()),
        keep_alive: args.broker.keepalive,
    };
    let code = |code| Code { version: args.broker.mqtt, code };
    let (mut client, connack) = match Client::log_in(target, &connect, deadline) {
        Ok((client, connack)) => (client, connack),
        Err(fault) => return Outcome::Failed(fault),
    };
    if connack.code != 0 {
        return Outcome::Refused(code(connack.code), connack.reason);
    }
    // A client that the plugin throws out after the CONNACK was let in, as far as that tells.
    match client.ping(deadline) {
        Ok(Ok(())) => {
            client.leave(Instant::now() + FAREWELL);
            Outcome::Accepted
        }
        Ok(Err(why)) => Outcome::ThrownOut(Some(code(why))),
        Err(Fault::Closed(_)) => Outcome::ThrownOut(None),
        Err(fault) => Outcome::Failed(fault),
    }
}

/// What the device sends.
fn params(args: &args::Probe) -> Result<Params<'_>, Failure> {
    let login = &args.login;
    // A device that has a certificate needs no secret, so none is asked for.
    if args.cert.is_some() && login.secrets_file.is_none() && !login.secret_stdin {
        return Params::unsigned(login).map(|(params, _)| params);
    }
    Params::of(login)?.ok_or_else(|| Failure::new(connect_params::not_found(login)))
}

/// What is told of it.
struct Report<'a> {
    args: &'a args::Probe,
    target: &'a Target,
    params: &'a Params<'a>,
    outcome: Outcome,
    took: Duration,
}

impl Report<'_> {
    fn tell(&self) -> Result<Answer, Failure> {
        let line = self.line();
        match (self.args.quiet, self.args.format, &self.outcome) {
            (_, ReportFormat::Json, _) => {
                terminal::write(|out| writeln!(out, "{}", self.json(&line)))?;
            }
            // Told by whoever ends the tool.
            (.., Outcome::Failed(_)) | (true, _, Outcome::Accepted) => {}
            (true, ..) => say(format_args!("{line}")),
            (false, ..) => terminal::write(|out| {
                writeln!(out, "{line}")?;
                self.write_reasons(out)
            })?,
        }
        match self.outcome {
            Outcome::Accepted => Ok(Answer::Yes),
            Outcome::Refused(..) | Outcome::ThrownOut(_) => Ok(Answer::No),
            Outcome::Failed(_) => Err(Failure::new(line)),
        }
    }

    /// All of it in one line.
    fn line(&self) -> String {
        let Self { target, params, .. } = self;
        let version = self.args.broker.mqtt.name();
        let over = if target.tls.is_some() { " over TLS" } else { "" };
        match &self.outcome {
            Outcome::Accepted => format!(
                "accepted: device {} logged in at {target} (MQTT {version}{over}, {} ms)",
                params.username,
                self.took.as_millis()
            ),
            Outcome::Refused(code, words) => {
                let words = words.as_deref().map(|words| {
                    let start: String = words.chars().take(MAX_WORDS).collect();
                    format!(", \"{}\"", Harmless(start))
                });
                format!(
                    "refused: {target} answers device {} with CONNACK {}, {}{} (MQTT {version}{over})",
                    params.username,
                    code.shown(),
                    code.words(),
                    words.unwrap_or_default()
                )
            }
            Outcome::ThrownOut(code) => {
                let why = code.map(|code| format!(" with {}, {}", code.shown(), code.words()));
                format!(
                    "refused: {target} let device {} in, and disconnected it at once{} (MQTT {version}{over})",
                    params.username,
                    why.unwrap_or_default()
                )
            }
            Outcome::Failed(fault) => format!("{}: {fault}", Harmless(target.to_string())),
        }
    }

    /// What may be the reason, and where it is told.
    fn write_reasons(&self, out: &mut impl Write) -> io::Result<()> {
        let log = format!("iotda-auth: refused client=\"{}\"", self.params.client_id);
        match &self.outcome {
            Outcome::Accepted | Outcome::Failed(_) => return Ok(()),
            Outcome::ThrownOut(_) => {
                writeln!(
                    out,
                    "possible reasons: not_asked ({}); or another program logs in as this device",
                    Refusal::NotAsked
                )?;
                return writeln!(out, "what to do: {}", Refusal::NotAsked.advice());
            }
            Outcome::Refused(code, _) => match code.reasons(self.args.login.sign_type) {
                Reasons::Some(none) if none.is_empty() => {
                    return writeln!(
                        out,
                        "the plugin has no such code: the broker itself refuses, and its log says why"
                    );
                }
                Reasons::Some(reasons) => {
                    writeln!(out, "possible reasons:")?;
                    write_each(&reasons, out)?;
                    if let [reason] = reasons[..] {
                        writeln!(out, "what to do: {}", reason.advice())?;
                    }
                    self.write_clock(&reasons, out)?;
                }
                Reasons::Any(all, exact) => {
                    let all: Vec<&str> = all.iter().map(|reason| reason.id()).collect();
                    writeln!(out, "possible reasons: {}", all.join(", "))?;
                    writeln!(
                        out,
                        "on a port of exact_connack_ports, and with MQTT 5 on Mosquitto 2.1, only:"
                    )?;
                    write_each(&exact, out)?;
                }
            },
        }
        writeln!(out, "the broker's log has the reason: {log}")?;
        writeln!(out, "if it has no such line, the listener does not ask the plugin")
    }

    /// Tells the clock that was signed with, where the broker's may differ.
    fn write_clock(&self, reasons: &[Refusal], out: &mut impl Write) -> io::Result<()> {
        if reasons.contains(&Refusal::StaleTimestamp) && self.args.login.timestamp.is_none() {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
            writeln!(out, "this machine's clock says {now} UTC: compare it with the broker's")?;
        }
        Ok(())
    }

    fn json(&self, line: &str) -> Value {
        let mut object = Map::new();
        let mut set = |name: &str, value: Value| object.insert(name.into(), value);
        let (result, code, thrown_out) = match &self.outcome {
            Outcome::Accepted => ("accepted", Some(0), false),
            Outcome::Refused(code, _) => ("refused", Some(code.code), false),
            Outcome::ThrownOut(_) => ("refused", Some(0), true),
            Outcome::Failed(_) => ("failed", None, false),
        };
        set("result", result.into());
        set("message", line.into());
        set("device_id", self.params.username.into());
        set("host", self.target.host.as_str().into());
        set("port", self.target.port.into());
        set("tls", self.target.tls.is_some().into());
        set("mqtt", self.args.broker.mqtt.name().into());
        set("milliseconds", u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX).into());
        if let Some(code) = code {
            set("connack", code.into());
        }
        let reasons = match &self.outcome {
            Outcome::Refused(code, _) => match code.reasons(self.args.login.sign_type) {
                Reasons::Some(reasons) | Reasons::Any(reasons, _) => reasons,
            },
            Outcome::ThrownOut(_) => vec![Refusal::NotAsked],
            Outcome::Accepted | Outcome::Failed(_) => vec![],
        };
        if result == "refused" {
            set("disconnected", thrown_out.into());
            set("reasons", reasons.iter().map(|reason| reason.id()).collect());
        }
        if let Outcome::Failed(fault) = &self.outcome {
            set("fault", fault.id().into());
        }
        object.into()
    }
}

fn write_each(reasons: &[Refusal], out: &mut impl Write) -> io::Result<()> {
    reasons.iter().try_for_each(|reason| writeln!(out, "  {:<17} {reason}", reason.id()))
}
