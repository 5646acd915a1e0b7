//! Vector clocks: what one party knows to have happened, as a number per agent.
//!
//! Agents are numbered within their cluster. What is known of other clusters came by global memory;
//! it is kept apart and shared, so that a program whose clusters do not talk pays nothing for it.

use std::sync::Arc;

/// A warp, or a stream of asynchronous operations that complete in order as far as anybody can
/// tell.
pub type Agent = u32;

/// Events of the agents of a cluster, with its index.
type ClusterEvents = (u32, Arc<Vec<u32>>);

/// What is known of clusters, by index: what a party hands over beyond its own cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others(Option<Arc<Vec<ClusterEvents>>>);

impl Others {
    /// Events of an agent of a cluster that are known.
    pub fn get(&self, cluster: u32, agent: Agent) -> u32 {
        let Some(list) = &self.0 else { return 0 };
        match list.binary_search_by_key(&cluster, |entry| entry.0) {
            Ok(at) => list[at].1.get(agent as usize).copied().unwrap_or(0),
            Err(_) => 0,
        }
    }

    /// Learns everything that `other` knows.
    pub fn join(&mut self, other: &Others) {
        let Some(theirs) = &other.0 else { return };
        let Some(own) = &mut self.0 else {
            self.0 = Some(theirs.clone());
            return;
        };
        if Arc::ptr_eq(own, theirs) {
            return;
        }
        let own = Arc::make_mut(own);
        for (cluster, events) in theirs.iter() {
            match own.binary_search_by_key(cluster, |entry| entry.0) {
                Err(at) => own.insert(at, (*cluster, events.clone())),
                Ok(at) => {
                    let known = &mut own[at].1;
                    if !Arc::ptr_eq(known, events) && !covers(known, events) {
                        raise_all(Arc::make_mut(known), events);
                    }
                }
            }
        }
    }
}

fn covers(known: &[u32], events: &[u32]) -> bool {
    let of = |at: usize| known.get(at).copied().unwrap_or(0);
    events.iter().enumerate().all(|(at, &event)| event <= of(at))
}

fn raise_all(known: &mut Vec<u32>, events: &[u32]) {
    if known.len() < events.len() {
        known.resize(events.len(), 0);
    }
    for (own, &theirs) in known.iter_mut().zip(events) {
        *own = (*own).max(theirs);
    }
}

/// For each agent, how many of its events are known to have happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clock {
    own: Vec<u32>,
    others: Others,
}

impl Clock {
    /// Events of an agent of the own cluster that are known.
    #[inline]
    pub fn get(&self, agent: Agent) -> u32 {
        self.own.get(agent as usize).copied().unwrap_or(0)
    }

    /// Events of an agent of another cluster that are known.
    pub fn get_of(&self, cluster: u32, agent: Agent) -> u32 {
        self.others.get(cluster, agent)
    }

    /// Learns of the first `value` events of `agent`.
    pub fn raise(&mut self, agent: Agent, value: u32) {
        let at = agent as usize;
        if self.own.len() <= at {
            self.own.resize(at + 1, 0);
        }
        self.own[at] = self.own[at].max(value);
    }

    /// Learns everything that `other` knows.
    #[inline]
    pub fn join(&mut self, other: &Clock) {
        raise_all(&mut self.own, &other.own);
        self.others.join(&other.others);
    }

    /// What is known here, for anybody: `cluster` is the own one.
    pub fn export(&self, cluster: u32) -> Others {
        let mut all = self.others.clone();
        if !self.own.is_empty() {
            all.join(&Others(Some(Arc::new(vec![(cluster, Arc::new(self.own.clone()))]))));
        }
        all
    }

    /// Learns what was exported, here or elsewhere.
    pub fn import(&mut self, cluster: u32, all: &Others) {
        if let Some(list) = &all.0
            && let Ok(at) = list.binary_search_by_key(&cluster, |entry| entry.0)
        {
            raise_all(&mut self.own, &list[at].1);
        }
        self.others.join(all);
    }
}

/// What a release hands over and an acquire takes.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    /// Everything that happened before.
    pub seen: Clock,
    /// What a proxy fence came after, on the way.
    pub fenced: Clock,
    /// `tcgen05` accesses that a `before_thread_sync` or a commit came after, on the way.
    pub carried: Clock,
    /// What a proxy fence for global memory came after, on the way.
    pub fenced_global: Clock,
    /// What a thread fence came after, on the way: a relaxed write hands it over.
    pub handed: Clock,
    /// The same for fences of less than device scope.
    pub near: Clock,
    /// What relaxed reads have met: a thread fence makes it known.
    pub glimpsed: Clock,
    /// What an acquire fence for tensor maps came after, on the way.
    pub mapped: Clock,
    /// What a `fence.mbarrier_init` came after, of mbarriers made.
    pub inits: Clock,
    /// How far others have come, without their having handed over what they did: who arrives relaxed has
    /// come so far, and a `wgmma` that is over was issued by four warps.
    pub reached: Clock,
}

impl Clocks {
    /// Learns everything that `other` knows.
    pub fn join(&mut self, other: &Clocks) {
        self.seen.join(&other.seen);
        self.fenced.join(&other.fenced);
        self.carried.join(&other.carried);
        self.fenced_global.join(&other.fenced_global);
        self.handed.join(&other.handed);
        self.near.join(&other.near);
        self.glimpsed.join(&other.glimpsed);
        self.mapped.join(&other.mapped);
        self.inits.join(&other.inits);
        self.reached.join(&other.reached);
    }
}

/// The clocks of something that completes again and again: the phase that is being filled, and all
/// that came before it.
#[derive(Debug, Clone, Default)]
pub struct PhaseClocks {
    generation: u64,
    filling: Clocks,
    complete: Clocks,
}

impl PhaseClocks {
    fn roll(&mut self, generation: u64) {
        if self.generation < generation {
            // What is being filled knows all that came before, so this is a copy, in place.
            self.complete.join(&self.filling);
            self.generation = generation;
        }
    }

    /// Somebody arrives in `generation` with what it knows.
    pub fn release(&mut self, generation: u64, clocks: &Clocks) {
        self.roll(generation);
        self.filling.join(clocks);
    }

    /// What those know who have seen all generations before `generation` complete.
    pub fn acquire(&self, generation: u64) -> &Clocks {
        if generation > self.generation { &self.filling } else { &self.complete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_comes_back() {
        let mut a = Clock::default();
        a.raise(3, 7);
        let mut b = Clock::default();
        b.raise(3, 1);
        b.import(1, &a.export(0));
        assert_eq!((b.get(3), b.get_of(0, 3), b.get_of(2, 3)), (1, 7, 0));
        a.raise(3, 8);
        b.import(1, &a.export(0));
        let mut c = Clock::default();
        c.import(0, &b.export(1));
        assert_eq!((c.get(3), c.get_of(1, 3)), (8, 1));
    }

    #[test]
    fn a_waiter_learns_of_complete_phases_alone() {
        let mut phases = PhaseClocks::default();
        let mut clocks = Clocks::default();
        clocks.seen.raise(2, 5);
        phases.release(0, &clocks);
        clocks.seen.raise(2, 9);
        phases.release(1, &clocks);
        assert_eq!(phases.acquire(1).seen.get(2), 5);
        assert_eq!(phases.acquire(2).seen.get(2), 9);
        assert_eq!(phases.acquire(2).seen.get(77), 0);
    }
}
