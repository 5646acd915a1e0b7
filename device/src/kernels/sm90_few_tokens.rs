//! C = silu(alpha1·A·B1ᵀ) ⊙ (alpha2·A·B2ᵀ) on NVFP4 weights, for sm_90 and up to 32 tokens a tile: one
//! cluster per tile of C.
//!
//! ```text
//! Contract  A [L, M, K]: f16 or bf16, through a tensor map: the caller's, or what
//!           [`super::sm90_expand_tokens`] has made of NVFP4
//!           weights: B1 and B2 with their scales, in the order of [`crate::tile::packed_sm90`]
//!           C [L, M, N]: f16 or bf16, rows `ldc` elements apart
//!           M ≥ 1, N % 8 = 0, K % 32 = 0, all pointers multiples of 16: checked by the host's plan
//! Grid      x: tiles of 32 or 64 columns, each by all CTAs of one cluster, which split K; y: tiles along
//!           M; z: batches
//! Roles     sixteen consumer warps | one producer warp for weights, one for tokens
//! Barriers  producers --weights_arrived[stage]--> consumers of the stage's team
//!                     --tokens_arrived[stage]--->
//!                     <--stage_free[stage]-------
//! ```
//!
//! Such a product is bound by the weights' bytes, and then by the instructions that decode them. So the
//! MMA is the warp's own, without a warpgroup's fences: the weights are its A operand, decoded from one
//! word a fragment, the tokens its B operand. A warp loads the words of its next stage before it
//! multiplies this one. Weights do not depend on the kernel before this one, so the ring
//! fills with them at once; tokens follow when that kernel has ended.
//!
//! The tensor core cuts sums off. With 8 tokens, every quarter of a stage therefore starts from zero, and
//! is added to the sum in f32 by an ordinary addition; for more that many registers are not there, and
//! the parts of K that the warps have keep the sums short.
//!
//! At the end the accumulators go through shared memory: each CTA of the cluster sums a share of C over
//! all parts of all CTAs, in a fixed order, so that the result has the same bits every time.

use crate::decode::{DECODED_UNIT, Half, packed_fragment, packed_scales};
use crate::epilogue::silu_mul::silu_mul;
use crate::epilogue::store::store_2;
use crate::kernels::Output;
use crate::pipeline::barriers::wait;
use crate::pipeline::ring::RingPosition;
use crate::ptx::SharedAddr;
use crate::ptx::cluster::{
    barrier_cluster_arrive, barrier_cluster_arrive_relaxed, barrier_cluster_wait, cluster_ctarank,
    cluster_nctarank, ld_shared_cluster_v2_f32, mapa,
};
use crate::ptx::control::{griddepcontrol_launch_dependents, griddepcontrol_wait};
use crate::ptx::mbarrier::{mbarrier_arrive, mbarrier_arrive_expect_tx, mbarrier_init};
use crate::ptx::memory::{ld_shared_v2_b32, ld_shared_v4_b32, st_shared_f32};
use crate::ptx::mma::{ldmatrix_x4, mma_m16n8k16_bf16, mma_m16n8k16_f16};
use crate::ptx::sreg::{ctaid_x, ctaid_y, ctaid_z, dyn_smem, elect_sync, shfl_sync_idx, tid_x};
use crate::ptx::sync::{bar_sync, bar_sync_all, bar_warp_sync, fence_mbarrier_init};
use crate::ptx::tma::{
    cp_async_bulk, cp_async_bulk_prefetch_tensor_3d, cp_async_bulk_tensor_3d, prefetch_tensormap,
};
use crate::tile::packed_sm90::{
    CHUNK_BYTES, CHUNK_ROWS, CODES_OF_B2, PIECE_ROWS, PIECES, QUARTERS, SCALES_OF_B2, STAGE_K,
    chunk_offset, codes_at, scales_at,
};
use crate::tile::sm90_few::{FEW_WARPS, FewGeometry, FewSmemMap};
use crate::tile::smem_map::SMEM_ALIGN;

/// What the host passes, as the entry points list it. Device addresses are generic.
#[derive(Clone, Copy)]
struct Arguments {
    /// The tensor map of A, as bytes.
    map: u64,
    weights: u64,
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

/// Threads that multiply.
const CONSUMERS: u32 = 32 * FEW_WARPS;
/// The named barrier of the consumers.
const CONSUMER_BARRIER: u32 = 1;
/// Bytes along K of one box of A: a row of the 128B swizzle.
const BOX_BYTES: u32 = 128;

/// Where a lane's operands lie within a stage.
struct Places {
    lane: u32,
    codes: u32,
    scales: u32,
    /// The lane's row of the four matrices of `ldmatrix`, in the tokens: two steps of 16 along K, two
    /// halves each; then the other two steps.
    low: u32,
    high: u32,
}

/// A lane's words of a stage, of B1 and B2.
struct Words {
    codes: [[u32; 4]; 2],
    scales: [[u32; 2]; 2],
}

/// The tile that this CTA computes a share of, and where its parts lie. `N` is the tokens' 8s.
struct Tile<const T: u32, const N: usize, const R: u32, const STAGES: u32> {
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

impl<const T: u32, const N: usize, const R: u32, const STAGES: u32> Tile<T, N, R, STAGES> {
    const GEOMETRY: FewGeometry = {
        let geometry = FewGeometry::new(T, R);
        assert!(geometry.stages == STAGES && N as u32 == T / 8);
        geometry
    };
    const SMEM: FewSmemMap = FewSmemMap::new(Self::GEOMETRY);
    const PITCH: u32 = Self::GEOMETRY.exchange_pitch();
    const TEAMS: u32 = Self::GEOMETRY.teams();
    /// Whether every quarter of a stage starts from zero: where registers allow it.
    const FRESH: bool = T == 8;
    /// Whether all tokens of a stage are loaded at once, and its place freed early: likewise.
    const AT_ONCE: bool = T <= 16;

    #[inline(always)]
    fn weights(&self, stage: u32) -> SharedAddr {
        self.smem.offset(stage * Self::GEOMETRY.stage_bytes())
    }

    #[inline(always)]
    fn tokens(&self, stage: u32) -> SharedAddr {
        self.weights(stage).offset(Self::GEOMETRY.weight_bytes())
    }

    /// One arrival, the producer's, and the bytes of the stage's weights.
    #[inline(always)]
    fn weights_arrived(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.weights_arrived + 8 * stage)
    }

    /// One arrival, the producer's, and the bytes of the stage's tokens.
    #[inline(always)]
    fn tokens_arrived(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.tokens_arrived + 8 * stage)
    }

    /// One arrival from each warp of the team.
    #[inline(always)]
    fn stage_free(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.stage_free + 8 * stage)
    }

    /// Makes the barriers; one thread.
    #[inline(always)]
    unsafe fn init_barriers(&self) {
        // SAFETY: the map gives every barrier 8 bytes of its own; nothing else runs yet.
        unsafe {
            for stage in 0..STAGES {
                mbarrier_init(self.weights_arrived(stage), 1);
                mbarrier_init(self.tokens_arrived(stage), 1);
                mbarrier_init(self.stage_free(stage), Self::GEOMETRY.team_warps());
            }
            fence_mbarrier_init();
        }
    }

    /// Asks for the weights of K tile `k_tile`; one thread.
    #[inline(always)]
    unsafe fn load_weights(&self, stage: u32, k_tile: u32) {
        let Arguments { weights, n, k, .. } = self.args;
        let arrived = self.weights_arrived(stage);
        // SAFETY: the addresses come from the shared-memory map and from the host's plan; the stage
        // is free.
        unsafe {
            mbarrier_arrive_expect_tx(arrived, Self::GEOMETRY.weight_bytes());
            for i in 0..R / CHUNK_ROWS {
                let chunk = self.column / CHUNK_ROWS + i;
                let from = weights + chunk_offset(n, k, self.batch, chunk, k_tile);
                cp_async_bulk(
                    self.weights(stage).offset(i * CHUNK_BYTES),
                    from,
                    CHUNK_BYTES,
                    arrived,
                );
            }
        }
    }

    /// Asks TMA for the tokens of K tile `k_tile`; one thread.
    #[inline(always)]
    unsafe fn load_tokens(&self, stage: u32, k_tile: u32) {
        let arrived = self.tokens_arrived(stage);
        // SAFETY: as for the weights.
        unsafe {
            // Boxes count in full, also what lies outside the tensor and arrives as zeros.
            mbarrier_arrive_expect_tx(arrived, Self::GEOMETRY.token_bytes());
            for quarter in 0..QUARTERS {
                let to = self.tokens(stage).offset(quarter * Self::GEOMETRY.quarter_bytes());
                let at = [(k_tile * QUARTERS + quarter) * BOX_BYTES, self.row, self.batch];
                cp_async_bulk_tensor_3d(to, self.args.map, at, arrived);
            }
        }
    }

    /// One producer's work: keeps the ring full of weights, with some of them on their way at any time.
    #[inline(always)]
    unsafe fn produce_weights(&self) {
        let [first, last] = self.k_tiles;
        let in_flight = const { FewGeometry::new(T, R).in_flight };
        // SAFETY: a stage is written only when the consumers have freed it.
        unsafe {
            let mut ring = RingPosition::<STAGES>::start();
            let mut arriving = ring;
            for k_tile in first..last {
                if k_tile - first >= in_flight {
                    wait(self.weights_arrived(arriving.stage()), arriving.filled());
                    arriving.advance();
                }
                wait(self.stage_free(ring.stage()), ring.freed());
                self.load_weights(ring.stage(), k_tile);
                ring.advance();
            }
        }
    }

    /// The other producer's work: the tokens, once the kernel before has ended.
    #[inline(always)]
    unsafe fn produce_tokens(&self) {
        let [first, last] = self.k_tiles;
        // SAFETY: as for the weights.
        unsafe {
            // Each CTA hints at a piece of A, which all will want at once. A hint is not a read: what is
            // written later is what will arrive.
            let piece = ctaid_x() * BOX_BYTES;
            if self.args.flags & crate::kernels::SM90_FLAG_A16 != 0 && piece < 2 * self.args.k {
                let at = [piece, self.row, self.batch];
                cp_async_bulk_prefetch_tensor_3d(self.args.map, at);
            }
            // A may be the work of the kernel before, and C still its operand.
            griddepcontrol_wait();
            let mut ring = RingPosition::<STAGES>::start();
            for k_tile in first..last {
                wait(self.stage_free(ring.stage()), ring.freed());
                self.load_tokens(ring.stage(), k_tile);
                ring.advance();
            }
        }
    }

    #[inline(always)]
    unsafe fn mma(&self, d: &mut [f32; 4], a: [u32; 4], b: [u32; 2]) {
        // SAFETY: the caller's.
        unsafe {
            *d = match self.half {
                Half::F16 => mma_m16n8k16_f16(a, b, *d),
                Half::Bf16 => mma_m16n8k16_bf16(a, b, *d),
            }
        }
    }

    /// One step along K: 16 rows of both weights by all tokens.
    #[inline(always)]
    unsafe fn step<const ODD: bool>(
        &self,
        gate: &mut [[f32; 4]; N],
        up: &mut [[f32; 4]; N],
        words: [u32; 2],
        scales: [u32; 2],
        tokens: &[[u32; 4]; N],
    ) {
        let a = packed_fragment(self.half, words[0], packed_scales::<ODD>(self.half, scales[0]));
        let b = packed_fragment(self.half, words[1], packed_scales::<ODD>(self.half, scales[1]));
        for i in 0..N {
            let t = tokens[i];
            let t = if ODD { [t[2], t[3]] } else { [t[0], t[1]] };
            // SAFETY: the caller's.
            unsafe {
                self.mma(&mut gate[i], a, t);
                self.mma(&mut up[i], b, t);
            }
        }
    }

    /// Loads a warp's words of a stage, if there is one.
    #[inline(always)]
    unsafe fn words(&self, ring: RingPosition<STAGES>, exists: bool, at: &Places) -> Words {
        if !exists {
            return Words { codes: [[0; 4]; 2], scales: [[0; 2]; 2] };
        }
        // SAFETY: the stage is read between its arrival and the warp's at `stage_free`.
        unsafe {
            wait(self.weights_arrived(ring.stage()), ring.filled());
            let base = self.weights(ring.stage());
            Words {
                codes: [
                    ld_shared_v4_b32(base.offset(at.codes)),
                    ld_shared_v4_b32(base.offset(at.codes + CODES_OF_B2)),
                ],
                scales: [
                    ld_shared_v2_b32(base.offset(at.scales)),
                    ld_shared_v2_b32(base.offset(at.scales + SCALES_OF_B2)),
                ],
            }
        }
    }

    /// Says that the warp has read its part of a stage.
    #[inline(always)]
    unsafe fn free(&self, ring: RingPosition<STAGES>, at: &Places) {
        // SAFETY: every warp of the team says it once.
        unsafe {
            bar_warp_sync();
            if at.lane == 0 {
                mbarrier_arrive(self.stage_free(ring.stage()));
            }
        }
    }

    /// Multiplies a stage's words with its tokens. What the stage before has left in
    /// `fresh` is added to the sums first.
    #[inline(always)]
    unsafe fn multiply_stage(
        &self,
        sums: &mut [[[f32; 4]; N]; 2],
        fresh: &mut [[[f32; 4]; N]; 2],
        words: &Words,
        ring: RingPosition<STAGES>,
        at: &Places,
    ) {
        let Words { codes: [wg, wu], scales: [sg, su] } = *words;
        // SAFETY: as for the words; the warp is converged.
        unsafe {
            wait(self.tokens_arrived(ring.stage()), ring.filled());
            let tokens = self.tokens(ring.stage());
            let mut low = [[0u32; 4]; N];
            let mut high = [[0u32; 4]; N];
            for i in 0..N {
                low[i] = ldmatrix_x4(tokens.offset(at.low + 1024 * i as u32));
            }
            if Self::AT_ONCE {
                for i in 0..N {
                    high[i] = ldmatrix_x4(tokens.offset(at.high + 1024 * i as u32));
                }
                self.free(ring, at);
            }
            if Self::FRESH {
                for i in 0..N {
                    for j in 0..4 {
                        sums[0][i][j] += fresh[0][i][j];
                        sums[1][i][j] += fresh[1][i][j];
                    }
                }
                *fresh = [[[0f32; 4]; N]; 2];
            }
            let [gate, up] = if Self::FRESH { fresh } else { sums };
            self.step::<false>(gate, up, [wg[0], wu[0]], [sg[0], su[0]], &low);
            self.step::<true>(gate, up, [wg[1], wu[1]], [sg[0], su[0]], &low);
            if !Self::AT_ONCE {
                for i in 0..N {
                    high[i] = ldmatrix_x4(tokens.offset(at.high + 1024 * i as u32));
                }
                self.free(ring, at);
            }
            self.step::<false>(gate, up, [wg[2], wu[2]], [sg[1], su[1]], &high);
            self.step::<true>(gate, up, [wg[3], wu[3]], [sg[1], su[1]], &high);
        }
    }

    /// A warp's work: multiplies its quarter of its team's stages of this CTA's share of K, and puts the
    /// sums into the exchange.
    #[inline(always)]
    unsafe fn multiply(&self, warp: u32) {
        let lane = tid_x() % 32;
        let (g, t) = (lane / 4, lane % 4);
        let (piece, part) = (warp % (R / PIECE_ROWS), warp / (R / PIECE_ROWS));
        let (quarter, team) = (part % QUARTERS, part / QUARTERS);
        let chunk = piece / PIECES * CHUNK_BYTES;
        let rows = quarter * Self::GEOMETRY.quarter_bytes() + lane % 8 * 128;
        let at = Places {
            lane,
            codes: chunk + codes_at(piece % PIECES, quarter) + 16 * lane,
            scales: chunk + scales_at(piece % PIECES, quarter) + 8 * g,
            low: rows + ((lane / 8) ^ (lane % 8)) * 16,
            high: rows + ((lane / 8 + 4) ^ (lane % 8)) * 16,
        };
        let mut sums = [[[0f32; 4]; N]; 2];
        let mut fresh = [[[0f32; 4]; N]; 2];
        let [first, last] = self.k_tiles;
        // SAFETY: every stage is waited for, and freed once.
        unsafe {
            let mut ring = RingPosition::<STAGES>::start();
            if team == 1 {
                ring.advance();
            }
            let mut k_tile = first + team;
            let mut words = self.words(ring, k_tile < last, &at);
            while k_tile < last {
                let next = self.after(ring);
                let exists = k_tile + Self::TEAMS < last;
                let next_words = self.words(next, exists, &at);
                self.multiply_stage(&mut sums, &mut fresh, &words, ring, &at);
                ring = self.after(next);
                words = self.words(ring, k_tile + 2 * Self::TEAMS < last, &at);
                if exists {
                    self.multiply_stage(&mut sums, &mut fresh, &next_words, next, &at);
                }
                k_tile += 2 * Self::TEAMS;
            }
            if Self::FRESH {
                for i in 0..N {
                    for j in 0..4 {
                        sums[0][i][j] += fresh[0][i][j];
                        sums[1][i][j] += fresh[1][i][j];
                    }
                }
            }
            // Everyone's operands have been read: their memory becomes the exchange's.
            bar_warp_sync();
            bar_sync::<CONSUMER_BARRIER, CONSUMERS>();
            let to = self.smem.offset(part * 2 * Self::GEOMETRY.exchange_bytes());
            let to = to.offset(4 * (2 * t * Self::PITCH + PIECE_ROWS * piece + g));
            self.exchange(to, &sums[0]);
            self.exchange(to.offset(Self::GEOMETRY.exchange_bytes()), &sums[1]);
        }
    }

    /// The team's next stage.
    #[inline(always)]
    fn after(&self, mut ring: RingPosition<STAGES>) -> RingPosition<STAGES> {
        for _ in 0..Self::TEAMS {
            ring.advance();
        }
        ring
    }

    /// Writes a thread's accumulators to the exchange, `[token][row]`.
    #[inline(always)]
    unsafe fn exchange(&self, to: SharedAddr, d: &[[f32; 4]; N]) {
        for i in 0..N {
            let to = to.offset(4 * 8 * i as u32 * Self::PITCH);
            // SAFETY: the words are this thread's alone.
            unsafe {
                st_shared_f32(to, d[i][0]);
                st_shared_f32(to.offset(4 * Self::PITCH), d[i][1]);
                st_shared_f32(to.offset(4 * 8), d[i][2]);
                st_shared_f32(to.offset(4 * (Self::PITCH + 8)), d[i][3]);
            }
        }
    }

    /// Waits until the exchange is complete, in all CTAs of the cluster.
    #[inline(always)]
    unsafe fn exchanged(&self) {
        // SAFETY: every thread of the cluster comes here once, its warp converged.
        unsafe {
            if self.ranks > 1 {
                barrier_cluster_arrive();
                barrier_cluster_wait();
            } else {
                bar_sync_all();
            }
        }
    }

    /// A thread's share of C: sums over the cluster's CTAs and their parts of K, 2 columns of a token at a
    /// time.
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
        let mut pair = self.rank * CONSUMERS + tid_x();
        while pair < T * (R / 2) {
            let (token, columns) = (pair / (R / 2), pair % (R / 2) * 2);
            let (row, column) = (self.row + token, self.column + columns);
            pair += self.ranks * CONSUMERS;
            // N is a multiple of 8, so both columns are inside C or both outside.
            if row >= m || column >= n {
                continue;
            }
            let at = self.smem.offset(4 * (token * Self::PITCH + columns));
            let mut gate = [0f32; 2];
            let mut up = [0f32; 2];
            for rank in 0..self.ranks {
                let at = mapa(at, rank);
                // SAFETY: the exchange of every CTA is complete, and none has ended.
                unsafe {
                    for part in 0..Self::GEOMETRY.parts() {
                        let at = at.offset(part * 2 * Self::GEOMETRY.exchange_bytes());
                        let [g0, g1] = ld_shared_cluster_v2_f32(at);
                        let at = at.offset(Self::GEOMETRY.exchange_bytes());
                        let [u0, u1] = ld_shared_cluster_v2_f32(at);
                        gate = [gate[0] + g0, gate[1] + g1];
                        up = [up[0] + u0, up[1] + u1];
                    }
                }
            }
            let c0 = silu_mul(gate[0] * unit, up[0] * unit, alpha1, alpha2);
            let c1 = silu_mul(gate[1] * unit, up[1] * unit, alpha1, alpha2);
            let element = (self.batch as u64 * m as u64 + row as u64) * ldc as u64 + column as u64;
            // SAFETY: inside C.
            unsafe { store_2(output, c + 2 * element, [c0, c1]) };
        }
    }
}

/// The kernel.
///
/// # Safety
/// The launch has the shape that [`KERNELS`](super::KERNELS) declares, and the arguments keep the
/// contract at the head of this file.
#[inline(always)]
unsafe fn run<const T: u32, const N: usize, const R: u32, const STAGES: u32>(
    args: Arguments,
    half: Half,
) {
    // Never 0, which the compiler does not know.
    let (rank, ranks) = (cluster_ctarank(), cluster_nctarank().max(1));
    let tiles = args.k.div_ceil(STAGE_K);
    let share = |rank: u32| (rank as u64 * tiles as u64 / ranks as u64) as u32;
    let tile = Tile::<T, N, R, STAGES> {
        args,
        half,
        rank,
        ranks,
        row: ctaid_y() * T,
        column: ctaid_x() / ranks * R,
        batch: ctaid_z(),
        k_tiles: [share(rank), share(rank + 1)],
        smem: dyn_smem().align_up(SMEM_ALIGN),
    };
    let warp = shfl_sync_idx(tid_x() / 32, 0);
    // SAFETY: each role keeps to its side of the barriers; see the methods.
    unsafe {
        if warp == FEW_WARPS && elect_sync() {
            prefetch_tensormap(args.map);
            tile.init_barriers();
        }
        bar_warp_sync();
        bar_sync_all();
        // The next kernel may get ready: it waits for this one's end before it writes.
        griddepcontrol_launch_dependents();
        if warp >= FEW_WARPS {
            if elect_sync() {
                if warp == FEW_WARPS {
                    tile.produce_weights();
                } else {
                    tile.produce_tokens();
                }
            }
        } else {
            tile.multiply(warp);
        }
        // One barrier for all roles, at one place.
        bar_warp_sync();
        tile.exchanged();
        if warp < FEW_WARPS {
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
    ($($name:ident: $t:literal tokens, $r:literal rows, $stages:literal stages, $half:ident;)*) => {$(
        /// `C = silu(alpha1·A·B1ᵀ) ⊙ (alpha2·A·B2ᵀ)`.
        ///
        /// # Safety
        /// See the head of the file.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(
            map: u64, weights: u64, c: u64,
            m: u32, n: u32, k: u32, ldc: u32, alpha1: f32, alpha2: f32, flags: u32,
        ) {
            let args = Arguments { map, weights, c, m, n, k, ldc, alpha1, alpha2, flags };
            // SAFETY: the caller's.
            unsafe { run::<$t, { $t / 8 }, $r, $stages>(args, Half::$half) };
        }
    )*};
}

entry_points! {
    nvfp4_dual_gemm_sm90_8x32_f16: 8 tokens, 32 rows, 16 stages, F16;
    nvfp4_dual_gemm_sm90_16x32_f16: 16 tokens, 32 rows, 12 stages, F16;
    nvfp4_dual_gemm_sm90_16x64_f16: 16 tokens, 64 rows, 8 stages, F16;
    nvfp4_dual_gemm_sm90_32x64_f16: 32 tokens, 64 rows, 6 stages, F16;
    nvfp4_dual_gemm_sm90_8x32_bf16: 8 tokens, 32 rows, 16 stages, Bf16;
    nvfp4_dual_gemm_sm90_16x32_bf16: 16 tokens, 32 rows, 12 stages, Bf16;
    nvfp4_dual_gemm_sm90_16x64_bf16: 16 tokens, 64 rows, 8 stages, Bf16;
    nvfp4_dual_gemm_sm90_32x64_bf16: 32 tokens, 64 rows, 6 stages, Bf16;
}
