//! NVFP4 to 16-bit floats in registers, exactly.
//!
//! An e2m1 value times its ue4m3 scale has at most 6 significant bits and lies between 2⁻¹⁰ and
//! 2688: times 2⁻⁷, f16 and bf16 hold every such product, subnormals included. The factor comes back
//! in the epilogue, where it is a power of two.
//!
//! Decoding permutes K: a word of 8 elements becomes the pairs (0, 4), (1, 5), (2, 6), (3, 7). A sum
//! over K does not care, as long as both operands are permuted alike.

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
/// Where exponent and mantissa of a ue4m3 go in f16: the value is then ue4m3 · 2⁻⁸.
const F16_SCALES: u32 = 0x3f80_3f80;
/// 2¹⁵ twice, in f16.
const F16_2_15: u32 = 0x7800_7800;
/// Where exponent and mantissa of an e2m1 go in bf16: the value is then e2m1 · 2⁻¹²⁶.
const BF16_MAGNITUDES: u32 = 0x01c0_01c0;
/// Where exponent and mantissa of a ue4m3 go in bf16: the value is then ue4m3 · 2⁻¹²⁰.
const BF16_SCALES: u32 = 0x07f0_07f0;
/// 2¹²⁰ twice, in bf16.
const BF16_2_120: u32 = 0x7b80_7b80;
/// 2¹¹⁹ twice, in bf16.
const BF16_2_119: u32 = 0x7b00_7b00;

/// One block's scale, the low byte of `byte`, twice in a word, ready for [`decode`].
#[inline(always)]
pub fn decode_scale(half: Half, byte: u32) -> u32 {
    let byte = byte & 0x7f;
    let two = byte | byte << 16;
    match half {
        Half::F16 => mul_rn_f16x2(two << 7, F16_2_15),
        Half::Bf16 => mul_rn_bf16x2(mul_rn_bf16x2(two << 4, BF16_2_120), BF16_2_119),
    }
}

/// The scales of 2 neighbouring blocks, the low bytes of `two`, each twice in a word, ready for
/// [`decode`].
#[inline(always)]
pub fn decode_scales(half: Half, two: u32) -> [u32; 2] {
    let scales = match half {
        Half::F16 => {
            let bits = (two << 7) & (F16_SCALES & 0xffff) | (two << 15) & (F16_SCALES & !0xffff);
            mul_rn_f16x2(bits, F16_2_15)
        }
        Half::Bf16 => {
            let bits = (two << 4) & (BF16_SCALES & 0xffff) | (two << 12) & (BF16_SCALES & !0xffff);
            mul_rn_bf16x2(mul_rn_bf16x2(bits, BF16_2_120), BF16_2_119)
        }
    };
    [scales & 0xffff | scales << 16, scales >> 16 | scales & !0xffff]
}

/// Eight elements of one block as four pairs, times their scale and 2⁻⁷.
#[inline(always)]
pub fn decode(half: Half, eight: u32, scale: u32) -> [u32; 4] {
    let w = eight;
    match half {
        Half::F16 => {
            // An e2m1 fits the upper byte of an f16. Signs and magnitudes meet in all four bytes of
            // a word at once; what else is in the bytes goes when they are spread.
            let odd = lop3_b32::<SELECT>(BYTE_SIGNS, w, w >> 3);
            let even = lop3_b32::<SELECT>(BYTE_SIGNS, w << 4, w << 1);
            let scaled = |bits: u32| mul_rn_f16x2(bits & (SIGNS | F16_MAGNITUDES), scale);
            [scaled(even << 8), scaled(odd << 8), scaled(even), scaled(odd)]
        }
        Half::Bf16 => {
            let scaled = |signs: u32, magnitudes: u32| {
                mul_rn_bf16x2(signs & SIGNS | magnitudes & BF16_MAGNITUDES, scale)
            };
            [
                scaled(w << 12, w << 6),
                scaled(w << 8, w << 2),
                scaled(w << 4, w >> 2),
                scaled(w, w >> 6),
            ]
        }
    }
}

/// Eight 16-bit elements in the order of [`decode`].
#[inline(always)]
pub fn permute(eight: [u32; 4]) -> [u32; 4] {
    let [w01, w23, w45, w67] = eight;
    [
        w01 & 0xffff | w45 << 16,
        w01 >> 16 | w45 & 0xffff_0000,
        w23 & 0xffff | w67 << 16,
        w23 >> 16 | w67 & 0xffff_0000,
    ]
}

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
