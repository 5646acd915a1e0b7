//! Matrix instructions whose operands are registers or shared memory.

use super::{Address, Dst, PredSrc, Slot, Space, Src};

/// Hopper's and older matrix instructions; all are `.sync.aligned`.
#[derive(Debug, Clone, PartialEq)]
pub enum MatrixOp {
    /// `ldmatrix`.
    Load(Box<LdMatrix>),
    /// `stmatrix`.
    Store(Box<StMatrix>),
    /// `movmatrix.m8n8.trans.b16`.
    Move {
        /// 32-bit destination.
        dst: Slot,
        /// 32-bit source.
        src: Src,
    },
    /// `mma.sync`, `mma.sp.sync`.
    Mma(Box<MmaSync>),
    /// `wmma.load`.
    FragmentLoad(Box<WmmaMove>),
    /// `wmma.store`.
    FragmentStore(Box<WmmaMove>),
    /// `wmma.mma`.
    FragmentMma(Box<WmmaMma>),
    /// `wgmma.mma_async`.
    Wgmma(Box<Wgmma>),
    /// `wgmma.fence`.
    WgmmaFence,
    /// `wgmma.commit_group`.
    WgmmaCommit,
    /// `wgmma.wait_group n`.
    WgmmaWait {
        /// How many of the newest groups may still run.
        pending: u32,
    },
}

/// Element types of matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum MatrixFormat {
    F16,
    BF16,
    TF32,
    F32,
    F64,
    E4M3,
    E5M2,
    E3M2,
    E2M3,
    E2M1,
    S8,
    U8,
    S4,
    U4,
    B1,
    S32,
}

/// m × n × k of one instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatrixShape {
    /// Rows of A and D.
    pub m: u32,
    /// Columns of B and D.
    pub n: u32,
    /// Columns of A, rows of B.
    pub k: u32,
}

/// `ldmatrix`.
#[derive(Debug, Clone, PartialEq)]
pub struct LdMatrix {
    /// `.m8n8` is (8, 8), `.m16n16`, `.m8n16`.
    pub rows: u32,
    /// Elements per row.
    pub columns: u32,
    /// `.x1`, `.x2`, `.x4`.
    pub num: u32,
    /// `.trans`.
    pub transpose: bool,
    /// Bits of an element: 16 or 8.
    pub element_bits: u32,
    /// Bits of an element in memory where narrower (`.b8x16.b6x16_p32` 6, `.b8x16.b4x16_p64` 4).
    pub source_bits: u32,
    /// [`Space::SharedCta`] or [`Space::Generic`].
    pub space: Space,
    /// Each lane's row address.
    pub address: Address,
    /// 32-bit destinations.
    pub dst: Box<[Dst]>,
}

/// `stmatrix`.
#[derive(Debug, Clone, PartialEq)]
pub struct StMatrix {
    /// `.m8n8` is (8, 8), `.m16n8` (16, 8).
    pub rows: u32,
    /// Elements per row.
    pub columns: u32,
    /// `.x1`, `.x2`, `.x4`.
    pub num: u32,
    /// `.trans`.
    pub transpose: bool,
    /// Bits of an element: 16 or 8.
    pub element_bits: u32,
    /// [`Space::SharedCta`] or [`Space::Generic`].
    pub space: Space,
    /// Each lane's row address.
    pub address: Address,
    /// 32-bit sources.
    pub src: Box<[Src]>,
}

/// `.kind::*` of `mma.sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum MmaKind {
    Plain,
    F8f6f4,
    Mxf8f6f4,
    Mxf4,
    Mxf4nvf4,
}

/// Block scales of `mma.sync…block_scale`.
#[derive(Debug, Clone, PartialEq)]
pub struct MmaScale {
    /// `.scale_vec::NX`'s N.
    pub vectors: u32,
    /// `.ue4m3` (else `.ue8m0`).
    pub ue4m3: bool,
    /// Scales of A, 32 bits, and its (byte-id, thread-id), 16 bits each.
    pub a: [Src; 3],
    /// Scales of B, the same.
    pub b: [Src; 3],
}

/// Sparsity of `mma.sp`.
#[derive(Debug, Clone, PartialEq)]
pub struct MmaSparse {
    /// `::ordered_metadata`.
    pub ordered: bool,
    /// 32-bit metadata.
    pub metadata: Src,
    /// Sparsity selector, a constant.
    pub selector: u32,
}

/// `mma.sync`.
#[derive(Debug, Clone, PartialEq)]
pub struct MmaSync {
    /// Shape.
    pub shape: MatrixShape,
    /// A is `.row` (else `.col`).
    pub a_row: bool,
    /// B is `.row` (else `.col`).
    pub b_row: bool,
    /// Type of A.
    pub a_format: MatrixFormat,
    /// Type of B.
    pub b_format: MatrixFormat,
    /// Type of C.
    pub c_format: MatrixFormat,
    /// Type of D.
    pub d_format: MatrixFormat,
    /// Kind.
    pub kind: MmaKind,
    /// `.satfinite`.
    pub satfinite: bool,
    /// For `.b1`: `.and.popc` (true) or `.xor.popc` (false).
    pub b1_and: Option<bool>,
    /// Sparsity.
    pub sparse: Option<MmaSparse>,
    /// Block scaling.
    pub scale: Option<MmaScale>,
    /// Destinations (32-bit, or 64-bit for f64).
    pub d: Box<[Dst]>,
    /// A's registers.
    pub a: Box<[Src]>,
    /// B's registers.
    pub b: Box<[Src]>,
    /// C's registers.
    pub c: Box<[Src]>,
}

/// `wmma.load` and `wmma.store`: one matrix between memory and the registers of a warp.
#[derive(Debug, Clone, PartialEq)]
pub struct WmmaMove {
    /// Rows and columns.
    pub extent: (u32, u32),
    /// Element type.
    pub format: MatrixFormat,
    /// Rows are contiguous in memory (else columns).
    pub row_major: bool,
    /// State space.
    pub space: Space,
    /// Of the first element; the same in all lanes.
    pub address: Address,
    /// Elements from one row (or column) to the next, 32 bits; the matrix's own extent when left out.
    pub stride: Option<Src>,
    /// Registers of a store.
    pub src: Box<[Src]>,
    /// Registers of a load.
    pub dst: Box<[Dst]>,
}

/// `wmma.mma`.
#[derive(Debug, Clone, PartialEq)]
pub struct WmmaMma {
    /// Shape.
    pub shape: MatrixShape,
    /// Type of A and B.
    pub format: MatrixFormat,
    /// Type of C.
    pub c_format: MatrixFormat,
    /// Type of D.
    pub d_format: MatrixFormat,
    /// `.satfinite`.
    pub satfinite: bool,
    /// D's registers.
    pub d: Box<[Dst]>,
    /// A's registers.
    pub a: Box<[Src]>,
    /// B's registers.
    pub b: Box<[Src]>,
    /// C's registers.
    pub c: Box<[Src]>,
}

/// Where wgmma's A lies.
#[derive(Debug, Clone, PartialEq)]
pub enum WgmmaA {
    /// Shared memory, by a 64-bit descriptor.
    Descriptor(Src),
    /// Four 32-bit registers per thread.
    Registers([Src; 4]),
}

/// `wgmma.mma_async`.
#[derive(Debug, Clone, PartialEq)]
pub struct Wgmma {
    /// Shape; m is 64.
    pub shape: MatrixShape,
    /// Type of D: f16 (packed pairs), f32 or s32.
    pub d_format: MatrixFormat,
    /// Type of A.
    pub a_format: MatrixFormat,
    /// Type of B.
    pub b_format: MatrixFormat,
    /// 32-bit accumulator registers, read and written.
    pub d: Box<[Slot]>,
    /// A.
    pub a: WgmmaA,
    /// B's 64-bit descriptor.
    pub b: Src,
    /// `scale-d`: whether D is added.
    pub scale_d: PredSrc,
    /// `imm-scale-a` is -1.
    pub negate_a: bool,
    /// `imm-scale-b` is -1.
    pub negate_b: bool,
    /// `imm-trans-a`: A in shared memory is M-major.
    pub transpose_a: bool,
    /// `imm-trans-b`: B is N-major.
    pub transpose_b: bool,
    /// `.satfinite`.
    pub satfinite: bool,
    /// Sparsity.
    pub sparse: Option<MmaSparse>,
}
