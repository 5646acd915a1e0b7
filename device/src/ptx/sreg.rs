//! Special registers, `elect.sync` and the base of dynamic shared memory.

use core::arch::{asm, global_asm};

use super::SharedAddr;

// The launch sets the size. The symbol promises ptxas less alignment than it states, so kernels
// round up themselves.
global_asm!(".extern .shared .align 1024 .b8 dyn_smem[];");

/// Thread index in the CTA, x.
///
/// PTX: `mov.u32 d, %tid.x;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn tid_x() -> u32 {
    let d: u32;
    // SAFETY: reads a special register.
    unsafe { asm!("mov.u32 {0}, %tid.x;", out(reg32) d, options(pure, nomem, nostack)) };
    d
}

/// CTA index in the grid, x.
///
/// PTX: `mov.u32 d, %ctaid.x;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn ctaid_x() -> u32 {
    let d: u32;
    // SAFETY: reads a special register.
    unsafe { asm!("mov.u32 {0}, %ctaid.x;", out(reg32) d, options(pure, nomem, nostack)) };
    d
}

/// CTA index in the grid, y.
///
/// PTX: `mov.u32 d, %ctaid.y;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn ctaid_y() -> u32 {
    let d: u32;
    // SAFETY: reads a special register.
    unsafe { asm!("mov.u32 {0}, %ctaid.y;", out(reg32) d, options(pure, nomem, nostack)) };
    d
}

/// CTA index in the grid, z.
///
/// PTX: `mov.u32 d, %ctaid.z;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn ctaid_z() -> u32 {
    let d: u32;
    // SAFETY: reads a special register.
    unsafe { asm!("mov.u32 {0}, %ctaid.z;", out(reg32) d, options(pure, nomem, nostack)) };
    d
}

/// CTAs in the grid, x.
///
/// PTX: `mov.u32 d, %nctaid.x;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn nctaid_x() -> u32 {
    let d: u32;
    // SAFETY: reads a special register.
    unsafe { asm!("mov.u32 {0}, %nctaid.x;", out(reg32) d, options(pure, nomem, nostack)) };
    d
}

/// First byte of dynamic shared memory, as a shared-window address.
///
/// PTX: `mov.u32 d, dyn_smem;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn dyn_smem() -> SharedAddr {
    let d: u32;
    // SAFETY: takes an address, touches nothing.
    unsafe { asm!("mov.u32 {0}, dyn_smem;", out(reg32) d, options(pure, nomem, nostack)) };
    SharedAddr(d)
}

/// The value that lane `lane` holds, in every lane of the warp.
///
/// Broadcasting a value that is the same in all lanes anyway tells ptxas that it is uniform, which
/// lets branches on it stay scalar.
///
/// PTX: `shfl.sync.idx.b32 d, a, lane, 31, -1;`
/// Runs on: all 32 lanes of a warp, converged. Completes: at once.
#[inline(always)]
pub fn shfl_sync_idx(value: u32, lane: u32) -> u32 {
    let d: u32;
    // SAFETY: exchanges registers only. Not `pure`: it must not move out of converged code.
    unsafe {
        asm!("shfl.sync.idx.b32 {0}, {1}, {2}, 31, -1;", out(reg32) d, in(reg32) value, in(reg32) lane);
    }
    d
}

/// True in exactly one lane of the warp.
///
/// ptxas knows that a branch on it holds one thread, which it cannot prove of `tid == 0`.
///
/// PTX: `elect.sync _|p, 0xffffffff;`
/// Runs on: all 32 lanes of a warp, converged. Completes: at once.
#[inline(always)]
pub fn elect_sync() -> bool {
    let d: u32;
    // SAFETY: computes a predicate. Not `pure`: it must not move out of converged code.
    unsafe {
        asm!(
            "{{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.b32 {0}, 1, 0, p; }}",
            out(reg32) d
        );
    }
    d != 0
}

/// The value of the lane `delta` below; in the first `delta` lanes their own.
///
/// PTX: `shfl.sync.up.b32 d, a, delta, 0, -1;`
/// Runs on: all 32 lanes of a warp, converged. Completes: at once.
#[inline(always)]
pub fn shfl_sync_up(value: u32, delta: u32) -> u32 {
    let d: u32;
    // SAFETY: exchanges registers only. Not `pure`: it must not move out of converged code.
    unsafe {
        asm!("shfl.sync.up.b32 {0}, {1}, {2}, 0, -1;", out(reg32) d, in(reg32) value, in(reg32) delta);
    }
    d
}

/// The value of the lane whose number differs in the bits `mask`.
///
/// PTX: `shfl.sync.bfly.b32 d, a, mask, 31, -1;`
/// Runs on: all 32 lanes of a warp, converged. Completes: at once.
#[inline(always)]
pub fn shfl_sync_bfly(value: u32, mask: u32) -> u32 {
    let d: u32;
    // SAFETY: exchanges registers only. Not `pure`: it must not move out of converged code.
    unsafe {
        asm!("shfl.sync.bfly.b32 {0}, {1}, {2}, 31, -1;", out(reg32) d, in(reg32) value, in(reg32) mask);
    }
    d
}

/// A bit for each lane of the warp: whether `holds` is true there.
///
/// PTX: `vote.sync.ballot.b32 d, p, -1;`
/// Runs on: all 32 lanes of a warp, converged. Completes: at once.
#[inline(always)]
pub fn vote_sync_ballot(holds: bool) -> u32 {
    let d: u32;
    // SAFETY: exchanges predicates only. Not `pure`: it must not move out of converged code.
    unsafe {
        asm!(
            "{{ .reg .pred p; setp.ne.b32 p, {1}, 0; vote.sync.ballot.b32 {0}, p, -1; }}",
            out(reg32) d, in(reg32) holds as u32
        );
    }
    d
}
