//! Grouped GEMM and grouped dual GEMM on NVFP4, for sm_100: a persistent grid over the tiles of all
//! groups. A dense problem is one group.
//!
//! ```text
//! Computes  C_g = alpha1_g·A_g·B1_gᵀ, or C_g = silu(alpha1_g·A_g·B1_gᵀ) ⊙ (alpha2_g·A_g·B2_gᵀ)
//! Contract  the table of groups, and the offsets of experts if there are: tile/group_schedule.rs
//!           A, B1, B2: e2m1, K-major, two a byte, through tensor maps; scales ue4m3, 128×4 blocked
//!           C: f16, bf16 or f32; N % 8 = 0, K % 32 = 0, pointers multiples of 16: the host's plan
//! Grid      x: any number of CTAs; each walks the tiles `cta`, `cta + CTAs`, …
//! Roles     TMA warp | MMA warp | four epilogue warps
//! Barriers  TMA --tiles_arrived[stage]--> MMA --accumulators_ready[set]--> epilogue
//!               <--stage_free[stage]-----     <--accumulators_free[set]---
//! ```
//!
//! Weights lie along the MMA's M and tokens along its N, so a tile pays for `TOKENS` rows of C. The
//! accumulators have columns of C in their lanes and rows of C in their columns. Rings and phases run
//! on from tile to tile; with two sets of accumulators the epilogue of one tile overlaps the next.

use crate::descriptor::instr_mxf4::{Mxf4Element, Mxf4InstrDescriptor, Mxf4Scale};
use crate::descriptor::smem_sm100::Sm100SmemDescriptor;
use crate::epilogue::silu_mul::silu_mul_8;
use crate::epilogue::store_tokens::{Destination, Element};
use crate::pipeline::barriers::wait;
use crate::pipeline::group_walk::{Found, Groups, Walk};
use crate::pipeline::ring::RingPosition;
use crate::pipeline::roles::Role;
use crate::ptx::mbarrier::{
    mbarrier_arrive, mbarrier_arrive_expect_tx, mbarrier_init, mbarrier_inval,
};
use crate::ptx::memory::{ld_global_nc_b32, ld_shared_b32, ld_shared_v4_b32, st_shared_v4_b32};
use crate::ptx::sreg::{dyn_smem, elect_sync, shfl_sync_idx, tid_x};
use crate::ptx::sync::{
    bar_sync_all, bar_warp_sync, fence_mbarrier_init, fence_proxy_async_shared_cta,
};
use crate::ptx::tcgen05::alloc::{tcgen05_alloc, tcgen05_dealloc, tcgen05_relinquish_alloc_permit};
use crate::ptx::tcgen05::mma::{tcgen05_commit, tcgen05_mma_mxf4nvf4_block16};
use crate::ptx::tcgen05::transfer::{
    tcgen05_cp_32x128b_warpx4, tcgen05_fence_after_thread_sync, tcgen05_fence_before_thread_sync,
    tcgen05_ld_32x32b_x8, tcgen05_wait_ld,
};
use crate::ptx::tma::{cp_async_bulk, cp_async_bulk_tensor_3d, prefetch_tensormap};
use crate::ptx::{SharedAddr, TmemAddr};
use crate::tile::geometry::{MMA_K, MMAS_PER_STAGE, SCALE_ATOM_BYTES, SCALE_ATOM_ROWS, TILE_K};
use crate::tile::group_schedule::{self as schedule, TILE_WEIGHTS, scale_blocks};
use crate::tile::grouped::{GroupedGeometry, GroupedSmemMap, GroupedTmemMap};
use crate::tile::scale_layout::atoms_along_k;
use crate::tile::smem_map::SMEM_ALIGN;
use crate::tile::tmem_map::{ATOM_COLUMNS, TMEM_COLUMNS};

/// Bytes of a tensor map.
const TENSOR_MAP_BYTES: u64 = 128;
/// Bytes between the starts of two MMAs' K slices within a row of a stage.
const MMA_K_BYTES: u32 = MMA_K / 2;
/// Bytes of one row of a scale atom: 4 scales of 4 rows.
const SCALE_ROW_BYTES: u32 = 16;
/// Rows of C that an epilogue warp loads at a time from one accumulator.
const EPILOGUE_ROWS: u32 = 8;
/// Threads that arrive on `accumulators_free`.
const EPILOGUE_THREADS: u32 = 128;

/// What every role of a CTA knows.
struct Cta<const TOKENS: u32, const PRODUCTS: u32, const STAGES: u32, const SETS: u32> {
    groups: Groups,
    flags: u32,
    smem: SharedAddr,
}

impl<const TOKENS: u32, const PRODUCTS: u32, const STAGES: u32, const SETS: u32>
    Cta<TOKENS, PRODUCTS, STAGES, SETS>
{
    const GEOMETRY: GroupedGeometry = {
        let geometry = GroupedGeometry::new(TOKENS, PRODUCTS);
        assert!(geometry.stages == STAGES && geometry.sets == SETS);
        geometry
    };
    const SMEM: GroupedSmemMap = GroupedSmemMap::new(Self::GEOMETRY);
    const TMEM: GroupedTmemMap = GroupedTmemMap::new(Self::GEOMETRY);
    const IDESC: Mxf4InstrDescriptor =
        Mxf4InstrDescriptor::new(TILE_WEIGHTS, TOKENS, Mxf4Element::E2M1, Mxf4Scale::Ue4m3);

    #[inline(always)]
    fn stage(&self, stage: u32) -> SharedAddr {
        self.smem.offset(stage * Self::SMEM.stage)
    }

    /// One arrival, the TMA warp's, and the bytes of the stage's copies.
    #[inline(always)]
    fn tiles_arrived(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.tiles_arrived + 8 * stage)
    }

    /// One arrival: the commit of the MMAs that read the stage.
    #[inline(always)]
    fn stage_free(&self, stage: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.stage_free + 8 * stage)
    }

    /// One arrival: the commit of the tile's last MMAs.
    #[inline(always)]
    fn accumulators_ready(&self, set: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.accumulators_ready + 8 * set)
    }

    /// 128 arrivals: the epilogue's threads', when they have loaded the set.
    #[inline(always)]
    fn accumulators_free(&self, set: u32) -> SharedAddr {
        self.smem.offset(Self::SMEM.accumulators_free + 8 * set)
    }

    #[inline(always)]
    fn tmem_address(&self) -> SharedAddr {
        self.smem.offset(Self::SMEM.tmem_address)
    }

    /// Makes the barriers; one thread.
    #[inline(always)]
    unsafe fn init_barriers(&self) {
        // SAFETY: the map gives every barrier 8 bytes of its own; nothing else runs yet.
        unsafe {
            for stage in 0..STAGES {
                mbarrier_init(self.tiles_arrived(stage), 1);
                mbarrier_init(self.stage_free(stage), 1);
            }
            for set in 0..SETS {
                mbarrier_init(self.accumulators_ready(set), 1);
                mbarrier_init(self.accumulators_free(set), EPILOGUE_THREADS);
            }
            // TMA and the tensor core arrive through the async proxy.
            fence_mbarrier_init();
        }
    }

    /// Ends the barriers' lives; one thread, when nothing will arrive any more.
    #[inline(always)]
    unsafe fn invalidate_barriers(&self) {
        // SAFETY: every arrival has been waited for, see `run`.
        unsafe {
            for stage in 0..STAGES {
                mbarrier_inval(self.tiles_arrived(stage));
                mbarrier_inval(self.stage_free(stage));
            }
            for set in 0..SETS {
                mbarrier_inval(self.accumulators_ready(set));
                mbarrier_inval(self.accumulators_free(set));
            }
        }
    }

    /// The TMA warp's work: fills the ring, tile after tile. The whole warp walks, one lane issues.
    #[inline(always)]
    unsafe fn load_tiles(&self) {
        let issues = elect_sync();
        let mut walk = Walk::<TOKENS, TILE_WEIGHTS>::start(self.groups, false);
        let mut ring = RingPosition::<STAGES>::start();
        // SAFETY: the addresses come from the shared-memory map and from the table; a stage is
        // written only after the MMAs that read it are complete.
        unsafe {
            while let Some(found) = walk.next() {
                if issues {
                    self.load_tile(found, &mut ring);
                }
            }
            // Every stage's last commit must have arrived before the barriers end. That one commit of
            // a thread arrives after those before it is written nowhere.
            if issues {
                for _ in 0..STAGES {
                    wait(self.stage_free(ring.stage()), ring.freed());
                    ring.advance();
                }
            }
        }
    }

    /// Loads all of K of one tile; one thread.
    #[inline(always)]
    unsafe fn load_tile(&self, found: Found, ring: &mut RingPosition<STAGES>) {
        let Found { record, group, tile, first_row, scale_block, .. } = found;
        let k = record.word(schedule::K);
        let maps = record.address(schedule::MAPS);
        let (token_batch, weight_batch) =
            if self.groups.offsets == 0 { (tile.batch, tile.batch) } else { (0, group) };
        let token_row = first_row + tile.row;
        // Atoms of the same 128 rows follow each other along K.
        let atoms = atoms_along_k(k);
        let scales_of =
            |base: u64, block: u32| base + block as u64 * atoms as u64 * SCALE_ATOM_BYTES as u64;
        let weight_block =
            weight_batch * scale_blocks(record.word(schedule::N)) + tile.column / SCALE_ATOM_ROWS;
        let token_scales = scales_of(
            record.address(schedule::TOKEN_SCALES),
            scale_block + tile.row / SCALE_ATOM_ROWS,
        );
        let gate_scales = scales_of(record.address(schedule::GATE_SCALES), weight_block);
        let up_scales = scales_of(record.address(schedule::UP_SCALES), weight_block);
        let (weights, scales) = (Self::GEOMETRY.weight_bytes(), Self::GEOMETRY.scale_bytes());
        // SAFETY: see `load_tiles`.
        unsafe {
            for map in 0..PRODUCTS as u64 + 1 {
                prefetch_tensormap(maps + map * TENSOR_MAP_BYTES);
            }
            for k_tile in 0..k.div_ceil(TILE_K) {
                wait(self.stage_free(ring.stage()), ring.freed());
                let arrived = self.tiles_arrived(ring.stage());
                let stage = self.stage(ring.stage());
                let scale_bytes = atoms_of(k, k_tile) * SCALE_ATOM_BYTES;
                // Boxes count in full, also what lies outside the tensor and arrives as zeros.
                let bytes = Self::GEOMETRY.tile_bytes() + (PRODUCTS + 1) * scale_bytes;
                mbarrier_arrive_expect_tx(arrived, bytes);

                let x = k_tile * TILE_K;
                let weights_at = [x, tile.column, weight_batch];
                cp_async_bulk_tensor_3d(stage, maps + TENSOR_MAP_BYTES, weights_at, arrived);
                if PRODUCTS == 2 {
                    let up = stage.offset(weights);
                    cp_async_bulk_tensor_3d(up, maps + 2 * TENSOR_MAP_BYTES, weights_at, arrived);
                }
                let tokens_at = [x, token_row, token_batch];
                let tokens = stage.offset(Self::SMEM.tokens);
                cp_async_bulk_tensor_3d(tokens, maps, tokens_at, arrived);

                let at = (k_tile * scales) as u64;
                let to = stage.offset(Self::SMEM.weight_scales);
                cp_async_bulk(to, gate_scales + at, scale_bytes, arrived);
                if PRODUCTS == 2 {
                    cp_async_bulk(to.offset(scales), up_scales + at, scale_bytes, arrived);
                }
                let to = stage.offset(Self::SMEM.token_scales);
                cp_async_bulk(to, token_scales + at, scale_bytes, arrived);
                ring.advance();
            }
        }
    }

    /// The MMA warp's work: multiplies every K tile of every tile. The whole warp walks, one elected
    /// lane issues.
    #[inline(always)]
    unsafe fn multiply(&self, tmem: TmemAddr) {
        let issues = elect_sync();
        let mut walk = Walk::<TOKENS, TILE_WEIGHTS>::start(self.groups, false);
        let mut ring = RingPosition::<STAGES>::start();
        let mut set = RingPosition::<SETS>::start();
        // SAFETY: the maps keep operands, scales and accumulators apart; a stage's tiles and scale
        // columns are read only between `tiles_arrived` and the commit to `stage_free`, a set is
        // written only between `accumulators_free` and the commit to `accumulators_ready`.
        unsafe {
            while let Some(found) = walk.next() {
                let k = found.record.word(schedule::K);
                // Where the tile's rows lie in the 128 rows of their scale atoms.
                let row_in_atom = found.tile.row % SCALE_ATOM_ROWS;
                let accumulators = tmem.column(set.stage() * Self::TMEM.set);
                wait(self.accumulators_free(set.stage()), set.freed());
                let k_tiles = k.div_ceil(TILE_K);
                for k_tile in 0..k_tiles {
                    wait(self.tiles_arrived(ring.stage()), ring.filled());
                    // The copies below reuse scale columns that the MMAs of an earlier round read,
                    // and the first MMAs an accumulator that the epilogue has loaded.
                    tcgen05_fence_after_thread_sync();
                    let atoms = atoms_of(k, k_tile);
                    let padded = k_tile + 1 == k_tiles && !k.is_multiple_of(MMA_K);
                    self.prepare_scales(ring.stage(), atoms, row_in_atom, padded);
                    if issues {
                        let first = k_tile == 0;
                        self.multiply_stage(
                            tmem,
                            accumulators,
                            ring.stage(),
                            atoms,
                            row_in_atom,
                            first,
                        );
                        tcgen05_commit(self.stage_free(ring.stage()));
                    }
                    ring.advance();
                }
                if issues {
                    tcgen05_commit(self.accumulators_ready(set.stage()));
                }
                set.advance();
            }
        }
    }

    /// Edits the stage's scales in shared memory where the tensor core cannot take them as they are.
    ///
    /// Tiles of 16 and 32 rows: scales must start at an even column of tensor memory, so those of
    /// rows that do not lie at the start of their atom are moved there. Padding: the last two of four
    /// scales are zeroed where K is an odd multiple of 32. They may hold anything, and a NaN scale
    /// would poison its whole row though the data it scales are zeros.
    #[inline(always)]
    unsafe fn prepare_scales(&self, stage: u32, atoms: u32, row_in_atom: u32, padded: bool) {
        let moves = TOKENS < 64 && row_in_atom != 0;
        if !moves && !padded {
            return;
        }
        let base = self.stage(stage);
        let lane = tid_x() % 32;
        let own = lane * SCALE_ROW_BYTES;
        // SAFETY: the atoms are in shared memory, complete, and this warp is their only user now.
        unsafe {
            if moves {
                // Row r of an atom has its four scales in row r % 32, word r / 32.
                let row = row_in_atom + lane;
                let from = row % 32 * SCALE_ROW_BYTES + row / 32 % 4 * 4;
                for atom in 0..atoms {
                    let atom = base.offset(Self::SMEM.token_scales + atom * SCALE_ATOM_BYTES);
                    let scales = ld_shared_b32(atom.offset(from));
                    // All lanes have read before one writes; of 32 rows each writes what it read.
                    if TOKENS < 32 {
                        bar_warp_sync();
                    }
                    st_shared_v4_b32(atom.offset(own), [scales, 0, 0, 0]);
                }
            }
            if padded {
                let last = base.offset((atoms - 1) * SCALE_ATOM_BYTES + own);
                for operand in 0..PRODUCTS + 1 {
                    let offset = Self::SMEM.token_scales + operand * Self::GEOMETRY.scale_bytes();
                    let scales = ld_shared_v4_b32(last.offset(offset));
                    st_shared_v4_b32(last.offset(offset), scales.map(|four| four & 0xffff));
                }
            }
            // Written by the threads, read by the tensor core: two proxies, and another lane issues.
            fence_proxy_async_shared_cta();
            bar_warp_sync();
        }
    }

    /// Issues the copies of scales and the MMAs of one stage; one thread.
    #[inline(always)]
    unsafe fn multiply_stage(
        &self,
        tmem: TmemAddr,
        accumulators: TmemAddr,
        stage: u32,
        atoms: u32,
        row_in_atom: u32,
        first: bool,
    ) {
        let base = self.stage(stage);
        let tile = |offset: u32| Sm100SmemDescriptor::k_major_128b(base.offset(offset).0);
        let atom = |offset: u32| Sm100SmemDescriptor::scale_atom(base.offset(offset).0);
        let tokens = tile(Self::SMEM.tokens);
        let token_scales = atom(Self::SMEM.token_scales);
        let scale_columns = tmem.column(Self::TMEM.scales + stage * Self::TMEM.stage);
        // Tiles of 64 rows may take the upper half of their atoms; smaller ones have been moved.
        let token_column = if TOKENS == 64 { row_in_atom / 32 } else { 0 };
        // SAFETY: see `multiply`.
        unsafe {
            for step in 0..atoms {
                let along_k = step * MMA_K_BYTES;
                let atom_bytes = step * SCALE_ATOM_BYTES;
                let token_scales_at = scale_columns.column(step * ATOM_COLUMNS);
                tcgen05_cp_32x128b_warpx4(token_scales_at, token_scales.advance(atom_bytes));
                for product in 0..PRODUCTS {
                    let weights = tile(product * Self::GEOMETRY.weight_bytes());
                    let scales =
                        atom(Self::SMEM.weight_scales + product * Self::GEOMETRY.scale_bytes());
                    let scales_at = token_scales_at.column((product + 1) * Self::TMEM.operand);
                    tcgen05_cp_32x128b_warpx4(scales_at, scales.advance(atom_bytes));
                    tcgen05_mma_mxf4nvf4_block16(
                        accumulators.column(product * Self::TMEM.product),
                        weights.advance(along_k),
                        tokens.advance(along_k),
                        Self::IDESC,
                        scales_at,
                        token_scales_at.column(token_column),
                        !(first && step == 0),
                    );
                }
            }
        }
    }

    /// An epilogue warp's work: 32 columns of every tile of C, one column a lane.
    #[inline(always)]
    unsafe fn store_c(&self, tmem: TmemAddr, first_lane: u32) {
        let element = Element::of(self.flags);
        let mut walk = Walk::<TOKENS, TILE_WEIGHTS>::start(self.groups, false);
        let mut set = RingPosition::<SETS>::start();
        // SAFETY: the accumulators are complete; stores stay inside the group's rows and columns.
        unsafe {
            while let Some(found) = walk.next() {
                let Found { record, tile, rows, first_row, .. } = found;
                let (alpha1, alpha2) = self.alphas(found);
                let (n, ldc) = (record.word(schedule::N), record.word(schedule::LDC));
                let row = first_row as u64 + tile.batch as u64 * rows as u64 + tile.row as u64;
                let column = tile.column + first_lane;
                let pitch = ldc as u64 * element.bytes();
                let address =
                    record.address(schedule::C) + row * pitch + column as u64 * element.bytes();
                let columns = n.saturating_sub(column);
                let to = Destination { address, pitch, rows: rows - tile.row, columns, element };
                let accumulators = tmem.lane(first_lane).column(set.stage() * Self::TMEM.set);

                wait(self.accumulators_ready(set.stage()), set.filled());
                tcgen05_fence_after_thread_sync();
                let step = EPILOGUE_ROWS * (3 - PRODUCTS);
                for chunk in 0..TOKENS / step {
                    let row = chunk * step;
                    // The rows beyond belong to nobody, or to the next expert.
                    if row >= to.rows {
                        break;
                    }
                    if PRODUCTS == 2 {
                        let mut gate = tcgen05_ld_32x32b_x8(accumulators.column(row));
                        let up = accumulators.column(Self::TMEM.product + row);
                        let mut up = tcgen05_ld_32x32b_x8(up);
                        tcgen05_wait_ld(&mut gate, &mut up);
                        to.store_8(row, silu_mul_8(gate, up, alpha1, alpha2));
                    } else {
                        let mut low = tcgen05_ld_32x32b_x8(accumulators.column(row));
                        let mut high =
                            tcgen05_ld_32x32b_x8(accumulators.column(row + EPILOGUE_ROWS));
                        tcgen05_wait_ld(&mut low, &mut high);
                        to.store_8(row, low.map(|x| alpha1 * x));
                        to.store_8(row + EPILOGUE_ROWS, high.map(|x| alpha1 * x));
                    }
                }
                // The MMA warp writes the set again after this arrival, or frees the columns after
                // the barrier at the end.
                tcgen05_fence_before_thread_sync();
                mbarrier_arrive(self.accumulators_free(set.stage()));
                set.advance();
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
        let alpha2 = if PRODUCTS == 2 { of_expert(schedule::ALPHAS2) } else { 0.0 };
        (of_expert(schedule::ALPHAS1), alpha2)
    }
}

/// Scale atoms, and so MMAs of each product, of K tile `k_tile`: 4, or fewer in the last.
#[inline(always)]
fn atoms_of(k: u32, k_tile: u32) -> u32 {
    let left = atoms_along_k(k) - k_tile * MMAS_PER_STAGE;
    if left < MMAS_PER_STAGE { left } else { MMAS_PER_STAGE }
}

/// The kernel.
///
/// # Safety
/// The launch has the shape that [`KERNELS`](super::KERNELS) declares, and the table keeps the
/// contract at the head of this file.
#[inline(always)]
unsafe fn run<const TOKENS: u32, const PRODUCTS: u32, const STAGES: u32, const SETS: u32>(
    groups: Groups,
    flags: u32,
) {
    let smem = dyn_smem().align_up(SMEM_ALIGN);
    let cta = Cta::<TOKENS, PRODUCTS, STAGES, SETS> { groups, flags, smem };
    let warp = shfl_sync_idx(tid_x() / 32, 0);
    let role = Role::of(warp);
    // SAFETY: each role keeps to its side of the barriers; see the methods.
    unsafe {
        match role {
            Role::Tma => {
                if elect_sync() {
                    cta.init_barriers();
                }
            }
            Role::Mma => {
                tcgen05_alloc::<{ TMEM_COLUMNS }>(cta.tmem_address());
                tcgen05_relinquish_alloc_permit();
            }
            Role::Epilogue { .. } => {}
        }
        bar_sync_all();
        let tmem = TmemAddr(ld_shared_b32(cta.tmem_address()));

        match role {
            Role::Tma => cta.load_tiles(),
            Role::Mma => cta.multiply(tmem),
            Role::Epilogue { lane } => cta.store_c(tmem, lane),
        }

        // All arrivals are in: the epilogue has seen every `accumulators_ready`, the TMA warp every
        // `stage_free`, and the epilogue's own came before this line.
        bar_sync_all();
        match role {
            Role::Tma => {
                if elect_sync() {
                    cta.invalidate_barriers();
                }
            }
            Role::Mma => {
                tcgen05_fence_after_thread_sync();
                tcgen05_dealloc::<{ TMEM_COLUMNS }>(tmem);
            }
            Role::Epilogue { .. } => {}
        }
    }
}

/// Writes an entry point for each tile and number of products.
macro_rules! entry_points {
    ($($name:ident: $tokens:literal tokens, $products:literal products, $stages:literal stages, $sets:literal sets;)*) => {$(
        /// `C_g` of every group.
        ///
        /// # Safety
        /// See the head of the file.
        #[cfg_attr(target_feature = "compute_100", nvvm_internal::kernel)]
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(table: u64, offsets: u64, count: u32, flags: u32) {
            let groups = Groups { table, offsets, count };
            // SAFETY: the caller's.
            unsafe { run::<$tokens, $products, $stages, $sets>(groups, flags) };
        }
    )*};
}

entry_points! {
    nvfp4_grouped_gemm_sm100_16x128: 16 tokens, 1 products, 9 stages, 2 sets;
    nvfp4_grouped_gemm_sm100_32x128: 32 tokens, 1 products, 9 stages, 2 sets;
    nvfp4_grouped_gemm_sm100_64x128: 64 tokens, 1 products, 7 stages, 2 sets;
    nvfp4_grouped_gemm_sm100_128x128: 128 tokens, 1 products, 6 stages, 2 sets;
    nvfp4_grouped_dual_gemm_sm100_16x128: 16 tokens, 2 products, 5 stages, 2 sets;
    nvfp4_grouped_dual_gemm_sm100_32x128: 32 tokens, 2 products, 5 stages, 2 sets;
    nvfp4_grouped_dual_gemm_sm100_64x128: 64 tokens, 2 products, 4 stages, 2 sets;
    nvfp4_grouped_dual_gemm_sm100_128x128: 128 tokens, 2 products, 4 stages, 1 sets;
}
