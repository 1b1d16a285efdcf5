//! What does this device send?

use crate::{
    answer::{Language, Rows},
    code,
};
use iotda_core::{
    login::{
        ClientId, Policy, SignType,
        signature::HourKey,
        timestamp::{HOUR, Hour, Stamp},
    },
    registry::line,
};

/// What the form holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) device_id: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) sign_type: &'a str,
    pub(crate) stamp: &'a str,
    pub(crate) host: &'a str,
}

/// What a device sends.
#[derive(Debug)]
pub(crate) struct Params<'a> {
    pub(crate) client_id: String,
    pub(crate) username: &'a str,
    pub(crate) password: String,
}

/// The three values, until when they hold, and how programs send them; or what is wrong with the form.
pub(crate) fn answer(rows: &mut Rows, language: Language, wish: &Wish<'_>) {
    match read(language, wish) {
        Err(fault) => rows.add(&[&"error", &fault]),
        Ok((sign_type, stamp)) => {
            let params = params(wish, sign_type, &stamp);
            rows.add(&[&"value", &"ClientId", &params.client_id]);
            rows.add(&[&"value", &"Username", &params.username]);
            rows.add(&[&"value", &"Password", &params.password]);
            rows.add(&[&"note", &holds(language, sign_type, &stamp)]);
            if code::is_host(wish.host) {
                for sample in code::SAMPLES {
                    rows.add_text(&[&"code", &sample.name], &(sample.write)(&params, wish.host));
                }
            }
        }
    }
}

fn params<'a>(wish: &Wish<'a>, sign_type: SignType, stamp: &Stamp) -> Params<'a> {
    Params {
        client_id: ClientId::format(wish.device_id, sign_type, wish.stamp),
        username: wish.device_id,
        password: HourKey::new(sign_type, stamp).password(wish.secret.as_bytes()),
    }
}

fn read(language: Language, wish: &Wish<'_>) -> Result<(SignType, Stamp), &'static str> {
    if !line::is_device_id(wish.device_id.as_bytes()) {
        return Err(language.of(
            "Device id: expected 1 to 128 of A-Z a-z 0-9 _ -",
            "设备 ID：应为 1 到 128 个字符，可用 A-Z a-z 0-9 _ -",
        ));
    }
    check_secret(language, wish.secret)?;
    let sign_type = match wish.sign_type.as_bytes() {
        [digit] => SignType::from_digit(*digit),
        _ => None,
    };
    let sign_type = sign_type
        .ok_or(language.of("Sign type: expected 0, 1 or 2", "签名类型：应为 0、1 或 2"))?;
    let digits =
        || language.of("Hour: expected ten digits, YYYYMMDDHH", "小时：应为十位数字 YYYYMMDDHH");
    let stamp: Stamp = wish.stamp.as_bytes().try_into().map_err(|_| digits())?;
    if !stamp.iter().all(u8::is_ascii_digit) {
        return Err(digits());
    }
    if sign_type != SignType::Sha256 && Hour::parse(&stamp).is_none() {
        return Err(language.of(
            "Hour: expected a date of the calendar for sign types 1 and 2",
            "小时：签名类型 1 和 2 要求真实存在的日期",
        ));
    }
    Ok((sign_type, stamp))
}

/// Refuses what cannot be a secret.
pub(crate) fn check_secret(language: Language, secret: &str) -> Result<(), &'static str> {
    line::check_secret(secret.as_bytes()).map_err(|_| {
        language.of(
            "Secret: expected 8 to 32 of A-Z a-z 0-9 _ -",
            "密钥：应为 8 到 32 个字符，可用 A-Z a-z 0-9 _ -",
        )
    })
}

/// Until when a broker with the default options accepts the password.
fn holds(language: Language, sign_type: SignType, stamp: &Stamp) -> String {
    let policy = Policy::default();
    let hour = Hour::parse(stamp).filter(|_| sign_type != SignType::Sha256);
    let Some(hour) = hour else {
        return language
            .of(
                "The password never expires: sign type 0 does not check the hour.",
                "密码永不过期：签名类型 0 不校验时间。",
            )
            .into();
    };
    let until = utc(hour, policy.timestamp_max_age);
    match policy.timestamp_max_ahead {
        Some(ahead) => {
            let from = utc(hour, -ahead);
            language.of(
                format!("The password is accepted from {from} to {until}, UTC, if the plugin has its default options."),
                format!("插件使用默认选项时，密码的有效时间为 {from} 至 {until}（UTC）。"),
            )
        }
        None => language.of(
            format!("The password is accepted until {until}, UTC, if the plugin has its default options."),
            format!("插件使用默认选项时，密码在 {until}（UTC）之前有效。"),
        ),
    }
}

/// A time as text, this many seconds after an hour began.
fn utc(hour: Hour, seconds: i64) -> String {
    let minutes = seconds.rem_euclid(HOUR) / 60;
    let stamp = hour.plus(seconds.div_euclid(HOUR)).stamp();
    // Only the year 9999 has an end that four digits cannot hold.
    let stamp = stamp.unwrap_or(*b"9999123123");
    let text = String::from_utf8_lossy(&stamp);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    format!("{}-{}-{} {}:{minutes:02}", part(0, 4), part(4, 6), part(6, 8), part(8, 10))
}

#[cfg(test)]
mod tests {
    use crate::answer::answer;

    fn made(sign_type: &str, stamp: &str) -> String {
        answer(&["make", "en", "lamp", "12345678", sign_type, stamp, "localhost"].join("\0"))
    }

    #[test]
    fn the_platforms_example_is_made() {
        let rows = made("0", "2025041401");
        assert!(
            rows.starts_with(
                "value\tClientId\tlamp_0_0_2025041401\nvalue\tUsername\tlamp\n\
             value\tPassword\tc75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a\n\
             note\tThe password never expires"
            ),
            "{rows}"
        );
        assert_eq!(rows.matches("\ncode\t").count(), 5, "{rows}");
    }

    #[test]
    fn it_is_said_until_when_the_password_holds() {
        let rows = made("1", "2026112224");
        assert!(rows.contains("accepted from 2026-11-22 00:00 to 2026-11-23 01:05, UTC"), "{rows}");
    }

    #[test]
    fn a_wrong_field_is_named_in_both_languages() {
        for (language, fields, said) in [
            ("en", ["a b", "12345678", "0", "2026112209"], "Device id: "),
            ("en", ["lamp", "short", "0", "2026112209"], "Secret: "),
            ("en", ["lamp", "12345678", "3", "2026112209"], "Sign type: "),
            ("en", ["lamp", "12345678", "0", "202611220"], "Hour: expected ten digits"),
            ("en", ["lamp", "12345678", "1", "2026023103"], "Hour: expected a date"),
            ("zh", ["lamp", "12345678", "1", "2026023103"], "小时："),
        ] {
            let request = ["make", language]
                .iter()
                .chain(&fields)
                .chain(&["localhost"])
                .copied()
                .collect::<Vec<_>>();
            let rows = answer(&request.join("\0"));
            assert!(rows.starts_with(&format!("error\t{said}")), "{rows}");
        }
    }
}
