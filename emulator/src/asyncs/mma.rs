//! `tcgen05.mma` under way: operands are gathered from shared and tensor memory, the arithmetic is
//! [`crate::tensor`]'s, the result goes back to tensor memory.

use std::ops::Range;

use super::Progress;
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Cta, Space};
use crate::machine::inflight::Ticket;
use crate::machine::tmem;
use crate::tensor::block_scaled::{self, ROWS};
use crate::tensor::dense::{self, Accumulate, Operand};
use crate::tensor::instr_descriptor::{Element, InstrDescriptor, MmaKind, ScaleType};
use crate::tensor::smem_descriptor::MatrixDescriptor;
use crate::tensor::sparse;
use crate::tensor::tmem_layout::{AccumulatorLayout, scale_cell};

/// Bytes of one stored row of A, and of B but for sparse instructions: every kind's K is 256 bits.
const ROW_BYTES: usize = 32;

/// Where A lies.
#[derive(Debug, Clone, Copy)]
pub enum MmaOperandA {
    /// Shared memory.
    Shared(MatrixDescriptor),
    /// Tensor memory, from this column and lane on.
    Tmem {
        /// First column.
        column: u32,
        /// First lane: 0, or 16 for the upper halves of the groups of 32 lanes.
        lane: u32,
    },
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
    /// First lane of D: 0, or 16 for the upper halves of the groups of 32 lanes.
    pub d_lane: u32,
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
    /// First column of the metadata of a sparse A.
    pub sparse: Option<u32>,
    /// `.ashift`: each row but the last takes the place of the one before it.
    pub a_shift: bool,
}

impl MmaJob {
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        ticket: Ticket,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        let (n, group) = (self.idesc.n, self.ranks.len() as u32);
        let k = self.length_of_b();
        let mut b = Vec::with_capacity(n as usize * ROW_BYTES * 2);
        for &rank in &self.ranks {
            let cta = space.cta(rank, self.b.start.into(), who)?;
            let layout = self.layout_of(self.idesc.b_mn_major, self.idesc.b, k);
            gather(&self.b, 0..n / group, layout, cta, who, &mut b)?;
        }
        let mut results = vec![];
        for (index, &rank) in (0u32..).zip(&self.ranks) {
            let cta = space.cta(rank, self.d.into(), who)?;
            results.push(self.compute(index, &b, cta, who)?);
        }
        for (index, columns) in (0u32..).zip(&results) {
            let cta = &mut space.ctas[self.ranks[index as usize] as usize];
            self.write_back(index, columns, cta);
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

    /// The part of D that lies in one CTA: its columns, by row of A in that CTA.
    fn compute(
        &self,
        index: u32,
        b: &[u8],
        cta: &Cta,
        who: &Who,
    ) -> Result<Vec<[u32; ROWS]>, Box<Fault>> {
        let parts = self.layout.parts();
        let copied = matches!(self.a, MmaOperandA::Tmem { .. }) && parts > 1;
        if !copied {
            return self.compute_part(index, (b, 0..self.idesc.n), cta, who);
        }
        // Each part of N has a copy of A in its own lanes.
        let n = self.idesc.n / parts;
        let rows = b.chunks_exact(b.len() / parts as usize);
        let mut d = vec![];
        for (part, b) in (0..parts).zip(rows) {
            let columns = part * n..(part + 1) * n;
            d.extend(self.compute_part(index, (b, columns), cta, who)?);
        }
        Ok(d)
    }

    /// Some columns of D, from these rows of B.
    fn compute_part(
        &self,
        index: u32,
        (b, columns): (&[u8], Range<u32>),
        cta: &Cta,
        who: &Who,
    ) -> Result<Vec<[u32; ROWS]>, Box<Fault>> {
        let (m, n) = (self.idesc.m / self.ranks.len() as u32, columns.len() as u32);
        let a = self.rows_of_a(index, m, columns.start, cta, who)?;
        let a = self.spread(a, cta, who)?;
        let (scale_a, scale_b, factors) = self.scales;
        let ids = (self.idesc.scale_a_id, self.idesc.scale_b_id);
        let scale_a = scales(scale_a, m, factors, ids.0, cta, who)?;
        let scale_b = scales(scale_b, n, factors, ids.1, cta, who)?;
        let mut d = vec![[0; ROWS]; n as usize];
        if self.accumulate {
            self.read_accumulator(index, m, columns.start, &mut d, cta, who)?;
        }
        if self.idesc.kind == MmaKind::I8 {
            dense::multiply_integers(
                (&a, self.idesc.a),
                (b, self.idesc.b),
                self.idesc.k as usize,
                self.accumulate,
                self.idesc.saturate,
                &mut d,
            );
        } else if self.idesc.scale == Some(ScaleType::Ue4m3)
            && factors == 4
            && self.sparse.is_none()
        {
            let (a, _) = a.as_chunks();
            let (b, _) = b.as_chunks();
            let mut panel = block_scaled::Panel::default();
            panel.load(a, &scale_a, self.idesc.negate_a);
            let negate = self.idesc.negate_b;
            block_scaled::multiply(&panel, b, &scale_b, negate, self.accumulate, &mut d);
        } else {
            let block = if factors == 0 { 1 } else { self.idesc.k as usize / factors as usize };
            let mut panel = dense::Panel::default();
            panel.load(&Operand::of(&self.idesc, true, block), &a, &scale_a);
            let mut rows = dense::Rows::default();
            rows.load(&Operand::of(&self.idesc, false, block), b, &scale_b);
            dense::multiply(
                &panel,
                &rows,
                Accumulate::tcgen05(&self.idesc, self.accumulate),
                &mut d,
            );
        }
        Ok(d)
    }

    /// Elements of a row of B.
    pub fn length_of_b(&self) -> u32 {
        self.idesc.k
    }

    /// Elements of a row of A, as it is stored.
    pub fn length_of_a(&self) -> u32 {
        self.idesc.k / if self.sparse.is_some() { 2 } else { 1 }
    }

    fn layout_of(&self, mn_major: bool, element: Element, k: u32) -> Layout {
        let bits = self.idesc.element_bits();
        Layout {
            major: mn_major.then_some((bits / 8, k)),
            row_bytes: k * bits / 8,
            data: self.idesc.data_bytes(element),
        }
    }

    /// Spreads the rows of a sparse A out.
    fn spread(&self, rows: Vec<u8>, cta: &Cta, who: &Who) -> Result<Vec<u8>, Box<Fault>> {
        let Some(column) = self.sparse else { return Ok(rows) };
        let kind = self.idesc.kind;
        let narrow = match self.idesc.a {
            Element::E2m1 if self.idesc.element_bits() == 8 => Some(4),
            Element::E2m3 | Element::E3m2 => Some(6),
            _ => None,
        };
        let unit = sparse::unit_bytes(self.idesc.element_bits());
        let mut out = Vec::with_capacity(rows.len() * 2);
        for (row, bytes) in (0u32..).zip(rows.chunks_exact(ROW_BYTES)) {
            let groups = (bytes.len() / 2 / unit) as u32;
            let mut codes = vec![];
            for group in 0..groups {
                let (lane, offset, bit) = sparse::tensor_code(kind, row, group);
                // Lanes of the accumulator's rows; sixteen rows are never apart.
                let lane = match self.layout {
                    AccumulatorLayout::One64 => lane % 16 + lane / 16 * 32 + self.d_lane,
                    _ => lane,
                };
                let mut word = [0];
                cta.tmem.read(column + offset, lane as usize, &mut word, who)?;
                codes.push(word[0] >> bit & 15);
            }
            let taken_apart = narrow.map(|bits| {
                let pieces = bytes.chunks_exact(16).flat_map(|piece| {
                    let piece = u128::from_le_bytes(std::array::from_fn(|i| piece[i]));
                    (0..16).map(move |i| (piece >> (i * bits)) as u8 & ((1 << bits) - 1))
                });
                pieces.collect::<Vec<u8>>()
            });
            let bytes = taken_apart.as_deref().unwrap_or(bytes);
            let row = sparse::expand(bytes, unit, |group| codes[group]).map_err(|(group, code)| {
                let message = format!(
                    "sparsity metadata {code:#06b} of row {row}, group {group} names one place twice"
                );
                who.fault(FaultKind::Descriptor, column.into(), message)
            })?;
            out.extend(row);
        }
        Ok(out)
    }

    /// The stored rows of A; from tensor memory, the copy that belongs to column `n`.
    fn rows_of_a(
        &self,
        index: u32,
        m: u32,
        n: u32,
        cta: &Cta,
        who: &Who,
    ) -> Result<Vec<u8>, Box<Fault>> {
        let mut a = Vec::with_capacity(m as usize * ROW_BYTES);
        match &self.a {
            MmaOperandA::Shared(descriptor) => {
                let k = self.length_of_a();
                let layout = self.layout_of(self.idesc.a_mn_major, self.idesc.a, k);
                gather(descriptor, 0..m, layout, cta, who, &mut a)?;
            }
            MmaOperandA::Tmem { column, lane: first } => {
                for row in 0..m {
                    let row = if self.a_shift { (row + 1).min(m - 1) } else { row };
                    let (_, lane, _) = self.layout.cell(index * m + row, n, self.idesc.n);
                    let lane = lane + first;
                    for c in 0..ROW_BYTES as u32 / 4 {
                        let mut word = [0];
                        cta.tmem.read(column + c, lane as usize, &mut word, who)?;
                        a.extend_from_slice(&word[0].to_le_bytes());
                    }
                }
            }
        }
        Ok(a)
    }

    fn read_accumulator(
        &self,
        index: u32,
        m: u32,
        first: u32,
        d: &mut [[u32; ROWS]],
        cta: &Cta,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        for (n, column) in (first..).zip(d.iter_mut()) {
            if m as usize == ROWS {
                *column = *cta.tmem.column(self.d + n, tmem::ALL_LANES, who)?;
            } else {
                for row in 0..m {
                    let (_, lane, offset) = self.layout.cell(index * m + row, n, self.idesc.n);
                    let cell = &mut column[row as usize..][..1];
                    cta.tmem.read(self.d + offset, (lane + self.d_lane) as usize, cell, who)?;
                }
            }
            if self.scale_input > 0 {
                // A power of two; what it makes subnormal is rounded to nearest even.
                let factor = (-(self.scale_input as f32)).exp2();
                for word in column.iter_mut() {
                    *word = (f32::from_bits(*word) * factor).to_bits();
                }
            }
        }
        Ok(())
    }

    fn write_back(&self, index: u32, d: &[[u32; ROWS]], cta: &mut Cta) {
        let m = self.idesc.m / self.ranks.len() as u32;
        let disabled = self.disabled[index as usize];
        for (n, column) in (0u32..).zip(d) {
            if m as usize == ROWS && disabled == 0 {
                *cta.tmem.column_mut(self.d + n) = *column;
                continue;
            }
            for row in 0..m {
                let (_, lane, offset) = self.layout.cell(index * m + row, n, self.idesc.n);
                let lane = lane + self.d_lane;
                if disabled >> lane & 1 == 0 {
                    cta.tmem.write(self.d + offset, lane as usize, column[row as usize]);
                }
            }
        }
    }
}

/// How an operand lies in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Of an MN-major operand, its element's size in bytes and K.
    pub major: Option<(u32, u32)>,
    /// Bytes of a row of a K-major one.
    pub row_bytes: u32,
    /// How many bytes of every sixteen are read, the rest being zero.
    pub data: u32,
}

/// Appends rows of an operand in shared memory, K-major.
pub(super) fn gather(
    descriptor: &MatrixDescriptor,
    rows: Range<u32>,
    Layout { major, row_bytes, data }: Layout,
    cta: &Cta,
    who: &Who,
    out: &mut Vec<u8>,
) -> Result<(), Box<Fault>> {
    for row in rows {
        match major {
            None => {
                for byte in (0..row_bytes).step_by(16) {
                    let offset = descriptor.k_major(row, byte);
                    out.extend_from_slice(cta.shared.load(offset, data, who)?);
                    out.resize(out.len() + 16 - data as usize, 0);
                }
            }
            Some((element, k)) => {
                for k in 0..k {
                    let offset = descriptor.mn_major(row * element, k);
                    out.extend_from_slice(cta.shared.load(offset, element, who)?);
                }
            }
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
) -> Result<Vec<[u8; 4]>, Box<Fault>> {
    let mut out = vec![[0; 4]; rows as usize];
    // Bytes of a cell that this instruction does not use may hold anything.
    let used = (u64::from(u32::MAX) >> (32 - 8 * factors) << (8 * id)) as u32;
    for row in 0..if factors > 0 { rows } else { 0 } {
        let (lane, offset) = scale_cell(row);
        let wanted = 0x1_0000_0001_0000_0001_0000_0001_u128 << lane;
        let cells = cta.tmem.column(column + offset, wanted, who)?;
        let value = cells[lane as usize];
        let copies = [32, 64, 96].map(|step| cells[(lane + step) as usize]);
        if copies.iter().any(|&copy| (copy ^ value) & used != 0) {
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
            out[row as usize][j as usize] = bytes[(id + j) as usize];
        }
    }
    Ok(out)
}
