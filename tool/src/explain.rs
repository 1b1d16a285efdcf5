//! Why is this login accepted or refused? Shows the plugin's own check, step by step.

use crate::{
    args, certificate, secret, secrets_file,
    steps::{write_refusal, write_step},
    terminal::{self, Answer, Failure},
};
use iotda_core::{
    log::Span,
    login::{
        ClientId, Connect, HourKeys, Policy, Refusal, Verdict,
        policy::KeepAlive,
        signature::Password,
        steps::Step,
        verify,
        verify::{Detail, Refused},
    },
    options::Options,
    registry::{Credential, Table},
};
use jiff::Timestamp;
use std::{
    cmp::Ordering,
    fmt,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};
use zeroize::Zeroizing;

/// Prints how far a login comes; the answer is whether it is accepted.
pub(crate) fn run(args: &args::Explain) -> Result<Answer, Failure> {
    let file = &secrets_file::named(args.secrets_file.as_deref(), "--secrets-file")?;
    let policy = policy(file, &args.options)?;
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
    let keys = &mut HourKeys::default();
    let verdict = verify(&connect, &table, &policy, now, keys);
    let story = Story::new(connect, &table, &policy, verdict);
    terminal::write(|out| story.write(out))?;
    Ok(if matches!(verdict, Verdict::Accept(_)) { Answer::Yes } else { Answer::No })
}

/// The password that is sent, if one is.
fn password(args: &args::Explain) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    if args.password_stdin {
        return secret::stdin_line().map(Some);
    }
    Ok(args.password.as_ref().map(|password| password.as_bytes().to_vec().into()))
}

/// The policy that a broker with these options has.
fn policy(secrets_file: &Path, options: &[String]) -> Result<Policy, Failure> {
    let secrets_file = secrets_file.to_string_lossy();
    let mut given = vec![("secrets_file", secrets_file.as_ref())];
    let mut words = options.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let pair = word.split_once('=').or_else(|| Some((word, words.next()?)));
        let (name, value) = pair.ok_or_else(|| {
            Failure::new(format!("{}: expected a value, found none", word.escape_debug()))
        })?;
        given.push((name.strip_prefix("plugin_opt_").unwrap_or(name), value));
    }
    match Options::parse(given) {
        Ok(options) => Ok(options.policy),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

/// A login and its result.
struct Story<'a> {
    connect: Connect<'a>,
    policy: &'a Policy,
    verdict: Verdict<'a>,
    /// The parts of the ClientId, if it has a device's shape.
    client_id: Option<ClientId<'a>>,
    /// What proves the device, if it is in the table.
    credential: Option<Credential<'a>>,
}

/// The outcome of one step.
enum Outcome {
    Passed,
    Failed(Refused),
    NotReached,
    NotApplicable,
    /// The step depends on earlier logins.
    NotChecked,
}

impl<'a> Story<'a> {
    fn new(
        connect: Connect<'a>,
        table: &'a Table,
        policy: &'a Policy,
        verdict: Verdict<'a>,
    ) -> Self {
        let client_id = ClientId::parse(connect.client_id.unwrap_or_default()).ok();
        let credential = client_id.and_then(|id| table.find(id.device_id)).map(|d| d.credential);
        Self { connect, policy, verdict, client_id, credential }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for step in Step::ALL {
            write_step(out, step)?;
            match self.outcome(step) {
                Outcome::Passed => writeln!(out, "passed"),
                Outcome::Failed(refused) => {
                    writeln!(out, "failed: {}{}", refused.reason.id(), self.evidence(refused))
                }
                Outcome::NotReached => writeln!(out, "not reached"),
                Outcome::NotApplicable => writeln!(out, "not applicable"),
                Outcome::NotChecked => {
                    writeln!(out, "not checked here: depends on earlier logins at the broker")
                }
            }?;
        }
        match self.verdict {
            Verdict::Accept(_) => writeln!(out, "accepted"),
            Verdict::Defer => {
                writeln!(out, "deferred to the broker's password file and other plugins")
            }
            Verdict::Refuse(Refused { reason, .. }) => write_refusal(out, reason),
        }
    }

    fn outcome(&self, step: Step) -> Outcome {
        if step == Step::Rate {
            return Outcome::NotChecked;
        }
        let failed = match self.verdict {
            Verdict::Accept(_) => return self.passed(step),
            Verdict::Refuse(refused) => refused,
            // Only a client whose ClientId is not a device's is left to others.
            Verdict::Defer => Refused { reason: Refusal::BadClientId, detail: Detail::None },
        };
        match Some(step).cmp(&failed.reason.step()) {
            Ordering::Less => self.passed(step),
            Ordering::Equal => Outcome::Failed(failed),
            Ordering::Greater => Outcome::NotReached,
        }
    }

    /// The outcome of a step that did not refuse.
    fn passed(&self, step: Step) -> Outcome {
        match (&self.client_id, &self.credential) {
            (Some(client_id), Some(credential)) if !step.applies(client_id, credential) => {
                Outcome::NotApplicable
            }
            _ => Outcome::Passed,
        }
    }

    /// The values that decided a refusal, each with a blank before it.
    fn evidence(&self, Refused { reason, detail }: Refused) -> String {
        let device = Text(self.client_id.map(|id| id.device_id));
        match reason {
            Refusal::BadClientId => format!(" client={}", Text(self.connect.client_id)),
            Refusal::BadKeepAlive => match self.policy.keep_alive {
                KeepAlive::Any => detail.to_string(),
                KeepAlive::Within { lowest, highest } => {
                    format!("{detail} accepted={lowest}-{highest}")
                }
            },
            Refusal::UserMismatch => {
                format!(" user={} device={device}", Text(self.connect.username))
            }
            Refusal::UnknownDevice | Refusal::NoCertificate | Refusal::Frozen => {
                format!(" device={device}")
            }
            Refusal::StaleTimestamp => {
                format!("{detail} max_age={}", limit(Some(self.policy.timestamp_max_age)))
            }
            Refusal::FutureTimestamp => {
                format!("{detail} max_ahead={}", limit(self.policy.timestamp_max_ahead))
            }
            Refusal::WrongCertificate => format!("{detail} device={device}"),
            Refusal::WrongPassword => self.shape_of_password().into(),
            _ => detail.to_string(),
        }
    }

    /// A hint about a wrong password that does not show it.
    fn shape_of_password(&self) -> &'static str {
        match self.connect.password {
            None => " password=missing",
            sent if Password::parse(sent).mac().is_none() => {
                " password=malformed (expected 64 lower-case hex digits)"
            }
            Some(_) => "",
        }
    }
}

fn limit(seconds: Option<i64>) -> String {
    match seconds {
        Some(seconds) => Span(seconds.unsigned_abs()).to_string(),
        None => "unlimited".into(),
    }
}

/// A text that the client sent, in quotes and escaped; a bare `-` if it was not sent.
struct Text<'a>(Option<&'a [u8]>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            None => f.write_str("-"),
        }
    }
}
