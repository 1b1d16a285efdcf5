//! How does a broker fare with many devices? Each has a thread of its own, which mostly sleeps.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`fleet`] | which devices log in? |
//! | [`device`] | what does a device do, from its first login to its last? |
//! | [`answer`] | what does a device answer? |
//! | [`pace`] | when may the next one log in, and is it time to end? |
//! | [`tally`] | what has happened? |
//! | [`progress`] | what is told meanwhile? |
//! | [`report`] | what is told at the end? |

mod answer;
mod device;
mod fleet;
mod pace;
mod progress;
mod report;
mod tally;

use crate::{
    args, secrets_file,
    terminal::{Answer, Failure},
};
use device::{Device, Plan};
use fleet::Fleet;
use pace::{Pace, Stop};
use progress::Progress;
use report::Report;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Scope},
    time::{Duration, Instant},
};
use tally::Tally;

/// A device's stack, in bytes: a TLS handshake of a debug build needs half of it.
const STACK: usize = 256 << 10;
/// Open files beside the devices' connections.
const OTHER_FILES: u64 = 64;
/// How often it is asked whether to end, and the bar of progress is drawn.
const BEAT: Duration = Duration::from_millis(200);
/// How long devices that wait for a command are waited for, if nothing is said of it.
const ONCE: Duration = Duration::from_secs(60);

/// Runs the fleet; the answer is whether all went well. No answer of a broker at all is a failure.
pub(crate) fn run(args: &args::Simulate) -> Result<Answer, Failure> {
    let target = args.broker.target(None)?;
    let file = match args.devices.as_deref() {
        Some(file) if file == Path::new("-") => file.to_path_buf(),
        given => secrets_file::named(given, "--devices")?,
    };
    let table = secrets_file::table(&file)?;
    let fleet = Fleet::of(&table, &file, args)?;
    // What cannot be read from the clock should be told before anybody logs in.
    crate::connect_params::this_hour()?;
    allow_files(fleet.members.len())?;
    let interrupted = interrupted()?;

    let (stop, tally) = (Stop::default(), Tally::default());
    let begin = Instant::now();
    let end = args.duration.or(args.once.then_some(ONCE)).map(|duration| begin + duration);
    let pace = Pace::new(args.rate, begin);
    let plan = Plan::of(args, &target);
    let mut progress = Progress::new(fleet.members.len(), args.quiet);
    thread::scope(|scope| {
        let all_run =
            start(scope, &fleet, &Device { plan: &plan, pace: &pace, stop: &stop, tally: &tally });
        let is_over = || end.is_some_and(|end| Instant::now() >= end);
        let is_done = || tally.fatal().is_some() || tally.running() == 0;
        while all_run.is_ok() && !interrupted.load(Ordering::Relaxed) && !is_over() && !is_done() {
            thread::sleep(BEAT);
            progress.tell(&tally, begin.elapsed());
        }
        stop.set();
        all_run
    })?;
    drop(progress);
    Report { args, target: &target, fleet: &fleet, tally: &tally, took: begin.elapsed() }.tell()
}

/// Starts a thread for each device; they wait for their turn.
fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    fleet: &'env Fleet<'env>,
    device: &Device<'env>,
) -> Result<(), Failure> {
    let count = fleet.members.len();
    for (number, member) in fleet.members.iter().enumerate() {
        let device = *device;
        device.tally.starts();
        thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, move || device.live(member, number))
            .map_err(|error| {
                device.tally.ends();
                Failure::new(format!(
                    "cannot start device {} of {count}: {error}; allow more processes (ulimit -u, or the container's limit of \
                     processes), or lower --count",
                    number + 1
                ))
            })?;
    }
    Ok(())
}

/// Lets this process have a connection for each device.
fn allow_files(devices: usize) -> Result<(), Failure> {
    let needed = u64::try_from(devices).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let too_few = |allowed| {
        Failure::new(format!(
            "{devices} devices: expected {needed} open files to be allowed, found {allowed}; raise the limit (ulimit -n), or \
             lower --count"
        ))
    };
    if let Some(maximum) = maximum.filter(|maximum| *maximum < needed) {
        return Err(too_few(maximum));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|_| too_few(current.unwrap_or_default()))
}

/// Whether somebody wants it to end. A second signal ends it at once.
fn interrupted() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let register = || -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&interrupted))?;
            flag::register(signal, Arc::clone(&interrupted))?;
        }
        Ok(())
    };
    register().map_err(|error| Failure::new(format!("signals: cannot be handled: {error}")))?;
    Ok(interrupted)
}
