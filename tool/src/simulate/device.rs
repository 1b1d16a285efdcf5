//! What does a device do, from its first login to its last?

use super::{
    answer::{answer, report},
    fleet::Member,
    pace::{Pace, Stop, pause},
    tally::Tally,
};
use crate::{
    args,
    connack::Code,
    connect_params::this_hour,
    mqtt::{Client, Connect, Fault, Packet, Target, Version, fault::Stage},
};
use iotda_core::login::{ClientId, signature::HourKey};
use std::time::{Duration, Instant};

/// How long each exchange with the broker may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait, at the end, for the broker to close the connection.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a device waits for bytes before it looks whether it is time to end.
const LOOK: Duration = Duration::from_secs(1);
/// A device that stayed so long counts as one that got in, and begins with the shortest pause when it is disconnected.
const SETTLED: Duration = Duration::from_secs(10);
/// A device that waits for a command reports more often: whoever sends it may wait for a report.
const REPORT_EVERY: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(2)];

/// What every device does.
pub(super) struct Plan<'a> {
    target: &'a Target,
    version: Version,
    keep_alive: u16,
    report_every: Duration,
    /// Leave after an answer.
    once: bool,
}

impl<'a> Plan<'a> {
    pub(super) fn of(args: &args::Simulate, target: &'a Target) -> Self {
        let [usual, often] = REPORT_EVERY;
        Self {
            target,
            version: args.broker.mqtt,
            keep_alive: args.broker.keepalive,
            report_every: args.report_every.unwrap_or(if args.once { often } else { usual }),
            once: args.once,
        }
    }
}

/// What a device needs.
#[derive(Clone, Copy)]
pub(super) struct Device<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) pace: &'a Pace,
    pub(super) stop: &'a Stop,
    pub(super) tally: &'a Tally,
}

/// How an attempt to connect ended, or the connection that it made.
enum End {
    /// As it should: it is time to end, or the device has done what it was for.
    Good,
    /// The broker or the network ended it.
    Lost,
    /// The device was not let in.
    Refused,
    /// No broker answered.
    NoAnswer,
}

impl Device<'_> {
    /// The whole life of a device.
    pub(super) fn live(self, member: &Member<'_>, number: usize) {
        let mut life = Life { device: self, member, reports: 0, was_let_in: false };
        let (mut failures, mut earliest) = (0, Instant::now());
        while self.pace.wait(earliest, self.stop) {
            let begin = Instant::now();
            match life.connect() {
                End::Good => break,
                End::Refused if self.plan.once => break,
                End::Lost if begin.elapsed() > SETTLED => failures = 0,
                End::Lost | End::Refused | End::NoAnswer => {}
            }
            failures += 1;
            earliest = Instant::now() + pause(failures, number);
        }
        self.tally.ends();
    }
}

/// A device and what it has done.
struct Life<'a> {
    device: Device<'a>,
    member: &'a Member<'a>,
    reports: u64,
    was_let_in: bool,
}

impl Life<'_> {
    /// Logs in, and stays until something ends it.
    fn connect(&mut self) -> End {
        let Device { plan, tally, .. } = self.device;
        let Member { id, secret, sign_type } = *self.member;
        // The clock was read before the first login; if it fails now, the next try may do better.
        let Ok(stamp) = this_hour() else { return End::NoAnswer };
        let client_id = ClientId::format(id, sign_type, &String::from_utf8_lossy(&stamp));
        let password = HourKey::new(sign_type, &stamp).password(secret);
        let connect = Connect {
            version: plan.version,
            client_id: &client_id,
            username: id,
            password: Some(&password),
            keep_alive: plan.keep_alive,
        };
        let begin = Instant::now();
        let (client, connack) = match Client::log_in(plan.target, &connect, begin + PATIENCE) {
            Ok(answered) => answered,
            Err(fault) => {
                tally.failed(&fault);
                return End::NoAnswer;
            }
        };
        if connack.code != 0 {
            tally.refused(Code { version: plan.version, code: connack.code }, sign_type);
            return End::Refused;
        }
        tally.accepted(begin.elapsed(), !self.was_let_in);
        self.was_let_in = true;
        match self.stay(client) {
            Ok(()) => {
                tally.left();
                End::Good
            }
            Err(fault) => {
                tally.lost(&fault);
                End::Lost
            }
        }
    }

    /// Reports, answers, and pings, until it is time to end.
    fn stay(&mut self, mut client: Client) -> Result<(), Fault> {
        let Device { plan, stop, tally, .. } = self.device;
        // In time for the broker, which waits for half as long again.
        let ping_every = match plan.keep_alive {
            0 => Duration::from_secs(3600),
            seconds => Duration::from_secs(seconds.into()).mul_f32(0.75),
        };
        let (mut next_report, mut next_ping) = (Instant::now(), Instant::now() + ping_every);
        let mut pinged: Option<Instant> = None;
        while !stop.is_set() {
            let now = Instant::now();
            if now >= next_report {
                let (topic, payload) = report(self.member.id, self.reports);
                client.publish(&topic, payload, now + PATIENCE)?;
                self.reports += 1;
                tally.reported();
                next_report = now + plan.report_every;
            }
            if now >= next_ping {
                client.send_ping(now + PATIENCE)?;
                pinged = Some(now);
                next_ping = now + ping_every;
            }
            if pinged.is_some_and(|pinged| now > pinged + PATIENCE) {
                return Err(Fault::Timeout(Stage::Pingresp));
            }
            match client.next(next_report.min(next_ping).min(now + LOOK))? {
                None | Some(Packet::Connack(_) | Packet::Other) => {}
                Some(Packet::Pingresp) => pinged = None,
                Some(Packet::Disconnect(_)) => return Err(Fault::Closed(Stage::Session)),
                Some(Packet::Publish(message)) => {
                    let Some((topic, payload)) =
                        answer(self.member.id, &message.topic, self.reports)
                    else {
                        tally.got_message();
                        continue;
                    };
                    client.publish(&topic, payload, Instant::now() + PATIENCE)?;
                    tally.answered();
                    if plan.once {
                        break;
                    }
                }
            }
        }
        client.leave(Instant::now() + FAREWELL);
        Ok(())
    }
}
