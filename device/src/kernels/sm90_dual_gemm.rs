//! C = silu(alpha1·A·B1ᵀ) ⊙ (alpha2·A·B2ᵀ) on NVFP4 weights, for sm_90.
//!
//! ```text
//! Contract  A [L, M, K]: f16 or bf16, through a tensor map: the caller's, or what
//!           [`super::sm90_expand`] has made of NVFP4. If K is a multiple of 64, its dimensions are 64
//!           elements, L·M rows, K / 64; else K, M, L
//!           weights: B1 and B2 with their scales, in the order of [`crate::tile::packed_sm90`]
//!           C [L, M, N]: f16 or bf16, rows `ldc` elements apart
//!           M ≥ 1, N % 8 = 0, K % 32 = 0, all pointers multiples of 16: checked by the host's plan
//! Grid      x: any number of CTAs, each of which takes the tiles `cta`, `cta + CTAs`, …; or, in clusters
//!           whose CTAs split K, one cluster for each tile
//! ```
//!
//! [`Mainloop`] says who does what. Weights do not depend on the kernel before this one, so their ring
//! fills at once; tokens follow when that kernel has ended.

use crate::decode::{DECODED_UNIT, Half};
use crate::epilogue::silu_mul::silu_mul;
use crate::epilogue::sm90_exchange::{Exchange, Pair};
use crate::epilogue::store::store_2;
use crate::kernels::{Output, SM90_FLAG_A16, SM90_FLAG_BF16_OUTPUT};
use crate::pipeline::ring::RingPosition;
use crate::pipeline::sm90_mainloop::{Mainloop, TokenTile};
use crate::ptx::cluster::{
    barrier_cluster_arrive, barrier_cluster_wait, cluster_ctarank, cluster_nctarank,
};
use crate::ptx::control::{
    griddepcontrol_launch_dependents, griddepcontrol_wait, setmaxnreg_dec, setmaxnreg_inc,
};
use crate::ptx::sreg::{ctaid_x, dyn_smem, elect_sync, nctaid_x, shfl_sync_idx, tid_x};
use crate::ptx::sync::{bar_sync, bar_sync_all, bar_warp_sync};
use crate::ptx::tma::{cp_async_bulk_prefetch_tensor_3d, prefetch_tensormap};
use crate::tile::packed_sm90::{CHUNK_ROWS, QUARTER_K, STAGE_K, chunk_offset};
use crate::tile::sm90::{
    CONSUMER_REGISTERS, CONSUMER_WARPS, CONSUMERS, PRODUCER_REGISTERS, Sm90Geometry, tile_at,
};
use crate::tile::smem_map::SMEM_ALIGN;

/// What the host passes, as the entry points list it. Device addresses are generic.
#[derive(Clone, Copy)]
struct Arguments {
    /// The tensor map of A.
    map: u64,
    weights: u64,
    c: u64,
    m: u32,
    n: u32,
    k: u32,
    l: u32,
    /// Elements from one row of C to the next.
    ldc: u32,
    alpha1: f32,
    alpha2: f32,
    /// See [`SM90_FLAG_BF16_OUTPUT`] and its neighbour.
    flags: u32,
}

/// The named barrier of the warps that multiply.
const CONSUMER_BARRIER: u32 = 1;

/// A tile of C.
#[derive(Clone, Copy)]
struct Tile {
    row: u32,
    column: u32,
    batch: u32,
}

/// A CTA's way through the tiles. Every warp has one of its own.
struct Tiles<const T: u32, const R: u32> {
    next: u32,
    step: u32,
    row_tiles: u32,
    column_tiles: u32,
    count: u32,
}

impl<const T: u32, const R: u32> Tiles<T, R> {
    #[inline(always)]
    fn next(&mut self) -> Option<Tile> {
        if self.next >= self.count {
            return None;
        }
        let [row, column, batch] = tile_at(self.next, self.row_tiles, self.column_tiles);
        self.next += self.step;
        Some(Tile { row: row * T, column: column * R, batch })
    }
}

/// What every role of a CTA knows. `E` is the tokens that go through the exchange at a time.
struct Cta<
    const T: u32,
    const REGS: usize,
    const R: u32,
    const WS: u32,
    const TS: u32,
    const E: u32,
> {
    args: Arguments,
    mainloop: Mainloop<T, REGS, R, WS, TS>,
    rank: u32,
    ranks: u32,
    /// First stage along K, and the one after the last.
    stages: [u32; 2],
}

impl<const T: u32, const REGS: usize, const R: u32, const WS: u32, const TS: u32, const E: u32>
    Cta<T, REGS, R, WS, TS, E>
{
    /// This CTA's tiles.
    #[inline(always)]
    fn tiles(&self) -> Tiles<T, R> {
        let Arguments { m, n, l, .. } = self.args;
        // Never 0, which the compiler does not know.
        let (row_tiles, column_tiles) = (m.div_ceil(T).max(1), n.div_ceil(R).max(1));
        Tiles {
            next: ctaid_x() / self.ranks,
            step: nctaid_x() / self.ranks,
            row_tiles,
            column_tiles,
            count: row_tiles * column_tiles * l,
        }
    }

    /// One producer's work: weights.
    #[inline(always)]
    unsafe fn produce_weights(&self) {
        let Arguments { weights, n, k, .. } = self.args;
        let [first, last] = self.stages;
        let mut ring = self.mainloop.weight_ring();
        let mut tiles = self.tiles();
        while let Some(tile) = tiles.next() {
            let chunk = tile.column / CHUNK_ROWS;
            let from = weights + chunk_offset(n, k, tile.batch, chunk, first);
            // SAFETY: the host has packed the weights to whole blocks of 128 rows.
            unsafe { self.mainloop.load_weights(&mut ring, from, last - first) };
        }
    }

    /// The other producer's work: the tokens, once the kernel before has ended.
    #[inline(always)]
    unsafe fn produce_tokens(&self) {
        let Arguments { map, m, k, flags, .. } = self.args;
        let [first, last] = self.stages;
        let wide = k.is_multiple_of(QUARTER_K);
        let mut ring = RingPosition::start();
        // SAFETY: the map is as the head of the file says.
        unsafe {
            // Each CTA hints at a piece of A, which all will want at once. A hint is not a read: what is
            // written later is what will arrive.
            let piece =
                ctaid_x() * const { Mainloop::<T, REGS, R, WS, TS>::GEOMETRY.token_quarters };
            if wide && flags & SM90_FLAG_A16 != 0 && piece * QUARTER_K < k {
                cp_async_bulk_prefetch_tensor_3d(map, [0, 0, piece]);
            }
            // A may be the work of the kernel before, and C still its operand.
            griddepcontrol_wait();
        }
        let mut tiles = self.tiles();
        while let Some(tile) = tiles.next() {
            let Tile { row, batch, .. } = tile;
            let stages = last - first;
            let tile = TokenTile { map, wide, row, batch, rows: m, first_stage: first, stages };
            // SAFETY: as above.
            unsafe { self.mainloop.load_tokens(&mut ring, tile) };
        }
    }

    /// The other warps' work: multiplying, and C. With K split, the sums stay in the exchange.
    #[inline(always)]
    unsafe fn consume(&self, warp: u32) {
        let [first, last] = self.stages;
        let mut at = self.mainloop.consumer(warp);
        let mut tiles = self.tiles();
        while let Some(tile) = tiles.next() {
            let mut d = [0f32; REGS];
            // SAFETY: every warp that multiplies does the same.
            unsafe {
                self.mainloop.multiply(&mut at, last - first, &mut d);
                bar_warp_sync();
                if self.ranks > 1 {
                    // Everyone's operands have been read: their memory becomes the exchange's.
                    bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
                    self.exchange_of_cluster().put::<REGS, 0>(warp, &d);
                } else {
                    self.store_tile(warp, tile, &d);
                }
            }
        }
    }

    /// The exchange of a CTA that shares its tile with others.
    #[inline(always)]
    fn exchange_of_cluster(&self) -> Exchange<T, R, T> {
        Exchange { at: self.mainloop.smem }
    }

    /// Stores a tile whose sums are all this CTA's, some tokens at a time.
    #[inline(always)]
    unsafe fn store_tile(&self, warp: u32, tile: Tile, d: &[f32; REGS]) {
        // SAFETY: the caller's. Written out, so that each round's sums are known registers.
        unsafe {
            self.store_round::<0>(warp, tile, d);
            if T > E {
                self.store_round::<1>(warp, tile, d);
            }
            if T > 2 * E {
                self.store_round::<2>(warp, tile, d);
                self.store_round::<3>(warp, tile, d);
            }
        }
    }

    /// One round.
    #[inline(always)]
    unsafe fn store_round<const ROUND: u32>(&self, warp: u32, tile: Tile, d: &[f32; REGS]) {
        let at = Mainloop::<T, REGS, R, WS, TS>::SMEM.exchange;
        let exchange = Exchange::<T, R, E> { at: self.mainloop.smem.offset(at) };
        // SAFETY: between two barriers everyone writes, or everyone reads.
        unsafe {
            // Those of the round before, or of the tile before, have been read.
            bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
            exchange.put::<REGS, ROUND>(warp, d);
            bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
            let mut index = tid_x();
            while index < exchange.pairs() {
                self.store(tile, exchange.pair(ROUND, index));
                index += CONSUMERS;
            }
            bar_warp_sync();
        }
    }

    /// Stores this CTA's share of a tile whose sums lie in all CTAs of the cluster.
    #[inline(always)]
    unsafe fn store_share(&self) {
        let exchange = self.exchange_of_cluster();
        let mut tiles = self.tiles();
        if let Some(tile) = tiles.next() {
            let mut index = self.rank * CONSUMERS + tid_x();
            while index < exchange.pairs() {
                // SAFETY: the caller's.
                self.store(tile, unsafe { exchange.pair_of_cluster(self.ranks, index) });
                index += self.ranks * CONSUMERS;
            }
        }
    }

    /// Stores two columns of a token.
    #[inline(always)]
    fn store(&self, tile: Tile, pair: Pair) {
        let Arguments { c, m, n, ldc, alpha1, alpha2, flags, .. } = self.args;
        let (row, column) = (tile.row + pair.token, tile.column + pair.column);
        // N is a multiple of 8, so both columns are inside C or both outside.
        if row >= m || column >= n {
            return;
        }
        let output = if flags & SM90_FLAG_BF16_OUTPUT != 0 { Output::Bf16 } else { Output::F16 };
        let sixteen_bit = flags & SM90_FLAG_A16 != 0;
        let unit = if sixteen_bit { DECODED_UNIT } else { DECODED_UNIT * DECODED_UNIT };
        let [g0, g1] = pair.gate;
        let [u0, u1] = pair.up;
        let c0 = silu_mul(g0 * unit, u0 * unit, alpha1, alpha2);
        let c1 = silu_mul(g1 * unit, u1 * unit, alpha1, alpha2);
        let element = (tile.batch as u64 * m as u64 + row as u64) * ldc as u64 + column as u64;
        // SAFETY: inside C.
        unsafe { store_2(output, c + 2 * element, [c0, c1]) };
    }
}

/// The kernel.
///
/// # Safety
/// The launch has the shape that [`KERNELS`](super::KERNELS) declares, and the arguments keep the
/// contract at the head of this file.
#[inline(always)]
unsafe fn run<
    const T: u32,
    const REGS: usize,
    const R: u32,
    const WS: u32,
    const TS: u32,
    const E: u32,
>(
    args: Arguments,
    half: Half,
) {
    // Never 0, which the compiler does not know.
    let (rank, ranks) = (cluster_ctarank(), cluster_nctarank().max(1));
    let stages = args.k.div_ceil(STAGE_K);
    let share = |rank: u32| (rank as u64 * stages as u64 / ranks as u64) as u32;
    let smem = dyn_smem().align_up(SMEM_ALIGN);
    let cta = Cta::<T, REGS, R, WS, TS, E> {
        args,
        mainloop: Mainloop { smem, half },
        rank,
        ranks,
        stages: [share(rank), share(rank + 1)],
    };
    let warp = shfl_sync_idx(tid_x() / 32, 0);
    // SAFETY: each role keeps to its side of the barriers; see the methods.
    unsafe {
        if warp == CONSUMER_WARPS && elect_sync() {
            prefetch_tensormap(args.map);
            cta.mainloop.init_barriers();
        }
        bar_warp_sync();
        bar_sync_all();
        // The next kernel may get ready: it waits for this one's end before it writes.
        griddepcontrol_launch_dependents();
        let moves_registers = const { Sm90Geometry::new(T, R).moves_registers() };
        if warp >= CONSUMER_WARPS {
            if moves_registers {
                setmaxnreg_dec::<PRODUCER_REGISTERS>();
            }
            if elect_sync() {
                if warp == CONSUMER_WARPS {
                    cta.produce_weights();
                } else if warp == CONSUMER_WARPS + 1 {
                    cta.produce_tokens();
                }
            }
        } else {
            if moves_registers {
                setmaxnreg_inc::<CONSUMER_REGISTERS>();
            }
            cta.consume(warp);
        }
        // One barrier for all roles, at one place.
        bar_warp_sync();
        if ranks == 1 {
            bar_sync_all();
        } else {
            barrier_cluster_arrive();
            barrier_cluster_wait();
            if warp < CONSUMER_WARPS {
                cta.store_share();
            }
            // No CTA ends while another may read its shared memory. Lanes have had different shares.
            bar_warp_sync();
            barrier_cluster_arrive();
            barrier_cluster_wait();
        }
        if warp == CONSUMER_WARPS && elect_sync() {
            cta.mainloop.invalidate_barriers();
        }
    }
}

/// Writes an entry point for each tile and operand type.
macro_rules! entry_points {
    ($($name:ident: $t:literal tokens, $r:literal rows, $ws:literal and $ts:literal stages,
       $e:literal exchanged, $half:ident;)*) => {$(
        /// `C = silu(alpha1·A·B1ᵀ) ⊙ (alpha2·A·B2ᵀ)`.
        ///
        /// # Safety
        /// See the head of the file.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(
            map: u64, weights: u64, c: u64,
            m: u32, n: u32, k: u32, l: u32, ldc: u32, alpha1: f32, alpha2: f32, flags: u32,
        ) {
            let args = Arguments { map, weights, c, m, n, k, l, ldc, alpha1, alpha2, flags };
            // SAFETY: the caller's.
            unsafe { run::<$t, { $t / 2 }, $r, $ws, $ts, $e>(args, Half::$half) };
        }
    )*};
}

entry_points! {
    nvfp4_dual_gemm_sm90_8x32_f16: 8 tokens, 32 rows, 12 and 12 stages, 8 exchanged, F16;
    nvfp4_dual_gemm_sm90_16x32_f16: 16 tokens, 32 rows, 11 and 11 stages, 16 exchanged, F16;
    nvfp4_dual_gemm_sm90_32x32_f16: 32 tokens, 32 rows, 7 and 7 stages, 32 exchanged, F16;
    nvfp4_dual_gemm_sm90_32x64_f16: 32 tokens, 64 rows, 5 and 5 stages, 32 exchanged, F16;
    nvfp4_dual_gemm_sm90_64x64_f16: 64 tokens, 64 rows, 5 and 3 stages, 32 exchanged, F16;
    nvfp4_dual_gemm_sm90_128x64_f16: 128 tokens, 64 rows, 3 and 4 stages, 32 exchanged, F16;
    nvfp4_dual_gemm_sm90_128x128_f16: 128 tokens, 128 rows, 2 and 7 stages, 32 exchanged, F16;
    nvfp4_dual_gemm_sm90_8x32_bf16: 8 tokens, 32 rows, 12 and 12 stages, 8 exchanged, Bf16;
    nvfp4_dual_gemm_sm90_16x32_bf16: 16 tokens, 32 rows, 11 and 11 stages, 16 exchanged, Bf16;
    nvfp4_dual_gemm_sm90_32x32_bf16: 32 tokens, 32 rows, 7 and 7 stages, 32 exchanged, Bf16;
    nvfp4_dual_gemm_sm90_32x64_bf16: 32 tokens, 64 rows, 5 and 5 stages, 32 exchanged, Bf16;
    nvfp4_dual_gemm_sm90_64x64_bf16: 64 tokens, 64 rows, 5 and 3 stages, 32 exchanged, Bf16;
    nvfp4_dual_gemm_sm90_128x64_bf16: 128 tokens, 64 rows, 3 and 4 stages, 32 exchanged, Bf16;
    nvfp4_dual_gemm_sm90_128x128_bf16: 128 tokens, 128 rows, 2 and 7 stages, 32 exchanged, Bf16;
}
