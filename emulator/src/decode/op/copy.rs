//! Asynchronous copies: `cp.async`, bulk and tensor copies, tensor maps, cluster launch control.

use super::{Address, Dst, Pred, PredSrc, Scope, Slot, Space, Src, Width};

/// Asynchronous data movement and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub enum CopyOp {
    /// `cp.async.{ca,cg}`.
    CpAsync(CpAsync),
    /// `cp.async.commit_group`.
    CpAsyncCommit,
    /// `cp.async.wait_group n`: at most `n` newest groups still run.
    CpAsyncWait {
        /// How many may still run.
        pending: u32,
    },
    /// `cp.async.wait_all`.
    CpAsyncWaitAll,
    /// `cp.async.mbarrier.arrive{.noinc}`.
    CpAsyncMbarrierArrive {
        /// [`Space::SharedCta`] or [`Space::Generic`].
        space: Space,
        /// The barrier.
        address: Address,
        /// `.noinc`: the arrival was counted at `init`.
        no_inc: bool,
    },
    /// `cp.async.bulk`, `cp.reduce.async.bulk`.
    Bulk(Box<BulkCopy>),
    /// `cp.async.bulk.tensor`, `cp.reduce.async.bulk.tensor`.
    Tensor(Box<BulkTensor>),
    /// `cp.async.bulk.prefetch.L2`, `cp.async.bulk.prefetch.tensor`.
    Prefetch(Box<BulkPrefetch>),
    /// `cp.async.bulk.commit_group`.
    BulkCommit,
    /// `cp.async.bulk.wait_group{.read} n`.
    BulkWait {
        /// How many of the newest groups may still run.
        pending: u32,
        /// `.read`: only the reads of their sources must be over.
        read: bool,
    },
    /// `prefetch{.param,.const}.tensormap`.
    PrefetchTensorMap {
        /// [`Space::Generic`], [`Space::ParamEntry`] or [`Space::Const`].
        space: Space,
        /// The tensor map.
        address: Address,
    },
    /// `tensormap.replace`.
    TensorMapReplace {
        /// [`Space::Generic`], [`Space::Global`] or [`Space::SharedCta`].
        space: Space,
        /// The tensor map.
        address: Address,
        /// Which field.
        field: TensorMapField,
        /// Dimension, for fields that have one per dimension.
        ordinal: u32,
        /// New value: 64 bits for addresses and strides, else 32.
        value: Src,
    },
    /// `tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.scope.sync.aligned`.
    TensorMapCopyFence {
        /// Destination in global memory.
        dst: Address,
        /// Source in shared memory.
        src: Address,
        /// Bytes: 128.
        bytes: u32,
        /// Scope.
        scope: Scope,
    },
    /// `st.async`.
    StAsync(Box<StAsync>),
    /// `red.async`.
    RedAsync {
        /// As for `st.async`; one element.
        store: Box<StAsync>,
        /// The reduction.
        kind: ReduceKind,
        /// Signed comparison for min and max.
        signed: bool,
    },
    /// `clusterlaunchcontrol.try_cancel`.
    TryCancel {
        /// [`Space::SharedCta`] or [`Space::Generic`].
        space: Space,
        /// 16 bytes of shared memory for the answer.
        dst: Address,
        /// The mbarrier that counts those 16 bytes.
        mbarrier: Address,
        /// `.multicast::cluster::all`.
        multicast: bool,
    },
    /// `clusterlaunchcontrol.query_cancel.is_canceled`.
    IsCanceled {
        /// The answer.
        dst: Pred,
        /// 128-bit response.
        response: Slot,
    },
    /// `clusterlaunchcontrol.query_cancel.get_first_ctaid`.
    FirstCtaId {
        /// Which components, in the order of `dst`.
        field: LaunchControlField,
        /// 32-bit destinations: four for [`LaunchControlField::All`], else the first alone.
        dst: [Dst; 4],
        /// 128-bit response.
        response: Slot,
    },
}

impl CopyOp {
    /// Whether all lanes of the warp must execute it together.
    pub fn aligned(&self) -> bool {
        matches!(self, CopyOp::TensorMapCopyFence { .. })
    }
}

/// `cp.async`.
#[derive(Debug, Clone, PartialEq)]
pub struct CpAsync {
    /// Destination in this CTA's shared memory.
    pub dst: Address,
    /// Source in global memory.
    pub src: Address,
    /// 4, 8 or 16 bytes.
    pub bytes: u32,
    /// Bytes to read, 32 bits; the rest is zero.
    pub src_bytes: Option<Src>,
    /// Where true, the source is not read and all bytes are zero.
    pub ignore_src: Option<PredSrc>,
    /// Cache policy, 64 bits.
    pub policy: Option<Src>,
}

/// Where the bytes of a bulk copy go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BulkDirection {
    /// Global to this CTA's shared memory (`.shared::cta`); completes on an mbarrier.
    GlobalToSharedCta,
    /// Global to a CTA of the cluster (`.shared::cluster`); completes on an mbarrier.
    GlobalToSharedCluster,
    /// This CTA's shared memory to another's; completes on an mbarrier there.
    SharedToSharedCluster,
    /// This CTA's shared memory to global; completes by bulk group.
    SharedToGlobal,
}

/// What a bulk reduction does at its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum ReduceKind {
    Add,
    Min,
    Max,
    Inc,
    Dec,
    And,
    Or,
    Xor,
}

/// A plain bulk reduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BulkReduce {
    /// The operation.
    pub kind: ReduceKind,
    /// The element type.
    pub ty: super::AtomType,
}

/// `cp.async.bulk` and, with `reduce`, `cp.reduce.async.bulk`.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkCopy {
    /// From where to where.
    pub direction: BulkDirection,
    /// Destination.
    pub dst: Address,
    /// Source.
    pub src: Address,
    /// Bytes, 32 bits, a multiple of 16.
    pub bytes: Src,
    /// The mbarrier, unless the copy completes by bulk group.
    pub mbarrier: Option<Address>,
    /// `.multicast::cluster`: 16-bit CTA mask.
    pub multicast: Option<Src>,
    /// `.cp_mask`: 16-bit byte mask, one bit per byte of each 16.
    pub byte_mask: Option<Src>,
    /// Reduction instead of a copy.
    pub reduce: Option<BulkReduce>,
    /// Cache policy, 64 bits.
    pub policy: Option<Src>,
}

/// Where the elements of a tensor copy go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorDirection {
    /// Load into this CTA's shared memory (`.shared::cta`).
    LoadCta,
    /// Load into the shared memory of a CTA of the cluster (`.shared::cluster`).
    LoadCluster,
    /// Store to global memory.
    Store,
    /// Reduction into global memory.
    Reduce(ReduceKind),
}

/// How coordinates address the tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorMode {
    /// `.tile`.
    Tile,
    /// `.tile::gather4`: one column coordinate, four rows.
    Gather4,
    /// `.tile::scatter4`.
    Scatter4,
    /// `.im2col`: coordinates and 16-bit offsets.
    Im2col {
        /// Offsets, 16 bits each.
        offsets: Box<[Src]>,
    },
    /// `.im2col_no_offs` (stores).
    Im2colNoOffsets,
    /// `.im2col::w`.
    Im2colW {
        /// Half-open range offsets, 16 bits each.
        offsets: Box<[Src]>,
    },
    /// `.im2col::w::128`.
    Im2colW128 {
        /// Offsets, 16 bits each.
        offsets: Box<[Src]>,
    },
}

/// `cp.async.bulk.tensor` and `cp.reduce.async.bulk.tensor`.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkTensor {
    /// From where to where.
    pub direction: TensorDirection,
    /// Number of dimensions of the tensor, 1..=5.
    pub dims: u32,
    /// How coordinates address the tensor.
    pub mode: TensorMode,
    /// The shared-memory side: destination of a load, source of a store.
    pub shared: Address,
    /// Generic address of the tensor map.
    pub map: Address,
    /// Coordinates, 32 bits signed, dimension 0 first.
    pub coords: Box<[Src]>,
    /// Loads: the mbarrier, of the destination's space.
    pub mbarrier: Option<Address>,
    /// `.multicast::cluster`: 16-bit CTA mask.
    pub multicast: Option<Src>,
    /// `.cta_group::1` or `.cta_group::2`.
    pub cta_group: Option<u32>,
    /// Cache policy, 64 bits.
    pub policy: Option<Src>,
}

/// `cp.async.bulk.prefetch`: may fault where the copy would, and does nothing else.
#[derive(Debug, Clone, PartialEq)]
pub enum BulkPrefetch {
    /// `.L2.global [address], size`.
    Linear {
        /// Source in global memory.
        src: Address,
        /// Bytes, 32 bits.
        bytes: Src,
        /// Cache policy, 64 bits.
        policy: Option<Src>,
    },
    /// `.tensor`.
    Tensor {
        /// Number of dimensions.
        dims: u32,
        /// How coordinates address the tensor.
        mode: TensorMode,
        /// Generic address of the tensor map.
        map: Address,
        /// Coordinates.
        coords: Box<[Src]>,
        /// Cache policy, 64 bits.
        policy: Option<Src>,
    },
}

/// A field of a tensor map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum TensorMapField {
    GlobalAddress,
    Rank,
    BoxDim,
    GlobalDim,
    GlobalStride,
    ElementStride,
    ElemType,
    InterleaveLayout,
    SwizzleMode,
    SwizzleAtomicity,
    FillMode,
}

/// `st.async`.
#[derive(Debug, Clone, PartialEq)]
pub struct StAsync {
    /// Destination, `.shared::cluster` (or global for the forms without an mbarrier).
    pub address: Address,
    /// Destination space.
    pub space: Space,
    /// Width of an element.
    pub width: Width,
    /// 1, 2 or 4 elements.
    pub src: Box<[Src]>,
    /// The mbarrier that counts the bytes, in the CTA of the destination.
    pub mbarrier: Option<Address>,
}

/// Which component of the first CTA's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum LaunchControlField {
    All,
    X,
    Y,
    Z,
}
