//! Named regions of shared memory, as offsets from a 1024-byte aligned base.

use super::geometry::{Geometry, MAX_DYNAMIC_SHARED};

/// What the 128B swizzle asks of a tile's address, and so of the base and of every stage.
pub const SMEM_ALIGN: u32 = 1024;

/// Bytes of an mbarrier object.
const BARRIER_BYTES: u32 = 8;

/// Where everything lies. Offsets are in bytes from the aligned base; the launch asks for
/// [`SmemMap::dynamic_bytes`], which includes the slack for aligning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmemMap {
    /// A's tile within a stage.
    pub a: u32,
    /// B1's tile within a stage.
    pub b1: u32,
    /// B2's tile within a stage.
    pub b2: u32,
    /// A's scale atoms within a stage.
    pub sfa: u32,
    /// B1's scale atoms within a stage.
    pub sfb1: u32,
    /// B2's scale atoms within a stage.
    pub sfb2: u32,
    /// Distance between stages.
    pub stage: u32,
    /// The `tiles_arrived` barriers, one a stage.
    pub tiles_arrived: u32,
    /// The `stage_free` barriers, one a stage.
    pub stage_free: u32,
    /// The `accumulators_ready` barrier.
    pub accumulators_ready: u32,
    /// The word that `tcgen05.alloc` writes the tensor-memory address to.
    pub tmem_address: u32,
    /// Bytes from the aligned base to the end.
    pub total: u32,
}

impl SmemMap {
    /// The map for a geometry.
    ///
    /// # Panics
    /// At compile time, if the map does not fit or a swizzled tile would not be aligned.
    pub const fn new(g: Geometry) -> Self {
        let a = 0;
        let b1 = a + g.a_bytes();
        let b2 = b1 + g.b_bytes();
        let sfa = b2 + g.b_bytes();
        let sfb1 = sfa + g.scale_bytes();
        let sfb2 = sfb1 + g.scale_bytes();
        let stage = g.stage_bytes();
        let tiles_arrived = stage * g.stages;
        let stage_free = tiles_arrived + BARRIER_BYTES * g.stages;
        let accumulators_ready = stage_free + BARRIER_BYTES * g.stages;
        let tmem_address = accumulators_ready + BARRIER_BYTES;
        let total = tmem_address + 8;
        assert!(
            b1.is_multiple_of(SMEM_ALIGN)
                && b2.is_multiple_of(SMEM_ALIGN)
                && stage.is_multiple_of(SMEM_ALIGN)
        );
        assert!(sfb2 + g.scale_bytes() == stage);
        assert!(total + SMEM_ALIGN <= MAX_DYNAMIC_SHARED);
        SmemMap {
            a,
            b1,
            b2,
            sfa,
            sfb1,
            sfb2,
            stage,
            tiles_arrived,
            stage_free,
            accumulators_ready,
            tmem_address,
            total,
        }
    }

    /// Bytes of dynamic shared memory to launch with. The launch guarantees less than 1024-byte
    /// alignment, so the kernel rounds its base up and this asks for the slack.
    pub const fn dynamic_bytes(self) -> u32 {
        self.total + SMEM_ALIGN
    }
}
