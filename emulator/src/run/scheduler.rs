//! The schedule of one cluster: which warp runs, for how long, and when asynchronous work advances.
//!
//! Every choice is drawn from the seed. A run has a *temperament*, so that a few seeds meet the
//! extremes as well as the middle: asynchronous work that is as late as it can be, as early as it
//! can be, and anything between; warps that take turns fairly, and warps that are starved.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::{Options, Ordering, Stats};
use crate::asyncs::{self, Queue};
use crate::error::{Fault, FaultKind};
use crate::exec;
use crate::machine::cluster::{Cta, Env, Space};
use crate::machine::mbarrier::Mbarriers;
use crate::machine::named_barrier::{ClusterBarrier, NamedBarrier};
use crate::machine::races::{Detector, Place};
use crate::machine::registers::Registers;
use crate::machine::shared::{self, SharedMemory};
use crate::machine::tmem::TensorMemory;
use crate::machine::warp::{Block, State, Warp};

/// When asynchronous work advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Only when no warp can run (and once in a while, for the sake of warps that poll).
    Lazy,
    /// Completely, after every turn of a warp.
    Eager,
    /// Some steps after some turns.
    Mixed,
}

/// The character of a run.
#[derive(Debug)]
struct Temperament {
    pace: Pace,
    /// Longest turn of a warp, in instructions.
    turn: u32,
    /// Warps run by a priority list that changes now and then, instead of by lot.
    priorities: Option<Vec<u32>>,
    /// A CTA that does not start before all others have to wait.
    late: Option<u32>,
}

impl Temperament {
    fn new(selector: u64, warps: usize, ctas: u32, rng: &mut SmallRng) -> Self {
        let pace = match selector % 3 {
            0 => Pace::Mixed,
            1 => Pace::Lazy,
            _ => Pace::Eager,
        };
        let turn = [2, 16, 64, 512][rng.random_range(0..4)];
        let priorities = rng.random_bool(0.5).then(|| {
            let mut order: Vec<u32> = (0..warps as u32).collect();
            order.shuffle(rng);
            order
        });
        let late = (ctas > 1 && rng.random_bool(0.5)).then(|| rng.random_range(0..ctas));
        Temperament { pace, turn, priorities, late }
    }
}

/// Turns after which a lazy queue advances by a step although warps can run.
const LAZY_PATIENCE: u32 = 256;

/// After so many turns those who wait for everybody else go on all the same.
const IDLE_PATIENCE: u64 = 1 << 16;

/// How often all sleepers may give up in a row, with nothing else happening, before it counts as a
/// deadlock.
const FRUITLESS_ROUNDS: u32 = 4;

/// One cluster and its warps.
#[derive(Debug)]
pub(super) struct ClusterRun {
    pub(super) space: Space,
    warps: Vec<Warp>,
    temperament: Temperament,
    seen_events: u64,
    fruitless: u32,
    turns: u32,
    /// Turns taken by warps.
    taken: u64,
    ready: Vec<u32>,
}

impl ClusterRun {
    /// A cluster about to start.
    pub(super) fn new(
        env: &Env<'_>,
        cluster_id: [u32; 3],
        shared_bytes: u32,
        races: Option<Place>,
        selector: u64,
        seed: u64,
    ) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let threads: u32 = env.block.iter().product();
        let warps_per_cta = threads.div_ceil(32);
        let ctas: u32 = env.cluster.iter().product();
        let mut warps = vec![];
        let mut spaces = vec![];
        for rank in 0..ctas {
            let [x, y, _] = env.cluster;
            let inner = [rank % x, rank / x % y, rank / (x * y)];
            let id = std::array::from_fn(|i| cluster_id[i] * env.cluster[i] + inner[i]);
            for index in 0..warps_per_cta {
                let lanes = (threads - index * 32).min(32);
                let launched = u32::MAX >> (32 - lanes);
                let kernel = env.kernel;
                let mut regs = Registers::new(kernel.slots as usize, kernel.preds as usize);
                if env.ordering == Ordering::Hardware {
                    // Whatever the hardware's registers happen to hold: a result that depends on it
                    // differs from seed to seed.
                    for &slot in &kernel.undefined {
                        regs.set(slot as usize, launched, &rng.random());
                    }
                }
                let local = (kernel.local_bytes, kernel.stack_bytes, kernel.frame_bytes);
                let number = (index, rank * warps_per_cta + index);
                warps.push(Warp::new((rank, id), number, launched, regs, local));
            }
            spaces.push(Cta {
                id,
                shared: SharedMemory::new(rank, shared_bytes),
                mbarriers: Mbarriers::default(),
                named: vec![NamedBarrier::default(); 16],
                tmem: TensorMemory::default(),
                pair_allocations: 0,
                warpgroups: Default::default(),
                free_registers: 0,
                live_warps: warps_per_cta,
                ended: false,
            });
        }
        let temperament = Temperament::new(selector, warps.len(), ctas, &mut rng);
        let impatience = rng.random_range(2..4);
        let space = Space {
            impatience,
            ctas: spaces,
            queue: Queue::default(),
            barrier: ClusterBarrier::default(),
            live: threads * ctas,
            cta_group: None,
            issued: Default::default(),
            rng,
            stats: Stats::default(),
            events: 0,
            scratch: vec![],
            cluster_id,
            unstarted: vec![],
            races: None,
        };
        let mut space = space;
        if let Some(place) = races {
            let places = warps.iter().map(|w| (w.cta, w.index)).collect();
            let strict = env.ordering == Ordering::Strict;
            space.races = Some(Box::new(Detector::new(places, place, strict)));
            space.ctas.iter_mut().for_each(|cta| cta.shared.log_touches());
        }
        let ready = vec![];
        ClusterRun {
            space,
            warps,
            temperament,
            seen_events: 0,
            fruitless: 0,
            turns: 0,
            taken: 0,
            ready,
        }
    }

    /// How many warps there are.
    pub(super) fn warps(&self) -> u32 {
        self.warps.len() as u32
    }

    /// Counts so far.
    pub(super) fn stats(&self) -> Stats {
        Stats { ctas: self.space.ctas.len() as u64, ..self.space.stats }
    }

    /// Runs for so many turns; `true` when every thread has exited and nothing is in flight.
    pub(super) fn advance(
        &mut self,
        env: &Env<'_>,
        options: &Options,
        turns: u32,
    ) -> Result<bool, Box<Fault>> {
        for _ in 0..turns {
            self.wake();
            self.ready.clear();
            let late = self.temperament.late;
            let may_run = |w: &&Warp| w.ready() && Some(w.rank) != late;
            self.ready.extend(self.warps.iter().filter(may_run).map(|w| w.id));
            if self.ready.is_empty() && late.is_some() {
                self.temperament.late = None;
                continue;
            }
            if self.ready.is_empty() {
                if asyncs::step(&mut self.space, env)? {
                    self.fruitless = 0;
                    continue;
                }
                if self.space.live == 0 {
                    return Ok(true);
                }
                if self.release_idle() {
                    continue;
                }
                self.give_up_sleeping(env)?;
                continue;
            }
            let chosen = self.choose() as usize;
            let budget = self.space.rng.random_range(1..=self.temperament.turn);
            exec::run(env, &mut self.space, &mut self.warps[chosen], budget)?;
            if self.space.stats.instructions > options.instruction_limit {
                return Err(self.stuck(
                    env,
                    FaultKind::Livelock,
                    format!("more than {} instructions in one cluster", options.instruction_limit),
                ));
            }
            self.advance_queue(env)?;
            self.disturb();
            self.taken += 1;
            if self.taken.is_multiple_of(IDLE_PATIENCE) {
                self.release_idle();
            }
        }
        Ok(false)
    }

    /// Groups whose wait is over become ready.
    fn wake(&mut self) {
        if self.space.events == self.seen_events {
            return;
        }
        self.seen_events = self.space.events;
        for warp in &mut self.warps {
            for index in 0..warp.groups.len() {
                let over = match &warp.groups[index].state {
                    State::Blocked(block) => self.space.satisfied(block, warp),
                    _ => false,
                };
                if over {
                    warp.groups[index].state = State::Ready;
                    warp.groups[index].woken = true;
                }
            }
        }
    }

    fn choose(&mut self) -> u32 {
        let rng = &mut self.space.rng;
        if let Some(order) = &mut self.temperament.priorities {
            if rng.random_ratio(1, 64) {
                order.shuffle(rng);
            }
            if let Some(first) = order.iter().find(|id| self.ready.contains(id)) {
                return *first;
            }
        }
        self.ready[rng.random_range(0..self.ready.len())]
    }

    fn advance_queue(&mut self, env: &Env<'_>) -> Result<(), Box<Fault>> {
        let space = &mut self.space;
        if space.queue.is_empty() {
            return Ok(());
        }
        match self.temperament.pace {
            Pace::Lazy => {
                self.turns += 1;
                if self.turns >= LAZY_PATIENCE {
                    self.turns = 0;
                    asyncs::step(space, env)?;
                }
            }
            Pace::Eager => while asyncs::step(space, env)? {},
            Pace::Mixed => {
                for _ in 0..space.rng.random_range(0..4u32) {
                    asyncs::step(space, env)?;
                }
            }
        }
        Ok(())
    }

    /// Lets those go on who wait for everybody else.
    fn release_idle(&mut self) -> bool {
        let groups = self.warps.iter_mut().flat_map(|warp| &mut warp.groups);
        let mut any = false;
        for group in groups.filter(|group| group.state == State::Blocked(Block::Idle)) {
            group.state = State::Ready;
            group.woken = true;
            any = true;
        }
        any
    }

    /// Now and then a sleeping `try_wait` returns false before its phase is complete, as it may.
    fn disturb(&mut self) {
        if !self.space.rng.random_ratio(1, 256) {
            return;
        }
        let chosen = self.space.rng.random_range(0..self.warps.len());
        for group in &mut self.warps[chosen].groups {
            if matches!(group.state, State::Blocked(Block::Mbarrier(_))) {
                group.state = State::Ready;
                group.timed_out = true;
            }
        }
    }

    /// Nothing can run and nothing is in flight: sleepers on mbarriers give up, which a program may
    /// have an answer to; if that leads nowhere, it is a deadlock.
    fn give_up_sleeping(&mut self, env: &Env<'_>) -> Result<(), Box<Fault>> {
        self.fruitless += 1;
        let mut any = false;
        if self.fruitless <= FRUITLESS_ROUNDS {
            for group in self.warps.iter_mut().flat_map(|w| &mut w.groups) {
                if matches!(group.state, State::Blocked(Block::Mbarrier(_))) {
                    group.state = State::Ready;
                    group.timed_out = true;
                    any = true;
                }
            }
        }
        if any || env.ordering == Ordering::Hardware && self.forgive_lapped() {
            return Ok(());
        }
        let message = "nothing can run any more: every warp waits and nothing is in flight";
        Err(self.stuck(env, FaultKind::Deadlock, message.to_owned()))
    }

    /// A wait by parity is for ever if the barrier goes on by two phases before the warp comes to
    /// it. The written guarantee has nothing against that; real warps are never so late, and some
    /// compilers let idle ones follow the barriers of the busy without holding these up.
    fn forgive_lapped(&mut self) -> bool {
        let mut any = false;
        for warp in &mut self.warps {
            for index in 0..warp.groups.len() {
                let State::Blocked(Block::Mbarrier(waits)) = &warp.groups[index].state else {
                    continue;
                };
                if waits.iter().all(|wait| warp.is_lapped(wait)) {
                    warp.groups[index].state = State::Ready;
                    warp.groups[index].woken = true;
                    any = true;
                }
            }
        }
        if any {
            self.fruitless = 0;
        }
        any
    }

    /// A fault with the table of who waits for what.
    fn stuck(&self, env: &Env<'_>, kind: FaultKind, message: String) -> Box<Fault> {
        let line = |pc: u32| env.kernel.instrs[pc as usize].line;
        let mut fault = Fault::new(kind, message);
        for warp in &self.warps {
            for group in &warp.groups {
                if fault.actor.is_none() {
                    fault.actor = Some(warp.actor(line(group.pc)));
                }
                let [x, y, z] = warp.cta;
                fault.notes.push(format!(
                    "CTA ({x},{y},{z}) warp {} lanes {:#010x} line {}: {}",
                    warp.index,
                    group.lanes,
                    line(group.pc),
                    self.reason(&group.state, warp)
                ));
            }
        }
        Box::new(fault)
    }

    fn reason(&self, state: &State, warp: &Warp) -> String {
        match state {
            State::Ready => "can run".to_owned(),
            State::Gather => {
                format!("waits for the other live lanes of its warp ({:#010x})", warp.live)
            }
            State::Blocked(Block::Mbarrier(waits)) => {
                let one = |rank: u32, offset: u32| {
                    let address = shared::address_of(rank, offset);
                    match self.space.ctas[rank as usize].mbarriers.get(offset) {
                        Some(b) => format!(
                            "mbarrier {address:#x}, in phase {}, which misses {} of {} arrivals and \
                             {} bytes",
                            b.phase, b.pending, b.expected, b.transactions
                        ),
                        None => format!("mbarrier {address:#x}, which is gone"),
                    }
                };
                let waits: Vec<String> = waits.iter().map(|w| one(w.rank, w.offset)).collect();
                format!("waits for {}", waits.join("; "))
            }
            State::Blocked(Block::Named { id, .. }) => {
                let cta = &self.space.ctas[warp.rank as usize];
                let barrier = &cta.named[*id as usize];
                let expected = barrier.expected.unwrap_or(cta.live_warps * 32);
                format!("waits at barrier {id}: {} of {expected} threads", barrier.arrived)
            }
            State::Blocked(Block::Cluster { .. }) => format!(
                "waits at the cluster barrier: {} of {} threads",
                self.space.barrier.arrived, self.space.live
            ),
            State::Blocked(Block::TensorMemory { columns }) => {
                format!("waits for {columns} free columns of tensor memory")
            }
            State::Blocked(Block::Idle) => "waits for everybody else".to_owned(),
            State::Blocked(Block::Pair { .. }) => {
                "waits for the other CTA of its pair to come to its tcgen05.alloc".to_owned()
            }
            State::Blocked(Block::Registers { count }) => format!(
                "waits for {count} registers more for each thread; {} are released",
                self.space.ctas[warp.rank as usize].free_registers
            ),
            State::Blocked(Block::Warpgroup { groups }) => {
                let cta = &self.space.ctas[warp.rank as usize];
                let behind =
                    cta.warpgroups.get(&(warp.index / 4)).map(|group| group.behind(*groups));
                let first = warp.index / 4 * 4;
                let behind = behind
                    .unwrap_or_default()
                    .iter()
                    .map(|&w| first + w as u32)
                    .collect::<Vec<_>>();
                format!(
                    "waits for the wgmma group {groups} of its warpgroup, which warps {behind:?} have not committed"
                )
            }
            State::Blocked(Block::Tickets { tickets, .. }) => {
                format!("waits for {} asynchronous operations", tickets.len())
            }
        }
    }
}
