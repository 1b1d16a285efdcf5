//! What do man pages and completions look like? Both are made from the definition of the command line.

mod examples;

use crate::{
    args, completion,
    secrets_file::VARIABLE,
    terminal::{self, Answer, Failure},
};
use clap_mangen::{
    Man,
    roff::{Roff, bold, italic, roman},
};
use std::io::{self, Write};

/// The page of the file's format, which has no definition to be made from.
const SECRETS_FILE: (&str, &str) = ("iotda.secrets", include_str!("manual/iotda.secrets.5"));

/// Prints a man page.
pub(crate) fn page(args: &args::Man) -> Result<Answer, Failure> {
    // The page of `help` would be of no help.
    let mut tool = args::definition().disable_help_subcommand(true);
    // This gives each command its full name.
    tool.build();
    match args.page.as_deref() {
        None => terminal::write(|out| write(&tool, true, out))?,
        Some(name) if name == SECRETS_FILE.0 => {
            terminal::write(|out| out.write_all(SECRETS_FILE.1.as_bytes()))?;
        }
        Some(name) => match tool.find_subcommand(name) {
            Some(command) => terminal::write(|out| write(command, false, out))?,
            None => {
                return Err(Failure::new(
                    "man: expected one of the commands or iotda.secrets, found something else",
                ));
            }
        },
    }
    Ok(Answer::Yes)
}

/// The names of all pages but the tool's, for completions.
pub(crate) fn pages() -> Vec<String> {
    let tool = args::definition();
    let commands = tool.get_subcommands().map(|command| command.get_name().to_owned());
    commands.chain([SECRETS_FILE.0.to_owned()]).collect()
}

/// Writes the page of a command, or of the tool itself.
fn write(command: &clap::Command, is_tool: bool, out: &mut impl Write) -> io::Result<()> {
    let name = command.get_name();
    let page = Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    let mut own = Roff::new();
    if is_tool {
        page.render_subcommands_section(out)?;
    } else if command.get_after_help().is_some() {
        let mut notes = Vec::new();
        page.render_extra_section(&mut notes)?;
        out.write_all(
            String::from_utf8_lossy(&notes).replace(".SH EXTRA", ".SH NOTES").as_bytes(),
        )?;
    }
    environment(&mut own);
    exit_status(&mut own);
    show_examples(&mut own, examples::of(name));
    see_also(&mut own, is_tool);
    own.to_writer(out)?;
    if is_tool { page.render_version_section(out) } else { Ok(()) }
}

fn environment(page: &mut Roff) {
    page.control("SH", ["ENVIRONMENT"]);
    page.control("TP", []);
    page.text([bold(VARIABLE)]);
    page.text([roman("The secrets file, where a command takes one and none is given.")]);
}

fn exit_status(page: &mut Roff) {
    page.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in args::EXIT_STATUS {
        page.control("TP", []);
        page.text([bold(status)]);
        page.text([roman(meaning)]);
    }
}

fn show_examples(page: &mut Roff, examples: &[examples::Example]) {
    page.control("SH", ["EXAMPLES"]);
    for (purpose, lines) in examples {
        page.control("PP", []);
        if !purpose.is_empty() {
            page.text([roman(format!("{purpose}:"))]);
            page.control("PP", []);
        }
        page.control("RS", []);
        page.control("nf", []);
        for line in lines.lines() {
            page.text([roman(line)]);
        }
        page.control("fi", []);
        page.control("RE", []);
    }
}

fn see_also(page: &mut Roff, is_tool: bool) {
    page.control("SH", ["SEE ALSO"]);
    let pages =
        [("iotda-auth", "1"), (SECRETS_FILE.0, "5"), ("mosquitto.conf", "5"), ("mosquitto", "8")];
    let mut words = Vec::new();
    for (name, section) in pages.into_iter().skip(usize::from(is_tool)) {
        let comma = if words.is_empty() { "" } else { ", " };
        words.extend([roman(comma), italic(name), roman(format!("({section})"))]);
    }
    page.text(words);
}

/// Prints the script that completes command lines in a shell.
pub(crate) fn completions(args: &args::Completions) -> Result<Answer, Failure> {
    terminal::write(|out| completion::write_script(args.shell, out))?;
    Ok(Answer::Yes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_examples_and_all_of_them_can_be_parsed() {
        let tool = args::definition();
        let names: Vec<_> = tool.get_subcommands().map(clap::Command::get_name).collect();
        for name in names.iter().chain([&"iotda-auth"]) {
            assert!(!examples::of(name).is_empty(), "{name}");
        }
        for (name, examples) in examples::EXAMPLES {
            assert!(names.contains(name) || *name == "iotda-auth", "{name}");
            for (_, lines) in *examples {
                for line in lines.lines() {
                    check(line);
                }
            }
        }
    }

    /// A line of an example is a command line of the tool, up to what is the shell's.
    fn check(line: &str) {
        let Some(at) = line.find("iotda-auth ") else {
            return assert!(line.starts_with("export "));
        };
        let end = [" | ", " && ", " >", ")\"", ")"].iter().filter_map(|end| line.find(end)).min();
        // A substitution in an argument is an argument.
        let line = match line.find("\"$(openssl") {
            Some(at) => format!("{}fingerprint", line.get(..at).unwrap()),
            None => line.get(at..end.unwrap_or(line.len())).unwrap().to_owned(),
        };
        let mut quoted = false;
        let words = line.split(|char| {
            quoted ^= char == '\'';
            char == ' ' && !quoted
        });
        let parsed = args::definition().try_get_matches_from(words);
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}
