//! What does a message cost that the plugin has nothing to do with?

use super::{
    VERSIONS,
    broker::{Broker, ping},
    files::{Files, device_id},
    plan::Plan,
    random::shuffled,
    report::{Bound, Report, median, short, tenth},
    subject::Subject,
};
use support::{
    mqtt::{Client, packet, string},
    version::Version,
};

const HOW: &str = "One client publishes, nobody has subscribed. A message to `sensors/room/temperature`, and one that a device \
sends up. CPU is the broker's, a tenth of the rounds took less, and the median. The subjects take turns, in random order. The \
ratio is the median of the rounds' own.";

const SUBJECTS: [Subject; 2] = [Subject::Nothing, Subject::Ours];

/// A kind of message: its topic and its QoS.
const MESSAGES: [(&str, u8); 4] = [
    ("sensors/room/temperature", 0),
    ("sensors/room/temperature", 1),
    ("$oc/devices/{id}/sys/properties/report", 0),
    ("$oc/devices/{id}/sys/properties/report", 1),
];

/// So many are sent before the client waits: a broker takes no more at QoS 1.
const IN_FLIGHT: usize = 20;

pub fn measure(plan: &Plan, files: &Files, report: &mut Report) {
    let mut rows = Vec::new();
    for version in VERSIONS {
        let mut publishers = SUBJECTS.map(|subject| Publisher::new(version, subject, files));
        for (topic, qos) in MESSAGES {
            let mut times = [Vec::new(), Vec::new()];
            for round in 0..plan.messages.1 {
                for n in shuffled(round as u64, SUBJECTS.len()) {
                    times[n].push(publishers[n].publish(topic, qos, plan.messages.0));
                }
            }
            let ratio =
                median(times[1].iter().zip(&times[0]).map(|(ours, nothing)| ours / nothing));
            for (subject, times) in SUBJECTS.iter().zip(&times) {
                let ratio = if *subject == Subject::Ours { ratio } else { 1.0 };
                rows.push(vec![
                    version.to_string(),
                    subject.name().into(),
                    format!("`{topic}`"),
                    qos.to_string(),
                    short(tenth(times.iter().copied())),
                    short(median(times.iter().copied())),
                    short(ratio),
                ]);
            }
            if topic.starts_with("sensors") {
                let what =
                    format!("message of others at QoS {qos}, CPU with ours to without, {version}");
                report.target(what, ratio, Bound::AtMost(1.03), "times");
            }
        }
    }
    let columns = [
        "broker",
        "subject",
        "topic",
        "QoS",
        "CPU, µs",
        "median, µs",
        "times the plugin that does nothing",
    ];
    report.topic("Messages", HOW, &columns, &rows);
}

struct Publisher {
    broker: Broker,
    client: Client,
}

impl Publisher {
    fn new(version: Version, subject: Subject, files: &Files) -> Self {
        let file = subject.file(files, version, 1000);
        let broker = Broker::start(version, subject, file.as_deref()).0;
        let client = broker.login(0);
        Self { broker, client }
    }

    /// Publishes so many messages; the broker's CPU for each, in microseconds.
    #[allow(clippy::cast_precision_loss)] // thousands of messages
    fn publish(&mut self, topic: &str, qos: u8, count: usize) -> f64 {
        let topic = string(topic.replace("{id}", &device_id(0)).as_bytes());
        let messages: Vec<u8> = (1..=IN_FLIGHT)
            .flat_map(|number| {
                let id = u16::try_from(number).unwrap().to_be_bytes();
                let id = if qos > 0 { &id[..] } else { &[] };
                packet(0x30 | qos << 1, &[&topic, id, b"21.5 degrees"].concat())
            })
            .collect();
        let process = self.broker.process();
        ping(&mut self.client);
        let before = process.cpu_at_rest();
        for _ in 0..count / IN_FLIGHT {
            self.client.send(&messages);
            if qos > 0 {
                (0..IN_FLIGHT).for_each(|_| assert_eq!(self.client.receive().unwrap()[0], 0x40));
            }
        }
        ping(&mut self.client);
        (process.cpu_at_rest() - before).as_secs_f64() * 1e6
            / (count / IN_FLIGHT * IN_FLIGHT) as f64
    }
}
