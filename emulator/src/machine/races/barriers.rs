//! mbarriers: who made them, who uses them, and whether each arrival can belong to no other phase than
//! the one in which it was counted, and each wait can miss none.

use super::{Checked, Detector, Meeting, StreamKind};
use crate::error::{Actor, Fault, FaultKind};
use crate::machine::clock::{Agent, Clocks};
use crate::machine::shadow::{Path, Record};
use crate::machine::shared::address_of;
use crate::machine::warp::each;

/// An `mbarrier.init`, which is an access like others.
#[derive(Debug, Clone)]
pub(super) struct Init {
    warp: Agent,
    clock: u32,
    /// The warp's clock at its `fence.mbarrier_init`.
    fenced: Option<u32>,
    by: Actor,
    /// The agent of the operations that signal the barrier.
    pub(super) agent: Agent,
    /// The warps that have seen the last phase complete: since when.
    waiters: Vec<Waiter>,
    /// The arrivals of this phase and of the one before.
    arrivals: [Vec<Event>; 2],
}

/// An arrival: an event of an agent.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    agent: Agent,
    clock: u32,
    /// The instruction that made it.
    instruction: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    warp: Agent,
    clock: u32,
    by: Actor,
}

impl Detector {
    /// `fence.mbarrier_init`.
    pub fn init_fence(&mut self) {
        let (id, now) = (self.current, self.now());
        for init in self.inits.values_mut().filter(|i| i.warp == id && i.fenced.is_none()) {
            init.fenced = Some(now);
        }
        self.me().known.inits.raise(id, now);
        self.tick();
    }

    /// `mbarrier.init`.
    pub fn init(&mut self, place: (u32, u32), by: Actor) -> Checked {
        self.touch_barrier(place, true, by)?;
        let (warp, clock, agent) = (self.current, self.now(), self.agents);
        let (waiters, arrivals) = Default::default();
        let init = Init { warp, clock, fenced: None, by, agent, waiters, arrivals };
        self.agents += 1;
        self.inits.insert(place, init);
        self.meetings.remove(&Meeting::Mbarrier(place.0, place.1));
        Ok(())
    }

    /// `mbarrier.inval`.
    pub fn invalidate(&mut self, place: (u32, u32), by: Actor) -> Checked {
        self.check_made(place, false, by)?;
        self.inits.remove(&place);
        self.touch_barrier(place, true, by)
    }

    fn touch_barrier(&mut self, (rank, offset): (u32, u32), write: bool, by: Actor) -> Checked {
        let record = self.record(Path::Barrier, write, by);
        self.touch_shared(rank, offset, 8, &record)
    }

    /// A use of an mbarrier by a thread.
    pub fn use_barrier(&mut self, place: (u32, u32), by: Actor) -> Checked {
        self.check_made(place, false, by)?;
        match self.inits.contains_key(&place) {
            true => self.touch_barrier(place, false, by),
            false => Ok(()),
        }
    }

    /// That an mbarrier was made before a thread, or the async proxy on its behalf, uses it.
    pub fn check_made(&self, (rank, offset): (u32, u32), asynchronous: bool, by: Actor) -> Checked {
        let Some(init) = self.inits.get(&(rank, offset)) else { return Ok(()) };
        let known = &self.warps[self.current as usize].known;
        let made = known.seen.get(init.warp).max(known.inits.get(init.warp));
        let missing = if made < init.clock {
            "no barrier orders the two"
        } else if asynchronous
            && self.strict
            && known.fenced.get(init.warp) < init.clock
            && init.fenced.is_none_or(|fence| made < fence)
        {
            "fence.mbarrier_init is missing between the two, and this use is the async proxy's"
        } else {
            return Ok(());
        };
        let message = format!(
            "use of the mbarrier at shared {offset:#x}, initialised on line {}: {missing}",
            init.by.line
        );
        let fault = Fault::new(FaultKind::Race, message)
            .at(address_of(rank, offset).into())
            .by(by)
            .against(init.by);
        Err(Box::new(fault))
    }

    /// A thread arrives at an mbarrier, or expects bytes of it, in a phase.
    pub fn arrive(&mut self, place: (u32, u32), phase: u64, by: Actor) -> Checked {
        self.use_barrier(place, by)?;
        self.check_phase(place, phase, None, by)?;
        let event = self.event(self.current, self.now());
        self.arrived(place, event);
        Ok(())
    }

    pub(super) fn event(&self, agent: Agent, clock: u32) -> Event {
        Event { agent, clock, instruction: self.instructions }
    }

    /// Notes an arrival.
    pub fn arrived(&mut self, place: (u32, u32), event: Event) {
        if let Some(init) = self.inits.get_mut(&place) {
            init.arrivals[0].push(event);
        }
    }

    /// That who arrives in a phase, or has bytes counted in it, knows the one before to be over: else it
    /// may as well be counted there. `clocks`: what an asynchronous arrival knew when it was issued.
    pub fn check_phase(
        &self,
        (rank, offset): (u32, u32),
        phase: u64,
        clocks: Option<&Clocks>,
        by: Actor,
    ) -> Checked {
        let Some(init) = self.inits.get(&(rank, offset)) else { return Ok(()) };
        let known = clocks.unwrap_or(&self.warps[self.current as usize].known);
        // The lanes of one instruction do not know of each other.
        let knows = |event: &Event| {
            known.seen.get(event.agent) >= event.clock
                && (clocks.is_some() || event.instruction != self.instructions)
        };
        let [_, before] = &init.arrivals;
        if u64::from(known.seen.get(init.agent)) >= phase
            || !before.is_empty() && before.iter().all(knows)
        {
            return Ok(());
        }
        let message = format!(
            "an arrival in phase {phase} of the mbarrier at shared {offset:#x} (initialised on line {}) \
             by who has not learned that phase {} is over: it may be counted there",
            init.by.line,
            phase - 1
        );
        let fault = Fault::new(FaultKind::BarrierMisuse, message).by(by).against(init.by);
        Err(Box::new(fault.at(address_of(rank, offset).into())))
    }

    /// The warp's wait has found the barrier's last phase complete.
    pub fn looked(&mut self, place: (u32, u32), by: Actor) {
        let (warp, clock) = (self.current, self.now());
        let Some(init) = self.inits.get_mut(&place) else { return };
        let new = Waiter { warp, clock, by };
        match init.waiters.iter_mut().find(|waiter| waiter.warp == warp) {
            Some(waiter) => *waiter = new,
            None => init.waiters.push(new),
        }
    }

    /// A phase is over, of so many with it: those who have seen the one before complete must have done
    /// so by now in every schedule, or they may miss it.
    pub fn phase_over(&mut self, place: (u32, u32), phases: u64, by: Actor) -> Checked {
        let Some(init) = self.inits.get_mut(&place) else { return Ok(()) };
        let waiters = std::mem::take(&mut init.waiters);
        init.arrivals.swap(0, 1);
        init.arrivals[0].clear();
        let (rank, offset) = place;
        let arrived = self.meetings.get(&Meeting::Mbarrier(rank, offset));
        let arrived = arrived.map(|phase| phase.acquire(phases));
        let late = |waiter: &&Waiter| {
            arrived.is_none_or(|clocks| {
                clocks.seen.get(waiter.warp).max(clocks.reached.get(waiter.warp)) < waiter.clock
            })
        };
        // Shipped kernels have warps wait that nobody waits for, and trust them not to be that late.
        if !self.strict {
            return Ok(());
        }
        let Some(waiter) = waiters.iter().find(late) else { return Ok(()) };
        let message = format!(
            "phase {} of the mbarrier at shared {offset:#x} is over, and nothing says that the wait of \
             line {} has looked before: it may miss the phase it waits for",
            phases - 1,
            waiter.by.line
        );
        let fault = Fault::new(FaultKind::Race, message).by(by).against(waiter.by);
        Err(Box::new(fault.at(address_of(rank, offset).into())))
    }

    /// The shared memory of a CTA is no more: what others, or asynchronous operations, do there must be
    /// over, by what its warps know.
    pub fn end_cta(&mut self, rank: u32, by: Actor) -> Checked {
        let ctas = self.place.cluster.iter().product::<u32>();
        let per_cta = self.places.len() as u32 / ctas;
        let own = rank * per_cta..(rank + 1) * per_cta;
        let mut known = Clocks::default();
        for warp in own.clone() {
            let warp = &self.warps[warp as usize].known;
            known.seen.join(&warp.seen);
            known.reached.join(&warp.reached);
        }
        let over = |record: &Record| {
            // A thread that has come further has read what it read, whether or not it hands that over.
            let read = !record.write && record.path.is_generic() && record.path != Path::CpAsync;
            own.contains(&record.agent)
                || known.seen.get(record.agent) >= record.clock
                || read && known.reached.get(record.agent) >= record.clock
        };
        let Some((cell, record)) = self.shared[rank as usize].find(|record| !over(record)) else {
            return Ok(());
        };
        let at = cell as u32 * 16 + record.mask.trailing_zeros();
        let message = format!(
            "the CTA ends, and nothing says that the {} ({}) of line {} is over, which uses its shared \
             memory at {at:#x}",
            if record.write { "write" } else { "read" },
            record.path.name(),
            record.line
        );
        let other = self.actor(&record);
        let fault = Fault::new(FaultKind::Unfinished, message).by(by).against(other);
        Err(Box::new(fault.at(address_of(rank, at).into())))
    }

    /// Lanes leave: the hardware keeps shared memory for what their bulk stores still read.
    pub fn stores_kept(&mut self, lanes: u32) {
        for lane in each(lanes) {
            if let Some(stream) = self.streams.get(&(StreamKind::Bulk, self.current, lane)) {
                let (agent, issued) = (stream.agent, stream.issued);
                self.me().known.seen.raise(agent, issued);
            }
        }
    }
}
