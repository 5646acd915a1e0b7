//! Vector clocks: what one party knows to have happened, as a number per agent.

/// A warp, or a stream of asynchronous operations that complete in order as far as anybody can
/// tell.
pub type Agent = u32;

/// For each agent, how many of its events are known to have happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clock(Vec<u32>);

impl Clock {
    /// Events of `agent` that are known.
    #[inline]
    pub fn get(&self, agent: Agent) -> u32 {
        self.0.get(agent as usize).copied().unwrap_or(0)
    }

    /// Learns of the first `value` events of `agent`.
    pub fn raise(&mut self, agent: Agent, value: u32) {
        let at = agent as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] = self.0[at].max(value);
    }

    /// Learns everything that `other` knows.
    pub fn join(&mut self, other: &Clock) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (own, &theirs) in self.0.iter_mut().zip(&other.0) {
            *own = (*own).max(theirs);
        }
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
}

impl Clocks {
    /// Learns everything that `other` knows.
    pub fn join(&mut self, other: &Clocks) {
        self.seen.join(&other.seen);
        self.fenced.join(&other.fenced);
        self.carried.join(&other.carried);
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
            self.complete = self.filling.clone();
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
