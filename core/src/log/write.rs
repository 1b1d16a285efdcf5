//! How does it look in the log?
//!
//! Lines are built in memory of a fixed size: nothing that a client sends makes the broker allocate. Every text that a
//! client may have chosen is escaped and cut, so that it can neither end a line nor forge a field of it.

use crate::login::{
    Connect,
    verify::{Detail, Refused},
};
use std::{
    ffi::CStr,
    fmt::{self, Write},
};

/// One line of the log, without its newline; ends in a NUL.
///
/// Mosquitto 2.0 builds a log line, its time included, in 1,000 bytes (`log__vprintf` in `logging.c`). What does not fit
/// is cut off, and the cut is shown.
#[derive(Clone)]
pub struct Line {
    bytes: [u8; Self::CAPACITY],
    length: usize,
}

impl Line {
    const CAPACITY: usize = 960;
    const CUT: &'static [u8] = b"...";

    /// A line without text, to be written to.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::CAPACITY], length: 0 }
    }

    /// A line with a text in it, behind the name of the plugin.
    #[must_use]
    pub fn of(text: fmt::Arguments<'_>) -> Self {
        let mut line = Self::new();
        // Writing to a line does not fail, and neither do the `Display`s of this crate.
        let _ = write!(line, "iotda-auth: {text}");
        line
    }

    /// The text with its NUL, for C.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    /// The text without its NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_c_str().to_bytes()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_c_str().fmt(f)
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = Self::CAPACITY - 1 - Self::CUT.len();
        let Some(room) = self.bytes.get_mut(self.length..end) else { return Ok(()) };
        for (place, byte) in room.iter_mut().zip(text.bytes()) {
            // A path or a system error may hold a newline; the log line must not.
            *place = if byte < b' ' || byte == 0x7F { b'?' } else { byte };
        }
        let room = room.len();
        self.length += text.len().min(room);
        if text.len() > room {
            if let Some(rest) = self.bytes.get_mut(end..end + Self::CUT.len()) {
                rest.copy_from_slice(Self::CUT);
            }
        }
        Ok(())
    }
}

/// The longest ClientId that is shown whole, escaped, in bytes; a legal one has at most 143.
const MAX_CLIENT_ID: usize = 256;

/// The longest address that is shown whole, in bytes: the path of a Unix socket.
const MAX_ADDRESS: usize = 108;

/// The longest refusal line, in bytes.
pub const MAX_REFUSAL: usize = 700;

/// Where a client comes from, as far as the broker tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The address; `None` for a session that was restored from the persistence file.
    pub address: Option<&'a [u8]>,
    /// Whether the client may have chosen it: it comes from a header that the client or a proxy has sent. No limit and no
    /// ban uses such an address.
    pub is_hearsay: bool,
    /// Whether a kick only marks the connection, which then closes when the client reads or hangs up: so it is with a
    /// WebSocket on 2.0 (`do_disconnect` in `loop.c`).
    pub closes_late: bool,
}

impl<'a> Origin<'a> {
    /// The address, if it is certain.
    #[must_use]
    pub fn certain(&self) -> Option<&'a [u8]> {
        self.address.filter(|_| !self.is_hearsay)
    }

    fn hearsay(&self) -> Option<&'a [u8]> {
        self.address.filter(|_| self.is_hearsay)
    }
}

/// The line for a refused login, as fail2ban and grep know it.
///
/// A field that the client did not send is a bare `-`, and so is an address that is not certain. That address comes last,
/// under a name that the fail2ban filter does not take for an address.
#[must_use]
pub fn refusal(connect: &Connect<'_>, origin: Origin<'_>, refused: Refused) -> Line {
    // The cuts leave room for a whole legal ClientId, and keep the sum below MAX_REFUSAL.
    Line::of(format_args!(
        "refused client={} user={} address={} reason={}{}{}",
        Quoted { text: connect.client_id, limit: MAX_CLIENT_ID },
        Quoted { text: connect.username, limit: 160 },
        Address(origin.certain()),
        refused.reason.id(),
        refused.detail,
        ForwardedFor(origin.hearsay()),
    ))
}

/// The address that the header of a WebSocket upgrade gives.
struct ForwardedFor<'a>(Option<&'a [u8]>);

impl fmt::Display for ForwardedFor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As long as an IPv6 address with a zone: a header may hold a thousand bytes of anything.
        const LONGEST: usize = 64;
        match self.0 {
            Some(said) => {
                write!(f, " forwarded_for={}", Address(Some(said.get(..LONGEST).unwrap_or(said))))
            }
            None => Ok(()),
        }
    }
}

/// The line for a login that was accepted. Its texts may hold any bytes.
#[must_use]
pub fn acceptance(connect: &Connect<'_>, origin: Origin<'_>) -> Line {
    let client = Quoted { text: connect.client_id, limit: MAX_CLIENT_ID };
    let (address, said) = (Address(origin.certain()), ForwardedFor(origin.hearsay()));
    Line::of(format_args!("accepted client={client} address={address}{said}"))
}

/// The same line as separate texts that need no escaping.
///
/// It is a line at DEBUG, which most brokers throw away. Formatting it would cost a good part of what the plugin does in
/// addition to the check, so the broker formats it, and only if its log wants it.
#[derive(Clone, Copy, Debug)]
pub struct Acceptance<'a> {
    /// The ClientId, without a quote or a byte that needs escaping.
    pub client_id: &'a [u8],
    /// The address, or a dash.
    pub address: &'a [u8],
}

impl<'a> Acceptance<'a> {
    /// The line for C's printf; each text is a length, an int, and a pointer.
    pub const FORMAT: &'static CStr = c"iotda-auth: accepted client=\"%.*s\" address=%.*s";

    /// `None` if one of the texts must be escaped or cut, or if the address is not certain. Neither is so for a device that
    /// logs in over TCP.
    #[must_use]
    pub fn of(connect: &Connect<'a>, origin: Origin<'a>) -> Option<Self> {
        let client_id = connect.client_id.filter(|_| !origin.is_hearsay)?;
        let address = origin.address.filter(|address| !address.is_empty()).unwrap_or(b"-");
        let plain = client_id.len() <= MAX_CLIENT_ID
            && address.len() <= MAX_ADDRESS
            && every(client_id, stays_in_quotes)
            && every(address, stays_in_address);
        plain.then_some(Self { client_id, address })
    }
}

/// The line for a session that a new login of its device has ended: its ClientId and its address.
#[must_use]
pub fn replacement(client_id: &[u8], address: &[u8], by: Origin<'_>) -> Line {
    Line::of(format_args!(
        "disconnected client={} reason=new_login address={} new_address={}",
        Quoted { text: Some(client_id), limit: MAX_CLIENT_ID },
        Address(Some(address)),
        Address(by.certain()),
    ))
}

/// A device that has logged in often during a minute.
#[derive(Debug, PartialEq, Eq)]
pub struct Often {
    /// The device id.
    pub device_id: Box<[u8]>,
    /// How many logins it had in that minute.
    pub logins: u32,
    /// The address of its session, and another address that it logged in from; that one is empty if there is none.
    pub addresses: [Box<[u8]>; 2],
}

/// The line for a device that has logged in often during a minute.
#[must_use]
pub fn often(often: &Often) -> Line {
    let [address, other] = &often.addresses;
    let device = Quoted { text: Some(&often.device_id), limit: MAX_CLIENT_ID };
    let logins = often.logins;
    let here = Address(Some(address));
    if other.is_empty() || other == address {
        return Line::of(format_args!(
            "device {device} logged in {logins} times in a minute, from {here}: does it exist twice?"
        ));
    }
    let there = Address(Some(other));
    Line::of(format_args!(
        "device {device} logged in {logins} times in a minute, from {here} and {there}: does it exist twice?"
    ))
}

/// The line for a client with a device's ClientId that the broker let in without asking the plugin, where the plugin cannot
/// disconnect it.
#[must_use]
pub fn unasked(client_id: &[u8], origin: Origin<'_>) -> Line {
    Line::of(format_args!(
        "not asked about client={} address={}: it was let in without a check, and has left; take use_identity_as_username and \
         use_subject_as_username out of this listener, for a 2.0 asks no plugin there (docs/operator.md, \"Logins that no plugin is asked about\")",
        Quoted { text: Some(client_id), limit: 160 },
        Address(origin.certain()),
    ))
}

/// The line for a login that was accepted here, and that the broker has turned away all the same.
#[must_use]
pub fn turned_away(client_id: &[u8], origin: Origin<'_>) -> Line {
    Line::of(format_args!(
        "turned away by the broker client={} address={}: it was accepted here; is global_max_clients reached?",
        Quoted { text: Some(client_id), limit: MAX_CLIENT_ID },
        Address(origin.certain()),
    ))
}

/// The line for a session that should end, but that the broker does not know.
#[must_use]
pub fn not_found(id: &[u8]) -> Line {
    let client = Quoted { text: Some(id), limit: MAX_CLIENT_ID };
    Line::of(format_args!(
        "not disconnected client={client}: the broker knows no client of this id; does another plugin rename clients?"
    ))
}

/// The line for a message to a device that was not connected.
#[must_use]
pub fn undelivered(device_id: &[u8], topic: &[u8]) -> Line {
    Line::of(format_args!(
        "undelivered device={} topic={}: it is not logged in here",
        Quoted { text: Some(device_id), limit: 160 },
        Quoted { text: Some(topic), limit: MAX_CLIENT_ID },
    ))
}

/// The line for a session that the plugin has ended.
#[must_use]
pub fn disconnection(client_id: &[u8], reason: &str) -> Line {
    Line::of(format_args!(
        "disconnected client={} reason={}",
        Quoted { text: Some(client_id), limit: MAX_CLIENT_ID },
        reason
    ))
}

impl fmt::Display for Detail {
    /// The fields of a refusal line that come after the reason, with a blank before each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => Ok(()),
            Self::KeepAlive(seconds) => write!(f, " keepalive={seconds}"),
            Self::SignType(digit) => write!(f, " sign_type={}", char::from(digit)),
            Self::Clock { age, password_right } => {
                if age < 0 {
                    write!(f, " ahead={}", Span(age.unsigned_abs()))?;
                } else {
                    write!(f, " age={}", Span(age.unsigned_abs()))?;
                }
                if password_right { f.write_str(" password=right") } else { Ok(()) }
            }
            Self::Kind(kind) => write!(f, " {}={}", kind.field(), kind.id()),
            Self::Certificate(sha256) => {
                f.write_str(" certificate=")?;
                sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// A time span in seconds, as its two largest units: `3h`, `1h5m`, `2d3h`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
        let mut rest = self.0;
        let units = UNITS.iter().skip_while(|(size, _)| *size > self.0).take(2);
        for (size, name) in units {
            if rest / size > 0 {
                write!(f, "{}{name}", rest / size)?;
            }
            rest %= size;
        }
        if self.0 == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

/// A text that a client sent: in quotes, escaped, and cut to a number of bytes. A cut is shown after the closing quote.
struct Quoted<'a> {
    text: Option<&'a [u8]>,
    limit: usize,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(mut rest) = self.text else { return f.write_char('-') };
        f.write_char('"')?;
        let mut room = self.limit;
        loop {
            // A client may send 65,535 bytes; those beyond the cut are not looked at.
            let run = rest.iter().take(room).take_while(|byte| stays_in_quotes(byte)).count();
            let (text, others) = rest.split_at_checked(run).unwrap_or_default();
            f.write_str(ascii(text))?;
            room -= run;
            let Some((&byte, others)) = others.split_first() else { return f.write_char('"') };
            let quoted = byte == b'"' || byte == b'\\';
            let escaped = if quoted { 2 } else { 4 };
            if stays_in_quotes(&byte) || escaped > room {
                return f.write_str("\"...");
            }
            room -= escaped;
            if quoted {
                write!(f, "\\{}", char::from(byte))?;
            } else {
                write!(f, "\\x{byte:02x}")?;
            }
            rest = others;
        }
    }
}

/// Whether all bytes are of a kind. Nearly always they are, so there is no early exit: the compiler can then check many
/// bytes at once.
fn every(bytes: &[u8], is_of_kind: impl Fn(&u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_of_kind(byte))
}

/// Whether a byte stands for itself between quotes.
fn stays_in_quotes(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// Whether a byte stands for itself in an address.
fn stays_in_address(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b':' | b'%' | b'_' | b'-')
}

/// Bytes that are known to be ASCII.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The address that the broker reports: an IP address, or the path of a Unix socket.
struct Address<'a>(Option<&'a [u8]>);

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An empty address would leave a field without a value, which no reader of the line expects.
        let Some(address) = self.0.filter(|address| !address.is_empty()) else {
            return f.write_char('-');
        };
        let address = address.get(..MAX_ADDRESS).unwrap_or(address);
        for run in address.chunk_by(|one, next| stays_in_address(one) == stays_in_address(next)) {
            if run.first().is_some_and(stays_in_address) {
                f.write_str(ascii(run))?;
            } else {
                run.iter().try_for_each(|_| f.write_char('?'))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Refusal;

    fn from(address: Option<&[u8]>) -> Origin<'_> {
        Origin { address, ..Origin::default() }
    }

    fn text(line: &Line) -> String {
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn is_the_contracts_line() {
        let connect = Connect {
            client_id: Some(b"lamp-01_0_1_2026112209"),
            username: Some(b"lamp-01"),
            password: Some(b"secret"),
            certificate: None,
            keep_alive: 120,
        };
        let detail = Detail::Clock { age: 3 * 3600, password_right: false };
        let line = refusal(
            &connect,
            from(Some(b"203.0.113.7")),
            Refused { reason: Refusal::StaleTimestamp, detail },
        );
        assert_eq!(
            text(&line),
            "iotda-auth: refused client=\"lamp-01_0_1_2026112209\" user=\"lamp-01\" address=203.0.113.7 \
             reason=stale_timestamp age=3h"
        );
        let refused = Refused { reason: Refusal::BadClientId, detail: Detail::None };
        assert_eq!(
            text(&refusal(&Connect::default(), from(None), refused)),
            "iotda-auth: refused client=- user=- address=- reason=bad_client_id"
        );
        assert_eq!(
            text(&refusal(&Connect::default(), from(Some(b"")), refused)),
            "iotda-auth: refused client=- user=- address=- reason=bad_client_id"
        );
    }

    #[test]
    fn tells_of_an_accepted_login_as_of_a_refused_one() {
        let refused = Refused { reason: Refusal::Frozen, detail: Detail::None };
        let formatted = |Acceptance { client_id, address }: Acceptance<'_>| {
            let shown = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
            let format = Acceptance::FORMAT.to_str().unwrap();
            format.replacen("%.*s", &shown(client_id), 1).replacen("%.*s", &shown(address), 1)
        };
        let long = ["x".repeat(256), "x".repeat(257), "d".repeat(108), "d".repeat(109)];
        let mut plain = 0;
        for client_id in ["lamp-01_0_1_2026112209", "a\"", "\\", "\n", &long[0], &long[1]] {
            for address in ["2001:db8::1", "/run/a.b", "/run/a b", "", &long[2], &long[3]] {
                for address in [None, Some(address.as_bytes())].map(from) {
                    let connect =
                        Connect { client_id: Some(client_id.as_bytes()), ..Connect::default() };
                    let line = text(&acceptance(&connect, address));
                    let refusal = text(&refusal(&connect, address, refused));
                    let expected = refusal
                        .replace(" refused ", " accepted ")
                        .replace(" user=-", "")
                        .replace(" reason=frozen", "");
                    assert_eq!(line, expected);
                    if let Some(acceptance) = Acceptance::of(&connect, address) {
                        assert_eq!(formatted(acceptance), line);
                        plain += 1;
                    }
                }
            }
        }
        // Two ClientIds, and each address but two, or none in its place.
        assert_eq!(plain, 2 * (4 + 6));
        assert!(Acceptance::of(&Connect::default(), from(None)).is_none());
    }

    #[test]
    fn an_address_that_is_not_certain_is_told_as_hearsay() {
        let connect = Connect { client_id: Some(b"lamp_0_1_2026112209"), ..Connect::default() };
        let origin =
            Origin { address: Some(b"127.0.0.9, 10.0.0.1"), is_hearsay: true, closes_late: true };
        let refused = Refused {
            reason: Refusal::StaleTimestamp,
            detail: Detail::Clock { age: 7200, password_right: true },
        };
        assert_eq!(
            text(&refusal(&connect, origin, refused)),
            "iotda-auth: refused client=\"lamp_0_1_2026112209\" user=- address=- reason=stale_timestamp age=2h \
             password=right forwarded_for=127.0.0.9??10.0.0.1"
        );
        assert!(Acceptance::of(&connect, origin).is_none());
        assert_eq!(
            text(&acceptance(&connect, origin)),
            "iotda-auth: accepted client=\"lamp_0_1_2026112209\" address=- forwarded_for=127.0.0.9??10.0.0.1"
        );
    }

    #[test]
    fn tells_the_detail() {
        for (detail, expected) in [
            (Detail::KeepAlive(0), " keepalive=0"),
            (Detail::SignType(b'7'), " sign_type=7"),
            (
                Detail::Certificate([0x0A; 32]),
                " certificate=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
            ),
            (Detail::Clock { age: 7260, password_right: true }, " age=2h1m password=right"),
            (Detail::Clock { age: 0, password_right: false }, " age=0s"),
            (Detail::Clock { age: -1, password_right: false }, " ahead=1s"),
            (Detail::Clock { age: -90, password_right: false }, " ahead=1m30s"),
            (Detail::Clock { age: i64::MIN, password_right: false }, " ahead=106751991167300d15h"),
        ] {
            assert_eq!(detail.to_string(), expected);
        }
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3600, "1h"),
            (3601, "1h"),
            (86_399, "23h59m"),
            (90_000, "1d1h"),
        ] {
            assert_eq!(Span(seconds).to_string(), expected);
        }
    }

    #[test]
    fn cannot_be_forged() {
        let connect = Connect {
            client_id: Some(b"a\" address=1.2.3.4 reason=frozen x=\"\n\x1b[31m\\\"\x7f"),
            username: Some("ü".as_bytes()),
            ..Connect::default()
        };
        let refused = Refused { reason: Refusal::BadClientId, detail: Detail::None };
        assert_eq!(
            text(&refusal(&connect, from(Some(b"::1 x=\"\n")), refused)),
            "iotda-auth: refused client=\"a\\\" address=1.2.3.4 reason=frozen x=\\\"\\x0a\\x1b[31m\\\\\\\"\\x7f\" \
             user=\"\\xc3\\xbc\" address=::1?x??? reason=bad_client_id"
        );
    }

    #[test]
    fn stays_short() {
        for byte in [b'a', b'"', 0xFF, b'\n'] {
            let long = vec![byte; 65_535];
            let connect = Connect {
                client_id: Some(&long),
                username: Some(&long),
                password: Some(&long),
                ..Connect::default()
            };
            for detail in [
                Detail::Clock { age: i64::MIN, password_right: true },
                Detail::Certificate([0xFF; 32]),
            ] {
                let refused = Refused { reason: Refusal::WrongCertificate, detail };
                let line = refusal(&connect, from(Some(&long)), refused);
                assert!(line.as_bytes().len() < MAX_REFUSAL, "{}", line.as_bytes().len());
                assert!(text(&line).ends_with(&detail.to_string()));
                let hearsay = Origin { is_hearsay: true, ..from(Some(&long)) };
                let line = refusal(&connect, hearsay, refused);
                assert!(line.as_bytes().len() < MAX_REFUSAL, "{}", line.as_bytes().len());
            }
        }
        let longest = [vec![b'd'; 128], b"_0_1_2026112209".to_vec()].concat();
        let connect = Connect {
            client_id: Some(&longest),
            username: Some(&longest[..128]),
            ..Connect::default()
        };
        let refused = Refused { reason: Refusal::WrongPassword, detail: Detail::None };
        assert!(!text(&refusal(&connect, from(None), refused)).contains("..."));
    }

    #[test]
    fn tells_of_sessions_that_end_or_should_not_have_begun() {
        // No text of a client's leaves its place, whatever it holds.
        let id = b"lamp\" address=1.2.3.4\n";
        let shown = "\"lamp\\\" address=1.2.3.4\\x0a\"";
        let by = from(Some(b"192.0.2.2 x"));
        let hearsay = Origin { is_hearsay: true, ..by };
        for (line, expected) in [
            (
                replacement(id, b"192.0.2.1", by),
                format!(
                    "disconnected client={shown} reason=new_login address=192.0.2.1 new_address=192.0.2.2?x"
                ),
            ),
            (
                replacement(id, b"", hearsay),
                format!("disconnected client={shown} reason=new_login address=- new_address=-"),
            ),
            (disconnection(id, "frozen"), format!("disconnected client={shown} reason=frozen")),
            (not_found(id), format!("not disconnected client={shown}: ")),
            (unasked(id, by), format!("not asked about client={shown} address=192.0.2.2?x: ")),
            (unasked(id, hearsay), format!("not asked about client={shown} address=-: ")),
        ] {
            let text = text(&line);
            let said = text.strip_prefix("iotda-auth: ").expect(&text);
            // Behind a colon comes what to do about it.
            match expected.strip_suffix(": ") {
                Some(_) => assert!(
                    said.starts_with(&expected) && said.len() > expected.len() + 20,
                    "{text}"
                ),
                None => assert_eq!(said, expected),
            }
        }
    }

    #[test]
    fn tells_from_which_addresses_a_device_logs_in_often() {
        for (here, other, expected) in [
            ("192.0.2.1", "192.0.2.2", "192.0.2.1 and 192.0.2.2"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "", "192.0.2.1"),
            ("", "192.0.2.2", "- and 192.0.2.2"),
            ("", "", "-"),
        ] {
            let addresses = [here, other].map(|address| address.as_bytes().into());
            let line = often(&Often { device_id: b"lamp"[..].into(), logins: 75, addresses });
            assert_eq!(
                text(&line),
                format!(
                    "iotda-auth: device \"lamp\" logged in 75 times in a minute, from {expected}: does it exist twice?"
                )
            );
        }
    }

    #[test]
    fn a_text_is_cut_where_its_room_ends_and_never_within_an_escape() {
        let plain = |count: usize| "x".repeat(count);
        for (text, shown) in [
            (plain(9), format!("\"{}\"", plain(9))),
            (plain(10), format!("\"{}\"", plain(10))),
            (plain(11), format!("\"{}\"...", plain(10))),
            (plain(8) + "\"", format!("\"{}\\\"\"", plain(8))),
            (plain(9) + "\"", format!("\"{}\"...", plain(9))),
            (plain(6) + "\n", format!("\"{}\\x0a\"", plain(6))),
            (plain(7) + "\n", format!("\"{}\"...", plain(7))),
            ("\n\\\n".into(), "\"\\x0a\\\\\\x0a\"".into()),
            ("\n\\\nx".into(), "\"\\x0a\\\\\\x0a\"...".into()),
        ] {
            let quoted = Quoted { text: Some(text.as_bytes()), limit: 10 };
            assert_eq!(quoted.to_string(), shown, "{text:?}");
        }
    }

    #[test]
    fn a_cut_is_shown_where_there_is_one_and_nowhere_else() {
        let room = Line::CAPACITY - 1 - Line::CUT.len() - "iotda-auth: ".len();
        for (length, cut) in [(room - 1, ""), (room, ""), (room + 1, "..."), (room + 100, "...")] {
            let line = Line::of(format_args!("{}", "x".repeat(length)));
            let shown = "x".repeat(length.min(room));
            assert_eq!(text(&line), format!("iotda-auth: {shown}{cut}"), "{length}");
        }
    }

    #[test]
    fn a_line_is_cut_at_its_end_and_is_one_line() {
        let line = Line::of(format_args!("{}", "x\n".repeat(1000)));
        assert_eq!(line.as_bytes().len(), Line::CAPACITY - 1);
        assert!(
            text(&line).starts_with("iotda-auth: x?x?") && text(&line).ends_with("?..."),
            "{line:?}"
        );
    }
}
