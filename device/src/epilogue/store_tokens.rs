//! Accumulators whose lanes are columns of C → global memory.
//!
//! A lane holds one column of C, a register one row, so the 32 lanes of a warp write 32 neighbouring
//! columns of a row. 16-bit results leave in pairs: neighbouring lanes swap halves, and each stores
//! two columns of every other row.

use crate::kernels::Output;
use crate::ptx::math::{cvt_rn_bf16x2_f32, cvt_rn_f16x2_f32};
use crate::ptx::memory::st_global_b32;
use crate::ptx::sreg::{shfl_sync_bfly, tid_x};
use crate::tile::group_schedule::{FLAG_BF16, FLAG_F32};

/// Element type of C, as the launch's flags say it.
#[derive(Clone, Copy, PartialEq)]
pub enum Element {
    /// 16 bits.
    Short(Output),
    /// IEEE single.
    F32,
}

impl Element {
    /// What `flags` says.
    #[inline(always)]
    pub fn of(flags: u32) -> Self {
        if flags & FLAG_F32 != 0 {
            Element::F32
        } else if flags & FLAG_BF16 != 0 {
            Element::Short(Output::Bf16)
        } else {
            Element::Short(Output::F16)
        }
    }

    /// Bytes of an element.
    #[inline(always)]
    pub fn bytes(self) -> u64 {
        if self == Element::F32 { 4 } else { 2 }
    }
}

/// The part of C that a warp stores to.
#[derive(Clone, Copy)]
pub struct Destination {
    /// Address of the tile's first row at the warp's first column.
    pub address: u64,
    /// Bytes from one row to the next.
    pub pitch: u64,
    /// Rows of the tile that C has.
    pub rows: u32,
    /// Columns of C from the warp's first on.
    pub columns: u32,
    /// Element type.
    pub element: Element,
}

impl Destination {
    /// Stores rows `row..row + 8` of the tile: `c[i]` is row `row + i` at the lane's column.
    ///
    /// # Safety
    /// The warp is converged; C may be written at the rows and columns named.
    #[inline(always)]
    pub unsafe fn store_8(self, row: u32, c: [f32; 8]) {
        // SAFETY: the caller's.
        unsafe {
            match self.element {
                Element::F32 => self.store_f32(row, c),
                Element::Short(output) => {
                    self.store_pair(output, row, c[0], c[1]);
                    self.store_pair(output, row + 2, c[2], c[3]);
                    self.store_pair(output, row + 4, c[4], c[5]);
                    self.store_pair(output, row + 6, c[6], c[7]);
                }
            }
        }
    }

    /// Two rows: even lanes store the first, odd lanes the second, two columns each.
    #[inline(always)]
    unsafe fn store_pair(self, output: Output, row: u32, first: f32, second: f32) {
        let lane = tid_x() % 32;
        let odd = lane % 2;
        let other = if odd == 0 { second } else { first };
        let other = f32::from_bits(shfl_sync_bfly(other.to_bits(), 1));
        let (left, right) = if odd == 0 { (first, other) } else { (other, second) };
        let word = match output {
            Output::F16 => cvt_rn_f16x2_f32(right, left),
            Output::Bf16 => cvt_rn_bf16x2_f32(right, left),
        };
        let (row, column) = (row + odd, lane - odd);
        // C's columns are a multiple of 8: both columns are inside or both are not.
        if row < self.rows && column < self.columns {
            // SAFETY: inside C, see the caller.
            unsafe {
                st_global_b32(self.address + row as u64 * self.pitch + 2 * column as u64, word)
            };
        }
    }

    #[inline(always)]
    unsafe fn store_f32(self, row: u32, c: [f32; 8]) {
        let column = tid_x() % 32;
        let address = self.address + row as u64 * self.pitch + 4 * column as u64;
        let rows = if column < self.columns { self.rows } else { 0 };
        let store = |i: u32, value: f32| {
            if row + i < rows {
                // SAFETY: inside C, see the caller.
                unsafe { st_global_b32(address + i as u64 * self.pitch, value.to_bits()) };
            }
        };
        store(0, c[0]);
        store(1, c[1]);
        store(2, c[2]);
        store(3, c[3]);
        store(4, c[4]);
        store(5, c[5]);
        store(6, c[6]);
        store(7, c[7]);
    }
}
