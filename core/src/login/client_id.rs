//! The ClientId of a device: `{device_id}_0_{sign type}_{YYYYMMDDHH}`.
//!
//! A device id usually holds underscores (the default one is `{product_id}_{node_id}`) and may itself end in
//! something like `_0_1_2020010100`, so the parts are split off from the right, where their lengths are fixed.

use super::{
    connect::MAX_FIELD,
    timestamp::{Hour, Stamp},
};

/// How the password of a login was made, and whether its timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignType {
    /// `0`: HMAC-SHA256, the timestamp is not looked at.
    Sha256,
    /// `1`: HMAC-SHA256, the timestamp must be fresh.
    Sha256Timestamp,
    /// `2`: HMAC-SM3, the timestamp must be fresh.
    Sm3Timestamp,
}

impl SignType {
    /// The sign type that a ClientId's digit stands for.
    #[must_use]
    pub fn from_digit(digit: u8) -> Option<Self> {
        match digit {
            b'0' => Some(Self::Sha256),
            b'1' => Some(Self::Sha256Timestamp),
            b'2' => Some(Self::Sm3Timestamp),
            _ => None,
        }
    }

    /// The digit that stands for the sign type in a ClientId.
    #[must_use]
    pub fn digit(self) -> u8 {
        match self {
            Self::Sha256 => b'0',
            Self::Sha256Timestamp => b'1',
            Self::Sm3Timestamp => b'2',
        }
    }
}

/// A ClientId of the IoTDA shape, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId<'a> {
    /// The device id: at least one byte, in no particular charset.
    pub device_id: &'a [u8],
    /// The sign type's digit, `0` to `9`; [`SignType::from_digit`] knows the ones that mean something.
    pub sign_digit: u8,
    /// The timestamp as sent: ten digits, the key of the HMAC.
    pub stamp: &'a Stamp,
    /// The instant that the timestamp stands for; `None` where the sign type does not look at it.
    pub hour: Option<Hour>,
}

/// Why a ClientId is not that of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIdError {
    /// It does not end in `_0_{digit}_{ten digits}`: some other client of the broker.
    OtherClient,
    /// It ends like a device's, but no device id comes before.
    NoDeviceId,
    /// It ends like a device's, but is longer than [`MAX_FIELD`].
    TooLong,
    /// The sign type checks the timestamp, and the timestamp is not a date of the calendar.
    NoDate,
}

impl<'a> ClientId<'a> {
    /// Takes a ClientId apart.
    ///
    /// ```
    /// use iotda_core::login::ClientId;
    ///
    /// let id = ClientId::parse(b"prod_node_0_1_2020010100_0_1_2026112209").unwrap();
    /// assert_eq!(id.device_id, b"prod_node_0_1_2020010100");
    /// assert_eq!(id.stamp, b"2026112209");
    /// ```
    ///
    /// # Errors
    ///
    /// [`ClientIdError`] says which part is wrong.
    #[inline] // into the check of a login: it is called from several places
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ClientIdError> {
        let other = ClientIdError::OtherClient;
        let (rest, stamp) = bytes.split_last_chunk::<10>().ok_or(other)?;
        let (device_id, [b'_', b'0', b'_', sign_digit @ b'0'..=b'9', b'_']) =
            rest.split_last_chunk::<5>().ok_or(other)?
        else {
            return Err(other);
        };
        if !stamp.iter().all(u8::is_ascii_digit) {
            return Err(other);
        }
        if device_id.is_empty() {
            return Err(ClientIdError::NoDeviceId);
        }
        if bytes.len() > MAX_FIELD {
            return Err(ClientIdError::TooLong);
        }
        let hour = match SignType::from_digit(*sign_digit) {
            Some(SignType::Sha256Timestamp | SignType::Sm3Timestamp) => {
                Some(Hour::parse(stamp).ok_or(ClientIdError::NoDate)?)
            }
            // Type 0: ten digits and nothing more. Real SDKs send 2026023103 and 1970000100.
            Some(SignType::Sha256) | None => None,
        };
        Ok(Self { device_id, sign_digit: *sign_digit, stamp, hour })
    }

    /// Writes the ClientId of a device, the inverse of [`ClientId::parse`].
    #[must_use]
    pub fn format(device_id: &str, sign_type: SignType, stamp: &str) -> String {
        format!("{device_id}_0_{}_{stamp}", char::from(sign_type.digit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_apart_from_the_right() {
        for (text, device_id, digit, stamp) in [
            ("D39564861q3gDa_0_0_2018072417", "D39564861q3gDa", b'0', "2018072417"),
            ("5f05_lamp_0_1_2026112209", "5f05_lamp", b'1', "2026112209"),
            ("a_0_1_b_0_0_2026112209", "a_0_1_b", b'0', "2026112209"),
            ("x_0_1_2020010100_0_2_2026112209", "x_0_1_2020010100", b'2', "2026112209"),
            ("__0_0_0000000000", "_", b'0', "0000000000"),
            ("设备_0_1_2026112224", "设备", b'1', "2026112224"),
            ("d_0_0_2026023103", "d", b'0', "2026023103"),
            ("d_0_9_2026023103", "d", b'9', "2026023103"),
        ] {
            let id = ClientId::parse(text.as_bytes()).expect(text);
            assert_eq!(id.device_id, device_id.as_bytes(), "{text}");
            assert_eq!(id.sign_digit, digit, "{text}");
            assert_eq!(id.stamp.as_slice(), stamp.as_bytes(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_device() {
        use ClientIdError::{NoDate, NoDeviceId, OtherClient};
        for (text, error) in [
            ("", OtherClient),
            ("backend", OtherClient),
            ("_", OtherClient),
            ("0_0_2026112209", OtherClient),
            ("_0_0_2026112209", NoDeviceId),
            ("d_0_0_202611220", OtherClient),
            ("d_0_0_20261122090", OtherClient),
            ("d_0_0_2026112209 ", OtherClient),
            (" d_0_0_202611220x", OtherClient),
            ("d_0_0_+026112209", OtherClient),
            ("d_0_0_２０２６", OtherClient),
            ("d_0__2026112209", OtherClient),
            ("d_0_10_2026112209", OtherClient),
            ("d_0_x_2026112209", OtherClient),
            ("d_1_0_2026112209", OtherClient),
            ("d_3_0_2026112209", OtherClient),
            ("d_0_scope5f_0_2026112209", OtherClient),
            ("d_0_scope5f", OtherClient),
            ("d-0-0-2026112209", OtherClient),
            ("d_00_0_2026112209", OtherClient),
            ("d_0_0-2026112209", OtherClient),
            ("d_0_1_2026001503", NoDate),
            ("d_0_1_2026131503", NoDate),
            ("d_0_1_2026023103", NoDate),
            ("d_0_2_2026110003", NoDate),
        ] {
            assert_eq!(ClientId::parse(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn is_written_as_it_is_read() {
        for (sign_type, text) in [
            (SignType::Sha256, "5f05_lamp_0_0_2026112209"),
            (SignType::Sha256Timestamp, "5f05_lamp_0_1_2026112209"),
            (SignType::Sm3Timestamp, "5f05_lamp_0_2_2026112209"),
        ] {
            assert_eq!(ClientId::format("5f05_lamp", sign_type, "2026112209"), text);
            let id = ClientId::parse(text.as_bytes()).unwrap();
            assert_eq!(SignType::from_digit(id.sign_digit), Some(sign_type));
            let start = id.hour.map(Hour::start);
            let looks_at_it = sign_type != SignType::Sha256;
            assert_eq!(start, looks_at_it.then_some(1_795_338_000), "{text}");
        }
    }

    #[test]
    fn is_at_most_256_bytes() {
        let of_length = |n: usize| [vec![b'd'; n - 15], b"_0_0_2026112209".to_vec()].concat();
        assert!(ClientId::parse(&of_length(256)).is_ok());
        assert_eq!(ClientId::parse(&of_length(257)), Err(ClientIdError::TooLong));
    }
}
