//! NVFP4 activations to f16, row-major: what the sm_90 dual GEMM takes, through a tensor map.
//!
//! ```text
//! Contract  A [L, M, K]: e2m1, two a byte; its scales: ue4m3, 128×4 blocked
//!           expanded [L, M, K]: every product of element, scale and 2⁻⁷, exactly, as f16
//! Grid      x: rows, y: pieces of 2048 elements along K, z: batches
//! Block     a thread for each 16 elements
//! ```
//!
//! It waits for the kernel before it, lets the dual GEMM start at once (which has weights to load
//! that do not depend on this), and the dual GEMM waits for it before it touches the result.

use crate::decode::{expand_scale, expand_word};
use crate::ptx::control::{griddepcontrol_launch_dependents, griddepcontrol_wait};
use crate::ptx::memory::{
    ld_global_nc_b32, ld_global_nc_v2_b32, prefetch_global_l2, st_global_v4_b32,
};
use crate::ptx::sreg::{ctaid_x, ctaid_y, ctaid_z, tid_x};
use crate::tile::geometry::SCALE_ATOM_BYTES;
use crate::tile::scale_layout::atom_offset;
use crate::tile::sm90::EXPAND_K;

/// Expands A.
///
/// # Safety
/// See the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn nvfp4_dual_gemm_sm90_expand(
    a: u64,
    sfa: u64,
    expanded: u64,
    m: u32,
    k: u32,
) {
    let (row, batch) = (ctaid_x(), ctaid_z());
    let at = ctaid_y() * EXPAND_K + 16 * tid_x();
    let element = (batch as u64 * m as u64 + row as u64) * k as u64 + at as u64;
    let scales = sfa
        + atom_offset(m, k, batch, row / 128 * 128, at / 64)
        + (row % 32 * 16 + row % 128 / 32 * (SCALE_ATOM_BYTES / 128)) as u64;
    // SAFETY: inside the tensors; the elements are this thread's alone.
    unsafe {
        griddepcontrol_launch_dependents();
        if at < k {
            // A hint, not a read: what is written later is what will be read.
            prefetch_global_l2(a + element / 2);
            prefetch_global_l2(scales);
        }
        griddepcontrol_wait();
        if at >= k {
            return;
        }
        let scale = expand_scale(ld_global_nc_b32(scales) >> (at % 64 / 16 * 8) & 0x7f);
        let [low, high] = ld_global_nc_v2_b32(a + element / 2);
        st_global_v4_b32(expanded + 2 * element, expand_word(low, scale));
        st_global_v4_b32(expanded + 2 * element + 16, expand_word(high, scale));
    }
}
