//! mbarrier objects: pending arrivals, transaction count, phase. The rules are those of PTX 9.0,
//! section 9.7.13.15; what it calls undefined is a fault here.

use std::collections::BTreeMap;

use super::access::Who;
use super::shared::{SharedMemory, address_of};
use crate::error::{Actor, Fault, FaultKind};

/// The largest arrival count and the largest magnitude of a transaction count.
pub const COUNT_LIMIT: i64 = (1 << 20) - 1;

/// One barrier object.
#[derive(Debug, Clone)]
pub struct Mbarrier {
    /// Arrivals each phase waits for.
    pub expected: i64,
    /// Arrivals the current phase still waits for.
    pub pending: i64,
    /// Bytes announced and not yet delivered; negative when they were delivered first.
    pub transactions: i64,
    /// Phases completed so far. Its lowest bit is the parity of the current, incomplete phase.
    pub phase: u64,
    /// Who initialised it.
    pub by: Actor,
}

/// All live barriers of one CTA, by offset.
#[derive(Debug, Default)]
pub struct Mbarriers {
    objects: BTreeMap<u32, Mbarrier>,
    /// Phases completed by all barriers together: waiters look again when it moves.
    pub completions: u64,
}

/// What distinguishes a state token of ours from a number that never was one.
const TOKEN_MARK: u64 = 0xb4a2 << 48;
/// The bits of a state token that tell the phase.
const PHASE_MASK: u64 = (1 << 28) - 1;

impl Mbarriers {
    /// `mbarrier.init`.
    pub fn init(
        &mut self,
        shared: &mut SharedMemory,
        rank: u32,
        offset: u32,
        count: u32,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        check_place(shared, rank, offset, who)?;
        if let Some(live) = self.objects.get(&offset) {
            let message = format!(
                "mbarrier.init at shared {offset:#x}, where an mbarrier is live since line {}; \
                 mbarrier.inval first",
                live.by.line
            );
            let fault =
                who.fault(FaultKind::BarrierMisuse, address_of(rank, offset).into(), message);
            return Err(Box::new(fault.against(live.by)));
        }
        let count = i64::from(count);
        if !(1..=COUNT_LIMIT).contains(&count) {
            let message =
                format!("mbarrier.init with count {count}; 1 to {COUNT_LIMIT} are allowed");
            return Err(who.fault(
                FaultKind::BarrierMisuse,
                address_of(rank, offset).into(),
                message,
            ));
        }
        if shared.in_flight.busy() {
            shared.in_flight.check(offset, 8, true, who, rank)?;
        }
        shared.mark_barrier(offset, true);
        let by = who.actor;
        let fresh = Mbarrier { expected: count, pending: count, transactions: 0, phase: 0, by };
        self.objects.insert(offset, fresh);
        Ok(())
    }

    /// `mbarrier.inval`.
    pub fn invalidate(
        &mut self,
        shared: &mut SharedMemory,
        rank: u32,
        offset: u32,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        let barrier = self.object(rank, offset, "mbarrier.inval", who)?;
        if barrier.transactions != 0 {
            let message = format!(
                "mbarrier.inval while {} transaction bytes are outstanding",
                barrier.transactions
            );
            return Err(who.fault(
                FaultKind::BarrierMisuse,
                address_of(rank, offset).into(),
                message,
            ));
        }
        self.objects.remove(&offset);
        shared.mark_barrier(offset, false);
        Ok(())
    }

    /// `mbarrier.arrive` with a count; `drop` also lowers the count of later phases. Returns the
    /// state token of the phase in which the arrival counted.
    pub fn arrive(
        &mut self,
        rank: u32,
        offset: u32,
        count: u32,
        drop: bool,
        who: &Who,
    ) -> Result<u64, Box<Fault>> {
        let barrier = self.object(rank, offset, "an arrival", who)?;
        let count = i64::from(count);
        if !(1..=COUNT_LIMIT).contains(&count) || count > barrier.pending {
            let message = format!(
                "arrival of count {count} on the mbarrier at shared {offset:#x}, phase {}, which \
                 waits for {} more of {} (transaction count {})",
                barrier.phase, barrier.pending, barrier.expected, barrier.transactions
            );
            return Err(who.fault(
                FaultKind::BarrierMisuse,
                address_of(rank, offset).into(),
                message,
            ));
        }
        let token = token(barrier);
        barrier.pending -= count;
        if drop {
            barrier.expected -= count;
        }
        self.settle(offset);
        Ok(token)
    }

    /// Raises the pending count of the current phase by one (`cp.async.mbarrier.arrive` without
    /// `.noinc`).
    pub fn increment(&mut self, rank: u32, offset: u32, who: &Who) -> Result<(), Box<Fault>> {
        self.object(rank, offset, "cp.async.mbarrier.arrive", who)?.pending += 1;
        Ok(())
    }

    /// `expect-tx`: `bytes` more must be delivered in the current phase.
    pub fn expect(
        &mut self,
        rank: u32,
        offset: u32,
        bytes: u32,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        self.transact(rank, offset, i64::from(bytes), who)
    }

    /// `complete-tx`: `bytes` have been delivered.
    pub fn complete(
        &mut self,
        rank: u32,
        offset: u32,
        bytes: u32,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        self.transact(rank, offset, -i64::from(bytes), who)?;
        self.settle(offset);
        Ok(())
    }

    fn transact(
        &mut self,
        rank: u32,
        offset: u32,
        change: i64,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        let barrier = self.object(rank, offset, "a transaction", who)?;
        barrier.transactions += change;
        if barrier.transactions.abs() > COUNT_LIMIT {
            let message = format!(
                "the transaction count of the mbarrier at shared {offset:#x} became {}; its range is \
                 -{COUNT_LIMIT} to {COUNT_LIMIT}",
                barrier.transactions
            );
            return Err(who.fault(
                FaultKind::BarrierMisuse,
                address_of(rank, offset).into(),
                message,
            ));
        }
        Ok(())
    }

    /// Whether the phase of parity `parity` is complete: `try_wait.parity`, `test_wait.parity`.
    pub fn parity_done(
        &mut self,
        rank: u32,
        offset: u32,
        parity: u32,
        who: &Who,
    ) -> Result<bool, Box<Fault>> {
        let barrier = self.object(rank, offset, "a wait", who)?;
        if parity > 1 {
            let message = format!("mbarrier wait for parity {parity}; a parity is 0 or 1");
            return Err(who.fault(
                FaultKind::BarrierMisuse,
                address_of(rank, offset).into(),
                message,
            ));
        }
        Ok(barrier.phase & 1 != u64::from(parity))
    }

    /// Whether the phase of a state token is complete: `try_wait`, `test_wait` with a state.
    pub fn token_done(
        &mut self,
        rank: u32,
        offset: u32,
        state: u64,
        who: &Who,
    ) -> Result<bool, Box<Fault>> {
        let barrier = self.object(rank, offset, "a wait", who)?;
        let known = pending_count(state).is_some();
        let age = barrier.phase.wrapping_sub(state) & PHASE_MASK;
        if !known || age > 1 {
            let message = format!(
                "mbarrier wait with the state {state:#x}, which is not of the current phase ({}) nor \
                 of the one before",
                barrier.phase
            );
            return Err(who.fault(
                FaultKind::BarrierMisuse,
                address_of(rank, offset).into(),
                message,
            ));
        }
        Ok(age == 1)
    }

    /// `mbarrier.pending_count` of a token needs no object; the barrier at `offset`, if live.
    pub fn get(&self, offset: u32) -> Option<&Mbarrier> {
        self.objects.get(&offset)
    }

    /// All live barriers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Mbarrier)> {
        self.objects.iter().map(|(offset, barrier)| (*offset, barrier))
    }

    fn object(
        &mut self,
        rank: u32,
        offset: u32,
        what: &str,
        who: &Who,
    ) -> Result<&mut Mbarrier, Box<Fault>> {
        if !self.objects.contains_key(&offset) {
            let kind = if offset.is_multiple_of(8) {
                FaultKind::BarrierMisuse
            } else {
                FaultKind::Misaligned
            };
            let message = format!(
                "{what} on shared {offset:#x} of the CTA of rank {rank}, where no mbarrier was \
                 initialised"
            );
            return Err(who.fault(kind, address_of(rank, offset).into(), message));
        }
        Ok(self.objects.get_mut(&offset).expect("checked above"))
    }

    /// Completes the phase when nothing is missing.
    fn settle(&mut self, offset: u32) {
        let Some(barrier) = self.objects.get_mut(&offset) else { return };
        if barrier.pending == 0 && barrier.transactions == 0 {
            barrier.phase += 1;
            barrier.pending = barrier.expected;
            self.completions += 1;
        }
    }
}

/// The phase's low bits, and the arrivals that it still waits for.
fn token(barrier: &Mbarrier) -> u64 {
    TOKEN_MARK | (barrier.pending as u64 & 0xf_ffff) << 28 | barrier.phase & PHASE_MASK
}

/// `mbarrier.pending_count`: what a state says; `None` when it is no state.
pub fn pending_count(state: u64) -> Option<u32> {
    (state >> 48 << 48 == TOKEN_MARK).then_some((state >> 28) as u32 & 0xf_ffff)
}

fn check_place(shared: &SharedMemory, rank: u32, offset: u32, who: &Who) -> Result<(), Box<Fault>> {
    if !offset.is_multiple_of(8) {
        let message = format!("mbarrier at shared {offset:#x}, which is not a multiple of 8");
        return Err(who.fault(FaultKind::Misaligned, address_of(rank, offset).into(), message));
    }
    shared.check_bounds(offset, 8, who)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        shared: SharedMemory,
        barriers: Mbarriers,
        who: Who,
    }

    fn bench(count: u32) -> Bench {
        let mut b = Bench {
            shared: SharedMemory::new(0, 64),
            barriers: Mbarriers::default(),
            who: Who::generic(Actor::default()),
        };
        b.barriers.init(&mut b.shared, 0, 0x400, count, &b.who).unwrap();
        b
    }

    #[test]
    fn a_fresh_barrier_lets_parity_one_pass() {
        let mut b = bench(1);
        assert!(b.barriers.parity_done(0, 0x400, 1, &b.who).unwrap());
        assert!(!b.barriers.parity_done(0, 0x400, 0, &b.who).unwrap());
        assert!(b.barriers.parity_done(0, 0x400, 2, &b.who).is_err());
    }

    #[test]
    fn bytes_may_come_before_they_are_expected() {
        let mut b = bench(1);
        b.barriers.complete(0, 0x400, 96, &b.who).unwrap();
        assert!(!b.barriers.parity_done(0, 0x400, 0, &b.who).unwrap());
        b.barriers.expect(0, 0x400, 128, &b.who).unwrap();
        let token = b.barriers.arrive(0, 0x400, 1, false, &b.who).unwrap();
        assert!(!b.barriers.token_done(0, 0x400, token, &b.who).unwrap());
        b.barriers.complete(0, 0x400, 32, &b.who).unwrap();
        assert!(b.barriers.token_done(0, 0x400, token, &b.who).unwrap());
        assert!(b.barriers.parity_done(0, 0x400, 0, &b.who).unwrap());
        assert_eq!(b.barriers.get(0x400).unwrap().pending, 1);
    }

    #[test]
    fn misuse_is_named() {
        let mut b = bench(2);
        let kind = |r: Result<u64, Box<Fault>>| r.unwrap_err().kind;
        assert_eq!(kind(b.barriers.arrive(0, 0x400, 3, false, &b.who)), FaultKind::BarrierMisuse);
        assert_eq!(kind(b.barriers.arrive(0, 0x408, 1, false, &b.who)), FaultKind::BarrierMisuse);
        assert_eq!(kind(b.barriers.arrive(0, 0x404, 1, false, &b.who)), FaultKind::Misaligned);
        assert!(b.barriers.init(&mut b.shared, 0, 0x400, 1, &b.who).is_err());
        assert!(b.barriers.init(&mut b.shared, 0, 0x410, 0, &b.who).is_err());
        assert!(b.barriers.init(&mut b.shared, 0, 0x414, 1, &b.who).is_err());
        assert!(b.barriers.init(&mut b.shared, 0, 0x440, 1, &b.who).is_err());
        b.barriers.expect(0, 0x400, 0xfffff, &b.who).unwrap();
        assert!(b.barriers.expect(0, 0x400, 1, &b.who).is_err());
        assert!(b.barriers.token_done(0, 0x400, 7, &b.who).is_err());
        assert!(b.shared.store(0x404, &[0], &b.who).is_err());
    }

    #[test]
    fn dropping_lowers_later_phases() {
        let mut b = bench(2);
        b.barriers.arrive(0, 0x400, 1, true, &b.who).unwrap();
        b.barriers.arrive(0, 0x400, 1, false, &b.who).unwrap();
        assert_eq!(b.barriers.get(0x400).unwrap().pending, 1);
        assert_eq!(b.barriers.completions, 1);
        b.barriers.invalidate(&mut b.shared, 0, 0x400, &b.who).unwrap();
        assert!(b.barriers.get(0x400).is_none());
    }
}
