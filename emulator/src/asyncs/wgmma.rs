//! `wgmma.mma_async` under way: the sixteen rows that one warp of the warpgroup holds.

use super::Progress;
use super::mma::{Layout, gather};
use crate::error::{Fault, FaultKind};
use crate::exec::fragment::{self, Product};
use crate::machine::access::Who;
use crate::machine::cluster::Space;
use crate::machine::inflight::Ticket;
use crate::machine::registers::Lane32;
use crate::tensor::smem_descriptor::MatrixDescriptor;

/// Where the rows of A come from.
#[derive(Debug)]
pub enum WgmmaA {
    /// Registers, as they were at issue (nobody may change them before the wait).
    Rows(Vec<u8>),
    /// Shared memory, and the first of the warp's rows.
    Shared(MatrixDescriptor, u32),
}

/// One warp's part of a `wgmma`.
#[derive(Debug)]
pub struct WgmmaJob {
    /// Types, shape and arithmetic.
    pub product: Product,
    /// A; for an M-major one, element size and K.
    pub a: WgmmaA,
    /// How A lies in shared memory.
    pub a_layout: Layout,
    /// B.
    pub b: MatrixDescriptor,
    /// How B lies.
    pub b_layout: Layout,
    /// Metadata of a sparse A: the registers of the warp, and the selector.
    pub sparse: Option<(Lane32, u32)>,
    /// Accumulator registers at issue.
    pub d: Vec<Lane32>,
    /// The operation whose result they are, if it has not been handed back.
    pub prior: Option<Ticket>,
}

impl WgmmaJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        ticket: Ticket,
        rank: u32,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        if let Some(prior) = self.prior {
            match space.queue.results.remove(&prior) {
                Some(values) => self.d = values,
                None => {
                    let message = "the accumulator of an earlier wgmma is gone";
                    return Err(who.fault(FaultKind::PendingRegister, 0, message));
                }
            }
        }
        let n = self.product.n;
        let cta = space.cta(rank, self.b.start.into(), who)?;
        let mut b = Vec::with_capacity(n as usize * 64);
        gather(&self.b, 0..n, self.b_layout, cta, who, &mut b)?;
        let mut rows = vec![];
        let a = match &self.a {
            WgmmaA::Rows(rows) => rows,
            WgmmaA::Shared(descriptor, first) => {
                let range = *first..*first + fragment::ROWS;
                gather(descriptor, range, self.a_layout, cta, who, &mut rows)?;
                &rows
            }
        };
        let spread = match &self.sparse {
            Some((metadata, selector)) => {
                let spread = self.product.spread(a, metadata, *selector);
                Some(spread.map_err(|what| who.fault(FaultKind::Descriptor, 0, what))?)
            }
            None => None,
        };
        let a = spread.as_ref().unwrap_or(a);
        let mut d = self.product.columns(&self.d);
        self.product.run(a, &b, &mut d);
        cta.shared.in_flight.end(ticket);
        let values = self.product.registers(&d, self.d.len());
        space.queue.results.insert(ticket, values);
        space.stats.multiply_adds += u64::from(fragment::ROWS * n) * self.product.k as u64;
        Ok(Progress::Done)
    }
}
