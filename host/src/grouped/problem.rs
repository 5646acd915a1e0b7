//! What is computed for which groups, and the rules for both.

use std::fmt;

use nvfp4_dual_gemm_device::tile::group_schedule::most_scale_blocks;

use crate::error::{Error, Result};
use crate::formats::scale_layout::ScaleLayout;
use crate::problem::{OutputType, Problem};

/// What is computed for every group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `C = alpha1 · A · B1ᵀ`. There is no B2.
    Gemm,
    /// `C = silu(alpha1 · A · B1ᵀ) ⊙ (alpha2 · A · B2ᵀ)`.
    DualGemm,
}

impl Operation {
    /// Products, and weight tensors.
    pub fn products(self) -> usize {
        match self {
            Operation::Gemm => 1,
            Operation::DualGemm => 2,
        }
    }

    /// `GEMM` or `dual GEMM`.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Gemm => "GEMM",
            Operation::DualGemm => "dual GEMM",
        }
    }
}

/// One group of the listed form: A `[L, M, K]`, B1 (and B2) `[L, N, K]`, C `[L, M, N]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Rows of A and C: any number, 0 included.
    pub m: usize,
    /// Rows of B1 and B2, columns of C: a multiple of 8.
    pub n: usize,
    /// The dimension that is summed over: a multiple of 32.
    pub k: usize,
    /// Batches.
    pub l: usize,
    /// Multiplies A·B1ᵀ.
    pub alpha1: f32,
    /// Multiplies A·B2ᵀ.
    pub alpha2: f32,
}

impl Group {
    /// A group of this size, one batch, both alphas 1.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Group { m, n, k, l: 1, alpha1: 1.0, alpha2: 1.0 }
    }

    /// The dense problem that this group is, with C in `output`.
    pub fn problem(&self, output: OutputType) -> Problem {
        let Group { m, n, k, l, alpha1, alpha2 } = *self;
        Problem::new(m, n, k).with_batch(l).with_output(output).with_alphas(alpha1, alpha2)
    }
}

/// Groups that share N and K, and whose rows are told by offsets in device memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// How many there are: offsets have one more.
    pub experts: usize,
    /// Rows of A and C: the capacity. Offsets beyond are taken as this.
    pub rows: usize,
    /// Rows of every expert's B1 and B2: a multiple of 8.
    pub n: usize,
    /// The dimension that is summed over: a multiple of 32.
    pub k: usize,
}

impl Experts {
    /// Blocks of 128 rows that the tokens' scales must have room for, whatever the routing.
    pub fn scale_blocks(&self) -> usize {
        most_scale_blocks(self.rows as u64, self.experts as u64) as usize
    }

    /// Bytes of the tokens' scales.
    pub fn scale_bytes(&self) -> usize {
        self.scale_blocks() * self.k.div_ceil(64) * 512
    }
}

/// The groups, in one of two forms.
#[derive(Debug, Clone, PartialEq)]
pub enum Groups {
    /// Sizes known to the host, tensors of their own.
    Listed(Vec<Group>),
    /// Rows known to the device alone, tensors shared.
    Experts(Experts),
}

/// An operation on groups.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupedProblem {
    /// What is computed for each.
    pub operation: Operation,
    /// The groups.
    pub groups: Groups,
    /// Element type of C.
    pub output: OutputType,
}

impl GroupedProblem {
    /// `operation` on groups that the host knows, C in f16.
    pub fn listed(operation: Operation, groups: impl Into<Vec<Group>>) -> Self {
        let (groups, output) = (Groups::Listed(groups.into()), OutputType::F16);
        GroupedProblem { operation, groups, output }
    }

    /// `operation` on experts, C in f16.
    pub fn experts(operation: Operation, experts: Experts) -> Self {
        let (groups, output) = (Groups::Experts(experts), OutputType::F16);
        GroupedProblem { operation, groups, output }
    }

    /// A dense problem: one group.
    pub fn dense(operation: Operation, problem: &Problem) -> Self {
        let Problem { m, n, k, l, alpha1, alpha2, output, .. } = *problem;
        let group = Group { m, n, k, l, alpha1, alpha2 };
        GroupedProblem { operation, groups: Groups::Listed(vec![group]), output }
    }

    /// The same with another element type of C.
    pub fn with_output(self, output: OutputType) -> Self {
        GroupedProblem { output, ..self }
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule broken, by group.
    pub fn check(&self) -> Result<()> {
        match &self.groups {
            Groups::Listed(groups) => {
                if groups.is_empty() {
                    return Err(Error::Dimension {
                        dimension: "groups",
                        value: 0,
                        rule: "at least 1",
                        remedy: "with no groups there is nothing to launch",
                    });
                }
                for (i, group) in groups.iter().enumerate() {
                    // A group without rows has weights all the same, which must be legal.
                    let problem = Group { m: group.m.max(1), ..*group }.problem(self.output);
                    problem.check().map_err(|cause| in_group(i, cause))?;
                }
                Ok(())
            }
            Groups::Experts(experts) => {
                let Experts { experts, rows, n, k } = *experts;
                Problem::new(rows, n, k).check()?;
                Problem::new(1, n, k).with_batch(experts).check().map_err(|cause| match cause {
                    Error::Dimension { dimension: "L", value, rule, .. } => Error::Dimension {
                        dimension: "experts",
                        value,
                        rule,
                        remedy: "the weights are [experts, N, K]",
                    },
                    other => other,
                })?;
                Ok(())
            }
        }
    }

    /// What the kernels count groups by: the table's records, or the experts.
    pub(super) fn count(&self, records: usize) -> u32 {
        match &self.groups {
            Groups::Listed(_) => records as u32,
            Groups::Experts(experts) => experts.experts as u32,
        }
    }

    /// Floating-point operations of listed groups; of experts, if their rows are full.
    pub fn flops(&self) -> f64 {
        let size = |m: usize, n: usize, k: usize| m as f64 * n as f64 * k as f64;
        let products = match &self.groups {
            Groups::Listed(groups) => groups.iter().map(|g| g.l as f64 * size(g.m, g.n, g.k)).sum(),
            Groups::Experts(e) => size(e.rows, e.n, e.k),
        };
        2.0 * self.operation.products() as f64 * products
    }
}

impl fmt::Display for GroupedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grouped {}, C in {}: ", self.operation.name(), self.output)?;
        match &self.groups {
            Groups::Listed(groups) => {
                write!(f, "{} groups, M × N × K × L", groups.len())?;
                for (i, g) in groups.iter().enumerate() {
                    if i == 8 {
                        return write!(f, ", …");
                    }
                    let Group { m, n, k, l, .. } = g;
                    write!(f, "{} {m}×{n}×{k}×{l}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Groups::Experts(Experts { experts, rows, n, k }) => {
                write!(f, "{experts} experts, together at most {rows} rows, N {n}, K {k}")
            }
        }
    }
}

/// The same error, saying which group it is about.
pub(crate) fn in_group(group: usize, cause: Error) -> Error {
    Error::InGroup { group, cause: Box::new(cause) }
}

/// Checks offsets that the host can see: `experts + 1` of them, the first 0, none smaller than the
/// one before, the last the number of token rows `total`, which is at most the capacity `rows`.
///
/// # Errors
/// The first rule broken, by place.
pub fn check_offsets(offsets: &[u32], experts: &Experts, total: usize) -> Result<()> {
    let refuse = |at: usize, value: u32, rule: String, remedy: &'static str| {
        Err(Error::Offset { at, value, rule, remedy })
    };
    let want = experts.experts + 1;
    if offsets.len() != want {
        return Err(Error::Length {
            tensor: "offsets",
            unit: "elements",
            got: offsets.len(),
            want,
            formula: "experts + 1",
            remedy: "the last one is the number of rows",
        });
    }
    if total > experts.rows {
        return Err(Error::Dimension {
            dimension: "rows",
            value: total,
            rule: "at most the capacity that the plan was made for",
            remedy: "make the plan for more rows",
        });
    }
    if offsets[0] != 0 {
        return refuse(0, offsets[0], "0".into(), "the first expert's rows are the first");
    }
    for (i, pair) in offsets.windows(2).enumerate() {
        if pair[1] < pair[0] {
            let rule = format!("at least offset {i}, which is {}", pair[0]);
            return refuse(i + 1, pair[1], rule, "an expert cannot have fewer than 0 rows");
        }
    }
    let last = offsets[want - 1];
    if last as usize != total {
        let rule = format!("{total}, the rows that there are");
        return refuse(want - 1, last, rule, "the experts' rows must add up to all rows");
    }
    Ok(())
}

/// The layout of the blocked scales of a group's rows: `None` for a group without rows.
pub(crate) fn token_scales(m: usize, k: usize, l: usize) -> Result<Option<ScaleLayout>> {
    if m == 0 { Ok(None) } else { ScaleLayout::new(m, k, l).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERTS: Experts = Experts { experts: 3, rows: 10, n: 8, k: 32 };

    #[test]
    fn offsets_that_the_host_sees() {
        check_offsets(&[0, 4, 4, 10], &EXPERTS, 10).unwrap();
        check_offsets(&[0, 0, 0, 7], &EXPERTS, 7).unwrap();
        let text = |offsets: &[u32], total| {
            check_offsets(offsets, &EXPERTS, total).unwrap_err().to_string()
        };
        for (offsets, total, parts) in [
            (&[0, 4, 10][..], 10, ["offsets", "3", "experts + 1"]),
            (&[0, 4, 4, 11], 11, ["rows = 11", "capacity", "more rows"]),
            (&[1, 4, 4, 10], 10, ["offset 0 = 1", "must be 0", "first"]),
            (&[0, 4, 3, 10], 10, ["offset 2 = 3", "offset 1, which is 4", "fewer than 0"]),
            (&[0, 4, 4, 9], 10, ["offset 3 = 9", "10", "add up"]),
        ] {
            let text = text(offsets, total);
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn refusals_name_the_group() {
        let problem = GroupedProblem::listed(
            Operation::DualGemm,
            [Group::new(5, 8, 32), Group::new(0, 8, 32), Group::new(5, 12, 32)],
        );
        let text = problem.check().unwrap_err().to_string();
        assert!(text.contains("group 2") && text.contains("N = 12"), "{text}");
        let none = GroupedProblem::listed(Operation::Gemm, []);
        assert!(none.check().unwrap_err().to_string().contains("groups = 0"));
        let none = Experts { experts: 0, ..EXPERTS };
        let text = GroupedProblem::experts(Operation::Gemm, none).check().unwrap_err().to_string();
        assert!(text.contains("experts = 0"), "{text}");
        let many = Experts { experts: 65_536, ..EXPERTS };
        let text = GroupedProblem::experts(Operation::Gemm, many).check().unwrap_err().to_string();
        assert!(text.contains("experts = 65536"), "{text}");
        let long = Experts { k: 33, ..EXPERTS };
        assert!(GroupedProblem::experts(Operation::Gemm, long).check().is_err());
    }
}
