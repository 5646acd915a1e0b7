//! Block sizes and shared memory of the sm_90 kernels for few tokens.
//!
//! A CTA multiplies 32 or 64 rows of B1 and the same rows of B2 with up to 32 rows of A. A warp has 16
//! of the rows, and one of the four quarters of a stage along K. With 32 rows there are two teams of
//! warps, which take turns at the stages.

use super::geometry::MAX_DYNAMIC_SHARED;
use super::packed_sm90::{CHUNK_BYTES, CHUNK_ROWS, PIECE_ROWS, QUARTER_K, QUARTERS, STAGE_K};
use super::smem_map::SMEM_ALIGN;

/// Warps that multiply.
pub const FEW_WARPS: u32 = 16;
/// All warps: one more asks for weights, one for tokens.
pub const FEW_ALL_WARPS: u32 = FEW_WARPS + 2;

/// Sizes that follow from the tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FewGeometry {
    /// Rows of A, and of C, per CTA.
    pub tokens: u32,
    /// Rows of B1, and of B2, per CTA: C columns.
    pub rows: u32,
    /// Depth of the ring.
    pub stages: u32,
    /// Stages of weights on their way at once.
    pub in_flight: u32,
}

impl FewGeometry {
    /// The geometry of a tile, with as many stages as shared memory holds.
    ///
    /// # Panics
    /// At compile time, for a tile that no kernel is written for.
    pub const fn new(tokens: u32, rows: u32) -> Self {
        let stages = match (tokens, rows) {
            (8, 32) => 16,
            (16, 32) => 12,
            (16, 64) => 8,
            (32, 64) => 6,
            _ => panic!("no kernel for few tokens has this tile"),
        };
        // 37 to 46 KB: what the memory's bandwidth needs to hide its latency. More would only make
        // everyone else's loads wait, the kernel's before this one and those of the tokens.
        let in_flight = if rows == 32 { 5 } else { 2 };
        FewGeometry { tokens, rows, stages, in_flight }
    }

    /// Warps of a team: those that share a stage.
    pub const fn team_warps(self) -> u32 {
        self.rows / PIECE_ROWS * QUARTERS
    }

    /// Teams, which take turns at the stages.
    pub const fn teams(self) -> u32 {
        FEW_WARPS / self.team_warps()
    }

    /// Parts of K with sums of their own.
    pub const fn parts(self) -> u32 {
        self.teams() * QUARTERS
    }

    /// Bytes of a stage of weights.
    pub const fn weight_bytes(self) -> u32 {
        self.rows / CHUNK_ROWS * CHUNK_BYTES
    }

    /// Bytes of the tokens of a quarter of a stage: rows of 128 bytes.
    pub const fn quarter_bytes(self) -> u32 {
        self.tokens * QUARTER_K * 2
    }

    /// Bytes of the tokens of a stage.
    pub const fn token_bytes(self) -> u32 {
        self.tokens * STAGE_K * 2
    }

    /// Bytes of a stage.
    pub const fn stage_bytes(self) -> u32 {
        self.weight_bytes() + self.token_bytes()
    }

    /// f32 words from one token to the next in the exchange of accumulators: the rows, and 4 words
    /// that let a warp's stores (4 token pairs × 8 rows) fall into 32 different banks.
    pub const fn exchange_pitch(self) -> u32 {
        self.rows + 4
    }

    /// Bytes of one product's accumulators, of one part, in the exchange.
    pub const fn exchange_bytes(self) -> u32 {
        self.tokens * self.exchange_pitch() * 4
    }
}

/// Where everything lies, in bytes from the aligned base. A stage has its weights first, then its
/// tokens. The exchange of accumulators reuses the ring: for each part gate, then up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FewSmemMap {
    /// The `weights_arrived` barriers, one a stage.
    pub weights_arrived: u32,
    /// The `tokens_arrived` barriers, one a stage.
    pub tokens_arrived: u32,
    /// The `stage_free` barriers, one a stage.
    pub stage_free: u32,
    /// Bytes from the aligned base to the end.
    pub total: u32,
}

impl FewSmemMap {
    /// The map for a geometry.
    ///
    /// # Panics
    /// At compile time, if the map does not fit or a swizzled tile would not be aligned.
    pub const fn new(g: FewGeometry) -> Self {
        let ring = g.stage_bytes() * g.stages;
        let weights_arrived = ring;
        let tokens_arrived = weights_arrived + 8 * g.stages;
        let stage_free = tokens_arrived + 8 * g.stages;
        let total = stage_free + 8 * g.stages;
        assert!(g.weight_bytes().is_multiple_of(SMEM_ALIGN));
        assert!(g.quarter_bytes().is_multiple_of(SMEM_ALIGN));
        assert!(g.parts() * 2 * g.exchange_bytes() <= ring);
        assert!(g.stages.is_multiple_of(g.teams()));
        assert!(total + SMEM_ALIGN <= MAX_DYNAMIC_SHARED);
        FewSmemMap { weights_arrived, tokens_arrived, stage_free, total }
    }

    /// Bytes of dynamic shared memory to launch with, the slack for aligning included.
    pub const fn dynamic_bytes(self) -> u32 {
        self.total + SMEM_ALIGN
    }
}
