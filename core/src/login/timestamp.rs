//! The hour in a ClientId: `YYYYMMDDHH`, UTC.
//!
//! Huawei's C SDK adds 1 to the whole timestamp, as an integer, when the HMAC holds a zero byte. So hours from 24 on are
//! sent by real devices and roll over into the next day, here as in the platform's own (lenient) date parser.
//!
//! # Limits
//!
//! Days are counted by the Gregorian calendar, years 0000 to 9999; leap seconds do not exist.

/// A timestamp as it is sent: ten digits.
pub type Stamp = [u8; 10];

/// Seconds since 1970-01-01T00:00:00Z.
pub type UnixSeconds = i64;

/// The beginning of an hour, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(UnixSeconds);

/// One hour, in seconds.
pub const HOUR: UnixSeconds = 3600;
const DAY: UnixSeconds = 24 * HOUR;

impl Hour {
    /// Reads `YYYYMMDDHH`: a date of the calendar, and an hour of 00 to 99 that rolls over into the following days.
    #[must_use]
    pub fn parse(stamp: &Stamp) -> Option<Self> {
        let &[y1, y2, y3, y4, m1, m2, d1, d2, h1, h2] = stamp;
        let year = number(&[y1, y2, y3, y4])?;
        let month = number(&[m1, m2])?;
        let day = number(&[d1, d2])?;
        let hour = number(&[h1, h2])?;
        if !(1..=days_in_month(year, month)?).contains(&day) {
            return None;
        }
        Some(Self(days_since_1970(year, month, day) * DAY + hour * HOUR))
    }

    /// How long ago the hour began, in seconds; negative when it is yet to come.
    #[must_use]
    pub fn age(self, now: UnixSeconds) -> i64 {
        now.saturating_sub(self.0)
    }

    /// The hour that begins this many hours later; earlier if negative.
    #[must_use]
    pub fn plus(self, hours: i64) -> Self {
        Self(self.0.saturating_add(hours.saturating_mul(HOUR)))
    }

    /// The hour as `YYYYMMDDHH`, with an hour of 00 to 23; `None` before the year 0000 and after 9999.
    #[must_use]
    pub fn stamp(self) -> Option<Stamp> {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let hour = self.0.rem_euclid(DAY) / HOUR;
        let mut rest =
            (0..=9999).contains(&year).then(|| ((year * 100 + month) * 100 + day) * 100 + hour)?;
        let mut stamp = [b'0'; 10];
        for digit in stamp.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        Some(stamp)
    }

    /// The hour's first second.
    #[must_use]
    pub fn start(self) -> UnixSeconds {
        self.0
    }
}

/// A run of digits as a number; `None` if one of the bytes is not a digit.
fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |n, digit| digit.is_ascii_digit().then(|| n * 10 + i64::from(digit - b'0')))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> Option<i64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap(year) { 29 } else { 28 }),
        _ => None,
    }
}

/// Days from 0000-03-01 to 1970-01-01.
const TO_1970: i64 = 719_468;

/// Days from 1970-01-01 to a date. Counted with March as the first month, so that the leap day is the year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - TO_1970
}

/// The year, month and day of a number of days since 1970-01-01: the inverse of [`days_since_1970`].
fn date(days: i64) -> (i64, i64, i64) {
    const FOUR_CENTURIES: i64 = 146_097; // days; the calendar repeats after them
    let days = days.saturating_add(TO_1970);
    let (eras, day) = (days.div_euclid(FOUR_CENTURIES), days.rem_euclid(FOUR_CENTURIES));
    // Without the leap days before it, each day is in a year of 365 days.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (month * 153 + 2) / 5;
    let (year, month) = match month {
        ..10 => (year, month + 3),
        _ => (year + 1, month - 9),
    };
    (eras * 400 + year, month, day - first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str) -> Option<i64> {
        Hour::parse(text.as_bytes().try_into().unwrap()).map(Hour::start)
    }

    #[test]
    fn reads_the_calendar() {
        for (text, seconds) in [
            ("1970010100", 0),
            ("1969123123", -3600),
            ("2018072417", 1_532_451_600),
            ("2000022900", 951_782_400),
            ("2028022900", 1_835_395_200),
            ("2026123123", 1_798_758_000),
            ("2999010100", 32_472_144_000),
            ("0000010100", -62_167_219_200),
            ("9999123123", 253_402_297_200),
        ] {
            assert_eq!(start(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn rolls_hours_over() {
        assert_eq!(start("2026112224"), start("2026112300"));
        assert_eq!(start("2026123124"), start("2027010100"));
        assert_eq!(start("2028022825"), start("2028022901"));
        assert_eq!(start("2026112299"), start("2026112603"));
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "2026001503",
            "2026131503",
            "2026991503",
            "2026110003",
            "2026113103",
            "2026113203",
            "2026022900",
            "2026023103",
            "1900022900",
            "2100022900",
            "202611220x",
            "x026112209",
            "2026-1-209",
            "+026112209",
            "          ",
            "2026 12209",
        ] {
            assert_eq!(start(text), None, "{text}");
        }
    }

    #[test]
    fn is_written_as_it_is_read() {
        for (text, hours, written) in [
            ("2018072417", 0, Some("2018072417")),
            ("2026112224", 0, Some("2026112300")),
            ("2026123123", 1, Some("2027010100")),
            ("2027010100", -1, Some("2026123123")),
            ("2028022823", 1, Some("2028022900")),
            ("2100022823", 1, Some("2100030100")),
            ("2000022923", 1, Some("2000030100")),
            ("1970010100", -1, Some("1969123123")),
            ("0000010100", 0, Some("0000010100")),
            ("0000010100", -1, None),
            ("9999123123", 0, Some("9999123123")),
            ("9999123123", 1, None),
            ("2018072417", i64::MAX, None),
            ("2018072417", i64::MIN, None),
        ] {
            let hour = Hour::parse(text.as_bytes().try_into().unwrap()).unwrap().plus(hours);
            let stamp = hour.stamp().map(|stamp| String::from_utf8(stamp.to_vec()).unwrap());
            assert_eq!(stamp.as_deref(), written, "{text} {hours}");
        }
    }

    #[test]
    fn has_an_age() {
        let hour = Hour::parse(b"2018072417").unwrap();
        assert_eq!(hour.age(1_532_451_600 + 3600), 3600);
        assert_eq!(hour.age(1_532_451_600 - 1), -1);
        assert_eq!(hour.age(i64::MIN), i64::MIN);
    }
}
