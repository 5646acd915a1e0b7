//! The operand whose rows stand side by side.

use super::{DOUBLED, GROUPS, K, ROW_BYTES, ROWS};
use crate::numeric::ue4m3_to_f32;

/// Up to 128 rows of A with their scales, transposed so that rows are neighbours.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Twice the element values: `codes[k][row]`.
    pub(super) codes: Box<[[i16; ROWS]; K]>,
    /// Scale values: `scales[group][row]`.
    pub(super) scales: [[f32; ROWS]; GROUPS],
    /// Scale exponents: `exponents[group][row]`.
    pub(super) exponents: [[i32; ROWS]; GROUPS],
    /// All ones for a row with a NaN scale, else zero.
    pub(super) poisoned: [u32; ROWS],
}

/// Value and exponent of a ue4m3 scale. The sign bit is ignored; NaN shows in the value.
#[inline]
pub(super) fn scale(byte: u8) -> (f32, i32) {
    let value = ue4m3_to_f32(byte);
    let field = i32::from((byte >> 3) & 0xF);
    let exponent = match byte & 0x7F {
        0 => -126,
        _ if field == 0 => -6,
        _ => field - 7,
    };
    (value, exponent)
}

impl Default for Panel {
    fn default() -> Self {
        Panel {
            codes: Box::new([[0; ROWS]; K]),
            scales: [[0.0; ROWS]; GROUPS],
            exponents: [[-126; ROWS]; GROUPS],
            poisoned: [0; ROWS],
        }
    }
}

impl Panel {
    /// Fills the panel. Rows beyond those given keep what they had; their results mean nothing.
    ///
    /// `rows[r]` holds 64 packed codes, the even element in the low nibble; `scales[r]` the four
    /// scale bytes. `negate` flips the sign of the elements.
    ///
    /// # Panics
    /// When there are more than 128 rows, or not as many scales as rows.
    pub fn load(&mut self, rows: &[[u8; ROW_BYTES]], scales: &[[u8; GROUPS]], negate: bool) {
        assert!(rows.len() <= ROWS && rows.len() == scales.len(), "a panel holds up to 128 rows");
        let sign = if negate { -1 } else { 1 };
        for (r, row) in rows.iter().enumerate() {
            for (i, &byte) in row.iter().enumerate() {
                self.codes[2 * i][r] = sign * DOUBLED[usize::from(byte & 0xF)];
                self.codes[2 * i + 1][r] = sign * DOUBLED[usize::from(byte >> 4)];
            }
        }
        for (r, bytes) in scales.iter().enumerate() {
            self.poisoned[r] = 0;
            for (g, &byte) in bytes.iter().enumerate() {
                let (value, exponent) = scale(byte);
                if value.is_nan() {
                    self.poisoned[r] = u32::MAX;
                }
                self.scales[g][r] = value;
                self.exponents[g][r] = exponent;
            }
        }
    }
}
