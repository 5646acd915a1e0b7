//! A tensor as a view: shape, strides, element type, memory.

use std::fmt;

use super::misfit;
use crate::error::Result;

/// Element types that the forms know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// Two e2m1 values in a byte, the first in the low nibble: `float4_e2m1fn_x2`.
    E2M1x2,
    /// A byte of no declared meaning: `uint8`. Taken for packed e2m1 or for e4m3 by its place.
    U8,
    /// `float8_e4m3fn`.
    E4M3,
    /// `float8_e4m3fnuz`, whose bits mean other numbers: named to be refused.
    E4M3Fnuz,
    /// `float16`.
    F16,
    /// `bfloat16`.
    Bf16,
    /// `float32`.
    F32,
}

impl Element {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Element::E2M1x2 | Element::U8 | Element::E4M3 | Element::E4M3Fnuz => 1,
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
        }
    }

    /// The name that the contest's framework has for it.
    pub fn name(self) -> &'static str {
        match self {
            Element::E2M1x2 => "float4_e2m1fn_x2",
            Element::U8 => "uint8",
            Element::E4M3 => "float8_e4m3fn",
            Element::E4M3Fnuz => "float8_e4m3fnuz",
            Element::F16 => "float16",
            Element::Bf16 => "bfloat16",
            Element::F32 => "float32",
        }
    }
}

/// Where a tensor's first element lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory<'a> {
    /// At the start of these bytes.
    Host(&'a [u8]),
    /// At this device address.
    Device(u64),
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<'a> {
    /// Sizes.
    pub shape: Vec<usize>,
    /// Elements from one index to the next, of each dimension.
    pub strides: Vec<usize>,
    /// Element type.
    pub element: Element,
    /// Where it lies.
    pub memory: Memory<'a>,
}

impl<'a> View<'a> {
    /// A contiguous tensor of shape `shape`, the last index fastest, seen with its dimensions in the
    /// order `axes`: what permuting it gives.
    ///
    /// # Errors
    /// `axes` that are not the dimensions' numbers, each once.
    pub fn permuted(
        shape: &[usize],
        axes: &[usize],
        element: Element,
        memory: Memory<'a>,
    ) -> Result<View<'a>> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted != (0..shape.len()).collect::<Vec<_>>() {
            let expected = format!("each of 0 to {} once", shape.len().saturating_sub(1));
            let remedy = "axes are the dimensions of the contiguous tensor in their new order";
            return Err(misfit("axes", expected, format!("{axes:?}"), remedy));
        }
        let mut strides = vec![1usize; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i].saturating_mul(shape[i]);
        }
        Ok(View {
            shape: axes.iter().map(|&axis| shape[axis]).collect(),
            strides: axes.iter().map(|&axis| strides[axis]).collect(),
            element,
            memory,
        })
    }

    /// Checks shape, strides and, of host memory, that all elements are there.
    ///
    /// # Errors
    /// The first rule broken, of the tensor at `place`.
    pub(super) fn check(&self, place: &str, shape: &[usize], meaning: &str) -> Result<()> {
        let View { strides, .. } = self;
        if self.shape != shape {
            let expected = format!("{shape:?} ({meaning})");
            let remedy = "all tensors of a problem follow from M, N, K and L";
            return Err(misfit(
                format!("{place}, shape"),
                expected,
                format!("{:?}", self.shape),
                remedy,
            ));
        }
        if strides.len() != shape.len() {
            let expected = format!("{} strides", shape.len());
            let remedy = "one for each dimension, in elements";
            return Err(misfit(place, expected, format!("{strides:?}"), remedy));
        }
        let last = shape.iter().zip(strides).try_fold(0usize, |last, (&size, &stride)| {
            last.checked_add(size.checked_sub(1)?.checked_mul(stride)?)
        });
        let empty = shape.contains(&0);
        let end = last.and_then(|last| last.checked_add(1)?.checked_mul(self.element.bytes()));
        match (self.memory, end) {
            _ if empty => Ok(()),
            (Memory::Host(bytes), Some(end)) if bytes.len() >= end => Ok(()),
            (Memory::Device(0), _) => {
                let remedy = "the tensor has elements";
                Err(misfit(format!("{place}, memory"), "an address", "null", remedy))
            }
            (Memory::Device(_), Some(_)) => Ok(()),
            (Memory::Host(bytes), Some(end)) => {
                let expected = format!("{end} bytes, where strides {strides:?} lead");
                let got = format!("{} bytes", bytes.len());
                let remedy = "strides are in elements, not in bytes";
                Err(misfit(format!("{place}, memory"), expected, got, remedy))
            }
            (_, None) => {
                let remedy = "strides are in elements, not in bytes";
                let got = format!("{strides:?}");
                Err(misfit(format!("{place}, strides"), "sizes that fit an address", got, remedy))
            }
        }
    }

    /// True if the elements lie without gaps with the dimensions in the order `axes`, slowest first.
    /// Dimensions of one element lie anywhere.
    pub fn lies_as(&self, axes: &[usize]) -> bool {
        let mut expected = 1;
        axes.iter().rev().all(|&axis| {
            let fits = self.shape[axis] == 1 || self.strides[axis] == expected;
            expected *= self.shape[axis];
            fits
        })
    }

    /// Element number of an index.
    pub(super) fn at(&self, index: &[usize]) -> usize {
        index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum()
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let View { shape, strides, element, memory } = self;
        let place = match memory {
            Memory::Host(_) => "host",
            Memory::Device(_) => "device",
        };
        write!(
            f,
            "a tensor {shape:?} of {} with strides {strides:?} in {place} memory",
            element.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permuting_moves_shape_and_strides() {
        let data = [0u8; 24];
        let view =
            View::permuted(&[2, 3, 4], &[1, 2, 0], Element::U8, Memory::Host(&data)).unwrap();
        assert_eq!(
            (view.shape.as_slice(), view.strides.as_slice()),
            (&[3, 4, 2][..], &[4, 1, 12][..])
        );
        assert!(view.lies_as(&[2, 0, 1]) && !view.lies_as(&[0, 1, 2]));
        assert_eq!(view.at(&[2, 3, 1]), 23);
        view.check("x", &[3, 4, 2], "").unwrap();
        assert!(View::permuted(&[2, 3], &[0, 0], Element::U8, Memory::Host(&data)).is_err());
    }

    #[test]
    fn one_batch_lies_in_every_order() {
        let data = [0u8; 6];
        let view =
            View::permuted(&[1, 2, 3], &[1, 2, 0], Element::U8, Memory::Host(&data)).unwrap();
        let odd = View { strides: vec![3, 1, 77], ..view };
        assert!(odd.lies_as(&[2, 0, 1]) && odd.lies_as(&[0, 1, 2]) && !odd.lies_as(&[1, 0, 2]));
    }

    #[test]
    fn memory_that_is_too_short_is_named() {
        let data = [0u8; 23];
        let view =
            View::permuted(&[2, 3, 4], &[0, 1, 2], Element::U8, Memory::Host(&data)).unwrap();
        let text = view.check("element 0 (a)", &[2, 3, 4], "").unwrap_err().to_string();
        assert!(text.contains("element 0 (a)") && text.contains("24 bytes"), "{text}");
        let huge = View { strides: vec![usize::MAX, 1, 1], ..view };
        assert!(huge.check("x", &[2, 3, 4], "").is_err());
    }
}
