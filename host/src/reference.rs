//! The dual GEMM in f64, as plainly as it can be written: what the kernels are judged by.
//!
//! It shares no table and no arithmetic with the rest of the crate, only the types of its arguments
//! and their check. Sums run along K in order; products with their block scales are exact in f64,
//! and the sums nearly always are.

use std::ops::Range;
use std::thread;

use crate::error::Result;
use crate::problem::{ActivationType, Inputs, Problem};
use half::{bf16, f16};

/// What comes out, each `[L, M, N]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// `silu(alpha1 · acc1) · alpha2 · acc2`, not rounded to the output type.
    pub c: Vec<f64>,
    /// A·B1ᵀ.
    pub acc1: Vec<f64>,
    /// A·B2ᵀ.
    pub acc2: Vec<f64>,
}

/// Columns of each weight tensor that share one pass over A.
const COLUMNS: usize = 8;

/// Computes the dual GEMM on all cores.
///
/// # Errors
/// A problem or inputs that their `check` refuses.
pub fn dual_gemm(problem: &Problem, inputs: &Inputs<'_>) -> Result<Reference> {
    inputs.check(problem)?;
    let weights = [(inputs.b1, inputs.sfb1), (inputs.b2, inputs.sfb2)];
    let [acc1, acc2] = products(problem, inputs, weights);
    let c = acc1.iter().zip(&acc2).map(|(&acc1, &acc2)| {
        let (gate, up) = (f64::from(problem.alpha1) * acc1, f64::from(problem.alpha2) * acc2);
        gate / (1.0 + (-gate).exp()) * up
    });
    Ok(Reference { c: c.collect(), acc1, acc2 })
}

/// Computes `alpha1 · A · B1ᵀ` on all cores, `[L, M, N]`, not rounded to the output type. B2 is not
/// looked at.
///
/// # Errors
/// A problem or inputs that their `check` refuses, with B1 in B2's place.
pub fn gemm(problem: &Problem, inputs: &Inputs<'_>) -> Result<Vec<f64>> {
    let inputs = Inputs { b2: inputs.b1, sfb2: inputs.sfb1, ..*inputs };
    inputs.check(problem)?;
    let [acc] = products(problem, &inputs, [(inputs.b1, inputs.sfb1)]);
    Ok(acc.into_iter().map(|acc| f64::from(problem.alpha1) * acc).collect())
}

/// The product of A with each of the weights, given with their scales.
fn products<const P: usize>(
    problem: &Problem,
    inputs: &Inputs<'_>,
    weights: [(&[u8], &[u8]); P],
) -> [Vec<f64>; P] {
    let Problem { m, n, l, .. } = *problem;
    let rows = l * m;
    let mut all = vec![[0.0; P]; rows * n];
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get());
    let rows_each = rows.div_ceil(threads);
    thread::scope(|scope| {
        for (part, sums) in all.chunks_mut(rows_each * n).enumerate() {
            scope.spawn(move || {
                let first = part * rows_each;
                let last = (first + rows_each).min(rows);
                for batch in first / m..=(last - 1) / m {
                    let (from, to) = (first.max(batch * m), last.min((batch + 1) * m));
                    let rows = from - batch * m..to - batch * m;
                    let skip = (from - first) * n;
                    multiply(problem, inputs, weights, batch, rows, &mut sums[skip..]);
                }
            });
        }
    });
    std::array::from_fn(|product| all.iter().map(|sums| sums[product]).collect())
}

/// Rows `rows` of batch `batch` of all products, into a slice that starts at the first of them.
fn multiply<const P: usize>(
    problem: &Problem,
    x: &Inputs<'_>,
    weights: [(&[u8], &[u8]); P],
    batch: usize,
    rows: Range<usize>,
    into: &mut [[f64; P]],
) {
    let Problem { m, n, k, .. } = *problem;
    let a = |row| match problem.activations {
        ActivationType::Nvfp4 => decode_row(x.a, x.sfa, [m, k], batch, row),
        ActivationType::F16 => {
            half_row(x.a, [m, k], batch, row, |bits| f16::from_bits(bits).into())
        }
        ActivationType::Bf16 => {
            half_row(x.a, [m, k], batch, row, |bits| bf16::from_bits(bits).into())
        }
    };
    let a: Vec<_> = rows.map(a).collect();
    for column in (0..n).step_by(COLUMNS) {
        let columns = COLUMNS.min(n - column);
        // All weights side by side, so that the innermost loop runs over independent sums.
        let mut b = vec![[[0.0; COLUMNS]; P]; k];
        for (product, (packed, scales)) in weights.into_iter().enumerate() {
            for j in 0..columns {
                let row = decode_row(packed, scales, [n, k], batch, column + j);
                for (b, value) in b.iter_mut().zip(row) {
                    b[product][j] = value;
                }
            }
        }
        for (row, a) in a.iter().enumerate() {
            let mut sums = [[0.0; COLUMNS]; P];
            for (a, b) in a.iter().zip(&b) {
                for (sums, b) in sums.iter_mut().zip(b) {
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum += a * b;
                    }
                }
            }
            let at = row * n + column;
            for (j, into) in into[at..at + columns].iter_mut().enumerate() {
                *into = std::array::from_fn(|product| sums[product][j]);
            }
        }
    }
}

/// One row of a tensor whose batches have `rows` rows of `k` elements, block scales applied.
fn decode_row(d: &[u8], sf: &[u8], [rows, k]: [usize; 2], batch: usize, row: usize) -> Vec<f64> {
    let packed = &d[(batch * rows + row) * k / 2..][..k / 2];
    (0..k)
        .map(|i| {
            let code = if i % 2 == 0 { packed[i / 2] & 15 } else { packed[i / 2] >> 4 };
            let block = i / 16;
            let atom = (batch * rows.div_ceil(128) + row / 128) * k.div_ceil(64) + block / 4;
            let byte = sf[atom * 512 + row % 32 * 16 + row % 128 / 32 * 4 + block % 4];
            e2m1(code) * e4m3(byte)
        })
        .collect()
}

/// One row of 16-bit elements.
fn half_row(
    d: &[u8],
    [rows, k]: [usize; 2],
    batch: usize,
    row: usize,
    value: fn(u16) -> f64,
) -> Vec<f64> {
    let bytes = &d[(batch * rows + row) * k * 2..][..k * 2];
    bytes.chunks_exact(2).map(|pair| value(u16::from_le_bytes([pair[0], pair[1]]))).collect()
}

fn e2m1(code: u8) -> f64 {
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code & 7)];
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// The sign bit is padding in a block scale, and 0.
fn e4m3(byte: u8) -> f64 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f64::from(byte & 7));
    match (exponent, byte & 7) {
        (15, 7) => f64::NAN,
        (0, _) => mantissa / 8.0 * 2f64.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
    }
}
