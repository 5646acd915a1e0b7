//! The grouped operations on Hopper: weights packed once, activations expanded to f16 and multiplied in
//! two launches of the same stream, both told by tables that are written once.

use std::fmt;

use nvfp4_dual_gemm_device::kernels::{
    KernelDecl, SM90_GROUPED, SM90_GROUPED_EXPAND, SM90_PACK_WEIGHTS,
};
use nvfp4_dual_gemm_device::tile::group_schedule::{
    self as field, FLAG_BF16, column_tiles, first_half, most_row_tiles, row_tiles,
};
use nvfp4_dual_gemm_device::tile::packed_sm90::{STAGE_K, chunks_along_n, packed_bytes};
use nvfp4_dual_gemm_device::tile::sm90_grouped::{EXPAND_ROWS, FLAG_ONE_PRODUCT, TILE_ROWS};

use super::launch::{GroupAddresses, GroupedInputs, alloc_c, check_addresses, download_c, upload};
use super::problem::{Experts, Group, GroupedProblem, Groups, Operation};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::plan::LaunchShape;
use crate::plan::sm90::ARCH;
use crate::plan::tensor_map::{TENSOR_MAP_BYTES, TensorMapSpec};
use crate::problem::OutputType;

/// Finding a tile, and exchanging and storing its sums.
const TILE_CYCLES: u64 = 1_500;
/// And for each of its rows.
const ROW_CYCLES: u64 = 30;
/// A stage of weights: loading them and decoding them overlap, and take about as long.
const STAGE_CYCLES: u64 = 1_100;
/// Multiplying a stage, for each row.
const STAGE_ROW_CYCLES: u64 = 24;

/// What the kernels see as one group: a listed group with rows, or all experts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Record {
    /// Index in the problem's list.
    index: usize,
    /// Sizes; `l` is the batches of A and C.
    group: Group,
    /// Batches of the weights.
    weights: usize,
}

/// What one tile size would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HopperEstimate {
    /// Rows of C per tile.
    pub tokens: u32,
    /// Tiles; of experts, the most that any routing gives.
    pub tiles: u64,
    /// The estimate for the launch; of experts, with the rows spread evenly.
    pub cycles: u64,
}

/// Two launches for all groups, complete but for the addresses of the tensors; and the launches that
/// pack the weights before, once.
#[derive(Debug, Clone, PartialEq)]
pub struct HopperPlan {
    /// What is computed.
    pub problem: GroupedProblem,
    /// The kernel that makes f16 of the activations.
    pub expand: LaunchShape,
    /// The kernel that multiplies.
    pub shape: LaunchShape,
    /// Rows of C per tile.
    pub tokens: u32,
    /// Depth of the shared-memory ring.
    pub stages: u32,
    /// The chosen tile's cost.
    pub estimate: HopperEstimate,
    /// The other tiles'.
    pub rejected: Vec<HopperEstimate>,
    /// True if the caller named the tile.
    pub forced: bool,
    /// SMs that the tile was chosen for.
    pub sm_count: u32,
    records: Vec<Record>,
}

/// A plan with its tables and its packed weights on a device.
#[derive(Debug)]
pub struct HopperPrepared<B: Backend> {
    /// What is launched, in this order, with its parameter space.
    pub launches: Vec<(LaunchShape, Vec<u8>)>,
    /// Keeps table, packed weights and expanded activations alive.
    _buffers: Vec<B::Buffer>,
}

impl<B: Backend> HopperPrepared<B> {
    /// Launches, and waits for the end.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn launch(&self, backend: &mut B, module: &B::Module) -> Result<()> {
        let mut launches = self.launches.iter();
        launches.try_for_each(|(shape, bytes)| backend.launch_kernel(module, shape, bytes))
    }
}

impl HopperPlan {
    /// Picks the tile with the fewest estimated cycles on a Hopper device with `sm_count` SMs.
    ///
    /// # Errors
    /// A problem outside the rules.
    pub fn choose(problem: &GroupedProblem, sm_count: u32) -> Result<HopperPlan> {
        problem.check()?;
        let estimate = |kernel| estimate(problem, &records(problem), kernel, sm_count);
        let mut all: Vec<_> =
            SM90_GROUPED.iter().map(|kernel| (estimate(kernel), kernel)).collect();
        all.sort_by_key(|(estimate, _)| (estimate.cycles, estimate.tokens));
        let rejected = all[1..].iter().map(|(estimate, _)| *estimate).collect();
        Self::build(problem, all[0].1, sm_count, rejected, false)
    }

    /// The plan with tiles of `tokens` rows, whatever it costs.
    ///
    /// # Errors
    /// A problem outside the rules, a tile that no kernel has.
    pub fn with_tile(problem: &GroupedProblem, tokens: u32, sm_count: u32) -> Result<HopperPlan> {
        problem.check()?;
        let kernel = SM90_GROUPED.iter().find(|kernel| kernel.tile_m == tokens);
        let kernel = kernel.ok_or_else(|| Error::NoKernel {
            arch: ARCH,
            tile_m: tokens,
            tile_n: TILE_ROWS,
            output: problem.output.name(),
            available: SM90_GROUPED.map(|k| format!("{}×{}", k.tile_m, k.tile_n)).join(", "),
        })?;
        Self::build(problem, kernel, sm_count, vec![], true)
    }

    fn build(
        problem: &GroupedProblem,
        kernel: &KernelDecl,
        sm_count: u32,
        rejected: Vec<HopperEstimate>,
        forced: bool,
    ) -> Result<HopperPlan> {
        if sm_count == 0 {
            return Err(Error::Dimension {
                dimension: "sm_count",
                value: 0,
                rule: "at least 1",
                remedy: "an H200 has 132 SMs",
            });
        }
        let records = records(problem);
        let estimate = estimate(problem, &records, kernel, sm_count);
        let expand_tiles: u64 = match &problem.groups {
            Groups::Listed(_) => records.iter().map(|r| expand_tiles(&r.group)).sum(),
            Groups::Experts(e) => {
                most_row_tiles(e.rows as u64, e.experts as u64, u64::from(EXPAND_ROWS))
            }
        };
        // The kernels count tiles, and step by the grid, in 32 bits.
        let (value, limit) = (estimate.tiles.max(expand_tiles), i32::MAX as usize);
        if value > limit as u64 {
            let value = usize::try_from(value).unwrap_or(usize::MAX);
            let remedy = "take larger tiles, or split the groups";
            return Err(Error::Grid { axis: "all tiles of all groups", value, limit, remedy });
        }
        let shape = |kernel: &KernelDecl, tiles: u64, most: u64| LaunchShape {
            kernel: kernel.name,
            arch: ARCH,
            grid: [tiles.clamp(1, most) as u32, 1, 1],
            block: kernel.block,
            cluster: [1, 1, 1],
            dynamic_shared: kernel.dynamic_shared,
        };
        let sms = u64::from(sm_count);
        let plan = HopperPlan {
            problem: problem.clone(),
            expand: shape(&SM90_GROUPED_EXPAND, expand_tiles, 8 * sms),
            shape: shape(kernel, estimate.tiles, sms),
            tokens: kernel.tile_m,
            stages: kernel.stages,
            estimate,
            rejected,
            forced,
            sm_count,
            records,
        };
        plan.tensor_maps().iter().try_for_each(TensorMapSpec::check)?;
        Ok(plan)
    }

    /// One map for each record, of its expanded activations.
    fn tensor_maps(&self) -> Vec<TensorMapSpec> {
        let map = |r: &Record| {
            let Group { m, k, l, .. } = r.group;
            TensorMapSpec::sixteen_bit_a(k, m, l, self.tokens)
        };
        self.records.iter().map(map).collect()
    }

    /// Rows of a weight that have tiles of their own: all, or of a plain GEMM the first half.
    fn packed_rows(&self, n: usize) -> u32 {
        match self.problem.operation {
            Operation::Gemm => first_half(n as u32),
            Operation::DualGemm => n as u32,
        }
    }

    /// Bytes of the packed weights, of each record.
    fn packed(&self) -> Vec<usize> {
        let bytes = |r: &Record| {
            let Group { n, k, .. } = r.group;
            packed_bytes(self.packed_rows(n), k as u32, r.weights as u32) as usize
        };
        self.records.iter().map(bytes).collect()
    }

    /// Bytes of the expanded activations, of each record.
    fn expanded(&self) -> Vec<usize> {
        self.records.iter().map(|r| 2 * r.group.l * r.group.m * r.group.k).collect()
    }

    /// Packs the weights, encodes the tensor maps and writes the tables, once for any number of
    /// launches. `offsets` is the address of the experts' `experts + 1` offsets, u32, aligned to 4; 0
    /// for listed groups. The weights and their scales are read here, and not again: after a change of
    /// weights, prepare again.
    ///
    /// # Errors
    /// A wrong number of groups, an address that is not aligned, what the backend reports.
    pub fn prepare<B: Backend>(
        &self,
        backend: &mut B,
        module: &B::Module,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> Result<HopperPrepared<B>> {
        let order: Vec<usize> = self.records.iter().map(|record| record.index).collect();
        check_addresses(&self.problem, &order, groups, offsets)?;
        if self.records.is_empty() {
            return Ok(HopperPrepared { launches: vec![], _buffers: vec![] });
        }
        let (packed_at, packed_bytes) = places(&self.packed());
        let (expanded_at, expanded_bytes) = places(&self.expanded());
        let packed = backend.alloc("packed weights", packed_bytes)?;
        let mut expanded = backend.alloc("expanded activations", expanded_bytes)?;
        // Rows beyond the last expert's are loaded, though nothing comes of them.
        backend.upload(&mut expanded, &vec![0; expanded_bytes])?;
        let at = |buffer, places: &[usize]| -> Vec<u64> {
            places.iter().map(|&place| backend.address(buffer) + place as u64).collect()
        };
        let (packed_at, expanded_at) = (at(&packed, &packed_at), at(&expanded, &expanded_at));
        for (record, &packed) in self.records.iter().zip(&packed_at) {
            let (shape, parameters) = self.packing(record, &groups[record.index], packed);
            backend.launch_kernel(module, &shape, &parameters)?;
        }

        let maps = self.tensor_maps();
        let mut bytes = Vec::new();
        for (map, &address) in maps.iter().zip(&expanded_at) {
            bytes.extend(backend.encode_map(map, address)?);
        }
        let size = maps.len() * (TENSOR_MAP_BYTES + 2 * field::RECORD_BYTES as usize);
        let mut table = backend.alloc("group tables", size)?;
        let table_at = backend.address(&table);
        let expand_table = table_at + bytes.len() as u64;
        bytes.extend(self.expand_records(groups, &expanded_at));
        let main_table = table_at + bytes.len() as u64;
        bytes.extend(self.main_records(table_at, groups, &packed_at));
        backend.upload(&mut table, &bytes)?;

        let count = match &self.problem.groups {
            Groups::Listed(_) => self.records.len(),
            Groups::Experts(experts) => experts.experts,
        } as u32;
        let parameters = |table: u64, words: &[u32]| -> Vec<u8> {
            let addresses = [table, offsets].into_iter().flat_map(u64::to_le_bytes);
            addresses.chain(words.iter().flat_map(|word| word.to_le_bytes())).collect()
        };
        let launches = vec![
            (self.expand, parameters(expand_table, &[count])),
            (self.shape, parameters(main_table, &[count, self.flags()])),
        ];
        Ok(HopperPrepared { launches, _buffers: vec![packed, expanded, table] })
    }

    fn flags(&self) -> u32 {
        let bf16 = if self.problem.output == OutputType::Bf16 { FLAG_BF16 } else { 0 };
        let one = if self.problem.operation == Operation::Gemm { FLAG_ONE_PRODUCT } else { 0 };
        bf16 | one
    }

    /// The launch that packs a record's weights.
    fn packing(&self, record: &Record, at: &GroupAddresses, packed: u64) -> (LaunchShape, Vec<u8>) {
        let Group { n, k, .. } = record.group;
        let rows = self.packed_rows(n);
        let halved = self.problem.operation == Operation::Gemm;
        let shape = LaunchShape {
            kernel: SM90_PACK_WEIGHTS.name,
            arch: ARCH,
            grid: [(k as u32).div_ceil(STAGE_K), chunks_along_n(rows), record.weights as u32],
            block: SM90_PACK_WEIGHTS.block,
            cluster: [1, 1, 1],
            dynamic_shared: 0,
        };
        let addresses = [at.b1, at.b2, at.sfb1, at.sfb2, packed];
        let words = [n as u32, k as u32, u32::from(halved)];
        let bytes = addresses.into_iter().flat_map(u64::to_le_bytes);
        (shape, bytes.chain(words.into_iter().flat_map(u32::to_le_bytes)).collect())
    }

    fn expand_records(&self, groups: &[GroupAddresses], expanded: &[u64]) -> Vec<u8> {
        let mut tiles = 0;
        let each = self.records.iter().zip(expanded).flat_map(|(record, &expanded)| {
            let at = &groups[record.index];
            // Of experts the kernel counts them itself.
            tiles += expand_tiles(&record.group) as u32;
            let addresses =
                [(field::MAPS, at.a), (field::TOKEN_SCALES, at.sfa), (field::C, expanded)];
            encode(&record.group, &addresses, tiles)
        });
        each.collect()
    }

    fn main_records(&self, maps: u64, groups: &[GroupAddresses], packed: &[u64]) -> Vec<u8> {
        let mut tiles = 0;
        let each =
            self.records.iter().zip(packed).enumerate().flat_map(|(i, (record, &packed))| {
                let at = &groups[record.index];
                let Group { m, n, l, .. } = record.group;
                let columns = column_tiles(self.packed_rows(n), TILE_ROWS);
                // The plan has checked that all tiles together fit 31 bits; of experts the kernel counts
                // them itself.
                tiles +=
                    row_tiles(m as u32, self.tokens).wrapping_mul(columns).wrapping_mul(l as u32);
                let addresses = [
                    (field::MAPS, maps + (i * TENSOR_MAP_BYTES) as u64),
                    (field::GATE_SCALES, packed),
                    (field::C, at.c),
                    (field::ALPHAS1, at.alphas1),
                    (field::ALPHAS2, at.alphas2),
                ];
                encode(&record.group, &addresses, tiles)
            });
        each.collect()
    }

    /// Runs the plan from host memory to host memory, as [`run`](super::run) does Blackwell's; `offsets`
    /// that nobody has looked at are taken as the nearest thing that stays inside the tensors.
    ///
    /// # Errors
    /// Inputs of wrong lengths, and what the backend reports.
    pub fn run_with_any_offsets<B: Backend>(
        &self,
        backend: &mut B,
        module: &B::Module,
        inputs: &GroupedInputs<'_>,
    ) -> Result<Vec<Vec<u16>>> {
        inputs.check_lengths(&self.problem)?;
        let (uploaded, offsets) = upload(backend, inputs)?;
        let c = alloc_c(backend, &self.problem)?;
        let with_c = uploaded.iter().zip(&c).map(|(group, c)| {
            let c = c.as_ref().map_or(0, |c| backend.address(c));
            GroupAddresses { c, ..group.at }
        });
        let addresses: Vec<_> = with_c.collect();
        let prepared = self.prepare(backend, module, &addresses, offsets)?;
        prepared.launch(backend, module)?;
        download_c(backend, &self.problem, &c)
    }
}

/// The groups with rows, by descending M, so that the last tiles are of small groups; or all experts.
fn records(problem: &GroupedProblem) -> Vec<Record> {
    match &problem.groups {
        Groups::Listed(groups) => {
            let with_rows = groups.iter().enumerate().filter(|(_, group)| group.m > 0);
            let mut records: Vec<_> = with_rows
                .map(|(index, &group)| Record { index, group, weights: group.l })
                .collect();
            records.sort_by_key(|record| std::cmp::Reverse(record.group.m));
            records
        }
        Groups::Experts(Experts { experts, rows, n, k }) => {
            let (group, weights) = (Group::new(*rows, *n, *k), *experts);
            if *rows > 0 { vec![Record { index: 0, group, weights }] } else { vec![] }
        }
    }
}

fn expand_tiles(group: &Group) -> u64 {
    u64::from(row_tiles(group.m as u32, EXPAND_ROWS)) * group.l as u64
}

/// Where parts of these sizes begin in one buffer, and its size.
fn places(sizes: &[usize]) -> (Vec<usize>, usize) {
    let mut end = 0;
    let starts = sizes.iter().map(|size| {
        let start = end;
        end += size.next_multiple_of(256);
        start
    });
    (starts.collect(), end)
}

/// One record of a table.
fn encode(group: &Group, addresses: &[(u32, u64)], tiles_end: u32) -> Vec<u8> {
    let mut bytes = vec![0; field::RECORD_BYTES as usize];
    let mut put = |at: u32, value: &[u8]| {
        bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
    };
    for &(field, address) in addresses {
        put(field, &address.to_le_bytes());
    }
    let Group { m, n, k, alpha1, alpha2, .. } = *group;
    for (field, size) in [(field::M, m), (field::N, n), (field::K, k), (field::LDC, n)] {
        put(field, &(size as u32).to_le_bytes());
    }
    put(field::TILES_END, &tiles_end.to_le_bytes());
    put(field::ALPHA1, &alpha1.to_le_bytes());
    put(field::ALPHA2, &alpha2.to_le_bytes());
    bytes
}

/// What `kernel` would cost on `sm_count` SMs.
fn estimate(
    problem: &GroupedProblem,
    records: &[Record],
    kernel: &KernelDecl,
    sm_count: u32,
) -> HopperEstimate {
    let tokens = u64::from(kernel.tile_m);
    let columns = |n: usize| match problem.operation {
        Operation::Gemm => u64::from(column_tiles(first_half(n as u32), TILE_ROWS)),
        Operation::DualGemm => u64::from(column_tiles(n as u32, TILE_ROWS)),
    };
    let (mut tiles, mut work, mut longest) = (0u64, 0u64, 0u64);
    for Record { group, weights, .. } in records {
        let stages = (group.k as u64).div_ceil(u64::from(STAGE_K));
        let cycles = TILE_CYCLES
            + ROW_CYCLES * tokens
            + stages * STAGE_CYCLES.max(STAGE_CYCLES / 2 + STAGE_ROW_CYCLES * tokens);
        let rows = group.m as u64;
        let (here, even) = match &problem.groups {
            Groups::Listed(_) => {
                let here = rows.div_ceil(tokens).saturating_mul(columns(group.n));
                let here = here.saturating_mul(group.l as u64);
                (here, here)
            }
            Groups::Experts(_) => {
                let busy = (*weights as u64).min(rows).max(1);
                let even = busy * rows.div_ceil(busy).div_ceil(tokens);
                let most = most_row_tiles(rows, *weights as u64, tokens);
                (most.saturating_mul(columns(group.n)), even * columns(group.n))
            }
        };
        tiles = tiles.saturating_add(here);
        work = work.saturating_add(even.saturating_mul(cycles));
        longest = longest.max(cycles);
    }
    let cycles = longest.max(work.div_ceil(u64::from(sm_count.max(1))));
    HopperEstimate { tokens: kernel.tile_m, tiles, cycles }
}

impl fmt::Display for HopperPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({ARCH})", self.shape.kernel)?;
        writeln!(f, "  problem        {}", self.problem)?;
        writeln!(f, "  work           {:.3} GFLOP", self.problem.flops() / 1e9)?;
        writeln!(f, "  tile           {} rows × {TILE_ROWS} packed rows of weights", self.tokens)?;
        let ([ctas, ..], tiles) = (self.shape.grid, self.estimate.tiles);
        writeln!(
            f,
            "  grid           {ctas} persistent CTAs on {} SMs for at most {tiles} tiles",
            self.sm_count
        )?;
        writeln!(
            f,
            "  shared memory  {} bytes dynamic: a ring of {} stages",
            self.shape.dynamic_shared, self.stages
        )?;
        let (packed, expanded) = (places(&self.packed()).1, places(&self.expanded()).1);
        writeln!(f, "  before, once   {}: {packed} bytes", SM90_PACK_WEIGHTS.name)?;
        writeln!(f, "  before         {}: A as {expanded} bytes", self.expand.kernel)?;
        let cost = |e: &HopperEstimate| format!("{} rows ≈ {} cycles", e.tokens, e.cycles);
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

    #[test]
    fn tiles_are_as_small_as_the_groups() {
        let tokens = |m| {
            let problem =
                GroupedProblem::listed(Operation::DualGemm, [Group::new(m, 4096, 7168); 8]);
            HopperPlan::choose(&problem, 132).unwrap().tokens
        };
        assert_eq!([3, 16, 30, 64, 200].map(tokens), [8, 16, 32, 64, 64]);
    }

    #[test]
    fn a_plan_explains_itself_and_can_be_forced() {
        let groups: Vec<_> = [80, 0, 176].map(|m| Group::new(m, 4096, 7168)).into();
        let problem = GroupedProblem::listed(Operation::DualGemm, groups);
        let plan = HopperPlan::with_tile(&problem, 32, 132).unwrap();
        assert_eq!(plan.estimate.tiles, (3 + 6) * 64);
        assert_eq!((plan.shape.grid, plan.expand.grid), ([132, 1, 1], [32, 1, 1]));
        let text = plan.to_string();
        for part in ["3 groups", "persistent", "forced", "pack_weights", "A as 3670016 bytes"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let text = HopperPlan::with_tile(&problem, 48, 132).unwrap_err().to_string();
        assert!(text.contains("48×64") && text.contains("8×64, 16×64"), "{text}");
        assert!(HopperPlan::choose(&problem, 0).unwrap_err().to_string().contains("sm_count"));
    }
}
