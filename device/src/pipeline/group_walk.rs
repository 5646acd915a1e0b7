//! A warp's way through the tiles of a persistent grid: tiles `cta`, `cta + CTAs`, …, each found in
//! the table of groups or in the experts' offsets. Every warp of a CTA walks on its own and finds the
//! same tiles.
//!
//! 32 groups are looked at a time, one a lane. A walk never goes back: it remembers what lies before
//! the 32 groups that it has come to.

use crate::ptx::memory::{ld_global_nc_b32, ld_global_nc_v2_b32};
use crate::ptx::sreg::{ctaid_x, nctaid_x, shfl_sync_idx, shfl_sync_up, tid_x, vote_sync_ballot};
use crate::tile::group_schedule::{
    self as schedule, RECORD_BYTES, TileInGroup, column_tiles, first_half, group_end, row_tiles,
    scale_blocks,
};

/// What the kernels are launched with.
#[derive(Clone, Copy)]
pub struct Groups {
    /// The records.
    pub table: u64,
    /// One offset more than there are experts; 0 in the listed form.
    pub offsets: u64,
    /// Groups or experts.
    pub count: u32,
}

/// A group's record in the table.
#[derive(Clone, Copy)]
pub struct Record(u64);

impl Record {
    /// A field of 32 bits.
    #[inline(always)]
    pub fn word(self, field: u32) -> u32 {
        // SAFETY: the host has written the whole record before the launch.
        unsafe { ld_global_nc_b32(self.0 + field as u64) }
    }

    /// A field of 64 bits.
    #[inline(always)]
    pub fn address(self, field: u32) -> u64 {
        // SAFETY: the host has written the whole record before the launch.
        let [low, high] = unsafe { ld_global_nc_v2_b32(self.0 + field as u64) };
        low as u64 | (high as u64) << 32
    }
}

/// A tile, found.
#[derive(Clone, Copy)]
pub struct Found {
    /// The record of its group.
    pub record: Record,
    /// Its group or expert.
    pub group: u32,
    /// Where it lies in its group; the batch is that of a listed group.
    pub tile: TileInGroup,
    /// Rows of the group, of one batch.
    pub rows: u32,
    /// The group's first row in A and C; 0 in the listed form.
    pub first_row: u32,
    /// The first block of 128 rows of the group's batch in the tokens' scales.
    pub scale_block: u32,
}

/// Where a warp stands, in tiles of `TOKENS` rows × `COLUMNS` columns.
pub struct Walk<const TOKENS: u32, const COLUMNS: u32> {
    groups: Groups,
    /// Only the first half of the columns, as [`first_half`] cuts them, has tiles.
    halved: bool,
    /// The tile to find next.
    tile: u32,
    /// First of the 32 groups that are looked at.
    base: u32,
    /// Of the groups before: tiles, blocks of scales, rows. The offsets form needs them.
    tiles_before: u32,
    blocks_before: u32,
    end_before: u32,
}

impl<const TOKENS: u32, const COLUMNS: u32> Walk<TOKENS, COLUMNS> {
    /// The start of this CTA's walk.
    #[inline(always)]
    pub fn start(groups: Groups, halved: bool) -> Self {
        let mut walk = Walk {
            groups,
            halved,
            tile: ctaid_x(),
            base: 0,
            tiles_before: 0,
            blocks_before: 0,
            end_before: 0,
        };
        if groups.offsets != 0 {
            let capacity = Record(groups.table).word(schedule::M);
            // SAFETY: the table of offsets has one more than there are experts.
            let first = unsafe { ld_global_nc_b32(groups.offsets) };
            walk.end_before = group_end(first, 0, capacity);
        }
        walk
    }

    /// The next tile; the same in every lane. Runs on a converged warp.
    #[inline(always)]
    pub fn next(&mut self) -> Option<Found> {
        let found = if self.groups.offsets == 0 { self.listed() } else { self.of_experts() };
        self.tile += nctaid_x();
        found
    }

    /// Tiles along the columns of a group.
    #[inline(always)]
    fn columns(&self, n: u32) -> u32 {
        column_tiles(if self.halved { first_half(n) } else { n }, COLUMNS)
    }

    #[inline(always)]
    fn tile_in_group(&self, index: u32, row_tiles: u32, column_tiles: u32) -> TileInGroup {
        TileInGroup::new(index, [row_tiles, column_tiles], [TOKENS, COLUMNS])
    }

    #[inline(always)]
    fn listed(&mut self) -> Option<Found> {
        let lane = tid_x() % 32;
        while self.base < self.groups.count {
            let group = self.base + lane;
            let record = |group: u32| Record(self.groups.table + (group * RECORD_BYTES) as u64);
            let end =
                if group < self.groups.count { record(group).word(schedule::TILES_END) } else { 0 };
            let beyond = vote_sync_ballot(self.tile < end);
            if beyond == 0 {
                self.tiles_before = shfl_sync_idx(end, 31);
                self.base += 32;
                continue;
            }
            let at = beyond.trailing_zeros();
            let previous = shfl_sync_up(end, 1);
            let begin = shfl_sync_idx(if lane == 0 { self.tiles_before } else { previous }, at);
            let group = self.base + at;
            let record = record(group);
            let (m, n) = (record.word(schedule::M), record.word(schedule::N));
            let tile = self.tile_in_group(self.tile - begin, row_tiles(m, TOKENS), self.columns(n));
            let scale_block = tile.batch * scale_blocks(m);
            return Some(Found { record, group, tile, rows: m, first_row: 0, scale_block });
        }
        None
    }

    #[inline(always)]
    fn of_experts(&mut self) -> Option<Found> {
        let lane = tid_x() % 32;
        let record = Record(self.groups.table);
        let capacity = record.word(schedule::M);
        let columns = self.columns(record.word(schedule::N));
        while self.base < self.groups.count {
            let expert = self.base + lane;
            let offset = if expert < self.groups.count {
                // SAFETY: the table of offsets has one more than there are experts.
                unsafe { ld_global_nc_b32(self.groups.offsets + 4 * (expert as u64 + 1)) }
            } else {
                0
            };
            let mut end = group_end(offset, self.end_before, capacity);
            for delta in [1, 2, 4, 8, 16] {
                end = end.max(shfl_sync_up(end, delta));
            }
            let previous = shfl_sync_up(end, 1);
            let begin = if lane == 0 { self.end_before } else { previous };
            let rows = end - begin;
            let (tiles, blocks) = (row_tiles(rows, TOKENS) * columns, scale_blocks(rows));
            let (mut tiles_end, mut blocks_end) = (tiles, blocks);
            for delta in [1, 2, 4, 8, 16] {
                let (t, b) = (shfl_sync_up(tiles_end, delta), shfl_sync_up(blocks_end, delta));
                if lane >= delta {
                    tiles_end += t;
                    blocks_end += b;
                }
            }
            tiles_end += self.tiles_before;
            blocks_end += self.blocks_before;
            let beyond = vote_sync_ballot(self.tile < tiles_end);
            if beyond == 0 {
                self.tiles_before = shfl_sync_idx(tiles_end, 31);
                self.blocks_before = shfl_sync_idx(blocks_end, 31);
                self.end_before = shfl_sync_idx(end, 31);
                self.base += 32;
                continue;
            }
            let at = beyond.trailing_zeros();
            let rows = shfl_sync_idx(rows, at);
            let index = self.tile - shfl_sync_idx(tiles_end - tiles, at);
            return Some(Found {
                record,
                group: self.base + at,
                tile: self.tile_in_group(index, row_tiles(rows, TOKENS), columns),
                rows,
                first_row: shfl_sync_idx(begin, at),
                scale_block: shfl_sync_idx(blocks_end - blocks, at),
            });
        }
        None
    }
}
