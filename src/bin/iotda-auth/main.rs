//! `iotda-auth`: the credentials of IoTDA devices, and the answers of the plugin, without a broker.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`args`] | what was asked? The one definition of the command line |
//! | [`connect_params`] | what does this device send in its CONNECT? |
//! | [`check`] | is this secrets file in order? |
//! | [`explain`] | why is this login accepted or refused? |
//! | [`secret`] | where does a secret come from? |
//! | [`terminal`] | what is said where, and with which exit status? |

mod args;
mod check;
mod connect_params;
mod explain;
mod secret;
mod terminal;

use args::Verb;
use std::process::ExitCode;

fn main() -> ExitCode {
    terminal::exit_code(match args::parse() {
        Ok(Verb::ConnectParams(args)) => connect_params::run(&args),
        Ok(Verb::Check(args)) => check::run(&args),
        Ok(Verb::Explain(args)) => explain::run(&args),
        Err(error) => args::answer(error),
    })
}
