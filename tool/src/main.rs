//! `iotda-auth`: makes and checks credentials of IoTDA devices, mostly without a broker.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`args`] | what was asked? The single definition of the command line |
//! | [`connect_params`] | what does this device send in its CONNECT? |
//! | [`probe`] | does a broker let this device in? |
//! | [`simulate`] | how does a broker fare with many devices? |
//! | [`connack`] | what does a broker's code mean? |
//! | [`mqtt`] | how is a broker spoken to? |
//! | [`check`] | is this secrets file, or this broker's configuration, in order? |
//! | [`explain`] | why is this login, or the login of this line of the log, accepted or refused? |
//! | [`edit`] | how is one device of a secrets file changed? |
//! | [`editing`] | how is a secrets file replaced without losing anything? |
//! | [`unwritable`] | why can a secrets file not be written, and what is at fault? |
//! | [`readers`] | who may read a secrets file that is made here? |
//! | `follow` | how is a secrets file kept equal to a table in PostgreSQL? |
//! | [`import`] | which devices do files from elsewhere add or change? |
//! | [`list`] | which devices are there? |
//! | [`test_certificates`] | which certificates does a test of TLS need? |
//! | [`manual`] | what do man pages look like? |
//! | [`page`] | where is the web page? |
//! | [`completion`] | what can come next on a command line that is being typed? |
//! | [`secrets_file`] | which secrets file, and which of its devices, does a command mean? |
//! | [`secret`] | where does a secret come from? |
//! | [`certificate`] | which certificate is in this file? |
//! | [`terminal`] | what is printed where, and with which exit status? |

#![forbid(unsafe_code)]

mod args;
mod certificate;
mod check;
mod completion;
mod connack;
mod connect_params;
mod edit;
mod editing;
mod explain;
#[cfg(feature = "follow")]
mod follow;
mod import;
mod list;
mod manual;
mod mqtt;
mod page;
mod probe;
mod readers;
mod secret;
mod secrets_file;
mod simulate;
mod terminal;
mod test_certificates;
mod unwritable;

use args::Verb;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(is_answered) = completion::answer() {
        return if is_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    terminal::exit_code(match args::parse() {
        Ok(Verb::ConnectParams(args)) => connect_params::run(&args),
        Ok(Verb::Probe(args)) => probe::run(&args),
        Ok(Verb::Simulate(args)) => simulate::run(&args),
        Ok(Verb::Check(args)) => check::run(&args),
        Ok(Verb::Explain(args)) => explain::run(&args),
        Ok(Verb::Add(args)) => edit::add(&args),
        Ok(Verb::Remove(args)) => edit::remove(&args),
        Ok(Verb::ResetSecret(args)) => edit::reset_secret(&args),
        Ok(Verb::SetCertificate(args)) => edit::set_certificate(&args),
        Ok(Verb::Freeze(args)) => edit::freeze(&args, true),
        Ok(Verb::Unfreeze(args)) => edit::freeze(&args, false),
        Ok(Verb::List(args)) => list::run(&args),
        Ok(Verb::Import(args)) => import::run(&args),
        #[cfg(feature = "follow")]
        Ok(Verb::Follow(args)) => follow::run(&args),
        Ok(Verb::Page(args)) => page::run(&args),
        Ok(Verb::TestCertificates(args)) => test_certificates::run(&args),
        Ok(Verb::Man(args)) => manual::page(&args),
        Ok(Verb::Completions(args)) => manual::completions(&args),
        Err(error) => args::answer(error),
    })
}
