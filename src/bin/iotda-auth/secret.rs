//! Where does a secret come from? A secrets file, standard input or a prompt; never the command line or the environment,
//! which other users of the machine may see.

use crate::terminal::{Failure, say};
use mosquitto_iotda_auth::registry::{self, Cancel, Table, line};
use std::{
    fs::File,
    io::{self, ErrorKind, IsTerminal, Read},
    os::fd::AsFd,
    path::Path,
};
use zeroize::Zeroizing;

/// The longest line that standard input may have: what MQTT allows for a password.
const MAX_INPUT: usize = 65_535;

/// The devices of a secrets file that is in order.
pub(crate) fn table(file: &Path) -> Result<Table, Failure> {
    // The wrong lines are told by `check`.
    let loaded = registry::load(file, 0, Cancel::NEVER).map_err(|error| {
        let hint = match &error {
            registry::LoadError::Lines(_) => " (iotda-auth check tells which)",
            _ => "",
        };
        Failure::new(format!("{}: {error}{hint}", file.display()))
    })?;
    warn_if_world_readable(file, loaded.world_readable);
    Ok(loaded.table)
}

/// Warns of secrets that everybody may read.
pub(crate) fn warn_if_world_readable(file: &Path, world_readable: bool) {
    if world_readable {
        let file = file.display();
        say(format_args!("warning: {file}: can be read by every user of this machine (chmod o-r)"));
    }
}

/// The secret of a device, from standard input where that is asked for, or else from whoever sits at the terminal.
pub(crate) fn given(device_id: &str, from_stdin: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let secret = if from_stdin {
        stdin_line()?
    } else if io::stdin().is_terminal() {
        ask(device_id)?
    } else {
        let expected = "expected --secrets-file FILE, --secret-stdin or a terminal to ask at";
        return Err(Failure::new(format!("secret: {expected}, found none of them")));
    };
    match line::check_secret(&secret) {
        Ok(()) => Ok(secret),
        Err(fault) => Err(Failure::new(fault.to_string())),
    }
}

fn ask(device_id: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    rpassword::prompt_password(format!("Secret of {device_id}: "))
        .map(|secret| Zeroizing::new(secret.into_bytes()))
        .map_err(|error| Failure::new(format!("terminal: cannot be read: {error}")))
}

/// The first line of standard input, without its end.
pub(crate) fn stdin_line() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let cannot = |error| Failure::new(format!("standard input: cannot be read: {error}"));
    // Past std's own buffer, which is never wiped.
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(cannot)?;
    first_line(&mut File::from(input)).map_err(cannot)?.ok_or_else(|| {
        let expected = format!("expected a line of at most {MAX_INPUT} bytes, found more");
        Failure::new(format!("standard input: {expected}"))
    })
}

/// The first line of an input, without its `\n` or `\r\n`; `None` if it is too long.
fn first_line(input: &mut impl Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // Of its full size from the start: a vector that grows leaves copies behind. Two bytes are for the end.
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
    fn a_line_has_a_longest_length() {
        for end in ["", "\n", "\r\n"] {
            let input = |length| format!("{}{end}", "x".repeat(length)).into_bytes();
            assert_eq!(line_of(&input(MAX_INPUT)).map(|line| line.len()), Some(MAX_INPUT));
            assert_eq!(line_of(&input(MAX_INPUT + 1)), None);
            assert_eq!(line_of(&input(2 * MAX_INPUT)), None);
        }
    }
}
