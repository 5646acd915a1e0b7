//! The contest's forms in device memory, in orders that are not the kernels' own: copied there by the
//! kernel for it, on both architectures.

use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::forms::{BothScales, Value, lists, prepare, tensors};
use nvfp4_dual_gemm::grouped::{GroupedPlan, GroupedProblem, Operation, sm90};
use nvfp4_dual_gemm::{OutputType, ptx};
use nvfp4_dual_gemm_tests::emulated::{Buffer, Emulated, Module};
use nvfp4_dual_gemm_tests::patch::Kernel;
use nvfp4_dual_gemm_tests::strided::{Orders, Strided};

/// SMs of the plans.
const SMS: u32 = 3;

/// An architecture: its PTX, and how its plans are made.
struct Arch {
    module: Module,
    hopper: bool,
}

impl Arch {
    fn both() -> [Arch; 2] {
        [(ptx::SM_100F, false), (ptx::SM_90A, true)]
            .map(|(ptx, hopper)| Arch { module: Emulated::parse(ptx).unwrap(), hopper })
    }

    fn plan(&self, problem: &GroupedProblem) -> GroupedPlan {
        match self.hopper {
            true => sm90::choose(problem, SMS).unwrap(),
            false => GroupedPlan::choose(problem, SMS).unwrap(),
        }
    }

    fn device(&self, seed: u64) -> Emulated {
        if self.hopper { Emulated::new(seed).overlapping() } else { Emulated::new(seed) }
    }

    fn strided(&self, operation: Operation, seed: u64, orders: Orders) -> Strided {
        let shapes = [(37, 136, 160, 2), (130, 24, 96, 1), (4, 264, 544, 1)];
        let outputs = [OutputType::F16, OutputType::Bf16];
        let (shape, output) = (shapes[seed as usize % 3], outputs[seed as usize % 2]);
        let strided = Strided::new(operation, shape, output, orders, seed).unwrap();
        if self.hopper { strided.by_tolerance() } else { strided }
    }
}

#[test]
fn ten_tensors_and_seven_in_any_order() {
    for arch in Arch::both() {
        for (seed, orders) in (0..).zip(Orders::OTHERS.into_iter().chain([Orders::KERNELS])) {
            let strided = arch.strided(Operation::DualGemm, seed, orders);
            let mut device = arch.device(seed);
            let buffers = strided.upload(&mut device).unwrap();
            let tuple = strided.tuple(&device, &buffers);
            let form = tensors(&tuple, BothScales::Trust).unwrap();
            let plan = arch.plan(&GroupedProblem::dense(Operation::DualGemm, &form.problem));
            let forms = [form.tensors];
            let prepared = prepare(&mut device, &arch.module, &plan, &forms).unwrap();
            let more = if orders.c == Orders::KERNELS.c { 0 } else { 2 };
            let launches = 1 + usize::from(arch.hopper) + more;
            assert_eq!(prepared.launches.len(), launches, "{orders:?}");
            prepared.launch(&mut device, &arch.module).unwrap();
            let verdict = strided.judge(&mut device, &buffers).unwrap();
            assert!(verdict.passed(), "{orders:?}: {verdict:?}");
        }
    }
}

/// The four lists of groups.
fn four(groups: &[(&Strided, &[Buffer])], device: &Emulated) -> Vec<Value<'static>> {
    let mut lists: Vec<Vec<Value<'static>>> = vec![];
    for (group, buffers) in groups {
        let entries = group.entries(device, buffers);
        lists.resize(entries.len(), vec![]);
        lists.iter_mut().zip(entries).for_each(|(list, entry)| list.push(entry));
    }
    lists.into_iter().map(Value::List).collect()
}

#[test]
fn four_lists_launched_again_with_other_activations() {
    for arch in Arch::both() {
        for operation in [Operation::Gemm, Operation::DualGemm] {
            // One group as the kernels want it, two that are copied.
            let orders = [Orders::OTHERS[2], Orders::KERNELS, Orders::OTHERS[3]];
            let groups: Vec<_> =
                (0..3).map(|i| arch.strided(operation, 2 * i, orders[i as usize])).collect();
            let mut device = arch.device(1);
            let mut buffers: Vec<_> =
                groups.iter().map(|group| group.upload(&mut device).unwrap()).collect();
            let pairs: Vec<_> = groups.iter().zip(&buffers).map(|(g, b)| (g, &b[..])).collect();
            let form = lists(&four(&pairs, &device), BothScales::Trust).unwrap();
            let plan = arch.plan(&form.problem);
            let prepared = prepare(&mut device, &arch.module, &plan, &form.groups).unwrap();
            prepared.launch(&mut device, &arch.module).unwrap();
            for (group, buffers) in groups.iter().zip(&buffers) {
                let verdict = group.judge(&mut device, buffers).unwrap();
                assert!(verdict.passed(), "{operation:?}: {verdict:?}");
            }

            // Other activations in the same place are copied anew by the next launch.
            let zeros = vec![0; groups[0].tensors[0].bytes.len()];
            device.upload(&mut buffers[0][0], &zeros).unwrap();
            prepared.launch(&mut device, &arch.module).unwrap();
            let verdict = groups[0].judge(&mut device, &buffers[0]).unwrap();
            assert!(!verdict.passed(), "C is of the activations before");
            device.upload(&mut buffers[0][0], &groups[0].tensors[0].bytes).unwrap();
            prepared.launch(&mut device, &arch.module).unwrap();
            let verdict = groups[0].judge(&mut device, &buffers[0]).unwrap();
            assert!(verdict.passed(), "{verdict:?}");
        }
    }
}

#[test]
fn mistakes_in_copying_are_caught() {
    type Mistake = (&'static str, fn(&mut Kernel));
    let mistakes: &[Mistake] = &[
        ("scales beyond the tensor are read", |k| {
            let line = k.find("and.pred", 0);
            k.replace(line, "and.pred", "or.pred");
        }),
        ("the elements of a row are counted wrong", |k| {
            let line = k.find("div.u32", 2);
            k.replace(line, "div.u32", "min.u32");
        }),
        ("nobody waits for the kernel before", |k| {
            let line = k.find("griddepcontrol.wait", 0);
            k.delete(line);
        }),
    ];
    let [_, mut arch] = Arch::both();
    let strided = arch.strided(Operation::DualGemm, 1, Orders::OTHERS[1]);
    let mut caught = |module| {
        arch.module = module;
        (0..3).any(|seed| {
            let mut device = arch.device(seed);
            let buffers = strided.upload(&mut device).unwrap();
            let form = tensors(&strided.tuple(&device, &buffers), BothScales::Trust).unwrap();
            let plan = arch.plan(&GroupedProblem::dense(Operation::DualGemm, &form.problem));
            let prepared = prepare(&mut device, &arch.module, &plan, &[form.tensors]);
            let ended = prepared.and_then(|prepared| prepared.launch(&mut device, &arch.module));
            ended.is_err() || !strided.judge(&mut device, &buffers).is_ok_and(|v| v.passed())
        })
    };
    assert!(!caught(Emulated::parse(ptx::SM_90A).unwrap()), "the unchanged kernel is right");
    for (name, make) in mistakes {
        let mut kernel = Kernel::of(ptx::SM_90A, "nvfp4_rearrange_sm90");
        make(&mut kernel);
        let module = Emulated::parse(&kernel.into_module());
        assert!(module.map_or(true, &mut caught), "missed: {name}");
    }
}
