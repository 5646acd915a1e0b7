//! Blackwell's candidates: which tile, by an estimate in cycles.
//!
//! The estimate is a model, not a measurement. It is there to rank two tiles, and leaves out what
//! is the same for both, such as the time that HBM needs.

use nvfp4_dual_gemm_device::kernels::{KERNELS, KernelDecl, Output};
use nvfp4_dual_gemm_device::tile::geometry::{Geometry, MMA_K, MMAS_PER_STAGE};

use crate::error::{Error, Result};
use crate::problem::{ActivationType, OutputType, Problem};

/// The target of these kernels: the family of compute capability 10.0 and 10.3.
pub const ARCH: &str = "sm_100f";

/// SMs of a B200.
pub const B200_SMS: u32 = 148;

/// The grid's x and y (and z) may not exceed these.
pub(super) const MAX_GRID: [usize; 3] = [i32::MAX as usize, 65_535, 65_535];

/// Shared memory moves 128 bytes a cycle, reads and fills together.
const SHARED_BYTES_PER_CYCLE: u64 = 128;
/// From the start of a CTA to its first MMA: about 1 µs for the first bytes to come from HBM.
const FILL_CYCLES: u64 = 2_000;
/// The epilogue needs an exponential and a reciprocal for each element of C, of which an SM does 16
/// a cycle: 128 rows · 2 / 16.
const EPILOGUE_CYCLES_PER_COLUMN: u64 = 16;

/// What one tile would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// C rows per CTA.
    pub tile_m: u32,
    /// C columns per CTA.
    pub tile_n: u32,
    /// CTAs that share the K of one tile.
    pub split: u32,
    /// CTAs in the grid.
    pub ctas: u64,
    /// Rounds that the SMs need for them, one CTA per SM at a time.
    pub waves: u64,
    /// The estimate for the whole launch.
    pub cycles: u64,
}

/// These kernels multiply NVFP4 with NVFP4.
pub(super) fn check(problem: &Problem) -> Result<()> {
    if problem.activations == ActivationType::Nvfp4 {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: format!("A in {} on {ARCH}", problem.activations),
        remedy: "quantise A to NVFP4; 16-bit activations are Hopper's",
    })
}

/// The kernels for `output`, the widest tile first.
pub(super) fn candidates(output: OutputType) -> impl Iterator<Item = &'static KernelDecl> {
    KERNELS
        .iter()
        .filter(move |kernel| kernel.arch == ARCH && kernel.output == Some(device(output)))
}

/// The kernel with exactly this tile.
pub(super) fn kernel(output: OutputType, tile_m: u32, tile_n: u32) -> Result<&'static KernelDecl> {
    candidates(output).find(|kernel| (kernel.tile_m, kernel.tile_n) == (tile_m, tile_n)).ok_or_else(
        || {
            let tiles: Vec<_> = candidates(output)
                .map(|kernel| format!("{}×{}", kernel.tile_m, kernel.tile_n))
                .collect();
            let (arch, output) = (ARCH, output.name());
            Error::NoKernel { arch, tile_m, tile_n, output, available: tiles.join(", ") }
        },
    )
}

/// Tiles along M, tiles along N, batches.
pub(super) fn grid(problem: &Problem, kernel: &KernelDecl) -> Result<[u32; 3]> {
    let counts = [
        problem.m.div_ceil(kernel.tile_m as usize),
        problem.n.div_ceil(kernel.tile_n as usize),
        problem.l,
    ];
    let axes = ["x (tiles along M)", "y (tiles along N)", "z (batches)"];
    let remedies = ["split M", "take wider tiles, or split N", "split the batch"];
    for (i, &value) in counts.iter().enumerate() {
        if value > MAX_GRID[i] {
            let (axis, limit, remedy) = (axes[i], MAX_GRID[i], remedies[i]);
            return Err(Error::Grid { axis, value, limit, remedy });
        }
    }
    // Each is at most 2^31 − 1.
    Ok(counts.map(|count| count as u32))
}

/// What `kernel` would cost on `sm_count` SMs.
pub(super) fn estimate(problem: &Problem, kernel: &KernelDecl, sm_count: u32) -> Estimate {
    let tiles = |size: usize, tile: u32| size.div_ceil(tile as usize) as u64;
    let ctas = tiles(problem.m, kernel.tile_m) * tiles(problem.n, kernel.tile_n) * problem.l as u64;
    // Two CTAs' rings do not fit one SM.
    let waves = ctas.div_ceil(u64::from(sm_count.max(1)));
    let k_steps = problem.k.div_ceil(MMA_K as usize) as u64;
    let cta = FILL_CYCLES
        + k_steps * k_step_cycles(kernel)
        + u64::from(kernel.tile_n) * EPILOGUE_CYCLES_PER_COLUMN;
    let (tile_m, tile_n) = (kernel.tile_m, kernel.tile_n);
    Estimate { tile_m, tile_n, split: 1, ctas, waves, cycles: waves * cta }
}

/// Cycles for 64 elements along K: of the tensor core, or of shared memory if that takes longer.
fn k_step_cycles(kernel: &KernelDecl) -> u64 {
    // One 128×N MMA takes N/2 cycles, and there are two.
    let tensor_core = u64::from(kernel.tile_n);
    // The MMAs read A once, as the second takes it from the collector, and each its own B.
    let read = u64::from((kernel.tile_m + 2 * kernel.tile_n) * MMA_K / 2);
    let stage = Geometry { tile_n: kernel.tile_n, stages: kernel.stages }.stage_bytes();
    let filled = u64::from(stage / MMAS_PER_STAGE);
    tensor_core.max((read + filled).div_ceil(SHARED_BYTES_PER_CYCLE))
}

fn device(output: OutputType) -> Output {
    match output {
        OutputType::F16 => Output::F16,
        OutputType::Bf16 => Output::Bf16,
    }
}
