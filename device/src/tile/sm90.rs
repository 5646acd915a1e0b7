//! Block sizes and shared memory of the sm_90 kernels.
//!
//! Weights lie along the MMA's M, tokens along its N ("swap A/B"): a CTA multiplies 64 or 128 rows
//! of B1 and the same rows of B2 with `tokens` rows of A. The weights are decoded in registers; the
//! tokens are decoded once per CTA, into shared memory.

use super::geometry::{MAX_DYNAMIC_SHARED, SCALE_ATOM_BYTES};
use super::smem_map::SMEM_ALIGN;

/// K elements per stage: 256 e2m1 values are 128 bytes, one row of the 128B swizzle.
pub const STAGE_K: u32 = 256;
/// K elements per `wgmma` of 16-bit operands.
pub const WGMMA_K: u32 = 16;
/// Scale atoms along K in one stage.
pub const ATOMS_PER_STAGE: u32 = STAGE_K / 64;
/// K positions in one row of a token tile: 64 16-bit values fill the 128B swizzle.
pub const SUBTILE_K: u32 = 64;
/// Rows that one consumer warpgroup has, of both weights: the MMA's M.
pub const WARPGROUP_ROWS: u32 = 64;
/// The most threads of the kernel that lays A out: 8 for each token of a tile.
pub const EXPAND_THREADS: u32 = 8 * 128;
/// Threads of the kernel that expands NVFP4 activations.
pub const EXPAND_ROW_THREADS: u32 = 128;
/// K elements that one CTA of it has.
pub const EXPAND_K: u32 = 16 * EXPAND_ROW_THREADS;
/// Warpgroups that multiply.
pub const CONSUMER_WARPGROUPS: u32 = 2;

/// Sizes that follow from the tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sm90Geometry {
    /// Rows of A, and of C, per CTA: the MMA's N.
    pub tokens: u32,
    /// Rows of B1, and of B2, per CTA: C columns.
    pub rows: u32,
    /// Depth of the ring of weight tiles.
    pub weight_stages: u32,
    /// Depth of the ring of decoded token tiles.
    pub token_stages: u32,
}

impl Sm90Geometry {
    /// The geometry for `tokens` rows of A, with as many stages as shared memory holds.
    ///
    /// Up to 64 tokens: tiles of 64 rows, of which there are twice as many. More: 128 rows, for which
    /// the tokens are read once.
    ///
    /// # Panics
    /// At compile time, for a number of tokens that no kernel is written for.
    pub const fn new(tokens: u32) -> Self {
        let (rows, weight_stages, token_stages) = match tokens {
            8 => (64, 9, 6),
            16 => (64, 8, 6),
            32 => (64, 7, 4),
            64 => (64, 5, 3),
            128 => (128, 2, 2),
            _ => panic!("sm_90 dual GEMM tiles have 8, 16, 32, 64 or 128 tokens"),
        };
        Sm90Geometry { tokens, rows, weight_stages, token_stages }
    }

    /// True if the consumers need more registers than an even share: the producer then is a whole
    /// warpgroup, of which one warp works, because registers change hands by warpgroups.
    pub const fn moves_registers(self) -> bool {
        self.tokens == 128
    }

    /// Threads per CTA.
    pub const fn threads(self) -> u32 {
        CONSUMER_WARPGROUPS * 128 + if self.moves_registers() { 128 } else { 32 }
    }

    /// Parts of a stage's K that different warpgroups multiply: 2 where all have the same rows.
    pub const fn parts(self) -> u32 {
        CONSUMER_WARPGROUPS / (self.rows / WARPGROUP_ROWS)
    }

    /// f32 words from one token to the next in the exchange of accumulators: the rows, and 4 words
    /// that let a warp's stores (4 token pairs × 8 rows) fall into 32 different banks.
    pub const fn exchange_pitch(self) -> u32 {
        self.rows + 4
    }

    /// Bytes of B1's (and of B2's) tile in one stage.
    pub const fn weight_bytes(self) -> u32 {
        self.rows * STAGE_K / 2
    }

    /// Bytes of B1's (and of B2's) scales in one full stage.
    pub const fn scale_bytes(self) -> u32 {
        ATOMS_PER_STAGE * SCALE_ATOM_BYTES
    }

    /// Bytes of one stage of weights.
    pub const fn weight_stage_bytes(self) -> u32 {
        2 * (self.weight_bytes() + self.scale_bytes())
    }

    /// Bytes of 64 K positions of all tokens, 16 bits each.
    pub const fn subtile_bytes(self) -> u32 {
        self.tokens * SUBTILE_K * 2
    }

    /// Bytes of one stage of decoded tokens.
    pub const fn token_stage_bytes(self) -> u32 {
        self.tokens * STAGE_K * 2
    }

    /// Bytes of one product's accumulators, of one part, in the exchange.
    pub const fn exchange_bytes(self) -> u32 {
        self.tokens * self.exchange_pitch() * 4
    }
}

/// Where everything lies, in bytes from the aligned base. The exchange of accumulators reuses the
/// rings from offset 0 on: for each part gate, then up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sm90SmemMap {
    /// B1's tile within a stage of weights.
    pub b1: u32,
    /// B2's tile within a stage of weights.
    pub b2: u32,
    /// B1's scale atoms within a stage of weights.
    pub sfb1: u32,
    /// B2's scale atoms within a stage of weights.
    pub sfb2: u32,
    /// First stage of decoded tokens.
    pub tokens: u32,
    /// The `weights_arrived` barriers, one a weight stage.
    pub weights_arrived: u32,
    /// The `tokens_ready` barriers, one a token stage.
    pub tokens_ready: u32,
    /// The `stage_free` barriers, one a token stage.
    pub stage_free: u32,
    /// Bytes from the aligned base to the end.
    pub total: u32,
}

impl Sm90SmemMap {
    /// The map for a geometry.
    ///
    /// # Panics
    /// At compile time, if the map does not fit or a swizzled tile would not be aligned.
    pub const fn new(g: Sm90Geometry) -> Self {
        let b1 = 0;
        let b2 = b1 + g.weight_bytes();
        let sfb1 = b2 + g.weight_bytes();
        let sfb2 = sfb1 + g.scale_bytes();
        let tokens = g.weight_stage_bytes() * g.weight_stages;
        let rings = tokens + g.token_stage_bytes() * g.token_stages;
        let weights_arrived = rings;
        let tokens_ready = weights_arrived + 8 * g.weight_stages;
        let stage_free = tokens_ready + 8 * g.token_stages;
        let total = stage_free + 8 * g.token_stages;
        assert!(b2.is_multiple_of(SMEM_ALIGN) && tokens.is_multiple_of(SMEM_ALIGN));
        assert!(g.weight_stage_bytes().is_multiple_of(SMEM_ALIGN));
        assert!(g.subtile_bytes().is_multiple_of(SMEM_ALIGN));
        assert!(g.parts() * 2 * g.exchange_bytes() <= rings);
        assert!(g.token_stages <= g.weight_stages);
        assert!(total + SMEM_ALIGN <= MAX_DYNAMIC_SHARED);
        Sm90SmemMap { b1, b2, sfb1, sfb2, tokens, weights_arrived, tokens_ready, stage_free, total }
    }

    /// Bytes of dynamic shared memory to launch with, the slack for aligning included.
    pub const fn dynamic_bytes(self) -> u32 {
        self.total + SMEM_ALIGN
    }
}
