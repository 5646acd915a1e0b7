//! `cargo xtask mutate`: mistakes made in a kernel, one at a time; would anybody notice?

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nvfp4_dual_gemm::launch::dual_gemm;
use nvfp4_dual_gemm::plan::sm90;
use nvfp4_dual_gemm::{ActivationType, OutputType, Plan, ptx};
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
  cargo xtask mutate nvfp4_dual_gemm_sm90_64x64_bf16       one of Hopper's
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
    let texts = match &options.ptx {
        Some(path) => {
            vec![fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?]
        }
        None => vec![ptx::SM_100F.to_owned(), ptx::SM_90A.to_owned()],
    };
    let (mut gaps, mut found) = (0, false);
    for text in &texts {
        for kernel in mutants::entries(text) {
            if options.kernel.as_ref().is_none_or(|name| name == kernel) {
                gaps += mutate(text, kernel, options)?;
                found = true;
            }
        }
    }
    if let (Some(kernel), false) = (&options.kernel, found) {
        bail!("no kernel '{kernel}' in the PTX");
    }
    if gaps > 0 {
        bail!("mutate: {gaps} survivors have no explanation");
    }
    Ok(())
}

/// One plan with its inputs and answer.
struct Case {
    plan: Plan,
    inputs: Inputs,
    /// A in 16 bits, where the plan takes that.
    a: Vec<u8>,
    /// C as the kernel without a mistake computes it.
    right: Vec<u16>,
}

impl Case {
    /// The cases that go round every loop and over every edge of a kernel, checked without a mistake;
    /// and how many instructions the longest takes.
    fn all(text: &str, kernel: &str) -> Result<(Vec<Case>, u64)> {
        let mut cases = Self::blackwell(kernel)?;
        cases.extend(Self::hopper(kernel)?);
        if cases.is_empty() {
            bail!("'{kernel}' is not a kernel that a plan of this library uses");
        }
        let module = Emulated::parse(text)?;
        let mut longest = 0;
        for case in &mut cases {
            let mut device = case.device(kernel, 0);
            case.right = dual_gemm(&mut device, &module, &case.plan, &case.views())?;
            let expected = match case.plan.arch {
                sm90::ARCH => Expected::reference_only(&case.plan.problem, &case.views())?,
                _ => Expected::new(&case.plan.problem, &case.inputs)?,
            };
            let verdict = expected.judge(&case.right);
            if !verdict.passed() {
                bail!("{kernel} is wrong without any mistake: {:?}", verdict.first);
            }
            longest = longest.max(device.instructions());
        }
        Ok((cases, longest))
    }

    /// Ragged: both edges of C, half an atom of scales. Even: two batches, and every stage of the ring
    /// is used twice and waited for.
    fn blackwell(kernel: &str) -> Result<Vec<Case>> {
        for tile_n in [64, 128] {
            let n = tile_n as usize;
            let shapes = [(129, 2 * n + 8, 1632, 1), (128, n, 2816, 2)];
            for output in [OutputType::F16, OutputType::Bf16] {
                let case = |(kind, shape)| {
                    let inputs = Inputs::new(kind, shape, 7);
                    let problem = inputs.problem(shape, output);
                    let plan = Plan::with_tile(&problem, 128, tile_n, 148)?;
                    Ok(Case { plan, inputs, a: vec![], right: vec![] })
                };
                let kinds = [DataKind::FullRange, DataKind::Quantised];
                let cases: Result<Vec<Case>> = kinds.into_iter().zip(shapes).map(case).collect();
                let cases = cases?;
                if cases[0].plan.kernel == kernel {
                    return Ok(cases);
                }
            }
        }
        Ok(vec![])
    }

    /// Ragged, with the CTAs of a cluster sharing K unevenly; and even, two batches of a CTA alone. The
    /// ring is gone round each time. With 4-bit activations, and with 16-bit ones.
    fn hopper(kernel: &str) -> Result<Vec<Case>> {
        use ActivationType::{Bf16, F16, Nvfp4};
        for tokens in sm90::TOKENS {
            for sixteen in [F16, Bf16] {
                let m = tokens as usize;
                let case = |kind, shape: Shape, activations, split| {
                    let inputs = Inputs::new(kind, shape, 7);
                    let output = if split == 1 { OutputType::F16 } else { OutputType::Bf16 };
                    let problem = inputs.problem(shape, output).with_activations(activations);
                    let a = match activations {
                        Nvfp4 => vec![],
                        _ => inputs.sixteen_bit_a(problem.k, activations, 1),
                    };
                    let plan = sm90::with_tile(&problem, tokens, split, sm90::H200_SMS)?;
                    anyhow::Ok(Case { plan, inputs, a, right: vec![] })
                };
                let other = if sixteen == F16 { Nvfp4 } else { Bf16 };
                // The kernel's own tile and ring.
                let probe = case(DataKind::Quantised, (m, 64, 256, 1), sixteen, 1)?.plan;
                let is_its = probe.kernel == kernel;
                if !is_its && probe.before.is_none_or(|before| before.kernel != kernel) {
                    continue;
                }
                let (rows, stage) = (probe.tile[1] as usize, probe.tile[2] as usize);
                let around = probe.stages as usize + 2;
                let ragged = (m - 3, rows + 8, stage * (2 * around - 1) + 32, 1);
                let even = (m, rows, stage * around, 2);
                return Ok(vec![
                    case(DataKind::Quantised, ragged, other, 2)?,
                    case(DataKind::FullRange, even, sixteen, 1)?,
                ]);
            }
        }
        Ok(vec![])
    }

    /// A device on which a kernel that runs before another also runs after one.
    fn device(&self, kernel: &str, seed: u64) -> Emulated {
        let device = Emulated::new(seed);
        match self.plan.before {
            Some(before) if before.kernel == kernel => device.twice(),
            _ => device,
        }
    }

    fn views(&self) -> nvfp4_dual_gemm::Inputs<'_> {
        match self.a.as_slice() {
            [] => self.inputs.views(),
            a => nvfp4_dual_gemm::Inputs { a, sfa: &[], ..self.inputs.views() },
        }
    }

    /// How a run ended, if not with the right C.
    fn judge(&self, ptx: &str, kernel: &str, seed: u64, limit: u64) -> Result<Option<String>> {
        let module = match Emulated::parse(ptx) {
            Ok(module) => module,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let mut device = self.device(kernel, seed).limited(limit);
        Ok(match dual_gemm(&mut device, &module, &self.plan, &self.views()) {
            Err(error) => Some(error.to_string()),
            Ok(c) => {
                let wrong = c.iter().zip(&self.right).filter(|(a, b)| a != b).count();
                (wrong > 0).then(|| format!("wrong C: {wrong} elements"))
            }
        })
    }
}

/// Mutates one kernel; the number of survivors without an explanation.
fn mutate(text: &str, kernel: &str, options: &Options) -> Result<usize> {
    let start = Instant::now();
    let mut all = mutants::of(text, kernel).with_context(|| format!("no entry '{kernel}'"))?;
    all.retain(|mutant| mutant.opcode.contains(&options.only));
    let (cases, longest) = Case::all(text, kernel)?;
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
                    how = case.judge(&changed, kernel, seed, longest * 4)?;
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
            "griddepcontrol.launch_dependents",
            "removed",
            "the next launch begins later, and is otherwise the same",
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
