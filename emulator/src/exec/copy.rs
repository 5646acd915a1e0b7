//! Asynchronous copies: operands are read and checked here, the work is queued. Nothing completes
//! at issue.

mod bulk;
mod tensor_map;

use super::memory::shared_address;
use super::operand::{addresses, check_read, read, read_pred, read32, write32};
use super::{Flow, Step, unsupported};
use crate::asyncs::{ArriveJob, CancelJob, CpAsyncJob, Job, LaneCopy, LaneStore, StoreAsyncJob};
use crate::decode::op::{
    AtomType, CopyOp, CpAsync, LaunchControlField, ReduceKind, Space as StateSpace, StAsync, Width,
};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::inflight::Ticket;
use crate::machine::races::StreamKind;
use crate::machine::shadow::{Path, Record};
use crate::machine::shared;
use crate::machine::warp::{Block, Groups, Warp, each};

pub(super) fn execute(
    op: &CopyOp,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    match op {
        CopyOp::CpAsync(op) => cp_async(op, env, space, warp, at)?,
        CopyOp::CpAsyncCommit => each(at.active).for_each(|lane| warp.cp_async(lane).commit()),
        CopyOp::CpAsyncWait { pending } => {
            let groups = each(at.active).flat_map(|l| due(&warp.cp_async, l, *pending));
            return Ok(wait(groups.collect(), false, space));
        }
        CopyOp::CpAsyncWaitAll => {
            each(at.active).for_each(|lane| warp.cp_async(lane).commit());
            let groups = each(at.active).flat_map(|l| due(&warp.cp_async, l, 0));
            return Ok(wait(groups.collect(), false, space));
        }
        CopyOp::CpAsyncMbarrierArrive { space: kind, address, no_inc } => {
            let places = addresses(env, warp, address, at.active)?;
            let mut barriers = vec![];
            let mut after: Vec<Ticket> = vec![];
            for lane in each(at.active) {
                let who = Who::generic(at.lane(lane));
                let short = shared_address(*kind, places[lane as usize], warp.rank, &who)?;
                let (cta, offset) = space.shared(short, &who)?;
                let rank = shared::rank_of(short);
                if !no_inc {
                    cta.mbarriers.increment(rank, offset, &who)?;
                }
                barriers.push((lane, rank, offset));
                after.extend(due(&warp.cp_async, lane, 0));
                after.extend(warp.cp_async(lane).open.iter());
            }
            after.sort_unstable();
            after.dedup();
            let mut clocks = None;
            if let Some(races) = &mut space.races {
                for &(lane, rank, offset) in &barriers {
                    // Not the async proxy's: `cp.async` is generic.
                    races.use_barrier((rank, offset), at.lane(lane))?;
                }
                clocks = Some(Box::new(races.copies_so_far(at.active)));
            }
            let job = Job::Arrive(ArriveJob { barriers, clocks });
            space.queue.push(at.actor, warp.rank, job, after);
        }
        CopyOp::Bulk(op) => bulk::linear(op, env, space, warp, at)?,
        CopyOp::Tensor(op) => bulk::tensor(op, env, space, warp, at)?,
        CopyOp::Prefetch(op) => bulk::prefetch(op, env, warp, at)?,
        CopyOp::BulkCommit => each(at.active).for_each(|lane| warp.bulk(lane).commit()),
        CopyOp::BulkWait { pending, read } => {
            for lane in each(at.active) {
                let groups = warp.bulk(lane);
                // A wait for everything that leaves out what was not committed is a mistake.
                groups.waited |= *pending > 0 || groups.open.is_empty();
            }
            let groups = each(at.active).flat_map(|l| due(&warp.bulk, l, *pending));
            return Ok(wait(groups.collect(), *read, space));
        }
        CopyOp::PrefetchTensorMap { address, .. } => {
            addresses(env, warp, address, at.active)?;
        }
        CopyOp::TensorMapReplace { space: kind, address, field, ordinal, value } => {
            let what = (*field, *ordinal, *value);
            tensor_map::replace(*kind, address, what, env, space, warp, at)?;
        }
        CopyOp::TensorMapCopyFence { dst, src, .. } => {
            tensor_map::copy(dst, src, env, space, warp, at)?;
        }
        CopyOp::StAsync(op) => store_async(op, None, env, space, warp, at)?,
        CopyOp::RedAsync { store, kind, signed } => {
            let ty = match (store.width, signed) {
                (Width::B64, true) => AtomType::S64,
                (Width::B64, false) => AtomType::U64,
                (_, true) => AtomType::S32,
                (_, false) => AtomType::U32,
            };
            store_async(store, Some((*kind, ty)), env, space, warp, at)?;
        }
        CopyOp::TryCancel { space: kind, dst, mbarrier, multicast } => {
            let answers = addresses(env, warp, dst, at.active)?;
            let barriers = addresses(env, warp, mbarrier, at.active)?;
            for lane in each(at.active) {
                let who = Who::asynchronous(at.lane(lane));
                let answer = shared_address(*kind, answers[lane as usize], warp.rank, &who)?;
                let barrier = shared_address(*kind, barriers[lane as usize], warp.rank, &who)?;
                check_aligned(answer, 16, "the answer of try_cancel", &who)?;
                let ranks = match multicast {
                    true => (0..space.ctas.len() as u32).collect(),
                    false => vec![warp.rank],
                };
                let (answer, barrier) = (shared::offset_of(answer), shared::offset_of(barrier));
                for &rank in &ranks {
                    let phase = space.phase((rank, barrier));
                    if let Some(races) = &mut space.races {
                        let range = (rank, answer, 16);
                        races.signalled((rank, barrier), phase, range, true, at.lane(lane))?;
                    }
                }
                let job = CancelJob { answer, barrier, ranks };
                space.queue.push(at.lane(lane), warp.rank, Job::Cancel(job), []);
            }
        }
        CopyOp::IsCanceled { dst, response } => {
            check_read(&warp.regs, response + 3, at.active)?;
            let flags = warp.regs.words[*response as usize + 3];
            let answer = each(at.active).fold(0, |mask, l| mask | (flags[l as usize] >> 31) << l);
            warp.regs.set_pred(*dst as usize, at.active, answer);
        }
        CopyOp::FirstCtaId { field, dst, response } => {
            let first = match field {
                LaunchControlField::All | LaunchControlField::X => 0,
                LaunchControlField::Y => 1,
                LaunchControlField::Z => 2,
            };
            for (i, slot) in dst.iter().enumerate() {
                let Some(slot) = slot else { continue };
                let source = response + first + i as u32;
                check_read(&warp.regs, source, at.active)?;
                let value = match i {
                    3 => [0; 32],
                    _ => warp.regs.words[source as usize],
                };
                write32(&mut warp.regs, *slot, at.active, &value)?;
            }
        }
    }
    Ok(Flow::Next)
}

/// Operations of a lane's groups that a wait for all but `pending` groups waits for.
fn due(groups: &[Groups], lane: u32, pending: u32) -> Vec<Ticket> {
    groups.get(lane as usize).map(|g| g.due(pending as usize).collect()).unwrap_or_default()
}

/// Goes on when all of `tickets` are over, else waits.
fn wait(tickets: Vec<Ticket>, reads: bool, space: &mut Space) -> Flow {
    let queue = &space.queue;
    let over = |t: Ticket| if reads { queue.reads_done(t) } else { queue.is_done(t) };
    let open: Vec<Ticket> = tickets.into_iter().filter(|&t| !over(t)).collect();
    if open.is_empty() {
        return Flow::Next;
    }
    space.stats.barrier_waits += 1;
    Flow::Wait(Block::Tickets { tickets: open, reads })
}

fn check_aligned(address: u32, align: u32, what: &str, who: &Who) -> Result<(), Box<Fault>> {
    if address.is_multiple_of(align) {
        return Ok(());
    }
    let message = format!("{what} is at {address:#x}, which is not a multiple of {align}");
    Err(who.fault(FaultKind::Misaligned, address.into(), message))
}

fn cp_async(
    op: &CpAsync,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let targets = addresses(env, warp, &op.dst, at.active)?;
    let sources = addresses(env, warp, &op.src, at.active)?;
    let sizes = match op.src_bytes {
        Some(size) => read32(&warp.regs, size, at.active)?,
        None => [op.bytes; 32],
    };
    let ignored = match op.ignore_src {
        Some(pred) => read_pred(&warp.regs, pred, at.active)?,
        None => 0,
    };
    let mut copies = vec![];
    for lane in each(at.active) {
        let who = Who::generic(at.lane(lane));
        let l = lane as usize;
        let short = shared_address(StateSpace::SharedCta, targets[l], warp.rank, &who)?;
        check_aligned(short, op.bytes, "the destination of cp.async", &who)?;
        let source_bytes = if ignored >> lane & 1 == 1 { 0 } else { sizes[l] };
        if source_bytes > op.bytes {
            let message =
                format!("cp.async of {} bytes with a source size of {source_bytes}", op.bytes);
            return Err(who.fault(FaultKind::OutOfBounds, sources[l], message));
        }
        if !sources[l].is_multiple_of(op.bytes.into()) {
            let message = format!("the source of cp.async is not a multiple of {}", op.bytes);
            return Err(who.fault(FaultKind::Misaligned, sources[l], message));
        }
        let to = (warp.rank, shared::offset_of(short));
        let (_, from) = crate::machine::window::resolve(sources[l]);
        copies.push(LaneCopy { lane, to, from, bytes: op.bytes, source_bytes });
    }
    if let Some(races) = &mut space.races {
        let first = at.active.trailing_zeros();
        let issued = races.issue(StreamKind::CpAsync, first, Path::CpAsync, at.actor);
        for copy in &copies {
            let record = Record { write: true, lane: copy.lane as u8, ..issued };
            races.touch_shared(copy.to.0, copy.to.1, copy.bytes, &record)?;
            let read = Record { write: false, ..record };
            let (actor, range) = (at.lane(copy.lane), (copy.from, copy.source_bytes));
            races.global_range(&read, range, None, actor, env.global)?;
        }
    }
    let job = Job::CpAsync(CpAsyncJob { copies });
    let ticket = space.queue.push(at.actor, warp.rank, job, []);
    let queue = &space.queue;
    for lane in each(at.active) {
        let groups = warp.cp_async(lane);
        groups.prune(|t| queue.is_done(t));
        groups.open.push(ticket);
    }
    Ok(())
}

fn store_async(
    op: &StAsync,
    reduce: Option<(ReduceKind, AtomType)>,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let Some(mbarrier) = &op.mbarrier else { return unsupported("st.async without an mbarrier") };
    let targets = addresses(env, warp, &op.address, at.active)?;
    let barriers = addresses(env, warp, mbarrier, at.active)?;
    let width = op.width.bytes() as usize;
    let len = (width * op.src.len()) as u32;
    let mut values = vec![];
    for src in &op.src {
        values.push(read(&warp.regs, *src, op.width, at.active)?);
    }
    let mut stores = vec![];
    for lane in each(at.active) {
        let who = Who::asynchronous(at.lane(lane));
        let l = lane as usize;
        let target = shared_address(op.space, targets[l], warp.rank, &who)?;
        let barrier = shared_address(op.space, barriers[l], warp.rank, &who)?;
        check_aligned(target, len, "the destination of st.async", &who)?;
        if shared::rank_of(target) != shared::rank_of(barrier) {
            let message = "st.async: the mbarrier is not in the CTA of the destination";
            return Err(who.fault(FaultKind::BarrierMisuse, barrier.into(), message));
        }
        let mut data = [0; 16];
        for (i, value) in values.iter().enumerate() {
            let bytes = value[l].to_le_bytes();
            data[i * width..(i + 1) * width].copy_from_slice(&bytes[..width]);
        }
        let place = |short| (shared::rank_of(short), shared::offset_of(short));
        stores.push(LaneStore { lane, to: place(target), data, len, barrier: place(barrier) });
    }
    for store in &stores {
        let phase = space.phase(store.barrier);
        if let (Some(races), None) = (&mut space.races, reduce) {
            let range = (store.to.0, store.to.1, store.len);
            races.signalled(store.barrier, phase, range, true, at.lane(store.lane))?;
        }
    }
    let job = Job::StoreAsync(StoreAsyncJob { stores, reduce });
    space.queue.push(at.actor, warp.rank, job, []);
    Ok(())
}
