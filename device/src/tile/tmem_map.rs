//! Named columns of tensor memory: two accumulators, then the scales of every stage.
//!
//! Every stage has scale columns of its own. `tcgen05.cp` into columns that an earlier, unfinished
//! `tcgen05.mma` still reads is not ordered by the PTX memory model, so the columns are protected by
//! the same barrier that protects the stage's shared memory.

use super::geometry::{Geometry, MMAS_PER_STAGE};

/// Columns that one scale atom (128 rows × 4 scales) fills.
pub const ATOM_COLUMNS: u32 = 4;

/// Columns of tensor memory in an SM. A kernel takes them all: its shared memory leaves no room for
/// a second CTA on the SM anyway.
pub const TMEM_COLUMNS: u32 = 512;

/// Where everything lies, in columns from the allocation's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TmemMap {
    /// Accumulator of A·B1ᵀ, `tile_n` columns.
    pub gate: u32,
    /// Accumulator of A·B2ᵀ, `tile_n` columns.
    pub up: u32,
    /// First scale column of stage 0.
    pub scales: u32,
    /// Scale columns of one stage: A's, B1's, B2's atoms in this order.
    pub scales_per_stage: u32,
}

impl TmemMap {
    /// The map for a geometry.
    ///
    /// # Panics
    /// At compile time, if the columns do not fit.
    pub const fn new(g: Geometry) -> Self {
        let gate = 0;
        let up = gate + g.tile_n;
        let scales = up + g.tile_n;
        let scales_per_stage = 3 * MMAS_PER_STAGE * ATOM_COLUMNS;
        let used = scales + scales_per_stage * g.stages;
        assert!(used <= TMEM_COLUMNS);
        TmemMap { gate, up, scales, scales_per_stage }
    }

    /// First column of A's atoms of `stage`.
    pub const fn sfa(self, stage: u32) -> u32 {
        self.scales + stage * self.scales_per_stage
    }

    /// First column of B1's atoms of `stage`.
    pub const fn sfb1(self, stage: u32) -> u32 {
        self.sfa(stage) + MMAS_PER_STAGE * ATOM_COLUMNS
    }

    /// First column of B2's atoms of `stage`.
    pub const fn sfb2(self, stage: u32) -> u32 {
        self.sfb1(stage) + MMAS_PER_STAGE * ATOM_COLUMNS
    }
}
