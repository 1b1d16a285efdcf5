//! How do the steps of a check look?

use iotda_core::login::{Refusal, steps::Step};
use std::io::{self, Write};

/// Writes a step without its outcome.
pub(crate) fn write_step(out: &mut impl Write, step: Step) -> io::Result<()> {
    write!(out, "{:>2}  {:<52}", step.number(), step.title())
}

/// Writes the result of a refused login, and what to do.
pub(crate) fn write_refusal(out: &mut impl Write, reason: Refusal) -> io::Result<()> {
    let (id, code) = (reason.id(), reason.connack());
    writeln!(out, "refused: {id} ({reason}), CONNACK {}, MQTT 5 {:#04X}", code.v3, code.v5)?;
    writeln!(out, "what to do: {}", reason.advice())
}
