//! Happens-before: every access to shared, tensor and global memory is compared with the conflicting
//! ones before it, by vector clocks, whatever the schedule happened to be.
//!
//! The parties are warps (their lanes count as one, but see [`Detector::warp_sync`]) and streams of
//! asynchronous operations. An asynchronous operation enters the record when it is issued, with the
//! clock of the event that announces its completion: the phase of an mbarrier, or a number in a
//! stream that commits and waits refer to. Whoever has not acquired that event conflicts with it,
//! be the operation long over.

mod barriers;
mod global;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use global::{Access, Before, Global, MAX_BYTES, Values, conflict};

pub use barriers::Event;
use barriers::Init;

use super::clock::{Agent, Clock, Clocks, PhaseClocks};
use super::shadow::{Path, Record, SEVERAL_LANES, Shadow};
use super::shared::address_of;
use super::tmem::LaneSet;
use crate::error::{Actor, Fault, FaultKind};

/// A stream of asynchronous operations of one warp or thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// `tcgen05.mma`, `cp` and `shift` of a thread.
    Tensor,
    /// `tcgen05.ld` of a warp.
    TmemLoad,
    /// `tcgen05.st` of a warp.
    TmemStore,
    /// Bulk copies out of shared memory, of a thread: their reads.
    Bulk,
    /// Bulk copies out of shared memory, of a thread: their writes.
    BulkWrites,
    /// `cp.async` of the lanes that issue together, named by the first.
    CpAsync,
    /// `wgmma` of a warp.
    Wgmma,
}

/// Something that threads arrive at and wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meeting {
    /// An mbarrier: CTA rank and offset.
    Mbarrier(u32, u32),
    /// A named barrier: CTA rank and number.
    Named(u32, u32),
    /// The cluster barrier.
    Cluster,
    /// Strong accesses to 16 bytes of shared memory: CTA rank, and offset by sixteen.
    Shared(u32, u32),
}

#[derive(Debug)]
struct Stream {
    agent: Agent,
    issued: u32,
    commits: Vec<u32>,
    /// The warp's clock at each commit of `wgmma`.
    reached: Vec<u32>,
}

#[derive(Debug, Default)]
struct WarpClocks {
    known: Clocks,
    /// `tcgen05` accesses that come before those of this warp.
    tensor: Clock,
    /// The warp's own events that all of its lanes know of.
    lanes: u32,
}

/// A range of shared memory touched by an instruction through the generic proxy.
#[derive(Debug, Clone, Copy)]
pub struct Touch {
    /// Offset.
    pub start: u32,
    /// Bytes.
    pub len: u32,
    /// Whether it is a write.
    pub write: bool,
    /// Whether it wrote what was there before.
    pub silent: bool,
    /// Lane.
    pub lane: u8,
}

/// What an access of tensor memory touches.
#[derive(Debug, Clone, Copy)]
pub struct Cells {
    /// First column and number of columns.
    pub columns: (u32, u32),
    /// Lanes.
    pub lanes: LaneSet,
    /// Whether it writes.
    pub write: bool,
}

/// Where a cluster is in its grid, for those who know it by its index.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Index of the cluster.
    pub index: u32,
    /// Clusters of the grid.
    pub clusters: [u32; 3],
    /// CTAs of a cluster.
    pub cluster: [u32; 3],
}

/// The clocks and records of one cluster.
#[derive(Debug)]
pub struct Detector {
    /// Take the ISA at its word: `tcgen05` fences, `fence.mbarrier_init`, `bar.warp.sync`.
    strict: bool,
    place: Place,
    /// Accesses to global memory: of this cluster, or of all that run by turns.
    pub global: Global,
    /// The launch before, if it may still run.
    pub before: Option<Arc<Before>>,
    /// The warp that is executing.
    pub current: u32,
    /// Instructions so far.
    pub instructions: u64,
    /// Room for the accesses of one instruction.
    pub touches: Vec<Touch>,
    /// CTA and index of each warp.
    places: Vec<([u32; 3], u32)>,
    warps: Vec<WarpClocks>,
    streams: BTreeMap<(StreamKind, u32, u32), Stream>,
    agents: Agent,
    meetings: HashMap<Meeting, PhaseClocks>,
    inits: HashMap<(u32, u32), Init>,
    shared: Vec<Shadow>,
    tmem: Vec<Shadow>,
}

type Checked<T = ()> = Result<T, Box<Fault>>;

impl Detector {
    /// A cluster with these warps (CTA and index of each).
    pub fn new(places: Vec<([u32; 3], u32)>, place: Place, strict: bool) -> Self {
        let ctas = place.cluster.iter().product();
        let mut warps = vec![];
        for id in 0..places.len() as u32 {
            let mut clocks = WarpClocks::default();
            clocks.known.seen.raise(id, 1);
            warps.push(clocks);
        }
        Detector {
            strict,
            place,
            global: Global::default(),
            before: None,
            current: 0,
            instructions: 0,
            touches: vec![],
            // One more than there are warps: the launch before.
            agents: places.len() as u32 + 1,
            places,
            warps,
            streams: BTreeMap::new(),
            meetings: HashMap::new(),
            inits: HashMap::new(),
            shared: (0..ctas).map(|_| Shadow::default()).collect(),
            tmem: (0..ctas).map(|_| Shadow::default()).collect(),
        }
    }

    fn me(&mut self) -> &mut WarpClocks {
        &mut self.warps[self.current as usize]
    }

    fn now(&self) -> u32 {
        self.warps[self.current as usize].known.seen.get(self.current)
    }

    /// What the warp does from now on is not covered by what it handed over.
    fn tick(&mut self) {
        let (id, next) = (self.current, self.now() + 1);
        self.me().known.seen.raise(id, next);
    }

    fn stream(&mut self, kind: StreamKind, lane: u32) -> &mut Stream {
        let agents = &mut self.agents;
        self.streams.entry((kind, self.current, lane)).or_insert_with(|| {
            *agents += 1;
            Stream { agent: *agents - 1, issued: 0, commits: vec![], reached: vec![] }
        })
    }

    // Synchronisation.

    /// The warp arrives at a meeting that has completed `generation` times.
    pub fn release(&mut self, meeting: Meeting, generation: u64) {
        let known = &self.warps[self.current as usize].known;
        self.meetings.entry(meeting).or_default().release(generation, known);
        self.tick();
    }

    /// The warp arrives by an arrival that hands over only what fences came after.
    pub fn release_relaxed(&mut self, meeting: Meeting, generation: u64) {
        if !self.strict {
            return self.release(meeting, generation);
        }
        let known = &self.warps[self.current as usize].known;
        let mut clocks = Clocks { inits: known.inits.clone(), ..Clocks::default() };
        clocks.seen.join(&known.handed);
        clocks.seen.join(&known.near);
        clocks.fenced.join(&clocks.seen);
        clocks.carried = known.carried.clone();
        clocks.reached.raise(self.current, known.seen.get(self.current));
        self.meetings.entry(meeting).or_default().release(generation, &clocks);
        self.tick();
    }

    /// An asynchronous arrival with clocks taken at issue.
    pub fn release_with(&mut self, meeting: Meeting, generation: u64, clocks: &Clocks) {
        self.meetings.entry(meeting).or_default().release(generation, clocks);
    }

    /// The warp has seen a meeting complete for the `generation`th time.
    pub fn acquire(&mut self, meeting: Meeting, generation: u64) {
        let warp = &mut self.warps[self.current as usize];
        if let Some(clocks) = self.meetings.get(&meeting) {
            let clocks = clocks.acquire(generation);
            warp.lanes = warp.lanes.max(clocks.seen.get(self.current));
            warp.known.join(clocks);
        }
        if let Meeting::Mbarrier(rank, offset) = meeting
            && let Some(init) = self.inits.get(&(rank, offset))
        {
            warp.known.seen.raise(init.agent, generation as u32);
        }
    }

    /// A strong access: it takes over what earlier ones left, and leaves what the warp knows.
    pub fn strong(&mut self, meeting: Meeting, reads: bool, writes: bool) {
        if reads {
            self.acquire(meeting, 1);
        }
        if writes {
            self.release(meeting, 0);
        }
    }

    /// `bar.warp.sync`: the lanes know of each other's accesses.
    pub fn warp_sync(&mut self) {
        let now = self.now();
        self.me().lanes = now;
        self.tick();
    }

    /// `fence.proxy.async`, for shared and for global memory.
    pub fn proxy_fence(&mut self, shared: bool, global: bool) {
        let known = &mut self.me().known;
        if shared {
            known.fenced.join(&known.seen);
        }
        if global {
            known.fenced_global.join(&known.seen);
        }
        self.tick();
    }

    /// `tcgen05.fence::before_thread_sync`.
    pub fn before_thread_sync(&mut self) {
        let warp = self.me();
        warp.known.carried.join(&warp.tensor);
    }

    /// `tcgen05.fence::after_thread_sync`.
    pub fn after_thread_sync(&mut self) {
        let warp = self.me();
        warp.tensor.join(&warp.known.carried);
    }

    /// `tcgen05.wait::ld` or `wait::st`.
    pub fn tmem_wait(&mut self, kind: StreamKind) {
        let stream = self.stream(kind, 0);
        let (agent, issued) = (stream.agent, stream.issued);
        let warp = self.me();
        warp.known.seen.raise(agent, issued);
        warp.tensor.raise(agent, issued);
    }

    /// The registers of all `tcgen05.ld` but the newest `open` have been used, under `hardware`
    /// ordering.
    pub fn tmem_delivered(&mut self, open: u32) {
        let stream = self.stream(StreamKind::TmemLoad, 0);
        let (agent, clock) = (stream.agent, stream.issued - open);
        let warp = self.me();
        warp.known.seen.raise(agent, clock);
        warp.tensor.raise(agent, clock);
    }

    /// Closes the open group of the streams of some lanes.
    pub fn commit_group(&mut self, kind: StreamKind, lanes: u32) {
        if kind == StreamKind::Wgmma {
            // Its groups are counted from the start, empty ones too.
            self.stream(kind, 0);
        }
        let now = self.now();
        for lane in super::warp::each(lanes) {
            if let Some(stream) = self.streams.get_mut(&(kind, self.current, lane)) {
                stream.commits.push(stream.issued);
                if kind == StreamKind::Wgmma {
                    stream.reached.push(now);
                }
            }
        }
    }

    /// Waits for all but the newest `pending` groups of some lanes.
    pub fn wait_group(&mut self, kind: StreamKind, lanes: u32, pending: u32) {
        for lane in super::warp::each(lanes) {
            let Some(stream) = self.streams.get_mut(&(kind, self.current, lane)) else { continue };
            let due = stream.commits.len().saturating_sub(pending as usize);
            if due > 0 {
                let (agent, clock) = (stream.agent, stream.commits[due - 1]);
                stream.commits.drain(..due);
                self.warps[self.current as usize].known.seen.raise(agent, clock);
            }
        }
    }

    /// The first `groups` `wgmma` groups of the four warps from `first` on are over.
    pub fn wait_warpgroup(&mut self, first: Agent, groups: usize) {
        for warp in first..first + 4 {
            let Some(stream) = self.streams.get(&(StreamKind::Wgmma, warp, 0)) else { continue };
            let groups = groups.min(stream.commits.len());
            if let Some(&clock) = stream.commits[..groups].last() {
                let (agent, reached) = (stream.agent, stream.reached[groups - 1]);
                let known = &mut self.me().known;
                known.seen.raise(agent, clock);
                // The four warps multiply together: all have come to where they committed.
                known.reached.raise(warp, reached);
            }
        }
    }

    /// What a `tcgen05.commit` of a thread announces.
    pub fn commit(&mut self, lane: u32) -> (Clocks, Event) {
        let stream = self.stream(StreamKind::Tensor, lane);
        stream.issued += 1;
        let (agent, issued) = (stream.agent, stream.issued);
        let warp = self.me();
        let mut clocks = warp.known.clone();
        // A commit implies before_thread_sync.
        clocks.carried.join(&warp.tensor);
        clocks.carried.raise(agent, issued);
        clocks.seen.raise(agent, issued);
        let event = self.event(agent, issued);
        self.tick();
        (clocks, event)
    }

    /// What a `cp.async.mbarrier.arrive` announces.
    pub fn copies_so_far(&mut self, lanes: u32) -> (Clocks, Event) {
        let mut clocks = self.me().known.clone();
        for lane in super::warp::each(lanes) {
            if let Some(stream) = self.streams.get(&(StreamKind::CpAsync, self.current, lane)) {
                clocks.seen.raise(stream.agent, stream.issued);
            }
        }
        let event = self.event(self.current, self.now());
        self.tick();
        (clocks, event)
    }

    // Accesses.

    fn record(&self, path: Path, write: bool, by: Actor) -> Record {
        Record {
            agent: self.current,
            clock: self.now(),
            line: by.line,
            key: 0,
            warp: self.current as u16,
            mask: 0,
            lane: by.lane.map_or(SEVERAL_LANES, |lane| lane as u8),
            write,
            silent: false,
            path,
        }
    }

    /// Accesses of the generic proxy by the instruction just executed.
    pub fn generic(&mut self, rank: u32, touches: &[Touch], strong: bool, by: Actor) -> Checked {
        let path = if strong { Path::Strong } else { Path::Generic };
        for touch in touches {
            let mut record = self.record(path, touch.write, by);
            record.lane = touch.lane;
            record.silent = touch.silent;
            if strong {
                for cell in touch.start / 16..(touch.start + touch.len).div_ceil(16) {
                    self.strong(Meeting::Shared(rank, cell), !touch.write, touch.write);
                }
            }
            self.touch_shared(rank, touch.start, touch.len, &record)?;
        }
        Ok(())
    }

    /// An asynchronous copy that an mbarrier announces: its clock is the barrier's phase.
    pub fn signalled(
        &mut self,
        barrier: (u32, u32),
        phase: u64,
        (rank, start, len): (u32, u32, u32),
        write: bool,
        by: Actor,
    ) -> Checked {
        self.check_made(barrier, true, by)?;
        self.check_phase(barrier, phase, None, by)?;
        let Some(record) = self.signalled_record(barrier, phase, by) else { return Ok(()) };
        let record = Record { write, ..record };
        self.touch_shared(rank, start, len, &record)?;
        self.release(Meeting::Mbarrier(barrier.0, barrier.1), phase);
        Ok(())
    }

    /// A read by an asynchronous copy that an mbarrier announces.
    pub fn signalled_record(&self, barrier: (u32, u32), phase: u64, by: Actor) -> Option<Record> {
        let agent = self.inits.get(&barrier)?.agent;
        Some(Record { agent, clock: phase as u32 + 1, ..self.record(Path::Bulk, false, by) })
    }

    /// The next operation of a stream.
    pub fn issue(&mut self, kind: StreamKind, lane: u32, path: Path, by: Actor) -> Record {
        let stream = self.stream(kind, lane);
        stream.issued += 1;
        let (agent, clock) = (stream.agent, stream.issued);
        Record { agent, clock, ..self.record(path, false, by) }
    }

    /// The next `tcgen05.ld` or `st` of the warp, with the warp's clock.
    pub fn issue_tmem(&mut self, kind: StreamKind, path: Path, by: Actor) -> Record {
        let key = self.now();
        Record { key, ..self.issue(kind, 0, path, by) }
    }

    /// An access to shared memory.
    pub fn touch_shared(&mut self, rank: u32, start: u32, len: u32, record: &Record) -> Checked {
        let Some(shadow) = self.shared.get_mut(rank as usize) else { return Ok(()) };
        let warp = &self.warps[self.current as usize];
        let (strict, own) = (self.strict, self.current);
        let ordered = |old: &Record| shared_order(warp, own, strict, old, record);
        let before = |old: &Record| {
            let met = old.agent != own || old.lane == record.lane || warp.lanes >= old.clock;
            met && warp.known.seen.get(old.agent) >= old.clock
        };
        let end = start + len;
        let mut at = start;
        while at < end {
            let stop = (at / 16 * 16 + 16).min(end);
            let (low, high) = (at % 16, stop - at / 16 * 16);
            let mask = ((1u32 << high) - (1 << low)) as u16;
            let part = Record { mask, ..*record };
            if let Err(old) = shadow.touch(at as usize / 16, &part, ordered, before) {
                return Err(self.shared_race(rank, at, &part, &old));
            }
            at = stop;
        }
        Ok(())
    }

    /// An access to tensor memory.
    pub fn touch_tmem(&mut self, rank: u32, cells: Cells, record: &Record) -> Checked {
        let warp = &self.warps[self.current as usize];
        let strict = self.strict;
        let mask =
            (0..16).filter(|i| cells.lanes >> (8 * i) & 0xff != 0).fold(0, |m, i| m | 1 << i);
        let new = Record { mask, write: cells.write, ..*record };
        let known = if strict { &warp.tensor } else { &warp.known.seen };
        let ordered = |old: &Record| {
            old.agent == new.agent && pipelined(old, &new, strict)
                || known.get(old.agent) >= old.clock
                || !strict && in_pipe(old, &new, known)
        };
        for column in cells.columns.0..cells.columns.0 + cells.columns.1 {
            if let Err(old) =
                self.tmem[rank as usize].touch(column as usize, &new, ordered, |_| false)
            {
                return Err(self.tmem_race(column, &new, &old));
            }
        }
        Ok(())
    }

    /// `tcgen05.dealloc`: every use comes before it, unless it is `unordered`.
    pub fn free(&mut self, rank: u32, columns: (u32, u32), by: Actor, unordered: bool) -> Checked {
        let record = self.record(Path::Free, true, by);
        if !unordered {
            self.touch_tmem(rank, Cells { columns, lanes: LaneSet::MAX, write: true }, &record)?;
        }
        self.tmem[rank as usize].clear(columns.0 as usize..(columns.0 + columns.1) as usize);
        Ok(())
    }

    fn actor(&self, record: &Record) -> Actor {
        let (cta, warp) = self.places[record.warp as usize];
        self.actor_at(record, cta, warp)
    }

    fn actor_at(&self, record: &Record, cta: [u32; 3], warp: u32) -> Actor {
        let lane = (record.lane != SEVERAL_LANES).then_some(record.lane.into());
        Actor { cta, warp, lane, line: record.line }
    }

    #[cold]
    fn shared_race(&self, rank: u32, at: u32, new: &Record, old: &Record) -> Box<Fault> {
        let known = &self.warps[self.current as usize].known;
        let missing = if known.seen.get(old.agent) < old.clock {
            self.missing_wait(new, old)
        } else if known.fenced.get(old.agent) < old.clock {
            "a fence.proxy.async is missing between the two"
        } else {
            "a bar.warp.sync is missing between the two lanes"
        };
        self.race(
            format!("shared bytes at {at:#x}"),
            missing,
            new,
            old,
            address_of(rank, at).into(),
        )
    }

    #[cold]
    fn tmem_race(&self, column: u32, new: &Record, old: &Record) -> Box<Fault> {
        let known = &self.warps[self.current as usize].known;
        let missing = if known.seen.get(old.agent) < old.clock {
            self.missing_wait(new, old)
        } else if known.carried.get(old.agent) < old.clock {
            "a tcgen05.fence::before_thread_sync is missing on the way from there to here"
        } else {
            "a tcgen05.fence::after_thread_sync is missing before this one"
        };
        let lane = u64::from(new.mask.trailing_zeros() * 8);
        let address = lane << 16 | u64::from(column);
        self.race(format!("tensor memory column {column}"), missing, new, old, address)
    }

    fn missing_wait(&self, new: &Record, old: &Record) -> &'static str {
        let same = old.warp == new.warp;
        match old.path {
            Path::TmemLoad if same => "a tcgen05.wait::ld is missing between the two",
            Path::TmemStore if same => "a tcgen05.wait::st is missing between the two",
            Path::Generic | Path::Strong | Path::Barrier => "no barrier orders the two",
            Path::CpAsync => "no wait for the cp.async orders the two",
            _ => "no wait for its completion orders the two",
        }
    }

    fn race(
        &self,
        place: String,
        missing: &str,
        new: &Record,
        old: &Record,
        address: u64,
    ) -> Box<Fault> {
        let verb = |record: &Record| if record.write { "write" } else { "read" };
        let message = format!(
            "{} ({}) of {place} after the {} ({}) of line {}: {missing}",
            verb(new),
            new.path.name(),
            verb(old),
            old.path.name(),
            old.line
        );
        let fault = Fault::new(FaultKind::Race, message).at(address);
        Box::new(fault.by(self.actor(new)).against(self.actor(old)))
    }
}

/// Whether `old` comes before `new`, an access to shared memory by a warp or on its behalf.
#[inline]
fn shared_order(warp: &WarpClocks, own: Agent, strict: bool, old: &Record, new: &Record) -> bool {
    if old.path == Path::Strong && new.path == Path::Strong {
        return true;
    }
    // Compilers have several warps store the same value where one would do.
    if (old.silent || new.silent) && old.path.is_generic() && new.path.is_generic() {
        return true;
    }
    // Shipped kernels let a copy overwrite what was stored without a proxy fence between.
    let fence = old.path.is_generic() && old.write && (strict || !new.write);
    // Whoever uses an mbarrier has been asked for its making already.
    if old.path == Path::Barrier && new.path == Path::Barrier && !new.write {
        return true;
    }
    if !fence || new.path.is_generic() {
        return warp.known.seen.get(old.agent) >= old.clock;
    }
    if warp.known.fenced.get(old.agent) < old.clock {
        return false;
    }
    // Another lane of the warp wrote: the lanes must have met since.
    let same_lane = old.lane == new.lane && old.lane != SEVERAL_LANES;
    !strict || old.agent != own || new.lane == SEVERAL_LANES || same_lane || warp.lanes >= old.clock
}

/// Whether the hardware keeps a `tcgen05.st` and a `ld` or `dealloc` in order because the one was
/// issued before the other.
#[inline]
fn in_pipe(old: &Record, new: &Record, known: &Clock) -> bool {
    old.path == Path::TmemStore
        && matches!(new.path, Path::TmemLoad | Path::Free)
        && known.get(old.warp.into()) >= old.key
}

/// Whether the tensor core keeps two operations of one thread in order.
#[inline]
fn pipelined(old: &Record, new: &Record, strict: bool) -> bool {
    match (old.path, new.path) {
        (Path::TmemLoad | Path::TmemStore, _) => false,
        _ if !strict => true,
        (Path::Mma, Path::Mma) => old.key == new.key,
        (Path::CellCopy | Path::Shift, Path::Mma) | (Path::Mma | Path::Shift, Path::Shift) => true,
        (Path::Shift, Path::CellCopy) => true,
        _ => false,
    }
}
