//! C = silu(gate) ⊙ up, element by element: the second pass after two plain products, for comparing
//! the fused kernels with.
//!
//! ```text
//! Contract  segments, 32 bytes each: addresses of gate, up (f32) and C, number of elements
//!           elements a multiple of 8, addresses multiples of 32 (of 16 for C)
//!           with offsets of experts: one segment, of which the rows are taken that have an owner
//! Grid      x: any number of CTAs, y: segments
//! ```
//!
//! The same on sm_100 and on sm_90, where every kernel may start before the one before it has ended.

use crate::epilogue::silu_mul::silu_mul_8;
use crate::epilogue::store::store_8;
use crate::kernels::Output;
#[cfg(device_arch = "sm_90a")]
use crate::ptx::control::{griddepcontrol_launch_dependents, griddepcontrol_wait};
use crate::ptx::memory::{ld_global_nc_b32, ld_global_nc_v2_b32, ld_global_nc_v4_b32};
use crate::ptx::sreg::{ctaid_x, ctaid_y, nctaid_x, tid_x};
use crate::tile::group_schedule::{
    FLAG_BF16, SEGMENT_BYTES, SILU_MUL_ELEMENTS, SILU_MUL_THREADS, group_end,
};

/// Eight neighbouring values.
///
/// # Safety
/// `address` is a multiple of 16; 32 bytes may be read there and do not change.
#[inline(always)]
unsafe fn load_8(address: u64) -> [f32; 8] {
    // SAFETY: the caller's.
    let (low, high) = unsafe { (ld_global_nc_v4_b32(address), ld_global_nc_v4_b32(address + 16)) };
    [low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]].map(f32::from_bits)
}

/// `C = silu(gate) ⊙ up` on every segment.
///
/// # Safety
/// See the head of the file.
#[inline(always)]
unsafe fn run(segments: u64, offsets: u64, experts: u32, rows: u32, columns: u32, flags: u32) {
    let segment = segments + (ctaid_y() * SEGMENT_BYTES) as u64;
    // SAFETY: the host has written the segments, and there is one more offset than experts.
    let word = |at: u64| unsafe {
        let [low, high] = ld_global_nc_v2_b32(segment + at);
        low as u64 | (high as u64) << 32
    };
    let (gate, up, c, elements) = (word(0), word(8), word(16), word(24));
    let (mut from, mut to) = (0, elements);
    if offsets != 0 {
        // SAFETY: as above.
        let offset = |i: u32| unsafe { ld_global_nc_b32(offsets + 4 * i as u64) };
        let first = group_end(offset(0), 0, rows);
        let mut last = first;
        for i in 0..experts {
            last = group_end(offset(i + 1), last, rows);
        }
        (from, to) = (first as u64 * columns as u64, last as u64 * columns as u64);
    }
    let thread = ctaid_x() as u64 * SILU_MUL_THREADS as u64 + tid_x() as u64;
    let step = nctaid_x() as u64 * SILU_MUL_THREADS as u64 * SILU_MUL_ELEMENTS as u64;
    let mut at = from + thread * SILU_MUL_ELEMENTS as u64;
    while at < to {
        // SAFETY: 8 elements from `at` on are inside the segment, as all bounds are multiples of 8.
        unsafe {
            let values = silu_mul_8(load_8(gate + 4 * at), load_8(up + 4 * at), 1.0, 1.0);
            let output = if flags & FLAG_BF16 != 0 { Output::Bf16 } else { Output::F16 };
            store_8(output, c + 2 * at, values);
        }
        at += step;
    }
}

/// The entry point on sm_100.
///
/// # Safety
/// See the head of the file.
#[cfg(not(device_arch = "sm_90a"))]
#[cfg_attr(target_feature = "compute_100", nvvm_internal::kernel)]
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn nvfp4_silu_mul_sm100(
    segments: u64,
    offsets: u64,
    experts: u32,
    rows: u32,
    columns: u32,
    flags: u32,
) {
    // SAFETY: the caller's.
    unsafe { run(segments, offsets, experts, rows, columns, flags) };
}

/// The entry point on sm_90.
///
/// # Safety
/// See the head of the file.
#[cfg(device_arch = "sm_90a")]
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn nvfp4_silu_mul_sm90(
    segments: u64,
    offsets: u64,
    experts: u32,
    rows: u32,
    columns: u32,
    flags: u32,
) {
    // SAFETY: the caller's; the products are the work of the kernels before.
    unsafe {
        griddepcontrol_launch_dependents();
        griddepcontrol_wait();
        run(segments, offsets, experts, rows, columns, flags);
    }
}
