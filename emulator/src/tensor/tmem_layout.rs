//! Which lane and column of tensor memory each instruction touches.
//!
//! Tensor memory has 128 lanes of 512 columns of 32 bits. Everything here is relative to the
//! address an instruction names; the caller adds the base and checks the bounds.

/// Lanes of tensor memory.
pub const LANES: u32 = 128;
/// Columns of tensor memory.
pub const COLUMNS: u32 = 512;

/// The data-movement shape of `tcgen05.ld` and `tcgen05.st`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessShape {
    /// `.32x32b`
    L32x32b,
    /// `.16x64b`
    L16x64b,
    /// `.16x128b`
    L16x128b,
    /// `.16x256b`
    L16x256b,
    /// `.16x32bx2`
    L16x32bx2,
}

impl AccessShape {
    /// Registers per thread for repeat `.xN`, without `.pack::16b`.
    pub const fn registers(self, repeat: u32) -> u32 {
        match self {
            AccessShape::L32x32b | AccessShape::L16x64b | AccessShape::L16x32bx2 => repeat,
            AccessShape::L16x128b => 2 * repeat,
            AccessShape::L16x256b => 4 * repeat,
        }
    }

    /// Columns covered from the base column (for `.16x32bx2`, by each half).
    pub const fn columns(self, repeat: u32) -> u32 {
        match self {
            AccessShape::L32x32b | AccessShape::L16x32bx2 => repeat,
            AccessShape::L16x64b => 2 * repeat,
            AccessShape::L16x128b => 4 * repeat,
            AccessShape::L16x256b => 8 * repeat,
        }
    }

    /// Lanes covered from the base lane.
    pub const fn lanes(self) -> u32 {
        if matches!(self, AccessShape::L32x32b) { 32 } else { 16 }
    }

    /// The cell (lane, column) that `register` of `thread` (0..32) holds. `half_split` is the
    /// immediate of `.16x32bx2`: the column distance of the upper 16 threads' data.
    #[inline]
    pub const fn cell(self, thread: u32, register: u32, half_split: u32) -> (u32, u32) {
        let (t, i) = (thread, register);
        match self {
            AccessShape::L32x32b => (t, i),
            AccessShape::L16x64b => ((t >> 2) + 8 * (t & 1), ((t >> 1) & 1) + 2 * i),
            AccessShape::L16x128b => ((t >> 2) + 8 * (i & 1), (t & 3) + 4 * (i >> 1)),
            AccessShape::L16x256b => {
                ((t >> 2) + 8 * ((i >> 1) & 1), 2 * (t & 3) + (i & 1) + 8 * (i >> 2))
            }
            AccessShape::L16x32bx2 => (t % 16, i + if t >= 16 { half_split } else { 0 }),
        }
    }
}

/// The shape and multicast of `tcgen05.cp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyShape {
    /// `.128x256b`
    C128x256b,
    /// `.4x256b`
    C4x256b,
    /// `.128x128b`
    C128x128b,
    /// `.64x128b.warpx2::02_13`
    C64x128bWarpx2_02_13,
    /// `.64x128b.warpx2::01_23`
    C64x128bWarpx2_01_23,
    /// `.32x128b.warpx4`
    C32x128bWarpx4,
}

impl CopyShape {
    /// Rows read from shared memory, through a K-major descriptor.
    pub const fn rows(self) -> u32 {
        match self {
            CopyShape::C128x256b | CopyShape::C128x128b => 128,
            CopyShape::C4x256b => 4,
            CopyShape::C64x128bWarpx2_02_13 | CopyShape::C64x128bWarpx2_01_23 => 64,
            CopyShape::C32x128bWarpx4 => 32,
        }
    }

    /// Bytes of a row; byte 4c..4c+4 lands in column c.
    pub const fn row_bytes(self) -> u32 {
        if matches!(self, CopyShape::C128x256b | CopyShape::C4x256b) { 32 } else { 16 }
    }

    /// Columns written.
    pub const fn columns(self) -> u32 {
        self.row_bytes() / 4
    }

    /// The lanes that receive `row`.
    pub fn lanes(self, row: u32) -> impl Iterator<Item = u32> {
        let (first, step, count) = match self {
            CopyShape::C128x256b | CopyShape::C128x128b => (row, 0, 1),
            CopyShape::C4x256b => (32 * row, 0, 1),
            CopyShape::C64x128bWarpx2_02_13 => (row, 64, 2),
            CopyShape::C64x128bWarpx2_01_23 => (row % 32 + 64 * (row / 32), 32, 2),
            CopyShape::C32x128bWarpx4 => (row, 32, 4),
        };
        (0..count).map(move |copy| first + copy * step)
    }
}

/// Where the scale factors of row `row` of A (or B) lie: the lane within each group of 32 lanes
/// (all four groups hold a copy) and the column after the operand's scale address. The factors are
/// the bytes of that cell, the one of block `j` at byte `scale id + j`.
#[inline]
pub const fn scale_cell(row: u32) -> (u32, u32) {
    (row % 32, row / 32)
}

/// Columns that the scale factors of `rows` rows of one K step occupy.
pub const fn scale_columns(rows: u32) -> u32 {
    rows.div_ceil(32)
}

/// How an accumulator of M × N is spread over lanes, columns and the CTAs of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccumulatorLayout {
    /// One CTA, M = 128: lane = row.
    One128,
    /// One CTA, M = 64: sixteen rows at the bottom of each group of 32 lanes.
    One64,
    /// A CTA pair, M = 256: 128 rows in each CTA.
    Pair256,
    /// A CTA pair, M = 128: 64 rows in each CTA, the two halves of N below each other.
    Pair128,
    /// `.ws` with M = 32, 64 or 128: one row a lane, and so many parts of N below each other that
    /// all lanes are used.
    Stationary(u32),
}

impl AccumulatorLayout {
    /// The layout for an instruction shape.
    ///
    /// # Errors
    /// When the instruction set has no such shape.
    pub fn new(cta_group: u32, m: u32) -> Result<Self, String> {
        match (cta_group, m) {
            (1, 128) => Ok(AccumulatorLayout::One128),
            (1, 64) => Ok(AccumulatorLayout::One64),
            (2, 256) => Ok(AccumulatorLayout::Pair256),
            (2, 128) => Ok(AccumulatorLayout::Pair128),
            _ => Err(format!("no accumulator layout for cta_group::{cta_group} with M = {m}")),
        }
    }

    /// The layout of a `.ws` instruction.
    ///
    /// # Errors
    /// When the instruction set has no such shape.
    pub fn weight_stationary(m: u32) -> Result<Self, String> {
        match m {
            32 | 64 | 128 => Ok(AccumulatorLayout::Stationary(m)),
            _ => Err(format!("no accumulator layout for .ws with M = {m}")),
        }
    }

    /// Into how many parts N is split, one below the other. Each has a copy of an A that lies in
    /// tensor memory.
    pub const fn parts(self) -> u32 {
        match self {
            AccumulatorLayout::Stationary(m) => LANES / m,
            AccumulatorLayout::Pair128 => 2,
            _ => 1,
        }
    }

    /// The CTA of the pair, the lane and the column (after the accumulator's address) of `D[m][n]`,
    /// where `columns` is N.
    #[inline]
    pub const fn cell(self, m: u32, n: u32, columns: u32) -> (u32, u32, u32) {
        match self {
            AccumulatorLayout::One128 => (0, m, n),
            AccumulatorLayout::One64 => (0, m % 16 + 32 * (m / 16), n),
            AccumulatorLayout::Pair256 => (m / 128, m % 128, n),
            AccumulatorLayout::Pair128 => {
                let half = columns / 2;
                (m / 64, m % 64 + 64 * (n / half), n % half)
            }
            AccumulatorLayout::Stationary(rows) => {
                let part = columns / self.parts();
                (0, m + rows * (n / part), n % part)
            }
        }
    }

    /// Columns that the accumulator occupies in each CTA, for N = `n`.
    pub const fn columns(self, n: u32) -> u32 {
        n / self.parts()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn worked_examples() {
        let s = AccessShape::L16x256b;
        assert_eq!(
            (0..4).map(|i| s.cell(13, i, 0)).collect::<Vec<_>>(),
            [(3, 2), (3, 3), (11, 2), (11, 3)]
        );
        assert_eq!(AccessShape::L16x64b.cell(13, 0, 0), (11, 0));
        assert_eq!(AccessShape::L16x32bx2.cell(17, 3, 32), (1, 35));
        assert_eq!(scale_cell(77), (13, 2));
        assert_eq!(scale_cell(200), (8, 6));
        assert_eq!(AccumulatorLayout::Pair128.cell(70, 33, 64), (1, 70, 1));
        assert_eq!(AccumulatorLayout::One64.cell(17, 5, 64), (0, 33, 5));
        assert_eq!(AccumulatorLayout::Stationary(32).cell(17, 50, 64), (0, 17 + 96, 2));
        assert_eq!(AccumulatorLayout::Stationary(64).cell(17, 50, 64), (0, 17 + 64, 18));
    }

    #[test]
    fn access_shapes_cover_their_rectangle_once() {
        for shape in [
            AccessShape::L32x32b,
            AccessShape::L16x64b,
            AccessShape::L16x128b,
            AccessShape::L16x256b,
            AccessShape::L16x32bx2,
        ] {
            for repeat in [1, 2, 8] {
                let columns = shape.columns(repeat);
                let mut seen = HashSet::new();
                for t in 0..32 {
                    for i in 0..shape.registers(repeat) {
                        let (lane, column) = shape.cell(t, i, columns);
                        assert!(lane < shape.lanes() && column < 2 * columns);
                        assert!(seen.insert((lane, column)), "{shape:?} x{repeat} {t} {i}");
                    }
                }
                let halves = if shape == AccessShape::L16x32bx2 { 2 } else { 1 };
                assert_eq!(seen.len() as u32, shape.lanes() * columns * halves);
            }
        }
    }

    #[test]
    fn copy_shapes_write_every_lane_they_name_once() {
        for (shape, lanes) in [
            (CopyShape::C128x256b, 128),
            (CopyShape::C128x128b, 128),
            (CopyShape::C4x256b, 4),
            (CopyShape::C64x128bWarpx2_02_13, 128),
            (CopyShape::C64x128bWarpx2_01_23, 128),
            (CopyShape::C32x128bWarpx4, 128),
        ] {
            let all: Vec<u32> = (0..shape.rows()).flat_map(|r| shape.lanes(r)).collect();
            let set: HashSet<u32> = all.iter().copied().collect();
            assert_eq!((all.len(), set.len()), (lanes, lanes), "{shape:?}");
            assert!(set.iter().all(|&l| l < LANES));
        }
        let of = |shape: CopyShape, row| shape.lanes(row).collect::<Vec<_>>();
        assert_eq!(of(CopyShape::C64x128bWarpx2_01_23, 33), [65, 97]);
        assert_eq!(of(CopyShape::C64x128bWarpx2_02_13, 33), [33, 97]);
        assert_eq!(of(CopyShape::C32x128bWarpx4, 13), [13, 45, 77, 109]);
        assert_eq!(of(CopyShape::C4x256b, 3), [96]);
    }

    #[test]
    fn accumulators_are_one_to_one() {
        for (layout, m, n) in [
            (AccumulatorLayout::One128, 128, 64),
            (AccumulatorLayout::One64, 64, 24),
            (AccumulatorLayout::Pair256, 256, 32),
            (AccumulatorLayout::Pair128, 128, 32),
            (AccumulatorLayout::Stationary(32), 32, 64),
            (AccumulatorLayout::Stationary(64), 64, 64),
            (AccumulatorLayout::Stationary(128), 128, 64),
        ] {
            let cells: HashSet<_> =
                (0..m).flat_map(|i| (0..n).map(move |j| layout.cell(i, j, n))).collect();
            assert_eq!(cells.len() as u32, m * n);
            assert!(cells.iter().all(|&(c, l, k)| c < 2 && l < LANES && k < layout.columns(n)));
        }
        assert!(AccumulatorLayout::new(1, 256).is_err());
    }
}
