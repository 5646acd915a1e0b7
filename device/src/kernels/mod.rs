//! The entry points: one declaration per kernel, used by the compiler of the PTX (which writes the
//! launch bounds into it) and by the host's launch.

// `device_arch` is set by `cargo xtask build-ptx`, `compute_100` by rust-cuda: each target has the
// kernels that are its own.
#[cfg(all(target_arch = "nvptx64", feature = "probes"))]
mod probe;
#[cfg(all(target_arch = "nvptx64", feature = "probes", device_arch = "sm_100f"))]
pub mod probes;
#[cfg(all(target_arch = "nvptx64", feature = "probes", device_arch = "sm_90a"))]
pub mod probes_sm90;
#[cfg(target_arch = "nvptx64")]
pub mod rearrange;
#[cfg(target_arch = "nvptx64")]
pub mod silu_mul;
#[cfg(all(target_arch = "nvptx64", any(device_arch = "sm_100f", target_feature = "compute_100")))]
pub mod sm100_nvfp4_dual_gemm;
#[cfg(all(target_arch = "nvptx64", any(device_arch = "sm_100f", target_feature = "compute_100")))]
pub mod sm100_nvfp4_grouped_gemm;
#[cfg(all(target_arch = "nvptx64", device_arch = "sm_90a"))]
pub mod sm90_dual_gemm;
#[cfg(all(target_arch = "nvptx64", device_arch = "sm_90a"))]
pub mod sm90_expand;
#[cfg(all(target_arch = "nvptx64", device_arch = "sm_90a"))]
pub mod sm90_grouped_expand;
#[cfg(all(target_arch = "nvptx64", device_arch = "sm_90a"))]
pub mod sm90_grouped_gemm;
#[cfg(all(target_arch = "nvptx64", device_arch = "sm_90a"))]
pub mod sm90_pack_weights;

use crate::tile::geometry::{Geometry, TILE_K, TILE_M};
use crate::tile::group_schedule::{SILU_MUL_THREADS, TILE_WEIGHTS};
use crate::tile::grouped::{GroupedGeometry, GroupedSmemMap};
use crate::tile::packed_sm90::{PACK_THREADS, STAGE_K};
use crate::tile::rearrange::REARRANGE_THREADS;
use crate::tile::sm90::{EXPAND_K, EXPAND_ROW_THREADS, Sm90Geometry, Sm90SmemMap};
use crate::tile::sm90_grouped::{
    GROUPED_EXPAND_THREADS, GroupedSm90Geometry, GroupedSm90SmemMap, TILE_ROWS,
};
use crate::tile::smem_map::SmemMap;

/// Element type of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
}

/// What a launch of a kernel must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelDecl {
    /// Entry name in the PTX.
    pub name: &'static str,
    /// PTX target.
    pub arch: &'static str,
    /// Threads per CTA; becomes `.maxntid`.
    pub block: [u32; 3],
    /// CTAs per cluster; becomes `.reqnctapercluster` where it is not 1.
    pub cluster: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
    /// C rows per CTA.
    pub tile_m: u32,
    /// C columns per CTA.
    pub tile_n: u32,
    /// K elements per pipeline stage.
    pub tile_k: u32,
    /// Depth of the shared-memory ring.
    pub stages: u32,
    /// Element type of C; none where the launch says it.
    pub output: Option<Output>,
}

const fn sm100(name: &'static str, tile_n: u32, output: Output) -> KernelDecl {
    let geometry = Geometry::sm100(tile_n);
    KernelDecl {
        name,
        arch: "sm_100f",
        block: [192, 1, 1],
        cluster: [1, 1, 1],
        dynamic_shared: SmemMap::new(geometry).dynamic_bytes(),
        tile_m: TILE_M,
        tile_n,
        tile_k: TILE_K,
        stages: geometry.stages,
        output: Some(output),
    }
}

const fn grouped(name: &'static str, tokens: u32, products: u32) -> KernelDecl {
    let geometry = GroupedGeometry::new(tokens, products);
    KernelDecl {
        name,
        arch: "sm_100f",
        block: [192, 1, 1],
        cluster: [1, 1, 1],
        dynamic_shared: GroupedSmemMap::new(geometry).dynamic_bytes(),
        tile_m: tokens,
        tile_n: TILE_WEIGHTS,
        tile_k: TILE_K,
        stages: geometry.stages,
        output: None,
    }
}

/// The grouped GEMM's kernels on sm_100, by rows of C per tile. The launch says C's element type.
pub const GROUPED_GEMM: [KernelDecl; 4] = [
    grouped("nvfp4_grouped_gemm_sm100_16x128", 16, 1),
    grouped("nvfp4_grouped_gemm_sm100_32x128", 32, 1),
    grouped("nvfp4_grouped_gemm_sm100_64x128", 64, 1),
    grouped("nvfp4_grouped_gemm_sm100_128x128", 128, 1),
];

/// The grouped dual GEMM's kernels on sm_100, likewise.
pub const GROUPED_DUAL_GEMM: [KernelDecl; 4] = [
    grouped("nvfp4_grouped_dual_gemm_sm100_16x128", 16, 2),
    grouped("nvfp4_grouped_dual_gemm_sm100_32x128", 32, 2),
    grouped("nvfp4_grouped_dual_gemm_sm100_64x128", 64, 2),
    grouped("nvfp4_grouped_dual_gemm_sm100_128x128", 128, 2),
];

/// The element-wise second pass after two plain products. It has no tile of C.
pub const SILU_MUL: KernelDecl = KernelDecl {
    name: "nvfp4_silu_mul_sm100",
    arch: "sm_100f",
    block: [SILU_MUL_THREADS, 1, 1],
    cluster: [1, 1, 1],
    dynamic_shared: 0,
    tile_m: 0,
    tile_n: 0,
    tile_k: 0,
    stages: 0,
    output: None,
};

/// The second pass on sm_90.
pub const SM90_SILU_MUL: KernelDecl = mover("nvfp4_silu_mul_sm90", SILU_MUL_THREADS, 0);

/// The kernel that copies tensors into another order.
pub const REARRANGE: KernelDecl =
    KernelDecl { name: "nvfp4_rearrange_sm100", block: [REARRANGE_THREADS, 1, 1], ..SILU_MUL };

/// The kernel that copies tensors into another order, on sm_90.
pub const SM90_REARRANGE: KernelDecl = mover("nvfp4_rearrange_sm90", REARRANGE_THREADS, 0);

/// Flag of the sm_90 kernels: C is bf16, not f16.
pub const SM90_FLAG_BF16_OUTPUT: u32 = 1;
/// Flag of the sm_90 kernels: A is 16-bit, of the type that the kernel multiplies, and has no scales.
pub const SM90_FLAG_A16: u32 = 2;

/// A kernel that only moves and decodes, without shared memory or a tile of C.
const fn mover(name: &'static str, threads: u32, tile_k: u32) -> KernelDecl {
    KernelDecl {
        name,
        arch: "sm_90a",
        block: [threads, 1, 1],
        cluster: [1, 1, 1],
        dynamic_shared: 0,
        tile_m: 0,
        tile_n: 0,
        tile_k,
        stages: 0,
        output: None,
    }
}

/// The kernel that makes f16 of NVFP4 activations for the sm_90 dual GEMM.
pub const SM90_EXPAND: KernelDecl =
    mover("nvfp4_dual_gemm_sm90_expand", EXPAND_ROW_THREADS, EXPAND_K);
/// The kernel that packs weights for the sm_90 dual GEMM.
pub const SM90_PACK_WEIGHTS: KernelDecl =
    mover("nvfp4_dual_gemm_sm90_pack_weights", PACK_THREADS, STAGE_K);

const fn sm90_grouped(name: &'static str, tokens: u32) -> KernelDecl {
    let geometry = GroupedSm90Geometry::new(tokens);
    KernelDecl {
        name,
        arch: "sm_90a",
        block: [geometry.threads(), 1, 1],
        cluster: [1, 1, 1],
        dynamic_shared: GroupedSm90SmemMap::new(geometry).dynamic_bytes(),
        tile_m: tokens,
        tile_n: TILE_ROWS,
        tile_k: STAGE_K,
        stages: geometry.stages,
        output: None,
    }
}

/// The grouped kernels on sm_90, by rows of C per tile, for one product and for two. The launch says
/// which, and C's element type.
pub const SM90_GROUPED: [KernelDecl; 4] = [
    sm90_grouped("nvfp4_grouped_gemm_sm90_8x64", 8),
    sm90_grouped("nvfp4_grouped_gemm_sm90_16x64", 16),
    sm90_grouped("nvfp4_grouped_gemm_sm90_32x64", 32),
    sm90_grouped("nvfp4_grouped_gemm_sm90_64x64", 64),
];

/// The kernel that makes f16 of all groups' NVFP4 activations for the sm_90 grouped kernels.
pub const SM90_GROUPED_EXPAND: KernelDecl =
    mover("nvfp4_grouped_gemm_sm90_expand", GROUPED_EXPAND_THREADS, 0);

const fn sm90(name: &'static str, tokens: u32, rows: u32) -> KernelDecl {
    let geometry = Sm90Geometry::new(tokens, rows);
    KernelDecl {
        name,
        arch: "sm_90a",
        block: [geometry.threads(), 1, 1],
        // The launch chooses.
        cluster: [1, 1, 1],
        dynamic_shared: Sm90SmemMap::new(geometry).dynamic_bytes(),
        tile_m: tokens,
        tile_n: rows,
        tile_k: STAGE_K,
        stages: geometry.weight_stages,
        output: None,
    }
}

/// Every kernel of this crate.
pub const KERNELS: &[KernelDecl] = &[
    sm100("nvfp4_dual_gemm_sm100_128x128_f16", 128, Output::F16),
    sm100("nvfp4_dual_gemm_sm100_128x128_bf16", 128, Output::Bf16),
    sm100("nvfp4_dual_gemm_sm100_128x64_f16", 64, Output::F16),
    sm100("nvfp4_dual_gemm_sm100_128x64_bf16", 64, Output::Bf16),
    GROUPED_GEMM[0],
    GROUPED_GEMM[1],
    GROUPED_GEMM[2],
    GROUPED_GEMM[3],
    GROUPED_DUAL_GEMM[0],
    GROUPED_DUAL_GEMM[1],
    GROUPED_DUAL_GEMM[2],
    GROUPED_DUAL_GEMM[3],
    SILU_MUL,
    REARRANGE,
    sm90("nvfp4_dual_gemm_sm90_8x32_f16", 8, 32),
    sm90("nvfp4_dual_gemm_sm90_16x32_f16", 16, 32),
    sm90("nvfp4_dual_gemm_sm90_32x32_f16", 32, 32),
    sm90("nvfp4_dual_gemm_sm90_32x64_f16", 32, 64),
    sm90("nvfp4_dual_gemm_sm90_64x64_f16", 64, 64),
    sm90("nvfp4_dual_gemm_sm90_128x64_f16", 128, 64),
    sm90("nvfp4_dual_gemm_sm90_128x128_f16", 128, 128),
    sm90("nvfp4_dual_gemm_sm90_8x32_bf16", 8, 32),
    sm90("nvfp4_dual_gemm_sm90_16x32_bf16", 16, 32),
    sm90("nvfp4_dual_gemm_sm90_32x32_bf16", 32, 32),
    sm90("nvfp4_dual_gemm_sm90_32x64_bf16", 32, 64),
    sm90("nvfp4_dual_gemm_sm90_64x64_bf16", 64, 64),
    sm90("nvfp4_dual_gemm_sm90_128x64_bf16", 128, 64),
    sm90("nvfp4_dual_gemm_sm90_128x128_bf16", 128, 128),
    SM90_GROUPED[0],
    SM90_GROUPED[1],
    SM90_GROUPED[2],
    SM90_GROUPED[3],
    SM90_GROUPED_EXPAND,
    SM90_SILU_MUL,
    SM90_REARRANGE,
    SM90_EXPAND,
    SM90_PACK_WEIGHTS,
];
