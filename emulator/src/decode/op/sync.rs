//! Barriers, mbarriers and fences.

use super::{Address, Pred, PredSrc, Slot, Space, Src};

/// Memory order of an access or a barrier operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// No order.
    Weak,
    /// `.volatile`: as relaxed at system scope, for this emulator.
    Volatile,
    /// `.relaxed`.
    Relaxed,
    /// `.acquire`.
    Acquire,
    /// `.release`.
    Release,
    /// `.acq_rel`.
    AcqRel,
    /// `.sc`.
    Sc,
    /// `.mmio`.
    Mmio,
}

/// The threads among which an order holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The CTA.
    Cta,
    /// The cluster.
    Cluster,
    /// The device.
    Gpu,
    /// The system.
    Sys,
}

/// Synchronisation.
#[derive(Debug, Clone, PartialEq)]
pub enum SyncOp {
    /// `bar`, `barrier`, `barrier.cta`.
    Bar {
        /// Sync, arrive or reduce.
        kind: BarKind,
        /// Barrier number 0..=15, 32 bits.
        barrier: Src,
        /// Threads that take part, a multiple of the warp size; `None`: all of the CTA.
        threads: Option<Src>,
        /// `.aligned` (implied by `bar`).
        aligned: bool,
    },
    /// `bar.warp.sync`.
    WarpSync {
        /// Lanes, 32 bits.
        mask: Src,
    },
    /// `barrier.cluster.arrive`.
    ClusterArrive {
        /// `.release` (the default) or `.relaxed`.
        order: Order,
        /// `.aligned`.
        aligned: bool,
    },
    /// `barrier.cluster.wait`.
    ClusterWait {
        /// `.acquire` is the default and the only one.
        order: Order,
        /// `.aligned`.
        aligned: bool,
    },
    /// `mbarrier.*`.
    Mbarrier(MbarrierOp),
    /// `fence.*`, `membar.*`.
    Fence(FenceOp),
}

impl SyncOp {
    /// Whether all lanes of the warp must execute it together.
    pub fn aligned(&self) -> bool {
        match self {
            SyncOp::Bar { aligned, .. }
            | SyncOp::ClusterArrive { aligned, .. }
            | SyncOp::ClusterWait { aligned, .. } => *aligned,
            SyncOp::WarpSync { .. } | SyncOp::Mbarrier(_) | SyncOp::Fence(_) => false,
        }
    }
}

/// What a named barrier does.
#[derive(Debug, Clone, PartialEq)]
pub enum BarKind {
    /// `.sync`.
    Sync,
    /// `.arrive`.
    Arrive,
    /// `.red`.
    Red(BarRed),
}

/// `bar.red`.
#[derive(Debug, Clone, PartialEq)]
pub enum BarRed {
    /// `.popc.u32`: how many threads have the predicate.
    Popc {
        /// 32-bit destination.
        dst: Slot,
        /// Each thread's predicate.
        src: PredSrc,
    },
    /// `.and.pred`.
    And {
        /// Destination.
        dst: Pred,
        /// Each thread's predicate.
        src: PredSrc,
    },
    /// `.or.pred`.
    Or {
        /// Destination.
        dst: Pred,
        /// Each thread's predicate.
        src: PredSrc,
    },
}

/// `mbarrier.*`. `space` is [`Space::SharedCta`], [`Space::SharedCluster`] or [`Space::Generic`].
#[derive(Debug, Clone, PartialEq)]
pub enum MbarrierOp {
    /// `init`.
    Init {
        /// State space.
        space: Space,
        /// The barrier.
        address: Address,
        /// Expected arrivals, 32 bits.
        count: Src,
    },
    /// `inval`.
    Inval {
        /// State space.
        space: Space,
        /// The barrier.
        address: Address,
    },
    /// `expect_tx`.
    ExpectTx {
        /// State space.
        space: Space,
        /// The barrier.
        address: Address,
        /// Bytes, 32 bits.
        bytes: Src,
        /// Scope.
        scope: Scope,
    },
    /// `complete_tx`.
    CompleteTx {
        /// State space.
        space: Space,
        /// The barrier.
        address: Address,
        /// Bytes, 32 bits.
        bytes: Src,
        /// Scope.
        scope: Scope,
    },
    /// `arrive`, `arrive_drop`, with or without `.expect_tx` and `.noComplete`.
    Arrive(Arrive),
    /// `test_wait`, `try_wait`, with or without `.parity`.
    Wait {
        /// State space.
        space: Space,
        /// The barrier.
        address: Address,
        /// Whether the phase completed.
        dst: Pred,
        /// Which phase.
        phase: WaitKind,
        /// `try_wait`: may sleep.
        may_sleep: bool,
        /// `try_wait`'s suspend-time hint in nanoseconds, 32 bits.
        time: Option<Src>,
        /// `.acquire` (the default) or `.relaxed`.
        order: Order,
        /// Scope.
        scope: Scope,
    },
    /// `pending_count`.
    PendingCount {
        /// 32-bit destination.
        dst: Slot,
        /// 64-bit state.
        state: Src,
    },
}

/// Which phase a wait asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitKind {
    /// The phase named by a 64-bit state that an arrive returned.
    State(Src),
    /// The phase of that parity, 32 bits.
    Parity(Src),
}

/// `mbarrier.arrive`.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrive {
    /// State space.
    pub space: Space,
    /// The barrier.
    pub address: Address,
    /// 64-bit state register, or the sink (the only choice for `.shared::cluster`).
    pub state: Option<Slot>,
    /// Arrivals, 32 bits; `None` is one.
    pub count: Option<Src>,
    /// `.expect_tx`: bytes to expect first, 32 bits (the arrival count is then one).
    pub expect_tx: Option<Src>,
    /// `arrive_drop`: also lowers the expected count of later phases.
    pub drop: bool,
    /// `.noComplete`.
    pub no_complete: bool,
    /// `.release` (the default) or `.relaxed`.
    pub order: Order,
    /// Scope.
    pub scope: Scope,
}

/// `fence` and `membar`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceOp {
    /// `fence.{sc,acq_rel,acquire,release}.scope`, `membar`.
    Thread {
        /// Order.
        order: Order,
        /// Scope.
        scope: Scope,
    },
    /// `fence.mbarrier_init.release.cluster`.
    MbarrierInit,
    /// `fence.proxy.*` between the generic proxy and another.
    Proxy(Proxy),
    /// `fence.proxy.tensormap::generic.release.scope`.
    TensorMapRelease {
        /// Scope.
        scope: Scope,
    },
    /// `fence.proxy.tensormap::generic.acquire.scope [address], 128`.
    TensorMapAcquire {
        /// Scope.
        scope: Scope,
        /// The tensor map, generic or global.
        address: Address,
        /// Bytes: 128.
        bytes: u32,
    },
    /// `fence.{acquire,release}.sync_restrict::shared::{cta,cluster}.cluster`.
    Restricted {
        /// `.acquire` or `.release`.
        order: Order,
        /// The restricting space.
        space: Space,
        /// `fence.proxy.async::generic.*`: of the async proxy rather than the generic one.
        async_proxy: bool,
    },
}

/// The proxy that a bi-directional proxy fence orders with the generic one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// `.alias`.
    Alias,
    /// `.async`: every space.
    Async,
    /// `.async.global`.
    AsyncGlobal,
    /// `.async.shared::cta`.
    AsyncSharedCta,
    /// `.async.shared::cluster`.
    AsyncSharedCluster,
}
