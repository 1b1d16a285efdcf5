//! Where does a secret come from, and where is it shown? It comes from a secrets file, standard input, a prompt or the
//! system's randomness; never from the command line or the environment, which other users of the machine may see.

use crate::{
    args::NewSecret,
    editing, secrets_file,
    terminal::{Failure, say, shown},
};
use iotda_core::registry::{Cancel, Table, line};
use iotda_files::{Exposure, Warning, load};
use std::{
    fs::File,
    io::{self, ErrorKind, IsTerminal, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};
use zeroize::Zeroizing;

/// The longest line of standard input in bytes: what MQTT allows for a password.
const MAX_INPUT: usize = 65_535;

/// The devices of a secrets file without errors.
pub(crate) fn table(file: &Path) -> Result<Table, Failure> {
    // `check` reports the wrong lines.
    let loaded = load(file, 0, Cancel::NEVER)
        .map_err(|error| secrets_file::unusable(file, &error, secrets_file::check_hint(&error)))?;
    warn_of_others(file, &loaded.exposure);
    Ok(loaded.table)
}

/// Standard input, which may hold secrets, without std's buffer, which is never wiped.
pub(crate) fn input() -> io::Result<File> {
    unbuffered(io::stdin().as_fd())
}

/// All of an input of about this size, in bytes. Each buffer that gets too small is wiped.
pub(crate) fn to_end(input: &mut impl Read, expected: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(vec![0; expected.max(1 << 16).saturating_add(1)]);
    let mut length = 0;
    loop {
        if length == content.len() {
            let mut larger = Zeroizing::new(vec![0; length.saturating_mul(2)]);
            if let Some(room) = larger.get_mut(..length) {
                room.copy_from_slice(&content);
            }
            content = larger;
        }
        match input.read(content.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(length);
    Ok(content)
}

/// Warns of users who may read or change the secrets. The broker's user is not known here.
pub(crate) fn warn_of_others(file: &Path, exposure: &Exposure) {
    warn(file, &exposure.warnings(None));
}

/// Says what should be fixed about a file.
pub(crate) fn warn(file: &Path, warnings: &[Warning]) {
    for warning in warnings {
        say(format_args!("warning: {}: {warning}", shown(file)));
    }
}

/// The secret of a device, from standard input if that was asked for, or else from a prompt at the terminal.
pub(crate) fn given(device_id: &str, from_stdin: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let secret = if from_stdin {
        stdin_line()?
    } else if io::stdin().is_terminal() {
        ask(device_id)?
    } else {
        let expected = "expected --secrets-file FILE, --secret-stdin or a terminal to ask at";
        return Err(Failure::new(format!("secret: {expected}, found none of them")));
    };
    checked(secret)
}

fn checked(secret: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match line::check_secret(&secret) {
        Ok(()) => Ok(secret),
        Err(fault) => Err(Failure::new(fault.to_string())),
    }
}

/// A secret that a device is to have.
pub(crate) struct New {
    /// The secret: 8 to 32 characters.
    pub(crate) secret: Zeroizing<Vec<u8>>,
    /// Whether it was generated here, so that nobody knows it yet.
    pub(crate) is_made: bool,
}

/// The new secret of a device: given by the user, or generated.
pub(crate) fn new(device_id: &str, from: NewSecret) -> Result<New, Failure> {
    let is_made = !from.secret_stdin && !from.secret_prompt;
    let secret = if is_made {
        make()?
    } else if from.secret_stdin {
        checked(stdin_line()?)?
    } else {
        ask_twice(device_id)?
    };
    Ok(New { secret, is_made })
}

/// A new secret of the greatest length: 128 random bits.
fn make() -> Result<Zeroizing<Vec<u8>>, Failure> {
    match editing::random_hex::<32>() {
        Ok(digits) => Ok(Zeroizing::new(digits.to_vec())),
        Err(error) => Err(Failure::new(format!("random numbers: cannot be had: {error}"))),
    }
}

/// Shows a secret on standard output. A closed output is an error here: the secret cannot be shown again.
pub(crate) fn show(secret: &[u8]) -> io::Result<()> {
    // In one write, and not through std's buffer, which is never wiped.
    let mut line = Zeroizing::new(Vec::with_capacity(secret.len() + 1));
    line.extend_from_slice(secret);
    line.push(b'\n');
    unbuffered(io::stdout().as_fd())?.write_all(&line)
}

fn unbuffered(stream: BorrowedFd<'_>) -> io::Result<File> {
    stream.try_clone_to_owned().map(File::from)
}

/// Asks for a new secret twice: it is not shown, and a mistyped one would keep the device out.
fn ask_twice(device_id: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let secret = checked(ask(device_id)?)?;
    let again = prompt("The same again: ")?;
    if secret == again { Ok(secret) } else { Err(Failure::new("secret: the two are not the same")) }
}

fn ask(device_id: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    prompt(&format!("Secret of {device_id}: "))
}

fn prompt(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    rpassword::prompt_password(text)
        .map(|secret| Zeroizing::new(secret.into_bytes()))
        .map_err(|error| Failure::new(format!("terminal: cannot be read: {error}")))
}

/// The first line of standard input, without its end.
pub(crate) fn stdin_line() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let cannot = |error| Failure::new(format!("standard input: cannot be read: {error}"));
    // Not through std's buffer, which is never wiped.
    let mut input = unbuffered(io::stdin().as_fd()).map_err(cannot)?;
    first_line(&mut input).map_err(cannot)?.ok_or_else(|| {
        let expected = format!("expected a line of at most {MAX_INPUT} bytes, found more");
        Failure::new(format!("standard input: {expected}"))
    })
}

/// The first line of an input, without its `\n` or `\r\n`; `None` if it is too long.
fn first_line(input: &mut impl Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // Has its full size from the start: a vector that grows leaves copies behind. Two bytes are for the line's end.
    let mut buffer = Zeroizing::new(vec![0; MAX_INPUT + 2]);
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        let read = match input.read(room) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = room.iter().take(read).position(|byte| *byte == b'\n');
        length += end.unwrap_or(read);
        if end.is_some() || read == 0 {
            break;
        }
    }
    buffer.truncate(length);
    if buffer.last() == Some(&b'\r') {
        buffer.pop();
    }
    Ok((buffer.len() <= MAX_INPUT).then_some(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(input: &[u8]) -> Option<Vec<u8>> {
        first_line(&mut &*input).unwrap().map(|line| line.to_vec())
    }

    #[test]
    fn reads_one_line_without_its_end() {
        for (input, line) in [
            ("", ""),
            ("\n", ""),
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\r", "secret"),
            ("secret\r\r\n", "secret\r"),
            (" secret \nnext\n", " secret "),
            ("\nsecret\n", ""),
        ] {
            assert_eq!(line_of(input.as_bytes()).as_deref(), Some(line.as_bytes()), "{input:?}");
        }
    }

    #[test]
    fn reads_a_line_that_comes_in_pieces() {
        let mut pieces = b"12".chain(&b"345"[..]).chain(&b"678\r"[..]).chain(&b"\n9"[..]);
        assert_eq!(first_line(&mut pieces).unwrap().unwrap().as_slice(), b"12345678");
    }

    #[test]
    fn reads_all_of_an_input_of_any_length() {
        for length in [0, 1, 1 << 16, (1 << 16) + 1, 1_000_000] {
            let input = vec![b'x'; length];
            assert_eq!(*to_end(&mut &*input, 0).unwrap(), input);
            assert_eq!(*to_end(&mut &*input, length).unwrap(), input);
        }
    }

    #[test]
    fn a_line_has_a_longest_length() {
        for end in ["", "\n", "\r\n"] {
            let input = |length| format!("{}{end}", "x".repeat(length)).into_bytes();
            assert_eq!(line_of(&input(MAX_INPUT)).map(|line| line.len()), Some(MAX_INPUT));
            assert_eq!(line_of(&input(MAX_INPUT + 1)), None);
            assert_eq!(line_of(&input(2 * MAX_INPUT)), None);
        }
    }
}
