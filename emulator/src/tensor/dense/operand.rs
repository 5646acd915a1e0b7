//! Operands decoded to exact f64 values and integer exponents.

use super::ROWS;
use crate::numeric::{
    BF16, E2M1, E2M3, E3M2, E4M3, E5M2, F16, Format, TF32, ue4m3_to_f32, ue8m0_to_f32,
};
use crate::tensor::instr_descriptor::{Element, InstrDescriptor, MmaKind, ScaleType};

/// How the elements of a row lie in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// One after the other, the first in the low bits.
    Dense,
    /// Sixteen elements, packed, at the start of every 16 bytes: the 6- and 4-bit types of
    /// `f8f6f4` and `mxf8f6f4`.
    Sixteen,
    /// Each element in the low bits of a byte.
    Bytes,
}

/// How the rows of A, or of B, are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Element type, a float.
    pub element: Element,
    /// Layout in bytes.
    pub packing: Packing,
    /// Elements along K of one instruction.
    pub k: usize,
    /// Elements that form one term of the sum: 1, or 16 for the packed 4-bit kinds.
    pub group: usize,
    /// Scale type and elements per scale.
    pub scale: Option<(ScaleType, usize)>,
    /// The sign of every element is flipped.
    pub negate: bool,
}

impl Operand {
    /// The operand A (or B) that an instruction descriptor describes; `block` is the number of
    /// elements per scale, for block-scaled kinds.
    pub fn of(descriptor: &InstrDescriptor, is_a: bool, block: usize) -> Operand {
        let (element, negate) = if is_a {
            (descriptor.a, descriptor.negate_a)
        } else {
            (descriptor.b, descriptor.negate_b)
        };
        let packed4 = matches!(descriptor.kind, MmaKind::Mxf4 | MmaKind::Mxf4nvf4);
        let narrow = matches!(element, Element::E2m1 | Element::E2m3 | Element::E3m2);
        let packing = match (narrow && !packed4, descriptor.sparse.is_some() && is_a) {
            (false, _) => Packing::Dense,
            (true, false) => Packing::Sixteen,
            // Spreading a sparse row out takes elements apart.
            (true, true) => Packing::Bytes,
        };
        let group = match (packed4, descriptor.sparse.is_some()) {
            (false, _) => 1,
            (true, false) => 16,
            // Sixteen products, the others being zero.
            (true, true) => 32,
        };
        Operand {
            element,
            packing,
            k: descriptor.k as usize,
            group,
            scale: descriptor.scale.map(|scale| (scale, block)),
            negate,
        }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        match self.packing {
            Packing::Dense => self.k * self.format().1 / 8,
            Packing::Sixteen | Packing::Bytes => self.k,
        }
    }

    /// Terms of the sum.
    pub fn terms(&self) -> usize {
        self.k / self.group
    }

    /// The format and the bits of its container.
    fn format(&self) -> (&'static Format, usize) {
        match self.element {
            Element::F16 => (&F16, 16),
            Element::Bf16 => (&BF16, 16),
            Element::Tf32 => (&TF32, 32),
            Element::E4m3 => (&E4M3, 8),
            Element::E5m2 => (&E5M2, 8),
            Element::E2m3 => (&E2M3, 6),
            Element::E3m2 => (&E3M2, 6),
            Element::E2m1 => (&E2M1, 4),
            Element::U8 | Element::S8 => panic!("bug: integers have their own multiply"),
        }
    }

    /// Element `k` of a row, as a code of its format.
    fn code(&self, row: &[u8], k: usize, bits: usize) -> u32 {
        let at = match self.packing {
            Packing::Dense => k * bits,
            Packing::Sixteen => (k / 16) * 128 + (k % 16) * bits,
            Packing::Bytes => k * 8,
        };
        let mut word = [0; 4];
        let bytes = &row[at / 8..];
        let count = bytes.len().min(4);
        word[..count].copy_from_slice(&bytes[..count]);
        let code = u32::from_le_bytes(word) >> (at % 8);
        if bits == 32 { code >> 13 } else { code & ((1 << bits) - 1) }
    }

    /// Decodes one row: `value(k, v)` for each element, `exponent(t, e)` for each term.
    fn decode(
        &self,
        row: &[u8],
        scales: [u8; 4],
        mut value: impl FnMut(usize, f64),
        mut exponent: impl FnMut(usize, i32),
    ) {
        let (format, bits) = self.format();
        for k in 0..self.k {
            let code = self.code(row, k, bits);
            let (factor, scale_exponent) = match self.scale {
                None => (1.0, 0),
                Some((ScaleType::Ue8m0, block)) => {
                    let byte = scales[k / block];
                    (f64::from(ue8m0_to_f32(byte)), i32::from(byte) - 127)
                }
                Some((ScaleType::Ue4m3, block)) => ue4m3(scales[k / block]),
            };
            let exact = format.decode(code) * factor;
            value(k, if self.negate { -exact } else { exact });
            if self.group == 1 {
                exponent(k, exponent_of(format, code) + scale_exponent);
            } else if k % self.group == 0 {
                exponent(k / self.group, scale_exponent);
            }
        }
    }
}

fn ue4m3(byte: u8) -> (f64, i32) {
    let exponent = match (byte & 0x7F, (byte >> 3) & 15) {
        (0, _) => -126,
        (_, 0) => -6,
        (_, field) => i32::from(field) - 7,
    };
    (f64::from(ue4m3_to_f32(byte)), exponent)
}

/// The exponent with which a number enters an alignment: that of its leading place for normals, the
/// format's smallest for subnormals, −126 for zero.
fn exponent_of(format: &Format, code: u32) -> i32 {
    let field = (code >> format.mantissa_bits) & ((1 << format.exponent_bits) - 1);
    let mantissa = code & ((1 << format.mantissa_bits) - 1);
    match (field, mantissa) {
        (0, 0) => -126,
        (0, _) => format.min_exponent(),
        _ => field as i32 - format.bias,
    }
}

/// Up to 128 rows of A, side by side.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// `values[k][row]`, scales multiplied in.
    pub(super) values: Vec<[f64; ROWS]>,
    /// `exponents[term][row]`.
    pub(super) exponents: Vec<[i32; ROWS]>,
    pub(super) rows: usize,
    pub(super) group: usize,
}

impl Panel {
    /// Fills the panel: `rows` holds the rows' bytes one after the other, `scales` the scale bytes
    /// of each row (all zero where the kind has none).
    ///
    /// # Panics
    /// When there are more than 128 rows, or the lengths don't fit.
    pub fn load(&mut self, operand: &Operand, rows: &[u8], scales: &[[u8; 4]]) {
        let row_bytes = operand.row_bytes();
        assert!(scales.len() <= ROWS && rows.len() == scales.len() * row_bytes, "rows of a panel");
        self.values.resize(operand.k, [0.0; ROWS]);
        self.exponents.resize(operand.terms(), [0; ROWS]);
        (self.rows, self.group) = (scales.len(), operand.group);
        for (r, (row, &scale)) in rows.chunks_exact(row_bytes).zip(scales).enumerate() {
            let (values, exponents) = (&mut self.values, &mut self.exponents);
            operand.decode(row, scale, |k, v| values[k][r] = v, |t, e| exponents[t][r] = e);
        }
    }
}

/// The rows of B.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub(super) values: Vec<f64>,
    pub(super) exponents: Vec<i32>,
    pub(super) k: usize,
    pub(super) group: usize,
}

impl Rows {
    /// Decodes rows, given as for [`Panel::load`], any number of them.
    ///
    /// # Panics
    /// When the lengths don't fit.
    pub fn load(&mut self, operand: &Operand, rows: &[u8], scales: &[[u8; 4]]) {
        let row_bytes = operand.row_bytes();
        assert!(rows.len() == scales.len() * row_bytes, "rows of B and their scales");
        (self.k, self.group) = (operand.k, operand.group);
        self.values.clear();
        self.exponents.clear();
        for (row, &scale) in rows.chunks_exact(row_bytes).zip(scales) {
            let (values, exponents) = (&mut self.values, &mut self.exponents);
            operand.decode(row, scale, |_, v| values.push(v), |_, e| exponents.push(e));
        }
    }
}
