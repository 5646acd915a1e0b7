//! Asynchronous bulk copies: tensor maps and contiguous bytes, global → shared.

use core::arch::asm;

use super::SharedAddr;

/// Fetches a tensor map into the descriptor cache.
///
/// PTX: `prefetch.tensormap [map];`
/// Runs on: one thread. Completes: unobservably.
///
/// # Safety
/// `map` is the generic address of a tensor map, a multiple of 64.
#[inline(always)]
pub unsafe fn prefetch_tensormap(map: u64) {
    // SAFETY: the caller's.
    unsafe { asm!("prefetch.tensormap [{0}];", in(reg64) map) };
}

/// Copies the box of a rank-3 tensor map at `coordinates` (innermost first, in elements) to shared
/// memory. What lies outside the tensor arrives as zeros and counts towards the bytes.
///
/// PTX: `cp.async.bulk.tensor.3d.shared::cta.global.tile.mbarrier::complete_tx::bytes [dst], [map, {x, y, z}], [bar];`
/// Runs on: one thread. Completes: asynchronously, the box's bytes on `bar`.
///
/// # Safety
/// `map` is the generic address of a rank-3 tensor map that no longer changes; `dst` has the
/// alignment of the map's swizzle, the box fits there, and nobody accesses it until `bar`'s phase
/// ends; `bar` holds an mbarrier of this CTA that expects the bytes.
#[inline(always)]
pub unsafe fn cp_async_bulk_tensor_3d(
    dst: SharedAddr,
    map: u64,
    coordinates: [u32; 3],
    bar: SharedAddr,
) {
    let [x, y, z] = coordinates;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "cp.async.bulk.tensor.3d.shared::cta.global.tile.mbarrier::complete_tx::bytes [{0}], [{1}, {{{2}, {3}, {4}}}], [{5}];",
            in(reg32) dst.0, in(reg64) map, in(reg32) x, in(reg32) y, in(reg32) z, in(reg32) bar.0
        );
    }
}

/// Copies `bytes` contiguous bytes from global to shared memory.
///
/// PTX: `cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [dst], [src], bytes, [bar];`
/// Runs on: one thread. Completes: asynchronously, `bytes` on `bar`.
///
/// # Safety
/// `dst`, `src` and `bytes` are multiples of 16; the source may be read; nobody accesses the
/// destination until `bar`'s phase ends; `bar` holds an mbarrier of this CTA that expects the bytes.
#[inline(always)]
pub unsafe fn cp_async_bulk(dst: SharedAddr, src: u64, bytes: u32, bar: SharedAddr) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [{0}], [{1}], {2}, [{3}];",
            in(reg32) dst.0, in(reg64) src, in(reg32) bytes, in(reg32) bar.0
        );
    }
}

/// Brings the box of a rank-3 tensor map at `coordinates` into L2, perhaps.
///
/// PTX: `cp.async.bulk.prefetch.tensor.3d.L2.global.tile [map, {x, y, z}];`
/// Runs on: one thread. Completes: unobservably.
///
/// # Safety
/// `map` is the generic address of a rank-3 tensor map that no longer changes.
#[inline(always)]
pub unsafe fn cp_async_bulk_prefetch_tensor_3d(map: u64, coordinates: [u32; 3]) {
    let [x, y, z] = coordinates;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "cp.async.bulk.prefetch.tensor.3d.L2.global.tile [{0}, {{{1}, {2}, {3}}}];",
            in(reg64) map, in(reg32) x, in(reg32) y, in(reg32) z
        );
    }
}
