//! Hopper's candidates: how many tokens per tile, and how many CTAs share the K of a tile.
//!
//! The estimate ranks candidates by cycles; its constants were fitted to measurements on an H200
//! (see docs/hopper.md).

use nvfp4_dual_gemm_device::kernels::{KERNELS, KernelDecl, SM90_EXPAND, SM90_PACK_WEIGHTS};
use nvfp4_dual_gemm_device::tile::packed_sm90::{STAGE_K, chunks_along_n, packed_bytes};
use nvfp4_dual_gemm_device::tile::sm90::{EXPAND_K, Sm90Geometry};

use super::sm100::{Estimate, MAX_GRID};
use super::tensor_map::TensorMapSpec;
use super::{Before, Plan};
use crate::error::{Error, Result};
use crate::problem::{ActivationType, Problem};

/// The target of these kernels.
pub const ARCH: &str = "sm_90a";

/// SMs of an H200, and of an H100 in SXM form.
pub const H200_SMS: u32 = 132;

/// CTAs of a cluster that any device with clusters can run together.
pub const MAX_SPLIT: u32 = 8;

/// From the end of the kernel before to a kernel's first MMA, and from its last to its end.
const FIXED_CYCLES: u64 = 7_000;
/// What a cluster's start, its sums and its end take more.
const CLUSTER_CYCLES: u64 = 3_500;
/// Exchange and epilogue of 16 elements of C.
const EPILOGUE_CYCLES_PER_16: u64 = 4;
/// Bytes that shared memory receives in 16 cycles.
const INGRESS_BYTES_PER_16_CYCLES: u64 = 16 * 33;
/// Bytes of weights that the memory has for an SM in 16 cycles, where all ask.
const MEMORY_BYTES_PER_16_CYCLES: u64 = 16 * 16;

/// Stages that 16-bit activations are summed over in one piece at most, where there is a choice: with 28,
/// some elements in a hundred thousand are off by more than 1e-3.
const CUT_OFF_STAGES: u32 = 16;

/// Decoding 32 rows of both weights of a stage, and multiplying them: cycles of an SM.
fn chunk_cycles(tokens: u32) -> u64 {
    match tokens {
        0..=16 => 430,
        17..=32 => 650,
        33..=64 => 820,
        _ => 1_230,
    }
}

/// Tiles that there are kernels for: tokens, and columns of C.
pub const TILES: [[u32; 2]; 7] =
    [[8, 32], [16, 32], [32, 32], [32, 64], [64, 64], [128, 64], [128, 128]];

fn kernel(problem: &Problem, [tokens, rows]: [u32; 2]) -> Result<&'static KernelDecl> {
    let half = match problem.activations {
        ActivationType::Nvfp4 | ActivationType::F16 => "_f16",
        ActivationType::Bf16 => "_bf16",
    };
    let found = KERNELS.iter().find(|kernel| {
        kernel.arch == ARCH
            && (kernel.tile_m, kernel.tile_n) == (tokens, rows)
            && kernel.name.ends_with(half)
    });
    found.ok_or_else(|| Error::NoKernel {
        arch: ARCH,
        tile_m: tokens,
        tile_n: rows,
        output: problem.output.name(),
        available: TILES.map(|[t, r]| format!("{t}×{r}")).join(", "),
    })
}

/// The plan with the fewest estimated cycles on a Hopper device with `sm_count` SMs.
///
/// The tile has as many tokens as there are, up to 128, so that little of the tensor core's work is
/// for nobody. K is split where the tiles alone would leave SMs idle. For 16-bit activations and a long K a
/// tile is taken whose warpgroups sum parts of it.
///
/// # Errors
/// A problem outside the rules, or one for which no tile gives a legal grid.
pub fn choose(problem: &Problem, sm_count: u32) -> Result<Plan> {
    problem.check()?;
    if sm_count == 0 {
        return Err(Error::Dimension {
            dimension: "sm_count",
            value: 0,
            rule: "at least 1",
            remedy: "an H200 has 132 SMs",
        });
    }
    let mut estimates = Vec::new();
    for tile in TILES {
        for split in 1..=MAX_SPLIT.min(k_tiles(problem)) {
            if !cut_off(problem, tile, split) {
                estimates.push(estimate(problem, tile, split, sm_count));
            }
        }
    }
    estimates.sort_by_key(|e| (e.cycles, e.split, u32::MAX - e.tile_m));
    let mut refusal = None;
    for (i, best) in estimates.iter().enumerate() {
        match build(problem, [best.tile_m, best.tile_n], best.split, sm_count) {
            Ok(plan) => {
                let others = estimates[i + 1..].iter().take(3).copied().collect();
                return Ok(Plan { rejected: others, forced: false, ..plan });
            }
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.expect("there are candidates"))
}

/// Whether sums would lose too much: the tensor core cuts a running sum off at every step, and products of
/// 16-bit activations have many bits. Tiles with several warpgroups to a row sum shorter parts, which are
/// then added with rounding.
fn cut_off(problem: &Problem, [tokens, rows]: [u32; 2], split: u32) -> bool {
    let parts = Sm90Geometry::new(tokens, rows).parts();
    problem.activations != ActivationType::Nvfp4
        && parts == 1
        && k_tiles(problem).div_ceil(split) > CUT_OFF_STAGES
}

/// The plan with exactly this tile (tokens and columns, of [`TILES`]) and this many CTAs per tile,
/// whatever it costs.
///
/// # Errors
/// A problem outside the rules, a tile that no kernel has, a split that is not from 1 to 8 or is
/// more than there are stages of 256 along K, a grid that is not legal.
pub fn with_tile(problem: &Problem, tile: [u32; 2], split: u32, sm_count: u32) -> Result<Plan> {
    problem.check()?;
    build(problem, tile, split, sm_count)
}

fn build(problem: &Problem, tile: [u32; 2], split: u32, sm_count: u32) -> Result<Plan> {
    let kernel = kernel(problem, tile)?;
    if split == 0 || split > MAX_SPLIT || split > k_tiles(problem) {
        return Err(Error::Dimension {
            dimension: "split",
            value: split as usize,
            rule: "from 1 to 8, and at most the number of 256-element stages along K",
            remedy: "take a smaller split",
        });
    }
    let Problem { m, n, k, l, activations, .. } = *problem;
    let [tokens, rows] = tile;
    let quarters = Sm90Geometry::new(tokens, rows).token_quarters;
    let map = TensorMapSpec::wide_sixteen_bit_a(k, m, l, tokens, quarters);
    map.check()?;
    let grid = grid(problem, kernel, split, sm_count)?;
    let z = z_axis(l)?;
    // Each dimension is at most 2^31 − 1.
    let pack = Before {
        kernel: SM90_PACK_WEIGHTS.name,
        grid: [k_tiles(problem), chunks_along_n(n as u32), z],
        block: SM90_PACK_WEIGHTS.block,
        workspace: packed_bytes(n as u32, k as u32, l as u32) as usize,
    };
    let before = (activations == ActivationType::Nvfp4).then(|| Before {
        kernel: SM90_EXPAND.name,
        grid: [m as u32, (k as u32).div_ceil(EXPAND_K), z],
        block: SM90_EXPAND.block,
        workspace: 2 * l * m * k,
    });
    Ok(Plan {
        problem: *problem,
        kernel: kernel.name,
        arch: kernel.arch,
        tile: [kernel.tile_m, kernel.tile_n, kernel.tile_k],
        stages: kernel.stages,
        grid: [grid, 1, 1],
        block: kernel.block,
        cluster: [split, 1, 1],
        dynamic_shared: kernel.dynamic_shared,
        tensor_maps: vec![map],
        pack: Some(pack),
        before,
        sm_count,
        estimate: estimate(problem, tile, split, sm_count),
        rejected: Vec::new(),
        forced: true,
    })
}

fn k_tiles(problem: &Problem) -> u32 {
    problem.k.div_ceil(STAGE_K as usize).min(u32::MAX as usize) as u32
}

/// CTAs: one cluster for each tile; where a tile is one CTA's, no more than there are SMs.
fn grid(problem: &Problem, kernel: &KernelDecl, split: u32, sm_count: u32) -> Result<u32> {
    let ctas = tiles(problem, [kernel.tile_m, kernel.tile_n]).saturating_mul(u64::from(split));
    if ctas > MAX_GRID[0] as u64 {
        let axis = "x (tiles along N and M and batches, times the split)";
        let (value, limit) = (usize::try_from(ctas).unwrap_or(usize::MAX), MAX_GRID[0]);
        return Err(Error::Grid { axis, value, limit, remedy: "split the batch, or M" });
    }
    let ctas = ctas as u32;
    Ok(if split == 1 { ctas.min(sm_count.max(1)) } else { ctas })
}

/// Batches, as the z axis of the kernels that pack and expand.
fn z_axis(l: usize) -> Result<u32> {
    let limit = MAX_GRID[2];
    if l > limit {
        let axis = "z (batches) of the packing kernel";
        return Err(Error::Grid { axis, value: l, limit, remedy: "split the batch" });
    }
    Ok(l as u32)
}

fn tiles(problem: &Problem, [tokens, rows]: [u32; 2]) -> u64 {
    let columns = problem.n.div_ceil(rows as usize) as u64;
    let rows = problem.m.div_ceil(tokens as usize) as u64;
    columns.saturating_mul(rows).saturating_mul(problem.l as u64)
}

/// Clusters of `split` CTAs that run at once, one CTA on an SM. A cluster stays within one part of
/// the chip, so that large ones leave SMs unused: these are what the driver says of an H200.
fn clusters_at_once(split: u32, sm_count: u32) -> u64 {
    const OF_132: [u64; 8] = [132, 66, 39, 30, 22, 17, 15, 15];
    (OF_132[split as usize - 1] * u64::from(sm_count) / u64::from(H200_SMS)).max(1)
}

fn estimate(problem: &Problem, tile: [u32; 2], split: u32, sm_count: u32) -> Estimate {
    let [tokens, rows] = tile;
    let geometry = Sm90Geometry::new(tokens, rows);
    let tiles = tiles(problem, tile);
    let at_once = clusters_at_once(split, sm_count);
    let waves = tiles.div_ceil(at_once);
    let stages = u64::from(k_tiles(problem).div_ceil(split));
    let multiply = u64::from(geometry.chunks()) * chunk_cycles(tokens);
    let weights = u64::from(geometry.weight_bytes());
    let tokens_bytes = u64::from(geometry.tokens_per_stage() * geometry.token_bytes());
    let ingress = 16 * (weights + tokens_bytes) / INGRESS_BYTES_PER_16_CYCLES;
    // Fewer busy SMs have more of the memory's bandwidth each; row tiles of the same columns share it.
    let busy = tiles.min(at_once) * u64::from(split);
    let row_tiles = (problem.m as u64).div_ceil(u64::from(tokens)).min(busy).max(1);
    let memory =
        16 * weights * busy / (MEMORY_BYTES_PER_16_CYCLES * u64::from(sm_count) * row_tiles);
    let epilogue = u64::from(tokens * rows) * EPILOGUE_CYCLES_PER_16 / 16;
    let tile = stages * multiply.max(ingress).max(memory) + epilogue / u64::from(split);
    let cluster = if split > 1 { CLUSTER_CYCLES } else { 0 };
    let ctas = tiles * u64::from(split);
    let cycles = FIXED_CYCLES + waves * (tile + cluster);
    Estimate { tile_m: tokens, tile_n: rows, split, ctas, waves, cycles }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::OutputType;

    #[test]
    fn tiles_fit_the_tokens_and_splits_fill_the_device() {
        for (m, tile, split) in [
            (1, [8, 32], 1),
            (16, [16, 32], 1),
            (32, [32, 32], 1),
            (64, [64, 64], 2),
            (128, [128, 64], 2),
            (256, [128, 64], 1),
            (512, [128, 128], 1),
            (4096, [128, 128], 1),
        ] {
            let plan = choose(&Problem::new(m, 4096, 7168), H200_SMS).unwrap();
            assert_eq!(([plan.tile[0], plan.tile[1]], plan.cluster[0]), (tile, split), "{plan}");
        }
    }

    #[test]
    fn long_sums_of_sixteen_bit_activations_are_taken_apart() {
        let tile = |k, activations| {
            let problem = Problem::new(4096, 4096, k).with_activations(activations);
            let plan = choose(&problem, H200_SMS).unwrap();
            [plan.tile[0], plan.tile[1], plan.cluster[0]]
        };
        assert_eq!(tile(7168, ActivationType::Nvfp4), [128, 128, 1]);
        assert_eq!(tile(4096, ActivationType::F16), [128, 128, 1]);
        assert_eq!(tile(7168, ActivationType::F16), [128, 64, 1]);
    }

    #[test]
    fn every_part_of_a_plan() {
        let problem = Problem::new(300, 136, 544)
            .with_batch(3)
            .with_output(OutputType::Bf16)
            .with_activations(ActivationType::Bf16);
        let plan = with_tile(&problem, [64, 64], 2, H200_SMS).unwrap();
        assert_eq!((plan.kernel, plan.arch), ("nvfp4_dual_gemm_sm90_64x64_bf16", "sm_90a"));
        assert_eq!((plan.grid, plan.block, plan.cluster), ([90, 1, 1], [576, 1, 1], [2, 1, 1]));
        assert_eq!(plan.pack.unwrap().grid, [3, 8, 3]);
        assert_eq!(plan.before, None, "16-bit activations are read as they are");
        // K is no multiple of 64.
        assert_eq!(plan.tensor_maps, [TensorMapSpec::sixteen_bit_a(544, 300, 3, 64)]);
        let text = plan.to_string();
        for part in ["split the K", "16 warps that multiply", "UINT8", "forced", "A in bf16"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        // Persistent: no more CTAs than SMs.
        let plan = with_tile(&Problem::new(4096, 4096, 7168), [128, 128], 1, H200_SMS).unwrap();
        assert_eq!((plan.grid, plan.block), ([132, 1, 1], [640, 1, 1]));
        let map = TensorMapSpec::wide_sixteen_bit_a(7168, 4096, 1, 128, 1);
        assert_eq!(plan.tensor_maps, [map]);
    }

    #[test]
    fn refusals() {
        let text = |result: Result<Plan>| result.unwrap_err().to_string();
        let problem = Problem::new(1, 8, 32);
        assert!(text(with_tile(&problem, [24, 64], 1, H200_SMS)).contains("24×64"));
        assert!(text(with_tile(&problem, [8, 32], 2, H200_SMS)).contains("split = 2"));
        assert!(text(choose(&problem, 0)).contains("sm_count"));
        assert!(text(choose(&Problem::new(1, 8, 31), H200_SMS)).contains("K = 31"));
        let on = |capability| Plan::for_device(&problem, capability, 132);
        assert_eq!(on((9, 0)).unwrap().arch, "sm_90a");
        assert_eq!(on((10, 3)).unwrap().arch, "sm_100f");
        assert!(text(on((8, 9))).contains("8.9"));
    }
}
