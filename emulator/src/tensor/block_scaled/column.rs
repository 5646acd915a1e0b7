//! The inner loops: one row of B against a panel of A gives one column of D.
//!
//! Everything is exact until the two truncations the model asks for. In units of 1/4 a dot product
//! is an integer of at most 16·144, which an `i16` holds. Times two scales it has at most 20
//! significant bits and lies between 2⁻²⁰ and 2²⁷: an exact f32. Terms truncated to 2^(E − 35) are
//! below 2^(E + 12) in magnitude, so their sum is exact in f64.

#![allow(clippy::needless_range_loop, reason = "indexed loops over whole arrays vectorise best")]

use pulp::{Arch, Simd, WithSimd};

use super::panel::{Panel, scale};
use super::{DOUBLED, GROUPS, K, ROW_BYTES, ROWS};
use crate::numeric::{CANONICAL_NAN_F32, toward_zero};

/// D = A·Bᵀ with block scales, or D += A·Bᵀ when `accumulate` is set.
///
/// `d[n]` is column n of the accumulator, f32 bits by row; `b[n]` and `scales[n]` are the row of B
/// and its scales that make it. `negate` flips the sign of B.
///
/// # Panics
/// When `b`, `scales` and `d` differ in length.
pub fn multiply(
    a: &Panel,
    b: &[[u8; ROW_BYTES]],
    scales: &[[u8; GROUPS]],
    negate: bool,
    accumulate: bool,
    d: &mut [[u32; ROWS]],
) {
    assert!(b.len() == d.len() && scales.len() == d.len(), "one row of B per column of D");
    // Arch::new asks the processor once; the closure below is compiled for each vector extension.
    Arch::new().dispatch(Multiply { a, b, scales, negate, accumulate, d });
}

struct Multiply<'a> {
    a: &'a Panel,
    b: &'a [[u8; ROW_BYTES]],
    scales: &'a [[u8; GROUPS]],
    negate: bool,
    accumulate: bool,
    d: &'a mut [[u32; ROWS]],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((row, bytes), d) in self.b.iter().zip(self.scales).zip(self.d) {
            let Some(b) = Row::new(row, *bytes, self.negate) else {
                *d = [CANONICAL_NAN_F32; ROWS];
                continue;
            };
            if !self.accumulate {
                *d = [0; ROWS];
            }
            column(self.a, &b, d);
        }
    }
}

/// A row of B, decoded.
struct Row {
    codes: [i16; K],
    /// Scale values, times the unit of the integer dot products.
    scales: [f32; GROUPS],
    exponents: [i32; GROUPS],
}

impl Row {
    /// `None` when a scale is NaN.
    #[inline(always)]
    fn new(row: &[u8; ROW_BYTES], bytes: [u8; GROUPS], negate: bool) -> Option<Row> {
        let mut codes = [0; K];
        for (pair, &byte) in codes.chunks_exact_mut(2).zip(row) {
            pair[0] = DOUBLED[usize::from(byte & 0xF)];
            pair[1] = DOUBLED[usize::from(byte >> 4)];
        }
        let unit = if negate { -0.25 } else { 0.25 };
        let decoded = bytes.map(scale);
        if decoded.iter().any(|s| s.0.is_nan()) {
            return None;
        }
        Some(Row { codes, scales: decoded.map(|s| s.0 * unit), exponents: decoded.map(|s| s.1) })
    }
}

#[inline(always)]
fn column(a: &Panel, b: &Row, c: &mut [u32; ROWS]) {
    let mut exponent = [0i32; ROWS];
    for (e, &bits) in exponent.iter_mut().zip(&*c) {
        *e = ((bits >> 23) & 0xFF).max(1) as i32 - 127;
    }
    let mut terms = [[0f32; ROWS]; GROUPS];
    for (g, terms) in terms.iter_mut().enumerate() {
        let dot = dot_products(a, b, g);
        for l in 0..ROWS {
            terms[l] = f32::from(dot[l]) * (a.scales[g][l] * b.scales[g]);
            exponent[l] = exponent[l].max(a.exponents[g][l] + b.exponents[g]);
        }
    }
    // A group term is a multiple of 2^-20, so up to E = 15 only c can lose bits.
    if exponent.iter().fold(i32::MIN, |most, &e| most.max(e)) > 15 {
        for term in &mut terms {
            for l in 0..ROWS {
                term[l] = f32::from_bits(truncated(term[l].to_bits(), exponent[l]));
            }
        }
    }
    for l in 0..ROWS {
        let bits = c[l];
        let old = f32::from_bits(truncated(bits, exponent[l]));
        let groups = (f64::from(terms[0][l]) + f64::from(terms[1][l]))
            + (f64::from(terms[2][l]) + f64::from(terms[3][l]));
        // -0 can only come from an all-zero sum, whose result is +0: hence the last addition.
        let sum = toward_zero(groups + f64::from(old) + 0.0);
        let magnitude = bits & 0x7FFF_FFFF;
        let number = if magnitude >= 0x7F80_0000 { bits } else { sum };
        let nan = if magnitude > 0x7F80_0000 { u32::MAX } else { a.poisoned[l] };
        c[l] = (number & !nan) | (CANONICAL_NAN_F32 & nan);
    }
}

/// The dot products of group `g`, in quarters.
///
/// Four elements at a time, so that the sums are loaded and stored a quarter as often.
#[inline(always)]
fn dot_products(a: &Panel, b: &Row, g: usize) -> [i16; ROWS] {
    let mut dot = [0i16; ROWS];
    for k in (16 * g..16 * (g + 1)).step_by(4) {
        let [a0, a1, a2, a3] = [&a.codes[k], &a.codes[k + 1], &a.codes[k + 2], &a.codes[k + 3]];
        let [b0, b1, b2, b3] = [b.codes[k], b.codes[k + 1], b.codes[k + 2], b.codes[k + 3]];
        for l in 0..ROWS {
            dot[l] += (a0[l] * b0 + a1[l] * b1) + (a2[l] * b2 + a3[l] * b3);
        }
    }
    dot
}

/// The f32 `bits`, truncated toward zero to a multiple of 2^(exponent − 35).
#[inline(always)]
fn truncated(bits: u32, exponent: i32) -> u32 {
    let field = ((bits >> 23) & 0xFF).max(1) as i32;
    // The last place of the number has the weight 2^(field - 150).
    let drop = exponent - 35 - (field - 150);
    let kept = bits & (u32::MAX << (drop.clamp(0, 23) as u32));
    if drop > 23 { 0 } else { kept }
}
