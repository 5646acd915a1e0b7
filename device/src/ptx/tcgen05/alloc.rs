//! Allocation of tensor memory, in columns.

use core::arch::asm;

use crate::ptx::{SharedAddr, TmemAddr};

/// Allocates `COLUMNS` columns and writes the address of the first to shared memory; blocks while
/// another CTA on the SM holds them.
///
/// PTX: `tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [dst], COLUMNS;`
/// Runs on: one warp, converged. Completes: with the instruction; other warps read `dst` after a
/// barrier.
///
/// # Safety
/// `dst` is a multiple of 4 in the CTA's shared memory; `COLUMNS` is a power of two from 32 to 512;
/// the allocation is freed before the CTA ends.
#[inline(always)]
pub unsafe fn tcgen05_alloc<const COLUMNS: u32>(dst: SharedAddr) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [{0}], {1};",
            in(reg32) dst.0, const COLUMNS
        );
    }
}

/// Promises that this CTA allocates no more, so that another one may.
///
/// PTX: `tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;`
/// Runs on: one warp, converged. Completes: at once.
///
/// # Safety
/// The CTA executes no `tcgen05.alloc` after it.
#[inline(always)]
pub unsafe fn tcgen05_relinquish_alloc_permit() {
    // SAFETY: the caller's.
    unsafe { asm!("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;") };
}

/// Frees `COLUMNS` columns at `taddr`.
///
/// PTX: `tcgen05.dealloc.cta_group::1.sync.aligned.b32 taddr, COLUMNS;`
/// Runs on: one warp, converged. Completes: at once.
///
/// # Safety
/// `taddr` and `COLUMNS` are those of an allocation that nothing accesses any more.
#[inline(always)]
pub unsafe fn tcgen05_dealloc<const COLUMNS: u32>(taddr: TmemAddr) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tcgen05.dealloc.cta_group::1.sync.aligned.b32 {0}, {1};",
            in(reg32) taddr.0, const COLUMNS
        );
    }
}
