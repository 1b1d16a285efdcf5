//! Golden vectors, from `tests/data/vectors.txt`, in both directions: what a device would send, and what is accepted.

use iotda_core::login::{
    SignType,
    signature::{HourKey, Password},
};

#[test]
fn passwords_are_the_platforms() {
    let (mut good, mut bad) = (0, 0);
    for (number, line) in (1..).zip(include_str!("../../tests/data/vectors.txt").lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [kind, hash, stamp, secret, password] = fields[..] else {
            panic!("line {number}: expected five fields: {line}")
        };
        let sign_type = match hash {
            "sha256" => SignType::Sha256,
            "sm3" => SignType::Sm3Timestamp,
            _ => panic!("line {number}: expected sha256 or sm3: {line}"),
        };
        let key = HourKey::new(sign_type, stamp.as_bytes().try_into().expect("ten digits"));
        let proves = key.proves(&Password::parse(Some(password.as_bytes())), secret.as_bytes());
        let makes = key.password(secret.as_bytes()) == password;
        match kind {
            "good" => {
                assert!(makes && proves, "line {number}: made {makes}, accepted {proves}: {line}");
                good += 1;
            }
            "bad" => {
                assert!(
                    !makes && !proves,
                    "line {number}: made {makes}, accepted {proves}: {line}"
                );
                bad += 1;
            }
            _ => panic!("line {number}: expected good or bad: {line}"),
        }
    }
    assert_eq!((good, bad), (10, 15));
}
