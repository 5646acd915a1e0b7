//! The bit-exact accumulation model of one block-scaled MMA, and the kernel's epilogue, written
//! from their descriptions and sharing no code with the emulator or the device crate.
//!
//! One MMA of K = 64 adds five terms per element: the accumulator, and for each 16 elements the
//! exact dot product times its two scales. All five are aligned to the largest exponent among them,
//! truncated toward zero 35 bits below it, summed exactly, and truncated toward zero to f32.

use half::{bf16, f16};

/// What the tensor core returns when a scale or the accumulator is NaN.
const CANONICAL_NAN: u32 = 0x7fff_ffff;

/// Bits kept below the largest exponent.
const ALIGNMENT_BITS: i32 = 35;

/// An e4m3 scale as an integer significand of 8ths and an exponent. The sign bit is not a sign:
/// the scale type is unsigned.
fn scale(byte: u8) -> Option<(i64, i32)> {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), i64::from(byte & 7));
    match (exponent, mantissa) {
        (15, 7) => None,
        (0, 0) => Some((0, -126)),
        (0, _) => Some((mantissa, -6)),
        _ => Some((8 + mantissa, exponent - 7)),
    }
}

/// `value · 2^shift`, truncated toward zero.
fn shifted(value: i64, shift: i32) -> i64 {
    match shift {
        0.. => value << shift,
        -62..=-1 => (value.unsigned_abs() >> -shift) as i64 * value.signum(),
        _ => 0,
    }
}

/// `value · 2^exponent` as f32, truncated toward zero; a zero is positive.
fn truncate(value: i64, exponent: i32) -> f32 {
    if value == 0 {
        return 0.0;
    }
    let magnitude = value.unsigned_abs();
    let top = 63 - magnitude.leading_zeros() as i32;
    // The weight of the last bit that f32 keeps: 23 below the top, but no less than 2⁻¹⁴⁹.
    let last = (top + exponent - 23).max(-149);
    let drop = last - exponent;
    let kept = if drop >= 0 { magnitude >> drop } else { magnitude << -drop };
    let result =
        if top + exponent > 127 { f64::from(f32::MAX) } else { kept as f64 * 2f64.powi(last) };
    (if value < 0 { -result } else { result }) as f32
}

/// One MMA for one element. `dots` are four times the four groups' dot products.
pub fn mma_step(c: f32, dots: [i64; 4], scales_a: [u8; 4], scales_b: [u8; 4]) -> f32 {
    let nan = f32::from_bits(CANONICAL_NAN);
    if c.is_nan() {
        return nan;
    }
    // Each term: an integer and the exponent of its unit, and the exponent that alignment looks at.
    let mut terms = [(0i64, 0i32, 0i32); 5];
    for group in 0..4 {
        let (Some((sig_a, exp_a)), Some((sig_b, exp_b))) =
            (scale(scales_a[group]), scale(scales_b[group]))
        else {
            return nan;
        };
        // A quarter from the dot product, an eighth from each significand.
        let exponent = exp_a + exp_b;
        terms[group] = (dots[group] * sig_a * sig_b, exponent - 8, exponent);
    }
    let bits = c.to_bits();
    let biased = (bits >> 23 & 0xff) as i32;
    let fraction = i64::from(bits & 0x7f_ffff);
    let (significand, exponent) =
        if biased == 0 { (fraction, -126) } else { (fraction | 0x80_0000, biased - 127) };
    let signed = if c.is_sign_negative() { -significand } else { significand };
    terms[4] = (signed, exponent - 23, exponent);

    let largest = terms.iter().map(|term| term.2).max().expect("there are five terms");
    let unit = largest - ALIGNMENT_BITS;
    let sum = terms.iter().map(|&(value, exponent, _)| shifted(value, exponent - unit)).sum();
    truncate(sum, unit)
}

/// Twice the value of an e2m1 code.
const TWICE: [i16; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The accumulator of one element after all of K, as MMAs of 64 in order leave it.
///
/// `a` and `b` are rows of twice the values (see [`twice_values`]), `scales_a` and `scales_b` their
/// scales, one per 16. A K that is an odd multiple of 32 is padded with zeros of scale zero.
pub fn accumulate(a: &[i16], b: &[i16], scales_a: &[u8], scales_b: &[u8]) -> f32 {
    let mut c = 0f32;
    for step in 0..a.len().div_ceil(64) {
        let mut dots = [0; 4];
        let mut sa = [0; 4];
        let mut sb = [0; 4];
        for group in 0..4 {
            let block = step * 4 + group;
            if block * 16 < a.len() {
                let range = block * 16..block * 16 + 16;
                let products = a[range.clone()].iter().zip(&b[range]);
                dots[group] =
                    products.map(|(&x, &y)| i32::from(x) * i32::from(y)).sum::<i32>().into();
                (sa[group], sb[group]) = (scales_a[block], scales_b[block]);
            }
        }
        c = mma_step(c, dots, sa, sb);
    }
    c
}

/// Unpacks a row of e2m1, the low nibble first, into twice its values.
pub fn twice_values(packed: &[u8]) -> Vec<i16> {
    packed
        .iter()
        .flat_map(|byte| [TWICE[(byte & 15) as usize], TWICE[(byte >> 4) as usize]])
        .collect()
}

/// 2ᵗ as the kernel computes it: the integer part by adding 1.5·2²³, the rest by a polynomial.
fn exp2(t: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let coefficients =
        [0x3aae_0473u32, 0x3c1e_8629, 0x3d63_5b72, 0x3e75_fc8c, 0x3f31_7214, 0x3f80_0001];
    let shifted = t + MAGIC;
    let fraction = t - (shifted - MAGIC);
    let p = coefficients
        .map(f32::from_bits)
        .into_iter()
        .reduce(|p, c| p.mul_add(fraction, c))
        .expect("there are six coefficients");
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// The epilogue: `silu(alpha1·gate) · (alpha2·up)` in the kernel's own operations.
pub fn silu_mul(gate: f32, up: f32, alpha1: f32, alpha2: f32) -> f32 {
    let x = alpha1 * gate;
    // Not `clamp`: min and max return the other operand for a NaN, as the PTX instructions do.
    #[expect(clippy::manual_clamp)]
    let t = (x * -std::f32::consts::LOG2_E).min(126.0).max(-125.0);
    let sigmoid = 1.0 / (1.0 + exp2(t));
    (x * sigmoid) * (alpha2 * up)
}

/// The bits that a value is stored as, in f16.
pub fn f16_bits(value: f32) -> u16 {
    f16::from_f32(value).to_bits()
}

/// The bits that a value is stored as, in bf16.
pub fn bf16_bits(value: f32) -> u16 {
    bf16::from_f32(value).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of ue4m3 for the scales used below.
    const ONE: u8 = 0x38;
    const TINY: u8 = 0x01; // 2⁻⁹
    const MIN_NORMAL: u8 = 0x08; // 2⁻⁶
    const LARGE: u8 = 0x78; // 256
    const MAX: u8 = 0x7e; // 448

    /// A group from a dot product in quarters and two scale bytes.
    fn step(c: f32, groups: [(f64, u8, u8); 4]) -> f32 {
        let dots = groups.map(|(dot, _, _)| (dot * 4.0) as i64);
        mma_step(c, dots, groups.map(|g| g.1), groups.map(|g| g.2))
    }

    #[test]
    fn worked_examples() {
        let none = (0.0, ONE, ONE);
        assert_eq!(step(16_777_216.0, [(1.5, ONE, ONE), none, none, none]), 16_777_216.0);
        let cancelling = [(-512.0, LARGE, LARGE), (1.0, MIN_NORMAL, MIN_NORMAL), none, none];
        assert_eq!(step(33_554_432.0, cancelling), 0.0);
        assert_eq!(step(0.0, [(0.25, TINY, TINY), (0.0, MAX, MAX), none, none]), 0.0);
        assert_eq!(step(0.0, [(0.25, TINY, TINY), none, none, none]), 2f32.powi(-20));
        let mixed = [(-0.25, ONE, ONE), (576.0, TINY, ONE), (0.0, 0, 0), (2.25, 0x30, 0x3e)];
        assert_eq!(step(1.0, mixed), 3.84375);
        assert_eq!(step(0.0, [(576.0, MAX, MAX); 4]), 462_422_016.0);
    }

    #[test]
    fn a_nan_scale_poisons_even_zeros() {
        let none = (0.0, ONE, ONE);
        let result = step(1.0, [(0.0, 0x7f, ONE), none, none, none]);
        assert_eq!(result.to_bits(), CANONICAL_NAN);
    }

    #[test]
    fn the_epilogue_is_close_to_the_true_silu() {
        for i in -2000..2000 {
            let x = i as f32 * 0.05;
            let exact = f64::from(x) / (1.0 + (-f64::from(x)).exp());
            let error = (f64::from(silu_mul(x, 1.0, 1.0, 1.0)) - exact).abs();
            // The polynomial's 1.6e-7, five roundings, and t's rounding error times |t| ≤ 126.
            assert!(error <= exact.abs() * 1e-5 + 1e-35, "silu({x}) off by {error}");
        }
    }
}
