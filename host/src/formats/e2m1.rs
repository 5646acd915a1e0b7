//! e2m1, the 4-bit data format: sign, two exponent bits with bias 1, one mantissa bit; no infinity,
//! no NaN.

use crate::error::{Error, Result};

/// The value of each code; bit 3 is the sign.
pub const VALUES: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Halfway points between neighbouring magnitudes, and whether the tie goes up: it goes to the code
/// whose mantissa bit is 0.
const THRESHOLDS: [(f32, bool); 7] = [
    (0.25, false),
    (0.75, true),
    (1.25, false),
    (1.75, true),
    (2.5, false),
    (3.5, true),
    (5.0, false),
];

/// The largest magnitude.
pub const MAX: f32 = 6.0;

/// One e2m1 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct E2m1(u8);

impl E2m1 {
    /// The code with these four bits.
    ///
    /// # Errors
    /// A byte above 15 is no code: [`unpack`] takes the two codes of a packed byte.
    pub fn from_bits(bits: u8) -> Result<Self> {
        if bits > 0xf {
            return Err(Error::NotACode {
                byte: bits,
                format: "e2m1",
                rule: "codes are 0x0 to 0xf",
                remedy: "a packed byte holds two codes: take it apart with `unpack`",
            });
        }
        Ok(E2m1(bits))
    }

    /// The four bits.
    pub fn to_bits(self) -> u8 {
        self.0
    }

    /// The value, exactly.
    pub fn to_f32(self) -> f32 {
        VALUES[usize::from(self.0)]
    }

    /// The nearest code; ties go to the even one, what lies beyond ±6 becomes ±6, the sign of zero
    /// is kept.
    ///
    /// # Errors
    /// NaN has no code.
    pub fn from_f32(value: f32) -> Result<Self> {
        if value.is_nan() {
            return Err(Error::NotRepresentable {
                value,
                format: "e2m1",
                rule: "the format has no NaN",
                remedy: "replace NaNs before quantising",
            });
        }
        Ok(Self::nearest(value))
    }

    /// [`E2m1::from_f32`] for a number that is known not to be NaN.
    pub(crate) fn nearest(value: f32) -> Self {
        debug_assert!(!value.is_nan());
        let magnitude = value.abs();
        let above = |&&(threshold, tie_up): &&(f32, bool)| {
            magnitude > threshold || (tie_up && magnitude == threshold)
        };
        // The thresholds ascend, so those passed are the first ones.
        let code = THRESHOLDS.iter().filter(above).count() as u8;
        E2m1(code | if value.is_sign_negative() { 8 } else { 0 })
    }
}

/// Two codes in a byte: the element with the lower K index in the low nibble.
pub fn pack(first: E2m1, second: E2m1) -> u8 {
    first.0 | second.0 << 4
}

/// The two codes of a byte, the one with the lower K index first.
pub fn unpack(byte: u8) -> (E2m1, E2m1) {
    (E2m1(byte & 0xf), E2m1(byte >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_its_value() {
        for bits in 0..16 {
            let code = E2m1::from_bits(bits).unwrap();
            assert_eq!(E2m1::from_f32(code.to_f32()).unwrap(), code);
        }
    }

    #[test]
    fn values_follow_the_bit_fields() {
        for bits in 0u8..16 {
            let (sign, exponent, mantissa) =
                (bits >> 3, i32::from(bits >> 1 & 3), f32::from(bits & 1));
            let magnitude = match exponent {
                0 => mantissa * 0.5,
                _ => (1.0 + mantissa / 2.0) * 2f32.powi(exponent - 1),
            };
            let want = if sign == 1 { -magnitude } else { magnitude };
            assert_eq!(VALUES[usize::from(bits)].to_bits(), want.to_bits(), "code {bits:#x}");
        }
    }

    #[test]
    fn ties_go_to_the_even_code() {
        for (value, want) in
            [(0.25, 0), (0.75, 2), (1.25, 2), (1.75, 4), (2.5, 4), (3.5, 6), (5.0, 6), (-2.5, 12)]
        {
            assert_eq!(E2m1::from_f32(value).unwrap().to_bits(), want, "{value}");
        }
    }

    #[test]
    fn neighbours_of_ties_go_to_the_nearer_code() {
        for (low, threshold) in [0.25f32, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0].into_iter().enumerate() {
            assert_eq!(usize::from(E2m1::from_f32(threshold.next_down()).unwrap().to_bits()), low);
            assert_eq!(
                usize::from(E2m1::from_f32(threshold.next_up()).unwrap().to_bits()),
                low + 1
            );
        }
    }

    #[test]
    fn saturates_and_refuses_nan() {
        for value in [6.0, 6.5, 1e30, f32::INFINITY] {
            assert_eq!(E2m1::from_f32(value).unwrap().to_bits(), 7);
            assert_eq!(E2m1::from_f32(-value).unwrap().to_bits(), 15);
        }
        let message = E2m1::from_f32(f32::NAN).unwrap_err().to_string();
        assert!(message.contains("NaN") && message.contains("e2m1"), "{message}");
    }

    #[test]
    fn packs_low_nibble_first() {
        let code = |bits| E2m1::from_bits(bits).unwrap();
        assert_eq!(pack(code(0x3), code(0xa)), 0xa3);
        for byte in 0..=255 {
            let (first, second) = unpack(byte);
            assert_eq!((first.to_bits(), second.to_bits()), (byte & 15, byte >> 4));
            assert_eq!(pack(first, second), byte);
        }
        assert!(E2m1::from_bits(0x10).unwrap_err().to_string().contains("0x10"));
    }
}
