//! Cases for Hopper's kernels, whose every bit is compared with what the kernel without a mistake
//! computes.

use anyhow::{Result, bail};
use nvfp4_dual_gemm::launch::dual_gemm;
use nvfp4_dual_gemm::plan::sm90;
use nvfp4_dual_gemm::{ActivationType, Inputs as Views, OutputType, Plan};
use nvfp4_dual_gemm_tests::data::{DataKind, Inputs, Shape};
use nvfp4_dual_gemm_tests::emulated::{Emulated, Module};
use nvfp4_dual_gemm_tests::judge::Expected;

/// One plan with its inputs and answer.
pub struct Case {
    plan: Plan,
    inputs: Inputs,
    /// A in 16 bits, where the plan takes that.
    a: Vec<u8>,
    /// The kernel that is judged runs before the plan's, and so also after it.
    again: bool,
    /// C as the kernel without a mistake computes it.
    right: Vec<u16>,
}

/// The cases that go round every loop and over every edge of a kernel; none if it is not Hopper's.
///
/// Ragged, with the CTAs of a cluster sharing K unevenly; and even, two batches of a CTA alone. The ring
/// is gone round each time. With 4-bit activations, and with 16-bit ones.
pub fn cases(text: &str, kernel: &str) -> Result<Vec<Case>> {
    use ActivationType::{Bf16, F16, Nvfp4};
    for tile in sm90::TILES {
        for sixteen in [F16, Bf16] {
            let m = tile[0] as usize;
            // The kernel's own tile and ring.
            let probe = plan((DataKind::Quantised, (m, 64, 256, 1)), sixteen, tile, 1)?.plan;
            let again = probe.before.is_some_and(|before| before.kernel == kernel);
            if probe.kernel != kernel && !again {
                continue;
            }
            let other = if sixteen == F16 { Nvfp4 } else { Bf16 };
            let (rows, stage) = (probe.tile[1] as usize, probe.tile[2] as usize);
            let around = probe.stages as usize + 2;
            let ragged = (m - 3, rows + 8, stage * (2 * around - 1) + 32, 1);
            let even = (m, rows, stage * around, 2);
            let mut cases = vec![
                plan((DataKind::Quantised, ragged), other, tile, 2)?,
                plan((DataKind::FullRange, even), sixteen, tile, 1)?,
            ];
            let module = Emulated::parse(text)?;
            for case in &mut cases {
                case.again = again;
                let mut device = Emulated::new(0).overlapping();
                case.right = dual_gemm(&mut device, &module, &case.plan, &case.views())?;
                let expected = Expected::reference_only(&case.plan.problem, &case.views())?;
                let verdict = expected.judge(&case.right);
                if !verdict.passed() {
                    bail!("{kernel} is wrong without any mistake: {:?}", verdict.first);
                }
            }
            return Ok(cases);
        }
    }
    Ok(vec![])
}

fn plan(
    (kind, shape): (DataKind, Shape),
    activations: ActivationType,
    tile: [u32; 2],
    split: u32,
) -> Result<Case> {
    let inputs = Inputs::new(kind, shape, 7);
    let output = if split == 1 { OutputType::F16 } else { OutputType::Bf16 };
    let problem = inputs.problem(shape, output).with_activations(activations);
    let a = match activations {
        ActivationType::Nvfp4 => vec![],
        _ => inputs.sixteen_bit_a(problem.k, activations, 1),
    };
    let plan = sm90::with_tile(&problem, tile, split, sm90::H200_SMS)?;
    Ok(Case { plan, inputs, a, again: false, right: vec![] })
}

impl Case {
    fn views(&self) -> Views<'_> {
        match self.a.as_slice() {
            [] => self.inputs.views(),
            a => Views { a, sfa: &[], ..self.inputs.views() },
        }
    }

    /// Runs the plan; what is wrong with C.
    pub fn run(
        &self,
        device: &mut Emulated,
        module: &Module,
    ) -> nvfp4_dual_gemm::Result<Option<String>> {
        let c = dual_gemm(device, module, &self.plan, &self.views())?;
        if self.again {
            device.again()?;
        }
        let wrong = c.iter().zip(&self.right).filter(|(a, b)| a != b).count();
        Ok((wrong > 0).then(|| format!("wrong C: {wrong} elements")))
    }
}
