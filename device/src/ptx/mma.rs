//! `mma.sync`: a warp's MMA, all operands in registers, and the loads that fill them.
//!
//! Fragments of a 16 × 8 × 16 MMA, of lane `l` (`g = l / 4`, `t = l % 4`): A's registers 0 and 2 have
//! row `g`, 1 and 3 row `g + 8`; registers 0 and 1 hold K positions `2t, 2t + 1`, registers 2 and 3
//! positions `2t + 8, 2t + 9`. B's two registers have column `g` and the same K positions. D's
//! registers hold columns `2t` and `2t + 1` of row `g`, then of row `g + 8`.

use core::arch::asm;

use super::SharedAddr;

/// A·B + C for 16 × 8 × 16, f16 operands, f32 accumulators.
///
/// PTX: `mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {d0, d1, d2, d3}, {a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3};`
/// Runs on: all 32 lanes of a warp, converged. Completes: when a register is used.
///
/// # Safety
/// The whole warp reaches it.
#[inline(always)]
pub unsafe fn mma_m16n8k16_f16(a: [u32; 4], b: [u32; 2], c: [f32; 4]) -> [f32; 4] {
    let mut d = [0f32; 4];
    let [d0, d1, d2, d3] = &mut d;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {{{0}, {1}, {2}, {3}}}, {{{4}, {5}, {6}, {7}}}, {{{8}, {9}}}, {{{10}, {11}, {12}, {13}}};",
            out(reg32) *d0, out(reg32) *d1, out(reg32) *d2, out(reg32) *d3,
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg32) b[0], in(reg32) b[1],
            in(reg32) c[0], in(reg32) c[1], in(reg32) c[2], in(reg32) c[3],
            options(nomem, nostack)
        );
    }
    d
}

/// A·B + C for 16 × 8 × 16, bf16 operands, f32 accumulators.
///
/// PTX: `mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {d0, d1, d2, d3}, {a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3};`
/// Runs on: all 32 lanes of a warp, converged. Completes: when a register is used.
///
/// # Safety
/// The whole warp reaches it.
#[inline(always)]
pub unsafe fn mma_m16n8k16_bf16(a: [u32; 4], b: [u32; 2], c: [f32; 4]) -> [f32; 4] {
    let mut d = [0f32; 4];
    let [d0, d1, d2, d3] = &mut d;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {{{0}, {1}, {2}, {3}}}, {{{4}, {5}, {6}, {7}}}, {{{8}, {9}}}, {{{10}, {11}, {12}, {13}}};",
            out(reg32) *d0, out(reg32) *d1, out(reg32) *d2, out(reg32) *d3,
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg32) b[0], in(reg32) b[1],
            in(reg32) c[0], in(reg32) c[1], in(reg32) c[2], in(reg32) c[3],
            options(nomem, nostack)
        );
    }
    d
}

/// Loads four 8 × 8 matrices of 16-bit elements; lane `l` gives the address of row `l % 8` of matrix
/// `l / 8` and gets elements `2t, 2t + 1` of row `g` of each.
///
/// PTX: `ldmatrix.sync.aligned.m8n8.x4.shared.b16 {d0, d1, d2, d3}, [addr];`
/// Runs on: all 32 lanes of a warp, converged. Completes: when a register is used.
///
/// # Safety
/// The whole warp reaches it; every `addr` is a multiple of 16, and its 16 bytes lie inside the CTA's
/// shared memory and are written.
#[inline(always)]
pub unsafe fn ldmatrix_x4(addr: SharedAddr) -> [u32; 4] {
    let mut d = [0u32; 4];
    let [d0, d1, d2, d3] = &mut d;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{{0}, {1}, {2}, {3}}}, [{4}];",
            out(reg32) *d0, out(reg32) *d1, out(reg32) *d2, out(reg32) *d3, in(reg32) addr.0
        );
    }
    d
}
