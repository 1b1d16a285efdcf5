//! `iotda-auth follow`: keeps a secrets file equal to a table in PostgreSQL.
//!
//! A temporary slot of logical replication is made, then the table is read, then the changes are taken. What changes while
//! the table is read comes twice, and is the same the second time, because it goes by device id. The file is written once the
//! changes are past a mark that was made after the table was read. When anything goes wrong, the connection is given up, with
//! it goes the slot, and all begins again; meanwhile the file stays as it is.
//!
//! | module | the question it answers |
//! |---|---|
//! | [`session`] | what happens on one connection? |
//! | [`database`] | what is asked of the database? |
//! | [`dsn`], [`tls`] | which database is it, and how is the way to it protected? |
//! | [`pgoutput`] | what does a message of the change feed say? |
//! | [`rows`] | which rows are there, right and wrong ones? |
//! | [`row`] | which line does a row make, or what is wrong with it? |
//! | [`wrong`] | which rows are wrong? |
//! | [`table`] | which devices are there? |
//! | [`output`] | how is the file replaced, and when must it not be? |
//! | [`pace`] | when is the file written, and when is the database asked? |
//! | [`sql`] | what is to be done in the database? |
//! | [`status`], [`journal`], [`watchdog`] | what do monitoring, the log and systemd see? |

mod database;
mod dsn;
pub(crate) mod journal;
mod output;
mod pace;
mod pgoutput;
mod row;
mod rows;
mod session;
pub(crate) mod sql;
mod status;
mod table;
mod tls;
mod watchdog;
mod wrong;

use crate::{
    args,
    terminal::{Answer, Failure, shown},
};
use database::Trouble;
use dsn::Target;
use futures_util::{FutureExt, future};
use journal::{Journal, Level};
use output::{Limits, Output};
use pace::Attempts;
use session::{Followed, Settings};
use status::State;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tls::{Security, Tls};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

/// Follows the table, or prints what is asked for.
pub(crate) fn run(args: &args::Follow) -> Result<Answer, Failure> {
    if args.print_sql {
        return sql::print_setup(&args.table, &args.publication);
    }
    if let Some(file) = &args.print_rows {
        return sql::print_rows(file, &args.table);
    }
    // The definition of the arguments requires both.
    let (Some(dsn), Some(out)) = (&args.dsn_file, &args.out) else {
        return Err(Failure::new("expected --dsn-file and --out"));
    };
    let journal = Journal(args.log_format);
    let way = Way::read(dsn)?;
    if way.target.is_exposed {
        let text = format!("{}: can be read by every user of this machine (chmod o-r)", shown(dsn));
        journal.write(Level::Warning, &text);
    }
    let table = table::Table::new();
    let limits = Limits { max_shrink: args.max_shrink };
    let output = Output::open(out, args.adopt, limits, table.hasher())?;
    let settings = Settings {
        table: args.table.clone(),
        publication: args.publication.clone(),
        patience: args.answer_timeout,
        snapshot_interval: args.snapshot_interval,
        only_snapshots: args.snapshots,
        accept_older: args.accept_older,
        once: args.once,
    };
    let followed =
        Followed::new(settings, journal, table, output, args.min_interval, args.status.clone());
    let cannot = |error: io::Error| Failure::new(format!("cannot be started: {error}"));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    runtime.block_on(async {
        // From here on, these signals no longer end the process by themselves.
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let stop = future::select(terminate.recv().boxed_local(), interrupt.recv().boxed_local());
        let status = status::keep_fresh(followed.status(), journal).boxed_local();
        let attempts = Attempts::default();
        let mut follower = Follower { dsn: dsn.clone(), way, followed, attempts };
        let answer = {
            let follow = std::pin::pin!(follower.follow());
            match future::select(future::select(follow, stop), status).await {
                future::Either::Left((future::Either::Left((answer, _)), _)) => Some(answer),
                future::Either::Left((future::Either::Right(_), _)) => None,
                future::Either::Right((never, _)) => match never {},
            }
        };
        follower.followed.end(answer.is_none());
        answer.unwrap_or(Ok(Answer::Yes))
    })
}

/// How long to wait before a table is read again that has changed.
const AGAIN: Duration = Duration::from_millis(500);

/// The database and the way to it, as the files say.
struct Way {
    target: Target,
    tls: Option<Tls>,
}

impl Way {
    fn read(dsn: &Path) -> Result<Self, Failure> {
        let target = dsn::read(dsn)?;
        let tls = match &target.security {
            Security::Verify(verify) => Some(Tls::new(verify)?),
            Security::None => None,
        };
        Ok(Self { target, tls })
    }
}

/// The process.
struct Follower {
    dsn: PathBuf,
    way: Way,
    followed: Followed,
    attempts: Attempts,
}

impl Follower {
    /// Follows until the table must not be published, or once.
    async fn follow(&mut self) -> Result<Answer, Failure> {
        watchdog::start();
        self.followed.begin(&self.way.target.name);
        let (mut before, mut unread) = (None, None);
        loop {
            let Way { target, tls } = &self.way;
            let ended = self.followed.session(target, tls.as_ref(), &mut self.attempts);
            let trouble = match ended.await {
                Ok(()) => return Ok(Answer::Yes),
                Err(trouble) => trouble,
            };
            let journal = self.followed.journal;
            match trouble {
                Trouble::Refused(reason) => {
                    self.followed.trouble(State::Refused, &reason);
                    journal.write(Level::Error, &format!("nothing is published: {reason}"));
                    return Ok(Answer::No);
                }
                Trouble::Lost(reason) if self.followed.once() => {
                    self.followed.trouble(State::Connecting, &reason);
                    return Err(Failure::new(format!("{}: {reason}", self.way.target.name)));
                }
                Trouble::Again(reason) => {
                    journal.write(Level::Info, &format!("the table is read again: {reason}"));
                    // If it goes on like this, not in a hurry.
                    self.followed.rest(AGAIN).await;
                }
                Trouble::Lost(reason) => {
                    self.followed.trouble(State::Connecting, &reason);
                    // The same each time until the database is back.
                    if before.as_ref() != Some(&reason) || self.attempts.is_first() {
                        let name = &self.way.target.name;
                        let text = format!("{name}: {reason}; the file stays as it is");
                        journal.write(Level::Error, &text);
                    }
                    before = Some(reason);
                    let pause = self.attempts.failed();
                    self.followed.rest(pause).await;
                }
            }
            // A new password or certificate.
            match Way::read(&self.dsn) {
                Ok(way) => {
                    self.way = way;
                    unread = None;
                }
                Err(failure) => {
                    let text = format!("{failure}; what was read before is used");
                    if unread.as_ref() != Some(&text) {
                        journal.write(Level::Warning, &text);
                        unread = Some(text);
                    }
                }
            }
        }
    }
}
