//! Tensor maps: what `cuTensorMapEncodeTiled` describes, its legality rules, the bytes programs
//! carry about, and the walk over a box.

mod bytes;
mod rules;
mod walk;

use serde::Deserialize;

use super::swizzle::Swizzle;
pub use bytes::Field;
pub use walk::Piece;

/// The most dimensions a tensor map can have.
pub const MAX_RANK: usize = 5;

/// Element type, named as in the driver without its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum ElementType {
    #[default]
    #[serde(rename = "UINT8")]
    Uint8,
    #[serde(rename = "UINT16")]
    Uint16,
    #[serde(rename = "UINT32")]
    Uint32,
    #[serde(rename = "INT32")]
    Int32,
    #[serde(rename = "UINT64")]
    Uint64,
    #[serde(rename = "INT64")]
    Int64,
    #[serde(rename = "FLOAT16")]
    Float16,
    #[serde(rename = "FLOAT32")]
    Float32,
    #[serde(rename = "FLOAT64")]
    Float64,
    #[serde(rename = "BFLOAT16")]
    Bfloat16,
    #[serde(rename = "FLOAT32_FTZ")]
    Float32Ftz,
    #[serde(rename = "TFLOAT32")]
    Tfloat32,
    #[serde(rename = "TFLOAT32_FTZ")]
    Tfloat32Ftz,
    /// Packed 4-bit elements, 16 in 8 bytes.
    #[serde(rename = "16U4_ALIGN8B")]
    Packed4,
    /// 4-bit elements, 16 in 8 bytes of global and 16 bytes of shared memory.
    #[serde(rename = "16U4_ALIGN16B")]
    Padded4,
    /// 6-bit elements, 16 in 12 bytes of global and 16 bytes of shared memory.
    #[serde(rename = "16U6_ALIGN16B")]
    Padded6,
}

impl ElementType {
    /// Bits of one element in global memory.
    pub const fn bits(self) -> u32 {
        match self {
            ElementType::Uint8 => 8,
            ElementType::Uint16 | ElementType::Float16 | ElementType::Bfloat16 => 16,
            ElementType::Uint32
            | ElementType::Int32
            | ElementType::Float32
            | ElementType::Float32Ftz
            | ElementType::Tfloat32
            | ElementType::Tfloat32Ftz => 32,
            ElementType::Uint64 | ElementType::Int64 | ElementType::Float64 => 64,
            ElementType::Packed4 | ElementType::Padded4 => 4,
            ElementType::Padded6 => 6,
        }
    }

    /// Bits of one element in shared memory, padding included.
    pub const fn shared_bits(self) -> u32 {
        if self.is_padded() { 8 } else { self.bits() }
    }

    /// Whether shared memory holds gaps between groups of 16 elements.
    pub const fn is_padded(self) -> bool {
        matches!(self, ElementType::Padded4 | ElementType::Padded6)
    }

    /// Whether the elements are floating-point numbers of 16 bits or more.
    pub const fn is_float(self) -> bool {
        matches!(
            self,
            ElementType::Float16
                | ElementType::Bfloat16
                | ElementType::Float32
                | ElementType::Float32Ftz
                | ElementType::Tfloat32
                | ElementType::Tfloat32Ftz
                | ElementType::Float64
        )
    }
}

/// Interleaved layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum Interleave {
    /// Plain strided tensors.
    #[default]
    #[serde(rename = "NONE")]
    None,
    /// NC/8HWC8.
    #[serde(rename = "16B")]
    B16,
    /// NC/16HWC16.
    #[serde(rename = "32B")]
    B32,
}

/// How much L2 fetches at once; without effect on results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum L2Promotion {
    /// As requested.
    #[default]
    #[serde(rename = "NONE")]
    None,
    /// 64 bytes.
    #[serde(rename = "L2_64B", alias = "64B")]
    B64,
    /// 128 bytes.
    #[serde(rename = "L2_128B", alias = "128B")]
    B128,
    /// 256 bytes.
    #[serde(rename = "L2_256B", alias = "256B")]
    B256,
}

/// What elements outside the tensor read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum OobFill {
    /// Zeros.
    #[default]
    #[serde(rename = "NONE")]
    Zero,
    /// A NaN that fused multiply-add treats as zero.
    #[serde(rename = "NAN_REQUEST_ZERO_FMA", alias = "NAN")]
    Nan,
}

/// A tiled tensor map. Arrays hold `rank` (for strides, `rank - 1`) meaningful entries, dimension 0
/// being the innermost.
///
/// ```
/// use ptx_emulator::tensor::map::{ElementType, Piece, TensorMap};
///
/// let map = TensorMap {
///     base: 0x7f00_0000_0000,
///     element: ElementType::Float16,
///     rank: 2,
///     dims: [100, 10, 0, 0, 0],
///     strides: [256, 0, 0, 0],
///     box_dims: [64, 2, 0, 0, 0],
///     element_strides: [1; 5],
///     ..TensorMap::default()
/// };
/// map.validate()?;
/// assert_eq!(map.transaction_bytes(), 256);
/// // From column 64 on, 36 of 64 columns are inside; the last row is the tensor's last.
/// let pieces = map.pieces(&[64, 9])?;
/// let address = map.base + 9 * 256 + 128;
/// assert_eq!(pieces[0], Piece { shared_offset: 0, bytes: 72, global: Some(address) });
/// assert_eq!(pieces[1], Piece { shared_offset: 72, bytes: 56, global: None });
/// assert_eq!(pieces[2], Piece { shared_offset: 128, bytes: 128, global: None });
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TensorMap {
    /// Device address of element 0.
    pub base: u64,
    /// Element type.
    pub element: ElementType,
    /// Number of dimensions.
    pub rank: usize,
    /// Extents in elements.
    pub dims: [u64; MAX_RANK],
    /// Distance in bytes between neighbours in dimension i + 1.
    pub strides: [u64; MAX_RANK - 1],
    /// Extents of the box in elements.
    pub box_dims: [u32; MAX_RANK],
    /// Traversal strides in elements.
    pub element_strides: [u32; MAX_RANK],
    /// Interleaved layout.
    pub interleave: Interleave,
    /// Swizzle of the shared-memory image.
    pub swizzle: Swizzle,
    /// L2 promotion.
    pub l2_promotion: L2Promotion,
    /// Out-of-bounds fill.
    pub oob_fill: OobFill,
}

impl TensorMap {
    /// What of this map the emulator does not implement, if anything.
    pub fn unsupported(&self) -> Option<String> {
        if self.interleave != Interleave::None {
            return Some(format!("tensor map with interleave {:?}", self.interleave));
        }
        if !self.swizzle.is_supported() {
            return Some(format!("tensor map with swizzle {}", self.swizzle.name()));
        }
        None
    }

    /// Elements that one copy moves along dimension `d`: every `element_strides[d]`-th of the box.
    /// The innermost dimension is always dense (its stride is ignored without interleave).
    pub(crate) fn copied(&self, d: usize) -> u32 {
        if d == 0 { self.box_dims[0] } else { self.box_dims[d].div_ceil(self.element_strides[d]) }
    }

    /// Bytes of one innermost row in shared memory.
    pub fn row_bytes(&self) -> u32 {
        self.box_dims[0] * self.element.shared_bits() / 8
    }

    /// Distance between rows in shared memory: a swizzle's pattern has rows of its own length, which a
    /// shorter row of the box does not fill (seen on an H200).
    pub fn pitch(&self) -> u32 {
        match self.swizzle {
            Swizzle::None => self.row_bytes(),
            swizzle => self.row_bytes().max(swizzle.span()),
        }
    }

    /// Rows of the box: the product of the copied extents of all dimensions but the innermost.
    pub fn rows(&self) -> u32 {
        (1..self.rank).map(|d| self.copied(d)).product()
    }

    /// Bytes of shared memory that the box spans, gaps between its rows included.
    pub fn shared_bytes(&self) -> u32 {
        self.pitch() * self.rows()
    }

    /// Bytes that a load adds to its mbarrier: the whole box, in bounds or not, padding of the
    /// padded types left out.
    pub fn transaction_bytes(&self) -> u32 {
        self.box_dims[0] * self.element.bits() / 8 * self.rows()
    }

    /// The eight bytes whose repetition fills out-of-bounds elements.
    pub fn fill_pattern(&self) -> [u8; 8] {
        let bits: u64 = match self.oob_fill {
            OobFill::Zero => 0,
            // Seen on an H200 with f16 and f32; assumed for the other types.
            OobFill::Nan => 0x7FF7_7FF7_7FF7_7FF7,
        };
        bits.to_le_bytes()
    }
}

#[cfg(test)]
mod tests;
