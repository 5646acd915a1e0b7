//! ue4m3, the block scale: e4m3 without a sign, four exponent bits with bias 7, three mantissa bits;
//! no infinity. The top bit is padding and 0, and 0x7f is NaN.

use crate::error::{Error, Result};

/// The value of each code from 0x00 to 0x7e.
pub const VALUES: [f32; 127] = values();

/// The largest value.
pub const MAX: f32 = 448.0;
/// The smallest value above zero, 2⁻⁹.
pub const MIN_POSITIVE: f32 = 1.0 / 512.0;
/// The code of 1.0.
pub const ONE: Ue4m3 = Ue4m3(0x38);

const fn values() -> [f32; 127] {
    let mut table = [0.0; 127];
    let mut code = 0;
    while code < 127 {
        let (exponent, mantissa) = (code as u32 >> 3, code as u32 & 7);
        // In units of 2⁻⁹: the subnormals' step, so every value is a whole number of them.
        let units = if exponent == 0 { mantissa } else { (8 + mantissa) << (exponent - 1) };
        table[code] = units as f32 * MIN_POSITIVE;
        code += 1;
    }
    table
}

/// One block scale, never NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ue4m3(u8);

impl Ue4m3 {
    /// The scale with these bits.
    ///
    /// # Errors
    /// 0x7f and 0xff are NaN; a set top bit is a sign, which a block scale does not have.
    pub fn from_bits(bits: u8) -> Result<Self> {
        match defect(bits) {
            None => Ok(Ue4m3(bits)),
            Some(_) => Err(Error::NotACode {
                byte: bits,
                format: "ue4m3",
                rule: "codes are 0x00 to 0x7e; 0x7f is NaN and the top bit would be a sign",
                remedy: "check that this byte is an e4m3 block scale",
            }),
        }
    }

    /// The byte.
    pub fn to_bits(self) -> u8 {
        self.0
    }

    /// The value, exactly.
    pub fn to_f32(self) -> f32 {
        VALUES[usize::from(self.0)]
    }

    /// The nearest scale; ties go to the even code, what lies above 448 becomes 448.
    ///
    /// # Errors
    /// NaN and negative numbers have no code. −0 is zero.
    pub fn from_f32(value: f32) -> Result<Self> {
        if value.is_nan() || value < 0.0 {
            return Err(Error::NotRepresentable {
                value,
                format: "ue4m3",
                rule: "a block scale is a number from 0 to 448",
                remedy: "take scales from the largest magnitude of each block",
            });
        }
        Ok(Self::nearest(value))
    }

    /// [`Ue4m3::from_f32`] for a number that is known to be at least 0.
    pub(crate) fn nearest(value: f32) -> Self {
        debug_assert!(value >= 0.0);
        let above = VALUES.partition_point(|&v| v < value).min(VALUES.len() - 1);
        if above == 0 {
            return Ue4m3(0);
        }
        let below = above - 1;
        // Exact: the mean of two neighbours needs one bit more than they have.
        let middle = (VALUES[below] + VALUES[above]) / 2.0;
        let up = value > middle || (value == middle && above % 2 == 0);
        Ue4m3(if up { above } else { below } as u8)
    }
}

/// Why a byte is not a block scale, if it is not.
pub(crate) fn defect(bits: u8) -> Option<&'static str> {
    match bits {
        0x00..=0x7e => None,
        0x7f | 0xff => Some("NaN"),
        _ => Some("negative"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landmarks() {
        for (bits, want) in [
            (0x00, 0.0),
            (0x01, 0.001953125),
            (0x07, 7.0 / 512.0),
            (0x08, 0.015625),
            (0x30, 0.5),
            (0x38, 1.0),
            (0x40, 2.0),
            (0x70, 128.0),
            (0x7e, 448.0),
        ] {
            assert_eq!(Ue4m3::from_bits(bits).unwrap().to_f32().to_bits(), f32::to_bits(want));
        }
        assert_eq!(ONE.to_f32(), 1.0);
    }

    #[test]
    fn every_code_comes_back_and_values_ascend() {
        for bits in 0..=0x7e {
            let scale = Ue4m3::from_bits(bits).unwrap();
            assert_eq!(Ue4m3::from_f32(scale.to_f32()).unwrap(), scale);
        }
        assert!(VALUES.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn rounds_to_nearest_even_between_every_pair() {
        for low in 0..126u8 {
            let middle = (VALUES[usize::from(low)] + VALUES[usize::from(low) + 1]) / 2.0;
            let even = if low % 2 == 0 { low } else { low + 1 };
            assert_eq!(Ue4m3::from_f32(middle).unwrap().to_bits(), even);
            assert_eq!(Ue4m3::from_f32(middle.next_down()).unwrap().to_bits(), low);
            assert_eq!(Ue4m3::from_f32(middle.next_up()).unwrap().to_bits(), low + 1);
        }
    }

    #[test]
    fn the_tie_worked_out_by_hand() {
        assert_eq!(Ue4m3::from_f32(100.0).unwrap().to_bits(), 0x6c);
    }

    #[test]
    fn saturates() {
        for value in [448.0, 464.0, 1e9, f32::INFINITY] {
            assert_eq!(Ue4m3::from_f32(value).unwrap().to_bits(), 0x7e);
        }
    }

    #[test]
    fn refuses_nan_and_signs() {
        assert!(Ue4m3::from_f32(f32::NAN).is_err());
        assert!(Ue4m3::from_f32(-0.5).unwrap_err().to_string().contains("-0.5"));
        assert_eq!(Ue4m3::from_f32(-0.0).unwrap().to_bits(), 0);
        for bits in 0x7f..=0xff {
            let message = Ue4m3::from_bits(bits).unwrap_err().to_string();
            assert!(message.contains(&format!("0x{bits:02x}")), "{message}");
        }
    }
}
