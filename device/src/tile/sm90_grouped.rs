//! Block sizes and shared memory of the sm_90 grouped kernels for few tokens.
//!
//! A CTA multiplies 64 packed rows of two weights with up to 16 tokens. A warp that multiplies has 16 of
//! the rows, and a quarter of every stage along K.

use super::geometry::MAX_DYNAMIC_SHARED;
use super::packed_sm90::{CHUNK_BYTES, CHUNK_ROWS, PIECE_ROWS, QUARTER_K, QUARTERS, STAGE_K};
use super::sm90::Sm90Geometry;
use super::smem_map::SMEM_ALIGN;

/// Packed rows of each of the two weights in one tile: columns of C of a dual GEMM.
pub const TILE_ROWS: u32 = 64;
/// Rows of tokens that a CTA of the expanding kernel takes.
pub const EXPAND_ROWS: u32 = 8;
/// Threads of the expanding kernel: a warp for each row.
pub const GROUPED_EXPAND_THREADS: u32 = 32 * EXPAND_ROWS;
/// Flag of the sm_90 grouped kernels: one product, whose weight's rows were packed as two halves.
pub const FLAG_ONE_PRODUCT: u32 = 4;

/// Quarters of 64 K elements in a box of tokens, of the grouped kernel with this tile.
pub const fn box_quarters(tokens: u32, rows: u32) -> u32 {
    if tokens <= 16 { QUARTERS } else { Sm90Geometry::new(tokens, rows).token_quarters }
}

/// Sizes that follow from the tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupedSm90Geometry {
    /// Rows of A, and of C, per tile.
    pub tokens: u32,
    /// Depth of the ring.
    pub stages: u32,
}

impl GroupedSm90Geometry {
    /// The geometry of a tile, with as many stages as shared memory holds.
    ///
    /// # Panics
    /// At compile time, for a tile that no kernel is written for.
    pub const fn new(tokens: u32) -> Self {
        let stages = match tokens {
            8 => 9,
            16 => 8,
            _ => panic!("no grouped kernel has this tile"),
        };
        GroupedSm90Geometry { tokens, stages }
    }

    /// Parts of a stage along K that have warps of their own.
    pub const fn parts(self) -> u32 {
        QUARTERS
    }

    /// Warps that multiply.
    pub const fn consumer_warps(self) -> u32 {
        TILE_ROWS / PIECE_ROWS * self.parts()
    }

    /// Threads per CTA: the consumers and the producer.
    pub const fn threads(self) -> u32 {
        32 * (self.consumer_warps() + 1)
    }

    /// Bytes of a stage of weights.
    pub const fn weight_bytes(self) -> u32 {
        TILE_ROWS / CHUNK_ROWS * CHUNK_BYTES
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
    /// that let a warp's accesses (4 token pairs × 8 rows) fall into 32 different banks.
    pub const fn exchange_pitch(self) -> u32 {
        TILE_ROWS + 4
    }

    /// Bytes of one product's sums in the exchange.
    pub const fn exchange_bytes(self) -> u32 {
        self.tokens * self.exchange_pitch() * 4
    }
}

/// Where everything lies, in bytes from the aligned base: the ring, of weights and tokens a stage; the
/// exchange, gate and up; the barriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupedSm90SmemMap {
    /// The exchange.
    pub exchange: u32,
    /// The `arrived` barriers, one a stage.
    pub arrived: u32,
    /// The `stage_free` barriers, one a stage.
    pub stage_free: u32,
    /// Bytes from the aligned base to the end.
    pub total: u32,
}

impl GroupedSm90SmemMap {
    /// The map for a geometry.
    ///
    /// # Panics
    /// At compile time, if the map does not fit or a swizzled tile would not be aligned.
    pub const fn new(g: GroupedSm90Geometry) -> Self {
        let exchange = g.stage_bytes() * g.stages;
        let arrived = exchange + 2 * g.exchange_bytes();
        let stage_free = arrived + 8 * g.stages;
        let total = stage_free + 8 * g.stages;
        assert!(g.weight_bytes().is_multiple_of(SMEM_ALIGN));
        assert!(g.quarter_bytes().is_multiple_of(SMEM_ALIGN));
        assert!(total + SMEM_ALIGN <= MAX_DYNAMIC_SHARED);
        GroupedSm90SmemMap { exchange, arrived, stage_free, total }
    }

    /// Bytes of dynamic shared memory to launch with, the slack for aligning included.
    pub const fn dynamic_bytes(self) -> u32 {
        self.total + SMEM_ALIGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_fits() {
        for tokens in [8, 16] {
            let map = GroupedSm90SmemMap::new(GroupedSm90Geometry::new(tokens));
            assert!(map.dynamic_bytes() <= MAX_DYNAMIC_SHARED);
        }
    }
}
