//! C = silu(alpha1·A·B1ᵀ) ⊙ (alpha2·A·B2ᵀ) on NVFP4, for sm_100: one CTA per tile of C.
//!
//! ```text
//! Contract  A [L, M, K], B1 and B2 [L, N, K]: e2m1, K-major, two a byte, through tensor maps
//!           SFA, SFB1, SFB2: ue4m3, one per 16 along K, 128×4 blocked, batches one after another
//!           C [L, M, N]: f16 or bf16, rows `ldc` elements apart
//!           M ≥ 1, N % 8 = 0, K % 32 = 0, all pointers multiples of 16: checked by the host's plan
//! Grid      x: tiles along M (neighbours share B1 and B2), y: tiles along N, z: batches
//! Roles     TMA warp | MMA warp | four epilogue warps
//! Barriers  TMA --tiles_arrived[stage]--> MMA --accumulators_ready--> epilogue
//!               <--stage_free[stage]-----
//! ```
//!
//! A stage holds 256 elements along K of A, B1 and B2 with their scales: one A tile that both
//! products read. Both accumulators stay in tensor memory until the last K tile is done.

use crate::descriptor::instr_mxf4::{Mxf4Element, Mxf4InstrDescriptor, Mxf4Scale};
use crate::descriptor::smem_sm100::Sm100SmemDescriptor;
use crate::epilogue::silu_mul::silu_mul_8;
use crate::epilogue::store::store_8;
use crate::kernels::Output;
use crate::pipeline::barriers::wait;
use crate::pipeline::ring::RingPosition;
use crate::pipeline::roles::Role;
use crate::ptx::mbarrier::{mbarrier_arrive_expect_tx, mbarrier_init, mbarrier_inval};
use crate::ptx::memory::{ld_shared_b32, ld_shared_v4_b32, st_shared_v4_b32};
use crate::ptx::sreg::{ctaid_x, ctaid_y, ctaid_z, dyn_smem, elect_sync, shfl_sync_idx, tid_x};
use crate::ptx::sync::{
    bar_sync_all, bar_warp_sync, fence_mbarrier_init, fence_proxy_async_shared_cta,
};
use crate::ptx::tcgen05::alloc::{tcgen05_alloc, tcgen05_dealloc, tcgen05_relinquish_alloc_permit};
use crate::ptx::tcgen05::mma::{
    tcgen05_commit, tcgen05_mma_mxf4nvf4_block16_a_fill, tcgen05_mma_mxf4nvf4_block16_a_lastuse,
};
use crate::ptx::tcgen05::transfer::{
    tcgen05_cp_32x128b_warpx4, tcgen05_fence_after_thread_sync, tcgen05_fence_before_thread_sync,
    tcgen05_ld_32x32b_x8, tcgen05_wait_ld,
};
use crate::ptx::tma::{cp_async_bulk, cp_async_bulk_tensor_3d, prefetch_tensormap};
use crate::ptx::{SharedAddr, TmemAddr};
use crate::tile::geometry::{
    Geometry, MMA_K, MMAS_PER_STAGE, SCALE_ATOM_BYTES, SCALE_ATOM_ROWS, TILE_K, TILE_M,
};
use crate::tile::scale_layout::{atom_offset, atoms_along_k};
use crate::tile::smem_map::{SMEM_ALIGN, SmemMap};
use crate::tile::tmem_map::{ATOM_COLUMNS, TMEM_COLUMNS, TmemMap};

/// What the host passes, as the entry points list it. Device addresses are generic.
#[derive(Clone, Copy)]
struct Arguments {
    /// Three tensor maps, 128 bytes each: A, B1, B2.
    maps: u64,
    sfa: u64,
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
}

/// Bytes of a tensor map.
const TENSOR_MAP_BYTES: u64 = 128;
/// Bytes between the rows that one MMA's K slice and the next one's start at, within a stage.
const MMA_K_BYTES: u32 = MMA_K / 2;
/// Columns that an epilogue warp loads at a time from each accumulator, and stores as 16 bytes.
const EPILOGUE_COLUMNS: u32 = 8;
/// Bytes of one row of a scale atom: 4 scales of 4 rows.
const SCALE_ROW_BYTES: u32 = 16;

/// The tile that this CTA computes, and where its parts lie.
struct Tile<const N: u32, const STAGES: u32> {
    args: Arguments,
    row: u32,
    column: u32,
    batch: u32,
    smem: SharedAddr,
}

impl<const N: u32, const STAGES: u32> Tile<N, STAGES> {
    const GEOMETRY: Geometry = {
        let geometry = Geometry::sm100(N);
        assert!(geometry.stages == STAGES);
        geometry
    };
    const SMEM: SmemMap = SmemMap::new(Self::GEOMETRY);
    const TMEM: TmemMap = TmemMap::new(Self::GEOMETRY);
    const IDESC: Mxf4InstrDescriptor =
        Mxf4InstrDescriptor::new(TILE_M, N, Mxf4Element::E2M1, Mxf4Scale::Ue4m3);

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

    /// One arrival: the commit of the last MMAs.
    #[inline(always)]
    fn accumulators_ready(&self) -> SharedAddr {
        self.smem.offset(Self::SMEM.accumulators_ready)
    }

    #[inline(always)]
    fn tmem_address(&self) -> SharedAddr {
        self.smem.offset(Self::SMEM.tmem_address)
    }

    #[inline(always)]
    fn k_tiles(&self) -> u32 {
        self.args.k.div_ceil(TILE_K)
    }

    /// Scale atoms, and so MMAs, of K tile `k_tile`: 4, or fewer in the last.
    #[inline(always)]
    fn atoms(&self, k_tile: u32) -> u32 {
        let left = atoms_along_k(self.args.k) - k_tile * MMAS_PER_STAGE;
        if left < MMAS_PER_STAGE { left } else { MMAS_PER_STAGE }
    }

    /// True if the last scale atom is half padding: K is an odd multiple of 32.
    #[inline(always)]
    fn scales_are_padded(&self) -> bool {
        !self.args.k.is_multiple_of(MMA_K)
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
            mbarrier_init(self.accumulators_ready(), 1);
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
            mbarrier_inval(self.accumulators_ready());
        }
    }

    /// The TMA warp's work, by one thread: fills the ring, K tile after K tile.
    #[inline(always)]
    unsafe fn load_tiles(&self) {
        let Arguments { maps, sfa, sfb1, sfb2, m, n, k, .. } = self.args;
        let (map_a, map_b1, map_b2) = (maps, maps + TENSOR_MAP_BYTES, maps + 2 * TENSOR_MAP_BYTES);
        // 64-column tiles share the atoms of the 128 rows of B that they lie in.
        let b_atom_row = self.column / SCALE_ATOM_ROWS * SCALE_ATOM_ROWS;
        let sfa = sfa + atom_offset(m, k, self.batch, self.row, 0);
        let sfb1 = sfb1 + atom_offset(n, k, self.batch, b_atom_row, 0);
        let sfb2 = sfb2 + atom_offset(n, k, self.batch, b_atom_row, 0);
        // SAFETY: the addresses come from the shared-memory map and from the host's plan; a stage
        // is written only after the MMAs that read it are complete.
        unsafe {
            let mut ring = RingPosition::<STAGES>::start();
            for k_tile in 0..self.k_tiles() {
                wait(self.stage_free(ring.stage()), ring.freed());
                let arrived = self.tiles_arrived(ring.stage());
                let stage = self.stage(ring.stage());
                let scale_bytes = self.atoms(k_tile) * SCALE_ATOM_BYTES;
                // Boxes count in full, also what lies outside the tensor and arrives as zeros.
                let tile_bytes = Self::GEOMETRY.a_bytes() + 2 * Self::GEOMETRY.b_bytes();
                mbarrier_arrive_expect_tx(arrived, tile_bytes + 3 * scale_bytes);

                let x = k_tile * TILE_K;
                let a_at = [x, self.row, self.batch];
                let b_at = [x, self.column, self.batch];
                cp_async_bulk_tensor_3d(stage.offset(Self::SMEM.a), map_a, a_at, arrived);
                cp_async_bulk_tensor_3d(stage.offset(Self::SMEM.b1), map_b1, b_at, arrived);
                cp_async_bulk_tensor_3d(stage.offset(Self::SMEM.b2), map_b2, b_at, arrived);
                let at = (k_tile * Self::GEOMETRY.scale_bytes()) as u64;
                cp_async_bulk(stage.offset(Self::SMEM.sfa), sfa + at, scale_bytes, arrived);
                cp_async_bulk(stage.offset(Self::SMEM.sfb1), sfb1 + at, scale_bytes, arrived);
                cp_async_bulk(stage.offset(Self::SMEM.sfb2), sfb2 + at, scale_bytes, arrived);
                ring.advance();
            }
        }
    }

    /// The MMA warp's work: multiplies every K tile into both accumulators.
    ///
    /// The whole warp walks the ring, and one elected lane issues.
    #[inline(always)]
    unsafe fn multiply(&self, tmem: TmemAddr) {
        // 64-column tiles at odd positions use the upper half of their 128-row atoms.
        let sfb_column = self.column % SCALE_ATOM_ROWS / 32;
        let issues = elect_sync();
        // SAFETY: the maps keep operands, scales and accumulators apart; a stage's tiles and scale
        // columns are read only between `tiles_arrived` and the commit to `stage_free`.
        unsafe {
            let mut ring = RingPosition::<STAGES>::start();
            let k_tiles = self.k_tiles();
            for k_tile in 0..k_tiles {
                wait(self.tiles_arrived(ring.stage()), ring.filled());
                // The copies below reuse scale columns that the MMAs of an earlier round read. Their
                // end reached this thread by way of the TMA warp's wait.
                tcgen05_fence_after_thread_sync();
                let atoms = self.atoms(k_tile);
                if k_tile + 1 == k_tiles && self.scales_are_padded() {
                    self.clear_scale_padding(ring.stage(), atoms - 1);
                }
                if issues {
                    self.multiply_stage(tmem, ring.stage(), atoms, sfb_column, k_tile == 0);
                    // The last round's stages are not filled again: nobody waits for them, and an
                    // arrival must not come after the barrier's end.
                    if k_tile + STAGES < k_tiles {
                        tcgen05_commit(self.stage_free(ring.stage()));
                    }
                }
                ring.advance();
            }
            if issues {
                tcgen05_commit(self.accumulators_ready());
            }
        }
    }

    /// Zeroes the two padding scales of every row in atom `atom` of the stage, for all three
    /// operands. They may hold anything, and a NaN scale would poison its whole row though the data
    /// it scales are zeros.
    #[inline(always)]
    unsafe fn clear_scale_padding(&self, stage: u32, atom: u32) {
        let row =
            self.stage(stage).offset(atom * SCALE_ATOM_BYTES + tid_x() % 32 * SCALE_ROW_BYTES);
        // SAFETY: the atoms are in shared memory, complete, and this warp is their only user now.
        unsafe {
            for operand in [Self::SMEM.sfa, Self::SMEM.sfb1, Self::SMEM.sfb2] {
                let address = row.offset(operand);
                let scales = ld_shared_v4_b32(address);
                st_shared_v4_b32(address, scales.map(|four| four & 0xffff));
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
        stage: u32,
        atoms: u32,
        sfb_column: u32,
        first: bool,
    ) {
        let base = self.stage(stage);
        let tile = |offset: u32| Sm100SmemDescriptor::k_major_128b(base.offset(offset).0);
        let atom = |offset: u32| Sm100SmemDescriptor::scale_atom(base.offset(offset).0);
        let (a, b1, b2) = (tile(Self::SMEM.a), tile(Self::SMEM.b1), tile(Self::SMEM.b2));
        let (sfa, sfb1, sfb2) =
            (atom(Self::SMEM.sfa), atom(Self::SMEM.sfb1), atom(Self::SMEM.sfb2));
        let gate = tmem.column(Self::TMEM.gate);
        let up = tmem.column(Self::TMEM.up);
        let sfa_columns = tmem.column(Self::TMEM.sfa(stage));
        let sfb1_columns = tmem.column(Self::TMEM.sfb1(stage));
        let sfb2_columns = tmem.column(Self::TMEM.sfb2(stage));
        // SAFETY: see `multiply`.
        unsafe {
            for step in 0..atoms {
                let along_k = step * MMA_K_BYTES;
                let atom_bytes = step * SCALE_ATOM_BYTES;
                let column = step * ATOM_COLUMNS;
                let (sfa_at, sfb1_at, sfb2_at) = (
                    sfa_columns.column(column),
                    sfb1_columns.column(column),
                    sfb2_columns.column(column),
                );
                tcgen05_cp_32x128b_warpx4(sfa_at, sfa.advance(atom_bytes));
                tcgen05_cp_32x128b_warpx4(sfb1_at, sfb1.advance(atom_bytes));
                tcgen05_cp_32x128b_warpx4(sfb2_at, sfb2.advance(atom_bytes));
                let accumulate = !(first && step == 0);
                tcgen05_mma_mxf4nvf4_block16_a_fill(
                    gate,
                    a.advance(along_k),
                    b1.advance(along_k),
                    Self::IDESC,
                    sfa_at,
                    sfb1_at.column(sfb_column),
                    accumulate,
                );
                tcgen05_mma_mxf4nvf4_block16_a_lastuse(
                    up,
                    a.advance(along_k),
                    b2.advance(along_k),
                    Self::IDESC,
                    sfa_at,
                    sfb2_at.column(sfb_column),
                    accumulate,
                );
            }
        }
    }

    /// An epilogue warp's work: its 32 rows of C, one row a lane.
    #[inline(always)]
    unsafe fn store_c(&self, tmem: TmemAddr, first_lane: u32, output: Output) {
        let Arguments { c, m, n, ldc, alpha1, alpha2, .. } = self.args;
        let row = self.row + first_lane + tid_x() % 32;
        let c_row = c + 2 * ((self.batch as u64 * m as u64 + row as u64) * ldc as u64);
        let gate = tmem.lane(first_lane).column(Self::TMEM.gate);
        let up = tmem.lane(first_lane).column(Self::TMEM.up);
        // SAFETY: the accumulators are complete; stores stay inside C's M rows and N columns.
        unsafe {
            wait(self.accumulators_ready(), 0);
            tcgen05_fence_after_thread_sync();
            for chunk in 0..N / EPILOGUE_COLUMNS {
                let first = chunk * EPILOGUE_COLUMNS;
                let mut g = tcgen05_ld_32x32b_x8(gate.column(first));
                let mut u = tcgen05_ld_32x32b_x8(up.column(first));
                tcgen05_wait_ld(&mut g, &mut u);
                let column = self.column + first;
                // N is a multiple of 8, so the 8 columns are all inside C or all outside.
                if row < m && column < n {
                    store_8(output, c_row + 2 * column as u64, silu_mul_8(g, u, alpha1, alpha2));
                }
            }
            // The MMA warp frees the columns after the barrier that follows.
            tcgen05_fence_before_thread_sync();
        }
    }
}

/// The kernel.
///
/// # Safety
/// The launch has the shape that [`KERNELS`](super::KERNELS) declares, and the arguments keep the
/// contract at the head of this file.
#[inline(always)]
unsafe fn run<const N: u32, const STAGES: u32>(args: Arguments, output: Output) {
    let tile = Tile::<N, STAGES> {
        args,
        row: ctaid_x() * TILE_M,
        column: ctaid_y() * N,
        batch: ctaid_z(),
        smem: dyn_smem().align_up(SMEM_ALIGN),
    };
    let warp = shfl_sync_idx(tid_x() / 32, 0);
    let role = Role::of(warp);
    // SAFETY: each role keeps to its side of the barriers; see the methods.
    unsafe {
        match role {
            Role::Tma => {
                if elect_sync() {
                    for map in 0..3 {
                        prefetch_tensormap(args.maps + map * TENSOR_MAP_BYTES);
                    }
                    tile.init_barriers();
                }
            }
            Role::Mma => {
                tcgen05_alloc::<{ TMEM_COLUMNS }>(tile.tmem_address());
                tcgen05_relinquish_alloc_permit();
            }
            Role::Epilogue { .. } => {}
        }
        bar_sync_all();
        let tmem = TmemAddr(ld_shared_b32(tile.tmem_address()));

        match role {
            Role::Tma => {
                if elect_sync() {
                    tile.load_tiles();
                }
            }
            Role::Mma => tile.multiply(tmem),
            Role::Epilogue { lane } => tile.store_c(tmem, lane, output),
        }

        // All arrivals are in: the epilogue has seen `accumulators_ready`, which follows every MMA
        // and so every tile's arrival, and no commit to `stage_free` is left unwaited.
        bar_sync_all();
        match role {
            Role::Tma => {
                if elect_sync() {
                    tile.invalidate_barriers();
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

/// Writes an entry point for each tile and output type.
macro_rules! entry_points {
    ($($name:ident: $n:literal columns, $stages:literal stages, $output:ident;)*) => {$(
        /// `C = silu(alpha1·A·B1ᵀ) ⊙ (alpha2·A·B2ᵀ)`.
        ///
        /// # Safety
        /// See the head of the file.
        #[cfg_attr(target_feature = "compute_100", nvvm_internal::kernel)]
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name(
            maps: u64, sfa: u64, sfb1: u64, sfb2: u64, c: u64,
            m: u32, n: u32, k: u32, ldc: u32, alpha1: f32, alpha2: f32,
        ) {
            let args = Arguments { maps, sfa, sfb1, sfb2, c, m, n, k, ldc, alpha1, alpha2 };
            // SAFETY: the caller's.
            unsafe { run::<$n, $stages>(args, Output::$output) };
        }
    )*};
}

entry_points! {
    nvfp4_dual_gemm_sm100_128x128_f16: 128 columns, 4 stages, F16;
    nvfp4_dual_gemm_sm100_128x128_bf16: 128 columns, 4 stages, Bf16;
    nvfp4_dual_gemm_sm100_128x64_f16: 64 columns, 5 stages, F16;
    nvfp4_dual_gemm_sm100_128x64_bf16: 64 columns, 5 stages, Bf16;
}
