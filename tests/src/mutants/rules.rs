//! Which mistakes are made in which instruction.

use std::collections::BTreeMap;

use super::text::{Instruction, tokens};

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
    "clusterlaunchcontrol.try_cancel",
    "setmaxnreg",
];

/// The mistakes: what is wrong, and the instruction with it.
pub(super) fn mistakes(
    text: &str,
    instruction: &Instruction<'_>,
    widths: &BTreeMap<&str, u32>,
) -> Vec<(String, String)> {
    let mut found = Found { text, instruction, widths, out: vec![] };
    found.all();
    found.out
}

/// Collects the mutants of one instruction.
struct Found<'a> {
    text: &'a str,
    instruction: &'a Instruction<'a>,
    widths: &'a BTreeMap<&'a str, u32>,
    out: Vec<(String, String)>,
}

impl Found<'_> {
    fn all(&mut self) {
        let opcode = self.instruction.opcode;
        let is = |prefix: &str| opcode.starts_with(prefix);
        let has = |part: &str| opcode.split('.').any(|p| p == part);
        if is("cp.async.bulk.prefetch") {
            return;
        }
        let waits = is("mbarrier.try_wait") || is("mbarrier.test_wait");
        let asynchronous = !waits && REMOVED.iter().any(|prefix| is(prefix));
        if asynchronous {
            self.out.push(("removed".to_owned(), ";".to_owned()));
        }
        if asynchronous || waits {
            self.guard();
        }
        let memory = ["ld.", "st.", "atom.", "red."].iter().any(|prefix| is(prefix));
        if asynchronous || waits || memory {
            self.weaker();
        }
        if has("cta_group::2") {
            self.opcode("cta_group::2", "cta_group::1");
        }
        let last = self.instruction.operands.len().wrapping_sub(1);
        let barrier = |found: &mut Self, operand| found.wrong(operand, "barrier", &[Add(8)]);
        if waits {
            self.never_waits();
            barrier(self, 1);
            self.wrong(2, "parity", &[Flip(0)]);
        } else if is("mbarrier.init") {
            barrier(self, 0);
            self.wrong(1, "arrivals", &[Add(1), Add(-1)]);
        } else if is("mbarrier.arrive.expect_tx") || is("mbarrier.expect_tx") {
            barrier(self, last.wrapping_sub(1));
            self.wrong(last, "byte count", &[Add(16), Add(-16), Set(0)]);
        } else if is("mbarrier.arrive") {
            barrier(self, 1);
            self.wrong(2, "arrivals", &[Add(1)]);
        } else if is("mbarrier.inval") || is("cp.async.mbarrier.arrive") {
            barrier(self, 0);
        } else if is("cp.async.bulk.wait_group")
            || is("cp.async.wait_group")
            || is("wgmma.wait_group")
        {
            self.wrong(0, "pending groups", &[Add(1)]);
        } else if is("cp.async.bulk.commit_group") || is("cp.async.commit_group") {
        } else if is("cp.async.bulk") || is("cp.reduce.async.bulk") {
            self.copy();
        } else if is("cp.async") {
            self.wrong(0, "destination", &[Add(16)]);
            self.wrong(3, "source bytes", &[Add(-4)]);
        } else if is("st.async") || is("red.async") {
            barrier(self, last);
        } else if is("clusterlaunchcontrol.try_cancel") {
            barrier(self, 1);
        } else if is("tcgen05.commit") {
            barrier(self, 0);
            self.wrong(1, "multicast mask", &[Flip(0), Flip(1)]);
        } else if is("tcgen05.mma") {
            self.multiply();
        } else if is("wgmma.mma_async") {
            self.multiply_on_hopper();
        } else if is("mapa") {
            self.wrong(2, "CTA rank", &[Add(1), Flip(0)]);
        } else if is("tcgen05.cp") {
            self.wrong(0, "column", &[Add(1)]);
            self.descriptor(1);
        } else if is("tcgen05.ld") || is("tcgen05.st") {
            let address = if is("tcgen05.ld") { 1 } else { 0 };
            self.wrong(address, "column", &[Add(1)]);
            self.wrong(address, "lane", &[Add(1 << 16)]);
        } else if is("tcgen05.alloc") || is("tcgen05.dealloc") {
            self.wrong(1, "columns", &[Set(256), Set(128), Set(32)]);
        } else if is("bar.warp") {
        } else if is("bar.") || is("barrier.sync") || is("barrier.arrive") || is("barrier.cta") {
            self.wrong(0, "barrier number", &[Add(1)]);
            self.wrong(1, "threads", &[Add(32), Add(-32)]);
        } else if is("setmaxnreg") {
            self.wrong(0, "registers", &[Add(8)]);
        }
        // A count that is the one there was is no mistake.
        let same = self.text[self.instruction.span.clone()].to_owned();
        self.out.retain(|(_, changed)| *changed != same);
    }

    /// The guard the other way round, or gone.
    fn guard(&mut self) {
        let Some(guard) = self.instruction.guard.clone() else { return };
        let text = &self.text[guard.clone()];
        let inverted = match text.strip_prefix('!') {
            Some(plain) => plain.to_owned(),
            None => format!("!{text}"),
        };
        let line = self.replaced(guard, &inverted);
        self.out.push(("guard inverted".to_owned(), line));
        let whole = self.text[self.instruction.at.start..self.instruction.span.end].to_owned();
        self.out.push(("guard removed".to_owned(), whole));
    }

    /// Less order, or among fewer.
    fn weaker(&mut self) {
        let opcode = self.instruction.opcode;
        let parts = || opcode.split('.').skip(1);
        // Fences are removed; there is none that is relaxed.
        if !opcode.starts_with("fence") {
            for order in ["release", "acquire", "acq_rel"] {
                if parts().any(|part| part == order) {
                    self.opcode(order, "relaxed");
                }
            }
        }
        for scope in ["sys", "gpu", "cluster", "gl"] {
            // In a barrier it is the kind, in a fence for mbarriers the only one there is.
            let fixed = opcode.starts_with("barrier") || opcode.starts_with("fence.mbarrier");
            if !fixed && parts().any(|part| part == scope) {
                self.opcode(scope, "cta");
            }
        }
    }

    /// A part of the opcode becomes another.
    fn opcode(&mut self, part: &str, other: &str) {
        let parts = self.instruction.opcode.split('.');
        let changed: Vec<&str> = parts.map(|p| if p == part { other } else { p }).collect();
        let line = self.replaced(self.instruction.at.clone(), &changed.join("."));
        let what = match part {
            "sys" | "gpu" | "cluster" | "gl" => format!("scope .{part} becomes .{other}"),
            _ => format!(".{part} becomes .{other}"),
        };
        self.out.push((what, line));
    }

    /// The instruction with other text in one place of it.
    fn replaced(&self, place: std::ops::Range<usize>, with: &str) -> String {
        let span = &self.instruction.span;
        let mut line = self.text[span.clone()].to_owned();
        line.replace_range(place.start - span.start..place.end - span.start, with);
        line
    }

    /// The predicate of a wait becomes true whatever the barrier says.
    fn never_waits(&mut self) {
        let Some(predicate) = self.instruction.operands.first() else { return };
        let predicate = &self.text[predicate.clone()];
        let line = &self.text[self.instruction.span.clone()];
        let line = format!("{line} setp.eq.u32 {predicate}, 0, 0;");
        self.out.push(("does not wait".to_owned(), line));
    }

    fn copy(&mut self) {
        let opcode = self.instruction.opcode;
        let to_global = opcode.contains(".global.shared");
        let operands = self.instruction.operands.clone();
        let map = operands.iter().position(|o| self.text[o.clone()].contains('{'));
        if let (true, Some(map)) = (opcode.contains(".tensor"), map) {
            for coordinate in 0..5 {
                let what = format!("coordinate {coordinate}");
                self.wrong_part(map, 1 + coordinate, &what, &[Add(1)]);
            }
            if to_global {
                return self.wrong(1, "source", &[Add(128)]);
            }
            self.wrong(0, "destination", &[Add(128)]);
            self.wrong(2, "barrier", &[Add(8)]);
        } else {
            self.wrong(0, "destination", &[Add(128)]);
            self.wrong(1, "source", &[Add(16)]);
            self.wrong(2, "byte count", &[Add(16), Add(-16)]);
            if !to_global {
                self.wrong(3, "barrier", &[Add(8)]);
            }
        }
        if opcode.contains("multicast") {
            let mask = if map.is_some() { 3 } else { 4 };
            self.wrong(mask, "multicast mask", &[Flip(0), Flip(1)]);
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
            let text = &self.text[operand.clone()];
            if text.starts_with('[') {
                self.wrong(i, "scales", &[Add(1)]);
            } else if !text.starts_with(|c: char| c.is_ascii_digit() || c == '{') {
                self.other_predicate(operand.clone(), "accumulates where it must not");
            }
        }
    }

    fn other_predicate(&mut self, operand: std::ops::Range<usize>, what: &str) {
        let text = self.text[operand.clone()].to_owned();
        let line = self.replaced(operand, "mutant");
        let line = format!("{{ .reg .pred mutant; not.pred mutant, {text}; {line} }}");
        self.out.push((what.to_owned(), line));
    }

    /// `wgmma`: accumulator, A (registers or a descriptor), B's descriptor, whether to accumulate.
    fn multiply_on_hopper(&mut self) {
        let operands = self.instruction.operands.clone();
        if operands.get(1).is_some_and(|a| !self.text[a.clone()].starts_with('{')) {
            self.descriptor(1);
        }
        self.descriptor(2);
        if let Some(scale) = operands.get(3) {
            if self.text[scale.clone()].starts_with(|c: char| c.is_ascii_digit()) {
                self.wrong(3, "accumulates, or does not", &[Flip(0)]);
            } else {
                self.other_predicate(scale.clone(), "accumulates, or does not");
            }
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
        if self.text[range.clone()].starts_with('[') {
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

    /// Bits of a register, if the word is one.
    fn width(&self, word: &str) -> Option<u32> {
        let prefix = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let bits = self.widths.get(word).or_else(|| self.widths.get(prefix)).copied();
        bits.or_else(|| word.starts_with('%').then_some(32))
    }

    /// Gives part `part` (a register, a symbol or a number) of an operand wrong values.
    fn wrong_part(&mut self, operand: usize, part: usize, what: &str, values: &[Wrong]) {
        let Some(range) = self.instruction.operands.get(operand).cloned() else { return };
        let Some(token) = tokens(&self.text[range.clone()]).into_iter().nth(part) else { return };
        let token = range.start + token.start..range.start + token.end;
        let word = self.text[token.clone()].to_owned();
        let number = number(&word);
        let in_brackets = self.text[range].starts_with('[');
        for &value in values {
            let (label, line) = if let Some(number) = number {
                let (label, number) = match value {
                    Add(n) => (format!("{n:+}"), number + n),
                    Flip(bit) => ("flipped".to_owned(), number ^ 1 << bit),
                    Set(n) => (format!("= {n}"), n as i64),
                };
                (label, self.replaced(token.clone(), &number.to_string()))
            } else {
                // A symbol in brackets is an address of the state space of the instruction.
                let bits = match self.width(&word) {
                    Some(bits) => bits,
                    None if in_brackets => 32,
                    None => continue,
                };
                let (label, make) = match value {
                    Add(n) if self.width(&word).is_none() => (
                        format!("{n:+}"),
                        format!("mov.b32 mutant, {word}; add.s32 mutant, mutant, {n};"),
                    ),
                    Add(n) => (format!("{n:+}"), format!("add.s{bits} mutant, {word}, {n};")),
                    Flip(bit) => {
                        let mask = 1u64 << bit;
                        ("flipped".to_owned(), format!("xor.b{bits} mutant, {word}, {mask};"))
                    }
                    Set(n) => (format!("= {n}"), format!("mov.b{bits} mutant, {n};")),
                };
                let line = self.replaced(token.clone(), "mutant");
                (label, format!("{{ .reg .b{bits} mutant; {make} {line} }}"))
            };
            self.out.push((format!("{what} {label}"), line));
        }
    }
}

fn number(word: &str) -> Option<i64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|n| n as i64),
        None => word.parse().ok(),
    }
}
