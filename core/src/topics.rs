//! To which topics does the platform subscribe each device without being asked?
//!
//! These are the downstream *system* topics of a device, all below `$oc/devices/{device_id}/sys/`. What a device itself
//! publishes, its responses among them, is not.

/// What comes before the device id in every topic of the platform.
pub const PREFIX: &[u8] = b"$oc/devices/";

/// The filters, by what follows `$oc/devices/{device_id}/sys/`. No two of them overlap. `+` is one level.
pub const FILTERS: [&str; COUNT] = [
    "messages/down",
    "events/down",
    "bootstrap/down",
    "commands/+",
    "properties/set/+",
    "properties/get/+",
    "shadow/get/response/+",
];

/// The number of [`FILTERS`].
pub const COUNT: usize = 7;

/// Filters that each replace several of [`FILTERS`], and match no other topic of the platform: so a broker keeps fewer.
pub const GROUPS: [(&str, Set); 2] =
    [("+/down", Set(0b000_0111)), ("properties/+/+", Set(0b011_0000))];

/// A set of [`FILTERS`]; the first is the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u8);

impl Set {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// The filters that are in either set.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set has no filter.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, filter: usize) -> bool {
        self.0 >> filter & 1 == 1
    }

    /// Whether the set is not empty and all of it is in the other set.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.0 != 0 && self.0 & !other.0 == 0
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The device that a message is for: the id in a topic that one of [`FILTERS`] matches.
#[must_use]
pub fn device_of(topic: &[u8]) -> Option<&[u8]> {
    let rest = topic.strip_prefix(PREFIX)?;
    let (device_id, rest) = rest.split_at_checked(memchr::memchr(b'/', rest)?)?;
    let rest = rest.strip_prefix(b"/sys/")?;
    let one_level = |rest: &[u8]| !rest.contains(&b'/');
    let goes_down = match rest.first()? {
        b'm' => rest == b"messages/down",
        b'e' => rest == b"events/down",
        b'b' => rest == b"bootstrap/down",
        b'c' => rest.strip_prefix(b"commands/").is_some_and(one_level),
        b'p' => {
            let rest = rest.strip_prefix(b"properties/")?;
            let rest = rest.strip_prefix(b"set/").or_else(|| rest.strip_prefix(b"get/"));
            rest.is_some_and(one_level)
        }
        b's' => rest.strip_prefix(b"shadow/get/response/").is_some_and(one_level),
        _ => false,
    };
    (goes_down && !device_id.is_empty()).then_some(device_id)
}

/// The [`FILTERS`] that a device's own filter covers: it matches every topic that they match.
#[must_use]
pub fn covered_by(own: &[u8], device_id: &[u8]) -> Set {
    // A wildcard at the first level matches no topic that begins with a `$`.
    let Some(rest) = own.strip_prefix(b"$oc/") else { return Set::NONE };
    let mut set = 0;
    for (at, filter) in FILTERS.iter().enumerate() {
        let levels = [b"devices", device_id, b"sys"].into_iter();
        let levels = levels.chain(filter.as_bytes().split(|byte| *byte == b'/'));
        set |= u8::from(covers(rest, levels)) << at;
    }
    Set(set)
}

/// Whether a filter covers another one, which is given by its levels.
fn covers<'a>(own: &[u8], mut levels: impl Iterator<Item = &'a [u8]>) -> bool {
    for level in own.split(|byte| *byte == b'/') {
        if level == b"#" {
            return true;
        }
        match levels.next() {
            Some(_) if level == b"+" => {}
            Some(other) if level == other => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Each filter that [`wanted`] may give, and what it stands for.
pub fn all() -> impl Iterator<Item = (&'static str, Set)> {
    let single = FILTERS.iter().enumerate().map(|(at, filter)| (*filter, Set(1 << at)));
    GROUPS.iter().copied().chain(single)
}

/// The filters that a broker should keep for a device whose own filters cover these: the rest, by what follows
/// `$oc/devices/{device_id}/sys/`, as a group where a whole group is left.
pub fn wanted(covered: Set) -> impl Iterator<Item = &'static str> {
    let whole = move |group: &Set| !group.meets(covered);
    let groups = GROUPS.iter().filter(move |(_, group)| whole(group)).map(|(filter, _)| *filter);
    let single = FILTERS.iter().enumerate().filter(move |(at, _)| {
        let grouped = GROUPS.iter().any(|(_, group)| group.has(*at) && whole(group));
        !covered.has(*at) && !grouped
    });
    groups.chain(single.map(|(_, filter)| *filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(rest: &str) -> Vec<u8> {
        format!("$oc/devices/lamp-1/sys/{rest}").into_bytes()
    }

    #[test]
    fn what_goes_down_names_its_device() {
        for rest in [
            "messages/down",
            "events/down",
            "bootstrap/down",
            "commands/request_id=1",
            "commands/",
            "properties/set/request_id=1",
            "properties/get/request_id=1",
            "shadow/get/response/request_id=1",
        ] {
            assert_eq!(device_of(&topic(rest)), Some(&b"lamp-1"[..]), "{rest}");
        }
    }

    #[test]
    fn what_goes_up_or_is_no_systems_topic_goes_to_nobody() {
        for rest in [
            "messages/up",
            "messages/down/x",
            "messages/downs",
            "events/up",
            "bootstrap/up",
            "commands/response/request_id=1",
            "commands",
            "properties/report",
            "properties/report?encoding=gzip",
            "properties/set/response/request_id=1",
            "properties/get/response/request_id=1",
            "properties/sets/request_id=1",
            "shadow/get/request_id=1",
            "shadow/get/response",
            "shadow/set/response/request_id=1",
            "gateway/sub_devices/properties/report",
            "",
        ] {
            assert_eq!(device_of(&topic(rest)), None, "{rest}");
        }
        for topic in [
            "",
            "$oc",
            "$oc/devices/",
            "$oc/devices/lamp-1",
            "$oc/devices/lamp-1/sys",
            "$oc/devices//sys/messages/down",
            "$oc/devices/lamp-1/user/messages/down",
            "$oc/products/lamp-1/sys/messages/down",
            "oc/devices/lamp-1/sys/messages/down",
            "/$oc/devices/lamp-1/sys/messages/down",
        ] {
            assert_eq!(device_of(topic.as_bytes()), None, "{topic}");
        }
    }

    /// As MQTT defines it, level by level.
    fn matches(filter: &str, topic: &str) -> bool {
        let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
        loop {
            match (filter.next(), topic.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(level), Some(other)) if level == other => {}
                _ => return false,
            }
        }
    }

    /// Every set of filters that a device's own may cover.
    fn sets() -> impl Iterator<Item = Set> {
        (0..1 << COUNT).map(Set)
    }

    #[test]
    fn each_topic_is_wanted_once_unless_it_is_covered() {
        for covered in sets() {
            for (at, filter) in FILTERS.iter().enumerate() {
                let topic = filter.replace('+', "request_id=1");
                let found = wanted(covered).filter(|filter| matches(filter, &topic)).count();
                assert_eq!(found, usize::from(!covered.has(at)), "{topic} {covered:?}");
            }
        }
        assert_eq!(wanted(Set::NONE).count(), 4);
        assert_eq!(wanted(Set(0b111_1111)).count(), 0);
    }

    #[test]
    fn nothing_that_goes_up_is_wanted() {
        for up in [
            "messages/up",
            "properties/report",
            "commands/response/request_id=1",
            "properties/set/response/request_id=1",
            "properties/get/response/request_id=1",
            "shadow/get/request_id=1",
            "events/up",
            "bootstrap/up",
            "gateway/sub_devices/properties/report",
        ] {
            for covered in sets() {
                assert!(!wanted(covered).any(|filter| matches(filter, up)), "{up} {covered:?}");
            }
        }
    }

    #[test]
    fn a_devices_own_filters_cover_what_they_match_wholly() {
        let all = Set(0b111_1111);
        for (own, expected) in [
            ("#", Set::NONE),
            ("+/devices/lamp-1/sys/#", Set::NONE),
            ("$oc/#", all),
            ("$oc/devices/#", all),
            ("$oc/devices/lamp-1/#", all),
            ("$oc/devices/+/sys/#", all),
            ("$oc/+/+/+/#", all),
            ("$oc/devices/lamp-1/sys/#", all),
            ("$oc/devices/lamp-2/sys/#", Set::NONE),
            ("$oc/devices/lamp-1/sys", Set::NONE),
            ("$oc/devices/lamp-1/user/#", Set::NONE),
            ("$oc/devices/lamp-1/sys/messages/down", Set(1)),
            ("$oc/devices/lamp-1/sys/messages/#", Set(1)),
            ("$oc/devices/lamp-1/sys/messages/down/#", Set(1)),
            ("$oc/devices/lamp-1/sys/messages/down/+", Set::NONE),
            ("$oc/devices/lamp-1/sys/+/down", Set(0b111)),
            ("$oc/devices/lamp-1/sys/+/+", Set(0b1111)),
            ("$oc/devices/lamp-1/sys/commands/#", Set(0b1000)),
            ("$oc/devices/lamp-1/sys/commands/+", Set(0b1000)),
            ("$oc/devices/lamp-1/sys/commands/request_id=1", Set::NONE),
            ("$oc/devices/lamp-1/sys/properties/#", Set(0b11_0000)),
            ("$oc/devices/lamp-1/sys/properties/set/#", Set(0b1_0000)),
            ("$oc/devices/lamp-1/sys/shadow/get/response/#", Set(0b100_0000)),
        ] {
            assert_eq!(covered_by(own.as_bytes(), b"lamp-1"), expected, "{own}");
        }
    }
}
