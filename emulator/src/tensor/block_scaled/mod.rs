//! Block-scaled matrix multiply: `kind::mxf4nvf4` with a ue4m3 scale per 16 elements, bit for bit.
//!
//! Model of one instruction (K = 64), per output element:
//!
//! 1. A NaN among the eight scales, or in c, makes the result 0x7FFFFFFF.
//! 2. There are five terms: c, and for each group g of 16 the exact dot product times both scales.
//!    The exponent of a group term is the sum of its scales' exponents (−6 for a subnormal scale,
//!    −126 for a zero one), whatever the dot product; that of c is its own (at least −126).
//! 3. E is the largest of the five exponents. Every term is truncated toward zero to a multiple of
//!    2^(E − 35).
//! 4. The exact sum is truncated toward zero to f32, subnormals kept; a zero sum is +0.
//!
//! Not covered by measurements, and assumed here: an infinite c stays as it is, and a sum of 2¹²⁸
//! or more is infinite.
//!
//! ```
//! use ptx_emulator::tensor::block_scaled::{Panel, ROWS, multiply};
//!
//! // 64 ones times 64 twos, with scales 1 and 0.5 (0x38 and 0x30 in ue4m3).
//! let (ones, twos) = ([0x22; 32], [0x44; 32]);
//! let mut a = Panel::default();
//! a.load(&[ones], &[[0x38; 4]], false);
//! let mut d = [[0; ROWS]];
//! multiply(&a, &[twos], &[[0x30; 4]], false, false, &mut d);
//! assert_eq!(f32::from_bits(d[0][0]), 64.0);
//! ```
//!
//! The work is laid out for vector units: the rows of A stand side by side in a [`Panel`], one
//! column of D at a time, in plain loops over arrays.

mod column;
mod panel;

pub use column::multiply;
pub use panel::Panel;

/// Rows side by side in a panel: the lanes of tensor memory.
pub const ROWS: usize = 128;
/// Elements along K of one instruction.
pub const K: usize = 64;
/// Scale groups of one instruction.
pub const GROUPS: usize = 4;
/// Bytes of one packed row.
pub const ROW_BYTES: usize = K / 2;

/// Twice the value of an e2m1 code, a small integer.
const DOUBLED: [i16; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

#[cfg(test)]
mod tests;
