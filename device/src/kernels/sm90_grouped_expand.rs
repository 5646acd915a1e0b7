//! NVFP4 activations of all groups to f16, row-major: what the sm_90 grouped GEMM takes.
//!
//! ```text
//! Contract  a table of groups, and the offsets of experts if there are: tile/group_schedule.rs, with one
//!           tile of columns; the maps' address is that of A: e2m1, two a byte, [L, M, K];
//!           the tokens' scales: ue4m3, 128×4 blocked, every expert's at a block of its own
//!           C: every product of element, scale and 2⁻⁷, exactly, as f16, [L, M, K]
//! Grid      x: any number of CTAs; each walks the tiles of 8 rows `cta`, `cta + CTAs`, …
//! Block     a warp for each row; a lane takes 16 elements at a time
//! ```

use crate::decode::{expand_scale, expand_word};
use crate::pipeline::group_walk::{Found, Groups, Walk};
use crate::ptx::control::{griddepcontrol_launch_dependents, griddepcontrol_wait};
use crate::ptx::memory::{ld_global_nc_b32, ld_global_nc_v2_b32, st_global_v4_b32};
use crate::ptx::sreg::tid_x;
use crate::tile::geometry::SCALE_ATOM_BYTES;
use crate::tile::group_schedule as schedule;
use crate::tile::scale_layout::atoms_along_k;
use crate::tile::sm90_grouped::EXPAND_ROWS;

/// Elements of a lane at a time: a block of one scale.
const BLOCK: u32 = 16;

/// Expands A of every group.
///
/// # Safety
/// See the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn nvfp4_grouped_gemm_sm90_expand(
    table: u64,
    offsets: u64,
    count: u32,
) {
    let (warp, lane) = (tid_x() / 32, tid_x() % 32);
    // SAFETY: the launch's; the walk's warps are converged.
    unsafe {
        griddepcontrol_launch_dependents();
        griddepcontrol_wait();
    }
    let groups = Groups { table, offsets, count };
    let mut walk = Walk::<EXPAND_ROWS, { u32::MAX }>::start(groups, false);
    while let Some(found) = walk.next() {
        let Found { record, tile, rows, first_row, scale_block, .. } = found;
        let row = tile.row + warp;
        if row >= rows {
            continue;
        }
        let k = record.word(schedule::K);
        let element = (first_row as u64 + tile.batch as u64 * rows as u64 + row as u64) * k as u64;
        let a = record.address(schedule::MAPS) + element / 2;
        let to = record.address(schedule::C) + 2 * element;
        let atom = (scale_block + row / 128) as u64 * atoms_along_k(k) as u64;
        let scales = record.address(schedule::TOKEN_SCALES)
            + atom * SCALE_ATOM_BYTES as u64
            + (row % 32 * 16 + row % 128 / 32 * (SCALE_ATOM_BYTES / 128)) as u64;
        let mut at = BLOCK * lane;
        while at < k {
            // Several blocks at a time: their loads wait for memory together.
            // SAFETY: inside the tensors; the elements are this thread's alone.
            unsafe {
                let b0 = load(a, scales, at, k);
                let b1 = load(a, scales, at + PIECE, k);
                let b2 = load(a, scales, at + 2 * PIECE, k);
                let b3 = load(a, scales, at + 3 * PIECE, k);
                store(to, at, k, b0);
                store(to, at + PIECE, k, b1);
                store(to, at + 2 * PIECE, k, b2);
                store(to, at + 3 * PIECE, k, b3);
            }
            at += 4 * PIECE;
        }
    }
}

/// Elements of a warp at a time.
const PIECE: u32 = 32 * BLOCK;

/// A block's words and its scale's code; nothing beyond K.
#[inline(always)]
unsafe fn load(a: u64, scales: u64, at: u32, k: u32) -> ([u32; 2], u32) {
    if at >= k {
        return ([0; 2], 0);
    }
    // SAFETY: the caller's.
    unsafe {
        let four = ld_global_nc_b32(scales + (at / 64 * SCALE_ATOM_BYTES) as u64);
        (ld_global_nc_v2_b32(a + (at / 2) as u64), four >> (at % 64 / BLOCK * 8) & 0x7f)
    }
}

/// Stores a block's elements, times their scale.
#[inline(always)]
unsafe fn store(to: u64, at: u32, k: u32, ([low, high], code): ([u32; 2], u32)) {
    if at >= k {
        return;
    }
    let (to, scale) = (to + 2 * at as u64, expand_scale(code));
    // SAFETY: the caller's.
    unsafe {
        st_global_v4_b32(to, expand_word(low, scale));
        st_global_v4_b32(to + 16, expand_word(high, scale));
    }
}
