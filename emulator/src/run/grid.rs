//! All clusters of a launch: in parallel where they are independent, interleaved on one thread
//! where they communicate.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use super::scheduler::ClusterRun;
use super::{Options, SM_COUNT, Stats};
use crate::decode::op::{BulkDirection, CopyOp, MemoryOp, Op, Order, Space, TensorDirection};
use crate::decode::program::Kernel;
use crate::error::{Ending, Fault};
use crate::machine::cluster::Env;
use crate::machine::lines::{Footprint, Lines, Unordered};
use crate::machine::races::{self, Before, Global, Place};
use crate::trace::Recorder;

/// A launch, checked.
pub(super) struct Grid<'a> {
    pub(super) env: &'a Env<'a>,
    /// Shared memory of a CTA, from the first user byte.
    pub(super) shared_bytes: u32,
    pub(super) options: &'a Options,
    /// Who wants to know what happens.
    pub(super) recorder: Option<&'a Recorder>,
    /// The launch before, if it may still run.
    pub(super) before: Option<Arc<Before>>,
}

/// How a launch ended, and what it touched.
pub(super) type Ended<E> = Result<(Stats, Option<Before>), E>;

/// Whether CTAs of different clusters may depend on each other.
fn communicates(kernel: &Kernel) -> bool {
    let device_wide = |space: Space| matches!(space, Space::Global | Space::Generic);
    kernel.instrs.iter().any(|instr| match &instr.op {
        Op::Memory(MemoryOp::Load(load)) => load.order != Order::Weak && device_wide(load.space),
        Op::Memory(MemoryOp::Store(store)) => {
            store.order != Order::Weak && device_wide(store.space)
        }
        Op::Memory(MemoryOp::Atom(atom)) => device_wide(atom.space),
        Op::Copy(CopyOp::Tensor(copy)) => matches!(copy.direction, TensorDirection::Reduce(_)),
        Op::Copy(CopyOp::Bulk(copy)) => {
            copy.reduce.is_some() && copy.direction == BulkDirection::SharedToGlobal
        }
        Op::Copy(CopyOp::TryCancel { .. }) => true,
        _ => false,
    })
}

/// Runs every cluster.
pub(super) fn run(grid: &Grid<'_>) -> Ended<Ending> {
    let env = grid.env;
    let clusters: [u32; 3] = std::array::from_fn(|i| env.grid[i] / env.cluster[i]);
    let count = clusters.iter().map(|&n| n as usize).product();
    let result = if communicates(env.kernel) {
        interleaved(grid, clusters, count)
    } else {
        parallel(grid, clusters, count)
    };
    result.map_err(|fault| Ending::from(*fault))
}

/// Cluster coordinates from the linear index.
fn coordinates(index: usize, clusters: [u32; 3]) -> [u32; 3] {
    let index = index as u32;
    [index % clusters[0], index / clusters[0] % clusters[1], index / clusters[0] / clusters[1]]
}

/// A seed of its own for each cluster.
fn seed_of(seed: u64, index: usize) -> u64 {
    // SplitMix64: neighbouring inputs give unrelated outputs.
    let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn place(grid: &Grid<'_>, index: usize, clusters: [u32; 3]) -> Place {
    Place { index: index as u32, clusters, cluster: grid.env.cluster }
}

fn start(grid: &Grid<'_>, index: usize, clusters: [u32; 3]) -> ClusterRun {
    let seed = grid.options.seed;
    let place = place(grid, index, clusters);
    let mut cluster = ClusterRun::new(
        grid.env,
        coordinates(index, clusters),
        grid.shared_bytes,
        grid.options.races.then_some(place),
        // The temperament goes by the seed itself, so that a few seeds cover all of them.
        seed.wrapping_add(index as u64),
        seed_of(seed, index),
    );
    if let Some(races) = &mut cluster.space.races {
        races.before.clone_from(&grid.before);
    }
    if let Some(recorder) = grid.recorder {
        cluster.space.queue.log.detail = recorder.detail();
    }
    cluster
}

/// Hands over what a cluster has recorded.
fn keep(grid: &Grid<'_>, cluster: &mut ClusterRun) {
    if let Some(recorder) = grid.recorder {
        let [x, y, z] = cluster.space.cluster_id;
        recorder.add([z, y, x], std::mem::take(&mut cluster.space.queue.log));
    }
}

/// What the clusters of a launch did to global memory, brought together in the order of their
/// indices, so that the same launch always tells of the same conflict.
#[derive(Default)]
struct Merger {
    next: usize,
    early: BTreeMap<usize, Option<Lines>>,
    all: Unordered,
    found: Option<Box<Fault>>,
}

impl Merger {
    fn add(
        &mut self,
        index: usize,
        lines: Option<Lines>,
        describe: impl Fn(usize, &Lines, &mut Unordered) -> Option<Box<Fault>>,
    ) {
        self.early.insert(index, lines);
        while let Some(lines) = self.early.remove(&self.next) {
            if let (None, Some(lines)) = (&self.found, lines) {
                self.found = describe(self.next, &lines, &mut self.all);
            }
            self.next += 1;
        }
    }
}

fn parallel(grid: &Grid<'_>, clusters: [u32; 3], count: usize) -> Ended<Box<Fault>> {
    // The fault of the first cluster is reported, whichever thread is faster: later clusters need
    // not run once an earlier one has failed.
    let failed = AtomicUsize::new(usize::MAX);
    let next = AtomicUsize::new(0);
    let merger = Mutex::new(Merger::default());
    let one = |index: usize| {
        let mut cluster = start(grid, index, clusters);
        let mut result = Ok(false);
        while matches!(result, Ok(false)) {
            result = cluster.advance(grid.env, grid.options, u32::MAX);
        }
        if result.is_err() {
            failed.fetch_min(index, Relaxed);
        }
        if failed.load(Relaxed) >= index {
            keep(grid, &mut cluster);
        }
        if let Some(races) = &mut cluster.space.races {
            let lines = result.is_ok().then(|| std::mem::take(&mut races.global.lines));
            let warps = cluster.warps();
            let mut merger = merger.lock().unwrap_or_else(PoisonError::into_inner);
            merger.add(index, lines, |index, lines, all| {
                let place = place(grid, index, clusters);
                let found = all.add(lines).err()?;
                Some(races::conflict(&found, &place, warps, grid.env.global))
            });
        }
        result.map(|_| cluster.stats())
    };
    // Clusters start in the order of their indices, whatever the number of host threads.
    let worker = |_| {
        let mut results = vec![];
        loop {
            let index = next.fetch_add(1, Relaxed);
            if index >= count || failed.load(Relaxed) < index {
                return results;
            }
            results.push((index, one(index)));
        }
    };
    let workers = rayon::current_num_threads().min(count);
    let mut results: Vec<_> = (0..workers).into_par_iter().flat_map(worker).collect();
    results.sort_unstable_by_key(|(index, _)| *index);
    if let (Some(recorder), last) = (grid.recorder, failed.load(Relaxed))
        && last < count
    {
        // Which of the later ones ran is the host's business.
        let [x, y, z] = coordinates(last, clusters);
        recorder.cut([z, y, x]);
    }
    let mut total = Stats::default();
    for (_, result) in results {
        total += result?;
    }
    let merger = merger.into_inner().unwrap_or_else(PoisonError::into_inner);
    match merger.found {
        Some(fault) => Err(fault),
        None => Ok((total, before(grid, clusters, merger.all.into_footprint()))),
    }
}

fn interleaved(grid: &Grid<'_>, clusters: [u32; 3], count: usize) -> Ended<Box<Fault>> {
    let mut rng = SmallRng::seed_from_u64(seed_of(grid.options.seed, usize::MAX - 1));
    let ctas: u32 = grid.env.cluster.iter().product();
    let resident = (SM_COUNT / ctas).max(1) as usize;
    // Hardware starts CTAs roughly in order and promises nothing.
    let mut waiting: Vec<usize> = (0..count).rev().collect();
    if grid.options.seed % 2 == 1 {
        waiting.shuffle(&mut rng);
    }
    let cancel = |op: &Op| matches!(op, Op::Copy(CopyOp::TryCancel { .. }));
    let cancels = grid.env.kernel.instrs.iter().any(|instr| cancel(&instr.op));
    let mut running: Vec<ClusterRun> = vec![];
    let mut global = Global::default();
    let mut total = Stats::default();
    loop {
        while running.len() < resident
            && let Some(index) = waiting.pop()
        {
            running.push(start(grid, index, clusters));
        }
        if running.is_empty() {
            let footprint = Footprint::of(global.lines);
            return Ok((total, before(grid, clusters, footprint)));
        }
        let chosen = rng.random_range(0..running.len());
        let quanta = rng.random_range(1..64);
        if cancels {
            // The clusters that cluster launch control may still take.
            let first_ctas = |index: &usize| {
                let at = coordinates(*index, clusters);
                std::array::from_fn(|i| at[i] * grid.env.cluster[i])
            };
            running[chosen].space.unstarted = waiting.iter().map(first_ctas).collect();
        }
        lend(&mut global, &mut running[chosen]);
        let result = running[chosen].advance(grid.env, grid.options, quanta);
        lend(&mut global, &mut running[chosen]);
        if result.is_err() {
            running.iter_mut().for_each(|cluster| keep(grid, cluster));
        }
        let done = result?;
        if cancels {
            waiting.truncate(running[chosen].space.unstarted.len());
        }
        if done {
            let mut cluster = running.swap_remove(chosen);
            keep(grid, &mut cluster);
            total += cluster.stats();
        }
    }
}

/// What the next launch wants to know of this one.
fn before(grid: &Grid<'_>, clusters: [u32; 3], footprint: Footprint) -> Option<Before> {
    let place = place(grid, 0, clusters);
    let ctas: u32 = grid.env.cluster.iter().product();
    let warps = ctas * grid.env.block.iter().product::<u32>().div_ceil(32);
    grid.options.races.then_some(Before { footprint, place, warps })
}

/// What is remembered of global memory goes to the cluster that runs, and comes back.
fn lend(global: &mut Global, cluster: &mut ClusterRun) {
    if let Some(races) = &mut cluster.space.races {
        std::mem::swap(global, &mut races.global);
    }
}
