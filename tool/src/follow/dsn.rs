//! Which database is it, and how is the way to it protected?
//!
//! The connection string is PostgreSQL's own, as a URL or as `key=value` words. The words that concern TLS are read here,
//! because the client library does not know them. No error repeats a part of the string: it holds a password.

use super::tls::{Security, Verify};
use crate::terminal::{Failure, shown};
use std::{
    error::Error as _, fs, net::IpAddr, os::unix::fs::MetadataExt, path::Path, time::Duration,
};
use tokio_postgres::config::{Config, Host, SslMode};
use zeroize::Zeroizing;

/// How long the database may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time without an answer to what was sent, the system gives a connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// A database and the way to it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) security: Security,
    /// For the log: hosts and database, no password.
    pub(crate) name: String,
    /// Whether other users of the machine may read the file.
    pub(crate) is_exposed: bool,
}

/// Reads the file with the connection string.
pub(crate) fn read(path: &Path) -> Result<Target, Failure> {
    let failure = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", shown(path)));
    let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|error| failure(&error))?;
    let is_exposed = fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0);
    let target = parse(text.trim()).map_err(|error| failure(&error))?;
    Ok(Target { is_exposed, ..target })
}

/// What concerns TLS.
#[derive(Default)]
struct Words {
    mode: Option<String>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Words {
    /// Keeps a word, if it is one of these; returns whether it is.
    fn take(&mut self, key: &str, value: &str) -> bool {
        let place = match key {
            "sslmode" => &mut self.mode,
            "sslrootcert" => &mut self.roots,
            "sslcert" => &mut self.certificate,
            "sslkey" => &mut self.key,
            _ => return false,
        };
        *place = Some(value.into());
        true
    }
}

fn parse(text: &str) -> Result<Target, String> {
    let mut words = Words::default();
    let is_url = text.starts_with("postgresql://") || text.starts_with("postgres://");
    let rest =
        if is_url { take_from_url(text, &mut words)? } else { take_from_words(text, &mut words)? };
    let mut config: Config = rest.parse().map_err(|error| unlike(&error))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("expected host=, found none".into());
    }
    let is_local = config.get_hosts().iter().all(is_local);
    let mode = words.mode.as_deref().unwrap_or(if is_local { "disable" } else { "verify-full" });
    let security = match mode {
        "disable" => Security::None,
        "verify-full" => Security::Verify(Verify {
            roots: words.roots.filter(|roots| roots != "system").map(Into::into),
            certificate: words.certificate.map(Into::into),
            key: words.key.map(Into::into),
        }),
        // The other modes of libpq encrypt, but do not find out to whom.
        _ => {
            return Err(
                "sslmode: expected verify-full, or disable where nobody else is on the way".into(),
            );
        }
    };
    config.ssl_mode(match security {
        Security::None => SslMode::Disable,
        Security::Verify(_) => SslMode::Require,
    });
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name("iotda-auth follow");
    }
    config.tcp_user_timeout(USER_TIMEOUT);
    config.keepalives_idle(Duration::from_secs(10));
    config.keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(3);
    let name = name(&config);
    Ok(Target { config, security, name, is_exposed: false })
}

/// The error of the client library, if it repeats nothing.
fn unlike(error: &tokio_postgres::Error) -> String {
    let expected = "expected a connection string (postgresql://USER:PASSWORD@HOST/DATABASE, or host=… user=… password=…)";
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    if cause.starts_with("invalid value for option") {
        format!("{expected}, found: {cause}")
    } else {
        format!("{expected}, found something else")
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

fn name(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let addresses = config.get_hostaddrs().iter().map(ToString::to_string);
    let hosts: Vec<String> =
        if config.get_hosts().is_empty() { addresses.collect() } else { hosts.collect() };
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{}/{database}", hosts.join(","))
}

/// Takes the words of TLS out of a URL.
fn take_from_url(text: &str, words: &mut Words) -> Result<Zeroizing<String>, String> {
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let mut rest = Zeroizing::new(base.to_owned());
    let mut separator = '?';
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = percent_decoded(value)
            .ok_or("expected two hex digits behind each %, found something else")?;
        if !words.take(key, &value) {
            rest.push(separator);
            rest.push_str(part);
            separator = '&';
        }
    }
    Ok(rest)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Takes the words of TLS out of a list of `key=value`. A value may be in single quotes, with backslashes.
fn take_from_words(text: &str, words: &mut Words) -> Result<Zeroizing<String>, String> {
    let mut rest = Zeroizing::new(String::with_capacity(text.len()));
    let mut text = text.trim_start();
    while !text.is_empty() {
        let (key, after) =
            text.split_once('=').ok_or("expected key=value, found a word without =")?;
        let start = after.trim_start();
        let (value, end) =
            value(start).ok_or("expected a quote at the end of a value, found none")?;
        let used = text.len() - end.len();
        if !words.take(key.trim(), &value) {
            rest.push_str(text.get(..used).unwrap_or_default());
            rest.push(' ');
        }
        text = end.trim_start();
    }
    Ok(rest)
}

/// The value at the start of a text, and what follows it.
fn value(text: &str) -> Option<(Zeroizing<String>, &str)> {
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let is_quoted = text.starts_with('\'');
    let mut chars = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, char)) = chars.next() {
        match char {
            '\'' if is_quoted => return Some((value, text.get(at + 1..)?)),
            char if !is_quoted && char.is_whitespace() => return Some((value, text.get(at..)?)),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    (!is_quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> String {
        match parse(text).map(|target| target.security) {
            Ok(Security::None) => "none".into(),
            Ok(Security::Verify(Verify { roots, certificate, key })) => {
                format!("{roots:?} {certificate:?} {key:?}")
            }
            Err(error) => error,
        }
    }

    #[test]
    fn a_host_that_is_not_local_is_verified() {
        for (text, expected) in [
            ("host=localhost user=me", "none"),
            ("host=/run/postgresql user=me", "none"),
            ("postgresql://me@127.0.0.1/db", "none"),
            ("postgresql://me@[::1]/db", "none"),
            ("host=db.example user=me", "None None None"),
            ("host=localhost,db.example user=me", "None None None"),
            ("postgresql://me:pass@db.example/db", "None None None"),
            ("postgresql://me@db.example/db?sslmode=disable", "none"),
            (
                "host=localhost user=me sslmode = verify-full sslrootcert='/a b/c.pem'",
                "Some(\"/a b/c.pem\") None None",
            ),
            (
                "postgres://me@db/d?sslrootcert=%2Fa%20b&connect_timeout=3&sslcert=c&sslkey=k",
                "Some(\"/a b\") Some(\"c\") Some(\"k\")",
            ),
            ("host=db sslrootcert=system user=me", "None None None"),
        ] {
            assert_eq!(mode(text), expected, "{text}");
        }
    }

    #[test]
    fn the_rest_is_passed_on() {
        let target = parse(r"host=db.example port=6543 sslmode=verify-full user='o\'hara' password='a b\\c' dbname=iot").unwrap();
        assert_eq!(target.config.get_user(), Some("o'hara"));
        assert_eq!(target.config.get_password(), Some(br"a b\c".as_slice()));
        assert_eq!(target.config.get_ports(), [6543]);
        assert_eq!(target.name, "db.example/iot");
        let target =
            parse("postgresql://me:p%40ss@db:1/x?sslmode=disable&connect_timeout=3").unwrap();
        assert_eq!(target.config.get_password(), Some(b"p@ss".as_slice()));
        assert_eq!(target.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }

    #[test]
    fn a_wrong_string_is_refused_without_repeating_it() {
        for text in [
            "",
            "topsecret",
            "host=db user=me topsecret",
            "host=db password='topsecret",
            "host=db topsecret=1",
            "user=topsecret",
            "postgresql://me:topsecret@db:x/d",
            "host=db port=topsecret",
            "host=db sslmode=require",
            "postgresql://me:topsecret@db?sslrootcert=%zz",
            "host=db sslmode=prefer password=topsecret",
        ] {
            let error = parse(text).map(|target| target.name).unwrap_err();
            assert!(error.contains("expected") && !error.contains("topsecret"), "{text}: {error}");
        }
    }
}
