//! `cargo xtask mutate`: mistakes made in a kernel, one at a time; would anybody notice?

mod groups;
mod hopper;
mod launch;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nvfp4_dual_gemm::launch::dual_gemm;
use nvfp4_dual_gemm::{OutputType, Plan, ptx};
use nvfp4_dual_gemm_tests::data::{DataKind, Inputs};
use nvfp4_dual_gemm_tests::emulated::Emulated;
use nvfp4_dual_gemm_tests::judge::{Expected, Verdict};
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
  cargo xtask mutate --only fence --seeds 24               mutants whose opcode contains 'fence'
  cargo xtask mutate --launch launch.json                  the program of a launch file

What a launch file's program computes without a mistake is what it should, and outputs are compared with
that. Its survivors are only listed: whether they are equivalent is for its author to say.")]
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
    /// Only mutants whose description contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    what: String,
    /// No mutants whose description contains this.
    #[arg(long, value_name = "TEXT")]
    skip: Vec<String>,
    /// Mutate the program of this launch file.
    #[arg(long, value_name = "LAUNCH.json", conflicts_with_all = ["kernel", "ptx"])]
    launch: Vec<PathBuf>,
    /// With --launch: the program's output BUFFER must be what FILE holds, to begin with.
    #[arg(long = "expected-buffer", value_name = "BUFFER=FILE", requires = "launch", value_parser = launch::expectation)]
    expected: Vec<(String, PathBuf)>,
    /// With --launch: run every mutant under every seed, and tell who was killed by luck.
    #[arg(long, requires = "launch")]
    every_seed: bool,
    /// With --launch: answer the open questions of the ISA by the written guarantee alone.
    #[arg(long, requires = "launch")]
    strict: bool,
    /// Also print who was killed, and by what.
    #[arg(long)]
    verbose: bool,
}

impl Options {
    fn wants(&self, mutant: &Mutant) -> bool {
        let skipped = self.skip.iter().any(|text| mutant.what.contains(text));
        mutant.opcode.contains(&self.only) && mutant.what.contains(&self.what) && !skipped
    }
}

fn progress(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {eta} left");
    bar.set_style(style.expect("the template is legal"));
    bar
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    if !options.launch.is_empty() {
        return options.launch.iter().try_for_each(|path| launch::run(path, options).map(drop));
    }
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

/// A problem with its inputs and answer, for a kernel that a plan uses.
enum Case {
    Dense { inputs: Box<Inputs>, plan: Box<Plan>, expected: Box<Expected> },
    Groups(Box<groups::Case>),
    Hopper(Box<hopper::Case>),
}

/// The cases for a kernel.
fn cases(text: &str, kernel: &str) -> Result<Vec<Case>> {
    let hopper = hopper::cases(text, kernel)?;
    if !hopper.is_empty() {
        return Ok(hopper.into_iter().map(|case| Case::Hopper(case.into())).collect());
    }
    let groups = groups::cases(text, kernel)?;
    if !groups.is_empty() {
        return Ok(groups.into_iter().map(|case| Case::Groups(case.into())).collect());
    }
    Ok(vec![
        Case::dense(kernel, DataKind::FullRange, true)?,
        Case::dense(kernel, DataKind::Quantised, false)?,
    ])
}

impl Case {
    fn dense(kernel: &str, kind: DataKind, ragged: bool) -> Result<Case> {
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
                    let expected = Expected::new(&problem, &inputs)?.into();
                    return Ok(Case::Dense { inputs: inputs.into(), plan: plan.into(), expected });
                }
            }
        }
        bail!("'{kernel}' is not a kernel that a plan of this library uses")
    }

    /// How a run ended, if not with the right C; and how many instructions it took.
    fn judge(&self, ptx: &str, seed: u64, limit: u64) -> (Option<String>, u64) {
        let module = match Emulated::parse(ptx) {
            Ok(module) => module,
            Err(error) => return (Some(error.to_string()), 0),
        };
        let mut device = Emulated::new(seed).limited(limit);
        let overlaps = match self {
            Case::Hopper(_) => true,
            Case::Groups(case) => case.overlaps(),
            Case::Dense { .. } => false,
        };
        if overlaps {
            device = device.overlapping();
        }
        let wrong = |verdict: Verdict| {
            (!verdict.passed()).then(|| {
                let elements = verdict.outside_tolerance.max(verdict.wrong_bits);
                format!("wrong C: {elements} elements")
            })
        };
        let how = match self {
            Case::Hopper(case) => case.run(&mut device, &module),
            Case::Dense { inputs, plan, expected } => {
                let c = dual_gemm(&mut device, &module, plan, &inputs.views());
                c.map(|c| wrong(expected.judge(&c)))
            }
            Case::Groups(case) => case.run(&mut device, &module),
        };
        (how.unwrap_or_else(|error| Some(error.to_string())), device.instructions())
    }
}

/// Mutates one kernel; the number of survivors without an explanation.
fn mutate(text: &str, kernel: &str, options: &Options) -> Result<usize> {
    let start = Instant::now();
    let mut all = mutants::of(text, kernel).with_context(|| format!("no entry '{kernel}'"))?;
    all.retain(|mutant| options.wants(mutant));
    let cases = cases(text, kernel)?;
    let mut longest = 0;
    for case in &cases {
        let (how, instructions) = case.judge(text, 0, u64::MAX);
        if let Some(how) = how {
            bail!("{kernel} is wrong without any mistake: {how}");
        }
        longest = longest.max(instructions);
    }
    let bar = progress(all.len());
    let ended: Vec<Option<String>> = all
        .par_iter()
        .map(|mutant| {
            let changed = mutant.apply(text);
            let mut how = None;
            'judged: for case in &cases {
                for seed in 0..options.seeds {
                    how = case.judge(&changed, seed, longest * 20).0;
                    if how.is_some() {
                        break 'judged;
                    }
                }
            }
            bar.inc(1);
            how
        })
        .collect();
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
                let reason = explain(mutant, text).unwrap_or_else(|| {
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
fn explain(mutant: &Mutant, text: &str) -> Option<&'static str> {
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
        (
            "wgmma.mma_async",
            "leading byte offset",
            "K-major operands of one swizzle atom's width have no second one to step to",
        ),
        (
            "setmaxnreg",
            "removed",
            "PTX has as many registers as it names: how many there are is between ptxas and the device",
        ),
        ("tcgen05.cp", "leading byte offset", "rows of 16 bytes have no second column of atoms"),
        ("tcgen05.cp", "base offset", "only swizzled layouts have a base to be off"),
    ];
    let reason = reasons.iter().find(|(opcode, what, _)| is(opcode, what));
    let reason = reason.map(|(_, _, reason)| *reason);
    let one_group_of_rows = || {
        (is("wgmma.mma_async", "stride byte offset") && mutant.opcode.contains("n8k"))
            .then_some("eight columns are one group of rows, and have no second one to step to")
    };
    let reason = reason.or_else(one_group_of_rows).or_else(|| {
        another_wait_follows(mutant, text).then_some(
            "another wait of the warp covers it before anything is read, stored or signalled: each \
             piece of weights has registers of its own",
        )
    });
    reason.or_else(|| {
        waits_at_the_end(mutant, text).then_some(
            "waits for a commit that came before one that others wait for: the emulator takes \
             commits of a thread to arrive in their order, the kernel does not",
        )
    })
}

/// True for a commit, or a wait, of `wgmma` that is followed by another before anything depends on it.
fn another_wait_follows(mutant: &Mutant, text: &str) -> bool {
    let counts = ["wgmma.wait_group", "mbarrier.", "bar", "st.", "bra", "cp.", "mapa"];
    let code = |line: &str| line.trim().trim_start_matches("{ .reg .pred p; ").to_owned();
    let mut waits = text.lines().skip(mutant.line).map(code);
    let next = |mut waits: &mut dyn Iterator<Item = String>| {
        let found = Iterator::find(&mut waits, |line| {
            let line = line
                .split_once(' ')
                .filter(|(at, _)| at.starts_with('@'))
                .map_or(line.as_str(), |(_, rest)| rest);
            counts.iter().any(|opcode| line.starts_with(opcode))
        });
        found.is_some_and(|line| line.starts_with("wgmma.wait_group"))
    };
    match mutant.opcode.as_str() {
        opcode if opcode.starts_with("wgmma.wait_group") => next(&mut waits),
        // Its own wait, and one more.
        opcode if opcode.starts_with("wgmma.commit_group") => next(&mut waits) && next(&mut waits),
        _ => false,
    }
}

/// True for a wait after which its warp only waits, until the CTA meets at the end.
fn waits_at_the_end(mutant: &Mutant, text: &str) -> bool {
    let counts = ["mbarrier.", "cp.async", "tcgen05.", "fence.", "st.", "ld.", "bra.uni", "bar."];
    mutant.opcode.starts_with("mbarrier.try_wait")
        && text
            .lines()
            .skip(mutant.line)
            .map(|line| line.trim().trim_start_matches("{ .reg .pred p; "))
            .filter(|line| counts.iter().any(|opcode| line.starts_with(opcode)))
            .find(|line| !line.starts_with("mbarrier.try_wait"))
            .is_some_and(|line| line.starts_with("bar.sync"))
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
            let of_kind = |m: &&Mutant| m.what.contains(what) && explain(m, ptx::SM_100F).is_some();
            all.iter().filter(of_kind).count()
        };
        assert!(all.len() > 200);
        assert_eq!(count("leading byte offset"), 3 + 4);
        assert_eq!(count("base offset"), 3, "an MMA's operands are swizzled");
        assert_eq!(count("swizzle") + count("byte count") + count("parity"), 0);
        assert!(
            all.iter()
                .filter(|m| m.opcode.contains("fence"))
                .all(|m| explain(m, ptx::SM_100F).is_none())
        );
    }

    #[test]
    fn only_the_last_waits_of_a_grouped_kernel_are_explained() {
        let waits = |kernel: &str| {
            let all = mutants::of(ptx::SM_100F, kernel).unwrap();
            let ends = all.iter().filter(|m| waits_at_the_end(m, ptx::SM_100F));
            ends.map(|m| m.line).collect::<std::collections::BTreeSet<_>>().len()
        };
        // One for each stage of the ring; the dense kernel has none.
        assert_eq!(waits("nvfp4_grouped_dual_gemm_sm100_16x128"), 5);
        assert_eq!(waits("nvfp4_grouped_gemm_sm100_128x128"), 6);
        assert_eq!(waits("nvfp4_dual_gemm_sm100_128x64_f16"), 0);
    }
}
