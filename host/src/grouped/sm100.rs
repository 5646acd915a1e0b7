//! Blackwell's grouped kernels: what a tile costs, and the table that they read.

use nvfp4_dual_gemm_device::kernels::{GROUPED_DUAL_GEMM, GROUPED_GEMM, KernelDecl};
use nvfp4_dual_gemm_device::tile::geometry::{MMA_K, MMAS_PER_STAGE};
use nvfp4_dual_gemm_device::tile::group_schedule::{self as field, TILE_WEIGHTS};
use nvfp4_dual_gemm_device::tile::grouped::GroupedGeometry;

use super::addresses::GroupAddresses;
use super::launch::{Prepared, parameters};
use super::plan::{Family, GroupedPlan};
use super::problem::{Group, Operation};
use super::table::{Record, encode};
use crate::backend::Backend;
use crate::error::Result;
use crate::plan::sm100::ARCH;
use crate::plan::tensor_map::{Operand, TENSOR_MAP_BYTES, TensorMapSpec};

/// Columns of C in a tile.
pub(super) const TILE_COLUMNS: u32 = TILE_WEIGHTS;

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

/// Blackwell's kernels.
pub(super) const FAMILY: Family = Family {
    arch: ARCH,
    for_example: "a B200 has 148 SMs",
    kernels: |operation| match operation {
        Operation::Gemm => &GROUPED_GEMM,
        Operation::DualGemm => &GROUPED_DUAL_GEMM,
    },
    tile_cycles,
    fill_cycles: FILL_CYCLES,
    complete: |plan| {
        plan.tensor_maps = plan.records.iter().flat_map(|record| maps(plan, record)).collect();
        Ok(())
    },
};

fn tile_cycles(kernel: &KernelDecl, operation: Operation, k: usize) -> u64 {
    let (tokens, products) = (u64::from(kernel.tile_m), operation.products() as u64);
    let steps = (k as u64).div_ceil(u64::from(MMA_K));
    let multiply = steps * k_step_cycles(tokens, products);
    let epilogue = tokens * if products == 2 { DUAL_EPILOGUE_CYCLES } else { EPILOGUE_CYCLES };
    // With one set of accumulators the next tile waits for the epilogue.
    let sets = GroupedGeometry::new(tokens as u32, products as u32).sets;
    TILE_CYCLES + if sets == 1 { multiply + epilogue } else { multiply.max(epilogue) }
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

/// The maps of a record: of A, B1 and, of a dual GEMM, B2.
fn maps(plan: &GroupedPlan, record: &Record) -> Vec<TensorMapSpec> {
    let Record { group: Group { m, n, k, l, .. }, weights, .. } = *record;
    let of_weights = |operand| TensorMapSpec::e2m1(operand, k, n, weights, TILE_WEIGHTS);
    let mut maps =
        vec![TensorMapSpec::e2m1(Operand::A, k, m, l, plan.tile[0]), of_weights(Operand::B1)];
    if plan.problem.operation == Operation::DualGemm {
        maps.push(of_weights(Operand::B2));
    }
    maps
}

/// Encodes the tensor maps and writes the table.
pub(super) fn prepare<B: Backend>(
    plan: &GroupedPlan,
    backend: &mut B,
    groups: &[GroupAddresses],
    offsets: u64,
) -> Result<Prepared<B>> {
    let maps_per_record = 1 + plan.problem.operation.products();
    let mut bytes = vec![];
    for (i, map) in plan.tensor_maps.iter().enumerate() {
        let at = &groups[plan.records[i / maps_per_record].index];
        let address = match map.operand {
            Operand::A => at.a,
            Operand::B1 => at.b1,
            Operand::B2 => at.b2,
        };
        bytes.extend(backend.encode_map(map, address)?);
    }
    let records = plan.records.len() * field::RECORD_BYTES as usize;
    let mut table = backend.alloc("group table", bytes.len() + records)?;
    let maps_at = backend.address(&table);
    let records_at = maps_at + bytes.len() as u64;
    bytes.extend(encode(
        &plan.records,
        |group| plan.tiles(group),
        |i, record| {
            let at = &groups[record.index];
            [
                (field::MAPS, maps_at + (i * maps_per_record * TENSOR_MAP_BYTES) as u64),
                (field::TOKEN_SCALES, at.sfa),
                (field::GATE_SCALES, at.sfb1),
                (field::UP_SCALES, at.sfb2),
                (field::C, at.c),
                (field::ALPHAS1, at.alphas1),
                (field::ALPHAS2, at.alphas2),
            ]
        },
    ));
    backend.upload(&mut table, &bytes)?;
    let words = [plan.problem.count(plan.records.len()), plan.element_flags()];
    let launches = vec![(plan.shape, parameters(records_at, offsets, &words))];
    Ok(Prepared { launches, buffers: vec![table] })
}

#[cfg(test)]
mod tests {
    use super::super::problem::{Experts, GroupedProblem};
    use super::*;

    fn tokens(groups: &[Group]) -> u32 {
        let problem = GroupedProblem::listed(Operation::DualGemm, groups);
        GroupedPlan::choose(&problem, 148).unwrap().tile[0]
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
        assert_eq!(plan.records.iter().map(|record| record.index).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(plan.tensor_maps.len(), 6);
        let text = plan.to_string();
        for part in ["3 groups", "80×4096×7168×1", "1 groups without rows", "persistent", "a model"]
        {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let forced = GroupedPlan::with_tile(&problem, 32, 148).unwrap();
        assert_eq!((forced.tile, forced.estimate.tiles), ([32, 128], (3 + 6) * 32));
        assert_eq!(forced.shape.grid, [148, 1, 1]);
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
        assert_eq!((plan.tile[0], plan.records.len(), plan.tensor_maps.len()), (16, 1, 2));
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
