//! How is a text from elsewhere shown to people?

use std::fmt::{self, Write};

/// A text from elsewhere. Control sequences and invisible characters are escaped; quotes stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct Harmless<T>(pub T);

impl<T: AsRef<str>> fmt::Display for Harmless<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().chars().try_for_each(|char| match char {
            '"' | '\'' | '\\' => f.write_char(char),
            char => char.escape_debug().fmt(f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_a_terminal_no_more() {
        let shown = Harmless("a \"b\" 'c' \\ \n\x1b[31m\u{202e} 设备").to_string();
        assert_eq!(shown, "a \"b\" 'c' \\ \\n\\u{1b}[31m\\u{202e} 设备");
    }
}
