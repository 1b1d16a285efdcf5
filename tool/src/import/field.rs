//! What does a column of a CSV file, or a key of a JSON object, say of a device?

use crate::terminal::Harmless;

/// What can be said of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    DeviceId,
    Secret,
    Secondary,
    X509,
    SecondaryX509,
    Frozen,
    Status,
    AuthType,
    SecretType,
    GatewayId,
    NodeType,
}

/// A field, its name in messages, and the usual names of its columns as [`plain`] writes them.
type Row = (Field, &'static str, &'static [&'static str]);

/// All fields, in the sequence of their declaration.
const FIELDS: [Row; Field::COUNT] = [
    (Field::DeviceId, "device_id", &["deviceid", "设备id"]),
    (
        Field::Secret,
        "secret",
        &["secret", "devicesecret", "primarysecret", "密钥", "设备密钥", "主密钥"],
    ),
    (
        Field::Secondary,
        "secondary",
        &["secondary", "secondarysecret", "secondarydevicesecret", "辅密钥", "备密钥"],
    ),
    (
        Field::X509,
        "x509",
        &[
            "x509",
            "fingerprint",
            "primaryfingerprint",
            "x509fingerprint",
            "certfingerprint",
            "certificatefingerprint",
            "指纹",
            "主指纹",
            "证书指纹",
        ],
    ),
    (
        Field::SecondaryX509,
        "secondary_fingerprint",
        &["secondaryfingerprint", "secondaryx509", "辅指纹", "备指纹"],
    ),
    (Field::Frozen, "frozen", &["frozen", "冻结", "是否冻结"]),
    (Field::Status, "status", &["status", "devicestatus", "状态", "设备状态"]),
    (Field::AuthType, "auth_type", &["authtype", "认证类型", "设备认证类型"]),
    (Field::SecretType, "secret_type", &["secrettype", "密钥类型"]),
    (Field::GatewayId, "gateway_id", &["gatewayid", "网关id"]),
    (Field::NodeType, "node_type", &["nodetype", "节点类型"]),
];

impl Field {
    pub(super) const COUNT: usize = 11;

    /// Its name in messages and for `--column`.
    pub(super) fn name(self) -> &'static str {
        FIELDS.get(self as usize).map_or("", |(_, name, _)| name)
    }

    /// All of them, in their sequence.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        FIELDS.iter().map(|(field, ..)| *field)
    }

    fn named(name: &str) -> Option<Self> {
        FIELDS.iter().find(|(_, its, _)| *its == name).map(|(field, ..)| *field)
    }

    fn usual(plain: &str) -> Option<Self> {
        FIELDS.iter().find(|(_, _, names)| names.contains(&plain)).map(|(field, ..)| *field)
    }
}

/// A name of a column as it is compared: in any case, with any of `_`, `-`, `.` and blanks in it or none.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|char| !matches!(char, '_' | '-' | '.' | '\u{feff}') && !char.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect()
}

/// One `--column NAME=COLUMN`: what a column is, where its name does not tell.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// `None` leaves the column aside.
    field: Option<Field>,
    column: String,
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, column) = text.split_once('=').ok_or("expected NAME=COLUMN, found no =")?;
        let field = match name {
            "ignore" => None,
            name => Some(Field::named(name).ok_or_else(|| {
                let names: Vec<&str> = FIELDS.iter().map(|(_, name, _)| *name).collect();
                format!("expected ignore or one of {} before the =", names.join(", "))
            })?),
        };
        match plain(column) {
            column if column.is_empty() => {
                Err("expected a column's name after the =, found none".into())
            }
            column => Ok(Self { field, column }),
        }
    }
}

/// Which field a column is, by its name and by what the user chose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices<'a>(pub(super) &'a [Choice]);

impl<'a> Choices<'a> {
    /// The field that a name stands for; `None` if it is left aside.
    pub(super) fn field(self, name: &str) -> Option<Field> {
        let name = plain(name);
        if let Some(choice) = self.0.iter().find(|choice| choice.column == name) {
            return choice.field;
        }
        // Where the user has chosen a column for a field, others with one of its usual names are left aside.
        let field = Field::usual(&name)?;
        self.0.iter().all(|choice| choice.field != Some(field)).then_some(field)
    }

    /// A column that the user chose and that is not among these names.
    pub(super) fn absent(self, names: &[String]) -> Option<&'a str> {
        let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let missing = self.0.iter().find(|choice| !names.contains(&choice.column));
        missing.map(|choice| choice.column.as_str())
    }
}

/// What is known of one device: the value of each field, `None` where there is no such column or key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given<'a>([Option<&'a [u8]>; Field::COUNT]);

impl<'a> Given<'a> {
    pub(super) fn set(&mut self, field: Field, value: &'a [u8]) {
        if let Some(slot) = self.0.get_mut(field as usize) {
            *slot = Some(value);
        }
    }

    pub(super) fn get(&self, field: Field) -> Option<&'a [u8]> {
        self.0.get(field as usize).copied().flatten()
    }

    /// The value of a field if it is not empty.
    pub(super) fn filled(&self, field: Field) -> Option<&'a [u8]> {
        self.get(field).filter(|value| !value.is_empty())
    }
}

/// A name out of a file, for messages: harmless, and cut if it is long.
pub(super) fn quoted(name: &str) -> String {
    const MOST: usize = 40;
    let mut cut: String = name.chars().take(MOST).collect();
    if cut.len() < name.len() {
        cut.push('…');
    }
    format!("\"{}\"", Harmless(cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_in_their_sequence_and_their_names_are_plain_and_unique() {
        let mut all = Vec::new();
        for (at, (field, name, names)) in FIELDS.iter().enumerate() {
            assert_eq!((*field as usize, field.name()), (at, *name));
            assert_eq!(Field::usual(&plain(name)), Some(*field), "{name}");
            for name in *names {
                assert_eq!(plain(name), *name);
                assert!(!all.contains(name), "{name}");
                all.push(name);
            }
        }
    }

    #[test]
    fn columns_are_known_by_their_usual_names() {
        for (name, field) in [
            ("device_id", Some(Field::DeviceId)),
            ("Device_ID", Some(Field::DeviceId)),
            ("deviceId", Some(Field::DeviceId)),
            ("DeviceID", Some(Field::DeviceId)),
            ("\u{feff} Device ID ", Some(Field::DeviceId)),
            ("设备ID", Some(Field::DeviceId)),
            ("密钥", Some(Field::Secret)),
            ("deviceSecret", Some(Field::Secret)),
            ("device_secret", Some(Field::Secret)),
            ("SECONDARY_SECRET", Some(Field::Secondary)),
            ("X.509", Some(Field::X509)),
            ("Fingerprint", Some(Field::X509)),
            // The console's 设备标识码 is the node_id.
            ("设备标识码", None),
            ("node_id", None),
            ("id", None),
            ("", None),
        ] {
            assert_eq!(Choices(&[]).field(name), field, "{name}");
        }
    }

    #[test]
    fn a_choice_decides() {
        let choices: Vec<Choice> =
            ["secret=PSK", "ignore=status"].map(|text| text.parse().unwrap()).into();
        let choices = Choices(&choices);
        for (name, field) in [
            ("psk", Some(Field::Secret)),
            ("secret", None),
            ("Status", None),
            ("deviceId", Some(Field::DeviceId)),
        ] {
            assert_eq!(choices.field(name), field, "{name}");
        }
        assert_eq!(choices.absent(&["Status".into(), "psk".into()]), None);
        assert_eq!(choices.absent(&["psk".into()]), Some("status"));
        for wrong in ["", "secret", "secret=", "password=psk", "=psk"] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_shown_cut_and_harmless() {
        assert_eq!(quoted("备注\x1b[2J"), "\"备注\\u{1b}[2J\"");
        let long = quoted(&"x".repeat(1000));
        assert_eq!(long.chars().count(), 43);
    }
}
