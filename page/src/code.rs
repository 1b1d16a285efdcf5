//! How does a program or an AT module send it?
//!
//! A device id, a sign type and a timestamp hold no character that a shell or a string of these languages would change, and a
//! password is hex digits. A host is checked by [`is_host`].

use crate::make::Params;

/// One way to send a login.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    /// The text, for these parameters and this host.
    pub(crate) write: fn(&Params<'_>, &str) -> String,
}

/// Whether a text is a host's name or address, and nothing that a shell would change.
pub(crate) fn is_host(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_part)
}

/// All of them.
pub(crate) const SAMPLES: &[Sample] = &[
    Sample {
        name: "mosquitto_pub",
        write: |Params { client_id, username, password }, host| {
            format!(
                "mosquitto_pub -h {host} -p 1883 -i {client_id} -u {username} -P {password} \\\n  \
                 -t '$oc/devices/{username}/sys/properties/report' \\\n  \
                 -m '{{\"services\":[{{\"service_id\":\"s\",\"properties\":{{\"value\":1}}}}]}}'"
            )
        },
    },
    Sample {
        name: "MQTTX CLI",
        write: |Params { client_id, username, password }, host| {
            format!(
                "mqttx conn -h {host} -p 1883 -i {client_id} -u {username} -P {password} -k 120"
            )
        },
    },
    Sample {
        name: "AT (ESP-AT)",
        write: |Params { client_id, username, password }, host| {
            format!(
                "AT+MQTTUSERCFG=0,1,\"{client_id}\",\"{username}\",\"{password}\",0,0,\"\"\n\
                 AT+MQTTCONNCFG=0,120,0,\"\",\"\",0,0\n\
                 AT+MQTTCONN=0,\"{host}\",1883,1"
            )
        },
    },
    Sample {
        name: "C",
        write: |Params { client_id, username, password }, host| {
            format!(
                "#define MQTT_HOST      \"{host}\"\n\
                 #define MQTT_CLIENT_ID \"{client_id}\"\n\
                 #define MQTT_USERNAME  \"{username}\"\n\
                 #define MQTT_PASSWORD  \"{password}\""
            )
        },
    },
    Sample {
        name: "Python",
        write: |Params { client_id, username, password }, host| {
            format!(
                "import paho.mqtt.client as mqtt\n\n\
                 client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=\"{client_id}\")\n\
                 client.username_pw_set(\"{username}\", \"{password}\")\n\
                 client.connect(\"{host}\", 1883, keepalive=120)"
            )
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_holds_nothing_that_a_shell_would_change() {
        for host in ["localhost", "10.0.0.5", "fe80::1", "mqtt.example.com"] {
            assert!(is_host(host), "{host}");
        }
        for text in ["", "-x", "a b", "a;b", "$(x)", "a'b", "a\"b", "a\nb"] {
            assert!(!is_host(text), "{text}");
        }
    }
}
