//! `verify --op gemm|grouped|grouped-dual`: the grouped kernels, a plain product being one group.

use std::fmt;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use nvfp4_dual_gemm::OutputType;
use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::grouped::launch::run_with_any_offsets;
use nvfp4_dual_gemm::grouped::{Experts, GroupedPlan, GroupedProblem, Operation, TwoPass, sm90};
use nvfp4_dual_gemm::plan::sm90::H200_SMS;
use nvfp4_dual_gemm::plan::sm100::B200_SMS;
use nvfp4_dual_gemm_tests::data::DataKind;
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::grouped::{Grouped, GroupedVerdict, Size};
use nvfp4_dual_gemm_tests::judge::Verdict;
use rayon::prelude::*;

use super::cases::{Case, Source};
use super::run::Row;

/// What `--op` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Op {
    /// The dense dual GEMM.
    Dual,
    /// The plain GEMM: one group.
    Gemm,
    /// The grouped GEMM.
    Grouped,
    /// The grouped dual GEMM.
    GroupedDual,
}

/// The head of the table.
pub const HEADER: &str = "\
groups                            out   tile     data        seeds  max error    instructions  seconds  verdict";

/// SMs that the standard set is planned for: fewer than its tiles, so that CTAs walk over several.
const FEW_SMS: u32 = 4;

/// Groups of a case.
#[derive(Debug, Clone)]
enum Form {
    Listed(Vec<Size>),
    /// The offsets may be wrong.
    Experts(Experts, Vec<u32>),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct GroupedCase {
    operation: Operation,
    form: Form,
    output: OutputType,
    kind: DataKind,
    /// Rows of the tile to force; `None` lets the plan choose.
    tokens: Option<u32>,
    sm_count: u32,
    two_pass: bool,
    /// For Hopper, not for Blackwell.
    hopper: bool,
    /// Seeds, where the command line names none.
    pub default_seeds: u64,
}

impl fmt::Display for GroupedCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.form {
            Form::Listed(sizes) => match sizes[..] {
                [(m, n, k, l)] => format!("{m}×{n}×{k}×{l}"),
                _ => {
                    let largest = |size: fn(&Size) -> usize| sizes.iter().map(size).max();
                    let most = [largest(|s| s.0), largest(|s| s.1), largest(|s| s.2)];
                    let [m, n, k] = most.map(|size| size.unwrap_or(0));
                    format!("{} up to {m}×{n}×{k}", sizes.len())
                }
            },
            Form::Experts(e, offsets) => {
                let wrong = if is_wrong(e, offsets) { ", wrong" } else { "" };
                format!("{} experts, {} rows{wrong}", e.experts, e.rows)
            }
        };
        f.pad(&text)
    }
}

/// Whether the host would refuse these offsets if it saw them.
fn is_wrong(experts: &Experts, offsets: &[u32]) -> bool {
    let total = offsets[experts.experts] as usize;
    nvfp4_dual_gemm::grouped::check_offsets(offsets, experts, total).is_err()
}

impl GroupedCase {
    /// The same case for Hopper, whose tiles have half as many rows.
    #[must_use]
    pub fn on_hopper(mut self) -> Self {
        self.hopper = true;
        self.tokens = self.tokens.map(|tokens| tokens / 2);
        if self.sm_count == B200_SMS {
            self.sm_count = H200_SMS;
        }
        self.default_seeds = self.default_seeds.min(2);
        self
    }

    fn data(&self) -> Result<Grouped> {
        let GroupedCase { operation, output, kind, .. } = *self;
        let data = match &self.form {
            Form::Listed(sizes) => Grouped::listed(operation, sizes, kind, output, 0x5eed)?,
            Form::Experts(experts, offsets) => {
                Grouped::experts(operation, *experts, offsets, kind, output, 0x5eed)?
            }
        };
        Ok(if self.hopper { data.by_tolerance() } else { data })
    }

    /// Units of work, for a progress bar.
    pub fn work(&self) -> u64 {
        let work = match &self.form {
            Form::Listed(sizes) => {
                sizes.iter().map(|&(m, n, k, l)| m.div_ceil(64) * n * k * l).sum::<usize>()
            }
            Form::Experts(e, _) => (e.rows.div_ceil(64) + e.experts.min(e.rows)) * e.n * e.k,
        };
        (work >> 12).max(1) as u64
    }
}

/// The contest's tests: M, N and K of each group.
const CONTEST_TESTS: [[&[usize]; 3]; 10] = [
    [&[96, 128], &[128, 256], &[256, 512]],
    [&[256, 72], &[512, 384], &[256, 256]],
    [&[128, 128], &[128, 256], &[512, 256]],
    [&[80, 128, 256], &[384, 256, 128], &[256, 512, 256]],
    [&[64, 72, 96], &[128, 384, 512], &[512, 512, 256]],
    [&[64, 256, 128], &[768, 128, 256], &[512, 256, 512]],
    [&[128, 128, 64], &[256, 512, 512], &[768, 256, 768]],
    [&[128; 4], &[128; 4], &[512, 256, 512, 256]],
    [&[40, 56, 384, 512], &[512, 384, 256, 128], &[256; 4]],
    [&[512, 384, 256, 128], &[256; 4], &[512, 768, 512, 768]],
];

/// The contest's benchmarks: M of each group; N and K of all.
const CONTEST_BENCHMARKS: [(&[usize], usize, usize); 4] = [
    (&[80, 176, 128, 72, 64, 248, 96, 160], 4096, 7168),
    (&[40, 76, 168, 72, 164, 148, 196, 160], 7168, 2048),
    (&[192, 320], 3072, 4096),
    (&[128, 384], 4096, 1536),
];

/// Groups that meet every tail: M below, at and above tiles and atoms, none at all; N below and above
/// a tile; K of half an atom, of one stage, of a ring and more; batches.
const RAGGED: [Size; 6] = [
    (70, 136, 544, 1),
    (0, 8, 32, 1),
    (1, 8, 1632, 2),
    (129, 64, 96, 1),
    (17, 264, 256, 3),
    (128, 128, 2848, 1),
];

/// The cases for a grouped operation. Shapes of the command line are the groups of one case.
pub fn select(
    operation: Operation,
    shapes: &[Size],
    data: &[DataKind],
    all: bool,
    two_pass: bool,
) -> Result<Vec<GroupedCase>> {
    let base = GroupedCase {
        operation,
        form: Form::Listed(vec![]),
        output: OutputType::F16,
        kind: DataKind::Contest,
        tokens: None,
        sm_count: B200_SMS,
        two_pass,
        hopper: false,
        default_seeds: 2,
    };
    let mut cases = vec![];
    if !shapes.is_empty() {
        for kind in DataKind::ALL {
            for output in [OutputType::F16, OutputType::Bf16] {
                let form = Form::Listed(shapes.to_vec());
                cases.push(GroupedCase { form, kind, output, ..base.clone() });
            }
        }
    } else {
        for [m, n, k] in CONTEST_TESTS {
            let form = Form::Listed((0..m.len()).map(|i| (m[i], n[i], k[i], 1)).collect());
            cases.push(GroupedCase { form, ..base.clone() });
        }
        let few = GroupedCase { sm_count: FEW_SMS, default_seeds: 6, ..base.clone() };
        for (i, tokens) in [16, 32, 64, 128].into_iter().enumerate() {
            for (j, kind) in DataKind::ALL.into_iter().enumerate() {
                let output = if (i + j) % 2 == 0 { OutputType::F16 } else { OutputType::Bf16 };
                let form = Form::Listed(RAGGED.to_vec());
                cases.push(GroupedCase { form, kind, output, tokens: Some(tokens), ..few.clone() });
            }
        }
        cases.extend(experts(&few));
    }
    if all {
        for (m, n, k) in CONTEST_BENCHMARKS {
            let form = Form::Listed(m.iter().map(|&m| (m, n, k, 1)).collect());
            cases.push(GroupedCase { form, default_seeds: 1, ..base.clone() });
        }
    }
    cases.retain(|case| data.is_empty() || data.contains(&case.kind));
    if two_pass {
        // The element-wise pass trusts what the products wrote; wrong offsets are the fused one's.
        cases.retain(|case| !matches!(&case.form, Form::Experts(e, o) if is_wrong(e, o)));
    }
    if cases.is_empty() {
        bail!("no case is left of what was asked for");
    }
    Ok(cases)
}

/// Experts: many of which most are empty, one row in one of them, all rows in one, offsets that are
/// wrong in every way.
fn experts(base: &GroupedCase) -> Vec<GroupedCase> {
    let mut cases = vec![];
    let mut add = |experts: Experts, offsets: Vec<u32>, tokens, kind, output| {
        let form = Form::Experts(experts, offsets);
        cases.push(GroupedCase { form, tokens, kind, output, default_seeds: 3, ..base.clone() });
    };
    let (f16, bf16) = (OutputType::F16, OutputType::Bf16);
    // Rows of the experts that have any.
    let offsets = |experts: usize, rows: &[(usize, u32)]| -> Vec<u32> {
        (0..=experts)
            .map(|i| rows.iter().filter(|&&(e, _)| e < i).map(|&(_, rows)| rows).sum())
            .collect()
    };
    let many = Experts { experts: 256, rows: 300, n: 72, k: 96 };
    let few_busy = offsets(256, &[(0, 17), (31, 1), (32, 64), (100, 130), (255, 33)]);
    add(many, few_busy.clone(), None, DataKind::FullRange, f16);
    add(many, few_busy.clone(), Some(16), DataKind::Quantised, bf16);
    add(many, few_busy, Some(128), DataKind::Hostile, f16);
    let decode = Experts { experts: 64, rows: 64, n: 136, k: 544 };
    add(decode, (0..=64).collect(), None, DataKind::Quantised, f16);
    add(decode, offsets(64, &[(41, 1)]), None, DataKind::FullRange, bf16);
    add(decode, offsets(64, &[(63, 64)]), Some(32), DataKind::Contest, f16);
    add(decode, vec![0; 65], None, DataKind::Contest, f16);
    let small = Experts { experts: 4, rows: 140, n: 136, k: 288 };
    for (i, wrong) in [
        [0, 10, 5, 20, 140],
        [0, 10, 150, 20, 140],
        [7, 7, 7, 7, 7],
        [190, 1, 2, 3, 4],
        [0, 0, u32::MAX, 0, 140],
        [0, 140, 0, 140, 0],
        [0, 39, 39, 139, 1 << 31],
    ]
    .into_iter()
    .enumerate()
    {
        let (tokens, output) = ([16, 32, 64, 128][i % 4], [f16, bf16][i % 2]);
        add(small, wrong.to_vec(), Some(tokens), DataKind::Quantised, output);
    }
    cases
}

/// The dense cases as grouped ones.
pub fn dense(operation: Operation, cases: &[Case], two_pass: bool) -> Result<Vec<GroupedCase>> {
    let one = |case: &Case| {
        let Source::Made(kind) = case.source else {
            bail!(
                "a checkpoint's gate and up are for the dual GEMM: leave out --op and --two-pass"
            );
        };
        // The dense tiles' columns name no tile here; they give the rows some variety.
        let tokens = match case.tile_n {
            Some(128) => Some(128),
            Some(_) => Some(if case.output == OutputType::F16 { 64 } else { 32 }),
            None => None,
        };
        Ok(GroupedCase {
            operation,
            form: Form::Listed(vec![case.shape]),
            output: case.output,
            kind,
            tokens,
            sm_count: if tokens.is_some() { FEW_SMS } else { B200_SMS },
            two_pass,
            hopper: false,
            default_seeds: case.default_seeds.min(3),
        })
    };
    cases.iter().map(one).collect()
}

/// The fused plan or the two passes.
enum Planned {
    Fused(Box<GroupedPlan>),
    TwoPass(Box<TwoPass>),
}

impl Planned {
    fn new(case: &GroupedCase, grouped: &Grouped) -> nvfp4_dual_gemm::Result<Self> {
        let plan = |problem: &GroupedProblem| match (case.hopper, case.tokens, case.sm_count) {
            (false, None, sms) => GroupedPlan::choose(problem, sms),
            (false, Some(tokens), sms) => GroupedPlan::with_tile(problem, tokens, sms),
            (true, None, sms) => sm90::choose(problem, sms),
            (true, Some(tokens), sms) => sm90::with_tile(problem, [tokens, 64], sms),
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
    let (output, tile, data) = (case.output.name(), plan.tile(), case.kind);
    let label = format!("{case:<32}  {output:<4}  {tile:<7}  {data:<10}");
    Ok(Row {
        case: label,
        seeds,
        instructions,
        seconds: start.elapsed().as_secs_f64(),
        outcome,
        pass,
    })
}

/// Runs a case twice on a device, whose PTX the emulator runs once too: all must give the same bits.
#[cfg(feature = "cuda")]
pub fn run_on_device<B: Backend>(
    case: &GroupedCase,
    device: &mut B,
    module: &B::Module,
    emulated: &Module,
) -> Result<Row> {
    let start = Instant::now();
    let grouped = case.data().context("computing the reference")?;
    let plan = Planned::new(case, &grouped)?;
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
    let mut emulator = Emulated::new(0);
    same("on the emulator", plan.run(&mut emulator, emulated, &grouped));
    let (output, tile, data) = (case.output.name(), plan.tile(), case.kind);
    let label = format!("{case:<32}  {output:<4}  {tile:<7}  {data:<10}");
    let (seeds, instructions) = (2, emulator.instructions());
    let (seconds, pass) =
        (start.elapsed().as_secs_f64(), "the same bits twice, and the emulator's");
    Ok(Row { case: label, seeds, instructions, seconds, outcome, pass })
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
    use super::*;

    #[test]
    fn the_standard_set_covers_what_it_says() {
        let cases = select(Operation::DualGemm, &[], &[], false, false).unwrap();
        for tokens in [16, 32, 64, 128] {
            let of_tile = |case: &&GroupedCase| case.tokens == Some(tokens);
            for output in [OutputType::F16, OutputType::Bf16] {
                assert!(cases.iter().filter(of_tile).any(|case| case.output == output));
            }
        }
        let wrong = |case: &&GroupedCase| matches!(&case.form, Form::Experts(e, offsets) if is_wrong(e, offsets));
        assert_eq!(cases.iter().filter(wrong).count(), 7);
        assert!(cases.iter().any(|case| case.to_string().starts_with("256 experts")));
        let all = select(Operation::Gemm, &[], &[], true, false).unwrap();
        assert_eq!(all.len(), cases.len() + 4);
        let right = select(Operation::DualGemm, &[], &[], false, true).unwrap();
        assert_eq!(right.len(), cases.len() - 7);
    }

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
