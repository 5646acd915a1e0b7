//! Launches of grouped problems whose tensors lie on the device.

use cust::sys;

use super::Cuda;
use super::driver::{self, RawStream};
use super::prepared::{put, shape};
use crate::error::Result;
use crate::grouped::GroupAddresses;
use crate::grouped::sm90::{HopperPlan, HopperPrepared};

/// A grouped plan ready to be launched on its tensors, any number of times; of experts, with whatever
/// the offsets hold when the kernels run.
#[derive(Debug)]
pub struct PreparedGroups {
    device: Cuda,
    /// Kernels in their order: function, shape, parameter space.
    launches: Vec<(sys::CUfunction, driver::Shape, Vec<u8>)>,
    /// Keeps tables, packed weights and expanded activations alive.
    _prepared: HopperPrepared<Cuda>,
}

// SAFETY: a function handle belongs to the context, not to a thread; everything else is only read.
unsafe impl Send for PreparedGroups {}
// SAFETY: as above; the driver's launch may be called from several threads at once.
unsafe impl Sync for PreparedGroups {}

impl Cuda {
    /// Loads a grouped plan's kernels, packs the weights, encodes the tensor maps and writes the tables.
    /// The weights are read now, and need not stay. `offsets` is the address of the experts'
    /// `experts + 1` offsets, which are read when the kernels run; 0 for listed groups.
    ///
    /// # Errors
    /// A plan for another architecture; a wrong number of groups; an address that is null or misaligned;
    /// what the driver reports.
    ///
    /// # Safety
    /// Every address is that of device memory as large as the plan's tensors: unlike
    /// [`Cuda::prepare`], this does not look.
    pub unsafe fn prepare_groups(
        &self,
        plan: &HopperPlan,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> Result<PreparedGroups> {
        self.enter()?;
        self.check_arch(plan.shape.arch)?;
        let mut device = self.clone();
        let module = self.module(plan.shape.arch)?;
        let prepared = plan.prepare(&mut device, module, groups, offsets)?;
        let mut launches = vec![];
        for (kernel, parameters) in &prepared.launches {
            let function = self.function(module, kernel.kernel)?;
            // SAFETY: the module is live.
            unsafe { driver::allow_shared(self.name(), function, kernel.dynamic_shared)? };
            let shape = driver::Shape { early: true, ..shape(kernel) };
            launches.push((function, shape, parameters.clone()));
        }
        Ok(PreparedGroups { device, launches, _prepared: prepared })
    }
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
