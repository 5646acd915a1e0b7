//! Which kernel, with which tile, for which groups in which order: chosen and checked before anything
//! touches a driver.

use std::fmt;

use nvfp4_dual_gemm_device::kernels::KernelDecl;
use nvfp4_dual_gemm_device::tile::group_schedule::{
    FLAG_BF16, FLAG_F32, column_tiles, first_half, most_row_tiles, row_tiles,
};

use super::addresses::{Extent, GroupAddresses, check_addresses};
use super::problem::{Group, GroupedProblem, Groups, Operation};
use super::table::{Record, records};
use super::{sm90, sm100};
use crate::error::{Error, Result};
use crate::plan::tensor_map::TensorMapSpec;
use crate::plan::{self, LaunchShape};
use crate::problem::OutputType;

/// What one tile would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupedEstimate {
    /// Rows and columns of C per tile.
    pub tile: [u32; 2],
    /// Tiles; of experts, the most that any routing gives.
    pub tiles: u64,
    /// The estimate for the launch; of experts, with the rows spread evenly.
    pub cycles: u64,
}

/// The launch for all groups, complete but for the addresses of the tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupedPlan {
    /// What is computed.
    pub problem: GroupedProblem,
    /// The kernel that multiplies, and its launch.
    pub shape: LaunchShape,
    /// The kernel that runs before it at every launch: on Hopper, what makes f16 of the activations.
    pub before: Option<LaunchShape>,
    /// Rows and columns of C per tile. On Hopper a plain GEMM's tile has as many columns again, half of C
    /// away.
    pub tile: [u32; 2],
    /// Depth of the shared-memory ring.
    pub stages: u32,
    /// The groups as the table lists them; one for all experts.
    pub records: Vec<Record>,
    /// As many for each record: on Blackwell of A, B1 and (of a dual GEMM) B2, on Hopper of A in f16.
    pub tensor_maps: Vec<TensorMapSpec>,
    /// The chosen tile's cost.
    pub estimate: GroupedEstimate,
    /// The other tiles'.
    pub rejected: Vec<GroupedEstimate>,
    /// True if the caller named the tile.
    pub forced: bool,
    /// SMs that the tile was chosen for.
    pub sm_count: u32,
    /// C in f32, for the products of [`TwoPass`](super::TwoPass).
    pub(super) single_precision: bool,
}

/// What there is to choose from on an architecture.
pub(super) struct Family {
    /// The kernels' target.
    pub arch: &'static str,
    /// What to say to one who has no SMs.
    pub for_example: &'static str,
    /// Every kernel of an operation.
    pub kernels: fn(Operation) -> &'static [KernelDecl],
    /// Cycles of a tile with this K.
    pub tile_cycles: fn(&KernelDecl, Operation, usize) -> u64,
    /// Cycles before the first tile.
    pub fill_cycles: u64,
    /// Adds what only this architecture has.
    pub complete: fn(&mut GroupedPlan) -> Result<()>,
}

impl GroupedPlan {
    /// Picks the tile with the fewest estimated cycles on a Blackwell device with `sm_count` SMs; for
    /// Hopper see [`sm90::choose`].
    ///
    /// # Errors
    /// A problem outside the rules.
    pub fn choose(problem: &GroupedProblem, sm_count: u32) -> Result<GroupedPlan> {
        sm100::FAMILY.choose(problem, sm_count)
    }

    /// The plan for a Blackwell device with tiles of `tokens` rows, whatever it costs; for Hopper see
    /// [`sm90::with_tile`].
    ///
    /// # Errors
    /// A problem outside the rules, a tile that no kernel has.
    pub fn with_tile(problem: &GroupedProblem, tokens: u32, sm_count: u32) -> Result<GroupedPlan> {
        sm100::FAMILY.with_tile(problem, [tokens, sm100::TILE_COLUMNS], sm_count)
    }

    /// The plan for a device of this compute capability.
    ///
    /// # Errors
    /// A device that no kernel is compiled for; a problem outside the rules.
    pub fn for_device(
        problem: &GroupedProblem,
        capability: (u32, u32),
        sm_count: u32,
    ) -> Result<GroupedPlan> {
        match plan::arch_of(capability)? {
            plan::sm90::ARCH => sm90::choose(problem, sm_count),
            _ => GroupedPlan::choose(problem, sm_count),
        }
    }

    /// Checks the addresses, and gives every tensor that the kernels access.
    pub(crate) fn extents(&self, groups: &[GroupAddresses], offsets: u64) -> Result<Vec<Extent>> {
        check_addresses(&self.problem, &self.records, groups, offsets)
    }

    /// The same plan with C in f32.
    pub(super) fn in_single_precision(self) -> Self {
        GroupedPlan { single_precision: true, ..self }
    }

    /// The kernel's flags for the element type of C.
    pub(super) fn element_flags(&self) -> u32 {
        match (self.single_precision, self.problem.output) {
            (true, _) => FLAG_F32,
            (false, OutputType::Bf16) => FLAG_BF16,
            (false, OutputType::F16) => 0,
        }
    }

    /// True for Hopper's kernels.
    pub(super) fn is_hopper(&self) -> bool {
        self.shape.arch == plan::sm90::ARCH
    }

    /// Tiles of a group.
    pub(super) fn tiles(&self, group: &Group) -> u32 {
        let [tokens, columns] = self.tile;
        let own = own_columns(self.shape.arch, self.problem.operation, group.n);
        let rows = row_tiles(group.m as u32, tokens);
        rows.wrapping_mul(column_tiles(own, columns)).wrapping_mul(group.l as u32)
    }
}

/// Columns of C that have tiles of their own: all, or of a plain GEMM on Hopper, whose kernels always have
/// two products, the first half.
pub(super) fn own_columns(arch: &str, operation: Operation, n: usize) -> u32 {
    match operation {
        Operation::Gemm if arch == plan::sm90::ARCH => first_half(n as u32),
        _ => n as u32,
    }
}

/// The kernels count tiles, and step by the grid, in 32 bits.
pub(super) fn check_tiles(tiles: u64) -> Result<()> {
    let limit = i32::MAX as usize;
    if tiles <= limit as u64 {
        return Ok(());
    }
    let value = usize::try_from(tiles).unwrap_or(usize::MAX);
    let remedy = "take larger tiles, or split the groups";
    Err(Error::Grid { axis: "all tiles of all groups", value, limit, remedy })
}

impl Family {
    /// The plan with the fewest estimated cycles.
    pub fn choose(&self, problem: &GroupedProblem, sm_count: u32) -> Result<GroupedPlan> {
        problem.check()?;
        let records = records(problem);
        let mut all: Vec<_> = (self.kernels)(problem.operation)
            .iter()
            .map(|kernel| (self.estimate(problem, &records, kernel, sm_count), kernel))
            .collect();
        all.sort_by_key(|(estimate, _)| (estimate.cycles, estimate.tile));
        let rejected = all[1..].iter().map(|(estimate, _)| *estimate).collect();
        let plan = self.build(problem, all[0].1, sm_count)?;
        Ok(GroupedPlan { rejected, forced: false, ..plan })
    }

    /// The plan with this tile.
    pub fn with_tile(
        &self,
        problem: &GroupedProblem,
        tile: [u32; 2],
        sm_count: u32,
    ) -> Result<GroupedPlan> {
        problem.check()?;
        let kernels = (self.kernels)(problem.operation);
        let kernel = kernels.iter().find(|kernel| [kernel.tile_m, kernel.tile_n] == tile);
        let kernel = kernel.ok_or_else(|| {
            let tiles = kernels.iter().map(|k| format!("{}×{}", k.tile_m, k.tile_n));
            Error::NoKernel {
                arch: self.arch,
                tile_m: tile[0],
                tile_n: tile[1],
                output: problem.output.name(),
                available: tiles.collect::<Vec<_>>().join(", "),
            }
        })?;
        self.build(problem, kernel, sm_count)
    }

    fn build(
        &self,
        problem: &GroupedProblem,
        kernel: &KernelDecl,
        sm_count: u32,
    ) -> Result<GroupedPlan> {
        if sm_count == 0 {
            return Err(Error::Dimension {
                dimension: "sm_count",
                value: 0,
                rule: "at least 1",
                remedy: self.for_example,
            });
        }
        let records = records(problem);
        let estimate = self.estimate(problem, &records, kernel, sm_count);
        check_tiles(estimate.tiles)?;
        let shape = LaunchShape {
            kernel: kernel.name,
            arch: self.arch,
            grid: [estimate.tiles.clamp(1, u64::from(sm_count)) as u32, 1, 1],
            block: kernel.block,
            cluster: kernel.cluster,
            dynamic_shared: kernel.dynamic_shared,
        };
        let mut plan = GroupedPlan {
            problem: problem.clone(),
            shape,
            before: None,
            tile: [kernel.tile_m, kernel.tile_n],
            stages: kernel.stages,
            records,
            tensor_maps: vec![],
            estimate,
            rejected: vec![],
            forced: true,
            sm_count,
            single_precision: false,
        };
        (self.complete)(&mut plan)?;
        plan.tensor_maps.iter().try_for_each(TensorMapSpec::check)?;
        Ok(plan)
    }

    /// What `kernel` would cost on `sm_count` SMs.
    fn estimate(
        &self,
        problem: &GroupedProblem,
        records: &[Record],
        kernel: &KernelDecl,
        sm_count: u32,
    ) -> GroupedEstimate {
        let tile = [kernel.tile_m, kernel.tile_n];
        let tokens = u64::from(kernel.tile_m);
        let (mut tiles, mut work, mut longest) = (0u64, 0u64, 0u64);
        for Record { group, weights, .. } in records {
            let cycles = (self.tile_cycles)(kernel, problem.operation, group.k);
            let own = own_columns(self.arch, problem.operation, group.n);
            let columns = u64::from(column_tiles(own, kernel.tile_n));
            let rows = group.m as u64;
            // Row tiles at most, and those to expect.
            let (most, even) = match &problem.groups {
                Groups::Listed(_) => {
                    let rows = rows.div_ceil(tokens).saturating_mul(group.l as u64);
                    (rows, rows)
                }
                Groups::Experts(_) => {
                    let busy = (*weights as u64).min(rows).max(1);
                    let even = busy * rows.div_ceil(busy).div_ceil(tokens);
                    (most_row_tiles(rows, *weights as u64, tokens), even)
                }
            };
            tiles = tiles.saturating_add(most.saturating_mul(columns));
            work = work.saturating_add(even.saturating_mul(columns).saturating_mul(cycles));
            longest = longest.max(cycles);
        }
        let even = work.div_ceil(u64::from(sm_count.max(1)));
        GroupedEstimate { tile, tiles, cycles: self.fill_cycles + longest.max(even) }
    }
}

impl fmt::Display for GroupedPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([rows, columns], maps) = (self.tile, self.tensor_maps.len());
        writeln!(f, "{} ({})", self.shape.kernel, self.shape.arch)?;
        writeln!(f, "  problem        {}", self.problem)?;
        writeln!(f, "  work           {:.3} GFLOP", self.problem.flops() / 1e9)?;
        writeln!(
            f,
            "  tile           {rows} rows × {columns} columns of C: weights fill the MMA's M, tokens its N"
        )?;
        let ([ctas, ..], tiles) = (self.shape.grid, self.estimate.tiles);
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
                let empty = groups.len() - self.records.len();
                writeln!(
                    f,
                    "  table          {} records by descending M, {maps} tensor maps; {empty} groups without rows left out",
                    self.records.len(),
                )?;
            }
            Groups::Experts(e) => writeln!(
                f,
                "  table          one record, {maps} tensor maps; offsets read on the device; {} bytes of token scales",
                e.scale_bytes()
            )?,
        }
        if let Some(before) = self.before {
            sm90::describe(self, &before, f)?;
        }
        let cost = |e: &GroupedEstimate| {
            let [rows, columns] = e.tile;
            format!("{rows}×{columns} ≈ {} cycles", e.cycles)
        };
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
