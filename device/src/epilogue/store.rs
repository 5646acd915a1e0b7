//! Registers → f16 or bf16 → global memory.

use crate::kernels::Output;
use crate::ptx::math::{cvt_rn_bf16x2_f32, cvt_rn_f16x2_f32};
use crate::ptx::memory::st_global_v4_b32;
#[cfg(device_arch = "sm_90a")]
use crate::ptx::memory::{st_global_b32, st_global_v2_b32};

/// Two neighbouring columns as one word, the left one in the low half.
#[inline(always)]
fn pack(output: Output, left: f32, right: f32) -> u32 {
    match output {
        Output::F16 => cvt_rn_f16x2_f32(right, left),
        Output::Bf16 => cvt_rn_bf16x2_f32(right, left),
    }
}

/// Converts 8 neighbouring columns and stores them.
///
/// # Safety
/// `address` is a multiple of 16 in global memory and 16 bytes may be written there.
#[inline(always)]
pub unsafe fn store_8(output: Output, address: u64, c: [f32; 8]) {
    let words = [
        pack(output, c[0], c[1]),
        pack(output, c[2], c[3]),
        pack(output, c[4], c[5]),
        pack(output, c[6], c[7]),
    ];
    // SAFETY: the caller's.
    unsafe { st_global_v4_b32(address, words) };
}

/// Converts 2 neighbouring columns and stores them.
///
/// # Safety
/// `address` is a multiple of 4 in global memory and 4 bytes may be written there.
#[cfg(device_arch = "sm_90a")]
#[inline(always)]
pub unsafe fn store_2(output: Output, address: u64, c: [f32; 2]) {
    // SAFETY: the caller's.
    unsafe { st_global_b32(address, pack(output, c[0], c[1])) };
}

/// Stores 2 neighbouring columns in f32.
///
/// # Safety
/// `address` is a multiple of 8 in global memory and 8 bytes may be written there.
#[cfg(device_arch = "sm_90a")]
#[inline(always)]
pub unsafe fn store_2_f32(address: u64, c: [f32; 2]) {
    // SAFETY: the caller's.
    unsafe { st_global_v2_b32(address, c.map(f32::to_bits)) };
}
