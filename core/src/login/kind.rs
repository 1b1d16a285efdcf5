//! What a refused ClientId or password was recognised as: one row for each kind, with all texts that belong to it.
//!
//! A refusal says which check failed; its kind says what is wrong, so that the log can tell a device that sends no password
//! from one that has another secret. [`recognise`](super::recognise) finds the kind.

use super::refusal::Refusal;
use std::fmt;

/// Makes [`Kind`] of the rows below, and a method for each column.
macro_rules! kinds {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident {
            of: $reason:ident,
            field: $field:literal,
            id: $id:literal,
            words: $words:literal,
            advice: $advice:literal,
        }
    )+) => {
        /// What a refused login was recognised as, by reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$($id),+].len()] = [$(Self::$name),+];

            /// The reason that it belongs to.
            #[must_use]
            pub fn reason(self) -> Refusal {
                match self { $(Self::$name => Refusal::$reason,)+ }
            }

            /// The name of the log's field that holds it: lower-case letters.
            #[must_use]
            pub fn field(self) -> &'static str {
                match self { $(Self::$name => $field,)+ }
            }

            /// Its name in the log and for programs: one word of lower-case letters, which no other kind of its reason has.
            /// It never changes. The fail2ban filters of earlier releases take letters and digits only.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// The kind in words.
            fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)+ }
            }

            /// What an operator can do about it, as one sentence without a full stop.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

// The log, the counters, `iotda-auth explain` and the tests of the documented table use these rows. Only a kind of
// `WrongPassword` may depend on a secret: the counters of the others are published.
kinds! {
    /// The device has taken over its own connection too often: the connection that is there stays.
    Takeovers {
        of: RateLimited,
        field: "limit",
        id: "takeovers",
        words: "the device ended its own live connection too often",
        advice: "the device exists twice: give each of the two its own id and secret, or raise \
            plugin_opt_takeover_limit",
    }

    /// There is no ClientId.
    Empty {
        of: BadClientId,
        field: "shape",
        id: "empty",
        words: "no ClientId, or an empty one",
        advice: "let the device send a ClientId: iotda-auth connect-params prints the right one",
    }

    /// The broker has made it up, as it does for a client that sends an empty one.
    Invented {
        of: BadClientId,
        field: "shape",
        id: "invented",
        words: "looks like what the broker makes up for a client that sends an empty ClientId",
        advice: "see whether the device sends an empty ClientId, which no plugin can see, and let it send \
            what iotda-auth connect-params prints",
    }

    /// Unix seconds or milliseconds in place of the timestamp.
    Epoch {
        of: BadClientId,
        field: "shape",
        id: "epoch",
        words: "the timestamp looks like the seconds or milliseconds since 1970",
        advice: "let the device write the hour as YYYYMMDDHH in UTC, in its ClientId and as the key of \
            its password",
    }

    /// The timestamp has ten digits, but the sign type wants a date.
    NoDate {
        of: BadClientId,
        field: "shape",
        id: "nodate",
        words: "the timestamp is not a date of the calendar",
        advice: "let the device set its clock before it signs, and write the hour as YYYYMMDDHH in UTC; a \
            device without a clock can use sign type 0",
    }

    /// Nothing comes before the end of a device's ClientId.
    NoDevice {
        of: BadClientId,
        field: "shape",
        id: "nodevice",
        words: "there is no device id in front",
        advice: "let the device put its id in front; look whether it has been given one",
    }

    /// It is longer than the platform takes.
    Long {
        of: BadClientId,
        field: "shape",
        id: "long",
        words: "longer than 256 bytes",
        advice: "let the device send its id, which has at most 128 characters, and behind it only what \
            iotda-auth connect-params prints",
    }

    /// Right but for white space around it.
    Blanks {
        of: BadClientId,
        field: "shape",
        id: "blanks",
        words: "white space around a device's ClientId",
        advice: "take the white space away in the device's settings: look in front and at the end",
    }

    /// Right but for quotes around it.
    Quotes {
        of: BadClientId,
        field: "shape",
        id: "quotes",
        words: "quotes around a device's ClientId",
        advice: "take the quotes away in the device's settings, or let its firmware parse the JSON or the \
            command that they come from",
    }

    /// Right but for the separators.
    Separators {
        of: BadClientId,
        field: "shape",
        id: "separators",
        words: "the parts are not separated by underscores",
        advice: "let the device put an underscore between the parts of its ClientId",
    }

    /// The identity type is not 0.
    Identity {
        of: BadClientId,
        field: "shape",
        id: "identity",
        words: "the identity type behind the device id is not 0",
        advice: "let the device send its device id and identity type 0; type 2, a node id in place of the \
            device id, and type 3, a bridge, cannot log in here",
    }

    /// More comes behind the timestamp.
    Tail {
        of: BadClientId,
        field: "shape",
        id: "tail",
        words: "more text behind a device's ClientId",
        advice: "let the client send the ClientId as it was given: some clients add a time or a random \
            number, which can be switched off (MQTTX: the clock beside the Client ID)",
    }

    /// The timestamp has more digits than ten, or fewer.
    Digits {
        of: BadClientId,
        field: "shape",
        id: "digits",
        words: "the timestamp does not have ten digits",
        advice: "let the device write the hour as YYYYMMDDHH: ten digits, without minutes or seconds, and \
            with a zero in front of a month, day or hour below ten",
    }

    /// That of a device at the platform's provisioning service.
    Provisioning {
        of: BadClientId,
        field: "shape",
        id: "provisioning",
        words: "a ClientId for the platform's provisioning service",
        advice: "give the device the host name and the secret for its normal login: nobody is provisioned \
            here",
    }

    /// The user name again.
    DeviceId {
        of: BadClientId,
        field: "shape",
        id: "deviceid",
        words: "the same as the user name, so probably only the device id",
        advice: "let the device put the types and the hour behind its id, as iotda-auth connect-params \
            prints it; if all devices are refused for this, take use_username_as_clientid out of \
            mosquitto.conf",
    }

    /// A part is not there, or is not one digit.
    Parts {
        of: BadClientId,
        field: "shape",
        id: "parts",
        words: "a part is missing, or is not one digit where it should be",
        advice: "let the device send all four parts: its id, 0, the sign type and the hour, as iotda-auth \
            connect-params prints them",
    }

    /// Nothing like a device's.
    OtherClient {
        of: BadClientId,
        field: "shape",
        id: "other",
        words: "nothing like the ClientId of a device",
        advice: "if it is no IoTDA device, set plugin_opt_other_clients defer, so that the password file or \
            another plugin decides; if it is one, let it send what iotda-auth connect-params prints",
    }

    /// The secret is proved: the device repeats an old login, or its clock is slow.
    RightButStale {
        of: StaleTimestamp,
        field: "password",
        id: "right",
        words: "the password is right for its timestamp",
        advice: "the device repeats its first login, or its clock is slow: let it sign anew at each \
            connect and set its clock, in UTC; where it cannot, raise plugin_opt_timestamp_max_age, for \
            example to 25h",
    }

    /// The secret is proved: the device's clock is fast.
    RightButAhead {
        of: FutureTimestamp,
        field: "password",
        id: "right",
        words: "the password is right for its timestamp",
        advice: "the device's clock is fast or the broker's slow: set them, in UTC; where the device \
            cannot, raise plugin_opt_timestamp_max_ahead",
    }

    /// There is no password.
    Missing {
        of: WrongPassword,
        field: "password",
        id: "missing",
        words: "no password, or an empty one",
        advice: "let the device send a password with its user name: iotda-auth connect-params prints the \
            right one",
    }

    /// Not 64 hex digits, and nothing that was recognised.
    Malformed {
        of: WrongPassword,
        field: "password",
        id: "malformed",
        words: "not 64 lower-case hex digits",
        advice: "let the device send the HMAC as 64 lower-case hex digits, as iotda-auth connect-params \
            prints it: not its bytes, not in base64, and nothing around it",
    }

    /// The right one in capitals.
    UpperCase {
        of: WrongPassword,
        field: "password",
        id: "uppercase",
        words: "the right password, but in upper case",
        advice: "the secret is right: let the device write the hex digits of its password in lower case",
    }

    /// The right one in quotes.
    QuotedPassword {
        of: WrongPassword,
        field: "password",
        id: "quotes",
        words: "the right password, but in quotes",
        advice: "the secret is right: let the device send its password without quotes",
    }

    /// The right one, with white space around it.
    BlankPassword {
        of: WrongPassword,
        field: "password",
        id: "blanks",
        words: "the right password, but with white space around it",
        advice: "the secret is right: let the device send its password without blanks, and without the \
            CR or LF at the end of a line",
    }

    /// The right one, cut off.
    Cut {
        of: WrongPassword,
        field: "password",
        id: "cut",
        words: "the right password, but cut off",
        advice: "the secret is right: give the password more room in the device; it has 64 characters, and \
            a text in C needs one more for its end",
    }

    /// The right one, with more behind it.
    PasswordTail {
        of: WrongPassword,
        field: "password",
        id: "tail",
        words: "the right password, but with more text behind it",
        advice: "the secret is right: let the device end its password after 64 characters",
    }

    /// The secret itself.
    Secret {
        of: WrongPassword,
        field: "password",
        id: "secret",
        words: "the secret itself, not the HMAC",
        advice: "let the device send the HMAC of its secret, as iotda-auth connect-params prints it; if it \
            sent the secret without TLS, others may have read it: then give the device a new one too",
    }

    /// Key and message have changed places.
    Swapped {
        of: WrongPassword,
        field: "password",
        id: "swapped",
        words: "key and message of the HMAC are swapped",
        advice: "let the device use the timestamp as the key of the HMAC, and the secret as its message",
    }

    /// The other hash function.
    SignType {
        of: WrongPassword,
        field: "password",
        id: "signtype",
        words: "made for another sign type",
        advice: "let the ClientId say how the password is made: sign types 0 and 1 are HMAC-SHA256, 2 is \
            HMAC-SM3",
    }

    /// The hour before or after, or the same hour written otherwise.
    Hour {
        of: WrongPassword,
        field: "password",
        id: "hour",
        words: "made for the hour before or after",
        advice: "let the device make ClientId and password from one reading of its clock, and send both \
            anew at each connect",
    }

    /// Several whole hours away.
    LocalTime {
        of: WrongPassword,
        field: "password",
        id: "localtime",
        words: "made for an hour that lies as far away as local time may",
        advice: "let the device take the hour from UTC in both places: one of ClientId and password has \
            local time",
    }

    /// It has the shape of a password, and nothing more is known.
    Other {
        of: WrongPassword,
        field: "password",
        id: "other",
        words: "64 hex digits of another secret, or made in another way",
        advice: "compare with what iotda-auth connect-params prints for the same timestamp; the device \
            probably has another secret: give it the one of the secrets file, or put its own there with \
            iotda-auth reset-secret",
    }
}

impl Kind {
    /// The kind of a reason with this id.
    #[must_use]
    pub fn from_id(reason: Refusal, field: &str, id: &str) -> Option<Self> {
        let is_it =
            |kind: &Self| kind.reason() == reason && kind.field() == field && kind.id() == id;
        Self::ALL.into_iter().find(is_it)
    }
}

impl fmt::Display for Kind {
    /// The kind in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn all_holds_each_kind_once_by_reason_in_order() {
        assert!(Kind::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Kind::ALL.map(Kind::reason).is_sorted());
        let names: HashSet<_> = Kind::ALL.iter().map(|kind| (kind.reason(), kind.id())).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        assert_eq!(Kind::ALL.len(), Kind::Other as usize + 1);
    }

    #[test]
    fn ids_are_one_word_and_are_found_again() {
        for kind in Kind::ALL {
            let word =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
            assert!(word(kind.id()) && word(kind.field()), "{kind:?}");
            assert_eq!(Kind::from_id(kind.reason(), kind.field(), kind.id()), Some(kind));
            assert_eq!(Kind::from_id(Refusal::Frozen, kind.field(), kind.id()), None);
            assert_eq!(Kind::from_id(kind.reason(), "colour", kind.id()), None);
        }
    }

    #[test]
    fn texts_are_fit_for_a_line_and_for_a_table() {
        let advice: HashSet<_> = Kind::ALL.iter().map(|kind| kind.advice()).collect();
        assert_eq!(advice.len(), Kind::ALL.len());
        for text in advice.into_iter().chain(Kind::ALL.iter().map(|kind| kind.words())) {
            assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
            assert!(!text.contains(['\n', '|', '`', '*', '{']), "{text}");
            assert!(!text.contains("  "), "{text}");
        }
    }

    /// A device that sends nothing, or something malformed, needs no other secret.
    #[test]
    fn another_secret_is_advised_only_where_the_secret_is_in_question() {
        for kind in Kind::ALL {
            let asks =
                kind.advice().contains("reset-secret") || kind.advice().contains("a new one");
            assert_eq!(asks, matches!(kind, Kind::Other | Kind::Secret), "{kind:?}");
        }
    }

    /// The counters of the others are published.
    #[test]
    fn only_kinds_of_a_reason_that_tells_of_devices_depend_on_a_secret() {
        for kind in Kind::ALL {
            let depends = kind.field() == "password";
            assert_eq!(kind.reason().tells_of_devices(), depends, "{kind:?}");
        }
    }
}
