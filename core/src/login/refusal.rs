//! Why a login is refused: one row for each reason, with all texts and codes that belong to it.

use super::steps::Step;
use std::fmt;

/// Makes [`Refusal`] of the rows below, and a method for each column.
macro_rules! refusals {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident {
            id: $id:literal,
            words: $words:literal,
            connack: ($v3:literal, $v5:literal),
            step: $step:expr,
            tells_of_devices: $tells_of_devices:literal,
            is_failure: $is_failure:literal,
            advice: $advice:literal,
        }
    )+) => {
        /// The reasons for a refusal, in the order in which they are looked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Refusal {
            /// Every reason.
            pub const ALL: [Self; [$($id),+].len()] = [$(Self::$name),+];

            /// The reason's name in the log and for programs: lower-case letters and underscores. It never changes.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// The reason in words.
            fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)+ }
            }

            /// The CONNACK codes: the platform's own for MQTT 3.x ("Device Connection Authentication" of the IoTDA API
            /// reference), the standard codes of MQTT 5 that mean the same, for which the platform documents none.
            #[must_use]
            pub fn connack(self) -> ConnackCode {
                match self { $(Self::$name => ConnackCode { v3: $v3, v5: $v5 },)+ }
            }

            /// The step of the check that gives this reason; `None` for a fault of the plugin, which may come from anywhere,
            /// and for a login that nobody asked about.
            #[must_use]
            pub fn step(self) -> Option<Step> {
                match self { $(Self::$name => $step,)+ }
            }

            /// Whether what the secrets file says of a device decides between this reason and others. Anyone who can read a
            /// separate count of such a reason, and sends one wrong login, learns whether a device exists.
            #[must_use]
            pub fn tells_of_devices(self) -> bool {
                match self { $(Self::$name => $tells_of_devices,)+ }
            }

            /// Whether it is held against the address it came from: the login has not proved its secret, and was looked at.
            /// [`Refused::is_failure`](super::verify::Refused::is_failure) also knows of a right password.
            #[must_use]
            pub fn is_failure(self) -> bool {
                match self { $(Self::$name => $is_failure,)+ }
            }

            /// What an operator can do about it, as one sentence without a full stop.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

// The counters, the log, `iotda-auth explain` and the tests of the README's tables use these rows. CONTRIBUTING.md lists
// what else a new reason needs.
refusals! {
    /// Too many failed logins came from the client's address.
    RateLimited {
        id: "rate_limited",
        words: "too many failed logins from this address, or take-overs by this device",
        connack: (3, 0x9F),
        step: Some(Step::Rate),
        tells_of_devices: false,
        is_failure: false,
        advice: "look in the log for the earlier refusals of this address and mend their reason; then \
            let the clients there wait a while; with limit=takeovers the device exists twice, so \
            give each its own id and secret",
    }

    /// The ClientId does not have the IoTDA shape.
    BadClientId {
        id: "bad_client_id",
        words: "the ClientId is not {device_id}_0_{sign type}_{YYYYMMDDHH}",
        connack: (2, 0x85),
        step: Some(Step::ClientId),
        tells_of_devices: false,
        is_failure: true,
        advice: "let the device send what iotda-auth connect-params prints; a client that is no IoTDA \
            device needs plugin_opt_other_clients defer",
    }

    /// The sign type may not log in.
    BadSignType {
        id: "bad_sign_type",
        words: "the sign type in the ClientId is not accepted here",
        connack: (2, 0x85),
        step: Some(Step::SignType),
        tells_of_devices: false,
        is_failure: true,
        advice: "let the device sign with type 0, 1 or 2, as connect-params does, or allow its type in \
            plugin_opt_sign_types",
    }

    /// The keep alive is outside the accepted range.
    BadKeepAlive {
        id: "bad_keepalive",
        words: "the keep alive is outside the accepted range",
        connack: (2, 0x85),
        step: Some(Step::KeepAlive),
        tells_of_devices: false,
        is_failure: true,
        advice: "set the device's keep alive to 30 to 1200 seconds, or widen plugin_opt_keepalive",
    }

    /// The user name is not the ClientId's device id.
    UserMismatch {
        id: "user_mismatch",
        words: "the user name is not the device id in the ClientId",
        connack: (4, 0x86),
        step: Some(Step::Username),
        tells_of_devices: false,
        is_failure: true,
        advice: "let the device send its device id, and nothing else, as the user name; check that the \
            broker does not set use_username_as_clientid",
    }

    /// The device is not in the secrets file.
    UnknownDevice {
        id: "unknown_device",
        words: "the device is not in the secrets file",
        connack: (4, 0x86),
        step: Some(Step::Device),
        tells_of_devices: true,
        is_failure: true,
        advice: "if it is a device of yours, compare the id letter by letter with iotda-auth list, or \
            register it with iotda-auth add; then reload the broker",
    }

    /// The timestamp is too old.
    StaleTimestamp {
        id: "stale_timestamp",
        words: "the timestamp is too old",
        connack: (4, 0x86),
        step: Some(Step::Timestamp),
        tells_of_devices: true,
        is_failure: true,
        advice: "set the device's clock, which counts in UTC, and let it sign anew at each connect; \
            where it cannot, raise plugin_opt_timestamp_max_age, or let it use sign type 0",
    }

    /// The timestamp lies too far ahead.
    FutureTimestamp {
        id: "future_timestamp",
        words: "the timestamp is too far ahead",
        connack: (4, 0x86),
        step: Some(Step::Timestamp),
        tells_of_devices: true,
        is_failure: true,
        advice: "set the device's clock, which counts in UTC and not in local time, and check the \
            broker's; or raise plugin_opt_timestamp_max_ahead",
    }

    /// The password does not prove the secret.
    WrongPassword {
        id: "wrong_password",
        words: "the password does not match the device's secret and the timestamp",
        connack: (4, 0x86),
        step: Some(Step::Password),
        tells_of_devices: true,
        is_failure: true,
        advice: "compare with what iotda-auth connect-params prints for the same timestamp; if it \
            differs, give the device its secret again, or set the one that it has with iotda-auth \
            reset-secret",
    }

    /// An X.509 device showed no certificate.
    NoCertificate {
        id: "no_certificate",
        words: "the device logs in by certificate and showed none",
        connack: (4, 0x86),
        step: Some(Step::Certificate),
        tells_of_devices: true,
        is_failure: true,
        advice: "let the device connect to a TLS listener with require_certificate true and show its \
            certificate there; or register it with a secret instead of x509=",
    }

    /// An X.509 device showed a certificate that is not its own.
    WrongCertificate {
        id: "wrong_certificate",
        words: "the certificate is not one of the device's",
        connack: (5, 0x87),
        step: Some(Step::Certificate),
        tells_of_devices: true,
        is_failure: true,
        advice: "if the certificate is the device's, put the fingerprint that the log has behind \
            certificate= after x509= in the secrets file; a second one may stand there, after a \
            comma",
    }

    /// The device proved itself, and is frozen.
    Frozen {
        id: "frozen",
        words: "the device is frozen",
        connack: (5, 0x87),
        step: Some(Step::NotFrozen),
        tells_of_devices: true,
        is_failure: false,
        advice: "nothing, if it was meant so; else let the device in with iotda-auth unfreeze, then \
            reload the broker",
    }

    /// The broker let a device's ClientId in without asking the plugin; it is disconnected at once.
    NotAsked {
        id: "not_asked",
        words: "the broker let the client in without asking the plugin",
        // It has had its CONNACK already.
        connack: (5, 0x87),
        step: None,
        tells_of_devices: false,
        is_failure: false,
        advice: "take use_identity_as_username and use_subject_as_username out of the listener that \
            devices come to, and let services log in by password; if another plugin accepts \
            logins, load it after this one",
    }

    /// A fault inside the plugin.
    InternalError {
        id: "internal_error",
        words: "a fault inside the plugin",
        connack: (3, 0x88),
        step: None,
        tells_of_devices: false,
        is_failure: false,
        advice: "look in the log for a panic at the same time, and report it with that line and the \
            versions of plugin and broker",
    }
}

/// The CONNACK code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnackCode {
    /// The return code for MQTT 3.1 and 3.1.1.
    pub v3: u8,
    /// The reason code for MQTT 5.
    pub v5: u8,
}

impl Refusal {
    /// The reason with this id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.id() == id)
    }
}

impl fmt::Display for Refusal {
    /// The reason in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn all_holds_each_reason_once_in_order() {
        assert!(Refusal::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        let ids: HashSet<_> = Refusal::ALL.iter().map(|r| r.id()).collect();
        assert_eq!(ids.len(), Refusal::ALL.len());
        assert_eq!(Refusal::ALL.len(), Refusal::InternalError as usize + 1);
    }

    #[test]
    fn ids_are_fit_for_grep() {
        for refusal in Refusal::ALL {
            assert!(refusal.id().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(!refusal.to_string().ends_with('.'));
            assert_eq!(Refusal::from_id(refusal.id()), Some(refusal));
        }
        assert_eq!(Refusal::from_id("Frozen"), None);
    }

    #[test]
    fn advice_is_fit_for_a_line_and_for_a_table() {
        for refusal in Refusal::ALL {
            let advice = refusal.advice();
            assert!(!advice.is_empty() && !advice.ends_with('.'), "{advice}");
            assert!(
                !advice.contains(['\n', '|', '`', '*', '{']) && !advice.contains("  "),
                "{advice}"
            );
        }
    }

    #[test]
    fn codes_are_refusals_of_the_standards() {
        for refusal in Refusal::ALL {
            assert!((2..=5).contains(&refusal.connack().v3));
            assert!(refusal.connack().v5 >= 0x80);
        }
    }

    #[test]
    fn each_reason_has_words_and_advice_of_its_own() {
        let words: HashSet<_> = Refusal::ALL.iter().map(Refusal::to_string).collect();
        let advice: HashSet<_> = Refusal::ALL.iter().map(|r| r.advice()).collect();
        assert_eq!((words.len(), advice.len()), (Refusal::ALL.len(), Refusal::ALL.len()));
        assert!(!words.contains(""));
    }

    /// Separate counts of these would tell whether a device exists.
    #[test]
    fn what_is_refused_once_the_device_was_looked_up_tells_of_devices() {
        for refusal in Refusal::ALL {
            let looked_up = (Refusal::UnknownDevice..=Refusal::Frozen).contains(&refusal);
            assert_eq!(refusal.tells_of_devices(), looked_up, "{refusal:?}");
        }
    }
}
