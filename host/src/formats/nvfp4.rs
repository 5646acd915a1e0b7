//! Whole matrices in NVFP4: quantising to it, taking it apart, and reading it back.
//!
//! A matrix has `rows` rows of `k` elements; batches are rows too, one after another. The data are
//! packed two elements a byte, `[rows, k/2]`, and the block scales row-major, `[rows, k/16]`, as
//! checkpoints store them.

use super::e2m1::{self, E2m1};
use super::element::Element;
use super::scale_layout::{BLOCK, ScaleLayout, check_length};
use super::ue4m3::{self, Ue4m3};
use crate::error::{Error, Result};

/// The largest magnitude that a tensor scale of 1 reaches: 6 · 448.
pub const MAX: f32 = e2m1::MAX * ue4m3::MAX;

/// Where the tensor scale comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TensorScale {
    /// A calibrated value, as checkpoints hold it (a multiplier, ModelOpt's `input_scale`).
    Given(f32),
    /// amax / 2688, so that the largest element of the matrix uses the largest block scale and the
    /// largest code.
    FromData,
}

/// A matrix in NVFP4.
#[derive(Debug, Clone, PartialEq)]
pub struct Nvfp4Matrix {
    rows: usize,
    k: usize,
    packed: Vec<u8>,
    scales: Vec<u8>,
    tensor_scale: f32,
}

impl Nvfp4Matrix {
    /// Quantises `rows × k` elements.
    ///
    /// Each block of 16 gets the scale `amax / (6 · tensor scale)`, clamped to 2⁻⁹ … 448 and rounded
    /// to e4m3; a block of zeros gets 1. Each element becomes the code nearest to
    /// `element / (block scale · tensor scale)`. The arithmetic is f32's, as in the tools that make
    /// checkpoints: ties fall as they do there.
    ///
    /// # Errors
    /// A K that is no multiple of 16, a slice of another length, an element that is NaN or
    /// infinite, a given tensor scale that is not a positive normal number.
    pub fn quantize<T: Element>(
        data: &[T],
        rows: usize,
        k: usize,
        tensor_scale: TensorScale,
    ) -> Result<Self> {
        let layout = ScaleLayout::new(rows, k, 1)?;
        let want = elements(rows, k)?;
        check_length("data", "elements", data.len(), want, "rows · K", "pass the whole matrix")?;
        if let Some(at) = data.iter().position(|x| !x.to_f32().is_finite()) {
            let value = data[at].to_f32();
            return Err(Error::NonFiniteElement { row: at / k, column: at % k, value });
        }
        let tensor_scale = match tensor_scale {
            TensorScale::Given(scale) => checked_tensor_scale(scale)?,
            TensorScale::FromData => tensor_scale_for(amax(data)),
        };

        let mut packed = Vec::with_capacity(want / 2);
        let mut scales = Vec::with_capacity(layout.row_major_len());
        for block in data.chunks_exact(BLOCK) {
            let scale = block_scale(amax(block), tensor_scale);
            scales.push(scale.to_bits());
            let step = scale.to_f32() * tensor_scale;
            let code = |x: T| E2m1::nearest(x.to_f32() / step);
            packed.extend(block.chunks_exact(2).map(|two| e2m1::pack(code(two[0]), code(two[1]))));
        }
        Ok(Nvfp4Matrix { rows, k, packed, scales, tensor_scale })
    }

    /// A matrix from its stored parts.
    ///
    /// # Errors
    /// Parts whose lengths do not fit the shape, block scales that are NaN or negative, a tensor
    /// scale that is not a positive number.
    pub fn from_parts(
        rows: usize,
        k: usize,
        packed: Vec<u8>,
        scales: Vec<u8>,
        tensor_scale: f32,
    ) -> Result<Self> {
        let layout = ScaleLayout::new(rows, k, 1)?;
        check_length(
            "packed data",
            "bytes",
            packed.len(),
            elements(rows, k)? / 2,
            "rows · K/2",
            "two elements share a byte",
        )?;
        layout.check_row_major("block scales", &scales)?;
        let tensor_scale = checked_tensor_scale(tensor_scale)?;
        Ok(Nvfp4Matrix { rows, k, packed, scales, tensor_scale })
    }

    /// The values: `code · block scale`, which f32 holds exactly, times the tensor scale.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.packed.len() * 2);
        for (bytes, &scale) in self.packed.chunks_exact(BLOCK / 2).zip(&self.scales) {
            let scale = ue4m3::VALUES[usize::from(scale)];
            for &byte in bytes {
                let (first, second) = e2m1::unpack(byte);
                values.push(first.to_f32() * scale * self.tensor_scale);
                values.push(second.to_f32() * scale * self.tensor_scale);
            }
        }
        values
    }

    /// Rows, of all batches together.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements in a row.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The data, `[rows, k/2]`, the element with the lower index in the low nibble.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The block scales, row-major `[rows, k/16]`.
    pub fn scales(&self) -> &[u8] {
        &self.scales
    }

    /// The multiplier of the whole matrix.
    pub fn tensor_scale(&self) -> f32 {
        self.tensor_scale
    }

    /// The block scales in the layout that the kernels read, for `batch` batches of equal size.
    ///
    /// # Errors
    /// Rows that do not divide into so many batches.
    pub fn blocked_scales(&self, batch: usize) -> Result<Vec<u8>> {
        if batch == 0 || !self.rows.is_multiple_of(batch) {
            return Err(Error::Dimension {
                dimension: "L",
                value: batch,
                rule: "a divisor of the rows of the matrix",
                remedy: "rows are counted through all batches",
            });
        }
        ScaleLayout::new(self.rows / batch, self.k, batch)?.to_blocked(&self.scales)
    }
}

/// The tensor scale that makes `amax` the largest representable magnitude; 1 for all zeros.
pub fn tensor_scale_for(amax: f32) -> f32 {
    if amax == 0.0 {
        return 1.0;
    }
    // Of smaller tensors the scale would be 0 or subnormal.
    (amax / MAX).max(f32::MIN_POSITIVE)
}

/// The scale of a block whose largest magnitude is `amax`.
fn block_scale(amax: f32, tensor_scale: f32) -> Ue4m3 {
    if amax == 0.0 {
        return ue4m3::ONE;
    }
    let wanted = amax / (e2m1::MAX * tensor_scale);
    // Never 0: a block with something in it keeps its signs and, as far as possible, its size.
    Ue4m3::nearest(wanted.clamp(ue4m3::MIN_POSITIVE, ue4m3::MAX))
}

fn amax<T: Element>(data: &[T]) -> f32 {
    data.iter().fold(0.0, |largest, x| x.to_f32().abs().max(largest))
}

fn elements(rows: usize, k: usize) -> Result<usize> {
    rows.checked_mul(k).ok_or(Error::Dimension {
        dimension: "rows",
        value: rows,
        rule: "small enough that rows · K fits an address",
        remedy: "split the matrix",
    })
}

fn checked_tensor_scale(scale: f32) -> Result<f32> {
    // With a subnormal one, block scale · tensor scale could be 0.
    if scale.is_normal() && scale > 0.0 {
        return Ok(scale);
    }
    Err(Error::Scalar {
        name: "tensor scale".into(),
        value: scale,
        rule: "a normal, finite number above 0",
        remedy: "amax / 2688 is the usual choice (`TensorScale::FromData`)",
    })
}
