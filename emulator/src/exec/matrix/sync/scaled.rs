//! The kinds of `mma.sync` that sm_120 has: 8-, 6- and 4-bit floats mixed, with block scales or without.
//!
//! In the kinds of mixed types every element has a byte: six bits lie in its low bits, four in the
//! middle (bits 5:2). Scales come from one lane of each four (two for A: the first has row g, the
//! second row g + 8), the one that the thread-id says; the byte-id says at which byte of its register
//! they begin. Assumed, not measured: sums are those of the same kind of `tcgen05.mma`.

use super::super::super::Step;
use super::super::super::fragment::Product;
use super::super::super::operand::{read32, uniform, write32};
use super::PLAIN;
use crate::decode::op::{MatrixFormat, MmaKind, MmaSync, Src};
use crate::error::{Fault, FaultKind};
use crate::machine::registers::Lane32;
use crate::machine::warp::Warp;
use crate::tensor::dense::{self, Accumulate, Operand, Packing};
use crate::tensor::instr_descriptor::{Element, ScaleType};

pub(super) fn multiply(
    op: &MmaSync,
    (mut a, mut b, c): (Vec<u8>, Vec<u8>, &[Lane32]),
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let packed = matches!(op.kind, MmaKind::Mxf4 | MmaKind::Mxf4nvf4);
    let k = op.shape.k as usize;
    let illegal = |what: String| Box::new(Fault::new(FaultKind::Descriptor, what));
    let (vectors, scales_a, scales_b) = match &op.scale {
        None => (0, vec![[0; 4]; 16], vec![[0; 4]; 8]),
        Some(scale) => {
            let count = scale.vectors as usize;
            let of = |rows: usize, which: &[Src; 3]| -> Result<Vec<[u8; 4]>, Box<Fault>> {
                let data = read32(&warp.regs, which[0], at.active)?;
                let byte =
                    uniform(&read32(&warp.regs, which[1], at.active)?, at.active, "a byte-id")?;
                let thread =
                    uniform(&read32(&warp.regs, which[2], at.active)?, at.active, "a thread-id")?;
                let lanes = if rows == 16 { 2 } else { 1 };
                if byte as usize + count > 4
                    || !(byte as usize).is_multiple_of(count)
                    || thread * lanes > 3
                {
                    return Err(illegal(format!(
                        "byte-id {byte} and thread-id {thread} with {count} scales a row"
                    )));
                }
                let row = |row: usize| {
                    let lane = row % 8 * 4 + (thread * lanes) as usize + row / 8;
                    let bytes = data[lane].to_le_bytes();
                    std::array::from_fn(|i| if i < count { bytes[byte as usize + i] } else { 0 })
                };
                Ok((0..rows).map(row).collect())
            };
            (count, of(16, &scale.a)?, of(8, &scale.b)?)
        }
    };
    let operand = |format, bytes: &mut Vec<u8>| -> Result<Operand, Box<Fault>> {
        let (element, packing) = match (format, packed) {
            (MatrixFormat::E4M3, false) => (Element::E4m3, Packing::Dense),
            (MatrixFormat::E5M2, false) => (Element::E5m2, Packing::Dense),
            (MatrixFormat::E2M3, false) => (Element::E2m3, Packing::Bytes),
            (MatrixFormat::E3M2, false) => (Element::E3m2, Packing::Bytes),
            (MatrixFormat::E2M1, false) => {
                bytes.iter_mut().for_each(|byte| *byte = *byte >> 2 & 15);
                (Element::E2m1, Packing::Bytes)
            }
            (MatrixFormat::E2M1, true) => (Element::E2m1, Packing::Dense),
            _ => return Err(illegal(format!("{format:?} in kind {:?}", op.kind))),
        };
        let ue4m3 = op.scale.as_ref().is_some_and(|scale| scale.ue4m3);
        let ty = if ue4m3 { ScaleType::Ue4m3 } else { ScaleType::Ue8m0 };
        let group = match (packed, op.sparse.is_some()) {
            (false, _) => 1,
            (true, false) => 16,
            (true, true) => 32,
        };
        let scale = (vectors > 0).then(|| (ty, k / vectors));
        Ok(Operand { element, packing, k, group, scale, negate: false })
    };
    let (of_a, of_b) = (operand(op.a_format, &mut a)?, operand(op.b_format, &mut b)?);
    let mut panel = dense::Panel::default();
    panel.load(&of_a, &a, &scales_a);
    let mut rows = dense::Rows::default();
    rows.load(&of_b, &b, &scales_b);
    let half = op.d_format == MatrixFormat::F16;
    let product = Product { k, half, ..PLAIN };
    let mut d = product.columns(c);
    let fraction_bits = if packed { 35 } else { 25 };
    dense::multiply(&panel, &rows, Accumulate { fraction_bits, add: true, half }, &mut d);
    for (dst, value) in op.d.iter().zip(product.registers(&d, op.d.len())) {
        if let Some(dst) = dst {
            write32(&mut warp.regs, *dst, at.active, &value)?;
        }
    }
    Ok(())
}
