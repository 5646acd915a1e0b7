//! Loads, stores, atomics, and the conversion of addresses.

use super::{Address, Dst, Order, Pred, Scope, Slot, Space, Src, Width};

/// Synchronous memory instructions.
#[derive(Debug, Clone, PartialEq)]
pub enum MemoryOp {
    /// `ld`, `ldu`.
    Load(Load),
    /// `st`.
    Store(Store),
    /// `atom` and `red`.
    Atom(Box<Atom>),
    /// `cvta.space`: an address of `space` to a generic one.
    ToGeneric {
        /// The space that `src` belongs to ([`Space::ParamEntry`] for `cvta.param`).
        space: Space,
        /// Destination register.
        dst: Slot,
        /// The address.
        src: Src,
        /// Width of both: 32 or 64 bits.
        width: Width,
    },
    /// `cvta.to.space`: a generic address to one of `space`.
    FromGeneric {
        /// The target space.
        space: Space,
        /// Destination register.
        dst: Slot,
        /// The generic address.
        src: Src,
        /// Width of both.
        width: Width,
    },
    /// `isspacep`.
    IsSpace {
        /// The space asked about.
        space: Space,
        /// The answer.
        dst: Pred,
        /// A generic address.
        src: Src,
        /// Its width.
        width: Width,
    },
    /// `mapa`: the address that `src` has in the CTA of rank `rank`.
    MapA {
        /// [`Space::SharedCluster`] for `.shared::cluster`, or [`Space::Generic`].
        space: Space,
        /// Destination register.
        dst: Slot,
        /// A shared (or generic) address.
        src: Src,
        /// CTA rank in the cluster, 32 bits.
        rank: Src,
        /// Width of `dst` and `src`.
        width: Width,
    },
    /// `getctarank`.
    GetCtaRank {
        /// [`Space::SharedCluster`], or [`Space::Generic`].
        space: Space,
        /// 32-bit destination.
        dst: Slot,
        /// A shared (or generic) address.
        src: Src,
        /// Width of `src`.
        width: Width,
    },
    /// `prefetch`, `prefetchu`, `applypriority`, `discard`: hints. `discard` leaves the 128 bytes
    /// undefined.
    Hint {
        /// The address's space.
        space: Space,
        /// The address.
        address: Address,
        /// `discard.L2`: the line's bytes become unwritten.
        discard: bool,
    },
    /// `st.bulk`: fills shared memory with zeros.
    StoreBulk {
        /// [`Space::SharedCta`] or [`Space::Generic`].
        space: Space,
        /// Destination.
        address: Address,
        /// Bytes, 64 bits, a multiple of 8.
        size: Src,
    },
}

/// How a load may be cached: only what changes the meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadCache {
    /// Ordinary.
    Default,
    /// `.nc`: through the non-coherent cache; the data must not change during the kernel.
    NonCoherent,
}

/// `ld`.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// State space.
    pub space: Space,
    /// Address; aligned to the whole access.
    pub address: Address,
    /// Width of one element in memory.
    pub width: Width,
    /// Sign-extend an element into a wider register (else zero-extend).
    pub signed: bool,
    /// Width of the destination registers, at least `width`.
    pub reg: Width,
    /// One register per element: 1, 2, 4 or 8.
    pub dst: Box<[Dst]>,
    /// `.weak`, `.relaxed`, `.acquire`, `.volatile`, `.mmio`.
    pub order: Order,
    /// Scope of a strong load.
    pub scope: Scope,
    /// `.nc`.
    pub cache: LoadCache,
    /// `.L2::cache_hint`'s policy, 64 bits.
    pub policy: Option<Src>,
}

/// `st`.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// State space.
    pub space: Space,
    /// Address; aligned to the whole access.
    pub address: Address,
    /// Width of one element in memory; the low bits of each source.
    pub width: Width,
    /// One source per element: 1, 2, 4 or 8.
    pub src: Box<[Src]>,
    /// `.weak`, `.relaxed`, `.release`, `.volatile`, `.mmio`.
    pub order: Order,
    /// Scope of a strong store.
    pub scope: Scope,
    /// `.L2::cache_hint`'s policy, 64 bits.
    pub policy: Option<Src>,
}

/// `atom`, or `red` when nothing is returned.
#[derive(Debug, Clone, PartialEq)]
pub struct Atom {
    /// State space.
    pub space: Space,
    /// Address; aligned to the whole access.
    pub address: Address,
    /// Operation.
    pub kind: AtomKind,
    /// Element type.
    pub ty: AtomType,
    /// `.noftz`: subnormals are kept (16-bit floats; `.f32` in shared memory keeps them too).
    pub noftz: bool,
    /// Old values: one register per element, or none at all for `red` and `_`.
    pub dst: Box<[Dst]>,
    /// Operand: one per element (`b`; the comparand of `cas`).
    pub b: Box<[Src]>,
    /// `cas`'s new value.
    pub c: Option<Src>,
    /// `.relaxed` unless said otherwise.
    pub order: Order,
    /// `.gpu` unless said otherwise.
    pub scope: Scope,
    /// `.L2::cache_hint`'s policy, 64 bits.
    pub policy: Option<Src>,
}

/// What an atomic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum AtomKind {
    And,
    Or,
    Xor,
    Exch,
    Cas,
    Add,
    Inc,
    Dec,
    Min,
    Max,
}

/// The type of an atomic's element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum AtomType {
    B16,
    B32,
    U32,
    S32,
    B64,
    U64,
    S64,
    B128,
    F16,
    F16x2,
    BF16,
    BF16x2,
    F32,
    F64,
}

impl AtomType {
    /// The width of one element.
    pub const fn width(self) -> Width {
        match self {
            AtomType::B16 | AtomType::F16 | AtomType::BF16 => Width::B16,
            AtomType::B32
            | AtomType::U32
            | AtomType::S32
            | AtomType::F16x2
            | AtomType::BF16x2
            | AtomType::F32 => Width::B32,
            AtomType::B64 | AtomType::U64 | AtomType::S64 | AtomType::F64 => Width::B64,
            AtomType::B128 => Width::B128,
        }
    }
}
