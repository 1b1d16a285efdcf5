//! A broker that does nothing and says nothing, for tests of the plugin's answers alone.

use iotda_core::log::{Acceptance, Line};
use iotda_plugin::{
    plugin::{Host, Level},
    sessions::ClientHandle,
};
use std::ffi::CStr;

pub struct Silent;

impl Host for Silent {
    fn log(&self, _level: Level, _line: &Line) {}

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
