//! Hopper's kernels, on the emulator or on a device: three types of activations, many plans, judged by
//! the f64 reference.
//!
//! There is no model of every bit here, as Blackwell's kernels have: how Hopper's tensor core rounds
//! its sums is not documented. Instead the same bits are asked of every run of a plan, and `verify
//! --backend cuda` compares the device's with the emulator's.

use std::fmt;
use std::time::Instant;

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use nvfp4_dual_gemm::plan::sm90;
use nvfp4_dual_gemm::{ActivationType, Plan, Problem, dual_gemm};
use nvfp4_dual_gemm_tests::data::Inputs;
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::judge::Expected;
use rayon::prelude::*;

use super::cases::Case;

/// Beyond this many operations a case runs with the plan's own choice only.
const LARGE: f64 = 5e9;

/// A case with one type of activations, and what C must be.
pub struct Trial<'a> {
    /// What is computed.
    pub problem: Problem,
    inputs: &'a Inputs,
    /// A in 16 bits; empty for NVFP4.
    a: Vec<u8>,
    expected: Expected,
}

impl<'a> Trial<'a> {
    /// The case's trials: NVFP4, f16, bf16.
    pub fn all(case: &Case, inputs: &'a Inputs) -> Result<Vec<Trial<'a>>> {
        let trial = |activations| {
            let problem = inputs.problem(case.shape, case.output).with_activations(activations);
            let a = match activations {
                ActivationType::Nvfp4 => vec![],
                _ => inputs.sixteen_bit_a(problem.k, activations, 1),
            };
            let views = views(&problem, inputs, &a);
            let expected = Expected::reference_only(&problem, &views)?;
            Ok(Trial { problem, inputs, a, expected })
        };
        [ActivationType::Nvfp4, ActivationType::F16, ActivationType::Bf16]
            .map(trial)
            .into_iter()
            .collect()
    }

    /// What the host crate takes.
    pub fn views(&self) -> nvfp4_dual_gemm::Inputs<'_> {
        views(&self.problem, self.inputs, &self.a)
    }

    /// The plan's own choice, and for small problems every tile with the least and other splits.
    pub fn plans(&self, sm_count: u32) -> Result<Vec<Plan>> {
        let mut plans = vec![sm90::choose(&self.problem, sm_count)?];
        if self.problem.flops() < LARGE {
            let most = (self.problem.k.div_ceil(256) as u32).min(sm90::MAX_SPLIT);
            for tile in sm90::TILES {
                let mut splits = vec![1, most.min(3), most];
                splits.dedup();
                for split in splits {
                    plans.push(sm90::with_tile(&self.problem, tile, split, sm_count)?);
                }
            }
        }
        Ok(plans)
    }
}

fn views<'a>(problem: &Problem, inputs: &'a Inputs, a: &'a [u8]) -> nvfp4_dual_gemm::Inputs<'a> {
    match problem.activations {
        ActivationType::Nvfp4 => inputs.views(),
        _ => nvfp4_dual_gemm::Inputs { a, sfa: &[], ..inputs.views() },
    }
}

/// A line of the table: all runs of a trial.
pub struct Row {
    label: String,
    runs: usize,
    max_error: f64,
    complaint: Option<String>,
    /// What to add to a pass.
    note: &'static str,
}

impl Row {
    /// The head of the table.
    pub const HEADER: &str =
        "    M     N     K   L  out   data        A      runs  max error  verdict";

    /// An empty line for a trial; `note` is added to a pass.
    pub fn new(case: &Case, trial: &Trial, note: &'static str) -> Row {
        let (m, n, k, l) = case.shape;
        let (output, data) = (case.output.name(), case.data());
        let activations = trial.problem.activations.name();
        let label =
            format!("{m:>5} {n:>5} {k:>5} {l:>3}  {output:<4}  {data:<10}  {activations:<5}");
        Row { label, runs: 0, max_error: 0.0, complaint: None, note }
    }

    /// Judges one run, and compares it with another of the same plan.
    pub fn add(&mut self, trial: &Trial, plan: &Plan, c: &[u16], other: &[u16]) {
        self.runs += 1;
        let verdict = trial.expected.judge(c);
        self.max_error = self.max_error.max(verdict.max_error);
        if !verdict.passed() {
            let n = verdict.outside_tolerance;
            self.complain(plan, format!("{n} outside, {:?}", verdict.first));
        }
        if c != other {
            self.complain(plan, "two runs differ");
        }
    }

    /// Keeps the first complaint.
    pub fn complain(&mut self, plan: &Plan, what: impl fmt::Display) {
        let of = format!("{} split {}: {what}", plan.kernel, plan.cluster[0]);
        self.complaint.get_or_insert(of);
    }

    /// True if nothing was wrong.
    pub fn passed(&self) -> bool {
        self.complaint.is_none()
    }

    /// Runs judged.
    pub fn runs(&self) -> usize {
        self.runs
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { label, runs, max_error, complaint, note } = self;
        write!(f, "{label}  {runs:>4}  {max_error:>9.2e}  ")?;
        match complaint {
            None => write!(f, "pass, the same bits in every run{note}"),
            Some(complaint) => write!(f, "FAIL: {complaint}"),
        }
    }
}

/// Of the plans beside the plan's own choice, one in so many runs per case of the standard set; which
/// ones goes round, so that the set as a whole runs all.
const ROTATION: usize = 5;

/// Runs the cases on the emulator: a plan once per seed, and unless `thorough` only some of the plans.
pub fn emulate(
    cases: &[Case],
    module: &Module,
    seeds: Option<u64>,
    thorough: bool,
    bar: &ProgressBar,
) -> Result<()> {
    let start = Instant::now();
    println!("{}", Row::HEADER);
    let (mut runs, mut failed) = (0, 0);
    for (turn, case) in cases.iter().enumerate() {
        bar.set_message(case.to_string());
        let seeds = seeds.unwrap_or(case.default_seeds.min(2));
        let inputs = case.inputs();
        for (i, trial) in Trial::all(case, &inputs)?.iter().enumerate() {
            let mut row = Row::new(case, trial, "");
            let mut plans = trial.plans(sm90::H200_SMS)?;
            if !thorough {
                let mut place = 0..;
                let chosen = plans[0].clone();
                plans.retain(|_| {
                    place.next().is_some_and(|p| p % ROTATION == (turn + i) % ROTATION)
                });
                plans.push(chosen);
            }
            let jobs: Vec<_> =
                plans.iter().flat_map(|plan| (0..seeds).map(move |seed| (plan, seed))).collect();
            let outcomes: Vec<_> = jobs
                .par_iter()
                .map(|&(plan, seed)| {
                    dual_gemm(&mut Emulated::new(seed), module, plan, &trial.views())
                })
                .collect();
            let mut first: Option<&Vec<u16>> = None;
            for (&(plan, seed), outcome) in jobs.iter().zip(&outcomes) {
                match outcome {
                    Ok(c) => {
                        let first = if seed == 0 { first.insert(c) } else { first.unwrap_or(c) };
                        row.add(trial, plan, c, first);
                    }
                    Err(error) => row.complain(plan, format!("seed {seed}: {error}")),
                }
            }
            runs += row.runs();
            failed += usize::from(!row.passed());
            bar.suspend(|| println!("{row}"));
        }
        bar.inc(case.work());
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    if failed > 0 {
        bail!("verify: {failed} cases FAILED on the emulator ({seconds:.0} s)");
    }
    println!("verify: all {runs} runs passed on the emulator ({seconds:.0} s)");
    Ok(())
}
