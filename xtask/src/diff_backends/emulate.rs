//! One case through both compilers' kernels.

use std::fmt;

use anyhow::{Context, Result};
use nvfp4_dual_gemm::launch::dual_gemm;
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::judge::Expected;
use rayon::prelude::*;

use crate::verify::cases::Case;

/// A line of the table.
pub struct Row {
    case: String,
    seeds: u64,
    /// Thread-instructions of each side, over all seeds.
    instructions: [u64; 2],
    complaint: Option<String>,
}

impl Row {
    /// The head of the table.
    pub const HEADER: &str =
        "    M     N     K   L  out   data        seeds       rustc ran   rust-cuda ran  verdict";

    /// True if both were right, with the same bits.
    pub fn passed(&self) -> bool {
        self.complaint.is_none()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { case, seeds, instructions: [a, b], complaint } = self;
        write!(f, "{case}  {seeds:>5}  {a:>14}  {b:>14}  ")?;
        match complaint {
            None => write!(f, "both pass, the same bits"),
            Some(complaint) => write!(f, "FAIL: {complaint}"),
        }
    }
}

/// Runs a case under every seed on both.
pub fn run(case: &Case, rustc: &Module, rust_cuda: &Module, seeds: u64) -> Result<Row> {
    let inputs = case.inputs();
    let problem = inputs.problem(case.shape, case.output);
    let plan = case.plan(&problem)?;
    let expected = Expected::new(&problem, &inputs).context("computing the reference")?;
    let outcomes: Vec<_> = (0..seeds)
        .into_par_iter()
        .map(|seed| {
            [rustc, rust_cuda].map(|module| {
                let mut device = Emulated::new(seed);
                let c = dual_gemm(&mut device, module, &plan, &inputs.views());
                (c, device.instructions())
            })
        })
        .collect();

    let mut instructions = [0, 0];
    let mut complaint = None;
    for (seed, [(a, ran_a), (b, ran_b)]) in outcomes.into_iter().enumerate() {
        instructions = [instructions[0] + ran_a, instructions[1] + ran_b];
        let found = match (a, b) {
            (Err(error), _) => Some(format!("rustc: {error}")),
            (_, Err(error)) => Some(format!("rust-cuda: {error}")),
            (Ok(a), Ok(b)) => compare(&expected, &a, &b),
        };
        complaint = complaint.or(found.map(|what| format!("seed {seed}: {what}")));
    }
    let (m, n, k, l) = case.shape;
    let (output, data) = (case.output.name(), case.data());
    let case = format!("{m:>5} {n:>5} {k:>5} {l:>3}  {output:<4}  {data:<10}");
    Ok(Row { case, seeds, instructions, complaint })
}

/// What is wrong with either C, or with the two together.
fn compare(expected: &Expected, a: &[u16], b: &[u16]) -> Option<String> {
    let right = [a, b].map(|c| expected.judge(c).passed());
    if let Some(at) = a.iter().zip(b).position(|(a, b)| a != b) {
        let differing = a.iter().zip(b).filter(|(a, b)| a != b).count();
        let (all, a, b) = (a.len(), a[at], b[at]);
        let [of_a, of_b] = right.map(|right| if right { "right" } else { "wrong" });
        return Some(format!(
            "{differing} of {all} elements differ; element {at} is {a:#06x} by rustc, whose C is \
             {of_a}, and {b:#06x} by rust-cuda, whose C is {of_b}"
        ));
    }
    (right == [false, false]).then(|| "both have the same wrong bits".to_owned())
}
