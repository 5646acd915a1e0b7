//! The conversions of `cvt` by name.

use super::format::{BF16, E2M1, E2M3, E3M2, E4M3, E5M2, F16, TF32, power_of_two};
use super::{CANONICAL_NAN_F32, Rounding};

/// f32 → e2m1 code in the low four bits, saturating; NaN → +6.
#[inline]
pub fn f32_to_e2m1(x: f32, mode: Rounding) -> u8 {
    E2M1.encode(f64::from(x), mode, true) as u8
}

/// f32 → e2m3 code in the low six bits, saturating; NaN → +7.5.
#[inline]
pub fn f32_to_e2m3(x: f32, mode: Rounding) -> u8 {
    E2M3.encode(f64::from(x), mode, true) as u8
}

/// f32 → e3m2 code in the low six bits, saturating; NaN → +28.
#[inline]
pub fn f32_to_e3m2(x: f32, mode: Rounding) -> u8 {
    E3M2.encode(f64::from(x), mode, true) as u8
}

/// f32 → e4m3, saturating to ±448; NaN → 0x7F.
#[inline]
pub fn f32_to_e4m3(x: f32, mode: Rounding) -> u8 {
    E4M3.encode(f64::from(x), mode, true) as u8
}

/// f32 → e5m2, saturating to ±57344; NaN → 0x7F.
#[inline]
pub fn f32_to_e5m2(x: f32, mode: Rounding) -> u8 {
    E5M2.encode(f64::from(x), mode, true) as u8
}

/// f32 → ue8m0: the exponent of |x|, rounded up for `.rp` and down otherwise; NaN → 0xFF.
///
/// The format has no zero and no sign: magnitudes up to 2⁻¹²⁷ become code 0. Beyond 2¹²⁷ the result
/// is 0xFE (`.satfinite`).
#[inline]
pub fn f32_to_ue8m0(x: f32, mode: Rounding) -> u8 {
    if x.is_nan() {
        return 0xFF;
    }
    let bits = x.to_bits() & 0x7FFF_FFFF;
    let exponent = bits >> 23;
    let fraction = bits & 0x7F_FFFF;
    // Subnormals lie below 2^-126; those above 2^-127 = 0x400000 units round up to code 1.
    let above = if exponent == 0 { fraction > 0x40_0000 } else { fraction != 0 };
    (exponent + u32::from(mode == Rounding::Rp && above)).min(0xFE) as u8
}

/// f32 → f16. Overflow goes to infinity where the rounding mode says so; NaN → 0x7FFF.
#[inline]
pub fn f32_to_f16(x: f32, mode: Rounding) -> u16 {
    F16.encode(f64::from(x), mode, false) as u16
}

/// f32 → f16 with `.satfinite`: overflow and infinity → ±65504.
#[inline]
pub fn f32_to_f16_satfinite(x: f32, mode: Rounding) -> u16 {
    F16.encode(f64::from(x), mode, true) as u16
}

/// f64 → f16, rounded once.
#[inline]
pub fn f64_to_f16(x: f64, mode: Rounding) -> u16 {
    F16.encode(x, mode, false) as u16
}

/// f32 → bf16. NaN → 0x7FFF.
#[inline]
pub fn f32_to_bf16(x: f32, mode: Rounding) -> u16 {
    let bits = x.to_bits();
    if mode == Rounding::Rn && !x.is_nan() {
        // Adding just under half a unit, plus the lowest kept bit, rounds to nearest even; a carry
        // out of the largest finite number is infinity, as it should be.
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) as u16;
    }
    BF16.encode(f64::from(x), mode, false) as u16
}

/// f32 → bf16 with `.satfinite`.
#[inline]
pub fn f32_to_bf16_satfinite(x: f32, mode: Rounding) -> u16 {
    BF16.encode(f64::from(x), mode, true) as u16
}

/// f64 → bf16, rounded once.
#[inline]
pub fn f64_to_bf16(x: f64, mode: Rounding) -> u16 {
    BF16.encode(x, mode, false) as u16
}

/// f32 → tf32, as f32 bits whose low 13 are zero; NaN → 0x7FFFE000.
#[inline]
pub fn f32_to_tf32(x: f32, mode: Rounding) -> u32 {
    tf32_bits(x, mode, false)
}

/// f32 → tf32 with `.satfinite`.
#[inline]
pub fn f32_to_tf32_satfinite(x: f32, mode: Rounding) -> u32 {
    tf32_bits(x, mode, true)
}

fn tf32_bits(x: f32, mode: Rounding, satfinite: bool) -> u32 {
    if x.is_nan() {
        return CANONICAL_NAN_F32 & !0x1FFF;
    }
    TF32.encode(f64::from(x), mode, satfinite) << 13
}

/// The value of an e2m1 code (low four bits).
#[inline]
pub fn e2m1_to_f32(code: u8) -> f32 {
    const VALUES: [f32; 16] =
        [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
    VALUES[usize::from(code & 0xF)]
}

/// The value of an e2m3 code (low six bits).
#[inline]
pub fn e2m3_to_f32(code: u8) -> f32 {
    E2M3.decode(u32::from(code & 0x3F)) as f32
}

/// The value of an e3m2 code (low six bits).
#[inline]
pub fn e3m2_to_f32(code: u8) -> f32 {
    E3M2.decode(u32::from(code & 0x3F)) as f32
}

/// The value of an e4m3 byte.
#[inline]
pub fn e4m3_to_f32(code: u8) -> f32 {
    E4M3.decode(u32::from(code)) as f32
}

/// The value of a ue4m3 block scale: e4m3 whose sign bit is ignored.
#[inline]
pub fn ue4m3_to_f32(code: u8) -> f32 {
    E4M3.decode(u32::from(code & 0x7F)) as f32
}

/// The value of an e5m2 byte.
#[inline]
pub fn e5m2_to_f32(code: u8) -> f32 {
    E5M2.decode(u32::from(code)) as f32
}

/// The value of a ue8m0 byte: 2^(code − 127), or NaN for 0xFF.
#[inline]
pub fn ue8m0_to_f32(code: u8) -> f32 {
    if code == 0xFF { f32::NAN } else { power_of_two(i32::from(code) - 127) as f32 }
}

/// The value of f16 bits.
#[inline]
pub fn f16_to_f32(bits: u16) -> f32 {
    F16.decode(u32::from(bits)) as f32
}

/// The value of bf16 bits; a NaN keeps its bits.
#[inline]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// What a tf32 operand holds: f32 bits whose low 13 are ignored.
#[inline]
pub fn tf32_to_f32(bits: u32) -> f32 {
    f32::from_bits(bits & 0xFFFF_E000)
}

/// Replaces an f32 subnormal by a zero of its sign (`.ftz`).
#[inline]
pub fn flush_subnormal(x: f32) -> f32 {
    if x.to_bits() & 0x7F80_0000 == 0 { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

/// `.relu`: negative values and −0 become +0; NaN becomes the canonical NaN.
#[inline]
pub fn relu(x: f32) -> f32 {
    if x.is_nan() {
        f32::from_bits(CANONICAL_NAN_F32)
    } else if x.is_sign_negative() {
        0.0
    } else {
        x
    }
}
