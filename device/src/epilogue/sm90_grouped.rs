//! Two products of two neighbouring columns → C of a group, on sm_90.

use crate::decode::DECODED_UNIT;
use crate::epilogue::silu_mul::silu_mul;
use crate::epilogue::store::{store_2, store_2_f32};
use crate::epilogue::store_tokens::Element;
use crate::pipeline::group_walk::{Found, Groups};
use crate::ptx::memory::ld_global_nc_b32;
use crate::tile::group_schedule::{self as schedule, first_half};
use crate::tile::sm90_grouped::FLAG_ONE_PRODUCT;

/// A tile of a group, and what its sums become.
#[derive(Clone, Copy)]
pub struct Destination {
    found: Found,
    flags: u32,
    alpha1: f32,
    alpha2: f32,
    c: u64,
    n: u32,
    ldc: u32,
}

impl Destination {
    /// Where the tile that was found goes.
    #[inline(always)]
    pub fn new(groups: Groups, flags: u32, found: Found) -> Self {
        let Found { record, group, .. } = found;
        let (alpha1, alpha2) = if groups.offsets == 0 {
            let listed = |field| f32::from_bits(record.word(field));
            (listed(schedule::ALPHA1), listed(schedule::ALPHA2))
        } else {
            let of_expert = |field: u32| {
                // SAFETY: there is one for each expert.
                let bits = unsafe { ld_global_nc_b32(record.address(field) + 4 * group as u64) };
                f32::from_bits(bits)
            };
            let two = flags & FLAG_ONE_PRODUCT == 0;
            let alpha2 = if two { of_expert(schedule::ALPHAS2) } else { 0.0 };
            (of_expert(schedule::ALPHAS1), alpha2)
        };
        Destination {
            found,
            flags,
            alpha1,
            alpha2,
            c: record.address(schedule::C),
            n: record.word(schedule::N),
            ldc: record.word(schedule::LDC),
        }
    }

    /// Stores what two neighbouring columns of a token become: `token` and `column` are the tile's.
    ///
    /// # Safety
    /// C may be written at the group's rows and columns.
    #[inline(always)]
    pub unsafe fn store(&self, token: u32, column: u32, gate: [f32; 2], up: [f32; 2]) {
        let Found { tile, rows, first_row, .. } = self.found;
        let (row, column) = (tile.row + token, tile.column + column);
        if row >= rows {
            return;
        }
        let element = Element::of(self.flags);
        let scaled = |pair: [f32; 2]| pair.map(|sum| sum * (DECODED_UNIT * DECODED_UNIT));
        let (gate, up) = (scaled(gate), scaled(up));
        let row = first_row as u64 + tile.batch as u64 * rows as u64 + row as u64;
        let to = self.c + element.bytes() * (row * self.ldc as u64 + column as u64);
        // SAFETY: inside the group's rows and columns. N is a multiple of 8, so both columns are inside C
        // or both outside.
        unsafe {
            if self.flags & FLAG_ONE_PRODUCT == 0 {
                if column < self.n {
                    let c0 = silu_mul(gate[0], up[0], self.alpha1, self.alpha2);
                    let c1 = silu_mul(gate[1], up[1], self.alpha1, self.alpha2);
                    store_as(element, to, [c0, c1]);
                }
                return;
            }
            let half = first_half(self.n);
            if column < self.n && column < half {
                store_as(element, to, gate.map(|x| x * self.alpha1));
            }
            if column + half < self.n {
                let to = to + element.bytes() * half as u64;
                store_as(element, to, up.map(|x| x * self.alpha1));
            }
        }
    }
}

#[inline(always)]
unsafe fn store_as(element: Element, to: u64, values: [f32; 2]) {
    // SAFETY: the caller's.
    unsafe {
        match element {
            Element::F32 => store_2_f32(to, values),
            Element::Short(output) => store_2(output, to, values),
        }
    }
}
