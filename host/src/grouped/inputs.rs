//! The inputs of a grouped problem in host memory, and what they must be.

use super::problem::{
    Experts, Group, GroupedProblem, Groups, Operation, check_offsets, in_group, token_scales,
};
use crate::error::{Error, Result};
use crate::formats::scale_layout::{ScaleLayout, check_length};
use crate::problem::Inputs;

/// The inputs of a grouped problem, in host memory and in the layouts that the kernels read. For a
/// plain GEMM `b2` and `sfb2` are empty.
#[derive(Debug, Clone, Copy)]
pub enum GroupedInputs<'a> {
    /// One for each listed group; those of a group without rows may be empty.
    Listed(&'a [Inputs<'a>]),
    /// Of experts.
    Experts {
        /// A `[rows, K/2]`, B1 and B2 `[experts, N, K/2]`, `sfa` of
        /// [`scale_bytes`](Experts::scale_bytes), the weights' scales as `experts` batches.
        tensors: Inputs<'a>,
        /// Where each expert's rows begin, and where the last one's end.
        offsets: &'a [u32],
        /// Multiplies A·B1ᵀ, for each expert.
        alphas1: &'a [f32],
        /// Multiplies A·B2ᵀ, for each expert; empty for a plain GEMM.
        alphas2: &'a [f32],
        /// Rows that hold tokens: what the offsets must end in.
        total: usize,
    },
}

impl GroupedInputs<'_> {
    /// Checks everything that the kernel would otherwise read beyond, or get wrong.
    ///
    /// # Errors
    /// The first rule broken, by group and tensor.
    pub fn check(&self, problem: &GroupedProblem) -> Result<()> {
        self.check_lengths(problem)?;
        match (self, &problem.groups) {
            (GroupedInputs::Experts { offsets, total, .. }, Groups::Experts(experts)) => {
                check_offsets(offsets, experts, *total)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_lengths(&self, problem: &GroupedProblem) -> Result<()> {
        let operation = problem.operation;
        match (self, &problem.groups) {
            (GroupedInputs::Listed(inputs), Groups::Listed(groups)) => {
                if inputs.len() != groups.len() {
                    return Err(Error::Length {
                        tensor: "inputs",
                        unit: "groups",
                        got: inputs.len(),
                        want: groups.len(),
                        formula: "one for each group",
                        remedy: "give them in the order of the problem's groups",
                    });
                }
                for (i, (x, g)) in inputs.iter().zip(groups).enumerate() {
                    if g.m > 0 {
                        check_group(x, g, operation).map_err(|cause| in_group(i, cause))?;
                    }
                }
                Ok(())
            }
            (GroupedInputs::Experts { tensors: x, alphas1, alphas2, .. }, Groups::Experts(e)) => {
                check_experts(x, e, operation)?;
                let per_expert = |tensor, got: usize, want| {
                    let remedy = "one f32 for each expert";
                    check_length(tensor, "elements", got, want, "experts", remedy)
                };
                per_expert("alphas1", alphas1.len(), e.experts)?;
                let second = if operation == Operation::DualGemm { e.experts } else { 0 };
                per_expert("alphas2", alphas2.len(), second)
            }
            _ => Err(Error::Unsupported {
                what: "inputs of one form for a problem of the other".into(),
                remedy: "listed groups take listed inputs, experts those of experts",
            }),
        }
    }
}

/// Lengths and scales of a listed group with rows.
fn check_group(x: &Inputs<'_>, group: &Group, operation: Operation) -> Result<()> {
    let Group { m, n, k, l, .. } = *group;
    let packed = "the data are packed, two elements a byte, without padding";
    check_length("a", "bytes", x.a.len(), l * m * k / 2, "L · M · K/2", packed)?;
    if let Some(layout) = token_scales(m, k, l)? {
        layout.check_blocked("sfa", x.sfa)?;
    }
    check_weights(x, [l, n, k], operation)
}

fn check_weights(x: &Inputs<'_>, [l, n, k]: [usize; 3], operation: Operation) -> Result<()> {
    let layout = ScaleLayout::new(n, k, l)?;
    let packed = "the data are packed, two elements a byte, without padding";
    check_length("b1", "bytes", x.b1.len(), l * n * k / 2, "L · N · K/2", packed)?;
    layout.check_blocked("sfb1", x.sfb1)?;
    if operation == Operation::DualGemm {
        check_length("b2", "bytes", x.b2.len(), l * n * k / 2, "L · N · K/2", packed)?;
        return layout.check_blocked("sfb2", x.sfb2);
    }
    let remedy = "a plain GEMM has one weight tensor: give no second";
    check_length("b2", "bytes", x.b2.len(), 0, "none", remedy)?;
    check_length("sfb2", "bytes", x.sfb2.len(), 0, "none", remedy)
}

/// Lengths of experts' tensors, and the weights' scales. Which of the tokens' scales are padding
/// depends on the offsets.
fn check_experts(x: &Inputs<'_>, e: &Experts, operation: Operation) -> Result<()> {
    let packed = "room for the whole capacity of rows, packed, two elements a byte";
    check_length("a", "bytes", x.a.len(), e.rows * e.k / 2, "rows · K/2", packed)?;
    let formula = "most blocks of 128 rows · ⌈K/64⌉ · 512";
    let remedy = "every expert's scales start at a block of 128 rows of their own";
    check_length("sfa", "bytes", x.sfa.len(), e.scale_bytes(), formula, remedy)?;
    check_weights(x, [e.experts, e.n, e.k], operation)
}
