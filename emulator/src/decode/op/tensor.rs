//! `tcgen05.*`: tensor memory and its tensor cores. `cta_group` is 1 or 2 throughout.

use super::{Address, Dst, PredSrc, Space, Src};

/// Blackwell's fifth-generation tensor-core instructions.
#[derive(Debug, Clone, PartialEq)]
pub enum Tcgen05Op {
    /// `alloc`: writes the address of the columns to shared memory.
    Alloc {
        /// CTA group.
        cta_group: u32,
        /// [`Space::SharedCta`] or [`Space::Generic`].
        space: Space,
        /// Where the tensor-memory address goes, 4 bytes.
        address: Address,
        /// Columns, 32 bits.
        columns: Src,
    },
    /// `dealloc`.
    Dealloc {
        /// CTA group.
        cta_group: u32,
        /// Tensor-memory address, 32 bits.
        address: Src,
        /// Columns, 32 bits.
        columns: Src,
    },
    /// `relinquish_alloc_permit`.
    RelinquishAllocPermit {
        /// CTA group.
        cta_group: u32,
    },
    /// `ld`.
    Load {
        /// Lanes × bits of one access.
        shape: TmemShape,
        /// `.xN`.
        num: u32,
        /// `.pack::16b`.
        pack16: bool,
        /// Tensor-memory address.
        address: TmemAddress,
        /// `.16x32bx2`'s immediate: columns from the first half to the second.
        half_split: Option<i64>,
        /// 32-bit registers, as many as shape and num give.
        dst: Box<[Dst]>,
        /// `ld.red`'s reduction and its destination.
        reduce: Option<Box<TmemReduce>>,
    },
    /// `st`.
    Store {
        /// Lanes × bits of one access.
        shape: TmemShape,
        /// `.xN`.
        num: u32,
        /// `.unpack::16b`.
        unpack16: bool,
        /// Tensor-memory address.
        address: TmemAddress,
        /// `.16x32bx2`'s immediate.
        half_split: Option<i64>,
        /// 32-bit sources.
        src: Box<[Src]>,
    },
    /// `wait::ld`.
    WaitLoad,
    /// `wait::st`.
    WaitStore,
    /// `cp`: shared memory to tensor memory.
    Copy {
        /// CTA group.
        cta_group: u32,
        /// Shape.
        shape: CpShape,
        /// Multicast over warps.
        multicast: CpMulticast,
        /// Decompression.
        source: CpSource,
        /// Tensor-memory address.
        address: TmemAddress,
        /// Shared-memory descriptor, 64 bits.
        descriptor: Src,
    },
    /// `shift.down`.
    ShiftDown {
        /// CTA group.
        cta_group: u32,
        /// Tensor-memory address.
        address: TmemAddress,
    },
    /// `mma`, `mma.sp`, `mma.ws`, `mma.ws.sp`.
    Mma(Box<Tcgen05Mma>),
    /// `commit.mbarrier::arrive::one`.
    Commit {
        /// CTA group.
        cta_group: u32,
        /// [`Space::SharedCluster`] or [`Space::Generic`].
        space: Space,
        /// The mbarrier.
        mbarrier: Address,
        /// `.multicast::cluster`: 16-bit CTA mask.
        multicast: Option<Src>,
    },
    /// `fence::before_thread_sync`.
    FenceBefore,
    /// `fence::after_thread_sync`.
    FenceAfter,
}

impl Tcgen05Op {
    /// Whether all lanes of the warp must execute it together.
    pub fn aligned(&self) -> bool {
        match self {
            Tcgen05Op::Alloc { .. }
            | Tcgen05Op::Dealloc { .. }
            | Tcgen05Op::RelinquishAllocPermit { .. }
            | Tcgen05Op::Load { .. }
            | Tcgen05Op::Store { .. }
            | Tcgen05Op::WaitLoad
            | Tcgen05Op::WaitStore => true,
            Tcgen05Op::Copy { .. }
            | Tcgen05Op::ShiftDown { .. }
            | Tcgen05Op::Mma(_)
            | Tcgen05Op::Commit { .. }
            | Tcgen05Op::FenceBefore
            | Tcgen05Op::FenceAfter => false,
        }
    }
}

/// A tensor-memory address `[taddr + offset]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TmemAddress {
    /// 32-bit register or constant.
    pub base: Src,
    /// Added to it.
    pub offset: i32,
}

/// Lanes × bits per lane of one `tcgen05.ld` or `st` access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TmemShape {
    /// `.16x64b`.
    L16x64,
    /// `.16x128b`.
    L16x128,
    /// `.16x256b`.
    L16x256,
    /// `.32x32b`.
    L32x32,
    /// `.16x32bx2`.
    L16x32x2,
}

impl TmemShape {
    /// 32-bit registers per thread of the `.x1` form.
    pub const fn registers(self) -> u32 {
        match self {
            TmemShape::L16x64 | TmemShape::L32x32 | TmemShape::L16x32x2 => 1,
            TmemShape::L16x128 => 2,
            TmemShape::L16x256 => 4,
        }
    }
}

/// `tcgen05.ld.red`.
#[derive(Debug, Clone, PartialEq)]
pub struct TmemReduce {
    /// `.max` (else `.min`).
    pub max: bool,
    /// The element type.
    pub ty: super::AtomType,
    /// `.abs`.
    pub abs: bool,
    /// `.NaN`.
    pub nan: bool,
    /// Where the reduced value goes.
    pub dst: Dst,
}

/// Shape of `tcgen05.cp`: lanes × bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CpShape {
    /// `.128x256b`.
    S128x256,
    /// `.4x256b`.
    S4x256,
    /// `.128x128b`.
    S128x128,
    /// `.64x128b`.
    S64x128,
    /// `.32x128b`.
    S32x128,
}

/// To which warps' lanes `tcgen05.cp` copies the data too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CpMulticast {
    /// Nowhere else.
    None,
    /// `.warpx2::02_13`.
    WarpX2Pairs0213,
    /// `.warpx2::01_23`.
    WarpX2Pairs0123,
    /// `.warpx4`.
    WarpX4,
}

/// The source format of a decompressing `tcgen05.cp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CpSource {
    /// Bytes as they are.
    Plain,
    /// `.b8x16.b6x16_p32`.
    B6,
    /// `.b8x16.b4x16_p64`.
    B4,
}

/// `kind::*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum Tcgen05Kind {
    F16,
    Tf32,
    F8f6f4,
    I8,
    Mxf8f6f4,
    Mxf4,
    Mxf4nvf4,
}

/// Where operand A lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MmaA {
    /// Shared memory, by a 64-bit descriptor.
    Descriptor(Src),
    /// Tensor memory.
    Tmem(TmemAddress),
}

/// Whose buffer a collector qualifier names, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Collector {
    /// `None` for `collector::a`, `Some(n)` for `collector::bN` (`.ws` forms).
    pub b: Option<u32>,
    /// Operation.
    pub op: CollectorOp,
}

/// What a collector qualifier says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum CollectorOp {
    Fill,
    Use,
    LastUse,
    Discard,
}

/// `tcgen05.mma` and its variants.
#[derive(Debug, Clone, PartialEq)]
pub struct Tcgen05Mma {
    /// CTA group.
    pub cta_group: u32,
    /// Kind.
    pub kind: Tcgen05Kind,
    /// `.block_scale`.
    pub block_scale: bool,
    /// `.scale_vec::NX`'s N, `.block32` and `.block16` translated for the kind: `Some(1|2|4)`;
    /// `None` when not written (mxf8f6f4: 1, mxf4: 2).
    pub scale_vec: Option<u32>,
    /// `.ws`.
    pub weight_stationary: bool,
    /// `.sp`: address of the sparsity metadata.
    pub sparse: Option<TmemAddress>,
    /// `.ashift`.
    pub a_shift: bool,
    /// Collector qualifier; `None` is `collector::a::discard`.
    pub collector: Option<Collector>,
    /// Accumulator.
    pub d: TmemAddress,
    /// A.
    pub a: MmaA,
    /// B's 64-bit shared-memory descriptor.
    pub b: Src,
    /// Instruction descriptor, 32 bits.
    pub idesc: Src,
    /// Scales of A.
    pub scale_a: Option<TmemAddress>,
    /// Scales of B.
    pub scale_b: Option<TmemAddress>,
    /// Whether D is added (`enable-input-d`).
    pub enable_d: PredSrc,
    /// `disable-output-lane`: 4 (one CTA) or 8 (two) words; lanes whose bit is set stay.
    pub disable_lanes: Option<Box<[Src]>>,
    /// `scale-input-d`: D is multiplied by 2^-n.
    pub scale_input_d: Option<u32>,
    /// `.ws`: 64-bit zero-column mask descriptor.
    pub zero_column_mask: Option<Src>,
}
