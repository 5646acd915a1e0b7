//! One wrapper per PTX instruction.
//!
//! Rules of this layer: a wrapper holds one `asm!` with one instruction, no branch, loop or policy;
//! its name is the mnemonic with `_` for `.`; its documentation says what the instruction does, its
//! PTX text, who must execute it, what signals completion, and what the caller must guarantee. An
//! instruction with effects keeps the compiler's default "may touch memory", so that neither side
//! moves an access across it.

pub mod cluster;
pub mod control;
pub mod math;
pub mod mbarrier;
pub mod memory;
pub mod mma;
pub mod sreg;
pub mod sync;
pub mod tcgen05;
pub mod tma;
pub mod wgmma;

/// An address in the shared window, as `.shared` instructions take it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct SharedAddr(pub u32);

impl SharedAddr {
    /// The address `bytes` further on.
    #[inline(always)]
    pub fn offset(self, bytes: u32) -> Self {
        SharedAddr(self.0 + bytes)
    }

    /// The first address at or after this one that is a multiple of `alignment`, a power of two.
    #[inline(always)]
    pub fn align_up(self, alignment: u32) -> Self {
        SharedAddr((self.0 + alignment - 1) & !(alignment - 1))
    }
}

/// An address in tensor memory: lane in bits 31:16, column in bits 15:0.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct TmemAddr(pub u32);

impl TmemAddr {
    /// The address `columns` to the right.
    #[inline(always)]
    pub fn column(self, columns: u32) -> Self {
        TmemAddr(self.0 + columns)
    }

    /// The address `lanes` further down.
    #[inline(always)]
    pub fn lane(self, lanes: u32) -> Self {
        TmemAddr(self.0 + (lanes << 16))
    }
}
