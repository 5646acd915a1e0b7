//! The grouped kernels on the emulator: every tile, both operations, both forms, both outputs.

use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::forms::{BothScales, Element, Memory, Value, View, lists, tensors};
use nvfp4_dual_gemm::grouped::launch::run_with_any_offsets;
use nvfp4_dual_gemm::grouped::{
    Experts, Group, GroupAddresses, GroupedInputs, GroupedPlan, GroupedProblem, Operation, TwoPass,
    run,
};
use nvfp4_dual_gemm::{OutputType, ptx};
use nvfp4_dual_gemm_tests::data::{DataKind, Inputs, Operand};
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::grouped::{Grouped, Size};
use nvfp4_dual_gemm_tests::judge::Expected;
use nvfp4_dual_gemm_tests::patch::Kernel;
use proptest::prelude::*;

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

#[test]
fn routing_changes_between_launches_of_one_preparation() {
    let module = Emulated::parse(ptx::SM_100F).unwrap();
    let experts = Experts { experts: 35, rows: 60, n: 72, k: 96 };
    let (operation, kind, output) = (Operation::Gemm, DataKind::Quantised, OutputType::F16);
    // The same tensors, of which the second routing gives the last expert what the first one had.
    let routings: [Vec<u32>; 2] = [
        (0..=35).map(|i| if i == 0 { 0 } else { 40 }).collect(),
        (0..=35).map(|i| if i < 35 { 0 } else { 40 }).collect(),
    ];
    let grouped =
        |i: usize| Grouped::experts(operation, experts, &routings[i], kind, output, 3).unwrap();
    let mut device = Emulated::new(5);
    let mut buffers = vec![];
    let first = grouped(0);
    let plan = GroupedPlan::with_tile(&first.problem, 16, SMS).unwrap();
    let mut upload = |device: &mut Emulated, name, bytes: &[u8]| {
        let mut buffer = device.alloc(name, bytes.len()).unwrap();
        device.upload(&mut buffer, bytes).unwrap();
        buffers.push(buffer);
        device.address(buffers.last().unwrap())
    };
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    // Alphas and weights of the first routing serve both: what is compared is what each routing's own
    // preparation gives.
    let (at, mut offsets) = first.with_inputs(|inputs| {
        let GroupedInputs::Experts { tensors: x, alphas1, .. } = inputs else { unreachable!() };
        let alphas: Vec<u8> = alphas1.iter().flat_map(|alpha| alpha.to_le_bytes()).collect();
        let at = GroupAddresses {
            a: upload(&mut device, "a", x.a),
            b1: upload(&mut device, "b1", x.b1),
            sfa: upload(&mut device, "sfa", x.sfa),
            sfb1: upload(&mut device, "sfb1", x.sfb1),
            alphas1: upload(&mut device, "alphas1", &alphas),
            ..GroupAddresses::default()
        };
        (at, device.alloc("offsets", 4 * 36).unwrap())
    });
    let mut c = device.alloc("c", 2 * 60 * 72).unwrap();
    let at = GroupAddresses { c: device.address(&c), ..at };
    let offsets_at = device.address(&offsets);
    let prepared = plan.prepare(&mut device, &module, &[at], offsets_at).unwrap();
    for routing in [&routings[0], &routings[1], &routings[0]] {
        device.upload(&mut offsets, &words(routing)).unwrap();
        device.upload(&mut c, &[0xff; 2 * 60 * 72]).unwrap();
        prepared.launch(&mut device, &module).unwrap();
        let mut again = vec![0; 2 * 60 * 72];
        device.download(&c, &mut again).unwrap();
        let again: Vec<u16> =
            again.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let fresh = first.with_inputs(|inputs| {
            let GroupedInputs::Experts { tensors, alphas1, alphas2, total, .. } = *inputs else {
                unreachable!()
            };
            let offsets = routing.as_slice();
            let inputs = GroupedInputs::Experts { tensors, offsets, alphas1, alphas2, total };
            run(&mut Emulated::new(1), &module, &plan, &inputs).unwrap()
        });
        assert_eq!([again], fresh[..]);
        if std::ptr::eq(routing, &routings[0]) {
            assert!(first.judge(&fresh).passed());
        }
    }
}

/// The contest's tensors of an operand: data, scales, permuted scales.
fn views(x: &Operand, rows: usize, k: usize) -> [Value<'_>; 3] {
    let view = |shape: &[usize], axes: &[usize], element, memory| {
        Value::Tensor(View::permuted(shape, axes, element, Memory::Host(memory)).unwrap())
    };
    let blocked = [1, rows.div_ceil(128), k.div_ceil(64), 32, 4, 4];
    [
        view(&[1, rows, k / 2], &[1, 2, 0], Element::E2M1x2, &x.packed),
        view(&[1, rows, k / 16], &[1, 2, 0], Element::E4M3, &x.row_major),
        view(&blocked, &[3, 4, 1, 5, 2, 0], Element::E4M3, &x.blocked),
    ]
}

#[test]
fn the_contest_s_forms_run() {
    let module = Emulated::parse(ptx::SM_100F).unwrap();
    let (m, n, k) = (72, 136, 160);
    let inputs = Inputs::new(DataKind::Contest, (m, n, k, 1), 9);
    let c = vec![0u8; 2 * m * n];
    let c = || {
        let view = View::permuted(&[1, m, n], &[1, 2, 0], Element::F16, Memory::Host(&c));
        Value::Tensor(view.unwrap())
    };
    let [a, sfa, sfa_permuted] = views(&inputs.a, m, k);
    let [b1, sfb1, sfb1_permuted] = views(&inputs.b1, n, k);
    let [b2, sfb2, sfb2_permuted] = views(&inputs.b2, n, k);

    let ten = [a, b1, b2, sfa, sfb1, sfb2, sfa_permuted, sfb1_permuted, sfb2_permuted, c()];
    let form = tensors(&ten, BothScales::Compare).unwrap();
    let problem = GroupedProblem::dense(Operation::DualGemm, &form.problem);
    let plan = GroupedPlan::choose(&problem, SMS).unwrap();
    let listed = [form.tensors.inputs().unwrap()];
    let listed = GroupedInputs::Listed(&listed);
    let result = run(&mut Emulated::new(1), &module, &plan, &listed).unwrap();
    let expected = Expected::new(&form.problem, &inputs).unwrap();
    assert!(expected.judge(&result[0]).passed());

    let size = Value::List([m, n, k, 1].map(|size| Value::Integer(size as i64)).into());
    let [a, b1, _, sfa, sfb1, _, sfa_permuted, sfb1_permuted, ..] = ten;
    let four = [
        Value::List(vec![Value::List(vec![a, b1, c()])]),
        Value::List(vec![Value::List(vec![sfa, sfb1])]),
        Value::List(vec![Value::List(vec![sfa_permuted, sfb1_permuted])]),
        Value::List(vec![size]),
    ];
    let form = lists(&four, BothScales::Compare).unwrap();
    let plan = GroupedPlan::choose(&form.problem, SMS).unwrap();
    let listed = [form.groups[0].inputs().unwrap()];
    let listed = GroupedInputs::Listed(&listed);
    let result = run(&mut Emulated::new(1), &module, &plan, &listed).unwrap();
    let problem = Group::new(m, n, k).problem(OutputType::F16);
    let expected = Expected::of(Operation::Gemm, &problem, &inputs).unwrap();
    assert!(expected.judge(&result[0]).passed());
}

/// A mistake: its name, and the patch that makes it.
type Mistake = (&'static str, fn(&mut Kernel));

/// Whether a changed dual kernel with tiles of 16 rows is caught, on groups or on experts.
fn caught(ptx: &str) -> bool {
    let Ok(module) = Emulated::parse(ptx) else { return true };
    let (operation, kind, output) = (Operation::DualGemm, DataKind::FullRange, OutputType::F16);
    let sizes = [(40, 136, 160, 2), (70, 72, 96, 1)];
    let listed = Grouped::listed(operation, &sizes, kind, output, 1).unwrap();
    let experts = Experts { experts: 40, rows: 60, n: 136, k: 96 };
    let offsets: Vec<u32> = (0..=40).map(|i| [0, 3, 40, 50][(i + 12) / 15]).collect();
    let right = Grouped::experts(operation, experts, &offsets, kind, output, 3).unwrap();
    let wrong: Vec<u32> = offsets.iter().map(|&o| if o == 40 { 1 << 20 } else { o }).collect();
    let wrong = Grouped::experts(operation, experts, &wrong, kind, output, 3).unwrap();
    [listed, right, wrong].iter().any(|grouped| {
        let plan = GroupedPlan::with_tile(&grouped.problem, 16, SMS).unwrap();
        let mut device = Emulated::new(1).limited(100_000_000);
        let c = grouped.with_inputs(|x| run_with_any_offsets(&mut device, &module, &plan, x));
        c.map_or(true, |c| !grouped.judge(&c).passed())
    })
}

/// Replaces every line with `what`.
fn all(kernel: &mut Kernel, what: &str, from: &str, to: &str) {
    let mut at = 0;
    let mut found = false;
    while let Some(line) = kernel.find_from(at, |line| line.contains(what)) {
        if kernel.line(line).contains(from) {
            kernel.replace(line, from, to);
            found = true;
        }
        at = line + 1;
    }
    assert!(found, "no {what} with {from}");
}

#[test]
fn mistakes_in_finding_tiles_and_storing_are_caught() {
    let mistakes: &[Mistake] = &[
        ("neighbouring lanes do not swap", |k| {
            all(k, "shfl.sync.bfly", "shfl.sync.bfly", "shfl.sync.idx");
        }),
        ("a running total forgets half the lanes", |k| {
            all(k, "shfl.sync.up", "0, -1;", "16, -1;");
        }),
        ("offsets are not cut at the capacity", |k| all(k, "min.u32", "min.u32", "max.u32")),
        ("a tile of the first of 32 groups only", |k| {
            let line = k.find("vote.sync.ballot", 0);
            let votes = k.operand_from_end(line, 0);
            k.insert_after(line, &format!("and.b32 {votes}, {votes}, 1;"));
        }),
        ("scales are moved from their own place", |k| {
            let line = k.find("st.shared.v4.b32", 0);
            let value = k.operand(line, 1);
            k.replace(line, &format!("{{{value},"), "{0,");
        }),
        ("the rows beyond a group are stored", |k| {
            let (mut at, mut count) = (0, 0);
            while let Some(line) = k.find_from(at, |l| l.starts_with("@%p") && l.contains("bra")) {
                at = line + 1;
                let store = k.find_from(line, |l| l.contains("st.global.b32"));
                if store.is_some_and(|store| store - line < 6) {
                    k.delete(line);
                    count += 1;
                }
            }
            assert!(count > 0, "no guarded store");
        }),
    ];
    assert!(!caught(ptx::SM_100F), "the unchanged kernel is right");
    for (name, make) in mistakes {
        let mut kernel = Kernel::of(ptx::SM_100F, "nvfp4_grouped_dual_gemm_sm100_16x128");
        make(&mut kernel);
        assert!(caught(&kernel.into_module()), "missed: {name}");
    }
}

fn size() -> impl Strategy<Value = Size> {
    (0usize..150, 1usize..20, 1usize..12, 1usize..3).prop_map(|(m, n, k, l)| (m, 8 * n, 32 * k, l))
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![Just(Operation::Gemm), Just(Operation::DualGemm)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_groups(
        sizes in prop::collection::vec(size(), 1..6),
        operation in operation(),
        tokens in prop::sample::select(vec![16, 32, 64, 128]),
        seed in 0..1000u64,
    ) {
        let module = Emulated::parse(ptx::SM_100F).unwrap();
        let (kind, output) = (DataKind::ALL[seed as usize % 4], OutputType::F16);
        let grouped = Grouped::listed(operation, &sizes, kind, output, seed).unwrap();
        right(&grouped, &module, tokens, seed);
    }

    #[test]
    fn random_offsets(
        // Wrong ones among them: they decrease, and lie beyond the capacity.
        offsets in prop::collection::vec(0u32..130, 2..50),
        sort in any::<bool>(),
        operation in operation(),
        tokens in prop::sample::select(vec![16, 32, 64, 128]),
        seed in 0..1000u64,
    ) {
        let module = Emulated::parse(ptx::SM_100F).unwrap();
        let mut offsets = offsets;
        if sort {
            offsets.sort_unstable();
        }
        let experts = Experts { experts: offsets.len() - 1, rows: 120, n: 72, k: 96 };
        let (kind, output) = (DataKind::ALL[seed as usize % 4], OutputType::Bf16);
        let grouped = Grouped::experts(operation, experts, &offsets, kind, output, seed).unwrap();
        let plan = GroupedPlan::with_tile(&grouped.problem, tokens, SMS).unwrap();
        let mut device = Emulated::new(seed);
        let c = grouped.with_inputs(|x| run_with_any_offsets(&mut device, &module, &plan, x));
        let verdict = grouped.judge(&c.unwrap());
        prop_assert!(verdict.passed(), "{:?}", verdict);
    }
}
