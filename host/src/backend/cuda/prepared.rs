//! Launches of tensors that lie on the device.

use cust::memory::DeviceBuffer;
use cust::module::Module;
use cust::sys;

use super::driver::{self, RawStream};
use super::{Cuda, failed};
use crate::error::{Error, Result};
use crate::launch::Addresses;
use crate::plan::tensor_map::Operand;
use crate::plan::{LaunchShape, Plan};
use crate::problem::TENSOR_ALIGNMENT;
use crate::ptx;

/// Device addresses of a problem's tensors, in the layouts that [`Inputs`](crate::Inputs)
/// describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensors {
    /// A.
    pub a: u64,
    /// B1 (gate).
    pub b1: u64,
    /// B2 (up).
    pub b2: u64,
    /// The blocked scales of A; 0 where A is 16-bit.
    pub sfa: u64,
    /// The blocked scales of B1.
    pub sfb1: u64,
    /// The blocked scales of B2.
    pub sfb2: u64,
    /// C.
    pub c: u64,
}

/// A plan ready to be launched on its tensors, any number of times.
#[derive(Debug)]
pub struct Prepared {
    device: Cuda,
    plan: Plan,
    /// Kernels in their order: function, shape, parameter space.
    launches: Vec<(sys::CUfunction, driver::Shape, Vec<u8>)>,
    // Keep what the launches refer to.
    _module: Module,
    _maps: DeviceBuffer<u8>,
    _workspace: Option<DeviceBuffer<u8>>,
}

// SAFETY: a function handle belongs to the context, not to a thread; everything else is only read.
unsafe impl Send for Prepared {}
// SAFETY: as above; the driver's launch may be called from several threads at once.
unsafe impl Sync for Prepared {}

pub(super) fn shape(shape: &LaunchShape) -> driver::Shape {
    let LaunchShape { grid, block, cluster, dynamic_shared, .. } = *shape;
    driver::Shape { grid, block, cluster, shared_bytes: dynamic_shared, early: false }
}

impl Cuda {
    /// Loads the plan's kernel and encodes its tensor maps.
    ///
    /// # Errors
    /// A plan for another architecture; an address that is null, misaligned, not device memory, or
    /// in an allocation too small for its tensor; C overlapping an input; what the driver reports.
    pub fn prepare(&self, plan: &Plan, tensors: &Tensors) -> Result<Prepared> {
        self.enter()?;
        self.check_arch(plan.arch)?;
        check_tensors(plan, tensors)?;
        let source = ptx::for_arch(plan.arch).ok_or_else(|| Error::Unsupported {
            what: format!("PTX for {}", plan.arch),
            remedy: "build the crate's PTX for it",
        })?;
        let module = Module::from_ptx(source, &[])
            .map_err(|error| failed(&self.name, "loading PTX", error))?;
        let function = |plan: &Plan| {
            let found = module.get_function(plan.kernel);
            found
                .map(|function| function.to_raw())
                .map_err(|error| failed(&self.name, format!("looking for {}", plan.kernel), error))
        };
        let main = function(plan)?;
        // SAFETY: the module is live.
        unsafe { driver::allow_shared(&self.name, main, plan.dynamic_shared)? };
        let bytes = plan.before.map(|before| before.workspace);
        // SAFETY: bytes have no invalid values, and the kernels write before they read.
        let workspace = bytes.map(|bytes| unsafe { DeviceBuffer::uninitialized(bytes) });
        let workspace = workspace
            .transpose()
            .map_err(|error| failed(&self.name, "allocating the workspace", error))?;
        let mut encoded = Vec::with_capacity(plan.tensor_maps.len() * 128);
        for map in &plan.tensor_maps {
            let address = match map.operand {
                Operand::A => tensors.a,
                Operand::B1 => tensors.b1,
                Operand::B2 => tensors.b2,
            };
            encoded.extend(driver::encode_map(&self.name, map, address)?);
        }
        let maps = DeviceBuffer::from_slice(&encoded)
            .map_err(|error| failed(&self.name, "allocating tensor maps", error))?;
        let addresses = Addresses {
            maps: maps.as_device_ptr().as_raw(),
            workspace: workspace.as_ref().map_or(0, |buffer| buffer.as_device_ptr().as_raw()),
            a: tensors.a,
            sfa: tensors.sfa,
            sfb1: tensors.sfb1,
            sfb2: tensors.sfb2,
            c: tensors.c,
        };
        let mut launches = vec![];
        if let Some(first) = plan.first() {
            let shape = driver::Shape { early: true, ..shape(&first.shape()) };
            launches.push((function(&first)?, shape, plan.first_parameters(&addresses)));
        }
        let main_shape = driver::Shape { early: !launches.is_empty(), ..shape(&plan.shape()) };
        launches.push((main, main_shape, plan.parameters(&addresses)));
        let (device, plan) = (self.clone(), plan.clone());
        let (_module, _maps, _workspace) = (module, maps, workspace);
        Ok(Prepared { device, plan, launches, _module, _maps, _workspace })
    }
}

impl Prepared {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Puts one run of the kernels on `stream`. Runs of one [`Prepared`] share a workspace and C, so
    /// they must follow each other; for streams side by side, prepare once for each.
    /// Allocates nothing and waits for nothing.
    ///
    /// # Errors
    /// A stream of another context; what the driver reports of the launch. What goes wrong while the
    /// kernel runs shows at the next synchronisation, as with every launch.
    ///
    /// # Safety
    /// `stream` is live or null. Until the run has ended the tensors stay allocated, the inputs are
    /// not written, and C is not accessed by others.
    pub unsafe fn launch(&self, stream: RawStream) -> Result<()> {
        self.device.enter()?;
        let name = &self.device.name;
        // SAFETY: the caller's.
        unsafe {
            if !stream.is_null() {
                let context = driver::stream_context(name, stream)?;
                if context.cast() != self.device.context.as_raw() {
                    return Err(Error::Unsupported {
                        what: format!("a stream of another context than that of {name}"),
                        remedy: "make the stream in the device's primary context",
                    });
                }
            }
            for (function, shape, parameters) in &self.launches {
                driver::launch(name, *function, shape, stream, parameters)?;
            }
            Ok(())
        }
    }
}

/// Checks every address against the size of its tensor.
fn check_tensors(plan: &Plan, tensors: &Tensors) -> Result<()> {
    let sizes = plan.problem.check()?;
    let inputs = [
        ("a", tensors.a, sizes.a),
        ("b1", tensors.b1, sizes.b),
        ("b2", tensors.b2, sizes.b),
        ("sfa", tensors.sfa, sizes.sfa),
        ("sfb1", tensors.sfb1, sizes.sfb),
        ("sfb2", tensors.sfb2, sizes.sfb),
    ];
    for (tensor, address, bytes) in inputs.into_iter().chain([("c", tensors.c, sizes.c)]) {
        if bytes == 0 {
            continue;
        }
        let refuse = |rule, remedy| Err(Error::Address { tensor, address, rule, remedy });
        if address == 0 {
            return refuse("not null".to_string(), "give the tensor's device address");
        }
        if !address.is_multiple_of(TENSOR_ALIGNMENT as u64) {
            let rule = format!("a multiple of {TENSOR_ALIGNMENT}");
            return refuse(rule, "copy the tensor to an aligned address");
        }
        let Some((base, size)) = driver::allocation(address) else {
            let rule = "device memory of this context".to_string();
            return refuse(rule, "allocate the tensor on the device that the plan runs on");
        };
        let left = size - (address - base) as usize;
        if left < bytes {
            let rule = format!("the start of {bytes} bytes, of which {left} are allocated");
            return refuse(rule, "check the tensor's shape against the plan's problem");
        }
        let c = tensors.c..tensors.c + sizes.c as u64;
        if tensor != "c" && address < c.end && c.start < address + bytes as u64 {
            return refuse(
                "apart from c, which is written".to_string(),
                "give C memory of its own",
            );
        }
    }
    Ok(())
}
