//! What does systemd hear? Nothing, where it does not ask.

use sd_notify::NotifyState;
use std::time::Duration;

/// The file is there: what needs it may start.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// What `systemctl status` shows.
pub(crate) fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// The process is about to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells systemd again and again that the process is alive, if its unit has a watchdog. All work happens on one thread: one that
/// hangs, for example in a write to a disk that does not answer, keeps this from running.
pub(crate) fn start() {
    let mut microseconds = 0;
    if sd_notify::watchdog_enabled(false, &mut microseconds) {
        let pause = Duration::from_micros(microseconds / 3);
        tokio::spawn(async move {
            loop {
                tell(&[NotifyState::Watchdog]);
                tokio::time::sleep(pause).await;
            }
        });
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(false, state);
}
