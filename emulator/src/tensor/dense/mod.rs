//! The matrix kinds other than NVFP4 with ue4m3 scales: f16, bf16, tf32, the 8-, 6- and 4-bit
//! floats with and without ue8m0 scales, and bytes.
//!
//! The floating-point kinds follow the scheme of [`super::block_scaled`]: the terms of one
//! instruction and the old accumulator are truncated toward zero to a multiple of 2^(E − F), where E
//! is the largest exponent among them, and their exact sum is truncated toward zero to f32. What
//! differs is what a term is, and F:
//!
//! | kind | terms | exponent of a term | F |
//! |---|---|---|---|
//! | mxf4, mxf4nvf4 | dot products of 16 elements, scaled | sum of the scales' exponents | 35 |
//! | mxf8f6f4 | products, scaled | sum of all four exponents | 25 |
//! | f16, tf32, f8f6f4 | products | sum of both exponents | 25 |
//!
//! The exponent of a subnormal is its format's smallest, that of a zero −126. Assumed, not measured:
//! the old accumulator of an f16 result enters as f32 would and the sum is rounded to nearest even;
//! infinities behave as in IEEE arithmetic, and every NaN result is 0x7FFFFFFF (0x7FFF in f16).

mod integer;
mod operand;
mod sum;

pub use integer::multiply_integers;
pub use operand::{Operand, Packing, Panel, Rows};
pub use sum::{Accumulate, multiply};

pub use super::block_scaled::ROWS;

#[cfg(test)]
mod tests;
