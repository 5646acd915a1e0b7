//! Grouped GEMM and grouped dual GEMM on NVFP4 weights, for sm_90: a persistent grid over the tiles of
//! all groups.
//!
//! ```text
//! Computes  C_g = alpha1_g·A_g·B1_gᵀ, or C_g = silu(alpha1_g·A_g·B1_gᵀ) ⊙ (alpha2_g·A_g·B2_gᵀ)
//! Contract  the table of groups, and the offsets of experts if there are: tile/group_schedule.rs;
//!           of the maps only A's, as [`super::sm90_grouped_expand`] has made it: f16 [L, M, K];
//!           the gate's scales' address is that of the packed weights, tile/packed_sm90.rs
//!           C: f16, bf16 or f32; N % 8 = 0, K % 32 = 0, pointers multiples of 16: the host's plan
//! Grid      x: any number of CTAs; each walks the tiles `cta`, `cta + CTAs`, …
//! Roles     sixteen or eight consumer warps | one producer warp
//! Barriers  producer --arrived[stage]-----> consumers
//!                    <--stage_free[stage]--
//! ```
//!
//! Weights are the MMA's A operand, decoded in registers; tokens its B. The ring runs on from tile to
//! tile, so the weights of the next tile come while this one's sums are exchanged.
//!
//! A plain GEMM is two products as well: the rows of its weight were packed as two halves.

use crate::decode::{DECODED_UNIT, Half, packed_fragment, packed_scales};
use crate::epilogue::silu_mul::silu_mul;
use crate::epilogue::store::{store_2, store_2_f32};
use crate::epilogue::store_tokens::Element;
use crate::pipeline::barriers::wait;
use crate::pipeline::group_walk::{Found, Groups, Walk};
use crate::pipeline::ring::RingPosition;
use crate::ptx::SharedAddr;
use crate::ptx::control::{
    griddepcontrol_launch_dependents, griddepcontrol_wait, setmaxnreg_dec, setmaxnreg_inc,
};
use crate::ptx::mbarrier::{
    mbarrier_arrive, mbarrier_arrive_expect_tx, mbarrier_init, mbarrier_inval,
};
use crate::ptx::memory::{
    ld_global_nc_b32, ld_shared_b32, ld_shared_v2_b32, ld_shared_v4_b32, st_shared_f32,
};
use crate::ptx::mma::{ldmatrix_x4, mma_m16n8k16_f16};
use crate::ptx::sreg::{dyn_smem, elect_sync, shfl_sync_idx, tid_x};
use crate::ptx::sync::{bar_sync, bar_sync_all, bar_warp_sync, fence_mbarrier_init};
use crate::ptx::tma::{cp_async_bulk, cp_async_bulk_tensor_3d};
use crate::tile::group_schedule::{self as schedule, first_half};
use crate::tile::packed_sm90::{
    CHUNK_BYTES, CHUNK_ROWS, CODES_OF_B2, PIECE_ROWS, PIECES, QUARTERS, SCALES_OF_B2, STAGE_K,
    chunk_offset, codes_at, scales_at,
};
use crate::tile::sm90_grouped::{
    FLAG_ONE_PRODUCT, GroupedSm90Geometry, GroupedSm90SmemMap, TILE_ROWS,
};
use crate::tile::smem_map::SMEM_ALIGN;

/// Bytes along K of one box of A: a row of the 128B swizzle.
const BOX_BYTES: u32 = 128;
/// The named barrier of the consumers.
const CONSUMER_BARRIER: u32 = 1;

/// What every role of a CTA knows. `N` is the tokens' 8s, `CONSUMERS` the threads that multiply.
struct Cta<const T: u32, const N: usize, const CONSUMERS: u32, const STAGES: u32> {
    groups: Groups,
    flags: u32,
    smem: SharedAddr,
}

impl<const T: u32, const N: usize, const CONSUMERS: u32, const STAGES: u32>
    Cta<T, N, CONSUMERS, STAGES>
{
    const GEOMETRY: GroupedSm90Geometry = {
        let geometry = GroupedSm90Geometry::new(T);
        assert!(geometry.stages == STAGES && N as u32 == T / 8);
        assert!(CONSUMERS == 32 * geometry.consumer_warps());
        geometry
    };
    const SMEM: GroupedSm90SmemMap = GroupedSm90SmemMap::new(Self::GEOMETRY);
    const PITCH: u32 = Self::GEOMETRY.exchange_pitch();
    const WARPS: u32 = CONSUMERS / 32;
    const PARTS: u32 = Self::GEOMETRY.parts();

    #[inline(always)]
    fn weights(&self, stage: u32) -> SharedAddr {
        self.smem.offset(stage * Self::GEOMETRY.stage_bytes())
    }

    #[inline(always)]
    fn tokens(&self, stage: u32) -> SharedAddr {
        self.weights(stage).offset(Self::GEOMETRY.weight_bytes())
    }

    /// One arrival, the producer's, and the bytes of the stage's copies.
    #[inline(always)]
    fn arrived(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.arrived + 8 * stage)
    }

    /// One arrival from each consumer warp.
    #[inline(always)]
    fn stage_free(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.stage_free + 8 * stage)
    }

    /// Columns of C that have tiles of their own: all, or of a plain GEMM the first half.
    #[inline(always)]
    fn packed_rows(&self, n: u32) -> u32 {
        if self.flags & FLAG_ONE_PRODUCT == 0 { n } else { first_half(n) }
    }

    #[inline(always)]
    fn walk(&self) -> Walk<T, TILE_ROWS> {
        Walk::start(self.groups, self.flags & FLAG_ONE_PRODUCT != 0)
    }

    /// Makes the barriers; one thread.
    #[inline(always)]
    unsafe fn init_barriers(&self) {
        // SAFETY: the map gives every barrier 8 bytes of its own; nothing else runs yet.
        unsafe {
            for stage in 0..STAGES {
                mbarrier_init(self.arrived(stage), 1);
                mbarrier_init(self.stage_free(stage), Self::WARPS);
            }
            fence_mbarrier_init();
        }
    }

    /// Ends the barriers' lives; one thread, when nothing will arrive any more.
    #[inline(always)]
    unsafe fn invalidate_barriers(&self) {
        // SAFETY: consumers have seen every arrival, and have made all theirs.
        unsafe {
            for stage in 0..STAGES {
                mbarrier_inval(self.arrived(stage));
                mbarrier_inval(self.stage_free(stage));
            }
        }
    }

    /// The producer warp's work: fills the ring, tile after tile. The whole warp walks, one lane asks.
    #[inline(always)]
    unsafe fn produce(&self) {
        let issues = elect_sync();
        let mut walk = self.walk();
        let mut ring = RingPosition::<STAGES>::start();
        // SAFETY: the addresses come from the shared-memory map and from the table; a stage is
        // written only when the consumers have freed it.
        unsafe {
            while let Some(found) = walk.next() {
                if issues {
                    self.load_tile(found, &mut ring);
                }
            }
        }
    }

    /// Loads all of K of one tile; one thread.
    #[inline(always)]
    unsafe fn load_tile(&self, found: Found, ring: &mut RingPosition<STAGES>) {
        let Found { record, group, tile, first_row, .. } = found;
        let k = record.word(schedule::K);
        let n = self.packed_rows(record.word(schedule::N));
        let map = record.address(schedule::MAPS);
        let weights = record.address(schedule::GATE_SCALES);
        let (token_batch, weight_batch) =
            if self.groups.offsets == 0 { (tile.batch, tile.batch) } else { (0, group) };
        let token_row = first_row + tile.row;
        // Boxes count in full, also what lies outside the tensor and arrives as zeros.
        let bytes = Self::GEOMETRY.stage_bytes();
        // SAFETY: see `produce`.
        unsafe {
            for k_tile in 0..k.div_ceil(STAGE_K) {
                wait(self.stage_free(ring.stage()), ring.freed());
                let arrived = self.arrived(ring.stage());
                mbarrier_arrive_expect_tx(arrived, bytes);
                for i in 0..TILE_ROWS / CHUNK_ROWS {
                    let chunk = tile.column / CHUNK_ROWS + i;
                    let from = weights + chunk_offset(n, k, weight_batch, chunk, k_tile);
                    let to = self.weights(ring.stage()).offset(i * CHUNK_BYTES);
                    cp_async_bulk(to, from, CHUNK_BYTES, arrived);
                }
                for quarter in 0..QUARTERS {
                    let to = self.tokens(ring.stage());
                    let to = to.offset(quarter * Self::GEOMETRY.quarter_bytes());
                    let x = (k_tile * QUARTERS + quarter) * BOX_BYTES;
                    cp_async_bulk_tensor_3d(to, map, [x, token_row, token_batch], arrived);
                }
                ring.advance();
            }
        }
    }

    /// A consumer warp's work: multiplies its rows and its quarter of every stage of every tile.
    #[inline(always)]
    unsafe fn consume(&self, warp: u32) {
        let mut walk = self.walk();
        let mut ring = RingPosition::<STAGES>::start();
        // SAFETY: a stage is read between its arrival and the arrival at `stage_free`; all consumers
        // come to every barrier.
        unsafe {
            while let Some(found) = walk.next() {
                let k = found.record.word(schedule::K);
                let mut gate = [[0f32; 4]; N];
                let mut up = [[0f32; 4]; N];
                for _ in 0..k.div_ceil(STAGE_K) {
                    self.multiply_stage(warp, &mut ring, &mut gate, &mut up);
                }
                self.exchange(warp, &gate, &up);
                self.store_c(found);
            }
        }
    }

    /// One stage: the warp's rows of both weights by all tokens.
    #[inline(always)]
    unsafe fn multiply_stage(
        &self,
        warp: u32,
        ring: &mut RingPosition<STAGES>,
        gate: &mut [[f32; 4]; N],
        up: &mut [[f32; 4]; N],
    ) {
        let lane = tid_x() % 32;
        let (piece, part) = (warp / Self::PARTS, warp % Self::PARTS);
        // SAFETY: see `consume`.
        unsafe {
            wait(self.arrived(ring.stage()), ring.filled());
            let (weights, tokens) = (self.weights(ring.stage()), self.tokens(ring.stage()));
            if Self::PARTS == QUARTERS {
                self.multiply_quarter(weights, tokens, piece, part, gate, up);
            } else {
                self.multiply_quarter(weights, tokens, piece, 2 * part, gate, up);
                self.multiply_quarter(weights, tokens, piece, 2 * part + 1, gate, up);
            }
            bar_warp_sync();
            if lane == 0 {
                mbarrier_arrive(self.stage_free(ring.stage()));
            }
            ring.advance();
        }
    }

    /// A quarter of a stage: four steps along K.
    #[inline(always)]
    unsafe fn multiply_quarter(
        &self,
        weights: SharedAddr,
        tokens: SharedAddr,
        piece: u32,
        quarter: u32,
        gate: &mut [[f32; 4]; N],
        up: &mut [[f32; 4]; N],
    ) {
        let lane = tid_x() % 32;
        let chunk = piece / PIECES * CHUNK_BYTES;
        let codes = weights.offset(chunk + codes_at(piece % PIECES, quarter) + 16 * lane);
        let scales = weights.offset(chunk + scales_at(piece % PIECES, quarter) + 8 * (lane / 4));
        // The lane's row of the four matrices of `ldmatrix`: two steps of 16 along K, two halves each.
        let rows = tokens.offset(quarter * Self::GEOMETRY.quarter_bytes() + lane % 8 * 128);
        let low = rows.offset(((lane / 8) ^ (lane % 8)) * 16);
        let high = rows.offset(((lane / 8 + 4) ^ (lane % 8)) * 16);
        // SAFETY: see `consume`.
        unsafe {
            let wg = ld_shared_v4_b32(codes);
            let wu = ld_shared_v4_b32(codes.offset(CODES_OF_B2));
            let sg = ld_shared_v2_b32(scales);
            let su = ld_shared_v2_b32(scales.offset(SCALES_OF_B2));
            Self::two_steps(low, [wg[0], wg[1]], [wu[0], wu[1]], [sg[0], su[0]], gate, up);
            Self::two_steps(high, [wg[2], wg[3]], [wu[2], wu[3]], [sg[1], su[1]], gate, up);
        }
    }

    /// Two steps along K.
    #[inline(always)]
    unsafe fn two_steps(
        tokens: SharedAddr,
        wg: [u32; 2],
        wu: [u32; 2],
        [sg, su]: [u32; 2],
        gate: &mut [[f32; 4]; N],
        up: &mut [[f32; 4]; N],
    ) {
        let even = |word, scales| {
            packed_fragment(Half::F16, word, packed_scales::<false>(Half::F16, scales))
        };
        let odd = |word, scales| {
            packed_fragment(Half::F16, word, packed_scales::<true>(Half::F16, scales))
        };
        let (g0, g1, u0, u1) = (even(wg[0], sg), odd(wg[1], sg), even(wu[0], su), odd(wu[1], su));
        for i in 0..N {
            // SAFETY: see `consume`.
            unsafe {
                let b = ldmatrix_x4(tokens.offset(1024 * i as u32));
                gate[i] = mma_m16n8k16_f16(g0, [b[0], b[1]], gate[i]);
                up[i] = mma_m16n8k16_f16(u0, [b[0], b[1]], up[i]);
                gate[i] = mma_m16n8k16_f16(g1, [b[2], b[3]], gate[i]);
                up[i] = mma_m16n8k16_f16(u1, [b[2], b[3]], up[i]);
            }
        }
    }

    /// Sums the parts in the exchange, `[token][row]`, one after another, so that the result has the
    /// same bits every time.
    #[inline(always)]
    unsafe fn exchange(&self, warp: u32, gate: &[[f32; 4]; N], up: &[[f32; 4]; N]) {
        let lane = tid_x() % 32;
        let (piece, own) = (warp / Self::PARTS, warp % Self::PARTS);
        let (g, t) = (lane / 4, lane % 4);
        let at = self.smem.offset(Self::SMEM.exchange);
        let at = at.offset(4 * (2 * t * Self::PITCH + PIECE_ROWS * piece + g));
        // SAFETY: between two barriers one part's threads access their own words.
        unsafe {
            for part in 0..Self::PARTS {
                // The first also waits until the tile before has been stored.
                bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
                if part == own {
                    self.add(at, gate, part == 0);
                    self.add(at.offset(Self::GEOMETRY.exchange_bytes()), up, part == 0);
                }
            }
            bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
        }
    }

    /// Adds a thread's accumulators to the exchange, or puts them there.
    #[inline(always)]
    unsafe fn add(&self, at: SharedAddr, d: &[[f32; 4]; N], first: bool) {
        for i in 0..N {
            let at = at.offset(4 * 8 * i as u32 * Self::PITCH);
            for j in 0..4 {
                let at = at.offset(4 * (j as u32 % 2 * Self::PITCH + j as u32 / 2 * 8));
                // SAFETY: the word is this thread's alone.
                unsafe {
                    let before = if first { 0.0 } else { f32::from_bits(ld_shared_b32(at)) };
                    st_shared_f32(at, before + d[i][j]);
                }
            }
        }
    }

    /// Stores the tile: 2 columns of a token for a thread at a time.
    #[inline(always)]
    unsafe fn store_c(&self, found: Found) {
        let Found { record, tile, rows, first_row, .. } = found;
        let element = Element::of(self.flags);
        let store = |to, values| {
            // SAFETY: the caller of `store_c`'s.
            unsafe {
                match element {
                    Element::F32 => store_2_f32(to, values),
                    Element::Short(output) => store_2(output, to, values),
                }
            }
        };
        let one_product = self.flags & FLAG_ONE_PRODUCT != 0;
        let (alpha1, alpha2) = self.alphas(found);
        let (c, n, ldc) =
            (record.address(schedule::C), record.word(schedule::N), record.word(schedule::LDC));
        let unit = DECODED_UNIT * DECODED_UNIT;
        let mut pair = tid_x();
        while pair < T * (TILE_ROWS / 2) {
            let (token, columns) = (pair / (TILE_ROWS / 2), pair % (TILE_ROWS / 2) * 2);
            let (row, column) = (tile.row + token, tile.column + columns);
            pair += CONSUMERS;
            if row >= rows {
                continue;
            }
            let at = self.smem.offset(Self::SMEM.exchange + 4 * (token * Self::PITCH + columns));
            let up_at = at.offset(Self::GEOMETRY.exchange_bytes());
            // SAFETY: the exchange is complete; stores stay inside the group's rows and columns. N is a
            // multiple of 8, so both columns are inside C or both outside.
            unsafe {
                let scaled = |pair: [u32; 2]| pair.map(|bits| f32::from_bits(bits) * unit);
                let (gate, up) = (scaled(ld_shared_v2_b32(at)), scaled(ld_shared_v2_b32(up_at)));
                let row = first_row as u64 + tile.batch as u64 * rows as u64 + row as u64;
                let to = c + element.bytes() * (row * ldc as u64 + column as u64);
                if !one_product {
                    if column < n {
                        let c0 = silu_mul(gate[0], up[0], alpha1, alpha2);
                        let c1 = silu_mul(gate[1], up[1], alpha1, alpha2);
                        store(to, [c0, c1]);
                    }
                    continue;
                }
                let half = first_half(n);
                if column < n && column < half {
                    store(to, gate.map(|x| x * alpha1));
                }
                if column + half < n {
                    store(to + element.bytes() * half as u64, up.map(|x| x * alpha1));
                }
            }
        }
    }

    /// The tile's alphas.
    #[inline(always)]
    fn alphas(&self, found: Found) -> (f32, f32) {
        let Found { record, group, .. } = found;
        if self.groups.offsets == 0 {
            return (
                f32::from_bits(record.word(schedule::ALPHA1)),
                f32::from_bits(record.word(schedule::ALPHA2)),
            );
        }
        let of_expert = |field: u32| {
            // SAFETY: there is one for each expert.
            f32::from_bits(unsafe { ld_global_nc_b32(record.address(field) + 4 * group as u64) })
        };
        let two = self.flags & FLAG_ONE_PRODUCT == 0;
        let alpha2 = if two { of_expert(schedule::ALPHAS2) } else { 0.0 };
        (of_expert(schedule::ALPHAS1), alpha2)
    }
}

/// The kernel.
///
/// # Safety
/// The launch has the shape that [`KERNELS`](super::KERNELS) declares, and the table keeps the
/// contract at the head of this file.
#[inline(always)]
unsafe fn run<const T: u32, const N: usize, const CONSUMERS: u32, const STAGES: u32>(
    groups: Groups,
    flags: u32,
) {
    let smem = dyn_smem().align_up(SMEM_ALIGN);
    let cta = Cta::<T, N, CONSUMERS, STAGES> { groups, flags, smem };
    let warp = shfl_sync_idx(tid_x() / 32, 0);
    // SAFETY: each role keeps to its side of the barriers; see the methods.
    unsafe {
        if warp == CONSUMERS / 32 && elect_sync() {
            cta.init_barriers();
        }
        bar_warp_sync();
        bar_sync_all();
        griddepcontrol_launch_dependents();
        // The expanded tokens, and the offsets, may be the work of kernels before.
        griddepcontrol_wait();
        let moves_registers = const { GroupedSm90Geometry::new(T).moves_registers() };
        if warp >= CONSUMERS / 32 {
            if moves_registers {
                setmaxnreg_dec::<40>();
            }
            if warp == CONSUMERS / 32 {
                cta.produce();
            }
        } else {
            if moves_registers {
                setmaxnreg_inc::<232>();
            }
            cta.consume(warp);
        }
        // The consumers have seen every arrival, and made all of theirs.
        bar_warp_sync();
        bar_sync_all();
        if warp == CONSUMERS / 32 && elect_sync() {
            cta.invalidate_barriers();
        }
    }
}

/// Writes an entry point for each tile.
macro_rules! entry_points {
    ($($name:ident: $tokens:literal tokens, $consumers:literal consumers, $stages:literal stages;)*) => {$(
        /// `C_g` of every group.
        ///
        /// # Safety
        /// See the head of the file.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(table: u64, offsets: u64, count: u32, flags: u32) {
            let groups = Groups { table, offsets, count };
            // SAFETY: the caller's.
            unsafe { run::<$tokens, { $tokens / 8 }, $consumers, $stages>(groups, flags) };
        }
    )*};
}

entry_points! {
    nvfp4_grouped_gemm_sm90_8x64: 8 tokens, 512 consumers, 9 stages;
    nvfp4_grouped_gemm_sm90_16x64: 16 tokens, 512 consumers, 8 stages;
    nvfp4_grouped_gemm_sm90_32x64: 32 tokens, 256 consumers, 6 stages;
    nvfp4_grouped_gemm_sm90_64x64: 64 tokens, 256 consumers, 3 stages;
}
