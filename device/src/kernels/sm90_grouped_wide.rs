//! Grouped GEMM and grouped dual GEMM on NVFP4 weights, for sm_90 and more than 16 tokens a tile: a
//! persistent grid over the tiles of all groups.
//!
//! Contract and grid are those of [`super::sm90_grouped_gemm`]; [`Mainloop`] says who does what. Every warp
//! finds the tiles for itself.

use crate::decode::Half;
use crate::epilogue::sm90_exchange::Exchange;
use crate::epilogue::sm90_grouped::Destination;
use crate::pipeline::group_walk::{Found, Groups, Walk};
use crate::pipeline::ring::RingPosition;
use crate::pipeline::sm90_mainloop::{Mainloop, TokenTile};
use crate::ptx::control::{
    griddepcontrol_launch_dependents, griddepcontrol_wait, setmaxnreg_dec, setmaxnreg_inc,
};
use crate::ptx::sreg::{dyn_smem, elect_sync, shfl_sync_idx, tid_x};
use crate::ptx::sync::{bar_sync, bar_sync_all, bar_warp_sync};
use crate::tile::group_schedule::{self as schedule, first_half};
use crate::tile::packed_sm90::{CHUNK_ROWS, QUARTER_K, STAGE_K, chunk_offset};
use crate::tile::sm90::{
    CONSUMER_REGISTERS, CONSUMER_WARPS, CONSUMERS, PRODUCER_REGISTERS, Sm90Geometry,
};
use crate::tile::sm90_grouped::FLAG_ONE_PRODUCT;
use crate::tile::smem_map::SMEM_ALIGN;

/// The named barrier of the warps that multiply.
const CONSUMER_BARRIER: u32 = 1;
/// Tokens that go through the exchange at a time.
const EXCHANGED: u32 = 32;

/// What every role of a CTA knows.
struct Cta<const T: u32, const REGS: usize, const R: u32, const WS: u32, const TS: u32> {
    groups: Groups,
    flags: u32,
    mainloop: Mainloop<T, REGS, R, WS, TS>,
}

impl<const T: u32, const REGS: usize, const R: u32, const WS: u32, const TS: u32>
    Cta<T, REGS, R, WS, TS>
{
    #[inline(always)]
    fn walk(&self) -> Walk<T, R> {
        Walk::start(self.groups, self.flags & FLAG_ONE_PRODUCT != 0)
    }

    /// One producer warp's work: weights. The whole warp walks, one lane asks.
    #[inline(always)]
    unsafe fn produce_weights(&self) {
        let issues = elect_sync();
        let mut walk = self.walk();
        let mut ring = self.mainloop.weight_ring();
        while let Some(Found { record, group, tile, .. }) = walk.next() {
            let (n, k) = (record.word(schedule::N), record.word(schedule::K));
            // Rows that were packed: of a plain GEMM's two halves.
            let rows = if self.flags & FLAG_ONE_PRODUCT == 0 { n } else { first_half(n) };
            let batch = if self.groups.offsets == 0 { tile.batch } else { group };
            let from = record.address(schedule::GATE_SCALES)
                + chunk_offset(rows, k, batch, tile.column / CHUNK_ROWS, 0);
            if issues {
                // SAFETY: the host has packed the weights to whole blocks of 128 rows.
                unsafe { self.mainloop.load_weights(&mut ring, from, k.div_ceil(STAGE_K)) };
            }
        }
    }

    /// The other's: tokens.
    #[inline(always)]
    unsafe fn produce_tokens(&self) {
        let issues = elect_sync();
        let mut walk = self.walk();
        let mut ring = RingPosition::start();
        while let Some(Found { record, tile, rows, first_row, .. }) = walk.next() {
            let k = record.word(schedule::K);
            let tile = TokenTile {
                map: record.address(schedule::MAPS),
                wide: k.is_multiple_of(QUARTER_K),
                row: first_row + tile.row,
                batch: if self.groups.offsets == 0 { tile.batch } else { 0 },
                rows,
                first_stage: 0,
                stages: k.div_ceil(STAGE_K),
            };
            if issues {
                // SAFETY: the host has made the map for this tile.
                unsafe { self.mainloop.load_tokens(&mut ring, tile) };
            }
        }
    }

    /// The other warps' work: multiplying, and C.
    #[inline(always)]
    unsafe fn consume(&self, warp: u32) {
        let mut walk = self.walk();
        let mut at = self.mainloop.consumer(warp);
        while let Some(found) = walk.next() {
            let stages = found.record.word(schedule::K).div_ceil(STAGE_K);
            let mut d = [0f32; REGS];
            // SAFETY: every warp that multiplies does the same. Written out, so that each round's sums are
            // known registers.
            unsafe {
                self.mainloop.multiply(&mut at, stages, &mut d);
                bar_warp_sync();
                let destination = Destination::new(self.groups, self.flags, found);
                self.store_round::<0>(warp, &destination, &d);
                if T > EXCHANGED {
                    self.store_round::<1>(warp, &destination, &d);
                }
                if T > 2 * EXCHANGED {
                    self.store_round::<2>(warp, &destination, &d);
                    self.store_round::<3>(warp, &destination, &d);
                }
            }
        }
    }

    /// Stores some of a tile's tokens.
    #[inline(always)]
    unsafe fn store_round<const ROUND: u32>(
        &self,
        warp: u32,
        destination: &Destination,
        d: &[f32; REGS],
    ) {
        let at = Mainloop::<T, REGS, R, WS, TS>::SMEM.exchange;
        let exchange = Exchange::<T, R, EXCHANGED> { at: self.mainloop.smem.offset(at) };
        // SAFETY: between two barriers everyone writes, or everyone reads.
        unsafe {
            // Those of the round before, or of the tile before, have been read.
            bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
            exchange.put::<REGS, ROUND>(warp, d);
            bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
            let mut index = tid_x();
            while index < exchange.pairs() {
                let pair = exchange.pair(ROUND, index);
                destination.store(pair.token, pair.column, pair.gate, pair.up);
                index += CONSUMERS;
            }
            bar_warp_sync();
        }
    }
}

/// The kernel.
///
/// # Safety
/// The launch has the shape that [`KERNELS`](super::KERNELS) declares, and the table keeps the
/// contract.
#[inline(always)]
unsafe fn run<const T: u32, const REGS: usize, const R: u32, const WS: u32, const TS: u32>(
    groups: Groups,
    flags: u32,
) {
    let smem = dyn_smem().align_up(SMEM_ALIGN);
    let mainloop = Mainloop { smem, half: Half::F16 };
    let cta = Cta::<T, REGS, R, WS, TS> { groups, flags, mainloop };
    let warp = shfl_sync_idx(tid_x() / 32, 0);
    // SAFETY: each role keeps to its side of the barriers; see the methods.
    unsafe {
        if warp == CONSUMER_WARPS && elect_sync() {
            cta.mainloop.init_barriers();
        }
        bar_warp_sync();
        bar_sync_all();
        griddepcontrol_launch_dependents();
        // The expanded tokens, and the offsets, may be the work of kernels before; nobody stores before
        // tokens have come.
        if groups.offsets != 0 || warp == CONSUMER_WARPS + 1 {
            griddepcontrol_wait();
        }
        let moves_registers = const { Sm90Geometry::new(T, R).moves_registers() };
        if warp >= CONSUMER_WARPS {
            if moves_registers {
                setmaxnreg_dec::<PRODUCER_REGISTERS>();
            }
            if warp == CONSUMER_WARPS {
                cta.produce_weights();
            } else if warp == CONSUMER_WARPS + 1 {
                cta.produce_tokens();
            }
        } else {
            if moves_registers {
                setmaxnreg_inc::<CONSUMER_REGISTERS>();
            }
            cta.consume(warp);
        }
        // Whoever multiplies has seen every arrival, and made all of its own.
        bar_warp_sync();
        bar_sync_all();
        if warp == CONSUMER_WARPS && elect_sync() {
            cta.mainloop.invalidate_barriers();
        }
    }
}

/// Writes an entry point for each tile.
macro_rules! entry_points {
    ($($name:ident: $t:literal tokens, $r:literal rows, $ws:literal and $ts:literal stages;)*) => {$(
        /// `C_g` of every group.
        ///
        /// # Safety
        /// See the head of the file.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(table: u64, offsets: u64, count: u32, flags: u32) {
            let groups = Groups { table, offsets, count };
            // SAFETY: the caller's.
            unsafe { run::<$t, { $t / 2 }, $r, $ws, $ts>(groups, flags) };
        }
    )*};
}

entry_points! {
    nvfp4_grouped_gemm_sm90_32x64: 32 tokens, 64 rows, 5 and 5 stages;
    nvfp4_grouped_gemm_sm90_64x64: 64 tokens, 64 rows, 5 and 3 stages;
    nvfp4_grouped_gemm_sm90_128x64: 128 tokens, 64 rows, 3 and 4 stages;
    nvfp4_grouped_gemm_sm90_128x128: 128 tokens, 128 rows, 2 and 7 stages;
}
