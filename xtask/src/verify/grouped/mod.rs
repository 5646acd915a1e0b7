//! `verify --op gemm|grouped|grouped-dual`: the grouped kernels, a plain product being one group.

mod run;

use std::fmt;

use anyhow::{Result, bail};
use nvfp4_dual_gemm::OutputType;
use nvfp4_dual_gemm::grouped::{Experts, Operation, sm90};
use nvfp4_dual_gemm::plan::sm90::H200_SMS;
use nvfp4_dual_gemm::plan::sm100::B200_SMS;
use nvfp4_dual_gemm_tests::data::DataKind;
use nvfp4_dual_gemm_tests::grouped::{Grouped, Size};

use super::cases::{Case, Source};
#[cfg(feature = "cuda")]
pub use run::OnDevice;
pub use run::run;

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
    /// The tile to force; `None` lets the plan choose.
    tile: Option<[u32; 2]>,
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

/// The tiles of an architecture, smallest first.
fn tiles(hopper: bool) -> Vec<[u32; 2]> {
    if hopper { sm90::tiles().collect() } else { [16, 32, 64, 128].map(|m| [m, 128]).into() }
}

/// A case that others are made from.
fn base(operation: Operation, hopper: bool, two_pass: bool) -> GroupedCase {
    GroupedCase {
        operation,
        form: Form::Listed(vec![]),
        output: OutputType::F16,
        kind: DataKind::Contest,
        tile: None,
        sm_count: if hopper { H200_SMS } else { B200_SMS },
        two_pass,
        hopper,
        default_seeds: 2,
    }
}

/// The cases for a grouped operation. Shapes of the command line are the groups of one case.
pub fn select(
    operation: Operation,
    shapes: &[Size],
    data: &[DataKind],
    all: bool,
    (hopper, two_pass): (bool, bool),
) -> Result<Vec<GroupedCase>> {
    let base = base(operation, hopper, two_pass);
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
        for (i, tile) in tiles(hopper).into_iter().enumerate() {
            for (j, kind) in DataKind::ALL.into_iter().enumerate() {
                let output = if (i + j) % 2 == 0 { OutputType::F16 } else { OutputType::Bf16 };
                let form = Form::Listed(RAGGED.to_vec());
                cases.push(GroupedCase { form, kind, output, tile: Some(tile), ..few.clone() });
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
    if hopper {
        cases.iter_mut().for_each(|case| case.default_seeds = case.default_seeds.min(2));
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
    let tiles = tiles(base.hopper);
    let (smallest, small, largest) = (tiles[0], tiles[1], tiles[tiles.len() - 1]);
    let mut add = |experts: Experts, offsets: Vec<u32>, tile, kind, output| {
        let form = Form::Experts(experts, offsets);
        cases.push(GroupedCase { form, tile, kind, output, default_seeds: 3, ..base.clone() });
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
    add(many, few_busy.clone(), Some(smallest), DataKind::Quantised, bf16);
    add(many, few_busy, Some(largest), DataKind::Hostile, f16);
    let decode = Experts { experts: 64, rows: 64, n: 136, k: 544 };
    add(decode, (0..=64).collect(), None, DataKind::Quantised, f16);
    add(decode, offsets(64, &[(41, 1)]), None, DataKind::FullRange, bf16);
    add(decode, offsets(64, &[(63, 64)]), Some(small), DataKind::Contest, f16);
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
        let (tile, output) = (tiles[i % tiles.len()], [f16, bf16][i % 2]);
        add(small, wrong.to_vec(), Some(tile), DataKind::Quantised, output);
    }
    cases
}

/// The dense cases as grouped ones.
pub fn dense(
    operation: Operation,
    cases: &[Case],
    (hopper, two_pass): (bool, bool),
) -> Result<Vec<GroupedCase>> {
    let (tiles, base) = (tiles(hopper), base(operation, hopper, two_pass));
    let one = |case: &Case| {
        let Source::Made(kind) = case.source else {
            bail!(
                "a checkpoint's gate and up are for the dual GEMM: leave out --op and --two-pass"
            );
        };
        // The dense tiles' columns name no tile here; they give the rows some variety.
        let back = match case.tile_n {
            Some(128) => Some(1),
            Some(_) => Some(if case.output == OutputType::F16 { 2 } else { 3 }),
            None => None,
        };
        let tile = back.map(|back| tiles[tiles.len() - back]);
        Ok(GroupedCase {
            form: Form::Listed(vec![case.shape]),
            output: case.output,
            kind,
            tile,
            sm_count: if tile.is_some() { FEW_SMS } else { base.sm_count },
            default_seeds: case.default_seeds.min(if hopper { 2 } else { 3 }),
            ..base.clone()
        })
    };
    cases.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_set_covers_what_it_says() {
        for hopper in [false, true] {
            let cases = select(Operation::DualGemm, &[], &[], false, (hopper, false)).unwrap();
            for tile in tiles(hopper) {
                let of_tile = |case: &&GroupedCase| case.tile == Some(tile);
                for output in [OutputType::F16, OutputType::Bf16] {
                    assert!(cases.iter().filter(of_tile).any(|case| case.output == output));
                }
            }
            let wrong = |case: &&GroupedCase| matches!(&case.form, Form::Experts(e, offsets) if is_wrong(e, offsets));
            assert_eq!(cases.iter().filter(wrong).count(), 7);
            assert!(cases.iter().any(|case| case.to_string().starts_with("256 experts")));
            let all = select(Operation::Gemm, &[], &[], true, (hopper, false)).unwrap();
            assert_eq!(all.len(), cases.len() + 4);
            let right = select(Operation::DualGemm, &[], &[], false, (hopper, true)).unwrap();
            assert_eq!(right.len(), cases.len() - 7);
        }
    }
}
