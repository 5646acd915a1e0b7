//! Tensor maps as plain data: what `cuTensorMapEncodeTiled` is asked for. The 128 bytes that it
//! makes of this are the driver's secret, so a backend encodes them.

use std::fmt;

use crate::error::{Error, Result};

/// Bytes of an encoded map.
pub const TENSOR_MAP_BYTES: usize = 128;

/// Which tensor a map describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A.
    A,
    /// B1, the gate's weights.
    B1,
    /// B2, the up projection's weights.
    B2,
}

impl Operand {
    /// `A`, `B1` or `B2`.
    pub fn name(self) -> &'static str {
        match self {
            Operand::A => "A",
            Operand::B1 => "B1",
            Operand::B2 => "B2",
        }
    }
}

/// `CUtensorMapDataType`, as far as the kernels use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// Bytes: packed 4-bit elements where the device has no type for them, two in each.
    U8 = 0,
    /// Packed 4-bit elements that stay packed in shared memory: 16 of them in 8 bytes.
    U4x16Align8B = 13,
}

impl ElementType {
    /// The driver's name without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::U8 => "UINT8",
            ElementType::U4x16Align8B => "16U4_ALIGN8B",
        }
    }

    /// The driver's number.
    pub fn driver_value(self) -> u32 {
        self as u32
    }

    /// Bits of one element.
    pub fn bits(self) -> u64 {
        match self {
            ElementType::U8 => 8,
            ElementType::U4x16Align8B => 4,
        }
    }
}

/// `CUtensorMapSwizzle`: how 16-byte pieces are permuted in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Swizzle {
    /// Not at all.
    None = 0,
    /// Within 32 bytes.
    B32 = 1,
    /// Within 64 bytes.
    B64 = 2,
    /// Within 128 bytes.
    B128 = 3,
}

impl Swizzle {
    /// The driver's name without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            Swizzle::None => "NONE",
            Swizzle::B32 => "32B",
            Swizzle::B64 => "64B",
            Swizzle::B128 => "128B",
        }
    }

    /// The driver's number. It is not the number that a shared-memory descriptor has for the mode.
    pub fn driver_value(self) -> u32 {
        self as u32
    }

    /// The most bytes that the innermost box dimension may have.
    fn span(self) -> Option<u64> {
        match self {
            Swizzle::None => None,
            Swizzle::B32 => Some(32),
            Swizzle::B64 => Some(64),
            Swizzle::B128 => Some(128),
        }
    }
}

/// `CUtensorMapL2promotion`: the piece of memory that a miss brings into L2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum L2Promotion {
    /// What is asked for.
    None = 0,
    /// 64 bytes.
    B64 = 1,
    /// 128 bytes.
    B128 = 2,
    /// 256 bytes.
    B256 = 3,
}

impl L2Promotion {
    /// The driver's name without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            L2Promotion::None => "NONE",
            L2Promotion::B64 => "64B",
            L2Promotion::B128 => "128B",
            L2Promotion::B256 => "256B",
        }
    }

    /// The driver's number.
    pub fn driver_value(self) -> u32 {
        self as u32
    }
}

/// `CUtensorMapFloatOOBfill`: what elements outside the tensor read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OobFill {
    /// Zeros; the driver calls it NONE.
    Zeros = 0,
    /// A NaN pattern, for element types that have one.
    Nan = 1,
}

impl OobFill {
    /// The driver's name without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            OobFill::Zeros => "NONE",
            OobFill::Nan => "NAN_REQUEST_ZERO_FMA",
        }
    }

    /// The driver's number.
    pub fn driver_value(self) -> u32 {
        self as u32
    }
}

/// A tiled tensor map of rank 3, without interleave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorMapSpec {
    /// The tensor.
    pub operand: Operand,
    /// Its element type.
    pub element: ElementType,
    /// Sizes in elements, innermost first: K, rows, batches, unless the constructor says otherwise.
    pub dims: [u64; 3],
    /// Bytes from one to the next along the second and the third dimension.
    pub strides: [u64; 2],
    /// The box that one copy brings, in elements.
    pub box_dims: [u32; 3],
    /// Steps within the box; 1 everywhere.
    pub element_strides: [u32; 3],
    /// The permutation in shared memory.
    pub swizzle: Swizzle,
    /// The promotion in L2.
    pub l2_promotion: L2Promotion,
    /// What lies outside.
    pub oob_fill: OobFill,
}

impl TensorMapSpec {
    /// The map of a K-major e2m1 operand: `batches` matrices of `rows × k`, read in boxes of
    /// `box_rows` rows × 256 elements along K.
    ///
    /// The dimensions are the tensor's own, so that the last box along each of them is filled up
    /// with zeros.
    pub fn e2m1(operand: Operand, k: usize, rows: usize, batches: usize, box_rows: u32) -> Self {
        let row = (k / 2) as u64;
        TensorMapSpec {
            operand,
            element: ElementType::U4x16Align8B,
            dims: [k as u64, rows as u64, batches as u64],
            strides: [row, row.saturating_mul(rows as u64)],
            box_dims: [256, box_rows, 1],
            element_strides: [1, 1, 1],
            swizzle: Swizzle::B128,
            // Operands are read as whole lines; no promotion has been shown to help.
            l2_promotion: L2Promotion::None,
            oob_fill: OobFill::Zeros,
        }
    }

    /// The same as bytes, for devices whose TMA has no 4-bit type: two elements are one.
    pub fn e2m1_bytes(
        operand: Operand,
        k: usize,
        rows: usize,
        batches: usize,
        box_rows: u32,
    ) -> Self {
        let map = Self::e2m1(operand, k, rows, batches, box_rows);
        let [dim, dims @ ..] = map.dims;
        let [size, box_rows, box_batches] = map.box_dims;
        TensorMapSpec {
            element: ElementType::U8,
            dims: [dim / 2, dims[0], dims[1]],
            box_dims: [size / 2, box_rows, box_batches],
            // Stages along K follow each other at once: the neighbouring line is wanted next.
            l2_promotion: L2Promotion::B256,
            ..map
        }
    }

    /// The map of A in 16 bits, as bytes: boxes of `box_rows` rows × 64 elements along K.
    pub fn sixteen_bit_a(k: usize, rows: usize, batches: usize, box_rows: u32) -> Self {
        Self::e2m1_bytes(Operand::A, 4 * k, rows, batches, box_rows)
    }

    /// The same with boxes of `quarters` times 64 elements along K, where K is a multiple of 64: the
    /// dimensions are then 64 elements, the rows of all batches, and the 64s along K, so that one copy
    /// brings what several would. Where K is not, it is [`TensorMapSpec::sixteen_bit_a`].
    pub fn wide_sixteen_bit_a(
        k: usize,
        rows: usize,
        batches: usize,
        box_rows: u32,
        quarters: u32,
    ) -> Self {
        let map = Self::sixteen_bit_a(k, rows, batches, box_rows);
        if !k.is_multiple_of(64) {
            return map;
        }
        TensorMapSpec {
            dims: [128, (rows as u64).saturating_mul(batches as u64), k as u64 / 64],
            strides: [2 * k as u64, 128],
            box_dims: [128, box_rows, quarters],
            ..map
        }
    }

    /// Bytes that one box brings to shared memory, and adds to the barrier's count, also where it
    /// hangs over the tensor's edge.
    pub fn box_bytes(&self) -> u64 {
        let elements: u64 = self.box_dims.iter().map(|&size| u64::from(size)).product();
        elements * self.element.bits() / 8
    }

    /// Checks what `cuTensorMapEncodeTiled` checks, so that a refusal comes with a reason.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn check(&self) -> Result<()> {
        let operand = self.operand.name();
        let require = |holds: bool, field: String, value: u64, rule: &'static str| {
            if holds { Ok(()) } else { Err(Error::TensorMap { operand, field, value, rule }) }
        };
        let bits = self.element.bits();

        for (i, &dim) in self.dims.iter().enumerate() {
            let rule = "from 1 to 2^31 elements";
            require((1..=1 << 31).contains(&dim), format!("dims[{i}]"), dim, rule)?;
        }
        let rule = "even: two 4-bit elements share a byte";
        let whole_bytes = (self.dims[0] * bits).is_multiple_of(8);
        require(whole_bytes, "dims[0]".into(), self.dims[0], rule)?;

        for (i, &stride) in self.strides.iter().enumerate() {
            let field = || format!("strides[{i}]");
            let rule = "a multiple of 16 bytes";
            require(stride.is_multiple_of(16), field(), stride, rule)?;
            require(stride < 1 << 40, field(), stride, "below 2^40 bytes")?;
        }
        // The outer dimensions may lie within each other in any order.
        let mut order: Vec<usize> = (0..self.strides.len()).collect();
        order.sort_by_key(|&i| (self.strides[i], self.dims[i + 1]));
        let mut inner = self.dims[0] * bits / 8;
        for i in order {
            let rule = "at least the bytes of the dimensions within it, or rows would overlap";
            let stride = self.strides[i];
            require(stride >= inner, format!("strides[{i}]"), stride, rule)?;
            inner = stride.saturating_mul(self.dims[i + 1]);
        }

        for (i, &size) in self.box_dims.iter().enumerate() {
            let rule = "from 1 to 256 elements";
            require((1..=256).contains(&size), format!("box[{i}]"), size.into(), rule)?;
        }
        let row = u64::from(self.box_dims[0]) * bits / 8;
        let field = || "bytes of box[0]".to_string();
        let whole = (u64::from(self.box_dims[0]) * bits).is_multiple_of(128);
        require(
            whole,
            field(),
            row,
            "a multiple of 16: shared memory is filled 16 bytes at a time",
        )?;
        let rule = "at most the span of the swizzle (32, 64 or 128 bytes)";
        require(self.swizzle.span().is_none_or(|span| row <= span), field(), row, rule)?;

        for (i, &step) in self.element_strides.iter().enumerate() {
            let field = format!("element_strides[{i}]");
            require((1..=8).contains(&step), field, step.into(), "from 1 to 8")?;
        }
        let fill = u64::from(self.oob_fill.driver_value());
        let rule = "0 (zeros): these elements have no NaN";
        require(self.oob_fill == OobFill::Zeros, "oob_fill".into(), fill, rule)
    }
}

impl fmt::Display for TensorMapSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [k, rows, batches] = self.dims;
        let [row, batch] = self.strides;
        let [box_k, box_rows, box_batches] = self.box_dims;
        let names = if batch < row { " (64 of K × rows × 64s)" } else { " (K × rows × L)" };
        write!(
            f,
            "{:<2} {}: {k} × {rows} × {batches} elements{names}, strides {row} and {batch} bytes, \
             box {box_k} × {box_rows} × {box_batches} = {} bytes, swizzle {}, \
             L2 promotion {}, zeros outside",
            self.operand.name(),
            self.element.name(),
            self.box_bytes(),
            self.swizzle.name(),
            self.l2_promotion.name(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> TensorMapSpec {
        TensorMapSpec::e2m1(Operand::B1, 7168, 4096, 2, 64)
    }

    #[test]
    fn a_map_for_weights() {
        let map = good();
        map.check().unwrap();
        assert_eq!((map.dims, map.strides), ([7168, 4096, 2], [3584, 3584 * 4096]));
        assert_eq!((map.box_dims, map.box_bytes()), ([256, 64, 1], 8192));
        assert_eq!((map.element.driver_value(), map.swizzle.driver_value()), (13, 3));
    }

    #[test]
    fn a_map_that_brings_several_pieces_of_k() {
        let map = TensorMapSpec::wide_sixteen_bit_a(7168, 300, 2, 64, 4);
        map.check().unwrap();
        assert_eq!((map.dims, map.strides), ([128, 600, 112], [14_336, 128]));
        assert_eq!((map.box_dims, map.box_bytes()), ([128, 64, 4], 32_768));
        TensorMapSpec::wide_sixteen_bit_a(64, 3, 1, 8, 4).check().unwrap();
        let odd = TensorMapSpec::wide_sixteen_bit_a(96, 300, 2, 64, 4);
        assert_eq!(odd, TensorMapSpec::sixteen_bit_a(96, 300, 2, 64));
    }

    #[test]
    fn tensors_smaller_than_a_box_are_legal() {
        TensorMapSpec::e2m1(Operand::A, 32, 1, 1, 128).check().unwrap();
    }

    #[test]
    fn each_rule_refuses_by_name() {
        let map = good();
        for (broken, field) in [
            (TensorMapSpec { dims: [0, 1, 1], ..map }, "dims[0] = 0"),
            (TensorMapSpec { dims: [32, (1 << 31) + 1, 1], ..map }, "dims[1] = 2147483649"),
            (TensorMapSpec { dims: [33, 1, 1], ..map }, "dims[0] = 33"),
            (TensorMapSpec { strides: [3592, map.strides[1]], ..map }, "strides[0] = 3592"),
            (TensorMapSpec { strides: [16, map.strides[1]], ..map }, "strides[0] = 16"),
            (TensorMapSpec { strides: [3584, 3584], ..map }, "strides[0] = 3584"),
            (TensorMapSpec { strides: [3584, 1 << 40], ..map }, "strides[1] = 1099511627776"),
            (TensorMapSpec { box_dims: [256, 0, 1], ..map }, "box[1] = 0"),
            (TensorMapSpec { box_dims: [256, 257, 1], ..map }, "box[1] = 257"),
            (TensorMapSpec { box_dims: [48, 64, 1], ..map }, "bytes of box[0] = 24"),
            (TensorMapSpec { swizzle: Swizzle::B64, ..map }, "bytes of box[0] = 128"),
            (TensorMapSpec { element_strides: [1, 9, 1], ..map }, "element_strides[1] = 9"),
            (TensorMapSpec { oob_fill: OobFill::Nan, ..map }, "oob_fill = 1"),
        ] {
            let text = broken.check().unwrap_err().to_string();
            assert!(text.contains(field) && text.contains("map of B1"), "{text}");
        }
    }

    #[test]
    fn prints_what_the_driver_is_asked_for() {
        let text = good().to_string();
        for part in ["B1", "16U4_ALIGN8B", "7168 × 4096 × 2", "3584", "8192 bytes", "128B"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
