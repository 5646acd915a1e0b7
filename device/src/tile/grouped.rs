//! Block sizes, shared memory and tensor memory of the grouped sm_100 kernels.
//!
//! Weights lie along the MMA's M, tokens along its N ("swap A/B"): a tile of 16 rows of C pays for
//! 16. A stage holds 256 elements along K of 128 rows of each weight tensor and of `tokens` rows of
//! A, with their scales.

use super::geometry::{MAX_DYNAMIC_SHARED, MMAS_PER_STAGE, SCALE_ATOM_BYTES, TILE_K};
use super::group_schedule::TILE_WEIGHTS;
use super::smem_map::SMEM_ALIGN;
use super::tmem_map::{ATOM_COLUMNS, TMEM_COLUMNS};

/// Sizes that follow from the tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupedGeometry {
    /// Rows of C per tile: 16, 32, 64 or 128.
    pub tokens: u32,
    /// Products, and weight tensors: 1 or 2.
    pub products: u32,
    /// Depth of the shared-memory ring.
    pub stages: u32,
    /// Sets of accumulators: 2 where the epilogue of one tile can overlap the next tile.
    pub sets: u32,
}

impl GroupedGeometry {
    /// The geometry, with as many stages as shared memory and tensor memory hold.
    ///
    /// # Panics
    /// At compile time, for sizes that no kernel is written for.
    pub const fn new(tokens: u32, products: u32) -> Self {
        let stages = match (products, tokens) {
            (1, 16) => 9,
            (1, 32) => 9,
            (1, 64) => 7,
            (1, 128) => 6,
            (2, 16 | 32) => 5,
            (2, 64 | 128) => 4,
            _ => panic!("grouped tiles have 16, 32, 64 or 128 rows and one or two products"),
        };
        // Two sets of 2·128 columns would leave no columns for scales.
        let sets = if products * tokens > 128 { 1 } else { 2 };
        GroupedGeometry { tokens, products, stages, sets }
    }

    /// Bytes of one weight tile in one stage.
    pub const fn weight_bytes(self) -> u32 {
        TILE_WEIGHTS * TILE_K / 2
    }

    /// Bytes of the token tile in one stage.
    pub const fn token_bytes(self) -> u32 {
        self.tokens * TILE_K / 2
    }

    /// Bytes of the scales of one operand in one full stage: whole atoms of 128 rows, for fewer
    /// tokens too.
    pub const fn scale_bytes(self) -> u32 {
        MMAS_PER_STAGE * SCALE_ATOM_BYTES
    }

    /// Bytes of a stage's operands.
    pub const fn tile_bytes(self) -> u32 {
        self.products * self.weight_bytes() + self.token_bytes()
    }

    /// Bytes of one stage.
    pub const fn stage_bytes(self) -> u32 {
        self.tile_bytes() + (self.products + 1) * self.scale_bytes()
    }
}

/// Where everything lies in shared memory, in bytes from the aligned base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupedSmemMap {
    /// The token tile within a stage. B1's tile is at 0, B2's `weight_bytes` further.
    pub tokens: u32,
    /// The tokens' scale atoms within a stage.
    pub token_scales: u32,
    /// B1's scale atoms within a stage; B2's are `scale_bytes` further.
    pub weight_scales: u32,
    /// Distance between stages.
    pub stage: u32,
    /// The `tiles_arrived` barriers, one a stage.
    pub tiles_arrived: u32,
    /// The `stage_free` barriers, one a stage.
    pub stage_free: u32,
    /// The `accumulators_ready` barriers, one a set.
    pub accumulators_ready: u32,
    /// The `accumulators_free` barriers, one a set.
    pub accumulators_free: u32,
    /// The word that `tcgen05.alloc` writes the tensor-memory address to.
    pub tmem_address: u32,
    /// Bytes from the aligned base to the end.
    pub total: u32,
}

impl GroupedSmemMap {
    /// The map for a geometry.
    ///
    /// # Panics
    /// At compile time, if the map does not fit or a swizzled tile would not be aligned.
    pub const fn new(g: GroupedGeometry) -> Self {
        let tokens = g.products * g.weight_bytes();
        let token_scales = g.tile_bytes();
        let weight_scales = token_scales + g.scale_bytes();
        let stage = g.stage_bytes();
        let tiles_arrived = stage * g.stages;
        let stage_free = tiles_arrived + 8 * g.stages;
        let accumulators_ready = stage_free + 8 * g.stages;
        let accumulators_free = accumulators_ready + 8 * g.sets;
        let tmem_address = accumulators_free + 8 * g.sets;
        let total = tmem_address + 8;
        assert!(tokens.is_multiple_of(SMEM_ALIGN) && stage.is_multiple_of(SMEM_ALIGN));
        assert!(weight_scales + g.products * g.scale_bytes() == stage);
        assert!(total + SMEM_ALIGN <= MAX_DYNAMIC_SHARED);
        GroupedSmemMap {
            tokens,
            token_scales,
            weight_scales,
            stage,
            tiles_arrived,
            stage_free,
            accumulators_ready,
            accumulators_free,
            tmem_address,
            total,
        }
    }

    /// Bytes of dynamic shared memory to launch with, the slack for aligning included.
    pub const fn dynamic_bytes(self) -> u32 {
        self.total + SMEM_ALIGN
    }
}

/// Where everything lies in tensor memory, in columns from the allocation's first: the sets of
/// accumulators, then every stage's scales. See [`TmemMap`](super::tmem_map::TmemMap) for why each
/// stage has columns of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupedTmemMap {
    /// Columns of one set: the first product's accumulator, then the second's.
    pub set: u32,
    /// Columns from the first product's accumulator to the second's.
    pub product: u32,
    /// First scale column of stage 0.
    pub scales: u32,
    /// Scale columns of one operand in one stage: the tokens' first, then B1's, then B2's.
    pub operand: u32,
    /// Scale columns of one stage.
    pub stage: u32,
}

impl GroupedTmemMap {
    /// The map for a geometry.
    ///
    /// # Panics
    /// At compile time, if the columns do not fit.
    pub const fn new(g: GroupedGeometry) -> Self {
        let product = g.tokens;
        let set = product * g.products;
        let scales = set * g.sets;
        let operand = MMAS_PER_STAGE * ATOM_COLUMNS;
        let stage = operand * (g.products + 1);
        assert!(scales + stage * g.stages <= TMEM_COLUMNS);
        GroupedTmemMap { set, product, scales, operand, stage }
    }
}
