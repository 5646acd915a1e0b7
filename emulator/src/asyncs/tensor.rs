//! `tcgen05` operations under way.

use super::Progress;
use crate::error::Fault;
use crate::machine::access::Who;
use crate::machine::clock::Clocks;
use crate::machine::cluster::Space;
use crate::machine::inflight::Ticket;
use crate::machine::races::Event;
use crate::machine::registers::{Lane32, Lanes};
use crate::machine::tmem;
use crate::machine::warp::each;
use crate::tensor::smem_descriptor::MatrixDescriptor;
use crate::tensor::tmem_layout::{AccessShape, CopyShape};

pub use super::mma::{MmaJob, MmaOperandA};

/// `tcgen05.cp`: each CTA of the group copies from its own shared memory to its own tensor memory.
#[derive(Debug)]
pub struct CellCopyJob {
    /// Shape.
    pub shape: CopyShape,
    /// Source.
    pub descriptor: MatrixDescriptor,
    /// First column.
    pub column: u32,
    /// CTAs.
    pub ranks: Vec<u32>,
}

impl CellCopyJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        ticket: Ticket,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        for &rank in &self.ranks {
            let cta = space.cta(rank, self.column.into(), who)?;
            for row in 0..self.shape.rows() {
                for chunk in 0..self.shape.row_bytes() / 16 {
                    let offset = self.descriptor.k_major(row, chunk * 16);
                    let source = cta.shared.load(offset, 16, who)?;
                    for (c, cell) in source.chunks_exact(4).enumerate() {
                        let value = u32::from_le_bytes([cell[0], cell[1], cell[2], cell[3]]);
                        let column = self.column + chunk * 4 + c as u32;
                        for lane in self.shape.lanes(row) {
                            cta.tmem.write(column, lane as usize, value);
                        }
                    }
                }
            }
            cta.shared.in_flight.end(ticket);
            cta.tmem.end_use(ticket);
        }
        space.stats.tensor_copies += 1;
        Ok(Progress::Done)
    }
}

/// `tcgen05.commit`: arrives when the operations before it are complete.
#[derive(Debug)]
pub struct CommitJob {
    /// CTA rank and offset of each barrier.
    pub barriers: Vec<(u32, u32)>,
    /// What it announces, where races are looked for.
    pub clocks: Option<Box<(Clocks, Event)>>,
}

impl CommitJob {
    /// Whether it arrives in the CTA of `rank`.
    pub(super) fn signals(&self, rank: u32) -> bool {
        self.barriers.iter().any(|b| b.0 == rank)
    }

    pub(super) fn step(&mut self, space: &mut Space, who: &Who) -> Result<Progress, Box<Fault>> {
        for &barrier in &self.barriers {
            space.announce(barrier, self.clocks.as_deref(), who.actor)?;
            space.arrive(barrier, 1, false, who)?;
        }
        Ok(Progress::Done)
    }
}

/// `tcgen05.shift.down`: rows move one lane down, the last keeps its place.
#[derive(Debug)]
pub struct ShiftJob {
    /// First lane and column.
    pub at: (u32, u32),
    /// CTAs.
    pub ranks: Vec<u32>,
}

impl ShiftJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        ticket: Ticket,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        let (lane, first) = self.at;
        for &rank in &self.ranks {
            let cta = space.cta(rank, first.into(), who)?;
            for column in first..first + 8 {
                let mut rows = [0; 32];
                cta.tmem.read(column, lane as usize, &mut rows, who)?;
                cta.tmem.write_lanes(column, lane as usize, &rows[1..]);
            }
            cta.tmem.end_use(ticket);
        }
        Ok(Progress::Done)
    }
}

/// The cells of a `tcgen05.ld` or `st`.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// Shape.
    pub shape: AccessShape,
    /// Registers per thread.
    pub registers: u32,
    /// Two columns of 16 bits to a register.
    pub packed: bool,
    /// First lane, of all 128.
    pub lane: u32,
    /// First column.
    pub column: u32,
    /// Column distance of the upper half of `.16x32bx2`.
    pub half_split: u32,
}

impl Access {
    /// Column ranges that it touches.
    pub fn columns(&self) -> u32 {
        let factor = if self.packed { 2 } else { 1 };
        let per = self.shape.registers(1);
        self.shape.columns(self.registers * factor / per)
    }

    fn cell(&self, thread: u32, register: u32) -> (u32, usize) {
        let (lane, column) = self.shape.cell(thread, register, self.half_split);
        (self.column + column, (self.lane + lane) as usize)
    }
}

/// `tcgen05.ld`: what it reads waits in the queue's results for `wait::ld`.
#[derive(Debug)]
pub struct TmemLoadJob {
    /// Cells.
    pub access: Access,
    /// Threads.
    pub lanes: Lanes,
}

impl TmemLoadJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        ticket: Ticket,
        rank: u32,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        let access = self.access;
        let cta = space.cta(rank, access.column.into(), who)?;
        let mut values: Vec<Lane32> = vec![[0; 32]; access.registers as usize];
        for (register, value) in (0u32..).zip(&mut values) {
            if access.shape == AccessShape::L32x32b && !access.packed {
                cta.tmem.read(access.column + register, access.lane as usize, value, who)?;
                continue;
            }
            for thread in each(self.lanes) {
                let one = |register| -> Result<u32, Box<Fault>> {
                    let (column, lane) = access.cell(thread, register);
                    let mut out = [0];
                    cta.tmem.read(column, lane, &mut out, who)?;
                    Ok(out[0])
                };
                value[thread as usize] = if access.packed {
                    one(2 * register)? & 0xffff | one(2 * register + 1)? << 16
                } else {
                    one(register)?
                };
            }
        }
        cta.tmem.end_use(ticket);
        space.queue.results.insert(ticket, values);
        Ok(Progress::Done)
    }
}

/// `tcgen05.st`.
#[derive(Debug)]
pub struct TmemStoreJob {
    /// Cells.
    pub access: Access,
    /// Threads.
    pub lanes: Lanes,
    /// The registers.
    pub values: Vec<Lane32>,
}

impl TmemStoreJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        ticket: Ticket,
        rank: u32,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        let access = self.access;
        let cta = space.cta(rank, access.column.into(), who)?;
        for (register, value) in (0u32..).zip(&self.values) {
            if access.shape == AccessShape::L32x32b && !access.packed && self.lanes == u32::MAX {
                cta.tmem.write_lanes(access.column + register, access.lane as usize, value);
                continue;
            }
            for thread in each(self.lanes) {
                let word = value[thread as usize];
                if access.packed {
                    let (column, lane) = access.cell(thread, 2 * register);
                    cta.tmem.write(column, lane, word & 0xffff);
                    let (column, lane) = access.cell(thread, 2 * register + 1);
                    cta.tmem.write(column, lane, word >> 16);
                } else {
                    let (column, lane) = access.cell(thread, register);
                    cta.tmem.write(column, lane, word);
                }
            }
        }
        cta.tmem.end_use(ticket);
        Ok(Progress::Done)
    }
}

/// Lanes that an access touches, for the notes of work in flight.
pub fn lanes_of(access: &Access) -> tmem::LaneSet {
    tmem::lanes(access.lane as usize, access.shape.lanes() as usize)
}
