//! `iotda-auth`: makes and checks credentials of IoTDA devices without a broker.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`args`] | what was asked? The single definition of the command line |
//! | [`connect_params`] | what does this device send in its CONNECT? |
//! | [`check`] | is this secrets file in order? |
//! | [`steps`] | how do the steps of a check look? |
//! | [`explain`] | why is this login accepted or refused? |
//! | [`explain_line`] | why was the login of this line of the log refused? |
//! | [`edit`] | how is one device of a secrets file changed? |
//! | [`editing`] | how is a secrets file replaced without losing anything? |
//! | `follow` | how is a secrets file kept equal to a table in PostgreSQL? |
//! | [`import`] | which devices does a CSV file add or change? |
//! | [`csv`] | what is on the lines of a CSV file? |
//! | [`list`] | which devices are there? |
//! | [`manual`] | what do man page and completions look like? |
//! | [`secret`] | where does a secret come from? |
//! | [`certificate`] | which certificate is in this file? |
//! | [`terminal`] | what is printed where, and with which exit status? |

#![forbid(unsafe_code)]

mod args;
mod certificate;
mod check;
mod connect_params;
mod csv;
mod edit;
mod editing;
mod explain;
mod explain_line;
#[cfg(feature = "follow")]
mod follow;
mod import;
mod list;
mod manual;
mod secret;
mod steps;
mod terminal;

use args::Verb;
use std::process::ExitCode;

fn main() -> ExitCode {
    terminal::exit_code(match args::parse() {
        Ok(Verb::ConnectParams(args)) => connect_params::run(&args),
        Ok(Verb::Check(args)) => check::run(&args),
        Ok(Verb::Explain(args)) => match &args.log_line {
            Some(line) => explain_line::run(line),
            None => explain::run(&args),
        },
        Ok(Verb::Add(args)) => edit::add(&args),
        Ok(Verb::Remove(args)) => edit::remove(&args),
        Ok(Verb::ResetSecret(args)) => edit::reset_secret(&args),
        Ok(Verb::Freeze(args)) => edit::freeze(&args, true),
        Ok(Verb::Unfreeze(args)) => edit::freeze(&args, false),
        Ok(Verb::List(args)) => list::run(&args),
        Ok(Verb::Import(args)) => import::run(&args),
        #[cfg(feature = "follow")]
        Ok(Verb::Follow(args)) => follow::run(&args),
        Ok(Verb::Man(args)) => manual::page(&args),
        Ok(Verb::Completions(args)) => manual::completions(&args),
        Err(error) => args::answer(error),
    })
}
