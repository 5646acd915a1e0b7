//! The queue of asynchronous operations of a cluster.
//!
//! An operation is queued when its instruction executes and completes later, in steps. The queue
//! itself knows one rule: an operation waits for those that the ISA orders before it. Everything
//! else is chosen: which operation advances, and how far. When the queue advances at all is the
//! scheduler's choice (see [`crate::run`]).
//!
//! Happens-before does not depend on any of these choices: it is checked when an operation is issued
//! (see [`crate::machine::races`]).

mod copy;
mod mma;
mod store;
mod tensor;
mod wgmma;

use std::collections::BTreeMap;

use rand::Rng;

pub use copy::{CopyJob, Part, Place, Signal};

pub use store::{ArriveJob, CancelJob, CpAsyncJob, LaneCopy, LaneStore, StoreAsyncJob};
pub use tensor::{
    Access, CellCopyJob, CommitJob, MmaJob, MmaOperandA, ShiftJob, TmemLoadJob, TmemStoreJob,
    lanes_of,
};

pub use mma::Layout;
pub use wgmma::{WgmmaA, WgmmaJob};

use crate::error::{Actor, Fault};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::inflight::Ticket;
use crate::machine::registers::Lane32;
use crate::trace::{Log, Unit, What};

/// Work that an operation does when it advances.
#[derive(Debug)]
pub enum Job {
    /// Bulk and tensor copies.
    Copy(Box<CopyJob>),
    /// `cp.async`.
    CpAsync(CpAsyncJob),
    /// `cp.async.mbarrier.arrive`.
    Arrive(ArriveJob),
    /// `st.async`, `red.async`.
    StoreAsync(StoreAsyncJob),
    /// `clusterlaunchcontrol.try_cancel`.
    Cancel(CancelJob),
    /// `tcgen05.cp`.
    CellCopy(CellCopyJob),
    /// `tcgen05.mma`.
    Mma(Box<MmaJob>),
    /// `tcgen05.commit`.
    Commit(CommitJob),
    /// `tcgen05.shift`.
    Shift(ShiftJob),
    /// `tcgen05.ld`.
    TmemLoad(TmemLoadJob),
    /// `tcgen05.st`.
    TmemStore(TmemStoreJob),
    /// `wgmma.mma_async`, one warp's part.
    Wgmma(Box<WgmmaJob>),
}

impl Job {
    /// The unit of the machine that does it, for traces.
    fn unit(&self) -> Unit {
        match self {
            Job::Copy(_) => Unit::Tma,
            Job::CpAsync(_) => Unit::CpAsync,
            Job::Arrive(_) => Unit::Arrive,
            Job::StoreAsync(_) => Unit::StoreAsync,
            Job::Cancel(_) => Unit::Cancel,
            Job::CellCopy(_) => Unit::TensorCopy,
            Job::Mma(_) | Job::Wgmma(_) => Unit::Mma,
            Job::Commit(_) => Unit::Commit,
            Job::Shift(_) => Unit::Shift,
            Job::TmemLoad(_) => Unit::TensorLoad,
            Job::TmemStore(_) => Unit::TensorStore,
        }
    }
}

/// What a step achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More steps are needed.
    Partly,
    /// The sources have been read; more steps are needed.
    ReadsDone,
    /// Complete.
    Done,
}

#[derive(Debug)]
struct Operation {
    ticket: Ticket,
    actor: Actor,
    rank: u32,
    blockers: u32,
    successors: Vec<u32>,
    reads_done: bool,
    job: Option<Job>,
}

/// Operations that are not complete.
#[derive(Debug, Default)]
pub struct Queue {
    slots: Vec<Option<Operation>>,
    free: Vec<u32>,
    /// Slots whose predecessors are complete.
    ready: Vec<u32>,
    serial: u64,
    /// Registers read by finished `tcgen05.ld` and `wgmma`, until their wait picks them up.
    pub results: BTreeMap<Ticket, Vec<Lane32>>,
    /// What happened, for those who asked.
    pub log: Log,
}

/// Bits of a ticket that name the slot.
const SLOT_BITS: u32 = 24;

impl Queue {
    /// Queues an operation behind the unfinished ones of `after`.
    pub fn push(
        &mut self,
        actor: Actor,
        rank: u32,
        job: Job,
        after: impl IntoIterator<Item = Ticket>,
    ) -> Ticket {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.serial += 1;
        let ticket = self.serial << SLOT_BITS | u64::from(slot);
        let (id, unit) = (self.serial, job.unit());
        self.log.record(actor, || What::Issue { id, unit });
        let mut blockers = 0;
        for earlier in after {
            if let Some(operation) = self.find_mut(earlier) {
                operation.successors.push(slot);
                blockers += 1;
            }
        }
        self.slots[slot as usize] = Some(Operation {
            ticket,
            actor,
            rank,
            blockers,
            successors: vec![],
            reads_done: false,
            job: Some(job),
        });
        if blockers == 0 {
            self.ready.push(slot);
        }
        ticket
    }

    /// The ticket that the next [`Queue::push`] will give.
    pub fn next_ticket(&self) -> Ticket {
        let slot = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        (self.serial + 1) << SLOT_BITS | u64::from(slot)
    }

    /// Whether an operation is complete.
    pub fn is_done(&self, ticket: Ticket) -> bool {
        self.find(ticket).is_none()
    }

    /// Whether an operation has read all its sources.
    pub fn reads_done(&self, ticket: Ticket) -> bool {
        self.find(ticket).is_none_or(|operation| operation.reads_done)
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Operations that are not complete.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn find(&self, ticket: Ticket) -> Option<&Operation> {
        let slot = ticket & ((1 << SLOT_BITS) - 1);
        self.slots.get(slot as usize)?.as_ref().filter(|o| o.ticket == ticket)
    }

    fn find_mut(&mut self, ticket: Ticket) -> Option<&mut Operation> {
        let slot = ticket & ((1 << SLOT_BITS) - 1);
        self.slots.get_mut(slot as usize)?.as_mut().filter(|o| o.ticket == ticket)
    }

    /// The copy behind a ticket.
    pub(crate) fn copy_mut(&mut self, ticket: Ticket) -> Option<&mut CopyJob> {
        match self.find_mut(ticket)?.job.as_mut()? {
            Job::Copy(job) => Some(job),
            _ => None,
        }
    }

    /// Removes a complete operation and releases those behind it.
    fn finish(&mut self, slot: u32) {
        let Some(operation) = self.slots[slot as usize].take() else { return };
        self.free.push(slot);
        for next in operation.successors {
            if let Some(waiting) = &mut self.slots[next as usize] {
                waiting.blockers -= 1;
                if waiting.blockers == 0 {
                    self.ready.push(next);
                }
            }
        }
    }
}

/// Advances one operation, chosen at random among those that may. `false` when there is none.
pub fn step(space: &mut Space, env: &Env<'_>) -> Result<bool, Box<Fault>> {
    let count = space.queue.ready.len();
    if count == 0 {
        return Ok(false);
    }
    let index = if count == 1 { 0 } else { space.rng.random_range(0..count) };
    advance(space, env, index)?;
    Ok(true)
}

/// Advances the operation at `index` of the ready list.
fn advance(space: &mut Space, env: &Env<'_>, index: usize) -> Result<(), Box<Fault>> {
    let slot = space.queue.ready[index];
    let operation = space.queue.slots[slot as usize].as_mut().expect("ready operations exist");
    let (ticket, actor, rank) = (operation.ticket, operation.actor, operation.rank);
    let mut job = operation.job.take().expect("an operation keeps its job between steps");
    let progress = run(&mut job, space, env, ticket, actor, rank)?;
    space.events += 1;
    space.stats.async_steps += 1;
    let log = &mut space.queue.log;
    log.tick();
    let (id, unit) = (ticket >> SLOT_BITS, job.unit());
    match progress {
        Progress::Done => {
            log.record(actor, || What::Complete { id, unit });
            space.queue.ready.swap_remove(index);
            space.queue.finish(slot);
        }
        Progress::Partly | Progress::ReadsDone => {
            let operation = space.queue.slots[slot as usize].as_mut().expect("not finished");
            operation.job = Some(job);
            if progress == Progress::ReadsDone && !operation.reads_done {
                operation.reads_done = true;
                space.queue.log.record(actor, || What::ReadsDone { id, unit });
            }
        }
    }
    Ok(())
}

fn run(
    job: &mut Job,
    space: &mut Space,
    env: &Env<'_>,
    ticket: Ticket,
    actor: Actor,
    rank: u32,
) -> Result<Progress, Box<Fault>> {
    let asynchronous = Who::asynchronous(actor);
    let tensor = Who::tensor_core(actor);
    match job {
        Job::Copy(job) => job.step(space, env, ticket, &asynchronous),
        Job::CpAsync(job) => job.step(space, env, ticket, actor),
        Job::Arrive(job) => job.step(space, actor),
        Job::StoreAsync(job) => job.step(space, &asynchronous),
        Job::Cancel(job) => job.step(space, env, &asynchronous),
        Job::CellCopy(job) => job.step(space, ticket, &tensor),
        Job::Mma(job) => job.step(space, ticket, &tensor),
        Job::Commit(job) => job.step(space, &tensor),
        Job::Shift(job) => job.step(space, ticket, &tensor),
        Job::TmemLoad(job) => job.step(space, ticket, rank, &tensor),
        Job::Wgmma(job) => job.step(space, ticket, rank, &tensor),
        Job::TmemStore(job) => job.step(space, ticket, rank, &tensor),
    }
}

/// Performs the arrivals of commits that are due (their operations are complete) and go to the
/// CTA of `rank`, which is about to end: nothing that comes later can hold them up.
pub fn deliver_due_commits(space: &mut Space, env: &Env<'_>, rank: u32) -> Result<(), Box<Fault>> {
    loop {
        let due = space.queue.ready.iter().position(|&slot| {
            let job = space.queue.slots[slot as usize].as_ref().and_then(|o| o.job.as_ref());
            matches!(job, Some(Job::Commit(commit)) if commit.signals(rank))
        });
        match due {
            Some(index) => advance(space, env, index)?,
            None => return Ok(()),
        }
    }
}
