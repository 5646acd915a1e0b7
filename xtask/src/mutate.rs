//! `cargo xtask mutate`: mistakes made in a kernel, one at a time; would anybody notice?

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nvfp4_dual_gemm::launch::dual_gemm;
use nvfp4_dual_gemm::{OutputType, Plan, ptx};
use nvfp4_dual_gemm_tests::data::{DataKind, Inputs, Shape};
use nvfp4_dual_gemm_tests::emulated::Emulated;
use nvfp4_dual_gemm_tests::judge::Expected;
use nvfp4_dual_gemm_tests::mutants::{self, Mutant};
use rayon::prelude::*;

/// Options of `mutate`.
#[derive(clap::Args)]
#[command(after_help = "\
Removes every synchronising and asynchronous instruction of a kernel and perturbs every barrier,
parity, byte count, coordinate and descriptor field, one at a time. A mutant is killed when the
emulator reports a fault or C is wrong under one of the seeds. Survivors are printed with their line
and the reason why they are equivalent; one without a reason is a gap, and the command fails.

Examples:
  cargo xtask mutate                                       every kernel of the shipped PTX
  cargo xtask mutate nvfp4_dual_gemm_sm100_128x64_f16      one
  cargo xtask mutate --only fence --seeds 24               mutants whose opcode contains 'fence'")]
pub struct Options {
    /// The kernel; all of them when left out.
    kernel: Option<String>,
    /// Schedule seeds per case.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Mutate this PTX file instead of the committed one.
    #[arg(long, value_name = "FILE")]
    ptx: Option<PathBuf>,
    /// Only mutants whose opcode contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Also print who was killed, and by what.
    #[arg(long)]
    verbose: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    let text = match &options.ptx {
        Some(path) => {
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?
        }
        None => ptx::SM_100F.to_owned(),
    };
    let kernels = match &options.kernel {
        Some(kernel) => vec![kernel.as_str()],
        None => mutants::entries(&text),
    };
    let mut gaps = 0;
    for kernel in kernels {
        gaps += mutate(&text, kernel, options)?;
    }
    if gaps > 0 {
        bail!("mutate: {gaps} survivors have no explanation");
    }
    Ok(())
}

/// One problem with its inputs and answer.
struct Case {
    inputs: Inputs,
    shape: Shape,
    output: OutputType,
    tile_n: u32,
    expected: Expected,
}

impl Case {
    fn new(kernel: &str, kind: DataKind, ragged: bool) -> Result<Case> {
        for tile_n in [64, 128] {
            let n = tile_n as usize;
            // Ragged: both edges of C, half an atom of scales. Even: two batches, and every stage of
            // the ring is used twice and waited for.
            let shape = if ragged { (129, 2 * n + 8, 1632, 1) } else { (128, n, 2816, 2) };
            let inputs = Inputs::new(kind, shape, 7);
            for output in [OutputType::F16, OutputType::Bf16] {
                let problem = inputs.problem(shape, output);
                let plan = Plan::with_tile(&problem, 128, tile_n, 148)?;
                if plan.kernel == kernel {
                    let expected = Expected::new(&problem, &inputs)?;
                    return Ok(Case { inputs, shape, output, tile_n, expected });
                }
            }
        }
        bail!("'{kernel}' is not a kernel that a plan of this library uses")
    }

    /// How a run ended, if not with the right C; and how many instructions it took.
    fn judge(&self, ptx: &str, seed: u64, limit: u64) -> Result<(Option<String>, u64)> {
        let module = match Emulated::parse(ptx) {
            Ok(module) => module,
            Err(error) => return Ok((Some(error.to_string()), 0)),
        };
        let problem = self.inputs.problem(self.shape, self.output);
        let plan = Plan::with_tile(&problem, 128, self.tile_n, 148)?;
        let mut device = Emulated::new(seed).limited(limit);
        let how = match dual_gemm(&mut device, &module, &plan, &self.inputs.views()) {
            Err(error) => Some(error.to_string()),
            Ok(c) => {
                let verdict = self.expected.judge(&c);
                (!verdict.passed()).then(|| {
                    format!(
                        "wrong C: {} elements",
                        verdict.outside_tolerance.max(verdict.wrong_bits)
                    )
                })
            }
        };
        Ok((how, device.instructions()))
    }
}

/// Mutates one kernel; the number of survivors without an explanation.
fn mutate(text: &str, kernel: &str, options: &Options) -> Result<usize> {
    let start = Instant::now();
    let mut all = mutants::of(text, kernel).with_context(|| format!("no entry '{kernel}'"))?;
    all.retain(|mutant| mutant.opcode.contains(&options.only));
    let cases = [
        Case::new(kernel, DataKind::FullRange, true)?,
        Case::new(kernel, DataKind::Quantised, false)?,
    ];
    let mut longest = 0;
    for case in &cases {
        let (how, instructions) = case.judge(text, 0, u64::MAX)?;
        if let Some(how) = how {
            bail!("{kernel} is wrong without any mistake: {how}");
        }
        longest = longest.max(instructions);
    }
    let bar = ProgressBar::new(all.len() as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {eta} left");
    bar.set_style(style.expect("the template is legal"));
    let ended: Vec<Option<String>> = all
        .par_iter()
        .map(|mutant| {
            let changed = mutant.apply(text);
            let mut how = None;
            'judged: for case in &cases {
                for seed in 0..options.seeds {
                    how = case.judge(&changed, seed, longest * 20)?.0;
                    if how.is_some() {
                        break 'judged;
                    }
                }
            }
            bar.inc(1);
            Ok(how)
        })
        .collect::<Result<_>>()?;
    bar.finish_and_clear();

    let mut gaps = 0;
    let survivors = ended.iter().filter(|how| how.is_none()).count();
    for (mutant, how) in all.iter().zip(&ended) {
        let Mutant { line, what, original, .. } = mutant;
        match how {
            Some(how) if options.verbose => {
                println!("  killed    line {line}, {what}: {original}\n            {how}");
            }
            Some(_) => {}
            None => {
                let reason = explain(mutant).unwrap_or_else(|| {
                    gaps += 1;
                    missing(mutant)
                });
                println!("  survived  line {line}, {what}: {original}\n            {reason}");
            }
        }
    }
    println!(
        "{kernel}: {} mutants, {} killed, {survivors} survived, {gaps} of them without an explanation \
         ({:.0} s)",
        all.len(),
        all.len() - survivors,
        start.elapsed().as_secs_f64()
    );
    Ok(gaps)
}

/// Why a mutant is no mistake: it does the same on every machine. These are facts about the kernels of
/// this project and about their operands' layouts.
fn explain(mutant: &Mutant) -> Option<&'static str> {
    let is =
        |opcode: &str, what: &str| mutant.opcode.starts_with(opcode) && mutant.what.contains(what);
    let reasons = [
        (
            "mbarrier.inval",
            "removed",
            "its CTA ends, and nothing else is kept where the barrier was",
        ),
        (
            "tcgen05.relinquish_alloc_permit",
            "removed",
            "the CTA has all columns: who would allocate has to wait for them anyway",
        ),
        (
            "bar.sync",
            "barrier number",
            "all threads of the CTA meet at this line, and use no other",
        ),
        (
            "tcgen05.mma",
            "leading byte offset",
            "K-major operands of one swizzle atom's width have no second one to step to",
        ),
        ("tcgen05.cp", "leading byte offset", "rows of 16 bytes have no second column of atoms"),
        ("tcgen05.cp", "base offset", "only swizzled layouts have a base to be off"),
    ];
    let reason = reasons.iter().find(|(opcode, what, _)| is(opcode, what));
    reason.map(|(_, _, reason)| *reason)
}

/// What is missing from the emulator that would tell.
fn missing(mutant: &Mutant) -> &'static str {
    match mutant.opcode.as_str() {
        opcode if opcode.contains("fence") || opcode.contains("warp.sync") => {
            "GAP: an order that only a happens-before check could miss"
        }
        _ => "GAP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_are_of_their_kind_only() {
        let kernel = "nvfp4_dual_gemm_sm100_128x64_f16";
        let all = mutants::of(ptx::SM_100F, kernel).unwrap();
        let count = |what: &str| {
            let of_kind = |m: &&Mutant| m.what.contains(what) && explain(m).is_some();
            all.iter().filter(of_kind).count()
        };
        assert!(all.len() > 200);
        assert_eq!(count("leading byte offset"), 3 + 4);
        assert_eq!(count("base offset"), 3, "an MMA's operands are swizzled");
        assert_eq!(count("swizzle") + count("byte count") + count("parity"), 0);
        assert!(all.iter().filter(|m| m.opcode.contains("fence")).all(|m| explain(m).is_none()));
    }
}
