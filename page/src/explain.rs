//! Why is this login accepted or refused? The core explains it, as for the tool; here it becomes rows.

use crate::{
    answer::{Language, Rows},
    chinese,
    make::check_secret,
};
use iotda_core::{
    explain::{Answer, Explanation},
    log::read,
    login::{ClientId, Connect, Kind, Refusal, steps::Step},
    options::Options,
    registry::{Cancel, Table, read::read as read_table},
};
use zeroize::Zeroizing;

/// What the form holds. An empty field counts as not sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    /// The time of the login, in Unix seconds.
    pub(crate) now: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) keep_alive: &'a str,
    /// Options of the plugin, such as `timestamp_max_age=25h`.
    pub(crate) options: &'a str,
}

/// Stands in for a secret that is not at hand. It is no legal one, so no device has it.
const NO_SECRET: &str = "not-given";

/// Explains a login.
pub(crate) fn of_login(rows: &mut Rows, language: Language, login: &Login<'_>) {
    match explained(language, login) {
        Err(fault) => rows.add(&[&"error", &fault]),
        Ok(explanation) => write(rows, language, &explanation, !login.secret.is_empty()),
    }
}

fn explained(language: Language, login: &Login<'_>) -> Result<Explanation, String> {
    let secret = if login.secret.is_empty() { NO_SECRET } else { login.secret };
    check_secret(language, secret)?;
    let keep_alive = login.keep_alive.trim().parse().map_err(|_| {
        language.of("Keep alive: expected seconds, 0 to 65535", "心跳：应为 0 到 65535 秒")
    })?;
    let now = login.now.parse().map_err(|_| {
        language.of(
            "Time: expected an instant like 2026-11-22T09:00:00Z",
            "时间：应为 2026-11-22T09:00:00Z 这样的格式",
        )
    })?;
    let options = Options::parse_words("/", login.options.split_whitespace())?;
    let connect = Connect {
        client_id: sent(login.client_id),
        username: sent(login.username),
        password: sent(login.password),
        certificate: None,
        keep_alive,
    };
    Ok(Explanation::of_login(&connect, &table(login.client_id, secret), &options.policy, now))
}

fn sent(field: &str) -> Option<&[u8]> {
    (!field.is_empty()).then_some(field.as_bytes())
}

/// A table with the one device that the ClientId names; an empty one if no device can have that name.
fn table(client_id: &str, secret: &str) -> Table {
    let Ok(ClientId { device_id, .. }) = ClientId::parse(client_id.as_bytes()) else {
        return Table::empty();
    };
    let file = [device_id, b":", secret.as_bytes(), b"\n"].concat();
    let file = Zeroizing::new(file);
    read_table(file.as_slice(), file.len() as u64, 1, Cancel::NEVER)
        .map_or_else(|_| Table::empty(), |content| content.table)
}

/// Explains a line of the log.
pub(crate) fn of_line(rows: &mut Rows, language: Language, line: &str) {
    match read::parse(line) {
        Ok(refusal) => write(rows, language, &Explanation::of_line(&refusal), true),
        // Not repeated: anything may have been pasted, also a secret.
        Err(error) => rows.add(&[&"error", &error]),
    }
}

fn write(rows: &mut Rows, language: Language, explanation: &Explanation, has_secret: bool) {
    let text = explanation.to_string();
    let mut lines = text.lines();
    if explanation.logged.is_some() {
        for _ in 0..3 {
            let (name, value) =
                lines.next().and_then(|line| line.split_once(": ")).unwrap_or_default();
            rows.add(&[&"fact", &name, &value]);
        }
    }
    // Whether a password is right cannot be known without the secret; whether it looks like one can.
    let is_open = !has_secret && needs_the_secret(explanation.verdict);
    for (step, outcome) in &explanation.steps {
        if is_open && *step >= Step::Password {
            let title = language.of(step.title(), chinese::step(*step));
            let words = language.of("not checked: needs the secret", "未检查：需要密钥");
            rows.add(&[&"step", &step.number(), &title, &"not_checked", &words]);
            continue;
        }
        match language {
            Language::English => {
                rows.add(&[&"step", &step.number(), &step.title(), &outcome.id(), outcome]);
            }
            Language::Chinese => {
                let words = chinese::outcome(outcome);
                rows.add(&[&"step", &step.number(), &chinese::step(*step), &outcome.id(), &words]);
            }
        }
    }
    if explanation.logged.is_some() {
        rows.add(&[
            &"note",
            &language
                .of("not checked again: the log has no password", "未重新检查：日志中没有密码"),
        ]);
    }
    if is_open {
        rows.add(&[
            &"note",
            &language.of(
                "Nothing is wrong before the password. With the secret, the password is checked too.",
                "密码之前的各步都没有问题。填写密钥后可以继续检查密码。",
            ),
        ]);
        return;
    }
    verdict(rows, language, explanation.verdict);
    rows.add_text(&[&"text"], &text);
}

fn needs_the_secret(verdict: Answer) -> bool {
    match verdict {
        Answer::Refused { reason: Refusal::WrongPassword, kind } => {
            !matches!(kind, Some(Kind::Missing | Kind::Malformed))
        }
        _ => false,
    }
}

/// The last lines: what came of it, what was recognised, what to do.
fn verdict(rows: &mut Rows, language: Language, verdict: Answer) {
    let text = match language {
        Language::English => verdict.to_string(),
        Language::Chinese => chinese::verdict(verdict),
    };
    for (number, line) in text.lines().enumerate() {
        if number == 0 {
            rows.add(&[&"verdict", &verdict.id(), &line]);
        } else {
            rows.add(&[&"advice", &line]);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::answer::answer;

    fn explain(language: &str, fields: [&str; 7]) -> String {
        answer(&[["explain", language].as_slice(), &fields].concat().join("\0"))
    }

    const RIGHT: &str = "c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a";

    #[test]
    fn a_login_is_explained_with_its_secret() {
        let fields = ["0", "lamp_0_0_2025041401", "lamp", RIGHT, "12345678", "120", ""];
        let rows = explain("en", fields);
        assert!(rows.contains("\nverdict\taccepted\taccepted\n"), "{rows}");
        let upper = RIGHT.to_uppercase();
        let rows =
            explain("en", ["0", "lamp_0_0_2025041401", "lamp", &upper, "12345678", "120", ""]);
        assert!(rows.contains("recognised: password=uppercase"), "{rows}");
        let rows =
            explain("zh", ["0", "lamp_0_0_2025041401", "lamp", &upper, "12345678", "120", ""]);
        assert!(rows.contains("password=uppercase") && rows.contains("小写"), "{rows}");
    }

    #[test]
    fn without_the_secret_the_password_stays_open() {
        let rows = explain("en", ["0", "lamp_0_0_2025041401", "lamp", RIGHT, "", "120", ""]);
        assert!(
            rows.contains("not checked: needs the secret") && !rows.contains("verdict"),
            "{rows}"
        );
        let rows = explain("en", ["0", "lamp_0_0_2025041401", "lamp", "xyz", "", "120", ""]);
        assert!(rows.contains("verdict\trefused\trefused: wrong_password"), "{rows}");
        let rows = explain("en", ["0", "lamp_0_0_2025041401", "lamp", RIGHT, "", "29", ""]);
        assert!(rows.contains("verdict\trefused\trefused: bad_keepalive"), "{rows}");
    }

    #[test]
    fn options_count_and_wrong_fields_are_named() {
        let with = |keep_alive, options| {
            explain(
                "en",
                ["0", "lamp_0_0_2025041401", "lamp", RIGHT, "12345678", keep_alive, options],
            )
        };
        assert!(with("0", "keepalive=any").contains("verdict\taccepted"));
        assert!(with("0", "plugin_opt_keepalive any").contains("verdict\taccepted"));
        assert!(with("x", "").starts_with("error\tKeep alive: "));
        assert!(
            with("120", "frobnicate=1").starts_with("error\tplugin_opt_frobnicate: unknown option")
        );
    }

    #[test]
    fn a_line_of_the_log_is_explained() {
        let line = "iotda-auth: refused client=\"lamp\" user=\"lamp\" address=- reason=bad_client_id shape=deviceid";
        for (language, word) in [("en", "what to do: "), ("zh", "处理办法：")] {
            let rows = answer(&["line", language, line].join("\0"));
            assert!(
                rows.starts_with("fact\tClientId\t\"lamp\"\n") && rows.contains(word),
                "{rows}"
            );
        }
        assert!(answer("line\0en\0secret").starts_with("error\t"));
    }
}
