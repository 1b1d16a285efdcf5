//! Which addresses have failed too often lately? A bucket of failures for each source address, in memory of a fixed size.
//!
//! Only failures count, and they count only against the address: with a limit on device ids, anyone who knows an id could
//! lock that device out. An IPv6 address counts by its /64, which is what one host is given.
//!
//! A failure is a login that has failed and that was not seen to fail lately. An attacker who guesses must send a different
//! login each time. A device that keeps sending the same wrong login learns nothing by it, and must not lock out the other
//! devices at its address.
//!
//! # Limits
//!
//! When more addresses fail at once than there is room for, those with the fewest failures are forgotten first. When more
//! logins fail than there is room for, those that were not seen for longest are forgotten first, and count once more when
//! they come again, which gives nobody an extra guess. Two addresses with the same 64-bit hash share a bucket, and two such
//! logins count as one; the hash is keyed, so nobody can cause that on purpose.

use crate::bucket::{Bucket, micros};
use iotda_core::{
    login::{Connect, connect::MAX_FIELD},
    options::Limit,
};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// The addresses that have failed, each with the time when its bucket is empty, and the logins that failed.
///
/// Each failure moves that time, so one number says how full a bucket is.
pub struct Limiter {
    bucket: Bucket,
    hasher: RandomState,
    addresses: Places,
    /// The failed logins, each with the time until which the same login is not a further failure.
    logins: Places,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl Limiter {
    /// An empty limiter; always 512 KiB.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            bucket: limit.into(),
            hasher: RandomState::new(),
            addresses: Places::new(),
            logins: Places::new(),
        }
    }

    /// Whether an address has used up its failures. `now` counts from any fixed point.
    #[must_use]
    pub fn is_limited(&self, address: &[u8], now: Duration) -> bool {
        let forgiven = self.addresses.until(self.hash(address));
        forgiven.is_some_and(|forgiven| self.bucket.is_full(forgiven, now))
    }

    /// Counts a failed login against its address.
    pub fn note_failure(&mut self, address: &[u8], connect: &Connect<'_>, now: Duration) {
        let address = self.hash(address);
        let login = self.hash_of_login(address, connect);
        let is_known = self.logins.until(login).is_some_and(|until| until > micros(now));
        self.logins.set(login, self.bucket.full_at(now));
        if !is_known {
            let forgiven = self.addresses.until(address).unwrap_or_default();
            self.addresses.set(address, self.bucket.after_one_more(forgiven, now));
        }
    }

    /// A hash of an address; never 0, which marks an empty place.
    fn hash(&self, address: &[u8]) -> u64 {
        let host = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok()).map(host);
        let hash = match host {
            Some(host) => self.hasher.hash_one(host),
            // Not an IP address: the path of a Unix socket.
            None => self.hasher.hash_one(address),
        };
        hash.max(1)
    }

    /// A hash of a login's credentials, right or wrong, and of its address's hash; never 0.
    fn hash_of_login(&self, address: u64, connect: &Connect<'_>) -> u64 {
        let Connect { client_id, username, password, certificate, keep_alive: _ } = *connect;
        let texts = [client_id, username, password].map(|text| text.map(length_and_start));
        self.hasher.hash_one((address, texts, certificate)).max(1)
    }
}

/// Times by hashes, in a fixed number of sets of a few places each. In a full set, a new hash replaces the earliest time.
struct Places(Box<[[Place; WAYS]]>);

const WAYS: usize = 8;
const SETS: usize = 2048;

/// A hash, 0 for none, and a time in microseconds.
#[derive(Clone, Copy, Default)]
struct Place {
    hash: u64,
    until: u64,
}

impl Places {
    fn new() -> Self {
        Self(vec![[Place::default(); WAYS]; SETS].into_boxed_slice())
    }

    /// The time of a hash; `None` if the hash is not there.
    fn until(&self, hash: u64) -> Option<u64> {
        let set = self.0.get(Self::set_index(hash)?)?;
        set.iter().find(|place| place.hash == hash).map(|place| place.until)
    }

    fn set(&mut self, hash: u64, until: u64) {
        let Some(set) = Self::set_index(hash).and_then(|at| self.0.get_mut(at)) else { return };
        let known = set.iter().position(|place| place.hash == hash);
        let least = (0..WAYS).min_by_key(|at| set.get(*at).map(|place| place.until));
        if let Some(place) = known.or(least).and_then(|at| set.get_mut(at)) {
            *place = Place { hash, until };
        }
    }

    fn set_index(hash: u64) -> Option<usize> {
        usize::try_from(hash % SETS as u64).ok()
    }
}

/// The host behind an address: an IPv4 address, or the first 64 bits of an IPv6 one.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// A longer text is wrong however it goes on, and a client may send 65,535 bytes.
fn length_and_start(text: &[u8]) -> (usize, &[u8]) {
    (text.len(), text.get(..MAX_FIELD).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limiter(count: u32) -> Limiter {
        Limiter::new(Limit { count, within: MINUTE })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    /// Counts a failure with a password that was not sent before.
    fn fail(limiter: &mut Limiter, address: &[u8], number: u32, now: Duration) {
        let password = number.to_be_bytes();
        limiter.note_failure(address, &with_password(&password), now);
    }

    fn with_password(password: &[u8]) -> Connect<'_> {
        Connect { client_id: Some(b"lamp"), password: Some(password), ..Connect::default() }
    }

    #[test]
    fn limits_after_so_many_failures_and_forgives() {
        let mut limiter = limiter(20);
        for failure in 0..20 {
            assert!(!limiter.is_limited(b"192.0.2.1", at(0)), "after {failure} failures");
            fail(&mut limiter, b"192.0.2.1", failure, at(0));
        }
        assert!(limiter.is_limited(b"192.0.2.1", at(0)));
        assert!(limiter.is_limited(b"192.0.2.1", at(2)));
        assert!(!limiter.is_limited(b"192.0.2.2", at(0)));
        // After a twentieth of the minute, one more try is allowed.
        assert!(!limiter.is_limited(b"192.0.2.1", at(3)));
        fail(&mut limiter, b"192.0.2.1", 20, at(3));
        assert!(limiter.is_limited(b"192.0.2.1", at(3)));
        assert!(!limiter.is_limited(b"192.0.2.1", at(63)));
    }

    #[test]
    fn one_is_a_limit() {
        let mut limiter = limiter(1);
        assert!(!limiter.is_limited(b"192.0.2.1", at(0)));
        fail(&mut limiter, b"192.0.2.1", 0, at(0));
        assert!(limiter.is_limited(b"192.0.2.1", at(59)));
        assert!(!limiter.is_limited(b"192.0.2.1", at(60)));
    }

    #[test]
    fn the_same_login_again_is_no_further_failure() {
        let mut limiter = limiter(2);
        let same = with_password(b"wrong");
        // However long it goes on, unless it pauses for the time of the limit.
        for seconds in (0..600).step_by(59) {
            limiter.note_failure(b"192.0.2.1", &same, at(seconds));
            assert!(!limiter.is_limited(b"192.0.2.1", at(seconds)), "after {seconds} s");
        }
        // One failure is forgotten by now: two more are allowed. The same login after its time counts as one.
        limiter.note_failure(b"192.0.2.1", &same, at(1000));
        limiter.note_failure(b"192.0.2.1", &same, at(1000));
        assert!(!limiter.is_limited(b"192.0.2.1", at(1000)));
        fail(&mut limiter, b"192.0.2.1", 0, at(1000));
        assert!(limiter.is_limited(b"192.0.2.1", at(1000)));
        // What one address has failed with is still a failure of another.
        for address in [b"192.0.2.2", b"192.0.2.3"] {
            limiter.note_failure(address, &same, at(1000));
            fail(&mut limiter, address, 0, at(1000));
            assert!(limiter.is_limited(address, at(1000)));
        }
    }

    #[test]
    fn the_same_login_counts_again_once_its_time_is_over() {
        for (seconds, counts) in [(59, false), (60, true)] {
            let mut limiter = limiter(2);
            let same = with_password(b"wrong");
            limiter.note_failure(b"192.0.2.1", &same, at(0));
            // By then the first one is forgotten: two more are too many.
            limiter.note_failure(b"192.0.2.1", &same, at(seconds));
            fail(&mut limiter, b"192.0.2.1", 0, at(seconds));
            assert_eq!(limiter.is_limited(b"192.0.2.1", at(seconds)), counts, "{seconds}");
        }
    }

    #[test]
    fn hundreds_of_addresses_are_remembered_at_a_time() {
        let mut limiter = limiter(1);
        let addresses: Vec<String> = (0..300).map(|n| format!("192.0.{}.{n}", n % 2)).collect();
        for address in &addresses {
            fail(&mut limiter, address.as_bytes(), 0, at(0));
        }
        for address in &addresses {
            assert!(limiter.is_limited(address.as_bytes(), at(1)), "{address}");
        }
    }

    #[test]
    fn logins_are_told_apart_by_each_of_their_parts() {
        let (short, long) = ([b'a'; 256], [b'a'; 60_000]);
        let base = with_password(b"wrong");
        let others = [
            Connect { client_id: None, ..base },
            Connect { client_id: Some(b"lamp-"), ..base },
            Connect { username: Some(b""), ..base },
            Connect { username: Some(b"wrong"), password: None, ..base },
            Connect { password: Some(b""), ..base },
            Connect { password: None, ..base },
            Connect { password: Some(&short), ..base },
            Connect { password: Some(&long), ..base },
            Connect { certificate: Some(b""), ..base },
            Connect { certificate: Some(b"der"), ..base },
        ];
        for other in others {
            let mut limiter = limiter(2);
            limiter.note_failure(b"192.0.2.1", &base, at(0));
            limiter.note_failure(b"192.0.2.1", &other, at(0));
            assert!(limiter.is_limited(b"192.0.2.1", at(0)), "{other:?}");
        }
        // The keep alive proves nothing.
        let mut limiter = limiter(2);
        limiter.note_failure(b"192.0.2.1", &base, at(0));
        limiter.note_failure(b"192.0.2.1", &Connect { keep_alive: 60, ..base }, at(0));
        assert!(!limiter.is_limited(b"192.0.2.1", at(0)));
    }

    #[test]
    fn hosts_are_told_apart() {
        let mut limiter = limiter(1);
        for address in ["2001:db8::1", "192.0.2.1", "/run/mosquitto.sock"] {
            fail(&mut limiter, address.as_bytes(), 0, at(0));
        }
        for same in [
            "2001:db8::1",
            "2001:db8:0:0:ffff::2",
            "192.0.2.1",
            "::ffff:192.0.2.1",
            "/run/mosquitto.sock",
        ] {
            assert!(limiter.is_limited(same.as_bytes(), at(0)), "{same}");
        }
        for other in
            ["2001:db8:0:1::1", "192.0.2.2", "::ffff:192.0.2.2", "/run/other.sock", "", "\u{FFFD}"]
        {
            assert!(!limiter.is_limited(other.as_bytes(), at(0)), "{other}");
        }
    }

    #[test]
    fn a_flood_of_addresses_does_not_free_the_one_that_floods_most() {
        let mut limiter = limiter(10);
        for number in 0..10 {
            fail(&mut limiter, b"192.0.2.1", number, at(0));
        }
        for n in 0..200_000u32 {
            fail(&mut limiter, std::net::Ipv4Addr::from_bits(n).to_string().as_bytes(), n, at(1));
        }
        assert!(limiter.is_limited(b"192.0.2.1", at(1)));
    }

    #[test]
    fn a_flood_of_logins_stays_within_the_bound_and_gives_nobody_a_guess() {
        let mut limiter = limiter(3);
        let same = with_password(b"wrong");
        limiter.note_failure(b"192.0.2.1", &same, at(0));
        for n in 0..200_000 {
            fail(&mut limiter, b"192.0.2.2", n, at(0) + Duration::from_micros(n.into()));
        }
        for places in [&limiter.addresses, &limiter.logins] {
            assert_eq!(size_of_val(&*places.0), 256 * 1024);
        }
        // A forgotten login counts once more.
        limiter.note_failure(b"192.0.2.1", &same, at(1));
        limiter.note_failure(b"192.0.2.1", &same, at(1));
        assert!(!limiter.is_limited(b"192.0.2.1", at(1)));
        fail(&mut limiter, b"192.0.2.1", 0, at(1));
        assert!(limiter.is_limited(b"192.0.2.1", at(1)));
    }

    #[test]
    fn a_clock_that_stands_or_ends_does_no_harm() {
        let mut limiter = limiter(u32::MAX);
        for number in 0..100 {
            fail(&mut limiter, b"192.0.2.1", number, Duration::MAX);
        }
        assert!(!limiter.is_limited(b"192.0.2.1", Duration::MAX));
    }
}
