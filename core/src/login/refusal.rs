//! Why a login is refused: the one source of the slug, the words, the CONNACK codes and the advice of each reason.

use std::fmt;

/// The reasons for a refusal, in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Too many failed logins came from the client's address.
    RateLimited,
    /// The ClientId has not the IoTDA shape.
    BadClientId,
    /// The sign type may not log in.
    BadSignType,
    /// The keep alive lies outside the accepted range.
    BadKeepAlive,
    /// The user name is not the ClientId's device id.
    UserMismatch,
    /// The device is not in the secrets file.
    UnknownDevice,
    /// The timestamp is too old.
    StaleTimestamp,
    /// The timestamp lies too far ahead.
    FutureTimestamp,
    /// The password does not prove the secret.
    WrongPassword,
    /// An X.509 device showed no certificate.
    NoCertificate,
    /// An X.509 device showed a certificate that is not its own.
    WrongCertificate,
    /// The device proved itself, and is frozen.
    Frozen,
    /// The broker let a device's ClientId in without asking the plugin; it is disconnected at once.
    NotAsked,
    /// A fault inside the plugin.
    InternalError,
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
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::RateLimited,
        Self::BadClientId,
        Self::BadSignType,
        Self::BadKeepAlive,
        Self::UserMismatch,
        Self::UnknownDevice,
        Self::StaleTimestamp,
        Self::FutureTimestamp,
        Self::WrongPassword,
        Self::NoCertificate,
        Self::WrongCertificate,
        Self::Frozen,
        Self::NotAsked,
        Self::InternalError,
    ];

    /// Whether what the secrets file says of a device decides between this reason and others. Who may count such reasons
    /// one by one, and sends one wrong login, learns whether a device exists.
    #[must_use]
    pub fn tells_of_devices(self) -> bool {
        match self {
            Self::UnknownDevice
            | Self::StaleTimestamp
            | Self::FutureTimestamp
            | Self::WrongPassword
            | Self::NoCertificate
            | Self::WrongCertificate
            | Self::Frozen => true,
            Self::RateLimited
            | Self::BadClientId
            | Self::BadSignType
            | Self::BadKeepAlive
            | Self::UserMismatch
            | Self::NotAsked
            | Self::InternalError => false,
        }
    }

    /// The reason's name in the log and wherever a program reads it. Never changes.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::BadClientId => "bad_client_id",
            Self::BadSignType => "bad_sign_type",
            Self::BadKeepAlive => "bad_keepalive",
            Self::UserMismatch => "user_mismatch",
            Self::UnknownDevice => "unknown_device",
            Self::StaleTimestamp => "stale_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::WrongPassword => "wrong_password",
            Self::NoCertificate => "no_certificate",
            Self::WrongCertificate => "wrong_certificate",
            Self::Frozen => "frozen",
            Self::NotAsked => "not_asked",
            Self::InternalError => "internal_error",
        }
    }

    /// The CONNACK codes: the platform's own for MQTT 3.x ("Device Connection Authentication" of the IoTDA API
    /// reference), the standard codes of MQTT 5 that mean the same, for which the platform documents none.
    #[must_use]
    pub fn connack(self) -> ConnackCode {
        let (v3, v5) = match self {
            Self::RateLimited => (3, 0x9F),
            Self::BadClientId | Self::BadSignType | Self::BadKeepAlive => (2, 0x85),
            Self::UserMismatch
            | Self::UnknownDevice
            | Self::StaleTimestamp
            | Self::FutureTimestamp
            | Self::WrongPassword
            | Self::NoCertificate => (4, 0x86),
            // The last has had its CONNACK already.
            Self::WrongCertificate | Self::Frozen | Self::NotAsked => (5, 0x87),
            Self::InternalError => (3, 0x88),
        };
        ConnackCode { v3, v5 }
    }
}

impl Refusal {
    /// The reason with this slug.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.slug() == slug)
    }

    /// What an operator can do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::RateLimited => {
                "look in the log for the earlier refusals of this address and mend their reason; then let the clients \
                 there wait a while; with limit=takeovers the device exists twice, so give each its own id and secret"
            }
            Self::BadClientId => {
                "let the device send what iotda-auth connect-params prints; a client that is no IoTDA device needs \
                 plugin_opt_other_clients defer"
            }
            Self::BadSignType => {
                "let the device sign with type 0, 1 or 2, as connect-params does, or allow its type in \
                 plugin_opt_sign_types"
            }
            Self::BadKeepAlive => {
                "set the device's keep alive to 30 to 1200 seconds, or widen plugin_opt_keepalive"
            }
            Self::UserMismatch => {
                "let the device send its device id, and nothing else, as the user name; check that the broker does \
                 not set use_username_as_clientid"
            }
            Self::UnknownDevice => {
                "if it is a device of yours, compare the id letter by letter with iotda-auth list, or register it \
                 with iotda-auth add; then reload the broker"
            }
            Self::StaleTimestamp => {
                "set the device's clock, which counts in UTC, and let it sign anew at each connect; where it cannot, \
                 raise plugin_opt_timestamp_max_age, or let it use sign type 0"
            }
            Self::FutureTimestamp => {
                "set the device's clock, which counts in UTC and not in local time, and check the broker's; or raise \
                 plugin_opt_timestamp_max_ahead"
            }
            Self::WrongPassword => {
                "compare with what iotda-auth connect-params prints for the same timestamp; if it differs, give the \
                 device its secret again, or set the one that it has with iotda-auth reset-secret"
            }
            Self::NoCertificate => {
                "let the device connect to a TLS listener with require_certificate true and show its certificate there; or \
                 register it with a secret instead of x509="
            }
            Self::WrongCertificate => {
                "if the certificate is the device's, put the fingerprint that the log has behind certificate= after x509= \
                 in the secrets file; a second one may stand there, after a comma"
            }
            Self::Frozen => {
                "nothing, if it was meant so; else let the device in with iotda-auth unfreeze, then reload the broker"
            }
            Self::NotAsked => {
                "take use_identity_as_username and use_subject_as_username out of the listener that devices come to, and let \
                 services log in by password; if another plugin accepts logins, load it after this one"
            }
            Self::InternalError => {
                "look in the log for a panic at the same time, and report it with that line and the versions of \
                 plugin and broker"
            }
        }
    }
}

impl fmt::Display for Refusal {
    /// The reason in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RateLimited => {
                "too many failed logins from this address, or take-overs by this device"
            }
            Self::BadClientId => "the ClientId is not {device_id}_0_{sign type}_{YYYYMMDDHH}",
            Self::BadSignType => "the sign type in the ClientId is not accepted here",
            Self::BadKeepAlive => "the keep alive is outside the accepted range",
            Self::UserMismatch => "the user name is not the device id in the ClientId",
            Self::UnknownDevice => "the device is not in the secrets file",
            Self::StaleTimestamp => "the timestamp is too old",
            Self::FutureTimestamp => "the timestamp is too far ahead",
            Self::WrongPassword => {
                "the password does not match the device's secret and the timestamp"
            }
            Self::NoCertificate => "the device logs in by certificate and showed none",
            Self::WrongCertificate => "the certificate is not one of the device's",
            Self::Frozen => "the device is frozen",
            Self::NotAsked => "the broker let the client in without asking the plugin",
            Self::InternalError => "a fault inside the plugin",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn all_holds_each_reason_once_in_order() {
        assert!(Refusal::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        let slugs: HashSet<_> = Refusal::ALL.iter().map(|r| r.slug()).collect();
        assert_eq!(slugs.len(), Refusal::ALL.len());
        assert_eq!(Refusal::ALL.len(), Refusal::InternalError as usize + 1);
    }

    #[test]
    fn slugs_are_fit_for_grep() {
        for refusal in Refusal::ALL {
            assert!(refusal.slug().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(!refusal.to_string().ends_with('.'));
            assert_eq!(Refusal::from_slug(refusal.slug()), Some(refusal));
        }
        assert_eq!(Refusal::from_slug("Frozen"), None);
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
}
