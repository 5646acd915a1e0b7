//! `verify --backend cuda`: the committed PTX on a device, judged by the f64 reference.
//!
//! Every case runs with every tile and several splits of K that its shape allows, with NVFP4
//! activations and with 16-bit ones, each twice: the bits of both runs must be the same. The small
//! ones run on the emulator as well, which must give the bits of the device.

use std::time::Instant;

use anyhow::{Result, bail};
use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::backend::cuda::Cuda;
use nvfp4_dual_gemm::{Plan, Problem, dual_gemm, ptx};
use nvfp4_dual_gemm_tests::emulated::Emulated;
use rayon::prelude::*;

use super::cases::Case;
use super::grouped::{self, GroupedCase, OnDevice};
use super::hopper::{Row, Trial};

/// Up to this many operations the emulator runs a plan too.
const EMULATED: f64 = 1e9;

/// Device 0, if it is a Hopper, and its kernels' PTX.
fn hopper() -> Result<(Cuda, &'static str)> {
    let device = Cuda::new(0)?;
    println!("{}: compute capability {:?}", device.name(), device.capability());
    let arch = device.plan(&Problem::new(1, 8, 32))?.arch;
    if arch != nvfp4_dual_gemm::plan::sm90::ARCH {
        bail!("verify --backend cuda knows Hopper's kernels only, not those for {arch}");
    }
    Ok((device, ptx::for_arch(arch).expect("a plan's PTX is there")))
}

/// Runs the cases of the grouped kernels on device 0.
pub fn groups(cases: &[GroupedCase], start: Instant) -> Result<()> {
    let (mut device, text) = hopper()?;
    let module = device.load(text)?;
    let emulated = Emulated::parse(text)?;
    println!("{}", grouped::HEADER);
    let (count, mut failed) = (cases.len(), 0);
    let predicted: Vec<_> =
        cases.par_iter().map(|case| OnDevice::new(case, &emulated)).collect::<Result<_>>()?;
    for case in predicted {
        let row = case.run(&mut device, &module)?;
        failed += usize::from(!row.passed());
        println!("{row}");
    }
    let seconds = start.elapsed().as_secs_f64();
    if failed > 0 {
        bail!("verify: {failed} of {count} cases FAILED on {} ({seconds:.0} s)", device.name());
    }
    println!("verify: all {count} cases passed on {} ({seconds:.0} s)", device.name());
    Ok(())
}

/// Runs the cases on device 0.
pub fn run(cases: &[Case], start: Instant) -> Result<()> {
    let (mut device, text) = hopper()?;
    let module = device.load(text)?;
    let emulated = Emulated::parse(text)?;
    println!("{}", Row::HEADER);
    let (mut runs, mut failed, mut compared) = (0, 0, 0);
    for case in cases {
        let inputs = case.inputs();
        for trial in Trial::all(case, &inputs)? {
            let small = trial.problem.flops() < EMULATED;
            let note = if small { ", and the emulator's" } else { "" };
            let mut row = Row::new(case, &trial, note);
            let plans = trial.plans(device.sm_count())?;
            let on_emulator = |plan: &Plan| {
                small.then(|| dual_gemm(&mut Emulated::new(0), &emulated, plan, &trial.views()))
            };
            let predicted: Vec<_> = plans.par_iter().map(on_emulator).collect();
            for (plan, predicted) in plans.iter().zip(predicted) {
                let c = dual_gemm(&mut device, &module, plan, &trial.views())?;
                let again = dual_gemm(&mut device, &module, plan, &trial.views())?;
                row.add(&trial, plan, &c, &again);
                match predicted {
                    None => {}
                    Some(Err(error)) => row.complain(plan, format!("on the emulator: {error}")),
                    Some(Ok(emulated)) => {
                        compared += 1;
                        let differing = c.iter().zip(&emulated).filter(|(c, e)| c != e).count();
                        if differing > 0 {
                            let at = c.iter().zip(&emulated).position(|(c, e)| c != e);
                            let at = at.expect("one differs");
                            row.complain(
                                plan,
                                format!(
                                    "{differing} of {} elements differ from the emulator's; element {at} is {:#06x}, emulated {:#06x}",
                                    c.len(), c[at], emulated[at]
                                ),
                            );
                        }
                    }
                }
            }
            println!("{row}");
            runs += row.runs();
            failed += usize::from(!row.passed());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if failed > 0 {
        bail!("verify: {failed} cases FAILED on {} ({seconds:.0} s)", device.name());
    }
    println!(
        "verify: all {runs} runs passed on {}, {compared} of them with the emulator's bits ({seconds:.0} s)",
        device.name()
    );
    Ok(())
}
