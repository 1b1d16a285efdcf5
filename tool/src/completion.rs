//! What can come next on a command line that is being typed?
//!
//! A shell's script asks the tool itself, with [`VARIABLE`] in the environment and the words behind `--`. So the script knows
//! nothing of the verbs, and device ids can be completed. The answer has device ids and names of files, and never a secret.

use crate::{args, secret, secrets_file};
use clap_complete::{
    CompleteEnv, CompletionCandidate, PathCompleter, Shell, engine::ValueCompleter, env::Shells,
};
use iotda_core::registry::line;
use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Which shell asks. Not `COMPLETE`, as is usual: another program's value must not make this tool silent.
const VARIABLE: &str = "IOTDA_AUTH_COMPLETE";
const TOOL: &str = "iotda-auth";
/// A larger file is not searched, in bytes: completing must not take long.
const MAX_FILE: u64 = 1 << 28;
/// How many device ids are offered at most; bash asks before it lists more.
const MAX_DEVICES: usize = 100;

/// Answers a shell; `None` if none has asked. An answer that is not possible is none, and says nothing: it would stand in the
/// middle of the line that is being typed.
pub(crate) fn answer() -> Option<bool> {
    let folder = env::current_dir().ok();
    CompleteEnv::with_factory(args::definition)
        .var(VARIABLE)
        .bin(TOOL)
        .completer(TOOL)
        .try_complete(env::args_os(), folder.as_deref())
        .map_or(Some(false), |answered| answered.then_some(true))
}

/// Writes the script that asks the tool for completions.
///
/// # Errors
///
/// The error of `out`.
pub(crate) fn write_script(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let script =
        shells.completer(&name).ok_or_else(|| io::Error::other("there is no script for it"))?;
    script.write_registration(VARIABLE, TOOL, TOOL, TOOL, out)?;
    if shell == Shell::Zsh {
        // zsh runs a file of its $fpath at the first completion, which would be lost without this.
        out.write_all(
            b"\nif [[ ${funcstack[1]} == _iotda-auth ]]; then\n    _clap_dynamic_completer_iotda_auth \"$@\"\nfi\n",
        )?;
    }
    Ok(())
}

/// Completes `[FILE]` before a device id: it may be left out, and then the device id comes first.
pub(crate) fn file_or_device(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut candidates = match secrets_file::by_environment() {
        Some(file) if !is_new(&words()) => device_ids(&file, current),
        _ => Vec::new(),
    };
    candidates.extend(files(current));
    candidates
}

/// Completes a device id of the file on the line, or else of the one in the environment.
pub(crate) fn device(current: &OsStr) -> Vec<CompletionCandidate> {
    let words = words();
    let file = file_of(&words).or_else(secrets_file::by_environment);
    file.filter(|_| !is_new(&words)).map(|file| device_ids(&file, current)).unwrap_or_default()
}

/// Completes what comes behind a name that may be a file or a device id: a device id, or a certificate.
pub(crate) fn device_or_certificate(current: &OsStr) -> Vec<CompletionCandidate> {
    match file_of(&words()) {
        Some(file) if file.is_file() => device_ids(&file, current),
        _ => files(current),
    }
}

fn files(current: &OsStr) -> Vec<CompletionCandidate> {
    PathCompleter::file().complete(current)
}

/// The words of the line that is being typed, after the tool's own name.
fn words() -> Vec<OsString> {
    env::args_os().skip_while(|word| word != "--").skip(2).collect()
}

/// Whether the device is a new one, whose id no file has.
fn is_new(words: &[OsString]) -> bool {
    words.iter().find(|word| !word.as_bytes().starts_with(b"-")).is_some_and(|verb| verb == "add")
}

/// The secrets file on a line: the value of `--secrets-file`, or the first name behind the verb if the verb takes a file
/// there.
fn file_of(words: &[OsString]) -> Option<PathBuf> {
    let tool = args::definition();
    let mut words = words.iter().map(OsString::as_os_str);
    let verb = tool.find_subcommand(words.next()?)?;
    let takes_a_value = |long: &OsStr| {
        verb.get_arguments().any(|argument| {
            argument.get_long().is_some_and(|its| long == its)
                && argument.get_action().takes_values()
        })
    };
    let mut first = None;
    while let Some(word) = words.next() {
        let Some(long) = word.as_bytes().strip_prefix(b"--") else {
            first = first.or_else(|| Some(word).filter(|word| !word.as_bytes().starts_with(b"-")));
            continue;
        };
        if let Some(value) = long.strip_prefix(b"secrets-file=") {
            return Some(at_home(OsStr::from_bytes(value)));
        }
        let value = takes_a_value(OsStr::from_bytes(long)).then(|| words.next()).flatten();
        if long == b"secrets-file" {
            return value.map(at_home);
        }
    }
    let is_file_first = verb.get_positionals().next().is_some_and(|argument| {
        argument.get_value_names().is_some_and(|names| names.iter().any(|name| name == "FILE"))
    });
    first.filter(|_| is_file_first).map(at_home)
}

/// A path as the shell would take it: the shell has not replaced `~/` yet.
fn at_home(path: &OsStr) -> PathBuf {
    let path = Path::new(path);
    match (path.strip_prefix("~"), env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_path_buf(),
    }
}

/// The device ids of a file that begin with a text. Of many, the first ones in the order of the alphabet and the last one: what
/// all of them begin with is what those have in common, so a shell can still complete that far.
fn device_ids(file: &Path, current: &OsStr) -> Vec<CompletionCandidate> {
    let Ok((mut file, metadata)) = iotda_files::open(file) else { return Vec::new() };
    let size = match usize::try_from(metadata.len()) {
        Ok(size) if metadata.len() <= MAX_FILE => size,
        _ => return Vec::new(),
    };
    let Ok(content) = secret::to_end(&mut io::Read::take(&mut file, MAX_FILE), size) else {
        return Vec::new();
    };
    let found = some_ids(&content, current.as_bytes());
    found.into_iter().map(|id| CompletionCandidate::new(OsStr::from_bytes(id))).collect()
}

fn some_ids<'a>(content: &'a [u8], beginning: &[u8]) -> BTreeSet<&'a [u8]> {
    let content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
    let mut first = BTreeSet::new();
    let mut last: Option<&[u8]> = None;
    let mut rest = content;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        // A line without a colon may be a secret alone.
        let Some(id) = memchr::memchr(b':', line).and_then(|end| line.get(..end)) else { continue };
        if !id.starts_with(beginning) || !line::is_device_id(id) {
            continue;
        }
        last = last.max(Some(id));
        if first.len() < MAX_DEVICES - 1 {
            first.insert(id);
        } else if first.last().is_some_and(|greatest| id < *greatest) && first.insert(id) {
            first.pop_last();
        }
    }
    first.extend(last);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(content: &str, beginning: &str) -> Vec<String> {
        let ids = some_ids(content.as_bytes(), beginning.as_bytes());
        ids.into_iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect()
    }

    #[test]
    fn device_ids_and_nothing_else_are_found() {
        let file = "\u{feff}lamp-1:12345678\r\n# lamp-2:12345678\n\nlamp-3:x509=00:frozen\nlamp-secret\nlam\u{e4}:12345678\n\
                    door:12345678\nlamp-4:12345678";
        assert_eq!(ids(file, ""), ["door", "lamp-1", "lamp-3", "lamp-4"]);
        assert_eq!(ids(file, "lamp-"), ["lamp-1", "lamp-3", "lamp-4"]);
        assert_eq!(ids(file, "lamp-4"), ["lamp-4"]);
        for none in ["x", "lamp-4:", "lamp-4:1", "#", "lamp-s", "lam\u{e4}"] {
            assert_eq!(ids(file, none), [""; 0], "{none}");
        }
        assert_eq!(ids("", ""), [""; 0]);
    }

    #[test]
    fn of_many_those_are_offered_that_show_what_all_have_in_common() {
        let line = |number: usize| format!("d{:05}:12345678\n", number * 7919 % 100_000);
        let file: String = (0..100_000).map(line).collect();
        let found = ids(&file, "");
        assert_eq!(found.len(), MAX_DEVICES);
        assert_eq!((found[0].as_str(), found[98].as_str()), ("d00000", "d00098"));
        assert_eq!(found[99], "d99999");
        let found = ids(&file, "d12");
        assert_eq!((found.len(), found[99].as_str()), (MAX_DEVICES, "d12999"));
        // Exactly as many as are offered.
        let found = ids(&file, "d123");
        assert_eq!(
            (found.len(), found[98].as_str(), found[99].as_str()),
            (100, "d12398", "d12399")
        );
        assert_eq!(ids(&file, "d1234").len(), 10);
    }

    #[test]
    fn the_file_of_a_line_is_found() {
        let file = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            file_of(&words).map(|file| file.to_string_lossy().into_owned())
        };
        for (line, expected) in [
            ("freeze a.secrets la", Some("a.secrets")),
            ("freeze --quiet a.secrets la", Some("a.secrets")),
            ("set-certificate --secondary a.secrets la", Some("a.secrets")),
            ("add --x509 cert.pem a.secrets la", Some("a.secrets")),
            ("connect-params --secrets-file a.secrets la", Some("a.secrets")),
            ("connect-params --secrets-file=a.secrets la", Some("a.secrets")),
            ("connect-params --sign-type 1 la --secrets-file a.secrets", Some("a.secrets")),
            ("connect-params la", None),
            ("connect-params la --secrets-file", None),
            ("man freeze", None),
            ("unknown a.secrets", None),
            ("", None),
        ] {
            assert_eq!(file(line).as_deref(), expected, "{line}");
        }
        assert_eq!(file_of(&[]), None);
    }
}
