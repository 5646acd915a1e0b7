//! Block sizes of the sm_100 kernels, and everything that follows from them by arithmetic.

/// Rows of A and of C per CTA: the only M that `tcgen05.mma` takes for 4-bit operands in one CTA.
pub const TILE_M: u32 = 128;
/// K elements per pipeline stage: 256 e2m1 values are 128 bytes, one row of the 128B swizzle.
pub const TILE_K: u32 = 256;
/// K elements per `tcgen05.mma` of kind mxf4nvf4.
pub const MMA_K: u32 = 64;
/// MMAs (and scale atoms per 128 rows) in one stage.
pub const MMAS_PER_STAGE: u32 = TILE_K / MMA_K;
/// Bytes of one scale atom: 128 rows × 4 scales, as it lies in global memory and in shared memory.
pub const SCALE_ATOM_BYTES: u32 = 512;
/// Rows whose scales one atom holds.
pub const SCALE_ATOM_ROWS: u32 = 128;
/// Bytes of dynamic shared memory a CTA of sm_100 or sm_90 can have.
pub const MAX_DYNAMIC_SHARED: u32 = 232_448;

/// Tile sizes of one sm_100 kernel. `tile_n` is the number of C columns, so the CTA multiplies A
/// with `tile_n` rows of B1 and `tile_n` rows of B2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// C columns per CTA: 64 or 128.
    pub tile_n: u32,
    /// Depth of the shared-memory ring.
    pub stages: u32,
}

impl Geometry {
    /// The geometry for `tile_n` columns, with as many stages as shared memory holds.
    ///
    /// # Panics
    /// At compile time, for a `tile_n` that no kernel is written for: below 64 the tensor core
    /// starves for operands, above 128 two accumulators and their scales do not fit tensor memory.
    pub const fn sm100(tile_n: u32) -> Self {
        assert!(tile_n == 64 || tile_n == 128, "sm_100 dual GEMM tiles are 64 or 128 columns wide");
        let stages = if tile_n == 128 { 4 } else { 5 };
        Geometry { tile_n, stages }
    }

    /// Bytes of A's tile in one stage.
    pub const fn a_bytes(self) -> u32 {
        TILE_M * TILE_K / 2
    }

    /// Bytes of B1's (and of B2's) tile in one stage.
    pub const fn b_bytes(self) -> u32 {
        self.tile_n * TILE_K / 2
    }

    /// Bytes of the scales of A (and of B1, and of B2) in one full stage. B's scales are always the
    /// whole 128-row atom, for 64-column tiles too.
    pub const fn scale_bytes(self) -> u32 {
        MMAS_PER_STAGE * SCALE_ATOM_BYTES
    }

    /// Bytes of one stage.
    pub const fn stage_bytes(self) -> u32 {
        self.a_bytes() + 2 * self.b_bytes() + 3 * self.scale_bytes()
    }
}

const _: () = assert!(Geometry::sm100(128).stage_bytes() == 55_296);
const _: () = assert!(Geometry::sm100(64).stage_bytes() == 38_912);
