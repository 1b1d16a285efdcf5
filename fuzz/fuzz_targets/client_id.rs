//! A ClientId, and the hour in it, from any bytes: what the crate makes of them is what the reference model says.

#![no_main]

use iotda_core::login::{ClientId, SignType, client_id::ClientIdError, timestamp::Hour};
use libfuzzer_sys::fuzz_target;
use reference_model::{ReferenceClientId, reference_client_id, reference_date};

fuzz_target!(|bytes: &[u8]| {
    let expected = reference_client_id(bytes);
    match ClientId::parse(bytes) {
        Ok(id) => {
            let ClientId { device_id, sign_digit, stamp, hour } = id;
            assert_eq!(ReferenceClientId::Device { device_id, sign_digit, stamp }, expected);
            let asked = matches!(sign_digit, b'1' | b'2');
            assert_eq!(hour.map(Hour::start), reference_date(stamp).filter(|_| asked));
            if let (Some(sign_type), Ok(id), Ok(stamp)) = (
                SignType::from_digit(sign_digit),
                std::str::from_utf8(device_id),
                std::str::from_utf8(stamp),
            ) {
                assert_eq!(ClientId::format(id, sign_type, stamp).as_bytes(), bytes);
            }
        }
        Err(ClientIdError::OtherClient) => assert_eq!(ReferenceClientId::Other, expected),
        Err(_) => assert_eq!(ReferenceClientId::Spoilt, expected),
    }
    // The bytes at the end, whatever comes before them.
    if let Some(stamp) = bytes.last_chunk::<10>() {
        let hour = Hour::parse(stamp);
        assert_eq!(hour.map(Hour::start), reference_date(stamp));
        if let Some(hour) = hour {
            assert_eq!(hour.age(hour.start() + 1), 1);
        }
    }
});
