//! Where is the web page?

use crate::{
    args,
    terminal::{self, Answer, Failure, shown},
};
use std::{env, io::Write, path::PathBuf, process::Command};

/// Where packages have it, from the folder of the tool.
const PACKAGED: &str = "../share/doc/mosquitto-iotda-auth/iotda-auth.html";
/// Where `./dev page` leaves it, from the folder of a tool that cargo built.
const BUILT: &str = "../page/iotda-auth.html";

/// Prints where the page is, or opens it.
pub(crate) fn run(args: &args::Page) -> Result<Answer, Failure> {
    let page = find()?;
    if !args.open {
        terminal::write(|out| writeln!(out, "{}", shown(&page)))?;
        return Ok(Answer::Yes);
    }
    let status = Command::new("xdg-open").arg(&page).status();
    if status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Ok(Answer::Yes);
    }
    let why = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    Err(Failure::new(format!("xdg-open: {why}: open {} in a browser yourself", shown(&page))))
}

fn find() -> Result<PathBuf, Failure> {
    let tool = env::current_exe().and_then(|path| path.canonicalize());
    let tool =
        tool.map_err(|error| Failure::new(format!("the tool does not find itself: {error}")))?;
    let beside = |path| tool.parent().map(|folder| folder.join(path));
    let pages = [PACKAGED, BUILT].into_iter().filter_map(beside);
    let found = pages.clone().find_map(|page| page.canonicalize().ok());
    found.ok_or_else(|| {
        let expected: Vec<String> = pages.map(|page| shown(&page).to_string()).collect();
        let expected = expected.join(" or ");
        Failure::new(format!(
            "no page: expected {expected}; a package has it, and ./dev page makes it"
        ))
    })
}
