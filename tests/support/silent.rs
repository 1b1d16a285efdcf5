//! A broker that does nothing, for tests of the plugin's answers alone.

use iotda_core::log::{Acceptance, Line};
use iotda_plugin::{
    plugin::{Host, Level},
    sessions::ClientHandle,
};
use std::{cell::RefCell, ffi::CStr};

/// It forgets what is logged.
pub struct Silent;

/// It keeps what is logged.
#[derive(Default)]
pub struct Listening(pub RefCell<Vec<String>>);

macro_rules! does_nothing_but {
    ($host:ty, $log:expr) => {
        impl Host for $host {
            fn log(&self, _level: Level, line: &Line) {
                $log(self, line);
            }

            fn log_acceptance(&self, _acceptance: Acceptance<'_>) {}

            fn disconnect(&self, _client_id: &CStr, _with_will: bool) -> bool {
                true
            }

            fn publish(&self, _topic: &CStr, _payload: &[u8]) {}

            fn subscribes_sessions(&self) -> bool {
                false
            }

            fn subscribe(&self, _session_id: &CStr, _filter: &CStr) {}

            fn unsubscribe(&self, _session_id: &CStr, _filter: &CStr) {}

            fn has_session(&self, _session_id: &CStr) -> bool {
                false
            }

            fn subscription_count(&self, _client: ClientHandle) -> usize {
                0
            }

            fn send(&self, _session_id: &CStr, _topic: &CStr, _payload: &[u8]) {}

            fn names_sessions(&self) -> bool {
                false
            }

            fn with_signals_blocked(&self, call: &mut dyn FnMut()) {
                call();
            }

            fn stay_loaded(&self) {}

            fn user(&self) -> u32 {
                0
            }
        }
    };
}

does_nothing_but!(Silent, |_: &Self, _: &Line| {});
does_nothing_but!(Listening, |host: &Self, line: &Line| {
    host.0.borrow_mut().push(String::from_utf8_lossy(line.as_bytes()).into_owned());
});
