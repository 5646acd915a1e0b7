//! Which warp does what.

/// Warps per CTA of the sm_100 kernels.
pub const WARPS: u32 = 6;

/// A warp's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Four warps turn accumulators into C; warp `w` owns lanes 32·w … 32·w + 31 of tensor memory,
    /// which is why they are the first four.
    Epilogue {
        /// First tensor-memory lane, and C row within the tile, of the warp.
        lane: u32,
    },
    /// One warp asks TMA for tiles.
    Tma,
    /// One warp issues the tensor core's work and owns the tensor-memory allocation.
    Mma,
}

impl Role {
    /// The job of warp `warp`.
    #[inline(always)]
    pub const fn of(warp: u32) -> Self {
        match warp {
            0..=3 => Role::Epilogue { lane: warp * 32 },
            4 => Role::Tma,
            _ => Role::Mma,
        }
    }
}
