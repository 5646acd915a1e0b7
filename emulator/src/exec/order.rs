//! What an instruction means for the order of others: fences, group waits, and the accesses it made
//! through the generic proxy.

use super::Step;
use crate::decode::op::{
    ControlOp, CopyOp, FenceOp, MatrixOp, MemoryOp, Op, Order, Proxy, Space as StateSpace, SyncOp,
    Tcgen05Op,
};
use crate::error::Fault;
use crate::machine::cluster::Space;
use crate::machine::races::{Detector, StreamKind};
use crate::machine::warp::Warp;

/// Called when an instruction has completed.
pub(super) fn completed(
    op: &Op,
    space: &mut Space,
    warp: &Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let Some(races) = &mut space.races else { return Ok(()) };
    let strong = is_strong(op);
    let mut touches = std::mem::take(&mut races.touches);
    for (rank, cta) in (0u32..).zip(&mut space.ctas) {
        cta.shared.take_touches(&mut touches);
        if !touches.is_empty() {
            races.generic(rank, &touches, strong, at.actor)?;
        }
    }
    races.touches = touches;
    match op {
        Op::Sync(SyncOp::Fence(op)) => fence(op, races),
        Op::Sync(SyncOp::WarpSync { .. }) => races.warp_sync(),
        Op::Tcgen05(Tcgen05Op::FenceBefore) => races.before_thread_sync(),
        Op::Tcgen05(Tcgen05Op::FenceAfter) => races.after_thread_sync(),
        Op::Tcgen05(Tcgen05Op::WaitLoad) => races.tmem_wait(StreamKind::TmemLoad),
        Op::Tcgen05(Tcgen05Op::WaitStore) => races.tmem_wait(StreamKind::TmemStore),
        Op::Copy(CopyOp::BulkCommit) => {
            races.commit_group(StreamKind::Bulk, at.active);
            races.commit_group(StreamKind::BulkWrites, at.active);
        }
        Op::Copy(CopyOp::BulkWait { pending, read }) => {
            races.wait_group(StreamKind::Bulk, at.active, *pending);
            if !read {
                races.wait_group(StreamKind::BulkWrites, at.active, *pending);
            }
        }
        Op::Copy(CopyOp::CpAsyncCommit) => races.commit_group(StreamKind::CpAsync, at.active),
        Op::Copy(CopyOp::CpAsyncWait { pending }) => {
            races.wait_group(StreamKind::CpAsync, at.active, *pending);
        }
        Op::Copy(CopyOp::CpAsyncWaitAll) => {
            races.commit_group(StreamKind::CpAsync, at.active);
            races.wait_group(StreamKind::CpAsync, at.active, 0);
        }
        Op::Control(ControlOp::GridDependencyWait) => races.dependency_wait(),
        Op::Matrix(MatrixOp::WgmmaCommit) => races.commit_group(StreamKind::Wgmma, 1),
        _ => {}
    }
    debug_assert_eq!(races.current, warp.id);
    Ok(())
}

/// The program has looked at what a wait said: what it waited for has happened, as far as it knows. Who
/// does not look has not waited, whatever the schedule.
#[cold]
pub(super) fn noticed(races: &mut Detector, warp: &mut Warp) {
    let mut fates = warp.regs.take_noticed().into_iter();
    warp.waits.retain(|&(meeting, generation)| {
        let (goes_on, known) = fates.next().unwrap_or((false, true));
        if known {
            races.acquire(meeting, generation);
        }
        goes_on
    });
}

/// Whether an access is strong.
fn is_strong(op: &Op) -> bool {
    match op {
        Op::Memory(MemoryOp::Load(load)) => load.order != Order::Weak,
        Op::Memory(MemoryOp::Store(store)) => store.order != Order::Weak,
        Op::Memory(MemoryOp::Atom(atom)) => atom.space != StateSpace::Local,
        _ => false,
    }
}

fn fence(op: &FenceOp, races: &mut Detector) {
    match op {
        FenceOp::Thread { scope, .. } => races.thread_fence(*scope),
        FenceOp::Proxy(Proxy::Async) => races.proxy_fence(true, true),
        FenceOp::Proxy(Proxy::AsyncGlobal) => races.proxy_fence(false, true),
        FenceOp::Proxy(Proxy::AsyncSharedCta | Proxy::AsyncSharedCluster)
        | FenceOp::Restricted { async_proxy: true, .. } => races.proxy_fence(true, false),
        FenceOp::MbarrierInit => races.init_fence(),
        FenceOp::TensorMapRelease { scope } => races.thread_fence(*scope),
        FenceOp::TensorMapAcquire { .. } => races.map_fence(),
        FenceOp::Proxy(Proxy::Alias) | FenceOp::Restricted { .. } => {}
    }
}
