//! Hopper's grouped kernels: weights packed once, activations expanded to f16 and multiplied in two
//! launches of the same stream, both told by tables that are written once.
//!
//! A kernel with another tile is one more entry of `SM90_GROUPED`, and a line in `stage_cycles`.

use std::fmt;

use nvfp4_dual_gemm_device::kernels::{
    KernelDecl, SM90_GROUPED, SM90_GROUPED_EXPAND, SM90_PACK_WEIGHTS,
};
use nvfp4_dual_gemm_device::tile::group_schedule::{self as field, most_row_tiles, row_tiles};
use nvfp4_dual_gemm_device::tile::packed_sm90::{STAGE_K, chunks_along_n, packed_bytes};
use nvfp4_dual_gemm_device::tile::sm90_grouped::{EXPAND_ROWS, FLAG_ONE_PRODUCT, box_quarters};

use super::addresses::GroupAddresses;
use super::launch::{Prepared, parameters};
use super::plan::{Family, GroupedPlan, check_tiles, own_columns};
use super::problem::{Experts, Group, GroupedProblem, Groups, Operation};
use super::table::{Record, encode};
use crate::backend::Backend;
use crate::error::Result;
use crate::plan::LaunchShape;
use crate::plan::sm90::ARCH;
use crate::plan::tensor_map::{TENSOR_MAP_BYTES, TensorMapSpec};

/// Finding a tile, and exchanging and storing its sums.
const TILE_CYCLES: u64 = 1_500;
/// And for each of its rows.
const ROW_CYCLES: u64 = 30;
/// A stage of 64 rows of both weights: loading them and decoding them overlap.
fn stage_cycles(tokens: u32) -> u64 {
    match tokens {
        0..=16 => 1_150,
        17..=32 => 1_300,
        33..=64 => 1_650,
        _ => 2_450,
    }
}

const FAMILY: Family = Family {
    arch: ARCH,
    for_example: "an H200 has 132 SMs",
    kernels: |_| &SM90_GROUPED,
    tile_cycles,
    fill_cycles: 0,
    complete,
};

/// The plan with the fewest estimated cycles on a Hopper device with `sm_count` SMs.
///
/// # Errors
/// A problem outside the rules.
pub fn choose(problem: &GroupedProblem, sm_count: u32) -> Result<GroupedPlan> {
    FAMILY.choose(problem, sm_count)
}

/// The plan with exactly this tile (rows and columns of C), whatever it costs.
///
/// # Errors
/// A problem outside the rules, a tile that no kernel has.
pub fn with_tile(problem: &GroupedProblem, tile: [u32; 2], sm_count: u32) -> Result<GroupedPlan> {
    FAMILY.with_tile(problem, tile, sm_count)
}

/// Tiles that there are kernels for: rows and columns of C.
pub fn tiles() -> impl Iterator<Item = [u32; 2]> {
    SM90_GROUPED.iter().map(|kernel| [kernel.tile_m, kernel.tile_n])
}

fn tile_cycles(kernel: &KernelDecl, _: Operation, k: usize) -> u64 {
    let tokens = u64::from(kernel.tile_m);
    let stages = (k as u64).div_ceil(u64::from(STAGE_K));
    let columns = u64::from(kernel.tile_n / 64);
    TILE_CYCLES + ROW_CYCLES * tokens * columns + stages * stage_cycles(kernel.tile_m) * columns
}

/// The expanding launch before, and a map for each record, of its expanded activations.
fn complete(plan: &mut GroupedPlan) -> Result<()> {
    let tiles: u64 = match &plan.problem.groups {
        Groups::Listed(_) => plan.records.iter().map(|r| u64::from(expand_tiles(&r.group))).sum(),
        Groups::Experts(Experts { experts, rows, .. }) => {
            most_row_tiles(*rows as u64, *experts as u64, u64::from(EXPAND_ROWS))
        }
    };
    check_tiles(tiles)?;
    let grid = tiles.clamp(1, 8 * u64::from(plan.sm_count)) as u32;
    plan.before = Some(mover(&SM90_GROUPED_EXPAND, [grid, 1, 1]));
    let map = |r: &Record| {
        let Group { m, k, l, .. } = r.group;
        let [tokens, rows] = plan.tile;
        TensorMapSpec::wide_sixteen_bit_a(k, m, l, tokens, box_quarters(tokens, rows))
    };
    plan.tensor_maps = plan.records.iter().map(map).collect();
    Ok(())
}

fn mover(kernel: &KernelDecl, grid: [u32; 3]) -> LaunchShape {
    LaunchShape {
        kernel: kernel.name,
        arch: ARCH,
        grid,
        block: kernel.block,
        cluster: [1, 1, 1],
        dynamic_shared: 0,
    }
}

fn expand_tiles(group: &Group) -> u32 {
    row_tiles(group.m as u32, EXPAND_ROWS).wrapping_mul(group.l as u32)
}

/// Bytes of the packed weights, of each record.
fn packed(plan: &GroupedPlan) -> Vec<usize> {
    let bytes = |r: &Record| {
        let Group { n, k, .. } = r.group;
        let rows = own_columns(ARCH, plan.problem.operation, n);
        packed_bytes(rows, k as u32, r.weights as u32) as usize
    };
    plan.records.iter().map(bytes).collect()
}

/// Bytes of the expanded activations, of each record.
fn expanded(plan: &GroupedPlan) -> Vec<usize> {
    plan.records.iter().map(|r| 2 * r.group.l * r.group.m * r.group.k).collect()
}

/// Where parts of these sizes begin in one buffer, and its size.
fn places(sizes: &[usize]) -> (Vec<u64>, usize) {
    let mut end = 0;
    let starts = sizes.iter().map(|size| {
        let start = end;
        end += size.next_multiple_of(256);
        start as u64
    });
    (starts.collect(), end)
}

/// The launch that packs a record's weights.
fn packing(
    operation: Operation,
    record: &Record,
    at: &GroupAddresses,
    packed: u64,
) -> (LaunchShape, Vec<u8>) {
    let Group { n, k, .. } = record.group;
    let chunks = chunks_along_n(own_columns(ARCH, operation, n));
    let grid = [(k as u32).div_ceil(STAGE_K), chunks, record.weights as u32];
    let addresses = [at.b1, at.b2, at.sfb1, at.sfb2, packed];
    let words = [n as u32, k as u32, u32::from(operation == Operation::Gemm)];
    let bytes = addresses.into_iter().flat_map(u64::to_le_bytes);
    let bytes = bytes.chain(words.into_iter().flat_map(u32::to_le_bytes)).collect();
    (mover(&SM90_PACK_WEIGHTS, grid), bytes)
}

/// Packs the weights, encodes the tensor maps and writes both tables.
pub(super) fn prepare<B: Backend>(
    plan: &GroupedPlan,
    backend: &mut B,
    module: &B::Module,
    groups: &[GroupAddresses],
    offsets: u64,
) -> Result<Prepared<B>> {
    let operation = plan.problem.operation;
    let (mut packed_at, bytes) = places(&packed(plan));
    let packed = backend.alloc("packed weights", bytes)?;
    packed_at.iter_mut().for_each(|at| *at += backend.address(&packed));
    let (mut expanded_at, bytes) = places(&expanded(plan));
    let mut expanded = backend.alloc("expanded activations", bytes)?;
    expanded_at.iter_mut().for_each(|at| *at += backend.address(&expanded));
    // Rows beyond the last expert's are loaded, though nothing comes of them.
    backend.upload(&mut expanded, &vec![0; bytes])?;
    for (record, &packed) in plan.records.iter().zip(&packed_at) {
        let (shape, parameters) = packing(operation, record, &groups[record.index], packed);
        backend.launch_kernel(module, &shape, &parameters)?;
    }

    let mut bytes = Vec::new();
    for (map, &address) in plan.tensor_maps.iter().zip(&expanded_at) {
        bytes.extend(backend.encode_map(map, address)?);
    }
    let records = plan.records.len() * field::RECORD_BYTES as usize;
    let mut tables = backend.alloc("group tables", bytes.len() + 2 * records)?;
    let maps_at = backend.address(&tables);
    let expand_at = maps_at + bytes.len() as u64;
    let main_at = expand_at + records as u64;
    bytes.extend(encode(&plan.records, expand_tiles, |i, record| {
        let at = &groups[record.index];
        [(field::MAPS, at.a), (field::TOKEN_SCALES, at.sfa), (field::C, expanded_at[i])]
    }));
    bytes.extend(encode(
        &plan.records,
        |group| plan.tiles(group),
        |i, record| {
            let at = &groups[record.index];
            [
                (field::MAPS, maps_at + (i * TENSOR_MAP_BYTES) as u64),
                (field::GATE_SCALES, packed_at[i]),
                (field::C, at.c),
                (field::ALPHAS1, at.alphas1),
                (field::ALPHAS2, at.alphas2),
            ]
        },
    ));
    backend.upload(&mut tables, &bytes)?;

    let one = if operation == Operation::Gemm { FLAG_ONE_PRODUCT } else { 0 };
    let count = plan.problem.count(plan.records.len());
    let before = plan.before.map(|before| (before, parameters(expand_at, offsets, &[count])));
    let main = (plan.shape, parameters(main_at, offsets, &[count, plan.element_flags() | one]));
    let launches = before.into_iter().chain([main]).collect();
    Ok(Prepared { launches, buffers: vec![packed, expanded, tables] })
}

/// What a plan's description says of the kernels before.
pub(super) fn describe(
    plan: &GroupedPlan,
    before: &LaunchShape,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let (packed, expanded) = (places(&packed(plan)).1, places(&expanded(plan)).1);
    writeln!(f, "  before, once   {}: {packed} bytes", SM90_PACK_WEIGHTS.name)?;
    writeln!(f, "  before         {}: A as {expanded} bytes", before.kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_as_small_as_the_groups() {
        let tokens = |m| {
            let problem =
                GroupedProblem::listed(Operation::DualGemm, [Group::new(m, 4096, 7168); 8]);
            choose(&problem, 132).unwrap().tile[0]
        };
        assert_eq!([3, 16, 30, 64, 200].map(tokens), [8, 16, 32, 64, 128]);
    }

    #[test]
    fn a_plan_explains_itself_and_can_be_forced() {
        let groups: Vec<_> = [80, 0, 176].map(|m| Group::new(m, 4096, 7168)).into();
        let problem = GroupedProblem::listed(Operation::DualGemm, groups);
        let plan = with_tile(&problem, [32, 64], 132).unwrap();
        assert_eq!(plan.estimate.tiles, (3 + 6) * 64);
        assert_eq!((plan.shape.grid, plan.before.unwrap().grid), ([132, 1, 1], [32, 1, 1]));
        let text = plan.to_string();
        for part in ["3 groups", "persistent", "forced", "pack_weights", "A as 3670016 bytes"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let text = with_tile(&problem, [48, 64], 132).unwrap_err().to_string();
        assert!(text.contains("48×64") && text.contains("8×64, 16×64"), "{text}");
        assert!(choose(&problem, 0).unwrap_err().to_string().contains("sm_count"));
    }
}
