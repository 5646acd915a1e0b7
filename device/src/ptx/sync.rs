//! Barriers among threads, and fences between proxies.

use core::arch::asm;

/// Waits until every thread of the CTA is here.
///
/// PTX: `bar.sync 0;`
/// Runs on: every thread of the CTA, warps converged. Completes: when all have arrived; shared
/// memory written before it is then visible to all of them.
///
/// # Safety
/// Every thread of the CTA reaches it, the same number of times.
#[inline(always)]
pub unsafe fn bar_sync_all() {
    // SAFETY: the caller's.
    unsafe { asm!("bar.sync 0;") };
}

/// Waits until every lane of the warp is here.
///
/// PTX: `bar.warp.sync -1;`
/// Runs on: all 32 lanes of a warp. Completes: when all have arrived; memory written before it is
/// then visible to all of them.
///
/// # Safety
/// All 32 lanes reach it.
#[inline(always)]
pub unsafe fn bar_warp_sync() {
    // SAFETY: the caller's.
    unsafe { asm!("bar.warp.sync -1;") };
}

/// Makes this thread's `mbarrier.init`s visible to the async proxy and to the cluster.
///
/// PTX: `fence.mbarrier_init.release.cluster;`
/// Runs on: the thread that initialised the barriers. Completes: at once; others still need a
/// barrier after it.
///
/// # Safety
/// None beyond what the barriers themselves need; `unsafe` because order matters to callers.
#[inline(always)]
pub unsafe fn fence_mbarrier_init() {
    // SAFETY: a fence.
    unsafe { asm!("fence.mbarrier_init.release.cluster;") };
}

/// Orders this thread's earlier shared-memory accesses before later ones of the async proxy (TMA,
/// tensor core), its own or those of threads that synchronise with it.
///
/// PTX: `fence.proxy.async.shared::cta;`
/// Runs on: each thread whose accesses are meant. Completes: at once.
///
/// # Safety
/// None beyond the accesses themselves; `unsafe` because order matters to callers.
#[inline(always)]
pub unsafe fn fence_proxy_async_shared_cta() {
    // SAFETY: a fence.
    unsafe { asm!("fence.proxy.async.shared::cta;") };
}

/// Waits until `THREADS` threads of the CTA are at barrier `ID`.
///
/// PTX: `bar.sync id, threads;`
/// Runs on: `THREADS` threads, a multiple of 32, warps converged. Completes: when all have arrived;
/// shared memory written before it is then visible to all of them.
///
/// # Safety
/// The same threads reach it, the same number of times. `ID` is from 1 to 15.
#[inline(always)]
pub unsafe fn bar_sync<const ID: u32, const THREADS: u32>() {
    // SAFETY: the caller's.
    unsafe { asm!("bar.sync {0}, {1};", const ID, const THREADS) };
}
