//! Asynchronous operations that have been issued and are not complete, by the bytes or tensor
//! memory cells they will still read or write.
//!
//! An access that conflicts with one of them is a race whatever happens next: no wait on the
//! operation can have succeeded before it completed. (The converse is not true: an operation that
//! happened to complete early hides the missing wait under this seed.)

use super::access::Who;
use super::shared::address_of;
use crate::error::{Actor, Fault, FaultKind};

/// The identity of an asynchronous operation.
pub type Ticket = u64;

/// A range that an operation still uses.
#[derive(Debug, Clone, Copy)]
struct Use {
    ticket: Ticket,
    start: u32,
    end: u32,
    write: bool,
    actor: Actor,
    what: &'static str,
}

/// The uses of one CTA's shared memory. Ranges are contiguous: an operand's rows and the gaps
/// between them count as one.
#[derive(Debug, Default)]
pub struct InFlight {
    uses: Vec<Use>,
    /// How many of `uses` touch each KiB: the quick answer "none" for most generic accesses.
    blocks: Vec<u16>,
}

impl InFlight {
    /// Whether anything is in flight.
    #[inline]
    pub fn busy(&self) -> bool {
        !self.uses.is_empty()
    }

    /// Notes that `ticket` uses `len` bytes from `start` until [`InFlight::end`].
    pub fn begin(
        &mut self,
        ticket: Ticket,
        (start, len): (u32, u32),
        write: bool,
        actor: Actor,
        what: &'static str,
    ) {
        let end = start + len;
        let last = end.saturating_sub(1) as usize >> 10;
        if self.blocks.len() <= last {
            self.blocks.resize(last + 1, 0);
        }
        self.blocks[start as usize >> 10..=last].iter_mut().for_each(|n| *n += 1);
        self.uses.push(Use { ticket, start, end, write, actor, what });
    }

    /// Line and name of some use.
    pub fn first(&self) -> Option<(u32, &'static str)> {
        self.uses.first().map(|u| (u.actor.line, u.what))
    }

    /// Forgets every use of `ticket`.
    pub fn end(&mut self, ticket: Ticket) {
        let mut at = 0;
        while at < self.uses.len() {
            let u = self.uses[at];
            if u.ticket == ticket {
                let last = u.end.saturating_sub(1) as usize >> 10;
                self.blocks[u.start as usize >> 10..=last].iter_mut().for_each(|n| *n -= 1);
                self.uses.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Whether an access of `len` bytes at `start` conflicts with work in flight.
    #[inline]
    pub fn check(
        &self,
        start: u32,
        len: u32,
        write: bool,
        who: &Who,
        rank: u32,
    ) -> Result<(), Box<Fault>> {
        let last = (start + len).saturating_sub(1) as usize >> 10;
        let first = start as usize >> 10;
        let touched = (first..=last).any(|b| self.blocks.get(b).is_some_and(|&n| n > 0));
        if touched { self.check_all(start, len, write, who, rank) } else { Ok(()) }
    }

    fn check_all(
        &self,
        start: u32,
        len: u32,
        write: bool,
        who: &Who,
        rank: u32,
    ) -> Result<(), Box<Fault>> {
        let conflict = |u: &&Use| start < u.end && u.start < start + len && (write || u.write);
        let Some(other) = self.uses.iter().find(conflict) else { return Ok(()) };
        let message = format!(
            "{} {len} shared bytes at {start:#x} while the {} of line {} still {} {:#x}..{:#x}; a \
             wait for its completion is missing",
            if write { "writes" } else { "reads" },
            other.what,
            other.actor.line,
            if other.write { "writes" } else { "reads" },
            other.start,
            other.end
        );
        let fault = Fault::new(FaultKind::Race, message)
            .at(address_of(rank, start).into())
            .by(who.actor)
            .against(other.actor);
        Err(Box::new(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_may_share_writes_may_not() {
        let who = Who::generic(Actor::default());
        let mut flight = InFlight::default();
        flight.begin(1, (0x800, 0x1000), false, Actor::default(), "cp.async.bulk");
        assert!(flight.check(0x900, 4, false, &who, 0).is_ok());
        let fault = flight.check(0x17fc, 4, true, &who, 0).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Race);
        assert!(fault.other.is_some());
        assert!(flight.check(0x1800, 4, true, &who, 0).is_ok());
        assert!(flight.check(0x7fc, 4, true, &who, 0).is_ok());
        flight.end(1);
        assert!(!flight.busy());
        assert!(flight.check(0x900, 4, true, &who, 0).is_ok());
    }
}
