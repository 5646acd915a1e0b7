//! The block-scaled matrix multiply, and the arrival that tells of its end.

use core::arch::asm;

use crate::descriptor::instr_mxf4::Mxf4InstrDescriptor;
use crate::descriptor::smem_sm100::Sm100SmemDescriptor;
use crate::ptx::{SharedAddr, TmemAddr};

/// D = (A·SFA)·(B·SFB)ᵀ, plus D where `accumulate`; keeps A in the collector for the next MMA.
///
/// PTX: `tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16.collector::a::fill [d], a, b, idesc, [sfa], [sfb], accumulate;`
/// Runs on: one thread. Completes: asynchronously; in order with this thread's other MMAs on the
/// same accumulator, after its earlier `tcgen05.cp`s; `commit` tells.
///
/// # Safety
/// `a` and `b` describe tiles of written shared memory that stay as they are until the MMA is
/// complete; `d`, `sfa` and `sfb` name allocated tensor memory, the scales written; `sfb`'s column
/// is even; `idesc` says the tiles' shape.
#[inline(always)]
pub unsafe fn tcgen05_mma_mxf4nvf4_block16_a_fill(
    d: TmemAddr,
    a: Sm100SmemDescriptor,
    b: Sm100SmemDescriptor,
    idesc: Mxf4InstrDescriptor,
    sfa: TmemAddr,
    sfb: TmemAddr,
    accumulate: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "{{ .reg .pred p; setp.ne.b32 p, {6}, 0; tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16.collector::a::fill [{0}], {1}, {2}, {3}, [{4}], [{5}], p; }}",
            in(reg32) d.0, in(reg64) a.bits(), in(reg64) b.bits(), in(reg32) idesc.bits(),
            in(reg32) sfa.0, in(reg32) sfb.0, in(reg32) accumulate as u32
        );
    }
}

/// The same, with A taken from the collector that the MMA before it filled, and dropped after.
///
/// PTX: `tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16.collector::a::lastuse [d], a, b, idesc, [sfa], [sfb], accumulate;`
/// Runs on: one thread. Completes: as [`tcgen05_mma_mxf4nvf4_block16_a_fill`].
///
/// # Safety
/// As [`tcgen05_mma_mxf4nvf4_block16_a_fill`]; `a` and `sfa` are those of the MMA before it.
#[inline(always)]
pub unsafe fn tcgen05_mma_mxf4nvf4_block16_a_lastuse(
    d: TmemAddr,
    a: Sm100SmemDescriptor,
    b: Sm100SmemDescriptor,
    idesc: Mxf4InstrDescriptor,
    sfa: TmemAddr,
    sfb: TmemAddr,
    accumulate: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "{{ .reg .pred p; setp.ne.b32 p, {6}, 0; tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16.collector::a::lastuse [{0}], {1}, {2}, {3}, [{4}], [{5}], p; }}",
            in(reg32) d.0, in(reg64) a.bits(), in(reg64) b.bits(), in(reg32) idesc.bits(),
            in(reg32) sfa.0, in(reg32) sfb.0, in(reg32) accumulate as u32
        );
    }
}

/// The same, with A read from shared memory and not kept.
///
/// PTX: `tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16 [d], a, b, idesc, [sfa], [sfb], accumulate;`
/// Runs on: one thread. Completes: as [`tcgen05_mma_mxf4nvf4_block16_a_fill`].
///
/// # Safety
/// As [`tcgen05_mma_mxf4nvf4_block16_a_fill`].
#[inline(always)]
pub unsafe fn tcgen05_mma_mxf4nvf4_block16(
    d: TmemAddr,
    a: Sm100SmemDescriptor,
    b: Sm100SmemDescriptor,
    idesc: Mxf4InstrDescriptor,
    sfa: TmemAddr,
    sfb: TmemAddr,
    accumulate: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "{{ .reg .pred p; setp.ne.b32 p, {6}, 0; tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16 [{0}], {1}, {2}, {3}, [{4}], [{5}], p; }}",
            in(reg32) d.0, in(reg64) a.bits(), in(reg64) b.bits(), in(reg32) idesc.bits(),
            in(reg32) sfa.0, in(reg32) sfb.0, in(reg32) accumulate as u32
        );
    }
}

/// Makes `bar` receive one arrival when all earlier tcgen05 work of this thread is done.
///
/// PTX: `tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [bar];`
/// Runs on: one thread, the one that issued the work. Completes: asynchronously, on `bar`. Implies
/// `tcgen05.fence::before_thread_sync`.
///
/// # Safety
/// `bar` holds an mbarrier of this CTA that outlives the arrival.
#[inline(always)]
pub unsafe fn tcgen05_commit(bar: SharedAddr) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [{0}];",
            in(reg32) bar.0
        );
    }
}
