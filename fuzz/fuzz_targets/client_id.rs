//! A ClientId, and the hour in it, from any bytes: what the crate makes of them is what their twins say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mosquitto_iotda_auth::login::{ClientId, SignType, client_id::ClientIdError, timestamp::Hour};
use mosquitto_iotda_auth_fuzz::twins::{ClientIdTwin, client_id_twin, date_twin};

fuzz_target!(|bytes: &[u8]| {
    let expected = client_id_twin(bytes);
    match ClientId::parse(bytes) {
        Ok(id) => {
            let ClientId { device_id, sign_digit, stamp, hour } = id;
            assert_eq!(ClientIdTwin::Device { device_id, sign_digit, stamp }, expected);
            let asked = matches!(sign_digit, b'1' | b'2');
            assert_eq!(hour.map(Hour::start), date_twin(stamp).filter(|_| asked));
            if let (Some(sign_type), Ok(id), Ok(stamp)) = (
                SignType::from_digit(sign_digit),
                std::str::from_utf8(device_id),
                std::str::from_utf8(stamp),
            ) {
                assert_eq!(ClientId::format(id, sign_type, stamp).as_bytes(), bytes);
            }
        }
        Err(ClientIdError::OtherClient) => assert_eq!(ClientIdTwin::Other, expected),
        Err(_) => assert_eq!(ClientIdTwin::Spoilt, expected),
    }
    // The bytes at the end, whatever comes before them.
    if let Some(stamp) = bytes.last_chunk::<10>() {
        let hour = Hour::parse(stamp);
        assert_eq!(hour.map(Hour::start), date_twin(stamp));
        if let Some(hour) = hour {
            assert_eq!(hour.age(hour.start() + 1), 1);
        }
    }
});
