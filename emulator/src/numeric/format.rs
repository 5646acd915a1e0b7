//! A binary floating-point format as data, with exact decoding and rounded encoding.

use super::round::{Rounding, magnitude_code};

/// What the codes with an all-ones exponent mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// Infinity and NaN as in IEEE 754.
    Ieee,
    /// Only the code with all ones is NaN; there is no infinity (e4m3).
    NanOnly,
    /// Every code is a finite number (e2m1, e2m3, e3m2).
    None,
}

/// A signed binary floating-point format of at most 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The name PTX uses.
    pub name: &'static str,
    /// Width of the exponent field.
    pub exponent_bits: u32,
    /// Width of the mantissa field.
    pub mantissa_bits: u32,
    /// Exponent bias.
    pub bias: i32,
    /// Meaning of the all-ones exponent.
    pub specials: Specials,
}

/// 4-bit float: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
pub const E2M1: Format =
    Format { name: "e2m1", exponent_bits: 2, mantissa_bits: 1, bias: 1, specials: Specials::None };
/// 6-bit float with two exponent bits, up to 7.5.
pub const E2M3: Format =
    Format { name: "e2m3", exponent_bits: 2, mantissa_bits: 3, bias: 1, specials: Specials::None };
/// 6-bit float with three exponent bits, up to 28.
pub const E3M2: Format =
    Format { name: "e3m2", exponent_bits: 3, mantissa_bits: 2, bias: 3, specials: Specials::None };
/// 8-bit float with four exponent bits, up to 448, no infinity.
pub const E4M3: Format = Format {
    name: "e4m3",
    exponent_bits: 4,
    mantissa_bits: 3,
    bias: 7,
    specials: Specials::NanOnly,
};
/// 8-bit float with five exponent bits, up to 57344, with infinity.
pub const E5M2: Format =
    Format { name: "e5m2", exponent_bits: 5, mantissa_bits: 2, bias: 15, specials: Specials::Ieee };
/// IEEE binary16.
pub const F16: Format =
    Format { name: "f16", exponent_bits: 5, mantissa_bits: 10, bias: 15, specials: Specials::Ieee };
/// The upper half of an f32.
pub const BF16: Format = Format {
    name: "bf16",
    exponent_bits: 8,
    mantissa_bits: 7,
    bias: 127,
    specials: Specials::Ieee,
};
/// f32 with ten mantissa bits; its 19-bit code is the upper part of an f32.
pub const TF32: Format = Format {
    name: "tf32",
    exponent_bits: 8,
    mantissa_bits: 10,
    bias: 127,
    specials: Specials::Ieee,
};
/// IEEE binary32.
pub const F32: Format = Format {
    name: "f32",
    exponent_bits: 8,
    mantissa_bits: 23,
    bias: 127,
    specials: Specials::Ieee,
};

impl Format {
    /// Exponent of the smallest normal number, which is also that of the subnormals.
    pub const fn min_exponent(&self) -> i32 {
        1 - self.bias
    }

    /// Width of a code: sign, exponent and mantissa.
    pub const fn bits(&self) -> u32 {
        1 + self.exponent_bits + self.mantissa_bits
    }

    /// The code of the largest finite number.
    pub const fn max_finite(&self) -> u32 {
        let all = (1 << (self.exponent_bits + self.mantissa_bits)) - 1;
        match self.specials {
            Specials::None => all,
            Specials::NanOnly => all - 1,
            Specials::Ieee => self.infinity() - 1,
        }
    }

    /// The code with an all-ones exponent and no mantissa: infinity where the format has one.
    const fn infinity(&self) -> u32 {
        ((1 << self.exponent_bits) - 1) << self.mantissa_bits
    }

    /// The code a NaN becomes: all ones below the sign. Where there is no NaN this is the largest
    /// positive number, which is what PTX asks for.
    pub const fn canonical_nan(&self) -> u32 {
        (1 << (self.exponent_bits + self.mantissa_bits)) - 1
    }

    /// Rounds `x` to a code. An overflow saturates if `satfinite` is set or the format has no
    /// infinity; infinity itself counts as an overflow.
    #[inline]
    pub fn encode(&self, x: f64, mode: Rounding, satfinite: bool) -> u32 {
        if x.is_nan() {
            return self.canonical_nan();
        }
        let negative = x.is_sign_negative();
        let sign = u32::from(negative) << (self.bits() - 1);
        let max = self.max_finite();
        let code = if x.is_infinite() { u64::MAX } else { magnitude_code(self, x, mode) };
        if code <= u64::from(max) {
            return sign | code as u32;
        }
        let infinite = x.is_infinite() || mode.overflows_to_infinity(negative);
        if satfinite || self.specials != Specials::Ieee || !infinite {
            sign | max
        } else {
            sign | self.infinity()
        }
    }

    /// The value of a code; bits above the format's width are ignored.
    #[inline]
    pub fn decode(&self, code: u32) -> f64 {
        let field = (code >> self.mantissa_bits) & ((1 << self.exponent_bits) - 1);
        let mantissa = code & ((1 << self.mantissa_bits) - 1);
        let negative = (code >> (self.bits() - 1)) & 1 == 1;
        let top = (1 << self.exponent_bits) - 1;
        let magnitude = match self.specials {
            Specials::Ieee if field == top && mantissa == 0 => f64::INFINITY,
            Specials::Ieee if field == top => f64::NAN,
            Specials::NanOnly if code & self.canonical_nan() == self.canonical_nan() => f64::NAN,
            _ if field == 0 => {
                f64::from(mantissa) * power_of_two(self.min_exponent() - self.mantissa_bits as i32)
            }
            _ => {
                f64::from(mantissa | 1 << self.mantissa_bits)
                    * power_of_two(field as i32 - self.bias - self.mantissa_bits as i32)
            }
        };
        if negative { -magnitude } else { magnitude }
    }
}

/// 2 to the power of `exponent`, which must be in the range of normal f64 numbers.
#[inline]
pub(crate) const fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}
