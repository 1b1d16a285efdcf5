//! Why is this login, or the login of this line of the log, accepted or refused?

use crate::{
    args::{self, ReportFormat},
    certificate, secret, secrets_file,
    terminal::{self, Answer, Failure},
};
use iotda_core::{
    explain::{self, Explanation, Fact, Logged, Outcome},
    log::read,
    login::{Connect, steps::Step},
    options::Options,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::{io::Write, os::unix::ffi::OsStrExt};
use zeroize::Zeroizing;

/// Prints how far a login comes; the answer is whether it is accepted.
pub(crate) fn run(args: &args::Explain) -> Result<Answer, Failure> {
    let explanation = match &args.log_line {
        Some(line) => of_line(line)?,
        None => of_login(args)?,
    };
    terminal::write(|out| match args.format {
        ReportFormat::Text => write!(out, "{explanation}"),
        ReportFormat::Json => writeln!(out, "{}", object(&explanation)),
    })?;
    let accepted = explanation.verdict == explain::Answer::Accepted;
    Ok(if accepted { Answer::Yes } else { Answer::No })
}

/// Explains a line of the log: the one given, or for `-` the first one of standard input.
fn of_line(line: &str) -> Result<Explanation, Failure> {
    let from_stdin = (line == "-").then(secret::stdin_line).transpose()?;
    let text = from_stdin.as_ref().map(|line| String::from_utf8_lossy(line));
    // The text is not repeated: anything may have been pasted, also a secret.
    let refusal = read::parse(text.as_deref().unwrap_or(line))
        .map_err(|error| Failure::new(format!("--log-line: {error}")))?;
    Ok(Explanation::of_line(&refusal))
}

fn of_login(args: &args::Explain) -> Result<Explanation, Failure> {
    let file = &secrets_file::named(args.secrets_file.as_deref(), "--secrets-file")?;
    let words = args.options.iter().map(String::as_str);
    let policy = Options::parse_words(&file.to_string_lossy(), words).map_err(Failure::new)?.policy;
    let table = secret::table(file)?;
    let password = password(args)?;
    let certificate = args.certificate.as_deref().map(certificate::der).transpose()?;
    let connect = Connect {
        client_id: args.client_id.as_deref().map(str::as_bytes),
        username: args.username.as_deref().map(str::as_bytes),
        password: password.as_ref().map(|password| password.as_slice()),
        certificate: certificate.as_deref(),
        keep_alive: args.keepalive,
    };
    let now = args.at.unwrap_or_else(Timestamp::now).as_second();
    Ok(Explanation::of_login(&connect, &table, &policy, now))
}

/// The password that is sent, if one is.
fn password(args: &args::Explain) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    if args.password_stdin {
        return secret::stdin_line().map(Some);
    }
    Ok(args.password.as_ref().map(|password| password.as_bytes().to_vec().into()))
}

/// An explanation as an object, whose names never change. What is not known is null.
fn object(explanation: &Explanation) -> Value {
    let Explanation { logged, steps, verdict } = explanation;
    let (reason, kind) = (verdict.reason(), verdict.kind());
    let code = reason.map(|reason| reason.connack());
    json!({
        "verdict": verdict.id(),
        "reason": reason.map(|reason| reason.id()),
        "reason_in_words": reason.map(|reason| reason.to_string()),
        "kind": kind.map(|kind| kind.id()),
        "kind_in_words": kind.map(|kind| kind.to_string()),
        "connack": code.map(|code| code.v3),
        "connack_mqtt5": code.map(|code| code.v5),
        "advice": verdict.advice(),
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
        "log_line": logged.as_ref().map(client),
    })
}

fn step((step, outcome): &(Step, Outcome)) -> Value {
    let facts: &[Fact] = match outcome {
        Outcome::Failed { facts, .. } => facts,
        _ => &[],
    };
    let facts: Map<String, Value> =
        facts.iter().map(|fact| (fact.name.clone(), json!(fact.value))).collect();
    json!({
        "number": step.number(),
        "title": step.title(),
        "outcome": outcome.id(),
        "facts": facts,
    })
}

/// What the line of the log tells of the client.
fn client(logged: &Logged) -> Value {
    let Logged { client, user, address } = logged;
    let text = |sent: &Option<read::Sent>| {
        sent.as_ref().map(|sent| String::from_utf8_lossy(&sent.text).into_owned())
    };
    let is_cut = |sent: &Option<read::Sent>| sent.as_ref().is_some_and(|sent| sent.cut);
    json!({
        "client_id": text(client),
        "client_id_is_cut": is_cut(client),
        "username": text(user),
        "username_is_cut": is_cut(user),
        "address": address,
    })
}
