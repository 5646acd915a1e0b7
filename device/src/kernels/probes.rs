//! One entry point per wrapper, for comparing each with the one instruction it stands for. Never
//! launched.

use super::probe::{keep, probes};
use crate::descriptor::instr_mxf4::{Mxf4Element, Mxf4InstrDescriptor, Mxf4Scale};
use crate::descriptor::smem_sm100::Sm100SmemDescriptor;
use crate::ptx::{SharedAddr, TmemAddr, control, math, mbarrier, memory, sreg, sync, tcgen05, tma};

const IDESC: Mxf4InstrDescriptor =
    Mxf4InstrDescriptor::new(128, 128, Mxf4Element::E2M1, Mxf4Scale::Ue4m3);

probes! {
    probe_tid_x(out: *mut u32) keep(out, sreg::tid_x());
    probe_ctaid_x(out: *mut u32) keep(out, sreg::ctaid_x());
    probe_ctaid_y(out: *mut u32) keep(out, sreg::ctaid_y());
    probe_ctaid_z(out: *mut u32) keep(out, sreg::ctaid_z());
    probe_dyn_smem(out: *mut u32) keep(out, sreg::dyn_smem().0);
    probe_shfl_sync_idx(out: *mut u32, a: u32, b: u32) keep(out, sreg::shfl_sync_idx(a, b));
    probe_shfl_sync_up(out: *mut u32, a: u32, b: u32) keep(out, sreg::shfl_sync_up(a, b));
    probe_shfl_sync_bfly(out: *mut u32, a: u32, b: u32) keep(out, sreg::shfl_sync_bfly(a, b));
    probe_vote_sync_ballot(out: *mut u32, a: bool) keep(out, sreg::vote_sync_ballot(a));
    probe_elect_sync(out: *mut u32) keep(out, sreg::elect_sync() as u32);
    probe_trap() control::trap();

    probe_fma_rn_f32(out: *mut f32, a: f32, b: f32, c: f32) keep(out, math::fma_rn_f32(a, b, c));
    probe_rcp_rn_f32(out: *mut f32, a: f32) keep(out, math::rcp_rn_f32(a));
    probe_min_f32(out: *mut f32, a: f32, b: f32) keep(out, math::min_f32(a, b));
    probe_max_f32(out: *mut f32, a: f32, b: f32) keep(out, math::max_f32(a, b));
    probe_cvt_rn_f16x2_f32(out: *mut u32, a: f32, b: f32) keep(out, math::cvt_rn_f16x2_f32(a, b));
    probe_cvt_rn_bf16x2_f32(out: *mut u32, a: f32, b: f32) keep(out, math::cvt_rn_bf16x2_f32(a, b));

    probe_ld_shared_b32(out: *mut u32, at: u32) keep(out, memory::ld_shared_b32(SharedAddr(at)));
    probe_ld_shared_v4_b32(out: *mut [u32; 4], at: u32)
        keep(out, memory::ld_shared_v4_b32(SharedAddr(at)));
    probe_st_shared_v4_b32(at: u32, v0: u32, v1: u32, v2: u32, v3: u32)
        memory::st_shared_v4_b32(SharedAddr(at), [v0, v1, v2, v3]);
    probe_st_global_v4_b32(at: u64, v0: u32, v1: u32, v2: u32, v3: u32)
        memory::st_global_v4_b32(at, [v0, v1, v2, v3]);
    probe_ld_global_nc_v2_b32(out: *mut [u32; 2], at: u64)
        keep(out, memory::ld_global_nc_v2_b32(at));
    probe_st_global_b32(at: u64, v: u32) memory::st_global_b32(at, v);
    probe_ld_global_nc_u8(out: *mut u32, at: u64) keep(out, memory::ld_global_nc_u8(at));
    probe_ld_global_nc_u16(out: *mut u32, at: u64) keep(out, memory::ld_global_nc_u16(at));
    probe_st_global_u8(at: u64, v: u32) memory::st_global_u8(at, v);
    probe_st_global_u16(at: u64, v: u32) memory::st_global_u16(at, v);

    probe_bar_sync_all() sync::bar_sync_all();
    probe_bar_warp_sync() sync::bar_warp_sync();
    probe_fence_mbarrier_init() sync::fence_mbarrier_init();
    probe_fence_proxy_async_shared_cta() sync::fence_proxy_async_shared_cta();

    probe_mbarrier_init(at: u32, n: u32) mbarrier::mbarrier_init(SharedAddr(at), n);
    probe_mbarrier_inval(at: u32) mbarrier::mbarrier_inval(SharedAddr(at));
    probe_mbarrier_arrive_expect_tx(at: u32, n: u32)
        mbarrier::mbarrier_arrive_expect_tx(SharedAddr(at), n);
    probe_mbarrier_try_wait_parity(out: *mut u32, at: u32, parity: u32)
        keep(out, mbarrier::mbarrier_try_wait_parity(SharedAddr(at), parity) as u32);

    probe_prefetch_tensormap(map: u64) tma::prefetch_tensormap(map);
    probe_cp_async_bulk_tensor_3d(to: u32, map: u64, x: u32, y: u32, z: u32, bar: u32)
        tma::cp_async_bulk_tensor_3d(SharedAddr(to), map, [x, y, z], SharedAddr(bar));
    probe_cp_async_bulk(to: u32, from: u64, bytes: u32, bar: u32)
        tma::cp_async_bulk(SharedAddr(to), from, bytes, SharedAddr(bar));

    probe_tcgen05_alloc(at: u32) tcgen05::alloc::tcgen05_alloc::<512>(SharedAddr(at));
    probe_tcgen05_relinquish_alloc_permit() tcgen05::alloc::tcgen05_relinquish_alloc_permit();
    probe_tcgen05_dealloc(at: u32) tcgen05::alloc::tcgen05_dealloc::<512>(TmemAddr(at));
    probe_tcgen05_mma_mxf4nvf4_block16_a_fill(d: u32, a: u32, b: u32, sfa: u32, sfb: u32, more: bool)
        tcgen05::mma::tcgen05_mma_mxf4nvf4_block16_a_fill(
            TmemAddr(d), Sm100SmemDescriptor::k_major_128b(a), Sm100SmemDescriptor::k_major_128b(b),
            IDESC, TmemAddr(sfa), TmemAddr(sfb), more);
    probe_tcgen05_mma_mxf4nvf4_block16_a_lastuse(d: u32, a: u32, b: u32, sfa: u32, sfb: u32, more: bool)
        tcgen05::mma::tcgen05_mma_mxf4nvf4_block16_a_lastuse(
            TmemAddr(d), Sm100SmemDescriptor::k_major_128b(a), Sm100SmemDescriptor::k_major_128b(b),
            IDESC, TmemAddr(sfa), TmemAddr(sfb), more);
    probe_tcgen05_mma_mxf4nvf4_block16(d: u32, a: u32, b: u32, sfa: u32, sfb: u32, more: bool)
        tcgen05::mma::tcgen05_mma_mxf4nvf4_block16(
            TmemAddr(d), Sm100SmemDescriptor::k_major_128b(a), Sm100SmemDescriptor::k_major_128b(b),
            IDESC, TmemAddr(sfa), TmemAddr(sfb), more);
    probe_tcgen05_commit(bar: u32) tcgen05::mma::tcgen05_commit(SharedAddr(bar));
    probe_tcgen05_cp_32x128b_warpx4(to: u32, from: u32)
        tcgen05::transfer::tcgen05_cp_32x128b_warpx4(
            TmemAddr(to), Sm100SmemDescriptor::scale_atom(from));
    probe_tcgen05_ld_32x32b_x8(out: *mut [f32; 8], at: u32)
        keep(out, tcgen05::transfer::tcgen05_ld_32x32b_x8(TmemAddr(at)));
    probe_tcgen05_wait_ld(a: *mut [f32; 8], b: *mut [f32; 8])
        tcgen05::transfer::tcgen05_wait_ld(&mut *a, &mut *b);
    probe_tcgen05_fence_before_thread_sync()
        tcgen05::transfer::tcgen05_fence_before_thread_sync();
    probe_tcgen05_fence_after_thread_sync()
        tcgen05::transfer::tcgen05_fence_after_thread_sync();
}
