//! What an instruction means for the order of others: fences, group waits, and the accesses it made
//! through the generic proxy.

use super::Step;
use crate::decode::op::{
    CopyOp, FenceOp, MatrixOp, MemoryOp, Op, Order, Proxy, Space as StateSpace, SyncOp, Tcgen05Op,
};
use crate::error::Fault;
use crate::machine::cluster::Space;
use crate::machine::races::{Detector, Meeting, StreamKind};
use crate::machine::warp::Warp;

/// Called when an instruction has completed.
pub(super) fn completed(
    op: &Op,
    space: &mut Space,
    warp: &Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let Some(races) = &mut space.races else { return Ok(()) };
    let strong = strength(op);
    let mut touches = std::mem::take(&mut races.touches);
    for (rank, cta) in (0u32..).zip(&mut space.ctas) {
        cta.shared.take_touches(&mut touches);
        if !touches.is_empty() {
            races.generic(rank, &touches, strong.is_some(), at.actor)?;
        }
    }
    races.touches = touches;
    if let Some((reads, writes)) = strong {
        races.strong(Meeting::Global, reads, writes);
    }
    match op {
        Op::Sync(SyncOp::Fence(op)) => fence(op, races),
        Op::Sync(SyncOp::WarpSync { .. }) => races.warp_sync(),
        Op::Tcgen05(Tcgen05Op::FenceBefore) => races.before_thread_sync(),
        Op::Tcgen05(Tcgen05Op::FenceAfter) => races.after_thread_sync(),
        Op::Tcgen05(Tcgen05Op::WaitLoad) => races.tmem_wait(StreamKind::TmemLoad),
        Op::Tcgen05(Tcgen05Op::WaitStore) => races.tmem_wait(StreamKind::TmemStore),
        Op::Copy(CopyOp::BulkCommit) => races.commit_group(StreamKind::Bulk, at.active),
        Op::Copy(CopyOp::BulkWait { pending, .. }) => {
            races.wait_group(StreamKind::Bulk, at.active, *pending);
        }
        Op::Copy(CopyOp::CpAsyncCommit) => races.commit_group(StreamKind::CpAsync, at.active),
        Op::Copy(CopyOp::CpAsyncWait { pending }) => {
            races.wait_group(StreamKind::CpAsync, at.active, *pending);
        }
        Op::Copy(CopyOp::CpAsyncWaitAll) => {
            races.commit_group(StreamKind::CpAsync, at.active);
            races.wait_group(StreamKind::CpAsync, at.active, 0);
        }
        Op::Matrix(MatrixOp::WgmmaCommit) => races.commit_group(StreamKind::Wgmma, 1),
        _ => {}
    }
    debug_assert_eq!(races.current, warp.id);
    Ok(())
}

/// Whether an access is strong, and if so whether it reads and writes.
fn strength(op: &Op) -> Option<(bool, bool)> {
    match op {
        Op::Memory(MemoryOp::Load(load)) if load.order != Order::Weak => Some((true, false)),
        Op::Memory(MemoryOp::Store(store)) if store.order != Order::Weak => Some((false, true)),
        Op::Memory(MemoryOp::Atom(atom)) if atom.space != StateSpace::Local => Some((true, true)),
        _ => None,
    }
}

fn fence(op: &FenceOp, races: &mut Detector) {
    match op {
        FenceOp::Proxy(Proxy::Async | Proxy::AsyncSharedCta | Proxy::AsyncSharedCluster)
        | FenceOp::Restricted { async_proxy: true, .. } => races.proxy_fence(),
        FenceOp::MbarrierInit => races.init_fence(),
        _ => {}
    }
}
