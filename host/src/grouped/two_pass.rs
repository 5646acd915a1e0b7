//! The dual GEMM in two passes: two plain products, then an element-wise kernel. What the fused
//! kernel is compared with, in results and in time.
//!
//! The products are kept in f32. In f16 they would lose as much as the whole tolerance allows; in f32
//! the result is that of the fused kernel bit for bit, which makes it a comparison worth having.

use std::fmt;

use nvfp4_dual_gemm_device::kernels::SILU_MUL;
use nvfp4_dual_gemm_device::tile::group_schedule::{
    FLAG_BF16, SILU_MUL_ELEMENTS, SILU_MUL_THREADS,
};

use super::launch::{
    GroupAddresses, GroupedInputs, Prepared, alloc_c, c_lengths, download_c, upload,
};
use super::plan::GroupedPlan;
use super::problem::{Group, GroupedProblem, Groups, Operation};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::plan::LaunchShape;
use crate::problem::OutputType;

/// Three launches instead of one.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoPass {
    /// The fused plan, for its problem and its rules.
    fused: GroupedPlan,
    /// `alpha1 · A · B1ᵀ` in f32.
    pub gate: GroupedPlan,
    /// `alpha2 · A · B2ᵀ` in f32, with B2 in B1's place.
    pub up: GroupedPlan,
    /// The element-wise kernel; its y counts the groups with rows.
    pub silu_mul: LaunchShape,
}

impl TwoPass {
    /// The plans for a dual GEMM, each with the tile of its fewest estimated cycles.
    ///
    /// # Errors
    /// A problem outside the rules, or that is no dual GEMM.
    pub fn choose(problem: &GroupedProblem, sm_count: u32) -> Result<TwoPass> {
        Self::build(problem, sm_count, |problem| GroupedPlan::choose(problem, sm_count))
    }

    /// The plans with tiles of `tokens` rows.
    ///
    /// # Errors
    /// A problem outside the rules, or that is no dual GEMM; a tile that no kernel has.
    pub fn with_tile(problem: &GroupedProblem, tokens: u32, sm_count: u32) -> Result<TwoPass> {
        Self::build(problem, sm_count, |problem| GroupedPlan::with_tile(problem, tokens, sm_count))
    }

    fn build(
        problem: &GroupedProblem,
        sm_count: u32,
        plan: impl Fn(&GroupedProblem) -> Result<GroupedPlan>,
    ) -> Result<TwoPass> {
        if problem.operation != Operation::DualGemm {
            return Err(Error::Unsupported {
                what: format!("two passes for a {}", problem.operation.name()),
                remedy: "a single product takes one pass: make a GroupedPlan",
            });
        }
        let fused = plan(problem)?;
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
        let most = c_lengths(&fused.problem).into_iter().max().unwrap_or(0);
        let ctas = most.div_ceil((SILU_MUL_THREADS * SILU_MUL_ELEMENTS) as usize);
        let silu_mul = LaunchShape {
            kernel: SILU_MUL.name,
            arch: SILU_MUL.arch,
            grid: [ctas.min(4 * sm_count as usize).max(1) as u32, gate.records().max(1) as u32, 1],
            block: SILU_MUL.block,
            cluster: SILU_MUL.cluster,
            dynamic_shared: SILU_MUL.dynamic_shared,
        };
        if silu_mul.grid[1] > 65_535 {
            return Err(Error::Grid {
                axis: "y (groups)",
                value: gate.records(),
                limit: 65_535,
                remedy: "split the groups, or take the fused plan",
            });
        }
        Ok(TwoPass { fused, gate, up, silu_mul })
    }

    /// Encodes the tensor maps, writes the tables and allocates the products, once for any number of
    /// launches. Arguments as those of [`GroupedPlan::prepare`].
    ///
    /// # Errors
    /// What [`GroupedPlan::prepare`] refuses; what the backend reports.
    pub fn prepare<B: Backend>(
        &self,
        backend: &mut B,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> Result<PreparedTwoPass<B>> {
        let lengths = c_lengths(&self.fused.problem);
        let mut products = vec![];
        let mut product = |backend: &mut B, name| -> Result<Vec<u64>> {
            let one = |&elements: &usize| {
                if elements == 0 {
                    return Ok(0);
                }
                let buffer = backend.alloc(name, 4 * elements)?;
                let address = backend.address(&buffer);
                products.push(buffer);
                Ok(address)
            };
            lengths.iter().map(one).collect()
        };
        let (gate, up) = (product(backend, "gate product")?, product(backend, "up product")?);
        let with = |c: &[u64], second: bool| -> Vec<GroupAddresses> {
            let groups = groups.iter().zip(c).map(|(g, &c)| {
                if second {
                    let (b1, sfb1, alphas1) = (g.b2, g.sfb2, g.alphas2);
                    GroupAddresses { b1, sfb1, alphas1, c, ..*g }
                } else {
                    GroupAddresses { c, ..*g }
                }
            });
            groups.collect()
        };
        let passes = [
            self.gate.prepare(backend, &with(&gate, false), offsets)?,
            self.up.prepare(backend, &with(&up, true), offsets)?,
        ];
        let mut segments = vec![];
        for (i, &elements) in lengths.iter().enumerate().filter(|(_, elements)| **elements > 0) {
            for word in [gate[i], up[i], groups[i].c, elements as u64] {
                segments.extend(word.to_le_bytes());
            }
        }
        let (mut table, mut at) = (None, 0);
        if !segments.is_empty() {
            let mut buffer = backend.alloc("segments", segments.len())?;
            backend.upload(&mut buffer, &segments)?;
            at = backend.address(&buffer);
            table = Some(buffer);
        }
        let [experts, rows, columns] = match &self.fused.problem.groups {
            Groups::Listed(_) => [0; 3],
            Groups::Experts(e) => [e.experts, e.rows, e.n],
        };
        let flags = if self.fused.problem.output == OutputType::Bf16 { FLAG_BF16 } else { 0 };
        let words = [experts as u32, rows as u32, columns as u32, flags];
        let parameters = [at, offsets]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .chain(words.into_iter().flat_map(u32::to_le_bytes))
            .collect();
        Ok(PreparedTwoPass {
            passes,
            silu_mul: self.silu_mul,
            parameters,
            segments: table,
            _products: products,
        })
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
        inputs.check(&self.fused.problem)?;
        let (uploaded, offsets) = upload(backend, inputs)?;
        let c = alloc_c(backend, &self.fused.problem)?;
        let with_c = uploaded.iter().zip(&c).map(|(group, c)| {
            let c = c.as_ref().map_or(0, |c| backend.address(c));
            GroupAddresses { c, ..group.at }
        });
        let addresses: Vec<_> = with_c.collect();
        let prepared = self.prepare(backend, &addresses, offsets)?;
        prepared.launch(backend, module)?;
        download_c(backend, &self.fused.problem, &c)
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

/// Two passes with their tables and products on a device.
#[derive(Debug)]
pub struct PreparedTwoPass<B: Backend> {
    /// The gate's product and the up projection's.
    pub passes: [Prepared<B>; 2],
    /// The element-wise kernel.
    pub silu_mul: LaunchShape,
    /// Its parameter space.
    pub parameters: Vec<u8>,
    segments: Option<B::Buffer>,
    _products: Vec<B::Buffer>,
}

impl<B: Backend> PreparedTwoPass<B> {
    /// Launches all three kernels, one after another, and waits for the end.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn launch(&self, backend: &mut B, module: &B::Module) -> Result<()> {
        for pass in &self.passes {
            pass.launch(backend, module)?;
        }
        if self.segments.is_none() {
            return Ok(());
        }
        backend.launch_kernel(module, &self.silu_mul, &self.parameters)
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
