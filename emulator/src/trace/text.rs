//! A trace as text, one line per event: for eyes and for `diff`.

use std::io::{self, Write};

use super::{Trace, What};
use crate::decode::program::Program;

/// Writes a trace. Columns: tick, CTA, warp, line, event, and the opcode on that line.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut impl Write, trace: &Trace, program: &Program) -> io::Result<()> {
    // Finding a line in the text is linear; most events come from few lines.
    let mut opcodes = std::collections::HashMap::new();
    for cluster in &trace.clusters {
        for event in &cluster.events {
            let who = &event.actor;
            let [x, y, z] = who.cta;
            let warp = format!("({x},{y},{z}) w{}", who.warp);
            write!(out, "{:>8} {warp:<12} L{:<5} ", event.tick, who.line)?;
            match &event.what {
                What::Instruction { lanes } => write!(out, "execute  {lanes:08x}")?,
                What::Issue { id, unit } => write!(out, "issue    #{id} {}", unit.name())?,
                What::ReadsDone { id, unit } => write!(out, "read     #{id} {}", unit.name())?,
                What::Complete { id, unit } => write!(out, "complete #{id} {}", unit.name())?,
                What::WaitBegin(what) => write!(out, "wait     {what}")?,
                What::WaitEnd { gave_up: false } => write!(out, "go on")?,
                What::WaitEnd { gave_up: true } => write!(out, "give up")?,
                What::Phase { address } => write!(out, "phase    mbarrier {address:#x}")?,
                What::CtaEnd => write!(out, "CTA ends")?,
            }
            let opcode = opcodes.entry(who.line).or_insert_with(|| opcode(program, who.line));
            writeln!(out, "{}{opcode}", if opcode.is_empty() { "" } else { "  " })?;
        }
        if cluster.dropped > 0 {
            writeln!(out, "{} further events were not kept", cluster.dropped)?;
        }
    }
    Ok(())
}

/// The opcode on a line of the text.
pub(super) fn opcode(program: &Program, line: u32) -> String {
    let words = program.line(line).unwrap_or_default().split_whitespace();
    let mut words =
        words.skip_while(|w| w.starts_with('@') || w.starts_with('{') || w.ends_with(':'));
    words.next().unwrap_or_default().trim_end_matches(';').to_owned()
}
