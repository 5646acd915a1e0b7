//! Problem → plan → tensor maps → launch, from host memory to host memory.

use crate::backend::Backend;
use crate::error::Result;
use crate::plan::Plan;
use crate::problem::Inputs;

/// Device addresses of a launch's tensors, and of its three tensor maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The maps of A, B1, B2: 3 · 128 bytes, aligned to 64.
    pub maps: u64,
    /// Blocked scales of A, aligned to 16.
    pub sfa: u64,
    /// Blocked scales of B1, aligned to 16.
    pub sfb1: u64,
    /// Blocked scales of B2, aligned to 16.
    pub sfb2: u64,
    /// C, aligned to 16.
    pub c: u64,
}

impl Plan {
    /// The kernel's parameter space: five addresses, M, N, K, the row pitch of C, both alphas.
    pub fn parameters(&self, at: &Addresses) -> [u8; 64] {
        let addresses = [at.maps, at.sfa, at.sfb1, at.sfb2, at.c];
        // The plan has checked that the dimensions fit 31 bits.
        let sizes = [self.problem.m, self.problem.n, self.problem.k, self.ldc()];
        let alphas = [self.problem.alpha1, self.problem.alpha2];
        let bytes = addresses
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .chain(sizes.into_iter().flat_map(|size| (size as u32).to_le_bytes()))
            .chain(alphas.into_iter().flat_map(f32::to_le_bytes));
        let mut parameters = [0; 64];
        for (to, from) in parameters.iter_mut().zip(bytes) {
            *to = from;
        }
        parameters
    }
}

/// Runs a plan on a backend. Returns C, `[L, M, N]`, as the bits of the plan's output type.
///
/// This copies everything to the device and back, so it is for trying and for checking. An
/// application that keeps its tensors on the device launches the plan's kernel itself, with
/// [`Plan::parameters`].
///
/// # Errors
/// Inputs that their check refuses, and what the backend reports. Nothing is allocated before the
/// inputs are checked.
pub fn dual_gemm<B: Backend>(
    backend: &mut B,
    module: &B::Module,
    plan: &Plan,
    inputs: &Inputs<'_>,
) -> Result<Vec<u16>> {
    inputs.check(&plan.problem)?;
    let sizes = plan.problem.check()?;
    let mut upload = |name, data: &[u8]| {
        let mut buffer = backend.alloc(name, data.len())?;
        backend.upload(&mut buffer, data)?;
        Ok(buffer)
    };
    let operands = [upload("a", inputs.a)?, upload("b1", inputs.b1)?, upload("b2", inputs.b2)?];
    let sfa = upload("sfa", inputs.sfa)?;
    let sfb1 = upload("sfb1", inputs.sfb1)?;
    let sfb2 = upload("sfb2", inputs.sfb2)?;

    let mut encoded = Vec::with_capacity(3 * 128);
    for (map, operand) in plan.tensor_maps.iter().zip(&operands) {
        let address = backend.address(operand);
        encoded.extend(backend.encode_map(map, address)?);
    }
    let mut maps = backend.alloc("tensor maps", encoded.len())?;
    backend.upload(&mut maps, &encoded)?;
    let c = backend.alloc("c", sizes.c)?;

    let addresses = Addresses {
        maps: backend.address(&maps),
        sfa: backend.address(&sfa),
        sfb1: backend.address(&sfb1),
        sfb2: backend.address(&sfb2),
        c: backend.address(&c),
    };
    backend.launch(module, plan, &plan.parameters(&addresses))?;

    let mut bytes = vec![0; sizes.c];
    backend.download(&c, &mut bytes)?;
    Ok(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    #[test]
    fn parameters_lie_as_the_entry_point_declares_them() {
        let problem = Problem::new(3, 16, 64).with_alphas(0.5, -2.0);
        let plan = Plan::choose(&problem, 148).unwrap();
        let at = Addresses { maps: 1, sfa: 2, sfb1: 3, sfb2: 4, c: 5 };
        let bytes = plan.parameters(&at);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([0, 8, 16, 24, 32].map(word), [1, 2, 3, 4, 5]);
        assert_eq!([40, 44, 48, 52].map(word), [3, 16, 64, 16]);
        assert_eq!([56, 60].map(word), [0.5f32.to_bits(), (-2.0f32).to_bits()]);
        let entry = crate::ptx::SM_100F.split(&format!(".entry {}(", plan.kernel)).nth(1).unwrap();
        let types: Vec<_> = entry
            .lines()
            .skip(1)
            .take_while(|line| line.trim() != ")")
            .map(|line| line.split_whitespace().nth(1).unwrap())
            .collect();
        let want = [[".u64"; 5].as_slice(), &[".u32"; 4], &[".f32"; 2]].concat();
        assert_eq!(types, want);
    }
}
