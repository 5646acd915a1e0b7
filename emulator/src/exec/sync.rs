//! Barriers, mbarriers, fences.

use rand::Rng;

use super::memory::shared_address;
use super::operand::{addresses, lane_fault, read_pred, read32, read64, uniform, write, write32};
use super::{Flow, Step};
use crate::decode::op::{
    Arrive, BarKind, BarRed, FenceOp, MbarrierOp, Order, Proxy, Src, SyncOp, WaitKind, Width,
};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::mbarrier::pending_count;
use crate::machine::races::Meeting;
use crate::machine::shared;
use crate::machine::warp::{Block, PhaseWait, Warp, each};
use crate::run::Ordering;

pub(super) fn execute(
    op: &SyncOp,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    match op {
        SyncOp::Bar { kind, barrier, threads, .. } => {
            bar(kind, *barrier, *threads, space, warp, at)
        }
        // Its lanes have met, which is all it asks.
        SyncOp::WarpSync { .. } => Ok(Flow::Next),
        SyncOp::ClusterArrive { order, .. } => {
            cluster_arrive(*order, space, warp, at)?;
            Ok(Flow::Next)
        }
        SyncOp::ClusterWait { .. } => cluster_wait(space, warp, at),
        SyncOp::Mbarrier(op) => mbarrier(op, env, space, warp, at),
        SyncOp::Fence(op) => {
            fence(*op, space, warp);
            Ok(Flow::Next)
        }
    }
}

fn bar(
    kind: &BarKind,
    barrier: Src,
    threads: Option<Src>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let id = uniform(&read32(&warp.regs, barrier, at.active)?, at.active, "a barrier number")?;
    let count = match threads {
        Some(threads) => {
            let counts = read32(&warp.regs, threads, at.active)?;
            Some(uniform(&counts, at.active, "a barrier's thread count")?)
        }
        None => None,
    };
    let cta = &mut space.ctas[warp.rank as usize];
    let live = cta.live_warps * 32;
    let Some(named) = cta.named.get_mut(id as usize) else {
        let message = format!("barrier {id}; there are 16, numbered 0 to 15");
        return Err(Box::new(Fault::new(FaultKind::BarrierMisuse, message)));
    };
    if !at.woken {
        let votes = match kind {
            BarKind::Red(
                BarRed::Popc { src, .. } | BarRed::And { src, .. } | BarRed::Or { src, .. },
            ) => {
                let yes = read_pred(&warp.regs, *src, at.active)?;
                Some((yes.count_ones(), at.active.count_ones()))
            }
            BarKind::Sync | BarKind::Arrive => None,
        };
        let generation = named.generation;
        named.arrive(id, count, votes)?;
        if let Some(races) = &mut space.races {
            races.release(Meeting::Named(warp.rank, id), generation);
        }
        space.stats.barrier_waits += 1;
        if named.settle(live) {
            space.events += 1;
        } else if *kind != BarKind::Arrive {
            return Ok(Flow::Wait(Block::Named { id, generation }));
        }
    }
    if let (Some(races), true) = (&mut space.races, *kind != BarKind::Arrive) {
        races.acquire(Meeting::Named(warp.rank, id), named.generation);
    }
    let (yes, all) = named.result;
    let everywhere = |value: bool| if value { u32::MAX } else { 0 };
    match kind {
        BarKind::Sync | BarKind::Arrive => {}
        BarKind::Red(BarRed::Popc { dst, .. }) => {
            write32(&mut warp.regs, *dst, at.active, &[yes; 32])?;
        }
        BarKind::Red(BarRed::And { dst, .. }) => {
            warp.regs.set_pred(*dst as usize, at.active, everywhere(yes == all));
        }
        BarKind::Red(BarRed::Or { dst, .. }) => {
            warp.regs.set_pred(*dst as usize, at.active, everywhere(yes > 0));
        }
    }
    Ok(Flow::Next)
}

fn cluster_arrive(
    order: Order,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    for lane in each(at.active) {
        let token = &mut warp.cluster_arrival[lane as usize];
        if token.is_some() {
            let message = "barrier.cluster.arrive twice without a wait between";
            return Err(lane_fault(FaultKind::BarrierMisuse, lane, message));
        }
        *token = Some(space.barrier.generation);
    }
    if let Some(races) = &mut space.races {
        let generation = space.barrier.generation;
        match order {
            Order::Relaxed => races.release_relaxed(Meeting::Cluster, generation),
            _ => races.release(Meeting::Cluster, generation),
        }
    }
    space.barrier.arrived += at.active.count_ones();
    let live = space.live;
    if space.barrier.settle(live) {
        space.events += 1;
    }
    Ok(())
}

fn cluster_wait(space: &mut Space, warp: &mut Warp, at: &Step) -> Result<Flow, Box<Fault>> {
    let mut newest = 0;
    for lane in each(at.active) {
        let Some(generation) = warp.cluster_arrival[lane as usize] else {
            let message = "barrier.cluster.wait without an arrive before it";
            return Err(lane_fault(FaultKind::BarrierMisuse, lane, message));
        };
        newest = newest.max(generation);
    }
    if space.barrier.generation <= newest {
        space.stats.barrier_waits += 1;
        return Ok(Flow::Wait(Block::Cluster { generation: newest }));
    }
    for lane in each(at.active) {
        warp.cluster_arrival[lane as usize] = None;
    }
    if let Some(races) = &mut space.races {
        races.acquire(Meeting::Cluster, newest + 1);
    }
    Ok(Flow::Next)
}

fn mbarrier(
    op: &MbarrierOp,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    match op {
        MbarrierOp::Init { space: kind, address, count } => {
            let places = addresses(env, warp, address, at.active)?;
            let counts = read32(&warp.regs, *count, at.active)?;
            for lane in each(at.active) {
                let who = Who::generic(at.lane(lane));
                let short = shared_address(*kind, places[lane as usize], warp.rank, &who)?;
                let (cta, offset) = space.shared(short, &who)?;
                let (rank, count) = (shared::rank_of(short), counts[lane as usize]);
                cta.mbarriers.init(&mut cta.shared, rank, offset, count, &who)?;
                if let Some(races) = &mut space.races {
                    races.init((rank, offset), who.actor)?;
                }
            }
        }
        MbarrierOp::Inval { space: kind, address } => {
            let places = addresses(env, warp, address, at.active)?;
            for lane in each(at.active) {
                let who = Who::generic(at.lane(lane));
                let short = shared_address(*kind, places[lane as usize], warp.rank, &who)?;
                let (cta, offset) = space.shared(short, &who)?;
                let rank = shared::rank_of(short);
                cta.mbarriers.invalidate(&mut cta.shared, rank, offset, &who)?;
                if let Some(races) = &mut space.races {
                    races.invalidate((rank, offset), who.actor)?;
                }
                space.events += 1;
            }
        }
        MbarrierOp::ExpectTx { space: kind, address, bytes, .. }
        | MbarrierOp::CompleteTx { space: kind, address, bytes, .. } => {
            let complete = matches!(op, MbarrierOp::CompleteTx { .. });
            let places = addresses(env, warp, address, at.active)?;
            let bytes = read32(&warp.regs, *bytes, at.active)?;
            for lane in each(at.active) {
                let who = Who::generic(at.lane(lane));
                let short = shared_address(*kind, places[lane as usize], warp.rank, &who)?;
                let rank = shared::rank_of(short);
                let (cta, offset) = space.shared(short, &who)?;
                let n = bytes[lane as usize];
                let phase = cta.mbarriers.get(offset).map_or(0, |b| b.phase);
                if let Some(races) = &mut space.races {
                    races.arrive((rank, offset), phase, who.actor)?;
                    if complete {
                        races.release(Meeting::Mbarrier(rank, offset), phase);
                    }
                }
                if complete {
                    space.complete_tx((rank, offset), n, &who)?;
                } else {
                    let (cta, offset) = space.shared(short, &who)?;
                    cta.mbarriers.expect(rank, offset, n, &who)?;
                }
                space.events += 1;
            }
        }
        MbarrierOp::Arrive(arrive) => self::arrive(arrive, env, space, warp, at)?,
        MbarrierOp::Wait {
            space: kind, address, dst, phase: wait_kind, may_sleep, time, ..
        } => {
            if let Some(time) = time {
                read32(&warp.regs, *time, at.active)?;
            }
            let places = addresses(env, warp, address, at.active)?;
            let phases = match wait_kind {
                WaitKind::State(state) => read64(&warp.regs, *state, at.active)?,
                WaitKind::Parity(parity) => read32(&warp.regs, *parity, at.active)?.map(u64::from),
            };
            let mut done = 0;
            let mut waits: Vec<PhaseWait> = vec![];
            let mut seen: Vec<(u32, (Meeting, u64))> = vec![];
            let first = at.active.trailing_zeros();
            // Who sleeps and is woken sees its phase complete, whatever happens before it runs again; but
            // nothing guarantees that it sleeps.
            let same = each(at.active).all(|lane| places[lane as usize] == places[first as usize]);
            let sleeps = *may_sleep && env.ordering == Ordering::Hardware;
            let slept = sleeps && at.woken && !at.timed_out && same;
            for lane in each(at.active) {
                let who = Who::generic(at.lane(lane));
                let short = shared_address(*kind, places[lane as usize], warp.rank, &who)?;
                let rank = shared::rank_of(short);
                let (cta, offset) = space.shared(short, &who)?;
                let value = phases[lane as usize];
                let over = match wait_kind {
                    WaitKind::State(_) => cta.mbarriers.token_done(rank, offset, value, &who)?,
                    WaitKind::Parity(_) => {
                        cta.mbarriers.parity_done(rank, offset, value as u32, &who)?
                    }
                };
                let over = over || slept;
                let phase = cta.mbarriers.get(offset).map_or(0, |b| b.phase);
                if let Some(races) = &mut space.races {
                    if lane == first || places[lane as usize] != places[first as usize] {
                        races.use_barrier((rank, offset), who.actor)?;
                    }
                    if over {
                        races.looked((rank, offset), who.actor);
                        let meeting = Meeting::Mbarrier(rank, offset);
                        match seen.iter_mut().find(|(_, wait)| *wait == (meeting, phase)) {
                            Some((lanes, _)) => *lanes |= 1 << lane,
                            None => seen.push((1 << lane, (meeting, phase))),
                        }
                    }
                }
                if over {
                    done |= 1 << lane;
                    if let WaitKind::Parity(_) = wait_kind {
                        warp.pass((rank, offset), value & 1 != 0);
                    }
                } else {
                    let wait = PhaseWait { rank, offset, phase: phase + 1 };
                    if !waits.contains(&wait) {
                        waits.push(wait);
                    }
                }
            }
            // Sleeping ends when one lane's phase completes; the others are told "not yet".
            if *may_sleep && done == 0 && !at.timed_out {
                if !at.woken {
                    space.stats.barrier_waits += 1;
                    // It may also give up at once: code that does not ask again must notice.
                    if space.rng.random_ratio(1, space.impatience) {
                        warp.regs.set_pred(*dst as usize, at.active, 0);
                        return Ok(Flow::Next);
                    }
                }
                return Ok(Flow::Wait(Block::Mbarrier(waits)));
            }
            warp.regs.set_pred(*dst as usize, at.active, done);
            for (lanes, wait) in seen {
                warp.regs.watch(*dst, lanes);
                warp.waits.push(wait);
            }
        }
        MbarrierOp::PendingCount { dst, state } => {
            let states = read64(&warp.regs, *state, at.active)?;
            let mut counts = [0; 32];
            for lane in each(at.active) {
                let state = states[lane as usize];
                counts[lane as usize] = pending_count(state).ok_or_else(|| {
                    let message = format!("{state:#x} is no state of an mbarrier");
                    lane_fault(FaultKind::BarrierMisuse, lane, message)
                })?;
            }
            write32(&mut warp.regs, *dst, at.active, &counts)?;
        }
    }
    Ok(Flow::Next)
}

fn arrive(
    arrive: &Arrive,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let places = addresses(env, warp, &arrive.address, at.active)?;
    let counts = match arrive.count {
        Some(count) => read32(&warp.regs, count, at.active)?,
        None => [1; 32],
    };
    let expected = match arrive.expect_tx {
        Some(bytes) => Some(read32(&warp.regs, bytes, at.active)?),
        None => None,
    };
    let mut tokens = [0; 32];
    for lane in each(at.active) {
        let who = Who::generic(at.lane(lane));
        let short = shared_address(arrive.space, places[lane as usize], warp.rank, &who)?;
        let (rank, offset) = (shared::rank_of(short), shared::offset_of(short));
        let phase = space.phase((rank, offset));
        if let Some(races) = &mut space.races {
            races.arrive((rank, offset), phase, who.actor)?;
            races.release(Meeting::Mbarrier(rank, offset), phase);
        }
        if let Some(bytes) = &expected {
            let (cta, _) = space.shared(short, &who)?;
            cta.mbarriers.expect(rank, offset, bytes[lane as usize], &who)?;
        }
        let before = space.ctas.get(rank as usize).map(|c| c.mbarriers.completions);
        tokens[lane as usize] =
            space.arrive((rank, offset), counts[lane as usize], arrive.drop, &who)?;
        let after = space.ctas.get(rank as usize).map(|c| c.mbarriers.completions);
        if arrive.no_complete && before != after {
            let message = "mbarrier.arrive.noComplete completed the phase";
            return Err(who.fault(FaultKind::BarrierMisuse, short.into(), message));
        }
    }
    if let Some(state) = arrive.state {
        write(&mut warp.regs, state, Width::B64, at.active, &tokens)?;
    }
    Ok(())
}

/// Fences that order the generic proxy with the async proxy make generic stores to shared memory
/// visible to it. The others change nothing here, where every access takes effect at once.
fn fence(op: FenceOp, space: &mut Space, warp: &Warp) {
    let own = warp.rank as usize;
    match op {
        FenceOp::Proxy(Proxy::AsyncSharedCta) => space.ctas[own].shared.proxy_fence(),
        FenceOp::Proxy(Proxy::Async | Proxy::AsyncSharedCluster) => {
            for cta in &mut space.ctas {
                cta.shared.proxy_fence();
            }
        }
        FenceOp::Proxy(Proxy::Alias | Proxy::AsyncGlobal)
        | FenceOp::Thread { .. }
        | FenceOp::MbarrierInit
        | FenceOp::TensorMapRelease { .. }
        | FenceOp::TensorMapAcquire { .. }
        | FenceOp::Restricted { .. } => {}
    }
}
