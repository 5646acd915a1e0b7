//! Moving data into and out of tensor memory, and ordering that with other threads.

use core::arch::asm;

use crate::descriptor::smem_sm100::Sm100SmemDescriptor;
use crate::ptx::TmemAddr;

/// Copies one scale atom (32 rows of 16 bytes) from shared memory to 4 columns of tensor memory,
/// the same to each of the four groups of 32 lanes.
///
/// PTX: `tcgen05.cp.cta_group::1.32x128b.warpx4 [taddr], sdesc;`
/// Runs on: one thread. Completes: asynchronously, before later MMAs of this thread read the
/// columns; `commit` tells. Not ordered after earlier MMAs that read the same columns.
///
/// # Safety
/// `sdesc` describes a written scale atom that stays as it is until the copy is complete; the four
/// columns are allocated, and no unfinished MMA reads them.
#[inline(always)]
pub unsafe fn tcgen05_cp_32x128b_warpx4(taddr: TmemAddr, sdesc: Sm100SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tcgen05.cp.cta_group::1.32x128b.warpx4 [{0}], {1};",
            in(reg32) taddr.0, in(reg64) sdesc.bits()
        );
    }
}

/// Loads 8 columns of the warp's 32 lanes: lane `t` gets row `t`, register `i` column `i`.
///
/// PTX: `tcgen05.ld.sync.aligned.32x32b.x8.b32 {d0, …, d7}, [taddr];`
/// Runs on: a warp, converged; `taddr` in the warp's own lanes, 32·(warp % 4) and up. Completes:
/// asynchronously; the values must pass through [`tcgen05_wait_ld`] before any use.
///
/// # Safety
/// The columns are allocated and written, and the write is known to be complete.
#[inline(always)]
pub unsafe fn tcgen05_ld_32x32b_x8(taddr: TmemAddr) -> [f32; 8] {
    let mut d = [0f32; 8];
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tcgen05.ld.sync.aligned.32x32b.x8.b32 {{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}}}, [{8}];",
            out(reg32) d[0], out(reg32) d[1], out(reg32) d[2], out(reg32) d[3],
            out(reg32) d[4], out(reg32) d[5], out(reg32) d[6], out(reg32) d[7],
            in(reg32) taddr.0
        );
    }
    d
}

/// Waits until every earlier `tcgen05.ld` of this thread has filled its registers.
///
/// The values travel through the instruction's operands, so that the compiler cannot use (or even
/// copy) a register before it holds its value. They appear in a PTX comment, for Rust wants every
/// operand named in the template.
///
/// PTX: `tcgen05.wait::ld.sync.aligned;`
/// Runs on: a warp, converged. Completes: when the registers are filled.
///
/// # Safety
/// `a` and `b` come from `tcgen05.ld`s of this warp and have not been used since.
#[inline(always)]
pub unsafe fn tcgen05_wait_ld(a: &mut [f32; 8], b: &mut [f32; 8]) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tcgen05.wait::ld.sync.aligned; // {0} {1} {2} {3} {4} {5} {6} {7} {8} {9} {10} {11} {12} {13} {14} {15}",
            inout(reg32) a[0], inout(reg32) a[1], inout(reg32) a[2], inout(reg32) a[3],
            inout(reg32) a[4], inout(reg32) a[5], inout(reg32) a[6], inout(reg32) a[7],
            inout(reg32) b[0], inout(reg32) b[1], inout(reg32) b[2], inout(reg32) b[3],
            inout(reg32) b[4], inout(reg32) b[5], inout(reg32) b[6], inout(reg32) b[7],
        );
    }
}

/// Orders this thread's earlier tcgen05 work before whatever follows the next barrier.
///
/// PTX: `tcgen05.fence::before_thread_sync;`
/// Runs on: the thread (or warp) whose tcgen05 work others will rely on. Completes: at once.
///
/// # Safety
/// None beyond the work itself; `unsafe` because order matters to callers.
#[inline(always)]
pub unsafe fn tcgen05_fence_before_thread_sync() {
    // SAFETY: a fence.
    unsafe { asm!("tcgen05.fence::before_thread_sync;") };
}

/// Orders this thread's later tcgen05 work after the barrier it has just passed.
///
/// PTX: `tcgen05.fence::after_thread_sync;`
/// Runs on: the thread (or warp) that relies on others' tcgen05 work. Completes: at once.
///
/// # Safety
/// None beyond the work itself; `unsafe` because order matters to callers.
#[inline(always)]
pub unsafe fn tcgen05_fence_after_thread_sync() {
    // SAFETY: a fence.
    unsafe { asm!("tcgen05.fence::after_thread_sync;") };
}
