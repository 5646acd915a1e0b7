//! The grouped kernels on the emulator: every tile, both operations, both forms, both outputs.

use nvfp4_dual_gemm::grouped::launch::run_with_any_offsets;
use nvfp4_dual_gemm::grouped::{Experts, GroupedPlan, Operation, TwoPass, run};
use nvfp4_dual_gemm::{OutputType, ptx};
use nvfp4_dual_gemm_tests::data::DataKind;
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::grouped::Grouped;

/// SMs of the plans: fewer than there are tiles, so that CTAs walk.
const SMS: u32 = 3;

fn right(grouped: &Grouped, module: &Module, tokens: u32, seed: u64) {
    let plan = GroupedPlan::with_tile(&grouped.problem, tokens, SMS).unwrap();
    let mut device = Emulated::new(seed);
    let c = grouped.with_inputs(|inputs| run(&mut device, module, &plan, inputs));
    let c = c.unwrap_or_else(|error| panic!("{}: {error}", plan.shape.kernel));
    let verdict = grouped.judge(&c);
    assert!(verdict.passed(), "{}: {verdict:?}", plan.shape.kernel);
}

const OPERATIONS: [Operation; 2] = [Operation::Gemm, Operation::DualGemm];

#[test]
fn listed_groups_of_every_shape() {
    let module = Emulated::parse(ptx::SM_100F).unwrap();
    let sizes =
        [(70, 136, 544, 1), (0, 8, 32, 1), (1, 8, 1632, 2), (129, 64, 96, 1), (17, 264, 256, 1)];
    for operation in OPERATIONS {
        for (output, kind) in
            [(OutputType::F16, DataKind::FullRange), (OutputType::Bf16, DataKind::Quantised)]
        {
            let grouped = Grouped::listed(operation, &sizes, kind, output, 1).unwrap();
            for tokens in [16, 32, 64, 128] {
                right(&grouped, &module, tokens, u64::from(tokens));
            }
        }
    }
}

#[test]
fn experts_of_every_size() {
    let module = Emulated::parse(ptx::SM_100F).unwrap();
    // More than 32 experts, most of them empty; one with one row, one beyond every tile.
    let mut offsets = vec![0; 41];
    for (i, offset) in offsets.iter_mut().enumerate() {
        *offset = [(3, 1), (4, 17), (33, 140), (40, 30)]
            .iter()
            .filter(|&&(expert, _)| i > expert - 1)
            .map(|&(_, rows)| rows)
            .sum();
    }
    let experts = Experts { experts: 40, rows: 200, n: 72, k: 96 };
    for operation in OPERATIONS {
        let (kind, output) = (DataKind::FullRange, OutputType::F16);
        let grouped = Grouped::experts(operation, experts, &offsets, kind, output, 3).unwrap();
        for tokens in [16, 32, 64, 128] {
            right(&grouped, &module, tokens, u64::from(tokens));
        }
    }
}

#[test]
fn offsets_that_are_wrong_write_nothing_beyond() {
    let module = Emulated::parse(ptx::SM_100F).unwrap();
    let experts = Experts { experts: 4, rows: 40, n: 72, k: 96 };
    for offsets in [
        [0, 10, 5, 20, 40],
        [0, 10, 50, 20, 40],
        [7, 7, 7, 7, 7],
        [90, 1, 2, 3, 4],
        [0, 0, u32::MAX, 0, 40],
        [0, 40, 0, 40, 0],
        [0, 39, 39, 39, 1000],
        [0; 5],
    ] {
        let (operation, kind) = (Operation::DualGemm, DataKind::Quantised);
        let output = OutputType::F16;
        let grouped = Grouped::experts(operation, experts, &offsets, kind, output, 3).unwrap();
        for tokens in [16, 64] {
            let plan = GroupedPlan::with_tile(&grouped.problem, tokens, SMS).unwrap();
            let c = grouped.with_inputs(|inputs| {
                run_with_any_offsets(&mut Emulated::new(1), &module, &plan, inputs)
            });
            let verdict = grouped.judge(&c.unwrap_or_else(|error| panic!("{offsets:?}: {error}")));
            assert!(verdict.passed(), "{offsets:?}: {verdict:?}");
        }
    }
}

#[test]
fn two_passes_give_the_same_bits() {
    let module = Emulated::parse(ptx::SM_100F).unwrap();
    let sizes = [(70, 136, 544, 1), (0, 8, 32, 1), (1, 8, 160, 2)];
    let (operation, kind) = (Operation::DualGemm, DataKind::Quantised);
    let listed = Grouped::listed(operation, &sizes, kind, OutputType::Bf16, 1).unwrap();
    let experts = Experts { experts: 3, rows: 90, n: 72, k: 96 };
    let output = OutputType::F16;
    let experts = Grouped::experts(operation, experts, &[0, 3, 3, 80], kind, output, 3).unwrap();
    for grouped in [listed, experts] {
        let plan = TwoPass::choose(&grouped.problem, SMS).unwrap();
        let c = grouped.with_inputs(|x| plan.run(&mut Emulated::new(2), &module, x)).unwrap();
        // The verdict is bit for bit, as the fused kernel's.
        let verdict = grouped.judge(&c);
        assert!(verdict.passed(), "{verdict:?}");
    }
}
