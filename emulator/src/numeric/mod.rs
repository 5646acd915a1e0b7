//! The number formats of PTX: exact decoding, and encoding with one rounding by name.
//!
//! Every conversion goes through `f64`, which holds every value of every format here exactly, and
//! rounds once, in integer arithmetic. Overflow, NaN and saturation follow the `cvt` section of the
//! PTX ISA: the 4-, 6- and 8-bit formats always saturate to the largest finite value (`.satfinite`
//! is mandatory for them), NaN becomes the canonical NaN of the destination, or the largest
//! positive value where the destination has no NaN.

mod conversions;
mod format;
mod round;

pub use conversions::*;
pub(crate) use format::power_of_two;
pub use format::{BF16, E2M1, E2M3, E3M2, E4M3, E5M2, F16, F32, Format, Specials, TF32};
pub(crate) use round::toward_zero;
pub use round::{Rounding, round_f64_to_f32, round_f64_to_integral};

/// The NaN that f32 instructions of the GPU produce.
pub const CANONICAL_NAN_F32: u32 = 0x7FFF_FFFF;

#[cfg(test)]
mod tests;
