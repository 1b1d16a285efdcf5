//! What did a line of the log say? The inverse of [`refusal`](super::write::refusal).

use crate::login::{Kind, Refusal};
use std::fmt;

/// A refused login, as its line in the log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalLine<'a> {
    /// The ClientId; `None` if none was sent.
    pub client: Option<Sent>,
    /// The user name; `None` if none was sent.
    pub user: Option<Sent>,
    /// The address, if the broker knew it.
    pub address: Option<&'a str>,
    /// The reason of the refusal.
    pub reason: Refusal,
    /// What else the line says, each field with a blank before it.
    pub detail: &'a str,
}

impl<'a> RefusalLine<'a> {
    /// The fields behind the reason: names and values.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.detail.split(' ').filter_map(|field| field.split_once('='))
    }

    /// What the login was recognised as; `None` if the line has no word for it that this release knows.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.fields().find_map(|(field, id)| Kind::from_id(self.reason, field, id))
    }
}

/// A text that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The bytes as the client sent them, without the log's escapes.
    pub text: Vec<u8>,
    /// Whether the log has only the beginning.
    pub cut: bool,
}

/// Why a text is not such a line: what was expected where something else was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRefusal(&'static str);

impl fmt::Display for NoRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found something else", self.0)
    }
}

impl std::error::Error for NoRefusal {}

/// Reads a line. A broker or a log daemon may have put anything before it.
///
/// # Errors
///
/// [`NoRefusal`], with the first thing that is missing.
pub fn parse(line: &str) -> Result<RefusalLine<'_>, NoRefusal> {
    const START: &str = "iotda-auth: refused";
    let line = line.trim_end_matches(['\r', '\n', ' ']);
    // The first match: what a client sent only comes after it.
    let (_, mut rest) =
        line.split_once(START).ok_or(NoRefusal("a line with `iotda-auth: refused`"))?;
    let client = sent(&mut rest, " client=").ok_or(NoRefusal("client=\"…\" or client=-"))?;
    let user =
        sent(&mut rest, " user=").ok_or(NoRefusal("user=\"…\" or user=- behind the client"))?;
    let address = word(&mut rest, " address=").ok_or(NoRefusal("address=… behind the user"))?;
    let id = word(&mut rest, " reason=").ok_or(NoRefusal("reason=… behind the address"))?;
    let reason = Refusal::from_id(id).ok_or(NoRefusal("one of this release's reasons"))?;
    if !rest.split(' ').skip(1).all(is_field) || !(rest.is_empty() || rest.starts_with(' ')) {
        return Err(NoRefusal("only name=value behind the reason"));
    }
    let address = Some(address).filter(|address| *address != "-");
    Ok(RefusalLine { client, user, address, reason, detail: rest })
}

/// Takes a name and the text behind it, which a client may have sent, off the front of a line.
#[allow(clippy::option_option)] // not there, not sent, or sent
fn sent(rest: &mut &str, name: &str) -> Option<Option<Sent>> {
    let value = rest.strip_prefix(name)?;
    if let Some(after) = value.strip_prefix('-') {
        *rest = after;
        return Some(None);
    }
    let (text, after) = quoted(value.strip_prefix('"')?)?;
    let uncut = after.strip_prefix("...");
    *rest = uncut.unwrap_or(after);
    Some(Some(Sent { text, cut: uncut.is_some() }))
}

/// The bytes up to the closing quote, and what is behind it.
fn quoted(escaped: &str) -> Option<(Vec<u8>, &str)> {
    let mut text = Vec::new();
    let mut rest = escaped;
    loop {
        let end = rest.find(['"', '\\'])?;
        let (plain, special) = rest.split_at_checked(end)?;
        text.extend_from_slice(plain.as_bytes());
        if let Some(after) = special.strip_prefix('"') {
            return Some((text, after));
        }
        let escape = special.strip_prefix('\\')?;
        rest = match escape.strip_prefix('x') {
            Some(hex) => {
                let (digits, after) = hex.split_at_checked(2)?;
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                text.extend_from_slice(&byte);
                after
            }
            None => {
                let (itself, after) = escape.split_at_checked(1)?;
                text.extend_from_slice(itself.as_bytes());
                after
            }
        };
    }
}

/// Takes a name and the word behind it off the front of a line.
fn word<'a>(rest: &mut &'a str, name: &str) -> Option<&'a str> {
    let value = rest.strip_prefix(name)?;
    let end = value.find(' ').unwrap_or(value.len());
    let (word, after) = value.split_at_checked(end)?;
    *rest = after;
    Some(word).filter(|word| !word.is_empty())
}

fn is_field(field: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    field.split_once('=').is_some_and(|(name, value)| match name {
        // An address that is not certain may hold any text, with a `?` for each character that is in no address.
        "forwarded_for" => true,
        name => plain(name) && plain(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::write,
        login::{
            Connect,
            verify::{Detail, Refused},
        },
    };
    use proptest::prelude::*;

    #[test]
    fn reads_the_contracts_line() {
        let line = "iotda-auth: refused client=\"lamp-01_0_1_2026112209\" user=\"lamp-01\" \
                    address=203.0.113.7 reason=stale_timestamp age=3h password=right";
        for before in ["", "1795338000: ", "Nov 22 09:00:00 host mosquitto[7]: 1795338000: "] {
            for after in ["", "\n", "\r\n"] {
                let line = format!("{before}{line}{after}");
                let found = parse(&line).unwrap();
                assert_eq!(found.client.unwrap().text, b"lamp-01_0_1_2026112209");
                assert_eq!(found.user.unwrap().text, b"lamp-01");
                assert_eq!(found.address, Some("203.0.113.7"));
                assert_eq!(found.reason, Refusal::StaleTimestamp);
                assert_eq!(found.detail, " age=3h password=right");
            }
        }
    }

    #[test]
    fn says_what_is_missing() {
        for (line, missing) in [
            ("", "iotda-auth: refused"),
            ("iotda-auth: reloaded in 0.4s", "iotda-auth: refused"),
            ("iotda-auth: refused ", "client="),
            ("iotda-auth: refused client=lamp user=-", "client="),
            ("iotda-auth: refused client=\"lamp", "client="),
            ("iotda-auth: refused client=\"\\xg0\" user=-", "client="),
            ("iotda-auth: refused client=\"\\x0\u{e9}\" user=-", "client="),
            ("iotda-auth: refused client=\"lamp\"", "user="),
            ("iotda-auth: refused client=\"\"x user=-", "user="),
            ("iotda-auth: refused client=- user=-", "address="),
            ("iotda-auth: refused client=- user=- address=", "address="),
            ("iotda-auth: refused client=- user=- address=-", "reason="),
            ("iotda-auth: refused client=- user=- address=- reason=cold", "reasons"),
            ("iotda-auth: refused client=- user=- address=- reason=frozen x", "name=value"),
        ] {
            let message = parse(line).unwrap_err().to_string();
            assert!(message.contains(missing), "{line}: {message}");
        }
    }

    #[test]
    fn a_detail_is_made_of_fields() {
        for (detail, is_read) in [
            ("", true),
            (" age=3h", true),
            (" age=3h password=right", true),
            (" a_b=", true),
            (" forwarded_for=1.2.3.4?? x=y", true),
            (" forwarded_for=::1%eth0", true),
            (" age", false),
            (" age=3h x", false),
            (" a-ge=3h", false),
            (" age=3-h", false),
            (" age=3h=", false),
            ("  age=3h", false),
        ] {
            let line =
                format!("iotda-auth: refused client=- user=- address=- reason=frozen{detail}");
            assert_eq!(
                parse(&line).map(|found| found.detail).ok(),
                is_read.then_some(detail),
                "{line}"
            );
        }
    }

    #[test]
    fn knows_each_kind_by_its_field_and_no_other_word() {
        let kind = |reason: Refusal, detail: &str| {
            let line = format!(
                "iotda-auth: refused client=- user=- address=- reason={}{detail}",
                reason.id()
            );
            parse(&line).unwrap().kind()
        };
        for expected in Kind::ALL {
            let (reason, field, id) = (expected.reason(), expected.field(), expected.id());
            assert_eq!(kind(reason, &format!(" {field}={id}")), Some(expected));
            assert_eq!(
                kind(reason, &format!(" age=3h {field}={id} forwarded_for=::1")),
                Some(expected)
            );
            assert_eq!(kind(reason, &format!(" {field}=later")), None);
            assert_eq!(kind(reason, &format!(" forwarded_for={id}")), None);
            assert_eq!(kind(reason, ""), None);
            assert_eq!(kind(Refusal::Frozen, &format!(" {field}={id}")), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            client in prop::option::of(prop::collection::vec(any::<u8>(), 0..400)),
            user in prop::option::of("[ -~]{0,300}"),
            reason in prop::sample::select(Refusal::ALL.as_slice()),
            age in any::<i64>(),
        ) {
            let user = user.map(String::into_bytes);
            let connect = Connect {
                client_id: client.as_deref(),
                username: user.as_deref(),
                ..Connect::default()
            };
            let detail = Detail::Clock { age, password_right: age % 2 == 0 };
            let origin = write::Origin { address: Some(b"::1"), ..write::Origin::default() };
            let line = write::refusal(&connect, origin, Refused { reason, detail });
            let text = std::str::from_utf8(line.as_bytes()).unwrap();
            let found = parse(text).unwrap();
            prop_assert_eq!(found.reason, reason);
            prop_assert_eq!(found.detail, detail.to_string());
            for (sent, found) in [(client, found.client), (user, found.user)] {
                match found {
                    Some(Sent { text, cut: true }) => prop_assert!(sent.unwrap().starts_with(&text)),
                    found => prop_assert_eq!(sent, found.map(|found| found.text)),
                }
            }
        }

        #[test]
        fn nothing_makes_it_panic(line in ".{0,80}", end in ".{0,80}") {
            let _ = parse(&line);
            let _ = parse(&format!("iotda-auth: refused client=\"{line}\" user=\"{end}"));
            let _ = parse(&format!("iotda-auth: refused {line} user={end}"));
        }
    }
}
