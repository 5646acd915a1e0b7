//! Which kernel, with which tile, for which groups in which order: chosen and checked before anything
//! touches a driver.

use std::fmt;

use nvfp4_dual_gemm_device::kernels::{GROUPED_DUAL_GEMM, GROUPED_GEMM, KernelDecl};
use nvfp4_dual_gemm_device::tile::geometry::{MMA_K, MMAS_PER_STAGE};
use nvfp4_dual_gemm_device::tile::group_schedule::{
    FLAG_BF16, FLAG_F32, TILE_WEIGHTS, most_row_tiles,
};
use nvfp4_dual_gemm_device::tile::grouped::GroupedGeometry;

use super::problem::{Experts, Group, GroupedProblem, Groups, Operation};
use crate::error::{Error, Result};
use crate::plan::LaunchShape;
use crate::plan::tensor_map::{Operand, TensorMapSpec};
use crate::problem::OutputType;

/// From the start of a CTA to its first MMA: about 1 µs for the first bytes to come from HBM.
const FILL_CYCLES: u64 = 2_000;
/// Shared memory moves 128 bytes a cycle, reads and fills together.
const SHARED_BYTES_PER_CYCLE: u64 = 128;
/// What a tile costs besides its K steps: finding it, and the pipeline's turn.
const TILE_CYCLES: u64 = 300;
/// Cycles of the epilogue for a row of a tile of the dual GEMM: an exponential and a reciprocal for
/// each element, of which an SM does 16 a cycle.
const DUAL_EPILOGUE_CYCLES: u64 = 16;
/// And of the plain GEMM, which only stores.
const EPILOGUE_CYCLES: u64 = 4;

/// What one tile size would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupedEstimate {
    /// Rows of C per tile.
    pub tokens: u32,
    /// Tiles; of experts, the most that any routing gives.
    pub tiles: u64,
    /// The estimate for the launch; of experts, with the rows spread evenly.
    pub cycles: u64,
}

/// One launch for all groups, complete but for the addresses of the tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupedPlan {
    /// What is computed.
    pub problem: GroupedProblem,
    /// The kernel and its launch.
    pub shape: LaunchShape,
    /// Rows of C per tile: the MMA's N.
    pub tokens: u32,
    /// Depth of the shared-memory ring.
    pub stages: u32,
    /// The groups with rows, as the table lists them: by descending M, so that the last tiles are of
    /// small groups. Empty for experts.
    pub order: Vec<usize>,
    /// Three tensor maps a record, of A, B1 and B2 (of A and B1 for a plain GEMM).
    pub tensor_maps: Vec<TensorMapSpec>,
    /// The chosen tile's cost.
    pub estimate: GroupedEstimate,
    /// The other tiles'.
    pub rejected: Vec<GroupedEstimate>,
    /// True if the caller named the tile.
    pub forced: bool,
    /// SMs that the tile was chosen for.
    pub sm_count: u32,
    /// C in f32, for the first pass of [`TwoPass`](super::TwoPass).
    pub(super) single_precision: bool,
}

impl GroupedPlan {
    /// Picks the tile with the fewest estimated cycles on a Blackwell device with `sm_count` SMs.
    ///
    /// # Errors
    /// A problem outside the rules.
    pub fn choose(problem: &GroupedProblem, sm_count: u32) -> Result<GroupedPlan> {
        problem.check()?;
        let mut all: Vec<_> = kernels(problem.operation)
            .iter()
            .map(|kernel| (estimate(problem, kernel, sm_count), kernel))
            .collect();
        all.sort_by_key(|(estimate, _)| (estimate.cycles, estimate.tokens));
        let (_, kernel) = all[0];
        let rejected = all[1..].iter().map(|(estimate, _)| *estimate).collect();
        Self::build(problem, kernel, sm_count, rejected, false)
    }

    /// The plan with tiles of `tokens` rows, whatever it costs.
    ///
    /// # Errors
    /// A problem outside the rules, a tile that no kernel has.
    pub fn with_tile(problem: &GroupedProblem, tokens: u32, sm_count: u32) -> Result<GroupedPlan> {
        problem.check()?;
        let kernels = kernels(problem.operation);
        let kernel = kernels.iter().find(|kernel| kernel.tile_m == tokens).ok_or_else(|| {
            let tiles: Vec<_> =
                kernels.iter().map(|k| format!("{}×{}", k.tile_m, k.tile_n)).collect();
            Error::NoKernel {
                arch: "sm_100f",
                tile_m: tokens,
                tile_n: TILE_WEIGHTS,
                output: problem.output.name(),
                available: tiles.join(", "),
            }
        })?;
        Self::build(problem, kernel, sm_count, vec![], true)
    }

    fn build(
        problem: &GroupedProblem,
        kernel: &KernelDecl,
        sm_count: u32,
        rejected: Vec<GroupedEstimate>,
        forced: bool,
    ) -> Result<GroupedPlan> {
        if sm_count == 0 {
            return Err(Error::Dimension {
                dimension: "sm_count",
                value: 0,
                rule: "at least 1",
                remedy: "a B200 has 148 SMs",
            });
        }
        let estimate = estimate(problem, kernel, sm_count);
        // The kernel counts tiles, and steps by the grid, in 32 bits.
        let limit = i32::MAX as usize;
        if estimate.tiles > limit as u64 {
            let value = usize::try_from(estimate.tiles).unwrap_or(usize::MAX);
            let remedy = "take larger tiles, or split the groups";
            return Err(Error::Grid { axis: "all tiles of all groups", value, limit, remedy });
        }
        let mut order = vec![];
        if let Groups::Listed(groups) = &problem.groups {
            order = (0..groups.len()).filter(|&i| groups[i].m > 0).collect();
            order.sort_by_key(|&i| std::cmp::Reverse(groups[i].m));
        }
        let records: Vec<_> = match &problem.groups {
            Groups::Listed(groups) => order
                .iter()
                .map(|&i| groups[i])
                .map(|Group { m, n, k, l, .. }| ([m, l], [n, l], k))
                .collect(),
            Groups::Experts(e) => vec![([e.rows, 1], [e.n, e.experts], e.k)],
        };
        let mut tensor_maps = vec![];
        for ([m, token_batches], [n, weight_batches], k) in records {
            let weights =
                |operand| TensorMapSpec::e2m1(operand, k, n, weight_batches, TILE_WEIGHTS);
            tensor_maps.push(TensorMapSpec::e2m1(Operand::A, k, m, token_batches, kernel.tile_m));
            tensor_maps.push(weights(Operand::B1));
            if problem.operation == Operation::DualGemm {
                tensor_maps.push(weights(Operand::B2));
            }
        }
        for map in &tensor_maps {
            map.check()?;
        }
        // As many rounds as all SMs would need, in as few CTAs as do it.
        let rounds = estimate.tiles.div_ceil(u64::from(sm_count)).max(1);
        let ctas = match problem.groups {
            Groups::Listed(_) => estimate.tiles.div_ceil(rounds),
            Groups::Experts(_) => estimate.tiles.min(u64::from(sm_count)),
        };
        let shape = LaunchShape {
            kernel: kernel.name,
            arch: kernel.arch,
            grid: [(ctas as u32).max(1), 1, 1],
            block: kernel.block,
            cluster: kernel.cluster,
            dynamic_shared: kernel.dynamic_shared,
        };
        let (tokens, stages) = (kernel.tile_m, kernel.stages);
        Ok(GroupedPlan {
            problem: problem.clone(),
            shape,
            tokens,
            stages,
            order,
            tensor_maps,
            estimate,
            rejected,
            forced,
            sm_count,
            single_precision: false,
        })
    }

    /// The same plan with C in f32.
    pub(super) fn in_single_precision(self) -> Self {
        GroupedPlan { single_precision: true, ..self }
    }

    /// Tensor maps of one record.
    pub(super) fn maps_per_record(&self) -> usize {
        1 + self.problem.operation.products()
    }

    /// Records of the table.
    pub fn records(&self) -> usize {
        match self.problem.groups {
            Groups::Listed(_) => self.order.len(),
            Groups::Experts(_) => 1,
        }
    }

    /// The kernel's flags.
    pub(super) fn flags(&self) -> u32 {
        match (self.single_precision, self.problem.output) {
            (true, _) => FLAG_F32,
            (false, OutputType::Bf16) => FLAG_BF16,
            (false, OutputType::F16) => 0,
        }
    }
}

fn kernels(operation: Operation) -> &'static [KernelDecl; 4] {
    match operation {
        Operation::Gemm => &GROUPED_GEMM,
        Operation::DualGemm => &GROUPED_DUAL_GEMM,
    }
}

/// What `kernel` would cost on `sm_count` SMs.
fn estimate(problem: &GroupedProblem, kernel: &KernelDecl, sm_count: u32) -> GroupedEstimate {
    let tokens = u64::from(kernel.tile_m);
    let products = problem.operation.products() as u64;
    let columns = |n: usize| (n as u64).div_ceil(u64::from(TILE_WEIGHTS));
    let cycles = |k: usize| {
        let steps = (k as u64).div_ceil(u64::from(MMA_K));
        let multiply = steps * k_step_cycles(tokens, products);
        let epilogue = tokens * if products == 2 { DUAL_EPILOGUE_CYCLES } else { EPILOGUE_CYCLES };
        // With one set of accumulators the next tile waits for the epilogue.
        let sets = GroupedGeometry::new(tokens as u32, products as u32).sets;
        let both = if sets == 1 { multiply + epilogue } else { multiply.max(epilogue) };
        TILE_CYCLES + both
    };
    // Tiles and the cycles of one, of each group; for experts, as if the rows were spread evenly.
    let (tiles, parts): (u64, Vec<(u64, u64)>) = match &problem.groups {
        Groups::Listed(groups) => {
            let parts: Vec<_> = groups
                .iter()
                .map(|g| {
                    let tiles = (g.m as u64).div_ceil(tokens).saturating_mul(columns(g.n));
                    (tiles.saturating_mul(g.l as u64), cycles(g.k))
                })
                .collect();
            (parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.0)), parts)
        }
        Groups::Experts(Experts { experts, rows, n, k }) => {
            let (experts, rows) = (*experts as u64, *rows as u64);
            let busy = experts.min(rows);
            let even = busy * rows.div_ceil(busy.max(1)).div_ceil(tokens) * columns(*n);
            let most = most_row_tiles(rows, experts, tokens).saturating_mul(columns(*n));
            (most, vec![(even, cycles(*k))])
        }
    };
    let work = parts
        .iter()
        .fold(0u64, |sum, &(tiles, cycles)| sum.saturating_add(tiles.saturating_mul(cycles)));
    let longest = parts.iter().filter(|part| part.0 > 0).map(|part| part.1).max().unwrap_or(0);
    let even = work.div_ceil(u64::from(sm_count.max(1)));
    GroupedEstimate { tokens: kernel.tile_m, tiles, cycles: FILL_CYCLES + longest.max(even) }
}

/// Cycles for 64 elements along K: of the tensor core, or of shared memory if that takes longer.
fn k_step_cycles(tokens: u64, products: u64) -> u64 {
    // One 128×N MMA takes N/2 cycles.
    let tensor_core = products * tokens / 2;
    let read = products * (u64::from(TILE_WEIGHTS) + tokens) * u64::from(MMA_K) / 2;
    let geometry = GroupedGeometry::new(tokens as u32, products as u32);
    let filled = u64::from(geometry.stage_bytes() / MMAS_PER_STAGE);
    tensor_core.max((read + filled).div_ceil(SHARED_BYTES_PER_CYCLE))
}

impl fmt::Display for GroupedPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.shape.kernel, self.shape.arch)?;
        writeln!(f, "  problem        {}", self.problem)?;
        writeln!(f, "  work           {:.3} GFLOP", self.problem.flops() / 1e9)?;
        writeln!(
            f,
            "  tile           {} rows × {TILE_WEIGHTS} columns of C: weights fill the MMA's M, tokens its N",
            self.tokens
        )?;
        let [ctas, ..] = self.shape.grid;
        let tiles = self.estimate.tiles;
        let most = match self.problem.groups {
            Groups::Listed(_) => "",
            Groups::Experts(_) => "at most ",
        };
        writeln!(
            f,
            "  grid           {ctas} persistent CTAs on {} SMs for {most}{tiles} tiles",
            self.sm_count
        )?;
        writeln!(
            f,
            "  shared memory  {} bytes dynamic: a ring of {} stages",
            self.shape.dynamic_shared, self.stages
        )?;
        match &self.problem.groups {
            Groups::Listed(groups) => {
                let empty = groups.len() - self.order.len();
                writeln!(
                    f,
                    "  table          {} records by descending M, {} tensor maps; {empty} groups without rows left out",
                    self.records(),
                    self.tensor_maps.len()
                )?;
            }
            Groups::Experts(e) => writeln!(
                f,
                "  table          one record, {} tensor maps; offsets read on the device; {} bytes of token scales",
                self.tensor_maps.len(),
                e.scale_bytes()
            )?,
        }
        let cost = |e: &GroupedEstimate| format!("{} rows ≈ {} cycles", e.tokens, e.cycles);
        write!(f, "  choice         {}", cost(&self.estimate))?;
        if self.forced {
            return write!(f, ", forced by the caller");
        }
        for rejected in &self.rejected {
            write!(f, "; {}", cost(rejected))?;
        }
        write!(f, " (a model that ranks tiles, not a prediction)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(groups: &[Group]) -> u32 {
        let problem = GroupedProblem::listed(Operation::DualGemm, groups);
        GroupedPlan::choose(&problem, 148).unwrap().tokens
    }

    #[test]
    fn tiles_are_as_small_as_the_groups() {
        assert_eq!(tokens(&[Group::new(8, 4096, 7168); 64]), 16);
        assert_eq!(tokens(&[Group::new(20, 4096, 7168); 64]), 32);
        assert_eq!(tokens(&[Group::new(40, 4096, 7168); 64]), 64);
        assert_eq!(tokens(&[Group::new(512, 4096, 7168); 8]), 128);
    }

    #[test]
    fn a_plan_explains_itself_and_can_be_forced() {
        let groups: Vec<_> = [80, 0, 176].map(|m| Group::new(m, 4096, 7168)).into();
        let problem = GroupedProblem::listed(Operation::DualGemm, groups);
        let plan = GroupedPlan::choose(&problem, 148).unwrap();
        assert_eq!(plan.order, [2, 0]);
        assert_eq!(plan.tensor_maps.len(), 6);
        let text = plan.to_string();
        for part in ["3 groups", "80×4096×7168×1", "1 groups without rows", "persistent", "a model"]
        {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let forced = GroupedPlan::with_tile(&problem, 32, 148).unwrap();
        assert_eq!((forced.tokens, forced.estimate.tiles), (32, (3 + 6) * 32));
        // Two rounds on 148 SMs: 144 CTAs do them.
        assert_eq!(forced.shape.grid, [144, 1, 1]);
        assert!(forced.to_string().contains("forced"));
        let text = GroupedPlan::with_tile(&problem, 48, 148).unwrap_err().to_string();
        assert!(text.contains("48×128") && text.contains("16×128, 32×128"), "{text}");
        assert!(GroupedPlan::choose(&problem, 0).unwrap_err().to_string().contains("sm_count"));
    }

    #[test]
    fn experts_have_one_record_and_a_bound() {
        let experts = Experts { experts: 256, rows: 64, n: 2048, k: 7168 };
        let problem = GroupedProblem::experts(Operation::Gemm, experts);
        let plan = GroupedPlan::choose(&problem, 148).unwrap();
        assert_eq!((plan.tokens, plan.records(), plan.tensor_maps.len()), (16, 1, 2));
        assert_eq!(plan.estimate.tiles, 64 * 16);
        assert_eq!(plan.shape.grid, [148, 1, 1]);
        assert_eq!(plan.tensor_maps[1].dims, [7168, 2048, 256]);
        assert!(plan.to_string().contains("256 experts"), "{plan}");
        // 2^28 tiles each: one group fits 31 bits, sixteen do not.
        let huge = Group::new(1 << 30, 512, 32);
        let problem = GroupedProblem::listed(Operation::Gemm, [huge]);
        GroupedPlan::with_tile(&problem, 16, 148).unwrap();
        let problem = GroupedProblem::listed(Operation::Gemm, [huge; 16]);
        let text = GroupedPlan::with_tile(&problem, 16, 148).unwrap_err().to_string();
        assert!(text.contains("4294967296") && text.contains("split the groups"), "{text}");
    }
}
