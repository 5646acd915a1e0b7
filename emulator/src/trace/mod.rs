//! What happened in a run: events, in an order that follows from the seed alone.
//!
//! Time is counted per cluster: one tick for each instruction of a warp and for each step of an
//! asynchronous operation. It orders events and says nothing about nanoseconds.

mod perfetto;
mod text;

use std::collections::BTreeMap;
use std::sync::Mutex;

pub use perfetto::perfetto;
pub use text::write as write_text;

use crate::error::Actor;
use crate::machine::registers::Lanes;

/// How much is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Nothing.
    #[default]
    Off,
    /// Asynchronous operations, waits, phases of mbarriers, ends of CTAs.
    Events,
    /// Every instruction of every warp as well.
    Instructions,
}

/// The part of the machine that does an asynchronous operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Bulk and tensor copies.
    Tma,
    /// `cp.async`.
    CpAsync,
    /// `cp.async.mbarrier.arrive`.
    Arrive,
    /// `st.async`, `red.async`.
    StoreAsync,
    /// `clusterlaunchcontrol.try_cancel`.
    Cancel,
    /// `tcgen05.cp`.
    TensorCopy,
    /// `tcgen05.mma`, `wgmma.mma_async`.
    Mma,
    /// `tcgen05.commit`.
    Commit,
    /// `tcgen05.shift`.
    Shift,
    /// `tcgen05.ld`.
    TensorLoad,
    /// `tcgen05.st`.
    TensorStore,
}

impl Unit {
    /// Its name in a trace.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Tma => "TMA",
            Unit::CpAsync => "cp.async",
            Unit::Arrive => "arrive",
            Unit::StoreAsync => "st.async",
            Unit::Cancel => "try_cancel",
            Unit::TensorCopy => "TMEM copy",
            Unit::Mma => "MMA",
            Unit::Commit => "commit",
            Unit::Shift => "TMEM shift",
            Unit::TensorLoad => "TMEM load",
            Unit::TensorStore => "TMEM store",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A warp executed an instruction.
    Instruction {
        /// The lanes.
        lanes: Lanes,
    },
    /// An asynchronous operation was queued.
    Issue {
        /// Its number within the cluster.
        id: u64,
        /// Who does it.
        unit: Unit,
    },
    /// It has read its sources.
    ReadsDone {
        /// Its number.
        id: u64,
        /// Who does it.
        unit: Unit,
    },
    /// It is complete.
    Complete {
        /// Its number.
        id: u64,
        /// Who does it.
        unit: Unit,
    },
    /// Lanes of a warp began to wait for this.
    WaitBegin(String),
    /// They go on.
    WaitEnd {
        /// A `try_wait` gave up before what it waited for had happened.
        gave_up: bool,
    },
    /// An mbarrier completed a phase.
    Phase {
        /// Its shared address.
        address: u32,
    },
    /// The last thread of a CTA exited.
    CtaEnd,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in the time of its cluster.
    pub tick: u64,
    /// Whose doing it was; for an operation, who issued it.
    pub actor: Actor,
    /// What happened.
    pub what: What,
}

/// Events that one cluster may record.
const LIMIT: usize = 1 << 22;

/// The record of one cluster.
#[derive(Debug, Default)]
pub struct Log {
    pub(crate) detail: Detail,
    clock: u64,
    events: Vec<Event>,
    dropped: u64,
}

impl Log {
    /// Time passes.
    #[inline]
    pub(crate) fn tick(&mut self) {
        self.clock += 1;
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.detail != Detail::Off
    }

    /// Notes an event, if anybody wants it.
    #[inline]
    pub(crate) fn record(&mut self, actor: Actor, what: impl FnOnce() -> What) {
        if self.is_on() {
            self.push(actor, what());
        }
    }

    /// A warp executes an instruction, possibly after having waited for it.
    pub(crate) fn executed(&mut self, actor: Actor, lanes: Lanes, woken: bool, gave_up: bool) {
        if woken || gave_up {
            self.push(actor, What::WaitEnd { gave_up });
        } else if self.detail == Detail::Instructions {
            self.push(actor, What::Instruction { lanes });
        }
    }

    #[cold]
    fn push(&mut self, actor: Actor, what: What) {
        if self.events.len() < LIMIT {
            self.events.push(Event { tick: self.clock, actor, what });
        } else {
            self.dropped += 1;
        }
    }
}

/// What happened in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTrace {
    /// `%clusterid`.
    pub cluster: [u32; 3],
    /// Events in order.
    pub events: Vec<Event>,
    /// Events beyond the limit, which were not kept.
    pub dropped: u64,
}

/// What happened in a launch, cluster by cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The clusters, in the order of their ids.
    pub clusters: Vec<ClusterTrace>,
}

/// Collects the records of clusters, which may run side by side.
#[derive(Debug)]
pub(crate) struct Recorder {
    detail: Detail,
    /// By cluster id, z first.
    logs: Mutex<BTreeMap<[u32; 3], Log>>,
}

impl Recorder {
    pub(crate) fn new(detail: Detail) -> Self {
        Recorder { detail, logs: Mutex::default() }
    }

    pub(crate) fn detail(&self) -> Detail {
        self.detail
    }

    pub(crate) fn add(&self, cluster: [u32; 3], log: Log) {
        self.logs.lock().expect("nobody panics with the lock").insert(cluster, log);
    }

    /// Forgets the clusters after this one.
    pub(crate) fn cut(&self, last: [u32; 3]) {
        self.logs.lock().expect("nobody panics with the lock").retain(|&id, _| id <= last);
    }

    pub(crate) fn finish(self) -> Trace {
        let logs = self.logs.into_inner().expect("nobody panics with the lock");
        let one = |([z, y, x], log): ([u32; 3], Log)| ClusterTrace {
            cluster: [x, y, z],
            events: log.events,
            dropped: log.dropped,
        };
        Trace { clusters: logs.into_iter().map(one).collect() }
    }
}
