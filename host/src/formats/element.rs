//! The element types that can be quantised.

use half::{bf16, f16};

/// A floating-point type whose every value is an f32.
pub trait Element: Copy {
    /// The same value as f32.
    fn to_f32(self) -> f32;
}

impl Element for f32 {
    fn to_f32(self) -> f32 {
        self
    }
}

impl Element for f16 {
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }
}

impl Element for bf16 {
    fn to_f32(self) -> f32 {
        bf16::to_f32(self)
    }
}
