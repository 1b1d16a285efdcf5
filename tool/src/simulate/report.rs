//! What is told at the end?

use super::{
    fleet::Fleet,
    tally::{Now, Refused, Tally},
};
use crate::{
    args::{self, ReportFormat},
    connack::Reasons,
    mqtt::Target,
    terminal::{self, Answer, Failure, Harmless},
};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    time::Duration,
};

/// The shares of logins whose times are told, in percent, and their names for programs.
const SHARES: [(u64, &str); 3] = [(50, "median"), (95, "percent95"), (100, "slowest")];

/// What is known at the end.
pub(super) struct Report<'a> {
    pub(super) args: &'a args::Simulate,
    pub(super) target: &'a Target,
    pub(super) fleet: &'a Fleet<'a>,
    pub(super) tally: &'a Tally,
    pub(super) took: Duration,
}

impl Report<'_> {
    pub(super) fn tell(&self) -> Result<Answer, Failure> {
        let now = self.tally.now();
        match self.args.format {
            ReportFormat::Json => terminal::write(|out| writeln!(out, "{}", self.json(&now)))?,
            ReportFormat::Text => terminal::write(|out| self.write(&now, out))?,
        }
        let faults = self.tally.faults();
        let fault =
            self.tally.fatal().or_else(|| faults.first().map(|failed| failed.first.clone()));
        match fault {
            Some(fault) if now.accepted + now.refused == 0 || !fault.may_pass() => {
                Err(Failure::new(format!("{}: {fault}", Harmless(self.target.to_string()))))
            }
            _ if self.is_good(&now) => Ok(Answer::Yes),
            _ => Ok(Answer::No),
        }
    }

    /// Whether every device was let in, none was refused, and each did what it was for.
    fn is_good(&self, now: &Now) -> bool {
        let devices = self.devices();
        now.let_in == devices && now.refused == 0 && (!self.args.once || now.answers >= devices)
    }

    fn devices(&self) -> u64 {
        u64::try_from(self.fleet.members.len()).unwrap_or(u64::MAX)
    }

    fn write(&self, now: &Now, out: &mut impl Write) -> io::Result<()> {
        let Now { let_in, accepted, refused, failures, lost, reports, answers, messages, .. } = now;
        let seconds = self.took.as_secs_f64();
        writeln!(
            out,
            "{let_in} of {} devices were let in at {}, in {seconds:.1} s",
            self.devices(),
            self.target
        )?;
        if let Some(left_out) = self.fleet.left_out() {
            writeln!(out, "left out:    {left_out}")?;
        }
        writeln!(
            out,
            "logins:      {accepted} accepted, {refused} refused, {failures} without an answer"
        )?;
        if *accepted > 0 {
            let [median, most, slowest] =
                SHARES.map(|(percent, _)| self.tally.milliseconds(percent));
            writeln!(
                out,
                "a login:     {median} ms (half of them), {most} ms (95 %), {slowest} ms (all)"
            )?;
        }
        writeln!(out, "connections: {lost} lost")?;
        writeln!(
            out,
            "messages:    {reports} reports sent, {answers} requests answered, {messages} others received"
        )?;
        for refused in self.tally.refusals() {
            let Refused { code, sign_type, count } = refused;
            let digit = char::from(sign_type.digit());
            let reasons: Vec<&str> = ids(&refused);
            writeln!(
                out,
                "refused:     {count} with CONNACK {}, {} (sign type {digit}): {}",
                code.shown(),
                code.words(),
                if reasons.is_empty() { "by the broker itself".into() } else { reasons.join(", ") }
            )?;
        }
        for failed in self.tally.faults() {
            writeln!(
                out,
                "failed:      {} with {}: {}",
                failed.count,
                failed.first.id(),
                failed.first
            )?;
        }
        Ok(())
    }

    fn json(&self, now: &Now) -> Value {
        let refusals = self.tally.refusals();
        let refusals: Vec<Value> = refusals
            .iter()
            .map(|refused| {
                json!({
                    "connack": refused.code.code,
                    "message": refused.code.words(),
                    "sign_type": refused.sign_type.digit() - b'0',
                    "count": refused.count,
                    "reasons": ids(refused),
                })
            })
            .collect();
        let faults: Vec<Value> = self
            .tally
            .faults()
            .into_iter()
            .map(|failed| (failed.count, failed.first))
            .chain(self.tally.fatal().map(|fault| (1, fault)))
            .map(|(count, fault)| json!({"fault": fault.id(), "message": fault.to_string(), "count": count}))
            .collect();
        let times: serde_json::Map<String, Value> = SHARES
            .into_iter()
            .filter(|_| now.accepted > 0)
            .map(|(percent, name)| (name.to_owned(), self.tally.milliseconds(percent).into()))
            .collect();
        json!({
            "result": if self.is_good(now) { "good" } else { "bad" },
            "host": self.target.host,
            "port": self.target.port,
            "tls": self.target.tls.is_some(),
            "mqtt": self.args.broker.mqtt.name(),
            "milliseconds": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "devices": self.devices(),
            "let_in": now.let_in,
            "left_out": {"certificate": self.fleet.with_certificates, "frozen": self.fleet.frozen},
            "accepted": now.accepted,
            "refused": now.refused,
            "no_answer": now.failures,
            "lost": now.lost,
            "reports": now.reports,
            "answers": now.answers,
            "messages": now.messages,
            "login_milliseconds": times,
            "refusals": refusals,
            "faults": faults,
        })
    }
}

/// The plugin's reasons that a refusal may have.
fn ids(refused: &Refused) -> Vec<&'static str> {
    match refused.code.reasons(refused.sign_type) {
        Reasons::Some(reasons) | Reasons::Any(reasons, _) => {
            reasons.iter().map(|reason| reason.id()).collect()
        }
    }
}
