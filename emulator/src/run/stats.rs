//! What a launch did, in numbers.

use std::ops::AddAssign;

/// Counts of one launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Instructions, counted once per thread that executed them.
    pub instructions: u64,
    /// Instructions, counted once per warp.
    pub warp_instructions: u64,
    /// Bytes moved by bulk, tensor and `cp.async` copies.
    pub copied_bytes: u64,
    /// Multiply-adds of matrix instructions.
    pub multiply_adds: u64,
    /// `tcgen05.cp` instructions.
    pub tensor_copies: u64,
    /// How often a warp had to wait at a barrier or for asynchronous work.
    pub barrier_waits: u64,
    /// Steps of asynchronous operations.
    pub async_steps: u64,
    /// CTAs that ran to their end.
    pub ctas: u64,
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.warp_instructions += other.warp_instructions;
        self.copied_bytes += other.copied_bytes;
        self.multiply_adds += other.multiply_adds;
        self.tensor_copies += other.tensor_copies;
        self.barrier_waits += other.barrier_waits;
        self.async_steps += other.async_steps;
        self.ctas += other.ctas;
    }
}
