//! How often a device has taken itself over.

const MINUTE: i64 = 60_000_000;

/// What is known of one device. Times are in microseconds since the start.
#[derive(Clone, Debug, Default)]
pub struct Takeovers {
    /// When all of them are forgiven: each puts that off by an equal share.
    forgiven: i128,
    /// The minute that is counted, and its logins.
    minute: i64,
    logins: u32,
}

/// The whole time, and a take-over's share of it.
fn shares((takeovers, seconds): (u32, u64)) -> (i128, i128) {
    let full = i128::from(seconds) * 1_000_000;
    (full, (full / i128::from(takeovers)).max(1))
}

impl Takeovers {
    /// Whether one more is one too many.
    pub fn are_too_many(&self, limit: (u32, u64), now: i64) -> bool {
        let (full, share) = shares(limit);
        self.forgiven - i128::from(now) + share > full
    }

    /// One more. Says how many logins that makes in this minute, with the one that is taken over.
    pub fn note(&mut self, limit: Option<(u32, u64)>, now: i64) -> u32 {
        if let Some(limit) = limit {
            self.forgiven = self.forgiven.max(now.into()) + shares(limit).1;
        }
        if self.minute != now / MINUTE || self.logins == 0 {
            (self.minute, self.logins) = (now / MINUTE, 1);
        }
        self.logins += 1;
        self.logins
    }
}
