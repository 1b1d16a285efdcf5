//! Devices, with credentials as firmware makes them.

use super::mqtt::Connect;
use iotda_core::login::{ClientId, SignType, signature::HourKey, timestamp::UnixSeconds};
use std::time::{SystemTime, UNIX_EPOCH};

/// A device with a secret.
#[derive(Clone, Copy)]
pub struct Device {
    pub id: &'static str,
    pub secret: &'static str,
}

pub const LAMP: Device = Device { id: "64a1f0c2_lamp-01", secret: "5f2b9c0e7d" };
pub const METER: Device =
    Device { id: "64a1f0c2_meter_0_1_7", secret: "0123456789abcdefghijklmnopqrstuv" };

/// A secrets file with both.
pub fn secrets() -> String {
    format!("# device_id:secret\n{}:{}\n{}:{}\n", LAMP.id, LAMP.secret, METER.id, METER.secret)
}

impl Device {
    /// A CONNECT signed with a timestamp.
    pub fn connect(&self, sign_type: SignType, stamp: &str) -> Connect {
        let key = HourKey::new(sign_type, stamp.as_bytes().try_into().expect("ten digits"));
        Connect::new(ClientId::format(self.id, sign_type, stamp))
            .username(self.id)
            .password(key.password(self.secret.as_bytes()))
    }

    /// A CONNECT of this hour, sign type 1.
    pub fn connect_now(&self) -> Connect {
        self.connect(SignType::Sha256Timestamp, &stamp(now()))
    }
}

pub fn now() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// The timestamp of an instant.
pub fn stamp(at: UnixSeconds) -> String {
    jiff::Timestamp::from_second(at).unwrap().strftime("%Y%m%d%H").to_string()
}
