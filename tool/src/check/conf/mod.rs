//! What does `mosquitto.conf` say, as the broker reads it?
//!
//! | module | the question it answers |
//! |---|---|
//! | [`broker`] | which Mosquitto is meant, and what does that one do differently? |
//! | [`lines`] | what are the lines of a file? |
//! | [`value`] | what does the rest of a line say? |
//! | [`directives`] | which settings are there, and what do they take? |
//! | [`reader`] | what do the files say together? |
//! | [`special`] | what do the settings with rules of their own say? |
//! | [`folder`] | which files does an `include_dir` add? |
//! | [`whole`] | what is wrong only when all is read? |

pub(crate) mod broker;
mod directives;
mod folder;
mod lines;
mod reader;
mod special;
mod value;
mod whole;

pub(crate) use broker::Version;
pub(crate) use reader::read;

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

/// A line of a file; line 0 is the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The file, as it was named.
    pub(crate) file: Arc<Path>,
    /// The line, from 1.
    pub(crate) line: usize,
}

impl Place {
    /// A file as a whole.
    pub(crate) fn of(file: &Path) -> Self {
        Self { file: file.into(), line: 0 }
    }
}

/// Values by their settings' names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(BTreeMap<&'static str, Given>);

/// A value and where it is given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The value, as text.
    pub(crate) text: String,
    /// Its line.
    pub(crate) at: Place,
}

impl Settings {
    pub(crate) fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    /// Where a setting is set to `true`.
    pub(crate) fn where_true(&self, name: &str) -> Option<&Place> {
        self.boolean(name).and_then(|(value, at)| value.then_some(at))
    }

    /// A value of a setting that takes `true` or `false`.
    pub(crate) fn boolean(&self, name: &str) -> Option<(bool, &Place)> {
        self.get(name).map(|given| (matches!(&*given.text, "true" | "1"), &given.at))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn set(&mut self, name: &'static str, text: String, at: Place) {
        self.0.insert(name, Given { text, at });
    }
}

/// A listener.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Its line; `None` if the broker opens it by itself.
    pub(crate) at: Option<Place>,
    /// Its port; 0 for a Unix socket.
    pub(crate) port: u16,
    /// Its address, or the path of its socket.
    pub(crate) address: Option<String>,
    /// What is set for it.
    pub(crate) settings: Settings,
}

impl Listener {
    /// Whether its clients speak TLS to the broker itself.
    pub(crate) fn is_tls(&self) -> bool {
        self.settings.has("certfile") && self.settings.has("keyfile")
            || self.settings.has("psk_hint")
    }

    /// The protocol: `mqtt`, `websockets` or `http_api`.
    pub(crate) fn protocol(&self) -> &str {
        self.settings.get("protocol").map_or("mqtt", |given| &given.text)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(path) if self.port == 0 => write!(f, "listener {path}"),
            _ => write!(f, "listener {}", self.port),
        }
    }
}

/// To what a plugin is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    /// All listeners.
    Everywhere,
    /// One listener, by its position.
    To(usize),
    /// A listener that the broker does not open.
    Nowhere,
    /// Nothing: the broker reads the line, and never loads the library.
    NotLoaded,
    /// Nothing, because the broker does not accept the line. Its options are read all the same, to be checked.
    Refused,
}

/// A plugin's line.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    /// Its line.
    pub(crate) at: Place,
    /// The library, as given.
    pub(crate) path: String,
    /// Its name, if it is loaded by `plugin_load`.
    pub(crate) name: Option<String>,
    /// Its options: names without `plugin_opt_`, values, lines.
    pub(crate) options: Vec<(String, String, Place)>,
    /// What it is attached to, and by which line.
    pub(crate) uses: Vec<(Attached, Place)>,
}

impl Plugin {
    /// Whether the broker reads the line and never loads the library.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.uses.iter().any(|(attached, _)| *attached == Attached::NotLoaded)
    }
}

/// A bridge. Of its settings only those are kept that decide whether the broker starts.
#[derive(Clone, Debug)]
struct Bridge {
    name: String,
    at: Place,
    settings: Settings,
}

/// What is wrong with a configuration as such.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// Which kind of problem.
    pub(crate) kind: ProblemKind,
    /// Where.
    pub(crate) at: Place,
    /// What was found, and what was expected.
    pub(crate) text: String,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    /// The broker does not accept the line.
    Refused,
    /// A file or folder that is included cannot be read.
    Unreadable,
    /// Settings do not go together.
    Together,
    /// The broker does not read a part of the file.
    NotRead,
    /// A setting behind an `include_dir` that adds a listener.
    Lost,
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// What is set for the broker, and for all listeners.
    pub(crate) settings: Settings,
    /// The listeners that the broker opens.
    pub(crate) listeners: Vec<Listener>,
    /// The plugins, in order.
    pub(crate) plugins: Vec<Plugin>,
    /// Whether `per_listener_settings` is true.
    pub(crate) per_listener: bool,
    /// All that is wrong.
    pub(crate) problems: Vec<Problem>,
    bridges: Vec<Bridge>,
    /// The listener that the broker makes for settings above the first `listener`.
    default: Option<usize>,
    /// Whether there is no line with a listener, so that the broker listens on this machine's own addresses only.
    is_local_only: bool,
}

impl Config {
    /// Whether that is the listener which the broker makes by itself.
    pub(crate) fn is_default(&self, attached: Attached) -> bool {
        let Attached::To(position) = attached else { return false };
        let is_written = self.listeners.get(position).is_some_and(|listener| listener.at.is_some());
        self.default == Some(position) && !is_written
    }

    /// A security setting that is in force for a listener.
    pub(crate) fn security<'a>(&'a self, listener: &'a Listener, name: &str) -> Option<&'a Given> {
        if self.per_listener { listener.settings.get(name) } else { self.settings.get(name) }
    }
}
