//! The options, from any names and values: what they mean is what the reference model says, and an error is one line.
//!
//! The input has `name=value` between NULs. The one that is required is put before them, unless there is one, or a NUL at
//! the end says that there shall be none.

#![no_main]

use iotda_core::options::Options;
use libfuzzer_sys::fuzz_target;
use mosquitto_iotda_auth_fuzz::rules::Wanted;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let given = text.split('\0').take(16).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_string(), value.to_string())
    });
    let mut given: Vec<_> = given.collect();
    if !text.ends_with('\0') && given.iter().all(|(name, _)| name != "secrets_file") {
        given.insert(0, ("secrets_file".into(), "/s".into()));
    }
    let pairs = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let expected = Wanted::from(&given);
    match Options::parse(pairs) {
        Ok(options) => {
            let expected = expected.expect("something is wrong with these");
            assert_eq!(Wanted::of(&options), expected.clone().in_order());
            assert_eq!(options.policy, expected.rules.policy());
            assert_eq!(options.exact_connack_ports, expected.exact_ports);
        }
        Err(error) => {
            assert_eq!(expected, None, "{error}");
            let line = error.to_string();
            assert!(line.starts_with("plugin_opt_"), "{line:?}");
            let ends = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            assert!(!line.contains(ends), "{line:?}");
        }
    }
});
