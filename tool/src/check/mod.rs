//! Is this secrets file, or this configuration of a broker, in order?
//!
//! | module | the question it answers |
//! |---|---|
//! | [`mod@file`] | is this secrets file in order? |
//! | [`config`] | what is wrong with a configuration and all that it names? |
//! | [`conf`] | what does `mosquitto.conf` say, as the broker reads it? |
//! | [`instances`] | where is our plugin loaded, with which options? |
//! | [`user`] | as which user does the broker open its files? |
//! | [`library`] | can the broker load the plugin? |
//! | [`secrets`] | does a secrets file make a table? |
//! | [`files`] | can the broker open its other files? |
//! | [`traps`] | what lets the broker start, and then keeps devices out or lets others in? |
//! | [`finding`] | what can be found? |
//! | [`report`] | how is it printed? |

mod conf;
mod config;
mod file;
mod files;
mod finding;
mod instances;
mod library;
mod report;
mod secrets;
mod traps;
mod user;

use crate::{
    args, secrets_file,
    terminal::{Answer, Failure},
};

/// Checks what is asked for, and prints the number of devices, or everything that is wrong.
pub(crate) fn run(args: &args::Check) -> Result<Answer, Failure> {
    if args.list {
        return report::list();
    }
    match &args.config {
        Some(config) => config::run(config, args),
        // clap does not ask for --config here, since a file excludes it.
        None if args.strict || args.broker.is_some() => {
            Err(Failure::new("check: --strict and --broker are for --config, found a secrets file"))
        }
        None => {
            let file = secrets_file::named(args.file.as_deref(), "--config or FILE")?;
            file::run(&file, args)
        }
    }
}
