//! What do the files say together? One pass, line by line, as `config__read_file_core` in `conf.c`.
//!
//! The broker ends at the first line that it does not accept. Here that line is noted, and left out.

use super::{
    Attached, Config, Given, Listener, Place, Plugin, Problem, ProblemKind, Settings,
    broker::Version,
    directives::{self, CONFLICTS, Directive, Kind, Repeat, Scope},
    lines::{self, Lost},
    value::{self, Fault, Rest, shown, unexpected},
};
use std::{fs, io, path::Path, sync::Arc};

/// Reads a configuration and all that it includes.
///
/// # Errors
///
/// If the file itself cannot be read.
pub(crate) fn read(path: &Path, version: Version) -> io::Result<Config> {
    let mut reader = Reader {
        version,
        config: Config { is_local_only: true, ..Config::default() },
        security_is_set: false,
        has_log_file: false,
    };
    if !version.is_2_1() {
        // 2.0 always has this listener, and decides at the end whether it opens it.
        reader.config.default = Some(reader.add_listener(None, 1883, None));
    }
    reader.file(path, 0)?;
    reader.config.finish(version);
    Ok(reader.config)
}

pub(super) struct Reader {
    pub(super) version: Version,
    pub(super) config: Config,
    /// Whether a setting of who may do what has been read.
    pub(super) security_is_set: bool,
    pub(super) has_log_file: bool,
}

/// What the lines of one file share. Each file begins anew.
pub(super) struct InFile {
    pub(super) file: Arc<Path>,
    pub(super) level: u32,
    pub(super) listener: Option<usize>,
    pub(super) plugin: Option<usize>,
    pub(super) bridge: Option<usize>,
    /// Since this line the broker's pointer to the listener may be stale: a listener was added by an included file.
    pub(super) stale_since: Option<usize>,
}

/// Whose setting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Global,
    Listener(usize),
    Bridge(usize),
}

/// A line that is being read.
pub(super) struct Line<'a> {
    pub(super) rest: Rest<'a>,
    pub(super) at: Place,
}

impl Reader {
    /// Reads one file; `level` is 0 for the main one.
    pub(super) fn file(&mut self, path: &Path, level: u32) -> io::Result<()> {
        let content = content(path)?;
        let mut state = InFile {
            file: path.into(),
            level,
            listener: if self.version.is_2_1() { None } else { self.config.default },
            plugin: None,
            bridge: None,
            stale_since: None,
        };
        let lines = lines::of(&content, self.version);
        for (line, text) in lines.lines {
            self.line(&mut state, line, text);
        }
        let lost = match lines.lost {
            None => return Ok(()),
            Some(Lost::Nul(line)) => {
                (line, "found a NUL byte, behind which the broker reads nothing of this file")
            }
            Some(Lost::LastLine(line)) => (
                line,
                "found a last line without a newline, of a length at which the broker does not see it",
            ),
        };
        let at = Place { file: state.file, line: lost.0 };
        self.problem(ProblemKind::NotRead, at, lost.1.into());
        Ok(())
    }

    pub(super) fn problem(&mut self, kind: ProblemKind, at: Place, text: String) {
        self.config.problems.push(Problem { kind, at, text });
    }

    fn line(&mut self, state: &mut InFile, line: usize, text: &[u8]) {
        let mut line = Line { rest: Rest(text), at: Place { file: state.file.clone(), line } };
        let Some(name) = line.rest.word() else { return };
        let at = line.at.clone();
        let rest = line.rest;
        if let Err(fault) = self.setting(state, name, line) {
            if matches!(name, b"plugin" | b"auth_plugin" | b"global_plugin" | b"plugin_load") {
                let path = value::text(rest).unwrap_or_default();
                let plugin = self.add_plugin(state, path, at.clone());
                self.attach(plugin, Attached::Refused, at.clone());
            }
            let text = format!("{}: {fault}", shown(name));
            self.problem(ProblemKind::Refused, at, text);
        }
    }

    fn setting(&mut self, state: &mut InFile, name: &[u8], line: Line<'_>) -> Result<(), Fault> {
        let option = name.strip_prefix(b"plugin_opt_").or_else(|| name.strip_prefix(b"auth_opt_"));
        if let Some(option) = option {
            return self.option(state, option, &line);
        }
        let directive = directives::find(name, self.version).ok_or_else(|| unknown(name))?;
        if !directive.is_known_to(self.version) {
            return Err(format!(
                "found a setting of {}, not of {}",
                directive.known_to(),
                self.version
            ));
        }
        let holder = self.holder(state, directive)?;
        if let (Holder::Listener(_), Some(since)) = (holder, state.stale_since) {
            let text = format!(
                "{}: the include_dir on line {since} adds listeners, and the broker then loses this one",
                directive.name
            );
            self.problem(ProblemKind::Lost, line.at, text);
            return Ok(());
        }
        self.conflict(directive.name, holder)?;
        let is_tls = state
            .listener
            .is_some_and(|listener| self.settings(Holder::Listener(listener)).has("certfile"));
        if directive.name == "psk_file" && self.version.is_2_1() && is_tls {
            return Err("expected none of it below a certfile, found both".into());
        }
        let at = line.at.clone();
        if let Some(text) = self.read_value(state, directive, holder, line)? {
            self.settings(holder).set(directive.name, text, at);
        }
        Ok(())
    }

    /// Whose setting it is. 2.1 makes a default listener when one is needed.
    fn holder(&mut self, state: &mut InFile, directive: &Directive) -> Result<Holder, Fault> {
        let needs_listener = "expected a listener line above it, found none";
        let is_2_1 = self.version.is_2_1();
        match directive.scope {
            Scope::Global => {
                self.security_is_set |= directive.name == "check_retain_source" && !is_2_1;
                Ok(Holder::Global)
            }
            Scope::Bridge => state
                .bridge
                .map(Holder::Bridge)
                .ok_or_else(|| "expected a connection line above it, found none".into()),
            Scope::Security if !self.config.per_listener => {
                self.security_is_set = true;
                Ok(Holder::Global)
            }
            Scope::Security => {
                let listener = state.listener.ok_or(needs_listener)?;
                self.security_is_set = true;
                Ok(Holder::Listener(listener))
            }
            Scope::DefinedListener => Ok(Holder::Listener(state.listener.ok_or(needs_listener)?)),
            Scope::Listener => Ok(Holder::Listener(match state.listener {
                Some(listener) => listener,
                None => self.default_listener(state),
            })),
        }
    }

    /// The listener of 2.1 for settings above the first `listener`.
    pub(super) fn default_listener(&mut self, state: &mut InFile) -> usize {
        let default = match self.config.default {
            Some(default) => default,
            None => self.add_listener(None, 1883, None),
        };
        self.config.default = Some(default);
        state.listener = Some(default);
        default
    }

    pub(super) fn add_listener(
        &mut self,
        at: Option<Place>,
        port: u16,
        address: Option<String>,
    ) -> usize {
        let settings = Settings::default();
        self.config.listeners.push(Listener { at, port, address, settings });
        self.config.listeners.len() - 1
    }

    pub(super) fn add_plugin(&mut self, state: &mut InFile, path: String, at: Place) -> usize {
        self.config.plugins.push(Plugin { at, path, name: None, options: vec![], uses: vec![] });
        let plugin = self.config.plugins.len() - 1;
        state.plugin = Some(plugin);
        plugin
    }

    pub(super) fn attach(&mut self, plugin: usize, attached: Attached, at: Place) {
        if let Some(plugin) = self.config.plugins.get_mut(plugin) {
            plugin.uses.push((attached, at));
        }
    }

    pub(super) fn settings(&mut self, holder: Holder) -> &mut Settings {
        let config = &mut self.config;
        let found = match holder {
            Holder::Global => None,
            Holder::Listener(listener) => {
                config.listeners.get_mut(listener).map(|listener| &mut listener.settings)
            }
            Holder::Bridge(bridge) => {
                config.bridges.get_mut(bridge).map(|bridge| &mut bridge.settings)
            }
        };
        found.unwrap_or(&mut config.settings)
    }

    fn conflict(&mut self, name: &str, holder: Holder) -> Result<(), Fault> {
        let Some((_, others)) = CONFLICTS.iter().find(|(with, _)| *with == name) else {
            return Ok(());
        };
        let settings = self.settings(holder);
        match others.iter().find_map(|other| Some((other, settings.get(other)?))) {
            None => Ok(()),
            Some((other, Given { at, .. })) => Err(format!(
                "expected none of it together with {other}, found that on line {}",
                at.line
            )),
        }
    }

    /// Reads a value; `None` if there is nothing to keep.
    fn read_value(
        &mut self,
        state: &mut InFile,
        directive: &Directive,
        holder: Holder,
        mut line: Line<'_>,
    ) -> Result<Option<String>, Fault> {
        let is_2_1 = self.version.is_2_1();
        let one_of = |words: &[&'static str], word: Option<&[u8]>| {
            let found = words.iter().find(|known| word == Some(known.as_bytes()));
            found
                .map(|found| Some((*found).to_string()))
                .ok_or_else(|| unexpected(&one_of(words), word))
        };
        match directive.kind {
            Kind::Ignored => Ok(None),
            Kind::Boolean => value::boolean(line.rest.word()).map(|value| Some(value.to_string())),
            Kind::Number(least, most) => {
                let number = value::number_within(line.rest.word(), (least, most), is_2_1)?;
                Ok(Some(number.to_string()))
            }
            Kind::Text(repeat) => self.text(directive.name, holder, repeat, line.rest).map(Some),
            Kind::Short(most) => {
                let text = self.text(directive.name, holder, Repeat::Never, line.rest)?;
                if is_2_1 && text.len() > most {
                    return Err(format!("expected at most {most} bytes, found {}", text.len()));
                }
                Ok(Some(text))
            }
            Kind::Word(words) => one_of(words, line.rest.word()),
            Kind::WordOrNothing(words) => match line.rest.word() {
                None if !is_2_1 => Ok(None),
                word => one_of(words, word),
            },
            Kind::Exactly(words) => one_of(words, line.rest.text()),
            Kind::Special(special) => self.special(state, special, holder, line),
        }
    }

    /// A text that a second line may not give again.
    pub(super) fn text(
        &mut self,
        name: &str,
        holder: Holder,
        repeat: Repeat,
        rest: Rest<'_>,
    ) -> Result<String, Fault> {
        let may_repeat = match repeat {
            Repeat::Never => false,
            Repeat::In21 => self.version.is_2_1(),
            Repeat::Always => true,
        };
        let text = value::text(rest)?;
        match self.settings(holder).get(name) {
            Some(Given { at, .. }) if !may_repeat => {
                let line = if at.line == 0 {
                    String::new()
                } else {
                    format!(", first on line {}", at.line)
                };
                Err(format!("found twice, expected once{line}"))
            }
            _ => Ok(text),
        }
    }

    /// An option of the plugin above it.
    fn option(&mut self, state: &InFile, name: &[u8], line: &Line<'_>) -> Result<(), Fault> {
        let plugin = state.plugin.and_then(|plugin| self.config.plugins.get_mut(plugin));
        let plugin =
            plugin.ok_or("expected a plugin line above it, in the same file; found none")?;
        if name.len() < 3 {
            return Err("expected a name of at least three characters".into());
        }
        // 2.1 takes an empty value if two blanks stand before it.
        let value = line.rest.without_leading_blanks();
        if value.is_empty() && !(self.version.is_2_1() && line.rest.text().is_some()) {
            return Err(unexpected("a value", None));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        plugin.options.push((text(name), text(value), line.at.clone()));
        Ok(())
    }
}

/// The content of a file that the broker would read (`config__read_file`).
fn content(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("expected a regular file, found something else"));
    }
    fs::read(path)
}

fn unknown(name: &[u8]) -> Fault {
    let hint = if name.starts_with(b"\xEF\xBB\xBF") {
        "; the file begins with a byte order mark, which the broker does not skip"
    } else if name.starts_with(b"\xFF\xFE") || name.starts_with(b"\xFE\xFF") {
        "; the file is in UTF-16, expected UTF-8"
    } else if name.contains(&b'\t') {
        "; a tab does not separate it from its value, only a blank does"
    } else if name.first() == Some(&b'#') {
        "; a comment begins in the first column"
    } else {
        ""
    };
    format!("unknown setting{hint}")
}

fn one_of(words: &[&str]) -> String {
    format!("one of {}", words.join(", "))
}
