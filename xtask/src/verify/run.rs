//! One case: plan, run under every seed, judge.

use std::fmt;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use nvfp4_dual_gemm::launch::dual_gemm;
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::judge::{Expected, Verdict};
use rayon::prelude::*;

use super::cases::Case;

/// A line of the table.
pub struct Row {
    /// What was run, in columns.
    pub case: String,
    /// Schedules.
    pub seeds: u64,
    /// Thread-instructions of all of them.
    pub instructions: u64,
    /// Reference and model included.
    pub seconds: f64,
    /// The worst verdict, or what went wrong.
    pub outcome: Result<Verdict, String>,
    /// What a pass means.
    pub pass: &'static str,
}

impl Row {
    /// The head of the table.
    pub const HEADER: &str = "\
    M     N     K   L  out   tile     data        seeds  max error    instructions  seconds  verdict";

    /// True if C was right under every seed.
    pub fn passed(&self) -> bool {
        self.outcome.as_ref().is_ok_and(Verdict::passed)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { case, seeds, instructions, seconds, outcome, pass } = self;
        let max_error = match outcome {
            Ok(verdict) => format!("{:.2e}", verdict.max_error),
            Err(_) => "-".to_owned(),
        };
        write!(f, "{case}  {seeds:>5}  {max_error:>9}  {instructions:>14}  {seconds:>7.2}  ")?;
        match outcome {
            Ok(verdict) if verdict.passed() => write!(f, "pass, {pass}"),
            Ok(verdict) => {
                write!(
                    f,
                    "FAIL: {} elements outside the tolerance, {} with wrong bits",
                    verdict.outside_tolerance, verdict.wrong_bits
                )?;
                match &verdict.first {
                    Some(first) => write!(
                        f,
                        "; first at batch {}, row {}, column {}: {} instead of {}",
                        first.at[0], first.at[1], first.at[2], first.got, first.want
                    ),
                    None => Ok(()),
                }
            }
            Err(ending) => write!(f, "FAIL: {ending}"),
        }
    }
}

/// Reads PTX for the emulator.
pub fn load(ptx: &str) -> Result<Module> {
    Ok(Emulated::parse(ptx)?)
}

/// Runs a case. An error here is a problem that the host crate refuses; whatever the kernel does
/// wrong is in the row.
pub fn run(case: &Case, module: &Module, seeds: u64, bar: &ProgressBar) -> Result<Row> {
    let start = Instant::now();
    let inputs = case.inputs();
    let problem = inputs.problem(case.shape, case.output);
    let plan = case.plan(&problem)?;
    let expected = Expected::new(&problem, &inputs).context("computing the reference")?;
    let outcomes: Vec<_> = (0..seeds)
        .into_par_iter()
        .map(|seed| {
            let mut device = Emulated::new(seed);
            let outcome = dual_gemm(&mut device, module, &plan, &inputs.views());
            bar.inc(case.work());
            let outcome = outcome.map(|c| expected.judge(&c));
            (outcome.map_err(|error| format!("seed {seed}: {error}")), device.instructions())
        })
        .collect();

    let instructions = outcomes.iter().map(|(_, count)| count).sum();
    let mut outcome = Ok(Verdict::default());
    for (result, _) in outcomes {
        outcome = worse(outcome, result);
    }
    let (m, n, k, l) = case.shape;
    let [tile_m, tile_n, _] = plan.tile;
    let tile = format!("{tile_m}x{tile_n}");
    let (output, data) = (case.output.name(), case.data());
    let label = format!("{m:>5} {n:>5} {k:>5} {l:>3}  {output:<4}  {tile:<7}  {data:<10}");
    Ok(Row {
        case: label,
        seeds,
        instructions,
        seconds: start.elapsed().as_secs_f64(),
        outcome,
        pass: "bit for bit",
    })
}

/// The outcome to report of two: a fault, else the one with more wrong elements.
fn worse(a: Result<Verdict, String>, b: Result<Verdict, String>) -> Result<Verdict, String> {
    let (a, b) = (a?, b?);
    let wrong = |verdict: &Verdict| (verdict.outside_tolerance, verdict.wrong_bits);
    if wrong(&a) > wrong(&b) || wrong(&a) == wrong(&b) && a.max_error >= b.max_error {
        Ok(a)
    } else {
        Ok(b)
    }
}
