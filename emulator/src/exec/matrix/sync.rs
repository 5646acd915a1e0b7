//! `mma.sync`: one warp multiplies what its registers hold.
//!
//! How floats of up to 32 bits are summed is told in [`fragment`]. Integers and single bits are exact.
//! Assumed, not documented anywhere: an f64 result is a chain of fused multiply-adds in the order
//! of k, starting from C.

use std::sync::OnceLock;

mod scaled;

use super::super::fragment::{self, Product, rows_of_a, rows_of_b};
use super::super::operand::{read32, read64, write, write32};
use super::super::{Step, unsupported};
use crate::decode::op::{MatrixFormat, MmaKind, MmaSync, Src, Width};
use crate::error::{Fault, FaultKind};
use crate::machine::cluster::Space;
use crate::machine::registers::Lane32;
use crate::machine::warp::Warp;
use crate::numeric::{CANONICAL_NAN_F32, E4M3, E5M2, F16, Rounding};
use crate::tensor::dense::ROWS;
use crate::tensor::instr_descriptor::Element;

/// What all products of `mma.sync` have in common.
const PLAIN: Product = Product {
    a: Element::U8,
    b: Element::U8,
    negate: (false, false),
    n: 8,
    k: 0,
    accumulate: true,
    half: false,
    saturate: false,
    narrow: false,
};

/// `mma.sync`.
pub(super) fn multiply(
    op: &MmaSync,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    refuse(op)?;
    let shape = op.shape;
    space.stats.multiply_adds += u64::from(shape.m * shape.n * shape.k);
    if op.a_format == MatrixFormat::F64 {
        return doubles(op, warp, at);
    }
    let read = |sources: &[Src]| -> Result<Vec<Lane32>, Box<Fault>> {
        sources.iter().map(|&src| read32(&warp.regs, src, at.active)).collect()
    };
    let (a, b, c) = (read(&op.a)?, read(&op.b)?, read(&op.c)?);
    // Eight rows of A lie in registers as eight columns of B do.
    let a = if shape.m == 8 { rows_of_b(&a) } else { rows_of_a(&a) };
    let b = rows_of_b(&b);
    let a = match &op.sparse {
        None => a,
        Some(sparse) => {
            let metadata = read32(&warp.regs, sparse.metadata, at.active)?;
            let element = fragment::element(op.a_format).unwrap_or(Element::U8);
            let spread = Product { a: element, ..PLAIN }.spread(&a, &metadata, sparse.selector);
            spread.map_err(|what| Box::new(Fault::new(FaultKind::Descriptor, what)))?
        }
    };
    if op.kind != MmaKind::Plain {
        return scaled::multiply(op, (a, b, &c), warp, at);
    }
    let (element_a, element_b, a, b) = match op.a_format {
        MatrixFormat::S4 | MatrixFormat::U4 => {
            let signed =
                |format| if format == MatrixFormat::S4 { Element::S8 } else { Element::U8 };
            let (a_type, b_type) = (signed(op.a_format), signed(op.b_format));
            (a_type, b_type, nibbles(&a, a_type), nibbles(&b, b_type))
        }
        MatrixFormat::B1 => (Element::U8, Element::U8, a, b),
        _ => match (fragment::element(op.a_format), fragment::element(op.b_format)) {
            (Some(a_type), Some(b_type)) => (a_type, b_type, a, b),
            _ => return unsupported(format!("mma.sync of {:?}", op.a_format)),
        },
    };
    let product = Product {
        a: element_a,
        b: element_b,
        k: shape.k as usize,
        half: op.d_format == MatrixFormat::F16,
        saturate: op.satfinite,
        ..PLAIN
    };
    let mut d = product.columns(&c);
    match op.b1_and {
        Some(and) => count_bits(&a, &b, and, shape.k as usize / 8, &mut d),
        None if fragment::is_float8(element_a) => float8(product, &a, &b, &mut d),
        None => product.run(&a, &b, &mut d),
    }
    for (dst, value) in op.d.iter().zip(product.registers(&d, op.d.len())) {
        if let Some(dst) = dst {
            write32(&mut warp.regs, *dst, at.active, &value)?;
        }
    }
    Ok(())
}

/// 8-bit floats, which Hopper and Blackwell have no instruction for: the assembler turns them into
/// f16, multiplies the lower two of each four k, then the upper two on top of that, and adds C, rounded
/// to nearest, at the end.
fn float8(product: Product, a: &[u8], b: &[u8], d: &mut [[u32; ROWS]]) {
    let mut sums = vec![[0; ROWS]; d.len()];
    for upper in [false, true] {
        let [a, b] = [(a, product.a), (b, product.b)].map(|(rows, element)| {
            let table = halves(element);
            let pairs = rows.chunks_exact(4).flat_map(|four| &four[2 * usize::from(upper)..][..2]);
            pairs.flat_map(|&code| table[usize::from(code)]).collect::<Vec<u8>>()
        });
        let (f16, k) = (Element::F16, product.k / 2);
        Product { a: f16, b: f16, k, accumulate: upper, ..product }.run(&a, &b, &mut sums);
    }
    for (sum, cell) in sums.iter().flatten().zip(d.iter_mut().flatten()) {
        *cell = if product.half {
            let term = |bits: u32| F16.decode(bits & 0xffff);
            F16.encode(term(*sum) + term(*cell), Rounding::Rn, false)
        } else {
            let total = f32::from_bits(*sum) + f32::from_bits(*cell);
            if total.is_nan() { CANONICAL_NAN_F32 } else { total.to_bits() }
        };
    }
}

/// Every 8-bit float as f16, exactly.
fn halves(element: Element) -> &'static [[u8; 2]; 256] {
    static TABLES: [OnceLock<[[u8; 2]; 256]>; 2] = [OnceLock::new(), OnceLock::new()];
    let (table, format) = match element {
        Element::E4m3 => (&TABLES[0], &E4M3),
        _ => (&TABLES[1], &E5M2),
    };
    table.get_or_init(|| {
        let half = |code| F16.encode(format.decode(code), Rounding::Rn, false) as u16;
        std::array::from_fn(|code| half(code as u32).to_le_bytes())
    })
}

/// What is decoded and not executed, each by its name.
fn refuse(op: &MmaSync) -> Result<(), Box<Fault>> {
    if op.a_row && !op.b_row && op.c_format == op.d_format {
        return Ok(());
    }
    if op.c_format != op.d_format {
        return unsupported("mma.sync with different types of C and D");
    }
    unsupported("mma.sync of other layouts than .row.col")
}

/// The four-bit integers of each byte, low one first, as bytes.
fn nibbles(bytes: &[u8], element: Element) -> Vec<u8> {
    let extend = |nibble: u8| match element {
        Element::S8 => ((nibble << 4).cast_signed() >> 4).cast_unsigned(),
        _ => nibble,
    };
    bytes.iter().flat_map(|&byte| [extend(byte & 15), extend(byte >> 4)]).collect()
}

/// D += the number of bits that are set in `a & b` or `a ^ b`.
fn count_bits(a: &[u8], b: &[u8], and: bool, row_bytes: usize, d: &mut [[u32; ROWS]]) {
    for (b, column) in b.chunks_exact(row_bytes).zip(d) {
        for (a, cell) in a.chunks_exact(row_bytes).zip(column) {
            let both = a.iter().zip(b).map(|(&a, &b)| if and { a & b } else { a ^ b });
            *cell = cell.wrapping_add(both.map(u8::count_ones).sum());
        }
    }
}

/// Doubles: lane 4g + t holds in register i of A row g + 8·(i mod 2), k = t + 4·(i / 2); of B column
/// g, k = t + 4·i; of D row g + 8·(i / 2), column 2·t + i mod 2. With eight rows there is one
/// register of A.
fn doubles(op: &MmaSync, warp: &mut Warp, at: &Step) -> Result<(), Box<Fault>> {
    let read = |sources: &[Src]| -> Result<Vec<[f64; 32]>, Box<Fault>> {
        let one = |&src| Ok(read64(&warp.regs, src, at.active)?.map(f64::from_bits));
        sources.iter().map(one).collect()
    };
    let (a, b, c) = (read(&op.a)?, read(&op.b)?, read(&op.c)?);
    let blocks = op.shape.m as usize / 8;
    let element = |lane: usize, i: usize| {
        let (g, t) = (lane / 4, lane % 4);
        let (row, column) = (g + 8 * (i / 2), 2 * t + i % 2);
        (0..op.shape.k as usize).fold(c[i][lane], |sum, k| {
            let a = a[row / 8 + blocks * (k / 4)][row % 8 * 4 + k % 4];
            let b = b[k / 4][column * 4 + k % 4];
            a.mul_add(b, sum)
        })
    };
    for (i, dst) in op.d.iter().enumerate() {
        let value = std::array::from_fn(|lane| element(lane, i).to_bits());
        if let Some(dst) = dst {
            write(&mut warp.regs, *dst, Width::B64, at.active, &value)?;
        }
    }
    Ok(())
}
