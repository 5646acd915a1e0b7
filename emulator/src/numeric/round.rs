//! Rounding modes, and the one place where a value is rounded to a shorter significand.

use super::format::{F32, Format};

/// A rounding mode, named as the PTX modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// `.rn`: to nearest, ties to even.
    Rn,
    /// `.rna`: to nearest, ties away from zero.
    Rna,
    /// `.rz`: toward zero.
    Rz,
    /// `.rm`: toward negative infinity.
    Rm,
    /// `.rp`: toward positive infinity.
    Rp,
}

impl Rounding {
    /// Whether a magnitude cut at `kept` moves up by one, given the cut-off part as a comparison
    /// with half a unit and whether anything was cut off at all.
    fn increments(self, negative: bool, odd: bool, tail: Tail) -> bool {
        match self {
            Rounding::Rn => tail == Tail::AboveHalf || (tail == Tail::Half && odd),
            Rounding::Rna => matches!(tail, Tail::AboveHalf | Tail::Half),
            Rounding::Rz => false,
            Rounding::Rm => negative && tail != Tail::Zero,
            Rounding::Rp => !negative && tail != Tail::Zero,
        }
    }

    /// Whether an overflow goes to infinity (otherwise it stops at the largest finite value).
    pub(super) fn overflows_to_infinity(self, negative: bool) -> bool {
        match self {
            Rounding::Rn | Rounding::Rna => true,
            Rounding::Rz => false,
            Rounding::Rm => negative,
            Rounding::Rp => !negative,
        }
    }
}

/// What was cut off, against half a unit of the last place kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Zero,
    BelowHalf,
    Half,
    AboveHalf,
}

/// Drops the low `shift` bits of `significand`, rounding by `mode`.
#[inline]
fn drop_bits(significand: u64, shift: u32, mode: Rounding, negative: bool) -> u64 {
    if shift == 0 {
        return significand;
    }
    if shift > 63 {
        // The significand has 53 bits, so everything is below half a unit.
        let tail = if significand == 0 { Tail::Zero } else { Tail::BelowHalf };
        return u64::from(mode.increments(negative, false, tail));
    }
    let kept = significand >> shift;
    let cut = significand & ((1 << shift) - 1);
    let half = 1 << (shift - 1);
    let tail = match cut {
        0 => Tail::Zero,
        _ if cut < half => Tail::BelowHalf,
        _ if cut == half => Tail::Half,
        _ => Tail::AboveHalf,
    };
    kept + u64::from(mode.increments(negative, kept & 1 == 1, tail))
}

/// The magnitude of `x` (finite) as a code of `format`, before any overflow handling: exponent and
/// mantissa fields run on past the largest finite code, so a caller compares and clamps.
#[inline]
pub(super) fn magnitude_code(format: &Format, x: f64, mode: Rounding) -> u64 {
    let bits = x.to_bits();
    let negative = bits >> 63 == 1;
    let field = ((bits >> 52) & 0x7FF) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let (significand, exponent) =
        if field == 0 { (fraction, -1022) } else { (fraction | 1 << 52, field - 1023) };
    let emin = format.min_exponent();
    let target = exponent.max(emin);
    // Unit of the last place kept is 2^(target - mantissa_bits); that of the input 2^(exponent - 52).
    let shift = (target - format.mantissa_bits as i32) - (exponent - 52);
    let kept = drop_bits(significand, shift as u32, mode, negative);
    // A normal `kept` carries its implicit bit, which adds the missing one to the exponent field;
    // a rounding carry does the same.
    (((target - emin) as u64) << format.mantissa_bits) + kept
}

/// Rounds to f32. NaN becomes the canonical NaN.
#[inline]
pub fn round_f64_to_f32(x: f64, mode: Rounding) -> f32 {
    if mode == Rounding::Rn && !x.is_nan() {
        return x as f32;
    }
    f32::from_bits(F32.encode(x, mode, false))
}

/// Rounds to an integral value, keeping the sign of zero, infinities and NaN.
#[inline]
pub fn round_f64_to_integral(x: f64, mode: Rounding) -> f64 {
    match mode {
        Rounding::Rn => x.round_ties_even(),
        Rounding::Rna => x.round(),
        Rounding::Rz => x.trunc(),
        Rounding::Rm => x.floor(),
        Rounding::Rp => x.ceil(),
    }
}

/// The f32 bits of `x` rounded toward zero, as the tensor cores finish a sum: 2¹²⁸ and more is
/// infinite. Not for NaN. Free of branches, so that loops over it vectorise.
#[inline(always)]
pub(crate) fn toward_zero(x: f64) -> u32 {
    let nearest = x as f32;
    let beyond = f64::from(nearest).abs() > x.abs() && x.abs() < 2f64.powi(128);
    nearest.to_bits() - u32::from(beyond)
}
