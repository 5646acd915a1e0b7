//! A case of groups on the emulator or on a device, and what came of it.

use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::grouped::launch::run_with_any_offsets;
use nvfp4_dual_gemm::grouped::{GroupedPlan, GroupedProblem, TwoPass, sm90};
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::grouped::{Grouped, GroupedVerdict};
use nvfp4_dual_gemm_tests::judge::Verdict;
use rayon::prelude::*;

use super::super::run::Row;
use super::GroupedCase;

/// The fused plan or the two passes.
enum Planned {
    Fused(Box<GroupedPlan>),
    TwoPass(Box<TwoPass>),
}

impl Planned {
    fn new(case: &GroupedCase, grouped: &Grouped) -> nvfp4_dual_gemm::Result<Self> {
        let plan = |problem: &GroupedProblem| match (case.hopper, case.tile, case.sm_count) {
            (false, None, sms) => GroupedPlan::choose(problem, sms),
            (false, Some([tokens, _]), sms) => GroupedPlan::with_tile(problem, tokens, sms),
            (true, None, sms) => sm90::choose(problem, sms),
            (true, Some(tile), sms) => sm90::with_tile(problem, tile, sms),
        };
        Ok(if case.two_pass {
            Planned::TwoPass(TwoPass::of(&grouped.problem, plan)?.into())
        } else {
            Planned::Fused(plan(&grouped.problem)?.into())
        })
    }

    fn tile(&self) -> String {
        let (passes, [rows, columns]) = match self {
            Planned::Fused(plan) => ("", plan.tile),
            Planned::TwoPass(plan) => ("2·", plan.gate.tile),
        };
        format!("{passes}{rows}x{columns}")
    }

    /// Of two passes on Hopper, whose bits no model knows, the fused plan that must give them too.
    fn fused(
        &self,
        case: &GroupedCase,
        grouped: &Grouped,
    ) -> nvfp4_dual_gemm::Result<Option<Self>> {
        match self {
            Planned::TwoPass(plan) if case.hopper => {
                let fused = sm90::with_tile(&grouped.problem, plan.gate.tile, case.sm_count)?;
                Ok(Some(Planned::Fused(fused.into())))
            }
            _ => Ok(None),
        }
    }

    fn run<B: Backend>(
        &self,
        device: &mut B,
        module: &B::Module,
        grouped: &Grouped,
    ) -> nvfp4_dual_gemm::Result<Vec<Vec<u16>>> {
        grouped.with_inputs(|inputs| match self {
            // Offsets may be wrong on purpose.
            Planned::Fused(plan) => run_with_any_offsets(device, module, plan, inputs),
            Planned::TwoPass(plan) => plan.run(device, module, inputs),
        })
    }
}

/// Runs a case. An error here is a problem that the host crate refuses; whatever the kernel does
/// wrong is in the row.
pub fn run(case: &GroupedCase, module: &Module, seeds: u64, bar: &ProgressBar) -> Result<Row> {
    let start = Instant::now();
    let grouped = case.data().context("computing the reference")?;
    let plan = Planned::new(case, &grouped)?;
    let outcomes: Vec<_> = (0..seeds)
        .into_par_iter()
        .map(|seed| {
            let mut device = Emulated::new(seed);
            let outcome = plan.run(&mut device, module, &grouped);
            bar.inc(case.work());
            let outcome = outcome.map_err(|error| format!("seed {seed}: {error}"));
            (outcome, device.instructions())
        })
        .collect();
    let first = outcomes.iter().find_map(|(c, _)| c.as_ref().ok()).cloned();
    let instructions = outcomes.iter().map(|(_, count)| count).sum();
    let mut judged = outcomes.into_iter().enumerate().map(|(seed, (c, _))| {
        let c = c?;
        if first.as_ref() != Some(&c) {
            return Err(format!("seed {seed}: other bits than under the first seed"));
        }
        in_words(seed as u64, grouped.judge(&c))
    });
    let max = |worst: Verdict, next: Verdict| {
        if next.max_error > worst.max_error { next } else { worst }
    };
    let mut outcome = judged.try_fold(Verdict::default(), |worst, next| Ok(max(worst, next?)));
    let mut pass = if case.hopper { "the same bits in every run" } else { "bit for bit" };
    if let Some(fused) = plan.fused(case, &grouped)? {
        let c = fused.run(&mut Emulated::new(0), module, &grouped);
        if outcome.is_ok() && c.ok() != first {
            outcome = Err("other bits than the fused kernel's".to_owned());
        }
        pass = "the same bits in every run, and the fused kernel's";
    }
    Ok(Row {
        case: label(case, &plan),
        seeds,
        instructions,
        seconds: start.elapsed().as_secs_f64(),
        outcome,
        pass,
    })
}

/// Up to this many operations the emulator runs a case of a device too.
#[cfg(feature = "cuda")]
const EMULATED: f64 = 1.5e9;

/// A case for a device, with what the emulator makes of the same PTX.
#[cfg(feature = "cuda")]
pub struct OnDevice<'a> {
    case: &'a GroupedCase,
    grouped: Grouped,
    plan: Planned,
    /// C, and how many instructions it took; none of large cases.
    emulated: Option<(nvfp4_dual_gemm::Result<Vec<Vec<u16>>>, u64)>,
}

#[cfg(feature = "cuda")]
impl<'a> OnDevice<'a> {
    /// Computes the answer, and runs the emulator.
    pub fn new(case: &'a GroupedCase, module: &Module) -> Result<Self> {
        let grouped = case.data().context("computing the reference")?;
        let plan = Planned::new(case, &grouped)?;
        let emulated = (grouped.problem.flops() < EMULATED).then(|| {
            let mut emulator = Emulated::new(0);
            let c = plan.run(&mut emulator, module, &grouped);
            (c, emulator.instructions())
        });
        Ok(OnDevice { case, grouped, plan, emulated })
    }

    /// Runs the case twice: all runs must give the same bits.
    pub fn run<B: Backend>(self, device: &mut B, module: &B::Module) -> Result<Row> {
        let start = Instant::now();
        let OnDevice { case, grouped, plan, emulated } = self;
        let c = plan.run(device, module, &grouped)?;
        let mut outcome = in_words(0, grouped.judge(&c));
        let mut same = |name: &str, other: nvfp4_dual_gemm::Result<Vec<Vec<u16>>>| {
            let complaint = match other {
                Ok(other) if other == c => return,
                Ok(_) => format!("other bits {name}"),
                Err(error) => format!("{name}: {error}"),
            };
            if outcome.is_ok() {
                outcome = Err(complaint);
            }
        };
        same("in a second run", plan.run(device, module, &grouped));
        if let Some(fused) = plan.fused(case, &grouped)? {
            same("of the fused kernel", fused.run(device, module, &grouped));
        }
        let (mut pass, mut instructions) = ("the same bits twice", 0);
        if let Some((c, count)) = emulated {
            same("on the emulator", c);
            (pass, instructions) = ("the same bits twice, and the emulator's", count);
        }
        let (case, seeds) = (label(case, &plan), 2);
        let seconds = start.elapsed().as_secs_f64();
        Ok(Row { case, seeds, instructions, seconds, outcome, pass })
    }
}

/// The first columns of a line.
fn label(case: &GroupedCase, plan: &Planned) -> String {
    let (output, tile, data) = (case.output.name(), plan.tile(), case.kind);
    format!("{case:<32}  {output:<4}  {tile:<7}  {data:<10}")
}

/// A verdict, or what is wrong.
fn in_words(seed: u64, verdict: GroupedVerdict) -> Result<Verdict, String> {
    if verdict.passed() {
        return Ok(verdict.total);
    }
    let Verdict { outside_tolerance, wrong_bits, first, .. } = &verdict.total;
    let mut text = format!(
        "seed {seed}: {outside_tolerance} elements outside the tolerance, {wrong_bits} with wrong bits, {} written that belong to no group",
        verdict.strays
    );
    if let (Some(group), Some(first)) = (verdict.group, first) {
        let [batch, row, column] = first.at;
        let (got, want) = (first.got, first.want);
        text += &format!(
            "; first in group {group} at batch {batch}, row {row}, column {column}: {got} instead of {want}"
        );
    }
    Err(text)
}

#[cfg(test)]
mod tests {
    use nvfp4_dual_gemm::OutputType;
    use nvfp4_dual_gemm::grouped::Operation;
    use nvfp4_dual_gemm_tests::data::DataKind;

    use super::*;

    #[test]
    fn a_wrong_group_is_named() {
        let sizes = [(3, 8, 32, 1), (2, 8, 64, 1)];
        let (kind, output) = (DataKind::Quantised, OutputType::F16);
        let grouped = Grouped::listed(Operation::Gemm, &sizes, kind, output, 1).unwrap();
        let mut c = grouped.model();
        assert!(in_words(0, grouped.judge(&c)).is_ok());
        c[1][8 + 4] = 0x7fff;
        let text = in_words(4, grouped.judge(&c)).unwrap_err();
        assert!(text.contains("seed 4") && text.contains("group 1"), "{text}");
        assert!(text.contains("row 1, column 4"), "{text}");
    }
}
