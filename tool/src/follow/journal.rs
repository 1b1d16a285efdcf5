//! How do the lines of the log look?

use crate::terminal::{self, Harmless};
use clap::ValueEnum;
use serde_json::json;
use std::io::{self, Write as _};

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines of text after the tool's name
    Text,
    /// One object a line, with time, level and message
    Json,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// All is as it should be.
    Info,
    /// Something needs attention, and the file is kept up to date.
    Warning,
    /// The file is not kept up to date.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The log, on standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Journal(pub(crate) LogFormat);

impl Journal {
    /// Writes a line. Texts from elsewhere must be escaped or from a known list.
    pub(crate) fn write(self, level: Level, message: &str) {
        match self.0 {
            LogFormat::Text if level == Level::Info => terminal::say(format_args!("{message}")),
            LogFormat::Text => terminal::say(format_args!("{}: {message}", level.name())),
            LogFormat::Json => {
                let time = now();
                let line = json!({ "time": time, "level": level.name(), "message": message });
                // If it cannot be written, there is nobody to tell.
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
    }
}

/// Now, in UTC to the second.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text of the database's, on one line and not too long.
pub(crate) fn cut(text: &str) -> String {
    let text: String = text.chars().take(300).collect();
    Harmless(text).to_string()
}
