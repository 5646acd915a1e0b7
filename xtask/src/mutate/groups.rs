//! Cases for the grouped kernels and for those that run before and after them, on both architectures.

use anyhow::{Result, bail};
use nvfp4_dual_gemm::OutputType;
use nvfp4_dual_gemm::forms::{self, BothScales};
use nvfp4_dual_gemm::grouped::{
    self, Experts, GroupedPlan, GroupedProblem, Operation, Prepared, TwoPass, sm90,
};
use nvfp4_dual_gemm_device::kernels::{
    GROUPED_DUAL_GEMM, REARRANGE, SILU_MUL, SM90_GROUPED_EXPAND, SM90_PACK_WEIGHTS, SM90_REARRANGE,
    SM90_SILU_MUL,
};
use nvfp4_dual_gemm_tests::data::DataKind;
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::grouped::{Grouped, Size};
use nvfp4_dual_gemm_tests::strided::{Orders, Strided};

/// C of every group.
type Outputs = Vec<Vec<u16>>;

/// What is run.
enum What {
    Fused(Box<Grouped>, Box<GroupedPlan>),
    TwoPass(Box<Grouped>, Box<TwoPass>),
    /// Tensors whose order is not the kernels'.
    Form(Box<Strided>),
}

/// One plan with its inputs and answer.
pub struct Case {
    what: What,
    hopper: bool,
    /// C as the kernel without a mistake computes it, where no model says every bit.
    right: Option<Outputs>,
}

/// The cases for a kernel; none if it is not one of these.
pub fn cases(text: &str, kernel: &str) -> Result<Vec<Case>> {
    let mut all = vec![];
    for operation in [Operation::Gemm, Operation::DualGemm] {
        for (i, tile) in GROUPED_DUAL_GEMM.iter().map(|kernel| kernel.tile_m).enumerate() {
            let with = |problem: &_, ctas| GroupedPlan::with_tile(problem, tile, ctas);
            let name = with(&GroupedProblem::listed(operation, [TINY]), 1)?.shape.kernel;
            if name == kernel || (kernel == SILU_MUL.name && i == 2) {
                add(&mut all, operation, kernel == SILU_MUL.name, false, with)?;
            }
        }
        for (i, tile) in sm90::tiles().enumerate() {
            let with = |problem: &_, ctas| sm90::with_tile(problem, tile, ctas);
            let name = with(&GroupedProblem::listed(operation, [TINY]), 1)?.shape.kernel;
            let before = [SM90_SILU_MUL, SM90_GROUPED_EXPAND, SM90_PACK_WEIGHTS];
            if name == kernel || (i == 1 && before.iter().any(|before| before.name == kernel)) {
                add(&mut all, operation, kernel == SM90_SILU_MUL.name, true, with)?;
            }
        }
    }
    for (name, hopper) in [(REARRANGE.name, false), (SM90_REARRANGE.name, true)] {
        if name == kernel {
            for (seed, orders) in (0..).zip(Orders::OTHERS) {
                let (dual, output) = (Operation::DualGemm, OutputType::F16);
                let strided = Strided::new(dual, (37, 136, 160, 2), output, orders, seed)?;
                let strided = if hopper { strided.by_tolerance() } else { strided };
                all.push(Case { what: What::Form(strided.into()), hopper, right: None });
            }
        }
    }
    let module = if all.is_empty() { return Ok(all) } else { Emulated::parse(text)? };
    for case in all.iter_mut().filter(|case| case.hopper) {
        let (c, complaint) = case.compute(&mut Emulated::new(0).overlapping(), &module)?;
        if let Some(complaint) = complaint {
            bail!("{kernel} is wrong without any mistake: {complaint}");
        }
        case.right = c;
    }
    Ok(all)
}

/// What only says which kernel a tile means.
const TINY: grouped::Group = grouped::Group { m: 1, n: 8, k: 32, l: 1, alpha1: 1.0, alpha2: 1.0 };

/// Groups of every tail, one CTA walking over all tiles, so that rings and accumulators go round; and more
/// experts than lanes, few of them busy.
fn add(
    all: &mut Vec<Case>,
    operation: Operation,
    two_pass: bool,
    hopper: bool,
    with: impl Fn(&GroupedProblem, u32) -> nvfp4_dual_gemm::Result<GroupedPlan>,
) -> Result<()> {
    if two_pass && operation == Operation::Gemm {
        return Ok(());
    }
    // An odd number of tiles, whatever their size: an epilogue that waits for the other set of
    // accumulators is only late while tiles come in pairs.
    let sizes: [Size; 3] = match hopper {
        false => [(70, 136, 1056, 1), (129, 64, 96, 2), (9, 264, 2592, 1)],
        // Packing the weights takes the emulator longest.
        true => [(70, 136, 544, 1), (9, 72, 96, 2), (5, 8, 1312, 1)],
    };
    let kind = DataKind::FullRange;
    let listed = Grouped::listed(operation, &sizes, kind, OutputType::F16, 7)?;
    let [n, k] = if hopper { [72, 96] } else { [136, 288] };
    let experts = Experts { experts: 40, rows: 180, n, k };
    let busy = [(3, 1), (31, 17), (32, 130), (39, 20)];
    let rows = |i: usize| busy.iter().filter(|&&(e, _)| e < i).map(|&(_, rows)| rows).sum();
    let offsets: Vec<u32> = (0..=experts.experts).map(rows).collect();
    let (kind, output) = (DataKind::Quantised, OutputType::Bf16);
    let experts = Grouped::experts(operation, experts, &offsets, kind, output, 7)?;
    for (grouped, ctas) in [(listed, 1), (experts, 2)] {
        let grouped = if hopper { grouped.by_tolerance() } else { grouped };
        let what = if two_pass {
            let plan = TwoPass::of(&grouped.problem, |problem| with(problem, ctas))?;
            What::TwoPass(grouped.into(), plan.into())
        } else {
            let plan = with(&grouped.problem, ctas)?;
            What::Fused(grouped.into(), plan.into())
        };
        all.push(Case { what, hopper, right: None });
    }
    Ok(())
}

impl Case {
    /// Whether a launch may begin before the one before has ended.
    pub fn overlaps(&self) -> bool {
        self.hopper
    }

    /// Runs the plan; what is wrong with C.
    pub fn run(
        &self,
        device: &mut Emulated,
        module: &Module,
    ) -> nvfp4_dual_gemm::Result<Option<String>> {
        let (c, complaint) = self.compute(device, module)?;
        if complaint.is_some() || self.right.is_none() {
            return Ok(complaint);
        }
        device.again()?;
        Ok((c != self.right).then(|| "other bits of C".to_owned()))
    }

    /// C of groups, and what is wrong with it.
    fn compute(
        &self,
        device: &mut Emulated,
        module: &Module,
    ) -> nvfp4_dual_gemm::Result<(Option<Outputs>, Option<String>)> {
        let (grouped, c) = match &self.what {
            What::Fused(grouped, plan) => {
                (grouped, grouped.with_inputs(|x| grouped::run(device, module, plan, x))?)
            }
            What::TwoPass(grouped, plan) => {
                (grouped, grouped.with_inputs(|x| plan.run(device, module, x))?)
            }
            What::Form(strided) => {
                let verdict = self.of_form(strided, device, module)?;
                let wrong = verdict.outside_tolerance.max(verdict.wrong_bits);
                return Ok((None, (wrong > 0).then(|| format!("wrong C: {wrong} elements"))));
            }
        };
        let verdict = grouped.judge(&c);
        let wrong = verdict.total.outside_tolerance.max(verdict.total.wrong_bits);
        let complaint = (!verdict.passed())
            .then(|| format!("wrong C: {wrong} elements, {} strays", verdict.strays));
        Ok((Some(c), complaint))
    }

    fn of_form(
        &self,
        strided: &Strided,
        device: &mut Emulated,
        module: &Module,
    ) -> nvfp4_dual_gemm::Result<nvfp4_dual_gemm_tests::judge::Verdict> {
        let buffers = strided.upload(device)?;
        let form = forms::tensors(&strided.tuple(device, &buffers), BothScales::Trust)?;
        let problem = GroupedProblem::dense(Operation::DualGemm, &form.problem);
        let plan = match self.hopper {
            true => sm90::choose(&problem, 2)?,
            false => GroupedPlan::choose(&problem, 2)?,
        };
        let prepared: Prepared<Emulated> = forms::prepare(device, module, &plan, &[form.tensors])?;
        prepared.launch(device, module)?;
        strided.judge(device, &buffers)
    }
}
