//! Device tensors of any order, copied on the device into the order that the kernels read and write.

use nvfp4_dual_gemm_device::kernels::{REARRANGE, SM90_REARRANGE};
use nvfp4_dual_gemm_device::tile::rearrange::TASK_BYTES;

use super::operand::Adapted;
use super::rearrange::Rearrangement;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::grouped::problem::in_group;
use crate::grouped::{GroupAddresses, GroupedPlan, Prepared};
use crate::plan::{LaunchShape, sm90};

/// A launch with its parameter space.
type Launch = (LaunchShape, Vec<u8>);

/// The tensors of all groups in the kernels' order: where they lie if they have it, else as copies.
#[derive(Debug)]
pub struct Arranged<B: Backend> {
    /// Addresses for [`GroupedPlan::prepare`].
    pub groups: Vec<GroupAddresses>,
    /// What copies the activations in, before the kernels.
    before: Option<Launch>,
    /// What copies C out, after them.
    after: Option<Launch>,
    /// The copies, and the tables of tasks.
    buffers: Vec<B::Buffer>,
}

/// Copies that one launch makes.
#[derive(Default)]
struct Tasks {
    bytes: Vec<u8>,
    ctas: u64,
}

impl Tasks {
    fn add(&mut self, rearrangement: &Rearrangement, copy: u64, out_of_it: bool) {
        self.bytes.extend(rearrangement.task(copy, out_of_it));
        self.ctas = self.ctas.max(rearrangement.ctas());
    }

    /// Writes the table, which `buffers` keeps; none without a task.
    fn launch<B: Backend>(
        &self,
        backend: &mut B,
        arch: &str,
        sm_count: u32,
        buffers: &mut Vec<B::Buffer>,
    ) -> Result<Option<Launch>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let kernel = if arch == sm90::ARCH { SM90_REARRANGE } else { REARRANGE };
        let count = self.bytes.len() / TASK_BYTES as usize;
        if count > 65_535 {
            return Err(Error::Grid {
                axis: "y (tensors to be copied)",
                value: count,
                limit: 65_535,
                remedy: "split the groups, or hand over tensors of the kernels' order",
            });
        }
        let mut table = backend.alloc("copying tasks", self.bytes.len())?;
        backend.upload(&mut table, &self.bytes)?;
        let parameters = backend.address(&table).to_le_bytes().to_vec();
        buffers.push(table);
        let most = 8 * u64::from(sm_count.max(1));
        let shape = LaunchShape {
            kernel: kernel.name,
            arch: kernel.arch,
            grid: [self.ctas.clamp(1, most) as u32, count as u32, 1],
            block: kernel.block,
            cluster: kernel.cluster,
            dynamic_shared: 0,
        };
        Ok(Some((shape, parameters)))
    }
}

/// Allocates the copies that `groups` need for a plan of this target, once for any number of launches.
/// Weights and their scales are copied now, and not again; A and its scales before each launch, and C
/// after it. Tensors that have the right order are not copied.
///
/// # Errors
/// A tensor in host memory; what the backend reports.
pub fn arrange<B: Backend>(
    backend: &mut B,
    module: &B::Module,
    plan: &GroupedPlan,
    groups: &[Adapted<'_>],
) -> Result<Arranged<B>> {
    let (arch, sm_count) = (plan.shape.arch, plan.sm_count);
    let mut all = Arranged { groups: vec![], before: None, after: None, buffers: vec![] };
    let [mut once, mut before, mut after] = [Tasks::default(), Tasks::default(), Tasks::default()];
    for (i, form) in groups.iter().enumerate() {
        // A group without rows has no tile, and nothing of it is read.
        if form.c.shape.first() == Some(&0) {
            all.groups.push(GroupAddresses::default());
            continue;
        }
        let mut copies = vec![];
        for (name, rearrangement) in form.strided() {
            let buffer = backend.alloc("rearranged tensor", rearrangement.bytes())?;
            let copy = backend.address(&buffer);
            all.buffers.push(buffer);
            copies.push((rearrangement, copy));
            match name {
                "c" => after.add(rearrangement, copy, true),
                "a" | "sfa" => before.add(rearrangement, copy, false),
                _ => once.add(rearrangement, copy, false),
            }
        }
        let copy_of = |rearrangement: &Rearrangement| {
            let copy = copies.iter().find(|(one, _)| std::ptr::eq(*one, rearrangement));
            Ok(copy.map_or(0, |(_, copy)| *copy))
        };
        all.groups.push(form.addresses_with(copy_of).map_err(|cause| in_group(i, cause))?);
    }
    let now = once.launch(backend, arch, sm_count, &mut all.buffers)?;
    if let Some((shape, parameters)) = now {
        backend.launch_kernel(module, &shape, &parameters)?;
    }
    all.before = before.launch(backend, arch, sm_count, &mut all.buffers)?;
    all.after = after.launch(backend, arch, sm_count, &mut all.buffers)?;
    Ok(all)
}

impl<B: Backend> Arranged<B> {
    /// The launches of a plan that was prepared for [`groups`](Self::groups), between those that copy.
    pub fn around(self, prepared: Prepared<B>) -> Prepared<B> {
        let mut all = prepared;
        if all.launches.is_empty() {
            return all;
        }
        all.launches.splice(0..0, self.before);
        all.launches.extend(self.after);
        all.buffers.extend(self.buffers);
        all
    }
}

/// Prepares a plan for the tensors of a form on the device, whatever their order, once for any number of
/// launches.
///
/// # Errors
/// What [`arrange`] and [`GroupedPlan::prepare`] refuse.
pub fn prepare<B: Backend>(
    backend: &mut B,
    module: &B::Module,
    plan: &GroupedPlan,
    groups: &[Adapted<'_>],
) -> Result<Prepared<B>> {
    let arranged = arrange(backend, module, plan, groups)?;
    let prepared = plan.prepare(backend, module, &arranged.groups, 0)?;
    Ok(arranged.around(prepared))
}
