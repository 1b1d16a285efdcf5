//! Who has failed too often lately? A bucket of failures for each source address, in memory of a fixed size.
//!
//! Only failures count, and only the address is held against anyone: a limit on device ids would let whoever knows one
//! lock it out. An IPv6 address counts by its /64, which is what one host is given.
//!
//! # Limits
//!
//! When more addresses fail at once than there is room for, those with the fewest failures are forgotten first. Two
//! addresses whose 64-bit hashes are equal share a bucket; the hash is keyed, so nobody can choose that.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// After so many failures within so long, an address is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimit {
    /// How many failures are free, at least 1.
    pub failures: u32,
    /// How long it takes until all of them are forgiven.
    pub within: Duration,
}

/// Addresses that have failed, and when all they did will be forgiven.
///
/// Each failure puts that time off by an equal share of the limit's time, so the one number says how full a bucket is.
pub struct Limiter {
    share: u64,
    full: u64,
    hasher: RandomState,
    places: Box<[[Place; WAYS]]>,
}

/// Where an address may lie: any of these places, in a set that its hash chooses.
const WAYS: usize = 8;
const SETS: usize = 2048;

/// One address, by its hash, and when it is forgiven, in microseconds.
#[derive(Clone, Copy, Default)]
struct Place {
    address: u64,
    forgiven: u64,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("full", &self.full).finish_non_exhaustive()
    }
}

impl Limiter {
    /// A limiter that knows nobody. It takes 256 KiB, now and for ever.
    #[must_use]
    pub fn new(limit: FailureLimit) -> Self {
        let full = u64::try_from(limit.within.as_micros()).unwrap_or(u64::MAX >> 1);
        Self {
            share: (full / u64::from(limit.failures.max(1))).max(1),
            full,
            hasher: RandomState::new(),
            places: vec![[Place::default(); WAYS]; SETS].into_boxed_slice(),
        }
    }

    /// Whether an address has used up its failures. `now` counts from any fixed point.
    #[must_use]
    pub fn is_limited(&self, address: &[u8], now: Duration) -> bool {
        let now = micros(now);
        let hash = self.hash(address);
        let place = self.set(hash).and_then(|set| set.iter().find(|place| place.address == hash));
        // One more failure would overflow the bucket.
        place.is_some_and(|place| place.forgiven > now.saturating_add(self.full - self.share))
    }

    /// Notes a failure of an address.
    pub fn note_failure(&mut self, address: &[u8], now: Duration) {
        let (now, share) = (micros(now), self.share);
        let hash = self.hash(address);
        let Some(set) = self.set_index(hash).and_then(|at| self.places.get_mut(at)) else { return };
        let known = set.iter().position(|place| place.address == hash);
        let least = (0..WAYS).min_by_key(|at| set.get(*at).map(|place| place.forgiven));
        if let Some(place) = known.or(least).and_then(|at| set.get_mut(at)) {
            let since = if known.is_some() { place.forgiven.max(now) } else { now };
            *place = Place { address: hash, forgiven: since.saturating_add(share) };
        }
    }

    fn set(&self, hash: u64) -> Option<&[Place; WAYS]> {
        self.places.get(self.set_index(hash)?)
    }

    fn set_index(&self, hash: u64) -> Option<usize> {
        usize::try_from(hash % SETS as u64).ok()
    }

    /// A hash of an address, never 0, which stands for nobody.
    fn hash(&self, address: &[u8]) -> u64 {
        let host = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok()).map(host);
        let hash = match host {
            Some(host) => self.hasher.hash_one(host),
            // The path of a Unix socket.
            None => self.hasher.hash_one(address),
        };
        hash.max(1)
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

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limiter(failures: u32) -> Limiter {
        Limiter::new(FailureLimit { failures, within: MINUTE })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn limits_after_so_many_failures_and_forgives() {
        let mut limiter = limiter(20);
        for failure in 0..20 {
            assert!(!limiter.is_limited(b"192.0.2.1", at(0)), "after {failure} failures");
            limiter.note_failure(b"192.0.2.1", at(0));
        }
        assert!(limiter.is_limited(b"192.0.2.1", at(0)));
        assert!(limiter.is_limited(b"192.0.2.1", at(2)));
        assert!(!limiter.is_limited(b"192.0.2.2", at(0)));
        // A twentieth of the minute is one more try.
        assert!(!limiter.is_limited(b"192.0.2.1", at(3)));
        limiter.note_failure(b"192.0.2.1", at(3));
        assert!(limiter.is_limited(b"192.0.2.1", at(3)));
        assert!(!limiter.is_limited(b"192.0.2.1", at(63)));
    }

    #[test]
    fn one_is_a_limit() {
        let mut limiter = limiter(1);
        assert!(!limiter.is_limited(b"192.0.2.1", at(0)));
        limiter.note_failure(b"192.0.2.1", at(0));
        assert!(limiter.is_limited(b"192.0.2.1", at(59)));
        assert!(!limiter.is_limited(b"192.0.2.1", at(60)));
    }

    #[test]
    fn hosts_are_told_apart() {
        let mut limiter = limiter(1);
        for address in ["2001:db8::1", "192.0.2.1", "/run/mosquitto.sock"] {
            limiter.note_failure(address.as_bytes(), at(0));
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
        for _ in 0..10 {
            limiter.note_failure(b"192.0.2.1", at(0));
        }
        for n in 0..200_000u32 {
            limiter.note_failure(std::net::Ipv4Addr::from_bits(n).to_string().as_bytes(), at(1));
        }
        assert!(limiter.is_limited(b"192.0.2.1", at(1)));
    }

    #[test]
    fn a_clock_that_stands_or_ends_does_no_harm() {
        let mut limiter = limiter(u32::MAX);
        for _ in 0..100 {
            limiter.note_failure(b"192.0.2.1", Duration::MAX);
        }
        assert!(!limiter.is_limited(b"192.0.2.1", Duration::MAX));
    }
}
