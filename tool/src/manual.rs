//! What do man pages and completions look like? Both are made from the definition of the command line.

use crate::{
    args, completion,
    terminal::{self, Answer, Failure},
};
use clap_mangen::Man;

/// Prints a man page.
pub(crate) fn page(args: &args::Man) -> Result<Answer, Failure> {
    let mut tool = args::definition();
    // This gives each command its full name.
    tool.build();
    let command = match &args.command {
        None => tool,
        Some(name) => match tool.find_subcommand(name) {
            Some(command) => command.clone(),
            None => {
                return Err(Failure::new(
                    "man: expected one of the commands, found something else",
                ));
            }
        },
    };
    terminal::write(|out| Man::new(command).render(out))?;
    Ok(Answer::Yes)
}

/// Prints the script that completes command lines in a shell.
pub(crate) fn completions(args: &args::Completions) -> Result<Answer, Failure> {
    terminal::write(|out| completion::write_script(args.shell, out))?;
    Ok(Answer::Yes)
}
