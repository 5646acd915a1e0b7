//! Ending the kernel by force.

use core::arch::asm;

/// Stops the kernel with an error that the host sees.
///
/// PTX: `trap;`
/// Runs on: any thread. Completes: never returns.
#[inline(always)]
pub fn trap() -> ! {
    // SAFETY: ends the kernel.
    unsafe { asm!("trap;", options(noreturn)) }
}
