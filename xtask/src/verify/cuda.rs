//! `verify --backend cuda`: the committed PTX on a device, judged by the f64 reference.
//!
//! Every case runs with every tile and several splits of K that its shape allows, once with NVFP4
//! activations and once with 16-bit ones, each twice: the bits of both runs must be the same.

use std::time::Instant;

use anyhow::{Result, bail};
use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::backend::cuda::Cuda;
use nvfp4_dual_gemm::plan::sm90;
use nvfp4_dual_gemm::{ActivationType, Inputs, Plan, Problem, dual_gemm, ptx};
use nvfp4_dual_gemm_tests::judge::Expected;

use super::cases::Case;

/// Beyond this many operations a case runs with the plan's own choice only.
const LARGE: f64 = 5e9;

/// Runs the cases on device 0.
pub fn run(cases: &[Case], start: Instant) -> Result<()> {
    let mut device = Cuda::new(0)?;
    println!("{}: compute capability {:?}", device.name(), device.capability());
    let arch = device.plan(&Problem::new(1, 8, 32))?.arch;
    let module = device.load(ptx::for_arch(arch).expect("a plan's PTX is there"))?;
    println!("    M     N     K   L  out   data        A      runs  max error  verdict");
    let (mut runs, mut failed) = (0, 0);
    for case in cases {
        let inputs = case.inputs();
        for activations in [ActivationType::Nvfp4, ActivationType::F16, ActivationType::Bf16] {
            let problem = inputs.problem(case.shape, case.output).with_activations(activations);
            let a = match activations {
                ActivationType::Nvfp4 => vec![],
                _ => inputs.sixteen_bit_a(problem.k, activations, 1),
            };
            let views = match activations {
                ActivationType::Nvfp4 => inputs.views(),
                _ => Inputs { a: &a, sfa: &[], ..inputs.views() },
            };
            let expected = Expected::reference_only(&problem, &views)?;
            let (mut here, mut worst, mut complaint) = (0, 0f64, None);
            for plan in plans(&device, &problem)? {
                let c = dual_gemm(&mut device, &module, &plan, &views)?;
                let again = dual_gemm(&mut device, &module, &plan, &views)?;
                here += 1;
                let verdict = expected.judge(&c);
                worst = worst.max(verdict.max_error);
                let of = format!("{} split {}", plan.kernel, plan.cluster[0]);
                if !verdict.passed() {
                    let n = verdict.outside_tolerance;
                    complaint.get_or_insert(format!("{of}: {n} outside, {:?}", verdict.first));
                }
                if c != again {
                    complaint.get_or_insert(format!("{of}: two runs differ"));
                }
            }
            let (m, n, k, l) = case.shape;
            let label = format!("{m:>5} {n:>5} {k:>5} {l:>3}  {:<4}", case.output.name());
            let verdict = match &complaint {
                None => "pass, the same bits twice".to_owned(),
                Some(complaint) => format!("FAIL: {complaint}"),
            };
            let (data, name) = (case.data(), activations.name());
            println!("{label}  {data:<10}  {name:<5}  {here:>4}  {worst:>9.2e}  {verdict}");
            runs += here;
            failed += usize::from(complaint.is_some());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if failed > 0 {
        bail!("verify: {failed} cases FAILED on {} ({seconds:.0} s)", device.name());
    }
    println!("verify: all {runs} runs passed on {} ({seconds:.0} s)", device.name());
    Ok(())
}

/// The plan's own choice, and for small problems every tile with the least and other splits.
fn plans(device: &Cuda, problem: &Problem) -> Result<Vec<Plan>> {
    let mut plans = vec![device.plan(problem)?];
    if plans[0].arch == sm90::ARCH && problem.flops() < LARGE {
        let most = (problem.k.div_ceil(256) as u32).min(sm90::MAX_SPLIT);
        for tile in sm90::TILES {
            let mut splits = vec![1, most.min(3), most];
            splits.dedup();
            for split in splits {
                plans.push(sm90::with_tile(problem, tile, split, device.sm_count())?);
            }
        }
    }
    Ok(plans)
}
