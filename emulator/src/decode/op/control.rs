//! Control flow, special registers, and what a thread does about its own running.

use super::{Dst, Pred, Slot, Src, Symbol, Width};

/// Where execution goes next.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlOp {
    /// `bra`.
    Branch {
        /// Instruction index.
        target: u32,
        /// `.uni`: all active lanes agree.
        uniform: bool,
    },
    /// `brx.idx`: jumps to `targets[index]`.
    BranchIndexed {
        /// A 32-bit index; out of the list is undefined (a fault).
        index: Src,
        /// Instruction indices.
        targets: Box<[u32]>,
        /// `.uni`.
        uniform: bool,
    },
    /// Jumps to `target` and returns to the next instruction at [`ControlOp::Return`]. Arguments
    /// and results travel by [`ControlOp::FrameCopy`] before and after.
    Call {
        /// Instruction index of the function's first instruction.
        target: u32,
    },
    /// A call whose arguments are staged: of a function that may be active already, or through a
    /// register.
    CallStaged {
        /// Which function.
        callee: Callee,
    },
    /// `ret` from one of [`super::super::program::Kernel::subroutines`].
    ReturnStaged {
        /// Which.
        subroutine: u32,
    },
    /// `alloca`: bytes on the thread's stack.
    Alloca {
        /// A local address, 32 or 64 bits.
        dst: Slot,
        /// Its width.
        width: Width,
        /// How many bytes.
        size: Src,
        /// At a multiple of this.
        align: u32,
    },
    /// `stacksave`.
    StackSave {
        /// Where to.
        dst: Slot,
        /// Its width.
        width: Width,
    },
    /// `stackrestore`.
    StackRestore {
        /// What `stacksave` gave.
        src: Src,
        /// Its width.
        width: Width,
    },
    /// `ret`: back to the caller, or the end of the thread in the entry itself.
    Return,
    /// `exit`: the end of the thread.
    Exit,
    /// `trap`.
    Trap,
    /// `brkpt`.
    Breakpoint,
    /// A call of `__assertfail`: a failed device assertion. The frame offsets say where the
    /// arguments lie (pointers are generic addresses, 8 bytes; the line is 4 bytes).
    AssertFail {
        /// `const char *message`.
        message: u32,
        /// `const char *file`.
        file: u32,
        /// `unsigned line`.
        line: u32,
        /// `const char *function`.
        function: u32,
    },
    /// A call of `vprintf`.
    Printf {
        /// Frame offset of `const char *format`.
        format: u32,
        /// Frame offset of `void *arguments`.
        arguments: u32,
        /// Frame offset of the 32-bit result.
        result: Option<u32>,
    },
    /// Copies bytes inside the lanes' call frames.
    FrameCopy {
        /// From this offset.
        from: u32,
        /// To this offset.
        to: u32,
        /// So many bytes. Bytes that nobody wrote stay unwritten.
        bytes: u32,
    },
    /// `nanosleep`.
    NanoSleep {
        /// Nanoseconds, 32 bits.
        time: Src,
    },
    /// `setmaxnreg`.
    SetMaxNReg {
        /// `.inc` (else `.dec`).
        increase: bool,
        /// Registers per thread, 24..=256, a multiple of 8.
        count: u32,
    },
    /// `griddepcontrol.wait`.
    GridDependencyWait,
    /// `griddepcontrol.launch_dependents`.
    GridLaunchDependents,
    /// `pmevent`, `.pragma`-like instructions without effect.
    Nop,
}

/// Who is called.
#[derive(Debug, Clone, PartialEq)]
pub enum Callee {
    /// One of [`super::super::program::Kernel::subroutines`].
    Known(u32),
    /// The function whose address a register holds.
    Address {
        /// 64 bits.
        address: Src,
        /// Which of the kernel's subroutines it may be; `None`: any with these parameters.
        among: Option<Box<[u32]>>,
        /// Sizes of the parameters.
        params: Box<[u32]>,
        /// Sizes of the results.
        returns: Box<[u32]>,
    },
}

/// Reads what only the machine knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Special {
    /// `mov` from a special register.
    Read {
        /// Where to.
        dst: Slot,
        /// Width of the destination register; a narrower special register is zero-extended, a
        /// wider one truncated.
        width: Width,
        /// Which one.
        name: SpecialName,
    },
    /// `mov.pred` from a special register.
    ReadPred {
        /// Where to.
        dst: Pred,
        /// Which one.
        name: SpecialName,
    },
    /// `mov` of a variable's address, in the variable's own state space.
    AddressOf {
        /// Where to.
        dst: Slot,
        /// Width of the destination register.
        width: Width,
        /// The variable.
        symbol: Symbol,
        /// Bytes to add.
        offset: i64,
        /// `generic(sym)`: the generic address instead.
        generic: bool,
    },
    /// `createpolicy`: a cache policy, of which only the existence matters here.
    CreatePolicy {
        /// A 64-bit register.
        dst: Slot,
        /// Operands that are read and otherwise ignored, with their widths.
        reads: Box<[(Src, Width)]>,
    },
    /// `mov.v4.u32 {x,y,z,w}, %tid` and the like.
    ReadVector {
        /// x, y, z, w.
        dst: [Dst; 4],
        /// The register's `.x`, `.y`, `.z`; w is 0.
        names: [SpecialName; 3],
    },
}

/// A special register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum SpecialName {
    TidX,
    TidY,
    TidZ,
    NtidX,
    NtidY,
    NtidZ,
    LaneId,
    WarpId,
    NWarpId,
    CtaIdX,
    CtaIdY,
    CtaIdZ,
    NCtaIdX,
    NCtaIdY,
    NCtaIdZ,
    SmId,
    NSmId,
    GridId,
    IsExplicitCluster,
    ClusterIdX,
    ClusterIdY,
    ClusterIdZ,
    NClusterIdX,
    NClusterIdY,
    NClusterIdZ,
    ClusterCtaIdX,
    ClusterCtaIdY,
    ClusterCtaIdZ,
    ClusterNCtaIdX,
    ClusterNCtaIdY,
    ClusterNCtaIdZ,
    ClusterCtaRank,
    ClusterNCtaRank,
    LaneMaskEq,
    LaneMaskLe,
    LaneMaskLt,
    LaneMaskGe,
    LaneMaskGt,
    Clock,
    ClockHi,
    Clock64,
    GlobalTimer,
    GlobalTimerLo,
    GlobalTimerHi,
    TotalSmemSize,
    AggrSmemSize,
    DynamicSmemSize,
    ReservedSmemOffsetBegin,
    ReservedSmemOffsetEnd,
    ReservedSmemOffsetCap,
    /// Always 0: the fourth component of a vector register, `%pm*`, `%envreg*`,
    /// `%current_graph_exec`.
    Zero,
}
