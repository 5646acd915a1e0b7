//! A cluster at run time: the memories and barriers of its CTAs, and its queue of asynchronous
//! operations. Warps are kept beside it (see [`crate::run`]), so that one warp and everything it
//! may touch can be borrowed together.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;

use super::access::Who;
use super::clock::Clocks;
use super::global::GlobalMemory;
use super::inflight::Ticket;
use super::mbarrier::Mbarriers;
use super::named_barrier::{ClusterBarrier, NamedBarrier};
use super::races::{self, Detector, Event};
use super::shared::{self, SharedMemory};
use super::tmem::TensorMemory;
use super::warp::{Block, Warp};
use super::warpgroup::Warpgroup;
use crate::asyncs::Queue;
use crate::decode::program::Kernel;
use crate::error::{Actor, Fault, FaultKind};
use crate::run::{Ordering, Stats};
use crate::trace::What;

/// What is the same for every thread of a launch.
#[derive(Debug)]
pub struct Env<'a> {
    /// The code.
    pub kernel: &'a Kernel,
    /// Device memory.
    pub global: &'a GlobalMemory,
    /// Device addresses of the module's variables, by index.
    pub globals: &'a [u64],
    /// The parameter block.
    pub params: &'a [u8],
    /// `%nctaid`.
    pub grid: [u32; 3],
    /// `%ntid`.
    pub block: [u32; 3],
    /// `%cluster_nctaid`.
    pub cluster: [u32; 3],
    /// Whether the launch has clusters.
    pub explicit_cluster: bool,
    /// Offset of the first byte of dynamic shared memory.
    pub dynamic_start: u32,
    /// Bytes of dynamic shared memory.
    pub dynamic_bytes: u32,
    /// What of the open questions of the ISA is taken for granted.
    pub ordering: Ordering,
    /// Per instruction: which lanes must meet there.
    pub meetings: &'a [Meeting],
}

/// Which lanes must execute an instruction together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// Nobody needs anybody.
    None,
    /// All live lanes of the warp.
    Live,
    /// All lanes the launch started: none may have exited.
    All,
    /// The lanes of a member mask.
    Members,
}

/// One CTA's part.
#[derive(Debug)]
pub struct Cta {
    /// `%ctaid`.
    pub id: [u32; 3],
    /// Shared memory.
    pub shared: SharedMemory,
    /// mbarriers in it.
    pub mbarriers: Mbarriers,
    /// `bar` 0 to 15.
    pub named: Vec<NamedBarrier>,
    /// Tensor memory.
    pub tmem: TensorMemory,
    /// How many `tcgen05.alloc.cta_group::2` its warps have performed.
    pub pair_allocations: u32,
    /// Warpgroups that have committed a `wgmma`.
    pub warpgroups: BTreeMap<u32, Warpgroup>,
    /// Registers, for each thread of one warp, that `setmaxnreg.dec` has released.
    pub free_registers: u32,
    /// Warps with live lanes.
    pub live_warps: u32,
    /// Whether every thread has exited.
    pub ended: bool,
}

/// The tcgen05 operations of one thread that are not complete.
#[derive(Debug, Default)]
pub struct Issued {
    /// `cp` and `shift`.
    pub copies: Vec<Ticket>,
    /// `mma`, with accumulator address and shape.
    pub mmas: Vec<((u32, u32), Ticket)>,
    /// The last `commit`.
    pub commit: Option<Ticket>,
}

/// Everything of a cluster that is not a warp.
#[derive(Debug)]
pub struct Space {
    /// CTAs by rank.
    pub ctas: Vec<Cta>,
    /// Asynchronous operations.
    pub queue: Queue,
    /// `barrier.cluster`.
    pub barrier: ClusterBarrier,
    /// Live threads of the cluster.
    pub live: u32,
    /// The group that the kernel's `tcgen05` instructions name, and who named it first.
    pub cta_group: Option<(u32, Actor)>,
    /// Unfinished tcgen05 operations by (warp, lane).
    pub issued: BTreeMap<(u32, u32), Issued>,
    /// The source of every choice.
    pub rng: SmallRng,
    /// One in so many `try_wait` gives up instead of sleeping.
    pub impatience: u32,
    /// Counts.
    pub stats: Stats,
    /// Moves when something happened that a blocked warp may wait for.
    pub events: u64,
    /// Room for the bytes of one part of a copy.
    pub scratch: Vec<u8>,
    /// `%clusterid` and the linear index of the cluster.
    pub cluster_id: [u32; 3],
    /// First CTA ids of clusters that `try_cancel` may take, last first.
    pub unstarted: Vec<[u32; 3]>,
    /// Happens-before, where it is looked at.
    pub races: Option<Box<Detector>>,
}

impl Space {
    /// The CTA of a rank, which a remote access names.
    pub fn cta(&mut self, rank: u32, address: u64, who: &Who) -> Result<&mut Cta, Box<Fault>> {
        let count = self.ctas.len();
        match self.ctas.get_mut(rank as usize) {
            None => {
                let message =
                    format!("shared address of CTA rank {rank}, in a cluster of {count} CTAs");
                Err(who.fault(FaultKind::OutOfBounds, address, message))
            }
            Some(cta) if cta.ended => {
                let message =
                    format!("shared memory of CTA rank {rank}, all of whose threads have exited");
                Err(who.fault(FaultKind::Unfinished, address, message))
            }
            Some(cta) => Ok(cta),
        }
    }

    /// The CTA and offset of a shared address.
    pub fn shared(&mut self, address: u32, who: &Who) -> Result<(&mut Cta, u32), Box<Fault>> {
        let cta = self.cta(shared::rank_of(address), address.into(), who)?;
        Ok((cta, shared::offset_of(address)))
    }

    /// Phases that an mbarrier has completed.
    pub fn phase(&self, (rank, offset): (u32, u32)) -> u64 {
        let cta = self.ctas.get(rank as usize);
        cta.and_then(|cta| cta.mbarriers.get(offset)).map_or(0, |barrier| barrier.phase)
    }

    /// An asynchronous arrival on an mbarrier is about to happen: what it announces.
    pub fn announce(
        &mut self,
        (rank, offset): (u32, u32),
        clocks: Option<&(Clocks, Event)>,
        by: Actor,
    ) -> Result<(), Box<Fault>> {
        let phase = self.phase((rank, offset));
        if let (Some(races), Some((clocks, event))) = (&mut self.races, clocks) {
            races.check_phase((rank, offset), phase, Some(clocks), by)?;
            races.arrived((rank, offset), *event);
            races.release_with(races::Meeting::Mbarrier(rank, offset), phase, clocks);
        }
        Ok(())
    }

    /// Arrives on an mbarrier.
    pub fn arrive(
        &mut self,
        (rank, offset): (u32, u32),
        count: u32,
        drop: bool,
        who: &Who,
    ) -> Result<u64, Box<Fault>> {
        self.events += 1;
        let address = shared::address_of(rank, offset);
        let cta = self.cta(rank, address.into(), who)?;
        let before = cta.mbarriers.completions;
        let token = cta.mbarriers.arrive(rank, offset, count, drop, who)?;
        let completed = cta.mbarriers.completions != before;
        self.phase_over(completed, (rank, offset), who)?;
        Ok(token)
    }

    /// Counts delivered bytes on an mbarrier.
    pub fn complete_tx(
        &mut self,
        (rank, offset): (u32, u32),
        bytes: u32,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        self.events += 1;
        let address = shared::address_of(rank, offset);
        let cta = self.cta(rank, address.into(), who)?;
        let before = cta.mbarriers.completions;
        cta.mbarriers.complete(rank, offset, bytes, who)?;
        let completed = cta.mbarriers.completions != before;
        self.phase_over(completed, (rank, offset), who)
    }

    fn phase_over(
        &mut self,
        completed: bool,
        (rank, offset): (u32, u32),
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        if !completed {
            return Ok(());
        }
        let address = shared::address_of(rank, offset);
        self.queue.log.record(who.actor, || What::Phase { address });
        let phases = self.phase((rank, offset));
        match &mut self.races {
            Some(races) => races.phase_over((rank, offset), phases, who.actor),
            None => Ok(()),
        }
    }

    /// Whether what a group waits for has happened.
    pub fn satisfied(&self, block: &Block, warp: &Warp) -> bool {
        match block {
            Block::Mbarrier(waits) => waits.iter().any(|wait| {
                let cta = &self.ctas[wait.rank as usize];
                // A barrier that is gone wakes the waiter, who will report it.
                cta.mbarriers.get(wait.offset).is_none_or(|b| b.phase >= wait.phase)
            }),
            Block::Named { id, generation } => {
                self.ctas[warp.rank as usize].named[*id as usize].generation > *generation
            }
            Block::Cluster { generation } => self.barrier.generation > *generation,
            Block::TensorMemory { columns } => {
                self.ctas[warp.rank as usize].tmem.has_room(*columns)
            }
            Block::Pair { count } => {
                let other = self.ctas.get(warp.rank as usize ^ 1);
                other.is_none_or(|other| other.pair_allocations >= *count)
            }
            Block::Registers { count } => self.ctas[warp.rank as usize].free_registers >= *count,
            Block::Idle => false,
            Block::Warpgroup { groups } => {
                let group = self.ctas[warp.rank as usize].warpgroups.get(&(warp.index / 4));
                group.is_none_or(|group| group.is_over(*groups, |t| self.queue.is_done(t)))
            }
            Block::Tickets { tickets, reads } => tickets
                .iter()
                .all(|&t| if *reads { self.queue.reads_done(t) } else { self.queue.is_done(t) }),
        }
    }

    /// Ends a CTA whose last warp exited: nothing may be left in flight or allocated.
    pub fn end_cta(&mut self, rank: u32, env: &Env<'_>, actor: Actor) -> Result<(), Box<Fault>> {
        crate::asyncs::deliver_due_commits(self, env, rank)?;
        let cta = &mut self.ctas[rank as usize];
        if let Some((line, what)) = cta.shared.in_flight.first() {
            let message = format!(
                "the CTA ended while the {what} of line {line} was still using its shared memory"
            );
            return Err(Box::new(Fault::new(FaultKind::Unfinished, message).by(actor)));
        }
        if let Some((line, what)) = cta.tmem.first_use() {
            let message = format!(
                "the CTA ended while the {what} of line {line} was still using its tensor memory"
            );
            return Err(Box::new(Fault::new(FaultKind::Unfinished, message).by(actor)));
        }
        if let Some((column, columns, by)) = cta.tmem.held().next() {
            let message = format!(
                "the CTA ended with {columns} tensor memory columns at {column} still allocated"
            );
            return Err(Box::new(Fault::new(FaultKind::TensorMemory, message).by(by)));
        }
        for (offset, barrier) in cta.mbarriers.iter() {
            if barrier.transactions != 0 {
                let message = format!(
                    "the CTA ended with the mbarrier at shared {offset:#x} (initialised on line {}) \
                     at a transaction count of {}: expected and delivered bytes do not balance",
                    barrier.by.line, barrier.transactions
                );
                let fault = Fault::new(FaultKind::BarrierMisuse, message)
                    .by(actor)
                    .at(shared::address_of(rank, offset).into());
                return Err(Box::new(fault));
            }
        }
        cta.ended = true;
        if let Some(races) = &mut self.races {
            races.end_cta(rank, actor)?;
        }
        self.queue.log.record(actor, || What::CtaEnd);
        Ok(())
    }
}
