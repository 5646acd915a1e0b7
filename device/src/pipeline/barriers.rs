//! Waiting on an mbarrier.

use crate::ptx::SharedAddr;
use crate::ptx::mbarrier::mbarrier_try_wait_parity;

/// Waits until the phase of parity `parity` has ended.
///
/// # Safety
/// `bar` holds an mbarrier whose phase will end.
#[inline(always)]
pub unsafe fn wait(bar: SharedAddr, parity: u32) {
    // SAFETY: the caller's.
    while !unsafe { mbarrier_try_wait_parity(bar, parity) } {}
}
