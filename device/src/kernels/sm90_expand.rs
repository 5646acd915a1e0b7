//! NVFP4 activations to f16, row-major: what the sm_90 dual GEMM takes, through a tensor map.
//!
//! ```text
//! Contract  A [L, M, K]: e2m1, two a byte; its scales: ue4m3, 128×4 blocked
//!           expanded [L, M, K]: every product of element, scale and 2⁻⁷, exactly, as f16
//! Grid      x: CTAs that take turns at the rows, y: pieces of 2048 elements along K, z: batches
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
use crate::ptx::sreg::{ctaid_x, ctaid_y, ctaid_z, nctaid_x, tid_x};
use crate::tile::geometry::SCALE_ATOM_BYTES;
use crate::tile::scale_layout::atom_offset;
use crate::tile::sm90::EXPAND_K;

/// A thread's 16 elements of a row.
struct Block {
    words: [u32; 2],
    code: u32,
}

/// Where a thread's elements of one batch lie.
struct Columns {
    a: u64,
    scales: u64,
    expanded: u64,
    m: u32,
    k: u32,
    at: u32,
}

impl Columns {
    #[inline(always)]
    fn element(&self, row: u32) -> u64 {
        row as u64 * self.k as u64 + self.at as u64
    }

    /// Loads a row's block; nothing beyond the last row.
    #[inline(always)]
    unsafe fn load(&self, row: u32) -> Block {
        if row >= self.m {
            return Block { words: [0; 2], code: 0 };
        }
        let scales = self.scales
            + atom_offset(self.m, self.k, 0, row / 128 * 128, self.at / 64)
            + (row % 32 * 16 + row % 128 / 32 * (SCALE_ATOM_BYTES / 128)) as u64;
        // SAFETY: inside the tensors.
        unsafe {
            let code = ld_global_nc_b32(scales) >> (self.at % 64 / 16 * 8) & 0x7f;
            Block { words: ld_global_nc_v2_b32(self.a + self.element(row) / 2), code }
        }
    }

    /// Stores a row's block, if the row exists.
    #[inline(always)]
    unsafe fn store(&self, row: u32, Block { words: [low, high], code }: Block) {
        if row >= self.m {
            return;
        }
        let (to, scale) = (self.expanded + 2 * self.element(row), expand_scale(code));
        // SAFETY: inside the tensor; the elements are this thread's alone.
        unsafe {
            st_global_v4_b32(to, expand_word(low, scale));
            st_global_v4_b32(to + 16, expand_word(high, scale));
        }
    }
}

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
    let (first, step, batch) = (ctaid_x(), nctaid_x(), ctaid_z());
    let at = ctaid_y() * EXPAND_K + 16 * tid_x();
    let elements = batch as u64 * m as u64 * k as u64;
    let columns = Columns {
        a: a + elements / 2,
        scales: sfa + atom_offset(m, k, batch, 0, 0),
        expanded: expanded + 2 * elements,
        m,
        k,
        at,
    };
    // SAFETY: inside the tensors; the elements are this thread's alone.
    unsafe {
        griddepcontrol_launch_dependents();
        if at < k {
            // A hint, not a read: what is written later is what will be read.
            prefetch_global_l2(columns.a + columns.element(first) / 2);
        }
        griddepcontrol_wait();
        if at >= k {
            return;
        }
        let mut row = first;
        while row < m {
            // Several rows at a time: their loads wait for memory together.
            let b0 = columns.load(row);
            let b1 = columns.load(row + step);
            let b2 = columns.load(row + 2 * step);
            let b3 = columns.load(row + 3 * step);
            columns.store(row, b0);
            columns.store(row + step, b1);
            columns.store(row + 2 * step, b2);
            columns.store(row + 3 * step, b3);
            row += 4 * step;
        }
    }
}
