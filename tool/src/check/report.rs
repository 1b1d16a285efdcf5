//! How are findings printed, and what do they answer?

use super::finding::{Finding, ROWS, Row, Severity};
use crate::terminal::{self, Answer, Failure, Harmless, shown};
use serde_json::{Value, json};
use std::io::Write;

/// How many findings are of this severity.
pub(crate) fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

/// Yes if there is no error; with `strict`, if there is nothing.
pub(crate) fn answer(findings: &[Finding], strict: bool) -> Answer {
    let is_bad = count(findings, Severity::Error) > 0 || strict && !findings.is_empty();
    if is_bad { Answer::No } else { Answer::Yes }
}

/// A line for each, as compilers do, and the summary.
pub(crate) fn text(findings: &[Finding], summary: &str) -> Result<(), Failure> {
    terminal::write(|out| {
        for Finding { id, severity, at, found, advice } in findings {
            let line = if at.line == 0 { String::new() } else { format!(":{}", at.line) };
            let (file, severity, id) = (shown(&at.file), severity.word(), id.row().name);
            let (found, advice) = (Harmless(found), Harmless(advice));
            writeln!(out, "{file}{line}: {severity}: {found}: {advice} [{id}]")?;
        }
        writeln!(out, "{}", Harmless(summary))
    })
}

/// One object: `more`, with the findings and their numbers.
pub(crate) fn json(findings: &[Finding], mut more: Value) -> Result<(), Failure> {
    let list: Vec<_> = findings
        .iter()
        .map(|Finding { id, severity, at, found, advice }| {
            json!({
                "file": at.file.to_string_lossy(),
                "line": if at.line == 0 { Value::Null } else { at.line.into() },
                "severity": severity.word(),
                "id": id.row().name,
                "found": found,
                "advice": advice,
            })
        })
        .collect();
    if let Some(object) = more.as_object_mut() {
        for (name, severity) in [("errors", Severity::Error), ("warnings", Severity::Warning)] {
            object.insert(name.into(), count(findings, severity).into());
        }
        object.insert("findings".into(), list.into());
    }
    terminal::write(|out| writeln!(out, "{more}"))
}

/// What can be found: a line for each.
pub(crate) fn list() -> Result<Answer, Failure> {
    terminal::write(|out| {
        ROWS.iter().try_for_each(|Row { name, severity, what, advice }| {
            writeln!(out, "{name}: {}: {what}: {advice}", severity.word())
        })
    })?;
    Ok(Answer::Yes)
}
