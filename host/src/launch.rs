//! Problem → plan → tensor maps → launch, from host memory to host memory.

use crate::backend::Backend;
use crate::error::Result;
use crate::plan::tensor_map::Operand;
use crate::plan::{Before, Plan, sm90};
use crate::problem::{ActivationType, Inputs, OutputType, Problem};
use nvfp4_dual_gemm_device::kernels::{SM90_FLAG_A16, SM90_FLAG_BF16_OUTPUT};

/// Device addresses of a launch's tensors, and of its tensor maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses {
    /// The plan's maps, 128 bytes each, aligned to 64.
    pub maps: u64,
    /// A, aligned to 16. Blackwell's kernels read it through its map.
    pub a: u64,
    /// The plan's workspace, aligned to 256; not read by plans without one.
    pub workspace: u64,
    /// The packed weights, aligned to 256; not read by plans that do not pack them.
    pub packed: u64,
    /// Blocked scales of A, aligned to 16; not read where A is 16-bit.
    pub sfa: u64,
    /// Blocked scales of B1, aligned to 16.
    pub sfb1: u64,
    /// Blocked scales of B2, aligned to 16.
    pub sfb2: u64,
    /// C, aligned to 16.
    pub c: u64,
}

impl Addresses {
    /// What the plan's map of A describes: A, or what a kernel before has made of it.
    pub fn mapped_a(&self, plan: &Plan) -> u64 {
        if plan.before.is_some() { self.workspace } else { self.a }
    }
}

impl Plan {
    /// The kernel's parameter space: the address of the maps; on Blackwell those of A's, B1's and B2's
    /// scales, on Hopper that of the packed weights; C; M, N, K, on Hopper L, the row pitch of C; both
    /// alphas; on Hopper flags.
    pub fn parameters(&self, at: &Addresses) -> Vec<u8> {
        let hopper = self.arch == sm90::ARCH;
        let Problem { m, n, k, l, alpha1, alpha2, .. } = self.problem;
        let (addresses, sizes) = if hopper {
            (vec![at.maps, at.packed, at.c], vec![m, n, k, l, self.ldc()])
        } else {
            (vec![at.maps, at.sfa, at.sfb1, at.sfb2, at.c], vec![m, n, k, self.ldc()])
        };
        // The plan has checked that the dimensions fit 31 bits.
        addresses
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .chain(sizes.into_iter().flat_map(|size| (size as u32).to_le_bytes()))
            .chain([alpha1, alpha2].into_iter().flat_map(f32::to_le_bytes))
            .chain(hopper.then_some(self.flags()).into_iter().flat_map(u32::to_le_bytes))
            .collect()
    }

    /// The parameter space of the kernel that runs before: A, its scales, the workspace; M, K.
    pub fn first_parameters(&self, at: &Addresses) -> Vec<u8> {
        let sizes = [self.problem.m as u32, self.problem.k as u32];
        [at.a, at.sfa, at.workspace]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .chain(sizes.into_iter().flat_map(u32::to_le_bytes))
            .collect()
    }

    /// The parameter space of the kernel that packs the weights, which lie at `b1` and `b2`: the weights,
    /// their scales, the packed weights; N, K, 0.
    pub fn packing_parameters(&self, [b1, b2]: [u64; 2], at: &Addresses) -> Vec<u8> {
        // Two weights, not the halves of one.
        let sizes = [self.problem.n as u32, self.problem.k as u32, 0];
        [b1, b2, at.sfb1, at.sfb2, at.packed]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .chain(sizes.into_iter().flat_map(u32::to_le_bytes))
            .collect()
    }

    fn flags(&self) -> u32 {
        let bf16 = self.problem.output == OutputType::Bf16;
        let sixteen_bit = self.problem.activations != ActivationType::Nvfp4;
        u32::from(bf16) * SM90_FLAG_BF16_OUTPUT + u32::from(sixteen_bit) * SM90_FLAG_A16
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
    let (a, b1, b2) = (upload("a", inputs.a)?, upload("b1", inputs.b1)?, upload("b2", inputs.b2)?);
    let sfa = if inputs.sfa.is_empty() { None } else { Some(upload("sfa", inputs.sfa)?) };
    let sfb1 = upload("sfb1", inputs.sfb1)?;
    let sfb2 = upload("sfb2", inputs.sfb2)?;

    let mut allocate = |name, step: Option<Before>| match step {
        Some(Before { workspace, .. }) => backend.alloc(name, workspace).map(Some),
        None => Ok(None),
    };
    let workspace = allocate("workspace", plan.before)?;
    let packed = allocate("packed weights", plan.pack)?;
    let or_null = |buffer: &Option<B::Buffer>| buffer.as_ref().map_or(0, |b| backend.address(b));
    let mut addresses = Addresses {
        maps: 0,
        a: backend.address(&a),
        workspace: or_null(&workspace),
        packed: or_null(&packed),
        sfa: or_null(&sfa),
        sfb1: backend.address(&sfb1),
        sfb2: backend.address(&sfb2),
        c: 0,
    };
    let mut encoded = Vec::with_capacity(plan.tensor_maps.len() * 128);
    for map in &plan.tensor_maps {
        let address = match map.operand {
            Operand::A => addresses.mapped_a(plan),
            Operand::B1 => backend.address(&b1),
            Operand::B2 => backend.address(&b2),
        };
        encoded.extend(backend.encode_map(map, address)?);
    }
    let mut maps = backend.alloc("tensor maps", encoded.len())?;
    backend.upload(&mut maps, &encoded)?;
    let c = backend.alloc("c", sizes.c)?;
    (addresses.maps, addresses.c) = (backend.address(&maps), backend.address(&c));

    if let Some(packing) = plan.packing() {
        let weights = [backend.address(&b1), backend.address(&b2)];
        backend.launch(module, &packing, &plan.packing_parameters(weights, &addresses))?;
    }
    if let Some(first) = plan.first() {
        backend.launch(module, &first, &plan.first_parameters(&addresses))?;
    }
    backend.launch(module, plan, &plan.parameters(&addresses))?;

    let mut bytes = vec![0; sizes.c];
    backend.download(&c, &mut bytes)?;
    Ok(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    const AT: Addresses =
        Addresses { maps: 1, a: 9, workspace: 8, packed: 7, sfa: 2, sfb1: 3, sfb2: 4, c: 5 };

    #[test]
    fn parameters_lie_as_the_entry_point_declares_them() {
        let problem = Problem::new(3, 16, 64).with_alphas(0.5, -2.0);
        let plan = Plan::choose(&problem, 148).unwrap();
        let bytes = plan.parameters(&AT);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([0, 8, 16, 24, 32].map(word), [1, 2, 3, 4, 5]);
        assert_eq!([40, 44, 48, 52].map(word), [3, 16, 64, 16]);
        assert_eq!([56, 60].map(word), [0.5f32.to_bits(), (-2.0f32).to_bits()]);
        let want = [[".u64"; 5].as_slice(), &[".u32"; 4], &[".f32"; 2]].concat();
        assert_eq!(declared(crate::ptx::SM_100F, plan.kernel), want);
    }

    /// Types of an entry point's parameters.
    fn declared<'a>(ptx: &'a str, kernel: &str) -> Vec<&'a str> {
        let entry = ptx.split(&format!(".entry {kernel}(")).nth(1).unwrap();
        let lines = entry.lines().skip(1).take_while(|line| line.trim() != ")");
        lines.map(|line| line.split_whitespace().nth(1).unwrap()).collect()
    }

    #[test]
    fn parameters_of_hopper() {
        let problem = Problem::new(3, 16, 64)
            .with_output(OutputType::Bf16)
            .with_activations(ActivationType::F16);
        let plan = sm90::choose(&problem, 132).unwrap();
        let bytes = plan.parameters(&AT);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([0, 8, 16].map(word), [1, 7, 5]);
        assert_eq!([24, 28, 32, 36, 40, 52].map(word), [3, 16, 64, 1, 16, 3]);
        let want = [[".u64"; 3].as_slice(), &[".u32"; 5], &[".f32"; 2], &[".u32"]].concat();
        assert_eq!(declared(crate::ptx::SM_90A, plan.kernel), want);
        let bytes = plan.packing_parameters([10, 11], &AT);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([0, 8, 16, 24, 32, 40, 44].map(word), [10, 11, 3, 4, 7, 16, 64]);
        let want = [[".u64"; 5].as_slice(), &[".u32"; 3]].concat();
        assert_eq!(declared(crate::ptx::SM_90A, plan.packing().unwrap().kernel), want);

        assert_eq!(plan.first(), None, "16-bit activations are read as they are");
        let plan = sm90::choose(&problem.with_activations(ActivationType::Nvfp4), 132).unwrap();
        let bytes = plan.first_parameters(&AT);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([0, 8, 16, 24, 28].map(word), [9, 2, 8, 3, 64]);
        let want = [[".u64"; 3].as_slice(), &[".u32"; 2]].concat();
        assert_eq!(declared(crate::ptx::SM_90A, plan.first().unwrap().kernel), want);
    }
}
