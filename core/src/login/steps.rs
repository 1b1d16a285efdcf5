//! The checks of a login as numbered steps, to show how far a login came.
//!
//! A step knows to which devices it applies; [`Refusal::step`](super::Refusal::step) says which refusals it gives. The check
//! itself is in [`verify`](super::verify()).

use super::client_id::SignType;

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The client's address has not been refused too often.
    Rate,
    /// The ClientId has the IoTDA shape.
    ClientId,
    /// The sign type may log in.
    SignType,
    /// The keep alive is accepted.
    KeepAlive,
    /// The user name is the device id.
    Username,
    /// The device is in the table.
    Device,
    /// The timestamp is fresh.
    Timestamp,
    /// The password proves the secret.
    Password,
    /// The certificate is one of the device's.
    Certificate,
    /// The device is not frozen.
    NotFrozen,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 10] = [
        Self::Rate,
        Self::ClientId,
        Self::SignType,
        Self::KeepAlive,
        Self::Username,
        Self::Device,
        Self::Timestamp,
        Self::Password,
        Self::Certificate,
        Self::NotFrozen,
    ];

    /// The step's number in the contract, from 1.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// What the step checks, as a statement that is true when the step is passed.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Rate => "few failed logins from the address",
            Self::ClientId => "ClientId is {device_id}_0_{sign type}_{YYYYMMDDHH}",
            Self::SignType => "sign type is accepted",
            Self::KeepAlive => "keep alive is accepted",
            Self::Username => "user name is the ClientId's device id",
            Self::Device => "device is in the secrets file",
            Self::Timestamp => "timestamp is within the window",
            Self::Password => "password matches secret and timestamp",
            Self::Certificate => "certificate is the device's",
            Self::NotFrozen => "device is not frozen",
        }
    }

    /// Whether the step asks anything of a login with this sign type, by a device that has a secret or a certificate.
    #[must_use]
    pub fn applies_to(self, sign_digit: u8, has_secret: bool) -> bool {
        match self {
            Self::Timestamp => {
                has_secret && SignType::from_digit(sign_digit) != Some(SignType::Sha256)
            }
            Self::Password => has_secret,
            Self::Certificate => !has_secret,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Refusal;

    #[test]
    fn each_refusal_belongs_to_one_step_in_order() {
        let steps: Vec<Step> = Refusal::ALL.into_iter().filter_map(Refusal::step).collect();
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!(steps.len(), Refusal::ALL.len() - 2);
        assert_eq!(Refusal::InternalError.step(), None);
        for step in Step::ALL {
            assert!(steps.contains(&step), "{step:?} refuses nothing");
        }
    }

    #[test]
    fn numbers_are_the_contracts() {
        let numbers: Vec<u8> = Step::ALL.into_iter().map(Step::number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let titles: std::collections::HashSet<&str> =
            Step::ALL.into_iter().map(Step::title).collect();
        assert_eq!(titles.len(), Step::ALL.len());
        for title in titles {
            assert!(!title.is_empty() && !title.ends_with('.'));
        }
    }

    #[test]
    fn asks_for_a_password_or_for_a_certificate() {
        let asked = |sign_digit, has_secret| -> Vec<u8> {
            let applies = |step: &Step| step.applies_to(sign_digit, has_secret);
            Step::ALL.into_iter().filter(applies).map(Step::number).collect()
        };
        assert_eq!(asked(b'1', true), [1, 2, 3, 4, 5, 6, 7, 8, 10]);
        assert_eq!(asked(b'0', true), [1, 2, 3, 4, 5, 6, 8, 10]);
        assert_eq!(asked(b'1', false), [1, 2, 3, 4, 5, 6, 9, 10]);
        assert_eq!(asked(b'0', false), [1, 2, 3, 4, 5, 6, 9, 10]);
    }
}
