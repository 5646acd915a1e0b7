//! Arithmetic whose rounding the source must fix: every function here is defined to the last bit.

use core::arch::asm;

/// `a·b + c` with one rounding.
///
/// PTX: `fma.rn.f32 d, a, b, c;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn fma_rn_f32(a: f32, b: f32, c: f32) -> f32 {
    let d: f32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "fma.rn.f32 {0}, {1}, {2}, {3};",
            out(reg32) d, in(reg32) a, in(reg32) b, in(reg32) c,
            options(pure, nomem, nostack)
        );
    }
    d
}

/// `1/a`, correctly rounded.
///
/// PTX: `rcp.rn.f32 d, a;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn rcp_rn_f32(a: f32) -> f32 {
    let d: f32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("rcp.rn.f32 {0}, {1};", out(reg32) d, in(reg32) a, options(pure, nomem, nostack));
    }
    d
}

/// The smaller of two; the other one where one is NaN.
///
/// PTX: `min.f32 d, a, b;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn min_f32(a: f32, b: f32) -> f32 {
    let d: f32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "min.f32 {0}, {1}, {2};",
            out(reg32) d, in(reg32) a, in(reg32) b, options(pure, nomem, nostack)
        );
    }
    d
}

/// The larger of two; the other one where one is NaN.
///
/// PTX: `max.f32 d, a, b;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn max_f32(a: f32, b: f32) -> f32 {
    let d: f32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "max.f32 {0}, {1}, {2};",
            out(reg32) d, in(reg32) a, in(reg32) b, options(pure, nomem, nostack)
        );
    }
    d
}

/// Two f32 to two f16, round to nearest even: `high` in bits 31:16, `low` in bits 15:0.
///
/// PTX: `cvt.rn.f16x2.f32 d, high, low;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn cvt_rn_f16x2_f32(high: f32, low: f32) -> u32 {
    let d: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "cvt.rn.f16x2.f32 {0}, {1}, {2};",
            out(reg32) d, in(reg32) high, in(reg32) low, options(pure, nomem, nostack)
        );
    }
    d
}

/// Two f32 to two bf16, round to nearest even: `high` in bits 31:16, `low` in bits 15:0.
///
/// PTX: `cvt.rn.bf16x2.f32 d, high, low;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn cvt_rn_bf16x2_f32(high: f32, low: f32) -> u32 {
    let d: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "cvt.rn.bf16x2.f32 {0}, {1}, {2};",
            out(reg32) d, in(reg32) high, in(reg32) low, options(pure, nomem, nostack)
        );
    }
    d
}

/// Two products of two f16 each, each rounded to nearest even; subnormals are kept.
///
/// PTX: `mul.rn.f16x2 d, a, b;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn mul_rn_f16x2(a: u32, b: u32) -> u32 {
    let d: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "mul.rn.f16x2 {0}, {1}, {2};",
            out(reg32) d, in(reg32) a, in(reg32) b, options(pure, nomem, nostack)
        );
    }
    d
}

/// Two products of two bf16 each, each rounded to nearest even; subnormals are kept.
///
/// PTX: `mul.rn.bf16x2 d, a, b;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn mul_rn_bf16x2(a: u32, b: u32) -> u32 {
    let d: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "mul.rn.bf16x2 {0}, {1}, {2};",
            out(reg32) d, in(reg32) a, in(reg32) b, options(pure, nomem, nostack)
        );
    }
    d
}

/// Any function of three bits, on every bit: `LUT` has its value for a, b, c = 0, 1, 2, … 7 as abc.
///
/// Written as an instruction where the compiler's own idea of masks takes more of them.
///
/// PTX: `lop3.b32 d, a, b, c, lut;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn lop3_b32<const LUT: u32>(a: u32, b: u32, c: u32) -> u32 {
    let d: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!(
            "lop3.b32 {0}, {1}, {2}, {3}, {4};",
            out(reg32) d, in(reg32) a, in(reg32) b, in(reg32) c, const LUT,
            options(pure, nomem, nostack)
        );
    }
    d
}

/// About `1/a`, to within one unit in the last place; subnormals count as 0.
///
/// PTX: `rcp.approx.ftz.f32 d, a;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn rcp_approx_ftz_f32(a: f32) -> f32 {
    let d: f32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("rcp.approx.ftz.f32 {0}, {1};", out(reg32) d, in(reg32) a, options(pure, nomem, nostack));
    }
    d
}

/// The two halves of a word, the low one first.
///
/// PTX: `mov.b32 {d0, d1}, a;`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn unpack_b32(a: u32) -> [u16; 2] {
    let (d0, d1): (u16, u16);
    // SAFETY: a move between registers.
    unsafe {
        asm!(
            "mov.b32 {{{0}, {1}}}, {2};",
            out(reg16) d0, out(reg16) d1, in(reg32) a, options(pure, nomem, nostack)
        );
    }
    [d0, d1]
}

/// A word of two halves, the low one first. Where both are the same half of a word that a packed
/// multiplication uses, the assembler makes it part of that instruction.
///
/// PTX: `mov.b32 d, {a, b};`
/// Runs on: any thread. Completes: at once.
#[inline(always)]
pub fn pack_b32(a: u16, b: u16) -> u32 {
    let d: u32;
    // SAFETY: a move between registers.
    unsafe {
        asm!(
            "mov.b32 {0}, {{{1}, {2}}};",
            out(reg32) d, in(reg16) a, in(reg16) b, options(pure, nomem, nostack)
        );
    }
    d
}
