//! Block sizes and shared memory of the sm_90 kernels.
//!
//! Weights lie along the MMA's M, tokens along its N ("swap A/B"). A warpgroup's 64 rows are a chunk of
//! the [packed weights](super::packed_sm90): 32 rows of B1, and the same of B2. Four warpgroups multiply:
//! a tile of 128 rows has four chunks, one for each; one of 64 rows has two, and the warpgroups that share
//! a chunk share the K of every stage; one of 32 rows has one, and the warpgroups take turns at the stages.

use super::geometry::MAX_DYNAMIC_SHARED;
use super::packed_sm90::{CHUNK_BYTES, CHUNK_ROWS, QUARTER_K, QUARTERS, STAGE_K};
use super::smem_map::SMEM_ALIGN;

/// Threads of the kernel that expands NVFP4 activations.
pub const EXPAND_ROW_THREADS: u32 = 128;
/// K elements that one CTA of it has.
pub const EXPAND_K: u32 = 16 * EXPAND_ROW_THREADS;
/// Warpgroups that multiply.
pub const WARPGROUPS: u32 = 4;
/// Their warps.
pub const CONSUMER_WARPS: u32 = 4 * WARPGROUPS;
/// Their threads.
pub const CONSUMERS: u32 = 32 * CONSUMER_WARPS;
/// Registers of a thread that multiplies 128 tokens: its sums are 64 of them.
pub const CONSUMER_REGISTERS: u32 = 112;
/// Registers of the other threads then: what is left of an even share, 96, for five warpgroups.
pub const PRODUCER_REGISTERS: u32 = 32;
/// Most tokens that go through the exchange at a time, where the rings stay in use.
const EXCHANGE_TOKENS: u32 = 32;

/// Sizes that follow from the tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sm90Geometry {
    /// Rows of A, and of C, per tile: the MMA's N.
    pub tokens: u32,
    /// Rows of B1, and of B2, per tile: C columns.
    pub rows: u32,
    /// Depth of the ring of weights.
    pub weight_stages: u32,
    /// Depth of the ring of tokens.
    pub token_stages: u32,
    /// Quarters of 64 K elements in a stage of tokens.
    pub token_quarters: u32,
    /// Stages of weights on their way at once.
    pub in_flight: u32,
}

impl Sm90Geometry {
    /// The geometry of a tile, with rings as deep as shared memory allows.
    ///
    /// A stage of tokens has at most 32 KB. More than 37 to 46 KB of weights on their way gain nothing
    /// where the memory's bandwidth is the limit, and delay the loads of everyone else.
    ///
    /// # Panics
    /// At compile time, for a tile that no kernel is written for.
    pub const fn new(tokens: u32, rows: u32) -> Self {
        let (weight_stages, token_stages, token_quarters, in_flight) = match (tokens, rows) {
            (8, 32) => (12, 12, 4, 5),
            (16, 32) => (11, 11, 4, 5),
            (16, 64) => (6, 8, 4, 3),
            (32, 32) => (7, 7, 4, 5),
            (32, 64) => (5, 5, 4, 3),
            (64, 64) => (5, 3, 4, 5),
            (128, 64) => (3, 4, 2, 3),
            (128, 128) => (2, 7, 1, 2),
            _ => panic!("no sm_90 kernel has this tile"),
        };
        Sm90Geometry { tokens, rows, weight_stages, token_stages, token_quarters, in_flight }
    }

    /// Whether the warps that multiply take registers over from the others: warpgroups do that, so two
    /// idle warps then stand beside the two that ask for copies.
    pub const fn moves_registers(self) -> bool {
        self.tokens == 128
    }

    /// Threads of a CTA.
    pub const fn threads(self) -> u32 {
        CONSUMERS + 32 * if self.moves_registers() { 4 } else { 2 }
    }

    /// Chunks of 32 rows.
    pub const fn chunks(self) -> u32 {
        self.rows / CHUNK_ROWS
    }

    /// Warpgroups that share a chunk, and so parts of K with sums of their own.
    pub const fn parts(self) -> u32 {
        WARPGROUPS / self.chunks()
    }

    /// Whether parts have whole stages, in turn: less is then to be waited for and said for each quarter.
    /// With more tokens it would need rings of twice the depth.
    pub const fn whole_stages(self) -> bool {
        self.rows == CHUNK_ROWS
    }

    /// Quarters of a stage that a warpgroup multiplies.
    pub const fn part_quarters(self) -> u32 {
        if self.whole_stages() { QUARTERS } else { QUARTERS / self.parts() }
    }

    /// From one stage that a warpgroup multiplies to its next.
    pub const fn stage_step(self) -> u32 {
        if self.whole_stages() { self.parts() } else { 1 }
    }

    /// Warps that read a stage of weights.
    pub const fn weight_readers(self) -> u32 {
        CONSUMER_WARPS / self.stage_step()
    }

    /// Stages of tokens in one of weights.
    pub const fn tokens_per_stage(self) -> u32 {
        QUARTERS / self.token_quarters
    }

    /// Quarters of a stage of tokens that a warpgroup multiplies, if it has any of them.
    pub const fn part_token_quarters(self) -> u32 {
        if self.part_quarters() < self.token_quarters {
            self.part_quarters()
        } else {
            self.token_quarters
        }
    }

    /// Stages of tokens that a warpgroup reads, of those in a stage of weights.
    pub const fn part_token_stages(self) -> u32 {
        self.part_quarters() / self.part_token_quarters()
    }

    /// Warps that read a stage of tokens: those of one part, or of all whose quarters it has.
    pub const fn token_readers(self) -> u32 {
        CONSUMER_WARPS / self.parts() * (self.token_quarters / self.part_token_quarters())
    }

    /// Bytes of a stage of weights.
    pub const fn weight_bytes(self) -> u32 {
        self.chunks() * CHUNK_BYTES
    }

    /// Bytes of 64 K elements of all tokens: rows of 128 bytes.
    pub const fn quarter_bytes(self) -> u32 {
        self.tokens * QUARTER_K * 2
    }

    /// Bytes of a stage of tokens.
    pub const fn token_bytes(self) -> u32 {
        self.token_quarters * self.quarter_bytes()
    }

    /// Tokens that go through the exchange at a time.
    pub const fn exchange_tokens(self) -> u32 {
        if self.tokens < EXCHANGE_TOKENS { self.tokens } else { EXCHANGE_TOKENS }
    }

    /// f32 words from one token to the next in the exchange of accumulators: the rows, and 4 words
    /// that let a warp's stores (4 token pairs × 8 rows) fall into 32 different banks.
    pub const fn exchange_pitch(self) -> u32 {
        self.rows + 4
    }

    /// Bytes of one product's sums of `tokens` tokens, of one part, in the exchange.
    pub const fn exchange_bytes(self, tokens: u32) -> u32 {
        tokens * self.exchange_pitch() * 4
    }
}

/// Where everything lies, in bytes from the aligned base: the ring of tokens, the ring of weights, the
/// exchange, the barriers. Where a cluster sums over its CTAs, the exchange has all tokens at once and
/// begins at the base: nobody needs the rings any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sm90SmemMap {
    /// First stage of weights.
    pub weights: u32,
    /// The exchange.
    pub exchange: u32,
    /// The `weights_arrived` barriers, one a stage of weights.
    pub weights_arrived: u32,
    /// The `weights_free` barriers.
    pub weights_free: u32,
    /// The `tokens_arrived` barriers, one a stage of tokens.
    pub tokens_arrived: u32,
    /// The `tokens_free` barriers.
    pub tokens_free: u32,
    /// Bytes from the aligned base to the end.
    pub total: u32,
}

impl Sm90SmemMap {
    /// The map for a geometry.
    ///
    /// # Panics
    /// At compile time, if the map does not fit or a swizzled tile would not be aligned.
    pub const fn new(g: Sm90Geometry) -> Self {
        let weights = g.token_bytes() * g.token_stages;
        let exchange = weights + g.weight_bytes() * g.weight_stages;
        let weights_arrived = exchange + g.parts() * 2 * g.exchange_bytes(g.exchange_tokens());
        let weights_free = weights_arrived + 8 * g.weight_stages;
        let tokens_arrived = weights_free + 8 * g.weight_stages;
        let tokens_free = tokens_arrived + 8 * g.token_stages;
        let total = tokens_free + 8 * g.token_stages;
        assert!(g.quarter_bytes().is_multiple_of(SMEM_ALIGN) && STAGE_K == QUARTERS * QUARTER_K);
        assert!(g.parts() * 2 * g.exchange_bytes(g.tokens) <= weights_arrived);
        assert!(g.in_flight <= g.weight_stages && g.parts() <= g.weight_stages);
        assert!(!g.whole_stages() || g.tokens_per_stage() == 1);
        assert!(total + SMEM_ALIGN <= MAX_DYNAMIC_SHARED);
        Sm90SmemMap {
            weights,
            exchange,
            weights_arrived,
            weights_free,
            tokens_arrived,
            tokens_free,
            total,
        }
    }

    /// Bytes of dynamic shared memory to launch with, the slack for aligning included.
    pub const fn dynamic_bytes(self) -> u32 {
        self.total + SMEM_ALIGN
    }
}

/// Tiles of the tokens that follow each other in the order of the tiles of one product, before the next
/// columns: their tokens and those columns' weights stay in L2.
const PANEL_TILES: u32 = 8;

/// Where a tile of a product lies: row tile, column tile, batch.
///
/// `index` counts tiles, of which there are `row_tiles` × `column_tiles` in each batch.
pub const fn tile_at(index: u32, row_tiles: u32, column_tiles: u32) -> [u32; 3] {
    let tiles = positive(row_tiles * column_tiles);
    let batch = index / tiles;
    let index = index % tiles;
    let panel = index / positive(PANEL_TILES * column_tiles) * PANEL_TILES;
    let left = row_tiles - panel;
    let height = positive(if left < PANEL_TILES { left } else { PANEL_TILES });
    let index = index - panel * column_tiles;
    [panel + index % height, index / height, batch]
}

/// A divisor that is never 0, which the compiler does not know: it would keep a branch for that.
const fn positive(divisor: u32) -> u32 {
    if divisor == 0 { 1 } else { divisor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_fits() {
        for (tokens, rows) in
            [(8, 32), (16, 32), (16, 64), (32, 32), (32, 64), (64, 64), (128, 64), (128, 128)]
        {
            let geometry = Sm90Geometry::new(tokens, rows);
            assert!(Sm90SmemMap::new(geometry).dynamic_bytes() <= MAX_DYNAMIC_SHARED);
            assert_eq!(geometry.chunks() * geometry.parts(), WARPGROUPS);
        }
    }

    #[test]
    fn every_tile_comes_once() {
        let mut seen = vec![];
        for index in 0..19 * 3 * 2 {
            let [row, column, batch] = tile_at(index, 19, 3);
            assert!(row < 19 && column < 3 && batch < 2);
            seen.push([batch, column, row]);
        }
        assert_eq!([tile_at(7, 19, 3), tile_at(8, 19, 3)], [[7, 0, 0], [0, 1, 0]]);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 19 * 3 * 2);
    }
}
