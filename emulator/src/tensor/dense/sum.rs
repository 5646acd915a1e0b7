//! The truncated sum of one instruction, for all rows of a panel at once.
//!
//! Products, and sums of 16 products of 4-bit elements, are exact in f64, and so is their multiple
//! by 2^(F − E): then truncating to a multiple of 2^(E − F) is dropping the fraction.

#![allow(clippy::needless_range_loop, reason = "indexed loops over whole arrays vectorise best")]

use pulp::{Arch, Simd, WithSimd};

use super::ROWS;
use super::operand::{Panel, Rows};
use crate::numeric::{CANONICAL_NAN_F32, F16, Rounding, power_of_two, toward_zero};
use crate::tensor::instr_descriptor::{Accumulator, InstrDescriptor, MmaKind};

/// How the terms of an instruction are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accumulate {
    /// F: the number of places kept below the largest exponent.
    pub fraction_bits: i32,
    /// The old value of D takes part; otherwise D is overwritten.
    pub add: bool,
    /// D holds f16 in the low half of each cell instead of f32.
    pub half: bool,
}

impl Accumulate {
    /// What a `tcgen05.mma` asks for.
    pub fn tcgen05(descriptor: &InstrDescriptor, add: bool) -> Accumulate {
        let packed4 = matches!(descriptor.kind, MmaKind::Mxf4 | MmaKind::Mxf4nvf4);
        Accumulate {
            fraction_bits: if packed4 { 35 } else { 25 },
            add,
            half: descriptor.d == Accumulator::F16,
        }
    }
}

/// D = A·Bᵀ, or D += A·Bᵀ. `d[n]` is column n of D by row, with one row of B for each.
///
/// # Panics
/// When the operands were loaded for different kinds, or `d` has not one column per row of B.
pub fn multiply(a: &Panel, b: &Rows, how: Accumulate, d: &mut [[u32; ROWS]]) {
    assert!(
        a.values.len() == b.k && a.group == b.group && b.values.len() == d.len() * b.k,
        "operands of one instruction"
    );
    Arch::new().dispatch(Multiply { a, b, how, d });
}

struct Multiply<'a> {
    a: &'a Panel,
    b: &'a Rows,
    how: Accumulate,
    d: &'a mut [[u32; ROWS]],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Multiply { a, b, how, d } = self;
        let rows = b.values.chunks_exact(b.k).zip(b.exponents.chunks_exact(b.k / b.group));
        for ((values, exponents), column) in rows.zip(d) {
            sum_column(a, values, exponents, how, column);
        }
    }
}

#[inline(always)]
fn sum_column(a: &Panel, b: &[f64], eb: &[i32], how: Accumulate, d: &mut [u32; ROWS]) {
    let mut old = [0f64; ROWS];
    let mut most = [-126i32; ROWS];
    if how.add {
        for l in 0..a.rows {
            let bits = d[l];
            if how.half {
                old[l] = F16.decode(bits & 0xFFFF);
                most[l] = exponent(old[l]);
            } else {
                old[l] = f64::from(f32::from_bits(bits));
                most[l] = ((bits >> 23) & 0xFF).max(1) as i32 - 127;
            }
        }
    }
    for (ea, &eb) in a.exponents.iter().zip(eb) {
        for l in 0..ROWS {
            most[l] = most[l].max(ea[l] + eb);
        }
    }
    let mut scale = [0f64; ROWS];
    let mut sum = [0f64; ROWS];
    for l in 0..ROWS {
        scale[l] = power_of_two(how.fraction_bits - most[l]);
        sum[l] = (old[l] * scale[l]).trunc();
    }
    for (a, b) in a.values.chunks_exact(a.group).zip(b.chunks_exact(a.group)) {
        let mut term = [0f64; ROWS];
        for (a, &b) in a.iter().zip(b) {
            for l in 0..ROWS {
                term[l] += a[l] * b;
            }
        }
        for l in 0..ROWS {
            sum[l] += (term[l] * scale[l]).trunc();
        }
    }
    for l in 0..a.rows {
        // Adding +0 turns the -0 of an all-zero sum into +0.
        let exact = sum[l] * power_of_two(most[l] - how.fraction_bits) + 0.0;
        d[l] = if how.half {
            F16.encode(exact, Rounding::Rn, false)
        } else if exact.is_nan() {
            CANONICAL_NAN_F32
        } else {
            toward_zero(exact)
        };
    }
}

/// The exponent of an f16 value held in f64.
fn exponent(x: f64) -> i32 {
    let field = ((x.to_bits() >> 52) & 0x7FF) as i32 - 1023;
    if x == 0.0 { -126 } else { field.clamp(-14, 16) }
}
