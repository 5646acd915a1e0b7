//! Memory barriers in shared memory: phases, pending arrivals and transaction bytes.
//!
//! A phase ends when the pending arrivals and the outstanding bytes are both zero. On a fresh
//! barrier a wait for parity 1 succeeds at once and a wait for parity 0 waits for the first phase.

use core::arch::asm;

use super::SharedAddr;

/// Makes an mbarrier that expects `count` arrivals a phase.
///
/// PTX: `mbarrier.init.shared::cta.b64 [bar], count;`
/// Runs on: one thread. Completes: at once for this thread; others need
/// [`fence_mbarrier_init`](super::sync::fence_mbarrier_init) and a barrier.
///
/// # Safety
/// `bar` is a multiple of 8 inside the CTA's shared memory and holds no live mbarrier.
#[inline(always)]
pub unsafe fn mbarrier_init(bar: SharedAddr, count: u32) {
    // SAFETY: the caller's.
    unsafe {
        asm!("mbarrier.init.shared::cta.b64 [{0}], {1};", in(reg32) bar.0, in(reg32) count);
    }
}

/// Ends an mbarrier's life, so that its memory may be used for something else.
///
/// PTX: `mbarrier.inval.shared::cta.b64 [bar];`
/// Runs on: one thread. Completes: at once.
///
/// # Safety
/// `bar` holds an mbarrier that nothing will arrive on or wait for any more.
#[inline(always)]
pub unsafe fn mbarrier_inval(bar: SharedAddr) {
    // SAFETY: the caller's.
    unsafe { asm!("mbarrier.inval.shared::cta.b64 [{0}];", in(reg32) bar.0) };
}

/// Announces `bytes` that asynchronous copies will deliver in this phase, then arrives once.
///
/// PTX: `mbarrier.arrive.expect_tx.shared::cta.b64 _, [bar], bytes;`
/// Runs on: one thread. Completes: at once; the phase ends when the bytes are there.
///
/// # Safety
/// `bar` holds an mbarrier with an arrival pending for this thread.
#[inline(always)]
pub unsafe fn mbarrier_arrive_expect_tx(bar: SharedAddr, bytes: u32) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "mbarrier.arrive.expect_tx.shared::cta.b64 _, [{0}], {1};",
            in(reg32) bar.0, in(reg32) bytes
        );
    }
}

/// True once the phase of parity `parity` has ended; sleeps up to a time limit of the hardware's.
///
/// PTX: `mbarrier.try_wait.parity.shared::cta.b64 p, [bar], parity;`
/// Runs on: any thread. Completes: when it answers; after "true", writes made before the arrivals
/// and bytes delivered to the phase are visible (acquire, CTA scope).
///
/// # Safety
/// `bar` holds an mbarrier.
#[inline(always)]
pub unsafe fn mbarrier_try_wait_parity(bar: SharedAddr, parity: u32) -> bool {
    let d: u32;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "{{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [{1}], {2}; selp.b32 {0}, 1, 0, p; }}",
            out(reg32) d, in(reg32) bar.0, in(reg32) parity
        );
    }
    d != 0
}

/// Arrives once.
///
/// PTX: `mbarrier.arrive.shared::cta.b64 _, [bar];`
/// Runs on: one thread. Completes: at once; what this thread did before is visible to those who see
/// the phase end (release, CTA scope).
///
/// # Safety
/// `bar` holds an mbarrier with an arrival pending for this thread.
#[inline(always)]
pub unsafe fn mbarrier_arrive(bar: SharedAddr) {
    // SAFETY: the caller's.
    unsafe { asm!("mbarrier.arrive.shared::cta.b64 _, [{0}];", in(reg32) bar.0) };
}
