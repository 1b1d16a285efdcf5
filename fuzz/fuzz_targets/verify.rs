//! The check of logins that are right or nearly, held against the contract's table.

#![no_main]

use iotda_core::{
    login::{HourKeys, Verdict, recognise::recognise, verify},
    registry::{
        Cancel,
        read::{Content, read},
    },
};
use libfuzzer_sys::fuzz_target;
use mosquitto_iotda_auth_fuzz::{
    answer::{Answer, answer},
    input::Input,
    rules::Rules,
    secrets,
    sent::Sent,
};
use reference_model::{reference_date, reference_file};

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let rules = Rules::choose(&mut input);
    let file = secrets::file(&mut input);
    let (devices, wrong) = reference_file(&file);
    let table = read(file.as_slice(), file.len() as u64, 1, Cancel::NEVER);
    let Ok(Content { table, .. }) = table else {
        assert!(!wrong.is_empty(), "{table:?}");
        return;
    };
    assert!(wrong.is_empty(), "lines {wrong:?} went unnoticed");

    // Several, with the same keys: a verdict does not depend on what came before.
    let mut keys = HourKeys::default();
    for _ in 0..6 {
        let (sent, stamp) = Sent::choose(&mut input, &devices);
        let now = now(&mut input, reference_date(&stamp).unwrap_or_default(), &rules);
        let expected = answer(&sent, &devices, &rules, now);
        let connect = sent.connect();
        let found = match verify(&connect, &table, &rules.policy(), now, &mut keys) {
            Verdict::Accept(_) => Answer::Accept,
            Verdict::Defer => Answer::Defer,
            Verdict::Refuse(refused) => {
                let (reason, detail) = (refused.reason.id(), refused.detail);
                let told = recognise(refused, &connect, &table).detail;
                assert_eq!(told, sent.told(reason, &detail, &devices), "{sent:?}");
                Answer::Refuse(reason, detail)
            }
        };
        assert_eq!(found, expected, "{sent:?} at {now} by {rules:?}");
        if input.is_over() {
            break;
        }
    }
});

/// The time, near the edges of the window as a rule.
fn now(input: &mut Input<'_>, begin: i64, rules: &Rules) -> i64 {
    let edge = match input.below(6) {
        0 => begin,
        1 => begin.saturating_add(rules.max_age),
        2 => begin.saturating_sub(rules.max_ahead.unwrap_or_default()),
        3 => begin.saturating_add(i64::from(input.short())),
        4 => begin.saturating_sub(i64::from(input.short())),
        _ => return i64::from(input.long()) << 32 | i64::from(input.long()),
    };
    edge.saturating_add(input.pick([0, 1, -1]))
}
