//! The sixteen barriers of a CTA (`bar`, `barrier`) and the barrier of a cluster.
//!
//! Arrivals are counted by warps: a warp arrives when all its live lanes stand at the instruction,
//! and counts as 32 threads.

use crate::error::{Fault, FaultKind};

/// A reduction that rides on a barrier (`bar.red`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Number of threads whose predicate holds.
    Popc,
    /// All of them.
    And,
    /// Any of them.
    Or,
}

/// One of the sixteen.
#[derive(Debug, Clone, Default)]
pub struct NamedBarrier {
    /// How often it has completed.
    pub generation: u64,
    /// Threads that arrived for the current generation.
    pub arrived: u32,
    /// Threads expected, when an arrival named a number.
    pub expected: Option<u32>,
    /// Predicate votes of the current generation: (true, all).
    votes: (u32, u32),
    /// Votes of the generation before: what the waiters read.
    pub result: (u32, u32),
}

impl NamedBarrier {
    /// A warp arrives. `count` is the thread count operand, `live` the threads of the CTA that have
    /// not exited, which counts when there is none.
    pub fn arrive(
        &mut self,
        id: u32,
        count: Option<u32>,
        votes: Option<(u32, u32)>,
    ) -> Result<(), Box<Fault>> {
        if let Some(count) = count.filter(|&n| n == 0 || !n.is_multiple_of(32)) {
            return Err(misuse(format!(
                "barrier {id} with a thread count of {count}; it must be a multiple of 32"
            )));
        }
        if self.arrived > 0 && self.expected != count {
            return Err(misuse(format!(
                "barrier {id} is in use with {} and a warp arrives with {}",
                words(self.expected),
                words(count)
            )));
        }
        self.expected = count;
        self.arrived += 32;
        if count.is_some_and(|n| self.arrived > n) {
            return Err(misuse(format!(
                "barrier {id}: {} threads arrived where {} are expected",
                self.arrived,
                words(count)
            )));
        }
        if let Some((yes, all)) = votes {
            self.votes.0 += yes;
            self.votes.1 += all;
        }
        Ok(())
    }

    /// Completes the barrier when everybody has come. `live` is the number of threads of the CTA's
    /// live warps. Returns whether it did.
    pub fn settle(&mut self, live: u32) -> bool {
        if self.arrived == 0 || self.arrived < self.expected.unwrap_or(live) {
            return false;
        }
        self.result = std::mem::take(&mut self.votes);
        self.arrived = 0;
        self.expected = None;
        self.generation += 1;
        true
    }
}

fn words(count: Option<u32>) -> String {
    match count {
        Some(n) => format!("a count of {n}"),
        None => "all threads of the CTA".to_owned(),
    }
}

fn misuse(message: String) -> Box<Fault> {
    Box::new(Fault::new(FaultKind::BarrierMisuse, message))
}

/// `barrier.cluster`: all threads of all CTAs of the cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterBarrier {
    /// How often it has completed.
    pub generation: u64,
    /// Lanes that arrived for the current generation.
    pub arrived: u32,
}

impl ClusterBarrier {
    /// Completes when all `live` threads have arrived.
    pub fn settle(&mut self, live: u32) -> bool {
        if self.arrived == 0 || self.arrived < live {
            return false;
        }
        self.arrived = 0;
        self.generation += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_misuse() {
        let mut barrier = NamedBarrier::default();
        barrier.arrive(1, Some(64), Some((3, 32))).unwrap();
        assert!(!barrier.settle(192));
        assert!(barrier.arrive(1, Some(96), None).is_err());
        barrier.arrive(1, Some(64), Some((32, 32))).unwrap();
        assert!(barrier.settle(192));
        assert_eq!((barrier.result, barrier.generation), ((35, 64), 1));
        assert!(barrier.arrive(1, Some(33), None).is_err());
        barrier.arrive(1, None, None).unwrap();
        assert!(!barrier.settle(64));
        assert!(barrier.settle(32), "the other warp has exited");
    }
}
