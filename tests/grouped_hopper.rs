//! Hopper's grouped kernels on the emulator: every tile, both operations, both forms, two passes, and
//! offsets that are wrong. A launch may begin before the one before it has ended, as on the device.

use nvfp4_dual_gemm::grouped::launch::run_with_any_offsets;
use nvfp4_dual_gemm::grouped::{Experts, GroupedPlan, Operation, TwoPass, run, sm90};
use nvfp4_dual_gemm::{OutputType, ptx};
use nvfp4_dual_gemm_tests::data::DataKind;
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::grouped::{Grouped, Size};
use nvfp4_dual_gemm_tests::patch::Kernel;
use proptest::prelude::*;

/// SMs of the plans: fewer than there are tiles, so that CTAs walk.
const SMS: u32 = 3;
const OPERATIONS: [Operation; 2] = [Operation::Gemm, Operation::DualGemm];

fn module() -> Module {
    Emulated::parse(ptx::SM_90A).unwrap()
}

fn device(seed: u64) -> Emulated {
    Emulated::new(seed).overlapping()
}

/// C of a plan, judged.
fn right(grouped: &Grouped, module: &Module, plan: &GroupedPlan, seed: u64) -> Vec<Vec<u16>> {
    let c = grouped.with_inputs(|x| run_with_any_offsets(&mut device(seed), module, plan, x));
    let c = c.unwrap_or_else(|error| panic!("{}: {error}", plan.shape.kernel));
    let verdict = grouped.judge(&c);
    assert!(verdict.passed(), "{}: {verdict:?}", plan.shape.kernel);
    c
}

fn listed(operation: Operation, sizes: &[Size], kind: DataKind, output: OutputType) -> Grouped {
    Grouped::listed(operation, sizes, kind, output, 1).unwrap().by_tolerance()
}

/// More experts than lanes, most of them empty; one with one row, one beyond every tile.
fn experts(operation: Operation) -> Grouped {
    let experts = Experts { experts: 36, rows: 110, n: 72, k: 96 };
    let busy = [(3, 1), (4, 17), (33, 70), (35, 9)];
    let rows = |i: usize| busy.iter().filter(|&&(e, _)| e < i).map(|&(_, rows)| rows).sum();
    let offsets: Vec<u32> = (0..=experts.experts).map(rows).collect();
    let (kind, output) = (DataKind::FullRange, OutputType::F16);
    Grouped::experts(operation, experts, &offsets, kind, output, 3).unwrap().by_tolerance()
}

#[test]
fn every_tile_on_groups_and_experts() {
    let module = module();
    let sizes = [(70, 136, 544, 1), (0, 8, 32, 1), (1, 8, 800, 2), (9, 264, 96, 1)];
    for operation in OPERATIONS {
        let output = OutputType::Bf16;
        for grouped in [listed(operation, &sizes, DataKind::Quantised, output), experts(operation)]
        {
            for tile in sm90::tiles() {
                let plan = sm90::with_tile(&grouped.problem, tile, SMS).unwrap();
                right(&grouped, &module, &plan, u64::from(tile[0]));
            }
        }
    }
}

#[test]
fn two_passes_give_the_fused_kernel_s_bits() {
    let module = module();
    let sizes = [(70, 136, 544, 1), (0, 8, 32, 1), (1, 264, 160, 2)];
    let operation = Operation::DualGemm;
    let groups = [
        listed(operation, &sizes, DataKind::Quantised, OutputType::F16),
        listed(operation, &sizes[2..], DataKind::FullRange, OutputType::Bf16),
        experts(operation),
    ];
    for grouped in groups {
        for tile in sm90::tiles() {
            let plan = |problem: &_| sm90::with_tile(problem, tile, SMS);
            let fused = right(&grouped, &module, &plan(&grouped.problem).unwrap(), 1);
            let two = TwoPass::of(&grouped.problem, plan).unwrap();
            let c = grouped.with_inputs(|x| two.run(&mut device(2), &module, x)).unwrap();
            assert_eq!(c, fused, "{two}");
        }
    }
}

#[test]
fn a_second_pass_that_does_not_wait_is_caught() {
    let operation = Operation::DualGemm;
    let sizes = [(40, 136, 544, 1)];
    let grouped = listed(operation, &sizes, DataKind::Quantised, OutputType::F16);
    let plan = |problem: &_| sm90::with_tile(problem, [16, 64], SMS);
    let two = TwoPass::of(&grouped.problem, plan).unwrap();
    let mut kernel = Kernel::of(ptx::SM_90A, "nvfp4_silu_mul_sm90");
    let line = kernel.find("griddepcontrol.wait", 0);
    kernel.delete(line);
    let module = Emulated::parse(&kernel.into_module()).unwrap();
    let caught = (0..4).any(|seed| {
        let c = grouped.with_inputs(|x| two.run(&mut device(seed), &module, x));
        c.map_or(true, |c| !grouped.judge(&c).passed())
    });
    assert!(caught);
}

#[test]
fn offsets_that_are_wrong_write_nothing_beyond() {
    let module = module();
    let experts = Experts { experts: 4, rows: 40, n: 72, k: 96 };
    for (i, offsets) in [
        [0, 10, 5, 20, 40],
        [0, 10, 50, 20, 40],
        [7, 7, 7, 7, 7],
        [90, 1, 2, 3, 4],
        [0, 0, u32::MAX, 0, 40],
        [0, 40, 0, 40, 0],
        [0, 39, 39, 39, 1000],
        [0; 5],
    ]
    .into_iter()
    .enumerate()
    {
        let (operation, kind) = (OPERATIONS[i % 2], DataKind::Quantised);
        let output = OutputType::F16;
        let grouped = Grouped::experts(operation, experts, &offsets, kind, output, 3).unwrap();
        let grouped = grouped.by_tolerance();
        for tile in [[8, 64], [64, 64]] {
            let plan = sm90::with_tile(&grouped.problem, tile, SMS).unwrap();
            right(&grouped, &module, &plan, 1);
        }
        // Where the host sees them it refuses before anything runs.
        if offsets != [0; 5] {
            let plan = sm90::choose(&grouped.problem, SMS).unwrap();
            let mut device = device(1);
            let refused = grouped.with_inputs(|x| run(&mut device, &module, &plan, x));
            assert!(refused.unwrap_err().to_string().contains("offset"), "{offsets:?}");
            assert_eq!(device.instructions(), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_groups(
        sizes in prop::collection::vec((0usize..90, 1usize..20, 1usize..12, 1usize..3), 1..5),
        dual in any::<bool>(),
        tile in 0..4usize,
        seed in 0..1000u64,
    ) {
        let sizes: Vec<Size> = sizes.into_iter().map(|(m, n, k, l)| (m, 8 * n, 32 * k, l)).collect();
        let kind = DataKind::ALL[seed as usize % 4];
        let grouped = listed(OPERATIONS[usize::from(dual)], &sizes, kind, OutputType::F16);
        let tile = sm90::tiles().nth(tile).unwrap();
        let plan = sm90::with_tile(&grouped.problem, tile, SMS).unwrap();
        right(&grouped, &module(), &plan, seed);
    }

    #[test]
    fn random_offsets(
        // Wrong ones among them: they decrease, and lie beyond the capacity.
        offsets in prop::collection::vec(0u32..100, 2..40),
        sort in any::<bool>(),
        dual in any::<bool>(),
        tile in 0..4usize,
        seed in 0..1000u64,
    ) {
        let mut offsets = offsets;
        if sort {
            offsets.sort_unstable();
        }
        let operation = OPERATIONS[usize::from(dual)];
        let experts = Experts { experts: offsets.len() - 1, rows: 80, n: 72, k: 96 };
        let (kind, output) = (DataKind::ALL[seed as usize % 4], OutputType::Bf16);
        let grouped = Grouped::experts(operation, experts, &offsets, kind, output, seed).unwrap();
        let grouped = grouped.by_tolerance();
        let tile = sm90::tiles().nth(tile).unwrap();
        let plan = sm90::with_tile(&grouped.problem, tile, SMS).unwrap();
        right(&grouped, &module(), &plan, seed);
    }
}
