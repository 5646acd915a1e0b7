//! The small asynchronous operations: `cp.async`, `st.async`, `red.async`, deferred arrivals, and
//! cluster launch control.

use rand::Rng;

use super::Progress;
use crate::decode::op::{AtomType, ReduceKind};
use crate::error::{Actor, Fault};
use crate::exec::atomic;
use crate::machine::access::{Proxy, Who};
use crate::machine::clock::Clocks;
use crate::machine::cluster::{Env, Space};
use crate::machine::inflight::Ticket;
use crate::machine::races::Event;
use crate::machine::shared;

/// One lane's `cp.async`.
#[derive(Debug, Clone, Copy)]
pub struct LaneCopy {
    /// Lane.
    pub lane: u32,
    /// CTA rank and offset of the destination.
    pub to: (u32, u32),
    /// Source.
    pub from: u64,
    /// Bytes written: 4, 8 or 16.
    pub bytes: u32,
    /// Bytes read; the rest is zero.
    pub source_bytes: u32,
}

/// `cp.async` of a warp.
#[derive(Debug)]
pub struct CpAsyncJob {
    /// Lanes that have not landed.
    pub copies: Vec<LaneCopy>,
}

impl CpAsyncJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        env: &Env<'_>,
        ticket: Ticket,
        actor: Actor,
    ) -> Result<Progress, Box<Fault>> {
        for _ in 0..space.rng.random_range(1..=self.copies.len().max(1)) {
            if self.copies.is_empty() {
                break;
            }
            let copy = self.copies.swap_remove(space.rng.random_range(0..self.copies.len()));
            let actor = Actor { lane: Some(copy.lane), ..actor };
            let who = Who { actor, proxy: Proxy::CpAsync };
            let mut bytes = [0; 16];
            // A source of no bytes is not touched: its address may be anything.
            if copy.source_bytes > 0 {
                env.global.load(copy.from, &mut bytes[..copy.source_bytes as usize], &who)?;
            }
            let cta = space.cta(copy.to.0, copy.to.1.into(), &who)?;
            cta.shared.store(copy.to.1, &bytes[..copy.bytes as usize], &who)?;
            space.stats.copied_bytes += u64::from(copy.bytes);
            if self.copies.is_empty() {
                space.ctas[copy.to.0 as usize].shared.in_flight.end(ticket);
            }
        }
        Ok(if self.copies.is_empty() { Progress::Done } else { Progress::Partly })
    }
}

/// Arrivals that follow earlier operations of their threads.
#[derive(Debug)]
pub struct ArriveJob {
    /// Lane, CTA rank and offset of each barrier.
    pub barriers: Vec<(u32, u32, u32)>,
    /// What they announce, where races are looked for.
    pub clocks: Option<Box<(Clocks, Event)>>,
}

impl ArriveJob {
    pub(super) fn step(&mut self, space: &mut Space, actor: Actor) -> Result<Progress, Box<Fault>> {
        for (lane, rank, offset) in self.barriers.drain(..) {
            let who = Who::generic(Actor { lane: Some(lane), ..actor });
            space.announce((rank, offset), self.clocks.as_deref(), who.actor)?;
            space.arrive((rank, offset), 1, false, &who)?;
        }
        Ok(Progress::Done)
    }
}

/// One lane's `st.async`.
#[derive(Debug, Clone, Copy)]
pub struct LaneStore {
    /// Lane.
    pub lane: u32,
    /// CTA rank and offset of the destination.
    pub to: (u32, u32),
    /// Bytes.
    pub data: [u8; 16],
    /// How many of them.
    pub len: u32,
    /// CTA rank and offset of the barrier.
    pub barrier: (u32, u32),
}

/// `st.async` and `red.async` of a warp.
#[derive(Debug)]
pub struct StoreAsyncJob {
    /// Lanes that have not landed.
    pub stores: Vec<LaneStore>,
    /// The reduction.
    pub reduce: Option<(ReduceKind, AtomType)>,
}

impl StoreAsyncJob {
    pub(super) fn step(&mut self, space: &mut Space, who: &Who) -> Result<Progress, Box<Fault>> {
        let index = space.rng.random_range(0..self.stores.len());
        let store = self.stores.swap_remove(index);
        let who = Who { actor: Actor { lane: Some(store.lane), ..who.actor }, ..*who };
        let (rank, offset) = store.to;
        let cta = space.cta(rank, shared::address_of(rank, offset).into(), &who)?;
        match self.reduce {
            None => cta.shared.store(offset, &store.data[..store.len as usize], &who)?,
            Some((kind, ty)) => {
                let old = cta.shared.load_scalar(offset, store.len, &who)?;
                let mut word = [0; 8];
                word.copy_from_slice(&store.data[..8]);
                let new = atomic::reduce(kind, ty, old, u64::from_le_bytes(word)).to_le_bytes();
                cta.shared.store(offset, &new[..store.len as usize], &who)?;
            }
        }
        space.complete_tx(store.barrier, store.len, &who)?;
        Ok(if self.stores.is_empty() { Progress::Done } else { Progress::Partly })
    }
}

/// `clusterlaunchcontrol.try_cancel`.
#[derive(Debug)]
pub struct CancelJob {
    /// Offset of the 16-byte answer.
    pub answer: u32,
    /// Offset of the barrier.
    pub barrier: u32,
    /// Ranks of the CTAs that get the answer.
    pub ranks: Vec<u32>,
}

impl CancelJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        _env: &Env<'_>,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        let mut answer = [0; 16];
        if let Some(first) = space.unstarted.pop() {
            for (i, word) in first.iter().enumerate() {
                answer[i * 4..][..4].copy_from_slice(&word.to_le_bytes());
            }
            answer[15] = 0x80;
        }
        for &rank in &self.ranks {
            let cta = space.cta(rank, self.answer.into(), who)?;
            cta.shared.store(self.answer, &answer, who)?;
            space.complete_tx((rank, self.barrier), 16, who)?;
        }
        Ok(Progress::Done)
    }
}
