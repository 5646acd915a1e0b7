//! Matrix fragments: which lane holds which element of `mma.sync` and `wgmma` operands, and the
//! products of sixteen rows of A that both are made of.
//!
//! Lane l belongs to group g = l / 4 and is number t = l % 4 in it. Register i of A holds, of row
//! g + 8·(i mod 2), the four bytes number t + 4·(i / 2) along K; register i of B, of column g, the
//! four bytes t + 4·i. Register j of a 32-bit D holds row g + 8·(j / 2 mod 2) of column
//! 8·(j / 4) + 2·t + j mod 2; of a 16-bit D, row g + 8·(j mod 2) of columns 8·(j / 2) + 2·t and the
//! next.
//!
//! How Hopper sums, as an H200 shows with terms of different size (the programs `sum_*` of
//! `tests/data/run`): all products of one instruction and the old accumulator are truncated toward
//! zero to a multiple of 2^(E − F), E being the largest exponent among them. F is 25 and a block is
//! the whole K for f16, bf16 and tf32, in `mma.sync` and `wgmma` alike; the sum is truncated to f32,
//! or rounded to the nearest f16. 8-bit floats in `wgmma` have F = 13, and the f32 result keeps 13
//! places of its fraction. In `mma.sync` they become f16 products; see there.

use crate::decode::op::MatrixFormat;
use crate::machine::registers::Lane32;
use crate::tensor::dense::{self, Accumulate, Operand, Packing};
use crate::tensor::instr_descriptor::Element;
use crate::tensor::sparse;

/// Rows of a warp's part.
pub const ROWS: u32 = 16;

/// One product: D = A·B or D += A·B for sixteen rows.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Type of A.
    pub a: Element,
    /// Type of B.
    pub b: Element,
    /// Signs of A and B flipped.
    pub negate: (bool, bool),
    /// Columns of D.
    pub n: u32,
    /// Length of the sums.
    pub k: usize,
    /// Whether D is added.
    pub accumulate: bool,
    /// D is f16.
    pub half: bool,
    /// Integer results saturate.
    pub saturate: bool,
    /// Sums keep 13 places, and so does an f32 result, as those of 8-bit floats by `wgmma`.
    pub narrow: bool,
}

/// The element type of a matrix format, if products of it are implemented.
pub fn element(format: MatrixFormat) -> Option<Element> {
    Some(match format {
        MatrixFormat::F16 => Element::F16,
        MatrixFormat::BF16 => Element::Bf16,
        MatrixFormat::TF32 => Element::Tf32,
        MatrixFormat::E4M3 => Element::E4m3,
        MatrixFormat::E5M2 => Element::E5m2,
        MatrixFormat::S8 => Element::S8,
        MatrixFormat::U8 => Element::U8,
        _ => return None,
    })
}

/// Whether an element is a float of 8 bits.
pub fn is_float8(element: Element) -> bool {
    matches!(element, Element::E4m3 | Element::E5m2)
}

/// Bytes of an element.
pub fn element_bytes(element: Element) -> u32 {
    match element {
        Element::F16 | Element::Bf16 => 2,
        Element::Tf32 => 4,
        _ => 1,
    }
}

/// Rows of A from its registers.
pub fn rows_of_a(registers: &[Lane32]) -> Vec<u8> {
    let row_bytes = registers.len() / 2 * 16;
    let mut rows = vec![0; ROWS as usize * row_bytes];
    for (i, values) in registers.iter().enumerate() {
        for (lane, value) in values.iter().enumerate() {
            let row = lane / 4 + 8 * (i % 2);
            let at = row * row_bytes + (lane % 4 + 4 * (i / 2)) * 4;
            rows[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    rows
}

/// Rows of B (columns of the product) from its registers.
pub fn rows_of_b(registers: &[Lane32]) -> Vec<u8> {
    let row_bytes = registers.len() * 16;
    let mut rows = vec![0; 8 * row_bytes];
    for (i, values) in registers.iter().enumerate() {
        for (lane, value) in values.iter().enumerate() {
            let at = lane / 4 * row_bytes + (lane % 4 + 4 * i) * 4;
            rows[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    rows
}

/// Row and column of D in register `j` of a lane.
fn place(lane: usize, j: usize, half: bool) -> (usize, usize) {
    let (g, t) = (lane / 4, lane % 4);
    if half {
        (g + 8 * (j % 2), 8 * (j / 2) + 2 * t)
    } else {
        (g + 8 * (j / 2 % 2), 8 * (j / 4) + 2 * t + j % 2)
    }
}

impl Product {
    /// Columns of D, by row, from its registers.
    pub fn columns(&self, registers: &[Lane32]) -> Vec<[u32; dense::ROWS]> {
        let mut columns = vec![[0; dense::ROWS]; self.n as usize];
        for (j, values) in registers.iter().enumerate() {
            for (lane, &value) in values.iter().enumerate() {
                let (row, column) = place(lane, j, self.half);
                if self.half {
                    columns[column][row] = value & 0xffff;
                    columns[column + 1][row] = value >> 16;
                } else {
                    columns[column][row] = value;
                }
            }
        }
        columns
    }

    /// The registers of D from its columns.
    pub fn registers(&self, columns: &[[u32; dense::ROWS]], count: usize) -> Vec<Lane32> {
        let value = |lane, j| {
            let (row, column) = place(lane, j, self.half);
            if self.half {
                columns[column][row] & 0xffff | columns[column + 1][row] << 16
            } else {
                columns[column][row]
            }
        };
        (0..count).map(|j| std::array::from_fn(|lane| value(lane, j))).collect()
    }

    /// The rows of a sparse A, spread out. The metadata is that of the warp's sixteen rows.
    ///
    /// # Errors
    /// When a code names one place twice.
    pub fn spread(&self, rows: &[u8], metadata: &Lane32, selector: u32) -> Result<Vec<u8>, String> {
        let unit = sparse::unit_bytes(8 * element_bytes(self.a));
        let row_bytes = rows.len() / ROWS as usize;
        let groups = (row_bytes / 2 / unit) as u32;
        let mut out = Vec::with_capacity(rows.len() * 2);
        for (row, bytes) in (0u32..).zip(rows.chunks_exact(row_bytes)) {
            let code = |group: usize| {
                let (lane, bit) = sparse::register_code(unit, groups, selector, row, group as u32);
                metadata[lane as usize % 32] >> bit
            };
            let row = sparse::expand(bytes, unit, code).map_err(|(group, code)| {
                format!(
                    "sparsity metadata {code:#06b} of row {row}, group {group} names one place twice"
                )
            })?;
            out.extend(row);
        }
        Ok(out)
    }

    /// Multiplies: `a` and `b` are rows of bytes, K-major.
    pub fn run(&self, a: &[u8], b: &[u8], d: &mut [[u32; dense::ROWS]]) {
        let integers = matches!(self.a, Element::S8 | Element::U8);
        if integers {
            let (a, b) = ((a, self.a), (b, self.b));
            dense::multiply_integers(a, b, self.k, self.accumulate, self.saturate, d);
            return;
        }
        let operand = |element, negate| Operand {
            element,
            packing: Packing::Dense,
            k: self.k,
            group: 1,
            scale: None,
            negate,
        };
        let mut panel = dense::Panel::default();
        panel.load(&operand(self.a, self.negate.0), a, &[[0; 4]; ROWS as usize]);
        let mut rows = dense::Rows::default();
        rows.load(&operand(self.b, self.negate.1), b, &vec![[0; 4]; self.n as usize]);
        let fraction_bits = if self.narrow { 13 } else { 25 };
        let how = Accumulate { fraction_bits, add: self.accumulate, half: self.half };
        dense::multiply(&panel, &rows, how, d);
        if self.narrow && !self.half {
            for cell in d.iter_mut().flatten().filter(|cell| !f32::from_bits(**cell).is_nan()) {
                *cell &= !0x3ff;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_there_and_back() {
        for (half, count) in [(false, 8), (true, 4)] {
            let product = Product {
                a: Element::F16,
                b: Element::F16,
                negate: (false, false),
                n: 16,
                k: 16,
                accumulate: true,
                half,
                saturate: false,
                narrow: false,
            };
            let registers: Vec<Lane32> = (0..count)
                .map(|j| std::array::from_fn(|l| (j * 32 + l) as u32 * 0x1_0001))
                .collect();
            let columns = product.columns(&registers);
            assert_eq!(product.registers(&columns, count), registers);
        }
    }

    #[test]
    fn identity_times_b() {
        // A is the 16x16 identity in f16, B counts: D[m][n] = B[n][m].
        let mut a = vec![0u8; 16 * 32];
        for i in 0..16 {
            a[i * 32 + i * 2..][..2].copy_from_slice(&0x3c00u16.to_le_bytes());
        }
        let product = Product {
            a: Element::F16,
            b: Element::F16,
            negate: (false, true),
            n: 8,
            k: 16,
            accumulate: false,
            half: false,
            saturate: false,
            narrow: false,
        };
        let b: Vec<u8> = (0..8 * 16u16)
            .flat_map(|i| half::f16::from_f32(f32::from(i)).to_bits().to_le_bytes())
            .collect();
        let mut d = vec![[0; dense::ROWS]; 8];
        product.run(&a, &b, &mut d);
        for (n, column) in d.iter().enumerate() {
            for (m, &word) in column.iter().enumerate().take(16) {
                let expected = -((n * 16 + m) as f32);
                assert_eq!(f32::from_bits(word), expected, "row {m}, column {n}");
            }
        }
    }
}
