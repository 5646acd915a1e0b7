//! The multiplication of the sm_90 kernels: two rings, who fills them, and who multiplies what is there.
//!
//! ```text
//! Roles     four warpgroups that multiply | one warp asks for weights, one for tokens
//! Barriers  weights' warp --weights_arrived[stage]--> warpgroups
//!                         <--weights_free[stage]-----
//!           tokens' warp  --tokens_arrived[stage]---> those warpgroups that have its part of K
//!                         <--tokens_free[stage]------
//! ```
//!
//! Weights are the MMA's A operand: a lane's word of the [packed weights](crate::tile::packed_sm90) is its
//! fragment of one step along K, decoded in registers. Tokens are its B operand, 16-bit, K-major, with
//! the 128B swizzle. A warpgroup decodes two steps along K while the two before are multiplied.
//!
//! The rings run on from tile to tile, so the next tile's operands come while this one is finished.
//! Asking takes a thread's time, some hundred cycles for every copy: hence two threads that ask, and one
//! copy for all that a stage has of weights or of tokens.

use crate::decode::{Half, packed_fragment, packed_scales};
use crate::descriptor::smem_sm90::Sm90SmemDescriptor;
use crate::pipeline::barriers::wait;
use crate::pipeline::ring::RingPosition;
use crate::ptx::SharedAddr;
use crate::ptx::control::{opaque_b32, trap};
use crate::ptx::mbarrier::{
    mbarrier_arrive, mbarrier_arrive_expect_tx, mbarrier_init, mbarrier_inval,
};
use crate::ptx::memory::{ld_shared_v2_b32, ld_shared_v4_b32};
use crate::ptx::sreg::tid_x;
use crate::ptx::sync::{bar_warp_sync, fence_mbarrier_init};
use crate::ptx::tma::{cp_async_bulk, cp_async_bulk_tensor_3d};
use crate::ptx::wgmma::*;
use crate::tile::packed_sm90::{
    CHUNK_BYTES, CODES_OF_B2, PIECES, QUARTER_K, SCALES_OF_B2, STAGE_PITCH, STEP_K, codes_at,
    scales_at,
};
use crate::tile::sm90::{CONSUMER_WARPS, Sm90Geometry, Sm90SmemMap};

/// Bytes of one step along K in a row of tokens.
const STEP_BYTES: u32 = STEP_K * 2;
/// Bytes of a row of tokens: 64 elements along K.
const ROW_BYTES: u32 = QUARTER_K * 2;

/// A CTA's rings, for tiles of `T` tokens and `R` rows of each weight; `REGS` is T / 2, a thread's sums,
/// `WS` and `TS` are the depths of the rings.
#[derive(Clone, Copy)]
pub struct Mainloop<const T: u32, const REGS: usize, const R: u32, const WS: u32, const TS: u32> {
    /// The aligned base of dynamic shared memory.
    pub smem: SharedAddr,
    /// What the tensor core multiplies.
    pub half: Half,
}

/// Where the weights' warp stands.
pub struct WeightRing<const WS: u32> {
    next: RingPosition<WS>,
    /// The first stage that may not have arrived.
    arriving: RingPosition<WS>,
    on_their_way: u32,
}

/// The tokens of one tile.
#[derive(Clone, Copy)]
pub struct TokenTile {
    /// The tensor map of A.
    pub map: u64,
    /// True if a box has all of a stage: dimensions 64 elements, rows of all batches, 64s along K. Else a
    /// box is one of those: dimensions K, rows, batches.
    pub wide: bool,
    /// First row, in its batch.
    pub row: u32,
    /// Batch.
    pub batch: u32,
    /// Rows of a batch.
    pub rows: u32,
    /// First stage of 256 along K.
    pub first_stage: u32,
    /// Stages.
    pub stages: u32,
}

/// Where a warp that multiplies stands, and which part it has.
pub struct Consumer<const WS: u32, const TS: u32> {
    weights: RingPosition<WS>,
    tokens: RingPosition<TS>,
    /// The `tokens_free` barrier of the tokens that MMAs read, if any do.
    read: SharedAddr,
    reading: bool,
    /// The tile's first.
    tile_weights: RingPosition<WS>,
    tile_tokens: RingPosition<TS>,
    lane: u32,
    /// The first stage of a tile that the warpgroup has, and its first quarter of a stage.
    first_stage: u32,
    first_quarter: u32,
    /// Where the lane's words and scales of the first quarter lie in a stage of weights.
    codes: u32,
    scales: u32,
}

/// A lane's words of a quarter of a stage.
struct Words {
    codes: [u32; 4],
    scales: [u32; 2],
}

impl<const T: u32, const REGS: usize, const R: u32, const WS: u32, const TS: u32>
    Mainloop<T, REGS, R, WS, TS>
{
    /// Sizes.
    pub const GEOMETRY: Sm90Geometry = {
        let geometry = Sm90Geometry::new(T, R);
        assert!(geometry.weight_stages == WS && geometry.token_stages == TS);
        assert!(REGS as u32 == T / 2);
        geometry
    };
    /// Places.
    pub const SMEM: Sm90SmemMap = Sm90SmemMap::new(Self::GEOMETRY);

    #[inline(always)]
    fn weights(self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.weights + stage * Self::GEOMETRY.weight_bytes())
    }

    #[inline(always)]
    fn tokens(self, stage: u32) -> SharedAddr {
        self.smem.offset(stage * Self::GEOMETRY.token_bytes())
    }

    /// One arrival, the weights' warp's, and the bytes of the stage.
    #[inline(always)]
    fn weights_arrived(self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.weights_arrived + 8 * stage)
    }

    /// One arrival from each warp that reads the stage.
    #[inline(always)]
    fn weights_free(self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.weights_free + 8 * stage)
    }

    /// One arrival, the tokens' warp's, and the bytes of the stage.
    #[inline(always)]
    fn tokens_arrived(self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.tokens_arrived + 8 * stage)
    }

    /// One arrival from each warp that reads the stage.
    #[inline(always)]
    fn tokens_free(self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.tokens_free + 8 * stage)
    }

    /// Makes the barriers.
    ///
    /// # Safety
    /// One thread, before any other uses the rings; a barrier of the block follows.
    #[inline(always)]
    pub unsafe fn init_barriers(self) {
        // SAFETY: the map gives every barrier 8 bytes of its own.
        unsafe {
            for stage in 0..WS {
                mbarrier_init(self.weights_arrived(stage), 1);
                mbarrier_init(self.weights_free(stage), Self::GEOMETRY.weight_readers());
            }
            for stage in 0..TS {
                mbarrier_init(self.tokens_arrived(stage), 1);
                mbarrier_init(self.tokens_free(stage), Self::GEOMETRY.token_readers());
            }
            fence_mbarrier_init();
        }
    }

    /// Ends the barriers' lives.
    ///
    /// # Safety
    /// One thread, when nothing will arrive any more.
    #[inline(always)]
    pub unsafe fn invalidate_barriers(self) {
        // SAFETY: the caller's.
        unsafe {
            for stage in 0..WS {
                mbarrier_inval(self.weights_arrived(stage));
                mbarrier_inval(self.weights_free(stage));
            }
            for stage in 0..TS {
                mbarrier_inval(self.tokens_arrived(stage));
                mbarrier_inval(self.tokens_free(stage));
            }
        }
    }

    /// Where the weights' warp starts.
    #[inline(always)]
    pub fn weight_ring(self) -> WeightRing<WS> {
        let start = RingPosition::start();
        WeightRing { next: start, arriving: start, on_their_way: 0 }
    }

    /// Asks for the weights of a tile: `stages` stages of its chunks, the first of which lies at `from`.
    ///
    /// # Safety
    /// One thread, always the same. `from` is the address of a chunk of the packed weights, that tile's
    /// first, and they have that many stages from there.
    #[inline(always)]
    pub unsafe fn load_weights(self, ring: &mut WeightRing<WS>, from: u64, stages: u32) {
        let bytes = Self::GEOMETRY.weight_bytes();
        let mut from = from;
        for _ in 0..stages {
            // SAFETY: a stage is written only when all warps have freed it.
            unsafe {
                if ring.on_their_way == Self::GEOMETRY.in_flight {
                    wait(self.weights_arrived(ring.arriving.stage()), ring.arriving.filled());
                    ring.arriving.advance();
                } else {
                    ring.on_their_way += 1;
                }
                wait(self.weights_free(ring.next.stage()), ring.next.freed());
                let arrived = self.weights_arrived(ring.next.stage());
                mbarrier_arrive_expect_tx(arrived, bytes);
                cp_async_bulk(self.weights(ring.next.stage()), from, bytes, arrived);
            }
            ring.next.advance();
            from += STAGE_PITCH as u64;
        }
    }

    /// Asks for the tokens of a tile.
    ///
    /// # Safety
    /// One thread, always the same. The map is what [`TokenTile`] says it is, with boxes of this tile.
    #[inline(always)]
    pub unsafe fn load_tokens(self, ring: &mut RingPosition<TS>, tile: TokenTile) {
        let quarters = Self::GEOMETRY.token_quarters;
        let per_stage = const { Sm90Geometry::new(T, R).tokens_per_stage() };
        let first = tile.first_stage * per_stage;
        for number in first..first + tile.stages * per_stage {
            // SAFETY: a stage is written only when its readers have freed it. Boxes count in full, also
            // what lies outside the tensor and arrives as zeros.
            unsafe {
                wait(self.tokens_free(ring.stage()), ring.freed());
                let arrived = self.tokens_arrived(ring.stage());
                let to = self.tokens(ring.stage());
                mbarrier_arrive_expect_tx(arrived, Self::GEOMETRY.token_bytes());
                if tile.wide {
                    let at = [0, tile.batch * tile.rows + tile.row, number * quarters];
                    cp_async_bulk_tensor_3d(to, tile.map, at, arrived);
                } else {
                    for quarter in 0..quarters {
                        let to = to.offset(quarter * Self::GEOMETRY.quarter_bytes());
                        let at = [(number * quarters + quarter) * ROW_BYTES, tile.row, tile.batch];
                        cp_async_bulk_tensor_3d(to, tile.map, at, arrived);
                    }
                }
            }
            ring.advance();
        }
    }

    /// Where warp `warp` of those that multiply starts.
    #[inline(always)]
    pub fn consumer(self, warp: u32) -> Consumer<WS, TS> {
        let lane = tid_x() % 32;
        let (warpgroup, warp) = (warp / 4, warp % 4);
        let (chunk, part) =
            (warpgroup / Self::GEOMETRY.parts(), warpgroup % Self::GEOMETRY.parts());
        let (first_stage, first_quarter) = if Self::GEOMETRY.whole_stages() {
            (part, 0)
        } else {
            (0, part * Self::GEOMETRY.part_quarters())
        };
        let (product, piece) = (warp / PIECES, warp % PIECES);
        let mut weights = RingPosition::start();
        weights.advance_by(first_stage);
        let mut tokens = RingPosition::start();
        tokens.advance_by(first_stage + first_quarter / Self::GEOMETRY.token_quarters);
        let chunk = chunk * CHUNK_BYTES;
        Consumer {
            weights,
            tokens,
            read: self.tokens_free(0),
            reading: false,
            tile_weights: RingPosition::start(),
            tile_tokens: RingPosition::start(),
            lane,
            first_stage,
            first_quarter,
            codes: chunk + product * CODES_OF_B2 + codes_at(piece, first_quarter) + 16 * lane,
            scales: chunk
                + product * SCALES_OF_B2
                + scales_at(piece, first_quarter)
                + 8 * (lane / 4),
        }
    }

    /// Multiplies the warpgroup's part of `stages` stages into `d`: rows as in [`crate::ptx::wgmma`], of
    /// which warps 0 and 1 have the chunk's rows of B1, warps 2 and 3 those of B2.
    ///
    /// # Safety
    /// All warps that multiply, converged, with the stages that the other two ask for.
    #[inline(always)]
    pub unsafe fn multiply(self, at: &mut Consumer<WS, TS>, stages: u32, d: &mut [f32; REGS]) {
        let step = const { Sm90Geometry::new(T, R).stage_step() };
        // SAFETY: a stage is read between its arrival and the warp's at its `free` barrier; registers of
        // an MMA are left alone until its group is complete. Written out, not looped: where and when is
        // then known in every quarter, and the integer units have little but decoding to do.
        unsafe {
            let mut stage = at.first_stage;
            let mut words = self.first_words(at, stage < stages);
            while stage < stages {
                let more = stage + step < stages;
                self.multiply_quarter::<0>(at, &mut words, more, d);
                if Self::GEOMETRY.part_quarters() > 1 {
                    self.multiply_quarter::<1>(at, &mut words, more, d);
                }
                if Self::GEOMETRY.part_quarters() > 2 {
                    self.multiply_quarter::<2>(at, &mut words, more, d);
                    self.multiply_quarter::<3>(at, &mut words, more, d);
                }
                stage += step;
            }
            wgmma_wait_group::<0>();
            if at.reading {
                self.arrive(at.lane, at.read);
            }
            self.end_tile(at, stages);
        }
    }

    /// Multiplies a quarter of a stage: `words`, which then are the next quarter's, if the stage is not the
    /// last or the quarter not the stage's last.
    #[inline(always)]
    unsafe fn multiply_quarter<const QUARTER: u32>(
        self,
        at: &mut Consumer<WS, TS>,
        words: &mut Words,
        more: bool,
        d: &mut [f32; REGS],
    ) {
        let geometry = Self::GEOMETRY;
        let first_of_tokens = QUARTER.is_multiple_of(geometry.part_token_quarters());
        let last_of_tokens = (QUARTER + 1).is_multiple_of(geometry.part_token_quarters());
        let last_of_stage = QUARTER + 1 == geometry.part_quarters();
        let Words { codes: [w0, w1, w2, w3], scales: [s01, s23] } = *words;
        // SAFETY: see `multiply`.
        unsafe {
            let fragments = self.fragments([w0, w1], s01);
            if first_of_tokens {
                wait(self.tokens_arrived(at.tokens.stage()), at.tokens.filled());
            }
            // Where parts share a stage of tokens, each has its own quarters of it.
            let place = (at.first_quarter + QUARTER) % geometry.token_quarters;
            let tokens = self.tokens(at.tokens.stage()).offset(place * geometry.quarter_bytes());
            let b = Sm90SmemDescriptor::k_major_128b(tokens.0);
            self.two_steps(d, fragments, b);
            self.wait_for_steps_before();
            if first_of_tokens {
                // The MMAs of the tokens before are complete.
                if QUARTER > 0 || at.reading {
                    self.arrive(at.lane, at.read);
                }
                (at.reading, at.read) = (true, self.tokens_free(at.tokens.stage()));
            }
            let fragments = self.fragments([w2, w3], s23);
            if last_of_stage {
                self.arrive(at.lane, self.weights_free(at.weights.stage()));
                at.weights.advance_within(geometry.stage_step());
            }
            self.two_steps(d, fragments, b.advance(2 * STEP_BYTES));
            *words = if last_of_stage {
                self.first_words(at, more)
            } else {
                self.words(at, QUARTER + 1)
            };
            self.wait_for_steps_before();
            if last_of_tokens {
                let skipped = geometry.stage_step() * geometry.tokens_per_stage()
                    - geometry.part_token_stages();
                at.tokens.advance_within(if last_of_stage { 1 + skipped } else { 1 });
            }
        }
    }

    /// Goes to the next tile.
    #[inline(always)]
    fn end_tile(self, at: &mut Consumer<WS, TS>, stages: u32) {
        if Self::GEOMETRY.whole_stages() {
            at.tile_weights.advance_by(stages);
            at.tile_tokens.advance_by(stages);
            (at.weights, at.tokens) = (at.tile_weights, at.tile_tokens);
            at.weights.advance_by(at.first_stage);
            at.tokens.advance_by(at.first_stage);
        }
        at.reading = false;
    }

    /// Loads a lane's words of the first quarter of a stage that the warpgroup has, if there is one.
    #[inline(always)]
    unsafe fn first_words(self, at: &Consumer<WS, TS>, exists: bool) -> Words {
        if !exists {
            return Words { codes: [0; 4], scales: [0; 2] };
        }
        // SAFETY: the stage has arrived then.
        unsafe {
            wait(self.weights_arrived(at.weights.stage()), at.weights.filled());
            self.words(at, 0)
        }
    }

    /// Loads a lane's words of a quarter, counted from the part's first.
    #[inline(always)]
    unsafe fn words(self, at: &Consumer<WS, TS>, quarter: u32) -> Words {
        let base = self.weights(at.weights.stage());
        let scales = at.scales + scales_at(0, quarter) - scales_at(0, 0);
        // SAFETY: the stage has arrived.
        unsafe {
            Words {
                codes: ld_shared_v4_b32(base.offset(at.codes + codes_at(0, quarter))),
                scales: ld_shared_v2_b32(base.offset(scales)),
            }
        }
    }

    /// The fragments of two steps along K.
    #[inline(always)]
    fn fragments(self, words: [u32; 2], scales: u32) -> [[u32; 4]; 2] {
        [
            packed_fragment(self.half, words[0], packed_scales::<false>(self.half, scales)),
            packed_fragment(self.half, words[1], packed_scales::<true>(self.half, scales)),
        ]
    }

    /// Starts the MMAs of two steps along K, as a group.
    #[inline(always)]
    unsafe fn two_steps(self, d: &mut [f32; REGS], a: [[u32; 4]; 2], b: Sm90SmemDescriptor) {
        // SAFETY: the caller's.
        unsafe {
            wgmma_fence();
            self.mma(d, a[0], b);
            self.mma(d, a[1], b.advance(STEP_BYTES));
            wgmma_commit_group();
        }
    }

    /// Waits for all MMAs but those of the two steps started last.
    #[inline(always)]
    unsafe fn wait_for_steps_before(self) {
        // SAFETY: the caller's.
        unsafe { wgmma_wait_group::<1>() };
        // Never so. ptxas looks at one basic block at a time for registers that change under an MMA's
        // hands, and where it sees a fragment decoded while the MMAs before are unfinished, it makes
        // every MMA wait for the last. A branch ends the block.
        if opaque_b32(self.smem.0) == 0 {
            trap();
        }
    }

    /// Says for the warp that it has read what `free` is about.
    #[inline(always)]
    unsafe fn arrive(self, lane: u32, free: SharedAddr) {
        // SAFETY: every reader says it once a round.
        unsafe {
            bar_warp_sync();
            if lane == 0 {
                mbarrier_arrive(free);
            }
        }
    }

    #[inline(always)]
    unsafe fn mma(self, d: &mut [f32; REGS], a: [u32; 4], b: Sm90SmemDescriptor) {
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
}
