//! Is C right? Within the tolerance of the f64 reference, and bit for bit what the accumulation
//! model and the epilogue's own operations give.

use half::{bf16, f16};
use nvfp4_dual_gemm::grouped::Operation;
use nvfp4_dual_gemm::{OutputType, Problem, reference};
use rayon::prelude::*;

use crate::data::{Inputs, Operand};
use crate::model;

/// Relative and absolute tolerance against the f64 reference: the contest's own.
pub const TOLERANCE: f64 = 1e-3;

/// A wrong element.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    /// Batch, row, column.
    pub at: [usize; 3],
    /// What the kernel wrote.
    pub got: f64,
    /// What it should have written.
    pub want: f64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// The largest difference from the f64 reference, absolute.
    pub max_error: f64,
    /// Elements outside the tolerance.
    pub outside_tolerance: usize,
    /// Elements that differ in a bit from the model.
    pub wrong_bits: usize,
    /// The first of either, the worse kind first.
    pub first: Option<Wrong>,
}

impl Verdict {
    /// True if nothing is wrong.
    pub fn passed(&self) -> bool {
        self.outside_tolerance == 0 && self.wrong_bits == 0
    }
}

/// What C must be, computed once for a problem and its inputs.
#[derive(Debug, Clone)]
pub struct Expected {
    problem: Problem,
    reference: Vec<f64>,
    /// Empty where only the tolerance counts.
    bits: Vec<u16>,
}

impl Expected {
    /// Computes both answers.
    ///
    /// # Errors
    /// A problem or inputs that the host crate refuses.
    pub fn new(problem: &Problem, inputs: &Inputs) -> nvfp4_dual_gemm::Result<Expected> {
        Self::of(Operation::DualGemm, problem, inputs)
    }

    /// Computes both answers for an operation.
    ///
    /// # Errors
    /// A problem or inputs that the host crate refuses.
    pub fn of(
        operation: Operation,
        problem: &Problem,
        inputs: &Inputs,
    ) -> nvfp4_dual_gemm::Result<Expected> {
        let reference = match operation {
            Operation::Gemm => reference::gemm(problem, &inputs.views())?,
            Operation::DualGemm => reference::dual_gemm(problem, &inputs.views())?.c,
        };
        Ok(Expected { problem: *problem, reference, bits: model_bits(operation, problem, inputs) })
    }

    /// Computes only the f64 reference: other devices than Blackwell accumulate in ways of their own.
    ///
    /// # Errors
    /// A problem or inputs that the host crate refuses.
    pub fn reference_only(
        problem: &Problem,
        inputs: &nvfp4_dual_gemm::Inputs<'_>,
    ) -> nvfp4_dual_gemm::Result<Expected> {
        let reference = reference::dual_gemm(problem, inputs)?.c;
        Ok(Expected { problem: *problem, reference, bits: vec![] })
    }

    /// C by the accumulation model; empty where only the tolerance counts.
    pub fn bits(&self) -> &[u16] {
        &self.bits
    }

    /// Leaves the tolerance alone to judge by.
    pub(crate) fn forget_bits(&mut self) {
        self.bits.clear();
    }

    /// Compares every element of C.
    pub fn judge(&self, c: &[u16]) -> Verdict {
        assert_eq!(c.len(), self.reference.len(), "C has L·M·N elements");
        let mut verdict = Verdict::default();
        let mut first_wrong_bits = None;
        for (i, &bits) in c.iter().enumerate() {
            let (got, want) = (value(self.problem.output, bits), self.reference[i]);
            let error = (got - want).abs();
            let both_overflow = got.is_infinite() && overflows(self.problem.output, want);
            if !both_overflow {
                verdict.max_error =
                    verdict.max_error.max(if error.is_nan() { f64::INFINITY } else { error });
            }
            // Negated, so that a NaN is outside.
            if !(both_overflow && got.signum() == want.signum()
                || error <= tolerance(self.problem.output, want))
            {
                verdict.outside_tolerance += 1;
                let wrong = Wrong { at: self.place(i), got, want };
                verdict.first.get_or_insert(wrong);
            }
            if self.bits.get(i).is_some_and(|&want| want != bits) {
                verdict.wrong_bits += 1;
                let want = value(self.problem.output, self.bits[i]);
                first_wrong_bits.get_or_insert(Wrong { at: self.place(i), got, want });
            }
        }
        verdict.first = verdict.first.or(first_wrong_bits);
        verdict
    }

    fn place(&self, index: usize) -> [usize; 3] {
        let Problem { m, n, .. } = self.problem;
        [index / (m * n), index / n % m, index % n]
    }
}

/// What may be between C and the f64 reference. bf16 keeps 8 bits, so that rounding alone moves a
/// value by up to 2⁻⁸ of itself, more than the relative tolerance: it gets that on top.
fn tolerance(output: OutputType, want: f64) -> f64 {
    let rounding = match output {
        OutputType::F16 => 0.0,
        OutputType::Bf16 => want.abs() / 256.0,
    };
    TOLERANCE + TOLERANCE * want.abs() + rounding
}

fn overflows(output: OutputType, want: f64) -> bool {
    output == OutputType::F16 && f16::from_f64(want).is_infinite()
}

fn value(output: OutputType, bits: u16) -> f64 {
    match output {
        OutputType::F16 => f16::from_bits(bits).to_f64(),
        OutputType::Bf16 => bf16::from_bits(bits).to_f64(),
    }
}

/// C by the accumulation model, as bits of the output type.
fn model_bits(operation: Operation, problem: &Problem, inputs: &Inputs) -> Vec<u16> {
    let Problem { m, n, k, l, alpha1, alpha2, .. } = *problem;
    let rows = |operand: &Operand| -> Vec<Vec<i16>> {
        operand.packed.par_chunks(k / 2).map(model::twice_values).collect()
    };
    let (a, b1, b2) = (rows(&inputs.a), rows(&inputs.b1), rows(&inputs.b2));
    fn scales(operand: &Operand, row: usize, k: usize) -> &[u8] {
        &operand.row_major[row * k / 16..][..k / 16]
    }
    (0..l * m)
        .into_par_iter()
        .flat_map_iter(|row| {
            let batch = row / m;
            let (a, sfa) = (&a[row], scales(&inputs.a, row, k));
            let (b1, b2) = (&b1, &b2);
            (0..n).map(move |column| {
                let b_row = batch * n + column;
                let gate = model::accumulate(a, &b1[b_row], sfa, scales(&inputs.b1, b_row, k));
                let up = || model::accumulate(a, &b2[b_row], sfa, scales(&inputs.b2, b_row, k));
                let c = match operation {
                    Operation::Gemm => alpha1 * gate,
                    Operation::DualGemm => model::silu_mul(gate, up(), alpha1, alpha2),
                };
                match problem.output {
                    OutputType::F16 => model::f16_bits(c),
                    OutputType::Bf16 => model::bf16_bits(c),
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataKind;

    fn expected(output: OutputType) -> (Expected, Vec<u16>) {
        let shape = (5, 8, 96, 2);
        let inputs = Inputs::new(DataKind::Quantised, shape, 1);
        let problem = inputs.problem(shape, output);
        let expected = Expected::new(&problem, &inputs).unwrap();
        let c = expected.bits.clone();
        (expected, c)
    }

    #[test]
    fn the_model_agrees_with_the_reference() {
        for output in [OutputType::F16, OutputType::Bf16] {
            let (expected, c) = expected(output);
            assert!(expected.judge(&c).passed(), "{:?}", expected.judge(&c));
        }
    }

    #[test]
    fn one_wrong_bit_is_found_and_named() {
        let (expected, mut c) = expected(OutputType::F16);
        c[3 * 8 + 5] ^= 1;
        let verdict = expected.judge(&c);
        assert_eq!((verdict.wrong_bits, verdict.outside_tolerance), (1, 0));
        assert_eq!(verdict.first.unwrap().at, [0, 3, 5]);
    }

    #[test]
    fn a_wrong_value_and_a_nan_are_outside_the_tolerance() {
        let (expected, good) = expected(OutputType::F16);
        for bits in [f16::from_f64(99.0).to_bits(), f16::NAN.to_bits(), f16::INFINITY.to_bits()] {
            let mut c = good.clone();
            c[5 * 8 + 2] = bits;
            let verdict = expected.judge(&c);
            assert_eq!((verdict.outside_tolerance, verdict.passed()), (1, false));
            assert_eq!(verdict.first.unwrap().at, [1, 0, 2]);
        }
    }
}
