//! Prepare once, launch any number of times; and a run from host memory to host memory.

use super::addresses::GroupAddresses;
use super::inputs::GroupedInputs;
use super::plan::GroupedPlan;
use super::problem::{GroupedProblem, Groups};
use super::{sm90, sm100};
use crate::backend::Backend;
use crate::error::Result;
use crate::plan::LaunchShape;
use crate::problem::Inputs;

/// Launches of a plan, with what they refer to on a device: launched without encoding or copying
/// anything.
#[derive(Debug)]
pub struct Prepared<B: Backend> {
    /// What is launched, in this order, with its parameter space. Nothing, if no group has rows.
    pub launches: Vec<(LaunchShape, Vec<u8>)>,
    /// Keeps tables, and what the kernels keep for each other, alive.
    pub(crate) buffers: Vec<B::Buffer>,
}

impl<B: Backend> Prepared<B> {
    /// Launches, and waits for the end.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn launch(&self, backend: &mut B, module: &B::Module) -> Result<()> {
        let mut launches = self.launches.iter();
        launches.try_for_each(|(shape, bytes)| backend.launch_kernel(module, shape, bytes))
    }
}

impl GroupedPlan {
    /// Encodes the tensor maps, writes the tables and on Hopper packs the weights, once for any number of
    /// launches. `offsets` is the address of the experts' `experts + 1` offsets, u32, aligned to 4; 0
    /// for listed groups. On Hopper the weights and their scales are read here, and not again: after a
    /// change of weights, prepare again.
    ///
    /// # Errors
    /// A wrong number of groups, an address that is not aligned, what the backend reports.
    pub fn prepare<B: Backend>(
        &self,
        backend: &mut B,
        module: &B::Module,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> Result<Prepared<B>> {
        self.extents(groups, offsets)?;
        // Without a record there is no tile.
        if self.records.is_empty() {
            Ok(Prepared { launches: vec![], buffers: vec![] })
        } else if self.is_hopper() {
            sm90::prepare(self, backend, module, groups, offsets)
        } else {
            sm100::prepare(self, backend, groups, offsets)
        }
    }
}

/// The parameter space of a kernel on groups: a table, offsets, words.
pub(super) fn parameters(table: u64, offsets: u64, words: &[u32]) -> Vec<u8> {
    let addresses = [table, offsets].into_iter().flat_map(u64::to_le_bytes);
    addresses.chain(words.iter().flat_map(|word| word.to_le_bytes())).collect()
}

/// Device buffers of one group's (or of all experts') tensors.
struct Uploaded<B: Backend> {
    buffers: Vec<B::Buffer>,
    /// Where they are; C is not among them.
    at: GroupAddresses,
}

impl<B: Backend> Uploaded<B> {
    fn new(backend: &mut B, x: &Inputs<'_>) -> Result<Self> {
        let mut uploaded = Uploaded { buffers: vec![], at: GroupAddresses::default() };
        let at = [
            uploaded.add(backend, "a", x.a)?,
            uploaded.add(backend, "b1", x.b1)?,
            uploaded.add(backend, "b2", x.b2)?,
            uploaded.add(backend, "sfa", x.sfa)?,
            uploaded.add(backend, "sfb1", x.sfb1)?,
            uploaded.add(backend, "sfb2", x.sfb2)?,
        ];
        let [a, b1, b2, sfa, sfb1, sfb2] = at;
        uploaded.at = GroupAddresses { a, b1, b2, sfa, sfb1, sfb2, ..uploaded.at };
        Ok(uploaded)
    }

    /// Uploads `data`; 0 for none.
    fn add(&mut self, backend: &mut B, name: &'static str, data: &[u8]) -> Result<u64> {
        if data.is_empty() {
            return Ok(0);
        }
        let mut buffer = backend.alloc(name, data.len())?;
        backend.upload(&mut buffer, data)?;
        let address = backend.address(&buffer);
        self.buffers.push(buffer);
        Ok(address)
    }
}

/// All inputs on the device: one entry a group, or one for all experts, and the offsets' address.
fn upload<B: Backend>(
    backend: &mut B,
    inputs: &GroupedInputs<'_>,
) -> Result<(Vec<Uploaded<B>>, u64)> {
    match inputs {
        GroupedInputs::Listed(groups) => {
            let all: Result<_> = groups.iter().map(|x| Uploaded::new(backend, x)).collect();
            Ok((all?, 0))
        }
        GroupedInputs::Experts { tensors, offsets, alphas1, alphas2, .. } => {
            let bytes = |values: &[f32]| -> Vec<u8> {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            };
            let mut uploaded = Uploaded::new(backend, tensors)?;
            uploaded.at.alphas1 = uploaded.add(backend, "alphas1", &bytes(alphas1))?;
            uploaded.at.alphas2 = uploaded.add(backend, "alphas2", &bytes(alphas2))?;
            let offsets: Vec<u8> = offsets.iter().flat_map(|value| value.to_le_bytes()).collect();
            let at = uploaded.add(backend, "offsets", &offsets)?;
            Ok((vec![uploaded], at))
        }
    }
}

/// The C of every group, or of all experts: elements of each.
pub(super) fn c_lengths(problem: &GroupedProblem) -> Vec<usize> {
    match &problem.groups {
        Groups::Listed(groups) => groups.iter().map(|g| g.l * g.m * g.n).collect(),
        Groups::Experts(e) => vec![e.rows * e.n],
    }
}

/// What the C of experts holds before the launch: rows that belong to no expert keep it. It reads as
/// NaN.
pub const UNTOUCHED: u16 = 0xffff;

/// Buffers for C. Those of experts are filled with [`UNTOUCHED`].
fn alloc_c<B: Backend>(
    backend: &mut B,
    problem: &GroupedProblem,
) -> Result<Vec<Option<B::Buffer>>> {
    let experts = matches!(problem.groups, Groups::Experts(_));
    c_lengths(problem)
        .into_iter()
        .map(|elements| {
            if elements == 0 {
                return Ok(None);
            }
            let mut buffer = backend.alloc("c", 2 * elements)?;
            if experts {
                backend.upload(&mut buffer, &vec![0xff; 2 * elements])?;
            }
            Ok(Some(buffer))
        })
        .collect()
}

/// Copies C back, as the bits of the plan's output type.
fn download_c<B: Backend>(
    backend: &mut B,
    problem: &GroupedProblem,
    c: &[Option<B::Buffer>],
) -> Result<Vec<Vec<u16>>> {
    c_lengths(problem)
        .into_iter()
        .zip(c)
        .map(|(elements, buffer)| {
            let mut bytes = vec![0; 2 * elements];
            if let Some(buffer) = buffer {
                backend.download(buffer, &mut bytes)?;
            }
            let pairs = bytes.chunks_exact(2);
            Ok(pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
        })
        .collect()
}

/// Runs a plan from host memory to host memory. Returns the C of each group, `[L, M, N]`, or the one
/// `[rows, N]` of all experts, in which rows that belong to no expert are [`UNTOUCHED`].
///
/// # Errors
/// Inputs that their check refuses, and what the backend reports. Nothing is allocated before the
/// inputs are checked.
pub fn run<B: Backend>(
    backend: &mut B,
    module: &B::Module,
    plan: &GroupedPlan,
    inputs: &GroupedInputs<'_>,
) -> Result<Vec<Vec<u16>>> {
    inputs.check(&plan.problem)?;
    run_with_any_offsets(backend, module, plan, inputs)
}

/// The same with offsets that nobody has looked at, as the device gets them when they are made there:
/// what they say wrong is taken as the nearest thing that stays inside the tensors.
///
/// # Errors
/// Inputs of wrong lengths, and what the backend reports.
pub fn run_with_any_offsets<B: Backend>(
    backend: &mut B,
    module: &B::Module,
    plan: &GroupedPlan,
    inputs: &GroupedInputs<'_>,
) -> Result<Vec<Vec<u16>>> {
    run_prepared(backend, module, &plan.problem, inputs, |backend, groups, offsets| {
        plan.prepare(backend, module, groups, offsets)
    })
}

/// Uploads the inputs, prepares and launches, and downloads every C.
pub(super) fn run_prepared<B: Backend>(
    backend: &mut B,
    module: &B::Module,
    problem: &GroupedProblem,
    inputs: &GroupedInputs<'_>,
    prepare: impl FnOnce(&mut B, &[GroupAddresses], u64) -> Result<Prepared<B>>,
) -> Result<Vec<Vec<u16>>> {
    inputs.check_lengths(problem)?;
    let (uploaded, offsets) = upload(backend, inputs)?;
    let c = alloc_c(backend, problem)?;
    let with_c = uploaded.iter().zip(&c).map(|(group, c)| {
        let c = c.as_ref().map_or(0, |c| backend.address(c));
        GroupAddresses { c, ..group.at }
    });
    let groups: Vec<_> = with_c.collect();
    prepare(backend, &groups, offsets)?.launch(backend, module)?;
    download_c(backend, problem, &c)
}
