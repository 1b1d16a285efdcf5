//! Why is this login accepted or refused? The check step by step, what was recognised, and what to do: as data, and as the
//! text that `iotda-auth explain` prints.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`login`] | what comes of this login? Runs the plugin's own check |
//! | [`line`](mod@line) | what came of the login that this line of the log tells of? |
//! | [`text`] | how is it shown? |
//!
//! ```
//! use iotda_core::{explain::Explanation, log};
//!
//! let line = "iotda-auth: refused client=\"lamp\" user=\"lamp\" address=- reason=bad_client_id shape=deviceid";
//! let explanation = Explanation::of_line(&log::read::parse(line).unwrap());
//! assert_eq!(explanation.verdict.kind().unwrap().id(), "deviceid");
//! assert!(explanation.to_string().contains("\nwhat to do: "));
//! ```

pub mod line;
pub mod login;
pub mod text;

use crate::{
    log::read::Sent,
    login::{ClientId, Kind, Refusal, steps::Step, verify::Refused},
};

/// An explained login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the line of the log tells of the client; `None` for a login that was checked here.
    pub logged: Option<Logged>,
    /// Each step of the check, in its order, and what came of it.
    pub steps: Vec<(Step, Outcome)>,
    /// What came of the login.
    pub verdict: Answer,
}

/// What a line of the log tells of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The ClientId; `None` if none was sent.
    pub client: Option<Sent>,
    /// The user name; `None` if none was sent.
    pub user: Option<Sent>,
    /// The address, if the broker knew it.
    pub address: Option<String>,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not refuse the login.
    Passed,
    /// It refused the login, for this reason.
    Failed {
        /// The reason.
        reason: Refusal,
        /// The values that decided it.
        facts: Vec<Fact>,
    },
    /// An earlier step refused the login.
    NotReached,
    /// It asks nothing of such a login.
    NotApplicable,
    /// The line of the log does not tell whether it asks anything of such a login.
    PassedOrNotApplicable,
    /// It depends on earlier logins at the broker.
    NotChecked,
    /// The line of the log does not tell.
    NotKnown,
}

impl Outcome {
    /// The outcome's name for programs: lower-case letters and underscores. It never changes.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::NotReached => "not_reached",
            Self::NotApplicable => "not_applicable",
            Self::PassedOrNotApplicable => "passed_or_not_applicable",
            Self::NotChecked => "not_checked",
            Self::NotKnown => "not_known",
        }
    }
}

/// A value that decided a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name, as in the log.
    pub name: String,
    /// The value, without escapes; `None` if the client did not send it. It is never a secret or a password.
    pub value: Option<String>,
    /// Whether the client sent it as it is, so that it may hold anything.
    pub is_sent: bool,
}

impl Fact {
    /// A value of our own.
    fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: Some(value.into()), is_sent: false }
    }

    /// A text that the client sent.
    fn sent(name: &str, text: Option<&[u8]>) -> Self {
        let value = text.map(|text| String::from_utf8_lossy(text).into_owned());
        Self { name: name.into(), value, is_sent: true }
    }

    /// The fields of a log line, each with a blank before it.
    fn of_fields(fields: &str) -> Vec<Self> {
        let fields = fields.split(' ').filter_map(|field| field.split_once('='));
        fields.map(|(name, value)| Self::new(name, value)).collect()
    }
}

/// What came of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The device may log in.
    Accepted,
    /// The broker's password file and other plugins decide.
    Deferred {
        /// What the ClientId was recognised as, if it is nearly that of a device.
        nearly: Option<Kind>,
    },
    /// The login is refused.
    Refused {
        /// Why.
        reason: Refusal,
        /// What is wrong, if it was recognised.
        kind: Option<Kind>,
    },
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self::Refused { reason: refused.reason, kind: refused.kind() }
    }
}

impl Answer {
    /// The answer's name for programs: `accepted`, `deferred` or `refused`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Deferred { .. } => "deferred",
            Self::Refused { .. } => "refused",
        }
    }

    /// The reason of a refusal.
    #[must_use]
    pub fn reason(self) -> Option<Refusal> {
        match self {
            Self::Refused { reason, .. } => Some(reason),
            Self::Accepted | Self::Deferred { .. } => None,
        }
    }

    /// What the login was recognised as.
    #[must_use]
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Accepted => None,
            Self::Deferred { nearly: kind } | Self::Refused { kind, .. } => kind,
        }
    }

    /// What to do, as one sentence without a full stop: about the kind, if it is known.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        self.kind().map(Kind::advice).or(self.reason().map(Refusal::advice))
    }
}

/// What came of a step that did not refuse a login with this ClientId: `has_secret` says whether the device has a secret, and
/// not a certificate; `None` if that is not known.
fn not_refused(step: Step, client_id: Option<ClientId<'_>>, has_secret: Option<bool>) -> Outcome {
    let Some(ClientId { sign_digit, .. }) = client_id else { return Outcome::Passed };
    let applies = |has_secret| step.applies_to(sign_digit, has_secret);
    // If that is not known, the step is judged for both.
    match (applies(has_secret.unwrap_or(true)), applies(has_secret.unwrap_or(false))) {
        (true, true) => Outcome::Passed,
        (false, false) => Outcome::NotApplicable,
        _ => Outcome::PassedOrNotApplicable,
    }
}
