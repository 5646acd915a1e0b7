//! What will be launched, as plain data: chosen and checked before anything touches a driver.

pub mod sm100;
pub mod sm90;
pub mod tensor_map;

use std::fmt;

use nvfp4_dual_gemm_device::kernels::KernelDecl;
use nvfp4_dual_gemm_device::tile::geometry::MAX_DYNAMIC_SHARED;
use nvfp4_dual_gemm_device::tile::sm90::CONSUMER_WARPS;

use crate::error::{Error, Result};
use crate::problem::Problem;
use sm100::Estimate;
use tensor_map::{Operand, TensorMapSpec};

/// One launch, complete but for the addresses of the tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is computed.
    pub problem: Problem,
    /// Entry name in the PTX.
    pub kernel: &'static str,
    /// PTX target.
    pub arch: &'static str,
    /// C rows, C columns and elements along K per CTA and stage.
    pub tile: [u32; 3],
    /// Depth of the shared-memory ring.
    pub stages: u32,
    /// On Blackwell tiles along M, tiles along N, batches; on Hopper CTAs.
    pub grid: [u32; 3],
    /// Threads per CTA.
    pub block: [u32; 3],
    /// CTAs per cluster.
    pub cluster: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
    /// The maps of the kernel's tensor-map parameter, in its order: of A, B1 and B2 on Blackwell, of
    /// A in 16 bits on Hopper, whose weights are packed.
    pub tensor_maps: Vec<TensorMapSpec>,
    /// A kernel that packs the weights for this one, once for any number of launches.
    pub pack: Option<Before>,
    /// A kernel that must run before this one at every launch, on the same parameters' tensors.
    pub before: Option<Before>,
    /// SMs that the tile was chosen for.
    pub sm_count: u32,
    /// What the chosen tile is expected to cost.
    pub estimate: Estimate,
    /// What the tiles not chosen would have cost; empty if the tile was forced.
    pub rejected: Vec<Estimate>,
    /// True if the caller named the tile.
    pub forced: bool,
}

/// How a kernel is launched, whatever its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchShape {
    /// Entry name in the PTX.
    pub kernel: &'static str,
    /// PTX target.
    pub arch: &'static str,
    /// CTAs.
    pub grid: [u32; 3],
    /// Threads per CTA.
    pub block: [u32; 3],
    /// CTAs per cluster.
    pub cluster: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
}

/// A kernel that prepares an operand for a Hopper plan's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// Entry name in the PTX.
    pub kernel: &'static str,
    /// CTAs.
    pub grid: [u32; 3],
    /// Threads per CTA.
    pub block: [u32; 3],
    /// Bytes of device memory that it writes and the plan's kernel reads.
    pub workspace: usize,
}

/// The kernels' target for a device of this compute capability.
///
/// # Errors
/// A device that no kernel is compiled for.
pub fn arch_of(capability: (u32, u32)) -> Result<&'static str> {
    match capability {
        (10, 0 | 3) => Ok(sm100::ARCH),
        (9, 0) => Ok(sm90::ARCH),
        (major, minor) => Err(Error::Unsupported {
            what: format!("a device of compute capability {major}.{minor}"),
            remedy: "there are kernels for 9.0 (Hopper), 10.0 and 10.3 (Blackwell)",
        }),
    }
}

impl Plan {
    /// The launch of the kernel that runs before this plan's, in the shape of a plan.
    pub fn first(&self) -> Option<Plan> {
        Some(self.other(self.before?))
    }

    /// The launch of the kernel that packs the weights, in the shape of a plan.
    pub fn packing(&self) -> Option<Plan> {
        Some(self.other(self.pack?))
    }

    fn other(&self, Before { kernel, grid, block, .. }: Before) -> Plan {
        let (cluster, dynamic_shared) = ([1, 1, 1], 0);
        let (before, pack) = (None, None);
        Plan { kernel, grid, block, cluster, dynamic_shared, before, pack, ..self.clone() }
    }

    /// Picks the tile with the fewest estimated cycles on a device with `sm_count` SMs.
    ///
    /// Wide tiles read A and B fewer times, and win where they fill the SMs. Where 128×128 tiles
    /// would leave SMs idle, twice as many 128×64 tiles cost less. Among equals the wider wins.
    ///
    /// # Errors
    /// A problem outside the rules, or one for which no tile gives a legal grid.
    pub fn choose(problem: &Problem, sm_count: u32) -> Result<Plan> {
        problem.check()?;
        sm100::check(problem)?;
        if sm_count == 0 {
            return Err(Error::Dimension {
                dimension: "sm_count",
                value: 0,
                rule: "at least 1",
                remedy: "a B200 has 148 SMs",
            });
        }
        let mut estimates = Vec::new();
        let mut refusal = None;
        for kernel in sm100::candidates(problem.output) {
            match sm100::grid(problem, kernel) {
                Ok(_) => estimates.push((sm100::estimate(problem, kernel, sm_count), kernel)),
                // The first candidate is the widest: if it does not fit, none does.
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        let best = estimates.iter().min_by_key(|(e, _)| (e.cycles, u32::MAX - e.tile_n)).copied();
        let Some((estimate, kernel)) = best else {
            return Err(refusal.unwrap_or_else(|| Error::Unsupported {
                what: format!("{} output on {}", problem.output, sm100::ARCH),
                remedy: "take the other output type",
            }));
        };
        let rejected = estimates.into_iter().map(|(e, _)| e).filter(|&e| e != estimate).collect();
        Self::build(problem, kernel, sm_count, rejected, false)
    }

    /// The plan with exactly this tile, whatever it costs.
    ///
    /// # Errors
    /// A problem outside the rules, a tile that no kernel has, a grid that is not legal.
    pub fn with_tile(problem: &Problem, tile_m: u32, tile_n: u32, sm_count: u32) -> Result<Plan> {
        problem.check()?;
        sm100::check(problem)?;
        let kernel = sm100::kernel(problem.output, tile_m, tile_n)?;
        Self::build(problem, kernel, sm_count, Vec::new(), true)
    }

    /// The plan for a device of this compute capability: [`Plan::choose`] on Blackwell,
    /// [`sm90::choose`] on Hopper.
    ///
    /// # Errors
    /// A device that no kernel is compiled for, and what the two refuse.
    pub fn for_device(problem: &Problem, capability: (u32, u32), sm_count: u32) -> Result<Plan> {
        match arch_of(capability)? {
            sm90::ARCH => sm90::choose(problem, sm_count),
            _ => Plan::choose(problem, sm_count),
        }
    }

    fn build(
        problem: &Problem,
        kernel: &KernelDecl,
        sm_count: u32,
        rejected: Vec<Estimate>,
        forced: bool,
    ) -> Result<Plan> {
        let Problem { m, n, k, l, .. } = *problem;
        let tensor_maps = vec![
            TensorMapSpec::e2m1(Operand::A, k, m, l, kernel.tile_m),
            TensorMapSpec::e2m1(Operand::B1, k, n, l, kernel.tile_n),
            TensorMapSpec::e2m1(Operand::B2, k, n, l, kernel.tile_n),
        ];
        for map in &tensor_maps {
            map.check()?;
        }
        Ok(Plan {
            problem: *problem,
            kernel: kernel.name,
            arch: kernel.arch,
            tile: [kernel.tile_m, kernel.tile_n, kernel.tile_k],
            stages: kernel.stages,
            grid: sm100::grid(problem, kernel)?,
            block: kernel.block,
            cluster: kernel.cluster,
            dynamic_shared: kernel.dynamic_shared,
            tensor_maps,
            pack: None,
            before: None,
            sm_count,
            estimate: sm100::estimate(problem, kernel, sm_count),
            rejected,
            forced,
        })
    }

    /// How the plan's kernel is launched.
    pub fn shape(&self) -> LaunchShape {
        let Plan { kernel, arch, grid, block, cluster, dynamic_shared, .. } = *self;
        LaunchShape { kernel, arch, grid, block, cluster, dynamic_shared }
    }

    /// Stages' worth of work along K.
    pub fn k_tiles(&self) -> usize {
        self.problem.k.div_ceil(self.tile[2] as usize)
    }

    /// Elements from one row of C to the next.
    pub fn ldc(&self) -> usize {
        self.problem.n
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [tile_m, tile_n, tile_k] = self.tile;
        let [x, y, z] = self.grid;
        let Estimate { ctas, waves, .. } = self.estimate;
        writeln!(f, "{} ({})", self.kernel, self.arch)?;
        writeln!(f, "  problem        {}", self.problem)?;
        writeln!(f, "  work           {:.3} GFLOP", self.problem.flops() / 1e9)?;
        writeln!(
            f,
            "  tile           {tile_m} × {tile_n} of C per CTA, accumulated in {} steps of {tile_k} along K",
            self.k_tiles()
        )?;
        let axes = if self.arch == sm90::ARCH {
            "each takes tile after tile, or has a share of one"
        } else {
            "tiles along M × tiles along N × batches"
        };
        writeln!(f, "  grid           {x} × {y} × {z} CTAs ({axes})")?;
        let slots = waves * u64::from(self.sm_count.max(1));
        writeln!(
            f,
            "  waves          {ctas} CTAs on {} SMs, one per SM: {waves} wave{}, {:.0} % of the slots used",
            self.sm_count,
            if waves == 1 { "" } else { "s" },
            100.0 * ctas as f64 / slots as f64,
        )?;
        let threads: u32 = self.block.iter().product();
        let roles = if self.arch == sm90::ARCH {
            format!(
                "{CONSUMER_WARPS} warps that multiply, one that loads weights, one that loads tokens"
            )
        } else {
            let epilogue = (threads / 32).saturating_sub(2);
            format!("a TMA warp, an MMA warp, {epilogue} epilogue warps")
        };
        writeln!(f, "  block          {threads} threads: {roles}")?;
        let [cx, cy, cz] = self.cluster;
        let split = match self.estimate.split {
            1 => "",
            _ => ", which split the K of a tile",
        };
        writeln!(f, "  cluster        {cx} × {cy} × {cz} CTAs{split}")?;
        writeln!(
            f,
            "  shared memory  {} bytes dynamic of at most {MAX_DYNAMIC_SHARED}: a ring of {} stages",
            self.dynamic_shared, self.stages
        )?;
        if let Some(Before { kernel, grid: [x, y, z], workspace, .. }) = self.pack {
            let what = format!("{x} × {y} × {z} CTAs: the weights as {workspace} bytes");
            writeln!(f, "  once before    {kernel}, {what}")?;
        }
        if let Some(Before { kernel, grid: [x, y, z], workspace, .. }) = self.before {
            writeln!(f, "  before         {kernel}, {x} × {y} × {z} CTAs: A as {workspace} bytes")?;
        }
        for map in &self.tensor_maps {
            writeln!(f, "  tensor map     {map}")?;
        }
        let cost = |e: &Estimate| {
            let split = if e.split == 1 { String::new() } else { format!(" split {}", e.split) };
            format!("{}×{}{split} ≈ {} cycles", e.tile_m, e.tile_n, e.cycles)
        };
        write!(f, "  choice         {}", cost(&self.estimate))?;
        if self.forced {
            return write!(f, ", forced by the caller");
        }
        for rejected in &self.rejected {
            write!(
                f,
                "; {} ({} CTAs, {} wave{})",
                cost(rejected),
                rejected.ctas,
                rejected.waves,
                if rejected.waves == 1 { "" } else { "s" },
            )?;
        }
        write!(f, " (a model that ranks tiles, not a prediction)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::OutputType;

    fn tile(m: usize, n: usize, k: usize) -> [u32; 3] {
        Plan::choose(&Problem::new(m, n, k), sm100::B200_SMS).unwrap().tile
    }

    #[test]
    fn narrow_tiles_fill_idle_sms_and_wide_ones_win_otherwise() {
        // 64 wide tiles would leave 84 of 148 SMs idle.
        assert_eq!(tile(256, 4096, 7168), [128, 64, 256]);
        assert_eq!(tile(256, 3072, 4096), [128, 64, 256]);
        // 128 wide tiles are one wave, 256 narrow ones two.
        assert_eq!(tile(512, 4096, 7168), [128, 128, 256]);
        assert_eq!(tile(7168, 2304, 2048), [128, 128, 256]);
    }

    #[test]
    fn every_part_of_a_plan() {
        let problem = Problem::new(300, 136, 288).with_batch(3).with_output(OutputType::Bf16);
        let plan = Plan::with_tile(&problem, 128, 128, 148).unwrap();
        assert_eq!(plan.kernel, "nvfp4_dual_gemm_sm100_128x128_bf16");
        assert_eq!((plan.grid, plan.block, plan.cluster), ([3, 2, 3], [192, 1, 1], [1, 1, 1]));
        assert_eq!((plan.k_tiles(), plan.ldc(), plan.stages), (2, 136, 4));
        assert!(plan.dynamic_shared >= 4 * 55_296 && plan.dynamic_shared <= 232_448);
        let [a, b1, b2] = plan.tensor_maps[..] else { panic!("three maps") };
        assert_eq!((a.operand, a.dims, a.box_dims), (Operand::A, [288, 300, 3], [256, 128, 1]));
        assert_eq!(
            (b1.operand, b1.dims, b1.strides),
            (Operand::B1, [288, 136, 3], [144, 144 * 136])
        );
        assert_eq!(b2, TensorMapSpec { operand: Operand::B2, ..b1 });
        let narrow = Plan::with_tile(&problem, 128, 64, 148).unwrap();
        assert_eq!((narrow.grid, narrow.stages), ([3, 3, 3], 5));
        assert_eq!(narrow.tensor_maps[1].box_dims, [256, 64, 1]);
        assert_eq!(narrow.tensor_maps[0].box_dims, [256, 128, 1]);
    }

    #[test]
    fn a_plan_explains_itself() {
        let text = Plan::choose(&Problem::new(256, 4096, 7168), 148).unwrap().to_string();
        for part in [
            "nvfp4_dual_gemm_sm100_128x64_f16 (sm_100f)",
            "M 256, N 4096, K 7168, L 1; A in nvfp4, C in f16",
            "30.065 GFLOP",
            "2 × 64 × 1 CTAs",
            "128 CTAs on 148 SMs, one per SM: 1 wave, 86 %",
            "192 threads",
            "ring of 5 stages",
            "B2 16U4_ALIGN8B",
            "128×128 ≈",
            "64 CTAs, 1 wave",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let forced = Plan::with_tile(&Problem::new(1, 8, 32), 128, 128, 148).unwrap().to_string();
        assert!(forced.contains("forced by the caller"), "{forced}");
    }

    #[test]
    fn refusals() {
        let text = |result: Result<Plan>| result.unwrap_err().to_string();
        let message = text(Plan::with_tile(&Problem::new(1, 8, 32), 128, 256, 148));
        assert!(message.contains("128×256") && message.contains("128×128, 128×64"), "{message}");
        assert!(text(Plan::choose(&Problem::new(1, 8, 31), 148)).contains("K = 31"));
        assert!(text(Plan::choose(&Problem::new(1, 8, 32), 0)).contains("sm_count"));
        // 65,536 narrow tiles along N are one too many; wide ones fit, so `choose` takes those.
        let wide = Problem::new(1, 65_536 * 64, 32);
        let message = text(Plan::with_tile(&wide, 128, 64, 148));
        assert!(message.contains("65536") && message.contains("65535"), "{message}");
        assert_eq!(Plan::choose(&wide, 148).unwrap().tile[1], 128);
        let message = text(Plan::choose(&Problem::new(1, 65_536 * 128, 32), 148));
        assert!(message.contains("split N"), "{message}");
    }
}
