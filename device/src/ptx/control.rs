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

/// Waits until the kernels that this one was launched after, with leave to start early, have ended
/// and what they wrote is visible. Without such leave, nothing.
///
/// PTX: `griddepcontrol.wait;`
/// Runs on: any thread. Completes: when they have ended.
///
/// # Safety
/// None; `unsafe` because order matters to callers.
#[inline(always)]
pub unsafe fn griddepcontrol_wait() {
    // SAFETY: waits.
    unsafe { asm!("griddepcontrol.wait;") };
}

/// Lets kernels that have leave to start before this one's end do so, once all CTAs have said it or
/// ended.
///
/// PTX: `griddepcontrol.launch_dependents;`
/// Runs on: any thread. Completes: at once.
///
/// # Safety
/// Dependents wait with [`griddepcontrol_wait`] before they touch what this kernel touches.
#[inline(always)]
pub unsafe fn griddepcontrol_launch_dependents() {
    // SAFETY: the caller's.
    unsafe { asm!("griddepcontrol.launch_dependents;") };
}

/// Gives registers back: the warp keeps `COUNT` a thread.
///
/// PTX: `setmaxnreg.dec.sync.aligned.u32 count;`
/// Runs on: all four warps of a warpgroup, converged. Completes: at once.
///
/// # Safety
/// The whole warpgroup reaches it, has at least `COUNT` registers, and the kernel declares its
/// threads.
#[inline(always)]
pub unsafe fn setmaxnreg_dec<const COUNT: u32>() {
    // SAFETY: the caller's.
    unsafe { asm!("setmaxnreg.dec.sync.aligned.u32 {0};", const COUNT) };
}

/// Takes registers: the warp has `COUNT` a thread.
///
/// PTX: `setmaxnreg.inc.sync.aligned.u32 count;`
/// Runs on: all four warps of a warpgroup, converged. Completes: when others have given enough back.
///
/// # Safety
/// The whole warpgroup reaches it, has at most `COUNT` registers, and the kernel declares its
/// threads.
#[inline(always)]
pub unsafe fn setmaxnreg_inc<const COUNT: u32>() {
    // SAFETY: the caller's.
    unsafe { asm!("setmaxnreg.inc.sync.aligned.u32 {0};", const COUNT) };
}

/// A copy that the compiler takes for an unknown value.
///
/// PTX: `mov.b32 d, a;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn opaque_b32(a: u32) -> u32 {
    let d: u32;
    // SAFETY: a move between registers.
    unsafe { asm!("mov.b32 {0}, {1};", out(reg32) d, in(reg32) a, options(nomem, nostack)) };
    d
}
