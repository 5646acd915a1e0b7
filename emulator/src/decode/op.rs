//! The typed instruction set: what one decoded PTX instruction does, with its operands resolved.
//!
//! An [`Op`] is a family; each family is an enum of its own in a file of its own. Registers are
//! slot numbers, immediates are bits normalised to the width that the operation reads, labels are
//! instruction indices, symbols are offsets or indices. Whatever does not fit that (a special
//! register or a symbol used as an operand) was loaded into a hidden register by an instruction
//! that the decoder put in front.

mod control;
mod copy;
mod matrix;
mod memory;
mod scalar;
mod sync;
mod tensor;

pub use control::{Callee, ControlOp, Special, SpecialName};
pub use copy::{
    BulkCopy, BulkDirection, BulkPrefetch, BulkReduce, BulkTensor, CopyOp, CpAsync,
    LaunchControlField, ReduceKind, StAsync, TensorDirection, TensorMapField, TensorMode,
};
pub use matrix::{
    LdMatrix, MatrixFormat, MatrixOp, MatrixShape, MmaKind, MmaScale, MmaSparse, MmaSync, StMatrix,
    Wgmma, WgmmaA, WmmaMma, WmmaMove,
};
pub use memory::{Atom, AtomKind, AtomType, Load, LoadCache, MemoryOp, Store};
pub use scalar::{
    BoolOp, CarryUse, CmpOp, CvtFormat, Float, FloatMode, FloatOp1, FloatOp2, FloatTest, Int,
    IntOp1, IntOp2, MulPart, PackedFormat, PrmtMode, Rounding, ScalarOp, ShiftClamp, Video,
    VideoOp, VideoSecond, WarpOp,
};
pub use sync::{
    Arrive, BarKind, BarRed, FenceOp, MbarrierOp, Order, Proxy, Scope, SyncOp, WaitKind,
};
pub use tensor::{
    Collector, CollectorOp, CpMulticast, CpShape, CpSource, MmaA, Tcgen05Kind, Tcgen05Mma,
    Tcgen05Op, TmemAddress, TmemReduce, TmemShape,
};

/// The first 32-bit slot of a register.
pub type Slot = u32;

/// The index of a predicate register.
pub type Pred = u32;

/// One decoded instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Instr {
    /// `@p` or `@!p`.
    pub guard: Option<Guard>,
    /// What it does.
    pub op: Op,
    /// 1-based line of the PTX text.
    pub line: u32,
}

/// The predicate that decides which lanes execute an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// The predicate register.
    pub pred: Pred,
    /// `@!p`: the lanes where it is false.
    pub negated: bool,
}

/// Which part of the emulator executes an instruction.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Registers in, registers out, each lane for itself.
    Scalar(ScalarOp),
    /// Registers in, registers out, lanes of a warp together.
    Warp(WarpOp),
    /// Reads a special register or forms an address.
    Special(Special),
    /// Where execution goes next.
    Control(ControlOp),
    /// Synchronous memory accesses and address conversions.
    Memory(MemoryOp),
    /// Barriers, mbarriers, fences.
    Sync(SyncOp),
    /// Asynchronous copies, tensor maps, cluster launch control.
    Copy(CopyOp),
    /// Matrix instructions on registers and shared memory: wgmma, mma.sync, ldmatrix, stmatrix.
    Matrix(MatrixOp),
    /// Blackwell's tensor-memory instructions.
    Tcgen05(Tcgen05Op),
    /// What is not supported, and stops a run that comes here.
    Unsupported(Box<str>),
}

impl Op {
    /// Whether all lanes of the warp must execute this instruction together (`.aligned`, and the
    /// forms to which PTX gives that meaning without the word).
    pub fn aligned(&self) -> bool {
        match self {
            Op::Sync(op) => op.aligned(),
            Op::Matrix(_) => true,
            Op::Tcgen05(op) => op.aligned(),
            Op::Copy(op) => op.aligned(),
            Op::Control(ControlOp::SetMaxNReg { .. }) => true,
            _ => false,
        }
    }

    /// The lanes that must execute this instruction together although it is not `.aligned`:
    /// the member mask of `shfl.sync` and its kin, of `elect.sync` and of `bar.warp.sync`.
    pub fn member_mask(&self) -> Option<Src> {
        match self {
            Op::Warp(op) => op.member_mask(),
            Op::Sync(SyncOp::WarpSync { mask }) => Some(*mask),
            _ => None,
        }
    }
}

/// A value that an instruction reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Src {
    /// A register, by its first slot; the operation says how wide.
    Reg(Slot),
    /// The bits of a constant, in the width that the operation reads.
    Imm(u64),
}

/// A predicate that an instruction reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredSrc {
    /// A predicate register, perhaps negated.
    Reg {
        /// The register.
        pred: Pred,
        /// `!p`.
        negated: bool,
    },
    /// A constant.
    Imm(bool),
}

/// A register that an instruction writes; `None` is the sink `_`.
pub type Dst = Option<Slot>;

/// How many bits a register or a memory element holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// 8 bits. A register of this width occupies one slot, as do all up to 32 bits.
    B8,
    /// 16 bits.
    B16,
    /// 32 bits.
    B32,
    /// 64 bits, two slots.
    B64,
    /// 128 bits, four slots.
    B128,
}

impl Width {
    /// In bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Width::B8 => 1,
            Width::B16 => 2,
            Width::B32 => 4,
            Width::B64 => 8,
            Width::B128 => 16,
        }
    }

    /// In bits.
    pub const fn bits(self) -> u32 {
        self.bytes() * 8
    }

    /// How many 32-bit slots a register of this width occupies.
    pub const fn slots(self) -> u32 {
        match self {
            Width::B8 | Width::B16 | Width::B32 => 1,
            Width::B64 => 2,
            Width::B128 => 4,
        }
    }

    /// The width of that many bytes.
    pub const fn from_bytes(bytes: u32) -> Option<Width> {
        match bytes {
            1 => Some(Width::B8),
            2 => Some(Width::B16),
            4 => Some(Width::B32),
            8 => Some(Width::B64),
            16 => Some(Width::B128),
            _ => None,
        }
    }
}

/// A state space that an address may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// No space named: the address says.
    Generic,
    /// Device memory.
    Global,
    /// Constant bank (module-scope `.const`).
    Const,
    /// `.shared::cta`, and `.shared` alone: this CTA's shared memory.
    SharedCta,
    /// `.shared::cluster`: shared memory of any CTA of the cluster.
    SharedCluster,
    /// Per-thread local memory.
    Local,
    /// The entry's parameters.
    ParamEntry,
    /// Parameters of device functions: the kernel's per-lane call frame.
    ParamFrame,
}

/// A symbol's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbol {
    /// A static `.shared` variable: bytes from the start of the kernel's static shared memory.
    Shared(u32),
    /// An `.extern .shared` array: the start of dynamic shared memory.
    DynamicShared,
    /// Bytes into the thread's local memory.
    Local(u32),
    /// Index into [`super::program::Program::globals`] (spaces `.global` and `.const`).
    Global(u32),
    /// Bytes into the entry's parameter block.
    Param(u32),
    /// Bytes into the kernel's call frame.
    Frame(u32),
    /// Bytes into the part of local memory that the present call of a recursive function has.
    Activation(u32),
    /// A function, by its number in the module: [`super::program::Program::functions`].
    Function(u32),
}

/// What an address starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the offset is the address.
    Absolute,
    /// A 32-bit register.
    Reg32(Slot),
    /// A 64-bit register.
    Reg64(Slot),
    /// A variable.
    Symbol(Symbol),
}

/// `[base+offset]`. The state space is the instruction's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// What the address starts from.
    pub base: Base,
    /// Bytes to add.
    pub offset: i64,
}
