//! What do the settings with rules of their own say?

use super::{
    Attached, Bridge, ProblemKind, Settings,
    directives::{Repeat, Special},
    folder,
    reader::{Holder, InFile, Line, Reader},
    value::{self, Fault, shown, unexpected},
};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};

type Value = Result<Option<String>, Fault>;

impl Reader {
    /// Reads the line; what it returns is kept for the holder.
    pub(super) fn special(
        &mut self,
        state: &mut InFile,
        special: Special,
        holder: Holder,
        line: Line<'_>,
    ) -> Value {
        match special {
            Special::AcceptedProtocols => self.accepted_protocols(state, line),
            Special::Address => self.address(holder, line),
            Special::BindAddress => self.bind_address(state, line),
            Special::BridgeKeepalive => self.bridge_keepalive(line),
            Special::Connection => self.connection(state, line),
            Special::DenySpecialChars => match state.plugin {
                None => Err("expected a plugin line above it, in the same file; found none".into()),
                Some(_) => nothing(value::boolean({ line }.rest.word())),
            },
            Special::Expiration => self.expiration(line),
            Special::GlobalPlugin | Special::Plugin => self.plugin(state, special, holder, line),
            Special::HttpDir => self.http_dir(holder, line),
            Special::IncludeDir => self.include_dir(state, line),
            Special::Kpass => kpass(line),
            Special::Listener => self.listener(state, line),
            Special::LogDest => self.log_dest(line),
            Special::MaxConnections => match { line }.rest.word() {
                None if !self.version.is_2_1() => Ok(None),
                word => Ok(Some(value::number(word, self.version.is_2_1())?.max(-1).to_string())),
            },
            Special::MaxKeepalive => self.number(line, self.version.least_max_keepalive(), 65_535),
            Special::MountPoint => self.mount_point(holder, line),
            Special::PerListener => self.per_listener(line),
            Special::PluginLoad => self.plugin_load(state, line),
            Special::PluginUse => self.plugin_use(state, line),
            Special::Port => self.port(state, line),
            Special::RestartTimeout => self.restart_timeout(line),
            Special::RetainExpiry => {
                self.number(line, if self.version.is_2_1() { 1 } else { i64::MIN }, i64::MAX)
            }
            Special::Topic => self.topic(holder, line),
        }
    }

    fn number(&self, mut line: Line<'_>, least: i64, most: i64) -> Value {
        value::number_within(line.rest.word(), (least, most), self.version.is_2_1())
            .map(|number| Some(number.to_string()))
    }

    /// A setting that 2.1 takes only below a `listener` line.
    fn below_a_listener(&self, state: &InFile) -> Result<(), Fault> {
        if state.listener == self.config.default {
            return Err("expected a listener line above it, found none".into());
        }
        Ok(())
    }

    fn accepted_protocols(&mut self, state: &InFile, line: Line<'_>) -> Value {
        self.below_a_listener(state)?;
        let separators = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
        if line.rest.0.iter().all(separators) {
            return Err(unexpected("some of 3, 4 and 5", None));
        }
        Ok(Some(shown(line.rest.0)))
    }

    // --- Listeners ---

    fn listener(&mut self, state: &mut InFile, mut line: Line<'_>) -> Value {
        self.config.is_local_only = false;
        let word = line.rest.word();
        let port = value::number_within(word, (0, 65_535), self.version.is_2_1())?;
        let port = u16::try_from(port).map_err(|_| unexpected("a port", word))?;
        let address = line.rest.word().filter(|word| !word.starts_with(b"#"));
        if port == 0 && address.is_none() {
            return Err("expected the path of a Unix socket behind port 0, found nothing".into());
        }
        let address = address.map(|address| String::from_utf8_lossy(address).into_owned());
        state.listener = Some(self.add_listener(Some(line.at), port, address));
        state.stale_since = None;
        Ok(None)
    }

    /// The port of the default listener.
    fn port(&mut self, state: &mut InFile, mut line: Line<'_>) -> Value {
        self.config.is_local_only = false;
        let default = self.the_default(state);
        let word = line.rest.word();
        let port = value::number_within(word, (1, 65_535), self.version.is_2_1())?;
        if let Some(listener) = self.config.listeners.get_mut(default) {
            listener.port = u16::try_from(port).map_err(|_| unexpected("a port", word))?;
            listener.at = Some(line.at.clone());
            listener.settings.set("port", port.to_string(), line.at);
        }
        Ok(None)
    }

    fn bind_address(&mut self, state: &mut InFile, line: Line<'_>) -> Value {
        self.config.is_local_only = false;
        let holder = Holder::Listener(self.the_default(state));
        let at = line.at.clone();
        let address = self.text("bind_address", holder, Repeat::Never, line.rest)?;
        self.settings(holder).set("bind_address", address, at);
        Ok(None)
    }

    /// The default listener. In 2.1 the lines that follow belong to it.
    fn the_default(&mut self, state: &mut InFile) -> usize {
        match self.config.default {
            Some(default) if !self.version.is_2_1() => default,
            _ => self.default_listener(state),
        }
    }

    fn mount_point(&mut self, holder: Holder, line: Line<'_>) -> Value {
        let is_default = self.config.listeners.len() == 1 && !self.version.is_2_1();
        if is_default {
            return Err("expected a listener line above it, found none".into());
        }
        let text = self.text("mount_point", holder, Repeat::In21, line.rest)?;
        if text.contains(['+', '#']) {
            return Err(unexpected("a topic without + and #", Some(text.as_bytes())));
        }
        Ok(Some(text))
    }

    fn http_dir(&mut self, holder: Holder, line: Line<'_>) -> Value {
        let folder = self.text("http_dir", holder, Repeat::Never, line.rest)?;
        if self.version.is_2_1() {
            fs::canonicalize(&folder).map_err(|error| format!("folder {folder}: {error}"))?;
        }
        Ok(Some(folder))
    }

    fn per_listener(&mut self, mut line: Line<'_>) -> Value {
        if self.version.is_2_1() && self.config.per_listener {
            return Ok(None);
        }
        self.config.per_listener = value::boolean(line.rest.word())?;
        if self.config.per_listener && self.security_is_set {
            // The lines that follow are better judged without it.
            self.config.per_listener = false;
            return Err(
                "expected above all settings of who may do what, and plugins; found below one"
                    .into(),
            );
        }
        Ok(Some(self.config.per_listener.to_string()))
    }

    fn include_dir(&mut self, state: &mut InFile, line: Line<'_>) -> Value {
        if state.level > 0 {
            let fault = "expected in the main file only, found in an included one";
            return if self.version.is_2_1() { Err(fault.into()) } else { Ok(None) };
        }
        let name = line.rest.text().ok_or_else(|| unexpected("a folder", None))?;
        let folder = Path::new(OsStr::from_bytes(name));
        let files = match folder::files(folder) {
            Ok(files) => files,
            Err(error) => {
                let hint = if name.first() == Some(&b' ') || name.last() == Some(&b' ') {
                    "; blanks around it belong to its name"
                } else {
                    ""
                };
                let text = format!("include_dir \"{}\": {error}{hint}", shown(name));
                self.problem(ProblemKind::Unreadable, line.at, text);
                return Ok(None);
            }
        };
        let before = self.config.listeners.len();
        for file in files {
            if let Err(error) = self.file(&file, state.level + 1) {
                let text = format!("include_dir adds {}: {error}", file.display());
                self.problem(ProblemKind::Unreadable, line.at.clone(), text);
            }
        }
        let is_safe = state.listener.is_none()
            || !self.version.is_2_1() && state.listener == self.config.default;
        if self.config.listeners.len() > before && !is_safe {
            state.stale_since = Some(line.at.line);
        }
        Ok(None)
    }

    // --- Plugins ---

    fn plugin(
        &mut self,
        state: &mut InFile,
        special: Special,
        holder: Holder,
        line: Line<'_>,
    ) -> Value {
        let attached = match holder {
            Holder::Listener(listener) => Attached::To(listener),
            _ => Attached::Everywhere,
        };
        self.security_is_set |= special == Special::GlobalPlugin;
        let path =
            if self.version.is_2_1() { self.raw_path(&line)? } else { value::text(line.rest)? };
        let plugin = self.add_plugin(state, path, line.at.clone());
        self.attach(plugin, attached, line.at);
        Ok(None)
    }

    /// 2.1 takes the rest of the line as it is: a second blank before it, or one behind it, belongs to the name.
    fn raw_path(&self, line: &Line<'_>) -> Result<String, Fault> {
        let path = line.rest.text().ok_or_else(|| unexpected("the path of a plugin", None))?;
        Ok(String::from_utf8_lossy(path).into_owned())
    }

    fn plugin_load(&mut self, state: &mut InFile, mut line: Line<'_>) -> Value {
        let name = line.rest.word().ok_or_else(|| unexpected("a name and a path", None))?;
        let name = String::from_utf8_lossy(name).into_owned();
        if self.named(&name).is_some() {
            return Err(format!("the name {name} is given twice, expected once"));
        }
        let path = self.raw_path(&line)?;
        let plugin = self.add_plugin(state, path, line.at.clone());
        if let Some(plugin) = self.config.plugins.get_mut(plugin) {
            plugin.name = Some(name);
        }
        Ok(None)
    }

    fn plugin_use(&mut self, state: &mut InFile, line: Line<'_>) -> Value {
        self.below_a_listener(state)?;
        let name = value::text(line.rest)?;
        let plugin = self.named(&name).ok_or_else(|| {
            format!(
                "expected the name of a plugin_load line above it, found \"{}\"",
                shown(name.as_bytes())
            )
        })?;
        state.plugin = Some(plugin);
        if let Some(listener) = state.listener {
            self.attach(plugin, Attached::To(listener), line.at);
        }
        Ok(None)
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.config.plugins.iter().position(|plugin| plugin.name.as_deref() == Some(name))
    }

    // --- The log, and sessions ---

    fn log_dest(&mut self, mut line: Line<'_>) -> Value {
        match line.rest.word() {
            Some(b"none" | b"syslog" | b"stdout" | b"stderr" | b"topic" | b"dlt") => Ok(None),
            Some(b"file") if self.has_log_file => Err("found file twice, expected once".into()),
            Some(b"file") => {
                let path = line.rest.without_leading_blanks();
                if path.is_empty() {
                    return Err(unexpected("a path behind file", None));
                }
                self.has_log_file = true;
                Ok(Some(String::from_utf8_lossy(path).into_owned()))
            }
            word => Err(unexpected("one of none, syslog, stdout, stderr, topic, dlt, file", word)),
        }
    }

    fn expiration(&mut self, mut line: Line<'_>) -> Value {
        let is_2_1 = self.version.is_2_1();
        let word = match line.rest.word() {
            None if !is_2_1 => return Ok(None),
            word => word,
        };
        let expected = "a whole number of h, d, w, m or y, like 2h";
        let (unit, number) =
            word.and_then(<[u8]>::split_last).ok_or_else(|| unexpected(expected, None))?;
        let is_unit = b"hdwmy".contains(unit) || is_2_1 && *unit == b's';
        // Both series read it with atoi.
        match value::number(Some(number), false) {
            Ok(1..) if is_unit => Ok(word.map(shown)),
            _ => Err(unexpected(expected, word)),
        }
    }

    // --- Bridges ---

    fn connection(&mut self, state: &mut InFile, mut line: Line<'_>) -> Value {
        let name = line.rest.word().ok_or_else(|| unexpected("a name", None))?;
        let name = String::from_utf8_lossy(name).into_owned();
        if self.config.bridges.iter().any(|bridge| bridge.name == name) {
            return Err(format!("the name {name} is given twice, expected once"));
        }
        self.config.bridges.push(Bridge { name, at: line.at, settings: Settings::default() });
        state.bridge = Some(self.config.bridges.len() - 1);
        Ok(None)
    }

    fn address(&mut self, holder: Holder, mut line: Line<'_>) -> Value {
        if self.settings(holder).has("addresses") {
            return Err("found twice, expected once".into());
        }
        let mut count = 0;
        while let Some(address) = line.rest.word().filter(|word| !word.starts_with(b"#")) {
            if let Some(colon) = address.iter().rposition(|byte| *byte == b':') {
                let port = address.get(colon + 1..);
                if !matches!(value::number(port, false), Ok(1..=65_535)) {
                    return Err(unexpected("a port from 1 to 65535", port));
                }
            }
            count += 1;
        }
        if count == 0 { Err(unexpected("an address", None)) } else { Ok(Some(String::new())) }
    }

    fn bridge_keepalive(&mut self, mut line: Line<'_>) -> Value {
        for _ in 0..3 {
            value::number_within(line.rest.word(), (1, i64::MAX), true)?;
        }
        Ok(None)
    }

    fn restart_timeout(&mut self, mut line: Line<'_>) -> Value {
        let first = line.rest.word().ok_or_else(|| unexpected("a number", None))?;
        let mut base = value::number(Some(first), false)?.max(1);
        if self.version.is_2_1() {
            base = base.min(3600);
        }
        let Some(cap) = line.rest.word() else { return Ok(None) };
        if value::number(Some(cap), false)? < base {
            return Err(unexpected("a greatest pause that is not below the first", Some(cap)));
        }
        match line.rest.word() {
            Some(period) if self.version.is_2_1() && value::number(Some(period), false)? < 0 => {
                Err(unexpected("a number from 0 on", Some(period)))
            }
            _ => Ok(None),
        }
    }

    fn topic(&mut self, holder: Holder, mut line: Line<'_>) -> Value {
        let at = line.at.clone();
        let topic = line.rest.word().ok_or_else(|| unexpected("a topic", None))?;
        if self.version.is_2_1() && topic.first() == Some(&b'"') && topic.get(1) != Some(&b'"') {
            let end = line.rest.0.iter().position(|byte| *byte == b'"');
            let end = end.ok_or_else(|| unexpected("a closing quote", Some(line.rest.0)))?;
            line.rest.0 = line.rest.0.get(end + 1..).unwrap_or_default();
        }
        if let Some(direction) = line.rest.word() {
            let known = ["out", "in", "both"];
            if !known.iter().any(|known| direction.eq_ignore_ascii_case(known.as_bytes())) {
                return Err(unexpected("out, in or both", Some(direction)));
            }
            if let Some(qos) = line.rest.word() {
                // The broker cuts the number to a byte.
                if value::number(Some(qos), false)? & 0xFF > 2 {
                    return Err(unexpected("a QoS of 0, 1 or 2", Some(qos)));
                }
            }
        }
        self.settings(holder).set("topic", String::new(), at);
        Ok(None)
    }
}

/// The SHA-1 of an engine's password.
fn kpass(line: Line<'_>) -> Value {
    let text = value::text(line.rest)?;
    if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(Some(String::new()))
    } else {
        // Not shown: it may be the password.
        Err("expected 40 hex digits, found something else".into())
    }
}

fn nothing<T>(result: Result<T, Fault>) -> Value {
    result.map(|_| None)
}
