//! What is told meanwhile? A bar on a terminal, and elsewhere a line now and then.

use super::tally::{Now, Tally};
use crate::terminal::say;
use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// The length of the bar, in characters.
const BAR: usize = 24;
/// How often a line is printed where there is no terminal, while something changes.
const PAUSE: Duration = Duration::from_secs(10);

/// How progress is told.
pub(super) struct Progress {
    devices: usize,
    how: How,
    /// What was told last.
    told: String,
    next: Duration,
}

enum How {
    Bar,
    Lines,
    NotAtAll,
}

impl Progress {
    pub(super) fn new(devices: usize, is_quiet: bool) -> Self {
        let how = match io::stderr().is_terminal() {
            _ if is_quiet => How::NotAtAll,
            true => How::Bar,
            false => How::Lines,
        };
        Self { devices, how, told: String::new(), next: PAUSE }
    }

    /// Tells what is new, and how far it is so long after the beginning.
    pub(super) fn tell(&mut self, tally: &Tally, since: Duration) {
        let news = tally.news();
        if matches!(self.how, How::NotAtAll) {
            return;
        }
        if !news.is_empty() {
            self.clear();
        }
        for line in news {
            say(format_args!("{line}"));
        }
        let now = tally.now();
        let line = line(&now, self.devices);
        match self.how {
            How::Bar => {
                let bar = bar(now.online, self.devices);
                let text = format!("{bar} {} {line}", clock(since));
                let _ = write!(io::stderr(), "\r\x1b[K{}", cut(&text, columns()));
            }
            How::Lines if since >= self.next && line != self.told => {
                say(format_args!("{line}"));
                self.told = line;
                self.next = since + PAUSE;
            }
            How::Lines | How::NotAtAll => {}
        }
    }

    /// Takes the bar away.
    fn clear(&self) {
        if matches!(self.how, How::Bar) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(now: &Now, devices: usize) -> String {
    let Now { online, accepted, refused, lost, reports, answers, .. } = now;
    format!(
        "{online} of {devices} online, {accepted} let in, {refused} refused, {lost} lost, {reports} reports, {answers} answers"
    )
}

/// The width of the terminal; that of most if it does not say.
fn columns() -> usize {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => 80,
    }
}

/// As much of a text in ASCII as there is room for in one row: what wraps would not be overwritten. The last column stays free,
/// because some terminals wrap behind it.
fn cut(text: &str, columns: usize) -> &str {
    text.get(..columns.saturating_sub(1)).unwrap_or(text)
}

fn bar(online: u64, devices: usize) -> String {
    let online = usize::try_from(online).unwrap_or(devices).min(devices);
    let full = online * BAR / devices.max(1);
    format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
}

/// Minutes and seconds, and hours if there are any.
fn clock(since: Duration) -> String {
    let (minutes, seconds) = (since.as_secs() / 60, since.as_secs() % 60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes:02}:{seconds:02}"),
        (hours, minutes) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_when_all_are_online() {
        assert_eq!(bar(0, 3), format!("[{}]", ".".repeat(BAR)));
        assert_eq!(bar(1, 2), format!("[{}{}]", "#".repeat(BAR / 2), ".".repeat(BAR / 2)));
        for (online, devices) in [(3, 3), (4, 3), (1, 0)] {
            assert!(bar(online, devices).len() == BAR + 2);
        }
    }

    #[test]
    fn what_is_shown_is_one_row() {
        for (columns, shown) in [(0, ""), (1, ""), (4, "abc"), (7, "abcdef"), (80, "abcdef")] {
            assert_eq!(cut("abcdef", columns), shown);
        }
    }

    #[test]
    fn the_clock_has_hours_if_needed() {
        for (seconds, shown) in
            [(0, "00:00"), (61, "01:01"), (3661, "1:01:01"), (100 * 3600, "100:00:00")]
        {
            assert_eq!(clock(Duration::from_secs(seconds)), shown);
        }
    }
}
