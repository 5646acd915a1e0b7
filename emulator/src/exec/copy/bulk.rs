//! Bulk copies: linear and tensor.

use rand::Rng;

use super::tensor_map::fetch;
use super::{check_aligned, shared_address};
use crate::asyncs::{CopyJob, Job, Part, Place, Signal};
use crate::decode::op::{
    AtomType, BulkCopy, BulkDirection, BulkPrefetch, BulkReduce, BulkTensor, Space as StateSpace,
    TensorDirection, TensorMode, Width,
};
use crate::error::{Fault, FaultKind};
use crate::exec::operand::{addresses, read, read32};
use crate::exec::{Step, unsupported};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::inflight::Ticket;
use crate::machine::races::StreamKind;
use crate::machine::shadow::{Path, Record};
use crate::machine::shared;
use crate::machine::warp::{Warp, each};
use crate::machine::window;
use crate::tensor::map::{ElementType, Piece, TensorMap};
use crate::tensor::swizzle::Swizzle;

/// `cp.async.bulk.prefetch`: its operands are read, no more.
pub(super) fn prefetch(
    op: &BulkPrefetch,
    env: &Env<'_>,
    warp: &Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    match op {
        BulkPrefetch::Linear { src, bytes, .. } => {
            addresses(env, warp, src, at.active)?;
            read32(&warp.regs, *bytes, at.active)?;
        }
        BulkPrefetch::Tensor { map, coords, .. } => {
            addresses(env, warp, map, at.active)?;
            for &coordinate in coords {
                read32(&warp.regs, coordinate, at.active)?;
            }
        }
    }
    Ok(())
}

/// Where a copy into shared memory lands and what it signals: (CTA rank, barrier rank).
struct Targets {
    /// Rank of the issuing CTA.
    issuer: u32,
    ranks: Vec<(u32, u32)>,
    offset: u32,
    barrier: u32,
}

/// The destinations of a load: one CTA, or those of a multicast mask, each with the same offsets.
fn targets(
    destination: u32,
    barrier: u32,
    mask: Option<u32>,
    cta_group: Option<u32>,
    own: u32,
    space: &Space,
    who: &Who,
) -> Result<Targets, Box<Fault>> {
    let (rank, signal) = (shared::rank_of(destination), shared::rank_of(barrier));
    let ranks = match mask {
        Some(mask) => {
            let mask = mask & 0xffff;
            if mask == 0 || mask >> space.ctas.len() != 0 {
                let message =
                    format!("multicast mask {mask:#06x} in a cluster of {} CTAs", space.ctas.len());
                return Err(who.fault(FaultKind::OutOfBounds, destination.into(), message));
            }
            // In a pair, the barrier is the one of the CTA with the named barrier's parity.
            let signalled = |r| if cta_group == Some(2) { r & !1 | signal & 1 } else { r };
            each(mask).map(|r| (r, signalled(r))).collect()
        }
        None => {
            let allowed =
                if cta_group == Some(2) { signal & !1 == rank & !1 } else { signal == rank };
            if !allowed {
                let message = format!(
                    "the copy lands in the CTA of rank {rank} and its mbarrier is in rank {signal}'s; \
                     only .cta_group::2 may signal the peer"
                );
                return Err(who.fault(FaultKind::BarrierMisuse, barrier.into(), message));
            }
            vec![(rank, signal)]
        }
    };
    let (offset, barrier) = (shared::offset_of(destination), shared::offset_of(barrier));
    Ok(Targets { issuer: own, ranks, offset, barrier })
}

/// Queues one load per destination CTA.
fn queue_loads(
    targets: &Targets,
    (span, total): (u32, u32),
    (swizzle, reads_shared): (Swizzle, bool),
    mut parts: impl FnMut(u32, &mut Space) -> Vec<Part>,
    env: &Env<'_>,
    space: &mut Space,
    who: &Who,
) -> Result<Vec<Ticket>, Box<Fault>> {
    let mut tickets = vec![];
    // The source is read once; any of its barriers tells.
    let own = |&(rank, _): &(u32, u32)| rank == targets.issuer;
    let reader = targets.ranks.iter().copied().find(own).or(targets.ranks.first().copied());
    for &(target, signalled) in &targets.ranks {
        let address = shared::address_of(signalled, targets.barrier);
        let holder = space.cta(signalled, address.into(), who)?;
        if holder.mbarriers.get(targets.barrier).is_none() {
            let message = format!("no mbarrier is initialised at shared {:#x}", targets.barrier);
            return Err(who.fault(FaultKind::BarrierMisuse, address.into(), message));
        }
        let cta = space.cta(target, shared::address_of(target, targets.offset).into(), who)?;
        cta.shared.check_bounds(targets.offset, span, who)?;
        cta.shared.in_flight.check(targets.offset, span, true, who, target)?;
        let phase = space.phase((signalled, targets.barrier));
        if let Some(races) = &mut space.races {
            let (barrier, range) = ((signalled, targets.barrier), (target, targets.offset, span));
            races.signalled(barrier, phase, range, true, who.actor)?;
        }
        let signal = Signal { barrier: (signalled, targets.barrier), total, sent: 0 };
        let mut job = CopyJob::new(parts(target, space), swizzle, Some(signal));
        if let Some(races) = &mut space.races
            && reader == Some((target, signalled))
            && let Some(record) =
                races.signalled_record((signalled, targets.barrier), phase, who.actor)
        {
            for part in &job.parts {
                if let Place::Global(from) = part.from {
                    races.global_range(&record, (from, part.len), None, who.actor, env.global)?;
                }
            }
        }
        job.two_steps = reads_shared;
        job.noted.push(target);
        let ticket = space.queue.push(who.actor, targets.issuer, Job::Copy(Box::new(job)), []);
        let flight = &mut space.ctas[target as usize].shared.in_flight;
        flight.begin(ticket, (targets.offset, span), true, who.actor, "bulk copy");
        tickets.push(ticket);
    }
    Ok(tickets)
}

/// `cp.async.bulk.tensor`.
pub(super) fn tensor(
    op: &BulkTensor,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let maps = addresses(env, warp, &op.map, at.active)?;
    let sides = addresses(env, warp, &op.shared, at.active)?;
    let barriers = match &op.mbarrier {
        Some(barrier) => addresses(env, warp, barrier, at.active)?,
        None => [0; 32],
    };
    let masks = match op.multicast {
        Some(mask) => Some(read32(&warp.regs, mask, at.active)?),
        None => None,
    };
    let mut coordinates = vec![];
    for &coordinate in &op.coords {
        coordinates.push(read32(&warp.regs, coordinate, at.active)?);
    }
    for lane in each(at.active) {
        let l = lane as usize;
        let who = Who::asynchronous(at.lane(lane));
        let map = fetch(maps[l], lane, env, space, warp, &who)?;
        let at_lane: Vec<i32> = coordinates.iter().map(|c| c[l] as i32).collect();
        let pieces = pieces(op, &map, &at_lane, maps[l], &who)?;
        let stores = matches!(op.direction, TensorDirection::Store | TensorDirection::Reduce(_));
        if let Some(negative) = at_lane.iter().find(|&&c| c < 0 && stores) {
            // Loads fill what lies there; for stores an H200 ends with an illegal instruction.
            let message = format!("a tensor store at coordinate {negative}: none may be negative");
            return Err(who.fault(FaultKind::Descriptor, maps[l], message));
        }
        let kind = match op.direction {
            TensorDirection::LoadCluster => StateSpace::SharedCluster,
            _ => StateSpace::SharedCta,
        };
        let side = shared_address(widen(kind, sides[l]), sides[l], warp.rank, &who)?;
        check_aligned(side, 128, "the shared address of a tensor copy", &who)?;
        let offset = shared::offset_of(side);
        let rows =
            if matches!(op.mode, TensorMode::Gather4 | TensorMode::Scatter4) { 4 } else { 1 };
        let (span, total) = (map.shared_bytes() * rows, map.transaction_bytes() * rows);
        match op.direction {
            TensorDirection::LoadCta | TensorDirection::LoadCluster => {
                let barrier =
                    shared_address(widen(kind, barriers[l]), barriers[l], warp.rank, &who)?;
                let mask = masks.map(|m| m[l]);
                let targets = targets(side, barrier, mask, op.cta_group, warp.rank, space, &who)?;
                let fill = map.fill_pattern();
                let parts = |rank, _: &mut Space| {
                    let part = |piece: &Piece| Part {
                        from: piece.global.map_or(Place::Fill(fill), Place::Global),
                        to: Place::Shared { rank, offset: offset + piece.shared_offset },
                        len: piece.bytes,
                    };
                    pieces.iter().map(part).collect()
                };
                let size = (span, total);
                let tickets =
                    queue_loads(&targets, size, (map.swizzle, false), parts, env, space, &who)?;
                let tf32 = matches!(map.element, ElementType::Tfloat32 | ElementType::Tfloat32Ftz);
                for ticket in tickets.into_iter().filter(|_| tf32) {
                    if let Some(job) = space.queue.copy_mut(ticket) {
                        job.to_tf32 = true;
                    }
                }
            }
            TensorDirection::Store | TensorDirection::Reduce(_) => {
                let part = |piece: &Piece| {
                    Some(Part {
                        from: Place::Shared {
                            rank: warp.rank,
                            offset: offset + piece.shared_offset,
                        },
                        to: Place::Global(piece.global?),
                        len: piece.bytes,
                    })
                };
                let mut job =
                    CopyJob::new(pieces.iter().filter_map(part).collect(), map.swizzle, None);
                if let TensorDirection::Reduce(kind) = op.direction {
                    job.reduce = Some(BulkReduce { kind, ty: element_type(&map, &who)? });
                }
                queue_store(job, (offset, span), lane, env, space, warp, &who)?;
            }
        }
    }
    Ok(())
}

/// Queues a copy out of shared memory; it belongs to the lane's open bulk group.
fn queue_store(
    mut job: CopyJob,
    (offset, span): (u32, u32),
    lane: u32,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    who: &Who,
) -> Result<(), Box<Fault>> {
    let shared = &space.ctas[warp.rank as usize].shared;
    shared.check_bounds(offset, span, who)?;
    shared.in_flight.check(offset, span, false, who, warp.rank)?;
    if let Some(races) = &mut space.races {
        let record = races.issue(StreamKind::Bulk, lane, Path::Bulk, who.actor);
        races.touch_shared(warp.rank, offset, span, &record)?;
        let path = if job.reduce.is_some() { Path::BulkReduce } else { Path::Bulk };
        let issued = races.issue(StreamKind::BulkWrites, lane, path, who.actor);
        let mut record = Record { write: true, ..issued };
        for part in &job.parts {
            let Place::Global(to) = part.to else { continue };
            // Nobody may change them before they have been read.
            let source = job.source(part, &space.ctas[warp.rank as usize].shared);
            let values = source.as_deref().filter(|_| job.reduce.is_none());
            for (at, len) in job.masked(part.len) {
                let start = to + u64::from(at);
                let values = values.map(|values| &values[at as usize..(at + len) as usize]);
                record.silent = values.is_some_and(|values| env.global.holds(start, values));
                races.global_range(&record, (start, len), values, who.actor, env.global)?;
            }
        }
    }
    job.two_steps = true;
    job.noted.push(warp.rank);
    let ticket = space.queue.push(who.actor, warp.rank, Job::Copy(Box::new(job)), []);
    let flight = &mut space.ctas[warp.rank as usize].shared.in_flight;
    flight.begin(ticket, (offset, span), false, who.actor, "bulk store");
    let queue = &space.queue;
    let groups = warp.bulk(lane);
    groups.prune(|t| queue.is_done(t));
    groups.open.push(ticket);
    Ok(())
}

/// Operands of tensor copies without a state space on the barrier may be generic addresses.
fn widen(kind: StateSpace, address: u64) -> StateSpace {
    if address >= window::SHARED { StateSpace::Generic } else { kind }
}

fn pieces(
    op: &BulkTensor,
    map: &TensorMap,
    coordinates: &[i32],
    address: u64,
    who: &Who,
) -> Result<Vec<Piece>, Box<Fault>> {
    let bad = |what| who.fault(FaultKind::Descriptor, address, what);
    match &op.mode {
        TensorMode::Tile => {
            if map.rank != op.dims as usize {
                let what = format!("a {}d copy with a tensor map of rank {}", op.dims, map.rank);
                return Err(bad(what));
            }
            map.pieces(coordinates).map_err(bad)
        }
        TensorMode::Gather4 | TensorMode::Scatter4 => match *coordinates {
            [column, a, b, c, d] => map.gather4(column, [a, b, c, d]).map_err(bad),
            _ => Err(bad("gather4 and scatter4 take five coordinates".to_owned())),
        },
        _ => unsupported("tensor copy in im2col mode"),
    }
}

fn element_type(map: &TensorMap, who: &Who) -> Result<AtomType, Box<Fault>> {
    Ok(match map.element {
        ElementType::Uint32 => AtomType::U32,
        ElementType::Int32 => AtomType::S32,
        ElementType::Uint64 => AtomType::U64,
        ElementType::Int64 => AtomType::S64,
        ElementType::Float16 => AtomType::F16,
        ElementType::Bfloat16 => AtomType::BF16,
        ElementType::Float32 | ElementType::Float32Ftz => AtomType::F32,
        ElementType::Float64 => AtomType::F64,
        other => {
            let what = format!("tensor reduction on elements of type {other:?}");
            return Err(who.fault(FaultKind::Descriptor, map.base, what));
        }
    })
}

/// `cp.async.bulk` and `cp.reduce.async.bulk`.
pub(super) fn linear(
    op: &BulkCopy,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let targets_at = addresses(env, warp, &op.dst, at.active)?;
    let sources = addresses(env, warp, &op.src, at.active)?;
    let sizes = read32(&warp.regs, op.bytes, at.active)?;
    let barriers = match &op.mbarrier {
        Some(barrier) => addresses(env, warp, barrier, at.active)?,
        None => [0; 32],
    };
    let masks = match op.multicast {
        Some(mask) => Some(read32(&warp.regs, mask, at.active)?),
        None => None,
    };
    let byte_masks = match op.byte_mask {
        Some(mask) => Some(read(&warp.regs, mask, Width::B16, at.active)?),
        None => None,
    };
    for lane in each(at.active) {
        let l = lane as usize;
        let who = Who::asynchronous(at.lane(lane));
        let (dst, src, bytes) = (targets_at[l], sources[l], sizes[l]);
        for (what, value) in [("size", bytes.into()), ("destination", dst), ("source", src)] {
            if !u64::is_multiple_of(value, 16) {
                let message =
                    format!("the {what} of a bulk copy is {value:#x}, not a multiple of 16");
                return Err(who.fault(FaultKind::Misaligned, value, message));
            }
        }
        let cut = |from: &dyn Fn(u32) -> Place, to: &dyn Fn(u32) -> Place, space: &mut Space| {
            let mut parts = vec![];
            let mut done = 0;
            while done < bytes {
                let len = (16 << space.rng.random_range(0..6)).min(bytes - done);
                parts.push(Part { from: from(done), to: to(done), len });
                done += len;
            }
            parts
        };
        if op.direction == BulkDirection::SharedToGlobal {
            let source = shared_address(widen(StateSpace::SharedCta, src), src, warp.rank, &who)?;
            let offset = shared::offset_of(source);
            let rank = warp.rank;
            let from = |done| Place::Shared { rank, offset: offset + done };
            let to = |done: u32| Place::Global(dst + u64::from(done));
            let mut job = CopyJob::new(cut(&from, &to, space), Swizzle::None, None);
            job.reduce = op.reduce;
            job.byte_mask = byte_masks.map(|m| m[l] as u16);
            queue_store(job, (offset, bytes), lane, env, space, warp, &who)?;
            continue;
        }
        let kind = match op.direction {
            BulkDirection::GlobalToSharedCta => StateSpace::SharedCta,
            _ => StateSpace::SharedCluster,
        };
        let target = shared_address(widen(kind, dst), dst, warp.rank, &who)?;
        let barrier = shared_address(widen(kind, barriers[l]), barriers[l], warp.rank, &who)?;
        let targets = targets(target, barrier, masks.map(|m| m[l]), None, warp.rank, space, &who)?;
        let own = warp.rank;
        let local = match op.direction {
            BulkDirection::SharedToSharedCluster => {
                let source = shared_address(widen(StateSpace::SharedCta, src), src, own, &who)?;
                Some(shared::offset_of(source))
            }
            _ => None,
        };
        let from = |done: u32| match local {
            Some(offset) => Place::Shared { rank: own, offset: offset + done },
            None => Place::Global(window::resolve(src).1 + u64::from(done)),
        };
        let parts = |rank, space: &mut Space| {
            let to = |done| Place::Shared { rank, offset: targets.offset + done };
            cut(&from, &to, space)
        };
        let size = (bytes, bytes);
        let reads_shared = local.is_some();
        let tickets =
            queue_loads(&targets, size, (Swizzle::None, reads_shared), parts, env, space, &who)?;
        if let Some(offset) = local {
            for &(_, signalled) in &targets.ranks {
                let barrier = (signalled, targets.barrier);
                let phase = space.phase(barrier);
                if let Some(races) = &mut space.races {
                    races.signalled(barrier, phase, (own, offset, bytes), false, who.actor)?;
                }
            }
            let flight = &mut space.ctas[own as usize].shared.in_flight;
            for ticket in tickets {
                // What is there takes part in a reduction.
                if let Some(job) = space.queue.copy_mut(ticket) {
                    job.reduce = op.reduce;
                }
                flight.begin(ticket, (offset, bytes), false, who.actor, "bulk copy");
                if let Some(job) = space.queue.copy_mut(ticket) {
                    job.noted.push(own);
                }
            }
        }
    }
    Ok(())
}
