//! The problem as the user states it, the rules for its dimensions, and the sizes of its tensors.

use std::fmt;

use crate::error::{Error, Result};
use crate::formats::scale_layout::{ScaleLayout, check_length};

/// Element type of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
}

impl OutputType {
    /// `f16` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            OutputType::F16 => "f16",
            OutputType::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for OutputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Element type of A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActivationType {
    /// e2m1 with a ue4m3 scale per 16 elements, as the weights are (W4A4).
    Nvfp4,
    /// IEEE half, without scales (W4A16).
    F16,
    /// bfloat16, without scales (W4A16).
    Bf16,
}

impl ActivationType {
    /// `nvfp4`, `f16` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            ActivationType::Nvfp4 => "nvfp4",
            ActivationType::F16 => "f16",
            ActivationType::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for ActivationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The largest L: batches are the grid's z.
pub const MAX_BATCH: usize = 65_535;
/// The largest size of one tensor, in bytes.
pub const MAX_TENSOR_BYTES: u64 = 1 << 40;
/// What the address of every tensor must be a multiple of, in bytes.
pub const TENSOR_ALIGNMENT: usize = 16;

/// TMA coordinates are signed 32-bit numbers.
const MAX_DIMENSION: usize = i32::MAX as usize;

/// `C = silu(alpha1 · A · B1ᵀ) ⊙ (alpha2 · A · B2ᵀ)`, for each of L batches.
///
/// A is `[L, M, K]`, B1 and B2 are `[L, N, K]`, C is `[L, M, N]`; all are contiguous, the last
/// dimension first in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Problem {
    /// Rows of A and of C: tokens. Any number from 1.
    pub m: usize,
    /// Rows of B1 and B2, columns of C: a multiple of 8.
    pub n: usize,
    /// The dimension that is summed over: a multiple of 32.
    pub k: usize,
    /// Batches: 1 to 65,535.
    pub l: usize,
    /// Element type of A.
    pub activations: ActivationType,
    /// Element type of C.
    pub output: OutputType,
    /// The tensor scales of A and B1, multiplied; applied before the SiLU.
    pub alpha1: f32,
    /// The tensor scales of A and B2, multiplied.
    pub alpha2: f32,
}

/// Bytes of each tensor of a [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorSizes {
    /// A: L · M · K/2 packed, L · M · K · 2 with 16-bit elements.
    pub a: usize,
    /// B1, and B2, packed: L · N · K/2.
    pub b: usize,
    /// The blocked scales of A: L · ⌈M/128⌉·128 · ⌈K/64⌉·4; 0 where A is 16-bit.
    pub sfa: usize,
    /// The blocked scales of B1, and of B2: L · ⌈N/128⌉·128 · ⌈K/64⌉·4.
    pub sfb: usize,
    /// C: L · M · N · 2.
    pub c: usize,
}

impl Problem {
    /// One product of this size, NVFP4 in, f16 out, both alphas 1.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        let (activations, output) = (ActivationType::Nvfp4, OutputType::F16);
        Problem { m, n, k, l: 1, activations, output, alpha1: 1.0, alpha2: 1.0 }
    }

    /// The same for `l` batches.
    pub fn with_batch(self, l: usize) -> Self {
        Problem { l, ..self }
    }

    /// The same with another element type of C.
    pub fn with_output(self, output: OutputType) -> Self {
        Problem { output, ..self }
    }

    /// The same with another element type of A.
    pub fn with_activations(self, activations: ActivationType) -> Self {
        Problem { activations, ..self }
    }

    /// The same with these multipliers for the two products.
    pub fn with_alphas(self, alpha1: f32, alpha2: f32) -> Self {
        Problem { alpha1, alpha2, ..self }
    }

    /// Checks every rule that no kernel can do without, and gives the sizes of the tensors.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn check(&self) -> Result<TensorSizes> {
        let Problem { m, n, k, l, .. } = *self;
        let refuse = |dimension, value, rule, remedy| {
            Err(Error::Dimension { dimension, value, rule, remedy })
        };
        if m == 0 {
            return refuse("M", m, "at least 1", "with no tokens there is nothing to launch");
        }
        if n == 0 || !n.is_multiple_of(8) {
            let remedy = "C is stored 8 columns (16 bytes) at a time; pad the rows of B1 and B2";
            return refuse("N", n, "a multiple of 8, and not 0", remedy);
        }
        if k == 0 || !k.is_multiple_of(32) {
            let remedy = "rows of A and B must be a multiple of 16 bytes for TMA; \
                          pad K with zero elements and scales";
            return refuse("K", k, "a multiple of 32, and not 0", remedy);
        }
        if l == 0 {
            return refuse("L", l, "at least 1", "a single product is a batch of 1");
        }
        if l > MAX_BATCH {
            return refuse("L", l, "at most 65535", "the batch is the grid's z; split it");
        }
        for (dimension, value) in [("M", m), ("N", n), ("K", k)] {
            if value > MAX_DIMENSION {
                let rule = "at most 2147483647 (2^31 − 1)";
                let remedy = "TMA coordinates are signed 32-bit numbers; split the problem";
                return refuse(dimension, value, rule, remedy);
            }
        }
        for (name, value) in [("alpha1", self.alpha1), ("alpha2", self.alpha2)] {
            if !value.is_finite() {
                return Err(Error::Scalar {
                    name: name.into(),
                    value,
                    rule: "a finite number",
                    remedy: "it is the product of two tensor scales: check them",
                });
            }
        }
        let packed = self.activations == ActivationType::Nvfp4;
        Ok(TensorSizes {
            a: bytes("A", "M or L", [l, m, if packed { k / 2 } else { k * 2 }])?,
            b: bytes("B", "N or L", [l, n, k / 2])?,
            c: bytes("C", "M or L", [l, m, n * 2])?,
            // Not larger than the data they scale by more than their padding: these fit too.
            sfa: if packed { ScaleLayout::new(m, k, l)?.blocked_len() } else { 0 },
            sfb: ScaleLayout::new(n, k, l)?.blocked_len(),
        })
    }

    /// The layouts of A's block scales.
    ///
    /// # Errors
    /// Dimensions that [`Problem::check`] refuses.
    pub fn sfa_layout(&self) -> Result<ScaleLayout> {
        ScaleLayout::new(self.m, self.k, self.l)
    }

    /// The layouts of B1's and of B2's block scales.
    ///
    /// # Errors
    /// Dimensions that [`Problem::check`] refuses.
    pub fn sfb_layout(&self) -> Result<ScaleLayout> {
        ScaleLayout::new(self.n, self.k, self.l)
    }

    /// Floating-point operations: two products of L·M·N·K multiplications and as many additions.
    pub fn flops(&self) -> f64 {
        4.0 * self.l as f64 * self.m as f64 * self.n as f64 * self.k as f64
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { m, n, k, l, activations, output, alpha1, alpha2 } = self;
        write!(
            f,
            "M {m}, N {n}, K {k}, L {l}; A in {activations}, C in {output}; \
             alpha1 {alpha1}, alpha2 {alpha2}"
        )
    }
}

/// The input tensors of a [`Problem`], in host memory and in the layouts that the kernels read.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// A: packed `[L, M, K/2]`, or the bytes of 16-bit `[L, M, K]`.
    pub a: &'a [u8],
    /// B1 (gate), packed `[L, N, K/2]`.
    pub b1: &'a [u8],
    /// B2 (up), packed `[L, N, K/2]`.
    pub b2: &'a [u8],
    /// The scales of A, 128×4 blocked; empty where A is 16-bit.
    pub sfa: &'a [u8],
    /// The scales of B1, 128×4 blocked.
    pub sfb1: &'a [u8],
    /// The scales of B2, 128×4 blocked.
    pub sfb2: &'a [u8],
}

impl Inputs<'_> {
    /// Checks the lengths, and every block scale inside the data. What the padding of the scales
    /// holds does not matter.
    ///
    /// # Errors
    /// The first rule broken, by tensor.
    pub fn check(&self, problem: &Problem) -> Result<()> {
        let sizes = problem.check()?;
        let packed = |tensor, data: &[u8], want, formula| {
            let remedy = "the data are packed, two elements a byte, without padding";
            check_length(tensor, "bytes", data.len(), want, formula, remedy)
        };
        if problem.activations == ActivationType::Nvfp4 {
            packed("a", self.a, sizes.a, "L · M · K/2")?;
            problem.sfa_layout()?.check_blocked("sfa", self.sfa)?;
        } else {
            let (a, remedy) = (self.a.len(), "A is contiguous, two bytes an element");
            check_length("a", "bytes", a, sizes.a, "L · M · K · 2", remedy)?;
            let remedy = "16-bit activations have no block scales: give none";
            check_length("sfa", "bytes", self.sfa.len(), 0, "none", remedy)?;
        }
        packed("b1", self.b1, sizes.b, "L · N · K/2")?;
        packed("b2", self.b2, sizes.b, "L · N · K/2")?;
        problem.sfb_layout()?.check_blocked("sfb1", self.sfb1)?;
        problem.sfb_layout()?.check_blocked("sfb2", self.sfb2)
    }
}

fn bytes(tensor: &'static str, along: &'static str, factors: [usize; 3]) -> Result<usize> {
    factors
        .into_iter()
        .try_fold(1u64, |product, factor| product.checked_mul(factor as u64))
        .filter(|&bytes| bytes <= MAX_TENSOR_BYTES)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or(Error::TensorTooLarge { tensor, limit: MAX_TENSOR_BYTES, along })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(problem: Problem) -> String {
        problem.check().unwrap_err().to_string()
    }

    #[test]
    fn sizes_of_a_ragged_batch() {
        let sizes = Problem::new(5, 24, 96).with_batch(3).check().unwrap();
        let want = TensorSizes {
            a: 3 * 5 * 48,
            b: 3 * 24 * 48,
            sfa: 3 * 128 * 8,
            sfb: 3 * 128 * 8,
            c: 3 * 5 * 24 * 2,
        };
        assert_eq!(sizes, want);
    }

    #[test]
    fn the_smallest_and_the_contest_shapes_are_legal() {
        for (m, n, k) in [(1, 8, 32), (256, 4096, 7168), (7168, 2304, 2048), (512, 768, 7168)] {
            Problem::new(m, n, k).check().unwrap();
        }
        Problem::new(1, 8, 32).with_batch(65_535).check().unwrap();
    }

    #[test]
    fn every_refusal_names_dimension_value_rule_and_remedy() {
        for (problem, parts) in [
            (Problem::new(0, 8, 32), ["M = 0", "at least 1", "nothing to launch"]),
            (Problem::new(1, 0, 32), ["N = 0", "multiple of 8", "pad"]),
            (Problem::new(1, 12, 32), ["N = 12", "multiple of 8", "pad"]),
            (Problem::new(1, 8, 0), ["K = 0", "multiple of 32", "pad"]),
            (Problem::new(1, 8, 48), ["K = 48", "multiple of 32", "TMA"]),
            (Problem::new(1, 8, 32).with_batch(0), ["L = 0", "at least 1", "batch of 1"]),
            (Problem::new(1, 8, 32).with_batch(65_536), ["L = 65536", "65535", "split"]),
            (Problem::new(1 << 31, 8, 32), ["M = 2147483648", "2^31", "split"]),
            (Problem::new(1 << 30, 1 << 12, 32), ["tensor C", "2^40", "split"]),
            (Problem::new(1, 8, 32).with_alphas(f32::NAN, 1.0), ["alpha1", "NaN", "finite"]),
            (Problem::new(1, 8, 32).with_alphas(1.0, f32::INFINITY), ["alpha2", "inf", "finite"]),
        ] {
            let text = refusal(problem);
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn nothing_overflows() {
        let huge =
            Problem::new(i32::MAX as usize, (i32::MAX as usize) & !7, (i32::MAX as usize) & !31);
        assert!(refusal(huge.with_batch(65_535)).contains("2^40"));
        assert!(Problem::new(usize::MAX, usize::MAX & !7, usize::MAX & !31).check().is_err());
    }

    #[test]
    fn inputs_of_the_wrong_length_are_named() {
        let problem = Problem::new(2, 8, 64);
        let (a, b, scales) = ([0; 64], [0; 256], [0; 512]);
        let good = Inputs { a: &a, b1: &b, b2: &b, sfa: &scales, sfb1: &scales, sfb2: &scales };
        good.check(&problem).unwrap();
        let text = |inputs: Inputs| inputs.check(&problem).unwrap_err().to_string();
        let message = text(Inputs { b2: &b[1..], ..good });
        assert!(message.contains("b2") && message.contains("255") && message.contains("256"));
        // 2 rows × 4 blocks is the row-major size of A's scales.
        let message = text(Inputs { sfa: &scales[..8], ..good });
        assert!(message.contains("sfa") && message.contains("row-major"), "{message}");
        let mut poisoned = scales;
        poisoned[16 * 7 + 3] = 0xff;
        let message = text(Inputs { sfb2: &poisoned, ..good });
        assert!(message.contains("sfb2") && message.contains("row 7, block 3"), "{message}");
        // Row 3 of A is padding.
        let mut padding = scales;
        padding[16 * 3] = 0x7f;
        Inputs { sfa: &padding, ..good }.check(&problem).unwrap();
    }
}
