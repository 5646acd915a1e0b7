//! Clusters of CTAs: who am I, waiting for each other, reading each other's shared memory.

use core::arch::asm;

use super::SharedAddr;

/// This CTA's rank in its cluster.
///
/// PTX: `mov.u32 d, %cluster_ctarank;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn cluster_ctarank() -> u32 {
    let d: u32;
    // SAFETY: reads a special register.
    unsafe { asm!("mov.u32 {0}, %cluster_ctarank;", out(reg32) d, options(pure, nomem, nostack)) };
    d
}

/// CTAs in the cluster; 1 without one.
///
/// PTX: `mov.u32 d, %cluster_nctarank;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn cluster_nctarank() -> u32 {
    let d: u32;
    // SAFETY: reads a special register.
    unsafe { asm!("mov.u32 {0}, %cluster_nctarank;", out(reg32) d, options(pure, nomem, nostack)) };
    d
}

/// The address, in the cluster's shared window, that `addr` has in CTA `rank`.
///
/// PTX: `mapa.shared::cluster.u32 d, addr, rank;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn mapa(addr: SharedAddr, rank: u32) -> SharedAddr {
    let d: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "mapa.shared::cluster.u32 {0}, {1}, {2};",
            out(reg32) d, in(reg32) addr.0, in(reg32) rank, options(pure, nomem, nostack)
        );
    }
    SharedAddr(d)
}

/// Arrives at the cluster's barrier; what this thread wrote before is visible after the wait.
///
/// PTX: `barrier.cluster.arrive.release.aligned;`
/// Runs on: every thread of every CTA of the cluster, warps converged. Completes: at once.
///
/// # Safety
/// Every thread reaches it, and then [`barrier_cluster_wait`], the same number of times.
#[inline(always)]
pub unsafe fn barrier_cluster_arrive() {
    // SAFETY: the caller's.
    unsafe { asm!("barrier.cluster.arrive.release.aligned;") };
}

/// Waits until every thread of the cluster has arrived.
///
/// PTX: `barrier.cluster.wait.acquire.aligned;`
/// Runs on: every thread that has arrived, warps converged. Completes: when all have.
///
/// # Safety
/// The thread has arrived.
#[inline(always)]
pub unsafe fn barrier_cluster_wait() {
    // SAFETY: the caller's.
    unsafe { asm!("barrier.cluster.wait.acquire.aligned;") };
}

/// Loads two floats of shared memory of a CTA of the cluster.
///
/// PTX: `ld.shared::cluster.v2.f32 {d0, d1}, [addr];`
/// Runs on: any thread. Completes: when a register is used.
///
/// # Safety
/// `addr` comes from [`mapa`] and is a multiple of 8; the 8 bytes are written, and that CTA has not
/// ended.
#[inline(always)]
pub unsafe fn ld_shared_cluster_v2_f32(addr: SharedAddr) -> [f32; 2] {
    let mut d = [0f32; 2];
    let [d0, d1] = &mut d;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "ld.shared::cluster.v2.f32 {{{0}, {1}}}, [{2}];",
            out(reg32) *d0, out(reg32) *d1, in(reg32) addr.0
        );
    }
    d
}
