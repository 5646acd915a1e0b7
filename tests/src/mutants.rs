//! Mistakes made mechanically: every synchronising and asynchronous instruction of a kernel removed,
//! and every barrier, parity, byte count, coordinate and descriptor field it is given perturbed, one
//! at a time. A judge of kernels should notice each.
//!
//! An operand is perturbed where it is used, by way of a fresh register, so that nothing else that
//! reads the same register changes.

use std::collections::BTreeMap;
use std::ops::Range;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// 1-based line in the module.
    pub line: usize,
    /// The opcode of the instruction.
    pub opcode: String,
    /// What is wrong with it.
    pub what: String,
    /// The line as it was.
    pub original: String,
    replacement: String,
}

impl Mutant {
    /// The module with this mistake.
    pub fn apply(&self, ptx: &str) -> String {
        let mut lines: Vec<&str> = ptx.lines().collect();
        lines[self.line - 1] = &self.replacement;
        lines.join("\n")
    }
}

/// A wrong value for an operand.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Add(i64),
    Flip(u32),
    Set(u64),
}

use Wrong::{Add, Flip, Set};

/// One bit of each field of a shared-memory descriptor: its name and the bit.
const SMEM_FIELDS: [(&str, u32); 10] = [
    ("start address", 0),
    ("start address, high bit", 13),
    ("leading byte offset", 16),
    ("stride byte offset", 32),
    ("constant", 46),
    ("base offset", 49),
    ("leading offset mode", 52),
    ("swizzle", 61),
    ("swizzle", 62),
    ("swizzle", 63),
];

/// What is taken out whole. Waits are not: the predicate they leave unwritten would give them away.
const REMOVED: [&str; 14] = [
    "mbarrier.",
    "fence.",
    "membar",
    "tcgen05.",
    "bar.",
    "barrier.",
    "cp.async",
    "cp.reduce",
    "griddepcontrol",
    "wgmma.",
    "st.async",
    "red.async",
    "clusterlaunchcontrol",
    "setmaxnreg",
];

/// An instruction inside a line.
struct Instruction<'l> {
    /// From the guard to the semicolon.
    span: Range<usize>,
    opcode: &'l str,
    /// Operands, split at commas outside of brackets and braces.
    operands: Vec<Range<usize>>,
}

/// All mutants of the entry `kernel` of a module. `None`: the module has no such entry.
pub fn of(ptx: &str, kernel: &str) -> Option<Vec<Mutant>> {
    let start = ptx.find(&format!(".entry {kernel}("))?;
    let end = start + ptx[start..].find("\n}")?;
    let first = ptx[..start].lines().count().max(1);
    let body = &ptx[start..end];
    let widths = declared(body);
    let mut mutants = vec![];
    for (i, line) in body.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for instruction in instructions(code) {
            let mut found =
                Found { line: code, instruction: &instruction, widths: &widths, out: vec![] };
            found.all();
            for (what, replacement) in found.out {
                mutants.push(Mutant {
                    line: first + i,
                    opcode: instruction.opcode.to_owned(),
                    what,
                    original: line.trim().to_owned(),
                    replacement,
                });
            }
        }
    }
    Some(mutants)
}

/// Names of the entries of a module.
pub fn entries(ptx: &str) -> Vec<&str> {
    let after = |line| str::split_once(line, ".entry ").map(|(_, rest)| rest);
    ptx.lines().filter_map(after).filter_map(|rest| rest.split('(').next()).collect()
}

/// Bits of the registers of each declared prefix.
fn declared(body: &str) -> BTreeMap<String, u32> {
    let mut widths = BTreeMap::new();
    for line in body.lines().map(str::trim).filter(|line| line.starts_with(".reg")) {
        let mut words = line.split_whitespace().skip(1);
        if let (Some(ty), Some(name)) = (words.next(), words.next()) {
            let bits = if ty.ends_with("64") { 64 } else { 32 };
            widths.insert(name.split('<').next().unwrap_or(name).to_owned(), bits);
        }
    }
    widths
}

/// The instructions of a line, which may hold a scope with several.
fn instructions(line: &str) -> Vec<Instruction<'_>> {
    let mut found = vec![];
    let mut at = 0;
    for part in line.split_inclusive(';') {
        let begin = at;
        at += part.len();
        if !part.ends_with(';') {
            continue;
        }
        let lead = part.len() - part.trim_start_matches([' ', '\t', '{']).len();
        let text = &part[lead..part.len() - 1];
        let guard = match text.strip_prefix('@') {
            Some(rest) => 1 + rest.find(char::is_whitespace).map_or(rest.len(), |n| n + 1),
            None => 0,
        };
        let skipped = text[guard..].len() - text[guard..].trim_start().len();
        let opcode_at = guard + skipped;
        let rest = &text[opcode_at..];
        let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let opcode = &rest[..length];
        let base = begin + lead + opcode_at + length;
        let operands = split(&rest[length..]).into_iter().map(|r| base + r.start..base + r.end);
        found.push(Instruction { span: begin + lead..at, opcode, operands: operands.collect() });
    }
    found
}

/// Ranges of the parts between commas outside of brackets and braces, trimmed.
fn split(text: &str) -> Vec<Range<usize>> {
    let (mut depth, mut start, mut parts) = (0, 0, vec![]);
    for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = &text[start..at];
                let left = part.len() - part.trim_start().len();
                if !part.trim().is_empty() {
                    parts.push(start + left..start + left + part.trim().len());
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

/// Collects the mutants of one instruction.
struct Found<'a> {
    line: &'a str,
    instruction: &'a Instruction<'a>,
    widths: &'a BTreeMap<String, u32>,
    out: Vec<(String, String)>,
}

impl Found<'_> {
    fn all(&mut self) {
        let opcode = self.instruction.opcode;
        let is = |prefix: &str| opcode.starts_with(prefix);
        let waits = is("mbarrier.try_wait") || is("mbarrier.test_wait");
        if !waits && REMOVED.iter().any(|prefix| is(prefix)) {
            let mut line = self.line.to_owned();
            line.replace_range(self.instruction.span.clone(), "");
            self.out.push(("removed".to_owned(), line));
        }
        let last = self.instruction.operands.len().wrapping_sub(1);
        let barrier = |found: &mut Self, operand| found.wrong(operand, "barrier", &[Add(8)]);
        if waits {
            self.never_waits();
            barrier(self, 1);
            self.wrong(2, "parity", &[Flip(0)]);
        } else if is("mbarrier.init") {
            barrier(self, 0);
            self.wrong(1, "arrivals", &[Add(1)]);
        } else if is("mbarrier.arrive.expect_tx") || is("mbarrier.expect_tx") {
            barrier(self, last.wrapping_sub(1));
            self.wrong(last, "byte count", &[Add(16), Add(-16), Set(0)]);
        } else if is("mbarrier.arrive") {
            barrier(self, 1);
        } else if is("mbarrier.inval") {
            barrier(self, 0);
        } else if is("cp.async.bulk.tensor") || is("cp.async.bulk.shared") {
            self.copy(is("cp.async.bulk.tensor"));
        } else if is("cp.async.bulk.wait_group")
            || is("cp.async.wait_group")
            || is("wgmma.wait_group")
        {
            self.wrong(0, "pending groups", &[Add(1)]);
        } else if is("tcgen05.commit") {
            barrier(self, 0);
        } else if is("tcgen05.mma") {
            self.multiply();
        } else if is("wgmma.mma_async") {
            self.multiply_on_hopper();
        } else if is("mapa") {
            self.wrong(2, "CTA rank", &[Add(1), Flip(0)]);
        } else if is("barrier.cluster.arrive.release") {
            let relaxed = opcode.replace("release", "relaxed");
            let line = self.line.replacen(opcode, &relaxed, 1);
            self.out.push(("relaxed".to_owned(), line));
        } else if is("tcgen05.cp") {
            self.wrong(0, "column", &[Add(1)]);
            self.descriptor(1);
        } else if is("tcgen05.ld") || is("tcgen05.st") {
            let address = if is("tcgen05.ld") { 1 } else { 0 };
            self.wrong(address, "column", &[Add(1)]);
            self.wrong(address, "lane", &[Add(1 << 16)]);
        } else if is("tcgen05.alloc") || is("tcgen05.dealloc") {
            self.wrong(1, "columns", &[Set(256), Set(128)]);
        } else if is("bar.sync") || is("barrier.sync") || is("barrier.cta") {
            self.wrong(0, "barrier number", &[Add(1)]);
            self.wrong(1, "threads", &[Add(32), Add(-32)]);
        }
    }

    /// The predicate of a wait becomes true whatever the barrier says.
    fn never_waits(&mut self) {
        let Some(predicate) = self.instruction.operands.first() else { return };
        let predicate = &self.line[predicate.clone()];
        let mut line = self.line.to_owned();
        let end = self.instruction.span.end;
        line.insert_str(end, &format!(" setp.eq.u32 {predicate}, 0, 0;"));
        self.out.push(("does not wait".to_owned(), line));
    }

    fn copy(&mut self, tensor: bool) {
        self.wrong(0, "destination", &[Add(128)]);
        if tensor {
            for coordinate in 0..5 {
                let what = format!("coordinate {coordinate}");
                self.wrong_part(1, 1 + coordinate, &what, &[Add(1)]);
            }
            self.wrong(2, "barrier", &[Add(8)]);
        } else {
            self.wrong(1, "source", &[Add(16)]);
            self.wrong(2, "byte count", &[Add(16), Add(-16)]);
            self.wrong(3, "barrier", &[Add(8)]);
        }
    }

    fn multiply(&mut self) {
        self.wrong(0, "accumulator", &[Add(1)]);
        self.descriptor(1);
        self.descriptor(2);
        for bit in 0..32 {
            self.wrong(3, &format!("instruction descriptor, bit {bit},"), &[Flip(bit)]);
        }
        let operands = self.instruction.operands.clone();
        for (i, operand) in operands.iter().enumerate().skip(4) {
            let text = &self.line[operand.clone()];
            if text.starts_with('[') {
                self.wrong(i, "scales", &[Add(1)]);
            } else if !text.starts_with(|c: char| c.is_ascii_digit() || c == '{') {
                let mut line = self.line.to_owned();
                line.replace_range(operand.clone(), "mutant");
                let start = self.instruction.span.start;
                line.insert_str(start, &format!(".reg .pred mutant; not.pred mutant, {text}; "));
                self.out
                    .push(("accumulates where it must not".to_owned(), format!("{{ {line} }}")));
            }
        }
    }

    /// `wgmma`: accumulator, A (registers or a descriptor), B's descriptor, whether to accumulate.
    fn multiply_on_hopper(&mut self) {
        let operands = self.instruction.operands.clone();
        if operands.get(1).is_some_and(|a| !self.line[a.clone()].starts_with('{')) {
            self.descriptor(1);
        }
        self.descriptor(2);
        if let Some(scale) = operands.get(3) {
            let text = self.line[scale.clone()].to_owned();
            let mut line = self.line.to_owned();
            line.replace_range(scale.clone(), "mutant");
            let start = self.instruction.span.start;
            line.insert_str(start, &format!(".reg .pred mutant; not.pred mutant, {text}; "));
            self.out.push(("accumulates, or does not".to_owned(), format!("{{ {line} }}")));
        }
        for (i, what) in [(4, "sign of A"), (5, "sign of B")] {
            self.wrong(i, what, &[Add(-2)]);
        }
        self.wrong(operands.len().wrapping_sub(1), "transposition of B", &[Flip(0)]);
    }

    /// Flips a bit in each field of a shared-memory descriptor.
    fn descriptor(&mut self, operand: usize) {
        let Some(range) = self.instruction.operands.get(operand) else { return };
        // In brackets it is an address in tensor memory.
        if self.line[range.clone()].starts_with('[') {
            return self.wrong(operand, "tensor memory operand", &[Add(1)]);
        }
        for (field, bit) in SMEM_FIELDS {
            let what = format!("operand {operand}: {field} (bit {bit})");
            self.wrong(operand, &what, &[Flip(bit)]);
        }
    }

    fn wrong(&mut self, operand: usize, what: &str, values: &[Wrong]) {
        self.wrong_part(operand, 0, what, values);
    }

    /// Gives part `part` (a register or a number) of an operand wrong values.
    fn wrong_part(&mut self, operand: usize, part: usize, what: &str, values: &[Wrong]) {
        let Some(range) = self.instruction.operands.get(operand).cloned() else { return };
        let Some(token) = tokens(&self.line[range.clone()]).into_iter().nth(part) else { return };
        let token = range.start + token.start..range.start + token.end;
        let text = &self.line[token.clone()];
        for &value in values {
            let (label, line) = if text.starts_with('%') {
                let prefix = text.trim_end_matches(|c: char| c.is_ascii_digit());
                let bits = self.widths.get(prefix).copied().unwrap_or(32);
                let (label, make) = match value {
                    Add(n) => (format!("{n:+}"), format!("add.s{bits} mutant, {text}, {n};")),
                    Flip(bit) => {
                        let mask = 1u64 << bit;
                        ("flipped".to_owned(), format!("xor.b{bits} mutant, {text}, {mask};"))
                    }
                    Set(n) => (format!("= {n}"), format!("mov.b{bits} mutant, {n};")),
                };
                let mut line = self.line.to_owned();
                line.replace_range(token.clone(), "mutant");
                let make = format!(".reg .b{bits} mutant; {make} ");
                line.insert_str(self.instruction.span.start, &make);
                (label, format!("{{ {line} }}"))
            } else {
                let Ok(number) = text.parse::<i64>() else { continue };
                let (label, number) = match value {
                    Add(n) => (format!("{n:+}"), number + n),
                    Flip(bit) => ("flipped".to_owned(), number ^ 1 << bit),
                    Set(n) => (format!("= {n}"), n as i64),
                };
                let mut line = self.line.to_owned();
                line.replace_range(token.clone(), &number.to_string());
                (label, line)
            };
            self.out.push((format!("{what} {label}"), line));
        }
    }
}

/// The registers and numbers of an operand. An offset behind a register belongs to it.
fn tokens(operand: &str) -> Vec<Range<usize>> {
    let mut found = vec![];
    let mut at = 0;
    while let Some(c) = operand[at..].chars().next() {
        let word = operand[at..]
            .find(|c: char| !(c.is_alphanumeric() || "%_.+-$".contains(c)))
            .unwrap_or(operand.len() - at);
        if word == 0 {
            at += c.len_utf8();
            continue;
        }
        let text = &operand[at..at + word];
        let length = text[1..].find(['+', '-']).map_or(text.len(), |n| n + 1);
        found.push(at..at + length);
        at += word;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = "\
.visible .entry k(.param .u64 a)
{
	.reg .b32 %r<9>;
	.reg .b64 %rd<9>;
	bar.sync 0;
	@%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+8], %r2;
	{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%r3], 1; selp.b32 %r4, 1, 0, p; }
	tcgen05.cp.cta_group::1.32x128b.warpx4 [%r5], %rd6;
	cp.async.bulk.tensor.2d.shared::cta.global [%r1], [%rd2, {%r3, 4}], [%r7];
	add.s32 %r1, %r1, 1;
	ret;
}";

    fn find<'m>(mutants: &'m [Mutant], line: usize, what: &str) -> &'m Mutant {
        let found = mutants.iter().find(|m| m.line == line && m.what == what);
        found.unwrap_or_else(|| panic!("no '{what}' on line {line}: {mutants:#?}"))
    }

    #[test]
    fn each_kind_of_mistake_is_made_in_its_place() {
        assert_eq!(entries(PTX), ["k"]);
        let mutants = of(PTX, "k").unwrap();
        assert!(of(PTX, "other").is_none());
        let text = |line, what| find(&mutants, line, what).replacement.trim().to_owned();
        assert_eq!(text(5, "removed"), "");
        assert_eq!(text(5, "barrier number +1"), "bar.sync 1;");
        assert_eq!(
            text(6, "byte count -16"),
            "{ \t.reg .b32 mutant; add.s32 mutant, %r2, -16; \
             @%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+8], mutant; }"
        );
        assert!(text(6, "barrier +8").ends_with("_, [mutant+8], %r2; }"));
        assert!(text(7, "parity flipped").contains("[%r3], 0; selp"));
        assert!(text(7, "does not wait").contains("1; setp.eq.u32 p, 0, 0; selp"));
        assert!(!mutants.iter().any(|m| m.line == 7 && m.what == "removed"));
        let swizzle = text(8, "operand 1: swizzle (bit 63) flipped");
        assert!(swizzle.contains("xor.b64 mutant, %rd6, 9223372036854775808;"), "{swizzle}");
        assert!(text(9, "coordinate 0 +1").contains("{mutant, 4}"));
        assert!(text(9, "coordinate 1 +1").contains("{%r3, 5}"));
        assert!(mutants.iter().all(|m| m.line < 10), "arithmetic is left alone");
        let changed = find(&mutants, 5, "removed").apply(PTX);
        assert_eq!(changed.lines().count(), PTX.lines().count());
        assert!(!changed.contains("bar.sync"));
    }
}
