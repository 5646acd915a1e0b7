//! Mistakes made mechanically: every synchronising and asynchronous instruction of a kernel removed,
//! and every barrier, parity, byte count, coordinate and descriptor field it is given perturbed, one
//! at a time. A judge of kernels should notice each.
//!
//! An operand is perturbed where it is used, by way of a fresh register, so that nothing else that
//! reads the same register changes.

mod rules;
mod text;

use std::ops::Range;

use text::{bodies, declared, instructions, without_comments};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// 1-based line in the module.
    pub line: usize,
    /// The opcode of the instruction.
    pub opcode: String,
    /// What is wrong with it.
    pub what: String,
    /// The instruction as it was, on one line.
    pub original: String,
    /// Where it is in the module.
    span: Range<usize>,
    replacement: String,
}

impl Mutant {
    /// The module with this mistake.
    pub fn apply(&self, ptx: &str) -> String {
        let mut text = ptx.to_owned();
        text.replace_range(self.span.clone(), &self.replacement);
        text
    }

    /// The module with a trap where the mistake would be made: who does not run into it does not
    /// execute the instruction.
    pub fn trapped(&self, ptx: &str) -> String {
        let (before, instruction) = (&ptx[..self.span.start], &ptx[self.span.start..]);
        let guard = match instruction.starts_with('@') {
            true => instruction.split_whitespace().next().unwrap_or_default(),
            false => "",
        };
        format!("{before}{guard} trap; {instruction}")
    }
}

/// All mutants of the entry `kernel` of a module. `None`: the module has no such entry.
pub fn of(ptx: &str, kernel: &str) -> Option<Vec<Mutant>> {
    let code = without_comments(ptx);
    let found = bodies(&code).into_iter().find(|(name, entry, _)| *entry && *name == kernel)?;
    Some(in_body(ptx, &code, found.2))
}

/// All mutants of these entries of a module, and of every function that is no entry.
pub fn of_all(ptx: &str, kernels: &[&str]) -> Vec<Mutant> {
    let code = without_comments(ptx);
    let wanted = |&(name, entry, _): &(&str, bool, _)| !entry || kernels.contains(&name);
    let bodies = bodies(&code).into_iter().filter(wanted);
    bodies.flat_map(|(_, _, body)| in_body(ptx, &code, body)).collect()
}

/// Names of the entries of a module.
pub fn entries(ptx: &str) -> Vec<&str> {
    let after = |line| str::split_once(line, ".entry ").map(|(_, rest)| rest);
    ptx.lines().filter_map(after).filter_map(|rest| rest.split('(').next()).collect()
}

fn in_body(ptx: &str, code: &str, body: Range<usize>) -> Vec<Mutant> {
    let widths = declared(&code[body.clone()]);
    let mut mutants = vec![];
    let (mut line, mut counted) = (1, 0);
    for instruction in instructions(&code[body.clone()]) {
        let start = body.start + instruction.span.start;
        line += ptx[counted..start].matches('\n').count();
        counted = start;
        let span = start..body.start + instruction.span.end;
        let words: Vec<&str> = ptx[span.clone()].split_whitespace().collect();
        for (what, replacement) in rules::mistakes(&code[body.clone()], &instruction, &widths) {
            mutants.push(Mutant {
                line,
                opcode: instruction.opcode.to_owned(),
                what,
                original: words.join(" "),
                span: span.clone(),
                replacement,
            });
        }
    }
    mutants
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
	cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%rd2, {%r3, 4}], [%r7];
	fence.acq_rel.gpu;
	st.release.sys.global.b32 [%rd1], %r1;
	barrier.cluster.wait.acquire.aligned;
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
        assert_eq!(of_all(PTX, &["k"]), mutants);
        assert!(of(PTX, "other").is_none());
        let text = |line, what| find(&mutants, line, what).replacement.trim().to_owned();
        assert_eq!(text(5, "removed"), ";");
        assert_eq!(text(5, "barrier number +1"), "bar.sync 1;");
        assert_eq!(
            text(6, "byte count -16"),
            "{ .reg .b32 mutant; add.s32 mutant, %r2, -16; \
             @%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+8], mutant; }"
        );
        assert!(text(6, "barrier +8").ends_with("_, [mutant+8], %r2; }"));
        assert!(text(6, "guard inverted").starts_with("@!%p1 mbarrier"));
        assert!(text(7, "parity flipped").ends_with("[%r3], 0;"));
        assert!(text(7, "does not wait").ends_with("1; setp.eq.u32 p, 0, 0;"));
        assert!(!mutants.iter().any(|m| m.line == 7 && m.what == "removed"));
        let swizzle = text(8, "operand 1: swizzle (bit 63) flipped");
        assert!(swizzle.contains("xor.b64 mutant, %rd6, 9223372036854775808;"), "{swizzle}");
        assert!(text(9, "coordinate 0 +1").contains("{mutant, 4}"));
        assert!(text(9, "coordinate 1 +1").contains("{%r3, 5}"));
        assert!(text(10, "source +128").contains("[mutant];"));
        assert_eq!(text(11, "scope .gpu becomes .cta"), "fence.acq_rel.cta;");
        assert_eq!(text(12, ".release becomes .relaxed"), "st.relaxed.sys.global.b32 [%rd1], %r1;");
        assert!(mutants.iter().all(|m| m.line < 14), "arithmetic is left alone");
        let changed = find(&mutants, 5, "removed").apply(PTX);
        assert_eq!(changed.lines().count(), PTX.lines().count());
        assert!(!changed.contains("bar.sync"));
        let trapped = find(&mutants, 6, "removed").trapped(PTX);
        assert!(trapped.contains("\t@%p1 trap; @%p1 mbarrier.arrive.expect_tx"), "{trapped}");
    }
}
