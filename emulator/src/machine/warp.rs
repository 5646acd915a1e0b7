//! A warp: registers, and its lanes in groups that run together.
//!
//! A group is a set of lanes at one program counter with one call stack. A branch that lanes
//! disagree about splits a group; groups that meet merge again. Normally there is one.

use std::collections::VecDeque;
use std::ops::Range;

use super::access::Who;
use super::bitmap::Bitmap;
use super::inflight::Ticket;
use super::races::Meeting;
use super::registers::{Lanes, Registers};
use crate::error::{Actor, Fault, FaultKind};

/// A set of lanes that run together.
#[derive(Debug, Clone)]
pub struct Group {
    /// The instruction to execute next.
    pub pc: u32,
    /// Its lanes; never empty.
    pub lanes: Lanes,
    /// Return addresses.
    pub stack: Vec<u32>,
    /// Whether it can run.
    pub state: State,
    /// What it was blocked for has happened; the instruction is executed once more and completes.
    pub woken: bool,
    /// A `try_wait` gives up sleeping and answers false.
    pub timed_out: bool,
}

/// Whether a group can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It can.
    Ready,
    /// It stands at an instruction that other lanes of the warp must execute with it.
    Gather,
    /// It waits.
    Blocked(Block),
}

/// What a group waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// `mbarrier.try_wait`: any of these phases to complete.
    Mbarrier(Vec<PhaseWait>),
    /// A named barrier of the CTA to leave this generation.
    Named {
        /// Its number.
        id: u32,
        /// The generation in which the warp arrived.
        generation: u64,
    },
    /// The cluster barrier to leave this generation.
    Cluster {
        /// The generation in which the lanes arrived.
        generation: u64,
    },
    /// Free columns of tensor memory.
    TensorMemory {
        /// How many.
        columns: u32,
    },
    /// The other CTA of the pair to come to as many `tcgen05.alloc.cta_group::2`.
    Pair {
        /// How many.
        count: u32,
    },
    /// Registers that other warps of the CTA have to release (`setmaxnreg.inc`).
    Registers {
        /// How many for each thread.
        count: u32,
    },
    /// Everything else that can run to have run (`tcgen05.dealloc` as the hardware has it).
    Idle,
    /// The first `wgmma` groups of the warp's warpgroup to be over.
    Warpgroup {
        /// How many.
        groups: usize,
    },
    /// Asynchronous operations to complete, or only to finish reading their sources.
    Tickets {
        /// The operations.
        tickets: Vec<Ticket>,
        /// Only the reads matter.
        reads: bool,
    },
}

/// One lane's wait on an mbarrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseWait {
    /// CTA rank.
    pub rank: u32,
    /// Offset of the barrier.
    pub offset: u32,
    /// The number of completed phases at which the wait succeeds.
    pub phase: u64,
}

/// Bulk operations of one thread that complete by group.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// Operations since the last commit.
    pub open: Vec<Ticket>,
    /// Committed groups, oldest first.
    pub committed: VecDeque<Vec<Ticket>>,
    /// Whether there was a wait.
    pub waited: bool,
}

impl Groups {
    /// Closes the open group.
    pub fn commit(&mut self) {
        let group = std::mem::take(&mut self.open);
        self.committed.push_back(group);
    }

    /// The operations of all groups but the newest `pending`.
    pub fn due(&self, pending: usize) -> impl Iterator<Item = Ticket> {
        let n = self.committed.len().saturating_sub(pending);
        self.committed.iter().take(n).flatten().copied()
    }

    /// Forgets groups that are over.
    pub fn prune(&mut self, is_done: impl Fn(Ticket) -> bool) {
        while self.committed.front().is_some_and(|g| g.iter().all(|&t| is_done(t))) {
            self.committed.pop_front();
        }
    }
}

/// A byte memory of its own for each lane: local memory, or call frames.
#[derive(Debug)]
pub struct LaneMemory {
    stride: usize,
    bytes: Vec<u8>,
    written: Bitmap,
}

impl LaneMemory {
    /// `bytes` for each of 32 lanes.
    pub fn new(bytes: u32) -> Self {
        let stride = bytes as usize;
        LaneMemory { stride, bytes: vec![0; stride * 32], written: Bitmap::new(stride * 32) }
    }

    /// Reads bytes of a lane.
    pub fn load(&self, lane: u32, at: u64, out: &mut [u8], who: &Who) -> Result<(), Box<Fault>> {
        let start = self.locate(lane, at, out.len(), who)?;
        if !self.written.all(start, out.len()) {
            let message =
                format!("{} bytes of local memory at {at:#x} were never written", out.len());
            return Err(who.fault(FaultKind::UnwrittenRead, at, message));
        }
        out.copy_from_slice(&self.bytes[start..start + out.len()]);
        Ok(())
    }

    /// Writes bytes of a lane.
    pub fn store(&mut self, lane: u32, at: u64, data: &[u8], who: &Who) -> Result<(), Box<Fault>> {
        let start = self.locate(lane, at, data.len(), who)?;
        self.bytes[start..start + data.len()].copy_from_slice(data);
        self.written.set(start, data.len());
        Ok(())
    }

    /// Copies bytes within a lane; those that nobody wrote stay unwritten.
    pub fn copy(
        &mut self,
        lane: u32,
        (from, to, len): (u32, u32, u32),
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        let source = self.locate(lane, from.into(), len as usize, who)?;
        let target = self.locate(lane, to.into(), len as usize, who)?;
        for i in 0..len as usize {
            self.bytes[target + i] = self.bytes[source + i];
            if self.written.all(source + i, 1) {
                self.written.set(target + i, 1);
            } else {
                self.written.clear(target + i, 1);
            }
        }
        Ok(())
    }

    /// Bytes of a lane.
    pub fn size(&self) -> u64 {
        self.stride as u64
    }

    /// Puts bytes of a lane on a stack, with whether they were written, and makes them unwritten.
    pub fn save(&mut self, lane: u32, range: Range<u32>, stack: &mut Vec<u32>) {
        for at in range {
            let index = lane as usize * self.stride + at as usize;
            let written = self.written.all(index, 1);
            stack.push(u32::from(self.bytes[index]) | u32::from(written) << 8);
            self.written.clear(index, 1);
        }
    }

    /// Takes back what [`LaneMemory::save`] put on the stack.
    pub fn restore(&mut self, lane: u32, range: Range<u32>, stack: &mut Vec<u32>) {
        for at in range.rev() {
            let index = lane as usize * self.stride + at as usize;
            let saved = stack.pop().unwrap_or_default();
            self.bytes[index] = saved as u8;
            if saved >> 8 != 0 {
                self.written.set(index, 1);
            } else {
                self.written.clear(index, 1);
            }
        }
    }

    fn locate(&self, lane: u32, at: u64, len: usize, who: &Who) -> Result<usize, Box<Fault>> {
        if at > self.stride as u64 || len > self.stride - at as usize {
            let message = format!(
                "{len} bytes of local memory at {at:#x}, of which a thread has {}",
                self.stride
            );
            return Err(who.fault(FaultKind::OutOfBounds, at, message));
        }
        Ok(lane as usize * self.stride + at as usize)
    }
}

/// A `tcgen05.ld` whose registers are not there yet.
#[derive(Debug)]
pub struct PendingLoad {
    /// The operation.
    pub ticket: Ticket,
    /// Destination slots; none once the values have been handed over.
    pub slots: Vec<Option<u32>>,
}

/// One warp.
#[derive(Debug)]
pub struct Warp {
    /// Index of its CTA in the cluster, which is the CTA's rank.
    pub rank: u32,
    /// `%ctaid` of its CTA.
    pub cta: [u32; 3],
    /// Index within the CTA.
    pub index: u32,
    /// Index within the cluster.
    pub id: u32,
    /// Lanes that the launch started.
    pub launched: Lanes,
    /// Lanes that have not exited.
    pub live: Lanes,
    /// Registers.
    pub regs: Registers,
    /// Groups that have not exited.
    pub groups: Vec<Group>,
    /// Local memory.
    pub local: LaneMemory,
    /// Call frames.
    pub frame: LaneMemory,
    /// For each lane, the generation of the cluster barrier in which it arrived and not yet waited.
    pub cluster_arrival: [Option<u64>; 32],
    /// Bulk groups, by lane.
    pub bulk: Vec<Groups>,
    /// `cp.async` groups, by lane.
    pub cp_async: Vec<Groups>,
    /// `tcgen05.ld` since the last `wait::ld`.
    pub loads: Vec<PendingLoad>,
    /// The column of a `tcgen05.alloc.cta_group::2` that waits for the other CTA.
    pub allocated: Option<u32>,
    /// `tcgen05.st` since the last `wait::st`.
    pub stores: Vec<Ticket>,
    /// `wgmma` bookkeeping.
    pub wgmma: Wgmmas,
    /// Meetings, with their generation, that waits have found complete and said so in the predicates
    /// that [`Registers::watch`] watches.
    pub waits: Vec<(Meeting, u64)>,
    /// Registers of each thread, since the first `setmaxnreg`.
    pub registers: Option<u32>,
    /// For each mbarrier that the warp has waited for, by CTA rank and offset, the last phase.
    waited: Vec<((u32, u32), i64)>,
    /// Stacks of recursive functions and `alloca`, by lane.
    stacks: Vec<Stack>,
    /// Where they begin in local memory.
    stack_start: u32,
}

/// What open calls of recursive functions have put aside, and their local memory.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    /// Registers, predicates and frame bytes.
    pub saved: Vec<u32>,
    /// Where the present call's local memory begins.
    pub base: u32,
    /// Where it ends, `alloca` included.
    pub top: u32,
    /// How many calls are open.
    pub depth: u32,
}

/// Asynchronous `wgmma` operations of a warp.
#[derive(Debug, Default)]
pub struct Wgmmas {
    /// Operations since the last commit.
    pub open: Vec<Ticket>,
    /// Accumulators that have not been handed back: their registers, and the last operation on
    /// them.
    pub results: Vec<PendingLoad>,
}

impl Warp {
    /// A warp at instruction 0.
    pub fn new(
        (rank, cta): (u32, [u32; 3]),
        (index, id): (u32, u32),
        launched: Lanes,
        regs: Registers,
        (local, stack, frame): (u32, u32, u32),
    ) -> Self {
        let stack_start = if stack == 0 { local } else { local.next_multiple_of(1 << 16) };
        let first = Group {
            pc: 0,
            lanes: launched,
            stack: vec![],
            state: State::Ready,
            woken: false,
            timed_out: false,
        };
        Warp {
            rank,
            cta,
            index,
            id,
            launched,
            live: launched,
            regs,
            groups: vec![first],
            local: LaneMemory::new(stack_start + stack),
            frame: LaneMemory::new(frame),
            cluster_arrival: [None; 32],
            bulk: vec![],
            cp_async: vec![],
            loads: vec![],
            allocated: None,
            stores: vec![],
            wgmma: Wgmmas::default(),
            waits: vec![],
            registers: None,
            waited: vec![],
            stacks: vec![],
            stack_start,
        }
    }

    /// The phase that a wait is for, as far as parity tells: the one after the last that the warp
    /// has waited for, or that one again. A first wait is for phase 0, or for the one before it.
    fn wanted(&self, barrier: (u32, u32), odd: bool) -> i64 {
        let last = self.waited.iter().find(|(known, _)| *known == barrier);
        let last = last.map_or(-1, |&(_, phase)| phase);
        last + i64::from((last % 2 != 0) != odd)
    }

    /// Notes that a wait for a phase of this parity is over.
    pub fn pass(&mut self, barrier: (u32, u32), odd: bool) {
        let phase = self.wanted(barrier, odd);
        match self.waited.iter_mut().find(|(known, _)| *known == barrier) {
            Some((_, last)) => *last = phase,
            None => self.waited.push((barrier, phase)),
        }
    }

    /// Whether a wait is for a phase that went by while the warp was elsewhere: the barrier has since
    /// gone on by two phases, or more, and parity does not tell.
    pub fn is_lapped(&self, wait: &PhaseWait) -> bool {
        let now = wait.phase as i64 - 1;
        now > self.wanted((wait.rank, wait.offset), now % 2 != 0)
    }

    /// The stacks of the lanes.
    pub fn stacks(&mut self) -> &mut [Stack] {
        if self.stacks.is_empty() {
            let (base, top) = (self.stack_start, self.stack_start);
            self.stacks.resize(32, Stack { base, top, ..Stack::default() });
        }
        &mut self.stacks
    }

    /// The warp as an actor at a line.
    pub fn actor(&self, line: u32) -> Actor {
        Actor { cta: self.cta, warp: self.index, lane: None, line }
    }

    /// The bulk groups of a lane.
    pub fn bulk(&mut self, lane: u32) -> &mut Groups {
        if self.bulk.is_empty() {
            self.bulk.resize_with(32, Groups::default);
        }
        &mut self.bulk[lane as usize]
    }

    /// The `cp.async` groups of a lane.
    pub fn cp_async(&mut self, lane: u32) -> &mut Groups {
        if self.cp_async.is_empty() {
            self.cp_async.resize_with(32, Groups::default);
        }
        &mut self.cp_async[lane as usize]
    }

    /// Whether some group can run.
    pub fn ready(&self) -> bool {
        self.groups.iter().any(|g| g.state == State::Ready)
    }

    /// Moves `lanes` out of group `index` into a group of their own at `pc`. The index stays valid.
    pub fn split(&mut self, index: usize, lanes: Lanes, pc: u32) {
        let group = &mut self.groups[index];
        group.lanes &= !lanes;
        let mut other = group.clone();
        other.lanes = lanes;
        other.pc = pc;
        other.state = State::Ready;
        other.woken = false;
        self.groups.push(other);
    }

    /// Merges the other groups that stand where group `index` stands into it. Returns its new
    /// index.
    pub fn merge(&mut self, index: usize) -> usize {
        let mut index = index;
        let mut at = 0;
        while at < self.groups.len() {
            let (a, b) = (&self.groups[index], &self.groups[at]);
            let meets = at != index
                && a.pc == b.pc
                && a.stack == b.stack
                && !a.woken
                && !b.woken
                && matches!(b.state, State::Ready | State::Gather);
            if meets {
                let lanes = b.lanes;
                self.groups[index].lanes |= lanes;
                let last = self.groups.len() - 1;
                self.groups.swap_remove(at);
                if index == last {
                    index = at;
                }
            } else {
                at += 1;
            }
        }
        index
    }

    /// Lanes leave for good. Groups that waited for them look again.
    pub fn exit(&mut self, index: usize, lanes: Lanes) {
        self.live &= !lanes;
        self.groups[index].lanes &= !lanes;
        if self.groups[index].lanes == 0 {
            self.groups.swap_remove(index);
        }
        for group in &mut self.groups {
            if group.state == State::Gather {
                group.state = State::Ready;
            }
        }
    }
}

/// The lanes of a mask, lowest first.
#[inline]
pub fn each(mut lanes: Lanes) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (lanes != 0).then(|| {
            let lane = lanes.trailing_zeros();
            lanes &= lanes - 1;
            lane
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_split_merge_and_exit() {
        let regs = Registers::new(1, 1);
        let mut warp = Warp::new((0, [0; 3]), (0, 0), u32::MAX, regs, (0, 0, 0));
        warp.split(0, 0xff, 7);
        assert_eq!(warp.groups.len(), 2);
        warp.groups[0].pc = 7;
        let index = warp.merge(1);
        assert_eq!((warp.groups.len(), warp.groups[index].lanes), (1, u32::MAX));
        warp.split(0, 1, 9);
        warp.groups[0].state = State::Gather;
        warp.exit(1, 1);
        assert_eq!((warp.live, warp.groups.len()), (0xffff_fffe, 1));
        assert!(warp.ready());
    }

    #[test]
    fn groups_of_operations() {
        let mut groups = Groups { open: vec![1, 2], ..Groups::default() };
        groups.commit();
        groups.open.push(3);
        groups.commit();
        assert_eq!(groups.due(1).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(groups.due(0).count(), 3);
        groups.prune(|t| t < 3);
        assert_eq!(groups.committed.len(), 1);
    }
}
