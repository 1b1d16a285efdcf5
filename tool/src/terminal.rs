//! What is said where, and with which exit status?
//!
//! Results go to standard output, everything else to standard error, one line each, behind the name of the tool. Neither
//! stops the tool when nobody reads it any more.

use std::{
    fmt::{self, Write as _},
    io::{self, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
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

/// A path as it is shown: a file's name may hold what a terminal obeys.
pub(crate) fn shown(path: &Path) -> impl fmt::Display + '_ {
    Harmless(path.to_string_lossy())
}

/// A text of somebody else's, in which what a terminal obeys, or does not show, is escaped; quotes stay as they are.
pub(crate) struct Harmless<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for Harmless<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().chars().try_for_each(|char| match char {
            '"' | '\'' | '\\' => f.write_char(char),
            char => char.escape_debug().fmt(f),
        })
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

/// Writes many lines to standard error at once.
pub(crate) fn write_errors(
    errors: impl FnOnce(&mut BufWriter<io::StderrLock<'static>>) -> io::Result<()>,
) {
    let mut output = BufWriter::new(io::stderr().lock());
    // As in `say`: there is nobody left to tell.
    let _ = errors(&mut output).and_then(|()| output.flush());
}

/// How far a long work has come, on standard error, if that is a terminal. The line goes with the value.
pub(crate) struct Progress {
    is_terminal: bool,
    is_shown: bool,
    lines: u64,
    next: Instant,
}

impl Progress {
    const PAUSE: Duration = Duration::from_millis(200);
    /// Fewer lines are done with at once.
    const MANY_LINES: u64 = 100_000;

    /// Work that begins now.
    pub(crate) fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { is_terminal, is_shown: false, lines: 0, next: Instant::now() + Self::PAUSE }
    }

    /// So many lines are read.
    pub(crate) fn lines(&mut self, lines: u64) {
        self.lines = lines;
        // The clock is not looked at each time.
        if lines % 1024 == 0 && Instant::now() >= self.next {
            self.next = Instant::now() + Self::PAUSE;
            self.show(format_args!("{lines} lines read"));
        }
    }

    /// Something begins that takes long if there are many lines.
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
