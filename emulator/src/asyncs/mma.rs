//! `tcgen05.mma` under way: operands are gathered from shared and tensor memory, the arithmetic is
//! [`crate::tensor`]'s, the result goes back to tensor memory.

use super::Progress;
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Cta, Space};
use crate::machine::inflight::Ticket;
use crate::machine::tmem;
use crate::tensor::instr_descriptor::InstrDescriptor;
use crate::tensor::smem_descriptor::MatrixDescriptor;
use crate::tensor::tmem_layout::{AccumulatorLayout, scale_cell};

/// Bytes of K of one row of an operand: every kind's K is 256 bits.
pub const ROW_BYTES: usize = 32;

/// Where A lies.
#[derive(Debug, Clone, Copy)]
pub enum MmaOperandA {
    /// Shared memory.
    Shared(MatrixDescriptor),
    /// Tensor memory, from this column on.
    Tmem(u32),
}

/// The operands of the part that one CTA computes, as plain rows.
#[derive(Debug, Default)]
pub struct Operands {
    /// Rows of A in this CTA.
    pub m: usize,
    /// Columns of D.
    pub n: usize,
    /// A, K-major, [`ROW_BYTES`] a row.
    pub a: Vec<u8>,
    /// B, K-major, [`ROW_BYTES`] a row.
    pub b: Vec<u8>,
    /// Scales of A, so many factors a row.
    pub scale_a: Vec<u8>,
    /// Scales of B.
    pub scale_b: Vec<u8>,
    /// Accumulator words before, row by row, and the result after.
    pub d: Vec<u32>,
}

/// An MMA.
#[derive(Debug)]
pub struct MmaJob {
    /// Shape and types.
    pub idesc: InstrDescriptor,
    /// CTAs of the group, in rank order.
    pub ranks: Vec<u32>,
    /// Accumulator spread.
    pub layout: AccumulatorLayout,
    /// First column of D.
    pub d: u32,
    /// A.
    pub a: MmaOperandA,
    /// B.
    pub b: MatrixDescriptor,
    /// First columns of the scales, and factors per row; no factors without block scaling.
    pub scales: (u32, u32, u32),
    /// Whether D is an input.
    pub accumulate: bool,
    /// D is multiplied by 2^-n first.
    pub scale_input: u32,
    /// Lanes, by CTA, whose results are not written.
    pub disabled: [tmem::LaneSet; 2],
}

impl MmaJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        ticket: Ticket,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        let mut b = vec![];
        let (n, group) = (self.idesc.n, self.ranks.len() as u32);
        for &rank in &self.ranks {
            let cta = space.cta(rank, self.b.start.into(), who)?;
            gather(&self.b, n / group, self.idesc.b_mn_major, &self.idesc, cta, who, &mut b)?;
        }
        let mut results = vec![];
        for (index, &rank) in self.ranks.iter().enumerate() {
            let cta = space.cta(rank, self.d.into(), who)?;
            let mut operands = self.operands(index as u32, cta, who)?;
            operands.b = std::mem::take(&mut b);
            crate::tensor::multiply(&self.idesc, self.scales.2, self.accumulate, &mut operands)
                .map_err(|what| who.fault(FaultKind::Unsupported, 0, what))?;
            b = std::mem::take(&mut operands.b);
            results.push(operands);
        }
        for (index, operands) in results.iter().enumerate() {
            let cta = &mut space.ctas[self.ranks[index] as usize];
            self.write_back(index as u32, operands, cta);
        }
        for &rank in &self.ranks {
            let cta = &mut space.ctas[rank as usize];
            cta.shared.in_flight.end(ticket);
            cta.tmem.end_use(ticket);
        }
        let macs = u64::from(self.idesc.m) * u64::from(n) * u64::from(self.idesc.k);
        space.stats.multiply_adds += macs;
        Ok(Progress::Done)
    }

    fn operands(&self, index: u32, cta: &Cta, who: &Who) -> Result<Operands, Box<Fault>> {
        let (m, n) = (self.idesc.m / self.ranks.len() as u32, self.idesc.n);
        let mut operands = Operands { m: m as usize, n: n as usize, ..Operands::default() };
        match &self.a {
            MmaOperandA::Shared(descriptor) => {
                let major = self.idesc.a_mn_major;
                gather(descriptor, m, major, &self.idesc, cta, who, &mut operands.a)?;
            }
            MmaOperandA::Tmem(column) => {
                operands.a = vec![0; m as usize * ROW_BYTES];
                for c in 0..ROW_BYTES / 4 {
                    for row in 0..m {
                        let (_, lane, _) = self.layout.cell(index * m + row, 0, n);
                        let mut word = [0];
                        cta.tmem.read(column + c as u32, lane as usize, &mut word, who)?;
                        let at = row as usize * ROW_BYTES + c * 4;
                        operands.a[at..at + 4].copy_from_slice(&word[0].to_le_bytes());
                    }
                }
            }
        }
        let (scale_a, scale_b, factors) = self.scales;
        if factors > 0 {
            let ids = (self.idesc.scale_a_id, self.idesc.scale_b_id);
            operands.scale_a = scales(scale_a, m, factors, ids.0, cta, who)?;
            operands.scale_b = scales(scale_b, n, factors, ids.1, cta, who)?;
        }
        operands.d = vec![0; (m * n) as usize];
        if self.accumulate {
            self.read_accumulator(index, &mut operands, cta, who)?;
        }
        Ok(operands)
    }

    fn read_accumulator(
        &self,
        index: u32,
        operands: &mut Operands,
        cta: &Cta,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        let (m, n) = (operands.m, operands.n);
        if m == tmem::LANES {
            for column in 0..n {
                let lanes = cta.tmem.column(self.d + column as u32, tmem::ALL_LANES, who)?;
                for (row, &value) in lanes.iter().enumerate() {
                    operands.d[row * n + column] = value;
                }
            }
        } else {
            for row in 0..m {
                for column in 0..n {
                    let at = (index as usize * m + row) as u32;
                    let (_, lane, offset) = self.layout.cell(at, column as u32, n as u32);
                    let mut out = [0];
                    cta.tmem.read(self.d + offset, lane as usize, &mut out, who)?;
                    operands.d[row * n + column] = out[0];
                }
            }
        }
        if self.scale_input > 0 {
            let factor = (-(self.scale_input as f32)).exp2();
            for word in &mut operands.d {
                *word = (f32::from_bits(*word) * factor).to_bits();
            }
        }
        Ok(())
    }

    fn write_back(&self, index: u32, operands: &Operands, cta: &mut Cta) {
        let (m, n) = (operands.m, operands.n);
        let disabled = self.disabled[index as usize];
        if m == tmem::LANES && disabled == 0 {
            for column in 0..n {
                let lanes = cta.tmem.column_mut(self.d + column as u32);
                for (row, value) in lanes.iter_mut().enumerate() {
                    *value = operands.d[row * n + column];
                }
            }
            return;
        }
        for row in 0..m {
            for column in 0..n {
                let at = (index as usize * m + row) as u32;
                let (_, lane, offset) = self.layout.cell(at, column as u32, n as u32);
                if disabled >> lane & 1 == 0 {
                    cta.tmem.write(self.d + offset, lane as usize, operands.d[row * n + column]);
                }
            }
        }
    }
}

/// Appends `rows` rows of an operand in shared memory, K-major.
fn gather(
    descriptor: &MatrixDescriptor,
    rows: u32,
    mn_major: bool,
    idesc: &InstrDescriptor,
    cta: &Cta,
    who: &Who,
    out: &mut Vec<u8>,
) -> Result<(), Box<Fault>> {
    if !mn_major {
        for row in 0..rows {
            for byte in [0, 16] {
                let offset = descriptor.k_major(row, byte);
                out.extend_from_slice(cta.shared.load(offset, 16, who)?);
            }
        }
        return Ok(());
    }
    let element = idesc.element_bits() / 8;
    for row in 0..rows {
        for k in 0..idesc.k {
            let offset = descriptor.mn_major(row * element, k);
            out.extend_from_slice(cta.shared.load(offset, element, who)?);
        }
    }
    Ok(())
}

/// The scale factors of `rows` rows. All four copies must be there and agree.
fn scales(
    column: u32,
    rows: u32,
    factors: u32,
    id: u32,
    cta: &Cta,
    who: &Who,
) -> Result<Vec<u8>, Box<Fault>> {
    let mut out = vec![0; (rows * factors) as usize];
    for row in 0..rows {
        let (lane, offset) = scale_cell(row);
        // All rows of 32 lanes are used only when there are that many.
        let wanted = 0x1_0000_0001_0000_0001_0000_0001_u128 << lane;
        let cells = cta.tmem.column(column + offset, wanted, who)?;
        let value = cells[lane as usize];
        let copies = [32, 64, 96].map(|step| cells[(lane + step) as usize]);
        if copies.iter().any(|&copy| copy != value) {
            let message = format!(
                "the four copies of the scale cell at lane {lane}, column {} differ: {value:#010x}, \
                 {:#010x}, {:#010x}, {:#010x}",
                column + offset,
                copies[0],
                copies[1],
                copies[2]
            );
            let address = u64::from(lane << 16 | (column + offset));
            return Err(who.fault(FaultKind::TensorMemory, address, message));
        }
        let bytes = value.to_le_bytes();
        for j in 0..factors {
            out[(row * factors + j) as usize] = bytes[(id + j) as usize];
        }
    }
    Ok(out)
}
