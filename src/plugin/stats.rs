//! The counters, in the log and below `$SYS/broker/iotda-auth/`.

use super::{Host, Level, Plugin};
use iotda_core::{
    log::{self, LeftOut, Line},
    login::{Kind, Refusal},
};
use std::{ffi::CString, time::Duration};

/// The prefix of every topic.
const ROOT: &str = "$SYS/broker/iotda-auth/";

/// The values that were published last.
#[derive(Debug, Default)]
pub(super) struct Stats {
    due: Option<Duration>,
    values: Vec<Option<u64>>,
}

impl Plugin {
    /// Writes all counters to the log.
    pub(super) fn tell_counters(&self, host: &dyn Host) {
        host.log(Level::Info, &Line::of(format_args!("since the start: {}", self.counters)));
        if let Some(kinds) = self.counters.kinds() {
            host.log(Level::Info, &Line::of(format_args!("recognised so far: {kinds}")));
        }
    }

    /// Logs once a minute how many refusals were left out, and which devices logged in too often.
    pub(super) fn end_of_minute(&self, host: &dyn Host) {
        let now = || self.started.elapsed();
        let left_out = self
            .log_budget
            .try_borrow_mut()
            .ok()
            .and_then(|mut log_budget| log_budget.minute_over(now));
        self.tell_left_out(host, left_out);
        let often = self.sessions.try_borrow_mut().map(|mut sessions| sessions.often(now));
        for often in often.unwrap_or_default() {
            host.log(Level::Notice, &log::write::often(&often));
        }
    }

    pub(super) fn tell_left_out(&self, host: &dyn Host, left_out: Option<LeftOut>) {
        if let Some(left_out) = left_out {
            host.log(Level::Notice, &Line::of(format_args!("refused {left_out}")));
        }
    }

    /// Publishes what has changed since the last time, if the interval is over.
    pub(super) fn publish_stats(&self, host: &dyn Host) {
        let Some(interval) = self.options.stats_interval else { return };
        let now = self.started.elapsed();
        let Ok(mut stats) = self.stats.try_borrow_mut() else { return };
        if stats.due.is_some_and(|due| now < due) {
            return;
        }
        stats.due = Some(now + interval);
        let values = self.values();
        stats.values.resize(values.len(), None);
        let changed: Vec<(String, u64)> = values
            .into_iter()
            .zip(&mut stats.values)
            .filter_map(|((topic, value), last)| {
                (last.replace(value) != Some(value)).then_some((topic, value))
            })
            .collect();
        drop(stats);
        for (topic, value) in changed {
            if let Ok(topic) = CString::new(format!("{ROOT}{topic}")) {
                host.publish(&topic, value.to_string().as_bytes());
            }
        }
    }

    /// Every topic below [`ROOT`], and its value.
    fn values(&self) -> Vec<(String, u64)> {
        let counters = &self.counters;
        let of_devices = Refusal::ALL.iter().filter(|reason| reason.tells_of_devices());
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let fixed = [
            ("devices", self.table.try_borrow().map_or(0, |table| number(table.len()))),
            ("table/age", self.table_since.get().elapsed().as_secs()),
            ("logged_in", self.sessions.try_borrow().map_or(0, |sessions| number(sessions.len()))),
            ("accepted", counters.accepted.get()),
            ("deferred", counters.deferred.get()),
            ("rechecked", counters.rechecked.get()),
            ("disconnected", counters.disconnected.get()),
            ("takeovers", counters.takeovers.get()),
            ("undelivered", counters.undelivered.get()),
            ("reloads", counters.reloads.get()),
            ("reloads/failed", counters.failed_reloads.get()),
            ("refused", counters.refused_in_all()),
            // Devices may be allowed to read these topics. With separate counts, one wrong login would show which of these
            // reasons it got, and so whether a device exists. The log has the separate counts.
            ("refused/device", of_devices.map(|reason| counters.refused(*reason)).sum()),
        ];
        let others = Refusal::ALL
            .into_iter()
            .filter(|reason| !reason.tells_of_devices())
            .map(|reason| (format!("refused/{}", reason.id()), counters.refused(reason)));
        let kinds = Kind::ALL.into_iter().filter(|kind| !kind.reason().tells_of_devices());
        let kinds = kinds.map(|kind| {
            let topic = format!("refused/{}/{}", kind.reason().id(), kind.id());
            (topic, counters.recognised(kind))
        });
        let fixed = fixed.map(|(topic, value)| (topic.to_string(), value));
        fixed.into_iter().chain(others).chain(kinds).collect()
    }
}
