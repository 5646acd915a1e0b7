//! Which tile of which group: the table that the grouped kernels read, and the arithmetic on it that
//! device and host share.
//!
//! A tile is 128 columns of C by `tokens` rows. Tiles are numbered group after group; within a group
//! the row tiles of one weight tile are neighbours, so that CTAs that run at the same time share
//! weights.
//!
//! Two forms. *Listed*: one record a group, each with its own M, N, K, tensors and running total of
//! tiles. *Offsets*: one record for all experts, which share N and K; the rows of expert `e` are
//! those from `offsets[e]` up to `offsets[e + 1]`, read on the device alone. Offsets are taken as
//! their running maximum, cut at the row capacity: whatever the table holds, experts' rows do not
//! overlap and do not leave the tensors.

use super::geometry::SCALE_ATOM_ROWS;

/// Columns of C, and rows of each weight tensor, in one tile: the MMA's M.
pub const TILE_WEIGHTS: u32 = 128;

/// Bytes of a group's record. Its fields are at the offsets below.
pub const RECORD_BYTES: u32 = 96;
/// Address of three tensor maps: tokens, B1, B2.
pub const MAPS: u32 = 0;
/// Address of the tokens' blocked scales.
pub const TOKEN_SCALES: u32 = 8;
/// Address of B1's blocked scales.
pub const GATE_SCALES: u32 = 16;
/// Address of B2's blocked scales.
pub const UP_SCALES: u32 = 24;
/// Address of C.
pub const C: u32 = 32;
/// Address of an alpha of the first product for each expert; offsets form.
pub const ALPHAS1: u32 = 40;
/// Address of an alpha of the second product for each expert; offsets form.
pub const ALPHAS2: u32 = 48;
/// Rows of a batch of C; in the offsets form the capacity in rows.
pub const M: u32 = 56;
/// Columns of C.
pub const N: u32 = 60;
/// Elements along K.
pub const K: u32 = 64;
/// Elements from one row of C to the next.
pub const LDC: u32 = 68;
/// Tiles of this and all earlier groups; listed form.
pub const TILES_END: u32 = 72;
/// Alpha of the first product; listed form.
pub const ALPHA1: u32 = 76;
/// Alpha of the second product; listed form.
pub const ALPHA2: u32 = 80;

/// Flag of the grouped kernels: C is bf16, not f16.
pub const FLAG_BF16: u32 = 1;
/// Flag of the grouped kernels: C is f32, not f16.
pub const FLAG_F32: u32 = 2;

/// Bytes of a segment of the element-wise second pass.
pub const SEGMENT_BYTES: u32 = 32;
/// Threads per CTA of the second pass.
pub const SILU_MUL_THREADS: u32 = 256;
/// Elements that a thread of the second pass takes at a time.
pub const SILU_MUL_ELEMENTS: u32 = 8;

/// Tiles along the rows of a group.
pub const fn row_tiles(rows: u32, tokens: u32) -> u32 {
    rows.div_ceil(tokens)
}

/// Tiles along the columns of a group.
pub const fn column_tiles(n: u32, columns: u32) -> u32 {
    n.div_ceil(columns)
}

/// Rows of a plain GEMM's weight in the first of two halves, for kernels that always have two products:
/// a whole number of scale atoms, so that both halves' scales start at one.
pub const fn first_half(n: u32) -> u32 {
    n.div_ceil(2).next_multiple_of(SCALE_ATOM_ROWS)
}

/// Blocks of 128 rows that the scales of a group's tokens take: the next group's start at a block of
/// their own.
pub const fn scale_blocks(rows: u32) -> u32 {
    rows.div_ceil(SCALE_ATOM_ROWS)
}

/// The most blocks that the tokens' scales of `experts` groups with `rows` rows together can take:
/// one for each group that has a row, and one more for every 128 rows beyond those.
pub const fn most_scale_blocks(rows: u64, experts: u64) -> u64 {
    let started = if experts < rows { experts } else { rows };
    started + (rows - started) / SCALE_ATOM_ROWS as u64
}

/// The most row tiles of `experts` groups with `rows` rows together.
pub const fn most_row_tiles(rows: u64, experts: u64, tokens: u64) -> u64 {
    let started = if experts < rows { experts } else { rows };
    started + (rows - started) / tokens
}

/// Where a group ends, from what its table says, where the group before it ends, and the capacity.
pub const fn group_end(offset: u32, previous_end: u32, capacity: u32) -> u32 {
    let offset = if offset < capacity { offset } else { capacity };
    if offset > previous_end { offset } else { previous_end }
}

/// A tile within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileInGroup {
    /// First row.
    pub row: u32,
    /// First column.
    pub column: u32,
    /// Batch.
    pub batch: u32,
}

impl TileInGroup {
    /// Tile number `index` of a group with so many tiles along rows and columns, of so many rows and
    /// columns.
    pub const fn new(
        index: u32,
        [row_tiles, column_tiles]: [u32; 2],
        [tokens, columns]: [u32; 2],
    ) -> Self {
        // A tile that exists is in a group that has tiles; the compiler cannot know, and would keep a
        // branch for a division by zero.
        let row_tiles = if row_tiles == 0 { 1 } else { row_tiles };
        let column_tiles = if column_tiles == 0 { 1 } else { column_tiles };
        let rest = index / row_tiles;
        TileInGroup {
            row: index % row_tiles * tokens,
            column: rest % column_tiles * columns,
            batch: rest / column_tiles,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_a_group_is_in_one_tile() {
        for (m, n, l, tokens) in [(1, 8, 1, 16), (129, 136, 2, 64), (40, 256, 3, 32)] {
            let (rows, columns) = (row_tiles(m, tokens), column_tiles(n, TILE_WEIGHTS));
            let mut seen = std::collections::BTreeSet::new();
            for index in 0..rows * columns * l {
                let tile = TileInGroup::new(index, [rows, columns], [tokens, TILE_WEIGHTS]);
                assert!(tile.row < m && tile.column < n && tile.batch < l, "{tile:?}");
                assert!(
                    tile.row.is_multiple_of(tokens) && tile.column.is_multiple_of(TILE_WEIGHTS)
                );
                assert!(seen.insert((tile.batch, tile.row, tile.column)), "{tile:?} twice");
            }
        }
    }

    #[test]
    fn halves_meet_at_an_atom() {
        assert_eq!([8, 128, 136, 256, 264, 4096].map(first_half), [128, 128, 128, 128, 256, 2048]);
    }

    #[test]
    fn neighbouring_tiles_share_weights() {
        let tile = |index| TileInGroup::new(index, [3, 2], [64, TILE_WEIGHTS]);
        assert_eq!(
            [tile(0), tile(1), tile(2)].map(|t| (t.row, t.column)),
            [(0, 0), (64, 0), (128, 0)]
        );
        assert_eq!((tile(3).column, tile(6).batch), (128, 1));
    }

    #[test]
    fn bounds_hold_for_every_split_of_few_rows() {
        // All ways to give 0 to 300 rows in steps that straddle a block to three experts.
        for a in [0, 1, 127, 128, 129] {
            for b in [0, 1, 128, 130] {
                for c in [0, 5, 41] {
                    let rows = a + b + c;
                    let blocks = scale_blocks(a) + scale_blocks(b) + scale_blocks(c);
                    assert!(u64::from(blocks) <= most_scale_blocks(rows.into(), 3));
                    let tiles = row_tiles(a, 64) + row_tiles(b, 64) + row_tiles(c, 64);
                    assert!(u64::from(tiles) <= most_row_tiles(rows.into(), 3, 64));
                }
            }
        }
        assert_eq!(most_scale_blocks(3, 2), 2);
        assert_eq!(most_scale_blocks(130, 2), 3);
    }

    #[test]
    fn a_table_of_nonsense_stays_inside() {
        let mut end = group_end(7, 0, 100);
        for (offset, want) in [(5, 7), (50, 50), (u32::MAX, 100), (60, 100)] {
            end = group_end(offset, end, 100);
            assert_eq!(end, want);
        }
    }
}
