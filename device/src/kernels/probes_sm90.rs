//! Probes of the wrappers that only the sm_90 kernels use: see `probes.rs`. Never launched.

use super::probe::{keep, probes};
use crate::descriptor::smem_sm90::Sm90SmemDescriptor;
use crate::ptx::{
    SharedAddr, cluster, control, math, mbarrier, memory, mma, sreg, sync, tma, wgmma,
};

probes! {
    probe_cluster_ctarank(out: *mut u32) keep(out, cluster::cluster_ctarank());
    probe_cluster_nctarank(out: *mut u32) keep(out, cluster::cluster_nctarank());
    probe_mapa(out: *mut u32, at: u32, rank: u32) keep(out, cluster::mapa(SharedAddr(at), rank).0);
    probe_barrier_cluster_arrive() cluster::barrier_cluster_arrive();
    probe_barrier_cluster_wait() cluster::barrier_cluster_wait();
    probe_ld_shared_cluster_v2_f32(out: *mut [f32; 2], at: u32)
        keep(out, cluster::ld_shared_cluster_v2_f32(SharedAddr(at)));
    probe_unpack_b32(out: *mut [u16; 2], a: u32) keep(out, math::unpack_b32(a));
    probe_pack_b32(out: *mut u32, a: u16, b: u16) keep(out, math::pack_b32(a, b));
    probe_st_global_v2_b32(at: u64, v0: u32, v1: u32) memory::st_global_v2_b32(at, [v0, v1]);
    probe_ldmatrix_x4(out: *mut [u32; 4], at: u32) keep(out, mma::ldmatrix_x4(SharedAddr(at)));
    probe_mma_m16n8k16_f16(d: *mut [f32; 4], a: u32, b: u32, c: f32)
        keep(d, mma::mma_m16n8k16_f16([a; 4], [b; 2], [c; 4]));
    probe_mma_m16n8k16_bf16(d: *mut [f32; 4], a: u32, b: u32, c: f32)
        keep(d, mma::mma_m16n8k16_bf16([a; 4], [b; 2], [c; 4]));
    probe_prefetch_global_l2(at: u64) memory::prefetch_global_l2(at);
    probe_cp_async_bulk_prefetch_tensor_3d(map: u64, x: u32, y: u32, z: u32)
        tma::cp_async_bulk_prefetch_tensor_3d(map, [x, y, z]);
    probe_opaque_b32(out: *mut u32, a: u32) keep(out, control::opaque_b32(a));
    probe_setmaxnreg_dec() control::setmaxnreg_dec::<40>();
    probe_setmaxnreg_inc() control::setmaxnreg_inc::<232>();
    probe_griddepcontrol_wait() control::griddepcontrol_wait();
    probe_griddepcontrol_launch_dependents() control::griddepcontrol_launch_dependents();
    probe_nctaid_x(out: *mut u32) keep(out, sreg::nctaid_x());
    probe_rcp_approx_ftz_f32(out: *mut f32, a: f32) keep(out, math::rcp_approx_ftz_f32(a));
    probe_lop3_b32(out: *mut u32, a: u32, b: u32, c: u32)
        keep(out, math::lop3_b32::<0xca>(a, b, c));
    probe_mul_rn_f16x2(out: *mut u32, a: u32, b: u32) keep(out, math::mul_rn_f16x2(a, b));
    probe_mul_rn_bf16x2(out: *mut u32, a: u32, b: u32) keep(out, math::mul_rn_bf16x2(a, b));
    probe_mbarrier_arrive(at: u32) mbarrier::mbarrier_arrive(SharedAddr(at));
    probe_ld_shared_v2_b32(out: *mut [u32; 2], at: u32)
        keep(out, memory::ld_shared_v2_b32(SharedAddr(at)));
    probe_st_shared_f32(at: u32, v: f32) memory::st_shared_f32(SharedAddr(at), v);
    probe_ld_global_nc_b32(out: *mut u32, at: u64) keep(out, memory::ld_global_nc_b32(at));
    probe_ld_global_nc_v4_b32(out: *mut [u32; 4], at: u64)
        keep(out, memory::ld_global_nc_v4_b32(at));
    probe_bar_sync() sync::bar_sync::<1, 256>();

    probe_wgmma_fence() wgmma::wgmma_fence();
    probe_wgmma_commit_group() wgmma::wgmma_commit_group();
    probe_wgmma_wait_group() wgmma::wgmma_wait_group::<1>();
    probe_wgmma_m64n8k16_f16(d: *mut [f32; 4], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n8k16_f16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n16k16_f16(d: *mut [f32; 8], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n16k16_f16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n32k16_f16(d: *mut [f32; 16], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n32k16_f16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n64k16_f16(d: *mut [f32; 32], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n64k16_f16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n128k16_f16(d: *mut [f32; 64], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n128k16_f16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n8k16_bf16(d: *mut [f32; 4], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n8k16_bf16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n16k16_bf16(d: *mut [f32; 8], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n16k16_bf16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n32k16_bf16(d: *mut [f32; 16], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n32k16_bf16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n64k16_bf16(d: *mut [f32; 32], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n64k16_bf16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
    probe_wgmma_m64n128k16_bf16(d: *mut [f32; 64], a0: u32, a1: u32, a2: u32, a3: u32, b: u32)
        wgmma::wgmma_m64n128k16_bf16(&mut *d, [a0, a1, a2, a3], Sm90SmemDescriptor::k_major_128b(b));
}
