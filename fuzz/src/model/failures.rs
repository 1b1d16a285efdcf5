//! Which refusals are failures that `failure_limit` counts?

use crate::{answer::is_failure, broker::Around, sent::Sent};
use iotda_core::login::verify::Detail;
use std::collections::BTreeMap;

/// The failed logins since the start, of all addresses together and with none forgiven: at least as many as the plugin has
/// counted of any one address.
#[derive(Debug, Default)]
pub struct Failures {
    count: u64,
    /// Until when the same login is no further failure, in microseconds.
    seen: BTreeMap<Login, i64>,
}

/// Where from, ClientId, user name, password, certificate.
type Login = [Option<Vec<u8>>; 5];

impl Failures {
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Notes a refusal. Where the log does not tell it, it may have been one of `rate_limited`: the same login is then a
    /// further failure all the same.
    #[allow(clippy::too_many_arguments)]
    pub fn note(
        &mut self,
        reason: &str,
        detail: &Detail,
        sent: &Sent,
        around: &Around,
        now: i64,
        seconds: u64,
        is_told: bool,
    ) {
        let is_proved = matches!(detail, Detail::Clock { password_right: true, .. });
        if is_proved || !is_failure(reason) {
            return;
        }
        let Sent { client_id, username, password, certificate, .. } = sent.clone();
        let login = [around.address.clone(), client_id, username, password, certificate];
        if self.seen.get(&login).is_none_or(|until| *until <= now) {
            self.count += 1;
        }
        if is_told {
            let time = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            self.seen.insert(login, now.saturating_add(time));
        }
    }
}
