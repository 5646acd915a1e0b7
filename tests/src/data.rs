//! Inputs for a dual GEMM, of several kinds, always the same for the same seed.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};
use nvfp4_dual_gemm::checkpoint::{GateUp, Weights};
use nvfp4_dual_gemm::formats::nvfp4::{Nvfp4Matrix, TensorScale};
use nvfp4_dual_gemm::formats::scale_layout::ScaleLayout;
use nvfp4_dual_gemm::formats::ue4m3::Ue4m3;
use nvfp4_dual_gemm::{ActivationType, OutputType, Problem};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// What the numbers look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// The contest's generator: |x| ≤ 1.5, block scales uniform in [0, 1), no tensor scales.
    Contest,
    /// Every code and every scale byte that is not NaN, equally likely.
    FullRange,
    /// Normally distributed activations and weights, quantised; the tensor scales in the alphas.
    Quantised,
    /// What breaks kernels: zero, subnormal and largest scales, one huge block among tiny ones, sums
    /// that cancel, nibble patterns of its own in A and in B.
    Hostile,
}

impl DataKind {
    /// All kinds.
    pub const ALL: [DataKind; 4] =
        [DataKind::Contest, DataKind::FullRange, DataKind::Quantised, DataKind::Hostile];
}

impl fmt::Display for DataKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DataKind::Contest => "contest",
            DataKind::FullRange => "full-range",
            DataKind::Quantised => "quantised",
            DataKind::Hostile => "hostile",
        })
    }
}

impl FromStr for DataKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        DataKind::ALL.into_iter().find(|kind| kind.to_string() == text).ok_or_else(|| {
            format!(
                "'{text}' is not a data kind; there are contest, full-range, quantised, hostile"
            )
        })
    }
}

/// A packed operand `[batch, rows, K/2]` with its scales.
#[derive(Debug, Clone)]
pub struct Operand {
    /// e2m1, two a byte, the first in the low nibble.
    pub packed: Vec<u8>,
    /// ue4m3, `[batch, rows, K/16]`.
    pub row_major: Vec<u8>,
    /// The same in the 128×4 blocked layout; the padding in it is garbage, NaN bytes among it.
    pub blocked: Vec<u8>,
}

/// Inputs of one dual GEMM.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Activations, M rows.
    pub a: Operand,
    /// Gate weights, N rows.
    pub b1: Operand,
    /// Up weights, N rows.
    pub b2: Operand,
    /// Scale of A·B1ᵀ, applied before the SiLU.
    pub alpha1: f32,
    /// Scale of A·B2ᵀ.
    pub alpha2: f32,
}

/// Rows of A, rows of B, elements along K, batches.
pub type Shape = (usize, usize, usize, usize);

impl Inputs {
    /// Inputs for `shape`.
    pub fn new(kind: DataKind, shape: Shape, seed: u64) -> Inputs {
        let (m, n, k, l) = shape;
        let mut rng = SmallRng::seed_from_u64(seed);
        if kind == DataKind::Quantised {
            return quantised(shape, &mut rng);
        }
        let a = operand(kind, Side::A, (m, k, l), &mut rng);
        let b1 = operand(kind, Side::B, (n, k, l), &mut rng);
        let b2 = operand(kind, Side::B, (n, k, l), &mut rng);
        // Keeps gate and up near 1, where the SiLU bends and f16 does not overflow. What counts for
        // the error is the largest partial sum, and with cancelling data that is not the result.
        let typical = |b: &Operand| match kind {
            DataKind::Contest => 1.0,
            DataKind::FullRange => rms(&a) * rms(b) * (k as f64).sqrt(),
            _ => peak(&a) * peak(b) * k as f64,
        };
        let alpha = |b: &Operand| if kind == DataKind::Contest { 1.0 } else { 2.0 / typical(b) };
        let (alpha1, alpha2) = (alpha(&b1) as f32, -0.75 * alpha(&b2) as f32);
        Inputs { a, b1, b2, alpha1, alpha2 }
    }

    /// Weights of a checkpoint, with `m` rows of activations quantised by its own input scale where
    /// gate and up agree on one.
    ///
    /// # Errors
    /// What the host crate refuses.
    pub fn of_checkpoint(
        layer: &GateUp<'_>,
        m: usize,
        seed: u64,
    ) -> nvfp4_dual_gemm::Result<Inputs> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let values: Vec<f32> = (0..m * layer.k).map(|_| normal(&mut rng)).collect();
        let scale = layer.input_scale().map_or(TensorScale::FromData, TensorScale::Given);
        let a = Nvfp4Matrix::quantize(&values, m, layer.k, scale)?;
        let (alpha1, alpha2) = layer.alphas_for(a.tensor_scale());
        let mut weights = |weights: &Weights<'_>| {
            let (packed, scales) = (weights.packed.to_vec(), weights.scales.to_vec());
            finish(packed, scales, (layer.n, layer.k, 1), &mut rng)
        };
        let (b1, b2) = (weights(&layer.gate), weights(&layer.up));
        let a = finish(a.packed().to_vec(), a.scales().to_vec(), (m, layer.k, 1), &mut rng);
        Ok(Inputs { a, b1, b2, alpha1, alpha2 })
    }

    /// A as 16-bit elements: its values, each moved by up to a tenth so that they need the bits.
    pub fn sixteen_bit_a(&self, k: usize, activations: ActivationType, seed: u64) -> Vec<u8> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut value = |i: usize| {
            let code = self.a.packed[i / 2] >> (i % 2 * 4) & 15;
            let sign = if code & 8 == 0 { 1.0 } else { -1.0 };
            let scale = scale_value(self.a.row_major[i / k * (k / 16) + i % k / 16]);
            sign * E2M1[usize::from(code & 7)] * scale * rng.random_range(0.9..1.1)
        };
        let elements = self.a.packed.len() * 2;
        (0..elements)
            .flat_map(|i| match activations {
                ActivationType::Bf16 => bf16::from_f64(value(i)).to_le_bytes(),
                _ => f16::from_f64(value(i)).to_le_bytes(),
            })
            .collect()
    }

    /// The problem that these inputs are for.
    pub fn problem(&self, (m, n, k, l): Shape, output: OutputType) -> Problem {
        let problem = Problem::new(m, n, k).with_batch(l).with_output(output);
        problem.with_alphas(self.alpha1, self.alpha2)
    }

    /// The tensors as the host crate takes them.
    pub fn views(&self) -> nvfp4_dual_gemm::Inputs<'_> {
        nvfp4_dual_gemm::Inputs {
            a: &self.a.packed,
            b1: &self.b1.packed,
            b2: &self.b2.packed,
            sfa: &self.a.blocked,
            sfb1: &self.b1.blocked,
            sfb2: &self.b2.blocked,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    A,
    B,
}

fn operand(
    kind: DataKind,
    side: Side,
    (rows, k, batch): (usize, usize, usize),
    rng: &mut SmallRng,
) -> Operand {
    let codes = batch * rows * k;
    let packed = (0..codes / 2)
        .map(|byte| {
            let low = code(kind, side, 2 * byte, k, rng);
            low | code(kind, side, 2 * byte + 1, k, rng) << 4
        })
        .collect();
    let row_major = (0..codes / 16).map(|block| scale(kind, block, k / 16, rng)).collect();
    finish(packed, row_major, (rows, k, batch), rng)
}

/// Blocks the scales, with garbage where the layout pads.
fn finish(
    packed: Vec<u8>,
    row_major: Vec<u8>,
    (rows, k, batch): (usize, usize, usize),
    rng: &mut SmallRng,
) -> Operand {
    let layout = ScaleLayout::new(rows, k, batch).expect("test shapes are legal");
    let mut blocked: Vec<u8> = (0..layout.blocked_len())
        .map(|_| if rng.random_bool(0.5) { 0x7f } else { rng.random() })
        .collect();
    for (i, &byte) in row_major.iter().enumerate() {
        let (row, block) = (i / (k / 16), i % (k / 16));
        let offset = layout.blocked_offset(row / rows, row % rows, block);
        blocked[offset.expect("inside the layout")] = byte;
    }
    Operand { packed, row_major, blocked }
}

fn code(kind: DataKind, side: Side, index: usize, k: usize, rng: &mut SmallRng) -> u8 {
    match kind {
        // Magnitudes 0, 0.5, 1, 1.5 and the sign.
        DataKind::Contest => rng.random::<u8>() & 0b1011,
        DataKind::Hostile => hostile_code(side, index, k, rng),
        _ => rng.random::<u8>() & 15,
    }
}

fn scale(kind: DataKind, block: usize, blocks_per_row: usize, rng: &mut SmallRng) -> u8 {
    match kind {
        DataKind::Contest => {
            let value = Ue4m3::from_f32(rng.random::<f32>());
            value.expect("a number of [0, 1) has a scale").to_bits()
        }
        DataKind::Hostile => hostile_scale(block, blocks_per_row, rng),
        _ => rng.random_range(0..=0x7e),
    }
}

/// A and B have nibble patterns of their own, so that a swap of nibbles, or of A and B, shows. Runs
/// of ±6 cancel between neighbouring blocks.
fn hostile_code(side: Side, index: usize, k: usize, rng: &mut SmallRng) -> u8 {
    let (row, column) = (index / k, index % k);
    match (row % 4, side) {
        // Alternating blocks of +6 and −6 against constant +6: huge sums that cancel exactly.
        (0, Side::A) => {
            if column / 16 % 2 == 0 {
                7
            } else {
                15
            }
        }
        (0, Side::B) => 7,
        // Low nibbles large, high nibbles small in A; the reverse in B.
        (1, Side::A) => {
            if column % 2 == 0 {
                7
            } else {
                1
            }
        }
        (1, Side::B) => {
            if column % 2 == 0 {
                9
            } else {
                6
            }
        }
        // Negative zeros.
        (2, Side::A) => {
            if column % 3 == 0 {
                8
            } else {
                rng.random::<u8>() & 15
            }
        }
        _ => rng.random::<u8>() & 15,
    }
}

/// Zeros, subnormals, 448, and one huge block among tiny ones.
fn hostile_scale(block: usize, blocks_per_row: usize, rng: &mut SmallRng) -> u8 {
    let (row, column) = (block / blocks_per_row, block % blocks_per_row);
    match row % 5 {
        0 => 0x7e,
        1 => [0x00, 0x01, 0x07, 0x08][rng.random_range(0..4)],
        2 => {
            if column == blocks_per_row / 2 {
                0x7e
            } else {
                0x01
            }
        }
        3 => {
            if column % 2 == 0 {
                0x00
            } else {
                0x38
            }
        }
        _ => rng.random_range(0..=0x7e),
    }
}

fn quantised((m, n, k, l): Shape, rng: &mut SmallRng) -> Inputs {
    // Activations in bf16-like magnitudes, weights around 0.02: the sizes of a real layer.
    let mut matrix = |rows: usize, sigma: f32| {
        let values: Vec<f16> =
            (0..l * rows * k).map(|_| f16::from_f32(sigma * normal(rng))).collect();
        Nvfp4Matrix::quantize(&values, l * rows, k, TensorScale::FromData)
            .expect("finite values quantise")
    };
    let (a, b1, b2) = (matrix(m, 1.0), matrix(n, 0.02), matrix(n, 0.03));
    let alpha1 = a.tensor_scale() * b1.tensor_scale();
    let alpha2 = a.tensor_scale() * b2.tensor_scale();
    let mut finish = |matrix: &Nvfp4Matrix, rows: usize| {
        finish(matrix.packed().to_vec(), matrix.scales().to_vec(), (rows, k, l), rng)
    };
    Inputs { a: finish(&a, m), b1: finish(&b1, n), b2: finish(&b2, n), alpha1, alpha2 }
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut SmallRng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

/// Values of e2m1, written here once more so that the data do not depend on what they test.
const E2M1: [f64; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

fn scale_value(byte: u8) -> f64 {
    let (exponent, mantissa) = (i32::from(byte >> 3), f64::from(byte & 7));
    if exponent == 0 { mantissa / 512.0 } else { (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7) }
}

/// Root mean square of the scaled values, taking codes and scales as independent.
fn rms(operand: &Operand) -> f64 {
    let mean = |sum: f64, count: usize| sum / count as f64;
    let codes = operand.packed.iter().flat_map(|byte| [byte & 7, byte >> 4 & 7]);
    let codes = mean(codes.map(|c| E2M1[c as usize].powi(2)).sum(), operand.packed.len() * 2);
    let scales = operand.row_major.iter().map(|&byte| scale_value(byte).powi(2)).sum();
    (codes * mean(scales, operand.row_major.len())).sqrt()
}

/// The largest scaled magnitude.
fn peak(operand: &Operand) -> f64 {
    6.0 * operand.row_major.iter().map(|&byte| scale_value(byte)).fold(0.0, f64::max)
}
