//! Puts the weights into the order of [`packed_sm90`](crate::tile::packed_sm90), once, before the sm_90
//! dual GEMM may run.
//!
//! ```text
//! Contract  B1 and B2 [L, N, K]: e2m1, K-major, two a byte; or, `halved`, the first rows of B1 and the
//!           rest of them, as tile/group_schedule.rs cuts them
//!           SFB1, SFB2: ue4m3, one per 16 along K, 128×4 blocked, batches one after another
//!           packed: written whole
//! Grid      x: stages along K, y: chunks of 32 rows, z: batches
//! Block     one warp for each 16 rows × 64 elements
//! ```

use crate::ptx::memory::{
    ld_global_nc_b32, ld_global_nc_v4_b32, st_global_v2_b32, st_global_v4_b32,
};
use crate::ptx::sreg::{ctaid_x, ctaid_y, ctaid_z, tid_x};
use crate::tile::group_schedule::first_half;
use crate::tile::packed_sm90::{
    CHUNK_ROWS, CODES_OF_B2, PIECE_ROWS, PIECES, QUARTER_K, QUARTERS, SCALES_OF_B2, STAGE_K,
    chunk_offset, codes_at, scales_at,
};
use crate::tile::scale_layout::atom_offset;

/// Where one weight lies.
struct Source {
    codes: u64,
    scales: u64,
    n: u32,
    k: u32,
    batch: u32,
}

/// 64 elements of a row, 8 a word, and the codes of their 4 scales. Zeros outside.
struct Row {
    words: [u32; 8],
    scales: u32,
}

impl Source {
    #[inline(always)]
    unsafe fn row(&self, row: u32, at: u32) -> Row {
        let Source { codes, scales, n, k, batch } = *self;
        if row >= n || at >= k {
            return Row { words: [0; 8], scales: 0 };
        }
        let from = codes + ((batch as u64 * n as u64 + row as u64) * k as u64 + at as u64) / 2;
        let atom = atom_offset(n, k, batch, row / 128 * 128, at / QUARTER_K);
        let scale = scales + atom + (row % 32 * 16 + row % 128 / 32 * 4) as u64;
        // SAFETY: inside the tensors.
        let (low, four) = unsafe { (ld_global_nc_v4_b32(from), ld_global_nc_b32(scale)) };
        // K is a multiple of 32: a second half may be missing, and then its scales may be anything.
        let whole = at + QUARTER_K <= k;
        // SAFETY: inside the tensor.
        let high = if whole { unsafe { ld_global_nc_v4_b32(from + 16) } } else { [0; 4] };
        let words = [low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]];
        Row { words, scales: if whole { four } else { four & 0xffff } & 0x7f7f_7f7f }
    }
}

/// A scale's code in the packed encoding.
#[inline(always)]
fn scale(code: u32) -> u32 {
    let (exponent, mantissa) = (code >> 3, code & 7);
    match (exponent, mantissa) {
        (_, 7) if exponent == 15 => 0xff,
        (0, 0) => 0,
        (0, 1) => 13 << 3,
        (0, 2..=3) => 14 << 3 | (mantissa & 1) << 2,
        (0, _) => 15 << 3 | (mantissa & 3) << 1,
        _ => (exponent + 15) << 3 | mantissa,
    }
}

/// Two neighbouring elements, a byte, as they lie in both halves of a word, at the first position of the
/// upper row.
#[inline(always)]
fn first(byte: u32) -> u32 {
    let place = |code: u32| (code & 8) << 12 | (code & 7) << 9;
    place(byte & 15) | place(byte >> 4) << 16
}

/// The same at the second position.
#[inline(always)]
fn second(byte: u32) -> u32 {
    let place = |code: u32| (code & 8) << 5 | (code & 7) << 12;
    place(byte & 15) | place(byte >> 4) << 16
}

/// One step's word of a lane, from both rows' 16 elements.
#[inline(always)]
fn word(upper: [u32; 2], lower: [u32; 2], t: u32) -> u32 {
    let byte = |word: u32| word >> (8 * t) & 0xff;
    let (u, l) = (upper.map(byte), lower.map(byte));
    first(u[0]) | second(u[1]) | first(l[0]) >> 8 | second(l[1]) >> 8
}

/// A row's words without the magnitudes of blocks whose scale is zero.
#[inline(always)]
fn without_zeros(row: &Row) -> [u32; 8] {
    let mask = |i: u32| if row.scales >> (8 * i) & 0x7f == 0 { 0 } else { !0u32 };
    let [m0, m1, m2, m3] = [mask(0), mask(1), mask(2), mask(3)];
    let w = row.words;
    [w[0] & m0, w[1] & m0, w[2] & m1, w[3] & m1, w[4] & m2, w[5] & m2, w[6] & m3, w[7] & m3]
}

/// Packs the weights.
///
/// # Safety
/// See the head of the file.
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn nvfp4_dual_gemm_sm90_pack_weights(
    b1: u64,
    b2: u64,
    sfb1: u64,
    sfb2: u64,
    packed: u64,
    n: u32,
    k: u32,
    halved: u32,
) {
    let (stage, chunk, batch) = (ctaid_x(), ctaid_y(), ctaid_z());
    let (warp, lane) = (tid_x() / 32, tid_x() % 32);
    let (quarter, piece) = (warp % QUARTERS, warp / QUARTERS % PIECES);
    let of_b2 = warp / (QUARTERS * PIECES);
    let (g, t) = (lane / 4, lane % 4);
    let (codes, scales) = if of_b2 == 1 && halved == 0 { (b2, sfb2) } else { (b1, sfb1) };
    let (packed_rows, first_row) = match halved {
        0 => (n, 0),
        _ => (first_half(n), of_b2 * first_half(n)),
    };
    let source = Source { codes, scales, n, k, batch };
    let (row, at) = (
        first_row + chunk * CHUNK_ROWS + piece * PIECE_ROWS + g,
        stage * STAGE_K + quarter * QUARTER_K,
    );
    // SAFETY: inside the tensors, and this thread's own part of the packed weights.
    unsafe {
        let (upper, lower) = (source.row(row, at), source.row(row + 8, at));
        let (u, l) = (without_zeros(&upper), without_zeros(&lower));
        let words = [
            word([u[0], u[1]], [l[0], l[1]], t),
            word([u[2], u[3]], [l[2], l[3]], t),
            word([u[4], u[5]], [l[4], l[5]], t),
            word([u[6], u[7]], [l[6], l[7]], t),
        ];
        let to = packed + chunk_offset(packed_rows, k, batch, chunk, stage);
        let codes = codes_at(piece, quarter) + of_b2 * CODES_OF_B2 + lane * 16;
        st_global_v4_b32(to + codes as u64, words);
        if t == 0 {
            let pair = |i: u32| {
                let of = |row: &Row| scale(row.scales >> (8 * i) & 0x7f);
                of(&upper) | of(&lower) << 16
            };
            let scales = scales_at(piece, quarter) + of_b2 * SCALES_OF_B2 + g * 8;
            let words = [pair(0) | pair(1) << 8, pair(2) | pair(3) << 8];
            st_global_v2_b32(to + scales as u64, words);
        }
    }
}
