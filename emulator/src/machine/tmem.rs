//! Tensor memory of one CTA: 128 lanes by 512 columns of 32 bits, and the ledger of allocations.
//!
//! Each CTA has the whole memory to itself: two CTAs that would share an SM, and compete for
//! columns there, do not meet here.

use super::access::Who;
use super::inflight::Ticket;
use crate::error::{Actor, Fault, FaultKind};

/// Lanes.
pub const LANES: usize = 128;
/// Columns.
pub const COLUMNS: u32 = 512;

/// A set of lanes, one bit each.
pub type LaneSet = u128;

/// All lanes.
pub const ALL_LANES: LaneSet = u128::MAX;

/// Splits a tensor-memory address into (lane, column).
pub fn split(address: u32) -> (u32, u32) {
    (address >> 16, address & 0xffff)
}

/// One allocation of columns.
#[derive(Debug, Clone, Copy)]
struct Allocation {
    start: u32,
    columns: u32,
    by: Actor,
}

/// The name of the uses that `tcgen05.st` makes.
pub const STORE: &str = "tcgen05.st";

/// A part of tensor memory that an unfinished operation uses.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// The operation.
    pub ticket: Ticket,
    /// First column and number of columns.
    pub columns: (u32, u32),
    /// Lanes.
    pub lanes: LaneSet,
    /// Whether it writes.
    pub write: bool,
    /// Who issued it.
    pub actor: Actor,
    /// Its name.
    pub what: &'static str,
}

/// The memory and its ledger.
#[derive(Debug, Default)]
pub struct TensorMemory {
    /// Column by column: a column's 128 lanes are neighbours.
    cells: Vec<[u32; LANES]>,
    written: Vec<LaneSet>,
    allocations: Vec<Allocation>,
    relinquished: Option<Actor>,
    /// The last allocation's size: later ones may not be larger.
    last_size: Option<u32>,
    uses: Vec<Use>,
}

impl TensorMemory {
    /// Checks a `tcgen05.alloc` and takes the columns: `None` when they are not free, so that the
    /// warp must wait.
    pub fn allocate(&mut self, columns: u32, who: &Who) -> Result<Option<u32>, Box<Fault>> {
        if !(32..=COLUMNS).contains(&columns) || !columns.is_power_of_two() {
            return Err(who.fault(
                FaultKind::TensorMemory,
                columns.into(),
                format!(
                    "tcgen05.alloc of {columns} columns; a power of two from 32 to 512 is allowed"
                ),
            ));
        }
        if let Some(by) = self.relinquished {
            let message = "tcgen05.alloc after relinquish_alloc_permit";
            let fault = who.fault(FaultKind::TensorMemory, columns.into(), message);
            return Err(Box::new(fault.against(by)));
        }
        if let Some(last) = self.last_size.filter(|&last| columns > last) {
            let message = format!(
                "tcgen05.alloc of {columns} columns after one of {last}: the sizes of a CTA's \
                 successive allocations must not increase"
            );
            return Err(who.fault(FaultKind::TensorMemory, columns.into(), message));
        }
        let free = (0..=COLUMNS - columns).step_by(32).find(|&start| {
            self.allocations
                .iter()
                .all(|a| start + columns <= a.start || a.start + a.columns <= start)
        });
        let Some(start) = free else { return Ok(None) };
        if self.cells.is_empty() {
            self.cells = vec![[0; LANES]; COLUMNS as usize];
            self.written = vec![0; COLUMNS as usize];
        }
        // What an earlier owner left there is nobody's value.
        self.written[start as usize..(start + columns) as usize].fill(0);
        self.allocations.push(Allocation { start, columns, by: who.actor });
        self.last_size = Some(columns);
        Ok(Some(start))
    }

    fn room(&self, columns: u32) -> Option<u32> {
        let apart =
            |start: u32, a: &Allocation| start + columns <= a.start || a.start + a.columns <= start;
        (0..=COLUMNS - columns)
            .step_by(32)
            .find(|&start| self.allocations.iter().all(|a| apart(start, a)))
    }

    /// Whether an allocation of that size would succeed now.
    pub fn has_room(&self, columns: u32) -> bool {
        self.room(columns).is_some()
    }

    /// Line and name of some unfinished use.
    pub fn first_use(&self) -> Option<(u32, &'static str)> {
        self.uses.first().map(|u| (u.actor.line, u.what))
    }

    /// `tcgen05.dealloc`.
    pub fn free(&mut self, address: u32, columns: u32, who: &Who) -> Result<(), Box<Fault>> {
        let (lane, column) = split(address);
        let found = self
            .allocations
            .iter()
            .position(|a| lane == 0 && a.start == column && a.columns == columns);
        let Some(index) = found else {
            let held: Vec<String> = self
                .allocations
                .iter()
                .map(|a| format!("{} at {:#x}", a.columns, a.start))
                .collect();
            let message = format!(
                "tcgen05.dealloc of {columns} columns at {address:#x}, which is no allocation (held: \
                 {})",
                if held.is_empty() { "none".to_owned() } else { held.join(", ") }
            );
            return Err(who.fault(FaultKind::TensorMemory, address.into(), message));
        };
        self.check_uses((column, columns), ALL_LANES, true, who, None)?;
        self.allocations.swap_remove(index);
        Ok(())
    }

    /// `tcgen05.relinquish_alloc_permit`.
    pub fn relinquish(&mut self, who: &Who) {
        self.relinquished = Some(who.actor);
    }

    /// What is still allocated, for the report of a leak: (column, columns, who).
    pub fn held(&self) -> impl Iterator<Item = (u32, u32, Actor)> {
        self.allocations.iter().map(|a| (a.start, a.columns, a.by))
    }

    /// Checks that columns lie inside one allocation.
    #[inline]
    pub fn check_columns(&self, column: u32, columns: u32, who: &Who) -> Result<(), Box<Fault>> {
        let inside = |a: &Allocation| a.start <= column && column + columns <= a.start + a.columns;
        if self.allocations.iter().any(inside) {
            return Ok(());
        }
        let message = format!(
            "tensor memory columns {column}..{} are not inside an allocation of this CTA",
            column + columns
        );
        Err(who.fault(FaultKind::TensorMemory, column.into(), message))
    }

    /// Reads lanes `lane..lane+out.len()` of one column, all of which must have been written.
    #[inline]
    pub fn read(
        &self,
        column: u32,
        lane: usize,
        out: &mut [u32],
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        let wanted = lanes(lane, out.len());
        if self.written[column as usize] & wanted != wanted {
            return Err(self.never_written(column, wanted, who));
        }
        out.copy_from_slice(&self.cells[column as usize][lane..lane + out.len()]);
        Ok(())
    }

    /// The 128 lanes of one column; those of `wanted` must have been written.
    #[inline]
    pub fn column(
        &self,
        column: u32,
        wanted: LaneSet,
        who: &Who,
    ) -> Result<&[u32; LANES], Box<Fault>> {
        if self.written[column as usize] & wanted != wanted {
            return Err(self.never_written(column, wanted, who));
        }
        Ok(&self.cells[column as usize])
    }

    /// All lanes of one column, to be written in full.
    #[inline]
    pub fn column_mut(&mut self, column: u32) -> &mut [u32; LANES] {
        self.written[column as usize] = ALL_LANES;
        &mut self.cells[column as usize]
    }

    /// Writes one cell.
    #[inline]
    pub fn write(&mut self, column: u32, lane: usize, value: u32) {
        self.cells[column as usize][lane] = value;
        self.written[column as usize] |= 1 << lane;
    }

    /// Writes neighbouring lanes of one column.
    #[inline]
    pub fn write_lanes(&mut self, column: u32, lane: usize, values: &[u32]) {
        self.cells[column as usize][lane..lane + values.len()].copy_from_slice(values);
        self.written[column as usize] |= lanes(lane, values.len());
    }

    /// The `tcgen05.st` in flight that touch some columns and lanes.
    pub fn stores(&self, columns: (u32, u32), lanes: LaneSet) -> impl Iterator<Item = Ticket> {
        let touches = move |u: &&Use| {
            columns.0 < u.columns.0 + u.columns.1
                && u.columns.0 < columns.0 + columns.1
                && u.lanes & lanes != 0
        };
        self.uses.iter().filter(|u| u.what == STORE).filter(touches).map(|u| u.ticket)
    }

    /// Notes a use until [`TensorMemory::end_use`].
    pub fn begin_use(&mut self, using: Use) {
        self.uses.push(using);
    }

    /// Forgets the uses of `ticket`.
    pub fn end_use(&mut self, ticket: Ticket) {
        self.uses.retain(|u| u.ticket != ticket);
    }

    /// Whether an access conflicts with an operation in flight; those whose ticket `ordered`
    /// accepts come first by the rules of the pipeline.
    pub fn check_uses(
        &self,
        columns: (u32, u32),
        lanes: LaneSet,
        write: bool,
        who: &Who,
        ordered: Option<&dyn Fn(Ticket) -> bool>,
    ) -> Result<(), Box<Fault>> {
        let (start, end) = (columns.0, columns.0 + columns.1);
        let conflict = |u: &&Use| {
            start < u.columns.0 + u.columns.1
                && u.columns.0 < end
                && u.lanes & lanes != 0
                && (write || u.write)
                && !ordered.is_some_and(|known| known(u.ticket))
        };
        let Some(other) = self.uses.iter().find(conflict) else { return Ok(()) };
        let message = format!(
            "{} tensor memory columns {start}..{end} while the {} of line {} still {} columns {}..{}; \
             nothing orders the two",
            if write { "writes" } else { "reads" },
            other.what,
            other.actor.line,
            if other.write { "writes" } else { "reads" },
            other.columns.0,
            other.columns.0 + other.columns.1
        );
        let fault = who.fault(FaultKind::Race, start.into(), message);
        Err(Box::new(fault.against(other.actor)))
    }

    #[cold]
    fn never_written(&self, column: u32, wanted: LaneSet, who: &Who) -> Box<Fault> {
        let missing = wanted & !self.written[column as usize];
        let lane = missing.trailing_zeros();
        let message = format!(
            "tensor memory lane {lane}, column {column} was read and never written ({} lanes of the \
             column were not)",
            missing.count_ones()
        );
        who.fault(FaultKind::UnwrittenRead, u64::from(lane << 16 | column), message)
    }
}

/// `n` lanes from `first`.
#[inline]
pub fn lanes(first: usize, n: usize) -> LaneSet {
    if n == 0 { 0 } else { (u128::MAX >> (LANES - n)) << first }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Who {
        Who::generic(Actor::default())
    }

    #[test]
    fn the_ledger() {
        let mut tmem = TensorMemory::default();
        assert!(tmem.allocate(48, &who()).is_err());
        assert!(tmem.allocate(16, &who()).is_err());
        assert_eq!(tmem.allocate(256, &who()).unwrap(), Some(0));
        assert_eq!(tmem.allocate(256, &who()).unwrap(), Some(256));
        assert_eq!(tmem.allocate(32, &who()).unwrap(), None);
        assert!(tmem.free(256, 128, &who()).is_err());
        tmem.free(0, 256, &who()).unwrap();
        let twice = tmem.free(0, 256, &who()).unwrap_err();
        assert_eq!(twice.kind, FaultKind::TensorMemory);
        assert_eq!(tmem.allocate(32, &who()).unwrap(), Some(0));
        assert!(tmem.check_columns(0, 33, &who()).is_err());
        assert!(tmem.check_columns(256, 256, &who()).is_ok());
        assert!(tmem.allocate(64, &who()).is_err(), "larger than the one before");
        tmem.relinquish(&who());
        assert!(tmem.allocate(32, &who()).is_err());
        assert_eq!(tmem.held().count(), 2);
    }

    #[test]
    fn unwritten_cells_and_uses() {
        let mut tmem = TensorMemory::default();
        tmem.allocate(32, &who()).unwrap();
        tmem.write_lanes(3, 32, &[5; 32]);
        let mut out = [0; 32];
        tmem.read(3, 32, &mut out, &who()).unwrap();
        assert_eq!(out, [5; 32]);
        let fault = tmem.read(3, 33, &mut out, &who()).unwrap_err();
        assert_eq!((fault.kind, fault.address), (FaultKind::UnwrittenRead, Some(64 << 16 | 3)));
        let actor = Actor::default();
        tmem.begin_use(Use {
            ticket: 9,
            columns: (0, 4),
            lanes: ALL_LANES,
            write: true,
            actor,
            what: "tcgen05.mma",
        });
        assert!(tmem.check_uses((3, 1), 1, false, &who(), None).is_err());
        assert!(tmem.check_uses((3, 1), 1, false, &who(), Some(&|t| t == 9)).is_ok());
        assert!(tmem.check_uses((4, 1), 1, true, &who(), None).is_ok());
        tmem.end_use(9);
        assert!(tmem.check_uses((3, 1), 1, false, &who(), None).is_ok());
    }
}
