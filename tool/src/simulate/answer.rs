//! What does a device answer to a request of the platform?
//!
//! A request's topic ends in `request_id=…`, and its answer's topic has the same end.

use serde_json::{Value, json};

/// A request of the platform.
struct Request {
    /// What its topic has behind `$oc/devices/{device_id}/sys/`.
    down: &'static str,
    /// The same of the answer's topic.
    up: &'static str,
    /// The answer, from the number of reports.
    payload: fn(u64) -> Value,
}

const REQUESTS: [Request; 3] = [
    Request {
        down: "commands/",
        up: "commands/response/",
        payload: |_| json!({"result_code": 0, "response_name": "COMMAND_RESPONSE", "paras": {"result": "success"}}),
    },
    Request {
        down: "properties/set/",
        up: "properties/set/response/",
        payload: |_| json!({"result_code": 0, "result_desc": "success"}),
    },
    Request { down: "properties/get/", up: "properties/get/response/", payload: properties },
];

/// A message of a device: topic and payload.
pub(super) type Message = (String, Vec<u8>);

/// What a device answers to a message; `None` if nothing is asked. `reports` is what its property is.
pub(super) fn answer(device_id: &str, topic: &str, reports: u64) -> Option<Message> {
    let rest = topic.strip_prefix(&below(device_id, ""))?;
    let (request, end) = REQUESTS
        .iter()
        .find_map(|request| Some((request, rest.strip_prefix(request.down)?)))
        .filter(|(_, end)| end.starts_with("request_id=") && !end.contains('/'))?;
    let topic = below(device_id, &format!("{}{end}", request.up));
    Some((topic, (request.payload)(reports).to_string().into_bytes()))
}

/// The report of a device's property, which is how many there were before.
pub(super) fn report(device_id: &str, reports: u64) -> Message {
    (below(device_id, "properties/report"), properties(reports).to_string().into_bytes())
}

fn below(device_id: &str, rest: &str) -> String {
    format!("$oc/devices/{device_id}/sys/{rest}")
}

fn properties(reports: u64) -> Value {
    json!({"services": [{"service_id": "simulated", "properties": {"reports": reports}}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_answered_under_its_id() {
        for (down, up) in [
            ("commands/request_id=7f-1", "commands/response/request_id=7f-1"),
            ("properties/set/request_id=7f-1", "properties/set/response/request_id=7f-1"),
            ("properties/get/request_id=7f-1", "properties/get/response/request_id=7f-1"),
        ] {
            let (topic, payload) = answer("lamp", &below("lamp", down), 3).unwrap();
            assert_eq!(topic, below("lamp", up));
            let payload: Value = serde_json::from_slice(&payload).unwrap();
            assert!(
                payload["result_code"] == 0 || payload["services"][0]["properties"]["reports"] == 3
            );
        }
    }

    #[test]
    fn nothing_else_is_answered() {
        for topic in [
            below("lamp", "messages/down"),
            below("lamp", "commands/response/request_id=1"),
            below("lamp", "commands/request_id=1/x"),
            below("lamp", "commands/"),
            below("other", "commands/request_id=1"),
            "commands/request_id=1".into(),
            String::new(),
        ] {
            assert_eq!(answer("lamp", &topic, 0), None, "{topic}");
        }
    }
}
