//! Lays A out for the sm_90 dual GEMM: 16-bit, in the order and with the swizzle that its token tiles
//! have in shared memory, so that each tile is one contiguous copy.
//!
//! ```text
//! Contract  A [L, M, K]: e2m1 with scales (128×4 blocked), or 16-bit
//!           tiles [L, ⌈M/tokens⌉, ⌈K/256⌉] of tokens · 512 bytes: written whole; rows beyond M repeat
//!           the last one, elements beyond K are 0
//! Grid      x: stages of 256 along K, y: tiles along M, z: batches
//! Block     8 threads a token: each has 8 elements for each lane of a consumer's quad
//! ```
//!
//! It waits for the kernel before it, lets the dual GEMM start at once (which has weights to load
//! that do not depend on this), and the dual GEMM waits for it before it touches the tiles.

use crate::decode::{Half, decode, decode_scale, permute};
use crate::ptx::control::{griddepcontrol_launch_dependents, griddepcontrol_wait};
use crate::ptx::memory::{ld_global_nc_b32, ld_global_nc_v4_b32, st_global_v4_b32};
use crate::ptx::sreg::{ctaid_x, ctaid_y, ctaid_z, nctaid_x, nctaid_y, tid_x};
use crate::tile::geometry::SCALE_ATOM_BYTES;
use crate::tile::scale_layout::atom_offset;
use crate::tile::sm90::{STAGE_K, SUBTILE_K};

/// Where a thread's elements are: 8 for each lane of a consumer's quad, 64 apart along K.
struct Piece {
    token: u32,
    group: u32,
}

/// Loads and decodes 8 elements; zeros beyond K.
#[inline(always)]
unsafe fn pairs<const A16: bool>(a: u64, scales: u64, at: u32, k: u32) -> [u32; 4] {
    if at >= k {
        return [0; 4];
    }
    // SAFETY: inside A and its scales.
    unsafe {
        if A16 {
            return permute(ld_global_nc_v4_b32(a + 2 * at as u64));
        }
        let scales = ld_global_nc_b32(scales + (at / 64 * SCALE_ATOM_BYTES) as u64);
        let word = ld_global_nc_b32(a + at as u64 / 2);
        decode(Half::F16, word, decode_scale(Half::F16, scales >> (at % 64 / 16 * 8)))
    }
}

/// A thread's piece of a tile.
#[inline(always)]
unsafe fn expand<const A16: bool>(a: u64, sfa: u64, tiles: u64, m: u32, k: u32, tokens: u32) {
    let (k_tile, tile, batch) = (ctaid_x(), ctaid_y(), ctaid_z());
    let to = tiles
        + ((batch as u64 * nctaid_y() as u64 + tile as u64) * nctaid_x() as u64 + k_tile as u64)
            * (tokens * STAGE_K * 2) as u64;
    let piece = Piece { token: tid_x() / 8, group: tid_x() % 8 };
    let row = tile * tokens + piece.token;
    let row = if row < m { row } else { m - 1 };
    let element = (batch as u64 * m as u64 + row as u64) * k as u64;
    let a = if A16 { a + 2 * element } else { a + element / 2 };
    let scales = sfa
        + atom_offset(m, k, batch, row / 128 * 128, 0)
        + (row % 32 * 16 + row % 128 / 32 * 4) as u64;
    let at = k_tile * STAGE_K + 8 * piece.group;
    // SAFETY: inside the tensors; the pieces are this thread's alone.
    unsafe {
        let p0 = pairs::<A16>(a, scales, at, k);
        let p1 = pairs::<A16>(a, scales, at + 64, k);
        let p2 = pairs::<A16>(a, scales, at + 128, k);
        let p3 = pairs::<A16>(a, scales, at + 192, k);
        // A group is 64 bytes of the token's row: two groups a swizzled row, four pieces each.
        let subtile = piece.group / 2 * (tokens * SUBTILE_K * 2) + piece.token * 128;
        let swizzled =
            |i: u32| to + (subtile + ((piece.group % 2 * 4 + i) ^ (piece.token % 8)) * 16) as u64;
        st_global_v4_b32(swizzled(0), [p0[0], p1[0], p2[0], p3[0]]);
        st_global_v4_b32(swizzled(1), [p0[1], p1[1], p2[1], p3[1]]);
        st_global_v4_b32(swizzled(2), [p0[2], p1[2], p2[2], p3[2]]);
        st_global_v4_b32(swizzled(3), [p0[3], p1[3], p2[3], p3[3]]);
    }
}

/// Expands A into token tiles.
///
/// # Safety
/// See the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn nvfp4_dual_gemm_sm90_expand_tokens(
    a: u64,
    sfa: u64,
    tiles: u64,
    m: u32,
    k: u32,
    tokens: u32,
    flags: u32,
) {
    // SAFETY: the caller's.
    unsafe {
        griddepcontrol_wait();
        griddepcontrol_launch_dependents();
        if flags & super::SM90_FLAG_A16 != 0 {
            expand::<true>(a, sfa, tiles, m, k, tokens);
        } else {
            expand::<false>(a, sfa, tiles, m, k, tokens);
        }
    }
}
