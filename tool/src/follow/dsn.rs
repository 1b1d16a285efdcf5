//! Which database is it, and how is the way to it protected?
//!
//! The connection string is PostgreSQL's own, as a URL or as `key=value` words. The words that concern TLS are read here,
//! because the client library does not know them. No error repeats a part of the string: it holds a password.

use super::tls::{Security, Verify};
use crate::terminal::{Failure, shown};
use std::{
    error::Error as _,
    fs,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};
use tokio_postgres::config::{Config, Host, LoadBalanceHosts, SslMode};
use zeroize::Zeroizing;

/// How long the database may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time without an answer to what was sent, the system gives a connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// A database and the way to it.
#[derive(Clone)]
pub(crate) struct Target {
    /// One for each host: tried one by one, each with time of its own.
    configs: Vec<Config>,
    pub(crate) security: Security,
    /// For the log: hosts and database, no password.
    pub(crate) name: String,
    /// Whether other users of the machine may read the file.
    pub(crate) is_exposed: bool,
}

impl Target {
    /// The hosts, in the order in which they are to be tried.
    pub(crate) fn in_turn(&self) -> Vec<&Config> {
        let mut configs: Vec<&Config> = self.configs.iter().collect();
        let is_random =
            |config: &&Config| config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        if configs.first().is_some_and(is_random) {
            let random = RandomState::new();
            let mut numbered: Vec<_> = configs.into_iter().enumerate().collect();
            numbered.sort_by_key(|(number, _)| random.hash_one(number));
            configs = numbered.into_iter().map(|(_, config)| config).collect();
        }
        configs
    }
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
    // The client library ends the password at the first @: what follows would be taken for a host or a database.
    let is_split = is_url
        && rest.split_once('@').is_some_and(|(_, after)| {
            after.split_once('?').map_or(after, |(before, _)| before).contains('@')
        });
    let mut config: Config = rest.parse().map_err(|error| unlike(&error))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("expected host=, found none".into());
    }
    if is_split || !config.get_hosts().iter().all(may_be_host) {
        return Err(NO_HOST.into());
    }
    let is_local = config.get_hosts().iter().all(is_local)
        && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
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
    let is_named =
        |hosts: &[Host]| !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Tcp(_)));
    if matches!(security, Security::Verify(_)) && !is_named(config.get_hosts()) {
        return Err(
            "sslmode=verify-full: expected host=, the name in the server's certificate, also beside hostaddr=, found none".into(),
        );
    }
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
    Ok(Target { configs: each_host(&config)?, security, name, is_exposed: false })
}

/// Splits a configuration into one for each host.
fn each_host(config: &Config) -> Result<Vec<Config>, String> {
    let (hosts, addresses, ports) =
        (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |length: usize| length == 0 || length == count;
    if !fits(hosts.len()) || !fits(addresses.len()) || !fits(ports.len()) && ports.len() != 1 {
        return Err(
            "expected as many of host=, hostaddr= and port=, found different numbers".into()
        );
    }
    let each = (0..count).map(|number| {
        let mut one = without_hosts(config);
        match hosts.get(number) {
            Some(Host::Tcp(name)) => one.host(name),
            Some(Host::Unix(path)) => one.host_path(path),
            None => &mut one,
        };
        if let Some(address) = addresses.get(number) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(number).or(ports.first()) {
            one.port(*port);
        }
        one
    });
    Ok(each.collect())
}

/// The client library has no way to take hosts out of a configuration.
fn without_hosts(config: &Config) -> Config {
    let mut rest = Config::new();
    if let Some(user) = config.get_user() {
        rest.user(user);
    }
    if let Some(password) = config.get_password() {
        rest.password(password);
    }
    if let Some(database) = config.get_dbname() {
        rest.dbname(database);
    }
    if let Some(options) = config.get_options() {
        rest.options(options);
    }
    if let Some(name) = config.get_application_name() {
        rest.application_name(name);
    }
    if let Some(timeout) = config.get_connect_timeout() {
        rest.connect_timeout(*timeout);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        rest.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        rest.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        rest.keepalives_retries(retries);
    }
    rest.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    rest
}

const NO_HOST: &str = "expected a host's name or address, found other characters: in a URL, write @ in a password as %40, / as %2F and ? as %3F";

fn may_be_host(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            // With colons and % in an IPv6 address.
            let is_allowed = |char: char| char.is_ascii_alphanumeric() || "-._:%".contains(char);
            !name.is_empty() && name.chars().all(is_allowed)
        }
    }
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
            ("hostaddr=127.0.0.1 user=me", "none"),
            ("host=localhost hostaddr=::1 user=me", "none"),
            ("host=localhost hostaddr=203.0.113.7 user=me", "None None None"),
            ("host=db.example hostaddr=127.0.0.1 user=me", "None None None"),
            ("host=a,localhost hostaddr=127.0.0.1,203.0.113.7 user=me", "None None None"),
            ("hostaddr=203.0.113.7 user=me sslmode=disable", "none"),
        ] {
            assert_eq!(mode(text), expected, "{text}");
        }
    }

    #[test]
    fn the_rest_is_passed_on() {
        let target = parse(r"host=db.example port=6543 sslmode=verify-full user='o\'hara' password='a b\\c' dbname=iot").unwrap();
        let config = &target.configs[0];
        assert_eq!(config.get_user(), Some("o'hara"));
        assert_eq!(config.get_password(), Some(br"a b\c".as_slice()));
        assert_eq!(config.get_ports(), [6543]);
        assert_eq!(target.name, "db.example/iot");
        let target =
            parse("postgresql://me:p%40ss@db:1/x?sslmode=disable&connect_timeout=3").unwrap();
        let config = &target.configs[0];
        assert_eq!(config.get_password(), Some(b"p@ss".as_slice()));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }

    #[test]
    fn each_host_has_a_configuration() {
        let text = "host=a,/b,c hostaddr=127.0.0.1,127.0.0.1,127.0.0.1 port=1,2,3 user=me password=p dbname=iot options=x \
                    target_session_attrs=read-write sslmode=disable keepalives=0 channel_binding=disable";
        let target = parse(text).unwrap();
        assert_eq!(target.configs.len(), 3);
        for (config, (host, port)) in
            target.in_turn().into_iter().zip([("a", 1), ("/b", 2), ("c", 3)])
        {
            let mut expected: Config = text.replace("sslmode=disable", "").parse().unwrap();
            expected = without_hosts(&expected);
            expected
                .host(host)
                .hostaddr([127, 0, 0, 1].into())
                .port(port)
                .ssl_mode(SslMode::Disable);
            expected.connect_timeout(CONNECT_TIMEOUT).application_name("iotda-auth follow");
            expected.tcp_user_timeout(USER_TIMEOUT).keepalives_idle(Duration::from_secs(10));
            expected.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
            assert!(*config == expected, "{config:?} {expected:?}");
        }
        // Nothing is lost on the way.
        for text in
            ["port=7 user=me", "host=db user=me password=p options=x load_balance_hosts=random"]
        {
            let whole: Config = text.parse().unwrap();
            let mut rest = without_hosts(&whole);
            for _ in whole.get_hosts() {
                rest.host("db");
            }
            for port in whole.get_ports() {
                rest.port(*port);
            }
            assert!(rest == whole, "{rest:?}");
        }
        let random = parse("host=a,b load_balance_hosts=random sslmode=disable").unwrap();
        assert_eq!(random.in_turn().len(), 2);
        let error = parse("host=a,b port=1,2,3 user=me").map(|target| target.name).unwrap_err();
        assert!(error.contains("different numbers"), "{error}");
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
            "postgresql://u:pa@topsecret@db.example/iot",
            "postgresql://u:pa@topsecret/x@db.example/iot",
            "postgresql://u:pa@x/topsecret@db.example/iot",
            "postgresql://u:pa?a@x/topsecret@db.example/iot",
            "postgresql://u:pa@x?topsecret@db.example/iot",
            "postgresql://u:pa@x,topsecret@db.example/iot",
            "host='topsecret db' user=me",
            "hostaddr=203.0.113.7 user=me password=topsecret",
            "host=/run hostaddr=203.0.113.7 user=me password=topsecret",
            "host=/run sslmode=verify-full user=me password=topsecret",
        ] {
            let error = parse(text).map(|target| target.name).unwrap_err();
            assert!(error.contains("expected") && !error.contains("topsecret"), "{text}: {error}");
        }
    }
}
