//! The dual GEMM in two passes: two plain products, then an element-wise kernel. What the fused
//! kernel is compared with, in results and in time.
//!
//! The products are kept in f32. In f16 they would lose as much as the whole tolerance allows; in f32
//! the result is that of the fused kernel bit for bit, which makes it a comparison worth having.

use std::fmt;

use nvfp4_dual_gemm_device::kernels::{SILU_MUL, SM90_SILU_MUL};
use nvfp4_dual_gemm_device::tile::group_schedule::{
    FLAG_BF16, SILU_MUL_ELEMENTS, SILU_MUL_THREADS,
};

use super::addresses::{Extent, GroupAddresses, check_addresses};
use super::inputs::GroupedInputs;
use super::launch::{Prepared, c_lengths, parameters, run_prepared};
use super::plan::GroupedPlan;
use super::problem::{Group, GroupedProblem, Groups, Operation};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::plan::LaunchShape;
use crate::problem::OutputType;

/// Three launches instead of one; on Hopper five instead of two.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoPass {
    /// What is computed.
    problem: GroupedProblem,
    /// `alpha1 · A · B1ᵀ` in f32.
    pub gate: GroupedPlan,
    /// `alpha2 · A · B2ᵀ` in f32, with B2 in B1's place.
    pub up: GroupedPlan,
    /// The element-wise kernel; its y counts the groups with rows.
    pub silu_mul: LaunchShape,
}

impl TwoPass {
    /// The plans for a dual GEMM on Blackwell, each with the tile of its fewest estimated cycles.
    ///
    /// # Errors
    /// A problem outside the rules, or that is no dual GEMM.
    pub fn choose(problem: &GroupedProblem, sm_count: u32) -> Result<TwoPass> {
        Self::of(problem, |problem| GroupedPlan::choose(problem, sm_count))
    }

    /// The plans on Blackwell with tiles of `tokens` rows.
    ///
    /// # Errors
    /// A problem outside the rules, or that is no dual GEMM; a tile that no kernel has.
    pub fn with_tile(problem: &GroupedProblem, tokens: u32, sm_count: u32) -> Result<TwoPass> {
        Self::of(problem, |problem| GroupedPlan::with_tile(problem, tokens, sm_count))
    }

    /// The plans that `plan` makes of both products.
    ///
    /// # Errors
    /// A problem that is no dual GEMM; what `plan` refuses.
    pub fn of(
        problem: &GroupedProblem,
        plan: impl Fn(&GroupedProblem) -> Result<GroupedPlan>,
    ) -> Result<TwoPass> {
        if problem.operation != Operation::DualGemm {
            return Err(Error::Unsupported {
                what: format!("two passes for a {}", problem.operation.name()),
                remedy: "a single product takes one pass: make a GroupedPlan",
            });
        }
        problem.check()?;
        let single = |alpha: fn(&Group) -> f32| {
            let groups = match &problem.groups {
                Groups::Listed(list) => Groups::Listed(
                    list.iter().map(|g| Group { alpha1: alpha(g), alpha2: 0.0, ..*g }).collect(),
                ),
                experts => experts.clone(),
            };
            let (operation, output) = (Operation::Gemm, problem.output);
            plan(&GroupedProblem { operation, groups, output }).map(|p| p.in_single_precision())
        };
        let (gate, up) = (single(|g| g.alpha1)?, single(|g| g.alpha2)?);
        let most = c_lengths(problem).into_iter().max().unwrap_or(0);
        let ctas = most.div_ceil((SILU_MUL_THREADS * SILU_MUL_ELEMENTS) as usize);
        let kernel = if gate.is_hopper() { SM90_SILU_MUL } else { SILU_MUL };
        let silu_mul = LaunchShape {
            kernel: kernel.name,
            arch: kernel.arch,
            grid: [
                ctas.min(4 * gate.sm_count as usize).max(1) as u32,
                gate.records.len().max(1) as u32,
                1,
            ],
            block: kernel.block,
            cluster: kernel.cluster,
            dynamic_shared: kernel.dynamic_shared,
        };
        if silu_mul.grid[1] > 65_535 {
            return Err(Error::Grid {
                axis: "y (groups)",
                value: gate.records.len(),
                limit: 65_535,
                remedy: "split the groups, or take the fused plan",
            });
        }
        Ok(TwoPass { problem: problem.clone(), gate, up, silu_mul })
    }

    /// Checks the addresses, and gives every tensor that the caller has.
    pub(crate) fn extents(&self, groups: &[GroupAddresses], offsets: u64) -> Result<Vec<Extent>> {
        check_addresses(&self.problem, &self.gate.records, groups, offsets)
    }

    /// Prepares both products and allocates what they write, once for any number of launches. Arguments as
    /// those of [`GroupedPlan::prepare`].
    ///
    /// # Errors
    /// What [`GroupedPlan::prepare`] refuses; what the backend reports.
    pub fn prepare<B: Backend>(
        &self,
        backend: &mut B,
        module: &B::Module,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> Result<Prepared<B>> {
        self.extents(groups, offsets)?;
        let lengths = c_lengths(&self.problem);
        let mut prepared = Prepared { launches: vec![], buffers: vec![] };
        let mut products = vec![];
        for (plan, second) in [(&self.gate, false), (&self.up, true)] {
            let mut product = vec![];
            for &elements in &lengths {
                product.push(0);
                if elements > 0 {
                    let buffer = backend.alloc("product", 4 * elements)?;
                    *product.last_mut().expect("just pushed") = backend.address(&buffer);
                    prepared.buffers.push(buffer);
                }
            }
            let to_product = groups.iter().zip(&product).map(|(g, &c)| {
                let gate = GroupAddresses { c, ..*g };
                let (b1, sfb1, alphas1) = (g.b2, g.sfb2, g.alphas2);
                if second { GroupAddresses { b1, sfb1, alphas1, ..gate } } else { gate }
            });
            let to_product: Vec<_> = to_product.collect();
            let pass = plan.prepare(backend, module, &to_product, offsets)?;
            prepared.launches.extend(pass.launches);
            prepared.buffers.extend(pass.buffers);
            products.push(product);
        }
        let mut segments = vec![];
        for (i, &elements) in lengths.iter().enumerate().filter(|(_, elements)| **elements > 0) {
            for word in [products[0][i], products[1][i], groups[i].c, elements as u64] {
                segments.extend(word.to_le_bytes());
            }
        }
        if segments.is_empty() {
            return Ok(prepared);
        }
        let mut table = backend.alloc("segments", segments.len())?;
        backend.upload(&mut table, &segments)?;
        let [experts, rows, columns] = match &self.problem.groups {
            Groups::Listed(_) => [0; 3],
            Groups::Experts(e) => [e.experts, e.rows, e.n],
        };
        let flags = if self.problem.output == OutputType::Bf16 { FLAG_BF16 } else { 0 };
        let words = [experts as u32, rows as u32, columns as u32, flags];
        let parameters = parameters(backend.address(&table), offsets, &words);
        prepared.launches.push((self.silu_mul, parameters));
        prepared.buffers.push(table);
        Ok(prepared)
    }

    /// Runs the plans from host memory to host memory, as [`run`](super::run) does a fused one.
    ///
    /// # Errors
    /// As [`run`](super::run).
    pub fn run<B: Backend>(
        &self,
        backend: &mut B,
        module: &B::Module,
        inputs: &GroupedInputs<'_>,
    ) -> Result<Vec<Vec<u16>>> {
        inputs.check(&self.problem)?;
        run_prepared(backend, module, &self.problem, inputs, |backend, groups, offsets| {
            self.prepare(backend, module, groups, offsets)
        })
    }
}

impl fmt::Display for TwoPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "two passes, products in f32")?;
        writeln!(f, "{}", self.gate)?;
        writeln!(f, "{}", self.up)?;
        let [x, y, _] = self.silu_mul.grid;
        write!(f, "{}: {x} × {y} CTAs (elements × groups)", self.silu_mul.kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_product_is_refused() {
        let problem = GroupedProblem::listed(Operation::Gemm, [Group::new(1, 8, 32)]);
        let text = TwoPass::choose(&problem, 148).unwrap_err().to_string();
        assert!(text.contains("GEMM") && text.contains("GroupedPlan"), "{text}");
    }

    #[test]
    fn each_pass_has_its_own_alpha() {
        let group = Group { alpha1: 2.0, alpha2: 3.0, ..Group::new(4, 8, 32) };
        let problem = GroupedProblem::listed(Operation::DualGemm, [group]);
        let plan = TwoPass::with_tile(&problem, 16, 148).unwrap();
        let alpha = |plan: &GroupedPlan| match &plan.problem.groups {
            Groups::Listed(list) => list[0].alpha1,
            Groups::Experts(_) => f32::NAN,
        };
        assert_eq!((alpha(&plan.gate), alpha(&plan.up)), (2.0, 3.0));
        assert!(plan.to_string().contains("silu_mul"), "{plan}");
    }
}
