//! Loads and stores by the threads themselves (the generic proxy).

use core::arch::asm;

use super::SharedAddr;

/// Loads a word of shared memory.
///
/// PTX: `ld.shared.b32 d, [addr];`
/// Runs on: any thread. Completes: when the register is used.
///
/// # Safety
/// `addr` is a multiple of 4 inside the CTA's shared memory and holds a written word.
#[inline(always)]
pub unsafe fn ld_shared_b32(addr: SharedAddr) -> u32 {
    let d: u32;
    // SAFETY: the caller's.
    unsafe { asm!("ld.shared.b32 {0}, [{1}];", out(reg32) d, in(reg32) addr.0) };
    d
}

/// Loads four words of shared memory.
///
/// PTX: `ld.shared.v4.b32 {d0, d1, d2, d3}, [addr];`
/// Runs on: any thread. Completes: when a register is used.
///
/// # Safety
/// `addr` is a multiple of 16; the 16 bytes lie inside the CTA's shared memory and are written.
#[inline(always)]
pub unsafe fn ld_shared_v4_b32(addr: SharedAddr) -> [u32; 4] {
    let mut d = [0u32; 4];
    let [d0, d1, d2, d3] = &mut d;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "ld.shared.v4.b32 {{{0}, {1}, {2}, {3}}}, [{4}];",
            out(reg32) *d0, out(reg32) *d1, out(reg32) *d2, out(reg32) *d3, in(reg32) addr.0
        );
    }
    d
}

/// Stores four words to shared memory.
///
/// PTX: `st.shared.v4.b32 [addr], {v0, v1, v2, v3};`
/// Runs on: any thread. Completes: for this thread at once, for others after a barrier; for the
/// async proxy (TMA, tensor core) after `fence.proxy.async` as well.
///
/// # Safety
/// `addr` is a multiple of 16; the 16 bytes lie inside the CTA's shared memory and nobody else
/// accesses them meanwhile.
#[inline(always)]
pub unsafe fn st_shared_v4_b32(addr: SharedAddr, v: [u32; 4]) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "st.shared.v4.b32 [{0}], {{{1}, {2}, {3}, {4}}};",
            in(reg32) addr.0, in(reg32) v[0], in(reg32) v[1], in(reg32) v[2], in(reg32) v[3]
        );
    }
}

/// Stores four words to global memory.
///
/// PTX: `st.global.v4.b32 [addr], {v0, v1, v2, v3};`
/// Runs on: any thread. Completes: for other kernels when this one ends.
///
/// # Safety
/// `addr` is a multiple of 16 in global memory, its 16 bytes may be written, and nobody else
/// accesses them meanwhile.
#[inline(always)]
pub unsafe fn st_global_v4_b32(addr: u64, v: [u32; 4]) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "st.global.v4.b32 [{0}], {{{1}, {2}, {3}, {4}}};",
            in(reg64) addr, in(reg32) v[0], in(reg32) v[1], in(reg32) v[2], in(reg32) v[3]
        );
    }
}

/// Loads two words of shared memory.
///
/// PTX: `ld.shared.v2.b32 {d0, d1}, [addr];`
/// Runs on: any thread. Completes: when a register is used.
///
/// # Safety
/// `addr` is a multiple of 8; the 8 bytes lie inside the CTA's shared memory and are written.
#[inline(always)]
pub unsafe fn ld_shared_v2_b32(addr: SharedAddr) -> [u32; 2] {
    let mut d = [0u32; 2];
    let [d0, d1] = &mut d;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "ld.shared.v2.b32 {{{0}, {1}}}, [{2}];",
            out(reg32) *d0, out(reg32) *d1, in(reg32) addr.0
        );
    }
    d
}

/// Stores a float to shared memory.
///
/// PTX: `st.shared.f32 [addr], v;`
/// Runs on: any thread. Completes: for this thread at once, for others after a barrier.
///
/// # Safety
/// `addr` is a multiple of 4 inside the CTA's shared memory and nobody else accesses it meanwhile.
#[inline(always)]
pub unsafe fn st_shared_f32(addr: SharedAddr, v: f32) {
    // SAFETY: the caller's.
    unsafe { asm!("st.shared.f32 [{0}], {1};", in(reg32) addr.0, in(reg32) v) };
}

/// Loads a word of global memory that nobody writes while the kernel runs.
///
/// PTX: `ld.global.nc.b32 d, [addr];`
/// Runs on: any thread. Completes: when the register is used.
///
/// # Safety
/// `addr` is a multiple of 4 in global memory; its 4 bytes may be read and do not change.
#[inline(always)]
pub unsafe fn ld_global_nc_b32(addr: u64) -> u32 {
    let d: u32;
    // SAFETY: the caller's.
    unsafe { asm!("ld.global.nc.b32 {0}, [{1}];", out(reg32) d, in(reg64) addr) };
    d
}

/// Loads four words of global memory that nobody writes while the kernel runs.
///
/// PTX: `ld.global.nc.v4.b32 {d0, d1, d2, d3}, [addr];`
/// Runs on: any thread. Completes: when a register is used.
///
/// # Safety
/// `addr` is a multiple of 16 in global memory; its 16 bytes may be read and do not change.
#[inline(always)]
pub unsafe fn ld_global_nc_v4_b32(addr: u64) -> [u32; 4] {
    let mut d = [0u32; 4];
    let [d0, d1, d2, d3] = &mut d;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "ld.global.nc.v4.b32 {{{0}, {1}, {2}, {3}}}, [{4}];",
            out(reg32) *d0, out(reg32) *d1, out(reg32) *d2, out(reg32) *d3, in(reg64) addr
        );
    }
    d
}

/// Stores two words to global memory.
///
/// PTX: `st.global.v2.b32 [addr], {v0, v1};`
/// Runs on: any thread. Completes: for other kernels when this one ends.
///
/// # Safety
/// `addr` is a multiple of 8 in global memory, its 8 bytes may be written, and nobody else accesses
/// them meanwhile.
#[inline(always)]
pub unsafe fn st_global_v2_b32(addr: u64, v: [u32; 2]) {
    // SAFETY: the caller's.
    unsafe {
        asm!("st.global.v2.b32 [{0}], {{{1}, {2}}};", in(reg64) addr, in(reg32) v[0], in(reg32) v[1])
    };
}

/// Stores a word to global memory.
///
/// PTX: `st.global.b32 [addr], v;`
/// Runs on: any thread. Completes: for other kernels when this one ends.
///
/// # Safety
/// `addr` is a multiple of 4 in global memory, its 4 bytes may be written, and nobody else accesses
/// them meanwhile.
#[inline(always)]
pub unsafe fn st_global_b32(addr: u64, v: u32) {
    // SAFETY: the caller's.
    unsafe { asm!("st.global.b32 [{0}], {1};", in(reg64) addr, in(reg32) v) };
}

/// Loads two words of global memory that nobody writes while the kernel runs.
///
/// PTX: `ld.global.nc.v2.b32 {d0, d1}, [addr];`
/// Runs on: any thread. Completes: when a register is used.
///
/// # Safety
/// `addr` is a multiple of 8 in global memory; its 8 bytes may be read and do not change.
#[inline(always)]
pub unsafe fn ld_global_nc_v2_b32(addr: u64) -> [u32; 2] {
    let mut d = [0u32; 2];
    let [d0, d1] = &mut d;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "ld.global.nc.v2.b32 {{{0}, {1}}}, [{2}];",
            out(reg32) *d0, out(reg32) *d1, in(reg64) addr
        );
    }
    d
}

/// Brings the line at `addr` into L2, perhaps.
///
/// PTX: `prefetch.global.L2 [addr];`
/// Runs on: any thread. Completes: unobservably.
///
/// # Safety
/// `addr` lies in an allocation of global memory.
#[inline(always)]
pub unsafe fn prefetch_global_l2(addr: u64) {
    // SAFETY: the caller's.
    unsafe { asm!("prefetch.global.L2 [{0}];", in(reg64) addr) };
}

/// Loads a byte of global memory that nobody writes while the kernel runs.
///
/// PTX: `ld.global.nc.u8 d, [addr];`
/// Runs on: any thread. Completes: when the register is used.
///
/// # Safety
/// The byte may be read and does not change.
#[inline(always)]
pub unsafe fn ld_global_nc_u8(addr: u64) -> u32 {
    let d: u32;
    // SAFETY: the caller's.
    unsafe { asm!("ld.global.nc.u8 {0}, [{1}];", out(reg32) d, in(reg64) addr) };
    d
}

/// Loads two bytes of global memory that nobody writes while the kernel runs.
///
/// PTX: `ld.global.nc.u16 d, [addr];`
/// Runs on: any thread. Completes: when the register is used.
///
/// # Safety
/// `addr` is a multiple of 2 in global memory; its 2 bytes may be read and do not change.
#[inline(always)]
pub unsafe fn ld_global_nc_u16(addr: u64) -> u32 {
    let d: u32;
    // SAFETY: the caller's.
    unsafe { asm!("ld.global.nc.u16 {0}, [{1}];", out(reg32) d, in(reg64) addr) };
    d
}

/// Stores the lowest byte of a word to global memory.
///
/// PTX: `st.global.u8 [addr], v;`
/// Runs on: any thread. Completes: for other kernels when this one ends.
///
/// # Safety
/// The byte may be written, and nobody else accesses it meanwhile.
#[inline(always)]
pub unsafe fn st_global_u8(addr: u64, v: u32) {
    // SAFETY: the caller's.
    unsafe { asm!("st.global.u8 [{0}], {1};", in(reg64) addr, in(reg32) v) };
}

/// Stores the low half of a word to global memory.
///
/// PTX: `st.global.u16 [addr], v;`
/// Runs on: any thread. Completes: for other kernels when this one ends.
///
/// # Safety
/// `addr` is a multiple of 2 in global memory, its 2 bytes may be written, and nobody else accesses
/// them meanwhile.
#[inline(always)]
pub unsafe fn st_global_u16(addr: u64, v: u32) {
    // SAFETY: the caller's.
    unsafe { asm!("st.global.u16 [{0}], {1};", in(reg64) addr, in(reg32) v) };
}
