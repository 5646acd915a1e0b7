//! NVFP4 to 16-bit floats in registers, exactly.
//!
//! An e2m1 value times its ue4m3 scale has at most 6 significant bits and lies between 2⁻¹⁰ and
//! 2688: times 2⁻⁷, f16 and bf16 hold every such product, subnormals included. The factor comes back
//! in the epilogue, where it is a power of two.

use crate::ptx::math::{lop3_b32, mul_rn_bf16x2, mul_rn_f16x2, pack_b32, unpack_b32};

/// What a decoded value must be multiplied with.
pub const DECODED_UNIT: f32 = 128.0;

/// The 16-bit type that the tensor core multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
}

const SIGNS: u32 = 0x8000_8000;
const BYTE_SIGNS: u32 = 0x8080_8080;
/// For `lop3`: the bit of b where a has a 1, else that of c.
const SELECT: u32 = 0xca;
/// Where exponent and mantissa of an e2m1 go in f16: the value is then e2m1 · 2⁻¹⁴.
const F16_MAGNITUDES: u32 = 0x0e00_0e00;
/// 2¹⁵ twice, in f16.
const F16_2_15: u32 = 0x7800_7800;
/// Where exponent and mantissa of an e2m1 go in bf16: the value is then e2m1 · 2⁻¹²⁶.
const BF16_MAGNITUDES: u32 = 0x01c0_01c0;

/// Where a packed scale's bits go in f16: the value is then the scale · 2⁷.
const F16_PACKED_SCALES: u32 = 0x7f80_7f80;
/// Where a packed scale's bits go in bf16.
const BF16_PACKED_SCALES: u32 = 0x0ff0_0ff0;
/// The upper exponent bits that make it the scale · 2¹¹⁹; together with the packed NaN's they are NaN.
const BF16_SCALE_EXPONENT: u32 = 0x7000_7000;
/// For `lop3`: a with only the bits of b, and those of c.
const AND_OR: u32 = 0xea;
/// For `lop3`: a, and of b only the bits of c.
const OR_AND: u32 = 0xf8;

/// The scales of rows `g` and `g + 8`, as the low and high half of a word, in the first (`ODD` false) or
/// second step of a word of the [packed weights](crate::tile::packed_sm90).
#[inline(always)]
pub fn packed_scales<const ODD: bool>(half: Half, two_steps: u32) -> u32 {
    match half {
        Half::F16 => (if ODD { two_steps >> 1 } else { two_steps << 7 }) & F16_PACKED_SCALES,
        Half::Bf16 => lop3_b32::<AND_OR>(
            if ODD { two_steps >> 4 } else { two_steps << 4 },
            BF16_PACKED_SCALES,
            BF16_SCALE_EXPONENT,
        ),
    }
}

/// An A fragment from its word of the packed weights and from [`packed_scales`], times 2⁻⁷.
#[inline(always)]
pub fn packed_fragment(half: Half, w: u32, scales: u32) -> [u32; 4] {
    let [upper, lower] = unpack_b32(scales);
    let (upper, lower) = (pack_b32(upper, upper), pack_b32(lower, lower));
    match half {
        Half::F16 => {
            const FIRST: u32 = SIGNS | F16_MAGNITUDES;
            // Now the second positions lie as the first ones did.
            let second = lop3_b32::<SELECT>(BYTE_SIGNS, w << 7, w >> 3);
            [
                mul_rn_f16x2(w & FIRST, upper),
                mul_rn_f16x2((w << 8) & FIRST, lower),
                mul_rn_f16x2(second & FIRST, upper),
                mul_rn_f16x2((second << 8) & FIRST, lower),
            ]
        }
        Half::Bf16 => {
            let element = |signs: u32, magnitudes: u32| {
                lop3_b32::<OR_AND>(magnitudes & BF16_MAGNITUDES, signs, SIGNS)
            };
            [
                mul_rn_bf16x2(element(w, w >> 3), upper),
                mul_rn_bf16x2(element(w << 8, w << 5), lower),
                mul_rn_bf16x2(element(w << 7, w >> 6), upper),
                mul_rn_bf16x2(element(w << 15, w << 2), lower),
            ]
        }
    }
}

/// A ue4m3 scale as f16, twice in a word, times 2⁷; NaN for NaN.
#[inline(always)]
pub fn expand_scale(code: u32) -> u32 {
    // All ones would be 480.
    if code == 0x7f { 0x7e00_7e00 } else { mul_rn_f16x2((code | code << 16) << 7, F16_2_15) }
}

/// Eight e2m1 elements as four words of f16 in their order, times their scale and 2⁻¹⁴.
#[inline(always)]
pub fn expand_word(eight: u32, scale: u32) -> [u32; 4] {
    let pair = |i: u32| {
        let b = eight >> (8 * i);
        let (signs, magnitudes) = (b << 12 & 0x8000 | b << 24, b << 9 & 0x0e00 | b << 21);
        lop3_b32::<OR_AND>(magnitudes & F16_MAGNITUDES, signs, SIGNS)
    };
    [pair(0), pair(1), pair(2), pair(3)].map(|bits| mul_rn_f16x2(bits, scale))
}
