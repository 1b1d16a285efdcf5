//! What does a login cost a broker?

use super::{
    VERSIONS,
    broker::{Broker, answered},
    files::{self, Files},
    plan::Plan,
    random::{random, shuffled},
    report::{Bound, Report, median, short, tenth},
    subject::Subject,
};
use std::{
    collections::VecDeque,
    thread,
    time::{Duration, Instant},
};
use support::{mqtt::Connect, version::Version};

const HOW: &str = "Clients come one after another, 32 of them on their way at any time; each sends its CONNECT, reads the \
CONNACK and goes. They are drawn at random from 10000, with dynamic-security from 4000. CPU is the broker's, above what it \
takes at rest: a tenth of the rounds took less, and the median. Each row has a broker of its own, started anew now and \
then, and they take turns in each round, in random order. The ratio is the median of the rounds' own: an accepted login to \
one that the plugin that does nothing accepts, a refused one to one that it refuses. Clients and broker share the cores, so \
logins a second is for comparison only.";

/// So many clients are on their way.
const IN_FLIGHT: usize = 32;

/// A round's logins of a case come in so many parts, between which the other cases have theirs: a machine may change its
/// speed at any time, and all shall have their share of each.
const PARTS: usize = 5;

/// Then other processes take over: one may have better luck than another, by some percent, with where its memory lies.
const ROUNDS_OF_A_BROKER: usize = 5;

/// A login, and what comes of it.
#[derive(Clone, Copy)]
struct Case {
    subject: Subject,
    words: &'static str,
    login: fn(usize) -> Connect,
    code: u8,
    /// It costs a password hash, so there are fewer of it.
    hashed: bool,
}

impl Case {
    const fn new(
        subject: Subject,
        words: &'static str,
        login: fn(usize) -> Connect,
        code: u8,
    ) -> Self {
        Self { subject, words, login, code, hashed: false }
    }

    const fn hashed(self) -> Self {
        Self { hashed: true, ..self }
    }

    fn is_ours_and_refused(&self) -> bool {
        self.subject == Subject::Ours && self.code != 0
    }
}

const CASES: [Case; 14] = {
    use Subject::{
        Anonymous, DynamicSecurity, Nothing, NothingRefusing, Ours, OursAlone, PasswordFile,
    };
    [
        Case::new(Nothing, "accepted", files::device, 0),
        Case::new(NothingRefusing, "refused", files::device, 5),
        Case::new(Anonymous, "accepted", files::device, 0),
        Case::new(Ours, "accepted", files::device, 0),
        Case::new(OursAlone, "accepted", files::device, 0),
        Case::new(Ours, "unknown device", |n| files::device(DEVICES + n), 5),
        Case::new(Ours, "wrong password", files::device_with_wrong_secret, 5),
        Case::new(Ours, "stale timestamp", files::stale_device, 5),
        Case::new(PasswordFile, "accepted", files::user, 0).hashed(),
        Case::new(PasswordFile, "unknown user", |n| files::user(DEVICES + n), 5),
        Case::new(PasswordFile, "wrong password", files::user_with_wrong_password, 5).hashed(),
        Case::new(DynamicSecurity, "accepted", files::user, 0).hashed(),
        Case::new(DynamicSecurity, "unknown client", |n| files::user(DEVICES + n), 5),
        Case::new(DynamicSecurity, "wrong password", files::user_with_wrong_password, 5).hashed(),
    ]
};

const DEVICES: usize = 10_000;
const CLIENTS_OF_DYNAMIC_SECURITY: usize = 4_000;

/// The logins of one case in one round.
#[derive(Clone, Copy)]
struct Logins {
    /// The broker's, for each, in microseconds.
    cpu: f64,
    /// In a second.
    rate: f64,
}

/// How many logins of each case there are in a round.
type Counts = [usize; CASES.len()];

/// A round has no logins of the cases that did not take part.
type Round = [Option<Logins>; CASES.len()];

pub fn measure(plan: &Plan, files: &Files, report: &mut Report) {
    let mut rows = Vec::new();
    for version in VERSIONS {
        let rounds = rounds(plan, version, files);
        rows.extend((0..CASES.len()).map(|n| row(version, n, &rounds)));
        let [nothing, ours, alone, password_file] =
            [Subject::Nothing, Subject::Ours, Subject::OursAlone, Subject::PasswordFile]
                .map(|subject| case(subject, 0));
        // A broker that keeps subscriptions for a plugin takes its own time for them.
        let most = if version.subscribes_sessions() { 1.15 } else { 1.07 };
        for (which, most) in [(ours, most), (alone, 1.07)] {
            let name = CASES[which].subject.name();
            let what = format!(
                "login accepted, CPU of {name} to the plugin that does nothing's, {version}"
            );
            report.target(what, ratio(&rounds, which, nothing), Bound::AtMost(most), "times");
        }
        let refused = CASES.iter().enumerate().filter(|(_, case)| case.is_ours_and_refused());
        let worst = refused.map(|(n, _)| ratio(&rounds, n, case(Subject::NothingRefusing, 5)));
        let what =
            format!("login refused, CPU of ours to the plugin that refuses all's, {version}");
        report.target(what, worst.fold(0.0, f64::max), Bound::AtMost(1.10), "times");
        let what = format!("login accepted, CPU of password_file to ours, {version}");
        let bound = Bound::AtLeast(if version.stretches_passwords() { 15.0 } else { 3.0 });
        report.target(what, ratio(&rounds, password_file, ours), bound, "times");
    }
    let columns = [
        "broker",
        "subject",
        "login",
        "CPU, µs",
        "median, µs",
        "times the plugin that does nothing",
        "logins a second",
    ];
    report.topic("Logins", HOW, &columns, &rows);
}

fn rounds(plan: &Plan, version: Version, files: &Files) -> Vec<Round> {
    let seeds: Vec<usize> = (0..plan.logins.1).collect();
    let some_rounds = |seeds: &[usize]| -> Vec<Round> {
        let brokers = start_all(version, files);
        let idle = idle(&brokers);
        let turns = |seed| take_turns(&brokers, &idle, &counts(plan, seed), seed as u64);
        seeds.iter().copied().map(turns).collect()
    };
    seeds.chunks(ROUNDS_OF_A_BROKER).flat_map(some_rounds).collect()
}

/// Each case has a broker of its own.
fn start_all(version: Version, files: &Files) -> Vec<Broker> {
    let start = |Case { subject, .. }: &Case| {
        let file = subject.file(files, version, clients(*subject));
        Broker::start(version, *subject, file.as_deref()).0
    };
    CASES.iter().map(start).collect()
}

fn counts(plan: &Plan, round: usize) -> Counts {
    CASES.map(|case| {
        let (count, rounds) = if case.hashed { plan.hashed_logins } else { plan.logins };
        // Those that take part in fewer rounds are evenly spread.
        if round % (plan.logins.1 / rounds) == 0 { count } else { 0 }
    })
}

fn clients(subject: Subject) -> usize {
    if subject == Subject::DynamicSecurity { CLIENTS_OF_DYNAMIC_SECURITY } else { DEVICES }
}

/// What share of a core each broker takes when there is nothing to do.
fn idle(brokers: &[Broker]) -> Vec<f64> {
    let cpu = || brokers.iter().map(|broker| broker.process().cpu_at_rest());
    let (begin, before): (_, Vec<_>) = (Instant::now(), cpu().collect());
    thread::sleep(Duration::from_secs(1));
    let taken = cpu().zip(before).map(|(cpu, before)| cpu - before);
    taken.map(|taken| taken.div_duration_f64(begin.elapsed())).collect()
}

/// Logs clients in and out again, so many of each case.
#[allow(clippy::cast_precision_loss)] // thousands of clients
fn take_turns(brokers: &[Broker], idle: &[f64], counts: &Counts, seed: u64) -> Round {
    let packets = |n: usize| -> Vec<Vec<u8>> {
        let clients = random(seed, clients(CASES[n].subject)).take(counts[n]);
        clients.map(|client| (CASES[n].login)(client).packet()).collect()
    };
    let packets: Vec<_> = (0..CASES.len()).map(packets).collect();
    let mut times = [Duration::ZERO; CASES.len()];
    let begin = Instant::now();
    let before: Vec<_> = brokers.iter().map(|broker| broker.process().cpu()).collect();
    for part in 0..PARTS {
        for n in shuffled(seed << 32 | part as u64, CASES.len()) {
            let [from, to] = [part, part + 1].map(|part| part * counts[n] / PARTS);
            times[n] += log_in(&brokers[n], &packets[n][from..to], CASES[n].code);
        }
    }
    std::array::from_fn(|n| {
        let cpu = (brokers[n].process().cpu_at_rest() - before[n]).as_secs_f64();
        let idle = idle[n] * begin.elapsed().as_secs_f64();
        let count = counts[n] as f64;
        let logins =
            Logins { cpu: (cpu - idle) * 1e6 / count, rate: count / times[n].as_secs_f64() };
        (counts[n] > 0).then_some(logins)
    })
}

fn log_in(broker: &Broker, packets: &[Vec<u8>], code: u8) -> Duration {
    let begin = Instant::now();
    let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
    for packet in packets {
        if waiting.len() == IN_FLIGHT {
            answered(&mut waiting.pop_front().unwrap(), code);
        }
        waiting.push_back(broker.send(packet));
    }
    waiting.iter_mut().for_each(|client| answered(client, code));
    begin.elapsed()
}

/// Where a subject's logins with a code are.
fn case(subject: Subject, code: u8) -> usize {
    CASES.iter().position(|case| case.subject == subject && case.code == code).unwrap()
}

/// How many times as much CPU a case takes as another does.
fn ratio(rounds: &[Round], case: usize, other: usize) -> f64 {
    median(rounds.iter().filter_map(|round| Some(round[case]?.cpu / round[other]?.cpu)))
}

fn row(version: Version, n: usize, rounds: &[Round]) -> Vec<String> {
    let Case { subject, words, code, .. } = &CASES[n];
    let logins = || rounds.iter().filter_map(|round| round[n]);
    let floor = if *code == 0 { Subject::Nothing } else { Subject::NothingRefusing };
    vec![
        version.to_string(),
        subject.name().into(),
        (*words).into(),
        short(tenth(logins().map(|logins| logins.cpu))),
        short(median(logins().map(|logins| logins.cpu))),
        short(ratio(rounds, n, case(floor, *code))),
        short(median(logins().map(|logins| logins.rate))),
    ]
}
