//! Launches of grouped problems whose tensors lie on the device.

use cust::module::Module;
use cust::sys;

use super::Cuda;
use super::driver::{self, RawStream};
use super::prepared::{check_allocated, put, shape};
use crate::error::Result;
use crate::forms::{Adapted, arrange};
use crate::grouped::addresses::Extent;
use crate::grouped::problem::in_group;
use crate::grouped::{self, GroupAddresses, GroupedPlan, GroupedProblem, TwoPass};
use crate::plan::sm90;

/// A grouped plan ready to be launched on its tensors, any number of times; of experts, with whatever
/// the offsets hold when the kernels run.
#[derive(Debug)]
pub struct PreparedGroups {
    device: Cuda,
    /// Kernels in their order: function, shape, parameter space.
    launches: Vec<(sys::CUfunction, driver::Shape, Vec<u8>)>,
    /// Keeps tables, and what the kernels keep for each other, alive.
    _prepared: grouped::Prepared<Cuda>,
}

// SAFETY: a function handle belongs to the context, not to a thread; everything else is only read.
unsafe impl Send for PreparedGroups {}
// SAFETY: as above; the driver's launch may be called from several threads at once.
unsafe impl Sync for PreparedGroups {}

impl Cuda {
    /// The plan for a grouped problem on this device.
    ///
    /// # Errors
    /// What [`GroupedPlan::for_device`] refuses.
    pub fn plan_groups(&self, problem: &GroupedProblem) -> Result<GroupedPlan> {
        GroupedPlan::for_device(problem, self.capability, self.sm_count)
    }

    /// Loads a grouped plan's kernels, encodes the tensor maps, writes the tables, and on Hopper packs the
    /// weights: they are read now, and need not stay. `offsets` is the address of the experts'
    /// `experts + 1` offsets, which are read when the kernels run; 0 for listed groups. Waits until the
    /// device has done so.
    ///
    /// # Errors
    /// A plan for another architecture; a wrong number of groups; an address that is null, misaligned, not
    /// device memory, or in an allocation too small for its tensor; a C that overlaps another tensor; what
    /// the driver reports.
    pub fn prepare_groups(
        &self,
        plan: &GroupedPlan,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> Result<PreparedGroups> {
        let module = self.kernels_for(plan.shape.arch)?;
        check_memory(&plan.extents(groups, offsets)?)?;
        let prepared = plan.prepare(&mut self.clone(), module, groups, offsets)?;
        self.ready(module, prepared)
    }

    /// The same for the tensors of a form, in whatever order they lie: what is not in the kernels' own is
    /// copied on the device, of weights now, of activations and of C with every launch.
    ///
    /// # Errors
    /// As for [`Cuda::prepare_groups`]; a tensor in host memory.
    pub fn prepare_form(
        &self,
        plan: &GroupedPlan,
        groups: &[Adapted<'_>],
    ) -> Result<PreparedGroups> {
        let module = self.kernels_for(plan.shape.arch)?;
        for (i, form) in groups.iter().enumerate() {
            form.strided().try_for_each(|(tensor, rearrangement)| {
                let (address, bytes) = rearrangement.extent();
                check_allocated(tensor, address, bytes).map_err(|cause| in_group(i, cause))
            })?;
        }
        let device = &mut self.clone();
        let arranged = arrange(device, module, plan, groups)?;
        check_memory(&plan.extents(&arranged.groups, 0)?)?;
        let prepared = plan.prepare(device, module, &arranged.groups, 0)?;
        self.ready(module, arranged.around(prepared))
    }

    /// [`Cuda::prepare_groups`] for two passes, which allocates the products as well.
    ///
    /// # Errors
    /// As for [`Cuda::prepare_groups`].
    pub fn prepare_two_pass(
        &self,
        plan: &TwoPass,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> Result<PreparedGroups> {
        let module = self.kernels_for(plan.silu_mul.arch)?;
        check_memory(&plan.extents(groups, offsets)?)?;
        let prepared = plan.prepare(&mut self.clone(), module, groups, offsets)?;
        self.ready(module, prepared)
    }

    /// The kernels, if the plan's are this device's.
    fn kernels_for(&self, arch: &str) -> Result<&Module> {
        self.enter()?;
        self.check_arch(arch)?;
        self.module(arch)
    }

    /// Looks the functions up.
    fn ready(&self, module: &Module, prepared: grouped::Prepared<Cuda>) -> Result<PreparedGroups> {
        let mut launches = vec![];
        for (kernel, parameters) in &prepared.launches {
            let function = self.function(module, kernel.kernel)?;
            // SAFETY: the module is live.
            unsafe { driver::allow_shared(self.name(), function, kernel.dynamic_shared)? };
            let shape = driver::Shape { early: kernel.arch == sm90::ARCH, ..shape(kernel) };
            launches.push((function, shape, parameters.clone()));
        }
        Ok(PreparedGroups { device: self.clone(), launches, _prepared: prepared })
    }
}

/// Checks that every tensor lies in memory of the device.
fn check_memory(extents: &[Extent]) -> Result<()> {
    extents.iter().try_for_each(|&Extent { group, tensor, address, bytes, .. }| {
        check_allocated(tensor, address, bytes).map_err(|cause| in_group(group, cause))
    })
}

impl PreparedGroups {
    /// Puts one run of the kernels on `stream`. Runs share the expanded activations and C, so they must
    /// follow each other. Allocates nothing and waits for nothing.
    ///
    /// # Errors
    /// A stream of another context; what the driver reports of the launch.
    ///
    /// # Safety
    /// `stream` is live or null. Until the run has ended the tensors stay allocated, the inputs are
    /// not written, and C is not accessed by others.
    pub unsafe fn launch(&self, stream: RawStream) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { put(&self.device, &self.launches, stream) }
    }
}
