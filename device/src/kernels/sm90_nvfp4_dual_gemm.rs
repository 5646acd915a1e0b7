//! C = silu(alpha1·A·B1ᵀ) ⊙ (alpha2·A·B2ᵀ) on NVFP4 weights, for sm_90: one cluster per tile of C.
//!
//! ```text
//! Contract  A [L, M, K]: e2m1 with scales, or f16, or bf16, as tiles of [`super::sm90_expand_tokens`]
//!           B1 and B2 [L, N, K]: e2m1, K-major, two a byte, through tensor maps
//!           SFB1, SFB2: ue4m3, one per 16 along K, 128×4 blocked, batches one after another
//!           C [L, M, N]: f16 or bf16, rows `ldc` elements apart
//!           M ≥ 1, N % 8 = 0, K % 32 = 0, all pointers multiples of 16: checked by the host's plan
//! Grid      x: tiles of 64 or 128 columns, each by all CTAs of one cluster, which split K; y: tiles along
//!           M; z: batches
//! Roles     two consumer warpgroups | one producer warp
//! Barriers  producer --weights_arrived[weight stage]--> consumers
//!                    --tokens_ready[token stage]------>
//!                    <--stage_free[token stage]--------
//! ```
//!
//! Weights lie along the MMA's M. A consumer warpgroup has 64 of the tile's rows of B1 and of B2
//! (where the tile has no more, each has half of every stage's K); it decodes them in registers and multiplies them with the tokens in shared
//! memory. Which rows: an atom of scales holds rows r, r + 32, r + 64, r + 96
//! side by side, so a thread takes r and r + 32, and rows are dealt to the MMA's rows accordingly.
//!
//! Which K: in each stage of 256, lane `t` of a quad has the 64 elements from 64·t on, 32 contiguous
//! bytes of its rows and one scale atom; [`decode`](crate::decode) fixes the order within. The
//! tokens are laid out to match.
//!
//! At the end the accumulators go through shared memory: each CTA of the cluster sums a share of C
//! over all of them, in the order of their ranks, so that the result has the same bits every time.

use crate::decode::{DECODED_UNIT, Half, decode, decode_scales};
use crate::descriptor::smem_sm90::Sm90SmemDescriptor;
use crate::epilogue::silu_mul::silu_mul_8;
use crate::epilogue::store::store_8;
use crate::kernels::Output;
use crate::pipeline::barriers::wait;
use crate::pipeline::ring::RingPosition;
use crate::ptx::SharedAddr;
use crate::ptx::cluster::{
    barrier_cluster_arrive, barrier_cluster_arrive_relaxed, barrier_cluster_wait, cluster_ctarank,
    cluster_nctarank, ld_shared_cluster_v4_f32, mapa,
};
use crate::ptx::control::{
    griddepcontrol_launch_dependents, griddepcontrol_wait, setmaxnreg_dec, setmaxnreg_inc,
};
use crate::ptx::mbarrier::{
    mbarrier_arrive, mbarrier_arrive_expect_tx, mbarrier_init, mbarrier_inval,
};
use crate::ptx::memory::{ld_shared_v2_b32, ld_shared_v4_b32, st_shared_f32};
use crate::ptx::sreg::{
    ctaid_x, ctaid_y, ctaid_z, dyn_smem, elect_sync, nctaid_y, shfl_sync_idx, tid_x,
};
use crate::ptx::sync::{bar_sync, bar_sync_all, bar_warp_sync, fence_mbarrier_init};
use crate::ptx::tma::{cp_async_bulk, cp_async_bulk_tensor_3d, prefetch_tensormap};
use crate::ptx::wgmma::*;
use crate::tile::geometry::SCALE_ATOM_BYTES;
use crate::tile::scale_layout::{atom_offset, atoms_along_k};
use crate::tile::sm90::{
    ATOMS_PER_STAGE, CONSUMER_WARPGROUPS, STAGE_K, Sm90Geometry, Sm90SmemMap, WARPGROUP_ROWS,
    WGMMA_K,
};
use crate::tile::smem_map::SMEM_ALIGN;

/// What the host passes, as the entry points list it. Device addresses are generic.
#[derive(Clone, Copy)]
struct Arguments {
    /// Two tensor maps, 128 bytes each: B1, B2.
    maps: u64,
    /// The tiles that the kernel before has made of A.
    tokens: u64,
    sfb1: u64,
    sfb2: u64,
    c: u64,
    m: u32,
    n: u32,
    k: u32,
    /// Elements from one row of C to the next.
    ldc: u32,
    alpha1: f32,
    alpha2: f32,
    /// See [`crate::kernels::SM90_FLAG_BF16_OUTPUT`] and its neighbour.
    flags: u32,
}

/// Bytes of a tensor map.
const TENSOR_MAP_BYTES: u64 = 128;
/// Threads that multiply.
const CONSUMERS: u32 = 128 * CONSUMER_WARPGROUPS;
/// The warp that asks for copies.
const PRODUCER_WARP: u32 = 4 * CONSUMER_WARPGROUPS;
/// Stages of weights asked for before the first tokens: no more than any ring has.
const WEIGHTS_BEFORE_TOKENS: u32 = 2;
/// Bytes of one K step in a row of tokens.
const WGMMA_K_BYTES: u32 = WGMMA_K * 2;
/// The named barrier of the consumers.
const CONSUMER_BARRIER: u32 = 1;

/// The tile that this CTA computes a share of, and where its parts lie.
struct Tile<const T: u32, const REGS: usize, const WS: u32, const TS: u32> {
    args: Arguments,
    half: Half,
    rank: u32,
    ranks: u32,
    row: u32,
    column: u32,
    batch: u32,
    /// First stage along K, and the one after the last.
    k_tiles: [u32; 2],
    smem: SharedAddr,
}

impl<const T: u32, const REGS: usize, const WS: u32, const TS: u32> Tile<T, REGS, WS, TS> {
    const GEOMETRY: Sm90Geometry = {
        let geometry = Sm90Geometry::new(T);
        assert!(geometry.weight_stages == WS && geometry.token_stages == TS);
        assert!(REGS as u32 == T / 2);
        geometry
    };
    const SMEM: Sm90SmemMap = Sm90SmemMap::new(Self::GEOMETRY);
    const PARTS: u32 = Self::GEOMETRY.parts();
    const PITCH: u32 = Self::GEOMETRY.exchange_pitch();

    #[inline(always)]
    fn weights(&self, stage: u32) -> SharedAddr {
        self.smem.offset(stage * Self::GEOMETRY.weight_stage_bytes())
    }

    #[inline(always)]
    fn tokens(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.tokens + stage * Self::GEOMETRY.token_stage_bytes())
    }

    /// One arrival, the producer's, and the bytes of the stage's copies.
    #[inline(always)]
    fn weights_arrived(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.weights_arrived + 8 * stage)
    }

    /// One arrival, the producer's, and the bytes of the tile.
    #[inline(always)]
    fn tokens_ready(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.tokens_ready + 8 * stage)
    }

    /// One arrival from each consumer warp.
    #[inline(always)]
    fn stage_free(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.stage_free + 8 * stage)
    }

    /// Makes the barriers; one thread.
    #[inline(always)]
    unsafe fn init_barriers(&self) {
        // SAFETY: the map gives every barrier 8 bytes of its own; nothing else runs yet.
        unsafe {
            for stage in 0..WS {
                mbarrier_init(self.weights_arrived(stage), 1);
            }
            for stage in 0..TS {
                mbarrier_init(self.tokens_ready(stage), 1);
                mbarrier_init(self.stage_free(stage), 4 * CONSUMER_WARPGROUPS);
            }
            fence_mbarrier_init();
        }
    }

    /// Ends the barriers' lives; one thread, when nothing will arrive any more.
    #[inline(always)]
    unsafe fn invalidate_barriers(&self) {
        // SAFETY: consumers have seen every arrival of weights and tokens, and have made all theirs.
        unsafe {
            for stage in 0..WS {
                mbarrier_inval(self.weights_arrived(stage));
            }
            for stage in 0..TS {
                mbarrier_inval(self.tokens_ready(stage));
                mbarrier_inval(self.stage_free(stage));
            }
        }
    }

    /// Asks TMA for the weights of K tile `k_tile`; one thread.
    #[inline(always)]
    unsafe fn load_weights(&self, stage: u32, k_tile: u32) {
        let Arguments { maps, sfb1, sfb2, n, k, .. } = self.args;
        let first_atom = k_tile * ATOMS_PER_STAGE;
        let left = atoms_along_k(k) - first_atom;
        let atoms = if left < ATOMS_PER_STAGE { left } else { ATOMS_PER_STAGE };
        let scale_bytes = atoms * SCALE_ATOM_BYTES;
        // Tiles of 64 rows share the atoms of the 128 rows that they lie in.
        let atom = atom_offset(n, k, self.batch, self.column / 128 * 128, first_atom);
        let arrived = self.weights_arrived(stage);
        let to = self.weights(stage);
        let at = [k_tile * STAGE_K / 2, self.column, self.batch];
        // SAFETY: the addresses come from the shared-memory map and from the host's plan; the stage
        // is free.
        unsafe {
            // Boxes count in full, also what lies outside the tensor and arrives as zeros.
            let bytes = 2 * (Self::GEOMETRY.weight_bytes() + scale_bytes);
            mbarrier_arrive_expect_tx(arrived, bytes);
            cp_async_bulk_tensor_3d(to.offset(Self::SMEM.b1), maps, at, arrived);
            cp_async_bulk_tensor_3d(to.offset(Self::SMEM.b2), maps + TENSOR_MAP_BYTES, at, arrived);
            cp_async_bulk(to.offset(Self::SMEM.sfb1), sfb1 + atom, scale_bytes, arrived);
            cp_async_bulk(to.offset(Self::SMEM.sfb2), sfb2 + atom, scale_bytes, arrived);
        }
    }

    /// The producer thread's work: keeps both rings full.
    #[inline(always)]
    unsafe fn produce(&self) {
        let [first, last] = self.k_tiles;
        let k_tiles = self.args.k.div_ceil(STAGE_K) as u64;
        let tile_bytes = Self::GEOMETRY.token_stage_bytes();
        let from = (self.batch as u64 * nctaid_y() as u64 + ctaid_y() as u64) * k_tiles;
        // SAFETY: a stage is written only when the consumers have freed it.
        unsafe {
            // Some weights while the kernel before this one writes the token tiles; not as many as
            // there is room for, or the first tokens would queue behind them.
            let mut weights = RingPosition::<WS>::start();
            let mut next = first;
            while next < first + WEIGHTS_BEFORE_TOKENS && next < last {
                self.load_weights(weights.stage(), next);
                weights.advance();
                next += 1;
            }
            griddepcontrol_wait();
            let mut ring = RingPosition::<TS>::start();
            for k_tile in first..last {
                wait(self.stage_free(ring.stage()), ring.freed());
                let ready = self.tokens_ready(ring.stage());
                mbarrier_arrive_expect_tx(ready, tile_bytes);
                let tile = self.args.tokens + (from + k_tile as u64) * tile_bytes as u64;
                cp_async_bulk(self.tokens(ring.stage()), tile, tile_bytes, ready);
                // The wait has seen K tile k_tile − TS freed, so the weights of K tiles up to one
                // round of their ring after that one have a place. Two at a time catches up.
                let freed = if k_tile >= first + TS { k_tile - TS + 1 } else { first };
                let mut burst = 0;
                while burst < 2 && next < freed + WS && next < last {
                    self.load_weights(weights.stage(), next);
                    weights.advance();
                    next += 1;
                    burst += 1;
                }
                ring.advance();
            }
        }
    }

    #[inline(always)]
    unsafe fn mma(&self, d: &mut [f32; REGS], a: [u32; 4], b: Sm90SmemDescriptor) {
        macro_rules! shapes {
            ($($tokens:literal $f16:ident $bf16:ident;)*) => {$(
                if T == $tokens && let Some(d) = d.first_chunk_mut::<{ $tokens / 2 }>() {
                    // SAFETY: the caller's.
                    return unsafe {
                        match self.half {
                            Half::F16 => $f16(d, a, b),
                            Half::Bf16 => $bf16(d, a, b),
                        }
                    };
                }
            )*};
        }
        shapes! {
            8 wgmma_m64n8k16_f16 wgmma_m64n8k16_bf16;
            16 wgmma_m64n16k16_f16 wgmma_m64n16k16_bf16;
            32 wgmma_m64n32k16_f16 wgmma_m64n32k16_bf16;
            64 wgmma_m64n64k16_f16 wgmma_m64n64k16_bf16;
            128 wgmma_m64n128k16_f16 wgmma_m64n128k16_bf16;
        }
    }

    /// Two K steps of one product: a word of 8 elements of each of the thread's two rows, with their
    /// scales. When it returns, the MMAs before these are complete.
    #[inline(always)]
    unsafe fn multiply_word(
        &self,
        d: &mut [f32; REGS],
        words: [u32; 2],
        scales: [u32; 2],
        b: Sm90SmemDescriptor,
    ) {
        let r0 = decode(self.half, words[0], scales[0]);
        let r1 = decode(self.half, words[1], scales[1]);
        // SAFETY: the caller's.
        unsafe {
            wgmma_fence();
            self.mma(d, [r0[0], r1[0], r0[1], r1[1]], b);
            self.mma(d, [r0[2], r1[2], r0[3], r1[3]], b.advance(WGMMA_K_BYTES));
            wgmma_commit_group();
            wgmma_wait_group::<1>();
        }
    }

    /// A consumer warpgroup's work: multiplies every K tile of this CTA's share into its
    /// accumulators, and puts them into the exchange.
    #[inline(always)]
    unsafe fn multiply(&self, warpgroup: u32) {
        let lane = tid_x() % 32;
        let warp = shfl_sync_idx(tid_x() / 32 % 4, 0);
        let (g, t) = (lane / 4, lane % 4);
        // The thread's rows are this one and the one 32 further on.
        let row = if Self::PARTS == 1 { WARPGROUP_ROWS * warpgroup } else { 0 } + 8 * warp + g;
        // Which half of the atom's 128 rows that is.
        let half_atom = (self.column % 128 + row) / WARPGROUP_ROWS;
        let mut gate = [0f32; REGS];
        let mut up = [0f32; REGS];
        let [first, last] = self.k_tiles;
        // SAFETY: a stage is read between its arrival and the arrival at `stage_free`.
        unsafe {
            let mut weights = RingPosition::<WS>::start();
            let mut tokens = RingPosition::<TS>::start();
            for k_tile in first..last {
                wait(self.weights_arrived(weights.stage()), weights.filled());
                let base = self.weights(weights.stage());
                // Scales beyond K may be anything, NaN included: they count as 0. Atoms that were
                // not even copied are not read.
                let at = k_tile * STAGE_K + 64 * t;
                let left = if at < self.args.k { self.args.k - at } else { 0 };
                let valid = if left >= 64 { !0 } else { (1u32 << (left / 16 * 8)) - 1 };
                let atom = if left == 0 { 0 } else { t };
                let scale_at = atom * SCALE_ATOM_BYTES + (8 * warp + g) * 16 + 8 * half_atom;
                let sg = ld_shared_v2_b32(base.offset(Self::SMEM.sfb1 + scale_at));
                let su = ld_shared_v2_b32(base.offset(Self::SMEM.sfb2 + scale_at));
                let scales = [sg[0] & valid, sg[1] & valid, su[0] & valid, su[1] & valid];
                wait(self.tokens_ready(tokens.stage()), tokens.filled());
                let b = Sm90SmemDescriptor::k_major_128b(self.tokens(tokens.stage()).0);

                let parts = if Self::PARTS == 1 { 0..2 } else { warpgroup..warpgroup + 1 };
                let first_part = parts.start;
                for part in parts {
                    // The 16-byte piece 2t + part of the thread's rows, swizzled.
                    let piece = base.offset(row * 128 + ((2 * t + part) ^ g) * 16);
                    let g0 = ld_shared_v4_b32(piece.offset(Self::SMEM.b1));
                    let g1 = ld_shared_v4_b32(piece.offset(Self::SMEM.b1 + 32 * 128));
                    let u0 = ld_shared_v4_b32(piece.offset(Self::SMEM.b2));
                    let u1 = ld_shared_v4_b32(piece.offset(Self::SMEM.b2 + 32 * 128));
                    let b = b.advance(part * 2 * Self::GEOMETRY.subtile_bytes());
                    let [s0, s1, s2, s3] =
                        scales.map(|four| decode_scales(self.half, four >> (16 * part)));
                    let (g_low, g_high) = ([s0[0], s1[0]], [s0[1], s1[1]]);
                    let (u_low, u_high) = ([s2[0], s3[0]], [s2[1], s3[1]]);
                    self.multiply_word(&mut gate, [g0[0], g1[0]], g_low, b);
                    // Now the MMAs of the K tile before are complete.
                    if part == first_part && k_tile > first && lane == 0 {
                        mbarrier_arrive(self.stage_free(tokens.previous()));
                    }
                    self.multiply_word(&mut up, [u0[0], u1[0]], u_low, b);
                    let b1 = b.advance(2 * WGMMA_K_BYTES);
                    self.multiply_word(&mut gate, [g0[1], g1[1]], g_low, b1);
                    self.multiply_word(&mut up, [u0[1], u1[1]], u_low, b1);
                    let b2 = b.advance(Self::GEOMETRY.subtile_bytes());
                    self.multiply_word(&mut gate, [g0[2], g1[2]], g_high, b2);
                    self.multiply_word(&mut up, [u0[2], u1[2]], u_high, b2);
                    let b3 = b2.advance(2 * WGMMA_K_BYTES);
                    self.multiply_word(&mut gate, [g0[3], g1[3]], g_high, b3);
                    self.multiply_word(&mut up, [u0[3], u1[3]], u_high, b3);
                }
                weights.advance();
                tokens.advance();
            }
            wgmma_wait_group::<0>();
            // Everyone's operands have been read: their memory becomes the exchange's.
            bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
            let to = self.smem.offset(4 * (2 * t * Self::PITCH + row));
            let part = if Self::PARTS == 1 { 0 } else { warpgroup };
            let to = to.offset(part * 2 * Self::GEOMETRY.exchange_bytes());
            self.exchange(to, &gate);
            self.exchange(to.offset(Self::GEOMETRY.exchange_bytes()), &up);
        }
    }

    /// Writes a thread's accumulators to the exchange, `[token][row]`.
    #[inline(always)]
    unsafe fn exchange(&self, to: SharedAddr, d: &[f32; REGS]) {
        for i in 0..REGS / 4 {
            let to = to.offset(4 * 8 * i as u32 * Self::PITCH);
            // SAFETY: the words are this thread's alone.
            unsafe {
                st_shared_f32(to, d[4 * i]);
                st_shared_f32(to.offset(4 * Self::PITCH), d[4 * i + 1]);
                st_shared_f32(to.offset(4 * 32), d[4 * i + 2]);
                st_shared_f32(to.offset(4 * (Self::PITCH + 32)), d[4 * i + 3]);
            }
        }
    }

    /// Waits until the exchange is complete, in all CTAs of the cluster.
    #[inline(always)]
    unsafe fn exchanged(&self) {
        // SAFETY: every thread of the cluster comes here once.
        unsafe {
            if self.ranks > 1 {
                barrier_cluster_arrive();
                barrier_cluster_wait();
            } else {
                bar_sync_all();
            }
        }
    }

    /// A consumer's share of C: sums over the cluster's CTAs, 8 columns of a token at a time.
    #[inline(always)]
    unsafe fn store_c(&self) {
        let Arguments { c, m, n, ldc, alpha1, alpha2, flags, .. } = self.args;
        let output = if flags & crate::kernels::SM90_FLAG_BF16_OUTPUT != 0 {
            Output::Bf16
        } else {
            Output::F16
        };
        let sixteen_bit = flags & crate::kernels::SM90_FLAG_A16 != 0;
        let unit = if sixteen_bit { DECODED_UNIT } else { DECODED_UNIT * DECODED_UNIT };
        let mut piece = self.rank * CONSUMERS + tid_x();
        while piece < T * (Self::GEOMETRY.rows / 8) {
            let eights = Self::GEOMETRY.rows / 8;
            let (token, columns) = (piece / eights, piece % eights * 8);
            let (row, column) = (self.row + token, self.column + columns);
            piece += self.ranks * CONSUMERS;
            // N is a multiple of 8, so the 8 columns are all inside C or all outside.
            if row >= m || column >= n {
                continue;
            }
            let at = self.smem.offset(4 * (token * Self::PITCH + columns));
            let mut gate = [0f32; 8];
            let mut up = [0f32; 8];
            for rank in 0..self.ranks {
                let at = mapa(at, rank);
                // SAFETY: the exchange of every CTA is complete, and none has ended.
                unsafe {
                    for part in 0..Self::PARTS {
                        let at = at.offset(part * 2 * Self::GEOMETRY.exchange_bytes());
                        add_8(&mut gate, at);
                        add_8(&mut up, at.offset(Self::GEOMETRY.exchange_bytes()));
                    }
                }
            }
            let gate = gate.map(|x| x * unit);
            let up = up.map(|x| x * unit);
            let element = (self.batch as u64 * m as u64 + row as u64) * ldc as u64 + column as u64;
            // SAFETY: inside C.
            unsafe { store_8(output, c + 2 * element, silu_mul_8(gate, up, alpha1, alpha2)) };
        }
    }
}

/// Adds 8 neighbouring floats of a CTA of the cluster.
#[inline(always)]
unsafe fn add_8(sum: &mut [f32; 8], at: SharedAddr) {
    // SAFETY: the caller's.
    let (low, high) =
        unsafe { (ld_shared_cluster_v4_f32(at), ld_shared_cluster_v4_f32(at.offset(16))) };
    sum[0] += low[0];
    sum[1] += low[1];
    sum[2] += low[2];
    sum[3] += low[3];
    sum[4] += high[0];
    sum[5] += high[1];
    sum[6] += high[2];
    sum[7] += high[3];
}

/// The kernel.
///
/// # Safety
/// The launch has the shape that [`KERNELS`](super::KERNELS) declares, and the arguments keep the
/// contract at the head of this file.
#[inline(always)]
unsafe fn run<const T: u32, const REGS: usize, const WS: u32, const TS: u32>(
    args: Arguments,
    half: Half,
) {
    // Never 0, which the compiler does not know.
    let (rank, ranks) = (cluster_ctarank(), cluster_nctarank().max(1));
    let tiles = args.k.div_ceil(STAGE_K);
    let share = |rank: u32| (rank as u64 * tiles as u64 / ranks as u64) as u32;
    let tile = Tile::<T, REGS, WS, TS> {
        args,
        half,
        rank,
        ranks,
        row: ctaid_y() * T,
        column: ctaid_x() / ranks * Sm90Geometry::new(T).rows,
        batch: ctaid_z(),
        k_tiles: [share(rank), share(rank + 1)],
        smem: dyn_smem().align_up(SMEM_ALIGN),
    };
    let warp = shfl_sync_idx(tid_x() / 32, 0);
    // SAFETY: each role keeps to its side of the barriers; see the methods.
    unsafe {
        if warp == PRODUCER_WARP && elect_sync() {
            prefetch_tensormap(args.maps);
            prefetch_tensormap(args.maps + TENSOR_MAP_BYTES);
            tile.init_barriers();
        }
        bar_sync_all();
        // The next kernel may get ready: it waits for this one's end before it writes.
        griddepcontrol_launch_dependents();
        let moves_registers = const { Sm90Geometry::new(T).moves_registers() };
        if warp >= PRODUCER_WARP {
            if moves_registers {
                setmaxnreg_dec::<40>();
            }
            if warp == PRODUCER_WARP && elect_sync() {
                tile.produce();
            }
            bar_warp_sync();
            tile.exchanged();
        } else {
            if moves_registers {
                setmaxnreg_inc::<232>();
            }
            tile.multiply(warp / 4);
            tile.exchanged();
            if tid_x() == 0 {
                tile.invalidate_barriers();
            }
            tile.store_c();
        }
        // No CTA ends while another may read its shared memory.
        if ranks > 1 {
            // Lanes have had different shares of C.
            bar_warp_sync();
            barrier_cluster_arrive_relaxed();
            barrier_cluster_wait();
        }
    }
}

/// Writes an entry point for each tile and operand type.
macro_rules! entry_points {
    ($($name:ident: $t:literal tokens, $ws:literal and $ts:literal stages, $half:ident;)*) => {$(
        /// `C = silu(alpha1·A·B1ᵀ) ⊙ (alpha2·A·B2ᵀ)`.
        ///
        /// # Safety
        /// See the head of the file.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(
            maps: u64, tokens: u64, sfb1: u64, sfb2: u64, c: u64,
            m: u32, n: u32, k: u32, ldc: u32, alpha1: f32, alpha2: f32, flags: u32,
        ) {
            let args =
                Arguments { maps, tokens, sfb1, sfb2, c, m, n, k, ldc, alpha1, alpha2, flags };
            // SAFETY: the caller's.
            unsafe { run::<$t, { $t / 2 }, $ws, $ts>(args, Half::$half) };
        }
    )*};
}

entry_points! {
    nvfp4_dual_gemm_sm90_64x64_f16: 64 tokens, 5 and 3 stages, F16;
    nvfp4_dual_gemm_sm90_128x128_f16: 128 tokens, 2 and 2 stages, F16;
    nvfp4_dual_gemm_sm90_64x64_bf16: 64 tokens, 5 and 3 stages, Bf16;
    nvfp4_dual_gemm_sm90_128x128_bf16: 128 tokens, 2 and 2 stages, Bf16;
}
