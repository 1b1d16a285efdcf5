//! What is said where, and with which exit status?
//!
//! Results go to standard output, everything else to standard error, one line each, behind the name of the tool. Neither
//! stops the tool when nobody reads it any more.

use std::{
    fmt,
    io::{self, BufWriter, ErrorKind, StdoutLock, Write},
    process::ExitCode,
};

/// The answer of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit status 0.
    Yes,
    /// Exit status 1.
    No,
}

/// Why there is no answer, in one line: wrong usage, or a file that cannot be read. Exit status 2.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with its reason, which must not hold a secret.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Ends the tool.
pub(crate) fn exit_code(answer: Result<Answer, Failure>) -> ExitCode {
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            say(format_args!("{failure}"));
            ExitCode::from(2)
        }
    }
}

/// Says something on standard error.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    // Where even this cannot be written there is nobody left to tell.
    let _ = writeln!(io::stderr(), "iotda-auth: {text}");
}

/// Writes a result to standard output, to the end.
pub(crate) fn write(result: impl FnOnce(&mut Output) -> io::Result<()>) -> Result<(), Failure> {
    let mut output = BufWriter::new(Stdout(io::stdout().lock()));
    result(&mut output)
        .and_then(|()| output.flush())
        .map_err(|error| Failure::new(format!("standard output: cannot be written: {error}")))
}

/// Standard output.
pub(crate) type Output = BufWriter<Stdout>;

/// Standard output, which takes everything when its reader is gone: `iotda-auth … | head -1` is no error, and the exit
/// status is still the answer.
#[derive(Debug)]
pub(crate) struct Stdout(StdoutLock<'static>);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_unread(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_unread(self.0.flush(), ())
    }
}

fn unless_unread<T>(result: io::Result<T>, otherwise: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(otherwise),
        result => result,
    }
}
