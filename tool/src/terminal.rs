//! What is printed where, and with which exit status?
//!
//! Results go to standard output. Everything else goes to standard error, one line each, after the name of the tool. The
//! tool goes on if nobody reads them any more.

pub(crate) use iotda_core::harmless::Harmless;

use std::{
    fmt,
    io::{self, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

/// The answer of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The answer is yes: exit status 0.
    Yes,
    /// The answer is no: exit status 1.
    No,
}

/// Why a command ends before its end, in one line: mostly there is no answer because of wrong usage or a file that cannot be
/// read, and the exit status is 2.
#[derive(Debug)]
pub(crate) struct Failure {
    reason: String,
    status: u8,
}

impl Failure {
    /// No answer, with the reason, which must not hold a secret.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), status: 2 }
    }

    /// The answer is no, with the reason: exit status 1. What was given could be read, and is not as it would have to be.
    pub(crate) fn no(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), status: 1 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Ends the tool.
pub(crate) fn exit_code(answer: Result<Answer, Failure>) -> ExitCode {
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            say(format_args!("{failure}"));
            ExitCode::from(failure.status)
        }
    }
}

/// A path for output: a file's name may hold control sequences for the terminal.
pub(crate) fn shown(path: &Path) -> impl fmt::Display + '_ {
    Harmless(path.to_string_lossy())
}

/// Prints a line on standard error.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    // If even this cannot be written, there is nobody to tell.
    let _ = writeln!(io::stderr(), "iotda-auth: {text}");
}

/// Writes a result to standard output, to the end.
pub(crate) fn write(result: impl FnOnce(&mut Output) -> io::Result<()>) -> Result<(), Failure> {
    let mut output = BufWriter::new(Stdout(io::stdout().lock()));
    result(&mut output)
        .and_then(|()| output.flush())
        .map_err(|error| Failure::new(format!("standard output: cannot be written: {error}")))
}

/// Writes many lines to standard error at once.
pub(crate) fn write_errors(
    errors: impl FnOnce(&mut BufWriter<io::StderrLock<'static>>) -> io::Result<()>,
) {
    let mut output = BufWriter::new(io::stderr().lock());
    // As in `say`: if it cannot be written, there is nobody to tell.
    let _ = errors(&mut output).and_then(|()| output.flush());
}

/// The progress of long work, on standard error, if that is a terminal. Dropping it clears the line.
pub(crate) struct Progress {
    is_terminal: bool,
    is_shown: bool,
    lines: u64,
    next: Instant,
}

impl Progress {
    const PAUSE: Duration = Duration::from_millis(200);
    /// Fewer lines take no time worth showing.
    const MANY_LINES: u64 = 100_000;

    /// Starts to show work that begins now.
    pub(crate) fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { is_terminal, is_shown: false, lines: 0, next: Instant::now() + Self::PAUSE }
    }

    /// This number of lines has been read.
    pub(crate) fn lines(&mut self, lines: u64) {
        self.lines = lines;
        // Reading the clock for each line would take too long.
        if lines % 1024 == 0 && Instant::now() >= self.next {
            self.next = Instant::now() + Self::PAUSE;
            self.show(format_args!("{lines} lines read"));
        }
    }

    /// A part begins that takes long if there are many lines.
    pub(crate) fn step(&mut self, what: &str) {
        let lines = self.lines;
        if lines >= Self::MANY_LINES {
            self.show(format_args!("{lines} lines read, {what}"));
        }
    }

    fn show(&mut self, text: fmt::Arguments<'_>) {
        if self.is_terminal {
            self.is_shown = true;
            let _ = write!(io::stderr(), "\r\x1b[Kiotda-auth: {text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Standard output.
pub(crate) type Output = BufWriter<Stdout>;

/// Standard output, which ignores a reader that is gone: `iotda-auth … | head -1` is not an error, and the exit status is
/// still the answer.
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
