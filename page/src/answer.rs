//! Which rows answer a request?
//!
//! The fields of a request are separated by NUL. An answer has a row on each line, and tabs between its cells; the first cell
//! says what the row is, as page.js reads it.

use crate::{explain, make};
use std::fmt::{self, Display, Write};

/// The language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English: the words of the tool and of the log.
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

impl Language {
    /// One of two texts.
    #[must_use]
    pub fn of<T>(self, english: T, chinese: T) -> T {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

/// The rows of an answer.
#[derive(Debug, Default)]
pub struct Rows(String);

impl Rows {
    /// Adds a row. A cell loses what would end it.
    pub fn add(&mut self, cells: &[&dyn Display]) {
        for (n, cell) in cells.iter().enumerate() {
            if n > 0 {
                self.0.push('\t');
            }
            // Writing to a String does not fail.
            let _ = write!(OneCell(&mut self.0), "{cell}");
        }
        self.0.push('\n');
    }

    /// Adds a row whose last cell is a text of several lines, as a JavaScript string.
    pub fn add_text(&mut self, cells: &[&dyn Display], text: &str) {
        let quoted = quoted(text);
        let mut cells = cells.to_vec();
        cells.push(&quoted);
        self.add(&cells);
    }
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => {
                json.push('\\');
                json.push(char);
            }
            '\n' => json.push_str("\\n"),
            char if char < ' ' => {
                let _ = write!(json, "\\u{:04x}", u32::from(char));
            }
            char => json.push(char),
        }
    }
    json.push('"');
    json
}

/// Keeps a text from ending its cell.
struct OneCell<'a>(&'a mut String);

impl Write for OneCell<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0
            .extend(text.chars().map(|char| if matches!(char, '\t' | '\n') { ' ' } else { char }));
        Ok(())
    }
}

/// The rows that answer a request.
#[must_use]
pub fn answer(request: &str) -> String {
    let mut rows = Rows::default();
    let fields: Vec<&str> = request.split('\0').collect();
    let language = |name| if name == "zh" { Language::Chinese } else { Language::English };
    match fields.as_slice() {
        ["make", name, device_id, secret, sign_type, stamp, host] => {
            make::answer(
                &mut rows,
                language(*name),
                &make::Wish { device_id, secret, sign_type, stamp, host },
            );
        }
        ["explain", name, now, client_id, username, password, secret, keep_alive, options] => {
            let login =
                explain::Login { now, client_id, username, password, secret, keep_alive, options };
            explain::of_login(&mut rows, language(*name), &login);
        }
        ["line", name, line] => explain::of_line(&mut rows, language(*name), line),
        // page.js sends nothing else.
        _ => rows.add(&[&"error", &"unknown request"]),
    }
    rows.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_ends_its_row() {
        let mut rows = Rows::default();
        rows.add(&[&"a\tb", &"c\nd"]);
        rows.add_text(&[&"code"], "x \"y\" \\ \u{1}\n");
        assert_eq!(rows.0, "a b\tc d\ncode\t\"x \\\"y\\\" \\\\ \\u0001\\n\"\n");
    }

    #[test]
    fn an_unknown_request_is_an_error() {
        assert!(answer("frobnicate").starts_with("error\t"));
        assert!(answer("").starts_with("error\t"));
    }
}
