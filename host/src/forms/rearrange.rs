//! A device tensor and its copy in the order that the kernels read or write.

use nvfp4_dual_gemm_device::tile::rearrange as field;

use super::misfit;
use super::view::{Memory, View};
use crate::error::Result;
use crate::formats::scale_layout::ScaleLayout;
use crate::problem::TENSOR_ALIGNMENT;

/// How a device tensor is copied into another order, or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rearrangement {
    /// Where the tensor lies.
    address: u64,
    /// Bytes from its first element to the end of its last.
    extent: usize,
    /// Sizes of six indices, the last fastest in the copy.
    sizes: [u32; 6],
    /// Bytes of an element.
    element: u32,
    /// Bytes from one index to the next in the tensor; in the copy they follow from the sizes.
    steps: [u64; 6],
    /// Rows, and scales of a row, where the copy has more of both; 0 where it has not.
    scales: [u32; 2],
}

impl Rearrangement {
    /// A tensor with its dimensions in the order `axes`, slowest first.
    pub(super) fn of(view: &View<'_>, place: &str, axes: &[usize]) -> Result<Rearrangement> {
        let element = view.element.bytes();
        // Of three dimensions the last is what the threads of a CTA share out.
        let places: &[usize] = if axes.len() == 3 { &[1, 2, 5] } else { &[0, 1, 2, 3, 4, 5] };
        let mut dimensions = [(1, 0); 6];
        for (&place, &axis) in places.iter().zip(axes) {
            dimensions[place] = (view.shape[axis], view.strides[axis]);
        }
        Self::new(view, place, dimensions, element, [0; 2])
    }

    /// Block scales `[rows, K/16, L]` as blocked ones.
    pub(super) fn of_scales(
        view: &View<'_>,
        place: &str,
        [rows, k, l]: [usize; 3],
    ) -> Result<Rearrangement> {
        let [row, scale, batch] = [view.strides[0], view.strides[1], view.strides[2]];
        let dimensions = [
            (l, batch),
            (rows.div_ceil(128), row.saturating_mul(128)),
            (k.div_ceil(64), scale.saturating_mul(4)),
            (32, row),
            (4, row.saturating_mul(32)),
            (4, scale),
        ];
        ScaleLayout::new(rows, k, l)?;
        // K is below 2³¹.
        Self::new(view, place, dimensions, 1, [rows as u32, (k / 16) as u32])
    }

    fn new(
        view: &View<'_>,
        place: &str,
        dimensions: [(usize, usize); 6],
        element: usize,
        scales: [u32; 2],
    ) -> Result<Rearrangement> {
        let count = |part: &[(usize, usize)]| -> Option<usize> {
            let product = part.iter().try_fold(1usize, |all, (size, _)| all.checked_mul(*size))?;
            (product <= i32::MAX as usize).then_some(product)
        };
        let fits = count(&dimensions[..3]).is_some() && count(&dimensions[3..]).is_some();
        let Memory::Device(address) = view.memory else {
            return Err(misfit(
                place,
                "device memory",
                "host memory",
                "that is copied by the host",
            ));
        };
        if !fits || !address.is_multiple_of(element as u64) {
            return Err(misfit(
                format!("{place}, shape and address"),
                "fewer than 2³¹ rows of fewer than 2³¹ elements at a multiple of the element's size",
                format!("{:?} at {address:#x}", view.shape),
                "the copying kernel counts them in 32 bits; split the tensor",
            ));
        }
        let sizes = dimensions.map(|(size, _)| size as u32);
        let steps = dimensions.map(|(_, stride)| stride.wrapping_mul(element) as u64);
        let reach = |(n, s): (&usize, &usize)| n.saturating_sub(1).saturating_mul(*s);
        let last = view.shape.iter().zip(&view.strides).map(reach).fold(0, usize::saturating_add);
        let extent = last.saturating_add(1).saturating_mul(element);
        Ok(Rearrangement { address, extent, sizes, element: element as u32, steps, scales })
    }

    /// Where the tensor lies, and how long that is from its first element to its last.
    pub fn extent(&self) -> (u64, usize) {
        (self.address, self.extent)
    }

    /// Bytes of the copy.
    pub fn bytes(&self) -> usize {
        self.sizes.iter().map(|&size| size as usize).product::<usize>() * self.element as usize
    }

    /// CTAs that find work.
    pub(super) fn ctas(&self) -> u64 {
        self.sizes[..3].iter().map(|&size| u64::from(size)).product()
    }

    /// The task of copying the tensor to `copy`, or (`out_of_it`) the copy to the tensor.
    pub(super) fn task(&self, copy: u64, out_of_it: bool) -> Vec<u8> {
        let wide = self.widened();
        let Rearrangement { address, sizes, element, steps, scales: [rows, columns], .. } = wide;
        let mut in_copy = [u64::from(element); 6];
        for i in (0..5).rev() {
            in_copy[i] = in_copy[i + 1] * u64::from(sizes[i + 1]);
        }
        let (from, to) = ((address, steps), (copy, in_copy));
        let (from, to) = if out_of_it { (to, from) } else { (from, to) };
        let mut bytes = vec![0; field::TASK_BYTES as usize];
        let mut put = |at: u32, value: &[u8]| {
            bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
        };
        put(field::FROM, &from.0.to_le_bytes());
        put(field::TO, &to.0.to_le_bytes());
        for (field, word) in
            [(field::ELEMENT, element), (field::ROWS, rows), (field::COLUMNS, columns)]
        {
            put(field, &word.to_le_bytes());
        }
        for (i, size) in (0..).zip(sizes) {
            put(field::SIZES + 4 * i, &size.to_le_bytes());
            put(field::FROM_STEPS + 8 * i, &from.1[i as usize].to_le_bytes());
            put(field::TO_STEPS + 8 * i, &to.1[i as usize].to_le_bytes());
        }
        bytes
    }

    /// The same in elements of 16 bytes, where the last index is without gaps and everything else a
    /// multiple of 16.
    fn widened(&self) -> Rearrangement {
        const WIDE: u32 = 16;
        let Rearrangement { mut sizes, element, mut steps, .. } = *self;
        let bytes = u64::from(sizes[5]) * u64::from(element);
        let wide = u64::from(WIDE);
        let fits = self.scales == [0; 2]
            && steps[5] == u64::from(element)
            && self.address.is_multiple_of(wide)
            && bytes.is_multiple_of(wide)
            && (0..5).all(|i| sizes[i] == 1 || steps[i].is_multiple_of(wide));
        if !fits {
            return *self;
        }
        sizes[5] = (bytes / wide) as u32;
        steps[5] = wide;
        Rearrangement { sizes, steps, element: WIDE, ..*self }
    }
}

/// Whether the kernels can access a tensor of this order where it lies.
pub(super) fn as_it_lies(view: &View<'_>, address: u64, axes: &[usize]) -> bool {
    view.lies_as(axes) && address.is_multiple_of(TENSOR_ALIGNMENT as u64)
}

/// Checks that no two indices of a tensor that is written mean the same element.
pub(super) fn check_apart(view: &View<'_>, place: &str) -> Result<()> {
    let View { shape, strides, .. } = view;
    let mut dimensions: Vec<_> = shape.iter().zip(strides).filter(|(size, _)| **size > 1).collect();
    dimensions.sort_by_key(|(_, stride)| **stride);
    let mut within = 0;
    for (size, stride) in dimensions {
        if *stride <= within {
            return Err(misfit(
                format!("{place}, strides"),
                "every stride beyond what the smaller ones reach",
                format!("{strides:?} of {shape:?}"),
                "C is written: no two of its elements may lie in one place",
            ));
        }
        within += (size - 1) * stride;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::view::Element;
    use super::*;

    fn view(shape: &[usize], strides: &[usize], element: Element, address: u64) -> View<'static> {
        let memory = Memory::Device(address);
        View { shape: shape.into(), strides: strides.into(), element, memory }
    }

    #[test]
    fn a_task_lies_as_the_kernel_reads_it() {
        // [M, N, L] = [5, 24, 2], rows 40 elements apart, batches 400.
        let c = view(&[5, 24, 2], &[40, 1, 400], Element::F16, 4096);
        let task = Rearrangement::of(&c, "c", &[2, 0, 1]).unwrap();
        assert_eq!((task.bytes(), task.ctas()), (480, 10));
        assert_eq!(task.extent(), (4096, 2 * (4 * 40 + 23 + 400 + 1)));
        let bytes = task.task(1 << 20, true);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!([0, 8].map(long), [1 << 20, 4096]);
        // 48 bytes a row: three elements of 16.
        assert_eq!([16, 20, 24, 28, 32, 36].map(word), [1, 2, 5, 1, 1, 3]);
        assert_eq!([40, 44, 48].map(word), [16, 0, 0]);
        assert_eq!([64, 72, 80, 104].map(long), [480, 240, 48, 16]);
        assert_eq!([112, 120, 128, 152].map(long), [0, 800, 80, 16]);

        let odd = view(&[5, 24, 2], &[41, 1, 400], Element::F16, 4096);
        let bytes = Rearrangement::of(&odd, "c", &[2, 0, 1]).unwrap().task(1 << 20, false);
        assert_eq!((bytes[36], bytes[40]), (24, 2));
        assert_eq!(u64::from_le_bytes(bytes[80..88].try_into().unwrap()), 82);
    }

    #[test]
    fn scales_know_where_they_end() {
        let scales = view(&[130, 6, 1], &[1, 130, 0], Element::E4M3, 4097);
        let task = Rearrangement::of_scales(&scales, "sfa", [130, 96, 1]).unwrap();
        assert_eq!((task.bytes(), task.ctas()), (2 * 2 * 512, 4));
        let bytes = task.task(1 << 20, false);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([16, 20, 24, 28, 32, 36].map(word), [1, 2, 2, 32, 4, 4]);
        assert_eq!([40, 44, 48].map(word), [1, 130, 6]);
        let step = |i: usize| u64::from_le_bytes(bytes[64 + 8 * i..][..8].try_into().unwrap());
        assert_eq!([1, 2, 3, 4, 5].map(step), [128, 520, 1, 32, 130]);
    }

    #[test]
    fn what_cannot_be_copied_is_named() {
        let odd = view(&[5, 24, 2], &[40, 1, 400], Element::F16, 4097);
        let text = Rearrangement::of(&odd, "element 9 (c)", &[2, 0, 1]).unwrap_err().to_string();
        assert!(text.contains("element 9 (c)") && text.contains("0x1001"), "{text}");
        let huge = view(&[1 << 31, 1, 1], &[3, 1, 1], Element::U8, 4096);
        assert!(Rearrangement::of(&huge, "a", &[2, 0, 1]).is_err());
        for (strides, fits) in
            [([24, 1, 120], true), ([1, 5, 120], true), ([0, 1, 24], false), ([24, 1, 100], false)]
        {
            let c = view(&[5, 24, 2], &strides, Element::F16, 4096);
            assert_eq!(check_apart(&c, "c").is_ok(), fits, "{strides:?}");
        }
    }
}
