//! The legality rules of `cuTensorMapEncodeTiled`, each said in words.

use super::{ElementType, Interleave, MAX_RANK, OobFill, TensorMap};
use crate::tensor::swizzle::Swizzle;

fn rule(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

impl TensorMap {
    /// Checks every rule the driver enforces when it encodes a map.
    ///
    /// # Errors
    /// The first broken rule, with the field and its value.
    pub fn validate(&self) -> Result<(), String> {
        let rank = self.rank;
        rule((1..=MAX_RANK).contains(&rank), || format!("rank is {rank}; it must be 1 to 5"))?;
        rule(self.interleave == Interleave::None || rank >= 3, || {
            format!("rank is {rank}; an interleaved tensor needs at least 3")
        })?;
        self.validate_tensor()?;
        self.validate_box()?;
        self.validate_modes()
    }

    /// Base, extents and strides.
    fn validate_tensor(&self) -> Result<(), String> {
        let wide = self.interleave == Interleave::B32 || self.element.is_padded();
        let align = if wide { 32 } else { 16 };
        let base = self.base;
        rule(base.is_multiple_of(align), || {
            format!("the global address {base:#x} must be a multiple of {align}")
        })?;
        for (i, &dim) in self.dims[..self.rank].iter().enumerate() {
            rule((1..=1 << 32).contains(&dim), || {
                format!("dims[{i}] is {dim}; it must be 1 to 2^32")
            })?;
        }
        for (i, &stride) in self.strides[..self.rank - 1].iter().enumerate() {
            rule(stride.is_multiple_of(align) && stride < 1 << 40, || {
                format!(
                    "strides[{i}] is {stride} bytes; it must be a multiple of {align} below 2^40"
                )
            })?;
        }
        let multiple = match self.element {
            ElementType::Packed4 => 2,
            ElementType::Padded4 | ElementType::Padded6 => 128,
            _ => 1,
        };
        rule(self.dims[0].is_multiple_of(multiple), || {
            format!(
                "dims[0] is {} elements; type {:?} needs a multiple of {multiple}",
                self.dims[0], self.element
            )
        })
    }

    /// The box and the traversal strides.
    fn validate_box(&self) -> Result<(), String> {
        for (i, &extent) in self.box_dims[..self.rank].iter().enumerate() {
            rule((1..=256).contains(&extent), || {
                format!("box[{i}] is {extent} elements; it must be 1 to 256")
            })?;
        }
        for (i, &stride) in self.element_strides[..self.rank].iter().enumerate() {
            rule((1..=8).contains(&stride), || {
                format!("element_strides[{i}] is {stride}; it must be 1 to 8")
            })?;
        }
        if self.element.is_padded() {
            return rule(self.box_dims[0] == 128, || {
                format!(
                    "box[0] is {} elements; type {:?} needs exactly 128",
                    self.box_dims[0], self.element
                )
            });
        }
        let bits = self.box_dims[0] * self.element.bits();
        rule(self.interleave != Interleave::None || bits.is_multiple_of(128), || {
            format!(
                "box[0] of {} elements is {bits} bits; the inner box must be a multiple of 16 bytes",
                self.box_dims[0]
            )
        })?;
        let span = self.swizzle.span();
        let swizzled = self.swizzle != Swizzle::None && self.interleave == Interleave::None;
        rule(!swizzled || bits / 8 <= span, || {
            format!(
                "box[0] of {} elements is {} bytes; swizzle {} allows at most {span}",
                self.box_dims[0],
                bits / 8,
                self.swizzle.name()
            )
        })
    }

    /// Combinations of type, interleave, swizzle and fill.
    fn validate_modes(&self) -> Result<(), String> {
        rule(self.interleave != Interleave::B32 || self.swizzle == Swizzle::B32, || {
            format!("interleave 32B needs swizzle 32B, not {}", self.swizzle.name())
        })?;
        let padded_swizzle =
            matches!(self.swizzle, Swizzle::None | Swizzle::B128 | Swizzle::B128Atom32);
        rule(!self.element.is_padded() || padded_swizzle, || {
            format!(
                "type {:?} allows swizzle NONE, 128B or 128B_ATOM_32B, not {}",
                self.element,
                self.swizzle.name()
            )
        })?;
        rule(!self.element.is_padded() || self.interleave == Interleave::None, || {
            format!("type {:?} allows no interleave", self.element)
        })?;
        rule(self.oob_fill == OobFill::Zero || self.element.is_float(), || {
            format!("oob_fill NAN needs a floating-point type, not {:?}", self.element)
        })
    }
}
